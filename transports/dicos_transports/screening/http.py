"""The page's server: hypercorn over asyncio, in a thread of its own.

Knows: hypercorn, sockets. Must not know: the application. Invariants: the port is bound before the thread starts, so
that a port in use is an error of the caller; a client that is silent for `SILENT` seconds is disconnected.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any, Final

from ..addresses import ListenFailed, said, show_address

__all__ = ["HttpServer"]

SILENT: Final = 30
"""Seconds without a byte in the middle of a request. Stops: half-open requests that hold descriptors."""
IDLE: Final = 15.0
GRACE: Final = 2.0
START: Final = 30.0
BACKLOG: Final = 100


class HttpServer:
    """Serves an ASGI application at (host, port) until `close`; port 0 takes a free one. Raises `ListenFailed`."""

    def __init__(self, app: Any, where: tuple[str, int]) -> None:
        self._app = app
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        self._socket = socket.socket(family)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(where)
            self._socket.listen(BACKLOG)
        except OSError as error:
            self._socket.close()
            raise ListenFailed(f"cannot listen on {show_address(where)}: {said(error)}") from error
        name = self._socket.getsockname()
        self.port: int = name[1]
        self.address = show_address(name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()
        self._ready.wait(START)

    def close(self) -> None:
        """Ends the server."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(GRACE + 1)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"fd://{self._socket.detach()}"]  # hypercorn closes it
        config.accesslog = None
        config.errorlog = None
        config.include_server_header = False
        config.read_timeout = SILENT
        config.keep_alive_timeout = IDLE
        config.graceful_timeout = GRACE
        config.alpn_protocols = ["http/1.1"]
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_tell)
        self._ready.set()
        await serve(self._app, config, shutdown_trigger=self._stop.wait)


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs a fault, unless it is only a connection that was cut off at the end: asyncio's streams report those."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)

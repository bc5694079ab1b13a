"""Servers on loopback, in this process, which store what they receive: one of each kind, kept running.

Knows: `serve` of each adapter, threads. Must not know: what is sent to them. Invariants: a server listens on 127.0.0.1
alone and ends with the process; every error that it logs is kept for the caller.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_transports.files.receiving import IncomingFile, receive, store_into
from dicos_transports.serving import Metrics, ServerLimits
from dicos_transports.serving.reception import AssociationRegistry
from dicos_transports.sessions.offloading import offload

from .applied import application
from .places import folder
from .seeds import CT, EXPLICIT, IMPLICIT

__all__ = ["ADAPTERS", "Host", "host", "running"]

POLICY: Final = AcceptPolicy(
    other_contexts=(EXPLICIT, IMPLICIT, uids.DEFLATED_EXPLICIT_VR_LE),
    roles={CT: Roles(scu=True, scp=True)},
    peer_max_length=8,
)
_TIMEOUTS: Final = Timeouts(artim=5.0, release=5.0, pdu=10.0, message=10.0, idle=10.0, write_stall=10.0)
_BATCH: Final = 128
"""Bytes that are gathered for a worker thread: so few that an object of a short tape has a file before it is cut."""
_ROOM: Final = ServerLimits(associations=1000, per_address=1000, pending=1000)


class Listening(Protocol):
    """The common part of servers."""

    @property
    def port(self) -> int:
        """The port that it listens on."""

    @property
    def metrics(self) -> Metrics:
        """The counters of its connections."""

    @property
    def _reception(self) -> AssociationRegistry:
        """The slots of its connections."""


Count = Callable[[], int]
Started = tuple[Listening, Count]
"""A server, and the function that counts the tasks of its event loop, from any thread."""


class Host:
    """A running server. `tasks`: returns the number of tasks of its event loop, 0 without one. `files`: the folder that
    it stores into. `errors`: the errors that the servers have logged, one list for all of them, so that each error is
    reported once."""

    def __init__(self, server: Listening, tasks: Count, files: Path) -> None:
        self.server = server
        self.tasks = tasks
        self.files = files
        self.errors = _errors()
        self.connected = 0
        """Connections that were made to it; the caller that makes one counts it."""

    @property
    def busy(self) -> int:
        """The connections that it has not finished with, those that it has not accepted yet included."""
        waiting = self.connected - self.server.metrics.connections
        reception = self.server._reception
        with reception.lock:  # not its counters: a connection is no longer counted before its error is logged
            held = len([*reception.slots])
        return max(waiting, 0) + held


_FAILED: Final = re.compile(r" failed: \w+ \(")
"""A function of an application that failed with an error that no part of the project documents."""


class _Errors(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found
        self._format = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        text = self._format.format(record)
        own = record.name != "dicos.application" or _FAILED.search(text)
        if own and len(self._found) < 10:
            self._found.append(text)


@cache
def _errors() -> list[str]:
    found: list[str] = []
    for name in ("dicos.server", "dicos.application"):
        logging.getLogger(name).addHandler(_Errors(found))
    return found


def _no_tasks() -> int:
    return 0


def _blocking(files: Path) -> Started:
    from dicos_transports.blocking import serve

    def handle(session: Any) -> None:
        for request in session:
            match request.name:
                case "C-STORE-RQ":
                    store_into(files, request)
                case "C-FIND-RQ":
                    request.attributes()
                    request.end()
                case "C-GET-RQ" | "C-MOVE-RQ":
                    request.attributes()
                    request.respond(0xA900)
                case _:
                    request.respond()

    server = serve(("127.0.0.1", 0), handle, policy=POLICY, timeouts=_TIMEOUTS, server_limits=_ROOM)
    atexit.register(server.close, 0.1)
    return server, _no_tasks


def _handler(files: Path) -> Callable[[Any], Awaitable[None]]:
    async def handle(session: Any) -> None:
        async for request in session:
            match request.name:
                case "C-STORE-RQ":
                    await _store(files, request)
                case "C-FIND-RQ":
                    await request.attributes()
                    await request.end()
                case "C-GET-RQ" | "C-MOVE-RQ":
                    await request.attributes()
                    await request.respond(0xA900)
                case _:
                    await request.respond()

    return handle


async def _store(files: Path, request: Any) -> None:
    """`store_into`, with smaller batches."""
    await receive(IncomingFile(files, request), request, offload, _BATCH)


def _asyncio(files: Path) -> Started:
    from dicos_transports.asyncio import serve

    return _in_thread(lambda run: asyncio.run(_kept(serve, _handler(files), run, _asyncio_tasks)))


def _asyncio_tasks() -> Count:
    loop = asyncio.get_running_loop()

    async def count() -> int:
        return len(asyncio.all_tasks()) - 1  # without this one

    return lambda: asyncio.run_coroutine_threadsafe(count(), loop).result(30)


def _trio(files: Path) -> Started:
    import trio

    from dicos_transports.trio import serve

    return _in_thread(lambda run: trio.run(_kept, serve, _handler(files), run, _trio_tasks))


def _trio_tasks() -> Count:
    import trio

    token = trio.lowlevel.current_trio_token()
    return lambda: trio.from_thread.run_sync(_living, trio_token=token)


def _living() -> int:
    import trio

    return trio.lowlevel.current_statistics().tasks_living


async def _kept(
    serve: Any,
    handle: Any,
    run: Callable[[Listening, Count], None],
    counting: Callable[[], Count],
    policy: AcceptPolicy = POLICY,
) -> None:
    options: dict[str, Any] = {"policy": policy, "timeouts": _TIMEOUTS, "server_limits": _ROOM}
    async with serve(("127.0.0.1", 0), handle, **options) as server:
        run(server, counting())
        await server.wait()


def _in_thread(work: Callable[[Callable[[Listening, Count], None]], None]) -> Started:
    """Runs an event loop in a thread that ends with the process. Returns its server."""
    found: list[Started] = []
    ready = threading.Event()

    def run(server: Listening, tasks: Count) -> None:
        found.append((server, tasks))
        ready.set()

    threading.Thread(target=work, args=(run,), daemon=True, name="event loop").start()
    if not ready.wait(30):
        raise RuntimeError("the server does not start")
    return found[0]


@cache
def _destination() -> tuple[str, int]:
    """The address of a server that takes what an application moves and the reports that it brings."""
    from dicos_transports.blocking import serve

    def handle(session: Any) -> None:
        for request in session:
            request.respond()

    server = serve(("127.0.0.1", 0), handle, policy=POLICY, timeouts=_TIMEOUTS, server_limits=_ROOM)
    atexit.register(server.close, 0.1)
    return "127.0.0.1", server.port


def _application(files: Path) -> Started:
    app = application(files, _destination(), awaited=False)
    policy = replace(app.policy, peer_max_length=8)
    server = app.serve(("127.0.0.1", 0), policy=policy, timeouts=_TIMEOUTS, server_limits=_ROOM)
    atexit.register(server.close, 0.1)
    return server, _no_tasks


def _awaited_application(files: Path) -> Started:
    from dicos_transports.asyncio import serve

    app = application(files, _destination(), awaited=True)
    policy = replace(app.policy, peer_max_length=8)
    return _in_thread(lambda run: asyncio.run(_kept(serve, app.async_handler, run, _asyncio_tasks, policy)))


ADAPTERS: Final = {
    "blocking": _blocking,
    "asyncio": _asyncio,
    "trio": _trio,
    "application": _application,
    "application-asyncio": _awaited_application,
}
"""How to start each kind of server."""


@cache
def host(adapter: str) -> Host:
    """Returns the server of this adapter, which the first call starts."""
    files = folder(f"stored-{adapter}")
    return Host(*ADAPTERS[adapter](files), files)


def running() -> int:
    """Returns the number of servers that run in this process."""
    return host.cache_info().currsize

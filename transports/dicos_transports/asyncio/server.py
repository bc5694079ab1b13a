"""`serve` in asyncio: many associations at once, a task for each, within limits, until it is stopped.

`serving` decides who is admitted, and what is logged and counted.

Knows: tasks of asyncio. Must not know: what is sent over a connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, Unpack, cast

from dicos_proto.upper_layer.policy import AcceptPolicy

from ..addresses import Listeners, ListenFailed, Listening
from ..serving.async_server import AsyncServer, Handler
from ..serving.options import AsyncIdentify, Serve, ServeOptions, ServerConfig, check_functions
from ..serving.reception import GRACE, Connection, Metrics, ServerLimits
from ..sessions.channel import ServerStopping
from ..sessions.finished import documented
from .adapter import CONNECTIONS, is_connection, name_of_peer
from .driver import Connected, Streams, T, V, first

__all__ = ["Handler", "ListenFailed", "Metrics", "Server", "ServerLimits", "serve"]


@documented(Serve.__call__)
def serve(
    where: Listening | Streams,
    handler: Handler,
    *,
    policy: AcceptPolicy,
    identify: AsyncIdentify | None = None,
    **options: Unpack[ServeOptions],
) -> Server:
    check_functions(handler, identify, awaited=True)
    serving = ServerConfig.of(policy, options)
    if is_connection(where):
        return Server(handler, serving, identify, connection=where)
    return Server(handler, serving, identify, Listeners(cast(Listening, where), reuse_port=serving.reuse_port))


class Server(AsyncServer[Connected]):
    """Made by `serve`. An asynchronous context manager, which at the end stops the server and waits for its
    associations.

    If it is cancelled, it aborts all associations. Call `stop` in the loop's own thread.
    """

    def _prepare(self) -> None:
        self._changed: set[asyncio.Future[None]] = set()  # of the tasks that wait for a change
        self._tasks: set[asyncio.Task[None]] = set()
        self._breathers: dict[socket.socket, asyncio.TimerHandle] = {}  # listeners that are not polled for now

    async def __aenter__(self) -> Self:
        if self._listeners is not None:
            self._accepting = 1
            for sock in self._listeners.sockets:
                self._look_at(sock)
        elif self._connection is not None:
            self._take(self._connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.close()
        finally:
            if not self._done:  # failed or cancelled
                self.stop()
                self._kill()
                await self._all_over()

    async def _all_over(self) -> None:
        """Every task has ended, however often the one that waits for it is cancelled."""
        cancelled: asyncio.CancelledError | None = None
        while self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                del cancelled  # its traceback has this frame

    @documented(AsyncServer.wait)
    async def wait(self, timeout: float | None = None) -> bool:
        try:
            async with asyncio.timeout(timeout):
                while not self._done:
                    changed = asyncio.get_running_loop().create_future()
                    self._changed.add(changed)
                    try:
                        await changed
                    finally:
                        self._changed.discard(changed)
        except TimeoutError:
            pass
        return self._done

    @documented(AsyncServer.close)
    async def close(self, grace: float = GRACE) -> None:
        await super().close(grace)
        await self._all_over()

    def _tell_changed(self) -> None:
        for changed in self._changed:
            if not changed.done():
                changed.set_result(None)

    async def _first(self, over: Awaitable[T], wanted: Awaitable[V]) -> tuple[T, None] | tuple[None, V]:
        return await first(over, wanted)

    # -- accepting -----------------------------------------------------------------------------------------------

    def _look_at(self, listener: socket.socket) -> None:
        self._breathers.pop(listener, None)
        asyncio.get_running_loop().add_reader(listener, self._accept_from, listener)

    def _accept_from(self, listener: socket.socket) -> None:
        """Take one connection; the next one waits for the next turn of the loop: a flood of them is not all it does."""
        sock, pause = self._reception.accept(listener)
        if sock is not None:
            self._take(sock)
        elif pause:
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            self._breathers[listener] = loop.call_later(pause, self._look_at, listener)

    def _stop_accepting(self) -> None:
        if self._listeners is not None:
            for sock in self._listeners.sockets:
                if (breather := self._breathers.pop(sock, None)) is not None:
                    breather.cancel()
                elif self._accepting:
                    asyncio.get_running_loop().remove_reader(sock)
            self._listeners.close()
            self._accepting = 0
            self._tell_changed()

    def _take(self, connected: Connected) -> None:
        """Serve this connection in a task of its own."""
        CONNECTIONS.keep_alive(connected, self._serving.keepalive)
        if isinstance(connected, socket.socket):
            connection = Connection.over(connected)
        else:
            connection = Connection(name_of_peer(connected))
        name = f"association with {connection.peer}"
        task = asyncio.get_running_loop().create_task(self._serve(connection, connected), name=name)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:  # one that is cancelled before its first step runs nothing itself
            self._tasks.discard(task)
            if isinstance(connected, socket.socket):
                connected.close()
            else:
                connected[1].close()
            try:
                self._reception.end(connection, ServerStopping() if task.cancelled() else task.exception())
            finally:
                self._tell_changed()

        def stop() -> None:
            task.cancel()

        connection.stop = stop
        self._reception.arrive(connection)
        task.add_done_callback(ended)

    async def _serve(self, connection: Connection, connected: Connected) -> None:
        await self._converse(connection, self._serving.session(CONNECTIONS, connected, connection))

"""`serve` in trio: many associations at once, a task for each, within limits, until it is stopped.

`serving` decides who is admitted, and what is logged and counted.

Knows: tasks of trio. Must not know: what is sent over a connection.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, Unpack

import trio

from dicos_proto.upper_layer.policy import AcceptPolicy

from ..addresses import Listeners, ListenFailed, Listening, is_listening
from ..serving.async_server import AsyncServer, Handler
from ..serving.options import AsyncIdentify, Serve, ServeOptions, ServerConfig, check_functions
from ..serving.reception import Connection, Metrics, ServerLimits
from ..sessions.channel import ServerStopping
from ..sessions.finished import documented
from .adapter import CONNECTIONS, Connected
from .driver import T, V, first

__all__ = ["Handler", "ListenFailed", "Metrics", "Server", "ServerLimits", "serve"]


@documented(Serve.__call__)
def serve(
    where: Listening | trio.abc.Stream,
    handler: Handler,
    *,
    policy: AcceptPolicy,
    identify: AsyncIdentify | None = None,
    **options: Unpack[ServeOptions],
) -> Server:
    check_functions(handler, identify, awaited=True)
    serving = ServerConfig.of(policy, options)
    if isinstance(where, trio.abc.Stream) or (isinstance(where, socket.socket) and not is_listening(where)):
        return Server(handler, serving, identify, connection=where)
    return Server(handler, serving, identify, Listeners(where, reuse_port=serving.reuse_port))


class Server(AsyncServer[Connected]):
    """Made by `serve`. An asynchronous context manager, which at the end stops the server and waits for its
    associations.

    Cancelled, it aborts all associations. `stop` is called in trio's own thread.
    """

    def _prepare(self) -> None:
        self._changed = trio.lowlevel.ParkingLot()
        self._accept_scope = trio.CancelScope()
        self._manager = trio.open_nursery()
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        self._nursery = await self._manager.__aenter__()
        if self._listeners is not None:
            self._accepting = 1
            self._nursery.start_soon(self._accept_all, self._listeners)
        elif self._connection is not None:
            self._take(self._nursery, self._connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.close()
        finally:  # failed or cancelled: the exception is raised itself, not in a group of the nursery
            if self._nursery is not None:
                if not self._done:
                    self._nursery.cancel_scope.cancel()
                await self._manager.__aexit__(None, None, None)

    @documented(AsyncServer.wait)
    async def wait(self, timeout: float | None = None) -> bool:
        with trio.move_on_after(math.inf if timeout is None else timeout):
            while not self._done:
                await self._changed.park()
        return self._done

    def _stop_accepting(self) -> None:
        self._accept_scope.cancel()

    async def _first(self, over: Awaitable[T], wanted: Awaitable[V]) -> tuple[T, None] | tuple[None, V]:
        return await first(over, wanted)

    # -- accepting -----------------------------------------------------------------------------------------------

    async def _accept_all(self, listeners: Listeners) -> None:
        try:
            with self._accept_scope:
                async with trio.open_nursery() as nursery:
                    for sock in listeners.sockets:
                        nursery.start_soon(self._accept_from, sock)
        finally:
            for sock in listeners.sockets:
                trio.lowlevel.notify_closing(sock)
            listeners.close()
            self._accepting = 0
            self._changed.unpark_all()

    async def _accept_from(self, listener: socket.socket) -> None:
        nursery = self._nursery
        while nursery is not None:
            await trio.lowlevel.wait_readable(listener)
            sock, pause = self._reception.accept(listener)
            if sock is not None:
                self._take(nursery, sock)
            elif pause:
                await trio.sleep(pause)

    def _take(self, nursery: trio.Nursery, connected: Connected) -> None:
        """Serve this connection in a task of its own."""
        CONNECTIONS.keep_alive(connected, self._serving.keepalive)
        if isinstance(connected, socket.socket):
            connection = Connection.over(connected)
        else:
            connection = Connection(f"a {type(connected).__name__}")
        scope = trio.CancelScope()
        connection.stop = scope.cancel
        self._reception.arrive(connection)
        nursery.start_soon(self._serve, connection, connected, scope, name=f"association with {connection.peer}")

    async def _serve(self, connection: Connection, connected: Connected, scope: trio.CancelScope) -> None:
        fault: BaseException | None = None
        try:
            with scope:
                await self._converse(connection, self._serving.session(CONNECTIONS, connected, connection))
            if scope.cancelled_caught:
                fault = ServerStopping()
        except Exception as error:  # a handler's own fault ends its association and no other one
            fault = error
        except BaseException as error:
            fault = error
            raise
        finally:
            if isinstance(connected, socket.socket):
                connected.close()
            elif connection.session is None:
                trio.lowlevel.spawn_system_task(trio.aclose_forcefully, connected)
            try:
                self._reception.end(connection, fault)
            finally:
                del fault  # its traceback has this frame, and those that hold what was received
            self._changed.unpark_all()

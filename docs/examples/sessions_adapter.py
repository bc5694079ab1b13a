"""Sessions on an event loop of your own: a minimal loop over `selectors`, and the adapter that it needs."""

import errno
import math
import os
import selectors
import socket
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from time import monotonic
from types import coroutine
from typing import Any, TypeVar, Unpack

from dicos_proto import ProposedContext, ProtocolError, Timeouts
from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.wire import Wire
from dicos_transports.addresses import Address, SourceAddress, keep_alive, peer_of, unreachable
from dicos_transports.options import ConnectOptions
from dicos_transports.sessions import opening
from dicos_transports.sessions.base import ConnectionFailed
from dicos_transports.sessions.channel import Channel, ServerStopping
from dicos_transports.sessions.loop_driver import LoopDriver
from dicos_transports.sessions.session import Session
from dicos_transports.tracing import Trace

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
T = TypeVar("T")

# -- the loop --------------------------------------------------------------------------------------------------------

Wait = tuple[socket.socket | None, int, float]  # a socket, the events to wait for, and the time to stop


@coroutine
def ready(sock: socket.socket | None, events: int, until: float) -> Generator[Wait, int | None, int]:
    """Wait for one of `events`. Returns those that are ready; 0 if there are none at the time `until`."""
    return (yield sock, events, until) or 0


def run(*tasks: Coroutine[Any, Any, T]) -> list[T]:
    """Run the tasks at the same time. Returns their results; the first exception ends all of them."""
    results: dict[int, T] = {}
    waits: dict[int, Wait] = dict.fromkeys(range(len(tasks)), (None, 0, 0.0))
    while waits:
        with selectors.DefaultSelector() as selector:
            for number, (sock, events, _) in waits.items():
                if sock is not None and events:
                    selector.register(sock, events, number)
            until = min(until for _, _, until in waits.values())
            found = selector.select(None if until == math.inf else max(0.0, until - monotonic()))
            masks = {key.data: mask for key, mask in found}
        now = monotonic()
        for number in [number for number, wait in waits.items() if number in masks or wait[2] <= now]:
            try:
                waits[number] = tasks[number].send(masks.get(number))
            except StopIteration as done:
                results[number] = done.value
                del waits[number]
    return [results[number] for number in range(len(tasks))]


# -- the adapter -----------------------------------------------------------------------------------------------------


class SocketLink(Channel):
    """Carries a wire over a socket. `stop_at`: the time to give up, even before a deadline."""

    stop_at = math.inf

    async def wait(self, need: Need) -> ProtocolError | None:
        """Wait until the need is met or a deadline has passed. Returns the error that ends the flow, if any."""
        while True:
            self.acknowledge()
            now = monotonic()
            at = self.due(now)
            if self.stop_at <= now:
                raise TimeoutError
            if at <= now:
                await ready(None, 0, now)  # other tasks have their turn
                return self.on_time(now)
            wanted = (READ if self.wire.wants_read else 0) | (WRITE if self.writing else 0)
            found = await ready(self.sock, wanted, min(at, self.stop_at))
            if self.measured:
                self.woke(monotonic())
            if found and self.proceed(need, readable=bool(found & READ), writable=bool(found & WRITE)):
                return None


class Driver(LoopDriver):
    """Interprets flows in the loop. The loop cannot cancel a task, so `interrupt` takes effect before the next wait."""

    link: SocketLink

    def interrupt(self) -> None:
        self._interrupted = True

    async def finish(self, flow: Flow[None], seconds: float) -> None:
        self.link.stop_at = monotonic() + seconds
        with suppress(TimeoutError):
            await self.run(flow)

    async def _interruptibly(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._interrupted:
            raise ServerStopping
        return await work()

    async def _checkpoint(self) -> None:
        await ready(None, 0, 0.0)


class Connections:
    """The `Transport` of the loop: IPv4 sockets."""

    async def open(
        self, where: Address | socket.socket, timeouts: Timeouts, source: SourceAddress | None
    ) -> socket.socket:
        if isinstance(where, socket.socket):
            return where
        if source is not None or not isinstance(where, tuple):
            raise ConnectionFailed(unreachable(where, "only (host, port) is implemented, without a source address"))
        sock = socket.socket()
        sock.setblocking(False)
        code = sock.connect_ex(where)
        if code == errno.EINPROGRESS:
            connected = await ready(sock, WRITE, monotonic() + (timeouts.connect or math.inf))
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if connected else errno.ETIMEDOUT
        if code:
            sock.close()
            raise ConnectionFailed(unreachable(where, os.strerror(code)))
        return sock

    def keep_alive(self, connection: socket.socket, seconds: float | None) -> None:
        keep_alive(connection, seconds)

    def drive(
        self, connection: socket.socket, wire: Wire, timeouts: Timeouts, trace: Trace | None
    ) -> tuple[Driver, str]:
        return Driver(SocketLink(connection, wire, timeouts, trace)), peer_of(connection)


async def connect(
    where: Address | socket.socket, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]
) -> Session:
    return await opening.connect(Connections(), where, contexts, **options)

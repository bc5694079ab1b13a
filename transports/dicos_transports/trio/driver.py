"""Runs flows in trio: the links, which carry a wire over a socket or a stream, and their interpreter.

Knows: how trio waits. Must not know: what is sent over a connection, how a connection is made.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import trio

from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.errors import ProtocolError
from dicos_proto.timers import Timeouts
from dicos_proto.wire import Wire

from ..buffers import RECEIVE_SIZE
from ..sessions.channel import Channel, ServerStopping, TaskedLink, joined
from ..sessions.loop_driver import LoopDriver
from ..tracing import Trace

T = TypeVar("T")
V = TypeVar("V")
HAS_EPOLL: Final = hasattr(select, "epoll")


class SocketLink(Channel):
    """A wire over a socket."""

    def __init__(self, sock: socket.socket, wire: Wire, timeouts: Timeouts, trace: Trace | None = None) -> None:
        super().__init__(sock, wire, timeouts, trace)
        self._either: select.epoll | None = None  # ready once the socket is readable or writable

    def close(self) -> None:
        if not self.closed:
            trio.lowlevel.notify_closing(self.sock)
            if self._either is not None:
                trio.lowlevel.notify_closing(self._either)
                self._either.close()
        super().close()

    async def wait(self, need: Need) -> ProtocolError | None:
        """Waits until the need is met or a deadline has passed. Returns the error that ends the flow, if any."""
        while True:
            self.acknowledge()
            now = trio.current_time()
            at = self.due(now)
            if at <= now:
                await trio.lowlevel.checkpoint()
                return self.on_time(now)
            readable, writable = await self._ready(at)
            if self.measured:
                self.woke(trio.current_time())
            if (readable or writable) and self.proceed(need, readable=readable, writable=writable):
                return None

    async def _ready(self, until: float) -> tuple[bool, bool]:
        """Waits until the socket is readable or writable, or until `until`. Returns (readable, writable)."""
        with trio.CancelScope(deadline=until):
            if not self.writing:
                await trio.lowlevel.wait_readable(self.sock)
                return True, False
            if not self.wire.wants_read:
                await trio.lowlevel.wait_writable(self.sock)
                return False, True
            if (either := self._one_for_both()) is None:
                return await self._first_of_two()
            await trio.lowlevel.wait_readable(either)
            events = sum(found for _, found in either.poll(0))
            return events & ~select.EPOLLOUT != 0, events & select.EPOLLOUT != 0
        return False, False

    def _one_for_both(self) -> select.epoll | None:
        """The epoll object that reports both readable and writable; None if the system has none or cannot make one."""
        if self._either is None and HAS_EPOLL:
            try:
                self._either = select.epoll()
            except OSError:  # no descriptor is left
                return None
            self._either.register(self.sock, select.EPOLLIN | select.EPOLLOUT)
        return self._either

    async def _first_of_two(self) -> tuple[bool, bool]:
        """The same by a task for each, which costs much more than what is waited for."""
        ready = [False, False]

        async def one(index: int, wait: Callable[[socket.socket], Awaitable[None]]) -> None:
            await wait(self.sock)
            ready[index] = True
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, 0, trio.lowlevel.wait_readable)
            nursery.start_soon(one, 1, trio.lowlevel.wait_writable)
        return ready[0], ready[1]


class StreamLink(TaskedLink):
    """A wire over any stream of trio: trio's own TLS, a tunnel, a pair in memory.

    A stream cannot be used any more once a send is cancelled, and trio has no way to ask if there is anything to
    receive. So two tasks send and receive: one until everything is sent, the other once at a time, and both until the
    stream is broken or `close` is called.
    """

    def __init__(self, stream: trio.abc.Stream, wire: Wire, timeouts: Timeouts, trace: Trace | None = None) -> None:
        super().__init__(wire, timeouts, trace)
        self.closed = False
        self._stream = stream
        self._sending: trio.CancelScope | None = None  # of the task that sends
        self._receiving: trio.CancelScope | None = None  # of the one that receives
        self._shutting = trio.CancelScope()  # of the one that shuts down the sending side
        self._received_last: bytes | bytearray | None = None  # what it has received, until the wire wants it
        self._waiting: trio.CancelScope | None = None  # of the task that waits for them

    def flush(self) -> None:
        """See to it that what is queued is sent."""
        self._collect()
        if self._pending and self._sending is None and not self.closed:
            self._sending = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._send, self._sending)

    def close(self) -> None:
        """Close the stream, without the farewell that its kind may have."""
        if not self.closed:
            self.closed = True
            self._break()
            for scope in (self._sending, self._receiving, self._shutting):
                if scope is not None:
                    scope.cancel()
            trio.lowlevel.spawn_system_task(trio.aclose_forcefully, self._stream)
            self._tell_closed()

    async def wait(self, need: Need) -> ProtocolError | None:
        """Waits until the need is met or a deadline has passed. Returns the error that ends the flow, if any."""
        while True:
            now = trio.current_time()
            at = self.due(now)
            if at <= now:
                await trio.lowlevel.checkpoint()
                return self.on_time(now)
            if self._take() or (need is Need.DRAIN and self.drained):
                return None
            with trio.CancelScope(deadline=at) as self._waiting:
                await trio.sleep_forever()
            self._waiting = None
            if self.measured:
                self.woke(trio.current_time())

    def _shut_down(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream) and not self.closed:
            trio.lowlevel.spawn_system_task(self._send_eof, self._stream, self._shutting)

    def _take(self) -> bool:
        """Gives the wire what was received, and receives more if the wire wants it. Returns True if it gave any."""
        if not self.wire.wants_read:
            return False
        data, self._received_last = self._received_last, None
        if data is not None:
            self._received(data)
        elif self._receiving is None and not self.closed:
            self._receiving = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._receive, self._receiving)
        return data is not None

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    async def _receive(self, scope: trio.CancelScope) -> None:
        with scope:
            try:
                self._received_last = await self._stream.receive_some(RECEIVE_SIZE)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._received_last = b""
        self._receiving = None
        self._wake()

    async def _send_eof(self, stream: trio.abc.HalfCloseableStream, scope: trio.CancelScope) -> None:
        with scope, suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_eof()

    async def _send(self, scope: trio.CancelScope) -> None:
        with scope:
            try:
                while self._pending:
                    data = joined(self._pending)
                    await self._stream.send_all(data)
                    self._sent(len(data), trio.current_time())
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._break()
        self._sending = None
        if not self._pending:
            self._wake()


class Driver(LoopDriver):
    """Interprets flows in trio. One task at a time may use it."""

    def __init__(self, link: SocketLink | StreamLink) -> None:
        super().__init__(link)
        self._scope: trio.CancelScope | None = None  # of a wait that may be interrupted

    def interrupt(self) -> None:
        self._interrupted = True
        if self._scope is not None:
            self._scope.cancel()

    async def finish(self, flow: Flow[None], seconds: float) -> None:
        with trio.move_on_after(seconds, shield=True):
            await self.run(flow)

    async def _interruptibly(self, work: Callable[[], Awaitable[T]]) -> T:
        if not self._interrupted:
            with trio.CancelScope() as self._scope:
                try:
                    return await work()
                finally:
                    self._scope = None
        raise ServerStopping

    def _checkpoint(self) -> Awaitable[None]:
        return trio.lowlevel.checkpoint()


async def first(over: Awaitable[T], wanted: Awaitable[V]) -> tuple[T, None] | tuple[None, V]:
    """Await both until the first of them ends; the other one is cancelled. Should both end, `over` counts."""
    ended: list[T] = []
    found: list[V] = []
    faults: list[Exception] = []  # raised themselves, not in a group of the nursery

    async def watch() -> None:
        try:
            ended.append(await over)
        except Exception as error:
            faults.insert(0, error)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        try:
            found.append(await wanted)
        except Exception as error:
            faults.append(error)
        nursery.cancel_scope.cancel()
    if ended:
        return ended[0], None
    if faults:
        try:
            raise faults[0]
        finally:
            faults.clear()  # their tracebacks have this frame
    return None, found[0]

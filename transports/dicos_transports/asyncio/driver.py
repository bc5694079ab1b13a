"""Runs flows in asyncio: the links, which carry a wire over a socket or streams, and their interpreter.

Knows: how asyncio waits. Must not know: what is sent over a connection, how a connection is made.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.errors import ProtocolError
from dicos_proto.timers import Timeouts
from dicos_proto.wire import Wire

from ..buffers import RECEIVE_SIZE
from ..sessions.channel import Channel, ServerStopping, TaskedLink, joined, reset_by_close
from ..sessions.loop_driver import LoopDriver
from ..tracing import Trace

T = TypeVar("T")
V = TypeVar("V")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connected = socket.socket | Streams
"""A connection that is open already: a stream socket, or a pair of asyncio's streams."""


class _Alarm:
    """Wakes one waiting task at a time, by an event or at a time; a later time costs no new timer."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waited_for(self) -> bool:
        """True if a task is waiting."""
        return self._waiter is not None

    def ring(self) -> None:
        """Wakes the task that is waiting, if there is one."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, until: float) -> None:
        """Waits until it rings, at the latest at `until`; it may ring too early."""
        if until != math.inf and (self._timer is None or self._timer.when() > until):
            self.cancel()
            self._timer = self.loop.call_at(until, self._on_time)
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def cancel(self) -> None:
        """No timer any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._timer = None
        self.ring()


class SocketLink(Channel):
    """A wire over a socket.

    The loop keeps watching the socket for input between two waits: most waits follow each other closely, and adding
    and removing the reader each time costs two system calls. It stops watching when input arrives and nobody waits.
    """

    def __init__(self, sock: socket.socket, wire: Wire, timeouts: Timeouts, trace: Trace | None = None) -> None:
        super().__init__(sock, wire, timeouts, trace)
        self._alarm = _Alarm()
        self._loop = self._alarm.loop
        self._reading = self._writing = False  # what the loop looks for
        self._readable = self._writable = False  # what it has seen

    def close(self) -> None:
        if not self.closed:
            self._look_for(reading=False, writing=False)
            self._alarm.cancel()
        super().close()

    async def wait(self, need: Need) -> ProtocolError | None:
        """Waits until the need is met or a deadline has passed. Returns the error that ends the flow, if any."""
        while True:
            self.acknowledge()
            now = self._loop.time()
            at = self.due(now)
            if at <= now:
                await asyncio.sleep(0)
                return self.on_time(now)
            self._look_for(reading=self.wire.wants_read, writing=self.writing)
            self._readable = self._writable = False
            await self._alarm.wait(at)
            if self.measured:
                self.woke(self._loop.time())
            readable, writable = self._readable, self._writable
            if (readable or writable) and self.proceed(need, readable=readable, writable=writable):
                return None

    def _look_for(self, *, reading: bool, writing: bool) -> None:
        loop, fd = self._loop, self.fd
        if reading != self._reading:
            self._reading = reading
            if reading:
                loop.add_reader(fd, self._on_readable)
            else:
                loop.remove_reader(fd)
        if writing != self._writing:
            self._writing = writing
            if writing:
                loop.add_writer(fd, self._on_writable)
            else:
                loop.remove_writer(fd)

    def _on_readable(self) -> None:
        self._readable = True
        if self._alarm.waited_for:
            self._alarm.ring()
        else:
            self._look_for(reading=False, writing=self._writing)

    def _on_writable(self) -> None:
        self._writable = True
        if self._alarm.waited_for:
            self._alarm.ring()
        else:
            self._look_for(reading=self._reading, writing=False)


class StreamLink(TaskedLink):
    """A wire over a pair of asyncio's streams: TLS of asyncio's own, a tunnel, a pair in memory.

    Tasks of its own receive and send, so that a flow that is cancelled leaves neither in the middle. They end with the
    stream, or when `close` is called.
    """

    def __init__(self, streams: Streams, wire: Wire, timeouts: Timeouts, trace: Trace | None = None) -> None:
        super().__init__(wire, timeouts, trace)
        self.closed = False
        self._reader, self._writer = streams
        self._writer.transport.set_write_buffer_limits(0)  # what was sent has left it
        self._alarm = _Alarm()
        self._loop = self._alarm.loop
        self._receiving: asyncio.Task[bytes] | None = None
        self._sending: asyncio.Task[None] | None = None

    def flush(self) -> None:
        """See to it that what is queued is sent."""
        self._collect()
        if self._pending and self._sending is None and not self.closed:
            self._sending = self._loop.create_task(self._send())

    def close(self) -> None:
        """Closes the streams; at once if data is left that the peer does not accept, because it may never do so."""
        if not self.closed:
            self.closed = True
            self._break()
            self._alarm.cancel()
            if self._sending is not None:
                self._sending.cancel()
                self._writer.transport.abort()
            elif self._resets():
                sock = self._writer.get_extra_info("socket")
                if sock is not None:
                    reset_by_close(sock)
                self._writer.transport.abort()
            if self._receiving is not None:
                self._receiving.cancel()
                self._receiving = None  # its exception has a traceback, which has this link
            self._writer.close()
            self._tell_closed()

    async def wait(self, need: Need) -> ProtocolError | None:
        """Waits until the need is met or a deadline has passed. Returns the error that ends the flow, if any."""
        while True:
            now = self._loop.time()
            at = self.due(now)
            if at <= now:
                await asyncio.sleep(0)
                return self.on_time(now)
            if self._take() or (need is Need.DRAIN and self.drained):
                return None
            await self._alarm.wait(at)
            if self.measured:
                self.woke(self._loop.time())

    def _shut_down(self) -> None:
        if not self.closed and self._writer.can_write_eof():
            with suppress(OSError):
                self._writer.write_eof()

    def _take(self) -> bool:
        """Gives the wire what was received, and receives more if the wire wants it. Returns True if it gave any."""
        if not self.wire.wants_read or self.closed:
            return False
        if self._receiving is None:
            self._receiving = self._loop.create_task(self._receive())
        elif self._receiving.done():
            data, self._receiving = self._receiving.result(), None
            self._received(data)
            return True
        return False

    async def _receive(self) -> bytes:
        try:
            return await self._reader.read(RECEIVE_SIZE)
        except OSError:
            return b""
        finally:
            self._loop.call_soon(self._alarm.ring)  # once this task is done

    async def _send(self) -> None:
        try:
            while self._pending:
                data = joined(self._pending)
                self._writer.write(data)
                await self._writer.drain()
                self._sent(len(data), self._loop.time())
        except OSError:
            self._break()
        finally:
            self._sending = None
            self._alarm.ring()


class Driver(LoopDriver):
    """Interprets flows in asyncio. One task at a time may use it."""

    def __init__(self, link: SocketLink | StreamLink) -> None:
        super().__init__(link)
        self._task: asyncio.Task[Any] | None = None  # that may be interrupted
        self._ending = False  # it is

    def interrupt(self) -> None:
        self._interrupted = True
        if self._task is not None and not self._ending:
            self._ending = True
            self._task.cancel()

    async def finish(self, flow: Flow[None], seconds: float) -> None:
        task = asyncio.ensure_future(self.run(flow))
        cancelled: asyncio.CancelledError | None = None
        until = asyncio.get_running_loop().time() + seconds
        while not task.done() and (left := until - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.wait((task,), timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
        try:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
            if cancelled is not None:
                if not task.cancelled():
                    task.exception()  # seen
                raise cancelled
            if not task.cancelled():
                task.result()
        finally:
            del cancelled, task  # the traceback of what they raise has this frame

    async def _interruptibly(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._interrupted:
            raise ServerStopping
        self._task = task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        try:
            return await work()
        except asyncio.CancelledError:
            if self._ending and task is not None and task.uncancel() <= before:
                raise ServerStopping from None
            raise
        finally:
            self._task = None
            del task  # which keeps what it raises, whose traceback has this frame

    def _checkpoint(self) -> Awaitable[None]:
        return asyncio.sleep(0)


async def first(over: Awaitable[T], wanted: Awaitable[V]) -> tuple[T, None] | tuple[None, V]:
    """Await both until the first of them ends; the other one is cancelled. Should both end, `over` counts."""
    watching = asyncio.ensure_future(over)
    waiting = asyncio.ensure_future(wanted)
    both: tuple[asyncio.Future[Any], ...] = (watching, waiting)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in both:
            one.cancel()
        await asyncio.wait(both)
        for one in both:
            one.cancelled() or one.exception()  # seen, whichever of them counts
    try:
        if not watching.cancelled():
            return watching.result(), None
        return None, waiting.result()
    finally:
        del watching, waiting, both, one  # the traceback of what they raise has this frame

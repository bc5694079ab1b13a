"""One connected socket and the wire on it: the interpreter of flows for blocking code.

Theory of operation: the socket is non-blocking and always full duplex. A flow that needs input makes the driver write
what is queued and read what comes, whichever is possible first; one that needs draining makes it write, and it reads
meanwhile as long as the wire wants more. Every wait is one `poll` whose timeout is the wire's next deadline, or the
write stall's, after some looks that cost a tenth of a millisecond at most: an idle association costs no processor time.

Invariants: a buffer is used again only when nobody holds a view of it; what was taken from the wire is sent in order or
not at all; after the connection is lost, `Closed` is what the wire has to say.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Literal, TypeVar

from dicos_proto.errors import DeadlineExceeded, ProtocolError
from dicos_proto.events import ProviderAbort
from dicos_proto.flows import AssociationAborted, AssociationError, Flow, Need
from dicos_proto.timers import Timeouts
from dicos_proto.wire import Buffer, Wire

RECEIVE_SIZE: Final = 256 * 1024
"""Bytes asked for in one receive."""
COPY_BELOW: Final = RECEIVE_SIZE // 8
"""A receive of fewer bytes is copied out of its buffer, so that keeping a small piece never keeps a large buffer."""
STREAK: Final = 64
"""Large receives in a row after which time and `kill` are looked at, however much more is there."""
LOOKS: Final = 100
"""How often a socket is looked at before its thread goes to sleep, about a microsecond each."""
CONTENDED: Final = 0.00005
"""Seconds that yielding the processor takes where somebody else had it meanwhile."""
PAUSE: Final = 60
"""Waits without a look after that."""
AWAKE: Final = 0.0004
"""Seconds of sleep after which a peer counts as slow: the next wait looks half as often."""
IOV_MAX: Final = 1024
"""Buffers in one gathering write; what Linux takes at most."""

Trace = Callable[[Literal["sent", "received"], Sequence[Buffer]], None]
"""What watches the bytes of a connection: the direction, and buffers that it must not keep."""

T = TypeVar("T")


_LOOKING = threading.Lock()
_ONE_CPU = (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) == 1
"""Then to look is to keep the peer from answering."""


class ServerStopping(AssociationError):
    """The server stops: the association ends although nobody did anything wrong."""

    def __init__(self) -> None:
        super().__init__("the server is stopping")


class Driver:
    """Carries one wire's bytes over one connected stream socket. One thread at a time may use it.

    `stop`: a descriptor that becomes readable when whoever waits for a new request is to be interrupted; `kill`: one
    that becomes readable when every wait is. Both raise `ServerStopping` inside the flow.
    """

    def __init__(
        self,
        sock: socket.socket,
        wire: Wire,
        timeouts: Timeouts,
        *,
        trace: Trace | None = None,
        stop: int | None = None,
        kill: int | None = None,
    ) -> None:
        tune(sock)
        self.sock = sock
        self.wire = wire
        self.bytes_sent = 0
        self.bytes_received = 0
        self._write_stall = timeouts.write_stall
        self._trace = trace
        self._fd = sock.fileno()
        self._stop = stop
        self._kill = kill
        self._buffers = [bytearray(RECEIVE_SIZE)]
        self._pending: list[Buffer] = []
        self._pending_size = 0
        self._stalled_at: float | None = None  # since when the peer takes nothing
        self._told: float | None = None  # the deadline of the wire that passed last
        self.broken = False  # the peer takes nothing any more; it may still have said something
        self._more = False  # the last receive was so large that more is likely to be there
        self._streak = 0  # large receives in a row
        self._quick_ack = sock.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_QUICKACK")
        self._looks = LOOKS
        self._pause = 0  # waits that do not look at all
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._polled = select.POLLIN
        if kill is not None:
            self._poll.register(kill, select.POLLIN)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self.sock.fileno() < 0

    def run(self, flow: Flow[T], *, interruptible: bool = False) -> T:
        """Interpret `flow` to its end; its result. Raises what it raises, and `ServerStopping`.

        `interruptible`: the flow waits for a new request, so `stop` interrupts it.
        """
        if interruptible and self._stop is not None:
            self._poll.register(self._stop, select.POLLIN)
            self._more = False  # so that it is looked at
        try:
            need = next(flow)
            while True:
                fault = self._serve(need)
                need = flow.throw(fault) if fault is not None else next(flow)
        except StopIteration as done:
            self.flush()  # what the flow sent last, an A-ASSOCIATE-AC say, is not to wait for the next one
            result: T = done.value
            return result
        finally:
            if interruptible and self._stop is not None:
                self._poll.unregister(self._stop)

    def flush(self) -> None:
        """Give what is queued to the kernel as far as it takes it now, without waiting."""
        self._collect()
        if self._pending:
            self._write()

    def close(self) -> None:
        """Close the connection, once what is queued was written or nobody wants it."""
        self._pending.clear()
        self._pending_size = 0
        self.sock.close()

    # -- what a flow needs ---------------------------------------------------------------------------------------

    def _serve(self, need: Need) -> ProtocolError | None:
        if need is Need.INPUT:
            return self._input()
        if need is Need.DRAIN:
            return self._drain()
        return self._turn()

    def _turn(self) -> ProtocolError | None:
        """Write and read what can be written and read now. `kill` ends also a flow that never waits."""
        self.flush()
        if self._kill is not None and any(fd == self._kill for fd, _ in self._poll.poll(0)):
            return ServerStopping()
        if self.wire.wants_read:
            self._read()
        return None

    def _input(self) -> ProtocolError | None:
        """Until the wire was given bytes, end of file or time. What ends the flow instead, if anything does."""
        self._collect()
        if self._pending:
            self._write()
        wire = self.wire
        if self._more and wire.wants_read and self._read():
            return None
        while True:
            ready, fault = self._wait()
            if fault is not None or not ready:
                return fault
            if ready & select.POLLOUT:
                self._write()
            if ready & ~select.POLLOUT and self._read():
                return None

    def _drain(self) -> ProtocolError | None:
        """Until all that was queued is written, something was received, or time has passed."""
        self._collect()
        self._write()
        if self.broken and self.wire.wants_read:
            self._read()  # what the peer said last, or that it is gone: nothing else would tell
        while self._pending:
            ready, fault = self._wait()
            if fault is not None or not ready:
                return fault
            if ready & select.POLLOUT:
                self._write()
            if ready & ~select.POLLOUT:
                if not self.wire.wants_read:
                    self._write()  # an error or a hang-up: writing tells which
                elif self._read():
                    return None
        return None

    def _wait(self) -> tuple[int, ProtocolError | None]:
        """The socket's events; none, if a deadline passed, which the wire was told, or the flow is to end."""
        pending = bool(self._pending)
        wants = (select.POLLIN if self.wire.wants_read else 0) | (select.POLLOUT if pending else 0)
        if wants != self._polled:
            self._poll.modify(self._fd, wants)
            self._polled = wants
        if self._quick_ack:
            # A peer with Nagle's algorithm waits for this before it sends the rest; the kernel forgets it again.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        while True:
            now = monotonic()
            deadline = self.wire.deadline(now)
            # One that was told takes effect when the flow asks for the next event; till then it wakes nobody again.
            at = math.inf if deadline is None or deadline.at == self._told else deadline.at
            if pending and self._write_stall is not None:
                if self._stalled_at is None:
                    self._stalled_at = now
                at = min(at, self._stalled_at + self._write_stall)
            if at <= now:
                self._told = None if deadline is None or deadline.at > now else deadline.at
                return 0, self._on_time(now)
            found = self._spin() or self._sleep(now, at)
            ready = 0
            for fd, events in found:
                if fd == self._fd:
                    ready = events
                else:
                    return 0, ServerStopping()
            if ready:
                return ready, None

    def _spin(self) -> list[tuple[int, int]]:
        """Look, for as long as an answer of a peer that is awake takes, before going to sleep.

        To be woken takes longer than to answer a small message. Between two looks whoever else wants the processor
        gets it. A peer that turns out to be slower is looked out for less and less, and not at all for some time if
        there are more who want a processor than there are processors; in a process only one thread at a time looks.
        An idle association sleeps.
        """
        if self._pause:
            self._pause -= 1
        elif not _ONE_CPU and _LOOKING.acquire(blocking=False):
            try:
                last = monotonic()
                for _ in range(self._looks):
                    found = self._poll.poll(0)
                    if found:
                        return found
                    os.sched_yield()
                    now = monotonic()
                    if now - last > CONTENDED:
                        self._pause = PAUSE
                        break
                    last = now
            finally:
                _LOOKING.release()
        return []

    def _sleep(self, now: float, until: float) -> list[tuple[int, int]]:
        """Wait for an event; none, if `until` comes first."""
        found = self._poll.poll(None if until == math.inf else math.ceil((until - now) * 1000))
        self._looks = LOOKS if monotonic() - now < AWAKE else self._looks >> 1
        return found

    def _on_time(self, now: float) -> ProtocolError | None:
        self.wire.handle_timeout(now)
        stalled, limit = self._stalled_at, self._write_stall
        if not self._pending or stalled is None or limit is None or now < stalled + limit:
            return None
        left = self._pending_size
        self._break()
        self.wire.receive_eof()
        why = f"write stall: the peer took none of the {left} bytes that wait for it within {limit:g} s"
        return AssociationAborted(ProviderAbort(error=DeadlineExceeded(why)))

    # -- the socket ----------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take what the wire has to send, once the kernel has all that was taken before.

        What it does not take yet stays with the wire, so that a flow sees in `bytes_queued` that its peer is slow.
        """
        if self._pending:
            return
        buffers = self.wire.data_to_send()
        if buffers and not self.broken:
            if self._trace is not None:
                self._trace("sent", buffers)
            self._pending += buffers
            self._pending_size += sum(map(len, buffers))

    def _write(self) -> None:
        """As much as the kernel takes now, of what was taken and then of what is queued since."""
        pending = self._pending
        while pending:
            batch = pending if len(pending) <= IOV_MAX else pending[:IOV_MAX]
            try:
                sent = self.sock.sendmsg(batch)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return
                self._break()
                return
            self._stalled_at = None
            self.bytes_sent += sent
            self._pending_size -= sent
            if not self._pending_size:
                pending.clear()
                self._collect()
                continue
            for index, buffer in enumerate(batch):
                if sent < len(buffer):
                    pending[: index + 1] = [memoryview(buffer)[sent:]]
                    break
                sent -= len(buffer)
            else:
                del pending[: len(batch)]

    def _break(self) -> None:
        """The peer takes nothing any more. What it said before that is still read."""
        self.broken = True
        self._pending.clear()
        self._pending_size = 0
        self._stalled_at = None

    def _read(self) -> bool:
        """Give the wire what is there; whether it was given anything, end of file included."""
        buffer = self._free_buffer()
        try:
            count = self.sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            self._more = False
            return False
        except OSError:
            count = 0
        if not count:
            self._more = False
            self.wire.receive_eof()
            return True
        self.bytes_received += count
        large = count >= COPY_BELOW
        self._streak = self._streak + 1 if large else 0
        self._more = self._streak % STREAK > 0
        data: Buffer = memoryview(buffer)[:count] if large else bytes(memoryview(buffer)[:count])
        if self._trace is not None:
            self._trace("received", [data])
        self.wire.receive_data(data)
        return True

    def _free_buffer(self) -> bytearray:
        """A buffer of which nobody holds a view; it comes first from now on."""
        buffers = self._buffers
        for index, buffer in enumerate(buffers):
            try:
                buffer.append(0)  # refused while a view of it exists
            except BufferError:
                continue
            buffer.pop()
            if index:
                buffers[0], buffers[index] = buffer, buffers[0]
            return buffer
        # Kept pieces keep their buffer; of those that may come free again only a few are remembered.
        buffer = bytearray(RECEIVE_SIZE)
        self._buffers = [buffer, *buffers[:2]]
        return buffer


def tune(sock: socket.socket) -> None:
    """Non-blocking; and small writes leave at once: a message is one write, so nothing is gained by waiting."""
    sock.setblocking(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

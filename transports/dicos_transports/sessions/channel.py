"""A wire and the connection it is carried over: all that a driver does without waiting.

Theory of operation: the connection is always full duplex. `Link` is what every driver has: bytes taken from the wire
that wait for the connection, and deadlines. A `Channel` is the link over a non-blocking socket. What a flow needs
(`Need`) is begun by `begin`: what is queued is written, as far as the kernel takes it now. If that was not all, the
driver waits, in the way of its runtime, until the socket is readable or writable or `due` has come, and `proceed` or
`on_time` goes on. So each adapter is one way to wait, and nothing else.

Invariants: a buffer is used again only when nobody holds a view of it; what was taken from the wire is sent in order or
not at all; what the kernel does not take stays with the wire, whose `bytes_queued` shows that the peer is slow; after
the connection is lost, `Closed` is what the wire has to say.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Sequence
from typing import Final

from dicos_proto.association import Association, bytes_unread
from dicos_proto.conversation.flows import AssociationAborted, AssociationError, Need
from dicos_proto.errors import DeadlineExceeded, ProtocolError
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.wire import Buffer, Wire

from ..buffers import RECEIVE_SIZE, SHARED, Buffers
from ..tracing import Trace

COPY_BELOW: Final = 32 * 1024
"""A receive of fewer bytes is copied out of its buffer, so that keeping a small piece never keeps a large buffer. What
comes while something else is waited for may be kept for long: that is copied unless it fills its buffer."""
STREAK: Final = 64
"""Large receives in a row after which the runtime is asked, however much more is there."""
KEPT: Final = 3
"""Buffers in use that one association may keep from being used again, besides the newest."""
JOINED: Final = 64 * 1024
"""Bytes that are joined before they are sent; or sent at a time, where a connection knows no gathering write."""
IOV_MAX: Final = 1024
"""Buffers in one gathering write; what Linux takes at most."""

BATCH: Final = 8
"""Writes that the kernel may hold back together: a small part of a window, so that the peer has work meanwhile."""
_MORE: Final = getattr(socket, "MSG_MORE", 0)
"""Linux: what is sent waits in the kernel for what follows, for at most 200 ms.  # tcp(7), TCP_CORK"""


class ServerStopping(AssociationError):
    """The server stops: the association ends although nobody did anything wrong."""

    def __init__(self) -> None:
        super().__init__("the server is stopping")


class Link:
    """What is between one wire and one connection, of whatever kind. One user at a time."""

    def __init__(self, wire: Wire, timeouts: Timeouts, trace: Trace | None = None) -> None:
        self.wire = wire
        self.bytes_sent = 0
        self.bytes_received = 0
        self.broken = False
        """The peer takes nothing any more; it may still have said something."""
        self.measured = False
        """`woke` is to be called when the wait that `due` began has ended."""
        self.association: Association | None = None
        """Whose messages the wire carries, where that is known: what follows each other at once leaves in batches."""
        self._write_stall = timeouts.write_stall
        self._rate = timeouts.minimum_rate
        self._trace = trace
        self._end_trace: Trace | None = None
        self._pending: list[Buffer] = []
        self._pending_size = 0
        self._stalled_at: float | None = None  # since when the peer takes nothing
        self._slow_at: float | None = None  # since when it has not taken what was taken from the wire at a time
        self._slow_from = 0  # bytes sent before
        self._told: float | None = None  # the deadline of the wire that passed last

    def carry(self, association: Association, trace: Trace | None) -> None:
        """Whose messages they are, and what is told of their end, whoever it is that tells it of the bytes."""
        self.association = association
        self._end_trace = trace

    def _tell_closed(self) -> None:
        trace, self._end_trace = self._end_trace, None
        if trace is not None:
            trace("sent", ())
            trace("received", ())

    @property
    def writing(self) -> bool:
        """Whether the connection has not yet taken all that was taken from the wire."""
        return bool(self._pending)

    def due(self, now: float) -> float:
        """When `on_time` is to be called, on the clock that `now` is read from; never: infinity."""
        deadline = self.wire.deadline(now)
        self.measured = deadline is not None and deadline.measured
        # One that was told takes effect when the flow asks for the next event; till then it wakes nobody again.
        at = math.inf if deadline is None or deadline.at == self._told else deadline.at
        if self._pending and self._write_stall is not None:
            if self._stalled_at is None:
                self._stalled_at = now
            at = min(at, self._stalled_at + self._write_stall, self._slow_until(now, self._write_stall))
        return at

    def _slow_until(self, now: float, grace: float) -> float:
        """When a peer that takes a byte now and then has taken too little of what waits: as for what is received."""
        if self._rate is None:
            return math.inf
        # In time: what it took faster than it had to is no credit for later.
        if self._slow_at is None or self.bytes_sent - self._slow_from >= self._rate * (now - self._slow_at):
            self._slow_at, self._slow_from = now, self.bytes_sent
        return self._slow_at + grace + (self.bytes_sent - self._slow_from) / self._rate

    def woke(self, now: float) -> None:
        """A wait that `due` began has ended because something is ready: the time till then was the peer's.

        Deadlines that have passed take effect only if what is ready does not change that."""
        self.wire.handle_timeout(now)

    def on_time(self, now: float) -> ProtocolError | None:
        """A deadline has passed: tell the wire; what ends the flow, if a write has stalled for too long."""
        deadline = self.wire.deadline(now)
        self._told = None if deadline is None or deadline.at > now else deadline.at
        self.wire.handle_timeout(now)
        stalled, limit, left = self._stalled_at, self._write_stall, self._pending_size
        if not self._pending or limit is None:
            return None
        if stalled is not None and now >= stalled + limit:
            why = f"write stall: the peer took none of the {left} bytes that wait for it within {limit:g} s"
        elif now >= self._slow_until(now, limit):
            taken = self.bytes_sent - self._slow_from
            why = (
                f"write stall: the peer took {taken} bytes in {now - (self._slow_at or now):.0f} s, and {left} wait; "
                f"at least {self._rate:g} a second after the first {limit:g} s"
            )
        else:
            return None
        self._break()
        self.wire.receive_eof()
        return AssociationAborted(ProviderAbort(error=DeadlineExceeded(why)))

    def _collect(self) -> None:
        """Take what the wire has to send, once the connection has all that was taken before."""
        if self._pending:
            return
        self._slow_at = None
        buffers = self.wire.data_to_send()
        while self.broken and buffers:  # for nobody
            buffers = self.wire.data_to_send()
        if buffers:
            self._pending += buffers
            self._pending_size = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
            if self._trace is not None:
                self._trace("sent", buffers)  # last: should it raise, nothing is lost

    def _sent(self, size: int, now: float) -> None:
        """The connection has taken so many bytes, whether somebody waits for that or not."""
        self.bytes_sent += size
        pending = self._pending
        if not self.broken:
            self._pending_size -= size
            whole = 0
            while whole < len(pending) and size >= len(pending[whole]):
                size -= len(pending[whole])
                whole += 1
            if size:
                pending[whole] = memoryview(pending[whole])[size:]
            del pending[:whole]
            self._collect()
        self._stalled_at = now if pending else None

    def _break(self) -> None:
        """The peer takes nothing any more. What it said before that is still read."""
        self.broken = True
        self._pending.clear()
        self._pending_size = 0
        self._stalled_at = None

    def _received(self, data: Buffer) -> None:
        """Give the wire what arrived; nothing: the end of file."""
        if not data:
            self.wire.receive_eof()
            return
        self.bytes_received += len(data)
        self.wire.receive_data(data)
        if self._trace is not None:
            self._trace("received", [data])  # last: should it raise, nothing is lost


class Channel(Link):
    """Carries one wire's bytes over one connected stream socket, which is then owned. One user at a time."""

    def __init__(self, sock: socket.socket, wire: Wire, timeouts: Timeouts, trace: Trace | None = None) -> None:
        super().__init__(wire, timeouts, trace)
        tune(sock)
        self.sock = sock
        self.fd = sock.fileno()
        self.more = False
        """The last receive was so large that more is likely to be there."""
        self._streak = 0  # large receives in a row
        self._tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        self._quick_ack = self._tcp and hasattr(socket, "TCP_QUICKACK")
        self._owes_ack = False  # something was received, and nothing sent since
        self._corked = 0  # writes that the kernel may hold back

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self.sock.fileno() < 0

    def close(self) -> None:
        """Close the connection, once what is queued was written or nobody wants it."""
        self._pending.clear()
        self._pending_size = 0
        self.sock.close()
        self._tell_closed()

    # -- what a flow needs ---------------------------------------------------------------------------------------

    def begin(self, need: Need) -> bool:
        """What can be done for it now; whether that was all."""
        self._collect()
        if self._pending:
            self._write()
        wire = self.wire
        if need is Need.INPUT:
            return self.more and wire.wants_read and self._read()
        if need is Need.DRAIN:
            if self.broken and wire.wants_read:
                self._read(RECEIVE_SIZE)  # what the peer said last, or that it is gone: nothing else would tell
            return not self._pending
        if wire.wants_read:
            self._read(RECEIVE_SIZE)
        return True

    def proceed(self, need: Need, *, readable: bool, writable: bool) -> bool:
        """Go on with `INPUT` or `DRAIN` now that the socket is ready; whether that was all."""
        if writable:
            self._write()
        if readable:
            if need is Need.INPUT:
                return self._read()
            if not self.wire.wants_read:
                self._write()  # an error or a hang-up: writing tells which
            elif self._read(RECEIVE_SIZE):
                return True
        return need is Need.DRAIN and not self._pending

    def flush(self) -> None:
        """Give what is queued to the kernel as far as it takes it now.

        While there are messages that were received and not looked at, something will soon follow it: the kernel may
        wait for that to send both at once; not for long, and not beyond the next `acknowledge`.
        """
        self._collect()
        if self._pending:
            known = self.association
            more = known is not None and self._tcp and self._corked < BATCH and bytes_unread(known) > 0
            self._write(_MORE if more else 0)

    def acknowledge(self) -> None:
        """Before a wait: what the kernel holds back leaves; and a peer with Nagle's algorithm, which waits for an
        acknowledgement before it sends the rest, gets one, unless what was sent since has brought it."""
        if self._corked:
            self._corked = 0
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._owes_ack and self._quick_ack:  # the kernel forgets it again
            self._owes_ack = False
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    # -- the socket ----------------------------------------------------------------------------------------------

    def _write(self, flags: int = 0) -> None:
        """As much as the kernel takes now, of what was taken and then of what is queued since."""
        self._corked = self._corked + 1 if flags else 0
        pending = self._pending
        while pending:
            if len(pending) > 1 and self._pending_size <= JOINED:  # one buffer takes less time than what is gathered
                pending[:] = (b"".join(pending),)
            batch = pending if len(pending) <= IOV_MAX else pending[:IOV_MAX]
            try:
                sent = self.sock.sendmsg(batch, (), flags) if len(batch) > 1 else self.sock.send(batch[0], flags)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return
                self._break()
                return
            self._stalled_at = None
            self._owes_ack = self._owes_ack and self._corked > 0
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

    def _read(self, copy_below: int = COPY_BELOW) -> bool:
        """Give the wire what is there; whether it was given anything, end of file included."""
        buffer = _buffers.free()
        try:
            count = self.sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            self.more = False
            return False
        except OSError:
            count = 0
        self._owes_ack = True
        large = count >= COPY_BELOW
        self._streak = self._streak + 1 if large else 0
        self.more = large and self._streak % STREAK > 0
        whole = buffer[:count]
        self._received(whole if count >= copy_below else bytes(whole))
        return True


_buffers = Buffers(RECEIVE_SIZE, SHARED)


def joined(buffers: Sequence[Buffer]) -> Buffer:
    """The first of the buffers, no more of it than `JOINED`, and with it what follows as long as that is small.

    For connections that know no gathering write. They do not tell how much of it is taken already, and a peer that is
    slow is not to count as one that takes nothing.
    """
    size = count = 0
    for buffer in buffers:
        if size + len(buffer) > JOINED:
            break
        size += len(buffer)
        count += 1
    if not count:
        return memoryview(buffers[0])[:JOINED]
    return buffers[0] if count == 1 else b"".join(buffers[:count])


def tune(sock: socket.socket) -> None:
    """Non-blocking; and small writes leave at once: a message is one write, so nothing is gained by waiting."""
    sock.setblocking(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

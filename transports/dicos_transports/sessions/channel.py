"""Moves bytes between a wire and its connection: everything that a driver does without waiting.

Theory of operation: the connection is always full duplex. `Link` is the part that every driver has: deadlines, and
bytes taken from the wire that the connection has not yet accepted. A `Channel` is a link over a non-blocking socket.
`begin` starts what a flow needs (`Need`), and writes queued data as far as the kernel accepts it. If that does not meet
the need, the driver waits, in the way of its runtime, until the socket is ready or the time `due` has come. Then
`proceed` or `on_time` continues. So an adapter only adds its way to wait.

Invariants: a buffer is reused only when no view of it exists. Bytes taken from the wire are sent in order or not at
all. While the kernel accepts no more, further bytes stay queued in the wire, which shows that the peer is slow. After
the connection is lost, the wire reports `Closed`.
"""

from __future__ import annotations

import errno
import math
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from dicos_proto.conversation.flows import AssociationAborted, AssociationError, Need
from dicos_proto.errors import DeadlineExceeded, ProtocolError
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.wire import Buffer, Ending, Wire, is_network

from ..buffers import RECEIVE_SIZE, SHARED, Buffers
from ..tracing import Trace

COPY_BELOW: Final = 32 * 1024
"""A receive of fewer bytes is copied from its buffer, so that a small piece never keeps a large buffer in use. Data
that arrives while a flow waits for something else may be kept for long, so it is copied unless it fills its buffer."""
STREAK: Final = 64
"""Large receives in a row before the runtime gets a turn, even if there is more data."""
KEPT: Final = 3
"""Most buffers that one association may keep in use, besides the newest."""
JOINED: Final = 64 * 1024
"""Most bytes that are joined before they are sent, and most in one write to a connection without gathering writes."""
IOV_MAX: Final = 1024
"""Most buffers in one gathering write, a limit of Linux."""

BATCH: Final = 8
"""Writes that the kernel may delay to send them together: a small part of a window, so that the peer is not idle."""
_MORE: Final = getattr(socket, "MSG_MORE", 0)
"""On Linux, the flag that lets the kernel delay data, by at most 200 ms, to send it with what follows (tcp(7))."""
_LINGER_NOT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with which closing resets the connection."""


class ServerStopping(AssociationError):
    """The association ends because the server is stopping; neither side made an error."""

    def __init__(self) -> None:
        super().__init__("the server is stopping")


class Link:
    """The link between one wire and one connection of any kind. It has one user at a time."""

    def __init__(self, wire: Wire, timeouts: Timeouts, trace: Trace | None = None) -> None:
        self.wire = wire
        self.bytes_sent = 0
        self.bytes_received = 0
        self.broken = False
        """True if the peer accepts no more data. Data that it sent before may still be unread."""
        self.measured = False
        """True if `woke` has to be called at the end of the wait that began with `due`."""
        self.unparsed: Callable[[], int] | None = None
        """Returns the number of received bytes that wait to be parsed, if known: what they bring is answered soon, so
        the answers can be sent in batches."""
        self._network = wire if is_network(wire) else None
        self._shut = False  # the wire has ended the sending side
        self._write_stall = timeouts.write_stall
        self._rate = timeouts.minimum_rate
        self._trace = trace
        self._end_trace: Trace | None = None
        self._pending: list[Buffer] = []
        self._pending_size = 0
        self._stalled_at: float | None = None  # since when the peer has accepted nothing
        self._slow_at: float | None = None  # since when the peer has been slower than the minimum rate
        self._slow_from = 0  # bytes sent before that time
        self._told: float | None = None  # the last deadline that was reported to the wire

    def carry(self, unparsed: Callable[[], int], trace: Trace | None) -> None:
        """Set `unparsed`, and the trace to call when the connection is closed."""
        self.unparsed = unparsed
        self._end_trace = trace

    def _tell_closed(self) -> None:
        trace, self._end_trace = self._end_trace, None
        if trace is not None:
            trace("sent", ())
            trace("received", ())

    @property
    def writing(self) -> bool:
        """True if bytes taken from the wire still wait for the connection."""
        return bool(self._pending)

    @property
    def drained(self) -> bool:
        """True if nothing waits to be sent, neither for the connection nor in a wire that keeps bytes back."""
        network = self._network
        return not self._pending and (network is None or self.broken or not network.holds)

    def due(self, now: float) -> float:
        """Return the time to call `on_time`, on the clock of `now`; infinity for never."""
        deadline = self.wire.deadline(now)
        self.measured = deadline is not None and deadline.measured
        # A deadline that was reported takes effect with the next event; it must not end the wait again before that.
        at = math.inf if deadline is None or deadline.at == self._told else deadline.at
        if self._write_stall is not None and not self.drained:
            if self._stalled_at is None:
                self._stalled_at = now
            at = min(at, self._stalled_at + self._write_stall, self._slow_until(now, self._write_stall))
        return at

    def _slow_until(self, now: float, grace: float) -> float:
        """Return when a slow peer will have fallen below the minimum rate, which holds for sending and receiving."""
        if self._rate is None:
            return math.inf
        # The peer is fast enough, so the measurement starts again: earlier speed does not count later.
        if self._slow_at is None or self.bytes_sent - self._slow_from >= self._rate * (now - self._slow_at):
            self._slow_at, self._slow_from = now, self.bytes_sent
        return self._slow_at + grace + (self.bytes_sent - self._slow_from) / self._rate

    def woke(self, now: float) -> None:
        """End a wait that began with `due` because the socket is ready; the wait counts as the peer's time.

        A deadline that has passed takes effect only if the data that is ready does not prevent it."""
        self.wire.handle_timeout(now)

    def on_time(self, now: float) -> ProtocolError | None:
        """Report a passed deadline to the wire. Returns the error that ends the flow if a write has stalled."""
        deadline = self.wire.deadline(now)
        self._told = None if deadline is None or deadline.at > now else deadline.at
        self.wire.handle_timeout(now)
        stalled, limit, left = self._stalled_at, self._write_stall, self._pending_size
        if limit is None or self.drained:
            return None
        if stalled is not None and now >= stalled + limit:
            queued = f"{left} queued bytes" if left else "bytes that the network keeps back"
            why = f"write stall: the peer accepted none of the {queued} within {limit:g} s"
        elif now >= self._slow_until(now, limit):
            taken = self.bytes_sent - self._slow_from
            why = (
                f"write stall: the peer accepted {taken} bytes in {now - (self._slow_at or now):.0f} s, and {left} are "
                f"queued; at least {self._rate:g} bytes/s are required after the first {limit:g} s"
            )
        else:
            return None
        self._break()
        self.wire.receive_eof()
        return AssociationAborted(ProviderAbort(error=DeadlineExceeded(why)))

    def _collect(self) -> None:
        """Take the next data from the wire, unless earlier data still waits for the connection."""
        if self._pending:
            return
        self._slow_at = None
        buffers = self.wire.data_to_send()
        while self.broken and buffers:  # discarded
            buffers = self.wire.data_to_send()
        if buffers:
            self._pending += buffers
            self._pending_size = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
            if self._trace is not None:
                self._trace("sent", buffers)  # last: if it raises, nothing is lost
        elif self._network is not None and not self._shut and self._network.ending is Ending.SHUT:
            self._shut = True
            self._shut_down()

    def _shut_down(self) -> None:
        """Shut down the sending side, if this kind of connection can; everything taken before is sent."""

    def _resets(self) -> bool:
        """Returns True if the connection is to be closed by a reset."""
        return self._network is not None and self._network.ending is Ending.RESET

    def _sent(self, size: int, now: float) -> None:
        """Record that the connection has accepted `size` bytes."""
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
        """Record that the peer accepts no more data. Data that it sent before is still read."""
        self.broken = True
        self._pending.clear()
        self._pending_size = 0
        self._stalled_at = None

    def _received(self, data: Buffer) -> None:
        """Pass received data to the wire; empty data is the end of file."""
        if not data:
            self.wire.receive_eof()
            return
        self.bytes_received += len(data)
        self.wire.receive_data(data)
        if self._trace is not None:
            self._trace("received", [data])  # last: if it raises, nothing is lost


class TaskedLink(Link, ABC):
    """The link to a stream of an event loop, whose tasks send and receive."""

    def begin(self, need: Need) -> bool:
        """Does what is possible for the need without waiting. Returns True if it is met."""
        self.flush()
        if need is Need.DRAIN:
            return self.drained and not (self.broken and self.wire.wants_read)
        return self._take() or need is Need.TURN

    @abstractmethod
    def flush(self) -> None:
        """See to it that what is queued is sent."""

    @abstractmethod
    def _take(self) -> bool:
        """Gives the wire what was received, and receives more if the wire wants it. Returns True if it gave any."""


class Channel(Link):
    """A link over a connected stream socket, which it owns. It has one user at a time."""

    def __init__(self, sock: socket.socket, wire: Wire, timeouts: Timeouts, trace: Trace | None = None) -> None:
        super().__init__(wire, timeouts, trace)
        tune(sock)
        self.sock = sock
        self.fd = sock.fileno()
        self.more = False
        """True if the last receive was so large that more data is likely."""
        self._streak = 0  # large receives in a row
        self._tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        self._quick_ack = self._tcp and hasattr(socket, "TCP_QUICKACK")
        self._owes_ack = False  # data was received, and nothing was sent since
        self._corked = 0  # writes that the kernel may delay

    @property
    def closed(self) -> bool:
        """True if `close` was called."""
        return self.sock.fileno() < 0

    def close(self) -> None:
        """Close the connection. Data that was not written yet is discarded."""
        self._pending.clear()
        self._pending_size = 0
        if self._resets():
            reset_by_close(self.sock)
        self.sock.close()
        self._tell_closed()

    # -- the needs of flows --------------------------------------------------------------------------------------

    def begin(self, need: Need) -> bool:
        """Do what needs no waiting. Returns True if the need is met."""
        self._collect()
        if self._pending:
            self._write()
        wire = self.wire
        if need is Need.INPUT:
            return self.more and wire.wants_read and self._read()
        if need is Need.DRAIN:
            if self.broken and wire.wants_read:
                self._read(RECEIVE_SIZE)  # the peer's last data, or its end of file, which nothing else would report
            return self.drained
        if wire.wants_read:
            self._read(RECEIVE_SIZE)
        return True

    def proceed(self, need: Need, *, readable: bool, writable: bool) -> bool:
        """Continue with `INPUT` or `DRAIN` now that the socket is ready. Returns True if the need is met."""
        if writable:
            self._write()
        if readable:
            if need is Need.INPUT:
                return self._read()
            if not self.wire.wants_read:
                self._write()  # an error or a hang-up, which writing detects
            elif self._read(RECEIVE_SIZE):
                return True
        return need is Need.DRAIN and self.drained

    def flush(self) -> None:
        """Write queued data as far as the kernel accepts it now.

        While received messages are still unread, their answers will soon follow. The kernel may then delay the data to
        send it together with them, for a short time and at most until the next `acknowledge`.
        """
        self._collect()
        if self._pending:
            unparsed = self.unparsed
            more = unparsed is not None and self._tcp and self._corked < BATCH and unparsed() > 0
            self._write(_MORE if more else 0)

    def acknowledge(self) -> None:
        """Before a wait, make the kernel send delayed data and a TCP acknowledgement that is still due.

        A peer with Nagle's algorithm waits for the acknowledgement before it sends the rest of its data.
        """
        if self._corked:
            self._corked = 0
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._owes_ack and self._quick_ack:  # the kernel forgets it again
            self._owes_ack = False
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    # -- the socket ----------------------------------------------------------------------------------------------

    def _write(self, flags: int = 0) -> None:
        """Write as much as the kernel accepts now, first of pending data, then of data queued since."""
        self._corked = self._corked + 1 if flags else 0
        pending = self._pending
        while pending:
            if len(pending) > 1 and self._pending_size <= JOINED:  # one buffer is faster than a gathering write
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

    def _shut_down(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def _read(self, copy_below: int = COPY_BELOW) -> bool:
        """Pass available data to the wire. Returns True if it received something, end of file included."""
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
    """Return the first buffers joined, at most `JOINED` bytes, for a connection without gathering writes.

    Such a connection does not report how much of a write is done. With larger writes, a slow peer would look like one
    that accepts nothing.
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


def reset_by_close(sock: socket.socket) -> None:
    """Let the next `close` reset the connection, if it is one of TCP."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)


def tune(sock: socket.socket) -> None:
    """Make the socket non-blocking, without Nagle's algorithm: a message is one write, so a delay gains nothing."""
    sock.setblocking(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

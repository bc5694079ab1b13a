"""`FaultyWire`: a wire around another wire that carries out a fault plan, in memory and under every adapter.

    connect(where, contexts, wrap=Faults(parse_plan("in every 1: split")))

Theory of operation: two lines, one for each direction. Received bytes go into the line `in` and reach the inner wire
piece by piece: after each piece the adapter's flow runs, because the next piece is a deadline that has come already.
Bytes to send go through the line `out`, a piece for each `data_to_send`. Times are deadlines, merged with those of the
inner wire, whose clock may be another one.

The ends of a connection. Half-close, `in`: the inner wire receives the end of file. Half-close, `out`: nothing more is
sent, and `ending` asks the adapter for a FIN. Reset: the inner wire receives the end of file with a `ConnectionLost`,
nothing is read or sent any more, `wants_close` is True at once, and `ending` asks for an RST. A permanent error in a
direction loses all bytes behind it, as a driver does with bytes that nobody takes.

Knows: lines, the members of a wire. Must not know: sockets, associations.

Invariants: no clock, no randomness but that of the plan's seed. Bytes that are kept back are bounded (`line.HELD` and
one call more): above, `wants_read` is False, and bytes to send stay in the inner wire. With an empty plan each call is
one call of the inner wire.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final

from dicos_proto.arguments import check_kind, kind_of
from dicos_proto.errors import ConnectionLost
from dicos_proto.timers import Deadline
from dicos_proto.wire import Buffer, Ending, Wire, is_network

from .effects import Clock, Direction, Reorder, Timers
from .line import Line
from .log import Log, Strike
from .plan import FaultPlan

__all__ = ["Faults", "FaultyWire", "lines"]

PULLED: Final = 1 << 16
"""Bytes that the line `out` holds before more are taken from the inner wire."""
MADE: Final = 100
"""Wires that `Faults` remembers."""
_NEXT_PIECE: Final = "the next bytes, which are here"
_RESET: Final = "connection reset, by a fault plan"


def lines(plan: FaultPlan, log: Log) -> tuple[Line, Line]:
    """Returns the lines of a connection, `in` and `out`."""
    into, out = _line(plan, Direction.IN, log), _line(plan, Direction.OUT, log)
    into.other, out.other = out, into
    return into, out


def _line(plan: FaultPlan, direction: Direction, log: Log) -> Line:
    return Line(plan.of(direction), direction, Random(2 * plan.seed + (direction is Direction.OUT)), log)


class FaultyWire:
    """A wire around `wire` with the faults of a plan. Raises TypeError for anything else in their places."""

    def __init__(self, wire: Wire, plan: FaultPlan) -> None:
        if not hasattr(wire, "data_to_send"):
            raise TypeError(f"FaultyWire(wire, plan): {kind_of(wire)} in place of a Wire, such as an Association")
        check_kind(plan, "FaultyWire(wire, {})", FaultPlan, for_str="; parse_plan makes one of a text")
        self.inner = wire
        self.plan = plan
        self.log = Log()
        """The faults that have struck."""
        self._network = wire if is_network(wire) else None
        self._in: Line | None = None
        self._out: Line | None = None
        if any(isinstance(fault.effect, Reorder) for fault in plan.faults):  # which waits for the other direction
            self._in, self._out = lines(plan, self.log)
        elif plan.faults:
            self._in = _line(plan, Direction.IN, self.log) if plan.of(Direction.IN) else None
            self._out = _line(plan, Direction.OUT, self.log) if plan.of(Direction.OUT) else None
        self._lines = tuple(line for line in (self._in, self._out) if line is not None)
        self._reset = False
        self._why: ConnectionLost | None = None
        self._told_end = False  # the inner wire has received its end of file
        self._wake = False  # the flow has to run before anything else
        # The last deadline that had come already: when it was asked for, and its time.
        self._at_once = (-math.inf, -math.inf)
        self._offset = 0.0  # of the inner wire's clock
        self._due = (0.0, math.inf)  # that offset, and the last deadline of the inner wire on the adapter's clock
        self._timers: dict[tuple[str, str], Timers] = {}  # the last of each kind and name
        self._inner_due: Deadline | None = None  # on the inner wire's clock
        self._passed: float | None = None  # the deadline of the inner wire that it knows has passed
        self._early: float | None = None  # the deadline that was reported early

    @property
    def strikes(self) -> list[Strike]:
        """The faults that have struck since the last call, in order; `log` has their numbers."""
        return self.log.take()

    # -- the Wire --------------------------------------------------------------------------------------------------

    @property
    def wants_read(self) -> bool:
        """False if the connection must not be read now: the inner wire does not want it, or a fault stalls it."""
        line = self._in
        return not self._reset and self.inner.wants_read and (line is None or line.wants)

    @property
    def wants_close(self) -> bool:
        """True if the connection is to be closed once `data_to_send` returns nothing, and nothing is kept back."""
        return self._reset or (self.inner.wants_close and (self._out is None or not self._out.moving))

    @property
    def holds(self) -> bool:
        """True while bytes to send are kept back."""
        if self._out is not None and not self._reset and self._out.blocked:
            return True
        return self._network is not None and self._network.holds

    @property
    def ending(self) -> Ending:
        """The end of the sending side, if a fault has brought it."""
        if self._reset:
            return Ending.RESET
        if self._out is not None and self._out.cut and self._out.finished:
            return Ending.SHUT
        return Ending.OPEN if self._network is None else self._network.ending

    def receive_data(self, data: Buffer) -> None:
        """Takes received bytes; the first piece of them reaches the inner wire at once, if nothing keeps it back."""
        if self._reset:
            return
        if self._in is None:
            self.inner.receive_data(data)
            return
        self._in.feed(data)
        self._deliver(self._in)

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """Takes note that the peer sends no more; the inner wire does so behind all bytes before."""
        if self._reset:
            return
        if self._in is None:
            self.inner.receive_eof(why)
            return
        self._why = why
        self._in.end()
        self._deliver(self._in)

    def data_to_send(self) -> list[bytes | memoryview]:
        """Returns the next piece to send. An empty list: there is nothing now, and more later if `holds`."""
        line = self._out
        if self._reset:
            while self.inner.data_to_send():
                pass  # discarded
            return []
        if line is None:
            return self.inner.data_to_send()
        while line.size < PULLED and (buffers := self.inner.data_to_send()):
            for buffer in buffers:
                line.feed(buffer)
        piece = line.take()
        self._wake |= self._heed(line)
        return piece

    def deadline(self, now: float) -> Deadline | None:
        """Returns the next deadline, of the inner wire or of a fault."""
        if not self._lines:
            return self.inner.deadline(now)
        first: tuple[float, str] | None = None
        for line in self._lines:
            found = None if self._reset else line.deadline(now)
            if found is not None and (first is None or found[0] < first[0]):
                first = found
        inner = self._inner_deadline(now)
        measured = inner is not None and inner.measured
        if self._wake or self._deliverable():
            return Deadline(self._now(now), _NEXT_PIECE, measured=measured)
        if first is None:
            return inner
        at, why = first
        if inner is not None and inner.at < at and self._inner_due is not None and self._inner_due.at != self._passed:
            return inner
        return Deadline(at if at > now else self._now(now), why, measured=measured)

    def _now(self, now: float) -> float:
        """The time of a deadline that has come already. It differs from all before, even if the clock stands still,
        because an adapter reports each deadline once."""
        asked, at = self._at_once
        self._at_once = (now, math.nextafter(at if now == asked else now, -math.inf))
        return self._at_once[1]

    def handle_timeout(self, now: float) -> None:
        """Passes the time: to the faults, and to the inner wire what its clock says."""
        if not self._lines:
            self.inner.handle_timeout(now)
            return
        self._wake = False
        for line in self._lines:
            if not self._reset:
                line.handle_timeout(now)
                self._heed(line)
        self._pass_time(now)
        # An adapter may call this at the end of any wait, and go on waiting.
        if self._in is not None and self._deliver(self._in):
            self._wake = True

    # -- in --------------------------------------------------------------------------------------------------------

    def _deliverable(self) -> bool:
        """True if the inner wire can receive something now that is here."""
        line = self._in
        if line is None or self._reset or self._told_end:
            return False
        return line.finished or (line.movable and self.inner.wants_read)

    def _deliver(self, line: Line) -> bool:
        """Passes the next piece to the inner wire, or the end of file. Returns True if it passed anything."""
        if not self._deliverable():
            return False
        piece = line.take()
        if piece:
            self.inner.receive_data(_joined(piece))
        if line.finished:
            self._told_end = True
            self.inner.receive_eof(None if line.cut else self._why)
        self._wake |= self._heed(line)
        return bool(piece) or self._told_end

    # -- effects on both directions, and on time -------------------------------------------------------------------

    def _heed(self, line: Line) -> bool:
        """Carries out what a line cannot do by itself. Returns True if anything was done."""
        if not (line.signals or line.reset):
            return False
        signals, line.signals = line.signals, []
        for signal in signals:
            if isinstance(signal, Clock):
                self._offset += signal.seconds
            else:
                self._timers[signal.how, signal.name] = signal
        if not line.reset or self._reset:
            return bool(signals)
        self._reset = True
        self.inner.receive_eof(ConnectionLost(_RESET))
        return True

    def _inner_deadline(self, now: float) -> Deadline | None:
        """The deadline of the inner wire on the adapter's clock, early or late where a fault makes it so."""
        found = self._inner_due = self.inner.deadline(now + self._offset)
        if found is None or not (self._timers or self._offset):
            return found
        at = found.at - self._offset + self._shift(found, "late")
        self._due = (self._offset, at)
        if self._early != found.at:
            at -= self._shift(found, "early")
        return Deadline(at, found.why, found.measured)

    def _concerning(self, deadline: Deadline, how: str) -> list[Timers]:
        return [
            timers
            for (kind, name), timers in self._timers.items()
            if kind == how and (name == "all" or deadline.why.startswith(name))
        ]

    def _shift(self, deadline: Deadline, how: str) -> float:
        return sum(one.seconds for one in self._concerning(deadline, how)) if self._timers else 0.0

    def _pass_time(self, now: float) -> None:
        due, inner_now = self._inner_due, now + self._offset
        times = 1
        if due is not None:
            late = due.at + self._shift(due, "late")
            # The sum may be a little before what the difference was: an adapter reports each deadline once.
            if inner_now >= late or (self._due[0] == self._offset and now >= self._due[1]):
                inner_now = max(inner_now, due.at)
                self._passed = due.at
                times += len(self._concerning(due, "twice")[:1])
            else:
                if inner_now >= late - self._shift(due, "early"):
                    self._early = due.at
                inner_now = min(inner_now, math.nextafter(due.at, -math.inf))
        for _ in range(times):
            self.inner.handle_timeout(inner_now)


class Faults:
    """A plan as a function for the options `wrap` and `wrap_plain` of `connect`, `accept` and `serve`.

    Each connection gets a `FaultyWire` with a seed of its own: that of the plan plus the connection's number, from 0.
    `wires`: the last ones that were made.
    """

    def __init__(self, plan: FaultPlan) -> None:
        """Raises TypeError for anything but a plan."""
        check_kind(plan, "Faults({})", FaultPlan, for_str="; parse_plan makes one of a text")
        self.plan = plan
        self.connections = 0
        self.wires: deque[FaultyWire] = deque(maxlen=MADE)

    def __call__(self, wire: Wire) -> FaultyWire:
        made = FaultyWire(wire, self.plan.for_connection(self.connections))
        self.connections += 1
        self.wires.append(made)
        return made


def _joined(piece: Sequence[Buffer]) -> Buffer:
    return piece[0] if len(piece) == 1 else b"".join(piece)

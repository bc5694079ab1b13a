"""TCP reassembly: segments in, the bytes of each connection out, in order, once.

Theory of operation. Each direction has the sequence number of the next byte. A segment that begins there is passed on;
what lies before is a retransmission; what lies behind waits, until the hole is filled or given up. A hole is given up,
and becomes a `Gap`, when the other side has acknowledged it (so the recording lacks it) and then `PATIENCE` packets or
`PATIENCE_TIME` have passed, when too much waits, and when the connection ends. A connection without a SYN begins at its
first bytes, or where the other side's acknowledgement says.

Knows: RFC 9293. Must not know: files, what the bytes mean.

Invariants: every byte of a direction is passed on at most once, in order; memory is bounded by `MOST_CONNECTIONS`,
`MOST_WAITING` and `MOST_WAITING_IN_ALL`, for any packets; the time for a segment does not grow with the recording. The
first copy of a byte counts, except where a later segment covers earlier ones that still wait.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dicos_proto.limits import OBJECT_COST

from .events import Connection, Data, Ended, Event, Gap, How, Opened, Over
from .internet import Segment, endpoints

__all__ = ["MOST_AHEAD", "MOST_CONNECTIONS", "MOST_WAITING", "MOST_WAITING_IN_ALL", "Reassembly", "Totals"]

MOST_CONNECTIONS: Final = 16_384
"""Connections followed at once. Beyond that, first those without bytes and those that are over are forgotten, then
those that have been silent longest. Stops: millions of SYNs."""
MOST_WAITING: Final = 4 << 20
"""Bytes of one direction that wait for a hole to be filled; each segment counts 256 bytes more. Stops: a flood of
segments out of order."""
MOST_WAITING_IN_ALL: Final = 64 << 20
"""The same, of all connections."""
MOST_AHEAD: Final = 1 << 30
"""How far ahead of the next byte a segment may begin: the largest window that TCP has [RFC 7323 2.3]. Others are
ignored."""
PATIENCE: Final = 64
PATIENCE_TIME: Final = 1_000_000_000
"""Packets of the connection, and nanoseconds, for which an acknowledged hole may still be filled: a capture may have
packets in another order than the network."""

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_SPECIAL: Final = _FIN | _SYN | _RST
_MASK: Final = 0xFFFFFFFF
_SERVER_PORTS: Final = frozenset((104, 2761, 2762, 11_112))


@dataclass(slots=True)
class Totals:
    """Numbers of connections of a recording."""

    connections: int = 0  # with bytes
    silent: int = 0  # without any
    evicted: int = 0
    bogus: int = 0  # segments too far ahead


class _Half:
    """One direction. Positions are sequence numbers that do not wrap; `next` None: not known yet."""

    __slots__ = ("acked", "cost", "ended", "fin", "isn", "next", "patience", "since", "starts", "waiting")

    def __init__(self) -> None:
        self.isn: int | None = None  # the number of the SYN
        self.next: int | None = None
        self.acked = 0  # the position up to which the other side has everything
        self.fin: int | None = None  # the position of the FIN
        self.ended = False
        self.starts: list[int] = []  # of what waits, ascending
        self.waiting: dict[int, tuple[bytes, int]] = {}  # start -> bytes, bytes missing after them
        self.cost = 0
        self.patience = PATIENCE
        self.since = 0

    def place(self, sequence: int) -> int:
        """Returns the position of a sequence number, the nearest one to `next`, which is known."""
        known = self.next or 0
        delta = sequence - known & _MASK
        return known + (delta if delta < 1 << 31 else delta - (1 << 32))

    def acknowledge(self, segment: Segment) -> None:
        """Takes the acknowledgement of the other side, which also says where a direction without a SYN is."""
        if segment.flags & _ACK:
            if self.next is None:
                self.next = segment.acknowledgement
            place = self.place(segment.acknowledgement)
            if place > self.acked:
                self.acked = place


class _Flow:
    __slots__ = ("announced", "at", "begun", "client", "connection", "halves", "key", "keys", "last", "over")

    def __init__(self, key: bytes, reverse: bytes, at: int) -> None:
        self.key = key
        self.keys = (key, reverse)
        self.at = self.last = at
        self.halves: tuple[_Half, _Half] = (_Half(), _Half())  # of the sender of `key`, and of the other one
        self.client: int | None = None  # which of the two is the client, if known
        self.begun = False
        self.announced = False
        self.connection: Connection | None = None
        self.over = False


class Reassembly:
    """Follows every TCP connection of a recording. `totals`: what has been seen so far."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._table: dict[bytes, tuple[_Flow, int]] = {}
        self._idle: OrderedDict[bytes, _Flow] = OrderedDict()  # without bytes, or over
        self._live: OrderedDict[bytes, _Flow] = OrderedDict()
        self._holders: OrderedDict[tuple[bytes, int], _Flow] = OrderedDict()  # directions in which something waits
        self._cost = 0

    def feed(self, segment: Segment) -> Iterator[Event]:
        """Yields the events that a segment makes."""
        found = self._table.get(segment.key)
        if found is not None and segment.flags & _SYN and self._is_new(segment, *found):
            yield from self._finish(found[0], segment.at, How.REUSED)
            self._forget(found[0])
            found = None
        if found is None:
            if segment.flags & _RST or not (segment.payload or segment.missing or segment.flags & _SYN):
                return
            yield from self._make_room(segment.at)
            found = self._new(segment), 0
        flow, side = found
        if flow.over:
            return
        flow.last = segment.at
        half, data, connection = flow.halves[side], segment.payload, flow.connection
        if (
            connection is not None and data and not segment.flags & _SPECIAL and not segment.missing
            and half.next is not None and segment.sequence == half.next & _MASK
            and half.fin is None and not half.starts and not flow.halves[1 - side].starts
        ):  # fmt: skip  # the next bytes: nearly every segment
            by_client = side == flow.client
            half.next += len(data)
            connection.sent[by_client] += len(data)
            flow.halves[1 - side].acknowledge(segment)
            self._live.move_to_end(flow.key)
            yield Data(connection, by_client, segment.at, data)
            return
        (self._live if flow.announced else self._idle).move_to_end(flow.key)
        yield from self._take(flow, side, segment)

    def end(self) -> Iterator[Event]:
        """Ends the recording: yields what still waits, and the end of every connection that is open."""
        for flow in [*self._live.values(), *self._idle.values()]:
            yield from self._finish(flow, flow.last, How.CUT)
        for found in (self._table, self._idle, self._live, self._holders):
            found.clear()

    # -- connections ---------------------------------------------------------------------------------------------

    @staticmethod
    def _is_new(segment: Segment, flow: _Flow, side: int) -> bool:
        """Returns True if this SYN opens another connection than `flow`: it is not the one that opened it, again."""
        if segment.flags & _ACK:
            return flow.over and flow.halves[side].isn != segment.sequence
        if flow.over:  # also with the same number: Windows tries a port that refuses three times
            return True
        half = flow.halves[side]
        return half.isn != segment.sequence and (half.isn is not None or flow.announced)

    def _new(self, segment: Segment) -> _Flow:
        size = (len(segment.key) - 4) // 2
        key = segment.key
        reverse = key[size : 2 * size] + key[:size] + key[2 * size + 2 :] + key[2 * size : 2 * size + 2]
        flow = _Flow(key, reverse, segment.at)
        self._table[key] = flow, 0
        self._table[reverse] = flow, 1
        self._idle[key] = flow
        return flow

    def _make_room(self, at: int) -> Iterator[Event]:
        if len(self._idle) + len(self._live) < MOST_CONNECTIONS:
            return
        flow = next(iter((self._idle or self._live).values()))
        if not flow.over:
            self.totals.evicted += 1
        yield from self._finish(flow, at, How.EVICTED)
        self._forget(flow)

    def _forget(self, flow: _Flow) -> None:
        for key in flow.keys:
            if key in self._table and self._table[key][0] is flow:
                del self._table[key]
        self._idle.pop(flow.key, None)
        self._live.pop(flow.key, None)

    def _announce(self, flow: _Flow) -> Iterator[Event]:
        """The first bytes of a connection: the next stage learns of it."""
        flow.announced = True
        self._live[flow.key] = self._idle.pop(flow.key)
        ends = endpoints(flow.key)
        client = flow.client
        if client is None:
            known = [end.port in _SERVER_PORTS for end in ends]
            client = 1 if known[0] > known[1] or (known[0] == known[1] and ends[0].port < ends[1].port) else 0
        self.totals.connections += 1
        flow.connection = Connection(
            self.totals.connections,
            ends[client],
            ends[1 - client],
            flow.at,
            begun=flow.begun,
            guessed=flow.client is None,
        )
        flow.client = client
        yield Opened(flow.connection)

    def _finish(self, flow: _Flow, at: int, how: How, *, side: int = 0) -> Iterator[Event]:
        """Passes on what waits, and ends the connection. It stays known, so that late packets do not open another."""
        if flow.over:
            return
        for index, half in enumerate(flow.halves):
            while half.starts:
                yield from self._give_up_hole(flow, index, at)
        flow.over = True
        if flow.connection is None:
            self.totals.silent += 1
        else:
            yield Over(flow.connection, at, how, by_client=side == flow.client)
            flow.connection = None
        if flow.key in self._live:
            self._idle[flow.key] = self._live.pop(flow.key)

    # -- segments ------------------------------------------------------------------------------------------------

    def _take(self, flow: _Flow, side: int, segment: Segment) -> Iterator[Event]:
        half, other = flow.halves[side], flow.halves[1 - side]
        flags, sequence = segment.flags, segment.sequence
        if flags & _SYN:
            half.isn = sequence
            sequence = sequence + 1 & _MASK
            if half.next is None:
                half.next = sequence
                flow.begun = True
            if flow.client is None:
                flow.client = 1 - side if flags & _ACK else side
        other.acknowledge(segment)
        if segment.payload or segment.missing:
            yield from self._payload(flow, side, sequence, segment)
        if flags & _FIN and half.fin is None:
            if half.next is None:
                half.next = sequence
            half.fin = half.place(sequence) + len(segment.payload) + segment.missing
        for index in (side, 1 - side):
            if flow.halves[index].starts:
                yield from self._check_hole(flow, index, segment.at)
        yield from self._ends(flow, side, segment)

    def _ends(self, flow: _Flow, side: int, segment: Segment) -> Iterator[Event]:
        for index, half in enumerate(flow.halves):
            if half.fin is not None and not half.ended and half.next is not None and half.next >= half.fin:
                half.ended = True
                if flow.connection is not None:
                    yield Ended(flow.connection, index == flow.client, segment.at)
        if segment.flags & _RST:
            yield from self._finish(flow, segment.at, How.RESET, side=side)
        elif all(half.ended for half in flow.halves):
            yield from self._finish(flow, segment.at, How.CLOSED)

    def _payload(self, flow: _Flow, side: int, sequence: int, segment: Segment) -> Iterator[Event]:
        half = flow.halves[side]
        if half.next is None:
            half.next = sequence
        if flow.connection is None:
            yield from self._announce(flow)
        start, data, missing = half.place(sequence), segment.payload, segment.missing
        connection = flow.connection
        if connection is None or half.ended:
            return
        by_client = side == flow.client
        if start < half.next:
            before = half.next - start
            connection.repeated[by_client] += min(before, len(data))
            if before >= len(data) + missing:
                return
            missing -= max(0, before - len(data))
            data, start = data[before:], half.next
        if start > half.next:
            if start - half.next > MOST_AHEAD:
                self.totals.bogus += 1
                return
            connection.reordered[by_client] += 1
            yield from self._wait(flow, side, start, bytes(data), missing, segment.at)
            return
        yield from self._pass(flow, side, data, missing, segment.at)
        if half.starts:
            yield from self._pass_waiting(flow, side, segment.at)

    def _pass(self, flow: _Flow, side: int, data: memoryview, missing: int, at: int) -> Iterator[Event]:
        half, connection = flow.halves[side], flow.connection
        if connection is None or half.next is None:
            return
        by_client = side == flow.client
        half.next += len(data) + missing
        if data:
            connection.sent[by_client] += len(data)
            yield Data(connection, by_client, at, data)
        if missing:
            connection.missing[by_client] += missing
            yield Gap(connection, by_client, at, missing)

    # -- out of order --------------------------------------------------------------------------------------------

    def _wait(self, flow: _Flow, side: int, start: int, data: bytes, missing: int, at: int) -> Iterator[Event]:
        """Keeps a segment that begins behind a hole: the part of it that does not wait already."""
        half = flow.halves[side]
        starts, waiting = half.starts, half.waiting
        if not starts:
            half.patience, half.since = PATIENCE, at
            self._holders[flow.key, side] = flow
        index = bisect_left(starts, start)
        if index:
            kept, lacking = waiting[starts[index - 1]]
            covered = starts[index - 1] + len(kept) + lacking - start
            if covered > 0:
                if covered >= len(data) + missing:
                    return
                missing -= max(0, covered - len(data))
                data, start = data[covered:], start + covered
        end = start + len(data) + missing
        stop = index
        while stop < len(starts) and starts[stop] + self._length(waiting[starts[stop]]) <= end:
            self._count(half, -self._cost_of(waiting.pop(starts[stop])))
            stop += 1
        if stop < len(starts) and starts[stop] < end:  # the next one covers the rest
            keep = starts[stop] - start
            data, missing = data[:keep], min(missing, max(0, keep - len(data)))
        starts[index:stop] = [start] if data or missing else []
        if data or missing:
            waiting[start] = data, missing
            self._count(half, self._cost_of((data, missing)))
        while half.starts and half.cost > MOST_WAITING:
            yield from self._give_up_hole(flow, side, at)
        while self._cost > MOST_WAITING_IN_ALL:
            (_, first), oldest = next(iter(self._holders.items()))
            yield from self._give_up_hole(oldest, first, at)

    @staticmethod
    def _length(entry: tuple[bytes, int]) -> int:
        return len(entry[0]) + entry[1]

    @staticmethod
    def _cost_of(entry: tuple[bytes, int]) -> int:
        return len(entry[0]) + OBJECT_COST

    def _count(self, half: _Half, cost: int) -> None:
        half.cost += cost
        self._cost += cost

    def _check_hole(self, flow: _Flow, side: int, at: int) -> Iterator[Event]:
        """Gives up the hole in front of what waits, if the other side has it and it has not come for long enough."""
        half = flow.halves[side]
        if half.acked < half.starts[0]:
            half.since = at
            return
        half.patience -= 1
        if half.patience <= 0 or at - half.since > PATIENCE_TIME:
            yield from self._give_up_hole(flow, side, at)
            half.patience, half.since = PATIENCE, at

    def _give_up_hole(self, flow: _Flow, side: int, at: int) -> Iterator[Event]:
        half = flow.halves[side]
        if half.next is not None and half.starts[0] > half.next:
            yield from self._pass(flow, side, memoryview(b""), half.starts[0] - half.next, at)
        yield from self._pass_waiting(flow, side, at)

    def _pass_waiting(self, flow: _Flow, side: int, at: int) -> Iterator[Event]:
        """Passes on what waits and begins at the next byte, or before it."""
        half = flow.halves[side]
        done = 0
        for start in half.starts:
            if half.next is None or start > half.next:
                break
            done += 1
            data, missing = half.waiting.pop(start)
            self._count(half, -self._cost_of((data, missing)))
            before = half.next - start
            if before < len(data) + missing:
                rest = missing - max(0, before - len(data))
                yield from self._pass(flow, side, memoryview(data)[before:], rest, at)
        del half.starts[:done]
        if not half.starts:
            self._holders.pop((flow.key, side), None)

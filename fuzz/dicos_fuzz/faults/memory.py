"""Two sides in memory: their wires, with faults or without, their flows, and a clock that jumps to the next deadline.

    user = Side(association, use(association), wire=FaultyWire(association, plan))
    converse(user, Side(other, provide(other)))

Knows: flows, the part of a driver that every adapter has (`Link`). Must not know: sockets, clocks, threads.

Invariants: the same sides give the same run, byte for byte. No real time passes. Every run has an end: a conversation
in which nobody has a deadline, or that takes more steps than allowed, raises `Endless`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange, response_to
from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import read_data
from dicos_proto.errors import ProtocolError
from dicos_proto.registry import uids
from dicos_proto.services.storage import store
from dicos_proto.services.verification import echo
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Wire
from dicos_transports.sessions.channel import Link

__all__ = ["Endless", "Side", "converse", "provide", "use"]

WINDOW: Final = 1 << 16
"""Bytes under way in one direction before the sender has to wait, about what a kernel holds."""


class Endless(Exception):
    """A conversation that does not end: nobody has a deadline, or it takes too many steps."""


class _End(Link):
    """One end of a connection in memory."""

    def __init__(self, wire: Wire, timeouts: Timeouts) -> None:
        super().__init__(wire, timeouts)
        self.peer: _End | None = None
        self.closed = False
        self._arrived: deque[bytes | bytearray | memoryview] = deque()
        self._waiting = 0
        self._eof = False  # the peer sends no more
        self._asks = True  # the wire may have something to send
        self._next: float | None = None  # its next deadline, None if it may have changed

    def send(self, now: float) -> bool:
        """Moves bytes to the peer as far as it has room. Returns True if any moved."""
        if not (self._asks or self._pending):
            return False
        self._collect()
        self._asks = len(self._pending) > 0
        peer, moved = self.peer, False
        while self._pending and peer is not None and peer._waiting < WINDOW:
            if peer.closed:
                self._break()
                break
            buffer = self._pending[0]
            peer._arrived.append(buffer)
            peer._waiting += len(buffer)
            self._sent(len(buffer), now)
            moved = True
        if moved:
            self._next = None
        return moved

    def touch(self) -> None:
        """Something happens to the wire: its flow runs, it receives bytes, or the time."""
        self._asks, self._next = True, None

    def next_due(self, now: float) -> float:
        """Returns the time to call `on_time`; infinity for never."""
        if self._next is None or self.measured:  # whose wait begins now
            self._next = self.due(now)
        return self._next

    def receive(self) -> bool:
        """Passes the next bytes, or the end of file, to the wire, if it wants them. Returns True if it did."""
        if not (self._arrived or self._eof) or not self.wire.wants_read:
            return False
        self.touch()
        data = self._arrived.popleft() if self._arrived else b""
        self._eof = self._eof and len(data) > 0
        self._waiting -= len(data)
        self._received(data)
        return True

    def close(self) -> None:
        """Closes the connection: the peer receives a reset if the wire asks for it, or if bytes were left unread."""
        peer = self.peer
        if self.closed or peer is None:
            return
        self.closed = True
        if self._resets() or self._arrived:
            peer._arrived.clear()
            peer._waiting = 0
        self._arrived.clear()
        peer._eof = True

    def _shut_down(self) -> None:
        if self.peer is not None:
            self.peer._eof = True


class Side:
    """One side of a conversation: an association, the wire that carries its bytes, and its flow.

    `wire` None: the association itself. Once the flow is over, `result` is what it returned, or `error` what it raised,
    and `seconds` the time at which it did.
    """

    def __init__(self, association: Association, flow: Flow[Any], *, wire: Wire | None = None) -> None:
        self.association = association
        self.end = _End(association if wire is None else wire, association.terms.timeouts)
        self.over = False
        self.result: Any = None
        self.error: ProtocolError | None = None
        self.seconds: float | None = None
        self._flow = flow
        self._need: Need | None = None

    def go_on(self, now: float) -> bool:
        """Sends, receives, and runs the flow up to its next wait. Returns True if anything happened."""
        end = self.end
        moved = end.send(now)
        if self.over:
            return moved
        match self._need:
            case Need.INPUT:
                met = end.receive()
            case Need.DRAIN:
                met = end.receive() or end.drained
            case _:
                met = True
        if met:
            self.resume(now)
        return met or moved

    def resume(self, now: float, fault: ProtocolError | None = None) -> None:
        """Runs the flow up to its next wait; it is over after that of its end. `fault`: raised in it."""
        self.end.touch()
        try:
            self._need = next(self._flow) if fault is None else self._flow.throw(fault)
        except StopIteration as done:
            self._leave(now, done.value, None)
        except ProtocolError as error:
            self._leave(now, None, error.with_traceback(None))

    def _leave(self, now: float, result: Any, error: ProtocolError | None) -> None:
        """A flow that ends before its association is followed by an abort, as a session does it."""
        if self.seconds is None:
            self.seconds, self.result, self.error = now, result, error
        if self.association.wants_close:
            self.over = True
            self.end.close()
        else:
            self._flow = _last_words(self.association)
            self._need = None


def _last_words(association: Association) -> Flow[None]:
    with suppress(ProtocolError):  # a write stall: the peer takes no last words
        yield from flows.abort(association)
    while not association.wants_close:
        association.receive_eof()
        association.next_event()


def converse(*sides: Side, steps: int = 1_000_000) -> float:
    """Runs two sides to the ends of their flows, and returns the seconds that this took on their clock.

    Raises `Endless` after this many steps, or if nobody has a deadline and nothing moves.
    """
    one, other = sides
    one.end.peer, other.end.peer = other.end, one.end
    now = 0.0
    for _ in range(steps):
        if one.over and other.over:
            return now
        if not (one.go_on(now) | other.go_on(now)):
            now = _jump(sides, now)
    raise Endless(f"not over after {steps} steps and {now:g} s")


def _jump(sides: Sequence[Side], now: float) -> float:
    """Moves the time to the next deadline, and returns it."""
    due = [(side.end.next_due(now), side) for side in sides if not side.over]
    at = min(each[0] for each in due)
    if at == math.inf:
        raise Endless(f"at {now:g} s nobody has a deadline")
    now = max(now, at)
    for own, side in due:
        if own <= now:
            side.resume(now, side.end.on_time(now))
        elif side.end.measured:
            side.end.woke(now)
            side.end.touch()
    return now


# -- conversations ---------------------------------------------------------------------------------------------------


def use(association: Association, *objects: bytes, sop_class: str = uids.CT_IMAGE_STORAGE) -> Flow[list[int]]:
    """A user: associates, sends a C-ECHO, stores each object, releases. Returns the statuses of the responses."""
    yield from flows.establish(association)
    exchange = Exchange(association)
    statuses = [(yield from echo(exchange)).status]
    for number, data in enumerate(objects, 1):
        response = yield from store(exchange, sop_class, f"1.2.{number}", uids.IMPLICIT_VR_LE, data)
        statuses.append(response.status)
    yield from flows.release(association)
    return statuses


def provide(association: Association, policy: AcceptPolicy) -> Flow[list[bytes]]:
    """A provider: answers each request with success. Returns the data sets that it has received whole."""
    request = yield from flows.await_request(association)
    yield from flows.answer_request(association, request, policy)
    exchange = Exchange(association)
    received: list[bytes] = []
    while (start := (yield from next_request(exchange))) is not None:
        if start.has_data:
            received.append(bytes((yield from read_data(exchange, "collected"))))
        exchange.reply(response_to(start, 0x0000))
    return received

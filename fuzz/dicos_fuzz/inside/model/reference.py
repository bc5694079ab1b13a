"""The reference model of one side of an association: inputs in, what the engine may tell and send out.

Knows: table 9-10 (`table`), what a stream of PDUs means (`bodies`), messages (`assembly`), which state has a timer.
Must not know: the engine. It is simple and slow: bytes are kept and cut from the front.

An input is received bytes, the end of the stream, the passing of the next deadline, or a primitive of the local user,
each as a method. Its result is an `Expected`: the indications (some of them optional: table 9-10 has none in Sta2, but
an engine may report what a stranger did), the PDUs sent, an A-ABORT with the set of reasons that PS3.8 9.3.8 allows.

Two readings of the standard are fixed here, because the engine documents them: a PDU that table 9-10 has no use for is
judged as soon as its header is complete, and after a header that is invalid the stream is lost, because nobody knows
where the next PDU begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from dicos_proto.limits import Limits

from .assembly import Assembly
from .bodies import Refused, Value, check_header, read_body
from .negotiated import agreed
from .table import ACTIONS, PROVIDER, USER, look_up
from .values import (
    INVALID,
    NOT_SPECIFIED,
    UNEXPECTED,
    AbortPdu,
    Accept,
    Invalid,
    Message,
    Part,
    Pdv,
    Reject,
    Release,
    Request,
)

__all__ = ["Expected", "Level", "Reference", "Sent", "Told"]

Level = Literal["upper layer", "association"]
"""The face of the engine: `UpperLayer` (pieces of PDVs) or `Association` (messages)."""

_EVENT_OF: Final = {1: 6, 2: 3, 3: 4, 4: 10, 5: 12, 6: 13, 7: 16}
"""PDU type -> the event of table 9-10."""
_OPEN: Final = (6, 7)
_UNWANTED: Final = ("AA-1", "AA-7", "AA-8")
_TIMED: Final = (2, 3, 5, 7, 10, 11, 13)
"""States that always have a deadline: ARTIM, or one for the answer that is awaited."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event: the value of a PDU, a message, a piece; or the name of one without a value. `optional`: it may be
    missing."""

    what: Value | Message | Part | Pdv | str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """A PDU sent, as its value, a message or a piece; an A-ABORT with one of several reasons."""

    what: Value | Message | Part | Pdv
    reasons: frozenset[int] = frozenset()


@dataclass(slots=True)
class Expected:
    """All that one input may cause. `refused`: the primitive is not allowed now, and nothing changes."""

    told: list[Told] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    refused: bool = False


class Reference:
    """One side of one association. `state`, `closed`: Sta1 to Sta13, and True once nothing more can come."""

    def __init__(self, role: str, level: Level, limits: Limits) -> None:
        self.role = role
        self.level: Level = level
        self.limits = limits
        self.state = 1
        self.closed = False
        self.request: Request | None = None
        self.messages: Assembly | None = None
        self._max_length = 0
        self._buffer = b""
        self._ended = False
        self._pdu: tuple[int, int] | None = None  # the type of the PDU whose header was read, and the bytes left of it
        self._pdv: tuple[int, int, int, bool] | None = None  # context, control, bytes left, nothing taken yet
        self._skipping = False
        self._lost = False
        self._now = Expected()
        if role == PROVIDER:
            self._apply(5)

    # -- inputs --------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> Expected:
        """Bytes of the peer."""
        self._now = Expected()
        if not self.closed:
            self._buffer += data
            self._read()
        return self._now

    def end(self) -> Expected:
        """The peer has closed the connection."""
        self._now = Expected()
        if not self.closed and not self._ended:
            self._ended = True
            self._finish()
        return self._now

    def expire(self) -> Expected:
        """The next deadline passes. Only where `has_deadline` is not False."""
        self._now = Expected()
        if self.state in (2, 13):
            if self.state == 2:
                self._tell("A-P-ABORT", optional=True)
            self._apply(18)
        elif self._is_idle():
            self._tell("idle")
            self._apply(11, primitive=Release(response=False))
        else:
            self._tell("A-P-ABORT")
            self._apply(15, primitive=AbortPdu(0, NOT_SPECIFIED))
        return self._now

    def say(self, primitive: Value | Message | Part | Pdv) -> Expected:
        """A primitive of the local user."""
        self._now = Expected()
        event = _event_of(primitive)
        if self.closed or look_up(self.state, event, self.role) is None or not self._may(primitive):
            self._now.refused = True
            return self._now
        if isinstance(primitive, Request):
            self.request, self._max_length = primitive, primitive.terms.max_length
            self._apply(1)
            event = 2  # the connection is open already
        elif isinstance(primitive, Accept):
            self._max_length = primitive.terms.max_length
            if self.level == "association" and self.request is not None:
                self.messages = Assembly(agreed(self.request, primitive, self.role, self.limits), self.limits)
        elif isinstance(primitive, Message) and self.messages is not None:
            self.messages.send(primitive)
        elif isinstance(primitive, Part) and self.messages is not None:
            self.messages.send_part(primitive)
        self._apply(event, primitive=primitive)
        if not self.closed:
            self._read()  # a requestor may have bytes that came before it asked
            self._finish()
        return self._now

    # -- what is to be expected ------------------------------------------------------------------------------------

    @property
    def has_deadline(self) -> bool | None:
        """True if some timer must run, False if none may; None if the standard leaves it open."""
        if self.closed:
            return False
        if self.state in _TIMED or (self._mid_pdu and self.state != 1):
            return True
        messages = self.messages
        if messages is None or self.state not in _OPEN:
            return False
        if messages.mid_message or messages.retrieving or self._is_idle():
            return True
        if messages.sent:
            return None if messages.owed or messages.sending is not None else True
        return False

    @property
    def _mid_pdu(self) -> bool:
        return self._pdu is not None or bool(self._buffer)

    def _is_idle(self) -> bool:
        """An acceptor that waits for a request: the engine asks for release then [PS3.8 7.2]."""
        one = self.messages
        if one is None or self.state != 6 or self.role != PROVIDER:
            return False
        return not (one.sent or one.owed or one.mid_message or one.sending is not None or self._mid_pdu)

    def _may(self, primitive: Value | Message | Part | Pdv) -> bool:
        """Judges all but the state."""
        one = self.messages
        if isinstance(primitive, Message):
            return one is not None and one.may_send(primitive)
        if isinstance(primitive, Part):
            return one is not None and one.may_send_part(primitive)
        if isinstance(primitive, Release):
            return one is None or one.sending is None  # a release loses nothing  # PS3.8 7.2
        if isinstance(primitive, Accept) and self.level == "association":
            if self.request is None:
                return False
            try:
                agreed(self.request, primitive, self.role, self.limits)
            except Refused:
                return False
        return True

    # -- the table -------------------------------------------------------------------------------------------------

    def _tell(self, what: Value | Message | Part | Pdv | str, *, optional: bool = False) -> None:
        self._now.told.append(Told(what, optional))

    def _apply(
        self,
        event: int,
        *,
        received: Value | None = None,
        primitive: Value | Message | Part | Pdv | None = None,
        reasons: frozenset[int] = frozenset(),
        acceptable: bool = True,
    ) -> None:
        """An event takes effect: the action's letters one by one (`table.ACTIONS`), then the next state."""
        found = look_up(self.state, event, self.role, acceptable=acceptable)
        assert found is not None, f"event {event} in state {self.state}"
        action, self.state = found
        if not acceptable:
            self._now.sent.append(Sent(Reject(1, 2, 2)))
        else:
            for letter in ACTIONS[action]:
                self._effect(letter, received, primitive, reasons)
        if self.state == 13 and self._pdu is not None and self._pdu[0] != 7:
            self._skipping, self._pdv = True, None  # an A-ABORT that has begun still ends it all  # AA-2
        if self.state == 1 and event != 1:
            self.closed = True
            self._buffer, self._pdu = b"", None
            self._tell("closed")

    def _effect(
        self,
        letter: str,
        received: Value | None,
        primitive: Value | Message | Part | Pdv | None,
        reasons: frozenset[int],
    ) -> None:
        if letter == "i" and received is not None:
            self._tell(received)
        elif letter == "p":
            self._tell("A-P-ABORT")
        elif letter == "s" and primitive is not None:
            self._now.sent.append(Sent(primitive))
        elif letter == "u":
            own = primitive if isinstance(primitive, AbortPdu) else AbortPdu(0, NOT_SPECIFIED)
            self._now.sent.append(Sent(own))
        elif letter == "a":
            self._now.sent.append(Sent(AbortPdu(2, 0), reasons))

    def _blame(self, event: int, reasons: frozenset[int]) -> None:
        """The peer did what it must not: event 19, or a PDU that has no place here."""
        if self.state == 2:
            self._tell("A-P-ABORT", optional=True)
        self._apply(event, reasons=reasons)

    # -- the stream ------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Takes all that is complete. In Sta1, bytes wait until the user has asked."""
        while not self.closed and not self._lost and self.state != 1 and self._read_one():
            pass
        if self._lost:
            self._buffer = b""

    def _read_one(self) -> bool:
        """Takes a header, a body or a piece of one. Returns False if more bytes are needed."""
        if self._pdu is None:
            return self._read_header()
        kind, left = self._pdu
        if self._skipping:
            self._take(min(left, len(self._buffer)))
            return self._pdu is None
        if kind == 4:
            return self._read_piece(left)
        if len(self._buffer) < left:
            return False
        self._on_body(kind, self._take(left))
        return True

    def _read_header(self) -> bool:
        if len(self._buffer) < 6:
            return False
        kind, length = self._buffer[0], int.from_bytes(self._buffer[2:6], "big")
        self._buffer = self._buffer[6:]
        verdict = check_header(kind, length, self.limits, self._max_length)
        if verdict is not None:
            self._lost = True
            self._blame(19, verdict.reasons)
            return True
        self._pdu, self._skipping = (kind, length), False
        found = look_up(self.state, _EVENT_OF[kind], self.role)
        assert found is not None
        if found[0] == "AA-6":
            self._skipping = True
        elif found[0] in _UNWANTED:
            self._blame(_EVENT_OF[kind], frozenset((UNEXPECTED,)))
            self._skipping = True
        if not length:  # no PDU that is accepted is empty
            self._pdu = None
        return True

    def _take(self, count: int) -> bytes:
        """The next bytes of the PDU."""
        assert self._pdu is not None
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        kind, left = self._pdu
        self._pdu = (kind, left - count) if left > count else None
        return taken

    def _on_body(self, kind: int, body: bytes) -> None:
        value = read_body(kind, body, self.limits)
        if isinstance(value, Invalid):
            self._blame(19, value.reasons)
        elif isinstance(value, Request) and not value.version & 1:
            self._tell("A-P-ABORT", optional=True)
            self._apply(6, acceptable=False)
        elif isinstance(value, Accept):
            self._on_accept(value)
        else:
            if isinstance(value, Request):
                self.request = value
            self._apply(_EVENT_OF[kind], received=value)

    def _on_accept(self, accept: Accept) -> None:
        """An answer that does not fit its request is an invalid PDU."""
        try:
            if not accept.version & 1:
                raise Refused("protocol version")
            if self.level == "association" and self.request is not None:
                self.messages = Assembly(agreed(self.request, accept, USER, self.limits), self.limits)
        except Refused as refused:
            self._blame(19, refused.verdict.reasons)
        else:
            self._apply(3, received=accept)

    def _read_piece(self, left: int) -> bool:
        """A piece of a P-DATA-TF: the header of a PDV, or bytes of one."""
        if self._pdv is None:
            head = min(6, left)
            if len(self._buffer) < head:
                return False
            raw = self._buffer[:head]
            length = int.from_bytes(raw[:4], "big")
            if head < 6 or length < 2 or length > left - 4:
                self._lost, self._pdu = True, None
                self._blame(19, frozenset((INVALID,)))
                return True
            self._pdv = raw[4], raw[5], length - 2, True
            self._take(6)
            return True if length > 2 else self._on_piece(b"")
        wanted = self._pdv[2]
        if not self._buffer:
            return False
        return self._on_piece(self._take(min(wanted, len(self._buffer))))

    def _on_piece(self, data: bytes) -> bool:
        assert self._pdv is not None
        context, control, wanted, start = self._pdv
        left = wanted - len(data)
        self._pdv = (context, control, left, False) if left else None
        piece = Pdv(start, context, bool(control & 1), bool(control & 2) and not left, data)
        if self.messages is None:
            self._tell(piece)
            return True
        try:
            made = self.messages.receive(piece)
        except Refused as refused:
            self._blame(19, refused.verdict.reasons)
            return True
        if made is not None:
            self._tell(made)
        return True

    def _finish(self) -> None:
        """The end of the stream, after all that came before it."""
        if not self._ended or self.closed:
            return
        if self.state == 1:  # a requestor that has not asked: nothing to report
            self.closed = True
            self._tell("closed")
            return
        if self.state == 2 and self._mid_pdu:
            self._tell("A-P-ABORT", optional=True)
        self._apply(17)


def _event_of(primitive: Value | Message | Part | Pdv) -> int:
    match primitive:
        case Request():
            return 1
        case Accept():
            return 7
        case Reject():
            return 8
        case Release(response):
            return 14 if response else 11
        case AbortPdu():
            return 15
        case _:
            return 9

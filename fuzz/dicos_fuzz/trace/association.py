"""One association, decoded from outside: the bytes of both sides in, entries out.

Knows: how framing, states and messages of both directions belong together, and what PS3.8 says about A-ASSOCIATE,
A-RELEASE and A-ABORT. Must not know: other connections, how entries are shown.

Invariants: no bytes raise an error; `held` bounds the memory; each PDU is judged once, by the state of its sender in
any order of events (`states`), by the layout (the engine's decoders) and by what was negotiated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, assert_never

from dicos_proto.errors import AbortReason, AbortSource, Malformed
from dicos_proto.limits import OBJECT_COST
from dicos_proto.upper_layer.agreement import Agreement, PresentationContext, agree
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.pdu import HEADER, decode_body
from dicos_proto.upper_layer.pdu_types import (
    PROTOCOL_VERSION,
    REJECT_REASONS,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    Managed,
    PduType,
    ReleaseRequest,
    ReleaseResponse,
)
from dicos_proto.upper_layer.titles import fault_of_title, is_title

from ..captures.events import Data, Ended, Event, Gap, How, Note, Opened
from ..captures.events import Over as ConnectionOver
from .entries import (
    AssociationTrace,
    Began,
    CommandSaid,
    DataPdu,
    DataSetSaid,
    Entry,
    Over,
    PduSaid,
    Pdv,
    Piece,
    Problem,
)
from .framing import Body, End, Framing, PdvData, PdvHole, PdvStart, Remark, Start, Token
from .marks import Kind, Mark, deviations, fresh_judge, note, violation
from .messages import Messages
from .states import States

__all__ = ["COST", "MOST_PDVS", "MOST_VIOLATIONS", "Follower"]

COST: Final = 64 * OBJECT_COST
"""Bytes that following an association costs, besides what `Follower.held` counts."""
MOST_PDVS: Final = 16
"""PDVs of one P-DATA-TF that its entry lists."""
MOST_VIOLATIONS: Final = 100_000
"""Violations of one association, after which it is not decoded any more. Stops: 8 bytes of nonsense, each of which
takes a line, for gigabytes."""
_P_DATA: Final = PduType.P_DATA_TF
_MOST_MARKS: Final = 16


class _Direction:
    """The PDU that one side is sending."""

    def __init__(self, *, begun: bool) -> None:
        self.framing = Framing(begun=begun)
        self.begin(None, "", 0, 0, ())

    def begin(self, kind: PduType | None, label: str, length: int, at: int, marks: Iterable[Mark]) -> None:
        """Begins a PDU."""
        self.kind, self.label, self.length, self.at = kind, label, length, at
        self.body: bytes | None = None
        self.marks = list(marks)
        self.more_marks = 0
        self.valid = not any(mark.kind is Kind.VIOLATION for mark in self.marks)
        self.pdvs: list[Pdv] = []
        self.more = 0

    def mark(self, *marks: Mark) -> None:
        """Adds marks to the PDU; of too many, the number."""
        room = max(0, _MOST_MARKS - len(self.marks))
        self.marks += marks[:room]
        self.more_marks += len(marks[room:])

    def all_marks(self) -> tuple[Mark, ...]:
        """Returns the marks of the PDU."""
        more = (note(f"{self.more_marks} more of these"),) if self.more_marks else ()
        return (*self.marks, *more)


class Follower:
    """Follows one association. `trace`: its facts. `pieces`: see `Messages`."""

    def __init__(self, trace: AssociationTrace, *, pieces: bool = False) -> None:
        begun = trace.connection.begun
        self.trace = trace
        self._states = States(begun=begun)
        self._messages = Messages(begun=begun, pieces=pieces)
        self._directions = (_Direction(begun=begun), _Direction(begun=begun))  # index 1 is the client
        self._began = False
        self._decided = begun and not trace.connection.guessed  # it is known who the requestor is
        self._outcome = ""
        self._given_up = False

    @property
    def held(self) -> int:
        """Bytes that are held."""
        return self._messages.held + self._directions[0].framing.held + self._directions[1].framing.held

    def feed(self, event: Event) -> Iterator[Entry]:
        """Yields the entries that an event of the connection makes."""
        if not self._began:
            self._began = True
            yield Began(self.trace.connection.at)
        if self._given_up and not isinstance(event, ConnectionOver):
            return
        for entry in self._entries(event):
            self._count(entry)
            yield entry
        if not self._given_up and self.trace.marks[Kind.VIOLATION] > MOST_VIOLATIONS:
            self._given_up = True
            text = f"more than {MOST_VIOLATIONS:,} violations: the rest of this association is not decoded"
            yield Problem(at=self.trace.last, by_requestor=True, marks=(note(text),))

    def _count(self, entry: Entry) -> None:
        trace = self.trace
        trace.last = entry.at
        if isinstance(entry, PduSaid | DataPdu):
            trace.pdus[entry.by_requestor] += 1
        elif isinstance(entry, CommandSaid):
            trace.messages[entry.by_requestor] += 1
        elif isinstance(entry, DataSetSaid):
            trace.data_bytes[entry.by_requestor] += entry.size
        if not isinstance(entry, Began | Piece):
            for mark in entry.marks:
                trace.marks[mark.kind] += 1

    def _entries(self, event: Event) -> Iterator[Entry]:
        match event:
            case Data():
                tokens = self._directions[event.by_client].framing.feed(event.data)
                yield from self._tokens(event.by_client, event.at, tokens)
            case Gap():
                yield from self._tokens(
                    event.by_client, event.at, self._directions[event.by_client].framing.gap(event.size)
                )
            case Note():
                yield Problem(at=event.at, by_requestor=self._by_requestor(event.by_client), marks=(note(event.text),))
            case Ended():
                yield from self._end(event.by_client, event.at)
            case ConnectionOver():
                yield from self._end(True, event.at)
                yield from self._end(False, event.at)
                yield self._over(event)
            case Opened():
                pass
            case _ as unreachable:
                assert_never(unreachable)

    def _by_requestor(self, by_client: bool) -> bool:
        return by_client is self.trace.requestor_is_client

    # -- the ends of the connection ------------------------------------------------------------------------------

    def _end(self, by_client: bool, at: int) -> Iterator[Entry]:
        direction = self._directions[by_client]
        yield from self._tokens(by_client, at, direction.framing.end())
        yield from self._messages.interrupt(self._by_requestor(by_client), at)

    def _over(self, event: ConnectionOver) -> Over:
        marks: tuple[Mark, ...] = ()
        outcome = self._outcome
        if not outcome:
            state = self._states.state(by_requestor=True)
            if event.how is How.RESET:
                how = f"reset by the {'requestor' if self._by_requestor(event.by_client) else 'acceptor'}"
            else:
                how = event.how.value
            outcome = f"{how}, in {state.name}"
            ended = event.how in (How.CLOSED, How.RESET, How.REUSED)
            if ended and self.trace.connection.begun and state in _OPEN:
                marks = (violation(f"connection {how} in {state.name}, without release or abort", "PS3.8 table 9-10"),)
        return Over(at=event.at, outcome=outcome, unanswered=self._messages.unanswered, marks=marks)

    # -- PDUs ----------------------------------------------------------------------------------------------------

    def _tokens(self, by_client: bool, at: int, tokens: Iterator[Token]) -> Iterator[Entry]:
        direction = self._directions[by_client]
        for token in tokens:
            match token:
                case Start():
                    self._decide(token.kind, by_client)
                    yield from self._start(direction, self._by_requestor(by_client), at, token)
                case Body():
                    direction.body = token.data
                case PdvStart():
                    if len(direction.pdvs) < MOST_PDVS:
                        direction.pdvs.append(Pdv(token.context, token.control, token.length))
                    else:
                        direction.more += 1
                    who = self._by_requestor(by_client)
                    yield from self._messages.begin(who, at, token.context, token.control, token.length)
                case PdvData():
                    who = self._by_requestor(by_client)
                    yield from self._messages.data(who, at, token.data, complete=token.complete)
                case PdvHole():
                    who = self._by_requestor(by_client)
                    yield from self._messages.hole(who, at, token.size, complete=token.complete)
                case End():
                    yield from self._finish(direction, self._by_requestor(by_client), at, cut=token.cut)
                case Remark():
                    yield from self._remark(direction, self._by_requestor(by_client), at, token.mark)
                case _ as unreachable:
                    assert_never(unreachable)

    def _decide(self, kind: PduType | None, by_client: bool) -> None:
        """Decides who the requestor is, by the first PDU of a connection without its handshake."""
        if not self._decided:
            self._decided = True
            if kind is PduType.ASSOCIATE_RQ:
                self.trace.requestor_is_client = by_client
            elif kind in (PduType.ASSOCIATE_AC, PduType.ASSOCIATE_RJ):
                self.trace.requestor_is_client = not by_client

    def _start(self, direction: _Direction, by_requestor: bool, at: int, token: Start) -> Iterator[Entry]:
        label = f"PDU type 0x{token.number:02X}" if token.kind is None else token.kind.label
        direction.begin(token.kind, label, token.length, at, token.marks)
        if token.kind is not _P_DATA:
            yield from self._messages.interrupt(by_requestor, at)
        elif direction.valid:
            self._say(direction, _P_DATA, by_requestor)
        else:
            self._states.say_nonsense(by_requestor=by_requestor)

    def _say(self, direction: _Direction, kind: PduType, by_requestor: bool) -> bool:
        """Judges a PDU by the state of its sender."""
        wrong = self._states.say(kind, by_requestor=by_requestor)
        if wrong:
            direction.mark(violation(wrong, "PS3.8 table 9-10"))
        return not wrong

    def _remark(self, direction: _Direction, by_requestor: bool, at: int, mark: Mark) -> Iterator[Entry]:
        if direction.label:
            direction.mark(mark)
            if mark.kind is Kind.VIOLATION:  # the rest of a P-DATA-TF is skipped
                self._states.say_nonsense(by_requestor=by_requestor)
                yield from self._messages.interrupt(by_requestor, at, gap=True)
            return
        self._states.say_nonsense(by_requestor=by_requestor)  # the other side may abort
        yield from self._messages.interrupt(by_requestor, at, gap=True)
        yield Problem(at=at, by_requestor=by_requestor, marks=(mark,))

    def _finish(self, direction: _Direction, by_requestor: bool, at: int, *, cut: bool) -> Iterator[Entry]:
        if direction.kind is _P_DATA:
            made: Entry = DataPdu(
                at=direction.at, by_requestor=by_requestor, length=direction.length, pdvs=tuple(direction.pdvs),
                more=direction.more, marks=direction.all_marks(),
            )  # fmt: skip
        else:
            made = self._managed(direction, by_requestor)
        direction.begin(None, "", 0, 0, ())
        yield made
        if cut:
            yield from self._messages.interrupt(by_requestor, at, gap=True)

    def _managed(self, direction: _Direction, by_requestor: bool) -> PduSaid:
        """Judges a PDU that is not a P-DATA-TF, now that no more of it comes: it may lack bytes that the recording
        lacks, or that were never sent."""
        kind, body = direction.kind, direction.body
        pdu: Managed | None = None
        raw, broken = b"", not direction.valid
        if kind is not None and body is not None:
            raw = HEADER.pack(kind, len(body)) + body
            judge = fresh_judge()
            try:
                pdu = decode_body(kind, memoryview(body), judge)
            except Malformed as fault:
                mark = violation(fault)
                broken = mark.kind is Kind.VIOLATION
                direction.mark(mark)
            direction.mark(*deviations(judge))
        if kind is None or broken:
            self._states.say_nonsense(by_requestor=by_requestor)
        elif self._say(direction, kind, by_requestor) and pdu is not None:
            self._learn(direction, pdu, by_requestor)
        if pdu is not None:
            direction.mark(*judged(pdu))
        return PduSaid(
            at=direction.at, by_requestor=by_requestor, label=direction.label, length=direction.length, raw=raw,
            pdu=pdu, marks=direction.all_marks(),
        )  # fmt: skip

    # -- what was agreed -----------------------------------------------------------------------------------------

    def _learn(self, direction: _Direction, pdu: Managed, by_requestor: bool) -> None:
        """Takes what a PDU in its place says about the association."""
        trace = self.trace
        match pdu:
            case AssociateRequest():
                trace.request = pdu
                self._receiver(by_requestor).max_length = pdu.user_information.max_length
            case AssociateAccept():
                trace.accept = pdu
                self._receiver(by_requestor).max_length = pdu.user_information.max_length
                if trace.request is not None:
                    direction.mark(*self._agree(trace.request, pdu))
            case AssociateReject() | Abort():
                self._outcome = self._outcome or str(pdu)
            case ReleaseResponse():
                self._outcome = self._outcome or "released"
            case ReleaseRequest():
                pass
            case _ as unreachable:
                assert_never(unreachable)

    def _receiver(self, by_requestor: bool) -> Framing:
        """Returns the framing of the direction towards this side, which its Maximum Length limits."""
        return self._directions[by_requestor is not self.trace.requestor_is_client].framing

    def _agree(self, request: AssociateRequest, accept: AssociateAccept) -> Iterator[Mark]:
        judge = fresh_judge()
        try:
            agreement = agree(request, accept, requestor=True, judge=judge)
        except Malformed as fault:
            yield violation(fault)
            agreement = _likely(request, accept)
        yield from deviations(judge)
        self._messages.agreement = agreement
        self.trace.syntaxes = {number: one.transfer_syntax for number, one in agreement.contexts.items()}
        for direction in self._directions:
            direction.framing.contexts = frozenset(agreement.contexts)


_OPEN: Final = frozenset(State) - {State.Sta1, State.Sta2, State.Sta4, State.Sta13}
"""The states in which a connection must not simply end."""


def _likely(request: AssociateRequest, accept: AssociateAccept) -> Agreement:
    """Returns what both sides may think was agreed, where the answer does not fit the request."""
    proposed = {context.id: context for context in request.contexts}
    contexts = {}
    for answer in accept.contexts:
        asked = proposed.get(answer.id)
        if answer.result == ContextResult.ACCEPTANCE and answer.transfer_syntax is not None:
            abstract = "" if asked is None else asked.abstract_syntax
            contexts[answer.id] = PresentationContext(
                id=answer.id, abstract_syntax=abstract, transfer_syntax=answer.transfer_syntax, scu=True, scp=True
            )
    return Agreement(
        contexts=contexts, refused=(), peer_max_length=accept.user_information.max_length, invoke=0, perform=0
    )


def judged(pdu: Managed) -> Iterator[Mark]:
    """Yields what is wrong with the fields of a PDU that has a valid layout, beyond what decoders accept or refuse."""
    match pdu:
        case AssociateRequest():
            if not pdu.protocol_version & PROTOCOL_VERSION:
                yield violation(f"protocol version 0x{pdu.protocol_version:04X}; bit 0 set", "PS3.8 9.3.2")
            for name, title in (("called", pdu.called_aet), ("calling", pdu.calling_aet)):
                if not is_title(title) and not fault_of_title(title):
                    yield violation(f"{name} AE title with characters that it cannot have", "PS3.8 9.3.2")
        case AssociateAccept():
            if not pdu.protocol_version & PROTOCOL_VERSION:
                yield violation(f"protocol version 0x{pdu.protocol_version:04X}; bit 0 set", "PS3.8 9.3.3")
        case AssociateReject():
            if pdu.result not in (1, 2) or (pdu.source, pdu.reason) not in REJECT_REASONS:
                seen = f"{pdu.result}/{pdu.source}/{pdu.reason}"
                yield violation(f"A-ASSOCIATE-RJ with reserved values: {seen}", "PS3.8 9.3.4")
        case Abort():
            known = {reason.value for reason in AbortReason} - {AbortReason.RESERVED}
            if pdu.source not in (AbortSource.SERVICE_USER, AbortSource.SERVICE_PROVIDER):
                yield violation(f"A-ABORT from source {pdu.source}, which is reserved", "PS3.8 9.3.8")
            elif pdu.source == AbortSource.SERVICE_PROVIDER and pdu.reason not in known:
                yield violation(f"A-ABORT with reason {pdu.reason}, which is reserved", "PS3.8 9.3.8")
        case ReleaseRequest() | ReleaseResponse():
            pass
        case _ as unreachable:
            assert_never(unreachable)

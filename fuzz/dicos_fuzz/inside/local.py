"""Local users of one engine: what they answer, ask for and do at a certain event, as a tape says.

Knows: events of `Association` and `UpperLayer`, and what may be sent then. Must not know: bytes, oracles.

Invariants: a user decides by the events alone, with the pieces of a data set counted as one, so that it does the same
for every chunking of the same bytes. Everything it sends may be refused (`LocalProtocolError`), which changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from dicos_proto.association import Association
from dicos_proto.dimse.events import Event, MessageData, MessageStart, Sendable
from dicos_proto.dimse.types import (
    AnyRequest,
    CCancelRequest,
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    DimseRequest,
    response_to,
)
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import uids
from dicos_proto.upper_layer.events import Fragment, UpperEvent
from dicos_proto.upper_layer.layer import UpperLayer
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    OperationsWindow,
    PData,
    Pdu,
    Pdv,
    ReleaseRequest,
    ReleaseResponse,
)
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles

from .seeds import CT, ELEMENTS, EXPLICIT, FIND, GET, IMPLICIT
from .tape import Tape
from .target import OracleFailure

__all__ = ["Manner", "UpperUser", "User"]

_SYNTAXES: Final = (IMPLICIT, EXPLICIT)
_POLICIES: Final = (
    AcceptPolicy(
        other_contexts=_SYNTAXES,
        window=OperationsWindow(invoked=0, performed=0),
        roles={CT: Roles(scu=True, scp=True)},
        peer_max_length=8,
    ),
    AcceptPolicy(contexts={uids.VERIFICATION: (IMPLICIT,), CT: (IMPLICIT,)}, max_length=512),
    AcceptPolicy(other_contexts=_SYNTAXES, window=OperationsWindow(invoked=2, performed=1), max_length=0),
)


@dataclass(frozen=True, slots=True)
class Manner:
    """The behaviour of a local user. `opening`: its answer to an A-ASSOCIATE-RQ. `at`: the number of the event when it
    does `act`, 0 for never. `silent`: it answers no requests. `sloppy`: it sends what it must not, too."""

    opening: int = 0
    at: int = 0
    act: int = 0
    silent: bool = False
    sloppy: bool = False

    @classmethod
    def of(cls, tape: Tape) -> Manner:
        """Reads two bytes of a tape."""
        first, second = tape.byte(), tape.byte()
        return cls(first % 8, second & 15, second >> 4, bool(first & 0x40), bool(first & 0x80))


class _Base:
    """The common part of both users: their manner, and a count of the events that matter."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.events = 0
        self.refused = 0
        """Attempts to send that the engine refused."""


class User(_Base):
    """The user of an `Association`, in either role."""

    def __init__(self, engine: Association, manner: Manner) -> None:
        super().__init__(manner)
        self.engine = engine
        self._asked: MessageStart | None = None  # the request whose data set is arriving

    def send(self, *events: Sendable) -> None:
        """Sends these events, one after the other, up to the first that is refused."""
        engine = self.engine
        for event in events:
            before = engine.state, engine.bytes_queued, engine.operations.outstanding, engine.operations.owed
            try:
                engine.send(event)
            except LocalProtocolError:
                self.refused += 1
                after = engine.state, engine.bytes_queued, engine.operations.outstanding, engine.operations.owed
                if after != before:
                    raise OracleFailure(f"a refused {type(event).__name__} changed {before} to {after}") from None
                return

    def take(self, event: Event) -> None:
        """Does what this user does at this event."""
        if isinstance(event, MessageData):
            if not event.last:
                return
            asked, self._asked = self._asked, None
            self._count()
            if asked is not None:
                self._answer(asked)
            return
        self._count()
        match event:
            case AssociateRequest():
                self._open(event)
            case AssociateAccept():
                self._ask()
            case ReleaseRequest():
                if not self.manner.silent:
                    self.send(ReleaseResponse())
            case ReleaseResponse():
                if self.engine.state is State.Sta12:
                    self.send(ReleaseResponse())
            case MessageStart(command=DimseRequest()) if event.has_data:
                self._asked = event
            case MessageStart(command=DimseRequest()):
                self._answer(event)
            case _:
                pass

    def _count(self) -> None:
        self.events += 1
        if self.events == self.manner.at:
            self._act()

    def _act(self) -> None:
        echo = CEchoRequest(message_id=self.engine.operations.new_message_id(), affected_sop_class_uid="1.2")
        match self.manner.act:
            case 0 | 1 | 2:
                self.send(ReleaseRequest())
            case 3 | 4:
                self.send(Abort())
            case 5:
                self.send(MessageStart(context=1, command=echo))
            case 6:
                self.send(ReleaseRequest(), ReleaseRequest())
            case 7:
                self.send(ReleaseResponse())
            case 8:
                self.send(MessageStart(context=2, command=echo))
            case 9:
                self.send(MessageData(context=3, data=b"ab", last=False))
            case 10:
                self.send(MessageStart(context=1, command=echo, has_data=True))
            case 11:
                self.send(AssociateReject())
            case 12:
                self._ask()
            case 13:
                cancel = CCancelRequest(message_id_being_responded_to=3)
                self.send(MessageStart(context=5, command=cancel))
            case 14:
                store = CStoreRequest(message_id=77, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
                self.send(MessageStart(context=3, command=store, has_data=True))
                self.send(MessageData(context=3, data=bytes(9_000), last=False))
            case _:
                self.send(Abort(source=2, reason=1))

    def _open(self, asked: AssociateRequest) -> None:
        match self.manner.opening:
            case 5:
                self.send(AssociateReject(result=2, source=3, reason=2))
            case 6:
                self.send(Abort())
            case 7:
                pass
            case number:
                self.send(negotiate(asked, _POLICIES[number % 3], self.engine.terms.tolerance))

    def _ask(self) -> None:
        """Sends one request of each service, numbered 1, 2, 3, 4, as far as the window allows."""
        self.send(MessageStart(context=1, command=CEchoRequest(message_id=1, affected_sop_class_uid=uids.VERIFICATION)))
        store = CStoreRequest(message_id=2, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
        self._ask_with(3, store, ELEMENTS * 12)
        self._ask_with(5, CFindRequest(message_id=3, affected_sop_class_uid=FIND), ELEMENTS)
        self._ask_with(7, CGetRequest(message_id=4, affected_sop_class_uid=GET), ELEMENTS)

    def _ask_with(self, context: int, request: AnyRequest, data: bytes) -> None:
        self.send(
            MessageStart(context=context, command=request, has_data=True),
            MessageData(context=context, data=data[:51], last=False),
            MessageData(context=context, data=data[51:], last=True),
        )

    def _answer(self, asked: MessageStart) -> None:
        request, context = asked.command, asked.context
        if self.manner.silent or not isinstance(request, DimseRequest):
            return
        final = MessageStart(context=context, command=response_to(request, 0))
        if isinstance(request, CFindRequest | CGetRequest | CMoveRequest):
            pending = response_to(request, 0xFF00)
            has_match = isinstance(request, CFindRequest)
            self.send(MessageStart(context=context, command=pending, has_data=has_match))
            if has_match:
                self.send(MessageData(context=context, data=ELEMENTS, last=True))
        self.send(final)
        if self.manner.sloppy:
            self.send(final, replace(final, context=context ^ 2))


class UpperUser(_Base):
    """The user of an `UpperLayer`, in either role."""

    def __init__(self, engine: UpperLayer, manner: Manner) -> None:
        super().__init__(manner)
        self.engine = engine

    def send(self, *pdus: Pdu) -> None:
        """Sends these PDUs, one after the other, up to the first that is refused."""
        engine = self.engine
        for pdu in pdus:
            before = engine.state, engine.bytes_queued
            try:
                engine.send(pdu)
            except LocalProtocolError:
                self.refused += 1
                if before != (engine.state, engine.bytes_queued):
                    raise OracleFailure(f"a refused {type(pdu).__name__} changed {before}") from None
                return

    def take(self, event: UpperEvent) -> None:
        """Does what this user does at this event."""
        if isinstance(event, Fragment) and not event.last:
            return
        self.events += 1
        if self.events == self.manner.at:
            self._act()
        match event:
            case AssociateRequest() if self.manner.opening < 5:
                self.send(negotiate(event, _POLICIES[self.manner.opening % 3]))
            case AssociateRequest():
                self.send(AssociateReject() if self.manner.opening == 5 else Abort())
            case Fragment():
                data = PData(pdvs=(Pdv(context=1, command=True, last=True, data=b"ab"),))
                if not self.manner.silent:
                    self.send(data)
            case ReleaseRequest() if not self.manner.silent:
                self.send(ReleaseResponse())
            case ReleaseResponse() if self.engine.state is State.Sta12:
                self.send(ReleaseResponse())
            case _:
                pass

    def _act(self) -> None:
        match self.manner.act % 5:
            case 0 | 1:
                self.send(ReleaseRequest())
            case 2:
                self.send(Abort())
            case 3:
                self.send(ReleaseRequest(), ReleaseRequest())
            case _:
                self.send(ReleaseResponse())

"""An association as a script sees it, and reactions on it.

Knows: PDUs, messages. Must not know: which side opened the connection, what is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dicos_proto.dimse.types import CEchoRequest, Command, DimseRequest, DimseResponse
from dicos_proto.registry import uids
from dicos_proto.upper_layer.agreement import PresentationContext
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    ReleaseRequest,
    ReleaseResponse,
)

from ..case import Inconclusive, Unimplemented
from ..profile import Profile
from ..reactions import Did, Reaction
from ..steps import Ended, Receive, Received, ReceivedPdu, Scene, Send, Silence
from .messages import Hearing, Message, message

__all__ = ["Associated", "contexts_of", "goes_on", "hear", "react", "reaction_to", "released", "said", "tell"]

_ENDS: Final = {"FIN": Did.CLOSE, "RESET": Did.RESET, "TLS": Did.CLOSE}
_LEAST: Final = 8


@dataclass(slots=True)
class Associated:
    """An association that both sides agreed to, on one connection. `contexts`: the accepted ones by id. `maximum`: the
    peer's Maximum Length, 0 unlimited. `hearing` makes messages of what the peer says."""

    profile: Profile
    connection: int
    request: AssociateRequest
    accept: AssociateAccept
    contexts: Mapping[int, PresentationContext]
    maximum: int
    hearing: Hearing = field(default_factory=Hearing)
    _last: int = 0
    _waiting: list[Message] = field(default_factory=list)

    def new_id(self) -> int:
        """Returns the next message id."""
        self._last += 1
        return self._last

    def context(self, abstract_syntax: str = "") -> PresentationContext:
        """Returns an accepted context with this abstract syntax, any without it. Raises `Unimplemented`."""
        for one in self.contexts.values():
            if not abstract_syntax or one.abstract_syntax == abstract_syntax:
                return one
        raise Unimplemented(f"the peer accepts no context for {uids.name_of(abstract_syntax)}")

    def pdus(self, context: int, command: Command, data: bytes | None = None) -> bytes:
        """Returns the P-DATA-TFs of a message, within the peer's Maximum Length."""
        return message(context, command, data, max_length=max(self.maximum, _LEAST) if self.maximum else 0)

    def echo_request(self, context: int | None = None, message_id: int | None = None) -> bytes:
        """Returns the P-DATA-TF of a C-ECHO-RQ. Raises `Unimplemented` without a context for it."""
        where = self.context(uids.VERIFICATION).id if context is None else context
        number = self.new_id() if message_id is None else message_id
        return self.pdus(where, CEchoRequest(message_id=number, affected_sop_class_uid=uids.VERIFICATION))


def contexts_of(request: AssociateRequest, accept: AssociateAccept) -> dict[int, PresentationContext]:
    """Returns the contexts that an answer accepts, those that were proposed, by id."""
    proposed = {one.id: one for one in request.contexts}
    return {
        one.id: PresentationContext(
            id=one.id,
            abstract_syntax=proposed[one.id].abstract_syntax,
            transfer_syntax=one.transfer_syntax or "",
            scu=True,
            scp=False,
        )
        for one in accept.contexts
        if one.id in proposed and one.result == ContextResult.ACCEPTANCE and one.transfer_syntax
    }


# -- what the peer does ------------------------------------------------------------------------------------------


def reaction_to(received: Received) -> Reaction:
    """Returns what was received as a reaction. A P-DATA-TF is `Did.OTHER`: `react` makes messages of them."""
    match received:
        case Silence(partial=partial):
            begun = f", after {partial} bytes of a PDU" if partial else ""
            return Reaction(did=Did.SILENCE, detail=f"nothing, and the connection stays open{begun}")
        case Ended(how=how, inside=inside):
            within = " within a PDU" if inside else ""
            return Reaction(did=_ENDS[how.name], detail=f"the connection is {how.value}{within}")
        case ReceivedPdu():
            return _of_pdu(received)


def _of_pdu(pdu: ReceivedPdu) -> Reaction:
    value = pdu.value
    match value:
        case None:
            return Reaction(did=Did.MALFORMED, detail=f"{pdu.data[:16].hex(' ')}...: {pdu.fault}")
        case Abort(source=source, reason=reason):
            return Reaction(
                did=Did.ABORT, detail=f"A-ABORT, source {source}, reason {reason}", source=source, reason=reason
            )
        case AssociateReject(result=result, source=source, reason=reason):
            return Reaction(
                did=Did.REJECT, detail=f"A-ASSOCIATE-RJ: {value}", result=result, source=source, reason=reason
            )
        case AssociateAccept(contexts=contexts):
            taken = sum(one.result == ContextResult.ACCEPTANCE for one in contexts)
            return Reaction(did=Did.ACCEPT, detail=f"A-ASSOCIATE-AC, {taken} of {len(contexts)} contexts accepted")
        case AssociateRequest():
            return Reaction(did=Did.REQUEST, detail=f"A-ASSOCIATE-RQ, {len(value.contexts)} contexts")
        case ReleaseRequest():
            return Reaction(did=Did.ASK_RELEASE, detail="A-RELEASE-RQ")
        case ReleaseResponse():
            return Reaction(did=Did.RELEASE, detail="A-RELEASE-RP")
        case _:
            return Reaction(did=Did.OTHER, detail=f"P-DATA-TF of {len(pdu.data) - 6} bytes")


def reaction_of_message(heard: Message) -> Reaction:
    """Returns a message as a reaction."""
    command = heard.command
    if command is None:
        return Reaction(did=Did.MALFORMED, detail=f"a command set that cannot be read: {heard.fault}")
    if isinstance(command, DimseResponse):
        number = command.message_id_being_responded_to
        detail = f"{command.NAME} to message {number}, status {command.status:04X}H"
        return Reaction(did=Did.ANSWER, detail=detail, status=command.status)
    return Reaction(did=Did.MESSAGE, detail=command.NAME)


def hear(link: Associated, seconds: float | None = None) -> Scene[Message | Received]:
    """Receives the next whole message; or what came in its place: another PDU, the end, silence."""
    if link._waiting:
        return link._waiting.pop(0)
    while True:
        received: Received = yield Receive(connection=link.connection, seconds=seconds)
        if not isinstance(received, ReceivedPdu) or received.kind != 4:
            return received
        link._waiting += link.hearing.feed(received.at, received.data)
        if link._waiting:
            return link._waiting.pop(0)


def said(heard: Message | Received) -> Reaction:
    """Returns what `hear` returned as a reaction."""
    return reaction_of_message(heard) if isinstance(heard, Message) else reaction_to(heard)


def react(link: Associated | None = None, *, connection: int = 0, seconds: float | None = None) -> Scene[Reaction]:
    """Receives the reaction to what was sent: the next message on the association `link`, another PDU, the end of the
    connection, silence. Without `link`, the next PDU on `connection`."""
    if link is not None:
        return said((yield from hear(link, seconds)))
    return reaction_to((yield Receive(connection=connection, seconds=seconds)))


def tell(
    link: Associated, command: Command, data: bytes | None = None, *, context: int | None = None
) -> Scene[Message | Received]:
    """Sends a message on a context (that of its SOP class, if None), and receives what comes back."""
    where = context
    if where is None:
        where = link.context(getattr(command, "affected_sop_class_uid", None) or "").id
    yield Send(link.pdus(where, command, data), link.connection)
    return (yield from hear(link))


def goes_on(link: Associated) -> Scene[Reaction]:
    """Tries if the association is as good as before: a C-ECHO is answered by success. Returns `Did.GOES_ON`, or what
    the peer did instead. Raises `Unimplemented` without a context for Verification."""
    request = link.echo_request()
    number = link._last
    yield Send(request, link.connection)
    heard = yield from hear(link)
    if isinstance(heard, Message) and isinstance(heard.command, DimseResponse):
        command = heard.command
        if command.message_id_being_responded_to == number and command.status == 0:
            return Reaction(did=Did.GOES_ON, detail="a C-ECHO is answered as before", status=0)
    return said(heard)


def released(link: Associated) -> Scene[Reaction]:
    """Asks for the release. Returns `Did.RELEASE`, or what the peer did instead; messages that come before are
    skipped."""
    yield Send(encode(ReleaseRequest()), link.connection)
    while True:
        heard = yield from hear(link)
        if not isinstance(heard, Message):
            return reaction_to(heard)


def expect_request(heard: Message | Received, *kinds: type[DimseRequest]) -> Message:
    """Returns what was heard if it is a request of one of these kinds. Raises `Inconclusive`."""
    if isinstance(heard, Message) and isinstance(heard.command, kinds or DimseRequest):
        return heard
    raise Inconclusive(f"the peer did not ask for what the case needs: {said(heard)}")

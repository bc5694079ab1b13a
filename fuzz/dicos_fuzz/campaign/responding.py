"""The right answer to what the peer said last: what `Answer` steps send, as an acceptor and as a performer.

Knows: the engine's negotiation, command sets and responses. Must not know: sockets, what is changed in an answer.

Invariants: no bytes of a peer raise an error: what cannot be understood has no answer. Data sets are counted, not kept;
a command set is kept up to `COMMAND_MOST` bytes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.types import (
    AnyRequest,
    Command,
    DimseRequest,
    NCreateRequest,
    NCreateResponse,
    response_to,
)
from dicos_proto.errors import LocalProtocolError, Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import EVERYTHING, STRICT, Judge
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    OperationsWindow,
    PData,
    PduType,
    ReleaseRequest,
    ReleaseResponse,
)
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles

from ..grammar.building import message

__all__ = ["Responding", "acceptance", "decoded"]

COMMAND_MOST: Final = 64 << 10
_LENIENT: Final = Judge(Limits(), EVERYTHING)
_INSTANCE: Final = "2.25.271828182845904523536028747135266249"
"""The UID of an instance that an N-CREATE-RQ leaves to the provider."""


def decoded(pdu: bytes) -> object:
    """Returns the PDU of these bytes, with the deviations accepted that are common in the field; None if it is not a
    PDU."""
    for tolerance in (STRICT, EVERYTHING):
        try:
            return decode(pdu, tolerance=tolerance)
        except Malformed:
            continue
    return None


def acceptance(asked: AssociateRequest) -> AssociateAccept | AssociateReject:
    """Returns an A-ASSOCIATE-AC that accepts all contexts, each with its first transfer syntax, and all roles; the
    A-ASSOCIATE-RJ of `negotiate` for a request that the standard forbids to accept."""
    syntaxes: dict[str, tuple[str, ...]] = {}
    for context in asked.contexts:  # an abstract syntax may be proposed again, with others
        known = syntaxes.get(context.abstract_syntax, ())
        syntaxes[context.abstract_syntax] = (*known, *context.transfer_syntaxes)
    theirs = asked.user_information
    policy = AcceptPolicy(
        contexts=syntaxes,
        application_contexts=(asked.application_context,),
        roles={role.sop_class_uid: Roles(scu=role.scu, scp=role.scp) for role in theirs.roles},
        window=OperationsWindow(invoked=0, performed=0) if theirs.window is not None else None,
        peer_max_length=8,
    )
    return negotiate(asked, policy, EVERYTHING)


class Responding:
    """The last thing that the peer said on one connection, and the answer to it. Feed it whole PDUs in order."""

    def __init__(self) -> None:
        self._associate: AssociateRequest | None = None
        self._release = False
        self._command = bytearray()
        self._open: tuple[int, Command] | None = None  # a message whose data set is not complete
        self._asked: tuple[int, AnyRequest] | None = None
        self._max_length = 16_384
        self.answered = 0

    @property
    def partial(self) -> bool:
        """True if a message has begun and is not complete."""
        return bool(self._command) or self._open is not None

    @property
    def waiting(self) -> bool:
        """True if there is something to answer."""
        return self._associate is not None or self._release or self._asked is not None

    def feed(self, pdu: bytes) -> None:
        """Takes one PDU of the peer."""
        found = decoded(pdu)
        match found:
            case AssociateRequest():
                self._associate, self._asked, self._release = found, None, False
                self._max_length = found.user_information.max_length
            case AssociateAccept():
                self._max_length = found.user_information.max_length
            case ReleaseRequest():
                self._release, self._asked = True, None
            case PData(pdvs=pdvs):
                for pdv in pdvs:
                    self._fragment(pdv.context, pdv.command, pdv.last, bytes(pdv.data))
            case _ if pdu[:1] == bytes((PduType.P_DATA_TF,)):
                self._command.clear()
                self._open = None

    def _fragment(self, context: int, command: bool, last: bool, data: bytes) -> None:
        if not command:
            if last and self._open is not None:
                self._complete(*self._open)
            return
        if len(self._command) + len(data) > COMMAND_MOST:
            self._command.clear()
            return
        self._command += data
        if not last:
            return
        try:
            found, has_data = decode_command(bytes(self._command), _LENIENT)
        except Malformed:
            return
        finally:
            self._command.clear()
        if has_data:
            self._open = (context, found)
        else:
            self._complete(context, found)

    def _complete(self, context: int, command: Command) -> None:
        self._open = None
        if isinstance(command, DimseRequest):
            self._asked = (context, command)

    def answer(self) -> bytes:
        """Returns the answer, one or several PDUs, and takes note that it was given; nothing if there is none."""
        try:
            return self._answer()
        except LocalProtocolError:  # a request that was accepted with deviations may have no valid answer
            return b""

    def _answer(self) -> bytes:
        if self._associate is not None:
            asked, self._associate = self._associate, None
            return encode(acceptance(asked))
        if self._release:
            self._release = False
            return encode(ReleaseResponse())
        if self._asked is None:
            return b""
        (context, request), self._asked = self._asked, None
        response = response_to(request, 0)
        if isinstance(request, NCreateRequest) and isinstance(response, NCreateResponse):
            response = replace(response, affected_sop_instance_uid=request.affected_sop_instance_uid or _INSTANCE)
        return b"".join(message(context, response, max_length=self._max_length))

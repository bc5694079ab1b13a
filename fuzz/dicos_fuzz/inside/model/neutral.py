"""The engine's PDUs and events -> the values of the model (`values`), so that both can be compared.

Knows: the engine's types, field by field. Must not know: bytes, states, what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from dicos_proto.dimse.events import MessageData, MessageStart, Sendable
from dicos_proto.dimse.types import Command
from dicos_proto.upper_layer.events import Closed, Deviation, Fragment, Idle, ProviderAbort
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    PData,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
)

from .bodies import Value
from .values import AbortPdu, Accept, Message, Offer, Part, Pdv, Reject, Release, Request, Terms

__all__ = ["event", "joined", "primitive"]

Neutral = Value | Message | Part | Pdv | str
_ELEMENTS: Final = {
    "affected_sop_class_uid": 0x0002, "requested_sop_class_uid": 0x0003, "message_id": 0x0110,
    "message_id_being_responded_to": 0x0120, "move_destination": 0x0600, "priority": 0x0700, "status": 0x0900,
    "offending_element": 0x0901, "error_comment": 0x0902, "error_id": 0x0903, "affected_sop_instance_uid": 0x1000,
    "requested_sop_instance_uid": 0x1001, "event_type_id": 0x1002, "attribute_identifier_list": 0x1005,
    "action_type_id": 0x1008, "remaining": 0x1020, "completed": 0x1021, "failed": 0x1022, "warning": 0x1023,
    "move_originator_aet": 0x1030, "move_originator_message_id": 0x1031,
}  # fmt: skip
"""The engine's name of a field -> its element of group 0000 [PS3.7 E.1]."""

_Event = (
    AssociateRequest | AssociateAccept | AssociateReject | ReleaseRequest | ReleaseResponse | Abort | Fragment
    | MessageStart | MessageData | ProviderAbort | Deviation | Idle | Closed
)  # fmt: skip


def event(one: _Event) -> Neutral:
    """Returns an event of an `UpperLayer` or `Association` as the model has it."""
    match one:
        case Fragment():
            return Pdv(one.start, one.context, one.command, one.last, bytes(one.data))
        case ProviderAbort():
            return "A-P-ABORT"
        case Deviation():
            return "deviation"
        case Idle():
            return "idle"
        case Closed():
            return "closed"
        case _:
            return primitive(one)


def primitive(one: Sendable | PData) -> Value | Message | Part | Pdv:
    """Returns something that is sent as the model has it. A `PData` has to hold one PDV."""
    match one:
        case AssociateRequest():
            contexts = tuple(Offer(each.id, each.abstract_syntax, each.transfer_syntaxes) for each in one.contexts)
            return Request(
                one.protocol_version, one.called_aet, one.calling_aet, one.application_context, contexts,
                _terms(one.user_information),
            )  # fmt: skip
        case AssociateAccept():
            answers = tuple((each.id, int(each.result), each.transfer_syntax) for each in one.contexts)
            return Accept(
                one.protocol_version, one.called_aet, one.calling_aet, one.application_context, answers,
                _terms(one.user_information),
            )  # fmt: skip
        case AssociateReject():
            return Reject(one.result, one.source, one.reason)
        case ReleaseRequest():
            return Release(response=False)
        case ReleaseResponse():
            return Release(response=True)
        case Abort():
            return AbortPdu(one.source, one.reason)
        case PData():
            (pdv,) = one.pdvs
            return Pdv(True, pdv.context, pdv.command, pdv.last, bytes(pdv.data))
        case MessageStart():
            return Message(one.context, one.command.COMMAND_FIELD, _values(one.command), one.has_data)
        case MessageData():
            return Part(one.context, bytes(one.data), one.last)
        case _ as unreachable:
            assert_never(unreachable)


def _values(command: Command) -> tuple[tuple[int, object], ...]:
    found: list[tuple[int, object]] = list(command.other)
    for name, element in _ELEMENTS.items():
        value = getattr(command, name, None)
        if value is not None:
            found.append((element, value))
    return tuple(sorted(found, key=lambda pair: pair[0]))


def _terms(user: UserInformation) -> Terms:
    window, identity, response = user.window, user.user_identity, user.user_identity_response
    return Terms(
        max_length=user.max_length,
        class_uid=user.implementation_class_uid,
        version=user.implementation_version_name,
        window=None if window is None else (window.invoked, window.performed),
        roles=tuple((one.sop_class_uid, one.scu, one.scp) for one in user.roles),
        extended=tuple((one.sop_class_uid, one.information) for one in user.extended),
        common=tuple((one.sop_class_uid, one.service_class_uid, one.related_general) for one in user.common_extended),
        identity=None
        if identity is None
        else (identity.type, identity.primary, identity.secondary, identity.response_requested),
        response=None if response is None else response.response,
    )


def joined(events: list[Neutral]) -> list[Neutral]:
    """Joins what only the cuts of the stream separate: pieces of one PDV, pieces of one data set."""
    return list(_joined(events))


def _joined(events: list[Neutral]) -> Iterator[Neutral]:
    held: Neutral | None = None
    for one in events:
        if isinstance(held, Pdv) and isinstance(one, Pdv) and not one.start:
            held = Pdv(held.start, held.context, held.command, one.last, held.data + one.data)
        elif isinstance(held, Part) and isinstance(one, Part) and not held.last and held.context == one.context:
            held = Part(held.context, held.data + one.data, one.last)
        else:
            if held is not None:
                yield held
            held = one
    if held is not None:
        yield held

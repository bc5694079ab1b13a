"""The primitives of a local user by name -> the engine's values: one of every message, in variants.

Knows: the engine's types, and values that are legal to send. Must not know: states, what is allowed now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dicos_proto.dimse.events import MessageData, MessageStart, Sendable
from dicos_proto.dimse.types import CLASSES, FIELDS, Command, DataSet, MessageClass
from dicos_proto.dimse.values import AE, AT, LO, TITLE, UI, US, Value
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    OperationsWindow,
    PData,
    Pdv,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityPolicy, Roles

from .commands import PENDING
from .scripts import Say

__all__ = ["CLASS_OF", "POLICIES", "REQUESTS", "STATUSES", "answer", "command", "fragment", "primitive"]

_CLASSES: Final = (uids.VERIFICATION, uids.CT_IMAGE_STORAGE, uids.MR_IMAGE_STORAGE, uids.DICOS_CT)
_SYNTAXES: Final = (uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE)
CLASS_OF: Final[dict[str, MessageClass]] = {cls.NAME: cls for cls in CLASSES.values()}
"""Name of a message -> its class."""
STATUSES: Final = (0x0000, 0xFF00, 0xB000, 0xFE00, 0xA700, 0xFF01)
_BOTH: Final = Roles(scu=True, scp=True)


def _request(user: UserInformation, *, contexts: int = 4, syntaxes: tuple[str, ...] = _SYNTAXES) -> AssociateRequest:
    return AssociateRequest(
        called_aet="PROVIDER",
        calling_aet="USER",
        contexts=tuple(
            ProposedContext(id=2 * index + 1, abstract_syntax=uid, transfer_syntaxes=syntaxes)
            for index, uid in enumerate(_CLASSES[:contexts])
        ),
        user_information=user,
    )


_PLAIN: Final = UserInformation()
_FULL: Final = UserInformation(
    max_length=16_384,
    window=OperationsWindow(invoked=3, performed=2),
    roles=tuple(RoleSelection(sop_class_uid=uid, scu=True, scp=True) for uid in _CLASSES),
    extended=(ExtendedNegotiation(sop_class_uid=uids.CT_IMAGE_STORAGE, information=b"\x02\0\x01\0\0\0"),),
    common_extended=(
        CommonExtendedNegotiation(
            sop_class_uid=uids.CT_IMAGE_STORAGE, service_class_uid="1.2.840.10008.4.2", related_general=("1.2.3",)
        ),
    ),
    user_identity=UserIdentity(type=2, primary=b"somebody", secondary=b"word", response_requested=True),
)
REQUESTS: Final = (
    _request(_PLAIN),
    _request(_FULL),
    _request(replace(_PLAIN, max_length=0, window=OperationsWindow(invoked=0, performed=0)), contexts=1),
    _request(replace(_PLAIN, max_length=64), syntaxes=_SYNTAXES[:1]),
)
_ALL: Final = AcceptPolicy(
    other_contexts=_SYNTAXES,
    roles=dict.fromkeys(_CLASSES, _BOTH),
    window=OperationsWindow(invoked=2, performed=2),
    identity=IdentityPolicy(known={b"somebody": b"word"}),
    peer_max_length=8,
)
POLICIES: Final = (
    _ALL,
    replace(_ALL, roles={}, window=None, max_length=100, identity=IdentityPolicy()),
    AcceptPolicy(contexts={uids.VERIFICATION: _SYNTAXES}, max_length=0, peer_max_length=8),
)


def answer(asked: AssociateRequest | None, variant: int) -> AssociateAccept | AssociateReject:
    """Returns the answer that one of `POLICIES` gives to a request; to the first of `REQUESTS` if there is none."""
    return negotiate(asked or REQUESTS[0], POLICIES[variant % len(POLICIES)])


def primitive(said: Say, asked: AssociateRequest | None, *, messages: bool) -> Sendable | PData:
    """Returns the engine's value for a step. `messages`: for an `Association`, otherwise for an `UpperLayer`, where
    P-DATA is a `PData` of one PDV."""
    match said.what:
        case "request":
            return REQUESTS[said.variant % len(REQUESTS)]
        case "accept":
            return answer(asked, said.variant)
        case "reject":
            return AssociateReject(result=1 + said.variant % 2, source=1 + said.variant % 3, reason=said.number)
        case "release":
            return ReleaseRequest()
        case "release response":
            return ReleaseResponse()
        case "abort":
            return Abort()
    context = said.context | 1
    if said.what in ("data", "last data"):
        last = said.what == "last data"
        content = bytes(range(256))[: said.number]
        if messages:
            return MessageData(context=context, data=content, last=last)
        return PData(pdvs=(Pdv(context=context, command=False, last=last, data=content),))
    if messages:
        return command(CLASS_OF[said.what], context, said.number, said.variant)
    return fragment(context, said.what.encode(), last=said.variant % 2 == 0)


def fragment(context: int, content: bytes, *, last: bool) -> PData:
    """Returns a P-DATA-TF of one command PDV."""
    return PData(pdvs=(Pdv(context=context, command=True, last=last, data=content),))


def command(cls: MessageClass, context: int, number: int, variant: int) -> MessageStart:
    """Returns a message. `variant`: its status, with or without what it may have; 128 and more: with a data set where
    it must not have one, or the reverse."""
    values: dict[str, Value] = {}
    status = STATUSES[variant % len(STATUSES)]
    for each in FIELDS[cls]:
        if each.mandatory or variant % 2:
            values[each.name] = _value(each.element, number, status)
    make: Callable[..., Command] = cls
    match cls.DATA_SET:
        case DataSet.ALWAYS:
            has_data = True
        case DataSet.NEVER:
            has_data = False
        case DataSet.PENDING:
            has_data = status in PENDING
        case _:
            has_data = bool(variant & 4)
    return MessageStart(context=context, command=make(**values), has_data=has_data ^ (variant >= 128))


_KIND: Final = {each.element: each for cls in FIELDS for each in FIELDS[cls]}


def _value(element: int, number: int, status: int) -> Value:
    if element in (0x0110, 0x0120):
        return number
    if element == 0x0900:
        return status
    encode = _KIND[element].encode
    if encode == US.encode:
        return number % 3
    if encode == AT.encode:
        return (0x00100010, 0x00100020)
    if encode in (AE.encode, TITLE.encode):
        return "DESTINATION"
    if encode == LO.encode:
        return "a comment"
    assert encode in (UI.encode, UI.encoded)
    return f"1.2.840.10008.1.{number + 1}"

"""Valid PDUs, command sets and streams of one side of a conversation: the inputs that changes begin from.

Knows: the engine's own types and encoders, and what the local users of `local` ask for. Must not know: what is wrong on
purpose, targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from functools import cache
from typing import Final, get_args, get_type_hints

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    DataSet,
    MessageClass,
    NEventReportRequest,
)
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextAnswer,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)

from ..grammar.building import message, p_data

__all__ = ["ASKED", "ELEMENTS", "acceptor_streams", "accepted", "commands", "pdus", "requestor_streams", "requests"]

CT, FIND, GET = uids.CT_IMAGE_STORAGE, uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_GET
IMPLICIT, EXPLICIT = uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE
_COMMITMENT: Final = uids.STORAGE_COMMITMENT_PUSH_MODEL

ELEMENTS: Final = bytes.fromhex(
    "0800050043530a0049534f5f4952203130300800160055491a00312e322e3834302e31303030382e352e312e342e312e312e3200"
    "0800180055490800312e322e332e340010001000504e060041425e434420"
)
"""A small data set in explicit VR little endian."""

_CONTEXTS: Final = (
    (1, uids.VERIFICATION, (IMPLICIT,)),
    (3, CT, (EXPLICIT, IMPLICIT)),
    (5, FIND, (IMPLICIT,)),
    (7, GET, (IMPLICIT,)),
    (9, _COMMITMENT, (IMPLICIT,)),
    (255, "1.2.3.4", ("1.2.840.10008.1.2.4.50",)),
)
ASKED: Final = AssociateRequest(
    called_aet="ANY-SCP",
    calling_aet="DICOS-FUZZ",
    contexts=tuple(ProposedContext(id=i, abstract_syntax=a, transfer_syntaxes=t) for i, a, t in _CONTEXTS),
    user_information=UserInformation(
        max_length=4096,
        window=OperationsWindow(invoked=0, performed=0),
        roles=(
            RoleSelection(sop_class_uid=CT, scu=True, scp=True),
            RoleSelection(sop_class_uid=_COMMITMENT, scu=True, scp=True),
        ),
        extended=(ExtendedNegotiation(sop_class_uid=FIND, information=b"\1\1"),),
        user_identity=UserIdentity(type=2, primary=b"user", secondary=b"pass", response_requested=True),
    ),
)
"""The request that a local requestor sends, and that a hostile one begins from."""


def requests() -> Iterator[AssociateRequest]:
    """Yields A-ASSOCIATE-RQs: a short one, one with all sub-items, one with many contexts."""
    yield AssociateRequest(
        called_aet="A",
        calling_aet="B",
        contexts=(ProposedContext(id=1, abstract_syntax=uids.VERIFICATION, transfer_syntaxes=(IMPLICIT,)),),
    )
    yield ASKED
    everything = UserInformation(
        max_length=0,
        window=OperationsWindow(invoked=3, performed=0),
        roles=(RoleSelection(sop_class_uid=CT, scu=False, scp=True),),
        extended=(
            ExtendedNegotiation(sop_class_uid=CT, information=b"\2\0\0\0\2\0"),
            ExtendedNegotiation(sop_class_uid=GET, information=b"\1"),
        ),
        common_extended=(
            CommonExtendedNegotiation(
                sop_class_uid="1.2.3.4", service_class_uid="1.2.840.10008.4.2", related_general=(CT, "1.2.5")
            ),
        ),
        user_identity=UserIdentity(type=1, primary=b"user", response_requested=True),
    )
    contexts = tuple(
        ProposedContext(id=2 * n + 1, abstract_syntax=CT, transfer_syntaxes=(EXPLICIT, IMPLICIT)) for n in range(12)
    )
    yield AssociateRequest(called_aet="A" * 16, calling_aet="B", contexts=contexts, user_information=everything)


def accepted(asked: AssociateRequest = ASKED, *, max_length: int = 1024) -> AssociateAccept:
    """Returns an A-ASSOCIATE-AC that accepts every context but the last of several."""
    last = asked.contexts[-1].id if len(asked.contexts) > 1 else 0
    return AssociateAccept(
        called_aet=asked.called_aet,
        calling_aet=asked.calling_aet,
        contexts=tuple(
            ContextAnswer(id=one.id, result=ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)
            if one.id == last
            else ContextAnswer(id=one.id, result=ContextResult.ACCEPTANCE, transfer_syntax=one.transfer_syntaxes[0])
            for one in asked.contexts
        ),
        user_information=UserInformation(
            max_length=max_length,
            window=asked.user_information.window,
            roles=asked.user_information.roles,
            extended=asked.user_information.extended,
            user_identity_response=UserIdentityResponse() if asked.user_information.user_identity else None,
        ),
    )


@cache
def pdus() -> tuple[bytes, ...]:
    """Returns one PDU of each kind and more."""
    return (
        *(encode(one) for one in requests()),
        *(encode(accepted(one)) for one in requests()),
        encode(AssociateReject(result=1, source=1, reason=3)),
        *message(3, _store(2), ELEMENTS),
        p_data((1, True, True, encode_command(_ECHO, has_data=False)), (1, True, True, b"")),
        p_data((3, False, False, ELEMENTS[:10]), (3, False, True, ELEMENTS[10:])),
        encode(ReleaseRequest()),
        encode(ReleaseResponse()),
        encode(Abort()),
        encode(Abort(source=2, reason=6)),
    )


_ECHO: Final = CEchoRequest(message_id=1, affected_sop_class_uid=uids.VERIFICATION)
_VALUES: Final = {"US": 7, "UI": "1.2.840.10008.1.1", "AE": "TITLE", "LO": "text", "AT": (0x00100010, 0x00080018)}
"""A value of each value representation in a command set."""


@cache
def commands() -> tuple[bytes, ...]:
    """Returns a command set of each message: the mandatory fields alone, then all fields."""
    return tuple(
        encode_command(_filled(cls, everything=everything), has_data=cls.DATA_SET is DataSet.ALWAYS)
        for cls in get_args(Command)
        for everything in (False, True)
    )


def _filled(cls: MessageClass, *, everything: bool) -> Command:
    made: dict[str, object] = {}
    defaults = {one.name: one.default for one in fields(cls)}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            if everything or defaults[name] is MISSING:
                made[name] = _VALUES[mark.kind.vr]
    if everything:
        made["other"] = ((0x5010, b"ab"),)
    make: Callable[..., Command] = cls
    return make(**made)


def _store(number: int, instance: str = "1.2.3.4") -> CStoreRequest:
    return CStoreRequest(message_id=number, affected_sop_class_uid=CT, affected_sop_instance_uid=instance)


@cache
def acceptor_streams() -> tuple[bytes, ...]:
    """Returns what users send to an acceptor: a short conversation, one of each service, collisions and aborts."""
    opening = encode(ASKED)
    release, response, abort = encode(ReleaseRequest()), encode(ReleaseResponse()), encode(Abort())
    echo = b"".join(message(1, _ECHO))
    store = b"".join(message(3, _store(2), ELEMENTS * 9, max_length=200))
    find = b"".join(message(5, CFindRequest(message_id=3, affected_sop_class_uid=FIND), b"\0" * 8 + ELEMENTS))
    cancel = b"".join(message(5, CCancelRequest(message_id_being_responded_to=3)))
    get = b"".join(message(7, CGetRequest(message_id=4, affected_sop_class_uid=GET), ELEMENTS))
    stored = b"".join(message(3, CStoreResponse(message_id_being_responded_to=1, status=0)))
    report = NEventReportRequest(
        message_id=5, affected_sop_class_uid=_COMMITMENT, affected_sop_instance_uid="1.2.3", event_type_id=1
    )
    command = encode_command(_store(6), has_data=True)
    pieces = p_data((3, True, False, command[:50]), (3, True, True, command[50:]), (3, False, True, ELEMENTS))
    return (
        opening + echo + release,
        opening + echo + store + find + cancel + get + stored + release,
        opening + pieces + echo + b"".join(message(9, report, ELEMENTS)) + release,
        opening + store + store[:400] + abort,
        opening + echo + release + response,
        opening + release + release + encode(Abort(source=2, reason=2)),
        opening + find + opening,
        encode(next(requests())) + echo + release,
    )


@cache
def requestor_streams() -> tuple[bytes, ...]:
    """Returns what providers answer to the local requestor (`local`), which numbers its messages 1, 2, 3, 4."""
    opening = encode(accepted())
    release, response = encode(ReleaseRequest()), encode(ReleaseResponse())
    pending = CFindResponse(message_id_being_responded_to=3, status=0xFF00)
    progress = CGetResponse(message_id_being_responded_to=4, status=0xFF00, remaining=1, completed=0, failed=0)
    answers = (
        *message(1, CEchoResponse(message_id_being_responded_to=1, status=0)),
        *message(3, CStoreResponse(message_id_being_responded_to=2, status=0)),
        *message(5, pending, ELEMENTS),
        *message(5, pending, ELEMENTS * 9, max_length=200),
        *message(5, CFindResponse(message_id_being_responded_to=3, status=0)),
        *message(3, _store(1), ELEMENTS * 9, max_length=200),
        *message(7, progress),
        *message(7, CGetResponse(message_id_being_responded_to=4, status=0xB000, completed=1, failed=1), ELEMENTS),
    )
    ends = opening + b"".join(answers)
    return (
        ends + response,
        ends + release + response,
        opening + b"".join(answers[:2]) + release,
        opening + b"".join(reversed(answers)),
        encode(AssociateReject(result=2, source=3, reason=1)),
        encode(Abort()),
        opening + answers[0] + encode(Abort(source=2, reason=0)),
    )

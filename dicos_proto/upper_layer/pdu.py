"""The seven PDUs <-> bytes: `encode`, `decode`, all items of PS3.8 9.3 and annex D and of PS3.7 annex D.3.3.

Knows: layouts, the counts a peer may send (`Limits`) and what of its deviations is let through (`Judge`). Must not
know: states, roles, answers.
Every nested length is bounded by what is left of its parent; a decoder gets exactly its own bytes and consumes
exactly all of them; unknown items are skipped.  # PS3.8 9.3.1

| PDU | layout (big endian) |
|---|---|
| all | type 1, reserved 1, length 4, body |
| A-ASSOCIATE-RQ, -AC | version 2, reserved 2, called 16, calling 16, reserved 32, items |
| A-ASSOCIATE-RJ | reserved 1, result 1, source 1, reason 1 |
| P-DATA-TF | PDVs: length 4, context 1, control header 1, data |
| A-RELEASE-RQ, -RP | reserved 4 |
| A-ABORT | reserved 2, source 1, reason 1 |
| items and sub-items | type 1, reserved 1, length 2, value |
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TypeVar, assert_never

from ..errors import AbortReason, LocalProtocolError, Malformed
from ..limits import OVER_MAX_LENGTH, SMALLEST_MAX_LENGTH, Limits
from ..registry import uids
from ..tolerance import ASSUMED_MAX_LENGTH, CLAUSES, LONGEST_UID, STRICT, Judge, Tolerance, informing_text
from ..wire import Buffer
from .pdu_types import (
    PROTOCOL_VERSION,
    REJECT_REASONS,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextAnswer,
    ContextResult,
    ExtendedNegotiation,
    Managed,
    OperationsWindow,
    PData,
    Pdu,
    PduType,
    Pdv,
    ProposedContext,
    RejectResult,
    RejectSource,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserIdentityType,
    UserInformation,
)

__all__ = [
    "Abort",
    "AssociateAccept",
    "AssociateReject",
    "AssociateRequest",
    "CommonExtendedNegotiation",
    "ContextAnswer",
    "ContextResult",
    "ExtendedNegotiation",
    "OperationsWindow",
    "PData",
    "PROTOCOL_VERSION",
    "Pdu",
    "PduType",
    "Pdv",
    "ProposedContext",
    "REJECT_REASONS",
    "RejectResult",
    "RejectSource",
    "ReleaseRequest",
    "ReleaseResponse",
    "RoleSelection",
    "UserIdentity",
    "UserIdentityResponse",
    "UserIdentityType",
    "UserInformation",
    "check_context_id",
    "check_header",
    "check_pdv_length",
    "decode",
    "decode_body",
    "decode_title",
    "encode",
    "encode_title",
    "fault_of_title",
    "is_title",
]

HEADER = struct.Struct(">BxL")
PDV_HEADER = struct.Struct(">LBB")
ASSOCIATE_FIXED = struct.Struct(">H2x16s16s32x")
ITEM_HEADER = struct.Struct(">BxH")
ANSWER = struct.Struct(">BxBx")

COMMAND_BIT = 1
LAST_BIT = 2
"""Message control header: the other bits are sent as 0 and not tested.  # PS3.8 E.2"""

ITEM_LENGTH_MAX = 0xFFFF

_WITHOUT_SECONDARY = frozenset(UserIdentityType) - {UserIdentityType.USERNAME_AND_PASSCODE}

_TYPES = {kind.value: kind for kind in PduType}
_P_DATA_TF = PduType.P_DATA_TF
PDU_LENGTH_MAX = 0xFFFFFFFF


def encode(pdu: Pdu) -> bytes:
    """One whole PDU as bytes.

    Raises `LocalProtocolError` for a value the layout cannot hold or the standard forbids to send.
    """
    match pdu:
        case AssociateRequest():
            kind, body = PduType.ASSOCIATE_RQ, _encode_associate(pdu)
        case AssociateAccept():
            kind, body = PduType.ASSOCIATE_AC, _encode_associate(pdu)
        case AssociateReject():
            fields = (_byte(pdu.result, "result"), _byte(pdu.source, "source"), _byte(pdu.reason, "reason"))
            kind, body = PduType.ASSOCIATE_RJ, bytes((0, *fields))
        case PData():
            kind, body = PduType.P_DATA_TF, _encode_p_data(pdu)
        case ReleaseRequest():
            kind, body = PduType.RELEASE_RQ, bytes(4)
        case ReleaseResponse():
            kind, body = PduType.RELEASE_RP, bytes(4)
        case Abort():
            kind, body = (
                PduType.ABORT,
                bytes((0, 0, _byte(pdu.source, "source"), _byte(pdu.reason, "reason"))),
            )
        case _ as unreachable:
            assert_never(unreachable)
    return HEADER.pack(kind, len(body)) + body


def decode(data: Buffer, limits: Limits = Limits(), tolerance: Tolerance = STRICT) -> Pdu:  # noqa: B008  frozen values
    """One whole PDU, exactly all of `data`. Of an A-ABORT of two bytes only what says so can tell: see `framing`.

    Raises `Malformed` with the clause, the abort reason, and the limit where one was passed.
    """
    judge = Judge(limits, tolerance)
    view = memoryview(data)
    if len(view) < HEADER.size:
        raise Malformed(f"PDU header of {len(view)} bytes; {HEADER.size}", "PS3.8 9.3.1")
    number, length = HEADER.unpack_from(view)
    if length != len(view) - HEADER.size:
        raise Malformed(f"PDU length {length} before {len(view) - HEADER.size} bytes", "PS3.8 9.3.1")
    kind, body = check_header(number, length, judge), view[HEADER.size :]
    if kind is PduType.P_DATA_TF:
        return PData(pdvs=tuple(_pdvs(body)))
    return decode_body(kind, body, judge)


def check_header(number: int, length: int, judge: Judge, max_length: int = 0) -> PduType:
    """What a six-byte header alone can tell: the PDU's type, and that its length is one that type may have.

    `max_length`: what this side advertised for P-DATA-TF, 0 unlimited. Raises `Malformed`.
    """
    kind = _TYPES.get(number)
    if kind is None:
        raise Malformed(f"PDU type 0x{number:02X}; 0x01 to 0x07", "PS3.8 9.3.1", AbortReason.UNRECOGNIZED_PDU)
    if kind is _P_DATA_TF:
        if length < PDV_HEADER.size:
            raise Malformed(f"P-DATA-TF of {length} bytes; at least one PDV, {PDV_HEADER.size} bytes", "PS3.8 9.3.5")
        if max_length and length > max_length:
            most = max(2 * max_length, OVER_MAX_LENGTH)
            detail = f"P-DATA-TF of {length} bytes; Maximum Length {max_length}"
            if length > most or not judge.let("over_max_length", detail):
                raise Malformed(
                    "P-DATA-TF longer than the Maximum Length", "PS3.8 D.1", limit="max_length", seen=length,
                    allowed=most if judge.tolerance.over_max_length else max_length,
                )  # fmt: skip
    elif kind is PduType.ASSOCIATE_RQ or kind is PduType.ASSOCIATE_AC:
        if length < ASSOCIATE_FIXED.size:
            raise Malformed(f"{kind.label} of {length} bytes; at least {ASSOCIATE_FIXED.size}", "PS3.8 9.3.2")
        if length > judge.limits.associate_pdu:
            raise Malformed(
                f"{kind.label} too long", "PS3.8 9.3.1", limit="associate_pdu", seen=length,
                allowed=judge.limits.associate_pdu,
            )  # fmt: skip
    elif length != ANSWER.size:
        raise Malformed(f"{kind.label} of {length} bytes; {ANSWER.size}", "PS3.8 9.3.4 to 9.3.8")
    return kind


def decode_body(kind: PduType, body: memoryview, judge: Judge) -> Managed:
    """The PDU, not P-DATA-TF, whose header was `kind` and the length of `body`. Raises `Malformed`."""
    if kind is PduType.ASSOCIATE_RQ:
        return _decode_request(body, judge)
    if kind is PduType.ASSOCIATE_AC:
        return _decode_accept(body, judge)
    if kind is PduType.ASSOCIATE_RJ:
        return AssociateReject(result=body[1], source=body[2], reason=body[3])
    if kind is PduType.ABORT:
        return Abort(source=body[2], reason=body[3])
    return ReleaseRequest() if kind is PduType.RELEASE_RQ else ReleaseResponse()


def check_pdv_length(length: int, left: int) -> None:
    """A PDV header's length against what is `left` of its PDU after the four length bytes. Raises `Malformed`."""
    if length < 2:
        raise Malformed(f"PDV of {length} bytes; at least 2", "PS3.8 9.3.5.1")
    if length > left:
        raise Malformed(f"PDV of {length} bytes in a PDU with {left} left", "PS3.8 9.3.5.1")


# -- encoding ----------------------------------------------------------------------------------------------------


def _byte(value: int, name: str) -> int:
    if not 0 <= value <= 0xFF:
        raise LocalProtocolError(f"{name} {value}; 0 to 255")
    return value


def _short(value: int, name: str) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise LocalProtocolError(f"{name} {value}; 0 to 65535")
    return value.to_bytes(2, "big")


def check_context_id(number: int) -> None:
    """An odd number from 1 to 255.  # PS3.8 9.3.2.2. Raises `LocalProtocolError`."""
    if not (1 <= number <= 255 and number % 2):
        raise LocalProtocolError(f"presentation context id {number}; odd, 1 to 255 [PS3.8 9.3.2.2]")


def encode_title(title: str, name: str) -> bytes:
    """An AE title, padded to 16 bytes.  # PS3.8 9.3.2, PS3.5 6.2 (AE). Raises `LocalProtocolError`."""
    stripped = title.strip(" ")
    if not is_title(stripped):
        raise LocalProtocolError(
            f"{name} AE title {title!r}; 1 to 16 printable ASCII characters, no backslash, not all spaces [PS3.5 6.2]"
        )
    return stripped.encode("ascii").ljust(16)


def is_title(title: str) -> bool:
    """Whether this is an AE title once its padding is taken away.  # PS3.5 6.2"""
    return 1 <= len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title


def fault_of_title(title: str) -> str:
    """What is wrong with a title, stripped of its padding, as the name of the flag of `Tolerance` that lets it through;
    "" for an AE title, and for what nothing lets through."""
    if not title:
        return "blank_title"
    return "non_ascii_title" if not title.isascii() and title.isprintable() and "\\" not in title else ""


def _encode_echoed_title(title: str, name: str) -> bytes:
    """A title field of an A-ASSOCIATE-AC, which nobody tests: what the request has.  # PS3.8 9.3.3"""
    try:
        encoded = title.encode("latin-1")
    except UnicodeEncodeError:
        encoded = b""
    if len(encoded) != len(title) or len(encoded) > 16:
        raise LocalProtocolError(f"{name} AE title {title!r}; at most 16 characters of one byte [PS3.8 9.3.3]")
    return encoded.ljust(16)


def _item(kind: int, value: bytes, name: str) -> bytes:
    if len(value) > ITEM_LENGTH_MAX:
        raise LocalProtocolError(f"{name} of {len(value)} bytes; at most {ITEM_LENGTH_MAX} [PS3.8 9.3.1]")
    return ITEM_HEADER.pack(kind, len(value)) + value


def _uid(uid: str, name: str) -> bytes:
    if not (uids.is_valid(uid) and uids.has_valid_root(uid)):
        raise LocalProtocolError(f"{name} {uid!r} is no UID [PS3.5 9.1]")
    return uid.encode("ascii")


def _sized(value: bytes, name: str) -> bytes:
    return _short(len(value), f"length of {name}") + value


def _encode_p_data(pdu: PData) -> bytes:
    size = sum(PDV_HEADER.size + memoryview(pdv.data).nbytes for pdv in pdu.pdvs)
    if not pdu.pdvs:
        raise LocalProtocolError("P-DATA-TF without a PDV; at least one [PS3.8 9.3.5]")
    if size > PDU_LENGTH_MAX:
        raise LocalProtocolError(f"P-DATA-TF of {size} bytes; at most {PDU_LENGTH_MAX} [PS3.8 9.3.5]")
    return b"".join(_encode_pdv(pdv) for pdv in pdu.pdvs)


def _encode_pdv(pdv: Pdv) -> bytes:
    check_context_id(pdv.context)
    header = COMMAND_BIT * pdv.command + LAST_BIT * pdv.last
    data = bytes(pdv.data)  # a view may have items of more than one byte, or gaps
    return PDV_HEADER.pack(len(data) + 2, pdv.context, header) + data


def _encode_associate(pdu: AssociateRequest | AssociateAccept) -> bytes:
    _short(pdu.protocol_version, "protocol version")
    title = encode_title if isinstance(pdu, AssociateRequest) else _encode_echoed_title
    fixed = ASSOCIATE_FIXED.pack(
        pdu.protocol_version, title(pdu.called_aet, "called"), title(pdu.calling_aet, "calling")
    )
    parts = [fixed, _item(0x10, _uid(pdu.application_context, "application context"), "application context")]
    ids: set[int] = set()
    for context in pdu.contexts:
        check_context_id(context.id)
        if context.id in ids:
            raise LocalProtocolError(f"presentation context id {context.id} twice [PS3.8 9.3.2.2]")
        ids.add(context.id)
        parts.append(_encode_proposed(context) if isinstance(context, ProposedContext) else _encode_answer(context))
    if not ids and isinstance(pdu, AssociateRequest):
        raise LocalProtocolError("no presentation context; at least one [PS3.8 9.3.2]")
    parts.append(_encode_user_information(pdu.user_information, isinstance(pdu, AssociateRequest)))
    return b"".join(parts)


def _encode_proposed(context: ProposedContext) -> bytes:
    if not context.transfer_syntaxes:
        raise LocalProtocolError(f"context {context.id} has no transfer syntax; at least one [PS3.8 9.3.2.2]")
    parts = [bytes((context.id, 0, 0, 0)), _item(0x30, _uid(context.abstract_syntax, "abstract syntax"), "")]
    parts += [_item(0x40, _uid(syntax, "transfer syntax"), "") for syntax in context.transfer_syntaxes]
    return _item(0x20, b"".join(parts), f"presentation context {context.id}")


def _encode_answer(context: ContextAnswer) -> bytes:
    head = bytes((context.id, 0, _byte(context.result, "context result"), 0))
    if context.transfer_syntax is None:
        if context.result == ContextResult.ACCEPTANCE:
            raise LocalProtocolError(f"context {context.id} accepted without transfer syntax [PS3.8 9.3.3.2]")
        # The sub-item has to be there, and its value is not significant: an empty one says so.
        return _item(0x21, head + _item(0x40, b"", ""), "")
    return _item(0x21, head + _item(0x40, _uid(context.transfer_syntax, "transfer syntax"), ""), "")


def _encode_user_information(user: UserInformation, is_request: bool) -> bytes:
    if not 0 <= user.max_length <= 0xFFFFFFFF:
        raise LocalProtocolError(f"Maximum Length {user.max_length}; 0 to 4294967295 [PS3.8 D.1]")
    if 0 < user.max_length < SMALLEST_MAX_LENGTH:
        raise LocalProtocolError(f"Maximum Length {user.max_length}; 0 or at least {SMALLEST_MAX_LENGTH} [PS3.8 D.1]")
    parts = [
        _item(0x51, user.max_length.to_bytes(4, "big"), ""),
        _item(0x52, _uid(user.implementation_class_uid, "implementation class UID"), ""),
    ]
    if user.window is not None:
        pair = _short(user.window.invoked, "operations invoked") + _short(user.window.performed, "operations performed")
        parts.append(_item(0x53, pair, ""))
    for role in user.roles:
        value = _sized(_uid(role.sop_class_uid, "SOP class"), "") + bytes((role.scu, role.scp))
        parts.append(_item(0x54, value, ""))
    if user.implementation_version_name is not None:
        name = user.implementation_version_name
        if not (1 <= len(name) <= 16 and name.isascii() and name.isprintable()):
            raise LocalProtocolError(f"implementation version name {name!r}; 1 to 16 ASCII characters [PS3.7 D.3.3.2]")
        parts.append(_item(0x55, name.encode("ascii"), ""))
    for extended in user.extended:
        value = _sized(_uid(extended.sop_class_uid, "SOP class"), "") + extended.information
        parts.append(_item(0x56, value, "extended negotiation"))
    for common in user.common_extended:
        parts.append(_item(0x57, _encode_common(common), "common extended negotiation"))
    if user.user_identity is not None:
        parts.append(_encode_identity(user.user_identity))
    if user.user_identity_response is not None:
        parts.append(_item(0x59, _sized(user.user_identity_response.response, "server response"), "server response"))
    if is_request and user.user_identity_response is not None:
        raise LocalProtocolError("a user identity response in a request [PS3.7 D.3.3.7.2]")
    if not is_request and (user.user_identity is not None or user.common_extended):
        raise LocalProtocolError("user identity or common extended negotiation in an answer [PS3.7 D.3.3.6, D.3.3.7]")
    return _item(0x50, b"".join(parts), "user information")


def _encode_common(common: CommonExtendedNegotiation) -> bytes:
    related = b"".join(_sized(_uid(uid, "related SOP class"), "") for uid in common.related_general)
    head = _sized(_uid(common.sop_class_uid, "SOP class"), "") + _sized(
        _uid(common.service_class_uid, "service class"), ""
    )
    return head + _sized(related, "related general SOP classes")


def _encode_identity(identity: UserIdentity) -> bytes:
    if identity.secondary and identity.type in _WITHOUT_SECONDARY:
        raise LocalProtocolError(f"secondary field in a user identity of type {identity.type} [PS3.7 D.3.3.7.1]")
    value = bytes((_byte(identity.type, "user identity type"), identity.response_requested))
    value += _sized(identity.primary, "primary field") + _sized(identity.secondary, "secondary field")
    return _item(0x58, value, "user identity")


# -- decoding ----------------------------------------------------------------------------------------------------

T = TypeVar("T")


class _Cursor:
    """Reads on within one value; every read is bounded by what is left of it."""

    __slots__ = ("at", "clause", "view", "what")

    def __init__(self, view: memoryview, what: str, clause: str) -> None:
        self.view = view
        self.at = 0
        self.what = what
        self.clause = clause

    @property
    def left(self) -> int:
        return len(self.view) - self.at

    def take(self, count: int) -> memoryview:
        if count > self.left:
            raise Malformed(f"{self.what}: {count} bytes wanted, {self.left} left", self.clause)
        self.at += count
        return self.view[self.at - count : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> memoryview:
        return self.take(self.number(2))

    def items(self) -> Iterator[tuple[int, memoryview]]:
        while self.left:
            kind, length = self.item_header()
            yield kind, self.take(length)

    def item_header(self) -> tuple[int, int]:
        kind, length = ITEM_HEADER.unpack(self.take(ITEM_HEADER.size))
        return kind, length

    def end(self) -> None:
        if self.left:
            raise Malformed(f"{self.what}: {self.left} bytes after its end", self.clause)


def _pdvs(body: memoryview) -> Iterator[Pdv]:
    cursor = _Cursor(body, "P-DATA-TF", "PS3.8 9.3.5")
    while cursor.left:
        length = cursor.number(4)
        check_pdv_length(length, cursor.left)
        context, header = cursor.take(2)
        data = bytes(cursor.take(length - 2))
        yield Pdv(context=context, command=bool(header & COMMAND_BIT), last=bool(header & LAST_BIT), data=data)


def _decode_uid(value: memoryview, what: str, judge: Judge) -> str:
    """A UID as an item has it, without padding.  # PS3.8 annex F"""
    allowed = min(judge.limits.uid, uids.MAX_LENGTH)
    uid, broken = uids.read(bytes(value[: LONGEST_UID + 1]))
    if len(uid) > allowed:
        over = f"{what} of {len(uid)} characters; {allowed}"
        if len(uid) > LONGEST_UID or not judge.let("uid_too_long", over):
            raise _NoUid(f"{what} too long", "PS3.5 9.1", limit="uid", seen=len(value), allowed=allowed)
    if len(value) > LONGEST_UID or broken is None:
        raise _NoUid(f"{what} {uid!a} is no UID", "PS3.5 9.1")
    for name in broken:
        detail = f"{what} {uid!r} {uids.BROKEN[name]}"
        if not judge.let(name, detail):
            raise _NoUid(detail, CLAUSES[name])
    return uids.shared(uid)


class _NoUid(Malformed):
    """What should be a UID is none, or none that is let through."""


def _count(number: int, allowed: int, limit: str, what: str) -> None:
    if number > allowed:
        raise Malformed(f"too many {what}", "PS3.8 9.3.2", limit=limit, seen=number, allowed=allowed)


def _once(present: object, what: str) -> None:
    if present is not None:
        raise Malformed(f"{what} twice", "PS3.8 9.3.2")


def _last(present: object, what: str, judge: Judge) -> None:
    """It is there already: the one that comes now may be let through in its place."""
    if present is not None and not judge.let("repeated_item", f"{what} twice"):
        _once(present, what)


def _needed(value: T | None, what: str, clause: str) -> T:
    if value is None:
        raise Malformed(f"no {what}", clause)
    return value


def _or_assumed(value: T | None, assumed: T, what: str, clause: str, judge: Judge) -> T:
    """`value`, or where the peer leaves it out and may, what is assumed then."""
    if value is None and judge.let("missing_user_information", f"no {what}"):
        return assumed
    return _needed(value, what, clause)


class _Unknown:
    """Counts the items of one A-ASSOCIATE PDU that are skipped because nobody knows their type.  # PS3.8 9.3.1"""

    __slots__ = ("_allowed", "_count")

    def __init__(self, judge: Judge) -> None:
        self._allowed = judge.limits.unknown_items
        self._count = 0

    def skip(self) -> None:
        self._count += 1
        _count(self._count, self._allowed, "unknown_items", "items of unknown types")


Context = TypeVar("Context", ProposedContext, ContextAnswer)


def _associate_items(
    body: memoryview,
    judge: Judge,
    context_item: int,
    decode_context: Callable[[memoryview, Judge, _Unknown], Context],
) -> tuple[str, tuple[Context, ...], UserInformation]:
    """What follows the fixed fields: the application context, the presentation contexts, the user information."""
    application: str | None = None
    contexts: dict[int, Context] = {}
    user: UserInformation | None = None
    unknown = _Unknown(judge)
    cursor = _Cursor(body[ASSOCIATE_FIXED.size :], "A-ASSOCIATE items", "PS3.8 9.3.2")
    while cursor.left:
        kind, length = cursor.item_header()
        if kind == 0x21 and context_item == 0x21 and _counts_its_header(cursor.view[cursor.at :], length):
            detail = f"presentation context item of {length} bytes counts the 4 of its own header"
            if not judge.let("answer_item_length", detail):
                raise Malformed(detail, CLAUSES["answer_item_length"])
            length -= ITEM_HEADER.size
        value = cursor.take(length)
        if kind == 0x10:
            _once(application, "application context")
            application = _decode_application(value, judge, asks=context_item == 0x20)
        elif kind == context_item:
            _count(len(contexts) + 1, judge.limits.contexts, "contexts", "presentation contexts")
            context = decode_context(value, judge, unknown)
            if context.id % 2 == 0 or context.id in contexts:
                fault = "even" if context.id % 2 == 0 else "used twice"
                raise Malformed(f"presentation context id {context.id} is {fault}; odd and unique", "PS3.8 9.3.2.2")
            contexts[context.id] = context
        elif kind == 0x50:
            _once(user, "user information")
            user = _decode_user_information(value, judge, asks=context_item == 0x20)
        else:
            unknown.skip()
    if user is None and judge.let("missing_user_information", "no user information item"):
        user = UserInformation(
            max_length=ASSUMED_MAX_LENGTH, implementation_class_uid="", implementation_version_name=None
        )
    if application is None and context_item == 0x21 and judge.let("informative_text", "no application context item"):
        application = ""
    return (
        _needed(application, "application context item", "PS3.8 9.3.2.1"),
        tuple(contexts.values()),
        _needed(user, "user information item", "PS3.8 9.3.2.3"),
    )


def _decode_application(value: memoryview, judge: Judge, *, asks: bool) -> str:
    """Whoever is asked decides by it; in an answer it informs only, and one that is no UID may be let through."""
    try:
        return _decode_uid(value, "application context", judge)
    except _NoUid as fault:
        if asks or not judge.let("informative_text", fault.detail):
            raise
        return ""


def _counts_its_header(view: memoryview, length: int) -> bool:
    """Whether a presentation context item of an A-ASSOCIATE-AC, whose header says `length` and which `view` begins
    with, ends 4 bytes earlier: after its one transfer syntax, where the header of the next item is, or nothing.

    Read as it stands it would be malformed: that header is no sub-item that fits.
    """
    if len(view) < 8 or view[4] != 0x40:
        return False
    end = 8 + int.from_bytes(view[6:8], "big")
    if length != end + ITEM_HEADER.size or len(view) < end:
        return False
    following = view[end : end + ITEM_HEADER.size]
    return not following or (following[0] in (0x10, 0x21, 0x50) and any(following[2:]))


def _decode_request(body: memoryview, judge: Judge) -> AssociateRequest:
    version, called, calling = ASSOCIATE_FIXED.unpack_from(body)
    offers: dict[tuple[str, ...], tuple[str, ...]] = {}
    application, contexts, user = _associate_items(
        body, judge, 0x20, lambda value, judge, unknown: _decode_proposed(value, judge, unknown, offers)
    )
    return AssociateRequest(
        called_aet=decode_title(called, "called", judge),
        calling_aet=decode_title(calling, "calling", judge),
        contexts=contexts,
        application_context=application,
        user_information=user,
        protocol_version=version,
    )


def decode_title(raw: bytes, name: str, judge: Judge) -> str:
    """An AE title without its padding. One that is none is not refused here: it has an A-ASSOCIATE-RJ of its own,
    unless the deviation is let through and the policy lets the title in (`negotiation`).  # PS3.8 9.3.4"""
    title = raw.decode("latin-1").strip(" ")
    if "\0" in title and judge.let("title_padded", f"{name} AE title with a NUL"):
        title = title.partition("\0")[0].rstrip(" ")
    if title_fault := fault_of_title(title):
        judge.let(title_fault, f"{name} AE title {_TITLE_FAULTS[title_fault]}")
    return title


_TITLE_FAULTS = {"blank_title": "of spaces only", "non_ascii_title": "with letters beyond ASCII"}


def _decode_accept(body: memoryview, judge: Judge) -> AssociateAccept:
    version, called, calling = ASSOCIATE_FIXED.unpack_from(body)
    application, contexts, user = _associate_items(body, judge, 0x21, _decode_answer)
    return AssociateAccept(
        called_aet=called.decode("latin-1").strip(" "),
        calling_aet=calling.decode("latin-1").strip(" "),
        contexts=contexts,
        application_context=application,
        user_information=user,
        protocol_version=version,
    )


def _decode_proposed(
    value: memoryview, judge: Judge, unknown: _Unknown, offers: dict[tuple[str, ...], tuple[str, ...]]
) -> ProposedContext:
    """`offers`: the transfer syntaxes of the contexts before. Most contexts offer the same ones, and share them."""
    cursor = _Cursor(value, "presentation context", "PS3.8 9.3.2.2")
    number = cursor.take(4)[0]
    abstract: str | None = None
    syntaxes: list[str] = []
    count = 0
    for kind, item in cursor.items():
        if kind == 0x30:
            _once(abstract, "abstract syntax")
            abstract = _decode_syntax(item, "abstract syntax", judge)
        elif kind == 0x40:
            count += 1
            _count(count, judge.limits.transfer_syntaxes, "transfer_syntaxes", "transfer syntaxes")
            if syntax := _decode_syntax(item, "transfer syntax", judge):
                syntaxes.append(syntax)
        else:
            unknown.skip()
    if abstract is None or not count:
        missing = "transfer syntax" if abstract is not None else "abstract syntax"
        if not judge.let("item_no_uid", f"presentation context {number} without {missing}"):
            if not count:
                raise Malformed(f"presentation context {number} without transfer syntax", "PS3.8 9.3.2.2")
            raise Malformed(f"no abstract syntax in presentation context {number}", "PS3.8 9.3.2.2")
    offer = tuple(syntaxes)
    return ProposedContext(id=number, abstract_syntax=abstract or "", transfer_syntaxes=offers.setdefault(offer, offer))


def _decode_syntax(item: memoryview, what: str, judge: Judge) -> str:
    """A proposed syntax; empty for what is no UID and is let through: it cannot be accepted."""
    try:
        return _decode_uid(item, what, judge)
    except _NoUid as fault:
        if not judge.let("item_no_uid", str(fault)):
            raise
        return ""


def _decode_answer(value: memoryview, judge: Judge, unknown: _Unknown) -> ContextAnswer:
    cursor = _Cursor(value, "presentation context", "PS3.8 9.3.3.2")
    number, _, result, _ = cursor.take(4)
    try:
        outcome = ContextResult(result)
    except ValueError:
        detail = f"result {result} for presentation context {number}; 0 to 4"
        if not judge.let("informative_number", detail):
            raise Malformed(detail, "PS3.8 9.3.3.2") from None
        outcome = ContextResult.NO_REASON  # not accepted is what it says, whatever the reason
    if outcome is not ContextResult.ACCEPTANCE:
        return ContextAnswer(id=number, result=outcome)  # the transfer syntax is not tested
    syntax: str | None = None
    for kind, item in cursor.items():
        if kind == 0x40:
            _once(syntax, "transfer syntax")
            syntax = _decode_uid(item, "transfer syntax", judge)
        else:
            unknown.skip()
    accepted = _needed(syntax, f"transfer syntax in presentation context {number}", "PS3.8 9.3.3.2")
    return ContextAnswer(id=number, result=outcome, transfer_syntax=accepted)


def _decode_user_information(value: memoryview, judge: Judge, *, asks: bool) -> UserInformation:
    """`asks`: it is that of an A-ASSOCIATE-RQ."""
    max_length: int | None = None
    class_uid: str | None = None
    version: str | None = None
    window: OperationsWindow | None = None
    roles: list[RoleSelection] = []
    extended: list[ExtendedNegotiation] = []
    common: list[CommonExtendedNegotiation] = []
    identity: UserIdentity | None = None
    response: UserIdentityResponse | None = None
    for count, (kind, item) in enumerate(_Cursor(value, "user information", "PS3.8 9.3.2.3").items(), 1):
        _count(count, judge.limits.user_items, "user_items", "user information sub-items")
        if kind == 0x51:
            _last(max_length, "Maximum Length", judge)
            max_length = _exactly(item, "Maximum Length", "PS3.8 D.1", lambda cursor: cursor.number(4))
        elif kind == 0x52:
            _last(class_uid, "implementation class UID", judge)
            class_uid = _decode_class_uid(item, judge)
        elif kind == 0x53:
            _last(window, "asynchronous operations window", judge)
            window = _readable(item, "asynchronous operations window", "PS3.7 D.3.3.3", _decode_window, judge, asks)
        elif kind == 0x54:
            role = _named(item, "role selection", "PS3.7 D.3.3.4", _decode_role, judge, asks)
            if role is not None:
                roles.append(role)
                if asks and not (role.scu or role.scp):  # what is made of it is for `negotiation`
                    judge.let("role_of_neither", f"role selection for {role.sop_class_uid} that proposes neither role")
        elif kind == 0x55:
            _last(version, "implementation version name", judge)
            version = _decode_version(item, judge)
        elif kind == 0x56:
            wish = _named(item, "extended negotiation", "PS3.7 D.3.3.5", _decode_extended, judge, asks)
            extended += [] if wish is None else [wish]
        elif kind == 0x57:
            said = _named(item, "common extended negotiation", "PS3.7 D.3.3.6", _decode_common, judge, asks)
            common += [] if said is None else [said]
        elif kind == 0x58:
            _once(identity, "user identity")
            identity = _exactly(item, "user identity", "PS3.7 D.3.3.7", lambda c: _decode_identity(c, judge))
        elif kind == 0x59:
            _once(response, "user identity response")
            response = _readable(item, "user identity response", "PS3.7 D.3.3.7", _decode_response, judge, asks)
    return UserInformation(
        max_length=_or_assumed(max_length, ASSUMED_MAX_LENGTH, "Maximum Length sub-item", "PS3.8 D.1", judge),
        implementation_class_uid=_or_assumed(
            class_uid, "", "implementation class UID sub-item", "PS3.7 D.3.3.2", judge
        ),
        implementation_version_name=version,
        window=window,
        roles=tuple(roles),
        extended=tuple(extended),
        common_extended=tuple(common),
        user_identity=identity,
        user_identity_response=response,
    )


def _exactly(item: memoryview, what: str, clause: str, decode_value: Callable[[_Cursor], T]) -> T:
    """`decode_value` of exactly all of `item`."""
    cursor = _Cursor(item, what, clause)
    value = decode_value(cursor)
    cursor.end()
    return value


def _decode_version(item: memoryview, judge: Judge) -> str | None:
    """It informs only. None: there is nothing to be read in it.  # PS3.7 D.3.3.2.3"""
    raw = bytes(item[: _LONGEST_VERSION + 1])
    fault = ""
    if not 1 <= len(item) <= _LONGEST_VERSION:
        fault = f"implementation version name of {len(item)} bytes; 1 to {_LONGEST_VERSION}"
    elif not (raw.isascii() and raw.decode("ascii").isprintable()):
        fault = "implementation version name with other characters than printable ASCII"
    if not fault:
        return raw.decode("ascii")
    if not judge.let("informative_text", fault):
        raise Malformed(fault, "PS3.7 D.3.3.2")
    return informing_text(bytes(item[: 4 * _LONGEST_VERSION]), _LONGEST_VERSION) or None


_LONGEST_VERSION = 16


def _decode_class_uid(item: memoryview, judge: Judge) -> str:
    """Whose implementation it is: it informs only. Empty for what is no UID and is let through."""
    try:
        return _decode_uid(item, "implementation class UID", judge)
    except Malformed as fault:
        if not judge.let("informative_text", str(fault)):
            raise
        return ""


def _named(
    item: memoryview, what: str, clause: str, decode_value: Callable[[_Cursor, Judge], T], judge: Judge, asks: bool
) -> T | None:
    """As `_readable`, of an item about a SOP class; None where that is no UID, which may be let through."""
    try:
        return _readable(item, what, clause, lambda cursor: decode_value(cursor, judge), judge, asks)
    except _NoUid as fault:
        if not judge.let("item_no_uid", str(fault)):
            raise
        return None


def _readable(
    item: memoryview, what: str, clause: str, decode_value: Callable[[_Cursor], T], judge: Judge, asks: bool
) -> T | None:
    """As `_exactly`, of an item that an answer may leave out; None where it cannot be read and that is let through."""
    try:
        return _exactly(item, what, clause, decode_value)
    except _NoUid:
        raise
    except Malformed as fault:
        if asks or fault.limit or not judge.let("unreadable_item", fault.detail):
            raise
        return None


def _decode_response(cursor: _Cursor) -> UserIdentityResponse:
    return UserIdentityResponse(response=bytes(cursor.sized()))


def _decode_window(cursor: _Cursor) -> OperationsWindow:
    return OperationsWindow(invoked=cursor.number(2), performed=cursor.number(2))


def _decode_role(cursor: _Cursor, judge: Judge) -> RoleSelection:
    uid = _decode_uid(cursor.sized(), "SOP class of a role selection", judge)
    scu, scp = cursor.take(2)
    if scu > 1 or scp > 1:
        raise Malformed(f"roles {scu} and {scp}; 0 or 1", "PS3.7 D.3.3.4")
    return RoleSelection(sop_class_uid=uid, scu=bool(scu), scp=bool(scp))


def _decode_extended(cursor: _Cursor, judge: Judge) -> ExtendedNegotiation:
    uid = _decode_uid(cursor.sized(), "SOP class of an extended negotiation", judge)
    return ExtendedNegotiation(sop_class_uid=uid, information=bytes(cursor.take(cursor.left)))


def _decode_common(cursor: _Cursor, judge: Judge) -> CommonExtendedNegotiation:
    uid = _decode_uid(cursor.sized(), "SOP class of a common extended negotiation", judge)
    service = _decode_uid(cursor.sized(), "service class", judge)
    inner = _Cursor(cursor.sized(), "related general SOP classes", "PS3.7 D.3.3.6")
    related: list[str] = []
    while inner.left:
        _count(len(related) + 1, judge.limits.user_items, "user_items", "related general SOP classes")
        related.append(_decode_uid(inner.sized(), "related general SOP class", judge))
    cursor.take(cursor.left)  # later versions of the sub-item may say more  # PS3.7 D.3.3.6
    return CommonExtendedNegotiation(sop_class_uid=uid, service_class_uid=service, related_general=tuple(related))


def _decode_identity(cursor: _Cursor, judge: Judge) -> UserIdentity:
    kind, wanted = cursor.take(2)
    detail = f"positive response requested {wanted}; 0 or 1"
    if wanted > 1 and not judge.let("informative_number", detail):
        raise Malformed(detail, "PS3.7 D.3.3.7.1")
    primary = bytes(cursor.sized())
    short = kind == UserIdentityType.USERNAME and not cursor.left
    if short and judge.let("identity_without_secondary", "user identity without the length of its secondary field"):
        return UserIdentity(type=kind, primary=primary, response_requested=bool(wanted))
    secondary = bytes(cursor.sized())
    return UserIdentity(type=kind, primary=primary, secondary=secondary, response_requested=bool(wanted))

"""The seven PDUs <-> bytes: `encode`, `decode`, all items of PS3.8 9.3 and annex D and of PS3.7 annex D.3.3.

Knows: layouts, the counts a peer may send (`Limits`) and which of its deviations are accepted (`Judge`). Must not know:
states, roles, answers.

Every nested length is bounded by what is left of its parent; a decoder gets exactly its own bytes and consumes
exactly all of them; unknown items are skipped [PS3.8 9.3.1].

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
from typing import TypeVar

from ..errors import AbortReason, LocalProtocolError, Malformed
from ..limits import OVER_MAX_LENGTH, Limits
from ..tolerance import CLAUSES, STRICT, Judge, Tolerance
from ..wire import Buffer
from .cursor import (
    ITEM_HEADER,
    Cursor,
    NoUid,
    check_count,
    check_once,
    decode_uid,
    encode_byte,
    encode_item,
    encode_short,
    encode_uid,
    needed,
)
from .pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    ContextResult,
    Managed,
    PData,
    Pdu,
    PduType,
    Pdv,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
    not_a_pdu,
)
from .titles import decode_echoed_title, decode_title, encode_echoed_title, encode_title
from .user_information import USER_INFORMATION, assumed, decode_user_information, encode_user_information

HEADER = struct.Struct(">BxL")
PDV_HEADER = struct.Struct(">LBB")
ASSOCIATE_FIXED = struct.Struct(">H2x16s16s32x")
ANSWER = struct.Struct(">BxBx")

COMMAND_BIT = 1
LAST_BIT = 2
"""Message control header: the other bits are sent as 0 and not tested [PS3.8 E.2]."""

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
            fields = (
                encode_byte(pdu.result, "result"),
                encode_byte(pdu.source, "source"),
                encode_byte(pdu.reason, "reason"),
            )
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
                bytes((0, 0, encode_byte(pdu.source, "source"), encode_byte(pdu.reason, "reason"))),
            )
        case _:
            raise not_a_pdu(pdu)
    return HEADER.pack(kind, len(body)) + body


def decode(data: Buffer, limits: Limits = Limits(), tolerance: Tolerance = STRICT) -> Pdu:  # noqa: B008  frozen values
    """One whole PDU, exactly all of `data`. Two-byte A-ABORTs are handled in `framing`.

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


def exceeds(length: int, max_length: int) -> bool:
    """Returns True if a P-DATA-TF of this length is longer than its receiver asked for; 0 is unlimited [PS3.8 D.1]."""
    return 0 < max_length < length


def check_header(number: int, length: int, judge: Judge, max_length: int = 0) -> PduType:
    """The type of a PDU, after a check that it may have this length.

    `max_length`: what this side advertised for P-DATA-TF, 0 unlimited. Raises `Malformed`.
    """
    kind = _TYPES.get(number)
    if kind is None:
        raise Malformed(f"PDU type 0x{number:02X}; 0x01 to 0x07", "PS3.8 9.3.1", AbortReason.UNRECOGNIZED_PDU)
    if kind is _P_DATA_TF:
        if length < PDV_HEADER.size:
            raise Malformed(f"P-DATA-TF of {length} bytes; at least one PDV, {PDV_HEADER.size} bytes", "PS3.8 9.3.5")
        if exceeds(length, max_length):
            most = max(2 * max_length, OVER_MAX_LENGTH)
            detail = f"P-DATA-TF of {length} bytes; Maximum Length {max_length}"
            if length > most or not judge.tolerates("over_max_length", detail):
                raise Malformed(
                    "P-DATA-TF longer than the Maximum Length", "PS3.8 D.1", limit="max_length", seen=length,
                    allowed=most if judge.may("over_max_length") else max_length,
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


def check_context_id(number: int) -> None:
    """An odd number from 1 to 255 [PS3.8 9.3.2.2]. Raises `LocalProtocolError`."""
    if not (1 <= number <= 255 and number % 2):
        raise LocalProtocolError(f"presentation context id {number}; odd, 1 to 255 [PS3.8 9.3.2.2]")


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
    encode_short(pdu.protocol_version, "protocol version")
    title = encode_title if isinstance(pdu, AssociateRequest) else encode_echoed_title
    fixed = ASSOCIATE_FIXED.pack(
        pdu.protocol_version, title(pdu.called_aet, "called"), title(pdu.calling_aet, "calling")
    )
    parts = [
        fixed,
        encode_item(0x10, encode_uid(pdu.application_context, "application context"), "application context"),
    ]
    ids: set[int] = set()
    for context in pdu.contexts:
        check_context_id(context.id)
        if context.id in ids:
            raise LocalProtocolError(f"presentation context id {context.id} twice [PS3.8 9.3.2.2]")
        ids.add(context.id)
        parts.append(_encode_proposed(context) if isinstance(context, ProposedContext) else _encode_answer(context))
    if not ids and isinstance(pdu, AssociateRequest):
        raise LocalProtocolError("no presentation context; at least one [PS3.8 9.3.2]")
    parts.append(encode_user_information(pdu.user_information, is_request=isinstance(pdu, AssociateRequest)))
    return b"".join(parts)


def _encode_proposed(context: ProposedContext) -> bytes:
    if not context.transfer_syntaxes:
        raise LocalProtocolError(f"context {context.id} has no transfer syntax; at least one [PS3.8 9.3.2.2]")
    parts = [
        bytes((context.id, 0, 0, 0)),
        encode_item(0x30, encode_uid(context.abstract_syntax, "abstract syntax"), ""),
    ]
    parts += [encode_item(0x40, encode_uid(syntax, "transfer syntax"), "") for syntax in context.transfer_syntaxes]
    return encode_item(0x20, b"".join(parts), f"presentation context {context.id}")


def _encode_answer(context: ContextAnswer) -> bytes:
    head = bytes((context.id, 0, encode_byte(context.result, "context result"), 0))
    if context.transfer_syntax is None:
        if context.result == ContextResult.ACCEPTANCE:
            raise LocalProtocolError(f"context {context.id} accepted without transfer syntax [PS3.8 9.3.3.2]")
        # The sub-item has to be there, and its value is not significant: an empty one says so.
        return encode_item(0x21, head + encode_item(0x40, b"", ""), "")
    return encode_item(0x21, head + encode_item(0x40, encode_uid(context.transfer_syntax, "transfer syntax"), ""), "")


# -- decoding ----------------------------------------------------------------------------------------------------


def _pdvs(body: memoryview) -> Iterator[Pdv]:
    cursor = Cursor(body, "P-DATA-TF", "PS3.8 9.3.5")
    while cursor.left:
        length = cursor.number(4)
        check_pdv_length(length, cursor.left)
        context, header = cursor.take(2)
        data = bytes(cursor.take(length - 2))
        yield Pdv(context=context, command=bool(header & COMMAND_BIT), last=bool(header & LAST_BIT), data=data)


class _Unknown:
    """Counts the items of one A-ASSOCIATE PDU that are skipped because nobody knows their type [PS3.8 9.3.1]."""

    __slots__ = ("_allowed", "_count")

    def __init__(self, judge: Judge) -> None:
        self._allowed = judge.limits.unknown_items
        self._count = 0

    def skip(self) -> None:
        self._count += 1
        check_count(self._count, self._allowed, "unknown_items", "items of unknown types")


Context = TypeVar("Context", ProposedContext, ContextAnswer)


def _associate_items(
    body: memoryview,
    judge: Judge,
    context_item: int,
    decode_context: Callable[[memoryview, Judge, _Unknown], Context],
) -> tuple[str, tuple[Context, ...], UserInformation]:
    """The items after the fixed fields: application context, presentation contexts, user information."""
    application: str | None = None
    contexts: dict[int, Context] = {}
    user: UserInformation | None = None
    unknown = _Unknown(judge)
    cursor = Cursor(body[ASSOCIATE_FIXED.size :], "A-ASSOCIATE items", "PS3.8 9.3.2")
    while cursor.left:
        kind, length = cursor.item_header()
        if kind == 0x21 and context_item == 0x21 and _counts_its_header(cursor.view[cursor.at :], length):
            detail = f"presentation context item of {length} bytes counts the 4 of its own header"
            if judge.tolerates("answer_item_length", detail):
                length -= ITEM_HEADER.size
            elif cursor.view[cursor.at + 2] == ContextResult.ACCEPTANCE:  # else no sub-item is tested: it may be right
                raise Malformed(detail, CLAUSES["answer_item_length"])
        value = cursor.take(length)
        if kind == 0x10:
            check_once(application, "application context")
            application = _decode_application(value, judge, asks=context_item == 0x20)
        elif kind == context_item:
            check_count(len(contexts) + 1, judge.limits.contexts, "contexts", "presentation contexts")
            context = decode_context(value, judge, unknown)
            if context.id % 2 == 0 or context.id in contexts:
                fault = "even" if context.id % 2 == 0 else "used twice"
                raise Malformed(f"presentation context id {context.id} is {fault}; odd and unique", "PS3.8 9.3.2.2")
            contexts[context.id] = context
        elif kind == USER_INFORMATION:
            check_once(user, "user information")
            user = decode_user_information(value, judge, is_request=context_item == 0x20)
        else:
            unknown.skip()
    if user is None:
        user = assumed(judge)
    if (
        application is None
        and context_item == 0x21
        and judge.tolerates("informative_text", "no application context item")
    ):
        application = ""
    return (
        needed(application, "application context item", "PS3.8 9.3.2.1"),
        tuple(contexts.values()),
        needed(user, "user information item", "PS3.8 9.3.2.3"),
    )


def _decode_application(value: memoryview, judge: Judge, *, asks: bool) -> str:
    """An acceptor decides by it. In an answer it only informs, and an invalid UID may be accepted, as empty."""
    try:
        return decode_uid(value, "application context", judge)
    except NoUid as fault:
        if asks or not judge.tolerates("informative_text", fault.detail):
            raise
        return ""


def _counts_its_header(view: memoryview, length: int) -> bool:
    """Returns True if the presentation context item of an A-ASSOCIATE-AC at the start of `view`, whose header says
    `length`, ends 4 bytes earlier: after its one transfer syntax, where the next item begins, or nothing is left.

    With the length in its header, an accepted context would be malformed: the header of the next item does not fit as
    a sub-item. The sub-items of one that is not accepted are not tested [PS3.8 9.3.3.2].
    """
    end = 8 + int.from_bytes(view[6:8], "big")
    if len(view) < end or view[4] != 0x40 or length != end + ITEM_HEADER.size:
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


def _decode_accept(body: memoryview, judge: Judge) -> AssociateAccept:
    version, called, calling = ASSOCIATE_FIXED.unpack_from(body)
    application, contexts, user = _associate_items(body, judge, 0x21, _decode_answer)
    return AssociateAccept(
        called_aet=decode_echoed_title(called),
        calling_aet=decode_echoed_title(calling),
        contexts=contexts,
        application_context=application,
        user_information=user,
        protocol_version=version,
    )


def _decode_proposed(
    value: memoryview, judge: Judge, unknown: _Unknown, offers: dict[tuple[str, ...], tuple[str, ...]]
) -> ProposedContext:
    """`offers`: the transfer syntaxes of the contexts before. Most contexts offer the same ones, and share them."""
    cursor = Cursor(value, "presentation context", "PS3.8 9.3.2.2")
    number = cursor.take(4)[0]
    abstract: str | None = None
    syntaxes: list[str] = []
    count = 0
    for kind, item in cursor.items():
        if kind == 0x30:
            check_once(abstract, "abstract syntax")
            abstract = _decode_syntax(item, "abstract syntax", judge)
        elif kind == 0x40:
            count += 1
            check_count(count, judge.limits.transfer_syntaxes, "transfer_syntaxes", "transfer syntaxes")
            if syntax := _decode_syntax(item, "transfer syntax", judge):
                syntaxes.append(syntax)
        else:
            unknown.skip()
    if abstract is None or not count:
        missing = "transfer syntax" if abstract is not None else "abstract syntax"
        if not judge.tolerates("item_no_uid", f"presentation context {number} without {missing}"):
            if not count:
                raise Malformed(f"presentation context {number} without transfer syntax", "PS3.8 9.3.2.2")
            raise Malformed(f"no abstract syntax in presentation context {number}", "PS3.8 9.3.2.2")
    offer = tuple(syntaxes)
    return ProposedContext(id=number, abstract_syntax=abstract or "", transfer_syntaxes=offers.setdefault(offer, offer))


def _decode_syntax(item: memoryview, what: str, judge: Judge) -> str:
    """A proposed syntax; empty if it is not a UID and that deviation is accepted, so that the context is refused."""
    try:
        return decode_uid(item, what, judge)
    except NoUid as fault:
        if not judge.tolerates("item_no_uid", str(fault)):
            raise
        return ""


def _decode_answer(value: memoryview, judge: Judge, unknown: _Unknown) -> ContextAnswer:
    cursor = Cursor(value, "presentation context", "PS3.8 9.3.3.2")
    number, _, result, _ = cursor.take(4)
    try:
        outcome = ContextResult(result)
    except ValueError:
        detail = f"result {result} for presentation context {number}; 0 to 4"
        if not judge.tolerates("informative_number", detail):
            raise Malformed(detail, "PS3.8 9.3.3.2") from None
        outcome = ContextResult.NO_REASON  # not accepted is what it says, whatever the reason
    if outcome is not ContextResult.ACCEPTANCE:
        return ContextAnswer(id=number, result=outcome)  # the transfer syntax is not tested
    syntax: str | None = None
    for kind, item in cursor.items():
        if kind == 0x40:
            check_once(syntax, "transfer syntax")
            syntax = decode_uid(item, "transfer syntax", judge)
        else:
            unknown.skip()
    accepted = needed(syntax, f"transfer syntax in presentation context {number}", "PS3.8 9.3.3.2")
    return ContextAnswer(id=number, result=outcome, transfer_syntax=accepted)

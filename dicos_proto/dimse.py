"""One frozen dataclass for each message of PS3.7 9.3 and 10.3, and their command sets.

Knows: which elements each message has, their types, which are mandatory. Must not know: PDVs, contexts, operations.

A field says where it lies: its element of group 0000 and its value representation. The command field (0000,0100)
is the class; the data set type (0000,0800) belongs to the message, not to its command: `encode_command` takes and
`decode_command` returns it as `has_data`. Elements that a message does not define are kept in `other` and passed on.

A UID received obeys PS3.5 9.1, or breaks it in a way that is let through. One that is sent is only text of a legal
length: it names an object that somebody else named, and to send that under another name would be worse.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, ClassVar, NamedTuple, get_args, get_type_hints

from . import uids
from .command import (
    ELEMENT,
    GROUP_LENGTH,
    GROUP_LENGTH_SIZE,
    decode_elements,
    encode_bytes,
    encode_us,
    group_length,
    with_group_length,
)
from .errors import AbortReason, LocalProtocolError, Malformed
from .frozen import quick, setter
from .limits import Limits
from .status import Category, category
from .tolerance import CLAUSES, LONGEST_UID, Judge
from .wire import Buffer

NO_DATA_SET = 0x0101  # PS3.7 E.1: any other value says that a data set follows
WITH_DATA_SET = 0x0001
RESPONSE_BIT = 0x8000

PRIORITY_MEDIUM, PRIORITY_HIGH, PRIORITY_LOW = 0, 1, 2  # PS3.7 E.1 (0000,0700)

Value = int | str | tuple[int, ...]
Other = tuple[tuple[int, bytes], ...]


class _Number:
    """US: one unsigned 16-bit number."""

    vr = "US"

    @staticmethod
    def encode(element: int, value: Value) -> bytes:
        if not isinstance(value, int) or not 0 <= value <= 0xFFFF:
            raise LocalProtocolError(f"(0000,{element:04X}) {value!r}; 0 to 65535 [PS3.7 E.1]")
        return encode_us(element, value)

    @staticmethod
    def decode(element: int, raw: bytes, judge: Judge) -> Value:
        if len(raw) != 2:
            raise Malformed(f"(0000,{element:04X}) of {len(raw)} bytes; one US, 2 bytes", "PS3.7 E.1")
        return raw[0] | raw[1] << 8


class _Text:
    """A string of at most `most` characters, padded to even length with `pad`."""

    def __init__(self, vr: str, most: int, pad: str) -> None:
        self.vr = vr
        self.most = most
        self.pad = pad

    def encode(self, element: int, value: Value) -> bytes:
        return _encode_text(self, element, value)

    def decode(self, element: int, raw: bytes, judge: Judge) -> Value:
        return _decode_text(self, element, raw) if len(raw) <= _CACHED else self.decoded(element, raw)

    def encoded(self, element: int, value: Value) -> bytes:
        return encode_bytes(element, self.padded(element, value))

    def padded(self, element: int, value: Value) -> bytes:
        """The value alone."""
        # A comment may speak of a person: the texts of these errors do not repeat what they refuse.
        if not isinstance(value, str):
            raise LocalProtocolError(f"(0000,{element:04X}) {type(value).__name__}; text, {self.vr} [PS3.7 E.1]")
        if len(value) > self.most or not (value.isascii() and value.isprintable()):
            raise LocalProtocolError(
                f"(0000,{element:04X}) of {len(value)} characters; {self.vr}, at most {self.most} printable ASCII "
                "characters [PS3.5 6.2]"
            )
        if "\\" in value:
            raise LocalProtocolError(
                f"(0000,{element:04X}) of {value.count(chr(92)) + 1} values; one {self.vr} [PS3.5 6.4]"
            )
        if len(value) % 2:
            value += self.pad
        return value.encode("ascii")

    def decoded(self, element: int, raw: bytes) -> Value:
        text = raw.decode("latin-1").strip(" ")
        if len(text) > self.most or not (text.isascii() and text.isprintable()):
            raise Malformed(
                f"(0000,{element:04X}) of {len(raw)} bytes; {self.vr}, at most {self.most} printable ASCII characters",
                "PS3.5 6.2",
            )
        if "\\" in text:
            raise Malformed(f"(0000,{element:04X}) of {text.count(chr(92)) + 1} values; one {self.vr}", "PS3.5 6.4")
        return text


@lru_cache(maxsize=256)
def _encode_text(kind: _Text, element: int, value: Value) -> bytes:
    """Most texts are the same in each message of an association."""
    return kind.encoded(element, value)


_CACHED = 66
"""Bytes of a text that is remembered: a peer's longer ones are refused anyway, and are not to be kept."""


@lru_cache(maxsize=256)
def _decode_text(kind: _Text, element: int, raw: bytes) -> Value:
    return kind.decoded(element, raw)


class _Uid(_Text):
    """UI: a UID, padded to even length with one NUL."""

    def __init__(self) -> None:
        super().__init__("UI", uids.MAX_LENGTH, "\0")

    def decode(self, element: int, raw: bytes, judge: Judge) -> Value:
        good = _remembered_uid(raw) if len(raw) <= _CACHED else None
        return self._judged(element, raw, judge) if good is None else good

    def decode_new(self, element: int, raw: bytes, judge: Judge) -> Value:
        """As `decode`, without remembering it."""
        good = _is_good(raw)
        if good is not None and good.end(1) <= uids.MAX_LENGTH:
            return good[1].decode("ascii")
        return self._judged(element, raw, judge)

    def padded(self, element: int, value: Value) -> bytes:
        if type(value) is str and len(value) <= uids.MAX_LENGTH:
            raw = value.encode("ascii", "replace")
            if raw and not raw.strip(b"0123456789."):  # nothing else is in it
                return raw + b"\0" if len(raw) % 2 else raw
        return super().padded(element, value)  # it names an object that somebody else named, or is refused

    def _judged(self, element: int, raw: bytes, judge: Judge) -> Value:
        uid, broken = _read_uid(raw)
        if broken is None:
            raise Malformed(
                f"(0000,{element:04X}) of {len(raw)} bytes; UI, at most {self.most} digits and dots", "PS3.5 9.1"
            )
        for name in broken:
            detail = f"(0000,{element:04X}) of {len(raw)} bytes {_BROKEN[name]}"
            if not judge.let(name, detail):
                raise Malformed(detail, CLAUSES[name])
        return uid


def _read_uid(raw: bytes) -> tuple[str, tuple[str, ...] | None]:
    """The UID, empty if there is none, and what it breaks; None where it is no UID at all."""
    if len(raw) > LONGEST_UID + 2:
        return "", None
    uid, broken = uids.read(raw.removesuffix(b"\0"))
    if len(uid) > uids.MAX_LENGTH and broken is not None:
        return uid, ("uid_too_long", *broken) if len(uid) <= LONGEST_UID else None
    if not uid:
        return uid, () if len(raw) < 2 else ("uid_padded",)
    return uid, broken


_is_good = uids.GOOD_VALUE.fullmatch


def _good_uid(raw: bytes) -> str | None:
    """The UID, if it breaks no rule."""
    good = _is_good(raw)
    return good[1].decode("ascii") if good is not None and good.end(1) <= uids.MAX_LENGTH else None


_remembered_uid = lru_cache(maxsize=256)(_good_uid)
"""Most UIDs are the same in each message of an association; those of instances are not."""

_BROKEN = {**uids.BROKEN, "uid_too_long": f"is longer than {uids.MAX_LENGTH} characters"}


class _Tags:
    """AT: attribute tags, each a number 0xGGGGEEEE."""

    vr = "AT"

    @staticmethod
    def encode(element: int, value: Value) -> bytes:
        if not isinstance(value, tuple) or not all(0 <= tag <= 0xFFFFFFFF for tag in value):
            raise LocalProtocolError(f"(0000,{element:04X}) {value!r}; a tuple of tags [PS3.7 E.1]")
        words = (part.to_bytes(2, "little") for tag in value for part in (tag >> 16, tag & 0xFFFF))
        return encode_bytes(element, b"".join(words))

    @staticmethod
    def decode(element: int, raw: bytes, judge: Judge) -> Value:
        if len(raw) % 4:
            raise Malformed(f"(0000,{element:04X}) of {len(raw)} bytes; tags of 4 bytes", "PS3.7 E.1")
        return tuple(
            (raw[at] | raw[at + 1] << 8) << 16 | raw[at + 2] | raw[at + 3] << 8 for at in range(0, len(raw), 4)
        )


_Kind = _Number | _Text | _Tags
US, AT = _Number(), _Tags()
UI, AE, LO = _Uid(), _Text("AE", 16, " "), _Text("LO", 64, " ")


@dataclass(frozen=True, slots=True)
class Element:
    """Where a field lies: element (0000,`number`), of this kind."""

    number: int
    kind: _Kind


class DataSet(Enum):
    """Whether a message carries a data set."""

    NEVER = "no data set"
    ALWAYS = "a data set"
    OPTIONAL = "a data set or none"
    PENDING = "a data set where its status is pending, none where it is not"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What all requests but C-CANCEL share. `other`: elements the message does not define."""

    COMMAND_FIELD: ClassVar[int]
    NAME: ClassVar[str]
    DATA_SET: ClassVar[DataSet]
    message_id: Annotated[int, Element(0x0110, US)]
    other: Other = ()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What all responses share. `offending_element` and `error_comment` explain a status.  # PS3.7 annex C"""

    COMMAND_FIELD: ClassVar[int]
    NAME: ClassVar[str]
    DATA_SET: ClassVar[DataSet]
    message_id_being_responded_to: Annotated[int, Element(0x0120, US)]
    status: Annotated[int, Element(0x0900, US)]
    affected_sop_class_uid: Annotated[str | None, Element(0x0002, UI)] = None
    offending_element: Annotated[tuple[int, ...] | None, Element(0x0901, AT)] = None
    error_comment: Annotated[str | None, Element(0x0902, LO)] = None
    error_id: Annotated[int | None, Element(0x0903, US)] = None
    other: Other = ()


# -- DIMSE-C  PS3.7 9.3 ------------------------------------------------------------------------------------------


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoRequest(Request):
    """C-ECHO-RQ.  # PS3.7 9.3.5.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0030
    NAME: ClassVar[str] = "C-ECHO-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoResponse(Response):
    """C-ECHO-RSP.  # PS3.7 9.3.5.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8030
    NAME: ClassVar[str] = "C-ECHO-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreRequest(Request):
    """C-STORE-RQ; the data set is the composite object.  # PS3.7 9.3.1.1

    `move_originator_*`: set where a C-MOVE caused it."""

    COMMAND_FIELD: ClassVar[int] = 0x0001
    NAME: ClassVar[str] = "C-STORE-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    affected_sop_instance_uid: Annotated[str, Element(0x1000, UI)]
    priority: Annotated[int, Element(0x0700, US)] = PRIORITY_MEDIUM
    move_originator_aet: Annotated[str | None, Element(0x1030, AE)] = None
    move_originator_message_id: Annotated[int | None, Element(0x1031, US)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreResponse(Response):
    """C-STORE-RSP.  # PS3.7 9.3.1.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8001
    NAME: ClassVar[str] = "C-STORE-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CFindRequest(Request):
    """C-FIND-RQ; the data set is the identifier to match.  # PS3.7 9.3.2.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0020
    NAME: ClassVar[str] = "C-FIND-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    priority: Annotated[int, Element(0x0700, US)] = PRIORITY_MEDIUM


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CFindResponse(Response):
    """C-FIND-RSP; each pending one carries a match.  # PS3.7 9.3.2.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8020
    NAME: ClassVar[str] = "C-FIND-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.PENDING


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CGetRequest(Request):
    """C-GET-RQ; the data set is the identifier of what to send here.  # PS3.7 9.3.3.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0010
    NAME: ClassVar[str] = "C-GET-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    priority: Annotated[int, Element(0x0700, US)] = PRIORITY_MEDIUM


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CGetResponse(Response):
    """C-GET-RSP; the counters are of C-STORE sub-operations, a data set lists what failed.  # PS3.7 9.3.3.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8010
    NAME: ClassVar[str] = "C-GET-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    remaining: Annotated[int | None, Element(0x1020, US)] = None
    completed: Annotated[int | None, Element(0x1021, US)] = None
    failed: Annotated[int | None, Element(0x1022, US)] = None
    warning: Annotated[int | None, Element(0x1023, US)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveRequest(Request):
    """C-MOVE-RQ; the data set is the identifier of what to send to `move_destination`.  # PS3.7 9.3.4.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0021
    NAME: ClassVar[str] = "C-MOVE-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    move_destination: Annotated[str, Element(0x0600, AE)]
    priority: Annotated[int, Element(0x0700, US)] = PRIORITY_MEDIUM


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveResponse(Response):
    """C-MOVE-RSP; the counters are of C-STORE sub-operations, a data set lists what failed.  # PS3.7 9.3.4.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8021
    NAME: ClassVar[str] = "C-MOVE-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    remaining: Annotated[int | None, Element(0x1020, US)] = None
    completed: Annotated[int | None, Element(0x1021, US)] = None
    failed: Annotated[int | None, Element(0x1022, US)] = None
    warning: Annotated[int | None, Element(0x1023, US)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CCancelRequest:
    """C-CANCEL-RQ: it names an operation and is itself never answered.  # PS3.7 9.3.2.3, 9.3.3.3, 9.3.4.3"""

    COMMAND_FIELD: ClassVar[int] = 0x0FFF
    NAME: ClassVar[str] = "C-CANCEL-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    message_id_being_responded_to: Annotated[int, Element(0x0120, US)]
    other: Other = ()


# -- DIMSE-N  PS3.7 10.3 -----------------------------------------------------------------------------------------


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NEventReportRequest(Request):
    """N-EVENT-REPORT-RQ, the one request that goes from SCP to SCU.  # PS3.7 10.3.1.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0100
    NAME: ClassVar[str] = "N-EVENT-REPORT-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    affected_sop_instance_uid: Annotated[str, Element(0x1000, UI)]
    event_type_id: Annotated[int, Element(0x1002, US)]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NEventReportResponse(Response):
    """N-EVENT-REPORT-RSP.  # PS3.7 10.3.1.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8100
    NAME: ClassVar[str] = "N-EVENT-REPORT-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None
    event_type_id: Annotated[int | None, Element(0x1002, US)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NGetRequest(Request):
    """N-GET-RQ; `attribute_identifier_list`: the tags wanted, None for all.  # PS3.7 10.3.2.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0110
    NAME: ClassVar[str] = "N-GET-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    requested_sop_class_uid: Annotated[str, Element(0x0003, UI)]
    requested_sop_instance_uid: Annotated[str, Element(0x1001, UI)]
    attribute_identifier_list: Annotated[tuple[int, ...] | None, Element(0x1005, AT)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NGetResponse(Response):
    """N-GET-RSP; the data set is the attribute list; `attribute_identifier_list` is of a status.  # PS3.7 10.3.2.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8110
    NAME: ClassVar[str] = "N-GET-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None
    attribute_identifier_list: Annotated[tuple[int, ...] | None, Element(0x1005, AT)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NSetRequest(Request):
    """N-SET-RQ; the data set is the modification list.  # PS3.7 10.3.3.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0120
    NAME: ClassVar[str] = "N-SET-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    requested_sop_class_uid: Annotated[str, Element(0x0003, UI)]
    requested_sop_instance_uid: Annotated[str, Element(0x1001, UI)]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NSetResponse(Response):
    """N-SET-RSP. `attribute_identifier_list` explains a status.  # PS3.7 10.3.3.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8120
    NAME: ClassVar[str] = "N-SET-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None
    attribute_identifier_list: Annotated[tuple[int, ...] | None, Element(0x1005, AT)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NActionRequest(Request):
    """N-ACTION-RQ; the data set is the action information.  # PS3.7 10.3.4.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0130
    NAME: ClassVar[str] = "N-ACTION-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    requested_sop_class_uid: Annotated[str, Element(0x0003, UI)]
    requested_sop_instance_uid: Annotated[str, Element(0x1001, UI)]
    action_type_id: Annotated[int, Element(0x1008, US)]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NActionResponse(Response):
    """N-ACTION-RSP.  # PS3.7 10.3.4.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8130
    NAME: ClassVar[str] = "N-ACTION-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None
    action_type_id: Annotated[int | None, Element(0x1008, US)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NCreateRequest(Request):
    """N-CREATE-RQ; without an instance UID the performer makes one.  # PS3.7 10.3.5.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0140
    NAME: ClassVar[str] = "N-CREATE-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NCreateResponse(Response):
    """N-CREATE-RSP. `attribute_identifier_list` explains a status.  # PS3.7 10.3.5.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8140
    NAME: ClassVar[str] = "N-CREATE-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None
    attribute_identifier_list: Annotated[tuple[int, ...] | None, Element(0x1005, AT)] = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NDeleteRequest(Request):
    """N-DELETE-RQ.  # PS3.7 10.3.6.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0150
    NAME: ClassVar[str] = "N-DELETE-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    requested_sop_class_uid: Annotated[str, Element(0x0003, UI)]
    requested_sop_instance_uid: Annotated[str, Element(0x1001, UI)]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NDeleteResponse(Response):
    """N-DELETE-RSP.  # PS3.7 10.3.6.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8150
    NAME: ClassVar[str] = "N-DELETE-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None


CRequest = CEchoRequest | CStoreRequest | CFindRequest | CGetRequest | CMoveRequest
CResponse = CEchoResponse | CStoreResponse | CFindResponse | CGetResponse | CMoveResponse
NRequest = NEventReportRequest | NGetRequest | NSetRequest | NActionRequest | NCreateRequest | NDeleteRequest
NResponse = NEventReportResponse | NGetResponse | NSetResponse | NActionResponse | NCreateResponse | NDeleteResponse

AnyRequest = CRequest | NRequest
AnyResponse = CResponse | NResponse
Command = AnyRequest | AnyResponse | CCancelRequest

N_EVENT_REPORT = NEventReportRequest.COMMAND_FIELD
"""The one request that goes from SCP to SCU.  # PS3.7 10.1.1"""


class _Field(NamedTuple):
    name: str
    element: int
    encode: Callable[[int, Value], bytes]
    decode: Callable[[int, bytes, Judge], Value]
    mandatory: bool


_Class = type[AnyRequest] | type[AnyResponse] | type[CCancelRequest]
_CLASSES: dict[int, _Class] = {cls.COMMAND_FIELD: cls for cls in get_args(Command)}


_INSTANCES = (0x1000, 0x1001)
"""Affected and Requested SOP Instance UID."""


def _fields_of(cls: _Class) -> tuple[_Field, ...]:
    """The fields of a message that lie in its command set, in the order of their elements."""
    found = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            mandatory = type(None) not in get_args(get_args(hint)[0])
            kind = mark.kind
            # What differs in each message is not worth remembering.
            encode, decode = (
                (kind.encoded, kind.decode_new) if mark.number in _INSTANCES else (kind.encode, kind.decode)
            )
            found.append(_Field(name, mark.number, encode, decode, mandatory))
    return tuple(sorted(found, key=lambda one: one.element))


_RESPONSES: dict[int, type[AnyResponse]] = {cls.COMMAND_FIELD: cls for cls in get_args(AnyResponse)}

MESSAGES: dict[int, str] = {number: cls.NAME for number, cls in _CLASSES.items()}
"""Command field (0000,0100) -> the message's name.  # PS3.7 E.1"""

_FIELDS: dict[_Class, tuple[_Field, ...]] = {cls: _fields_of(cls) for cls in _CLASSES.values()}
_ELEMENTS: dict[_Class, frozenset[int]] = {
    cls: frozenset(each.element for each in found) | {0x0100, 0x0800} for cls, found in _FIELDS.items()
}


_Step = tuple[str, int, bytes, Callable[[int, Value], bytes] | None, bool]
"""One element to encode: field, element, its first bytes, how it is encoded, whether it is mandatory. Of a number the
first bytes are all but the value; of what has no field they are all of it. Plain tuples: they are unpacked faster."""


def _plan(cls: _Class, data_set_type: int) -> tuple[_Step, ...]:
    """All elements that a message may have, in their order."""
    steps: list[_Step] = [("", element, encode_us(element, value), None, True)
             for element, value in ((0x0100, cls.COMMAND_FIELD), (0x0800, data_set_type))]  # fmt: skip
    for name, element, encode, _, mandatory in _FIELDS[cls]:
        start = encode_us(element, 0)[:-2] if encode == US.encode else b""
        steps.append((name, element, start, encode, mandatory))
    return tuple(sorted(steps, key=lambda one: one[1]))


_PLANS: dict[bool, dict[_Class, tuple[_Step, ...]]] = {
    has_data: {cls: _plan(cls, WITH_DATA_SET if has_data else NO_DATA_SET) for cls in _FIELDS}
    for has_data in (False, True)
}


class _Template:
    """Command sets of one message that differ in nothing but message id and SOP instance: all that is the same in them.

    `after`: what follows the instance.
    """

    __slots__ = ("_around", "_before", "_between", "_size", "after", "element")

    def __init__(self, parts: list[bytes], cls: _Class) -> None:
        found = [part[2] | part[3] << 8 for part in parts]
        number = found.index(_KEYS[cls].number)
        instance = next((at for at, element in enumerate(found) if element in _INSTANCES), len(parts))
        self.element = found[instance] if instance < len(parts) else 0
        self._before = b"".join(parts[:number]) + parts[number][:-2]
        self._between = b"".join(parts[number + 1 : instance])
        self.after = b"".join(parts[instance + 1 :])
        self._size = len(self._before) + 2 + len(self._between) + len(self.after)
        self._around: dict[int, tuple[bytes, bytes]] = {}  # as many as UIDs have lengths

    def around(self, length: int) -> tuple[bytes, bytes]:
        """All before the message id, the group length included; and from there to the instance, whose value is so long.
        Without an instance its length is -1."""
        found = self._around.get(length)
        if found is None:
            size = self._size + (ELEMENT.size + length if length >= 0 else 0)
            header = ELEMENT.pack(0, self.element, length) if length >= 0 else b""
            found = self._around[length] = group_length(size) + self._before, self._between + header
        return found


class _Key(NamedTuple):
    """Of one kind of message: its fields for message id and SOP instance, the element of the former, and all others."""

    message_id: str
    instance: str | None
    others: attrgetter[tuple[object, ...]]
    number: int


def _key(cls: _Class) -> _Key:
    found = _FIELDS[cls]
    message_id = next(each for each in found if each.element in (0x0110, 0x0120))
    instance = next((each.name for each in found if each.element in _INSTANCES), None)
    others = (each.name for each in found if each.element not in (0x0110, 0x0120, *_INSTANCES))
    return _Key(message_id.name, instance, attrgetter("COMMAND_FIELD", "other", *others), message_id.element)


_KEYS: dict[_Class, _Key] = {cls: _key(cls) for cls in _FIELDS}
_templates: dict[tuple[bool, bool, tuple[object, ...]], _Template] = {}
_TEMPLATES = 256
"""So many are remembered; one more, and all begins anew."""


def encode_command(command: Command, *, has_data: bool) -> bytes:
    """The whole command set. Raises `LocalProtocolError` for a value that does not fit its element."""
    cls = type(command)
    message_id, named, others, _ = _KEYS[cls]
    number = getattr(command, message_id)
    instance = None if named is None else getattr(command, named)
    key = has_data, instance is None, others(command)
    try:
        template = _templates.get(key)
    except TypeError:  # a list, say, in place of a tuple: the encoder of its element refuses it
        template = None
    if template is not None and type(number) is int and 0 <= number <= 0xFFFF and instance != "":
        raw = b"" if instance is None else UI.padded(template.element, instance)
        before, between = template.around(-1 if instance is None else len(raw))
        return b"".join((before, number.to_bytes(2, "little"), between, raw, template.after))
    parts = _encode_elements(command, has_data=has_data)
    if instance != "" and not command.other:
        if len(_templates) == _TEMPLATES:
            _templates.clear()
        _templates[key] = _Template(parts, cls)
    return with_group_length(b"".join(parts))


def _encode_elements(command: Command, *, has_data: bool) -> list[bytes]:
    """All elements but the group length, in their order."""
    cls = type(command)
    parts: list[bytes] = []
    for name, element, start, encode, mandatory in _PLANS[has_data][cls]:
        if encode is None:
            parts.append(start)
            continue
        value = getattr(command, name)
        if start and type(value) is int and 0 <= value <= 0xFFFF:
            parts.append(start + value.to_bytes(2, "little"))
        elif value is not None and (value != "" or not mandatory):
            parts.append(encode(element, value))
        elif mandatory:
            raise LocalProtocolError(f"no (0000,{element:04X}) {name.replace('_', ' ')} in {cls.NAME} [PS3.7 9.3]")
    if command.other:
        parts += _encode_others(command.other, _ELEMENTS[cls])
        parts.sort(key=lambda part: part[3] << 8 | part[2])
    return parts


def _encode_others(others: Other, own: frozenset[int]) -> list[bytes]:
    parts = []
    previous = GROUP_LENGTH
    for element, raw in others:
        if element in own or not previous < element <= 0xFFFF or len(raw) % 2:
            raise LocalProtocolError(
                f"(0000,{element:04X}) of {len(raw)} bytes after (0000,{previous:04X}) cannot be among the other "
                "elements; of even length, in ascending order, not an element of the message itself [PS3.7 6.3.1]"
            )
        parts.append(encode_bytes(element, raw))
        previous = element
    return parts


class _Shape:
    """Where the values lie in command sets of one message with the same elements, each of the same length.

    Most command sets of an association differ from the one before in nothing but a few values: if all bytes between
    these are as they were, every rule about elements, their order and their lengths has been judged already.
    """

    __slots__ = ("absent", "cls", "fixed", "has_data", "numbers", "others", "unpack")

    def __init__(self, raw: bytes, cls: _Class, has_data: bool) -> None:
        self.cls = cls
        self.has_data = has_data
        known = {each.element: each for each in _FIELDS[cls]}
        numbers: list[tuple[Callable[[object, object], None], int]] = []
        others: list[tuple[Callable[[object, object], None], Callable[[int, bytes, Judge], Value], int, int]] = []
        present: set[str] = set()
        fixed: list[bytes] = []
        layout, at, done = "<", GROUP_LENGTH_SIZE, 0
        for element, value in decode_elements(raw).items():
            at += ELEMENT.size
            field = known.get(element)
            if field is not None:
                fixed.append(raw[done:at])
                is_number = field.decode == US.decode
                layout += f"{at - done}s{'H' if is_number else f'{len(value)}s'}"
                put, where = setter(cls, field.name), len(present)
                if is_number:
                    numbers.append((put, where))
                else:
                    others.append((put, field.decode, element, where))
                present.add(field.name)
                done = at + len(value)
            at += len(value)
        if done < at:
            fixed.append(raw[done:at])
            layout += f"{at - done}s"
        self.unpack = struct.Struct(layout).unpack
        self.fixed = tuple(fixed)
        self.numbers, self.others = tuple(numbers), tuple(others)
        self.absent = tuple((setter(cls, each.name), each.default) for each in fields(cls) if each.name not in present)

    def make(self, values: tuple[bytes, ...], judge: Judge) -> Command | None:
        """The message with these values; None, if a text is blank, which not every one may be. Raises `Malformed`.

        `__init__` is passed over: it does nothing but set the fields."""
        command: Command = _new(self.cls)
        for put, decode, element, where in self.others:
            value = decode(element, values[where], judge)
            if not value:
                return None
            put(command, value)
        for put, where in self.numbers:
            put(command, values[where])
        for put, default in self.absent:
            put(command, default)
        return command


_new = object.__new__
_shapes: dict[int, list[_Shape]] = {}
"""Length of a command set -> its shapes seen. No values are kept. Peers decide which shapes there are, so these say
how many, and of how long command sets; a length more, and all begins anew."""
_LENGTHS, _SHAPES_OF_A_LENGTH, _LONGEST_SHAPE = 64, 4, 512


_STRICT = Judge(Limits())


def decode_command(data: Buffer, judge: Judge = _STRICT) -> tuple[Command, bool]:
    """A whole command set -> the message and whether a data set follows. Raises `Malformed`."""
    raw = bytes(data)
    shapes = _shapes.get(len(raw), ())
    for shape in shapes:
        found = shape.unpack(raw)
        if found[::2] == shape.fixed:
            seen = shape.make(found[1::2], judge)
            return _decode_command(raw, judge) if seen is None else (seen, shape.has_data)
    command, has_data = _decode_command(raw, judge)
    if len(shapes) < _SHAPES_OF_A_LENGTH and len(raw) <= _LONGEST_SHAPE and not command.other:
        if len(_shapes) == _LENGTHS:
            _shapes.clear()
        _shapes.setdefault(len(raw), []).append(_Shape(raw, type(command), has_data))
    return command, has_data


def _decode_command(data: bytes, judge: Judge) -> tuple[Command, bool]:
    elements = decode_elements(data)
    number = _take_us(elements, 0x0100, "command field")
    has_data = _take_us(elements, 0x0800, "data set type") != NO_DATA_SET
    cls = _CLASSES.get(number)
    if cls is None:
        raise Malformed(f"command field 0x{number:04X} is no message", "PS3.7 E.1", AbortReason.UNRECOGNIZED_PARAMETER)
    values: dict[str, Value] = {}
    for name, element, _, decode, mandatory in _FIELDS[cls]:
        raw = elements.pop(element, None)
        value = None if raw is None else decode(element, raw, judge)
        if value is not None and not (mandatory and value == ""):
            values[name] = value
        elif mandatory:
            raise Malformed(f"no (0000,{element:04X}) {name.replace('_', ' ')} in {cls.NAME}", "PS3.7 9.3")
    make: Callable[..., Command] = cls
    if elements:
        return make(**values, other=tuple(elements.items())), has_data
    return make(**values), has_data


_ALWAYS, _OPTIONAL, _PENDING = DataSet.ALWAYS, DataSet.OPTIONAL, DataSet.PENDING


def misplaced_data(command: Command, has_data: bool) -> str | None:
    """What is wrong with this message's having a data set or none, if anything is.  # PS3.7 9.3, 10.3, (0000,0800)"""
    rule = command.DATA_SET
    if rule is _OPTIONAL:
        return None
    if rule is _PENDING:
        pending = isinstance(command, Response) and category(command.status) is Category.PENDING
        return None if has_data is pending else _misplaced(command, has_data)
    return None if has_data is (rule is _ALWAYS) else _misplaced(command, has_data)


def _misplaced(command: Command, has_data: bool) -> str:
    return f"{command.NAME} with {'a' if has_data else 'no'} data set; it has {command.DATA_SET.value}"


def _take_us(elements: dict[int, bytes], element: int, name: str) -> int:
    raw = elements.pop(element, None)
    if raw is None or len(raw) != 2:
        raise Malformed(f"no (0000,{element:04X}) {name} of 2 bytes in the command set", "PS3.7 E.1")
    return raw[0] | raw[1] << 8


class _Reply(NamedTuple):
    """How a request is answered: by which message, and what it repeats, from which fields of the request."""

    make: Callable[..., AnyResponse]
    sop_class: str
    instance: str | None
    type_id: str | None


def _reply(cls: type[AnyRequest]) -> _Reply:
    names = {each.element: each.name for each in _FIELDS[cls]}
    return _Reply(
        make=_RESPONSES[cls.COMMAND_FIELD | RESPONSE_BIT],
        sop_class=names.get(0x0002) or names[0x0003],
        instance=names.get(0x1000) or names.get(0x1001),
        type_id=names.get(0x1002) or names.get(0x1008),
    )


_REPLIES: dict[type[AnyRequest], _Reply] = {cls: _reply(cls) for cls in get_args(AnyRequest)}


def sop_class_of(request: AnyRequest) -> str:
    """The SOP class a request is about: affected, or requested.  # PS3.7 E.1 (0000,0002), (0000,0003)"""
    found: str = getattr(request, _REPLIES[type(request)].sop_class)
    return found


def sop_instance_of(request: AnyRequest) -> str | None:
    """The SOP instance a request is about, None where it names none.  # PS3.7 E.1 (0000,1000), (0000,1001)"""
    name = _REPLIES[type(request)].instance
    found: str | None = None if name is None else getattr(request, name)
    return found


def response_to(request: AnyRequest, status: int, comment: str | None = None) -> AnyResponse:
    """The response of this request's kind, with what the standard has it repeat: id, SOP class, instance, type."""
    make, sop_class, instance, type_id = _REPLIES[type(request)]
    values: dict[str, Value] = {}
    if comment is not None:
        values["error_comment"] = comment
    if instance is not None and (named := _echoed(getattr(request, instance))) is not None:
        values["affected_sop_instance_uid"] = named
    if type_id is not None:
        values[type_id] = getattr(request, type_id)
    return make(
        message_id_being_responded_to=request.message_id,
        affected_sop_class_uid=_echoed(getattr(request, sop_class)),
        status=status,
        **values,
    )


def _echoed(uid: str | None) -> str | None:
    """The UID of a request in its response, which may leave it out: one that was let through may not fit."""
    return uid if uid is None or len(uid) <= uids.MAX_LENGTH else None

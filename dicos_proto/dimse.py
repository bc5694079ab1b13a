"""One frozen dataclass for each message of PS3.7 9.3 and 10.3, and their command sets.

Knows: which elements each message has, their types, which are mandatory. Must not know: PDVs, contexts, operations.

A field says where it lies: its element of group 0000 and its value representation. The command field (0000,0100)
is the class; the data set type (0000,0800) belongs to the message, not to its command: `encode_command` takes and
`decode_command` returns it as `has_data`. Elements that a message does not define are kept in `other` and passed on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, NamedTuple, get_args, get_type_hints

from .command import GROUP_LENGTH, decode_elements, encode_bytes, encode_us, with_group_length
from .errors import AbortReason, LocalProtocolError, Malformed
from .wire import Buffer

NO_DATA_SET = 0x0101  # PS3.7 E.1: any other value says that a data set follows
DATA_SET = 0x0001
RESPONSE_BIT = 0x8000

PRIORITY_MEDIUM, PRIORITY_HIGH, PRIORITY_LOW = 0, 1, 2  # PS3.7 E.1 (0000,0700)

Value = int | str | tuple[int, ...]
Other = tuple[tuple[int, bytes], ...]


class _Number:
    """US: one unsigned 16-bit number."""

    @staticmethod
    def encode(element: int, value: Value) -> bytes:
        if not isinstance(value, int) or not 0 <= value <= 0xFFFF:
            raise LocalProtocolError(f"(0000,{element:04X}) {value!r}; 0 to 65535 [PS3.7 E.1]")
        return encode_us(element, value)

    @staticmethod
    def decode(element: int, raw: bytes) -> Value:
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

    def decode(self, element: int, raw: bytes) -> Value:
        return _decode_text(self, element, raw) if len(raw) <= _CACHED else self.decoded(element, raw)

    def encoded(self, element: int, value: Value) -> bytes:
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
        return encode_bytes(element, value.encode("ascii"))

    def decoded(self, element: int, raw: bytes) -> Value:
        text = raw.decode("latin-1")
        text = text.removesuffix("\0") if self.pad == "\0" else text.strip(" ")
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


class _Tags:
    """AT: attribute tags, each a number 0xGGGGEEEE."""

    @staticmethod
    def encode(element: int, value: Value) -> bytes:
        if not isinstance(value, tuple) or not all(0 <= tag <= 0xFFFFFFFF for tag in value):
            raise LocalProtocolError(f"(0000,{element:04X}) {value!r}; a tuple of tags [PS3.7 E.1]")
        words = (part.to_bytes(2, "little") for tag in value for part in (tag >> 16, tag & 0xFFFF))
        return encode_bytes(element, b"".join(words))

    @staticmethod
    def decode(element: int, raw: bytes) -> Value:
        if len(raw) % 4:
            raise Malformed(f"(0000,{element:04X}) of {len(raw)} bytes; tags of 4 bytes", "PS3.7 E.1")
        return tuple(
            (raw[at] | raw[at + 1] << 8) << 16 | raw[at + 2] | raw[at + 3] << 8 for at in range(0, len(raw), 4)
        )


_Kind = _Number | _Text | _Tags
US, AT = _Number(), _Tags()
UI, AE, LO = _Text("UI", 64, "\0"), _Text("AE", 16, " "), _Text("LO", 64, " ")


@dataclass(frozen=True, slots=True)
class Element:
    """Where a field lies: element (0000,`number`), of this kind."""

    number: int
    kind: _Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What all requests but C-CANCEL share. `other`: elements the message does not define."""

    COMMAND_FIELD: ClassVar[int]
    NAME: ClassVar[str]
    message_id: Annotated[int, Element(0x0110, US)]
    other: Other = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What all responses share. `offending_element` and `error_comment` explain a status.  # PS3.7 annex C"""

    COMMAND_FIELD: ClassVar[int]
    NAME: ClassVar[str]
    message_id_being_responded_to: Annotated[int, Element(0x0120, US)]
    status: Annotated[int, Element(0x0900, US)]
    offending_element: Annotated[tuple[int, ...] | None, Element(0x0901, AT)] = None
    error_comment: Annotated[str | None, Element(0x0902, LO)] = None
    error_id: Annotated[int | None, Element(0x0903, US)] = None
    other: Other = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoRequest(Request):
    """C-ECHO-RQ.  # PS3.7 9.3.5.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0030
    NAME: ClassVar[str] = "C-ECHO-RQ"
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoResponse(Response):
    """C-ECHO-RSP.  # PS3.7 9.3.5.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8030
    NAME: ClassVar[str] = "C-ECHO-RSP"
    affected_sop_class_uid: Annotated[str | None, Element(0x0002, UI)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreRequest(Request):
    """C-STORE-RQ.  # PS3.7 9.3.1.1"""

    COMMAND_FIELD: ClassVar[int] = 0x0001
    NAME: ClassVar[str] = "C-STORE-RQ"
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    affected_sop_instance_uid: Annotated[str, Element(0x1000, UI)]
    priority: Annotated[int, Element(0x0700, US)] = PRIORITY_MEDIUM
    move_originator_aet: Annotated[str | None, Element(0x1030, AE)] = None
    move_originator_message_id: Annotated[int | None, Element(0x1031, US)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreResponse(Response):
    """C-STORE-RSP.  # PS3.7 9.3.1.2"""

    COMMAND_FIELD: ClassVar[int] = 0x8001
    NAME: ClassVar[str] = "C-STORE-RSP"
    affected_sop_class_uid: Annotated[str | None, Element(0x0002, UI)] = None
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRequest(Request):
    """A request of PS3.7 whose service this version does not speak: it can be read, named and refused.

    Everything but the message id is in `other`. `command_field`: 0x0020 C-FIND-RQ and so on.
    """

    COMMAND_FIELD: ClassVar[int] = 0
    NAME: ClassVar[str] = "other request"
    command_field: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherResponse(Response):
    """A response of PS3.7 whose service this version does not speak; also how an `OtherRequest` is refused."""

    COMMAND_FIELD: ClassVar[int] = 0
    NAME: ClassVar[str] = "other response"
    command_field: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CCancelRequest:
    """C-CANCEL-RQ: it names an operation and is itself never answered.  # PS3.7 9.3.2.3"""

    COMMAND_FIELD: ClassVar[int] = 0x0FFF
    NAME: ClassVar[str] = "C-CANCEL-RQ"
    message_id_being_responded_to: Annotated[int, Element(0x0120, US)]
    other: Other = ()


Command = CEchoRequest | CEchoResponse | CStoreRequest | CStoreResponse | CCancelRequest | OtherRequest | OtherResponse

AnyRequest = CEchoRequest | CStoreRequest | OtherRequest

Message = Command | Request | Response

OTHER_NAMES: dict[int, str] = {
    0x0010: "C-GET-RQ",
    0x0020: "C-FIND-RQ",
    0x0021: "C-MOVE-RQ",
    0x0100: "N-EVENT-REPORT-RQ",
    0x0110: "N-GET-RQ",
    0x0120: "N-SET-RQ",
    0x0130: "N-ACTION-RQ",
    0x0140: "N-CREATE-RQ",
    0x0150: "N-DELETE-RQ",
}
"""The requests of PS3.7 E.1 (0000,0100) that have no class of their own yet; their responses add bit 15."""

_OTHERS = (OtherRequest, OtherResponse)

N_EVENT_REPORT = 0x0100
"""The one request that goes from SCP to SCU.  # PS3.7 10.1.1"""


def command_field(command: Message) -> int:
    """(0000,0100) of this message."""
    if isinstance(command, _OTHERS):
        return command.command_field
    return command.COMMAND_FIELD


def command_name(command: Message) -> str:
    """The message's name in PS3.7: `C-STORE-RQ`."""
    if isinstance(command, OtherRequest):
        return OTHER_NAMES[command.command_field]
    if isinstance(command, OtherResponse):
        return OTHER_NAMES[command.command_field & ~RESPONSE_BIT].replace("-RQ", "-RSP")
    return command.NAME


class _Field(NamedTuple):
    name: str
    element: int
    encode: Callable[[int, Value], bytes]
    decode: Callable[[int, bytes], Value]
    mandatory: bool


_Class = (
    type[CEchoRequest]
    | type[CEchoResponse]
    | type[CStoreRequest]
    | type[CStoreResponse]
    | type[CCancelRequest]
    | type[OtherRequest]
    | type[OtherResponse]
)
_CLASSES: dict[int, _Class] = {
    each.COMMAND_FIELD: each for each in (CEchoRequest, CEchoResponse, CStoreRequest, CStoreResponse, CCancelRequest)
}
_CLASSES |= dict.fromkeys(OTHER_NAMES, OtherRequest)
_CLASSES |= {number | RESPONSE_BIT: OtherResponse for number in OTHER_NAMES}


def _fields_of(cls: _Class) -> tuple[_Field, ...]:
    """The fields of a message that lie in its command set, in the order of their elements."""
    found = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            mandatory = type(None) not in get_args(get_args(hint)[0])
            found.append(_Field(name, mark.number, mark.kind.encode, mark.kind.decode, mandatory))
    return tuple(sorted(found, key=lambda one: one.element))


_FIELDS: dict[_Class, tuple[_Field, ...]] = {cls: _fields_of(cls) for cls in _CLASSES.values()}
_FIELD_ELEMENTS: dict[int, bytes] = {number: encode_us(0x0100, number) for number in _CLASSES}
_WITH_DATA, _WITHOUT_DATA = ((0x0800, encode_us(0x0800, code)) for code in (DATA_SET, NO_DATA_SET))
_ELEMENTS: dict[_Class, frozenset[int]] = {
    cls: frozenset(each.element for each in found) | {0x0100, 0x0800} for cls, found in _FIELDS.items()
}


def encode_command(command: Command, *, has_data: bool) -> bytes:
    """The whole command set. Raises `LocalProtocolError` for a value that does not fit its element."""
    number = command_field(command)
    cls = type(command)
    if _CLASSES.get(number) is not cls:
        raise LocalProtocolError(f"command field 0x{number:04X} is no {cls.NAME} [PS3.7 E.1]")
    parts = [(0x0100, _FIELD_ELEMENTS[number]), _WITH_DATA if has_data else _WITHOUT_DATA]
    for name, element, encode, _, mandatory in _FIELDS[cls]:
        value = getattr(command, name)
        if mandatory and (value is None or value == ""):
            raise LocalProtocolError(f"no (0000,{element:04X}) {name.replace('_', ' ')} in {cls.NAME} [PS3.7 9.3]")
        if value is not None:
            parts.append((element, encode(element, value)))
    if command.other:
        parts += _encode_others(command.other, _ELEMENTS[cls])
    parts.sort()
    return with_group_length(b"".join([part for _, part in parts]))


def _encode_others(others: Other, own: frozenset[int]) -> list[tuple[int, bytes]]:
    parts = []
    previous = GROUP_LENGTH
    for element, raw in others:
        if element in own or not previous < element <= 0xFFFF or len(raw) % 2:
            raise LocalProtocolError(
                f"(0000,{element:04X}) of {len(raw)} bytes after (0000,{previous:04X}) cannot be among the other "
                "elements; of even length, in ascending order, not an element of the message itself [PS3.7 6.3.1]"
            )
        parts.append((element, encode_bytes(element, raw)))
        previous = element
    return parts


def decode_command(data: Buffer) -> tuple[Command, bool]:
    """A whole command set -> the message and whether a data set follows. Raises `Malformed`."""
    elements = decode_elements(data)
    number = _take_us(elements, 0x0100, "command field")
    has_data = _take_us(elements, 0x0800, "data set type") != NO_DATA_SET
    cls = _CLASSES.get(number)
    if cls is None:
        raise Malformed(f"command field 0x{number:04X} is no message", "PS3.7 E.1", AbortReason.UNRECOGNIZED_PARAMETER)
    values: dict[str, Value] = {}
    for name, element, _, decode, mandatory in _FIELDS[cls]:
        raw = elements.pop(element, None)
        value = None if raw is None else decode(element, raw)
        if value is not None and not (mandatory and value == ""):
            values[name] = value
        elif mandatory:
            raise Malformed(f"no (0000,{element:04X}) {name.replace('_', ' ')} in {cls.NAME}", "PS3.7 9.3")
    if cls is OtherRequest or cls is OtherResponse:
        values["command_field"] = number
    make: Callable[..., Command] = cls
    if elements:
        return make(**values, other=tuple(elements.items())), has_data
    return make(**values), has_data


def _take_us(elements: dict[int, bytes], element: int, name: str) -> int:
    raw = elements.pop(element, None)
    if raw is None or len(raw) != 2:
        raise Malformed(f"no (0000,{element:04X}) {name} of 2 bytes in the command set", "PS3.7 E.1")
    return raw[0] | raw[1] << 8

"""Bytes -> trees of named fields (`tree`): PDUs, items, PDVs, command sets, data sets, damaged ones too.

Knows: layouts of PS3.8 9.3, annex D and E, PS3.7 D.3.3 and 6.3.1, PS3.5 7. Must not know: what is valid.

Invariants: no bytes raise an error, `encode(read(data)) == data` for all of them, and both take linear time. A length
that is right becomes one that follows its contents; any other keeps its number. Unreadable bytes stay a leaf. A tree
has at most `MOST_PARTS` parts, the rest of the bytes is a leaf, since a part takes a hundred times the memory of its
bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dicos_proto.dimse.types import MESSAGES

from ..tree import Kind, Leaf, Length, Node, Part

__all__ = ["MOST_PARTS", "PDU_NAMES", "pdus_of", "read_command", "read_data_set", "read_pdu", "read_stream"]

PDU_NAMES: Final = {
    1: "A-ASSOCIATE-RQ",
    2: "A-ASSOCIATE-AC",
    3: "A-ASSOCIATE-RJ",
    4: "P-DATA-TF",
    5: "A-RELEASE-RQ",
    6: "A-RELEASE-RP",
    7: "A-ABORT",
}
_ITEMS: Final = {
    0x10: "application context",
    0x20: "presentation context",
    0x21: "presentation context",
    0x50: "user information",
}
_SUB_ITEMS: Final = {
    0x30: "abstract syntax",
    0x40: "transfer syntax",
    0x51: "maximum length",
    0x52: "implementation class",
    0x53: "operations window",
    0x54: "role selection",
    0x55: "implementation version",
    0x56: "extended negotiation",
    0x57: "common extended negotiation",
    0x58: "user identity",
    0x59: "user identity response",
}
_LONG_VR: Final = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV"))
_UIDS: Final = frozenset(((0, 0x0002), (0, 0x0003), (0, 0x1000), (0, 0x1001), (8, 0x0016), (8, 0x0018), (8, 0x1155)))
_SETS: Final = 64 << 10
"""Bytes of a command set or data set that are read into fields; the rest is one leaf."""
_DEPTH: Final = 16
MOST_PARTS: Final = 1 << 16
"""PDUs, items, PDVs and elements of one tree. Stops: a megabyte of empty items that takes a gigabyte as a tree."""


class _Room:
    """The parts that a tree may still get."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_PARTS

    def take(self) -> bool:
        """Takes one; returns False if there is none left."""
        self.left -= 1
        return self.left >= 0


def pdus_of(stream: bytes) -> Iterator[bytes]:
    """Yields the PDUs of a byte stream by their length fields; the last one may be cut, or be no PDU."""
    at = 0
    while at < len(stream):
        end = at + 6 + int.from_bytes(stream[at + 2 : at + 6], "big") if at + 6 <= len(stream) else len(stream)
        yield stream[at:end]
        at = end


def read_stream(stream: bytes) -> Part:
    """Returns the tree of a byte stream: one part for each PDU."""
    room = _Room()
    nodes: list[Node] = []
    at = 0
    for pdu in pdus_of(stream):
        if not room.take():
            nodes.append(Leaf("rest", stream[at:]))
            break
        nodes.append(_pdu(pdu, room))
        at += len(pdu)
    return Part("stream", tuple(nodes))


def read_pdu(pdu: bytes) -> Part:
    """Returns the tree of one PDU, or of any other bytes."""
    return _pdu(pdu, _Room())


def _pdu(pdu: bytes, room: _Room) -> Part:
    name = PDU_NAMES.get(pdu[0], f"PDU {pdu[0]:02X}") if pdu else "PDU"
    if len(pdu) < 6:
        return Part(name, (Leaf("bytes", pdu),))
    body = pdu[6:]
    head: tuple[Node, ...] = (Leaf("type", pdu[:1], Kind.NUMBER), Leaf("reserved", pdu[1:2], Kind.RESERVED))
    length = _length("length", pdu[2:6], len(body))
    return Part(name, (*head, length, *_body(pdu[0], body, room)))


def _length(name: str, field: bytes, counted: int, *, little: bool = False, outer: bool = False) -> Length:
    number = int.from_bytes(field, "little" if little else "big")
    return Length(name, len(field), None if number == counted else number, little, outer)


def _body(kind: int, body: bytes, room: _Room) -> tuple[Node, ...]:
    if kind in (1, 2) and len(body) >= 68:
        return (
            Leaf("protocol version", body[:2], Kind.NUMBER),
            Leaf("reserved", body[2:4], Kind.RESERVED),
            Leaf("called title", body[4:20], Kind.TITLE),
            Leaf("calling title", body[20:36], Kind.TITLE),
            Leaf("reserved", body[36:68], Kind.RESERVED),
            *_items(body[68:], _ITEMS, room),
        )
    if kind == 4:
        return tuple(_pdvs(body, room))
    if kind in (3, 7) and len(body) == 4:
        names = (
            ("reserved", "result", "source", "reason") if kind == 3 else ("reserved", "reserved", "source", "reason")
        )
        return tuple(
            Leaf(name, body[i : i + 1], Kind.RESERVED if name == "reserved" else Kind.NUMBER)
            for i, name in enumerate(names)
        )
    return (Leaf("reserved" if kind in (5, 6) else "bytes", body, Kind.RESERVED),) if body else ()


def _items(body: bytes, names: dict[int, str], room: _Room) -> Iterator[Node]:
    """The items of an A-ASSOCIATE PDU, or the sub-items of one of them, which have no items inside."""
    at = 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at + 2 : at + 4], "big")
        if at + 4 > len(body) or not room.take():
            yield Leaf("trailing bytes", body[at:])
            return
        end = min(end, len(body))
        kind = body[at]
        value = body[at + 4 : end]
        yield Part(
            names.get(kind, f"item {kind:02X}"),
            (
                Leaf("type", body[at : at + 1], Kind.NUMBER),
                Leaf("reserved", body[at + 1 : at + 2], Kind.RESERVED),
                _length("length", body[at + 2 : at + 4], len(value)),
                *(_sub_items(kind, value, room) if names is _ITEMS else _item_value(kind, value)),
            ),
        )
        at = end


def _sub_items(kind: int, value: bytes, room: _Room) -> tuple[Node, ...]:
    if kind in (0x20, 0x21) and len(value) >= 4:
        return (
            Leaf("id", value[:1], Kind.ID),
            Leaf("reserved", value[1:2], Kind.RESERVED),
            Leaf("result", value[2:3], Kind.NUMBER),
            Leaf("reserved", value[3:4], Kind.RESERVED),
            *_items(value[4:], _SUB_ITEMS, room),
        )
    if kind == 0x50:
        return tuple(_items(value, _SUB_ITEMS, room))
    return _item_value(kind, value)


def _item_value(kind: int, value: bytes) -> tuple[Node, ...]:
    if kind in (0x10, 0x30, 0x40, 0x52):
        return (Leaf("UID", value, Kind.UID),)
    if kind == 0x51 and len(value) == 4:
        return (Leaf("number", value, Kind.NUMBER),)
    if kind == 0x53 and len(value) == 4:
        return (Leaf("invoked", value[:2], Kind.NUMBER), Leaf("performed", value[2:], Kind.NUMBER))
    if kind == 0x55:
        return (Leaf("name", value, Kind.TEXT),)
    if kind in (0x54, 0x56, 0x57, 0x59):
        return tuple(_sized(kind, value))
    if kind == 0x58 and len(value) >= 2:
        head = (Leaf("type", value[:1], Kind.NUMBER), Leaf("response requested", value[1:2], Kind.NUMBER))
        return (*head, *_sized(kind, value[2:]))
    return (Leaf("value", value),) if value else ()


_SIZED: Final = {
    0x54: ("SOP class",),
    0x56: ("SOP class",),
    0x57: ("SOP class", "service class", "related"),
    0x58: ("primary", "secondary"),
    0x59: ("response",),
}


def _sized(kind: int, value: bytes) -> Iterator[Node]:
    """The fields with a length of two bytes each, then the rest."""
    for name in _SIZED[kind]:
        if len(value) < 2:
            break
        size = int.from_bytes(value[:2], "big")
        found = value[2 : 2 + size]
        inside = Leaf("value", found, Kind.UID if kind < 0x58 and name != "related" else Kind.BYTES)
        yield Part(name, (_length("length", value[:2], len(found)), inside))
        value = value[2 + size :]
    if value:
        if kind == 0x54 and len(value) == 2:
            yield Leaf("SCU role", value[:1], Kind.NUMBER)
            yield Leaf("SCP role", value[1:], Kind.NUMBER)
        else:
            yield Leaf("information", value)


def _pdvs(body: bytes, room: _Room) -> Iterator[Node]:
    at = 0
    while at < len(body):
        end = min(at + 4 + int.from_bytes(body[at : at + 4], "big"), len(body))
        if end < at + 6 or not room.take():
            yield Leaf("trailing bytes", body[at:])
            return
        data = body[at + 6 : end]
        inside: Node
        if body[at + 5] & 1:
            inside = _command(data, room)
        else:
            inside = _data_set(data, room)
        yield Part(
            "PDV",
            (
                _length("length", body[at : at + 4], end - at - 4),
                Leaf("context id", body[at + 4 : at + 5], Kind.ID),
                Leaf("control header", body[at + 5 : at + 6], Kind.NUMBER),
                inside,
            ),
        )
        at = end


def read_command(data: bytes) -> Node:
    """Returns the tree of a command set, or a leaf where it cannot be one [PS3.7 6.3.1]."""
    return _command(data, _Room())


def _command(data: bytes, room: _Room) -> Node:
    if len(data) < 8 or data[:4] != bytes(4):
        return Leaf("command set", data)
    field = _command_field(data)
    label = MESSAGES.get(field, "command set") if field is not None else "command set"
    return Part(label, tuple(_set(data, room, explicit=False)))


def _command_field(data: bytes) -> int | None:
    at = data.find(b"\x00\x00\x00\x01\x02\x00\x00\x00", 0, 512)
    return int.from_bytes(data[at + 8 : at + 10], "little") if at >= 0 and at + 10 <= len(data) else None


def read_data_set(data: bytes) -> Node:
    """Returns the tree of a data set, little endian, its VR implicit or explicit as its first element looks."""
    return _data_set(data, _Room())


def _data_set(data: bytes, room: _Room) -> Node:
    if len(data) < 8:
        return Leaf("data set", data)
    explicit = data[4:6].isalpha() and data[4:6].isupper()
    return Part("data set", tuple(_set(data, room, explicit=explicit)))


def _set(data: bytes, room: _Room, *, explicit: bool) -> Iterator[Node]:
    rest = data[_SETS:]
    yield from _elements(data[:_SETS], room, explicit=explicit, depth=0, behind=len(rest))
    if rest:
        yield Leaf("rest", rest)


def _elements(data: bytes, room: _Room, *, explicit: bool, depth: int, behind: int = 0) -> Iterator[Node]:
    """`behind`: bytes that follow these in the same part, which a group length counts too."""
    at = 0
    while at < len(data):
        left = len(data) - at
        if left < 8 or not room.take():
            yield Leaf("trailing bytes", data[at:])
            return
        group, element = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 4], "little")
        has_vr = explicit and group != 0xFFFE
        vr = data[at + 4 : at + 6] if has_vr else b""
        head: list[Node] = [Leaf("tag", data[at : at + 4], Kind.NUMBER, little=True)]
        start = at + 8
        if has_vr and vr in _LONG_VR and left >= 12:
            head += [Leaf("VR", vr, Kind.TEXT), Leaf("reserved", data[at + 6 : at + 8], Kind.RESERVED)]
            field, start = data[at + 8 : at + 12], at + 12
        elif has_vr:
            head.append(Leaf("VR", vr, Kind.TEXT))
            field = data[at + 6 : at + 8]
        else:
            field = data[at + 4 : at + 8]
        number = int.from_bytes(field, "little")
        undefined = number == 0xFFFFFFFF
        end = start if undefined else min(start + number, len(data))
        value = data[start:end]
        name = f"({group:04X},{element:04X})"
        if (group, element) == (0, 0) and number == 4 == len(value):
            inside: tuple[Node, ...] = (
                _length("group length", value, len(data) - end + behind, little=True, outer=True),
            )
        elif (group == 0xFFFE or vr == b"SQ") and value and depth < _DEPTH:
            inside = tuple(_elements(value, room, explicit=explicit, depth=depth + 1))
        else:
            kind = Kind.UID if (group, element) in _UIDS or vr == b"UI" else Kind.BYTES
            if group == 0 and len(value) in (2, 4):
                kind = Kind.NUMBER
            inside = (Leaf("value", value, kind, little=kind is Kind.NUMBER),) if value else ()
        yield Part(name, (*head, _length("length", field, end - start, little=True), *inside))
        at = end

"""Command sets -> messages or a verdict: the tables of PS3.7 9.3, 10.3 and E.1 as this model reads them.

Knows: elements, their value representations, which message has which, when a data set follows. Must not know: the
engine, PDVs, operations. It accepts no deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dicos_proto.limits import Limits

from .bodies import Refused, uid_of
from .values import INVALID, UNRECOGNIZED_PARAMETER, Message

__all__ = ["KINDS", "PENDING", "REPRESENTATIONS", "Kind", "data_fits", "read_command"]

PENDING: Final = frozenset((0xFF00, 0xFF01))
REPRESENTATIONS: Final = {
    0x0002: "UI", 0x0003: "UI", 0x0110: "US", 0x0120: "US", 0x0600: "AE", 0x0700: "US", 0x0900: "US", 0x0901: "AT",
    0x0902: "LO", 0x0903: "US", 0x1000: "UI", 0x1001: "UI", 0x1002: "US", 0x1005: "AT", 0x1008: "US", 0x1020: "US",
    0x1021: "US", 0x1022: "US", 0x1023: "US", 0x1030: "AE", 0x1031: "US",
}  # fmt: skip
"""Element of group 0000 -> its value representation [PS3.7 E.1]."""
_LONGEST: Final = {"AE": 16, "LO": 64}
_ANY: Final = Limits()


@dataclass(frozen=True, slots=True)
class Kind:
    """A message: its name, the rule for its data set, the elements that it must and that it may have."""

    name: str
    data: str
    must: frozenset[int]
    may: frozenset[int]


_RSP: Final = "0120 0900"
_STATUS: Final = "0002 0901 0902 0903"
_COUNTS: Final = "1020 1021 1022 1023"
_TABLE: Final = f"""
0001 C-STORE-RQ         always   0002 0110 0700 1000      | 1030 1031
8001 C-STORE-RSP        never    {_RSP}                   | {_STATUS} 1000
0020 C-FIND-RQ          always   0002 0110 0700           |
8020 C-FIND-RSP         pending  {_RSP}                   | {_STATUS}
0010 C-GET-RQ           always   0002 0110 0700           |
8010 C-GET-RSP          optional {_RSP}                   | {_STATUS} {_COUNTS}
0021 C-MOVE-RQ          always   0002 0110 0600 0700      |
8021 C-MOVE-RSP         optional {_RSP}                   | {_STATUS} {_COUNTS}
0030 C-ECHO-RQ          never    0002 0110                |
8030 C-ECHO-RSP         never    {_RSP}                   | {_STATUS}
0FFF C-CANCEL-RQ        never    0120                     |
0100 N-EVENT-REPORT-RQ  optional 0002 0110 1000 1002      |
8100 N-EVENT-REPORT-RSP optional {_RSP}                   | {_STATUS} 1000 1002
0110 N-GET-RQ           never    0003 0110 1001           | 1005
8110 N-GET-RSP          optional {_RSP}                   | {_STATUS} 1000 1005
0120 N-SET-RQ           always   0003 0110 1001           |
8120 N-SET-RSP          optional {_RSP}                   | {_STATUS} 1000 1005
0130 N-ACTION-RQ        optional 0003 0110 1001 1008      |
8130 N-ACTION-RSP       optional {_RSP}                   | {_STATUS} 1000 1008
0140 N-CREATE-RQ        optional 0002 0110                | 1000
8140 N-CREATE-RSP       optional {_RSP}                   | {_STATUS} 1000 1005
0150 N-DELETE-RQ        never    0003 0110 1001           |
8150 N-DELETE-RSP       never    {_RSP}                   | {_STATUS} 1000
"""


def _elements(text: str) -> frozenset[int]:
    return frozenset(int(one, 16) for one in text.split())


def _kinds() -> dict[int, Kind]:
    found: dict[int, Kind] = {}
    for line in _TABLE.strip().splitlines():
        number, name, data, rest = line.split(None, 3)
        must, _, may = rest.partition("|")
        found[int(number, 16)] = Kind(name, data, _elements(must), _elements(may))
    return found


KINDS: Final = _kinds()
"""Command field (0000,0100) -> the message."""


def data_fits(field: int, status: object, has_data: bool) -> bool:
    """Returns True if this message may come with, or without, a data set [PS3.7 9.3, 10.3]."""
    rule = KINDS[field].data
    wanted = {"always": True, "never": False, "pending": status in PENDING}.get(rule, has_data)
    return wanted is has_data


def read_command(context: int, raw: bytes) -> Message:
    """Reads a complete command set. Raises `Refused`."""
    elements = _split(raw)
    field, follows = _us(elements, 0x0100), _us(elements, 0x0800)
    kind = KINDS.get(field)
    if kind is None:
        raise Refused(f"command field {field:04X}H", UNRECOGNIZED_PARAMETER, INVALID)
    values: dict[int, object] = {}
    for element, value in elements.items():
        if element in kind.must or element in kind.may:
            read = _value(REPRESENTATIONS[element], value)
            if read != "" or element in kind.may:
                values[element] = read
        elif element not in (0x0100, 0x0800):
            values[element] = value
    missing = kind.must - values.keys()
    if missing:
        raise Refused(f"{kind.name} without {', '.join(f'{one:04X}' for one in sorted(missing))}")
    has_data = follows != 0x0101
    if not data_fits(field, values.get(0x0900), has_data):
        raise Refused(f"{kind.name} with the wrong data set type {follows:04X}H")
    return Message(context, field, tuple(sorted(values.items())), has_data)


def _split(raw: bytes) -> dict[int, bytes]:
    """Element -> value: implicit VR little endian, ascending, even lengths, a right group length [PS3.7 6.3.1]."""
    if raw[:8] != bytes.fromhex("0000 0000 0400 0000") or int.from_bytes(raw[8:12], "little") != len(raw) - 12:
        raise Refused("group length")
    rest, before = raw[12:], 0
    found: dict[int, bytes] = {}
    while rest:
        group, element = int.from_bytes(rest[:2], "little"), int.from_bytes(rest[2:4], "little")
        length = int.from_bytes(rest[4:8], "little")
        if len(rest) < 8 or group or element <= before or length % 2 or length > len(rest) - 8:
            raise Refused("element header")
        found[element] = rest[8 : 8 + length]
        rest, before = rest[8 + length :], element
    return found


def _us(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:
        raise Refused(f"element {element:04X}H of {len(value)} bytes")
    return int.from_bytes(value, "little")


def _value(vr: str, raw: bytes) -> object:
    if vr == "US":
        if len(raw) != 2:
            raise Refused("US")
        return int.from_bytes(raw, "little")
    if vr == "AT":
        if len(raw) % 4:
            raise Refused("AT")
        words = [int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2)]
        return tuple(group << 16 | element for group, element in zip(words[::2], words[1::2], strict=True))
    if vr == "UI":
        return uid_of(raw.removesuffix(b"\0"), _ANY) if raw else ""
    text = raw.decode("latin-1").strip(" ")
    if len(text) > _LONGEST[vr] or not all(" " <= one < "\x7f" and one != "\\" for one in text):
        raise Refused(vr)
    return text

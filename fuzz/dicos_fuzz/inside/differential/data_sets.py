"""Data sets for comparisons: random valid ones in four transfer syntaxes, damaged ones, and Part 10 files of them.

Knows: how elements are written [PS3.5 7]. Must not know: who reads them. No data of patients: the values are invented.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from random import Random
from typing import Final

from dicos_proto.registry import uids

from ...grammar import read_data_set
from .comparing import Input
from .making import damaged_tree

__all__ = ["SYNTAXES", "data_sets", "deflated", "part10"]

IMPLICIT, EXPLICIT, BIG, DEFLATED = (
    uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE, uids.EXPLICIT_VR_BE, uids.DEFLATED_EXPLICIT_VR_LE,
)  # fmt: skip
_JPEG: Final = uids.JPEG_BASELINE
SYNTAXES: Final = (EXPLICIT, EXPLICIT, IMPLICIT, BIG, DEFLATED, _JPEG)
_LONG: Final = frozenset((b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"UC", b"UR"))
_TEXTS: Final = {
    b"CS": (b"ORIGINAL", b"ISO_IR 100", b""), b"UI": (b"1.2.840.10008.1.1", b"1.2"), b"PN": (b"Box^Red", b"A=B"),
    b"DA": (b"20240101",), b"TM": (b"101010.5",), b"LO": (b"a text", b"two\\texts"), b"SH": (b"x", b""),
    b"IS": (b"12", b"-1\\5"), b"DS": (b"1.5", b"0"), b"ST": (b"a longer text",), b"AE": (b"TITLE",), b"AS": (b"010Y",),
    b"DT": (b"20240101101010",), b"LT": (b"text",), b"UT": (b"text " * 9,), b"UC": (b"a\\b",), b"UR": (b"http://x",),
}  # fmt: skip
_WIDTHS: Final = {b"US": 2, b"SS": 2, b"UL": 4, b"SL": 4, b"FL": 4, b"FD": 8, b"AT": 4, b"OW": 2, b"OB": 1, b"OF": 4,
                  b"UN": 1}  # fmt: skip
_TAGS: Final = (
    (0x00080005, b"CS"), (0x00080008, b"CS"), (0x00080016, b"UI"), (0x00080018, b"UI"), (0x00080020, b"DA"),
    (0x00080030, b"TM"), (0x00080050, b"SH"), (0x00080060, b"CS"), (0x00081030, b"LO"), (0x00081115, b"SQ"),
    (0x00081140, b"SQ"), (0x00090010, b"LO"), (0x00091001, b"UN"), (0x00091002, b"SQ"), (0x00100010, b"PN"),
    (0x00100020, b"LO"), (0x00101010, b"AS"), (0x00181050, b"DS"), (0x0020000D, b"UI"), (0x00200013, b"IS"),
    (0x00280002, b"US"), (0x00280009, b"AT"), (0x00280010, b"US"), (0x00280106, b"US"), (0x00289110, b"SQ"),
    (0x0040A040, b"CS"), (0x0040A730, b"SQ"), (0x0040A160, b"UT"), (0x00720024, b"AT"), (0x30060050, b"DS"),
    (0x7FE00008, b"OF"), (0x7FE00010, b"OW"),
)  # fmt: skip
"""Tags and their value representations in the dictionary, ascending."""


def data_sets(random: Random) -> Iterator[Input]:
    """Yields data sets, two of three damaged; `kind` is the transfer syntax."""
    while True:
        syntax = random.choice(SYNTAXES)
        little = syntax != BIG
        raw = b"".join(_elements(random, syntax, depth=0))
        damaged = random.random() < 0.67
        made = raw
        if damaged:
            made = damaged_tree(read_data_set(raw), random) if little and random.random() < 0.7 else _bytes(raw, random)
            made = made[: 1 << 15]
        if syntax == DEFLATED:
            packed = deflated(made)
            if damaged and random.random() < 0.3:
                packed = _bytes(packed, random)
            yield Input(syntax, packed, damaged)
        else:
            yield Input(syntax, made, damaged and made != raw)


def deflated(data: bytes) -> bytes:
    """Returns a data set as a deflated one has it, with a NUL after it if that makes its length even [PS3.5 A.5]."""
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = engine.compress(data) + engine.flush()
    return packed + b"\0" * (len(packed) % 2)


def _bytes(data: bytes, random: Random) -> bytes:
    """Changed without knowledge of its structure: a flip, a cut, a block twice, other bytes."""
    if not data:
        return random.randbytes(8)
    at = random.randrange(len(data))
    match random.randrange(4):
        case 0:
            return data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + data[at : at + 16] + data[at:]
        case _:
            return data[:at] + random.randbytes(random.randrange(1, 9)) + data[at:]


def _elements(random: Random, syntax: str, *, depth: int) -> Iterator[bytes]:
    count = random.choice((1, 3, 8)) if depth else random.choice((1, 4, 12))
    for tag, vr in sorted(random.sample(_TAGS, min(count, len(_TAGS)))):
        if vr == b"SQ":
            if depth < 4:
                yield _sequence(random, syntax, tag, depth)
        elif tag == 0x7FE00010 and syntax == _JPEG:
            if not depth:
                yield _fragments(random, tag)
        else:
            yield _header(syntax, tag, vr, value := _value(random, vr)) + value


def _value(random: Random, vr: bytes) -> bytes:
    if vr in _TEXTS:
        text = random.choice(_TEXTS[vr])
        return text + (b"\0" if vr == b"UI" else b" ") * (len(text) % 2)
    count = random.choice((0, 1, 1, 2, 8))
    value = random.randbytes(_WIDTHS[vr] * count)
    return value + b"\0" * (len(value) % 2)


def _header(syntax: str, tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    order = "big" if syntax == BIG else "little"
    size = len(value) if length is None else length

    def number(value: int, width: int) -> bytes:
        return value.to_bytes(width, "big" if order == "big" else "little")

    head = number(tag >> 16, 2) + number(tag & 0xFFFF, 2)
    if syntax == IMPLICIT or tag >> 16 == 0xFFFE:
        return head + number(size, 4)
    if vr in _LONG:
        return head + vr + b"\0\0" + number(size, 4)
    return head + vr + number(size, 2)


def _sequence(random: Random, syntax: str, tag: int, depth: int) -> bytes:
    """A sequence of items, each of them with defined or undefined length."""
    items = b""
    for _ in range(random.choice((0, 1, 1, 2))):
        content = b"".join(_elements(random, syntax, depth=depth + 1))
        if random.random() < 0.5:
            items += _header(syntax, 0xFFFEE000, b"", content) + content
        else:
            end = _header(syntax, 0xFFFEE00D, b"", b"")
            items += _header(syntax, 0xFFFEE000, b"", b"", 0xFFFFFFFF) + content + end
    if random.random() < 0.5:
        return _header(syntax, tag, b"SQ", items) + items
    return _header(syntax, tag, b"SQ", b"", 0xFFFFFFFF) + items + _header(syntax, 0xFFFEE0DD, b"", b"")


def _fragments(random: Random, tag: int) -> bytes:
    """Encapsulated pixel data: a table of offsets, then fragments [PS3.5 A.4]."""
    found = _header(EXPLICIT, tag, b"OB", b"", 0xFFFFFFFF) + _header(EXPLICIT, 0xFFFEE000, b"", b"")
    for _ in range(random.choice((1, 2, 3))):
        piece = random.randbytes(2 * random.randrange(1, 20))
        found += _header(EXPLICIT, 0xFFFEE000, b"", piece) + piece
    return found + _header(EXPLICIT, 0xFFFEE0DD, b"", b"")


def part10(syntax: str, data: bytes) -> bytes:
    """Returns a file of a data set: preamble, the least meta information, the data set [PS3.10 7.1]."""
    name = syntax.encode("ascii")
    name += b"\0" * (len(name) % 2)
    inside = _header(EXPLICIT, 0x00020010, b"UI", name) + name
    group = len(inside).to_bytes(4, "little")
    return bytes(128) + b"DICM" + _header(EXPLICIT, 0x00020000, b"UL", group) + group + inside + data

"""Valid data sets as bytes: small ones with every kind of structure, and recorded ones where they are.

Knows: layouts of PS3.5 7, written by hand. Must not know: pydicom, targets.
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["CAPTURES", "captured", "data_sets", "element"]

CAPTURES: Final = Path(__file__).resolve().parents[4] / "shared" / "captures" / "pydicos" / "datasets"
"""Data sets of another toolkit as they were sent, beside a checkout; they are not part of the project."""
_LONG: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_UNDEFINED: Final = 0xFFFFFFFF
_LONGEST: Final = 6000
"""Bytes of a recorded data set that are used: its pixels add nothing."""


def element(tag: int, vr: bytes, value: bytes, *, implicit: bool = False, big: bool = False, size: int = -1) -> bytes:
    """Returns an element in one of the three uncompressed encodings. `size`: its length field, if it is not right."""
    order = ">" if big else "<"
    length = len(value) if size < 0 else size
    group, number = tag >> 16, tag & 0xFFFF
    if implicit:
        return struct.pack(order + "HHL", group, number, length) + value
    if vr in _LONG:
        return struct.pack(order + "HH2sxxL", group, number, vr, length) + value
    return struct.pack(order + "HH2sH", group, number, vr, length) + value


def _item(content: bytes, *, big: bool, defined: bool) -> bytes:
    order = ">" if big else "<"
    if defined:
        return struct.pack(order + "HHL", 0xFFFE, 0xE000, len(content)) + content
    return (
        struct.pack(order + "HHL", 0xFFFE, 0xE000, _UNDEFINED) + content + struct.pack(order + "HHL", 0xFFFE, 0xE00D, 0)
    )


def _end(big: bool) -> bytes:
    return struct.pack(">HHL" if big else "<HHL", 0xFFFE, 0xE0DD, 0)


@cache
def data_sets(*, implicit: bool = False, big: bool = False) -> tuple[bytes, ...]:
    """Returns data sets in this encoding: identification, a query, texts, numbers, sequences of both kinds, private
    elements, UN, fragments, DICOS's attributes."""

    def one(tag: int, vr: bytes, value: bytes, size: int = -1) -> bytes:
        return element(tag, vr, value, implicit=implicit, big=big, size=size)

    def number(value: int, width: int = 2) -> bytes:
        return value.to_bytes(width, "big" if big else "little")

    names = one(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0") + one(0x00080018, b"UI", b"1.2.3.4\0")
    latin = one(0x00080005, b"CS", b"ISO_IR 100")
    inner = one(0x00080100, b"SH", b"T-D1") + one(0x00080104, b"LO", b"Chest ")
    sequence = one(0x00082218, b"SQ", _item(inner, big=big, defined=True) * 2)
    open_one = one(0x00082218, b"SQ", _item(inner, big=big, defined=False) + _end(big), _UNDEFINED)
    deep = inner
    for _ in range(5):
        deep = one(0x00400100, b"SQ", _item(deep, big=big, defined=False) + _end(big), _UNDEFINED)
    private = one(0x00110010, b"LO", b"ACME") + one(0x00111001, b"US", number(7)) + one(0x00111002, b"UN", b"abcd")
    numbers = (
        one(0x00280002, b"US", number(1))
        + one(0x00280103, b"US", number(1))
        + one(0x00280106, b"SS", number(0xFFFE))
        + one(0x00280030, b"DS", b"0.5\\0.25")
        + one(0x00189087, b"FD", struct.pack(">d" if big else "<d", 1.5))
    )
    table = _item(b"", big=big, defined=True) + _item(b"\1\2\3\4", big=big, defined=True) + _end(big)
    dicos = (
        one(0x40101001, b"SQ", _item(one(0x40101005, b"FL", bytes(4)), big=big, defined=True))
        + one(0x40101075, b"FD", bytes(8))
        + one(0x43000902, b"FL", bytes(8))
    )
    made = [
        names,
        one(0x00080052, b"CS", b"STUDY ") + one(0x00100010, b"PN", b"A*") + one(0x0020000D, b"UI", b""),
        latin + names + one(0x00100010, b"PN", b"M\xfcller^A=\xc4=b") + one(0x00081030, b"LO", b"a\\b\\c "),
        one(0x00080005, b"CS", b"\\ISO 2022 IR 87") + one(0x00100010, b"PN", b"Yamada^T=\x1b$B;3ED\x1b(B"),
        names + sequence + one(0x00100020, b"LO", b"17"),
        names + open_one + deep,
        names + numbers + one(0x7FE00010, b"OW", bytes(64)),
        names + private + one(0x00110011, b"LO", b"X ") + one(0x00111101, b"LO", b""),
        dicos,
        one(0x00080012, b"DA", b"20240229") + one(0x00080013, b"TM", b"235959") + one(0x0008002A, b"DT", b"2024+0100 "),
        names + one(0x00090010, b"UN", _item(inner, big=big, defined=False) + _end(big), _UNDEFINED),
        one(0x00041220, b"SQ", b"") + one(0x00080008, b"CS", b"ORIGINAL\\PRIMARY") + one(0x00081155, b"UI", b"1.2\0"),
        names + bytes(16),
    ]
    if not implicit:
        made.append(names + one(0x7FE00010, b"OB", table, _UNDEFINED))
    return tuple(made)


@cache
def captured(name: str) -> tuple[bytes, ...]:
    """Returns the beginnings of recorded data sets whose file has `name` in its name; none if they are not here."""
    if not CAPTURES.is_dir():
        return ()
    found = []
    for path in sorted(CAPTURES.glob(f"*{name}*.ds")):
        with path.open("rb") as file:
            found.append(file.read(_LONGEST))
    return tuple(found)

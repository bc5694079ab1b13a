"""Data sets that cost more than their size suggests: handmade bytes, each of about the requested size.

All are explicit VR little endian, some deflated, except for long text, which only implicit VR allows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dicos_proto.registry import uids
from tests.upper_layer import layouts

CT: Final = uids.CT_IMAGE_STORAGE
INSTANCE: Final = "1.2.3.4.5"
_LONG: Final = frozenset((b"OB", b"OW", b"SQ", b"UC", b"UN", b"UT"))
_ITEM: Final = bytes.fromhex("feff00e0")
_ITEM_END: Final = bytes.fromhex("feff0de000000000")
_SEQUENCE_END: Final = bytes.fromhex("feffdde000000000")
_UNDEFINED: Final = bytes.fromhex("ffffffff")


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    if vr in _LONG:
        return struct.pack("<HH2sxxL", group, number, vr, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def _undefined(group: int, number: int, vr: bytes = b"SQ") -> bytes:
    return struct.pack("<HH2sxx", group, number, vr) + _UNDEFINED


IDENTIFICATION: Final = element(8, 0x16, b"UI", CT.encode() + b"\0" * (len(CT) % 2)) + element(
    8, 0x18, b"UI", INSTANCE.encode() + b"\0" * (len(INSTANCE) % 2)
)
"""Elements that match the data set to its C-STORE request."""


_IMPLICIT_IDENTIFICATION: Final = layouts.element(0x16, CT.encode() + b"\0" * (len(CT) % 2), 8) + layouts.element(
    0x18, INSTANCE.encode() + b"\0" * (len(INSTANCE) % 2), 8
)


def pixels(size: int) -> bytes:
    return IDENTIFICATION + element(0x7FE0, 0x10, b"OW", bytes(size & ~1))


def elements(size: int) -> bytes:
    """Elements without a value: eight bytes each, in order of tags."""
    made = (struct.pack("<HH2sH", 0x0011 + 2 * (n >> 15), 0x1000 + (n & 0x7FFF), b"LO", 0) for n in range(size // 8))
    return IDENTIFICATION + b"".join(made)


def short_values(size: int) -> bytes:
    """Elements of two bytes of text."""
    made = (
        struct.pack("<HH2sH2s", 0x0011 + 2 * (n >> 15), 0x1000 + (n & 0x7FFF), b"LO", 2, b"ab")
        for n in range(size // 10)
    )
    return IDENTIFICATION + b"".join(made)


def items(size: int) -> bytes:
    """One sequence of empty items."""
    return IDENTIFICATION + _undefined(0x40, 0x100) + (_ITEM + bytes(4)) * (size // 8) + _SEQUENCE_END


def sequences(size: int) -> bytes:
    """Empty sequences, one after the other."""
    made = (struct.pack("<HH2sxxL", 0x0011 + 2 * (n >> 15), 0x1000 + (n & 0x7FFF), b"SQ", 0) for n in range(size // 12))
    return IDENTIFICATION + b"".join(made)


def items_with_one_element(size: int) -> bytes:
    """One sequence of items that hold an element each."""
    inside = element(8, 0x100, b"SH", b"ab")
    item = _ITEM + struct.pack("<L", len(inside)) + inside
    return IDENTIFICATION + _undefined(0x40, 0x100) + item * (size // len(item)) + _SEQUENCE_END


def nested(size: int) -> bytes:
    """Nested sequences of undefined length, as deep as the size allows."""
    opened = _undefined(0x40, 0x100) + _ITEM + _UNDEFINED
    closed = _ITEM_END + _SEQUENCE_END
    depth = size // (len(opened) + len(closed))
    return IDENTIFICATION + opened * depth + closed * depth


def nested_many(size: int) -> bytes:
    """Sixty nested sequences, repeated."""
    opened = _undefined(0x40, 0x100) + _ITEM + _UNDEFINED
    one = opened * 60 + (_ITEM_END + _SEQUENCE_END) * 60
    inside = one[12:-8]  # its items, in one sequence
    return IDENTIFICATION + _undefined(0x40, 0x100) + inside * (size // len(inside)) + _SEQUENCE_END


def values(size: int) -> bytes:
    """One element of many values: a backslash after each."""
    return IDENTIFICATION + element(0x28, 0x0009, b"UC", b"1\\" * (size // 2))


def numbers(size: int) -> bytes:
    """Elements of the maximum length, each of 32,000 numbers as text."""
    one = b"1\\" * min(32_000, size // 2)
    made = (element(0x3004, 0x1000 + n, b"IS", one) for n in range(max(1, size // len(one))))
    return IDENTIFICATION + b"".join(made)


def decimals(size: int) -> bytes:
    """One element of as many numbers as text as the size allows, each an object when read."""
    return _IMPLICIT_IDENTIFICATION + layouts.element(0x0030, b"1\\" * (size // 2), 0x28)


def names(size: int) -> bytes:
    """One element of as many empty names as the size allows."""
    return _IMPLICIT_IDENTIFICATION + layouts.element(0x1048, b"\\" * (size & ~1), 8)


def unknown(size: int) -> bytes:
    """Elements of unknown VR and undefined length, with an empty item each."""
    one = b"UN\0\0" + _UNDEFINED + _ITEM + bytes(4) + _SEQUENCE_END
    made = (struct.pack("<HH", 0x0011 + 2 * (n >> 15), 0x1000 + (n & 0x7FFF)) + one for n in range(size // 28))
    return IDENTIFICATION + b"".join(made)


def fragments(size: int) -> bytes:
    """Encapsulated pixel data of empty fragments."""
    return IDENTIFICATION + _undefined(0x7FE0, 0x10, b"OB") + (_ITEM + bytes(4)) * (size // 8) + _SEQUENCE_END


def long_element(size: int) -> bytes:
    """The header of an element of 4 GiB, and its first bytes."""
    return IDENTIFICATION + struct.pack("<HH2sxxL", 0x7FE0, 0x10, b"OB", 0xFFFFFFFE) + bytes(size)


def deflated(size: int) -> bytes:
    """One element of zeros, inflated to a thousand times its size."""
    inside = size * 1000 & ~1
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    made = [packer.compress(IDENTIFICATION + struct.pack("<HH2sxxL", 0x7FE0, 0x10, b"OB", inside))]
    block = bytes(1 << 20)
    for _ in range(inside >> 20):
        made.append(packer.compress(block))
    made += [packer.compress(bytes(inside & 0xFFFFF)), packer.flush()]
    return _even(b"".join(made))


def deflated_elements(size: int) -> bytes:
    """Elements without a value, inflated to about five times their size, each an object when decoded."""
    return _deflate(elements(size * 5))


def deflated_items(size: int) -> bytes:
    """Empty items, inflated to a thousand times their size."""
    return _deflate(items(size * 800))


def deflated_short(size: int) -> bytes:
    """A megabyte of empty items in 1.5 kB, for any requested size; less is not bounded by its bytes."""
    return _deflate(items((1 << 20) - 1024))


def _deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return _even(packer.compress(content) + packer.flush())


def _even(content: bytes) -> bytes:
    return content + b"\0" * (len(content) % 2)


@dataclass(frozen=True)
class Content:
    """A kind of data set. `text`: what it is, for people. `share`: how much of the usual size it is made in. `made_of`:
    what it has many of, where it has: what a decoder makes objects of."""

    name: str
    text: str
    make: Callable[[int], bytes]
    syntax: str = uids.EXPLICIT_VR_LE
    share: float = 1.0
    made_of: str = ""


DEFLATED: Final = uids.DEFLATED_EXPLICIT_VR_LE
IMPLICIT: Final = uids.IMPLICIT_VR_LE
CONTENTS: Final = (
    Content("pixels", "one long element", pixels),
    Content("elements", "elements without a value", elements, made_of="elements"),
    Content("short values", "elements of two bytes", short_values, made_of="elements"),
    Content("items", "a sequence of empty items", items, made_of="items"),
    Content("items with an element", "a sequence of items of one element", items_with_one_element, made_of="items"),
    Content("sequences", "empty sequences", sequences, made_of="items"),
    Content("nested", "sequences in each other", nested, made_of="items"),
    Content("nested often", "sixty sequences in each other, again and again", nested_many, made_of="items"),
    Content("values", "one element of many values", values, made_of="values"),
    Content("numbers", "elements of many numbers", numbers, made_of="values"),
    Content("decimals", "one element of many numbers", decimals, IMPLICIT, made_of="values"),
    Content("names", "one element of many empty names", names, IMPLICIT, made_of="values"),
    Content("unknown", "elements of unknown VR with an item each", unknown, made_of="items"),
    Content("fragments", "pixel data of empty fragments", fragments),
    Content("long element", "an element of 4 GiB that does not end", long_element),
    Content("deflated", "deflated, a thousand times as long inside", deflated, DEFLATED, 1 / 8),
    Content("deflated elements", "deflated elements without a value", deflated_elements, DEFLATED, 1 / 2, "elements"),
    Content("deflated items", "deflated empty items", deflated_items, DEFLATED, 1 / 256, "items"),
    Content("deflated short", "a megabyte of empty items in 1.5 kB", deflated_short, DEFLATED, 1 / 256, "items"),
)

"""Reads one value within its bounds, and encodes the parts of items.

Knows: lengths, counts, and when a UID is valid. Must not know: the meaning of items, what a PDU is for.

Every nested length is bounded by the rest of its parent; a decoder reads exactly all of its value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeVar

from ..errors import LocalProtocolError, Malformed
from ..registry import uids
from ..tolerance import CLAUSES, LONGEST_UID, Judge

T = TypeVar("T")
ITEM_HEADER = struct.Struct(">BxH")
ITEM_LENGTH_MAX = 0xFFFF


# -- writing -----------------------------------------------------------------------------------------------------


def encode_byte(value: int, name: str) -> int:
    """Returns `value` unchanged, for `bytes`, if it fits in one byte. Raises `LocalProtocolError`."""
    if not 0 <= value <= 0xFF:
        raise LocalProtocolError(f"{name} {value}; 0 to 255")
    return value


def encode_short(value: int, name: str) -> bytes:
    """Two bytes, big endian. Raises `LocalProtocolError`."""
    if not 0 <= value <= 0xFFFF:
        raise LocalProtocolError(f"{name} {value}; 0 to 65535")
    return value.to_bytes(2, "big")


def encode_sized(value: bytes, name: str) -> bytes:
    """`value` after its length in two bytes. Raises `LocalProtocolError`."""
    return encode_short(len(value), f"length of {name}") + value


def encode_item(kind: int, value: bytes, name: str) -> bytes:
    """A whole item or sub-item [PS3.8 9.3.1]. Raises `LocalProtocolError`."""
    if len(value) > ITEM_LENGTH_MAX:
        raise LocalProtocolError(f"{name} of {len(value)} bytes; at most {ITEM_LENGTH_MAX} [PS3.8 9.3.1]")
    return ITEM_HEADER.pack(kind, len(value)) + value


def encode_uid(uid: str, name: str) -> bytes:
    """A UID as an item has it, without padding [PS3.8 annex F]. Raises `LocalProtocolError`."""
    if not (uids.is_valid(uid) and uids.has_valid_root(uid)):
        raise LocalProtocolError(f"{name} {uid!r} is not a UID [PS3.5 9.1]")
    return uid.encode("ascii")


# -- reading -----------------------------------------------------------------------------------------------------


class Cursor:
    """Reads within one value, step by step. Each read is bounded by the rest of it, and raises `Malformed` beyond."""

    __slots__ = ("at", "clause", "view", "what")

    def __init__(self, view: memoryview, what: str, clause: str) -> None:
        """`what`, `clause`: for the text of a fault."""
        self.view = view
        self.at = 0
        self.what = what
        self.clause = clause

    @property
    def left(self) -> int:
        """Number of bytes that are not read yet."""
        return len(self.view) - self.at

    def take(self, count: int) -> memoryview:
        """The next `count` bytes."""
        if count > self.left:
            raise Malformed(f"{self.what}: {count} bytes wanted, {self.left} left", self.clause)
        self.at += count
        return self.view[self.at - count : self.at]

    def number(self, size: int) -> int:
        """A big endian number of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> memoryview:
        """A value after its length in two bytes."""
        return self.take(self.number(2))

    def items(self) -> Iterator[tuple[int, memoryview]]:
        """Type and value of each item up to the end."""
        while self.left:
            kind, length = self.item_header()
            yield kind, self.take(length)

    def item_header(self) -> tuple[int, int]:
        """Type and length of an item, whose value is next."""
        kind, length = ITEM_HEADER.unpack(self.take(ITEM_HEADER.size))
        return kind, length

    def end(self) -> None:
        """Raises `Malformed` if something is left."""
        if self.left:
            raise Malformed(f"{self.what}: {self.left} bytes after its end", self.clause)


class NoUid(Malformed):
    """A value that should be a UID is not a UID, or has a fault that is not accepted."""


def decode_uid(value: memoryview, what: str, judge: Judge) -> str:
    """A UID as an item has it, without padding [PS3.8 annex F]. Raises `NoUid`."""
    allowed = min(judge.limits.uid, uids.MAX_LENGTH)
    uid, broken = uids.read(bytes(value[: LONGEST_UID + 1]))
    if len(uid) > allowed:
        over = f"{what} of {len(uid)} characters; {allowed}"
        if len(uid) > LONGEST_UID or not judge.tolerates("uid_too_long", over):
            raise NoUid(f"{what} too long", "PS3.5 9.1", limit="uid", seen=len(value), allowed=allowed)
    if len(value) > LONGEST_UID or broken is None:
        raise NoUid(f"{what} {uid!a} is not a UID", "PS3.5 9.1")
    for name in broken:
        detail = f"{what} {uid!r} {uids.BROKEN[name]}"
        if not judge.tolerates(name, detail):
            raise NoUid(detail, CLAUSES[name])
    return uids.shared(uid)


def check_count(number: int, allowed: int, limit: str, what: str) -> None:
    """Raises `Malformed` if there are more than `allowed`; `limit` is the name of that field of `Limits`."""
    if number > allowed:
        raise Malformed(f"too many {what}", "PS3.8 9.3.2", limit=limit, seen=number, allowed=allowed)


def check_once(present: object, what: str) -> None:
    """Raises `Malformed` if the item was already present."""
    if present is not None:
        raise Malformed(f"{what} twice", "PS3.8 9.3.2")


def needed(value: T | None, what: str, clause: str) -> T:
    """`value`. Raises `Malformed` if it is missing."""
    if value is None:
        raise Malformed(f"no {what}", clause)
    return value

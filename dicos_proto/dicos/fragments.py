"""The frames of encapsulated pixel data: fragments joined as they arrive [PS3.5 A.4].

| beginning of a frame | where |
|---|---|
| the offset of a fragment is in the basic offset table | the table is not empty |
| each fragment | RLE, or there is an extended offset table |
| a fragment that begins with SOI, the first marker of JPEG | JPEG without a table |

Knows: offsets, lengths, the first marker of JPEG. Must not know: codecs, data sets. Invariants: memory is what has
arrived of one frame and one fragment, at most the limit of each; as many frames come out as there are to be, or an
error.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Final

from ..wire import Buffer
from .codecs import CodecError

__all__ = ["Frames"]

_SOI: Final = b"\xff\xd8"


class Frames:
    """Joins fragments to frames: `table` once, then `begin`, `take` and `end` for each fragment, then `finish`.

    `count`: Number of Frames. `most`: the largest number of bytes of a frame. `single`: each fragment is a frame.

    >>> frames = Frames(2, most=100, single=True)
    >>> frames.begin(4), frames.take(b"ab"), frames.take(b"cd"), frames.end()
    (None, None, None, None)
    >>> frames.begin(2)
    b'abcd'
    """

    __slots__ = ("_at", "_begun", "_count", "_entry", "_frame", "_most", "_number", "_single", "_table")

    def __init__(self, count: int, *, most: int, single: bool) -> None:
        self._count, self._most, self._single = count, most, single
        self._table = b""
        """The basic offset table: as bytes, because numbers would take twenty times the memory."""
        self._entry = 0
        """The first entry of the table that is not before `_at`."""
        self._at = 0
        """Where the next fragment begins, from the first one."""
        self._begun = 0
        """Where the present fragment begins in the frame so far."""
        self._frame = bytearray()
        self._number = 0
        """Frames that are complete."""

    def check_table(self, length: int) -> None:
        """Raises `CodecError` if the basic offset table cannot have this length."""
        if length not in (0, 4 * self._count):
            raise CodecError(f"an offset table of {length} bytes for {self._count} frames [PS3.5 A.4]")

    def table(self, data: Buffer) -> None:
        """Takes the basic offset table, which may be empty. Raises `CodecError` if it is none."""
        self.check_table(len(data))
        if not data:
            return
        table = bytes(data)
        if self._offset_in(table, 0) or any(one >= two for one, two in pairwise(struct.iter_unpack("<L", table))):
            raise CodecError("an offset table whose frames do not follow each other [PS3.5 A.4]")
        self._table = table

    def begin(self, length: int) -> bytes | None:
        """A fragment of `length` bytes begins. Returns the frame that ends before it, if that is known now. Raises
        `CodecError` if the fragment is too long."""
        if length > self._most:
            raise CodecError(f"a fragment of {length} bytes; {self._most} are allowed for a frame of this size")
        ends = self._at > 0 and (self._is_named() if self._table else self._single)
        frame = self._cut(len(self._frame)) if ends else None
        self._begun = len(self._frame)
        self._at += 8 + length
        return frame

    def take(self, piece: Buffer) -> None:
        """Takes the next bytes of the fragment."""
        self._frame += piece

    def end(self) -> bytes | None:
        """The fragment is complete. Returns the frame that ends before it, if only that shows it."""
        begun, frame = self._begun, None
        if begun and not (self._table or self._single) and self._frame.startswith(_SOI, begun):
            frame = self._cut(begun)
        if len(self._frame) > self._most:
            raise CodecError(f"a compressed frame of {len(self._frame)} bytes; {self._most} are allowed")
        return frame

    def finish(self) -> bytes:
        """All fragments are there. Returns the last frame. Raises `CodecError` if the number of frames is another."""
        if self._number + 1 != self._count or not self._at:
            found = self._number + (self._at > 0)
            raise CodecError(f"{found} frames in the fragments; (0028,0008) says {self._count} [PS3.5 A.4]")
        return self._cut(len(self._frame))

    def _is_named(self) -> bool:
        """Returns True if the table says that a frame begins here."""
        while self._entry < self._count and self._offset_in(self._table, self._entry) < self._at:
            self._entry += 1
        return self._entry < self._count and self._offset_in(self._table, self._entry) == self._at

    @staticmethod
    def _offset_in(table: bytes, entry: int) -> int:
        return int.from_bytes(table[4 * entry : 4 * entry + 4], "little")

    def _cut(self, size: int) -> bytes:
        """Takes the first `size` bytes off as a frame."""
        if self._number == self._count:
            raise CodecError(f"more frames in the fragments than {self._count}, which (0028,0008) says [PS3.5 A.4]")
        frame = bytes(self._frame[:size])
        del self._frame[:size]
        self._number += 1
        return frame

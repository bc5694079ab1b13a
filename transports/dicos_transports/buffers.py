"""Memory that is filled again and again: what is received, read from a file, encrypted.

Invariant: a buffer is used again only when nobody holds a view of it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from dicos_proto.wire import Buffer

__all__ = ["RECEIVE_SIZE", "SHARED", "Buffers", "Gathered"]

RECEIVE_SIZE: Final = 512 * 1024
"""Bytes asked for in one receive."""
SHARED: Final = 16
"""Buffers in use that are remembered for all associations."""

LARGE: Final = 128 * 1024
"""Bytes of pieces that are worth the whole receive buffer that they keep: a quarter of one."""


class Buffers:
    """Buffers of one size that are used again: whoever needs one takes a free one, so that who is idle holds none.

    A new one each time would cost more than what is done with it: the system clears its pages, and takes them back. All
    threads share them: with some each, a thousand associations that wait for their peers would hold them all.
    """

    def __init__(self, size: int, kept: int) -> None:
        """`size`: bytes of each. `kept`: how many that are in use are remembered, besides the newest."""
        self._size = size
        self._most = kept
        self._kept: list[bytearray] = []
        self._lock = threading.Lock()

    def free(self) -> memoryview:
        """A view of a whole buffer of which nobody holds another one; it is in use while any view of it exists."""
        kept = self._kept
        with self._lock:
            for index, buffer in enumerate(kept):
                try:
                    buffer.append(0)  # refused while a view of it exists
                except BufferError:
                    continue
                buffer.pop()
                if index:
                    kept[0], kept[index] = buffer, kept[0]
                return memoryview(buffer)
            # Kept pieces keep their buffer; of those that may come free again only a few are remembered.
            buffer = bytearray(self._size)
            kept.insert(0, buffer)
            del kept[self._most + 1 :]
            return memoryview(buffer)


class Gathered:
    """Pieces of a data set until there are enough of them, so that what they keep in memory is little more than their
    bytes: few large ones as they are, views of receive buffers, many small ones copied together."""

    __slots__ = ("_joined", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[Buffer] = []
        self.size = 0
        """Their bytes."""
        self._joined: bytearray | None = None  # the last of them, if it is our own

    def add(self, pieces: Sequence[Buffer]) -> None:
        """What has come together."""
        size = sum(map(len, pieces))
        self.size += size
        if size >= LARGE:
            self.pieces += pieces
            self._joined = None
            return
        if self._joined is None:
            self._joined = bytearray()
            self.pieces.append(self._joined)
        for piece in pieces:
            self._joined += piece

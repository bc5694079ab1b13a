"""Reusable buffers for data that is received, read from a file or encrypted.

Invariant: a buffer is reused only when no view of it exists.
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
"""Bytes of pieces that may keep a whole receive buffer in use: a quarter of its size."""


class Buffers:
    """A pool of buffers of one size. A caller takes a free one when it needs it, so idle callers hold none.

    Allocating a new buffer each time would cost more than the work on it, because the system clears its pages and takes
    them back. All threads share the pool: with buffers of their own, a thousand idle associations would hold them all.
    """

    def __init__(self, size: int, kept: int) -> None:
        """`size`: bytes of each buffer. `kept`: number of buffers in use that are remembered, besides the newest."""
        self._size = size
        self._most = kept
        self._kept: list[bytearray] = []
        self._lock = threading.Lock()

    def free(self) -> memoryview:
        """Return a view of a free buffer. The buffer is in use as long as any view of it exists."""
        kept = self._kept
        with self._lock:
            for index, buffer in enumerate(kept):
                try:
                    buffer.append(0)  # raises while a view of it exists
                except BufferError:
                    continue
                buffer.pop()
                if index:
                    kept[0], kept[index] = buffer, kept[0]
                return memoryview(buffer)
            # A piece that is kept keeps its buffer in use; only a few such buffers are remembered for reuse.
            buffer = bytearray(self._size)
            kept.insert(0, buffer)
            del kept[self._most + 1 :]
            return memoryview(buffer)


class Gathered:
    """Gathers pieces of a data set, so that they occupy little more memory than their bytes.

    Large pieces are kept as they are, as views of receive buffers; small ones are copied together."""

    __slots__ = ("_joined", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[Buffer] = []
        self.size = 0
        """Number of bytes of all pieces."""
        self._joined: bytearray | None = None  # the last piece, if it is a copy made here

    def add(self, pieces: Sequence[Buffer]) -> None:
        """Add pieces that arrived together."""
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

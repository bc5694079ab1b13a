"""Bytes of one direction that wait to be worked on, each chunk with the time at which it came.

Knows: chunks. Must not know: faults. Invariants: chunks are kept by reference, small ones are copied together, so that
memory is in proportion to bytes; `size` counts them.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from dicos_proto.limits import OBJECT_COST
from dicos_proto.wire import Buffer

__all__ = ["Inbox"]

SMALL: Final = 512
"""Chunks below this many bytes are copied together where they wait."""
CROWD: Final = 256
"""Chunks that may wait before those with different times are copied together too."""


class _Chunk:
    """`came`: the time, None until it is known. `leaves`: the time before which it must not go, if it is delayed."""

    __slots__ = ("came", "data", "leaves")

    def __init__(self, data: memoryview | bytearray) -> None:
        self.data = data
        self.came: float | None = None
        self.leaves: float | None = None


class Inbox:
    """A queue of bytes with an end."""

    def __init__(self) -> None:
        self._chunks: deque[_Chunk] = deque()
        self._end: _Chunk | None = None
        self.size = 0
        """Bytes that wait."""
        self.ended = False
        """True if nothing follows the bytes that wait."""

    @property
    def cost(self) -> int:
        """Bytes that wait, and what their objects cost."""
        return self.size + OBJECT_COST * len(self._chunks)

    def put(self, data: Buffer) -> None:
        """Adds bytes."""
        self.size += len(data)
        last = self._chunks[-1] if self._chunks else None
        if len(data) >= SMALL:
            self._chunks.append(_Chunk(memoryview(data)))
        elif last is None or isinstance(last.data, memoryview) or not self._joins(last):
            self._chunks.append(_Chunk(bytearray(data)))
        else:
            last.data += data
            last.came = last.leaves = None

    def _joins(self, last: _Chunk) -> bool:
        return last.came is None or (len(self._chunks) > CROWD and last.leaves is None)

    def put_back(self, data: Buffer) -> None:
        """Puts bytes before all others; they have come already."""
        if len(data):
            chunk = _Chunk(memoryview(data))
            chunk.came = chunk.leaves = -float("inf")
            self._chunks.appendleft(chunk)
            self.size += len(data)

    def end(self) -> None:
        """Nothing follows."""
        if self._end is None:
            self._end = _Chunk(bytearray())
            self.ended = True

    def clear(self) -> None:
        """Drops all bytes."""
        self._chunks.clear()
        self.size = 0

    def first(self) -> _Chunk | None:
        """The chunk whose bytes are next, or the end; None if nothing is there."""
        return self._chunks[0] if self._chunks else self._end

    def stamp(self, now: float) -> None:
        """Those of unknown time came now."""
        for chunk in reversed(self._chunks):
            if chunk.came is not None:
                break
            chunk.came = now
        if self._end is not None and self._end.came is None:
            self._end.came = now

    def ready(self) -> int:
        """The number of bytes that the first chunk has."""
        return len(self._chunks[0].data) if self._chunks else 0

    def peek(self, size: int) -> bytes:
        """Returns the first bytes, fewer if fewer wait."""
        found = b""
        for chunk in self._chunks:
            found += bytes(chunk.data[: size - len(found)])
            if len(found) == size:
                break
        return found

    def take(self, most: int) -> memoryview:
        """Takes bytes of the first chunk."""
        chunk = self._chunks[0]
        data = chunk.data
        if isinstance(data, bytearray):
            data = chunk.data = memoryview(bytes(data))
        if most >= len(data):
            self._chunks.popleft()
        else:
            chunk.data = data[most:]
            data = data[:most]
        self.size -= len(data)
        return data

    def take_whole(self, size: int) -> bytes:
        """Takes exactly this many bytes, which must be there, joined."""
        pieces: list[memoryview] = []
        while size:
            pieces.append(self.take(size))
            size -= len(pieces[-1])
        return b"".join(pieces)

    def take_all(self) -> list[bytes | memoryview]:
        """Takes everything."""
        found: list[bytes | memoryview] = []
        while self._chunks:
            found.append(self.take(self.size))
        return found

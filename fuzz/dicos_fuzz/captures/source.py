"""The bytes of a capture file: taken in order, as views of large chunks, with the offset for error texts.

Knows: files and pipes. Must not know: formats.

Invariant: memory is one chunk and the longest piece taken so far. A view keeps its chunk alive: copy what is kept.
"""

from __future__ import annotations

from typing import Final, Protocol

from dicos_proto.wire import Buffer

__all__ = ["MOST_BLOCK", "CaptureError", "Readable", "Source"]

CHUNK: Final = 1 << 20
MOST_BLOCK: Final = 16 << 20
"""Most bytes of one packet or block that are read at once. Stops: a length field of 4 GiB."""


class Readable(Protocol):
    """An open binary file: `sys.stdin.buffer`, or what `open(path, "rb")` returns."""

    def read1(self, size: int, /) -> bytes:
        """Returns up to `size` bytes, as soon as there are some; none at the end."""


class CaptureError(ValueError):
    """A capture file that cannot be read, or not beyond `offset`. The text names the file, the place and the cause."""

    def __init__(self, name: str, offset: int, where: str, cause: str) -> None:
        super().__init__(f"{name}: {where}: {cause}" if where else f"{name}: {cause}")
        self.name = name
        self.offset = offset


class Source:
    """Takes bytes from a file. `name`: of the file, for error texts."""

    __slots__ = ("_buffer", "_end", "_file", "_pos", "_view", "name", "offset")

    def __init__(self, file: Readable, name: str) -> None:
        self._file = file
        self.name = name
        self.offset = 0
        """The offset in the file of the next byte."""
        self._buffer = b""
        self._view = memoryview(b"")
        self._pos = 0
        self._end = 0

    def fault(self, where: str, cause: str, offset: int | None = None) -> CaptureError:
        """Returns an error about the block, packet or header `where`, which begins at `offset` (default: here)."""
        at = self.offset if offset is None else offset
        return CaptureError(self.name, at, f"{where} at byte {at:,}", cause)

    def has(self, count: int) -> int:
        """Returns how many of the next `count` bytes there are: `count`, or less at the end of the file.

        Raises `CaptureError` if the file cannot be read.
        """
        if self._end - self._pos < count:
            self._fill(count)
        return min(count, self._end - self._pos)

    def peek(self, most: int) -> bytes:
        """Returns the next `most` bytes, or less at the end of the file, and does not take them."""
        found = self.has(most)
        return bytes(self._view[self._pos : self._pos + found])

    def take(self, count: int) -> memoryview:
        """Returns the next `count` bytes, of which `has` has confirmed that they are there."""
        pos = self._pos
        self._pos = stop = pos + count
        self.offset += count
        return self._view[pos:stop]

    def skip(self, count: int) -> bool:
        """Skips `count` bytes. Returns False if the file ends before that."""
        while count:
            step = min(count, CHUNK)
            found = self.has(step)
            self.take(found)
            if found < step:
                return False
            count -= step
        return True

    def _fill(self, count: int) -> None:
        parts: list[Buffer] = [self._view[self._pos : self._end]]
        size = self._end - self._pos
        while size < count:
            try:
                part = self._file.read1(CHUNK)
            except OSError as error:
                raise CaptureError(self.name, self.offset, "", error.strerror or str(error)) from None
            if not part:
                break
            parts.append(part)
            size += len(part)
        self._buffer = b"".join(parts)
        self._view = memoryview(self._buffer)
        self._pos, self._end = 0, size

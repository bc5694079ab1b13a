"""The two notations of a fault plan: the words of a line, and the numbers on a tape.

Knows: how they are read and written. Must not know: what they mean (`shapes`, `plan`).
"""

from __future__ import annotations

__all__ = ["Tape", "Words", "put_number"]


class Words:
    """The words of a line that are not read yet."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._at = 0

    @property
    def left(self) -> bool:
        """True if a word is left."""
        return self._at < len(self._words)

    def peek(self) -> str:
        """The next word, empty at the end."""
        return self._words[self._at] if self.left else ""

    def next(self, wanted: str) -> str:
        """Takes the next word. Raises ValueError if there is none; `wanted`: what belongs there."""
        if not self.left:
            raise ValueError(f"{'a number from ' if wanted[0] in '-0123456789' else ''}{wanted} is missing")
        self._at += 1
        return self._words[self._at - 1]


class Tape:
    """Bytes that are read as numbers. Behind its end a tape has zeros, so any bytes are a tape."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        """True if a byte is left."""
        return self._at < len(self._data)

    def number(self, most: int) -> int:
        """Reads a number from 0 to `most`: seven bits a byte, the lowest first; a larger one is reduced."""
        found = shift = 0
        while self._at < len(self._data) and most >> shift:
            byte = self._data[self._at]
            self._at += 1
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return found % (most + 1)

    def bytes(self, size: int) -> bytes:
        """Reads at most this many bytes."""
        found = self._data[self._at : self._at + size]
        self._at += len(found)
        return found


def put_number(number: int, most: int, out: bytearray) -> None:
    """Writes a number as `Tape.number` reads it with the same `most`."""
    shift = 0
    while most >> shift:
        byte = number & 0x7F
        number >>= 7
        shift += 7
        more = number > 0
        out.append(byte | 0x80 if more else byte)
        if not more:
            return

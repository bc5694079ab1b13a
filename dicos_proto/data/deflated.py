"""Deflated data sets: inflating them in pieces, within limits, and deflating [PS3.5 A.5].

Knows: deflate, and the limits beyond which it is an attack. Must not know: elements. Invariants: each inflated piece is
checked before the next one is made.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from ..limits import Limits
from ..wire import Buffer
from .elements import DataSetError

_TRAILER: Final = 9
"""The checksum and the length that a gzip file ends with, and a byte that makes the length even."""


class Inflater:
    """Inflates a deflated data set in pieces. A NUL may follow it [PS3.5 A.5].

    `most`: the largest number of inflated bytes, None for no limit; `limit`: the name of that limit. The ratio of
    inflated to deflated bytes is checked after `inflate_unjudged_bytes`. `strict`: nothing else may follow. Otherwise
    zeros may follow, and the trailer of a gzip file, which some writers leave there.
    """

    __slots__ = ("_after", "_engine", "_limit", "_limits", "_most", "_strict", "_zeros", "given", "taken", "used")

    def __init__(self, limits: Limits, *, most: int | None, limit: str, strict: bool = False) -> None:
        self._limits, self._most, self._limit = limits, most, limit
        self._strict = strict
        self._after = 0
        """Bytes after the end."""
        self._zeros = True
        """All of those are zeros."""
        self._engine = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        self.taken = 0
        """Bytes in."""
        self.used = 0
        """Bytes in from which the bytes out were made."""
        self.given = 0
        """Bytes out."""

    def feed(self, data: Buffer, size: int = 1 << 16) -> Iterator[bytes]:
        """Inflates these bytes and yields pieces of at most `size`. Raises `DataSetError`."""
        engine = self._engine
        self.taken += len(data)
        taken_all = engine.eof
        more = bool(data)
        while more and not engine.eof:
            piece = self._inflated(data, size)
            data = engine.unconsumed_tail
            more = bool(data) or len(piece) == size  # the piece had no room for the rest
            if piece:
                self.given += len(piece)
                self.used = self.taken - len(data)
                self._judge()
                yield piece
        if engine.eof:
            rest = data if taken_all else engine.unused_data
            self._after += len(rest)
            self._zeros = self._zeros and bytes(rest).count(0) == len(rest)

    def finish(self) -> None:
        """Ends the input. Raises `DataSetError` if the data set is cut short, or something else follows it."""
        if not self._engine.eof:
            raise DataSetError("a deflated data set that is cut short [PS3.5 A.5]")
        fits = self._after <= 1 if self._strict else self._zeros or self._after <= _TRAILER
        if not (fits and (self._zeros or not self._strict)):
            raise DataSetError(f"{self._after} bytes after the end of a deflated data set [PS3.5 A.5]")

    def _inflated(self, data: Buffer, size: int) -> bytes:
        try:
            return self._engine.decompress(data, size)
        except zlib.error:
            raise DataSetError("a deflated data set that cannot be inflated [PS3.5 A.5]") from None

    def _judge(self) -> None:
        given, taken, limits = self.given, self.used, self._limits
        if self._most is not None and given > self._most:
            raise DataSetError(f"a deflated data set of more than {self._most} bytes (limit {self._limit}) [PS3.5 A.5]")
        if given > limits.inflate_unjudged_bytes and given > limits.inflate_ratio * taken:
            raise DataSetError(
                f"a deflated data set of {taken} bytes that inflates to {given} or more, {given // max(taken, 1)} for "
                f"each; {limits.inflate_ratio} are allowed (limit inflate_ratio) [PS3.5 A.5]"
            )


def inflate_whole(data: Buffer, limits: Limits, *, most: int, limit: str, strict: bool) -> bytes:
    """Inflates a complete deflated data set. Raises `DataSetError`."""
    inflater = Inflater(limits, most=most, limit=limit, strict=strict)
    whole = bytearray()
    for piece in inflater.feed(data):
        whole += piece
    inflater.finish()
    return bytes(whole)


def deflate(pieces: Iterable[Buffer]) -> Iterator[bytes]:
    """Yields the data set deflated, with a NUL after it if that makes its length even [PS3.5 A.5]."""
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    length = 0
    for piece in pieces:
        if data := engine.compress(piece):
            length += len(data)
            yield data
    data = engine.flush()
    yield data + b"\0" if (length + len(data)) % 2 else data


def most_inflated(taken: int, limits: Limits) -> int:
    """Returns how many elements and items `taken` deflated bytes may hold.

    Each costs its sender a fraction of a byte, and a reader a step of work.
    """
    return limits.inflate_unjudged_elements + limits.inflate_elements * taken


def check_inflated(count: int, taken: int, limits: Limits) -> None:
    """Raises `DataSetError` if `taken` deflated bytes must not hold `count` elements and items."""
    if count > limits.object_elements:
        raise DataSetError(f"more elements than allowed, deflated (limit object_elements: {limits.object_elements})")
    if count > most_inflated(taken, limits):
        raise DataSetError(
            f"deflated: {count} elements in {taken} bytes; {limits.inflate_elements} for each are allowed, and "
            f"{limits.inflate_unjudged_elements} (limit inflate_elements) [PS3.5 A.5]"
        )

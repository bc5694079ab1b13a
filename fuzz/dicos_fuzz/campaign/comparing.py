"""Compares an object that a peer stored or sent back with the one that it was sent.

Knows: encoded data sets (the engine's walker), what a storage SCP may change [PS3.4 B.4.1]. Must not know: where the
bytes come from; files without their meta information.

Not compared is what another encoding of the same data set may have otherwise: group lengths, padding, the lengths of
sequences, the transfer syntax. Added elements do not count: an archive may add its own.

Invariants: linear in the bytes; the text names tags, never values.
"""

from __future__ import annotations

from typing import Final

from dicos_proto.data.deflated import Inflater
from dicos_proto.data.elements import DataSetError, encoding, shown
from dicos_proto.data.tokens import FRAGMENTS, ITEMS
from dicos_proto.data.walker import Walker
from dicos_proto.limits import Limits
from dicos_proto.wire import Buffer

__all__ = ["difference"]

_WIDTHS: Final = {
    b"AT": 2, b"FD": 8, b"FL": 4, b"OD": 8, b"OF": 4, b"OL": 4, b"OV": 8, b"OW": 2, b"SL": 4, b"SS": 2, b"SV": 8,
    b"UL": 4, b"US": 2, b"UV": 8,
}  # fmt: skip
"""Bytes of one number in binary value representations [PS3.5 6.2]."""
_PADDING: Final = 0xFFFCFFFC
_LIMITS: Final = Limits()


def difference(sent: bytes, sent_syntax: str, stored: bytes, stored_syntax: str) -> str | None:
    """Returns what differs between two data sets, without their file meta information, in words; None if nothing does
    that matters, or if the one that was sent is not a data set, so that nothing can be expected.

    `sent_syntax`, `stored_syntax`: their transfer syntax UIDs.
    """
    if sent == stored and sent_syntax == stored_syntax:
        return None
    first, second = encoding(sent_syntax), encoding(stored_syntax)
    if first is None or second is None:
        return None if sent == stored else "other bytes, in a transfer syntax that is not known here"
    try:
        wanted = _values(sent, *first)
    except DataSetError:
        return None
    try:
        found = _values(stored, *second)
    except DataSetError as fault:
        return f"it is not a data set any more: {fault}"
    if first[0] is not second[0]:  # without value representations, a sequence may not be seen as one
        wanted = {path: value for path, value in wanted.items() if len(path) == 1}
        found = {path: value for path, value in found.items() if len(path) == 1}
    for path, value in wanted.items():
        there = found.get(path)
        if there is None:
            return f"{_shown(path)} is missing"
        if value is not _SEQUENCE is not there and value != there:
            return f"{_shown(path)} has another value"
    return None


_SEQUENCE: Final = b"sequence"


def _shown(path: tuple[int, ...]) -> str:
    return " in ".join(shown(tag) for tag in reversed(path[::2]))


def _values(data: bytes, implicit: bool, little: bool, deflated: bool, extended: bool) -> dict[tuple[int, ...], bytes]:
    """Every value by its path of tags and item numbers. Raises `DataSetError`."""
    if deflated:
        inflater = Inflater(_LIMITS, most=None, limit="")
        data = b"".join(inflater.feed(data))
        inflater.finish()
    collector = _Collector(implicit=implicit, little=little, extended=extended)
    collector.feed(data)
    collector.finish()
    return collector.found


class _Collector(Walker):
    """Keeps every value, in little endian, without padding."""

    __slots__ = ("_little", "_path", "found")

    def __init__(self, *, implicit: bool, little: bool, extended: bool) -> None:
        super().__init__(implicit=implicit, little=little, limits=_LIMITS, tokens=True, extended=extended)
        self.found: dict[tuple[int, ...], bytes] = {}
        self._path: list[int] = []
        self._little = little

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        if tag & 0xFFFF == 0 or tag == _PADDING:
            return
        value = bytes(data[at : at + length])
        if not self._little and vr in _WIDTHS:
            value = _swapped(value, _WIDTHS[vr])
        self.found[(*self._path, tag)] = value.rstrip(b"\0 ")

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        if kind in (ITEMS, FRAGMENTS):
            self.found[(*self._path, tag)] = _SEQUENCE
            self._path += [tag, -1]
        else:
            self._path[-1] += 1

    def fragment(self, data: Buffer, at: int, length: int) -> None:
        self._path[-1] += 1
        self.found[(*self._path, 0xFFFEE000)] = bytes(data[at : at + length]).rstrip(b"\0 ")

    def closed(self, kind: int, at: int) -> None:
        if kind in (ITEMS, FRAGMENTS):
            del self._path[-2:]


def _swapped(value: bytes, width: int) -> bytes:
    return b"".join(value[at : at + width][::-1] for at in range(0, len(value), width))

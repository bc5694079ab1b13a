"""A second walk over data sets, recursive and over whole bytes, as simple as can be, to compare the engine's with.

It knows the grammar [PS3.5 7.1, 7.5] and what readers accept beside it. It says accepted or refused, not why.
"""

import struct
from collections.abc import Callable

from dicos_proto.data.elements import EXTENDED_HEADERS, LONG_VRS, PADDED_WITH_SPACE, SHORT_VRS
from dicos_proto.data.walker import Walker
from dicos_proto.wire import Buffer

Token = tuple[object, ...]
VROf = Callable[[int], bytes]

ELEMENTS, ITEMS, FRAGMENTS = range(3)
ITEM, ITEM_END, SEQUENCE_END, PIXELS, UNDEFINED = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010, 0xFFFFFFFF


class Refused(Exception):
    """The bytes are not a data set."""


class _Reference:
    def __init__(self, data: bytes, *, little: bool, vr_of: VROf, depth: int, extended: bool) -> None:
        self.extended = extended
        self.data, self.order, self.vr_of, self.depth = data, "<" if little else ">", vr_of, depth
        self.tokens: list[Token] = []

    def _read(self, layout: str, at: int, end: int) -> tuple[int, ...]:
        if at + struct.calcsize(layout) > end:
            raise Refused
        return struct.unpack_from(self.order + layout, self.data, at)

    def elements(self, at: int, end: int, *, delimited: bool, implicit: bool, nested: int, root: bool = False) -> int:
        """Walks over elements to `end`, or to a delimiter before it. Returns where they are over."""
        begin = at
        while True:
            if at == end and not delimited:
                return at
            if root and not self.data[at:].strip(b"\0") and (at or end < 8):
                return end
            group, element, length = self._read("HHI", at, end)
            tag = group << 16 | element
            if group == 0xFFFE:
                if tag != ITEM_END or root:
                    raise Refused
                at += 8
                if delimited:
                    return at
                continue
            if root and group in (0, 2, 0xFFFF):
                raise Refused
            vr, start = None, at + 8
            if not implicit:
                vr, (length,) = self.data[at + 4 : at + 6], self._read("H", at + 6, end)
                if self.extended and vr in EXTENDED_HEADERS:
                    start = at + EXTENDED_HEADERS[vr]
                    (length,) = self._read("Q", start - 8, end)
                    if start + length > end:
                        raise Refused
                    self.tokens.append(("element", tag, vr, vr, self.data[start : start + length]))
                    at = start + length
                    continue
                new = vr not in SHORT_VRS and vr.isalpha() and vr.isupper() and not length
                if vr in LONG_VRS or new:
                    (length,), start = self._read("I", at + 8, end), at + 12
                elif vr not in SHORT_VRS and not (vr.isalpha() and vr.isupper()):
                    raise Refused
            known = self.vr_of(tag) if vr in (None, b"UN") else vr
            at = self._value(tag, vr, known, start, end, length, implicit=implicit, nested=nested)
            assert at > begin

    def _value(
        self, tag: int, vr: bytes | None, known: bytes, at: int, end: int, length: int, *, implicit: bool, nested: int
    ) -> int:
        is_items = known == b"SQ" or vr == b"SQ"
        if length != UNDEFINED and at + length > end:
            raise Refused
        if length != UNDEFINED and not is_items:
            self.tokens.append(("element", tag, vr, known, self.data[at : at + length]))
            return at + length
        if nested == self.depth:
            raise Refused
        fragments = length == UNDEFINED and vr != b"SQ" and (tag == PIXELS or vr not in (None, b"UN"))
        kind = FRAGMENTS if fragments else ITEMS
        mixed = vr == b"UN" and not implicit
        self.tokens.append(("opened", kind, tag, vr, length, implicit or mixed))
        delimited = length == UNDEFINED
        inner = end if delimited else at + length
        at = self._items(kind, at, inner, delimited=delimited, implicit=implicit, mixed=mixed, nested=nested + 1)
        self.tokens.append(("closed", kind))
        return at

    def _items(self, kind: int, at: int, end: int, *, delimited: bool, implicit: bool, mixed: bool, nested: int) -> int:
        while at != end or delimited:
            group, element, length = self._read("HHI", at, end)
            tag, at = group << 16 | element, at + 8
            if tag == SEQUENCE_END:
                if delimited:
                    return at
                continue
            if tag != ITEM or (length != UNDEFINED and at + length > end):
                raise Refused
            if kind == FRAGMENTS:
                if length == UNDEFINED:
                    raise Refused
                self.tokens.append(("fragment", self.data[at : at + length]))
                at += length
                continue
            self.tokens.append(("opened", ELEMENTS, ITEM, None, length, implicit or mixed))
            written = self.data[at + 4 : at + 6]
            inner_implicit = implicit or (mixed and not (written in SHORT_VRS or written in LONG_VRS))
            open_end = length == UNDEFINED
            inner = end if open_end else at + length
            at = self.elements(at, inner, delimited=open_end, implicit=inner_implicit, nested=nested)
            self.tokens.append(("closed", ELEMENTS))
        return at


def unknown(tag: int) -> bytes:
    """The dictionary that knows nothing."""
    return b"UN"


def walk(
    data: bytes, *, implicit: bool, little: bool, vr_of: VROf = unknown, depth: int = 64, extended: bool = False
) -> list[Token]:
    """Returns the tokens of a data set. Raises `Refused`."""
    reference = _Reference(data, little=little, vr_of=vr_of, depth=depth, extended=extended)
    reference.elements(0, len(data), delimited=False, implicit=implicit, nested=0, root=True)
    return reference.tokens


class Collector(Walker):
    """The engine's walker, whose tokens are kept in the same form."""

    __slots__ = ("_dictionary", "missing", "tokens")

    def __init__(self, dictionary: VROf = unknown, **settings: object) -> None:
        super().__init__(tokens=True, **settings)  # type: ignore[arg-type]
        self._dictionary = dictionary
        self.tokens: list[Token] = []
        self.missing = 0

    def vr_of(self, tag: int, vr: bytes | None) -> bytes:
        return self._dictionary(tag)

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        value = bytes(data[at : at + length])
        self.tokens.append(("element", tag, vr, known, value))
        self.missing = length - len(value)
        assert not self.missing or length > 128

    def value(self, piece: Buffer, left: int) -> None:
        assert self.missing == len(piece) + left
        self.missing = left
        self.tokens[-1] = (*self.tokens[-1][:-1], self.tokens[-1][-1] + bytes(piece))  # type: ignore[operator]

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        self.tokens.append(("opened", kind, tag, vr, length, implicit))

    def fragment(self, data: Buffer, at: int, length: int) -> None:
        value = bytes(data[at : at + length])
        self.tokens.append(("fragment", value))
        self.missing = length - len(value)

    def closed(self, kind: int, at: int) -> None:
        self.tokens.append(("closed", kind))


def rewritten(tokens: list[Token], *, explicit: bool) -> bytes | None:
    """Returns the data set of these tokens in little endian, its sequences and items of undefined length, without group
    lengths; None if it cannot be written: fragments, or an unknown VR."""
    out = b""
    for name, *about in tokens:
        if name == "fragment" or about[0] == FRAGMENTS:
            return None
        if name == "closed":
            out += struct.pack("<HHI", 0xFFFE, 0xE00D if about[0] == ELEMENTS else 0xE0DD, 0)
        elif name == "opened":
            _, tag, *_ = about
            assert isinstance(tag, int)
            with_vr = explicit and tag != ITEM
            out += struct.pack("<HH", tag >> 16, tag & 0xFFFF) + b"SQ\0\0" * with_vr + b"\xff\xff\xff\xff"
        else:
            tag, _, vr, value = about
            assert isinstance(tag, int)
            assert isinstance(vr, bytes)
            assert isinstance(value, bytes)
            if vr not in SHORT_VRS and vr not in LONG_VRS and tag & 0xFFFF:
                return None
            out += _element(tag, vr, value, explicit=explicit) if tag & 0xFFFF else b""
    return out


def _element(tag: int, vr: bytes, value: bytes, *, explicit: bool) -> bytes:
    if len(value) % 2:
        value += b" " if vr in PADDED_WITH_SPACE else b"\0"
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack("<I", len(value)) + value
    if vr in SHORT_VRS and len(value) < 1 << 16:
        return head + vr + struct.pack("<H", len(value)) + value
    return head + (b"UN" if vr in SHORT_VRS else vr) + struct.pack("<HI", 0, len(value)) + value

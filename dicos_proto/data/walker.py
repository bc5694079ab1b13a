"""The one walk over data sets that come from a peer or a file: which elements they have, how they nest, where they end.

Theory of operation: `Walker.feed` takes pieces of any size. A header that is cut by the end of a piece, at most 16
bytes, waits for the next one. A value is skipped by its length, without reading it, so that a piece of a large value
costs one subtraction. Open sequences and items are kept in a list, without recursion.

A subclass that passes `tokens=True` receives the tokens of the walk as calls to the methods of `Tokens`. `Checker`
needs none; `builder` makes pydicom's data sets of them, and `transcode` writes them again in another syntax.

A value representation that is not known yet has 32 bits of length after two zeros, as the standard says of all new ones
[PS3.5 6.2]; one with another number in place of the zeros is read as writers of such headers mean it, with 16 bits. In
the extended explicit VR of DICOS some have 64 bits (`EXTENDED_HEADERS`), which never mean an undefined length.

Knows: headers and nesting [PS3.5 7.1, 7.5]. Must not know: what an attribute means, pydicom. Invariants: the memory of
a walk is one element of up to `WHOLE` bytes, two UIDs and one entry for each level of nesting, for any lengths in the
data; no length is accepted beyond its parent's end; any split of the same bytes gives the same tokens, except for the
pieces of long values, and the same fault.
"""

from __future__ import annotations

from typing import Final

from ..limits import Limits
from ..wire import Buffer
from .elements import (
    EXTENDED_HEADERS,
    EXTENDED_LENGTH,
    HEADERS,
    ITEM,
    ITEM_END,
    LONG_VRS,
    LONGEST,
    NUMBERS,
    PIXEL_DATA,
    SEQUENCE_END,
    SHORT_VRS,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    UNDEFINED,
    DataSetError,
    shown,
)
from .tokens import ELEMENTS, FRAGMENTS, ITEMS, WHOLE, Level, Tokens

_ENDLESS: Final = 1 << 62
"""The end of a level whose end is not known yet."""
_NAMED: Final = 8
"""The largest number of elements that are named."""
_UNIT: Final = 16 + WHOLE
"""Bytes that have to be in one piece to be read: the longest header, with a short value."""
_LOOKED_AT: Final = (SOP_CLASS_UID & 0xFFFF, SOP_INSTANCE_UID & 0xFFFF)


class Walker(Tokens):
    """Meets every element of a data set once, nested ones included, without recursion and without looking at values.

    `strict`: what an attribute list may be. Otherwise what writers of objects are known to get wrong and readers accept
    is accepted: odd lengths, delimiters after a defined length, zeros after the end.
    `size`: of the whole data set, if it is known. `tokens`: call the methods that subclasses override. `extended`: the
    explicit VR of DICOS with 64 bits of length.
    """

    __slots__ = (
        "_explicit", "_extended", "_fragments", "_held", "_implicit", "_left", "_levels", "_limits", "_long",
        "_missing", "_nested", "_numbers", "_position", "_strict", "_tokens", "_zeros", "count", "large", "odd",
        "odd_fragment", "odd_values", "seen",
    )  # fmt: skip

    def __init__(
        self,
        *,
        implicit: bool,
        little: bool,
        limits: Limits,
        strict: bool = False,
        size: int | None = None,
        tokens: bool = False,
        extended: bool = False,
    ) -> None:
        self._implicit, self._explicit, self._long = HEADERS[little]
        self._numbers = NUMBERS[little]
        self._extended = EXTENDED_HEADERS if extended else {}
        self._levels = [Level(ELEMENTS, None, _ENDLESS if size is None else size, implicit=implicit)]
        self._limits = limits
        self._strict = strict
        self._tokens = tokens
        self._nested = 0
        """Sequences that are open."""
        self._position = 0
        """The position in the data set of the next byte to read."""
        self._held = b""
        """The beginning of a header or short value that is cut by the end of a piece."""
        self._missing = 0
        """Bytes that a short value in it lacks."""
        self._left = 0
        """Bytes of a value that are still to be skipped."""
        self._zeros: int | None = None
        """The position where the data set is over and zeros follow."""
        self.count = 0
        """Elements, items and fragments so far."""
        self.odd: list[int] = []
        """The first elements whose values have an odd number of bytes, up to 8 [PS3.5 7.1.1]."""
        self.odd_values = 0
        """Number of values with an odd number of bytes."""
        self.odd_fragment: str | None = None
        """The first fragment with an odd number of bytes, in words."""
        self._fragments = (0, 0)
        self.large: int | None = None
        """The first element whose value is too long for 32 bits of length."""
        self.seen: dict[int, bytes] = {}
        """The SOP class and instance UIDs of the data set itself, up to 128 bytes of each."""

    # -- for those who feed ------------------------------------------------------------------------------------------

    def feed(self, data: Buffer) -> None:
        """Walks over the next bytes. Raises `DataSetError`."""
        held = self._held
        if held:
            head = held + bytes(data[:_UNIT])
            done = self._run(head)
            if done < len(held):  # as short as `data` must have been
                self._held = head
                return
            self._held = b""
            data = data[done - len(held) :] if isinstance(data, memoryview) else memoryview(data)[done - len(held) :]
        size = len(data)
        if self._left:
            if self._left >= size:
                self._left -= size
                self._position += size
                if self._tokens:
                    self.value(data, self._left)
                return
            data = memoryview(data)
            left = self._left
            size -= left
            self._position += left
            self._left = 0
            if self._tokens:
                self.value(data[:left], 0)
            data = data[left:]
        done = self._run(data)
        if done < size:
            self._held = bytes(data[done:])

    def finish(self) -> None:
        """Ends the data set. Raises `DataSetError` if something is cut short."""
        if self._left or (self._held and self._missing):
            at, missing = self._position + len(self._held), self._left or self._missing
            raise DataSetError(  # its beginning is all that an Error Comment holds
                f"cut short at byte {at}: {missing} bytes of a value are missing [PS3.5 7]"
            )
        if self._held and (self._strict or len(self._levels) > 1 or any(self._held)):
            raise self.fault(f"an element header of {len(self._held)} bytes")
        if not self._held and (self._strict or len(self._levels) > 1):
            self._run(b"")  # closes what ends here
        if len(self._levels) > 1:
            raise self.fault(f"{len(self._levels) - 1} sequences and items that are not ended")

    @property
    def wanted(self) -> int:
        """Bytes of a value that would be passed over unread: `skip` does the same without them."""
        return self._left

    def skip(self, size: int) -> None:
        """Passes over `size` of the bytes that are `wanted`. Not for a walker with tokens."""
        self._left -= size
        self._position += size

    @property
    def ended(self) -> int:
        """The length of the data set without the zeros after it, once it is finished."""
        return self._position if self._zeros is None else self._zeros

    # -- for those who build on it -------------------------------------------------------------------------------------

    def fault(self, what: str, at: int = 0) -> DataSetError:
        """Returns the error that says `what`, and that it is before `at` of the piece that is walked over."""
        return DataSetError(f"{what}, before byte {self._position + at} of the data set [PS3.5 7]")

    # -- the walk ----------------------------------------------------------------------------------------------------

    def _run(self, data: Buffer) -> int:
        """Walks as far as `data` reaches. Returns the number of bytes that are finished."""
        size, base, at = len(data), self._position, 0
        self._missing = 0
        if self._zeros is not None:
            self._pad(data, 0)
            return size
        while True:
            level = self._levels[-1]
            if level.end == base + at:
                self._close(level, at)
                continue
            if level.guess and size - at >= 8:
                level.guess = False
                vr = bytes(data[at + 4 : at + 6])
                level.implicit = vr not in SHORT_VRS and vr not in LONG_VRS
            done = self._elements(level, data, at) if level.kind == ELEMENTS else self._item(level, data, at)
            if done < 0:  # `data` ends here, or before the end of a header
                at = -1 - done
                break
            at = done
        self._position = base + at
        return at

    def _elements(self, level: Level, data: Buffer, at: int) -> int:
        """Walks over elements up to one that begins or ends a level. Returns the index after it, or, if `data` ends
        first, -1 minus the index of the first byte that is not finished."""
        size, base = len(data), self._position
        bound: int = level.bound - base
        end: int = _ENDLESS if level.end is None else level.end - base
        implicit, tokens, explicit = level.implicit, self._tokens, self._explicit
        root = len(self._levels) == 1
        vr: bytes | None = None
        known = b""
        whole = min(size, bound)
        while at != end:
            if not tokens:
                at = self._plain(data, at, whole, implicit=implicit, root=root)
                if at == end:
                    break
            if bound - at < 8:
                return self._tail(level, data, at)
            if size - at < 8:
                return -1 - at
            start = at + 8
            if implicit:
                group, element, length = self._implicit(data, at)
            else:
                group, element, vr, length = explicit(data, at)
                if vr not in SHORT_VRS:
                    if group == 0xFFFE:
                        length = self._implicit(data, at)[2]
                    elif vr in self._extended:
                        start = at + self._extended[vr]
                        if bound < start:
                            raise self.fault("an element header that is cut short", at + 8)
                        if size < start:
                            return -1 - at
                        (length,) = EXTENDED_LENGTH(data, start - 8)
                    elif vr in LONG_VRS or (not length and vr.isalpha() and vr.isupper()):  # a new one.  # PS3.5 6.2
                        if bound - at < 12:
                            raise self.fault("an element header that is cut short", start)
                        if size - at < 12:
                            return -1 - at
                        (length,) = self._long(data, start)
                        start = at + 12
                    elif (group or not root) and not (vr.isalpha() and vr.isupper()):
                        raise self.fault("no value representation where one is to be", at + 8)
            if not 8 < group < 0xFFFE:
                if group == 0xFFFE:
                    return self._delimiter(level, group << 16 | element, length, at)
                if root and group != 8:
                    if group == 0 == element and not length and at + base and not self._strict:
                        return self._pad(data, at)
                    if group in (0, 2, 0xFFFF):
                        raise self.fault(f"group {group:04X}, which is not allowed in a data set", at)
                if root and element in _LOOKED_AT and group == 8:
                    if length <= WHOLE and start + length > size and start + length <= bound:
                        return self._cut(at, start + length - size)
                    self._note(group << 16 | element, bytes(data[start : start + length]) if length <= WHOLE else b"?")
            after: int = start + length
            if tokens:
                if length <= WHOLE and size < after <= bound and vr != b"SQ":
                    return self._cut(at, after - size)
                known = self.vr_of(group << 16 | element, vr) if vr is None or vr == b"UN" else vr
            self.count += 1
            if (length == UNDEFINED and vr not in self._extended) or vr == b"SQ" or (tokens and known == b"SQ"):
                return self._begin(level, group << 16 | element, vr, known, start, length)
            if length > LONGEST:
                self._note_large(group << 16 | element, length, start)
            if after > bound:
                raise self.fault(f"a value of {length} bytes with {bound - start} left", start)
            if length & 1:
                self._note_odd(group << 16 | element)
            if tokens:
                self.element(group << 16 | element, vr, known, data, start, length)
            if after > size:
                self._left = after - size
                return -1 - size
            at = after
        return at

    def _plain(self, data: Buffer, at: int, whole: int, *, implicit: bool, root: bool) -> int:
        """Passes over elements that are all there, begin nothing and need no second look: most of them."""
        last, seen = whole - 8, 0
        if implicit:
            unpack = self._implicit
            while at <= last:
                group, element, length = unpack(data, at)
                after: int = at + 8 + length
                if after > whole:
                    break
                if group < 9 or group > 0xFFFD:  # few
                    if group != 8:
                        break
                    if element in _LOOKED_AT and root:
                        self._note(0x80000 | element, bytes(data[at + 8 : after]) if length <= WHOLE else b"?")
                if length & 1:
                    self._note_odd(group << 16 | element)
                at = after
                seen += 1
        else:
            numbers, short = self._numbers
            while at <= last:
                group, element, number, length = numbers(data, at)
                after = at + 8 + length
                if number not in short or after > whole:
                    break
                if group < 9 or group > 0xFFFD:  # few
                    if group != 8:
                        break
                    if element in _LOOKED_AT and root:
                        self._note(0x80000 | element, bytes(data[at + 8 : after]) if length <= WHOLE else b"?")
                if length & 1:
                    self._note_odd(group << 16 | element)
                at = after
                seen += 1
        self.count += seen
        return at

    def _cut(self, at: int, missing: int) -> int:
        """A short value that `data` does not hold whole."""
        self._missing = missing
        return -1 - at

    def _begin(self, level: Level, tag: int, vr: bytes | None, known: bytes, at: int, length: int) -> int:
        """Opens a sequence, or a run of fragments. Returns where its content begins."""
        kind = ITEMS
        if length == UNDEFINED and vr != b"SQ":
            if tag == PIXEL_DATA:
                if self._strict:
                    raise self.fault("pixel data in fragments, which no attribute list has", at)
                kind = FRAGMENTS
            elif self._strict and known not in (b"SQ", b"UN"):
                raise self.fault("a value of undefined length that is not a sequence", at)  # PS3.5 7.1.1
            elif vr is not None and vr != b"UN":
                kind = FRAGMENTS
        if kind == FRAGMENTS:
            self._fragments = (tag, -1)  # the table of offsets is none.  # PS3.5 A.4
        self._open(level, kind, tag, vr, at, length)
        return at

    def _item(self, level: Level, data: Buffer, at: int) -> int:
        """Reads the next item of a sequence, or the end of the sequence [PS3.5 7.5]."""
        left = level.bound - self._position - at
        if left < 8:
            return self._tail(level, data, at)
        if len(data) - at < 8:
            return -1 - at
        group, element, length = self._implicit(data, at)
        tag = group << 16 | element
        if tag != ITEM:
            if group != 0xFFFE:
                raise self.fault("an element where an item is to begin", at)
            return self._delimiter(level, tag, length, at)
        at += 8
        self.count += 1
        if level.kind == ITEMS:
            self._open(level, ELEMENTS, ITEM, None, at, length)
            return at
        if length > left - 8:
            raise self.fault(f"a fragment of {length} bytes with {left - 8} left", at)  # one of undefined length too
        tag, number = self._fragments
        self._fragments = (tag, number + 1)
        if length & 1 and self.odd_fragment is None:
            self.odd_fragment = f"fragment {number + 1} of {shown(tag)}"
        if self._tokens:
            self.fragment(data, at, length)
        after: int = at + length
        if after > len(data):
            self._left = after - len(data)
            return -1 - len(data)
        return after

    def _delimiter(self, level: Level, tag: int, length: int, at: int) -> int:
        """Reads the end of an item or a sequence; an item is a fault here."""
        if tag == ITEM:
            raise self.fault("an item outside a sequence", at)
        fits = (level.kind == ELEMENTS) == (tag == ITEM_END) and tag in (ITEM_END, SEQUENCE_END)
        if not fits or len(self._levels) == 1 or (self._strict and (length or level.end is not None)):
            raise self.fault("a delimiter that delimits nothing", at)
        if level.end is None:
            self._close(level, at)
        return at + 8

    def _tail(self, level: Level, data: Buffer, at: int) -> int:
        """Fewer bytes than a header has, before the innermost level has to end."""
        left = level.bound - self._position - at
        if not left and level.end is None and level.bound == self._levels[0].bound:
            return -1 - at  # the data set is over; `finish` reports what is not
        if len(self._levels) == 1 and not self._strict and not any(data[at:]):
            return -1 - at  # they wait: if a byte that is not zero follows, all of them are the fault
        raise self.fault(f"an element header of {left} bytes", at)

    def _pad(self, data: Buffer, at: int) -> int:
        """Passes over zeros after the end of the data set; anything else is a fault."""
        if self._zeros is None:
            self._zeros = self._position + at
        if bytes(data[at:]).count(0) != len(data) - at:
            raise self.fault("group 0000, which is not allowed in a data set", self._zeros - self._position)
        return -1 - len(data)

    def _note_odd(self, tag: int) -> None:
        self.odd_values += 1
        if len(self.odd) < _NAMED:
            self.odd.append(tag)

    def _note_large(self, tag: int, length: int, at: int) -> None:
        """Notes a value of more than 32 bits of length; a length that is longer than any data set is a fault."""
        if length > _ENDLESS // 2:
            raise self.fault(f"a value of {length} bytes, which none can have", at)
        if self.large is None:
            self.large = tag

    def _note(self, tag: int, value: bytes) -> None:
        """Keeps a UID of the data set; one that occurs twice with different values becomes invalid."""
        self.seen[tag] = value if self.seen.get(tag, value) == value else b"?"

    def _open(self, level: Level, kind: int, tag: int, vr: bytes | None, at: int, length: int) -> None:
        left = level.bound - self._position - at
        end = None
        if length != UNDEFINED:
            if length > left:
                raise self.fault(f"a length of {length} with {left} bytes left", at)
            end = self._position + at + length
        if kind != ELEMENTS:
            self._nested += 1
            if self._nested > self._limits.sequence_depth:
                depth = self._limits.sequence_depth
                raise self.fault(f"sequences nested deeper than allowed (limit sequence_depth: {depth})", at)
        mixed = vr == b"UN" and not level.implicit
        opened = Level(kind, end, level.bound if end is None else end, implicit=level.implicit or mixed, mixed=mixed)
        opened.guess = level.mixed
        self._levels.append(opened)
        if self._tokens:
            self.opened(kind, tag, vr, at, length, implicit=opened.implicit)

    def _close(self, level: Level, at: int) -> None:
        self._levels.pop()
        self._nested -= level.kind != ELEMENTS
        if self._tokens:
            self.closed(level.kind, at)

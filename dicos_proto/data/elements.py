"""The structure of data sets, walked while their bytes arrive: which elements there are, how they nest, where they end.

Theory of operation: `Walker.feed` takes pieces of any size. What is not whole at the end of a piece, a header of at
most 12 bytes, waits for the next one; a value is passed over by its length, without a look at it, so that a piece of a
large value costs one subtraction. Open sequences and items are a list, never a recursion. `datasets` builds its data
sets on this walker, and `Checker` is the same walk for objects that are stored unread.

Knows: headers, nesting, deflate. Must not know: what an attribute means, pydicom. Invariants: the memory of a walk is
one header, two UIDs and one entry for each level of nesting, whatever the lengths say; no length is believed beyond its
parent's end; any split of the same bytes gives the same verdict.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from ..errors import ProtocolError
from ..limits import Limits
from ..registry import status, uids
from ..wire import Buffer

LONG_VRS: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations with 32 bits of length in explicit VR.  # PS3.5 7.1.2"""
SHORT_VRS: Final = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
"""Those with 16 bits."""
UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
PIXEL_DATA: Final = 0x7FE00010
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018

INFLATE_FLOOR: Final = 1 << 20
"""Bytes out before the ratio of a deflated data set is judged: short data sets of zeros are no attack."""
INFLATED_ELEMENTS: Final = 1000
"""Elements of a deflated data set before they are judged against its bytes."""
_INFLATED: Final = 1 << 14
"""Bytes that come out at a time, before what is in them is judged."""

_ENDLESS: Final = 1 << 62
"""The end of what has none yet."""
_KEPT: Final = 128
"""Bytes of a UID that are looked at; longer ones match nothing."""
_NAMED: Final = 8
"""Elements that are named at most."""
_UNIT: Final = 12 + _KEPT
"""What has to be in one piece to be read: the longest header, with a UID."""
_DEFLATED: Final = frozenset(
    (uids.DEFLATED_EXPLICIT_VR_LE, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")  # the JPIP ones.  # PS3.5 A.7
)
_TRAILER: Final = 9
"""The checksum and the length that a gzip file ends with, and a byte that makes the length even."""
_LOOKED_AT: Final = (SOP_CLASS_UID & 0xFFFF, SOP_INSTANCE_UID & 0xFFFF)
_ELEMENTS, _ITEMS, _FRAGMENTS = range(3)
_LITTLE, _BIG = (tuple(struct.Struct(order + layout).unpack_from for layout in ("HHL", "HH2sH", "L")) for order in "<>")
"""Tag and length; tag, value representation and 16 bits of length; 32 bits of length."""
_NUMBERS: Final = tuple(
    (struct.Struct(f"{order}4H").unpack_from, frozenset(struct.unpack(f"{order}H", vr)[0] for vr in SHORT_VRS))
    for order in "<>"
)
"""Tag, value representation and 16 bits of length, all as numbers, and the short representations as such. To look a
number up is faster than to look up bytes, an object made for that."""


class DataSetError(ProtocolError):
    """Bytes that are no data set in their transfer syntax, or a data set that cannot be encoded in one.

    The text says where and what; it holds no values.
    """

    store_status: int = status.CANNOT_UNDERSTAND
    """What a C-STORE of it is answered with.  # PS3.4 B.2.3"""


def encoding(transfer_syntax: str) -> tuple[bool, bool, bool] | None:
    """How data sets in this transfer syntax are encoded: implicit VR, little endian, deflated. None: not known here."""
    return _ENCODINGS.get(transfer_syntax)


# All others are explicit VR little endian.  # PS3.5 A.4
_ENCODINGS: Final = {syntax: (False, True, syntax in _DEFLATED) for syntax in uids.TRANSFER_SYNTAXES} | {
    uids.IMPLICIT_VR_LE: (True, True, False),
    uids.EXPLICIT_VR_BE: (False, False, False),
}
del _ENCODINGS[uids.DICOS_EXPLICIT_VR_LE_EXTENDED]


class Level:
    """An open sequence, item or run of fragments, or the data set itself."""

    __slots__ = ("bound", "end", "guess", "implicit", "kind", "mixed")

    def __init__(self, kind: int, end: int | None, bound: int, *, implicit: bool, mixed: bool = False) -> None:
        self.kind = kind
        self.end = end
        """Where it ends; None where a delimiter tells."""
        self.bound = bound
        """Where it, or what is around it, ends at the latest."""
        self.implicit = implicit
        self.mixed = mixed
        """It is a UN in explicit VR: its items are implicit VR, or what their writer took that for.  # PS3.5 6.2.2"""
        self.guess = False
        """Its first element is to tell which of both."""


class Walker:
    """Every element of a data set once, nested ones included, without recursion and without looking at values.

    `strict`: what an attribute list may be. Otherwise what writers of objects are known to get wrong and readers
    take is taken: odd lengths, delimiters where a length has told already, zeros after the end.
    `size`: of the whole data set, where it is known.
    """

    __slots__ = (
        "_depth", "_explicit", "_fragments", "_held", "_implicit", "_left", "_levels", "_long", "_nested",
        "_numbers", "_position", "_strict", "_takes", "_zeros", "count", "odd", "odd_fragment", "odd_values", "seen",
    )  # fmt: skip

    def __init__(
        self, *, implicit: bool, little: bool, depth: int, strict: bool = False, size: int | None = None
    ) -> None:
        self._implicit, self._explicit, self._long = _LITTLE if little else _BIG
        self._numbers = _NUMBERS[not little]
        self._levels = [Level(_ELEMENTS, None, _ENDLESS if size is None else size, implicit=implicit)]
        self._depth = depth
        self._strict = strict
        self._takes = False
        """`_take` and `_known` are to be asked."""
        self._nested = 0
        """Sequences that are open."""
        self._position = 0
        """Where the next byte to be read lies in the data set."""
        self._held = b""
        """What came of something that is not whole."""
        self._left = 0
        """Bytes of a value that are still to be passed over."""
        self._zeros: int | None = None
        """Where the data set is over, and zeros follow."""
        self.count = 0
        """Elements, items and fragments so far."""
        self.odd: list[int] = []
        """The first elements whose values have an odd number of bytes, up to 8.  # PS3.5 7.1.1"""
        self.odd_values = 0
        """How many there are."""
        self.odd_fragment: str | None = None
        """The first fragment with an odd number of bytes, in words."""
        self._fragments = (0, 0)
        self.seen: dict[int, bytes] = {}
        """The SOP class and instance UIDs of the data set itself, up to 128 bytes of each."""

    # -- for those who walk ------------------------------------------------------------------------------------------

    def feed(self, data: Buffer) -> None:
        """The next bytes. Nothing of them is kept but a header that is not whole. Raises `DataSetError`."""
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
                return
            data = memoryview(data)[self._left :]
            size -= self._left
            self._position += self._left
            self._left = 0
        done = self._run(data)
        if done < size:
            self._held = bytes(data[done:])

    def finish(self) -> None:
        """There are no more bytes. Raises `DataSetError` where something is cut short."""
        if self._left:
            raise DataSetError(  # its beginning is all that an Error Comment holds
                f"cut short at byte {self._position}: {self._left} bytes of a value are missing [PS3.5 7]"
            )
        if self._held and (self._strict or len(self._levels) > 1 or any(self._held)):
            raise self._fault(f"an element header of {len(self._held)} bytes")
        if not self._held and (self._strict or len(self._levels) > 1):
            self._run(b"")  # what ends here
        if len(self._levels) > 1:
            raise self._fault(f"{len(self._levels) - 1} sequences and items that are not ended")

    @property
    def wanted(self) -> int:
        """Bytes of a value that would be passed over unread: `skip` does the same without them."""
        return self._left

    def skip(self, size: int) -> None:
        """Pass over `size` of the bytes that are `wanted`."""
        self._left -= size
        self._position += size

    @property
    def ended(self) -> int:
        """How long the data set is without the zeros after it, once it is finished."""
        return self._position if self._zeros is None else self._zeros

    # -- for those who build on it -----------------------------------------------------------------------------------

    def _known(self, tag: int, vr: bytes | None) -> bytes:
        """The value representation of an element that does not say it, or says UN."""
        raise NotImplementedError

    def _take(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        """An element whose value begins at `at`."""
        raise NotImplementedError

    def _opened(self, tag: int, vr: bytes | None, at: int, length: int) -> None:
        """A sequence, an item, fragments; or one fragment, which is not closed."""

    def _closed(self, kind: int, at: int) -> None:
        """The innermost of these is over."""

    # -- the walk ----------------------------------------------------------------------------------------------------

    def _run(self, data: Buffer) -> int:
        """Walk as far as `data` tells; how many of its bytes are done with."""
        size, base, at = len(data), self._position, 0
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
            done = self._elements(level, data, at) if level.kind == _ELEMENTS else self._item(level, data, at)
            if done < 0:  # no more than is there can be read
                at = -1 - done
                break
            at = done
        self._position = base + at
        return at

    def _elements(self, level: Level, data: Buffer, at: int) -> int:
        """Elements in a row, up to one that begins or ends something: where that is over, or -1 - where `data` is."""
        size, base = len(data), self._position
        bound: int = level.bound - base
        end: int = _ENDLESS if level.end is None else level.end - base
        implicit, takes, explicit = level.implicit, self._takes, self._explicit
        root = len(self._levels) == 1
        vr: bytes | None = None
        known = b""
        whole = min(size, bound)
        while at != end:
            if not takes:
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
                    elif vr in LONG_VRS:
                        if bound - at < 12:
                            raise self._fault("an element header that is cut short", start)
                        if size - at < 12:
                            return -1 - at
                        (length,) = self._long(data, start)
                        start = at + 12
                    elif (group or not root) and not (vr.isalpha() and vr.isupper()):
                        raise self._fault("no value representation where one is to be", at + 8)
            if not 8 < group < 0xFFFE:
                if group == 0xFFFE:
                    return self._delimiter(level, group << 16 | element, length, at)
                if root and group != 8:
                    if group == 0 == element and not length and at + base and not self._strict:
                        return self._pad(data, at)
                    if group in (0, 2, 0xFFFF):
                        raise self._fault(f"group {group:04X}, which is none of a data set", at)
                if root and element in _LOOKED_AT and group == 8:
                    if length <= _KEPT and start + length > size and start + length <= bound:
                        return -1 - at
                    self._note(group << 16 | element, bytes(data[start : start + length]) if length <= _KEPT else b"?")
            self.count += 1
            if takes:
                known = self._known(group << 16 | element, vr) if vr is None or vr == b"UN" else vr
            if length == UNDEFINED or vr == b"SQ" or (takes and known == b"SQ"):
                return self._begin(level, group << 16 | element, vr, known, start, length)
            after: int = start + length
            if after > bound:
                raise self._fault(f"a value of {length} bytes with {bound - start} left", start)
            if length & 1:
                self._note_odd(group << 16 | element)
            if takes:
                self._take(group << 16 | element, vr, known, data, start, length)
            if after > size:
                self._left = after - size
                return -1 - size
            at = after
        return at

    def _plain(self, data: Buffer, at: int, whole: int, *, implicit: bool, root: bool) -> int:
        """Pass over elements that are all there, begin nothing and need no second look: most of them."""
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
                        self._note(0x80000 | element, bytes(data[at + 8 : after]) if length <= _KEPT else b"?")
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
                        self._note(0x80000 | element, bytes(data[at + 8 : after]) if length <= _KEPT else b"?")
                if length & 1:
                    self._note_odd(group << 16 | element)
                at = after
                seen += 1
        self.count += seen
        return at

    def _begin(self, level: Level, tag: int, vr: bytes | None, known: bytes, at: int, length: int) -> int:
        """A sequence, or fragments: where what is in it begins."""
        kind = _ITEMS
        if length == UNDEFINED and vr != b"SQ":
            if tag == PIXEL_DATA:
                if self._strict:
                    raise self._fault("pixel data in fragments, which no attribute list has", at)
                kind = _FRAGMENTS
            elif self._strict and known not in (b"SQ", b"UN"):
                raise self._fault("a value of undefined length that is no sequence", at)  # PS3.5 7.1.1
            elif vr is not None and vr != b"UN":
                kind = _FRAGMENTS
        if kind == _FRAGMENTS:
            self._fragments = (tag, -1)  # the table of offsets is none.  # PS3.5 A.4
        self._open(level, kind, at, length, mixed=vr == b"UN" and not level.implicit)
        self._opened(tag, vr, at, length)
        return at

    def _item(self, level: Level, data: Buffer, at: int) -> int:
        """The next item of a sequence, or the end of that.  # PS3.5 7.5"""
        left = level.bound - self._position - at
        if left < 8:
            return self._tail(level, data, at)
        if len(data) - at < 8:
            return -1 - at
        group, element, length = self._implicit(data, at)
        tag = group << 16 | element
        if tag != ITEM:
            if group != 0xFFFE:
                raise self._fault("an element where an item is to begin", at)
            return self._delimiter(level, tag, length, at)
        at += 8
        self.count += 1
        if level.kind == _ITEMS:
            self._open(level, _ELEMENTS, at, length)
            self._opened(ITEM, None, at, length)
            return at
        if length > left - 8:
            raise self._fault(f"a fragment of {length} bytes with {left - 8} left", at)  # one of undefined length too
        tag, number = self._fragments
        self._fragments = (tag, number + 1)
        if length & 1 and self.odd_fragment is None:
            self.odd_fragment = f"fragment {number + 1} of {shown(tag)}"
        self._opened(ITEM, None, at, length)
        after: int = at + length
        if after > len(data):
            self._left = after - len(data)
            return -1 - len(data)
        return after

    def _delimiter(self, level: Level, tag: int, length: int, at: int) -> int:
        """The end of an item or a sequence, or an item where none may be."""
        if tag == ITEM:
            raise self._fault("an item outside a sequence", at)
        fits = (level.kind == _ELEMENTS) == (tag == ITEM_END) and tag in (ITEM_END, SEQUENCE_END)
        if not fits or len(self._levels) == 1 or (self._strict and (length or level.end is not None)):
            raise self._fault("a delimiter that delimits nothing", at)
        if level.end is None:
            self._close(level, at)
        return at + 8

    def _tail(self, level: Level, data: Buffer, at: int) -> int:
        """Fewer bytes than a header has, before what is open now has to end."""
        left = level.bound - self._position - at
        if not left and level.end is None and level.bound == self._levels[0].bound:
            return -1 - at  # the data set is over; `finish` tells what is not
        if len(self._levels) == 1 and not self._strict and not any(data[at:]):
            return -1 - len(data)
        raise self._fault(f"an element header of {left} bytes", at)

    def _pad(self, data: Buffer, at: int) -> int:
        """Zeros after the end of the data set, and nothing else."""
        if self._zeros is None:
            self._zeros = self._position + at
        if bytes(data[at:]).count(0) != len(data) - at:
            raise self._fault("group 0000, which is none of a data set", self._zeros - self._position)
        return -1 - len(data)

    def _note_odd(self, tag: int) -> None:
        self.odd_values += 1
        if len(self.odd) < _NAMED:
            self.odd.append(tag)

    def _note(self, tag: int, value: bytes) -> None:
        """A UID of the data set: one that comes twice, and differs, is none."""
        self.seen[tag] = value if self.seen.get(tag, value) == value else b"?"

    def _open(self, level: Level, kind: int, at: int, length: int, *, mixed: bool = False) -> None:
        left = level.bound - self._position - at
        end = None
        if length != UNDEFINED:
            if length > left:
                raise self._fault(f"a length of {length} with {left} bytes left", at)
            end = self._position + at + length
        if kind != _ELEMENTS:
            self._nested += 1
            if self._nested > self._depth:
                raise self._fault(f"sequences nested deeper than allowed (limit sequence_depth: {self._depth})", at)
        opened = Level(kind, end, level.bound if end is None else end, implicit=level.implicit or mixed, mixed=mixed)
        opened.guess = level.mixed
        self._levels.append(opened)

    def _close(self, level: Level, at: int) -> None:
        self._levels.pop()
        self._nested -= level.kind != _ELEMENTS
        self._closed(level.kind, self._position + at)

    def _fault(self, what: str, at: int = 0) -> DataSetError:
        return DataSetError(f"{what}, before byte {self._position + at} of the data set [PS3.5 7]")


class Inflater:
    """A deflated data set as it was before, in pieces. A NUL may follow it [PS3.5 A.5].

    `most`: bytes that may come out, `limit` the name of that limit; `ratio`: bytes out for each byte in, judged from
    the first MiB on. `strict`: nothing else may follow; otherwise zeros may, and the trailer of a gzip file, which some
    writers leave there.
    """

    __slots__ = ("_after", "_engine", "_limit", "_most", "_ratio", "_strict", "_zeros", "given", "taken", "used")

    def __init__(self, *, ratio: int, most: int, limit: str, strict: bool = False) -> None:
        self._strict = strict
        self._after = 0
        """Bytes after the end."""
        self._zeros = True
        """They are zeros."""
        self._engine = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        self._ratio, self._most, self._limit = ratio, most, limit
        self.taken = 0
        """Bytes in."""
        self.used = 0
        """Bytes of them that what came out so far was made of."""
        self.given = 0
        """Bytes out."""

    def feed(self, data: Buffer, size: int = 1 << 16) -> Iterator[bytes]:
        """What these bytes inflate to, in pieces of at most `size`. Raises `DataSetError`."""
        engine = self._engine
        self.taken += len(data)
        taken_all = engine.eof
        more = bool(data)
        while more and not engine.eof:
            piece = self._inflated(data, size)
            data = engine.unconsumed_tail
            more = bool(data) or len(piece) == size  # what there was no room for
            if piece:
                self.given += len(piece)
                self.used = self.taken - len(data)
                self._judge(self.used)
                yield piece
        if engine.eof:
            rest = data if taken_all else engine.unused_data
            self._after += len(rest)
            self._zeros = self._zeros and bytes(rest).count(0) == len(rest)

    def finish(self) -> None:
        """There are no more bytes. Raises `DataSetError` where it is cut short, or something else follows it."""
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

    def _judge(self, taken: int) -> None:
        given, ratio = self.given, self._ratio
        if given > self._most:
            raise DataSetError(f"a deflated data set of more than {self._most} bytes (limit {self._limit}) [PS3.5 A.5]")
        if given > INFLATE_FLOOR and given > ratio * taken:
            raise DataSetError(
                f"a deflated data set of {taken} bytes that inflates to {given} or more, {given // max(taken, 1)} for "
                f"each; {ratio} are allowed (limit inflate_ratio) [PS3.5 A.5]"
            )


def most_inflated(taken: int, limits: Limits) -> int:
    """Elements and items that a data set may have of which `taken` bytes, deflated, are there: each costs its sender a
    fraction of a byte, and whoever walks it a step of work."""
    return INFLATED_ELEMENTS + limits.inflate_elements * taken


def _check_inflated(count: int, taken: int, limits: Limits) -> None:
    if count > limits.object_elements:
        raise DataSetError(f"more elements than allowed, deflated (limit object_elements: {limits.object_elements})")
    if count > most_inflated(taken, limits):
        raise DataSetError(
            f"deflated: {count} elements in {taken} bytes; {limits.inflate_elements} for each are allowed, and "
            f"{INFLATED_ELEMENTS} (limit inflate_elements) [PS3.5 A.5]"
        )


class Mismatch(DataSetError):
    """A data set that names another SOP class or instance than the command it came with."""

    store_status = status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS


class Checker:
    """Whether the data set of a C-STORE can be one: that it has the structure of one, to its end, and names the SOP
    class and instance of the command, where it names any. Fed while it arrives; nothing of it is kept.

    Not checked: values; data sets in transfer syntaxes that are not known here (`Checker.of`).
    """

    __slots__ = ("_inflater", "_limits", "_walk", "_wanted")

    def __init__(self, transfer_syntax: str, sop_class_uid: str, sop_instance_uid: str, limits: Limits) -> None:
        """Raises ValueError for a transfer syntax that is not known here."""
        known = encoding(transfer_syntax)
        if known is None:
            raise ValueError(f"data sets in {uids.name_of(transfer_syntax)} cannot be checked")
        implicit, little, deflated = known
        self._walk = Walker(implicit=implicit, little=little, depth=limits.sequence_depth)
        self._inflater = Inflater(ratio=limits.inflate_ratio, most=_ENDLESS, limit="") if deflated else None
        self._limits = limits
        self._wanted = ((SOP_CLASS_UID, "class", sop_class_uid), (SOP_INSTANCE_UID, "instance", sop_instance_uid))

    @classmethod
    def of(
        cls, transfer_syntax: str, sop_class_uid: str, sop_instance_uid: str, limits: Limits | None = None
    ) -> Checker | None:
        """One for this C-STORE; None where its transfer syntax is not known here, and nothing can be checked."""
        if encoding(transfer_syntax) is None:
            return None
        return cls(transfer_syntax, sop_class_uid, sop_instance_uid, limits or Limits())

    @property
    def missing(self) -> tuple[str, ...]:
        """The tags of the UIDs that the data set does not name: sloppy, and no harm, for the command does."""
        return tuple(shown(tag) for tag, _, _ in self._wanted if not self._walk.seen.get(tag, b"").strip(b"\0 "))

    def feed(self, data: Buffer) -> None:
        """The next bytes. Raises `DataSetError`; nothing may be fed after it."""
        if self._inflater is None:
            self._walk.feed(data)
            return
        for piece in self._inflater.feed(data, _INFLATED):
            self._walk.feed(piece)
            _check_inflated(self._walk.count, self._inflater.used, self._limits)

    def finish(self) -> None:
        """That was all. Raises `DataSetError`; `Mismatch` where it is another object than the command says."""
        if self._inflater is not None:
            self._inflater.finish()
        self._walk.finish()
        if not self._walk.count:
            raise DataSetError("a data set without elements [PS3.5 7]")
        for tag, what, wanted in self._wanted:
            value = self._walk.seen.get(tag, b"").strip(b"\0 ")
            named = wanted.encode("ascii", "replace")
            if value and value != named and _plain(value) != _plain(named):
                raise Mismatch(f"SOP {what} UID {shown(tag)} is not the command's [PS3.4 B.2.3]")


def _plain(uid: bytes) -> list[bytes]:
    """A UID to be compared, without the zeros that some writers put before its components."""
    return [part.lstrip(b"0") for part in uid.strip(b"\0 ").split(b".")]


def shown(tag: int) -> str:
    """A tag for people: (0010,0010)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"

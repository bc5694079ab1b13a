"""Data sets from one transfer syntax to another, as streams: headers are rewritten, values pass untouched.

Knows: element headers (PS3.5 7.1), sequences (PS3.5 7.5), deflate (PS3.5 A.5); for implicit to explicit also
the data dictionary, which is pydicom's and is imported then and only then. Knows no files: bytes come from an
iterator, and what is wrong with them is a `TranscodeError` that whoever opened the file turns into its own.

Invariants: memory is one chunk and one header for each level of nesting, whatever the lengths say, and no
length is believed beyond the parent's end. Values are never decoded, so that text in the wrong character set
or a malformed number comes out as it went in. Sequences and items come out with undefined length, the other
of the two legal forms (PS3.5 7.5.1, 7.5.2): how long they become is known only after them. Group lengths,
retired (PS3.5 7.2), are left out: they would be wrong.

This walk is not `elements.Walker`: that one is fed and passes over, this one asks for bytes and writes.
They share the inflater, the limits and the texts of faults.
"""

import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from ..registry.uids import DEFLATED_EXPLICIT_VR_LE, EXPLICIT_VR_BE, EXPLICIT_VR_LE, IMPLICIT_VR_LE
from ..wire import Buffer
from .elements import (
    ITEM,
    ITEM_END,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_END,
    SHORT_VRS,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    UNDEFINED,
    DataSetError,
    Inflater,
    shown,
)

CONVERTIBLE: Final = (EXPLICIT_VR_LE, IMPLICIT_VR_LE, DEFLATED_EXPLICIT_VR_LE)
"""Transfer syntaxes among which a data set is converted; the encoded values are the same in all of them."""

DEPTH: Final = 64
"""Default limit on nesting: sequences 60,000 deep in 2 MB have overflowed the stacks of archives."""
INFLATE_RATIO: Final = 100
"""Default limit on bytes out for each byte in: 254 kB of deflate can hold 800 MB of zeros."""
INFLATE_BYTES: Final = 4 * 2**30
"""Default limit on the size of an inflated data set in bytes."""

PIXEL_REPRESENTATION: Final = 0x00280103
SMALL: Final = 4096


DICOS_PREFIX: Final = "1.2.840.10008.5.1.4.1.1.501."
# Where a DICOS object means another VR than DICOM's dictionary has, or DICOM's has none.
DICOS_VRS: Final = {
    0x00080118: b"CS",
    0x00082108: b"CS",
    0x00280008: b"US",
    0x40101075: b"FD",
    0x40101080: b"DT",
    0x40101081: b"DT",
    0x40101082: b"FL",
    0x43000902: b"FL",
}

PADDED_WITH_SPACE: Final = frozenset(b"AE AS CS DA DS DT IS LO LT PN SH ST TM UC UR UT".split())
"""VRs of text, which a space makes even; UI and everything binary take a NUL.  PS3.5 6.2"""
_LAYOUTS: Final = {order: (Struct(order + "HHI"), Struct(order + "HH2sH"), Struct(order + "HH2s2xI")) for order in "<>"}


class TranscodeError(Exception):
    """The bytes are no data set in the syntax they are said to be in, or break a limit; says where."""


@dataclass(slots=True)
class Level:
    """One level of nesting: the elements of a data set, or the items of a sequence."""

    items: bool
    explicit: bool
    end: int | None  # where it ends, if its length is defined
    bound: int | None  # where it or the nearest level around it of defined length ends
    fragments: bool = False  # items that are values, not data sets
    signed: bool = False  # Pixel Representation: what "US or SS" means here
    creators: dict[int, str] = field(default_factory=dict)


class Source:
    """An iterator of chunks read in other sizes; `position` counts the bytes taken."""

    __slots__ = ("_at", "_chunks", "_data", "position")

    def __init__(self, chunks: Iterator[Buffer]) -> None:
        self._chunks = chunks
        self._data: Buffer = b""
        self._at = 0
        self.position = 0

    def at_end(self) -> bool:
        """Whether every byte has been taken; may fetch a chunk."""
        while self._at == len(self._data):
            data = next(self._chunks, None)
            if data is None:
                return True
            self._data, self._at = data, 0
        return False

    def take(self, length: int) -> bytes:
        """Exactly `length` bytes, which the caller knows to be few."""
        end = self._at + length
        if end <= len(self._data):
            data = bytes(self._data[self._at : end])
            self._at = end
            self.position += length
            return data
        return b"".join(self.pieces(length))

    def pieces(self, length: int) -> Iterator[memoryview]:
        """Exactly `length` bytes, as views of the chunks they came in."""
        left = length
        while left:
            if self.at_end():
                what = "1 byte" if left == 1 else f"{left} bytes"
                raise TranscodeError(f"the data set ends at byte {self.position}, {what} short")
            piece = memoryview(self._data)[self._at : self._at + left]
            left -= len(piece)
            self._at += len(piece)
            self.position += len(piece)
            yield piece


Step = tuple[int, bytes, int, Level]
VROf = Callable[[int, Level], bytes]


class Walker:
    """Every element of a data set in order: tag, VR, length and the level it belongs to.

    Sequences and items appear as they open (VR `SQ`, tag `ITEM`) and close (`SEQUENCE_END`, `ITEM_END`), also
    where the input has a defined length and no delimiter. Of any other element the value is next in
    `source`; what is not taken is skipped. With `fragments`, encapsulated values are let through: an element of
    undefined length, then items with VR `OB` whose values are next in `source`. Without `vr_of`, elements of an
    implicit data set have VR `UN`, and sequences of defined length are passed over whole.
    """

    def __init__(
        self,
        source: Source,
        *,
        explicit: bool,
        depth: int = DEPTH,
        order: str = "<",
        vr_of: VROf | None = None,
        fragments: bool = False,
    ) -> None:
        self.source = source
        self._fragments = fragments
        self.root = Level(items=False, explicit=explicit, end=None, bound=None)
        self._stack = [self.root]
        self._depth = depth
        self._vr_of = vr_of
        self._tag_length = Struct(order + "HHI")
        self._tag_vr_length = Struct(order + "HH2sH")
        self._length = Struct(order + "I")

    def __iter__(self) -> Iterator[Step]:
        source, stack = self.source, self._stack
        while True:
            level = stack[-1]
            if level.end == source.position:
                stack.pop()
                yield (SEQUENCE_END if level.items else ITEM_END), b"", 0, level
            elif level is self.root and source.at_end():
                return
            else:
                step = self._item(level) if level.items else self._element(level)
                _, vr, length, _ = step
                after = source.position + length
                yield step
                if vr and vr != b"SQ" and length != UNDEFINED:
                    for _ in source.pieces(after - source.position):
                        pass

    def _item(self, level: Level) -> Step:
        """The next item of a sequence, or its end.  PS3.5 7.5"""
        start = self.source.position
        group, element, length = self._tag_length.unpack(self._header(level, 8))
        tag = group << 16 | element
        if tag == ITEM and level.fragments:
            self._check(level, tag, start, length)
            return tag, b"OB", length, level
        if tag == ITEM:
            self._push(level, items=False, explicit=level.explicit, length=length)
        elif tag == SEQUENCE_END and level.end is None:
            self._stack.pop()
        else:
            raise TranscodeError(f"{shown(tag)} at byte {start}, where an item of a sequence should be")
        return tag, b"", 0, level

    def _element(self, level: Level) -> Step:
        """The header of the next element of a data set, or the end of the item it is.  PS3.5 7.1"""
        start = self.source.position
        header = self._header(level, 8)
        group, element, length = self._tag_length.unpack(header)
        tag = group << 16 | element
        if group == 0xFFFE:
            if tag != ITEM_END or level is self.root or level.end is not None:
                raise TranscodeError(f"{shown(tag)} at byte {start}, where a data element should be")
            self._stack.pop()
            return tag, b"", 0, level
        if level.explicit:
            vr, length = self._explicit(level, header, start)
        else:
            vr = self._vr_of(tag, level) if self._vr_of else b"UN"
        if length != UNDEFINED:
            self._check(level, tag, start, length)
            if vr == b"SQ":
                self._push(level, items=True, explicit=level.explicit, length=length)
            return tag, vr, length, level
        # Undefined length means a sequence; that of a UN is implicit VR inside.  PS3.5 6.2.2, 7.1.3
        if self._fragments and (tag == PIXEL_DATA or vr not in (b"SQ", b"UN")) and vr in LONG_VRS:
            self._push(level, items=True, explicit=level.explicit, length=length)
            self._stack[-1].fragments = True
            return tag, vr, length, level
        if level.explicit and vr not in (b"SQ", b"UN"):
            raise TranscodeError(f"{shown(tag)} at byte {start} is encapsulated: its syntax does not allow that")
        self._push(level, items=True, explicit=level.explicit and vr == b"SQ", length=length)
        return tag, b"SQ", length, level

    def _explicit(self, level: Level, header: bytes, start: int) -> tuple[bytes, int]:
        """VR and length.  PS3.5 7.1.2"""
        group, element, vr, length = self._tag_vr_length.unpack(header)
        if vr in SHORT_VRS:
            return vr, length
        if vr in LONG_VRS:
            (length,) = self._length.unpack(self._header(level, 4))
            return vr, length
        raise TranscodeError(f"{shown(group << 16 | element)} at byte {start} has the unknown VR {vr!r}")

    def _header(self, level: Level, size: int) -> bytes:
        if level.bound is not None and self.source.position + size > level.bound:
            raise TranscodeError(f"an element header at byte {self.source.position} crosses its parent's end")
        return self.source.take(size)

    def _check(self, level: Level, tag: int, start: int, length: int) -> None:
        """A length is bounded by what is left of its parent."""
        if level.bound is not None and self.source.position + length > level.bound:
            left = level.bound - self.source.position
            raise TranscodeError(f"{shown(tag)} at byte {start} says {length} bytes; its parent has {left}")

    def _push(self, parent: Level, *, items: bool, explicit: bool, length: int) -> None:
        start = self.source.position
        if len(self._stack) > 2 * self._depth:
            raise TranscodeError(f"sequences nested deeper than {self._depth} at byte {start} (limit: depth)")
        end = None
        if length != UNDEFINED:
            self._check(parent, ITEM, start, length)
            end = start + length
        bound = parent.bound if end is None else end
        self._stack.append(Level(items=items, explicit=explicit, end=end, bound=bound, signed=parent.signed))


def can_convert(from_ts: str, to_ts: str) -> bool:
    """Whether a data set in `from_ts` can be had in `to_ts`; always, if they are the same."""
    return from_ts == to_ts or (from_ts in CONVERTIBLE and to_ts in CONVERTIBLE)


def convert(
    read: Callable[[], Generator[Buffer, None, None]],
    from_ts: str,
    to_ts: str,
    *,
    sop_class_uid: str = "",
    chunk: int = 512 * 1024,
    inflate_ratio: int = INFLATE_RATIO,
    inflate_bytes: int = INFLATE_BYTES,
    depth: int = DEPTH,
) -> Generator[Buffer, None, None]:
    """The data set that each call of `read` yields from its start, in `to_ts`, in pieces of about `chunk`.

    `sop_class_uid` chooses DICOS's VRs where they differ from DICOM's. The pair is one that `can_convert`.
    Raises TranscodeError.
    """

    with ExitStack() as readers:

        def decoded() -> Iterator[Buffer]:
            chunks = readers.enter_context(closing(read()))
            if from_ts != DEFLATED_EXPLICIT_VR_LE or from_ts == to_ts:
                return chunks
            return inflate(chunks, ratio=inflate_ratio, limit=inflate_bytes, chunk=chunk)

        chunks = decoded()
        if from_ts != to_ts and IMPLICIT_VR_LE in (from_ts, to_ts):
            vr_of, signed = None, False
            if from_ts == IMPLICIT_VR_LE:
                vr_of, signed = dictionary(sop_class_uid), _is_signed(decoded(), depth)
            walker = Walker(Source(chunks), explicit=from_ts != IMPLICIT_VR_LE, depth=depth, vr_of=vr_of)
            walker.root.signed = signed
            chunks = _rewrite(walker, to_explicit=to_ts != IMPLICIT_VR_LE, chunk=chunk)
        if to_ts == DEFLATED_EXPLICIT_VR_LE and from_ts != to_ts:
            chunks = deflate(chunks)
        yield from chunks


def padded(chunks: Iterator[Buffer], transfer_syntax: str, *, chunk: int = 512 * 1024) -> Iterator[bytes]:
    """The data set in the same transfer syntax, each value of an odd length made even: text by a space, all else by a
    NUL.

    Of an encapsulated one, fragments pass as they are. Not for deflated ones. Raises TranscodeError.  PS3.5 6.2, 7.1.1
    """
    explicit = transfer_syntax != IMPLICIT_VR_LE
    order = ">" if transfer_syntax == EXPLICIT_VR_BE else "<"
    vr_of = None if explicit else dictionary("")
    walker = Walker(Source(chunks), explicit=explicit, order=order, vr_of=vr_of, fragments=True)
    return _rewrite(walker, to_explicit=explicit, chunk=chunk, order=order)


def sop_uids(chunks: Iterator[Buffer], transfer_syntax: str) -> tuple[str, str]:
    """SOP class and instance UID from the data set itself, reading no further; "" for one that is not there.

    Works for every transfer syntax: what stands before (0008,0018) is never compressed pixels.
    """
    if transfer_syntax == DEFLATED_EXPLICIT_VR_LE:
        chunks = inflate(chunks, chunk=SMALL)
    walker = Walker(
        Source(chunks),
        explicit=transfer_syntax != IMPLICIT_VR_LE,
        order=">" if transfer_syntax == EXPLICIT_VR_BE else "<",
    )
    found = {SOP_CLASS_UID: "", SOP_INSTANCE_UID: ""}
    for tag, _, length, level in walker:
        if level is walker.root and tag in found and length <= SMALL:
            found[tag] = walker.source.take(length).decode("ascii", "replace").rstrip("\0 ")
        if level is walker.root and tag >= SOP_INSTANCE_UID:
            break
    return found[SOP_CLASS_UID], found[SOP_INSTANCE_UID]


def inflate(
    chunks: Iterator[Buffer], *, ratio: int = INFLATE_RATIO, limit: int = INFLATE_BYTES, chunk: int
) -> Iterator[bytes]:
    """The deflated data set as it was before; what follows the end of the deflate stream is padding.

    PS3.5 A.5
    """
    inflater = Inflater(ratio=ratio, most=limit, limit="inflate_bytes")
    try:
        for data in chunks:
            yield from inflater.feed(data, chunk)
        inflater.finish()
    except DataSetError as error:
        raise TranscodeError(str(error)) from error


def deflate(chunks: Iterator[Buffer]) -> Iterator[bytes]:
    """The data set deflated, with a NUL after it if that makes its length even.  PS3.5 A.5"""
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    length = 0
    for chunk in chunks:
        if data := engine.compress(chunk):
            length += len(data)
            yield data
    data = engine.flush()
    yield data + b"\0" if (length + len(data)) % 2 else data


def dictionary(sop_class_uid: str) -> VROf:
    """The VR of a tag by pydicom's dictionary, by its private dictionaries, or `UN`.  PS3.5 6.2.2"""
    from pydicom.datadict import dictionary_VR, private_dictionary_VR

    special = DICOS_VRS if sop_class_uid.startswith(DICOS_PREFIX) else {}

    def vr_of(tag: int, level: Level) -> bytes:
        if tag in special:
            return special[tag]
        try:
            if not tag >> 16 & 1:
                return _unambiguous(dictionary_VR(tag), level)
            if tag & 0xFFFF <= 0xFF:
                return b"LO" if tag & 0xFFFF >= 0x10 else b"UN"  # a private creator.  PS3.5 7.8.1
            creator = level.creators[tag >> 16 << 16 | (tag >> 8 & 0xFF)]
            return _unambiguous(private_dictionary_VR(tag, creator), level)
        except KeyError:
            return b"UN"

    return vr_of


def _unambiguous(vr: str, level: Level) -> bytes:
    """One VR where the dictionary offers several: all the bytes of OB, OW and US are the same here.

    PS3.5 A.1, A.2
    """
    if vr == "US or SS":
        return b"SS" if level.signed else b"US"
    if vr.endswith("OW"):
        return b"OW"
    encoded = vr.encode("ascii")
    return encoded if encoded in SHORT_VRS or encoded in LONG_VRS else b"UN"


def _is_signed(chunks: Iterator[Buffer], depth: int) -> bool:
    """Whether the implicit data set has signed pixels: elements before (0028,0103) need to know as well."""
    source = Source(chunks)
    walker = Walker(source, explicit=False, depth=depth)
    for tag, _, length, level in walker:
        if level is walker.root and tag >= PIXEL_REPRESENTATION:
            return tag == PIXEL_REPRESENTATION and length == 2 and source.take(2) == b"\1\0"
    return False


def _rewrite(walker: Walker, *, to_explicit: bool, chunk: int, order: str = "<") -> Iterator[bytes]:
    """The data set that `walker` walks, each header in the other form, each value of even length."""
    source = walker.source
    out = bytearray()
    for tag, vr, length, level in walker:
        if not tag & 0xFFFF and vr != b"SQ":
            continue  # a group length
        if vr in (b"", b"SQ") or length == UNDEFINED:
            length = UNDEFINED if vr or tag == ITEM else 0
            out += _header(tag, vr, length, explicit=to_explicit and vr != b"", order=order)
            continue
        odd = length % 2 and tag != ITEM
        out += _header(tag, vr, length + odd, explicit=to_explicit and tag != ITEM, order=order)
        if length <= SMALL:
            value = source.take(length)
            if not level.explicit:
                _note(level, tag, value)
            out += value
        else:
            for piece in source.pieces(length):
                out += piece
                if len(out) >= chunk:
                    yield bytes(out)
                    out.clear()
        if odd:
            out += b" " if vr in PADDED_WITH_SPACE else b"\0"
        if len(out) >= chunk:
            yield bytes(out)
            out.clear()
    if out:
        yield bytes(out)


def _note(level: Level, tag: int, value: bytes) -> None:
    """Remembers what later elements of the same item take their VR from."""
    if tag == PIXEL_REPRESENTATION:
        level.signed = value == b"\1\0"
    elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
        level.creators[tag] = value.decode("ascii", "replace").strip("\0 ")


def _header(tag: int, vr: bytes, length: int, *, explicit: bool, order: str = "<") -> bytes:
    tag_length, tag_vr_length, tag_vr_long = _LAYOUTS[order]
    if not explicit:
        return tag_length.pack(tag >> 16, tag & 0xFFFF, length)
    if vr in SHORT_VRS and length <= 0xFFFF:
        return tag_vr_length.pack(tag >> 16, tag & 0xFFFF, vr, length)
    # A value too long for the 16 bits of its VR is written as UN.  PS3.5 6.2.2
    return tag_vr_long.pack(tag >> 16, tag & 0xFFFF, b"UN" if vr in SHORT_VRS else vr, length)

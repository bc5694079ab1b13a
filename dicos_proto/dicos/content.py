"""DICOS objects on the wire: data sets as pieces whose pixel data is a view, and back into one buffer.

Theory of operation: `pieces` encodes everything but the pixel data, and puts views of the pixel data between. `Decoder`
takes pieces as they arrive. A `Walker` finds where the pixel data of the data set itself begins and ends; those bytes
are appended to a buffer, everything else is kept apart and decoded in the end. A buffer grows with what arrives: no
memory is allocated because of a length that a peer claims.

Knows: where pixel data is in a data set, and how its headers are written. Must not know: values, compression, numpy.
Invariants: pixel data is copied once when it is received and never when it is sent; `Limits.pixels` bounds it, and
`Limits.collected` everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from ..data import DataSetError, decode_object, encode
from ..data.checker import check_named, named_by
from ..data.elements import EXTENDED_HEADERS, LONGEST, UNDEFINED, Encoding, encoding, shown
from ..data.tokens import FRAGMENTS
from ..data.walker import Walker
from ..limits import Limits
from ..registry import uids
from ..wire import Buffer

__all__ = ["PIXELS", "Decoder", "pieces", "size_of"]

PIXELS: Final = {
    0x7FE00008: b"OF", 0x7FE00009: b"OD", 0x7FE00010: b"OW", 0x7FE00011: b"OL", 0x7FE00012: b"OD", 0x7FE00013: b"OF",
}  # fmt: skip
"""The elements with pixel data, and their value representation in implicit VR."""
_CHARACTER_SET: Final = 0x00080005
_TAG_LENGTH: Final = Struct("<HHL").pack
_TAG_VR_LENGTH: Final = Struct("<HH2s2xL").pack
_TAG_VR: Final = Struct("<HH2s").pack
_LONG_LENGTH: Final = Struct("<Q").pack
_END: Final = _TAG_LENGTH(0xFFFE, 0xE0DD, 0)
_VRS: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN"))


# -- out ---------------------------------------------------------------------------------------------------------------


def pieces(dataset: Dataset, transfer_syntax: str) -> tuple[Buffer, ...]:
    """Returns a data set as the pieces of its encoding, in order. Pixel data is not copied: its piece is a view of the
    bytes, or of the array, that the element holds; they must not change until the pieces are sent.

    Native pixel data stays native, and fragments stay fragments, so the transfer syntax must be one that fits. Raises
    `DataSetError` if it does not, if a value is too long for its length field, or if an element cannot be encoded.

    >>> from pydicom.dataset import Dataset
    >>> made = Dataset()
    >>> made.Rows = 1
    >>> made.add_new(0x7FE00010, "OW", b"abcd")
    >>> [bytes(one) for one in pieces(made, "1.2.840.10008.1.2.1")][1:]
    [b'\\xe0\\x7f\\x10\\x00OW\\x00\\x00\\x04\\x00\\x00\\x00', b'abcd']
    """
    known = encoding(transfer_syntax)
    if known is None:
        raise DataSetError(f"no codec for data sets in {uids.name_of(transfer_syntax)}")
    present = sorted(tag for tag in map(int, dataset.keys()) if tag in PIXELS)
    if known.deflated or not present:
        return (encode(dataset, transfer_syntax),)
    if not known.little:
        raise DataSetError(f"pixel data is not converted to {uids.name_of(transfer_syntax)}")
    found: list[Buffer] = []
    before = -1
    for tag in present:
        found += _encoded(dataset, transfer_syntax, before, tag)
        found += _pixels(dataset, tag, transfer_syntax, known)
        before = tag
    found += _encoded(dataset, transfer_syntax, before, 1 << 32)
    return tuple(found)


def size_of(encoded: tuple[Buffer, ...]) -> int:
    """Returns the size in bytes of what `pieces` has returned."""
    return sum(memoryview(piece).nbytes for piece in encoded)


def _encoded(dataset: Dataset, transfer_syntax: str, after: int, before: int) -> Iterator[bytes]:
    """Yields the elements between two tags, if there are any."""
    elements = {tag: one for tag, one in dataset._dict.items() if after < tag < before}
    if not elements:
        return
    named = BaseTag(_CHARACTER_SET)
    skip = 0
    if named in dataset._dict and named not in elements:  # its text is in the character set of the whole
        charset = {named: dataset._dict[named]}
        skip = len(encode(_with(dataset, charset), transfer_syntax))
        elements = charset | elements
    yield encode(_with(dataset, elements), transfer_syntax)[skip:]


def _with(dataset: Dataset, elements: dict[BaseTag, Any]) -> Dataset:
    """Returns a data set of these elements that is otherwise like the given one."""
    made = type(dataset).__new__(type(dataset))
    vars(made).update(vars(dataset))
    vars(made).update(_dict=elements)
    return made


def _pixels(dataset: Dataset, tag: int, transfer_syntax: str, known: Encoding) -> Iterator[Buffer]:
    """Yields the header, the value and the padding or delimiter of an element with pixel data."""
    element = dataset[tag]
    try:
        value = memoryview(element.value or b"").cast("B")
    except TypeError:
        raise DataSetError(f"{shown(tag)} has no bytes, and cannot be encoded") from None
    vr = element.VR.encode()
    vr = vr if vr in _VRS else PIXELS[tag]
    group, number = tag >> 16, tag & 0xFFFF
    native = transfer_syntax in _NATIVE
    if is_encapsulated(element, dataset) == native and value.nbytes:
        seen, wanted = ("in fragments", "native") if native else ("native", "compressed")
        raise DataSetError(f"{shown(tag)} is {seen}; {uids.name_of(transfer_syntax)} is for {wanted} pixel data")
    if not native and value.nbytes:
        yield _TAG_VR_LENGTH(group, number, vr, UNDEFINED)
        yield value
        yield _END
        return
    size = value.nbytes + value.nbytes % 2
    if size > LONGEST and not known.extended:
        extended = uids.name_of(uids.DICOS_EXPLICIT_VR_LE_EXTENDED)
        raise DataSetError(f"{shown(tag)} of {size} bytes; at most {LONGEST}, and more only in {extended}")
    if known.implicit:
        yield _TAG_LENGTH(group, number, size)
    elif known.extended and vr in EXTENDED_HEADERS:
        yield _TAG_VR(group, number, vr) + bytes(EXTENDED_HEADERS[vr] - 14) + _LONG_LENGTH(size)
    else:
        yield _TAG_VR_LENGTH(group, number, vr, size)
    yield value
    if size > value.nbytes:
        yield b"\0"


_NATIVE: Final = frozenset((uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED))


def is_encapsulated(element: DataElement, dataset: Dataset) -> bool:
    """Returns True if pixel data is in fragments: its length is not defined, or the file meta information says so
    [PS3.5 A.4]."""
    meta = getattr(dataset, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "")) if isinstance(meta, Dataset) else ""
    found = encoding(syntax) if syntax else None
    said = found is not None and found.little and not found.deflated and syntax not in _NATIVE
    return bool(element.is_undefined_length) or said


# -- in ----------------------------------------------------------------------------------------------------------------


class _Region:
    """Pixel data in the bytes of a data set."""

    __slots__ = ("buffer", "end", "fragments", "header", "start", "tag", "vr")

    def __init__(self, tag: int, vr: bytes | None, start: int, end: int | None, header: int) -> None:
        self.tag = tag
        self.vr = PIXELS[tag] if vr is None else vr
        self.start = start
        self.end = end
        """The position after its last byte; None for fragments until their delimiter is met."""
        self.fragments = end is None
        self.header = header
        """Bytes of its header."""
        self.buffer = bytearray()

    @property
    def over(self) -> int:
        """The position where something else begins, once it has ended."""
        return (self.end or 0) + len(_END) * self.fragments


class _Finder(Walker):
    """Finds the pixel data of a data set, but not that in sequences."""

    __slots__ = ("_depth", "_most", "regions")

    def __init__(self, known: Encoding, limits: Limits) -> None:
        super().__init__(
            implicit=known.implicit, little=known.little, limits=limits, tokens=True, extended=known.extended
        )
        self._depth = 0
        self._most = limits.pixels
        self.regions: list[_Region] = []

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        if not self._depth and tag in PIXELS:
            if length > self._most:
                raise too_long(tag, length, self._most)
            self._found(tag, vr, at, self._position + at + length)

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        if not self._depth and tag in PIXELS and kind == FRAGMENTS:
            self._found(tag, vr, at, None)
        self._depth += 1

    def closed(self, kind: int, at: int) -> None:
        self._depth -= 1
        if not self._depth and self.regions and self.regions[-1].end is None:
            self.regions[-1].end = self._position + at

    def _found(self, tag: int, vr: bytes | None, at: int, end: int | None) -> None:
        if any(region.tag == tag for region in self.regions):
            raise self.fault(f"{shown(tag)} twice", at)
        header = 8 if vr is None else 12
        if vr in self._extended:
            header = self._extended[vr]
        self.regions.append(_Region(tag, vr, self._position + at, end, header))


class Decoder:
    """Makes the data set of an object out of the pieces in which it arrives, its pixel data in one buffer.

    `limits`: `pixels` bounds the pixel data, `collected` everything else, and the others what they bound in every data
    set that is decoded. Raises `DataSetError` for a transfer syntax that is not known.

    >>> decoder = Decoder("1.2.840.10008.1.2")
    >>> decoder.feed(b"\\xe0\\x7f\\x10\\x00\\x04\\x00")
    >>> decoder.feed(b"\\x00\\x00abcd")
    >>> decoder.finish().PixelData
    bytearray(b'abcd')
    """

    __slots__ = ("_deflated", "_finder", "_limits", "_next", "_rest", "_syntax", "size")

    def __init__(self, transfer_syntax: str, limits: Limits | None = None) -> None:
        known = encoding(transfer_syntax)
        if known is None:
            raise DataSetError(f"no codec for data sets in {uids.name_of(transfer_syntax)}; the bytes are there")
        self._limits = limits or Limits()
        self._syntax = transfer_syntax
        self._finder = _Finder(known, self._limits)
        self._deflated = known.deflated
        self._rest = bytearray()
        self._next = 0  # the region that is being filled, or the next one to be found
        self.size = 0
        """Bytes fed so far."""

    def feed(self, piece: Buffer) -> None:
        """Takes the next bytes; their memory may be reused afterwards. Raises `DataSetError`, for bytes that are not a
        data set and for limits; nothing may be fed after it."""
        data, start = memoryview(piece), self.size
        self.size += len(data)
        if self._deflated:
            self._keep(data)
            return
        self._finder.feed(data)
        at = start
        while at < self.size:
            at += self._take(data[at - start :], at)

    def check(self, sop_class_uid: str, sop_instance_uid: str) -> None:
        """Raises `Mismatch` if the data set names another SOP class or instance than these, those of the command."""
        check_named(self._finder.seen, named_by(sop_class_uid, sop_instance_uid))

    def finish(self) -> Dataset:
        """Returns the data set; its transfer syntax is in `file_meta`. The value of pixel data is a bytearray with the
        bytes that arrived. Raises `DataSetError`."""
        if not self._deflated:
            self._finder.finish()
        made = decode_object(bytes(self._rest), self._syntax, self._limits)
        for region in self._finder.regions:
            vr = region.vr.decode()
            element = DataElement(
                Tag(region.tag), vr, region.buffer, None, region.fragments,
                already_converted=True, validation_mode=IGNORE,
            )  # fmt: skip
            made.add(element)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = UID(self._syntax)
        made.file_meta = meta
        return made

    def _take(self, data: memoryview, at: int) -> int:
        """Takes bytes that begin at the position `at`, up to the next place where pixel data begins or ends. Returns
        their number."""
        regions = self._finder.regions
        if self._next == len(regions):
            self._keep(data)
            return len(data)
        region = regions[self._next]
        if region.header:
            before = data[: max(region.start - at, 0)]
            self._keep(before)
            self._begin(region, at + len(before))
            return len(before)
        if region.end is None or at < region.end:
            inside = data if region.end is None else data[: region.end - at]
            self._fill(region, inside)
            return len(inside)
        del region.buffer[region.end - region.start :]  # the beginning of the delimiter, if the data was cut in it
        self._next += 1
        return max(region.over - at, 0)

    def _keep(self, data: memoryview) -> None:
        """Keeps bytes that are not pixel data."""
        seen, most = len(self._rest) + len(data), self._limits.collected
        if seen > most:
            raise DataSetError(f"{seen} bytes beside the pixel data; at most {most} (limit collected)")
        self._rest += data

    def _begin(self, region: _Region, at: int) -> None:
        """Takes the header of a region, which was kept with the rest, out of it, and so a short value that was cut."""
        kept = len(self._rest) - (at - region.start)
        region.buffer += self._rest[kept:]
        del self._rest[kept - region.header :]
        region.header = 0

    def _fill(self, region: _Region, data: memoryview) -> None:
        seen = sum(len(one.buffer) for one in self._finder.regions) + len(data)
        if seen > self._limits.pixels:
            raise too_long(region.tag, seen, self._limits.pixels)
        region.buffer += data


def too_long(tag: int, seen: int, allowed: int) -> DataSetError:
    """Returns the error that says that pixel data is longer than is allowed."""
    return DataSetError(f"{shown(tag)} of {seen} bytes; at most {allowed} (limit pixels)")

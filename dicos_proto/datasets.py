"""Data sets <-> bytes in a transfer syntax: the one place of the engine's core that knows pydicom, and only when asked.

`Attributes` is what services give and take: bytes and their transfer syntax, decoded when `dataset` is looked at.
Whoever wants no pydicom stays with the bytes.

Knows: how elements nest. Must not know: what an attribute means. Invariants: nothing is handed to the decoder before
its structure was walked without recursion, every length against its parent, every depth against `Limits`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

from . import uids
from .errors import ProtocolError
from .limits import Limits
from .tolerance import CLAUSES, Judge
from .wire import Buffer

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SYNTAXES = {
    uids.IMPLICIT_VR_LE: (True, True),
    uids.EXPLICIT_VR_LE: (False, True),
    uids.DEFLATED_EXPLICIT_VR_LE: (False, True),
    uids.EXPLICIT_VR_BE: (False, False),
}
"""Transfer syntax -> implicit VR, little endian. Compressed ones are explicit VR little endian.  # PS3.5 A.4"""
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations with 32 bits of length in explicit VR.  # PS3.5 7.1.2"""
_WIDTHS = {
    b"AT": 4, b"FD": 8, b"FL": 4, b"OD": 8, b"OF": 4, b"OL": 4, b"OV": 8, b"OW": 2, b"SL": 4, b"SS": 2, b"SV": 8,
    b"UL": 4, b"US": 2, b"UV": 8,
}  # fmt: skip
"""Bytes of one value, where they are always the same.  # PS3.5 6.2"""
_UNDEFINED = 0xFFFFFFFF
_TEXTS = frozenset((b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"))
"""Value representations whose text is in the specific character set.  # PS3.5 6.1.2.2"""
_CHARACTER_SET = 0x00080005
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_DATA = 0x7FE00010


_STRICT = Judge(Limits())


class DataSetError(ProtocolError):
    """Bytes that are no data set in their transfer syntax, or a data set that cannot be encoded in one.

    The text says where and what; it holds no values.
    """


@dataclass(frozen=True, slots=True)
class Attributes:
    """A data set as bytes in a transfer syntax: an identifier, an attribute list, what an event or an action says."""

    data: bytes = field(repr=False)
    transfer_syntax: str
    judge: Judge = field(default=_STRICT, repr=False, compare=False)
    """The limits and the tolerance that are held to when it is decoded: those of the association it came on."""

    @property
    def dataset(self) -> Dataset:
        """The data set, decoded now. Raises `DataSetError`."""
        return decode(self.data, self.transfer_syntax, self.judge)


Content: TypeAlias = "Buffer | Attributes | Dataset"
"""What is given as a data set: bytes in the transfer syntax of the context, or what can be put in it."""


def content(given: Content, transfer_syntax: str) -> Buffer:
    """`given` in `transfer_syntax`. Raises `DataSetError`."""
    if isinstance(given, bytes | bytearray | memoryview):
        return given
    if isinstance(given, Attributes):
        if given.transfer_syntax == transfer_syntax:
            return given.data
        given = given.dataset
    return encode(given, transfer_syntax)


def encode(dataset: Dataset, transfer_syntax: str) -> bytes:
    """A pydicom data set as bytes. Raises `DataSetError`."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    implicit, little = _syntax(transfer_syntax)
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, little
    try:
        write_dataset(out, dataset)
    except faults() as fault:
        raise DataSetError(
            f"a data set that cannot be encoded in {uids.name_of(transfer_syntax)}: {type(fault).__name__}"
        ) from None
    encoded: bytes = out.getvalue()
    if transfer_syntax == uids.DEFLATED_EXPLICIT_VR_LE:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        encoded = deflate.compress(encoded) + deflate.flush()
        encoded += b"\0" * (len(encoded) % 2)  # PS3.5 A.5
    return encoded


def decode(data: Buffer, transfer_syntax: str, judge: Judge = _STRICT) -> Dataset:
    """A whole data set as pydicom's, its values not yet converted. Raises `DataSetError`: broken, cut short, too deep.

    `judge`: limits, and what is let through. Text beyond ASCII in a data set that does not say its character set is a
    deviation (`missing_character_set`).  # PS3.5 6.1.2

    pydicom converts a value when it is looked at, and may warn or raise then: `value_of` raises `DataSetError`.
    """
    from pydicom.filereader import read_dataset

    implicit, little = _syntax(transfer_syntax)
    if transfer_syntax == uids.DEFLATED_EXPLICIT_VR_LE:
        data = _inflate(data, judge.limits.attributes)
    raw = bytes(data)
    walk = _Walk(raw, implicit=implicit, little=little, depth=judge.limits.sequence_depth)
    walk.run()
    if walk.unlabelled is not None:
        tag = walk.unlabelled
        detail = f"text beyond ASCII in ({tag >> 16:04X},{tag & 0xFFFF:04X}) of a data set without a character set"
        if not judge.let("missing_character_set", detail):
            raise DataSetError(f"{detail} [{CLAUSES['missing_character_set']}]")
    try:
        # At the top level pydicom takes a first length of, say, 0x4E55 for the value representation UN.
        return read_dataset(BytesIO(raw), implicit, little, at_top_level=not implicit)
    except faults() as fault:
        raise DataSetError(f"a data set that cannot be decoded: {type(fault).__name__}") from None


def value_of(dataset: Dataset, keyword: str) -> object:
    """The value of an attribute, None where it is absent. Raises `DataSetError` for one that does not fit its VR."""
    try:
        value: object = dataset.get(keyword)
    except faults():
        raise DataSetError(f"a value of {keyword} that does not fit its value representation [PS3.5 6.2]") from None
    return value


def convert(dataset: Dataset) -> Dataset:
    """The same data set, every value of it looked at, so that none raises later.

    Raises `DataSetError` for one that does not fit its value representation.
    """
    waiting = [dataset]
    try:
        while waiting:
            for element in waiting.pop():
                if element.VR == "SQ":
                    waiting += element.value
    except faults():
        raise DataSetError(
            "a value that does not fit its value representation [PS3.5 6.2]"
        ) from None  # its text repeats values
    return dataset


def faults() -> tuple[type[Exception], ...]:
    """What pydicom is known to raise for values that do not fit; the texts repeat them, so they are not passed on."""
    from pydicom.errors import BytesLengthException

    return (
        BytesLengthException, ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OverflowError,
        OSError, EOFError, RecursionError, Warning, struct.error,
    )  # fmt: skip


def _syntax(transfer_syntax: str) -> tuple[bool, bool]:
    found = _SYNTAXES.get(transfer_syntax)
    if found is not None:
        return found
    if transfer_syntax in uids.TRANSFER_SYNTAXES and transfer_syntax != uids.DICOS_EXPLICIT_VR_LE_EXTENDED:
        return False, True
    raise DataSetError(f"no codec for data sets in {uids.name_of(transfer_syntax)}; the bytes are there")


def _inflate(data: Buffer, most: int) -> bytes:
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        raw = inflater.decompress(data, most + 1)
    except zlib.error:
        raise DataSetError("a deflated data set that cannot be inflated [PS3.5 A.5]") from None
    if len(raw) > most:
        raise DataSetError(f"a deflated data set of more than {most} bytes (limit attributes) [PS3.5 A.5]")
    if not inflater.eof:
        raise DataSetError("a deflated data set that is cut short [PS3.5 A.5]")
    if inflater.unused_data not in (b"", b"\0"):
        raise DataSetError(f"{len(inflater.unused_data)} bytes after the end of a deflated data set [PS3.5 A.5]")
    return raw


class _Walk:
    """Every element of a data set once, nested ones included, without recursion and without looking at values."""

    __slots__ = (
        "_at", "_data", "_depth", "_ends", "_header", "_implicit", "_labelled", "_long", "_open_sequences", "_short",
        "unlabelled",
    )  # fmt: skip

    def __init__(self, data: bytes, *, implicit: bool, little: bool, depth: int) -> None:
        order = "<" if little else ">"
        self._data = data
        self._at = 0
        self._depth = depth
        self.unlabelled: int | None = None
        """The first element with text beyond ASCII before which no character set was named."""
        self._labelled = False
        self._header = struct.Struct(order + "HHL")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "L")
        self._implicit = [implicit]  # what is in a UN of undefined length is implicit.  # PS3.5 6.2.2
        self._open_sequences = 0
        self._ends: list[tuple[bool, int | None]] = []
        """Open sequences and items: whether it is a sequence, and where it ends, None where a delimiter tells."""

    def run(self) -> None:
        """Raises `DataSetError`."""
        end = len(self._data)
        while True:
            while self._ends and self._ends[-1][1] == self._at:
                self._close()
            if self._at == end:
                break
            self._element()
        if self._ends:
            raise self._fault(f"{len(self._ends)} sequences and items that are not ended")

    def _element(self) -> None:
        end = self._end()
        tag, length = self._tag(end)
        inside_sequence = bool(self._ends) and self._ends[-1][0]
        if tag == _ITEM:
            if not inside_sequence:
                raise self._fault("an item outside a sequence")
            self._open(length, end, sequence=False)
        elif tag in (_ITEM_END, _SEQUENCE_END):
            if not self._ends or self._ends[-1] != (tag == _SEQUENCE_END, None) or length:
                raise self._fault("a delimiter that delimits nothing")
            self._close()
        elif inside_sequence:
            raise self._fault("an element where an item is to begin")
        else:
            vr = self._vr(end)
            length = length if vr is None else self._explicit_length(vr, end)
            known = _dictionary_vr(tag) if vr is None or vr == b"UN" else vr
            nested = (vr or known) == b"SQ"
            if nested or (length == _UNDEFINED and known in (b"SQ", b"UN")):
                self._open(length, end, sequence=True, implicit=vr == b"UN")
            elif length == _UNDEFINED and tag == _PIXEL_DATA:
                raise self._fault("pixel data in fragments, which no attribute list has")
            elif length == _UNDEFINED:
                raise self._fault("a value of undefined length that is no sequence")  # PS3.5 7.1.1
            else:
                width = _WIDTHS.get(vr or b"", 1)
                if length % width:
                    raise self._fault(f"{length} bytes of {(vr or b'').decode()}, whose values are {width} long")
                self._skip(length, end)
                self._look(tag, vr, length)

    def _look(self, tag: int, vr: bytes | None, length: int) -> None:
        """Note a character set, and text that needs one."""
        if tag == _CHARACTER_SET:
            self._labelled = self._labelled or length > 0
        elif not self._labelled and self.unlabelled is None:
            value = self._data[self._at - length : self._at]
            if not value.isascii() and (vr or _dictionary_vr(tag)) in _TEXTS:
                self.unlabelled = tag

    def _end(self) -> int:
        """Where what is open now ends at the latest."""
        for _, end in reversed(self._ends):
            if end is not None:
                return end
        return len(self._data)

    def _tag(self, end: int) -> tuple[int, int]:
        if end - self._at < 8:
            raise self._fault(f"an element header of {end - self._at} bytes")
        group, element, length = self._header.unpack_from(self._data, self._at)
        self._at += 8
        return group << 16 | element, length

    def _vr(self, end: int) -> bytes | None:
        """The value representation that is written there, None in implicit VR."""
        if self._implicit[-1]:
            return None
        vr = self._data[self._at - 4 : self._at - 2]
        if not (vr.isalpha() and vr.isupper()):
            raise self._fault("no value representation where one is to be")
        return vr

    def _explicit_length(self, vr: bytes, end: int) -> int:
        length: int
        if vr not in _LONG:
            (length,) = self._short.unpack_from(self._data, self._at - 2)
            return length
        if end - self._at < 4:
            raise self._fault("an element header that is cut short")
        (length,) = self._long.unpack_from(self._data, self._at)
        self._at += 4
        return length

    def _open(self, length: int, end: int, *, sequence: bool, implicit: bool = False) -> None:
        if length != _UNDEFINED and length > end - self._at:
            raise self._fault(f"a length of {length} with {end - self._at} bytes left")
        self._ends.append((sequence, None if length == _UNDEFINED else self._at + length))
        self._implicit.append(implicit or self._implicit[-1])
        self._open_sequences += sequence
        if self._open_sequences > self._depth:
            raise self._fault(f"sequences nested deeper than allowed (limit sequence_depth: {self._depth})")

    def _close(self) -> None:
        self._open_sequences -= self._ends.pop()[0]
        self._implicit.pop()

    def _skip(self, length: int, end: int) -> None:
        if length > end - self._at:
            raise self._fault(f"a value of {length} bytes with {end - self._at} left")
        self._at += length

    def _fault(self, what: str) -> DataSetError:
        return DataSetError(f"{what}, before byte {self._at} of the data set [PS3.5 7]")


def _dictionary_vr(tag: int) -> bytes:
    """What the dictionary says: implicit VR does not tell."""
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag).encode()
    except KeyError:
        return b"UN"

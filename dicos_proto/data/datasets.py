"""Data sets <-> bytes in a transfer syntax: the one place of the engine's core that knows pydicom, and only when asked.

`Attributes` is what services give and take: bytes and their transfer syntax, decoded when `dataset` is looked at.
Whoever wants no pydicom stays with the bytes.

Knows: what pydicom makes of elements. Must not know: what an attribute means. Invariants: this is the one decoder for
whatever comes from a peer or a file: nothing is made of bytes but while they are walked (`elements`), without
recursion, every length against its parent, every depth and count against `Limits`. What is inflated is counted while it
is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import MutableSequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from ..limits import Limits
from ..registry import uids
from ..tolerance import CLAUSES, Judge
from ..wire import Buffer
from .elements import ITEM, UNDEFINED, DataSetError, Inflater, Walker, encoding, most_inflated

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

__all__ = [
    "Attributes", "Content", "DataSetError", "content", "convert", "decode", "decode_object", "encode", "faults",
    "value_of",
]  # fmt: skip

_WIDTHS = {
    b"AT": 4, b"FD": 8, b"FL": 4, b"OD": 8, b"OF": 4, b"OL": 4, b"OV": 8, b"OW": 2, b"SL": 4, b"SS": 2, b"SV": 8,
    b"UL": 4, b"US": 2, b"UV": 8,
}  # fmt: skip
"""Bytes of one value, where they are always the same.  # PS3.5 6.2"""
_BINARY: Final = {
    **{vr: width for vr, width in _WIDTHS.items() if vr[:1] != b"O"},
    b"US or SS": 2, b"US or OW": 2, b"US or SS or OW": 2,
}  # fmt: skip
"""Of those that become an object for each value: the width."""
_SEVERAL: Final = frozenset(b"AE AS CS DA DS DT IS LO PN SH TM UC UI".split())
"""Value representations of text that may hold several values, with backslashes between them.  # PS3.5 6.4"""
_TEXTS = frozenset((b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"))
"""Value representations whose text is in the specific character set.  # PS3.5 6.1.2.2"""
_CHARACTER_SET = 0x00080005
_CHARACTER_SETS: Final = 16
"""Character sets that a data set may name: there are fewer with code extensions. Each is tried for each text."""


_STRICT = Judge(Limits())


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

    implicit, little, deflated = _syntax(transfer_syntax)
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, little
    try:
        write_dataset(out, dataset)
    except faults() as fault:
        raise DataSetError(
            f"a data set that cannot be encoded in {uids.name_of(transfer_syntax)}: {type(fault).__name__}"
        ) from None
    encoded: bytes = out.getvalue()
    if deflated:
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
    limits = judge.limits
    built = _build(data, transfer_syntax, limits, limits.attributes, "attributes", composite=False)
    tag = built.unlabelled
    if tag is not None:
        detail = f"text beyond ASCII in ({tag >> 16:04X},{tag & 0xFFFF:04X}) of a data set without a character set"
        if not judge.let("missing_character_set", detail):
            raise DataSetError(f"{detail} [{CLAUSES['missing_character_set']}]")
    return built.made()


def decode_object(data: Buffer, transfer_syntax: str, limits: Limits | None = None) -> Dataset:
    """The whole data set of a composite object as pydicom's, its values not yet converted. Raises `DataSetError`.

    Pixel data stays as it is, in fragments too. `limits`: what is inflated (`collected`, `inflate_ratio`), how deep it
    nests (`sequence_depth`), of how many elements, items and values it is (`object_elements`, `object_items`,
    `object_values`; deflated, `inflate_elements`). What writers are known to get wrong, and pydicom reads, is read.
    """
    limits = limits or _STRICT.limits
    return _build(data, transfer_syntax, limits, limits.collected, "collected", composite=True).made()


def _build(data: Buffer, transfer_syntax: str, limits: Limits, most: int, limit: str, *, composite: bool) -> _Builder:
    implicit, little, deflated = _syntax(transfer_syntax)
    raw = _inflate(data, limits.inflate_ratio, most, limit, strict=not composite) if deflated else bytes(data)
    inflated = most_inflated(len(data), limits) if deflated else None
    builder = _Builder(raw, implicit=implicit, little=little, limits=limits, composite=composite, inflated=inflated)
    try:
        builder.feed(raw)
        builder.finish()
    except faults() as fault:  # out of a dictionary that the application has extended
        raise DataSetError(f"a data set that cannot be decoded: {type(fault).__name__}") from None
    return builder


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


def _syntax(transfer_syntax: str) -> tuple[bool, bool, bool]:
    found = encoding(transfer_syntax)
    if found is None:
        raise DataSetError(f"no codec for data sets in {uids.name_of(transfer_syntax)}; the bytes are there")
    return found


def _inflate(data: Buffer, ratio: int, most: int, limit: str, *, strict: bool) -> bytes:
    inflater = Inflater(ratio=ratio, most=most, limit=limit, strict=strict)
    whole = bytearray()
    for piece in inflater.feed(data):
        whole += piece
    inflater.finish()
    return bytes(whole)


class _Open:
    """What is being made of a sequence, an item, fragments, or the data set itself."""

    __slots__ = ("at", "charset", "creators", "elements", "implicit", "items", "length", "orphans", "tag", "vr")

    def __init__(
        self, tag: int, vr: bytes | None, at: int, length: int, charset: str | MutableSequence[str], *, implicit: bool
    ) -> None:
        self.tag = tag
        self.vr = vr
        self.at = at
        self.length = length
        self.charset = charset
        self.implicit = implicit
        self.elements: dict[BaseTag, RawDataElement | DataElement] = {}
        self.items: list[Dataset] = []
        self.creators: dict[int, str] = {}
        """Private creators by the first tag of their block, without its lowest byte."""
        self.orphans: set[int] = set()
        """Blocks with elements that no creator stands before."""


class _Builder(Walker):
    """A data set made while it is walked, of what lies in `data`: what is counted is what is made.

    pydicom would look at sequences in private elements and in UN a second time, later and by rules of its own; here
    they are what they are at once.
    """

    __slots__ = (
        "_blank", "_class", "_data", "_default", "_elements_left", "_empty", "_inflated", "_items_left",
        "_labelled", "_limits", "_little", "_object", "_open_ones", "_raw", "_tag", "_values_left", "unlabelled",
    )  # fmt: skip

    def __init__(
        self, data: bytes, *, implicit: bool, little: bool, limits: Limits, composite: bool, inflated: int | None
    ) -> None:
        """`inflated`: elements and items that it may have for the bytes that it was inflated from."""
        from pydicom.charset import default_encoding
        from pydicom.dataelem import RawDataElement, empty_value_for_VR
        from pydicom.tag import BaseTag

        from .conversion import QuietDataset

        super().__init__(
            implicit=implicit, little=little, depth=limits.sequence_depth, strict=not composite, size=len(data)
        )
        self._raw, self._empty, self._tag = RawDataElement, empty_value_for_VR, BaseTag
        self._class: type[Dataset] = QuietDataset
        self._blank = tuple(vars(QuietDataset()).items())
        self._takes = True
        self._data = data
        self._little = little
        self._limits = limits
        self._object = composite
        self._inflated = inflated
        self._elements_left = self._most("elements")[1]
        self._items_left = self._most("items")[1]
        self._values_left = self._most("values")[1]
        self._default = default_encoding
        self._open_ones = [_Open(0, None, 0, len(data), default_encoding, implicit=implicit)]
        self._labelled = False
        self.unlabelled: int | None = None
        """The first element with text beyond ASCII before which no character set was named."""

    def made(self) -> Dataset:
        """The data set, once it was walked."""
        return self._dataset(self._open_ones[0], self._default)

    def _dataset(self, one: _Open, parent: str | MutableSequence[str]) -> Dataset:
        """What pydicom's constructor and `set_original_encoding` make, in a tenth of the time that these take for each
        item: their assignments look every name up among the keywords."""
        made = self._class.__new__(self._class)
        vars(made).update({name: {**value} if isinstance(value, dict) else value for name, value in self._blank})
        vars(made).update(
            _dict=one.elements,
            _parent_encoding=parent,
            _read_implicit=one.implicit,
            _read_little=self._little,
            _read_charset=one.charset,
        )
        return made

    # -- what is met -------------------------------------------------------------------------------------------------

    def _known(self, tag: int, vr: bytes | None) -> bytes:
        if tag >> 16 & 1:
            return self._private(tag)
        return _dictionary_vr(tag)

    def _private(self, tag: int) -> bytes:
        """By the private dictionaries, whose key is the creator of the block.  # PS3.5 7.8.1"""
        from pydicom.datadict import private_dictionary_VR

        if tag & 0xFFFF < 0x1000:
            return b"LO" if 0x10 <= tag & 0xFFFF <= 0xFF else b"UN"
        here = self._open_ones[-1]
        creator = here.creators.get(tag >> 8)
        if creator is None:
            here.orphans.add(tag >> 8)
            return b"UN"
        try:
            return private_dictionary_VR(tag, creator).encode()
        except KeyError:
            return b"UN"

    def _take(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        self._count_element(at)
        value = self._data[at : at + length]
        here = self._open_ones[-1]
        if not self._object:
            self._judge_width(vr, length, at)
        self._judge_values(known, value, at)
        if tag == _CHARACTER_SET:
            here.charset = self._character_set(value, at)
            self._labelled = self._labelled or length > 0
        elif not self._labelled and self.unlabelled is None and known in _TEXTS and not value.isascii():
            self.unlabelled = tag
        if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            self._creator(tag, value, at)
        name = None if vr is None else vr.decode()
        here.implicit = self._levels[-1].implicit
        key = self._tag(tag)
        content = value or self._empty(name, raw=True)
        here.elements[key] = self._raw(key, name, length, content, at, here.implicit, self._little)  # type: ignore[arg-type]

    def _judge_width(self, vr: bytes | None, length: int, at: int) -> None:
        """Values of an attribute list have to be whole."""
        width = _WIDTHS.get(vr or b"", 1)
        if length % width:
            raise self._fault(f"{length} bytes of {(vr or b'').decode()}, whose values are {width} long", at + length)

    def _judge_values(self, known: bytes, value: bytes, at: int) -> None:
        """Nor are they to be too many: each becomes an object when one of them is looked at."""
        if known in _BINARY:
            count = len(value) // _BINARY[known]
            self._values_left -= count // 8 if self._object and known != b"AT" else count
        elif known in _SEVERAL or known in _TEXTS:  # each escape sequence is decoded by itself
            self._values_left -= value.count(b"\\") * (known in _SEVERAL) + value.count(b"\x1b") + 1
        if self._values_left < 0:
            raise self._too_many("values", at)

    def _character_set(self, value: bytes, at: int) -> str | MutableSequence[str]:
        from .conversion import codecs_of

        named = value.decode("ascii", "replace").rstrip("\0 ").split("\\")
        if len(named) > _CHARACTER_SETS:
            raise self._fault(f"{len(named)} character sets where {_CHARACTER_SETS} are the most", at)
        return codecs_of([one.strip() for one in named])

    def _creator(self, tag: int, value: bytes, at: int) -> None:
        here, block = self._open_ones[-1], tag >> 16 << 8 | tag & 0xFF
        name = value.decode("ascii", "replace").strip("\0 ")
        if block in here.orphans or here.creators.get(block, name) != name:
            raise self._fault("a private creator after elements of its block [PS3.5 7.8.1]", at)
        here.creators[block] = name

    def _opened(self, tag: int, vr: bytes | None, at: int, length: int) -> None:
        level = self._levels[-1]
        if tag == ITEM:
            self._items_left -= 1
            if self._items_left < 0:
                raise self._too_many("items", at)
            if level.kind:  # a fragment
                return
        else:
            self._count_element(at)
        self._open_ones.append(_Open(tag, vr, at, length, self._open_ones[-1].charset, implicit=level.implicit))

    def _count_element(self, at: int) -> None:
        self._elements_left -= 1
        if self._elements_left < 0:
            raise self._too_many("elements", at)

    def _most(self, what: str) -> tuple[str, int]:
        """How many of these it may have, and the limit that says so."""
        name = f"object_{what}" if self._object else what
        limits = self._limits
        allowed = {
            "elements": limits.elements,
            "items": limits.items,
            "values": limits.values,
            "object_elements": limits.object_elements,
            "object_items": limits.object_items,
            "object_values": limits.object_values,
        }[name]
        if self._inflated is not None and self._inflated < allowed and what != "values":
            return "inflate_elements", self._inflated
        return name, allowed

    def _too_many(self, what: str, at: int) -> DataSetError:
        name, allowed = self._most(what)
        return self._fault(f"more {what} than allowed (limit {name}: {allowed})", at)

    def _closed(self, kind: int, at: int) -> None:
        from pydicom.dataelem import DataElement
        from pydicom.sequence import Sequence

        one = self._open_ones.pop()
        around = self._open_ones[-1]
        undefined = one.length == UNDEFINED
        tag = self._tag(one.tag)
        if kind == 0:
            made = self._dataset(one, around.charset)
            vars(made).update(
                is_undefined_length_sequence_item=undefined, seq_item_tell=one.at - 8, file_tell=one.at - 8
            )
            around.items.append(made)
        elif kind == 1:
            sequence = Sequence(one.items)
            sequence.is_undefined_length = undefined
            around.elements[tag] = DataElement(tag, "SQ", sequence, one.at, is_undefined_length=undefined)
        else:
            value = self._data[one.at : at]
            vr = None if one.vr is None else one.vr.decode()
            around.elements[tag] = self._raw(tag, vr, UNDEFINED, value, one.at, around.implicit, self._little)


@lru_cache(maxsize=4096)
def _dictionary_vr(tag: int) -> bytes:
    """What the dictionary says: implicit VR does not tell."""
    from .conversion import dictionary_vr

    return dictionary_vr(tag).encode()

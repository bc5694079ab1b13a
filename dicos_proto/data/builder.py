"""Makes pydicom's data sets while the bytes are walked over. Only `datasets` imports this, and only to decode.

Knows: how pydicom represents elements. Must not know: what an attribute means. Invariants: every object is counted
against `Limits` before it is made. pydicom would decode sequences in private elements and in UN a second time, later
and by its own rules; here they are decoded once, with the rest.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from functools import lru_cache
from typing import Final

from pydicom.charset import default_encoding
from pydicom.datadict import private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from ..limits import Limits
from ..wire import Buffer
from .conversion import QuietDataset, codecs_of, dictionary_vr
from .elements import UNDEFINED, DataSetError, is_creator
from .tokens import ELEMENTS, ITEMS
from .walker import Walker

_WIDTHS: Final = {
    b"AT": 4, b"FD": 8, b"FL": 4, b"OD": 8, b"OF": 4, b"OL": 4, b"OV": 8, b"OW": 2, b"SL": 4, b"SS": 2, b"SV": 8,
    b"UL": 4, b"US": 2, b"UV": 8,
}  # fmt: skip
"""Bytes of one value, for representations whose values all have the same length [PS3.5 6.2]."""
_BINARY: Final = {
    **{vr: width for vr, width in _WIDTHS.items() if vr[:1] != b"O"},
    b"US or SS": 2, b"US or OW": 2, b"US or SS or OW": 2,
}  # fmt: skip
"""Bytes of one value, for binary representations whose values become an object each."""
_SEVERAL: Final = frozenset(b"AE AS CS DA DS DT IS LO PN SH TM UC UI".split())
"""Value representations of text that may hold several values, with backslashes between them [PS3.5 6.4]."""
_TEXTS: Final = frozenset((b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"))
"""Value representations whose text is in the specific character set [PS3.5 6.1.2.2]."""
_CHARACTER_SET: Final = 0x00080005


class _Open:
    """A sequence, an item, fragments or the data set itself, not yet complete."""

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


class Builder(Walker):
    """Makes a data set of bytes that are fed at once: `at` of its tokens is the position in the data set."""

    __slots__ = (
        "_blank", "_data", "_elements_left", "_inflated", "_items_left", "_labelled", "_little", "_object",
        "_open_ones", "_values_left", "unlabelled",
    )  # fmt: skip

    def __init__(
        self,
        data: bytes,
        *,
        implicit: bool,
        little: bool,
        limits: Limits,
        composite: bool,
        inflated: int | None,
        extended: bool = False,
    ) -> None:
        """`inflated`: elements and items that it may have for the bytes that it was inflated from."""
        super().__init__(
            implicit=implicit,
            little=little,
            limits=limits,
            strict=not composite,
            size=len(data),
            tokens=True,
            extended=extended,
        )
        self._blank = tuple(vars(QuietDataset()).items())
        self._data = data
        self._little = little
        self._object = composite
        self._inflated = inflated
        self._elements_left = self._most("elements")[1]
        self._items_left = self._most("items")[1]
        self._values_left = self._most("values")[1]
        self._open_ones = [_Open(0, None, 0, len(data), default_encoding, implicit=implicit)]
        self._labelled = False
        self.unlabelled: int | None = None
        """The first element with text beyond ASCII before which no character set was named."""

    def made(self) -> Dataset:
        """Returns the data set after all its bytes were walked over."""
        return self._dataset(self._open_ones[0], default_encoding)

    def _dataset(self, one: _Open, parent: str | MutableSequence[str]) -> Dataset:
        """Makes what pydicom's constructor and `set_original_encoding` make, in a tenth of the time that these take for
        each item: their assignments look every name up among the keywords."""
        made = QuietDataset.__new__(QuietDataset)
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

    def vr_of(self, tag: int, vr: bytes | None) -> bytes:
        if tag >> 16 & 1:
            return self._private(tag)
        return _dictionary_vr(tag)

    def _private(self, tag: int) -> bytes:
        """Looks in the private dictionaries, whose key is the creator of the block [PS3.5 7.8.1]."""
        if tag & 0xFFFF < 0x1000:
            return b"LO" if is_creator(tag) else b"UN"
        here = self._open_ones[-1]
        creator = here.creators.get(tag >> 8)
        if creator is None:
            here.orphans.add(tag >> 8)
            return b"UN"
        try:
            return private_dictionary_VR(tag, creator).encode()
        except KeyError:
            return b"UN"

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
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
        if is_creator(tag):
            self._creator(tag, value, at)
        name = None if vr is None else vr.decode()
        here.implicit = vr is None
        key = BaseTag(tag)
        content = value or empty_value_for_VR(name, raw=True)
        here.elements[key] = RawDataElement(key, name, length, content, at, here.implicit, self._little)  # type: ignore[arg-type]

    def _judge_width(self, vr: bytes | None, length: int, at: int) -> None:
        """Checks that the length of an attribute is a multiple of the length of one value."""
        width = _WIDTHS.get(vr or b"", 1)
        if length % width:
            raise self.fault(f"{length} bytes of {(vr or b'').decode()}, whose values are {width} long", at + length)

    def _judge_values(self, known: bytes, value: bytes, at: int) -> None:
        """Counts values against their limit: all of them become objects when one of them is read."""
        if known in _BINARY:
            count = len(value) // _BINARY[known]
            self._values_left -= count // 8 if self._object and known != b"AT" else count
        elif known in _SEVERAL or known in _TEXTS:  # each escape sequence is decoded by itself
            self._values_left -= value.count(b"\\") * (known in _SEVERAL) + value.count(b"\x1b") + 1
        if self._values_left < 0:
            raise self._too_many("values", at)

    def _character_set(self, value: bytes, at: int) -> str | MutableSequence[str]:
        named = value.decode("ascii", "replace").rstrip("\0 ").split("\\")
        most = self._limits.character_sets
        if len(named) > most:
            raise self.fault(f"{len(named)} character sets where {most} are the most (limit character_sets)", at)
        return codecs_of([one.strip() for one in named])

    def _creator(self, tag: int, value: bytes, at: int) -> None:
        here, block = self._open_ones[-1], tag >> 16 << 8 | tag & 0xFF
        name = value.decode("ascii", "replace").strip("\0 ")
        if block in here.orphans or here.creators.get(block, name) != name:
            raise self.fault("a private creator after elements of its block [PS3.5 7.8.1]", at)
        here.creators[block] = name

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        if kind == ELEMENTS:
            self._count_item(at)
        else:
            self._count_element(at)
        self._open_ones.append(_Open(tag, vr, at, length, self._open_ones[-1].charset, implicit=implicit))

    def fragment(self, data: Buffer, at: int, length: int) -> None:
        self._count_item(at)

    def _count_item(self, at: int) -> None:
        self._items_left -= 1
        if self._items_left < 0:
            raise self._too_many("items", at)

    def _count_element(self, at: int) -> None:
        self._elements_left -= 1
        if self._elements_left < 0:
            raise self._too_many("elements", at)

    def _most(self, what: str) -> tuple[str, int]:
        """Returns the limit of these, and its name."""
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
        return self.fault(f"more {what} than allowed (limit {name}: {allowed})", at)

    def closed(self, kind: int, at: int) -> None:
        one = self._open_ones.pop()
        around = self._open_ones[-1]
        undefined = one.length == UNDEFINED
        tag = BaseTag(one.tag)
        if kind == ELEMENTS:
            made = self._dataset(one, around.charset)
            vars(made).update(
                is_undefined_length_sequence_item=undefined, seq_item_tell=one.at - 8, file_tell=one.at - 8
            )
            around.items.append(made)
        elif kind == ITEMS:
            sequence = Sequence(one.items)
            sequence.is_undefined_length = undefined
            around.elements[tag] = DataElement(tag, "SQ", sequence, one.at, is_undefined_length=undefined)
        else:
            value = self._data[one.at : at]
            vr = None if one.vr is None else one.vr.decode()
            around.elements[tag] = RawDataElement(tag, vr, UNDEFINED, value, one.at, around.implicit, self._little)


@lru_cache(maxsize=4096)
def _dictionary_vr(tag: int) -> bytes:
    """Returns what the dictionary says: implicit VR does not tell."""
    return dictionary_vr(tag).encode()

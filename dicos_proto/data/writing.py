"""Data sets and elements that pydicom writes without a warning. `datasets` and services import this when they encode.

pydicom warns when it writes a character set that it does not know, or a text that has no code in it. Its warnings
repeat what the peer wrote, and each different text would be kept forever in a `__warningregistry__` (see `conversion`).
A data set of a peer is encoded again in many services: an N-GET answers with the attributes of an N-CREATE.

Knows: of what pydicom warns. Must not know: what an attribute means. Invariants: the given data set is not changed; a
data set of which pydicom would not warn is written by pydicom as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydicom import charset
from pydicom.charset import default_encoding, python_encoding
from pydicom.config import IGNORE
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag
from pydicom.valuerep import PersonName

from .conversion import QuietDataset, codecs_of

__all__ = ["uid_element", "writable"]

_TEXTS: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""Value representations whose text is in the specific character set [PS3.5 6.1.2.2]."""
_NAME: Final = "SpecificCharacterSet"
_NO_CODE: Final = "?"
LOST: Final = (
    "a data set has text that its character set has no codes for: '?' is sent in place of it. "
    "Set SpecificCharacterSet, for example to ISO_IR 192 [PS3.3 C.12.1.1.2]"
)
"""The warning for a caller's own data set that loses text. It repeats nothing of the text: Python keeps each one."""
_ESC: Final = b"\x1b"


def writable(dataset: Dataset, *, implicit: bool, little: bool) -> Dataset:
    """Returns `dataset`, or a copy that pydicom writes without a warning: a character set that pydicom does not know
    counts as the default one, as it does when it is read, and a character without a code becomes a question mark. If
    the caller made the data set, one warning names that."""
    encoding = (implicit, little)
    if _is_written_quietly(dataset, encoding):
        return dataset
    lost: list[BaseTag] = []
    made = _copied(dataset, [default_encoding], encoding, lost)
    if lost and not isinstance(dataset, QuietDataset):  # it was not read from a peer
        warnings.warn(LOST, stacklevel=3)
    return made


def _is_written_quietly(dataset: Dataset, encoding: tuple[bool, bool]) -> bool:
    waiting: list[tuple[Dataset, list[str]]] = [(dataset, [default_encoding])]
    while waiting:
        one, around = waiting.pop()
        names = _names(one)
        codecs = around if names is None else codecs_of(names)
        if names is not None and (
            _with_ascii(codecs) is not codecs or any(name not in python_encoding for name in names)
        ):
            return False
        for element in _elements(one, codecs, encoding):
            if element.VR == "SQ":
                waiting.extend((item, codecs) for item in element.value)
            elif _loses(element, codecs):
                return False
    return True


def _loses(element: DataElement, codecs: list[str]) -> bool:
    return element.VR in _TEXTS and any(not _has_codes(text, codecs) for text in _texts(element, codecs))


def _with_ascii(codecs: list[str]) -> list[str]:
    """Returns the codecs, with the default one before them if the first of them has no code for ASCII: the character
    set was named without the one that it extends [PS3.3 C.12.1.1.2]."""
    return codecs if _encodes("A", codecs[0]) else [default_encoding, *codecs]


def uid_element(keyword: str, uid: str | list[str]) -> DataElement:
    """Returns an element with UIDs that a peer may have sent, with leading zeros for example: pydicom would warn of
    them when they are assigned."""
    return DataElement(tag_for_keyword(keyword) or 0, "UI", uid, validation_mode=IGNORE)


class _Writable(QuietDataset):
    """A data set whose character set pydicom takes for codecs, which it then need not find."""

    def get(self, key: Any, default: Any = None) -> Any:
        codecs = vars(self)["_own_codecs"]
        return codecs if key == _NAME and codecs is not None else super().get(key, default)


def _copied(dataset: Dataset, around: list[str], encoding: tuple[bool, bool], lost: list[BaseTag]) -> Dataset:
    """Returns the copy; adds the elements that lose a character to `lost`."""
    names = _names(dataset)
    read = around if names is None else codecs_of(names)
    codecs = _with_ascii(read)
    made = _Writable.__new__(_Writable)
    elements: dict[BaseTag, DataElement | RawDataElement] = {**dataset._dict}
    for element in _elements(dataset, read, encoding):
        if element.VR == "SQ":
            items = Items([_copied(item, read, encoding, lost) for item in element.value])
            elements[element.tag] = _element(element, items)
        elif _loses(element, codecs):
            lost.append(element.tag)
            elements[element.tag] = _element(element, _with_codes(element.value, codecs))
        else:
            elements[element.tag] = element
    vars(made).update(vars(dataset))
    vars(made).update(_dict=elements, _own_codecs=codecs if names is not None else None)
    return made


def _element(like: DataElement, value: object) -> DataElement:
    made = DataElement(
        like.tag,
        like.VR,
        value,
        like.file_tell,
        like.is_undefined_length,
        already_converted=True,
        validation_mode=IGNORE,
    )
    if like.VR == "SQ":
        made.is_undefined_length = like.is_undefined_length
    return made


def _names(dataset: Dataset) -> list[str] | None:
    """Returns the defined terms of the data set's own character set; None if it has none."""
    if _NAME not in dataset:
        return None
    value = dataset.get(_NAME)
    if not value:
        return [""]
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _elements(dataset: Dataset, codecs: list[str], encoding: tuple[bool, bool]) -> Iterator[DataElement]:
    """Yields the sequences, and the elements whose text pydicom encodes; others it copies."""
    original = dataset.original_character_set
    same = dataset.original_encoding == encoding and ([original] if isinstance(original, str) else original) == codecs
    for tag, element in list(dataset._dict.items()):
        if isinstance(element, RawDataElement):
            if same or not element.value or (element.value.isascii() and _ESC not in element.value):
                continue
            element = dataset[tag]
        if element.VR == "SQ" or element.VR in _TEXTS:
            yield element


def _texts(element: DataElement, codecs: list[str]) -> Iterator[str]:
    """Yields the texts of an element that pydicom encodes."""
    value = element.value
    for one in [value] if isinstance(value, str | PersonName) else value or ():
        if isinstance(one, PersonName) and one.encodings == tuple(codecs) and getattr(one, "original_string", None):
            continue  # its bytes are copied
        yield str(one)


def _has_codes(text: str, codecs: Sequence[str]) -> bool:
    if text.isascii() and text.isprintable():
        return True
    if any(_encodes(text, codec) for codec in codecs):
        return True
    return len(codecs) > 1 and all(any(_encodes(one, codec) for codec in codecs) for one in set(text))


def _encodes(text: str, codec: str) -> bool:
    try:
        charset._encode_string_impl(text, codec)
    except UnicodeError:
        return False
    return True


def _with_codes(value: Any, codecs: Sequence[str]) -> Any:
    if isinstance(value, MultiValue | list):
        return MultiValue(lambda one: one, [_with_codes(one, codecs) for one in value])
    text = str(value)
    codes = {one: one if _has_codes(one, codecs) else _NO_CODE for one in set(text)}
    text = "".join(codes[one] for one in text)
    return PersonName(text, validation_mode=IGNORE) if isinstance(value, PersonName) else text

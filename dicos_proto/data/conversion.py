"""Values of a peer's data set as pydicom has them, without pydicom's warnings. `builder` imports this when it decodes.

pydicom warns of values that do not fit, and its warnings repeat them: each different text would be kept forever in a
`__warningregistry__`, and appear on stderr and in logs as the peer wrote it. `warnings.catch_warnings` is not safe with
several threads. So values that may cause a warning are converted here, to the same values; pydicom converts the rest.

Knows: how text becomes values. Must not know: what an attribute means. Invariants: no state of pydicom or of
`warnings` is changed; programs that make pydicom raise, or that have hooks in it, get pydicom's own conversion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from pydicom import config, hooks, valuerep
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.charset import CODES_TO_ENCODINGS, default_encoding, handled_encodings, python_encoding
from pydicom.datadict import masks, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID
from pydicom.valuerep import IS, TEXT_VR_DELIMS, PersonName

__all__ = ["QuietDataset", "QuietFile", "codecs_of", "dictionary_vr"]

_TEXTS: Final = frozenset(("LO", "SH", "UC"))
_LONG_TEXTS: Final = frozenset(("LT", "ST", "UT"))
_STRINGS: Final = frozenset(("AS", "CS"))
_TIMES: Final = frozenset(("DA", "DT", "TM"))
_SHORT: Final = 0xFFFF
"""A known element may be UN from this length on [PS3.5 6.2.2]."""
_ESC: Final = b"\x1b"


# -- names -----------------------------------------------------------------------------------------------------------


def codecs_of(names: Sequence[str]) -> list[str]:
    """Returns the codecs of the defined terms of Specific Character Set. An unknown one gets the default repertoire's.

    Case and punctuation are ignored, because `ISO-IR 100` occurs in the field. Python's codecs for other character sets
    than DICOM's are not used: some do not decode to text, some take quadratic time [PS3.3 C.12.1.1.2].
    """
    known = _codecs()
    found = [known.get(_folded(name), default_encoding) for name in names]
    alone = [_folded(name) in _ALONE for name in names]
    if alone[0]:
        return found[:1]
    return [one for one, without in zip(found, alone, strict=True) if not without]


_ALONE: Final = frozenset(("ISOIR192", "GBK", "GB18030"))
"""Character sets without code extensions [PS3.3 C.12.1.1.2]."""


def _folded(name: str) -> str:
    return re.sub("[^A-Z0-9]", "", name[:32].upper())


@lru_cache(maxsize=1)
def _codecs() -> dict[str, str]:
    named = {_folded(codec): codec for codec in python_encoding.values()}
    return named | {_folded(name): codec for name, codec in python_encoding.items()}


def dictionary_vr(tag: int) -> str:
    """Returns the VR of a tag by the dictionary, UN if it is not there, in the same time for each tag."""
    entry = DicomDictionary.get(tag)
    if entry is not None:
        return entry[0]
    if not tag >> 16 & 1:
        for mask, found in _repeating():
            vr = found.get(tag & mask)
            if vr is not None:
                return vr
    return "UN"


@lru_cache(maxsize=1)
def _repeating() -> list[tuple[int, dict[int, str]]]:
    """Returns repeating groups and elements by the mask of their tags. pydicom tries them one by one."""
    found: dict[int, dict[int, str]] = {}
    for name, (tag, mask) in masks.items():
        found.setdefault(mask, {})[tag] = RepeatersDictionary[name][0]
    return list(found.items())


# -- values ----------------------------------------------------------------------------------------------------------


class QuietDataset(Dataset):
    """A data set whose values are converted without a warning when they are read."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, BaseTag):
            self._convert(key)
        elif not isinstance(key, slice):
            try:
                tag = Tag(key)
            except Exception as fault:  # as pydicom does: invalid tags raise exceptions of many kinds
                raise KeyError("no tag") from fault
            self._convert(tag)
        return super().__getitem__(key)

    @property
    def _character_set(self) -> Any:
        """The codecs of its own character set, or those of the data set around it."""
        tag = BaseTag(0x00080005)
        if tag not in self._dict:
            return self._parent_encoding
        names = self[tag].value or ""
        return codecs_of([names] if isinstance(names, str) else [str(one) for one in names])

    def _convert(self, tag: BaseTag) -> None:
        raw = self._dict.get(tag)
        if not isinstance(raw, RawDataElement) or (raw.value is None and raw.length) or _left_to_pydicom():
            return
        vr = self._vr_of(raw)
        made = _value(vr, raw, self._codecs_for(tag))
        if made is not _LEFT:
            # pydicom's constructor would look UN up once more, mask by mask
            element = DataElement(tag, "OB", made, raw.value_tell, raw.length == 0xFFFFFFFF, already_converted=True)
            element.VR = vr
            self[tag] = element

    def _codecs_for(self, tag: BaseTag) -> Sequence[str]:
        given = default_encoding if tag == 0x00080005 else self.original_character_set or self._character_set
        return [given] if isinstance(given, str) else given or [default_encoding]

    def _vr_of(self, raw: RawDataElement) -> str:
        vr, tag = raw.VR, raw.tag
        if vr is not None and (vr != "UN" or not config.replace_un_with_known_vr):
            return vr
        if tag.is_private:
            return self._private(tag)
        if vr is not None and raw.value is not None and len(raw.value) >= _SHORT:
            return vr
        return "UL" if vr is None and not tag & 0xFFFF else dictionary_vr(tag)

    def _private(self, tag: BaseTag) -> str:
        if tag.is_private_creator:
            return "LO"
        creator = self.get(BaseTag(tag & 0xFFFF0000 | tag >> 8 & 0xFF)) if tag & 0xFF00 else None
        if creator is None or not isinstance(creator.value, str):
            return "UN"
        try:
            return private_dictionary_VR(tag, creator.value)
        except KeyError:
            return "UN"


class QuietFile(QuietDataset, FileDataset):
    """The same with the attributes of a data set that pydicom reads from a file."""


def _left_to_pydicom() -> bool:
    """Returns True if the application has changed pydicom's conversion."""
    set_ = hooks.hooks
    return (
        config.settings.reading_validation_mode == config.RAISE
        or config.data_element_callback is not None
        or set_.raw_element_vr is not hooks.raw_element_vr
        or set_.raw_element_value is not hooks.raw_element_value
    )


_LEFT: Final = object()
"""The value is not converted here, but by pydicom, which does not warn of it."""


def _value(vr: str, raw: RawDataElement, codecs: Sequence[str]) -> Any:
    make = _makers().get(vr)
    if make is None and vr != "UN":
        return _LEFT
    if not raw.value:
        return empty_value_for_VR(vr)
    if make is None:
        return raw.value
    if vr in _TIMES and config.datetime_conversion:
        return _LEFT
    if (vr == "DS" and config.use_DS_numpy) or (vr == "IS" and config.use_IS_numpy):
        return _LEFT
    if raw.tag.is_private_creator:  # one name: pydicom warns of several
        return _decoded(raw.value, codecs).rstrip("\0 ")
    try:
        return make(raw.value, codecs)
    except ValueError:  # "12a" as IS: as pydicom, the text
        return _texts(raw.value, codecs)


def _decoded(value: bytes, codecs: Sequence[str]) -> str:
    """Decodes as pydicom's `decode_bytes` does: bytes outside the character set become U+FFFD [PS3.5 6.1.2.5]."""
    first = codecs[0]
    if _ESC not in value:
        return value.decode(first, "replace")
    return "".join([_part(part, codecs) for part in re.findall(b"(^[^\x1b]+|[\x1b][^\x1b]*)", value)])


def _part(part: bytes, codecs: Sequence[str]) -> str:
    first = codecs[0]
    length = 4 if part.startswith((b"\x1b$(", b"\x1b$)")) else 3
    codec = CODES_TO_ENCODINGS.get(part[:length], "")
    if not part.startswith(_ESC) or (codec not in codecs and codec != default_encoding):
        return part.decode(first, "replace")
    try:
        if codec in handled_encodings:
            return part.decode(codec)
        text = part[length:]
        end = next((at for at, one in enumerate(text) if one in TEXT_VR_DELIMS), len(text))
        return text[:end].decode(codec) + text[end:].decode(first)
    except UnicodeError:
        return part.decode(first, "replace")


def _one_or_several(make: Callable[[str], Any], values: Sequence[str]) -> Any:
    return make(values[0]) if len(values) == 1 else MultiValue(make, values)


def _texts(value: bytes, codecs: Sequence[str]) -> Any:
    return _one_or_several(str, [one.rstrip("\0 ") for one in _decoded(value, codecs).split("\\")])


def _long_text(value: bytes, codecs: Sequence[str]) -> Any:
    return _decoded(value, codecs).rstrip("\0 ")


def _strings(value: bytes, codecs: Sequence[str]) -> Any:
    return _one_or_several(str, _plain(value))


def _plain(value: bytes) -> list[str]:
    return value.decode(default_encoding).rstrip(" \0").split("\\")


def _integers(value: bytes, codecs: Sequence[str]) -> Any:
    return _one_or_several(_integer, _plain(value))


def _decimals(value: bytes, codecs: Sequence[str]) -> Any:
    return _one_or_several(_decimal, _plain(value.strip()))


def _uids(value: bytes, codecs: Sequence[str]) -> Any:
    return _one_or_several(_uid, _plain(value))


def _integer(given: Any) -> Any:
    return IS(given, config.IGNORE)


def _decimal(given: Any) -> Any:
    return valuerep.DSclass(given, False, config.IGNORE)


def _uid(given: Any) -> Any:
    return UID(given, config.IGNORE)


def _names(value: bytes, codecs: Sequence[str]) -> Any:
    stripped = value.rstrip(b"\0 ")
    texts, parts = _decoded(stripped, codecs).split("\\"), stripped.split(b"\\")
    if len(parts) != len(texts):  # the second byte of a character may be a backslash
        parts = [text.encode(codecs[0], "replace") for text in texts]
    made = [
        PersonName(text, codecs, part if text.strip("=") else b"", config.IGNORE)
        for text, part in zip(texts, parts, strict=True)
    ]
    return made[0] if len(made) == 1 else MultiValue(_name, made)


def _name(given: Any) -> Any:
    return PersonName(given, validation_mode=config.IGNORE)


@lru_cache(maxsize=1)
def _makers() -> dict[str, Callable[[bytes, Sequence[str]], Any]]:
    return {
        **dict.fromkeys(_TEXTS, _texts),
        **dict.fromkeys(_LONG_TEXTS, _long_text),
        **dict.fromkeys(_STRINGS | _TIMES, _strings),
        "IS": _integers, "DS": _decimals, "UI": _uids, "PN": _names,
    }  # fmt: skip

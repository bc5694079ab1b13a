"""Query keys: parses `-k`, reads the files of `-f`, and builds identifiers from them.

As in DCMTK and pynetdicom, a key names an attribute by keyword or tag, with a path of items if it is in a sequence:
`PatientName=DOE^*`, `0010,0020`, `ScheduledProcedureStepSequence[0].Modality=CT`, `(0040,0100)[0].0008,0060`.
"""

from __future__ import annotations

import difflib
import re
import struct
import warnings
from pathlib import Path
from typing import Any, Final

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from dicos_proto.data import datasets
from dicos_proto.data.datasets import DataSetError
from dicos_proto.registry import uids

from ..addresses import said
from ..files import part10
from ..files.part10 import Part10Error

MOST: Final = 64 << 20
"""Most bytes of a file with a query."""
LEVEL: Final = 0x00080052
CHARACTER_SET: Final = 0x00080005
_PIXELS: Final = 0x7FE00000
"""No query key has this tag or a higher one."""
_PART = re.compile(r"(?P<name>[A-Za-z]\w*|\(?[0-9A-Fa-f]{4},? ?[0-9A-Fa-f]{4}\)?)(?:\[(?P<item>\d{1,4})\])?")
_INTEGERS = {"SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
_FLOATS = frozenset(("FD", "FL"))
_FAULTS: Final[tuple[type[Exception], ...]] = (*datasets.faults(), DataSetError, InvalidDicomError)
_UNREADABLE: Final[tuple[type[Exception], ...]] = (*_FAULTS, Part10Error)
_TEXTS = frozenset(("LT", "ST", "UR", "UT"))
"""VRs with one value, in which a backslash is an ordinary character [PS3.5 6.2]."""
_STRINGS = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI"))


class KeyProblem(ValueError):
    """A key, or a file with a query, that is not valid; one line with the cause and the remedy."""


def path_of(text: str) -> tuple[tuple[int, int | None], ...]:
    """Return the path of a key's attribute: tags, with the item number of each sequence. Raises `KeyProblem`."""
    *way, (tag, _) = _parts(text.partition("=")[0], text)
    return (*((sequence, item or 0) for sequence, item in way), (tag, None))


def put(identifier: Dataset, text: str) -> None:
    """Parse the key `text` and add it to the identifier. Raises `KeyProblem`."""
    where, given, value = text.partition("=")
    parts = _parts(where, text)
    at = identifier
    for tag, item in parts[:-1]:
        at = _item(at, tag, item or 0, text)
    tag, item = parts[-1]
    vr = _vr(tag)
    if vr == "SQ":
        if value:
            raise KeyProblem(f"key {text!a}: {_name(tag)} is a sequence; use {_name(tag)}[0].ATTRIBUTE=VALUE")
        if item is not None:
            _item(at, tag, item, text)
        elif tag not in at:
            at.add(DataElement(tag, "SQ", Sequence()))
        return
    if item is not None:
        raise KeyProblem(f"key {text!a}: {_name(tag)} is not a sequence, so it has no item {item}")
    at.add(_element(tag, vr, value if given else "", text))
    if not value.isascii() and CHARACTER_SET not in identifier:
        identifier.add(DataElement(CHARACTER_SET, "CS", "ISO_IR 192"))  # UTF-8  # PS3.3 C.12.1.1.2


def _parts(where: str, text: str) -> list[tuple[int, int | None]]:
    """Return the tags of the path, each with its item number or None."""
    found: list[tuple[int, int | None]] = []
    at = 0
    while True:
        part = _PART.match(where, at)
        if part is None or where[part.end() : part.end() + 1] not in ("", "."):
            raise KeyProblem(
                f"key {text!a}: expected KEYWORD or gggg,eeee, with or without =VALUE, after SEQUENCE[0]. if in a "
                "sequence"
            )
        found.append((_tag(part["name"], text), None if part["item"] is None else int(part["item"])))
        at = part.end() + 1
        if at > len(where):
            return found


def _tag(name: str, text: str) -> int:
    digits = name.strip("()").replace(",", "").replace(" ", "")
    if len(digits) == 8 and ("," in name or name[0].isdigit() or name[0] == "("):
        return int(digits, 16)
    tag = tag_for_keyword(name)
    if tag is not None:
        return int(tag)
    from pydicom.datadict import keyword_dict

    if not keyword_dict:
        tag_for_keyword("PatientID")
    close = difflib.get_close_matches(name, keyword_dict, 3, 0.75)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise KeyProblem(f"key {text!a}: unknown keyword {name!a}{hint}")


def _name(tag: int) -> str:
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _vr(tag: int) -> str:
    """Return the first VR where several are allowed; UN if the tag is unknown."""
    try:
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "LO" if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF else "UN"  # a private creator  # PS3.5 7.8.1


def _item(at: Dataset, tag: int, item: int, text: str) -> Dataset:
    """Return an item of a sequence, adding it if it is the next one."""
    if _vr(tag) != "SQ":
        raise KeyProblem(f"key {text!a}: {_name(tag)} is not a sequence")
    if tag not in at:
        at.add(DataElement(tag, "SQ", Sequence()))
    items: Sequence = at[tag].value
    if item > len(items):
        raise KeyProblem(f"key {text!a}: item {item} of {_name(tag)}, but the next item is {len(items)}")
    if item == len(items):
        items.append(Dataset())
    found: Dataset = items[item]
    return found


def _element(tag: int, vr: str, value: str, text: str) -> DataElement:
    values: list[Any] = [value] if vr in _TEXTS or vr == "UN" else value.split("\\")
    try:
        if not value:
            values = []
        elif vr in _INTEGERS:
            values = list(map(int, values))
            struct.pack(f"<{len(values)}{_INTEGERS[vr]}", *values)
        elif vr in _FLOATS:
            values = list(map(float, values))
        elif vr == "AT":
            values = [Tag(_tag(one, text)) for one in values]
        elif vr == "UN":
            values = [value.encode("ascii")]
        elif vr not in _STRINGS | _TEXTS:
            raise KeyProblem(f"key {text!a}: {_name(tag)} has binary values ({vr}), which queries cannot match")
        return DataElement(tag, vr, values[0] if len(values) == 1 else values or None, validation_mode=IGNORE)
    except KeyProblem:
        raise
    except _FAULTS as error:
        raise KeyProblem(f"key {text!a}: not a valid value for {_name(tag)}, VR {vr} [PS3.5 6.2]") from error


def check(identifier: Dataset) -> None:
    """Raise `KeyProblem` for an identifier that cannot be encoded, above all text outside its character set."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            datasets.encode(identifier, uids.EXPLICIT_VR_LE)
        except DataSetError:
            named = identifier.get("SpecificCharacterSet") or "of the default repertoire"
            raise KeyProblem(f"keys cannot be encoded in the character set {named!s} [PS3.3 C.12.1.1.2]") from None


def read(path: Path) -> list[Dataset]:
    """Read the queries in a file: one from a DICOM file or a bare data set, one or several from DICOM JSON.

    Raises `KeyProblem`.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MOST + 1)
    except (OSError, ValueError) as error:
        raise KeyProblem(f"{str(path)!a}: {said(error)}") from error
    if len(data) > MOST:
        raise KeyProblem(f"{str(path)!a}: more than the {MOST} bytes allowed for a query")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warnings would quote values
        if data[:64].lstrip()[:1] in (b"{", b"["):
            return _read_json(path, data)
        found = _read_dicom(path, data)
    if not found:
        raise KeyProblem(f"{str(path)!a}: not a DICOM file, a data set or DICOM JSON [PS3.18 F]")
    return [found]


def _read_json(path: Path, data: bytes) -> list[Dataset]:
    import json

    try:
        said = json.loads(data)
    except _FAULTS as error:
        raise KeyProblem(f"{str(path)!a}: not DICOM JSON [PS3.18 F]") from error
    each = said if isinstance(said, list) else [said]
    found = []
    for number, one in enumerate(each, 1):
        try:
            found.append(datasets.convert(Dataset.from_json(one)))
        except _FAULTS as error:
            which = f"query {number} of {len(each)} is " if len(each) > 1 else ""
            raise KeyProblem(f"{str(path)!a}: {which}not DICOM JSON [PS3.18 F]") from error
    return found


def _read_dicom(path: Path, data: bytes) -> Dataset | None:
    at, syntaxes = 0, [uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE]
    if data[128:132] == b"DICM":
        try:
            at, named = part10.where(path)
            if named:
                whole = datasets.decode_object(data[at:], named)
                for tag in [int(tag) for tag in whole.keys()]:  # noqa: SIM118
                    if tag >= _PIXELS:
                        del whole[tag]
                return datasets.convert(whole)
        except _UNREADABLE as error:
            raise KeyProblem(f"{str(path)!a}: damaged DICOM file: {type(error).__name__}") from error
    for syntax in syntaxes:
        try:
            return datasets.convert(datasets.decode(data[at:], syntax))
        except DataSetError:
            continue
    return None

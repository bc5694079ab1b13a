"""Values of attributes, read so that odd data sets raise one kind of error, and written so that they fit.

pydicom converts a value when it is read, and raises or warns about those that do not fit, with the value in its text.
Here every such fault is a `BadValue` that names the attribute and what is allowed.

Knows: pydicom's elements. Must not know: which attribute an object needs. Invariants: reading changes no value; no
error has a value in its text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.valuerep import format_number_as_ds

from ..data.datasets import faults
from .attributes import ADDED, DIFFERENT, vrs_of
from .errors import BadValue, named

__all__ = [
    "decimal", "element_of", "has", "instant", "integer", "items", "number", "numbers", "put", "put_items", "text",
    "texts",
]  # fmt: skip

MOST_VALUES = 4096
"""Values of one attribute that are read, where a few are expected. Stops: a million numbers in a position."""
_BINARY = {0x00280008: 2, 0x40101075: 8}
"""Bytes of the numbers that DICOS has in binary and DICOM as a text."""
_LENGTHS = {"AE": 16, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "LT": 10240, "SH": 16, "ST": 1024, "UI": 64}
"""Characters of one value [PS3.5 6.2]."""


def element_of(dataset: Dataset, tag: int) -> DataElement | None:
    """Returns the element with its value converted, None if it is absent. Raises `BadValue` if it does not fit its
    value representation."""
    try:
        if tag not in dataset:
            return None
        return _known(dataset, tag) or dataset[tag]
    except faults():
        raise _misfit(tag) from None


def _known(dataset: Dataset, tag: int) -> DataElement | None:
    """Returns an element for which DICOS has a value representation of its own, of a data set that does not tell it."""
    own = ADDED.get(tag) or DIFFERENT.get(tag)
    raw: object = dataset.get_item(tag)
    if own is None or not isinstance(raw, RawDataElement) or raw.VR not in (None, "UN"):
        return None
    if tag in DIFFERENT and _is_text(dataset, tag, raw.value or b""):
        return None
    return convert_raw_data_element(raw._replace(VR=own.vr))


def _is_text(dataset: Dataset, tag: int, value: bytes) -> bool:
    """Returns True if the bytes are a number as a text, as DICOM has it, rather than a binary one, as DICOS has it.

    Two bytes may mean either number of frames: that is taken which equals the number of per-frame groups, then the
    text.
    """
    if tag not in _BINARY:
        return False
    if len(value) != _BINARY[tag]:
        return True
    said = value.strip(b" ")
    if not said.replace(b".", b"", 1).lstrip(b"+-").isdigit():
        return False
    return tag != 0x00280008 or len(items(dataset, 0x52009230)) != int.from_bytes(value, "little")


def has(dataset: Dataset, tag: int) -> bool:
    """Returns True if the attribute is present and not empty. Raises nothing."""
    value = dataset.get_item(tag).value if tag in dataset else None
    if isinstance(value, bytes):
        return value.strip(b" ") not in (b"", b"\0")
    return not (value is None or (hasattr(value, "__len__") and len(value) == 0))


def texts(dataset: Dataset, tag: int) -> tuple[str, ...]:
    """Returns the values of a text attribute; () if it is absent or empty. Raises `BadValue`."""
    found = element_of(dataset, tag)
    if found is None or found.value is None:
        return ()
    values = _several(found.value)
    if any(isinstance(one, bytes | Dataset) for one in values):
        raise _misfit(tag)
    read = tuple(str(one).strip(" \0") for one in values)
    return read if any(read) else ()


def text(dataset: Dataset, tag: int) -> str | None:
    """Returns the one value of a text attribute, None if it is absent or empty. Raises `BadValue`."""
    found = texts(dataset, tag)
    if len(found) > 1:
        raise BadValue(f"{len(found)} values; 1 is allowed", tag)
    return found[0] if found else None


def numbers(dataset: Dataset, tag: int, count: int | None = None) -> tuple[float, ...]:
    """Returns the values of a numeric attribute, all of them finite.

    `count`: how many there must be; None for any number, none included. Raises `BadValue`.
    """
    found = element_of(dataset, tag)
    value = None if found is None else found.value
    values = [] if value is None or value == "" else _several(value)
    if count is not None and len(values) != count:
        raise BadValue(f"{len(values)} values; {count} needed", tag)
    if len(values) > MOST_VALUES:
        raise BadValue(f"{len(values)} values; at most {MOST_VALUES} are allowed", tag)
    try:
        read = tuple(map(float, values))
    except faults():
        raise _misfit(tag) from None
    if not all(map(math.isfinite, read)):
        raise BadValue("a value that is not a finite number", tag)
    return read


def number(dataset: Dataset, tag: int) -> float | None:
    """Returns the one value of a numeric attribute, None if it is absent or empty. Raises `BadValue`."""
    found = numbers(dataset, tag)
    if len(found) > 1:
        raise BadValue(f"{len(found)} values; 1 is allowed", tag)
    return found[0] if found else None


def integer(dataset: Dataset, tag: int) -> int | None:
    """Returns the one value of an attribute that is a whole number, None if it is absent or empty. Raises
    `BadValue`."""
    found = number(dataset, tag)
    if found is not None and not found.is_integer():
        raise BadValue("a value that is not a whole number", tag)
    return None if found is None else int(found)


def items(dataset: Dataset, tag: int) -> Sequence[Dataset]:
    """Returns the items of a sequence; () if it is absent. Raises `BadValue` if it is another element."""
    found = element_of(dataset, tag)
    if found is None or found.value is None:
        return ()
    if not isinstance(found.value, Items):
        raise BadValue("is not a sequence of items", tag)
    return found.value


def instant(dataset: Dataset, date: int, time: int) -> datetime | None:
    """Returns the time that a DA and a TM give together, None if the day is absent. Raises `BadValue`."""
    day, clock = text(dataset, date), text(dataset, time) or ""
    if day is None:
        return None
    whole, _, fraction = clock.partition(".")
    digits = day.replace(".", "") + (whole.replace(":", "") + "000000")[:6] + (fraction + "000000")[:6]
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S%f")
    except ValueError:
        raise BadValue("is not a day and a time of day [PS3.5 6.2]", date) from None


def put(dataset: Dataset, tag: int, value: object) -> None:
    """Sets an attribute, in the value representation that DICOS gives it. None makes it empty.

    Raises ValueError, without the value, for a text that is longer than its representation allows or has a
    backslash in it, and for a number that is not finite.
    """
    own = DIFFERENT.get(tag) or ADDED.get(tag)
    vr = own.vr if own is not None else min(vrs_of(tag))
    value = value.tolist() if hasattr(value, "tolist") else value  # of numpy
    values = [
        one.item() if hasattr(one, "item") else one for one in (value if isinstance(value, tuple | list) else [value])
    ]
    for one in values:
        if isinstance(one, str):
            most = _LENGTHS.get(vr)
            if most is not None and len(one) > most:
                raise ValueError(f"{named(tag)} of {len(one)} characters; at most {most} [PS3.5 6.2]")
            if "\\" in one or any(ord(char) < 32 for char in one):
                raise ValueError(f"{named(tag)} with a backslash or a control character in it [PS3.5 6.2]")
        elif isinstance(one, float) and not math.isfinite(one):
            raise ValueError(f"{named(tag)} that is not a finite number")
    if vr == "DS":
        values = [decimal(one) if isinstance(one, int | float) else one for one in values]
    made: object = values if len(values) > 1 else values[0] if values else None
    dataset.add(DataElement(Tag(tag), vr, made, validation_mode=IGNORE))


def put_items(dataset: Dataset, tag: int, made: Iterable[Dataset]) -> None:
    """Sets a sequence."""
    dataset.add(DataElement(Tag(tag), "SQ", Items(made)))


def decimal(value: float) -> str:
    """Returns a number as a DS, at most 16 characters long.

    >>> decimal(1), decimal(0.5), decimal(1 / 3)
    ('1', '0.5', '0.33333333333333')
    """
    whole = f"{value:.15g}"
    return whole if len(whole) <= 16 else format_number_as_ds(float(value))


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, MultiValue | list | tuple) else [value]


def _misfit(tag: int) -> BadValue:
    return BadValue("a value that does not fit its value representation [PS3.5 6.2]", tag)

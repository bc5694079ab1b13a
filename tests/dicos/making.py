"""Objects for the tests: their UIDs count, and their time is always the same."""

from collections.abc import Iterator
from datetime import datetime
from itertools import count

import numpy as np
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicos_proto.dicos import Finding, Stamp
from dicos_proto.dicos.pixels import Array

NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000)
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
DTYPES = (*INTEGERS, "float32", "float64")


def stamp() -> Stamp:
    numbers = count(1)
    return Stamp(NOON, lambda: f"2.25.{next(numbers)}")


def volume(dtype: str = "uint16", shape: tuple[int, ...] = (3, 4, 5)) -> Array:
    return (np.arange(np.prod(shape)) % 100).reshape(shape).astype(dtype)


def element(dataset: Dataset, tag: int, vr: str, value: object) -> None:
    """Set an element, however odd."""
    dataset.add(DataElement(tag, vr, value, already_converted=vr != "SQ", validation_mode=IGNORE))


def sequence(*items: Dataset) -> Sequence:
    return Sequence(items)


def every_element(dataset: Dataset) -> Iterator[tuple[Dataset, int]]:
    """Yields each element, nested ones included, as the data set that holds it and its tag."""
    for one in list(dataset):
        yield dataset, int(one.tag)
        if one.VR == "SQ" and isinstance(one.value, Sequence):
            for item in one.value:
                yield from every_element(item)


def rules(findings: list[Finding]) -> list[tuple[str, str]]:
    """Returns the tag and the rule of each."""
    return [(f"{one.tag:08X}", one.rule) for one in findings]

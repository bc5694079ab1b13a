"""Prints the matches of a query as a table whose columns are the requested keys.

Text of the peer is always escaped. The first rows decide the widths of the columns; longer values of later rows
overflow.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from dicos_proto.data import datasets

from . import keys
from .text import shown

KEPT: Final = 200
"""Rows that are read before the widths of the columns are fixed."""
WIDEST: Final = 64
"""Largest width of a column, in terminal cells."""

KeyStep = tuple[int, int | None]
"""A tag, and the number of the item if it is a sequence."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the path of its attribute, and its heading."""

    path: tuple[KeyStep, ...]
    name: str


def columns(identifier: Dataset, asked: Sequence[str] = ()) -> list[Column]:
    """Return the columns for an identifier: first the keys from a file, then those of `asked`, in that order.

    The query level and the character set have no column: they are not part of the answer.
    """
    order = {keys.path_of(text): number for number, text in enumerate(asked)}
    paths = (path for path in _paths(identifier, ()) if path[0][0] not in (keys.LEVEL, keys.CHARACTER_SET))
    return [
        Column(path, keyword_for_tag(path[-1][0]) or f"({path[-1][0] >> 16:04X},{path[-1][0] & 0xFFFF:04X})")
        for path in sorted(paths, key=lambda path: order.get(path, -1))
    ]


def _paths(at: Dataset, before: tuple[KeyStep, ...]) -> Iterator[tuple[KeyStep, ...]]:
    for element in at:
        tag = int(element.tag)
        if element.VR == "SQ" and element.value:
            for index, item in enumerate(element.value):
                yield from _paths(item, (*before, (tag, index)))
        else:
            yield (*before, (tag, None))


class Table:
    """Formats rows and passes the lines to `say`; `end` passes those that it still holds."""

    def __init__(self, names: list[str], say: Callable[[str], None]) -> None:
        self._say = say
        self._rows: list[list[str]] | None = [names]
        self._widths: list[int] = []

    def add(self, row: list[str]) -> None:
        """Add one row."""
        if self._rows is None:
            self._tell(row)
            return
        self._rows.append(row)
        if len(self._rows) > KEPT:
            self.end()

    def end(self) -> None:
        """Fix the widths and print the rows held so far."""
        rows, self._rows = self._rows, None
        if rows is None or len(rows) == 1:
            return
        self._widths = [min(WIDEST, max(map(_width, column))) for column in zip(*rows, strict=True)]
        self._tell(rows[0])
        self._say("  ".join("-" * width for width in self._widths))
        for row in rows[1:]:
            self._tell(row)

    def _tell(self, row: list[str]) -> None:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, self._widths, strict=True))
        self._say("  ".join(cells).rstrip())


def row_of(dataset: Dataset, asked: list[Column]) -> list[str]:
    """Return the value of each column in a match."""
    return [_text(dataset, column.path) for column in asked]


def _text(at: Dataset, path: tuple[KeyStep, ...]) -> str:
    try:
        for tag, item in path[:-1]:
            if tag not in at or len(at[tag].value) <= (item or 0):
                return ""
            at = at[tag].value[item or 0]
        tag = path[-1][0]
        return shown(_shown(at[tag].value)) if tag in at else ""
    except datasets.faults():
        return "(not readable)"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return str(value)
    if any(isinstance(one, Dataset) for one in value):
        return f"({len(value)} item{'s' * (len(value) != 1)})"
    return "\\".join(str(one) for one in value) if not hasattr(value, "components") else str(value)


def _width(text: str) -> int:
    """Return the width of the text in terminal cells."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )

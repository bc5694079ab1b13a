"""The bytes of a message in lines, each with the names of the fields in it.

Knows: trees. Must not know: where the lines go (`exports`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..grammar.reading import read_stream
from ..tree import Leaf, Length, walk

__all__ = ["labelled"]

_PER_LINE: Final = 24


def labelled(wire: bytes) -> Iterator[tuple[bytes, str]]:
    """Yields the bytes of a message, at most 24 at a time, with a label: `A-ABORT: type, reserved, length`. Only fields
    of one part share a line; of a long value the first line has the label."""
    at, held, part, names = 0, 0, "", list[str]()
    for path, node in walk(read_stream(wire)):
        if not isinstance(node, Leaf | Length):
            continue
        above, _, _ = path.rpartition("/")
        size = len(node.value) if isinstance(node, Leaf) else node.width
        if held and (above != part or held + size > _PER_LINE):
            yield from _lines(wire[at : at + held], f"{part}: {', '.join(names)}")
            at, held, names = at + held, 0, []
        part, held = above, held + size
        names.append(node.name)
    yield from _lines(wire[at : at + held], f"{part}: {', '.join(names)}")


def _lines(data: bytes, label: str) -> Iterator[tuple[bytes, str]]:
    for at in range(0, len(data), _PER_LINE):
        yield data[at : at + _PER_LINE], "" if at else label

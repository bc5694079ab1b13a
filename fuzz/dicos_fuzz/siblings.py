"""The nodes of one part while edits are made: found by name and number, and changed, without a look at all of them.

Knows: names, positions. Must not know: what a node is.

Theory of operation: the nodes are kept in blocks of some hundred. Each block counts its names when it is asked first;
the search for the n-th node of a name passes over whole blocks, and looks into one. After a change one block is counted
again. So each edit takes time in proportion to the square root of the number of nodes, roughly, and not to the number
itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

__all__ = ["Place", "Siblings"]

T = TypeVar("T")
Place = tuple[int, int]
"""A block, and a node in it."""
BLOCK: Final = 256


class Siblings(Generic[T]):
    """The nodes. `name`: returns the name of one. `looked`: nodes and blocks that were visited until now."""

    def __init__(self, nodes: Sequence[T], name: Callable[[T], str]) -> None:
        self._blocks = [list(nodes[at : at + BLOCK]) for at in range(0, len(nodes), BLOCK)]
        self._counts: list[Counter[str] | None] = [None] * len(self._blocks)
        self._name = name
        self.looked = len(nodes)

    def __iter__(self) -> Iterator[T]:
        for block in self._blocks:
            yield from block

    def __getitem__(self, place: Place) -> T:
        return self._blocks[place[0]][place[1]]

    def find(self, name: str, number: int) -> Place | None:
        """Returns the place of the n-th node of a name, from 1; None if there is none."""
        if number < 1:
            return None
        for at, block in enumerate(self._blocks):
            self.looked += 1
            count = self._count(at)[name]
            if number > count:
                number -= count
                continue
            self.looked += len(block)
            for index, one in enumerate(block):
                if self._name(one) == name:
                    number -= 1
                    if not number:
                        return at, index
        return None

    def _count(self, at: int) -> Counter[str]:
        counts = self._counts[at]
        if counts is None:
            self.looked += len(self._blocks[at])
            counts = self._counts[at] = Counter(map(self._name, self._blocks[at]))
        return counts

    def put(self, place: Place, nodes: Iterable[T]) -> None:
        """Puts nodes, or none, in place of one."""
        at, index = place
        block = self._blocks[at]
        block[index : index + 1] = nodes
        self._counts[at] = None
        if len(block) > 2 * BLOCK:
            self._blocks[at : at + 1] = [block[:BLOCK], block[BLOCK:]]
            self._counts[at : at + 1] = [None, None]

    def swap(self, place: Place) -> None:
        """Exchanges a node with the one behind it, if there is one."""
        at, index = place
        after, behind = at, index + 1
        while behind >= len(self._blocks[after]):
            after, behind = after + 1, 0
            if after == len(self._blocks):
                return
        one, other = self._blocks[at], self._blocks[after]
        one[index], other[behind] = other[behind], one[index]
        self._counts[at] = self._counts[after] = None

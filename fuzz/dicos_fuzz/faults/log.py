"""The faults of one connection that have struck, in order.

Knows: values. Must not know: how a fault is carried out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from .effects import Direction

__all__ = ["Log", "Strike"]

KEPT: Final = 1000
"""Strikes that a log keeps until they are taken; more are only counted."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault has struck: its number in the plan, from 1; the direction, and the bytes of it that had passed; what it
    did, in words."""

    number: int
    direction: Direction
    offset: int
    effect: str


class Log:
    """The strikes of one connection. `counts`: the number of strikes of each fault, by its number in the plan."""

    __slots__ = ("_new", "counts")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self._new: deque[Strike] = deque()

    def add(self, number: int, direction: Direction, offset: int, effect: str) -> None:
        """Adds a strike."""
        self.counts[number] = self.counts.get(number, 0) + 1
        if len(self._new) < KEPT:
            self._new.append(Strike(number, direction, offset, effect))

    def take(self) -> list[Strike]:
        """Takes the strikes since the last call."""
        found = [*self._new]
        self._new.clear()
        return found

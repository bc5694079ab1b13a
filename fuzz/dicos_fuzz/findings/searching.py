"""Delta debugging in general: the smallest part of a sequence, and the smallest number, that still show something.

Knows: sequences, questions, a budget of questions. Must not know: what is asked (`minimise`, `earlier`).

Invariants: deterministic; a candidate is asked about once. A search goes on from each candidate that shows it, so that
the last one of these is the best when the budget ends in the middle (`OutOfBudget`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

__all__ = ["OutOfBudget", "Trials", "ddmin", "lowest"]

T = TypeVar("T")


class OutOfBudget(Exception):
    """One more question would pass the budget; `Trials.best` is what was found until now."""


class Trials(Generic[T]):
    """Asks `shows` about candidates: at most `budget` times in all, and about each candidate `tries` times, of which
    `needed` have to be True; it stops as soon as that is decided. `key`: candidates with equal keys are the same.

    Raises ValueError for `needed` that is not from 1 to `tries`.
    """

    def __init__(
        self,
        shows: Callable[[T], bool],
        key: Callable[[T], Hashable],
        *,
        budget: int,
        tries: int = 1,
        needed: int = 1,
    ) -> None:
        if not 1 <= needed <= tries:
            raise ValueError(f"{needed} of {tries} tries; expected 1 of 1 up to all of them")
        self._shows = shows
        self._key = key
        self._budget = budget
        self._tries = tries
        self._needed = needed
        self._known: dict[Hashable, bool] = {}
        self.calls = 0
        """Questions asked so far."""
        self.best: T | None = None
        """The last candidate that showed it."""

    def show(self, candidate: T) -> bool:
        """Returns True if the candidate shows it. Raises `OutOfBudget`."""
        key = self._key(candidate)
        if key not in self._known:
            self._known[key] = self._asked(candidate)
        if self._known[key]:
            self.best = candidate
        return self._known[key]

    def _asked(self, candidate: T) -> bool:
        shown = 0
        for tried in range(self._tries):
            if shown == self._needed or shown + self._tries - tried < self._needed:
                break
            if self.calls >= self._budget:
                raise OutOfBudget
            self.calls += 1
            shown += self._shows(candidate)
        return shown >= self._needed


def ddmin(items: Sequence[T], shows: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Returns a part of `items`, in their order, that shows it and of which no single item can be left out. `items` as
    a whole shows it, and is not asked about; nothing at all is asked about first.

    It is ddmin of Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input" (2002), with two
    differences that make it ask five times less and leave the result 1-minimal: it asks only about what is left without
    a chunk, not about the chunk alone, and after a success it goes on with the next chunk instead of the first.
    """
    found = tuple(items)
    if not found or shows(()):
        return ()
    size = (len(found) + 1) // 2
    while True:
        before = end = len(found)
        while end > 0:  # from the last chunk: items after the one that matters are never needed
            begin = max(0, end - size)
            rest = found[:begin] + found[end:]
            if rest and shows(rest):
                found = rest
            end = begin
        if size == 1 and len(found) == before:
            return found
        size = max(1, min(size, len(found)) // 2)


def lowest(now: int, shows: Callable[[int], bool]) -> int:
    """Returns a number from 0 to `now` that shows it while the one below it does not: 0, or found by bisection, in some
    32 questions for a field of four bytes. `now` shows it, and is not asked about."""
    if now <= 0:
        return now
    if shows(0):
        return 0
    low, high = 0, now
    while high - low > 1:
        # Doubling first: small numbers are likelier than those in the middle.
        middle = max(1, 2 * low) if 4 * low < high else (low + high) // 2
        if shows(middle):
            high = middle
        else:
            low = middle
    return high

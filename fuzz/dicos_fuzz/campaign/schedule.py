"""The order of conversations: the systematic cases of all families by turns, then random ones and changed ones.

Knows: families, the corpus. Must not know: how a conversation is played, what a peer answered.

Invariants: the n-th conversation depends on the seed, on n, on what was learned and on the corpus, on nothing else:
with one job and a deterministic peer a run repeats itself, and a campaign that is taken up again goes on where it
stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from ..conversation import Conversation
from .corpus import Corpus
from .knowledge import Learned
from .mutating import changed, is_changed, spliced
from .scenarios.family import Family

__all__ = ["Case", "Schedule"]

MUTED_AFTER: Final = 3
"""Times that one scenario may bring the peer down; then it is left out, so that the campaign goes on behind it."""
TRIES: Final = 1000
"""Cases that are left out in a row at most."""
CHANGED: Final = 2 / 3
SPLICED: Final = 1 / 6


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation and its place in the order. `costly`: it takes long or much. `hasty`: nothing is expected of the
    peer, so that it is not waited for as long as else."""

    number: int
    conversation: Conversation
    costly: bool = False
    hasty: bool = False


class Schedule:
    """Two endless orders of conversations: common ones, and costly ones, from families that take long or much. `taken`:
    the numbers of cases of each that were taken before."""

    def __init__(
        self,
        families: Sequence[Family],
        learned: Learned,
        corpus: Corpus,
        seed: int,
        taken: tuple[int, int] = (0, 0),
    ) -> None:
        self._learned = learned
        self._corpus = corpus
        self._seed = seed
        self._muted: Counter[str] = Counter()
        self._orders = [
            _Order([one for one in families if one.resource is costly], learned, done)
            for costly, done in ((False, taken[0]), (True, taken[1]))
        ]

    @property
    def taken(self) -> tuple[int, int]:
        """The numbers of common and of costly cases that were taken so far."""
        return self._orders[0].taken, self._orders[1].taken

    @property
    def only_costly(self) -> bool:
        """True if there are no common cases."""
        return not self._orders[0].families

    @property
    def systematic(self) -> int:
        """The number of systematic cases among them."""
        return sum(one.systematic for one in self._orders)

    @property
    def all_systematic(self) -> bool:
        """True once all systematic cases of the common families were taken."""
        return self._orders[0].exhausted

    def next(self, *, costly: bool = False) -> Case | None:
        """Returns the next case; None if there is no family of this kind."""
        order = self._orders[costly]
        if not order.families:
            return None
        for _ in range(TRIES):
            conversation = order.next() or self._drawn(order, costly)
            if self._muted[_scene(conversation)] < MUTED_AFTER:
                break
        return Case(2 * order.taken + costly, conversation, costly, hasty=is_changed(conversation) and not costly)

    def mute(self, conversation: Conversation) -> None:
        """Takes note that a conversation of this kind has brought the peer down."""
        self._muted[_scene(conversation)] += 1

    def _drawn(self, order: _Order, costly: bool) -> Conversation:
        random = Random(f"{self._seed}/{order.taken}/{costly}")
        if not costly and random.random() < CHANGED:
            entry, other = self._corpus.choose(random), self._corpus.choose(random)
            if entry is not None and other is not None:
                if random.random() < SPLICED and entry.side is other.side:
                    return spliced(entry, other, random)
                return changed(entry, self._learned, random)
        return random.choice(order.families).random(self._learned, random)


class _Order:
    """The systematic cases of some families by turns."""

    def __init__(self, families: list[Family], learned: Learned, taken: int) -> None:
        self.families = families
        self.taken = 0
        self.systematic = 0
        self.exhausted = False
        self._cases = self._turns(learned)
        while self.taken < taken and self.next() is not None:
            pass
        self.taken = max(self.taken, taken)

    def next(self) -> Conversation | None:
        """Returns the next systematic case, None if all were taken; counts it either way."""
        self.taken += 1
        found = next(self._cases, None)
        if found is None:
            self.exhausted = True
        else:
            self.systematic += 1
        return found

    def _turns(self, learned: Learned) -> Iterator[Conversation]:
        left = [family.systematic(learned) for family in self.families]
        while left:
            still = []
            for cases in left:
                case = next(cases, None)
                if case is not None:
                    still.append(cases)
                    yield case
            left = still


def _scene(conversation: Conversation) -> str:
    """The part of a name that conversations of one kind have in common."""
    return conversation.name.split("~")[0].partition(":")[0]

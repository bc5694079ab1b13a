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
from .mutating import changed, spliced
from .scenarios.family import Family

__all__ = ["Case", "Schedule"]

RESOURCE_TURNS: Final = 8
"""Turns of the other families for each turn of a family whose conversations take long or much."""
MUTED_AFTER: Final = 3
"""Times that one scenario may bring the peer down; then it is left out, so that the campaign goes on behind it."""
TRIES: Final = 1000
"""Cases that are left out in a row at most."""


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation and its place in the order. `alone`: nothing else may run meanwhile."""

    number: int
    conversation: Conversation
    alone: bool = False


class Schedule:
    """An endless order of conversations. `position`: the number of cases that were taken before."""

    def __init__(
        self, families: Sequence[Family], learned: Learned, corpus: Corpus, seed: int, position: int = 0
    ) -> None:
        self._families = families
        self._learned = learned
        self._corpus = corpus
        self._seed = seed
        self._systematic: Iterator[tuple[Conversation, bool]] | None = self._turns()
        self._muted: Counter[str] = Counter()
        self.position = 0
        """The number of cases taken so far."""
        self.systematic = 0
        """The number of systematic cases among them."""
        self.begun_random = False
        """True once all systematic cases were taken."""
        while self.position < position and not self.begun_random:
            self._next_systematic()
        self.position = max(self.position, position)

    def next(self) -> Case:
        """Returns the next case."""
        for _ in range(TRIES):
            found = self._next_systematic() or self._drawn()
            if self._muted[_scene(found.conversation)] < MUTED_AFTER:
                break
        return found

    def mute(self, conversation: Conversation) -> None:
        """Takes note that a conversation of this kind has brought the peer down."""
        self._muted[_scene(conversation)] += 1

    # -- systematic ----------------------------------------------------------------------------------------------

    def _next_systematic(self) -> Case | None:
        if self._systematic is None:
            return None
        found = next(self._systematic, None)
        if found is None:
            self._systematic, self.begun_random = None, True
            return None
        self.position += 1
        self.systematic += 1
        return Case(self.position, *found)

    def _turns(self) -> Iterator[tuple[Conversation, bool]]:
        """One case of each family by turns; those that take long or much have fewer turns."""
        left = [(family, family.systematic(self._learned)) for family in self._families]
        turn = 0
        while left:
            still = []
            for family, cases in left:
                if family.resource and turn % RESOURCE_TURNS:
                    still.append((family, cases))
                    continue
                case = next(cases, None)
                if case is not None:
                    still.append((family, cases))
                    yield case, family.resource
            left, turn = still, turn + 1

    # -- random --------------------------------------------------------------------------------------------------

    def _drawn(self) -> Case:
        self.position += 1
        random = Random(f"{self._seed}/{self.position}")
        if random.random() < 2 / 3:
            entry, other = self._corpus.choose(random), self._corpus.choose(random)
            if entry is not None and other is not None:
                if random.random() < 1 / 6 and entry.side is other.side:
                    return Case(self.position, spliced(entry, other, random))
                return Case(self.position, changed(entry, self._learned, random))
        weights = [1 / RESOURCE_TURNS if family.resource else 1.0 for family in self._families]
        family = random.choices(self._families, weights)[0]
        return Case(self.position, family.random(self._learned, random), family.resource)


def _scene(conversation: Conversation) -> str:
    """The part of a name that conversations of one kind have in common."""
    return conversation.name.split("~")[0].partition(":")[0]

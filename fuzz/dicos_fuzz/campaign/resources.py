"""Growth that stays: descriptors, threads and memory of a watched peer, after each conversation and once it is settled.

Knows: numbers over time. Must not know: processes (`watching`), how a suspect is confirmed (`suspects`).

Theory of operation: after each conversation the numbers are noted, while the peer may still be cleaning up. Growth that
stays shows in the least of all later numbers: where that rises, the conversation has left something behind. A caused
rise is only a suspicion: a pool of threads, an allocator and a cache grow too, and then no more. A suspect counts once
repeating it makes the same growth again, in proportion (`suspects`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

from ..conversation import Conversation

__all__ = ["COUNTED", "Counted", "Growth", "Numbers", "Track"]

Counted = Literal["descriptors", "threads", "memory"]
COUNTED: Final[tuple[Counted, ...]] = ("descriptors", "threads", "memory")
SLACK: Final[dict[Counted, int]] = {"descriptors": 4, "threads": 4, "memory": 16 << 20}
"""Growth over the baseline that raises no suspicion."""
ENTRIES: Final = 2_000
SUSPECTS: Final = 3


@dataclass(frozen=True, slots=True)
class Numbers:
    """The descriptors, threads and bytes of memory of a peer at one time."""

    descriptors: int
    threads: int
    memory: int

    def of(self, counted: Counted) -> int:
        """Returns one of them."""
        return int(getattr(self, counted))


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth that stayed. `suspects`: the conversations after which the number rose for good, those that cost most
    first."""

    counted: Counted
    before: int
    now: int
    suspects: tuple[Conversation, ...]


class Track:
    """The numbers after each conversation since the last time that all was settled."""

    def __init__(self, baseline: Numbers) -> None:
        self.baseline = baseline
        self._entries: list[tuple[Conversation, Numbers]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def note(self, conversation: Conversation, numbers: Numbers) -> None:
        """Takes note of the numbers after a conversation. Beyond `ENTRIES`, it is not noted."""
        if len(self._entries) < ENTRIES:
            self._entries.append((conversation, numbers))

    def above(self, numbers: Numbers) -> list[Counted]:
        """Returns what is above the baseline by more than may be."""
        return [one for one in COUNTED if numbers.of(one) > self.baseline.of(one) + SLACK[one]]

    def settled(self, numbers: Numbers) -> list[Growth]:
        """Takes the numbers of a peer at rest. Returns the growth that stayed since the baseline, which these numbers
        become where they are above it."""
        found = [
            Growth(one, self.baseline.of(one), numbers.of(one), self._suspects(one, numbers.of(one)))
            for one in self.above(numbers)
        ]
        raised = {one: max(self.baseline.of(one), numbers.of(one)) for one in COUNTED}
        if found:
            self.baseline = Numbers(raised["descriptors"], raised["threads"], raised["memory"])
        self._entries.clear()
        return found

    def _suspects(self, counted: Counted, last: int) -> tuple[Conversation, ...]:
        """The conversations after which the least of all later numbers rises, by kind, the worst first."""
        costs: Counter[str] = Counter()
        first: dict[str, Conversation] = {}
        least = last
        for at in range(len(self._entries) - 1, -1, -1):
            conversation, _ = self._entries[at]
            before = self._entries[at - 1][1].of(counted) if at else self.baseline.of(counted)
            least = min(least, self._entries[at][1].of(counted))
            if before < least:
                costs[conversation.name] += least - before
                first[conversation.name] = conversation
        return tuple(first[name] for name, _ in costs.most_common(SUSPECTS))

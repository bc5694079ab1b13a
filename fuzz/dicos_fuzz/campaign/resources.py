"""Growth that stays: descriptors, threads and memory of a watched peer, after each conversation and once it is settled.

Knows: numbers over time. Must not know: processes (`watching`), how a suspect is confirmed (`suspects`).

Theory of operation: after each conversation the numbers are noted, while the peer may still be cleaning up. Growth that
stays shows in the least of all later numbers: where that rises, the conversation has left something behind. That is
only a suspicion: a pool of threads, an allocator and a cache grow too, and then no more. A suspect counts once
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
SUSPECTS: Final = 6
PLAYED: Final = 64
WINDOW: Final = 8
"""Conversations that are suspects for one rise."""


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
    first. `played`: the last ones that were played meanwhile, in order."""

    counted: Counted
    before: int
    now: int
    suspects: tuple[Conversation, ...]
    played: tuple[Conversation, ...] = ()


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
        played = tuple(conversation for conversation, _ in self._entries[-PLAYED:])
        found = [
            Growth(one, self.baseline.of(one), numbers.of(one), self._suspects(one, numbers.of(one)), played)
            for one in self.above(numbers)
        ]
        raised = {one: max(self.baseline.of(one), numbers.of(one)) for one in COUNTED}
        if found:
            self.baseline = Numbers(raised["descriptors"], raised["threads"], raised["memory"])
        self._entries.clear()
        return found

    def _suspects(self, counted: Counted, last: int) -> tuple[Conversation, ...]:
        """The conversations after which the least of all later numbers rises, the worst first. The ones just before
        them are suspects too: a peer that is slow to clean up hides a rise for a moment."""
        credit: Counter[str] = Counter()
        kept: dict[str, Conversation] = {}
        least = last
        for at in range(len(self._entries) - 1, -1, -1):
            before = self._entries[at - 1][1].of(counted) if at else self.baseline.of(counted)
            least = min(least, self._entries[at][1].of(counted))
            if before < least:
                for back, (conversation, _) in enumerate(reversed(self._entries[max(0, at - WINDOW + 1) : at + 1])):
                    credit[conversation.name] += (least - before) * 64 // (1 + back) ** 2
                    kept[conversation.name] = conversation
        return tuple(kept[name] for name, _ in credit.most_common(SUSPECTS))

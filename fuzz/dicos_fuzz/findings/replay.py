"""A reproducer played again: how often its finding shows.

Knows: reproducers, when two violations are the same finding. Must not know: sockets, oracles; the caller plays and
looks (`campaign.replaying`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..conversation import Conversation, Transcript
from ..finding import Violation, signature
from .reproducer import Reproducer

__all__ = ["Run", "replay", "same"]

OUTSIDE = frozenset({"crash", "hang", "slot-leak", "stall", "spin", "memory-peak"})
"""Oracles that look at the peer from outside: how much they see depends on whether its process is watched, so that the
reaction may be called differently in a replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a reproducer. `seen`: all that was wrong in it. `shown`: True if the finding is among that."""

    transcript: Transcript
    seen: tuple[Violation, ...]
    shown: bool

    def others(self, wanted: Violation) -> tuple[Violation, ...]:
        """Returns what was wrong besides the finding."""
        return tuple(one for one in self.seen if not same(wanted, one))


def same(wanted: Violation, seen: Violation) -> bool:
    """Returns True if a violation is the finding that was recorded as `wanted`."""
    if signature(wanted) == signature(seen):
        return True
    if wanted.oracle != seen.oracle:
        return False
    return wanted.oracle in OUTSIDE or (wanted.reaction == seen.reaction and not (wanted.state and seen.state))


def replay(
    reproducer: Reproducer,
    play: Callable[[Conversation], Transcript],
    look: Callable[[Conversation, Transcript], Sequence[Violation]],
    *,
    times: int,
) -> Iterator[Run]:
    """Plays a reproducer, with the conversations that have to run before it, `times` times. Yields each run.

    `look`: returns what was wrong in the run that has just been played, also with the peer as a whole.
    """
    for _ in range(times):
        for one in reproducer.before:
            play(one)
        transcript = play(reproducer.conversation)
        seen = tuple(look(reproducer.conversation, transcript))
        yield Run(transcript=transcript, seen=seen, shown=any(same(reproducer.violation, one) for one in seen))

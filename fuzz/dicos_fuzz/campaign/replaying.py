"""The oracle of one finding, asked again: what `dicos replay` looks at after a run.

Knows: the oracles of the protocol and of liveness, which of them a finding needs. Must not know: reproducer files, the
command line.

A finding of the protocol is judged by the transcript. For one from outside the peer is asked for a good echo, or its
process is examined; to see growth that stays, the conversation is repeated. A good echo comes after every run, so that
a peer that does not serve any more is noticed for any finding.
"""

from __future__ import annotations

from typing import Final

from ..conversation import Conversation, Transcript
from ..finding import Severity, Violation
from .calling import Caller
from .expecting import EXPECTATIONS
from .judging import judge
from .liveness import Liveness, Trouble
from .player import Player
from .resources import Counted
from .watching import Watched

__all__ = ["Looking", "is_known", "needs_process"]

HANGING: Final = 8.0
"""Seconds after which a peer that serves nobody is called hanging."""
PROCESS: Final = ("spin", "memory-peak", "sanitizer")
"""Oracles that need the process of the peer; so do those of its log, `log-...`, and of growth."""
GROWTH: Final[dict[str, Counted]] = {
    "descriptor-leak": "descriptors", "thread-leak": "threads", "memory-growth": "memory"
}  # fmt: skip
REPEATED: Final[dict[Counted, int]] = {"descriptors": 12, "threads": 12, "memory": 40}
EACH: Final[dict[Counted, float]] = {"descriptors": 0.7, "threads": 0.7, "memory": 64 << 10}
"""Growth for each repetition that is a leak."""
SETTLE: Final = 3.0
_LOG_READ: Final = 0.1


def is_known(expectation: str) -> bool:
    """Returns True if this version has the expectation of a conversation."""
    return expectation in EXPECTATIONS


def needs_process(oracle: str) -> bool:
    """Returns True if an oracle sees nothing without the process of the peer."""
    return oracle in PROCESS or oracle in GROWTH or oracle.startswith("log-")


class Looking:
    """Looks at one peer for one finding. `watched`, `caller`: its process, where it is known."""

    def __init__(
        self, player: Player, violation: Violation, *, watched: Watched | None = None, caller: Caller | None = None
    ) -> None:
        self.liveness = Liveness(player, watched, caller, hanging=HANGING)
        self._player = player
        self._violation = violation
        self._calls = player.peer.listen is not None
        self._crashed: Trouble | None = None
        self._sent = 0

    def ready(self) -> Trouble | None:
        """Makes sure, before a run, that the peer serves. Returns what is wrong with it; a crash that was seen in the
        last run once, so that the peer can be started again in between."""
        crashed, self._crashed = self._crashed, None
        trouble = crashed if crashed is not None or self._calls else self.liveness.serves()
        self.liveness.complaints()
        self.liveness.begin_peak()
        self._sent = self._player.bytes_sent
        return trouble

    def look(self, conversation: Conversation, transcript: Transcript) -> list[Violation]:
        """Returns what was wrong in the run of a conversation, and with the peer after it."""
        oracle = self._violation.oracle
        found = judge(conversation, transcript, self._player.learned)
        troubles = [self.liveness.gone() if self._calls else self.liveness.serves()]
        self._crashed = next((one for one in troubles if one is not None and one.oracle == "crash"), None)
        if oracle == "spin":
            troubles.append(self.liveness.spins())
        if oracle == "memory-peak":
            troubles.append(self.liveness.gulps(self._player.bytes_sent - self._sent))
        if oracle.startswith("log-") or oracle == "sanitizer":
            self.liveness.wait(_LOG_READ)  # another thread reads it
            troubles += self.liveness.complaints()
        found += [one.violation for one in troubles if one is not None]
        if oracle in GROWTH and not any(troubles):
            found += self._growth(conversation, GROWTH[oracle])
        return found

    def _growth(self, conversation: Conversation, counted: Counted) -> list[Violation]:
        before = self.liveness.settled()
        for _ in range(REPEATED[counted]):
            self._player.play(conversation)
        after = self.liveness.settled(before, seconds=SETTLE)
        if before is None or after is None:
            return []
        grown = after.of(counted) - before.of(counted)
        if grown < REPEATED[counted] * EACH[counted]:
            return []
        amount = f"{grown >> 10} kB of memory" if counted == "memory" else f"{grown} {counted}"
        return [
            Violation(
                oracle=self._violation.oracle,
                severity=Severity.HIGH,
                detail=f"{amount} more after {REPEATED[counted]} repetitions",
                clause=self._violation.clause,
                reaction=f"{counted} not given back",
            )
        ]

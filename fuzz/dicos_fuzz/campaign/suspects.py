"""From a suspicion to a finding: which conversations it takes, how often it comes back, how small they can be made.

Knows: playing again, the oracles, delta debugging (`findings.minimise`). Must not know: the order of a campaign.

Theory of operation: `shows` puts the peer in a state in which it serves, plays some conversations, and asks the oracle
that raised the suspicion. Everything else is search over that question: backwards through the conversations that ran
before (`earlier`), then how often of `TIMES`, then the smallest conversation (`minimise`). Each search has a budget in
questions and in seconds; a question after the last second is answered by "no", which ends a search early and safely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from ..conversation import Conversation, Transcript
from ..finding import Finding, Severity, Violation, signature
from ..findings.minimise import earlier, minimise
from .knowledge import Learned
from .liveness import Liveness, Trouble
from .player import Player
from .resources import Counted, Growth
from .watching import CannotStart, Watched

__all__ = ["Judge", "Suspects", "Unrecoverable"]

TIMES: Final = 3
"""Times that a finding is played again, to see how often it comes back."""
KEPT: Final = 50
"""Conversations before it that are kept with a finding that cannot be played again."""
SEARCHED: Final = 1_000
BACKWARDS: Final = 60
SMALLER: Final = 400
AGAIN_HANGING: Final = 8.0
"""Seconds after which a peer is called hanging when a hang is played again."""
PATIENT: Final = 4
MOST_PATIENT: Final = 5.0
REPEATS: Final[dict[Counted, int]] = {"descriptors": 12, "threads": 12, "memory": 40}
SHARE: Final = 0.7
"""Growth for each repetition, as a share of what would be one descriptor or thread each, that confirms a leak."""
MEMORY_EACH: Final = 64 << 10
SETTLE: Final = 3.0

Judge = Callable[[Conversation, Transcript, Learned], list[Violation]]


class Unrecoverable(Exception):
    """The peer serves nobody, and cannot be started again; the text says which."""


@dataclass(slots=True)
class _Budget:
    """Seconds for a search."""

    until: float

    @property
    def over(self) -> bool:
        return monotonic() >= self.until


class Suspects:
    """Investigates what one campaign suspects. `seconds`: for each search of what does not bring the peer down; four
    times as long for what does. `smaller`: questions to make a conversation small, 0 leaves it as it is."""

    def __init__(
        self,
        player: Player,
        liveness: Liveness,
        judge: Judge,
        *,
        watched: Watched | None = None,
        seconds: float = 10.0,
        smaller: int = SMALLER,
    ) -> None:
        self._player = player
        self._liveness = liveness
        self._judge = judge
        self._watched = watched
        self._seconds = seconds
        self._smaller = smaller
        self.restarts = 0
        """The number of times that the peer was started again."""

    # -- the peer ------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Returns once the peer serves; starts it again if it does not. Raises `Unrecoverable`."""
        trouble = self._liveness.serves()
        if trouble is None or trouble.oracle == "stall":
            return
        watched = self._watched
        if watched is None or not watched.restartable:
            raise Unrecoverable(trouble.violation.detail)
        try:
            watched.restart()
        except CannotStart as error:
            raise Unrecoverable(str(error)) from None
        self.restarts += 1
        again = self._liveness.serves()
        if again is not None:
            raise Unrecoverable(f"after a restart: {again.violation.detail}")
        self._liveness.measure_idle()

    def _fresh(self) -> None:
        """As `recover`; a peer that can be started again begins without a past."""
        if self._watched is not None and self._watched.restartable:
            try:
                self._watched.restart()
            except CannotStart as error:
                raise Unrecoverable(str(error)) from None
            self.restarts += 1
        self.recover()

    # -- what brings the peer down, or hurts it -------------------------------------------------------------------

    def trouble(self, trouble: Trouble, history: Sequence[Conversation], transcript: Transcript) -> Finding:
        """Returns the finding of a trouble that showed after `history`, the latest last. The peer serves afterwards.
        Raises `Unrecoverable` if it does not, with the finding as `args[1]`."""
        plain = Finding(
            violation=trouble.violation,
            conversation=history[-1],
            transcript=transcript,
            before=tuple(history[:-1][-KEPT:]),
            evidence=trouble.evidence,
        )
        hanging, self._liveness.hanging = self._liveness.hanging, min(self._liveness.hanging, AGAIN_HANGING)
        try:
            found = self._search(trouble, history[-SEARCHED:], plain)
            self.recover()
        except Unrecoverable as error:
            raise Unrecoverable(str(error), plain) from None
        finally:
            self._liveness.hanging = hanging
        return found

    def _search(self, trouble: Trouble, history: Sequence[Conversation], plain: Finding) -> Finding:
        budget = _Budget(monotonic() + 4 * self._seconds)
        seen: list[Transcript] = []

        def shows(some: tuple[Conversation, ...]) -> bool:
            if budget.over or not some:
                return False
            self._fresh() if trouble.fatal else self.recover()
            transcript = self._played(some)
            if self._again(trouble, some):
                seen[:] = [transcript]
                return True
            return False

        needed = earlier(history, shows, budget=BACKWARDS)
        if not needed.shown or not needed.conversations:
            return replace(plain, replayed=(0, TIMES))
        *before, last = needed.conversations
        found = replace(plain, conversation=last, before=tuple(before), transcript=seen[0])
        return self._sized(found, lambda one: shows((*before, one)), budget)

    def _sized(self, found: Finding, still: Callable[[Conversation], bool], budget: _Budget) -> Finding:
        """Counts how often a finding comes back, and makes it small."""
        budget.until = max(budget.until, monotonic() + self._seconds)
        shown = sum(still(found.conversation) for _ in range(TIMES))
        found = replace(found, replayed=(shown, TIMES))
        if shown and self._smaller:
            budget.until = monotonic() + self._seconds
            found = replace(found, minimised=minimise(found.conversation, still, budget=self._smaller))
        return found

    def _played(self, some: Sequence[Conversation]) -> Transcript:
        transcript = Transcript()
        for one in some:
            transcript = self._player.play(one)
        return transcript

    def _again(self, trouble: Trouble, some: Sequence[Conversation]) -> bool:
        """True if the oracle of a trouble reports it again."""
        liveness, wanted = self._liveness, trouble.violation
        match trouble.oracle:
            case "crash" | "hang" | "slot-leak" | "stall":
                found = [liveness.serves()]
            case "spin":
                found = [liveness.spins()]
            case "memory-peak":
                found = [liveness.gulps(sum(len(step_bytes) for one in some for step_bytes in _messages(one)))]
                if self._watched is not None:
                    self._watched.reset_peak()
                    liveness.peak = self._watched.peak()
            case _:
                liveness.wait(0.1)  # its output is read by another thread
                found = [*liveness.complaints()]
        return any(
            one is not None and one.oracle == wanted.oracle and one.violation.reaction == wanted.reaction
            for one in found
        )

    # -- what the protocol shows ----------------------------------------------------------------------------------

    def violation(self, violation: Violation, conversation: Conversation, transcript: Transcript) -> Finding:
        """Returns the finding of a violation of the protocol; its `replayed` says how often it came back. The peer gets
        more time for each answer than in the first run, so that it is not blamed for being slow."""
        wanted = signature(violation)
        learned = self._player.learned
        patient = replace(learned, answer_seconds=min(MOST_PATIENT, PATIENT * max(0.25, learned.answer_seconds)))
        budget = _Budget(monotonic() + 2 * self._seconds)

        def still(one: Conversation) -> bool:
            if budget.over:
                return False
            found = self._judge(one, self._player.play(one), patient)
            return any(signature(each) == wanted for each in found)

        plain = Finding(violation=violation, conversation=conversation, transcript=transcript)
        self._player.learned = patient
        try:
            return self._sized(plain, still, budget)
        finally:
            self._player.learned = learned

    # -- growth ---------------------------------------------------------------------------------------------------

    def growth(self, growth: Growth) -> Finding | None:
        """Returns the finding of growth that stays, if one of the suspects makes it again, and once more, in
        proportion; None if none does."""
        for suspect in growth.suspects:
            first = self._grown(suspect, growth.counted)
            if not self._enough(first, growth.counted):
                continue
            second = self._grown(suspect, growth.counted)
            if self._enough(second, growth.counted):
                return self._leak(growth, suspect, min(first, second))
        return None

    def _grown(self, conversation: Conversation, counted: Counted) -> int:
        """The growth that stays after a conversation was repeated."""
        before = self._liveness.settled()
        for _ in range(REPEATS[counted]):
            self._player.play(conversation)
        self.recover()
        after = self._liveness.settled(before, seconds=SETTLE)
        return 0 if before is None or after is None else after.of(counted) - before.of(counted)

    @staticmethod
    def _enough(grown: int, counted: Counted) -> bool:
        return grown >= REPEATS[counted] * (MEMORY_EACH if counted == "memory" else SHARE)

    def _leak(self, growth: Growth, conversation: Conversation, grown: int) -> Finding:
        counted, times = growth.counted, REPEATS[growth.counted]
        amount = f"{grown >> 10} kB of memory" if counted == "memory" else f"{grown} {counted}"
        oracle = {"descriptors": "descriptor-leak", "threads": "thread-leak", "memory": "memory-growth"}[counted]
        violation = Violation(
            oracle=oracle,
            severity=Severity.MEDIUM if counted == "memory" else Severity.HIGH,
            detail=f"{amount} more after {times} repetitions, which stay once all connections are closed",
            clause="no state outlives its connection",
            reaction=f"{counted} not given back",
            family=conversation.name.partition("/")[0],
            by_family=True,
        )
        shown = times if counted == "memory" else min(grown, times)
        return Finding(
            violation=violation,
            conversation=conversation,
            transcript=self._player.play(conversation),
            replayed=(shown, times),
            evidence=(f"{counted}: {growth.before} at first, {growth.now} when it was noticed",),
        )


def _messages(conversation: Conversation) -> list[bytes]:
    return [message for step in conversation.steps if (message := getattr(step, "message", b""))]

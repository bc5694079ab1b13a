"""From a suspicion to a finding: which conversations it takes, how often it comes back, how small they can be made.

Knows: playing again, the oracles, delta debugging (`findings.minimise`). Must not know: the order of a campaign.

Theory of operation: one question is asked again and again: the peer serves; some conversations are played; does the
oracle that raised the suspicion report the same reaction? Everything else is search over that question: backwards
through the conversations that ran before (`earlier`), then how often of `TIMES`, then the smallest conversation
(`minimise`). Each search has a budget in questions and in seconds, and ends with the last second (`OutOfBudget`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from time import monotonic
from typing import Final

from ..conversation import Conversation, Transcript
from ..finding import Finding, Severity, Violation, signature
from ..findings.minimise import earlier, minimise
from ..findings.searching import OutOfBudget
from .knowledge import Learned
from .liveness import Liveness, Trouble, rejects_alike
from .player import Player
from .resources import Counted, Growth
from .watching import CannotStart, Watched

__all__ = ["LASTING", "LEAKS", "Judge", "Suspects", "Unrecoverable"]

TIMES: Final = 3
"""Times that a finding is played again, to see how often it comes back."""
KEPT: Final = 50
"""Conversations before it that are kept with a finding that cannot be played again."""
SEARCHED: Final = 1_000
BACKWARDS: Final = 60
SMALLER: Final = 400
AGAIN_HANGING: Final = 8.0
"""Seconds after which a peer is called hanging when a hang is played again."""
AGAIN_CONGESTED: Final = 4.0
PATIENT: Final = 4
PATIENT_ECHOES: Final = 20
LEAST_PATIENT: Final = 0.5
MOST_PATIENT: Final = 5.0
REPEATS: Final[dict[Counted, int]] = {"descriptors": 4, "threads": 4, "memory": 24}
ROUNDS: Final[dict[Counted, int]] = {"descriptors": 1, "threads": 1, "memory": 2}
"""The number of times that the repetitions are made once more."""
SHARE: Final = 0.7
"""Growth for each repetition, as a share of one descriptor or thread, and of the first growth: that confirms a leak."""
MEMORY_EACH: Final = 64 << 10
SETTLE: Final = 3.0
HALVING: Final = 1.0
"""Seconds in which a peer gives back what it used, while suspects are only being looked for."""
LEAST_GROWING: Final = 15.0
SLOTS: Final = 16
"""Associations at the same time that most peers serve, or fewer."""
REPEATED_OF: Final = 16
PLAYED_EACH: Final = 32
"""One of this many conversations, at least, leaves something behind: else halving them leads nowhere."""
GRACE: Final = 10.0
"""Seconds that an investigation may take beyond the end of the campaign: what was seen last is not lost."""
LEAST_LEFT: Final = 0.5
SMALLER_CONGESTED: Final = 1.0
"""Like `AGAIN_CONGESTED`, while a conversation is made small; the result is played again with that."""
LONGEST_SEARCH: Final = 60.0
"""Seconds for the search for what brings the peer down, at least: each question may need a restart."""
LEAKS: Final[dict[Counted, str]] = {
    "descriptors": "descriptor-leak", "threads": "thread-leak", "memory": "memory-growth"
}  # fmt: skip
"""The oracles of growth that stays."""
OUTSIDE: Final = ("crash", "hang", "slot-leak", "stall", "spin", "memory-peak", "sanitizer")
"""The oracles that look at the peer from outside (`liveness`); others begin with `log-`."""
LASTING: Final = ("crash", "hang", "slot-leak", "stall", "spin")
"""Those for which the past of the peer matters: each question begins with a fresh one, where it can be restarted."""


Judge = Callable[[Conversation, Transcript, Learned], list[Violation]]
"""The oracles of the protocol, as `judging.judge`."""


class Unrecoverable(Exception):
    """The peer serves nobody, and cannot be started again; the text says why. `finding`: what led to it."""

    def __init__(self, why: str, finding: Finding | None = None) -> None:
        super().__init__(why)
        self.finding = finding


class Suspects:
    """Investigates the suspicions of one campaign. `seconds`: for each search backwards."""

    def __init__(
        self,
        player: Player,
        liveness: Liveness,
        judge: Judge,
        *,
        watched: Watched | None = None,
        seconds: float = 10.0,
    ) -> None:
        self._player = player
        self._liveness = liveness
        self._judge = judge
        self._watched = watched
        self._seconds = seconds
        self._last = Transcript()
        self._down = False  # the last question was answered by a peer that serves nobody
        self.ends = inf
        """When the campaign ends."""
        self.grace = GRACE
        """Seconds after the end of the campaign in which every search ends."""
        self.restarts = 0
        """The number of times that the peer was started again."""

    def _until(self, seconds: float) -> float:
        """The end of a search that may take this long."""
        return min(monotonic() + seconds, self.ends + self.grace)

    def _is_over(self) -> bool:
        """True once there is no time for any question."""
        return monotonic() >= self.ends + self.grace

    def _play(self, conversation: Conversation) -> Transcript:
        """Plays a conversation, no longer than there is time."""
        bounds = self._player.bounds
        left = max(LEAST_LEFT, self.ends + self.grace - monotonic())
        self._player.bounds = replace(bounds, seconds=min(bounds.seconds, left))
        try:
            return self._player.play(conversation)
        finally:
            self._player.bounds = bounds

    # -- the peer ------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Returns once the peer serves; starts it again if it does not. Raises `Unrecoverable`."""
        down, self._down = self._down, False
        watched = self._watched
        restartable = watched is not None and watched.restartable
        if not (down and restartable):  # else it was asked already, as long as that takes
            trouble = self._liveness.serves()
            if trouble is None or trouble.oracle == "stall" or trouble.cut:
                return
            if not restartable:
                raise Unrecoverable(trouble.violation.detail)
        self._restart()
        again = self._liveness.serves()
        if again is not None and not again.cut:
            raise Unrecoverable(f"after a restart: {again.violation.detail}")
        self._liveness.begin_peak()

    def _restart(self) -> None:
        assert self._watched is not None
        try:
            self._watched.restart()
        except CannotStart as error:
            raise Unrecoverable(str(error)) from None
        self.restarts += 1

    def _fresh(self) -> None:
        """Like `recover`, and a peer that can be started again begins without a past."""
        if self._watched is not None and self._watched.restartable:
            self._restart()
            self._down = False
        self.recover()

    # -- what brings the peer down, or hurts it -------------------------------------------------------------------

    def trouble(self, trouble: Trouble, history: Sequence[Conversation], transcript: Transcript) -> Finding:
        """Returns the finding of a trouble that showed after `history`, the latest last. Raises `Unrecoverable`, with
        the finding, if the peer serves nobody afterwards."""
        plain = Finding(
            violation=trouble.violation,
            conversation=history[-1],
            transcript=transcript,
            before=tuple(history[:-1][-KEPT:]),
            replayed=(0, 0),
            evidence=trouble.evidence,
        )
        found = plain
        try:
            with self._quicker():
                found = self._search(trouble, history[-SEARCHED:], plain)
            self.recover()
        except Unrecoverable as error:
            raise Unrecoverable(str(error), found) from None
        return found

    @contextmanager
    def _quicker(self, congested: float | None = None) -> Iterator[None]:
        """A hang that is played again need not last as long as the first."""
        liveness = self._liveness
        before = liveness.hanging, liveness.congested
        liveness.hanging = min(liveness.hanging, AGAIN_HANGING)
        liveness.congested = min(liveness.congested, AGAIN_CONGESTED if congested is None else congested)
        try:
            yield
        finally:
            liveness.hanging, liveness.congested = before

    def _search(self, trouble: Trouble, history: Sequence[Conversation], plain: Finding) -> Finding:
        seen: list[Transcript] = []
        until = self._until(max(LONGEST_SEARCH, self._seconds) if trouble.fatal else self._seconds)

        def shows(some: tuple[Conversation, ...]) -> bool:
            if monotonic() > until or not some:
                return False
            found = self._shows(trouble.violation, some, until)
            if found is not None:
                seen[:] = [found]
            return found is not None

        needed: tuple[Conversation, ...] = ()
        if trouble.oracle == "slot-leak":
            needed = self._repeated(history, shows)
        if not needed:
            backwards = earlier(history, shows, budget=BACKWARDS)
            needed = backwards.conversations if backwards.shown else ()
        if not needed:
            return replace(plain, replayed=(0, TIMES))
        *before, last = needed
        transcript = seen[0]
        shown = tried = 1
        while tried < TIMES and not self._is_over():
            shown += self._shows(trouble.violation, (*before, last)) is not None
            tried += 1
        return replace(plain, conversation=last, before=tuple(before), transcript=transcript, replayed=(shown, tried))

    def _repeated(
        self, history: Sequence[Conversation], shows: Callable[[tuple[Conversation, ...]], bool]
    ) -> tuple[Conversation, ...]:
        """Looks for one conversation that uses up all slots when it is repeated, among the latest different ones.
        Returns it as often as that takes; nothing if there is none."""
        latest = {one.name: one for one in reversed(history)}
        for one in list(latest.values())[:REPEATED_OF]:
            if shows((one,) * SLOTS):
                fewest = next((count for count in (1, 4, 8, 10, 12) if shows((one,) * count)), SLOTS)
                return (one,) * fewest
        return ()

    def _shows(self, violation: Violation, some: Sequence[Conversation], until: float = inf) -> Transcript | None:
        """Plays conversations with a peer that serves. Returns the transcript of the last one, if all were played in
        time, and a trouble with the same reaction shows afterwards."""
        if violation.oracle == "slot-leak" or (len(some) > 1 and violation.oracle in LASTING):
            self._fresh()  # the slots that were lost before would count too
        else:
            self.recover()
        self._liveness.complaints()
        if violation.oracle == "memory-peak":
            self._liveness.begin_peak()
        transcript = Transcript()
        sent = self._player.bytes_sent
        for one in some:
            if monotonic() > until:
                return None
            transcript = self._play(one)
            if violation.oracle == "slot-leak" and rejects_alike(transcript, violation):
                break  # the rest would be rejected too, and take its time
        found = self._asked(violation.oracle, self._player.bytes_sent - sent)
        self._down = any(one.fatal for one in found)
        same = (one for one in found if one.oracle == violation.oracle and not one.cut)
        again = any(one.violation.reaction == violation.reaction for one in same)
        return transcript if again else None

    def _asked(self, oracle: str, sent: int) -> list[Trouble]:
        """Asks the oracle of that name."""
        liveness = self._liveness
        match oracle:
            case "crash" | "hang" | "slot-leak" | "stall":
                found = liveness.serves()
            case "spin":
                found = liveness.spins()
            case "memory-peak":
                found = liveness.gulps(sent)
                liveness.begin_peak()
            case _:
                liveness.wait(0.1)  # another thread reads its output
                return liveness.complaints()
        return [] if found is None else [found]

    # -- what the protocol shows ----------------------------------------------------------------------------------

    def violation(
        self, violation: Violation, conversation: Conversation, transcript: Transcript, times: int = TIMES
    ) -> Finding:
        """Returns the finding of a violation of the protocol; its `replayed` says how often it came back, (0, 0) if
        there was no time to try. The peer gets more time for each answer than in the first run, so that it is not
        blamed for being slow."""
        shown = tried = 0
        until = self._until(self._seconds)
        with self._patient():
            while tried < times and not self._is_over() and (tried == 0 or monotonic() < until):
                again = self._violates(violation, conversation)
                if not again and self._is_over():
                    break  # it may have been cut short
                shown, tried = shown + again, tried + 1
        return Finding(violation=violation, conversation=conversation, transcript=transcript, replayed=(shown, tried))

    @contextmanager
    def _patient(self) -> Iterator[None]:
        learned = self._player.learned
        lately = self._player.last.seconds or 0.0  # a busy host, or a peer that has become slow
        seconds = min(MOST_PATIENT, max(LEAST_PATIENT, PATIENT * learned.answer_seconds, PATIENT_ECHOES * lately))
        self._player.learned = replace(learned, answer_seconds=seconds)
        try:
            yield
        finally:
            self._player.learned = learned

    def _violates(self, violation: Violation, conversation: Conversation) -> bool:
        wanted = signature(violation)
        transcript = self._play(conversation)
        if self._is_over():
            return False
        return any(signature(one) == wanted for one in self._judge(conversation, transcript, self._player.learned))

    def _violates_afresh(self, violation: Violation, conversation: Conversation) -> bool:
        """Like `_violates`; a peer that does not serve any more, because the violation costs it something each time,
        is started again, and asked once more."""
        if self._violates(violation, conversation):
            return True
        if self._watched is None or not self._watched.restartable:
            return False
        if self._is_over() or self._player.echo(self._liveness.deadline) is not None:
            return False
        self._fresh()
        return self._violates(violation, conversation)

    # -- smaller --------------------------------------------------------------------------------------------------

    def smaller(self, finding: Finding, seconds: float, questions: int = SMALLER) -> Finding:
        """Returns the finding with the smallest conversation found, in `seconds` and `questions`; unchanged if it never
        came back. Raises `Unrecoverable`."""
        if not finding.replayed[0]:
            return finding
        until = self._until(seconds)
        violation = finding.violation
        growing = next((one for one, oracle in LEAKS.items() if oracle == violation.oracle), None)
        repeated = {*finding.before} == {finding.conversation}  # then all of them become smaller together

        def still(one: Conversation) -> bool:
            if monotonic() > until:
                raise OutOfBudget  # what is left to ask takes time even if the answer is no
            if growing is not None:
                return self._enough(self._grown(one, growing, 1.0), growing)
            if violation.oracle in OUTSIDE or violation.oracle.startswith("log-"):
                before = (one,) * len(finding.before) if repeated else finding.before
                return self._shows(violation, (*before, one)) is not None
            return self._violates_afresh(violation, one)

        with self._quicker(SMALLER_CONGESTED), self._patient():
            if growing is not None:
                self._fresh()  # what it lost until now may be all that it can lose
            minimised = minimise(finding.conversation, still, budget=questions)
        if minimised == finding.conversation:
            return finding
        before = (minimised,) * len(finding.before) if repeated else finding.before
        with self._quicker(), self._patient():
            if violation.oracle == "slot-leak" and self._shows(violation, (*before, minimised)) is None:
                return finding  # it was only slow to free its slots
            self.recover()
            transcript = self._play(minimised)
        return replace(finding, minimised=minimised, minimised_transcript=transcript, before=before)

    # -- growth ---------------------------------------------------------------------------------------------------

    def growth(self, growth: Growth) -> Finding | None:
        """Returns the finding of growth that stays, if one of the suspects makes it again, and once more, in
        proportion; None if none does. Raises `Unrecoverable`, with the finding, if the peer serves nobody
        afterwards."""
        self._fresh()
        until = self._until(3 * max(LEAST_GROWING, self._seconds))
        for suspect in self._narrowed(growth, until):
            if monotonic() > until:
                break
            first = self._grown(suspect, growth.counted, SETTLE)
            if not self._enough(first, growth.counted):
                continue
            found = self._leak(growth, suspect, first)
            try:
                again = all(self._grows_on(suspect, growth.counted, first) for _ in range(ROUNDS[growth.counted]))
            except Unrecoverable as lost:  # that was its last slot
                raise Unrecoverable(str(lost), found) from None
            if again:
                self._fresh()
                return found
        return None

    def _grows_on(self, conversation: Conversation, counted: Counted, first: int) -> bool:
        """Repeats a conversation once more. Returns True if that makes nearly the same growth as the `first` time: the
        growth of a cache, or of an allocator, becomes less."""
        grown = self._grown(conversation, counted, SETTLE)
        return self._enough(grown, counted) and grown >= SHARE * first

    def _narrowed(self, growth: Growth, until: float) -> Iterator[Conversation]:
        """Yields the suspects, and then the one that halving those before them leads to, if it does in time."""
        yield from growth.suspects
        some, counted = growth.played, growth.counted
        most = self._grown_by(some, counted, HALVING)
        while len(some) > 1 and most >= len(some) // PLAYED_EACH * (MEMORY_EACH if counted == "memory" else 1):
            if monotonic() > min(until, self.ends):
                return
            if counted != "memory":
                self._fresh()  # its slots may be used up
            half = len(some) // 2
            first = self._grown_by(some[:half], counted, HALVING)
            some, most = (some[:half], first) if 2 * first >= most else (some[half:], most - first)
        yield from some[:1]

    def _grown(self, conversation: Conversation, counted: Counted, seconds: float) -> int:
        """The growth that stays after a conversation was repeated."""
        return self._grown_by([conversation] * REPEATS[counted], counted, seconds)

    def _grown_by(self, some: Sequence[Conversation], counted: Counted, seconds: float) -> int:
        """The growth that stays after some conversations; 0 if there is no time for them."""
        before = self._liveness.settled()
        until = self._until(max(LEAST_GROWING, self._seconds))
        for one in some:
            if monotonic() > until:
                return 0
            self._last = self._play(one)
        self.recover()
        after = self._liveness.settled(before, seconds=seconds)
        return 0 if before is None or after is None else after.of(counted) - before.of(counted)

    @staticmethod
    def _enough(grown: int, counted: Counted) -> bool:
        return grown >= REPEATS[counted] * (MEMORY_EACH if counted == "memory" else SHARE)

    def _leak(self, growth: Growth, conversation: Conversation, grown: int) -> Finding:
        counted, times = growth.counted, REPEATS[growth.counted]
        amount = f"{grown >> 10} kB of memory" if counted == "memory" else f"{grown} {counted}"
        violation = Violation(
            oracle=LEAKS[counted],
            severity=Severity.MEDIUM if counted == "memory" else Severity.HIGH,
            detail=f"{amount} more after {times} repetitions, which stay once all connections are closed",
            clause="limit: no state outlives its connection",
            reaction=f"{counted} not given back",
            family=conversation.name.partition("/")[0],
            by_family=True,
        )
        shown = times if counted == "memory" else min(grown, times)
        return Finding(
            violation=violation,
            conversation=conversation,
            transcript=self._last,
            replayed=(shown, times),
            evidence=(f"{counted}: {growth.before} at first, {growth.now} when it was noticed",),
        )

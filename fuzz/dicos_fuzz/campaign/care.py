"""Looks after the peer of a campaign: good echoes, its resources, its log; and has the suspects investigated.

Knows: when to ask which oracle, and what follows from its answer. Must not know: the order of conversations.

Theory of operation: a peer that serves nobody is looked into at once, as long as investigations have not had their
share of the time (`SHARE`); else it is only started again. All else that is suspicious, and that too, waits in `_open`
and `_growths` for the share: with a peer that is slow to answer, investigations would leave no time for anything new.
`settle` goes on with them.

Invariants: an investigation runs with nothing else going on (`Work.quiet`), so that its answers are about the suspects.
At most `OPEN` suspicions wait, each with a bounded part of the history; what there is no place or no time for, or what
is interrupted, is kept unconfirmed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final, Protocol

from ..conversation import Conversation, Send, Side, Transcript
from ..finding import Finding, Severity, Violation
from .conduct import conduct
from .ledger import Ledger
from .lines import lines_of
from .liveness import Liveness, Trouble
from .player import Exhausted, LocalTrouble, Player
from .pool import Played
from .resources import Counted, Growth, Track
from .settings import Settings
from .suspects import KEPT, Suspects

__all__ = ["FIRST_SURVEYS", "Care", "History", "Work"]

HISTORY: Final = 1_000
HISTORY_BYTES: Final = 64 << 20
OPEN: Final = 16
"""Suspicions that wait to be looked into."""
OPEN_BYTES: Final = 4 << 20
"""Bytes of earlier conversations that are kept with each, beside the last one."""
SHARE: Final = 0.25
"""Share of the time for looking into what is suspicious, and for waiting until the peer is at rest."""
FIRST_SURVEYS: Final = 2
"""Looks at the resources of a peer before connections are kept open beside the others, which use resources too."""
SURVEY_AGAIN: Final = 2.0
"""Seconds between two looks at a peer whose descriptors or threads are above the baseline."""

AT_ONCE: Final = ("crash", "hang", "slot-leak", "stall")
"""The oracles that say that the peer does not serve, or that what it had is gone: looked into before all else."""
_ORDER: Final = {severity: number for number, severity in enumerate(Severity)}


class History:
    """The conversations that were played since the peer was fresh, the latest last: a bounded number of them, and of
    their bytes."""

    def __init__(self) -> None:
        self._kept: deque[Conversation] = deque()
        self._bytes = 0

    def add(self, conversation: Conversation) -> None:
        """Adds one; the oldest ones leave."""
        self._kept.append(conversation)
        self._bytes += _size(conversation)
        while len(self._kept) > HISTORY or (self._bytes > HISTORY_BYTES and len(self._kept) > 1):
            self._bytes -= _size(self._kept.popleft())

    def all(self) -> list[Conversation]:
        """Returns all of them."""
        return list(self._kept)

    def latest(self, most: int) -> list[Conversation]:
        """Returns the latest ones, of `most` bytes together, and the last one in any case."""
        found: list[Conversation] = []
        for one in reversed(self._kept):
            most -= _size(one)
            if found and most < 0:
                break
            found.append(one)
        return found[::-1]

    def clear(self) -> None:
        """Forgets all."""
        self._kept.clear()
        self._bytes = 0


class Work(Protocol):
    """The other work of a campaign, as far as the care for its peer has to know it."""

    history: History

    @property
    def jobs(self) -> int:
        """The number of conversations that may go on at the same time."""

    def quiet(self) -> None:
        """Waits until nothing is going on, and ends what would go on for long."""

    def lane_busy(self) -> bool:
        """True while a conversation is kept waiting beside the others."""

    def add(self, finding: Finding) -> bool:
        """Takes a finding."""

    def leave(self, finding: Finding) -> None:
        """Takes what there is no time to confirm."""

    def mute(self, conversation: Conversation) -> None:
        """Leaves out conversations of this kind after a few more of them."""

    def stop(self, why: str) -> None:
        """Ends the campaign."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A suspicion that waits: what was seen, after which conversations, the latest last."""

    trouble: Trouble
    history: list[Conversation]
    transcript: Transcript

    @property
    def turn(self) -> tuple[bool, int]:
        """The smaller, the sooner it is looked into. To lose all slots, or to hang, takes a minute each time."""
        logged = self.trouble.oracle.startswith("log-")
        return not logged, _ORDER[self.trouble.violation.severity]

    def left(self) -> Finding:
        """Returns the finding that is kept, unconfirmed, if there is no time to look into it."""
        return Finding(
            violation=self.trouble.violation,
            conversation=self.history[-1],
            transcript=self.transcript,
            before=tuple(self.history[:-1][-KEPT:]) if self.trouble.fatal else (),
            evidence=self.trouble.evidence,
        )


class Care:
    """Looks after one peer. `note` is called with lines for people."""

    def __init__(
        self,
        work: Work,
        player: Player,
        liveness: Liveness,
        suspects: Suspects,
        ledger: Ledger,
        settings: Settings,
        note: Callable[[str], None],
    ) -> None:
        self._work = work
        self._player = player
        self._liveness = liveness
        self._suspects = suspects
        self._ledger = ledger
        self._settings = settings
        self._note = note
        self._track: Track | None = None
        self._echoed = self._surveyed = monotonic()
        self._since_echo = 0
        self._risen = False
        self.surveys = 0
        self._open: list[_Open] = []
        self._growths: dict[Counted, Growth] = {}
        self._begun = monotonic()
        self._spent = 0.0

    @property
    def _allowed(self) -> bool:
        """True while investigations have not had their share of the time."""
        return self._spent <= SHARE * (monotonic() - self._begun)

    @contextmanager
    def _spending(self) -> Iterator[None]:
        """Counts the time that is spent inside."""
        begun = monotonic()
        try:
            yield
        finally:
            self._spent += monotonic() - begun

    def rest(self) -> None:
        """Takes the resources of a peer at rest as the baseline."""
        numbers = self._liveness.settled()
        if numbers is not None:
            self._track = Track(numbers)
            self._liveness.measure_idle()
        self._risen = False
        self._surveyed = monotonic()

    @property
    def survey_due(self) -> bool:
        """True if the resources of the peer are to be measured now, or have not been often enough yet."""
        if self._track is None or not self._allowed:
            return False
        since = monotonic() - self._surveyed
        return self.surveys < FIRST_SURVEYS or since >= self._settings.survey_seconds

    def after(self, played: Played, *, at_once: bool) -> None:
        """Looks after the peer once a conversation was played. `at_once`: its reaction was new or suspicious. Raises
        `Unrecoverable`, `LocalTrouble`."""
        now = monotonic()
        self._since_echo += 1
        if self._track is not None:
            self._measure(self._track, played)
        due = self._since_echo >= self._settings.echo_every or now - self._echoed >= self._settings.echo_seconds
        if at_once or due:
            self.check(played)
        else:
            self.alive(played)
        since = now - self._surveyed
        if since >= self._settings.survey_seconds or (self._risen and since >= SURVEY_AGAIN):
            self._survey(played)
        self.settle()

    def settle(self, until: float | None = None) -> None:
        """Looks into what is open, as long as that has not had its share of the time, or until a time: what its log
        says first, which takes seconds, then the worst. Raises `Unrecoverable`."""
        while (self._open or self._growths) and (self._allowed if until is None else monotonic() < until):
            if self._open:
                one = min(self._open, key=lambda each: each.turn)
                self._open.remove(one)
                with self._spending():
                    self._work.quiet()
                    self._begun_anew(one, self._look_into(one))
            else:
                growth = self._growths.pop(next(iter(self._growths)))
                with self._spending():
                    self._work.quiet()
                    self._grown(growth)

    def leave_open(self) -> None:
        """Keeps what there was no time for, as not confirmed. Growth without a known cause is only noted."""
        for one in self._open:
            self._keep(one)
        for growth in self._growths.values():
            self._note(f"{_rise(growth)}; there was no time to look for the cause")
        self._open.clear()
        self._growths.clear()

    def credit(self, conversation: Conversation) -> None:
        """Notes the resources after a conversation was played again, outside of the order of a campaign: what it leaves
        behind is not blamed on the next one."""
        numbers = None if self._track is None else self._liveness.numbers()
        if self._track is not None and numbers is not None:
            self._track.note(conversation, numbers)

    def alive(self, played: Played) -> None:
        """Makes sure that the process of the peer is still there."""
        gone = self._liveness.gone()
        if gone is not None:
            self._trouble(gone, played)

    def check(self, played: Played) -> None:
        """Makes a good echo, as long as there is time; if it fails, the suspects are investigated."""
        if self._liveness.over:
            return
        self._echoed, self._since_echo = monotonic(), 0
        gone = self._liveness.gone()
        if gone is not None:
            self._trouble(gone, played)
        elif self._player.echo(self._liveness.left) is not None:
            self._liveness.served += 1
        else:
            waited = monotonic() - self._echoed
            self._work.quiet()
            trouble = self._liveness.serves(waited)
            if trouble is not None:
                self._trouble(trouble, played)
        for trouble in self._liveness.complaints():
            self._trouble(trouble, played)

    def _measure(self, track: Track, played: Played) -> None:
        """Notes the resources of a watched peer after a conversation, and looks for a peak of memory."""
        numbers = self._liveness.numbers()
        if numbers is not None:
            track.note(played.case.conversation, numbers)
            self._risen = any(one != "memory" for one in track.above(numbers))
        trouble = self._liveness.gulps(played.sent * self._work.jobs)
        if trouble is not None:
            self._trouble(trouble, played)

    def _trouble(self, trouble: Trouble, played: Played) -> None:
        last = played.case.conversation
        violation = placed(trouble.violation, last, played.transcript)
        trouble = replace(trouble, violation=violation)
        if trouble.cut:
            self._work.leave(_Open(trouble, [last], played.transcript).left())
            return
        new = self._ledger.is_new(violation)
        stops = trouble.oracle == "crash" and not self._settings.keep_going and not self._ledger.is_known(violation)
        if not trouble.fatal and trouble.oracle not in AT_ONCE:
            if new:
                self._wait(_Open(trouble, self._work.history.latest(OPEN_BYTES) or [last], played.transcript))
            return
        at_once = new and (self._allowed or stops)
        with self._spending():
            if new or trouble.fatal:
                self._work.quiet()
            one = _Open(trouble, self._work.history.all() or [last], played.transcript)
            if at_once:
                found = self._look_into(one)
                self._begun_anew(one, found)
                stops = stops and not self._ledger.is_known(found.violation)
            elif new:
                self._wait(replace(one, history=self._work.history.latest(OPEN_BYTES) or [last]))
            if trouble.fatal and not at_once:
                self._suspects.recover()
                self._begun_anew(one, one.left())
        if stops:
            self._work.stop("stopped at the first crash; --keep-going goes on")

    def _wait(self, one: _Open) -> None:
        """Lets a suspicion wait, if there is a place for it."""
        if len(self._open) < OPEN:
            self._ledger.suspect(one.trouble.violation)
            self._open.append(one)
        else:
            self._keep(one)

    def _keep(self, one: _Open) -> None:
        """Takes what was not looked into: a peer that was seen to end or to hang did so."""
        if one.trouble.fatal:
            finding = believed(one.left())
            self._ledger.came_down_to(one.trouble.violation, finding.violation)
            self._work.add(finding)
        else:
            self._work.leave(one.left())

    def _begun_anew(self, one: _Open, found: Finding) -> None:
        """After a peer that served nobody: its past is forgotten."""
        if one.trouble.fatal:
            self._work.mute(found.conversation)
            self._work.history.clear()
            self.rest()

    def _look_into(self, one: _Open) -> Finding:
        """Has a suspicion investigated, and takes the finding. Raises `Unrecoverable`, `Exhausted`, `LocalTrouble`."""
        trouble = one.trouble
        self._note(f"looking into {trouble.oracle}: {trouble.violation.detail}")
        try:
            finding = self._suspects.trouble(trouble, one.history, one.transcript)
        except (Exhausted, LocalTrouble, KeyboardInterrupt):
            self._keep(one)
            raise
        finding = replace(finding, violation=placed(finding.violation, finding.conversation, finding.transcript))
        finding = believed(finding) if trouble.fatal else finding
        self._ledger.came_down_to(trouble.violation, finding.violation)
        self._work.add(finding)
        self.credit(finding.conversation)
        return finding

    def _survey(self, played: Played) -> None:
        """Looks at the resources of a peer at rest."""
        if self._track is None or self._work.lane_busy():
            return  # connections that are kept open would count as growth
        if not self._allowed:
            return
        self._work.quiet()
        self.check(played)
        with self._spending():
            self._look(self._track, played)
        self._surveyed, self._risen = monotonic(), False
        self.surveys += 1

    def _look(self, track: Track, played: Played) -> None:
        """Measures the resources of a peer at rest."""
        numbers = self._liveness.settled(track.baseline, seconds=1.0)
        if numbers is not None and track.above(numbers):
            numbers = self._liveness.settled(track.baseline)
        for growth in [] if numbers is None else track.settled(numbers):
            self._growths[growth.counted] = growth
        if (trouble := self._liveness.spins()) is not None:
            self._trouble(trouble, played)

    def _grown(self, growth: Growth) -> None:
        names = ", ".join(one.name for one in growth.suspects) or "nobody"
        self._note(f"{_rise(growth)}; suspects: {names}")
        finding = self._suspects.growth(growth)
        if finding is not None and self._ledger.is_new(finding.violation):
            self._work.add(finding)
        if finding is not None:
            self.rest()


def _rise(growth: Growth) -> str:
    return f"{growth.counted} rose from {growth.before} to {growth.now}"


def placed(violation: Violation, conversation: Conversation, transcript: Transcript) -> Violation:
    """Returns the violation with the state in which the peer was, and the family of the conversation."""
    line = lines_of(transcript).get(0)
    state = "" if line is None else conduct(line, user=conversation.side is Side.USER).fault_state.name
    return replace(violation, state=state, family=conversation.name.partition("/")[0])


def believed(finding: Finding) -> Finding:
    """Returns the finding of a peer that was seen to end or to hang. It did so, even if it did not again: it counts as
    not played again, and as the same in every state, since nothing is known to be its cause."""
    if finding.replayed[0]:
        return finding
    violation, last = finding.violation, finding.conversation.name
    detail = f"{violation.detail}; no conversation is known to be the cause, the last one was {last}"
    return replace(finding, violation=replace(violation, detail=detail, state="", by_state=False), replayed=(0, 0))


def _size(conversation: Conversation) -> int:
    return sum(len(step.message) for step in conversation.steps if isinstance(step, Send)) + 500

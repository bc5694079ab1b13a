"""The loop of a campaign: plays case after case, looks after the peer, and turns what it sees into findings.

Knows: the schedule, the pool, the oracles, what may be spent. Must not know: the command line, how results are shown.

Theory of operation: cases go into the pool, results come out of it. A result is judged already; its reactions go into
the bitmap, and a conversation with a new one into the corpus. Between results there are good echoes: every few
conversations, and at once after a suspicious one. If one fails, or anything else from outside is wrong, the pool runs
empty and the suspects are investigated, with nothing else going on. The last part of the time makes findings small.

Invariants: `run` ends after its bounds, for any peer, and leaves `totals` complete however it ends. The memory of a
campaign is bounded: history, corpus, bitmap, findings (`FINDINGS`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic, sleep
from typing import Final, Protocol

from ..conversation import Conversation, Send, Transcript
from ..finding import Finding, Severity, Violation, signature
from .bitmap import Bitmap
from .calling import Caller
from .corpus import Corpus
from .expecting import TIMED
from .lane import LONG, Lane, length_of
from .ledger import Ledger
from .liveness import Liveness, Trouble
from .player import LocalTrouble, Player
from .pool import Played, Pool, play_here
from .resources import Numbers, Track
from .scenarios.family import Family
from .schedule import Case, Schedule
from .settings import Settings, Totals
from .suspects import TIMES, Judge, Suspects, Unrecoverable
from .watching import Watched

__all__ = ["Campaign", "Observer"]

HISTORY: Final = 1_000
HISTORY_BYTES: Final = 64 << 20
FINDINGS: Final = 500
"""Findings of one campaign; more of them help nobody, and each takes memory."""
LEAST_SMALLER: Final = 10.0
EACH_SMALLER: Final = 15.0
TELLING: Final = 0.1
SAVING: Final = 15.0
WARMING: Final = 10
"""Good echoes at first: the threads and caches that a peer makes once do not count as growth."""
SHARE_OF_COSTLY: Final = 0.2
FIRST_COSTLY: Final = 10.0
"""Seconds after which the first of them is played: the quick ones have their turn before."""
SHARE_OF_DOUBTS: Final = 0.5
DOUBTS: Final = 200
_ORDER: Final = {severity: number for number, severity in enumerate(Severity)}
LONGEST_COSTLY: Final = 0.15
"""Share of the time that one of them may take, unless it waits in the lane."""
SURVEYS_FIRST: Final = 2
SURVEY_AGAIN: Final = 2.0
"""Seconds between two looks at a peer whose descriptors or threads are above the baseline."""
SLOWER: Final = 1.5
SLOWEST: Final = 2.0


class Observer(Protocol):
    """Follows a campaign."""

    def found(self, finding: Finding) -> None:
        """A new finding."""

    def progress(self, totals: Totals) -> None:
        """Called after each result, at most every tenth of a second."""

    def note(self, text: str) -> None:
        """Something that a person may want to know."""

    def played(self, conversation: Conversation, transcript: Transcript) -> None:
        """A conversation that showed something new."""


class Campaign:
    """One campaign. `second`: plays the same conversations with another peer, and returns how that differs.

    `lane`: for conversations that mostly wait; without it they are rationed. `bitmap`, `corpus`, `taken`, `totals`:
    those of a campaign that is taken up again.
    """

    def __init__(
        self,
        player: Player,
        families: Sequence[Family],
        judge: Judge,
        pool: Pool,
        settings: Settings,
        observer: Observer,
        *,
        watched: Watched | None = None,
        caller: Caller | None = None,
        corpus: Corpus | None = None,
        bitmap: Bitmap | None = None,
        taken: tuple[int, int] = (0, 0),
        lane: Lane | None = None,
        totals: Totals | None = None,
        second: Callable[[Conversation, Transcript], None] | None = None,
    ) -> None:
        self.settings = settings
        self.totals = totals if totals is not None else Totals()
        self.corpus = corpus if corpus is not None else Corpus()
        self.bitmap = bitmap if bitmap is not None else Bitmap()
        self.schedule = Schedule(families, player.learned, self.corpus, settings.seed, taken)
        self.liveness = Liveness(player, watched, caller)
        self._player = player
        self._judge = judge
        self._pool = pool
        self._observer = observer
        self._watched = watched
        self.on_save: Callable[[], None] | None = None
        """Called every few seconds, to save the campaign."""
        self._second = second
        self._suspects = Suspects(
            player, self.liveness, judge, watched=watched, seconds=max(5.0, settings.seconds / 60)
        )
        self._ledger = Ledger(self.totals, settings.known, observer.found)
        self._history: deque[Conversation] = deque()
        self._history_bytes = 0
        self._track: Track | None = None
        self._before = self.totals.seconds
        self._begun = self._looping = self._echoed = self._surveyed = self._saved = self._told = monotonic()
        self._since_echo = 0
        self._put = 0
        self._sent_by_others = 0
        self._queue: deque[Played] = deque()
        self._lane = lane
        self._waiting: Case | None = None  # the next costly case
        self._spent_on_costly = 0.0
        self._doubts: list[tuple[Violation, Played]] = []
        self._spent_on_doubts = 0.0
        self._cancelled: dict[int, int] = {}
        self._surveys = 0
        self._risen = False

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> Totals:
        """Runs to the end, and returns what it has done; `totals.ended` says why it is over. A KeyboardInterrupt ends
        it too, and keeps everything."""
        totals = self.totals
        try:
            self._begin()
            totals.ended = self._loop()
            self._pool_empty()
            self._settle_doubts(monotonic() + max(LEAST_SMALLER, 0.1 * self.settings.seconds))
            self._smaller()
        except KeyboardInterrupt:
            totals.ended = "interrupted"
        except Unrecoverable as lost:
            totals.ended = f"the peer does not serve any more: {lost}"
            if lost.finding is not None:
                self._add(_believed(lost.finding))
        except LocalTrouble as trouble:
            totals.ended = f"this host: {trouble}"
        self._count()
        return totals

    def _begin(self) -> None:
        for _ in range(WARMING):
            trouble = self.liveness.serves()
            if trouble is not None:
                raise Unrecoverable(trouble.violation.detail)
        self.liveness.complaints()
        self._rest()

    def _rest(self) -> None:
        """Takes the resources of a peer at rest as the baseline."""
        if self._watched is None:
            return
        numbers = self.liveness.settled()
        if numbers is not None:
            self._track = Track(numbers)
            self.liveness.measure_idle()

    def _loop(self) -> str:
        self._looping = monotonic()
        while (why := self._over()) is None:
            self._costly()
            while not self._pool.full() and (case := self._next()) is not None:
                self._pool.put(case, self._player.learned)
            for played in self._pool.results():
                self._receive(played)
            while self._queue:
                self._take(self._queue.popleft())
            self._settle_doubts()
        return why

    def _next(self) -> Case | None:
        """Returns the next common case, at the rate that is allowed; None if there are only costly ones."""
        wait = self._begun + self._put / self.settings.rate - monotonic()
        if wait > 0:
            sleep(min(wait, 1.0))
        self._put += 1
        return self.schedule.next()

    def _costly(self) -> None:
        """Goes on with the cases that take long or much: those that mostly wait go into the lane, the others are
        played with nothing else going on, as long as they have not had their share of the time."""
        now = monotonic()
        allowed = self._spent_on_costly <= SHARE_OF_COSTLY * (now - self._looping - FIRST_COSTLY)
        if self._waiting is None and allowed:  # to make one may take long, too
            self._waiting = self.schedule.next(costly=True)
        case = self._waiting
        if self._lane is not None:
            self._use(self._lane, case, now)
        if allowed and case is not None and not (self._lane is not None and length_of(case.conversation) >= LONG):
            self._waiting = None
            self._pool_empty()
            bounds = self._player.bounds
            self._player.bounds = replace(bounds, seconds=max(10.0, LONGEST_COSTLY * self.settings.seconds))
            self._receive(play_here(self._player, self._judge, case))
            self._player.bounds = bounds
        self._spent_on_costly += monotonic() - now

    def _use(self, lane: Lane, case: Case | None, now: float) -> None:
        """Takes what the lane has done, and gives it more to do: not before the first looks at the resources of the
        peer, nor when one is due, because connections that stall use resources."""
        played = lane.result()
        if played is not None:
            for finding in lane.settle(played):
                self._look_into(finding)
            self._receive(played)
        due = self._track is not None and now - self._surveyed >= self.settings.survey_seconds
        if lane.busy or due or (self._track is not None and self._surveys < SURVEYS_FIRST):
            return
        again = lane.next()
        if again is None and case is not None and length_of(case.conversation) >= LONG:
            again, self._waiting = case, None
        if again is not None:
            lane.player.learned = self._player.learned
            lane.put(again)

    def _over(self) -> str | None:
        settings, totals = self.settings, self.totals
        if totals.ended:
            return totals.ended
        small = min(settings.smaller * settings.seconds, EACH_SMALLER * len(totals.findings))
        if monotonic() - self._begun >= settings.seconds - small:
            return f"{settings.seconds:g} seconds"
        if settings.conversations and totals.cases >= settings.conversations:
            return f"{settings.conversations} conversations"
        if self._sent() >= settings.most_bytes:
            return f"{settings.most_bytes} bytes"
        if len(totals.findings) >= FINDINGS:
            return f"{FINDINGS} findings"
        return None

    # -- results -------------------------------------------------------------------------------------------------

    def _receive(self, played: Played) -> None:
        """Takes a result, to be judged in its turn. A conversation that was played is history at once."""
        if self._pool.jobs > 1 and not played.case.costly:
            self._sent_by_others += played.sent
            self.totals.associations += played.connections
        conversation = played.case.conversation
        self._history.append(conversation)
        self._history_bytes += _size(conversation)
        while len(self._history) > HISTORY or (self._history_bytes > HISTORY_BYTES and len(self._history) > 1):
            self._history_bytes -= _size(self._history.popleft())
        self._queue.append(played)

    def _pool_empty(self) -> None:
        """Waits until nothing is going on, except in the lane."""
        for played in self._pool.results(all_of_them=True):
            self._receive(played)

    def _take(self, played: Played) -> None:
        conversation, totals = played.case.conversation, self.totals
        totals.cases += 1
        family = conversation.name.partition("/")[0]
        totals.families[family] = totals.families.get(family, 0) + 1
        new = self.bitmap.add(played.observed)
        if new:
            self.corpus.add(conversation)
            self._observer.played(conversation, played.transcript)
        if self._second is not None and played.transcript.entries:
            self._second(conversation, played.transcript)
        for violation in played.violations:
            if self._ledger.is_new(violation):
                self._doubt(violation, played)
        self._look_after(played, at_once=bool(new or played.suspicious or played.violations))
        self._tell()

    def _doubt(self, violation: Violation, played: Played) -> None:
        """Takes a violation that has to be seen again before it is believed: soon, or, if that takes long, in the
        lane."""
        self._ledger.pending.add(signature(violation))
        if self._lane is not None and length_of(played.case.conversation) >= LONG:
            self._lane.doubt(violation, played)
        elif len(self._doubts) < DOUBTS:
            self._doubts.append((violation, played))

    def _settle_doubts(self, until: float | None = None) -> None:
        """Plays doubtful conversations again, the worst first: as long as that has not had its share of the time, or
        until a time."""
        while self._doubts:
            now = monotonic()
            if until is None and self._spent_on_doubts > SHARE_OF_DOUBTS * (now - self._looping):
                return
            if until is not None and now >= until:
                return
            violation, played = min(self._doubts, key=lambda one: _ORDER[one[0].severity])
            self._doubts.remove((violation, played))
            self._pool_empty()
            times = 1 if played.seconds >= LONG else TIMES
            finding = self._suspects.violation(violation, played.case.conversation, played.transcript, times)
            self._look_into(finding)
            spent = monotonic() - now
            self._spent_on_doubts += spent
            if played.case.costly:
                self._spent_on_costly += spent

    def _look_into(self, finding: Finding) -> None:
        learned = self._player.learned
        if not self._add(finding) and finding.violation.oracle in TIMED and learned.answer_seconds < SLOWEST:
            # It answered after all: it needs more time than was thought.
            slower = min(SLOWEST, SLOWER * learned.answer_seconds)
            self._player.learned = replace(learned, answer_seconds=slower)

    def _add(self, finding: Finding) -> bool:
        return self._ledger.add(finding, at=self._spent(), cases=self.totals.cases)

    def _tell(self) -> None:
        now = monotonic()
        if now - self._told >= TELLING:
            self._told = now
            self._count()
            self._observer.progress(self.totals)
        if now - self._saved >= SAVING:
            self._saved = now
            if self.on_save is not None:
                self.on_save()

    def _spent(self) -> float:
        return self._before + monotonic() - self._begun

    def _sent(self) -> int:
        return self._sent_by_others + self._player.bytes_sent

    def _count(self) -> None:
        totals = self.totals
        totals.seconds, totals.sent = self._spent(), self._sent()
        totals.systematic, totals.echoes = self.schedule.systematic, self.liveness.served
        totals.bits, totals.corpus = self.bitmap.count, len(self.corpus)
        totals.restarts = self._suspects.restarts

    # -- the peer ------------------------------------------------------------------------------------------------

    def _look_after(self, played: Played, *, at_once: bool) -> None:
        now = monotonic()
        self._since_echo += 1
        settings = self.settings
        if self._track is not None:
            self._note(played)
        due = self._since_echo >= settings.echo_every or now - self._echoed >= settings.echo_seconds
        if at_once or due:
            self._check(played)
        elif (gone := self.liveness.gone()) is not None:
            self._trouble(gone, played)
        since = now - self._surveyed
        if self._track is not None and (since >= settings.survey_seconds or (self._risen and since >= SURVEY_AGAIN)):
            self._survey(played)

    def _note(self, played: Played) -> None:
        """Notes the resources of a watched peer after a conversation, and looks for a peak of memory."""
        assert self._track is not None
        if self._pool.jobs == 1 or len(self._track) % 10 == 0:
            numbers = self.liveness.numbers()
            if numbers is not None:
                self._track.note(played.case.conversation, numbers)
                self._risen = any(one != "memory" for one in self._track.above(numbers))
        trouble = self.liveness.gulps(played.sent * self._pool.jobs)
        if trouble is not None:
            self._trouble(trouble, played)

    def _check(self, played: Played) -> None:
        """A good echo; if it fails, the suspects are investigated."""
        self._echoed, self._since_echo = monotonic(), 0
        gone = self.liveness.gone()
        if gone is not None:
            self._trouble(gone, played)
        elif self._player.echo(self.liveness.deadline) is not None:
            self.liveness.served += 1
        else:
            self._pool_empty()
            self._lane_empty()
            trouble = self.liveness.serves()
            if trouble is not None:
                self._trouble(trouble, played)
        for trouble in self.liveness.complaints():
            self._trouble(trouble, played)

    def _lane_empty(self) -> None:
        """Ends the case in the lane: its connections may be the cause why others are not served."""
        case = None if self._lane is None else self._lane.cancel()
        if case is not None and self._cancelled.setdefault(case.number, 0) < 1:
            self._cancelled[case.number] += 1
            self._waiting = self._waiting or case

    def _trouble(self, trouble: Trouble, played: Played) -> None:
        last = played.case.conversation
        violation = replace(trouble.violation, family=last.name.partition("/")[0])
        trouble = replace(trouble, violation=violation)
        self._pool_empty()
        self._lane_empty()
        if self._ledger.is_new(violation):
            self._observer.note(f"looking into {trouble.oracle}: {violation.detail}")
            finding = self._suspects.trouble(trouble, [*self._history] or [last], played.transcript)
            self._add(_believed(finding) if trouble.fatal else finding)
            last = finding.conversation
        elif trouble.fatal:
            self._suspects.recover()
        if trouble.fatal:
            self.schedule.mute(last)
            self._history.clear()
            self._history_bytes = 0
            self._rest()
            if trouble.oracle == "crash" and not self.settings.keep_going and not self._ledger.is_known(violation):
                self.totals.ended = "stopped at the first crash; --keep-going goes on"

    def _survey(self, played: Played) -> None:
        """Looks at the resources of a peer at rest."""
        assert self._track is not None
        if self._lane is not None and self._lane.busy:
            return  # its connections would count as growth
        self._pool_empty()
        self._check(played)
        numbers = self.liveness.settled(self._track.baseline, seconds=1.0)
        if numbers is not None and self._track.above(numbers):
            numbers = self.liveness.settled(self._track.baseline)
        if numbers is not None:
            self._grown(numbers)
        if (trouble := self.liveness.spins()) is not None:
            self._trouble(trouble, played)
        self._surveyed = monotonic()
        self._surveys += 1

    def _grown(self, numbers: Numbers) -> None:
        assert self._track is not None
        for growth in self._track.settled(numbers):
            names = ", ".join(one.name for one in growth.suspects) or "nobody"
            self._observer.note(f"{growth.counted} rose from {growth.before} to {growth.now}; suspects: {names}")
            finding = self._suspects.growth(growth)
            if finding is not None and self._ledger.is_new(finding.violation):
                self._add(finding)
            if finding is not None:
                self._rest()

    # -- the end -------------------------------------------------------------------------------------------------

    def _smaller(self) -> None:
        """Makes the findings small, the worst first, in the time that is left."""
        left = self._begun + self.settings.seconds - monotonic()
        until = monotonic() + max(left, LEAST_SMALLER)
        for name, finding in list(self.totals.findings.items()):
            seconds = min(EACH_SMALLER, until - monotonic())
            long = length_of(finding.conversation) >= LONG
            if long or seconds <= 0 or finding.minimised is not None or not self.settings.smaller:
                continue
            self._observer.note(f"making {finding.id} small")
            self.totals.findings[name] = self._suspects.smaller(finding, seconds)


def _believed(finding: Finding) -> Finding:
    """A peer that was seen to end or to hang did so, even if it did not again: it counts as not played again."""
    return replace(finding, replayed=(0, 0)) if finding.replayed == (0, TIMES) else finding


def _size(conversation: Conversation) -> int:
    return sum(len(step.message) for step in conversation.steps if isinstance(step, Send)) + 500

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

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic, sleep
from typing import Final

from dicos_transports.addresses import said

from ..conversation import Conversation, Transcript
from ..finding import Finding, Severity, Violation
from .bitmap import Bitmap
from .calling import Caller
from .care import Care, History, believed
from .corpus import Corpus
from .expecting import TIMED
from .lane import LONG, TWICE, Lane, length_of
from .ledger import Ledger
from .liveness import Liveness, NotReady
from .observer import Observer
from .player import Exhausted, LocalTrouble, Player
from .pool import Played, Pool, play_here
from .scenarios.family import Family
from .schedule import Case, Schedule
from .settings import Settings, Totals
from .smaller import time_for, turn
from .suspects import TIMES, Judge, Suspects, Unrecoverable
from .watching import Watched

__all__ = ["LAST", "LOCAL", "Campaign"]

FINDINGS: Final = 500
"""Findings of one campaign; more of them help nobody, and each takes memory."""
LEAST_SMALLER: Final = 10.0
LAST: Final = 2.0
"""Seconds of the overtime in which the peer is ended and the files are written."""
TELLING: Final = 0.1
SAVING: Final = 15.0
WARMING: Final = 10
"""Good echoes at first: the threads and caches that a peer makes once do not count as growth."""
SHARE_OF_WARMING: Final = 0.1
"""Share of the time for them: the peer may be slow, or the rate low."""
SHARE_OF_COSTLY: Final = 0.2
FIRST_COSTLY: Final = 0.1
"""Share of the time after which the first of them is played: the quick ones have their turn before."""
SHARE_OF_DOUBTS: Final = 0.35
LOCAL: Final = "this host"
"""The end of a campaign begins with these words if the peer is not its cause."""
BAD_ALREADY: Final = "nothing faulty was sent, and the peer does not serve good associations"
DOUBTS: Final = 100
_ORDER: Final = {severity: number for number, severity in enumerate(Severity)}
LONGEST_COSTLY: Final = 0.15
"""Share of the time that one of them may take, unless it waits in the lane."""
LEAST_COSTLY: Final = 1.0
SLOWER: Final = 1.5
SLOWEST: Final = 2.0


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
        self.on_save: Callable[[], None] | None = None
        """Called every few seconds, to save the campaign."""
        self.not_ready = ""
        """Text for a peer that did not serve when the campaign was about to begin; empty for a campaign."""
        self._second = second
        self._suspects = Suspects(
            player, self.liveness, judge, watched=watched, seconds=max(5.0, settings.seconds / 60)
        )
        self._ledger = Ledger(self.totals, settings.known, observer.found, lambda: (self._spent(), self.totals.cases))
        self.history = History()
        self._care = Care(self, player, self.liveness, self._suspects, self._ledger, settings, observer.note)
        self._before = replace(self.totals)  # what a campaign that is resumed has done before
        self._begun = self._looping = self._saved = self._told = monotonic()
        self.looped = 0.0
        """When its conversations were over, and only open findings were left; 0 before."""
        self._put = 0
        self._opened_by_others = 0
        self._queue: deque[Played] = deque()
        self._lane = lane
        self._waiting: Case | None = None  # the next costly case
        self._spent_on_costly = 0.0
        self._doubts: list[tuple[Violation, Played]] = []
        self._spent_on_doubts = 0.0
        self._cancelled: Counter[int] = Counter()  # by the number of the case
        self._unwritten = False
        self._last: Played | None = None

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> Totals:
        """Runs to the end, and returns what it has done; `totals.ended` says why it is over. A KeyboardInterrupt ends
        it too, and keeps everything."""
        totals = self.totals
        self._suspects.ends, self._suspects.grace = self._ends, self.settings.overtime - LAST
        self.liveness.until = self._ends + self.settings.overtime - LAST
        try:
            self._begin()
            totals.ended = self._loop()
            self.looped = monotonic()
            self.quiet()
            if self._last is not None:
                self._care.check(self._last)  # does it still serve?
            self._settle_doubts(self._ends + self.settings.overtime / 2)
            self._care.settle(self._ends + self.settings.overtime / 2)
            self._smaller()
        except KeyboardInterrupt:
            totals.ended = "interrupted"
        except NotReady as trouble:
            totals.ended = self.not_ready = f"{BAD_ALREADY}: {trouble}"
        except Unrecoverable as lost:
            totals.ended = f"the peer does not serve any more: {lost}"
            if lost.finding is not None:
                self.add(believed(lost.finding))
        except Exhausted:
            totals.ended = f"{self.settings.most_bytes} bytes"
        except LocalTrouble as trouble:
            totals.ended = f"{LOCAL}: {trouble}"
        self._leave_doubts()
        self._count()
        return totals

    @property
    def _ends(self) -> float:
        return self._begun + self.settings.seconds - self.settings.spent

    def _begin(self) -> None:
        for number in range(WARMING if self.liveness.caller is None else 1):
            if number and monotonic() - self._begun > SHARE_OF_WARMING * self.settings.seconds:
                break
            trouble = self.liveness.serves()
            if trouble is not None:
                raise NotReady(trouble.violation.detail)
        self.liveness.complaints()
        self._care.rest()

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
        """Goes on with the cases that take long or much, as long as they have not had their share of the time: those
        that mostly wait go into the lane, the others are played with nothing else going on."""
        now = monotonic()
        longest = max(10.0, LONGEST_COSTLY * self.settings.seconds)
        common = now - self._looping - FIRST_COSTLY * self.settings.seconds
        allowed = self._spent_on_costly <= SHARE_OF_COSTLY * common and now + longest <= self._ends
        if self.schedule.only_costly:
            longest = min(longest, max(LEAST_COSTLY, self._ends - now))
            allowed = True
        if self._waiting is None and allowed:  # to make one may take long, too
            self._waiting = self.schedule.next(costly=True)
        case = self._waiting
        if self._lane is not None:
            self._use(self._lane, case)
        if allowed and case is not None and not self._waits_beside(case):
            self._waiting = None
            self._pool_empty()
            bounds = self._player.bounds
            self._player.bounds = replace(bounds, seconds=longest)
            played = play_here(self._player, self._judge, case)
            self._player.bounds = bounds
            self._settle_lane(played)
            self._receive(played)
        self._spent_on_costly += monotonic() - now

    def _waits_beside(self, case: Case) -> bool:
        """True for a case that is played in the lane: it mostly waits, was not ended there again and again, and the
        peer serves others meanwhile."""
        long = length_of(case.conversation) >= LONG and self._cancelled[case.number] < TWICE
        return self._lane is not None and long and not self._ledger.starves

    def _use(self, lane: Lane, case: Case | None) -> None:
        """Takes what the lane has done, and gives it more to do: not before the first looks at the resources of the
        peer, nor when one is due, because stalled connections use resources; at once if nothing else is played."""
        played = lane.result()
        if played is not None:
            self._settle_lane(played)
            self._receive(played)
        if lane.busy or (self._care.survey_due and not self.schedule.only_costly):
            return
        again = lane.next()
        if again is not None and not self._waits_beside(again):
            self._waiting, again = self._waiting or again, None
        elif again is None and case is not None and self._waits_beside(case):
            again, self._waiting = case, None
        if again is not None:
            lane.player.learned = self._player.learned
            lane.put(again)

    def _settle_lane(self, played: Played) -> None:
        """Takes the findings of the doubts of the lane that a result settles, in the lane or not."""
        for finding in [] if self._lane is None else self._lane.settle(played):
            self._look_into(finding)

    def _over(self) -> str | None:
        settings, totals = self.settings, self.totals
        if totals.ended:
            return totals.ended
        small = min(settings.smaller * settings.seconds, sum(map(time_for, totals.findings.values())))
        if monotonic() >= self._ends - small:
            return f"{settings.seconds:g} seconds"
        if settings.conversations and totals.cases >= settings.conversations:
            return f"{settings.conversations} conversations"
        kept = settings.smaller if totals.findings or self._doubts else 0.0  # for what is open then
        if self._sent() >= settings.most_bytes * (1 - kept):
            return f"{settings.most_bytes} bytes"
        if len(totals.findings) >= FINDINGS:
            return f"{FINDINGS} findings"
        return None

    # -- results -------------------------------------------------------------------------------------------------

    def _receive(self, played: Played) -> None:
        """Takes a result, to be judged in its turn. A conversation that was played is history at once."""
        if self._pool.jobs > 1 and not played.case.costly:
            self._opened_by_others += played.connections
        self.history.add(played.case.conversation)
        self._queue.append(played)

    def _pool_empty(self) -> None:
        """Waits until nothing is going on, except in the lane."""
        for played in self._pool.results(all_of_them=True):
            self._receive(played)

    def _take(self, played: Played) -> None:
        conversation, totals, self._last = played.case.conversation, self.totals, played
        totals.cases += 1
        family = conversation.name.partition("/")[0]
        totals.families[family] = totals.families.get(family, 0) + 1
        new = self.bitmap.add(played.observed)
        if new:
            self._keep(conversation)
        self._observer.played(conversation, played.transcript, new=bool(new))
        for violation in played.violations:
            if self._ledger.is_new(violation):
                self._doubt(violation, played)
        self._care.after(played, at_once=bool(new or played.suspicious or played.violations))
        if self._second is not None and played.transcript.entries:
            self._second(conversation, played.transcript)
        self._tell()

    def _keep(self, conversation: Conversation) -> None:
        """Puts a conversation into the corpus. A folder that cannot be written is reported once."""
        try:
            self.corpus.add(conversation)
        except OSError as error:
            if not self._unwritten:
                self._observer.note(f"the corpus cannot be written: {said(error)}; it goes on in memory")
            self._unwritten = True

    def _doubt(self, violation: Violation, played: Played) -> None:
        """Takes a violation that has to be seen again before it is believed: soon, or, if that takes long, in the
        lane."""
        self._ledger.suspect(violation)
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
            self._pool_empty()
            times = 1 if played.seconds >= LONG else TIMES
            finding = self._suspects.violation(violation, played.case.conversation, played.transcript, times)
            self._doubts.remove((violation, played))  # until then it is kept, if this is interrupted
            self.history.add(played.case.conversation)
            self._care.credit(played.case.conversation)
            if not finding.replayed[1]:
                self.leave(finding)
                continue
            self._look_into(finding)
            self._care.alive(played)
            spent = monotonic() - now
            self._spent_on_doubts += spent
            if played.case.costly:
                self._spent_on_costly += spent

    def _leave_doubts(self) -> None:
        """Keeps what there was no time to play again."""
        self._care.leave_open()
        for violation, played in self._doubts:
            self.leave(
                Finding(violation=violation, conversation=played.case.conversation, transcript=played.transcript)
            )
        for finding in [] if self._lane is None else self._lane.open():
            if finding.replayed[0]:
                self.add(finding)
            else:
                self.leave(finding)

    def _look_into(self, finding: Finding) -> None:
        learned = self._player.learned
        if not self.add(finding) and finding.violation.oracle in TIMED and learned.answer_seconds < SLOWEST:
            # It answered after all: it needs more time than was thought.
            slower = min(SLOWEST, SLOWER * learned.answer_seconds)
            self._player.learned = replace(learned, answer_seconds=slower)

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
        return self._before.seconds + monotonic() - self._begun

    def _sent(self) -> int:
        return self._player.spending.sent

    def _count(self) -> None:
        totals = self.totals
        before = self._before
        totals.seconds, totals.sent = self._spent(), before.sent + self._sent()
        totals.associations = before.associations + self._opened_by_others + self._player.associations
        totals.systematic, totals.echoes = self.schedule.systematic, before.echoes + self.liveness.served
        totals.bits, totals.corpus = self.bitmap.count, len(self.corpus)
        totals.restarts = before.restarts + self._suspects.restarts

    # -- for the care of the peer (`care.Work`) --------------------------------------------------------------------

    @property
    def jobs(self) -> int:
        """The number of conversations that may go on at the same time."""
        return self._pool.jobs

    def quiet(self) -> None:
        """Waits until nothing is going on, and ends the case in the lane, to be played later, in the end by itself."""
        self._pool_empty()
        case = None if self._lane is None else self._lane.cancel()
        if case is not None:
            self._cancelled[case.number] += 1
            self._waiting = self._waiting or case

    def lane_busy(self) -> bool:
        """True while a conversation is kept waiting beside the others."""
        return self._lane is not None and self._lane.busy

    def add(self, finding: Finding) -> bool:
        """Takes a finding. Returns True if it counts."""
        return self._ledger.add(finding, at=self._spent(), cases=self.totals.cases)

    def leave(self, finding: Finding) -> None:
        """Takes what there is no time to confirm."""
        self._ledger.leave(finding, at=self._spent(), cases=self.totals.cases)

    def mute(self, conversation: Conversation) -> None:
        """Leaves out conversations of this kind after a few more of them."""
        self.schedule.mute(conversation)

    def stop(self, why: str) -> None:
        """Ends the campaign."""
        self.totals.ended = why

    # -- the end -------------------------------------------------------------------------------------------------

    def _smaller(self) -> None:
        """Makes the findings small, in the time that is left: those that take long last, else the worst first."""
        until = min(max(self._ends, monotonic() + LEAST_SMALLER), self._ends + self.settings.overtime - LAST)
        for name, finding in sorted(self.totals.findings.items(), key=turn):
            seconds = min(time_for(finding), until - monotonic())
            long = length_of(finding.conversation) >= LONG
            if long or seconds <= 0 or finding.minimised is not None or not self.settings.smaller:
                continue
            self._observer.note(f"making {finding.id} small")
            self.totals.findings[name] = self._suspects.smaller(finding, seconds)

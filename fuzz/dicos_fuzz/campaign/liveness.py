"""Is the peer alive and well? Oracles from outside the protocol: crash, hang, slots, memory, spin, its log.

Knows: good echoes, the watched process. Must not know: which conversation is to blame (`suspects`).

A peer is blamed only for a state that stays: a good echo that fails is repeated, with all connections of this side
closed, until the peer has had ample time. A busy host alone raises no trouble.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from ..conversation import Transcript, What
from ..finding import Severity, Violation
from .knowledge import Learned
from .logs import Complaint
from .player import Outcome, Player
from .resources import COUNTED, Numbers

if TYPE_CHECKING:
    from .calling import Caller
    from .watching import Watched

__all__ = ["Liveness", "NotReady", "Trouble", "rejects_alike"]

HANGING: Final = 20.0
"""Seconds after which a peer that serves nobody is called hanging."""
CUT: Final = 0.25
"""Share of that time after which a peer that serves nobody when the time is over is called hanging all the same."""
CONGESTED: Final = 15.0
"""Seconds that a peer may reject good associations for their number when there is none."""
REFUSING: Final = 3.0
"""Seconds that a peer may refuse connections: its queue may be full."""
AGAIN: Final = 0.25
LEAST_LEFT: Final = 0.5
"""Seconds for a good echo when the time is over."""
SETTLING: Final = 10.0
"""Seconds in which a peer at rest gives back what it used."""
STEADY: Final = 0.3
SPINNING: Final = 0.2
"""Processor time for each second at rest, above that at the beginning, that is called spinning: on a busy host, a
process that spins gets no more."""
SPINS: Final = 5.0
"""Seconds that it has to spin: it may still be at work."""
BY_STATE: Final = ("crash", "hang", "slot-leak", "stall")
"""The oracles for which the state matters: what a log says, or what memory costs, is the same in all."""
_UNKNOWN: Final = "ended"
"""The end of a process that is not a child of this one."""
PEAK_FREE: Final = 64 << 20
PEAK_RATE: Final = 16
"""Bytes of memory that one conversation may cost at most: `PEAK_FREE`, and this number for each byte sent."""


class NotReady(Exception):
    """The peer does not serve, and nothing faulty was sent yet."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something is wrong with the peer. `violation`: its oracle, severity, reaction and clause, without a state.
    `fatal`: it serves nobody until it is restarted. `cut`: the time was over before that is certain."""

    violation: Violation
    evidence: tuple[str, ...] = ()
    fatal: bool = False
    cut: bool = False

    @property
    def oracle(self) -> str:
        """The name of the oracle."""
        return self.violation.oracle


def _trouble(
    oracle: str, severity: Severity, detail: str, clause: str, reaction: str, *evidence: str, fatal: bool = False
) -> Trouble:
    violation = Violation(
        oracle=oracle,
        severity=severity,
        detail=detail,
        clause=clause,
        reaction=reaction,
        by_state=oracle in BY_STATE,
    )
    return Trouble(violation, evidence, fatal)


def _ending(how: str) -> str:
    """The end of a process, in words. Only the parent of a process gets its exit status."""
    if how == _UNKNOWN:
        return "the process ended; how it ended is not known: --command shows it"
    return f"the process ended: {how}"


@dataclass(slots=True)
class Liveness:
    """The oracles for one peer. `player`: for good echoes. `watched`: its process, None if it is not known. `caller`:
    the user that is started for each call, None if there is none.

    `idle`: processor time for each second at rest at the beginning. `served`: good echoes so far.
    """

    player: Player
    watched: Watched | None = None
    caller: Caller | None = None
    idle: float = 0.0
    served: int = 0
    peak: int = 0
    longest: float = 0.0
    """The longest time that a good echo took, with the attempts before it."""
    hanging: float = HANGING
    """Seconds after which a peer that serves nobody is called hanging."""
    congested: float = CONGESTED
    """Seconds that it may reject good associations for their number when there is none."""
    children: bool = True
    """True if the peer works in several processes, whose numbers are added."""
    wait: Callable[[float], None] = field(default=sleep)
    until: float = inf
    """The time, as of `monotonic`, after which nothing is waited for: what is not certain by then stays open."""

    @property
    def _learned(self) -> Learned:
        return self.player.learned

    @property
    def deadline(self) -> float:
        """Seconds for a good echo."""
        return self._learned.echo_patience

    @property
    def left(self) -> float:
        """Seconds for a good echo now: less when the time is nearly over."""
        return min(self.deadline, max(LEAST_LEFT, self.until - monotonic()))

    @property
    def over(self) -> bool:
        """True once there is no time for another question."""
        return monotonic() >= self.until

    # -- serving -------------------------------------------------------------------------------------------------

    def serves(self, waited: float = 0.0) -> Trouble | None:
        """Makes sure that the peer serves, with as many attempts as it takes. `waited`: seconds that an attempt before
        took, which failed. Returns None if it does."""
        begun = monotonic() - waited
        attempts = 0
        while True:
            if (gone := self.gone()) is not None:
                return gone
            took = self.player.echo(self.left)
            attempts += 1
            waited = monotonic() - begun
            if took is not None:
                self.served += 1
                self.longest = max(self.longest, waited)
                return self._stalled(waited) if attempts > 1 and waited > self.hanging / 2 else None
            patience = self._patience(self.player.last)
            if waited >= patience:
                return self.gone() or self._dead(self.player.last, waited)
            if monotonic() >= self.until:
                return self.gone() or replace(self._dead(self.player.last, waited), cut=waited < CUT * patience)
            self.wait(min(AGAIN * attempts, 1.0))

    def _patience(self, last: Outcome) -> float:
        if last.refused:
            return REFUSING
        if last.rejected is not None:
            return self.congested
        return max(self.hanging, self.deadline)

    def _dead(self, last: Outcome, waited: float) -> Trouble:
        if last.refused:
            return _trouble(
                "crash", Severity.CRITICAL, f"refuses connections: {last.why}", "limit: others are served",
                "refuses connections", *self._tail(), fatal=True,
            )  # fmt: skip
        if last.rejected is not None:
            result, source, reason = last.rejected
            return _trouble(
                "slot-leak", Severity.HIGH,
                f"still rejects good associations {waited:.0f} s after all connections were closed: {last.why}",
                "limit: a slot is free once its connection is gone", f"rejects {result}/{source}/{reason}",
                *self._tail(), fatal=True,
            )  # fmt: skip
        return _trouble(
            "hang", Severity.CRITICAL, f"serves no good association for {waited:.0f} s: {last.why}",
            "limit: others are served while one peer misbehaves", "serves nobody", *self._tail(), fatal=True,
        )  # fmt: skip

    def _stalled(self, waited: float) -> Trouble:
        return _trouble(
            "stall", Severity.HIGH, f"served nobody for {waited:.0f} s, and then went on",
            "limit: others are served while one peer misbehaves", "served nobody for a while", *self._tail(),
        )  # fmt: skip

    def gone(self) -> Trouble | None:
        """Returns the end of the peer's process, or how its last call ended if it ended badly; None if all is
        well, or nothing is known about it."""
        if self.caller is not None:
            return self._called(self.caller)
        how = None if self.watched is None else self.watched.gone()
        if self.watched is None or how is None:
            return None
        self.watched.settle_log()
        return self._crash(how, self.watched.complaints(), fatal=True)

    def _called(self, caller: Caller) -> Trouble | None:
        how = caller.crashed()
        if how is not None:
            return self._crash(how, caller.complaints(), fatal=False)
        if caller.hung():
            return _trouble(
                "hang", Severity.HIGH, "the user did not end after its connection was gone",
                "limit: every wait for a peer has an end", "the user does not end", *self._tail(),
            )  # fmt: skip
        return None

    def _crash(self, how: str, complaints: list[Complaint], *, fatal: bool) -> Trouble:
        words = "; ".join(dict.fromkeys(one.what for one in complaints))
        reaction = next((one.what for one in complaints if one.kind == "sanitizer"), how)
        detail = _ending(how) + (f"; its output says: {words}" if words else "")
        return _trouble(
            "crash", Severity.CRITICAL, detail, "limit: the process stays alive", reaction, *self._tail(), fatal=fatal
        )

    def _tail(self) -> tuple[str, ...]:
        source = self.caller if self.watched is None else self.watched
        return () if source is None else source.tail()

    # -- its log -------------------------------------------------------------------------------------------------

    def complaints(self) -> list[Trouble]:
        """Returns what its output reports since the last call."""
        source = self.caller if self.watched is None else self.watched
        if source is None:
            return []
        once: dict[tuple[str, str], Complaint] = {}
        for one in source.complaints():
            once.setdefault((one.kind, one.what), one)
        clause = "limit: bad input is refused, without a fault inside"
        return [
            _trouble(
                one.kind if one.kind == "sanitizer" else f"log-{one.kind}",
                one.severity,
                f"its output reports: {one.what}",
                clause,
                one.what,
            )
            for one in once.values()
        ]

    # -- resources -----------------------------------------------------------------------------------------------

    def numbers(self) -> Numbers | None:
        """Returns its descriptors, threads and memory now; None if they are not known."""
        if self.watched is None:
            return None
        if not self.children and (seen := self.watched.glance()) is not None:
            return Numbers(*seen)
        found = self.watched.sample()
        return None if found is None else Numbers(found.descriptors, found.threads, found.rss)

    def settled(self, baseline: Numbers | None = None, *, seconds: float = SETTLING) -> Numbers | None:
        """Waits until a peer without connections has given back what it used, back to the baseline or to numbers that
        stay; at most `seconds`. Returns the least of each number that was seen then."""
        begun = monotonic()
        least = self.numbers()
        if least is None:
            return None
        steady = monotonic()
        while True:
            now = monotonic()
            if baseline is not None and all(least.of(one) <= baseline.of(one) for one in COUNTED[:2]):
                return least
            if now - begun >= seconds or now >= self.until or (baseline is None and now - steady >= STEADY):
                return least
            self.wait(0.05)
            found = self.numbers()
            if found is None:
                return None
            lower = Numbers(*(min(least.of(one), found.of(one)) for one in COUNTED))
            if lower != least:
                steady = monotonic()
            least = lower

    def measure_idle(self) -> None:
        """Measures the processor time of a peer at rest, as the baseline."""
        found = None if self.watched is None else self.watched.sample()
        self.children = found is not None and found.processes > 1
        self.idle = self._busy(0.5)
        self.begin_peak()

    def begin_peak(self) -> None:
        """Measures the most memory from now on."""
        if self.watched is not None:
            self.watched.reset_peak()
            self.peak = self.watched.peak()

    def _busy(self, seconds: float) -> float:
        before = None if self.watched is None else self.watched.sample()
        if before is None:
            return 0.0
        self.wait(seconds)
        after = self.watched.sample() if self.watched is not None else None
        if after is None:
            return 0.0
        return max(0.0, after.cpu - before.cpu) / max(after.at - before.at, 1e-3)

    def spins(self) -> Trouble | None:
        """Returns a trouble if the peer uses the processor although it has nothing to do."""
        if self._busy(0.2) <= self.idle + SPINNING:
            return None
        begun = monotonic()
        while monotonic() - begun < SPINS:
            used = self._busy(1.0)
            if used <= self.idle + SPINNING or monotonic() >= self.until:
                return None
        return _trouble(
            "spin", Severity.HIGH, f"uses {used:.0%} of a processor for {SPINS:.0f} s without a connection",
            "limit: an idle peer uses no processor time", "spins at rest", *self._tail(),
        )  # fmt: skip

    def gulps(self, sent: int) -> Trouble | None:
        """Returns a trouble if the most memory that the process had so far rose by more than `sent` bytes explain."""
        if self.watched is None:
            return None
        peak = self.watched.peak()
        before, self.peak = self.peak, max(self.peak, peak)
        allowed = PEAK_FREE + PEAK_RATE * sent
        if not before or peak - before <= allowed:
            return None
        rise = f"{(peak - before) >> 20} MB of memory more at once for {sent} bytes"
        return _trouble(
            "memory-peak", Severity.HIGH, f"{rise}; {allowed >> 20} MB are allowed",
            "limit: memory is bounded in proportion to input", "memory out of proportion", *self._tail(),
        )  # fmt: skip


def rejects_alike(transcript: Transcript, violation: Violation) -> bool:
    """Returns True if the peer sent an A-ASSOCIATE-RJ with the codes of a violation, "rejects 2/3/2"."""
    codes = violation.reaction.removeprefix("rejects ").split("/")
    if not all(code.isdecimal() and int(code) < 256 for code in codes):
        return False
    reject = b"\x03\0\0\0\0\4\0" + bytes(map(int, codes))
    return any(reject in entry.data for entry in transcript.entries if entry.what is What.RECEIVED)

"""The results of a run as values: what the runner makes, and every report is a view of.

Knows: verdicts, transcripts. Must not know: files, JSON (`reports`), media.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from dicos_fuzz.conversation import Transcript

from .case import Case, Verdict

__all__ = ["CaseResult", "Conclusion", "Health", "Incident", "Run", "Waived"]


class Health(Enum):
    """The peer after a case, as a good association beside it shows."""

    GOOD = "good"
    CRASHED = "crashed"  # its process ended, or nothing listens any more
    HUNG = "hung"  # it accepts connections, and serves no good association
    LOST_SLOT = "lost a slot"  # it serves fewer associations at once than before
    RESTARTED = "restarted"  # it ended and came back by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A finding of its own: the peer did not serve a good association after a case. `why`: what was seen."""

    health: Health
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived:
    """A waiver that applies to a result. `until`: the last day, ISO 8601. `expired`: it does not count any more."""

    reason: str
    until: str
    expired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """The result of one case. `why`: the words of the verdict. `seen`: the reaction in words. `verdicts`: those of all
    runs of it, the last one first if it was repeated. `incident`: a crash, a hang or a lost slot that it caused.
    `command`: the command line that repeats exactly this case."""

    case: Case
    verdict: Verdict
    why: str
    seen: str = ""
    verdicts: tuple[Verdict, ...] = ()
    transcript: Transcript = field(default_factory=Transcript)
    seconds: float = 0.0
    fault: str = ""
    incident: Incident | None = None
    waived: Waived | None = None
    command: str = ""

    @property
    def failed(self) -> bool:
        """True if it counts as a failure: a FAIL or an incident that no waiver in force covers."""
        bad = self.verdict is Verdict.FAIL or self.incident is not None
        return bad and (self.waived is None or self.waived.expired)


class Conclusion(Enum):
    """The conclusion of a run."""

    CONFORMANT = "conformant"  # every selected case ran, and none failed
    NOT_CONFORMANT = "not_conformant"  # some case failed
    NOT_VERIFIED = "not_verified"  # none failed, and some did not run to a verdict


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of the tester. `planned`: the ids of all selected cases, in order. `peer`: where it is, for people.
    `profile`: the profile as plain values. `bounds`: what the run may take at most, name -> words. `command`: the
    command line. `started`: ISO 8601 with the time zone. `ended`: "complete", or why not: "interrupted", "--fail-fast",
    "the peer is gone". `capture`: a pcapng file of the run, empty without one."""

    role: str
    peer: str
    started: str
    version: str
    command: str
    planned: tuple[str, ...]
    profile: dict[str, object] = field(default_factory=dict)
    implementation: str = ""
    bounds: dict[str, str] = field(default_factory=dict)
    results: list[CaseResult] = field(default_factory=list)
    seconds: float = 0.0
    ended: str = "complete"
    notes: list[str] = field(default_factory=list)
    capture: str = ""

    @property
    def not_verified(self) -> tuple[str, ...]:
        """The ids of the selected cases without a verdict on the peer, in order: those that did not run, and those that
        are INCONCLUSIVE. A case that the peer does not offer (UNIMPLEMENTED) is one of them."""
        open_ = (Verdict.INCONCLUSIVE, Verdict.UNIMPLEMENTED)
        settled = {one.case.id for one in self.results if one.verdict not in open_}
        return tuple(one for one in self.planned if one not in settled)

    @property
    def conclusion(self) -> Conclusion:
        """The conclusion: never conformant if a selected case did not run, or if none was selected."""
        if any(one.failed for one in self.results):
            return Conclusion.NOT_CONFORMANT
        return Conclusion.NOT_VERIFIED if self.not_verified or not self.results else Conclusion.CONFORMANT

"""A campaign as its reports show it: a value that the campaign fills in.

Knows: findings, counts, texts. Must not know: how a campaign is run, how a report looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..finding import Finding, Severity, signature_in
from ..findings.grouping import grouped

__all__ = ["CampaignReport", "Difference", "FamilyCount"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyCount:
    """The share of one family of scenarios: `conversations` of it, `systematic` of them one by one out of
    `systematic_all` (None: not counted), the others at random; `findings` that one of them showed first."""

    name: str
    about: str = ""
    conversations: int = 0
    systematic: int = 0
    systematic_all: int | None = None
    findings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One conversation to which two peers reacted differently, and how often its like was seen."""

    family: str
    about: str
    first: str
    second: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignReport:
    """A campaign.

    `peer`: its address. `accepts`: lines that describe it. `started`: date and time as a text. `seconds`: how long it
    took, `spent`: what the time of this command went into, as (words, seconds); `ended`: why it ended.
    `conversations`, `associations`, `sent` (bytes), `echoes` (good ones, between), `restarts`, `reactions` (different
    ones), `corpus` (conversations kept): counts. `families`: what was tried.

    `states`: visits of each state of table 9-10 by the peer, "Sta6" -> 17; `transitions`: (from, to) -> times
    (`reports.visiting`). `findings`: in any order. `unconfirmed`: seen once, and not again when it was played again.
    `masked`: hits of known findings, by id; `known`: all that were to be masked, as their file names them;
    `masked_before`: those that the campaign had found before it was taken up again, and how often, by id.
    `differences`: from a second peer, `compared`. `bounds`: (name, value) as they were printed first. `seed`,
    `version`, `notes`. `reproducers`: id of a finding -> path of its file, for those that have one. `unwritten`: id of
    a finding -> why its file could not be written. `tls`: the options of the command for TLS.
    """

    peer: str
    started: str = ""
    seconds: float = 0.0
    spent: tuple[tuple[str, float], ...] = ()
    ended: str = ""
    accepts: tuple[str, ...] = ()
    conversations: int = 0
    associations: int = 0
    sent: int = 0
    echoes: int = 0
    restarts: int = 0
    reactions: int = 0
    corpus: int = 0
    families: tuple[FamilyCount, ...] = ()
    states: Mapping[str, int] = field(default_factory=dict)
    transitions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    unconfirmed: tuple[Finding, ...] = ()
    masked: Mapping[str, int] = field(default_factory=dict)
    masked_before: Mapping[str, int] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    compared: str = ""
    differences: tuple[Difference, ...] = ()
    bounds: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    version: str = ""
    notes: tuple[str, ...] = ()
    reproducers: Mapping[str, str] = field(default_factory=dict)
    unwritten: Mapping[str, str] = field(default_factory=dict)
    tls: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Conversations a second."""
        return self.conversations / self.seconds if self.seconds > 0 else 0.0

    def ordered(self) -> tuple[Finding, ...]:
        """Returns the findings, those with one signature merged, the worst first."""
        return grouped(self.findings)

    def not_met(self) -> list[str]:
        """Returns the known findings that the campaign did not meet, as their file names them, in order."""
        met = {signature_in(name) for name in (*self.masked, *self.masked_before)}
        return [name for name in self.known if signature_in(name) not in met]

    def by_severity(self) -> dict[Severity, int]:
        """Returns the number of findings of each severity, the worst first."""
        found = [one.violation.severity for one in self.ordered()]
        return {severity: found.count(severity) for severity in Severity}

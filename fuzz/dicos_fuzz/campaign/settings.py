"""The bounds of a campaign, and the numbers that it has reached: values.

Knows: numbers. Must not know: peers, conversations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..finding import Finding

__all__ = ["Difference", "Settings", "Totals"]

LEAST_OVERTIME: Final = 25.0
"""Seconds: a peer that does not serve at the end is asked as long as it takes to call it hanging."""
OVERTIME: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The bounds and manners of a campaign.

    `seconds`, `conversations`, `most_bytes`: it ends after these; 0 conversations: no bound. `spent`: of the seconds,
    those that were over when it began, because the peer was learned. `rate`: conversations a
    second. `seed`: of everything random. `keep_going`: go on after a
    crash. `echo_every`: conversations, and `echo_seconds`: seconds, between two good echoes. `survey_seconds`: between
    two looks at the resources of a watched peer. `smaller`: the share of the time for making findings small. `known`:
    ids of findings, or their signatures, that are masked.
    """

    seconds: float = 600.0
    spent: float = 0.0
    conversations: int = 0
    most_bytes: int = 1 << 30
    rate: float = 1000.0
    seed: int = 0
    keep_going: bool = False
    echo_every: int = 25
    echo_seconds: float = 1.0
    survey_seconds: float = 10.0
    smaller: float = 0.25
    known: frozenset[str] = frozenset()

    @property
    def overtime(self) -> float:
        """The most seconds beyond `seconds` for findings that are open at the end."""
        return max(LEAST_OVERTIME, OVERTIME * self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two peers that reacted differently to one conversation. `family`, `first`, `second`: what it is grouped by."""

    family: str
    name: str
    about: str
    first: str
    second: str
    count: int = 1


@dataclass(slots=True, kw_only=True)
class Totals:
    """The results of a campaign. `cases`: conversations of the schedule; `echoes`: good echoes that succeeded.

    `findings`: by signature, in the order in which they were found. `unconfirmed`: seen, and never again when it was
    played again, or not played again for want of time (`replayed` is (0, 0)); not counted as findings. `masked`: hits
    of known findings, by id. `ended`: why it is over.
    """

    seconds: float = 0.0
    cases: int = 0
    systematic: int = 0
    echoes: int = 0
    associations: int = 0
    sent: int = 0
    bits: int = 0
    corpus: int = 0
    restarts: int = 0
    families: dict[str, int] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    unconfirmed: dict[str, Finding] = field(default_factory=dict)
    masked: dict[str, int] = field(default_factory=dict)
    differences: dict[tuple[str, str, str], Difference] = field(default_factory=dict)
    ended: str = ""

    @property
    def rate(self) -> float:
        """Conversations a second."""
        return self.cases / self.seconds if self.seconds > 0 else 0.0

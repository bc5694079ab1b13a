"""The findings of a campaign: grouped by signature, known ones masked, doubtful ones kept apart.

Knows: findings, signatures. Must not know: peers, how a finding is confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import time
from typing import Final

from ..finding import Finding, Violation, id_of, signature, signature_in
from ..findings.fitting import bounded
from .settings import Totals

__all__ = ["CHANCES", "Ledger"]

CHANCES: Final = 3
"""Times that a violation that did not come back is played again when it is seen again."""

BEFORE: Final = 64 << 20
"""Bytes of the conversations before all findings, as in their files: up to a thousand of them before each. Stops: 500
findings of a peer that is sent megabytes."""


class Ledger:
    """Keeps `totals.findings`, `.unconfirmed` and `.masked`. `known`: ids, or the signatures alone, that are masked.
    `tell` is called with each new finding; `now` returns the seconds and the conversations so far."""

    def __init__(
        self,
        totals: Totals,
        known: frozenset[str],
        tell: Callable[[Finding], None],
        now: Callable[[], tuple[float, int]] = lambda: (0.0, 0),
    ) -> None:
        self._totals = totals
        self._known = frozenset(map(signature_in, known))
        self._tell = tell
        self._before = BEFORE
        self._chances: dict[str, int] = {}
        self._now = now
        self._pending: dict[str, tuple[float, int]] = {}  # signatures that are looked into, when each was first seen

    def is_new(self, violation: Violation) -> bool:
        """Counts a violation that is known already, or was found before. Returns True if it has to be looked into."""
        name = signature(violation)
        totals = self._totals
        if name in self._known:
            self._mask(violation)
            return False
        if (found := totals.findings.get(name)) is not None:
            totals.findings[name] = replace(found, count=found.count + 1)
            return False
        if name in self._pending:
            return False
        if self._chances.get(name, 0) >= CHANCES:
            if (doubtful := totals.unconfirmed.get(name)) is not None:
                totals.unconfirmed[name] = replace(doubtful, count=doubtful.count + 1)
            return False
        return True

    @property
    def starves(self) -> bool:
        """True for a peer that was seen to serve nobody else while one connection keeps it waiting."""
        found = self._totals.findings.values()
        return any(one.violation.oracle in ("starved", "stall") and one.replayed[0] for one in found)

    def suspect(self, violation: Violation) -> None:
        """Takes note that a violation was seen and is being looked into, which may take a while."""
        self._pending.setdefault(signature(violation), self._now())

    def came_down_to(self, violation: Violation, found: Violation) -> None:
        """Takes note that a suspicion, which was looked into, is this violation: it was seen then, and the suspicion
        may be looked into again, a few times."""
        name, now = signature(violation), signature(found)
        if name != now:
            self._chances[name] = self._chances.get(name, 0) + 1
        if (seen := self._pending.pop(name, None)) is not None:
            self._pending.setdefault(now, seen)

    def _mask(self, violation: Violation) -> None:
        counts, name = self._totals.masked, id_of(violation)
        counts[name] = counts.get(name, 0) + 1

    def is_known(self, violation: Violation) -> bool:
        """Returns True for a masked one."""
        return signature(violation) in self._known

    def leave(self, finding: Finding, *, at: float, cases: int) -> None:
        """Takes what was seen and not played again, for want of time: it is not confirmed."""
        name = signature(finding.violation)
        at, cases = self._pending.pop(name, (at, cases))
        if name not in self._totals.findings and name not in self._known:
            found = replace(finding, replayed=(0, 0), seen_after=(round(at, 3), cases))
            if name not in self._totals.unconfirmed:
                self._totals.unconfirmed[name] = self._bounded(found)

    def _bounded(self, finding: Finding) -> Finding:
        """Leaves out the earliest conversations before it for which there is no room."""
        found, taken = bounded(finding, self._before)
        self._before -= taken
        return found

    def _explained(self, violation: Violation) -> str | None:
        """The signature of a finding whose cause is known, for an end of the peer whose cause is not."""
        return next((name for name, one in self._alike(violation) if one.replayed[0]), None)

    def _unexplained(self, violation: Violation) -> str | None:
        """The signature of the same end of the peer without a known cause."""
        return next((name for name, one in self._alike(violation) if one.replayed == (0, 0)), None)

    def _alike(self, violation: Violation) -> list[tuple[str, Finding]]:
        kind = violation.oracle, violation.reaction
        return [
            (name, one)
            for name, one in self._totals.findings.items()
            if (one.violation.oracle, one.violation.reaction) == kind and name != signature(violation)
        ]

    def add(self, finding: Finding, *, at: float, cases: int) -> bool:
        """Adds a finding, to those without confirmation if it never came back when it was tried. Returns False
        for those."""
        violation = finding.violation
        name = signature(violation)
        totals = self._totals
        shown, tried = finding.replayed
        at, cases = self._pending.pop(name, (at, cases))
        finding = replace(finding, seen_after=(round(at, 3), cases), at=round(time(), 3))
        if tried and not shown:
            self._chances[name] = self._chances.get(name, 0) + 1
            before = totals.unconfirmed.get(name)
            totals.unconfirmed[name] = (
                self._bounded(finding) if before is None else replace(before, count=before.count + 1)
            )
            return False
        if name in self._known:
            self._mask(violation)
            return True
        if (before := totals.findings.get(name)) is not None:  # another suspicion that came down to the same
            totals.findings[name] = replace(before, count=before.count + 1)
            return True
        if not violation.by_state and not tried and (explained := self._explained(violation)) is not None:
            totals.findings[explained] = replace(totals.findings[explained], count=totals.findings[explained].count + 1)
            return True
        if shown and (unexplained := self._unexplained(violation)) is not None:
            finding = replace(finding, count=finding.count + totals.findings.pop(unexplained).count)
        doubtful = totals.unconfirmed.pop(name, None)
        if doubtful is not None:
            finding = replace(finding, count=finding.count + doubtful.count)
        totals.findings[name] = finding = self._bounded(finding)
        self._tell(finding)
        return True

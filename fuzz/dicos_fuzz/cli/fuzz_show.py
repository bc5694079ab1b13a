"""The output of `dicos fuzz`: a live line, a line for each finding, a summary; the same as JSON events.

Knows: totals, findings, terminals. Must not know: how a campaign runs.

Text from a peer or a file is printed escaped. A finding's text has no data from a data set in it.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from time import monotonic
from typing import Final

from dicos_transports.cli.output import Output, plural, shown, size

from ..campaign.settings import Difference, Settings, Totals
from ..conversation import Conversation, Transcript
from ..finding import Finding

__all__ = ["Show"]

EVERY: Final = 0.2
PLAIN_EVERY: Final = 10.0
"""Seconds between two lines of progress where standard error is not a terminal."""
DIFFERENCES: Final = 20
"""Differences that are printed; all of them are in the reports."""


class Show:
    """Follows a campaign (`campaign.Observer`) and prints it."""

    def __init__(self, options: argparse.Namespace, settings: Settings) -> None:
        self.out = Output(options)
        self._settings = settings
        self._terminal = sys.stderr.isatty() and not self.out.quiet
        self._drawn = False
        self._told = 0.0
        self.findings = 0

    # -- the campaign's observer -------------------------------------------------------------------------------------

    def found(self, finding: Finding) -> None:
        """Prints a new finding."""
        self._clear()
        self.findings += 1
        violation = finding.violation
        shown_times, tried = finding.replayed
        again = f"; again {shown_times} of {tried} times" if tried else "; not played again"
        state = f" in {violation.state}" if violation.state else ""
        self.out.failure(
            f"{violation.severity.value.upper()} {finding.id}{state} [{violation.clause}]: {violation.detail}"
            f" (after {finding.seen_after[0]:.1f} s, by {finding.conversation.name}{again})"
        )
        self.out.event("finding", **finding_fields(finding))

    def progress(self, totals: Totals) -> None:
        """Draws the live line, or prints one now and then."""
        now = monotonic()
        if self.out.quiet or now - self._told < (EVERY if self._terminal else PLAIN_EVERY):
            return
        self._told = now
        if self._terminal:
            self._draw(self._line(totals))
        else:
            self.out.info(self._line(totals))
        self.out.event("progress", **_numbers(totals))

    def note(self, text: str) -> None:
        """Prints a detail."""
        self._clear()
        self.out.detail(text)

    def played(self, conversation: Conversation, transcript: Transcript) -> None:
        """Prints a conversation with a new reaction, as a detail."""
        if self.out.verbose:
            self.note(f"new reaction: {conversation.name}: {conversation.about}")

    # -- beginning and end -------------------------------------------------------------------------------------------

    def info(self, text: str) -> None:
        """Prints a line."""
        self._clear()
        self.out.info(text)

    def error(self, text: str) -> None:
        """Prints why it ends."""
        self._clear()
        self.out.error(text)

    def summary(self, totals: Totals) -> None:
        """Prints what a campaign has done."""
        self._clear()
        for key in ("critical", "high", "medium", "low"):
            found = [one for one in totals.findings.values() if one.violation.severity.value == key]
            if found:
                self.out.info(f"{len(found)} {key}: {', '.join(f'{one.id} ({one.count}x)' for one in found[:30])}")
        if totals.unconfirmed:
            self.out.info(
                f"{plural(len(totals.unconfirmed), 'reaction')} seen once and never again when played again, not "
                f"counted: {', '.join(one.id for one in list(totals.unconfirmed.values())[:10])}"
            )
        if totals.masked:
            self.out.info(f"{sum(totals.masked.values())} hits of {plural(len(totals.masked), 'known finding')} masked")
        for one in list(totals.differences.values())[:DIFFERENCES]:
            self._difference(one)
        if len(totals.differences) > DIFFERENCES:
            self.out.info(f"{len(totals.differences) - DIFFERENCES} more kinds of differences")
        self.out.info(
            f"{plural(len(totals.findings), 'finding')} after {plural(totals.cases, 'conversation')} "
            f"({totals.rate:.0f} a second), {plural(totals.echoes, 'good echo', 'good echoes')}, {size(totals.sent)}, "
            f"{plural(totals.bits, 'kind')} of reactions; ended: {totals.ended}"
        )
        self.out.event(
            "summary", **_numbers(totals), ended=totals.ended, families=totals.families, masked=totals.masked,
            unconfirmed=[one.id for one in totals.unconfirmed.values()],
            found=[finding_fields(one) for one in totals.findings.values()],
        )  # fmt: skip

    def _difference(self, one: Difference) -> None:
        first, second = shown(one.first, 200), shown(one.second, 200)
        self.out.info(f"differs ({one.count}x, {one.name}): the peer: {first}; the second: {second}")
        self.out.event(
            "difference", family=one.family, conversation=one.name, count=one.count, first=one.first, second=one.second
        )

    # -- the live line -----------------------------------------------------------------------------------------------

    def _line(self, totals: Totals) -> str:
        left = max(0, int(self._settings.seconds - totals.seconds))
        return (
            f"{totals.cases} conversations, {totals.rate:.0f}/s, {plural(len(totals.findings), 'finding')}, "
            f"{totals.bits} reactions, corpus {totals.corpus}, {totals.echoes} echoes, {size(totals.sent)}, "
            f"{left // 60}:{left % 60:02} left"
        )

    def _draw(self, line: str) -> None:
        with suppress(OSError):
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            getattr(sys.stderr, "unguarded", sys.stderr.write)(f"\r{shown(line)[: columns - 1]}\x1b[K")
            sys.stderr.flush()
            self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            with suppress(OSError):
                getattr(sys.stderr, "unguarded", sys.stderr.write)("\r\x1b[K")
                sys.stderr.flush()
            self._drawn = False


def finding_fields(finding: Finding) -> dict[str, object]:
    """Returns a finding as fields of a JSON event, without bytes."""
    violation = finding.violation
    return {
        "id": finding.id,
        "severity": violation.severity.value,
        "oracle": violation.oracle,
        "state": violation.state,
        "reaction": violation.reaction,
        "clause": violation.clause,
        "detail": violation.detail,
        "conversation": finding.conversation.name,
        "about": finding.conversation.about,
        "before": len(finding.before),
        "replayed": list(finding.replayed),
        "seconds": finding.seen_after[0],
        "conversations": finding.seen_after[1],
        "count": finding.count,
        "evidence": list(finding.evidence),
    }


def _numbers(totals: Totals) -> dict[str, object]:
    return {
        "seconds": round(totals.seconds, 3),
        "conversations": totals.cases,
        "systematic": totals.systematic,
        "echoes": totals.echoes,
        "associations": totals.associations,
        "bytes": totals.sent,
        "reactions": totals.bits,
        "corpus": totals.corpus,
        "findings": len(totals.findings),
        "restarts": totals.restarts,
    }

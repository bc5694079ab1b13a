"""The output of `dicos fuzz`: a live line, a line for each finding, a summary; the same as JSON events.

Knows: totals, findings, terminals. Must not know: how a campaign runs.

Text from a peer or a file is printed escaped. A finding's text has no data from a data set in it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from dicos_transports.cli.output import Output, plural, shown, size

from ..campaign.settings import Settings, Totals
from ..conversation import Conversation, Transcript
from ..finding import Finding
from ..reports import json_lines, text
from ..reports.json_lines import finding_event
from ..reports.values import CampaignReport
from ..reports.visiting import moves
from .fuzz_report import Started

__all__ = ["Show"]

EVERY: Final = 0.2
PLAIN_EVERY: Final = 10.0
"""Seconds between two lines of progress where standard error is not a terminal."""


class Show:
    """Follows a campaign (`campaign.observer.Observer`) and prints it. `before`: the seconds that a campaign that is
    resumed has had already."""

    def __init__(self, options: argparse.Namespace, settings: Settings, started: Started, before: float = 0.0) -> None:
        self.started = started
        self._before = before
        self.out = Output(options)
        self.out.on_lost = self._lost
        self.stop: Callable[[str], object] = lambda why: None
        """Ends the campaign; called if standard output is lost."""
        self._settings = settings
        self._terminal = sys.stderr.isatty() and not self.out.quiet
        self._drawn = False
        self._told = 0.0
        self.findings = 0
        self.keep: Callable[[list[Finding]], None] | None = None
        """Called with each new finding, to save it."""

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
        fields = finding_event(finding, None)
        self.out.event("found", **{name: value for name, value in fields.items() if name != "event"})
        if self.keep is not None:
            self.keep([finding])

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

    def played(self, conversation: Conversation, transcript: Transcript, *, new: bool) -> None:
        """Prints a conversation with a new reaction, as a detail, and counts the states of the peer."""
        self.started.visited(moves(transcript, conversation.side))
        if new and self.out.verbose:
            self.note(f"new reaction: {conversation.name}: {conversation.about}")

    def _lost(self) -> None:
        self.stop("standard output was lost")

    # -- beginning and end -------------------------------------------------------------------------------------------

    def info(self, text: str) -> None:
        """Prints a line."""
        self._clear()
        self.out.info(text)

    def told(self, text: str) -> None:
        """Prints a line, also with `--quiet`."""
        self._clear()
        self.out.failure(text)

    def error(self, text: str) -> None:
        """Prints why it ends, or what cannot be written."""
        self._clear()
        self.out.error(text)

    def summary(self, report: CampaignReport) -> None:
        """Prints what a campaign has done."""
        self._clear()
        for line in text.lines(report):
            self.out.info(line)
        if self.out.json:
            for line in json_lines.lines(report):
                self.out.event_line(line)

    # -- the live line -----------------------------------------------------------------------------------------------

    def _line(self, totals: Totals) -> str:
        left = max(0, int(self._settings.seconds - (totals.seconds - self._before)))
        return (
            f"{plural(totals.cases, 'conversation')}, {totals.rate:.0f}/s, {plural(len(totals.findings), 'finding')}, "
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

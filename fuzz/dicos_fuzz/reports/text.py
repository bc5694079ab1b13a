"""A report for the terminal: the findings by severity, then what was done.

Knows: reports as values. Must not know: terminals; the caller prints the lines.

Invariant: every line is printable: text of the peer is escaped and cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dicos_transports.cli.text import shown

from ..finding import Finding, Severity
from ..findings.grouping import alike
from ..findings.transcripts import lines as transcript_lines
from .values import CampaignReport
from .wording import (
    again,
    duration,
    how_small,
    how_soon,
    plural,
    replay_command,
    size,
    spent,
    verdict,
    why_no_file,
    why_unconfirmed,
)

__all__ = ["finding_lines", "lines"]

_MOST: Final = 400


def lines(report: CampaignReport, *, transcripts: bool = False) -> Iterator[str]:
    """Yields the lines of a report. `transcripts`: with that of each finding."""
    yield f"{_said(report.peer)}: {verdict(report)}"
    found = report.ordered()
    for severity in Severity:
        some = [one for one in found if one.violation.severity is severity]
        if some:
            yield ""
            yield f"{severity.value.upper()} ({len(some)})"
        for first, *others in alike(some):
            yield from finding_lines(report, first, transcript=transcripts)
            for one in others:
                yield f"    alike      {_said(one.id)}: {_said(one.conversation.about or one.conversation.name)}"
    yield ""
    yield from _doubtful(report)
    yield from _done(report)


def finding_lines(report: CampaignReport, finding: Finding, *, transcript: bool = False) -> Iterator[str]:
    """Yields the lines of one finding."""
    violation = finding.violation
    yield f"  {_said(finding.id)}: {_said(violation.detail)}"
    state = f" in {_said(violation.state)}" if violation.state else ""
    yield f"    breaks     {_said(violation.clause)}{state}"
    yield f"    sent       {_said(finding.conversation.about or finding.conversation.name)}"
    yield f"    shown      {plural(finding.count, 'time')}, first {how_soon(finding)}; played again: {again(finding)}"
    yield f"    reproducer {how_small(finding)}"
    command = replay_command(report, finding)
    yield f"    run        {_said(command)}" if command else f"    no file    {_said(why_no_file(report, finding))}"
    for line in finding.evidence[:5]:
        yield f"    evidence   {_said(line)}"
    if transcript:
        played = finding.minimised if finding.minimised_transcript else finding.conversation
        for line in transcript_lines(finding.minimised_transcript or finding.transcript, played, most=200):
            yield f"    {_said(line)}"


def _doubtful(report: CampaignReport) -> Iterator[str]:
    if report.unconfirmed:
        yield f"not confirmed ({len(report.unconfirmed)}):"
        for one in report.unconfirmed:
            yield f"  {_said(one.id)}: {_said(one.violation.detail)} ({why_unconfirmed(one)})"
        yield ""
    for name, count in report.masked.items():
        yield f"known and masked: {_said(name)}, {plural(count, 'time')}"
    for name, count in report.masked_before.items():
        yield f"found before, now masked: {_said(name)}, {plural(count, 'time')}"
    for name in report.not_met():
        yield f"known, not met: {_said(name)}"
    for difference in report.differences:
        yield f"different from {_said(report.compared)}: {_said(difference.about)}, {plural(difference.count, 'time')}"
        yield f"  {_said(report.peer)}: {_said(difference.first)}"
        yield f"  {_said(report.compared)}: {_said(difference.second)}"


def _done(report: CampaignReport) -> Iterator[str]:
    rate = f"{report.rate:.0f} a second"
    took = "" if report.spent else f" in {duration(report.seconds)}"
    yield f"{plural(report.conversations, 'conversation')}{took}, {rate}; " + ", ".join(
        (
            plural(report.associations, "association"),
            f"{size(report.sent)} sent",
            plural(report.echoes, "good echo", "good echoes"),
            plural(report.restarts, "restart"),
            plural(report.reactions, "different reaction"),
        )
    )
    if report.spent:
        yield _said(spent(report))
    for one in report.families:
        every = "" if one.systematic_all is None else f", {one.systematic} of {one.systematic_all} systematic ones"
        yield f"  {_said(one.name):<20} {plural(one.conversations, 'conversation')}{every}"
    visited = [name for name, count in report.states.items() if count]
    yield f"states of table 9-10 visited: {_said(', '.join(sorted(visited, key=_number)) or 'not known')}"
    yield f"seed {report.seed}" + (f"; ended: {_said(report.ended)}" if report.ended else "")
    for note in report.notes:
        yield f"note: {_said(note)}"


def _number(state: str) -> int:
    digits = state.removeprefix("Sta")
    return int(digits) if digits.isdecimal() and len(digits) < 9 else 0


def _said(text: str) -> str:
    return shown(text, _MOST)

"""Words that all reports share: numbers with units, how often and how soon, how a finding is run again.

Knows: findings, reports as values. Must not know: how a report looks.
"""

from __future__ import annotations

from shlex import quote

from dicos_transports.cli.output import plural, size

from ..conversation import Answer, Conversation, Side, Transcript
from ..finding import Finding, Severity
from ..findings.grouping import size_of
from .values import CampaignReport

__all__ = [
    "again",
    "duration",
    "how_small",
    "how_soon",
    "plural",
    "replay_command",
    "size",
    "spent",
    "verdict",
    "why_no_file",
    "why_unconfirmed",
]


def duration(seconds: float) -> str:
    """Returns a duration: `0.25 s`, `12.5 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def again(finding: Finding) -> str:
    """Returns how often a finding came back: `3 of 5`, or `not played again`."""
    shown, tried = finding.replayed
    return f"{shown} of {tried}" if tried else "not played again"


def why_unconfirmed(finding: Finding) -> str:
    """Returns why a finding is not confirmed: `played again, it came back 0 of 3 times`."""
    shown, tried = finding.replayed
    return f"played again, it came back {shown} of {tried} times" if tried else "there was no time to play it again"


def how_soon(finding: Finding) -> str:
    """Returns when it was seen first."""
    seconds, conversations = finding.seen_after
    return f"after {duration(seconds)}, {plural(conversations, 'conversation')}"


def _size(conversation: Conversation, transcript: Transcript | None) -> str:
    sent, steps = size_of(conversation, transcript)
    answers = transcript is None and any(isinstance(one, Answer) for one in conversation.steps)
    return f"{plural(steps, 'step')}, {size(sent)}" + (" and answers" if answers else "")


def how_small(finding: Finding) -> str:
    """Returns the size of its reproducer, and of the conversation that showed it first."""
    first = _size(finding.conversation, finding.transcript)
    found = first
    if finding.minimised is not None:
        found = f"{_size(finding.minimised, finding.minimised_transcript)} (first: {first})"
    if finding.before:
        found += f", after {plural(len(finding.before), 'other conversation')}"
    if finding.left_out:
        found += f"; {plural(finding.left_out, 'earlier conversation')} left out: the file would be too large"
    return found


def replay_command(report: CampaignReport, finding: Finding) -> str:
    """Returns the command that plays it again; empty if there is no file for it."""
    if finding.id not in report.reproducers:
        return ""
    where = "--listen PORT" if finding.conversation.side is Side.PROVIDER else "HOST PORT"
    return " ".join(["dicos replay", quote(report.reproducers[finding.id]), where, *map(quote, report.tls)])


def spent(report: CampaignReport) -> str:
    """Returns how long it took, and what for; empty if that is not known."""
    if not report.spent:
        return ""
    parts = ", ".join(f"{duration(seconds)} {words}" for words, seconds in report.spent)
    own = sum(seconds for _, seconds in report.spent)
    before = report.seconds - sum(seconds for _, seconds in report.spent[1:])
    more = f"; {duration(before)} before it was taken up again" if before > 1 else ""
    return f"time {duration(own)}: {parts}{more}"


def why_no_file(report: CampaignReport, finding: Finding) -> str:
    """Returns why a finding has no reproducer."""
    return report.unwritten.get(finding.id) or "no reproducer was written: --output DIR writes them"


def verdict(report: CampaignReport) -> str:
    """Returns the outcome in one line: `3 findings: 1 critical, 2 medium`."""
    counts = report.by_severity()
    total = sum(counts.values())
    if not total:
        return "no findings"
    parts = ", ".join(f"{counts[severity]} {severity.value}" for severity in Severity if counts[severity])
    return f"{plural(total, 'finding')}: {parts}"

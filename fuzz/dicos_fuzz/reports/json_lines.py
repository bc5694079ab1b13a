"""A report as JSON lines: an object for the campaign, for each family, state, finding, and a summary at the end.

Knows: reports as values. Must not know: where the lines go.

Invariants: each line is one JSON object with an "event", in ASCII; no contents of data sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..finding import Finding, signature, signature_in
from ..findings.grouping import size_of
from ..findings.transcripts import lines as transcript_lines
from .values import CampaignReport

__all__ = ["finding_event", "lines"]

_MOST_LINES = 200


def lines(report: CampaignReport) -> Iterator[str]:
    """Yields the lines of a report."""
    yield _line(
        "campaign",
        peer=report.peer,
        accepts=list(report.accepts),
        started=report.started,
        seed=report.seed,
        version=report.version,
        bounds=dict(report.bounds),
        notes=list(report.notes),
    )
    for one in report.families:
        yield _line(
            "family",
            name=one.name,
            about=one.about,
            conversations=one.conversations,
            systematic=one.systematic,
            systematic_all=one.systematic_all,
            findings=one.findings,
        )
    for state, visits in report.states.items():
        yield _line("state", name=state, visits=visits)
    for (before, after), times in report.transitions.items():
        yield _line("transition", before=before, after=after, times=times)
    for found in report.ordered():
        yield json.dumps(finding_event(found, report.reproducers.get(found.id)))
    for found in report.unconfirmed:
        yield json.dumps(finding_event(found, None) | {"event": "unconfirmed"})
    for name, count in report.masked.items():
        yield _line("masked", id=name, signature=signature_in(name), count=count)
    for name, count in report.masked_before.items():
        yield _line("masked_before", id=name, signature=signature_in(name), count=count)
    for name in report.not_met():
        yield _line("unmet", id=name, signature=signature_in(name))
    for difference in report.differences:
        yield _line(
            "difference",
            family=difference.family,
            about=difference.about,
            first=difference.first,
            second=difference.second,
            count=difference.count,
        )
    yield _line(
        "summary",
        findings={severity.value: count for severity, count in report.by_severity().items()},
        seconds=round(report.seconds, 3),
        spent={words: round(seconds, 3) for words, seconds in report.spent},
        conversations=report.conversations,
        rate=round(report.rate, 1),
        associations=report.associations,
        sent=report.sent,
        echoes=report.echoes,
        restarts=report.restarts,
        reactions=report.reactions,
        corpus=report.corpus,
        ended=report.ended,
    )


def _line(event: str, **values: object) -> str:
    return json.dumps({"event": event, **values})


def finding_event(finding: Finding, reproducer: str | None) -> dict[str, object]:
    """Returns a finding as the values of a line. `reproducer`: the path of its file."""
    violation = finding.violation
    if finding.minimised is not None:
        sent, steps = size_of(finding.minimised, finding.minimised_transcript)
    else:
        sent, steps = size_of(finding.conversation, finding.transcript)
    played = finding.minimised if finding.minimised_transcript else finding.conversation
    return {
        "event": "finding",
        "id": finding.id,
        "signature": signature(violation),
        "oracle": violation.oracle,
        "severity": violation.severity.value,
        "detail": violation.detail,
        "clause": violation.clause,
        "state": violation.state,
        "reaction": violation.reaction,
        "family": violation.family,
        "scenario": finding.conversation.name,
        "about": finding.conversation.about,
        "count": finding.count,
        "shown": finding.replayed[0],
        "tried": finding.replayed[1],
        "seconds": finding.seen_after[0],
        "conversations": finding.seen_after[1],
        "minimised": finding.minimised is not None,
        "steps": steps,
        "bytes": sent,
        "before": len(finding.before),
        "left_out": finding.left_out,
        "evidence": list(finding.evidence),
        "reproducer": reproducer,
        "transcript": transcript_lines(finding.minimised_transcript or finding.transcript, played, most=_MOST_LINES),
    }

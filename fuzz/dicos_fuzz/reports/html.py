"""A report as one HTML page that needs nothing else: no scripts, no fonts, nothing that is loaded.

Knows: HTML, the order of a report. Must not know: how a campaign is run.

Invariants: every text is escaped; the page's policy forbids it to load anything; contents of data sets are not in
it; the number of findings that are shown, and the lines of each, are bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Final

from dicos_transports.cli.text import escaped, shown

from ..finding import Finding, Severity
from ..findings.grouping import alike
from ..findings.transcripts import lines_of, told
from ..json_text import write_file
from .sequence_picture import sequence_picture
from .states_picture import MEANINGS, states_picture
from .style import STYLE
from .values import CampaignReport
from .visiting import POSSIBLE
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

__all__ = ["MOST_FINDINGS", "page", "write"]

_RIGHT: Final = ("served", "others-served")
"""Expectations of conversations in which nothing is wrong."""
MOST_FINDINGS: Final = 200
"""Findings that are shown in full; all are in the table."""
_MOST_LISTED: Final = 2000
_MOST_LINES: Final = 300
_MOST_TEXT: Final = 500


def write(path: Path, report: CampaignReport) -> None:
    """Writes the page, complete or not at all. Raises OSError."""
    write_file(path, "".join(f"{line}\n" for line in page(report)).encode("utf-8", "backslashreplace"))


def page(report: CampaignReport) -> Iterator[str]:
    """Yields the lines of the page."""
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_text(report.peer)}: {verdict(report)}</title>\n<style>{STYLE}</style>\n</head>\n<body>"
    yield '<a class="skip" href="#findings">To the findings</a>'
    yield from _top(report)
    yield "<main>"
    yield from _index(report)
    yield from _states(report)
    for number, finding in enumerate(report.ordered()[:MOST_FINDINGS], 1):
        yield from _finding(report, finding, number)
    yield from _doubtful(report)
    yield from _differences(report)
    yield from _families(report)
    yield from _setting(report)
    yield "</main>"
    yield from _foot(report)
    yield "</body>\n</html>"


def _text(text: object, most: int = _MOST_TEXT) -> str:
    return escape(shown(text, most))


# -- the beginning -------------------------------------------------------------------------------------------------


def _top(report: CampaignReport) -> Iterator[str]:
    yield '<header class="top">'
    yield f"<h1>Fuzzing report: {_text(report.peer)}</h1>"
    when = f"{_text(report.started)}, " if report.started else ""
    ended = f"; ended: {_text(report.ended)}" if report.ended else ""
    took = _text(spent(report)) or duration(report.seconds)
    yield f'<p class="soft">{when}{took}, seed {report.seed}{ended}</p>'
    yield '<ul class="verdict" aria-label="Findings by severity">'
    counts = report.by_severity()
    for severity in Severity:
        if counts[severity]:
            yield f'<li class="chip {severity.value}">{counts[severity]} {severity.value}</li>'
    if not any(counts.values()):
        yield '<li class="chip good">no findings</li>'
    yield '</ul>\n<dl class="tiles">'
    for name, value, more in (
        ("conversations", f"{report.conversations:,}", f"{report.rate:,.0f} a second"),
        ("associations", f"{report.associations:,}", ""),
        ("sent", size(report.sent), ""),
        ("good echoes", f"{report.echoes:,}", ""),
        ("reactions", f"{report.reactions:,}", ""),
        ("states", f"{_visited(report)}", "of 13"),
        ("restarts", f"{report.restarts:,}", ""),
    ):
        beside = f" <small>{more}</small>" if more else ""
        yield f'<div class="tile"><dt>{name}</dt><dd>{value}{beside}</dd></div>'
    yield "</dl></header>"


def _visited(report: CampaignReport) -> int:
    return sum(1 for name in MEANINGS if report.states.get(name))


def _index(report: CampaignReport) -> Iterator[str]:
    yield '<h2 id="findings">Findings</h2><div class="card">'
    found = report.ordered()
    if not found:
        yield "<p>Nothing was found within these bounds. This does not prove that there is nothing to find.</p></div>"
        return
    yield from _table_head("", "finding", "state", "rule", "played again", "first seen", "times")
    numbers = {one.id: number for number, one in enumerate(found, 1)}
    for one, first in _in_groups(report)[:_MOST_LISTED]:
        violation, number = one.violation, numbers[one.id]
        link = (
            f'<a href="#f{number}">{_text(violation.detail)}</a>'
            if number <= MOST_FINDINGS
            else _text(violation.detail)
        )
        yield (
            f'<tr><td><span class="chip {violation.severity.value}">{violation.severity.value}</span></td>'
            f'<td class="wide">{"" if first else "alike: "}{link}</td><td>{_text(violation.state) or "-"}</td>'
            f"<td>{_text(violation.clause)}</td>"
            f'<td class="one">{again(one)}</td><td class="one">{duration(one.seen_after[0])}</td>'
            f'<td class="num">{one.count:,}</td></tr>'
        )
    yield "</tbody></table></div>"
    if len(found) > _MOST_LISTED:
        yield f"<p>... and {len(found) - _MOST_LISTED:,} more.</p>"
    yield "</div>"


def _in_groups(report: CampaignReport) -> list[tuple[Finding, bool]]:
    """The findings, with those that are alike behind the first of them, and True for that one."""
    return [(one, one is some[0]) for some in alike(report.ordered()) for one in some]


def _table_head(*names: str) -> Iterator[str]:
    cells = "".join(f'<th scope="col">{name}</th>' for name in names)
    yield f'<div class="scroll" tabindex="0"><table><thead><tr>{cells}</tr></thead><tbody>'


def _states(report: CampaignReport) -> Iterator[str]:
    seen = sum(1 for one in POSSIBLE if report.transitions.get(one))
    yield '<h2 id="states">States of the peer</h2>'
    yield '<div class="card"><p class="soft">The states of PS3.8 table 9-10 that the peer was in, as far as its PDUs'
    yield f"tell, and the transitions between them: {_visited(report)} of 13 states and {seen} of {len(POSSIBLE)}"
    yield "transitions. Dashed: never seen.</p>"
    yield '<div class="scroll" tabindex="0">'
    yield from states_picture(report.states, report.transitions)
    yield "</div><details><summary>The same as a table</summary>"
    yield from _table_head("state", "meaning", "visits", "went to")
    for name, meaning in MEANINGS.items():
        after = ", ".join(
            f"{_text(to)} ({times:,}" + (")" if (name, to) in POSSIBLE else ", not in table 9-10)")
            for (begin, to), times in sorted(report.transitions.items())
            if begin == name and times
        )
        visits = report.states.get(name, 0)
        yield f'<tr><th scope="row">{name}</th><td>{meaning}</td><td class="num">{visits:,}</td>'
        yield f"<td>{after or '-'}</td></tr>"
    yield "</tbody></table></div></details></div>"


# -- a finding -----------------------------------------------------------------------------------------------------


def _finding(report: CampaignReport, finding: Finding, number: int) -> Iterator[str]:
    violation = finding.violation
    severity = violation.severity.value
    if number == 1:
        yield "<h2>Each finding</h2>"
    yield f'<article class="card finding {severity}" id="f{number}" aria-labelledby="f{number}t">'
    yield f'<div class="title"><span class="chip {severity}">{severity}</span>'
    yield f'<h3 id="f{number}t">{_text(violation.detail, 2000)}</h3></div>'
    yield f'<p class="id mono">{_text(finding.id)}</p>'
    yield from _facts(
        ("Rule", violation.clause),
        (
            "State of the peer",
            f"{violation.state}: {MEANINGS.get(violation.state, '')}" if violation.state else "not known",
        ),
        ("Reaction", violation.reaction),
        ("Sent" if finding.conversation.expect in _RIGHT else "Wrong on purpose", finding.conversation.about),
        ("Scenario", finding.conversation.name),
        ("Seen", f"{plural(finding.count, 'time')}, first {how_soon(finding)}"),
        ("Played again", _came_back(finding)),
        ("Reproducer", how_small(finding)),
        *(("" if number else "Evidence", line) for number, line in enumerate(finding.evidence[:20])),
    )
    kept = finding.minimised_transcript is not None and finding.minimised is not None
    played = finding.minimised if kept and finding.minimised is not None else finding.conversation
    transcript = finding.minimised_transcript if kept and finding.minimised_transcript else finding.transcript
    yield f"<h4>What was said{' (minimised)' if kept else ''}</h4>"
    yield '<div class="scroll" tabindex="0">'
    said = told(transcript, played)
    yield from sequence_picture(said, f"s{number}")
    yield "</div><details><summary>Transcript, every PDU dissected</summary>"
    yield f"<pre>{_pre(lines_of(said, most=_MOST_LINES))}</pre></details>"
    yield "<h4>How to run it again</h4>"
    yield f"<pre>{_pre(_commands(report, finding))}</pre></article>"


def _came_back(finding: Finding) -> str:
    shown_again, tried = finding.replayed
    return f"it came back {shown_again} of {plural(tried, 'time')}" if tried else "not tried"


def _commands(report: CampaignReport, finding: Finding) -> Iterator[str]:
    command = replay_command(report, finding)
    if not command:
        yield why_no_file(report, finding)
        return
    yield f"{command}    # exit status 1: it shows again"
    yield f"{command} --export-pytest test_finding.py"
    yield f"{command} --export-pcapng finding.pcapng"


def _pre(lines: Iterable[str]) -> str:
    return escape("\n".join(escaped(line) for line in lines))


def _facts(*facts: tuple[str, str]) -> Iterator[str]:
    yield '<dl class="facts">'
    for name, value in facts:
        if value:
            yield f"<dt>{_text(name)}</dt><dd>{_text(value, 2000)}</dd>"
    yield "</dl>"


# -- the rest ------------------------------------------------------------------------------------------------------


def _doubtful(report: CampaignReport) -> Iterator[str]:
    if report.unconfirmed:
        yield "<h2>Not confirmed</h2>"
        yield '<div class="card"><p class="soft">These do not count.</p>'
        yield '<ul class="plain">'
        for one in report.unconfirmed[:MOST_FINDINGS]:
            soft = f'<span class="soft">{why_unconfirmed(one)}</span> <span class="soft mono">{_text(one.id)}</span>'
            yield f"<li>{_text(one.violation.detail)} {soft}</li>"
        yield "</ul></div>"
    missing = report.not_met()
    if report.masked or report.masked_before or missing:
        yield '<h2>Known</h2><div class="card"><p class="soft">Masked by their signatures.</p><ul class="plain">'
        for name, count in list(report.masked.items())[:MOST_FINDINGS]:
            yield f"<li><code>{_text(name)}</code> {plural(count, 'time')}</li>"
        for name, count in list(report.masked_before.items())[:MOST_FINDINGS]:
            yield f"<li><code>{_text(name)}</code> found before, now masked, {plural(count, 'time')}</li>"
        for name in missing[:MOST_FINDINGS]:
            yield f"<li><code>{_text(name)}</code> not met</li>"
        yield "</ul></div>"


def _differences(report: CampaignReport) -> Iterator[str]:
    if not report.differences:
        return
    yield f"<h2>Differences from {_text(report.compared)}</h2>"
    yield '<div class="card">'
    yield from _table_head("family", "conversation", _text(report.peer, 60), _text(report.compared, 60), "times")
    for one in report.differences[:_MOST_LISTED]:
        cells = "".join(f"<td>{_text(text)}</td>" for text in (one.family, one.about, one.first, one.second))
        yield f'<tr>{cells}<td class="num">{one.count:,}</td></tr>'
    yield "</tbody></table></div></div>"


def _families(report: CampaignReport) -> Iterator[str]:
    if not report.families:
        return
    yield '<h2>What was tried</h2><div class="card">'
    yield from _table_head("family", "about", "conversations", "systematic", "", "findings")
    most = max(one.conversations for one in report.families) or 1
    for one in report.families:
        every = "-" if one.systematic_all is None else f"{one.systematic:,} of {one.systematic_all:,}"
        share = 100 * one.conversations / most
        bar = (
            f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="all" width="100" height="6"/><rect class="part" width="{share:.1f}" height="6"/></svg>'
        )
        yield (
            f'<tr><th scope="row">{_text(one.name)}</th><td>{_text(one.about)}</td>'
            f'<td class="num">{one.conversations:,}</td><td class="num">{every}</td><td>{bar}</td>'
            f'<td class="num">{one.findings or "-"}</td></tr>'
        )
    yield "</tbody></table></div></div>"


def _setting(report: CampaignReport) -> Iterator[str]:
    yield '<h2>The peer, and the bounds</h2><div class="card">'
    if report.accepts:
        yield "<h4>The peer accepts</h4>"
        yield f"<pre>{_pre(line[:_MOST_TEXT] for line in report.accepts[:200])}</pre>"
    if report.bounds:
        yield "<h4>Bounds</h4>"
        yield from _facts(*report.bounds)
    if report.notes:
        yield '<h4>Notes</h4><ul class="plain">'
        yield from (f"<li>{_text(note)}</li>" for note in report.notes[:200])
        yield "</ul>"
    yield "</div>"


def _foot(report: CampaignReport) -> Iterator[str]:
    yield "<footer><p>Critical: the peer ended or serves nobody. High: other peers or data are hurt. Medium: a rule is"
    yield "broken. Low: a deviation that harms nobody by itself.</p>"
    yield "<p>Tell the maker of the peer first. Send the reproducer, the version of the peer and this report, and agree"
    yield "on a date before anything is published. No records of the peer are in a report, but lines of its log may"
    yield "name people: read them before you send them.</p>"
    yield f"<p>Made by dicos fuzz {_text(report.version)}.</p></footer>"

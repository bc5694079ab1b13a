"""A trace as one HTML page: a table of the associations, and the sequence diagram of each.

The page is complete in itself: no scripts, no fonts, no images, nothing that is loaded; its policy forbids all that.

Knows: HTML. Must not know: how entries are found.

Invariants: every text is escaped; memory is bounded: the diagrams of associations that are over go to a temporary file,
and there are at most `MOST_ROWS` rows in the others; the page itself is bounded by `MOST_DRAWN` and `MOST_LISTED`.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from tempfile import SpooledTemporaryFile
from typing import IO, Final

from dicos_transports.cli.output import plural, size
from dicos_transports.cli.text import shown

from .diagram import Diagram
from .entries import AssociationTrace, Began, DataPdu, Entry, Over, PduSaid, Piece
from .marks import Kind
from .words import dissected, duration, moment

__all__ = ["MOST_DRAWN", "MOST_LISTED", "MOST_OF_ONE", "MOST_ROWS", "Page"]

MOST_OF_ONE: Final = 3_000
"""Rows of one diagram: a browser still scrolls it well."""
MOST_ROWS: Final = 100_000
"""Rows of all associations that are not over, each of half a kilobyte; and lines of their negotiations."""
MOST_DRAWN: Final = 100_000
"""Rows of the whole page; associations beyond that are in its table only."""
MOST_LISTED: Final = 20_000
"""Associations in the table."""
_SPOOL: Final = 4 << 20
_MOST_LINES: Final = 500


class _Drawn:
    __slots__ = ("diagram", "lines")

    def __init__(self) -> None:
        self.diagram = Diagram()
        self.lines: list[str] = []  # of the negotiation


class Page:
    """A sink that writes the page to `file` at its close. `name`: of the recording. Raises OSError."""

    def __init__(self, file: IO[str], name: str) -> None:
        self._file = file
        self._name = name
        self._open: dict[int, _Drawn] = {}
        self._rows = 0  # of those
        self._drawn = 0  # rows that are drawn
        self._lines = 0  # of the negotiations of those that are open
        self._listed = self._total = 0
        self._marks = dict.fromkeys(Kind, 0)
        self._table = SpooledTemporaryFile(_SPOOL, "w+", encoding="utf-8")  # noqa: SIM115  closed by `close`
        self._sections = SpooledTemporaryFile(_SPOOL, "w+", encoding="utf-8")  # noqa: SIM115

    def take(self, trace: AssociationTrace, entry: Entry) -> None:
        """Takes an entry."""
        if isinstance(entry, Piece):
            return
        found = self._open.get(trace.number)
        if found is None:
            found = self._open[trace.number] = _Drawn()
        if isinstance(entry, PduSaid) and entry.raw and entry.raw[0] in (1, 2):
            self._negotiated(found, entry.raw)
        if isinstance(entry, DataPdu) and not entry.marks:
            return
        before = len(found.diagram.rows)
        if not isinstance(entry, Began):
            full = before >= MOST_OF_ONE or self._rows + self._drawn >= MOST_DRAWN or self._rows >= MOST_ROWS
            found.diagram.take(entry, full=full and not isinstance(entry, Over))
        self._rows += len(found.diagram.rows) - before
        if isinstance(entry, Over):
            self._finish(trace, entry, found)

    def _negotiated(self, found: _Drawn, raw: bytes) -> None:
        room = min(_MOST_LINES - len(found.lines), MOST_ROWS - self._lines)
        lines = list(dissected(raw))[: max(0, room)]
        found.lines += lines
        self._lines += len(lines)

    def _finish(self, trace: AssociationTrace, over: Over, found: _Drawn) -> None:
        del self._open[trace.number]
        self._rows -= len(found.diagram.rows)
        self._lines -= len(found.lines)
        self._drawn += len(found.diagram.rows)
        self._total += 1
        for kind, count in trace.marks.items():
            self._marks[kind] += count
        if self._listed >= MOST_LISTED:
            return
        self._listed += 1
        drawn = self._drawn <= MOST_DRAWN
        self._table.writelines(_row(trace, over, drawn=drawn))
        if drawn:
            self._sections.writelines(_section(trace, over, found, unfolded=self._drawn <= MOST_OF_ONE))

    def close(self) -> None:
        """Writes the page. Raises OSError."""
        try:
            self._file.write(_HEAD.replace("TITLE", escape(shown(f"Trace of {self._name}"))))
            self._file.write(f"<h1>Trace of {escape(shown(self._name))}</h1><p>{self._counts()}</p>")
            columns = "".join(f"<th>{name}</th>" for name in _COLUMNS)
            self._file.write(f"<table><thead><tr>{columns}</tr></thead><tbody>\n")
            _copy(self._table, self._file)
            self._file.write("</tbody></table>")
            if self._listed < self._total:
                self._file.write(f"<p>{self._total - self._listed:,} more associations are not listed.</p>")
            _copy(self._sections, self._file)
            self._file.write("</body></html>\n")
        finally:
            self._table.close()
            self._sections.close()

    def _counts(self) -> str:
        parts = [plural(self._total, "association")]
        parts += [_count(kind, self._marks[kind]) for kind in Kind]
        return ", ".join(parts)


_COLUMNS: Final = (
    "#", "marks", "opened (UTC)", "took", "from", "to", "calling", "called", "messages", "data sets", "end",
)  # fmt: skip
"""The marks come early: they are what the table is read for, and a narrow window may cut off the last columns."""


def _row(trace: AssociationTrace, over: Over, *, drawn: bool) -> Iterator[str]:
    titles = trace.titles() or ("", "")
    link = f'<a href="#a{trace.number}">{trace.number}</a>' if drawn else str(trace.number)
    day, _, time = moment(trace.connection.at).partition("T")
    cells = (
        f"{day} {time[:8]}".rstrip(), duration(max(0, over.at - trace.connection.at)), *trace.names(), *titles,
        f"{sum(trace.messages):,}", size(sum(trace.data_bytes)), over.outcome,
    )  # fmt: skip
    yield f"<tr><td>{link}</td><td>{_counted(trace)}</td>"
    yield from (f"<td>{escape(shown(cell, 200))}</td>" for cell in cells)
    yield "</tr>\n"


def _count(kind: Kind, count: int) -> str:
    """The number of marks of a kind, in its colour unless there are none."""
    text = plural(count, kind.value)
    return f'<span class="{kind.value}">{text}</span>' if count else text


def _counted(trace: AssociationTrace) -> str:
    return ", ".join(_count(kind, trace.marks[kind]) for kind in (Kind.VIOLATION, Kind.DEVIATION) if trace.marks[kind])


def _section(trace: AssociationTrace, over: Over, found: _Drawn, *, unfolded: bool) -> Iterator[str]:
    titles = trace.titles()
    named = "" if titles is None else f"{titles[0]} → {titles[1]}, "
    connection = trace.connection
    head = f"#{trace.number} {named}{connection.client} → {connection.server}, {moment(connection.at)}"
    head += f", {connection.tls}" if connection.tls else ""
    yield f"<details{' open' if unfolded else ''}><summary>{escape(shown(head))} {_counted(trace)}</summary>\n"
    yield f'<div id="a{trace.number}"></div>'  # inside: a link to it unfolds the section
    lines = escape("\n".join(shown(line) for line in found.lines))
    if lines:
        yield f"<details><summary>what was negotiated</summary><pre>{lines}</pre></details>\n"
    yield from found.diagram.svg(trace)
    unanswered = f"{plural(over.unanswered, 'request')} without a final response" if over.unanswered else ""
    yield f"<p>{unanswered}</p></details>\n"


def _copy(spool: SpooledTemporaryFile[str], file: IO[str]) -> None:
    spool.seek(0)
    while chunk := spool.read(1 << 16):
        file.write(chunk)


_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>TITLE</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark; --ink: #1b2430; --paper: #fff; --pale: #5c6b7a; --line: #b9c4cf; --box: #eef2f6;
  --bad: #b3261e; --odd: #8a5a00; --arrow: #2b5f9e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --paper: #14191f; --pale: #9aa8b5; --line: #44505c;
  --box: #222a33; --bad: #ff8a80; --odd: #ffc66b; --arrow: #7fb2ef; } }
body { font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1.5rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; }
th, td { text-align: left; padding: 2px 10px 2px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
table { max-width: 100%; } td { overflow-wrap: anywhere; } td:nth-child(-n + 3) { overflow-wrap: normal; }
td:nth-child(3) { min-width: 5rem; } td:nth-child(n + 5) { min-width: 5.5rem; } td:nth-child(n + 9) { min-width: 0; }
td:last-child { min-width: 9rem; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; }
details details summary { font-weight: 400; } pre { background: var(--box); padding: .6rem; overflow-x: auto; }
svg { max-width: 100%; height: auto; margin-top: .6rem; } svg text { font: 13px system-ui, sans-serif;
  fill: var(--ink); } svg text.s { font-size: 11.5px; fill: var(--pale); } svg text.m { text-anchor: middle; }
svg text.e { text-anchor: end; } svg text.h { font-weight: 600; } a { color: var(--arrow); }
.violation, svg text.violation { color: var(--bad); fill: var(--bad); }
.deviation, svg text.deviation { color: var(--odd); fill: var(--odd); } .note { color: var(--pale); }
.b { fill: var(--box); stroke: var(--line); } .l { stroke: var(--line); stroke-dasharray: 3 3; }
.d { fill: var(--pale); } .d.violation { fill: var(--bad); } .d.deviation { fill: var(--odd); }
.a { stroke: var(--arrow); stroke-width: 1.4; fill: none; }
 .a.violation { stroke: var(--bad); } .a.deviation { stroke: var(--odd); }
</style></head><body>
"""

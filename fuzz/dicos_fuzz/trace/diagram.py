"""The sequence diagram of one association, as SVG: who said what, when, how large, and what was wrong with it.

A message is one arrow: its command set and its data set, whatever the number of P-DATA-TFs. Responses that only say
that more will follow are one arrow for all of them in a row.

Knows: entries, SVG. Must not know: the page around it.

Invariants: every text is escaped; the number of rows is bounded by the caller (`Diagram.full`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from textwrap import wrap
from typing import Final

from dicos_proto.dimse.types import DimseResponse
from dicos_proto.registry.status import category
from dicos_proto.registry.status_tables import Category
from dicos_transports.cli.output import size
from dicos_transports.cli.text import shown

from .entries import AssociationTrace, CommandSaid, DataPdu, DataSetSaid, Entry, Over, PduSaid, Problem
from .marks import Mark
from .words import command_name, command_words, duration, pdu_words, span

__all__ = ["Diagram", "Row"]

_WIDTH, _LEFT, _RIGHT = 1080, 150, 850
_MIDDLE: Final = (_LEFT + _RIGHT) // 2
_ROW, _MARK, _SPACE, _TOP = 40, 17, 10, 64
_LONGEST: Final = 104
_MOST_TEXT: Final = 300
_MOST_MARKS: Final = 8


@dataclass(slots=True)
class Row:
    """One arrow, or (`by_requestor` None) a line of text. `group`: rows of the same group in a row become one, if their
    marks are the same. `arrow`: False for marks about one side that belong to no PDU."""

    at: int
    by_requestor: bool | None
    text: str
    small: str = ""
    bytes: int = 0
    wait: int | None = None
    count: int = 1
    done: int = 0
    group: str = ""
    arrow: bool = True
    marks: list[Mark] = field(default_factory=list)


class Diagram:
    """Collects the rows of one association. `rows`: how many of them are held."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.left_out = 0
        self._last: list[Row | None] = [None, None]  # the last message of a side, until its data set has come

    def take(self, entry: Entry, *, full: bool) -> None:
        """Takes an entry. `full`: no more rows are to be held; a row that would be needed is counted only."""
        if isinstance(entry, DataSetSaid):
            self._data_set(entry, full=full)
            return
        row = _row(entry)
        if row is None:
            return
        last = self.rows[-1] if self.rows else None
        if last is not None and row.group and row.group == last.group and row.marks == last.marks:
            last.count += 1
            last.bytes += row.bytes
            last.done = row.at
            row = last
        elif full:
            self.left_out += 1
            return
        else:
            self.rows.append(row)
        if isinstance(entry, CommandSaid):
            self._last[entry.by_requestor] = row if entry.has_data else None

    def _data_set(self, entry: DataSetSaid, *, full: bool) -> None:
        row, self._last[entry.by_requestor] = self._last[entry.by_requestor], None
        text = _data_words(entry)
        if row is None:
            if full:
                self.left_out += 1
                return
            row = Row(entry.at, entry.by_requestor, f"data set of {command_name(entry)}")
            self.rows.append(row)
        row.bytes += entry.size
        if row.count == 1:
            row.small = f"{row.small}; {text}" if row.small else text
        if entry.marks:
            row.marks += entry.marks[:_MOST_MARKS]
            row.group = ""

    def svg(self, trace: AssociationTrace) -> Iterator[str]:
        """Yields the parts of the picture."""
        places, y = [], _TOP + 30
        for row in self.rows:
            places.append(y)
            y += _ROW + _MARK * sum(len(_wrapped(mark)) for mark in row.marks) + (_SPACE if row.marks else 0)
        height = y + 30
        yield f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img">'
        yield from _heads(trace, height)
        for row, at in zip(self.rows, places, strict=True):
            yield from _drawn(row, at, trace.connection.at)
        if self.left_out:
            yield _text(_MIDDLE, height - 8, f"{self.left_out:,} more are not drawn", "s m")
        yield "</svg>"


def _row(entry: Entry) -> Row | None:
    """Returns the arrow of an entry; None if it has none."""
    match entry:
        case PduSaid():
            row = Row(entry.at, entry.by_requestor, entry.label, pdu_words(entry.pdu), entry.length + 6)
        case CommandSaid():
            row = Row(entry.at, entry.by_requestor, command_name(entry), command_words(entry), entry.size)
            command = entry.command
            if isinstance(command, DimseResponse):
                row.wait = None if entry.answered is None else entry.answered.latency
                if category(command.status) is Category.PENDING:
                    row.group = f"{entry.by_requestor} {row.text} {command.status:04x}"
        case DataPdu():
            row = Row(entry.at, entry.by_requestor, "P-DATA-TF", _pdv_words(entry), entry.length + 6)
            row.group = f"{entry.by_requestor} P-DATA-TF"
        case Problem():
            row = Row(entry.at, entry.by_requestor, "", arrow=False)
        case Over():
            row = Row(entry.at, None, entry.outcome)
        case _:
            return None
    row.marks = list(entry.marks[:_MOST_MARKS])
    return row


def _pdv_words(entry: DataPdu) -> str:
    contexts = dict.fromkeys(f"{pdv.context}" for pdv in entry.pdvs)
    count = len(entry.pdvs) + entry.more
    return f"{count:,} {'PDV' if count == 1 else 'PDVs'}{', context ' if contexts else ''}{', '.join(contexts)}"


def _data_words(entry: DataSetSaid) -> str:
    many = f" in {entry.pdvs:,} PDVs" if entry.pdvs > 1 else ""
    missing = f", {size(entry.missing)} missing in the recording" if entry.missing else ""
    complete = "" if entry.complete else ", not complete"
    return f"data set of {size(entry.size)}{many}, {duration(entry.done - entry.at)}{missing}{complete}"


# -- SVG ---------------------------------------------------------------------------------------------------------


def _heads(trace: AssociationTrace, height: int) -> Iterator[str]:
    titles = trace.titles() or ("", "")
    for x, role, title, place in zip((_LEFT, _RIGHT), ("requestor", "acceptor"), titles, trace.names(), strict=True):
        yield f'<rect class="b" x="{x - 130}" y="4" width="260" height="{_TOP - 12}" rx="6"/>'
        yield _text(x, 24, f"{role} {title}".rstrip(), "m h")
        yield _text(x, 43, place, "m s")
        yield f'<line class="l" x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{height - 24}"/>'


def _drawn(row: Row, y: int, begun: int) -> Iterator[str]:
    worst = next((kind for kind in ("violation", "deviation") if any(m.kind.value == kind for m in row.marks)), "")
    if row.by_requestor is None:
        if row.text:
            yield _text(_MIDDLE, y, row.text, "m h")
    elif not row.arrow:
        x, side = (_LEFT, "requestor") if row.by_requestor else (_RIGHT, "acceptor")
        yield f'<g><title>{side}</title><circle class="d {worst}" cx="{x}" cy="{y}" r="5"/></g>'
    else:
        start, stop, back = (_LEFT, _RIGHT - 3, -9) if row.by_requestor else (_RIGHT, _LEFT + 3, 9)
        many = f" \u00d7 {row.count:,}" if row.count > 1 else ""
        head = f"{'requestor' if row.by_requestor else 'acceptor'}, {span(row.at - begun)} s"
        yield f"<g><title>{escape(head)}</title>"
        yield f'<path class="a {worst}" d="M{start} {y}H{stop}l{back} -4m0 8L{stop} {y}"/>'
        yield _text(_MIDDLE, y - 5, row.text + many, "m")
        if row.small:
            yield _text(_MIDDLE, y + 13, row.small, "m s", most=_LONGEST)
        yield _text(_RIGHT + 14, y + 4, _aside(row), "s")
        yield "</g>"
    yield _text(_LEFT - 14, y + 4, span(row.at - begun), "s e")
    y += 16
    for mark in row.marks:
        for line in _wrapped(mark):
            y += _MARK
            yield _text(_MIDDLE, y - 3, line, f"m s {mark.kind.value}")


def _aside(row: Row) -> str:
    parts = [size(row.bytes)] if row.bytes else []
    if row.wait is not None:
        parts.append(f"after {duration(row.wait)}")
    if row.count > 1:
        parts.append(f"over {duration(row.done - row.at)}")
    return ", ".join(parts)


def _wrapped(mark: Mark) -> list[str]:
    return wrap(shown(str(mark), _MOST_TEXT), _LONGEST) or [""]


def _text(x: int, y: int, text: str, kind: str, most: int = _MOST_TEXT) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(shown(text, most))}</text>'

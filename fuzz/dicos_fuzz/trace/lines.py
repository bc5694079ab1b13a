"""A trace as lines for people: like `-d` of the other subcommands, with times, both sides, and marks.

    #1 2023-11-14T22:13:20.000000Z 127.0.0.1:40000 -> 127.0.0.2:11112
    #1 0.000000 requestor: A-ASSOCIATE-RQ, 296 bytes
    #1 0.000000 requestor:   calling AE title: 'STORESCU'

Knows: entries. Must not know: how they are found, where lines go.

Invariants: nothing of a data set is shown; text of a peer comes from the dissector, which escapes it, or is escaped by
the caller's printer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import assert_never

from dicos_transports.cli.output import plural

from .entries import (
    AssociationTrace,
    Began,
    CommandSaid,
    DataPdu,
    DataSetSaid,
    Entry,
    Over,
    PduSaid,
    Piece,
    Problem,
)
from .marks import Kind, Mark
from .words import command_name, command_words, dissected, dissected_command, duration, moment, pdu_words, span

__all__ = ["Detail", "Lines"]


class Detail(IntEnum):
    """The parts of an association that are shown, from few to all."""

    SUMMARY = 0  # one line when it is over, and the rules that were broken
    MESSAGES = 1  # one line for each PDU and message
    FIELDS = 2  # their fields, as `-d` of the other subcommands
    PDUS = 3  # also each P-DATA-TF


class Lines:
    """A sink that gives lines to `show`."""

    def __init__(self, show: Callable[[str], object], detail: Detail = Detail.FIELDS) -> None:
        self._show = show
        self._detail = detail

    def take(self, trace: AssociationTrace, entry: Entry) -> None:
        """Shows an entry."""
        for line in self._lines(trace, entry):
            self._show(line)

    def close(self) -> None:
        """Does nothing: every line has been shown."""

    def _lines(self, trace: AssociationTrace, entry: Entry) -> Iterator[str]:
        head = f"#{trace.number} "
        if isinstance(entry, Piece):
            return
        if isinstance(entry, Began):
            if self._detail:
                yield f"{head}{moment(entry.at)} {_way(trace)}"
            return
        at = span(entry.at - trace.connection.at)
        if isinstance(entry, Over):
            yield f"{head}{at} {_ending(trace, entry)}" if self._detail else f"{head}{_whole(trace, entry)}"
            yield from _marked(f"{head}{at} ", entry.marks)
            return
        before = f"{head}{at} {'requestor' if entry.by_requestor else 'acceptor'}: "
        if self._detail:
            for line in self._said(entry):
                yield before + line
        yield from _marked(before, entry.marks if self._detail else _serious(entry.marks))

    def _said(self, entry: PduSaid | DataPdu | CommandSaid | DataSetSaid | Problem) -> Iterator[str]:
        match entry:
            case PduSaid():
                lines = dissected(entry.raw) if entry.raw and entry.pdu is not None else iter(())
                title = f"{entry.label}, {entry.length:,} bytes"
                if self._detail >= Detail.FIELDS:
                    yield next(lines, title)
                    yield from lines
                else:
                    words = pdu_words(entry.pdu)
                    yield f"{title}: {words}" if words else title
            case CommandSaid():
                yield from self._command(entry)
            case DataSetSaid():
                yield _data_set(entry)
            case DataPdu():
                if self._detail >= Detail.PDUS:
                    yield _data_pdu(entry)
            case Problem():
                pass
            case _ as unreachable:
                assert_never(unreachable)

    def _command(self, entry: CommandSaid) -> Iterator[str]:
        many = f" in {entry.pdvs} PDVs" if entry.pdvs > 1 else ""
        words = command_words(entry)
        if self._detail < Detail.FIELDS:
            yield f"{command_name(entry)}, context {entry.context}" + (f": {words}" if words else "")
            return
        complete = "" if entry.complete else ", not complete"
        yield f"P-DATA-TF, context {entry.context}: command set, {entry.size:,} bytes{many}{complete}"
        if entry.raw and entry.complete:
            yield from dissected_command(entry)
        if entry.answered is not None:
            answered = entry.answered
            earlier = f", {answered.earlier} responses before it" if answered.earlier else ""
            yield f"    answers {answered.name} {answered.message_id} after {duration(answered.latency)}{earlier}"


def _data_set(entry: DataSetSaid) -> str:
    many = f" in {entry.pdvs:,} PDVs" if entry.pdvs > 1 else ""
    took = entry.done - entry.at
    rate = f", {entry.size / took * 1000:.1f} MB/s" if took > 1_000_000 else ""
    line = f"P-DATA-TF, context {entry.context}: data set, {entry.size:,} bytes{many} in {duration(took)}{rate}"
    line += f", of which {entry.missing:,} are missing in the recording" if entry.missing else ""
    return line + ("" if entry.complete else ", not complete")


def _data_pdu(entry: DataPdu) -> str:
    pdvs = [f"{pdv.context}/0x{pdv.control:02X}/{pdv.length:,}" for pdv in entry.pdvs]
    more = f" and {entry.more:,} more" if entry.more else ""
    return f"P-DATA-TF, {entry.length:,} bytes; PDVs (context/control/bytes): {' '.join(pdvs) or 'none'}{more}"


def _marked(before: str, marks: Iterable[Mark]) -> Iterator[str]:
    for mark in marks:
        yield f"{before}! {mark}"


def _serious(marks: Iterable[Mark]) -> Iterator[Mark]:
    return (mark for mark in marks if mark.kind is Kind.VIOLATION)


def _way(trace: AssociationTrace) -> str:
    connection = trace.connection
    tls = f", {connection.tls}" if connection.tls else ""
    return f"{connection.client} -> {connection.server}{tls}"


def _ending(trace: AssociationTrace, entry: Over) -> str:
    counted = f"{plural(sum(trace.messages), 'message')}, {sum(trace.data_bytes):,} bytes of data sets"
    unanswered = f", {plural(entry.unanswered, 'request')} unanswered" if entry.unanswered else ""
    return f"{entry.outcome}; {counted}{unanswered}{_lost(trace)}{_counts(trace)}"


def _whole(trace: AssociationTrace, entry: Over) -> str:
    """The one line of an association."""
    titles = trace.titles()
    named = "" if titles is None else f" {titles[0]!a} -> {titles[1]!a}"
    return f"{moment(trace.connection.at)} {_way(trace)}{named}: {_ending(trace, entry)}"


def _lost(trace: AssociationTrace) -> str:
    """Returns the bytes that were sent again, and those that the recording lacks."""
    repeated, missing = sum(trace.connection.repeated), sum(trace.connection.missing)
    again = f", {repeated:,} bytes retransmitted" if repeated else ""
    return again + (f", {missing:,} bytes missing in the recording" if missing else "")


def _counts(trace: AssociationTrace) -> str:
    kinds = (Kind.VIOLATION, Kind.DEVIATION)
    found = [plural(trace.marks[kind], kind.value) for kind in kinds if trace.marks[kind]]
    return f"; {', '.join(found)}" if found else ""

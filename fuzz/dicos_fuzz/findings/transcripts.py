"""Transcripts for people: who sent what when, with every PDU dissected and what is wrong on purpose named.

Knows: transcripts, the conversation that made one, the engine's dissector. Must not know: why it is shown (reports,
files, the command).

    0.001 s  sent A-ASSOCIATE-RQ, 205 bytes
               on purpose: A-ASSOCIATE-RQ/presentation context/length: 46 -> 65535
               A-ASSOCIATE-RQ, 199 bytes: malformed: ...

Invariants: contents of data sets are never shown; text of the peer is printable ASCII; the number of lines is bounded,
and time is linear in the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from dicos_proto.dissect import Dissector

from ..conversation import Conversation, Entry, Transcript, What
from ..grammar.reading import PDU_NAMES, pdus_of
from .contents import without_contents
from .placing import Placing

__all__ = ["MOST_LINES", "Told", "annotated", "lines", "lines_of", "told"]

MOST_LINES: Final = 1000
"""Lines of one transcript; the rest is counted."""
_MOST_DETAILS: Final = 100
_MOST_HEX: Final = 48
_HEADERS: Final = 12
"""Bytes of the headers of a P-DATA-TF and its first PDV, after which contents may follow."""
_INDENT: Final = " " * 15

_EVENTS: Final = {
    What.OPENED: "connection opened",
    What.REFUSED: "connection refused",
    What.ENDED: "the peer closed the connection",
    What.RESET: "the peer reset the connection",
    What.HALF: "this side sent FIN",
    What.CLOSED: "this side closed the connection",
    What.QUIET: "waited, and nothing came",
    What.BENEATH: "sent beneath TLS",
    What.HEARD: "received beneath TLS",
    What.CHECKED: "a good echo on another association was answered",
    What.UNANSWERED: "a good echo on another association was not answered",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One thing that happened on a connection, at `at` seconds from the first step.

    `title`: the event, or the names of what was sent or received. `size`: its bytes, 0 for an event, in `pieces` writes
    or reads, until `until`. `faults`: what is wrong on purpose. `details`: the dissected lines. `note`: a remark.
    """

    at: float
    connection: int
    what: What
    title: str
    size: int = 0
    pieces: int = 1
    until: float = 0.0
    faults: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    note: str = ""


def lines(transcript: Transcript, conversation: Conversation | None = None, *, most: int = MOST_LINES) -> list[str]:
    """Returns the lines of a transcript, at most `most`. `conversation`: the one that was played, which names what is
    wrong on purpose."""
    return lines_of(told(transcript, conversation), most=most)


def lines_of(said: Iterable[Told], *, most: int = MOST_LINES) -> list[str]:
    """Returns the lines of what `told` returned."""
    said = list(said)
    several = len({one.connection for one in said} - {-1}) > 1
    found: list[str] = []
    for one in said:
        found += _lines_of(one, several)
    return found if len(found) <= most else [*found[:most], f"... and {len(found) - most} more lines"]


def _lines_of(one: Told, several: bool) -> Iterator[str]:
    number = f"#{one.connection} " if several and one.connection >= 0 else ""
    if one.what in _EVENTS:
        yield f"{one.at:9.3f} s  {number}{one.title}" + (f": {one.note}" if one.note else "")
        yield from (f"{_INDENT}on purpose: {fault}" for fault in one.faults)
        return
    pieces = f" in {one.pieces} pieces until {one.until:.3f} s" if one.pieces > 1 else ""
    note = f" ({one.note})" if one.note else ""
    yield f"{one.at:9.3f} s  {number}{one.what.value} {one.title}, {_bytes(one.size)}{pieces}{note}"
    for fault in one.faults:
        yield f"{_INDENT}on purpose: {fault}"
    for detail in one.details:
        yield f"{_INDENT}{detail}"


def _bytes(size: int) -> str:
    return "1 byte" if size == 1 else f"{size:,} bytes"


# -- events and messages -------------------------------------------------------------------------------------------


def told(transcript: Transcript, conversation: Conversation | None = None) -> list[Told]:
    """Returns what happened, in order. Pieces in one direction with nothing else on their connection in between are one
    thing, unless another message begins."""
    begins = Placing(transcript, conversation)
    directions: dict[tuple[int, What], _Direction] = {}
    sent: dict[int, int] = {}
    last: dict[tuple[int, What], int] = {}
    found: list[Told] = []
    for run in _runs(transcript.entries, begins):
        first = run[0]
        if first.what in _EVENTS:
            title = _EVENTS[first.what]
            note = ", ".join(filter(None, (_beneath(first), first.note)))
            faults = begins.within(first.connection, sent.get(first.connection, 0), len(first.data))
            if first.what is What.BENEATH:
                sent[first.connection] = sent.get(first.connection, 0) + len(first.data)
            found.append(
                Told(
                    at=first.at, connection=first.connection, what=first.what, title=title, note=note,
                    faults=tuple(faults) if first.what is What.BENEATH else (),
                )
            )  # fmt: skip
            continue
        way = first.connection, first.what
        direction = directions.setdefault(way, _Direction())
        size = sum(len(one.data) for one in run)
        faults = []
        if first.what is What.SENT:
            faults = begins.within(first.connection, sent.get(first.connection, 0), size)
            sent[first.connection] = sent.get(first.connection, 0) + size
        details = direction.read(run)
        last[way] = len(found)
        found.append(
            Told(
                at=first.at,
                connection=first.connection,
                what=first.what,
                title=_title(details),
                size=size,
                pieces=len(run),
                until=run[-1].at,
                faults=tuple(faults),
                details=tuple(details),
                note=next((one.note for one in run if one.note), ""),
            )
        )
    for way, direction in directions.items():
        rest = direction.end()
        if rest:
            one = found[last[way]]
            details = [*one.details, *rest]
            found[last[way]] = replace(one, details=tuple(details), title=_title(details))
    return found


def annotated(transcript: Transcript, conversation: Conversation) -> Transcript:
    """Returns a transcript in which the notes of what was sent name what is wrong on purpose."""
    begins = Placing(transcript, conversation)
    sent: dict[int, int] = {}
    entries = []
    for entry in transcript.entries:
        if entry.what in (What.SENT, What.BENEATH):
            at = sent.get(entry.connection, 0)
            sent[entry.connection] = at + len(entry.data)
            faults = begins.within(entry.connection, at, len(entry.data))
            notes = [*([entry.note] if entry.note else []), *(f"on purpose: {fault}" for fault in faults)]
            entry = replace(entry, note="; ".join(notes))
        entries.append(entry)
    return Transcript(entries)


def _runs(entries: Iterable[Entry], begins: Placing) -> list[list[Entry]]:
    """Entries that belong together, in the order of the first of each: pieces of one direction with nothing else on
    that connection in between."""
    found: list[list[Entry]] = []
    running: dict[int, list[Entry]] = {}  # the last run of each connection
    sent: dict[int, int] = {}
    for entry in entries:
        number = entry.connection
        carries = entry.what in (What.SENT, What.RECEIVED)
        fresh = entry.what is What.SENT and begins.at(number, sent.get(number, 0))
        if entry.what in (What.SENT, What.BENEATH):
            sent[number] = sent.get(number, 0) + len(entry.data)
        run = running.get(number)
        if run is not None and carries and not fresh and run[0].what is entry.what:
            run.append(entry)
        else:
            running[number] = [entry]
            found.append(running[number])
    return found


class _Direction:
    """One direction of one connection: the dissector, and where PDUs begin."""

    def __init__(self) -> None:
        self._dissector = Dissector()
        self._left = 0  # bytes of the PDU under way that are still to come
        self._head = b""  # the part of a PDU header that has come so far

    def read(self, run: list[Entry]) -> list[str]:
        data = b"".join(one.data for one in run)
        begins = self._beginning(data)
        found = self._dissector.feed(data)
        lost = any(line.startswith("not a PDU") for line in found)
        if lost:  # what follows may be a PDU again: a message of its own
            self._dissector, self._left, self._head = Dissector(), 0, b""
        odd = lost or any("malformed" in line for line in found)
        if not odd or begins is None:
            return _few(found)
        shown = data[begins:] if run[0].what is What.SENT else without_contents(data[begins:])
        return [*_few(found), _hex(shown)]

    def end(self) -> list[str]:
        """The lines of what did not become complete."""
        return _few(self._dissector.end())

    def _beginning(self, data: bytes) -> int | None:
        """The index of the first PDU that begins in `data`; None if none does."""
        first: int | None = None
        at = 0
        while at < len(data):
            if self._left:
                passed = min(self._left, len(data) - at)
                self._left -= passed
                at += passed
                continue
            if first is None and not self._head:
                first = at
            taken = data[at : at + 6 - len(self._head)]
            self._head += taken
            at += len(taken)
            if len(self._head) == 6:
                self._left = int.from_bytes(self._head[2:], "big")
                self._head = b""
        return first


def _beneath(entry: Entry) -> str:
    """Bytes beneath TLS, of the peer only so many that they have no contents; empty for an event without bytes."""
    data, most = entry.data, _MOST_HEX if entry.what is What.BENEATH else _HEADERS
    return f"{_bytes(len(data))}: {data[:most].hex(' ')}{' ...' if len(data) > most else ''}" if data else ""


def _few(found: list[str]) -> list[str]:
    if len(found) <= _MOST_DETAILS:
        return found
    return [*found[:_MOST_DETAILS], f"... and {len(found) - _MOST_DETAILS} more lines"]


def _hex(data: bytes) -> str:
    """The bytes of something malformed, up to the headers of the first P-DATA-TF."""
    shown = b""
    for pdu in pdus_of(data):
        shown += pdu[:_HEADERS] if pdu[0] == 4 else pdu
        if pdu[0] == 4 or len(shown) >= _MOST_HEX:
            break
    shown = shown[:_MOST_HEX]
    return f"  bytes: {shown.hex(' ')}" + (f" ... ({len(data)} bytes)" if len(data) > len(shown) else "")


_MOST_NAMES: Final = 4
_NAMES: Final = frozenset(PDU_NAMES.values())


def _not_a_pdu(line: str) -> str:
    """`not a PDU: A-ABORT of 3 bytes; ...` is a malformed A-ABORT; a line without such a name is about other bytes."""
    word = line.removeprefix("not a PDU: ").partition(" ")[0]
    return f"malformed {word}" if word in _NAMES else "no PDU"


def _title(details: list[str]) -> str:
    """The names of the PDUs and messages in dissected lines."""
    names: list[str] = []
    for line, after in pairwise([*details, ""]):
        if line.startswith(" "):
            continue
        name = line.partition(",")[0].partition(":")[0]
        if name == "P-DATA-TF":
            name = after.strip().partition(",")[0] if ": command set" in line else "data set"
            name = name if name.startswith(("C-", "N-")) or name == "data set" else "command set"
        elif line.startswith(("not a PDU", "the bytes end")):
            name = _not_a_pdu(line) if line.startswith("not") else "part of a PDU"
        names.append(name)
    if not names:
        return "part of a PDU"
    counted = [(name, names.count(name)) for name in dict.fromkeys(names)]
    shown = [f"{name} ({count} times)" if count > 1 else name for name, count in counted[:_MOST_NAMES]]
    return ", ".join(shown) + (", ..." if len(counted) > _MOST_NAMES else "")

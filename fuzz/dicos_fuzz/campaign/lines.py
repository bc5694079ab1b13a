"""The transcript of one connection as PDUs of both sides, in order, with its end: what oracles look at.

Knows: entries of a transcript, PDU headers, the engine's decoder. Must not know: which PDU may come when (`conduct`),
what is expected (`expecting`).

A PDU of this side counts from its first byte, since a peer may react to a header; one of the peer counts once it is
complete. Reading takes linear time.

Invariants: any transcript can be read, one cut off in the middle of a run too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import EVERYTHING, STRICT, Judge
from dicos_proto.upper_layer.pdu import check_header, decode, decode_body
from dicos_proto.upper_layer.pdu_types import Pdu

from ..conversation import Entry, Transcript, What
from ..grammar.reading import PDU_NAMES

__all__ = ["GENEROUS", "Line", "Said", "Validity", "first_pdu", "lines_of", "name_of", "with_article"]

GENEROUS = Limits(
    associate_pdu=1 << 30, transfer_syntaxes=1 << 20, unknown_items=1 << 20, user_items=1 << 20,
    command_set=1 << 30, command_fragments=1 << 30, empty_pdvs=1 << 30,
)  # fmt: skip
"""Limits for the PDUs of both sides: size alone is not a fault. More than 128 contexts cannot have ids of their own."""


MOST_HEARD: Final = 10_000
"""PDUs of the peer on one connection that are read. Stops: a peer that sends the smallest ones without an end."""
_RECORDS: Final = range(0x14, 0x19)
_RECORD_HEADER: Final = 5
_TLS: Final = 3
"""Types of TLS records, the bytes of their header, and the version in its second byte."""


class Validity(Enum):
    """How right the bytes of a PDU are. INVALID: our decoder refuses them with every tolerance. CUT: not all there."""

    VALID = "valid"
    SLOPPY = "valid with tolerance"
    INVALID = "invalid"
    CUT = "cut"


def name_of(kind: int) -> str:
    """Returns the name of a PDU type."""
    return PDU_NAMES.get(kind, "unknown PDU")


def with_article(name: str) -> str:
    """Returns the name of a PDU or a message with its article: "an A-ABORT", "an N-GET-RQ", "a C-ECHO-RQ"."""
    return f"an {name}" if name[:1] in ("A", "N", "u") else f"a {name}"


def first_pdu(said: bytes) -> str:
    """Returns the PDU that these bytes begin with, in words, and how much of it there is; empty if they begin none."""
    if said[:1] == b"" or said[0] not in PDU_NAMES or said[1:2] not in (b"", b"\0"):
        return ""
    name = with_article(name_of(said[0]))
    if len(said) < 6:
        return f"the beginning of {name}, {len(said)} of the 6 bytes of its header"
    size = int.from_bytes(said[2:6], "big")
    if len(said) < 6 + size:
        return f"{name} that says it has {size:,} bytes, of which {len(said) - 6:,} came"
    return f"{name} that cannot be decoded: {said[:16].hex(' ')}"


class _Reading(NamedTuple):
    """All that our decoder makes of one PDU."""

    validity: Validity
    decoded: Pdu | Malformed
    deviations: tuple[tuple[str, str], ...] = ()


def _read(pdu: bytes) -> _Reading:
    try:
        return _Reading(Validity.VALID, decode(pdu, GENEROUS, STRICT))
    except Malformed:
        pass
    judge = Judge(GENEROUS, EVERYTHING)
    try:
        if pdu[:1] == b"\4" or len(pdu) < 6:
            return _Reading(Validity.SLOPPY, decode(pdu, GENEROUS, EVERYTHING))
        if len(pdu) != 6 + int.from_bytes(pdu[2:6], "big"):
            decode(pdu, GENEROUS, EVERYTHING)  # which says so
        found = decode_body(check_header(pdu[0], len(pdu) - 6, judge), memoryview(pdu)[6:], judge)
    except Malformed as fault:
        return _Reading(Validity.INVALID, fault.with_traceback(None))
    return _Reading(Validity.SLOPPY, found, tuple(judge.untold))


_SMALL: Final = 4096
_read_small = lru_cache(maxsize=512)(_read)
"""The same requests and answers come in most conversations."""


@dataclass(frozen=True)
class Said:
    """One PDU of one side, or bytes that cannot be one. `began`, `done`: numbers of the entries of the transcript with
    its first and its last byte."""

    ours: bool
    data: bytes
    whole: bool
    began: int
    done: int

    @property
    def kind(self) -> int:
        """The PDU type, -1 without a byte."""
        return self.data[0] if self.data else -1

    @property
    def name(self) -> str:
        """The name of the PDU type."""
        return name_of(self.kind)

    @cached_property
    def _reading(self) -> _Reading:
        return _read_small(self.data) if len(self.data) <= _SMALL else _read(self.data)

    @property
    def validity(self) -> Validity:
        """The result of our decoder for its bytes."""
        return self._reading.validity if self.whole else Validity.CUT

    @property
    def decoded(self) -> Pdu | Malformed:
        """The PDU, decoded with every tolerance; the fault if even that is impossible."""
        return self._reading.decoded

    @property
    def deviations(self) -> tuple[tuple[str, str], ...]:
        """(flag, detail) of each deviation in it that a tolerance accepts."""
        return self._reading.deviations

    @cached_property
    def pdvs(self) -> list[tuple[int, int, bytes]]:
        """(context, control header, data) of each complete PDV of a P-DATA-TF, which may be damaged."""
        return [*_pdvs(self.data)]


def _pdvs(pdu: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 6
    while at + 6 <= len(pdu):
        end = at + 4 + int.from_bytes(pdu[at : at + 4], "big")
        if end < at + 6 or end > len(pdu):
            return
        yield pdu[at + 4], pdu[at + 5], pdu[at + 6 : end]
        at = end


@dataclass(slots=True)
class Line:
    """One connection of a run. Numbers are those of entries of the transcript.

    `said`: the PDUs of both sides in order. `ended`: how the peer ended the connection, ENDED or RESET, None if it did
    not; `ended_at`: where. `half_at`: where this side sent FIN, `closed_at`: where it closed. `quiet`: the waits in
    vain. `last_sent`: where this side last sent something, -1: nothing. `heard`: the bytes of the peer beneath TLS.
    `cut`: bytes of the peer are missing, since the transcript keeps a bounded number. `times`: the time of each entry.
    """

    number: int
    said: list[Said] = field(default_factory=list)
    opened: bool = False
    ended: What | None = None
    ended_at: int = -1
    half_at: int = -1
    closed_at: int = -1
    quiet: list[int] = field(default_factory=list)
    last_sent: int = -1
    heard: bytearray = field(default_factory=bytearray)
    cut: bool = False
    times: dict[int, float] = field(default_factory=dict)

    def theirs(self, *kinds: int, after: int = -1) -> list[Said]:
        """Returns the peer's PDUs of these types, all without any, that ended behind the entry `after`."""
        return [one for one in self.said if not one.ours and one.done > after and (not kinds or one.kind in kinds)]

    @property
    def unsecured(self) -> int | None:
        """The type of the first PDU of the peer that came without TLS, behind records or not; None if there is none."""
        at = 0
        while at + _RECORD_HEADER <= len(self.heard):
            kind, major = self.heard[at : at + 2]
            if kind in _RECORDS and major == _TLS:
                at += _RECORD_HEADER + int.from_bytes(self.heard[at + 3 : at + 5], "big")
                continue
            return kind if kind in PDU_NAMES and not major else None
        return None

    def ours(self, *kinds: int) -> list[Said]:
        """Returns the PDUs of this side of these types, all without any."""
        return [one for one in self.said if one.ours and (not kinds or one.kind in kinds)]

    @property
    def hurried(self) -> bool:
        """True if this side went on after a wait in vain: the peer may just be slower, which changes the order."""
        over = min((one.done for one in self.theirs(3, 7)), default=self.last_sent)
        return any(at < min(over, self.last_sent) for at in self.quiet)

    @property
    def fell_silent(self) -> bool:
        """True if this side waited in vain behind everything else on the connection, which stayed open. After an
        A-ASSOCIATE-RJ or A-ABORT of the peer, there is nothing more to wait for."""
        if self.ended is not None or not self.quiet or self.theirs(3, 7):
            return False
        return self.quiet[-1] > max(self.last_sent, max((one.done for one in self.said), default=-1))


_Sides = tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]
"""The pieces that this side sent and those of the peer: number of the entry, bytes."""


def lines_of(transcript: Transcript) -> dict[int, Line]:
    """Returns the connections of a transcript by number. A number that is opened again begins a new line, with the next
    free number below -1."""
    found: dict[int, Line] = {}
    raw: dict[int, _Sides] = {}
    spare = -2
    for number, entry in enumerate(transcript.entries):
        at = entry.connection
        if at < 0:
            continue
        if entry.what is What.OPENED and at in found and found[at].opened:
            found[spare], raw[spare] = found.pop(at), raw.pop(at)
            spare -= 1
        line = found.setdefault(at, Line(at))
        sides = raw.setdefault(at, ([], []))
        line.times[number] = entry.at
        _note(line, sides, number, entry)
    for at, (ours, theirs) in raw.items():
        line = found[at]
        line.said = sorted(
            [*_split(ours, ours_said=True), *_split(theirs, ours_said=False)],
            key=lambda one: (one.began if one.ours else one.done, not one.ours),
        )
        line.cut = line.cut or len(line.theirs()) >= MOST_HEARD
    return found


def _note(line: Line, sides: _Sides, number: int, entry: Entry) -> None:
    match entry.what:
        case What.OPENED:
            line.opened = True
        case What.SENT if entry.data:
            sides[0].append((number, entry.data))
            line.last_sent = number
        case What.BENEATH if entry.data:
            line.last_sent = number
        case What.HEARD:
            line.heard += entry.data
        case What.RECEIVED:
            sides[1].append((number, entry.data))
        case What.ENDED | What.RESET if line.ended is None:
            line.ended, line.ended_at = entry.what, number
            line.cut = line.cut or "not shown" in entry.note
        case What.HALF:
            line.half_at = number
        case What.CLOSED:
            line.closed_at = number
            line.cut = line.cut or "not shown" in entry.note
        case What.QUIET:
            line.quiet.append(number)
        case _:
            pass


def _split(pieces: list[tuple[int, bytes]], *, ours_said: bool) -> Iterator[Said]:
    """The PDUs of one direction. Behind a PDU of unknown type from the peer, nothing is known to be a PDU; all bytes
    behind `MOST_HEARD` of them are left out."""
    stream = b"".join(data for _, data in pieces)
    ends: list[int] = []
    total = 0
    for _, data in pieces:
        total += len(data)
        ends.append(total)
    at = count = 0
    while at < len(stream):
        size = 6 + int.from_bytes(stream[at + 2 : at + 6], "big")
        if not ours_said:
            if count == MOST_HEARD:
                return
            count += 1
            if stream[at] not in PDU_NAMES:
                size = len(stream) - at
        whole = at + 6 <= len(stream) and at + size <= len(stream)
        end = at + size if whole else len(stream)
        began, done = pieces[bisect_right(ends, at)][0], pieces[bisect_right(ends, end - 1)][0]
        yield Said(ours_said, stream[at:end], whole, began, done)
        at = end

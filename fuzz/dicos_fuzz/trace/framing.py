"""The PDUs of one direction, as a bystander reads them: bytes and gaps in, parts of PDUs and marks out.

The reader of the engine ends at the first fault, because a peer must. This one goes on: it skips a PDU that is not
valid, by its length, and looks for the next PDU where the bytes of a recording are missing, or make no sense.

Theory of operation. A header is judged by the engine's `check_header`; a fault becomes a mark, and its PDU is skipped.
A gap in the recording that lies within a PDV or a body costs only that; a gap over a header means that the next PDU
must be searched: at the start of each segment, and where a P-DATA-TF of one PDV begins whose two lengths agree.

Knows: headers of PDUs and PDVs. Must not know: states, messages.

Invariants: of a P-DATA-TF nothing is held but the six bytes of a header; of another PDU at most `Limits.associate_pdu`
bytes; no bytes raise an error; the search passes each byte once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from dicos_proto.errors import Malformed
from dicos_proto.tolerance import CLAUSES
from dicos_proto.upper_layer.framing import foreign_protocol
from dicos_proto.upper_layer.pdu import HEADER, PDV_HEADER, check_header, check_pdv_length
from dicos_proto.upper_layer.pdu_types import PduType

from ..captures.recognising import begins_with_pdu
from .marks import LIMITS, Kind, Mark, deviations, fresh_judge, note, violation

__all__ = ["Body", "End", "Framing", "PdvData", "PdvHole", "PdvStart", "Remark", "Start", "Token"]

_ABORT, _P_DATA = PduType.ABORT, PduType.P_DATA_TF
_HEAD: Final = 12
_SMALL: Final = 10
_GIVE_UP: Final = 16 << 20
"""Bytes that are searched for the next PDU before a direction is given up."""


@dataclass(slots=True)
class Start:
    """A header. `kind` None: a type that is not known. `marks`: what is wrong with it; then its body is skipped."""

    number: int
    kind: PduType | None
    length: int
    marks: tuple[Mark, ...]


@dataclass(slots=True)
class Body:
    """The body of the PDU that has started, unless that is a P-DATA-TF."""

    data: bytes


@dataclass(slots=True)
class PdvStart:
    """The header of a PDV. `length`: bytes of data in it."""

    context: int
    control: int
    length: int


@dataclass(slots=True)
class PdvData:
    """Data of the PDV that has started. `complete`: it is the last data of that PDV."""

    data: memoryview
    complete: bool


@dataclass(slots=True)
class PdvHole:
    """Data of that PDV which the recording does not have."""

    size: int
    complete: bool


@dataclass(slots=True)
class End:
    """The end of the PDU that has started. `cut`: it did not come to its end."""

    cut: bool = False


@dataclass(slots=True)
class Remark:
    """A mark that belongs to no PDU."""

    mark: Mark


Token = Start | Body | PdvStart | PdvData | PdvHole | End | Remark
_CANDIDATE: Final = re.compile(
    rb"\x04\x00(?=\x00.{3}\x00.{3}[" + b"".join(rb"\x%02x" % odd for odd in range(1, 256, 2)) + rb"][\x00-\x03])", re.S
)
"""Where a P-DATA-TF of less than 16 MiB may begin: the search for one must be fast for any bytes."""
_KINDS: Final = {kind.value: kind for kind in PduType}
_TLS: Final = b"\x16\x03"
_EMPTY: Final = memoryview(b"")


class Framing:
    """One direction. `max_length`: what its receiver asked for, 0 unlimited. `contexts`: those that are accepted.

    `begun`: False if the recording begins in the middle of this direction.
    """

    def __init__(self, *, begun: bool) -> None:
        self.max_length = 0
        self.contexts: Collection[int] = ()
        self.lost = False
        """True if the direction was given up: nothing more comes out."""
        self._kept = bytearray()  # a header, or the body of a PDU that is not P-DATA
        self._kind: PduType | None = None
        self._inside = False  # a PDU has started
        self._skipping = False
        self._left = 0  # bytes of the PDU not yet read
        self._pdv_left = -1  # of the PDV; -1: between two of them
        self._searching = not begun
        self._searched = 0
        self._tail = b""  # the end of what was searched
        self._why = "the recording begins in the middle" if not begun else ""

    @property
    def held(self) -> int:
        """Bytes that are held."""
        return len(self._kept)

    @property
    def between(self) -> bool:
        """True between two PDUs, and where it is not known."""
        return not self._inside and not self._kept

    def feed(self, data: memoryview) -> Iterator[Token]:
        """Yields what these bytes complete. Views are valid until the next one is asked for."""
        while data and not self.lost:
            if self._searching:
                found = self._search(data)
                data = _EMPTY if found is None else found
                if found is not None:
                    self._searching = False
                    yield Remark(note(f"{self._why}: {self._searched:,} bytes until the next PDU are not decoded"))
                elif self._searched > _GIVE_UP:
                    self.lost = True
                    yield Remark(note(f"{self._why}: no PDU in {self._searched:,} bytes; the rest is not decoded"))
            elif not self._inside:
                data = self._gather(data, HEADER.size)
                if len(self._kept) == HEADER.size:
                    yield from self._header()
            elif self._skipping:
                size = min(self._left, len(data))
                data = data[size:]
                self._left -= size
                if not self._left:
                    yield self._end()
            elif self._kind is _P_DATA:
                if self._pdv_left < 0:
                    data = self._gather(data, min(self._left + len(self._kept), PDV_HEADER.size), counted=True)
                    yield from self._pdv_header()
                else:
                    size = min(self._pdv_left, len(data))
                    piece, data = data[:size], data[size:]
                    yield from self._pdv_data(piece)
            else:
                data = self._gather(data, self._left + len(self._kept), counted=True)
                yield from self._body()

    def gap(self, size: int) -> Iterator[Token]:
        """Yields what a gap of `size` bytes in the recording leaves."""
        if self.lost or self._searching:
            self._tail = b""
            return
        if self._inside and size <= self._left:
            if self._skipping:
                self._left -= size
                if not self._left:
                    yield self._end()
                return
            if self._kind is _P_DATA and 0 <= size <= self._pdv_left:
                self._pdv_left -= size
                self._left -= size
                complete = not self._pdv_left
                yield PdvHole(size, complete)
                if complete:
                    yield from self._after_pdv()
                return
            if self._kind is not _P_DATA:
                yield Remark(note(f"{size:,} bytes of this PDU are missing in the recording"))
                self._kept = bytearray()
                self._skipping = True
                self._left -= size
                if not self._left:
                    yield self._end()
                return
        yield Remark(note(f"{size:,} bytes are missing in the recording"))
        yield from self._lose("after the gap")

    def end(self) -> Iterator[Token]:
        """Ends the direction. Another call, at the end of the connection, yields nothing."""
        if self._searching and not self.lost and self._searched:
            yield Remark(note(f"{self._why}: {self._searched:,} bytes without a PDU are not decoded"))
        elif self._inside:
            yield Remark(note(f"the bytes end {self._left:,} bytes before the end of the PDU"))
            yield End(cut=True)
        elif self._kept:
            yield Remark(note(f"the bytes end {len(self._kept)} bytes into a PDU header"))
        self.lost = True
        self._inside = False
        self._kept = bytearray()

    # -- headers -------------------------------------------------------------------------------------------------

    def _gather(self, data: memoryview, wanted: int, *, counted: bool = False) -> memoryview:
        """Adds to what is kept until that has `wanted` bytes. `counted`: they are bytes of the body."""
        size = min(wanted - len(self._kept), len(data))
        self._kept += data[:size]
        if counted:
            self._left -= size
        return data[size:]

    def _header(self) -> Iterator[Token]:
        raw = bytes(self._kept)
        self._kept = bytearray()
        number, length = HEADER.unpack(raw)
        judge = fresh_judge()
        skip = False
        try:
            kind: PduType | None = check_header(number, length, judge, self.max_length)
            marks = deviations(judge)
        except Malformed as fault:
            marks = (violation(fault),)
            kind = _KINDS.get(number)
            skip = kind is not _P_DATA or not fault.limit  # one too long for its receiver is read all the same
        if kind is None and (length > LIMITS.associate_pdu or raw[1]):
            other = foreign_protocol(raw)
            what = f"{other}, not DICOM" if other else "not a PDU"
            seen = violation(f"{what}: {raw.hex(' ')} ({marks[0].text})", "PS3.8 9.3.1")
            yield Remark(
                note("TLS, which is not decrypted: no secrets of this connection") if raw[:2] == _TLS else seen
            )
            yield from self._lose("after bytes that are not a PDU")
            return
        self._inside, self._kind, self._left, self._skipping, self._pdv_left = True, kind, length, skip, -1
        yield Start(number, kind, length, marks)
        if not length:
            yield self._end()

    def _end(self) -> End:
        self._inside = self._skipping = False
        self._kind = None
        self._kept = bytearray()
        self._pdv_left = -1
        return End()

    def _body(self) -> Iterator[Token]:
        if self._kind is _ABORT and len(self._kept) >= 2 and self._kept[0]:
            # source and reason alone: a reserved byte would be 0; nobody waits for the rest
            body = b"\0\0" + bytes(self._kept[:2])
            rest = bytes(self._kept[2:])
            text = "A-ABORT of 2 bytes under a length field of 4"
            yield Remark(Mark(Kind.DEVIATION, text, CLAUSES["short_abort"], "short_abort"))
            yield Body(body)
            yield self._end()
            if rest:
                yield from self.feed(memoryview(rest))
        elif not self._left:
            yield Body(bytes(self._kept))
            yield self._end()

    # -- PDVs ----------------------------------------------------------------------------------------------------

    def _pdv_header(self) -> Iterator[Token]:
        raw = bytes(self._kept)
        if len(raw) < PDV_HEADER.size:
            if not self._left:
                text = f"{len(raw)} bytes at the end of a P-DATA-TF; a PDV header is {PDV_HEADER.size}"
                yield Remark(violation(text, "PS3.8 9.3.5.1"))
                yield self._end()
            return
        self._kept = bytearray()
        length, context, control = PDV_HEADER.unpack(raw)
        try:
            check_pdv_length(length, self._left + 2)
        except Malformed as fault:
            yield Remark(violation(fault))
            self._skipping = True
            if not self._left:
                yield self._end()
            return
        self._pdv_left = length - 2
        yield PdvStart(context, control, length - 2)
        if not self._pdv_left:
            yield from self._pdv_data(_EMPTY)

    def _pdv_data(self, piece: memoryview) -> Iterator[Token]:
        self._pdv_left -= len(piece)
        self._left -= len(piece)
        complete = not self._pdv_left
        yield PdvData(piece, complete)
        if complete:
            yield from self._after_pdv()

    def _after_pdv(self) -> Iterator[Token]:
        self._pdv_left = -1
        if not self._left:
            yield self._end()

    # -- where it is not known where a PDU begins ----------------------------------------------------------------

    def _lose(self, why: str) -> Iterator[Token]:
        if self._inside:
            self._inside = False
            yield End(cut=True)
        self._end()
        self._searching, self._searched, self._tail, self._why = True, 0, b"", why

    def _search(self, data: memoryview) -> memoryview | None:
        """Looks for a PDU. Returns the bytes from there on; None if there is none."""
        if self._is_pdu(bytes(data[:_HEAD]), exactly=len(data) == _SMALL):
            return data
        whole = self._tail + bytes(data)
        for candidate in _CANDIDATE.finditer(whole):
            at = candidate.start()
            if self._is_pdu(whole[at : at + _HEAD], exactly=False):
                self._searched += at - len(self._tail)
                return memoryview(whole)[at:]
        self._tail = whole[1 - _HEAD :]
        self._searched += len(data)
        return None

    def _is_pdu(self, head: bytes, *, exactly: bool) -> bool:
        """Returns True if these bytes surely begin a PDU: a P-DATA-TF of one PDV, or a whole small PDU that is alone,
        or an A-ASSOCIATE."""
        if begins_with_pdu(head) is not True:
            return False
        if head[0] != _P_DATA:
            return exactly or head[0] < 3
        length, inner = int.from_bytes(head[2:6], "big"), int.from_bytes(head[6:10], "big")
        known = not self.contexts or head[10] in self.contexts
        return inner == length - 4 and known and (not self.max_length or length <= 2 * self.max_length)

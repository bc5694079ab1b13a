"""Incremental reader of a stream of PDUs: header, body, and P-DATA-TF piece by piece as its bytes arrive.

Knows: lengths and where they must be checked. Must not know: states, roles, what a PDU is good for.
An A-ABORT of two bytes can be recognised only here, where the next bytes are awaited.

Invariants: a header is judged before a byte of its body is kept; of a P-DATA-TF nothing is ever held but the six bytes
of a header; bytes of a data set are handed on as views of the chunk they arrived in; bytes that are kept are kept in
one buffer, not as the pieces they came in (a stranger may send one byte a segment).
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import final

from ..errors import AbortReason, Malformed
from ..limits import DEFAULT_MAX_LENGTH
from ..tolerance import Judge
from ..wire import Buffer
from .events import Fragment
from .pdu import COMMAND_BIT, HEADER, LAST_BIT, PDV_HEADER, check_header, check_pdv_length, exceeds
from .pdu_types import PduType

_ALERT = "a TLS alert"
_WANTS_TLS = "; the peer wants TLS: tls=..., or --tls of the command"
_FOREIGN = (
    (b"\x16\x03", "a TLS handshake"),
    (b"\x15\x03", _ALERT),
    (b"SSH-", "SSH"),
    (b"GET ", "HTTP"),
    (b"POST", "HTTP"),
    (b"HEAD", "HTTP"),
    (b"PUT ", "HTTP"),
    (b"OPTI", "HTTP"),
    (b"PRI ", "HTTP"),
    (b"HTTP", "an HTTP answer"),
)
"""The first bytes of other protocols, up to six."""


@dataclass(frozen=True, slots=True)
class PduHeader:
    """A header that was read and may have this length; its body is next."""

    kind: PduType
    length: int


@final
@dataclass(frozen=True, slots=True)
class PduBody:
    """The whole body of a PDU that is not a P-DATA-TF."""

    kind: PduType
    body: bytes


_EMPTY = memoryview(b"")
_P_DATA_TF, _ABORT = PduType.P_DATA_TF, PduType.ABORT
_DATA_HEADS = struct.Struct(">BxLLBB")
"""The headers of a P-DATA-TF and of its first PDV: type, PDU length, PDV length, context, control header."""


class PduReader:
    """Bytes in; headers, bodies and fragments out.

    `stream_data`: True while a P-DATA-TF may come. Then only its fragments come out; otherwise its header does, as a
    `PduHeader`, like every other PDU's. `max_length`: what this side advertised, 0 unlimited.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_context",
        "_control",
        "_end",
        "_head",
        "_kind",
        "_left",
        "_lost",
        "_pdv_left",
        "_pdv_start",
        "_pos",
        "_skip",
        "_waiting",
        "completed",
        "fed",
        "judge",
        "max_length",
        "stream_data",
    )  # fmt: skip

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.max_length = 0
        self.stream_data = False
        self.completed = 0  # PDUs read to their end
        self.fed = 0  # bytes fed
        self._chunks: deque[memoryview] = deque()
        self._waiting = 0  # bytes in _chunks
        self._head = _EMPTY
        self._pos = 0
        self._end = 0
        self._body = bytearray()  # what is kept: a partial header, or a body
        self._kind: PduType | None = None  # None: before or in a header
        self._left = 0  # bytes of the PDU's body not yet taken
        self._pdv_left = 0  # bytes of the PDV not yet taken
        self._pdv_start = False
        self._context = 0
        self._control = 0
        self._skip = False
        self._lost = False

    # -- input ---------------------------------------------------------------------------------------------------

    def feed(self, data: Buffer) -> None:
        """Keep `data` by reference."""
        if len(data) and not self._lost:
            view = memoryview(data)
            self.fed += len(view)
            if self._pos == self._end and not self._chunks:
                self._head, self._pos, self._end = view, 0, len(view)
            else:
                self._chunks.append(view)
                self._waiting += len(view)

    @property
    def unread(self) -> int:
        """Bytes fed and not yet read."""
        return self._end - self._pos + self._waiting

    @property
    def pieces(self) -> int:
        """In how many chunks they lie."""
        return len(self._chunks) + 1

    @property
    def mid_pdu(self) -> bool:
        """True if the bytes that were read end within a PDU."""
        return self._kind is not None or bool(self._body)

    @property
    def in_abort(self) -> bool:
        """True if the header of an A-ABORT was read, and the rest of it is awaited."""
        return self._kind is _ABORT

    @property
    def progress(self) -> tuple[int, int]:
        """It changes with each PDU, and with each 128 KiB of a long one: the deadline of a PDU starts again then."""
        return self.completed, self._left // DEFAULT_MAX_LENGTH

    def describe(self) -> str:
        """Describes the place where the received bytes end, for an error text."""
        if self._kind is not None:
            article = "a" if self._kind is PduType.P_DATA_TF else "an"
            return f"in {article} {self._kind.label}, {self._left - len(self._body)} bytes before its end"
        return f"{len(self._body)} bytes into a PDU header" if self._body else "between PDUs"

    def skip_pdu(self) -> None:
        """Skip the rest of the PDU whose header came last. Between PDUs this does nothing."""
        if self._kind is not None:
            self._skip = True
            self._left -= len(self._body)
            self._body = bytearray()
            self._pdv_left = 0

    def lose(self) -> None:
        """Discard everything fed, now and later: it is no longer known where PDUs begin and end."""
        self._lost = True
        self._chunks.clear()
        self._waiting = 0
        self._head = _EMPTY
        self._pos = self._end = 0
        self._body = bytearray()
        self._kind = None

    def _take(self, most: int) -> memoryview | None:
        """Takes up to `most` (> 0) bytes of the first chunk, as a view; None if there are none."""
        pos, end = self._pos, self._end
        if pos == end:
            if not self._chunks:
                self._head, self._pos, self._end = _EMPTY, 0, 0  # the caller may want its buffer back
                return None
            self._head = self._chunks.popleft()
            pos, end = 0, len(self._head)
            self._end = end
            self._waiting -= end
        stop = pos + most
        if stop > end:
            stop = end
        self._pos = stop
        return self._head[pos:stop]

    def _gather(self, count: int) -> Buffer | None:
        """Exactly `count` bytes: a view where one chunk holds them, else copied together; None until they are here."""
        if not self._body:
            first = self._take(count)
            if first is None or len(first) == count:
                return first
            self._body += first
        while (missing := count - len(self._body)) > 0:
            more = self._take(missing)
            if more is None:
                return None
            self._body += more
        whole, self._body = self._body, bytearray()
        return whole

    # -- output --------------------------------------------------------------------------------------------------

    def next(self) -> PduHeader | PduBody | Fragment | None:
        """The next thing read, or None: feed me. Raises `Malformed`; after that only `lose` makes sense."""
        while True:
            kind = self._kind
            if kind is None:
                token = self._read_header()
            elif self._skip:
                token = self._skip_rest()
            elif kind is _P_DATA_TF:
                return self._read_fragment()
            else:
                return self._read_body(kind)
            if token is not True:
                return token or None

    def read_heads(self) -> Fragment | None:
        """Reads a P-DATA-TF of one PDV, the most frequent PDU, in one step: both headers, and the data received so far.

        Returns None, and reads nothing, if the next bytes are anything else: another PDU, one with several PDVs, an
        empty PDV, one that is too long, or headers that are not in one piece. Then `next` reads and checks them: only
        PDUs without a fault are read here."""
        pos = self._pos
        if self._end - pos < 13 or self._kind is not None or not self.stream_data or self._body:
            return None
        head = self._head
        number, length, pdv_length, context, control = _DATA_HEADS.unpack_from(head, pos)
        if number != 4 or pdv_length != length - 4 or length <= 6 or exceeds(length, self.max_length):
            return None
        stop = pos + 6 + length
        if stop <= self._end:
            self._pos = stop
            self.completed += 1
            return Fragment(context, control & COMMAND_BIT != 0, True, control & LAST_BIT != 0, head[pos + 12 : stop])
        self._pos = pos + 12
        self._kind = _P_DATA_TF
        self._left = self._pdv_left = length - 6
        self._pdv_start = True
        self._context, self._control = context, control
        return self._read_fragment()

    def _read_header(self) -> PduHeader | bool:
        """True: read on. False: feed me."""
        raw: Buffer | None
        pos = self._pos
        if self._end - pos >= 6 and not self._body:  # all in one chunk: the most common case by far
            raw = self._head[pos : pos + 6]
            self._pos = pos + 6
        else:
            raw = self._gather(6)
            if raw is None:
                return False
        number, length = HEADER.unpack(raw)
        try:
            kind = check_header(number, length, self.judge, self.max_length)
        except Malformed as fault:
            raise _named(fault, bytes(raw)) from None
        self._kind = kind
        self._left = length
        if kind is _P_DATA_TF and self.stream_data:
            return True
        return PduHeader(kind, length)

    def _skip_rest(self) -> bool:
        while self._left:
            view = self._take(self._left)
            if view is None:
                return False
            self._left -= len(view)
        self._skip = False
        self._end_pdu()
        return True

    def _read_body(self, kind: PduType) -> PduBody | None:
        if kind is _ABORT and self.judge.may("short_abort"):
            short = self._read_short_abort()
            if short is not None:
                return short
        raw = self._gather(self._left)
        if raw is None:
            return None
        self._end_pdu()
        return PduBody(kind, bytes(raw))

    def _read_short_abort(self) -> PduBody | None:
        """An A-ABORT of source and reason alone: its first byte is not 0, as a reserved byte would be."""
        first = self._gather(min(2, self._left))
        if first is None:
            return None
        if first[0] and self.judge.tolerates("short_abort", "A-ABORT of 2 bytes under a length field of 4"):
            self._end_pdu()
            return PduBody(_ABORT, bytes((0, 0, *first)))
        self._body = bytearray(first)
        return None

    def _read_fragment(self) -> Fragment | None:
        if not self._pdv_left:
            raw: Buffer | None
            pos = self._pos
            if self._end - pos >= 6 and self._left >= 6 and not self._body:
                raw = self._head[pos : pos + 6]
                self._pos = pos + 6
            else:
                raw = self._gather(min(PDV_HEADER.size, self._left))
                if raw is None:
                    return None
            if len(raw) < 6:
                raise Malformed(f"{len(raw)} bytes at the end of a P-DATA-TF; a PDV header is 6", "PS3.8 9.3.5.1")
            length, self._context, self._control = PDV_HEADER.unpack(raw)
            check_pdv_length(length, self._left - 4)
            self._left -= 6
            self._pdv_left = length - 2
            self._pdv_start = True
        start = self._pdv_start
        wanted = self._pdv_left
        if wanted:
            view = self._take(wanted)
            if view is None:
                return None
            self._pdv_left = wanted = wanted - len(view)
            self._left -= len(view)
        else:
            view = _EMPTY
        self._pdv_start = False
        if not self._left:
            self._end_pdu()
        control = self._control
        return Fragment(self._context, control & COMMAND_BIT != 0, start, control & LAST_BIT != 0 and not wanted, view)

    def _end_pdu(self) -> None:
        self._kind = None
        self.completed += 1


def foreign_protocol(head: bytes) -> str | None:
    """Return the name of the other protocol that begins with these bytes; None if it is not a known one."""
    return next((name for prefix, name in _FOREIGN if head.startswith(prefix)), None)


def _named(fault: Malformed, raw: bytes) -> Malformed:
    """Return the fault of a header, naming the other protocol whose first bytes these are."""
    name = foreign_protocol(raw)
    if name is None:
        return fault
    hint = _WANTS_TLS if name == _ALERT else ""
    return Malformed(f"{name}, not DICOM: {raw!r}{hint}", fault.clause, AbortReason.UNRECOGNIZED_PDU)

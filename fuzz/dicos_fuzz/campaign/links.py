"""Connections of a conversation: non-blocking sockets, TLS on request, received PDUs one by one, lines of a transcript.

Knows: sockets, the framing of PDUs. Must not know: steps, what a PDU means, what a peer should do.

Invariants: nothing blocks, and no error of a socket that the peer causes leaves this module: it becomes a line of the
transcript. The memory for one connection is bounded (`KEPT`), that for sent bytes (`SENT_KEPT`), and so is the number
of its lines (`LINES`). The time to split received bytes into PDUs is linear in them.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from dicos_proto.errors import ConnectionLost
from dicos_proto.wire import Buffer

from ..conversation import Entry, Transcript, What
from .pdus import KEPT, Pdus

if TYPE_CHECKING:
    from dicos_transports.tls.layer import TLSLayer

__all__ = ["KEPT", "LINES", "LOCAL", "Link", "LocalTrouble", "Pdus", "Plain", "SentKept", "tuned"]

LINES: Final = 2_000
"""Lines of a transcript that one connection may have. Stops: a peer that sends one byte a segment."""
SENT_KEPT: Final = 32 << 20
"""Bytes sent in one conversation that are kept in its transcript: twice the largest object of any family. Stops: a file
whose edits make gigabytes."""
CHUNK: Final = 64 << 10
TURNS: Final = 16
"""Reads in one go, so that a fast peer does not keep the other connections waiting."""
_RESETS: Final = frozenset((errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTUNREACH))
LOCAL: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
"""Errors of a socket whose cause is this program or its host."""
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_ABORT: Final = bytes.fromhex("070000000004")
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class LocalTrouble(Exception):
    """This program has no descriptors, ports or memory left: nothing that the peer did."""


def tuned(sock: socket.socket) -> socket.socket:
    """Makes a socket non-blocking, with TCP_NODELAY; returns it."""
    sock.setblocking(False)
    with suppress(OSError):  # a Unix socket
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class SentKept:
    """The number of bytes that the transcript of a conversation may still take of the sent ones."""

    def __init__(self) -> None:
        self.left = SENT_KEPT


class Plain:
    """The `Wire` inside TLS: bytes as they are."""

    wants_close = False

    def __init__(self) -> None:
        self.incoming: list[bytes] = []
        self.outgoing: list[bytes | memoryview] = []
        self.ended = False
        self.why = ""
        self.wants_read = True

    def receive_data(self, data: Buffer) -> None:
        """Takes plaintext."""
        self.incoming.append(bytes(data))

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """Takes note of the end."""
        self.ended = True
        self.why = str(why or "")

    def data_to_send(self) -> list[bytes | memoryview]:
        """Returns plaintext to be encrypted."""
        found, self.outgoing = self.outgoing, []
        return found

    def deadline(self, now: float) -> None:
        """Has none of its own."""

    def handle_timeout(self, now: float) -> None:
        """Does nothing."""


class Link:
    """One open connection. `number`: its number in the conversation; `start`: when the conversation began. `sent_kept`:
    the sent bytes that all connections of the conversation keep."""

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        transcript: Transcript,
        start: float,
        *,
        connecting: bool = False,
        sent_kept: SentKept | None = None,
    ) -> None:
        self.number = number
        self.sock = sock
        self.connecting = connecting
        self.reading = True
        self.pdus = Pdus()
        self.end: What | None = None
        """Its end: ENDED or RESET by the peer, CLOSED by this side, or REFUSED; None while it is open."""
        self.half = False
        """True once this side has ended its direction, by FIN or by a close_notify."""
        self.sent_at_pdu = -1
        """PDUs received when this side sent last; -1: nothing was sent since the last wait."""
        self.aborted = False
        """True if an A-ABORT was sent last."""
        self.tls: TLSLayer | None = None
        self.bare = False
        """True if TLS was left out, so that all bytes are beneath it."""
        self._plain = Plain()
        self._transcript = transcript
        self._start = start
        self._outgoing = bytearray()
        self._kept = 0
        self._dropped = 0
        self._lines = 0
        self._sent = bytearray()  # since the last line, as far as it is kept
        self._pieces = 0
        self._unkept = 0
        self._sent_from = 0.0
        self._sent_kept = SentKept() if sent_kept is None else sent_kept
        self._broken = False
        self._shut = False  # FIN was sent
        self._beneath = False  # the bytes since the last line are beneath TLS

    # -- state ---------------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """True if the peer has not ended it, nor this side."""
        return self.end is None and not self.connecting

    @property
    def ready(self) -> bool:
        """True if plaintext can be sent: connected, and the TLS handshake done."""
        return self.open and (self.tls is None or self.tls.info is not None)

    @property
    def pending(self) -> int:
        """Bytes that wait to be written."""
        return len(self._outgoing)

    def mask(self) -> int:
        """Returns the events to poll for; 0 for none."""
        if self.end is not None:
            return 0
        if self.connecting:
            return select.POLLOUT
        return (select.POLLIN if self.reading else 0) | (select.POLLOUT if self._outgoing else 0)

    # -- sending -------------------------------------------------------------------------------------------------

    def queue(self, data: bytes, *, beneath: bool = False) -> None:
        """Queues bytes, and writes what can be written at once. Bytes for an ended connection are discarded. `beneath`:
        they are written as they are, where there is TLS."""
        beneath = self.bare or (beneath and self.tls is not None)
        if self.end is not None or self._shut or (self.half and not beneath):
            return
        if beneath is not self._beneath:
            self.tell_sent()
            self._beneath = beneath
        self.sent_at_pdu = self.pdus.count
        self.aborted = data[-10:-4] == _ABORT
        self._note_sent(data)
        if self.tls is not None and not beneath:
            self._plain.outgoing.append(data)
            self.pump_tls()
        else:
            self._outgoing += data
        self.flush()

    def _note_sent(self, data: bytes) -> None:
        if not self._pieces:
            self._sent_from = monotonic()
        kept = data[: self._sent_kept.left]
        self._sent_kept.left -= len(kept)
        self._sent += kept
        self._pieces += 1
        self._unkept += len(data) - len(kept)

    def tell_sent(self) -> None:
        """Writes the line of what was sent since the last line, less the bytes that could not be written."""
        if not self._pieces:
            return
        data = bytes(self._sent)
        size = len(data) + self._unkept
        notes = [f"in {self._pieces} pieces"] if self._pieces > 1 else []
        self._sent, self._pieces, self._unkept = bytearray(), 0, 0
        if self._outgoing and self.tls is None:
            left = min(len(self._outgoing), size)
            notes.append(f"{left} of {size} bytes not taken by the peer")
            size -= left
            data = data[:size]
        if len(data) < size:
            notes.append(f"{size - len(data)} bytes not kept")
        self._write(What.BENEATH if self._beneath else What.SENT, data, ", ".join(notes), self._sent_from)

    def flush(self) -> None:
        """Writes as many of the queued bytes as the connection takes."""
        while self._outgoing and self.end is None and not self.connecting:
            try:
                sent = self.sock.send(memoryview(self._outgoing)[: 4 * CHUNK])
            except BlockingIOError:
                return
            except OSError:
                # The peer has reset it; what it sent before may still be read. TLS comes here again from `fill`.
                if self._broken:
                    return
                self._broken = True
                self.reading = True
                self.fill()
                self._finish(What.RESET)
                return
            del self._outgoing[:sent]

    def discard(self) -> None:
        """Gives up the bytes that are not written yet."""
        self.tell_sent()
        self._outgoing.clear()

    # -- receiving -----------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Reads what has arrived."""
        for _ in range(TURNS):
            if self.end is not None:
                return
            try:
                data = self.sock.recv(CHUNK)
            except BlockingIOError:
                return
            except OSError:
                self._finish(What.RESET)
                return
            if not data:
                if self.tls is not None:
                    self.tls.receive_eof()
                    self.pump_tls()
                self._finish(What.RESET if self._broken else What.ENDED)
                return
            if _QUICKACK is not None:
                # A peer with Nagle's algorithm sends the rest of an answer once this is acknowledged.
                with suppress(OSError):
                    self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            if self.tls is None:
                self._received(data)
            else:
                self.tls.receive_data(data)
                self.pump_tls()

    def _received(self, data: bytes) -> None:
        self.tell_sent()
        if self.bare:
            self.sent_at_pdu = -1  # a reaction
        else:
            self.pdus.feed(data)
        kept = data[: max(0, KEPT - self._kept)]
        self._kept += len(kept)
        self._dropped += len(data) - len(kept)
        if kept:
            self._write(What.HEARD if self.bare else What.RECEIVED, kept, "", monotonic())

    def pump_tls(self) -> None:
        """Moves bytes between the TLS layer and the two queues."""
        assert self.tls is not None
        while found := self.tls.data_to_send():
            for one in found:
                self._outgoing += one
        incoming, self._plain.incoming = self._plain.incoming, []
        for data in incoming:
            self._received(data)
        if self._plain.ended and self.end is None:
            self.flush()
            self._finish(What.ENDED, self._plain.why)

    def begin_tls(self, tls: TLSLayer, plain: Plain) -> None:
        """Puts TLS around `plain` on this connection."""
        self.tls, self._plain = tls, plain
        self.pump_tls()
        self.flush()

    # -- the end -------------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """Ends the wait for the connection, which is open or refused now. Raises `LocalTrouble`."""
        self.connecting = False
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self.refuse(OSError(number, os.strerror(number).lower()))

    def refuse(self, error: OSError) -> None:
        """The connection could not be opened. Raises `LocalTrouble` if this program is the cause."""
        if error.errno in LOCAL:
            raise LocalTrouble(error.strerror or str(error)) from error
        self._finish(What.REFUSED, error.strerror or str(error))

    def serve(self, event: int) -> None:
        """Does what a result of poll makes possible. Raises `LocalTrouble`."""
        if self.connecting:
            self.connected()
            return
        if event & select.POLLOUT:
            self.flush()
        if event & (select.POLLIN | select.POLLERR | select.POLLHUP):
            if self.reading:
                self.fill()
            elif event & (select.POLLERR | select.POLLHUP) and self.end is None:
                self._hung_up()

    def _hung_up(self) -> None:
        """Takes note of the end of a connection that is not read."""
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in _RESETS:
            self._finish(What.RESET)
        else:
            self._finish(What.ENDED, "both directions")

    def shut(self) -> None:
        """Sends FIN and goes on reading."""
        if self.end is None and not self._shut:
            self.discard()
            self.half = self._shut = True
            self.sent_at_pdu = self.pdus.count
            self._write(What.HALF, b"", "", monotonic())
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    def notify(self) -> None:
        """Ends TLS in this direction by a close_notify, if there is TLS, and goes on reading."""
        if self.end is not None or self.half or self.tls is None:
            return
        self.tell_sent()
        self.half = True
        self.sent_at_pdu = self.pdus.count
        self._write(What.HALF, b"", "close_notify", monotonic())
        self._plain.wants_close = True
        self.pump_tls()
        self.flush()

    def close(self, *, reset: bool = False, note: str = "") -> None:
        """Closes the connection, with RST if `reset`."""
        if self.end is None:
            self.discard()
            self._finish(What.CLOSED, "reset" if reset else note)
        if reset:
            with suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.sock.close()

    def _finish(self, how: What, note: str = "") -> None:
        if self.end is None:
            self.discard()
            if self._dropped:
                note = ", ".join(filter(None, (note, f"{self._dropped} bytes not shown")))
            self.end = how
            self._lines = 0  # this line is always there
            self._write(how, b"", note, monotonic())

    def _write(self, what: What, data: bytes, note: str, at: float) -> None:
        if self._lines >= LINES:  # later bytes are only counted
            self._dropped += len(data)
            return
        self._lines += 1
        self._transcript.entries.append(Entry(at - self._start, self.number, what, data, note))

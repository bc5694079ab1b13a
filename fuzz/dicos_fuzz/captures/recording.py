"""Connections that were never seen as packets, written as if they had been: handshake, segments, FIN and RST.

    with open("run.pcapng", "wb") as file:
        write_transcript(file, transcript)

A transcript of the fuzzer, or the bytes that a proxy carried, becomes a capture file that Wireshark opens. Sequence
numbers, acknowledgements and checksums are right. Each piece of bytes is acknowledged at once.

Knows: the life of a TCP connection [RFC 9293], transcripts. Must not know: the layout of the file (`pcapng`) or of
packets (`packets`), what the bytes mean.

Invariants: memory is a few numbers for each open connection; the same calls write the same file.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from dicos_proto.wire import Buffer

from ..conversation import Entry, Side, Transcript, What
from .events import Data, Ended, Event, How, Opened, Over
from .packets import ETHERNET, MOST_PAYLOAD, Endpoint, Flags, Path
from .pcapng import Writer

__all__ = ["CLIENT", "SERVER", "START", "Recorder", "write_transcript"]

CLIENT: Final = Endpoint("127.0.0.1", 40_000)
"""The client of a connection whose addresses are not known; its port is higher by the number of the connection."""
SERVER: Final = Endpoint("127.0.0.2", 11_112)
"""The server of such a connection: the registered port of DICOM, which Wireshark decodes unasked."""
START: Final = 1_700_000_000_000_000_000
"""The time at which a transcript without a date begins, in nanoseconds since 1970."""
_PORTS: Final = 20_000
_ACK: Final = Flags.ACK


class _Connection:
    """An open connection. The sequence numbers are those of the next byte; index 1 is the client."""

    __slots__ = ("ended", "next", "notes", "path")

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        begin = number * 64_007 + 1_000  # another one for each connection: the ports may come again
        self.next = [begin + 0x4000_0000 & 0xFFFFFFFF, begin & 0xFFFFFFFF]
        self.ended = [False, False]
        self.notes: list[str] = []

    def packet(self, *, by_client: bool, flags: Flags, payload: Buffer = b"") -> bytes:
        """Returns the next packet of one side, and counts what it sends."""
        made = self.path.packet(
            by_client=by_client,
            flags=flags,
            sequence=self.next[by_client],
            acknowledgement=self.next[not by_client] if flags & _ACK else 0,
            payload=payload,
        )
        sent = len(payload) + (1 if flags & (Flags.SYN | Flags.FIN) else 0)
        self.next[by_client] = self.next[by_client] + sent & 0xFFFFFFFF
        return made


class Recorder:
    """Writes connections to a pcapng file, which the caller opens and closes. Times are nanoseconds since 1970.

    Connections have numbers, which the caller chooses; the number of one that is over may be used again. `segment`:
    bytes of TCP payload in a packet, at most `MOST_PAYLOAD`; by default what fits an Ethernet frame. `link`: `ETHERNET`
    or `RAW_IP`. Raises OSError when the file cannot be written, and ValueError for calls that no TCP connection could
    make true: bytes after the end.

    >>> from io import BytesIO
    >>> recorder = Recorder(BytesIO())
    >>> recorder.open(0, START)
    >>> recorder.send(0, START + 500, b"\\x05\\0\\0\\0\\0\\x04\\0\\0\\0\\0", by_client=True, comment="release")
    >>> recorder.end(0, START + 900, by_client=False, reset=True)
    """

    def __init__(self, file: BinaryIO, *, segment: int | None = None, link: int = ETHERNET, comment: str = "") -> None:
        if segment is not None and not 0 < segment <= MOST_PAYLOAD:
            raise ValueError(f"segments of {segment} bytes; 1 to {MOST_PAYLOAD}")
        self._writer = Writer(file, link=link, comment=comment)
        self._link = link
        self._segment = segment
        self._open: dict[int, _Connection] = {}
        self._opened = 0

    def secrets(self, lines: bytes) -> None:
        """Writes TLS secrets, the lines of an SSLKEYLOGFILE, for the connections that follow."""
        self._writer.secrets(lines)

    def open(
        self,
        connection: int,
        at: int,
        *,
        client: Endpoint | None = None,
        server: Endpoint = SERVER,
        refused: bool = False,
        comment: str = "",
    ) -> None:
        """Writes the handshake of a new connection, or (`refused`) a SYN and the RST that answers it."""
        if client is None:
            client = _client(CLIENT, connection)
        self._opened += 1
        made = _Connection(Path(client, server, link=self._link), self._opened)
        self._put(made, at, by_client=True, flags=Flags.SYN, comment=comment)
        if refused:
            self._put(made, at, by_client=False, flags=Flags.RST | _ACK)
            return
        self._put(made, at, by_client=False, flags=Flags.SYN | _ACK)
        self._put(made, at, by_client=True, flags=_ACK)
        self._open[connection] = made

    def send(self, connection: int, at: int, data: Buffer, *, by_client: bool, comment: str = "") -> None:
        """Writes bytes of one side, in segments, and the acknowledgement. A connection that is not open is opened.

        `comment`: a packet comment on the first segment."""
        found = self._at_work(connection, at)
        if found.ended[by_client]:
            raise ValueError(f"connection {connection}: bytes after the end of this direction")
        size = self._segment or found.path.segment
        view = memoryview(data).cast("B")
        for start in range(0, len(view), size):
            flags = _ACK | Flags.PSH if start + size >= len(view) else _ACK
            piece = view[start : start + size]
            self._put(found, at, by_client=by_client, flags=flags, payload=piece, comment="" if start else comment)
        if len(view):
            self._put(found, at, by_client=not by_client, flags=_ACK)

    def note(self, connection: int, comment: str) -> None:
        """Adds a packet comment to the next packet of a connection that is open. One that is not is ignored."""
        found = self._open.get(connection)
        if found is not None:
            found.notes.append(comment)

    def end(self, connection: int, at: int, *, by_client: bool, reset: bool = False, comment: str = "") -> None:
        """Ends one direction (FIN), or both of them (RST). The connection is over once both directions are."""
        found = self._at_work(connection, at)
        if reset:
            self._put(found, at, by_client=by_client, flags=Flags.RST | _ACK, comment=comment)
            del self._open[connection]
            return
        if found.ended[by_client]:
            raise ValueError(f"connection {connection}: this direction has ended already")
        self._put(found, at, by_client=by_client, flags=Flags.FIN | _ACK, comment=comment)
        self._put(found, at, by_client=not by_client, flags=_ACK)
        found.ended[by_client] = True
        if found.ended[not by_client]:
            del self._open[connection]

    def take(self, event: Event) -> None:
        """Writes an event of a connection that a proxy carried. Bytes after the end of a direction are left out."""
        connection = event.connection
        number = connection.number
        match event:
            case Opened():
                self.open(number, connection.at, client=connection.client, server=connection.server)
            case Data() if self.may_send(number, by_client=event.by_client):
                self.send(number, event.at, event.data, by_client=event.by_client)
            case Ended() if self.may_send(number, by_client=event.by_client):
                self.end(number, event.at, by_client=event.by_client)
            case Over() if event.how is How.RESET and self.is_open(number):
                self.end(number, event.at, by_client=event.by_client, reset=True)
            case _:
                pass

    def is_open(self, connection: int) -> bool:
        """Returns True from the handshake until both directions have ended, or one side has reset the connection."""
        return connection in self._open

    def may_send(self, connection: int, *, by_client: bool) -> bool:
        """Returns True if this side may send: its direction has not ended. A connection that is not open is opened."""
        found = self._open.get(connection)
        return found is None or not found.ended[by_client]

    def _at_work(self, connection: int, at: int) -> _Connection:
        if connection not in self._open:
            self.open(connection, at)
        return self._open[connection]

    def _put(
        self,
        connection: _Connection,
        at: int,
        *,
        by_client: bool,
        flags: Flags,
        payload: Buffer = b"",
        comment: str = "",
    ) -> None:
        lines = [*connection.notes, comment] if comment else connection.notes
        packet = connection.packet(by_client=by_client, flags=flags, payload=payload)
        self._writer.packet(at, packet, comment="\n".join(lines))
        if connection.notes:
            connection.notes = []


def write_transcript(
    file: BinaryIO,
    transcript: Transcript,
    *,
    side: Side = Side.USER,
    start: int = START,
    server: Endpoint = SERVER,
    client: Endpoint | None = None,
    comment: str = "",
) -> None:
    """Writes a transcript as a pcapng file. Raises OSError.

    `side`: the side that "sent" is; a user is the client of its connections. `start`: the time of the first step, in
    nanoseconds since 1970. `client`: its port is higher by the number of the connection. Waits that passed in vain,
    and other notes, become packet comments.
    """
    recorder = Recorder(file, comment=comment)
    over: set[int] = set()  # connections that have ended: entries after that make no packet
    for entry in transcript.entries:
        number, what = entry.connection, entry.what
        at = start + round(entry.at * 1e9)
        opens = what in (What.OPENED, What.REFUSED)
        if opens or (what in _CARRIED and number not in over and not recorder.is_open(number)):
            over.discard(number)
            refused = what is What.REFUSED
            note = entry.note if opens else ""
            recorder.open(
                number, at, client=_client(client or CLIENT, number), server=server, refused=refused, comment=note
            )
        if number not in over and not opens:
            _write(recorder, entry, at, ours=side is Side.USER)
        if (what in _CARRIED or opens) and not recorder.is_open(number):
            over.add(number)


_ENDS: Final = (What.ENDED, What.RESET, What.CLOSED)
_BYTES: Final = (What.SENT, What.BENEATH, What.RECEIVED, What.HEARD)
_CARRIED: Final = (*_BYTES, *_ENDS)


def _client(base: Endpoint, number: int) -> Endpoint:
    port = base.port + number % _PORTS
    return Endpoint(base.host, port if port <= 0xFFFF else port - _PORTS)


def _write(recorder: Recorder, entry: Entry, at: int, *, ours: bool) -> None:
    number, note = entry.connection, entry.note
    by_client = ours if entry.what in (What.SENT, What.BENEATH, What.CLOSED) else not ours
    reset = entry.what is What.RESET or (entry.what is What.CLOSED and "reset" in note)
    if entry.what in _BYTES and recorder.may_send(number, by_client=by_client):
        recorder.send(number, at, entry.data, by_client=by_client, comment=note)
    elif entry.what in _ENDS and (reset or recorder.may_send(number, by_client=by_client)):
        recorder.end(number, at, by_client=by_client, reset=reset, comment=note)
    else:
        recorder.note(number, f"{entry.what.value}: {note}" if note else entry.what.value)

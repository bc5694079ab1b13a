"""A recording from its file to the bytes of its DICOM connections: the stages put together.

    with open("clinic.pcapng", "rb") as file:
        for event in Recording(file, "clinic.pcapng").events(): ...
    for seed in conversations(Path("clinic.pcapng")): ...

Knows: the order of the stages, what a recording holds in numbers. Must not know: PDUs.

Invariant: a damaged file raises `CaptureError` after everything that was read before the damage has come out, with the
end of each connection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicos_proto.limits import OBJECT_COST

from .decrypting import Decryption
from .events import Connection, Data, Event, Gap, Opened, Over
from .files import CaptureError, read_packets
from .internet import Segments
from .keylog import KeyLog
from .packets import Endpoint
from .recognising import Recogniser
from .source import Readable
from .streams import Reassembly

__all__ = ["MOST_IN_ALL", "MOST_OF_ONE", "CaptureError", "Piece", "Recorded", "Recording", "conversations"]

MOST_OF_ONE: Final = 4 << 20
"""Bytes of one connection that `conversations` returns; the rest is left out."""
MOST_IN_ALL: Final = 64 << 20
"""Bytes that `conversations` holds of connections that are not over; beyond, new bytes are left out."""


class Recording:
    """One capture file. `name`: of the file, for error texts. `ports`: see `Recogniser`.

    `keys`: a key log for its TLS connections, to which those in the file are added; by default there are only these.
    `segments`, `reassembly`, `decryption` and `recogniser` are the stages, which count what they see.
    """

    def __init__(self, file: Readable, name: str, *, ports: Collection[int] = (), keys: KeyLog | None = None) -> None:
        self._file = file
        self._name = name
        self.keys = KeyLog() if keys is None else keys
        self.segments = Segments()
        self.reassembly = Reassembly()
        self.decryption = Decryption(self.keys)
        self.recogniser = Recogniser(ports)

    def events(self) -> Iterator[Event]:
        """Yields the events of the DICOM connections. Raises `CaptureError` at the end, where the file is damaged."""
        damage: CaptureError | None = None
        read, feed = self.segments.read, self.reassembly.feed
        try:
            for packet in read_packets(self._file, self._name, self.keys.add):
                segment = read(packet)
                if segment is not None:
                    for event in feed(segment):
                        yield from self._later(event)
        except CaptureError as error:
            damage = error
        for event in self.reassembly.end():
            yield from self._later(event)
        if damage is not None:
            raise damage

    def _later(self, event: Event) -> Iterator[Event]:
        for plain in self.decryption.feed(event):
            yield from self.recogniser.feed(plain)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one side, in one or several segments. `at`: nanoseconds since 1970."""

    at: int
    by_client: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The bytes of one DICOM connection, in the order in which they were recorded, up to the first gap.

    `complete`: these are all bytes of the connection.
    """

    client: Endpoint
    server: Endpoint
    at: int
    pieces: tuple[Piece, ...]
    complete: bool

    def stream(self, *, by_client: bool) -> bytes:
        """Returns all bytes of one side."""
        return b"".join(piece.data for piece in self.pieces if piece.by_client == by_client)


class _Collected:
    __slots__ = ("complete", "cost", "pieces")

    def __init__(self, complete: bool) -> None:
        self.pieces: list[tuple[int, bool, bytearray]] = []
        self.complete = complete
        self.cost = 0


def conversations(
    path: Path, *, ports: Collection[int] = (), keys: KeyLog | None = None, most: int = MOST_OF_ONE
) -> Iterator[Recorded]:
    """Yields the DICOM connections of a capture file, each when it is over: seeds for a campaign.

    `ports`: see `Recogniser`. `most`: bytes of one connection, with 256 for each change of direction; the rest is left
    out. Raises `CaptureError`
    where the file is damaged, after the connections before that, and OSError if it cannot be opened.
    """
    held: dict[int, _Collected] = {}
    cost = 0
    with path.open("rb") as file:
        for event in Recording(file, str(path), ports=ports, keys=keys).events():
            connection = event.connection
            if isinstance(event, Opened):
                held[connection.number] = _Collected(connection.begun)
                continue
            found = held[connection.number]
            if isinstance(event, Over):
                cost -= found.cost
                yield _recorded(connection, held.pop(connection.number))
            elif isinstance(event, Gap):
                found.complete = False
            elif isinstance(event, Data) and found.complete:
                size = min(len(event.data), most - found.cost, MOST_IN_ALL - cost)
                found.complete = size == len(event.data)
                if size > 0:
                    added = _collect(found, event, size)
                    found.cost += added
                    cost += added


def _collect(found: _Collected, event: Data, size: int) -> int:
    """Adds `size` bytes to what is collected. Returns their cost."""
    last = found.pieces[-1] if found.pieces else None
    if last is not None and last[1] == event.by_client:
        last[2].extend(event.data[:size])
        return size
    found.pieces.append((event.at, event.by_client, bytearray(event.data[:size])))
    return size + OBJECT_COST


def _recorded(connection: Connection, found: _Collected) -> Recorded:
    return Recorded(
        client=connection.client,
        server=connection.server,
        at=connection.at,
        pieces=tuple(Piece(at, by_client, bytes(data)) for at, by_client, data in found.pieces),
        complete=found.complete,
    )

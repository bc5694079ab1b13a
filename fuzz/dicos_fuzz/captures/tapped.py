"""The stage of a tap after `Decryption`: passes on every connection but those whose TLS is not decrypted.

Behind a tap every connection is shown, DICOM or not, because users call a tap on purpose. TLS without plaintext
is left out, and reported once. A TLS handshake that the acceptor answers with a PDU is shown: a user with TLS calls a
provider without.

Knows: the first bytes of connections. Must not know: key logs, records, PDUs beyond their headers.

Invariant: of a connection that is not decided, at most `MOST_UNDECIDED` bytes are held, and nothing of one
that is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from dicos_proto.limits import OBJECT_COST

from .events import Connection, Data, Event, Opened, Over
from .recognising import begins_with_pdu

__all__ = ["MOST_UNDECIDED", "NO_KEYS", "Readable"]

MOST_UNDECIDED: Final = 64 << 10
"""Bytes of a connection that are held until its acceptor has answered; each piece counts 256 bytes more. Stops: a
client that begins as TLS and sends on without an answer."""
NO_KEYS: Final = "no key log (--keylog)"
_HEAD: Final = 12
_TLS: Final = b"\x16\3"


class _Undecided:
    """A connection that may be TLS. `heads`: the first bytes of both sides; index 1 is the client."""

    __slots__ = ("cost", "heads", "held")

    def __init__(self, opened: Opened) -> None:
        self.held: list[Event] = [opened]
        self.heads = [b"", b""]
        self.cost = 0

    def readable(self) -> bool | None:
        """Returns True if the connection can be read, False if it is TLS, None if its bytes do not tell yet."""
        server, client = self.heads
        if client[: len(_TLS)] != _TLS[: len(client)] or (server and not client):
            return True
        return begins_with_pdu(server) if client.startswith(_TLS) and server else None


class Readable:
    """Passes on the events of connections that can be read. `report` is called with each other connection, and why."""

    def __init__(self, report: Callable[[Connection, str], object]) -> None:
        self._report = report
        self._undecided: dict[int, _Undecided] = {}
        self._left_out: set[int] = set()

    def feed(self, event: Event) -> Iterator[Event]:
        """Yields the event if its connection can be read, and before it what was held until that was known."""
        connection = event.connection
        if isinstance(event, Opened):
            self._undecided[connection.number] = _Undecided(event)
        elif connection.number in self._left_out:
            if isinstance(event, Over):
                self._left_out.discard(connection.number)
        elif (found := self._undecided.get(connection.number)) is not None:
            yield from self._decide(found, event)
        else:
            yield event

    def _decide(self, found: _Undecided, event: Event) -> Iterator[Event]:
        connection = event.connection
        if isinstance(event, Data):
            found.heads[event.by_client] += bytes(event.data[: _HEAD - len(found.heads[event.by_client])])
            event = Data(connection, event.by_client, event.at, memoryview(bytes(event.data)))
            found.cost += len(event.data)
        found.held.append(event)
        found.cost += OBJECT_COST
        over = isinstance(event, Over)
        readable = found.readable()
        if over and readable is None:
            readable = not found.heads[1].startswith(_TLS)
        elif found.cost > MOST_UNDECIDED:
            readable = bool(readable)
        if readable is None:
            return
        del self._undecided[connection.number]
        if readable:
            yield from found.held
            return
        if not over:
            self._left_out.add(connection.number)
        self._report(connection, connection.undecrypted or NO_KEYS)

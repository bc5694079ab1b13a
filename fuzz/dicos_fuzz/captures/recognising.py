"""Tells the connections that are DICOM from the others, by their first bytes, on any port.

A connection is DICOM if one of its sides begins with a PDU: one of the two is enough, so that a peer that sends
something else and is aborted is shown. In a recording that begins in the middle, a segment that begins with a PDU is
enough. With ports, every connection of these ports is DICOM, and no other is.

Knows: headers of PDUs [PS3.8 9.3.1]. Must not know: their bodies.

Invariant: of a connection that is not decided, at most `MOST_HEAD` bytes are held, and `MOST_IN_ALL` of all of them; of
one that is not DICOM, nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from dicos_proto.limits import OBJECT_COST, Limits
from dicos_proto.upper_layer.framing import foreign_protocol

from .events import Data, Event, Gap, Opened, Over

__all__ = ["MOST_HEAD", "MOST_IN_ALL", "MOST_TRIES", "OTHER", "TLS", "Recogniser", "begins_with_pdu"]

MOST_HEAD: Final = 64 << 10
"""Bytes of an undecided connection that are held; each piece counts 256 bytes more. Stops: a stream of garbage."""
MOST_IN_ALL: Final = 16 << 20
"""The same, of all undecided connections; the oldest one is left out. Stops: many connections whose server never
speaks."""
MOST_TRIES: Final = 256
"""Segments of a connection without a beginning that are checked."""
OTHER: Final = "unknown"
"""The name of a protocol that is not known."""

TLS: Final = "TLS"
_NAMES: Final = {"a TLS handshake": TLS, "a TLS alert": TLS, "an HTTP answer": "HTTP"}
_HEAD: Final = 12
_PORTS: Final = frozenset((104, 11_112))
_LARGEST: Final = Limits().associate_pdu


def begins_with_pdu(head: bytes) -> bool | None:
    """Returns True if these bytes begin with a PDU, False if not, None if there are too few of them to tell.

    >>> begins_with_pdu(bytes.fromhex("070000000004")), begins_with_pdu(b"GET / HTTP/1.1"), begins_with_pdu(b"\\4")
    (True, False, None)
    """
    if head and (head[0] not in range(1, 8) or head[1:2] not in (b"", b"\0")):
        return False
    if len(head) < 6:
        return None
    kind, length = head[0], int.from_bytes(head[2:6], "big")
    if kind in (1, 2):
        if not 68 <= length <= _LARGEST:
            return False
        return None if len(head) < 10 else head[6] == 0 and head[8:10] == b"\0\0"
    if kind != 4:
        return length == 4
    if len(head) < _HEAD:
        return None if length >= 6 else False
    inner = int.from_bytes(head[6:10], "big")
    return 2 <= inner <= length - 4 and head[10] % 2 == 1 and head[11] < 4


def _continues_with_pdu(head: bytes) -> bool:
    """Returns True if a segment in the middle of a connection surely begins with a PDU: one PDV, that fills it."""
    if head[:1] == b"\4" and len(head) >= _HEAD:
        return begins_with_pdu(head) is True and head[6:10] == (int.from_bytes(head[2:6], "big") - 4).to_bytes(4, "big")
    return begins_with_pdu(head) is True


class _Candidate:
    """A connection that is not decided. `held`: its events so far. `cost`: the bytes in them."""

    __slots__ = ("cost", "heads", "held", "opened", "tries")

    def __init__(self, opened: Opened) -> None:
        self.heads = [b"", b""]
        self.opened = opened
        self.held: list[Event] = []
        self.cost = 0
        self.tries = 0

    def judge(self, event: Data) -> bool | None:
        """Returns True if the connection is DICOM, now that these bytes have come; False if not; None: not decided."""
        connection, side = event.connection, event.by_client
        if connection.begun:
            self.heads[side] += bytes(event.data[: _HEAD - len(self.heads[side])])
            found = [begins_with_pdu(head) for head in self.heads]
            return True if True in found else None if None in found else False
        self.tries += 1
        self.heads[side] = bytes(event.data[:_HEAD])
        foreign = any(foreign_protocol(head) for head in self.heads)
        if _continues_with_pdu(self.heads[side]) or (connection.server.port in _PORTS and not foreign):
            return True
        return None if self.tries < MOST_TRIES else False


class Recogniser:
    """A stage that passes on the events of connections that are DICOM. `others`: protocol -> connections left out."""

    def __init__(self, ports: Collection[int] = ()) -> None:
        self._ports = frozenset(ports)
        self._candidates: dict[int, _Candidate] = {}
        self._chosen: set[int] = set()
        self._cost = 0
        self.others: dict[str, int] = {}

    def feed(self, event: Event) -> Iterator[Event]:
        """Yields the event if its connection is DICOM, and before it what was held until that was known."""
        number = event.connection.number
        if number in self._chosen:
            if isinstance(event, Over):
                self._chosen.discard(number)
            yield event
        elif isinstance(event, Opened):
            yield from self._open(event)
        elif (candidate := self._candidates.get(number)) is not None:
            yield from self._decide(candidate, event)

    def _open(self, event: Opened) -> Iterator[Event]:
        connection = event.connection
        if not self._ports:
            self._candidates[connection.number] = _Candidate(event)
        elif connection.server.port in self._ports or connection.client.port in self._ports:
            self._chosen.add(connection.number)
            yield event
        else:
            self._leave_out("on other ports")

    def _decide(self, candidate: _Candidate, event: Event) -> Iterator[Event]:
        connection = event.connection
        verdict = candidate.judge(event) if isinstance(event, Data) else None
        if verdict is True:
            self._chosen.add(connection.number)
            self._drop(candidate)
            yield candidate.opened
            yield from candidate.held
            yield event
        elif verdict is False or isinstance(event, Over):
            self._refuse(candidate)
        elif isinstance(event, Gap):
            connection.begun = False  # from here on, it is like a recording that begins in the middle
            self._cost -= candidate.cost
            candidate.held, candidate.cost = [], 0
        elif connection.begun:
            self._hold(candidate, event)

    def _hold(self, candidate: _Candidate, event: Event) -> None:
        cost = OBJECT_COST
        if isinstance(event, Data):
            cost += len(event.data)
            event = Data(event.connection, event.by_client, event.at, memoryview(bytes(event.data)))
        candidate.held.append(event)
        candidate.cost += cost
        self._cost += cost
        if candidate.cost > MOST_HEAD:
            self._refuse(candidate)
        while self._cost > MOST_IN_ALL:
            self._refuse(next(iter(self._candidates.values())))

    def _drop(self, candidate: _Candidate) -> None:
        del self._candidates[candidate.opened.connection.number]
        self._cost -= candidate.cost

    def _refuse(self, candidate: _Candidate) -> None:
        self._drop(candidate)
        names = [foreign_protocol(head) for head in reversed(candidate.heads) if head]  # the client's first
        name = next((name for name in names if name), OTHER)
        self._leave_out(_NAMES.get(name, name))

    def _leave_out(self, name: str) -> None:
        self.others[name] = self.others.get(name, 0) + 1

"""TLS with a key log: the stage that passes on the plaintext of connections whose secrets are known.

Knows: which connections begin with TLS. Must not know: records (`tls_session`), DICOM, files.

Invariants: `MOST_HELD` bytes of all connections are held; no bytes raise an error. A connection that cannot be
decrypted passes on only its first bytes, which tell the next stage that it is TLS; one that cannot be decrypted beyond
some point gets a `Note` there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from dicos_proto.limits import OBJECT_COST

from .events import Connection, Data, Ended, Event, Gap, Note, Opened, Over
from .keylog import KeyLog
from .tls_session import Failed, Session

__all__ = ["MOST_HELD", "Decryption"]

MOST_HELD: Final = 64 << 20
"""Bytes of incomplete records and messages of all connections; each connection counts 4 kB more. Beyond, the oldest
connection is given up. Stops: thousands of connections that send half a record each."""
_COST: Final = 16 * OBJECT_COST
_MOST_REASONS: Final = 100


class _Tls:
    """A TLS connection: its session, what it holds, and which sides are given up; index 1 is the client."""

    __slots__ = ("cost", "lost", "session", "started")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.lost = [False, False]
        self.started = False  # plaintext was passed on
        self.cost = 0


class Decryption:
    """A stage that passes on the plaintext of TLS connections whose secrets `keys` has, and all other connections as
    they are. `decrypted`: the number of such connections. `failures`: reason -> connections."""

    def __init__(self, keys: KeyLog) -> None:
        self._keys = keys
        self._undecided: dict[int, bytes] = {}  # the client's first bytes, of connections without three of them
        self._sessions: OrderedDict[int, _Tls] = OrderedDict()
        self._cost = 0
        self.decrypted = 0
        self.failures: dict[str, int] = {}

    def feed(self, event: Event) -> Iterator[Event]:
        """Yields the events that this one makes."""
        number = event.connection.number
        found = self._sessions.get(number)
        if found is not None:
            yield from self._follow(found, event)
        elif isinstance(event, Opened):
            if event.connection.begun and self._keys.may_have:
                self._undecided[number] = b""
            yield event
        elif number in self._undecided:
            yield from self._decide(event)
        else:
            yield event

    def _decide(self, event: Event) -> Iterator[Event]:
        number = event.connection.number
        head = self._undecided[number]
        if isinstance(event, Data) and event.by_client:
            whole = head + bytes(event.data)
            if whole[:1] == b"\x16" and whole[1:2] in (b"", b"\3"):
                if len(whole) < 3:
                    self._undecided[number] = whole
                    return
                del self._undecided[number]
                found = self._sessions[number] = _Tls(Session(self._keys))
                event = Data(event.connection, True, event.at, memoryview(whole))
                yield from self._follow(found, event)
                return
            event = Data(event.connection, True, event.at, memoryview(whole))
        elif head and not isinstance(event, Opened):
            yield Data(event.connection, True, event.at, memoryview(head))
        del self._undecided[number]
        yield event

    def _follow(self, found: _Tls, event: Event) -> Iterator[Event]:
        connection = event.connection
        if isinstance(event, Data | Gap):
            if not found.lost[event.by_client]:
                yield from self._decrypted(found, event)
            return
        if isinstance(event, Over):
            del self._sessions[connection.number]
            self._cost -= found.cost
        if found.started or isinstance(event, Ended | Over):
            yield event

    def _decrypted(self, found: _Tls, event: Data | Gap) -> Iterator[Event]:
        connection, by_client, at = event.connection, event.by_client, event.at
        session = found.session
        try:
            made: Iterator[bytes | int]
            if isinstance(event, Data):
                made = session.records(by_client, event.data)
            else:
                made = session.gap(by_client, event.size)
            for plain in made:
                if not found.started:
                    found.started = True
                    connection.tls = session.about
                    self.decrypted += 1
                if isinstance(plain, int):
                    yield Gap(connection, by_client, at, plain)
                else:
                    yield Data(connection, by_client, at, memoryview(plain))
        except Failed as error:
            yield from self._fail(found, connection, by_client, at, str(error))
        self._count(found, connection)

    def _count(self, found: _Tls, connection: Connection) -> None:
        cost = 0 if all(found.lost) else _COST + found.session.held
        self._cost += cost - found.cost
        found.cost = cost
        self._sessions.move_to_end(connection.number)
        while self._cost > MOST_HELD:
            oldest = next(each for each in self._sessions.values() if each.cost)
            oldest.lost = [True, True]
            self._cost -= oldest.cost
            oldest.cost = 0
            oldest.session = Session(self._keys)
            self._note("too many TLS connections at once")

    def _fail(self, found: _Tls, connection: Connection, by_client: bool, at: int, why: str) -> Iterator[Event]:
        if found.session.proven:
            found.lost[by_client] = True
            yield Note(connection, by_client, at, f"TLS: {why}")
            return
        found.lost = [True, True]
        self._note(why.partition(" (")[0])
        for side, half in enumerate(found.session.halves):
            if half.head:
                yield Data(connection, side == 1, at, memoryview(half.head))

    def _note(self, why: str) -> None:
        if why in self.failures or len(self.failures) < _MOST_REASONS:
            self.failures[why] = self.failures.get(why, 0) + 1

"""TLS with a key log: the stage that passes on the plaintext of connections whose secrets are known.

Theory of operation. A connection that begins with a TLS handshake gets a `Session`, which turns its bytes into
plaintext. In a recording, a secret that the key log does not have is the end of that. Behind a tap (`waits`) it may
come later, and perhaps after the records that need it: the events of such a connection wait, until the key log has the
secret, or the connection has been over for `PATIENCE`, or too many bytes wait.

Knows: which connections begin with TLS. Must not know: records (`tls_session`), DICOM, files, clocks.

Invariants: `MOST_HELD` bytes of all connections are held, `MOST_WAITING` of one; no bytes raise an error. A connection
that cannot be decrypted passes on only its first bytes, which tell the next stage that it is TLS, and its end; it has
`undecrypted` then. One that cannot be decrypted beyond some point gets a `Note` there.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final

from dicos_proto.limits import OBJECT_COST

from .events import Connection, Data, Ended, Event, Gap, Note, Opened, Over
from .keylog import KeyLog
from .tls_session import Failed, Missing, Said, Session

__all__ = ["MOST_HELD", "MOST_WAITING", "PATIENCE", "Decryption"]

MOST_HELD: Final = 64 << 20
"""Bytes of incomplete records and messages of all connections, and of those that wait for a secret; each connection
counts 4 kB more. Beyond, the oldest connection is given up. Stops: thousands of connections that send half a record
each."""
MOST_WAITING: Final = 4 << 20
"""Bytes of one connection that wait for a secret; each piece counts 256 bytes more. Stops: a tap without the right key
log, which would hold everything that is carried."""
PATIENCE: Final = 2_000_000_000
"""Nanoseconds after the end of a connection in which its secrets may still come."""
_COST: Final = 16 * OBJECT_COST
_MOST_REASONS: Final = 100
_Later = Data | Gap | Ended | Note | Over


class _Tls:
    """A TLS connection: its session, what it holds, and which sides are given up; index 1 is the client."""

    __slots__ = ("cost", "failed", "lost", "missing", "notes", "over", "queue", "queued", "session", "started")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.lost = [False, False]
        self.started = False  # plaintext was passed on
        self.failed = False  # nothing will be passed on
        self.notes: list[Note] = []  # until it is started
        self.missing: Missing | None = None  # what `queue` waits for
        self.queue: deque[_Later] = deque()
        self.queued = 0  # bytes in it
        self.over: int | None = None  # since when nothing more comes into the queue
        self.cost = 0

    def drained(self) -> deque[_Later]:
        """Returns what waits, which then no longer waits."""
        queue, self.queue, self.queued, self.missing = self.queue, deque(), 0, None
        return queue


class Decryption:
    """A stage that passes on the plaintext of TLS connections whose secrets `keys` has, and all other connections as
    they are. `waits`: secrets may come later, so call `go_on` now and then, and `end` at the end. `decrypted`: the
    number of connections that are decrypted. `failures`: reason -> connections."""

    def __init__(self, keys: KeyLog, *, waits: bool = False) -> None:
        self._keys = keys
        self._waits = waits
        self._undecided: dict[int, bytes] = {}  # the client's first bytes, of connections without three of them
        self._sessions: OrderedDict[int, _Tls] = OrderedDict()
        self._cost = 0
        self.decrypted = 0
        self.failures: dict[str, int] = {}

    @property
    def waiting(self) -> bool:
        """True if events wait for a secret."""
        return self._waits and any(found.missing is not None for found in self._sessions.values())

    def feed(self, event: Event) -> Iterator[Event]:
        """Yields the events that this one makes."""
        number = event.connection.number
        if isinstance(event, Opened):
            if event.connection.begun and self._keys.may_have:
                self._undecided[number] = b""
            yield event
        elif (found := self._sessions.get(number)) is not None:
            yield from self._follow(found, event)
        elif number in self._undecided:
            yield from self._decide(event)
        else:
            yield event

    def go_on(self, now: int) -> Iterator[Event]:
        """Yields the events that waited for a secret, if it has come, or no longer can. `now`: nanoseconds since
        1970."""
        for found in [one for one in self._sessions.values() if one.missing is not None]:
            yield from self._resume(found)
            if found.over is not None and now - found.over >= PATIENCE:
                yield from self._give_up(found)

    def end(self) -> Iterator[Event]:
        """Yields the events that still wait: no more secrets will come."""
        for found in [one for one in self._sessions.values() if one.missing is not None]:
            yield from self._resume(found)
            yield from self._give_up(found)

    def _decide(self, event: _Later) -> Iterator[Event]:
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
        elif head:
            yield Data(event.connection, True, event.at, memoryview(head))
        del self._undecided[number]
        yield event

    def _follow(self, found: _Tls, event: _Later) -> Iterator[Event]:
        if found.missing is None:
            yield from self._take(found, event)
            return
        self._wait(found, event)
        yield from self._resume(found)
        if found.queued > MOST_WAITING:
            yield from self._give_up(found)
        self._count(found, event.connection)

    def _take(self, found: _Tls, event: _Later) -> Iterator[Event]:
        connection = event.connection
        if isinstance(event, Data | Gap):
            if not found.lost[event.by_client]:
                yield from self._decrypted(found, event)
            return
        if isinstance(event, Over):
            del self._sessions[connection.number]
            self._cost -= found.cost
            if not (found.started or found.failed):
                yield from self._fail(found, connection, event.at, _unfinished(found))
        if found.started or isinstance(event, Ended | Over):
            yield event

    def _decrypted(self, found: _Tls, event: Data | Gap) -> Iterator[Event]:
        connection, by_client, at = event.connection, event.by_client, event.at
        session = found.session
        try:
            made: Iterator[bytes | int | Said]
            if isinstance(event, Data):
                made = session.records(by_client, event.data)
            else:
                made = session.gap(by_client, event.size)
            for plain in made:
                if isinstance(plain, Said):
                    note = Note(connection, by_client, at, f"TLS: {plain.text}")
                    if found.started:
                        yield note
                    continue
                if not found.started:
                    yield from self._start(found, connection)
                if isinstance(plain, int):
                    yield Gap(connection, by_client, at, plain)
                else:
                    yield Data(connection, by_client, at, memoryview(plain))
        except Missing as error:
            if self._waits:
                found.missing = error
                rest = Data(connection, by_client, at, memoryview(error.rest)) if isinstance(event, Data) else event
                self._wait(found, rest)
            else:
                yield from self._lose(found, connection, by_client, at, str(error))
        except Failed as error:
            yield from self._lose(found, connection, by_client, at, str(error))
        self._count(found, connection)

    def _start(self, found: _Tls, connection: Connection) -> Iterator[Event]:
        found.started = True
        connection.tls = found.session.about
        self.decrypted += 1
        yield from found.notes
        found.notes = []

    # -- waiting for a secret ------------------------------------------------------------------------------------

    def _wait(self, found: _Tls, event: _Later) -> None:
        if isinstance(event, Data | Gap) and all(found.lost):
            return
        if isinstance(event, Data):
            event = Data(event.connection, event.by_client, event.at, memoryview(bytes(event.data)))
        elif isinstance(event, Over):
            found.over = event.at
        found.queue.append(event)
        found.queued += _size(event)

    def _resume(self, found: _Tls) -> Iterator[Event]:
        """Yields the events that waited, as far as the key log has the secrets that they need."""
        missing = found.missing
        if missing is None or self._keys.secret(missing.label, missing.client_random) is None:
            return
        yield from self._take_queue(found)

    def _take_queue(self, found: _Tls) -> Iterator[Event]:
        for event in found.drained():
            if found.missing is None:
                yield from self._take(found, event)
            else:
                self._wait(found, event)

    def _give_up(self, found: _Tls) -> Iterator[Event]:
        """Yields the events that waited, without what cannot be decrypted."""
        missing = found.missing
        if missing is None:
            return
        if not found.failed:
            first = found.queue[0]
            yield from self._lose(found, first.connection, first.by_client, first.at, str(missing))
        yield from self._take_queue(found)
        yield from self._give_up(found)  # where the other side needs another one

    def _count(self, found: _Tls, connection: Connection) -> None:
        if connection.number not in self._sessions:
            return
        cost = 0 if all(found.lost) else _COST + found.session.held + found.queued
        self._cost += cost - found.cost
        found.cost = cost
        self._sessions.move_to_end(connection.number)
        while self._cost > MOST_HELD:
            oldest = next(each for each in self._sessions.values() if each.cost)
            oldest.lost = [True, True]
            oldest.failed = not oldest.started
            oldest.queue = deque(event for event in oldest.queue if not isinstance(event, Data | Gap))
            oldest.queued = 0
            self._cost -= oldest.cost
            oldest.cost = 0
            oldest.session = Session(self._keys)
            self._note("too many TLS connections at once")

    # -- what cannot be decrypted --------------------------------------------------------------------------------

    def _lose(self, found: _Tls, connection: Connection, by_client: bool, at: int, why: str) -> Iterator[Event]:
        """Gives one side up, or all if nothing was decrypted so far."""
        found.lost[by_client] = True
        note = Note(connection, by_client, at, f"TLS: {why}")
        if found.started:
            yield note
            return
        found.notes.append(note)
        if not found.session.proven or all(found.lost):
            yield from self._fail(found, connection, at, why)

    def _fail(self, found: _Tls, connection: Connection, at: int, why: str) -> Iterator[Event]:
        found.lost = [True, True]
        found.failed = True
        connection.undecrypted = why
        self._note(why.partition(" (client random")[0])
        for by_client in (True, False):
            head = found.session.halves[by_client].head
            if head:
                yield Data(connection, by_client, at, memoryview(head))

    def _note(self, why: str) -> None:
        if why in self.failures or len(self.failures) < _MOST_REASONS:
            self.failures[why] = self.failures.get(why, 0) + 1


def _size(event: _Later) -> int:
    return OBJECT_COST + (len(event.data) if isinstance(event, Data) else 0)


def _unfinished(found: _Tls) -> str:
    """Why a connection ended without application data."""
    if found.notes:
        return found.notes[0].text.removeprefix("TLS: ")
    if found.session.alert:
        return f"the handshake failed: {found.session.alert}"
    return "it ended before any application data"

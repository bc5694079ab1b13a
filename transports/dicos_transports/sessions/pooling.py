"""A pool of associations with one destination: who gets which, when one is made, kept, given up. The same in every
adapter.

`PoolState` decides and does nothing itself: the pools of the adapters ask it, make and release associations, and
report the outcome to it. Time enters as a number.

    place = state.ask()              # granted at once, or later: `take_granted` returns it then
    place.session                    # an idle association, to be checked; None: make one, there is room
    state.connected(place, session)  # or failed(place), or withdraw(place)
    state.give_back(place, now)      # or lose(place)

Knows: limits, times, a queue. Must not know: sockets, threads, tasks, what a session is; but the pool of `blocking`
calls it from several threads, one at a time, under a lock.

Invariants: associations that are idle, in use, being made and being released are at most `size`; users are
served in the order in which they ask; an association has one user at a time.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.errors import LocalProtocolError, ProtocolError
from dicos_proto.upper_layer.pdu_types import Abort

if TYPE_CHECKING:
    from dicos_proto.association import Association

    from .base import BaseSession, Carrier

SIZE: Final = 4
"""The largest number of associations of a pool, by default."""
IDLE: Final = 30.0
"""Seconds after which an unused association is released. Providers that time out usually wait for about a minute."""
PATIENCE: Final = 60.0
"""Seconds that a user waits for an association while all are in use."""


class PoolClosed(ProtocolError):
    """The pool is closed, or was not entered yet."""


class PoolExhausted(AssociationError):
    """All associations of the pool were in use for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """The numbers of a pool, now and since it was made."""

    idle: int = 0
    """Associations that are unused now."""
    in_use: int = 0
    """Associations that are in use now, or being made."""
    waiting: int = 0
    """Users that wait for an association now."""
    made: int = 0
    """Associations that were made."""
    reused: int = 0
    """The number of times that an idle association was used again."""
    discarded: int = 0
    """Idle associations that turned out to be released, aborted or lost when they were to be used again."""
    released: int = 0
    """Associations released because they were idle for too long."""
    failed: int = 0
    """Associations that could not be made."""
    lost: int = 0
    """Associations that ended while they were in use."""
    timed_out: int = 0
    """Users that gave up waiting."""


S = TypeVar("S")


class Place(Generic[S]):
    """The place of one user who asked for an association."""

    __slots__ = ("granted", "refused", "reused", "session", "since")

    def __init__(self) -> None:
        self.granted = False
        """True if it is this user's turn: `session` is the association, or None if one is to be made."""
        self.refused = False
        """The pool was closed meanwhile."""
        self.session: S | None = None
        self.reused = False
        """True if the association was used before."""
        self.since = 0.0  # when it was given back last


class PoolState(Generic[S]):
    """Decides which user gets which association. `idle`: seconds; None keeps unused associations until they end."""

    def __init__(self, *, size: int = SIZE, idle: float | None = IDLE) -> None:
        if size < 1:
            raise ValueError(f"a pool of {size} associations; at least 1")
        if idle is not None and not idle > 0:
            raise ValueError(f"idle associations released after {idle} s; more than 0, or None for never")
        self.closed = False
        self._size = size
        self._idle_time = idle
        self._idle: deque[tuple[float, S]] = deque()  # the one that was given back last is the last
        self._queue: deque[Place[S]] = deque()
        self._granted: list[Place[S]] = []
        self._taken = 0  # associations that are in use or being made
        self._leaving = 0  # that are being released
        self._stats = PoolStats()

    @property
    def stats(self) -> PoolStats:
        """The pool's numbers, now and since it was made."""
        return replace(self._stats, idle=len(self._idle), in_use=self._taken, waiting=len(self._queue))

    # -- users ---------------------------------------------------------------------------------------------------

    def ask(self) -> Place[S]:
        """Adds a user who wants an association, and returns its place. Raises `PoolClosed`."""
        if self.closed:
            raise PoolClosed("the pool is closed, or was not entered yet")
        place = Place[S]()
        self._queue.append(place)
        self._serve()
        return place

    def take_granted(self) -> list[Place[S]]:
        """Returns the places granted or refused since the last call: the caller wakes up their users."""
        granted, self._granted = self._granted, []
        return granted

    def withdraw(self, place: Place[S], *, late: bool = False) -> None:
        """The user of `place` has gone: cancelled, or `late`. One granted meanwhile goes to the next user."""
        self._count(timed_out=late)
        if not place.granted:
            if place in self._queue:
                self._queue.remove(place)
            return
        self._taken -= 1
        if place.session is not None:
            self._stats = replace(self._stats, reused=self._stats.reused - 1)
            self._idle.append((place.since, place.session))
        self._serve()

    def replace(self, place: Place[S]) -> None:
        """The idle association for `place` was not usable: another one is to be made instead."""
        place.session, place.reused = None, False
        self._stats = replace(self._stats, reused=self._stats.reused - 1)
        self._count(discarded=True)

    def connected(self, place: Place[S], session: S) -> None:
        """An association was made for `place`."""
        place.session = session
        self._count(made=True)

    def failed(self, place: Place[S]) -> None:
        """No association could be made for `place`; the next user may try."""
        self._taken -= 1
        self._count(failed=True)
        self._serve()

    def give_back(self, place: Place[S], now: float) -> bool:
        """The user is done, and the association can be used again. Returns False if it is to be released: the caller
        then calls `gone` once that is over."""
        self._taken -= 1
        if self.closed or place.session is None:
            self._leaving += 1
            return False
        self._idle.append((now, place.session))
        self._serve()
        return True

    def lose(self, place: Place[S]) -> None:
        """The user is done, and the association is over."""
        self._taken -= 1
        self._count(lost=True)
        self._serve()

    # -- idle associations ---------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """The time at which `expire` has something to do; None if there is nothing to expire."""
        if self._idle_time is None or not self._idle:
            return None
        return min(since for since, _ in self._idle) + self._idle_time

    def expire(self, now: float) -> list[S]:
        """Returns the associations that were idle for too long. The caller releases them and calls `gone` for each."""
        if self._idle_time is None:
            return []
        old = [one for one in self._idle if one[0] + self._idle_time <= now]
        for one in old:
            self._idle.remove(one)
            self._count(released=True)
        self._leaving += len(old)
        return [session for _, session in old]

    def gone(self) -> None:
        """An association that was to be released is over, however it ended."""
        self._leaving -= 1
        self._serve()

    def open(self) -> None:
        """Opens a pool that was closed from the start."""
        self.closed = False

    def close(self) -> list[S]:
        """Closes the pool and refuses the users that wait. Returns the idle associations: the caller releases them and
        calls `gone` for each."""
        self.closed = True
        found = [session for _, session in self._idle]
        self._idle.clear()
        self._leaving += len(found)
        for place in self._queue:
            place.refused = True
        self._granted += self._queue
        self._queue.clear()
        return found

    # -- inside --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Grants places in the order in which they were asked for, while there are associations or room for them."""
        while self._queue:
            if self._idle:
                since, session = self._idle.pop()  # the one used last, so that surplus ones stay idle and are released
                self._grant(session, since)
            elif self._taken + self._leaving < self._size:
                self._grant(None, 0.0)
            else:
                return

    def _grant(self, session: S | None, since: float) -> None:
        place = self._queue.popleft()
        place.granted, place.session, place.since = True, session, since
        place.reused = session is not None
        self._taken += 1
        self._count(reused=place.reused)
        self._granted.append(place)

    def _count(self, **events: bool) -> None:
        """One more of those that are true."""
        for name, happened in events.items():
            if happened:
                self._stats = replace(self._stats, **{name: getattr(self._stats, name) + 1})


class _Closable(Protocol):
    """A session, blocking or awaited."""

    @property
    def association(self) -> Association: ...

    @property
    def carrier(self) -> Carrier: ...

    def close(self) -> object: ...


def exhausted(size: int, seconds: float) -> PoolExhausted:
    """The error for a user that has waited for too long."""
    used = "the only association of the pool is" if size == 1 else f"all {size} associations of the pool are"
    return PoolExhausted(f"no association within {seconds:g} s: {used} in use")


def check_place(where: object, patience: float | None) -> None:
    """Raises TypeError for an address that allows one connection only, ValueError for an invalid time to wait."""
    network = isinstance(where, tuple) and isinstance(where[0], str)
    if not (network or isinstance(where, str | os.PathLike)):
        raise TypeError(f"a pool connects again and again, to an address; a {type(where).__name__} is none")
    if patience is not None and not patience >= 0:
        raise ValueError(f"patience of {patience} s; 0 or more, or None to wait without limit")


def fit(session: BaseSession) -> bool:
    """Returns True if an association that was used can be used again: it is established, and nothing is under way."""
    return session.established and session.exchange.at_rest


def may_retry(session: BaseSession, sent: int, *, reused: bool) -> bool:
    """Returns True if a failed operation is to be tried once more on a new association.

    So it is if the association is over and nothing of the operation was sent, on an association that was used before:
    the peer or a firewall may have dropped it meanwhile. `sent`: the number of bytes that the association had sent
    before the operation."""
    return reused and not session.established and session.carrier.bytes_sent == sent


def drop(session: _Closable) -> None:
    """Closes an idle association that cannot be used again: sends an A-ABORT, and does not wait for the peer."""
    with suppress(LocalProtocolError):  # it is over
        session.association.send(Abort())
    session.carrier.flush()
    session.close()

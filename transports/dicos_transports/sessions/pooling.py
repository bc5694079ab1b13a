"""A pool of associations with one destination: who gets which, when one is made, kept, given up. The same in every
adapter.

`PoolState` decides and does nothing itself: the pools of the adapters ask it, make and release associations, and tell
it what became of them. Time enters as a number.

    place = state.ask()              # granted at once, or later: `take_granted` has it then
    place.session                    # an idle association, to be looked at; None: make one, there is room
    state.connected(place, session)  # or failed(place), or withdraw(place)
    state.give_back(place, now)      # or lose(place)

Knows: limits, times, a queue. Must not know: sockets, threads, tasks, what a session is; but the pool of `blocking`
calls it from several threads, one at a time, under a lock.

Invariants: associations that are idle, in use, being made and being released are at most `size`; who asks first is
served first; an association is with one user at a time.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.errors import ProtocolError

if TYPE_CHECKING:
    from .base import BaseSession

SIZE: Final = 4
"""Associations of a pool, unless it is told otherwise."""
IDLE: Final = 30.0
"""Seconds after which an association that nobody uses is released. Providers that time out wait for a minute or so."""
PATIENCE: Final = 60.0
"""Seconds that a user waits for an association while all are in use."""


class PoolClosed(ProtocolError):
    """The pool is closed, or was not entered yet."""


class PoolExhausted(AssociationError):
    """All associations of the pool were in use for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """What a pool has, and has done since it was made."""

    idle: int = 0
    """Associations now that nobody uses."""
    in_use: int = 0
    """Associations now that somebody uses, or that are being made."""
    waiting: int = 0
    """Users now that wait for one."""
    made: int = 0
    """Associations that were made."""
    reused: int = 0
    """How often one that was idle was used again."""
    discarded: int = 0
    """Idle associations that the peer had released, aborted or lost when they were to be used again."""
    released: int = 0
    """Associations released because nobody used them for so long."""
    failed: int = 0
    """Associations that could not be made."""
    lost: int = 0
    """Associations that ended while they were in use."""
    timed_out: int = 0
    """Users that gave up waiting."""


S = TypeVar("S")


class Place(Generic[S]):
    """Somebody who asked for an association."""

    __slots__ = ("granted", "refused", "reused", "session", "since")

    def __init__(self) -> None:
        self.granted = False
        """Whether it has come to it: `session` is the association, None if one is to be made."""
        self.refused = False
        """The pool was closed meanwhile."""
        self.session: S | None = None
        self.reused = False
        """Whether the association was used before."""
        self.since = 0.0  # when it was given back last


class PoolState(Generic[S]):
    """Who gets which association. `idle`: seconds, None keeps them until they end."""

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
        """What it has now, and has done."""
        return replace(self._stats, idle=len(self._idle), in_use=self._taken, waiting=len(self._queue))

    # -- users ---------------------------------------------------------------------------------------------------

    def ask(self) -> Place[S]:
        """One more who wants an association. Raises `PoolClosed`."""
        if self.closed:
            raise PoolClosed("the pool is closed, or was not entered yet")
        place = Place[S]()
        self._queue.append(place)
        self._serve()
        return place

    def take_granted(self) -> list[Place[S]]:
        """The places that were granted, or refused, since this was asked last: their users are to be woken up."""
        granted, self._granted = self._granted, []
        return granted

    def withdraw(self, place: Place[S], *, late: bool = False) -> None:
        """Whoever asked has gone: cancelled, or `late`. What it was given meanwhile goes to the next."""
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
        """Its idle association was no good: another one is to be made in its place."""
        place.session, place.reused = None, False
        self._stats = replace(self._stats, reused=self._stats.reused - 1)
        self._count(discarded=True)

    def connected(self, place: Place[S], session: S) -> None:
        """One was made for it."""
        place.session = session
        self._count(made=True)

    def failed(self, place: Place[S]) -> None:
        """None could be made for it; the next one may try."""
        self._taken -= 1
        self._count(failed=True)
        self._serve()

    def give_back(self, place: Place[S], now: float) -> bool:
        """It is done, and its association is as good as before. Returns False if that is to be released: then, and
        not before, `gone` is called."""
        self._taken -= 1
        if self.closed or place.session is None:
            self._leaving += 1
            return False
        self._idle.append((now, place.session))
        self._serve()
        return True

    def lose(self, place: Place[S]) -> None:
        """It is done, and its association is over."""
        self._taken -= 1
        self._count(lost=True)
        self._serve()

    # -- what nobody uses ----------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `expire` has something to do; None: not as things are."""
        if self._idle_time is None or not self._idle:
            return None
        return min(since for since, _ in self._idle) + self._idle_time

    def expire(self, now: float) -> list[S]:
        """The associations to be released, for nobody used them for so long; `gone` is called for each."""
        if self._idle_time is None:
            return []
        old = [one for one in self._idle if one[0] + self._idle_time <= now]
        for one in old:
            self._idle.remove(one)
            self._count(released=True)
        self._leaving += len(old)
        return [session for _, session in old]

    def gone(self) -> None:
        """An association that was to be released is over, one way or another."""
        self._leaving -= 1
        self._serve()

    def open(self) -> None:
        """Begin, where it was closed from the start."""
        self.closed = False

    def close(self) -> list[S]:
        """No more of it: who waits is refused. The associations to be released; `gone` is called for each."""
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
        """Grant as many places as there is something for, in the order in which they were asked for."""
        while self._queue:
            if self._idle:
                since, session = self._idle.pop()  # the one used last: what is too many gets old, and is released
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


def exhausted(size: int, seconds: float) -> PoolExhausted:
    """What a user is told that has waited for too long."""
    used = "the only association of the pool is" if size == 1 else f"all {size} associations of the pool are"
    return PoolExhausted(f"no association within {seconds:g} s: {used} in use")


def check_place(where: object, patience: float | None) -> None:
    """Raise TypeError for what only one connection can be made of, ValueError for what is no time to wait."""
    network = isinstance(where, tuple) and isinstance(where[0], str)
    if not (network or isinstance(where, str | os.PathLike)):
        raise TypeError(f"a pool connects again and again, to an address; a {type(where).__name__} is none")
    if patience is not None and not patience >= 0:
        raise ValueError(f"patience of {patience} s; 0 or more, or None to wait for ever")


def fit(session: BaseSession) -> bool:
    """Whether an association that was used can be used again: it is established, and nothing is under way on it."""
    return session.established and session.exchange.at_rest


def may_retry(session: BaseSession, sent: int, *, reused: bool) -> bool:
    """Whether an operation that failed is to be tried once more on a new association: none of it was sent, on one that
    was used before, which its peer or a firewall may have given up meanwhile. `sent`: its bytes before."""
    return reused and session.carrier.bytes_sent == sent

"""A pool of associations in an event loop: the part that the pools of `trio` and `asyncio` have in common. `pooling`
makes the decisions.

Knows: sessions, and when a wait may be cancelled. Must not know: event loops. All of it runs in one thread, so between
two awaits nothing changes.

Invariant: wherever a task is cancelled, each place is given back once, and no association is left without an owner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Protocol, Self, TypeVar, Unpack

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.upper_layer.pdu_types import ProposedContext

from ..addresses import Address
from .opening import ConnectOptions
from .pooling import (
    IDLE,
    PATIENCE,
    SIZE,
    Place,
    PoolClosed,
    PoolState,
    PoolStats,
    check_place,
    drop,
    exhausted,
    fit,
    may_retry,
)
from .session import Session

T = TypeVar("T")


class Alarm(Protocol):
    """An event that one task waits for until it is set."""

    def set(self) -> object: ...


class AsyncPool(ABC):
    """Associations with one destination, used again and again, by any number of tasks.

        async with Pool("ARCHIVE@pacs.example:11112", contexts, size=4) as pool:
            async with pool.session() as session:
                await session.echo()

    All else: as in `blocking.Pool`; but it is entered before it is used, and left, it is closed: by an exception or
    cancelled, its associations are aborted.
    """

    def __init__(
        self,
        where: Address,
        contexts: tuple[ProposedContext, ...],
        *,
        size: int = SIZE,
        idle: float | None = IDLE,
        patience: float | None = PATIENCE,
        **options: Unpack[ConnectOptions],
    ) -> None:
        check_place(where, patience)
        self._where = where
        self._contexts = contexts
        self._size = size
        self._patience = patience
        self._options = options
        self._state: PoolState[Session] = PoolState(size=size, idle=idle)
        self._state.closed = True  # until it is entered
        self._waiting: dict[Place[Session], Alarm] = {}
        self._reaper_alarm: Alarm | None = None

    @property
    def stats(self) -> PoolStats:
        """The pool's numbers, now and since it was made: a copy."""
        return self._state.stats

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """An association, for as long as the block lasts. If the block is left by an exception, or in the middle of an
        operation, the association is aborted; otherwise it goes back to the pool.

        Raises `PoolExhausted`, `PoolClosed`, and what `connect` raises.
        """
        place = await self._place()
        session = await self._get(place)
        try:
            yield session
        except BaseException:
            await self._lose(place, session)
            raise
        await self._give_back(place, session)

    async def call(self, operation: Callable[[Session], Awaitable[T]]) -> T:
        """Calls and awaits `operation` with an association, and returns its result.

        An idle association may turn out to be over only when it is used. If nothing of the operation was sent, it is
        called once more, with a new association. Raises as `session` and `operation` do.
        """
        place = await self._place()
        session = await self._get(place)
        sent = session.carrier.bytes_sent
        try:
            try:
                found = await operation(session)
            except AssociationError:
                if not may_retry(session, sent, reused=place.reused):
                    raise
                await session.abort()
                self._state.replace(place)
                session = await self._get(place)
                found = await operation(session)
        except BaseException:
            if place.session is not None:
                await self._lose(place, session)
            raise
        await self._give_back(place, session)
        return found

    async def close(self) -> None:
        """Releases all unused associations now, and those in use when they are given back. May be called again."""
        idle = self._state.close()
        self._wake()
        await self._all([self._leaving(session) for session in idle])

    # -- inside --------------------------------------------------------------------------------------------------

    @abstractmethod
    async def _connect(self) -> Session:
        """Makes an association."""

    @abstractmethod
    def _now(self) -> float:
        """The time of the loop."""

    @abstractmethod
    def _alarm(self) -> Alarm:
        """Makes a new alarm."""

    @abstractmethod
    async def _wait(self, alarm: Alarm, seconds: float | None) -> None:
        """Waits until the alarm is set, for at most `seconds`."""

    @abstractmethod
    async def _all(self, works: Iterable[Callable[[], Awaitable[None]]]) -> None:
        """Runs all of these at the same time."""

    def _open(self) -> None:
        self._state.closed = False

    def _wake(self) -> None:
        """Sets the alarm of each user that was granted an association, and of the reaper."""
        for place in self._state.take_granted():
            if (alarm := self._waiting.get(place)) is not None:
                alarm.set()
        if self._reaper_alarm is not None:
            self._reaper_alarm.set()

    async def _place(self) -> Place[Session]:
        """Waits until a place is granted, and returns it."""
        place = self._state.ask()
        self._state.take_granted()  # if it is granted at once, this removes it from the list
        if not place.granted:
            await self._granted(place)
        return place

    async def _granted(self, place: Place[Session]) -> None:
        """Waits until `place` is granted. Raises `PoolClosed`, `PoolExhausted`."""
        alarm = self._waiting[place] = self._alarm()
        try:
            await self._wait(alarm, self._patience)
        except BaseException:  # cancelled
            self._state.withdraw(place)
            self._wake()
            raise
        finally:
            del self._waiting[place]
        if place.refused:
            raise PoolClosed("the pool was closed")
        if not place.granted:
            self._state.withdraw(place, late=True)
            raise exhausted(self._size, self._patience or 0.0)

    async def _get(self, place: Place[Session]) -> Session:
        """The association of a place: the idle one, if it is still good, else a new one."""
        session = place.session
        try:
            if session is not None:
                if await session.driver.run(session.exchange.look_idle()):
                    return session
                drop(session)
                self._state.replace(place)
            session = await self._connect()
        except BaseException:
            if place.session is None:
                self._state.failed(place)
            else:  # cancelled while it was checked, which takes nothing from it
                self._state.withdraw(place)
            self._wake()
            raise
        self._state.connected(place, session)
        return session

    async def _lose(self, place: Place[Session], session: Session) -> None:
        try:
            await session.abort()
        finally:
            self._state.lose(place)
            self._wake()

    async def _give_back(self, place: Place[Session], session: Session) -> None:
        if not fit(session):
            await self._lose(place, session)
        elif self._state.give_back(place, self._now()):
            self._wake()
        else:
            await self._leave(session)

    def _leaving(self, session: Session) -> Callable[[], Awaitable[None]]:
        return lambda: self._leave(session)

    async def _leave(self, session: Session) -> None:
        """Releases the association, and ignores how that ends."""
        try:
            if await session.driver.run(session.exchange.look_idle()):
                with suppress(AssociationError):
                    await session.release()
            else:
                drop(session)
        except BaseException:  # cancelled
            await session.abort()
            raise
        finally:
            session.close()
            self._state.gone()
            self._wake()

    async def _abort_all(self) -> None:
        """Closes the pool and aborts the unused associations, because the pool is left by an exception."""

        def aborting(session: Session) -> Callable[[], Awaitable[None]]:
            return session.abort

        idle = self._state.close()
        self._wake()
        await self._all([aborting(session) for session in idle])

    async def _reap(self) -> None:
        """Releases unused associations, in a task of its own, until it is cancelled."""
        while True:
            at = self._state.deadline()
            now = self._now()
            if at is not None and at <= now:
                await self._all([self._leaving(session) for session in self._state.expire(now)])
                continue
            self._reaper_alarm = self._alarm()
            await self._wait(self._reaper_alarm, None if at is None else at - now)
            self._reaper_alarm = None

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Begin."""

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""

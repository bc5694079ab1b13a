"""A pool of associations in every adapter: how a user gets one, and how each ends. `pooling` makes the decisions.

All of it is coroutines. In an event loop they run in one thread, so between two awaits nothing changes. In `blocking`
they never suspend, and any number of threads run them, so the state is used only under `_lock`.

Knows: sessions, and when a wait may be interrupted. Must not know: event loops, threads.

Invariant: wherever a user is interrupted, each place is given back once, and no association is left without an owner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import TypeVar, Unpack

from dicos_proto.conversation.exchange import look_idle
from dicos_proto.conversation.flows import AssociationError
from dicos_proto.upper_layer.pdu_types import ProposedContext

from ..addresses import Address
from ..options import ConnectOptions
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

__all__ = ["BasePool"]

T = TypeVar("T")


class BasePool(ABC):
    """Associations with one destination, used again and again."""

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
        self._prepare()

    @property
    def stats(self) -> PoolStats:
        """The pool's numbers, now and since it was made: a copy."""
        with self._lock:
            return self._state.stats

    # -- of the adapter ------------------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self) -> None:
        """Sets the attributes that the adapter needs besides."""

    @abstractmethod
    async def _connect(self) -> Session:
        """Makes an association."""

    @abstractmethod
    def _now(self) -> float:
        """The time of the adapter."""

    _lock: AbstractContextManager[object] = nullcontext()
    """Under it nobody else uses the state."""

    @abstractmethod
    def _wake(self) -> None:
        """Wakes the users that were granted or refused a place, and the reaper. The caller holds the lock."""

    @abstractmethod
    async def _turn(self, place: Place[Session]) -> None:
        """Waits until `place` is granted or refused, for at most the pool's patience."""

    @abstractmethod
    async def _all(self, works: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Runs all of these, at the same time if the adapter can."""

    # -- users ---------------------------------------------------------------------------------------------------

    async def _take(self) -> tuple[Place[Session], Session]:
        """Waits for a place; returns it and its association."""
        with self._lock:
            place = self._state.ask()
        if not place.granted:
            await self._granted(place)
        return place, await self._get(place)

    async def _call(self, operation: Callable[[Session], Awaitable[T]]) -> T:
        place, session = await self._take()
        sent = session.carrier.bytes_sent
        try:
            try:
                found = await operation(session)
            except AssociationError:
                if not may_retry(session, sent, reused=place.reused):
                    raise
                await session.abort()
                with self._lock:
                    self._state.replace(place)
                session = await self._get(place)
                found = await operation(session)
        except BaseException:
            if place.session is not None:
                await self._lose(place, session)
            raise
        await self._give_back(place, session)
        return found

    async def _granted(self, place: Place[Session]) -> None:
        """Waits until `place` is granted. Raises `PoolClosed`, `PoolExhausted`."""
        try:
            await self._turn(place)
        except BaseException:  # cancelled, or Ctrl-C
            with self._lock:
                self._state.withdraw(place)
                self._wake()
            raise
        with self._lock:
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
                if await session.driver.run(look_idle(session.exchange)):
                    return session
                drop(session)
                with self._lock:
                    self._state.replace(place)
            session = await self._connect()
        except BaseException:
            with self._lock:
                self._give_up(place)
                self._wake()
            raise
        with self._lock:
            self._state.connected(place, session)
        return session

    def _give_up(self, place: Place[Session]) -> None:
        """The user of `place` was interrupted, or no association could be made."""
        if place.session is None:
            self._state.failed(place)
        else:  # cancelled while it was checked, which takes nothing from it
            self._state.withdraw(place)

    async def _lose(self, place: Place[Session], session: Session) -> None:
        try:
            await session.abort()
        finally:
            with self._lock:
                self._state.lose(place)
                self._wake()

    async def _give_back(self, place: Place[Session], session: Session) -> None:
        if not fit(session):
            await self._lose(place, session)
            return
        with self._lock:
            kept = self._state.give_back(place, self._now())
            self._wake()
        if not kept:
            await self._leave(session)

    # -- the end -------------------------------------------------------------------------------------------------

    async def _close(self, end: Callable[[Session], Awaitable[None]]) -> None:
        """Closes the pool, and calls `end` for each unused association."""
        with self._lock:
            idle = self._state.close()
            self._wake()
        await self._all([partial(end, session) for session in idle])

    async def _leave(self, session: Session) -> None:
        """Releases the association, and ignores how that ends."""
        try:
            if await session.driver.run(look_idle(session.exchange)):
                with suppress(AssociationError):
                    await session.release()
            else:
                drop(session)
        except BaseException:  # cancelled, or Ctrl-C
            await session.abort()
            raise
        finally:
            session.close()
            with self._lock:
                self._state.gone()
                self._wake()

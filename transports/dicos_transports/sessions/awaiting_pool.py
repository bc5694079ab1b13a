"""A pool of associations in an event loop: the part that the pools of `trio` and `asyncio` have in common.

Knows: alarms, which one task waits for. Must not know: event loops.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from .base_pool import BasePool
from .pooling import Place, drop
from .session import Session

__all__ = ["Alarm", "AsyncPool", "drop"]

T = TypeVar("T")


class Alarm(Protocol):
    """An event that one task waits for until it is set."""

    def set(self) -> object: ...


class AsyncPool(BasePool):
    """Associations with one destination, used again and again, by any number of tasks.

        async with Pool("ARCHIVE@pacs.example:11112", contexts, size=4) as pool:
            async with pool.session() as session:
                await session.echo()

    Like `blocking.Pool`, but enter it before use. Leaving the block closes it; after an exception or a cancellation its
    associations are aborted.
    """

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """An association, for as long as the block lasts. If the block is left by an exception, or in the middle of an
        operation, the association is aborted; otherwise it goes back to the pool.

        Raises `PoolExhausted`, `PoolClosed`, and what `connect` raises.
        """
        place, session = await self._take()
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
        return await self._call(operation)

    async def close(self) -> None:
        """Releases all unused associations now, and those in use when they are given back. May be called again."""
        await self._close(self._leave)

    # -- inside --------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._state.closed = True  # until it is entered
        self._waiting: dict[Place[Session], Alarm] = {}
        self._reaper_alarm: Alarm | None = None

    @abstractmethod
    def _alarm(self) -> Alarm:
        """Makes a new alarm."""

    @abstractmethod
    async def _wait(self, alarm: Alarm, seconds: float | None) -> None:
        """Waits until the alarm is set, for at most `seconds`."""

    def _wake(self) -> None:
        for place in self._state.take_granted():
            if (alarm := self._waiting.get(place)) is not None:
                alarm.set()
        if self._reaper_alarm is not None:
            self._reaper_alarm.set()

    async def _turn(self, place: Place[Session]) -> None:
        alarm = self._waiting[place] = self._alarm()
        try:
            await self._wait(alarm, self._patience)
        finally:
            del self._waiting[place]

    async def _abort_all(self) -> None:
        """Closes the pool and aborts the unused associations, because the pool is left by an exception."""
        await self._close(Session.abort)

    async def _reap(self) -> None:
        """Releases unused associations, in a task of its own, until it is cancelled."""
        while True:
            at = self._state.deadline()
            now = self._now()
            if at is not None and at <= now:
                await self._all([partial(self._leave, session) for session in self._state.expire(now)])
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

"""The pool of associations of `trio`. `pooling` makes the decisions."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, cast

import trio

from ..sessions.awaiting_pool import Alarm, AsyncPool
from ..sessions.session import Session

__all__ = ["Pool"]


class Pool(AsyncPool):
    __doc__ = AsyncPool.__doc__

    _tasks: AsyncExitStack | None = None
    _nursery: trio.Nursery | None = None

    async def _connect(self) -> Session:
        from .adapter import connect

        return await connect(self._where, self._contexts, **self._options)

    def _now(self) -> float:
        return trio.current_time()

    def _alarm(self) -> Alarm:
        return trio.Event()

    async def _wait(self, alarm: Alarm, seconds: float | None) -> None:
        with trio.move_on_after(math.inf if seconds is None else seconds):
            await cast(trio.Event, alarm).wait()

    async def _all(self, works: Sequence[Callable[[], Awaitable[None]]]) -> None:
        async with trio.open_nursery() as nursery:
            for work in works:
                nursery.start_soon(work)

    async def __aenter__(self) -> Self:
        self._tasks = AsyncExitStack()
        self._nursery = await self._tasks.enter_async_context(trio.open_nursery())
        self._state.open()
        self._nursery.start_soon(self._reap)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await (self.close() if error is None else self._abort_all())
        finally:  # the exception is raised itself, not in a group of the nursery
            if self._nursery is not None and self._tasks is not None:
                self._nursery.cancel_scope.cancel()
                await self._tasks.aclose()

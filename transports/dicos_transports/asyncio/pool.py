"""The pool of associations of `asyncio`. `pooling` makes the decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, cast

from ..sessions.awaiting_pool import Alarm, AsyncPool
from ..sessions.session import Session

__all__ = ["Pool"]


class Pool(AsyncPool):
    __doc__ = AsyncPool.__doc__

    _task: asyncio.Task[None] | None = None

    async def _connect(self) -> Session:
        from .adapter import connect

        return await connect(self._where, self._contexts, **self._options)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _alarm(self) -> Alarm:
        return asyncio.Event()

    async def _wait(self, alarm: Alarm, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await cast(asyncio.Event, alarm).wait()
        except TimeoutError:
            pass

    async def _all(self, works: Sequence[Callable[[], Awaitable[None]]]) -> None:
        async def done(work: Callable[[], Awaitable[None]]) -> None:
            await work()

        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(done(work))

    async def __aenter__(self) -> Self:
        self._state.open()
        self._task = asyncio.create_task(self._reap(), name="pool")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await (self.close() if error is None else self._abort_all())
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])

"""A pool of associations over blocking sockets, for any number of threads. `pooling` makes the decisions."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

from ..sessions import session as awaiting
from ..sessions.base_pool import BasePool
from ..sessions.finished import finished
from ..sessions.pooling import Place, drop
from .adapter import connected
from .session import Session

__all__ = ["Pool", "drop"]

T = TypeVar("T")


class Pool(BasePool):
    """Associations with one destination, used again and again, by any number of threads.

        with Pool("ARCHIVE@pacs.example:11112", contexts, size=4) as pool:
            with pool.session() as session:
                session.echo()

    `where`: as in `connect`. `contexts`: what each association proposes. `size`: the largest number of associations at
    a time. `idle`: seconds after which an unused association is released, None for never. `patience`: seconds that a
    user waits while all are in use, None for no limit; users are served in the order in which they ask. `options`:
    those of `connect`.

    An association that the peer has released or aborted meanwhile, or that is lost, is not handed out: the pool makes
    another one. The pool is a context manager, which closes it at the end of the block.
    """

    @contextmanager
    def session(self) -> Iterator[Session]:
        """An association, for as long as the block lasts. If the block is left by an exception, or in the middle of an
        operation, the association is aborted; otherwise it goes back to the pool.

        Raises `PoolExhausted`, `PoolClosed`, and what `connect` raises.
        """
        place, session = finished(self._take())
        try:
            yield Session(session)
        except BaseException:
            finished(self._lose(place, session))
            raise
        finished(self._give_back(place, session))

    def call(self, operation: Callable[[Session], T]) -> T:
        """Calls `operation` with an association and returns its result.

        An idle association may turn out to be over only when it is used. If nothing of the operation was sent, it is
        called once more, with a new association. Raises as `session` and `operation` do.
        """

        async def awaited(session: awaiting.Session) -> T:
            return operation(Session(session))

        return finished(self._call(awaited))

    def close(self) -> None:
        """Releases all unused associations now, and those in use when they are given back. May be called again."""
        finished(self._close(self._leave))
        if self._reaper is not None and self._reaper is not threading.current_thread():
            self._reaper.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside --------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._lock = self._changed = threading.Condition()
        self._reaper: threading.Thread | None = None

    async def _connect(self) -> awaiting.Session:
        return await connected(self._where, self._contexts, **self._options)

    def _now(self) -> float:
        return monotonic()

    def _wake(self) -> None:
        self._state.take_granted()  # their users look at their places themselves
        self._changed.notify_all()

    async def _turn(self, place: Place[awaiting.Session]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: place.granted or place.refused, self._patience)

    async def _all(self, works: Sequence[Callable[[], Awaitable[None]]]) -> None:
        for work in works:
            await work()

    def _give_up(self, place: Place[awaiting.Session]) -> None:
        if place.session is not None:  # Ctrl-C, anywhere in its check
            place.session.close()
            self._state.replace(place)
        super()._give_up(place)

    async def _give_back(self, place: Place[awaiting.Session], session: awaiting.Session) -> None:
        await super()._give_back(place, session)
        with self._changed:
            if self._reaper is None and self._state.deadline() is not None:
                reaper = threading.Thread(target=self._reap, name="pool", daemon=True)
                with suppress(RuntimeError):  # the system gives no more threads: the next one may try
                    reaper.start()
                    self._reaper = reaper

    def _reap(self) -> None:
        """Releases unused associations, in a thread of its own, until the pool is closed."""
        while True:
            with self._changed:
                while not self._state.closed:
                    at = self._state.deadline()
                    if at is not None and at <= monotonic():
                        break
                    self._changed.wait(None if at is None else at - monotonic())
                old = self._state.expire(monotonic())
                if self._state.closed and not old:
                    return
            for session in old:
                finished(self._leave(session))

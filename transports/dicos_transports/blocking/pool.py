"""A pool of associations over blocking sockets, for any number of threads. `pooling` makes the decisions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.upper_layer.pdu_types import ProposedContext

from ..addresses import Address
from ..options import ConnectOptions
from ..sessions.finished import finished
from ..sessions.pooling import (
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

if TYPE_CHECKING:
    from .session import Session

T = TypeVar("T")


class Pool:
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
        self._changed = threading.Condition()
        self._reaper: threading.Thread | None = None

    @property
    def stats(self) -> PoolStats:
        """The pool's numbers, now and since it was made: a copy."""
        with self._changed:
            return self._state.stats

    @contextmanager
    def session(self) -> Iterator[Session]:
        """An association, for as long as the block lasts. If the block is left by an exception, or in the middle of an
        operation, the association is aborted; otherwise it goes back to the pool.

        Raises `PoolExhausted`, `PoolClosed`, and what `connect` raises.
        """
        place = self._place()
        session = self._get(place)
        try:
            yield session
        except BaseException:
            self._lose(place, session)
            raise
        self._give_back(place, session)

    def call(self, operation: Callable[[Session], T]) -> T:
        """Calls `operation` with an association and returns its result.

        An idle association may turn out to be over only when it is used. If nothing of the operation was sent, it is
        called once more, with a new association. Raises as `session` and `operation` do.
        """
        place = self._place()
        session = self._get(place)
        sent = session.carrier.bytes_sent
        try:
            try:
                found = operation(session)
            except AssociationError:
                if not may_retry(session, sent, reused=place.reused):
                    raise
                session.abort()
                with self._changed:
                    self._state.replace(place)
                session = self._get(place)
                found = operation(session)
        except BaseException:
            if place.session is not None:
                self._lose(place, session)
            raise
        self._give_back(place, session)
        return found

    def close(self) -> None:
        """Releases all unused associations now, and those in use when they are given back. May be called again."""
        with self._changed:
            idle = self._state.close()
            self._changed.notify_all()
        for session in idle:
            self._leave(session)
        if self._reaper is not None and self._reaper is not threading.current_thread():
            self._reaper.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside --------------------------------------------------------------------------------------------------

    def _place(self) -> Place[Session]:
        """A place that is granted, waited for."""
        until = None if self._patience is None else monotonic() + self._patience
        with self._changed:
            place = self._state.ask()
            try:
                while not (place.granted or place.refused):
                    left = None if until is None else until - monotonic()
                    if left is not None and left <= 0:
                        break
                    self._changed.wait(left)
            except BaseException:  # Ctrl-C
                self._state.withdraw(place)
                self._changed.notify_all()
                raise
            if place.refused:
                raise PoolClosed("the pool was closed")
            if not place.granted:
                self._state.withdraw(place, late=True)
                raise exhausted(self._size, self._patience or 0.0)
        return place

    def _get(self, place: Place[Session]) -> Session:
        """The association of a place: the idle one, if it is still good, else a new one."""
        session = place.session
        try:
            if session is not None:
                if finished(session.driver.run(session.exchange.look_idle())):
                    return session
                drop(session)
                with self._changed:
                    self._state.replace(place)
            from .adapter import connect

            session = connect(self._where, self._contexts, **self._options)
        except BaseException:
            if place.session is not None:  # interrupted while it was checked
                place.session.close()
                with self._changed:
                    self._state.replace(place)
            with self._changed:
                self._state.failed(place)
                self._changed.notify_all()
            raise
        with self._changed:
            self._state.connected(place, session)
        return session

    def _lose(self, place: Place[Session], session: Session) -> None:
        try:
            session.abort()
        finally:
            with self._changed:
                self._state.lose(place)
                self._changed.notify_all()

    def _give_back(self, place: Place[Session], session: Session) -> None:
        if not fit(session):
            self._lose(place, session)
            return
        with self._changed:
            kept = self._state.give_back(place, monotonic())
            if kept and self._reaper is None and self._state.deadline() is not None:
                reaper = threading.Thread(target=self._reap, name="pool", daemon=True)
                with suppress(RuntimeError):  # the system gives no more threads: the next one may try
                    reaper.start()
                    self._reaper = reaper
            self._changed.notify_all()
        if not kept:
            self._leave(session)

    def _leave(self, session: Session) -> None:
        """Releases the association, and ignores how that ends."""
        try:
            if finished(session.driver.run(session.exchange.look_idle())):
                with suppress(AssociationError):
                    session.release()
            else:
                drop(session)
        finally:
            session.close()
            with self._changed:
                self._state.gone()
                self._changed.notify_all()

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
                self._leave(session)

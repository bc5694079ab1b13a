"""Servers whose handlers are awaited: what `trio` and `asyncio` have in common, which is all but tasks.

Knows: sessions, who is let in. Must not know: event loops. An adapter accepts connections, gives each a task that runs
`_serve`, and says what ends such a task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from dicos_proto.conversation import flows
from dicos_proto.dimse.events import Event
from dicos_proto.upper_layer.machine import State

from ..sessions.channel import ServerStopping
from ..sessions.session import Session
from .admission import CURRENT
from .reception import AsyncIdentify, BaseServer, Connection, Serving, verdict_of

Handler = Callable[[Session], Awaitable[None]]
T = TypeVar("T")
V = TypeVar("V")


class AsyncServer(BaseServer, ABC):
    """One task for each connection; all tasks in one thread."""

    def __init__(self, handler: Handler, serving: Serving, identify: AsyncIdentify | None) -> None:
        super().__init__(serving)
        self._handler = handler
        self._identify = identify
        self._stopping = False
        self._accepting = 0  # tasks that accept connections

    @property
    def _done(self) -> bool:
        """Whether it was stopped, or its one connection is over, and nothing is left."""
        return not self._accepting and not self._reception.slots

    def _interrupt(self) -> None:
        """Interrupt whoever waits for a new request."""
        for connection in self._reception.slots:
            if isinstance(session := connection.session, Session):
                session.driver.interrupt()

    def _kill(self) -> None:
        """End every connection at once."""
        for connection in self._reception.slots:
            if connection.stop is not None:
                connection.stop()

    async def _converse(self, connection: Connection, session: Session) -> None:
        """All of one connection. Raises what ends it."""
        CURRENT.set(connection)
        connection.session = session
        session.count_by(self._reception.holding(connection))
        if self._stopping:
            session.driver.interrupt()
        async with session:
            try:
                if await self._establish(connection, session):
                    await self._handler(session)
                else:
                    try:
                        await session.driver.run(flows.finish(session.association), interruptible=True)
                    finally:
                        session.close()  # whatever ends the wait: the rejection is all there is to say
            except ServerStopping:
                if session.association.state is not State.Sta13:
                    raise
                session.close()  # it is released, and was only waited for the peer to close

    async def _establish(self, connection: Connection, session: Session) -> bool:
        """Answer the A-ASSOCIATE-RQ; whether it was accepted."""
        reception = self._reception
        request = await session.driver.run(flows.await_request(session.association), interruptible=True)
        if not reception.admit(connection, session, request):
            return False
        event: Event | None = None  # what has ended the association while its user was looked at
        try:
            identity = self._identify(request) if self._identify is not None else None
            if isawaitable(identity):
                over = session.driver.run(flows.until_over(session.association))
                event, identity = await self._first(over, identity)
            verdict = None if event is not None else verdict_of(identity)
        except Exception as error:  # out of the caller's function: it rejects this one for now, and ends no server
            reception.undecided(connection, session, error)
            return False
        if event is not None:
            await session.driver.run(flows.end_by(session.association, event), interruptible=True)
        accepted = reception.answer(connection, session, request, verdict)
        session.driver.flush()
        return accepted

    @abstractmethod
    async def _first(self, over: Awaitable[T], wanted: Awaitable[V]) -> tuple[T, None] | tuple[None, V]:
        """Await both until the first of them ends; the other one is cancelled. Should both end, `over` counts.

        Raises what either raises."""


__all__ = ["AsyncServer", "Handler", "ServerStopping"]

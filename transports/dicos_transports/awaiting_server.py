"""Servers whose handlers are awaited: what `trio` and `asyncio` have in common, which is all but tasks.

Knows: sessions, who is let in. Must not know: event loops. An adapter accepts connections, gives each a task that runs
`_serve`, and says what ends such a task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable

from dicos_proto.association import Association
from dicos_proto.flows import AssociationError

from .awaiting import Session
from .channel import ServerStopping
from .serving import AsyncIdentify, BaseServer, Connection, Serving

Handler = Callable[[Session], Awaitable[None]]


class AsyncServer(BaseServer):
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
        slots = self._reception.slots
        for connection in (*slots.pending, *slots.active):
            if isinstance(session := connection.session, Session):
                session.driver.interrupt()

    def _kill(self) -> None:
        """End every connection at once."""
        slots = self._reception.slots
        for connection in (*slots.pending, *slots.active, *slots.leaving):
            if connection.stop is not None:
                connection.stop()

    async def _converse(self, connection: Connection, session: Session) -> None:
        """All of one connection. Raises what ends it."""
        connection.session = session
        if self._stopping:
            session.driver.interrupt()
        async with session:
            if await self._establish(connection, session):
                await self._handler(session)

    async def _establish(self, connection: Connection, session: Session) -> bool:
        """Answer the A-ASSOCIATE-RQ; whether it was accepted."""
        reception = self._reception
        request = await session.driver.run(reception.request(connection, session), interruptible=True)
        if request is None:
            return False
        identity = self._identify(request) if self._identify is not None else None
        if isawaitable(identity):
            identity = await identity
        return await session.run(reception.answer(connection, session, request, identity))

    def _over(self, connection: Connection, error: BaseException | None, association: Association) -> None:
        """A connection is over: by this exception out of `_converse`, or in good order."""
        self._reception.end(connection, _told(error), association)


def _told(error: BaseException | None) -> BaseException | None:
    """A handler with tasks of its own raises a group: of one association there is one end to tell."""
    while isinstance(error, ExceptionGroup) and all(isinstance(one, AssociationError | ExceptionGroup)
                                                    for one in error.exceptions):  # fmt: skip
        error = error.exceptions[0]
    return error


__all__ = ["AsyncServer", "Handler", "ServerStopping"]

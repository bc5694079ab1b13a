"""Servers whose handlers are awaited in an event loop: all that `trio` and `asyncio` have in common, but tasks.

Knows: how a server stops. Must not know: event loops. An adapter waits for connections, gives each a task that runs
`_converse`, and says what ends such a task.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Generic, TypeVar

from dicos_proto.conversation import flows
from dicos_proto.dimse.events import Event
from dicos_proto.upper_layer.pdu_types import AssociateRequest

from ..addresses import Listeners
from ..sessions.channel import ServerStopping
from ..sessions.loop_driver import LoopDriver
from ..sessions.session import Session
from .conversing import ConversingServer, Looked
from .options import AsyncIdentify, ServerConfig, check_returned, verdict_of
from .reception import AFTER_KILL, GRACE, Connection

Handler = Callable[[Session], Awaitable[None]]
T = TypeVar("T")
V = TypeVar("V")
C = TypeVar("C")
"""A connection that is open already."""


class AsyncServer(ConversingServer, Generic[C]):
    """One task for each connection; all tasks in one thread."""

    def __init__(
        self,
        handler: Handler,
        serving: ServerConfig,
        identify: AsyncIdentify | None,
        listeners: Listeners | None = None,
        connection: C | None = None,
    ) -> None:
        """It serves the connections of `listeners`, or the one `connection`."""
        super().__init__(serving)
        self._handler = handler
        self._identify = identify
        self._listeners = listeners
        self._connection = connection
        self._listening_on = listeners.names if listeners is not None else []
        self._stopping = False
        self._accepting = 0  # tasks that accept connections
        self._prepare()

    @abstractmethod
    def _prepare(self) -> None:
        """Sets the attributes that the adapter needs besides."""

    def stop(self) -> None:
        """Ask it to stop. Returns at once; may be called again."""
        if not self._stopping:
            self._stopping = True
            self._stop_accepting()
            self._interrupt()

    @abstractmethod
    async def wait(self, timeout: float | None = None) -> bool:
        """Waits until the server is stopped, or its one connection is over, and nothing is left. Returns False if
        `timeout` seconds pass first."""

    async def close(self, grace: float = GRACE) -> None:
        """Stops; lets operations finish for `grace` seconds, then aborts the other associations and waits for them."""
        self.stop()
        if not await self.wait(grace):
            self._reception.tell_killed(grace)
            self._kill()
            if not await self.wait(AFTER_KILL):
                self._reception.tell_stuck("still waiting")

    @abstractmethod
    def _stop_accepting(self) -> None:
        """Ends the tasks that accept connections, or makes them end soon."""

    @property
    def _done(self) -> bool:
        """True if the server was stopped, or its one connection is over, and nothing is left."""
        return not self._accepting and not self._reception.slots

    def _interrupt(self) -> None:
        """Interrupts each association that waits for a new request."""
        for connection in self._reception.slots:
            if isinstance(session := connection.session, Session):
                _interrupt(session)

    def _kill(self) -> None:
        """Ends every connection at once."""
        for connection in self._reception.slots:
            if connection.stop is not None:
                connection.stop()

    async def _converse(self, connection: Connection, session: Session) -> None:
        if self._stopping:
            _interrupt(session)
        await super()._converse(connection, session)

    async def _handle(self, session: Session) -> None:
        returned = self._handler(session)
        check_returned(returned, awaited=True)
        await returned

    async def _look_at_user(self, session: Session, request: AssociateRequest) -> Looked:
        event: Event | None = None  # the event that ended the association while its user was checked
        try:
            identity = self._identify(request) if self._identify is not None else None
            if isawaitable(identity):
                over = session.driver.run(flows.until_over(session.association))
                event, identity = await self._first(over, identity)
            return Looked(event, None if event is not None else verdict_of(identity))
        except Exception as error:  # out of the caller's function: it rejects this one for now, and ends no server
            return Looked(fault=error)

    @abstractmethod
    async def _first(self, over: Awaitable[T], wanted: Awaitable[V]) -> tuple[T, None] | tuple[None, V]:
        """Await both until the first of them ends; the other one is cancelled. Should both end, `over` counts.

        Raises what either raises."""


def _interrupt(session: Session) -> None:
    if isinstance(session.driver, LoopDriver):
        session.driver.interrupt()


__all__ = ["AsyncServer", "Handler", "ServerStopping"]

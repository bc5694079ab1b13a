"""A server's side of one association, from its request to its end, in every adapter.

Knows: sessions, who is admitted. Must not know: threads, event loops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from dicos_proto.conversation import flows
from dicos_proto.dimse.events import Event
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import IdentityVerdict

from ..sessions.base import count_by
from ..sessions.channel import ServerStopping
from ..sessions.session import Session
from .admission import CURRENT
from .reception import BaseServer, Connection

__all__ = ["ConversingServer", "Looked"]


class Looked(NamedTuple):
    """The outcome of checking the user of a request. `event`: the one that ended the association meanwhile, if it
    ended; `fault`: the exception that the caller's own function raised."""

    event: Event | None = None
    verdict: IdentityVerdict | None = None
    fault: Exception | None = None


class ConversingServer(BaseServer, ABC):
    """A server whose adapter gives each connection a thread or a task that runs `_converse`."""

    async def _converse(self, connection: Connection, session: Session) -> None:
        """Handles one connection from beginning to end. Raises the exception that ends it."""
        CURRENT.set(connection)
        connection.session = session
        count_by(session, self._reception.holding(connection))
        async with session:
            try:
                if await self._establish(connection, session):
                    await self._handle(session)
                else:
                    try:
                        await session.driver.run(flows.finish(session.association), interruptible=True)
                    finally:
                        session.close()  # however the wait ends: nothing follows a rejection
            except ServerStopping:
                if session.association.state is not State.Sta13:
                    raise
                session.close()  # it is released; only the peer's close was awaited
            except Exception as error:
                connection.fault = error
                raise

    async def _establish(self, connection: Connection, session: Session) -> bool:
        """Answer the A-ASSOCIATE-RQ. Returns True if it was accepted."""
        reception = self._reception
        request = await session.driver.run(flows.await_request(session.association), interruptible=True)
        if not reception.admit(connection, session, request):
            return False
        looked = await self._look_at_user(session, request)
        if looked.event is not None:
            await session.driver.run(flows.end_by(session.association, looked.event), interruptible=True)
        if looked.fault is not None:
            try:
                reception.undecided(connection, session, looked.fault)
            finally:
                del looked  # its traceback has frames of the caller's function
            return False
        accepted = reception.answer(connection, session, request, looked.verdict)
        session.driver.flush()
        return accepted

    @abstractmethod
    async def _handle(self, session: Session) -> None:
        """Call the handler."""

    @abstractmethod
    async def _look_at_user(self, session: Session, request: AssociateRequest) -> Looked:
        """Calls the caller's function to check the user, if there is one, and notices the end of the association."""

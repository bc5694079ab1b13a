"""A server's side of one association, from its request to its end, in every adapter.

Knows: sessions, who is let in. Must not know: threads, event loops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from dicos_proto.conversation import flows
from dicos_proto.dimse.events import Event
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import IdentityVerdict

from ..sessions.channel import ServerStopping
from ..sessions.session import Session
from .admission import CURRENT
from .reception import BaseServer, Connection

__all__ = ["ConversingServer", "Looked"]


class Looked(NamedTuple):
    """What came of looking at the user of a request. `event` has ended the association meanwhile, if it did; `fault`
    was raised by the caller's own function."""

    event: Event | None = None
    verdict: IdentityVerdict | None = None
    fault: Exception | None = None


class ConversingServer(BaseServer, ABC):
    """A server whose adapter gives each connection a thread or a task that runs `_converse`."""

    async def _converse(self, connection: Connection, session: Session) -> None:
        """All of one connection. Raises what ends it."""
        CURRENT.set(connection)
        connection.session = session
        session.count_by(self._reception.holding(connection))
        async with session:
            try:
                if await self._establish(connection, session):
                    await self._handle(session)
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
        """Ask the caller's function who the user is, if there is one, and see that the association is still there."""

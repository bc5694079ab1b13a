"""The part of a session that runs flows, and that ends the association.

Knows: which exceptions leave an association that can only be aborted. Must not know: services, event loops.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.feed import PushSource
from dicos_proto.conversation.flows import AssociationError
from dicos_proto.errors import ProtocolError
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_proto.wire import Buffer

from .base import LAST_WORDS, BaseSession, Carrier, is_spoilt

if TYPE_CHECKING:
    from ..tls.layer import TLSLayer
    from ..tracing import Trace

__all__ = ["AsyncDriver", "Running", "end_by", "establish"]

T = TypeVar("T")


class AsyncDriver(Carrier, Protocol):
    """An interpreter of flows with awaitable waits. The one of `blocking` waits inside the call and never suspends."""

    async def run(self, flow: flows.Flow[flows.T], *, interruptible: bool = False) -> flows.T:
        """Interpret `flow` to its end and return its result. `interruptible`: the flow waits for a new request."""

    def advance(
        self, stream: flows.Stream[flows.T], need: flows.Need | None, *, interruptible: bool = False
    ) -> Coroutine[Any, Any, flows.T | None]:
        """Meet `need`, if `stream` has yielded one, and interpret it up to its next result; None at its end."""

    async def finish(self, flow: flows.Flow[None], seconds: float) -> None:
        """Interpret `flow` for at most `seconds`, even if the task is cancelled meanwhile."""

    @property
    def may_go_on(self) -> bool:
        """False if other tasks are due, or an interruption is. Then a stream may continue by `advance` only."""

    def carry(self, unparsed: Callable[[], int], trace: Trace | None) -> None:
        """Set the function that counts received bytes that wait to be parsed, and the trace to call at the end."""

    def close(self) -> None:
        """Closes the connection without sending anything more."""


class Running(BaseSession):
    """An association, and the driver that runs its flows."""

    def __init__(self, association: Association, driver: AsyncDriver, peer: str, layer: TLSLayer | None = None) -> None:
        super().__init__(association, driver, peer, layer)
        self.driver = driver

    # -- the end -------------------------------------------------------------------------------------------------

    async def release(self) -> None:
        """Releases the association, and closes the connection. Raises `AssociationAborted` if it ends otherwise."""
        try:
            await self.driver.run(flows.release(self.association))
        except AssociationError:
            self.close()
            raise
        except BaseException:  # cancelled, or within a message: the peer gets an abort before the connection closes
            await self.abort()
            raise
        self.close()

    async def abort(self, event: Abort = Abort()) -> None:  # noqa: B008  a frozen value
        """Aborts the association, if it is not over, and closes the connection.

        It takes two seconds at most, in trio and asyncio even in a task that is cancelled.
        """
        if self.driver.closed:
            return
        try:
            await self.driver.finish(flows.abort(self.association, event), LAST_WORDS)
        except AssociationError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Closes the connection without a message to the peer; `release` and `abort` end the association first."""
        self.driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.established and not self.association.operations.sending:
            await self.release()
        else:
            await self.abort()

    # -- inside --------------------------------------------------------------------------------------------------

    async def run(self, flow: flows.Flow[flows.T]) -> flows.T:
        """Interprets a flow of this association, for example one that you wrote yourself.

        If it is interrupted (in trio and asyncio: cancelled) in the middle of an operation of either side, or a source
        raises, the association is aborted: otherwise the peer would wait for the rest, or send answers that nobody
        reads.
        """
        # If the flow ends early, the part of the peer's request that it has read is lost, or half answered.
        owed = self.association.operations.owed > 0
        try:
            return await self.driver.run(flow)
        except BaseException as error:
            await end_by(self, error, owed=owed)
            raise

    async def _fed(self, flow: flows.Flow[T], feed: PushSource, pieces: AsyncIterator[Buffer]) -> T:
        """Interprets a flow whose pieces are awaited."""
        while (result := await self.run(feed.step(flow))) is None:
            try:
                feed.push(await anext(pieces))
            except StopAsyncIteration:
                feed.end()
            except BaseException:
                await self.abort()
                raise
        return result


# -- for the rest of this package and its friends ------------------------------------------------------------------


async def establish(session: Running, flow: flows.Flow[object]) -> None:
    """Interprets the flow that makes the association; closes the connection if it fails."""
    try:
        await session.driver.run(flow)
    except ProtocolError:
        session.close()
        raise
    except BaseException:
        await session.abort()
        raise


async def end_by(session: Running, error: BaseException, *, owed: bool) -> None:
    """Aborts the association if a flow that was left by this exception has spoilt it (`is_spoilt`)."""
    if is_spoilt(session, error, owed=owed):
        await session.abort()
    if isinstance(error, StopAsyncIteration):  # else it would end the caller's loop as if all was well
        raise RuntimeError("a source raised StopAsyncIteration") from error

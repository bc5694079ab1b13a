"""The interpreter of flows for event loops: all but how the loop waits.

Theory of operation: a link does what can be done without waiting (`begin`) and knows how to wait in its runtime
(`wait`). What never has to wait still gives other tasks their turn, by time and by number: a flow within its steps,
short flows one after the other, and what is done without a flow, for which whoever does it asks (`may_go_on`). While a
flow waits for a new request of the peer it may be interrupted, which is how a server stops: nothing is in the air then.

Knows: flows, links. Must not know: sockets, streams, a certain event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from time import monotonic
from typing import Final, Protocol, TypeVar

from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.errors import ProtocolError
from dicos_proto.wire import Wire

from .base import Carrier

T = TypeVar("T")
TURNS: Final = 64
"""Steps without a wait after which other tasks get their turn."""
TURN: Final = 0.001
"""Seconds without a wait after which they get it anyhow: a step may take as long as a peer makes it take, and whoever
waits for a turn waits for one of each association that is busy."""


class AsyncLink(Carrier, Protocol):
    """A wire and its connection, in an event loop."""

    wire: Wire

    def begin(self, need: Need) -> bool:
        """What can be done for it now; whether that was all."""

    async def wait(self, need: Need) -> ProtocolError | None:
        """Until `INPUT` or `DRAIN` is met, or time has passed. What ends the flow instead, if anything does."""

    def close(self) -> None:
        """Close the connection as it is."""


class LoopDriver(ABC):
    """Interprets flows over one link. One task at a time may use it."""

    def __init__(self, link: AsyncLink) -> None:
        self.link = link
        self._interrupted = False
        self._turns = 0  # steps without a wait since the last one
        self._until = 0.0  # when others are to have their turn

    @property
    def broken(self) -> bool:
        """Whether the peer takes nothing any more."""
        return self.link.broken

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self.link.closed

    @property
    def bytes_sent(self) -> int:
        return self.link.bytes_sent

    @property
    def bytes_received(self) -> int:
        return self.link.bytes_received

    @property
    def may_go_on(self) -> bool:
        """Whether the next thing may be done without a flow, as far as it needs no wait. Now and then other tasks are
        to have their turn first, or a server stops: then it is done by a flow, whose interpreter sees to that."""
        return not self._is_over() and not self._interrupted

    def flush(self) -> None:
        """Give what is queued to the connection as far as it takes it now."""
        self.link.flush()

    def close(self) -> None:
        """Close the connection as it is."""
        self.link.close()

    async def run(self, flow: Flow[T], *, interruptible: bool = False) -> T:
        """Interpret `flow` to its end; its result. Raises what it raises, and `ServerStopping`.

        `interruptible`: the flow waits for a new request, so `interrupt` ends it.
        """
        if interruptible:
            return await self._interruptibly(flow)
        link = self.link
        fault: ProtocolError | None = None
        if self._is_over():  # before the flow begins: cancelled here, it has neither taken nor sent anything
            await self._give_turn()
        try:
            need = next(flow)
            while True:
                fault = None
                if link.begin(need):
                    if self._is_over() or need is Need.TURN:
                        await self._give_turn()
                else:
                    fault = await link.wait(need)
                    self._begin_turn()
                need = flow.throw(fault) if fault is not None else next(flow)
        except StopIteration as done:
            link.flush()  # what the flow sent last, an A-ASSOCIATE-AC say, is not to wait for the next one
            result: T = done.value
            return result
        finally:
            del fault  # its traceback has this frame, and the flow's, with what was received

    def _is_over(self) -> bool:
        """Count one step without a wait; whether others are to have their turn."""
        self._turns += 1
        return self._turns >= TURNS or monotonic() >= self._until

    async def _give_turn(self) -> None:
        await self._checkpoint()
        self._begin_turn()

    def _begin_turn(self) -> None:
        self._turns = 0
        self._until = monotonic() + TURN

    @abstractmethod
    def interrupt(self) -> None:
        """End the wait for a new request, this one or the next, by `ServerStopping`."""

    @abstractmethod
    async def finish(self, flow: Flow[None], seconds: float) -> None:
        """Interpret `flow` whatever is cancelled meanwhile, but no longer than that."""

    @abstractmethod
    async def _interruptibly(self, flow: Flow[T]) -> T:
        """Run it so that `interrupt` ends it."""

    @abstractmethod
    def _checkpoint(self) -> Awaitable[None]:
        """Give other tasks their turn."""

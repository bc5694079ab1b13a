"""The interpreter of flows for event loops, without the part that depends on the loop: how to wait.

Theory of operation: a link does what can be done without waiting (`begin`) and knows how to wait in its runtime
(`wait`). Work that never has to wait still gives other tasks their turn, after a time and a number of steps: one long
flow, many short flows in a row, and work without a flow, whose caller asks `may_go_on` first. While a flow waits for a
new request of the peer it may be interrupted, which is how a server stops: no message is under way then.

Knows: flows, links. Must not know: sockets, streams, any particular event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.errors import ProtocolError
from dicos_proto.wire import Wire

from .base import Carrier

if TYPE_CHECKING:
    from ..tracing import Trace

T = TypeVar("T")
TURNS: Final = 64
"""Steps without a wait after which other tasks get their turn."""
TURN: Final = 0.001
"""Seconds without a wait after which they get it in any case: the peer decides how long a step takes, and a task that
waits for its turn waits for one turn of each busy association."""


class AsyncLink(Carrier, Protocol):
    """A wire and its connection, in an event loop."""

    wire: Wire

    def begin(self, need: Need) -> bool:
        """Does what is possible for the need without waiting. Returns True if it is met."""

    async def wait(self, need: Need) -> ProtocolError | None:
        """Waits until `INPUT` or `DRAIN` is met or a deadline has passed. Returns the error that ends the flow, if
        any."""

    def carry(self, unparsed: Callable[[], int], trace: Trace | None) -> None:
        """Sets the function that counts received bytes that wait to be parsed, and the trace to call at the end."""

    def close(self) -> None:
        """Closes the connection without sending anything more."""


class LoopDriver(ABC):
    """Interprets flows over one link. One task at a time may use it."""

    def __init__(self, link: AsyncLink) -> None:
        self.link = link
        self._interrupted = False
        self._turns = 0  # steps without a wait since the last one
        self._until = 0.0  # the time at which other tasks get their turn

    @property
    def broken(self) -> bool:
        """True if the peer no longer accepts any bytes."""
        return self.link.broken

    @property
    def closed(self) -> bool:
        """True if `close` was called."""
        return self.link.closed

    @property
    def bytes_sent(self) -> int:
        return self.link.bytes_sent

    @property
    def bytes_received(self) -> int:
        return self.link.bytes_received

    @property
    def may_go_on(self) -> bool:
        """True if the next step may be done without a flow, if it does not have to wait. False if other tasks are to
        have their turn first, or the server stops: then run a flow, whose interpreter does both."""
        return not self._is_over() and not self._interrupted

    def carry(self, unparsed: Callable[[], int], trace: Trace | None) -> None:
        """Sets the function that counts received bytes that wait to be parsed, and the trace to call at the end."""
        self.link.carry(unparsed, trace)

    def flush(self) -> None:
        """Gives the connection as much of the queued bytes as it takes without waiting."""
        self.link.flush()

    def close(self) -> None:
        """Closes the connection without sending anything more."""
        self.link.close()

    async def run(self, flow: Flow[T], *, interruptible: bool = False) -> T:
        """Interprets `flow` to its end and returns its result. Raises what it raises, and `ServerStopping`.

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
            link.flush()  # the flow's last PDU, for example an A-ASSOCIATE-AC, must not wait for the next flow
            result: T = done.value
            return result
        finally:
            del fault  # its traceback has this frame, and the flow's, with what was received

    def _is_over(self) -> bool:
        """Counts one step without a wait. Returns True if other tasks are to have their turn."""
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
        """Interprets `flow` even if its task is cancelled meanwhile, for at most `seconds`."""

    @abstractmethod
    async def _interruptibly(self, flow: Flow[T]) -> T:
        """Runs `flow` so that `interrupt` ends it."""

    @abstractmethod
    def _checkpoint(self) -> Awaitable[None]:
        """Give other tasks their turn."""

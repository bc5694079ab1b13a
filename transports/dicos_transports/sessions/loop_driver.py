"""The interpreter of flows for event loops, without the part that depends on the loop: how to wait.

Theory of operation: a link does what can be done without waiting (`begin`) and knows how to wait in its runtime
(`wait`). Work that never has to wait still gives other tasks their turn, after a time and a number of steps: one long
flow, many short flows in a row, and streams, whose reader asks `may_go_on` before each result. While a flow waits for a
new request of the peer it may be interrupted, which is how a server stops: no message is under way then.

Knows: flows, links. Must not know: sockets, streams, any particular event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from dicos_proto.conversation.flows import Flow, Need, Stream
from dicos_proto.errors import ProtocolError
from dicos_proto.wire import Wire

from .base import Carrier

if TYPE_CHECKING:
    from ..tracing import Trace

T = TypeVar("T")
Steps = Generator[Any, None, Any]
"""A flow, which yields needs and returns its result, or a stream, which yields its results too."""
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
        """True if the next result of a stream may be taken without this driver, should it be there already. False if
        other tasks are to have their turn first, or the server stops: `advance` does both."""
        self._turns += 1
        return self._turns < TURNS and not self._interrupted and monotonic() < self._until

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
        run = partial(self._run, flow, None)
        result: T = await (self._interruptibly(run) if interruptible else run())
        return result

    def advance(
        self, stream: Stream[T], need: Need | None, *, interruptible: bool = False
    ) -> Coroutine[Any, Any, T | None]:
        """Meets `need`, if `stream` has yielded one, and interprets it up to its next result; None at its end.

        Raises as `run` does.
        """
        return self._interruptibly(partial(self._run, stream, need)) if interruptible else self._run(stream, need)

    async def _run(self, steps: Steps, need: Need | None) -> Any:
        """Interprets a flow to its result, or a stream to its next one. `need`: what it has yielded already."""
        link = self.link
        fault: ProtocolError | None = None
        try:
            if need is None:
                if self._is_over():  # before it begins: cancelled here, it has neither taken nor sent anything
                    await self._give_turn()
                step = next(steps)
            else:
                step = need
            while isinstance(step, Need):
                fault = None
                if link.begin(step):
                    if self._is_over() or step is Need.TURN:
                        await self._give_turn()
                elif link.closed:
                    link.wire.receive_eof()  # nothing comes any more
                else:
                    fault = await link.wait(step)
                    self._begin_turn()
                step = steps.throw(fault) if fault is not None else next(steps)
            link.flush()
            return step
        except StopIteration as done:
            link.flush()  # the flow's last PDU, for example an A-ASSOCIATE-AC, must not wait for the next flow
            return done.value
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
    async def _interruptibly(self, work: Callable[[], Awaitable[T]]) -> T:
        """Awaits what `work` makes, so that `interrupt` ends it by `ServerStopping`."""

    @abstractmethod
    def _checkpoint(self) -> Awaitable[None]:
        """Give other tasks their turn."""

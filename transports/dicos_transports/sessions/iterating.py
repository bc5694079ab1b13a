"""The iterators of a session: requests, pieces of a data set, outcomes of stored instances, answers.

Each is a stream of the engine, whose waits are awaited here. Results that are there already are taken from the stream
itself. None of them is a generator: the event loop would close a generator that is left before its end at any time, in
a task of its own, while the association may be in use again, and trio warns of each.

Knows: which stream gives them. Must not know: event loops.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast

from dicos_proto import dimse
from dicos_proto.conversation.feed import STARVED, Data, Lack, PushSource, Starved
from dicos_proto.conversation.flows import Flow, Need, Stream
from dicos_proto.services import storage
from dicos_proto.services.storage import Instance
from dicos_proto.wire import Buffer

from .running import Running, end_by

__all__ = [
    "Answers",
    "AwaitedInstance",
    "Cancellable",
    "Iteration",
    "Op",
    "Outcomes",
    "at_hand",
    "repeated",
]

T = TypeVar("T")
_WAITS = (Need, Lack)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedInstance(Instance):
    """An instance whose data set comes in pieces that are awaited: for `store_many` and `store_over`, and only once.

    `pieces` are awaited when it is its turn, one at a time, as the connection takes them.
    """

    pieces: AsyncIterable[Buffer] = field(repr=False)
    data: Data = field(default_factory=PushSource, init=False, repr=False)


class Cancellable(Protocol):
    """An operation of `services` with many responses."""

    @property
    def response(self) -> dimse.DimseResponse | None: ...

    def cancel(self) -> None: ...


Op = TypeVar("Op", bound=Cancellable)


class Iteration(AsyncIterator[T]):
    """Iterates over the results of a stream.

    `interruptible`: it waits for new requests, and may be interrupted (`AsyncDriver.run`). `resumable`: if it is
    cancelled while it waits, nothing is lost, since another stream continues where it was. `sends`: it has queued
    something when it gives a result, which is sent then.
    """

    __slots__ = ("_resumable", "interruptible", "sends", "session", "stream")

    def __init__(
        self,
        session: Running,
        stream: Stream[T],
        *,
        interruptible: bool = False,
        resumable: bool = False,
        sends: bool = False,
    ) -> None:
        self.session = session
        self.stream = stream
        self.sends = sends
        self.interruptible = interruptible
        self._resumable = resumable

    async def __anext__(self) -> T:
        owed = None
        try:
            step: Need | T | None
            if not self.session.driver.may_go_on:
                owed = self.owes
                step = await self.advance(None)
            else:
                step = next(self.stream, None)
                if isinstance(step, _WAITS):
                    owed = self.owes
                    step = await self.advance(step)  # type: ignore[arg-type]  # T is never one of these
                elif self.sends and self.session.association.bytes_queued:
                    self.session.driver.flush()
        except BaseException as error:
            await self.fail(error, owed)
            raise
        if step is None:
            raise StopAsyncIteration
        return step

    def advance(self, need: Need | Starved | None) -> Coroutine[Any, Any, T | None]:
        """Meets the need that the stream has yielded, if any, and returns its next result; None at its end."""
        if need is STARVED:
            raise TypeError("a stream that starves, where nothing feeds it")
        return self.session.driver.advance(self.stream, need, interruptible=self.interruptible)

    @property
    def owes(self) -> bool:
        """True if what was read of the peer's requests would be lost with the stream."""
        return not self._resumable and self.session.association.operations.owed > 0

    async def fail(self, error: BaseException, owed: bool | None) -> None:
        """Aborts the association if this exception, which ends the stream, leaves nothing else to do.

        `owed`: the value of `owes` before the wait; None if the stream was not waiting."""
        if not self.interruptible:
            await end_by(self.session, error, owed=self.owes if owed is None else owed)


def repeated(following: Callable[[], Flow[T | None]]) -> Stream[T]:
    """The results of a flow that is run repeatedly, until one is None."""
    while (found := (yield from following())) is not None:
        yield found


class Answers(Generic[Op, T]):
    """The answers to one operation, as an iterable. `operation`: the flow object of `services`, with its result.

    An operation that failed has no answers, or fewer, and raises nothing: look at the status of its `response`. Until
    it ends, no other request can be sent on the association. To stop early, call `cancel` and iterate to the end.
    """

    def __init__(self, session: Running, operation: Op, following: Callable[[], Flow[T | None]]) -> None:
        self.session = session
        self.operation = operation
        self._following = following

    def __aiter__(self) -> Iteration[T]:
        return Iteration(self.session, repeated(self._following), sends=True)

    @property
    def response(self) -> dimse.DimseResponse | None:
        """The final response, with its status; None until the iteration has come to its end."""
        return self.operation.response

    def cancel(self) -> None:
        """Asks the peer to stop [PS3.7 9.3.2.3]. Continue to iterate: the final response still follows."""
        self.operation.cancel()
        self.session.driver.flush()


class Outcomes(Iteration[storage.Outcome]):
    """The outcomes of instances that are stored one after the other; instances and pieces may be awaited."""

    def __init__(
        self,
        session: Running,
        instances: Iterable[Instance] | AsyncIterable[Instance],
        *,
        priority: int = dimse.PRIORITY_MEDIUM,
        ahead: bool = False,
        originator: tuple[str, int] | None = None,
    ) -> None:
        self._awaited: AsyncIterator[Instance] | None = None
        at_hand: Iterable[Instance] | None = None
        if isinstance(instances, AsyncIterable):
            self._awaited = aiter(instances)
        else:
            at_hand = instances
        self._supply = supply = storage.AwaitedInstances(at_hand)
        self._pieces: AsyncIterator[Buffer] | None = None  # of the instance that is being sent
        self.stores = storage.StoreMany(session.exchange, supply, priority=priority, ahead=ahead, originator=originator)
        super().__init__(session, cast("Stream[storage.Outcome]", supply.outcomes(self.stores)), sends=True)

    async def advance(self, need: Need | Starved | None) -> storage.Outcome | None:
        session, supply, driver = self.session, self._supply, self.session.driver
        while True:
            received = driver.bytes_received
            if need is not STARVED:
                found: storage.Outcome | Starved | None = await super().advance(need)
                if found is not STARVED:
                    return found
            elif session.association.bytes_queued:
                driver.flush()
            need = None
            if supply.starved and driver.bytes_received != received:
                continue  # received bytes ended the wait; not everything is sent
            try:
                await self._feed(supply)
            except BaseException:
                if session.association.operations.sending or session.association.operations.outstanding:
                    await session.abort()
                raise

    async def _feed(self, supply: storage.AwaitedInstances) -> None:
        """Wait for the next instance, or for the next piece of the one that is being sent."""
        if supply.starved and self._awaited is not None:
            try:
                supply.push(await anext(self._awaited))
            except StopAsyncIteration:
                supply.end()
        elif supply.feed is not None and isinstance(supply.taken, AwaitedInstance):
            if self._pieces is None:
                self._pieces = aiter(supply.taken.pieces)
            try:
                supply.feed.push(await anext(self._pieces))
            except StopAsyncIteration:
                self._pieces = None
                supply.feed.end()
        else:
            raise TypeError("a data set in a PushSource that nothing feeds: use an AwaitedInstance")


def at_hand(instances: Iterable[Instance], where: str) -> Iterator[Instance]:
    """Yields the instances. Raises TypeError for an `AwaitedInstance`: nothing awaits its pieces there."""
    for one in instances:
        if isinstance(one, AwaitedInstance):
            raise TypeError(f"an AwaitedInstance in {where}, whose data sets have to be at hand")
        if isinstance(getattr(one, "data", None), PushSource):
            raise TypeError(f"a data set in a PushSource in {where}, where nothing feeds it")
        yield one

"""The iterators of a session: outcomes of stored instances, answers, pieces of a data set.

None of them is a generator. The event loop would close a generator that is left before its end at any time, in a task
of its own, while the association may be in use again; trio warns of each.

Knows: which flow gives the next one. Must not know: event loops.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from dicos_proto import dimse
from dicos_proto.conversation.feed import Data, PushSource, Starved
from dicos_proto.conversation.flows import Flow
from dicos_proto.dimse.events import MessageData
from dicos_proto.services import storage
from dicos_proto.services.storage import Instance
from dicos_proto.wire import Buffer

from .received import SMALL, P, Received
from .running import Running

__all__ = ["Answers", "AwaitedInstance", "Cancellable", "Iteration", "Op", "Outcomes", "Pieces", "at_hand"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedInstance(Instance):
    """An instance whose data set comes in pieces that are awaited: for `store_many` and `store_over`, and only once.

    `pieces` are awaited when it is its turn, one at a time, as the connection takes them.
    """

    pieces: AsyncIterable[Buffer] = field(repr=False)
    data: Data = field(default_factory=PushSource, init=False, repr=False)


class Cancellable(Protocol):
    """An operation of `services` with many responses."""

    def cancel(self) -> None: ...


Op = TypeVar("Op", bound=Cancellable)


class Iteration(AsyncIterator[T]):
    """Iterates over the results of a flow that is run repeatedly, until one is None."""

    def __init__(self, session: Running, following: Callable[[], Flow[T | None]]) -> None:
        self._session = session
        self._following: Callable[[], Flow[T | None]] | None = following

    async def __anext__(self) -> T:
        if self._following is None:
            raise StopAsyncIteration
        found = await self._session.run(self._following())
        if found is None:
            self._following = None
            raise StopAsyncIteration
        return found


class Answers(Generic[Op, T]):
    """The answers to one operation, as an iterator. `operation`: the flow object of `services`, with its result.

    Until it ends, no other request can be sent on the association. To stop early, call `cancel` and iterate to the end.
    """

    def __init__(self, session: Running, operation: Op, following: Callable[[], Flow[T | None]]) -> None:
        self.session = session
        self.operation = operation
        self._following = following

    def __aiter__(self) -> Iteration[T]:
        return Iteration(self.session, self._following)

    def cancel(self) -> None:
        """Asks the peer to stop [PS3.7 9.3.2.3]. Continue to iterate: the final response still follows."""
        self.operation.cancel()
        self.session.driver.flush()


class Outcomes(AsyncIterator[storage.Outcome]):
    """The outcomes of instances that are stored one after the other."""

    def __init__(
        self,
        session: Running,
        instances: Iterable[Instance] | AsyncIterable[Instance],
        *,
        priority: int = dimse.PRIORITY_MEDIUM,
        ahead: bool = False,
        originator: tuple[str, int] | None = None,
        at_hand: bool = False,
    ) -> None:
        """`at_hand`: nothing of the instances is awaited, as in `blocking`, and `stores.here` is asked before each."""
        self._session = session
        self._awaited: AsyncIterator[Instance] | None = None
        self._supply: storage.AwaitedInstances | None = None
        source: Iterable[Instance | Starved]
        if isinstance(instances, AsyncIterable):
            if at_hand:
                raise TypeError("instances that are awaited, where nothing is awaited")
            self._awaited = aiter(instances)
            self._supply = source = storage.AwaitedInstances(None)
        elif at_hand:
            source = instances
        else:
            self._supply = source = storage.AwaitedInstances(instances)
        self._pieces: AsyncIterator[Buffer] | None = None  # of the instance that is being sent
        self._over = False
        self.stores = storage.StoreMany(session.exchange, source, priority=priority, ahead=ahead, originator=originator)

    async def __anext__(self) -> storage.Outcome:
        session, supply, stores = self._session, self._supply, self.stores
        while not self._over:
            found = stores.here() if supply is not None and session.driver.may_go_on else None
            if found is not None:
                return found
            received = session.driver.bytes_received
            found = await session.run(stores.next() if supply is None else supply.turn(stores))
            if found is not None:
                return found
            if supply is None:
                self._over = True
                break
            if supply.starved and session.driver.bytes_received != received:
                continue  # received bytes ended the wait; not everything is sent
            if not supply.waits:
                self._over = True
                break
            try:
                await self._feed(supply)
            except BaseException:
                if session.association.operations.sending or session.association.operations.outstanding:
                    await session.abort()
                raise
        raise StopAsyncIteration

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


def at_hand(instances: Iterable[Instance], where: str) -> Iterator[Instance]:
    """Yields the instances. Raises TypeError for an `AwaitedInstance`: nothing awaits its pieces there."""
    for one in instances:
        if isinstance(one, AwaitedInstance):
            raise TypeError(f"an AwaitedInstance in {where}, whose data sets have to be at hand")
        yield one


class Pieces(AsyncIterator[Buffer]):
    """The rest of the data set of a request."""

    def __init__(self, request: Received[Running, P]) -> None:
        self._request = request
        self._whole = False  # all of it was given

    async def __anext__(self) -> Buffer:
        request = self._request
        performing, session = request.performing, request.session
        while not self._whole:
            left = performing.unread
            if not left:
                break
            event = session.exchange.here() if session.driver.may_go_on else None
            if not isinstance(event, MessageData):
                piece = await session.run_piece(request.piece())
            else:
                piece = event.data if request.checker is None else request.looked_at(event.data)
            if piece:
                if len(piece) >= SMALL:
                    return piece
                if performing.unread:
                    return request.with_more(piece)
                self._whole = True
                return piece
        if request.checker is not None:
            request.complete()
        raise StopAsyncIteration

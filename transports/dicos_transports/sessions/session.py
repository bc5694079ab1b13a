"""Sessions whose methods are awaited: what `trio` and `asyncio` have in common, which is all but the way to wait.

The surface is that of `blocking`, with `async` where something waits: a test compares the two.

Knows: which flow is meant. Must not know: event loops, sockets. An adapter brings an `AsyncDriver`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, Protocol, Self, TypeVar

from dicos_proto import dimse
from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.feed import Data, Feed
from dicos_proto.conversation.flows import AssociationError
from dicos_proto.conversation.performing import next_request, request_here
from dicos_proto.data.datasets import Attributes, Content
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.errors import ProtocolError
from dicos_proto.registry import status
from dicos_proto.services import normalized, query, retrieve, storage, verification
from dicos_proto.services.performing import Performing
from dicos_proto.services.query import Finding
from dicos_proto.services.retrieve import Getting, Moving
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_proto.wire import Buffer

from .base import LAST_WORDS, BaseSession, Carrier, Echoed, P, Received, performing

if TYPE_CHECKING:
    from dicos_proto.services.commitment import CommitmentReport, Reference, Requested

    from ..tls.layer import TLSLayer

__all__ = [
    "Answers",
    "AnyRequest",
    "AsyncDriver",
    "AwaitedInstance",
    "EchoRequest",
    "FindRequest",
    "GetRequest",
    "MoveRequest",
    "NormalizedRequest",
    "Request",
    "Session",
    "StoreRequest",
]

T = TypeVar("T")


class AsyncDriver(Carrier, Protocol):
    """An interpreter of flows in an event loop."""

    async def run(self, flow: flows.Flow[flows.T], *, interruptible: bool = False) -> flows.T:
        """Interpret `flow` to its end; its result. `interruptible`: it waits for a new request."""

    async def finish(self, flow: flows.Flow[None], seconds: float) -> None:
        """Interpret `flow` whatever is cancelled meanwhile, but no longer than that."""

    @property
    def may_go_on(self) -> bool:
        """Whether what needs no wait may be done without a flow now: not where other tasks are to have their turn."""

    def interrupt(self) -> None:
        """End the wait for a new request, this one or the next, by `ServerStopping`."""

    def close(self) -> None:
        """Close the connection as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedInstance(Instance):
    """An instance whose data set comes in pieces that are awaited: for `store_many` and `store_over`, and only once.

    `pieces` are awaited when it is its turn, one at a time, as the connection takes them.
    """

    pieces: AsyncIterable[Buffer] = field(repr=False)
    data: Data = field(default_factory=Feed, init=False, repr=False)


class _Cancellable(Protocol):
    """What `services` has for operations with many responses."""

    def cancel(self) -> None: ...


Op = TypeVar("Op", bound=_Cancellable)


class Session(BaseSession):
    """One association. One task at a time may use it."""

    def __init__(self, association: Association, driver: AsyncDriver, peer: str, layer: TLSLayer | None = None) -> None:
        super().__init__(association, driver, peer, layer)
        self.driver = driver

    # -- user side -----------------------------------------------------------------------------------------------

    async def echo(self) -> dimse.Response:
        """C-ECHO. Raises `ContextNotAccepted`, `AssociationError`."""
        return await self.run(verification.echo(self.exchange))

    async def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax: str,
        data: Data | AsyncIterable[Buffer],
        *,
        priority: int = dimse.PRIORITY_MEDIUM,
    ) -> dimse.Response:
        """C-STORE of a data set encoded in `transfer_syntax`, whole or in pieces; the response, whatever its status.

        Pieces may be awaited: those of another association's `StoreRequest.data`, say. Raises `ContextNotAccepted`,
        `AssociationError`. An exception out of `data` aborts the association: it is within a message then.
        """
        if isinstance(data, AsyncIterable):
            feed = Feed()
            flow = storage.store(
                self.exchange, sop_class_uid, sop_instance_uid, transfer_syntax, feed, priority=priority
            )
            return await self._fed(flow, feed, aiter(data))
        return await self.run(
            storage.store(self.exchange, sop_class_uid, sop_instance_uid, transfer_syntax, data, priority=priority)
        )

    def store_many(
        self,
        instances: Iterable[Instance] | AsyncIterable[Instance],
        *,
        priority: int = dimse.PRIORITY_MEDIUM,
        ahead: bool = False,
    ) -> AsyncIterator[storage.Outcome]:
        """C-STORE of one instance after the other, as many outstanding as the window allows; what became of each.

        Instances may be awaited, and their pieces may (`AwaitedInstance`). The next one is awaited while there is room
        for it: answers are not told meanwhile. A source that waits for what becomes of an instance before it gives the
        next one needs a window of 1.

        `ahead`: take the next instance while answers are waited for, although there is no room for it yet: what takes
        time, such as reading a file, is done meanwhile. Not for a source that waits for instances to come: nobody
        would see the answers until one does. If it raises, what was waited for is not told.

        Raises `AssociationError`, and what the source of the instances raises; the association is aborted then. Left
        before its end, within a message of our own, all that can follow is an abort: leaving the session does it.
        """
        return _Outcomes(self, instances, priority=priority, ahead=ahead)

    def find(
        self, sop_class_uid: str, identifier: Content, *, priority: int = dimse.PRIORITY_MEDIUM
    ) -> Answers[query.Find, query.Match]:
        """C-FIND: the matches as they come. Raises `ContextNotAccepted`, `DataSetError`; `AssociationError`."""
        operation = query.Find(self.exchange, sop_class_uid, identifier, priority=priority)
        return Answers(self, operation, operation.next)

    def move(
        self, sop_class_uid: str, destination: str, identifier: Content, *, priority: int = dimse.PRIORITY_MEDIUM
    ) -> Answers[retrieve.Move, retrieve.Counters]:
        """C-MOVE to the AE title `destination`: the counters as they come. Raises as `find` does."""
        operation = retrieve.Move(self.exchange, sop_class_uid, destination, identifier, priority=priority)
        return Answers(self, operation, operation.next)

    def get(
        self, sop_class_uid: str, identifier: Content, *, priority: int = dimse.PRIORITY_MEDIUM
    ) -> Answers[retrieve.Get, StoreRequest]:
        """C-GET: the instances as they come, each a `StoreRequest` to read and to respond to. Raises as `find` does.

        The local side has to be SCP of the storage SOP classes (`negotiation.propose_roles`).
        """
        operation = retrieve.Get(self.exchange, sop_class_uid, identifier, priority=priority)

        def following() -> flows.Flow[StoreRequest | None]:
            start = yield from operation.next()
            if start is None:
                return None
            return StoreRequest(session=self, performing=performing(self.exchange, start), get=operation)

        return Answers(self, operation, following)

    async def n_create(
        self,
        sop_class_uid: str,
        sop_instance_uid: str | None = None,
        attributes: Content | None = None,
        *,
        negotiated: str | None = None,
    ) -> normalized.Result:
        """N-CREATE. This and the other DIMSE-N operations raise as the flows of `services.normalized` do."""
        flow = normalized.n_create(self.exchange, sop_class_uid, sop_instance_uid, attributes, negotiated=negotiated)
        return await self.run(flow)

    async def n_set(
        self, sop_class_uid: str, sop_instance_uid: str, attributes: Content, *, negotiated: str | None = None
    ) -> normalized.Result:
        """N-SET."""
        return await self.run(
            normalized.n_set(self.exchange, sop_class_uid, sop_instance_uid, attributes, negotiated=negotiated)
        )

    async def n_get(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        tags: tuple[int, ...] | None = None,
        *,
        negotiated: str | None = None,
    ) -> normalized.Result:
        """N-GET."""
        return await self.run(
            normalized.n_get(self.exchange, sop_class_uid, sop_instance_uid, tags, negotiated=negotiated)
        )

    async def n_action(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        action_type_id: int,
        information: Content | None = None,
        *,
        negotiated: str | None = None,
    ) -> normalized.Result:
        """N-ACTION."""
        flow = normalized.n_action(
            self.exchange, sop_class_uid, sop_instance_uid, action_type_id, information, negotiated=negotiated
        )
        return await self.run(flow)

    async def n_delete(
        self, sop_class_uid: str, sop_instance_uid: str, *, negotiated: str | None = None
    ) -> normalized.Result:
        """N-DELETE."""
        return await self.run(
            normalized.n_delete(self.exchange, sop_class_uid, sop_instance_uid, negotiated=negotiated)
        )

    async def n_event_report(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        event_type_id: int,
        information: Content | None = None,
        *,
        negotiated: str | None = None,
    ) -> normalized.Result:
        """N-EVENT-REPORT, of an SCP."""
        flow = normalized.n_event_report(
            self.exchange, sop_class_uid, sop_instance_uid, event_type_id, information, negotiated=negotiated
        )
        return await self.run(flow)

    async def commit(self, transaction_uid: str, references: Iterable[Reference]) -> Requested:
        """Storage commitment: ask the provider to take over these objects, under a new transaction UID.  # PS3.4 J.3.2

        The answer says that the request was received; the report comes with it or later, here or on an association that
        the provider asks for: `next_report`. Raises as `services.commitment.request_commitment` does.
        """
        from dicos_proto.services.commitment import request_commitment

        return await self.run(request_commitment(self.exchange, transaction_uid, references))

    async def next_report(self, transactions: Collection[str] | None = None) -> CommitmentReport | None:
        """Storage commitment: wait for the next report on this association, whoever asked for it; it is answered.

        `transactions`: the UIDs that are waited for; without, any will do. None: the peer has released the association.
        A report may be made days later, so that nothing but the connection ends the wait: close the session to end it.
        Cancelled while it waits, nothing is lost. Raises `Refused` for a report that is none, which was answered so:
        the next may be better; `AssociationAborted`, `ServerStopping`.
        """
        from dicos_proto.services.commitment import next_report

        try:
            return await self.driver.run(next_report(self.exchange, transactions), interruptible=True)
        except ProtocolError:
            raise
        except BaseException:  # cancelled: what was read of a report is lost with the flow
            if self.association.operations.owed:
                await self.abort()
            raise

    # -- provider side -------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[AnyRequest]:
        """The peer's requests, until it releases the association.

        A request that was not answered when the next one is asked for is answered 0x0211, unrecognized operation.
        Cancelled while it waits, nothing is lost: iterate anew. Raises `AssociationAborted`, `ServerStopping`.
        """
        before: AnyRequest | None = None

        async def following() -> AnyRequest | None:
            nonlocal before
            if before is not None and not before.answered:
                await before.respond(status.UNRECOGNIZED_OPERATION)
            start = request_here(self.exchange) if self.driver.may_go_on else None
            if start is None:
                start = await self.driver.run(next_request(self.exchange), interruptible=True)
            if start is None:
                return None
            self.requests[start.command.NAME] += 1
            self.holding.let_go()
            before = _received(self, start)
            return before

        return _Iteration(following)

    # -- the end -------------------------------------------------------------------------------------------------

    async def release(self) -> None:
        """Release in good order, and close. Raises `AssociationAborted` if it ends otherwise."""
        try:
            await self.driver.run(flows.release(self.association))
        except AssociationError:
            self.close()
            raise
        except BaseException:  # cancelled, or not to be released now: the peer is told so before the connection closes
            await self.abort()
            raise
        self.close()

    async def abort(self, event: Abort = Abort()) -> None:  # noqa: B008  a frozen value
        """Abort, and close. An association that is over is left alone, but its connection is closed.

        A cancelled task still says so: this takes a moment, and no more than that.
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
        """Close the connection as it is. `release` and `abort` tell the peer."""
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
        """Interpret a flow of this association, your own ones included.

        Cancelled in the middle of an operation, of either side, or left by an exception out of a source, the
        association is aborted: the peer would wait for the rest, or answer when nobody listens.
        """
        owed = (
            self.association.operations.owed > 0
        )  # what was read of the peer's request is lost with the flow, or half answered
        try:
            return await self.driver.run(flow)
        except BaseException as error:
            if self.is_spoilt(error, owed=owed):
                await self.abort()
            raise

    async def run_piece(self, flow: flows.Flow[flows.T]) -> flows.T:
        """The same for a flow that loses nothing when it is cancelled: what it waits for can be asked for again."""
        try:
            return await self.driver.run(flow)
        except BaseException as error:
            if self.is_spoilt(error, owed=False):
                await self.abort()
            raise

    async def _fed(self, flow: flows.Flow[T], feed: Feed, pieces: AsyncIterator[Buffer]) -> T:
        """Interpret a flow whose pieces are awaited."""
        while (result := await self.run(feed.step(flow))) is None:
            try:
                feed.push(await anext(pieces))
            except StopAsyncIteration:
                feed.end()
            except BaseException:
                await self.abort()
                raise
        return result

    async def establish(self, flow: flows.Flow[object]) -> None:
        """Interpret the flow that makes the association; the connection is closed if it fails."""
        try:
            await self.driver.run(flow)
        except ProtocolError:
            self.close()
            raise
        except BaseException:
            await self.abort()
            raise

    def each(self, following: Callable[[], flows.Flow[T | None]]) -> AsyncIterator[T]:
        """What a flow gives each time it is run, until None."""
        return _Iteration(lambda: self.run(following()))


class _Iteration(AsyncIterator[T]):
    """What `following` gives each time it is awaited, until None.

    No generator: one that is left before its end would be closed by the event loop, whenever it likes, in a task of its
    own, while the association may be in use again; trio warns of each.
    """

    def __init__(self, following: Callable[[], Awaitable[T | None]]) -> None:
        self._following: Callable[[], Awaitable[T | None]] | None = following

    async def __anext__(self) -> T:
        if self._following is None:
            raise StopAsyncIteration
        found = await self._following()
        if found is None:
            self._following = None
            raise StopAsyncIteration
        return found


class _Outcomes(AsyncIterator[storage.Outcome]):
    """What becomes of instances that are stored one after the other."""

    def __init__(
        self,
        session: Session,
        instances: Iterable[Instance] | AsyncIterable[Instance],
        *,
        priority: int = dimse.PRIORITY_MEDIUM,
        ahead: bool = False,
        originator: tuple[str, int] | None = None,
    ) -> None:
        self._session = session
        self._awaited = aiter(instances) if isinstance(instances, AsyncIterable) else None
        self._supply = storage.Supply(None if isinstance(instances, AsyncIterable) else instances)
        self._pieces: AsyncIterator[Buffer] | None = None  # of the instance that is being sent
        self._over = False
        self.stores = storage.StoreMany(
            session.exchange, self._supply, priority=priority, ahead=ahead, originator=originator
        )

    async def __anext__(self) -> storage.Outcome:
        session, supply, stores = self._session, self._supply, self.stores
        while not self._over:
            found = stores.here() if session.driver.may_go_on else None
            received = session.driver.bytes_received
            if found is None:
                found = await session.run(supply.turn(stores))
            if found is not None:
                return found
            if supply.starved and session.driver.bytes_received != received:
                continue  # that has ended the wait, and not that all was sent
            if not supply.waits:
                self._over = True
                break
            try:
                await self._feed()
            except BaseException:
                if session.association.operations.sending or session.association.operations.outstanding:
                    await session.abort()
                raise
        raise StopAsyncIteration

    async def _feed(self) -> None:
        """Wait for what is wanted: the next instance, or the next piece of the one that is being sent."""
        supply = self._supply
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


class Answers(Generic[Op, T]):
    """What comes of one operation, as an iterator. `operation`: the flow object of `services`, with its result.

    Until it ends, nothing else can be asked on the association: who has enough cancels, and goes on iterating.
    """

    def __init__(self, session: Session, operation: Op, following: Callable[[], flows.Flow[T | None]]) -> None:
        self.session = session
        self.operation = operation
        self._following = following

    def __aiter__(self) -> AsyncIterator[T]:
        return self.session.each(self._following)

    def cancel(self) -> None:
        """Ask the peer to stop: go on iterating, the end still comes.  # PS3.7 9.3.2.3"""
        self.operation.cancel()
        self.session.driver.flush()


@dataclass(eq=False, slots=True, kw_only=True)
class Request(Received[Session, P], Generic[P]):
    """A request of the peer, to be answered by `respond`."""

    async def respond(
        self, code: int = status.SUCCESS, comment: str | None = None, given: Content | None = None
    ) -> None:
        """Answer with this status, at most 64 characters for people, and a data set where the message may have one.

        What is unread of the request's data set is read over. Raises `AssociationError`; `LocalProtocolError` if it is
        answered already.
        """
        if self.answer_now(code, comment, given):
            self.session.driver.flush()
        else:
            await self.session.run(self.answer(code, comment, given))

    def data(self) -> AsyncIterator[Buffer]:
        """Its data set, in pieces as they arrive, small ones joined. It is complete only when the iteration ends.

        Cancelled while it waits, nothing is lost: ask for `data` again. Raises `AssociationError` where it does not
        end well.
        """
        return _Pieces(self)

    async def read(self) -> bytearray:
        """The whole data set in memory. Raises ValueError beyond the limit `collected`, its own or that of all
        associations of the server; `AssociationError`."""
        return await self.session.run(self.whole())

    async def attributes(self) -> Attributes | None:
        """The data set of what is no composite object, decoded when it is looked at. Raises `DataSetTooLong`."""
        return await self.session.run(self.performing.receive())


class _Pieces(AsyncIterator[Buffer]):
    """What is left of the data set of a request."""

    def __init__(self, request: Request[P]) -> None:
        self._request = request

    async def __anext__(self) -> Buffer:
        request = self._request
        performing, session = request.performing, request.session
        while performing.unread:
            event = session.exchange.here() if session.driver.may_go_on else None
            if not isinstance(event, MessageData):
                piece = await session.run_piece(request.piece())
            else:
                piece = event.data if request.checker is None else request.looked_at(event.data)
            if piece:
                return request.with_more(piece)
        request.complete()
        raise StopAsyncIteration


@dataclass(eq=False, slots=True, kw_only=True)
class EchoRequest(Echoed, Request[Performing]):
    """A C-ECHO."""


@dataclass(eq=False, slots=True, kw_only=True)
class StoreRequest(Request[Performing]):
    """A C-STORE. Its data set comes while it is read. `get`: the C-GET whose sub-operation it is, if it is one."""

    get: retrieve.Get | None = None

    @property
    def sop_instance_uid(self) -> str:
        """Affected SOP Instance UID, as the peer sent it: not for use in a path."""
        return dimse.sop_instance_of(self.performing.request) or ""

    async def respond(
        self, code: int = status.SUCCESS, comment: str | None = None, given: Content | None = None
    ) -> None:
        """As `Request.respond`; a C-STORE has no data set to answer with."""
        if self.get is None or given is not None:
            await super(StoreRequest, self).respond(code, comment, given)
            return
        await self.session.run(self.get.answer(code, comment))
        self.performing.answered = True


@dataclass(eq=False, slots=True, kw_only=True)
class FindRequest(Request[Finding]):
    """A C-FIND: `attributes` gives the identifier, `match` sends a match, `respond` ends it."""

    async def match(self, identifier: Content, *, all_keys: bool = True) -> bool:
        """Send one match; whether more are wanted: not after a C-CANCEL. Raises `DataSetError`, `AssociationError`."""
        return await self.session.run(self.performing.match(identifier, all_keys=all_keys))

    async def end(self) -> int:
        """The final response, success or cancelled; its status."""
        return await self.session.run(self.performing.end())


@dataclass(eq=False, slots=True, kw_only=True)
class GetRequest(Request[Getting]):
    """A C-GET: `attributes` gives the identifier, `send` answers with instances."""

    async def send(self, instances: Iterable[Instance], total: int) -> int:
        """Send `instances`, `total` in all, on this association, and the final response; its status.

        Raises TypeError for an `AwaitedInstance`."""
        return await self.session.run(self.performing.send_all(_at_hand(instances), total))


@dataclass(eq=False, slots=True, kw_only=True)
class MoveRequest(Request[Moving]):
    """A C-MOVE: `attributes` gives the identifier; `performing` describes the association to make and counts."""

    async def send(self, session: Session, instances: Iterable[Instance], total: int) -> int:
        """Send `instances`, `total` in all, over `session`, an association with the destination; the final status.

        After each the counters go back. After a C-CANCEL none is begun.
        """
        moving = self.performing
        moving.begin(total)
        outcomes = _Outcomes(session, instances, originator=moving.task(()).originator)
        async for outcome in outcomes:
            if not await self.session.run(moving.record(outcome)):
                outcomes.stores.stop()
        return await self.session.run(moving.end())


@dataclass(eq=False, slots=True, kw_only=True)
class NormalizedRequest(Request[Performing]):
    """An N-EVENT-REPORT, N-GET, N-SET, N-ACTION, N-CREATE or N-DELETE."""


AnyRequest = EchoRequest | StoreRequest | FindRequest | GetRequest | MoveRequest | NormalizedRequest


def _at_hand(instances: Iterable[Instance]) -> Iterator[Instance]:
    for one in instances:
        if isinstance(one, AwaitedInstance):  # nobody would ever await its pieces
            raise TypeError("an AwaitedInstance in the answer to a C-GET, whose data sets have to be at hand")
        yield one


_KINDS: Final[dict[type, Callable[..., AnyRequest]]] = {
    dimse.CEchoRequest: EchoRequest,
    dimse.CStoreRequest: StoreRequest,
    dimse.CFindRequest: FindRequest,
    dimse.CGetRequest: GetRequest,
    dimse.CMoveRequest: MoveRequest,
}


def _received(session: Session, start: MessageStart) -> AnyRequest:
    make = _KINDS.get(type(start.command), NormalizedRequest)
    return make(session=session, performing=performing(session.exchange, start))

"""The session: one association, every service, as coroutines over a driver.

It is the same in every adapter. `trio` and `asyncio` give it a driver that waits in their event loop. `blocking` gives
it one that waits inside the call and never suspends, and wraps it in ordinary methods (`blocking.session`).

Knows: the flow for each method. Must not know: event loops, sockets.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from dicos_proto import dimse
from dicos_proto.conversation import flows
from dicos_proto.conversation.feed import STARVED, Data, PushSource, Starved
from dicos_proto.conversation.performing import requests
from dicos_proto.data.datasets import Attributes, Content
from dicos_proto.errors import ProtocolError
from dicos_proto.registry import status
from dicos_proto.services import normalized, query, retrieve, storage, verification
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.services.query import Finding
from dicos_proto.services.retrieve import Getting, Moving
from dicos_proto.services.storage import Instance
from dicos_proto.wire import Buffer

from .iterating import Answers, AwaitedInstance, Iteration, Outcomes, at_hand, repeated
from .received import Echoed, P, Received, answer_to, answered_now, pieces_of, whole_of
from .running import AsyncDriver, Running

if TYPE_CHECKING:
    from dicos_proto.services.commitment import CommitmentReport, Requested
    from dicos_proto.services.serving import Reference

__all__ = [
    "Answers",
    "PeerRequest",
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


class Session(Running):
    """One association. One task at a time may use it.

    Iterating it gives the peer's requests. As an asynchronous context manager, it releases the association at the end
    of the block, and aborts it if the block raises or leaves a message incomplete.
    """

    # -- user side -----------------------------------------------------------------------------------------------

    async def echo(self) -> dimse.DimseResponse:
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
    ) -> dimse.DimseResponse:
        """C-STORE of a data set encoded in `transfer_syntax`, whole or in pieces. Returns the response, whatever its
        status.

        In trio and asyncio, pieces may be asynchronous, for example those of another association's `StoreRequest.data`.
        Raises `ContextNotAccepted`, `AssociationError`. An exception raised by `data` aborts the association, because
        the message is incomplete then.
        """
        if isinstance(data, AsyncIterable):
            feed = PushSource()
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
        """C-STORE of one instance after the other, as many outstanding as the window allows. Gives the
        outcome of each.

        In trio and asyncio, the instances may come from an asynchronous source, and so may their pieces
        (`AwaitedInstance`). The next instance is awaited while there is room for it, and no outcomes are returned
        meanwhile. A source that waits for the outcome of one instance before it gives the next one needs a window of 1.

        `ahead`: take the next instance while waiting for answers, although there is no room for it yet. Slow work, such
        as reading a file, is done meanwhile. Do not use it with a source that waits for instances to arrive: the
        answers would not be noticed until one does. If it raises, the outcomes that were waited for are lost.

        Raises `AssociationError`, and the exceptions of the source; the association is aborted then if anything is
        outstanding. If the iterator is left within a message, only an abort can follow: leaving the session aborts.
        """
        return Outcomes(self, instances, priority=priority, ahead=ahead)

    def find(
        self, sop_class_uid: str, identifier: Content, *, priority: int = dimse.PRIORITY_MEDIUM
    ) -> Answers[query.Find, query.Match]:
        """C-FIND: the matches as they arrive. Raises `ContextNotAccepted`, `DataSetError`; `AssociationError`."""
        operation = query.Find(self.exchange, sop_class_uid, identifier, priority=priority)
        return Answers(self, operation, operation.next)

    def move(
        self, sop_class_uid: str, destination: str, identifier: Content, *, priority: int = dimse.PRIORITY_MEDIUM
    ) -> Answers[retrieve.Move, retrieve.Counters]:
        """C-MOVE to the AE title `destination`: the counters as they arrive. Raises as `find` does."""
        operation = retrieve.Move(self.exchange, sop_class_uid, destination, identifier, priority=priority)
        return Answers(self, operation, operation.next)

    def get(
        self, sop_class_uid: str, identifier: Content, *, priority: int = dimse.PRIORITY_MEDIUM
    ) -> Answers[retrieve.Get, StoreRequest]:
        """C-GET: the instances as they arrive, each a `StoreRequest` to read and to respond to. Raises as `find` does.

        The local side has to be SCP of the storage SOP classes (`negotiation.propose_roles`).
        """
        operation = retrieve.Get(self.exchange, sop_class_uid, identifier, priority=priority)

        def following() -> flows.Flow[StoreRequest | None]:
            start = yield from operation.next()
            if start is None:
                return None
            return _Retrieved(session=self, performing=ProviderOperation(self.exchange, start), get=operation)

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
        """Storage commitment: asks the provider to take over these objects, under a new transaction UID [PS3.4 J.3.2].

        The answer says that the request was received; the report comes with it or later, here or on an association that
        the provider requests: `next_report`. Raises as `services.commitment.request_commitment` does.
        """
        from dicos_proto.services.commitment import request_commitment

        return await self.run(request_commitment(self.exchange, transaction_uid, references))

    async def next_report(self, transactions: Collection[str] | None = None) -> CommitmentReport | None:
        """Storage commitment: waits for the next report on this association, for any transaction, and answers it.

        `transactions`: the UIDs to wait for; by default any. Returns None if the peer has released the association. A
        report may be made days later, so that only the end of the connection ends the wait: close the session to end
        it. In trio and asyncio, nothing is lost if the wait is cancelled. Raises `Refused` for an invalid report, which
        was refused: call it again for the next; `AssociationAborted`, `ServerStopping`.
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

    def __aiter__(self) -> Requests:
        """The peer's requests, until it releases the association.

        If the handler asks for the next request without having answered one, that one is answered by 0x0211,
        unrecognized operation. In trio and asyncio, nothing is lost if the wait is cancelled: iterate again. Raises
        `AssociationAborted`, `ServerStopping`.
        """
        return Requests(self)

    def each(self, following: Callable[[], flows.Flow[T | None]]) -> Iteration[T]:
        """Iterates over the results of a flow that is run repeatedly, until one is None."""
        return Iteration(self, repeated(following), sends=True)


@dataclass(eq=False, slots=True, kw_only=True)
class Request(Received[Session, P], Generic[P]):
    """A request of the peer, to be answered by `respond`."""

    async def respond(
        self, code: int = status.SUCCESS, comment: str | None = None, given: Content | None = None
    ) -> None:
        """Answer with this status, a comment of at most 64 characters, and a data set where the message may have one.

        The unread rest of the request's data set is skipped. Raises `AssociationError`; `LocalProtocolError` if it is
        answered already.
        """
        if answered_now(self, code, comment, given):
            self.session.driver.flush()
        else:
            await self.session.run(answer_to(self, code, comment, given))

    def data(self) -> Iteration[Buffer]:
        """The data set, in pieces as they arrive, small ones joined. It is complete only when the iteration ends.

        In trio and asyncio, nothing is lost if the wait is cancelled: ask for `data` again. Raises `AssociationError`
        if the association ends first.
        """
        return Iteration(self.session, pieces_of(self), resumable=True)

    async def read(self) -> bytearray:
        """The whole data set in memory. Raises ValueError beyond the limit `collected`, its own or that of all
        associations of the server; `AssociationError`."""
        return await self.session.run(whole_of(self))

    async def attributes(self) -> Attributes | None:
        """The data set of a request that is not a C-STORE, decoded on access. Raises `DataSetTooLong`."""
        return await self.session.run(self.performing.receive())


@dataclass(eq=False, slots=True, kw_only=True)
class EchoRequest(Echoed, Request[ProviderOperation]):
    """A C-ECHO."""


@dataclass(eq=False, slots=True, kw_only=True)
class StoreRequest(Request[ProviderOperation]):
    """A C-STORE. Its data set comes while it is read. `get`: the C-GET whose sub-operation it is, if it is one."""

    get: retrieve.Get | None = None

    @property
    def sop_instance_uid(self) -> str:
        """Affected SOP Instance UID, as the peer sent it: not for use in a path."""
        return dimse.sop_instance_of(self.performing.request) or ""


@dataclass(eq=False, slots=True, kw_only=True)
class _Retrieved(StoreRequest):
    """A C-STORE that is the sub-operation of a C-GET, which counts what is answered."""

    def _answer(self, code: int, comment: str | None, given: Content | None) -> flows.Flow[None]:
        if self.get is None or given is not None:
            yield from super(_Retrieved, self)._answer(code, comment, given)
        else:
            yield from self.get.answer(code, comment)
            self.performing.answered = True

    def _answer_now(self, code: int, comment: str | None, given: Content | None) -> bool:
        return False


@dataclass(eq=False, slots=True, kw_only=True)
class FindRequest(Request[Finding]):
    """A C-FIND: `attributes` gives the identifier, `match` sends a match, `respond` ends it."""

    async def match(self, identifier: Content, *, all_keys: bool = True) -> bool:
        """Send one match. Returns False after a C-CANCEL: no more are wanted. Raises `DataSetError`,
        `AssociationError`."""
        return await self.session.run(self.performing.match(identifier, all_keys=all_keys))

    async def end(self) -> int:
        """Send the final response, success or cancelled. Returns its status."""
        return await self.session.run(self.performing.end())


@dataclass(eq=False, slots=True, kw_only=True)
class GetRequest(Request[Getting]):
    """A C-GET: `attributes` gives the identifier, `send` answers with instances."""

    async def send(self, instances: Iterable[Instance], total: int) -> int:
        """Send `instances`, `total` in all, on this association, and the final response. Returns its
        status.

        Raises TypeError for an `AwaitedInstance`."""
        return await self.session.run(self.performing.send_all(at_hand(instances, "the answer to a C-GET"), total))


@dataclass(eq=False, slots=True, kw_only=True)
class MoveRequest(Request[Moving]):
    """A C-MOVE: `attributes` gives the identifier; `performing` describes the association to make and counts."""

    async def send(self, session: Session, instances: Iterable[Instance], total: int) -> int:
        """Send `instances`, `total` in all, over `session`, an association with the destination. Returns the
        final status.

        After each instance the counters are sent to the user. After a C-CANCEL no further instance is sent.
        """
        moving = self.performing
        moving.begin(total)
        outcomes = Outcomes(session, instances, originator=moving.task(()).originator)
        async for outcome in outcomes:
            if not await self.session.run(moving.record(outcome)):
                outcomes.stores.stop()
        return await self.session.run(moving.end())


@dataclass(eq=False, slots=True, kw_only=True)
class NormalizedRequest(Request[ProviderOperation]):
    """An N-EVENT-REPORT, N-GET, N-SET, N-ACTION, N-CREATE or N-DELETE."""


PeerRequest = EchoRequest | StoreRequest | FindRequest | GetRequest | MoveRequest | NormalizedRequest


class Requests(Iteration[PeerRequest]):
    """The peer's requests. One that is left unanswered is answered before the next is waited for."""

    __slots__ = ("_given",)

    def __init__(self, session: Session) -> None:
        self._given: list[PeerRequest] = []  # the one that was given last
        stream = cast("flows.Stream[PeerRequest]", _requests(session, self._given))
        super().__init__(session, stream, interruptible=True)

    async def advance(self, need: flows.Need | Starved | None) -> PeerRequest | None:
        while True:
            if need is STARVED:
                await self._given[0].respond(status.UNRECOGNIZED_OPERATION)
                need = None
            found: PeerRequest | Starved | None = await super().advance(need)
            if found is not STARVED:
                return found
            need = STARVED


def _requests(session: Session, given: list[PeerRequest]) -> flows.Stream[PeerRequest | Starved]:
    """The peer's requests, one after the other, and `STARVED` after one that is not answered.

    `given`: gets the request that is given, in place of the one before."""
    for step in requests(session.exchange):
        if isinstance(step, flows.Need):
            yield step
            continue
        command = step.command
        session.requests[command.NAME] += 1
        if session.holding.held:
            session.holding.let_go()
        make, performing = _KINDS.get(type(command), _NORMALIZED)
        received: PeerRequest = make(session=session, performing=performing(session.exchange, step))
        given[:] = (received,)
        yield received
        if not (received.performing.answered or received.answered):
            yield STARVED


_Kind = tuple[Callable[..., Any], type[ProviderOperation]]
_NORMALIZED: Final[_Kind] = (NormalizedRequest, ProviderOperation)
_KINDS: Final[dict[type, _Kind]] = {
    dimse.CEchoRequest: (EchoRequest, ProviderOperation),
    dimse.CStoreRequest: (StoreRequest, ProviderOperation),
    dimse.CFindRequest: (FindRequest, Finding),
    dimse.CGetRequest: (GetRequest, Getting),
    dimse.CMoveRequest: (MoveRequest, Moving),
}

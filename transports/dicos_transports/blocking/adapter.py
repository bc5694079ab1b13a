"""Associations over blocking sockets: `connect` makes one, `accept` takes one, `serve` takes many.

    with connect(("127.0.0.1", 11112), propose([uids.VERIFICATION])) as session:
        session.echo()

    with serve(("127.0.0.1", 11112), handler, policy=policy) as server:
        server.wait()

A `Session` is an established association, and a context manager: left in good order it is released, left by an
exception it is aborted. A provider iterates over it. One thread at a time may use a session.

Knows: sockets, and which flow is meant. Must not know: the protocol. Every wait has a deadline (`Timeouts`).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, Protocol, Self, TypeVar

from dicos_proto import dimse
from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.feed import Data
from dicos_proto.conversation.flows import AssociationError
from dicos_proto.conversation.performing import next_request, request_here
from dicos_proto.data.datasets import Attributes, Content
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.errors import ProtocolError
from dicos_proto.limits import DEFAULT_MAX_LENGTH, Limits
from dicos_proto.registry import status, uids
from dicos_proto.services import normalized, query, retrieve, storage, verification
from dicos_proto.services.performing import Performing
from dicos_proto.services.query import Finding
from dicos_proto.services.retrieve import Getting, Moving
from dicos_proto.services.storage import Instance
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.pdu_types import Abort, ProposedContext, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Buffer

from ..addresses import KEEPALIVE, Address, SourceAddress, check_keepalive, host_of, keep_alive, peer_of
from ..sessions.base import (
    DEFAULT_AET,
    LAST_WORDS,
    BaseSession,
    ConnectionFailed,
    Echoed,
    P,
    Received,
    accepted,
    located,
    performing,
    requestor,
    tls_around,
)
from ..sessions.channel import ServerStopping, Trace
from ..sessions.pooling import PoolClosed, PoolExhausted, PoolStats
from ..sessions.sharing import Share, Shared
from ..sessions.windows import WINDOWS, asked
from .driver import Driver, dial

if TYPE_CHECKING:
    from dicos_proto.services.commitment import CommitmentReport, Reference, Requested

    from ..tls.layer import ClientTLS, ServerTLS, TLSLayer

__all__ = [
    "Answers",
    "AnyRequest",
    "ConnectionFailed",
    "EchoRequest",
    "FindRequest",
    "GetRequest",
    "MoveRequest",
    "NormalizedRequest",
    "PoolClosed",
    "PoolExhausted",
    "PoolStats",
    "Request",
    "ServerStopping",
    "Session",
    "StoreRequest",
    "accept",
    "connect",
    "pair",
    "store_over",
]

T = TypeVar("T")


class _Cancellable(Protocol):
    """What `services` has for operations with many responses."""

    def cancel(self) -> None: ...


Op = TypeVar("Op", bound=_Cancellable)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that no network knows of, to give to `connect` and `accept`."""
    return socket.socketpair()


def connect(
    where: Address | socket.socket,
    contexts: tuple[ProposedContext, ...],
    *,
    called_aet: str | None = None,
    calling_aet: str = DEFAULT_AET,
    max_length: int = DEFAULT_MAX_LENGTH,
    application_context: str = uids.DICOM_APPLICATION_CONTEXT,
    user_information: UserInformation | None = None,
    limits: Limits = Limits(),  # noqa: B008  frozen values
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    tolerance: Tolerance = STRICT,
    tls: ClientTLS | None = None,
    source_address: SourceAddress | None = None,
    keepalive: float | None = KEEPALIVE,
    trace: Trace | None = None,
) -> Session:
    """Ask for an association, as its user.

    `where`: (host, port), "host:port", "[::1]:port" or "AET@host:port" (`addresses.parse_address`), the path of a Unix
    socket, or a connected stream socket, which is then owned. `contexts`: what to propose (`negotiation.propose`).
    `called_aet`: None calls the title in `where`, else ANY-SCP. `max_length`: bytes of a P-DATA-TF that this side
    receives. `user_information` replaces what would be made of `max_length`. `tolerance`: what of the peer's deviations
    is let through; `Session.deviations` has those that came. `tls`: over TLS, and how; the server's certificate must be
    for the host. `source_address`: the local address to connect from, or (address, port). `keepalive`: seconds of
    silence after which the system asks whether the peer's host is still there, and loses the connection if it does not
    answer for as long again; None never asks. `trace` is called with all bytes sent and received, with TLS as they are
    inside it, and in the end without any.

    Raises `ConnectionFailed`, `AssociationRejected`, `AssociationAborted`; `LocalProtocolError` for what cannot be
    encoded.
    """
    check_keepalive(keepalive)
    address, title = located(where, called_aet, source_address)

    def ask(information: UserInformation) -> Session:
        association = requestor(
            contexts,
            called_aet=title,
            calling_aet=calling_aet,
            application_context=application_context,
            user_information=information,
            limits=limits,
            timeouts=timeouts,
            tolerance=tolerance,
        )
        layer = tls_around(association, tls, host_of(address), trace)
        sock = address if isinstance(address, socket.socket) else dial(address, timeouts, source_address)
        keep_alive(sock, keepalive)
        session = session_over(sock, association, layer, timeouts, trace=trace)
        session.establish(flows.establish(association))
        return session

    wanted = user_information or UserInformation(max_length=max_length)
    return asked(WINDOWS.offer(address, title, wanted), ask)


def accept(
    sock: socket.socket,
    policy: AcceptPolicy,
    *,
    limits: Limits = Limits(),  # noqa: B008  frozen values
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    tolerance: Tolerance = STRICT,
    tls: ServerTLS | None = None,
    keepalive: float | None = KEEPALIVE,
    trace: Trace | None = None,
) -> Session:
    """Wait for an A-ASSOCIATE-RQ on a connected stream socket, which is then owned, and answer it by `policy`.

    `limits` to `trace`: as in `connect`.
    Raises `AssociationRejected` if the policy rejects it, `AssociationAborted`.
    """
    check_keepalive(keepalive)
    association = Association.acceptor(limits=limits, timeouts=timeouts, tolerance=tolerance)
    layer = tls_around(association, tls, None, trace)
    keep_alive(sock, keepalive)
    session = session_over(sock, association, layer, timeouts, trace=trace)
    session.establish(accepted(association, policy, layer))
    WINDOWS.learn_from(session)
    return session


def session_over(
    sock: socket.socket,
    association: Association,
    layer: TLSLayer | None,
    timeouts: Timeouts,
    *,
    trace: Trace | None,
    stop: int | None = None,
    kill: int | None = None,
) -> Session:
    """A session whose driver carries what is outermost; `trace` is for the association's bytes."""
    wire, seen = (association, trace) if layer is None else (layer, None)
    driver = Driver(sock, wire, timeouts, trace=seen, stop=stop, kill=kill)
    driver.carry(association, trace)
    return Session(association, driver, layer)


@contextmanager
def store_over(
    connect_one: Callable[[], Session],
    instances: Iterable[Instance],
    *,
    associations: int = 4,
    priority: int = dimse.PRIORITY_MEDIUM,
) -> Iterator[Iterator[storage.Outcome]]:
    """C-STORE of `instances` over up to `associations` associations at once, each made by `connect_one`.

        with store_over(lambda: connect(where, contexts), instances, associations=4) as outcomes:
            for outcome in outcomes:
                ...

    Each takes the next instance from the one source when it has room for it; what became of each is told as it becomes
    known, in any order. If an association is lost, its instances that are not answered are told with the
    `AssociationError` as their `problem`, and the others go on. Left early, no more are sent, and what was sent is
    waited for.

    Raises, when all else is told, what the source or `connect_one` raises; `AssociationError` if instances are left
    that no association can take any more: none could be made, say. ValueError for less than one association.
    """
    shared = Shared(instances, associations)
    import queue  # a connection alone needs none

    told: queue.Queue[storage.Outcome | None] = queue.Queue(associations)  # what is not looked at is not sent on
    working = 0  # threads that have not said that they are done

    def work() -> None:
        share = Share(shared)
        try:
            if share.begin():
                with connect_one() as session:
                    for outcome in session.store_many(share, priority=priority):
                        told.put(share.told(outcome))
        except AssociationError as error:
            for outcome in share.lose(error):
                told.put(outcome)
        except BaseException as error:  # the caller's own, out of `connect_one` or a data set: told where it is seen
            shared.fail(error)
        finally:
            told.put(None)

    def outcomes() -> Iterator[storage.Outcome]:
        nonlocal working
        while working:
            if (outcome := told.get()) is not None:
                yield outcome
            else:
                working -= 1
        shared.finish()

    try:
        for _ in range(associations):
            threading.Thread(target=work, name="store_over", daemon=True).start()
            working += 1
        yield outcomes()
    finally:
        shared.stop()
        while working:
            working -= told.get() is None


class Session(BaseSession):
    """One association over one socket. Made by `connect`, `accept` and `serve`. One thread at a time may use it."""

    def __init__(self, association: Association, driver: Driver, layer: TLSLayer | None = None) -> None:
        super().__init__(association, driver, peer_of(driver.sock), layer)
        self.driver = driver

    # -- user side -----------------------------------------------------------------------------------------------

    def echo(self) -> dimse.Response:
        """C-ECHO. Raises `ContextNotAccepted`, `AssociationError`."""
        return self.run(verification.echo(self.exchange))

    def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax: str,
        data: Data,
        *,
        priority: int = dimse.PRIORITY_MEDIUM,
    ) -> dimse.Response:
        """C-STORE of a data set encoded in `transfer_syntax`, whole or in pieces; the response, whatever its status.

        Raises `ContextNotAccepted`, `AssociationError`. An exception out of `data` aborts the association: it is
        within a message then.
        """
        return self.run(
            storage.store(self.exchange, sop_class_uid, sop_instance_uid, transfer_syntax, data, priority=priority)
        )

    def store_many(
        self, instances: Iterable[Instance], *, priority: int = dimse.PRIORITY_MEDIUM, ahead: bool = False
    ) -> Iterator[storage.Outcome]:
        """C-STORE of one instance after the other, as many outstanding as the window allows; what became of each.

        `ahead`: take the next instance while answers are waited for, although there is no room for it yet: what takes
        time, such as reading a file, is done meanwhile. Not for a source that waits for instances to come: nobody
        would see the answers until one does. If it raises, what was waited for is not told.

        Raises `AssociationError`, and what the source of the instances raises; the association is aborted then if
        anything is outstanding. Until all are told, nothing else can be asked. Left before its end, within a message of
        our own, all that can follow is an abort: leaving the session does it.
        """
        stores = storage.StoreMany(self.exchange, instances, priority=priority, ahead=ahead)
        return self._each(stores.next, stores.here)

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

    def n_create(
        self,
        sop_class_uid: str,
        sop_instance_uid: str | None = None,
        attributes: Content | None = None,
        *,
        negotiated: str | None = None,
    ) -> normalized.Result:
        """N-CREATE. This and the other DIMSE-N operations raise as the flows of `services.normalized` do."""
        flow = normalized.n_create(self.exchange, sop_class_uid, sop_instance_uid, attributes, negotiated=negotiated)
        return self.run(flow)

    def n_set(
        self, sop_class_uid: str, sop_instance_uid: str, attributes: Content, *, negotiated: str | None = None
    ) -> normalized.Result:
        """N-SET."""
        return self.run(
            normalized.n_set(self.exchange, sop_class_uid, sop_instance_uid, attributes, negotiated=negotiated)
        )

    def n_get(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        tags: tuple[int, ...] | None = None,
        *,
        negotiated: str | None = None,
    ) -> normalized.Result:
        """N-GET."""
        return self.run(normalized.n_get(self.exchange, sop_class_uid, sop_instance_uid, tags, negotiated=negotiated))

    def n_action(
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
        return self.run(flow)

    def n_delete(
        self, sop_class_uid: str, sop_instance_uid: str, *, negotiated: str | None = None
    ) -> normalized.Result:
        """N-DELETE."""
        return self.run(normalized.n_delete(self.exchange, sop_class_uid, sop_instance_uid, negotiated=negotiated))

    def n_event_report(
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
        return self.run(flow)

    def commit(self, transaction_uid: str, references: Iterable[Reference]) -> Requested:
        """Storage commitment: ask the provider to take over these objects, under a new transaction UID.  # PS3.4 J.3.2

        The answer says that the request was received; the report comes with it or later, here or on an association that
        the provider asks for: `next_report`. Raises as `services.commitment.request_commitment` does.
        """
        from dicos_proto.services.commitment import request_commitment

        return self.run(request_commitment(self.exchange, transaction_uid, references))

    def next_report(self, transactions: Collection[str] | None = None) -> CommitmentReport | None:
        """Storage commitment: wait for the next report on this association, whoever asked for it; it is answered.

        `transactions`: the UIDs that are waited for; without, any will do. None: the peer has released the association.
        A report may be made days later, so that nothing but the connection ends the wait: close the session to end it.
        Raises `Refused` for a report that is none, which was answered so: the next may be better; `AssociationAborted`,
        `ServerStopping`.
        """
        from dicos_proto.services.commitment import next_report

        try:
            return self.driver.run(next_report(self.exchange, transactions), interruptible=True)
        except ProtocolError:
            raise
        except BaseException:  # interrupted: what was read of a report is lost with the flow
            if self.association.operations.owed:
                self.abort()
            raise

    # -- provider side -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[AnyRequest]:
        """The peer's requests, until it releases the association.

        A request that was not answered when the next one is asked for is answered 0x0211, unrecognized operation.
        Raises `AssociationAborted`, `ServerStopping`.
        """
        while True:
            start = request_here(self.exchange)
            if start is None:
                start = self.driver.run(next_request(self.exchange), interruptible=True)
            if start is None:
                return
            self.requests[start.command.NAME] += 1
            self.holding.let_go()
            received = _received(self, start)
            yield received
            if not received.answered:
                received.respond(status.UNRECOGNIZED_OPERATION)

    # -- the end -------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Release in good order, and close. Raises `AssociationAborted` if it ends otherwise."""
        try:
            self.driver.run(flows.release(self.association))
        except AssociationError:
            self.close()
            raise
        except BaseException:  # interrupted, or not to be released now: the peer is told so before it closes
            self.abort()
            raise
        self.close()

    def abort(self, event: Abort = Abort()) -> None:  # noqa: B008  a frozen value
        """Abort, and close. An association that is over is left alone, but its connection is closed.

        This takes a moment, and no more than two seconds where the peer does not close.
        """
        if self.driver.closed:
            return
        try:
            self.driver.finish(flows.abort(self.association, event), LAST_WORDS)
        except AssociationError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection as it is. `release` and `abort` tell the peer."""
        self.driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.established and not self.association.operations.sending:
            self.release()
        else:
            self.abort()

    # -- inside --------------------------------------------------------------------------------------------------

    def run(self, flow: flows.Flow[flows.T]) -> flows.T:
        """Interpret a flow of this association, your own ones included.

        Interrupted in the middle of an operation, of either side, or left by an exception out of a source, the
        association is aborted: the peer would wait for the rest, or answer when nobody listens.
        """
        owed = (
            self.association.operations.owed > 0
        )  # what was read of the peer's request is lost with the flow, or half answered
        try:
            return self.driver.run(flow)
        except BaseException as error:
            if self.is_spoilt(error, owed=owed):
                self.abort()
            raise

    def run_piece(self, flow: flows.Flow[flows.T]) -> flows.T:
        """The same for a flow that loses nothing when it is left: what it waits for can be asked for again."""
        try:
            return self.driver.run(flow)
        except BaseException as error:
            if self.is_spoilt(error, owed=False):
                self.abort()
            raise

    def establish(self, flow: flows.Flow[object]) -> None:
        """Interpret the flow that makes the association; the connection is closed if it fails."""
        try:
            self.driver.run(flow)
        except ProtocolError:
            self.close()
            raise
        except BaseException:
            self.abort()
            raise

    def each(self, following: Callable[[], flows.Flow[T | None]]) -> Iterator[T]:
        """What a flow gives each time it is run, until None."""
        return self._each(following, None)

    def _each(self, following: Callable[[], flows.Flow[T | None]], here: Callable[[], T | None] | None) -> Iterator[T]:
        """`here`: the same without a wait, of what was received before; None where only the flow can tell."""
        while True:
            found = here() if here is not None else None
            if found is None and (found := self.run(following())) is None:
                return
            yield found


class Answers(Generic[Op, T]):
    """What comes of one operation, as an iterator. `operation`: the flow object of `services`, with its result.

    Until it ends, nothing else can be asked on the association: who has enough cancels, and goes on iterating.
    """

    def __init__(self, session: Session, operation: Op, following: Callable[[], flows.Flow[T | None]]) -> None:
        self.session = session
        self.operation = operation
        self._following = following

    def __iter__(self) -> Iterator[T]:
        return self.session.each(self._following)

    def cancel(self) -> None:
        """Ask the peer to stop: go on iterating, the end still comes.  # PS3.7 9.3.2.3"""
        self.operation.cancel()
        self.session.driver.flush()


@dataclass(eq=False, slots=True, kw_only=True)
class Request(Received[Session, P], Generic[P]):
    """A request of the peer, to be answered by `respond`."""

    def respond(self, code: int = status.SUCCESS, comment: str | None = None, given: Content | None = None) -> None:
        """Answer with this status, at most 64 characters for people, and a data set where the message may have one.

        What is unread of the request's data set is read over. Raises `AssociationError`; `LocalProtocolError` if it is
        answered already.
        """
        if self.answer_now(code, comment, given):
            self.session.driver.flush()
        else:
            self.session.run(self.answer(code, comment, given))

    def data(self) -> Iterator[Buffer]:
        """Its data set, in pieces as they arrive, small ones joined. It is complete only when the iteration ends.

        Raises `AssociationError` where it does not end well.
        """
        performing, at = self.performing, self.session.exchange
        while performing.unread:
            event = at.here()
            if not isinstance(event, MessageData):
                piece = self.session.run_piece(self.piece())
            else:
                piece = event.data if self.checker is None else self.looked_at(event.data)
            if piece:
                yield self.with_more(piece)
            del event, piece  # while it waits for more, a view would keep a whole receive buffer
        self.complete()

    def read(self) -> bytearray:
        """The whole data set in memory. Raises ValueError beyond the limit `collected`, its own or that of all
        associations of the server; `AssociationError`."""
        return self.session.run(self.whole())

    def attributes(self) -> Attributes | None:
        """The data set of what is no composite object, decoded when it is looked at. Raises `DataSetTooLong`."""
        return self.session.run(self.performing.receive())


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

    def respond(self, code: int = status.SUCCESS, comment: str | None = None, given: Content | None = None) -> None:
        """As `Request.respond`; a C-STORE has no data set to answer with."""
        if self.get is None or given is not None:
            super(StoreRequest, self).respond(code, comment, given)
            return
        self.session.run(self.get.answer(code, comment))
        self.performing.answered = True


@dataclass(eq=False, slots=True, kw_only=True)
class FindRequest(Request[Finding]):
    """A C-FIND: `attributes` gives the identifier, `match` sends a match, `respond` ends it."""

    def match(self, identifier: Content, *, all_keys: bool = True) -> bool:
        """Send one match; whether more are wanted: not after a C-CANCEL. Raises `DataSetError`, `AssociationError`."""
        return self.session.run(self.performing.match(identifier, all_keys=all_keys))

    def end(self) -> int:
        """The final response, success or cancelled; its status."""
        return self.session.run(self.performing.end())


@dataclass(eq=False, slots=True, kw_only=True)
class GetRequest(Request[Getting]):
    """A C-GET: `attributes` gives the identifier, `send` answers with instances."""

    def send(self, instances: Iterable[Instance], total: int) -> int:
        """Send `instances`, `total` in all, on this association, and the final response; its status."""
        return self.session.run(self.performing.send_all(instances, total))


@dataclass(eq=False, slots=True, kw_only=True)
class MoveRequest(Request[Moving]):
    """A C-MOVE: `attributes` gives the identifier; `performing` describes the association to make and counts."""

    def send(self, session: Session, instances: Iterable[Instance], total: int) -> int:
        """Send `instances`, `total` in all, over `session`, an association with the destination; the final status.

        After each the counters go back. After a C-CANCEL none is begun. Raises `AssociationError` of either
        association; if `session` was lost, the request is still to be answered.
        """
        moving = self.performing
        moving.begin(total)
        stores = storage.StoreMany(session.exchange, instances, originator=moving.task(()).originator)
        while (outcome := session.run(stores.next())) is not None:
            if not self.session.run(moving.record(outcome)):
                stores.stop()
        return self.session.run(moving.end())


@dataclass(eq=False, slots=True, kw_only=True)
class NormalizedRequest(Request[Performing]):
    """An N-EVENT-REPORT, N-GET, N-SET, N-ACTION, N-CREATE or N-DELETE."""


AnyRequest = EchoRequest | StoreRequest | FindRequest | GetRequest | MoveRequest | NormalizedRequest


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

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from dicos_proto import dimse, exchange, flows, status, uids
from dicos_proto.association import Association
from dicos_proto.errors import ProtocolError
from dicos_proto.events import Deviation, MessageStart
from dicos_proto.exchange import Exchange
from dicos_proto.flows import AssociationError, AssociationRejected
from dicos_proto.limits import DEFAULT_MAX_LENGTH, Limits
from dicos_proto.machine import State
from dicos_proto.negotiation import AcceptPolicy, PresentationContext, RefusedContext
from dicos_proto.pdu_types import (
    Abort,
    AssociateReject,
    AssociateRequest,
    ProposedContext,
    UserInformation,
)
from dicos_proto.services import storage, verification
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.wire import Buffer

from .blocking_driver import Driver
from .channel import ServerStopping, Trace

__all__ = [
    "ConnectionFailed",
    "EchoRequest",
    "Request",
    "ServerStopping",
    "Session",
    "StoreRequest",
    "UnsupportedRequest",
    "accept",
    "connect",
]

DEFAULT_AET = "DICOS_PROTO"
Address = tuple[str, int]


class ConnectionFailed(AssociationError):
    """No connection could be made; one line says to where and why."""


def connect(
    where: Address | socket.socket,
    contexts: tuple[ProposedContext, ...],
    *,
    called_aet: str = "ANY-SCP",
    calling_aet: str = DEFAULT_AET,
    max_length: int = DEFAULT_MAX_LENGTH,
    application_context: str = uids.DICOM_APPLICATION_CONTEXT,
    user_information: UserInformation | None = None,
    limits: Limits = Limits(),  # noqa: B008  frozen values
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    tolerance: Tolerance = STRICT,
    trace: Trace | None = None,
) -> Session:
    """Ask for an association, as its user: `where` is (host, port), or a connected stream socket, which is then owned.

    `contexts`: what to propose (`negotiation.propose`). `max_length`: bytes of a P-DATA-TF that this side receives.
    `user_information` replaces what would be made of `max_length`. `tolerance`: what of the peer's deviations is let
    through; `Session.deviations` has those that came. `trace` is called with all bytes sent and received.

    Raises `ConnectionFailed`, `AssociationRejected`, `AssociationAborted`; `LocalProtocolError` for what cannot be
    encoded.
    """
    request = AssociateRequest(
        called_aet=called_aet,
        calling_aet=calling_aet,
        contexts=contexts,
        application_context=application_context,
        user_information=user_information or UserInformation(max_length=max_length),
    )
    association = Association.requestor(request, limits=limits, timeouts=timeouts, tolerance=tolerance)
    sock = where if isinstance(where, socket.socket) else _open(where, timeouts.connect)
    session = Session(association, Driver(sock, association, timeouts, trace=trace))
    session.establish(flows.establish(association))
    return session


def accept(
    sock: socket.socket,
    policy: AcceptPolicy,
    *,
    limits: Limits = Limits(),  # noqa: B008  frozen values
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    tolerance: Tolerance = STRICT,
    trace: Trace | None = None,
) -> Session:
    """Wait for an A-ASSOCIATE-RQ on a connected stream socket, which is then owned, and answer it by `policy`.

    `limits` to `trace`: as in `connect`.
    Raises `AssociationRejected` if the policy rejects it, `AssociationAborted`.
    """
    association = Association.acceptor(limits=limits, timeouts=timeouts, tolerance=tolerance)
    session = Session(association, Driver(sock, association, timeouts, trace=trace))
    session.establish(_accepted(association, policy))
    return session


def _accepted(association: Association, policy: AcceptPolicy) -> flows.Flow[None]:
    request = yield from flows.await_request(association)
    answer = yield from flows.answer_request(association, request, policy)
    if isinstance(answer, AssociateReject):
        raise AssociationRejected(answer)


def _open(where: Address, timeout: float | None) -> socket.socket:
    try:
        check_port(where[1])
        return socket.create_connection(where, timeout)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConnectionFailed(f"no connection to {show_address(where)}: {said(error)}") from error


def check_port(port: int) -> None:
    """Raise OverflowError for a port that is none: some systems take 70000 for 4464."""
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"port {port}; 0 to 65535")


def said(error: Exception) -> str:
    """What the system says of an error, as the end of a sentence."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timed out"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:1].lower() + text[1:]


def show_address(address: object) -> str:
    """`127.0.0.1:11112`; `[::1]:11112`; what else a socket may have for an address."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = str(address[0]), address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address) or "an unnamed socket"


class Session:
    """One association over one socket. Made by `connect`, `accept` and `serve`."""

    def __init__(self, association: Association, driver: Driver) -> None:
        self.association = association
        self.exchange = Exchange(association)
        self.driver = driver
        try:
            self.peer = show_address(driver.sock.getpeername())
        except OSError:
            self.peer = "a peer that is gone"

    # -- what was negotiated -------------------------------------------------------------------------------------

    @property
    def request(self) -> AssociateRequest:
        """The A-ASSOCIATE-RQ that was sent or received."""
        request = self.association.request
        if request is None:
            raise AttributeError("no A-ASSOCIATE-RQ yet")
        return request

    @property
    def contexts(self) -> Mapping[int, PresentationContext]:
        """The accepted presentation contexts by id."""
        return self.association.contexts

    @property
    def refused(self) -> tuple[RefusedContext, ...]:
        """The proposed contexts that were not accepted, each with its result."""
        agreement = self.association.agreement
        return agreement.refused if agreement else ()

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """What of the peer's deviations was let through so far, at most one for each flag of the tolerance."""
        return self.association.deviations

    @property
    def established(self) -> bool:
        """Whether messages can be sent."""
        return self.association.state is State.Sta6 and not self.driver.broken

    # -- user side -----------------------------------------------------------------------------------------------

    def echo(self) -> dimse.Response:
        """C-ECHO. Raises `ContextNotAccepted`, `AssociationError`."""
        return self.run(verification.echo(self.exchange))

    def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax: str,
        data: exchange.Data,
        *,
        priority: int = dimse.PRIORITY_MEDIUM,
    ) -> dimse.Response:
        """C-STORE of a data set encoded in `transfer_syntax`, whole or in pieces; the response, whatever its status.

        Raises `ContextNotAccepted`, `AssociationError`. An exception out of `data` aborts the association: it is
        within a message then.
        """
        flow = storage.store(self.exchange, sop_class_uid, sop_instance_uid, transfer_syntax, data, priority=priority)
        try:
            return self.run(flow)
        except ProtocolError:
            raise
        except BaseException:
            if self.association.sending:
                self.abort()
            raise

    # -- provider side -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Request]:
        """The peer's requests, until it releases the association.

        A request that was not answered when the next one is asked for is answered 0x0211, unrecognized operation.
        Raises `AssociationAborted`, `ServerStopping`.
        """
        while True:
            start = self.driver.run(exchange.next_request(self.exchange), interruptible=True)
            if start is None:
                return
            received = _received(self, start)
            yield received
            if not received.answered:
                received.respond(status.UNRECOGNIZED_OPERATION)

    # -- the end -------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Release in good order, and close. Raises `AssociationAborted` if it ends otherwise."""
        try:
            self.run(flows.release(self.association))
        finally:
            self.close()

    def abort(self, event: Abort = Abort()) -> None:  # noqa: B008  a frozen value
        """Abort, and close. An association that is over is left alone, but its connection is closed."""
        if self.driver.closed:
            return
        try:
            self.run(flows.abort(self.association, event))
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
        if error is None and self.established:
            self.release()
        else:
            self.abort()

    # -- inside --------------------------------------------------------------------------------------------------

    def run(self, flow: flows.Flow[flows.T]) -> flows.T:
        """Interpret a flow of this association, your own ones included."""
        return self.driver.run(flow)

    def establish(self, flow: flows.Flow[object]) -> None:
        """Interpret the flow that makes the association; the connection is closed if it fails."""
        try:
            self.run(flow)
        except BaseException:
            self.close()
            raise


@dataclass(eq=False, slots=True, kw_only=True)
class _Received:
    """A request of the peer. `answered`: whether `respond` was called."""

    session: Session = field(repr=False)
    start: MessageStart
    answered: bool = False
    unread: bool = field(init=False)

    def __post_init__(self) -> None:
        self.unread = self.start.has_data

    @property
    def context(self) -> PresentationContext:
        """The presentation context it came on."""
        return self.session.contexts[self.start.context]

    def respond(self, code: int = status.SUCCESS, comment: str | None = None) -> None:
        """Answer with this status, and at most 64 characters for people. What is unread of the data set is read over.

        Raises `AssociationError`; `LocalProtocolError` if it is answered already.
        """
        session = self.session
        if self.unread:
            self.unread = False
            session.run(exchange.skip_data(session.exchange))
        answer = exchange.response_to(self.start, code, comment)
        session.exchange.send(answer.context, answer.command)
        self.answered = True
        session.driver.flush()


@dataclass(eq=False, slots=True, kw_only=True)
class EchoRequest(_Received):
    """A C-ECHO."""


@dataclass(eq=False, slots=True, kw_only=True)
class StoreRequest(_Received):
    """A C-STORE. Its data set comes while it is read."""

    command: dimse.CStoreRequest

    @property
    def sop_class_uid(self) -> str:
        """Affected SOP Class UID, as the peer sent it."""
        return self.command.affected_sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        """Affected SOP Instance UID, as the peer sent it: not for use in a path."""
        return self.command.affected_sop_instance_uid

    @property
    def transfer_syntax(self) -> str:
        """What the data set is encoded in."""
        return self.context.transfer_syntax

    def data(self) -> Iterator[Buffer]:
        """The data set, in pieces as they arrive. It is complete only when the iteration ends.

        Raises `AssociationError` where it does not end well.
        """
        while self.unread:
            event = self.session.run(exchange.next_piece(self.session.exchange))
            self.unread = not event.last
            if event.data:
                yield event.data

    def read(self) -> bytearray:
        """The whole data set in memory. Raises ValueError beyond the limit `collected`; `AssociationError`."""
        whole = bytearray()
        allowed = self.session.association.limits.collected
        for piece in self.data():
            if len(whole) + len(piece) > allowed:
                raise ValueError(f"data set of more than {allowed} bytes (limit: collected)")
            whole += piece
        return whole


@dataclass(eq=False, slots=True, kw_only=True)
class UnsupportedRequest(_Received):
    """A request of another service: `exchange.respond` and `services` answer it."""

    @property
    def name(self) -> str:
        """`C-FIND-RQ`, for example."""
        return self.start.command.NAME


Request = EchoRequest | StoreRequest | UnsupportedRequest


def _received(session: Session, start: MessageStart) -> Request:
    match start.command:
        case dimse.CEchoRequest():
            return EchoRequest(session=session, start=start)
        case dimse.CStoreRequest() as command:
            return StoreRequest(session=session, start=start, command=command)
        case _:
            return UnsupportedRequest(session=session, start=start)

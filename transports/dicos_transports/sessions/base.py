"""What sessions and requests are in every adapter: what is known of them, and which flow is meant.

An adapter adds the way to wait: its `Session` runs these flows, its requests are these with methods that run them.

Knows: associations, exchanges, services. Must not know: sockets, threads, tasks.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from dicos_proto import dimse
from dicos_proto.association import Association
from dicos_proto.conversation import exchange, flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.flows import AssociationError, AssociationRejected, Flow
from dicos_proto.conversation.reading import next_piece
from dicos_proto.data.datasets import Content
from dicos_proto.data.elements import Checker, DataSetError
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import AnyRequest
from dicos_proto.errors import ProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from dicos_proto.services.performing import Performing
from dicos_proto.services.query import Finding
from dicos_proto.services.retrieve import Getting, Moving
from dicos_proto.services.serving import Refused
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import Tolerance
from dicos_proto.upper_layer.agreement import PresentationContext, RefusedContext
from dicos_proto.upper_layer.events import Deviation
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.pdu_types import (
    AssociateReject,
    AssociateRequest,
    ProposedContext,
    UserIdentity,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Buffer

from ..addresses import DEFAULT_CALLED, SourceAddress, is_network_address, parse_address

if TYPE_CHECKING:  # whoever has a configuration of TLS has imported it, and nobody else needs its libraries
    from ..tls.layer import ClientTLS, ServerTLS, TLSInfo, TLSLayer
    from .channel import Trace

DEFAULT_AET = "DICOS_PROTO"
LAST_WORDS: Final = 2.0
"""Seconds that an abort may take: enough to say it, not to wait for a peer that does not close."""
TOGETHER: Final = 128
"""Pieces of a data set that are taken together: those of one receive, unless they are tiny."""
SMALL: Final = 1024
"""Bytes of a piece below which it is joined with its neighbours: a view and its place in a list take some 250 bytes,
and a peer may send one byte a piece."""


class ConnectionFailed(AssociationError):
    """No connection could be made; one line says to where and why."""


class Carrier(Protocol):
    """What carries a session's bytes: a `Channel`, or what an adapter has instead."""

    @property
    def broken(self) -> bool:
        """Whether the peer takes nothing any more."""

    @property
    def bytes_sent(self) -> int: ...

    @property
    def bytes_received(self) -> int: ...

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def flush(self) -> None:
        """Send what is queued as far as that needs no waiting."""


W = TypeVar("W")


def located(where: W, called_aet: str | None, source: SourceAddress | None = None) -> tuple[W | tuple[str, int], str]:
    """Where to connect to, and the title to call: that of the argument or of an `AET@host:port`, else ANY-SCP.

    Raises `ConnectionFailed` for a string that is no address, for two titles, and for a source address of a connection
    that is made already.
    """
    dialled = isinstance(where, str | os.PathLike) or (isinstance(where, tuple) and isinstance(where[0], str))
    if source is not None and not dialled:
        raise ConnectionFailed("a connection that is made already, and a source address to make it from")
    if not isinstance(where, str) or not is_network_address(where):
        return where, DEFAULT_CALLED if called_aet is None else called_aet
    try:
        found = parse_address(where)
    except ValueError as error:
        raise ConnectionFailed(f"no connection to {error}") from error
    if called_aet is not None and found.aet is not None and called_aet.strip(" ") != found.aet:
        raise ConnectionFailed(f"no connection to {where!a}: {called_aet!a} is to be called, and this is {found.aet!a}")
    return found.where, called_aet or found.aet or DEFAULT_CALLED


def requestor(
    contexts: tuple[ProposedContext, ...],
    *,
    called_aet: str,
    calling_aet: str,
    application_context: str,
    user_information: UserInformation,
    limits: Limits,
    timeouts: Timeouts,
    tolerance: Tolerance,
) -> Association:
    """An association that asks. Raises `LocalProtocolError` for what cannot be encoded."""
    request = AssociateRequest(
        called_aet=called_aet,
        calling_aet=calling_aet,
        contexts=contexts,
        application_context=application_context,
        user_information=user_information,
    )
    return Association.requestor(request, limits=limits, timeouts=timeouts, tolerance=tolerance)


def tls_around(
    association: Association, tls: ClientTLS | ServerTLS | None, host: str | None, trace: Trace | None
) -> TLSLayer | None:
    """The layer that `tls` asks for, None where it asks for none: what is driven then is the association itself."""
    if tls is None:
        return None
    from ..tls.layer import TLSLayer

    return TLSLayer(association, tls, server_hostname=host, trace=trace)


def accepted(association: Association, policy: AcceptPolicy, layer: TLSLayer | None = None) -> Flow[None]:
    """Wait for the A-ASSOCIATE-RQ and answer it. Raises `AssociationRejected` if the policy does, or that of titles."""
    request = yield from flows.await_request(association)
    refused = layer.refusal(request) if layer is not None else None
    if refused is not None:
        yield from flows.reject(association, refused)
        raise AssociationRejected(refused)
    answer = yield from flows.answer_request(association, request, policy)
    if isinstance(answer, AssociateReject):
        raise AssociationRejected(answer)


class Budget:
    """Bytes that several sessions share. May be used from several threads at once."""

    def __init__(self, size: int, each: int | None = None) -> None:
        """`each`: what one owner may have of them."""
        self.size = size
        self._left = size
        self._each = size if each is None else each
        self._owned: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, size: int, owner: str = "") -> bool:
        """Returns False, and takes nothing, if there are not as many left, or not for this owner; nobody's, an empty
        one, are not counted for anybody."""
        with self._lock:
            if size > self._left or (owner and self._owned[owner] + size > self._each):
                return False
            self._left -= size
            if owner:
                self._owned[owner] += size
            return True

    def give_back(self, size: int, owner: str = "") -> None:
        """They are free again."""
        with self._lock:
            self._left += size
            if owner:
                self._owned[owner] -= size
                if not self._owned[owner]:
                    del self._owned[owner]


class Holding:
    """What one association has of a budget. It is a `Holder`."""

    __slots__ = ("_budget", "_held", "_owner")

    def __init__(self, budget: Budget | None = None, owner: str = "") -> None:
        """Without a budget, there is room for whatever its own limits allow."""
        self._budget = budget
        self._owner = owner
        self._held = 0

    def hold(self, size: int) -> bool:
        """Count these bytes of a data set that is read whole; returns False if the server has no room for them."""
        if self._budget is None:
            return True
        if not self._budget.take(size, self._owner):
            return False
        self._held += size
        return True

    def let_go(self) -> None:
        """The data set that was read whole is the handler's own now, or nobody's."""
        if self._held and self._budget is not None:
            self._budget.give_back(self._held, self._owner)
            self._held = 0


class BaseSession:
    """One established association. `peer`: the address of the other end, for people."""

    def __init__(self, association: Association, carrier: Carrier, peer: str, layer: TLSLayer | None = None) -> None:
        self.association = association
        self.layer = layer
        self.exchange = Exchange(association)
        self.carrier = carrier
        self.peer = peer
        self.count_by(Holding())
        self.requests: Counter[str] = Counter()
        """How often the peer has asked for what, by name: `C-STORE-RQ`."""

    @property
    def request(self) -> AssociateRequest:
        """The A-ASSOCIATE-RQ that was sent or received. Raises AttributeError before."""
        request = self.association.terms.request
        if request is None:
            raise AttributeError("no A-ASSOCIATE-RQ yet")
        return request

    @property
    def calling_aet(self) -> str:
        """The AE title of the side that asked for the association, as that side says."""
        return self.request.calling_aet

    @property
    def called_aet(self) -> str:
        """The AE title that was asked for."""
        return self.request.called_aet

    @property
    def peer_information(self) -> UserInformation | None:
        """What the peer says of itself: its implementation and version, its window. None before it has spoken."""
        association = self.association
        spoken = association.terms.answer if association.terms.role is Role.REQUESTOR else association.terms.request
        return None if spoken is None else spoken.user_information

    @property
    def identity(self) -> UserIdentity | None:
        """The user identity that came with the request; its secrets are in it.  # PS3.7 D.3.3.7"""
        return self.request.user_information.user_identity

    @property
    def contexts(self) -> Mapping[int, PresentationContext]:
        """The accepted presentation contexts by id."""
        return self.association.contexts

    @property
    def refused(self) -> tuple[RefusedContext, ...]:
        """The proposed contexts that were not accepted, each with its result."""
        agreement = self.association.terms.agreement
        return agreement.refused if agreement else ()

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """What of the peer's deviations was let through so far, at most one for each flag of the tolerance."""
        return self.association.terms.deviations

    @property
    def tls(self) -> TLSInfo | None:
        """What TLS has negotiated: protocol, cipher suite, the peer's certificate; None without TLS."""
        return self.layer.info if self.layer is not None else None

    @property
    def established(self) -> bool:
        """Whether messages can be sent."""
        return self.association.state is State.Sta6 and not self.carrier.broken

    def count_by(self, holding: Holding) -> None:
        """What counts the data sets that are read whole."""
        self.holding = holding
        self.exchange.holder = holding

    def is_spoilt(self, error: BaseException, *, owed: bool) -> bool:
        """Whether nothing but an abort can follow, now that a flow was left by this exception.

        A message of our own that is not whole, whatever has come between; answers that would come when nobody listens;
        or, if what was interrupted has not ended by itself, what was read of a request of the peer (`owed`).
        """
        association = self.association
        if isinstance(error, ProtocolError):  # of the flow, which leaves nothing behind, or out of a caller's source
            return self.established and association.operations.sending and not self.exchange.sending
        interrupted = owed and not isinstance(error, Exception)
        return interrupted or association.operations.sending or association.operations.outstanding > 0


S = TypeVar("S", bound=BaseSession)
P = TypeVar("P", bound=Performing)


@dataclass(eq=False, slots=True, kw_only=True)
class Received(Generic[S, P]):
    """A request of the peer. `performing`: the operation, for whoever runs flows of their own."""

    session: S = field(repr=False)
    performing: P = field(repr=False)
    checker: Checker | None = field(default=None, repr=False)
    """What looks at its data set while that is read (`check`)."""

    @property
    def start(self) -> MessageStart:
        """The message as it came."""
        return self.performing.start

    @property
    def command(self) -> AnyRequest:
        """Its command set."""
        return self.performing.request

    @property
    def name(self) -> str:
        """`C-FIND-RQ`, for example."""
        return self.performing.request.NAME

    @property
    def context(self) -> PresentationContext:
        """The presentation context it came on."""
        return self.performing.context

    @property
    def answered(self) -> bool:
        """Whether it was answered finally, by itself or by a flow of `services` that was run for it."""
        return self.performing.answered or not self.session.association.operations.owes(self.command.message_id)

    @property
    def cancelled(self) -> bool:
        """Whether a C-CANCEL for it has come."""
        return self.performing.cancelled

    @property
    def sop_class_uid(self) -> str:
        """The SOP class it is about, affected or requested, as the peer sent it."""
        return dimse.sop_class_of(self.performing.request)

    @property
    def sop_instance_uid(self) -> str | None:
        """The SOP instance it is about, as the peer sent it: not for use in a path. None where it names none."""
        return dimse.sop_instance_of(self.performing.request)

    @property
    def transfer_syntax(self) -> str:
        """What its data set is encoded in, if it has one."""
        return self.performing.context.transfer_syntax

    def piece(self) -> Flow[Buffer | None]:
        """The next piece of its data set that holds anything; None once it is complete.

        Raises `AssociationError` where it does not end well.
        """
        while self.performing.unread:
            event = yield from next_piece(self.session.exchange)
            if event.data:
                if self.checker is not None:
                    self.looked_at(event.data)
                return event.data
        self.complete()
        return None

    # -- whether it is a data set --------------------------------------------------------------------------------

    def check(self) -> None:
        """Look at the data set while it is read: what cuts an element, is no data set, or another object than the
        command says, raises `Refused` where it is read, at its end at the latest. Nothing is looked at in a transfer
        syntax that is not known here."""
        self.checker = Checker.of(
            self.transfer_syntax, self.sop_class_uid, self.sop_instance_uid or "", self.session.association.terms.limits
        )

    def looked_at(self, data: Buffer) -> Buffer:
        """A piece of the data set, which the checker has seen now. Raises `Refused`."""
        if self.checker is not None:
            try:
                self.checker.feed(data)
            except DataSetError as error:
                self.checker = None
                raise Refused(error.store_status, str(error)) from error
        return data

    def complete(self) -> None:
        """There are no more pieces. Raises `Refused` where that was no data set."""
        checker, self.checker = self.checker, None
        if checker is not None:
            try:
                checker.finish()
            except DataSetError as error:
                raise Refused(error.store_status, str(error)) from error

    # -- reading it ----------------------------------------------------------------------------------------------

    def here(self) -> list[Buffer]:
        """What has come of its data set and was not taken; of many pieces only so many at a time, small ones joined.
        It never waits: where there is nothing, `pieces` tells whether it is complete."""
        performing, at = self.performing, self.session.exchange
        found: list[Buffer] = []
        joined: bytearray | None = None
        for _ in range(TOGETHER):
            if not performing.unread or not isinstance(event := at.here(), MessageData):
                break
            data = event.data
            if len(data) >= SMALL:
                found.append(data)
                joined = None
            elif joined is not None:
                joined += data
            elif data:
                joined = bytearray(data)
                found.append(joined)
        if self.checker is not None:
            for piece in found:
                self.looked_at(piece)
        return found

    def with_more(self, piece: Buffer) -> Buffer:
        """This piece of its data set, if it is small with those that have come after it. It never waits."""
        if len(piece) >= SMALL or not self.performing.unread:
            return piece
        performing, at = self.performing, self.session.exchange
        whole = bytearray(piece)
        for _ in range(TOGETHER):
            if not performing.unread or not isinstance(event := at.here(), MessageData):
                break
            whole += event.data
            if len(event.data) >= SMALL:
                break
        if self.checker is not None and len(whole) > len(piece):
            self.looked_at(whole[len(piece) :])
        return whole

    def pieces(self) -> Flow[list[Buffer]]:
        """As `here`, one piece at least, which may have to be waited for; none once the data set is complete.

        Raises `AssociationError` where it does not end well.
        """
        found = self.here()
        if not found:
            piece = yield from self.piece()
            if piece is not None:
                found = [self.with_more(piece), *self.here()]
        return found

    def whole(self) -> Flow[bytearray]:
        """Its whole data set in memory. Raises ValueError beyond the limit `collected`, its own or that of all
        associations of the server; `AssociationError`.

        It counts for the server until the request is answered, the next one comes, or the association ends.
        """
        found = bytearray()
        session = self.session
        allowed = session.association.terms.limits.collected
        session.holding.let_go()
        while (piece := (yield from self.piece())) is not None:
            size = len(piece)
            fits = len(found) + size <= allowed
            if not (fits and session.holding.hold(size)):
                found.clear()  # it would else be held as long as what is raised
                session.holding.let_go()
                if fits:
                    raise ValueError("no room now for whole data sets (server limit: collected)")
                raise ValueError(f"data set of more than {allowed} bytes (limit: collected)")
            found += piece
            del piece  # while it waits for more, a view would keep a whole receive buffer
        return found

    def answer(self, code: int, comment: str | None, given: Content | None) -> Flow[None]:
        """The final response, if `answer_now` could not send it at once."""
        self.session.holding.let_go()
        if not self.answer_now(code, comment, given):
            yield from self.performing.finish(code, comment, given)

    def answer_now(self, code: int, comment: str | None, given: Content | None) -> bool:
        """Send the final response without waiting, where that can be done; whether it was."""
        performing, at = self.performing, self.session.exchange
        if given is not None or performing.unread or performing.answered or at.sending:
            return False
        self.session.holding.let_go()
        at.begin(exchange.response_to(performing.start, code, comment))
        performing.answered = True
        return True


class Echoed:
    """A C-ECHO of another SOP class than Verification, or on the presentation context of another one, is no success."""

    __slots__ = ()

    def answer(self, code: int, comment: str | None, given: Content | None) -> Flow[None]:
        """As `Received.answer`."""
        return super().answer(self._code(code), comment, given)  # type: ignore[misc,no-any-return]

    def answer_now(self, code: int, comment: str | None, given: Content | None) -> bool:
        """As `Received.answer_now`."""
        return super().answer_now(self._code(code), comment, given)  # type: ignore[misc,no-any-return]

    def _code(self, code: int) -> int:
        """0x0122, SOP class not supported, in the place of success.  # PS3.7 9.1.5.1.4"""
        named, context = self.sop_class_uid, self.context  # type: ignore[attr-defined]
        fits: bool = named == uids.VERIFICATION == context.abstract_syntax
        return code if fits or code != status.SUCCESS else status.SOP_CLASS_NOT_SUPPORTED


_PERFORMING: Final[dict[type, type[Performing]]] = {
    dimse.CFindRequest: Finding,
    dimse.CGetRequest: Getting,
    dimse.CMoveRequest: Moving,
}


def performing(at: Exchange, start: MessageStart) -> Performing:
    """The provider's side of a request, of the kind its service has."""
    return _PERFORMING.get(type(start.command), Performing)(at, start)

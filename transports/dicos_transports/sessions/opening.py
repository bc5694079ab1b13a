"""How an association begins, the same in every adapter: asking for one, and answering a request for one.

An adapter brings its `Transport`: how connections are made, and what carries their bytes.

Knows: the options of `connect` and `accept`. Must not know: event loops, sockets.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from dicos_proto.arguments import check_kind, kind_of
from dicos_proto.association import Association, bytes_unread
from dicos_proto.conversation import flows
from dicos_proto.conversation.flows import AssociationRejected, Flow
from dicos_proto.limits import DEFAULT_MAX_LENGTH, Limits
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.pdu_types import (
    AssociateReject,
    AssociateRequest,
    ProposedContext,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Wire

from ..addresses import (
    DEFAULT_CALLED,
    KEEPALIVE,
    Address,
    SourceAddress,
    check_address,
    host_of,
    is_network_address,
    is_plain,
    parse_address,
)
from ..options import Wrap, check_options, check_tls
from .base import DEFAULT_AET, ConnectionFailed
from .running import AsyncDriver, establish
from .session import Session
from .windows import WINDOWS, asked

if TYPE_CHECKING:
    from ..tls.layer import ClientTLS, ServerTLS, TLSLayer
    from ..tracing import Trace

__all__ = [
    "Transport",
    "Wiring",
    "accept",
    "connect",
    "refusal",
    "session_over",
    "wired",
]

W = TypeVar("W")
C = TypeVar("C")
"""A connection that is open, as an adapter has it."""


class Transport(Protocol[C]):
    """How an adapter makes connections, and what carries their bytes."""

    async def open(self, where: Address | C, timeouts: Timeouts, source: SourceAddress | None) -> C:
        """Connects to an address; returns a connection that is open already unchanged. Raises `ConnectionFailed`."""

    def keep_alive(self, connection: C, seconds: float | None) -> None:
        """Let the system probe an idle connection."""

    def drive(self, connection: C, wire: Wire, timeouts: Timeouts, trace: Trace | None) -> tuple[AsyncDriver, str]:
        """Returns the driver that carries `wire` over the connection, and the name of the peer."""


class Wiring(NamedTuple):
    """An association and the wires around it: `wire` is the outermost, `layer` is TLS among them."""

    association: Association
    wire: Wire
    layer: TLSLayer | None


def session_over(
    transport: Transport[C], connection: C, wiring: Wiring, timeouts: Timeouts, trace: Trace | None
) -> Session:
    """A session, not established yet: its driver carries the outermost wire, and `trace` receives the bytes inside
    TLS."""
    association, wire, layer = wiring
    driver, peer = transport.drive(connection, wire, timeouts, trace if layer is None else None)
    driver.carry(partial(bytes_unread, association), trace)
    return Session(association, driver, peer, layer)


async def connect(
    transport: Transport[C],
    where: Address | C,
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
    wrap: Wrap | None = None,
    wrap_plain: Wrap | None = None,
) -> Session:
    """Asks for an association over this transport, as its user. The options and their meaning: `ConnectOptions`.

    Raises as `connect` of an adapter does (`options.Connect`).
    """
    check_options("connect", limits=limits, timeouts=timeouts, tolerance=tolerance, keepalive=keepalive, trace=trace,
                  wrap=wrap, wrap_plain=wrap_plain)  # fmt: skip
    check_tls(tls, "connect", server=False)
    check_kind(called_aet, "connect(called_aet={})", str, type(None))
    check_kind(calling_aet, "connect(calling_aet={})", str)
    check_kind(max_length, "connect(max_length={})", int)
    check_kind(application_context, "connect(application_context={})", str)
    check_kind(user_information, "connect(user_information={})", UserInformation, type(None))
    check_kind(source_address, "connect(source_address={})", str, tuple, type(None))
    if is_plain(where):
        check_address(where, "connect(where)", "an address or an open connection")
    address, title = located(where, called_aet, source_address)

    async def ask(information: UserInformation) -> Session:
        request = AssociateRequest(
            called_aet=title,
            calling_aet=calling_aet,
            contexts=contexts,
            application_context=application_context,
            user_information=information,
        )
        association = Association.requestor(request, limits=limits, timeouts=timeouts, tolerance=tolerance)
        wiring = wired(association, tls, host_of(address), trace, wrap, wrap_plain)
        connection = await transport.open(address, timeouts, source_address)
        transport.keep_alive(connection, keepalive)
        session = session_over(transport, connection, wiring, timeouts, trace)
        await establish(session, flows.establish(association))
        return session

    wanted = user_information or UserInformation(max_length=max_length)
    return await asked(WINDOWS.offer(address, title, wanted), ask)


async def accept(
    transport: Transport[C],
    connection: C,
    policy: AcceptPolicy,
    *,
    limits: Limits = Limits(),  # noqa: B008  frozen values
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    tolerance: Tolerance = STRICT,
    tls: ServerTLS | None = None,
    keepalive: float | None = KEEPALIVE,
    trace: Trace | None = None,
    wrap: Wrap | None = None,
    wrap_plain: Wrap | None = None,
) -> Session:
    """Waits for an A-ASSOCIATE-RQ on an open connection, and answers it by `policy`. Options: `AcceptOptions`.

    Raises as `accept` of an adapter does (`options.Accept`).
    """
    check_kind(policy, "accept(..., {})", AcceptPolicy)
    check_options("accept", limits=limits, timeouts=timeouts, tolerance=tolerance, keepalive=keepalive, trace=trace,
                  wrap=wrap, wrap_plain=wrap_plain)  # fmt: skip
    check_tls(tls, "accept", server=True)
    if is_plain(connection):
        raise TypeError(f"accept(connection): {kind_of(connection)} in place of an open connection")
    association = Association.acceptor(limits=limits, timeouts=timeouts, tolerance=tolerance)
    wiring = wired(association, tls, None, trace, wrap, wrap_plain)
    transport.keep_alive(connection, keepalive)
    session = session_over(transport, connection, wiring, timeouts, trace)
    await establish(session, _accepted(association, policy, wiring.layer))
    WINDOWS.learn_from(session)
    return session


def _accepted(association: Association, policy: AcceptPolicy, layer: TLSLayer | None) -> Flow[None]:
    """Wait for the A-ASSOCIATE-RQ and answer it. Raises `AssociationRejected` for a rejection."""
    request = yield from flows.await_request(association)
    refused = refusal(layer, request)
    if refused is not None:
        yield from flows.reject(association, refused)
        raise AssociationRejected(refused)
    found = yield from flows.answer_request(association, request, policy)
    if isinstance(found, AssociateReject):
        raise AssociationRejected(found)


def refusal(layer: TLSLayer | None, request: AssociateRequest) -> AssociateReject | None:
    """The rejection of a title that the certificate of its peer does not allow."""
    return None if layer is None else layer.refusal(request)


def located(where: W, called_aet: str | None, source: SourceAddress | None = None) -> tuple[W | tuple[str, int], str]:
    """Returns the address to connect to, and the title to call: the argument's, that of `AET@host:port`, or ANY-SCP.

    Raises `ConnectionFailed` for a string that is not an address, for two titles, and for a source address together
    with a connection that is already made.
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


def wired(
    association: Association,
    tls: ClientTLS | ServerTLS | None,
    host: str | None,
    trace: Trace | None,
    wrap: Wrap | None,
    wrap_plain: Wrap | None,
) -> Wiring:
    """Puts the wires around an association that the options ask for: `wrap_plain`, then TLS, then `wrap`.

    Raises TypeError if a function returns something else."""
    wire: Wire = association if wrap_plain is None else _wrapped("wrap_plain", wrap_plain, association)
    layer: TLSLayer | None = None
    if tls is not None:
        from ..tls.layer import TLSLayer

        wire = layer = TLSLayer(wire, tls, server_hostname=host, trace=trace)
    return Wiring(association, wire if wrap is None else _wrapped("wrap", wrap, wire), layer)


def _wrapped(name: str, wrap: Wrap, wire: Wire) -> Wire:
    found = wrap(wire)
    if not hasattr(found, "data_to_send"):
        raise TypeError(f"{name} returned {kind_of(found)} in place of a wire")
    return found

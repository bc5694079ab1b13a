"""The options of `connect` and `accept`: one signature and one docstring of each for every adapter.

Knows: what may be chosen. Must not know: how an association begins. Defaults are those of `sessions.opening`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, Unpack

from dicos_proto.arguments import check_function, check_kind
from dicos_proto.limits import Limits
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import Tolerance
from dicos_proto.upper_layer.pdu_types import ProposedContext, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Wire

from .addresses import SourceAddress, check_keepalive

if TYPE_CHECKING:
    from .tls.layer import ClientTLS, ServerTLS
    from .tracing import Trace

__all__ = ["Accept", "AcceptOptions", "Connect", "ConnectOptions", "RequestOptions", "Wrap"]

_TOLERANCES: Final = ("STRICT", "FIELD", "AUTOMATIC", "STRATOVAN", "EVERYTHING")

Wrap = Callable[[Wire], Wire]
"""A function that puts a wire around another one and returns it: an emulated network, a recorder."""


class AssociationOptions(TypedDict, total=False):
    """The options that `connect`, `accept` and `serve` have in common."""

    limits: Limits
    """Limits on what the peer may send, and on what is held in memory for it."""
    timeouts: Timeouts
    """The time that each step may take."""
    tolerance: Tolerance
    """The deviations of the peer to accept. The default is `STRICT`, which accepts none; that of the `dicos` command is
    `FIELD`, so it may talk to a peer that the default refuses. `Session.deviations` lists those that occurred; a server
    also logs each of them as a warning, once for an association."""
    keepalive: float | None
    """Seconds of silence, 1 to 32767, after which the system probes the peer's host. The connection is lost if the host
    does not answer for as long again. None sends no probes."""
    wrap: Wrap | None
    """A function that is called once for each connection with the wire next to it (the association, or TLS around it)
    and returns the wire that carries the bytes instead, for example one with faults (`dicos_fuzz.faults`)."""
    wrap_plain: Wrap | None
    """The same inside TLS: it is called with the association."""


class TraceOption(TypedDict, total=False):
    """The trace of one association."""

    trace: Trace | None
    """A function that is called with all bytes sent and received, inside TLS if there is TLS, and at the end with
    none."""


class RequestOptions(TraceOption, AssociationOptions, total=False):
    """The options of `Application.connect`. All are keyword arguments, and none is required."""

    called_aet: str | None
    """The AE title to call. None calls the one in `where`, or ANY-SCP if there is none."""
    max_length: int
    """The largest number of bytes of a P-DATA-TF that this side receives."""
    application_context: str
    """The application context name to propose [PS3.7 A.2]."""
    user_information: UserInformation | None
    """The user information to send, in place of the one that is made from `max_length`."""
    source_address: SourceAddress | None
    """The local address to connect from, or (address, port)."""


class ConnectOptions(RequestOptions, total=False):
    """The options of `connect`. All are keyword arguments, and none is required."""

    calling_aet: str
    """The AE title of this side."""
    tls: ClientTLS | None
    """Use TLS with this configuration. The server's certificate must be for the host."""


class AcceptOptions(TraceOption, AssociationOptions, total=False):
    """The options of `accept`. All are keyword arguments, and none is required."""

    tls: ServerTLS | None
    """Use TLS with this configuration."""


class Connect(Protocol):
    """The function `connect` of every adapter."""

    def __call__(self, where: Any, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]) -> object:
        """Ask for an association, as its user.

        `where`: (host, port), "host:port", "[::1]:port" or "AET@host:port" (`addresses.parse_address`), the path of a
        Unix socket, or a connection that is open already, which the session then owns. `contexts`: the presentation
        contexts to propose (`negotiation.propose`). `options`: those of `ConnectOptions`, for example `calling_aet`,
        `timeouts` and `tls`.

        Raises `ConnectionFailed`, `AssociationRejected`, `AssociationAborted`; `LocalProtocolError` if the request
        cannot be encoded.
        """


class Accept(Protocol):
    """The function `accept` of every adapter."""

    def __call__(self, connection: Any, policy: AcceptPolicy, **options: Unpack[AcceptOptions]) -> object:
        """Wait for an A-ASSOCIATE-RQ on an open connection, which is then owned, and answer it by `policy`.

        `options`: those of `AcceptOptions`, for example `limits`, `timeouts` and `tls`. Raises `AssociationRejected` if
        the policy rejects it, `AssociationAborted`.
        """


# -- for the rest of this package ----------------------------------------------------------------------------------


def check_options(
    call: str,
    *,
    limits: object,
    timeouts: object,
    tolerance: object,
    keepalive: object,
    trace: object,
    wrap: object = None,
    wrap_plain: object = None,
) -> None:
    """Refuses options of another type, which would fail only when a peer connects or sends something.

    `call`: the function that they were given to. Raises TypeError, and ValueError for an impossible `keepalive`."""
    check_kind(limits, f"{call}(limits={{}})", Limits)
    check_kind(timeouts, f"{call}(timeouts={{}})", Timeouts)
    word = tolerance.upper() if isinstance(tolerance, str) else ""
    meant = word if word in _TOLERANCES else f"{', '.join(_TOLERANCES[:-1])} or {_TOLERANCES[-1]}"
    check_kind(tolerance, f"{call}(tolerance={{}})", Tolerance, hint=f"; write {meant}")
    check_function(trace, f"{call}(trace={{}})")
    check_function(wrap, f"{call}(wrap={{}})")
    check_function(wrap_plain, f"{call}(wrap_plain={{}})")
    check_kind(keepalive, f"{call}(keepalive={{}})", int, float, type(None))
    if isinstance(keepalive, int | float):
        check_keepalive(keepalive)


def check_tls(tls: object, call: str, *, server: bool) -> None:
    """Refuses everything but the TLS configuration of this side, and None. Raises TypeError."""
    if tls is not None:
        from .tls.config import ClientTLS, ServerTLS

        check_kind(tls, f"{call}(tls={{}})", ServerTLS if server else ClientTLS, type(None))

"""The options of servers: one signature and one docstring of `serve` for every adapter.

Knows: what may be chosen. Must not know: how connections are accepted.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, Unpack

from dicos_proto.arguments import check_kind, kind_of
from dicos_proto.association import Association
from dicos_proto.limits import Limits
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityVerdict

from ..addresses import KEEPALIVE
from ..options import AssociationOptions, Wrap, check_options, check_tls
from ..sessions import opening
from ..sessions.opening import Transport
from ..sessions.session import Session
from .admission import Connection, ServerLimits

if TYPE_CHECKING:
    from ..tls.layer import ServerTLS
    from ..tracing import Trace

__all__ = ["AsyncIdentify", "Identify", "Serve", "ServeOptions", "ServerConfig", "verdict_of"]

C = TypeVar("C")

Identify = Callable[[AssociateRequest], IdentityVerdict | None]
"""A function that returns a verdict on the user identity of a request; None leaves the decision to the policy. It may
take its time in `blocking`, where each association has a thread; in an event loop it has to be quick, or an
`AsyncIdentify`. Its verdict is ignored after `Timeouts.accept`; an async function is cancelled then, or when the peer
goes."""
AsyncIdentify = Callable[[AssociateRequest], IdentityVerdict | Awaitable[IdentityVerdict | None] | None]


class ServeOptions(AssociationOptions, total=False):
    """The options of `serve` besides `policy` and `identify`. All are keyword arguments, and none is required."""

    server_limits: ServerLimits
    """Limits on what the server serves at the same time."""
    tls: ServerTLS | None
    """Use TLS with this configuration. Handshakes happen in the associations' own threads or tasks."""
    reuse_port: bool
    """Other processes may listen on the same port."""
    trace: Callable[[str], Trace] | None
    """A function that is called with a peer's address and returns the function that receives its bytes, inside TLS if
    there is TLS."""


class Serve(Protocol):
    """The function `serve` of every adapter."""

    def __call__(
        self,
        where: Any,
        handler: Any,
        *,
        policy: AcceptPolicy,
        identify: Any = None,
        **options: Unpack[ServeOptions],
    ) -> object:
        """Serves associations, each in its own thread or task, which calls `handler` with its `Session`.

        `where`: (host, port) or "host:port", port 0 takes a free one; the path of a Unix socket; a listening socket; a
        list of these; or a connection, whose association is then the only one: a connected socket, in trio any stream,
        in asyncio a pair of streams. The server then owns the connection. In an event loop `handler` is a coroutine
        function, `identify` may be one, and the server runs within the asynchronous context manager that is returned.

        `policy`: how requests for associations are answered. `identify`: returns the verdict on the user identity of a
        request, instead of the policy. `options`: those of `ServeOptions`, for example `server_limits`, `timeouts` and
        `tls`. The server logs to "dicos.server", one line for each event: never content, never unescaped text of a
        peer.

        Raises `ListenFailed`, TypeError for a function that the server cannot call.
        """


def check_functions(handler: object, identify: object, *, awaited: bool) -> None:
    """Refuses functions that this kind of server cannot call: generator functions, which would not even begin, and in
    `blocking` those that have to be awaited. A plain function may return something to await, so an event loop accepts
    it. Raises TypeError."""
    _check_function(handler, "handler", awaited=awaited)
    if identify is not None:
        _check_function(identify, "identify", awaited=awaited)


def _check_function(given: object, what: str, *, awaited: bool) -> None:
    wanted = "a coroutine function" if awaited else "a plain function"
    if not callable(given):
        raise TypeError(f"serve({what}=...): {kind_of(given)} in place of {wanted}")
    called: object = given if isinstance(given, FunctionType | MethodType | partial) else type(given).__call__
    name = getattr(given, "__qualname__", type(given).__qualname__)
    if any(kind(called) for kind in (inspect.isgeneratorfunction, inspect.isasyncgenfunction)):
        raise TypeError(f"serve({what}=...): {name} has a yield, so a call would not run it; {wanted} is needed")
    if not awaited and inspect.iscoroutinefunction(called):
        raise TypeError(
            f"serve({what}=...): {name} is a coroutine function, and a blocking server awaits nothing; use a plain "
            "function, or the server of dicos_transports.trio or dicos_transports.asyncio"
        )


def check_returned(given: object, *, awaited: bool) -> None:
    """Refuses what a handler has returned if it should have been awaited, or cannot be. Raises TypeError."""
    if awaited and not inspect.isawaitable(given):
        raise TypeError(
            f"the handler returned {kind_of(given)}, which cannot be awaited; in an event loop it is a coroutine "
            "function: async def"
        )
    if not awaited and inspect.isawaitable(given):
        if inspect.iscoroutine(given):
            given.close()
        raise TypeError("the handler returned something to await, and a blocking server awaits nothing")


def verdict_of(found: object) -> IdentityVerdict | None:
    """Checks what `identify` has returned. Raises TypeError for anything but a verdict or None."""
    if found is None or isinstance(found, IdentityVerdict):
        return found
    raise TypeError(
        f"identify returned a {type(found).__name__}; it returns an IdentityVerdict, or None for the policy"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The options of one server, the same in every adapter."""

    policy: AcceptPolicy
    limits: Limits = Limits()  # noqa: RUF009  frozen values
    timeouts: Timeouts = Timeouts()  # noqa: RUF009
    tolerance: Tolerance = STRICT
    server_limits: ServerLimits = ServerLimits()  # noqa: RUF009
    tls: ServerTLS | None = None
    reuse_port: bool = False
    trace: Callable[[str], Trace] | None = None
    keepalive: float | None = KEEPALIVE
    wrap: Wrap | None = None
    wrap_plain: Wrap | None = None

    def __post_init__(self) -> None:
        """Raises TypeError for an option of another type, ValueError for values that do not go together."""
        check_kind(self.policy, "serve(policy={})", AcceptPolicy)
        check_options(
            "serve",
            limits=self.limits,
            timeouts=self.timeouts,
            tolerance=self.tolerance,
            keepalive=self.keepalive,
            trace=self.trace,
            wrap=self.wrap,
            wrap_plain=self.wrap_plain,
        )
        check_tls(self.tls, "serve", server=True)
        check_kind(self.server_limits, "serve(server_limits={})", ServerLimits)
        self.server_limits.room_for(self.limits)  # raises where there is none

    @classmethod
    def of(cls, policy: AcceptPolicy, options: ServeOptions) -> Self:
        """The configuration of a server with these options of `serve`. Raises TypeError."""
        for name in options:
            if name not in cls.__slots__:
                raise TypeError(f"serve() got an unexpected keyword argument {name!r}")
        return cls(policy=policy, **options)

    def tracing(self, peer: str) -> Trace | None:
        """The function that receives the bytes of a connection; None without a trace."""
        return self.trace(peer) if self.trace is not None else None

    def session(self, transport: Transport[C], connected: C, connection: Connection) -> Session:
        """Makes the session of a connection, not established yet."""
        association = Association.acceptor(limits=self.limits, timeouts=self.timeouts, tolerance=self.tolerance)
        trace = self.tracing(connection.peer)
        wiring = opening.wired(association, self.tls, None, trace, self.wrap, self.wrap_plain)
        return opening.session_over(transport, connected, wiring, self.timeouts, trace)

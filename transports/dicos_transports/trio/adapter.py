"""Associations in trio: `connect` makes one, `accept` takes one, `serve` takes many.

    async with await connect(("127.0.0.1", 11112), propose([uids.VERIFICATION])) as session:
        await session.echo()

    async with serve(("127.0.0.1", 11112), handler, policy=policy) as server:
        await server.wait()

The surface is that of `blocking`, with `async` where something waits. One task at a time may use a session. A cancelled
operation aborts its association, within two seconds, whatever the peer does.

Knows: how trio waits. Must not know: the protocol. Every wait has a deadline (`Timeouts`), and so has name resolution.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import trio

from dicos_proto import dimse
from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.limits import DEFAULT_MAX_LENGTH, Limits
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance, Outcome
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.pdu_types import ProposedContext, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy

from ..addresses import (
    FULL_AGAIN,
    KEEPALIVE,
    Address,
    Listeners,
    ListenFailed,
    Listening,
    NoSource,
    SourceAddress,
    bound_socket,
    check_keepalive,
    check_port,
    host_of,
    is_listening,
    keep_alive,
    matching,
    peer_of,
    said,
    source_of,
    unreachable,
)
from ..serving.async_server import AsyncServer, Handler
from ..serving.reception import (
    AFTER_KILL,
    BREATHER,
    GRACE,
    LOG,
    OUT_OF_SOMETHING,
    AsyncIdentify,
    Connection,
    Metrics,
    ServerLimits,
    Serving,
)
from ..sessions.base import DEFAULT_AET, ConnectionFailed, accepted, located, requestor, tls_around
from ..sessions.channel import ServerStopping, Trace
from ..sessions.pooling import PoolClosed, PoolExhausted, PoolStats
from ..sessions.session import (
    Answers,
    AnyRequest,
    AwaitedInstance,
    EchoRequest,
    FindRequest,
    GetRequest,
    MoveRequest,
    NormalizedRequest,
    Request,
    Session,
    StoreRequest,
)
from ..sessions.sharing import Shared, store_share
from ..sessions.windows import WINDOWS, awaited
from .driver import Driver, SocketLink, StreamLink, T, V, first
from .memory import pair

if TYPE_CHECKING:
    from ..tls.layer import ClientTLS, ServerTLS, TLSLayer

__all__ = [
    "Answers",
    "AnyRequest",
    "AwaitedInstance",
    "ConnectionFailed",
    "EchoRequest",
    "FindRequest",
    "GetRequest",
    "Handler",
    "ListenFailed",
    "Metrics",
    "MoveRequest",
    "NormalizedRequest",
    "PoolClosed",
    "PoolExhausted",
    "PoolStats",
    "Request",
    "Server",
    "ServerLimits",
    "ServerStopping",
    "Session",
    "StoreRequest",
    "accept",
    "connect",
    "pair",
    "serve",
    "store_over",
]

Connected = socket.socket | trio.abc.Stream
"""A connection that is open already: a stream socket, or any stream of trio's."""


async def connect(
    where: Address | Connected,
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

    `where`: (host, port), the path of a Unix socket, or a connection that is open already, which is then owned. All
    else, and what is raised: as in `blocking.connect`.
    """
    check_keepalive(keepalive)
    address, title = located(where, called_aet, source_address)

    async def ask(information: UserInformation) -> Session:
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
        if isinstance(address, socket.socket | trio.abc.Stream):
            connection = address
        else:
            connection = await _open(address, timeouts.connect, source_address)
        _keep_alive(connection, keepalive)
        session = _session(connection, association, layer, timeouts, trace)
        await session.establish(flows.establish(association))
        return session

    wanted = user_information or UserInformation(max_length=max_length)
    return await awaited(WINDOWS.offer(address, title, wanted), ask)


async def accept(
    connection: Connected,
    policy: AcceptPolicy,
    *,
    limits: Limits = Limits(),  # noqa: B008  frozen values
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    tolerance: Tolerance = STRICT,
    tls: ServerTLS | None = None,
    keepalive: float | None = KEEPALIVE,
    trace: Trace | None = None,
) -> Session:
    """Wait for an A-ASSOCIATE-RQ on an open connection, which is then owned, and answer it by `policy`.

    All else, and what is raised: as in `blocking.accept`.
    """
    check_keepalive(keepalive)
    association = Association.acceptor(limits=limits, timeouts=timeouts, tolerance=tolerance)
    layer = tls_around(association, tls, None, trace)
    _keep_alive(connection, keepalive)
    session = _session(connection, association, layer, timeouts, trace)
    await session.establish(accepted(association, policy, layer))
    WINDOWS.learn_from(session)
    return session


def _session(
    connection: Connected, association: Association, layer: TLSLayer | None, timeouts: Timeouts, trace: Trace | None
) -> Session:
    """A session whose driver carries what is outermost; `trace` is for the association's bytes."""
    wire, seen = (association, trace) if layer is None else (layer, None)
    link: SocketLink | StreamLink
    if isinstance(connection, trio.SocketStream):
        connection = socket.socket(fileno=connection.socket.detach())
    if isinstance(connection, socket.socket):
        link, peer = SocketLink(connection, wire, timeouts, seen), peer_of(connection)
    else:
        link, peer = StreamLink(connection, wire, timeouts, seen), f"a {type(connection).__name__}"
    link.carry(association, trace)
    return Session(association, Driver(link), peer, layer)


def _keep_alive(connection: Connected, seconds: float | None) -> None:
    if isinstance(connection, socket.socket):
        keep_alive(connection, seconds)
    elif isinstance(connection, trio.SocketStream):
        keep_alive(connection.socket, seconds)


async def _open(where: Address, timeout: float | None, source: SourceAddress | None) -> Connected:
    try:
        with trio.fail_after(math.inf if timeout is None else timeout):
            if source is not None:
                return await _open_from(source, where)
            if isinstance(where, tuple):
                check_port(where[1])
                return await trio.open_tcp_stream(*where)
            return await _open_unix(os.fspath(where))
    except trio.TooSlowError:
        raise ConnectionFailed(unreachable(where, "timed out")) from None
    except (OSError, ValueError, OverflowError) as error:  # ValueError: what is no name, a NUL in a path
        raise ConnectionFailed(unreachable(where, said(_first(error)))) from error


async def _open_from(source: SourceAddress, where: Address) -> Connected:
    """The first address of the host that answers, from this local one. Raises what the last one says."""
    family, start = source_of(source, unix=not isinstance(where, tuple))
    host, port = cast(tuple[str, int], where)
    check_port(port)
    found = matching(await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), family, source)
    fault: OSError = OSError()
    for _, kind, protocol, _, address in found:
        sock = trio.socket.from_stdlib_socket(bound_socket(family, kind, protocol, start, source))
        try:
            await sock.connect(address)
            return trio.SocketStream(sock)
        except OSError as error:
            fault = error
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise fault


async def _open_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:  # trio, and asyncio, would take it for connected
                await trio.sleep(FULL_AGAIN)
            else:
                await trio.lowlevel.checkpoint()
                return sock
    except BaseException:
        sock.close()
        raise


def _first(error: Exception) -> Exception:
    """Several addresses were tried, and each failed: what the first one said."""
    if isinstance(error, NoSource):
        return error
    cause = error.__cause__
    return cause if isinstance(cause, OSError) else cause.exceptions[0] if isinstance(cause, ExceptionGroup) else error


@asynccontextmanager
async def store_over(
    connect_one: Callable[[], Awaitable[Session]],
    instances: Iterable[Instance],
    *,
    associations: int = 4,
    priority: int = dimse.PRIORITY_MEDIUM,
) -> AsyncIterator[AsyncIterator[Outcome]]:
    """C-STORE of `instances` over up to `associations` associations at once, each made by `connect_one`.

        async with store_over(lambda: connect(where, contexts), instances, associations=4) as outcomes:
            async for outcome in outcomes:
                ...

    As `blocking.store_over`; left by an exception or cancelled, its associations are aborted.
    """
    shared = Shared(instances, associations)
    send, receive = trio.open_memory_channel[Outcome](associations)  # what is not looked at is not sent on

    async def work(send: trio.MemorySendChannel[Outcome]) -> None:
        async with send:
            await store_share(shared, connect_one, send.send, priority=priority)

    async def outcomes() -> AsyncGenerator[Outcome, None]:
        async for outcome in receive:
            yield outcome
        shared.finish()

    fault: Exception | None = None
    async with trio.open_nursery() as nursery, receive:
        with send:
            for _ in range(associations):
                nursery.start_soon(work, send.clone())
        try:
            async with aclosing(outcomes()) as found:
                yield found
            shared.stop()
            async for _ in receive:
                pass
        except Exception as error:  # it goes on as it is, not as a group of the nursery's
            fault = error
            shared.stop()
            nursery.cancel_scope.cancel()
    if fault is not None:
        try:
            raise fault
        finally:
            del fault  # its traceback has this frame


# -- serving -------------------------------------------------------------------------------------------------------


def serve(
    where: Listening | trio.abc.Stream,
    handler: Handler,
    *,
    policy: AcceptPolicy,
    limits: Limits = Limits(),  # noqa: B008  frozen values
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    tolerance: Tolerance = STRICT,
    server_limits: ServerLimits = ServerLimits(),  # noqa: B008
    tls: ServerTLS | None = None,
    identify: AsyncIdentify | None = None,
    reuse_port: bool = False,
    keepalive: float | None = KEEPALIVE,
    trace: Callable[[str], Trace] | None = None,
) -> Server:
    """Serve associations in tasks of their own; each awaits `handler` with its `Session`.

    `where`: as in `blocking.serve`; a stream of trio's may stand for a connected socket. `identify` may be a coroutine
    function. What is returned is an asynchronous context manager: the server runs within.

    Raises `ListenFailed`.
    """
    told = Serving(
        policy=policy,
        limits=limits,
        timeouts=timeouts,
        tolerance=tolerance,
        server_limits=server_limits,
        tls=tls,
        trace=trace,
        keepalive=keepalive,
    )
    if isinstance(where, trio.abc.Stream) or (isinstance(where, socket.socket) and not is_listening(where)):
        return Server(handler, told, identify, connection=where)
    return Server(handler, told, identify, Listeners(where, reuse_port=reuse_port))


class Server(AsyncServer):
    """Made by `serve`. An asynchronous context manager: left, it stops and waits for what is still going on.

    Cancelled, it aborts all associations. `stop` is called in trio's own thread.
    """

    def __init__(
        self,
        handler: Handler,
        serving: Serving,
        identify: AsyncIdentify | None,
        listeners: Listeners | None = None,
        connection: Connected | None = None,
    ) -> None:
        super().__init__(handler, serving, identify)
        self._listeners = listeners
        self._connection = connection
        self._listening_on = listeners.names if listeners is not None else []
        self._changed = trio.lowlevel.ParkingLot()
        self._stop_accepting = trio.CancelScope()
        self._manager = trio.open_nursery()
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        self._nursery = await self._manager.__aenter__()
        if self._listeners is not None:
            self._accepting = 1
            self._nursery.start_soon(self._accept_all, self._listeners)
        elif self._connection is not None:
            self._take(self._nursery, self._connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.close()
        finally:  # failed or cancelled: the exception goes on as it is, not as a group of the nursery's
            if self._nursery is not None:
                if not self._done:
                    self._nursery.cancel_scope.cancel()
                await self._manager.__aexit__(None, None, None)

    def stop(self) -> None:
        """Ask it to stop. Returns at once; may be called again."""
        if not self._stopping:
            self._stopping = True
            self._stop_accepting.cancel()
            self._interrupt()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until it was stopped, or its one connection is over, and nothing is left; whether that is so."""
        with trio.move_on_after(math.inf if timeout is None else timeout):
            while not self._done:
                await self._changed.park()
        return self._done

    async def close(self, grace: float = GRACE) -> None:
        """Stop; let operations finish for `grace` seconds, then abort what is left, and wait for it."""
        self.stop()
        if not await self.wait(grace):
            self._reception.tell_killed(grace)
            self._kill()
            if not await self.wait(AFTER_KILL):
                LOG.error("%d handlers do not return; they are waited for", self.associations)

    async def _first(self, over: Awaitable[T], wanted: Awaitable[V]) -> tuple[T, None] | tuple[None, V]:
        return await first(over, wanted)

    # -- accepting -----------------------------------------------------------------------------------------------

    async def _accept_all(self, listeners: Listeners) -> None:
        try:
            with self._stop_accepting:
                async with trio.open_nursery() as nursery:
                    for sock in listeners.sockets:
                        nursery.start_soon(self._accept_from, sock)
        finally:
            for sock in listeners.sockets:
                trio.lowlevel.notify_closing(sock)
            listeners.close()
            self._accepting = 0
            self._changed.unpark_all()

    async def _accept_from(self, listener: socket.socket) -> None:
        short = False
        nursery = self._nursery
        while nursery is not None:
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, _ = listener.accept()
            except OSError as error:
                if error.errno in OUT_OF_SOMETHING:
                    if not short:
                        self._reception.tell_out_of(error)
                    short = True
                    self._reception.make_room()
                    await trio.sleep(BREATHER)
                continue  # else it is gone again already
            short = False
            self._take(nursery, sock)

    def _take(self, nursery: trio.Nursery, connected: Connected) -> None:
        """Serve this connection in a task of its own."""
        _keep_alive(connected, self._serving.keepalive)
        if isinstance(connected, socket.socket):
            connection = Connection.over(connected)
        else:
            connection = Connection(f"a {type(connected).__name__}")
        scope = trio.CancelScope()
        connection.stop = scope.cancel
        self._reception.arrive(connection)
        nursery.start_soon(self._serve, connection, connected, scope, name=f"association with {connection.peer}")

    async def _serve(self, connection: Connection, connected: Connected, scope: trio.CancelScope) -> None:
        serving = self._serving
        association = serving.association()
        fault: BaseException | None = None
        try:
            with scope:
                trace = serving.tracing(connection.peer)
                layer = tls_around(association, serving.tls, None, trace)
                await self._converse(connection, _session(connected, association, layer, serving.timeouts, trace))
            if scope.cancelled_caught:
                fault = ServerStopping()
        except Exception as error:  # a handler's own fault ends its association and no other one
            fault = error
        except BaseException as error:
            fault = error
            raise
        finally:
            if isinstance(connected, socket.socket):
                connected.close()
            elif connection.session is None:
                trio.lowlevel.spawn_system_task(trio.aclose_forcefully, connected)
            try:
                self._reception.end(connection, fault, association)
            finally:
                del fault  # its traceback has this frame, and those that hold what was received
            self._changed.unpark_all()

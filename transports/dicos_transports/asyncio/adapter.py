"""Associations in asyncio: `connect` makes one, `accept` takes one, `serve` takes many.

    async with await connect(("127.0.0.1", 11112), propose([uids.VERIFICATION])) as session:
        await session.echo()

    async with serve(("127.0.0.1", 11112), handler, policy=policy) as server:
        await server.wait()

The surface is that of `blocking`, with `async` where something waits. One task at a time may use a session. A cancelled
operation aborts its association, within two seconds, whatever the peer does. Sockets are waited for by
`loop.add_reader`, which the selector loops of POSIX and uvloop have.

Knows: how asyncio waits. Must not know: the protocol. Every wait has a deadline (`Timeouts`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeGuard, cast

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
    show_address,
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
from .driver import Connected, Driver, SocketLink, StreamLink, Streams, T, V, first
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
        if _is_connection(address):
            connection = address
        else:
            connection = await _open(cast(Address, address), timeouts.connect, source_address)
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
    if isinstance(connection, socket.socket):
        link, peer = SocketLink(connection, wire, timeouts, seen), peer_of(connection)
    else:
        link, peer = StreamLink(connection, wire, timeouts, seen), _peer_of(connection)
    link.carry(association, trace)
    return Session(association, Driver(link), peer, layer)


def _is_connection(where: object) -> TypeGuard[Connected]:
    if isinstance(where, tuple):
        return len(where) == 2 and isinstance(where[0], asyncio.StreamReader)
    return isinstance(where, socket.socket) and not is_listening(where)


def _peer_of(streams: Streams) -> str:
    return show_address(streams[1].get_extra_info("peername") or "a pair of streams")


def _keep_alive(connection: Connected, seconds: float | None) -> None:
    sock = connection if isinstance(connection, socket.socket) else connection[1].get_extra_info("socket")
    if sock is not None:
        keep_alive(sock, seconds)


async def _open(where: Address, timeout: float | None, source: SourceAddress | None) -> socket.socket:
    try:
        async with asyncio.timeout(timeout):
            return await _open_socket(where, source)
    except TimeoutError:
        raise ConnectionFailed(unreachable(where, "timed out")) from None
    except (OSError, ValueError, OverflowError) as error:  # ValueError: what is no name, a NUL in a path
        raise ConnectionFailed(unreachable(where, said(error))) from error


async def _open_socket(where: Address, source: SourceAddress | None) -> socket.socket:
    """The first address of the host that answers. Raises what the last one says."""
    loop = asyncio.get_running_loop()
    start = None if source is None else source_of(source, unix=not isinstance(where, tuple))
    if not isinstance(where, tuple):
        return await _open_unix(os.fspath(where))
    check_port(where[1])
    fault: OSError = OSError(errno.EADDRNOTAVAIL, "the host has no address")
    found: Sequence[Any] = await loop.getaddrinfo(*where, type=socket.SOCK_STREAM)
    if source is not None and start is not None:
        found = matching(found, start[0], source)
    for family, _, protocol, _, address in found:
        try:
            return await _connected(loop, family, protocol, address, source, None if start is None else start[1])
        except OSError as error:
            fault = error
    try:
        raise fault
    finally:
        del fault  # its traceback has this frame


async def _open_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
                return sock
            except BlockingIOError:  # `sock_connect` would take it for connected
                await asyncio.sleep(FULL_AGAIN)
    except BaseException:
        sock.close()
        raise


async def _connected(
    loop: asyncio.AbstractEventLoop, family: int, protocol: int, address: Any, source: SourceAddress | None, start: Any
) -> socket.socket:
    if source is not None:
        sock = bound_socket(family, socket.SOCK_STREAM, protocol, start, source)
    else:
        sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


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
    told: asyncio.Queue[Outcome | None] = asyncio.Queue(associations)  # what is not looked at is not sent on
    working = associations  # tasks that have not said that they are done

    async def work() -> None:
        await store_share(shared, connect_one, told.put, priority=priority)
        await told.put(None)

    async def outcomes() -> AsyncGenerator[Outcome, None]:
        nonlocal working
        while working:
            if (outcome := await told.get()) is not None:
                yield outcome
            else:
                working -= 1
        shared.finish()

    tasks = [asyncio.create_task(work()) for _ in range(associations)]
    try:
        async with aclosing(outcomes()) as found:
            yield found
        shared.stop()
        while working:
            working -= await told.get() is None
    finally:
        shared.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# -- serving -------------------------------------------------------------------------------------------------------


def serve(
    where: Listening | Streams,
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

    `where`: as in `blocking.serve`; a pair of asyncio's streams may stand for a connected socket. `identify` may be a
    coroutine function. What is returned is an asynchronous context manager: the server runs within.

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
    if _is_connection(where):
        return Server(handler, told, identify, connection=where)
    return Server(handler, told, identify, Listeners(cast(Listening, where), reuse_port=reuse_port))


class Server(AsyncServer):
    """Made by `serve`. An asynchronous context manager: left, it stops and waits for what is still going on.

    Cancelled, it aborts all associations. `stop` is called in the loop's own thread.
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
        self._changed: set[asyncio.Future[None]] = set()  # of who waits for a change
        self._tasks: set[asyncio.Task[None]] = set()
        self._breathers: dict[socket.socket, asyncio.TimerHandle] = {}  # listeners that are not looked at for now
        self._short = False

    async def __aenter__(self) -> Self:
        if self._listeners is not None:
            self._accepting = 1
            for sock in self._listeners.sockets:
                self._look_at(sock)
        elif self._connection is not None:
            self._take(self._connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.close()
        finally:
            if not self._done:  # failed or cancelled
                self.stop()
                self._kill()
                await self._all_over()

    async def _all_over(self) -> None:
        """Every task has ended, however often the one that waits for it is cancelled."""
        cancelled: asyncio.CancelledError | None = None
        while self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                del cancelled  # its traceback has this frame

    def stop(self) -> None:
        """Ask it to stop. Returns at once; may be called again."""
        if not self._stopping:
            self._stopping = True
            self._stop_accepting()
            self._interrupt()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until it was stopped, or its one connection is over, and nothing is left; whether that is so."""
        try:
            async with asyncio.timeout(timeout):
                while not self._done:
                    changed = asyncio.get_running_loop().create_future()
                    self._changed.add(changed)
                    try:
                        await changed
                    finally:
                        self._changed.discard(changed)
        except TimeoutError:
            pass
        return self._done

    async def close(self, grace: float = GRACE) -> None:
        """Stop; let operations finish for `grace` seconds, then abort what is left, and wait for it."""
        self.stop()
        if not await self.wait(grace):
            self._reception.tell_killed(grace)
            self._kill()
            if not await self.wait(AFTER_KILL):
                LOG.error("%d handlers do not return; they are waited for", self.associations)
        await self._all_over()

    def _tell_changed(self) -> None:
        for changed in self._changed:
            if not changed.done():
                changed.set_result(None)

    async def _first(self, over: Awaitable[T], wanted: Awaitable[V]) -> tuple[T, None] | tuple[None, V]:
        return await first(over, wanted)

    # -- accepting -----------------------------------------------------------------------------------------------

    def _look_at(self, listener: socket.socket) -> None:
        self._breathers.pop(listener, None)
        asyncio.get_running_loop().add_reader(listener, self._accept_from, listener)

    def _accept_from(self, listener: socket.socket) -> None:
        """Take one connection; the next one waits for the next turn of the loop: a flood of them is not all it does."""
        try:
            sock, _ = listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_SOMETHING:
                if not self._short:
                    self._reception.tell_out_of(error)
                self._short = True
                self._reception.make_room()
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener)
                self._breathers[listener] = loop.call_later(BREATHER, self._look_at, listener)
            return  # else it is gone again already
        self._short = False
        self._take(sock)

    def _stop_accepting(self) -> None:
        if self._listeners is not None:
            for sock in self._listeners.sockets:
                if (breather := self._breathers.pop(sock, None)) is not None:
                    breather.cancel()
                elif self._accepting:
                    asyncio.get_running_loop().remove_reader(sock)
            self._listeners.close()
            self._accepting = 0
            self._tell_changed()

    def _take(self, connected: Connected) -> None:
        """Serve this connection in a task of its own."""
        _keep_alive(connected, self._serving.keepalive)
        if isinstance(connected, socket.socket):
            connection = Connection.over(connected)
        else:
            connection = Connection(_peer_of(connected))
        association = self._serving.association()
        name = f"association with {connection.peer}"
        coroutine = self._serve(connection, connected, association)
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:  # one that is cancelled before its first step runs nothing itself
            self._tasks.discard(task)
            if isinstance(connected, socket.socket):
                connected.close()
            else:
                connected[1].close()
            self._reception.end(connection, ServerStopping() if task.cancelled() else task.exception(), association)
            self._tell_changed()

        def stop() -> None:
            task.cancel()

        connection.stop = stop
        self._reception.arrive(connection)
        task.add_done_callback(ended)

    async def _serve(self, connection: Connection, connected: Connected, association: Association) -> None:
        serving = self._serving
        trace = serving.tracing(connection.peer)
        layer = tls_around(association, serving.tls, None, trace)
        await self._converse(connection, _session(connected, association, layer, serving.timeouts, trace))

"""Associations in asyncio: `connect` makes one, `accept` takes one.

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
from typing import TYPE_CHECKING, Any, TypeGuard, Unpack, cast

from dicos_proto import dimse
from dicos_proto.services.storage import Instance, Outcome
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.pdu_types import ProposedContext
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Wire

from ..addresses import (
    FULL_AGAIN,
    Address,
    SourceAddress,
    bound_socket,
    check_port,
    is_listening,
    keep_alive,
    matching,
    peer_of,
    said,
    show_address,
    source_of,
    unreachable,
)
from ..options import Accept, AcceptOptions, Connect, ConnectOptions
from ..sessions import opening
from ..sessions.base import ConnectionFailed
from ..sessions.finished import documented
from ..sessions.session import Session
from ..sessions.sharing import Shared, store_share
from .driver import Connected, Driver, SocketLink, StreamLink, Streams
from .memory import pair

if TYPE_CHECKING:
    from ..tracing import Trace

__all__ = [
    "CONNECTIONS",
    "Connections",
    "accept",
    "connect",
    "is_connection",
    "name_of_peer",
    "pair",
    "store_over",
]


class Connections:
    """The `Transport` of asyncio: sockets, and streams of its own."""

    async def open(self, where: Address | Connected, timeouts: Timeouts, source: SourceAddress | None) -> Connected:
        """Implements `Transport.open`."""
        if is_connection(where):
            return where
        return await _open(cast(Address, where), timeouts.connect, source)

    def keep_alive(self, connection: Connected, seconds: float | None) -> None:
        """Implements `Transport.keep_alive`."""
        sock = connection if isinstance(connection, socket.socket) else connection[1].get_extra_info("socket")
        if sock is not None:
            keep_alive(sock, seconds)

    def drive(self, connection: Connected, wire: Wire, timeouts: Timeouts, trace: Trace | None) -> tuple[Driver, str]:
        """Implements `Transport.drive`."""
        link: SocketLink | StreamLink
        if isinstance(connection, socket.socket):
            link, peer = SocketLink(connection, wire, timeouts, trace), peer_of(connection)
        else:
            link, peer = StreamLink(connection, wire, timeouts, trace), name_of_peer(connection)
        return Driver(link), peer


CONNECTIONS = Connections()


@documented(Connect.__call__)
async def connect(
    where: Address | Connected, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]
) -> Session:
    return await opening.connect(CONNECTIONS, where, contexts, **options)


@documented(Accept.__call__)
async def accept(connection: Connected, policy: AcceptPolicy, **options: Unpack[AcceptOptions]) -> Session:
    return await opening.accept(CONNECTIONS, connection, policy, **options)


def is_connection(where: object) -> TypeGuard[Connected]:
    if isinstance(where, tuple):
        return len(where) == 2 and isinstance(where[0], asyncio.StreamReader)
    return isinstance(where, socket.socket) and not is_listening(where)


def name_of_peer(streams: Streams) -> str:
    return show_address(streams[1].get_extra_info("peername") or "a pair of streams")


async def _open(where: Address, timeout: float | None, source: SourceAddress | None) -> socket.socket:
    try:
        async with asyncio.timeout(timeout):
            return await _open_socket(where, source)
    except TimeoutError:
        raise ConnectionFailed(unreachable(where, "timed out")) from None
    except (OSError, ValueError, OverflowError) as error:  # ValueError: an invalid name, a NUL in a path
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

    Like `blocking.store_over`. If the block is left by an exception or cancelled, its associations are aborted.
    """
    shared = Shared(instances, associations)
    told: asyncio.Queue[Outcome | None] = asyncio.Queue(associations)  # bounds what is sent ahead of the reader
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

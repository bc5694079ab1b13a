"""Associations in trio: `connect` makes one, `accept` takes one.

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
from typing import TYPE_CHECKING, Unpack, cast

import trio

from dicos_proto import dimse
from dicos_proto.services.storage import Instance, Outcome
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.pdu_types import ProposedContext
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Wire

from ..addresses import (
    FULL_AGAIN,
    Address,
    NoSource,
    SourceAddress,
    bound_socket,
    check_port,
    keep_alive,
    matching,
    peer_of,
    said,
    source_of,
    unreachable,
)
from ..options import Accept, AcceptOptions, Connect, ConnectOptions
from ..sessions import opening
from ..sessions.base import ConnectionFailed
from ..sessions.finished import documented
from ..sessions.session import Session
from ..sessions.sharing import Shared, store_share
from .driver import Driver, SocketLink, StreamLink
from .memory import pair

if TYPE_CHECKING:
    from ..tracing import Trace

__all__ = ["CONNECTIONS", "Connected", "Connections", "accept", "connect", "pair", "store_over"]

Connected = socket.socket | trio.abc.Stream
"""A connection that is open already: a stream socket, or any stream of trio's."""


class Connections:
    """The `Transport` of trio: sockets, and streams of its own."""

    async def open(self, where: Address | Connected, timeouts: Timeouts, source: SourceAddress | None) -> Connected:
        """Implements `Transport.open`."""
        if isinstance(where, socket.socket | trio.abc.Stream):
            return where
        return await _open(where, timeouts.connect, source)

    def keep_alive(self, connection: Connected, seconds: float | None) -> None:
        """Implements `Transport.keep_alive`."""
        if isinstance(connection, socket.socket):
            keep_alive(connection, seconds)
        elif isinstance(connection, trio.SocketStream):
            keep_alive(connection.socket, seconds)

    def drive(self, connection: Connected, wire: Wire, timeouts: Timeouts, trace: Trace | None) -> tuple[Driver, str]:
        """Implements `Transport.drive`."""
        link: SocketLink | StreamLink
        if isinstance(connection, trio.SocketStream):
            connection = socket.socket(fileno=connection.socket.detach())
        if isinstance(connection, socket.socket):
            link, peer = SocketLink(connection, wire, timeouts, trace), peer_of(connection)
        else:
            link, peer = StreamLink(connection, wire, timeouts, trace), f"a {type(connection).__name__}"
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
    except (OSError, ValueError, OverflowError) as error:  # ValueError: an invalid name, a NUL in a path
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

    Like `blocking.store_over`. If the block is left by an exception or cancelled, its associations are aborted.
    """
    shared = Shared(instances, associations)
    send, receive = trio.open_memory_channel[Outcome](associations)  # bounds what is sent ahead of the reader

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
        except Exception as error:  # it is raised itself, not in a group of the nursery
            fault = error
            shared.stop()
            nursery.cancel_scope.cancel()
    if fault is not None:
        try:
            raise fault
        finally:
            del fault  # its traceback has this frame

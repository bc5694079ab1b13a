"""Associations over blocking sockets: `connect` makes one, `accept` takes one.

    with connect(("127.0.0.1", 11112), propose([uids.VERIFICATION])) as session:
        session.echo()

    with serve(("127.0.0.1", 11112), handler, policy=policy) as server:
        server.wait()

A `Session` is an established association, and a context manager: it is released at the end of the block, and aborted
if an exception leaves the block. A provider iterates over it. One thread at a time may use a session.

Knows: how a blocking socket is made. Must not know: the protocol. Every wait has a deadline (`Timeouts`).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from dicos_proto import dimse
from dicos_proto.conversation.flows import AssociationError
from dicos_proto.services import storage
from dicos_proto.services.storage import Instance
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.pdu_types import ProposedContext
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Wire

from ..addresses import Address, SourceAddress, keep_alive, peer_of
from ..options import Accept, AcceptOptions, Connect, ConnectOptions
from ..sessions import opening
from ..sessions import session as awaiting
from ..sessions.finished import documented, finished
from .driver import Driver, dial
from .session import Session

if TYPE_CHECKING:
    from ..tracing import Trace

__all__ = ["Sockets", "accept", "connect", "connected", "pair", "store_over"]


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that no network knows of, to give to `connect` and `accept`."""
    return socket.socketpair()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """The `Transport` of blocking sockets. `stop` and `kill`: descriptors, as for `Driver`; `driver` makes one."""

    stop: int | None = None
    kill: int | None = None
    driver: Callable[..., Driver] = Driver

    async def open(
        self, where: Address | socket.socket, timeouts: Timeouts, source: SourceAddress | None
    ) -> socket.socket:
        """Implements `Transport.open`."""
        return where if isinstance(where, socket.socket) else dial(where, timeouts, source)

    def keep_alive(self, connection: socket.socket, seconds: float | None) -> None:
        """Implements `Transport.keep_alive`."""
        keep_alive(connection, seconds)

    def drive(
        self, connection: socket.socket, wire: Wire, timeouts: Timeouts, trace: Trace | None
    ) -> tuple[Driver, str]:
        """Implements `Transport.drive`."""
        driver = self.driver(connection, wire, timeouts, trace=trace, stop=self.stop, kill=self.kill)
        return driver, peer_of(connection)


async def connected(
    where: Address | socket.socket, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]
) -> awaiting.Session:
    """Like `connect`, but returns the awaited session behind the face, for coroutines that never suspend."""
    return await opening.connect(Sockets(), where, contexts, **options)


@documented(Connect.__call__)
def connect(
    where: Address | socket.socket, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]
) -> Session:
    return Session(finished(connected(where, contexts, **options)))


@documented(Accept.__call__)
def accept(sock: socket.socket, policy: AcceptPolicy, **options: Unpack[AcceptOptions]) -> Session:
    return Session(finished(opening.accept(Sockets(), sock, policy, **options)))


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

    Each association takes the next instance from the one source when it has room for it. Outcomes are reported as they
    become known, in any order. If an association is lost, its unanswered instances are reported with the
    `AssociationError` as their `problem`, and the other associations go on. If the block is left early, no more
    instances are sent, and the answers to those already sent are awaited.

    Raises, after all other outcomes are reported, what the source or `connect_one` raises; `AssociationError` if
    instances are left that no association can take, for example because none could be made. ValueError for less than
    one association.
    """
    import queue  # a connection alone needs neither

    from ..sessions.sharing import Share, Shared

    shared = Shared(instances, associations)

    told: queue.Queue[storage.Outcome | None] = queue.Queue(associations)  # bounds what is sent ahead of the reader
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
        except BaseException as error:  # the caller's own, from `connect_one` or a data set: `finish` raises it
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

"""What servers have in common in every adapter: who is here, what is let in, what is counted, what is logged.

A connection waits in a slot of its own kind until its A-ASSOCIATE-RQ is accepted, so that silent strangers take none of
the slots for associations; when these waiting slots are full, the connection that has waited longest makes room.

Stopping: no new connections; an association that waits for a request is aborted at once, one in the middle of an
operation when that is answered, all others when the grace period ends.

What is logged goes to "dicos.server", a line each: never content, never text of a peer unescaped. Each record has, for
structured logs, the attributes `event`, `association` (a number, one for each connection of this process) and `peer`.

Knows: flows, and what may be said of a peer. Must not know: threads, event loops; but `Reception` may be used from
several threads at once.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from dicos_proto import flows
from dicos_proto.association import Association
from dicos_proto.events import Closed
from dicos_proto.flows import Flow
from dicos_proto.limits import Limits
from dicos_proto.negotiation import AcceptPolicy, IdentityVerdict
from dicos_proto.pdu_types import AssociateReject, AssociateRequest, RejectResult, RejectSource
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import Tolerance

from .addresses import port_of, said, show_address
from .channel import RECEIVE_SIZE, ServerStopping, Trace
from .session import BaseSession

if TYPE_CHECKING:
    from .tls import ServerTLS

LOG: Final = logging.getLogger("dicos.server")
GRACE: Final = 10.0
"""Seconds that operations get to finish when a server is stopped."""
AFTER_KILL: Final = 5.0
"""Seconds that handlers get to return once all their waits have ended."""
BREATHER: Final = 0.05
"""Seconds before accepting goes on when the system is out of something."""
OUT_OF_SOMETHING: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
FULL: Final = AssociateReject(result=RejectResult.TRANSIENT, source=RejectSource.PRESENTATION, reason=2)
"""Local limit exceeded.  # PS3.8 9.3.4"""

Identify = Callable[[AssociateRequest], IdentityVerdict | None]
"""What the user identity of a request is worth; None: what the policy says. It may take its time in `blocking`, where
each association has a thread; in an event loop it has to be quick, or `AsyncIdentify`."""
AsyncIdentify = Callable[[AssociateRequest], IdentityVerdict | Awaitable[IdentityVerdict | None] | None]

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """How many a server serves at once."""

    associations: int = 100
    """Established associations. One more is rejected for now (2/3/2). Stops: threads without end."""
    per_address: int = 10
    """Of these, from one network address. Stops: one peer that takes all of them."""
    pending: int = 100
    """Connections without an association yet. Beyond it the oldest is closed. Stops: silent connections."""
    bytes_in_flight: int | None = None
    """What all associations together may hold in memory of what they receive and send, in bytes; None: as much as
    `associations` of them can. Each holds `most_bytes` at most; one for which there is no room is rejected for now."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"limit {name} of {value}; at least 1")

    def room_for(self, limits: Limits) -> int:
        """How many associations may be established at once, each within `limits`."""
        if self.bytes_in_flight is None:
            return self.associations
        return min(self.associations, self.bytes_in_flight // most_bytes(limits))


def most_bytes(limits: Limits) -> int:
    """What one association holds at most of what it receives and sends, in bytes, the handler's own things apart."""
    return limits.received_ahead + RECEIVE_SIZE + limits.command_set + limits.parked + limits.queued


@dataclass(slots=True)
class Metrics:
    """What has happened since a server was made, as plain counters; `Server.metrics` has them."""

    connections: int = 0
    """Accepted by the system."""
    accepted: int = 0
    """Associations."""
    rejected: int = 0
    """Associations that were refused, by a limit, a policy or the user's identity."""
    released: int = 0
    """Associations that ended in good order."""
    aborted: int = 0
    """Associations that ended in another way: by either side's A-ABORT, a lost connection, a deadline."""
    evicted: int = 0
    """Connections closed without an association, to make room."""
    unasked: int = 0
    """Connections that ended without an A-ASSOCIATE-RQ."""
    deviations: int = 0
    """Deviations let through by the tolerance."""
    failures: int = 0
    """Handlers that raised."""
    bytes_received: int = 0
    bytes_sent: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    """By name, `C-STORE-RQ`."""
    pending: int = 0
    """Connections that have no association now."""
    active: int = 0
    """Associations now."""


class Connection:
    """One connection to a server."""

    __slots__ = ("evicted", "host", "number", "peer", "session", "since", "stop", "told")

    def __init__(self, peer: str, host: str = "") -> None:
        self.number = next(_numbers)
        self.peer = peer
        self.host = host
        """Its network address, by which associations are counted; empty: not counted."""
        self.since = monotonic()
        self.evicted = False
        self.told = 0
        """How many of its deviations are logged."""
        self.session: BaseSession | None = None
        self.stop: Callable[[], None] | None = None
        """What ends it at once."""

    @classmethod
    def over(cls, sock: socket.socket) -> Self:
        """That of a connected socket."""
        try:
            address = sock.getpeername()
        except OSError:
            address = ""
        return cls(show_address(address), str(address[0]) if isinstance(address, tuple) else "")


class Slots:
    """Who is here, and for whom there is room. Not for several threads at once."""

    def __init__(self, limits: ServerLimits, room: int) -> None:
        self._limits = limits
        self._room = room
        self.pending: dict[Connection, None] = {}  # in the order in which they came
        self.active: dict[Connection, None] = {}
        self.leaving: dict[Connection, None] = {}  # evicted, not yet done
        self._hosts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self.pending or self.active or self.leaving)

    def arrive(self, connection: Connection) -> Connection | None:
        """One more without an association; the one that has to make room for it, if one has."""
        evicted = self.evict() if len(self.pending) >= self._limits.pending else None
        self.pending[connection] = None
        return evicted

    def evict(self) -> Connection | None:
        """Take the slot of the connection that has waited longest for its association; it is to be ended."""
        for connection in self.pending:
            connection.evicted = True
            del self.pending[connection]
            self.leaving[connection] = None
            return connection
        return None

    def admit(self, connection: Connection) -> str | None:
        """Move a connection from waiting to active; the limit that is in the way, if one is."""
        if connection.evicted:
            return "pending"
        if len(self.active) >= self._room:
            return "associations" if self._room == self._limits.associations else "bytes_in_flight"
        if connection.host and self._hosts[connection.host] >= self._limits.per_address:
            return "per_address"
        del self.pending[connection]
        self.active[connection] = None
        self._hosts[connection.host] += 1
        return None

    def leave(self, connection: Connection) -> None:
        """It is over."""
        self.pending.pop(connection, None)
        self.leaving.pop(connection, None)
        if connection in self.active:
            del self.active[connection]
            self._hosts[connection.host] -= 1
            if not self._hosts[connection.host]:
                del self._hosts[connection.host]


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a server was told: the same in every adapter."""

    policy: AcceptPolicy
    limits: Limits
    timeouts: Timeouts
    tolerance: Tolerance
    server_limits: ServerLimits
    tls: ServerTLS | None
    trace: Callable[[str], Trace] | None

    def association(self) -> Association:
        """An acceptor."""
        return Association.acceptor(limits=self.limits, timeouts=self.timeouts, tolerance=self.tolerance)

    def tracing(self, peer: str) -> Trace | None:
        """What watches the bytes of a connection."""
        return self.trace(peer) if self.trace is not None else None


class Reception:
    """Lets associations in and tells what became of them. One for each server."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.lock = threading.Lock()
        self.quiet = threading.Condition(self.lock)
        """Notified when a slot is free again."""
        self.slots = Slots(serving.server_limits, serving.server_limits.room_for(serving.limits))
        self._metrics = Metrics()

    # -- who is here ---------------------------------------------------------------------------------------------

    def arrive(self, connection: Connection) -> None:
        """One more without an association; the one that has waited longest may have to make room for it."""
        with self.lock:
            self._metrics.connections += 1
            evicted = self.slots.arrive(connection)
        if evicted is not None and evicted.stop is not None:
            evicted.stop()

    def make_room(self) -> None:
        """End the connection that has waited longest for its association."""
        with self.lock:
            evicted = self.slots.evict()
        if evicted is not None and evicted.stop is not None:
            evicted.stop()

    def forget(self, connection: Connection) -> None:
        """It is over: its slot is free."""
        with self.quiet:
            self.slots.leave(connection)
            if connection.session is not None:
                _add(self._metrics, connection.session)
            self.quiet.notify_all()

    def metrics(self) -> Metrics:
        """The counters as they are now: a copy."""
        with self.lock:
            slots, metrics = self.slots, replace(self._metrics, requests=self._metrics.requests.copy())
            metrics.pending, metrics.active = len(slots.pending), len(slots.active)
            for connection in (*slots.pending, *slots.active, *slots.leaving):
                if connection.session is not None:
                    _add(metrics, connection.session)
        return metrics

    def _count(self, name: str) -> None:
        with self.lock:
            setattr(self._metrics, name, getattr(self._metrics, name) + 1)

    # -- letting in ----------------------------------------------------------------------------------------------

    def request(self, connection: Connection, session: BaseSession) -> Flow[AssociateRequest | None]:
        """Wait for the A-ASSOCIATE-RQ; None if there is no room for it, or its sender may not use its title."""
        association = session.association
        request = yield from flows.await_request(association)
        titles = f"{request.calling_aet!a} calls {request.called_aet!a}"
        with self.lock:
            full = self.slots.admit(connection)
        if full is not None:
            self._reject(connection, f"{titles}: rejected: limit {full} reached")
            yield from flows.reject(association, FULL)
            return None
        refused = session.layer.refusal(request) if session.layer is not None else None
        if refused is not None:
            owner = session.tls.subject if session.tls is not None else ""
            self._reject(connection, f"{titles}: rejected: not a title of the certificate of {owner!a}")
            yield from flows.reject(association, refused)
            return None
        return request

    def answer(
        self, connection: Connection, session: BaseSession, request: AssociateRequest, identity: IdentityVerdict | None
    ) -> Flow[bool]:
        """Answer the request; whether it was accepted."""
        titles = f"{request.calling_aet!a} calls {request.called_aet!a}"
        association = session.association
        answer = yield from flows.answer_request(association, request, self.serving.policy, identity=identity)
        if isinstance(answer, AssociateReject):
            self._reject(connection, f"{titles}: {answer}")
            return False
        self._count("accepted")
        accepted, proposed = len(session.contexts), len(request.contexts)
        over = f", {session.tls}" if session.tls is not None else ""
        text = f"{titles}: association accepted, {accepted} of {proposed} contexts{over}"
        say(logging.INFO, "accepted", connection, text)
        self.tell_deviations(connection, association)
        return True

    def _reject(self, connection: Connection, text: str) -> None:
        self._count("rejected")
        say(logging.WARNING, "rejected", connection, text)

    # -- telling -------------------------------------------------------------------------------------------------

    def tell_deviations(self, connection: Connection, association: Association) -> None:
        """Log those let through since this was last asked."""
        for deviation in association.deviations[connection.told :]:
            connection.told += 1
            self._count("deviations")
            say(logging.WARNING, "deviation", connection, str(deviation))

    def end(self, connection: Connection, error: BaseException | None, association: Association) -> None:
        """A connection is over, by this exception out of its handling or in good order: tell it, and free its slot."""
        self.tell_deviations(connection, association)
        established = connection in self.slots.active
        if established:
            self._count("released" if error is None else "aborted")
        if error is not None:
            self._tell_fault(connection, error, established=established)
        self.forget(connection)
        if error is None:
            say(logging.DEBUG, "closed", connection, "closed")  # and its slot is free

    def _tell_fault(self, connection: Connection, error: BaseException, *, established: bool) -> None:
        match error:
            case flows.AssociationError() if connection.evicted:
                waited = monotonic() - connection.since
                self._count("evicted")
                text = f"closed after {waited:.1f} s without an association, to make room"
                say(logging.WARNING, "evicted", connection, text)
            case ServerStopping():
                say(logging.INFO, "stopped", connection, "aborted: the server is stopping")
            case flows.AssociationAborted(event=Closed()) if not established:
                self._count("unasked")
                say(logging.INFO, "unasked", connection, "closed by the peer without an A-ASSOCIATE-RQ")
            case flows.AssociationError():
                say(logging.WARNING, "aborted", connection, str(error))
            case Exception():  # a handler's own fault ends its association and no other one
                self._count("failures")
                say(logging.ERROR, "failed", connection, "the handler failed; the association is aborted", error)
            case _:  # the runtime ends its task
                say(logging.INFO, "stopped", connection, "aborted: cancelled")

    def tell_killed(self, grace: float) -> None:
        """What is left when the grace period ends."""
        slots = self.slots
        left = len(slots.pending) + len(slots.active) + len(slots.leaving)
        LOG.warning("%d associations did not finish within %g s and are aborted", left, grace, extra={"event": "grace"})

    def tell_out_of(self, error: OSError) -> None:
        """The system is out of what a connection takes."""
        LOG.error("cannot accept connections for now: %s", said(error), extra={"event": "out_of_resources"})


class BaseServer:
    """What is known of a server."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._reception = Reception(serving)
        self._listening_on: list[object] = []  # addresses as sockets have them

    @property
    def address(self) -> str:
        """What it listens on: `127.0.0.1:11112`; several, with commas between them."""
        return ", ".join(map(show_address, self._listening_on)) or "one connection"

    @property
    def port(self) -> int:
        """The port it listens on, the first of several. Raises ValueError where it has none."""
        return port_of(self._listening_on)

    @property
    def over_tls(self) -> bool:
        """Whether its associations are over TLS."""
        return self._serving.tls is not None

    @property
    def associations(self) -> int:
        """Associations established now."""
        return len(self._reception.slots.active)

    @property
    def pending(self) -> int:
        """Connections that have no association yet."""
        return len(self._reception.slots.pending)

    @property
    def served(self) -> int:
        """Associations accepted so far."""
        return self._reception.metrics().accepted

    @property
    def metrics(self) -> Metrics:
        """What has happened so far, and what is now: a copy."""
        return self._reception.metrics()


def _add(metrics: Metrics, session: BaseSession) -> None:
    metrics.bytes_received += session.carrier.bytes_received
    metrics.bytes_sent += session.carrier.bytes_sent
    metrics.requests.update(session.requests)


def say(level: int, event: str, connection: Connection, text: str, error: BaseException | None = None) -> None:
    """One line of the log."""
    if LOG.isEnabledFor(level):
        extra = {"event": event, "association": connection.number, "peer": connection.peer}
        LOG.log(level, "%s: %s", connection.peer, text, extra=extra, exc_info=error)

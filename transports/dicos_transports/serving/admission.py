"""The connections of a server, and the limits on their number and memory.

A connection is pending until its A-ASSOCIATE-RQ is accepted. Pending connections have a limit of their own, so that
silent clients do not use up the limit of associations. At that limit, the connection that has been pending longest is
closed. A rejected connection is pending again, until its peer closes it.

Knows: limits, connections. Must not know: how requests are answered, threads, event loops.

Invariant: a connection is in one of `pending`, `active` and `leaving` from its arrival until it leaves.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import Final, Self

from dicos_proto.limits import OBJECT_COST, Limits

from ..addresses import network_of, show_address
from ..buffers import RECEIVE_SIZE
from ..sessions.base import BaseSession
from ..sessions.channel import KEPT

PIECE: Final = 256
"""Bytes of memory that each piece of received data takes in addition to its own."""

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits on what a server serves at the same time."""

    associations: int = 100
    """Most established associations. One more is rejected as transient (2/3/2). Stops: an unlimited number of
    threads."""
    per_address: int = 10
    """Most associations from one IPv4 address, or from one IPv6 network of 64 bits, because a peer can use all
    addresses of its network. Stops: one peer that takes all associations."""
    pending: int = 100
    """Most connections without an association. One more closes the oldest. Stops: silent connections. Each holds the
    received part of its request, at most `Limits.associate_pdu` bytes, besides a thread or a task."""
    bytes_in_flight: int | None = None
    """Most bytes of received data and data to send that all associations together hold in memory; None for the most
    that `associations` of them can hold. Each holds at most `most_bytes`. An association beyond it is rejected as
    transient."""

    collected: int = 512 << 20
    """Most bytes of data sets read whole (`Request.read`, `Application.on_store`) and not yet answered, for all
    associations together. A data set that does not fit is refused for now, with 0xA700. Stops: an object of
    `Limits.collected` bytes in every association."""
    collected_per_address: int = 256 << 20
    """Most of these bytes from one address or network, as for `per_address`. Stops: one peer whose large objects leave
    no room for the others."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"limit {name} of {value}; at least 1")

    def room_for(self, limits: Limits) -> int:
        """Return how many associations with these `limits` may be established at once. Raises ValueError for 0."""
        if self.bytes_in_flight is None:
            return self.associations
        each = most_bytes(limits)
        if self.bytes_in_flight < each:
            raise ValueError(f"limit bytes_in_flight of {self.bytes_in_flight}; one association may need {each}")
        return min(self.associations, self.bytes_in_flight // each)


def most_bytes(limits: Limits) -> int:
    """Return the most memory, in bytes, that one association uses for data that it receives and sends.

    This does not include: data sets read whole, images to print among them, which `ServerLimits.collected` limits for
    all associations together; other data that `Request.attributes` reads, at most twice `Limits.attributes` during the
    call; anything that a handler makes of either and keeps; the stack of a thread; the memory of OpenSSL; the buffers
    of the kernel, which `sysctl` limits.
    """
    request = 2 * limits.associate_pdu  # as decoded: many short UIDs take twice their bytes
    received = limits.received_ahead + RECEIVE_SIZE + PIECE * limits.received_pieces
    buffers = (KEPT + 1) * RECEIVE_SIZE  # that it uses, or keeps others from using
    parked = limits.parked + RECEIVE_SIZE  # and the piece that exceeds the limit
    message = 2 * 10 * limits.command_set  # one being received, one waiting; as decoded, ten times their bytes
    operations = 4 * OBJECT_COST * limits.outstanding  # in each direction, cancelled, and with a waiting answer
    sent = 2 * (2 * limits.queued)  # in the connection, and queued since; small messages take twice their bytes
    return request + received + buffers + parked + message + operations + sent


class Connection:
    """One connection to a server."""

    __slots__ = (
        "accepted",
        "counted",
        "evicted",
        "fault",
        "host",
        "number",
        "peer",
        "rejected",
        "session",
        "since",
        "stop",
        "told",
    )

    def __init__(self, peer: str, host: str = "") -> None:
        self.number = next(_numbers)
        self.peer = peer if host else f"{peer} #{self.number}"
        """The address of the peer as text, unique among open connections."""
        self.host = network_of(host)
        """The address or network by which associations are counted; empty if they are not counted."""
        self.since = monotonic()
        self.accepted = False
        self.rejected = False
        self.evicted = False
        self.counted = False
        """True if its outcome has been counted."""
        self.told = 0
        """Number of its deviations that have been logged."""
        self.session: BaseSession | None = None
        self.fault: Exception | None = None
        """The exception that ended the association. It is reported even if the abort that follows is cancelled."""
        self.stop: Callable[[], None] | None = None
        """A function that ends the connection at once."""

    @classmethod
    def over(cls, sock: socket.socket) -> Self:
        """Return a `Connection` for a connected socket."""
        try:
            address = sock.getpeername()
        except OSError:
            return cls("a peer that is gone")
        return cls(show_address(address), str(address[0]) if isinstance(address, tuple) else "")


CURRENT: Final[ContextVar[Connection | None]] = ContextVar("dicos connection", default=None)
"""The connection that this thread or task serves, for the log records of all code that its handler calls."""


class Slots:
    """The connections of a server by state, within its limits. Not thread-safe."""

    def __init__(self, limits: ServerLimits, room: int) -> None:
        self._limits = limits
        self._room = room
        self.pending: dict[Connection, None] = {}  # in order of arrival
        self.active: dict[Connection, None] = {}
        self.leaving: dict[Connection, None] = {}  # evicted, not yet closed
        self._hosts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self.pending or self.active or self.leaving)

    def __iter__(self) -> Iterator[Connection]:
        return iter((*self.pending, *self.active, *self.leaving))

    def arrive(self, connection: Connection) -> Connection | None:
        """Add a pending connection. Returns the connection that is evicted to make room for it, if there is one."""
        evicted = self.evict() if len(self.pending) >= self._limits.pending else None
        self.pending[connection] = None
        return evicted

    def evict(self) -> Connection | None:
        """Evict the connection that has been pending longest, and return it for the caller to close."""
        for connection in self.pending:
            connection.evicted = True
            del self.pending[connection]
            self.leaving[connection] = None
            return connection
        return None

    def admit(self, connection: Connection) -> str | None:
        """Make a pending connection active. Returns None, or the name of the limit that forbids it."""
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

    def give_back(self, connection: Connection) -> Connection | None:
        """Make a rejected connection pending again, until its peer closes it. Returns the same as `arrive`."""
        if connection not in self.active:
            return None
        self._vacate(connection)
        return self.arrive(connection)

    def leave(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self.pending.pop(connection, None)
        self.leaving.pop(connection, None)
        if connection in self.active:
            self._vacate(connection)

    def _vacate(self, connection: Connection) -> None:
        del self.active[connection]
        self._hosts[connection.host] -= 1
        if not self._hosts[connection.host]:
            del self._hosts[connection.host]

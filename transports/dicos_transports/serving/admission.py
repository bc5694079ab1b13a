"""Who is at a server, and for whom there is room.

A connection waits in a slot of its own kind until its A-ASSOCIATE-RQ is accepted, so that silent strangers take none of
the slots for associations; when these waiting slots are full, the connection that has waited longest makes room. One
that is rejected goes back to waiting, for its peer to close.

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
"""Bytes that a piece of received data costs besides itself."""

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """How many a server serves at once."""

    associations: int = 100
    """Established associations. One more is rejected for now (2/3/2). Stops: threads without end."""
    per_address: int = 10
    """Of these, from one network address; of IPv6, from one network of 64 bits: a peer can have all addresses in it.
    Stops: one peer that takes all of them."""
    pending: int = 100
    """Connections without an association. Beyond it the oldest is closed. Stops: silent connections. Each holds what
    has come of its request, `Limits.associate_pdu` at most, besides what a thread or a task takes."""
    bytes_in_flight: int | None = None
    """What all associations together may hold in memory of what they receive and send, in bytes; None: as much as
    `associations` of them can. Each holds `most_bytes` at most; one for which there is no room is rejected for now."""

    collected: int = 512 << 20
    """What all associations together may hold of data sets that are read whole (`Request.read`, `Application.on_store`)
    until these are answered, in bytes; what does not fit is refused for now, 0xA700. Stops: as many objects of
    `Limits.collected` as there are associations."""
    collected_per_address: int = 256 << 20
    """Of these, from one network address or network of 64 bits, as for `per_address`. Stops: one peer that begins large
    objects, and leaves the others no room."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"limit {name} of {value}; at least 1")

    def room_for(self, limits: Limits) -> int:
        """How many associations may be established at once, each within `limits`. Raises ValueError for none."""
        if self.bytes_in_flight is None:
            return self.associations
        each = most_bytes(limits)
        if self.bytes_in_flight < each:
            raise ValueError(f"limit bytes_in_flight of {self.bytes_in_flight}; one association may take {each}")
        return min(self.associations, self.bytes_in_flight // each)


def most_bytes(limits: Limits) -> int:
    """What one association holds at most of what it receives and sends, in bytes, as Python has them in memory.

    Not in it: data sets that are read whole, images to be printed too, of which all associations together hold
    `ServerLimits.collected`; what else `Request.attributes` reads, twice `Limits.attributes` at most while it does;
    what a handler makes of either and keeps; the stack of a thread; what OpenSSL has for itself; what the kernel holds,
    which is for `sysctl` to say.
    """
    request = 2 * limits.associate_pdu  # as it is kept: many short UIDs take twice their bytes
    received = limits.received_ahead + RECEIVE_SIZE + PIECE * limits.received_pieces
    buffers = (KEPT + 1) * RECEIVE_SIZE  # that it uses or keeps from being used
    parked = limits.parked + RECEIVE_SIZE  # with the piece that is one too many
    message = 2 * 10 * limits.command_set  # one that comes, one that waits: tags take ten times theirs
    operations = 4 * OBJECT_COST * limits.outstanding  # known in each direction, cancelled, with an answer that waits
    sent = 2 * (2 * limits.queued)  # with the connection, and queued since; small messages take twice their bytes
    return request + received + buffers + parked + message + operations + sent


class Connection:
    """One connection to a server."""

    __slots__ = (
        "accepted",
        "counted",
        "evicted",
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
        """For people; no two that are open have the same."""
        self.host = network_of(host)
        """Its network address, or network, by which associations are counted; empty: not counted."""
        self.since = monotonic()
        self.accepted = False
        self.rejected = False
        self.evicted = False
        self.counted = False
        """What became of it is counted."""
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
            return cls("a peer that is gone")
        return cls(show_address(address), str(address[0]) if isinstance(address, tuple) else "")


CURRENT: Final[ContextVar[Connection | None]] = ContextVar("dicos connection", default=None)
"""The connection that this thread or task serves, for log records of whatever is called by its handler."""


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

    def __iter__(self) -> Iterator[Connection]:
        return iter((*self.pending, *self.active, *self.leaving))

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

    def give_back(self, connection: Connection) -> Connection | None:
        """It is rejected: its slot is free, and it waits until its peer closes. As `arrive`."""
        if connection not in self.active:
            return None
        self._vacate(connection)
        return self.arrive(connection)

    def leave(self, connection: Connection) -> None:
        """It is over."""
        self.pending.pop(connection, None)
        self.leaving.pop(connection, None)
        if connection in self.active:
            self._vacate(connection)

    def _vacate(self, connection: Connection) -> None:
        del self.active[connection]
        self._hosts[connection.host] -= 1
        if not self._hosts[connection.host]:
            del self._hosts[connection.host]

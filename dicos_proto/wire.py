"""The interface between an adapter and what it carries: an association, an upper layer or TLS. Seven members.

`NetworkWire` has two more, for a wire around another one that plays a network with faults (`dicos_fuzz.faults`). The
adapters of `dicos_transports` obey them. One that ignores them cannot show such a fault to the peer as a real network
would, and a flow that has more to send than its queue holds does not wait while bytes are kept back: it spins.

Knows: the interface. Must not know: who implements it.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol, TypeGuard

from .errors import ConnectionLost
from .timers import Deadline

Buffer = bytes | bytearray | memoryview


class Wire(Protocol):
    """Bytes in, bytes out, deadlines out. `UpperLayer` and `Association` implement it."""

    @property
    def wants_read(self) -> bool:
        """True if the adapter should read the connection; if False, it must not read now."""

    @property
    def wants_close(self) -> bool:
        """True if the connection is to be closed once `data_to_send()` is drained."""

    def receive_data(self, data: Buffer) -> None:
        """Takes received bytes, and keeps them by reference: do not change the buffer until they are parsed."""

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """Takes note that the peer will send no more. `why`: the error, if the layer below reported more than a plain
        end of the stream."""

    def data_to_send(self) -> list[bytes | memoryview]:
        """Returns the next bytes to send, in order, and removes them from the queue. They need not be all: write them
        and call it again until it returns an empty list."""

    def deadline(self, now: float) -> Deadline | None:
        """Returns the next deadline, None if there is none. Timers armed since the last call start at `now`."""

    def handle_timeout(self, now: float) -> None:
        """Passes the time `now`. Early and repeated calls do nothing."""


class Ending(Enum):
    """The end of the sending side of a connection, as far as a wire decides that."""

    OPEN = "open"
    """It goes on: `Wire.wants_close` alone decides."""
    SHUT = "shut"
    """Shut down sending once everything taken is written, and go on reading: a FIN."""
    RESET = "reset"
    """Close the connection by a reset: an RST."""


class NetworkWire(Wire, Protocol):
    """A wire that plays a network: it may keep bytes back for some time, and end the connection by itself."""

    @property
    def holds(self) -> bool:
        """True while bytes are kept back that `data_to_send` does not return yet: what was queued is not sent."""

    @property
    def ending(self) -> Ending:
        """The end of the sending side that the wire wants."""


def is_network(wire: Wire) -> TypeGuard[NetworkWire]:
    """Returns True for a wire that has the members of a `NetworkWire`."""
    return hasattr(wire, "holds") and hasattr(wire, "ending")

"""The interface between an adapter and what it carries: an association, an upper layer or TLS. Seven members.

Knows: the interface. Must not know: who implements it.
"""

from __future__ import annotations

from typing import Protocol

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

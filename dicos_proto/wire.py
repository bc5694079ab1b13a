"""What an adapter may touch: seven members, whatever is behind them (an association, an upper layer, TLS).

Knows: the shape. Must not know: who implements it.
"""

from __future__ import annotations

from typing import Protocol

from .errors import ConnectionLost
from .timers import Deadline

Buffer = bytes | bytearray | memoryview


class Wire(Protocol):
    """Bytes in, bytes out, deadlines out. `UpperLayer` and `Association` are Wires."""

    @property
    def wants_read(self) -> bool:
        """False: do not read the connection now."""

    @property
    def wants_close(self) -> bool:
        """Close the connection once `data_to_send()` is drained."""

    def receive_data(self, data: Buffer) -> None:
        """Bytes that arrived. Kept by reference: do not change the buffer until they are parsed."""

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """The peer will send no more. `why`: what the layer below knows of it, where that is more than an end."""

    def data_to_send(self) -> list[bytes | memoryview]:
        """Take what waits to be sent, in order. Not always all of it: call it again once this is written, until it
        returns an empty list."""

    def deadline(self, now: float) -> Deadline | None:
        """The next deadline; timers armed since the last call start at `now`."""

    def handle_timeout(self, now: float) -> None:
        """Time has passed. Early and repeated calls do nothing."""

"""A wire around another one that keeps the bytes of both directions.

Knows: the members of a wire. Must not know: what is inside, faults. Invariants: it changes nothing; a wire that plays a
network stays one.
"""

from __future__ import annotations

from dicos_proto.errors import ConnectionLost
from dicos_proto.timers import Deadline
from dicos_proto.wire import Buffer, Wire

__all__ = ["Recorder"]


class Recorder:
    """Keeps what goes through: `sent` by the inner wire, and `received` by it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.sent = bytearray()
        self.received = bytearray()

    @property
    def wants_read(self) -> bool:
        """The inner wire's."""
        return self._wire.wants_read

    @property
    def wants_close(self) -> bool:
        """The inner wire's."""
        return self._wire.wants_close

    def receive_data(self, data: Buffer) -> None:
        """Keeps the bytes and passes them on."""
        self.received += data
        self._wire.receive_data(data)

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """Passes the end on."""
        self._wire.receive_eof(why)

    def data_to_send(self) -> list[bytes | memoryview]:
        """Keeps the bytes and returns them."""
        taken = self._wire.data_to_send()
        for buffer in taken:
            self.sent += buffer
        return taken

    def deadline(self, now: float) -> Deadline | None:
        """The inner wire's."""
        return self._wire.deadline(now)

    def handle_timeout(self, now: float) -> None:
        """Passes the time on."""
        self._wire.handle_timeout(now)

"""What carries a case: connections with a peer over TCP, TLS or in memory. The runner knows nothing else of the world.

Knows: bytes, connections, a clock. Must not know: cases, PDUs.
"""

from __future__ import annotations

from typing import Literal, Protocol

from ..steps import Accept, End, Open, Opened

__all__ = ["LocalTrouble", "Medium"]


class LocalTrouble(Exception):
    """This program or its host cannot go on: no descriptors, no ports. Nothing that the peer did."""


class Medium(Protocol):
    """Connections with one peer, by number, for one run of one case. Nothing that the peer does raises an error."""

    def now(self) -> float:
        """Returns the time in seconds, on a clock of its own."""

    def open(self, step: Open) -> Opened:
        """Opens a connection to the peer. Raises `LocalTrouble`."""

    def accept(self, step: Accept, seconds: float) -> Opened:
        """Waits until the peer opens a connection. Raises `LocalTrouble`."""

    def send(self, connection: int, data: bytes, *, piece: int = 0, beneath: bool = False) -> int:
        """Sends bytes. Returns how many the peer took."""

    def receive(self, connection: int, seconds: float) -> bytes | End | None:
        """Returns the bytes that the peer has sent, or how it ended the connection; None if there is neither within
        `seconds`. What it sent comes before the end. On a connection that does not exist: `End.FIN`."""

    def pause(self, seconds: float) -> None:
        """Lets time pass."""

    def end(self, connection: int, how: Literal["close", "half", "reset", "notify"]) -> None:
        """Ends a connection."""

    def finish(self) -> None:
        """Ends all connections."""

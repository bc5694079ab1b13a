"""Passages: what the bytes of one direction of a relayed connection go through, and the one that changes nothing.

Knows: bytes, times. Must not know: sockets, faults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dicos_proto.wire import Buffer

from .captures.events import Connection

__all__ = ["Passage", "Passages", "Plain"]


class Passage(Protocol):
    """The way of the bytes of one direction, from `feed` to `take`. `faults.line.Line` is one."""

    @property
    def wants(self) -> bool:
        """True if it should be fed; what is fed in spite of that is kept too."""

    @property
    def finished(self) -> bool:
        """True if everything was taken, and the end of the direction is next."""

    @property
    def reset(self) -> bool:
        """True if the connection is to be reset behind what was taken."""

    @property
    def stalled_forever(self) -> bool:
        """True if nothing passes any more, neither bytes nor the end."""

    def feed(self, data: Buffer, /) -> None:
        """Adds bytes."""

    def end(self) -> None:
        """The source sends no more."""

    def take(self) -> list[bytes | memoryview]:
        """Takes the next piece; an empty list if nothing may pass now."""

    def deadline(self, now: float, /) -> tuple[float, str] | None:
        """Returns when to call `handle_timeout`, and why; None if time changes nothing."""

    def handle_timeout(self, now: float, /) -> None:
        """Passes the time."""


Passages = Callable[[Connection], tuple[Passage, Passage]]
"""Makes the passages of a connection: that of the bytes from the target, and that of the bytes from the client."""


class Plain:
    """A passage that changes nothing."""

    reset = stalled_forever = False

    def __init__(self) -> None:
        self._data: list[bytes | memoryview] = []
        self._ended = False

    @property
    def wants(self) -> bool:
        return not self._data

    @property
    def finished(self) -> bool:
        return self._ended and not self._data

    def feed(self, data: Buffer, /) -> None:
        self._data.append(memoryview(data))

    def end(self) -> None:
        self._ended = True

    def take(self) -> list[bytes | memoryview]:
        found, self._data = self._data, []
        return found

    def deadline(self, now: float, /) -> tuple[float, str] | None:
        return None

    def handle_timeout(self, now: float, /) -> None:
        pass

"""The events of a connection, as a stage of the reading hands them to the next one.

Knows: their shapes. Must not know: packets, TLS, DICOM.

A connection begins with `Opened`, which comes with its first bytes, and ends with exactly one `Over`, after which
nothing comes. Between them are the bytes of both directions: in their order within a direction, and as recorded between
the two. The stages are chained: TCP (`streams`), TLS (`decrypting`), the choice of DICOM (`recognising`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from .packets import Endpoint

__all__ = ["Connection", "Data", "Ended", "Event", "Gap", "How", "Note", "Opened", "Over", "Stage"]


@dataclass(slots=True, eq=False)
class Connection:
    """A TCP connection. `number`: from 1, in the order of their first bytes. `at`: nanoseconds since 1970.

    `begun`: True if the recording has its beginning. `guessed`: True if it is a guess who the client is. The counts
    rise while the connection is read; index 1 is the client. `tls`: what is known of TLS in it, for people.
    `undecrypted`: why its TLS could not be decrypted.
    """

    number: int
    client: Endpoint
    server: Endpoint
    at: int
    begun: bool = True
    guessed: bool = False
    sent: list[int] = field(default_factory=lambda: [0, 0])  # bytes
    repeated: list[int] = field(default_factory=lambda: [0, 0])  # bytes that came again
    reordered: list[int] = field(default_factory=lambda: [0, 0])  # segments
    missing: list[int] = field(default_factory=lambda: [0, 0])  # bytes that the recording does not have
    tls: str = ""
    undecrypted: str = ""


@dataclass(slots=True)
class Opened:
    """A connection whose first bytes come next."""

    connection: Connection


@dataclass(slots=True)
class Data:
    """Bytes of one side. `data` is a view that is valid only until the next event: copy what is kept."""

    connection: Connection
    by_client: bool
    at: int
    data: memoryview


@dataclass(slots=True)
class Gap:
    """Bytes of one side that the recording does not have."""

    connection: Connection
    by_client: bool
    at: int
    size: int


@dataclass(slots=True)
class Ended:
    """One side sends no more (FIN)."""

    connection: Connection
    by_client: bool
    at: int


@dataclass(slots=True)
class Note:
    """A remark for people about one side of a connection: what could not be read, and why."""

    connection: Connection
    by_client: bool
    at: int
    text: str


class How(Enum):
    """The ways in which a connection ends."""

    CLOSED = "closed by both sides"
    RESET = "reset"
    REUSED = "its ports were used for another connection"
    EVICTED = "no longer followed: too many connections at once"
    CUT = "the recording ends"


@dataclass(slots=True)
class Over:
    """Nothing more comes from this connection. `by_client`: who reset it."""

    connection: Connection
    at: int
    how: How
    by_client: bool = False


Event = Opened | Data | Gap | Ended | Note | Over


class Stage(Protocol):
    """Takes events of one stage and returns those of the next."""

    def feed(self, event: Event) -> Iterable[Event]:
        """Returns the events that this one makes. They must be consumed before the next call."""

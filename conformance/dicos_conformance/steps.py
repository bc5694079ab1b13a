"""The steps that a script yields, and what it gets back for each: the whole vocabulary of a case.

Knows: values. Must not know: sockets, clocks, what a peer should do.

| step | what the script gets back |
|---|---|
| `Open`, `Accept` | `Opened`: whether there is a connection |
| `Send`, `Pause`, `Close` | None |
| `Receive` | `Received`: one whole PDU, the end of the connection, or silence |
| `Now` | seconds on the clock of the medium, a float |
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Literal, TypeVar

from dicos_proto.errors import LocalProtocolError, Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import EVERYTHING
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import Pdu

__all__ = [
    "Accept", "Close", "End", "Now", "Open", "Opened", "Pause", "Receive", "Received", "ReceivedPdu", "Scene", "Send",
    "Silence", "Step", "Ended",
]  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Opens a connection to the peer. `bare`: without TLS, where the profile has it. `tls`: other TLS settings than
    those of the profile (`media.tls_offers.TlsOffer`); None for those of the profile."""

    connection: int = 0
    bare: bool = False
    tls: object | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Waits until the peer opens a connection. `seconds`: None for as long as the profile allows."""

    connection: int = 0
    seconds: float | None = None
    bare: bool = False
    tls: object | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Sends bytes. `piece`: bytes of each write, 0 for all at once. `beneath`: the bytes are not encrypted where there
    is TLS."""

    data: bytes
    connection: int = 0
    piece: int = 0
    beneath: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    """Waits for the next whole PDU, the end of the connection, or the end of the time. `seconds`: None for as long as
    the peer needs for an answer."""

    connection: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits, whatever the peer does; what it sends meanwhile is received later."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Ends a connection: `close`, `half` (a FIN; reading goes on), `reset` (an RST), `notify` (a close_notify of TLS;
    reading goes on)."""

    connection: int = 0
    how: Literal["close", "half", "reset", "notify"] = "close"


@dataclass(frozen=True, slots=True)
class Now:
    """Asks for the time."""


Step = Open | Accept | Send | Receive | Pause | Close | Now


class End(Enum):
    """How a connection ended."""

    FIN = "closed"
    RESET = "reset"
    TLS = "ended by TLS"  # an alert, or a close_notify


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The outcome of `Open` and `Accept`. `why`: why there is no connection. `protocol`, `cipher`: those of TLS."""

    ok: bool
    why: str = ""
    protocol: str = ""
    cipher: str = ""


@dataclass(frozen=True)
class ReceivedPdu:
    """One whole PDU of the peer, header included; or bytes that begin no PDU (`kind` is then not 1 to 7)."""

    at: float
    data: bytes

    @property
    def kind(self) -> int:
        """The PDU type."""
        return self.data[0]

    @cached_property
    def fault(self) -> Malformed | None:
        """The fault of the PDU by the letter of the standard; None if it has none."""
        try:
            decode(self.data)
        except Malformed as fault:
            return fault
        return None

    @cached_property
    def value(self) -> Pdu | None:
        """The PDU as a value of the engine, read with every tolerance; None if it cannot be read."""
        try:
            return decode(self.data, _GENEROUS, EVERYTHING)
        except (Malformed, LocalProtocolError):
            return None


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer has ended the connection. `inside`: True if that was within a PDU."""

    at: float
    how: End
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """The peer sent nothing whole in the time, and keeps the connection open. `partial`: bytes of a PDU that began."""

    at: float
    partial: int = 0


Received = ReceivedPdu | Ended | Silence

Scene = Generator[Step, Any, T]
"""A part of a script that returns a `T`; used with `yield from`."""

_GENEROUS = Limits(associate_pdu=1 << 24)

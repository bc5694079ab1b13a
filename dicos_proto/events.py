"""What goes in and comes out of the engine, as one closed union each way.

Knows: the shapes. Must not know: what produces or consumes them. The same types go in and come out: what one side
sends is what the other receives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from .dimse import Command
from .errors import ConnectionLost, DeadlineExceeded, RemoteProtocolError
from .frozen import quick
from .pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ReleaseRequest,
    ReleaseResponse,
)
from .wire import Buffer


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStart:
    """A whole command set. `has_data`: a data set follows on the same context, as `MessageData`."""

    context: int
    command: Command
    has_data: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class MessageData:
    """A piece of a data set, of any size, empty allowed. The data set is complete only at `last=True`."""

    context: int
    data: Buffer
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """The peer broke `clause` in the way that the flag `name` of `Tolerance` lets through; the event that it concerns
    is next. One for each flag and association. `detail`: what was seen; never anything of a data set."""

    clause: str
    detail: str
    name: str

    def __str__(self) -> str:
        return f"let through ({self.name}): {self.detail} [{self.clause}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAbort:
    """The association ended without either user asking for it; `error` says why. Comes after every good event."""

    error: RemoteProtocolError | ConnectionLost | DeadlineExceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """The peer asked for nothing within the idle deadline: the association is being released.

    The A-RELEASE-RQ is queued. What follows is what follows a `ReleaseRequest` that the local user sends.
    """

    error: DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more will come. Always the last event, and then repeated."""


@final
@dataclass(slots=True)
class Fragment:
    """A piece of one PDV as it arrived; what `UpperLayer` gives instead of `MessageStart` and `MessageData`.

    `start`: the PDV's first piece. `last`: its control header says last fragment, and this piece ends it.
    Not frozen, unlike every other event: one is made for each PDU received, and freezing doubles what that costs.
    """

    context: int
    command: bool
    start: bool
    last: bool
    data: memoryview


Sendable = (
    AssociateRequest
    | AssociateAccept
    | AssociateReject
    | ReleaseRequest
    | ReleaseResponse
    | Abort
    | MessageStart
    | MessageData
)
Event = Sendable | ProviderAbort | Deviation | Idle | Closed
UpperEvent = (
    AssociateRequest
    | AssociateAccept
    | AssociateReject
    | ReleaseRequest
    | ReleaseResponse
    | Abort
    | Fragment
    | ProviderAbort
    | Deviation
    | Idle
    | Closed
)

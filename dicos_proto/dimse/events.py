"""The events of an association and the messages that it sends, as one closed union each way.

Knows: the shapes. Must not know: what produces or consumes them. The same types go in and come out: what one side
sends is what the other receives.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..fast_init import fast_init
from ..upper_layer.events import Closed, Deviation, Idle, ProviderAbort
from ..upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ReleaseRequest,
    ReleaseResponse,
)
from ..wire import Buffer
from .types import Command


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStart:
    """A whole command set. `has_data`: a data set follows on the same context, as `MessageData`."""

    context: int
    command: Command
    has_data: bool = False


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class MessageData:
    """A piece of a data set, of any size, empty allowed. The data set is complete only at `last=True`."""

    context: int
    data: Buffer
    last: bool


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
"""The events that `Association.send` takes."""

Event = Sendable | ProviderAbort | Deviation | Idle | Closed
"""The events that `Association.next_event` returns: a closed union."""

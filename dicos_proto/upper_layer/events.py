"""The events of an upper layer, as one closed union.

Knows: the shapes. Must not know: what produces or consumes them, DIMSE. The PDUs of `pdu_types` that one side sends are
the events of the other; the content of a P-DATA-TF comes as `Fragment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from ..errors import ConnectionLost, DeadlineExceeded, RemoteProtocolError
from .pdu_types import Abort, AssociateAccept, AssociateReject, AssociateRequest, ReleaseRequest, ReleaseResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """The peer broke `clause` in the way that the flag `name` of `Tolerance` accepts. The event that it concerns is
    next.

    Reported once for each flag and association. `detail`: what was seen; never anything of a data set. `recognized`:
    the name of the toolkit that the peer was recognized as by this deviation (`Tolerance.toolkits`), once for each
    association; what this toolkit is known to break is accepted from now on.
    """

    clause: str
    detail: str
    name: str
    recognized: str = ""

    def __str__(self) -> str:
        text = f"accepted ({self.name}): {self.detail} [{self.clause}]"
        if self.recognized:
            text += f"; the peer is recognized as {self.recognized}, whose deviations are accepted"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAbort:
    """The association ended without either user asking for it; `error` says why. Comes after every good event."""

    error: RemoteProtocolError | ConnectionLost | DeadlineExceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """The peer asked for nothing within the idle deadline: the association is being released.

    The A-RELEASE-RQ is queued. The same events follow as after a `ReleaseRequest` that the local user sends.
    """

    error: DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more will come. Always the last event, and then repeated."""


@final
@dataclass(slots=True)
class Fragment:
    """A piece of one PDV as it arrived. `Association` makes `MessageStart` and `MessageData` of it.

    `start`: the PDV's first piece. `last`: its control header says last fragment, and this piece ends it.
    Not frozen, unlike every other event: one is made for each PDU received, and freezing doubles what that costs.
    """

    context: int
    command: bool
    start: bool
    last: bool
    data: memoryview


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
"""The events that `UpperLayer.next_event` returns: a closed union."""

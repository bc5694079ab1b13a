"""Conversations written once, as generators; every adapter is an interpreter of two needs.

A flow yields `Need.INPUT` (feed the association: bytes, end of file, or time) or `Need.DRAIN` (write until little is
queued) and returns its result. It raises what its user has to know: `AssociationRejected`, `AssociationAborted`,
`AssociationReleased`.

Knows: the order of events. Must not know: how bytes travel, what waits mean in a runtime.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum, auto
from typing import TypeVar

from .association import Association
from .errors import ProtocolError
from .events import Closed, Event, ProviderAbort
from .machine import State
from .negotiation import AcceptPolicy, negotiate
from .pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ReleaseRequest,
    ReleaseResponse,
)


class Need(Enum):
    """What a flow waits for."""

    INPUT = auto()
    DRAIN = auto()


T = TypeVar("T")
Flow = Generator[Need, None, T]


class AssociationError(ProtocolError):
    """The association is over, and the conversation was not finished."""


class AssociationRejected(AssociationError):
    """The peer rejected the association; `reject` says how lasting, by whom and why."""

    def __init__(self, reject: AssociateReject) -> None:
        super().__init__(str(reject))
        self.reject = reject


class AssociationAborted(AssociationError):
    """Either side aborted, or the connection was lost. `event`: the `Abort`, `ProviderAbort` or `Closed`."""

    def __init__(self, event: Abort | ProviderAbort | Closed) -> None:
        match event:
            case ProviderAbort(error=error):
                text = str(error)
            case Abort():
                text = f"the peer says: {event}"
            case _:
                text = "the association is closed"
        super().__init__(text)
        self.event = event


class AssociationReleased(AssociationError):
    """The peer asked for release; it was answered."""

    def __init__(self) -> None:
        super().__init__("the peer released the association")


def next_event(association: Association) -> Flow[Event]:
    """The next event, waited for. Once what may be sent is queued, that wait also sends it."""
    while (event := association.next_event()) is None:
        yield Need.INPUT
    return event


def expect(association: Association) -> Flow[Event]:
    """The next event of an established association; its end, whoever brought it about, is raised.

    Raises `AssociationAborted`; `AssociationReleased` after answering an A-RELEASE-RQ.
    """
    event = yield from next_event(association)
    if isinstance(event, Abort | ProviderAbort | Closed):
        raise AssociationAborted(event)
    if isinstance(event, ReleaseRequest):
        yield from _answer_release(association)
        raise AssociationReleased
    return event


def drained(association: Association) -> Flow[None]:
    """Wait until the association has room to queue more."""
    if association.bytes_queued >= association.limits.queued:
        yield Need.DRAIN


def establish(association: Association) -> Flow[AssociateAccept]:
    """User side: wait for the answer to the request. Raises `AssociationRejected`, `AssociationAborted`."""
    event = yield from next_event(association)
    if isinstance(event, AssociateAccept):
        return event
    yield from finish(association)
    if isinstance(event, AssociateReject):
        raise AssociationRejected(event)
    raise AssociationAborted(event if isinstance(event, Abort | ProviderAbort) else Closed())


def await_request(association: Association) -> Flow[AssociateRequest]:
    """Provider side: wait for the A-ASSOCIATE-RQ. Raises `AssociationAborted`, once the connection may be closed."""
    event = yield from next_event(association)
    if isinstance(event, AssociateRequest):
        return event
    yield from finish(association)
    raise AssociationAborted(event if isinstance(event, Abort | ProviderAbort) else Closed())


def answer_request(
    association: Association, request: AssociateRequest, policy: AcceptPolicy
) -> Flow[AssociateAccept | AssociateReject]:
    """Provider side: negotiate and send the answer; after a rejection, wait for the end of the connection."""
    answer = negotiate(request, policy)
    association.send(answer)
    if isinstance(answer, AssociateReject):
        yield from finish(association)
    return answer


def release(association: Association) -> Flow[None]:
    """Release in good order, release collisions included; what the peer still sends is read over.

    Raises `AssociationAborted` if it ends otherwise.  # PS3.8 7.2
    """
    association.send(ReleaseRequest())
    while True:
        event = yield from next_event(association)
        match event:
            case ReleaseRequest():  # collision: the requestor answers first  # PS3.8 7.2.2.7
                if association.state is State.Sta9:
                    association.send(ReleaseResponse())
            case ReleaseResponse():
                if association.state is State.Sta12:
                    association.send(ReleaseResponse())
                yield from finish(association)
                return
            case Abort() | ProviderAbort() | Closed():
                yield from finish(association)
                raise AssociationAborted(event)
            case _:
                pass


def _answer_release(association: Association) -> Flow[None]:
    association.send(ReleaseResponse())
    yield from finish(association)


def abort(association: Association, event: Abort = Abort()) -> Flow[None]:  # noqa: B008  a frozen value
    """Abort, and read until the peer closes or ARTIM expires, so that the A-ABORT is not lost to a reset.

    An association that is already over is left alone.
    """
    if association.state not in (State.Sta1, State.Sta2, State.Sta13):
        association.send(event)
    yield from finish(association)


def finish(association: Association) -> Flow[None]:
    """Write what is queued and wait for `Closed`; the events before it are of no more use."""
    while not isinstance((yield from next_event(association)), Closed):
        pass
    yield Need.DRAIN

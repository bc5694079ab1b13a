"""Conversations written once, as generators; every adapter is an interpreter of three needs.

A flow yields a `Need` and returns its result. A stream, which has many results, yields them too. Both raise what their
user has to know: `AssociationRejected`, `AssociationAborted`, `AssociationReleased`.

Knows: how associations begin and end. Must not know: how bytes travel, what a wait is in a runtime, what a message says
(`exchange`), what a service is for (`services`).
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum, auto
from typing import Never, TypeVar

from ..arguments import check_several
from ..association import Association
from ..dimse.events import Event
from ..errors import DeadlineExceeded, ProtocolError
from ..upper_layer.agreement import PresentationContext
from ..upper_layer.events import Closed, Deviation, ProviderAbort
from ..upper_layer.machine import Role, State
from ..upper_layer.negotiation import negotiate
from ..upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ReleaseRequest,
    ReleaseResponse,
)
from ..upper_layer.policy import AcceptPolicy, IdentityVerdict
from .planning import explain


class Need(Enum):
    """The reason why a flow waits."""

    INPUT = auto()
    """Write what is queued, and feed the association: bytes, end of file, or time."""
    DRAIN = auto()
    """Write until all that was queued is written, or something was received."""
    TURN = auto()
    """Write and read what can be written and read now; do not wait."""


T = TypeVar("T")
Flow = Generator[Need, None, T]
Stream = Generator[Need | T, None, None]
"""A conversation with many results. It yields each of them, and a `Need` where it has to wait for the next."""


def first(stream: Stream[T]) -> Flow[T | None]:
    """Returns the first result of a stream, and reads no further; None if the stream has no result."""
    for step in stream:
        if not isinstance(step, Need):
            return step
        yield step
    return None


class AssociationError(ProtocolError):
    """The association is over, and the conversation was not finished."""


class AssociationRejected(AssociationError):
    """The peer rejected the association; `reject` says for how long, by whom and why."""

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
    """The association was released before its user was done with it: the peer asked for it."""

    def __init__(self, why: str = "the peer released the association") -> None:
        super().__init__(why)


class AssociationIdle(AssociationReleased):
    """The peer asked for nothing within the idle deadline; this side released the association."""

    def __init__(self, error: DeadlineExceeded) -> None:
        super().__init__(f"{error}; the association was released")
        self.error = error


class ContextNotAccepted(ProtocolError):
    """No accepted presentation context fits; the text says what was proposed, how it was answered, and what to try.

    The association is unchanged. `abstract_syntax`, `transfer_syntaxes`: the wanted ones; no transfer syntaxes: any.
    """

    def __init__(
        self,
        association: Association,
        abstract_syntax: str,
        transfer_syntaxes: tuple[str, ...],
        *,
        as_scp: bool = False,
    ) -> None:
        terms = association.terms
        answered = terms.request if terms.role is Role.ACCEPTOR else None
        super().__init__(explain(terms.agreement, abstract_syntax, transfer_syntaxes, as_scp=as_scp, answered=answered))
        self.abstract_syntax = abstract_syntax
        self.transfer_syntaxes = transfer_syntaxes


def find_context(
    association: Association, abstract_syntax: str, transfer_syntaxes: tuple[str, ...] = (), *, as_scp: bool = False
) -> PresentationContext:
    """The accepted context on which the local side may invoke operations of this SOP class.

    `transfer_syntaxes`: the possible ones, best first; empty: any. `as_scp`: a context on which the local side performs
    operations, as an N-EVENT-REPORT needs it [PS3.7 10.1.1]. Raises `ContextNotAccepted`; TypeError for one transfer
    syntax in place of several.
    """
    check_several(transfer_syntaxes, "find_context(transfer_syntaxes={})", "UIDs")
    usable = [
        one
        for one in association.contexts.values()
        if one.abstract_syntax == abstract_syntax and (one.scp if as_scp else one.scu)
    ]
    for syntax in transfer_syntaxes:
        for context in usable:
            if context.transfer_syntax == syntax:
                return context
    if transfer_syntaxes or not usable:
        raise ContextNotAccepted(association, abstract_syntax, transfer_syntaxes, as_scp=as_scp)
    return usable[0]


def next_event(association: Association) -> Flow[Event]:
    """Waits for the next event. The wait also sends what is queued.

    Deviations are skipped, here and so in every flow: `Association.terms` lists them.
    """
    while True:
        event = association.next_event()
        if event is None:
            yield Need.INPUT
        elif not isinstance(event, Deviation):
            return event


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
    return (yield from end_by(association, event))


def end_by(association: Association, event: Event) -> Flow[Never]:
    """Wait for the end of an association that is over by this event, and raise it as `AssociationAborted`."""
    yield from finish(association)
    raise AssociationAborted(event if isinstance(event, Abort | ProviderAbort) else Closed())


def until_over(association: Association) -> Flow[Event]:
    """Provider side, while the local user checks the request: the event that ends the association before the answer.

    It comes from the peer, or from the deadline of the answer (`Timeouts.accept`). Run `end_by` then.
    """
    try:
        return (yield from next_event(association))
    except AssociationAborted as stalled:  # raised by the interpreter
        return stalled.event


def look(association: Association) -> Flow[Event | None]:
    """Like `until_over`, without waiting: None if nothing has ended the association."""
    yield Need.TURN
    try:
        next(next_event(association))
    except StopIteration as found:
        return found.value  # type: ignore[no-any-return]
    return None  # it waits


def answer(
    association: Association,
    request: AssociateRequest,
    policy: AcceptPolicy,
    *,
    identity: IdentityVerdict | None = None,
) -> AssociateAccept | AssociateReject:
    """Provider side: negotiate and queue the answer. After a rejection, `finish` waits for the end of the connection.

    `identity`: the verdict on the user identity, where one was asked for (`negotiate`).
    """
    found = negotiate(request, policy, association.terms.tolerance, identity=identity)
    association.send(found)
    return found


def answer_request(
    association: Association,
    request: AssociateRequest,
    policy: AcceptPolicy,
    *,
    identity: IdentityVerdict | None = None,
) -> Flow[AssociateAccept | AssociateReject]:
    """Provider side: negotiate and send the answer; after a rejection, wait for the end of the connection.

    Between `await_request` and this, the caller may take its time to check the request: `identity` is its verdict on
    the user (`negotiate`). To reject for another reason, use `reject`.
    """
    found = answer(association, request, policy, identity=identity)
    if isinstance(found, AssociateReject):
        yield from finish(association)
    return found


def reject(association: Association, answer: AssociateReject) -> Flow[None]:
    """Provider side: reject the request, and read until the peer closes or ARTIM expires."""
    association.send(answer)
    yield from finish(association)


def release(association: Association) -> Flow[None]:
    """Releases the association, with or without a release collision; data that the peer still sends is skipped.

    Raises `AssociationAborted` if it ends otherwise [PS3.8 7.2].
    """
    association.send(ReleaseRequest())
    yield from await_release(association)


def await_release(association: Association) -> Flow[None]:
    """An A-RELEASE-RQ was sent: wait for its answer and for the end. Raises as `release` does."""
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


def answer_release(association: Association) -> Flow[None]:
    """The peer asked for release: agree, and wait for the end of the connection."""
    association.send(ReleaseResponse())
    yield from finish(association)


def abort(association: Association, event: Abort = Abort()) -> Flow[None]:  # noqa: B008  a frozen value
    """Abort, and read until the peer closes or ARTIM expires, so that the A-ABORT is not lost to a reset.

    Does nothing if the association is already over. If no association was requested yet, the connection is closed
    without an A-ABORT.
    """
    if association.state is State.Sta2:
        return
    if association.state not in (State.Sta1, State.Sta13):
        association.send(event)
    yield from finish(association)


def finish(association: Association) -> Flow[None]:
    """Write what is queued and wait for `Closed`; events before it are dropped."""
    while not isinstance((yield from next_event(association)), Closed):
        pass
    yield Need.DRAIN

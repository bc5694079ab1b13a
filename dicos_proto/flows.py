"""Conversations written once, as generators; every adapter is an interpreter of two needs.

A flow yields `Need.INPUT` (feed the association: bytes, end of file, or time) or `Need.DRAIN` (write until little is
queued) and returns its result. It raises what its user has to know: `AssociationRejected`, `AssociationAborted`,
`AssociationReleased`.

Knows: the order of events. Must not know: how bytes travel, what waits mean in a runtime, what a service is for
(`services`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from enum import Enum, auto
from typing import TypeVar

from . import status, uids
from .association import Association
from .dimse import (
    RESPONSE_BIT,
    AnyRequest,
    CEchoRequest,
    CEchoResponse,
    CStoreRequest,
    CStoreResponse,
    OtherRequest,
    OtherResponse,
    Request,
    Response,
    command_field,
    command_name,
)
from .errors import LocalProtocolError, ProtocolError
from .events import Closed, Event, MessageData, MessageStart, ProviderAbort
from .machine import State
from .negotiation import AcceptPolicy, PresentationContext, negotiate
from .pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ReleaseRequest,
    ReleaseResponse,
)
from .wire import Buffer


class Need(Enum):
    """What a flow waits for."""

    INPUT = auto()
    DRAIN = auto()


_ENDS = (Abort, ProviderAbort, Closed)

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


class ContextNotAccepted(ProtocolError):
    """No accepted presentation context serves; the text says what was proposed, what became of it, what to try.

    The association is as it was. `abstract_syntax`, `transfer_syntaxes`: what was wanted; no syntaxes: any.
    """

    def __init__(self, association: Association, abstract_syntax: str, transfer_syntaxes: tuple[str, ...]) -> None:
        super().__init__(_why_no_context(association, abstract_syntax, transfer_syntaxes))
        self.abstract_syntax = abstract_syntax
        self.transfer_syntaxes = transfer_syntaxes


def _why_no_context(association: Association, abstract_syntax: str, transfer_syntaxes: tuple[str, ...]) -> str:
    wanted = uids.name_of(abstract_syntax)
    if transfer_syntaxes:
        wanted += f" in {' or '.join(map(uids.name_of, transfer_syntaxes))}"
    refused = association.agreement.refused if association.agreement else ()
    found = [str(one) for one in refused if one.abstract_syntax == abstract_syntax]
    found += [
        f"accepted with {uids.name_of(one.transfer_syntax)}" + ("" if one.scu else ", but not in the role of an SCU")
        for one in association.contexts.values()
        if one.abstract_syntax == abstract_syntax
    ]
    if not found:
        return f"no presentation context for {wanted}: none was proposed; propose one for it"
    return f"no presentation context for {wanted}: {'; '.join(found)}; propose other syntaxes, or ask another peer"


def find_context(
    association: Association, abstract_syntax: str, transfer_syntaxes: tuple[str, ...] = ()
) -> PresentationContext:
    """The accepted context on which the local side may invoke operations of this SOP class.

    `transfer_syntaxes`: the ones that will do, best first; none: any. Raises `ContextNotAccepted`.
    """
    usable = [one for one in association.contexts.values() if one.abstract_syntax == abstract_syntax and one.scu]
    for syntax in transfer_syntaxes:
        for context in usable:
            if context.transfer_syntax == syntax:
                return context
    if transfer_syntaxes or not usable:
        raise ContextNotAccepted(association, abstract_syntax, transfer_syntaxes)
    return usable[0]


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
    yield from _heed(association, event)
    return event


def _heed(association: Association, event: Event) -> Flow[None]:
    """Raise if `event` is the end of the association."""
    if isinstance(event, _ENDS):
        raise AssociationAborted(event)
    if isinstance(event, ReleaseRequest):
        yield from _answer_release(association)
        raise AssociationReleased


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
    if isinstance(answer, AssociateReject):
        yield from reject(association, answer)
    else:
        association.send(answer)
    return answer


def reject(association: Association, answer: AssociateReject) -> Flow[None]:
    """Provider side: reject the request, and read until the peer closes or ARTIM expires."""
    association.send(answer)
    yield from finish(association)


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


def ask(
    association: Association, context: int, request: AnyRequest, data: Iterable[Buffer] | None = None
) -> Flow[Response]:
    """Send a request, with its data set if it has one, and wait for its final response, whatever the status.

    `data`: the data set in pieces of any size, each kept until it is sent. An exception of its own leaves the
    association within a message: abort is then all that can be done. A request of the peer that comes meanwhile is
    refused. Raises `AssociationAborted`, `AssociationReleased`; `LocalProtocolError`, and nothing was sent.
    """
    association.send(MessageStart(context=context, command=request, has_data=data is not None))
    early: Event | None = None
    if data is not None:
        early = yield from send_data(association, context, data)
    while True:
        event = early or (yield from next_event(association))
        early = None
        yield from _heed(association, event)
        if isinstance(event, MessageStart) and event.has_data:
            yield from skip_data(association)
        match event:
            case MessageStart(command=Request()):
                association.send(refusal(event))
            case MessageStart(command=Response() as response) if _answers(response, request):
                return response
            case _:
                pass


def _answers(response: Response, request: Request) -> bool:
    """Whether this is the final response to that request and not to another one that is outstanding."""
    mine = response.message_id_being_responded_to == request.message_id
    return mine and status.category(response.status) is not status.Category.PENDING


def send_data(association: Association, context: int, pieces: Iterable[Buffer]) -> Flow[Event | None]:
    """Send a data set whose command set was sent; the first thing that the peer said meanwhile, if it said any.

    Raises `AssociationAborted` as soon as the peer aborts: the rest is then of no use to it.
    """
    early: Event | None = None
    waiting: Buffer | None = None
    for piece in pieces:
        if waiting is not None:
            association.send(MessageData(context=context, data=waiting, last=False))
            if association.bytes_queued >= association.limits.queued:
                yield Need.DRAIN
                if early is None:
                    early = association.next_event()
                    if isinstance(early, _ENDS):
                        raise AssociationAborted(early)
        waiting = piece
    association.send(MessageData(context=context, data=b"" if waiting is None else waiting, last=True))
    return early


def next_request(association: Association) -> Flow[MessageStart | None]:
    """Provider side: the next request of the peer, or None once it has released the association.

    What is left of a data set that nobody read is read over, and so is a C-CANCEL of what is over already. Raises
    `AssociationAborted`, once the connection may be closed.
    """
    while True:
        event = yield from next_event(association)
        match event:
            case MessageStart(command=Request()):
                return event
            case ReleaseRequest():
                yield from _answer_release(association)
                return None
            case Abort() | ProviderAbort() | Closed():
                yield from finish(association)
                raise AssociationAborted(event)
            case _:
                pass


def next_piece(association: Association) -> Flow[MessageData]:
    """The next piece of the data set that is being received; `last` tells the end.

    Raises as `expect` does; `LocalProtocolError` if what comes is no piece of one.
    """
    event = yield from expect(association)
    if not isinstance(event, MessageData):
        raise LocalProtocolError(f"a data set is read where {type(event).__name__} comes [PS3.7 6.3]")
    return event


def skip_data(association: Association) -> Flow[None]:
    """Read over what is left of the data set that is being received."""
    while not (yield from next_piece(association)).last:
        pass


def response_to(start: MessageStart, code: int, comment: str | None = None) -> MessageStart:
    """The response to a received request, with this status and, for people, at most 64 characters of comment.

    Raises TypeError for what is no request.
    """
    command = start.command
    response: CEchoResponse | CStoreResponse | OtherResponse
    match command:
        case CEchoRequest():
            response = CEchoResponse(
                message_id_being_responded_to=command.message_id,
                affected_sop_class_uid=command.affected_sop_class_uid,
                status=code,
                error_comment=comment,
            )
        case CStoreRequest():
            response = CStoreResponse(
                message_id_being_responded_to=command.message_id,
                affected_sop_class_uid=command.affected_sop_class_uid,
                affected_sop_instance_uid=command.affected_sop_instance_uid,
                status=code,
                error_comment=comment,
            )
        case OtherRequest():
            response = OtherResponse(
                message_id_being_responded_to=command.message_id,
                command_field=command_field(command) | RESPONSE_BIT,
                status=code,
                error_comment=comment,
            )
        case _:
            raise TypeError(f"{command_name(command)} is no request")
    return MessageStart(context=start.context, command=response)


def refusal(start: MessageStart) -> MessageStart:
    """The response to a request that this side does not perform.  # PS3.7 annex C, 0211H"""
    return response_to(start, status.UNRECOGNIZED_OPERATION)


def abort(association: Association, event: Abort = Abort()) -> Flow[None]:  # noqa: B008  a frozen value
    """Abort, and read until the peer closes or ARTIM expires, so that the A-ABORT is not lost to a reset.

    An association that is already over is left alone, and so is a connection on which none was asked for yet: it is
    closed without a word.
    """
    if association.state is State.Sta2:
        return
    if association.state not in (State.Sta1, State.Sta13):
        association.send(event)
    yield from finish(association)


def finish(association: Association) -> Flow[None]:
    """Write what is queued and wait for `Closed`; the events before it are of no more use."""
    while not isinstance((yield from next_event(association)), Closed):
        pass
    yield Need.DRAIN

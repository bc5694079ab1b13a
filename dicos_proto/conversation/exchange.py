"""Messages both ways over one established association: what is sent goes on while what comes is taken.

`Exchange` holds what a conversation has to remember between two events: the data set that is being sent, answers that
wait for its end, requests of the peer that came while the local side waited for something else. The flows here and in
`services` are written on it; `step` is the one place where they wait, so whoever sends also reads, and two sides that
flood each other never stand still.

Knows: messages, backpressure, C-CANCEL. Must not know: what a service is for, how bytes travel.

Invariants: one data set is on the wire at a time in each direction; of the peer's requests that have to wait, no more
than `Limits.parked` bytes are held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from .. import dimse
from ..association import Association, bytes_unread
from ..dimse.codec import encode_command
from ..dimse.events import Event, MessageData, MessageStart
from ..dimse.types import AnyRequest, AnyResponse, CCancelRequest, Command, Request, Response
from ..errors import LocalProtocolError, ProtocolError
from ..limits import OBJECT_COST
from ..registry import status
from ..upper_layer.events import Closed, Deviation, Idle, ProviderAbort
from ..upper_layer.machine import State
from ..upper_layer.pdu_types import Abort, AssociateRequest, ReleaseRequest, ReleaseResponse
from ..wire import Buffer
from .flows import (
    AssociationAborted,
    AssociationIdle,
    AssociationReleased,
    Flow,
    Need,
    answer_release,
    await_release,
    finish,
)

T = TypeVar("T")
Incoming = MessageStart | MessageData
Data = Buffer | Iterable[Buffer]
"""A data set to send: whole, or in pieces of any size, which are taken as the connection takes them."""
STARVED: Final = bytearray()
"""What a source of pieces gives, this very object, that has none now and is not at its end: `Feed` does."""
_NONE: Final = bytearray()
"""No piece, this very object. None may come out of a caller's source, by a fault of his, and is no end of it."""

_ENDS = (Abort, ProviderAbort, Closed)
_WHOLE = (bytes, bytearray, memoryview)
_TURN = 512
"""Events that a flow takes before others get their turn, though it need not wait: a peer may send one byte a PDV, and
what lies in one receive are then 75,000 of them."""
_JOINED = 4096
"""Small pieces that wait are joined up to this many bytes."""
_TAG_COST = 40
"""What each tag in a list of a command set costs, which is four bytes on the wire."""
_ELEMENT_COST = 128
"""What each unknown element of a command set costs beside its value, which is eight bytes on the wire."""


class Holder(Protocol):
    """Who counts what several associations hold of data sets that are read whole and may be large."""

    def hold(self, size: int) -> bool:
        """Returns False if there is no room for so many more bytes."""

    def let_go(self) -> None:
        """What was held is not any more."""


class Exchange:
    """The messages of one established association. One flow at a time may run on it."""

    __slots__ = (
        "_ahead", "_cancelled", "_context", "_current", "_dropped", "_held", "_most", "_open", "_parked", "_pieces",
        "_replies", "_taken", "_waiting", "association", "holder", "reading", "unread",
    )  # fmt: skip

    def __init__(self, association: Association) -> None:
        self.association = association
        self.holder: Holder | None = None
        """To be asked before an attribute list that may be as long as an object is held; None: nobody."""
        self._most = association.terms.limits.queued
        self._pieces: Iterator[Buffer] | None = None  # what is left of the data set that is being sent
        self._waiting: Buffer = _NONE  # its next piece, until it is known whether it is the last
        self._context = 0
        self._replies: deque[MessageStart] = deque()  # answers that wait for the end of that data set, or for room
        self._parked: deque[Incoming] = deque()  # what came while the local side waited for something else
        self._open = False  # whether the last of these has more to come
        self._current: deque[MessageData] = deque()  # of the message that is being read: pieces that came meanwhile
        self._held = 0  # what all that costs
        self._taken = 0  # events without a wait since others had their turn
        self._dropped: MessageStart | None = None  # the request whose data set is read over: it was too large to hold
        self._ahead: Event | None = None  # what `here` came upon and is not for it
        self._cancelled: set[int] = set()
        self.unread = False
        """Whether the data set of the message that `step` gave last has not come to its end yet."""
        self.reading: MessageStart | None = None
        """That message."""

    @property
    def request(self) -> AssociateRequest:
        """The A-ASSOCIATE-RQ that was sent or received. Raises `LocalProtocolError` before."""
        request = self.association.terms.request
        if request is None:
            raise LocalProtocolError("no association was asked for yet [PS3.8 7.1]")
        return request

    @property
    def sending(self) -> bool:
        """Whether a data set is being sent and is not yet handed to the association whole."""
        return self._pieces is not None

    @property
    def room(self) -> int:
        """Requests that may be sent now before one of the outstanding is answered.  # PS3.7 D.3.3.3"""
        association = self.association
        agreement = association.terms.agreement
        window = agreement.invoke if agreement is not None else 0
        return (window or association.terms.limits.outstanding) - association.operations.outstanding

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way: no request outstanding or owed an answer, nothing being sent, nothing kept."""
        association = self.association
        busy = (
            association.operations.outstanding
            or association.operations.owed
            or association.operations.sending
            or self.sending
        )
        return not (busy or self.unread or self._replies or self._parked or self._current)

    def look_idle(self) -> Flow[bool]:
        """Look, without waiting, at what has come on an association at rest. Returns True if it can still be used.

        It cannot once the peer has released or aborted it, or is gone, nor when the peer has sent a message: nobody is
        there to answer it. An A-RELEASE-RQ is answered; all that is left to do then is to close.
        """
        yield Need.TURN
        event = self._next_event()
        while isinstance(event, Deviation):
            event = self.association.next_event()
        if isinstance(event, ReleaseRequest):
            self.association.send(ReleaseResponse())
        return event is None and self.association.state is State.Sta6 and self.at_rest

    def cancelled(self, message_id: int) -> bool:
        """Whether the peer sent a C-CANCEL for this request of its, which is not answered finally yet."""
        return message_id in self._cancelled

    # -- out -----------------------------------------------------------------------------------------------------

    def send(self, context: int, command: Command, data: Data | None = None) -> None:
        """Send a message. Its data set goes as far as it is taken now; `step` sends the rest.

        `data`: each piece is kept until it is sent. An exception out of it leaves the association within a message:
        abort is then all that can be done. Raises `LocalProtocolError`, and nothing was sent.
        """
        self.begin(MessageStart(context=context, command=command, has_data=data is not None), data)

    def begin(self, start: MessageStart, data: Data | None = None) -> None:
        """As `send`, of an event that may be prepared (`Association.prepare`) and that says whether there is `data`."""
        association, context, command = self.association, start.context, start.command
        if start.has_data == (data is None):
            said = "a data set" if start.has_data else "no data set"
            raise LocalProtocolError(f"{command.NAME} that says {said} follows, given the contrary [PS3.7 E.1]")
        association.send(start)
        if (
            self._cancelled
            and isinstance(command, Response)
            and not association.operations.owes(command.message_id_being_responded_to)
        ):
            self._cancelled.discard(command.message_id_being_responded_to)
        if data is None:
            return
        if not isinstance(data, _WHOLE):
            self._context = context
            self._pieces = iter(data)
            self.pump()
        elif association.bytes_queued < self._most:
            association.send(MessageData(context=context, data=data, last=True))
        else:
            self._context = context
            self._pieces = iter((data,))

    def reply(self, start: MessageStart) -> None:
        """Send a message without data set: now, or once the data set that is being sent is complete.

        Raises `LocalProtocolError` at once for one that cannot be encoded.
        """
        if self._pieces is None:
            self.send(start.context, start.command)
        else:
            encode_command(start.command, has_data=False)
            self._replies.append(start)

    def pump(self) -> bool:
        """Hand on the data set until enough is queued; whether that was all of it."""
        association, context, pieces, most = self.association, self._context, self._pieces, self._most
        if pieces is None:
            return True
        self._pieces = None  # should the source raise, nothing more can be sent
        while association.bytes_queued < most:
            piece = next(pieces, _NONE)
            if piece is STARVED:
                break
            waiting, self._waiting = self._waiting, piece
            if piece is _NONE:
                association.send(MessageData(context=context, data=waiting, last=True))
                self._reply_all()
                return True
            if waiting is not _NONE:
                association.send(MessageData(context=context, data=waiting, last=False))
        self._pieces = pieces
        return False

    @property
    def burdened(self) -> bool:
        """Whether so much waits to be sent that no more is to be added."""
        return self.association.bytes_queued >= self._most

    def _reply_all(self) -> None:
        while self._replies:
            start = self._replies.popleft()
            self.send(start.context, start.command)

    # -- in ------------------------------------------------------------------------------------------------------

    def step(self, *, parked: bool = True) -> Flow[Incoming | None]:
        """The next message, or the next piece of one; None once the data set that was being sent is handed on.

        `parked`: what was kept for later comes first; without, it stays where it is.
        The end of the association, whoever brought it about, is raised: `AssociationAborted`; `AssociationReleased`,
        after an A-RELEASE-RQ was answered.
        """
        event: Incoming | None
        if self._current:
            event = self._current.popleft()
            self._held -= _cost(event)
        elif parked and self._parked and not self.unread:
            event = self._unpark()
        else:
            event = yield from self.fresh()
        if isinstance(event, MessageStart):
            self.begin_reading(event)
        elif event is not None:
            self.unread = not event.last
        return event

    def here(self) -> Incoming | None:
        """As `step`, of what was received before; None where there is nothing, or `step` has something else to do or to
        raise. After None only a flow may follow: it goes on with what this has come upon."""
        event = self.fresh_here()
        if isinstance(event, MessageData):
            self.unread = not event.last
        elif event is not None:
            self.begin_reading(event)
        return event

    def fresh_here(self) -> Incoming | None:
        """As `here`, where what comes may be for somebody else, to be parked then: its reading does not begin."""
        if not bytes_unread(self.association):  # what is to be told without them, an end say, is for a flow
            return None
        if self._current or self._parked or self._pieces is not None or self._dropped is not None:
            return None
        event = self.association.next_event() if self._ahead is None else self._next_event()
        if isinstance(event, Incoming):
            return event
        self._ahead = event
        return None

    def _next_event(self) -> Event | None:
        event, self._ahead = self._ahead, None
        return self.association.next_event() if event is None else event

    def begin_reading(self, start: MessageStart) -> None:
        """`start` is the message whose data set is read now, if it has one."""
        self.reading = start
        self.unread = start.has_data

    def fresh(self) -> Flow[Incoming | None]:
        """As `step`, of what was not parked."""
        self._taken += 1
        if self._taken >= _TURN:
            self._taken = 0
            yield Need.TURN
        while True:
            if self._pieces is not None:
                if self.pump():
                    return None
            elif self._replies and not self.burdened:
                self._reply_all()
            event = self._next_event()
            if isinstance(event, Incoming):
                if self._dropped is None:
                    return event
                self.park(event)  # the rest of what is refused
            elif event is None:
                self._taken = 0
                yield Need.INPUT if self._pieces is None and not self._replies else Need.DRAIN
            else:
                yield from self._heed(event)

    def _heed(self, event: Event) -> Flow[None]:
        """Raise if `event` is the end of the association."""
        if isinstance(event, _ENDS):
            self._pieces = None
            raise AssociationAborted(event)
        if isinstance(event, ReleaseRequest):
            while self._pieces is not None:  # the peer still takes what was begun.  # PS3.8 table 9-10, Sta7
                self.pump()
                yield Need.DRAIN
            yield from answer_release(self.association)
            raise AssociationReleased
        if isinstance(event, Idle):
            yield from await_release(self.association)
            raise AssociationIdle(event.error)

    # -- what has to wait ----------------------------------------------------------------------------------------

    def park(self, event: Incoming) -> None:
        """Keep what came for whoever asks for it later; a C-CANCEL is noted. What is too large is refused, 0x0213."""
        if self._dropped is None and self._keep(event) and self._held > self.association.terms.limits.parked:
            self._drop()
        ended = event.last if isinstance(event, MessageData) else not event.has_data
        if ended and self._dropped is not None:
            dropped, self._dropped = self._dropped, None
            if isinstance(dropped.command, Request):
                self._refuse(dropped)

    def _refuse(self, dropped: MessageStart) -> None:
        """A peer that does not take such answers waits for more of them, and soon is beyond its operations window."""
        refusal = response_to(dropped, status.RESOURCE_LIMITATION)
        if self.burdened:
            self._replies.append(refusal)
        else:
            self.reply(refusal)

    def look(self) -> Flow[None]:
        """Take note of what has come, as a provider does between two answers: a C-CANCEL, the peer's next requests.

        Nothing is refused: where too much would have to be held, the peer has to wait. Raises as `step` does.
        """
        while self._held <= self.association.terms.limits.parked:
            event = self._next_event()
            if event is None:
                return
            if isinstance(event, Incoming):
                if self._dropped is None:
                    self._keep(event)
                else:
                    self.park(event)
            else:
                yield from self._heed(event)

    def complete(self) -> Flow[None]:
        """Send the rest of the data set that is being sent; what comes meanwhile is kept.

        Where too much of the message that is being read would have to be held, the peer has to wait.
        """
        while self._pieces is not None:
            if self._held > self.association.terms.limits.parked:
                if not self.pump():
                    yield Need.DRAIN
            elif (event := (yield from self.fresh())) is not None:
                self.park(event)

    def note_cancel(self, cancel: CCancelRequest) -> None:
        """Remember a C-CANCEL. One of a request that is not outstanding came too late: no fault.  # PS3.7 9.3.2.3"""
        if self.association.operations.owes(cancel.message_id_being_responded_to):
            self._cancelled.add(cancel.message_id_being_responded_to)

    def _keep(self, event: Incoming) -> bool:
        """Hold an event; whether it is of a message that waits, and not of the one that is being read."""
        if isinstance(event, MessageStart):
            if isinstance(event.command, CCancelRequest):
                self.note_cancel(event.command)
                return False
            self._parked.append(event)
            self._held += _cost(event)
            self._open = event.has_data
            return True
        waits = self._open
        held: deque[MessageData] | deque[Incoming] = self._parked if waits else self._current
        before = held[-1] if held else None
        data = event.data
        # Not the view itself: it would keep a whole receive buffer. And not an object for each byte that comes.
        if isinstance(before, MessageData) and not before.last and len(before.data) + len(data) <= _JOINED:
            self._held -= _cost(before)
            held.pop()
            joined = before.data if isinstance(before.data, bytearray) else bytearray(before.data)
            joined += data
            data = joined
        else:
            data = bytes(data)
        piece = MessageData(context=event.context, data=data, last=event.last)
        self._held += _cost(piece)
        if waits:
            self._parked.append(piece)
            self._open = not event.last
        else:
            self._current.append(piece)
        return waits

    def _unpark(self) -> Incoming:
        """The message that waits longest is the one that is being read now: its pieces come next."""
        event = self._parked.popleft()
        self._held -= _cost(event)
        while self._parked and isinstance(piece := self._parked[0], MessageData):
            self._current.append(piece)
            self._parked.popleft()
        if not self._parked:
            self._open = False
        return event

    def _drop(self) -> None:
        """Give up the message that came last."""
        self._open = False
        while self._dropped is None:
            event = self._parked.pop()
            self._held -= _cost(event)
            if isinstance(event, MessageStart):
                self._dropped = event


def _cost(event: Incoming) -> int:
    if isinstance(event, MessageData):
        return OBJECT_COST + len(event.data)
    command = event.command
    tags = getattr(command, "attribute_identifier_list", None) or ()
    offending = getattr(command, "offending_element", None) or ()
    return (
        OBJECT_COST
        + _TAG_COST * (len(tags) + len(offending))
        + sum(_ELEMENT_COST + len(value) for _, value in command.other)
    )


class Feed:
    """A data set whose pieces are waited for elsewhere: the source of a message, and a way to run its flow by turns.

    `Feed.step` runs the flow until it needs the next piece, which `push` gives, or `end`. In between, what is queued is
    sent, but nothing is received: whoever waits for pieces for long does not see that the peer has gone.
    """

    __slots__ = ("_ended", "_pieces", "starved")

    def __init__(self) -> None:
        self._pieces: deque[Buffer] = deque()
        self._ended = False
        self.starved = False
        """Whether a piece is wanted."""

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        if self._pieces:
            return self._pieces.popleft()
        if self._ended:
            raise StopIteration
        self.starved = True
        return STARVED

    def push(self, piece: Buffer) -> None:
        """The next piece. It is kept until it is sent."""
        self._pieces.append(piece)
        self.starved = False

    def end(self) -> None:
        """There is no other piece."""
        self._ended = True
        self.starved = False

    def step(self, flow: Flow[T]) -> Flow[T | None]:
        """Run a flow that sends this data set until it is over, with its result, or starved; then None.

        To be called until `starved` is False after it. Raises what the flow raises.
        """
        try:
            need = next(flow)
            while not self.starved:
                try:
                    yield need
                except ProtocolError as fault:  # of whoever interprets it
                    need = flow.throw(fault)
                else:
                    need = next(flow)
        except StopIteration as done:
            result: T = done.value
            return result
        return None


# -- user side -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response and its data set, if it has one: bytes in `transfer_syntax`, that of its context."""

    response: Response
    data: bytes | None
    transfer_syntax: str


def check_free(association: Association, what: str) -> None:
    """Raise `LocalProtocolError`, with what to do first, where operations of the local side are outstanding."""
    if not association.operations.outstanding:
        return
    if association.state in _OVER:  # nothing can be waited for
        raise LocalProtocolError(f"{what} on an association that is over ({association.state.name}) [PS3.8 7.3]")
    raise LocalProtocolError(f"{what} while {_under_way(association)}")


def _under_way(association: Association) -> str:
    asked = association.operations.unanswered
    named = ", ".join(f"{dimse.MESSAGES[field]} {number}" for number, field in list(asked.items())[:3])
    more = f" and {len(asked) - 3} more" if len(asked) > 3 else ""
    text = f"{named}{more} {'is' if len(asked) == 1 else 'are'} outstanding, whose responses nobody would see: "
    if _CANCELLED & set(asked.values()):
        return text + "cancel() asks the peer to stop, and then iterate to the end, which still comes"
    return text + "wait for them first"


_OVER = (State.Sta1, State.Sta13)
_CANCELLED = {one.COMMAND_FIELD for one in (dimse.CFindRequest, dimse.CGetRequest, dimse.CMoveRequest)}


class Operation:
    """One request of the local side, and its responses as they come.

    Made, the request is sent, its data set as far as it is taken at once. `next` gives the responses one by one; other
    things that the peer has to say meanwhile are kept for `next_request`, within `Limits.parked`. One operation at a
    time is waited for so; whoever pipelines uses `Exchange.send` and `Exchange.step`.
    """

    __slots__ = ("_exchange", "context", "over", "request")

    def __init__(self, exchange: Exchange, context: int, request: AnyRequest, data: Data | None = None) -> None:
        """Raises `LocalProtocolError`, and nothing was sent."""
        check_free(exchange.association, request.NAME)
        if exchange.unread:
            raise LocalProtocolError(f"{request.NAME} while a data set is being read; read it to its end")
        exchange.send(context, request, data)
        self._exchange = exchange
        self.context = context
        self.request = request
        self.over = False
        """Whether the final response has come."""

    def next(self) -> Flow[MessageStart]:
        """The next response; its data set, if it has one, is to be read to its end (`read_data`, `skip_data`).

        What is unread of the response before is read over. Raises as `Exchange.step` does; `LocalProtocolError` after
        the final one, and while another message is being read.
        """
        exchange, number = self._exchange, self.request.message_id
        if self.over:
            raise LocalProtocolError(f"{self.request.NAME} {number} is over: no response follows [PS3.7 9.1]")
        if exchange.unread and exchange.reading is not None:
            if isinstance(exchange.reading.command, Request):
                raise LocalProtocolError(
                    f"a response is waited for while {exchange.reading.command.NAME} is being read"
                )
            yield from skip_data(exchange)
        while True:
            event = yield from exchange.fresh()
            if event is None:
                continue
            if isinstance(event, MessageStart) and isinstance(event.command, Response):
                response = event.command
                if response.message_id_being_responded_to == number:
                    exchange.begin_reading(event)
                    if self.note(response):  # it may come before the request is whole, which still has to become so
                        yield from exchange.complete()
                    return event
            exchange.park(event)

    def note(self, response: Response) -> bool:
        """Take note of a response, which may have been received otherwise than by `next`; whether it is the last."""
        self.over = status.category(response.status) is not status.Category.PENDING
        return self.over

    def cancel(self) -> None:
        """Send a C-CANCEL, once the data set that is being sent is complete; the final response still comes."""
        command = CCancelRequest(message_id_being_responded_to=self.request.message_id)
        self._exchange.reply(MessageStart(context=self.context, command=command))


def ask(exchange: Exchange, context: int, request: AnyRequest, data: Data | None = None) -> Flow[Response]:
    """Send a request, with its data set if it has one, and wait for its final response, whatever the status.

    Data sets of responses are read over. Raises `AssociationAborted`, `AssociationReleased`; `LocalProtocolError`, and
    nothing was sent.
    """
    operation = Operation(exchange, context, request, data)
    while True:
        start = yield from operation.next()
        if start.has_data:
            yield from skip_data(exchange)
        if operation.over and isinstance(start.command, Response):
            return start.command


def inquire(exchange: Exchange, context: int, request: AnyRequest, data: Data | None = None) -> Flow[Answer]:
    """As `ask`, with the data set of the final response.

    Raises `DataSetTooLong` beyond `Limits.attributes`, and the association is as good as before.
    """
    operation = Operation(exchange, context, request, data)
    while True:
        start = yield from operation.next()
        if operation.over:
            return (yield from read_answer(exchange, start))
        if start.has_data:
            yield from skip_data(exchange)


def read_answer(exchange: Exchange, start: MessageStart) -> Flow[Answer]:
    """The response that `start` is, with its data set. Raises `DataSetTooLong`; TypeError for what is no response."""
    if not isinstance(start.command, Response):
        raise TypeError(f"{start.command.NAME} is no response")
    data = (yield from read_data(exchange)) if start.has_data else None
    syntax = exchange.association.contexts[start.context].transfer_syntax
    return Answer(response=start.command, data=data, transfer_syntax=syntax)


# -- provider side -------------------------------------------------------------------------------------------------


def next_request(exchange: Exchange) -> Flow[MessageStart | None]:
    """The next request of the peer, or None once it has released the association.

    What is left of a data set that nobody read is read over; a C-CANCEL is noted. A peer that does not take the answers
    is not heard until it does (`Limits.queued`). Raises `AssociationAborted` and `AssociationIdle`, once the connection
    may be closed.
    """
    association = exchange.association
    while True:
        while exchange.burdened:
            yield Need.DRAIN
        try:
            event = yield from exchange.step()
        except AssociationIdle:
            raise
        except AssociationReleased:
            return None
        except AssociationAborted:
            yield from finish(association)
            raise
        request = _request_of(exchange, event)
        if request is not None:
            return request


def request_here(exchange: Exchange) -> MessageStart | None:
    """As `next_request`, of what was received before; None: a flow tells (`Exchange.here`)."""
    if exchange.burdened:
        return None
    while (event := exchange.here()) is not None:
        request = _request_of(exchange, event)
        if request is not None:
            return request
    return None


def _request_of(exchange: Exchange, event: Incoming | None) -> MessageStart | None:
    """The event, if it is a request that is to be answered; a C-CANCEL is noted."""
    if isinstance(event, MessageStart):
        if isinstance(event.command, Request):
            return event
        if isinstance(event.command, CCancelRequest):
            exchange.note_cancel(event.command)
    return None


def respond(exchange: Exchange, context: int, response: AnyResponse, data: Data | None = None) -> Flow[None]:
    """Send a response, and wait until little of it waits to be sent; of several, each leaves as it is made.

    Meanwhile what the peer says is noted or kept (`Exchange.look`), a response to an operation of one's own too:
    whoever answers while an `Operation` is under way does so by `Exchange.reply`. Raises as `Exchange.step` does.
    """
    yield from _hand_on(exchange)
    exchange.send(context, response, data)
    yield from _hand_on(exchange)
    if status.category(response.status) is status.Category.PENDING:
        yield Need.TURN
        yield from exchange.look()


def _hand_on(exchange: Exchange) -> Flow[None]:
    """Until the data set that is being sent is handed on, and little is queued."""
    while exchange.sending or exchange.burdened:
        yield Need.DRAIN
        yield from exchange.look()
        exchange.pump()


def response_to(start: MessageStart, code: int, comment: str | None = None) -> MessageStart:
    """The response to a received request, with this status and, for people, at most 64 characters of comment.

    Raises TypeError for what is no request.
    """
    command = start.command
    if not isinstance(command, AnyRequest):
        raise TypeError(f"{command.NAME} is no request")
    return MessageStart(context=start.context, command=dimse.response_to(command, code, comment))


# -- data sets that are received -----------------------------------------------------------------------------------


class DataSetTooLong(ProtocolError):
    """A data set that was to be held whole is longer than allowed. It was read over; the association is as it was."""

    def __init__(self, limit: str, allowed: int, seen: int) -> None:
        super().__init__(limit, allowed, seen)
        self.limit, self.allowed, self.seen = limit, allowed, seen

    def __str__(self) -> str:
        return f"data set of {self.seen} bytes (limit {self.limit}: {self.allowed} allowed)"


class NoRoom(DataSetTooLong):
    """All associations together hold as much as they may: there is no room for this data set now."""

    def __str__(self) -> str:
        return "no room now for whole data sets (server limit: collected)"


def next_piece(exchange: Exchange) -> Flow[MessageData]:
    """The next piece of the data set that is being received; `last` tells the end.

    Raises as `Exchange.step` does; `LocalProtocolError` if no data set is being received.
    """
    if not exchange.unread:
        raise LocalProtocolError("a data set is read where none is being received [PS3.7 6.3]")
    while not isinstance(event := (yield from exchange.step()), MessageData):
        pass
    return event


def read_data(exchange: Exchange, limit: str = "attributes", holder: Holder | None = None) -> Flow[bytes]:
    """The whole data set that is being received, of as many bytes as the field `limit` of `Limits` allows.

    `holder`: who is asked whether there is room for it. Raises `DataSetTooLong` at its end, `NoRoom` where the holder
    has none, and what `next_piece` raises.
    """
    allowed: int = getattr(exchange.association.terms.limits, limit)
    whole = bytearray()
    seen = 0
    room = True
    while exchange.unread:
        piece = yield from next_piece(exchange)
        size = len(piece.data)
        seen += size
        room = room and seen <= allowed and (holder is None or holder.hold(size))
        if room:
            whole += piece.data
        elif whole:
            whole.clear()
            if holder is not None:
                holder.let_go()
    if seen > allowed:
        raise DataSetTooLong(limit, allowed, seen)
    if not room:
        raise NoRoom(limit, allowed, seen)
    return bytes(whole)


def skip_data(exchange: Exchange) -> Flow[None]:
    """Read over what is left of the data set that is being received, if one is."""
    while exchange.unread:
        yield from next_piece(exchange)

"""Messages both ways over one established association, sent and received at the same time.

`Exchange` holds what a conversation has to remember between two events: the data set that is being sent, answers that
wait for its end, requests of the peer that came while the local side waited for something else. The flows of this
package and of `services` are written on it. `step` is the one place where they wait, so a side that sends also reads,
and two sides that send a lot to each other never deadlock.

Knows: messages, backpressure, C-CANCEL. Must not know: what a service is for, how bytes travel.

Invariants: one data set is on the wire at a time in each direction; of the peer's requests that have to wait, no more
than `Limits.parked` bytes are held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, Protocol

from .. import dimse
from ..association import Association
from ..dimse.codec import encode_command
from ..dimse.events import Event, MessageData, MessageStart
from ..dimse.types import AnyRequest, CCancelRequest, Command, DimseRequest, DimseResponse
from ..errors import LocalProtocolError
from ..registry import status
from ..upper_layer.events import Closed, Deviation, Idle, ProviderAbort
from ..upper_layer.machine import State
from ..upper_layer.pdu_types import Abort, AssociateRequest, ReleaseRequest, ReleaseResponse
from ..wire import Buffer
from .feed import STARVED, Data, Lack, Starved
from .flows import (
    AssociationAborted,
    AssociationError,
    AssociationIdle,
    AssociationReleased,
    Flow,
    Need,
    answer_release,
    await_release,
)
from .parking import MessageEvent, Parking

ENDED: Final = Lack.ENDED
_ENDS = (Abort, ProviderAbort, Closed)
_WHOLE = (bytes, bytearray, memoryview)
_TURN = 512
"""Events that a flow takes before others get their turn, though it need not wait: a peer may send one byte a PDV, and
what lies in one receive are then 75,000 of them."""


class Holder(Protocol):
    """Counts the bytes that several associations hold of data sets that are read whole and may be large."""

    def hold(self, size: int) -> bool:
        """Returns False if there is no room for `size` more bytes."""

    def let_go(self) -> None:
        """Releases everything that was held."""


class _Over(Iterator[Need]):
    """The end of an association, which has been raised. A caller that was to hear of it may have had another error
    instead, for example because the data set that came before it is refused."""

    __slots__ = ("_error", "_values")

    def __init__(self, error: type[AssociationError], *values: Any) -> None:
        self._error, self._values = error, values

    def __next__(self) -> Need:
        raise self._error(*self._values)


class Exchange:
    """The messages of one established association. One flow at a time may run on it."""

    __slots__ = (
        "_cancelled", "_context", "_ending", "_most", "_parking", "_pieces", "_replies", "_taken", "_waiting",
        "association", "holder", "reading", "unread",
    )  # fmt: skip

    def __init__(self, association: Association) -> None:
        self.association = association
        self.holder: Holder | None = None
        """Asked before an attribute list that may be as long as an object is held; None if nothing has to be asked."""
        self._most = association.terms.limits.queued
        self._pieces: Iterator[Buffer | Starved] | None = None  # the rest of the data set that is being sent
        self._waiting: Buffer | Starved = STARVED  # its next piece, until it is known if that is the last
        self._context = 0
        self._replies: deque[MessageStart] = deque()  # answers that wait for the end of that data set, or for room
        self._parking = Parking(association.terms.limits.parked)  # messages received while waiting for something else
        self._taken = 0  # events without a wait since others had their turn
        self._ending: Iterator[Need] | None = None  # what is left to do before the end of the association is raised
        self._cancelled: set[int] = set()
        self.unread = False
        """True while the data set of the message that `step` returned last has not come to its end."""
        self.reading: MessageStart | None = None
        """The message that `step` returned last, while its data set is unread."""

    @property
    def request(self) -> AssociateRequest:
        """The A-ASSOCIATE-RQ that was sent or received. Raises `LocalProtocolError` before."""
        request = self.association.terms.request
        if request is None:
            raise LocalProtocolError("no association was asked for yet [PS3.8 7.1]")
        return request

    @property
    def sending(self) -> bool:
        """True while a data set is being sent and the association has not received all of it."""
        return self._pieces is not None

    @property
    def room(self) -> int:
        """The number of requests that may be sent before an outstanding one is answered [PS3.7 D.3.3.3]."""
        association = self.association
        agreement = association.terms.agreement
        window = agreement.invoke if agreement is not None else 0
        return (window or association.terms.limits.outstanding) - association.operations.outstanding

    @property
    def at_rest(self) -> bool:
        """True if nothing is under way: no request outstanding or owed an answer, nothing being sent, nothing kept."""
        association = self.association
        busy = (
            association.operations.outstanding
            or association.operations.owed
            or association.operations.sending
            or self.sending
        )
        return not (busy or self.unread or self._replies or self._parking.messages or self._parking.pieces)

    def cancelled(self, message_id: int) -> bool:
        """Returns True if the peer sent a C-CANCEL for this request, which has no final response yet."""
        return message_id in self._cancelled

    # -- out -----------------------------------------------------------------------------------------------------

    def send(self, context: int, command: Command, data: Data | None = None) -> None:
        """Send a message, and as much of its data set as is taken now; `step` sends the rest.

        `data`: each piece is kept until it is sent. An exception that it raises leaves the association within a
        message: abort is then all that can be done. Raises `LocalProtocolError`, and nothing was sent.
        """
        self.begin(MessageStart(context=context, command=command, has_data=data is not None), data)

    def begin(self, start: MessageStart, data: Data | None = None) -> None:
        """Like `send`, for a `MessageStart`, which says if a data set follows: pass `data` exactly in that case."""
        association, context, command = self.association, start.context, start.command
        if start.has_data == (data is None):
            said = "a data set" if start.has_data else "no data set"
            raise LocalProtocolError(f"{command.NAME} that says {said} follows, given the contrary [PS3.7 E.1]")
        if isinstance(data, str):
            raise TypeError("a data set that is a str, where bytes or pieces of bytes belong")
        association.send(start)
        if (
            self._cancelled
            and isinstance(command, DimseResponse)
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
        """Queues more of the data set until enough is queued. Returns True if the data set is complete."""
        association, context, pieces, most = self.association, self._context, self._pieces, self._most
        if pieces is None:
            return True
        self._pieces = None  # should the source raise, nothing more can be sent
        while association.bytes_queued < most:
            piece = next(pieces, ENDED)
            if piece is STARVED:
                break
            waiting, self._waiting = self._waiting, STARVED if piece is ENDED else piece
            if piece is ENDED:
                data = b"" if waiting is STARVED else waiting
                association.send(MessageData(context=context, data=data, last=True))
                self._reply_all()
                return True
            if waiting is not STARVED:
                association.send(MessageData(context=context, data=waiting, last=False))
        self._pieces = pieces
        return False

    @property
    def over_high_water(self) -> bool:
        """True if the queue is at its limit: send no more for now (`Limits.queued`)."""
        return self.association.bytes_queued >= self._most

    def _reply_all(self) -> None:
        while self._replies:
            start = self._replies.popleft()
            self.send(start.context, start.command)

    # -- in ------------------------------------------------------------------------------------------------------

    def step(self, *, parked: bool = True) -> Flow[MessageEvent | None]:
        """The next message, or the next piece of one; None once the data set that was being sent is handed on.

        `parked`: what was kept for later comes first; if False, it stays where it is.
        Raises `AssociationAborted` and `AssociationReleased` at the end of the association, and again if it is asked
        once more; an A-RELEASE-RQ has been answered then.
        """
        while isinstance(step := self.poll(parked=parked), Need):
            yield step
        return step

    def poll(self, *, parked: bool = True) -> MessageEvent | Need | None:
        """Like `step`, without a flow: what `step` would return, or the need that it would wait for.

        A need may be left unmet: it is returned again if there is still nothing else. Raises as `step` does.
        """
        parking = self._parking
        if parking.pieces:
            event: MessageEvent | Need | None = parking.take_piece()
        elif parked and parking.messages and not self.unread:
            event = parking.take_message()
        else:
            event = poll_fresh(self)
        if isinstance(event, MessageData):
            self.unread = not event.last
        elif isinstance(event, MessageStart):
            begin_reading(self, event)
        return event

    def _heed(self, event: Event) -> Need | None:
        """If `event` is the end of the association: the first need until it can be raised. Raises it if there is none.

        Afterwards `poll_fresh` returns the other needs, and raises it."""
        ending = self._end_by(event)
        need = next(ending, None)
        self._ending = None if need is None else ending
        return need

    def _end_by(self, event: Event) -> Flow[None]:
        """Raises if `event` is the end of the association: now, and whenever the next message is asked for."""
        if isinstance(event, _ENDS):
            self._pieces = None
            self._ending = _Over(AssociationAborted, event)
            raise AssociationAborted(event)
        if isinstance(event, ReleaseRequest):
            while self._pieces is not None:  # the peer still takes what was begun.  # PS3.8 table 9-10, Sta7
                self.pump()
                yield Need.DRAIN
            yield from answer_release(self.association)
            self._ending = _Over(AssociationReleased)
            raise AssociationReleased
        if isinstance(event, Idle):
            yield from await_release(self.association)
            self._ending = _Over(AssociationIdle, event.error)
            raise AssociationIdle(event.error)

    # -- what has to wait ----------------------------------------------------------------------------------------

    def _refuse(self, dropped: MessageStart) -> None:
        """A peer that ignores refusals soon exceeds its operations window."""
        refusal = response_to(dropped, status.RESOURCE_LIMITATION)
        if self.over_high_water:
            self._replies.append(refusal)
        else:
            self.reply(refusal)


def response_to(start: MessageStart, code: int, comment: str | None = None) -> MessageStart:
    """The response to a received request, with this status and a comment of at most 64 characters.

    Raises TypeError if `start` is not a request.
    """
    command = start.command
    if not isinstance(command, AnyRequest):
        raise TypeError(f"{command.NAME} is not a request")
    return MessageStart(context=start.context, command=dimse.response_to(command, code, comment))


# -- for services and other flows on one exchange ------------------------------------------------------------------


def fresh(exchange: Exchange) -> Flow[MessageEvent | None]:
    """Like `step`, without what was parked; whose it is, the caller decides (`begin_reading`, `park`)."""
    while isinstance(step := poll_fresh(exchange), Need):
        yield step
    return step


def poll_fresh(exchange: Exchange) -> MessageEvent | Need | None:
    """Like `fresh`, without a flow (`poll`)."""
    if exchange._ending is not None:
        return next(exchange._ending)  # raises at its end
    exchange._taken += 1
    if exchange._taken >= _TURN:
        exchange._taken = 0
        return Need.TURN
    while True:
        if exchange._pieces is not None:
            if exchange.pump():
                return None
        elif exchange._replies and not exchange.over_high_water:
            exchange._reply_all()
        event = exchange.association.next_event()
        if isinstance(event, MessageEvent):
            if exchange._parking.dropping is None:
                return event
            park(exchange, event)  # the rest of a message that is refused
        elif event is None:
            exchange._taken = 0
            return Need.INPUT if exchange._pieces is None and not exchange._replies else Need.DRAIN
        elif (first := exchange._heed(event)) is not None:
            return first


def begin_reading(exchange: Exchange, start: MessageStart) -> None:
    """`start` is the message whose data set is read now, if it has one."""
    exchange.reading = start
    exchange.unread = start.has_data


def park(exchange: Exchange, event: MessageEvent) -> None:
    """Keep an event for those who ask for it later; note a C-CANCEL. A request that is too large is refused with
    status 0x0213."""
    if _is_cancel(exchange, event):
        return
    refused = exchange._parking.park(event)
    if refused is not None and isinstance(refused.command, DimseRequest):
        exchange._refuse(refused)


def _is_cancel(exchange: Exchange, event: MessageEvent) -> bool:
    """Note a C-CANCEL. Returns False for another event."""
    if not isinstance(event, MessageStart) or not isinstance(event.command, CCancelRequest):
        return False
    note_cancel(exchange, event.command)
    return True


def absorb_pending(exchange: Exchange) -> Flow[None]:
    """Keeps the received messages, as a provider does between two answers: a C-CANCEL, the peer's next requests.

    Nothing is refused: if too much would have to be held, the peer has to wait. Raises as `step` does.
    """
    parking = exchange._parking
    while not parking.full:
        event = exchange.association.next_event()
        if event is None:
            return
        if isinstance(event, MessageEvent):
            if parking.dropping is not None:
                park(exchange, event)
            elif not _is_cancel(exchange, event):
                parking.keep(event)
        elif (need := exchange._heed(event)) is not None:
            yield need
            yield from fresh(exchange)  # which raises


def read_end(exchange: Exchange) -> Flow[None]:
    """Raises the end of the association as `step` does, if it has come; the messages before it are dropped.

    Returns if everything received so far is read, and it was not the end.
    """
    while (step := exchange.poll()) is not Need.INPUT or exchange._ending is not None:
        if isinstance(step, Need):
            yield step


def complete(exchange: Exchange) -> Flow[None]:
    """Sends the rest of the data set that is being sent; messages received meanwhile are kept.

    If too much of the message that is being read would have to be held, the peer has to wait.
    """
    while exchange._pieces is not None:
        if exchange._parking.full:
            if not exchange.pump():
                yield Need.DRAIN
        elif (event := (yield from fresh(exchange))) is not None:
            park(exchange, event)


def note_cancel(exchange: Exchange, cancel: CCancelRequest) -> None:
    """Remember a C-CANCEL. One for a request that is not outstanding came too late: no fault [PS3.7 9.3.2.3]."""
    if exchange.association.operations.owes(cancel.message_id_being_responded_to):
        exchange._cancelled.add(cancel.message_id_being_responded_to)


def look_idle(exchange: Exchange) -> Flow[bool]:
    """Reads, without waiting, the events on an association at rest. Returns True if it can still be used.

    It cannot be used once the peer has released or aborted it, or is gone, nor when the peer has sent a message,
    because there is no one to answer it. An A-RELEASE-RQ is answered; the caller then only has to close.
    """
    yield Need.TURN
    event = exchange.association.next_event()
    while isinstance(event, Deviation):
        event = exchange.association.next_event()
    if isinstance(event, ReleaseRequest):
        exchange.association.send(ReleaseResponse())
    return event is None and exchange.association.state is State.Sta6 and exchange.at_rest

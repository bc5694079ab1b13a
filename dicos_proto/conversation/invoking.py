"""Operations of the local side: a request is sent, and its responses are awaited.

Knows: which response belongs to a request, which one is final. Must not know: what a service is for.
"""

from __future__ import annotations

from .. import dimse
from ..association import Association
from ..dimse.events import MessageStart
from ..dimse.types import AnyRequest, CCancelRequest, DimseRequest, DimseResponse
from ..errors import LocalProtocolError
from ..registry import status
from ..upper_layer.machine import State
from .exchange import Exchange, begin_reading, complete, fresh, park
from .feed import Data
from .flows import Flow
from .reading import Answer, read_answer, skip_data


def check_free(association: Association, what: str) -> None:
    """Raises `LocalProtocolError`, which says what to do first, if operations of the local side are outstanding."""
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


class UserOperation:
    """One request of the local side, and its responses as they arrive.

    Creating one sends the request, and as much of its data set as can be sent at once. `next` returns the responses one
    by one; other messages of the peer are kept for `next_request`, within `Limits.parked`. It is for one operation at a
    time: to pipeline, use `Exchange.send` and `Exchange.step`.
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
        """True once the final response has come."""

    def next(self) -> Flow[MessageStart]:
        """Returns the next response; if it has a data set, read it to its end (`read_data`, `skip_data`).

        The unread rest of the previous response's data set is skipped. Raises as `Exchange.step` does, and
        `LocalProtocolError` after the final response and while another message is being read.
        """
        exchange, number = self._exchange, self.request.message_id
        if self.over:
            raise LocalProtocolError(f"{self.request.NAME} {number} is over: no response follows [PS3.7 9.1]")
        if exchange.unread and exchange.reading is not None:
            if isinstance(exchange.reading.command, DimseRequest):
                raise LocalProtocolError(
                    f"a response is waited for while {exchange.reading.command.NAME} is being read"
                )
            yield from skip_data(exchange)
        while True:
            event = yield from fresh(exchange)
            if event is None:
                continue
            if isinstance(event, MessageStart) and isinstance(event.command, DimseResponse):
                response = event.command
                if response.message_id_being_responded_to == number:
                    begin_reading(exchange, event)
                    if self.note(response):  # it may arrive before the request is sent, which is then completed
                        yield from complete(exchange)
                    return event
            park(exchange, event)

    def note(self, response: DimseResponse) -> bool:
        """Note a response, which need not have come from `next`. Returns True if it is the last."""
        self.over = status.category(response.status) is not status.Category.PENDING
        return self.over

    def cancel(self) -> None:
        """Send a C-CANCEL, once the data set that is being sent is complete; the final response still comes."""
        command = CCancelRequest(message_id_being_responded_to=self.request.message_id)
        self._exchange.reply(MessageStart(context=self.context, command=command))


def ask(exchange: Exchange, context: int, request: AnyRequest, data: Data | None = None) -> Flow[DimseResponse]:
    """Send a request, with its data set if it has one, and wait for its final response, whatever the status.

    Data sets of responses are skipped. Raises `AssociationAborted`, `AssociationReleased`; `LocalProtocolError`, and
    nothing was sent.
    """
    operation = UserOperation(exchange, context, request, data)
    while True:
        start = yield from operation.next()
        if start.has_data:
            yield from skip_data(exchange)
        if operation.over and isinstance(start.command, DimseResponse):
            return start.command


def inquire(exchange: Exchange, context: int, request: AnyRequest, data: Data | None = None) -> Flow[Answer]:
    """Like `ask`, and returns the data set of the final response too.

    Raises `DataSetTooLong` beyond `Limits.attributes`; the association is as before then.
    """
    operation = UserOperation(exchange, context, request, data)
    while True:
        start = yield from operation.next()
        if operation.over:
            return (yield from read_answer(exchange, start))
        if start.has_data:
            yield from skip_data(exchange)

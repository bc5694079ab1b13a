"""Operations of the peer: its requests are awaited, and responses are sent.

Knows: requests, C-CANCEL, backpressure. Must not know: what a service is for.
"""

from __future__ import annotations

from ..dimse.events import MessageStart
from ..dimse.types import AnyResponse, CCancelRequest, DimseRequest
from ..registry import status
from .exchange import Exchange
from .feed import Data
from .flows import AssociationAborted, AssociationIdle, AssociationReleased, Flow, Need, finish
from .parking import MessageEvent


def next_request(exchange: Exchange) -> Flow[MessageStart | None]:
    """The next request of the peer, or None once it has released the association.

    The unread rest of a data set is skipped; a C-CANCEL is noted. Nothing is read from a peer that does not take the
    answers (`Limits.queued`). Raises `AssociationAborted` and `AssociationIdle`, once the connection may be closed.
    """
    association = exchange.association
    while True:
        while exchange.over_high_water:
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
    """Like `next_request`, for messages that have been received already. If it returns None, run `next_request`
    (`Exchange.here`)."""
    if exchange.over_high_water:
        return None
    while (event := exchange.here()) is not None:
        request = _request_of(exchange, event)
        if request is not None:
            return request
    return None


def _request_of(exchange: Exchange, event: MessageEvent | None) -> MessageStart | None:
    """Returns the event if it is a request to answer; notes a C-CANCEL."""
    if isinstance(event, MessageStart):
        if isinstance(event.command, DimseRequest):
            return event
        if isinstance(event.command, CCancelRequest):
            exchange.note_cancel(event.command)
    return None


def respond(exchange: Exchange, context: int, response: AnyResponse, data: Data | None = None) -> Flow[None]:
    """Send a response, and wait until the send queue is below `Limits.queued`, so that responses leave one by one.

    Meanwhile what the peer says is noted or kept (`Exchange.absorb_pending`), responses to operations of the local side
    included: to answer while a `UserOperation` is under way, use `Exchange.reply`. Raises as `Exchange.step` does.
    """
    yield from _hand_on(exchange)
    exchange.send(context, response, data)
    yield from _hand_on(exchange)
    if status.category(response.status) is status.Category.PENDING:
        yield Need.TURN
        yield from exchange.absorb_pending()


def _hand_on(exchange: Exchange) -> Flow[None]:
    """Wait until the data set that is being sent is handed on, and the send queue is below `Limits.queued`."""
    while exchange.sending or exchange.over_high_water:
        yield Need.DRAIN
        yield from exchange.absorb_pending()
        exchange.pump()

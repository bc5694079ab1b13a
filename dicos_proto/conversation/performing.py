"""Operations of the peer: its requests are awaited, and responses are sent.

Knows: requests, C-CANCEL, backpressure. Must not know: what a service is for.
"""

from __future__ import annotations

from ..dimse.events import MessageStart
from ..dimse.types import AnyResponse, CCancelRequest, DimseRequest
from ..registry import status
from .exchange import Exchange, absorb_pending, note_cancel
from .feed import Data
from .flows import AssociationAborted, AssociationIdle, AssociationReleased, Flow, Need, Stream, finish, first


def next_request(exchange: Exchange) -> Flow[MessageStart | None]:
    """The next request of the peer, or None once it has released the association.

    The unread rest of a data set is skipped; a C-CANCEL is noted. Nothing is read from a peer that does not take the
    answers (`Limits.queued`). Raises `AssociationAborted` and `AssociationIdle`, once the connection may be closed.
    """
    return (yield from first(requests(exchange)))


def requests(exchange: Exchange) -> Stream[MessageStart]:
    """The requests of the peer, one after the other, until it has released the association.

    They come, and it raises, as by `next_request`."""
    try:
        while True:
            while exchange.over_high_water:
                yield Need.DRAIN
            step = exchange.poll()
            if isinstance(step, Need):
                yield step
            elif isinstance(step, MessageStart):
                if isinstance(step.command, DimseRequest):
                    yield step
                elif isinstance(step.command, CCancelRequest):
                    note_cancel(exchange, step.command)
    except AssociationIdle:
        raise
    except AssociationReleased:
        return
    except AssociationAborted:
        yield from finish(exchange.association)
        raise


def respond(exchange: Exchange, context: int, response: AnyResponse, data: Data | None = None) -> Flow[None]:
    """Send a response, and wait until the send queue is below `Limits.queued`, so that responses leave one by one.

    Meanwhile what the peer says is noted or kept (`absorb_pending`), responses to operations of the local side
    included: to answer while a `UserOperation` is under way, use `Exchange.reply`. Raises as `Exchange.step` does.
    """
    yield from _hand_on(exchange)
    exchange.send(context, response, data)
    yield from _hand_on(exchange)
    if status.category(response.status) is status.Category.PENDING:
        yield Need.TURN
        yield from absorb_pending(exchange)


def _hand_on(exchange: Exchange) -> Flow[None]:
    """Wait until the data set that is being sent is handed on, and the send queue is below `Limits.queued`."""
    while exchange.sending or exchange.over_high_water:
        yield Need.DRAIN
        yield from absorb_pending(exchange)
        exchange.pump()

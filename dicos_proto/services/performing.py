"""The provider side of one operation of any service: the request, its data set, the responses [PS3.7 8, 9, 10].

Knows: one request and the responses to it. Must not know: which service it belongs to, how bytes travel.
Invariants: an operation has exactly one final response, and nothing is sent for it after that.
"""

from __future__ import annotations

from .. import dimse
from ..association import judge_of
from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, Stream
from ..conversation.performing import respond
from ..conversation.reading import pieces, read_data, skip_data
from ..data.datasets import Attributes, Content, content
from ..dimse.events import MessageStart
from ..dimse.types import AnyRequest, AnyResponse, DimseRequest, NCreateRequest, NSetRequest, response_to
from ..errors import LocalProtocolError
from ..registry import uids
from ..registry.status import category
from ..registry.status_tables import Category
from ..upper_layer.agreement import PresentationContext
from ..wire import Buffer

_IMAGES = (uids.BASIC_GRAYSCALE_IMAGE_BOX, uids.BASIC_COLOR_IMAGE_BOX)
"""SOP classes whose attribute lists hold the pixels of a film; they may be as long as an object [PS3.4 H.4.3]."""
_PRINTS = (*_IMAGES, uids.BASIC_GRAYSCALE_PRINT_MANAGEMENT_META, uids.BASIC_COLOR_PRINT_MANAGEMENT_META)
"""Abstract syntaxes of the contexts on which they are sent. The SOP class of a request is not enough: it is only a
claim."""


class ProviderOperation:
    """One operation that the peer requested. `start`: the request, as `conversation.next_request` returned it."""

    __slots__ = ("_exchange", "answered", "context", "request", "start")

    def __init__(self, exchange: Exchange, start: MessageStart) -> None:
        """Raises TypeError if `start` is not a request."""
        if not isinstance(start.command, DimseRequest):
            raise TypeError(f"{start.command.NAME} is not a request")
        self._exchange = exchange
        self.start = start
        self.request: AnyRequest = start.command
        self.context: PresentationContext = exchange.association.contexts[start.context]
        self.answered = False
        """True if the final response was sent."""

    @property
    def cancelled(self) -> bool:
        """True if a C-CANCEL for it was received before its final response [PS3.4 C.4.1.3]."""
        return self._exchange.cancelled(self.request.message_id)

    @property
    def unread(self) -> bool:
        """True if this request's data set, not another's, is being read and has more to come."""
        return self._exchange.unread and self._exchange.reading is self.start

    def pieces(self) -> Stream[Buffer]:
        """The rest of the data set of the request, piece by piece as it arrives (`conversation.pieces`)."""
        return pieces(self._exchange, self.start)

    def receive(self) -> Flow[Attributes | None]:
        """Returns the data set of the request, None if it has none. The bytes are decoded when they are first used.

        The data set of an image to be printed may be as long as an object: memory for it is reserved
        (`Exchange.holder`) until the final response. Raises `DataSetTooLong`, `LocalProtocolError` if the data set was
        read already, and as `Exchange.step` does.
        """
        if not self.start.has_data:
            return None
        if not self.unread:
            raise LocalProtocolError(f"the data set of {self.request.NAME} {self.request.message_id} was read already")
        if (
            isinstance(self.request, NSetRequest | NCreateRequest)
            and self.context.abstract_syntax in _PRINTS
            and dimse.sop_class_of(self.request) in _IMAGES
        ):
            data = yield from read_data(self._exchange, "collected", self._exchange.holder)
        else:
            data = yield from read_data(self._exchange)
        return Attributes(data, self.context.transfer_syntax, judge_of(self._exchange.association))

    def answer(self, response: AnyResponse, given: Content | None = None) -> Flow[None]:
        """Sends a response that the caller has made. The unread rest of the request's data set is skipped first.

        Raises `LocalProtocolError` after the final response, `DataSetError` before anything is sent, and as
        `Exchange.step` does.
        """
        if self.answered:
            raise LocalProtocolError(f"{self.request.NAME} {self.request.message_id} is answered already")
        data = None if given is None else content(given, self.context.transfer_syntax)
        if self.unread:
            yield from skip_data(self._exchange)
        yield from respond(self._exchange, self.context.id, response, data)
        self.answered = category(response.status) is not Category.PENDING
        if self.answered and self._exchange.holder is not None:
            self._exchange.holder.let_go()

    def finish(self, code: int, comment: str | None = None, given: Content | None = None) -> Flow[None]:
        """Sends the final response: a status, a comment of at most 64 characters, a data set if allowed."""
        yield from self.answer(response_to(self.request, code, comment), given)

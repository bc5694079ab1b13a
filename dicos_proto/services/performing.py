"""The provider's side of one operation, whatever its service: its request, its data set, its answers.  # PS3.7 8, 9, 10

Knows: one request and what was answered to it. Must not know: which service it belongs to, how bytes travel.
Invariants: exactly one final response; none after it.
"""

from __future__ import annotations

from .. import dimse
from ..association import judge_of
from ..conversation.exchange import Exchange
from ..conversation.flows import Flow
from ..conversation.performing import respond
from ..conversation.reading import read_data, skip_data
from ..data.datasets import Attributes, Content, content
from ..dimse.events import MessageStart
from ..dimse.types import AnyRequest, AnyResponse, NCreateRequest, NSetRequest, Request, response_to
from ..errors import LocalProtocolError
from ..registry import uids
from ..registry.status import Category, category
from ..upper_layer.agreement import PresentationContext

_IMAGES = (uids.BASIC_GRAYSCALE_IMAGE_BOX, uids.BASIC_COLOR_IMAGE_BOX)
"""SOP classes whose attribute lists hold a film's pixels: they may be as long as an object.  # PS3.4 H.4.3"""
_PRINTS = (*_IMAGES, uids.BASIC_GRAYSCALE_PRINT_MANAGEMENT_META, uids.BASIC_COLOR_PRINT_MANAGEMENT_META)
"""Presentation contexts on which they come: what a request names beside is only said."""


class Performing:
    """One operation that the peer asked for. `start`: its request, as `exchange.next_request` gave it."""

    __slots__ = ("_exchange", "answered", "context", "request", "start")

    def __init__(self, exchange: Exchange, start: MessageStart) -> None:
        """Raises TypeError for what is no request."""
        if not isinstance(start.command, Request):
            raise TypeError(f"{start.command.NAME} is no request")
        self._exchange = exchange
        self.start = start
        self.request: AnyRequest = start.command
        self.context: PresentationContext = exchange.association.contexts[start.context]
        self.answered = False
        """Whether the final response was sent."""

    @property
    def cancelled(self) -> bool:
        """Whether a C-CANCEL for it has come, asked before its final response.  # PS3.4 C.4.1.3"""
        return self._exchange.cancelled(self.request.message_id)

    @property
    def unread(self) -> bool:
        """Whether it is this request's data set that is being read, and not that of another."""
        return self._exchange.unread and self._exchange.reading is self.start

    def receive(self) -> Flow[Attributes | None]:
        """Its data set, None if it has none: bytes that are decoded when they are looked at.

        That of an image to be printed may be as long as an object, and is asked room for (`Exchange.holder`) until the
        request is answered finally. Raises `DataSetTooLong`, and as `Exchange.step` does; `LocalProtocolError` for one
        that was read already.
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
        """Send a response of one's own making; what is unread of the request's data set is read over first.

        Raises `LocalProtocolError` after the final one; `DataSetError`, and nothing was sent; as `Exchange.step`.
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
        """Send the final response: a status, at most 64 characters for people, a data set where it may have one."""
        yield from self.answer(response_to(self.request, code, comment), given)

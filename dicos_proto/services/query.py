"""Query: C-FIND for patient and study root, modality worklist, and other services [PS3.4 C.4.1, K, Q, U, V, X].

User side: `Find`. Provider side: `Finding`, which sends each match as soon as it is made and checks for a C-CANCEL
between two matches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..association import judge_of
from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, find_context
from ..conversation.invoking import UserOperation
from ..conversation.reading import read_answer
from ..data.datasets import Attributes, Content, content
from ..dimse.types import PRIORITY_MEDIUM, CFindRequest, DimseResponse, response_to
from ..registry import status
from .performing import ProviderOperation


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One match. `all_keys`: True if every optional key of the query was matched (0xFF00), False if not (0xFF01)."""

    attributes: Attributes
    all_keys: bool


class Find:
    """User side: one C-FIND. The constructor sends the request; `next` returns the matches, then None."""

    __slots__ = ("_exchange", "_operation", "response")

    def __init__(
        self, exchange: Exchange, sop_class_uid: str, identifier: Content, *, priority: int = PRIORITY_MEDIUM
    ) -> None:
        """`identifier`: a data set, or bytes in the transfer syntax of the context that `find_context` finds.

        Raises `ContextNotAccepted`, `DataSetError` or `LocalProtocolError` before anything is sent.
        """
        context = find_context(exchange.association, sop_class_uid)
        data = content(identifier, context.transfer_syntax)
        request = CFindRequest(
            message_id=exchange.association.operations.new_message_id(),
            affected_sop_class_uid=sop_class_uid,
            priority=priority,
        )
        self._exchange = exchange
        self._operation = UserOperation(exchange, context.id, request, data)
        self.response: DimseResponse | None = None
        """The final response, None until `next` returns None."""

    def next(self) -> Flow[Match | None]:
        """Returns the next match; None after the last. Raises `DataSetTooLong`, and as `Exchange.step` does."""
        if self.response is not None:
            return None
        answer = yield from read_answer(self._exchange, (yield from self._operation.next()))
        if answer.data is None or self._operation.over:
            self.response = answer.response
            return None
        return Match(
            attributes=Attributes(answer.data, answer.transfer_syntax, judge_of(self._exchange.association)),
            all_keys=answer.response.status == status.PENDING,
        )

    def cancel(self) -> None:
        """Asks the provider to stop. Matches may still arrive, and the final response always does [PS3.7 9.3.2.3]."""
        if self.response is None:
            self._operation.cancel()


class Finding(ProviderOperation):
    """Provider side: one C-FIND. `receive` returns the identifier, `match` sends a match, `end` the final response."""

    __slots__ = ()

    def match(self, identifier: Content, *, all_keys: bool = True) -> Flow[bool]:
        """Sends one match, with backpressure. Returns True if more are wanted, False after a C-CANCEL.

        Raises `DataSetError`, and as `Exchange.step` does.
        """
        code = status.PENDING if all_keys else status.PENDING_WARNING
        yield from self.answer(response_to(self.request, code), identifier)
        return not self.cancelled

    def end(self) -> Flow[int]:
        """Sends the final response, success or cancelled, and returns its status."""
        code = status.CANCEL if self.cancelled else status.SUCCESS
        yield from self.finish(code)
        return code

    def send_all(self, matches: Iterable[Content]) -> Flow[int]:
        """Sends `matches`, then the final response, and returns its status.

        Each match is made once the previous one is sent.
        """
        for identifier in matches:
            if not (yield from self.match(identifier)):
                break
        return (yield from self.end())

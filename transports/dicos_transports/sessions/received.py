"""A request of the peer, and how its data set is read: what the requests of every adapter have in common.

Knows: one request, flows that read it and answer it. Must not know: who runs them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dicos_proto import dimse
from dicos_proto.conversation.exchange import response_to
from dicos_proto.conversation.flows import Flow, Need, Stream
from dicos_proto.conversation.reading import pieces
from dicos_proto.data.checker import Checker
from dicos_proto.data.datasets import Content
from dicos_proto.data.elements import DataSetError
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import AnyRequest
from dicos_proto.registry import status, uids
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.services.serving import Refused
from dicos_proto.upper_layer.agreement import PresentationContext
from dicos_proto.wire import Buffer

from .base import BaseSession

__all__ = ["Described", "Echoed", "P", "Received", "answer_to", "answered_now", "pieces_of", "whole_of"]

S = TypeVar("S", bound=BaseSession, covariant=True)
P = TypeVar("P", bound=ProviderOperation)


class Described(Generic[S, P]):
    """The properties of a request of the peer. `performing`: the operation, for your own flows."""

    __slots__ = ()

    session: S
    performing: P

    @property
    def start(self) -> MessageStart:
        """The message, as received."""
        return self.performing.start

    @property
    def command(self) -> AnyRequest:
        """The command set of the request."""
        return self.performing.request

    @property
    def name(self) -> str:
        """`C-FIND-RQ`, for example."""
        return self.performing.request.NAME

    @property
    def context(self) -> PresentationContext:
        """The presentation context of the request."""
        return self.performing.context

    @property
    def answered(self) -> bool:
        """True once the final response was sent, by this object or by a flow of `services`."""
        return self.performing.answered or not self.session.association.operations.owes(self.command.message_id)

    @property
    def cancelled(self) -> bool:
        """True once a C-CANCEL for the request was received."""
        return self.performing.cancelled

    @property
    def sop_class_uid(self) -> str:
        """The SOP class of the request, affected or requested, as the peer sent it."""
        return dimse.sop_class_of(self.performing.request)

    @property
    def sop_instance_uid(self) -> str | None:
        """The SOP instance of the request, as the peer sent it: not safe in a path. None if the request names none."""
        return dimse.sop_instance_of(self.performing.request)

    @property
    def transfer_syntax(self) -> str:
        """The transfer syntax of the data set, if there is one."""
        return self.performing.context.transfer_syntax


@dataclass(eq=False, slots=True, kw_only=True)
class Received(Described[S, P], Generic[S, P]):
    """A request of the peer, and the flows that read it and answer it."""

    session: S = field(repr=False)
    performing: P = field(repr=False)
    _checker: Checker | None = field(default=None, init=False, repr=False)

    # -- whether it is a data set --------------------------------------------------------------------------------

    def check(self) -> None:
        """Checks the data set while it is read. Reading raises `Refused`, at the end of the data set at the latest, if
        an element is cut short, or if the bytes are not a data set or not the object that the command names. Data sets
        in an unknown transfer syntax are not checked."""
        self._checker = Checker.of(
            self.transfer_syntax, self.sop_class_uid, self.sop_instance_uid or "", self.session.association.terms.limits
        )

    # -- reading it ----------------------------------------------------------------------------------------------

    def _checked(self, found: Stream[Buffer]) -> Stream[Buffer]:
        for step in found:
            if self._checker is not None and not isinstance(step, Need):
                try:
                    self._checker.feed(step)
                except DataSetError as error:
                    self._checker = None
                    raise Refused(error.store_status, str(error)) from error
            yield step
            del step  # a view of a receive buffer must not be kept during a wait
        checker, self._checker = self._checker, None
        if checker is not None:
            try:
                checker.finish()
            except DataSetError as error:
                raise Refused(error.store_status, str(error)) from error

    def _whole(self) -> Flow[bytearray]:
        """Its whole data set in memory. Raises ValueError beyond the limit `collected`, its own or that of all
        associations of the server; `AssociationError`.

        It counts for the server until the request is answered, the next one comes, or the association ends.
        """
        found = bytearray()
        session = self.session
        allowed = session.association.terms.limits.collected
        session.holding.let_go()
        for step in pieces_of(self):
            if isinstance(step, Need):
                yield step
                continue
            size = len(step)
            fits = len(found) + size <= allowed
            if not (fits and session.holding.hold(size)):
                found.clear()  # it would else be held as long as what is raised
                session.holding.let_go()
                if fits:
                    raise ValueError("no room now for whole data sets (server limit: collected)")
                raise ValueError(f"data set of more than {allowed} bytes (limit: collected)")
            found += step
            del step  # a view of a receive buffer must not be kept during a wait
        return found

    def _answer(self, code: int, comment: str | None, given: Content | None) -> Flow[None]:
        """The final response, if `_answer_now` could not send it at once."""
        self.session.holding.let_go()
        if not self._answer_now(code, comment, given):
            yield from self.performing.finish(code, comment, given)

    def _answer_now(self, code: int, comment: str | None, given: Content | None) -> bool:
        """Sends the final response if that needs no wait. Returns True if it was sent."""
        performing, at = self.performing, self.session.exchange
        if given is not None or performing.unread or performing.answered or at.sending:
            return False
        if self.session.holding.held:
            self.session.holding.let_go()
        at.begin(response_to(performing.start, code, comment))
        performing.answered = True
        return True


class Echoed:
    """A C-ECHO with a SOP class other than Verification, or on the presentation context of another one, never gets
    success."""

    __slots__ = ()

    def _answer(self, code: int, comment: str | None, given: Content | None) -> Flow[None]:
        """Like `Received._answer`."""
        return super()._answer(self._code(code), comment, given)  # type: ignore[misc,no-any-return]

    def _answer_now(self, code: int, comment: str | None, given: Content | None) -> bool:
        """Like `Received._answer_now`."""
        return super()._answer_now(self._code(code), comment, given)  # type: ignore[misc,no-any-return]

    def _code(self, code: int) -> int:
        """Returns 0x0122, SOP class not supported, in place of success [PS3.7 9.1.5.1.4]."""
        named, context = self.sop_class_uid, self.context  # type: ignore[attr-defined]
        fits: bool = named == uids.VERIFICATION == context.abstract_syntax
        return code if fits or code != status.SUCCESS else status.SOP_CLASS_NOT_SUPPORTED


# -- for the rest of this package and its friends ------------------------------------------------------------------


def pieces_of(request: Received[Any, Any]) -> Stream[Buffer]:
    """The rest of its data set, piece by piece as it arrives, small ones joined.

    It is complete when the stream ends. Raises `AssociationError` if the association ends first; `Refused` (`check`).
    """
    found = pieces(request.session.exchange, request.performing.start)
    return found if request._checker is None else request._checked(found)


def whole_of(request: Received[Any, Any]) -> Flow[bytearray]:
    """Its whole data set in memory. Raises ValueError beyond the limit `collected`; `AssociationError`."""
    return request._whole()


def answer_to(
    request: Received[Any, Any], code: int, comment: str | None = None, given: Content | None = None
) -> Flow[None]:
    """Sends the final response."""
    return request._answer(code, comment, given)


def answered_now(request: Received[Any, Any], code: int, comment: str | None, given: Content | None) -> bool:
    """Sends the final response if that needs no wait. Returns True if it was sent."""
    return request._answer_now(code, comment, given)

"""A request of the peer, and how its data set is read: what the requests of every adapter have in common.

Knows: one request, flows that read it and answer it. Must not know: who runs them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from dicos_proto import dimse
from dicos_proto.conversation.exchange import response_to
from dicos_proto.conversation.flows import Flow
from dicos_proto.conversation.reading import next_piece
from dicos_proto.data.checker import Checker
from dicos_proto.data.datasets import Content
from dicos_proto.data.elements import DataSetError
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import AnyRequest
from dicos_proto.registry import status, uids
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.services.serving import Refused
from dicos_proto.upper_layer.agreement import PresentationContext
from dicos_proto.wire import Buffer

from .base import BaseSession

__all__ = ["SMALL", "TOGETHER", "Described", "Echoed", "P", "Received"]

TOGETHER: Final = 128
"""Pieces of a data set that are taken together: those of one receive, unless they are tiny."""
SMALL: Final = 1024
"""Bytes of a piece below which it is joined with its neighbours: a view and its place in a list take some 250 bytes,
and a peer may send one byte a piece."""

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
    checker: Checker | None = field(default=None, repr=False)
    """The checker of its data set (`check`)."""

    def piece(self) -> Flow[Buffer | None]:
        """The next piece of its data set that holds anything; None once it is complete.

        Raises `AssociationError` if the association ends first.
        """
        while self.performing.unread:
            event = yield from next_piece(self.session.exchange)
            if event.data:
                if self.checker is not None:
                    self.looked_at(event.data)
                return event.data
        self.complete()
        return None

    # -- whether it is a data set --------------------------------------------------------------------------------

    def check(self) -> None:
        """Checks the data set while it is read. Reading raises `Refused`, at the end of the data set at the latest, if
        an element is cut short, or if the bytes are not a data set or not the object that the command names. Data sets
        in an unknown transfer syntax are not checked."""
        self.checker = Checker.of(
            self.transfer_syntax, self.sop_class_uid, self.sop_instance_uid or "", self.session.association.terms.limits
        )

    def looked_at(self, data: Buffer) -> Buffer:
        """A piece of the data set, which the checker has seen now. Raises `Refused`."""
        if self.checker is not None:
            try:
                self.checker.feed(data)
            except DataSetError as error:
                self.checker = None
                raise Refused(error.store_status, str(error)) from error
        return data

    def complete(self) -> None:
        """Takes note of the end of the data set. Raises `Refused` if it is cut short or invalid."""
        checker, self.checker = self.checker, None
        if checker is not None:
            try:
                checker.finish()
            except DataSetError as error:
                raise Refused(error.store_status, str(error)) from error

    # -- reading it ----------------------------------------------------------------------------------------------

    def here(self) -> list[Buffer]:
        """Returns the received pieces of the data set that were not taken yet: at most `TOGETHER`, small ones joined.
        It never waits. If it returns none, use `pieces`, which notices the end of the data set."""
        performing, at = self.performing, self.session.exchange
        found: list[Buffer] = []
        joined: bytearray | None = None
        for _ in range(TOGETHER):
            if not performing.unread or not isinstance(event := at.here(), MessageData):
                break
            data = event.data
            if len(data) >= SMALL:
                found.append(data)
                joined = None
            elif joined is not None:
                joined += data
            elif data:
                joined = bytearray(data)
                found.append(joined)
        if self.checker is not None:
            for piece in found:
                self.looked_at(piece)
        return found

    def with_more(self, piece: Buffer) -> Buffer:
        """Returns this piece of the data set; if it is small, joined with those received after it. It never waits."""
        if len(piece) >= SMALL or not self.performing.unread:
            return piece
        performing, at = self.performing, self.session.exchange
        whole = bytearray(piece)
        for _ in range(TOGETHER):
            if not performing.unread or not isinstance(event := at.here(), MessageData):
                break
            whole += event.data
            if len(event.data) >= SMALL:
                break
        if self.checker is not None and len(whole) > len(piece):
            self.looked_at(whole[len(piece) :])
        return whole

    def pieces(self) -> Flow[list[Buffer]]:
        """Like `here`, but waits for one piece at least. Returns none once the data set is complete.

        Raises `AssociationError` if the association ends first.
        """
        found = self.here()
        if not found:
            piece = yield from self.piece()
            if piece is not None:
                found = [self.with_more(piece), *self.here()]
        return found

    def whole(self) -> Flow[bytearray]:
        """Its whole data set in memory. Raises ValueError beyond the limit `collected`, its own or that of all
        associations of the server; `AssociationError`.

        It counts for the server until the request is answered, the next one comes, or the association ends.
        """
        found = bytearray()
        session = self.session
        allowed = session.association.terms.limits.collected
        session.holding.let_go()
        while (piece := (yield from self.piece())) is not None:
            size = len(piece)
            fits = len(found) + size <= allowed
            if not (fits and session.holding.hold(size)):
                found.clear()  # it would else be held as long as what is raised
                session.holding.let_go()
                if fits:
                    raise ValueError("no room now for whole data sets (server limit: collected)")
                raise ValueError(f"data set of more than {allowed} bytes (limit: collected)")
            found += piece
            del piece  # while it waits for more, a view would keep a whole receive buffer
        return found

    def answer(self, code: int, comment: str | None, given: Content | None) -> Flow[None]:
        """The final response, if `answer_now` could not send it at once."""
        self.session.holding.let_go()
        if not self.answer_now(code, comment, given):
            yield from self.performing.finish(code, comment, given)

    def answer_now(self, code: int, comment: str | None, given: Content | None) -> bool:
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

    def answer(self, code: int, comment: str | None, given: Content | None) -> Flow[None]:
        """Like `Received.answer`."""
        return super().answer(self._code(code), comment, given)  # type: ignore[misc,no-any-return]

    def answer_now(self, code: int, comment: str | None, given: Content | None) -> bool:
        """Like `Received.answer_now`."""
        return super().answer_now(self._code(code), comment, given)  # type: ignore[misc,no-any-return]

    def _code(self, code: int) -> int:
        """Returns 0x0122, SOP class not supported, in place of success [PS3.7 9.1.5.1.4]."""
        named, context = self.sop_class_uid, self.context  # type: ignore[attr-defined]
        fits: bool = named == uids.VERIFICATION == context.abstract_syntax
        return code if fits or code != status.SUCCESS else status.SOP_CLASS_NOT_SUPPORTED

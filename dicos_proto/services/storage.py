"""Storage: composite objects brought to a provider.  # PS3.4 annex B

The provider's side is `exchange.next_request`, `exchange.next_piece` until `last`, then `exchange.response_to`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from ..association import bytes_unread, prepare
from ..conversation.exchange import Exchange
from ..conversation.feed import STARVED, Data, Feed, Starved
from ..conversation.flows import AssociationError, ContextNotAccepted, Flow, Need, find_context
from ..conversation.invoking import ask, check_free
from ..conversation.parking import Incoming
from ..dimse.events import MessageStart
from ..dimse.types import PRIORITY_MEDIUM, CStoreRequest, Response
from ..errors import LocalProtocolError, ProtocolError
from ..registry import status


def store(
    exchange: Exchange,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax: str,
    data: Data,
    *,
    priority: int = PRIORITY_MEDIUM,
    originator: tuple[str, int] | None = None,
) -> Flow[Response]:
    """User side: a C-STORE of the data set `data`, which is encoded in `transfer_syntax`, and its response.

    `data`: whole, or pieces of any size, taken as the connection takes them, so no data set is ever held whole.
    `originator`: AE title and message id of the C-MOVE that caused it. Raises `ContextNotAccepted`, and what `ask`
    raises.
    """
    context = find_context(exchange.association, sop_class_uid, (transfer_syntax,))
    aet, number = originator or (None, None)
    request = CStoreRequest(
        message_id=exchange.association.operations.new_message_id(),
        affected_sop_class_uid=sop_class_uid,
        affected_sop_instance_uid=sop_instance_uid,
        priority=priority,
        move_originator_aet=aet,
        move_originator_message_id=number,
    )
    return (yield from ask(exchange, context.id, request, data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A composite object to send: what it is, and its data set in `transfer_syntax`."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data: Data = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one instance: the provider's response, or why there is none.

    `problem`: no context for it, and it was not sent; or its association was lost, and whether the provider has it is
    not known.
    """

    instance: Instance
    response: Response | None = None
    problem: ContextNotAccepted | AssociationError | None = None

    @property
    def stored(self) -> bool:
        """Whether the provider has it: a success, or a warning."""
        return self.response is not None and status.category(self.response.status) in _GOOD


_GOOD = status.Category.SUCCESS, status.Category.WARNING

_Taken = tuple[Instance, int, MessageStart | ContextNotAccepted]
"""An instance that is to be sent next: its message id and its request, or why it cannot be sent."""


class StoreMany:
    """User side: C-STORE of one instance after the other, as many outstanding as the window allows.  # PS3.7 D.3.3.3

    `next` gives what became of each, in the order in which the provider answers, until None. `instances` is iterated
    when there is room for one more, so it may make them as it goes. It yields `STARVED` if it has none now, and is
    asked again by the next flow (`Supply`). With a window of 1 it is a plain sequence.
    """

    __slots__ = (
        "_ahead", "_contexts", "_exchange", "_instances", "_later", "_more", "_originator", "_outstanding", "_priority",
        "_taken", "_window",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        instances: Iterable[Instance | Starved],
        *,
        priority: int = PRIORITY_MEDIUM,
        originator: tuple[str, int] | None = None,
        ahead: bool = False,
    ) -> None:
        """`originator`: as for `store`. `ahead`: take the next instance while answers are waited for, although there is
        no room for it yet: files are read meanwhile. Not for a source that waits for instances to come: nobody would
        see the answers until one does. What the source raises then comes before these answers, which `next` still
        tells. Raises `LocalProtocolError` while another operation is under way."""
        check_free(exchange.association, "C-STOREs")
        if exchange.unread:
            raise LocalProtocolError("C-STOREs while a data set is being read; read it to its end")
        self._exchange = exchange
        self._instances: Iterator[Instance | Starved] = iter(instances)
        self._more = True
        self._later = False  # the source has none now
        self._ahead = ahead
        self._taken: _Taken | None = None  # ahead of time
        self._priority = priority
        self._originator = originator or (None, None)
        self._outstanding: dict[int, Instance] = {}
        self._window = exchange.room
        self._contexts: dict[tuple[str, str], int] = {}  # what was found for SOP class and transfer syntax

    def next(self) -> Flow[Outcome | None]:
        """What became of the instance that was decided next; None after the last.

        Raises as `Exchange.step` does, and what the source of the instances raises; `LocalProtocolError` while a
        request of the peer is being read.
        """
        exchange = self._exchange
        if exchange.unread:
            raise LocalProtocolError("responses to C-STOREs are waited for while a data set is being read")
        outstanding = self._outstanding
        self._later = False
        while True:
            if self._is_due():
                while self._more and not self._later and len(outstanding) < self._window and not exchange.sending:
                    refused = self._send()
                    if refused is not None:
                        return refused
            # An answer may come before its request is whole.
            if not outstanding and not exchange.sending and not self._later:
                return None
            if self._ahead and self._more and not self._later and self._taken is None and not exchange.sending:
                yield Need.TURN  # what was sent is on its way first
                if self._more:  # no more are wanted if it was stopped meanwhile
                    self._take_ahead()
                continue
            event = yield from exchange.fresh()
            if event is not None and (outcome := self._told_by(event)) is not None:
                return outcome

    def here(self) -> Outcome | None:
        """As `next`, of what was received before; None: `next` tells (`Exchange.here`)."""
        exchange = self._exchange
        while not ((self._more and self._is_due()) or exchange.unread):
            event = exchange.fresh_here()
            if event is None:
                return None
            if (outcome := self._told_by(event)) is not None:
                return outcome
        return None

    def _told_by(self, event: Incoming) -> Outcome | None:
        """What became of an instance, if this is what tells it; else it is kept for whoever asks for it."""
        if not (isinstance(event, MessageStart) and isinstance(event.command, Response)):
            self._exchange.park(event)
            return None
        response = event.command
        return Outcome(instance=self._outstanding.pop(response.message_id_being_responded_to), response=response)

    def _is_due(self) -> bool:
        """Whether the window is to be filled up now, as far as there are more. Answers that are here come first while
        the peer has half a window to do: so requests leave together."""
        outstanding = len(self._outstanding)
        return self._window - outstanding >= outstanding or not bytes_unread(self._exchange.association)

    def stop(self) -> None:
        """Send no more of them, one that was taken ahead included; `next` still tells what becomes of those that were
        sent. The source may call it, too."""
        self._more = False
        self._taken = None

    def _send(self) -> Outcome | None:
        """Send the next instance, if there is one; what became of it, if it cannot be sent."""
        taken, self._taken = self._taken or self._take(), None
        if taken is None:
            return None
        instance, number, start = taken
        if isinstance(start, ContextNotAccepted):
            return Outcome(instance=instance, problem=start)
        self._exchange.begin(start, instance.data)
        self._outstanding[number] = instance
        return None

    def _take_ahead(self) -> None:
        """Take the next instance, and encode its request. What cannot be encoded is told when its turn comes."""
        taken = self._take()
        if taken is not None and self._more:  # the source has not stopped it
            self._taken = taken
            if isinstance(start := taken[2], MessageStart):
                with suppress(LocalProtocolError):
                    prepare(self._exchange.association, start)

    def _take(self) -> _Taken | None:
        """The next instance, with the request for it; None after the last, and where there is none now."""
        instance = next(self._instances, None)
        if instance is None:
            self._more = False
            return None
        if instance is STARVED:
            self._later = True
            return None
        association = self._exchange.association
        kind = instance.sop_class_uid, instance.transfer_syntax
        context = self._contexts.get(kind)
        if context is None:
            try:
                context = self._contexts[kind] = find_context(association, kind[0], kind[1:]).id
            except ContextNotAccepted as problem:
                return instance, 0, problem
        number = association.operations.new_message_id()
        request = CStoreRequest(
            message_id=number,
            affected_sop_class_uid=instance.sop_class_uid,
            affected_sop_instance_uid=instance.sop_instance_uid,
            priority=self._priority,
            move_originator_aet=self._originator[0],
            move_originator_message_id=self._originator[1],
        )
        return instance, number, MessageStart(context=context, command=request, has_data=True)


class Supply:
    """Instances that are waited for elsewhere: a source for `StoreMany`, and a way to run it by turns.

    What is waited for is the next instance, or the next piece of one whose data set is a `Feed`. `turn` goes on until
    it needs either: `starved` says that it is an instance, `feed.starved` that it is a piece. In between nothing is
    received: whoever waits for long does not see that the peer has gone, nor what it answers.
    """

    __slots__ = ("_ended", "_next", "_source", "feed", "starved", "taken")

    def __init__(self, source: Iterable[Instance] | None = None) -> None:
        """`source`: has its instances at hand, and only pieces of them are waited for; None: `push` gives them."""
        self._source = None if source is None else iter(source)
        self._next: Instance | None = None
        self._ended = False
        self.starved = False
        """Whether an instance is wanted."""
        self.taken: Instance | None = None
        """The instance that was taken last."""
        self.feed: Feed | None = None
        """Its data set, if pieces of it are waited for."""

    def __iter__(self) -> Iterator[Instance | Starved]:
        return self

    def __next__(self) -> Instance | Starved:
        if self._source is not None:
            instance = next(self._source)
        elif self._next is not None:
            instance, self._next = self._next, None
        elif self._ended:
            raise StopIteration
        else:
            self.starved = True
            return STARVED
        self.taken = instance
        self.feed = instance.data if isinstance(instance.data, Feed) else None
        return instance

    def push(self, instance: Instance) -> None:
        """The next instance, when one is wanted."""
        self._next = instance
        self.starved = False

    def end(self) -> None:
        """There is no other instance."""
        self._ended = True
        self.starved = False

    @property
    def waits(self) -> bool:
        """Whether an instance or a piece is wanted before anything else can be done."""
        return self.starved or (self.feed is not None and self.feed.starved)

    def turn(self, stores: StoreMany) -> Flow[Outcome | None]:
        """As `StoreMany.next`, until something is wanted (`waits`), which is told by None too.

        Before an instance is waited for, what was sent goes on its way, and all that is here is told. If something was
        received meanwhile that tells nothing yet, some of it may be left to send: another turn does that.
        """
        flow, drained = stores.next(), False
        try:
            need = next(flow)
            while not self.waits or (self.starved and not drained):
                if self.starved:
                    need, drained = Need.DRAIN, True
                try:
                    yield need
                except ProtocolError as fault:  # of whoever interprets it
                    need = flow.throw(fault)
                else:
                    need = next(flow)
        except StopIteration as done:
            outcome: Outcome | None = done.value
            return outcome
        return None

"""Storage: composite objects sent to a provider [PS3.4 annex B].

For the provider side, use `conversation.next_request`, `conversation.next_piece` until `last`, then
`conversation.response_to`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from ..arguments import check_not
from ..association import bytes_unread, prepare
from ..conversation.exchange import Exchange, park, poll_fresh
from ..conversation.feed import STARVED, Data, Lack, PushSource, Starved
from ..conversation.flows import AssociationError, ContextNotAccepted, Flow, Need, Stream, find_context, first
from ..conversation.invoking import ask, check_free
from ..conversation.parking import MessageEvent
from ..dimse.events import MessageStart
from ..dimse.types import PRIORITY_MEDIUM, CStoreRequest, DimseResponse
from ..errors import LocalProtocolError
from ..fast_init import fast_init
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
) -> Flow[DimseResponse]:
    """User side: sends the data set `data`, encoded in `transfer_syntax`, by C-STORE and returns the response.

    `data`: the whole data set, or pieces of any size; a piece is taken when the connection has room for it, so the data
    set need never be in memory as a whole. `originator`: AE title and message id of the C-MOVE that caused the C-STORE.
    Raises `ContextNotAccepted`, and as `ask` does.
    """
    check_not(data, "store(data=...)", "bytes or pieces of bytes", Mapping)
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
    """A composite object to send: its SOP class and instance, and its data set in `transfer_syntax`."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data: Data = field(repr=False)


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one instance: the provider's response, or the reason why there is none.

    `problem`: `ContextNotAccepted` if there is no context for the instance, which was not sent; `AssociationError` if
    the association was lost, and it is unknown if the provider has the instance.
    """

    instance: Instance
    response: DimseResponse | None = None
    problem: ContextNotAccepted | AssociationError | None = None

    @property
    def stored(self) -> bool:
        """True if the provider has stored it: the status is success or a warning."""
        return self.response is not None and status.category(self.response.status) in _GOOD


_GOOD = status.Category.SUCCESS, status.Category.WARNING

_Taken = tuple[Instance, int, MessageStart | ContextNotAccepted]
"""The next instance to send, with its message id and its request, or with the reason why it cannot be sent."""


class StoreMany:
    """User side: sends instances by C-STORE, as many outstanding as the window allows [PS3.7 D.3.3.3].

    `next` returns the outcome of each, in the order in which the provider answers, then None. `instances` is advanced
    only when there is room for one more, so it may be a generator. It may yield `STARVED` if it has no instance now;
    then it is asked again after the next wait (`AwaitedInstances`). With a window of 1, each response is awaited before
    the next request.
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
        """Takes the instances to send; nothing is sent before `next`.

        `originator`: as for `store`. `ahead`: take the next instance while waiting for responses, before there is
        room for it, so that files are read in the meantime. Do not use it with a source that waits for instances: no
        response would be seen until one arrives. An error that the source raises is then raised before these responses,
        which `next` still returns. Raises `LocalProtocolError` while another operation is under way.
        """
        check_free(exchange.association, "C-STOREs")
        if exchange.unread:
            raise LocalProtocolError("C-STOREs while a data set is being read; read it to its end")
        self._exchange = exchange
        self._instances: Iterator[Instance | Starved] = iter(instances)
        self._more = True
        self._later = False  # the source has yielded STARVED
        self._ahead = ahead
        self._taken: _Taken | None = None  # the next instance, taken ahead of time
        self._priority = priority
        self._originator = originator or (None, None)
        self._outstanding: dict[int, Instance] = {}
        self._window = exchange.room
        self._contexts: dict[tuple[str, str], int] = {}  # (SOP class, transfer syntax) -> context id

    def next(self) -> Flow[Outcome | None]:
        """Returns the next outcome; None after the last.

        Raises as `Exchange.step` does, any error of the source of the instances, and `LocalProtocolError` while a
        request of the peer is being read.
        """
        return (yield from first(self.outcomes()))

    def outcomes(self) -> Stream[Outcome]:
        """The outcomes, one after the other. Requests may be queued when one is given: send them before a long wait.

        Raises as `next` does; then another stream continues where it was."""
        exchange, outstanding = self._exchange, self._outstanding
        self._later = False
        while True:
            if exchange.unread:
                raise LocalProtocolError("responses to C-STOREs awaited while a data set is being read")
            if self._is_due():
                while self._more and not self._later and len(outstanding) < self._window and not exchange.sending:
                    refused = self._send()
                    if refused is not None:
                        yield refused
            # A response may arrive before its request is completely sent.
            if not outstanding and not exchange.sending and not self._later:
                return
            if self._ahead and self._more and not self._later and self._taken is None and not exchange.sending:
                yield Need.TURN  # let the pending bytes be sent first
                if self._more:  # `stop` may have been called in the meantime
                    self._take_ahead()
                continue
            step = poll_fresh(exchange)
            if isinstance(step, Need):
                yield step
            elif step is not None and (outcome := self._told_by(step)) is not None:
                yield outcome
            else:
                continue
            self._later = False

    def _told_by(self, event: MessageEvent) -> Outcome | None:
        """Returns the outcome of an instance if `event` is its response; parks any other event for its receiver."""
        if not (isinstance(event, MessageStart) and isinstance(event.command, DimseResponse)):
            park(self._exchange, event)
            return None
        response = event.command
        number = response.message_id_being_responded_to
        instance = self._outstanding.pop(number, None)
        if instance is None:
            raise LocalProtocolError(f"C-STORE-RQ {number} was not sent by this: two at a time on one association")
        return Outcome(instance=instance, response=response)

    def _is_due(self) -> bool:
        """Returns True if the window is to be filled now. While more than half of it is outstanding, received responses
        are handled first, so that requests are sent together."""
        outstanding = len(self._outstanding)
        return self._window - outstanding >= outstanding or not bytes_unread(self._exchange.association)

    def stop(self) -> None:
        """Stops sending instances, including one that was taken ahead. `next` still returns the outcomes of those that
        were sent. The source may call it, too."""
        self._more = False
        self._taken = None

    def _send(self) -> Outcome | None:
        """Sends the next instance, if there is one. Returns its outcome if it cannot be sent, else None."""
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
        """Takes the next instance and encodes its request. An error of encoding is raised when the request is sent."""
        taken = self._take()
        if taken is not None and self._more:  # the source has not stopped it
            self._taken = taken
            if isinstance(start := taken[2], MessageStart):
                with suppress(LocalProtocolError):
                    prepare(self._exchange.association, start)

    def _take(self) -> _Taken | None:
        """Returns the next instance with its request; None after the last, or if there is none now."""
        instance = next(self._instances, Lack.ENDED)
        if instance is Lack.ENDED:
            self._more = False
            return None
        if instance is STARVED:
            self._later = True
            return None
        association = self._exchange.association
        try:
            kind = instance.sop_class_uid, instance.transfer_syntax
        except AttributeError:
            found = type(instance).__name__
            raise TypeError(f"a {found} among the instances to store, where an Instance belongs") from None
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


class AwaitedInstances:
    """A source for `StoreMany` whose instances are awaited outside of the stream.

    The caller awaits the next instance, or the next piece of one whose data set is a `PushSource`. `outcomes` yields
    `STARVED` when it needs one of them: `starved` is True if it needs an instance, `feed.starved` if it needs a piece.
    Nothing is received while the stream rests: a caller that waits for long notices neither responses nor that the peer
    is gone.
    """

    __slots__ = ("_ended", "_next", "_source", "feed", "starved", "taken")

    def __init__(self, source: Iterable[Instance] | None = None) -> None:
        """`source`: instances that are available at once, only their pieces are awaited; None: `push` supplies them."""
        self._source = None if source is None else iter(source)
        self._next: Instance | None = None
        self._ended = False
        self.starved = False
        """True if an instance is needed."""
        self.taken: Instance | None = None
        """The instance that was taken last."""
        self.feed: PushSource | None = None
        """The data set of that instance, if its pieces are awaited."""

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
        data = getattr(instance, "data", None)  # `StoreMany` refuses an object without it
        self.feed = data if isinstance(data, PushSource) else None
        return instance

    def push(self, instance: Instance) -> None:
        """Supplies the next instance, when `starved` is True."""
        self._next = instance
        self.starved = False

    def end(self) -> None:
        """Ends the source: there are no more instances."""
        self._ended = True
        self.starved = False

    @property
    def waits(self) -> bool:
        """True if an instance or a piece is needed before the flow can go on."""
        return self.starved or (self.feed is not None and self.feed.starved)

    def outcomes(self, stores: StoreMany) -> Stream[Outcome | Starved]:
        """The outcomes of `stores`, whose source this is; `STARVED` when an instance or a piece is needed (`waits`).

        Before `STARVED` because an instance is needed, pending bytes are sent and all received outcomes are returned.
        If bytes were received that complete no outcome, some of the pending bytes may be left: to continue without
        pushing anything sends them. Raises as `StoreMany.next` does.
        """
        drained = False
        for step in stores.outcomes():
            if not isinstance(step, Need):
                yield step
                drained = False
            elif self.starved and not drained:
                yield Need.DRAIN
                drained = True
            elif self.waits:
                yield STARVED
                drained = False
            else:
                yield step

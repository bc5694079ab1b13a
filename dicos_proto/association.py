"""One DICOM association, either side: the class that embedders hold.

Bytes go in by `receive_data`, events come out of `next_event`, events go in by `send`, bytes come out of
`data_to_send`, deadlines come out of `deadline`. It never reads a clock or a socket, calls nothing back, and never
raises for what the peer did.

Knows: how `upper_layer` and `dimse` make one association, and which phase of it has which deadline. Must not know:
bytes of PDUs, policies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from .dimse.assembly import Messages
from .dimse.events import Event, MessageData, MessageStart, Sendable
from .errors import ConnectionLost, LocalProtocolError, Malformed
from .limits import Limits
from .timers import MESSAGE_TIMERS, Deadline, Timeouts
from .tolerance import STRICT, Judge, Tolerance
from .upper_layer.agreement import Agreement, PresentationContext, agree
from .upper_layer.core import Core
from .upper_layer.events import Deviation, Fragment
from .upper_layer.layer import EventSource
from .upper_layer.machine import Evt, Role, State
from .upper_layer.pace import Pace
from .upper_layer.pdu_types import AssociateAccept, AssociateRequest, ReleaseRequest, ReleaseResponse
from .wire import Buffer

__all__ = ["Association", "Operations", "Terms"]

_NOTHING_AGREED = Agreement(contexts={}, refused=(), peer_max_length=0, invoke=1, perform=1)
_STA6, _ACCEPTOR = State.Sta6, Role.ACCEPTOR
_MESSAGE, _RATE, _RESPONSE, _OPERATION, _RETRIEVE, _IDLE = MESSAGE_TIMERS
_OPEN = (State.Sta6, State.Sta7)
_NOT_ASKED = AssociateRequest(called_aet="", calling_aet="", contexts=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of one association: its configuration, and what both sides have negotiated since.

    `role`, `limits`, `timeouts`, `tolerance`: the configuration, which never changes. `request`: the A-ASSOCIATE-RQ
    sent or received, None before. `answer`: the A-ASSOCIATE-AC, None before Sta6. `agreement`: the result of both, None
    before.
    `deviations`: those that `next_event` has returned; at most one for each flag of `tolerance`.
    """

    role: Role
    limits: Limits
    timeouts: Timeouts
    tolerance: Tolerance
    request: AssociateRequest | None = None
    answer: AssociateAccept | None = None
    agreement: Agreement | None = None
    deviations: tuple[Deviation, ...] = ()


class Operations:
    """The present operations of one association: requests without a final response, in both directions."""

    __slots__ = ("_last_id", "_messages")

    def __init__(self, messages: Messages) -> None:
        """Made by an `Association`."""
        self._messages = messages
        self._last_id = 0

    @property
    def outstanding(self) -> int:
        """Number of requests sent that have no final response yet."""
        return len(self._messages.sent)

    @property
    def unanswered(self) -> Mapping[int, int]:
        """Those requests by message id, with the command field of each."""
        return {number: sent[1] for number, sent in self._messages.sent.items()}

    @property
    def owed(self) -> int:
        """Number of requests received that have no final response yet."""
        return len(self._messages.owed)

    def owes(self, message_id: int) -> bool:
        """Returns True if the peer's request with this id has no final response yet."""
        return message_id in self._messages.owed

    @property
    def sending(self) -> bool:
        """True while a data set is being sent and is not complete: only the rest of it, or an abort, can follow."""
        return self._messages.sending

    def new_message_id(self) -> int:
        """A message id for the next request: 1, 2, 3 and so on, without those in use [PS3.7 9.1.1].

        Raises `LocalProtocolError` if all are in use."""
        sent = self._messages.sent
        if len(sent) >= 0xFFFF:
            raise LocalProtocolError("65535 operations outstanding: no message id is free [PS3.7 9.1.1]")
        while True:
            self._last_id = self._last_id % 0xFFFF + 1
            if self._last_id not in sent:
                return self._last_id


class Association(EventSource[Event]):
    """One association. Make one with `requestor` or `acceptor`. It is a `Wire`.

    It has the methods of a `Wire`, events both ways, the state and the contexts, and two more values: `terms`, its
    configuration and what was negotiated, which decide what is allowed; and `operations`, because a caller can keep to
    the window only if it sees what is outstanding.
    """

    def __init__(self, role: Role, limits: Limits, timeouts: Timeouts, tolerance: Tolerance = STRICT) -> None:
        self._upper = Core(role, limits, timeouts, tolerance)
        self._outbox = self._upper.outbox
        self._judge: Judge = self._upper.judge
        self._untold = self._judge.untold
        self._messages = Messages(_NOTHING_AGREED, self._judge)
        self._later: deque[AssociateAccept | MessageStart | MessageData] = deque()  # after the deviations in them
        self._steps = 0  # PDVs received: they show that a message makes progress
        self._oldest = 0  # the request whose final response is awaited
        self._received = 0  # messages received when that began
        self._unsent = False  # a request is not yet cut to its end
        self._pace: Pace | None = None  # of the message that is being received
        self._terms = Terms(role=role, limits=limits, timeouts=timeouts, tolerance=tolerance)
        self.operations: Final = Operations(self._messages)
        """The operations that are outstanding and owed now, and message ids for the next ones."""

    @classmethod
    def requestor(
        cls,
        request: AssociateRequest,
        *,
        limits: Limits = Limits(),  # noqa: B008  frozen values
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        tolerance: Tolerance = STRICT,
    ) -> Self:
        """Makes a requestor; `request` is queued at once. Raises `LocalProtocolError` if it cannot be encoded."""
        self = cls(Role.REQUESTOR, limits, timeouts, tolerance)
        self.send(request)
        return self

    @classmethod
    def acceptor(
        cls,
        *,
        limits: Limits = Limits(),  # noqa: B008  frozen values
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        tolerance: Tolerance = STRICT,
    ) -> Self:
        """Makes an acceptor; ARTIM starts with the first `deadline`."""
        return cls(Role.ACCEPTOR, limits, timeouts, tolerance)

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def terms(self) -> Terms:
        """Role, limits, timeouts and tolerance; request, answer and agreement; deviations. A frozen value, which is
        replaced when there is something to add."""
        return self._terms

    @property
    def state(self) -> State:
        """PS3.8 Sta1 to Sta13, true as of the last event returned."""
        return self._upper.state

    @property
    def contexts(self) -> Mapping[int, PresentationContext]:
        """The accepted presentation contexts by id; empty until Sta6."""
        return self._messages.agreement.contexts

    @property
    def wants_read(self) -> bool:
        """True if the connection should be read; if False, it must not be read now."""
        return self._upper.wants_read

    @property
    def wants_close(self) -> bool:
        """True if the connection is to be closed once `data_to_send()` returns an empty list."""
        return self._upper.wants_close

    @property
    def bytes_queued(self) -> int:
        """Bytes that wait to be taken by `data_to_send`, headers of PDUs included."""
        return self._outbox.queued

    # -- in and out ----------------------------------------------------------------------------------------------

    def receive_data(self, data: Buffer) -> None:
        """Takes received bytes and keeps them by reference: do not change the buffer before they are parsed."""
        self._upper.receive_data(data)

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """Takes note that the peer will send no more. `why`: the reason, if the layer below knows one; `ProviderAbort`
        then reports it."""
        self._upper.receive_eof(why)

    def data_to_send(self) -> list[bytes | memoryview]:
        """Take what waits to be sent, in order: call it until it returns an empty list.

        Payloads are views of the buffers that were given to `send`. A data set is cut to the peer's Maximum Length as
        it is taken, about `Limits.queued` bytes in one call."""
        return self._outbox.take()

    def deadline(self, now: float) -> Deadline | None:
        """The next deadline, in seconds on the caller's clock; timers armed since the last call start at `now`."""
        if self._unsent and not self._outbox.runs:
            self._watch()
        pace = self._pace
        if pace is None:
            return self._upper.deadline(now)
        pace.begin_wait(self._upper, self._steps, now)
        deadline = self._upper.deadline(now)
        if deadline is None:
            return None
        pace.until = deadline.at
        return Deadline(deadline.at, deadline.why, measured=True)

    def handle_timeout(self, now: float) -> None:
        """Time is `now`: the wait that began with the last `deadline` is over, for any reason.

        A deadline that has passed takes effect in `next_event`, after the events received before it."""
        if self._pace is not None:
            self._pace.end_wait(now)
        self._upper.handle_timeout(now)

    def next_event(self) -> Event | None:
        """Parses one event. None: there is no complete event, feed more bytes. Never raises for what the peer did.

        `Closed` is always last, and repeats: end your loop there, or use `ready_events`."""
        while True:
            if self._later and not self._untold:
                held = self._later.popleft()
                if self._upper.state in _OPEN:  # else the user has aborted meanwhile
                    return held
                continue
            event = self._upper.poll()
            if type(event) is Fragment:
                messages = self._messages
                self._steps += 1
                try:
                    found = messages.receive(event)
                except Malformed as fault:
                    self._upper.fail(fault)
                    continue
                if self._untold or messages.rest is not None:
                    self._later.extend(one for one in (found, messages.rest) if one is not None)
                    messages.rest = None
                elif found is not None:
                    return found
            elif event is None:
                self._watch()
                if not self._upper.expire():
                    return None
            elif isinstance(event, AssociateAccept):
                self._on_accept(event)
            else:
                if isinstance(event, AssociateRequest):
                    self._terms = replace(self._terms, request=event)
                elif isinstance(event, Deviation):
                    self._terms = replace(self._terms, deviations=self._upper.deviations)
                return event

    def send(self, event: Sendable) -> None:
        """Queues an event. Raises `LocalProtocolError`, and changes nothing, if the protocol does not allow it now."""
        upper = self._upper
        if isinstance(event, MessageData):
            if upper.state is not _STA6:
                upper.check(Evt.Evt9, "MessageData")
            buffers, size = self._messages.data(event)
            self._outbox.add(buffers, size)
        elif isinstance(event, MessageStart):
            if upper.state is not _STA6:
                upper.check(Evt.Evt9, "MessageStart")
            buffers, size = self._messages.start(event)
            self._outbox.add(buffers, size)
        elif isinstance(event, AssociateAccept):
            self._accept(event)
        else:
            if self._messages.sending and isinstance(event, ReleaseRequest | ReleaseResponse):
                # A release loses nothing in transit, and the rest of this data set could not follow it.  # PS3.8 7.2
                raise LocalProtocolError(f"{type(event).__name__} before the data set is complete [PS3.8 7.2]")
            upper.send(event)
            if isinstance(event, AssociateRequest):
                self._terms = replace(self._terms, request=event)

    # -- inside --------------------------------------------------------------------------------------------------

    def _accept(self, accept: AssociateAccept) -> None:
        self._upper.check(Evt.Evt7, "AssociateAccept")
        try:
            agreement = agree(self._terms.request or _NOT_ASKED, accept, requestor=False)
        except Malformed as fault:
            raise LocalProtocolError(str(fault)) from None
        self._upper.send(accept)
        self._establish(accept, agreement)

    def _on_accept(self, accept: AssociateAccept) -> None:
        try:
            agreement = agree(self._terms.request or _NOT_ASKED, accept, requestor=True, judge=self._judge)
        except Malformed as fault:
            self._upper.fail(fault)
        else:
            self._establish(accept, agreement)
            self._later.append(accept)

    def _establish(self, accept: AssociateAccept, agreement: Agreement) -> None:
        self._terms = replace(self._terms, answer=accept, agreement=agreement)
        self._messages = self.operations._messages = Messages(agreement, self._judge)

    def _watch(self) -> None:
        """Arms the deadline of the phase this association is in, now that nothing more can be parsed.

        Within a message, there is one for its next PDV, and one for all of it at the minimum rate (`pace`). With
        requests outstanding, there is one for the next response, but not while a message of the peer is under way or
        the local side owes it an answer; and one for the final response to the oldest request, regardless of other
        messages. An acceptor that owes no answer and has not requested release has one for the next request. The local
        user's own pauses have no deadline.
        """
        messages, upper = self._messages, self._upper
        timers, timeouts = upper.timers, upper.timeouts
        self._unsent = False
        if upper.state not in _OPEN:
            timers.cancel(*MESSAGE_TIMERS)
            self._pace = None
            return
        mid_message, sent, armed = messages.mid_message, messages.sent, timers.armed
        if mid_message:
            timers.arm(_MESSAGE, timeouts.message, "message: waiting for the rest of one", key=self._steps)
            self._watch_pace()
        elif _MESSAGE in armed:
            timers.cancel(_MESSAGE, _RATE)
            self._pace = None
        answering = mid_message or messages.owed or self._outbox.runs or messages.sending
        if sent:
            number = next(iter(sent))
            request = sent[number][2]
            if not answering:
                why = f"response: waiting for the one to message {number}"
                timers.arm(_RESPONSE, timeouts.response, why, key=(number, messages.received))
            elif _RESPONSE in armed:
                timers.cancel(_RESPONSE)
            if request != self._oldest:  # most often its response is next, and needs no other timer
                self._oldest, self._received = request, messages.received
                if _OPERATION in armed:
                    timers.cancel(_OPERATION)
            elif (
                (mid_message or messages.received != self._received)
                and number not in messages.retrieving
                and not (len(sent) == 1 and (self._outbox.runs or messages.sending))
            ):
                why = f"operation: waiting for the final response to message {number}"
                timers.arm(_OPERATION, timeouts.operation, why, key=request)
            self._unsent = self._outbox.runs > 0
        elif _RESPONSE in armed or _OPERATION in armed:
            timers.cancel(_RESPONSE, _OPERATION)
        if messages.retrieving:
            number, key = next(iter(messages.retrieving.items()))
            why = f"retrieve: waiting for the final response to message {number}"
            timers.arm(_RETRIEVE, timeouts.retrieve, why, key=key)
        elif _RETRIEVE in armed:
            timers.cancel(_RETRIEVE)
        if upper.role is _ACCEPTOR and upper.state is _STA6 and not (sent or answering or upper.reader.mid_pdu):
            timers.arm(_IDLE, timeouts.idle, "idle: waiting for a request", key=messages.asked)
        elif _IDLE in armed:
            timers.cancel(_IDLE)

    def _watch_pace(self) -> None:
        """Checks that the message that is under way arrives at the minimum rate."""
        upper, number, pace = self._upper, self._messages.received, self._pace
        grace, rate = upper.timeouts.message, upper.timeouts.minimum_rate
        if pace is None or pace.number != number:
            upper.timers.cancel(_RATE)
            began = upper.reader.fed
            self._pace = None if grace is None or rate is None else Pace(number, began, grace, rate)
        elif pace.steps != self._steps:  # bytes received meanwhile count, although time is up
            upper.timers.cancel(_RATE)


# -- for the rest of the engine: not exported by the package, not a stable interface ----------------------------------


def judge_of(association: Association) -> Judge:
    """Limits and tolerance for decoding data sets; accepted deviations are reported by the next event."""
    return association._judge


def bytes_unread(association: Association) -> int:
    """Bytes that were received and not yet parsed: while there are some, a flow does not have to wait."""
    return association._upper.reader.unread


def prepare(association: Association, event: MessageStart) -> None:
    """Encodes a message ahead of time, so that it takes less time to `send` this same event next. Queues nothing.

    Raises `LocalProtocolError` if it cannot be encoded."""
    association._messages.prepare(event)

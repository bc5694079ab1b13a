"""The works of the upper layer for TCP/IP of PS3.8: framing, machine, timers and outbox, put together.

Knows: PDUs in, PDUs out, when. Must not know: DIMSE, policies. It is internal: `UpperLayer` is its face for those who
need no messages, and `Association` puts messages on top of it.

How an event flows: the reader reads a header. If the table has no room for its PDU now (AA-1, AA-6, AA-7, AA-8), the
action is carried out at once and the body is skipped. Otherwise the body is read and decoded, the action is looked up
in the table, and its effects are carried out in their order. Fragments of P-DATA in Sta6 and Sta7 take no part in this.
Accepted deviations are reported first: the event that they concern is held until then, and has had no effect yet.

An error of the peer becomes an event and an A-ABORT that is already queued; after that, in Sta13, input is read only
for the events that the table still needs. Once the table says close, `Closed` is the last event and repeats.
"""

from __future__ import annotations

from collections import deque
from typing import assert_never

from ..errors import (
    AbortReason,
    AbortSource,
    ConnectionLost,
    DeadlineExceeded,
    LocalProtocolError,
    Malformed,
    RemoteProtocolError,
)
from ..limits import Limits
from ..timers import MESSAGE_TIMERS, Deadline, Timeouts, Timer, TimerTable
from ..tolerance import CLAUSES, Judge, Tolerance
from ..wire import Buffer
from .events import Closed, Deviation, Fragment, Idle, ProviderAbort, UpperEvent
from .framing import PduBody, PduHeader, PduReader
from .machine import ACTIONS, NOT_ACCEPTABLE, Action, Effect, Evt, Role, State, step
from .outbox import Outbox
from .pdu import decode_body, encode
from .pdu_types import (
    PROTOCOL_VERSION,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    Managed,
    PduType,
    RejectResult,
    RejectSource,
    ReleaseRequest,
    ReleaseResponse,
)
from .recognition import decode_first

_ASSOCIATES = (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC)
_RECEIVED: dict[PduType, Evt] = {
    PduType.ASSOCIATE_RQ: Evt.Evt6,
    PduType.ASSOCIATE_AC: Evt.Evt3,
    PduType.ASSOCIATE_RJ: Evt.Evt4,
    PduType.P_DATA_TF: Evt.Evt10,
    PduType.RELEASE_RQ: Evt.Evt12,
    PduType.RELEASE_RP: Evt.Evt13,
    PduType.ABORT: Evt.Evt16,
}
_EVENTS: dict[type[Managed], Evt] = {
    AssociateRequest: Evt.Evt6,
    AssociateAccept: Evt.Evt3,
    AssociateReject: Evt.Evt4,
    ReleaseRequest: Evt.Evt12,
    ReleaseResponse: Evt.Evt13,
    Abort: Evt.Evt16,
}
_UNWANTED = frozenset({Action.AA_1, Action.AA_7, Action.AA_8})
_WHY_ARTIM = {
    State.Sta2: "ARTIM: waiting for the whole A-ASSOCIATE-RQ",
    State.Sta13: "ARTIM: waiting for the peer to close",
}
_RELEASING = (State.Sta7, State.Sta10, State.Sta11)
_STA1 = State.Sta1
_PDU = Timer.PDU
_STREAMING = (State.Sta6, State.Sta7)
VERSION_REFUSED = AssociateReject(result=RejectResult.PERMANENT, source=RejectSource.ACSE, reason=2)


class Core:
    """One association's upper layer, with the parts that `Association` works on itself.

    No method here blocks, and none raises for what the peer did.
    """

    def __init__(self, role: Role, limits: Limits, timeouts: Timeouts, tolerance: Tolerance) -> None:
        self.role = role
        self.limits = limits
        self.timeouts = timeouts
        self.timers = TimerTable()
        self.judge = Judge(limits, tolerance)
        self.reader = PduReader(self.judge)
        self.state = State.Sta1
        """PS3.8 Sta1 to Sta13, true as of the last event returned. Only this object changes it."""
        self.deviations: tuple[Deviation, ...] = ()
        """The deviations that were reported by an event, at most one for each flag."""
        self._held: PduHeader | Managed | Fragment | Malformed | None = None  # waits until deviations are reported
        self._events: deque[UpperEvent] = deque()
        self.outbox = Outbox(limits.queued)
        """The bytes that wait to be sent."""
        self._asked: AssociateRequest | None = None  # the one that was sent
        self._recognized = False  # whether an event has named the toolkit that was recognized
        self._eof = False
        self._why_lost: ConnectionLost | None = None
        self._closing = False
        if role is Role.ACCEPTOR:
            self._apply(Evt.Evt5)

    # -- bytes and time ------------------------------------------------------------------------------------------

    @property
    def wants_read(self) -> bool:
        """False: do not read the connection now.

        In Sta13 each A-ASSOCIATE-RQ is answered by an A-ABORT (AA-7): nothing more is read from a peer that takes none
        of them.
        """
        reader, limits = self.reader, self.limits
        return (
            not self._eof
            and not self._closing
            and (self.state is not State.Sta13 or self.outbox.queued < limits.queued)
            and reader.unread < limits.received_ahead
            and reader.pieces <= limits.received_pieces
        )

    @property
    def wants_close(self) -> bool:
        """True if the connection is to be closed once `data_to_send()` returns an empty list."""
        return self._closing

    def receive_data(self, data: Buffer) -> None:
        """Takes received bytes: keeps them by reference and does not parse them. Ignores them once the connection is to
        be closed."""
        if not self._closing:
            self.reader.feed(data)

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """Takes note that the peer will send no more: the transport connection is closed [PS3.8 Evt17].

        `why`: the reason, if the layer below knows one; it is reported instead of the place where the bytes end. Only
        the first call counts.
        """
        if not self._eof:
            self._eof = True
            self._why_lost = why

    def deadline(self, now: float) -> Deadline | None:
        """The next deadline, in seconds on the caller's clock; timers armed since the last call start at `now`."""
        return self.timers.next_deadline(now)

    def handle_timeout(self, now: float) -> None:
        """Time is `now`. A passed deadline takes effect after the bytes received before are parsed (`next_event`)."""
        self.timers.note(now)

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, pdu: Managed) -> None:
        """Sends one PDU that is not P-DATA. Raises `LocalProtocolError`, and changes nothing, if the table does not
        allow it now or the PDU cannot be encoded."""
        match pdu:
            case AssociateRequest():
                event = Evt.Evt1
            case AssociateAccept():
                event = Evt.Evt7
            case AssociateReject():
                event = Evt.Evt8
            case ReleaseRequest():
                event = Evt.Evt11
            case ReleaseResponse():
                event = Evt.Evt14
            case Abort():
                event = Evt.Evt15
            case _ as unreachable:
                assert_never(unreachable)
        self.check(event, type(pdu).__name__)
        encoded = encode(pdu)
        if isinstance(pdu, AssociateRequest | AssociateAccept):
            self.reader.max_length = pdu.user_information.max_length
        if isinstance(pdu, AssociateRequest):
            self._asked = pdu
        if event is Evt.Evt1:
            self._apply(event)
            event = Evt.Evt2  # the caller has opened the connection
        self._apply(event, primitive=encoded)

    def check(self, event: Evt, what: str) -> None:
        """Raise `LocalProtocolError` where the table has no cell for this local primitive now."""
        if self._closing or step(self.state, event, self.role) is None:
            over = "the association is over: " if self._closing or self.state is State.Sta13 else ""
            raise LocalProtocolError(f"{over}{what} cannot be sent in {self.state.name} [PS3.8 table 9-10]")

    def fail(self, fault: Malformed) -> None:
        """A layer above found the peer at fault: abort as the table says for an invalid PDU [PS3.8 Evt19]."""
        self._violation(Evt.Evt19, RemoteProtocolError.blame(fault))

    # -- receiving -----------------------------------------------------------------------------------------------

    def poll(self) -> UpperEvent | None:
        """Parse one event; None: feed me. Deadlines that have passed are left to `expire`."""
        if not (self._events or self._held or self.judge.untold):  # nothing comes before what is read
            fragment = self.reader.read_heads()
            if fragment is not None:
                return fragment
        while True:
            if self.judge.untold:
                return self._tell()
            if self._events:
                return self._events.popleft()
            if self._closing:
                return Closed()
            held = self._held
            if held is not None:
                self._held = None
                if not isinstance(held, Fragment):
                    self._act(held)
                elif self.state in _STREAMING:  # else the user has aborted meanwhile
                    return held
                continue
            if self.state is _STA1:  # a requestor that has not asked yet: what the peer says waits
                if not self._eof:
                    return None
                self._enter()
                continue
            read: PduHeader | PduBody | Fragment | Malformed | None
            try:
                read = self.reader.next()
            except Malformed as fault:
                self.reader.lose()
                read = fault.with_traceback(None)  # which has this frame
            token = self._decode(read) if type(read) is PduBody else read
            if self.judge.untold and self.state is State.Sta13:
                self.judge.untold.clear()  # nothing is accepted any more: no event follows that they could concern
            if token is None:
                if not self._eof:
                    self._watch_pdu()
                    return None
                self._on_eof()
            elif self.judge.untold:
                self._held = token
            elif type(token) is Fragment:
                return token
            else:
                self._act(token)

    def _tell(self) -> Deviation:
        judge = self.judge
        name, detail = judge.untold.pop(0)
        toolkit = judge.recognized
        if toolkit is None or self._recognized or not getattr(toolkit.tolerance, name):
            deviation = Deviation(clause=CLAUSES[name], detail=detail, name=name)
        else:
            self._recognized = True
            deviation = Deviation(clause=CLAUSES[name], detail=detail, name=name, recognized=toolkit.name)
        self.deviations += (deviation,)
        return deviation

    def expire(self) -> bool:
        """Let a passed deadline take effect. Returns True if one did."""
        expired = self.timers.take_expired()
        if expired is None:
            return False
        timer, why = expired
        error = DeadlineExceeded(why)
        if timer is Timer.ARTIM:
            if self.state is State.Sta2:
                self._events.append(ProviderAbort(error=error))
            self._apply(Evt.Evt18)
        elif timer is Timer.IDLE:
            self._events.append(Idle(error=error))
            self._apply(Evt.Evt11, primitive=encode(ReleaseRequest()))
        else:
            # Not a timer of the standard: the local user gives up.
            self._events.append(ProviderAbort(error=error))
            self._apply(Evt.Evt15, primitive=encode(Abort()))
        return True

    def _on_header(self, header: PduHeader) -> None:
        """Act at once where the table has no use for this PDU now; otherwise its body is next."""
        event = _RECEIVED[header.kind]
        found = step(self.state, event, self.role)
        if found is not None and found[0] is Action.AA_6:  # a peer that goes on after an A-ABORT is not to cost more
            self.reader.skip_pdu()
        elif found is not None and found[0] in _UNWANTED:
            detail = f"{header.kind.label} in {self.state.name}"
            self._violation(event, RemoteProtocolError(detail, "PS3.8 table 9-10", AbortReason.UNEXPECTED_PDU))
            self.reader.skip_pdu()

    def _decode(self, token: PduBody) -> Managed | Malformed:
        body = memoryview(token.body)
        try:
            if token.kind in _ASSOCIATES and self.judge.tolerance.toolkits:
                return decode_first(token.kind, body, self.judge, self._asked)
            return decode_body(token.kind, body, self.judge)
        except Malformed as fault:
            return fault

    def _act(self, token: PduHeader | Managed | Malformed) -> None:
        if isinstance(token, Malformed):
            self.fail(token)
        elif isinstance(token, PduHeader):
            self._on_header(token)
        else:
            self._on_pdu(token)

    def _on_pdu(self, pdu: Managed) -> None:
        event = _EVENTS[type(pdu)]
        if not isinstance(pdu, AssociateRequest | AssociateAccept) or pdu.protocol_version & PROTOCOL_VERSION:
            self._apply(event, indications=(pdu,))
            return
        detail = f"protocol version 0x{pdu.protocol_version:04X}; bit 0 set"
        if isinstance(pdu, AssociateAccept):
            self.fail(Malformed(detail, "PS3.8 9.3.3"))
        else:
            self._events.append(ProviderAbort(error=RemoteProtocolError(detail, "PS3.8 9.3.2")))
            self._apply(event, acceptable=False)

    def _on_eof(self) -> None:
        error = self._why_lost
        notable = error is not None or self.reader.mid_pdu
        if error is None:
            error = ConnectionLost(
                f"connection closed by the peer in {self.state.name}, {self.reader.describe()}", self.reader.mid_pdu
            )
        if self.state is State.Sta2 and notable:  # the table has no indication here; its user has a log
            self._events.append(ProviderAbort(error=error))
        self._apply(Evt.Evt17, indications=(ProviderAbort(error=error),))

    def _violation(self, event: Evt, error: RemoteProtocolError) -> None:
        abort = Abort(source=AbortSource.SERVICE_PROVIDER, reason=error.reason)
        if self.state is State.Sta2:
            self._events.append(ProviderAbort(error=error))  # the table has no indication here; its user has a log
        self._apply(event, primitive=encode(abort), indications=(ProviderAbort(error=error),))

    def _watch_pdu(self) -> None:
        """The rest of a PDU has a deadline of its own, but where ARTIM runs."""
        if self.reader.mid_pdu and self.state not in _WHY_ARTIM:
            why = "PDU: waiting for the rest of one"
            self.timers.arm(_PDU, self.timeouts.pdu, why, key=self.reader.progress)
        elif _PDU in self.timers.armed:
            self.timers.cancel(_PDU)

    # -- the table's actions -------------------------------------------------------------------------------------

    def _apply(
        self,
        event: Evt,
        *,
        indications: tuple[UpperEvent, ...] = (),
        primitive: bytes = b"",
        acceptable: bool = True,
    ) -> None:
        """Look the event up, go to the next state, carry out the action's effects in their order.

        `indications`: what the primitives it issues tell the user. `primitive`: the bytes of the PDU that the event
        stands for or asks for.
        """
        found = step(self.state, event, self.role, acceptable=acceptable)
        if found is None or self._closing:
            raise LocalProtocolError(f"{event.name} cannot happen in {self.state.name} [PS3.8 table 9-10]")
        action, self.state = found
        for effect in ACTIONS[action] if acceptable else NOT_ACCEPTABLE:
            match effect:
                case Effect.SEND:
                    self._put(primitive)
                case Effect.SEND_PROVIDER_ABORT:
                    self._put_abort(primitive)
                case Effect.SEND_REJECT:
                    self._put(encode(VERSION_REFUSED))
                case Effect.SEND_USER_ABORT:
                    self._put_abort(primitive if event is Evt.Evt15 else encode(Abort()))
                case Effect.INDICATE | Effect.INDICATE_P_ABORT:
                    self._events.extend(indications)
                case Effect.START_ARTIM:
                    self.timers.arm(Timer.ARTIM, self.timeouts.artim, _WHY_ARTIM[self.state])
                case Effect.STOP_ARTIM:
                    self.timers.cancel(Timer.ARTIM)
                case Effect.CONNECT | Effect.ANSWER_TRANSPORT | Effect.CLOSE | Effect.IGNORE:
                    pass  # the connection is the driver's, which reads `wants_close`
                case _ as unreachable:
                    assert_never(unreachable)
        self._enter()

    def _put(self, encoded: bytes) -> None:
        self.outbox.add([encoded], len(encoded))

    def _put_abort(self, encoded: bytes) -> None:
        """Queues an A-ABORT in place of data sets that are not cut yet, which the peer would not read."""
        if self.outbox.runs:
            self.outbox.drop_runs()
        self._put(encoded)

    def _enter(self) -> None:
        """Set what goes with a state: P-DATA streams or not, the deadlines that run, the end in Sta1."""
        state, timers = self.state, self.timers
        self.reader.stream_data = state in _STREAMING
        if state is State.Sta5:
            timers.arm(Timer.ASSOCIATION, self.timeouts.association, "association: waiting for the answer", key=state)
        else:
            timers.cancel(Timer.ASSOCIATION)
        if state is State.Sta3:
            timers.arm(Timer.ACCEPT, self.timeouts.accept, "accept: waiting for the local user's answer", key=state)
        else:
            timers.cancel(Timer.ACCEPT)
        if state in _RELEASING:
            timers.arm(Timer.RELEASE, self.timeouts.release, "release: waiting for the A-RELEASE-RP", key="release")
        else:
            timers.cancel(Timer.RELEASE)
        if state is State.Sta13 or state is State.Sta1:
            timers.cancel(Timer.PDU, *MESSAGE_TIMERS)
            if not self.reader.in_abort:  # one that has begun still ends it all: AA-2
                self.reader.skip_pdu()
        if state is State.Sta1:
            self._closing = True
            if self.outbox.runs:
                self.outbox.drop_runs()
            timers.cancel(Timer.ARTIM)
            self.reader.lose()

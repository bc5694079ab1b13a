"""Two associations, a line each way and a clock, driven at random against a small reference model.

The model is what a reader of the standard would keep on paper: which primitive each state has (typed here, PS3.8 table
9-10), which contexts, roles and windows were negotiated (PS3.7 D.3.3), which requests wait for an answer on each side.

Invariants: `send` accepts exactly the events that the model allows, and a refusal changes nothing; nothing else raises;
a message that arrives is the next one that was sent, with the same command and the same bytes, and is complete only if
it was sent complete; without damage neither side finds fault with the other; a side that waits for its peer has a
deadline; all ends in `Closed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dicos_proto.association import Association
from dicos_proto.conversation import exchange
from dicos_proto.dimse.events import Event, MessageData, MessageStart, Sendable
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CFindRequest,
    Command,
    CStoreRequest,
    DimseRequest,
    DimseResponse,
    NEventReportRequest,
    NGetRequest,
)
from dicos_proto.errors import ConnectionLost, DeadlineExceeded, LocalProtocolError, RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    OperationsWindow,
    ReleaseRequest,
    ReleaseResponse,
)
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.pair import CT, MR, POLICY, REQUEST, VERIFICATION, data, policy, request, start

ENDS = (Abort, AssociateReject, ProviderAbort, Closed)
EVERY = frozenset(
    {(Role.REQUESTOR, State(number)) for number in (1, 5, 6, 7, 8, 9, 11, 13)}
    | {(Role.ACCEPTOR, State(number)) for number in (1, 2, 3, 6, 7, 8, 10, 12, 13)}
)
"""The states of each role. Sta4 is passed within `send`, because a requestor is made with an open connection."""

PRIMITIVES: dict[type[Sendable], frozenset[int]] = {
    AssociateRequest: frozenset({1}),
    AssociateAccept: frozenset({3}),
    AssociateReject: frozenset({3}),
    ReleaseRequest: frozenset({6}),
    ReleaseResponse: frozenset({8, 9, 12}),
    Abort: frozenset({3, 5, 6, 7, 8, 9, 10, 11, 12}),
    MessageStart: frozenset({6, 8}),
    MessageData: frozenset({6, 8}),
}
"""The states in which table 9-10 has a cell for each primitive: Evt1, 7, 8, 11, 14, 15 and 9."""

PENDING = (0xFF00, 0xFF01)
NEVER, ALWAYS, OPTIONAL, WHILE_PENDING = "never", "always", "optional", "while pending"
DATA_SETS = {
    0x0030: NEVER, 0x8030: NEVER, 0x0001: ALWAYS, 0x8001: NEVER, 0x0020: ALWAYS, 0x8020: WHILE_PENDING,
    0x0100: OPTIONAL, 0x8100: OPTIONAL, 0x0110: NEVER, 0x8110: OPTIONAL, 0x0FFF: NEVER,
}  # fmt: skip
"""Command field -> the rule by which the message carries a data set [PS3.7 9.3, 10.3]."""


def with_data(command: Command) -> bool | None:
    """Returns True if the message must have a data set, False if it must not, None if its sender may choose."""
    rule = DATA_SETS[command.COMMAND_FIELD]
    if rule == WHILE_PENDING:
        return isinstance(command, DimseResponse) and command.status in PENDING
    return {NEVER: False, ALWAYS: True}.get(rule)


LOCAL_TURN = frozenset({State.Sta1, State.Sta3, State.Sta8, State.Sta9, State.Sta12})
"""States in which the local user has to act: nothing waits for the peer."""


@dataclass
class Message:
    """One message as far as it was sent, or has come. `end`: the offset in the stream at which it was complete."""

    start: MessageStart
    content: bytearray = field(default_factory=bytearray)
    end: int | None = None


@dataclass
class Side:
    """An association and the model of it."""

    name: str
    engine: Association
    asked: bool = False  # an A-ASSOCIATE-RQ was sent
    over: bool = False  # an event came after which there is only `Closed`
    open: int | None = None  # the context whose data set is being sent
    contexts: dict[int, tuple[bool, bool]] = field(default_factory=dict)  # accepted: may invoke, may perform
    invoke: int = 1
    outstanding: dict[int, tuple[int, int]] = field(default_factory=dict)  # message id -> context, command field
    owed: dict[int, MessageStart] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)
    came: list[Message] = field(default_factory=list)
    due: float | None = None  # the deadline it named last: before that none can pass

    # -- what may be sent ------------------------------------------------------------------------------------------

    def may(self, event: Sendable) -> bool:
        if self.over or self.engine.wants_close or self.engine.state not in PRIMITIVES[type(event)]:
            return False
        match event:
            case AssociateRequest():
                return self.engine.terms.role is Role.REQUESTOR and not self.asked
            case ReleaseRequest() | ReleaseResponse():
                return self.open is None
            case MessageData():
                return self.open == event.context
            case MessageStart():
                return self.open is None and event.context in self.contexts and self._may_start(event)
            case _:
                return True

    def _may_start(self, event: MessageStart) -> bool:
        command = event.command
        if with_data(command) not in (None, event.has_data):
            return False
        if isinstance(command, DimseRequest):
            room = len(self.outstanding) < (self.invoke or Limits().outstanding)
            scu, scp = self.contexts[event.context]
            role = scp if isinstance(command, NEventReportRequest) else scu
            return room and role and command.message_id not in self.outstanding
        if isinstance(command, DimseResponse):
            asked = self.owed.get(command.message_id_being_responded_to)
            return (
                asked is not None
                and asked.context == event.context
                and asked.command.COMMAND_FIELD | 0x8000 == command.COMMAND_FIELD
            )
        return True

    def negotiated(self, accept: AssociateAccept) -> None:
        """PS3.7 D.3.3.3 and D.3.3.4, read off the A-ASSOCIATE-AC."""
        asked, mine = self.engine.terms.request, self.engine.terms.role is Role.REQUESTOR
        assert asked is not None
        granted = {role.sop_class_uid: (role.scu, role.scp) for role in accept.user_information.roles}
        names = {context.id: context.abstract_syntax for context in asked.contexts}
        for answer in accept.contexts:
            if answer.result == 0:
                scu, scp = granted.get(names[answer.id], (True, False))
                self.contexts[answer.id] = (scu, scp) if mine else (scp, scu)
        window = accept.user_information.window
        if window is not None:
            self.invoke = window.invoked if mine else window.performed

    def seen(self, now: float) -> tuple[object, ...]:
        """All that a user can see without asking for an event."""
        engine, now_open = self.engine, self.engine.operations
        return (
            engine.state, engine.bytes_queued, now_open.outstanding, now_open.owed, now_open.sending, engine.wants_read,
            engine.wants_close, dict(engine.contexts), engine.terms, self.deadline(now),
        )  # fmt: skip

    def deadline(self, now: float) -> float | None:
        """As a driver does before it waits; timers armed since the last call start now."""
        deadline = self.engine.deadline(now)
        self.due = None if deadline is None else deadline.at
        return self.due

    def idle(self) -> bool:
        """Returns True if this side may begin a message."""
        return self.may(start(1, CCancelRequest(message_id_being_responded_to=1)))

    @property
    def complete(self) -> list[Message]:
        return [message for message in self.sent if message.end is not None]


@dataclass
class Line:
    """One direction of the connection, which may be damaged or lose what is on its way."""

    source: Side
    target: Side
    flight: bytearray = field(default_factory=bytearray)
    taken: int = 0  # bytes the source gave away so far
    damaged_at: int | None = None
    ended: bool = False
    lost: bool = False

    def take(self) -> None:
        for buffer in self.source.engine.data_to_send():
            self.flight += buffer
            self.taken += len(buffer)

    def deliver(self, sizes: list[int]) -> bool:
        """Delivers chunks of these sizes while the target wants to read. Returns True if anything moved."""
        self.take()
        engine = self.target.engine
        moved = False
        for size in sizes:
            if engine.wants_close or self.ended:
                self.lost = self.lost or bool(self.flight)
                self.flight.clear()
            if not self.flight or not engine.wants_read:
                break
            engine.receive_data(bytes(self.flight[:size]))
            del self.flight[:size]
            moved = True
        return moved

    def end(self, *, lose: bool) -> None:
        self.take()
        self.ended = True
        self.lost = self.lost or bool(self.flight)
        if lose:
            self.flight.clear()
        else:
            self.target.engine.receive_data(bytes(self.flight))
            self.flight.clear()
            self.lost = False
        self.target.engine.receive_eof()

    def damage(self, at: int) -> None:
        offset = self.taken - len(self.flight) + at
        self.damaged_at = offset if self.damaged_at is None else min(offset, self.damaged_at)


def echo(number: int) -> CEchoRequest:
    return CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION)


REQUESTS: dict[str, Callable[[int], tuple[int, Command]]] = {
    "echo": lambda number: (1, echo(number)),
    "store": lambda number: (
        3, CStoreRequest(message_id=number, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    ),
    "find": lambda number: (3, CFindRequest(message_id=number, affected_sop_class_uid=CT)),
    "get": lambda number: (
        1, NGetRequest(message_id=number, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2.3")
    ),
    "report": lambda number: (
        3,
        NEventReportRequest(
            message_id=number, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", event_type_id=1
        ),
    ),
}  # fmt: skip
"""Message id -> a context and a request; an N-EVENT-REPORT-RQ goes from SCP to SCU, all others from SCU to SCP."""


SIDES = st.sampled_from(("user", "provider"))
IDS, CONTEXTS = st.integers(1, 4), st.sampled_from((1, 3, 3, 5, 7))
CHUNKS = st.lists(st.sampled_from((1, 2, 5, 6, 7, 12, 40, 1000)), min_size=1, max_size=8)
WINDOWS = st.one_of(st.none(), st.builds(OperationsWindow, invoked=st.integers(0, 3), performed=st.integers(0, 3)))
MAX_LENGTHS = st.sampled_from((0, 8, 9, 16, 31, 16_384))
PIECES = st.one_of(st.binary(max_size=40), st.integers(0, 200).map(lambda size: bytes(range(256))[:size]))
FORGED: dict[str, bytes] = {
    "A-ASSOCIATE-RQ": encode(REQUEST),
    "A-ASSOCIATE-RJ": encode(AssociateReject()),
    "A-RELEASE-RQ": encode(ReleaseRequest()),
    "A-RELEASE-RP": encode(ReleaseResponse()),
    "A-ABORT": encode(Abort(source=2, reason=6)),
    "unknown": b"\x08\0\0\0\0\0",
    "too long": b"\x05\0\0\0\1\0",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01",
    "no PDV": b"\x04\0\0\0\0\7\0\0\0\1\1\2\0",
}
ANYTHING: dict[str, Callable[[int, int], Sendable]] = {
    "request": lambda number, context: REQUEST,
    "accept": lambda number, context: negotiate(REQUEST, POLICY),
    "reject": lambda number, context: AssociateReject(),
    "release": lambda number, context: ReleaseRequest(),
    "release back": lambda number, context: ReleaseResponse(),
    "abort": lambda number, context: Abort(),
    "echo": lambda number, context: start(context, echo(number)),
    "data": lambda number, context: data(context, b"abc", last=False),
    "response": lambda number, context: exchange.response_to(start(context, echo(number)), 0xC001),
}
ENDING = ("release", "release back", "abort", "reject")

REACHED: set[tuple[Role, State]] = set()


class Conversation(RuleBasedStateMachine):
    """The rules; the model is in `Side`, the connection in `Line`."""

    @initialize(
        windows=st.tuples(WINDOWS, WINDOWS),
        lengths=st.tuples(MAX_LENGTHS, MAX_LENGTHS),
        roles=st.booleans(),
        ahead=st.sampled_from((1, 30, 1 << 20)),
        begin=st.sampled_from(("open", "open", "open", "open", "collision", "idle")),
        quiet=st.booleans(),
        talk=st.integers(0, 30),
    )
    def connect(
        self,
        windows: tuple[OperationsWindow | None, OperationsWindow | None],
        lengths: tuple[int, int],
        roles: bool,
        ahead: int,
        begin: str,
        quiet: bool,
        talk: int,
    ) -> None:
        """`quiet`: nobody aborts, nothing is damaged or lost, no time passes; then everything has to arrive.

        `talk`: rules before anybody may end anything. `begin`: idle, in Sta6, or in a release collision."""
        self.asked = request(window=windows[0], max_length=lengths[0], both_roles=roles)
        answer = policy(window=windows[1], max_length=lengths[1], both_roles=roles)
        self.policy: AcceptPolicy = replace(answer, refused=frozenset({MR}))
        limits = Limits(received_ahead=ahead, peer_max_length=8)
        self.user = Side("user", Association(Role.REQUESTOR, limits, Timeouts()))
        self.provider = Side("provider", Association.acceptor(limits=limits))
        self.lines = {
            "user": Line(self.user, self.provider),
            "provider": Line(self.provider, self.user),
        }
        self.now = 0.0
        self.quiet = quiet
        self.rules_left = talk
        self.damaged = False
        self.reached = {(side.engine.terms.role, side.engine.state) for side in (self.user, self.provider)}
        if begin != "idle":
            self.send(self.user, self.asked)
            self.pump()
            self.send(self.provider, negotiate(self.asked, self.policy))
            self.pump()
            assert (self.user.engine.state, self.provider.engine.state) == (State.Sta6, State.Sta6)
        if begin == "collision":
            self.rules_left = 0
            self.release_both(arrives=True)
            assert (self.user.engine.state, self.provider.engine.state) == (State.Sta9, State.Sta10)

    # -- what both rules and the end are made of -------------------------------------------------------------------

    def side(self, name: str) -> Side:
        return self.user if name == "user" else self.provider

    def send(self, side: Side, event: Sendable) -> None:
        """Sent where the model allows it, else refused and nothing has changed."""
        line = self.lines[side.name]
        allowed = side.may(event)
        before = side.seen(self.now)
        refusal: LocalProtocolError | None = None
        try:
            side.engine.send(event)
        except LocalProtocolError as error:
            refusal = error
        assert (refusal is None) == allowed, f"{side.name} in {before[0]!r}, {type(event).__name__}: {refusal}"
        if refusal is not None:
            assert side.seen(self.now) == before
            return
        match event:
            case AssociateRequest():
                side.asked = True
            case AssociateAccept():
                side.negotiated(event)
            case MessageStart():
                side.sent.append(Message(event))
                side.open = event.context if event.has_data else None
                if isinstance(event.command, DimseRequest):
                    side.outstanding[event.command.message_id] = event.context, event.command.COMMAND_FIELD
                elif isinstance(event.command, DimseResponse) and event.command.status not in PENDING:
                    del side.owed[event.command.message_id_being_responded_to]
                if not event.has_data:
                    side.sent[-1].end = line.taken + side.engine.bytes_queued
            case MessageData():
                side.sent[-1].content += event.data
                if event.last:
                    side.open = None
                    side.sent[-1].end = line.taken + side.engine.bytes_queued
            case _:
                pass
        self.reached.add((side.engine.terms.role, side.engine.state))

    def read(self, side: Side) -> Event | None:
        """One event, which the model must be able to explain."""
        event = side.engine.next_event()
        self.reached.add((side.engine.terms.role, side.engine.state))
        if event is None:
            return None
        assert not side.over or event == Closed(), f"{event} after the end"
        if isinstance(event, ENDS):
            side.over = True
        match event:
            case AssociateAccept():
                side.negotiated(event)
            case MessageStart():
                self.on_start(side, event)
            case MessageData():
                self.on_data(side, event)
            case ReleaseResponse():
                self.on_released(side)
            case ProviderAbort():
                self.on_provider_abort(side, event)
            case Closed():
                assert (side.engine.state, side.engine.wants_close) == (State.Sta1, True)
                assert side.engine.next_event() == Closed()
            case _:
                pass
        return event

    def incoming(self, side: Side) -> Line:
        return self.lines["provider" if side.name == "user" else "user"]

    def expected(self, side: Side) -> Message | None:
        """Returns the peer's message of the same number; None if damage makes it unknown."""
        line = self.incoming(side)
        number = len(side.came) - 1
        if line.damaged_at is not None:
            before = [each for each in line.source.complete if each.end is not None and each.end <= line.damaged_at]
            return before[number] if number < len(before) else None
        assert number < len(line.source.sent), "a message that was not sent"
        return line.source.sent[number]

    def on_start(self, side: Side, event: MessageStart) -> None:
        assert not side.came or side.came[-1].end is not None, "a message inside another's data set"
        side.came.append(Message(event, end=None if event.has_data else 0))
        message = self.expected(side)
        assert message is None or message.start == event
        command = event.command
        if isinstance(command, DimseRequest):
            side.owed[command.message_id] = event
        elif isinstance(command, DimseResponse) and command.status not in PENDING:
            del side.outstanding[command.message_id_being_responded_to]

    def on_data(self, side: Side, event: MessageData) -> None:
        assert side.came, "data before any message"
        came = side.came[-1]
        assert (came.start.has_data, came.end, came.start.context) == (True, None, event.context)
        came.content += event.data
        message = self.expected(side)
        assert message is None or message.content.startswith(came.content)
        if event.last:
            came.end = 0
            assert message is None or (message.end is not None and message.content == came.content)

    def on_released(self, side: Side) -> None:
        """A release is orderly: each side has received everything that the other one sent [PS3.8 7.2]."""
        if not self.damaged:
            for one in (self.user, self.provider):
                sent = self.incoming(one).source.sent
                assert [each.end for each in one.came].count(0) == len(one.came) == len(sent)

    def on_provider_abort(self, side: Side, event: ProviderAbort) -> None:
        error = event.error
        if isinstance(error, RemoteProtocolError):
            assert self.damaged, f"{side.name} found fault: {error}"
        elif isinstance(error, ConnectionLost):
            assert self.incoming(side).ended
        else:
            assert isinstance(error, DeadlineExceeded)
            assert side.due is not None
            assert self.now >= side.due, f"{error} before its time"

    def pump(self) -> bool:
        """Delivers and reads everything; the connection ends when a side closes it. Returns True if anything moved."""
        moved = True
        ever = False
        while moved:
            moved = False
            for line in self.lines.values():
                moved |= line.deliver([1 << 20])
                if line.source.engine.wants_close and not line.flight and not line.ended:
                    line.end(lose=False)
                    moved = True
                while self.read(line.target) not in (None, Closed()):
                    moved = True
                moved |= bool(line.flight) and line.target.engine.wants_read
            ever |= moved
        return ever

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for side in (self.user, self.provider):
            side.engine.handle_timeout(self.now)

    # -- rules -----------------------------------------------------------------------------------------------------

    def ending(self) -> bool:
        """True once a side may end the association: before that nobody does, so that conversations get far enough."""
        return self.rules_left <= 0

    def alive(self) -> bool:
        return not (self.user.over and self.provider.over)

    @precondition(lambda self: not self.user.asked)
    @rule()
    def associate(self) -> None:
        self.send(self.user, self.asked)

    @precondition(lambda self: self.provider.engine.state is State.Sta3)
    @rule(accept=st.sampled_from((True, True, True, False)))
    def answer(self, accept: bool) -> None:
        asked = self.provider.engine.terms.request
        assert asked is not None
        self.send(self.provider, negotiate(asked, self.policy) if accept else AssociateReject())

    @precondition(lambda self: self.user.idle() or self.provider.idle())
    @rule(
        name=SIDES, number=IDS, kind=st.sampled_from(sorted(REQUESTS)), pieces=st.lists(PIECES, max_size=4),
        optional=st.booleans(), whole=st.booleans(),
    )  # fmt: skip
    def ask(self, name: str, number: int, kind: str, pieces: list[bytes], optional: bool, whole: bool) -> None:
        """A request with as much of its data set; `whole`: all of it."""
        side = self.side(name)
        context, command = REQUESTS[kind](number)
        has_data = with_data(command)
        event = start(context, command, has_data=optional if has_data is None else has_data)
        allowed = side.may(event)
        self.send(side, event)
        if allowed and event.has_data:
            for piece in pieces:
                self.send(side, data(context, piece, last=False))
            if whole:
                self.send(side, data(context, b"", last=True))

    @precondition(lambda self: self.user.open is not None or self.provider.open is not None)
    @rule(content=PIECES, last=st.booleans(), first=st.booleans())
    def go_on(self, content: bytes, last: bool, first: bool) -> None:
        sides = [side for side in (self.user, self.provider) if side.open is not None]
        side = sides[0 if first else -1]
        assert side.open is not None
        self.send(side, data(side.open, content, last=last))

    @precondition(lambda self: self.user.owed or self.provider.owed)
    @rule(first=st.booleans(), index=st.integers(0, 3), pending=st.booleans(), content=PIECES, odd=st.integers(0, 5))
    def respond(self, first: bool, index: int, pending: bool, content: bytes, odd: int) -> None:
        """In any order; `odd` 0: with a data set where there is to be none, or the other way round."""
        sides = [side for side in (self.user, self.provider) if side.owed]
        side = sides[0 if first else -1]
        asked = list(side.owed.values())[index % len(side.owed)]
        pending = pending and isinstance(asked.command, CFindRequest)  # of what is asked here
        response = exchange.response_to(asked, PENDING[index % 2] if pending else 0)
        response = replace(response, has_data=bool(with_data(response.command)) is not (odd == 0))
        allowed = side.may(response)
        self.send(side, response)
        if allowed and response.has_data:
            self.send(side, data(asked.context, content, last=True))

    @precondition(lambda self: self.user.outstanding or self.provider.outstanding)
    @rule(name=SIDES, number=IDS)
    def cancel(self, name: str, number: int) -> None:
        self.send(self.side(name), start(1, CCancelRequest(message_id_being_responded_to=number)))

    @rule(name=SIDES, number=IDS, context=CONTEXTS, what=st.sampled_from(sorted(ANYTHING)))
    def send_anything(self, name: str, number: int, context: int, what: str) -> None:
        """Sends an event that need not be allowed now; most are not."""
        if (self.ending() or what not in ENDING) and not (self.quiet and what == "abort"):
            self.send(self.side(name), ANYTHING[what](number, context))

    @precondition(lambda self: self.ending() and (self.user.idle() or self.provider.idle()))
    @rule(name=SIDES, arrives=st.booleans())
    def release(self, name: str, arrives: bool) -> None:
        self.send(self.side(name), ReleaseRequest())
        if arrives:
            self.deliver_all(name)

    @precondition(lambda self: self.ending() and self.user.may(ReleaseRequest()))
    @rule(arrives=st.booleans())
    def release_both(self, arrives: bool) -> None:
        """A release collision, where both may ask."""
        self.send(self.user, ReleaseRequest())
        self.send(self.provider, ReleaseRequest())
        if arrives:
            self.deliver_all("user")
            self.deliver_all("provider")

    @precondition(lambda self: self.user.may(ReleaseResponse()) or self.provider.may(ReleaseResponse()))
    @rule(name=SIDES, arrives=st.booleans())
    def release_back(self, name: str, arrives: bool) -> None:
        self.send(self.side(name), ReleaseResponse())
        if arrives:
            self.deliver_all(name)

    @precondition(lambda self: self.ending() and not self.quiet and self.alive())
    @rule(name=SIDES, source=st.sampled_from((0, 2)))
    def abort(self, name: str, source: int) -> None:
        self.send(self.side(name), Abort(source=source))

    @precondition(lambda self: self.alive())
    @rule(name=SIDES, sizes=CHUNKS, events=st.integers(0, 6))
    def deliver(self, name: str, sizes: list[int], events: int) -> None:
        line = self.lines[name]
        line.deliver(sizes)
        for _ in range(events):
            self.read(line.target)

    @precondition(lambda self: self.alive())
    @rule(name=SIDES)
    def deliver_all(self, name: str) -> None:
        line = self.lines[name]
        line.deliver([1 << 20])
        while self.read(line.target) not in (None, Closed()):
            line.deliver([1 << 20])

    @precondition(lambda self: self.ending() and not self.quiet and self.alive())
    @rule(name=SIDES, lose=st.booleans())
    def end_of_file(self, name: str, lose: bool) -> None:
        if not self.lines[name].ended:
            self.lines[name].end(lose=lose)

    @precondition(lambda self: not self.quiet and self.alive())
    @rule(seconds=st.sampled_from((1.0, 29.0, 31.0, 61.0)), look=st.booleans())
    def wait(self, seconds: float, look: bool) -> None:
        if look:
            self.look()
        self.pass_time(seconds)

    @precondition(lambda self: self.ending() and not self.quiet and self.alive())
    @rule(name=SIDES, what=st.one_of(st.sampled_from(sorted(FORGED)).map(FORGED.__getitem__), st.binary(min_size=1)))
    def insert(self, name: str, what: bytes) -> None:
        """Bytes nobody sent, between two PDUs."""
        line = self.lines[name]
        line.take()
        line.damage(len(line.flight))
        line.flight += what
        self.damaged = True

    @precondition(lambda self: self.ending() and not self.quiet and self.user.contexts and self.provider.contexts)
    @rule(name=SIDES, at=st.integers(0, 400), bits=st.integers(0, 255))
    def corrupt(self, name: str, at: int, bits: int) -> None:
        """A byte on its way is changed, or falls out."""
        line = self.lines[name]
        line.take()
        if line.flight:
            at %= len(line.flight)
            line.damage(at)
            line.flight[at : at + 1] = bytes((line.flight[at] ^ bits,)) if bits else b""
            self.damaged = True

    # -- what holds all along and in the end -----------------------------------------------------------------------

    @invariant()
    def the_model_agrees(self) -> None:
        self.rules_left -= 1
        for side in (self.user, self.provider):
            engine = side.engine
            assert (engine.operations.outstanding, engine.operations.owed) == (len(side.outstanding), len(side.owed))
            assert engine.operations.sending == (side.open is not None)
            assert set(engine.contexts) == set(side.contexts)
            assert engine.bytes_queued >= 0

    def look(self) -> float | None:
        """The earliest deadline of both sides."""
        found = (self.user.deadline(self.now), self.provider.deadline(self.now))
        return min((at for at in found if at is not None), default=None)

    def run_on(self) -> None:
        """Carry, read and let time pass until nothing happens and nobody has a deadline."""
        for _ in range(100):
            self.pump()
            at = self.look()
            if at is None:
                return
            self.pass_time(max(0.0, at - self.now))
        raise AssertionError("deadlines without end")

    def teardown(self) -> None:
        if not hasattr(self, "lines"):
            return
        self.pump()
        sides = (self.user, self.provider)
        if all(side.engine.state is State.Sta6 for side in sides) and not self.damaged:
            for side in sides:
                self.everything_came(side)
        if self.quiet:
            assert not any(line.lost for line in self.lines.values())
        self.run_on()
        for side in sides:
            self.no_wait_for_the_peer(side)
            if side.may(Abort()):
                self.send(side, Abort())
                self.run_on()
        for side in sides:
            if not side.over:  # it never asked, and nobody ever will
                side.engine.receive_eof()
                self.pump()
            assert self.read(side) == Closed()
            assert side.engine.deadline(self.now) is None
            assert (side.engine.wants_read, b"".join(side.engine.data_to_send())) == (False, b"")
        REACHED.update(self.reached)

    def everything_came(self, side: Side) -> None:
        source = self.incoming(side).source
        assert len(side.came) == len(source.sent)
        assert [bytes(each.content) for each in side.came if each.end is not None] == [
            bytes(each.content) for each in source.complete
        ]
        assert len(side.outstanding) == len(source.owed)

    def no_wait_for_the_peer(self, side: Side) -> None:
        """Nothing moves and no deadline runs: then it is the local user's turn, or all is over."""
        engine = side.engine
        if side.over or engine.state in LOCAL_TURN:
            return
        assert engine.state is State.Sta6, engine.state
        assert engine.terms.role is Role.REQUESTOR or side.owed or side.open is not None
        assert not side.outstanding or side.owed or side.open is not None


PROFILE = settings(max_examples=max(settings().max_examples, 300), stateful_step_count=50, report_multiple_bugs=False)
"""As many as it takes to reach every state with room to spare; more where the profile asks for more."""


@pytest.mark.slow  # 300 walks of 50 steps
def test_two_associations_do_what_the_model_says_and_every_state_is_reached() -> None:
    REACHED.clear()
    run_state_machine_as_test(Conversation, settings=PROFILE)
    assert REACHED == EVERY

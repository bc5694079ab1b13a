"""A faulty wire between two engines, with a clock that jumps: what each kind of fault does to a conversation.

An association with its exchange of a C-ECHO and a C-STORE, in PDUs of the user: A-ASSOCIATE-RQ, the command of the
C-ECHO, command and data of the C-STORE in two, A-RELEASE-RQ.
"""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dicos_fuzz.faults import Direction, Fault, FaultPlan, Faults, FaultyWire, parse_plan, random_plan
from dicos_fuzz.faults.altering import ADDED
from dicos_fuzz.faults.effects import At, Clock, Dribble, HalfClose, Reset, Stall, Timers
from dicos_fuzz.faults.line import HELD
from dicos_fuzz.faults.memory import Endless, Side, converse, use
from dicos_fuzz.faults.strategies import harmless_plans, plans, tapes
from dicos_fuzz.faults.tapes import HARMLESS
from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.errors import ConnectionLost, ProtocolError
from dicos_proto.timers import Deadline
from dicos_proto.upper_layer.events import Closed, Fragment, ProviderAbort, UpperEvent
from dicos_proto.upper_layer.layer import UpperLayer, ready_events
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import ReleaseResponse
from dicos_proto.wire import Ending, is_network
from tests.fuzz.faults.sides import ASKED, GOOD, OBJECT, PATIENT, POLICY, Talk

# -- bytes are changed -----------------------------------------------------------------------------------------------

CHANGES = {
    "a bit of a command": (
        "out pdu P-DATA-TF 2 +20: flip 1",
        r"the peer says: association aborted by the service provider: invalid parameter \(6\)",
        r"command group length 90 before 88 bytes \[PS3\.7 6\.3\.1\]",
    ),
    "the protocol version": (
        "out pdu A-ASSOCIATE-RQ 1 +6: set 0000",
        r"association rejected permanently by .*: protocol version not supported \(1/2/2\)",
        r"protocol version 0x0000; bit 0 set \[PS3\.8 9\.3\.2\]",
    ),
    "a length in an item": (
        'out pdu A-ASSOCIATE-RQ: edit "presentation context/length" length 65535',
        r"the peer says: association aborted by the service user",
        r"A-ASSOCIATE items: 65535 bytes wanted, \d+ left \[PS3\.8 9\.3\.2\]",
    ),
    "the type of a PDU": (
        "in pdu A-ASSOCIATE-AC: set 09",
        r"PDU type 0x09; 0x01 to 0x07 \[PS3\.8 9\.3\.1\]",
        r"the peer says: association aborted by the service provider: unrecognized pdu \(1\)",
    ),
    "a PDU is lost": (
        "out pdu P-DATA-TF 3: drop",
        r"response: waiting for the one to message 2: nothing within 60 s",
        r"message: waiting for the rest of one: nothing within 60 s",
    ),
    "a PDU comes twice": (
        "out pdu A-ASSOCIATE-RQ: duplicate",
        r"the peer says: association aborted by the service provider: unexpected pdu \(2\)",
        r"A-ASSOCIATE-RQ in Sta6 \[PS3\.8 table 9-10\]",
    ),
    "a PDU is cut short": (
        "out pdu P-DATA-TF 1: truncate 4",
        r"response: waiting for the one to message 1: nothing within 60 s",
        r"PDU: waiting for the rest of one: nothing within 60 s",
    ),
    "another protocol comes first": (
        "out at 0: insert 474554202f20485454502f312e310d0a0d0a",
        r"the peer says: association aborted by the service user",
        r"HTTP, not DICOM: b'GET / ' \[PS3\.8 9\.3\.1\]",
    ),
}
"""Fault -> plan of the user, and what the user and the provider report."""


@pytest.mark.parametrize("what", CHANGES)
def test_changed_bytes_end_in_an_error_that_names_them(what: str) -> None:
    plan, user, provider = CHANGES[what]
    talk = Talk(plan)
    assert re.fullmatch(user, str(talk.outcome[0])), talk.outcome[0]
    assert re.fullmatch(provider, str(talk.outcome[1])), talk.outcome[1]


def test_faults_are_the_same_on_either_side() -> None:
    """`out` of the user is `in` of the provider."""
    user, provider = Talk("out pdu P-DATA-TF 3 +100: flip 0"), Talk("", "in pdu P-DATA-TF 3 +100: flip 0")
    assert user.outcome == provider.outcome != GOOD
    (received,) = user.outcome[1]
    assert len(received) == len(OBJECT)
    assert sum(one != other for one, other in zip(received, OBJECT, strict=True)) == 1


# -- the connection ends ---------------------------------------------------------------------------------------------


def test_a_reset() -> None:
    talk = Talk("out pdu P-DATA-TF 3 +100: reset")
    assert talk.outcome == (
        "connection reset, by a fault plan",
        f"connection closed by the peer in Sta6, in a P-DATA-TF, {len(OBJECT) + 12 - 100} bytes before its end",
    )
    wire = talk.wires[0]
    assert (wire.ending, wire.wants_close, wire.wants_read, wire.data_to_send()) == (Ending.RESET, True, False, [])
    assert [(one.number, one.effect) for one in wire.strikes] == [(1, "reset")]


def test_a_reset_at_a_time_ends_a_wait() -> None:
    talk = Talk("in pdu A-ASSOCIATE-AC: stall\nout after 7: reset")
    assert talk.outcome[0] == "connection reset, by a fault plan"
    assert talk.seconds == 7


def test_a_half_close_of_what_is_sent() -> None:
    """The peer receives the end of file; its own bytes still arrive."""
    talk = Talk("out pdu P-DATA-TF 2: half-close")
    assert talk.outcome == (
        "connection closed by the peer in Sta6, between PDUs",
        "connection closed by the peer in Sta6, between PDUs",
    )
    assert talk.wires[0].ending is Ending.SHUT


def test_a_half_close_of_what_is_received() -> None:
    talk = Talk("in pdu P-DATA-TF 2 +3: half-close")
    assert talk.outcome[0] == "connection closed by the peer in Sta6, 3 bytes into a PDU header"
    assert talk.wires[0].ending is Ending.OPEN


def test_one_direction_is_dead() -> None:
    talk = Talk("out pdu P-DATA-TF 2 +5: error EPIPE")
    assert talk.outcome == (
        "response: waiting for the one to message 2: nothing within 60 s",
        "PDU: waiting for the rest of one: nothing within 60 s",
    )


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_stall_within_a_pdu_ends_by_the_deadline_of_the_pdu() -> None:
    talk = Talk("out pdu P-DATA-TF 1 +7: stall", user_timeouts=PATIENT)
    assert talk.outcome[1] == "PDU: waiting for the rest of one: nothing within 60 s"
    assert talk.provider.seconds == 60


def test_bytes_that_are_kept_back_are_a_stalled_write() -> None:
    talk = Talk("out pdu P-DATA-TF 1 +7: stall", provider_timeouts=PATIENT)
    told = "write stall: the peer accepted none of the bytes that the network keeps back within 30 s"
    assert talk.outcome == (told, "connection closed by the peer in Sta6, in a P-DATA-TF, 73 bytes before its end")
    assert talk.user.seconds == 30


def test_a_stall_that_ends_in_time_changes_nothing_else() -> None:
    talk = Talk("out pdu P-DATA-TF 1 +7: stall 20\nin pdu any 3: stall 20")
    assert talk.outcome == GOOD
    assert talk.seconds == 40


def test_a_delay_is_a_delay_of_every_round_trip() -> None:
    """Four of them: the association, C-ECHO, C-STORE, the release."""
    talk = Talk("out at 0: delay 0.25\nin at 0: delay 0.5")
    assert talk.outcome == GOOD
    assert talk.seconds == 4 * 0.75


def test_a_request_that_dribbles_is_late_for_artim() -> None:
    """ARTIM is the time of the whole A-ASSOCIATE-RQ, not of its first byte."""
    talk = Talk("out at 0: dribble 3")
    assert talk.outcome[1] == "ARTIM: waiting for the whole A-ASSOCIATE-RQ: nothing within 30 s"
    assert Talk("out at 0: dribble 100").outcome == GOOD


def test_the_slow_direction_does_not_hold_up_the_other() -> None:
    talk = Talk("in pdu A-ASSOCIATE-AC 1: reorder 1 5")
    assert talk.outcome == GOOD
    assert talk.seconds == 5


def test_a_clock_that_jumps_ahead_fires_the_deadline_that_is_armed() -> None:
    provider = "in pdu A-ASSOCIATE-RQ 1 +100: clock +3600\nin pdu A-ASSOCIATE-RQ 1 +100: stall 9"
    talk = Talk("out at 0: stall 1", provider)
    assert talk.outcome[1] == "ARTIM: waiting for the whole A-ASSOCIATE-RQ: nothing within 30 s"
    assert talk.provider.seconds == 1


def test_a_clock_that_jumps_back_is_late() -> None:
    talk = Talk("in pdu A-ASSOCIATE-AC: clock -20\nin pdu A-ASSOCIATE-AC: stall", "out at 0: stall 5")
    assert talk.outcome[0] == "association: waiting for the answer: nothing within 30 s"
    assert talk.provider.seconds == 50  # when it received the A-ABORT


def test_the_deadline_that_races_with_the_pdu_that_ends_it() -> None:
    """It has passed when the PDU is received, and has not taken effect yet: the PDU counts."""
    assert Talk("in pdu A-ASSOCIATE-AC: clock +30", "out at 0: stall 5").outcome == GOOD
    assert Talk("out at 0: stall 5", "in pdu A-ASSOCIATE-RQ: clock +30").outcome == GOOD


def test_deadlines_that_are_reported_early_or_twice_have_no_effect() -> None:
    for how in ("early 5", "twice"):
        talk = Talk(f"in at 0: timer {how}\nin pdu A-ASSOCIATE-AC: stall 20")
        assert talk.outcome == GOOD
        talk = Talk(f"in at 0: timer {how}\nin pdu A-ASSOCIATE-AC: stall")
        assert talk.outcome[0] == "association: waiting for the answer: nothing within 30 s"
        assert talk.provider.seconds == 30


def test_deadlines_that_are_reported_late() -> None:
    plan = "in at 0: timer late 5 {}\nin pdu A-ASSOCIATE-AC: stall"
    told = "association: waiting for the answer: nothing within 30 s"
    for name, seconds in (("association", 35), ("all", 35), ("ARTIM", 30)):
        talk = Talk(plan.format(name))
        assert (talk.outcome[0], talk.provider.seconds) == (told, seconds), name


# -- pieces: nothing else is changed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", ["every 1: split", "about 7: split", "at 0: short 13", "at 0: merge 700 3",
                                  "at 0: delay 2 2", "every 50: stall 0", "pdu any each +6: split",
                                  "at 0: dribble 500", "every 100: reorder 1 0.5"])  # fmt: skip
def test_pieces_and_times_alone_change_no_event(plan: str) -> None:
    both = f"in {plan}\nout {plan}"
    talk = Talk(both, user_timeouts=PATIENT, provider_timeouts=PATIENT)
    assert talk.outcome == GOOD
    assert bytes(talk.wires[0].sent) == bytes(Talk().wires[0].sent)


@given(harmless_plans(), harmless_plans())
@settings(max_examples=60)
def test_harmless_plans_change_no_event(user: FaultPlan, provider: FaultPlan) -> None:
    talk = Talk(user, provider, user_timeouts=PATIENT, provider_timeouts=PATIENT)
    assert talk.outcome == GOOD


@given(harmless_plans(), harmless_plans())
@settings(max_examples=60)
def test_harmless_plans_change_no_event_of_a_stream(plan: FaultPlan, other: FaultPlan) -> None:
    """The events of an engine that receives a recorded stream, through one faulty wire in another."""
    stream = bytes(Talk().wires[0].sent)
    expected = _events(stream, FaultPlan(), FaultPlan())
    assert len(expected) == 5
    assert _events(stream, plan, other) == expected


def _events(stream: bytes, plan: FaultPlan, other: FaultPlan) -> list[UpperEvent]:
    """The events of a provider that receives this stream; the fragments of a PDV are joined."""
    layer = UpperLayer(Role.ACCEPTOR, timeouts=PATIENT)
    wire = FaultyWire(FaultyWire(layer, plan), other)
    found: list[UpperEvent] = []
    chunks, now, ended = [stream[:500], stream[500:]], 0.0, False
    for _ in range(100_000):
        for event in ready_events(layer):
            if isinstance(event, Closed):
                return found
            before = found[-1] if found else None
            if isinstance(event, Fragment):
                event = replace(event, data=bytes(event.data))
                if isinstance(before, Fragment) and not before.last:
                    event = replace(before, data=bytes(before.data) + bytes(event.data), last=event.last)
                    found.pop()
            found.append(event)
            if layer.state is State.Sta3:
                layer.send(negotiate(ASKED, POLICY))
            elif layer.state is State.Sta8:
                layer.send(ReleaseResponse())
        while wire.data_to_send():
            pass
        deadline = wire.deadline(now)
        if chunks and wire.wants_read and not (deadline is not None and deadline.at <= now):
            wire.receive_data(chunks.pop(0))
        elif not ended and wire.wants_read and layer.state is State.Sta13:
            ended = True
            wire.receive_eof()
        else:
            assert deadline is not None, f"it waits forever: {found}"
            now = max(now, deadline.at)
            wire.handle_timeout(now)
    raise AssertionError("it does not end")


# -- any plan --------------------------------------------------------------------------------------------------------


NO_BYTE_CHANGES = (*HARMLESS, Stall, Dribble, HalfClose, Reset, Timers, Clock)


def _check(user: FaultPlan, provider: FaultPlan) -> None:
    """The conversation ends, both associations are closed, errors are documented ones, and memory is bounded."""
    talk = Talk(user, provider)
    for side, wire in zip((talk.user, talk.provider), talk.wires, strict=True):
        assert side.association.state is State.Sta1
        assert isinstance(side.association.next_event(), Closed)
        assert side.error is None or isinstance(side.error, ProtocolError)
        assert wire.most <= 2 * (HELD + ADDED) + (1 << 20)
    if all(isinstance(one.effect, NO_BYTE_CHANGES) for one in (*user.faults, *provider.faults)):
        assert talk.user.result in (None, [0, 0])
        assert talk.provider.result in (None, [], [OBJECT])  # nothing is complete that was not
    assert Talk(user, provider).bytes == talk.bytes


@given(plans(), plans())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_any_plan_comes_to_an_end_and_repeats(user: FaultPlan, provider: FaultPlan) -> None:
    _check(user, provider)


@given(tapes())
@settings(max_examples=100)
def test_any_tape_comes_to_an_end_and_repeats(plan: FaultPlan) -> None:
    _check(plan, FaultPlan())


@pytest.mark.parametrize("block", range(4))
def test_random_plans_come_to_an_end(block: int) -> None:
    for seed in range(60 * block, 60 * block + 60):
        random = Random(seed)
        _check(random_plan(random), random_plan(random))


# -- limits ----------------------------------------------------------------------------------------------------------


def test_bytes_that_are_kept_back_are_bounded() -> None:
    """The user has 16 MiB to send, and the network takes none: they stay with their source."""
    talk = Talk("out pdu P-DATA-TF 3: stall", objects=(bytes(16 << 20),))
    assert "write stall" in talk.outcome[0]
    assert talk.wires[0].most < 4 << 20


def test_a_stall_of_received_bytes_stops_reading() -> None:
    talk = Talk("", "in pdu P-DATA-TF 3 +9: stall", objects=(bytes(16 << 20),))
    assert talk.outcome[0].startswith("write stall: the peer accepted none of the ")
    assert talk.wires[1].most < 1 << 20


# -- a wire ----------------------------------------------------------------------------------------------------------


def test_an_empty_plan_is_the_inner_wire() -> None:
    association = Association.acceptor()
    wire = FaultyWire(association, FaultPlan())
    assert is_network(wire)
    assert wire.deadline(5.0) == association.deadline(5.0)
    assert (wire.wants_read, wire.wants_close, wire.holds, wire.ending) == (True, False, False, Ending.OPEN)
    chunk = encode(ASKED)
    wire.receive_data(chunk)
    assert association.next_event() == ASKED
    wire.receive_eof(ConnectionLost("cut"))
    assert association.next_event() == ProviderAbort(error=ConnectionLost("cut"))
    wire.handle_timeout(100.0)
    assert isinstance(association.next_event(), Closed)
    assert wire.wants_close


def test_wires_in_wires() -> None:
    """The outer one sees what the inner one left."""
    association = Association.requestor(ASKED)
    wire = FaultyWire(FaultyWire(association, parse_plan("out at 3: insert aa")), parse_plan("out at 3: flip 0"))
    sent = b"".join(b"".join(part) for part in iter(wire.data_to_send, []))
    assert sent == encode(ASKED)[:3] + b"\xab" + encode(ASKED)[3:]
    inner = FaultyWire(association, parse_plan("out at 0: reset"))
    outer = FaultyWire(inner, FaultPlan())
    assert outer.data_to_send() == []
    assert (outer.ending, outer.wants_close) == (Ending.RESET, True)


def test_each_connection_of_faults_has_a_seed_of_its_own() -> None:
    wrap = Faults(parse_plan("seed 5\nout about 9: split"))
    for _ in range(102):
        wrap(Association.acceptor())
    assert wrap.connections == 102
    assert [wire.plan.seed for wire in wrap.wires] == list(range(7, 107))


def test_the_log_says_what_struck_where() -> None:
    wire = Talk("out at 5: flip 0\nout every 100: split\nout at 99999: split").wires[0]
    assert wire.log.counts.keys() == {1, 2}
    strikes = wire.strikes
    assert str(strikes[0].direction.value) + f" {strikes[0].offset} {strikes[0].effect}" == "out 5 flip 0"
    assert [one.offset for one in strikes[1:]] == [100, 200, 300, 400, 500][: len(strikes) - 1]
    assert wire.strikes == []


def test_a_conversation_without_deadlines_and_without_end_is_reported() -> None:
    association = Association.requestor(ASKED, timeouts=PATIENT)
    other = Association.acceptor(timeouts=PATIENT)
    silent = FaultyWire(other, parse_plan("in at 0: stall"))
    with pytest.raises(Endless, match=r"^at 0 s nobody has a deadline$"):
        converse(Side(association, use(association)), Side(other, flows.await_request(other), wire=silent))
    with pytest.raises(Endless, match=r"^not over after 10 steps and 0 s$"):
        Talk(steps=10)


class _OneDeadline:
    """A wire with one deadline, which passes once its clock is there."""

    wants_read, wants_close = True, False

    def __init__(self, at: float) -> None:
        self.at = at
        self.passed = False

    def receive_data(self, data: object) -> None: ...

    def receive_eof(self, why: ConnectionLost | None = None) -> None: ...

    def data_to_send(self) -> list[bytes | memoryview]:
        return [b"x"]

    def deadline(self, now: float) -> Deadline | None:
        return None if self.passed else Deadline(self.at, "one")

    def handle_timeout(self, now: float) -> None:
        self.passed |= now >= self.at


@given(at=st.floats(0.1, 1e6), clock=st.floats(-1e5, 1e5))
@example(at=1.0002408648293255, clock=-1.0)
def test_a_deadline_that_is_reported_when_it_is_due_passes(at: float, clock: float) -> None:
    """Whatever the clock of the inner wire is: to add what was subtracted may give a little less, and an adapter
    reports each deadline once."""
    inner = _OneDeadline(at)
    wire = FaultyWire(inner, FaultPlan(faults=(Fault(Direction.OUT, At(0), Clock(clock)),)))
    wire.data_to_send()
    assert len(wire.strikes) == 1
    due = wire.deadline(0.0)
    assert due is not None
    wire.handle_timeout(due.at)
    if not inner.passed:  # that was for the next piece
        due = wire.deadline(due.at)
        assert due is not None
        wire.handle_timeout(due.at)
    assert inner.passed

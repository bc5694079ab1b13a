"""Every phase has a deadline with its reason; time is virtual and jumps from one to the next."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.performing import next_request
from dicos_proto.dimse.events import Event, MessageData, MessageStart
from dicos_proto.dimse.types import (
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    DimseRequest,
)
from dicos_proto.errors import DeadlineExceeded
from dicos_proto.timers import Deadline, Timeouts, Timer, TimerTable
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.events import Closed, Idle, ProviderAbort
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import Abort, OperationsWindow, ReleaseRequest, ReleaseResponse
from tests.pair import (
    CT,
    REQUEST,
    VERIFICATION,
    Lone,
    Pair,
    Splitter,
    command,
    data,
    p_data,
    policy,
    request,
    splitters,
    start,
)

ECHO = CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)
FIND = CFindRequest(message_id=1, affected_sop_class_uid=CT)
ECHOED = CEchoResponse(message_id_being_responded_to=1, status=0)
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def expire(engine: Association, at: float) -> tuple[str, list[Event]]:
    """Returns the deadline at `at`, and the event when it expires."""
    assert engine.next_event() is None
    deadline = engine.deadline(at)
    assert deadline is not None
    engine.handle_timeout(deadline.at - 0.001)
    assert engine.next_event() is None, "early"
    engine.handle_timeout(deadline.at)
    found: list[Event] = []
    while (event := engine.next_event()) is not None:
        found.append(event)
        if event == Closed():
            break
    engine.handle_timeout(deadline.at)  # repeated calls do nothing
    return deadline.why, found


def given_up(found: list[Event]) -> str:
    abort = found[0]
    assert isinstance(abort, ProviderAbort)
    assert isinstance(abort.error, DeadlineExceeded)
    return str(abort.error)


# -- one phase after another --------------------------------------------------------------------------------------


def test_artim_runs_from_the_connection_to_the_whole_request() -> None:
    lone = Lone(Association.acceptor())
    assert lone.engine.deadline(100.0) == Deadline(130.0, "ARTIM: waiting for the whole A-ASSOCIATE-RQ")
    for at, value in enumerate(encode(REQUEST)[:-1]):
        lone.feed(bytes((value,)))
        assert lone.engine.deadline(100.0 + at / 10) == Deadline(130.0, "ARTIM: waiting for the whole A-ASSOCIATE-RQ")
    lone.engine.handle_timeout(130.0)
    found = lone.events()
    assert given_up(found) == "ARTIM: waiting for the whole A-ASSOCIATE-RQ: nothing within 30 s"
    assert found[1:] == [Closed()]
    assert lone.sent() == b""


def test_a_request_that_is_there_in_time_stops_artim() -> None:
    lone = Lone(Association.acceptor())
    lone.engine.deadline(0.0)
    assert lone.feed(encode(REQUEST)) == [REQUEST]
    assert lone.engine.deadline(10.0) == Deadline(70.0, "accept: waiting for the local user's answer")
    lone.engine.handle_timeout(69.0)
    assert lone.events() == []


def test_what_arrived_before_its_deadline_counts_though_it_is_parsed_after_it() -> None:
    lone = Lone(Association.acceptor())
    lone.engine.deadline(0.0)
    lone.engine.receive_data(encode(REQUEST))
    lone.engine.handle_timeout(30.0)
    assert lone.events() == [REQUEST]
    assert lone.engine.state is State.Sta3


def phase(name: str) -> tuple[Association, str]:
    """An association in a phase, and the reason of its deadline."""
    if name == "association":
        return Association.requestor(REQUEST), "association: waiting for the answer"
    if name == "accept":
        lone = Lone(Association.acceptor())
        assert lone.feed(encode(REQUEST)) == [REQUEST]
        return lone.engine, "accept: waiting for the local user's answer"
    user, provider = Lone.user(), Lone.provider()
    if name == "release":
        user.engine.send(ReleaseRequest())
        return user.engine, "release: waiting for the A-RELEASE-RP"
    if name == "response":
        user.engine.send(start(1, ECHO))
        return user.engine, "response: waiting for the one to message 1"
    if name == "retrieve":
        user = Lone.user(timeouts=Timeouts(response=None))
        user.engine.send(start(3, GET, has_data=True))
        user.engine.send(data(3, b"ab"))
        return user.engine, "retrieve: waiting for the final response to message 4"
    if name == "message":
        provider.feed(command(3, STORE, has_data=True))
        return provider.engine, "message: waiting for the rest of one"
    assert name == "pdu"
    provider.feed(command(1, ECHO)[:9])
    return provider.engine, "PDU: waiting for the rest of one"


@pytest.mark.parametrize("name", ["association", "accept", "release", "response", "retrieve", "message", "pdu"])
def test_each_phase_ends_with_its_reason_and_an_abort(name: str) -> None:
    engine, reason = phase(name)
    engine.data_to_send()
    why, found = expire(engine, 5.0)
    assert why == reason
    assert given_up(found) == f"{reason}: nothing within {getattr(Timeouts(), name):g} s"
    assert decode(b"".join(engine.data_to_send())) == Abort()
    assert engine.state is State.Sta13
    why, found = expire(engine, 200.0)
    assert why == "ARTIM: waiting for the peer to close"
    assert found == [Closed()]


def test_an_idle_peer_is_asked_for_release() -> None:
    provider = Lone.provider()
    why, found = expire(provider.engine, 5.0)
    assert why == "idle: waiting for a request"
    assert found == [Idle(error=DeadlineExceeded("idle: waiting for a request: nothing within 60 s"))]
    assert (provider.sent(), provider.engine.state) == (encode(ReleaseRequest()), State.Sta7)
    assert provider.feed(encode(ReleaseResponse())) == [ReleaseResponse(), Closed()]
    assert provider.sent() == b""


def test_an_idle_peer_that_does_not_agree_to_a_release_is_aborted() -> None:
    provider = Lone.provider()
    expire(provider.engine, 5.0)
    why, found = expire(provider.engine, 65.0)
    assert why == "release: waiting for the A-RELEASE-RP"
    assert given_up(found) == "release: waiting for the A-RELEASE-RP: nothing within 30 s"
    assert provider.sent().endswith(encode(Abort()))


def test_an_idle_peer_that_asks_after_all_is_answered_while_it_is_released() -> None:
    """The peer's request crossed the A-RELEASE-RQ: P-DATA arrives in Sta7, and the release goes on [PS3.8 7.2.2.7]."""
    provider = Lone.provider()
    expire(provider.engine, 5.0)
    assert provider.feed(command(1, ECHO)) == [start(1, ECHO)]
    assert provider.engine.state is State.Sta7


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_a_provider_learns_that_its_peer_was_idle_once_it_is_released(split: Splitter) -> None:
    pair = Pair.established(split=split, user_timeouts=Timeouts(response=None))
    idle, left = pair.run(next_request(pair.provides), next_request(pair.uses))
    assert isinstance(idle, flows.AssociationIdle)
    assert str(idle) == "idle: waiting for a request: nothing within 60 s; the association was released"
    assert left is None
    assert pair.user.state is pair.provider.state is State.Sta1


GET = CGetRequest(message_id=4, affected_sop_class_uid=CT)


def test_a_retrieve_has_a_deadline_of_its_own_whatever_is_pending() -> None:
    user = Lone.user(timeouts=Timeouts(response=40.0, retrieve=100.0))
    user.engine.send(start(3, GET, has_data=True))
    user.engine.send(data(3, b"ab"))
    pending = CGetResponse(message_id_being_responded_to=4, status=0xFF00)
    assert after(user.engine, 0.0) == Deadline(40.0, "response: waiting for the one to message 4")
    for now in (30.0, 60.0):
        user.feed(command(3, pending))
        assert after(user.engine, now) == Deadline(now + 40.0, "response: waiting for the one to message 4") or now > 59
    user.feed(command(3, pending))
    assert after(user.engine, 90.0) == Deadline(100.0, "retrieve: waiting for the final response to message 4")
    user.feed(command(3, CGetResponse(message_id_being_responded_to=4, status=0)))
    assert after(user.engine, 95.0) is None
    user.engine.send(start(3, GET, has_data=True))
    user.engine.send(data(3, b"ab"))
    user.engine.deadline(99.0)
    user.engine.handle_timeout(101.0)
    assert user.events() == []


def test_of_several_retrieves_each_has_its_deadline() -> None:
    window = OperationsWindow(invoked=4, performed=1)
    user = Lone.user(request(window=window), policy(window=window), timeouts=Timeouts(response=None, retrieve=100.0))
    for number, now in ((4, 0.0), (5, 30.0)):
        user.engine.send(start(3, replace(GET, message_id=number), has_data=True))
        user.engine.send(data(3, b"ab"))
        assert after(user.engine, now) == Deadline(100.0, "retrieve: waiting for the final response to message 4")
    user.feed(command(3, CGetResponse(message_id_being_responded_to=4, status=0)))
    assert after(user.engine, 60.0) == Deadline(160.0, "retrieve: waiting for the final response to message 5")
    user.feed(command(3, CGetResponse(message_id_being_responded_to=5, status=0)))
    assert after(user.engine, 70.0) is None


PHASES = ("artim", "association", "accept", "release", "response", "retrieve", "message", "pdu", "idle")


@pytest.mark.parametrize("name", PHASES)
def test_a_phase_without_a_timeout_waits_for_ever(name: str) -> None:
    forever = Timeouts(**dict.fromkeys(PHASES, None))
    engine = Association.acceptor(timeouts=forever)
    if name == "association":
        engine = Association.requestor(REQUEST, timeouts=forever)
    elif name == "accept":
        engine.receive_data(encode(REQUEST))
        assert engine.next_event() == REQUEST
    elif name != "artim":
        users = ("release", "response", "retrieve")
        lone = (Lone.user if name in users else Lone.provider)(timeouts=forever)
        engine = lone.engine
        if name == "release":
            engine.send(ReleaseRequest())
        elif name == "response":
            engine.send(start(1, ECHO))
        elif name == "retrieve":
            engine.send(start(3, GET, has_data=True))
            engine.send(data(3, b"ab"))
        elif name in ("message", "pdu"):
            lone.feed(command(3, STORE, has_data=True)[: None if name == "message" else 9])
    assert engine.next_event() is None
    assert engine.deadline(0.0) is None


@pytest.mark.parametrize("name", Timeouts.__slots__)
@pytest.mark.parametrize("seconds", [0, -1])
def test_a_timeout_of_no_time_is_a_mistake(name: str, seconds: int) -> None:
    with pytest.raises(ValueError, match=f"timeout {name} of {seconds} s; more than 0, or None"):
        Timeouts(**{name: seconds})


# -- what moves a deadline, and what does not ---------------------------------------------------------------------


def after(engine: Association, now: float) -> Deadline | None:
    assert engine.next_event() is None
    return engine.deadline(now)


def test_progress_within_a_message_moves_its_deadline() -> None:
    provider = Lone.provider()
    provider.feed(command(3, STORE, has_data=True))
    assert after(provider.engine, 0.0) == Deadline(60.0, "message: waiting for the rest of one")
    assert after(provider.engine, 30.0) == Deadline(60.0, "message: waiting for the rest of one")
    provider.feed(p_data((3, False, False, b"ab")))
    assert after(provider.engine, 50.0) == Deadline(110.0, "message: waiting for the rest of one")


def test_a_command_set_that_goes_on_in_another_pdu_has_the_deadline_of_a_message() -> None:
    provider = Lone.provider()
    raw = command(3, STORE, has_data=True)[12:]
    provider.feed(p_data((3, True, False, raw[:20])))
    assert after(provider.engine, 0.0) == Deadline(60.0, "message: waiting for the rest of one")
    provider.feed(p_data((3, True, True, raw[20:]), (3, False, True, b"ab")))
    assert after(provider.engine, 1.0) is None


JOINED = Tolerance(joined_data_set=True)


@pytest.mark.parametrize(
    ("stream", "tolerance"),
    [
        (command(3, STORE, has_data=True) + p_data((3, False, True, b"ab")), STRICT),
        (p_data((3, True, True, command(3, STORE, has_data=True)[12:] + b"ab")), JOINED),
    ],
    ids=["data set of its own", "joined data set"],
)
def test_the_idle_clock_starts_anew_with_a_message_that_is_answered_at_once(
    stream: bytes, tolerance: Tolerance
) -> None:
    """Even where no deadline is asked for between the request and its answer."""
    provider = Lone.provider(tolerance=tolerance)
    assert after(provider.engine, 0.0) == Deadline(60.0, "idle: waiting for a request")
    provider.engine.receive_data(stream)
    found = [type(provider.engine.next_event()) for _ in range(2 + (tolerance is JOINED))]
    assert found[-2:] == [MessageStart, MessageData]
    provider.engine.send(start(3, CStoreResponse(message_id_being_responded_to=1, status=0)))
    assert after(provider.engine, 50.0) == Deadline(110.0, "idle: waiting for a request")
    # And with one that has a data set and one that has none.
    provider.engine.receive_data(stream + command(1, ECHO))
    assert [type(provider.engine.next_event()) for _ in range(2)] == [MessageStart, MessageData]
    provider.engine.send(start(3, CStoreResponse(message_id_being_responded_to=1, status=0)))
    assert provider.engine.next_event() == start(1, ECHO)
    provider.engine.send(start(1, ECHOED))
    assert after(provider.engine, 90.0) == Deadline(150.0, "idle: waiting for a request")


@pytest.mark.parametrize(
    ("asked", "final"),
    [
        (CGetRequest(message_id=4, affected_sop_class_uid=CT), CGetResponse),
        (CMoveRequest(message_id=4, affected_sop_class_uid=CT, move_destination="THERE"), CMoveResponse),
    ],
    ids=["C-GET", "C-MOVE"],
)
def test_a_retrieve_after_another_of_the_same_id_has_its_own_deadline(
    asked: DimseRequest, final: type[CGetResponse] | type[CMoveResponse]
) -> None:
    """Even where no deadline is asked for between the two."""
    user = Lone.user(timeouts=Timeouts(response=None, retrieve=100.0))
    for now in (0.0, 30.0):
        user.engine.send(start(3, asked, has_data=True))
        user.engine.send(data(3, b"ab"))
        assert after(user.engine, now) == Deadline(now + 100.0, "retrieve: waiting for the final response to message 4")
        user.engine.receive_data(command(3, final(message_id_being_responded_to=4, status=0)))
        assert isinstance(user.engine.next_event(), MessageStart)
    assert after(user.engine, 40.0) is None


def test_a_byte_of_a_pdu_does_not_move_its_deadline() -> None:
    provider = Lone.provider()
    for at, value in enumerate(command(1, ECHO)[:-1]):
        provider.feed(bytes((value,)))
        deadline = after(provider.engine, float(at))
        assert deadline is not None
        assert deadline.at == 60.0


def test_the_idle_clock_does_not_run_while_an_answer_is_owed() -> None:
    provider = Lone.provider()
    assert after(provider.engine, 0.0) == Deadline(60.0, "idle: waiting for a request")
    provider.feed(command(1, ECHO))
    assert after(provider.engine, 59.0) is None
    assert after(provider.engine, 900.0) is None
    provider.engine.send(start(1, ECHOED))
    assert after(provider.engine, 1000.0) == Deadline(1060.0, "idle: waiting for a request")


def test_a_requestor_may_pause_as_long_as_it_likes() -> None:
    assert after(Lone.user().engine, 0.0) is None


def test_the_response_is_waited_for_once_the_request_is_complete() -> None:
    user = Lone.user()
    user.engine.send(start(3, STORE, has_data=True))
    assert after(user.engine, 0.0) is None
    user.engine.send(data(3, b"ab"))
    assert after(user.engine, 500.0) == Deadline(560.0, "response: waiting for the one to message 1")
    user.feed(command(3, CStoreResponse(message_id_being_responded_to=1, status=0)))
    assert after(user.engine, 501.0) is None


def both_ways(role: Callable[..., Lone]) -> Lone:
    """Its side may ask and be asked."""
    return role(request(both_roles=True), policy(both_roles=True))


def test_the_response_is_not_waited_for_while_the_peer_sends_a_message() -> None:
    """A data set that takes minutes makes progress all the while: only its next PDV has a deadline."""
    user = both_ways(Lone.user)
    user.engine.send(start(1, ECHO))
    assert after(user.engine, 0.0) == Deadline(60.0, "response: waiting for the one to message 1")
    user.feed(command(3, STORE, has_data=True))
    for now in (50.0, 100.0, 150.0):
        user.feed(p_data((3, False, False, b"ab")))
        assert after(user.engine, now) == Deadline(now + 60.0, "message: waiting for the rest of one")


def test_the_response_is_not_waited_for_while_an_answer_is_owed() -> None:
    """The peer may have to wait for that answer before it can give its own."""
    user = both_ways(Lone.user)
    user.engine.send(start(1, ECHO))
    user.feed(command(3, STORE, has_data=True), p_data((3, False, True, b"ab")))
    assert after(user.engine, 0.0) is None
    user.engine.send(start(3, CStoreResponse(message_id_being_responded_to=1, status=0)))
    assert after(user.engine, 500.0) == Deadline(560.0, "response: waiting for the one to message 1")


def test_a_response_that_is_not_the_last_one_moves_the_deadline() -> None:
    user = Lone.user()
    user.engine.send(start(3, FIND, has_data=True))
    user.engine.send(data(3, b"ab"))
    assert after(user.engine, 0.0) == Deadline(60.0, "response: waiting for the one to message 1")
    user.feed(command(3, CFindResponse(message_id_being_responded_to=1, status=0xFF00), has_data=True))
    user.feed(p_data((3, False, True, b"ab")))
    assert after(user.engine, 59.0) == Deadline(119.0, "response: waiting for the one to message 1")


def test_an_acceptor_that_asked_for_release_waits_for_no_request() -> None:
    timeouts = Timeouts(release=None, idle=5.0)
    provider = Lone.provider(timeouts=timeouts)
    assert after(provider.engine, 0.0) == Deadline(5.0, "idle: waiting for a request")
    provider.engine.send(ReleaseRequest())
    assert after(provider.engine, 1.0) is None


def test_the_response_is_not_waited_for_while_it_comes() -> None:
    """A pending response with a data set that takes longer than the response may."""
    user = Lone.user()
    find = CFindRequest(message_id=1, affected_sop_class_uid=VERIFICATION)
    user.engine.send(start(1, find, has_data=True))
    user.engine.send(MessageData(context=1, data=b"ab", last=True))
    assert after(user.engine, 0.0) == Deadline(60.0, "response: waiting for the one to message 1")
    pending = CFindResponse(message_id_being_responded_to=1, status=0xFF00)
    user.feed(command(1, pending, has_data=True))
    for now in (50.0, 100.0):
        user.feed(p_data((1, False, False, b"ab")))
        assert after(user.engine, now) == Deadline(now + 60.0, "message: waiting for the rest of one")
    user.feed(p_data((1, False, True, b"ab")))
    assert after(user.engine, 150.0) == Deadline(210.0, "response: waiting for the one to message 1")


def test_an_acceptor_that_asked_something_waits_for_the_response_only() -> None:
    asked, answer = request(both_roles=True), policy(both_roles=True)
    provider = Lone.provider(asked, answer, timeouts=Timeouts(idle=5.0))
    provider.engine.send(start(1, ECHO))
    assert after(provider.engine, 0.0) == Deadline(60.0, "response: waiting for the one to message 1")
    provider.feed(command(1, ECHOED))
    assert after(provider.engine, 10.0) == Deadline(15.0, "idle: waiting for a request")


@pytest.mark.parametrize("before", [b"", command(3, STORE, has_data=True)], ids=["idle", "within a message"])
def test_nothing_is_waited_for_once_the_peer_asked_for_release(before: bytes) -> None:
    provider = Lone.provider()
    provider.feed(before)
    assert after(provider.engine, 0.0) is not None
    assert provider.feed(encode(ReleaseRequest())) == [ReleaseRequest()]
    assert after(provider.engine, 1.0) is None


def test_a_release_collision_starts_the_release_deadline_anew() -> None:
    pair = Pair.established()
    pair.user.send(ReleaseRequest())
    pair.provider.send(ReleaseRequest())
    assert after(pair.user, 0.0) == Deadline(30.0, "release: waiting for the A-RELEASE-RP")
    pair.events(pair.user)
    assert after(pair.user, 10.0) is None  # Sta9: the local user's turn
    pair.user.send(ReleaseResponse())
    assert after(pair.user, 20.0) == Deadline(50.0, "release: waiting for the A-RELEASE-RP")
    assert pair.provider.next_event() == ReleaseRequest()
    assert after(pair.provider, 20.0) == Deadline(50.0, "release: waiting for the A-RELEASE-RP")  # Sta10
    assert pair.events(pair.provider) == [ReleaseResponse()]
    assert after(pair.provider, 25.0) is None  # Sta12


def test_of_two_that_have_passed_the_first_is_the_reason() -> None:
    provider = Lone.provider(timeouts=Timeouts(message=20.0, pdu=10.0))
    provider.feed(command(3, STORE, has_data=True))
    after(provider.engine, 0.0)
    provider.feed(p_data((3, False, False, b"ab"))[:3])
    after(provider.engine, 15.0)
    provider.engine.handle_timeout(1000.0)
    assert given_up(provider.events()) == "message: waiting for the rest of one: nothing within 20 s"


@pytest.mark.parametrize("clock", [0.0, -1e6, 1e12])
def test_any_clock_will_do(clock: float) -> None:
    lone = Lone(Association.acceptor())
    assert lone.engine.deadline(clock) == Deadline(clock + 30.0, "ARTIM: waiting for the whole A-ASSOCIATE-RQ")
    lone.engine.handle_timeout(clock - 3600.0)  # one that was set back
    assert lone.events() == []
    lone.engine.handle_timeout(clock + 30.0)
    assert lone.events()[-1] == Closed()


def test_a_pair_that_stops_talking_ends_by_itself() -> None:
    pair = Pair.established()
    pair.user.send(start(1, ECHO))
    user, provider = pair.settle()
    assert provider == [start(1, ECHO)]
    reasons = []
    while (deadline := pair.jump()) is not None:
        reasons.append(deadline.why)
        more = pair.settle()
        user += more[0]
        provider += more[1]
    assert reasons == ["response: waiting for the one to message 1"]
    assert user[-1] == provider[-1] == Closed()
    assert provider[1] == Abort()


# -- the table of timers ------------------------------------------------------------------------------------------


def test_a_timer_armed_again_with_its_key_keeps_its_deadline() -> None:
    table = TimerTable()
    table.arm(Timer.IDLE, 10.0, "a", key=1)
    assert table.next_deadline(0.0) == Deadline(10.0, "a")
    table.arm(Timer.IDLE, 10.0, "a", key=1)
    assert table.next_deadline(5.0) == Deadline(10.0, "a")
    table.arm(Timer.IDLE, 10.0, "b", key=2)
    assert table.next_deadline(5.0) == Deadline(15.0, "b")
    table.arm(Timer.IDLE, None, "b", key=2)
    assert table.next_deadline(6.0) is None


def test_the_earliest_deadline_is_next_and_each_expires_once() -> None:
    table = TimerTable()
    table.arm(Timer.ARTIM, 30.0, "late")
    table.arm(Timer.PDU, 10.0, "early")
    assert table.next_deadline(0.0) == Deadline(10.0, "early")
    table.note(40.0)
    assert table.take_expired() == (Timer.PDU, "early: nothing within 10 s")
    assert table.take_expired() == (Timer.ARTIM, "late: nothing within 30 s")
    assert table.take_expired() is None
    assert table.next_deadline(40.0) is None


def test_of_two_with_the_same_deadline_the_more_special_one_counts() -> None:
    for timers in ((Timer.PDU, Timer.MESSAGE), (Timer.MESSAGE, Timer.PDU)):
        table = TimerTable()
        for timer in timers:
            table.arm(timer, 10, timer.value)
        assert table.next_deadline(0) == Deadline(10, "PDU")
        table.note(10)
        assert table.take_expired() == (Timer.PDU, "PDU: nothing within 10 s")


@pytest.mark.parametrize("change", ["cancelled", "restarted"])
def test_what_was_noted_and_is_not_armed_any_more_does_not_expire(change: str) -> None:
    table = TimerTable()
    table.arm(Timer.PDU, 10.0, "a")
    table.arm(Timer.ARTIM, 99.0, "b")
    table.next_deadline(0.0)
    table.note(10.0)
    if change == "cancelled":
        table.cancel(Timer.PDU, Timer.IDLE)
    else:
        table.arm(Timer.PDU, 10.0, "a")
    assert table.take_expired() is None


# -- flows with a clock -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "why"),
    [
        (flows.establish, "association: waiting for the answer"),
        (flows.await_request, "ARTIM: waiting for the whole A-ASSOCIATE-RQ"),
    ],
)
def test_a_flow_raises_the_deadline_that_ended_it(flow: Callable[[Association], flows.Flow[object]], why: str) -> None:
    engine = Association.requestor(REQUEST) if flow is flows.establish else Association.acceptor()
    engine.data_to_send()

    def run() -> None:
        now = 0.0
        for _ in flow(engine):
            deadline = engine.deadline(now)
            if deadline is not None:
                now = deadline.at
                engine.handle_timeout(now)

    with pytest.raises(flows.AssociationAborted, match=why):
        run()

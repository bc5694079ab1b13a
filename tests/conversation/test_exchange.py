"""Exchange: sending goes on while messages are received; messages that have to wait are parked in order, within
limits."""

from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange, absorb_pending, look_idle, read_end
from dicos_proto.conversation.exchange import response_to as reply_to
from dicos_proto.conversation.feed import STARVED, PushSource
from dicos_proto.conversation.invoking import UserOperation, ask, inquire
from dicos_proto.conversation.performing import next_request, requests, respond
from dicos_proto.conversation.reading import (
    DataSetTooLong,
    NoRoom,
    next_piece,
    pieces,
    read_answer,
    read_data,
    skip_data,
)
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CStoreRequest,
    CStoreResponse,
    NEventReportRequest,
    NGetRequest,
    NGetResponse,
    response_to,
)
from dicos_proto.errors import AbortReason, AbortSource, LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.services.storage import StoreMany
from dicos_proto.tolerance import FIELD, STRATOVAN
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort, OperationsWindow, ReleaseRequest, ReleaseResponse, UserInformation
from tests.pair import (
    CT,
    POLICY,
    REQUEST,
    VERIFICATION,
    Lone,
    Pair,
    Splitter,
    command,
    data,
    p_data,
    policy,
    splitters,
    start,
)
from tests.services.parties import parties, serve, then_release

ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
FIND = CFindRequest(message_id=1, affected_sop_class_uid=CT)
GET = NGetRequest(message_id=1, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2.3")
REPORT = NEventReportRequest(
    message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", event_type_id=1
)


def echo(number: int = 1) -> CEchoRequest:
    return CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION)


def echoed(number: int = 1, code: int = 0) -> CEchoResponse:
    return CEchoResponse(message_id_being_responded_to=number, affected_sop_class_uid=VERIFICATION, status=code)


def found(number: int = 1, code: int = 0xFF00) -> CFindResponse:
    return CFindResponse(message_id_being_responded_to=number, status=code)


def got(flow: flows.Flow[Any]) -> Any:
    """Returns the result of a flow that has all that it needs, without its turns."""
    return _turns(flow)[0]


def _turns(flow: flows.Flow[Any]) -> tuple[Any, int]:
    """The same, and how many turns it gives."""
    turns = 0
    while True:
        try:
            need = next(flow)
        except StopIteration as done:
            return done.value, turns
        assert need is flows.Need.TURN
        turns += 1


def one_piece(reading: flows.Stream[Any]) -> flows.Flow[Any]:
    """The first piece of a stream."""
    for step in reading:
        if not isinstance(step, flows.Need):
            return step
        yield step
    return None


def drained(lone: Lone, flow: flows.Flow[Any]) -> Any:
    """Returns the result of a flow that waits only for what it sends to be taken."""
    for need in flow:
        assert need is not flows.Need.INPUT
        lone.sent()
    return None


# -- both ways at once ---------------------------------------------------------------------------------------------


@ANY
def test_two_sides_that_flood_each_other_never_stand_still(split: Splitter) -> None:
    """Each sends more than the other takes before it was taken from: only who reads while he writes gets through."""
    tight = Limits(queued=500, received_ahead=500)
    pair = parties(VERIFICATION, CT, both_roles=(CT,), split=split, user_limits=tight, provider_limits=tight)
    size = 20_000

    def flood(exchange: Exchange) -> flows.Flow[tuple[int, int]]:
        exchange.send(3, STORE, (bytes(300) for _ in range(size // 300)))
        taken = code = 0
        answered = done = False
        while not (answered and done and not exchange.sending):
            match (yield from exchange.step()):
                case MessageStart(command=CStoreRequest()) as asked:
                    assert asked.command == STORE
                case MessageStart(command=CStoreResponse() as answer):
                    code, answered = answer.status, True
                case MessageData(data=piece, last=last):
                    taken += len(piece)
                    if last:
                        exchange.reply(reply_to(start(3, STORE), 0xB000))
                        done = True
                case _:
                    pass
        return taken, code

    expected = (size // 300 * 300, 0xB000)
    assert pair.run(flood(pair.uses), flood(pair.provides)) == [expected, expected]
    assert (
        pair.user.operations.outstanding,
        pair.user.operations.owed,
        pair.provider.operations.outstanding,
        pair.provider.operations.owed,
    ) == (0, 0, 0, 0)


def test_room_is_what_the_window_leaves() -> None:
    pair = parties(VERIFICATION, window=3)
    assert pair.uses.room == 3
    pair.uses.send(1, echo(1))
    assert pair.uses.room == 2
    unlimited = parties(VERIFICATION, window=0, user_limits=Limits(outstanding=7))
    assert unlimited.uses.room == 7
    assert Exchange(Pair().user).room == Limits().outstanding  # nothing is agreed yet, and nothing can be sent


def test_a_reply_waits_for_the_end_of_the_data_set_that_is_being_sent() -> None:
    pair = parties(VERIFICATION, CT, both_roles=(VERIFICATION,), user_limits=Limits(queued=1))
    pair.provider.send(start(1, echo(9)))

    def busy() -> flows.Flow[None]:
        pair.uses.send(3, STORE, [b"ab"] * 5)
        asked = yield from pair.uses.step()
        assert asked == start(1, echo(9))
        assert isinstance(asked, MessageStart)
        assert pair.uses.sending
        pair.uses.reply(reply_to(asked, 0))
        assert (yield from pair.uses.step()) is None  # the data set is handed on, and then the reply

    pair.run(busy())
    events = pair.events(pair.provider)
    assert events[0] == start(3, STORE, has_data=True)
    assert events[-1] == start(1, echoed(9))


@pytest.mark.parametrize("whole", [b"abcd", bytearray(b"abcd"), memoryview(b"abcd")])
def test_a_data_set_may_be_given_whole(whole: Any) -> None:
    pair = parties(CT)
    pair.uses.send(1, STORE, whole)
    assert pair.events(pair.provider) == [start(1, STORE, has_data=True), data(1, b"abcd")]


@pytest.mark.parametrize(("has_data", "given"), [(False, b"abcd"), (False, [b"abcd"]), (True, None)])
def test_a_message_that_says_otherwise_than_what_is_given_is_not_begun(has_data: bool, given: Any) -> None:
    pair = parties(CT)
    with pytest.raises(LocalProtocolError, match="given the contrary"):
        pair.uses.begin(start(1, STORE, has_data=has_data), given)
    assert pair.user.bytes_queued == pair.user.operations.outstanding == 0
    pair.uses.begin(start(1, STORE, has_data=True), b"abcd")
    assert pair.events(pair.provider) == [start(1, STORE, has_data=True), data(1, b"abcd")]


def test_nothing_more_can_be_sent_after_a_source_that_fails() -> None:
    pair = parties(CT, user_limits=Limits(queued=1))

    def pieces() -> Iterator[bytes]:
        yield b"ab"
        yield b"cd"
        raise OSError("gone")

    pair.uses.send(1, STORE, pieces())
    with pytest.raises(OSError, match="gone"):
        pair.run(pair.uses.step())
    assert pair.user.operations.sending
    assert not pair.uses.sending


@pytest.mark.parametrize(
    "wrong", [None, "cd", 5, memoryview(b"cdef").cast("H"), array("H", [1] * 10)], ids=lambda one: type(one).__name__
)
@pytest.mark.parametrize("before", [[], [b"ab"], [b"ab", b"cd"]])
@pytest.mark.parametrize("after", [[], [b"ef"]])
def test_what_is_no_piece_is_no_end_of_a_data_set(before: list[Any], wrong: Any, after: list[Any]) -> None:
    """A queue that gives None, or an array of wide items: the data set is not complete then, and never looks so."""
    pair = parties(CT)
    with pytest.raises(LocalProtocolError, match=r"^data in "):
        pair.uses.send(1, STORE, [*before, wrong, *after])
    assert pair.user.operations.sending
    assert not pair.uses.sending
    events = pair.events(pair.provider)
    assert not any(isinstance(event, MessageData) and event.last for event in events)
    pair.user.send(Abort())
    with pytest.raises(LocalProtocolError, match=r"C-ECHO-RQ on an association that is over \(Sta13\)"):
        UserOperation(pair.uses, 1, echo(2))


def test_a_none_of_a_feed_is_no_end_of_a_data_set() -> None:
    pair = parties(CT)
    feed = PushSource()
    pair.uses.send(1, STORE, feed)
    feed.push(b"ab")
    feed.push(None)  # type: ignore[arg-type]
    feed.push(b"cd")
    with pytest.raises(LocalProtocolError, match="data in NoneType"):
        pair.uses.pump()
    assert pair.user.operations.sending


# -- asking --------------------------------------------------------------------------------------------------------


def test_a_request_of_the_peer_meanwhile_is_kept() -> None:
    pair = parties(VERIFICATION, CT, both_roles=(CT,))

    def crossing() -> flows.Flow[Any]:
        pair.provides.send(3, STORE, b"abcd")
        asked = yield from next_request(pair.provides)
        assert asked is not None
        pair.provides.reply(reply_to(asked, 0))
        answer = yield from pair.provides.step()
        return answer

    def using() -> flows.Flow[Any]:
        answer = yield from ask(pair.uses, 1, echo())
        asked = yield from next_request(pair.uses)
        assert asked == start(3, STORE, has_data=True)
        assert asked is not None
        content = yield from read_data(pair.uses)
        yield from respond(pair.uses, 3, response_to(STORE, 0))
        return answer, content

    (answer, content), stored = pair.run(using(), crossing())
    assert (answer, content) == (echoed(), b"abcd")
    assert stored == start(3, response_to(STORE, 0))


@ANY
def test_a_request_too_large_to_keep_is_refused_and_read_over(split: Splitter) -> None:
    user = Lone.user(split=split)
    flow = ask(user.exchange, 1, echo())
    assert next(flow) is flows.Need.INPUT
    user.sent()
    small = command(3, REPORT, has_data=True) + p_data((3, False, True, b"ab"))
    large = command(3, REPORT, has_data=True) + b"".join(p_data((3, False, n == 7, bytes(10_000))) for n in range(8))
    for chunk in split([large + command(1, echoed())]):
        user.engine.receive_data(chunk)
    assert got(flow) == echoed()
    refused = response_to(REPORT, status.RESOURCE_LIMITATION)
    assert user.sent() == command(3, refused)
    # And the next one, which is small enough, is kept.
    flow = ask(user.exchange, 1, echo(2))
    assert next(flow) is flows.Need.INPUT
    user.engine.receive_data(small + command(1, echoed(2)))
    assert got(flow) == echoed(2)
    assert got(next_request(user.exchange)) == start(3, REPORT, has_data=True)
    assert got(read_data(user.exchange)) == b"ab"


def test_a_command_too_many_to_keep_is_refused() -> None:
    user = Lone.user(limits=Limits(parked=100))
    flow = ask(user.exchange, 1, echo())
    assert next(flow) is flows.Need.INPUT
    user.sent()
    user.engine.receive_data(command(3, REPORT) + command(1, echoed()))
    assert got(flow) == echoed()
    assert user.sent() == command(3, response_to(REPORT, status.RESOURCE_LIMITATION))


def test_refusals_that_nobody_takes_are_not_made_without_end() -> None:
    user = Lone.user(limits=Limits(parked=100, queued=1000))
    refusal = command(3, response_to(REPORT, status.RESOURCE_LIMITATION))
    flow = ask(user.exchange, 1, echo())
    next(flow)
    user.sent()
    for _ in range(1000 // len(refusal) + 1):
        user.engine.receive_data(command(3, REPORT))
        assert next(flow) is flows.Need.INPUT
    user.engine.receive_data(command(3, REPORT))  # its refusal waits
    assert next(flow) is flows.Need.DRAIN
    queued = user.engine.bytes_queued
    assert 1000 <= queued < 1000 + len(refusal)
    assert user.sent() == refusal * (queued // len(refusal))
    assert next(flow) is flows.Need.INPUT
    assert user.sent() == refusal

    for _ in range(1000 // len(refusal) + 2):
        user.engine.receive_data(command(3, REPORT))
        next(flow)
    user.engine.receive_data(command(3, REPORT))  # before the one before it is answered
    with pytest.raises(flows.AssociationAborted, match="message id 1, which is still in use"):
        next(flow)


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"attribute_identifier_list": tuple(range(16_000))}, 1),
        ({"attribute_identifier_list": tuple(range(1000))}, 2),
        ({"other": ((0x5000, bytes(60_000)),)}, 2),
        ({"other": ((0x5000, bytes(65_390)),)}, 1),
    ],
)
def test_a_command_that_waits_counts_for_what_it_holds(more: dict[str, Any], kept: int) -> None:
    """Sixteen thousand tags are one command of 64 kB, and ten times that in memory."""
    window = OperationsWindow(invoked=4, performed=4)
    asked = replace(REQUEST, user_information=UserInformation(window=window))
    lone = Lone.provider(asked, policy(max_length=0, window=window))
    for number in (1, 2, 3):
        lone.engine.receive_data(command(3, replace(GET, message_id=number, **more)))
    assert got(absorb_pending(lone.exchange)) is None
    assert [number for number in (1, 2, 3) if lone.engine.operations.owes(number)] == [*range(1, kept + 1)]
    for number in (1, 2, 3):  # nothing of it is lost
        start = got(next_request(lone.exchange))
        assert start.command == replace(GET, message_id=number, **more)


def test_the_answers_data_set_is_not_that_of_a_request_that_came_before_it() -> None:
    user = Lone.user()
    flow = inquire(user.exchange, 3, GET)
    assert next(flow) is flows.Need.INPUT
    answer = NGetResponse(message_id_being_responded_to=1, status=0)
    user.engine.receive_data(
        command(3, REPORT, has_data=True)
        + p_data((3, False, True, b"report"))
        + command(3, answer, has_data=True)
        + p_data((3, False, True, b"answer"))
    )
    result = got(flow)
    assert (result.response, result.data) == (answer, b"answer")
    assert got(next_request(user.exchange)) == start(3, REPORT, has_data=True)
    assert got(read_data(user.exchange)) == b"report"


def test_a_request_kept_in_part_is_read_to_its_end_from_the_wire() -> None:
    user = Lone.user()
    flow = ask(user.exchange, 1, echo())
    assert next(flow) is flows.Need.INPUT
    user.engine.receive_data(
        command(1, echoed()) + command(3, REPORT, has_data=True) + p_data((3, False, False, b"ab"))
    )
    assert got(flow) == echoed()

    def look() -> flows.Flow[None]:
        yield from absorb_pending(user.exchange)

    got(look())
    assert got(next_request(user.exchange)) == start(3, REPORT, has_data=True)
    reading = read_data(user.exchange)
    assert next(reading) is flows.Need.INPUT
    user.engine.receive_data(p_data((3, False, True, b"cd")))
    assert got(reading) == b"abcd"


def test_pieces_that_come_while_a_message_is_read_stay_its_own() -> None:
    """A handler that answers something else in the middle of reading."""
    provider = Lone.provider()
    provider.engine.receive_data(command(3, STORE, has_data=True) + p_data((3, False, False, b"ab")))
    assert got(next_request(provider.exchange)) == start(3, STORE, has_data=True)
    assert got(next_piece(provider.exchange)).data == b"ab"
    provider.engine.receive_data(p_data((3, False, True, b"cd")))
    got(absorb_pending(provider.exchange))
    assert got(read_data(provider.exchange)) == b"cd"


def test_asking_while_a_data_set_is_being_read_is_a_mistake() -> None:
    pair = parties(VERIFICATION, CT, both_roles=(VERIFICATION,))
    pair.uses.send(3, STORE, b"abcd")
    pair.pump()
    assert got(next_request(pair.provides)) == start(3, STORE, has_data=True)
    with pytest.raises(LocalProtocolError, match="C-ECHO-RQ while a data set is being read"):
        UserOperation(pair.provides, 1, echo())
    with pytest.raises(LocalProtocolError, match="C-STOREs while a data set is being read"):
        StoreMany(pair.provides, [])


class Room:
    """A holder with room for this many bytes."""

    def __init__(self, size: int) -> None:
        self.size = self.left = size

    def hold(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True

    def let_go(self) -> None:
        self.left = self.size


@ANY
def test_what_was_held_of_a_data_set_is_let_go_once_there_is_no_room_for_the_rest(split: Splitter) -> None:
    provider = Lone.provider()
    stream = (
        command(3, STORE, has_data=True)
        + p_data((3, False, False, bytes(1500)))
        + p_data((3, False, True, b"ab" * 400))
    )
    for chunk in split([stream]):
        provider.engine.receive_data(chunk)
    assert got(next_request(provider.exchange)) == start(3, STORE, has_data=True)
    room = Room(2000)
    with pytest.raises(NoRoom):
        got(read_data(provider.exchange, "collected", room))
    assert room.left == 2000


def test_what_an_operation_is_told_ends_with_its_final_response() -> None:
    pair = parties(CT)

    def provide() -> flows.Flow[None]:
        yield from next_request(pair.provides)
        yield from skip_data(pair.provides)
        for number in range(3):
            yield from respond(pair.provides, 1, found(), b"match %d" % number)
        yield from respond(pair.provides, 1, found(code=0))

    def use() -> flows.Flow[list[Any]]:
        operation = UserOperation(pair.uses, 1, FIND, b"identifier")
        seen: list[Any] = []
        while not operation.over:
            answer = yield from read_answer(pair.uses, (yield from operation.next()))
            seen.append((answer.response.status, answer.data))
        return seen

    seen, _ = pair.run(use(), provide())
    assert seen == [(0xFF00, b"match 0"), (0xFF00, b"match 1"), (0xFF00, b"match 2"), (0, None)]


def test_matches_nobody_reads_are_read_over() -> None:
    pair = parties(CT)

    def provide() -> flows.Flow[None]:
        yield from next_request(pair.provides)
        for number in range(3):
            yield from respond(pair.provides, 1, found(), b"match %d" % number)
        yield from respond(pair.provides, 1, found(code=0xA700))

    answer, _ = pair.run(ask(pair.uses, 1, FIND, b"identifier"), provide())
    assert answer.status == 0xA700
    pair = parties(CT)
    answer, _ = pair.run(inquire(pair.uses, 1, FIND, b"identifier"), provide())
    assert (answer.response.status, answer.data) == (0xA700, None)


def test_a_request_is_not_an_answer() -> None:
    pair = parties(CT)
    with pytest.raises(TypeError, match="C-FIND-RQ is not a response"):
        next(read_answer(pair.uses, start(1, FIND)))


def test_an_early_final_response_does_not_cut_the_request_short() -> None:
    pair = parties(CT, user_limits=Limits(queued=1))

    def hasty() -> flows.Flow[Any]:
        asked = yield from next_request(pair.provides)
        assert asked is not None
        pair.provides.reply(reply_to(asked, 0xA700))
        return (yield from read_data(pair.provides))

    answer, content = pair.run(ask(pair.uses, 1, STORE, [b"ab"] * 50), hasty())
    assert answer.status == 0xA700
    assert content == b"ab" * 50
    assert not pair.user.operations.sending


def test_what_comes_between_an_early_response_and_the_end_of_its_request_is_kept() -> None:
    pair = parties(VERIFICATION, CT, both_roles=(VERIFICATION,), user_limits=Limits(queued=1))

    def hasty() -> flows.Flow[Any]:
        asked = yield from next_request(pair.provides)
        assert asked is not None
        pair.provides.reply(reply_to(asked, 0xA700))
        pair.provides.send(1, echo(5))
        yield from skip_data(pair.provides)
        return (yield from pair.provides.step())

    def use() -> flows.Flow[Any]:
        answer = yield from ask(pair.uses, 3, STORE, [b"ab"] * 50)
        asked = yield from next_request(pair.uses)
        assert asked == start(1, echo(5))
        assert asked is not None
        pair.uses.reply(reply_to(asked, 0))
        return answer.status

    assert pair.run(use(), hasty()) == [0xA700, start(1, echoed(5))]


@pytest.mark.parametrize("parked", [1000, 100])
def test_an_answer_to_something_sent_by_hand_meanwhile_is_kept_if_there_is_room(parked: int) -> None:
    pair = parties(VERIFICATION, window=2, user_limits=Limits(parked=parked))
    operation = UserOperation(pair.uses, 1, echo(1))
    pair.uses.send(1, echo(2))
    assert pair.events(pair.provider) == [start(1, echo(1)), start(1, echo(2))]
    for number in (2, 1):
        pair.provides.send(1, echoed(number))
    pair.pump()
    assert got(operation.next()) == start(1, echoed(1))
    if parked == 1000:
        assert got(pair.uses.step()) == start(1, echoed(2))
    else:
        assert next(pair.uses.step()) is flows.Need.INPUT
    assert pair.user.operations.outstanding == 0


def test_pending_responses_without_data_are_passed_over() -> None:
    user = Lone.user()
    flow = inquire(user.exchange, 3, CGetRequest(message_id=1, affected_sop_class_uid=CT), b"identifier")
    assert next(flow) is flows.Need.INPUT
    pending = CGetResponse(message_id_being_responded_to=1, status=0xFF00, remaining=1)
    final = CGetResponse(message_id_being_responded_to=1, status=0)
    user.engine.receive_data(command(3, pending) + command(3, final))
    assert got(flow).response == final


def test_a_data_set_is_read_while_another_is_sent() -> None:
    pair = parties(VERIFICATION, CT, both_roles=(CT,), user_limits=Limits(queued=1))

    def use() -> flows.Flow[bytes]:
        asked = yield from next_request(pair.uses)
        assert asked is not None
        pair.uses.send(3, STORE, [b"ab"] * 20)
        content = yield from read_data(pair.uses)
        assert not pair.uses.sending
        return content

    pair.provider.send(start(3, STORE, has_data=True))

    def late() -> flows.Flow[bytes]:
        asked = yield from next_request(pair.provides)
        assert asked is not None
        content = yield from read_data(pair.provides)
        pair.provider.send(data(3, b"cd"))
        return content

    assert pair.run(use(), late()) == [b"cd", b"ab" * 20]


def test_who_asked_for_the_association_is_known() -> None:
    pair = parties(VERIFICATION)
    assert pair.uses.request.calling_aet == pair.provides.request.calling_aet == "USER"
    with pytest.raises(LocalProtocolError, match="no association was asked for yet"):
        _ = Exchange(Association.acceptor()).request


# -- C-CANCEL ------------------------------------------------------------------------------------------------------


@ANY
def test_a_cancel_is_seen_between_two_answers(split: Splitter) -> None:
    pair = parties(CT, split=split)
    made = 0

    def provide() -> flows.Flow[int]:
        nonlocal made
        yield from next_request(pair.provides)
        yield from skip_data(pair.provides)
        while not pair.provides.cancelled(1):
            made += 1
            yield from respond(pair.provides, 1, found(), b"match")
        yield from respond(pair.provides, 1, found(code=status.CANCEL))
        return made

    def use() -> flows.Flow[int]:
        operation = UserOperation(pair.uses, 1, FIND, b"identifier")
        for _ in range(3):
            yield from operation.next()
            yield from skip_data(pair.uses)
        operation.cancel()
        while not operation.over:
            last = yield from operation.next()
            yield from skip_data(pair.uses)
        assert isinstance(last.command, CFindResponse)
        return last.command.status

    assert pair.run(use(), provide())[0] == status.CANCEL
    assert 3 <= made < 20
    assert not pair.provides.cancelled(1)  # the id is free, and what was cancelled is forgotten


@pytest.mark.parametrize("number", [1, 77])
def test_a_cancel_of_what_is_not_outstanding_is_no_fault(number: int) -> None:
    provider = Lone.provider()
    provider.engine.receive_data(command(1, CCancelRequest(message_id_being_responded_to=number)) + command(1, echo()))
    assert got(next_request(provider.exchange)) == start(1, echo())
    assert not provider.exchange.cancelled(number)


def test_a_cancel_that_comes_with_its_request_is_known_when_it_is_performed() -> None:
    provider = Lone.provider()
    provider.engine.receive_data(
        command(3, FIND, has_data=True)
        + p_data((3, False, True, b"identifier"))
        + command(3, CCancelRequest(message_id_being_responded_to=1))
    )
    got(next_request(provider.exchange))
    got(read_data(provider.exchange))
    assert next(next_request(provider.exchange)) is flows.Need.INPUT
    assert provider.exchange.cancelled(1)


@ANY
def test_polls_give_what_flows_give(split: Splitter) -> None:
    """And a need that is left unmet is given again, for any split."""
    provider = Lone.provider()
    stream = (
        command(1, echo())
        + command(1, CCancelRequest(message_id_being_responded_to=1))
        + command(3, FIND, has_data=True)
        + p_data((3, False, False, b"iden"))
        + p_data((3, False, True, b"tifier"))
        + encode(ReleaseRequest())
    )
    exchange, seen, content = provider.exchange, [], b""
    assert [exchange.poll(), exchange.poll()] == [flows.Need.INPUT] * 2
    for piece in split([stream]):
        provider.engine.receive_data(piece)
        while not isinstance(event := exchange.poll(), flows.Need):
            assert event is not None
            if isinstance(event, MessageData):
                content += event.data
                assert exchange.unread is not event.last
            else:
                seen.append(event)
                assert exchange.reading is event
                if isinstance(event.command, CEchoRequest):
                    exchange.reply(reply_to(event, 0))
        assert event is flows.Need.INPUT
    assert provider.engine.state is State.Sta13  # the release is answered; the peer is to close
    assert exchange.poll() is flows.Need.INPUT
    assert seen == [
        start(1, echo()), start(1, CCancelRequest(message_id_being_responded_to=1)), start(3, FIND, has_data=True),
    ]  # fmt: skip
    assert content == b"identifier"
    provider.engine.receive_eof()
    assert exchange.poll() is flows.Need.DRAIN
    for _ in range(3):
        with pytest.raises(flows.AssociationReleased):
            exchange.poll()  # it is over


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (encode(Abort()), flows.AssociationAborted),
        (encode(ReleaseRequest()), flows.AssociationReleased),
        (p_data((3, False, True, b"")) + encode(ReleaseRequest()), flows.AssociationReleased),
    ],
    ids=["aborts", "releases within a message", "releases"],
)
def test_the_end_is_told_again_to_who_has_not_heard_it(end: bytes, error: type[Exception]) -> None:
    """The caller refuses the data set that came before it; the end is there when it is answered."""
    provider = Lone.provider()
    provider.engine.receive_data(command(3, STORE, has_data=True) + p_data((3, False, False, b"x")) + end)
    provider.engine.receive_eof()
    exchange = provider.exchange
    request = got(next_request(exchange))
    reading = pieces(exchange, request)
    assert got(one_piece(reading)) == b"x"
    reading.close()
    for _ in range(2):
        with pytest.raises(error) as told:
            drained(provider, read_end(exchange))
        if isinstance(told.value, flows.AssociationAborted):
            assert not isinstance(told.value.event, Closed)  # but the reason
    with pytest.raises(error):
        drained(provider, skip_data(exchange) if exchange.unread else exchange.step())


def test_there_is_no_end_to_read_while_the_association_lasts() -> None:
    provider = Lone.provider()
    provider.engine.receive_data(command(3, STORE, has_data=True) + p_data((3, False, False, b"x")))
    got(next_request(provider.exchange))
    assert got(read_end(provider.exchange)) is None
    provider.engine.receive_data(encode(Abort()))
    with pytest.raises(flows.AssociationAborted):
        got(read_end(provider.exchange))


def test_what_is_kept_comes_first_by_a_poll() -> None:
    pair = parties(VERIFICATION, CT, both_roles=(CT,), window=2)
    pair.uses.send(1, echo(1))
    pair.uses.send(1, echo(2))
    pair.run(_looking(pair.provides))
    assert pair.provides.poll(parked=False) is flows.Need.INPUT
    assert pair.provides.poll() == start(1, echo(1))
    assert got(next_request(pair.provides)) == start(1, echo(2))
    assert pair.provides.poll() is flows.Need.INPUT


def test_a_poll_says_that_the_data_set_is_handed_on() -> None:
    pair = parties(VERIFICATION, CT, window=2)
    pair.uses.send(3, STORE, iter([b"ab", b"cd"]))
    assert pair.uses.poll() is flows.Need.INPUT  # it was handed on within `send`
    pair.uses.send(3, replace(STORE, message_id=2), iter([b"ab", STARVED, b"cd"]))
    assert pair.uses.poll() is None
    assert not pair.uses.sending


def test_requests_are_given_until_the_release() -> None:
    window = OperationsWindow(invoked=2, performed=2)
    asked = replace(REQUEST, user_information=UserInformation(window=window))
    provider = Lone.provider(asked, replace(POLICY, window=window))
    provider.engine.receive_data(
        command(3, FIND, has_data=True)
        + p_data((3, False, True, b"nobody reads this"))
        + command(3, CCancelRequest(message_id_being_responded_to=1))
        + command(1, echo(2))
    )
    stream = requests(provider.exchange)
    assert next(stream) == start(3, FIND, has_data=True)
    assert next(stream) == start(1, echo(2))
    assert provider.exchange.cancelled(1)
    assert [next(stream), next(stream)] == [flows.Need.INPUT] * 2
    provider.engine.receive_data(encode(ReleaseRequest()))
    assert next(stream) is flows.Need.INPUT
    provider.engine.receive_eof()
    assert list(stream) == [flows.Need.DRAIN]


def test_a_response_is_not_among_the_requests() -> None:
    pair = parties(VERIFICATION, CT, both_roles=(CT,))
    pair.provides.send(3, STORE, b"abcd")
    pair.provider.receive_data(command(3, response_to(STORE, 0)) + command(1, echo()))
    assert next(requests(pair.provides)) == start(1, echo())
    assert not pair.provider.operations.outstanding


def _looking(exchange: Exchange) -> flows.Flow[None]:
    """A provider that notes received messages before it asks for them."""
    yield flows.Need.INPUT
    yield from absorb_pending(exchange)


def test_tiny_pieces_that_have_to_wait_are_joined() -> None:
    lone = Lone.provider()
    lone.engine.receive_data(
        command(3, FIND, has_data=True)
        + p_data(*((3, False, False, b"x") for _ in range(9)))
        + p_data((3, False, True, b"y"))
    )
    got(next_request(lone.exchange))
    got(absorb_pending(lone.exchange))
    assert lone.exchange.poll() == MessageData(context=3, data=b"x" * 9 + b"y", last=True)


def test_a_deviation_among_what_has_to_wait_changes_nothing() -> None:
    lone = Lone.provider(tolerance=FIELD)
    sent = command(3, GET).replace(b"1.2.3\0", b"1.2.3 ")  # padded with a space, which is a deviation
    assert sent != command(3, GET)
    lone.engine.receive_data(sent)
    got(absorb_pending(lone.exchange))
    assert lone.engine.terms.deviations
    assert got(next_request(lone.exchange)) == start(3, GET)


# -- performing ----------------------------------------------------------------------------------------------------


@ANY
def test_operations_may_be_finished_in_another_order(split: Splitter) -> None:
    pair = parties(VERIFICATION, window=4, split=split)
    for number in (1, 2, 3, 4):
        pair.uses.send(1, echo(number))

    def provide() -> flows.Flow[None]:
        asked = []
        for _ in range(4):
            asked.append((yield from next_request(pair.provides)))
        for one in reversed(asked):
            assert one is not None
            pair.provides.reply(reply_to(one, 0))

    def use() -> flows.Flow[list[int]]:
        order = []
        while pair.user.operations.outstanding:
            event = yield from pair.uses.step()
            assert isinstance(event, MessageStart)
            assert isinstance(event.command, CEchoResponse)
            order.append(event.command.message_id_being_responded_to)
        return order

    assert pair.run(use(), provide())[0] == [4, 3, 2, 1]


def test_answers_are_made_no_faster_than_they_are_taken() -> None:
    tight = Limits(queued=1000, received_ahead=1000)
    pair = parties(CT, user_limits=tight, provider_limits=tight)
    most = 0

    def provide() -> flows.Flow[None]:
        nonlocal most
        yield from next_request(pair.provides)
        yield from skip_data(pair.provides)
        for _ in range(100):
            yield from respond(pair.provides, 1, found(), (bytes(100) for _ in range(20)))
            most = max(most, pair.provider.bytes_queued)
        yield from respond(pair.provides, 1, found(code=0))

    answer, _ = pair.run(ask(pair.uses, 1, FIND, b"identifier"), provide())
    assert answer.status == 0
    assert most <= 1500


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_a_peer_that_takes_no_answers_is_not_heard_until_it_does(split: Splitter, one_by_one: bool) -> None:
    lone = Lone.provider(limits=Limits(queued=1000, received_ahead=5000, received_pieces=10_000))
    burst = command(1, echo()) * 20  # whose answers are more than 1000 bytes
    answered = 0

    def provide() -> flows.Flow[None]:
        nonlocal answered
        stream = requests(lone.exchange)
        while True:
            if one_by_one:
                asked: object = yield from next_request(lone.exchange)
            else:
                asked = next(stream)
                if isinstance(asked, flows.Need):
                    yield asked
                    continue
            assert isinstance(asked, MessageStart)
            lone.exchange.reply(reply_to(asked, 0))
            answered += 1

    flow = provide()
    needs = [next(flow)]

    def feed() -> None:
        for chunk in split([burst]):
            lone.engine.receive_data(chunk)
            needs.append(next(flow))

    feed()
    assert needs[0] is flows.Need.INPUT
    assert needs[-1] is flows.Need.DRAIN
    before, queued = answered, lone.engine.bytes_queued
    assert 1000 <= queued < 1000 + 100  # the answer that is one too many
    asked_by_then = len(needs)
    while lone.engine.wants_read:
        feed()
    assert set(needs[asked_by_then:]) == {flows.Need.DRAIN}
    assert (answered, lone.engine.bytes_queued) == (before, queued)
    while needs[-1] is flows.Need.DRAIN:
        assert lone.sent()
        needs.append(next(flow))
    assert answered % 20 == 0  # all that has come
    assert answered > 60
    assert lone.engine.wants_read


def test_the_peers_next_requests_wait_while_one_is_performed() -> None:
    pair = parties(VERIFICATION, CT, window=4, provider_limits=Limits(parked=300))
    pair.uses.send(3, FIND, b"identifier")
    for number in (2, 3, 4):
        pair.uses.send(1, echo(number))

    def find(exchange: Exchange, asked: MessageStart) -> flows.Flow[Any]:
        yield from skip_data(exchange)
        if isinstance(asked.command, CEchoRequest):
            yield from respond(exchange, 1, echoed(asked.command.message_id))
            return asked.command.message_id
        for _ in range(3):
            yield from respond(exchange, 3, found(), b"match")
        yield from respond(exchange, 3, found(code=0))
        return "find"

    def use() -> flows.Flow[list[Any]]:
        seen = []
        while pair.user.operations.outstanding:
            event = yield from pair.uses.step()
            if isinstance(event, MessageStart) and isinstance(event.command, CFindResponse | CEchoResponse):
                seen.append(event.command.status)
        return seen

    seen, done = pair.run(then_release(pair.uses, use()), serve(pair.provides, find))
    assert seen == [0xFF00, 0xFF00, 0xFF00, 0, 0, 0, 0]
    assert done == ["find", 2, 3, 4]


def test_a_response_waits_for_the_data_set_of_the_one_before() -> None:
    pair = parties(VERIFICATION, CT, window=2, provider_limits=Limits(queued=1))
    pair.uses.send(3, FIND, b"identifier")
    pair.uses.send(1, echo(2))

    def provide() -> flows.Flow[None]:
        yield from next_request(pair.provides)
        yield from skip_data(pair.provides)
        yield from next_request(pair.provides)
        pair.provides.send(3, found(), [b"ab"] * 20)
        assert pair.provides.sending
        yield from respond(pair.provides, 1, echoed(2))
        yield from respond(pair.provides, 3, found(code=0))

    def use() -> flows.Flow[list[Any]]:
        seen: list[Any] = []
        while pair.user.operations.outstanding:
            event = yield from pair.uses.step()
            seen.append(event.command if isinstance(event, MessageStart) else "data")
        return seen

    seen, _ = pair.run(use(), provide())
    assert [one for one in seen if one != "data"] == [found(), echoed(2), found(code=0)]


def test_the_end_is_told_while_answers_are_made() -> None:
    pair = parties(CT)

    def provide() -> flows.Flow[None]:
        yield from next_request(pair.provides)
        while True:
            yield from respond(pair.provides, 1, found(), b"match")

    def leave() -> flows.Flow[None]:
        pair.uses.send(1, FIND, b"identifier")
        yield flows.Need.TURN
        yield from flows.abort(pair.user)

    error, _ = pair.run(provide(), leave())
    assert isinstance(error, flows.AssociationAborted)


def test_a_release_while_answers_are_made_is_agreed_to_and_told() -> None:
    pair = parties(CT)

    def provide() -> flows.Flow[None]:
        yield from next_request(pair.provides)
        while True:
            yield from respond(pair.provides, 1, found(), b"match")

    def leave() -> flows.Flow[None]:
        pair.uses.send(1, FIND, b"identifier")
        yield flows.Need.TURN
        pair.user.send(ReleaseRequest())
        yield from flows.await_release(pair.user)

    error, left = pair.run(provide(), leave())
    assert isinstance(error, flows.AssociationReleased)
    assert left is None


# -- data sets -----------------------------------------------------------------------------------------------------


def test_a_data_set_longer_than_allowed_is_read_over_and_told() -> None:
    pair = parties(VERIFICATION, CT, provider_limits=Limits(attributes=1000))

    def provide() -> flows.Flow[Any]:
        asked = yield from next_request(pair.provides)
        assert asked is not None
        with pytest.raises(DataSetTooLong) as caught:
            yield from read_data(pair.provides)
        pair.provides.reply(reply_to(asked, 0xA700))
        assert (yield from next_request(pair.provides)) == start(1, echo(2))
        pair.provides.reply(start(1, echoed(2)))
        return caught.value

    def use() -> flows.Flow[Any]:
        first = yield from ask(pair.uses, 3, STORE, [bytes(600), bytes(600)])
        return first, (yield from ask(pair.uses, 1, echo(2)))

    (first, second), error = pair.run(use(), provide())
    assert (first.status, second.status) == (0xA700, 0)
    assert str(error) == "data set of 1200 bytes (limit attributes: 1000 allowed)"
    assert (error.limit, error.allowed, error.seen) == ("attributes", 1000, 1200)


def test_a_data_set_of_just_the_length_allowed_is_read() -> None:
    pair = parties(CT, provider_limits=Limits(attributes=1200))
    pair.uses.send(1, STORE, [bytes(600), bytes(600)])
    pair.pump()
    got(next_request(pair.provides))
    assert got(read_data(pair.provides)) == bytes(1200)
    assert got(read_data(pair.provides)) == b""  # there is none left


@pytest.mark.parametrize("reads", ["read_data", "skip_data"])
def test_a_flow_that_need_not_wait_gives_others_their_turn(reads: str) -> None:
    """A peer may send one byte a PDV: what lies in one receive would else be all that is done for long."""
    provider = Lone.provider()
    many = 5000
    pieces = b"".join(p_data((3, False, n == many - 1, b"x")) for n in range(many))
    provider.engine.receive_data(command(3, STORE, has_data=True) + pieces)
    assert got(next_request(provider.exchange)) == start(3, STORE, has_data=True)
    flow: flows.Flow[Any] = read_data(provider.exchange) if reads == "read_data" else skip_data(provider.exchange)
    assert _turns(flow) == (b"x" * many if reads == "read_data" else None, many // 512)


# -- between two users ---------------------------------------------------------------------------------------------


def good(lone: Lone) -> bool:
    """Returns True if an association at rest can still be used."""
    looking = look_idle(lone.exchange)
    assert next(looking) is flows.Need.TURN
    found: bool = got(looking)
    return found


def test_an_association_on_which_nothing_has_come_can_be_used() -> None:
    lone = Lone.user()
    assert lone.exchange.at_rest
    assert good(lone)
    assert good(lone)


@pytest.mark.parametrize(
    ("came", "sent"),
    [
        (encode(ReleaseRequest()), encode(ReleaseResponse())),
        (encode(Abort()), b""),
        (bytes.fromhex("07000000 0004 0102"), b""),  # short: accepted, and reported first
        (command(3, REPORT), b""),
        (b"HTTP/1.1", encode(Abort(source=AbortSource.SERVICE_PROVIDER, reason=AbortReason.UNRECOGNIZED_PDU))),
    ],
)
@ANY
def test_one_on_which_the_peer_has_said_something_cannot(split: Splitter, came: bytes, sent: bytes) -> None:
    lone = Lone.user(tolerance=STRATOVAN)
    for chunk in split([came]):
        lone.engine.receive_data(chunk)
    assert not good(lone)
    assert lone.sent() == sent
    assert not good(lone)


def test_one_that_is_gone_cannot() -> None:
    lone = Lone.user()
    lone.engine.receive_eof()
    assert not good(lone)


def test_one_on_which_something_is_under_way_is_not_at_rest() -> None:
    asking = Lone.user()
    asking.exchange.send(1, echo())
    asking.sent()
    assert not asking.exchange.at_rest
    assert not good(asking)
    asking.feed(command(1, echoed()))
    assert asking.exchange.at_rest
    sending = Lone.user(limits=Limits(queued=100))
    sending.exchange.send(3, STORE, [bytes(1000)] * 3)
    assert not sending.exchange.at_rest
    owing = Lone.provider()
    owing.exchange.association.receive_data(command(1, echo()))
    assert got(owing.exchange.step()) == start(1, echo())
    assert not owing.exchange.at_rest

"""Storing many instances: as many outstanding as the window allows, told apart, answered in any order."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.exchange import response_to as reply_to
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import read_data, skip_data
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import CEchoRequest, CStoreRequest, CStoreResponse, NEventReportRequest, response_to
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.registry.uids import EXPLICIT_VR_LE, JPEG_BASELINE
from dicos_proto.services.storage import Instance, Outcome, StoreMany, store
from dicos_proto.upper_layer.pdu_types import ReleaseRequest
from tests.pair import CT, MR, VERIFICATION, Pair, Splitter, splitters, start
from tests.services.parties import parties, serve, then_release

ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())


def instance(number: int, *, sop_class: str = CT, syntax: str = EXPLICIT_VR_LE, size: int = 500) -> Instance:
    return Instance(
        sop_class_uid=sop_class,
        sop_instance_uid=f"1.2.{number}",
        transfer_syntax=syntax,
        data=[bytes((number % 256,)) * size],
    )


def store_all(exchange: Exchange, instances: Any, **options: Any) -> flows.Flow[list[Outcome]]:
    stores = StoreMany(exchange, instances, **options)
    found = []
    while (outcome := (yield from stores.next())) is not None:
        found.append(outcome)
    assert (yield from stores.next()) is None
    return found


def archive(exchange: Exchange, asked: MessageStart) -> flows.Flow[tuple[str, bytes]]:
    """Receives an object; objects with an odd number get a warning."""
    assert isinstance(asked.command, CStoreRequest)
    uid = asked.command.affected_sop_instance_uid
    content = yield from read_data(exchange)
    exchange.reply(reply_to(asked, 0xB000 if int(uid.rsplit(".", 1)[1]) % 2 else 0))
    return uid, content


@ANY
@pytest.mark.parametrize("ahead", [False, True], ids=["as-there-is-room", "ahead"])
@pytest.mark.parametrize("window", [1, 4, 0])
def test_many_are_stored_and_each_has_an_outcome(split: Splitter, window: int, ahead: bool) -> None:
    pair = parties(VERIFICATION, CT, window=window, split=split)
    outcomes, kept = pair.run(
        then_release(pair.uses, store_all(pair.uses, (instance(n) for n in range(12)), priority=1, ahead=ahead)),
        serve(pair.provides, archive),
    )
    assert [one.instance.sop_instance_uid for one in outcomes] == [f"1.2.{n}" for n in range(12)]
    assert [one.response.status for one in outcomes if one.response] == [0, 0xB000] * 6
    assert all(one.stored for one in outcomes)
    assert kept == [(f"1.2.{n}", bytes((n,)) * 500) for n in range(12)]


def test_as_many_are_outstanding_as_the_window_allows() -> None:
    pair = parties(CT, window=3)
    most = 0

    def slow(exchange: Exchange) -> flows.Flow[None]:
        """Answers only when no more requests arrive, the last one first."""
        nonlocal most
        waiting: list[MessageStart] = []
        for _ in range(9):
            asked = yield from next_request(exchange)
            assert asked is not None
            yield from skip_data(exchange)
            waiting.append(asked)
            most = max(most, len(waiting))
            if len(waiting) == 3:
                while waiting:
                    exchange.reply(reply_to(waiting.pop(), 0))

    outcomes, _ = pair.run(store_all(pair.uses, (instance(n) for n in range(9))), slow(pair.provides))
    assert most == 3
    assert [one.instance.sop_instance_uid for one in outcomes] == [f"1.2.{n}" for n in (2, 1, 0, 5, 4, 3, 8, 7, 6)]


def test_answers_that_are_here_come_first_while_the_peer_has_half_a_window_to_do() -> None:
    pair = parties(CT, window=6)

    def count(exchange: Exchange) -> flows.Flow[list[int]]:
        """Returns the number of outstanding requests after each outcome."""
        stores = StoreMany(exchange, (instance(n) for n in range(9)))
        found = []
        while (yield from stores.next()) is not None:
            found.append(exchange.association.operations.outstanding)
        return found

    def answer_together(exchange: Exchange) -> flows.Flow[None]:
        for size in (6, 3):
            waiting: list[MessageStart] = []
            while len(waiting) < size:
                asked = yield from next_request(exchange)
                assert asked is not None
                yield from skip_data(exchange)
                waiting.append(asked)
            for asked in waiting:
                exchange.reply(reply_to(asked, 0))

    counts, _ = pair.run(count(pair.uses), answer_together(pair.provides))
    assert counts == [5, 4, 3, 5, 4, 3, 2, 1, 0]  # three of six are left: three more are sent together


def test_an_instance_without_a_context_is_reported_and_the_others_go_on() -> None:
    pair = parties(CT)
    mixed = [instance(0), instance(2, sop_class=MR), instance(4, syntax=JPEG_BASELINE), instance(6)]
    outcomes, kept = pair.run(then_release(pair.uses, store_all(pair.uses, mixed)), serve(pair.provides, archive))
    by_uid = {one.instance.sop_instance_uid: one for one in outcomes}
    assert [uid for uid, _ in kept] == ["1.2.0", "1.2.6"]
    assert [uid for uid, one in by_uid.items() if one.stored] == ["1.2.0", "1.2.6"]
    assert "none was proposed" in str(by_uid["1.2.2"].problem)
    assert "accepted with Explicit VR Little Endian" in str(by_uid["1.2.4"].problem)
    assert by_uid["1.2.2"].response is None


def test_a_failure_is_not_stored() -> None:
    outcome = Outcome(instance=instance(0), response=CStoreResponse(message_id_being_responded_to=1, status=0xA700))
    assert not outcome.stored
    assert "data" not in repr(outcome.instance)


def test_the_instances_are_made_as_there_is_room_for_them() -> None:
    pair = parties(CT, window=2, user_limits=Limits(queued=2000))
    made = 0

    def instances() -> Iterator[Instance]:
        nonlocal made
        for number in range(10):
            made += 1
            yield instance(number, size=5000)

    stores = StoreMany(pair.uses, instances())
    flow = stores.next()
    next(flow)
    assert made == 2  # as many as the window allows, and no more
    outcomes, _ = pair.run(then_release(pair.uses, flow), serve(pair.provides, archive))
    assert isinstance(outcomes, Outcome)
    assert made == 2


def test_the_next_one_is_taken_while_an_answer_is_waited_for_where_that_is_asked_for() -> None:
    pair = parties(CT)
    taken = []

    def instances() -> Iterator[Instance]:
        for number in range(3):
            taken.append(number)
            yield instance(number)

    flow = StoreMany(pair.uses, instances(), ahead=True).next()
    assert next(flow) is flows.Need.TURN  # the request is sent first
    assert taken == [0]
    assert next(flow) is flows.Need.INPUT
    assert taken == [0, 1]
    assert next(flow) is flows.Need.INPUT
    assert taken == [0, 1]  # one, and no more


def test_a_source_that_fails_ahead_of_time_raises_as_without_it() -> None:
    pair = parties(CT)

    def instances() -> Iterator[Instance]:
        yield instance(0)
        raise FileNotFoundError

    stores = StoreMany(pair.uses, instances(), ahead=True)
    flow = stores.next()
    assert next(flow) is flows.Need.TURN
    with pytest.raises(FileNotFoundError):
        next(flow)

    def rest(exchange: Exchange) -> flows.Flow[list[Outcome | None]]:
        return [(yield from stores.next()), (yield from stores.next())]

    told, _ = pair.run(then_release(pair.uses, rest(pair.uses)), serve(pair.provides, archive))
    assert [one and one.instance.sop_instance_uid for one in told] == ["1.2.0", None]


def test_received_responses_are_given_without_a_wait() -> None:
    pair = parties(CT, window=4)
    stores = StoreMany(pair.uses, (instance(n) for n in range(6)))

    def answer_together(exchange: Exchange) -> flows.Flow[None]:
        waiting: list[MessageStart] = []
        while len(waiting) < 4:
            asked = yield from next_request(exchange)
            assert asked is not None
            yield from skip_data(exchange)
            waiting.append(asked)
        for asked in waiting:
            exchange.reply(reply_to(asked, 0))

    def count(exchange: Exchange) -> flows.Flow[list[str]]:
        found = []
        waited = ""
        for step in stores.outcomes():
            if isinstance(step, flows.Need):
                waited = "waited "
                yield step
            else:
                found.append(waited + step.instance.sop_instance_uid)
                waited = ""
        return found

    def rest(exchange: Exchange) -> flows.Flow[None]:
        yield from answer_together(exchange)
        yield from serve(exchange, archive)

    told, _ = pair.run(then_release(pair.uses, count(pair.uses)), rest(pair.provides))
    # With two of four left, the window is filled first; responses that are here are given before that.
    assert told == ["waited 1.2.0", "1.2.1", "1.2.2", "1.2.3", "waited 1.2.4", "1.2.5"]


def test_no_outcome_is_given_while_a_data_set_is_being_read() -> None:
    pair = parties(CT)
    report = NEventReportRequest(
        message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2", event_type_id=1
    )
    stores = StoreMany(pair.uses, [instance(0)])
    stream = stores.outcomes()
    assert next(stream) is flows.Need.INPUT
    pair.pump()
    pair.provides.send(1, report, b"abcd")
    pair.pump()
    assert next(stream) is flows.Need.INPUT  # the event is parked
    assert pair.uses.poll() == start(1, report, has_data=True)
    for again in (stream, stores.outcomes(), stores.next()):
        with pytest.raises(LocalProtocolError, match="while a data set is being read"):
            next(again)


def test_two_that_store_at_a_time_are_told() -> None:
    pair = parties(CT, window=4)
    one, other = (StoreMany(pair.uses, [instance(n)]) for n in (0, 1))
    streams = one.outcomes(), other.outcomes()
    assert [next(stream) for stream in streams] == [flows.Need.INPUT] * 2
    pair.pump()
    served = serve(pair.provides, archive)
    assert next(served) is flows.Need.INPUT
    pair.pump()
    with pytest.raises(LocalProtocolError, match="two at a time"):
        next(streams[1])


@pytest.mark.parametrize("data", [None, b"abcd"], ids=["no-data", "data"])
def test_a_request_of_the_peer_among_responses_is_kept(
    data: bytes | None,
) -> None:
    pair = parties(CT, window=4)
    stores = StoreMany(pair.uses, (instance(n) for n in range(4)))
    report = NEventReportRequest(
        message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2", event_type_id=1
    )

    def provide(exchange: Exchange) -> flows.Flow[int]:
        waiting = []
        for _ in range(4):
            asked = yield from next_request(exchange)
            assert asked is not None
            yield from skip_data(exchange)
            waiting.append(asked)
        exchange.reply(reply_to(waiting[0], 0))
        exchange.send(1, report, data)
        for asked in waiting[1:]:
            exchange.reply(reply_to(asked, 0))
        response = yield from exchange.step()
        assert isinstance(response, MessageStart)
        assert (yield from next_request(exchange)) is None
        return response.command.COMMAND_FIELD

    def use(exchange: Exchange) -> flows.Flow[tuple[list[str], bytes | None]]:
        told = []
        for step in stores.outcomes():
            if isinstance(step, flows.Need):
                yield step
            else:
                told.append(step.instance.sop_instance_uid)
        asked = yield from next_request(exchange)
        assert asked == start(1, report, has_data=data is not None)
        content = None if data is None else (yield from read_data(exchange))
        exchange.reply(reply_to(asked, 0))
        return told, content

    found, answered = pair.run(then_release(pair.uses, use(pair.uses)), provide(pair.provides))
    assert found == ([f"1.2.{n}" for n in range(4)], data)
    assert answered == 0x8100


@pytest.mark.parametrize("by", ["the caller", "the source"])
def test_a_stop_while_one_is_being_taken_ahead_is_a_stop(by: str) -> None:
    pair = parties(CT)
    taken = []

    def instances() -> Iterator[Instance]:
        for number in range(5):
            taken.append(number)
            if by == "the source" and number == 1:
                stores.stop()
            yield instance(number)

    stores = StoreMany(pair.uses, instances(), ahead=True)

    def some(exchange: Exchange) -> flows.Flow[list[str]]:
        flow = stores.next()
        assert next(flow) is flows.Need.TURN
        if by == "the caller":
            stores.stop()
        told = [(yield from flow), (yield from stores.next())]
        return [one.instance.sop_instance_uid for one in told if one is not None]

    told, kept = pair.run(then_release(pair.uses, some(pair.uses)), serve(pair.provides, archive))
    assert told == ["1.2.0"]
    assert len(kept) == 1
    assert taken == ([0] if by == "the caller" else [0, 1])


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("ahead", [False, True], ids=["as-there-is-room", "ahead"])
def test_an_instance_that_cannot_be_sent_is_reported_once_and_the_others_are_sent(
    ahead: bool, window: int, order: int
) -> None:
    """One instance has an invalid UID, another a SOP class that was not accepted."""
    pair = parties(CT, window=window)
    wrong = replace(instance(1), sop_instance_uid="1" * 65)
    others = [wrong, instance(2, sop_class=MR)][::order]
    stores = StoreMany(pair.uses, [instance(0), *others, instance(3), *others, instance(4)], ahead=ahead)

    def use(exchange: Exchange) -> flows.Flow[list[str]]:
        told = []
        while True:
            try:
                outcome = yield from stores.next()
            except LocalProtocolError as error:
                told.append(str(error))
                continue
            if outcome is None:
                return told
            told.append(f"{outcome.instance.sop_instance_uid} {type(outcome.response or outcome.problem).__name__}")

    told, kept = pair.run(then_release(pair.uses, use(pair.uses)), serve(pair.provides, archive))
    sent = ["1.2.0", "1.2.3", "1.2.4"]
    assert [uid for uid, _ in kept] == sent
    refused = ["(0000,1000) of 65 characters; UI, at most 64 printable ASCII characters [PS3.5 6.2]"]
    refused = [*refused, "1.2.2 ContextNotAccepted"][::order] * 2
    assert sorted(told) == sorted([*refused, *(f"{uid} CStoreResponse" for uid in sent)])
    assert [one for one in told if one in refused] == refused


@pytest.mark.parametrize("ahead", [False, True], ids=["as-there-is-room", "ahead"])
def test_no_more_are_sent_after_a_stop(ahead: bool) -> None:
    pair = parties(CT)
    stores = StoreMany(pair.uses, (instance(n) for n in range(10)), ahead=ahead)

    def some() -> flows.Flow[int]:
        count = 0
        while (yield from stores.next()) is not None:
            count += 1
            if count == 3:
                stores.stop()
        return count

    count, kept = pair.run(then_release(pair.uses, some()), serve(pair.provides, archive))
    assert (count, len(kept)) == (3, 3)


def test_the_originator_of_a_store_is_sent() -> None:
    pair = parties(CT)

    def look(exchange: Exchange, asked: MessageStart) -> flows.Flow[Any]:
        yield from skip_data(exchange)
        exchange.reply(reply_to(asked, 0))
        return asked.command

    def both() -> flows.Flow[None]:
        yield from store_all(pair.uses, [instance(0)], originator=("MOVER", 9))
        yield from store(pair.uses, CT, "1.2.1", EXPLICIT_VR_LE, b"ab", originator=("MOVER", 9))

    _, seen = pair.run(then_release(pair.uses, both()), serve(pair.provides, look))
    assert [(one.move_originator_aet, one.move_originator_message_id) for one in seen] == [("MOVER", 9)] * 2


def test_requests_of_the_peer_are_kept_meanwhile() -> None:
    pair = parties(CT)
    report = NEventReportRequest(
        message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2", event_type_id=1
    )

    def reporting(exchange: Exchange) -> flows.Flow[Any]:
        asked = yield from next_request(exchange)
        assert asked is not None
        yield from skip_data(exchange)
        exchange.send(1, report)
        exchange.reply(reply_to(asked, 0))
        answer = yield from exchange.step()
        return answer

    def use() -> flows.Flow[Any]:
        outcomes = yield from store_all(pair.uses, [instance(0)])
        asked = yield from next_request(pair.uses)
        assert asked == start(1, report)
        assert asked is not None
        pair.uses.reply(reply_to(asked, 0))
        return outcomes

    outcomes, answer = pair.run(use(), reporting(pair.provides))
    assert outcomes[0].stored
    assert answer == start(1, response_to(report, 0))


def test_nothing_is_stored_while_an_answer_is_out() -> None:
    pair = parties(VERIFICATION, CT, window=2)
    pair.uses.send(1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION))
    with pytest.raises(LocalProtocolError, match="C-STOREs while C-ECHO-RQ 1 is outstanding"):
        StoreMany(pair.uses, [])


def test_the_end_of_the_association_is_raised() -> None:
    pair = parties(CT, window=2)

    def leaving(exchange: Exchange) -> flows.Flow[None]:
        yield from next_request(exchange)
        exchange.association.send(ReleaseRequest())
        yield from flows.await_release(exchange.association)

    error, _ = pair.run(store_all(pair.uses, (instance(n) for n in range(10))), leaving(pair.provides))
    assert isinstance(error, flows.AssociationReleased)


def test_one_is_stored_as_before() -> None:
    pair = Pair.established()
    answer, _ = pair.run(
        then_release(pair.uses, store(pair.uses, CT, "1.2.4", "1.2.840.10008.1.2", b"abcd", priority=2)),
        serve(pair.provides, archive),
    )
    assert answer.status == status.SUCCESS
    assert replace(answer, status=0).affected_sop_instance_uid == "1.2.4"

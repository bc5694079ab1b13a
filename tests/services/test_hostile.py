"""Services against peers that answer too early or send odd values, and numbers that do not fit."""

from collections.abc import Iterator
from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.datasets import Attributes, DataSetError
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import (
    CCancelRequest,
    CFindRequest,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
)
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.registry.uids import EXPLICIT_VR_LE, JPEG_BASELINE
from dicos_proto.services.query import Finding
from dicos_proto.services.retrieve import Counters, Get, Getting, Move, Moving, Retrieved
from dicos_proto.services.storage import Instance, Outcome, StoreMany
from dicos_proto.upper_layer.pdu_types import AssociateRequest, ProposedContext
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.data.test_datasets import short
from tests.pair import CT, Lone, command, p_data, start
from tests.services.parties import parties, then_release

MOVE, GET = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"


def instance(number: int, *, syntax: str = EXPLICIT_VR_LE, pieces: int = 10) -> Instance:
    return Instance(
        sop_class_uid=CT, sop_instance_uid=f"1.2.{number}", transfer_syntax=syntax, data=[bytes(100)] * pieces
    )


def store_all(exchange: Exchange, instances: Any) -> flows.Flow[list[Outcome]]:
    stores = StoreMany(exchange, instances)
    found = []
    while (outcome := (yield from stores.next())) is not None:
        found.append(outcome)
    assert not exchange.sending
    return found


def early(exchange: Exchange, code: int) -> flows.Flow[list[str]]:
    """A provider that answers each C-STORE before it reads its data set."""
    found = []
    while (asked := (yield from next_request(exchange))) is not None:
        assert isinstance(asked.command, CStoreRequest)
        exchange.reply(
            MessageStart(
                context=asked.context,
                command=CStoreResponse(message_id_being_responded_to=asked.command.message_id, status=code),
            )
        )
        found.append(asked.command.affected_sop_instance_uid)
        yield flows.Need.TURN
    return found


# -- early answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 3])
def test_an_early_answer_does_not_end_a_store_of_many(window: int) -> None:
    tight = Limits(queued=100, received_ahead=100)
    pair = parties(CT, window=window, user_limits=tight, provider_limits=tight)
    outcomes, asked = pair.run(
        then_release(pair.uses, store_all(pair.uses, (instance(n) for n in range(5)))), early(pair.provides, 0xA700)
    )
    assert [one.response.status for one in outcomes] == [0xA700] * 5
    assert asked == [f"1.2.{n}" for n in range(5)]


def test_an_early_end_of_a_get_does_not_cut_its_request_short() -> None:
    pair = parties(GET, CT, both_roles=(CT,), user_limits=Limits(queued=100))

    def use() -> flows.Flow[Any]:
        get = Get(pair.uses, GET, bytes(100_000))
        assert (yield from get.next()) is None
        assert not pair.uses.sending
        yield from flows.release(pair.user)
        return get.result

    def provide() -> flows.Flow[None]:
        asked = yield from next_request(pair.provides)
        assert asked is not None
        refusal = CGetResponse(message_id_being_responded_to=1, status=0xA900)
        pair.provides.reply(MessageStart(context=asked.context, command=refusal))
        assert (yield from next_request(pair.provides)) is None

    result, _ = pair.run(use(), provide())
    assert result.response.status == 0xA900


# -- who reads what ------------------------------------------------------------------------------------------------


def test_an_answer_does_not_read_over_another_requests_data_set() -> None:
    pair = parties(CT, window=2)
    for number, keys in ((1, b"one."), (2, b"two.")):
        pair.uses.send(1, CFindRequest(message_id=number, affected_sop_class_uid=CT), keys)

    def provide() -> flows.Flow[Any]:
        seen = []
        performed = []
        for _ in range(2):
            asked = yield from next_request(pair.provides)
            assert asked is not None
            performed.append(Finding(pair.provides, asked))
            if len(performed) == 1:
                seen.append((yield from performed[0].receive()))
        with pytest.raises(LocalProtocolError, match="was read already"):
            yield from performed[0].receive()
        yield from performed[0].finish(0)
        seen.append((yield from performed[1].receive()))
        yield from performed[1].finish(0)
        return [one.data for one in seen]

    assert pair.run(provide()) == [[b"one.", b"two."]]


def test_many_are_not_stored_on_while_a_request_is_being_read() -> None:
    user = Lone.user()
    stores = StoreMany(user.exchange, [])
    user.exchange.unread = True
    with pytest.raises(LocalProtocolError, match="data set is being read"):
        next(stores.next())


# -- numbers -------------------------------------------------------------------------------------------------------


def test_counters_above_the_largest_number_are_clamped() -> None:
    request = CMoveRequest(message_id=1, affected_sop_class_uid=MOVE, move_destination="THIRD")
    pair = parties(MOVE)
    pair.uses.send(1, request, b"")
    found = []

    def provide() -> flows.Flow[None]:
        asked = yield from next_request(pair.provides)
        assert asked is not None
        moving = Moving(pair.provides, asked)
        yield from moving.receive()
        moving.begin(70_000)
        moving.counters = Counters(remaining=70_000, completed=65_536, failed=65_535, warning=80_000)
        found.append(moving.report(status.PENDING))
        yield from moving.answer(found[0])
        assert moving.counters.remaining == 70_000

    pair.run(provide())
    (said,) = (event.command for event in pair.events(pair.user) if isinstance(event, MessageStart))
    assert said == found[0]
    assert isinstance(said, CMoveResponse)
    assert (said.remaining, said.completed, said.failed, said.warning) == (65_535,) * 4


@pytest.mark.parametrize(
    "data",
    [
        short(0x00080058, b"US", b"\5\0"),
        short(0x00080058, b"FD", bytes(7) + b"\x40"),
        short(0x00080058, b"SQ", b"\0\0\0\0"),
        short(0x00080058, b"DS", b"1.5 "),
        short(0x00080058, b"AT", bytes(8)),
    ],
    ids=["US", "FD", "SQ", "DS", "AT"],
)
def test_an_invalid_list_of_failed_instances_is_a_data_set_error(data: bytes) -> None:
    response = CGetResponse(message_id_being_responded_to=1, status=0xA702)
    result = Retrieved(
        response=response, counters=Counters(), instances=(), failed=Attributes(data, EXPLICIT_VR_LE), faults=()
    )
    if b"SQ" in data:
        assert result.failed_instances == ()
    else:
        with pytest.raises(DataSetError):
            print(result.failed_instances)


# -- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Move, Get])
def test_a_retrieve_whose_final_response_is_too_long_still_ends(kind: Any) -> None:
    sop_class = MOVE if kind is Move else GET
    pair = parties(sop_class, user_limits=Limits(attributes=100))
    retrieve = Move(pair.uses, MOVE, "THIRD", b"") if kind is Move else Get(pair.uses, GET, b"")
    pair.events(pair.provider)
    make = CMoveResponse if kind is Move else CGetResponse
    pair.provides.send(1, make(message_id_being_responded_to=1, status=0xB000, completed=3, failed=2), bytes(200))
    (outcome,) = pair.run(retrieve.next())
    assert isinstance(outcome, DataSetTooLong)
    assert pair.run(retrieve.next()) == [None]
    assert retrieve.result is not None
    assert retrieve.result.counters == Counters(completed=3, failed=2)
    assert retrieve.result.failed is None


def test_an_answer_that_cannot_be_sent_leaves_the_sub_operation_to_be_answered() -> None:
    pair = parties(GET, CT, both_roles=(CT,))
    get = Get(pair.uses, GET, b"")
    pair.events(pair.provider)
    store = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    pair.provides.send(3, store, b"ab")
    (asked,) = pair.run(get.next())
    assert asked == start(3, store, has_data=True)
    (refused,) = pair.run(get.answer(0x10000))
    assert isinstance(refused, LocalProtocolError)
    pair.run(get.answer(0xA700))
    assert [event.command.status for event in pair.events(pair.provider)] == [0xA700]


def test_instances_without_a_context_are_reported_with_backpressure_and_can_be_cancelled() -> None:
    provider = Lone.provider(*_asked_and_answered(), limits=Limits(queued=1000))
    provider.engine.receive_data(
        command(1, CGetRequest(message_id=1, affected_sop_class_uid=GET), has_data=True) + p_data((1, False, True, b""))
    )
    made = []

    def instances() -> Any:
        for number in range(1000):
            made.append(number)
            yield instance(number, syntax=JPEG_BASELINE)

    def perform() -> flows.Flow[int]:
        asked = yield from next_request(provider.exchange)
        assert asked is not None
        return (yield from Getting(provider.exchange, asked).send_all(instances(), 1000))

    flow = perform()
    while (need := next(flow)) is not flows.Need.DRAIN:  # a peer that reads nothing
        assert need is flows.Need.TURN
    assert len(made) < 20
    cancel = CCancelRequest(message_id_being_responded_to=1)
    provider.engine.receive_data(command(1, cancel))
    provider.sent()
    (outcome,) = _served(provider, flow)
    assert outcome == status.CANCEL
    assert len(made) < 25


def _served(lone: Lone, flow: flows.Flow[Any]) -> Iterator[Any]:
    """Returns the result of a flow whose peer reads everything."""
    while True:
        lone.sent()
        try:
            next(flow)
        except StopIteration as done:
            yield done.value
            return


def _asked_and_answered() -> tuple[AssociateRequest, AcceptPolicy]:
    asked = AssociateRequest(
        called_aet="A",
        calling_aet="B",
        contexts=(ProposedContext(id=1, abstract_syntax=GET, transfer_syntaxes=(EXPLICIT_VR_LE,)),),
    )
    return asked, AcceptPolicy(other_contexts=(EXPLICIT_VR_LE,))

"""C-MOVE and C-GET, both sides: sub-operations, counters that do or do not add up, failures, C-CANCEL."""

from collections.abc import Iterable
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.exchange import response_to as reply_to
from dicos_proto.conversation.performing import next_request, respond
from dicos_proto.conversation.reading import DataSetTooLong, read_data, skip_data
from dicos_proto.data.datasets import DataSetError, encode
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import (
    CEchoRequest,
    CGetResponse,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    DimseResponse,
    NEventReportRequest,
)
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.registry.uids import EXPLICIT_VR_LE, JPEG_BASELINE
from dicos_proto.services import retrieve
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.services.retrieve import Counters, Get, Getting, Move, Moving, SubOperation
from dicos_proto.services.storage import Instance, Outcome, StoreMany
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import UserInformation
from tests.pair import CT, MR, VERIFICATION, Pair, Splitter, splitters, start
from tests.services.parties import parties, serve, then_release

MOVE, GET = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"
ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())


def asked_for(*uids: str) -> Dataset:
    one = Dataset()
    one.QueryRetrieveLevel = "IMAGE"
    one.SOPInstanceUID = list(uids)
    return one


ASKED = asked_for("1.2.0")


def instances(count: int, *, sop_class: str = CT, syntax: str = EXPLICIT_VR_LE) -> list[Instance]:
    return [
        Instance(
            sop_class_uid=sop_class, sop_instance_uid=f"1.2.{n}", transfer_syntax=syntax, data=[b"object %d" % n] * 50
        )
        for n in range(count)
    ]


# -- C-GET ---------------------------------------------------------------------------------------------------------


def get_all(exchange: Exchange, *, refuse: Iterable[str] = (), cancel_after: int = 10_000) -> flows.Flow[Any]:
    """Retrieves; instances in `refuse` are answered with 0xA700, those of 1.2.1 with a warning."""
    get = Get(exchange, GET, ASKED)
    kept = {}
    assert get.response is None
    while (start := (yield from get.next())) is not None:
        command = start.command
        assert isinstance(command, CStoreRequest)
        uid = command.affected_sop_instance_uid
        kept[uid] = yield from read_data(exchange, "collected")
        if uid in refuse:
            yield from get.answer(0xA700, "disk full")
        else:
            yield from get.answer(0xB000 if uid == "1.2.1" else 0)
        if len(kept) == cancel_after:
            get.cancel()
    get.cancel()  # the operation has ended: nothing is sent
    assert get.result is not None
    assert get.response is get.result.response
    return kept, get.result


def provide_get(found: list[Instance], total: int | None = None) -> Any:
    def perform(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
        getting = Getting(exchange, start)
        yield from getting.receive()
        code = yield from getting.send_all(found, len(found) if total is None else total)
        return code, getting.counters, getting.outcomes

    return perform


def ready(**options: Any) -> Pair:
    return parties(GET, CT, MR, both_roles=(CT, MR), **options)


@ANY
@pytest.mark.parametrize("window", [1, 5])
def test_requested_instances_arrive_on_the_same_association(split: Splitter, window: int) -> None:
    pair = ready(split=split, window=window)
    (kept, result), done = pair.run(
        then_release(pair.uses, get_all(pair.uses)), serve(pair.provides, provide_get(instances(6)))
    )
    assert kept == {f"1.2.{n}": b"object %d" % n * 50 for n in range(6)}
    assert result.response.status == 0xB000  # a warning among them
    assert result.counters == Counters(completed=5, warning=1)
    assert [one.sop_instance_uid for one in result.instances] == [f"1.2.{n}" for n in range(6)]
    assert [one.status for one in result.instances] == [0, 0xB000, 0, 0, 0, 0]
    assert (result.failed, result.failed_instances, result.faults) == (None, (), ())
    (code, counters, outcomes) = done[0]
    assert (code, counters) == (0xB000, Counters(completed=5, warning=1))
    assert [one.category for one in outcomes] == [
        status.Category.SUCCESS, status.Category.WARNING, *[status.Category.SUCCESS] * 4,
    ]  # fmt: skip


def test_an_identifier_larger_than_the_queue_is_sent() -> None:
    pair = ready(user_limits=Limits(queued=100))

    def use() -> flows.Flow[Any]:
        get = Get(pair.uses, GET, bytes(1000))
        assert (yield from get.next()) is None
        return get.result

    result, _ = pair.run(then_release(pair.uses, use()), serve(pair.provides, provide_get([])))
    assert result.response.status == 0


def test_nothing_found_is_a_success() -> None:
    pair = ready()
    (kept, result), done = pair.run(then_release(pair.uses, get_all(pair.uses)), serve(pair.provides, provide_get([])))
    assert (kept, result.response.status, result.counters) == ({}, 0, Counters())
    assert done == [(0, Counters(), [])]


def test_failures_are_reported_for_each_instance() -> None:
    pair = ready()
    found = [*instances(3), *instances(1, syntax=JPEG_BASELINE)]
    (_, result), done = pair.run(
        then_release(pair.uses, get_all(pair.uses, refuse=["1.2.2"])), serve(pair.provides, provide_get(found))
    )
    assert result.response.status == 0xB000
    assert result.counters == Counters(completed=1, failed=2, warning=1)
    assert result.failed_instances == ("1.2.2", "1.2.0")
    assert result.instances[2] == SubOperation(
        sop_class_uid=CT, sop_instance_uid="1.2.2", status=0xA700, comment="disk full"
    )
    outcomes = done[0][2]
    assert (outcomes[2].status, outcomes[2].comment) == (0xA700, "disk full")
    assert outcomes[3].status is None
    assert "CT Image Storage in JPEG Baseline" in outcomes[3].comment
    assert "accepted with Explicit VR Little Endian" in outcomes[3].comment


def test_all_failed_is_a_failure() -> None:
    pair = ready()
    (_, result), done = pair.run(
        then_release(pair.uses, get_all(pair.uses, refuse=["1.2.0"])), serve(pair.provides, provide_get(instances(1)))
    )
    assert (result.response.status, done[0][0]) == (0xA702, 0xA702)
    assert result.failed_instances == ("1.2.0",)


def test_roles_that_were_not_granted_fail_each_instance_with_the_reason() -> None:
    pair = parties(GET, CT)
    (kept, result), done = pair.run(
        then_release(pair.uses, get_all(pair.uses)), serve(pair.provides, provide_get(instances(2)))
    )
    assert (kept, result.response.status) == ({}, 0xA702)
    assert all("but not in the role of an SCU" in one.comment for one in done[0][2])


@ANY
def test_a_cancelled_get_ends_with_what_was_done(split: Splitter) -> None:
    pair = ready(split=split)
    (kept, result), done = pair.run(
        then_release(pair.uses, get_all(pair.uses, cancel_after=2)), serve(pair.provides, provide_get(instances(50)))
    )
    assert 2 <= len(kept) < 5
    assert result.response.status == status.CANCEL
    assert result.counters.remaining == 50 - len(kept)
    assert result.faults == ()
    assert done[0][0] == status.CANCEL


def test_an_instance_nobody_answered_for_is_refused() -> None:
    pair = ready()

    def careless() -> flows.Flow[Any]:
        get = Get(pair.uses, GET, ASKED)
        while (yield from get.next()) is not None:
            pass
        with pytest.raises(LocalProtocolError, match="no C-STORE sub-operation waits"):
            yield from get.answer()
        assert (yield from get.next()) is None
        return get.result

    result, _ = pair.run(then_release(pair.uses, careless()), serve(pair.provides, provide_get(instances(2))))
    assert [one.status for one in result.instances] == [status.PROCESSING_FAILURE] * 2
    assert result.response.status == 0xA702


def test_other_requests_that_come_meanwhile_are_kept() -> None:
    pair = ready()
    report = NEventReportRequest(
        message_id=77, affected_sop_class_uid=CT, affected_sop_instance_uid="1", event_type_id=1
    )

    def perform(exchange: Exchange, asked: MessageStart) -> flows.Flow[Any]:
        yield from skip_data(exchange)
        exchange.send(3, report, b"what happened")
        exchange.reply(MessageStart(context=1, command=CGetResponse(message_id_being_responded_to=1, status=0)))
        return (yield from exchange.step())

    def use() -> flows.Flow[Any]:
        yield from get_all(pair.uses)
        asked = yield from next_request(pair.uses)
        assert asked == start(3, report, has_data=True)
        assert asked is not None
        content = yield from read_data(pair.uses)
        pair.uses.reply(reply_to(asked, 0))
        return content

    content, done = pair.run(then_release(pair.uses, use()), serve(pair.provides, perform))
    assert content == b"what happened"
    assert done[0].command.status == 0


def answering(*responses: DimseResponse, data: bytes | None = None) -> Any:
    """A provider that sends exactly these responses, with the data set on the last."""

    def perform(exchange: Exchange, asked: MessageStart) -> flows.Flow[None]:
        yield from skip_data(exchange)
        for response in responses:
            content = data if response is responses[-1] else None
            yield from respond(exchange, asked.context, response, content)  # type: ignore[arg-type]

    return perform


def counted(code: int, remaining: int | None, completed: int, failed: int = 0, warning: int = 0) -> CGetResponse:
    return CGetResponse(
        message_id_being_responded_to=1, status=code, remaining=remaining, completed=completed, failed=failed,
        warning=warning,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("responses", "faults"),
    [
        ([counted(0xFF00, 2, 1), counted(0xFF00, 1, 2), counted(0, None, 3)], []),
        ([counted(0xFF00, 2, 1), counted(0xFE00, 2, 1)], []),
        ([counted(0xFF00, 2, 1), counted(0xFF00, 2, 2), counted(0, None, 4)], ["4 sub-operations in all after 3"]),
        (
            [counted(0xFF00, 2, 2), counted(0xFF00, 3, 1), counted(0, None, 4)],
            ["completed sub-operations 1 after 2", "remaining sub-operations 3 after 2"],
        ),
        (
            [counted(0xFF00, 0, 0, 2, 2), counted(0xFF00, 2, 0, 1, 1), counted(0xB000, None, 0, 2, 2)],
            [
                "failed sub-operations 1 after 2",
                "warning sub-operations 1 after 2",
                "remaining sub-operations 2 after 0",
            ],
        ),
        ([counted(0x0000, 2, 1)], ["success with 2 sub-operations remaining"]),
        ([CGetResponse(message_id_being_responded_to=1, status=0xA701)], []),
        ([counted(0xFF00, 3, 1), CGetResponse(message_id_being_responded_to=1, status=0)], []),
        ([counted(0xFF00, 3, 1), counted(0xA702, None, 1, failed=1)], []),
        ([counted(0xFF00, 3, 1), counted(0xFE00, None, 1)], []),
        ([counted(0xFF00, 3, 1), counted(0x0000, 0, 4)], []),
        ([counted(0xFF00, 3, 1), counted(0x0000, None, 3)], ["3 sub-operations in all after 4"]),
        ([counted(0xFF00, 3, 1), counted(0xA702, None, 3, failed=2)], ["5 sub-operations in all after 4"]),
        ([counted(0xFF00, 3, 1), counted(0xFF00, None, 2), counted(0xFF00, 1, 3), counted(0, None, 4)], []),
        (
            [
                counted(0xFF00, 3, 1, warning=1),
                CGetResponse(message_id_being_responded_to=1, status=0xB000, completed=4),
            ],
            [],
        ),
    ],
)
def test_counters_that_do_not_add_up_are_reported(responses: list[CGetResponse], faults: list[str]) -> None:
    pair = ready()
    (_, result), _ = pair.run(then_release(pair.uses, get_all(pair.uses)), serve(pair.provides, answering(*responses)))
    assert list(result.faults) == [f"C-GET-RQ: {fault} [PS3.4 C.4.2.1.6]" for fault in faults]
    assert result.response == responses[-1]


@pytest.mark.parametrize(
    ("responses", "counters", "was_counted"),
    [
        ([counted(0xFF00, 3, 1), CGetResponse(message_id_being_responded_to=1, status=0)],
         Counters(remaining=3, completed=1), False),
        ([CGetResponse(message_id_being_responded_to=1, status=0xFF00),
          CGetResponse(message_id_being_responded_to=1, status=0)], Counters(), False),
        ([counted(0xFF00, 3, 1), counted(0, None, 4)], Counters(completed=4), True),
        ([counted(0xFF00, 3, 1, warning=1), CGetResponse(message_id_being_responded_to=1, status=0xB000, completed=4)],
         Counters(completed=4, warning=1), True),
        ([counted(0xFF00, 3, 1), CGetResponse(message_id_being_responded_to=1, status=0xB000, failed=2)],
         Counters(completed=1, failed=2), False),
        ([counted(0xFF00, 3, 1), CGetResponse(message_id_being_responded_to=1, status=0xFF00, completed=2),
          CGetResponse(message_id_being_responded_to=1, status=0)], Counters(remaining=2, completed=2), False),
    ],
)  # fmt: skip
def test_counters_that_a_final_response_leaves_out_keep_their_values(
    responses: list[CGetResponse], counters: Counters, was_counted: bool
) -> None:
    pair = ready()
    (_, result), _ = pair.run(then_release(pair.uses, get_all(pair.uses)), serve(pair.provides, answering(*responses)))
    assert (result.counters, result.counted, result.faults) == (counters, was_counted, ())


def test_more_instances_than_were_counted_are_a_fault() -> None:
    pair = ready()

    def perform(exchange: Exchange, asked: MessageStart) -> flows.Flow[None]:
        yield from skip_data(exchange)
        stores = StoreMany(exchange, instances(2))
        while (yield from stores.next()) is not None:
            pass
        yield from respond(exchange, 1, counted(0, None, 1))

    (_, result), _ = pair.run(then_release(pair.uses, get_all(pair.uses)), serve(pair.provides, perform))
    assert result.faults == ("C-GET-RQ: 1 sub-operations counted, 2 instances received [PS3.4 C.4.2.1.6]",)


def test_instances_are_kept_as_far_as_they_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that sends instances without end does not fill the memory."""
    monkeypatch.setattr(retrieve, "MOST_COUNTED", 3)
    pair = ready()

    def perform(exchange: Exchange, asked: MessageStart) -> flows.Flow[None]:
        yield from skip_data(exchange)
        stores = StoreMany(exchange, instances(5))
        while (yield from stores.next()) is not None:
            pass
        yield from respond(exchange, 1, counted(0, None, 3))

    (_, result), _ = pair.run(then_release(pair.uses, get_all(pair.uses)), serve(pair.provides, perform))
    assert [one.sop_instance_uid for one in result.instances] == [one.sop_instance_uid for one in instances(3)]
    assert result.faults == ()


def test_a_limited_number_of_faults_is_kept() -> None:
    pair = ready()
    lies = [counted(0xFF00, n % 2, n) for n in range(100)]
    (_, result), _ = pair.run(
        then_release(pair.uses, get_all(pair.uses)), serve(pair.provides, answering(*lies, counted(0, None, 1)))
    )
    assert len(result.faults) == 16


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(asked_for(), EXPLICIT_VR_LE), ()),
        (b"\x08\0\x58\0UI\6\x001.2\\3\0", ("1.2", "3")),
        (b"\x08\0\x58\0UI\4\x001.2\0", ("1.2",)),
        (b"\x08\0\x58\0UI\0\0", ()),
    ],
)
def test_the_list_of_failed_instances_is_decoded_when_it_is_read(data: bytes, expected: tuple[str, ...]) -> None:
    pair = ready()
    (_, result), _ = pair.run(
        then_release(pair.uses, get_all(pair.uses)),
        serve(pair.provides, answering(counted(0xB000, None, 1), data=data)),
    )
    assert result.failed.data == data
    assert result.failed_instances == expected


def test_an_invalid_list_of_failed_instances_is_reported_when_it_is_read() -> None:
    pair = ready()
    (_, result), _ = pair.run(
        then_release(pair.uses, get_all(pair.uses)),
        serve(pair.provides, answering(counted(0xB000, None, 1), data=b"garbage!")),
    )
    with pytest.raises(DataSetError):
        _ = result.failed_instances


# -- C-MOVE --------------------------------------------------------------------------------------------------------


def move(exchange: Exchange, *, cancel_after: int = 10_000) -> flows.Flow[Any]:
    operation = Move(exchange, MOVE, "DEST", ASKED)
    seen = []
    while (counters := (yield from operation.next())) is not None:
        seen.append(counters)
        if len(seen) == cancel_after:
            operation.cancel()
    assert (yield from operation.next()) is None
    return seen, operation.result


def provide_move(found: list[Instance], archive: Pair) -> Any:
    """A provider whose outgoing association is `archive`."""

    def perform(exchange: Exchange, asked: MessageStart) -> flows.Flow[Any]:
        moving = Moving(exchange, asked)
        yield from moving.receive()
        task = moving.task(propose([CT]))
        moving.begin(len(found))
        for instance in found:
            stores = StoreMany(archive.uses, [instance], originator=task.originator)
            outcome = yield from stores.next()
            assert outcome is not None
            if not (yield from moving.record(outcome)):
                break
        return (yield from moving.end()), task, moving.outcomes

    return perform


def receive(exchange: Exchange) -> flows.Flow[list[CStoreRequest]]:
    got = []
    while (asked := (yield from next_request(exchange))) is not None:
        assert isinstance(asked.command, CStoreRequest)
        yield from skip_data(exchange)
        uid = asked.command.affected_sop_instance_uid
        exchange.reply(reply_to(asked, 0xA700 if uid == "1.2.2" else 0))
        got.append(asked.command)
    return got


def run_both(pair: Pair, archive: Pair, use: Any, found: list[Instance]) -> list[Any]:
    """Two pairs side by side: the flows to the archive run together with those of the C-MOVE."""
    provided = serve(pair.provides, provide_move(found, archive))
    receiving = receive(archive.provides)

    def provider() -> Any:
        done = yield from provided
        yield from flows.release(archive.user)
        return done

    def pumped(flow: Any) -> Any:
        while True:
            archive.pump()
            try:
                need = next(flow)
            except StopIteration as ended:
                archive.pump()
                return ended.value
            yield flows.Need.TURN if archive.pump() else need

    return pair.run(use, pumped(provider()), pumped(receiving))


@ANY
def test_requested_instances_go_to_a_third_application(split: Splitter) -> None:
    pair, archive = parties(MOVE, split=split), parties(CT, split=split)
    (seen, result), done, got = run_both(pair, archive, then_release(pair.uses, move(pair.uses)), instances(4))
    assert seen == [
        Counters(remaining=3, completed=1),
        Counters(remaining=2, completed=2),
        Counters(remaining=1, completed=2, failed=1),
        Counters(remaining=0, completed=3, failed=1),
    ]
    assert result.response.status == 0xB000
    assert result.counters == Counters(completed=3, failed=1)
    assert result.failed_instances == ("1.2.2",)
    assert (result.instances, result.faults) == ((), ())
    code, task, outcomes = done[0]
    assert code == 0xB000
    assert (task.destination, task.request.called_aet, task.request.calling_aet) == ("DEST", "DEST", "PROVIDER")
    assert task.request.contexts == propose([CT])
    assert task.originator == ("USER", 1)
    assert [one.status for one in outcomes] == [0, 0, 0xA700, 0]
    assert {(one.move_originator_aet, one.move_originator_message_id) for one in got} == {("USER", 1)}


def test_a_cancelled_move_ends_with_what_was_done() -> None:
    pair, archive = parties(MOVE), parties(CT)
    (_, result), done, got = run_both(
        pair, archive, then_release(pair.uses, move(pair.uses, cancel_after=2)), instances(50)
    )
    assert 2 <= len(got) < 6
    assert result.response.status == status.CANCEL
    assert result.counters.remaining == 50 - len(got)
    assert done[0][0] == status.CANCEL


def test_a_destination_that_is_not_known() -> None:
    pair = parties(MOVE)

    def perform(exchange: Exchange, asked: MessageStart) -> flows.Flow[str]:
        moving = Moving(exchange, asked)
        yield from moving.finish(status.MOVE_DESTINATION_UNKNOWN, "no such destination")
        return moving.destination

    (seen, result), done = pair.run(then_release(pair.uses, move(pair.uses)), serve(pair.provides, perform))
    assert (seen, done) == ([], ["DEST"])
    assert (result.response.status, result.response.error_comment) == (0xA801, "no such destination")
    assert result.counters == Counters()


def test_a_task_may_say_more() -> None:
    pair = parties(MOVE)
    pair.uses.send(1, *sent_move())
    (received, _) = pair.events(pair.provider)
    assert isinstance(received, MessageStart)
    moving = Moving(pair.provides, received)
    task = moving.task(propose([CT]), user_information=UserInformation(max_length=5000))
    assert task.request.user_information.max_length == 5000


def sent_move() -> tuple[Any, bytes]:
    from dicos_proto.dimse.types import CMoveRequest

    return CMoveRequest(message_id=1, affected_sop_class_uid=MOVE, move_destination="DEST"), b"identifier"


def test_an_operation_of_another_kind_has_no_destination() -> None:
    pair = parties(VERIFICATION)
    pair.uses.send(1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION))
    (received,) = pair.events(pair.provider)
    assert isinstance(received, MessageStart)
    with pytest.raises(TypeError, match="C-ECHO-RQ has no destination"):
        _ = Moving(pair.provides, received).destination


def test_more_outcomes_than_were_expected_leave_none_remaining() -> None:
    pair = parties(MOVE)
    pair.uses.send(1, *sent_move())
    (received, _) = pair.events(pair.provider)
    assert isinstance(received, MessageStart)
    moving = Moving(pair.provides, received)
    outcome = Outcome(instance=instances(1)[0], response=CStoreResponse(message_id_being_responded_to=1, status=0))
    for _ in range(2):
        list(moving.record(outcome))
    assert moving.counters == Counters(completed=2)
    assert moving.counters.total == 2
    assert moving.report(0xFF00) == CMoveResponse(
        message_id_being_responded_to=1, affected_sop_class_uid=MOVE, status=0xFF00, remaining=0, completed=2, failed=0,
        warning=0,
    )  # fmt: skip


def test_a_response_that_is_too_long_to_hold_is_reported() -> None:
    pair = ready(user_limits=Limits(attributes=10))

    def use() -> flows.Flow[str]:
        with pytest.raises(DataSetTooLong) as caught:
            yield from get_all(pair.uses)
        return str(caught.value)

    text, _ = pair.run(
        then_release(pair.uses, use()), serve(pair.provides, answering(counted(0xB000, None, 1), data=bytes(20)))
    )
    assert text == "data set of 20 bytes (limit attributes: 10 allowed)"


def test_a_performing_knows_its_context() -> None:
    pair = parties(GET)
    pair.uses.send(1, CEchoRequest(message_id=5, affected_sop_class_uid=GET))
    (received,) = pair.events(pair.provider)
    assert isinstance(received, MessageStart)
    performing = ProviderOperation(pair.provides, received)
    assert performing.context.abstract_syntax == GET
    with pytest.raises(StopIteration) as done:
        next(performing.receive())
    assert done.value.value is None

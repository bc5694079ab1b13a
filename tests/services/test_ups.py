"""Unified procedure steps: the state table, the rules for any sequence of operations, both sides of each operation."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.conversation.flows import ContextNotAccepted
from dicos_proto.data.datasets import convert, decode, encode
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import CFindRequest, NActionRequest, NGetRequest
from dicos_proto.registry import status
from dicos_proto.services import ups as upses
from dicos_proto.services.normalized import n_action, n_create, n_event_report, n_get, n_set
from dicos_proto.services.query import Finding
from dicos_proto.services.serving import Refused
from dicos_proto.services.ups import (
    EVENT,
    FILTERED_GLOBAL,
    GLOBAL,
    PULL,
    PUSH,
    QUERY,
    WATCH,
    FinalState,
    Happened,
    Ups,
    UPSEvent,
    UPSReport,
    UPSState,
    Working,
    transition,
)
from tests.pair import Pair, splitters
from tests.services.talk import IMPLICIT, dataset, pair_for, serve, use

LENIENT = FinalState(completed=(), canceled=())
FINALS = {"CANCELED", "COMPLETED"}


def scheduled(**changes: Any) -> Dataset:
    return dataset(
        **{
            "ProcedureStepState": "SCHEDULED",
            "ScheduledProcedureStepPriority": "MEDIUM",
            "ProcedureStepLabel": "Screening",
            "WorklistLabel": "",
            "ScheduledProcedureStepStartDateTime": "20260101101010",
            "InputReadinessState": "READY",
            "TransactionUID": "",
            **changes,
        }
    )


def performed() -> Dataset:
    return dataset(
        UnifiedProcedureStepPerformedProcedureSequence=[
            dataset(
                PerformedStationNameCodeSequence=[dataset(CodeMeaning="station")],
                PerformedProcedureStepStartDateTime="20260101101010",
                PerformedWorkitemCodeSequence=[dataset(CodeMeaning="work")],
                PerformedProcedureStepEndDateTime="20260101111111",
                OutputInformationSequence=[],
            )
        ]
    )


def to(state: str, transaction: str = "1.5") -> Dataset:
    return dataset(ProcedureStepState=state, TransactionUID=transaction)


NEW = upses.create("1.9", scheduled()).ups
CLAIMED = upses.change(NEW, to("IN PROGRESS")).ups

# -- the table -------------------------------------------------------------------------------------------------------


def test_every_cell_is_a_state_or_a_status_that_has_a_meaning() -> None:
    assert set(upses.TABLE) == set(UPSEvent)
    for event in UPSEvent:
        for state in (None, *UPSState):
            after, code = transition(state, event)
            assert status.meaning(code, status.Service.UPS) != ""
            assert after is state or code == status.SUCCESS
            assert status.category(code) is not status.Category.PENDING


def test_final_states_are_never_left_and_only_in_progress_is_completed() -> None:
    for event in UPSEvent:
        for state in (UPSState.COMPLETED, UPSState.CANCELED):
            assert transition(state, event)[0] is state
        assert transition(UPSState.SCHEDULED, event)[0] is not UPSState.COMPLETED
        assert transition(None, event)[0] in (None, UPSState.SCHEDULED)


def test_without_the_final_state_requirements_nothing_ends() -> None:
    for event in (UPSEvent.TO_COMPLETED, UPSEvent.TO_CANCELED):
        assert transition(UPSState.IN_PROGRESS, event, final=False) == (UPSState.IN_PROGRESS, 0xC304)


# -- the rule --------------------------------------------------------------------------------------------------------


def code_of(action: Any) -> int:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


def test_a_step_begins_scheduled_and_says_so() -> None:
    outcome = upses.create("1.9", scheduled())
    assert (outcome.ups.state, outcome.ups.transaction_uid, outcome.code) == (UPSState.SCHEDULED, "", 0)
    (report,) = outcome.reports
    assert (report.event_type_id, report.sop_instance_uid) == (1, "1.9")
    assert report.dataset == dataset(ProcedureStepState="SCHEDULED", InputReadinessState="READY")
    assert code_of(lambda: upses.create("1.9", scheduled(), exists=True)) == 0x0111
    assert code_of(lambda: upses.create("1.9", scheduled(ProcedureStepState="IN PROGRESS"))) == 0xC309
    assert code_of(lambda: upses.create("1.9", dataset(ProcedureStepState="SCHEDULED"))) == 0x0120


def test_a_step_is_claimed_by_one() -> None:
    assert (CLAIMED.state, CLAIMED.transaction_uid) == (UPSState.IN_PROGRESS, "1.5")
    assert "TransactionUID" not in CLAIMED.dataset
    assert code_of(lambda: upses.change(CLAIMED, to("IN PROGRESS", "1.6"))) == 0xC301
    assert code_of(lambda: upses.change(CLAIMED, to("IN PROGRESS"))) == 0xC302
    assert code_of(lambda: upses.change(NEW, to("IN PROGRESS", ""))) == 0xC301
    assert code_of(lambda: upses.change(None, to("IN PROGRESS"))) == 0xC307
    assert code_of(lambda: upses.change(NEW, to("STARTED"))) == 0x0115


def test_a_step_is_completed_once_all_is_there() -> None:
    with pytest.raises(Refused) as caught:
        upses.change(CLAIMED, to("COMPLETED"))
    assert (caught.value.code, caught.value.tags) == (0xC304, (0x00741216,))
    ready = upses.modify(CLAIMED, dataset(TransactionUID="1.5", **vars_of(performed()))).ups
    done = upses.change(ready, to("COMPLETED"))
    assert (done.ups.state, done.code, len(done.reports)) == (UPSState.COMPLETED, 0, 1)
    again = upses.change(done.ups, to("COMPLETED"))
    assert (again.ups, again.code, again.reports) == (done.ups, 0xB306, ())
    assert code_of(lambda: upses.change(done.ups, to("CANCELED"))) == 0xC300
    assert code_of(lambda: upses.change(CLAIMED, to("CANCELED"))) == 0xC304


def vars_of(found: Dataset) -> dict[str, Any]:
    return {element.keyword: element.value for element in found}


def test_a_request_to_cancel() -> None:
    why = dataset(ReasonForCancellation="no more")
    canceled = upses.cancel(NEW, why, now="20260101")
    assert canceled.ups.state is UPSState.CANCELED
    assert [each.dataset.ProcedureStepState for each in canceled.reports] == ["IN PROGRESS", "CANCELED"]
    (progress,) = canceled.ups.dataset.ProcedureStepProgressInformationSequence
    assert (progress.ReasonForCancellation, progress.ProcedureStepCancellationDateTime) == ("no more", "20260101")
    assert FinalState().missing(canceled.ups.dataset, UPSState.CANCELED) is None
    asked = upses.cancel(CLAIMED, why)
    assert (asked.ups, asked.code) == (CLAIMED, 0)
    assert [(each.event_type_id, each.dataset) for each in asked.reports] == [(2, why)]
    assert upses.cancel(canceled.ups, why).code == 0xB304
    done = upses.change(CLAIMED, to("COMPLETED"), final=LENIENT).ups
    assert code_of(lambda: upses.cancel(done, why)) == 0xC311
    assert code_of(lambda: upses.cancel(None, why)) == 0xC307


@pytest.mark.parametrize(
    ("step", "values", "code"),
    [
        (None, {}, 0xC307),
        (upses.change(CLAIMED, to("COMPLETED"), final=LENIENT).ups, {"TransactionUID": "1.5"}, 0xC300),
        (NEW, {"TransactionUID": "1.5"}, 0xC310),
        (CLAIMED, {}, 0xC301),
        (CLAIMED, {"TransactionUID": "1.6"}, 0xC301),
        (CLAIMED, {"TransactionUID": "1.5", "ProcedureStepState": "COMPLETED"}, 0x0105),
    ],
)
def test_attributes_that_cannot_be_set(step: Ups | None, values: dict[str, Any], code: int) -> None:
    assert code_of(lambda: upses.modify(step, dataset(**values))) == code


def test_modifications_are_reported_to_the_subscribers() -> None:
    progress = [dataset(ProcedureStepProgress="50")]
    outcome = upses.modify(
        CLAIMED,
        dataset(
            TransactionUID="1.5", ProcedureStepProgressInformationSequence=progress, ScheduledStationNameCodeSequence=[]
        ),
    )
    assert [each.event_type_id for each in outcome.reports] == [3, 5]
    assert outcome.reports[0].dataset == dataset(ProcedureStepProgressInformationSequence=progress)
    assert "TransactionUID" not in outcome.ups.dataset
    assert "ProcedureStepProgressInformationSequence" not in CLAIMED.dataset
    assert upses.modify(NEW, dataset(ProcedureStepLabel="Other")).reports == ()


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("change"), st.sampled_from([one.value for one in UPSState]), st.sampled_from(["", "1.5", "1.6"])
        ),
        st.tuples(st.just("cancel"), st.just(""), st.just("")),
        st.tuples(st.just("modify"), st.just(""), st.sampled_from(["", "1.5", "1.6"])),
    ),
    max_size=10,
)


@given(OPERATIONS)
def test_any_sequence_of_requests_moves_a_step_one_way_under_one_transaction(
    operations: list[tuple[str, str, str]],
) -> None:
    step = NEW
    order = [UPSState.SCHEDULED, UPSState.IN_PROGRESS]
    for kind, state, transaction in operations:
        before = step
        try:
            if kind == "change":
                outcome = upses.change(step, to(state, transaction), final=LENIENT)
            elif kind == "cancel":
                outcome = upses.cancel(step, dataset(), now="20260101")
            else:
                outcome = upses.modify(step, dataset(TransactionUID=transaction, ProcedureStepLabel="x"))
        except Refused:
            continue
        step = outcome.ups
        assert step.dataset.ProcedureStepState == step.state.value
        assert "TransactionUID" not in step.dataset
        if step.state is not before.state:
            assert before.state in order
            assert outcome.reports[-1].dataset.ProcedureStepState == step.state.value
        if before.transaction_uid:
            assert step.transaction_uid == before.transaction_uid
        if before.state not in order:
            assert step == before
        if kind != "cancel" and before.state is UPSState.IN_PROGRESS and step is not before:
            assert transaction == before.transaction_uid


# -- both sides ------------------------------------------------------------------------------------------------------


def keep(pair: Pair, steps: dict[str, Ups], seen: list[Any], **options: Any) -> Any:
    """A provider that keeps steps in `steps`, and reports to send and subscriptions in `seen`."""

    def handle(start: MessageStart) -> flows.Flow[int]:
        if isinstance(start.command, CFindRequest):
            finding = Finding(pair.provides, start)
            yield from finding.receive()
            return (yield from finding.send_all(one.dataset for one in steps.values()))
        working = Working(pair.provides, start)
        code = 0
        try:
            if isinstance(start.command, NGetRequest):
                yield from working.grant(working.get(steps))
            elif isinstance(start.command, NActionRequest) and start.command.action_type_id > 2:
                seen.append((yield from working.subscription(steps)))
                yield from working.grant()
            else:
                outcome = yield from working.work(steps, **options)
                steps[outcome.ups.sop_instance_uid] = outcome.ups
                seen.extend(outcome.reports)
                code = outcome.code
                yield from working.grant(code=code, sop_instance_uid=outcome.ups.sop_instance_uid)
        except Refused as refused:
            yield from working.refuse(refused)
            return refused.code
        return code

    return handle


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_a_step_is_pushed_found_claimed_and_completed(split: Any) -> None:
    pair = pair_for([PUSH, PULL, WATCH, QUERY], split=split)
    user = pair.uses
    steps: dict[str, Ups] = {}
    seen: list[Any] = []

    def find(model: str) -> flows.Flow[list[Dataset]]:
        query = upses.find_ups(user, dataset(ProcedureStepState="SCHEDULED"), sop_class_uid=model)
        found = []
        while (match := (yield from query.next())) is not None:
            found.append(match.attributes.dataset)
        return found

    results, served = pair.run(
        use(
            user,
            upses.create_ups(user, "1.9", scheduled(ProcedureStepState="")),
            find(PULL),
            find(QUERY),
            upses.subscribe(user, "WATCHER", "1.9", deletion_lock=True),
            upses.change_state(user, "1.9", UPSState.IN_PROGRESS, "1.5"),
            upses.set_ups(user, "1.9", encode(performed(), IMPLICIT), "1.5"),
            upses.get_ups(user, "1.9", (0x00741000, 0x00081195)),
            upses.request_cancel(user, "1.9", dataset(ReasonForCancellation="late")),
            upses.change_state(user, "1.9", UPSState.COMPLETED, "1.5"),
            upses.request_cancel(user, "1.9"),
        ),
        serve(pair.provides, keep(pair, steps, seen)),
    )
    assert served == [0] * 9 + [0xC311]
    assert [len(results[1]), len(results[2])] == [1, 1]
    assert results[6].attributes.dataset == dataset(ProcedureStepState="IN PROGRESS")
    assert steps["1.9"].state is UPSState.COMPLETED
    assert [each.event_type_id for each in seen if isinstance(each, UPSReport)] == [1, 1, 2, 1]


def test_subscriptions_are_read_as_values() -> None:
    pair = pair_for([WATCH])
    user = pair.uses
    seen: list[Any] = []
    _, served = pair.run(
        use(
            user,
            upses.subscribe(user, "WATCHER", deletion_lock=True),
            upses.subscribe(user, "WATCHER", FILTERED_GLOBAL, keys=dataset(WorklistLabel="A")),
            upses.unsubscribe(user, "WATCHER", "1.9"),
            upses.suspend(user, "WATCHER"),
            upses.suspend(user, "WATCHER", "1.9"),
            upses.subscribe(user, "WATCHER", "1.8"),
            upses.unsubscribe(user, ""),
            n_action(user, PUSH, GLOBAL, 3, dataset(ReceivingAE="WATCHER"), negotiated=WATCH),
        ),
        serve(pair.provides, keep(pair, {"1.9": NEW}, seen)),
    )
    assert served == [0, 0, 0, 0, 0xC314, 0xC307, 0x0115, 0x0115]
    assert [(one.action, one.sop_instance_uid, one.receiving_aet, one.deletion_lock) for one in seen] == [
        (3, GLOBAL, "WATCHER", True),
        (3, FILTERED_GLOBAL, "WATCHER", False),
        (4, "1.9", "WATCHER", False),
        (5, GLOBAL, "WATCHER", False),
    ]
    assert [one.keys for one in seen] == [Dataset(), dataset(WorklistLabel="A"), Dataset(), Dataset()]


def test_operations_go_where_they_may() -> None:
    """On other contexts, operations are refused; the user side refuses them before anything is sent."""
    pair = pair_for([WATCH, PULL])
    user = pair.uses
    results, served = pair.run(
        use(
            user,
            n_set(user, PUSH, "1.9", dataset(), negotiated=WATCH),
            n_create(user, PUSH, "1.9", scheduled(), negotiated=PULL),
            n_get(user, PUSH, "1.8", negotiated=PULL),
            upses.request_cancel(user, "1.9"),
            upses.get_ups(user, "1.9"),
        ),
        serve(pair.provides, keep(pair, {"1.9": NEW}, [])),
    )
    assert served == [0x0211, 0x0211, 0xC307, 0, 0]
    assert "Unified Procedure Step - Pull" in results[0].response.error_comment
    pair = pair_for([PUSH])
    for conversation in (
        upses.change_state(pair.uses, "1.9", UPSState.IN_PROGRESS, "1.5"),
        upses.subscribe(pair.uses, "WATCHER"),
        upses.set_ups(pair.uses, "1.9", dataset()),
    ):
        (error,) = pair.run(conversation)
        assert isinstance(error, ContextNotAccepted)


@pytest.mark.parametrize(("new_uid", "code"), [("1.2.77", 0), (None, 0x0117)])
def test_a_step_without_a_name_gets_one_or_is_refused(new_uid: str | None, code: int) -> None:
    pair = pair_for([PUSH])
    ((result,), served) = pair.run(
        use(pair.uses, upses.create_ups(pair.uses, None, scheduled())),
        serve(pair.provides, keep(pair, {}, [], new_uid=new_uid)),
    )
    assert served == [code]
    assert result.response.affected_sop_instance_uid == new_uid


def test_events_reach_the_subscribers() -> None:
    pair = pair_for([EVENT], roles={EVENT: (False, True)})
    seen: list[Any] = []

    def take(start: MessageStart) -> flows.Flow[None]:
        happened = Happened(pair.provides, start)
        try:
            seen.append((yield from happened.read_report()))
            yield from happened.grant()
        except Refused as refused:
            seen.append(refused.code)
            yield from happened.refuse(refused)

    reports = upses.cancel(NEW, dataset(), now="20260101").reports
    results, _ = pair.run(
        use(
            pair.uses,
            *(upses.report(pair.uses, each) for each in reports),
            n_event_report(pair.uses, PUSH, "1.9", 6, negotiated=EVENT),
        ),
        serve(pair.provides, take),
    )
    assert [each.response.status for each in results] == [0, 0, 0x0113]
    assert seen == [*reports, 0x0113]


@pytest.mark.filterwarnings("error")
def test_an_odd_value_of_a_user_is_reported_as_it_came() -> None:
    """pydicom warns if such a value is assigned, with the value in its text, which is printed and kept forever."""
    attributes = convert(decode(encode(scheduled(), IMPLICIT).replace(b"READY ", b"r\xf6w   "), IMPLICIT))
    (report,) = upses.create("1.9", attributes).reports
    assert decode(encode(report.dataset, IMPLICIT), IMPLICIT).InputReadinessState == "r\xf6w"

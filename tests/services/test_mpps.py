"""Modality performed procedure steps: the rules for any sequence of requests, and both sides of each operation."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.conversation.performing import next_request
from dicos_proto.data.datasets import Attributes, encode
from dicos_proto.dimse.events import MessageStart
from dicos_proto.registry import status
from dicos_proto.services import mpps
from dicos_proto.services.mpps import MPPS, NOTIFICATION, RETRIEVE, MPPSNotified, MPPSState, PerformedStep, Stepping
from dicos_proto.services.normalized import n_create, n_event_report, n_get, n_set
from dicos_proto.services.serving import Refused
from tests.pair import Pair, splitters
from tests.services.talk import IMPLICIT, dataset, pair_for, serve, use

STATUS = 0x00400252


def created(**changes: Any) -> Dataset:
    """All attributes that an N-CREATE needs."""
    made = Dataset()
    for one in mpps.ON_CREATE:
        setattr(made, one.keyword, [] if one.keyword.endswith("Sequence") else "")
    scheduled = Dataset()
    for one in mpps.ON_CREATE[0].items:
        setattr(scheduled, one.keyword, [] if one.keyword.endswith("Sequence") else "")
    scheduled.StudyInstanceUID = "1.2.3"
    made.ScheduledStepAttributesSequence = [scheduled]
    made.PerformedProcedureStepID = "PPS1"
    made.PerformedStationAETitle = "SCANNER"
    made.PerformedProcedureStepStartDate, made.PerformedProcedureStepStartTime = "20260101", "101010"
    made.PerformedProcedureStepStatus = "IN PROGRESS"
    made.Modality = "CT"
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return made


def ended(**changes: Any) -> Dataset:
    """All attributes that the end of a step needs."""
    series = dataset(
        PerformingPhysicianName="",
        ProtocolName="HEAD",
        OperatorsName="",
        SeriesInstanceUID="1.2.3.4",
        SeriesDescription="",
        RetrieveAETitle="",
        ReferencedImageSequence=[],
        ReferencedNonImageCompositeSOPInstanceSequence=[],
    )
    return dataset(
        **{
            "PerformedProcedureStepEndDate": "20260101",
            "PerformedProcedureStepEndTime": "111111",
            "PerformedSeriesSequence": [series],
            **changes,
        }
    )


STEP = mpps.create("1.9", created())

# -- the rule --------------------------------------------------------------------------------------------------------


def code_of(action: Any) -> int:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


def test_a_step_begins_in_progress() -> None:
    assert (STEP.sop_instance_uid, STEP.state) == ("1.9", MPPSState.IN_PROGRESS)
    for other in ("COMPLETED", "DISCONTINUED", "SCHEDULED"):
        assert code_of(lambda other=other: mpps.create("1.9", created(PerformedProcedureStepStatus=other))) == 0x0106


def test_a_second_step_of_the_same_name_is_a_duplicate() -> None:
    assert code_of(lambda: mpps.create("1.9", created(), exists=True)) == 0x0111


@pytest.mark.parametrize("one", mpps.ON_CREATE, ids=lambda one: one.keyword)
def test_all_attributes_missing_at_creation_are_named(one: Any) -> None:
    given = created()
    delattr(given, one.keyword)
    assert code_of(lambda: mpps.create("1.9", given)) == 0x0120
    setattr(given, one.keyword, [] if one.keyword.endswith("Sequence") else "")
    if one.type == 1:
        assert code_of(lambda: mpps.create("1.9", given)) == 0x0121
    else:
        assert mpps.create("1.9", given).state is MPPSState.IN_PROGRESS


def test_a_provider_may_content_itself_with_less() -> None:
    given = dataset(PerformedProcedureStepStatus="IN PROGRESS")
    assert mpps.create("1.9", given, needed=()).dataset == given
    assert mpps.change(STEP, dataset(PerformedProcedureStepStatus="COMPLETED"), needed=()).state is MPPSState.COMPLETED


def test_a_step_that_ends_needs_the_attributes_known_by_then() -> None:
    over = dataset(PerformedProcedureStepStatus="COMPLETED")
    assert code_of(lambda: mpps.change(STEP, over)) == 0x0121
    assert code_of(lambda: mpps.change(STEP, ended(**{"PerformedSeriesSequence": [Dataset()]}, **{
        "PerformedProcedureStepStatus": "DISCONTINUED"}))) == 0x0120  # fmt: skip
    # The attribute may have been set earlier.
    assert mpps.change(mpps.change(STEP, ended()), over).state is MPPSState.COMPLETED


def test_an_unknown_state_is_an_invalid_value() -> None:
    for other in ("SCHEDULED", "", "in progress"):
        with pytest.raises(Refused, match="IN PROGRESS, COMPLETED, DISCONTINUED") as caught:
            mpps.change(STEP, dataset(PerformedProcedureStepStatus=other) if other.isupper() else _raw(other))
        assert (caught.value.code, caught.value.tags) == (0x0106, (STATUS,))


def _raw(value: str) -> Dataset:
    made = Dataset()
    made.add_new(STATUS, "LO", value)
    return made


def test_a_step_that_is_over_never_changes() -> None:
    over = mpps.change(STEP, ended(PerformedProcedureStepStatus="COMPLETED"))
    with pytest.raises(Refused) as caught:
        mpps.change(over, dataset(PerformedProcedureStepStatus="IN PROGRESS"))
    refused = caught.value
    assert (refused.code, refused.error_id) == (0x0110, 0xA710)
    assert refused.comment == "Performed Procedure Step Object may no longer be updated"


MOVES = st.lists(st.sampled_from(["", "IN PROGRESS", "COMPLETED", "DISCONTINUED", "SCHEDULED"]), max_size=8)


@given(MOVES)
def test_any_sequence_of_requests_moves_the_states_one_way(moves: list[str]) -> None:
    step = STEP
    for number, move in enumerate(moves):
        asked = ended(StudyID=f"{number}", **({"PerformedProcedureStepStatus": move} if move else {}))
        if step.state is not MPPSState.IN_PROGRESS:
            assert code_of(lambda step=step, asked=asked: mpps.change(step, asked)) == 0x0110
        elif move == "SCHEDULED":
            assert code_of(lambda step=step, asked=asked: mpps.change(step, asked)) == 0x0106
        else:
            after = mpps.change(step, asked)
            assert after.state.value == (move or "IN PROGRESS")
            assert after.dataset.StudyID == f"{number}"
            assert step.dataset.StudyID != f"{number}"  # the previous step is unchanged
            step = after


# -- both sides ------------------------------------------------------------------------------------------------------


def keep(pair: Pair, steps: dict[str, PerformedStep], **options: Any) -> Any:
    """A provider that keeps steps in `steps`."""

    def handle(start: MessageStart) -> flows.Flow[int]:
        stepping = Stepping(pair.provides, start)
        try:
            if start.command.NAME == "N-GET-RQ":
                yield from stepping.grant(stepping.get(steps))
                return 0
            step = yield from stepping.step(steps, **options)
        except Refused as refused:
            yield from stepping.refuse(refused)
            return refused.code
        steps[step.sop_instance_uid] = step
        yield from stepping.grant(sop_instance_uid=step.sop_instance_uid)
        return 0

    return handle


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_a_step_is_begun_updated_and_completed(split: Any) -> None:
    pair, steps = pair_for([MPPS, RETRIEVE], split=split), {}
    user = pair.uses
    without = created(PerformedProcedureStepStatus="")
    results, served = pair.run(
        use(
            user,
            mpps.begin(user, "1.9", without),
            mpps.update(user, "1.9", dataset(PerformedProcedureStepDescription="going on")),
            mpps.retrieve(user, "1.9", (0x00400254, STATUS, 0x00400281)),
            mpps.complete(user, "1.9", encode(ended(), IMPLICIT)),
            mpps.retrieve(user, "1.9"),
        ),
        serve(pair.provides, keep(pair, steps)),
    )
    assert served == [0] * 5
    assert without.PerformedProcedureStepStatus == ""  # the caller's data set is unchanged
    assert results[2].attributes.dataset == dataset(
        PerformedProcedureStepDescription="going on", PerformedProcedureStepStatus="IN PROGRESS"
    )
    assert results[4].attributes.dataset == steps["1.9"].dataset
    assert steps["1.9"].state is MPPSState.COMPLETED
    assert steps["1.9"].dataset.PerformedProcedureStepStatus == "COMPLETED"


def test_a_step_is_discontinued_and_later_requests_are_refused() -> None:
    pair, steps = pair_for([MPPS, RETRIEVE]), {}
    user = pair.uses
    results, served = pair.run(
        use(
            user,
            mpps.begin(user, "1.9", created()),
            mpps.begin(user, "1.9", created()),
            mpps.discontinue(user, "1.9", Attributes(encode(ended(), IMPLICIT), IMPLICIT)),
            mpps.complete(user, "1.9", ended()),
            mpps.update(user, "1.8", ended()),
            mpps.retrieve(user, "1.8"),
        ),
        serve(pair.provides, keep(pair, steps)),
    )
    assert served == [0, 0x0111, 0, 0x0110, 0x0112, 0x0112]
    assert [each.response.status for each in results] == served
    over = results[3].response
    assert (over.error_id, over.error_comment) == (
        0xA710,
        "Performed Procedure Step Object may no longer be updated",
    )
    assert steps["1.9"].state is MPPSState.DISCONTINUED


def test_missing_attributes_are_returned_as_tags() -> None:
    pair = pair_for([MPPS])
    ((result,), served) = pair.run(
        use(pair.uses, n_create(pair.uses, MPPS, "1.9", dataset(Modality="CT"))), serve(pair.provides, keep(pair, {}))
    )
    assert served == [0x0120]
    assert 0x00400252 in result.response.attribute_identifier_list
    assert len(result.response.attribute_identifier_list) == len(mpps.ON_CREATE) - 1


@pytest.mark.parametrize(("new_uid", "code"), [("1.2.77", 0), (None, 0x0117)])
def test_a_step_without_a_name_gets_one_or_is_refused(new_uid: str | None, code: int) -> None:
    pair, steps = pair_for([MPPS]), {}
    ((result,), _) = pair.run(
        use(pair.uses, mpps.begin(pair.uses, None, created())),
        serve(pair.provides, keep(pair, steps, new_uid=new_uid)),
    )
    assert result.response.status == code
    assert result.response.affected_sop_instance_uid == new_uid
    assert list(steps) == ([new_uid] if new_uid else [])


def test_operations_of_another_sop_class_are_refused() -> None:
    pair = pair_for([MPPS, RETRIEVE])
    results, _ = pair.run(
        use(
            pair.uses,
            n_get(pair.uses, MPPS, "1.9"),
            n_set(pair.uses, RETRIEVE, "1.9", dataset()),
        ),
        serve(pair.provides, keep(pair, {"1.9": STEP})),
    )
    assert [each.response.status for each in results] == [0x0118, 0x0118]


# -- notification ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", MPPSState, ids=lambda one: one.value)
def test_a_notification_reports_the_state_of_a_step(state: MPPSState) -> None:
    pair = pair_for([NOTIFICATION], roles={NOTIFICATION: (False, True)})
    step = PerformedStep(sop_instance_uid="1.9", state=state, dataset=Dataset())

    def take() -> flows.Flow[Any]:
        start = yield from next_request(pair.provides)
        assert start is not None
        notified = MPPSNotified(pair.provides, start)
        found = yield from notified.read()
        state = notified.state()
        yield from notified.grant()
        return notified.sop_instance_uid, state, found.PerformedProcedureStepStatus

    result, seen = pair.run(mpps.notify(pair.uses, step), take())
    assert result.response.status == status.SUCCESS
    assert seen == ("1.9", state, state.value)


def test_a_notification_of_another_type_is_refused() -> None:
    pair = pair_for([NOTIFICATION], roles={NOTIFICATION: (False, True)})

    def take() -> flows.Flow[None]:
        start = yield from next_request(pair.provides)
        assert start is not None
        notified = MPPSNotified(pair.provides, start)
        with pytest.raises(Refused) as caught:
            notified.state()
        yield from notified.refuse(caught.value)

    result, _ = pair.run(n_event_report(pair.uses, NOTIFICATION, "1.9", 4), take())
    assert result.response.status == 0x0113


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("names", ["ISO_IR 192", "ISO-IR 100"])
def test_texts_are_returned_with_their_character_set(names: str) -> None:
    """Also if the user asks for the texts alone, and if pydicom does not know the character set."""
    new = created(PatientName="x" * 4)
    new.SpecificCharacterSet = "Y" * len(names)
    given = encode(new, IMPLICIT).replace(b"Y" * len(names), names.encode())
    given = given.replace(b"x" * 4, "ää".encode() if names == "ISO_IR 192" else "ää  ".encode("latin-1"))
    pair = pair_for([MPPS, RETRIEVE])
    steps: dict[str, PerformedStep] = {}

    def handle(start: MessageStart) -> flows.Flow[None]:
        stepping = Stepping(pair.provides, start)
        if start.command.NAME == "N-GET-RQ":
            yield from stepping.grant(stepping.get(steps))
        else:
            steps["1.2"] = yield from stepping.step(steps)
            yield from stepping.grant()

    asked = n_create(pair.uses, MPPS, "1.2", given), n_get(pair.uses, RETRIEVE, "1.2", (0x00100010,))
    (_, result), _ = pair.run(use(pair.uses, *asked), serve(pair.provides, handle))
    found = result.attributes.dataset
    assert (str(found.PatientName), found.SpecificCharacterSet) == ("ää", names)

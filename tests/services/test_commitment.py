"""Storage commitment: the report after the response, before it, within the request, on another association."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.conversation.flows import ContextNotAccepted
from dicos_proto.conversation.performing import next_request
from dicos_proto.data.datasets import decode, encode
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import CEchoRequest, NActionResponse, NEventReportRequest
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from dicos_proto.services.commitment import (
    INSTANCE,
    PUSH_MODEL,
    ROLES,
    CommitmentReport,
    CommitmentRequest,
    Committing,
    Failure,
    Reported,
    ReportTask,
    Requested,
    next_report,
    report_commitment,
    request_commitment,
)
from dicos_proto.services.normalized import n_action, n_delete, n_event_report
from dicos_proto.services.serving import Reference, Refused
from dicos_proto.services.verification import echo
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.pair import Pair, splitters
from tests.services.talk import EXPLICIT, IMPLICIT, dataset, pair_for, serve, use

ONE, TWO = Reference(uids.CT_IMAGE_STORAGE, "1.2.1"), Reference(uids.CT_IMAGE_STORAGE, "1.2.2")
BOTH = (ONE, TWO)
REQUEST = CommitmentRequest(transaction_uid="1.9", references=BOTH)
NONE = REQUEST.report([Failure(ONE, 0x0213), Failure(TWO, 0x0213)])
ALL, SOME = REQUEST.report(retrieve_aet="ARCHIVE"), REQUEST.report([Failure(TWO, 0x0112)])


def provider(pair: Pair, report: CommitmentReport, order: str) -> flows.Flow[Any]:
    """A provider that answers one request, sends its report `before` or `after` the response, and is released."""
    exchange = pair.provides
    start = yield from next_request(exchange)
    assert start is not None
    committing = Committing(exchange, start)
    asked = yield from committing.read_request()
    if order == "before":
        response = yield from report_commitment(exchange, report)
        yield from committing.grant()
    else:
        yield from committing.grant()
        response = yield from report_commitment(exchange, report)
    assert (yield from next_request(exchange)) is None
    return asked, response.status


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("report", [ALL, SOME, NONE], ids=["all", "some", "none"])
def test_the_report_arrives_before_or_after_the_response(split: Any, order: str, report: CommitmentReport) -> None:
    pair = pair_for([PUSH_MODEL], split=split)

    def user() -> flows.Flow[Any]:
        requested = yield from request_commitment(pair.uses, "1.9", BOTH)
        found = requested.report or (yield from next_report(pair.uses, ["1.9"]))
        yield from flows.release(pair.user)
        return requested, found

    (requested, found), (asked, answered) = pair.run(user(), provider(pair, report, order))
    assert requested.response.status == status.SUCCESS
    assert (requested.report is not None) == (order == "before")
    assert found == report
    assert asked == REQUEST
    assert answered == status.SUCCESS
    assert found.attributes.dataset == report.dataset
    assert asked.attributes.transfer_syntax == IMPLICIT


def test_reasons_have_words() -> None:
    assert SOME.event_type_id == 2
    assert ALL.event_type_id == 1
    assert SOME.failed[0].words == "0x0112 No such SOP instance (failure)"
    assert Failure(ONE, 0x0131).words == "0x0131 Duplicate transaction UID (failure)"
    assert SOME.failed == ((TWO, 0x0112),)


def test_a_failure_of_a_stranger_is_no_part_of_a_report() -> None:
    with pytest.raises(LocalProtocolError, match="does not name"):
        REQUEST.report([Failure(Reference("1.2", "1.3"), 0x0110)])


@given(st.sets(st.integers(0, 19)), st.integers(1, 20))
def test_every_reference_is_in_the_report_once(failed: set[int], count: int) -> None:
    references = tuple(Reference("1.2", f"1.3.{index}") for index in range(count))
    request = CommitmentRequest(transaction_uid="1.9", references=references)
    report = request.report(Failure(references[index], 0x0110) for index in sorted(failed) if index < count)
    assert sorted([*report.committed, *(one.reference for one in report.failed)]) == sorted(references)


def test_a_report_too_large_to_be_parked_is_still_received() -> None:
    references = tuple(Reference(uids.CT_IMAGE_STORAGE, f"1.2.3.{index}") for index in range(2000))
    request = CommitmentRequest(transaction_uid="1.9", references=references)
    pair = pair_for([PUSH_MODEL])
    assert len(request.report().dataset.ReferencedSOPSequence) == 2000

    def user() -> flows.Flow[Any]:
        requested = yield from request_commitment(pair.uses, "1.9", references)
        yield from flows.release(pair.user)
        return requested

    requested, _ = pair.run(user(), provider(pair, request.report(), "before"))
    assert requested.report == request.report()


def test_a_report_that_arrives_while_the_request_is_sent_is_answered_after_it() -> None:
    """A provider that answers before it has read: report and response arrive while the request is still being sent."""
    pair = pair_for([PUSH_MODEL], user_limits=Limits(queued=1))
    references = [Reference(uids.CT_IMAGE_STORAGE, f"1.2.3.{index}") for index in range(200)]
    request = CommitmentRequest(transaction_uid="1.9", references=tuple(references))

    def hasty() -> flows.Flow[Any]:
        start = yield from next_request(pair.provides)
        assert start is not None
        event = NEventReportRequest(
            message_id=1, affected_sop_class_uid=PUSH_MODEL, affected_sop_instance_uid=INSTANCE, event_type_id=1
        )
        pair.provides.send(start.context, event, encode(request.report().dataset, IMPLICIT))
        answer = NActionResponse(message_id_being_responded_to=1, status=0)
        pair.provides.reply(MessageStart(context=start.context, command=answer))
        found = []
        while len(found) < 2 or pair.provides.unread:
            got = yield from pair.provides.step()
            if isinstance(got, MessageStart):
                found.append(got.command.NAME)
            elif isinstance(got, MessageData) and got.last:
                found.append("end")
        assert (yield from next_request(pair.provides)) is None
        return found

    def user() -> flows.Flow[Any]:
        requested = yield from request_commitment(pair.uses, "1.9", references)
        yield from flows.release(pair.user)
        return requested

    requested, found = pair.run(user(), hasty())
    assert found == ["end", "N-EVENT-REPORT-RSP"]
    assert requested.report == request.report()


def test_an_answer_with_a_reply_is_read_over() -> None:
    pair = pair_for([PUSH_MODEL])

    def odd() -> flows.Flow[None]:
        start = yield from next_request(pair.provides)
        assert start is not None
        code = status.PROCESSING_FAILURE
        answer = NActionResponse(message_id_being_responded_to=start.command.message_id, status=code)
        pair.provides.send(start.context, answer, bytes(10))
        assert (yield from next_request(pair.provides)) is None

    ((requested,), _) = pair.run(use(pair.uses, request_commitment(pair.uses, "1.9", BOTH)), odd())
    assert (requested.response.status, requested.report) == (0x0110, None)


def test_other_requests_of_the_provider_are_kept_for_later() -> None:
    pair = pair_for([PUSH_MODEL, uids.VERIFICATION], roles={uids.VERIFICATION: (True, True)})

    def asking() -> flows.Flow[Any]:
        start = yield from next_request(pair.provides)
        assert start is not None
        committing = Committing(pair.provides, start)
        yield from committing.read_request()
        yield from committing.grant()
        answered = (yield from echo(pair.provides)).status
        other = (yield from n_delete(pair.provides, uids.VERIFICATION, "1.2")).response.status
        return answered, other, (yield from report_commitment(pair.provides, ALL)).status

    def early() -> flows.Flow[Any]:
        start = yield from next_request(pair.provides)
        assert start is not None
        committing = Committing(pair.provides, start)
        yield from committing.read_request()
        pair.provides.send(3, CEchoRequest(message_id=7, affected_sop_class_uid=uids.VERIFICATION))
        yield from committing.grant()
        event = yield from pair.provides.step()
        assert isinstance(event, MessageStart)
        return event.command, (yield from report_commitment(pair.provides, ALL)).status

    def user() -> flows.Flow[Any]:
        yield from request_commitment(pair.uses, "1.9", BOTH)
        return (yield from next_report(pair.uses))

    assert pair.run(user(), asking()) == [ALL, (0, 0x0211, 0)]
    pair = pair_for([PUSH_MODEL, uids.VERIFICATION], roles={uids.VERIFICATION: (True, True)})
    report, (answer, code) = pair.run(user(), early())
    assert (report, answer.status, code) == (ALL, 0, 0)


# -- an association of its own ---------------------------------------------------------------------------------------


def task_of(report: CommitmentReport, **options: Any) -> ReportTask:
    """A provider that answers a request and returns the task to report later."""
    pair = pair_for([PUSH_MODEL])

    def handle(start: MessageStart) -> flows.Flow[ReportTask]:
        committing = Committing(pair.provides, start)
        asked = yield from committing.read_request()
        yield from committing.grant()
        assert asked == REQUEST
        return committing.task(report, **options)

    _, (task,) = pair.run(use(pair.uses, request_commitment(pair.uses, "1.9", BOTH)), serve(pair.provides, handle))
    assert isinstance(task, ReportTask)
    return task


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_the_report_arrives_on_another_association(split: Any) -> None:
    task = task_of(SOME, transfer_syntaxes=(EXPLICIT,), max_length=4096)
    assert task.destination == "USER"
    assert (task.request.called_aet, task.request.calling_aet) == ("USER", "PROVIDER")
    (role,) = task.request.user_information.roles
    assert (role.scu, role.scp) == (False, True)
    pair = Pair.established(task.request, AcceptPolicy(contexts={PUSH_MODEL: (EXPLICIT,)}, roles=ROLES), split=split)

    def user() -> flows.Flow[Any]:
        found = yield from next_report(pair.provides, {"1.9"})
        return found, (yield from next_report(pair.provides))

    ((response,), (found, after)) = pair.run(use(pair.uses, report_commitment(pair.uses, task.report)), user())
    assert response.status == status.SUCCESS
    assert found == SOME
    assert after is None


def test_a_user_that_does_not_reverse_the_roles_gets_no_report() -> None:
    task = task_of(ALL)
    pair = Pair.established(task.request, AcceptPolicy(contexts={PUSH_MODEL: (EXPLICIT,)}))
    (error,) = pair.run(report_commitment(pair.uses, task.report))
    assert isinstance(error, ContextNotAccepted)
    assert "not in the role of an SCP" in str(error)


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("references", [[], [ONE, ONE]], ids=["none", "twice"])
def test_an_invalid_request_is_not_sent(references: list[Reference]) -> None:
    pair = pair_for([PUSH_MODEL])
    (error,) = pair.run(request_commitment(pair.uses, "1.9", references))
    assert isinstance(error, LocalProtocolError)
    assert pair.user.operations.outstanding == 0


def reference(sop_class: str = "1.2", instance: str = "1.3") -> Dataset:
    return dataset(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=instance)


@pytest.mark.parametrize(
    ("information", "comment"),
    [
        (dataset(TransactionUID="1.9"), "no references"),
        (dataset(TransactionUID="1.9", ReferencedSOPSequence=[]), "no references"),
        (dataset(ReferencedSOPSequence=[reference()]), "no Transaction UID"),
        (dataset(TransactionUID="", ReferencedSOPSequence=[reference()]), "no Transaction UID"),
        (dataset(TransactionUID="1.9", ReferencedSOPSequence=[reference(), reference()]), "twice"),
        (dataset(TransactionUID="1.9", ReferencedSOPSequence=[reference(), Dataset()]), "item 2"),
        (dataset(TransactionUID="1.9", ReferencedSOPSequence=[reference(instance="")]), "item 1"),
        (b"broken", "element header"),
        (None, "no references"),
    ],
)
def test_an_invalid_request_is_refused_and_nothing_is_lost(information: Any, comment: str) -> None:
    pair = pair_for([PUSH_MODEL])

    def handle(start: MessageStart) -> flows.Flow[Any]:
        committing = Committing(pair.provides, start)
        try:
            asked = yield from committing.read_request()
        except Refused as refused:
            yield from committing.refuse(refused)
            return refused
        yield from committing.grant()
        return asked

    (bad, good), (refused, asked) = pair.run(
        use(
            pair.uses,
            n_action(pair.uses, PUSH_MODEL, INSTANCE, 1, information),
            request_commitment(pair.uses, "1.9", BOTH),
        ),
        serve(pair.provides, handle),
    )
    assert bad.response.status == status.INVALID_ARGUMENT_VALUE
    assert comment in bad.response.error_comment
    assert isinstance(refused, Refused)
    assert good == Requested(response=good.response)
    assert asked == REQUEST


@pytest.mark.parametrize(
    ("instance", "type_id", "code"), [("1.2.3", 1, 0x0112), (INSTANCE, 2, 0x0123)], ids=["instance", "type"]
)
def test_another_instance_and_another_action_are_refused(instance: str, type_id: int, code: int) -> None:
    pair = pair_for([PUSH_MODEL])

    def handle(start: MessageStart) -> flows.Flow[None]:
        committing = Committing(pair.provides, start)
        with pytest.raises(Refused) as caught:
            yield from committing.read_request()
        yield from committing.refuse(caught.value)

    ((result,), _) = pair.run(
        use(pair.uses, n_action(pair.uses, PUSH_MODEL, instance, type_id, SOME.dataset)), serve(pair.provides, handle)
    )
    assert result.response.status == code


BROKEN: list[tuple[str, int, Any, int]] = [
    (INSTANCE, 3, ALL.dataset, 0x0113),
    ("1.2.3", 1, ALL.dataset, 0x0112),
    (INSTANCE, 1, dataset(ReferencedSOPSequence=[reference()]), 0x0115),
    (INSTANCE, 2, dataset(TransactionUID="1.9", FailedSOPSequence=[reference(instance="")]), 0x0115),
    (INSTANCE, 1, b"broken", 0x0115),
    (INSTANCE, 1, replace(ALL, transaction_uid="1.8").dataset, 0x0115),
]


@pytest.mark.parametrize("early", [False, True], ids=["after", "before"])
@pytest.mark.parametrize(("instance", "type_id", "information", "code"), BROKEN)
def test_an_invalid_report_is_refused_and_a_valid_one_taken(
    early: bool, instance: str, type_id: int, information: Any, code: int
) -> None:
    pair = pair_for([PUSH_MODEL])

    def provide() -> flows.Flow[Any]:
        exchange = pair.provides
        start = yield from next_request(exchange)
        assert start is not None
        committing = Committing(exchange, start)
        yield from committing.read_request()
        if not early:
            yield from committing.grant()
        bad = yield from n_event_report(exchange, PUSH_MODEL, instance, type_id, information)
        good = yield from report_commitment(exchange, ALL)
        if early:
            yield from committing.grant()
        return bad.response.status, good.status

    def user() -> flows.Flow[Any]:
        requested = yield from request_commitment(pair.uses, "1.9", BOTH)
        if early:
            return requested.report, [one.code for one in requested.refused]
        with pytest.raises(Refused) as caught:
            yield from next_report(pair.uses, ["1.9"])
        return (yield from next_report(pair.uses, ["1.9"])), [caught.value.code]

    assert pair.run(user(), provide()) == [(ALL, [code]), (code, 0)]


def test_invalid_reports_are_kept_up_to_16() -> None:
    """Each invalid report is answered; only the first 16 are kept, so a provider cannot fill the memory."""
    pair = pair_for([PUSH_MODEL])
    instance, type_id, information, code = BROKEN[0]

    def provide() -> flows.Flow[list[int]]:
        exchange = pair.provides
        start = yield from next_request(exchange)
        assert start is not None
        committing = Committing(exchange, start)
        yield from committing.read_request()
        answered = []
        for _ in range(20):
            bad = yield from n_event_report(exchange, PUSH_MODEL, instance, type_id, information)
            answered.append(bad.response.status)
        yield from committing.grant()
        return answered

    requested, answered = pair.run(request_commitment(pair.uses, "1.9", BOTH), provide())
    assert [one.code for one in requested.refused] == [code] * 16
    assert answered == [code] * 20


def test_a_failure_without_reason_is_a_processing_failure() -> None:
    pair = pair_for([PUSH_MODEL], roles={PUSH_MODEL: (False, True)})
    information = dataset(TransactionUID="1.9", FailedSOPSequence=[reference()])

    def user() -> flows.Flow[Any]:
        start = yield from next_request(pair.provides)
        assert start is not None
        reported = Reported(pair.provides, start)
        report = yield from reported.read_report()
        yield from reported.grant()
        return report

    result, report = pair.run(n_event_report(pair.uses, PUSH_MODEL, INSTANCE, 2, information), user())
    assert report.failed == ((("1.2", "1.3"), 0x0110),)
    assert report.committed == ()
    assert result.response.status == 0


def test_the_end_of_the_association_is_raised_in_the_waiting_flow() -> None:
    pair = pair_for([PUSH_MODEL])

    def leave() -> flows.Flow[None]:
        yield from next_request(pair.provides)
        yield from flows.abort(pair.provider)

    error, _ = pair.run(request_commitment(pair.uses, "1.9", BOTH), leave())
    assert isinstance(error, flows.AssociationAborted)


@pytest.mark.filterwarnings("error")
def test_uids_with_leading_zeros_are_reported_as_they_came() -> None:
    """pydicom warns of each of them, which is printed and kept forever."""
    request = CommitmentRequest(transaction_uid="1.02", references=(Reference("1.2.3", "1.2.03"),))
    report = request.report([Failure(Reference("1.2.3", "1.2.03"), 0x0110)])
    found = decode(encode(report.dataset, IMPLICIT), IMPLICIT)
    assert found.TransactionUID == "1.02"
    assert found.FailedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.03"

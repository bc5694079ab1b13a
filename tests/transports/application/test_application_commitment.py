"""`Application`: storage commitment by a function, and its report here or on an association of its own."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dicos_proto.data.datasets import content
from dicos_proto.dimse.types import NActionRequest
from dicos_proto.registry import status, uids
from dicos_proto.services.commitment import INSTANCE, PUSH_MODEL, ROLES, CommitmentReport, CommitmentRequest, Failure
from dicos_proto.services.serving import Reference, Refused
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import ReleaseRequest
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.application import Application, CommitAsked
from dicos_transports.blocking import Session
from tests.transports.application.applications import Way, application, dataset, each_way, of_kind, running, user
from tests.transports.connections import EXPLICIT, PATIENCE, Lines, read_pdu, server

ONE, TWO = Reference(uids.CT_IMAGE_STORAGE, "1.2.1"), Reference(uids.CT_IMAGE_STORAGE, "1.2.2")
REQUEST = CommitmentRequest(transaction_uid="1.9", references=(ONE, TWO))
PARTLY = REQUEST.report([Failure(TWO, status.NO_SUCH_SOP_INSTANCE)])
Function = Callable[[CommitAsked], Any]


def only_the_first(asked: CommitAsked) -> Any:
    """As a generator."""
    assert asked.calling_aet == "TESTER"
    for one in asked.references:
        if one != ONE:
            yield Failure(one, status.NO_SUCH_SOP_INSTANCE)


def archive(way: Way, function: Function = only_the_first, *, apart: bool = False, **destinations: Any) -> Application:
    app = application(way, destinations=destinations)
    app.on_commit(apart=apart)(of_kind(way)(function))
    return app


def committed(session: Session) -> CommitmentReport | None:
    """The report that a request brings on its own association, before the answer or after it."""
    requested = session.commit("1.9", [ONE, TWO])
    assert requested.response.status == status.SUCCESS
    return requested.report or session.next_report(["1.9"])


@contextmanager
def reported_to(reports: queue.Queue[tuple[str, str, CommitmentReport]]) -> Iterator[Any]:
    """A user who takes reports on associations that the provider asks for."""

    def take(session: Session) -> None:
        while (report := session.next_report()) is not None:
            reports.put((session.calling_aet, session.called_aet, report))

    policy = AcceptPolicy(contexts={PUSH_MODEL: (EXPLICIT,)}, roles=ROLES)
    with server(take, policy=policy) as taking:
        yield taking


def ask_and_leave(session: Session) -> None:
    """The request and the A-RELEASE-RQ in one: the provider finds both when it comes to look."""
    request = NActionRequest(
        message_id=1, requested_sop_class_uid=PUSH_MODEL, requested_sop_instance_uid=INSTANCE, action_type_id=1
    )
    session.exchange.send(1, request, content(REQUEST.report().dataset, EXPLICIT))
    sock = session.driver.sock
    sock.setblocking(True)
    sock.settimeout(PATIENCE)
    sock.sendall(b"".join(session.association.data_to_send()) + encode(ReleaseRequest()))
    assert [read_pdu(sock)[0] for _ in range(2)] == [4, 6]  # the answer, A-RELEASE-RP
    session.close()


@each_way
def test_the_report_comes_on_the_same_association(way: Way) -> None:
    with running(way, archive(way)) as provider, user(provider, PUSH_MODEL) as session:
        assert committed(session) == PARTLY
        assert committed(session) == PARTLY  # it goes on


@each_way
@pytest.mark.parametrize(
    ("answer", "report"),
    [
        (lambda asked: None, REQUEST.report()),
        (lambda asked: [], REQUEST.report()),
        (lambda asked: [Failure(TWO, status.NO_SUCH_SOP_INSTANCE)], PARTLY),
        (lambda asked: asked.commitment.report(retrieve_aet="ARCHIVE"), REQUEST.report(retrieve_aet="ARCHIVE")),
    ],
    ids=["none", "an empty list", "a list", "the report"],
)
def test_what_is_not_committed_is_told_in_several_ways(way: Way, answer: Function, report: CommitmentReport) -> None:
    with running(way, archive(way, answer)) as provider, user(provider, PUSH_MODEL) as session:
        assert committed(session) == report


@each_way
def test_who_has_left_gets_the_report_on_another_association(way: Way, told: Lines, lines: Lines) -> None:
    reports: queue.Queue[tuple[str, str, CommitmentReport]] = queue.Queue()
    with reported_to(reports) as taking:
        app = archive(way, TESTER=("127.0.0.1", taking.port))
        with running(way, app) as provider:
            ask_and_leave(user(provider, PUSH_MODEL))
            assert reports.get(timeout=PATIENCE) == ("ANY-SCP", "TESTER", PARTLY)
    assert told.texts() == []
    assert lines.texts() == []


@each_way
def test_who_does_not_take_it_here_gets_it_on_another_association(way: Way, told: Lines) -> None:
    reports: queue.Queue[tuple[str, str, CommitmentReport]] = queue.Queue()
    with reported_to(reports) as taking:
        app = archive(way, TESTER=("127.0.0.1", taking.port))
        with running(way, app) as provider, user(provider, PUSH_MODEL) as session:
            request = NActionRequest(
                message_id=1, requested_sop_class_uid=PUSH_MODEL, requested_sop_instance_uid=INSTANCE, action_type_id=1
            )
            session.exchange.send(1, request, content(REQUEST.report().dataset, EXPLICIT))
            for asked in session:  # the response is discarded
                asked.respond(status.UNRECOGNIZED_OPERATION)
                break
            assert reports.get(timeout=PATIENCE)[2] == PARTLY
    (text,) = told.texts()
    assert "'TESTER' does not accept a report of storage commitment: 0x0211" in text


@each_way
def test_reports_go_apart_where_there_is_an_address(way: Way, told: Lines) -> None:
    reports: queue.Queue[tuple[str, str, CommitmentReport]] = queue.Queue()
    with reported_to(reports) as taking:
        app = archive(way, apart=True)
        with running(way, app) as provider, user(provider, PUSH_MODEL) as session:
            assert committed(session) == PARTLY  # no address is known
            app.destinations["TESTER"] = ("127.0.0.1", taking.port)
            assert session.commit("1.9", [ONE, TWO]).report is None
            assert reports.get(timeout=PATIENCE) == ("ANY-SCP", "TESTER", PARTLY)
    assert told.texts() == []


@each_way
def test_a_report_that_nobody_takes_is_told(way: Way, told: Lines, lines: Lines) -> None:
    app = archive(way)
    with running(way, app) as provider:
        ask_and_leave(user(provider, PUSH_MODEL))
        told.wait_for("no address of 'TESTER' for a report of storage commitment")
        app.destinations["TESTER"] = ("127.0.0.1", 1)
        ask_and_leave(user(provider, PUSH_MODEL))
        told.wait_for("a report of storage commitment to 'TESTER': no connection to 127.0.0.1:1: ")
    assert lines.texts() == []  # the associations themselves have not failed


@each_way
def test_who_takes_no_reports_is_told(way: Way, told: Lines) -> None:
    with server(policy=AcceptPolicy(contexts={PUSH_MODEL: (EXPLICIT,)})) as without_roles:
        app = archive(way, TESTER=("127.0.0.1", without_roles.port))
        with running(way, app) as provider:
            ask_and_leave(user(provider, PUSH_MODEL))
            told.wait_for("but not in the role of an SCP")


@each_way
@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        (OSError("the disk of Smith^John"), status.PROCESSING_FAILURE, ["OSError"]),
        (Refused(status.RESOURCE_LIMITATION, "no room"), status.RESOURCE_LIMITATION, []),
    ],
    ids=["a fault", "a refusal"],
)
def test_a_function_that_fails_commits_nothing(
    way: Way, told: Lines, fault: Exception, reason: int, said: list[str]
) -> None:
    def fails(asked: CommitAsked) -> Any:
        raise fault

    with running(way, archive(way, fails)) as provider, user(provider, PUSH_MODEL) as session:
        assert committed(session) == REQUEST.report([Failure(ONE, reason), Failure(TWO, reason)])
        assert committed(session) is not None
    texts = told.texts()
    assert len(texts) == 2 * len(said)
    assert all(part in texts[0] for part in said)
    assert not any("Smith" in text for text in texts)


@each_way
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda asked: True, "a bool; expected several values"),
        (lambda asked: [TWO], "commit gave a Reference among the failures; expected Failure only"),
        (lambda asked: [Failure(Reference("1.2", "1.3"), 0x0110)], "an instance that the request does not name"),
        (lambda asked: REQUEST.report() if asked.commitment.transaction_uid != "1.9" else
         CommitmentRequest(transaction_uid="1.7", references=(ONE, TWO)).report(), "the report of another request"),
        (lambda asked: CommitmentReport(transaction_uid="1.9", committed=(ONE,)), "the report of another request"),
    ],
    ids=["a flag", "no failure", "a stranger", "another transaction", "one left out"],
)  # fmt: skip
def test_an_answer_that_is_none_commits_nothing(way: Way, told: Lines, answer: Function, words: str) -> None:
    with running(way, archive(way, answer)) as provider, user(provider, PUSH_MODEL) as session:
        report = committed(session)
    assert report is not None
    assert [one.reason for one in report.failed] == [status.PROCESSING_FAILURE] * 2
    (text,) = told.texts()
    assert words in text


@each_way
def test_a_request_that_is_none_is_refused_and_brings_no_report(way: Way) -> None:
    with running(way, archive(way)) as provider, user(provider, PUSH_MODEL) as session:
        nothing = session.n_action(PUSH_MODEL, INSTANCE, 1, dataset(TransactionUID="1.9"))
        assert nothing.response.status == status.INVALID_ARGUMENT_VALUE
        assert session.n_action(PUSH_MODEL, INSTANCE, 2).response.status == status.NO_SUCH_ACTION_TYPE
        assert committed(session) == PARTLY


def test_it_is_registered_once_and_accepted() -> None:
    app = Application()

    @app.on_commit()
    def commit(asked: CommitAsked) -> None:
        return None

    with pytest.raises(
        ValueError, match="N-ACTION-RQ of Storage Commitment Push Model SOP Class already has a function"
    ):
        app.on_n_action(PUSH_MODEL)(lambda asked: None)
    assert PUSH_MODEL in app.policy.contexts

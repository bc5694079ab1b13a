"""`Application` and pynetdicom: each service with a function, in each adapter, used by their user and ours."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dicos_proto.data.datasets import encode
from dicos_proto.registry import status, uids
from dicos_proto.services.commitment import INSTANCE, PUSH_MODEL, ROLES, CommitmentRequest, Failure
from dicos_proto.services.serving import Reference, Refused
from dicos_proto.tolerance import FIELD, STRICT, Tolerance
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports import blocking
from dicos_transports.application import Application, Asked, CommitAsked, Reply, StoreAsked
from dicos_transports.blocking.server import serve
from tests.interop.peers import settle
from tests.transports.application.applications import (
    FIND,
    GET,
    MOVE,
    Way,
    application,
    dataset,
    each_way,
    image,
    of_kind,
    plain_instance,
    running,
)
from tests.transports.connections import CT, EXPLICIT, PATIENCE

pynetdicom = pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
pytestmark = pytest.mark.interop

evt = pynetdicom.evt
MPPS = uids.MODALITY_PERFORMED_PROCEDURE_STEP


@contextmanager
def their_user(
    port: int, sop_classes: list[str], handlers: dict[Any, Any], *, gets: tuple[str, ...] = ()
) -> Iterator[Any]:
    """An association that pynetdicom requests."""
    entity = pynetdicom.AE(ae_title="THEM")
    for uid in sop_classes:
        entity.add_requested_context(uid, [EXPLICIT])
    association = entity.associate(
        "127.0.0.1", port, ae_title="OURS", evt_handlers=list(handlers.items()),
        ext_neg=[pynetdicom.build_role(uid, scp_role=True) for uid in gets],
    )  # fmt: skip
    assert association.is_established
    yield association
    settle(association).release()
    assert association.is_released


@contextmanager
def their_provider(sop_classes: list[str], handlers: dict[Any, Any]) -> Iterator[int]:
    """Run pynetdicom's SCP. Yields the port."""
    entity = pynetdicom.AE(ae_title="THEIRS")
    for uid in sop_classes:
        entity.add_supported_context(uid, [EXPLICIT])
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers.items()))
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def stored(kept: list[str]) -> Any:
    def store(event: Any) -> int:
        kept.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    return store


@each_way
def test_their_user_is_answered(way: Way) -> None:
    app = application(way, "OURS")
    kept: list[Any] = []

    @app.on_store()
    @of_kind(way)
    def keep(asked: StoreAsked) -> int:
        kept.append((asked.calling_aet, asked.dataset.PatientID))
        return 0xB000 if asked.dataset.PatientID == "2" else 0

    @app.on_find()
    @of_kind(way)
    def find(asked: Asked) -> Iterator[Any]:
        for number in range(3):
            yield dataset(QueryRetrieveLevel="STUDY", PatientID=f"{asked.dataset.PatientID}{number}")

    @app.on_get()
    @of_kind(way)
    def get(asked: Asked) -> list[Any]:
        return [plain_instance(1), image(2)]

    @app.on_n_create(MPPS)
    @of_kind(way)
    def create(asked: Asked) -> Reply:
        return Reply(given=dataset(PatientID=asked.dataset.PatientID))

    @app.on_n_set(MPPS)
    @of_kind(way)
    def change(asked: Asked) -> None:
        raise Refused(0x0112, "no such step")

    with running(way, app) as server:
        got: list[str] = []
        handlers = {evt.EVT_C_STORE: stored(got)}
        classes = [uids.VERIFICATION, CT, FIND, GET, MPPS]
        with their_user(server.port, classes, handlers, gets=(CT,)) as association:
            assert settle(association).send_c_echo().Status == 0
            matches = settle(association).send_c_find(dataset(QueryRetrieveLevel="STUDY", PatientID="P"), FIND)
            answers = [(one.Status, match and match.PatientID) for one, match in matches]
            assert answers == [(0xFF00, "P0"), (0xFF00, "P1"), (0xFF00, "P2"), (0, None)]
            retrieved = list(settle(association).send_c_get(dataset(QueryRetrieveLevel="STUDY", PatientID="P"), GET))
            assert [one.Status for one, _ in retrieved] == [0xFF00, 0xFF00, 0]
            assert retrieved[-1][0].NumberOfCompletedSuboperations == 2
            assert got == ["1.2.1", "1.2.2"]
            made, attributes = settle(association).send_n_create(dataset(PatientID="new"), MPPS, "1.2.3")
            assert (made.Status, attributes.PatientID) == (0, "new")
            refused, _ = settle(association).send_n_set(dataset(PatientID="new"), MPPS, "1.2.3")
            assert (refused.Status, refused.ErrorComment) == (0x0112, "no such step")
        with their_user(server.port, [CT], {}) as association:
            for number in (1, 2):
                one = image(number)
                one.file_meta = pynetdicom.dsutils.create_file_meta(
                    sop_class_uid=CT, sop_instance_uid=one.SOPInstanceUID, transfer_syntax=EXPLICIT
                )
                assert settle(association).send_c_store(one).Status == (0, 0, 0xB000)[number]
    assert kept == [("THEM", "1"), ("THEM", "2")]


@each_way
def test_their_user_has_it_moved_to_their_provider(way: Way) -> None:
    app = application(way, "OURS")
    app.on_move()(of_kind(way)(lambda asked: [plain_instance(n) for n in range(3)]))
    kept: list[str] = []
    with their_provider([CT], {evt.EVT_C_STORE: stored(kept)}) as port, running(way, app) as server:
        app.destinations["THEIRS"] = ("127.0.0.1", port)
        with their_user(server.port, [MOVE], {}) as association:
            identifier = dataset(QueryRetrieveLevel="STUDY", PatientID="P")
            answers = [one.Status for one, _ in settle(association).send_c_move(identifier, "THEIRS", MOVE)]
            assert answers == [0xFF00, 0xFF00, 0xFF00, 0]
            answers = [one.Status for one, _ in settle(association).send_c_move(identifier, "NOBODY", MOVE)]
            assert answers == [0xA801]
    assert kept == ["1.2.0", "1.2.1", "1.2.2"]


@each_way
def test_their_user_cancels(way: Way) -> None:
    app = application(way, "OURS")

    @app.on_find()
    @of_kind(way)
    def find(asked: Asked) -> Iterator[Any]:
        while True:
            yield dataset(QueryRetrieveLevel="STUDY", PatientID="1")

    with running(way, app) as server, their_user(server.port, [FIND], {}) as association:
        answers = settle(association).send_c_find(dataset(QueryRetrieveLevel="STUDY", PatientID="*"), FIND, msg_id=7)
        statuses = []
        for one, _ in answers:
            statuses.append(one.Status)
            if len(statuses) == 3:
                association.send_c_cancel(7, None, FIND)
        assert statuses[-1] == 0xFE00


def test_our_application_asks_theirs() -> None:
    kept: list[str] = []
    app = Application("OURS")
    with their_provider([uids.VERIFICATION, CT], {evt.EVT_C_STORE: stored(kept)}) as port:
        contexts = propose([uids.VERIFICATION, CT], (EXPLICIT,))
        with app.connect(("127.0.0.1", port), contexts, called_aet="THEIRS") as session:
            assert session.echo().status == 0
            assert session.store(CT, "1.2.1", EXPLICIT, encode(image(1), EXPLICIT)).status == 0
    assert kept == ["1.2.1"]


# -- storage commitment ------------------------------------------------------------------------------------------------

ONE, TWO = Reference(CT, "1.2.1"), Reference(CT, "1.2.2")
ASKED_FOR = CommitmentRequest(transaction_uid="1.9", references=(ONE, TWO))
PARTLY = ASKED_FOR.report([Failure(TWO, status.NO_SUCH_SOP_INSTANCE)])


def committing(way: Way, *, apart: bool = False, **destinations: Any) -> Application:
    app = application(way, "OURS", destinations=destinations)

    @app.on_commit(apart=apart)
    @of_kind(way)
    def commit(asked: CommitAsked) -> list[Failure]:
        return [Failure(one, status.NO_SUCH_SOP_INSTANCE) for one in asked.references if one != ONE]

    return app


def taking(reports: queue.Queue[Any]) -> dict[Any, Any]:
    """Their handler for reports. pynetdicom runs it, and answers, in a thread of its own: see `next_of`."""

    def take(event: Any) -> tuple[int, None]:
        report = (event.event_type, event.event_information, event.assoc.requestor.ae_title.strip())
        reports.put((report, threading.current_thread()))
        return 0, None

    return {evt.EVT_N_EVENT_REPORT: take}


def next_of(reports: queue.Queue[Any]) -> Any:
    """The item that `taking` has put there, when it is answered."""
    report, thread = reports.get(timeout=PATIENCE)
    thread.join(PATIENCE)
    return report


@each_way
def test_their_request_is_reported_on_its_own_association(way: Way) -> None:
    reports: queue.Queue[Any] = queue.Queue()
    with running(way, committing(way)) as server, their_user(server.port, [PUSH_MODEL], taking(reports)) as association:
        answer, _ = settle(association).send_n_action(ASKED_FOR.report().dataset, 1, PUSH_MODEL, INSTANCE)
        assert answer.Status == 0
        assert next_of(reports) == (2, PARTLY.dataset, "THEM")


@each_way
def test_their_request_is_reported_where_they_listen(way: Way) -> None:
    """On a separate association: pynetdicom's user aborts if a report arrives while it releases."""
    reports: queue.Queue[Any] = queue.Queue()
    entity = pynetdicom.AE(ae_title="THEM")
    entity.add_supported_context(PUSH_MODEL, [EXPLICIT], scu_role=False, scp_role=True)
    listening = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(taking(reports).items()))
    try:
        app = committing(way, apart=True, THEM=listening.server_address)
        with running(way, app) as server:
            with their_user(server.port, [PUSH_MODEL], {}) as association:  # does not accept reports itself
                answer, _ = settle(association).send_n_action(ASKED_FOR.report().dataset, 1, PUSH_MODEL, INSTANCE)
                assert answer.Status == 0
            assert next_of(reports) == (2, PARTLY.dataset, "OURS")
    finally:
        listening.shutdown()


@pytest.mark.parametrize("tolerance", [STRICT, FIELD], ids=["strict", "field"])
def test_their_report_without_a_role_is_let_through_by_a_flag(tolerance: Tolerance) -> None:
    """pynetdicom leaves the roles to its user, and sends reports independently of the negotiation."""
    reports: queue.Queue[Any] = queue.Queue()
    deviations: list[str] = []

    def take(session: blocking.Session) -> None:
        while (report := session.next_report()) is not None:
            reports.put(report)
            deviations.extend(one.name for one in session.deviations)

    entity = pynetdicom.AE(ae_title="THEM")
    entity.add_requested_context(PUSH_MODEL, [EXPLICIT])
    policy = AcceptPolicy(contexts={PUSH_MODEL: (EXPLICIT,)}, roles=ROLES)
    with serve(("127.0.0.1", 0), take, policy=policy, tolerance=tolerance) as server:
        association = entity.associate("127.0.0.1", server.port)
        assert association.is_established
        answer, _ = settle(association).send_n_event_report(PARTLY.dataset, 2, PUSH_MODEL, INSTANCE)
        if tolerance is FIELD:
            assert answer.Status == 0
            association.release()
            assert reports.get(timeout=PATIENCE) == PARTLY
            assert deviations == ["report_without_role"]
        else:
            assert "Status" not in answer
            association.join(PATIENCE)
            assert association.is_aborted
            assert reports.empty()

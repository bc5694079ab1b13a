"""pynetdicom and ours, both ways, in the services beyond storage: requests, responses and results."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicos_proto import dimse
from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import read_data
from dicos_proto.data.datasets import encode
from dicos_proto.dimse.events import MessageStart
from dicos_proto.registry import status, uids
from dicos_proto.services import availability, commitment, media, mpps, printing, ups
from dicos_proto.services.commitment import PUSH_MODEL, Committing, Failure
from dicos_proto.services.mpps import MPPS, RETRIEVE, PerformedStep, Stepping
from dicos_proto.services.query import Find, Finding
from dicos_proto.services.retrieve import Get, Getting, Move, MoveTask, Moving
from dicos_proto.services.serving import Reference, Refused
from dicos_proto.services.storage import Instance, StoreMany
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import RoleSelection, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.blocking.server import serve
from tests.interop.objects import as_instance, keys
from tests.interop.peers import settle
from tests.services.test_mpps import created, ended
from tests.services.test_printing import image as film_image
from tests.services.test_ups import performed, scheduled

pynetdicom = pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
pytestmark = pytest.mark.interop

evt = pynetdicom.evt
CT, EXPLICIT = uids.CT_IMAGE_STORAGE, uids.EXPLICIT_VR_LE
PATIENCE = 30.0


# -- both sides --------------------------------------------------------------------------------------------------------


@contextmanager
def their_provider(
    sop_classes: list[str], handlers: dict[Any, Any], *, both_roles: tuple[str, ...] = ()
) -> Iterator[int]:
    """Run pynetdicom's SCP. Yields the port."""
    entity = pynetdicom.AE(ae_title="THEIRS")
    for uid in sop_classes:
        both = {"scu_role": True, "scp_role": True} if uid in both_roles else {}
        entity.add_supported_context(uid, [EXPLICIT], **both)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers.items()))
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


@contextmanager
def their_user(
    port: int, sop_classes: list[str], handlers: dict[Any, Any] | None = None, *, scp_of: tuple[str, ...] = ()
) -> Iterator[Any]:
    """An association that pynetdicom requests."""
    entity = pynetdicom.AE(ae_title="THEM")
    for uid in sop_classes:
        entity.add_requested_context(uid, [EXPLICIT])
    roles = [pynetdicom.build_role(uid, scp_role=True) for uid in scp_of]
    association = entity.associate(
        "127.0.0.1", port, ext_neg=roles, evt_handlers=list((handlers or {}).items()), ae_title="OURS"
    )
    assert association.is_established
    yield association
    settle(association).release()
    assert association.is_released


def ask(port: int, sop_classes: list[str], *, scp_of: tuple[str, ...] = ()) -> Session:
    """An association that we request."""
    roles = tuple(RoleSelection(sop_class_uid=uid, scu=False, scp=True) for uid in scp_of)
    return connect(
        ("127.0.0.1", port),
        propose(sop_classes, (EXPLICIT,)),
        calling_aet="OURS",
        called_aet="THEIRS",
        user_information=UserInformation(roles=roles),
    )


Handle = Callable[[Exchange, MessageStart], flows.Flow[Any]]


@contextmanager
def our_provider(handle: Handle, *, scp_of: tuple[str, ...] = ()) -> Iterator[tuple[int, list[Any]]]:
    """Handle each request by a flow. Yields the port and the results of the flows, complete at the end."""
    found: list[Any] = []

    def run(session: Session) -> None:
        while (start := session.run(next_request(session.exchange))) is not None:
            found.append(session.run(handle(session.exchange, start)))

    roles = {uid: Roles(scu=True, scp=True) for uid in scp_of}
    policy = AcceptPolicy(other_contexts=(EXPLICIT,), roles=roles)
    with serve(("127.0.0.1", 0), run, policy=policy) as server:
        yield server.port, found


@contextmanager
def our_store() -> Iterator[tuple[int, dict[str, bytes]]]:
    """A destination for a C-MOVE. Yields the port and the received objects."""
    stored: dict[str, bytes] = {}

    def run(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            stored[request.sop_instance_uid] = bytes(request.read())
            request.respond()

    with serve(("127.0.0.1", 0), run, policy=AcceptPolicy(other_contexts=(EXPLICIT,))) as server:
        yield server.port, stored


def image(number: int, *, size: int = 40_000) -> Dataset:
    """A composite object that pynetdicom can send."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CT, f"1.2.840.99.{number}"
    made.StudyInstanceUID, made.PatientID = "1.2.840.99", "P1"
    made.PixelData = bytes((number,)) * size
    made["PixelData"].VR = "OW"
    made.file_meta = pynetdicom.dsutils.create_file_meta(
        sop_class_uid=CT, sop_instance_uid=made.SOPInstanceUID, transfer_syntax=EXPLICIT
    )
    return made


def instance(number: int) -> Instance:
    return as_instance(image(number))


# -- C-FIND ------------------------------------------------------------------------------------------------------------

MODELS = [uids.MODALITY_WORKLIST_FIND, uids.STUDY_ROOT_FIND, uids.PATIENT_ROOT_FIND]
WORKLIST = keys(PatientID="", ScheduledProcedureStepSequence=[keys(Modality="CT", ScheduledStationAETitle="")])


def entry(number: int) -> Dataset:
    scheduled = keys(Modality="CT", ScheduledStationAETitle=f"CT{number}")
    return keys(PatientID=f"P{number}", ScheduledProcedureStepSequence=[scheduled])


@pytest.mark.parametrize("model", MODELS, ids=uids.name_of)
def test_we_find_what_they_have(model: str) -> None:
    asked: list[Dataset] = []

    def find(event: Any) -> Iterator[Any]:
        asked.append(event.identifier)
        for number in range(50):
            yield 0xFF00 if number % 2 else 0xFF01, entry(number)

    with their_provider([model], {evt.EVT_C_FIND: find}) as port, ask(port, [model]) as session:
        query = Find(session.exchange, model, WORKLIST)
        matches = []
        while (match := session.run(query.next())) is not None:
            matches.append(match)
    assert [match.attributes.dataset for match in matches] == [entry(number) for number in range(50)]
    assert [match.all_keys for match in matches] == [bool(number % 2) for number in range(50)]
    assert query.response is not None
    assert query.response.status == status.SUCCESS
    assert asked == [WORKLIST]


def test_we_cancel_and_they_stop() -> None:
    def find(event: Any) -> Iterator[Any]:
        number = 0
        while not event.is_cancelled:
            number += 1
            yield 0xFF00, entry(number)
        yield 0xFE00, None

    model = uids.STUDY_ROOT_FIND
    with their_provider([model], {evt.EVT_C_FIND: find}) as port, ask(port, [model]) as session:
        query = Find(session.exchange, model, WORKLIST)
        assert session.run(query.next()) is not None
        query.cancel()
        while session.run(query.next()) is not None:
            pass
        assert query.response is not None
        assert query.response.status == status.CANCEL
        # The association is as good as before.
        again = Find(session.exchange, model, WORKLIST)
        assert session.run(again.next()) is not None
        again.cancel()
        while session.run(again.next()) is not None:
            pass


@pytest.mark.parametrize("model", MODELS, ids=uids.name_of)
def test_they_find_what_we_have(model: str) -> None:
    def find(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
        finding = Finding(exchange, start)
        asked = yield from finding.receive()
        assert asked is not None
        code = yield from finding.send_all(entry(number) for number in range(50))
        return asked.dataset, code

    with (
        our_provider(find) as (port, found),
        their_user(port, [model]) as association,
    ):
        answers = list(settle(association).send_c_find(WORKLIST, model))
    assert [each.Status for each, _ in answers] == [0xFF00] * 50 + [0]
    assert [each for _, each in answers[:-1]] == [entry(number) for number in range(50)]
    assert found == [(WORKLIST, 0)]


def test_they_cancel_and_we_stop() -> None:
    model = uids.STUDY_ROOT_FIND

    def find(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
        finding = Finding(exchange, start)
        yield from finding.receive()
        number = 0
        while (yield from finding.match(entry(number))):
            number += 1
        return (yield from finding.end())

    with (
        our_provider(find) as (port, found),
        their_user(port, [model]) as association,
    ):
        codes = []
        for answer, _ in settle(association).send_c_find(WORKLIST, model, msg_id=5):
            codes.append(answer.Status)
            if len(codes) == 3:
                association.send_c_cancel(5, query_model=model)
    assert codes[-1] == status.CANCEL
    assert found == [status.CANCEL]


# -- C-GET -------------------------------------------------------------------------------------------------------------

STUDY = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.840.99")


def test_we_get_what_they_have() -> None:
    def get(event: Any) -> Iterator[Any]:
        yield 3
        for number in range(3):
            yield 0xFF00, image(number)

    model, received = uids.STUDY_ROOT_GET, {}
    with (
        their_provider([model, CT], {evt.EVT_C_GET: get}, both_roles=(CT,)) as port,
        ask(port, [model, CT], scp_of=(CT,)) as session,
    ):
        getting = Get(session.exchange, model, STUDY)
        while (start := session.run(getting.next())) is not None:
            assert isinstance(start.command, dimse.CStoreRequest)
            received[start.command.affected_sop_instance_uid] = session.run(read_data(session.exchange))
            last = start.command.affected_sop_instance_uid == "1.2.840.99.2"
            session.run(getting.answer(status.OUT_OF_RESOURCES if last else status.SUCCESS))
    result = getting.result
    assert result is not None
    assert result.response.status == status.SUBOPERATIONS_WARNING
    assert (result.counters.completed, result.counters.failed) == (2, 1)
    assert result.failed_instances == ("1.2.840.99.2",)
    assert result.faults == ()
    assert received == {f"1.2.840.99.{number}": encode(image(number), EXPLICIT) for number in range(3)}


def test_they_get_what_we_have() -> None:
    stored: dict[str, bytes] = {}

    def keep(event: Any) -> int:
        stored[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        return 0xA700 if len(stored) == 3 else 0

    def get(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
        getting = Getting(exchange, start)
        yield from getting.receive()
        return (yield from getting.send_all(map(instance, range(3)), 3))

    model = uids.STUDY_ROOT_GET
    with (
        our_provider(get, scp_of=(CT,)) as (port, found),
        their_user(port, [model, CT], {evt.EVT_C_STORE: keep}, scp_of=(CT,)) as association,
    ):
        answers = list(settle(association).send_c_get(STUDY, model))
    final, failed = answers[-1]
    assert final.Status == status.SUBOPERATIONS_WARNING
    assert (final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations) == (2, 1)
    assert failed.FailedSOPInstanceUIDList == "1.2.840.99.2"
    assert [answer.Status for answer, _ in answers[:-1]] == [0xFF00] * 3
    assert stored == {f"1.2.840.99.{number}": encode(image(number), EXPLICIT) for number in range(3)}
    assert found == [status.SUBOPERATIONS_WARNING]


# -- C-MOVE ------------------------------------------------------------------------------------------------------------


def test_we_have_them_move() -> None:
    with our_store() as (there, stored):

        def move(event: Any) -> Iterator[Any]:
            assert event.move_destination == "STORE"
            context = pynetdicom.build_context(CT, EXPLICIT)
            yield "127.0.0.1", there, {"contexts": [context]}
            yield 3
            for number in range(3):
                yield 0xFF00, image(number)

        model = uids.STUDY_ROOT_MOVE
        with their_provider([model], {evt.EVT_C_MOVE: move}) as port, ask(port, [model]) as session:
            moving = Move(session.exchange, model, "STORE", STUDY)
            seen = []
            while (counters := session.run(moving.next())) is not None:
                seen.append((counters.remaining, counters.completed))
    assert moving.result is not None
    assert moving.result.response.status == status.SUCCESS
    assert seen[-1][1] == 3
    assert moving.result.counters.completed == 3
    assert moving.result.faults == ()
    assert stored == {f"1.2.840.99.{number}": encode(image(number), EXPLICIT) for number in range(3)}


def test_a_destination_they_do_not_know() -> None:
    def move(event: Any) -> Iterator[Any]:
        yield None, None

    model = uids.STUDY_ROOT_MOVE
    with their_provider([model], {evt.EVT_C_MOVE: move}) as port, ask(port, [model]) as session:
        moving = Move(session.exchange, model, "NOBODY", STUDY)
        while session.run(moving.next()) is not None:
            pass
    assert moving.result is not None
    assert moving.result.response.status == status.MOVE_DESTINATION_UNKNOWN


def test_they_have_us_move() -> None:
    """Our provider names the association to open by a value; the test opens it."""
    stored: dict[str, tuple[bytes, str]] = {}

    def keep(event: Any) -> int:
        request = event.request
        stored[request.AffectedSOPInstanceUID] = (
            request.DataSet.getvalue(),
            request.MoveOriginatorApplicationEntityTitle,
        )
        return 0

    tasks: list[MoveTask] = []
    model = uids.STUDY_ROOT_MOVE
    with their_provider([CT], {evt.EVT_C_STORE: keep}) as there:

        def run(session: Session) -> None:
            while (start := session.run(next_request(session.exchange))) is not None:
                moving = Moving(session.exchange, start)
                session.run(moving.receive())
                if moving.destination != "STORE":
                    session.run(moving.finish(status.MOVE_DESTINATION_UNKNOWN))
                    continue
                task = moving.task(propose([CT], (EXPLICIT,)))
                tasks.append(task)
                request = task.request
                moving.begin(3)
                with connect(
                    ("127.0.0.1", there),
                    request.contexts,
                    called_aet=request.called_aet,
                    calling_aet=request.calling_aet,
                    user_information=request.user_information,
                ) as outgoing:
                    stores = StoreMany(outgoing.exchange, map(instance, range(3)), originator=task.originator)
                    while (outcome := outgoing.run(stores.next())) is not None:
                        session.run(moving.record(outcome))
                session.run(moving.end())

        with (
            serve(("127.0.0.1", 0), run, policy=AcceptPolicy(other_contexts=(EXPLICIT,))) as server,
            their_user(server.port, [model]) as association,
        ):
            answers = list(settle(association).send_c_move(STUDY, "STORE", model))
            unknown = list(settle(association).send_c_move(STUDY, "NOBODY", model))
    assert [answer.Status for answer, _ in answers] == [0xFF00] * 3 + [0]
    assert answers[-1][0].NumberOfCompletedSuboperations == 3
    assert [answer.Status for answer, _ in unknown] == [status.MOVE_DESTINATION_UNKNOWN]
    assert stored == {f"1.2.840.99.{number}": (encode(image(number), EXPLICIT), "THEM") for number in range(3)}
    assert [task.originator[0] for task in tasks] == ["THEM"]


# -- storage commitment ------------------------------------------------------------------------------------------------

REFERENCES = (Reference(CT, "1.2.1"), Reference(CT, "1.2.2"))
REQUEST = commitment.CommitmentRequest(transaction_uid="1.2.9", references=REFERENCES)
SOME = REQUEST.report([Failure(REFERENCES[1], status.NO_SUCH_SOP_INSTANCE)])


def told(event: Any) -> tuple[Dataset, int]:
    return event.action_information, event.action_type


def test_they_report_to_us_on_the_same_association() -> None:
    asked: list[Any] = []
    answered: list[int] = []

    def act(event: Any) -> tuple[int, None]:
        asked.append(told(event))

        def report() -> None:
            answer, _ = event.assoc.send_n_event_report(SOME.dataset, 2, PUSH_MODEL, commitment.INSTANCE)
            answered.append(answer.Status)

        # Sent when pynetdicom's reactor thread, which runs this handler, has answered and waits.
        event.assoc._reactor_checkpoint.clear()
        reporting.append(threading.Thread(target=report))
        reporting[-1].start()
        return 0, None

    reporting: list[threading.Thread] = []
    with their_provider([PUSH_MODEL], {evt.EVT_N_ACTION: act}) as port, ask(port, [PUSH_MODEL]) as session:
        requested = session.run(commitment.request_commitment(session.exchange, "1.2.9", REFERENCES))
        report = requested.report or session.run(commitment.next_report(session.exchange, ["1.2.9"]))
        for thread in reporting:
            thread.join(PATIENCE)
    assert requested.response.status == status.SUCCESS
    assert report == SOME
    assert asked == [(REQUEST.report().dataset, 1)]
    assert answered == [status.SUCCESS]


def test_they_report_to_us_on_an_association_of_their_own() -> None:
    reports: list[Any] = []

    def take(session: Session) -> None:
        while True:
            try:
                reports.append(session.run(commitment.next_report(session.exchange, ["1.2.9"])))
            except Refused as refused:
                reports.append(refused.code)
            if reports[-1] is None:
                return

    policy = AcceptPolicy(contexts={PUSH_MODEL: (EXPLICIT,)}, roles=commitment.ROLES)
    with serve(("127.0.0.1", 0), take, policy=policy) as server:
        entity = pynetdicom.AE(ae_title="THEIRS")
        entity.add_requested_context(PUSH_MODEL, [EXPLICIT])
        role = pynetdicom.build_role(PUSH_MODEL, scu_role=False, scp_role=True)
        association = entity.associate("127.0.0.1", server.port, ext_neg=[role])
        assert association.is_established
        another = keys(TransactionUID="1.2.8", ReferencedSOPSequence=SOME.dataset.ReferencedSOPSequence)
        unknown, _ = settle(association).send_n_event_report(another, 1, PUSH_MODEL, commitment.INSTANCE)
        answer, _ = settle(association).send_n_event_report(SOME.dataset, 2, PUSH_MODEL, commitment.INSTANCE)
        association.release()
    assert (unknown.Status, answer.Status) == (status.INVALID_ARGUMENT_VALUE, 0)
    assert reports == [status.INVALID_ARGUMENT_VALUE, SOME, None]


def test_we_report_to_them_on_the_same_association() -> None:
    reported: list[Any] = []
    came: queue.Queue[threading.Thread] = queue.Queue()

    def take(event: Any) -> tuple[int, None]:
        reported.append((event.event_information, event.event_type))
        came.put(threading.current_thread())  # pynetdicom's, for this report and its answer
        return 0, None

    def commit(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
        committing = Committing(exchange, start)
        request = yield from committing.read_request()
        yield from committing.grant()
        report = request.report([Failure(REFERENCES[1], status.NO_SUCH_SOP_INSTANCE)])
        response = yield from commitment.report_commitment(exchange, report)
        return request, response.status

    with (
        our_provider(commit) as (port, found),
        their_user(port, [PUSH_MODEL], {evt.EVT_N_EVENT_REPORT: take}) as association,
    ):
        information = REQUEST.report().dataset
        answer, _ = settle(association).send_n_action(information, 1, PUSH_MODEL, commitment.INSTANCE)
        came.get(timeout=PATIENCE).join(PATIENCE)
    assert answer.Status == status.SUCCESS
    assert reported == [(SOME.dataset, 2)]
    assert found == [(REQUEST, 0)]


def test_we_report_to_them_on_an_association_of_our_own() -> None:
    reported: list[Any] = []

    def take(event: Any) -> tuple[int, None]:
        reported.append((event.event_information, event.event_type, event.assoc.requestor.ae_title))
        return 0, None

    def commit(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
        committing = Committing(exchange, start)
        try:
            request = yield from committing.read_request()
        except Refused as refused:
            yield from committing.refuse(refused)
            return refused.code
        yield from committing.grant()
        return committing.task(request.report([Failure(REFERENCES[1], status.NO_SUCH_SOP_INSTANCE)]))

    with (
        our_provider(commit) as (port, found),
        their_user(port, [PUSH_MODEL]) as association,
    ):
        information = REQUEST.report().dataset
        answer, _ = settle(association).send_n_action(information, 1, PUSH_MODEL, commitment.INSTANCE)
        bad, _ = settle(association).send_n_action(keys(TransactionUID="1.2"), 1, PUSH_MODEL, commitment.INSTANCE)
    assert (answer.Status, bad.Status) == (0, status.INVALID_ARGUMENT_VALUE)
    task, code = found
    assert (task.destination, code) == ("THEM", status.INVALID_ARGUMENT_VALUE)
    with their_provider([PUSH_MODEL], {evt.EVT_N_EVENT_REPORT: take}, both_roles=(PUSH_MODEL,)) as there:
        request = task.request
        with connect(
            ("127.0.0.1", there),
            request.contexts,
            called_aet=request.called_aet,
            calling_aet=request.calling_aet,
            user_information=request.user_information,
        ) as session:
            response = session.run(commitment.report_commitment(session.exchange, task.report))
    assert response.status == status.SUCCESS
    assert reported == [(SOME.dataset, 2, "OURS")]


# -- modality performed procedure step ---------------------------------------------------------------------------------


def test_we_tell_them_of_a_step() -> None:
    came: list[Any] = []

    def create(event: Any) -> tuple[int, Dataset]:
        came.append(event.attribute_list)
        return 0, event.attribute_list

    def change(event: Any) -> tuple[int, Dataset]:
        came.append(event.modification_list)
        return (0 if len(came) < 4 else 0x0110), event.modification_list

    handlers = {evt.EVT_N_CREATE: create, evt.EVT_N_SET: change}
    with their_provider([MPPS], handlers) as port, ask(port, [MPPS]) as session:
        exchange = session.exchange
        codes = [
            session.run(flow).response.status
            for flow in (
                mpps.begin(exchange, "1.2.9", created()),
                mpps.update(exchange, "1.2.9", keys(StudyID="")),
                mpps.complete(exchange, "1.2.9", ended()),
                mpps.discontinue(exchange, "1.2.9", ended()),
            )
        ]
    assert codes == [0, 0, 0, status.PROCESSING_FAILURE]
    assert [each.get("PerformedProcedureStepStatus") for each in came] == [
        "IN PROGRESS",
        None,
        "COMPLETED",
        "DISCONTINUED",
    ]
    assert came[0] == created()


def test_they_tell_us_of_a_step() -> None:
    steps: dict[str, PerformedStep] = {}

    def keep(exchange: Exchange, start: MessageStart) -> flows.Flow[int]:
        stepping = Stepping(exchange, start)
        try:
            if isinstance(start.command, dimse.NGetRequest):
                yield from stepping.grant(stepping.get(steps))
                return 0
            step = yield from stepping.step(steps, new_uid="1.2.77")
        except Refused as refused:
            yield from stepping.refuse(refused)
            return refused.code
        steps[step.sop_instance_uid] = step
        yield from stepping.grant(sop_instance_uid=step.sop_instance_uid)
        return 0

    over = ended(PerformedProcedureStepStatus="COMPLETED")
    with (
        our_provider(keep) as (port, found),
        their_user(port, [MPPS, RETRIEVE]) as association,
    ):
        answers = [
            settle(association).send_n_create(created(), MPPS, "1.2.9"),
            settle(association).send_n_create(created(), MPPS, "1.2.9"),
            settle(association).send_n_create(keys(Modality="CT"), MPPS, "1.2.8"),
            settle(association).send_n_set(over, MPPS, "1.2.9"),
            settle(association).send_n_set(over, MPPS, "1.2.9"),
            settle(association).send_n_set(over, MPPS, "1.2.7"),
            settle(association).send_n_get([0x00400252, 0x00080060], RETRIEVE, "1.2.9"),
        ]
    codes = [answer.Status for answer, _ in answers]
    assert codes == found == [0, 0x0111, 0x0120, 0, 0x0110, 0x0112, 0]
    no_longer = answers[4][0]
    assert no_longer.ErrorID == 0xA710
    assert no_longer.ErrorComment == "Performed Procedure Step Object may no longer be updated"
    assert answers[6][1] == keys(PerformedProcedureStepStatus="COMPLETED", Modality="CT")


# -- unified procedure step --------------------------------------------------------------------------------------------

UPS_CLASSES = [ups.PUSH, ups.PULL, ups.WATCH]


def test_we_push_claim_and_cancel_steps_of_theirs() -> None:
    came: list[Any] = []

    def create(event: Any) -> tuple[int, Dataset]:
        came.append((event.request.AffectedSOPInstanceUID, event.attribute_list.ProcedureStepState))
        return 0xB300, event.attribute_list

    def act(event: Any) -> tuple[int, Any]:
        information = event.action_information
        came.append((event.action_type, information.get("ProcedureStepState") or information.get("ReceivingAE")))
        return (0xC301 if len(came) == 3 else 0), None

    def change(event: Any) -> tuple[int, Dataset]:
        came.append(("set", event.modification_list.TransactionUID))
        return 0, event.modification_list

    def get(event: Any) -> tuple[int, Dataset]:
        return 0, keys(ProcedureStepState="IN PROGRESS")

    handlers = {evt.EVT_N_CREATE: create, evt.EVT_N_ACTION: act, evt.EVT_N_SET: change, evt.EVT_N_GET: get}
    with their_provider(UPS_CLASSES, handlers) as port, ask(port, UPS_CLASSES) as session:
        exchange = session.exchange
        results = [
            session.run(flow)
            for flow in (
                ups.create_ups(exchange, "1.2.9", scheduled()),
                ups.change_state(exchange, "1.2.9", ups.UPSState.IN_PROGRESS, "1.2.5"),
                ups.change_state(exchange, "1.2.9", ups.UPSState.IN_PROGRESS, "1.2.6"),
                ups.set_ups(exchange, "1.2.9", keys(ProcedureStepLabel="Other"), "1.2.5"),
                ups.subscribe(exchange, "OURS", "1.2.9", deletion_lock=True),
                ups.request_cancel(exchange, "1.2.9", keys(ReasonForCancellation="late")),
                ups.get_ups(exchange, "1.2.9", (0x00741000,)),
            )
        ]
    assert [each.response.status for each in results] == [0xB300, 0, 0xC301, 0, 0, 0, 0]
    assert came == [
        ("1.2.9", "SCHEDULED"),
        (1, "IN PROGRESS"),
        (1, "IN PROGRESS"),
        ("set", "1.2.5"),
        (3, "OURS"),
        (2, None),
    ]
    assert results[-1].attributes.dataset == keys(ProcedureStepState="IN PROGRESS")


def test_they_push_claim_and_complete_steps_of_ours() -> None:
    steps: dict[str, ups.Ups] = {}
    reports: list[ups.UPSReport] = []

    def keep(exchange: Exchange, start: MessageStart) -> flows.Flow[int]:
        working = ups.Working(exchange, start)
        code = 0
        try:
            if isinstance(start.command, dimse.NGetRequest):
                yield from working.grant(working.get(steps))
            elif isinstance(start.command, dimse.NActionRequest) and start.command.action_type_id >= ups.SUBSCRIBE:
                subscription = yield from working.subscription(steps)
                assert subscription.receiving_aet == "THEM"
                yield from working.grant()
            else:
                outcome = yield from working.work(steps)
                steps[outcome.ups.sop_instance_uid] = outcome.ups
                reports.extend(outcome.reports)
                code = outcome.code
                yield from working.grant(code=code)
        except Refused as refused:
            yield from working.refuse(refused)
            return refused.code
        return code

    def to(state: str, transaction: str) -> Dataset:
        return keys(ProcedureStepState=state, TransactionUID=transaction)

    label = keys(TransactionUID="1.2.5", **{one.keyword: one.value for one in performed()})
    with our_provider(keep) as (port, found), their_user(port, UPS_CLASSES) as association:

        def act(information: Dataset, kind: int, meta: str) -> Any:
            return settle(association).send_n_action(information, kind, ups.PUSH, "1.2.9", meta_uid=meta)

        answers = [
            settle(association).send_n_create(scheduled(), ups.PUSH, "1.2.9"),
            act(to("COMPLETED", "1.2.5"), 1, ups.PULL),
            act(keys(ReceivingAE="THEM", DeletionLock="TRUE"), 3, ups.WATCH),
            act(to("IN PROGRESS", "1.2.5"), 1, ups.PULL),
            act(to("IN PROGRESS", "1.2.6"), 1, ups.PULL),
            act(to("COMPLETED", "1.2.5"), 1, ups.PULL),
            settle(association).send_n_set(label, ups.PUSH, "1.2.9", meta_uid=ups.PULL),
            act(keys(ReasonForCancellation="late"), 2, ups.PUSH),
            act(to("COMPLETED", "1.2.5"), 1, ups.PULL),
            act(to("COMPLETED", "1.2.5"), 1, ups.PULL),
            settle(association).send_n_get([0x00741000, 0x00081195], ups.PUSH, "1.2.9", meta_uid=ups.WATCH),
        ]
    codes = [0, 0xC310, 0, 0, 0xC301, 0xC304, 0, 0, 0, 0xB306, 0]
    assert [answer.Status for answer, _ in answers] == codes
    assert found == codes
    assert answers[-1][1] == keys(ProcedureStepState="COMPLETED")
    assert [each.event_type_id for each in reports] == [1, 1, 2, 1]


def test_events_of_ours_reach_them_and_theirs_us() -> None:
    reported: list[Any] = []

    def take(event: Any) -> tuple[int, None]:
        reported.append((event.event_type, event.event_information.ProcedureStepState))
        return 0, None

    new = ups.create("1.2.9", scheduled()).ups
    reports = ups.cancel(new, Dataset(), now="20260101").reports
    with (
        their_provider([ups.EVENT], {evt.EVT_N_EVENT_REPORT: take}, both_roles=(ups.EVENT,)) as port,
        ask(port, [ups.EVENT], scp_of=(ups.EVENT,)) as session,
    ):
        codes = [session.run(ups.report(session.exchange, each)).response.status for each in reports]
    assert codes == [0, 0]
    assert reported == [(1, "IN PROGRESS"), (1, "CANCELED")]

    def happened(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
        event = ups.Happened(exchange, start)
        found = yield from event.read_report()
        yield from event.grant()
        return found

    with (
        our_provider(happened, scp_of=(ups.EVENT,)) as (there, seen),
        their_user(there, [ups.EVENT], scp_of=(ups.EVENT,)) as association,
    ):
        for each in reports:
            answer, _ = settle(association).send_n_event_report(
                each.dataset, each.event_type_id, ups.PUSH, each.sop_instance_uid, meta_uid=ups.EVENT
            )
            assert answer.Status == 0
    assert seen == list(reports)


# -- print -------------------------------------------------------------------------------------------------------------

META = printing.GRAYSCALE


def test_we_print_on_a_printer_of_theirs() -> None:
    came: list[Any] = []

    def create(event: Any) -> tuple[int, Dataset]:
        kind = event.request.AffectedSOPClassUID
        came.append(("create", kind))
        made = event.attribute_list
        if kind == printing.BOX:
            references = [keys(ReferencedSOPClassUID=printing.GRAYSCALE_IMAGE, ReferencedSOPInstanceUID="1.2.7")]
            made.ReferencedImageBoxSequence = references
        return 0, made

    def change(event: Any) -> tuple[int, Dataset]:
        pixels = event.modification_list.BasicGrayscaleImageSequence[0].PixelData
        came.append(("set", event.request.RequestedSOPInstanceUID, pixels))
        return 0xB604, event.modification_list

    def act(event: Any) -> tuple[int, None]:
        came.append(("print", event.request.RequestedSOPClassUID, event.action_type))
        return 0, None

    def get(event: Any) -> tuple[int, Dataset]:
        return 0, keys(PrinterStatus="NORMAL")

    def delete(event: Any) -> int:
        came.append(("delete", event.request.RequestedSOPClassUID))
        return 0

    handlers = {
        evt.EVT_N_CREATE: create, evt.EVT_N_SET: change, evt.EVT_N_ACTION: act, evt.EVT_N_GET: get,
        evt.EVT_N_DELETE: delete,
    }  # fmt: skip
    with their_provider([META], handlers) as port, ask(port, [META]) as session:
        exchange = session.exchange
        printer = session.run(printing.get_printer(exchange, (0x21100010,)))
        session.run(printing.create_film_session(exchange, "1.2.8", keys(NumberOfCopies="1")))
        _, (image_box,) = session.run(
            printing.create_film_box(exchange, "1.2.8", keys(ImageDisplayFormat="STANDARD\\1,1"), "1.2.9")
        )
        set_image = session.run(printing.set_image_box(exchange, image_box, film_image(7)))
        printed = session.run(printing.print_film_box(exchange, "1.2.9"))
        session.run(printing.print_film_session(exchange, "1.2.8"))
        session.run(printing.delete_film_session(exchange, "1.2.8"))
    assert printer.attributes is not None
    assert printer.attributes.dataset == keys(PrinterStatus="NORMAL")
    assert (set_image.response.status, printed.response.status) == (status.PRINT_IMAGE_DEMAGNIFIED, 0)
    assert came == [
        ("create", printing.SESSION),
        ("create", printing.BOX),
        ("set", "1.2.7", bytes((7,)) * 16),
        ("print", printing.BOX, 1),
        ("print", printing.SESSION, 1),
        ("delete", printing.SESSION),
    ]


def test_they_print_on_a_printer_of_ours() -> None:
    film, jobs = printing.Film(), []
    new_uids = (f"1.2.7.{number}" for number in count())

    def work(exchange: Exchange, start: MessageStart) -> flows.Flow[int]:
        nonlocal film
        operation = printing.Printing(exchange, start)
        try:
            done = yield from operation.work(film, new_uids, keys(PrinterStatus="NORMAL", PrinterName="FILMER"))
        except Refused as refused:
            yield from operation.refuse(refused)
            return refused.code
        film = done.film
        jobs.extend([done.job] if done.job else [])
        yield from operation.grant(done.dataset, code=done.code, sop_instance_uid=done.sop_instance_uid)
        return done.code

    session_reference = keys(ReferencedSOPClassUID=printing.SESSION, ReferencedSOPInstanceUID="1.2.8")
    box = keys(ImageDisplayFormat="ROW\\2", ReferencedFilmSessionSequence=[session_reference])
    with our_provider(work) as (port, found), their_user(port, [META]) as association:
        printer = settle(association).send_n_get([0x21100010], printing.PRINTER, uids.PRINTER_INSTANCE, meta_uid=META)
        settle(association).send_n_create(keys(NumberOfCopies="1"), printing.SESSION, "1.2.8", meta_uid=META)
        _, made = settle(association).send_n_create(box, printing.BOX, "1.2.9", meta_uid=META)
        for number, each in enumerate(made.ReferencedImageBoxSequence, 1):
            image_in_box = keys(ImageBoxPosition=number, BasicGrayscaleImageSequence=[film_image(number)])
            settle(association).send_n_set(
                image_in_box, each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID, meta_uid=META
            )
        printed, _ = settle(association).send_n_action(None, 1, printing.BOX, "1.2.9", meta_uid=META)
        again, _ = settle(association).send_n_action(None, 1, printing.BOX, "1.2.6", meta_uid=META)
        deleted = settle(association).send_n_delete(printing.SESSION, "1.2.8", meta_uid=META)
    assert printer[1] == keys(PrinterStatus="NORMAL")
    assert (printed.Status, again.Status, deleted.Status) == (0, 0x0112, 0)
    assert found == [0, 0, 0, 0, 0, 0, 0x0112, 0]
    (job,) = jobs
    images = [one.dataset.BasicGrayscaleImageSequence[0] for one in job.boxes[0].image_boxes if one.dataset]
    assert [one.PixelData for one in images] == [bytes((1,)) * 16, bytes((2,)) * 16]
    assert film == printing.Film()


# -- media creation, instance availability -----------------------------------------------------------------------------


def test_we_have_media_written_by_them() -> None:
    came: list[Any] = []

    def create(event: Any) -> tuple[int, Dataset]:
        came.append(len(event.attribute_list.ReferencedSOPSequence))
        return 0, event.attribute_list

    def act(event: Any) -> tuple[int, None]:
        came.append(event.action_type)
        return (0 if event.action_type == media.INITIATE else 0xC202), None

    def get(event: Any) -> tuple[int, Dataset]:
        return 0, keys(ExecutionStatus="CREATING", ExecutionStatusInfo="NORMAL", TotalNumberOfPiecesOfMediaCreated=0)

    handlers = {evt.EVT_N_CREATE: create, evt.EVT_N_ACTION: act, evt.EVT_N_GET: get}
    with their_provider([media.MEDIA], handlers) as port, ask(port, [media.MEDIA]) as session:
        exchange = session.exchange
        codes = [
            session.run(flow).response.status
            for flow in (
                media.create_request(exchange, REFERENCES, None, "1.2.9"),
                media.initiate(exchange, "1.2.9", copies=2),
                media.cancel(exchange, "1.2.9"),
            )
        ]
        progress = session.run(media.get_result(exchange, "1.2.9"))
    assert codes == [0, 0, 0xC202]
    assert (progress.status, progress.info, progress.pieces) == (media.MediaStatus.CREATING, "NORMAL", 0)
    assert came == [2, media.INITIATE, media.CANCEL]


def test_they_have_media_written_by_us() -> None:
    discs: dict[str, media.Disc] = {}

    def work(exchange: Exchange, start: MessageStart) -> flows.Flow[int]:
        creating = media.Creating(exchange, start)
        try:
            if isinstance(start.command, dimse.NGetRequest):
                yield from creating.grant(creating.get(discs))
                return 0
            disc = yield from creating.work(discs)
        except Refused as refused:
            yield from creating.refuse(refused)
            return refused.code
        if disc is not None:
            discs[disc.sop_instance_uid] = disc
        yield from creating.grant()
        return 0

    order = keys(ReferencedSOPSequence=SOME.dataset.ReferencedSOPSequence)
    with our_provider(work) as (port, found), their_user(port, [media.MEDIA]) as association:
        settle(association).send_n_create(order, media.MEDIA, "1.2.9")
        for _ in range(2):
            settle(association).send_n_action(keys(NumberOfCopies="2"), 1, media.MEDIA, "1.2.9")
        _, result = settle(association).send_n_get([0x21000020], media.MEDIA, "1.2.9")
    assert found == [0, 0, 0xA510, 0]
    assert result == keys(ExecutionStatus="PENDING")
    assert discs["1.2.9"].copies == 2


def test_availability_is_told_both_ways() -> None:
    came: list[Dataset] = []

    def create(event: Any) -> tuple[int, Dataset]:
        came.append(event.attribute_list)
        return 0, event.attribute_list

    available = availability.Available("1.2.3", REFERENCES[0], availability.Availability.ONLINE, "ARCHIVE")
    told_of = availability.Notification(study_uid="1.2", instances=(available,))
    sop_class = availability.NOTIFICATION
    with their_provider([sop_class], {evt.EVT_N_CREATE: create}) as port, ask(port, [sop_class]) as session:
        result = session.run(availability.notify(session.exchange, "1.2", [available], "1.2.9"))
    assert result.response.status == 0
    assert came == [told_of.dataset]

    def take(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
        notified = availability.AvailabilityNotified(exchange, start)
        found = yield from notified.read_notification()
        yield from notified.grant()
        return found

    with our_provider(take) as (there, found), their_user(there, [sop_class]) as association:
        answer, _ = settle(association).send_n_create(told_of.dataset, sop_class, "1.2.9")
    assert answer.Status == 0
    assert found == [told_of]

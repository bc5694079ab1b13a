"""DCMTK and ours, both ways: worklists, queries, retrievals; its tools as users, its archive as a provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset

from dicos_proto import dimse
from dicos_proto.conversation import exchange, flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import read_data, skip_data
from dicos_proto.dimse.events import MessageStart
from dicos_proto.registry import status, uids
from dicos_proto.services.query import Find, Finding
from dicos_proto.services.retrieve import Get, Getting, Move, Moving
from dicos_proto.services.storage import Instance, StoreMany, store
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import RoleSelection, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.blocking.server import serve
from tests.interop.objects import as_instance, keys
from tests.interop.peers import dcmtk, dcmtk_server, dcmtk_storescp, files_in, free_port, needs_dcmtk

pytestmark = [pytest.mark.interop, needs_dcmtk]

CT, EXPLICIT = uids.CT_IMAGE_STORAGE, uids.EXPLICIT_VR_LE
STUDY_UID = "1.2.840.99"


def image(number: int) -> Dataset:
    """An object with the attributes that an archive needs to file it."""
    made = keys(
        SOPClassUID=CT, SOPInstanceUID=f"{STUDY_UID}.1.{number}", StudyInstanceUID=STUDY_UID,
        SeriesInstanceUID=f"{STUDY_UID}.1", PatientID="P1", PatientName="One^Patient", StudyID="S1",
        StudyDate="20260101", StudyTime="101010", AccessionNumber="A1", Modality="CT", SeriesNumber=1,
        InstanceNumber=number,
    )  # fmt: skip
    made.PixelData = bytes((number,)) * 40_000
    made["PixelData"].VR = "OW"
    return made


def instance(number: int) -> Instance:
    return as_instance(image(number))


@contextmanager
def our_provider(run: Any) -> Iterator[int]:
    policy = AcceptPolicy(other_contexts=(EXPLICIT,), roles={CT: Roles(scu=True, scp=True)})
    with serve(("127.0.0.1", 0), run, policy=policy) as server:
        yield server.port


def each_request(handle: Any, found: list[Any]) -> Any:
    def run(session: Session) -> None:
        while (start := session.run(next_request(session.exchange))) is not None:
            found.append(session.run(handle(session.exchange, start)))

    return run


# -- ours as the provider ----------------------------------------------------------------------------------------------


def entry(number: int) -> Dataset:
    scheduled = keys(Modality="CT", ScheduledStationAETitle=f"CT{number}", ScheduledProcedureStepStartDate="20260101")
    return keys(
        PatientName="One^Patient", PatientID=f"P{number}", StudyInstanceUID=STUDY_UID, QueryRetrieveLevel="STUDY",
        ScheduledProcedureStepSequence=[scheduled],
    )  # fmt: skip


@pytest.mark.parametrize(("option", "model"), [("-W", uids.MODALITY_WORKLIST_FIND), ("-S", uids.STUDY_ROOT_FIND)])
def test_findscu_finds_what_we_have(tmp_path: Path, option: str, model: str) -> None:
    def find(on: Exchange, start: MessageStart) -> flows.Flow[Any]:
        finding = Finding(on, start)
        asked = yield from finding.receive()
        assert asked is not None
        assert isinstance(start.command, dimse.CFindRequest)
        yield from finding.send_all(entry(number) for number in range(30))
        return start.command.affected_sop_class_uid, asked.dataset.PatientID

    found: list[Any] = []
    with our_provider(each_request(find, found)) as port:
        result = dcmtk(
            "findscu", option, "-X", "-od", tmp_path, "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=P*",
            "127.0.0.1", port,
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert found == [(model, "P*")]
    came = [dcmread(path) for path in sorted(tmp_path.glob("rsp*.dcm"))]
    assert [each.PatientID for each in came] == [f"P{number}" for number in range(30)]
    assert came[7].ScheduledProcedureStepSequence[0].ScheduledStationAETitle == "CT7"


def test_findscu_cancels_and_we_stop() -> None:
    def find(on: Exchange, start: MessageStart) -> flows.Flow[int]:
        finding = Finding(on, start)
        yield from finding.receive()
        number = 0
        while (yield from finding.match(entry(number))):
            number += 1
        return (yield from finding.end())

    found: list[Any] = []
    with our_provider(each_request(find, found)) as port:
        result = dcmtk("findscu", "-S", "--cancel", 3, "-k", "QueryRetrieveLevel=STUDY", "127.0.0.1", port)
    assert result.returncode == 0, result.stderr
    assert found == [status.CANCEL]


def test_getscu_gets_what_we_have(tmp_path: Path) -> None:
    def get(on: Exchange, start: MessageStart) -> flows.Flow[int]:
        getting = Getting(on, start)
        yield from getting.receive()
        return (yield from getting.send_all(map(instance, range(4)), 4))

    found: list[Any] = []
    with our_provider(each_request(get, found)) as port:
        result = dcmtk(
            "getscu", "-S", "-od", tmp_path, "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY_UID}",
            "127.0.0.1", port,
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert found == [status.SUCCESS]
    assert list(files_in(tmp_path)) == [f"{STUDY_UID}.1.{number}" for number in range(4)]


def test_movescu_has_us_move(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    codes: list[int] = []
    with dcmtk_storescp(folder, "-aet", "STORE") as there:

        def run(session: Session) -> None:
            while (start := session.run(next_request(session.exchange))) is not None:
                moving = Moving(session.exchange, start)
                session.run(moving.receive())
                if moving.destination != "STORE":
                    session.run(moving.finish(status.MOVE_DESTINATION_UNKNOWN))
                    continue
                task = moving.task(propose([CT], (EXPLICIT,)))
                moving.begin(3)
                asked = task.request
                with connect(
                    ("127.0.0.1", there), asked.contexts, called_aet=asked.called_aet, calling_aet=asked.calling_aet
                ) as out:
                    stores = StoreMany(out.exchange, map(instance, range(3)), originator=task.originator)
                    while (outcome := out.run(stores.next())) is not None:
                        session.run(moving.record(outcome))
                codes.append(session.run(moving.end()))

        with our_provider(run) as port:
            words = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY_UID}", "127.0.0.1", port]
            good = dcmtk("movescu", "-v", "-aem", "STORE", *words)
            bad = dcmtk("movescu", "-v", "-aem", "NOBODY", *words)
    assert good.returncode == 0, good.stderr
    assert "Refused: MoveDestinationUnknown" in bad.stderr + bad.stdout, bad.stderr
    assert codes == [status.SUCCESS]
    assert sorted(files_in(folder)) == [f"{STUDY_UID}.1.{number}" for number in range(3)]


# -- ours as the user --------------------------------------------------------------------------------------------------


@contextmanager
def wlmscpfs(tmp_path: Path, entries: list[Dataset]) -> Iterator[int]:
    """Run DCMTK's worklist provider with these entries. Yields the port."""
    folder = tmp_path / "lists" / "WORK"
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    for number, one in enumerate(entries):
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = EXPLICIT
        one.file_meta.MediaStorageSOPClassUID = uids.MODALITY_WORKLIST_FIND
        one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        one.save_as(folder / f"{number}.wl", enforce_file_format=True)
    port = free_port()
    with dcmtk_server(port, tmp_path / "wlmscpfs.log", "wlmscpfs", "-v", "-dfp", tmp_path / "lists", port):
        yield port


def scheduled_entry(number: int) -> Dataset:
    step = keys(
        Modality="CT" if number % 2 else "MR", ScheduledStationAETitle="SCANNER", ScheduledProcedureStepID=f"S{number}",
        ScheduledProcedureStepStartDate="20260101", ScheduledProcedureStepStartTime="101010",
        ScheduledPerformingPhysicianName="Doctor", ScheduledProcedureStepDescription="step",
    )  # fmt: skip
    return keys(
        SpecificCharacterSet="ISO_IR 100", AccessionNumber=f"A{number}", PatientName="One^Patient",
        PatientID=f"P{number}", PatientBirthDate="19700101", PatientSex="O", StudyInstanceUID=f"1.2.3.{number}",
        RequestedProcedureID=f"R{number}", RequestedProcedureDescription="procedure",
        ScheduledProcedureStepSequence=[step],
    )  # fmt: skip


def test_we_find_what_is_on_a_worklist(tmp_path: Path) -> None:
    model = uids.MODALITY_WORKLIST_FIND
    wanted = keys(PatientID="", AccessionNumber="", ScheduledProcedureStepSequence=[keys(Modality="CT")])
    with (
        wlmscpfs(tmp_path, [scheduled_entry(number) for number in range(10)]) as port,
        connect(("127.0.0.1", port), propose([model]), called_aet="WORK") as session,
    ):
        query = Find(session.exchange, model, wanted)
        found = []
        while (match := session.run(query.next())) is not None:
            found.append(match.attributes.dataset)
    assert query.response is not None
    assert query.response.status == status.SUCCESS
    assert sorted(each.PatientID for each in found) == ["P1", "P3", "P5", "P7", "P9"]
    assert {each.ScheduledProcedureStepSequence[0].Modality for each in found} == {"CT"}


@contextmanager
def archive(tmp_path: Path, store_port: int) -> Iterator[int]:
    """Run DCMTK's dcmqrscp with four objects and the destination STORE at `store_port`. Yields the port."""
    folder = tmp_path / "archive"
    folder.mkdir()
    port = free_port()
    settings = tmp_path / "dcmqrscp.cfg"
    settings.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 8\n"
        f"HostTable BEGIN\nstore = (STORE, 127.0.0.1, {store_port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nARCHIVE {folder} RW (100, 1024mb) ANY\nAETable END\n"
    )
    with dcmtk_server(port, tmp_path / "dcmqrscp.log", "dcmqrscp", "-v", "-c", settings):
        with connect(("127.0.0.1", port), propose([CT], (EXPLICIT,)), called_aet="ARCHIVE") as session:
            for number in range(4):
                one = instance(number)
                flow = store(session.exchange, CT, one.sop_instance_uid, EXPLICIT, one.data)
                assert session.run(flow).status == status.SUCCESS
        yield port


STUDY = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=STUDY_UID)
ALL = {f"{STUDY_UID}.1.{number}" for number in range(4)}


def test_we_find_get_and_have_moved_what_an_archive_has(tmp_path: Path) -> None:
    stored: list[str] = []

    def keep(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            assert request.command.move_originator_aet == "DICOS_PROTO"
            stored.append(request.sop_instance_uid)
            request.read()
            request.respond()

    role = (RoleSelection(sop_class_uid=CT, scu=False, scp=True),)
    classes = [uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET, CT]
    with (
        serve(("127.0.0.1", 0), keep, policy=AcceptPolicy(other_contexts=(EXPLICIT, uids.IMPLICIT_VR_LE))) as server,
        archive(tmp_path, server.port) as port,
        connect(
            ("127.0.0.1", port), propose(classes, (EXPLICIT,)), called_aet="ARCHIVE",
            user_information=UserInformation(roles=role),
        ) as session,
    ):  # fmt: skip
        images = keys(
            QueryRetrieveLevel="IMAGE",
            StudyInstanceUID=STUDY_UID,
            SeriesInstanceUID=f"{STUDY_UID}.1",
            SOPInstanceUID="",
        )
        query = Find(session.exchange, uids.STUDY_ROOT_FIND, images)
        found = set()
        while (match := session.run(query.next())) is not None:
            found.add(str(match.attributes.dataset.SOPInstanceUID))
        assert found == ALL

        getting = Get(session.exchange, uids.STUDY_ROOT_GET, STUDY)
        got = {}
        while (start := session.run(getting.next())) is not None:
            assert isinstance(start.command, dimse.CStoreRequest)
            got[start.command.affected_sop_instance_uid] = len(session.run(read_data(session.exchange)))
            session.run(getting.answer())
        assert set(got) == ALL
        assert min(got.values()) > 40_000
        assert getting.result is not None
        assert getting.result.response.status == status.SUCCESS
        assert getting.result.counters.completed == 4
        assert getting.result.faults == ()

        moving = Move(session.exchange, uids.STUDY_ROOT_MOVE, "STORE", STUDY)
        while session.run(moving.next()) is not None:
            pass
        assert moving.result is not None
        assert moving.result.response.status == status.SUCCESS
        assert moving.result.counters.completed == 4
        assert set(stored) == ALL

        nowhere = Move(session.exchange, uids.STUDY_ROOT_MOVE, "NOWHERE", STUDY)
        while session.run(nowhere.next()) is not None:
            pass
        assert nowhere.result is not None
        assert nowhere.result.response.status == status.MOVE_DESTINATION_UNKNOWN


def test_a_request_of_dcmtk_that_nobody_handles_is_answered() -> None:
    def refuse(on: Exchange, start: MessageStart) -> flows.Flow[None]:
        yield from skip_data(on)
        on.reply(exchange.response_to(start, status.SOP_CLASS_NOT_SUPPORTED))

    with our_provider(each_request(refuse, [])) as port:
        result = dcmtk("findscu", "-v", "-S", "-k", "QueryRetrieveLevel=STUDY", "127.0.0.1", port)
    assert "Refused: SOPClassNotSupported" in result.stderr + result.stdout, result.stderr

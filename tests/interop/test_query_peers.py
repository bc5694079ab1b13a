"""`dicos findscu`, `getscu` and `movescu` against the archives of DCMTK and pynetdicom: matches and objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset

from dicos_proto.registry import uids
from dicos_transports.files import part10
from tests.interop.peers import (
    dcmtk,
    dcmtk_dcmqrscp,
    dcmtk_server,
    digest,
    files_in,
    free_port,
    needs_dcmtk,
    needs_pynetdicom,
    our_provider,
    ours,
    pynetdicom_provider,
)

pytestmark = pytest.mark.interop
CT, EXPLICIT = uids.CT_IMAGE_STORAGE, uids.EXPLICIT_VR_LE
PATIENTS = ("Müller^Jörg", "DOE^JANE", "ROE^RICHARD")
EVENTS = ("association", "summary")


@dataclass(frozen=True, slots=True)
class Archive:
    """A peer with two objects of each patient."""

    port: int
    store_port: int  # the destination of the AE title ME
    files: list[Path]

    @property
    def peer(self) -> tuple[object, ...]:
        return ("127.0.0.1", self.port, "-aec", "QR", "-aet", "ME")


def write_files(folder: Path) -> list[Path]:
    folder.mkdir()
    found = []
    for number in range(2 * len(PATIENTS)):
        patient = number // 2
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.SOPClassUID, ds.SOPInstanceUID = CT, f"1.2.3.{patient}.1.{number}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"1.2.3.{patient}", f"1.2.3.{patient}.1"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = PATIENTS[patient], f"P{patient}", "", ""
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20200102", "120000", "S", f"A{patient}"
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 1, number
        ds.Rows = ds.Columns = 4
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 0, 1
        ds.PhotometricInterpretation, ds.PixelData = "MONOCHROME2", bytes(range(32))
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = EXPLICIT
        found.append(folder / f"{number}.dcm")
        ds.save_as(found[-1], enforce_file_format=True)
    return found


@contextmanager
def archive_of(kind: str, folder: Path) -> Iterator[Archive]:
    files, store_port = write_files(folder / "in"), free_port()
    if kind == "dcmtk":
        with dcmtk_dcmqrscp(folder, {"ME": store_port}) as port:
            assert ours("storescu", "127.0.0.1", port, "-aec", "QR", *files).returncode == 0
            yield Archive(port, store_port, files)
    else:
        paths = [str(path) for path in files]
        options = {"syntaxes": [EXPLICIT, uids.IMPLICIT_VR_LE], "archive": paths, "destinations": {"ME": store_port}}
        with pynetdicom_provider(**options, roles={CT: [True, True]}) as told:
            yield Archive(told.port, store_port, files)


@pytest.fixture(params=[pytest.param("dcmtk", marks=needs_dcmtk), pytest.param("pynetdicom", marks=needs_pynetdicom)])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    with archive_of(request.param, tmp_path) as found:
        yield found


def same_as_sent(folder: Path, archive: Archive, study: int) -> bool:
    sent = {file.sop_instance_uid: digest(file) for file in map(part10.inspect, archive.files)}
    got = {uid: digest(file) for uid, file in files_in(folder).items()}
    return got == {uid: found for uid, found in sent.items() if uid.startswith(f"1.2.3.{study}.")}


@pytest.mark.parametrize("transport", ["blocking", "trio", "asyncio"])
def test_studies_are_found(archive: Archive, transport: str) -> None:
    words = ("--transport", transport, *archive.peer, "-S", "-L", "STUDY")
    done = ours("findscu", *words, "-k", "PatientName", "-k", "PatientID", "-k", "StudyInstanceUID")
    assert done.returncode == 0, done.stderr
    header, _, *rows = done.stdout.splitlines()
    assert header.split() == ["PatientName", "PatientID", "StudyInstanceUID"]
    assert sorted(map(str.split, rows)) == sorted([name, f"P{n}", f"1.2.3.{n}"] for n, name in enumerate(PATIENTS))
    assert done.stderr.startswith("3 matches")


def test_a_value_of_a_key_selects_and_json_has_all_of_a_match(archive: Archive) -> None:
    words = ("--json", "-q", *archive.peer, "-S", "-L", "STUDY", "-k", "0010,0020=P0", "-k", "PatientName")
    done = ours("findscu", *words)
    assert (done.returncode, done.stderr) == (0, "")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    (match,) = [event["attributes"] for event in found if event["event"] == "match"]
    assert match["00100010"]["Value"] == [{"Alphabetic": "Müller^Jörg"}]
    assert match["00100020"]["Value"] == ["P0"]


def test_nothing_found_is_no_failure(archive: Archive) -> None:
    done = ours("findscu", *archive.peer, "-S", "-L", "STUDY", "-k", "PatientID=NOBODY")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("0 matches")


@pytest.mark.parametrize("transport", ["blocking", "trio", "asyncio"])
def test_a_study_is_fetched(archive: Archive, transport: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    words = ("--transport", transport, *archive.peer, "-S", "-L", "STUDY", "-k", "StudyInstanceUID=1.2.3.1")
    done = ours("getscu", *words, "-od", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert same_as_sent(tmp_path / "out", archive, 1)
    assert "2 objects in" in done.stderr


def test_fetched_as_json(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    words = ("--json", "-q", *archive.peer, "-P", "-L", "STUDY", "-k", "PatientID=P2", "-k", "StudyInstanceUID=1.2.3.2")
    done = ours("getscu", *words, "-od", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["association", "stored", "stored", "summary"]
    assert (events[-1]["completed"], events[-1]["failed"]) == (2, 0)
    assert {event["calling_aet"] for event in events[1:3]} == {"ME"}


@pytest.mark.parametrize("transport", ["blocking", "trio", "asyncio"])
def test_a_study_is_moved_to_the_command_itself(archive: Archive, transport: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    words = ("--transport", transport, *archive.peer, "-S", "-L", "STUDY", "-k", "StudyInstanceUID=1.2.3.1")
    done = ours("movescu", *words, "--store-port", archive.store_port, "-od", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert same_as_sent(tmp_path / "out", archive, 1)
    assert "received 2 objects" in done.stderr


def test_a_study_is_moved_to_a_third_one(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "third").mkdir()
    with our_provider("storescp", archive.store_port, "-q", "-od", tmp_path / "third"):
        words = ("--json", "-q", *archive.peer, "-S", "-L", "STUDY", "-k", "StudyInstanceUID=1.2.3.2", "-aem", "ME")
        done = ours("movescu", *words)
        assert (done.returncode, done.stderr) == (0, "")
    assert same_as_sent(tmp_path / "third", archive, 2)
    assert json.loads(done.stdout.splitlines()[-1])["completed"] == 2


def test_a_destination_that_the_peer_does_not_know(archive: Archive) -> None:
    words = (*archive.peer, "-S", "-L", "STUDY", "-k", "StudyInstanceUID=1.2.3.2", "-aem", "NOBODY")
    done = ours("movescu", *words)
    assert done.returncode == 1
    assert "0xA801 Refused: move destination unknown (failure)" in done.stderr


@needs_dcmtk
def test_a_worklist_of_dcmtk(tmp_path: Path) -> None:
    folder = tmp_path / "worklists" / "QR"
    folder.mkdir(parents=True)
    (folder / "lockfile").touch()
    for number, modality in enumerate(("CT", "MR")):
        ds, step = Dataset(), Dataset()
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = PATIENTS[number], f"P{number}", "", "O"
        ds.AccessionNumber, ds.StudyInstanceUID = f"A{number}", f"1.2.{number}"
        ds.RequestedProcedureID, ds.RequestedProcedureDescription = "R", "scan"
        step.Modality, step.ScheduledStationAETitle, step.ScheduledProcedureStepID = modality, "ME", "S"
        step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20200102", "1200"
        step.ScheduledPerformingPhysicianName, step.ScheduledProcedureStepDescription = "", "step"
        ds.ScheduledProcedureStepSequence = [step]
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = EXPLICIT
        ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = CT, f"1.2.{number}"
        ds.save_as(folder / f"{number}.wl", enforce_file_format=True)
    port = free_port()
    with dcmtk_server(port, tmp_path / "log", "wlmscpfs", "-dfp", tmp_path / "worklists", port):
        done = ours("findscu", "127.0.0.1", port, "-aec", "QR", "-W", "-k", "PatientName", "-k",
                    "ScheduledProcedureStepSequence[0].Modality=CT", "-k", "(0040,0100)[0].(0040,0002)")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2:] == ["Müller^Jörg  CT        20200102"]


@needs_dcmtk
def test_the_same_query_as_dcmtk_asks(tmp_path: Path) -> None:
    """Our findscu finds the same as DCMTK's with the same keys."""
    keys = ("-k", "0008,0052=STUDY", "-k", "PatientName=*O*", "-k", "PatientID", "-k", "StudyInstanceUID")
    with archive_of("dcmtk", tmp_path) as archive:
        theirs = dcmtk("findscu", "-S", "-aec", "QR", *keys, "127.0.0.1", archive.port)
        done = ours("findscu", "-S", "-aec", "QR", *keys, "127.0.0.1", archive.port)
    shown = theirs.stdout + theirs.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[1] for row in rows] == ["P1", "P2"]
    for name, patient, study in rows:
        assert f"[{name}" in shown
        assert f"[{patient}" in shown
        assert f"[{study}" in shown
    assert "[P0" not in shown

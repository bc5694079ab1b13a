"""`dicos storescu` and `dicos storescp`: received and refused objects, and the exit status."""

import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports.blocking import Session, connect
from dicos_transports.files import part10
from tests.transports.cli.commands import TIMEOUT, dicom_file, dicos, provider
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, POLICY, answer_all, server

carried = pytest.mark.usefixtures("transport")
"""Runs over each transport; code that all share is tested over one."""
NAMES = ("1.2.1", "1.2.2", "1.2.3")


def some_files(folder: Path, names: tuple[str, ...] = NAMES, pixels: int = 1000) -> list[Path]:
    folder.mkdir(parents=True)
    return [dicom_file(folder / f"{uid}.dcm", uid=uid, pixels=pixels) for uid in names]


def data_set(path: Path) -> bytes:
    return path.read_bytes().partition(b"\x08\0\x18\0")[2]


def answers(status: int) -> Callable[[Session], None]:
    def handle(session: Session) -> None:
        for request in session:
            request.respond(status)

    return handle


@carried
def test_files_and_folders_arrive_as_they_were(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in" / "deep")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    (tmp_path / "out").mkdir()
    with provider("storescp", "-v", "-od", tmp_path / "out") as scp:
        result = dicos("storescu", "-v", "--json", "-r", "127.0.0.1", scp.port, tmp_path / "in")
        end = scp.stop()
    assert (result.status, end.status) == (0, 0)
    for file in files:
        assert data_set(tmp_path / "out" / file.name) == data_set(file)
    summary = result.named("summary")[0]
    assert (summary["stored"], summary["failed"], summary["skipped"]) == (3, 0, 1)
    assert summary["bytes"] == sum(event["bytes"] for event in end.named("stored")) > 3000
    assert "notes.txt: not a DICOM file" in result.err
    assert "stored 3 of 3 files, 3.1 kB" in result.err
    assert "1 skipped: not a DICOM file" in result.err
    assert "stored 3 objects" in end.err
    assert {event["path"] for event in end.named("stored")} == {str(tmp_path / "out" / file.name) for file in files}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_peer_in_one_word_before_files(tmp_path: Path, number: int) -> None:
    files = some_files(tmp_path / "in")[:number]
    (tmp_path / "out").mkdir()
    with provider("storescp", "-od", tmp_path / "out") as scp:
        assert dicos("storescu", f"STORE@127.0.0.1:{scp.port}", *files).status == 0
        assert dicos("storescu", "-q", f"127.0.0.1:{scp.port}", files[0], "-v", *files[1:]).status == 0
        end = scp.stop()
    assert [event["called_aet"] for event in end.named("association")] == ["STORE", "ANY-SCP"]
    assert len(end.named("stored")) == 2 * number


def test_repeated_objects_are_kept_or_replaced(tmp_path: Path) -> None:
    (file,) = some_files(tmp_path / "in", ("1.2.3",))
    for name, flags, kept in (("both", (), 3), ("one", ("--overwrite", "--fsync"), 1), ("none", ("--ignore",), 0)):
        (tmp_path / name).mkdir()
        with provider("storescp", "-od", tmp_path / name, *flags) as scp:
            # Options may stand between the paths.
            assert dicos("storescu", "--repeat", 3, "127.0.0.1", scp.port, "-q", file).status == 0
            assert scp.stop().named("summary")[0]["stored"] == 3
        assert len(list((tmp_path / name).iterdir())) == kept


def test_more_contexts_than_one_association_has(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, sop_class in enumerate(uids.STORAGE_SOP_CLASSES[:70]):
        dicom_file(tmp_path / "in" / f"{number:03}", sop_class=sop_class, uid=f"1.2.{number}")
    with provider("storescp", "--ignore") as scp:
        assert dicos("storescu", "-r", "127.0.0.1", scp.port, tmp_path / "in").status == 0
        summary = scp.stop().named("summary")[0]
    assert (summary["associations"], summary["stored"]) == (2, 70)


def test_refused_contexts_are_reported(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in")
    with provider("echoscp") as scp:
        result = dicos("storescu", "-v", "--json", "127.0.0.1", scp.port, *files)
    assert result.status == 1
    assert "0 of 2 contexts accepted" in result.err
    assert "  1 refused: CT Image Storage with Explicit VR Little Endian: abstract syntax not supported" in result.err
    assert f"{files[0]}: failed: no presentation context for CT Image Storage in Explicit" in result.err
    assert len(result.named("association")[0]["refused"]) == 2
    assert (len(result.named("failed")), result.named("summary")[0]["failed"]) == (3, 3)


def test_any_abstract_syntax_only_where_that_is_asked_for(tmp_path: Path) -> None:
    file = dicom_file(tmp_path / "private.dcm", sop_class="1.2.3.4.5")
    for flags, expected in (((), 1), (("--any",), 0)):
        with provider("storescp", "--ignore", *flags) as scp:
            assert dicos("storescu", "127.0.0.1", scp.port, file).status == expected


@carried
def test_a_refused_sop_class_is_told_on_both_sides_with_what_to_try(tmp_path: Path) -> None:
    private, unknown = "1.2.3.4.5", "1.2.3.4.9"
    files = [dicom_file(tmp_path / "private.dcm", sop_class=private), dicom_file(tmp_path / "a.dcm", syntax=unknown)]
    with provider("storescp", "--ignore") as scp:
        result = dicos("storescu", "127.0.0.1", scp.port, *files)
        find = dicos("findscu", "127.0.0.1", scp.port, "-S", "-L", "STUDY", "-k", "PatientID")
        end = scp.stop()
    first, second, _ = result.err.splitlines()
    assert f"no presentation context for {private} in" in first
    assert "have this peer accept the SOP class, as dicos storescp --any does" in first
    assert find.err.count("Study Root Query/Retrieve Information Model") == 1, find.err
    assert f"proposed with {unknown}: none of the transfer syntaxes supported" in second
    assert second.endswith(f"; or have this peer accept the transfer syntax, as dicos storescp -x {unknown} does")
    assert "decompress" not in second
    assert "or try another information model: -P, -S, -O, --model" in find.err
    told = [line.partition(": ")[2] for line in end.err.splitlines() if "proposed" in line]
    assert told == [
        f"'DICOS_PROTO' proposed {private}, refused: SOP class not accepted here; --any accepts every one",
        f"'DICOS_PROTO' proposed CT Image Storage, refused: no transfer syntax accepted here: {unknown}; "
        "--transfer-syntax accepts one more",
        f"'DICOS_PROTO' proposed {uids.name_of(uids.STUDY_ROOT_FIND)}, refused: SOP class not accepted here",
    ]
    refused = end.named("refused")
    assert [one["abstract_syntax"] for one in refused[0]["contexts"]] == [private, private, uids.CT_IMAGE_STORAGE]
    assert refused[1]["contexts"][0]["why"] == "abstract syntax not supported"


def test_many_refused_contexts_are_one_line(tmp_path: Path) -> None:
    for number in range(60):
        dicom_file(tmp_path / f"{number:03}", sop_class=f"1.2.3.{number}", uid=f"1.2.{number}")
    with provider("storescp", "--ignore") as scp:
        assert dicos("storescu", "-r", "127.0.0.1", scp.port, tmp_path).status == 1
        (line,) = (line for line in scp.stop().err.splitlines() if "proposed" in line)
    assert "proposed 1.2.3.0, 1.2.3.1, 1.2.3.2 and 57 more, refused:" in line


def test_the_order_of_transfer_syntaxes_that_decides(tmp_path: Path) -> None:
    file = dicom_file(tmp_path / "a.dcm", syntax=uids.JPEG_BASELINE)
    for prefer in ("own", "requestor"):
        with provider("storescp", "--ignore", "--prefer", prefer) as scp:
            assert dicos("storescu", "127.0.0.1", scp.port, file).status == 0
            assert scp.stop().named("stored")[0]["transfer_syntax"] == uids.JPEG_BASELINE


PRIVATE = "1.2.840.113619.5.2"


@carried
def test_a_private_transfer_syntax_goes_both_ways_as_bytes(tmp_path: Path) -> None:
    file = dicom_file(tmp_path / "a.dcm", syntax=PRIVATE)
    (tmp_path / "in").mkdir()
    with provider("storescp", "-x", PRIVATE, "-od", tmp_path / "in") as scp:
        assert dicos("storescu", "-x", PRIVATE, "127.0.0.1", scp.port, file).status == 0
        assert scp.stop().named("stored")[0]["transfer_syntax"] == PRIVATE
    (stored,) = (tmp_path / "in").iterdir()
    ours, theirs = part10.inspect(file), part10.inspect(stored)
    assert b"".join(map(bytes, part10.read_chunks(ours))) == b"".join(map(bytes, part10.read_chunks(theirs)))


def test_only_the_transfer_syntaxes_that_are_named_are_proposed(tmp_path: Path) -> None:
    explicit, jpeg = dicom_file(tmp_path / "a.dcm"), dicom_file(tmp_path / "b.dcm", syntax=uids.JPEG_BASELINE)
    with provider("storescp", "--ignore") as scp:
        result = dicos("storescu", "--json", "-x", uids.IMPLICIT_VR_LE, "127.0.0.1", scp.port, explicit, jpeg)
        assert [one["transfer_syntax"] for one in scp.stop().named("stored")] == [uids.IMPLICIT_VR_LE]
    assert result.status == 1
    assert "b.dcm: not sent: is in JPEG Baseline" in result.err
    assert "which cannot be converted to Implicit VR Little Endian" in result.err
    (association,) = result.named("association")
    assert [one["transfer_syntax"] for one in association["accepted"]] == [uids.IMPLICIT_VR_LE]


@carried
@pytest.mark.parametrize(("flags", "failed", "not_tried"), [((), 3, 0), (("--halt",), 1, 2)])
def test_after_a_failed_file_it_goes_on_or_halts(
    tmp_path: Path, flags: tuple[str, ...], failed: int, not_tried: int
) -> None:
    files = some_files(tmp_path / "in")
    with server(answers(0xA700)) as running:
        result = dicos("storescu", "-q", "--json", "127.0.0.1", running.port, *flags, *files)
    assert result.status == 1
    assert result.err.count("failed: 0xA700 Refused: out of resources (failure)") == failed
    summary = result.named("summary")[0]
    assert (summary["failed"], summary["not_tried"]) == (failed, not_tried)


def test_a_warning_is_a_success_that_is_shown(tmp_path: Path) -> None:
    (file,) = some_files(tmp_path / "in", ("1.2.3",))
    with server(answers(0xB006)) as running:
        result = dicos("storescu", "127.0.0.1", running.port, file)
    assert result.status == 0
    assert "0xB006 Elements discarded (warning)" in result.err
    assert "1 with a warning" in result.err


@carried
def test_a_file_that_breaks_off_costs_its_association_and_no_other_file(tmp_path: Path) -> None:
    first, second = some_files(tmp_path / "in", ("1.2.1", "1.2.2"))
    broken = dicom_file(tmp_path / "broken.dcm", uid="1.2.9", syntax=uids.IMPLICIT_VR_LE, data=b"\0" * 8)
    body = b"\x08\0\x16\0" + b"\x04\0\0\0" + b"1.2\0" + b"\xe0\x7f\x10\0" + (4 << 20).to_bytes(4, "little")
    broken.write_bytes(broken.read_bytes()[:-8] + body + bytes((4 << 20) - 100))  # the pixels are cut short
    with server(answer_all, policy=POLICY) as running:  # the peer accepts explicit VR only, so the file is converted
        result = dicos("storescu", "--json", "127.0.0.1", running.port, first, broken, second)
        assert running.served == 2
    assert result.status == 1
    assert [event["event"] for event in result.events if event["event"] != "association"] == [
        "stored", "failed", "stored", "summary",
    ]  # fmt: skip
    assert f"{broken}: failed: " in result.err


def test_a_uid_that_no_command_can_carry_fails_that_file_only(tmp_path: Path) -> None:
    (good,) = some_files(tmp_path / "in", ("1.2.1",))
    bad = dicom_file(tmp_path / "bad.dcm", uid="1.2" * 40)
    with server() as running:
        result = dicos("storescu", "127.0.0.1", running.port, bad, good)
    assert result.status == 1
    assert "stored 1 of 2 files" in result.err
    assert "1.21.2" not in result.err


@carried
def test_a_peer_that_aborts_every_time_is_given_up(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", tuple(f"1.2.{number}" for number in range(6)))

    def handle(session: Session) -> None:
        for _ in session:
            session.abort()
            return

    with server(handle) as running:
        result = dicos("storescu", "--json", "127.0.0.1", running.port, *files)
        assert running.served == 3
    assert result.status == 1
    assert result.named("summary")[0]["not_tried"] == 3


@carried
def test_a_full_disk_is_answered_and_leaves_nothing(tmp_path: Path) -> None:
    small, large = some_files(tmp_path / "in", ("1.2.1",)) + some_files(tmp_path / "large", ("1.2.2",), 2 << 20)
    (tmp_path / "out").mkdir()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    with provider("storescp", "-q", "-od", tmp_path / "out", preexec_fn=limit) as scp:
        result = dicos("storescu", "127.0.0.1", scp.port, large, small)
        end = scp.stop()
    assert (result.status, end.status) == (1, 1)
    assert f"{large}: failed: 0xA700 Refused: out of resources (failure): 'File too large'" in result.err
    assert "failed: 0xA700 Refused: out of resources (failure): File too large" in end.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.2.1.dcm"]
    assert (end.named("failed")[0]["status"], end.named("summary")[0]["failed"]) == (0xA700, 1)


def test_a_folder_that_vanishes_is_a_failure_of_each_object(tmp_path: Path) -> None:
    (file,) = some_files(tmp_path / "in", ("1.2.1",))
    (tmp_path / "out").mkdir()
    with provider("storescp", "-od", tmp_path / "out") as scp:
        (tmp_path / "out").rmdir()
        result = dicos("storescu", "127.0.0.1", scp.port, file)
        end = scp.stop()
    assert (result.status, end.status) == (1, 1)
    assert "0x0110 Processing failure (failure): 'No such file or directory'" in result.err


@carried
def test_an_object_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    (file,) = some_files(tmp_path / "in", ("1.2.1",), 5000)
    with provider("storescp", "-od", tmp_path, "--max-object", 4000) as scp:
        result = dicos("storescu", "127.0.0.1", scp.port, file)
    assert result.status == 1
    assert "more than 4000 bytes" in result.err


@pytest.mark.parametrize("limit", ["--max-associations", "--max-per-address"])
def test_associations_beyond_the_limits_are_rejected(limit: str) -> None:
    with provider("storescp", "--ignore", limit, 1) as scp:
        with connect(("127.0.0.1", scp.port), propose([uids.VERIFICATION])):
            result = dicos("echoscu", "127.0.0.1", scp.port)
        end = scp.stop()
    assert result.status == 3
    assert "local limit exceeded (2/3/2)" in result.err
    assert "rejected: limit" in end.err


def test_names_from_the_wire_are_no_paths(tmp_path: Path) -> None:
    file = dicom_file(tmp_path / "evil.dcm", uid="../../evil")
    (tmp_path / "a" / "out").mkdir(parents=True)
    with provider("storescp", "-od", tmp_path / "a" / "out") as scp:
        dicos("storescu", "127.0.0.1", scp.port, file)
        scp.stop()
    assert all("evil" not in path.name for path in (tmp_path / "a").rglob("*"))


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("dcmsend") is None, reason="DCMTK is not installed")
def test_dcmsend_of_dcmtk(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientID = CT, "1.2.3.4", "BAG"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    dataset.save_as(tmp_path / "in.dcm", enforce_file_format=True)
    (tmp_path / "out").mkdir()
    with provider("storescp", "-od", tmp_path / "out") as scp:
        command = ["dcmsend", "127.0.0.1", str(scp.port), str(tmp_path / "in.dcm")]
        assert subprocess.run(command, timeout=TIMEOUT).returncode == 0
        assert scp.stop().status == 0
    assert pydicom.dcmread(tmp_path / "out" / "1.2.3.4.dcm").PatientID == "BAG"


@carried
def test_what_is_no_data_set_is_not_stored(tmp_path: Path) -> None:
    other = dicom_file(tmp_path / "a.dcm", uid="1.2.9").read_bytes()
    data = other[other.index(b"\x08\0\x18\0") :]
    with provider("storescp", "-od", tmp_path) as scp, connect(("127.0.0.1", scp.port), CONTEXTS) as session:
        codes = [session.store(CT, "1.2.3", EXPLICIT, one).status for one in (b"\xff" * 99_998, data[:-2], data)]
        assert codes == [0xC000, 0xC000, 0xA900]
        assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]
        assert session.store(CT, "1.2.9", EXPLICIT, data).status == 0
        assert session.echo().status == 0


def test_everything_is_stored_where_nothing_is_checked(tmp_path: Path) -> None:
    private = "1.2.840.113619.5.2"
    with provider("storescp", "-od", tmp_path, "--no-check", "-x", private) as scp:
        with connect(("127.0.0.1", scp.port), propose([CT], (EXPLICIT,))) as session:
            assert session.store(CT, "1.2.3", EXPLICIT, b"\xff" * 1000).status == 0
        with connect(("127.0.0.1", scp.port), propose([CT], (private,))) as session:
            assert session.store(CT, "1.2.4", private, b"\xff" * 1000).status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.2.3.dcm", "1.2.4.dcm"]


def test_a_value_of_odd_length_is_padded_and_told(tmp_path: Path) -> None:
    body = b"\x08\0\x18\0UI\x06\x001.2.3\0" + b"\x10\0\x10\0PN\x05\0DOE^J"
    file = dicom_file(tmp_path / "a.dcm", data=body)
    (tmp_path / "out").mkdir()
    with provider("storescp", "-od", tmp_path / "out") as scp:
        result = dicos("storescu", "127.0.0.1", scp.port, file)
    assert result.status == 0
    assert "a.dcm: odd length of (0010,0010): padded [PS3.5 7.1.1]" in result.err
    assert (tmp_path / "out" / "1.2.3.dcm").read_bytes().endswith(b"PN\x06\0DOE^J ")

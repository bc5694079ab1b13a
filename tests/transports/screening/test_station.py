"""`dicos screen`: scans come in by three ways, each gets its report, and nothing that goes wrong costs a scan."""

import os
import shutil
import socket
import time
from pathlib import Path

import psutil
import pydicom
import pytest

pytest.importorskip("hypercorn")
from dicos_proto.dicos import TDR
from dicos_proto.registry import status, uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports import blocking
from dicos_transports.dicos import read_file, send, stamp
from tests.transports.cli.commands import dicos
from tests.transports.screening.stations import HERE, destination, environment, scan_file, station, until

NOTHING = ("--recogniser", "nothing")


def test_three_ways_lead_into_one_pipeline(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    with (
        destination() as goal,
        station(tmp_path / "s", *NOTHING, "--watch", watched, "--report-to", goal.name) as running,
    ):
        assert running.store(scan_file(tmp_path, 1)) == [0]
        answer = running.post(scan_file(tmp_path, 2).read_bytes())
        assert (answer.status_code, answer.json()) == (201, {"scan": 2, "error": None})
        dropped = scan_file(watched, 3)
        found = running.done(3)
        assert [scan["via"] for scan in found] == ["C-STORE", "HTTP", "folder"]
        assert [scan["ooi_id"] for scan in found] == ["BAG-0001", "BAG-0002", "BAG-0003"]
        assert {scan["decision"] for scan in found} == {"CLEAR"}
        assert sorted(goal.bags) == ["BAG-0001", "BAG-0002", "BAG-0003"]
        assert not dropped.exists()
        assert running.stop() == 0
    kept = sorted((tmp_path / "s" / "scans").iterdir())
    assert len(kept) == 3
    assert {pydicom.dcmread(path).PatientID for path in kept} == set(goal.bags)
    assert len(list((tmp_path / "s" / "pictures").iterdir())) == 3


def test_a_station_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with station(tmp_path / "s", *NOTHING) as running:
        running.store(scan_file(tmp_path, 1))
        before = running.done(1)
        running.stop()
    with station(tmp_path / "s", *NOTHING) as running:
        assert running.scans() == before
        running.store(scan_file(tmp_path, 2))
        assert [scan["id"] for scan in running.done(2)] == [1, 2]


def test_one_folder_has_one_station(tmp_path: Path) -> None:
    with station(tmp_path / "s", *NOTHING):
        second = dicos("screen", "0", "-od", tmp_path / "s", "--http", "0", *NOTHING, stdin=None)
    assert second.status == 2
    assert "another station uses this folder" in second.err


def test_two_objects_of_one_instance_uid_are_two_scans(tmp_path: Path) -> None:
    path = scan_file(tmp_path, 1)
    with destination() as goal, station(tmp_path / "s", *NOTHING, "--report-to", goal.name) as running:
        assert running.store(path, path) == [0, 0]
        found = running.done(2)
    assert len(found) == 2
    assert len(goal.reports) == 2
    assert len(list((tmp_path / "s" / "scans").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--watch", "s"), "in the folder of -od, which the station keeps for itself"),
        (("--watch", "s/scans"), "in the folder of -od, which the station keeps for itself"),
        (("--report-tls",), "--report-tls: there is no --report-to"),
    ],
)
def test_options_that_do_not_go_together(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s" / "scans").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    result = dicos("screen", "0", "-od", "s", "--http", "0", *words, stdin=None)
    assert result.status == 2
    assert said in result.err


# -- recognisers that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "ValueError in raises, recognisers.py line"),
        ("dies", "was killed by signal 9"),
        ("exits", "SystemExit"),
        ("answers_nonsense", "returned int in place of a list of threats"),
    ],
)
def test_a_recogniser_that_fails_costs_one_report(tmp_path: Path, name: str, reason: str) -> None:
    with destination() as goal:
        with station(tmp_path / "s", "--recogniser", f"{HERE}:{name}", "--report-to", goal.name) as running:
            running.store(scan_file(tmp_path, 1), scan_file(tmp_path, 2))
            found = running.done(2)
            assert {scan["state"] for scan in found} == {"aborted"}
            assert reason in found[0]["error"]
            assert "passenger" not in running.said
        assert {report.AbortFlag for report in goal.reports} == {"ABORT"}
        assert sorted(goal.bags) == ["BAG-0001", "BAG-0002"]


def test_a_recogniser_that_hangs_is_ended_at_its_deadline(tmp_path: Path) -> None:
    with destination() as goal:
        words = "--recogniser", f"{HERE}:hangs", "--deadline", "0.5", "--report-to", goal.name
        with station(tmp_path / "s", *words) as running:
            running.store(scan_file(tmp_path, 1), scan_file(tmp_path, 2))
            assert {scan["error"] for scan in running.done(2)} == {"no result within 0.5 s"}
            children = psutil.Process(running.process.pid).children()
            assert len(children) <= 2
        assert [report.AbortFlag for report in goal.reports] == ["ABORT", "ABORT"]


def test_a_process_that_dies_once_gets_a_second_chance(tmp_path: Path) -> None:
    mark = environment(STATION_MARK=tmp_path / "mark")
    with station(tmp_path / "s", "--recogniser", f"{HERE}:dies_once", environment=mark) as running:
        running.store(scan_file(tmp_path, 1))
        (scan,) = running.done(1)
        assert (scan["state"], scan["decision"], scan["error"]) == ("reported", "CLEAR", None)


def test_a_recogniser_may_print(tmp_path: Path) -> None:
    with station(tmp_path / "s", "--recogniser", f"{HERE}:prints") as running:
        running.store(scan_file(tmp_path, 1))
        assert running.done(1)[0]["state"] == "reported"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nobody", "no recogniser 'nobody': expected module:function or one of nothing, threshold"),
        ("no_module:f", "cannot be loaded: ModuleNotFoundError"),
        (f"{HERE}:not_callable", "is not callable"),
    ],
)
def test_a_recogniser_that_is_not_there_is_an_error_at_the_start(tmp_path: Path, name: str, reason: str) -> None:
    result = dicos("screen", "0", "-od", tmp_path / "s", "--http", "0", "--recogniser", name, stdin=None)
    assert result.status == 2
    assert reason in result.err


# -- bad objects -------------------------------------------------------------------------------------------------------


def bad_files(tmp_path: Path) -> dict[str, tuple[bytes, int, str]]:
    good = scan_file(tmp_path / "good", 9)
    whole = good.read_bytes()
    zero = pydicom.dcmread(good)
    zero.Rows = 0
    short = pydicom.dcmread(good)
    short.PixelData = short.PixelData[:100]
    bare = pydicom.dcmread(good)
    del bare.PixelData
    report = pydicom.dcmread(good)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = uids.DICOS_TDR

    def written(dataset: pydicom.Dataset) -> bytes:
        path = tmp_path / "made.dcs"
        dataset.save_as(path)
        return path.read_bytes()

    return {
        "truncated": (whole[:-100], 0xC000, "a value of 16384 bytes with 16284 left"),
        "text": (b"hello\n" * 100, 0xC000, "not a DICOM file"),
        "empty": (b"", 0xC000, "not a DICOM file"),
        "no rows": (written(zero), 0xA900, "(0028,0010) is missing or 0"),
        "few pixels": (written(short), 0xA900, "100 bytes of pixel data where 16384 are needed"),
        "no pixels": (written(bare), 0xA900, "no pixel data"),
        "a report": (written(report), 0x0122, "not a scan"),
    }


def test_bad_objects_by_http_are_refused_and_kept_aside(tmp_path: Path) -> None:
    with station(tmp_path / "s", *NOTHING) as running:
        files = bad_files(tmp_path)
        for content, _, _ in files.values():
            assert running.post(content).status_code == 422
        running.post(scan_file(tmp_path, 1).read_bytes())
        assert len(running.done(1)) == 1
        refused = {one["id"]: one for one in running.listing()["refused"]}
    assert [refused[number]["status"] for number in sorted(refused)] == [code for _, code, _ in files.values()]
    for number, (_, _, why) in zip(sorted(refused), files.values(), strict=True):
        assert why in refused[number]["why"]
    assert len(list((tmp_path / "s" / "aside").iterdir())) == len(files)
    assert len(list((tmp_path / "s" / "scans").iterdir())) == 1


def test_bad_objects_by_c_store_get_the_right_status(tmp_path: Path) -> None:
    contexts = propose([uids.DICOS_CT])
    whole = scan_file(tmp_path, 1).read_bytes()
    data = whole[whole.index(b"\x08\0\x05\0") :]
    uid = str(pydicom.dcmread(tmp_path / "bag1.dcs").SOPInstanceUID)
    with (
        station(tmp_path / "s", *NOTHING) as running,
        blocking.connect(("127.0.0.1", running.port), contexts) as session,
    ):

        def store(content: bytes, instance: str = uid) -> int:
            return session.store(uids.DICOS_CT, instance, uids.EXPLICIT_VR_LE, content).status

        assert store(data[:-50]) == status.CANNOT_UNDERSTAND
        assert store(b"\xff" * 500) == status.CANNOT_UNDERSTAND
        assert store(data, "1.2.3.4") == status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS
        assert store(data) == status.SUCCESS
        assert len(running.done(1)) == 1
        assert len(running.listing()["refused"]) == 3


def test_bad_files_in_a_watched_folder_are_put_aside(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    old = time.time() - 100
    with station(tmp_path / "s", *NOTHING, "--watch", watched) as running:
        (watched / "notes.txt").write_text("no scan")
        os.utime(watched / "notes.txt", (old, old))
        (watched / "half.part").write_text("still being written")
        (watched / "link.dcs").symlink_to("/etc/passwd")
        scan_file(watched, 1)
        running.done(1)
        assert sorted(path.name for path in watched.iterdir()) == ["half.part", "link.dcs", "notes.txt"]
    # The text may still become a scan: it is put aside after some seconds without a change.
    assert (watched / "notes.txt").exists()


def test_reports_are_negotiated_and_refused(tmp_path: Path) -> None:
    scanned = read_file(scan_file(tmp_path, 1))
    report = TDR.new(scanned, stamp=stamp())
    with (
        station(tmp_path / "s", *NOTHING) as running,
        blocking.connect(("127.0.0.1", running.port), propose([uids.DICOS_TDR])) as session,
    ):
        assert send(session, report).status == status.SOP_CLASS_NOT_SUPPORTED
        assert running.scans() == []


# -- destinations ------------------------------------------------------------------------------------------------------


def test_a_destination_that_is_down_gets_its_reports_later(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name = f"WORKSTATION@127.0.0.1:{port}"
    with (
        destination() as other,
        station(tmp_path / "s", *NOTHING, "--report-to", name, "--report-to", other.name) as running,
    ):
        running.store(scan_file(tmp_path, 1))
        until(lambda: other.reports)  # it does not wait for the one that is down

        def waits() -> bool:
            (scan,) = running.scans()
            return any(
                one["destination"] == name and one["attempts"] and "refused" in one["error"]
                for report in scan["reports"] for one in report["deliveries"]
            )  # fmt: skip

        until(waits)
        assert running.listing()["counts"]["undelivered"] == 1
        with destination(port) as goal:
            running.done(1)
            assert goal.bags == ["BAG-0001"]
            assert running.listing()["counts"]["undelivered"] == 0


def test_a_destination_that_refuses_is_asked_again(tmp_path: Path) -> None:
    with destination() as goal:
        answers = [0xA700, 0]
        goal.answer = lambda report: answers.pop(0)
        with station(tmp_path / "s", *NOTHING, "--report-to", goal.name) as running:
            running.store(scan_file(tmp_path, 1))
            running.done(1)
    assert (goal.bags, answers) == (["BAG-0001"], [])


# -- the disk ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system with room for 8 MB."""
    import subprocess

    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=False)
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    large = scan_file(tmp_path, 7, frames=64, rows=128, columns=128)  # 2 MB
    with destination() as goal:
        words = *NOTHING, "--report-to", goal.name, "--watch", watched
        with station(small_disk / "s", *words) as running:
            assert running.store(scan_file(tmp_path, 1)) == [0]
            running.done(1)
            filler = small_disk / "filler"
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(bytes(10 << 20))
            assert running.store(large) == [0xA700]
            answer = running.post(large.read_bytes())
            assert answer.status_code == 507
            assert answer.json()["error"] == "no space left on the disk of the station"
            dropped = scan_file(watched, 8, frames=64, rows=128, columns=128)
            until(lambda: "watched folder: No space left" in running.said)
            assert dropped.exists()
            assert len(running.scans()) == 1
            filler.unlink()
            running.done(2)
            assert not dropped.exists()
            assert running.store(scan_file(tmp_path, 3)) == [0]
            running.done(3)
            assert sorted(goal.bags) == ["BAG-0001", "BAG-0003", "BAG-0008"]
        assert [path for path in (small_disk / "s" / "scans").iterdir() if path.name.startswith(".")] == []


def test_a_disk_that_fills_up_after_a_scan_was_acknowledged_delays_its_report(tmp_path: Path, small_disk: Path) -> None:
    with (
        destination() as goal,
        station(small_disk / "s", "--recogniser", f"{HERE}:slow", "--report-to", goal.name) as running,
    ):
        filler = small_disk / "filler"
        assert running.store(scan_file(tmp_path, 1)) == [0]
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(10 << 20))
        until(lambda: "no space left" in running.said.lower())
        assert goal.reports == []
        filler.unlink()
        running.done(1)
        assert goal.bags == ["BAG-0001"]


# -- size and memory ---------------------------------------------------------------------------------------------------


def test_a_scan_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = scan_file(tmp_path, 1)
    with station(tmp_path / "s", *NOTHING, "--max-object", 10_000) as running:
        assert running.store(path) == [0xA700]
        content = path.read_bytes()
        assert running.post(content).status_code == 413
        assert running.post(iter([content[:5000], content[5000:]])).status_code == 413  # chunked, without a length
        assert running.scans() == []
        assert list((tmp_path / "s" / "scans").iterdir()) == []


@pytest.mark.slow  # 300 MB
def test_a_large_upload_takes_little_memory_and_is_reported_at_once(tmp_path: Path) -> None:
    path = scan_file(tmp_path, 1, frames=600, rows=512, columns=512)
    with destination() as goal, station(tmp_path / "s", *NOTHING, "--report-to", goal.name) as running:
        running.store(scan_file(tmp_path, 2))
        until(lambda: goal.reports)
        process = psutil.Process(running.process.pid)
        before = process.memory_info().rss

        def pieces():  # type: ignore[no-untyped-def]
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    yield piece

        assert running.post(pieces()).status_code == 201
        grown = process.memory_info().rss - before
        assert grown < 80e6
        assert running.store(path) == [0]
        until(lambda: len(goal.reports) == 3)
        found = running.done(3)
        times = [scan["reports"][0]["deliveries"][0]["sent"] - scan["received"] for scan in found]
        print("from the last byte to the report sent:", times)
        assert max(times[1:]) < 2  # 50 ms on a machine that does nothing else: benchmarks
        assert running.client.get(f"{running.url}/health").json() == {"ok": True}

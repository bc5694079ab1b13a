"""The memory of the helper processes is bounded: neither a scan nor a recogniser can take more."""

import struct
from collections.abc import Callable
from pathlib import Path

import psutil
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

pytest.importorskip("hypercorn")
from dicos_transports.files.part10 import Part10Error
from dicos_transports.screening import header
from tests.transports.screening.stations import HERE, Running, destination, scan_file, station


def bomb(folder: Path, *, rows: int, columns: int, frames: int) -> Path:
    """A small CT in RLE, whose voxels are all 0, with as many of them as wanted."""
    path = scan_file(folder, 1, frames=1)
    plane = b"\x81\0" * (rows * columns // 128)
    frame = struct.pack("<16L", 2, 64, 64 + len(plane), *[0] * 13) + plane * 2
    dataset = pydicom.dcmread(path)
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = rows, columns, frames
    dataset.PixelData = encapsulate([frame] * frames, has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.save_as(path)
    return path


def most_of_helpers(running: Running, work: Callable[[], object]) -> int:
    """The largest memory that a helper process has had after the work."""
    work()
    largest = 0
    for one in psutil.Process(running.process.pid).children():
        status = Path(f"/proc/{one.pid}/status").read_text()
        largest = max(largest, int(status.partition("VmHWM:")[2].split()[0]) * 1024)
    return largest


@pytest.mark.parametrize("name", ["looks", "threshold"])
def test_a_small_scan_of_huge_pixels_is_not_decompressed(tmp_path: Path, name: str) -> None:
    path = bomb(tmp_path, rows=4096, columns=4096, frames=40)  # 1.3 GB out of 21 MB
    assert path.stat().st_size < 25e6
    with destination() as goal:
        recogniser = name if name == "threshold" else f"{HERE}:{name}"
        with station(tmp_path / "s", "--recogniser", recogniser, "--report-to", goal.name) as running:
            assert running.post(path.read_bytes()).status_code == 201
            assert most_of_helpers(running, lambda: running.done(1)) < 300e6
            (scan,) = running.scans()
    assert (scan["state"], scan["picture"]) == ("aborted", False)
    assert "--max-pixels" in scan["error"]
    assert [(one.AbortFlag, one.AbortReason) for one in goal.reports] == [("ABORT", "UNKNOWN_DATATYPE")]


def test_the_limit_on_pixels_is_an_option(tmp_path: Path) -> None:
    path = bomb(tmp_path, rows=32, columns=32, frames=4)
    for limit, state in ((8191, "aborted"), (8192, "reported")):
        words = "--recogniser", f"{HERE}:looks", "--max-pixels", limit
        with station(tmp_path / str(limit), *words) as running:
            assert running.post(path.read_bytes()).status_code == 201
            (scan,) = running.done(1)
            assert scan["state"] == state, scan["error"]


def test_a_recogniser_gets_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    words = "--recogniser", f"{HERE}:devours", "--max-memory", 500_000_000
    with station(tmp_path / "s", *words) as running:
        running.store(scan_file(tmp_path, 1))
        assert most_of_helpers(running, lambda: running.done(1)) < 600e6
        (scan,) = running.scans()
    assert (scan["state"], scan["error"]) == ("aborted", "out of memory (--max-memory)")


def test_a_heading_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scan_file(tmp_path, 1)
    dataset = pydicom.dcmread(path)
    more = Dataset()
    more.add_new(0x00091001, "OB", bytes(5_000_000))
    dataset.update(more)
    dataset.save_as(path)
    assert header.read_heading(path).PatientID == "BAG-0001"
    monkeypatch.setattr(header, "MOST_BEFORE", 100_000)
    with pytest.raises(Part10Error, match="more than 100000 bytes before"):
        header.read_heading(path)

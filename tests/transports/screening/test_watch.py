"""A watched folder: no file, whatever its name or content, keeps the station from the files after it."""

import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicos_transports.files import inspect
from dicos_transports.screening import Settings, Station, header, intake
from dicos_transports.screening.header import NotAScan, read_header
from dicos_transports.screening.intake import Watch
from tests.transports.screening.stations import scan_file, station, until

ODD = b"a-bag\xff.dcs"


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Station]:
    """A station whose threads do not run."""
    with Station(Settings(folder=tmp_path / "s", recogniser="nothing")) as found:
        yield found


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    folder = tmp_path / "watched"
    folder.mkdir()
    return folder


def aged(path: Path) -> Path:
    """The file, unchanged for long."""
    os.utime(path, (0, time.time() - 100))
    return path


@pytest.fixture(autouse=True)
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "quiet" in request.fixturenames:
        monkeypatch.setattr(intake, "STABLE", -1.0)
        monkeypatch.setattr(intake, "PATIENCE", -1.0)


def odd_name(folder: Path, name: bytes) -> Path:
    return folder / os.fsdecode(name)


def test_a_name_that_is_not_utf_8_does_not_end_the_watch(tmp_path: Path, watched: Path) -> None:
    made = scan_file(tmp_path, 1)
    with station(tmp_path / "s", "--recogniser", "nothing", "--watch", watched) as running:
        made.rename(odd_name(watched, ODD))
        assert running.done(1)[0]["source"] == "a-bag\N{REPLACEMENT CHARACTER}.dcs"
        scan_file(watched, 2)
        assert [scan["ooi_id"] for scan in running.done(2)] == ["BAG-0001", "BAG-0002"]
        assert list(watched.iterdir()) == []
        assert running.client.get(f"{running.url}/health").json() == {"ok": True}


@pytest.mark.parametrize("name", [ODD, b"x" * 250, "\u00e4".encode() * 125, b"line\nbreak", b"a." + b"b" * 250])
def test_any_name_is_taken_or_put_aside(quiet: Station, watched: Path, tmp_path: Path, name: bytes) -> None:
    watch = Watch(quiet.intake, watched)
    odd_name(watched, name).write_text("no scan")
    assert watch.look() == 0
    assert [path.read_text() for path in quiet.folder.aside.iterdir()] == ["no scan"]
    scan_file(tmp_path, 1).rename(odd_name(watched, name))
    assert watch.look() == 1
    assert list(watched.iterdir()) == []
    assert len(quiet.index.refusals(0, 10)) == quiet.index.counts()["scans"] == 1


@pytest.mark.parametrize(("fault", "aside"), [(ValueError, True), (PermissionError, False)])
def test_a_fault_of_one_file_costs_no_other(
    quiet: Station, watched: Path, monkeypatch: pytest.MonkeyPatch, fault: type[Exception], aside: bool
) -> None:
    scan_file(watched, 1)
    scan_file(watched, 2)
    read = intake.read_header

    def faulty(path: Path, **options: bool) -> object:
        if path.name == "bag1.dcs":
            raise fault("a text that quotes the scan")
        return read(path, **options)

    monkeypatch.setattr(intake, "read_header", faulty)
    watch = Watch(quiet.intake, watched)
    assert watch.look() == 1
    assert (watched / "bag1.dcs").exists() is not aside
    assert [one["why"] for one in quiet.index.refusals(0, 10)] == ([fault.__name__] if aside else [])
    monkeypatch.setattr(intake, "read_header", read)
    assert watch.look() == 0  # it is left alone for a while
    if not aside:
        aged(watched / "bag1.dcs")
    assert watch.look() == (not aside)  # it is another file now


def test_a_thread_that_has_ended_is_told(quiet: Station, watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(watch: Watch) -> None:
        return

    monkeypatch.setattr(Watch, "_run", ends)
    watch = Watch(quiet.intake, watched)
    quiet._watches.append(watch)
    assert quiet.stopped() == []
    watch.start()
    until(lambda: quiet.stopped() == ["watch"])
    watch.close()
    assert quiet.stopped() == []


def test_a_fault_of_the_look_does_not_end_the_thread(
    quiet: Station, watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def look(watch: Watch) -> int:
        looks.append(1)
        raise RuntimeError("nobody expects it")

    monkeypatch.setattr(Watch, "look", look)
    watch = Watch(quiet.intake, watched, wait=lambda seconds: len(looks) > 3)
    watch.start()
    until(lambda: len(looks) > 3)
    watch.close()


def test_no_file_of_others_is_mapped(
    quiet: Station, watched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer may cut it short, also after it has been moved to `scans`; a mapped one would end the station."""

    def mapped(*words: object, **options: object) -> None:
        raise AssertionError("a file is mapped into memory")

    monkeypatch.setattr(mmap, "mmap", mapped)
    scan_file(watched, 1)
    assert Watch(quiet.intake, watched).look() == 1
    scan_file(quiet.folder.scans, 2)
    assert quiet.intake.adopt() == 1


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scan_file(tmp_path, 1)
    pread, begin = os.pread, inspect(path).data_offset

    def cuts(fd: int, size: int, at: int) -> bytes:
        if at == begin and size < path.stat().st_size:
            os.truncate(path, begin + 1000)
        return pread(fd, size, at)

    monkeypatch.setattr(header.os, "pread", cuts)
    with pytest.raises(NotAScan, match=r"cannot be read|cut short"):
        read_header(path)

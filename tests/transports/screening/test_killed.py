"""kill -9 at any point: every acknowledged scan is there after a restart, and every one is reported."""

import random
import threading
import time
from pathlib import Path

import httpx2
import pytest

pytest.importorskip("hypercorn")
from dicos_proto.conversation.flows import AssociationError
from tests.transports.screening.stations import (
    HERE,
    Running,
    destination,
    environment,
    scan_file,
    station,
    until,
)

NOTHING = ("--recogniser", "nothing")


def test_killed_in_the_middle_of_a_recognition(tmp_path: Path) -> None:
    mark = environment(STATION_MARK=tmp_path / "mark")
    with destination() as goal:
        words = "--recogniser", f"{HERE}:kills_station_once", "--report-to", goal.name
        with station(tmp_path / "s", *words, environment=mark) as running:
            assert running.store(scan_file(tmp_path, 1)) == [0]
            assert running.process.wait(60) == -9
        with station(tmp_path / "s", *words, environment=mark) as running:
            assert running.done(1)[0]["state"] == "reported"
            assert "1 jobs of an earlier process continue" in running.said
        assert goal.bags == ["BAG-0001"]


def test_killed_while_a_report_is_sent(tmp_path: Path) -> None:
    with destination() as goal:
        words = *NOTHING, "--report-to", goal.name
        with station(tmp_path / "s", *words) as running:

            def kill(report: object) -> int:
                goal.answer = lambda report: 0
                running.kill()
                return 0

            goal.answer = kill
            assert running.store(scan_file(tmp_path, 1)) == [0]
            assert running.process.wait(60) == -9
        with station(tmp_path / "s", *words) as running:
            running.done(1)
        assert goal.bags == ["BAG-0001", "BAG-0001"]
        assert goal.reports[0] == goal.reports[1]  # the same report, under the same UID


def test_killed_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    content = scan_file(tmp_path, 1).read_bytes()
    with station(tmp_path / "s", *NOTHING) as running:

        def pieces():  # type: ignore[no-untyped-def]
            yield content[:5000]
            until(lambda: list((tmp_path / "s" / "scans").iterdir()))
            running.kill()
            yield content[5000:]

        with pytest.raises(httpx2.TransportError):
            running.post(pieces())
    with station(tmp_path / "s", *NOTHING) as running:
        assert running.scans() == []
        assert list((tmp_path / "s" / "scans").iterdir()) == []
        assert running.post(content).status_code == 201


def test_killed_between_the_file_and_its_record(tmp_path: Path) -> None:
    with destination() as goal:
        words = *NOTHING, "--report-to", goal.name
        with station(tmp_path / "s", *words) as running:
            running.stop()
        scan_file(tmp_path / "s" / "scans", 1)
        (tmp_path / "s" / "scans" / "text.dcs").write_text("no scan")
        with station(tmp_path / "s", *words) as running:
            assert running.done(1)[0]["via"] == "restart"
            assert len(running.listing()["refused"]) == 1
            assert goal.bags == ["BAG-0001"]


def test_reports_that_did_not_become_valid_are_removed(tmp_path: Path) -> None:
    with station(tmp_path / "s", *NOTHING) as running:
        running.store(scan_file(tmp_path, 1))
        running.done(1)
        running.stop()
    reports = tmp_path / "s" / "reports"
    (valid,) = reports.iterdir()
    (reports / "machine-0.dcs").write_text("left over")
    (reports / ".dicos-00000000-0000000000000000.part").write_text("left over")
    with station(tmp_path / "s", *NOTHING):
        assert list(reports.iterdir()) == [valid]


class Senders:
    """Sends scans by all three ways, also while the station is down, and remembers which were acknowledged."""

    def __init__(self, folder: Path, watched: Path) -> None:
        self.folder = folder
        self.watched = watched
        self.acknowledged: set[str] = set()
        self.running: Running | None = None
        self.ended = False
        self._number = 100
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._send, args=(way,)) for way in (self._store, self._post, self._drop)
        ]

    def __enter__(self) -> "Senders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True
        for thread in self._threads:
            thread.join()

    def _next(self) -> tuple[int, str]:
        with self._lock:
            self._number += 1
            return self._number, f"BAG-{self._number:04d}"

    def _send(self, way) -> None:  # type: ignore[no-untyped-def]
        while not self.ended:
            number, bag = self._next()
            running = self.running
            if running is not None and way(running, number):
                self.acknowledged.add(bag)
            time.sleep(0.08)

    def _store(self, running: Running, number: int) -> bool:
        path = scan_file(self.folder, number)
        try:
            return running.store(path) == [0]
        except (AssociationError, OSError):
            return False

    def _post(self, running: Running, number: int) -> bool:
        try:
            return running.post(scan_file(self.folder, number).read_bytes()).status_code == 201
        except (httpx2.HTTPError, RuntimeError):  # RuntimeError: the client is closed
            return False

    def _drop(self, running: Running, number: int) -> bool:
        made = scan_file(self.folder, number)
        target = self.watched / made.name
        made.rename(target)
        while target.exists() and not self.ended:
            time.sleep(0.01)
        return not target.exists()


@pytest.mark.slow  # starts the command six times
def test_killed_at_random_points(tmp_path: Path) -> None:
    chance = random.Random(13)
    watched = tmp_path / "watched"
    watched.mkdir()
    with destination() as goal:
        words = "--recogniser", f"{HERE}:slow", "--report-to", goal.name, "--watch", watched, "--workers", 2
        with Senders(tmp_path / "sent", watched) as senders:
            for _ in range(5):
                with station(tmp_path / "s", *words) as running:
                    senders.running = running
                    time.sleep(chance.uniform(0.1, 1.8))
                    running.kill()
        assert len(senders.acknowledged) > 10
        with station(tmp_path / "s", *words) as running:
            until(lambda: running.listing()["counts"]["undelivered"] == running.listing()["counts"]["waiting"] == 0)
            found: list[dict[str, object]] = []
            before = 1 << 40
            while more := running.client.get(f"{running.url}/scans?before={before}").json()["scans"]:
                found += more
                before = min(scan["id"] for scan in more)
    present = {scan["ooi_id"] for scan in found}
    assert senders.acknowledged <= present
    assert present <= set(goal.bags)
    assert {scan["state"] for scan in found} == {"reported"}
    assert list((tmp_path / "s" / "scans").rglob(".*")) == []

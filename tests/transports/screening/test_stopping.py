"""SIGTERM ends a station in bounded time, although peers, recognisers and destinations keep it waiting."""

import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

pytest.importorskip("hypercorn")
from dicos_transports.screening import Settings, Station
from dicos_transports.screening import station as stations
from dicos_transports.screening.helper import Helper, HelperStopped
from tests.transports.screening.stations import HERE, scan_file, station, until

SOON = 15.0


def stalled_upload(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(
        b"POST /scans HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\nContent-Length: 9999\r\n\r\n"
        + bytes(100)
    )
    return made


@pytest.mark.parametrize("accepts", [True, False])
def test_a_station_that_everybody_keeps_waiting(tmp_path: Path, accepts: bool) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    with ExitStack() as stack:
        dead = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=8 if accepts else 0))
        if not accepts:  # nobody gets further than the first packet of a connection
            for _ in range(3):
                full = stack.enter_context(socket.socket())
                full.setblocking(False)
                full.connect_ex(dead.getsockname())
        name = f"WORKSTATION@127.0.0.1:{dead.getsockname()[1]}"
        words = "--report-to", name, "--recogniser", f"{HERE}:some", "--grace", 1, "--watch", watched
        running = stack.enter_context(station(tmp_path / "s", *words))
        running.store(scan_file(tmp_path, 1))
        until(lambda: running.scans()[0]["reports"])
        for _ in range(4):
            stack.enter_context(stalled_upload(running.http))
            half = stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            half.sendall(b"\1\0\0\0")
        scan_file(watched, 2)
        helpers = psutil.Process(running.process.pid).children()
        begun = time.monotonic()
        running.stop()
        assert time.monotonic() - begun < SOON
        until(lambda: not any(one.is_running() for one in helpers))
        assert "took too long" not in running.said
    with station(tmp_path / "s", "--recogniser", "nothing") as running:
        until(lambda: len(running.scans()) >= 1)


def test_a_recognition_does_not_delay_the_end(tmp_path: Path) -> None:
    with station(tmp_path / "s", "--recogniser", f"{HERE}:hangs", "--grace", 1) as running:
        running.store(scan_file(tmp_path, 1))
        begun = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begun < SOON


def test_a_process_that_is_started_while_the_station_stops_is_not_waited_for() -> None:
    """`close` may come between the look whether it is stopping and the start of the process."""
    helper = Helper("4000000000", "1000000000", "recogniser", f"{HERE}:hangs")
    started, found = threading.Event(), []
    ended = type(helper)._end

    class Late(Helper):
        def _end(self) -> None:
            started.set()
            until(lambda: self._stopping)
            time.sleep(0.2)
            ended(self)

    helper.__class__ = Late

    def ask() -> None:
        try:
            helper.ask(120.0, do="recognise", scan="/nothing", report="/nothing")
        except HelperStopped:
            found.append("stopped")

    thread = threading.Thread(target=ask)
    thread.start()
    started.wait()
    begun = time.monotonic()
    helper.close()
    thread.join(SOON)
    assert found == ["stopped"]
    assert time.monotonic() - begun < SOON
    assert helper._process is None


def test_a_thread_that_does_not_end_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stations, "CLOSING", 0.5)
    found = Station(Settings(folder=tmp_path / "s", recogniser="nothing"))
    ever = threading.Event()
    found._threads.append(threading.Thread(target=ever.wait, name="deliver X", daemon=True))
    found._threads[0].start()
    held = threading.Event()

    def hold() -> None:
        with found.index._lock:
            held.set()
            ever.wait()

    holding = threading.Thread(target=hold)
    holding.start()
    held.wait()
    begun = time.monotonic()
    found.close()
    assert time.monotonic() - begun < 5
    ever.set()
    holding.join()
    found.index.close()


def test_the_process_is_ended_if_nothing_else_helps(tmp_path: Path) -> None:
    """A thread that the interpreter waits for at its end, which is a fault that nobody has thought of."""
    code = (
        "import sys, threading\n"
        "from dicos_transports.cli.commands import screen\n"
        "screen.AFTER_GRACE = 0.5\n"
        "class Out:\n"
        "    def failure(self, text): print(text, flush=True)\n"
        "bound = screen._Bound(0.5, Out())\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "bound.start()\n"
        "bound.end()\n"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "stopping took too long" in done.stdout

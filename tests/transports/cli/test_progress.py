"""The progress bar: on a terminal, when the work is long; never elsewhere, never with -q."""

import os
import pty
import subprocess
import threading
from pathlib import Path

from dicos_transports.blocking import Session, StoreRequest
from tests.transports.cli.commands import COMMAND, ENVIRONMENT, TIMEOUT, dicom_file, dicos
from tests.transports.connections import answer_all, server


def send_on_a_terminal(path: Path, *flags: str, until: bytes) -> str:
    """Return storescu's output on a terminal; the peer is slow until `until` is printed."""
    seen = threading.Event()

    def slow(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            for _ in request.data():
                seen.wait(0.02)
            request.respond()

    master, slave = pty.openpty()
    shown = b""
    with server(slow) as running:
        words = [*COMMAND, "storescu", *flags, "127.0.0.1", str(running.port), str(path)]
        with subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=slave) as process:
            os.close(slave)
            while True:
                try:
                    data = os.read(master, 4096)
                except OSError:  # Linux raises this when the last writer of a terminal has closed it
                    break
                if not data:
                    break
                shown += data
                if until in shown:
                    seen.set()
            assert process.wait(TIMEOUT) == 0
    os.close(master)
    return shown.decode()


def test_a_long_transfer_shows_a_bar_and_takes_it_away_again(tmp_path: Path) -> None:
    file = dicom_file(tmp_path / "large.dcm", pixels=24 << 20)
    shown = send_on_a_terminal(file, until=b"%")
    assert "%  " in shown
    assert "of 25.2 MB" in shown
    last = shown.rpartition("\r\x1b[K")[2]
    assert last.startswith("stored 1 of 1 file, 25.2 MB")
    assert "[" not in last


def test_no_bar_with_q(tmp_path: Path) -> None:
    file = dicom_file(tmp_path / "large.dcm", pixels=6 << 20)
    assert send_on_a_terminal(file, "-q", until=b"%") == ""


def test_progress_that_is_asked_for_is_lines_where_no_terminal_is(tmp_path: Path) -> None:
    file = dicom_file(tmp_path / "large.dcm", pixels=6 << 20)
    with server(answer_all) as running:
        lines = dicos("storescu", "--progress", "127.0.0.1", running.port, file).err.splitlines()
        (only,) = dicos("storescu", "127.0.0.1", running.port, file).err.splitlines()
    tenths = [int(line.split("%")[0]) // 10 for line in lines[:-1]]
    assert tenths == list(range(1, 11))
    assert only.startswith("stored 1 of 1 file")
    assert lines[-1].startswith("stored 1 of 1 file")

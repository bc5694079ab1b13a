"""Unfinished files of a killed provider are removed by the next command that stores in the same folder."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dicos_transports.files import temporary
from tests.transports.cli.commands import TIMEOUT, dicom_file, dicos, provider
from tests.transports.cli.raw_peers import half_an_object
from tests.transports.sessions.test_stale_parts import DAY, EARLIER_RELEASE, aged, names


def test_the_next_start_removes_what_a_kill_left_and_nothing_of_a_living_provider(
    transport: str, tmp_path: Path
) -> None:
    with (
        provider("storescp", "-od", tmp_path) as living,
        provider("storescp", "-od", tmp_path) as killed,
        half_an_object(living.port) as go_on,
        half_an_object(killed.port),
    ):
        _wait_for(tmp_path, 2)
        killed.process.kill()
        killed.process.wait(TIMEOUT)
        with provider("storescp", "-od", tmp_path) as again:
            assert len(names(tmp_path)) == 1
            assert "1 unfinished file of a process that was killed removed" in again.stop().err
        assert go_on() == 0
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["1.2.3.dcm"]
    assert len(names(tmp_path)) == 1


@pytest.mark.parametrize(
    "words", [("getscu", "127.0.0.1", 1), ("movescu", "127.0.0.1", 1, "--store-port", 0), ("movescu", "127.0.0.1", 1)]
)
def test_those_that_fetch_do_so_too(tmp_path: Path, words: tuple[object, ...]) -> None:
    """A move without a provider does not look for them."""
    aged(tmp_path / EARLIER_RELEASE, 2 * DAY)
    dicos(*words, "-S", "-L", "STUDY", "-k", "StudyInstanceUID=1.2", "-od", tmp_path)
    assert names(tmp_path) == ([] if "getscu" in words or "--store-port" in words else [EARLIER_RELEASE])


def test_storescu_does_not_send_unfinished_files(tmp_path: Path) -> None:
    dicom_file(tmp_path / temporary.hidden_name())
    dicom_file(tmp_path / "a.dcm")
    with provider("storescp", "--ignore") as scp:
        result = dicos("storescu", "--json", "-r", "127.0.0.1", scp.port, tmp_path)
    assert (result.status, result.named("summary")[0]["stored"]) == (0, 1)


def _wait_for(folder: Path, count: int) -> None:
    end = time.monotonic() + TIMEOUT
    while len(names(folder)) < count or any((folder / name).stat().st_size < 50_000 for name in names(folder)):
        assert time.monotonic() < end, names(folder)
        time.sleep(0.01)

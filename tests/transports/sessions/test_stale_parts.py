"""Hidden files of killed processes are removed; those of writers that live, and what is none, never are."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicos_transports.files import temporary
from dicos_transports.files.temporary import remove_stale_parts
from dicos_transports.files.writer import Part10Writer
from tests.transports.cli.commands import ENVIRONMENT, TIMEOUT
from tests.transports.connections import CT, EXPLICIT

DAY = 24 * 3600.0
OTHER_KERNEL = ".dicos-00000000-0123456789abcdef.part"
EARLIER_RELEASE = ".dicos-0123456789abcdef.part"

WRITING = """
    import sys
    from pathlib import Path
    from dicos_transports.files.writer import Part10Writer

    writer = Part10Writer.create(Path(sys.argv[1]), sop_class_uid="1.2", sop_instance_uid=sys.argv[2],
                                 transfer_syntax="1.2.840.10008.1.2")
    writer.write(bytes(200_000))
    print("writing", flush=True)
    sys.stdin.readline()
    print(writer.commit().name, flush=True)
"""


@contextmanager
def writing(folder: Path, uid: str = "1.2.3") -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of an object, which it completes when it reads a line."""
    command = [sys.executable, "-c", textwrap.dedent(WRITING), str(folder), uid]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> str:
    return process.communicate("go on\n", TIMEOUT)[0].strip()


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def aged(path: Path, seconds: float) -> Path:
    path.write_bytes(b"x")
    when = time.time() - seconds
    os.utime(path, (when, when))
    return path


def test_what_a_killed_process_has_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    with writing(tmp_path, "1.2.1") as killed, writing(tmp_path, "1.2.2") as first, writing(tmp_path, "1.2.3") as other:
        assert remove_stale_parts(tmp_path) == 0
        assert len(names(tmp_path)) == 3
        killed.kill()
        killed.wait(TIMEOUT)
        assert remove_stale_parts(tmp_path) == 1
        assert remove_stale_parts(tmp_path) == 0
        assert (finish(first), finish(other)) == ("1.2.2.dcm", "1.2.3.dcm")
    assert names(tmp_path) == ["1.2.2.dcm", "1.2.3.dcm"]


def test_a_writer_of_the_same_process_is_respected_up_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is held until the file has its name."""
    for system_call in ("link", "replace", "fsync", "ftruncate"):
        real = getattr(os, system_call)

        def meanwhile(*arguments: object, real: object = real) -> object:
            assert remove_stale_parts(tmp_path, older_than=0) == 0
            return real(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(os, system_call, meanwhile)
    for overwrite in (False, True):
        with Part10Writer.create(tmp_path, sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=EXPLICIT) as one:
            one.write(bytes(100_000))
            assert remove_stale_parts(tmp_path, older_than=0) == 0
            assert one.commit(overwrite=overwrite, fsync=True).name == "1.2.dcm"
    assert names(tmp_path) == ["1.2.dcm"]


def test_a_file_that_is_taken_for_stale_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = fcntl.flock, []

    def late(fd: int, operation: int) -> None:
        """As when the writer is held up between making the file and locking it."""
        if not removed:
            removed.append(0)  # the call below locks, too
            removed[0] = remove_stale_parts(tmp_path)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    writer = Part10Writer.create(tmp_path, sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=EXPLICIT)
    writer.write(b"\x08\0\x60\0CS\2\0CT")
    assert (removed, writer.commit().name) == ([1], "1.2.dcm")
    assert names(tmp_path) == ["1.2.dcm"]


def test_only_regular_files_of_such_a_name_are_removed(tmp_path: Path) -> None:
    parts = (
        ".dicos-.part", ".dicos-xyz.part", ".dicos-0123456789ABCDEF.part", "dicos-0123456789abcdef.part",
        ".dicos-0123456789abcdef.part2", ".dicos-0123456789abcdef.part\n", "1.2.3.dcm",
        ".dicos-1-0123456789abcdef.part",
    )  # fmt: skip
    for name in parts:
        aged(tmp_path / name, 100 * DAY)
    (tmp_path / ".dicos-1111111111111111.part").mkdir()
    os.mkfifo(tmp_path / ".dicos-2222222222222222.part")
    (tmp_path / ".dicos-3333333333333333.part").symlink_to(tmp_path / "1.2.3.dcm")
    before = names(tmp_path)
    aged(tmp_path / EARLIER_RELEASE, 2 * DAY)
    aged(tmp_path / OTHER_KERNEL, 2 * DAY)
    assert remove_stale_parts(tmp_path) == 2
    assert names(tmp_path) == before


@pytest.mark.parametrize(("age", "removed"), [(DAY - 60, 0), (DAY + 60, 1), (-DAY, 0)])
def test_files_of_a_release_that_took_no_locks_are_removed_by_age(tmp_path: Path, age: float, removed: int) -> None:
    aged(tmp_path / EARLIER_RELEASE, age)
    assert remove_stale_parts(tmp_path) == removed


def test_age_and_lock_decide_together_where_another_host_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_LOCAL", frozenset())  # as on a file system of a network
    other = aged(tmp_path / OTHER_KERNEL, 60)
    own = aged(tmp_path / temporary.hidden_name(), 60)
    assert remove_stale_parts(tmp_path) == 1
    assert not own.exists()
    with open(aged(other, 2 * DAY), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert remove_stale_parts(tmp_path) == 0
    assert remove_stale_parts(tmp_path) == 1


def test_without_locks_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with Part10Writer.create(tmp_path, sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=EXPLICIT) as writer:
        writer.write(bytes(10))
        assert remove_stale_parts(tmp_path) == 0
        assert writer.commit().name == "1.2.dcm"
    stale = aged(tmp_path / temporary.hidden_name(), DAY + 60)
    aged(tmp_path / temporary.hidden_name(), DAY - 60)
    assert remove_stale_parts(tmp_path) == 1
    assert not stale.exists()


def test_a_large_folder_is_looked_through_in_bounded_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30_000):
        os.close(os.open(tmp_path / f"1.2.{number}.dcm", os.O_CREAT | os.O_WRONLY))
    looked_at = 0
    real = os.lstat

    def counted(*arguments: object, **more: object) -> object:
        nonlocal looked_at
        looked_at += 1
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "lstat", counted)
    begun = time.process_time()
    assert remove_stale_parts(tmp_path) == 0
    assert (looked_at, time.process_time() - begun < 2) == (0, True)
    monkeypatch.setattr(temporary, "STALE_AT_ONCE", 5)
    for _ in range(8):
        aged(tmp_path / temporary.hidden_name(), 0)
    assert [remove_stale_parts(tmp_path) for _ in range(3)] == [5, 3, 0]


def test_a_folder_that_cannot_be_read_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remove_stale_parts(tmp_path / "missing")

"""A log file that is followed: from its end, through rotation, in bounded reads; and its complaints in a campaign."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dicos_fuzz.campaign import log_file
from dicos_fuzz.campaign.log_file import LogFile
from dicos_fuzz.campaign.watching import CannotStart, Watched

DEAD = (
    "Exception in thread Thread-7:\nTraceback (most recent call last):\n"
    '  File "/x/fsm.py", line 9, in do_action\n    boom\nKeyError: 9\n\n'
)


def test_only_what_is_written_from_now_on_counts(tmp_path: Path) -> None:
    path = tmp_path / "peer.log"
    path.write_text("before\nhalf")
    followed = LogFile(path)
    assert [*followed.lines()] == []
    with path.open("a") as file:
        file.write(" a line\r\nwhole\nnot yet")
        file.flush()
        assert [*followed.lines()] == [" a line", "whole"]
        file.write(" now\n")
    assert [*followed.lines()] == ["not yet now"]


def test_a_file_that_comes_later_or_is_rotated_or_cut_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "peer.log"
    followed = LogFile(path)
    assert [*followed.lines()] == []
    path.write_text("one\ntwo\n")
    assert [*followed.lines()] == ["one", "two"]
    path.rename(tmp_path / "peer.log.1")
    assert [*followed.lines()] == []
    path.write_text("three and more than before\n")
    assert [*followed.lines()] == ["three and more than before"]
    os.truncate(path, 0)
    path.write_text("four\n")
    assert [*followed.lines()] == ["four"]


def test_a_look_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MOST", 100)
    path = tmp_path / "peer.log"
    followed = LogFile(path)
    path.write_text("".join(f"line {number:04}\n" for number in range(1000)))
    assert [*followed.lines()][-1] == "line 0999"
    with path.open("a") as file:
        file.write("x" * 1000)
    assert [*followed.lines()] == []
    assert len(followed._rest) <= 100


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"logs: is a directory"):
        Watched(pid=os.getpid(), log=_folder(tmp_path / "logs"))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_log_of_a_running_process_is_watched(tmp_path: Path) -> None:
    path = tmp_path / "peer.log"
    with Watched(pid=os.getpid(), log=path) as watched:
        path.write_text(DEAD)
        assert [(one.kind, one.what) for one in watched.complaints()] == [
            ("dead-thread", "KeyError in fsm.py do_action")
        ]
        assert watched.complaints() == []
        assert watched.tail(2) == ("KeyError: 9", "")


def test_a_command_that_logs_into_a_file_is_watched_too(tmp_path: Path) -> None:
    path = tmp_path / "peer.log"
    program = f"import time; open({str(path)!r}, 'w').write({DEAD!r}); time.sleep(60)"
    with Watched(command=[sys.executable, "-c", program], log=path, ready=path.exists) as watched:
        watched.start()
        found = []
        while not found:
            found = watched.complaints()
    assert found[0].kind == "dead-thread"

"""Files: the oracle notices the name of a file that leads out of its folder, or cannot be one."""

from __future__ import annotations

import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicos_fuzz.inside.targets import TARGETS, files
from tests.fuzz.inside.planted import Planted

FILE = next(iter(TARGETS["part10"].seeds()))


@pytest.mark.parametrize("name", [("../1.2.3", ".dcm"), ("", ""), ("", "."), (".", "."), ("1.2\0", ".dcm"), ("/x", "")])
def test_a_name_that_is_not_one_of_a_file_is_noticed(monkeypatch: pytest.MonkeyPatch, name: tuple[str, str]) -> None:
    monkeypatch.setattr(files, "file_name", lambda *uids: name)
    Planted(monkeypatch).found_by("part10", FILE, "a file would be named")


def test_a_name_of_a_hostile_uid_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name follows from the UIDs of the file, as the writer makes it; a writer that trusts them is found."""
    hostile = FILE.replace(b"1.2.3.4\0", b"../..//x")
    assert hostile != FILE
    monkeypatch.setattr("dicos_transports.files.writer.is_safe", lambda uid: True)
    Planted(monkeypatch).found_by("part10", hostile, "a file would be named")

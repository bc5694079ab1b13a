"""`dicos storescu` with files that cannot be sent: the others arrive, each bad one is listed, exit status 1."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dicos_proto.registry import uids
from dicos_transports.blocking import Session, StoreRequest
from tests.transports.cli.commands import dicom_file, dicos, provider
from tests.transports.connections import server

OK, FAILED, USAGE, NO_ASSOCIATION = 0, 1, 2, 3


def text(path: Path) -> None:
    path.write_bytes(b"no image " * 40)


def cut_short(path: Path) -> None:
    path.write_bytes(dicom_file(path).read_bytes()[:200])


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (text, "not a DICOM file"),
    "empty": (Path.touch, "not a DICOM file: it is empty"),
    "DICOMDIR": (lambda path: dicom_file(path, sop_class=uids.MEDIA_STORAGE_DIRECTORY), "DICOMDIR"),
    "cut short": (cut_short, "is cut short"),
    "no SOP class": (lambda path: dicom_file(path, sop_class="none"), "is not a valid UID [PS3.5 9.1]"),
    "missing": (lambda path: None, "cannot be read: no such file or directory"),
    "broken link": (lambda path: path.symlink_to("nowhere"), "cannot be read: no such file or directory"),
    "link to itself": (lambda path: path.symlink_to(path), "cannot be read: too many levels of symbolic links"),
    "error of the disk": (lambda path: path.symlink_to("/proc/self/mem"), "cannot be read: input/output error"),
    "folder": (Path.mkdir, "is a folder (use -r)"),
    "FIFO": (os.mkfifo, "is not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_files_are_sent_and_the_bad_one_is_listed(tmp_path: Path, kind: str) -> None:
    make, said = KINDS[kind]
    (tmp_path / "out").mkdir()
    good = [dicom_file(tmp_path / f"{uid}.dcm", uid=uid) for uid in ("1.2.1", "1.2.2")]
    make(tmp_path / "bad")
    with provider("storescp", "-od", tmp_path / "out") as scp:
        words = ("127.0.0.1", scp.port, good[0], tmp_path / "bad", good[1])
        result = dicos("storescu", "--json", *words)
        assert sorted(os.listdir(tmp_path / "out")) == ["1.2.1.dcm", "1.2.2.dcm"]
    assert result.status == FAILED
    (failed,) = result.named("failed")
    assert (failed["path"], failed["status"], failed["sop_instance_uid"]) == (str(tmp_path / "bad"), None, None)
    assert said in failed["why"]
    listed, summary = result.err.splitlines()
    assert listed == f"{tmp_path / 'bad'}: not sent: {failed['why']}"
    assert summary.startswith("stored 2 of 3 files")
    assert ", 1 failed" in summary
    (counted,) = result.named("summary")
    assert (counted["stored"], counted["failed"], counted["not_tried"], counted["skipped"]) == (2, 1, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_can_be_sent_nothing_is_connected(tmp_path: Path, kind: str) -> None:
    make, said = KINDS[kind]
    for name in ("one", "two"):
        make(tmp_path / name)
    result = dicos("storescu", "127.0.0.1", 1, tmp_path / "one")
    assert (result.status, len(result.err.splitlines())) == (USAGE, 1)
    assert said in result.err
    result = dicos("storescu", "--json", "127.0.0.1", 1, tmp_path / "one", tmp_path / "two")
    assert result.status == USAGE
    assert [said in line for line in result.err.splitlines()] == [True, True, False]
    assert result.err.splitlines()[-1] == "error: none of 2 paths can be sent"
    assert [event["event"] for event in result.events] == ["failed", "failed", "error"]


FOUND_BAD = ("cut short", "no SOP class", "broken link", "link to itself", "error of the disk")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("missing", "folder")])
def test_in_a_folder_what_is_no_dicom_is_skipped_and_what_is_damaged_or_unreadable_is_listed(
    tmp_path: Path, kind: str
) -> None:
    make, said = KINDS[kind]
    (tmp_path / "in").mkdir()
    dicom_file(tmp_path / "in" / "a.dcm", uid="1.2.1")
    make(tmp_path / "in" / "bad")
    dicom_file(tmp_path / "in" / "z.dcm", uid="1.2.2")
    bad = kind in FOUND_BAD
    with provider("storescp", "--ignore") as scp:
        result = dicos("storescu", "-v", "--json", "-r", "127.0.0.1", scp.port, tmp_path / "in")
    assert result.status == (FAILED if bad else OK)
    (counted,) = result.named("summary")
    assert (counted["stored"], counted["failed"], counted["skipped"]) == (2, int(bad), int(not bad))
    assert said in result.named("failed" if bad else "skipped")[0]["why"]
    (line,) = (line for line in result.err.splitlines() if "/in/bad: " in line)
    assert said in line
    assert line.startswith(f"{tmp_path}/in/bad: not sent: " if bad else f"skipped: {tmp_path}/in/bad: ")


def test_a_folder_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    from dicos_transports.files import finding
    from dicos_transports.files.part10 import Part10Error

    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    told: list[Part10Error] = []
    real = os.scandir

    def scandir(path: Path) -> object:
        if path == tmp_path / "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        found = list(finding.find_files([tmp_path, tmp_path / "no"], recurse=True, unreadable=told.append))
    assert found == [tmp_path / "a" / "file", tmp_path / "c" / "file"]
    assert [str(error) for error in told] == [
        f"{tmp_path}/b: cannot be read: permission denied",
        f"{tmp_path}/no: cannot be read: no such file or directory",
    ]


def test_a_peer_that_is_not_there_is_what_decides(tmp_path: Path) -> None:
    text(tmp_path / "bad")
    result = dicos("storescu", "127.0.0.1", 1, dicom_file(tmp_path / "good.dcm"), tmp_path / "bad")
    assert result.status == NO_ASSOCIATION
    assert "bad: not sent: not a DICOM file" in result.err


def test_bad_files_fail_where_the_journal_has_all_the_good_ones(tmp_path: Path) -> None:
    good = dicom_file(tmp_path / "good.dcm")
    text(tmp_path / "bad")
    with provider("storescp", "--ignore") as scp:
        words = ("storescu", "--journal", tmp_path / "journal", "127.0.0.1", scp.port, good, tmp_path / "bad")
        assert [dicos(*words).status for _ in range(2)] == [FAILED, FAILED]
        assert dicos(*words[:-1]).status == OK


def doing(then: Callable[[str], object]) -> Callable[[Session], None]:
    """Receive each object, call the function with its UID, and answer success."""

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            for _ in request.data():
                pass
            then(request.sop_instance_uid or "")
            request.respond()

    return handle


def changed(path: Path, how: str) -> None:
    match how:
        case "longer":
            with open(path, "ab") as file:
                file.write(bytes(100))
        case "shorter":
            os.truncate(path, path.stat().st_size - 100)
        case "written over":
            os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        case "replaced":
            other = dicom_file(path.with_name("other"), uid="1.2.77", pixels=path.stat().st_size)
            os.utime(other, ns=(1, path.stat().st_mtime_ns))
            other.replace(path)
        case _:
            path.unlink()


@pytest.mark.parametrize("how", ["longer", "shorter", "written over", "replaced", "gone"])
def test_what_changes_before_it_is_sent_is_not_sent(transport: str, tmp_path: Path, how: str) -> None:
    files = [dicom_file(tmp_path / f"{n}.dcm", uid=f"1.2.{n}", pixels=10_000) for n in (1, 2, 3)]
    arrived: list[str] = []

    def then(uid: str) -> None:
        arrived.append(uid)
        if uid == "1.2.1":
            changed(files[1], how)

    with server(doing(then)) as running:
        result = dicos("storescu", "--json", "127.0.0.1", running.port, *files)
        assert running.served == 1
    assert (result.status, arrived) == (FAILED, ["1.2.1", "1.2.3"])
    (failed,) = result.named("failed")
    assert failed["path"] == str(files[1])
    expected = "cannot be read: no such file" if how == "gone" else "has changed since it was read; send it again"
    assert failed["why"].startswith(expected)


@pytest.mark.parametrize("how", ["longer", "shorter", "written over", "replaced", "gone"])
def test_what_changes_while_it_is_sent_is_no_success(tmp_path: Path, how: str) -> None:
    """A file removed after it was read whole still counts as sent: the peer has all of it."""
    file = dicom_file(tmp_path / "a.dcm", pixels=10_000)
    with server(doing(lambda uid: changed(file, how))) as running:
        words = ("--json", "--journal", tmp_path / "journal", "127.0.0.1", running.port, file)
        result = dicos("storescu", *words)
    if how == "gone":
        assert result.status == OK
        return
    assert result.status == FAILED
    assert "has changed while it was sent" in result.named("failed")[0]["why"]
    assert len((tmp_path / "journal").read_bytes().splitlines()) == 1

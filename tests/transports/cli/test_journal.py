"""The journal of `dicos storescu`: interrupted transfers continue, and damaged or foreign journals are refused."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dicos_transports.blocking import Session, StoreRequest
from dicos_transports.cli.journal import Journal, JournalError
from dicos_transports.files import part10
from dicos_transports.files.part10 import Part10File
from tests.transports.cli.commands import ENVIRONMENT, TIMEOUT, deaf_port, dicom_file, dicos, line
from tests.transports.connections import answer_all, server

OK, FAILED, USAGE = 0, 1, 2


def open_journal(path: Path, port: int = 104) -> Journal:
    return Journal(path, host="pacs", port=port, called_aet="PACS")


def some_files(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [dicom_file(folder / f"{number:03}.dcm", uid=f"1.2.{number}", pixels=100) for number in range(count)]


def known(path: Path) -> tuple[Part10File, os.stat_result]:
    return part10.inspect(path), os.stat(path)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[Path]]:
    """Create three files and a journal of them."""
    files = some_files(tmp_path / "in", 3)
    with open_journal(tmp_path / "journal") as journal:
        for file in files:
            journal.add(*known(file), 0)
    return tmp_path / "journal", files


# -- what it remembers -------------------------------------------------------------------------------------------------


def test_what_was_added_is_known_when_it_is_opened_again(written: tuple[Path, list[Path]], tmp_path: Path) -> None:
    path, files = written
    with open_journal(path) as journal:
        assert len(journal) == 3
        assert all(journal.has(*known(file)) for file in files)
        assert not journal.has(*known(dicom_file(tmp_path / "other.dcm")))
        assert not journal.mended
    lines = path.read_bytes().splitlines()
    assert json.loads(lines[0][9:]) == {
        "journal": "dicos storescu", "version": 1, "host": "pacs", "port": 104, "called_aet": "PACS",
    }  # fmt: skip
    assert json.loads(lines[1][9:])["uid"] == "1.2.0"


@pytest.mark.parametrize("change", ["size", "time", "uid"])
def test_a_file_that_has_changed_is_not_the_one_in_the_journal(written: tuple[Path, list[Path]], change: str) -> None:
    path, (file, *_) = written
    before = os.stat(file)
    match change:
        case "size":
            file.write_bytes(file.read_bytes() + b"\0\0")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "time":
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        case _:
            dicom_file(file, uid="1.2.7", pixels=100)
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with open_journal(path) as journal:
        assert not journal.has(*known(file))
        journal.add(*known(file), 0)
    with open_journal(path) as journal:
        assert journal.has(*known(file))


def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    file = dicom_file(Path(os.fsdecode(bytes(tmp_path) + b"/\xff\n.dcm")))
    with open_journal(tmp_path / "journal") as journal:
        journal.add(*known(file), 0)
    with open_journal(tmp_path / "journal") as journal:
        assert journal.has(*known(file))


def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    open_journal(tmp_path / "journal").close()
    assert b'"dicos storescu"' in (tmp_path / "journal").read_bytes()


# -- damage ------------------------------------------------------------------------------------------------------------


def test_a_last_line_that_was_being_written_is_all_that_is_mended(written: tuple[Path, list[Path]]) -> None:
    path, files = written
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    last = len(whole) - len(lines[-1])
    for size in range(last, len(whole)):
        path.write_bytes(whole[:size])
        with open_journal(path) as journal:
            assert journal.mended == (size > last)
            assert [journal.has(*known(file)) for file in files] == [True, True, False]
            journal.add(*known(files[2]), 0)
        assert path.read_bytes() == whole


def test_a_first_line_that_was_being_written_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    open_journal(path).close()
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        open_journal(path).close()
        assert path.read_bytes() == whole


def test_every_byte_that_is_changed_is_seen(written: tuple[Path, list[Path]]) -> None:
    path, _ = written
    whole = path.read_bytes()
    for at in range(len(whole) - 1):
        for other in (whole[at] ^ 1, 0x0A, 0x20):
            if other != whole[at]:
                path.write_bytes(whole[:at] + bytes((other,)) + whole[at + 1 :])
                with pytest.raises(JournalError, match=r"damaged|belongs to a transfer"):
                    open_journal(path)


def test_every_whole_line_that_is_missing_doubled_or_exchanged_is_seen(written: tuple[Path, list[Path]]) -> None:
    path, _ = written
    lines = path.read_bytes().splitlines(keepends=True)
    wrong = [lines[:at] + lines[at + 1 :] for at in range(3)]
    wrong += [lines[: at + 1] + lines[at:] for at in range(4)]
    wrong += [[lines[0], lines[2], lines[1], lines[3]], [b"\n", *lines], [*lines, b"\n"]]
    for damaged in wrong:
        path.write_bytes(b"".join(damaged))
        before = path.read_bytes()
        with pytest.raises(JournalError, match=r"line \d"):
            open_journal(path)
        assert path.read_bytes() == before  # only known damage is repaired


@pytest.mark.parametrize("content", [b"Dear diary\n", b"Dear diary", b"\0" * 100, b"{}\n", b"00000000 {}\n"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="is not a journal of dicos storescu"):
        open_journal(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("head", ["[]", '{"journal": "dicos other"}', '{"journal": "dicos storescu", "version": 2}'])
def test_a_journal_of_something_else_is_refused(tmp_path: Path, head: str) -> None:
    import zlib

    path = tmp_path / "journal"
    path.write_text(f"{zlib.crc32(head.encode()):08x} {head}\n")
    with pytest.raises(JournalError, match=r"is not a journal of dicos storescu, version 1|not a JSON object"):
        open_journal(path)


def test_the_journal_of_another_peer_is_refused(written: tuple[Path, list[Path]]) -> None:
    with pytest.raises(JournalError, match=r"belongs to a transfer to pacs:104 \('PACS'\), not to pacs:105 \('PACS'\)"):
        open_journal(written[0], port=105)


def test_one_process_at_a_time_has_it(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal"), pytest.raises(JournalError, match="is in use by another process"):
        open_journal(tmp_path / "journal")
    open_journal(tmp_path / "journal").close()


@pytest.mark.parametrize("where", ["folder", "missing/journal", "no permission", "x" * 300])
def test_a_place_where_none_can_be(tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    if where == "folder":
        path.mkdir()
    if where == "no permission":
        if os.geteuid() == 0:
            path = Path("/proc/version")
        else:
            path.touch(0)
    with pytest.raises(JournalError, match=f"journal {path}: "):
        open_journal(path)


# -- the command ----------------------------------------------------------------------------------------------------


def test_a_second_run_sends_what_is_new_or_changed(transport: str, tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 4)
    arrived: Counter[str] = Counter()
    with server(counting(arrived)) as running:
        words = ("storescu", "--json", "-r", "--journal", tmp_path / "journal", "127.0.0.1", running.port)
        assert dicos(*words, *files[:2]).status == OK
        dicom_file(files[0], uid="1.2.0", pixels=200)
        second = dicos(*words, tmp_path / "in")
        third = dicos(*words, tmp_path / "in")
        assert running.served == 2  # without files to send, no association is opened
    assert arrived == Counter({"1.2.0": 2, "1.2.1": 1, "1.2.2": 1, "1.2.3": 1})
    assert (second.status, second.named("summary")[0]["already"]) == (OK, 1)
    assert (third.status, third.named("summary")[0]["already"]) == (OK, 4)
    assert "4 stored before" in third.err


def counting(arrived: Counter[str], then: Callable[[], None] = lambda: None) -> Callable[[Session], None]:
    """Count received objects, call the function, then answer."""

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            for _ in request.data():
                pass
            arrived[request.sop_instance_uid] += 1
            then()
            request.respond()

    return handle


def test_what_fails_is_sent_again_and_what_has_a_warning_is_not(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 2)
    statuses = {"1.2.0": 0xA700, "1.2.1": 0xB000}
    arrived: Counter[str] = Counter()

    def handle(session: Session) -> None:
        for request in session:
            arrived[request.sop_instance_uid or ""] += 1
            request.respond(statuses[request.sop_instance_uid or ""])

    with server(handle) as running:
        for _ in range(2):
            words = ("--journal", tmp_path / "journal", "127.0.0.1", running.port)
            assert dicos("storescu", *words, *files).status == FAILED
    assert arrived == Counter({"1.2.0": 2, "1.2.1": 1})


@pytest.mark.parametrize(("window", "associations"), [(1, 1), (8, 1), (4, 3)])
def test_killed_in_the_middle_it_goes_on_where_it_stopped(
    transport: str, tmp_path: Path, window: int, associations: int
) -> None:
    some_files(tmp_path / "in", 200)
    arrived: Counter[str] = Counter()
    enough = threading.Event()

    def then() -> None:
        if arrived.total() >= 60:
            enough.set()

    from dicos_proto.upper_layer.pdu_types import OperationsWindow
    from dicos_proto.upper_layer.policy import AcceptPolicy
    from tests.transports.connections import EXPLICIT

    policy = AcceptPolicy(other_contexts=(EXPLICIT,), window=OperationsWindow(invoked=window, performed=1))
    with server(counting(arrived, then), policy=policy) as running:
        words = line("storescu", "-r", "--journal", tmp_path / "journal", "--window", window, "--associations",
                     associations, "127.0.0.1", running.port, tmp_path / "in")  # fmt: skip
        with subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
            assert enough.wait(TIMEOUT)
            process.send_signal(signal.SIGKILL)
            assert process.wait(TIMEOUT) == -signal.SIGKILL
        with open_for(tmp_path / "journal", running.port) as journal:
            noted = len(journal)
        again = dicos(*map(str, words[3:]))
    assert again.status == OK, again.err
    assert 0 < noted < 200
    assert set(arrived) == {f"1.2.{number}" for number in range(200)}
    assert sum(count > 1 for count in arrived.values()) <= window * associations
    assert max(arrived.values()) <= 2


def open_for(path: Path, port: int) -> Journal:
    return Journal(path, host="127.0.0.1", port=port, called_aet="ANY-SCP")


@pytest.mark.parametrize("what", ["damaged", "foreign", "other peer", "in use"])
def test_a_journal_that_cannot_be_used_stops_all_before_a_connection(tmp_path: Path, what: str) -> None:
    (file,) = some_files(tmp_path / "in", 1)
    path = tmp_path / "journal"
    with deaf_port() as port, open_for(path, port) as journal:
        journal.add(*known(file), 0)
        if what != "in use":
            journal.close()
        if what == "damaged":
            path.write_bytes(path.read_bytes().replace(b'"status": 0', b'"status": 1'))
        elif what == "foreign":
            path.write_text("Dear diary\n")
        words = ("127.0.0.1", port, *(("-aec", "OTHER") if what == "other peer" else ()))
        result = dicos("storescu", "--json", "--journal", path, *words, file)
    assert result.status == USAGE
    (text,) = result.err.splitlines()
    assert text.startswith(f"error: journal {path}: ")
    assert [event["event"] for event in result.events] == ["error"]


def test_a_torn_line_is_said(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 2)
    with server(answer_all) as running:
        words = ("storescu", "--journal", tmp_path / "journal", "127.0.0.1", running.port, *files)
        assert dicos(*words).status == OK
        with open(tmp_path / "journal", "r+b") as file:
            file.truncate((tmp_path / "journal").stat().st_size - 5)
        again = dicos(*words)
    assert again.status == OK
    assert "the last line was incomplete; its file is sent again" in again.err
    assert "stored 1 of 1 file" in again.err


def test_a_journal_that_has_no_room_ends_the_transfer_and_stays_whole(tmp_path: Path) -> None:
    some_files(tmp_path / "in", 50)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    with server(answer_all) as running:
        words = ("storescu", "--json", "-r", "--journal", tmp_path / "journal", "127.0.0.1", running.port)
        result = dicos(*words, tmp_path / "in", preexec_fn=limit)
        assert result.status == FAILED
        assert os.strerror(errno.EFBIG).lower() in result.err
        stored = result.named("summary")[0]["stored"]
        with open_for(tmp_path / "journal", running.port) as journal:
            assert len(journal) == stored - 1
        assert dicos(*words, tmp_path / "in").status == OK


def test_repeat_and_a_journal_do_not_go_together(tmp_path: Path) -> None:
    result = dicos("storescu", "--repeat", 2, "--journal", tmp_path / "journal", "localhost", 1, "x")
    assert result.status == USAGE
    assert "--repeat" in result.err.splitlines()[-1]
    assert not (tmp_path / "journal").exists()


def test_the_lock_is_gone_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    open_journal(path).close()
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# -- journals written by others ----------------------------------------------------------------------------------------


def sealed(*texts: str) -> bytes:
    """Return lines with valid checksums, which anybody can compute."""
    import zlib

    crc, lines = 0, b""
    for text in texts:
        encoded = text.encode()
        crc = zlib.crc32(encoded, crc)
        lines += b"%08x %b\n" % (crc, encoded)
    return lines


def head(**changes: object) -> str:
    return json.dumps(
        {"journal": "dicos storescu", "version": 1, "host": "pacs", "port": 104, "called_aet": "PACS"} | changes
    )


ENTRY = '{"path": %s, "uid": "1.2", "size": 1, "mtime_ns": 1, "status": 0}'
DEEP = "[" * 20_000 + "]" * 20_000


HARMFUL = [
    (sealed(DEEP), "line 1 is not a JSON object"),
    (sealed('{"a":' * 9000 + "1" + "}" * 9000), " is not a "),  # from Python 3.13 on it is a valid object
    (sealed(head(), DEEP), "line 2 is not a JSON object"),
    (sealed(head(), ENTRY % DEEP), "line 2 is not a JSON object"),
    (sealed(head(), '{"path": ' + "9" * 10_000 + "}"), "line 2 is not a"),
    (sealed(head(host="\x1b]0;x\x07\x1b[31m")), r"to a transfer to \x1b]0;x\x07\x1b[31m:104 ('PACS')"),
    (sealed(head(host="\u202e\x9b2J\udc80\n")), r"to \u202e\x9b2J\udc80\n:104"),
    (sealed(head(called_aet="\x1b" + "A" * 60_000)), r"('\x1bAAAAAAAAAAAA... (60001 characters)')"),
    (sealed(head(host=["\x1b[31m"])), "is not a journal of dicos storescu, version 1"),
    (sealed(head(port=True)), "is not a journal of dicos storescu, version 1"),
    (sealed(head(version="\x1b")), "is not a journal of dicos storescu, version 1"),
    (sealed(head(), ENTRY % ('"' + "x" * 65_536 + '"')), "line 2 has more than the 65536 bytes"),
    (b"x" * 200_000, "line 1 has more than the 65536 bytes"),
    (sealed(head()) + b"\xff" * 200_000, "line 2 has more than the 65536 bytes"),
    (bytes(200), "is not a journal of dicos storescu"),
    (sealed(head(), '{"path": 1}'), "line 2 is not an entry"),
    (sealed(head(), "NaN"), "line 2 is not a JSON object"),
]


@pytest.mark.parametrize("number", range(len(HARMFUL)))
def test_a_journal_that_was_made_to_harm_is_refused_in_one_clean_line(tmp_path: Path, number: int) -> None:
    path = tmp_path / "journal"
    content, said = HARMFUL[number]
    path.write_bytes(content)
    with pytest.raises(JournalError) as caught:
        open_journal(path)
    text = str(caught.value)
    assert said in text
    assert text.isprintable()
    assert len(text) < 1000
    assert path.read_bytes() == content


def test_a_journal_is_for_its_owner(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        open_journal(tmp_path / "journal").close()
    finally:
        os.umask(old)
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600
    (tmp_path / "journal").chmod(0o666)  # a copied journal, or one of an earlier version
    open_journal(tmp_path / "journal").close()
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_what_is_no_regular_file_is_no_journal_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(JournalError, match="is not a regular file"):
            open_journal(path)


@pytest.mark.parametrize("target", ["a journal", "an empty file", "nothing"])
def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    path = tmp_path / "target"
    if target == "a journal":
        open_journal(path).close()
    elif target == "an empty file":
        path.touch()
    (tmp_path / "link").symlink_to(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(JournalError, match="is a symbolic link; give the path of its target"):
        open_journal(tmp_path / "link")
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_journal_has_limits_to_read_and_to_write(
    written: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicos_transports.cli import journal as module

    path, files = written
    whole = path.read_bytes()
    monkeypatch.setattr(module, "LINES", 4)
    with open_journal(path) as journal, pytest.raises(JournalError, match="is full; start a new one"):
        journal.add(*known(files[0]), 0)
    monkeypatch.setattr(module, "LINES", 3)
    with pytest.raises(JournalError, match="has more than the 3 lines that are allowed"):
        open_journal(path)
    monkeypatch.setattr(module, "LINES", 100)
    monkeypatch.setattr(module, "LIMIT", len(whole) + 10)
    with open_journal(path) as journal, pytest.raises(JournalError, match="is full; start a new one"):
        journal.add(*known(files[0]), 0)
    monkeypatch.setattr(module, "LIMIT", len(whole) - 1)
    with pytest.raises(JournalError, match=f"has {len(whole)} bytes; {len(whole) - 1} are allowed"):
        open_journal(path)
    assert path.read_bytes() == whole


def test_the_command_says_in_one_line_why_a_harmful_journal_is_not_used(tmp_path: Path) -> None:
    (file,) = some_files(tmp_path / "in", 1)
    for content in (sealed(DEEP), sealed(head(host="\x1b[31m"))):
        (tmp_path / "journal").write_bytes(content)
        result = dicos("storescu", "--journal", tmp_path / "journal", "127.0.0.1", 1, file)
        assert result.status == USAGE
        (text,) = result.err.splitlines()
        assert text.isprintable()

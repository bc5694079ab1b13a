"""`dicos trace FILE`: what it prints, writes and returns for good, damaged, foreign and encrypted recordings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from OpenSSL import SSL

from dicos_fuzz.captures.packets import Endpoint
from dicos_fuzz.captures.pcapng import Writer
from dicos_fuzz.captures.recording import START, Recorder
from dicos_proto import encode
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_transports.cli import main
from tests.fuzz.captures.tls import Ends
from tests.fuzz.trace.saying import RELEASE, Said, message, opened
from tests.fuzz.trace.test_association import ECHO, echo, store
from tests.fuzz.trace.test_saving import DATA
from tests.pair import REQUEST
from tests.transports.cli.commands import COMMAND, ENVIRONMENT, Result

GOOD: list[Said] = [*opened(), *echo(), *store(DATA), *RELEASE]
BAD: list[Said] = [*opened(), (True, message(ECHO, context=99)), *RELEASE]
SECOND = 10**9
REQUEST_CUT = b"\1\0\0\0\0\x09" + bytes(9)
"""An A-ASSOCIATE-RQ that is too short."""


def recorded(*conversations: Iterable[Said], secrets: bytes = b"", port: int = 11_112) -> bytes:
    """A capture file: each conversation a second after the one before, a millisecond between two pieces."""
    file = BytesIO()
    recorder = Recorder(file)
    if secrets:
        recorder.secrets(secrets)
    for number, said in enumerate(conversations):
        at = START + number * SECOND
        client = Endpoint(f"10.0.0.{number + 1}", 40_000)
        recorder.open(number, at, client=client, server=Endpoint("10.0.1.1", port))
        for by_client, data in said:
            at += 1_000_000
            assert isinstance(data, bytes)
            recorder.send(number, at, data, by_client=by_client)
        for by_client in (True, False):
            recorder.end(number, at, by_client=by_client)
    return file.getvalue()


def dicos(*words: object) -> Result:
    """Runs the command in this process, which has everything imported."""
    before = sys.stderr
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = main([str(word) for word in words])
    finally:
        sys.stderr = before
    return Result(status, out.getvalue(), err.getvalue())


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.pcapng"
    path.write_bytes(recorded(GOOD))
    return path


def test_the_lines_go_to_standard_output_and_the_summary_to_standard_error(good: Path) -> None:
    done = dicos("trace", "--brief", good)
    assert done.status == 0
    assert done.out.splitlines()[0] == "#1 2023-11-14T22:13:20.000000Z 10.0.0.1:40000 -> 10.0.1.1:11112"
    assert done.out.splitlines()[-1] == "#1 0.008000 released; 4 messages, 48 bytes of data sets"
    assert done.err == f"{good}: 1 association, 4 messages, 48 B of data sets\n"


def test_verbosity(good: Path) -> None:
    plain, debug, quiet, verbose = (dicos("trace", *words, good) for words in ((), ("-d",), ("-q",), ("-v",)))
    assert "#1 0.001000 requestor:   calling AE title: 'USER'" in plain.out
    assert "PDVs (context/control/bytes)" not in plain.out
    assert "PDVs (context/control/bytes): 1/0x03/68" in debug.out
    assert len(quiet.out.splitlines()) == 1
    assert quiet.err == ""
    assert verbose.out == plain.out
    assert "1 connection with bytes and 0 without" in verbose.err


def test_json_lines(good: Path) -> None:
    done = dicos("trace", "--json", good)
    assert [one["event"] for one in done.events][-2:] == ["end", "summary"]
    summary = done.events[-1]
    assert (summary["associations"], summary["messages"], summary["violations"], summary["others"]) == (1, 4, 0, {})
    assert [
        one["message_id"] for one in dicos("trace", "--json", "-d", good).named("command") if "message_id" in one
    ] == [1, 7]


def test_the_page_is_written(good: Path, tmp_path: Path) -> None:
    page = tmp_path / "trace.html"
    assert dicos("trace", "-q", "--html", page, good).status == 0
    text = page.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert "C-STORE-RQ 7" in text


def test_objects_are_saved_only_when_asked(good: Path, tmp_path: Path) -> None:
    dicos("trace", good)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.pcapng"]
    folder = tmp_path / "objects"
    done = dicos("trace", "-q", "--save", folder, good)
    assert [path.name for path in folder.iterdir()] == ["1.2.3.dcm"]
    assert done.status == 0
    half = tmp_path / "half.pcapng"
    half.write_bytes(recorded([*opened(), (True, message(ECHO) + store(DATA)[0][1][:-5])]))
    done = dicos("trace", "-q", "--save", folder, half)
    assert (done.status, "not saved 1.2.3: it is not complete" in done.err) == (1, True)


def test_check_fails_for_a_violation_only(good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pcapng"
    bad.write_bytes(recorded(BAD))
    assert dicos("trace", "-q", "--check", good).status == 0
    assert dicos("trace", "-q", bad).status == 0
    done = dicos("trace", "-q", "--check", bad)
    assert done.status == 1
    assert "! violation: PDV on presentation context 99, which is not accepted [PS3.8 9.3.5.1]" in done.out


def test_a_pdu_that_is_cut_off_by_the_end_is_one_line(tmp_path: Path) -> None:
    for kept in (3, 9, 100):
        path = tmp_path / "cut.pcapng"
        path.write_bytes(recorded([(True, encode(REQUEST)[:kept]), (False, encode(Abort()))]))
        lines = dicos("trace", "--brief", path).out.splitlines()
        assert sum("the bytes end " in line for line in lines) == 1
        assert not [line for line in lines if "-1700000000" in line or ": ," in line]


# -- selection -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ((), 3),
        (("--address", "10.0.0.2"), 1),
        (("--address", "10.0.0.2:40000"), 1),
        (("--address", "10.0.0.2:104"), 0),
        (("--address", "10.0.1.1:11112"), 3),
        (("--address", "10.0.0.0/30"), 3),
        (("--address", "10.0.0.2", "--address", "10.0.0.3"), 2),
        (("--title", "USER"), 3),
        (("--title", "NOBODY"), 0),
        (("--title", "NOBODY", "--title", "PROVIDER"), 3),
        (("--from", "2023-11-14T22:13:21"), 2),
        (("--from", "2023-11-14T23:13:21+01:00"), 2),
        (("--from", "1700000001.5"), 1),
        (("--until", "2023-11-14T22:13:21Z"), 1),
        (("--from", "2023-11-14T22:13:21", "--until", "2023-11-14T22:13:22"), 1),
        (("--port", "11112"), 3),
        (("--port", "104"), 0),
        (("--port", "104", "--port", "40000"), 3),
    ],
)
def test_associations_are_selected(tmp_path: Path, words: tuple[str, ...], numbers: int) -> None:
    path = tmp_path / "three.pcapng"
    path.write_bytes(recorded(GOOD, GOOD, GOOD))
    done = dicos("trace", "-q", *words, path)
    assert (done.status, len(done.out.splitlines())) == (0, numbers)


def test_other_protocols_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "mixed.pcapng"
    http: list[Said] = [(True, b"GET / HTTP/1.1\r\n\r\n"), (False, b"HTTP/1.1 200 OK\r\n\r\n")]
    ssh: list[Said] = [(False, b"SSH-2.0-server\r\n"), (True, b"SSH-2.0-client\r\n")]
    ends = Ends()
    path.write_bytes(recorded(http, GOOD, ssh, [(True, b"\xff" * 99), (False, b"\xff" * 99)], ends.said))
    done = dicos("trace", "--brief", "-v", path)
    assert done.out.count("#1 ") == len(done.out.splitlines())
    assert "4 connections not shown: 1 HTTP, 1 SSH, 1 unknown, 1 TLS" in done.err
    assert "1 TLS connection not decrypted: no key log (--keylog)" in done.err
    forced = dicos("trace", "-q", "--port", "11112", path)
    assert len([line for line in forced.out.splitlines() if "! " not in line]) == 5
    assert "! violation: HTTP, not DICOM" in forced.out


def test_a_recording_whose_first_pdu_is_malformed_names_the_option_that_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "malformed.pcapng"
    path.write_bytes(recorded([(True, REQUEST_CUT)]))
    done = dicos("trace", path)
    assert "0 associations" in done.err
    assert "1 connection not shown: 1 unknown; --port PORT takes every connection of a port for DICOM" in done.err
    forced = dicos("trace", "--port", "11112", path)
    assert "1 association" in forced.err
    assert "not shown" not in forced.err


# -- recordings that cannot be read --------------------------------------------------------------------------------


def test_a_damaged_file_is_named_after_what_was_read(good: Path) -> None:
    raw = good.read_bytes()
    good.write_bytes(raw[:-10])
    done = dicos("trace", "--brief", good)
    assert done.status == 2
    assert "C-STORE-RSP 7" in done.out
    assert f"error: {good}: Enhanced Packet block at byte" in done.err
    assert "1 association" in done.err


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "empty; a capture file (pcap or pcapng) is expected"),
        (b"\x1f\x8b\x08", "gzip: unpack it first"),
        (bytes(128) + b"DICM" + bytes(9), "not a capture file (pcap or pcapng): a DICOM file"),
        (bytes(9), "begins with 00 00 00 00\n"),
        (
            encode(REQUEST),
            "(pcap or pcapng): a PDU, so bytes without packets. dicos_fuzz.captures.Recorder makes a capt",
        ),
        (encode(Abort()), "a PDU, so bytes without packets. dicos_fuzz.captures.Recorder makes a capture file of them"),
        (b"\x16\3\1\0\5hello", "TLS, so bytes without packets. dicos_fuzz.captures.Recorder makes a capture file of"),
        (b"\x16", "begins with 16"),
        (b"DICM" * 9, "not a capture file (pcap or pcapng): begins with 44 49 43 4d (DICM)"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "other\x1b.bin"
    path.write_bytes(content)
    done = dicos("trace", path)
    assert done.status == 2
    assert text in done.err
    assert "\x1b" not in done.err
    assert "association" not in done.err


def test_files_that_are_not_there_or_cannot_be_written_are_named(good: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "x"
    for words, text in (
        ((missing,), "No such file or directory"),
        ((tmp_path,), "Is a directory"),
        ((good, "--keylog", missing), f"{missing}: No such file or directory"),
        ((good, "--html", missing), f"{missing}: No such file or directory"),
        ((good, "--save", good), "File exists"),
    ):
        done = dicos("trace", *words)
        assert (done.status, text in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "either a capture file, or --listen PORT --to HOST PORT"),
        (("x.pcap", "--listen", "0"), "either a capture file, or --listen"),
        (("x.pcap", "--to", "localhost", "104"), "--to without --listen"),
        (("x.pcap", "--bind", "0.0.0.0"), "--bind without --listen"),
        (("x.pcap", "--write", "y"), "--write without --listen"),
        (("--listen", "0"), "--listen without --to HOST PORT"),
        (("--listen", "0", "--to", "a", "b", "c"), "--listen without --to HOST PORT"),
        (("--listen", "0", "--to", "a", "b"), "argument --to: port 'b': expected 0 to 65535"),
        (("--listen", "0", "--to", "a", "0"), "argument --to: port 0: a peer has a port from 1 to 65535"),
        (("--listen", "0", "--to", "localhost:1", "--port", "2"), "--port with --listen"),
        (("x.pcap", "--from", "yesterday"), "'yesterday': expected a time, as 2024-05-01T10:00:00"),
        (("x.pcap", "--address", "pacs"), "'pacs': expected ADDRESS, ADDRESS:PORT or a network"),
        (("x.pcap", "--title", "seventeen letters"), "1 to 16 ASCII characters"),
    ],
)
def test_usage_errors_are_one_line(words: tuple[str, ...], text: str) -> None:
    done = dicos("trace", *words)
    assert done.status == 2
    assert text in done.err
    assert done.err.startswith("dicos trace: ")
    assert len(done.err.splitlines()) == 1


def test_the_recording_itself_is_not_overwritten(good: Path) -> None:
    before = good.read_bytes()
    done = dicos("trace", good, "--html", good)
    assert done.status == 2
    assert "is the capture file itself" in done.err
    assert good.read_bytes() == before


def test_two_outputs_in_one_file_are_refused(tmp_path: Path) -> None:
    done = dicos("trace", "--listen", 0, "--to", "a:1", "--write", tmp_path / "x", "--html", tmp_path / "." / "x")
    assert done.status == 2
    assert "are the same" in done.err
    done = dicos("trace", "--listen", 0, "--to", "a:1", "--keylog", tmp_path / "x", "--write", tmp_path / "x")
    assert (done.status, "is the key log itself" in done.err) == (2, True)


def test_only_the_last_folder_is_made(good: Path, tmp_path: Path) -> None:
    done = dicos("trace", good, "--save", tmp_path / "a" / "b")
    assert (done.status, f"there is no folder {tmp_path / 'a'}" in done.err) == (2, True)
    assert not (tmp_path / "a").exists()


def test_packets_that_are_not_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "strange.pcapng"
    with path.open("wb") as file:
        Writer(file, link=127).packet(0, bytes(60))
    done = dicos("trace", path)
    assert (done.status, done.out) == (0, "")
    assert f"{path}: 1 packet of link type 127, which is not supported" in done.err


# -- standard input, output ----------------------------------------------------------------------------------------


def test_standard_input(good: Path) -> None:
    with good.open("rb") as file:
        done = subprocess.run(
            [*COMMAND, "trace", "--brief", "-"], env=ENVIRONMENT, stdin=file, capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (0, "standard input: 1 association, 4 messages, 48 B of data sets\n")
    assert done.stdout == dicos("trace", "--brief", good).out


def test_a_reader_that_closes_its_end_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "long.pcapng"
    path.write_bytes(recorded([*opened(), *(echo() * 3000), *RELEASE]))
    piped = subprocess.run(
        f"{sys.executable} -m dicos_transports.cli trace --brief {path} | head -1",
        shell=True, env=ENVIRONMENT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (len(piped.stdout.splitlines()), "Traceback" in piped.stderr) == (1, False)


# -- TLS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_a_key_log_decrypts_tls(tmp_path: Path, version: int) -> None:
    ends = Ends(version)
    for by_client, data in GOOD:
        assert isinstance(data, bytes)
        ends.send(by_client, data)
    ends.end()
    log, path, inside = tmp_path / "keys.log", tmp_path / "tls.pcapng", tmp_path / "inside.pcapng"
    log.write_bytes(ends.log)
    path.write_bytes(recorded(ends.said, port=2762))
    inside.write_bytes(recorded(ends.said, port=2762, secrets=bytes(ends.log)))
    done = dicos("trace", "--brief", "--keylog", log, path)
    assert done.status == 0
    assert f", TLS 1.{3 if version == SSL.TLS1_3_VERSION else 2}, AES-GCM (256 bits)" in done.out.splitlines()[0]
    assert "released; 4 messages, 48 bytes of data sets" in done.out
    assert dicos("trace", "--brief", inside).out == done.out
    assert dicos("trace", "--brief", path).out == ""
    log.write_bytes(bytes(Ends(version).log) + b"nonsense\n")
    wrong = dicos("trace", "--brief", "--keylog", log, path)
    assert wrong.out == ""
    assert "1 TLS connection not decrypted: the key log has no " in wrong.err
    assert "1 line of the key log ignored" in wrong.err


def test_the_reasons_why_something_is_not_shown_survive_quiet(tmp_path: Path) -> None:
    ends = Ends()
    tls, log, cut = tmp_path / "tls.pcapng", tmp_path / "keys.log", tmp_path / "cut.pcapng"
    tls.write_bytes(recorded(ends.said, port=2762))
    done = dicos("trace", "-q", tls)
    assert f"{tls}: 1 TLS connection not decrypted: no key log (--keylog)\n" in done.err
    log.write_bytes(bytes(Ends().log))
    done = dicos("trace", "-q", "--keylog", log, tls)
    assert f"{tls}: 1 TLS connection not decrypted: the key log has no " in done.err
    (summary,) = dicos("trace", "-q", "--json", "--keylog", log, tls).named("summary")
    assert list(summary["not_decrypted"].values()) == [1]
    cut.write_bytes(recorded([(True, REQUEST_CUT)]))
    assert "1 connection not shown: 1 unknown; --port PORT" in dicos("trace", "-q", cut).err
    with cut.open("wb") as file:
        Writer(file, link=127).packet(0, bytes(60))
    assert "1 packet of link type 127, which is not supported" in dicos("trace", "-q", cut).err


@pytest.mark.parametrize(
    "content", [b"", b"# nothing yet\n", b"hello\n", b"EXPORTER_SECRET " + b"00" * 32 + b" " + b"00" * 32]
)
def test_a_key_log_without_a_secret_is_an_error(tmp_path: Path, content: bytes) -> None:
    ends, log, path = Ends(), tmp_path / "keys.log", tmp_path / "tls.pcapng"
    path.write_bytes(recorded(ends.said, port=2762))
    log.write_bytes(content)
    for words in ((), ("-q",)):
        done = dicos("trace", *words, "--keylog", log, path)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"error: {log}: no secret of a TLS connection in it")


def test_nothing_of_a_peer_reaches_the_terminal_unescaped(tmp_path: Path) -> None:
    path = tmp_path / "hostile.pcapng"
    hostile = encode(REQUEST).replace(b"USER".ljust(16), b"\x1b]0;x\x07\r\n ".ljust(16))
    path.write_bytes(recorded([(True, hostile), (False, encode(Abort()))]))
    for words in ((), ("--brief",), ("-q",), ("-d",)):
        done = dicos("trace", *words, path)
        assert all(line.isprintable() for line in done.out.splitlines())
    assert json.loads(dicos("trace", "--json", path).out.splitlines()[1])["calling_aet"].startswith("\x1b]0;x")

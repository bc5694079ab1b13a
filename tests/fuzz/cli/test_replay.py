"""`dicos replay`: shows, does not show, cannot be read, is not there; exports; the same safety as `dicos fuzz`."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dicos_fuzz.conversation import Answer, Await, Check, Conversation, End, Open, Pause, Send, Side, Transcript
from dicos_fuzz.finding import Severity, Violation
from dicos_fuzz.findings.reproducer import Reproducer, json_of_reproducer, write
from dicos_fuzz.grammar import echo
from dicos_fuzz.tree import Action, Edit
from tests.fuzz.broken.client import REQUEST, serving
from tests.fuzz.terminator import tls_before
from tests.transports.certificates import hospital
from tests.transports.cli.commands import COMMAND, ENVIRONMENT, Result, dicos

ROOT = Path(__file__).resolve().parents[3]
TWICE = Conversation(
    name="sequence/second request",
    steps=(Open(), Send(message=REQUEST), Await(kinds=(2,)), Send(message=REQUEST), Await()),
)
UNEXPECTED = Violation(
    oracle="unexpected-pdu",
    severity=Severity.MEDIUM,
    detail="the peer sent an A-ASSOCIATE-AC that it may not send in Sta13",
    clause="PS3.8 table 9-10",
    state="Sta13",
    reaction="A-ASSOCIATE-AC",
    family="sequence",
)
SECOND = Reproducer(
    violation=UNEXPECTED, conversation=TWICE, transcript=Transcript(), replayed=(3, 3), peer="somewhere"
)
HANG = replace(UNEXPECTED, oracle="hang", severity=Severity.CRITICAL, state="", reaction="serves nobody", clause="x")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return put(tmp_path, SECOND)


def put(folder: Path, made: Reproducer) -> Path:
    path = folder / "found.json"
    write(path, made)
    return path


def again(path: Path, port: int, *words: object) -> Result:
    return dicos("replay", path, "127.0.0.1", port, *words)


def test_a_finding_that_shows_again_ends_with_1(saved: Path) -> None:
    with serving("second-rq-answered") as port:
        found = again(saved, port)
    assert found.status == 1
    assert f"MEDIUM {SECOND.id} in Sta13 [PS3.8 table 9-10]: the peer sent an A-ASSOCIATE-AC" in found.err
    assert "found at somewhere" in found.err
    assert f"{SECOND.id}: it showed in 3 of 3 runs" in found.err
    assert found.out.count("sent A-ASSOCIATE-RQ, 501 bytes") == 2
    assert found.out.count("received A-ASSOCIATE-AC") == 2
    assert "calling AE title: 'DICOS-FUZZ'" in found.out


def test_one_that_does_not_ends_with_0(saved: Path) -> None:
    with serving("none") as port:
        found = again(saved, port, "--repeat", 1)
    assert found.status == 0
    assert f"{SECOND.id}: it did not show in 1 run" in found.err
    assert "A-ABORT, 4 bytes: association aborted by the service provider: unexpected pdu (2)" in found.out


def test_as_json_each_run_is_an_event(saved: Path) -> None:
    with serving("second-rq-answered") as port:
        found = again(saved, port, "--repeat", 2, "--json", "--quiet")
    assert found.status == 1
    assert [event["event"] for event in found.events] == ["reproducer", "run", "run", "summary"]
    assert found.events[0]["id"] == SECOND.id
    assert found.events[1]["shown"] is True
    assert "sent A-ASSOCIATE-RQ, 501 bytes" in found.events[1]["transcript"][1]
    assert found.events[-1] == {"event": "summary", "id": SECOND.id, "shown": 2, "tried": 2}


def test_exports_are_of_the_run_that_showed_it(saved: Path, tmp_path: Path) -> None:
    test, capture = tmp_path / "test_found.py", tmp_path / "found.pcapng"
    with serving("second-rq-answered") as port:
        found = again(saved, port, "--repeat", 1, "--export-pytest", test, "--export-pcapng", capture)
        assert found.status == 1
        assert f"{test}: a test; python {test} HOST PORT runs it" in found.err
        run = subprocess.run(
            [sys.executable, "-I", "-S", str(test), "127.0.0.1", str(port)], capture_output=True, text=True, check=False
        )
        assert run.returncode == 1
        assert "the peer did it again" in run.stderr
    assert SECOND.id.encode() in capture.read_bytes()


def test_the_test_of_a_finding_over_tls_speaks_tls(saved: Path, tmp_path: Path) -> None:
    test, capture = tmp_path / "test_found.py", tmp_path / "found.pcapng"
    with serving("second-rq-answered") as plain, tls_before(plain, tmp_path, hospital().server) as (port, files):
        words = ("--tls-ca", files.ca, "--repeat", 1, "--export-pytest", test, "--export-pcapng", capture)
        assert again(saved, port, *words).status == 1
        run = subprocess.run(
            [sys.executable, "-I", "-S", str(test), "127.0.0.1", str(port)],
            capture_output=True, text=True, check=False, env={"DICOS_TLS_CA": str(files.ca)},
        )  # fmt: skip
        assert run.returncode == 1
        assert "the peer did it again" in run.stderr
    assert port.to_bytes(2, "big") in capture.read_bytes()
    assert b"TLS is left out" in capture.read_bytes()
    hang = replace(SECOND, violation=HANG, conversation=replace(TWICE, steps=(Open(), Check())), tls=True)
    assert dicos("replay", put(tmp_path, hang), "--export-pytest", test).status == 0  # without a peer: as it was found
    assert "OVER_TLS = True" in test.read_text()


def test_without_a_peer_the_file_is_shown_and_exported(tmp_path: Path) -> None:
    steps = (Open(), Send(message=REQUEST), Check())
    path = put(tmp_path, replace(SECOND, violation=HANG, conversation=replace(TWICE, steps=steps)))
    test = tmp_path / "test_found.py"
    found = dicos("replay", path, "--show", "--export-pytest", test)
    assert found.status == 0
    assert "talk.check(CALLING)" in test.read_text()
    refused = dicos("replay", put(tmp_path, SECOND), "--export-pytest", test)
    assert refused.status == 1
    assert "not written: its transcript is not of this conversation: play it again, with HOST PORT" in refused.err


@contextmanager
def process(defect: str, port: int = 0) -> Iterator[tuple[int, int]]:
    """The broken provider as a process. Yields its port and its process id."""
    words = [sys.executable, "-m", "dicos_fuzz.broken", "--port", str(port), "--defect", defect]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as running:
        assert running.stdout is not None
        try:
            yield int(running.stdout.readline()), running.pid
        finally:
            running.kill()


CRASHING = replace(
    SECOND,
    violation=replace(HANG, oracle="crash", reaction="signal 11 (SIGSEGV)"),
    conversation=Conversation(
        name="lengths/item",
        steps=(
            Open(),
            Send(
                message=REQUEST,
                edits=(Edit("A-ASSOCIATE-RQ/user information/maximum length/length", Action.LENGTH, 0xFFFF),),
            ),
            Pause(seconds=0.1),
        ),
    ),
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        number: int = found.getsockname()[1]
        return number


@pytest.mark.timer  # a peer that refuses connections gets three seconds
def test_a_crash_shows_once_and_then_the_peer_does_not_serve(tmp_path: Path) -> None:
    with process("item-length-crash") as (port, _):
        found = again(put(tmp_path, CRASHING), port)
    assert found.status == 1
    assert "it showed in 1 of 1 run" in found.err
    assert "the peer does not serve any more: refuses connections" in found.err
    assert "on purpose: A-ASSOCIATE-RQ/user information/maximum length/length: 4 -> 65535" in found.out


def test_a_peer_that_is_started_is_started_again_after_a_crash(tmp_path: Path) -> None:
    port = free_port()
    command = shlex.join(
        [sys.executable, "-m", "dicos_fuzz.broken", "--port", str(port), "--defect", "item-length-crash"]
    )
    found = again(put(tmp_path, CRASHING), port, "--command", command, "--repeat", 2)
    assert found.status == 1, found.err
    assert "it showed in 2 of 2 runs" in found.err


@pytest.mark.slow  # the conversation is repeated, and its effect is waited for
def test_a_leak_is_seen_in_the_process(tmp_path: Path) -> None:
    abort = bytes.fromhex("07000000000400000000")
    leak = replace(UNEXPECTED, oracle="descriptor-leak", state="", reaction="descriptors not given back")
    steps = (Open(), Send(message=REQUEST), Await(), Send(message=abort), End())
    path = put(tmp_path, replace(SECOND, violation=leak, conversation=replace(TWICE, steps=steps)))
    with process("descriptor-at-abort") as (port, pid):
        found = again(path, port, "--pid", pid, "--repeat", 1)
        blind = again(path, port)
    assert found.status == 1, found.err
    assert blind.status == 2
    assert "descriptor-leak is seen in the peer's process: --pid PID, or --command COMMAND" in blind.err
    with process("none") as (port, pid):
        assert again(path, port, "--pid", pid, "--repeat", 1).status == 0


def test_other_faults_are_named_and_do_not_count(tmp_path: Path) -> None:
    other = replace(SECOND, violation=replace(UNEXPECTED, oracle="wrong-message-id"))
    with serving("second-rq-answered") as port:
        found = again(put(tmp_path, other), port, "--repeat", 1)
    assert found.status == 0
    assert "also seen: unexpected-pdu: the peer sent an A-ASSOCIATE-AC that it may not send" in found.err


# -- a peer that calls ---------------------------------------------------------------------------------------------

CALLED = replace(
    SECOND,
    violation=replace(UNEXPECTED, detail="the peer sent a P-DATA-TF after its A-ABORT", reaction="P-DATA-TF"),
    conversation=Conversation(
        name="sequence/abort",
        side=Side.PROVIDER,
        steps=(Open(), Answer(), Await(kinds=(4,)), Answer(), Await(kinds=(5,)), Answer()),
    ),
)
GOOD = "import sys; from dicos_transports.cli import main; sys.exit(main(['echoscu', '127.0.0.1', '{port}']))"
BAD = f"""
import socket
request, echo = bytes.fromhex("{REQUEST.hex()}"), bytes.fromhex("{echo().hex()}")
with socket.create_connection(("127.0.0.1", {{port}})) as peer:
    peer.sendall(request)
    peer.recv(65536)
    peer.sendall(bytes.fromhex("07000000000400000000") + echo)
    peer.recv(65536)
"""


@pytest.mark.parametrize(("caller", "status"), [(GOOD, 0), (BAD, 1)])
def test_a_peer_that_calls_is_made_to_call(tmp_path: Path, caller: str, status: int) -> None:
    command = shlex.join([sys.executable, "-c", caller])
    found = dicos("replay", put(tmp_path, CALLED), "--listen", 0, "--trigger", command, "--repeat", 1)
    assert "listening on 127.0.0.1:" in found.err
    assert found.status == status, found.err


def test_a_lost_output_is_not_the_status_of_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "finding.json"
    write(path, SECOND)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "replay", path, "--show", "--json"], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[-1]) == (4, "error: standard output: No space left on device")


def test_what_was_left_out_of_the_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "finding.json"
    write(path, replace(SECOND, left_out=7))
    assert "7 earlier conversations left out of the file" in dicos("replay", path, "--show").err


@pytest.mark.parametrize("other", ["finding.json", "symbolic", "hard", "../{folder}/finding.json"])
@pytest.mark.parametrize("option", ["--export-pytest", "--export-pcapng"])
def test_an_export_does_not_overwrite_the_reproducer(option: str, other: str, tmp_path: Path) -> None:
    path = tmp_path / "finding.json"
    write(path, SECOND)
    before = path.read_bytes()
    (tmp_path / "symbolic").symlink_to(path)
    (tmp_path / "hard").hardlink_to(path)
    done = dicos("replay", path, option, tmp_path / other.format(folder=tmp_path.name))
    assert done.status == 2
    assert "is the reproducer itself" in done.err
    assert done.err.count("\n") == 1
    assert path.read_bytes() == before


def test_two_exports_in_one_file_are_refused(tmp_path: Path) -> None:
    path, out = tmp_path / "finding.json", tmp_path / "out"
    write(path, SECOND)
    done = dicos("replay", path, "--export-pytest", out, "--export-pcapng", f"{tmp_path}/./out")
    assert done.status == 2
    assert "--export-pytest" in done.err
    assert "and --export-pcapng" in done.err
    assert not out.exists()


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "a peer is required: HOST PORT, or --listen PORT"),
        (("127.0.0.1",), "'127.0.0.1': no port; expected HOST PORT or HOST:PORT"),
        (("127.0.0.1", "x"), "port 'x'"),
        (("127.0.0.1", "0"), "port 0: a peer has a port from 1 to 65535"),
        (("A@127.0.0.1:0",), "port 0: a peer has a port from 1 to 65535"),
        (("127.0.0.1:104", "--time", "1_0"), "'1_0': expected seconds"),
        (("127.0.0.1", "104", "105"), "unrecognized arguments: 105"),
        (("A@127.0.0.1:104", "-aec", "B"), "two called AE titles"),
        (("127.0.0.1:104", "--listen", "0"), "one of them"),
        (("127.0.0.1:104", "--trigger", "x"), "--trigger without --listen"),
        (("127.0.0.1:104", "--repeat", "0"), "'0': expected 1 to 1000"),
        (("127.0.0.1:104", "--pid", "1", "--command", "x"), "--pid and --command"),
        (("127.0.0.1:104", "--command", "'"), "No closing quotation"),
    ],
)
def test_bad_usage_ends_with_2(saved: Path, words: tuple[str, ...], text: str) -> None:
    found = dicos("replay", saved, *words)
    assert found.status == 2
    assert text in found.err
    assert found.err.count("\n") == 1


def test_a_peer_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    assert "is for a peer that calls: --listen PORT" in again(put(tmp_path, CALLED), 104).err
    found = dicos("replay", put(tmp_path, SECOND), "--listen", 0)
    assert found.status == 2
    assert "is for a peer that listens: HOST PORT" in found.err


def test_a_peer_that_is_not_on_this_host_needs_its_owner(saved: Path) -> None:
    found = dicos("replay", saved, "192.0.2.1", 104)
    assert found.status == 2
    assert "192.0.2.1 is not on this host: the peer may crash" in found.err
    assert "--i-own-this-peer" in found.err
    everywhere = dicos("replay", put(saved.parent, CALLED), "--listen", "0.0.0.0:0")
    assert everywhere.status == 2
    assert "--i-own-this-peer" in everywhere.err


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "line 1, column 1: Expecting value"),
        (b"\x1b[31m", "line 1, column 1"),
        (b"{}", 'not a reproducer: it has no "dicos reproducer"'),
        (b"[" * 100_000, "line 1, column 33: nested more than 32 deep"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, raw: bytes, text: str) -> None:
    path = tmp_path / "found.json"
    path.write_bytes(raw)
    found = again(path, 104)
    assert found.status == 2
    assert f"error: {path}: {text}" in found.err


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "no.json", "no such file"), (tmp_path, "is a directory")):
        found = again(path, 104)
        assert found.status == 2
        assert f"error: {path}: {why}" in found.err.lower()


def test_an_expectation_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    plain = json_of_reproducer(replace(SECOND, conversation=replace(TWICE, expect="magic")))
    path.write_text(json.dumps(plain))
    found = again(path, 104)
    assert found.status == 2
    assert "expect: 'magic'; this version does not know it" in found.err


def test_no_peer_there_ends_with_3(saved: Path) -> None:
    found = again(saved, free_port())
    assert found.status == 3
    assert "cannot be reached: " in found.err


def test_text_of_the_file_cannot_harm_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b[31mred\u202e\nerror: forged"
    violation = replace(UNEXPECTED, detail=hostile, clause=hostile, state=hostile, oracle="x")
    with serving("none") as port:
        found = again(
            put(tmp_path, replace(SECOND, violation=violation, peer=hostile, program=hostile)), port, "--repeat", 1
        )
    assert found.status == 0
    for stream in (found.out, found.err):
        assert "\x1b" not in stream
        assert "\u202e" not in stream
        assert not [line for line in stream.splitlines() if line.startswith("error: forged")]

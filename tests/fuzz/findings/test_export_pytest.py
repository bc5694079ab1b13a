"""Exported tests: they run without this package, fail on the peer that has the fault and pass on the one that has not,
and no text of a file becomes code."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.player import Peer, Player
from dicos_fuzz.conversation import (
    Answer,
    Await,
    Check,
    Conversation,
    End,
    Entry,
    Open,
    Pause,
    Reading,
    Send,
    Side,
    Transcript,
    What,
)
from dicos_fuzz.finding import Severity, Violation
from dicos_fuzz.findings.export_pytest import CannotExport, pytest_of
from dicos_fuzz.findings.reproducer import Reproducer
from dicos_fuzz.grammar import echo
from dicos_fuzz.tree import Action, Edit
from tests.fuzz import values
from tests.fuzz.broken.client import REQUEST, serving
from tests.fuzz.campaign.peers import raw_peer, receive_all
from tests.fuzz.findings.examples import FINDING, VIOLATION
from tests.fuzz.findings.test_reproducer import violations
from tests.fuzz.terminator import tls_before
from tests.interop.peers import free_port
from tests.transports.certificates import HOST, hospital, write_all

RELEASE = values.PDUS["A-RELEASE-RQ"]
TWICE = Conversation(
    name="sequence/second request",
    about="a second A-ASSOCIATE-RQ",
    steps=(
        Open(),
        Send(message=REQUEST),
        Await(kinds=(2,)),
        Send(message=REQUEST, edits=(Edit("A-ASSOCIATE-RQ/reserved", Action.SET, b"\xff"),)),
        Await(),
    ),
)
WRONG_STATE = replace(VIOLATION, oracle="wrong-state", state="Sta6", reaction="A-ASSOCIATE-AC")


def played(conversation: Conversation, port: int) -> Transcript:
    with Player(Peer(port=port), Learned()) as player:
        return player.play(conversation)


def run(source: str, folder: Path, port: int, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs an exported test in a process that does not have this package."""
    path = folder / "test_exported.py"
    path.write_text(source, "ascii")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [
            sys.executable,
            *([] if words else ["-I", "-S"]),
            *words,
            str(path),
            *([] if words else ["127.0.0.1", str(port)]),
        ],
        cwd=folder,
        env=clean | {"DICOS_PORT": str(port), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_reaction_fails_the_test_and_a_right_one_passes_it(tmp_path: Path) -> None:
    with serving("second-rq-answered") as port:
        transcript = played(TWICE, port)
        made = Reproducer(violation=WRONG_STATE, conversation=TWICE, transcript=transcript)
        source = pytest_of(made, transcript)
        assert "# A-ASSOCIATE-RQ: called title" in source
        assert "# On purpose: A-ASSOCIATE-RQ/reserved: 00 -> ff" in source
        assert "SHOWN = {0: 'A-ASSOCIATE-AC 1:0 3:0 5:0 7:0 9:0 (2 times), open'}" in source
        found = run(source, tmp_path, port, DICOS_SECONDS="0.5")
        assert found.returncode == 1
        assert "the peer did it again: {0: 'A-ASSOCIATE-AC" in found.stderr
        under_pytest = run(source, tmp_path, port, "-m", "pytest", "-q", "-p", "no:cacheprovider", DICOS_SECONDS="0.5")
        assert under_pytest.returncode == 1
        assert "1 failed" in under_pytest.stdout
    with serving("none") as port:
        good = run(source, tmp_path, port)
        assert (good.returncode, good.stderr) == (0, "")
        assert "not shown" in good.stdout


def test_a_peer_that_serves_nobody_fails_the_test(tmp_path: Path) -> None:
    slow = Conversation(name="slow/first PDU", steps=(Open(), Send(message=REQUEST[:20]), Check()))
    with serving("accept-loop") as port:
        made = Reproducer(violation=VIOLATION, conversation=slow, transcript=Transcript())
        source = pytest_of(made, Transcript(), seconds=0.4)
        found = run(source, tmp_path, port)
        assert found.returncode == 1
        assert "a good echo beside it: ['no A-ASSOCIATE-AC: open']" in found.stderr
    with serving("none") as port:
        assert run(source, tmp_path, port).returncode == 0


def test_conversations_that_are_needed_before_it_run_before_it(tmp_path: Path) -> None:
    rejected = replace(values_of_titles(), name="titles/rejected")
    made = Reproducer(
        violation=VIOLATION, conversation=replace(TWICE, steps=(Check(),)), before=(rejected,), transcript=Transcript()
    )
    with serving("after-reject") as port:
        source = pytest_of(made, Transcript(), seconds=2)
        found = run(source, tmp_path, port)
        assert found.returncode == 1
        assert "no successful C-ECHO-RSP" in found.stderr
        alone = pytest_of(replace(made, before=()), Transcript())
        assert run(alone, tmp_path, port).returncode == 0
    with serving("none") as port:
        assert run(source, tmp_path, port).returncode == 0


def values_of_titles() -> Conversation:
    """A request with another application context, which is rejected."""
    wrong = Edit("A-ASSOCIATE-RQ/application context/UID", Action.SET, b"1.2.3")
    return Conversation(name="x", steps=(Open(), Send(message=REQUEST, edits=(wrong,)), Await(), End()))


def test_an_answer_is_the_one_that_was_recorded(tmp_path: Path) -> None:
    """This side is called, and answers by an A-ASSOCIATE-AC with a wrong length."""
    twice = Edit("A-ASSOCIATE-AC", Action.REPEAT)
    called = Conversation(
        name="x", side=Side.PROVIDER, steps=(Open(), Answer(edits=(twice,)), Await(kinds=(7,)), Answer())
    )
    accept = values.PDUS["A-ASSOCIATE-AC"]
    transcript = Transcript(
        [
            Entry(0, 0, What.OPENED),
            Entry(0, 0, What.RECEIVED, REQUEST),
            Entry(0, 0, What.SENT, accept * 2),
            Entry(0, 0, What.RECEIVED, values.PDUS["A-ABORT"]),
        ]
    )
    source = pytest_of(Reproducer(violation=WRONG_STATE, conversation=called, transcript=transcript), transcript)
    assert "LISTEN = True" in source
    assert source.count("talk.send(0, MESSAGE_1)") == 1
    assert "MESSAGE_2" not in source  # the second answer was not reached
    assert "SHOWN = {0: 'A-ASSOCIATE-RQ, A-ABORT 2/6'}" in source


def test_a_test_that_nobody_calls_says_that_it_waits_and_does_not_pass(tmp_path: Path) -> None:
    steps = (Open(), Answer(), Await(kinds=(7,)))
    called = Conversation(name="x", side=Side.PROVIDER, steps=steps)
    transcript = Transcript([Entry(0, 0, What.OPENED), Entry(0, 0, What.RECEIVED, REQUEST), Entry(0, 0, What.ENDED)])
    source = pytest_of(Reproducer(violation=WRONG_STATE, conversation=called, transcript=transcript), transcript)
    assert "The peer has to call: the test listens at HOST PORT" in source
    assert "the test waits 30 seconds for each call" in source
    port = free_port()
    found = run(source.replace("CALL_SECONDS = 30.0", "CALL_SECONDS = 0.1"), tmp_path, port)
    assert found.returncode == 3
    assert f"waiting 0.1 s for the peer to call 127.0.0.1:{port}" in found.stderr
    assert f"no association: nothing was tested: no call at 127.0.0.1:{port} within 0.1 s" in found.stderr


def nothing_was_tested(source: str, folder: Path, port: int, **environment: str) -> str:
    """Runs a test as a script and under pytest. Returns what it says; fails if it passes."""
    alone = run(source, folder, port, **environment)
    assert alone.returncode == 3, alone.stdout + alone.stderr
    assert "not shown" not in alone.stdout
    assert "nothing was tested: " in alone.stderr
    assert "Traceback" not in alone.stderr
    under_pytest = run(source, folder, port, "-m", "pytest", "-q", "-p", "no:cacheprovider", **environment)
    assert under_pytest.returncode == 1
    assert "1 failed" in under_pytest.stdout
    assert "nothing was tested: " in under_pytest.stdout
    return alone.stderr


@pytest.mark.parametrize("oracle", ["wrong-state", "hang", "memory-growth"])
def test_without_a_peer_that_serves_it_never_passes(oracle: str, tmp_path: Path) -> None:
    with serving("second-rq-answered") as port:
        transcript = played(TWICE, port)
    made = Reproducer(violation=replace(WRONG_STATE, oracle=oracle), conversation=TWICE, transcript=transcript)
    source = pytest_of(made, transcript, seconds=0.3)
    assert "the connection was refused" in nothing_was_tested(source, tmp_path, free_port())
    with raw_peer(lambda sock: None) as port:
        assert "no A-ASSOCIATE-AC: " in nothing_was_tested(source, tmp_path, port)
    with raw_peer(lambda sock: receive_all(sock) and None) as port:
        assert "no A-ASSOCIATE-AC: open" in nothing_was_tested(source, tmp_path, port)
    with serving("none") as plain, tls_before(plain, tmp_path, hospital().server) as (port, files):
        assert "no A-ASSOCIATE-AC: " in nothing_was_tested(source, tmp_path, port)
        trusting = {"DICOS_TLS_CA": str(files.ca)}
        assert "no connection: " in nothing_was_tested(source, tmp_path, plain, **trusting)


def test_over_tls_the_peer_is_verified_unless_it_is_said_not_to(tmp_path: Path) -> None:
    with serving("second-rq-answered") as plain, tls_before(plain, tmp_path, hospital().server) as (port, files):
        transcript = played(TWICE, plain)
        made = Reproducer(violation=WRONG_STATE, conversation=TWICE, transcript=transcript, tls=True)
        source = pytest_of(made, transcript, seconds=1)
        assert "OVER_TLS = True" in source
        said = nothing_was_tested(source, tmp_path, port)
        assert "CERTIFICATE_VERIFY_FAILED" in said
        stranger = {"DICOS_TLS_CA": str(files.ca), "DICOS_TLS_NAME": "elsewhere.example"}
        assert "CERTIFICATE_VERIFY_FAILED" in nothing_was_tested(source, tmp_path, port, **stranger)
        missing = nothing_was_tested(source, tmp_path, port, DICOS_TLS_CA=str(tmp_path / "none.pem"))
        assert "a file of DICOS_TLS_CA, _CERT or _KEY cannot be used" in missing
        for environment in (
            {"DICOS_TLS_CA": str(files.ca)},
            {"DICOS_TLS_CA": str(files.ca), "DICOS_TLS_NAME": HOST},
            {"DICOS_TLS_NO_VERIFY": "1"},
        ):
            found = run(source, tmp_path, port, **environment)
            assert found.returncode == 1
            assert "the peer did it again: {0: 'A-ASSOCIATE-AC" in found.stderr
        assert run(source, tmp_path, plain, DICOS_TLS="0").returncode == 1
        found_without = pytest_of(replace(made, tls=False), transcript, seconds=1)
        assert run(found_without, tmp_path, port, DICOS_TLS="1", DICOS_TLS_CA=str(files.ca)).returncode == 1
    with serving("none") as plain, tls_before(plain, tmp_path, hospital().server) as (port, files):
        good = run(source, tmp_path, port, DICOS_TLS_CA=str(files.ca))
        assert (good.returncode, good.stderr) == (0, "")


CALLED = Conversation(name="x", side=Side.PROVIDER, steps=(Open(), Answer(), Await(kinds=(7,), seconds=0.2)))
ACCEPT = values.PDUS["A-ASSOCIATE-AC"]
CALLER = """
import socket, sys, time
for _ in range(100):
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
            sock.sendall(bytes.fromhex(sys.argv[2]))
            sock.settimeout(1)
            while sock.recv(1000):
                pass
    except OSError:
        time.sleep(0.02)
"""


@pytest.mark.parametrize(("said", "status"), [(REQUEST.hex(), 0), ("", 3), ("474554202f20485454502f312e310d0a0d0a", 3)])
def test_a_peer_that_calls_has_to_send_a_request(said: str, status: int, tmp_path: Path) -> None:
    transcript = Transcript(
        [Entry(0, 0, What.OPENED), Entry(0, 0, What.RECEIVED, REQUEST), Entry(0, 0, What.SENT, ACCEPT),
         Entry(0, 0, What.RECEIVED, values.PDUS["A-ABORT"])]
    )  # fmt: skip
    source = pytest_of(
        Reproducer(violation=WRONG_STATE, conversation=CALLED, transcript=transcript), transcript, seconds=0.3
    )
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", CALLER, str(port), said], stderr=subprocess.DEVNULL) as caller:
        found = run(source, tmp_path, port)
        caller.kill()
    assert found.returncode == status, found.stderr
    if status:
        assert "it calls, and sends no A-ASSOCIATE-RQ" in found.stderr


def test_a_peer_that_calls_over_tls_needs_a_certificate_of_this_side(tmp_path: Path) -> None:
    transcript = Transcript(
        [Entry(0, 0, What.OPENED), Entry(0, 0, What.RECEIVED, REQUEST), Entry(0, 0, What.SENT, ACCEPT)]
    )
    made = Reproducer(violation=WRONG_STATE, conversation=CALLED, transcript=transcript, tls=True)
    source = pytest_of(made, transcript, seconds=0.3)
    files, port = write_all(tmp_path, hospital().server), free_port()
    assert "DICOS_TLS_CA names the CAs" in nothing_was_tested(source, tmp_path, port)
    assert "DICOS_TLS_CERT names the certificate" in nothing_was_tested(source, tmp_path, port, DICOS_TLS_NO_VERIFY="1")
    caller = CALLER.replace(
        "sock.sendall",
        "sock = __import__('ssl')._create_unverified_context().wrap_socket(sock)\n            sock.sendall",
    )
    with subprocess.Popen([sys.executable, "-c", caller, str(port), REQUEST.hex()], stderr=subprocess.DEVNULL) as calls:
        own = {"DICOS_TLS_CERT": str(files.certificate), "DICOS_TLS_KEY": str(files.key)}
        found = run(source, tmp_path, port, DICOS_TLS_NO_VERIFY="1", **own)
        calls.kill()
    assert found.returncode == 1
    assert "the peer did it again: {0: 'A-ASSOCIATE-RQ" in found.stderr


def test_what_cannot_be_exported_says_why() -> None:
    made = Reproducer(violation=WRONG_STATE, conversation=TWICE, transcript=Transcript())
    other = Transcript([Entry(0, 0, What.SENT, b"something else")])
    with pytest.raises(CannotExport, match="play it again, with HOST PORT"):
        pytest_of(made, other)
    answering = replace(TWICE, steps=(Open(), Answer()))
    with pytest.raises(CannotExport, match="only dicos replay can do"):
        pytest_of(replace(made, before=(answering,)), Transcript())
    for step in (Open(bare=True), Send(message=b"x", beneath=True), End(how="notify")):
        with pytest.raises(CannotExport, match="beneath TLS, which only dicos replay can do"):
            pytest_of(replace(made, conversation=replace(TWICE, steps=(Open(), step))), made.transcript)
    large = Conversation(name="x", steps=(Send(message=bytes(300_000)),))
    with pytest.raises(CannotExport, match="it sends 300,000 bytes; at most 262,144"):
        pytest_of(replace(made, violation=VIOLATION, conversation=large), Transcript())


@pytest.mark.parametrize("oracle", ["memory-growth", "log-traceback"])
def test_a_finding_inside_the_peer_is_repeated_and_says_so(oracle: str) -> None:
    made = Reproducer(violation=replace(VIOLATION, oracle=oracle), conversation=TWICE, transcript=Transcript())
    source = pytest_of(made, Transcript())
    assert "for _ in range(20):" in source
    assert "watch its memory" in source


def test_a_flaky_finding_is_tried_as_often_as_it_was() -> None:
    made = Reproducer(violation=VIOLATION, conversation=TWICE, transcript=Transcript(), replayed=(2, 5))
    assert "for _ in range(5):" in pytest_of(made, Transcript())


HOSTILE = [
    '"""\nimport os; os.abort()\n"""',
    "\\",
    "x\nimport os\nos.abort()",
    "\x00\x1b[31m\u2028\ud800",
    "{violation}%s",
    "'''",
    '"' * 50,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_file_becomes_code(text: str) -> None:
    violation = Violation(
        oracle=text or "x", severity=Severity.LOW, detail=text, clause=text, state=text, reaction=text
    )
    conversation = Conversation(
        name=text,
        about=text,
        steps=(Open(), Send(message=REQUEST, edits=(Edit(text, Action.DELETE),)), Pause(seconds=1)),
    )
    transcript = Transcript([Entry(0, 0, What.SENT, REQUEST)])
    made = Reproducer(
        violation=violation, conversation=conversation, transcript=transcript, peer=text, program=text, made=text
    )
    check_source(pytest_of(made, transcript, called="A"))


def check_source(source: str) -> None:
    assert source.isascii()
    tree = ast.parse(source)
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"os", "select", "socket", "ssl", "struct", "sys", "time"}
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"eval", "exec", "__import__", "compile"}


@settings(max_examples=30)
@given(violations, values.conversations, values.transcripts)
def test_any_reproducer_has_a_test_that_python_reads_or_says_why_not(
    violation: Violation, conversation: Conversation, transcript: Transcript
) -> None:
    made = Reproducer(violation=violation, conversation=conversation, transcript=transcript)
    try:
        source = pytest_of(made, transcript)
    except CannotExport:
        return
    check_source(source)


def test_every_step_is_played(tmp_path: Path) -> None:
    everything = Conversation(
        name="x",
        steps=(
            Open(),
            Open(connection=1),
            Send(message=REQUEST, piece=50, gap=0.001),
            Await(kinds=(2,)),
            Reading(on=False),
            Send(message=echo()),
            Pause(seconds=0.05),
            Reading(on=True),
            Await(kinds=(4,), seconds=5),
            Check(),
            Send(message=REQUEST, connection=1),
            Await(connection=1),
            End(connection=1, how="reset"),
            Send(message=RELEASE),
            Await(),
            End(how="half"),
        ),
    )
    with serving("none") as port:
        transcript = played(everything, port)
        made = Reproducer(violation=replace(VIOLATION, oracle="x"), conversation=everything, transcript=transcript)
        found = run(pytest_of(made, transcript), tmp_path, port)
    assert found.returncode == 1, found.stderr
    accepted = "A-ASSOCIATE-AC 1:0 3:0 5:0 7:0 9:0"
    said = f"{{0: '{accepted}, message 8030 status 0000, A-RELEASE-RP', 1: '{accepted}, open'}}"
    assert f"the peer did it again: {said}" in found.stderr


def test_it_needs_no_newer_python_than_it_says() -> None:
    made = Reproducer(violation=FINDING.violation, conversation=TWICE, transcript=Transcript())
    ast.parse(pytest_of(made, Transcript()), feature_version=(3, 8))

"""Exported captures: the finding and what is wrong on purpose are comments of the packets in which they are."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dicos_fuzz.captures.events import Opened
from dicos_fuzz.captures.reading import Recording
from dicos_fuzz.conversation import Conversation, Entry, Open, Send, Transcript, What
from dicos_fuzz.findings.export_capture import write_capture
from dicos_fuzz.findings.reproducer import Reproducer, of_finding
from tests.fuzz import values
from tests.fuzz.findings.examples import CONVERSATION, FINDING, TRANSCRIPT, VIOLATION

MADE = Reproducer(violation=VIOLATION, conversation=CONVERSATION, transcript=TRANSCRIPT)


def test_the_finding_and_the_faults_are_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    write_capture(path, MADE, TRANSCRIPT)
    raw = path.read_bytes()
    assert raw.startswith(b"\x0a\x0d\x0d\x0a")
    assert raw.count(f"{MADE.id}: no answer to a good echo within 5.0 s [PS3.8 9.2]".encode()) == 2
    assert raw.count(b"on purpose: A-ASSOCIATE-RQ/presentation context#2/length: 79 -> 65535") == 1


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_shows_the_comments_at_their_packets(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    write_capture(path, MADE, TRANSCRIPT)
    fields = ["-T", "fields", "-e", "tcp.flags.str", "-e", "tcp.len", "-e", "frame.comment"]
    found = subprocess.run(["tshark", "-r", str(path), *fields], capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in found.stdout.splitlines()]
    noted = [(size, note) for _, size, note in lines if note]
    assert noted[0] == ("0", f"{MADE.id}: no answer to a good echo within 5.0 s [PS3.8 9.2]")
    size, note = noted[1]
    assert size == "100"
    assert note.startswith("on purpose: A-ASSOCIATE-RQ/presentation context#2/length: 79 -> 65535; on purpose: ")


def test_the_time_and_the_port_are_those_of_the_run_or_said_to_be_made_up(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    write_capture(path, MADE, TRANSCRIPT)
    raw = path.read_bytes()
    assert (
        b"Made up, because the reproducer does not have them: the packets, the addresses, the port of the side" in raw
    )
    assert b"the port of the side that listens, the date." in raw
    write_capture(path, replace(MADE, at=1_764_489_600.25, port=4711, tls=True), TRANSCRIPT)
    raw = path.read_bytes()
    assert b"the addresses, the port of the side that calls; TLS is left out." in raw
    with path.open("rb") as file:
        opened = next(one for one in Recording(file, str(path), ports=(4711,)).events() if isinstance(one, Opened))
    assert opened.connection.server.port == 4711
    assert opened.connection.at == 1_764_489_600_250_000_000


def test_a_run_without_a_connection_is_a_file_without_packets(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    write_capture(path, MADE, Transcript())
    assert MADE.id.encode() in path.read_bytes()


def test_contents_of_the_peer_are_not_in_the_capture_of_a_reproducer(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    made = of_finding(FINDING)
    write_capture(path, made, made.transcript)
    assert b"Doe" not in path.read_bytes()


def test_a_refused_connection_carries_the_finding(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    conversation = Conversation(name="x", steps=(Open(), Send(message=values.REQUEST)))
    made = Reproducer(violation=VIOLATION, conversation=conversation, transcript=Transcript())
    write_capture(path, made, Transcript([Entry(0.0, 0, What.REFUSED, note="ECONNREFUSED")]))
    assert b"ECONNREFUSED" in path.read_bytes()

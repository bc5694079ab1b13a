"""The tap with TLS: live decryption with a key log that is written meanwhile, and the report without one.

With our own peers, and with DCMTK's, whose server asks for a second ClientHello.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicos_fuzz.captures.events import Connection, Data, Event, How, Opened, Over
from dicos_fuzz.captures.packets import Endpoint
from dicos_fuzz.captures.tapped import MOST_UNDECIDED, NO_KEYS, Readable
from dicos_proto import encode
from dicos_proto.upper_layer.pdu_types import Abort
from tests.interop.peers import dcmtk_storescp, needs_dcmtk
from tests.pair import REQUEST
from tests.transports.certificates import Files, hospital, write_all
from tests.transports.cli.commands import COMMAND, ENVIRONMENT, TIMEOUT, Result, dicos, provider

HELLO = b"\x16\3\1\0\x05hello"
ASKED, ABORTED = encode(REQUEST), encode(Abort())


# -- the stage -----------------------------------------------------------------------------------------------------


def stage(*said: tuple[bool, bytes], undecrypted: str = "", over: bool = True) -> tuple[list[bytes], list[str]]:
    """The bytes that are passed on, and the reports."""
    reports: list[str] = []
    readable = Readable(lambda connection, why: reports.append(why))
    one = Connection(1, Endpoint("10.0.0.1", 40_000), Endpoint("10.0.0.2", 104), 0, undecrypted=undecrypted)
    events: list[Event] = [Opened(one), *(Data(one, who, 0, memoryview(data)) for who, data in said)]
    passed = [b"", b""]
    count = 0
    for event in [*events, Over(one, 0, How.CLOSED)] if over else events:
        for made in readable.feed(event):
            count += 1
            if isinstance(made, Data):
                passed[made.by_client] += made.data
    assert not reports or count == 0
    if over:
        assert not readable._undecided
        assert not readable._left_out
    return passed, reports


@pytest.mark.parametrize(
    "said",
    [
        [(True, ASKED), (False, ABORTED)],
        [(True, b"GET / HTTP/1.1")],
        [(False, b"SSH-2.0"), (True, HELLO)],
        [(True, b"\x16"), (True, b"\4\4")],
        [(True, b"\x16")],
        [],
        [(True, HELLO), (False, ABORTED)],  # a provider without TLS
    ],
)
def test_everything_but_tls_is_passed_on(said: list[tuple[bool, bytes]]) -> None:
    passed, reports = stage(*said)
    assert passed == [b"".join(data for who, data in said if who == side) for side in (False, True)]
    assert reports == []


@pytest.mark.parametrize(
    ("said", "over"),
    [
        ([(True, HELLO)], True),
        ([(True, b"\x16"), (True, b"\3\1"), (False, b"\x16\3\3")], False),
        ([(True, HELLO), (False, b"\x15\3\3\0\2\2\x28"), (True, HELLO)], False),
        ([(True, HELLO), (True, bytes(MOST_UNDECIDED))], False),
    ],
)
def test_tls_is_reported_once_and_left_out(said: list[tuple[bool, bytes]], over: bool) -> None:
    assert stage(*said, over=over) == ([b"", b""], [NO_KEYS])
    assert stage(*said, undecrypted="damage") == ([b"", b""], ["damage"])


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_all(tmp_path, hospital().rsa_server)


class Tap:
    """A tap that runs. `port`: where it listens. `events`: what it has printed, read until a line of one kind."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, object]] = []
        self.port = self.until("listening")["port"]

    def until(self, name: str) -> dict[str, object]:
        assert self.process.stdout is not None
        while not self.events or self.events[-1]["event"] != name:
            self.events.append(json.loads(self.process.stdout.readline()))
        return self.events[-1]

    def messages(self) -> list[object]:
        return [one["message"] for one in self.events if one["event"] == "command"]

    def stop(self) -> Result:
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=TIMEOUT)
        return Result(self.process.returncode, out, err)


@contextmanager
def tap(target: int, *words: object) -> Iterator[Tap]:
    command = [*COMMAND, "trace", "--json", "--listen", "0", "--to", f"127.0.0.1:{target}", *map(str, words)]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        try:
            yield Tap(process)
        finally:
            process.kill()


def echo(port: object, *words: object) -> None:
    assert dicos("echoscu", "-q", "--tls-no-verify", *words, "127.0.0.1", port).status == 0


def of(files: Files) -> tuple[object, ...]:
    return ("--tls-cert", files.certificate, "--tls-key", files.key, "--tls-ca", files.ca)


def test_a_key_log_that_is_not_there_yet_decrypts_live(files: Files, tmp_path: Path) -> None:
    log, written = tmp_path / "keys.log", tmp_path / "tap.pcapng"
    with provider("echoscp", *of(files)) as scp, tap(scp.port, "--keylog", log, "--write", written) as tapped:
        for _ in range(2):
            echo(tapped.port, "--tls-cert", files.certificate, "--tls-key", files.key, "--tls-keylog", log)
            assert tapped.until("end")["outcome"] == "released"
            tapped.events[-1]["event"] = ""
        assert tapped.messages() == ["C-ECHO-RQ", "C-ECHO-RSP"] * 2
        assert "TLS 1.3" in str(next(one["tls"] for one in tapped.events if one["event"] == "association"))
        done = tapped.stop()
    assert (done.status, "not decrypted" in done.err) == (130, False)
    read = dicos("trace", "--json", "--keylog", log, written)
    assert [one["message"] for one in read.named("command")] == ["C-ECHO-RQ", "C-ECHO-RSP"] * 2


def test_without_a_key_log_tls_is_passed_on_and_reported(files: Files) -> None:
    with provider("echoscp", *of(files)) as scp, tap(scp.port, "-q") as tapped:
        echo(tapped.port, "--tls-cert", files.certificate, "--tls-key", files.key)
        assert tapped.until("unread")["why"] == NO_KEYS
        done = tapped.stop()
    assert done.err.endswith("TLS connection not decrypted: no key log (--keylog)\n")
    assert "association" not in {one["event"] for one in tapped.events}


def test_a_key_log_with_other_secrets_is_reported_when_the_connection_is_over(files: Files, tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    with provider("echoscp", *of(files)) as scp, tap(scp.port, "--keylog", log) as tapped:
        echo(tapped.port, "--tls-cert", files.certificate, "--tls-key", files.key)
        assert str(tapped.until("unread")["why"]).startswith("the key log has no SERVER_HANDSHAKE_TRAFFIC_SECRET")
        tapped.stop()


def test_a_key_log_of_something_else_is_refused_at_the_start(tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    log.write_bytes(b"\x0a\x0d\x0d\x0a not a key log\n")
    done = dicos("trace", "--listen", "0", "--to", "127.0.0.1:1", "--keylog", log)
    assert (done.status, f"error: {log}: no secret of a TLS connection" in done.err) == (2, True)


def test_a_user_with_tls_that_calls_a_provider_without_is_shown() -> None:
    with provider("echoscp") as scp, tap(scp.port) as tapped:
        dicos("echoscu", "-q", "--tls-no-verify", "127.0.0.1", tapped.port)
        tapped.until("end")
        assert "A-ABORT" in [one.get("type") for one in tapped.events]
        tapped.stop()


def test_a_handshake_that_fails_is_reported_with_its_alert(files: Files, tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    with provider("echoscp", *of(files)) as scp, tap(scp.port, "--keylog", log) as tapped:
        with socket.create_connection(("127.0.0.1", int(str(tapped.port)))) as client:
            client.sendall(b"\x16\3\1\0\x2d\1\0\0\x29\3\3" + os.urandom(32) + b"\0\0\2\0\x05\1\0")
            while client.recv(1000):
                pass
        why = str(tapped.until("unread")["why"])
        assert why.startswith("the handshake failed: alert ")
        assert why.endswith(" of the server")
        tapped.stop()


# -- DCMTK ---------------------------------------------------------------------------------------------------------


@pytest.mark.interop
@needs_dcmtk
@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_dcmtk_is_decrypted_live_and_from_the_file(profile: str, files: Files, tmp_path: Path) -> None:
    log, written, folder = tmp_path / "keys.log", tmp_path / "tap.pcapng", tmp_path / "received"
    folder.mkdir()
    with (
        dcmtk_storescp(folder, "+tls", files.key, files.certificate, "-ic", profile) as target,
        tap(target, "--keylog", log, "--write", written) as tapped,
    ):
        echo(tapped.port, "--tls-keylog", log)
        assert tapped.until("end")["outcome"] == "released"
        assert tapped.messages() == ["C-ECHO-RQ", "C-ECHO-RSP"]
        tapped.stop()
    read = dicos("trace", "--json", "--keylog", log, written)
    assert [one["message"] for one in read.named("command")] == ["C-ECHO-RQ", "C-ECHO-RSP"]
    assert "not decrypted" not in read.err


@pytest.mark.interop
@needs_dcmtk
def test_the_alert_of_a_dcmtk_that_requires_a_certificate_is_shown_live(files: Files, tmp_path: Path) -> None:
    log, folder = tmp_path / "keys.log", tmp_path / "received"
    folder.mkdir()
    with (
        dcmtk_storescp(folder, "+tls", files.key, files.certificate, "-rc", "+cf", files.ca) as target,
        tap(target, "--keylog", log) as tapped,
    ):
        assert dicos("echoscu", "-q", "--tls-no-verify", "--tls-keylog", log, "127.0.0.1", tapped.port).status != 0
        tapped.until("end")
        marks = [one for event in tapped.events for one in event.get("marks", ())]  # type: ignore[attr-defined]
        assert "TLS: alert 116 (certificate_required)" in [one["text"] for one in marks]
        tapped.stop()

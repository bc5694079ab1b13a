"""`dicos echoscu` and `dicos echoscp` against each other, against DCMTK, and against peers that fail."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dicos_proto.dimse.types import CStoreRequest
from dicos_transports.blocking import Session
from tests.pair import command, p_data
from tests.transports.cli.commands import ENVIRONMENT, TIMEOUT, deaf_port, dicom_file, dicos, provider
from tests.transports.connections import ASKED, CT, answer_all, read_pdu, server

START_MODULES = """
import json, sys
from dicos_transports.cli import main
status = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)))
sys.exit(status)
"""
# Modules that take longer to import than an echo, and modules of other subcommands.
HEAVY = {
    *("pydicom", "numpy", "logging", "asyncio", "subprocess", "concurrent.futures", "importlib.metadata", "email"),
    *("json", "hashlib", "pathlib", "tempfile", "ssl", "http", "uuid", "dicos_proto.dissect"),
    *("trio", "OpenSSL", "cryptography", "fcntl", "queue", "dicos_transports.files"),
}


def test_an_echo() -> None:
    with provider("echoscp") as scp:
        result = dicos("echoscu", "-v", "127.0.0.1", scp.port)
        assert result.status == 0
        assert result.out == ""
        assert "1 of 1 C-ECHO succeeded" in result.err
        assert "1 of 1 context accepted" in result.err
        end = scp.stop()
    assert end.status == 0
    assert "listening on 127.0.0.1:" in end.err
    assert "--bind 0.0.0.0" in end.err
    assert [event["event"] for event in end.events] == ["association", "echo", "summary"]
    assert end.named("association")[0]["called_aet"] == "ANY-SCP"
    assert end.named("echo")[0]["calling_aet"] == "DICOS_PROTO"
    assert end.named("summary")[0]["echoes"] == 1


@pytest.mark.usefixtures("transport")
def test_a_peer_in_one_word_with_its_title() -> None:
    seen: list[tuple[str, str]] = []

    def handle(session: Session) -> None:
        seen.append((session.called_aet, session.peer.rpartition(":")[0]))
        answer_all(session)

    with server(handle) as running:
        for words in (
            (f"STORE@127.0.0.1:{running.port}", "--keepalive", "off"),
            ("STORE@127.0.0.1", running.port),
            ("-aec", "STORE", "127.0.0.1", "--keepalive", "5", running.port),
            ("-v", f"STORE@localhost:{running.port}", "--source-address", "127.0.0.2", "-aec", "STORE"),
        ):
            result = dicos("echoscu", *words)
            assert result.status == 0, result.err
    assert seen == [("STORE", "127.0.0.1")] * 3 + [("STORE", "127.0.0.2")]


def test_a_provider_listens_on_addresses() -> None:
    with provider("echoscp", "STORE@127.0.0.1:0", "--listen", "127.0.0.2:0", "--require-called-aet") as scp:
        first, second = scp.listening["on"].split(", ")
        assert second.startswith("127.0.0.2:")
        assert dicos("echoscu", f"STORE@{first}").status == 0
        assert dicos("echoscu", f"STORE@{second}").status == 0
        assert dicos("echoscu", second).status == 3


def test_many_echoes_over_one_association_as_json() -> None:
    with provider("echoscp", "-v") as scp:
        result = dicos("echoscu", "--json", "-q", "127.0.0.1", scp.port, "--repeat", 5, "-aet", "ME", "-aec", "YOU")
        end = scp.stop()
    assert (result.status, result.err) == (0, "")
    assert [event["event"] for event in result.events] == ["association", *["echo"] * 5, "summary"]
    assert {event["status"] for event in result.named("echo")} == {0}
    assert result.named("summary")[0]["failed"] == 0
    assert end.named("summary")[0]["associations"] == 1
    assert "'ME' calls 'YOU'" in end.err


@pytest.mark.parametrize("name", ["dicos", "dicos-v02a", "1.2.840.10008.3.1.1.1.2"])
def test_application_contexts_of_dicos_are_accepted(name: str) -> None:
    with provider("echoscp") as scp:
        assert dicos("echoscu", "127.0.0.1", scp.port, "--application-context", name).status == 0
        assert dicos("echoscu", "127.0.0.1", scp.port, "--application-context", "1.2.3").status == 3


def test_debug_shows_the_pdus_of_both_directions() -> None:
    with provider("echoscp", "-d") as scp:
        result = dicos("echoscu", "-d", "127.0.0.1", scp.port)
        end = scp.stop()
    peer = f"127.0.0.1:{scp.port}"
    for name in ("A-ASSOCIATE-RQ", "C-ECHO-RQ", "A-RELEASE-RQ"):
        assert any(line.startswith(f"to {peer}: ") and name in line for line in result.err.splitlines())
        assert any(line.startswith("from 127.0.0.1:") and name in line for line in end.err.splitlines())
    assert f"from {peer}: A-ASSOCIATE-AC" in result.err


@pytest.mark.usefixtures("transport")
def test_debug_shows_what_is_not_whole_when_the_connection_ends() -> None:
    request = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    half = command(3, request, has_data=True) + p_data((3, False, False, bytes(1000)))
    with provider("storescp", "-d", "--ignore") as scp:
        for sent, answered, said_then in ((ASKED, True, "not complete"), (ASKED[:20], False, "the bytes end")):
            with socket.create_connection(("127.0.0.1", scp.port), TIMEOUT) as sock:
                sock.sendall(sent)
                if answered:
                    assert read_pdu(sock)[0] == 2
                    sock.sendall(half)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1000):
                    pass
            scp.wait_for(said_then)  # it is printed when the connection has ended, which nothing else reports
        end = scp.stop()
    said = [line.partition(": ")[2] for line in end.err.splitlines() if line.startswith("from 127.0.0.1:")]
    assert said[-2:] == [
        "P-DATA-TF, context 3: data set, 1,000 bytes, not complete",
        "the bytes end in an A-ASSOCIATE-RQ, 269 bytes before its end",
    ]
    assert sum("not complete" in line or "the bytes end" in line for line in said) == 2


def test_no_association() -> None:
    with deaf_port() as port:
        result = dicos("echoscu", "--json", "127.0.0.1", port)
    assert result.status == 3
    assert result.err == f"error: no connection to 127.0.0.1:{port}: connection refused\n"
    assert result.named("error")[0]["text"] in result.err


def test_a_host_that_is_none() -> None:
    result = dicos("echoscu", "nonexistent.invalid", 104)
    assert result.status == 3
    assert result.err.startswith("error: no connection to nonexistent.invalid:104: ")
    assert len(result.err.splitlines()) == 1


def test_a_wrong_called_title_is_rejected() -> None:
    with provider("echoscp", "--require-called-aet", "-aet", "RIGHT") as scp:
        assert dicos("echoscu", "127.0.0.1", scp.port, "-aec", "RIGHT").status == 0
        result = dicos("echoscu", "127.0.0.1", scp.port, "-aec", "WRONG")
        end = scp.stop()
    assert result.status == 3
    assert "called AE title not recognized (1/1/7)" in result.err
    assert "'DICOS_PROTO' calls 'WRONG': association rejected" in end.err


def test_a_peer_that_accepts_and_says_nothing_is_given_up_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = dicos("echoscu", "127.0.0.1", silent.getsockname()[1], "-ta", "0.2")
    assert result.status == 3
    assert "nothing within 0.2 s" in result.err


@pytest.mark.parametrize(("status", "expected"), [(0x0000, 0), (0xB000, 0), (0x0110, 1), (0x0211, 1)])
def test_the_status_of_the_response_decides(status: int, expected: int) -> None:
    def handle(session: Session) -> None:
        for request in session:
            request.respond(status)

    with server(handle) as running:
        result = dicos("echoscu", "127.0.0.1", running.port)
    assert result.status == expected
    assert (f"0x{status:04X}" in result.err) == (status != 0)


@pytest.mark.parametrize("subcommand", ["echoscp", "storescp"])
def test_a_port_in_use(subcommand: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = dicos(subcommand, port)
    assert result.status == 3
    assert result.err == f"error: cannot listen on 127.0.0.1:{port}: address already in use\n"


def test_an_echo_imports_little_and_nothing_heavy() -> None:
    """Imports take most of the start-up time."""
    with deaf_port() as port:
        words = [sys.executable, "-c", START_MODULES, "echoscu", "127.0.0.1", str(port)]
        done = subprocess.run(words, env=ENVIRONMENT, text=True, capture_output=True, timeout=TIMEOUT)
    assert done.returncode == 3
    modules = set(json.loads(done.stdout)) - {"json"}  # which prints them
    assert not modules & HEAVY
    ours = {name for name in modules if name.startswith(("dicos_proto.", "dicos_transports."))}
    assert not {name for name in ours if name.startswith("dicos_transports.cli.store")}
    assert len(ours) <= 100, sorted(ours)


@pytest.mark.parametrize("subcommand", ["storescu", "storescp", "echoscp"])
def test_a_command_imports_what_it_needs_and_no_other_transport(subcommand: str, tmp_path: Path) -> None:
    with deaf_port() as deaf, socket.create_server(("127.0.0.1", 0)) as taken:
        if subcommand == "storescu":
            words = ["127.0.0.1", str(deaf), str(dicom_file(tmp_path / "a.dcm"))]
        else:
            words = [str(taken.getsockname()[1])]
        line = [sys.executable, "-c", START_MODULES, subcommand, *words]
        done = subprocess.run(line, env=ENVIRONMENT, text=True, capture_output=True, timeout=TIMEOUT)
    assert done.returncode == 3, done.stderr
    heavy = {"pydicom", "numpy", "asyncio", "trio", "OpenSSL", "cryptography", "ssl", "fcntl"}
    assert not set(json.loads(done.stdout)) & heavy


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("dcmsend") is None, reason="DCMTK is not installed")
def test_an_echo_of_dcmtk() -> None:
    with provider("echoscp") as scp:
        # Another implementation's command of the same name has another path.
        folder = str(shutil.which("dcmsend")).removesuffix("dcmsend")
        command = [f"{folder}echoscu", "127.0.0.1", str(scp.port)]
        assert subprocess.run(command, timeout=TIMEOUT).returncode == 0
        assert scp.stop().named("summary")[0]["echoes"] == 1

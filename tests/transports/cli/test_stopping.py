"""Signals and closed pipes: nothing hangs, no incomplete file is left, the exit status is right."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from dicos_proto.conversation.flows import AssociationAborted
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import negotiate, propose
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateRequest
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import Session, connect
from tests.transports.cli import forking
from tests.transports.cli.commands import (
    COMMAND,
    ENVIRONMENT,
    TIMEOUT,
    Provider,
    Result,
    dicom_file,
    dicos,
    line,
    provider,
)
from tests.transports.connections import CT, EXPLICIT, read_pdu, server

pytestmark = pytest.mark.usefixtures("transport")
PIECE = bytes(16 << 20)  # more than two sockets hold: once it is sent, most of it has arrived


def sender(scp: Provider) -> Session:
    return connect(("127.0.0.1", scp.port), propose([CT], (EXPLICIT,)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_provider_ends_at_once(number: signal.Signals) -> None:
    with provider("storescp", "--ignore") as scp:
        idle = sender(scp)
        scp.signal(number)
        idle.abort()
        end = scp.end()
    assert end.status == 0
    assert end.named("summary")[0]["associations"] == 1


def test_a_transfer_is_finished_when_the_provider_is_stopped(tmp_path: Path) -> None:
    with provider("storescp", "-v", "--no-check", "-od", tmp_path) as scp:

        def pieces() -> Iterator[bytes]:
            yield PIECE
            yield PIECE
            scp.signal(until="stopping: running operations have 10 s to finish")
            yield b"the end!"

        session = sender(scp)
        assert session.store(CT, "1.2.3", EXPLICIT, pieces()).status == 0
        session.abort()
        end = scp.end()
    assert end.status == 0
    assert (tmp_path / "1.2.3.dcm").read_bytes().endswith(b"the end!")


@pytest.mark.timer  # LAST_WORDS for a peer that does not read
@pytest.mark.parametrize(("grace", "signals"), [("0.2", 1), ("60", 2)], ids=["grace is over", "second signal"])
def test_a_transfer_that_is_not_finished_is_cut_off(tmp_path: Path, grace: str, signals: int) -> None:
    begun = monotonic()
    with provider("storescp", "-v", "--no-check", "--grace", grace, "-od", tmp_path) as scp:
        ends = []

        def pieces() -> Iterator[bytes]:
            yield PIECE
            yield PIECE
            scp.signal(until="stopping: running operations have")
            if signals == 2:
                scp.signal(until="stopping at once")
            ends.append(scp.end())
            yield PIECE
            yield PIECE

        with pytest.raises(AssociationAborted), sender(scp) as session:
            session.store(CT, "1.2.3", EXPLICIT, pieces())
    (end,) = ends
    assert end.status == 1
    assert "1 incomplete" in end.err
    assert end.named("summary")[0]["incomplete"] == 1
    assert list(tmp_path.iterdir()) == []
    assert monotonic() - begun < 60  # the grace of the second one is longer; machines are slow at times


def test_a_peer_that_vanishes_is_told_and_is_no_failure_of_the_provider(tmp_path: Path) -> None:
    with provider("storescp", "-od", tmp_path) as scp:

        def pieces() -> Iterator[bytes]:
            yield PIECE
            yield PIECE
            raise KeyError

        with pytest.raises(KeyError):
            sender(scp).store(CT, "1.2.3", EXPLICIT, pieces())
        end = scp.stop()
    assert (end.status, list(tmp_path.iterdir())) == (0, [])
    assert "association aborted by the service user" in end.err
    assert end.named("summary")[0]["incomplete"] == 1


@contextmanager
def peer_that_stops(heard: list[bytes], *, reads_on: bool) -> Iterator[tuple[int, threading.Event]]:
    """A peer that accepts an association and never answers. The event is set by the first PDU of a message."""
    asked, done = threading.Event(), threading.Event()

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            request = decode(read_pdu(sock))
            assert isinstance(request, AssociateRequest)
            answer = negotiate(request, AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES))
            assert isinstance(answer, AssociateAccept)
            sock.sendall(encode(answer))
            heard.append(read_pdu(sock))
            asked.set()
            while reads_on and heard[-1]:
                heard.append(read_pdu(sock))
                if heard[-1][:1] == b"\x07":
                    return
            done.wait(TIMEOUT)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], asked
        done.set()
        thread.join()


def interrupted(asked: threading.Event, *words: object, patience: float = TIMEOUT) -> Result:
    """Run the command, and press Ctrl-C once the event is set. A peer has `patience` seconds to take the A-ABORT."""
    timers = dict.fromkeys(("cli.timers.PATIENCE", "sessions.running.LAST_WORDS"), patience)
    process = forking.start(line(*words)[len(COMMAND) :], ENVIRONMENT, timers=timers)
    try:
        assert asked.wait(TIMEOUT)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(TIMEOUT)
    finally:
        process.kill()
    return Result(process.wait(TIMEOUT), out, err)


def test_ctrl_c_aborts_the_association() -> None:
    heard: list[bytes] = []
    with peer_that_stops(heard, reads_on=True) as (port, asked):
        result = interrupted(asked, "echoscu", "127.0.0.1", port)
    assert (result.status, result.err) == (130, "dicos: interrupted\n")
    assert heard[-1][:1] == b"\x07"


def test_ctrl_c_does_not_wait_for_a_peer_that_takes_nothing(tmp_path: Path) -> None:
    file = dicom_file(tmp_path / "large.dcm", pixels=64 << 20)
    with peer_that_stops([], reads_on=False) as (port, asked):
        result = interrupted(asked, "storescu", "127.0.0.1", port, file, patience=0.2)  # raises after `TIMEOUT`
    assert (result.status, result.err) == (130, "dicos: interrupted\n")


def test_ctrl_c_ends_several_associations_at_once(tmp_path: Path) -> None:
    files = [dicom_file(tmp_path / f"{number}.dcm", uid=f"1.2.{number}") for number in range(9)]
    here, over = threading.Barrier(4), threading.Event()
    asked = threading.Event()

    def handle(session: Session) -> None:
        for request in session:
            here.wait(TIMEOUT)
            over.wait(TIMEOUT)
            request.respond()

    def tell() -> None:
        here.wait(TIMEOUT)
        asked.set()

    with server(handle) as running:
        thread = threading.Thread(target=tell)
        thread.start()
        result = interrupted(asked, "storescu", "--associations", 3, "127.0.0.1", running.port, *files, patience=0.2)
        over.set()
        thread.join()
    assert (result.status, result.err) == (130, "dicos: interrupted\n")


def test_a_reader_that_goes_away_ends_a_user_of_several_associations_without_a_word(tmp_path: Path) -> None:
    files = [dicom_file(tmp_path / f"{number}.dcm", uid=f"1.2.{number}") for number in range(50)]
    with provider("storescp", "--ignore") as scp:
        words = line("storescu", "--json", "-q", "--associations", 3, "127.0.0.1", scp.port, *files)
        with subprocess.Popen(
            words, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode == 1


def test_a_reader_that_goes_away_ends_a_provider_without_a_word(tmp_path: Path) -> None:
    with provider("echoscp", "-q") as scp:
        scp.hang_up()
        dicos("echoscu", "127.0.0.1", scp.port)  # answered or aborted: whichever comes first
        end = scp.end()
    assert (end.status, end.err) == (1, "")


def test_a_reader_that_goes_away_ends_a_user_without_a_word() -> None:
    with provider("echoscp") as scp:
        with subprocess.Popen(
            line("echoscu", "--json", "-q", "127.0.0.1", scp.port),
            env=ENVIRONMENT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode == 1
        assert "aborted by the service user" in scp.stop().err


def test_a_full_standard_output_is_said_once() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            line("storescp", "0", "--json", "-q"), env=ENVIRONMENT, text=True, timeout=TIMEOUT,
            stdout=full, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "error: standard output: No space left on device\n")

"""The oracles from outside: they blame a peer for what stays, and for nothing else."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from dicos_fuzz.campaign import knowledge
from dicos_fuzz.campaign import liveness as module
from dicos_fuzz.campaign.echoing import GoodCall
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.liveness import Liveness
from dicos_fuzz.campaign.player import Peer, Player
from dicos_fuzz.campaign.watching import Watched
from dicos_fuzz.finding import Severity
from tests.fuzz.campaign.peers import PATIENCE, raw_peer, receive_all, receive_pdu
from tests.fuzz.campaign.tiny import CRASHING, GOOD, broken

REJECTION = bytes.fromhex("03000000000400020302")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience as for a peer that is never slow."""
    monkeypatch.setattr(knowledge, "ECHO", 0.2)
    for name, seconds in (("REFUSING", 0.1), ("AGAIN", 0.01)):
        monkeypatch.setattr(module, name, seconds)


def looking(port: int, watched: Watched | None = None) -> Liveness:
    return Liveness(Player(Peer(port=port), Learned(echo_seconds=0.001)), watched, hanging=0.5, congested=0.3)


def good(sock: socket.socket) -> None:
    exchange = GoodCall()
    while pdu := receive_pdu(sock):
        sock.sendall(exchange.next(pdu) or b"")


def silent(sock: socket.socket) -> None:
    receive_all(sock)


def rejects(sock: socket.socket) -> None:
    receive_pdu(sock)
    sock.sendall(REJECTION)
    receive_all(sock)


def test_nothing_is_certain_about_a_peer_once_the_time_is_over() -> None:
    with raw_peer(silent) as port:
        found = looking(port)
        found.hanging, found.until = 100.0, time.monotonic() + 0.3
        trouble = found.serves()
        assert time.monotonic() < found.until + 20
    assert trouble is not None
    assert trouble.oracle == "hang"
    assert trouble.cut


def test_a_peer_that_serves_is_well() -> None:
    with raw_peer(good) as port:
        found = looking(port)
        assert found.serves() is None
        assert found.served == 1


@pytest.mark.parametrize(
    ("handle", "oracle", "severity"),
    [(silent, "hang", Severity.CRITICAL), (rejects, "slot-leak", Severity.HIGH)],
)
def test_a_peer_that_serves_nobody_is_blamed(
    handle: Callable[[socket.socket], None], oracle: str, severity: Severity
) -> None:
    with raw_peer(handle) as port:
        trouble = looking(port).serves()
    assert trouble is not None
    assert (trouble.oracle, trouble.violation.severity, trouble.fatal) == (oracle, severity, True)


def test_a_port_that_refuses_connections_is_a_crash() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    trouble = looking(port).serves()
    assert trouble is not None
    assert (trouble.oracle, trouble.violation.reaction) == ("crash", "refuses connections")


def test_a_peer_that_recovers_soon_is_not_blamed() -> None:
    with raw_peer(silent, rejects, good) as port:
        assert looking(port).serves() is None


def test_a_peer_that_recovers_late_has_stalled() -> None:
    with raw_peer(silent, silent, good) as port:
        found = looking(port)
        found.hanging = 0.7
        trouble = found.serves()
    assert trouble is not None
    assert (trouble.oracle, trouble.fatal) == ("stall", False)


def test_the_end_of_a_process_that_is_not_a_child_is_not_known() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child, Watched(pid=child.pid) as watched:
        child.communicate(b"\n")
        trouble = looking(1, watched).gone()
    assert trouble is not None
    assert trouble.violation.detail == "the process ended; how it ended is not known: --command shows it"
    assert trouble.violation.clause == "limit: the process stays alive"


def test_a_crash_is_named_by_its_signal() -> None:
    with broken("item-length-crash") as (watched, port):
        found = looking(port, watched)
        assert found.serves() is None
        found.player.play(CRASHING)
        until = time.monotonic() + PATIENCE
        while (trouble := found.serves()) is None:
            assert time.monotonic() < until
    assert (trouble.oracle, trouble.violation.reaction, trouble.fatal) == ("crash", "signal SIGSEGV", True)


def test_its_log_is_read_once() -> None:
    text = "print('ValueError?')\ntry: 1 / 0\nexcept ZeroDivisionError:\n import traceback; traceback.print_exc()\n"
    with Watched(command=[sys.executable, "-c", text + "import time; time.sleep(60)"]) as watched:
        watched.start()
        found = looking(1, watched)
        until = time.monotonic() + PATIENCE
        while not (troubles := found.complaints()):
            assert time.monotonic() < until
            time.sleep(0.01)
        assert [(one.oracle, one.violation.severity) for one in troubles] == [("log-traceback", Severity.LOW)]
        assert found.complaints() == []


def test_a_spinning_peer_is_blamed_and_an_idle_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPINS", 0.5)
    monkeypatch.setattr(module, "SPINNING", 0.05)
    for text, oracle in (("import time; print('up', flush=True); time.sleep(60)", None), ("while True: pass", "spin")):
        with Watched(command=[sys.executable, "-c", text]) as watched:
            watched.start()
            found = looking(1, watched)
            if oracle is None:
                wait_for_line(watched, "up")  # the start of an interpreter is work
            trouble = found.spins()
            assert (None if trouble is None else trouble.oracle) == oracle


def test_memory_out_of_proportion_is_blamed_once() -> None:
    steps = "import signal, sys, time\n" + (
        "def more(*_):\n global kept\n kept = bytearray(200 << 20)\n print('more', flush=True)\n"
        "signal.signal(signal.SIGUSR1, more)\nprint('up', flush=True)\nwhile True: time.sleep(0.05)"
    )
    import os
    import signal

    with Watched(command=[sys.executable, "-c", steps]) as watched:
        watched.start()
        wait_for_line(watched, "up")
        found = looking(1, watched)
        found.begin_peak()
        assert found.gulps(1000) is None
        assert watched.pid is not None
        os.kill(watched.pid, signal.SIGUSR1)
        wait_for_line(watched, "more")
        trouble = found.gulps(1000)
        assert trouble is not None
        assert trouble.oracle == "memory-peak"
        assert found.gulps(1000) is None
        found.begin_peak()
        os.kill(watched.pid, signal.SIGUSR1)
        assert found.gulps(100 << 20) is None


def wait_for_line(watched: Watched, line: str) -> None:
    until = time.monotonic() + PATIENCE
    while line not in watched.tail():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_a_peer_gives_back_is_not_counted() -> None:
    text = "import threading, time\n[threading.Thread(target=time.sleep, args=(0.5,)).start() for _ in range(9)]\n"
    with Watched(command=[sys.executable, "-c", text + "print('up', flush=True)\ntime.sleep(60)"]) as watched:
        watched.start()
        wait_for_line(watched, "up")
        found = looking(1, watched)
        many = found.numbers()
        settled = found.settled()
        assert many is not None
        assert settled is not None
        assert settled.threads <= many.threads
        last = found.settled(settled.__class__(settled.descriptors, 1, settled.memory), seconds=PATIENCE)
        assert last is not None
        assert last.threads == 1


def test_without_a_process_nothing_is_known_about_it() -> None:
    with raw_peer(good) as port:
        found = looking(port)
        found.measure_idle()
        assert (found.numbers(), found.settled(), found.spins(), found.gulps(1)) == (None, None, None, None)
        assert found.complaints() == []
        assert found.player.play(GOOD).received()

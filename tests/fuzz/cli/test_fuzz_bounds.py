"""`dicos fuzz` keeps the bounds that it prints: counted at the peer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import pytest

from dicos_fuzz.campaign.echoing import GoodCall
from dicos_fuzz.campaign.spending import Spending, share_out
from tests.fuzz.campaign.peers import raw_peer, receive_pdu
from tests.fuzz.cli.counting import Counted, counting
from tests.fuzz.cli.test_fuzz import events, peer, run


@contextmanager
def counted_peer() -> Iterator[Counted]:
    Spending(shared=True)  # the first one keeps a pipe and a file
    with peer() as port, counting(port) as counted:
        yield counted


def test_the_bytes_of_all_processes_are_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    with counted_peer() as counted:
        assert run("127.0.0.1", counted.port, "--time", "30", "--jobs", "2", "--seed", "1", "--max-bytes", "120k") == 0
    assert "120000 bytes" in capsys.readouterr().err
    assert 20_000 < counted.sent <= 120_000


def test_fewer_bytes_than_the_questions_take_are_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with counted_peer() as counted:
        assert run("127.0.0.1", counted.port, "--max-bytes", "1k") == 2
    assert counted.sent <= 1000
    assert "--max-bytes is less than it takes to learn the peer" in capsys.readouterr().err


@pytest.mark.parametrize(("most", "jobs"), [(1, "1 of 2"), (3, "1 of 2"), (6, "2"), (20, "2")])
def test_the_connections_of_all_processes_are_bounded(most: int, jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--time", "4", "--jobs", "2", "--seed", "1", "--max-associations", most)
    families = ("--family", "associations", "--family", "beside", "--family", "good", "--family", "slow")
    with counted_peer() as counted:
        assert run("127.0.0.1", counted.port, *words, *families) == 0
    assert f"jobs {jobs}," in capsys.readouterr().err.splitlines()[0].replace(" for want of connections,", "")
    assert len(counted.begun) > 20
    assert min(most, 2) <= counted.most <= most


@pytest.mark.parametrize("again", [False, True])
def test_the_shares_are_no_more_than_there_is(again: bool) -> None:
    for connections, jobs in product(range(1, 60), range(1, 9)):
        shares = share_out(connections, jobs, again=again)
        assert 1 <= shares.jobs <= jobs
        assert min(shares.main, shares.worker) >= 1
        assert shares.main + shares.lane <= connections
        if shares.jobs > 1:  # and a good echo
            assert shares.worker >= 2
            assert shares.worker * (shares.jobs + again) + 1 + shares.lane <= connections


def test_the_rate_is_that_of_everything_that_is_begun() -> None:
    with counted_peer() as counted:
        assert run("127.0.0.1", counted.port, "--time", "6", "--jobs", "2", "--rate", "10", "--family", "release") == 0
    begun = counted.begun
    assert len(begun) > 20
    # One of the probe's conversations opens two connections, and may be repeated.
    assert all(later - earlier > 0.9 for earlier, later in zip(begun, begun[13:], strict=False))


def slow(sock: socket.socket) -> None:
    """A right peer that takes its time for each PDU."""
    exchange = GoodCall()
    while pdu := receive_pdu(sock):
        time.sleep(0.6)
        sock.sendall(exchange.next(pdu) or b"")


def test_a_slow_peer_is_not_blamed_and_the_time_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("probe.PATIENCE", 1.0), ("knowledge.ECHO", 1.0), ("liveness.HANGING", 1.0)):
        monkeypatch.setattr(f"dicos_fuzz.campaign.{name}", value)
    begun = time.monotonic()
    with raw_peer(slow) as port:
        assert run("127.0.0.1", port, "--time", "12", "--jobs", "1", "--family", "good", "--max-bytes", "20k") == 0
    said = capsys.readouterr().err
    assert "no findings" in said
    assert "time 12 s and up to 25 s more" in said.splitlines()[0]
    assert time.monotonic() - begun < 12 + 10


def test_a_peer_that_the_questions_broke_is_status_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as peer:
        port = peer.getsockname()[1]
        done = threading.Event()

        def serve() -> None:  # two associations, then nothing
            for _ in range(2):
                sock, _ = peer.accept()
                with sock:
                    exchange = GoodCall()
                    while pdu := receive_pdu(sock):
                        sock.sendall(exchange.next(pdu) or b"")
            peer.close()
            done.set()

        threading.Thread(target=serve, daemon=True).start()
        assert run("127.0.0.1", port, "--time", "20", "--jobs", "1", "--json") == 3
        assert done.wait(10)
    said = capsys.readouterr()
    assert "nothing faulty was sent, and the peer does not serve good associations: refuses connections" in said.err
    assert not events(said.out, "found")

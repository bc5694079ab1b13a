"""The way to a peer: an address that is looked up once, refusals, this program's own troubles, turns and calls."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any

import pytest

from dicos_fuzz.campaign import doors
from dicos_fuzz.campaign.doors import Door, NoPort, Peer
from dicos_fuzz.campaign.links import LocalTrouble
from dicos_fuzz.campaign.spending import Spending
from tests.fuzz.campaign.peers import PATIENCE, raw_peer
from tests.fuzz.campaign.tiny import free_port


def connected(sock: socket.socket) -> bool:
    """Waits for a connection. Returns True if it is open."""
    sock.setblocking(True)
    sock.settimeout(PATIENCE)
    try:
        sock.getpeername()
        return True
    except OSError:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    finally:
        sock.close()


def test_the_address_of_a_peer_is_its_host_unless_it_was_looked_up() -> None:
    assert Peer(host="archive").where == "archive"
    assert Peer(host="archive", address="192.0.2.1").where == "192.0.2.1"


def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    look_up = socket.getaddrinfo

    def counted(*given: Any, **named: Any) -> Any:
        asked.append(given[0])
        return look_up(*given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    with raw_peer(lambda sock: None) as port:
        door = Door(Peer(host="localhost", address="127.0.0.1", port=port, source="127.0.0.1"))
        for _ in range(3):
            sock, _ = door.begin()
            assert connected(sock)
    assert asked == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EADDRNOTAVAIL, NoPort),
        (errno.EMFILE, LocalTrouble),
        (errno.ENOBUFS, LocalTrouble),
        (errno.ECONNREFUSED, ConnectionRefusedError),
    ],
)
def test_the_cause_of_a_failure_is_the_peer_or_this_program(
    monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    made: list[socket.socket] = []

    class Failing(socket.socket):
        def connect(self, address: Any) -> None:
            made.append(self)
            raise OSError(number, "planted")

    door = Door(Peer(port=free_port()))
    monkeypatch.setattr(doors.socket, "socket", Failing)
    with pytest.raises(error) as found:
        door.begin()
    assert isinstance(found.value, LocalTrouble) is (error is not ConnectionRefusedError)
    assert [one.fileno() for one in made] == [-1]


def test_a_program_without_descriptors_is_in_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*given: Any) -> Any:
        raise OSError(errno.EMFILE, "too many open files")

    door = Door(Peer(port=free_port()))
    monkeypatch.setattr(doors.socket, "socket", none_left)
    with pytest.raises(LocalTrouble, match="too many open files"):
        door.begin()


def test_bytes_are_granted_by_all_players_and_counted_by_each() -> None:
    spending = Spending(bytes_most=10)
    one, other = Door(Peer(), spending=spending), Door(Peer(), spending=spending)
    assert [one.take(b"abcdef"), other.take(b"abcdef"), one.take(b"abcdef")] == [b"abcdef", b"abcd", b""]
    assert [one.bytes_sent, other.bytes_sent, spending.sent] == [6, 4, 10]


def test_a_turn_is_awaited_until_the_run_ends_or_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = time.monotonic()
    spending = Spending(rate=1)
    door = Door(Peer(), spending=spending)

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds
        door.cancelled = cancels and len(slept) == 2

    cancels = False
    monkeypatch.setattr(doors, "monotonic", lambda: now)
    monkeypatch.setattr(doors, "sleep", sleep)
    door.await_turn()
    assert slept == []
    door.await_turn()
    assert sum(slept) == pytest.approx(1.0, abs=0.2)
    assert max(slept) <= doors.CANCELLED
    slept.clear()
    spending.until = now + 0.1
    door.await_turn()
    assert sum(slept) == pytest.approx(0.1)
    slept.clear()
    cancels, spending.until = True, now + 100
    door.await_turn()
    assert len(slept) == 2


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_peer_that_calls_is_accepted(address: str) -> None:
    if address == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        door = Door(Peer(listen=(address, 0)))
    except OSError as error:
        pytest.skip(f"cannot listen on {address}: {error}")
    assert door.listener is not None
    try:
        assert door.accept() is None
        with socket.create_connection(door.listener.getsockname()[:2], timeout=PATIENCE):
            until = time.monotonic() + PATIENCE
            while (sock := door.accept()) is None:
                assert time.monotonic() < until
            assert not sock.getblocking()
            sock.close()
    finally:
        door.close()
        door.close()
    with pytest.raises(LocalTrouble):
        door.accept()


def test_each_direction_has_its_own_tls() -> None:
    config: Any = object()
    assert [Door(Peer(tls=config)).has_tls(calls=one) for one in (True, False)] == [True, False]
    assert [Door(Peer(server_tls=config)).has_tls(calls=one) for one in (True, False)] == [False, True]
    link: Any = None
    assert not Door(Peer(tls=config)).secure(link, calls=False)

"""The relay of the tap changes nothing: bytes, ends and resets pass both ways, and it holds little for a slow side."""

from __future__ import annotations

import errno
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicos_fuzz.captures.events import Opened
from dicos_fuzz.relay import CHUNK, Relay
from tests.fuzz.relayed import TIMEOUT, Bed, connecting_is_reset, is_reset, read, reset
from tests.transports.cli.commands import deaf_port


@pytest.fixture
def bed() -> Iterator[Bed]:
    made = Bed()
    yield made
    made.close()


def test_bytes_pass_both_ways_and_are_told(bed: Bed) -> None:
    client, server = bed.connect()
    client.sendall(b"request")
    assert server.recv(100) == b"request"
    server.sendall(b"answer")
    assert client.recv(100) == b"answer"
    client.close()
    server.close()
    assert bed.ends()[-1] == "CLOSED"
    assert bed.kept == {True: b"request", False: b"answer"}
    opened = bed.events[0]
    assert isinstance(opened, Opened)
    assert opened.connection.server.port == bed.server.getsockname()[1]
    assert opened.connection.sent == [6, 7]


@pytest.mark.parametrize("by_client", [True, False])
def test_a_half_close_passes_and_the_other_direction_goes_on(bed: Bed, by_client: bool) -> None:
    client, server = bed.connect()
    first, second = (client, server) if by_client else (server, client)
    first.sendall(b"all I have")
    first.shutdown(socket.SHUT_WR)
    assert read(second) == b"all I have"
    second.sendall(b"late answer")
    second.shutdown(socket.SHUT_WR)
    assert read(first) == b"late answer"
    names = ["client ended", "server ended"]
    assert bed.ends() == [*(names if by_client else names[::-1]), "CLOSED"]


@pytest.mark.parametrize("by_client", [True, False])
def test_a_reset_passes(bed: Bed, by_client: bool) -> None:
    client, server = bed.connect()
    first, second = (client, server) if by_client else (server, client)
    first.sendall(b"before")
    assert second.recv(100) == b"before"
    reset(first)
    assert is_reset(second)
    assert bed.ends() == [f"RESET by {'client' if by_client else 'server'}"]


@pytest.mark.parametrize("by_client", [True, False])
def test_a_reset_after_a_half_close_passes(bed: Bed, by_client: bool) -> None:
    client, server = bed.connect()
    first, second = (client, server) if by_client else (server, client)
    first.shutdown(socket.SHUT_WR)
    assert second.recv(100) == b""
    reset(first)
    assert is_reset(second)
    assert bed.ends()[-1].startswith("RESET by")


def test_what_a_side_said_before_its_reset_arrives(bed: Bed) -> None:
    client, server = bed.connect()
    client.sendall(b"a request that the server does not read")
    server.sendall(b"last words")
    assert client.recv(100) == b"last words"
    server.close()  # with unread data: the system sends RST
    with suppress(OSError):
        while True:
            client.sendall(b"more")
    assert bed.kept[False] == b"last words"
    assert bed.ends()[-1] == "RESET by server"


def test_a_slow_reader_stops_the_sender_and_little_is_held(bed: Bed) -> None:
    client, server = bed.connect()
    client.setblocking(False)
    sent, idle = 0, 0
    chunk = bytes(range(256)) * 256
    while idle < 3:  # until the buffers of the system are full on both sides
        try:
            sent += client.send(chunk[sent % len(chunk) :])
            idle = 0
        except BlockingIOError:
            idle += not select.select([], [client], [], 0.3)[1]
    told = len(bed.kept[True])
    assert told <= sent
    assert sum(len(way.pending) for link in bed.relay._links.values() for way in link.ways) <= 2 * CHUNK
    client.settimeout(TIMEOUT)
    client.shutdown(socket.SHUT_WR)
    received = read(server)
    assert len(received) == sent
    assert received == (chunk * (sent // len(chunk) + 1))[:sent]
    server.close()
    assert bed.ends()[-1] == "CLOSED"
    assert bed.kept[True] == received


def test_both_sides_send_much_at_once(bed: Bed) -> None:
    client, server = bed.connect()
    data = {client: bytes(range(251)) * 8000, server: bytes(range(241)) * 9000}
    got: dict[socket.socket, bytes] = {}

    def send(one: socket.socket) -> None:
        one.sendall(data[one])
        one.shutdown(socket.SHUT_WR)

    def receive(one: socket.socket) -> None:
        got[one] = read(one)

    threads = [threading.Thread(target=work, args=(one,)) for one in (client, server) for work in (send, receive)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert got[server] == data[client]
    assert got[client] == data[server]
    assert bed.ends()[-1] == "CLOSED"


def test_a_target_that_is_not_there_resets_the_client() -> None:
    with deaf_port() as port:
        bed = Bed(target=("127.0.0.1", port))
        try:
            assert connecting_is_reset(bed.address)
            assert [cause for _, cause in bed.refused] == ["Connection refused"]
            assert bed.events == []
        finally:
            bed.close()


def test_a_name_is_tried_at_all_its_addresses() -> None:
    """`localhost` may be ::1, where nobody listens, and 127.0.0.1."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(TIMEOUT)
    bed = Bed(target=("localhost", server.getsockname()[1]))
    try:
        client = socket.create_connection(bed.address, TIMEOUT)
        other, _ = server.accept()
        client.sendall(b"x")
        assert other.recv(1) == b"x"
        for one in (client, other, server):
            one.close()
        assert bed.ends()[-1] == "CLOSED"
    finally:
        bed.close()


def test_a_name_that_does_not_exist_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError):  # noqa: PT011  gaierror
        Relay(listener, ("no such host.invalid", 104), lambda _: None, lambda *_: None)


def test_more_connections_than_allowed_wait() -> None:
    bed = Bed(most=2)
    try:
        pairs = [bed.connect() for _ in range(2)]
        third = socket.create_connection(bed.address, TIMEOUT)
        third.sendall(b"third")
        bed.server.settimeout(0.3)
        with pytest.raises(TimeoutError):
            bed.server.accept()
        bed.server.settimeout(TIMEOUT)
        for one in pairs[0]:
            one.close()
        server, _ = bed.server.accept()
        server.settimeout(TIMEOUT)
        assert server.recv(10) == b"third"
        for one in (*pairs[1], third, server):
            one.close()
    finally:
        bed.close()


def test_its_end_ends_every_connection(bed: Bed) -> None:
    client, server = bed.connect()
    client.sendall(b"x")
    assert server.recv(1) == b"x"
    bed.stop()
    assert client.recv(1) == server.recv(1) == b""
    assert bed.ends() == ["CUT"]
    with pytest.raises(OSError) as failed:  # noqa: PT011
        socket.create_connection(bed.address, TIMEOUT)
    assert failed.value.errno == errno.ECONNREFUSED


def test_a_client_that_goes_while_the_target_is_called(bed: Bed) -> None:
    for _ in range(20):
        client = socket.create_connection(bed.address, TIMEOUT)
        reset(client)
    client, server = bed.connect()  # one of those that were reset, or this one: the tap still works
    client.sendall(b"x")
    client.close()
    server.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=3000)), max_size=8), st.booleans())
def test_any_bytes_pass_unchanged(said: list[tuple[bool, bytes]], client_ends: bool) -> None:
    bed = Bed()
    try:
        client, server = bed.connect()
        for by_client, data in said:
            first, second = (client, server) if by_client else (server, client)
            first.sendall(data)
            left = len(data)
            while left:
                left -= len(second.recv(left))
        first, second = (client, server) if client_ends else (server, client)
        first.close()
        assert second.recv(1) == b""
        second.close()
        assert bed.ends()[-1] == "CLOSED"
        for side in (True, False):
            assert bed.kept[side] == b"".join(data for by_client, data in said if by_client == side)
    finally:
        bed.close()

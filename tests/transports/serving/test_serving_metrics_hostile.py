"""Hostile clients of the Prometheus endpoint: the page stays available and takes few resources."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from dicos_transports.serving import Metrics, metrics_http
from dicos_transports.serving.metrics import Endpoint, start
from dicos_transports.serving.metrics_http import CONNECTIONS, HEAD_SIZE
from tests.transports.connections import PATIENCE

GET = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"


class Counted:
    """The counters of a server, without the server."""

    address = "here"
    metrics = Metrics()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with start(Counted()) as made:
        yield made


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_http, "DEADLINE", 0.4)


def patiently(so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < until
        time.sleep(0.01)


def connected(endpoint: Endpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", endpoint.port), PATIENCE)


def everything(sock: socket.socket) -> bytes:
    """Read until the end, or until the connection is reset."""
    found = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(65536):
            found += data
    return found


def ask(endpoint: Endpoint, request: bytes = GET) -> bytes:
    with connected(endpoint) as sock:
        sock.sendall(request)
        return everything(sock)


def test_the_answer_is_whole_and_the_connection_ends(endpoint: Endpoint) -> None:
    head, _, body = ask(endpoint).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=")
    assert b"\r\nConnection: close" in head
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head
    assert b'dicos_connections_total{server="here"} 0.0' in body


def test_openmetrics_for_who_reads_it(endpoint: Endpoint) -> None:
    answer = ask(endpoint, b"GET /metrics HTTP/1.0\r\nACCEPT: application/OpenMetrics-text;version=1.0.0,*/*\r\n\r\n")
    assert b"\r\nContent-Type: application/openmetrics-text; version=1.0.0" in answer
    assert answer.endswith(b"# EOF\n")


@pytest.mark.parametrize("target", [b"/metrics?name[]=x", b"http://here:9104/metrics"])
def test_other_forms_of_its_target(endpoint: Endpoint, target: bytes) -> None:
    assert ask(endpoint, b"GET %s HTTP/1.1\r\n\r\n" % target).startswith(b"HTTP/1.1 200 OK\r\n")


def test_head_has_no_body(endpoint: Endpoint) -> None:
    head, _, body = ask(endpoint, GET.replace(b"GET", b"HEAD")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 0" not in head
    assert body == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"405 Method Not Allowed"),
        (b"get /metrics HTTP/1.1\r\n\r\n", b"405 "),
        (b"GET / HTTP/1.1\r\n\r\n", b"404 "),
        (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", b"404 "),
        (b"GET http://[::1/metrics HTTP/1.1\r\n\r\n", b"404 "),
        (b"GET /metrics HTTP/2.0\r\n\r\n", b"505 "),
        (b"GET /metrics\r\n\r\n", b"400 "),
        (b"\r\n\r\n", b"400 "),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400 "),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", b"400 "),
        (b"GET /metrics HTTP/1.1\r\nX: " + bytes(HEAD_SIZE) + b"\r\n\r\n", b"431 "),
        (b"A" * (HEAD_SIZE + 1), b"431 "),
    ],
)
def test_what_is_no_request_for_the_page(endpoint: Endpoint, request_: bytes, status: bytes) -> None:
    answer = ask(endpoint, request_)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert (b"\r\nAllow: GET, HEAD\r\n" in answer) is (status[:3] == b"405")
    assert ask(endpoint).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_head_as_long_as_it_may_be(endpoint: Endpoint) -> None:
    fill = HEAD_SIZE - len(GET) + 4 - len(b"X: \r\n")
    longest = GET[:-2] + b"X: " + b"a" * fill + b"\r\n\r\n"
    assert ask(endpoint, longest).startswith(b"HTTP/1.1 200 OK\r\n")
    assert ask(endpoint, longest.replace(b"X: ", b"X: a")).startswith(b"HTTP/1.1 431 ")


def test_a_request_in_pieces(endpoint: Endpoint) -> None:
    with connected(endpoint) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in GET:
            sock.sendall(bytes((byte,)))
        assert everything(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_of_pipelined_requests_one_is_answered(endpoint: Endpoint) -> None:
    assert ask(endpoint, GET * 100).count(b"HTTP/1.1 200 OK") == 1


def test_who_sends_without_end_gets_an_answer_and_is_closed(endpoint: Endpoint) -> None:
    def flood(sock: socket.socket) -> None:
        while True:
            sock.sendall(bytes(65536))

    with connected(endpoint) as sock, pytest.raises(ConnectionError):
        flood(sock)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("sent", [b"", b"GET /met", GET[:-1]])
def test_half_a_request_has_a_deadline(endpoint: Endpoint, sent: bytes) -> None:
    with connected(endpoint) as sock:
        sock.sendall(sent)
        assert everything(sock) == b""


@pytest.mark.usefixtures("soon")
def test_a_request_that_drips_has_the_same_deadline(endpoint: Endpoint) -> None:
    def drip(sock: socket.socket) -> None:
        for _ in range(int(PATIENCE / 0.02)):
            sock.sendall(b"A")
            time.sleep(0.02)

    with connected(endpoint) as sock, pytest.raises(ConnectionError):
        drip(sock)


@pytest.mark.usefixtures("soon")
def test_an_answer_that_nobody_reads_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    class Many(Counted):
        metrics = Metrics()

    for number in range(100_000):
        Many.metrics.requests[f"C-{number}"] = 1
    with start(Many()) as endpoint, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", endpoint.port))
        sock.sendall(GET)
        open_now = endpoint._pages._clients
        patiently(lambda: len(open_now) == 1)
        patiently(lambda: not open_now)


@pytest.mark.usefixtures("soon")
def test_who_does_not_close_is_closed(endpoint: Endpoint) -> None:
    with connected(endpoint) as sock:
        sock.sendall(GET)
        assert everything(sock).startswith(b"HTTP/1.1 200 OK\r\n")
        open_now = endpoint._pages._clients
        patiently(lambda: not open_now)


def test_more_than_a_few_at_a_time_close_the_oldest(endpoint: Endpoint) -> None:
    with ExitStack() as stack:
        many = [stack.enter_context(connected(endpoint)) for _ in range(CONNECTIONS * 5)]
        for sock in many:
            with suppress(ConnectionError):
                sock.sendall(b"GET ")
        assert ask(endpoint).startswith(b"HTTP/1.1 200 OK\r\n")
        for sock in many[: -CONNECTIONS + 1]:
            assert everything(sock) == b""
        assert len(endpoint._pages._clients) <= CONNECTIONS


def test_counters_that_cannot_be_read_end_no_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Counted):
        @property
        def metrics(self) -> Metrics:  # type: ignore[override]
            raise RuntimeError("lost")

    def begin() -> Endpoint:
        return start({"broken": Broken()})

    with begin() as endpoint:
        for _ in range(2):
            assert ask(endpoint).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert "the metrics could not be read" in caplog.text


def test_stopping_does_not_wait_for_clients() -> None:
    with start(Counted()) as endpoint, connected(endpoint) as sock:
        sock.sendall(b"GET ")
        begun = time.monotonic()
        endpoint.stop()
        assert time.monotonic() - begun < 2
        assert everything(sock) == b""


CHILD = """
import os, resource, socket, sys, time
from dicos_transports.serving.metrics import start
from dicos_transports.serving import Metrics
class Counted:
    address = "here"
    metrics = Metrics()
with start(Counted()) as endpoint:
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        while True:
            held.append(os.dup(0))
    except OSError:
        pass
    os.close(held.pop())  # one is left: for the client's own socket
    client = socket.create_connection(("127.0.0.1", endpoint.port))
    client.sendall(b"GET /metrics HTTP/1.1\\r\\n\\r\\n")
    before = time.process_time()
    time.sleep(1)
    print(f"{time.process_time() - before:.3f}")
    for fd in held:
        os.close(fd)
    client.settimeout(10)
    print(client.recv(15).decode())
"""


@pytest.mark.timer  # a second in which it must not compute
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is the system's")
def test_out_of_descriptors_it_waits_and_does_not_spin() -> None:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'transports'}"}
    child = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    used, answer = child.stdout.splitlines()
    assert float(used) < 0.3
    assert answer == "HTTP/1.1 200 OK"
    assert child.stderr.count("cannot accept connections for now") == 1

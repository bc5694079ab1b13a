"""Uploads that stall or crawl: they lose their places, and the station answers at once if there is none."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

pytest.importorskip("hypercorn")
from dicos_transports.screening import Settings, Station, uploads
from dicos_transports.screening.http import HttpServer
from dicos_transports.screening.uploads import EACH, PLACES, NoPlace, Places
from dicos_transports.screening.web import Page
from tests.transports.screening.stations import PATIENCE, scan_file, until

DICOM = {"Content-Type": "application/dicom"}
HEAD = "POST /scans HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\nContent-Length: 99999\r\n\r\n"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with Station(Settings(folder=tmp_path / "s", recogniser="nothing")) as station:
        server = HttpServer(Page(station), ("127.0.0.1", 0))
        server.start()
        yield server.port
        server.close()


@pytest.fixture
def client(port: int) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, verify=False) as found:
        yield found


def stalled(port: int, stack: ExitStack, source: str = "127.0.0.1") -> socket.socket:
    """An upload that sends nothing more."""
    made = stack.enter_context(socket.create_connection(("127.0.0.1", port), source_address=(source, 0)))
    made.sendall(HEAD.encode() + b"x" * 100)
    return made


def parts(folder: Path) -> int:
    return len(list((folder / "s" / "scans").iterdir()))


def test_stalled_uploads_of_one_address_leave_places_for_others(
    tmp_path: Path, port: int, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "START", 3.0)
    content = scan_file(tmp_path, 1).read_bytes()
    with ExitStack() as stack:
        for _ in range(EACH):
            stalled(port, stack, "127.0.0.2")
        until(lambda: parts(tmp_path) == EACH)
        with stalled(port, stack, "127.0.0.2") as refused:
            begun = time.monotonic()
            answer = refused.recv(4096).lower()
            assert answer.startswith(b"http/1.1 503 ")
            assert b"\r\nretry-after: 5\r\n" in answer
            assert time.monotonic() - begun < 2
        assert client.post("/scans", content=content, headers=DICOM).status_code == 201


def test_all_places_are_taken(tmp_path: Path, port: int, client: httpx2.Client) -> None:
    content = scan_file(tmp_path, 1, frames=64, rows=128, columns=128).read_bytes()  # 2 MB
    with ExitStack() as stack:
        for number in range(PLACES):
            stalled(port, stack, f"127.0.0.{2 + number // EACH}")
        until(lambda: parts(tmp_path) == PLACES)
        answer = client.post("/scans", content=content, headers=DICOM)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    until(lambda: parts(tmp_path) == 0)
    assert client.post("/scans", content=content, headers=DICOM).status_code == 201


def test_an_upload_that_is_too_slow_is_ended(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "START", 0.5)
    with ExitStack() as stack:
        silent, crawling = stalled(port, stack), stalled(port, stack)
        begun, answer = time.monotonic(), b""
        crawling.settimeout(0.1)
        while not answer:
            crawling.sendall(b"x")
            try:
                answer = crawling.recv(4096)
            except TimeoutError:
                assert time.monotonic() - begun < 10
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert silent.recv(4096).startswith(b"HTTP/1.1 408 ")
        until(lambda: parts(tmp_path) == 0)


def test_an_address_of_ipv6_is_its_network() -> None:
    places = Places()
    with ExitStack() as stack:
        for number in range(EACH):
            stack.enter_context(places.place(f"2001:db8::{number}"))
        with pytest.raises(NoPlace, match="from this address"), places.place("2001:db8::ffff"):
            pass
        stack.enter_context(places.place("2001:db8:1::1"))
        stack.enter_context(places.place("-"))
    with places.place("2001:db8::ffff"):
        pass

"""The HTTP side of a station, as an ASGI application: who may do what, under hypercorn and under uvicorn."""

import base64
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

pytest.importorskip("hypercorn")
from dicos_transports.screening import Settings, Station
from dicos_transports.screening.http import HttpServer
from dicos_transports.screening.web import Page
from tests.transports.screening.stations import PATIENCE, scan_file, until

JSON = {"Content-Type": "application/json"}
DICOM = {"Content-Type": "application/dicom"}


@contextmanager
def hypercorn(app: Page) -> Iterator[str]:
    server = HttpServer(app, ("127.0.0.1", 0))
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.close()


@contextmanager
def uvicorn(app: Page) -> Iterator[str]:
    found = pytest.importorskip("uvicorn")
    sock = socket.create_server(("127.0.0.1", 0))
    server = found.Server(found.Config(app, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(PATIENCE)
    sock.close()


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    folder = tmp_path_factory.mktemp("station")
    with Station(Settings(folder=folder / "s", recogniser="nothing", most=100_000)) as found:
        found.start()
        yield found


@pytest.fixture(scope="module", params=[hypercorn, uvicorn])
def client(request: pytest.FixtureRequest, station: Station) -> Iterator[httpx2.Client]:
    with (
        request.param(Page(station, hosts=("lane-3.airport.example",))) as url,
        httpx2.Client(base_url=url, timeout=PATIENCE, verify=False) as found,
    ):
        yield found


def token(client: httpx2.Client) -> dict[str, str]:
    (found,) = re.findall(r'name="station-token" content="([^"]+)"', client.get("/").text)
    return {"X-Station-Token": found}


def posted(client: httpx2.Client, station: Station, content: bytes) -> int:
    """A scan that has its report."""
    number = client.post("/scans", content=content, headers=DICOM).json()["scan"]
    until(lambda: station.index.reports_of(number))
    return int(number)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return scan_file(tmp_path_factory.mktemp("scans"), 1).read_bytes()


def test_the_page_may_load_nothing_from_elsewhere(client: httpx2.Client) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert not re.findall(r"https?://", answer.text)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.head("/").status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8080", "LANE-3.airport.example:8080"])
def test_it_answers_to_its_names(client: httpx2.Client, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", ""])
def test_it_answers_to_no_other_name(client: httpx2.Client, host: str) -> None:
    answer = client.get("/scans", headers={"Host": host})
    assert answer.status_code in (421, 400)
    assert "scans" not in answer.text


def test_a_decision_needs_the_token_of_the_page(client: httpx2.Client, station: Station, content: bytes) -> None:
    number = posted(client, station, content)
    place, body = f"/scans/{number}/decision", b'{"decision": "CLEAR", "operator": "OP-1"}'
    assert client.post(place, content=body, headers=JSON).status_code == 403
    assert client.post(place, content=body, headers={**JSON, "X-Station-Token": "x"}).status_code == 403
    odd = client.post(place, content=body, headers=[*JSON.items(), (b"X-Station-Token", b"\xe9")])  # type: ignore[list-item]
    assert odd.status_code == 403
    good = {**JSON, **token(client)}
    assert client.post(place, content=body, headers={**good, "Origin": "http://evil.example"}).status_code == 403
    assert client.post(place, content=body, headers={**good, "Origin": "null"}).status_code == 403
    assert client.post(place, content=body, headers={**good, "Content-Type": "text/plain"}).status_code == 415
    assert len(station.index.reports_of(number)) == 1
    own = str(client.base_url).rstrip("/")
    answer = client.post(place, content=body, headers={**good, "Origin": own})
    assert answer.status_code == 201
    assert station.index.reports_of(number)[-1]["operator"] == "OP-1"
    assert client.get(f"/reports/{answer.json()['report']}").content[128:132] == b"DICM"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"decision": "MAYBE", "operator": "OP"}', b'{"decision": "CLEAR", "operator": ""}',
     b'{"decision": "CLEAR", "operator": "a\\\\b"}', b'{"decision": "CLEAR", "operator": 7}', b"[" * 4000,
     b'{"decision": "CLEAR", "operator": "12345678901234567"}', b"\xff"],
)  # fmt: skip
def test_a_decision_that_is_none(client: httpx2.Client, body: bytes) -> None:
    answer = client.post("/scans/1/decision", content=body, headers={**JSON, **token(client)})
    assert answer.status_code == 422


def test_a_decision_is_small(client: httpx2.Client) -> None:
    answer = client.post("/scans/1/decision", content=bytes(10_000), headers={**JSON, **token(client)})
    assert answer.status_code == 413


def test_no_page(client: httpx2.Client) -> None:
    body = b'{"decision": "CLEAR", "operator": "OP-1"}'
    for place in ("/scans/999999/picture", "/reports/999999", "/scans/x/picture", "/nothing", "/scans/1/nothing/else",
                  "/reports/99999999999999999999"):  # fmt: skip
        assert client.get(place).status_code in (404, 405), place
    assert client.get("/../../etc/passwd").status_code == 404
    assert client.post("/scans/999999/decision", content=body, headers={**JSON, **token(client)}).status_code == 404
    assert client.request("DELETE", "/scans").status_code == 405
    assert client.get("/scans?since=x&before=-1").status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", None])
def test_a_form_of_another_page_cannot_post_a_scan(client: httpx2.Client, content: bytes, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    assert client.post("/scans", content=content, headers=headers).status_code == 415


def test_a_scan_from_another_origin(client: httpx2.Client, content: bytes) -> None:
    answer = client.post("/scans", content=content, headers={**DICOM, "Origin": "http://evil.example"})
    assert answer.status_code == 403


def test_a_scan_that_is_too_large(client: httpx2.Client, station: Station) -> None:
    assert client.post("/scans", content=bytes(100_001), headers=DICOM).status_code == 413
    assert client.post("/scans", content=iter([bytes(60_000)] * 2), headers=DICOM).status_code == 413
    assert [path for path in station.folder.scans.iterdir() if path.name.startswith(".")] == []


def test_a_client_that_goes_leaves_nothing(client: httpx2.Client, station: Station, content: bytes) -> None:
    before = set(station.folder.scans.iterdir())
    with socket.create_connection(("127.0.0.1", client.base_url.port)) as sock:
        lines = "POST /scans HTTP/1.1", "Host: localhost", "Content-Type: application/dicom", "Content-Length: 99999"
        sock.sendall("\r\n".join((*lines, "", "")).encode() + content[:5000])
        until(lambda: set(station.folder.scans.iterdir()) != before)
    until(lambda: set(station.folder.scans.iterdir()) == before)


def test_older_scans_are_listed_too(client: httpx2.Client, station: Station, content: bytes) -> None:
    number = posted(client, station, content)
    found: dict[str, Any] = client.get("/scans").json()
    assert found["scans"][0]["id"] == number
    tick = found["tick"]
    assert all(one["id"] < number for one in client.get(f"/scans?before={number}").json()["scans"])
    until(lambda: client.get(f"/scans?since={tick}").json()["scans"] or station.index.open_jobs() == 0)
    tick = client.get("/scans").json()["tick"]
    assert client.get(f"/scans?since={tick}").json()["scans"] == []


def test_it_serves_http_only(station: Station) -> None:
    page = Page(station)

    async def call() -> None:
        await page({"type": "websocket"}, None, None)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="not a protocol of this page"):
        call().send(None)


def test_under_trio(station: Station, content: bytes) -> None:
    trio = pytest.importorskip("trio")
    page = Page(station)

    async def main() -> None:
        transport = httpx2.ASGITransport(app=page)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", verify=False) as client:
            answer = await client.post("/scans", content=content, headers=DICOM)
            assert answer.status_code == 201
            assert (await client.get("/health")).json() == {"ok": True}

    trio.run(main)

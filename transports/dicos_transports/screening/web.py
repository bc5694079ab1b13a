"""The page of a station, and the way in by HTTP: an ASGI 3 application for any server.

    GET  /                       the page
    GET  /scans?since=TICK       what has changed, as JSON; also before=NUMBER for older scans
    GET  /scans/N/picture        the picture of a scan
    GET  /reports/N              a report, as a DICOM file
    POST /scans                  a scan, as a DICOM file (Content-Type: application/dicom)
    POST /scans/N/decision       an operator's decision, {"decision": "ALARM" or "CLEAR", "operator": NAME}
    GET  /health                 {"ok": true}; 503 if a thread of the station has ended

Knows: HTTP, the index, the gate. Must not know: which server runs it. Invariants: a request for another host name than
those of the station is refused, so that no page elsewhere can reach it by its own name (DNS rebinding); a request that
changes something needs the page's token, or a content type that no form can send, and an origin that is the station's
own; an upload has a limit, is written to disk while it arrives, and is answered 201 only when it is on disk and
recorded.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from dicos_proto.registry import status

from ..sessions.offloading import offload
from .folder import is_full
from .intake import LOG, Admitted, Upload
from .station import NotDecided, Station
from .uploads import NoPlace, Pace, Places, TooSlow

__all__ = ["LOOPBACK_NAMES", "Page"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOOPBACK_NAMES: Final = frozenset(("localhost", "127.0.0.1", "::1"))
LISTED: Final = 60
"""Scans in one answer."""
SMALL: Final = 4096
"""Most bytes of a decision. Stops: a body without end that is collected in memory."""
GATHERED: Final = 1 << 20
"""Bytes of an upload that are written together."""
RETRY: Final = 5
"""Seconds after which a client may try again that found no place."""
LEFT_OVER: Final = 64 << 20
"""Most bytes of a refused upload that are read and dropped, so that its client sees the answer."""
CHUNK: Final = 1 << 18
DICOM: Final = "application/dicom"
_OPERATOR = re.compile(r"[^\\\x00-\x1f\x7f]{1,16}")
_SOURCE = Path(__file__).with_name("page.html")


class _Answer(Exception):
    """Ends the handling of a request with a status and one line of text. `retry`: seconds until the client may try
    again; the rest of its request is read after the answer, so that the client sees it."""

    def __init__(self, code: HTTPStatus, why: str, *, retry: int | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.body = {"error": why}
        self.retry = retry


class _Gone(Exception):
    """The client is gone."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One request. `path`: its parts."""

    scope: Scope
    receive: Receive
    send: Send
    headers: dict[str, str]
    path: tuple[str, ...] = field(default=())

    @property
    def number(self) -> int:
        """The number in the path."""
        text = self.path[1]
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise _Answer(HTTPStatus.NOT_FOUND, "no such page")
        return int(text)

    @property
    def length(self) -> int:
        """The length of the body as the header says it; 0 if it does not."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0

    async def body(self) -> AsyncIterator[bytes]:
        """The body, piece by piece. A client that is too slow is given up."""
        pace = Pace()
        while True:
            try:
                message = await pace.keep(self.receive)
            except TooSlow:
                raise _Answer(HTTPStatus.REQUEST_TIMEOUT, "the request arrives too slowly") from None
            if message["type"] != "http.request":
                raise _Gone
            if piece := message.get("body", b""):
                pace.came(len(piece))
                yield piece
            if not message.get("more_body", False):
                return


class Page:
    """The ASGI application of a station. `hosts`: the names under which it may be called, besides those of loopback."""

    def __init__(self, station: Station, *, hosts: Iterable[str] = ()) -> None:
        self._station = station
        self._hosts = LOOPBACK_NAMES | {name.lower() for name in hosts}
        self._token = secrets.token_urlsafe(24)
        self._places = Places()
        text = _SOURCE.read_text("utf-8")
        self._page = text.replace("{{token}}", self._token).encode()
        self._policy = _policy(text)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one connection of the server."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"not a protocol of this page: {scope['type']}")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = tuple(part for part in scope["path"].split("/") if part)
        request = _Request(scope, receive, send, headers, path)
        try:
            self._check_host(request)
            await self._answer(request)
        except _Answer as answer:
            close = scope["method"] == "POST" and scope.get("http_version", "1.1").startswith("1")
            if answer.retry is None:
                await _json(send, answer.code, answer.body, close=close)
            else:
                await _put_off(request, answer, close=close)
        except _Gone:
            return

    async def _answer(self, request: _Request) -> None:
        match (request.scope["method"], request.path):
            case ("GET" | "HEAD", ()):
                await self._show(request)
            case ("GET", ("scans",)):
                await self._list(request)
            case ("GET", ("scans", _, "picture")):
                await self._picture(request)
            case ("GET", ("reports", _)):
                await self._report(request)
            case ("GET", ("health",)):
                stopped = self._station.stopped()
                code = HTTPStatus.SERVICE_UNAVAILABLE if stopped else HTTPStatus.OK
                await _json(request.send, code, {"ok": False, "stopped": stopped} if stopped else {"ok": True})
            case ("POST", ("scans",)):
                await self._upload(request)
            case ("POST", ("scans", _, "decision")):
                await self._decide(request)
            case (_, () | ("scans" | "reports" | "health", *_)):
                raise _Answer(HTTPStatus.METHOD_NOT_ALLOWED, "this method is not for this page")
            case _:
                raise _Answer(HTTPStatus.NOT_FOUND, "no such page")

    # -- who asks ----------------------------------------------------------------------------------------------------

    def _check_host(self, request: _Request) -> None:
        host = request.headers.get("host", "")
        name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
        if name.lower() not in self._hosts:
            raise _Answer(
                HTTPStatus.MISDIRECTED_REQUEST, "this station is not called by that host name; --http-host allows it"
            )

    def _check_origin(self, request: _Request) -> None:
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            raise _Answer(HTTPStatus.FORBIDDEN, "a page of another origin may not change anything here")

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _show(self, request: _Request) -> None:
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", self._policy),
            (b"cache-control", b"no-store"),
        ]
        await _respond(request.send, HTTPStatus.OK, headers, self._page, head=request.scope["method"] == "HEAD")

    async def _list(self, request: _Request) -> None:
        asked = parse_qs(request.scope.get("query_string", b"").decode("latin-1"))
        since, before = (_number(asked, name) for name in ("since", "before"))
        index = self._station.index

        def found() -> dict[str, object]:
            tick, scans = index.changes(since or 0, LISTED, before)
            return {
                "tick": tick, "scans": [_scan(one) for one in scans], "counts": index.counts(), "listed": LISTED,
                "refused": [_refusal(one) for one in index.refusals(since or 0, 20)],
            }  # fmt: skip

        await _json(request.send, HTTPStatus.OK, await offload(found))

    async def _picture(self, request: _Request) -> None:
        number = request.number
        scan = await offload(lambda: self._station.index.scan(number))
        if scan is None or scan["picture"] is None:
            raise _Answer(HTTPStatus.NOT_FOUND, "there is no such picture")
        await _file(request.send, self._station.folder.pictures / scan["picture"], b"image/png")

    async def _report(self, request: _Request) -> None:
        number = request.number
        report = await offload(lambda: self._station.index.report(number))
        if report is None:
            raise _Answer(HTTPStatus.NOT_FOUND, "there is no such report")
        await _file(request.send, self._station.folder.reports / report["file"], DICOM.encode(), f"report-{number}.dcs")

    # -- changing ----------------------------------------------------------------------------------------------------

    async def _decide(self, request: _Request) -> None:
        number = request.number
        self._check_origin(request)
        if not hmac.compare_digest(request.headers.get("x-station-token", "").encode(), self._token.encode()):
            raise _Answer(HTTPStatus.FORBIDDEN, "the page is out of date; load it again")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise _Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a decision is application/json")
        text = b""
        async for piece in request.body():
            text += piece
            if len(text) > SMALL:
                raise _Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a decision has at most {SMALL} bytes")
        decision, operator = _decision(text)
        try:
            report = await offload(lambda: self._station.decide(number, decision, operator))
        except NotDecided as error:
            code = HTTPStatus.NOT_FOUND if error.missing else HTTPStatus.CONFLICT
            raise _Answer(HTTPStatus.INSUFFICIENT_STORAGE if error.full else code, str(error)) from error
        await _json(request.send, HTTPStatus.CREATED, {"report": report})

    async def _upload(self, request: _Request) -> None:
        self._check_origin(request)
        if request.headers.get("content-type", "").partition(";")[0].strip() != DICOM:
            raise _Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a scan has the Content-Type {DICOM}")
        most = self._station.settings.most
        if most is not None and request.length > most:
            await _drop(request, request.length)
            raise _Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a scan has at most {most} bytes")
        client = str((request.scope.get("client") or ("-",))[0])
        try:
            with self._places.place(client):
                admitted = await self._taken(request, most, client)
        except NoPlace as error:
            raise _Answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry=RETRY) from None
        await _json(request.send, _code_of(admitted), {"scan": admitted.scan, "error": admitted.why})

    async def _taken(self, request: _Request, most: int | None, client: str) -> Admitted:
        with ExitStack() as stack:
            try:
                upload = await offload(lambda: Upload(self._station.intake, client))
                stack.callback(upload.__exit__)
                gathered: list[bytes] = []
                size = 0
                async for piece in request.body():
                    gathered.append(piece)
                    size += len(piece)
                    if most is not None and upload.size + size > most:
                        raise _Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a scan has at most {most} bytes")
                    if size >= GATHERED:
                        await offload(partial(upload.write, gathered))
                        gathered, size = [], 0
                await offload(partial(upload.write, gathered))
                return await offload(upload.end)
            except OSError as error:
                LOG.error("an upload cannot be stored: %s", error.strerror)
                await _drop(request, request.length)
                full = is_full(error)
                return Admitted(
                    status=status.OUT_OF_RESOURCES if full else status.PROCESSING_FAILURE,
                    why="no space left on the disk of the station" if full else "the scan cannot be stored now",
                )


def _code_of(admitted: Admitted) -> HTTPStatus:
    """The status of HTTP for one of C-STORE."""
    match admitted.status:
        case status.SUCCESS:
            return HTTPStatus.CREATED
        case status.OUT_OF_RESOURCES:
            return HTTPStatus.INSUFFICIENT_STORAGE
        case status.PROCESSING_FAILURE:
            return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.UNPROCESSABLE_ENTITY


def _number(asked: dict[str, list[str]], name: str) -> int | None:
    text = asked.get(name, [""])[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def _decision(text: bytes) -> tuple[str, str]:
    try:
        given = json.loads(text)
        decision, operator = given["decision"], given["operator"]
        if decision in ("ALARM", "CLEAR") and _OPERATOR.fullmatch(operator.strip()):
            return decision, operator.strip()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise _Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "decision: ALARM or CLEAR; operator: 1 to 16 characters, no \\")


def _scan(row: dict[str, Any]) -> dict[str, Any]:
    """A scan as the page gets it."""
    kept = ("id", "via", "source", "size", "ooi_id", "received", "stored", "recognised", "state", "decision", "threats",
            "error", "sop_class")  # fmt: skip
    reports = [
        {name: one[name] for name in ("id", "kind", "decision", "operator", "made", "deliveries")}
        for one in row["reports"]
    ]
    return {**{name: row[name] for name in kept}, "picture": row["picture"] is not None, "reports": reports}


def _refusal(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "at", "via", "source", "size", "status", "why")}


def _policy(page: str) -> bytes:
    """The content security policy: the page's own script and style by their digests, and nothing from elsewhere."""

    def digests(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in found)

    return (
        f"default-src 'none'; script-src {digests('script')}; style-src {digests('style')}; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ).encode()


_COMMON: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


async def _respond(
    send: Send,
    code: HTTPStatus,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    *,
    head: bool = False,
    more: bool = False,
) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": int(code), "headers": [*headers, length, *_COMMON]})
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": more})


async def _json(send: Send, code: HTTPStatus, body: object, *, close: bool = False, retry: int | None = None) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if close:
        headers.append((b"connection", b"close"))
    if retry is not None:
        headers.append((b"retry-after", str(retry).encode()))
    await _respond(send, code, headers, json.dumps(body).encode(), more=retry is not None)


async def _put_off(request: _Request, answer: _Answer, *, close: bool) -> None:
    """Answers at once, then reads what is still coming."""
    await _json(request.send, answer.code, answer.body, close=close, retry=answer.retry)
    with suppress(_Answer, _Gone):
        await _drop(request, request.length)
    await request.send({"type": "http.response.body", "body": b""})


async def _file(send: Send, path: Path, kind: bytes, name: str | None = None) -> None:
    """Sends a small file of the station, piece by piece."""
    try:
        file = await offload(lambda: path.open("rb"))
    except OSError:
        raise _Answer(HTTPStatus.NOT_FOUND, "the file is not there") from None
    with file:
        headers = [(b"content-type", kind), (b"cache-control", b"private, max-age=86400, immutable"), *_COMMON]
        if name is not None:
            headers.append((b"content-disposition", f'attachment; filename="{name}"'.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while piece := await offload(lambda: file.read(CHUNK)):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _drop(request: _Request, length: int) -> None:
    """Reads and drops a refused upload that is short, so that its client sees the answer."""
    if length > LEFT_OVER:
        return
    left = LEFT_OVER
    async for piece in request.body():
        left -= len(piece)
        if left < 0:
            return


async def _live(receive: Receive, send: Send) -> None:
    """The start and the end of the server: nothing is to be done."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

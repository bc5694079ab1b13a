"""The HTTP endpoint of `metrics`: one page, one thread, and little that a client can take.

`ThreadingHTTPServer` waits for a request without end, in a thread and a descriptor for each client, so a few hundred
half-open requests take from a server what its associations need. Here a connection has `DEADLINE` seconds for all of
it, at most `CONNECTIONS` are open, and a request is at most `HEAD_SIZE` bytes.

Knows: sockets, as much of HTTP/1.1 as one page takes. Must not know: what is on the page.

Invariants: each connection is closed within `DEADLINE`, whatever its client does; each gets one answer at most.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from ..addresses import Listeners, said, show_address
from .reception import OUT_OF_SOMETHING

LOG: Final = logging.getLogger("dicos.metrics")
PATH: Final = "/metrics"
DEADLINE: Final = 5.0
"""Seconds from the accept of a connection until it is closed. Stops: half-open requests, answers that nobody reads."""
CONNECTIONS: Final = 8
"""Connections at a time; one more, and the oldest is closed. Stops: clients that take all descriptors."""
HEAD_SIZE: Final = 8192
"""Bytes of a request. Stops: header fields without end."""
LEFT_OVER: Final = 65_536
"""Bytes of a client that are read and thrown away once it has its answer: closing a socket with unread data destroys
the answer on its way. Stops: clients that send without end."""
PAUSE: Final = 0.25
"""Seconds before connections are accepted again when the system is out of descriptors."""
RECEIVE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is answered to a GET."""

    content_type: str
    body: bytes


Render = Callable[[str], Page]
"""Makes the page for a client that accepts these media types, the value of its Accept field."""


class _Refused(Exception):
    """The request is answered with this status."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Client:
    """One connection: first its request comes, then its answer goes, then what it still sends is thrown away."""

    __slots__ = ("answer", "head", "left_over", "sock", "until")

    def __init__(self, sock: socket.socket, until: float) -> None:
        self.sock = sock
        self.until = until
        self.head = bytearray()
        self.answer: memoryview | None = None
        """What is left to be sent; None while the request is awaited."""
        self.left_over = 0


class PageServer:
    """Serves one page in a thread of its own. Raises `ListenFailed`."""

    def __init__(self, where: tuple[str, int], render: Render) -> None:
        self._render = render
        self._listeners = Listeners(where)
        self._names = self._listeners.names
        self._clients: dict[socket.socket, _Client] = {}  # in the order in which they came
        self._accepting = False
        self._again: float | None = None  # when to accept again, after a pause
        self._short = False
        self._stopped = False
        self._bell, self._rope = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._accept(on=True)
        name = f"metrics {show_address(self._names[0])}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def name(self) -> object:
        """The address that it listens on, as a socket has it; the first of several."""
        return self._names[0]

    def stop(self) -> None:
        """Stops listening and closes every connection. May be called again."""
        if not self._stopped:
            self._stopped = True
            self._rope.close()  # which its other end sees
        self._thread.join()

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            self._listeners.close()
            for client in [*self._clients.values()]:
                self._drop(client)
            self._selector.close()
            self._bell.close()

    def _turn(self) -> bool:
        """One wait and what it brought. Returns False once it is stopped."""
        for key, _ in self._selector.select(self._patience()):
            if key.fileobj is self._bell:
                return False
            if (client := self._clients.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                self._serve(client)
            elif isinstance(key.fileobj, socket.socket) and key.data == "listener":
                self._take(key.fileobj)
        now = monotonic()
        for client in [client for client in self._clients.values() if client.until <= now]:
            self._drop(client)
        if self._again is not None and self._again <= now:
            self._again = None
            self._accept(on=True)
        return True

    def _patience(self) -> float | None:
        times = [client.until for client in self._clients.values()]
        if self._again is not None:
            times.append(self._again)
        return max(0.0, min(times) - monotonic()) if times else None

    def _accept(self, *, on: bool) -> None:
        for sock in self._listeners.sockets:
            if on:
                self._selector.register(sock, selectors.EVENT_READ, "listener")
            else:
                self._selector.unregister(sock)
        self._accepting = on

    def _take(self, listener: socket.socket) -> None:
        if not self._accepting:
            return
        try:
            sock, _ = listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_SOMETHING:
                if not self._short:
                    LOG.error("cannot accept connections for now: %s", said(error))
                self._short = True
                self._accept(on=False)
                self._again = monotonic() + PAUSE
            return  # else it is gone again already
        self._short = False
        while len(self._clients) >= CONNECTIONS:
            self._drop(next(iter(self._clients.values())))
        sock.setblocking(False)
        client = self._clients[sock] = _Client(sock, monotonic() + DEADLINE)
        self._selector.register(sock, selectors.EVENT_READ)
        self._serve(client)  # its request has come along with it, most often

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.sock, None) is not None:
            self._selector.unregister(client.sock)
            client.sock.close()

    # -- one connection ------------------------------------------------------------------------------------------

    def _serve(self, client: _Client) -> None:
        try:
            if client.answer is None:
                self._receive(client)
            elif client.answer:
                self._send(client)
            else:
                self._discard(client)
        except BlockingIOError:
            pass  # next time
        except OSError:
            self._drop(client)

    def _receive(self, client: _Client) -> None:
        data = client.sock.recv(RECEIVE)
        if not data:
            self._drop(client)
            return
        searched = max(0, len(client.head) - 3)
        client.head += data
        end = client.head.find(b"\r\n\r\n", searched)
        if end < 0 and len(client.head) <= HEAD_SIZE:
            return
        too_long = end < 0 or end > HEAD_SIZE
        client.answer = memoryview(self._answer(None if too_long else bytes(client.head[:end])))
        client.head.clear()
        self._selector.modify(client.sock, selectors.EVENT_WRITE)
        self._send(client)

    def _send(self, client: _Client) -> None:
        while client.answer:
            client.answer = client.answer[client.sock.send(client.answer) :]
        client.sock.shutdown(socket.SHUT_WR)
        self._selector.modify(client.sock, selectors.EVENT_READ)

    def _discard(self, client: _Client) -> None:
        data = client.sock.recv(RECEIVE)
        client.left_over += len(data)
        if not data or client.left_over > LEFT_OVER:
            self._drop(client)

    def _answer(self, head: bytes | None) -> bytes:
        """The answer to this head of a request; None: it is longer than it may be."""
        with_body = True
        allow = b""
        try:
            if head is None:
                raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a request of at most {HEAD_SIZE} bytes")
            method, accept = _read(head)
            with_body = method != "HEAD"
            page, status = self._render(accept), HTTPStatus.OK
        except _Refused as refused:
            status = refused.status
            page = Page(content_type="text/plain; charset=utf-8", body=f"{refused}\n".encode())
            if status is HTTPStatus.METHOD_NOT_ALLOWED:
                allow = b"Allow: GET, HEAD\r\n"
        except Exception:  # out of the servers that are counted, which are the caller's: the next scrape may be better
            LOG.exception("the counters could not be read")
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            page = Page(content_type="text/plain; charset=utf-8", body=b"the counters could not be read\n")
        return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s" % (
            status,
            status.phrase.encode(),
            page.content_type.encode(),
            len(page.body),
            allow,
            page.body if with_body else b"",
        )


def _read(head: bytes) -> tuple[str, str]:
    """The method, GET or HEAD, and the value of Accept, of a request for the page. Raises `_Refused`."""
    line, *fields = head.decode("latin-1").split("\r\n")  # RFC 9112 2.2: a superset of ASCII
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        raise _Refused(HTTPStatus.BAD_REQUEST, f"this is HTTP: GET {PATH} HTTP/1.1")
    method, target, version = words
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise _Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0 and HTTP/1.1")
    if method not in ("GET", "HEAD"):
        raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD")
    path = ""
    with suppress(ValueError):  # brackets that are no address of IPv6
        path = urlsplit(target).path
    if path != PATH:
        raise _Refused(HTTPStatus.NOT_FOUND, f"the counters are at {PATH}")
    accept = [
        value.strip() for name, _, value in (field.partition(":") for field in fields) if name.lower() == "accept"
    ]
    return method, ",".join(accept)

"""The HTTP endpoint of `metrics`: one page, served by one thread within strict limits.

`ThreadingHTTPServer` waits for a request without a limit, with a thread and a descriptor for each client. A few hundred
half-open requests would take the resources that the associations need. Here a connection is closed after `DEADLINE`
seconds, at most `CONNECTIONS` are open, and a request has at most `HEAD_SIZE` bytes.

Knows: sockets, and the part of HTTP/1.1 that one page needs. Must not know: the content of the page.

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
"""Seconds from the accept of a connection until it is closed. Stops: half-open requests, answers that are not read."""
CONNECTIONS: Final = 8
"""Most open connections; one more closes the oldest. Stops: clients that take all descriptors."""
HEAD_SIZE: Final = 8192
"""Most bytes of a request. Stops: endless header fields."""
LEFT_OVER: Final = 65_536
"""Most bytes of a client that are read and discarded after its answer was sent: closing a socket with unread data would
destroy the answer in transit. Stops: clients that send without end."""
PAUSE: Final = 0.25
"""Seconds before connections are accepted again when the system is out of descriptors."""
RECEIVE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The answer to a GET."""

    content_type: str
    body: bytes


Render = Callable[[str], Page]
"""A function that returns the page for a client, given the value of its Accept field."""


class _Refused(Exception):
    """Ends the handling of a request, which is answered with this status."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Client:
    """One connection: its request is received, its answer is sent, then further data is discarded."""

    __slots__ = ("answer", "head", "left_over", "sock", "until")

    def __init__(self, sock: socket.socket, until: float) -> None:
        self.sock = sock
        self.until = until
        self.head = bytearray()
        self.answer: memoryview | None = None
        """The rest of the answer to send; None until the request has arrived."""
        self.left_over = 0


class PageServer:
    """Serves one page in a thread of its own. Raises `ListenFailed`."""

    def __init__(self, where: tuple[str, int], render: Render) -> None:
        self._render = render
        self._listeners = Listeners(where)
        self._names = self._listeners.names
        self._clients: dict[socket.socket, _Client] = {}  # in order of arrival
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
        """The address that it listens on, in the form of `getsockname`; the first of several."""
        return self._names[0]

    def stop(self) -> None:
        """Stop listening and close every connection. May be called again."""
        if not self._stopped:
            self._stopped = True
            self._rope.close()  # wakes the thread, which waits for the other end
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
        """Wait once and handle the results. Returns False when the server is stopped."""
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
            return  # other errors mean that the client is gone already
        self._short = False
        while len(self._clients) >= CONNECTIONS:
            self._drop(next(iter(self._clients.values())))
        sock.setblocking(False)
        client = self._clients[sock] = _Client(sock, monotonic() + DEADLINE)
        self._selector.register(sock, selectors.EVENT_READ)
        self._serve(client)  # the request has usually arrived already

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
        """Return the answer to the head of a request; None stands for a head that is too long."""
        with_body = True
        allow = b""
        try:
            if head is None:
                raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a request has at most {HEAD_SIZE} bytes")
            method, accept = _read(head)
            with_body = method != "HEAD"
            page, status = self._render(accept), HTTPStatus.OK
        except _Refused as refused:
            status = refused.status
            page = Page(content_type="text/plain; charset=utf-8", body=f"{refused}\n".encode())
            if status is HTTPStatus.METHOD_NOT_ALLOWED:
                allow = b"Allow: GET, HEAD\r\n"
        except Exception:  # raised by a server object of the caller; the next scrape may succeed
            LOG.exception("the metrics could not be read")
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            page = Page(content_type="text/plain; charset=utf-8", body=b"the metrics could not be read\n")
        return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s" % (
            status,
            status.phrase.encode(),
            page.content_type.encode(),
            len(page.body),
            allow,
            page.body if with_body else b"",
        )


def _read(head: bytes) -> tuple[str, str]:
    """Return the method, GET or HEAD, and the value of Accept of a request for the page. Raises `_Refused`."""
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
    with suppress(ValueError):  # brackets without an IPv6 address
        path = urlsplit(target).path
    if path != PATH:
        raise _Refused(HTTPStatus.NOT_FOUND, f"the metrics are at {PATH}")
    accept = [
        value.strip() for name, _, value in (field.partition(":") for field in fields) if name.lower() == "accept"
    ]
    return method, ",".join(accept)

"""A transparent tap: a TCP proxy that changes nothing and reports everything that it carries.

Theory of operation. One thread polls the listening socket and both sockets of every connection. The bytes of one
side are reported, then sent to the other; while that does not take them, nothing more is read (backpressure).
The end of one direction (FIN) is passed on once everything before it is; a reset of one side resets the other, after
what that side had sent before is passed on, as far as the other side takes it at once.

Knows: sockets. Must not know: PDUs, files.

Invariants: of a direction at most one chunk of `CHUNK` bytes is held; at most `most` connections are open, others wait
in the backlog; a socket without work is not polled, so nothing spins.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from time import time_ns
from typing import Final

from ..captures.events import Connection, Data, Ended, Event, How, Opened, Over
from ..captures.packets import Endpoint

__all__ = ["CHUNK", "Tap"]

CHUNK: Final = 64 << 10
"""Bytes of one direction that are held until the other side takes them."""
_IN, _OUT = select.POLLIN, select.POLLOUT
_BROKEN: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 seconds: close() sends RST
_MOST_LATE: Final = 16  # chunks that are passed on after a reset

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class _Way:
    """One direction of a connection."""

    __slots__ = ("ended", "hung", "pending", "shut", "source", "target")

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.pending = memoryview(b"")
        self.ended = False  # the source has sent its FIN
        self.shut = False  # it was passed on
        self.hung = False  # the source has nothing to come but what can be read now, and the system says so each time


class _Link:
    """A connection of a client and the one to the target for it. Index 1 of `ways` is from the client."""

    __slots__ = ("connection", "established", "others", "ways")

    def __init__(self, connection: Connection, client: socket.socket) -> None:
        self.connection = connection
        self.others: list[tuple[int, SocketAddress]] = []  # addresses of the target that are not tried yet
        self.established = False
        self.ways = (_Way(client, client), _Way(client, client))  # until there is a socket to the target

    @property
    def client(self) -> socket.socket:
        return self.ways[1].source

    @property
    def server(self) -> socket.socket:
        return self.ways[1].target


class Tap:
    """Passes connections to `listener` on to `target`, host and port, and gives their events to `tell`.

    `refused` is called with a connection and the cause where the target could not be reached; its client is reset.
    `most`: connections at once. Raises OSError if the name of the target cannot be resolved.
    """

    def __init__(
        self,
        listener: socket.socket,
        target: tuple[str, int],
        tell: Callable[[Event], object],
        refused: Callable[[Connection, str], object],
        *,
        most: int = 256,
    ) -> None:
        found = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
        self._addresses: list[tuple[int, SocketAddress]] = [
            (family, address) for family, _, _, _, address in found if isinstance(address[0], str)
        ]
        self._listener = listener
        self._tell = tell
        self._refused = refused
        self._most = most
        self._poll = select.poll()
        self._links: dict[int, _Link] = {}  # by file descriptor, both of a link
        self._masks: dict[int, int] = {}
        self._number = 0
        self._open = 0
        listener.setblocking(False)
        self._want(listener, _IN)

    def run(self) -> None:
        """Passes on until an exception, such as KeyboardInterrupt, ends it; `close` then ends what is open."""
        while True:
            self.step(None)

    def step(self, seconds: float | None) -> None:
        """Waits, at most `seconds`, and carries what there is."""
        for descriptor, ready in self._poll.poll(None if seconds is None else seconds * 1000):
            if descriptor == self._listener.fileno():
                self._accept()
                continue
            link = self._links.get(descriptor)
            if link is not None and not link.established:
                self._connected(link, descriptor, ready)
            elif link is not None:
                self._carry(link, descriptor, ready)

    def close(self) -> None:
        """Closes every connection that is open, and the listening socket."""
        for link in [*dict.fromkeys(self._links.values())]:
            self._finish(link, How.CUT)
        self._want(self._listener, None)
        self._listener.close()

    # -- polling -------------------------------------------------------------------------------------------------

    def _want(self, one: socket.socket, mask: int | None) -> None:
        """Polls a socket for these events and for errors; None: not at all."""
        descriptor = one.fileno()
        if self._masks.get(descriptor) == mask or descriptor < 0:
            return
        if mask is None:
            self._poll.unregister(descriptor)
            del self._masks[descriptor]
        else:
            self._poll.register(descriptor, mask)
            self._masks[descriptor] = mask

    def _want_for(self, link: _Link) -> None:
        outgoing, incoming = link.ways[1], link.ways[0]
        for way, back in ((outgoing, incoming), (incoming, outgoing)):
            mask = (0 if way.ended or way.pending else _IN) | (_OUT if back.pending else 0)
            # With both directions over there is nothing to wait for, and the system would report that at once.
            idle = (way.ended and back.shut) or (way.hung and way.pending)
            self._want(way.source, None if idle else mask)

    # -- opening -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            client, address = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE) and self._open:  # until a connection ends
                self._want(self._listener, None)
            return
        client.setblocking(False)
        local = client.getsockname()
        self._number += 1
        connection = Connection(self._number, Endpoint(address[0], address[1]), Endpoint(local[0], local[1]), time_ns())
        link = _Link(connection, client)
        link.others = list(self._addresses)
        self._links[client.fileno()] = link
        self._want(client, 0)
        self._open += 1
        if self._open >= self._most:
            self._want(self._listener, None)
        self._connect(link, "no address")

    def _connect(self, link: _Link, cause: str) -> None:
        """Tries the next address of the target. `cause`: why the one before failed."""
        while link.others:
            family, address = link.others.pop(0)
            try:
                server = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                cause = error.strerror or str(error)
                continue
            server.setblocking(False)
            code = server.connect_ex(address)
            if code not in (0, errno.EINPROGRESS):
                cause = _words(code)
                server.close()
                continue
            client = link.client
            link.ways = (_Way(server, client), _Way(client, server))
            link.connection.server = Endpoint(address[0], address[1])
            self._links[server.fileno()] = link
            self._want(server, _OUT)
            return
        self._refused(link.connection, cause)
        self._finish(link, How.RESET, told=False)

    def _connected(self, link: _Link, descriptor: int, ready: int) -> None:
        if descriptor == link.client.fileno():
            if ready & _BROKEN:  # the client has gone while the target was called
                self._finish(link, How.RESET, told=False)
            return
        code = link.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            server = link.server
            self._want(server, None)
            del self._links[descriptor]
            server.close()
            link.ways = (_Way(link.client, link.client), _Way(link.client, link.client))
            self._connect(link, _words(code))
            return
        for one in (link.client, link.server):
            with suppress(OSError):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.established = True
        link.connection.at = time_ns()
        self._tell(Opened(link.connection))
        self._want_for(link)

    # -- carrying ------------------------------------------------------------------------------------------------

    def _carry(self, link: _Link, descriptor: int, ready: int) -> None:
        side = descriptor == link.client.fileno()
        way, back = link.ways[side], link.ways[not side]
        if ready & _OUT and back.pending and not self._send(link, back, by_client=not side):
            return
        if (
            ready & (_IN | _BROKEN)
            and not way.ended
            and not way.pending
            and not self._receive(link, way, by_client=side)
        ):
            return
        if ready & _BROKEN and (way.ended or way.pending):
            code = way.source.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._finish(link, How.RESET, by_client=side)
                return
            way.hung = True
        if all(one.shut for one in link.ways):
            self._finish(link, How.CLOSED)
            return
        self._want_for(link)

    def _receive(self, link: _Link, way: _Way, *, by_client: bool) -> bool:
        """Reads from one side and passes it on. Returns False if the connection is over."""
        try:
            data = way.source.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            self._finish(link, How.RESET, by_client=by_client)
            return False
        at = time_ns()
        if not data:
            way.ended = True
            self._tell(Ended(link.connection, by_client, at))
            self._shut(way)
            return True
        link.connection.sent[by_client] += len(data)
        self._tell(Data(link.connection, by_client, at, memoryview(data)))
        way.pending = memoryview(data)
        return self._send(link, way, by_client=by_client)

    def _send(self, link: _Link, way: _Way, *, by_client: bool) -> bool:
        """Sends what is pending. Returns False if the connection is over."""
        while way.pending:
            try:
                way.pending = way.pending[way.target.send(way.pending) :]
            except BlockingIOError:
                return True
            except OSError:
                self._pass_late(link, by_client=not by_client)
                self._finish(link, How.RESET, by_client=not by_client)
                return False
        self._shut(way)
        return True

    def _pass_late(self, link: _Link, *, by_client: bool) -> None:
        """A side has reset the connection: passes on what it had sent before, as an A-ABORT, if that is taken now."""
        way = link.ways[by_client]
        with suppress(OSError):
            for _ in range(_MOST_LATE):
                if way.pending:
                    way.pending = way.pending[way.target.send(way.pending) :]
                    continue
                data = way.source.recv(CHUNK)
                if not data:
                    return
                link.connection.sent[by_client] += len(data)
                self._tell(Data(link.connection, by_client, time_ns(), memoryview(data)))
                way.pending = memoryview(data)

    @staticmethod
    def _shut(way: _Way) -> None:
        if way.ended and not way.pending and not way.shut:
            way.shut = True
            with suppress(OSError):  # the target has gone: that shows when it is read
                way.target.shutdown(socket.SHUT_WR)

    def _finish(self, link: _Link, how: How, *, by_client: bool = False, told: bool = True) -> None:
        """Closes both sockets, with RST if one side has reset its connection."""
        if told and link.established:
            self._tell(Over(link.connection, time_ns(), how, by_client))
        for one in dict.fromkeys((link.client, link.server)):
            self._want(one, None)
            self._links.pop(one.fileno(), None)
            if how is How.RESET:
                with suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            one.close()
        self._open -= 1
        if self._open < self._most:
            self._want(self._listener, _IN)


def _words(code: int) -> str:
    from os import strerror

    return strerror(code)

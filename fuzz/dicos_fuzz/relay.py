"""A relay: a TCP proxy that passes connections on to a peer and reports everything that it carries.

Without more it changes nothing: that is the tap of `dicos trace`. With `passages`, the bytes of each direction go
through an object that may keep, drop and change them: that is the proxy of faults.

Theory of operation. One thread polls the listening socket and both sockets of every connection. The bytes of one side
are reported and fed into the passage of their direction; what it lets pass is sent to the other side, a piece at a
time; while that does not take them, or the passage does not want more, nothing is read (backpressure). The end of one
direction (FIN) is passed on once everything before it is; a reset of one side resets the other, after what that side
had sent before is passed on, as far as the other side takes it at once.

Knows: sockets. Must not know: PDUs, faults, files.

Invariants: of a direction at most one chunk of `CHUNK` bytes is held, and what its passage holds; at most `most`
connections are open, others wait in the backlog; a socket without work is not polled, so nothing spins.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from os import strerror
from time import monotonic, time_ns
from typing import Final

from .captures.events import Connection, Data, Ended, Event, How, Opened, Over
from .captures.packets import Endpoint
from .passages import Passage, Passages, Plain

__all__ = ["CHUNK", "Relay"]

CHUNK: Final = 64 << 10
"""Bytes of one direction that are read at a time, and held until the other side takes them."""
_TURNS: Final = 64  # pieces of a connection before others have their turn
_PAUSE: Final = 0.1  # seconds until the next try to accept, where the system is out of something
GONE: Final = 60.0
"""Seconds that a connection stays open for bytes that a passage keeps, once both sides have ended their directions.
Without an end, stalls of hours would fill all places with connections that nobody has any more."""
_OUT_OF: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_IN, _OUT = select.POLLIN, select.POLLOUT
_BROKEN: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 seconds: close() sends RST
_MOST_LATE: Final = 16  # chunks that are passed on after a reset

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class _Way:
    """One direction of a connection."""

    __slots__ = ("ended", "hung", "passage", "pending", "shut", "source", "target")

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.passage: Passage = Plain()
        self.pending = memoryview(b"")
        self.ended = False  # the source has sent its FIN
        self.shut = False  # it was passed on
        self.hung = False  # the source has nothing to come but what can be read now, and the system says so each time

    @property
    def reads(self) -> bool:
        """True if the source is to be read."""
        return not self.ended and not self.pending and self.passage.wants

    @property
    def over(self) -> bool:
        """True if nothing passes any more."""
        return (self.shut and self.ended) or (self.hung and self.passage.stalled_forever)

    @property
    def left(self) -> bool:
        """True if the source sends no more, and the passage keeps what it has sent."""
        return (self.hung or self.ended) and not (self.pending or self.reads or self.shut)


class _Link:
    """A connection of a client and the one to the target for it. Index 1 of `ways` is from the client."""

    __slots__ = ("connection", "established", "gone_at", "others", "ways")

    def __init__(self, connection: Connection, client: socket.socket) -> None:
        self.connection = connection
        self.others: list[tuple[int, SocketAddress]] = []  # addresses of the target that are not tried yet
        self.established = False
        self.gone_at: float | None = None  # when nobody has it any more
        self.ways = (_Way(client, client), _Way(client, client))  # until there is a socket to the target

    @property
    def client(self) -> socket.socket:
        return self.ways[1].source

    @property
    def server(self) -> socket.socket:
        return self.ways[1].target


class Relay:
    """Passes connections to `listener` on to `target`, host and port, and gives their events to `tell`.

    `refused` is called with a connection and the cause where the target could not be reached; its client is reset.
    `passages`: what the bytes go through, by default nothing that changes them. `most`: connections at once. `total`:
    connections in all, None for any number. Raises OSError if the name of the target cannot be resolved.
    """

    def __init__(
        self,
        listener: socket.socket,
        target: tuple[str, int],
        tell: Callable[[Event], object],
        refused: Callable[[Connection, str], object],
        *,
        passages: Passages | None = None,
        most: int = 256,
        total: int | None = None,
    ) -> None:
        found = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
        self._addresses: list[tuple[int, SocketAddress]] = [
            (family, address) for family, _, _, _, address in found if isinstance(address[0], str)
        ]
        self._listener = listener
        self._tell = tell
        self._refused = refused
        self._passages = passages
        self._most = most
        self._total = total
        self._poll = select.poll()
        self._links: dict[int, _Link] = {}  # by file descriptor, both of a link
        self._masks: dict[int, int] = {}
        self._due: dict[_Link, float] = {}
        self._accept_at: float | None = None
        self._number = 0
        self._open = 0
        listener.setblocking(False)
        self._want(listener, _IN)

    @property
    def over(self) -> bool:
        """True once `total` connections have come and gone."""
        return self._number == self._total and not self._open

    def run(self) -> None:
        """Passes on until `over`, or an exception, such as KeyboardInterrupt; `close` then ends what is open."""
        while not self.over:
            self.step(None)

    def step(self, seconds: float | None) -> None:
        """Waits, at most `seconds`, and carries what there is."""
        found = self._poll.poll(self._milliseconds(seconds))
        for link, descriptor, ready in [
            (self._links.get(descriptor), descriptor, ready) for descriptor, ready in found
        ]:
            if link is None or self._links.get(descriptor) is not link:
                continue  # the listening socket, or one that was closed meanwhile
            if link.established:
                self._carry(link, descriptor, ready)
            else:
                self._connected(link, descriptor, ready)
        if any(descriptor == self._listener.fileno() for descriptor, _ in found):
            self._accept()
        now = monotonic()
        for link in [one for one, at in self._due.items() if at <= now]:
            self._pass_time(link, now)
        if self._accept_at is not None and self._accept_at <= now:
            self._accept_at = None
            self._want_more()

    def close(self) -> None:
        """Closes every connection that is open, and the listening socket."""
        for link in [*dict.fromkeys(self._links.values())]:
            self._finish(link, How.CUT)
        self._want(self._listener, None)
        self._listener.close()

    # -- polling -------------------------------------------------------------------------------------------------

    def _milliseconds(self, seconds: float | None) -> float | None:
        """The longest wait, which ends at the next deadline."""
        ends = [*self._due.values()]
        if self._accept_at is not None:
            ends.append(self._accept_at)
        if ends:
            left = max(0.0, min(ends) - monotonic())
            seconds = left if seconds is None else min(seconds, left)
        return None if seconds is None else seconds * 1000

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

    def _want_more(self) -> None:
        """Polls the listening socket if another connection may come."""
        more = self._open < self._most and self._number != self._total and self._accept_at is None
        self._want(self._listener, _IN if more else None)

    def _want_for(self, link: _Link) -> None:
        outgoing, incoming = link.ways[1], link.ways[0]
        for way, back in ((outgoing, incoming), (incoming, outgoing)):
            mask = (_IN if way.reads else 0) | (_OUT if back.pending else 0)
            # With both directions over there is nothing to wait for, and the system would report that at once.
            idle = (way.ended and back.shut) or (way.hung and not way.reads)
            self._want(way.source, None if idle else mask)
        now = monotonic()
        found = [one[0] for way in link.ways if (one := way.passage.deadline(now)) is not None]
        if (outgoing.over and incoming.left) or (incoming.over and outgoing.left):
            link.gone_at = link.gone_at or now + GONE
            found.append(link.gone_at)
        else:
            link.gone_at = None
        if found:
            self._due[link] = min(found)
        else:
            self._due.pop(link, None)

    # -- opening -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            client, address = self._listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF:
                self._accept_at = monotonic() + _PAUSE
                self._want_more()
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
        self._want_more()
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
                cause = strerror(code)
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
            self._connect(link, strerror(code))
            return
        for one in (link.client, link.server):
            with suppress(OSError):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.established = True
        if self._passages is not None:
            link.ways[0].passage, link.ways[1].passage = self._passages(link.connection)
        link.connection.at = time_ns()
        self._tell(Opened(link.connection))
        self._go_on(link)

    # -- carrying ------------------------------------------------------------------------------------------------

    def _carry(self, link: _Link, descriptor: int, ready: int) -> None:
        side = descriptor == link.client.fileno()
        way = link.ways[side]
        if ready & (_IN | _BROKEN) and way.reads:
            if not self._receive(link, way, by_client=side):
                return
        elif ready & _BROKEN:
            if way.source.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._finish(link, How.RESET, by_client=side)
                return
            way.hung = True
        self._go_on(link)

    def _pass_time(self, link: _Link, now: float) -> None:
        for side, way in enumerate(link.ways):
            way.passage.handle_timeout(now)
            if way.passage.reset:  # bytes that are pending are lost
                self._finish(link, How.RESET, by_client=bool(side))
                return
        if link.gone_at is not None and link.gone_at <= now:
            self._finish(link, How.CLOSED)
            return
        self._go_on(link)

    def _receive(self, link: _Link, way: _Way, *, by_client: bool) -> bool:
        """Reads from one side. Returns False if the connection is over."""
        try:
            data = way.source.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            self._finish(link, How.RESET, by_client=by_client)
            return False
        if data:
            self._feed(link, way, data, by_client=by_client)
        else:
            way.ended = True
            self._tell(Ended(link.connection, by_client, time_ns()))
            way.passage.end()
        return True

    def _feed(self, link: _Link, way: _Way, data: bytes, *, by_client: bool) -> None:
        link.connection.sent[by_client] += len(data)
        self._tell(Data(link.connection, by_client, time_ns(), memoryview(data)))
        way.passage.feed(data)

    def _go_on(self, link: _Link) -> None:
        """Passes on what may pass now, then waits for more."""
        for _ in range(_TURNS):
            moved = False
            for side, way in enumerate(link.ways):
                passed = self._pass(link, way, by_client=bool(side))
                if passed is None:
                    return
                moved = moved or passed  # which may let something of the other direction pass
            if not moved:
                break
        if all(way.over for way in link.ways):
            self._finish(link, How.CLOSED)
            return
        self._want_for(link)
        if moved:
            self._due[link] = monotonic()

    def _pass(self, link: _Link, way: _Way, *, by_client: bool) -> bool | None:
        """Sends what is pending, or the next piece. Returns True if it was sent, None if the connection is over."""
        if not way.pending:
            way.pending = _taken(way.passage)
        moved = len(way.pending) > 0
        if moved and not self._send(link, way, by_client=by_client):
            return None
        if way.pending:
            return False
        if way.passage.reset:
            self._finish(link, How.RESET, by_client=by_client)
            return None
        if way.passage.finished and not way.shut:
            way.shut = True
            with suppress(OSError):  # the target has gone: that shows when it is read
                way.target.shutdown(socket.SHUT_WR)
        return moved

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
        return True

    def _pass_late(self, link: _Link, *, by_client: bool) -> None:
        """A side has reset the connection: passes on what it had sent before, as an A-ABORT, if that is taken now."""
        way = link.ways[by_client]
        with suppress(OSError):
            for _ in range(_MOST_LATE):
                if not way.pending:
                    way.pending = _taken(way.passage)
                if way.pending:
                    way.pending = way.pending[way.target.send(way.pending) :]
                    continue
                data = way.source.recv(CHUNK) if way.reads else b""
                if not data:
                    return
                self._feed(link, way, data, by_client=by_client)

    def _finish(self, link: _Link, how: How, *, by_client: bool = False, told: bool = True) -> None:
        """Closes both sockets, with RST if one side has reset its connection."""
        if told and link.established:
            self._tell(Over(link.connection, time_ns(), how, by_client))
        self._due.pop(link, None)
        for one in dict.fromkeys((link.client, link.server)):
            self._want(one, None)
            self._links.pop(one.fileno(), None)
            if how is How.RESET:
                with suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            one.close()
        self._open -= 1
        self._want_more()


def _taken(passage: Passage) -> memoryview:
    piece = passage.take()
    return memoryview(piece[0] if len(piece) == 1 else b"".join(piece))

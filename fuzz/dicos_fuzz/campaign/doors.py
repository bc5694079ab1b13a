"""The way to a peer: its address, the socket on which it is waited for, TLS for both, and what a campaign may spend.

Knows: sockets, TLS configurations. Must not know: conversations.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from dicos_transports.addresses import said

from .links import LOCAL, Link, LocalTrouble, Plain, tuned
from .spending import Spending

if TYPE_CHECKING:
    from dicos_transports.tls import ClientTLS, ServerTLS

__all__ = ["CANCELLED", "Bounds", "Door", "NoPort", "Peer"]

CANCELLED: Final = 0.25
"""Seconds after which a wait looks if the run was cancelled."""

_LATE_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""With it a source address does not use up a port of its own for each connection, ip(7)."""


class NoPort(LocalTrouble):
    """All local ports are in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where the peer is, and how it is reached.

    `host`, `port`: where it listens. `address`: that of the host, None to look it up, once. `source`: the local address
    to connect from. `tls`: TLS for connections to it. `listen`: (address, port) where this program listens for its
    calls, None if it does not; port 0 is any free one. `server_tls`: TLS for those.
    """

    host: str = "127.0.0.1"
    port: int = 0
    address: str | None = None
    source: str | None = None
    tls: ClientTLS | None = None
    listen: tuple[str, int] | None = None
    server_tls: ServerTLS | None = None

    @property
    def where(self) -> str:
        """The address to connect to, or the name that has it."""
        return self.host if self.address is None else self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The most that a run of one conversation may take.

    `seconds`: for the run. `connections`: open at the same time. `connect`: seconds for a connection, its TLS handshake
    included. `called`: seconds until the peer calls, where it is the one to call.
    """

    seconds: float = 120.0
    connections: int = 64
    connect: float = 5.0
    called: float = 30.0


class Door:
    """Makes connections with one peer. `trigger` is called when the peer is waited for and has not called yet: it makes
    the peer call, and must not wait.

    `spending`: bounds that it shares with others. `bytes_sent`, `associations`: what all runs have used so far. Raises
    `OSError` if its port cannot be listened on."""

    def __init__(self, peer: Peer, trigger: Callable[[], None] | None = None, spending: Spending | None = None) -> None:
        self.peer = peer
        self.spending = Spending() if spending is None else spending
        self.trigger = trigger
        self.bytes_sent = 0
        self.associations = 0
        self.cancelled = False
        """True ends every run soon."""
        self.listener = None if peer.listen is None else _listening(peer.listen)
        self._where: tuple[socket.AddressFamily, tuple[object, ...]] | None = None

    def close(self) -> None:
        """Closes the listening socket. May be called again."""
        if self.listener is not None:
            self.listener.close()

    def take(self, data: bytes) -> bytes:
        """Returns the bytes of `data` that may be sent, which are counted. Raises `LocalTrouble`."""
        granted = self.spending.take(len(data))
        self.bytes_sent += granted
        return data[:granted]

    def await_turn(self) -> None:
        """Waits until a conversation may begin, as the rate of all players allows. Raises `LocalTrouble`."""
        at = min(self.spending.turn(), self.spending.until)
        while (left := at - monotonic()) > 0 and not self.cancelled:
            sleep(min(left, CANCELLED))

    def begin(self) -> tuple[socket.socket, bool]:
        """Begins a connection. Returns its socket, and True if it is not open yet. Raises `OSError` if the peer refuses
        it or has no address, `LocalTrouble` if this program is the cause."""
        if self._where is None:  # a name is looked up once
            found = socket.getaddrinfo(self.peer.where, self.peer.port, type=socket.SOCK_STREAM)
            self._where = found[0][0], found[0][4]
        family, address = self._where
        try:
            sock = tuned(socket.socket(family, socket.SOCK_STREAM))
        except OSError as error:
            raise LocalTrouble(said(error)) from error
        try:
            if self.peer.source is not None:
                with suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_IP, _LATE_PORT, 1)
                sock.bind((self.peer.source, 0))
            sock.connect(address)
        except BlockingIOError:
            return sock, True
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise NoPort(said(error)) from error
            if error.errno in LOCAL:
                raise LocalTrouble(said(error)) from error
            raise
        return sock, False

    def accept(self) -> socket.socket | None:
        """Returns the next connection that the peer has opened, None if there is none. Raises `LocalTrouble`."""
        assert self.listener is not None
        try:
            return tuned(self.listener.accept()[0])
        except (BlockingIOError, ConnectionError):
            return None
        except OSError as error:
            raise LocalTrouble(said(error)) from error

    def has_tls(self, *, calls: bool) -> bool:
        """Returns True if connections have TLS; `calls`: those that this side opens."""
        return (self.peer.tls if calls else self.peer.server_tls) is not None

    def secure(self, link: Link, *, calls: bool) -> bool:
        """Begins TLS on an open connection, if it is wanted; `calls`: this side opened it. Returns True if it is."""
        config = self.peer.tls if calls else self.peer.server_tls
        if config is None:
            return False
        from dicos_transports.tls.layer import TLSLayer

        plain = Plain()
        link.begin_tls(TLSLayer(plain, config, server_hostname=self.peer.host), plain)
        return True


def _listening(where: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    sock = socket.create_server(where, family=family, backlog=128)
    sock.setblocking(False)
    return sock

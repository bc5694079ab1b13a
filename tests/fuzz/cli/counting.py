"""A relay in front of a peer that counts what arrives there: connections, those open at once, bytes."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PATIENCE = 30.0
CHUNK = 1 << 16


@dataclass(slots=True)
class Counted:
    """The numbers of a client. `begun`: when each connection came, as of `monotonic`; `most`: open at once."""

    port: int = 0
    sent: int = 0
    most: int = 0
    begun: list[float] = field(default_factory=list)


class _Relay:
    def __init__(self, listener: socket.socket, port: int, counted: Counted) -> None:
        self._listener, self._port, self._counted = listener, port, counted
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}  # client: peer
        self.stop = False

    def run(self) -> None:
        while not self.stop:
            ready = {key.fileobj for key, _ in self._selector.select(0.05)}
            back = {peer: client for client, peer in self._pairs.items()}
            for peer, client in back.items():
                if peer in ready:
                    self._answered(client, peer)
            if self._listener in ready:
                # Those that have ended by now are not open any more, whichever event came first.
                for client in [*self._pairs]:
                    self._said(client)
                self._accept()
            else:
                for client in [one for one in self._pairs if one in ready]:
                    self._said(client)
        for client in [*self._pairs]:
            self._close(client)
        self._selector.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self._counted.begun.append(time.monotonic())
        peer = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        for one in (client, peer):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setblocking(False)
            self._selector.register(one, selectors.EVENT_READ)
        self._pairs[client] = peer
        self._counted.most = max(self._counted.most, len(self._pairs))

    def _said(self, client: socket.socket) -> None:
        while client in self._pairs:
            try:
                data = client.recv(CHUNK)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._counted.sent += len(data)
            if not data:
                self._close(client)
                return
            self._pass(data, self._pairs[client])

    def _answered(self, client: socket.socket, peer: socket.socket) -> None:
        try:
            data = peer.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._pass(data, client)
        else:
            self._selector.unregister(peer)
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)

    def _pass(self, data: bytes, to: socket.socket) -> None:
        to.settimeout(PATIENCE)
        with suppress(OSError):
            to.sendall(data)
        to.setblocking(False)

    def _close(self, client: socket.socket) -> None:
        peer = self._pairs.pop(client)
        for one in (client, peer):
            with suppress(KeyError, ValueError):
                self._selector.unregister(one)
            one.close()


@contextmanager
def counting(port: int) -> Iterator[Counted]:
    """Runs the relay in front of a port of this host. The numbers are final at the end of the block."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        counted = Counted(port=listener.getsockname()[1])
        relay = _Relay(listener, port, counted)
        thread = threading.Thread(target=relay.run, daemon=True)
        thread.start()
        try:
            yield counted
        finally:
            relay.stop = True
            thread.join(PATIENCE)
            assert not thread.is_alive()

"""A relay in a thread, between clients of a test and a listening socket of it."""

from __future__ import annotations

import errno
import select
import socket
import struct
import threading

from dicos_fuzz.captures.events import Connection, Data, Ended, Event, How, Over
from dicos_fuzz.relay import Relay

TIMEOUT = 30.0
"""Seconds for something that takes none on an idle machine."""
RESET = struct.pack("ii", 1, 0)


class Bed:
    """A tap in a thread, between clients of the test and a listening socket of it."""

    def __init__(self, *, most: int = 256, target: tuple[str, int] | None = None) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(TIMEOUT)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.events: list[Event] = []
        self.kept: dict[bool, bytearray] = {True: bytearray(), False: bytearray()}
        self.refused: list[tuple[Connection, str]] = []
        self.over = threading.Event()
        self._stopping = False
        self.relay = self.make(target or self.server.getsockname(), most)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.sockets: list[socket.socket] = [self.server]

    def make(self, target: tuple[str, int], most: int) -> Relay:
        """The relay that is tested."""
        return Relay(
            self.listener, target, self.take, lambda connection, cause: self.refused.append((connection, cause)),
            most=most,
        )  # fmt: skip

    def _run(self) -> None:
        while not self._stopping:
            self.relay.step(0.05)
        self.relay.close()

    def take(self, event: Event) -> None:
        """Keeps an event of the relay."""
        if isinstance(event, Data):
            self.kept[event.by_client] += event.data
        self.events.append(event)
        if isinstance(event, Over):
            self.over.set()

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """A client, and the server's end of its connection."""
        client = socket.create_connection(self.address, TIMEOUT)
        server, _ = self.server.accept()
        server.settimeout(TIMEOUT)
        self.sockets += [client, server]
        return client, server

    def ends(self) -> list[str]:
        assert self.over.wait(TIMEOUT)
        return [
            f"{'client' if event.by_client else 'server'} ended" if isinstance(event, Ended)
            else event.how.name + (f" by {'client' if event.by_client else 'server'}" if event.how is How.RESET else "")
            for event in self.events
            if isinstance(event, Ended | Over)
        ]  # fmt: skip

    def stop(self) -> None:
        """Ends the tap."""
        self._stopping = True
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.stop()
        for one in self.sockets:
            one.close()
        assert not self.relay._links
        assert not self.relay._masks


def read(one: socket.socket) -> bytes:
    """Everything up to the end of the direction."""
    parts = []
    while part := one.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    one.close()


def is_reset(one: socket.socket) -> bool:
    """Waits for the end of a connection; returns True if it is a reset."""
    poller = select.poll()
    poller.register(one, 0)
    assert poller.poll(TIMEOUT * 1000)
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (errno.ECONNRESET, errno.EPIPE)


def connecting_is_reset(address: tuple[str, int]) -> bool:
    """Connects. Returns True if the connection is reset at once."""
    try:
        client = socket.create_connection(address, TIMEOUT)
    except ConnectionResetError:  # before this side has noticed that it is established
        return True
    with client:
        return is_reset(client)

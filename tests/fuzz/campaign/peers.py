"""Peers for the tests of the player and the campaign: sockets that do as a function says, in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PATIENCE = 30.0


@contextmanager
def raw_peer(*handles: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listening socket whose connections are handled one after the other, each by the next of `handles`, the last
    one by the last of them and so are all after it. Yields the port. A connection is closed when its handle returns."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()
        listener.settimeout(0.05)

        def run() -> None:
            number = 0
            while not stop.is_set():
                try:
                    sock, _ = listener.accept()
                except TimeoutError:
                    continue
                except OSError:
                    return
                with sock, suppress(OSError):
                    sock.settimeout(PATIENCE)
                    handles[min(number, len(handles) - 1)](sock)
                number += 1

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join(PATIENCE)
            assert not thread.is_alive()


def receive(sock: socket.socket, count: int) -> bytes:
    """Reads exactly `count` bytes, or fewer if the connection ends."""
    data = b""
    while len(data) < count and (piece := sock.recv(count - len(data))):
        data += piece
    return data


def receive_pdu(sock: socket.socket) -> bytes:
    """Reads one PDU."""
    head = receive(sock, 6)
    return head + receive(sock, int.from_bytes(head[2:6], "big"))


def receive_all(sock: socket.socket) -> bytes:
    """Reads to the end of the connection."""
    data = b""
    with suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return data

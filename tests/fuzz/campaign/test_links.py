"""One connection of a conversation, where the socket and TLS call each other."""

from __future__ import annotations

import errno
from typing import Any

from dicos_fuzz.campaign.links import Link, Plain
from dicos_fuzz.conversation import Transcript, What

ALERT = b"\x15\3\3\0\2\2\x28"


class ResetSocket:
    """A socket of a connection that the peer has reset: what it sent before can still be read, without end."""

    def __init__(self) -> None:
        self.reads = 0

    def send(self, data: object) -> int:
        del data  # as in a real socket, the traceback does not keep the buffer
        raise OSError(errno.EPIPE, "broken pipe")

    def recv(self, size: int) -> bytes:
        self.reads += 1
        return ALERT

    def setsockopt(self, *given: object) -> None:
        pass


class RefusingTLS:
    """A TLS layer that ends at the first byte of the peer, and always has something more to say."""

    info = "established"

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self._says = True

    def receive_data(self, data: bytes) -> None:
        self._says = True
        self._plain.receive_eof()

    def receive_eof(self) -> None:
        self._plain.receive_eof()

    def data_to_send(self) -> list[bytes]:
        says, self._says = self._says, False
        return [ALERT] if says else []


def test_a_reset_over_tls_is_read_once_and_ends_the_connection() -> None:
    """Writing fails, so the rest is read; it ends TLS, which wants to write, which fails."""
    transcript, plain = Transcript([]), Plain()
    sock: Any = ResetSocket()
    tls: Any = RefusingTLS(plain)
    link = Link(0, sock, transcript, 0.0)
    link.begin_tls(tls, plain)
    assert link.end is What.ENDED
    assert sock.reads == 1
    assert [one.what for one in transcript.entries] == [What.ENDED]
    link.queue(b"more")
    assert sock.reads == 1

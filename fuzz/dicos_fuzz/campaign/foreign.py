"""The protocol of a port that does not answer DICOM: HTTP or TLS, by one short question each.

Knows: the first bytes of these protocols. Must not know: DICOM.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Final

__all__ = ["what_it_speaks"]

PATIENCE: Final = 2.0
_HTTP: Final = b"GET / HTTP/1.0\r\n\r\n"


def what_it_speaks(host: str, port: int) -> str | None:
    """Returns "HTTP" or "TLS" if the port answers that, None if it answers neither."""
    if _answer(host, port, _HTTP).startswith(b"HTTP/"):
        return "HTTP"
    if _answer(host, port, _hello())[:1] in (b"\x15", b"\x16"):
        return "TLS"
    return None


def _hello() -> bytes:
    """Returns a ClientHello."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def _answer(host: str, port: int, question: bytes) -> bytes:
    try:
        with socket.create_connection((host, port), PATIENCE) as sock:
            sock.settimeout(PATIENCE)
            sock.sendall(question)
            return sock.recv(64)
    except OSError:
        return b""

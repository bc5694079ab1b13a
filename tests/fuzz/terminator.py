"""TLS in front of a peer that has none, for tests: a thread for each connection decrypts it and passes it on."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dicos_transports.tls.identity import Identity
from tests.transports.certificates import Files, write_all


@contextmanager
def tls_before(port: int, folder: Path, identity: Identity) -> Iterator[tuple[int, Files]]:
    """Serves TLS for the peer at `port`. Yields the port for it, and the files of the certificates."""
    files = write_all(folder, identity)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=_carry, args=(listener.accept()[0], context, port), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], files
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _carry(raw: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with (
        suppress(OSError),
        context.wrap_socket(raw, server_side=True) as outside,
        socket.create_connection(("127.0.0.1", port)) as inside,
    ):
        while True:
            ready = [outside] if outside.pending() else select.select([outside, inside], [], [])[0]
            for one in ready:
                data = one.recv(65536)
                if not data:
                    return
                (inside if one is outside else outside).sendall(data)

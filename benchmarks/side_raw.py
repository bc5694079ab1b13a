"""The ceiling: the same numbers of bytes over one connection on loopback, from memory into one buffer, no protocol.

    python -m benchmarks.side_raw scp|scu JSON

A message is its length in 8 bytes, that many bytes, and an answer of 128 bytes. Content comes from one buffer of
512 KiB that is sent again and again: of a file only the size is read. From disk to disk: files are read into that
buffer, and received bytes are written to a file under its final name. With TLS: pyOpenSSL on the socket itself, TLS
1.3, as in a program without a protocol engine.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from io import FileIO
from pathlib import Path
from time import perf_counter
from typing import Final

from .options import Options, main, tell

PIECE: Final = 512 * 1024
ANSWER: Final = bytes(128)
ECHO: Final = 80  # a C-ECHO-RQ with its headers


class Plain:
    """One connected socket."""

    def __init__(self, sock: socket.socket, options: Options, *, server: bool) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sendall: Callable[[memoryview | bytes], object] = sock.sendall
        self.recv_into: Callable[[memoryview], int] = sock.recv_into
        if options.tls:
            self._wrap(sock, Path(options.tls), server=server)

    def _wrap(self, sock: socket.socket, folder: Path, *, server: bool) -> None:
        from OpenSSL import SSL

        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        if server:
            context.use_certificate_file(str(folder / "cert.pem"))
            context.use_privatekey_file(str(folder / "key.pem"))
        connection = SSL.Connection(context, sock)
        if server:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
        connection.do_handshake()
        self.sendall = connection.sendall

        def receive(buffer: memoryview) -> int:
            try:
                return int(connection.recv_into(buffer))
            except (SSL.ZeroReturnError, SSL.SysCallError):
                return 0

        self.recv_into = receive


def scp(options: Options) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("port", listener.getsockname()[1], flush=True)
        buffer = memoryview(bytearray(PIECE))
        while True:
            sock, _ = listener.accept()
            with sock:
                plain = Plain(sock, options, server=True)
                # One receive gets the length and a small message after it.
                while count := plain.recv_into(buffer):
                    left = int.from_bytes(buffer[:8], "little") + 8
                    with stored(options) as out:
                        at = 8
                        while count:
                            left -= count
                            if out is not None:
                                out.write(buffer[at:count])
                            at = 0
                            count = plain.recv_into(buffer) if left > 0 else 0
                    plain.sendall(ANSWER)


def stored(options: Options) -> AbstractContextManager[FileIO | None]:
    """The next file in the folder, if anything is stored."""
    if not options.folder:
        return nullcontext()
    return FileIO(Path(options.folder, f"{len(os.listdir(options.folder))}.raw"), "x")


def scu(options: Options) -> None:
    paths = options.paths() if options.listing else []
    sizes = [ECHO - 8] * options.echoes or [os.stat(path).st_size for path in paths]
    buffer = memoryview(bytearray(PIECE))
    answer = memoryview(bytearray(len(ANSWER)))
    begun = perf_counter()
    with socket.create_connection(("127.0.0.1", options.port)) as sock:
        plain = Plain(sock, options, server=False)
        for number, size in enumerate(sizes):
            with FileIO(paths[number]) if options.folder else nullcontext() as file:
                buffer[:8] = size.to_bytes(8, "little")
                left, at = size + 8, 8
                while left > 0:
                    if file is not None:
                        file.readinto(buffer[at:])
                    plain.sendall(buffer[:left])
                    left, at = left - PIECE, 0
            left = len(ANSWER)
            while left:
                left -= plain.recv_into(answer[:left])
    tell(begun)


if __name__ == "__main__":
    main(scp, scu, __doc__)

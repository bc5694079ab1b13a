"""The ceiling: the same numbers of bytes over one connection on loopback, from memory into one buffer, no protocol.

    python -m benchmarks.side_raw serve                                         says `port N`
    python -m benchmarks.side_raw send PORT PATH... | echo PORT COUNT

A message is its length in 8 bytes, that many bytes, and an answer of 128 bytes. Content comes from one buffer of
512 KiB that is sent again and again: no file is read but for its size.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from time import perf_counter
from typing import Final

PIECE: Final = 512 * 1024
ANSWER: Final = bytes(128)
ECHO: Final = 80  # a C-ECHO-RQ with its headers


def serve() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("port", listener.getsockname()[1], flush=True)
        buffer = memoryview(bytearray(PIECE))
        while True:
            sock, _ = listener.accept()
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # The length and what follows come in one receive where that is small.
                while count := sock.recv_into(buffer):
                    left = int.from_bytes(buffer[:8], "little") + 8 - count
                    while left > 0 and (count := sock.recv_into(buffer)):
                        left -= count
                    sock.sendall(ANSWER)


def send(port: int, sizes: list[int]) -> None:
    buffer = memoryview(bytearray(PIECE))
    begun = perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for size in sizes:
            buffer[:8] = size.to_bytes(8, "little")
            left = size + 8
            while left > 0:
                sock.sendall(buffer[:left])
                left -= PIECE
            left = len(ANSWER)
            while left:
                left -= len(sock.recv(left))
    print(json.dumps({"seconds": perf_counter() - begun}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["send", port, *paths]:
            send(int(port), [os.stat(path).st_size for path in paths])
        case ["echo", port, count]:
            send(int(port), [ECHO - 8] * int(count))
        case _:
            sys.exit(__doc__)

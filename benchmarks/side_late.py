"""A peer whose answers are late: a proxy that delays the server's bytes by DELAY seconds, and the client's not at all.

python -m benchmarks.side_late PORT DELAY       prints `port N`
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections import deque
from time import monotonic


def carry(client: socket.socket, server: socket.socket, delay: float) -> None:
    """Serve one connection until its end."""
    late: deque[tuple[float, bytes]] = deque()
    for sock in (client, server):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with selectors.DefaultSelector() as ready:
        for sock in (client, server):
            ready.register(sock, selectors.EVENT_READ)
        while True:
            wait = max(0.0, late[0][0] - monotonic()) if late else None
            for key, _ in ready.select(wait):
                data = (client if key.fileobj is client else server).recv(1 << 18)
                if key.fileobj is client and data:
                    server.sendall(data)
                elif data:
                    late.append((monotonic() + delay, data))
                else:
                    for _, rest in late:
                        client.sendall(rest)
                    return
            while late and late[0][0] <= monotonic():
                client.sendall(late.popleft()[1])


def main(port: int, delay: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("port", listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                carry(client, server, delay)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [port, delay]:
            main(int(port), float(delay))
        case _:
            sys.exit(__doc__)

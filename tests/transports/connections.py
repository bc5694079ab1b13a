"""Servers, sessions and rude peers over real sockets, for the tests of adapters."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateRequest
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import EchoRequest, Session, StoreRequest, connect
from dicos_transports.blocking.server import Handler, Server, serve

CT, EXPLICIT, VERIFICATION = uids.CT_IMAGE_STORAGE, uids.EXPLICIT_VR_LE, uids.VERIFICATION
POLICY = AcceptPolicy(other_contexts=(EXPLICIT,))
CONTEXTS = propose([VERIFICATION, CT], (EXPLICIT,))
ASKED = encode(AssociateRequest(called_aet="A", calling_aet="B", contexts=CONTEXTS))
PATIENCE = 30.0
"""Seconds after which a test gives up; no test takes that long."""


def answer_all(session: Session) -> None:
    """A handler that answers 0 to everything and keeps nothing."""
    for request in session:
        if isinstance(request, StoreRequest):
            for _ in request.data():
                pass
        if isinstance(request, EchoRequest | StoreRequest):
            request.respond()


@contextmanager
def server(handler: Handler = answer_all, **options: Any) -> Iterator[Server]:
    """A server on a free port of 127.0.0.1, closed in the end; no thread of it is left then."""
    before = set(threading.enumerate())
    options.setdefault("policy", POLICY)
    with serve(("127.0.0.1", 0), handler, **options) as running:
        yield running
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)  # it may be on its last line
        assert not thread.is_alive(), thread


def user(running: Server, **options: Any) -> Session:
    """An association with `running`."""
    return connect(("127.0.0.1", running.port), CONTEXTS, **options)


@contextmanager
def raw(running: Server) -> Iterator[socket.socket]:
    """A connection to `running` that no engine handles."""
    with socket.create_connection(("127.0.0.1", running.port), PATIENCE) as sock:
        yield sock


@contextmanager
def raw_association(running: Server) -> Iterator[socket.socket]:
    """The same with an association established."""
    with raw(running) as sock:
        sock.sendall(ASKED)
        assert read_pdu(sock)[0] == 2
        yield sock


def read_pdu(sock: socket.socket) -> bytes:
    """One whole PDU; what there is of it at end of file."""
    data = read_exactly(sock, 6)
    if len(data) == 6:
        data += read_exactly(sock, struct.unpack_from(">L", data, 2)[0])
    return data


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            more = sock.recv(size - len(data))
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more
    return data


def abort_of(sock: socket.socket) -> Abort:
    """The A-ABORT that is all that comes, before the connection is closed once this side has closed."""
    pdu = decode(read_pdu(sock))
    assert isinstance(pdu, Abort)
    sock.shutdown(socket.SHUT_WR)
    assert read_pdu(sock) == b""
    return pdu


class Lines(logging.Handler):
    """The log lines of servers, and a way to wait for one."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def texts(self, least: int = logging.WARNING) -> list[str]:
        return [record.getMessage() for record in self.records if record.levelno >= least]

    def wait_for(self, part: str, *, count: int = 1) -> None:
        def there() -> bool:
            return sum(part in text for text in self.texts(logging.DEBUG)) >= count

        with self._changed:
            assert self._changed.wait_for(there, PATIENCE), f"{part!r} not in {self.texts(logging.DEBUG)}"


SYSTEMD = """
import os, sys
fds = [int(fd) for fd in sys.argv[2].split(",")]
high = [os.dup2(fd, 100 + index) for index, fd in enumerate(fds)]  # so that none of them is overwritten
for index, fd in enumerate(high):
    os.dup2(fd, 3 + index)
    os.close(fd)
os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = str(len(fds)), sys.argv[1].replace("SELF", str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Does the steps of systemd between fork and exec. Arguments: SELF or a pid, descriptors with commas, the command."""


def stored(size: int, *, implicit: bool = False, order: Literal["little", "big"] = "little") -> bytes:
    """A data set of `size` bytes, at least 12: one private element, which names no SOP class and no instance."""
    head = (9).to_bytes(2, order) + (0x1001).to_bytes(2, order) + (b"" if implicit else b"OB\0\0")
    return head + (size - len(head) - 4).to_bytes(4, order) + bytes(size - len(head) - 4)


OBJECT = stored(12)

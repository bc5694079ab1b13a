"""Peers that build PDUs from raw bytes, for data that our engine would never send."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.transports.connections import CT, EXPLICIT, PATIENCE, read_pdu
from tests.upper_layer.layouts import pdv

STORE, FIND, GET, MOVE, ECHO = 0x0001, 0x0020, 0x0010, 0x0021, 0x0030
NO_DATA = 0x0101


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def element(tag: int, value: bytes | int) -> bytes:
    """Encode an element of group 0000 in implicit VR little endian; a number has two bytes."""
    if isinstance(value, int):
        value = struct.pack("<H", value)
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, tag, len(value)) + value


def command(fields: dict[int, bytes | int]) -> bytes:
    body = b"".join(element(tag, value) for tag, value in sorted(fields.items()))
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def data_element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """Encode an element in explicit VR little endian."""
    value += b"\0" * (len(value) % 2) if vr == b"UI" else b" " * (len(value) % 2)
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC")
    head = struct.pack("<HH2s", group, number, vr)
    return head + (struct.pack("<2xL", len(value)) if long else struct.pack("<H", len(value))) + value


def data_set(*others: bytes, sop_class: str = CT, uid: bytes = b"1.2.3") -> bytes:
    """Encode a PDU with its header."""
    named = data_element(8, 0x16, b"UI", sop_class.encode()) + data_element(8, 0x18, b"UI", uid)
    return named + b"".join(others)


def p_data(context: int, flags: int, data: bytes) -> bytes:
    body = pdv(context, flags, data)
    return struct.pack(">BBL", 4, 0, len(body)) + body


def request(
    contexts: dict[int, tuple[bytes, tuple[bytes, ...]]],
    *more: bytes,
    called: bytes = b"ANY-SCP",
    calling: bytes = b"RAW",
    version_name: bytes = b"",
) -> bytes:
    """Encode an A-ASSOCIATE-RQ. `more`: further sub-items of the user information."""
    body = struct.pack(">HH", 1, 0) + called.ljust(16) + calling.ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract, transfer) in contexts.items():
        syntaxes = b"".join(item(0x40, one) for one in transfer)
        body += item(0x20, bytes((number, 0, 0, 0)) + item(0x30, abstract) + syntaxes)
    info = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
    info += item(0x55, version_name) if version_name else b""
    body += item(0x50, info + b"".join(more))
    return struct.pack(">BBL", 1, 0, len(body)) + body


@dataclass
class Asked:
    """A received A-ASSOCIATE-RQ."""

    body: bytes
    contexts: dict[int, tuple[str, list[str]]] = field(default_factory=dict)

    @classmethod
    def read(cls, body: bytes) -> Asked:
        found = cls(body)
        for kind, value in items(body[68:]):
            if kind == 0x20:
                inner = list(items(value[4:]))
                abstract = next(uid for kind, uid in inner if kind == 0x30)
                found.contexts[value[0]] = (abstract.decode(), [uid.decode() for kind, uid in inner if kind == 0x40])
        return found


def items(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        kind, _, length = struct.unpack_from(">BBH", data)
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def accept(asked: Asked, *more: bytes, refuse: bool = False, version_name: bytes = b"", uid: bytes = b"1.2.3") -> bytes:
    """Encode an A-ASSOCIATE-AC that accepts every context with its first transfer syntax."""
    body = struct.pack(">HH", 1, 0) + asked.body[4:36] + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (_, syntaxes) in asked.contexts.items():
        body += item(0x21, bytes((number, 0, 3 if refuse else 0, 0)) + item(0x40, syntaxes[0].encode()))
    info = item(0x51, struct.pack(">L", 16384)) + item(0x52, uid)
    info += item(0x55, version_name) if version_name else b""
    body += item(0x50, info + b"".join(more))
    return struct.pack(">BBL", 2, 0, len(body)) + body


class Raw:
    """A connection that reads whole messages."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._waiting: list[tuple[int, int, bytes]] = []

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def message(self, context: int, fields: dict[int, bytes | int], data: bytes | None = None) -> None:
        """Send a command, with or without a data set."""
        fields = fields | {0x0800: NO_DATA if data is None else 0}
        self.send(p_data(context, 3, command(fields)))
        if data is not None:
            for at in range(0, len(data) or 1, 16_000):
                self.send(p_data(context, 2 if at + 16_000 >= len(data) else 0, data[at : at + 16_000]))

    def receive(self) -> tuple[int, dict[int, bytes]] | None:
        """Return context and command of the next message, after reading its data set; None at the end."""
        commands, fields = b"", None
        while True:
            while not self._waiting:
                pdu = read_pdu(self.sock)
                if pdu[:1] == b"\5":
                    self.send(b"\6\0\0\0\0\4\0\0\0\0")
                if pdu[:1] != b"\4":
                    return None
                body = pdu[6:]
                while body:
                    length, context, flags = struct.unpack_from(">LBB", body)
                    self._waiting.append((context, flags, body[6 : 4 + length]))
                    body = body[4 + length :]
            context, flags, piece = self._waiting.pop(0)
            if flags & 1:
                commands += piece
                if flags & 2:
                    fields = self._fields(commands)
                    if fields[0x0800] == struct.pack("<H", NO_DATA):
                        return context, fields
            elif flags & 2:
                assert fields is not None
                return context, fields

    @staticmethod
    def _fields(data: bytes) -> dict[int, bytes]:
        found = {}
        while data:
            _, tag, length = struct.unpack_from("<HHL", data)
            found[tag] = data[8 : 8 + length]
            data = data[8 + length :]
        return found


@contextmanager
def provider(handle: Callable[[Raw], None], answer: Callable[[Asked], bytes] = accept) -> Iterator[int]:
    """Run a provider that calls `handle` for each association, and raises its exceptions at the end."""
    faults: list[Exception] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock = listener.accept()[0]
                except OSError:
                    return
                with sock, suppress(OSError):
                    sock.settimeout(PATIENCE)
                    try:
                        sock.sendall(answer(Asked.read(read_pdu(sock)[6:])))
                        handle(Raw(sock))
                    except (AssertionError, LookupError, ValueError, struct.error) as fault:
                        faults.append(fault)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
    for fault in faults:
        raise fault


@contextmanager
def user(port: int, asked: bytes | None = None) -> Iterator[Raw]:
    """Open an association with a provider, for CT images by default."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(asked or request({1: (CT.encode(), (EXPLICIT.encode(),))}))
        assert read_pdu(sock)[:1] == b"\2"
        yield Raw(sock)


@contextmanager
def half_an_object(port: int, uid: bytes = b"1.2.3") -> Iterator[Callable[[], int]]:
    """Send half of a C-STORE. Returns a function that sends the rest and returns the status of the response."""
    data = data_set(data_element(0x7FE0, 0x10, b"OW", bytes(2_000_000)), uid=uid)
    with user(port) as raw:
        fields: dict[int, bytes | int] = {0x2: CT.encode(), 0x100: STORE, 0x110: 1, 0x700: 0, 0x1000: uid, 0x800: 0}
        raw.send(p_data(1, 3, command(fields)))
        for at in range(0, 1_000_000, 10_000):
            raw.send(p_data(1, 0, data[at : at + 10_000]))

        def go_on() -> int:
            for at in range(1_000_000, len(data), 10_000):
                raw.send(p_data(1, 2 if at + 10_000 >= len(data) else 0, data[at : at + 10_000]))
            received = raw.receive()
            assert received is not None
            return int.from_bytes(received[1][0x0900], "little")

        yield go_on

"""Connections for exported tests: this file is copied into them, so it uses the standard library and nothing else.

Knows: sockets, TLS around them, where PDUs begin and end, the few bytes of an answer that make a reaction. Must not
know: the rest of this package; it is not there where the test runs. It runs on Python 3.8 and later.

A test opens connections, sends bytes, waits as the conversation says, and compares what the peer did (`reactions`) or
asks whether it still serves (`good_echo`). The peer is read all the time, so that it is never blocked by a test that is
busy sending.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Sequence

NAMES = {1: "A-ASSOCIATE-RQ", 2: "A-ASSOCIATE-AC", 3: "A-ASSOCIATE-RJ", 4: "P-DATA-TF", 5: "A-RELEASE-RQ",
         6: "A-RELEASE-RP", 7: "A-ABORT"}  # fmt: skip
MOST_KEPT = 1 << 20
WAIT = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
CALL_SECONDS = 30.0  # for a peer that calls, to open a connection


def pdus(stream: bytes) -> list[bytes]:
    """Returns the complete PDUs at the beginning of a stream."""
    found, at = [], 0
    while at + 6 <= len(stream):
        end = at + 6 + int.from_bytes(stream[at + 2 : at + 6], "big")
        if end > len(stream):
            break
        found.append(stream[at:end])
        at = end
    return found


def element(command: bytes, number: int) -> int:
    """Returns the number in the element (0000,number) of a command set; -1 if it has none."""
    at = 0
    while at + 8 <= len(command):
        tag, size = struct.unpack_from("<LL", command, at)
        if tag == number << 16 and size == 2:
            return int.from_bytes(command[at + 8 : at + 10], "little")
        at += 8 + size
    return -1


def commands(pdu: bytes) -> list[bytes]:
    """Returns the command sets in a P-DATA-TF."""
    found, at = [], 6
    while at + 6 <= len(pdu):
        size = int.from_bytes(pdu[at : at + 4], "big")
        if pdu[at + 5] & 1:
            found.append(pdu[at + 6 : at + 4 + size])
        at += 4 + max(size, 2)
    return found


def reaction(received: bytes, end: str, ends: bool = True) -> str:
    """Returns what a peer did on a connection, in a few words: the PDUs that it sent, with the numbers that tell what
    they mean, and how the connection ended. `ends` False: without that, after a PDU that ends an association, because
    it is seen or not by chance."""
    said = []
    for pdu in pdus(received):
        name = NAMES.get(pdu[0], f"PDU {pdu[0]:02X}")
        if pdu[0] == 2:
            name += f" {results(pdu)}"
        elif pdu[0] in (3, 7) and len(pdu) == 10:
            name += " " + "/".join(str(one) for one in pdu[7 if pdu[0] == 3 else 8 : 10])
        elif pdu[0] == 4:
            name = ", ".join(message(one) for one in commands(pdu)) or "data"
        said.append(name)
    whole = sum(len(pdu) for pdu in pdus(received))
    if whole < len(received):
        said.append("something else")
    counts = {one: said.count(one) for one in said[:1000]}
    over = bool(said) and said[-1].startswith(("A-ASSOCIATE-RJ", "A-RELEASE-RP", "A-ABORT"))
    short = [one if count == 1 else f"{one} ({count} times)" for one, count in counts.items()]
    return ", ".join(short[:20] if over and not ends else [*short[:20], end])


def message(command: bytes) -> str:
    """Returns the command field and the status of a message."""
    field, status = element(command, 0x100), element(command, 0x900)
    return f"message {field:04X}" + ("" if status < 0 else f" status {status:04X}")


def results(accept: bytes) -> str:
    """Returns the results of the presentation contexts of an A-ASSOCIATE-AC, by id: `1:0 3:4`."""
    found, at = [], 74
    while at + 8 <= len(accept):
        if accept[at] == 0x21:
            found.append(f"{accept[at + 4]}:{accept[at + 6]}")
        at += 4 + int.from_bytes(accept[at + 2 : at + 4], "big")
    return " ".join(found)


def is_request(received: bytes) -> bool:
    """Returns True if a peer began with a complete A-ASSOCIATE-RQ."""
    return any(pdu[0] == 1 and len(pdu) > 74 for pdu in pdus(received)[:1])


class NotTested(Exception):
    """There is no peer that serves associations: a test says nothing about it."""


class NotCalled(NotTested):
    """The peer that has to call did not."""


class Talk:
    """The connections of one conversation. `listen`: wait at `host` and `port` for the peer to open them. `seconds`:
    for an answer. `tls`: None without TLS; `name`: the name in the peer's certificate, by default `host`."""

    def __init__(
        self,
        host: str,
        port: int,
        seconds: float = 5.0,
        listen: bool = False,
        tls: ssl.SSLContext | None = None,
        name: str = "",
    ) -> None:
        self.host, self.port, self.seconds = host, port, seconds
        self.tls, self.name = tls, name or host
        self.trouble = "the connection was refused"
        self.socks: dict[int, socket.socket] = {}
        self.received: dict[int, bytearray] = {}
        self.ends: dict[int, str] = {}
        self.deaf: dict[int, bool] = {}
        self.taken: dict[int, int] = {}  # PDUs that a wait has seen
        self.owed: dict[int, int] = {}  # PDUs received when the last bytes went out
        self.checks: list[str] = []
        self.listener = socket.create_server((host, port)) if listen else None

    # -- the steps of a conversation --

    def open(self, number: int) -> None:
        """Opens a connection, or waits until the peer opens one."""
        if number in self.socks:
            self.socks.pop(number).close()
        self.received[number], self.taken[number], self.deaf[number] = bytearray(), 0, False
        self.owed.pop(number, None)
        try:
            if self.listener is None:
                sock = socket.create_connection((self.host, self.port), self.seconds)
            else:
                sock = self._called(self.listener)
            sock = self._secured(sock)
        except OSError as error:
            self.ends[number] = "refused"
            if not isinstance(error, ConnectionRefusedError):
                self.trouble = f"no connection: {error}"
            if self.listener is not None and len(self.ends) == 1:  # nothing was seen of the peer
                raise NotCalled(f"no association: nothing was tested: {error}") from None
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.socks[number], self.ends[number] = sock, "open"

    def _called(self, listener: socket.socket) -> socket.socket:
        print(f"waiting {CALL_SECONDS:g} s for the peer to call {self.host}:{self.port}", file=sys.stderr, flush=True)
        listener.settimeout(CALL_SECONDS)
        try:
            return listener.accept()[0]
        except OSError:
            raise OSError(f"no call at {self.host}:{self.port} within {CALL_SECONDS:g} s") from None

    def _secured(self, sock: socket.socket) -> socket.socket:
        """Puts TLS around a connection, if the test speaks TLS."""
        if self.tls is None:
            return sock
        sock.settimeout(self.seconds)
        if self.listener is not None:
            return self.tls.wrap_socket(sock, server_side=True)
        return self.tls.wrap_socket(sock, server_hostname=self.name)

    def send(self, number: int, data: bytes, piece: int = 0, gap: float = 0.0) -> None:
        """Sends bytes, all at once or in pieces with a gap between two of them."""
        size = piece or max(1, len(data))
        for at in range(0, len(data), size):
            if at and gap:
                self.pause(gap)
            self._write(number, data[at : at + size])
        self.owed[number] = len(pdus(bytes(self.received.get(number, b""))))

    def _write(self, number: int, data: bytes) -> None:
        until = time.monotonic() + self.seconds
        view = memoryview(data)
        while len(view) and number in self.socks and self.ends[number] == "open" and time.monotonic() < until:
            try:
                sent = self.socks[number].send(view)
            except WAIT:
                self._move(0.05, writing=(number,))
                continue
            except OSError:
                self._read(number, self.socks[number])  # what it sent before may still be there
                self.ends[number] = "reset"
                return
            until = time.monotonic() + self.seconds
            view = view[sent:]
        self._move(0.0)

    def wait(self, number: int, kinds: Sequence[int] = (), seconds: float = -1.0) -> None:
        """Reads until a PDU of one of these types has come, any if there are none."""
        until = time.monotonic() + (self.seconds if seconds < 0 else seconds)
        while number in self.received:
            new = pdus(bytes(self.received[number]))[self.taken[number] :]
            for pdu in new:
                self.taken[number] += 1
                if not kinds or pdu[0] in kinds or pdu[0] in (3, 7):
                    self.owed.pop(number, None)
                    return
            left = until - time.monotonic()
            if self.ends[number] != "open" or number not in self.socks or left <= 0:
                self.owed.pop(number, None)
                return
            self._move(left)

    def pause(self, seconds: float) -> None:
        """Waits, and reads meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._move(until - time.monotonic())

    def reading(self, number: int, on: bool) -> None:
        """Stops reading a connection, or begins again."""
        self.deaf[number] = not on

    def end(self, number: int, how: str) -> None:
        """Ends a connection: half, close or reset."""
        sock = self.socks.get(number)
        if sock is None:
            return
        if how == "half":
            try:
                socket.socket.shutdown(sock, socket.SHUT_WR)  # that of ssl would end TLS in both directions
            except OSError:
                self.ends[number] = "reset"
            return
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        del self.socks[number]

    def check(self, calling: bytes) -> None:
        """Asks whether the peer serves others meanwhile. `calling`: the A-ASSOCIATE-RQ of a good echo."""
        self.checks.append(good_echo(self.host, self.port, calling, self.seconds, self.tls, self.name))

    def settle(self, shown: dict[int, str] | None = None) -> None:
        """Waits until the peer has answered what was sent last on each connection, and has ended those that it ended in
        the reactions `shown`."""
        until = time.monotonic() + self.seconds
        while time.monotonic() < until and any(
            self.ends[number] == "open" and not self.deaf[number]
            and (len(pdus(bytes(self.received[number]))) <= self.owed.get(number, -1)
                 or (shown or {}).get(number, "").endswith(("closed", "reset")))
            for number in self.socks
        ):  # fmt: skip
            self._move(until - time.monotonic())

    def close(self) -> None:
        """Closes everything."""
        for sock in self.socks.values():
            sock.close()
        self.socks.clear()
        if self.listener is not None:
            self.listener.close()

    def reactions(self, ends: bool = True) -> dict[int, str]:
        """Returns what the peer did, by connection."""
        return {
            number: reaction(bytes(self.received[number]), self.ends[number], ends) for number in sorted(self.received)
        }

    def _move(self, seconds: float, writing: tuple[int, ...] = ()) -> None:
        """Waits until something can be read or written, and reads it."""
        reads = [one for number, one in self.socks.items() if self.ends[number] == "open" and not self.deaf[number]]
        writes = [self.socks[number] for number in writing if number in self.socks]
        if not reads and not writes:
            time.sleep(max(0.0, min(seconds, 0.05)))
            return
        ready, _, _ = select.select(reads, writes, [], max(0.0, seconds))
        for number, sock in list(self.socks.items()):
            if sock in ready:
                self._read(number, sock)

    def _read(self, number: int, sock: socket.socket) -> None:
        pending = True
        while pending:
            try:
                data = sock.recv(65536)
            except WAIT:
                return
            except OSError:
                self.ends[number] = "reset"
                return
            if not data:
                self.ends[number] = "closed"
                return
            if len(self.received[number]) < MOST_KEPT:
                self.received[number] += data
            pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0  # select does not see those bytes


def good_echo(
    host: str, port: int, calling: bytes, seconds: float, tls: ssl.SSLContext | None = None, name: str = ""
) -> str:
    """Makes a good association with a C-ECHO and a release. Returns an empty string, or why it failed."""
    talk = Talk(host, port, seconds, tls=tls, name=name)
    try:
        talk.open(0)
        if talk.ends[0] == "refused":
            return talk.trouble
        talk.send(0, calling)
        talk.wait(0, (2,))
        if [pdu[0] for pdu in pdus(bytes(talk.received[0]))] != [2]:
            return f"no A-ASSOCIATE-AC: {talk.reactions()[0]}"
        talk.send(0, ECHO)
        talk.wait(0, (4,))
        statuses = [
            element(one, 0x900) for pdu in pdus(bytes(talk.received[0])) if pdu[0] == 4 for one in commands(pdu)
        ]
        if statuses != [0]:
            return f"no successful C-ECHO-RSP: {talk.reactions()[0]}"
        talk.send(0, bytes.fromhex("05000000000400000000"))
        talk.wait(0, (6,))
        return ""
    finally:
        talk.close()


ECHO = bytes.fromhex(
    "04000000004a"
    "00000046"
    "0103"  # P-DATA-TF, PDV of context 1: command set, last
    "000000000400000038000000"
    "0000020012000000312e322e3834302e31303030382e312e3100"
    "00000001020000003000"
    "000010010200000001000000000802000000"
    "0101"
)
"""A C-ECHO-RQ on context 1."""

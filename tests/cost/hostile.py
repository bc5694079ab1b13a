"""Hostile peers over sockets: a user that gives an input to a provider, a provider that gives one to a user."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from tests.cost.inputs import OPERATIONS, RESPONSE, Asked, Input, request
from tests.cost.processes import Watched
from tests.upper_layer import layouts

STALL: Final = 0.4
"""Seconds without progress, while the other side is idle, after which a peer is done."""
LONGEST: Final = 60.0
_LATER: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_RESET: Final = struct.pack("ii", 1, 0)


class Peer:
    """One connection. `sent` and `received`: bytes so far."""

    def __init__(self, sock: socket.socket, victim: Watched, *, reads: bool = True) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.sock = sock
        self._victim = victim
        self._reads = reads
        self.sent = self.received = 0
        self.over = False
        self._inbox = bytearray()

    def say(self, data: bytes, *, keep: bool = False) -> bool:
        """Send it; False once the other side has gone, or takes nothing any more. `keep`: an answer is waited for, and
        may come at once."""
        left = memoryview(data)
        idle = self._idle()
        while left and not self.over:
            try:
                taken = self.sock.send(left)
            except _LATER:
                taken = 0
            except OSError:
                self.over = True
                return False
            left = left[taken:]
            self.sent += taken
            moved = self.take(keep) or taken
            if left and not moved:
                select.select([self.sock] if self._reads else [], [self.sock], [], 0.02)
                if next(idle):
                    return False
            elif moved:
                idle = self._idle()
        return not self.over

    def listen(self) -> None:
        """Wait until the other side has closed, or sends and does nothing more."""
        idle = self._idle()
        while not self.over and not next(idle):
            if self.take():
                idle = self._idle()
            elif self._reads:
                select.select([self.sock], [], [], 0.02)
            else:
                time.sleep(0.02)

    def take(self, keep: bool = False) -> int:
        """Read the available data. Returns its size."""
        if not (self._reads or keep) or self.over:
            return 0
        try:
            data = self.sock.recv(1 << 20)
        except _LATER:
            return 0
        except OSError:
            data = b""
        self.over = not data
        self.received += len(data)
        if keep:
            self._inbox += data
        return len(data)

    def pdu(self) -> bytes:
        """Return the next whole PDU; empty if the other side has closed. Raises TimeoutError."""
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            size = 6 + int.from_bytes(self._inbox[2:6], "big") if len(self._inbox) >= 6 else 0
            if size and len(self._inbox) >= size:
                found = bytes(self._inbox[:size])
                del self._inbox[:size]
                return found
            if self.over:
                return b""
            if not self.take(keep=True):
                select.select([self.sock], [], [], 0.1)
        raise TimeoutError(f"no answer within {LONGEST} s")

    def end(self, how: str) -> None:
        if how == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        with suppress(OSError):
            self.sock.close()

    def _idle(self) -> Iterator[bool]:
        """Return a function that returns True if nothing has happened for long enough."""
        since, begun, cpu = time.monotonic(), time.monotonic(), self._victim.cpu
        while True:
            now, spent = time.monotonic(), self._victim.cpu
            if spent - cpu > 0.002:
                since, cpu = now, spent
            yield now - since > STALL or now - begun > LONGEST


def _connected(port: int, tls: bool) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), LONGEST)
    if not tls:
        return sock
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    return trusting.wrap_socket(sock)


def attack_provider(port: int, given: Input, size: int, victim: Watched, *, tls: bool = False) -> tuple[int, int]:
    """Send an input to a provider and wait until it is done. Returns the bytes sent and received."""
    peers: list[Peer] = []
    try:
        for _ in range(given.connections):
            peer = Peer(_connected(port, tls), victim, reads=given.reads)
            peers.append(peer)
            if given.opening is not None:
                for piece in given.opening(size):
                    if not peer.say(piece):
                        break
                continue
            peer.say(request(given.max_length, *given.user_items), keep=True)
            if peer.pdu()[:1] != b"\x02" or given.then is None:
                continue
            for piece in given.then(size):
                if not peer.say(piece):
                    break
        peers[0].listen()
        for peer in peers[1:]:  # nothing more will arrive then
            while peer.take():
                pass
        victim.settle(LONGEST)
    finally:
        for peer in peers:
            peer.end(given.ends)
    victim.settle(LONGEST)
    return sum(peer.sent for peer in peers), sum(peer.received for peer in peers)


def attack_user(listener: socket.socket, given: Input, size: int, victim: Watched) -> tuple[int, int]:
    """Accept one connection and send an input to its user. Returns the bytes sent and received."""
    listener.settimeout(LONGEST)
    sock, _ = listener.accept()
    peer = Peer(sock, victim, reads=given.reads)
    try:
        asked = decode(peer.pdu())
        assert isinstance(asked, AssociateRequest)
        more = b"" if given.extra is None else given.extra(size)
        if peer.say(accept(asked, given, more), keep=True):
            found = first_command(peer, asked)
            if found is not None and given.then is not None:
                for piece in given.then(size, found):
                    if not peer.say(piece):
                        break
            peer.listen()
    finally:
        peer.end(given.ends)
    return peer.sent, peer.received


def accept(asked: AssociateRequest, given: Input, more: bytes) -> bytes:
    """Encode an A-ASSOCIATE-AC that accepts every context, with this transfer syntax or its first, and every role."""
    answers = []
    for context in asked.contexts:
        syntaxes = context.transfer_syntaxes
        chosen = given.syntax if given.syntax in syntaxes else syntaxes[0]
        answers.append(layouts.item(0x21, bytes((context.id, 0, 0, 0)) + layouts.item(0x40, chosen.encode())))
    roles = [
        layouts.item(0x54, layouts.sized(role.sop_class_uid.encode()) + bytes((role.scu, role.scp)))
        for role in asked.user_information.roles
    ]
    limit = layouts.item(0x51, given.max_length.to_bytes(4, "big"))
    information = layouts.item(0x50, limit + layouts.CLASS_ITEM + b"".join(roles))
    return layouts.associate(2, layouts.APPLICATION_ITEM, *answers, information, more)


def first_command(peer: Peer, request: AssociateRequest) -> Asked | None:
    """Return the first command received."""
    by_class = {context.abstract_syntax: context for context in request.contexts}
    store = next((context.id for uid, context in by_class.items() if uid == OPERATIONS["store"]), 0)
    command = bytearray()
    while pdu := peer.pdu():
        if pdu[0] in (5, 7):  # the association is released or aborted
            return None
        at = 6
        while at + 6 <= len(pdu):
            length, context, control = struct.unpack_from(">LBB", pdu, at)
            if control & 1:
                command += pdu[at + 6 : at + 4 + length]
            at += 4 + length
            if control & 3 != 3:
                continue
            values = dict(_elements(bytes(command)))
            command.clear()
            if not int.from_bytes(values.get(0x0100, b""), "little") & RESPONSE:
                sop_class = values.get(0x0002, b"").rstrip(b"\0").decode()
                return Asked(context, int.from_bytes(values[0x0110], "little"), sop_class, store)
    return None


def _elements(command: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 8 <= len(command):
        number, length = struct.unpack_from("<2xHL", command, at)
        yield number, command[at + 8 : at + 8 + length]
        at += 8 + length

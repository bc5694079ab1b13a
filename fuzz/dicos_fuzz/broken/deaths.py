"""Defects by which the provider dies or waits forever: crashes, a blocked accept loop, dead threads.

Knows: where each of them strikes. Must not know: how they are listed (`defects`).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from dicos_proto.data.elements import DataSetError, encoding
from dicos_proto.data.walker import Walker
from dicos_proto.dimse.types import CStoreRequest, DimseResponse
from dicos_proto.limits import Limits
from dicos_proto.timers import Deadline
from dicos_proto.wire import Buffer, Wire

from .hooks import Hooks, crash
from .tap import Listener, Tap, p_data_of

__all__ = ["AcceptLoop", "DeadThread", "DeepSequence", "EndlessPdu", "ItemLength"]

DEEPEST: Final = 256
"""Nested sequences that the recursion survives."""
_PEEKED: Final = 65_536


class ItemLength(Hooks):
    """Reads the sub-items of the user information without a look at where the item ends."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that reads the items of the A-ASSOCIATE-RQ."""
        return _Items(wire)


class _Items(Tap):
    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        if pdu[0] == 1:
            for kind, item in _items(pdu[74:]):
                if kind == 0x50 and any(item_end is None for item_end in _ends(item)):
                    crash()
        return (pdu,)


def _items(body: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        yield kind, body[at + 4 : at + 4 + length]
        at += 4 + length


def _ends(item: bytes) -> Iterable[int | None]:
    """The end of each sub-item; None for one that runs past the end of the item."""
    at = 0
    while at + 4 <= len(item):
        at += 4 + int.from_bytes(item[at + 2 : at + 4], "big")
        yield at if at <= len(item) else None


class DeepSequence(Hooks):
    """Reads data sets by recursion, on a stack that has room for `DEEPEST` sequences."""

    def stored(self, data: bytes, transfer_syntax: str) -> bool:
        """Crashes if the data set is too deep."""
        known = encoding(transfer_syntax)
        if known is not None and not known[2]:
            walk = _Depth(implicit=known[0], little=known[1], extended=known.extended)
            with suppress(DataSetError):  # the check reports it
                walk.feed(data)
            if walk.deepest > DEEPEST:
                crash()
        return True


class _Depth(Walker):
    __slots__ = ("_depth", "deepest")

    def __init__(self, *, implicit: bool, little: bool, extended: bool) -> None:
        limits = Limits(sequence_depth=1 << 20)
        super().__init__(implicit=implicit, little=little, limits=limits, tokens=True, extended=extended)
        self._depth = self.deepest = 0

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        """Counts sequences and their items."""
        self._depth += 1
        self.deepest = max(self.deepest, self._depth // 2)

    def closed(self, kind: int, at: int) -> None:
        """Counts them."""
        self._depth -= 1


class AcceptLoop(Hooks):
    """Waits for the whole first PDU of a connection before it accepts the next connection."""

    def arriving(self, sock: socket.socket) -> None:
        """Waits, without a deadline, and leaves the PDU unread."""
        sock.setblocking(True)
        try:
            head = sock.recv(6, socket.MSG_PEEK | socket.MSG_WAITALL)
            if len(head) == 6:
                length = 6 + int.from_bytes(head[2:], "big")
                sock.recv(min(length, _PEEKED), socket.MSG_PEEK | socket.MSG_WAITALL)
        except OSError:
            pass  # the connection is gone, as its thread will see


class EndlessPdu(Hooks):
    """Believes every length of a PDU, and waits for the rest of it without a deadline."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that reads PDUs of any length."""
        return _Endless(wire)


class _Endless(Tap):
    """A PDU that is too long is read and thrown away, so that only the wait harms."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._swallows = False

    def too_long(self) -> None:
        self._swallows = True
        self._received.clear()

    def receive_data(self, data: Buffer) -> None:
        if not self._swallows:
            super().receive_data(data)

    def deadline(self, now: float) -> Deadline | None:
        return None if self._swallows else super().deadline(now)


class DeadThread(Hooks):
    """The thread of an association dies at a response to no request; the connection stays open."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that looks for responses."""
        return _Responses(wire, self)


class _Responses(Tap):
    def __init__(self, wire: Wire, hooks: Hooks) -> None:
        super().__init__(wire)
        self._hooks = hooks
        self._asks, self._hears = Listener(), Listener()
        self._sent: set[int] = set()  # C-STORE requests of a C-GET

    def outgoing(self, pdu: bytes) -> Iterable[bytes]:
        for pdv in p_data_of(pdu):
            command = self._asks.hear(pdv)
            if isinstance(command, CStoreRequest):
                self._sent.add(command.message_id)
        return (pdu,)

    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        for pdv in p_data_of(pdu):
            command = self._hears.hear(pdv)
            if isinstance(command, DimseResponse):
                if command.message_id_being_responded_to not in self._sent:
                    self._hooks.over.wait()
                self._sent.discard(command.message_id_being_responded_to)
        return (pdu,)

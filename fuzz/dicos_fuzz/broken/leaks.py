"""Defects by which the provider loses something with each fault of a peer: slots, descriptors, memory, neighbours.

Knows: how the end of a connection shows what its peer did. Must not know: how they are listed (`defects`).

Bounds: what is kept on purpose never exceeds `MOST_KEPT` bytes and `MOST_OPEN` descriptors.
"""

from __future__ import annotations

import os
import socket
import threading
import zlib
from contextlib import suppress
from typing import Final

from dicos_proto.conversation.flows import AssociationAborted
from dicos_proto.errors import ConnectionLost, RemoteProtocolError
from dicos_proto.registry import uids
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_proto.wire import Wire

from .hooks import Hooks

__all__ = ["DeflateBomb", "DescriptorAtAbort", "HurtNeighbour", "MemoryKept", "SlotAtReset"]

MOST_KEPT: Final = 512 << 20
MOST_OPEN: Final = 900
KEPT: Final = 256 << 10
"""Bytes that each association leaves behind."""


class SlotAtReset(Hooks):
    """The slot of an association whose connection is lost within a PDU is never free again."""

    def ended(self, wire: Wire | None, fault: BaseException | None) -> bool:
        """Keeps the slot."""
        match fault:
            case AssociationAborted(event=ProviderAbort(error=ConnectionLost(mid_pdu=True))):
                return False
        return True


class DescriptorAtAbort(Hooks):
    """A descriptor stays open for each association that the peer aborts."""

    def __init__(self) -> None:
        super().__init__()
        self._open = 0

    def ended(self, wire: Wire | None, fault: BaseException | None) -> bool:
        """Opens one more."""
        match fault:
            case AssociationAborted(event=Abort()) if self._open < MOST_OPEN:
                self._open += 1
                os.open(os.devnull, os.O_RDONLY)
        return True


class MemoryKept(Hooks):
    """The buffers of an association are kept when it is over."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[bytes] = []

    def ended(self, wire: Wire | None, fault: BaseException | None) -> bool:
        """Keeps `KEPT` bytes more."""
        if len(self._kept) * KEPT < MOST_KEPT:
            self._kept.append(os.urandom(KEPT))
        return True


class DeflateBomb(Hooks):
    """Inflates a deflated object whole, and keeps the result until the next one comes."""

    def __init__(self) -> None:
        super().__init__()
        self._inflated = b""

    def stored(self, data: bytes, transfer_syntax: str) -> bool:
        """Inflates up to `MOST_KEPT` bytes, and accepts the object however long it gets."""
        if transfer_syntax != uids.DEFLATED_EXPLICIT_VR_LE:
            return True
        try:
            self._inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, MOST_KEPT)
        except zlib.error:
            return True  # the check reports it
        return False


class HurtNeighbour(Hooks):
    """A fault of one peer closes the connection that has been open for longest."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._open: dict[Wire, socket.socket] = {}

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """Remembers the connection."""
        with self._lock:
            self._open[wire] = sock
        return wire

    def ended(self, wire: Wire | None, fault: BaseException | None) -> bool:
        """Closes another connection if the peer was at fault."""
        with self._lock:
            if wire is not None:
                self._open.pop(wire, None)
            match fault:
                case AssociationAborted(event=ProviderAbort(error=RemoteProtocolError())) if self._open:
                    oldest = next(iter(self._open.values()))
                    with suppress(OSError):  # it is gone already
                        oldest.shutdown(socket.SHUT_RDWR)
        return True

"""A byte stream, split into PDUs as it arrives.

Knows: the header of a PDU. Must not know: what a PDU means, sockets.

Invariants: memory is bounded (`KEPT`), time is linear in the bytes, and no bytes raise an error.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["KEPT", "Pdus"]

KEPT: Final = 1 << 20
"""Bytes received on one connection that are kept; later ones are only counted. Stops: a peer that never stops sending,
which would fill the memory of this program."""
_LONG: Final = 64 << 10
"""Bytes of a PDU longer than `KEPT` that are kept, about."""


class Pdus:
    """Splits a byte stream into PDUs by their length fields. Bytes that cannot begin a PDU are passed on as they are.

    At most `KEPT` bytes of one PDU, and of PDUs that nobody took, are kept. `count`: whole PDUs so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._arrived: deque[bytes] = deque()
        self._held = 0
        self._buffer = bytearray()
        self._left = 0  # bytes of a long PDU that are still to be skipped

    def feed(self, data: bytes) -> None:
        """Takes received bytes."""
        if self._left:
            skipped = min(self._left, len(data))
            self._left -= skipped
            if self._left:
                return
            self._take(bytes(self._buffer))
            self._buffer.clear()
            data = data[skipped:]
        self._buffer += data
        at, size = 0, len(self._buffer)
        while size - at >= 6:
            if not 1 <= self._buffer[at] <= 7:  # another protocol, or out of step
                self._take(bytes(self._buffer[at:]))
                at = size
                break
            whole = 6 + int.from_bytes(self._buffer[at + 2 : at + 6], "big")
            if size - at < whole:
                if whole > KEPT and size - at > _LONG:
                    self._left = whole - (size - at)
                break
            self._take(bytes(self._buffer[at : at + whole]))
            at += whole
        del self._buffer[:at]

    def _take(self, pdu: bytes) -> None:
        self.count += 1
        if self._held + len(pdu) <= KEPT:
            self._held += len(pdu)
            self._arrived.append(pdu)

    def next(self) -> bytes | None:
        """Returns the next PDU that nobody took yet, and removes it; None if none has arrived whole."""
        if not self._arrived:
            return None
        found = self._arrived.popleft()
        self._held -= len(found)
        return found

    @property
    def waiting(self) -> bool:
        """True if `next` would return a PDU."""
        return bool(self._arrived)

    @property
    def partial(self) -> int:
        """Bytes of a PDU that is not complete yet."""
        return len(self._buffer)

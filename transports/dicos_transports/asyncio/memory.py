"""Two pairs of asyncio's streams that are connected in memory, without a descriptor.

One end reads what the other end writes, with flow control: a writer whose peer does not read waits in `drain`. After
one end is closed, the other end can still read what was written; an aborted end looks like a connection reset.

Knows: transports and streams of asyncio. Must not know: associations. `asyncio.pair` is its public name.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

AHEAD: Final = 64 * 1024
"""Bytes that an end holds for a reader that does not read, at most twice as many, and the same number for its writer.
"""


def pair() -> tuple[
    tuple[asyncio.StreamReader, asyncio.StreamWriter], tuple[asyncio.StreamReader, asyncio.StreamWriter]
]:
    """Returns both ends. Call it within the event loop that uses them."""
    loop = asyncio.get_running_loop()
    readers = [asyncio.StreamReader(limit=AHEAD, loop=loop) for _ in range(2)]
    protocols = [asyncio.StreamReaderProtocol(reader, loop=loop) for reader in readers]
    ends = [_End(protocol, loop) for protocol in protocols]
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    for end, protocol in zip(ends, protocols, strict=True):
        protocol.connection_made(end)
    one, other = (
        (reader, asyncio.StreamWriter(end, protocol, reader, loop))
        for reader, protocol, end in zip(readers, protocols, ends, strict=True)
    )
    return one, other


class _End(asyncio.Transport):
    """One end. `_queue` is what it has written and the other end does not hold yet."""

    peer: _End

    def __init__(self, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(extra={"peername": "a pair in memory"})
        self._protocol = protocol
        self._loop = loop
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._high, self._low = AHEAD, AHEAD // 4
        self._full = False  # the protocol was asked to pause
        self._reading = True
        self._moving = False  # a delivery is scheduled
        self._ended = False  # nothing more will be written
        self._told = False  # and the other end knows
        self._closing = False
        self._lost = False

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._ended or not data:
            return  # as sockets' transports do once they are closed
        self._queue.append(bytes(data))
        self._size += len(data)
        self._move_soon()
        if self._size > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._ended = True
        self._move_soon()

    def get_write_buffer_size(self) -> int:
        return self._size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = AHEAD if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high, self._low = high, low

    # -- reading -------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self.peer._move_soon()

    # -- the end -------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Closes this end. Bytes already written are still delivered if the other end reads."""
        if not self._closing:
            self._closing = self._ended = True
            self._move_soon()
            self.peer._move_soon()  # which may wait for room

    def abort(self) -> None:
        """Reports to the other end, without delay, that the connection is gone."""
        self._closing = self._ended = True
        self._queue.clear()
        self._size = 0
        self._lose_soon(None)
        self.peer._lose_soon(ConnectionResetError("the other end aborted"))

    def _lose_soon(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = self._closing = self._ended = True
            self._queue.clear()
            self._size = 0
            self._loop.call_soon(self._protocol.connection_lost, error)

    # -- moving --------------------------------------------------------------------------------------------------

    def _move_soon(self) -> None:
        if not self._moving and not self._lost:
            self._moving = True
            self._loop.call_soon(self._move)

    def _move(self) -> None:
        """Deliver what the other end takes."""
        self._moving = False
        peer = self.peer
        while self._queue and not self._lost:
            if peer._closing:
                self._lose_soon(None)  # what the other end has said is still read
                return
            if not peer._reading:
                return
            data = self._queue.popleft()
            self._size -= len(data)
            peer._protocol.data_received(data)
            if self._full and self._size <= self._low:
                self._full = False
                self._protocol.resume_writing()
        if self._ended and not self._told and not self._lost:
            self._told = True
            if not peer._lost and not peer._protocol.eof_received():
                peer.close()
        if self._closing:
            self._lose_soon(None)

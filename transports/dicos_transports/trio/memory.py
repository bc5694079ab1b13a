"""Two streams of trio's that are connected in memory, with flow control.

Those of `trio.testing` hold either all that is sent or nothing: with the one a sender never waits, with the other two
ends that both say goodbye before they read wait for each other. A connection of a system has buffers, and these have.

Knows: streams of trio. Must not know: associations. `trio.pair` is its public name.
"""

from __future__ import annotations

from operator import index
from typing import Final

import trio

AHEAD: Final = 64 * 1024
"""Bytes that are held for an end that does not read."""


def pair() -> tuple[trio.abc.HalfCloseableStream, trio.abc.HalfCloseableStream]:
    """Both ends."""
    there, back = _Direction(), _Direction()
    return MemoryStream(there, back), MemoryStream(back, there)


class _Direction:
    """The bytes that one end sends and the other receives."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.ended = False  # nothing more will be sent
        self.gone = False  # nobody will receive
        self._changed = trio.lowlevel.ParkingLot()

    def tell(self) -> None:
        self._changed.unpark_all()

    async def change(self) -> None:
        await self._changed.park()


class _OneAtATime:
    """Two tasks that send at the same time would mix what they send."""

    def __init__(self, told: str) -> None:
        self._told = told
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(self._told)
        self._busy = True

    def __exit__(self, *fault: object) -> None:
        self._busy = False


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end, made by `pair`."""

    def __init__(self, out: _Direction, into: _Direction) -> None:
        self._out = out
        self._into = into
        self._closed = False
        self._one_sender = _OneAtATime("another task sends on this stream")
        self._one_receiver = _OneAtATime("another task receives from this stream")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        out, left = self._out, memoryview(data)
        with self._one_sender:
            await trio.lowlevel.checkpoint()
            while True:
                self._check_sending()
                room = AHEAD - len(out.held)
                if room > 0:
                    out.held += left[:room]
                    left = left[room:]
                    out.tell()
                if not left:
                    return
                await out.change()

    async def wait_send_all_might_not_block(self) -> None:
        with self._one_sender:
            await trio.lowlevel.checkpoint()
            while not self._out.gone and len(self._out.held) >= AHEAD:
                self._check_sending()
                await self._out.change()
            self._check_closed()

    async def send_eof(self) -> None:
        with self._one_sender:
            await trio.lowlevel.checkpoint()
            self._check_closed()
            self._out.ended = True
            self._out.tell()

    async def receive_some(self, max_bytes: int | None = None) -> bytearray:
        into = self._into
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be >= 1")
        with self._one_receiver:
            await trio.lowlevel.checkpoint()
            self._check_closed()
            while not into.held and not into.ended:
                await into.change()
                self._check_closed()
            taken = into.held[:max_bytes]
            del into.held[:max_bytes]
            into.tell()
            return taken

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._out.ended = self._into.gone = True
            self._into.held.clear()
            self._out.tell()
            self._into.tell()
        await trio.lowlevel.checkpoint()

    def _check_closed(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")

    def _check_sending(self) -> None:
        self._check_closed()
        if self._out.ended:
            raise trio.ClosedResourceError("the end of file was sent")
        if self._out.gone:
            raise trio.BrokenResourceError("the other end is closed")

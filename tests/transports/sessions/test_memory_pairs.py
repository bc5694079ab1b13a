"""Pairs in memory: those of trio and asyncio are streams as any other one is."""

from __future__ import annotations

import asyncio

import pytest
import trio
import trio.testing

from dicos_transports import asyncio as over_asyncio
from dicos_transports import blocking
from dicos_transports import trio as over_trio
from dicos_transports.asyncio.memory import AHEAD


def test_that_of_trio_is_what_trio_says_a_stream_is() -> None:
    async def make() -> tuple[trio.abc.HalfCloseableStream, trio.abc.HalfCloseableStream]:
        return over_trio.pair()

    async def clogged() -> tuple[trio.abc.HalfCloseableStream, trio.abc.HalfCloseableStream]:
        one, other = over_trio.pair()
        with trio.move_on_after(0.01):
            await one.send_all(bytes(1 << 20))
        with trio.move_on_after(0.01):
            await other.send_all(bytes(1 << 20))
        return one, other

    trio.run(
        trio.testing.check_half_closeable_stream, make, clogged, clock=trio.testing.MockClock(autojump_threshold=0)
    )


def test_that_of_blocking_is_two_sockets() -> None:
    one, other = blocking.pair()
    with one, other:
        one.sendall(b"a")
        assert other.recv(2) == b"a"


def test_both_directions_and_both_ends() -> None:
    async def main() -> None:
        (reads, writes), (other_reads, other_writes) = over_asyncio.pair()
        writes.write(b"there")
        other_writes.write(b"back")
        assert await other_reads.readexactly(5) == b"there"
        assert await reads.readexactly(4) == b"back"
        assert writes.can_write_eof()
        writes.write_eof()
        writes.write(b"too late")
        assert await other_reads.read() == b""
        other_writes.write(b"after it")
        other_writes.close()
        assert await reads.read() == b"after it"
        writes.close()
        await writes.wait_closed()
        await other_writes.wait_closed()
        assert writes.get_extra_info("peername") == "a pair in memory"

    asyncio.run(main())


async def _settled() -> None:
    """Let everything run that can: nothing comes from outside a pair in memory, so this takes a few turns."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_does_not_read_makes_the_writer_wait() -> None:
    async def main() -> None:
        (_, writes), (reads, other) = over_asyncio.pair()
        transport = writes.transport
        assert transport.get_write_buffer_limits() == (AHEAD // 4, AHEAD)
        transport.set_write_buffer_limits(low=1)
        assert transport.get_write_buffer_limits() == (1, 4)
        transport.set_write_buffer_limits()
        with pytest.raises(ValueError, match="must be >= low"):
            transport.set_write_buffer_limits(1, 2)
        sent = 0
        stuck: asyncio.Task[None] | None = None
        while stuck is None:
            assert sent < 10 * AHEAD
            writes.write(bytes(AHEAD))
            sent += AHEAD
            drained = asyncio.create_task(writes.drain())
            await _settled()
            if not drained.done():
                stuck = drained
        low, high = transport.get_write_buffer_limits()
        # It exceeds `high` or not, depending on how much was delivered between the last two writes.
        assert low < transport.get_write_buffer_size() <= high + AHEAD
        assert not other.transport.is_reading()
        writes.close()
        assert len(await reads.read()) == sent  # closing loses nothing
        await stuck
        assert transport.get_write_buffer_size() == 0
        other.close()
        await writes.wait_closed()

    asyncio.run(main())


def test_an_end_that_aborts_is_a_reset() -> None:
    async def main() -> None:
        (reads, writes), (other_reads, other) = over_asyncio.pair()
        other.write(bytes(1000))
        writes.write(bytes(1000))
        writes.transport.abort()
        writes.transport.abort()
        with pytest.raises(ConnectionResetError):
            await other_reads.read()
        with pytest.raises(ConnectionResetError):
            await other.drain()
        assert await reads.read() in (b"", bytes(1000))
        assert other.is_closing()
        assert writes.is_closing()

    asyncio.run(main())


def test_writing_to_an_end_that_is_closed_is_a_reset() -> None:
    async def main() -> None:
        (_, writes), (_, other) = over_asyncio.pair()
        other.close()
        await other.wait_closed()
        writes.write(b"hello")
        await asyncio.sleep(0)
        with pytest.raises(ConnectionResetError):
            await writes.drain()

    asyncio.run(main())

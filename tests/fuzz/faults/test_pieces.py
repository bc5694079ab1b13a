"""Slow and failing sources and sinks: alone, and in an association of every adapter."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from dicos_fuzz.faults import parse_plan
from dicos_fuzz.faults.pieces import AwaitedFaultySource, FaultySink, FaultySource
from dicos_proto.conversation import flows
from dicos_transports.files.receiving import IncomingFile, Stored, take_all
from dicos_transports.sessions.offloading import offload
from tests.transports.connections import CT, EXPLICIT, stored
from tests.transports.suite.contexts import Context, everywhere, in_loops, within

OBJECT = stored(20_000)


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, pieces: Any) -> bool:
        for piece in pieces:
            self.data += piece
        return True

    def end(self, pieces: Any = ()) -> Stored:
        self.write(pieces)
        return Stored(status=0, size=len(self.data))


def sent(text: str, *data: bytes) -> tuple[bytes, list[float]]:
    """All that a source yields, and how long it has waited."""
    waits: list[float] = []
    source = FaultySource(data or (OBJECT,), parse_plan(text), wait=waits.append)
    return b"".join(bytes(piece) for piece in source), waits


def taken(text: str, *data: bytes) -> tuple[Stored, bytes, list[float]]:
    """The outcome of a sink that takes these pieces, what it has kept, and how long it has waited."""
    waits: list[float] = []
    kept = Kept()
    sink = FaultySink(kept, parse_plan(text), wait=waits.append)
    for piece in data or (OBJECT[:9000], OBJECT[9000:]):
        if not sink.write([bytearray(piece)]):
            break
    return sink.end(), bytes(kept.data), waits


# -- alone -----------------------------------------------------------------------------------------------------------


def test_a_source_without_faults() -> None:
    assert sent("") == (OBJECT, [])
    assert sent("", b"ab", b"", b"cd") == (b"abcd", [])


def test_a_source_in_pieces_and_slow() -> None:
    source = FaultySource([OBJECT], parse_plan("out every 3000: split"))
    assert [len(piece) for piece in source] == [3000] * 6 + [2000]
    assert sent("out at 5000: stall 2.5\nout at 0: delay 1") == (OBJECT, [1, 2.5, 1])  # the end is delayed too
    data, waits = sent("out at 0: dribble 1000")
    assert data == OBJECT
    assert sum(waits) == pytest.approx(20)


def test_a_source_is_read_again_from_its_beginning() -> None:
    source = FaultySource([OBJECT], parse_plan("out at 5: flip 0"))
    first, again = (b"".join(map(bytes, source)) for _ in range(2))
    assert first == again == OBJECT[:5] + bytes((OBJECT[5] ^ 1,)) + OBJECT[6:]
    assert source.log.counts == {1: 1}


@pytest.mark.parametrize("text", ["out at 5000: error EIO", "out at 5000: stall"])
def test_a_source_that_fails(text: str) -> None:
    pieces = iter(FaultySource([OBJECT], parse_plan(text)))
    assert next(pieces) == OBJECT[:5000]
    with pytest.raises(OSError, match="Input/output error") as error:
        next(pieces)
    assert error.value.errno == errno.EIO


@pytest.mark.parametrize("text", ["out at 5000: half-close", "out at 5000: reset"])
def test_a_source_that_ends_early(text: str) -> None:
    assert sent(text) == (OBJECT[:5000], [])


def test_a_sink_without_faults() -> None:
    assert taken("") == (Stored(status=0, size=len(OBJECT)), OBJECT, [])


def test_a_sink_that_is_slow() -> None:
    assert taken("in at 5000: stall 2.5") == (Stored(status=0, size=len(OBJECT)), OBJECT, [2.5])
    found, data, waits = taken("in at 0: merge 30000 3")
    assert (found.status, data, waits) == (0, OBJECT, [3, 3])


@pytest.mark.parametrize("text", ["in at 5000: half-close", "in at 5000: reset", "in at 5000: stall"])
def test_a_sink_that_wants_no_more_is_never_complete(text: str) -> None:
    found, data, _ = taken(text)
    assert found == Stored(status=0x0110, size=5000, error="no more is wanted, by a fault plan")
    assert data == OBJECT[:5000]


def test_a_sink_that_fails() -> None:
    kept = Kept()
    sink = FaultySink(kept, parse_plan("in at 5000: error ENOSPC"))
    with pytest.raises(OSError, match="No space left on device"):
        sink.write([OBJECT])
    assert kept.data == OBJECT[:5000]
    sink = FaultySink(kept, parse_plan("in at 50: error EINTR"))
    with pytest.raises(InterruptedError):
        sink.write([OBJECT])
    assert sink.write([b"x"])
    assert sink.end().status == 0


# -- in an association -----------------------------------------------------------------------------------------------


async def answer(session: Any, received: list[bytes]) -> None:
    async for request in session:
        received.append(b"".join([bytes(piece) async for piece in request.data()]))
        await request.respond()


async def storing(at: Context, source: Callable[[], Any], raised: type[BaseException] | None = None) -> list[bytes]:
    """Stores the data set of a source; the objects that have arrived."""
    user, provider = await at.sessions()
    received: list[bytes] = []

    async def act() -> None:
        async with user:
            if raised is None:
                assert (await user.store(CT, "1.2", EXPLICIT, source())).status == 0
            else:
                with pytest.raises(raised):
                    await user.store(CT, "1.2", EXPLICIT, source())
                assert not user.established

    async def peer() -> None:
        async with provider:
            if raised is None:
                await answer(provider, received)
            else:
                with pytest.raises(flows.AssociationAborted, match="the peer says: association aborted"):
                    await answer(provider, received)

    await at.both(act, peer)
    return received


@everywhere
async def test_a_source_that_fails_aborts_its_association(at: Context) -> None:
    plan = parse_plan("out at 12000: error EIO")
    assert await storing(at, lambda: FaultySource([OBJECT], plan), OSError) == []


@within(media=("tcp",))
async def test_a_slow_source_in_many_pieces_arrives(at: Context) -> None:
    plan = parse_plan("out about 700: split\nout every 7000: stall 0.005")
    assert await storing(at, lambda: FaultySource([OBJECT], plan)) == [OBJECT]


@in_loops
async def test_an_awaited_source(at: Context) -> None:
    wait: Any = trio.sleep if at.adapter.name == "trio" else asyncio.sleep
    plan = parse_plan("out about 700: split\nout every 7000: stall 0.005")
    assert await storing(at, lambda: AwaitedFaultySource([OBJECT], plan, wait=wait)) == [OBJECT]
    plan = parse_plan("out at 3000: stall 0.005\nout at 12000: error EIO")
    assert await storing(at, lambda: AwaitedFaultySource([OBJECT], plan, wait=wait), OSError) == []


@within(adapters=("trio", "asyncio"), media=("tcp",), security=("plain",))
async def test_files_whose_writing_is_slow_or_fails(at: Context, tmp_path: Path) -> None:
    """A sink that fails is a fault of the handler: its association is aborted, and no file is left."""
    user, provider = await at.sessions()
    plans = iter(["in at 4000: stall 0.005", "in at 9000: half-close", "in at 9000: error ENOSPC"])

    async def act() -> None:
        async with user:
            assert (await user.store(CT, "1.1", EXPLICIT, OBJECT)).status == 0
            response = await user.store(CT, "1.2", EXPLICIT, OBJECT)
            assert (response.status, response.error_comment) == (0x0110, "no more is wanted, by a fault plan")
            with pytest.raises(flows.AssociationAborted, match="the peer says: association aborted"):
                await user.store(CT, "1.3", EXPLICIT, OBJECT)

    async def peer() -> None:
        with pytest.raises(OSError, match="No space left on device"):
            await keep()

    async def keep() -> None:
        async with provider:
            async for request in provider:
                with IncomingFile(tmp_path, request) as incoming:
                    sink = FaultySink(incoming, parse_plan(next(plans)))
                    done = await take_all(sink, request, offload)
                await request.respond(done.status, done.comment)

    await at.both(act, peer)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes().endswith(OBJECT)

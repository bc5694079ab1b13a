"""A peer that stalls in the middle of a data set: the data received so far is kept, and no receive buffer besides."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_transports import blocking
from dicos_transports.blocking.driver import Driver
from dicos_transports.buffers import Buffers
from dicos_transports.files import receiving
from dicos_transports.sessions import channel
from tests.pair import command, p_data
from tests.transports.connections import CT
from tests.transports.suite.contexts import BY_ID, Context, within

STORE = command(
    BY_ID[CT], CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2"), has_data=True
)
PIECE = p_data((BY_ID[CT], False, False, bytes(60_000)))  # not joined with others: it comes as a view
SENT = STORE + 2 * PIECE


def in_use(buffers: Buffers) -> int:
    """Returns the number of buffers that code has a view of."""
    count = 0
    for buffer in buffers._kept:
        try:
            buffer.append(0)
            buffer.pop()
        except BufferError:
            count += 1
    return count


async def read(request: Any, folder: Path) -> None:
    await request.read()


async def data(request: Any, folder: Path) -> None:
    async for piece in request.data():
        del piece


async def store(request: Any, folder: Path) -> None:
    if isinstance(request.session.driver, Driver):
        face = blocking.StoreRequest(blocking.Session(request.session), request)
        receiving.store_into(folder, face, check=False)
    else:
        await receiving.store_into(folder, request, check=False)


@pytest.mark.parametrize("take", [read, data, store])
@within(security=("plain",), media=("tcp",))
async def test_a_store_that_stalls_keeps_no_receive_buffer(
    at: Context, take: Callable[[Any, Path], Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Buffers(channel.RECEIVE_SIZE, 100)
    monkeypatch.setattr(channel, "_buffers", shared)
    came = 0

    def count(direction: str, pieces: Any) -> None:
        nonlocal came
        came += sum(map(len, pieces)) if direction == "received" else 0

    session, raw = await at.provider(trace=count)
    came = 0

    async def serve() -> None:
        async with session:
            async for request in session:
                await take(request, tmp_path)

    async def act() -> None:
        with pytest.raises(flows.AssociationAborted):
            await serve()

    async def peer() -> None:
        await raw.send(SENT)
        for _ in range(1000):
            await at.pause()
            time.sleep(0.001)  # for the threads of blocking sessions
            if came >= len(SENT) and not in_use(shared):
                break
        else:
            pytest.fail(f"{in_use(shared)} receive buffers in use after {came} of {len(SENT)} bytes")
        await raw.send(encode(Abort()))
        await raw.leave()

    await at.both(act, peer)

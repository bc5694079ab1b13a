"""A relay in an event loop: what one association receives goes out on another as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import trio

from dicos_proto.conversation.flows import AssociationAborted
from dicos_proto.registry import status
from dicos_transports import asyncio as on_asyncio
from dicos_transports import trio as on_trio
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, POLICY

Main = Callable[[Any], Coroutine[Any, Any, None]]


def run_in_trio(main: Main) -> None:
    trio.run(main, on_trio)


def run_in_asyncio(main: Main) -> None:
    asyncio.run(main(on_asyncio))


BOTH = pytest.mark.parametrize("run", [run_in_trio, run_in_asyncio], ids=["trio", "asyncio"])


@BOTH
def test_what_is_received_is_sent_on_as_it_arrives(run: Callable[[Main], None]) -> None:
    kept = bytearray()

    async def main(adapter: Any) -> None:
        async def archive(session: Any) -> None:
            async for request in session:
                kept.extend(await request.read())
                await request.respond(0xB000)

        async def relay(session: Any) -> None:
            async with await adapter.connect(("127.0.0.1", behind.port), CONTEXTS) as onward:
                async for request in session:
                    response = await onward.store(CT, request.sop_instance_uid, EXPLICIT, request.data())
                    await request.respond(response.status)

        async with (
            adapter.serve(("127.0.0.1", 0), archive, policy=POLICY) as behind,
            adapter.serve(("127.0.0.1", 0), relay, policy=POLICY) as before,
            await adapter.connect(("127.0.0.1", before.port), CONTEXTS) as session,
        ):
            piece = bytes(range(256)) * 4096
            response = await session.store(CT, "1.2.3", EXPLICIT, (piece for _ in range(20)))
            assert response.status == 0xB000
            assert bytes(kept) == piece * 20
            assert (await session.store(CT, "1.2.4", EXPLICIT, b"ab")).status == 0xB000

    run(main)


@BOTH
def test_a_source_that_fails_aborts(run: Callable[[Main], None]) -> None:
    async def main(adapter: Any) -> None:
        async def read(session: Any) -> None:
            async for request in session:
                with pytest.raises(AssociationAborted):
                    await request.read()
                raise KeyError("seen")

        async def broken() -> AsyncIterator[bytes]:
            yield b"ab"
            raise OSError("the disk is gone")

        async with adapter.serve(("127.0.0.1", 0), read, policy=POLICY) as server:
            session = await adapter.connect(("127.0.0.1", server.port), CONTEXTS)
            with pytest.raises(OSError, match="the disk is gone"):
                await session.store(CT, "1.2.3", EXPLICIT, broken())
            assert not session.established
            await server.wait(0)
        assert server.metrics.failures == 1
        assert server.metrics.aborted == 1

    run(main)


@BOTH
def test_an_empty_source_is_an_empty_data_set(run: Callable[[Main], None]) -> None:
    async def main(adapter: Any) -> None:
        async def refuse(session: Any) -> None:
            async for request in session:
                await request.respond(status.SUCCESS if await request.read() else status.CANNOT_UNDERSTAND)

        async def nothing() -> AsyncIterator[bytes]:
            for piece in ():
                yield piece

        async with (
            adapter.serve(("127.0.0.1", 0), refuse, policy=POLICY) as server,
            await adapter.connect(("127.0.0.1", server.port), CONTEXTS) as session,
        ):
            assert (await session.store(CT, "1.2.3", EXPLICIT, nothing())).status == status.CANNOT_UNDERSTAND

    run(main)

"""The requests of a session in an event loop: leaving the iteration in the middle leaves nothing behind."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from dicos_transports.blocking import connect
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, POLICY
from tests.transports.loops import LOOPS, served


@pytest.mark.parametrize("name", LOOPS)
def test_a_handler_may_return_in_the_middle(name: str) -> None:
    async def first_only(session: Any) -> None:
        async for request in session:
            await request.respond()
            return

    with served(name, lambda module: module.serve(("127.0.0.1", 0), first_only, policy=POLICY)) as server:
        session = connect(("127.0.0.1", server.port), CONTEXTS)
        assert session.echo().status == 0
        assert list(session) == []  # released by the provider
        session.close()
    gc.collect()  # a generator that was not closed would warn here


@pytest.mark.parametrize("name", LOOPS)
def test_what_was_not_answered_is_refused_when_the_next_is_asked_for(name: str) -> None:
    async def nothing(session: Any) -> None:
        async for _ in session:
            pass

    def serve(module: Any) -> Any:
        return module.serve(("127.0.0.1", 0), nothing, policy=POLICY)

    with served(name, serve) as server, connect(("127.0.0.1", server.port), CONTEXTS) as session:
        assert session.echo().status == 0x0211
        assert session.store(CT, "1.2", EXPLICIT, bytes(100_000)).status == 0x0211

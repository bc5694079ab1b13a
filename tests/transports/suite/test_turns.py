"""Operations that need no wait do not wait, yet other tasks get their turns, and cancellation takes effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dicos_proto.conversation.reading import SMALL
from dicos_proto.dimse.types import CEchoRequest, CStoreRequest
from dicos_proto.errors import ProtocolError
from dicos_transports.sessions.channel import ServerStopping
from dicos_transports.sessions.loop_driver import TURNS
from tests.pair import command, p_data
from tests.transports.loops import pause
from tests.transports.suite.contexts import BY_ID, CT, VERIFICATION, Context, Raw, in_loops, instances
from tests.transports.suite.test_cancellation import until_abort

MANY = 10 * TURNS
ECHOES = b"".join(
    command(BY_ID[VERIFICATION], CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION))
    for number in range(1, 1 + MANY)
)
STORE = command(
    BY_ID[CT], CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2"), has_data=True
)
PIECES = b"".join(p_data((BY_ID[CT], False, number == MANY, bytes(SMALL))) for number in range(1, 1 + MANY))
Took = Callable[[], object]


async def _requests(session: Any, took: Took) -> None:
    async for request in session:
        took()
        await request.respond()


async def _pieces(session: Any, took: Took) -> None:
    async for request in session:
        async for _ in request.data():
            took()
        await request.respond()


async def _outcomes(session: Any, took: Took) -> None:
    async for outcome in session.store_many(instances(MANY, 10)):
        assert outcome.stored
        took()


COMES = {"requests": (ECHOES, _requests), "pieces": (STORE + PIECES, _pieces)}


class Beside:
    """A task that only takes its turns, until it is stopped."""

    def __init__(self, at: Context) -> None:
        self._at = at
        self.turns = 0
        self.taken: list[int] = []  # in which of its turns something was taken
        self.over = False

    async def run(self) -> None:
        while not self.over:
            self.turns += 1
            await pause(self._at.adapter.name)

    def took(self) -> None:
        self.taken.append(self.turns)

    @property
    def longest(self) -> int:
        """The largest number of things taken between two of its turns."""
        return max(map(self.taken.count, set(self.taken)))


async def _until_served(raw: Raw, what: bytes) -> None:
    """Send it all, and end the association once it is answered."""
    await raw.send(what)
    await raw.send(bytes.fromhex("0500 0000 0004 0000 0000"))  # A-RELEASE-RQ
    while (await raw.pdu())[0] != 6:
        pass
    await raw.leave()


@pytest.mark.parametrize("what", COMES)
@in_loops
async def test_others_get_their_turn_while_much_is_here(at: Context, what: str) -> None:
    stream, take = COMES[what]
    session, raw = await at.provider()
    beside = Beside(at)

    async def act() -> None:
        await take(session, beside.took)
        beside.over = True

    await at.both(act, lambda: _until_served(raw, stream), beside.run)
    assert len(beside.taken) == MANY or (what == "pieces" and len(beside.taken) > MANY)  # a receive may end in one
    assert 1 < beside.longest <= 2 * TURNS  # trio does not say in which order tasks get their turns
    session.close()


@in_loops
async def test_others_get_their_turn_while_answers_are_here(at: Context) -> None:
    user, provider = await at.sessions()
    beside = Beside(at)

    async def act() -> None:
        async with user:
            await _outcomes(user, beside.took)
        beside.over = True

    await at.both(act, lambda: _pieces(provider, lambda: None), beside.run)
    assert len(beside.taken) == MANY
    assert 1 < beside.longest <= 2 * TURNS  # trio does not say in which order tasks get their turns
    provider.close()


@pytest.mark.parametrize("what", COMES)
@in_loops
async def test_who_is_cancelled_takes_no_more_than_what_is_left_of_its_turn(at: Context, what: str) -> None:
    stream, take = COMES[what]
    session, raw = await at.provider()
    scope = at.scope()
    taken = 0

    def took() -> None:
        nonlocal taken
        taken += 1
        scope.cancel()

    async def peer() -> None:
        await raw.send(stream)
        await until_abort(raw, b"")
        await raw.leave()

    async def act() -> None:
        assert await scope.run(lambda: take(session, took))
        await session.abort()

    await at.both(act, peer)
    assert 0 < taken <= TURNS


@in_loops
async def test_a_server_that_stops_takes_no_request_that_is_here(at: Context) -> None:
    session, raw = await at.provider()
    taken = 0

    def took() -> None:
        nonlocal taken
        taken += 1
        session.driver.interrupt()

    async def peer() -> None:
        await raw.send(ECHOES)
        await until_abort(raw, b"")
        await raw.leave()

    async def act() -> None:
        with pytest.raises(ServerStopping):
            await _requests(session, took)
        await session.abort()

    await at.both(act, peer)
    assert taken == 1


@in_loops
async def test_what_is_wrong_behind_a_request_that_is_here_is_raised_behind_it(at: Context) -> None:
    """The fast path meets the fault, the flow raises it."""
    session, raw = await at.provider()
    taken: list[object] = []

    async def peer() -> None:
        await raw.send(ECHOES[: len(ECHOES) // MANY * 3] + b"\x09\x00" + bytes(40))
        await until_abort(raw, b"")
        await raw.leave()

    async def act() -> None:
        with pytest.raises(ProtocolError, match="PDU"):
            await _requests(session, lambda: taken.append(1))
        session.close()

    await at.both(act, peer)
    assert len(taken) == 3

"""Streams of a session: what is queued is sent before a result is used, and the end is the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import response_to
from dicos_proto.conversation.feed import PushSource
from dicos_proto.conversation.performing import next_request
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import CEchoRequest
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import ReleaseRequest, UserInformation
from dicos_transports.sessions.iterating import AwaitedInstance
from tests.pair import command
from tests.transports.suite.contexts import BY_ID, CT, EXPLICIT, VERIFICATION, Context, everywhere, in_loops, instances

ECHOES = [
    command(BY_ID[VERIFICATION], CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION))
    for number in (1, 2, 3)
]


@in_loops
async def test_answers_are_sent_before_the_next_result_is_used(at: Context) -> None:
    session, raw = await at.provider()
    answered = [at.event() for _ in ECHOES]

    def one() -> flows.Flow[MessageStart | None]:
        asked = yield from next_request(session.exchange)
        if asked is not None:
            session.exchange.reply(response_to(asked, 0))
        return asked

    async def act() -> None:
        number = 0
        async for _ in session.each(one):
            await answered[number].wait()
            number += 1
        assert number == len(ECHOES)
        session.close()

    async def peer() -> None:
        await raw.send(b"".join(ECHOES))
        for event in answered:
            assert (await raw.pdu())[0] == 4
            event.set()
        await raw.send(encode(ReleaseRequest()))
        assert (await raw.pdu())[0] == 6
        await raw.leave()

    await at.both(act, peer)


@in_loops
async def test_a_request_is_sent_before_its_first_piece_is_awaited(at: Context) -> None:
    user, provider = await at.sessions(user={"user_information": UserInformation()})
    asked = [at.event() for _ in range(3)]

    async def pieces(number: int) -> AsyncIterator[bytes]:
        await asked[number].wait()
        yield bytes(100)

    async def act() -> None:
        async with user:
            given: list[Instance] = [
                AwaitedInstance(
                    sop_class_uid=CT, sop_instance_uid=f"1.2.{one}", transfer_syntax=EXPLICIT, pieces=pieces(one)
                )
                for one in range(3)
            ]
            assert [one.stored async for one in user.store_many(given)] == [True] * 3

    async def provide() -> None:
        async with provider:
            async for request in provider:
                asked[int(request.sop_instance_uid[-1])].set()
                assert len(await request.read()) == 100
                await request.respond()

    await at.both(act, provide)


@everywhere
async def test_a_closed_session_has_no_requests(at: Context) -> None:
    user, provider = await at.sessions()
    provider.close()
    for _ in range(2):
        with pytest.raises(flows.AssociationAborted):
            await anext(aiter(provider))
    user.close()


def nothing_here(number: int) -> list[Any]:
    return [*instances(number, 10), None, *instances(1, 10)]


@everywhere
async def test_only_instances_are_stored(at: Context) -> None:
    user, provider = await at.sessions()

    async def act() -> None:
        with pytest.raises(TypeError, match="NoneType among the instances"):
            await _all_of(user.store_many(nothing_here(2)))
        await user.abort()

    async def provide() -> None:
        with pytest.raises(flows.AssociationAborted):
            await _serve(provider)

    await at.both(act, provide)


@everywhere
async def test_a_data_set_that_nothing_feeds_is_refused(at: Context) -> None:
    user, provider = await at.sessions()
    starving = Instance(sop_class_uid=CT, sop_instance_uid="1.2.3", transfer_syntax=EXPLICIT, data=PushSource())

    async def act() -> None:
        with pytest.raises(TypeError, match="PushSource"):
            await _all_of(user.store_many([starving]))
        await user.abort()

    async def provide() -> None:
        with pytest.raises(flows.AssociationAborted):
            await _serve(provider)

    await at.both(act, provide)


async def _all_of(iteration: Any) -> None:
    async for _ in iteration:
        pass


async def _serve(session: Any) -> None:
    async with session:
        async for request in session:
            await request.read()
            await request.respond()

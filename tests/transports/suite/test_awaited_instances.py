"""`store_many` of what is awaited: instances that come one by one, data sets whose pieces do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.pdu_types import Abort, UserInformation
from dicos_transports.sessions.session import AwaitedInstance, StoreRequest
from tests.transports.loops import adapter, pause
from tests.transports.suite.contexts import CT, EXPLICIT, GET, Context, in_loops, instances, whole_then_abort
from tests.transports.suite.test_cancellation import until_abort
from tests.transports.suite.test_operations import identifier

ALONE = UserInformation()
"""Without a window: one outstanding at a time."""
OTHER = "1.2.840.10008.5.1.4.1.1.4"


def awaited(at: Context, number: int, count: int, size: int) -> AwaitedInstance:
    """Its pieces come after a turn of the others."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(count):
            await pause(at.adapter.name)
            yield bytes((number,)) * size

    return AwaitedInstance(
        sop_class_uid=CT, sop_instance_uid=f"1.2.{number}", transfer_syntax=EXPLICIT, pieces=pieces()
    )


def mixed(at: Context) -> list[Instance]:
    """Instances that are complete, have no piece, have many pieces, or are large."""
    whole = instances(12, 1000)
    return [
        awaited(at, n, *((0, 0), (1, 2), (7, 1000), (5, 200_000))[n % 4]) if n % 3 else one
        for n, one in enumerate(whole)
    ]  # fmt: skip


def content(one: Instance, number: int) -> bytes:
    if isinstance(one, AwaitedInstance):
        count, size = ((0, 0), (1, 2), (7, 1000), (5, 200_000))[number % 4]
        return bytes((number,)) * size * count
    return b"".join(one.data)  # type: ignore[arg-type]


async def one_by_one(at: Context, all_of_them: list[Instance]) -> AsyncIterator[Instance]:
    for one in all_of_them:
        await pause(at.adapter.name)
        yield one


async def keep(session: Any, into: dict[str, bytes]) -> None:
    try:
        async for request in session:
            assert isinstance(request, StoreRequest)
            into[request.sop_instance_uid] = bytes(await request.read())
            await request.respond()
    finally:
        session.close()


@pytest.mark.parametrize("source", ["at hand", "awaited"])
@pytest.mark.parametrize("ahead", [False, True], ids=["as there is room", "ahead"])
@pytest.mark.parametrize("window", [True, False], ids=["window 8", "window 1"])
@in_loops
async def test_all_arrive_whole_and_in_their_order(at: Context, window: bool, ahead: bool, source: str) -> None:
    user, provider = await at.sessions(user=None if window else {"user_information": ALONE})
    given = mixed(at)
    kept: dict[str, bytes] = {}
    told = []

    async def act() -> None:
        async with user:
            many = one_by_one(at, given) if source == "awaited" else given
            async for outcome in user.store_many(many, ahead=ahead):
                assert outcome.stored
                told.append(outcome.instance)
            assert user.association.operations.outstanding == 0

    await at.both(act, lambda: keep(provider, kept))
    assert all(one is other for one, other in zip(told, given, strict=True))
    assert list(kept.values()) == [content(one, number) for number, one in enumerate(given)]


@in_loops
async def test_one_in_the_answer_to_a_retrieval_is_refused_and_keeps_nobody_waiting(at: Context) -> None:
    user, provider = await at.sessions()

    async def ask() -> None:
        async with user:
            async for received in user.get(GET, identifier("1")):
                await received.read()
                await received.respond()

    async def answer() -> None:
        async with provider:
            async for request in provider:
                await request.attributes()
                await request.send([*instances(1, 1000), awaited(at, 1, 7, 1000)], 2)

    async def act() -> None:
        with pytest.raises(flows.AssociationAborted):
            await ask()

    async def provide() -> None:
        with pytest.raises(TypeError, match="AwaitedInstance in the answer to a C-GET"):
            await answer()

    await at.both(act, provide)


@in_loops
async def test_with_a_window_of_one_the_source_may_wait_for_what_became_of_the_last(at: Context) -> None:
    user, provider = await at.sessions(user={"user_information": ALONE})
    stored: list[str] = []

    async def after_the_last() -> AsyncIterator[Instance]:
        for number, one in enumerate(mixed(at)):
            assert len(stored) == number
            yield one

    async def act() -> None:
        async with user:
            async for outcome in user.store_many(after_the_last()):
                stored.append(outcome.instance.sop_instance_uid)

    await at.both(act, lambda: keep(provider, {}))
    assert len(stored) == 12


@in_loops
async def test_what_was_sent_is_on_its_way_before_the_next_is_awaited(at: Context) -> None:
    user, provider = await at.sessions()
    arrived = at.event()
    size = 3_000_000  # more than any connection holds

    async def when_the_first_is_there() -> AsyncIterator[Instance]:
        yield awaited(at, 1, 3, size)
        await arrived.wait()
        yield awaited(at, 2, 1, 10)

    async def act() -> None:
        async with user:
            assert [one.stored async for one in user.store_many(when_the_first_is_there())] == [True, True]

    async def provide() -> None:
        sizes = []
        async for request in provider:
            sizes.append(len(await request.read()))
            arrived.set()
            await request.respond()
        assert sizes == [3 * size, 10]
        provider.close()

    await at.both(act, provide)


@in_loops
async def test_what_has_no_context_is_told_and_none_of_it_is_awaited(at: Context) -> None:
    user, provider = await at.sessions()

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("awaited")
        yield b""

    refused = AwaitedInstance(sop_class_uid=OTHER, sop_instance_uid="1.3", transfer_syntax=EXPLICIT, pieces=never())

    async def act() -> None:
        async with user:
            told = [one async for one in user.store_many(one_by_one(at, [refused, awaited(at, 1, 2, 10)]))]
        assert [one.stored for one in told] == [False, True]
        assert isinstance(told[0].problem, flows.ContextNotAccepted)

    await at.both(act, lambda: keep(provider, {}))


@in_loops
async def test_an_iteration_that_is_over_stays_so(at: Context) -> None:
    user, provider = await at.sessions()

    async def act() -> None:
        async with user:
            outcomes = user.store_many(one_by_one(at, []))
            for _ in range(2):
                with pytest.raises(StopAsyncIteration):
                    await anext(outcomes)

    await at.both(act, lambda: keep(provider, {}))


async def _fails(at: Context, after: int) -> AsyncIterator[Any]:
    for number in range(after):
        yield bytes(10) if after > 1 else awaited(at, number + 1, 1, 10)
    raise OSError("the source")


@in_loops
async def test_a_fault_of_the_pieces_aborts_within_the_message(at: Context) -> None:
    session, raw = await at.user()
    faulty = AwaitedInstance(
        sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=EXPLICIT, pieces=_fails(at, 3)
    )  # fmt: skip

    async def act() -> None:
        with pytest.raises(OSError, match="the source"):
            async for _ in session.store_many([faulty]):
                pass
        assert session.driver.closed

    async def peer() -> None:
        assert whole_then_abort(await until_abort(raw, b"")) == Abort()
        await raw.leave()

    await at.both(act, peer)


@pytest.mark.parametrize("after", [0, 1])
@in_loops
async def test_a_fault_of_the_source_aborts_where_answers_are_out(at: Context, after: int) -> None:
    user, provider = await at.sessions()

    async def act() -> None:
        with pytest.raises(OSError, match="the source"):
            async for _ in user.store_many(_fails(at, after)):
                pass
        assert user.established == (after == 0)
        if after == 0:
            assert (await user.store(CT, "1.9", EXPLICIT, bytes(10))).status == 0
            await user.release()

    async def provide() -> None:
        if after == 0:
            await keep(provider, {})
        else:
            with pytest.raises(flows.AssociationAborted):
                await keep(provider, {})

    await at.both(act, provide)


@pytest.mark.parametrize("within", ["a message", "nothing"])
@in_loops
async def test_cancelled_it_aborts_within_a_message_and_else_leaves_all_as_it_was(at: Context, within: str) -> None:
    user, provider = await at.sessions()
    scope, never = at.scope(), at.event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(1000)
        scope.cancel()
        await never.wait()

    async def none() -> AsyncIterator[Instance]:
        scope.cancel()
        await never.wait()
        yield Instance(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=EXPLICIT, data=b"")

    async def work() -> None:
        one = AwaitedInstance(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=EXPLICIT, pieces=endless())
        async for _ in user.store_many([one] if within == "a message" else none()):
            pass

    async def act() -> None:
        assert await scope.run(work)
        assert user.established == (within == "nothing")
        if within == "nothing":
            await user.release()

    async def provide() -> None:
        if within == "nothing":
            await keep(provider, {})
        else:
            with pytest.raises(flows.AssociationAborted):
                await keep(provider, {})

    await at.both(act, provide)


@in_loops
async def test_a_relay_sends_on_what_comes_as_it_comes(at: Context) -> None:
    """The requests of one association are the source of another one."""
    user, relaying = await at.sessions(user={"user_information": ALONE})
    onward, archive = await at.sessions(user={"user_information": ALONE})
    kept: dict[str, bytes] = {}
    waiting: list[StoreRequest] = []

    async def source() -> AsyncIterator[Instance]:
        async for request in relaying:
            assert isinstance(request, StoreRequest)
            waiting.append(request)
            yield AwaitedInstance(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                transfer_syntax=request.transfer_syntax,
                pieces=request.data(),
            )

    async def relay() -> None:
        async with onward:
            async for outcome in onward.store_many(source()):
                assert outcome.response is not None
                await waiting.pop().respond(outcome.response.status)
        relaying.close()

    async def act() -> None:
        async with user:
            assert [one.stored async for one in user.store_many(instances(5, 100_000))] == [True] * 5

    await at.both(act, relay, lambda: keep(archive, kept))
    assert list(kept.values()) == [bytes((number,)) * 200_000 for number in range(5)]


@in_loops
async def test_over_several_associations(at: Context) -> None:
    if at.medium == "memory":
        pytest.skip("servers listen on sockets")
    kept: dict[str, bytes] = {}
    listener, address = at.listen()
    async with at.serve(listener, lambda session: keep(session, kept)):
        many: Iterator[Instance] = iter(mixed(at))
        async with adapter(at.adapter.name).store_over(lambda: at.connect(address), many, associations=3) as outcomes:
            assert [one.stored async for one in outcomes] == [True] * 12
    assert sorted(map(len, kept.values())) == sorted(len(content(one, n)) for n, one in enumerate(mixed(at)))

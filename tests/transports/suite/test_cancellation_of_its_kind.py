"""Cancellation as trio and asyncio each have it: nested scopes, shields, virtual time; timeouts and task groups."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from dicos_proto.conversation import flows
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_transports import trio as over_trio
from tests.transports.suite.adapters import Asyncio, Trio
from tests.transports.suite.contexts import CONTEXTS, CT, EXPLICIT, POLICY, Context, whole_then_abort, within
from tests.transports.suite.test_cancellation import until_abort

MIB = 1 << 20
in_trio = within(adapters=("trio",))
in_asyncio = within(adapters=("asyncio",))


def _large() -> Iterator[bytes]:
    while True:
        yield bytes(MIB)


# -- trio ------------------------------------------------------------------------------------------------------------


@in_trio
async def test_only_the_scope_that_is_cancelled_ends(at: Context) -> None:
    session, raw = await at.user()
    inner = trio.CancelScope()

    async def peer() -> None:
        first = await raw.read(2 * MIB)
        inner.cancel()
        whole_then_abort(await until_abort(raw, first))
        await raw.leave()

    with trio.CancelScope() as outer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer)
            with inner:
                await session.store(CT, "1.2", EXPLICIT, _large())
            assert inner.cancelled_caught
    assert not outer.cancelled_caught
    assert session.driver.closed


@in_trio
async def test_what_is_shielded_is_done_to_its_end(at: Context) -> None:
    user, provider = await at.sessions()

    async def provide() -> None:
        async with provider:
            async for request in provider:
                await request.respond()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(provide)
        with trio.CancelScope() as scope:
            scope.cancel()
            with trio.CancelScope(shield=True):
                assert (await user.echo()).status == 0
                await user.release()
        assert not scope.cancelled_caught


@in_trio
async def test_an_operation_begun_when_it_is_cancelled_already(at: Context) -> None:
    session, raw = await at.user()

    async def peer() -> None:
        whole_then_abort(await until_abort(raw, b""))
        await raw.leave()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer)
        with trio.CancelScope() as scope:
            scope.cancel()
            async with session:
                await session.echo()
        assert scope.cancelled_caught
    assert session.driver.closed


def _virtual(main: object) -> None:
    Trio(trio.testing.MockClock(autojump_threshold=0)).run(main)  # type: ignore[arg-type]


def test_the_deadlines_of_a_day_take_no_time() -> None:
    async def main() -> None:
        ours, theirs = over_trio.pair()
        begun = trio.current_time()
        with pytest.raises(flows.AssociationAborted, match="association: waiting for the answer: nothing within 30 s"):
            await over_trio.connect(ours, CONTEXTS)
        assert trio.current_time() - begun == pytest.approx(60)  # the peer has ARTIM to close after the A-ABORT
        await theirs.aclose()

        ours, theirs = over_trio.pair()
        begun = trio.current_time()
        with pytest.raises(flows.AssociationAborted, match="ARTIM: waiting for the whole A-ASSOCIATE-RQ"):
            await over_trio.accept(theirs, POLICY)
        assert trio.current_time() - begun == pytest.approx(30)
        await ours.aclose()

    _virtual(main)


def test_a_peer_that_stops_reading_is_given_up_in_virtual_time() -> None:
    async def main() -> None:
        sessions: list[over_trio.Session] = []
        ours, theirs = over_trio.pair()

        async def accept() -> None:
            sessions.append(await over_trio.accept(theirs, POLICY))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            user = await over_trio.connect(ours, CONTEXTS, timeouts=Timeouts(write_stall=3600))
        begun = trio.current_time()
        with pytest.raises(
            flows.AssociationAborted, match=r"write stall: the peer accepted none of the \d+ queued bytes within 3600 s"
        ):
            await user.store(CT, "1.2", EXPLICIT, _large())
        assert trio.current_time() - begun == pytest.approx(3600)
        begun = trio.current_time()
        await user.abort()
        assert trio.current_time() - begun <= 2
        sessions[0].close()

    _virtual(main)


def test_a_peer_that_is_slow_is_not_one_that_takes_nothing() -> None:
    """100 kB in 20 s, of a PDU of 1 MB: it is waited for, as each byte it takes shows that it is there."""

    async def main() -> None:
        at = Context(Trio(), "plain", "memory", None)  # type: ignore[arg-type]
        session, raw = await at.user(timeouts=Timeouts(write_stall=30, response=None))
        taken = 0

        async def peer() -> None:
            nonlocal taken
            while taken < 2 * MIB:
                taken += len(await raw.read(100_000))
                await trio.sleep(20)
            scope.cancel()
            raw.vanish()

        begun = trio.current_time()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer)
                await session.store(CT, "1.2", EXPLICIT, bytes(4 * MIB))
        assert scope.cancelled_caught
        assert trio.current_time() - begun > 400
        await session.abort()

    _virtual(main)


# -- asyncio ---------------------------------------------------------------------------------------------------------


@in_asyncio
async def test_a_timeout_is_a_timeout_and_the_task_is_not_cancelled(at: Context) -> None:
    session, raw = await at.user()
    task = asyncio.current_task()
    assert task is not None

    async def peer() -> None:
        whole_then_abort(await until_abort(raw, b""))
        await raw.leave()

    async with asyncio.TaskGroup() as group:
        group.create_task(peer())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.echo(), 0.5)  # the request is sent by then, however busy the machine is
    assert task.cancelling() == 0
    assert session.driver.closed


@in_asyncio
async def test_a_task_that_is_cancelled_is_cancelled(at: Context) -> None:
    session, raw = await at.user()
    task = asyncio.create_task(session.store(CT, "1.2", EXPLICIT, _large()))
    first = await raw.read(2 * MIB)
    task.cancel()
    whole_then_abort(await until_abort(raw, first))
    await raw.leave()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@in_asyncio
async def test_a_task_cancelled_again_and_again_still_says_it_aborts(at: Context) -> None:
    session, raw = await at.user()
    task = asyncio.create_task(session.echo())
    assert (await raw.pdu())[0] == 4
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0)
    assert whole_then_abort(await until_abort(raw, b"")) == Abort()
    await raw.leave()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert session.driver.closed


@in_asyncio
async def test_a_fault_beside_it_in_a_group_aborts_it(at: Context) -> None:
    session, raw = await at.user()

    async def peer() -> None:
        first = await raw.read(2 * MIB)
        fault.set()
        whole_then_abort(await until_abort(raw, first))
        await raw.leave()

    async def fail() -> None:
        await fault.wait()
        raise OSError("something else")

    fault = asyncio.Event()
    beside = asyncio.create_task(peer())

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(session.store(CT, "1.2", EXPLICIT, _large()))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await together()
    assert [str(one) for one in caught.value.exceptions] == ["something else"]
    await beside


def test_a_loop_that_ends_leaves_nothing() -> None:
    """A session that nobody closes, in a program that ends by an exception."""

    async def main() -> None:
        at = Context(Asyncio(), "plain", "memory", None)  # type: ignore[arg-type]
        session, raw = await at.user()
        asyncio.create_task(session.echo())  # noqa: RUF006
        await raw.pdu()
        raise OSError("the end")

    with pytest.raises(OSError, match="the end"):
        asyncio.run(main())

"""Pools of associations: the same scenarios over each adapter, against a provider of its own threads."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports import asyncio as over_asyncio
from dicos_transports import blocking
from dicos_transports import trio as over_trio
from dicos_transports.blocking import server as blocking_server
from dicos_transports.sessions.base import ConnectionFailed
from dicos_transports.sessions.finished import finished
from dicos_transports.sessions.pooling import Place, PoolClosed, PoolExhausted
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, PATIENCE, POLICY
from tests.transports.suite.contexts import ADAPTERS, CLIENT, LOOPS, SERVER, Context, within

Scenario = Callable[..., Coroutine[Any, Any, None]]
LINGER_NOT = struct.pack("ii", 1, 0)


class BlockingPool:
    """That of `blocking`, awaited."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.pool = blocking.Pool(*args, **options)

    @property
    def stats(self) -> Any:
        return self.pool.stats

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        with self.pool.session() as session:
            yield session.awaited

    async def call(self, operation: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        return self.pool.call(lambda session: finished(operation(session.awaited)))

    async def close(self) -> None:
        self.pool.close()

    async def __aenter__(self) -> BlockingPool:
        self.pool.__enter__()
        return self

    async def __aexit__(self, *fault: Any) -> None:
        self.pool.__exit__(*fault)


POOLS: dict[str, Any] = {"blocking": BlockingPool, "trio": over_trio.Pool, "asyncio": over_asyncio.Pool}


def over(*names: str, security: tuple[str, ...] = ("plain",)) -> Callable[[Scenario], Callable[..., None]]:
    """Makes a test of a scenario over these adapters."""
    return within(adapters=names, security=security, media=("tcp",))


everywhere = over(*ADAPTERS)
in_loops = over(*LOOPS)


class Peer:
    """A provider. `misbehave` is what it does with an association once it has answered one request on it."""

    def __init__(self, misbehave: Callable[[blocking.Session], None] | None = None, **options: Any) -> None:
        self.misbehave = misbehave
        self.here = 0  # associations now
        self.most = 0
        self.done = threading.Semaphore(0)  # how often it misbehaved
        self.lock = threading.Lock()
        self.served: list[int] = []
        self.ended: list[str] = []
        options.setdefault("policy", POLICY)
        self.server = blocking_server.serve(options.pop("where", ("127.0.0.1", 0)), self.handle, **options)
        self.where = ("127.0.0.1", self.server.port)

    def handle(self, session: blocking.Session) -> None:
        with self.lock:
            self.here += 1
            self.most = max(self.most, self.here)
            number = len(self.served)
            self.served.append(0)
        try:
            for request in session:
                if isinstance(request, blocking.StoreRequest):
                    for _ in request.data():
                        pass
                misbehave, self.misbehave = self.misbehave, None  # before the user can set the next one
                self.served[number] += 1
                request.respond()
                if misbehave is not None:
                    misbehave(session)
                    self.done.release()
                    return
            self.ended.append("released")
        except Exception as error:
            self.ended.append(type(error).__name__)
            raise
        finally:
            with self.lock:
                self.here -= 1

    def misbehaved(self) -> None:
        assert self.done.acquire(timeout=PATIENCE)

    def wait(self, so: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not so():
            assert time.monotonic() < until, (self.served, self.ended, self.here)
            time.sleep(0.005)


@contextmanager
def peer(*args: Any, **options: Any) -> Iterator[Peer]:
    made = Peer(*args, **options)
    try:
        yield made
    finally:
        made.server.close(2)
        while HANGING_UP:
            HANGING_UP.pop().join(PATIENCE)


def pool(at: Context, peer_: Peer | tuple[str, int], **options: Any) -> AbstractAsyncContextManager[Any]:
    where = peer_.where if isinstance(peer_, Peer) else peer_
    made: AbstractAsyncContextManager[Any] = POOLS[at.adapter.name](
        where, CONTEXTS, tls=CLIENT if at.over_tls else None, **options
    )
    return made


async def echo(session: Any) -> int:
    status: int = (await session.echo()).status
    return status


def secured(at: Context) -> dict[str, Any]:
    return {"tls": SERVER} if at.over_tls else {}


# -- use after use -------------------------------------------------------------------------------------------------


@over(*ADAPTERS, security=("plain", "tls"))
async def test_an_association_is_used_again_and_again(at: Context) -> None:
    with peer(**secured(at)) as provider:
        async with pool(at, provider) as made:
            for _ in range(5):
                async with made.session() as session:
                    assert await echo(session) == 0
            assert await made.call(echo) == 0
            assert (made.stats.made, made.stats.reused, made.stats.idle) == (1, 5, 1)
        provider.wait(lambda: provider.ended == ["released"])
        assert provider.served == [6]


@everywhere
async def test_nothing_is_kept_of_a_use_that_is_over(at: Context) -> None:
    with peer() as provider:
        async with pool(at, provider) as made:
            for _ in range(20):
                await made.call(echo)
            gc.collect()
            assert sum(type(one) is Place for one in gc.get_objects()) <= 1


@everywhere
async def test_no_more_than_its_size_and_in_turn(at: Context) -> None:
    order: list[int] = []
    waiting, go = at.event(), at.event()
    with peer() as provider:
        async with pool(at, provider, size=1) as made:

            async def hold() -> None:
                async with made.session() as session:
                    await echo(session)
                    waiting.set()
                    await go.wait()

            async def use(number: int) -> None:
                await waiting.wait()
                while made.stats.waiting < number:  # those before it
                    await tick(at)
                async with made.session() as session:
                    order.append(number)
                    await echo(session)

            async def release() -> None:
                await waiting.wait()
                while made.stats.waiting < 4:
                    await tick(at)
                go.set()

            await at.both(hold, release, *(lambda number=number: use(number) for number in range(4)))  # type: ignore[misc]
            assert made.stats.made == 1
        assert order == [0, 1, 2, 3]
        assert provider.most == 1


async def tick(at: Context) -> None:
    if at.adapter.name == "blocking":
        time.sleep(0.002)
    else:
        await at.pause()


@everywhere
async def test_many_users_of_a_few_associations(at: Context) -> None:
    with peer() as provider:
        async with pool(at, provider, size=3) as made:

            async def use() -> None:
                for _ in range(10):
                    assert await made.call(echo) == 0

            await at.both(*[use] * 8)
            assert made.stats.in_use == made.stats.waiting == 0
        assert provider.most <= 3
        assert sum(provider.served) == 80


@everywhere
async def test_who_waits_for_too_long_is_told(at: Context) -> None:
    with peer() as provider:
        async with pool(at, provider, size=1, patience=0.1) as made:
            async with made.session() as session:
                with pytest.raises(
                    PoolExhausted, match=r"no association within 0\.1 s: the only association of the pool is"
                ):
                    await made.call(echo)
                assert await echo(session) == 0
            assert await made.call(echo) == 0
            assert (made.stats.timed_out, made.stats.waiting) == (1, 0)


@everywhere
async def test_what_nobody_uses_is_released(at: Context) -> None:
    with peer() as provider:
        async with pool(at, provider, idle=0.1) as made:
            await made.call(echo)
            while not provider.ended:
                await later(at)
            assert provider.ended == ["released"]
            while made.stats.idle:
                await later(at)
            assert made.stats.released == 1
            await made.call(echo)
            assert made.stats.made == 2


async def later(at: Context) -> None:
    """Time passes."""
    if at.adapter.name == "trio":
        import trio

        await trio.sleep(0.01)
    elif at.adapter.name == "asyncio":
        import asyncio

        await asyncio.sleep(0.01)
    else:
        time.sleep(0.01)


# -- peers ---------------------------------------------------------------------------------------------------------


HANGING_UP: list[threading.Thread] = []
"""They have descriptors of their own, which are closed at the end of a test."""


def releases(session: blocking.Session) -> None:
    """Asks for release as an acceptor does that has waited for long enough; its answer comes when it is looked for."""
    session.association.send(flows.ReleaseRequest())
    session.driver.flush()
    HANGING_UP.append(threading.Thread(target=hang_up, args=(session.driver.sock.dup(),), daemon=True))
    HANGING_UP[-1].start()
    session.driver.close()


def hang_up(sock: socket.socket) -> None:
    with sock, suppress(OSError):
        sock.settimeout(PATIENCE)
        sock.recv(100)


def aborts(session: blocking.Session) -> None:
    session.association.send(Abort())
    session.driver.flush()
    session.driver.close()


def closes(session: blocking.Session) -> None:
    session.close()


def resets(session: blocking.Session) -> None:
    session.driver.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    session.close()


def asks(session: blocking.Session) -> None:
    """Sends a request, which nobody is there to answer."""
    from dicos_proto.dimse.types import CEchoRequest
    from tests.pair import command

    session.driver.sock.setblocking(True)
    session.driver.sock.sendall(command(1, CEchoRequest(message_id=9, affected_sop_class_uid="1.2.840.10008.1.1")))
    hang_up(session.driver.sock)


def talks_nonsense(session: blocking.Session) -> None:
    session.driver.sock.setblocking(True)
    session.driver.sock.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    session.close()


BEHAVIOURS = pytest.mark.parametrize(
    "behaviour", [releases, aborts, closes, resets, asks, talks_nonsense], ids=lambda one: one.__name__
)


@BEHAVIOURS
@over(*ADAPTERS)
async def test_an_idle_association_that_is_no_good_is_not_handed_out(
    at: Context, behaviour: Callable[[blocking.Session], None]
) -> None:
    with peer(behaviour) as provider:
        async with pool(at, provider, idle=None) as made:
            assert await made.call(echo) == 0
            if behaviour is not asks:
                provider.misbehaved()
            else:
                provider.wait(lambda: provider.misbehave is None)
                await later(at)
                await later(at)
            begun = time.monotonic()
            async with made.session() as session:
                assert await echo(session) == 0
            assert time.monotonic() - begun < PATIENCE / 2
            assert (made.stats.made, made.stats.discarded, made.stats.reused) == (2, 1, 0)


@BEHAVIOURS
@over(*ADAPTERS)
async def test_closing_a_pool_with_an_idle_association_that_is_no_good(
    at: Context, behaviour: Callable[[blocking.Session], None]
) -> None:
    with peer(behaviour) as provider:
        async with pool(at, provider, idle=None) as made:
            assert await made.call(echo) == 0
            if behaviour is not asks:
                provider.misbehaved()
        assert made.stats.idle == 0


@pytest.mark.timer  # LAST_WORDS for a pool that does not read
@everywhere
async def test_a_provider_that_starts_anew(at: Context) -> None:
    with peer() as first:
        async with pool(at, first, size=2, idle=None) as made:

            async def use() -> None:
                async with made.session() as session:
                    await echo(session)

            await at.both(use, use)
            before = made.stats.made
            first.server.close(0.1)
            with pytest.raises(ConnectionFailed, match="connection refused"):
                await made.call(echo)
            assert made.stats.in_use == 0
            with peer(where=first.where) as second:
                for _ in range(3):
                    assert await made.call(echo) == 0
                assert sum(second.served) == 3
                assert made.stats.made == before + 1


@everywhere
async def test_a_provider_that_refuses(at: Context) -> None:
    policy = AcceptPolicy(other_contexts=(EXPLICIT,), called_aets=frozenset({"OTHER"}))
    with peer(policy=policy) as provider:
        async with pool(at, provider, size=1) as made:
            for _ in range(3):
                with pytest.raises(flows.AssociationRejected):
                    await made.call(echo)
            assert (made.stats.failed, made.stats.in_use, made.stats.made) == (3, 0, 0)


@pytest.mark.timer  # the time limit of an answer
@everywhere
async def test_a_provider_that_does_not_answer(at: Context) -> None:
    with peer() as provider:
        quick, over = Timeouts(response=1.0, artim=0.2), threading.Event()
        async with pool(at, provider, size=1, timeouts=quick) as made:
            await made.call(echo)
            provider.misbehave = lambda session: over.wait(PATIENCE)  # once it has answered
            await made.call(echo)
            with pytest.raises(flows.AssociationAborted, match="response: waiting for the one to message 3"):
                await made.call(echo)
            over.set()
            assert await made.call(echo) == 0
            assert (made.stats.made, made.stats.lost) == (2, 1)


# -- what is left in the middle ------------------------------------------------------------------------------------


@everywhere
async def test_left_by_an_exception_it_is_aborted(at: Context) -> None:
    with peer() as provider:
        async with pool(at, provider, size=1) as made:

            async def use() -> None:
                async with made.session() as session:
                    await echo(session)
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await use()
            provider.wait(lambda: provider.ended == ["AssociationAborted"])
            assert await made.call(echo) == 0
            assert (made.stats.made, made.stats.lost) == (2, 1)


@everywhere
async def test_an_association_that_its_user_has_ended_is_not_kept(at: Context) -> None:
    with peer() as provider:
        async with pool(at, provider, size=1) as made:
            for end in ("release", "abort", "close"):
                async with made.session() as session:
                    await echo(session)
                    ended = getattr(session, end)()
                    if ended is not None:
                        await ended
            assert await made.call(echo) == 0
            assert (made.stats.made, made.stats.reused) == (4, 0)


@everywhere
async def test_an_operation_left_in_the_middle_is_not_handed_on(at: Context) -> None:
    """The answer to a request would come to the next user."""
    with peer() as provider:
        async with pool(at, provider, size=1) as made:
            async with made.session() as session:
                start = begin_echo(session)
                assert start == 1
            assert await made.call(echo) == 0
            assert (made.stats.made, made.stats.lost) == (2, 1)


def begin_echo(session: Any) -> int:
    from dicos_proto.dimse.events import MessageStart
    from dicos_proto.dimse.types import CEchoRequest

    request = CEchoRequest(
        message_id=session.association.operations.new_message_id(), affected_sop_class_uid="1.2.840.10008.1.1"
    )
    session.association.send(MessageStart(context=1, command=request, has_data=False))
    outstanding: int = session.association.operations.outstanding
    return outstanding


# -- once more -----------------------------------------------------------------------------------------------------


@everywhere
async def test_an_operation_of_which_nothing_was_sent_is_tried_once_more(at: Context) -> None:
    """The association was good when the pool checked it, and is not when it is used."""
    calls = 0
    go = threading.Event()

    def wait_and_reset(session: blocking.Session) -> None:
        assert go.wait(PATIENCE)
        resets(session)

    with peer(wait_and_reset) as provider:
        async with pool(at, provider, idle=None) as made:
            await made.call(echo)

            async def operation(session: Any) -> int:
                nonlocal calls
                calls += 1
                if calls == 1:
                    go.set()
                    provider.misbehaved()
                return await echo(session)

            assert await made.call(operation) == 0
            assert calls == 2
            assert (made.stats.made, made.stats.discarded, made.stats.lost) == (2, 1, 0)


@pytest.mark.parametrize("fresh", [False, True])
@over(*ADAPTERS)
async def test_an_operation_of_which_something_was_sent_is_not(at: Context, fresh: bool) -> None:
    calls = 0
    with peer() as provider:
        async with pool(at, provider, idle=None) as made:
            if not fresh:
                await made.call(echo)

            async def operation(session: Any) -> None:
                nonlocal calls
                calls += 1
                provider.misbehave = resets
                await echo(session)
                provider.misbehaved()
                await echo(session)

            with pytest.raises(flows.AssociationError):
                await made.call(operation)
            assert calls == 1
            assert made.stats.lost == 1


@everywhere
async def test_the_second_try_is_the_last(at: Context) -> None:
    calls = 0
    with peer() as provider:
        async with pool(at, provider, idle=None) as made:
            await made.call(echo)

            async def operation(session: Any) -> None:
                nonlocal calls
                calls += 1
                session.association.receive_eof()
                await echo(session)

            with pytest.raises(flows.AssociationError):
                await made.call(operation)
            assert calls == 2
            assert (made.stats.made, made.stats.in_use) == (2, 0)
            assert await made.call(echo) == 0


# -- the end -------------------------------------------------------------------------------------------------------


@everywhere
async def test_closed_it_takes_nobody_and_ends_what_is_given_back(at: Context) -> None:
    with peer() as provider:
        made = pool(at, provider, size=2)
        async with made as entered:
            await entered.call(echo)
            async with entered.session() as session:
                await entered.close()
                assert await echo(session) == 0
                with pytest.raises(PoolClosed):
                    await entered.call(echo)
            await entered.close()
            provider.wait(lambda: provider.ended == ["released"])
        with pytest.raises(PoolClosed):
            await entered.call(echo)


@everywhere
async def test_closing_refuses_who_waits(at: Context) -> None:
    with peer() as provider:
        async with pool(at, provider, size=1) as made:
            waiting = at.event()

            async def hold() -> None:
                async with made.session() as session:
                    await echo(session)
                    waiting.set()
                    while not made.stats.waiting:
                        await tick(at)
                    await made.close()

            async def wait() -> None:
                await waiting.wait()
                with pytest.raises(PoolClosed, match="the pool was closed"):
                    await made.call(echo)

            await at.both(hold, wait)


@in_loops
async def test_left_by_an_exception_a_pool_aborts_what_is_idle(at: Context) -> None:
    with peer() as provider:

        async def use() -> None:
            async with pool(at, provider) as made:
                await made.call(echo)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await use()
        provider.wait(lambda: provider.ended == ["AssociationAborted"])


@in_loops
async def test_before_it_is_entered_it_is_closed(at: Context) -> None:
    made: Any = pool(at, ("127.0.0.1", 1))
    with pytest.raises(PoolClosed, match="was not entered yet"):
        await made.call(echo)


# -- cancelled -----------------------------------------------------------------------------------------------------


@in_loops
async def test_who_is_cancelled_while_waiting_is_passed_over(at: Context) -> None:
    with peer() as provider:
        async with pool(at, provider, size=1) as made:
            scope = at.scope()

            async def cancelled() -> None:
                assert await scope.run(lambda: made.call(echo))

            async def main() -> None:
                async with made.session() as session:
                    await echo(session)
                    while made.stats.waiting < 2:
                        await at.pause()
                    scope.cancel()
                    while made.stats.waiting > 1:
                        await at.pause()

            async def second() -> None:
                while not made.stats.waiting:
                    await at.pause()
                assert await made.call(echo) == 0

            async def first() -> None:
                while not made.stats.in_use:
                    await at.pause()
                await cancelled()

            await at.both(main, first, second)
            assert (made.stats.made, made.stats.in_use, made.stats.idle) == (1, 0, 1)


@in_loops
async def test_who_is_cancelled_while_using_it_aborts_it(at: Context) -> None:
    with peer() as provider:
        async with pool(at, provider, size=1) as made:
            scope, inside = at.scope(), at.event()

            async def use() -> None:
                async with made.session() as session:
                    await echo(session)
                    inside.set()
                    await at.event().wait()

            async def cancel() -> None:
                await inside.wait()
                scope.cancel()

            cancelled, _ = await at.both(lambda: scope.run(use), cancel)
            assert cancelled
            provider.wait(lambda: provider.ended == ["AssociationAborted"])
            assert await made.call(echo) == 0
            assert (made.stats.made, made.stats.lost) == (2, 1)


@in_loops
async def test_who_is_cancelled_while_it_is_made_leaves_room(at: Context) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with pool(at, deaf.getsockname(), size=1) as made:
            scope = at.scope()

            async def cancel() -> None:
                while not made.stats.in_use:
                    await at.pause()
                scope.cancel()

            cancelled, _ = await at.both(lambda: scope.run(lambda: made.call(echo)), cancel)
            assert cancelled
            assert (made.stats.failed, made.stats.in_use) == (1, 0)


@in_loops
async def test_who_is_cancelled_at_any_step_leaves_nothing_behind(at: Context) -> None:
    """After any number of turns of the loop, of a user that takes an idle association."""
    with peer() as provider:
        async with pool(at, provider, size=1) as made:
            for turns in range(12):
                await made.call(echo)
                await cancelled_after(at, made, turns)
                assert made.stats.in_use == made.stats.waiting == 0
                assert made.stats.idle <= 1
            assert await made.call(echo) == 0
        assert provider.most <= 2  # one that was aborted may still be seen to end


async def cancelled_after(at: Context, made: Any, turns: int) -> None:
    scope, over_already = at.scope(), False

    async def use() -> None:
        nonlocal over_already
        await scope.run(lambda: made.call(echo))
        over_already = True

    async def cancel() -> None:
        for _ in range(turns):
            await at.pause()
        if not over_already:
            scope.cancel()

    await at.both(use, cancel)


def test_blocking_threads_wait_in_turn() -> None:
    with peer() as provider, blocking.Pool(provider.where, CONTEXTS, size=2) as made:
        faults: list[BaseException] = []

        def use() -> None:
            try:
                for _ in range(25):
                    with made.session() as session:
                        session.echo()
                        session.store(CT, "1.2.3", EXPLICIT, bytes(1000))
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(6 * PATIENCE)
        assert not faults
        assert provider.most <= 2
        assert made.stats.made <= 2
        assert sum(provider.served) == 8 * 25 * 2


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_a_pool_cannot_be_made_of(name: str) -> None:
    make = {"blocking": blocking.Pool, "trio": over_trio.Pool, "asyncio": over_asyncio.Pool}[name]
    one, other = socket.socketpair()
    with one, other:
        with pytest.raises(TypeError, match="a pool connects again and again, to an address; a socket is none"):
            make(one, CONTEXTS)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a pool of 0 associations"):
            make(("h", 1), CONTEXTS, size=0)
        with pytest.raises(ValueError, match="patience"):
            make(("h", 1), CONTEXTS, patience=-1)

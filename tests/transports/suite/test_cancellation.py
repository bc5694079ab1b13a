"""Cancelled, an operation aborts its association or leaves it as it was: never half a PDU, and then silence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.dimse.types import CEchoRequest, CFindRequest, CStoreRequest
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import Abort, ReleaseRequest, ReleaseResponse
from dicos_transports.sessions import running
from tests.pair import command, p_data
from tests.transports.suite.contexts import (
    BY_ID,
    CT,
    EXPLICIT,
    FIND,
    GET,
    LOOPS,
    MOVE,
    VERIFICATION,
    Context,
    Raw,
    in_loops,
    instances,
    whole_then_abort,
    within,
)

MIB = 1 << 20
RELEASE, RELEASED = encode(ReleaseRequest()), encode(ReleaseResponse())
ECHO = command(BY_ID[VERIFICATION], CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION))
STORE = command(
    BY_ID[CT], CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2"), has_data=True
)
QUERY = command(BY_ID[FIND], CFindRequest(message_id=1, affected_sop_class_uid=FIND), has_data=True)
PIECE, LAST = (p_data((BY_ID[CT], False, last, bytes(1000))) for last in (False, True))
ASKED_FOR = p_data((BY_ID[FIND], False, True, b""))


def identifier() -> Dataset:
    one = Dataset()
    one.PatientID = "1"
    return one


@pytest.fixture(autouse=True)
def _few_last_words(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the wait for a peer that does not read, to keep the tests quick. A peer that reads has the time that it
    needs, however busy the machine is."""
    reading = (
        test_a_peer_that_reads_gets_whole_pdus_and_an_abort,
        test_answering_is_cancelled,
        test_sending_what_was_asked_for_is_cancelled,
    )
    monkeypatch.setattr(running, "LAST_WORDS", 60.0 if request.function in reading else 0.05)


async def _all_of(iteration: Any) -> None:
    async for _ in iteration:
        pass


def _large() -> Iterator[bytes]:
    while True:
        yield bytes(MIB)


def _large_instances() -> Iterator[Instance]:
    number = 0
    while True:
        number += 1
        yield Instance(sop_class_uid=CT, sop_instance_uid=f"1.{number}", transfer_syntax=EXPLICIT, data=[bytes(MIB)])


USES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "store": lambda session: session.store(CT, "1.2", EXPLICIT, _large()),
    "store_many": lambda session: _all_of(session.store_many(_large_instances())),
    "echo": lambda session: session.echo(),
    "find": lambda session: _all_of(session.find(FIND, identifier())),
    "move": lambda session: _all_of(session.move(MOVE, "THIRD", identifier())),
    "get": lambda session: _all_of(session.get(GET, identifier())),
    "release": lambda session: session.release(),
    "a store in the end": lambda session: session.store(CT, "1.2", EXPLICIT, bytes(1000)),
}
LONG = ("store", "store_many")


def needed(use: str) -> int:
    """Bytes after which it is cancelled: in the middle of something."""
    return 3 * MIB + 7 if use in LONG else 1


@pytest.mark.parametrize("use", USES)
@in_loops
async def test_a_peer_that_reads_gets_whole_pdus_and_an_abort(at: Context, use: str) -> None:
    session, raw = await at.user()
    scope = at.scope()

    async def peer() -> None:
        first = await raw.read(needed(use))
        if use not in LONG:
            await at.pause()
        scope.cancel()
        rest = await until_abort(raw, first)
        assert whole_then_abort(rest) == Abort(source=0, reason=0)
        await raw.leave()

    async def act() -> None:
        assert await scope.run(lambda: USES[use](session))  # type: ignore[arg-type, return-value]
        assert session.driver.closed
        await session.abort()  # once more does no harm

    await at.both(act, peer)


async def until_abort(raw: Raw, stream: bytes) -> bytes:
    """Returns these bytes and all that follow, up to the A-ABORT: the peer then closes, as it should."""
    whole = bytearray(stream)
    at = 0
    while True:
        whole += await raw.read(max(0, at + 6 - len(whole)))
        assert len(whole) >= at + 6, f"the end of the stream after {len(whole) - at} bytes of a header, and no A-ABORT"
        end = at + 6 + int.from_bytes(whole[at + 2 : at + 6], "big")
        more = await raw.read(max(0, end - len(whole)))
        whole += more
        assert len(whole) >= end, f"{end - len(whole)} bytes of a PDU are missing"
        if whole[at] == 7:
            return bytes(whole)
        at = end


@pytest.mark.parametrize("use", USES)
@in_loops
async def test_a_peer_that_does_not_read_is_left_soon(at: Context, use: str) -> None:
    session, raw = await at.user()
    scope = at.scope()

    async def cancel() -> None:
        if use in LONG:
            await raw.read(needed(use))
        await at.pause()
        scope.cancel()

    async def act() -> None:
        assert await scope.run(lambda: USES[use](session))  # type: ignore[arg-type, return-value]
        assert session.driver.closed

    await at.both(act, cancel)
    rest = await raw.rest()  # the stream ends, with a complete A-ABORT if there was room for it
    if use not in LONG:
        assert rest.endswith(encode(Abort()))
    raw.vanish()


@in_loops
async def test_connecting_is_cancelled(at: Context) -> None:
    ours, theirs = at.ends()
    raw = at.raw(theirs, server=True)
    scope = at.scope()

    async def peer() -> None:
        assert (await raw.pdu())[0] == 1
        scope.cancel()
        assert decode(await raw.pdu()) == Abort()
        await raw.leave()

    async def act() -> None:
        assert await scope.run(lambda: at.connect(ours))

    await at.both(act, peer)


@within(adapters=LOOPS, security=("tls",))
async def test_a_handshake_is_cancelled(at: Context) -> None:
    """The peer never answers the first flight: nothing can be said to it, so the connection is closed."""
    ours, theirs = at.ends()
    scope = at.scope()

    async def act() -> None:
        assert await scope.run(lambda: at.connect(ours))

    async def cancel() -> None:
        await at.pause()
        scope.cancel()

    await at.both(act, cancel)
    at.adapter.reset(theirs)


@in_loops
async def test_accepting_is_cancelled(at: Context) -> None:
    ours, theirs = at.ends()
    raw = at.raw(ours, server=False)
    scope = at.scope()

    async def peer() -> None:
        await raw.send(b"\x01")
        await at.pause()
        scope.cancel()
        assert await raw.rest() == b""  # no request was read, so nothing is sent
        raw.vanish()

    async def act() -> None:
        assert await scope.run(lambda: at.accept(theirs))

    await at.both(act, peer)


@in_loops
async def test_waiting_for_a_request_is_cancelled_and_the_session_is_as_good_as_before(at: Context) -> None:
    session, raw = await at.provider()
    waits, goes_on = at.event(), at.event()
    scope = at.scope()

    async def act() -> None:
        async def wait() -> None:
            waits.set()
            await _all_of(session)

        assert await scope.run(wait)
        goes_on.set()
        async with session:
            async for request in session:
                await request.respond()

    async def peer() -> None:
        await waits.wait()
        await raw.send(ECHO[:10])
        await at.pause()
        scope.cancel()
        await goes_on.wait()
        await raw.send(ECHO[10:])
        assert (await raw.pdu())[0] == 4
        await raw.send(RELEASE)
        assert await raw.pdu() == RELEASED
        await raw.leave()

    await at.both(act, peer)
    assert session.requests == {"C-ECHO-RQ": 1}


@in_loops
async def test_waiting_for_a_piece_is_cancelled_and_none_is_lost(at: Context) -> None:
    session, raw = await at.provider()
    scope = at.scope()
    cut = at.event()

    async def act() -> None:
        async with session:
            async for request in session:
                found = bytearray()

                async def gather() -> None:
                    async for piece in request.data():  # noqa: B023  used at once
                        found.extend(piece)  # noqa: B023

                assert await scope.run(gather)
                assert len(found) == 1000
                cut.set()
                await gather()
                assert len(found) == 2000
                await request.respond()

    async def peer() -> None:
        await raw.send(STORE + PIECE)
        await at.pause()
        scope.cancel()
        await cut.wait()
        await raw.send(LAST)
        assert (await raw.pdu())[0] == 4
        await raw.send(RELEASE)
        assert await raw.pdu() == RELEASED
        await raw.leave()

    await at.both(act, peer)


@pytest.mark.parametrize("how", ["read", "respond", "attributes", "next"])
@in_loops
async def test_within_an_operation_of_the_peer_it_is_aborted(at: Context, how: str) -> None:
    """The pieces already read are lost with the coroutine: nobody should take the rest for the complete data set."""
    session, raw = await at.provider()
    scope = at.scope()

    async def act() -> None:
        requests = aiter(session)
        async for request in requests:
            assert await scope.run(requests.__anext__ if how == "next" else getattr(request, how))
            assert session.driver.closed
            with pytest.raises(flows.AssociationError):
                await request.read()
            return

    async def peer() -> None:
        await raw.send(STORE + PIECE)
        await at.pause()
        scope.cancel()
        assert decode(await raw.pdu()) == Abort()
        await raw.leave()

    await at.both(act, peer)


@in_loops
async def test_answering_is_cancelled(at: Context) -> None:
    """Matches for a peer that does not read them."""
    session, raw = await at.provider()
    scope = at.scope()
    wide = Dataset()
    wide.PatientComments = "x" * 9000

    async def answer() -> None:
        async for request in session:
            await request.attributes()
            while await request.match(wide):
                pass

    async def act() -> None:
        assert await scope.run(answer)
        assert session.driver.closed

    async def peer() -> None:
        await raw.send(QUERY + ASKED_FOR)
        first = await raw.read(3 * MIB + 7)
        scope.cancel()
        whole_then_abort(await until_abort(raw, first))
        await raw.leave()

    await at.both(act, peer)


@in_loops
async def test_sending_what_was_asked_for_is_cancelled(at: Context) -> None:
    user, provider = await at.sessions()
    scope = at.scope()

    async def receive() -> None:
        count = 0
        async for received in user.get(GET, identifier()):
            await received.read()
            await received.respond()
            count += 1
            if count == 3:
                scope.cancel()

    async def use() -> None:
        with pytest.raises(flows.AssociationAborted, match="the peer says"):
            async with user:  # left, it closes the connection, which the other end waits for
                await receive()

    async def provide() -> None:
        async with provider:
            async for request in provider:
                await request.attributes()
                assert await scope.run(lambda: request.send(instances(100, MIB), 100))  # noqa: B023
                return

    await at.both(use, provide)


@in_loops
async def test_what_leaves_the_session_cancelled_aborts_it(at: Context) -> None:
    session, raw = await at.provider()
    scope = at.scope()

    async def act() -> None:
        async def serve() -> None:
            async with session:
                await _all_of(session)

        assert await scope.run(serve)
        assert session.driver.closed

    async def peer() -> None:
        await at.pause()
        scope.cancel()
        assert decode(await raw.pdu()) == Abort()
        await raw.leave()

    await at.both(act, peer)


@in_loops
async def test_a_server_that_is_cancelled_aborts_its_associations(at: Context) -> None:
    ours, theirs = at.ends()
    raw = at.raw(ours, server=False)
    scope = at.scope()

    async def act() -> None:
        async def serve() -> None:
            async with at.serve(theirs, _all_of) as server:
                await server.wait()

        assert await scope.run(serve)

    async def peer() -> None:
        await raw.ask()
        await raw.send(ECHO[:10])
        await at.pause()
        scope.cancel()
        assert decode(await raw.pdu()) == Abort()
        await raw.leave()

    await at.both(act, peer)

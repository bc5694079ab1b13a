"""Peers that vanish, stall, dribble and stop reading: what each adapter makes of them, and how long it waits."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trio

from dicos_proto.conversation import flows
from dicos_proto.dimse.types import CEchoRequest, CEchoResponse, CStoreRequest
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import Abort, ReleaseRequest, ReleaseResponse
from dicos_transports.sessions.base import ConnectionFailed
from tests.pair import command, p_data
from tests.transports.suite.contexts import (
    ASKED,
    BY_ID,
    CLIENT,
    CT,
    EXPLICIT,
    POLICY,
    SERVER,
    VERIFICATION,
    Context,
    Raw,
    everywhere,
    instances,
    whole_then_abort,
    within,
)

ECHO = command(BY_ID[VERIFICATION], CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION))
ECHOED = command(
    BY_ID[VERIFICATION], CEchoResponse(message_id_being_responded_to=1, affected_sop_class_uid=VERIFICATION, status=0)
)
STORE = command(
    BY_ID[CT],
    CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2"),
    has_data=True,
)
RELEASE, RELEASED, ABORTED = encode(ReleaseRequest()), encode(ReleaseResponse()), encode(Abort())
MIB = 1 << 20
SHORT = 0.1
HASTY_CLIENT, HASTY_SERVER = replace(CLIENT, handshake_timeout=SHORT), replace(SERVER, handshake_timeout=SHORT)


async def ended(work: Awaitable[Any], told: str) -> None:
    """It ends by the loss of the association, for this reason."""
    with pytest.raises(flows.AssociationAborted, match=re.escape(told)):
        await work


async def drain(session: Any) -> None:
    """Read all that the peer asks."""
    async for request in session:
        async for _ in request.data():
            pass


# -- the connection ends ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """A state, how one gets there, and the error that is raised if the connection ends there.

    `says`: what the peer sends, in order, each once the session has said `hears` (bytes of it). `told` None: no
    error, it was over.
    """

    name: str
    session: Callable[[Any], Awaitable[Any]]
    says: tuple[bytes, ...]
    told: str | None
    provider: bool = False


async def _echo(session: Any) -> None:
    await session.echo()


async def _release(session: Any) -> None:
    await session.release()


async def _abort(session: Any) -> None:
    await session.abort()


async def _store(session: Any) -> None:
    await session.store(CT, "1.2", EXPLICIT, bytes(1000))


CUT = "connection closed by the peer in "
ENDS = (
    End("Sta6, user", _echo, (), CUT + "Sta6"),
    End("Sta6, within a header", _echo, (ECHOED[:3],), CUT + "Sta6, 3 bytes into a PDU header"),
    End("Sta6, within a PDU", _echo, (ECHOED[:-1],), CUT + "Sta6, in a P-DATA-TF, 1 bytes before its end"),
    End("Sta6, the answer to a store is cut", _store, (ECHOED[:20],), CUT + "Sta6"),
    End("Sta6, provider", drain, (), CUT + "Sta6", provider=True),
    End(
        "Sta6, provider within a PDU", drain, (STORE[:-5],),
        CUT + "Sta6, in a P-DATA-TF, 5 bytes before its end", provider=True,
    ),
    End("Sta6, provider between PDUs of a message", drain, (STORE,), CUT + "Sta6", provider=True),
    End(
        "Sta6, provider within a data set", drain, (STORE, p_data((BY_ID[CT], False, False, bytes(100)))[:-1]),
        CUT + "Sta6, in a P-DATA-TF, 1 bytes before its end", provider=True,
    ),
    End("Sta7, user", _release, (), CUT + "Sta7"),
    End("Sta7, provider", _release, (), CUT + "Sta7", provider=True),
    End("Sta7, within the answer", _release, (RELEASED[:5],), CUT + "Sta7, 5 bytes into a PDU header"),
    End("Sta11, user: release collision", _release, (RELEASE,), CUT + "Sta11"),
    End("Sta10, provider: release collision", _release, (RELEASE,), CUT + "Sta10", provider=True),
    End("Sta13, user after a release collision", _release, (RELEASE, RELEASED), None),
    End("Sta13, provider after a release collision", _release, (RELEASE, RELEASED), None, provider=True),
    End("Sta13, provider after a release", drain, (RELEASE,), None, provider=True),
    End("Sta13, user after an abort", _abort, (), None),
    End("Sta13, provider after an abort", _abort, (), None, provider=True),
    End("Sta1, after the peer's abort", _echo, (ABORTED,), "the peer says"),
)  # fmt: skip


async def _ends(at: Context, end: End, leave: Callable[[Raw], Awaitable[None]], told: str | None) -> None:
    session, raw = await (at.provider() if end.provider else at.user())

    async def act() -> None:
        if told is None:
            await end.session(session)
        else:
            await ended(end.session(session), told)
        await session.abort()  # the session can be left after any error
        assert session.driver.closed

    async def peer() -> None:
        if end.session is not drain:
            await raw.pdu()  # what the session does has begun
        for said in end.says:
            await raw.send(said)
        await leave(raw)

    await at.both(act, peer)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
@everywhere
async def test_the_peer_closes_in(at: Context, end: End) -> None:
    async def leave(raw: Raw) -> None:
        await raw.leave()

    await _ends(at, end, leave, end.told)


@pytest.mark.parametrize("end", [end for end in ENDS if not end.says], ids=lambda end: end.name)
@everywhere
async def test_the_connection_is_reset_in(at: Context, end: End) -> None:
    async def leave(raw: Raw) -> None:
        raw.reset()

    told = end.told
    await _ends(at, end, leave, "TLS: truncated" if told is not None and at.over_tls else told)


@everywhere
async def test_a_peer_closes_instead_of_asking(at: Context) -> None:
    ours, theirs = at.ends()
    raw = at.raw(ours, server=False)

    async def peer() -> None:
        await raw.send(b"")
        await raw.leave()

    with pytest.raises(flows.AssociationAborted, match="the association is closed"):
        await at.both(lambda: at.accept(theirs), peer)


@everywhere
async def test_a_peer_closes_within_its_request(at: Context) -> None:
    ours, theirs = at.ends()
    raw = at.raw(ours, server=False)

    async def peer() -> None:
        await raw.send(encode(ASKED)[:70])
        await raw.leave()

    with pytest.raises(flows.AssociationAborted, match="connection closed by the peer in Sta2, in an A-ASSOCIATE-RQ"):
        await at.both(lambda: at.accept(theirs), peer)


@everywhere
async def test_a_peer_closes_instead_of_answering(at: Context) -> None:
    ours, theirs = at.ends()
    raw = at.raw(theirs, server=True)

    async def peer() -> None:
        assert (await raw.pdu())[0] == 1
        await raw.leave()

    with pytest.raises(flows.AssociationAborted, match="connection closed by the peer in Sta5"):
        await at.both(lambda: at.connect(ours), peer)


@everywhere
async def test_a_peer_vanishes_while_it_is_sent_to(at: Context) -> None:
    session, raw = await at.user()

    async def peer() -> None:
        await raw.read(100_000)
        raw.vanish()

    async def act() -> None:
        with pytest.raises(flows.AssociationAborted, match=r"connection closed by the peer in Sta6|TLS: truncated"):
            await session.store(CT, "1.2", EXPLICIT, [bytes(MIB)] * 50)
        assert not session.established
        async with session:
            pass

    await at.both(act, peer)


@everywhere
async def test_what_a_peer_says_last_is_heard_though_it_takes_nothing_more(at: Context) -> None:
    session, raw = await at.user()

    async def peer() -> None:
        await raw.read(100_000)
        await raw.send(ABORTED)
        await raw.leave()

    async def act() -> None:
        told = "the peer says: association aborted by the service user"
        await ended(session.store(CT, "1.2", EXPLICIT, [bytes(MIB)] * 50), told)
        await session.abort()

    await at.both(act, peer)


# -- the peer is slow ------------------------------------------------------------------------------------------------


@everywhere
async def test_a_peer_that_dribbles_is_understood(at: Context) -> None:
    session, raw = await at.provider()

    async def peer() -> None:
        for value in ECHO:
            await raw.send(bytes((value,)))
        assert (await raw.pdu())[0] == 4
        for value in RELEASE:
            await raw.send(bytes((value,)))
        assert await raw.pdu() == RELEASED
        await raw.leave()

    async def act() -> None:
        async with session:
            names = []
            async for request in session:
                names.append(request.name)
                await request.respond()
            assert names == ["C-ECHO-RQ"]

    await at.both(act, peer)


@everywhere
async def test_a_peer_that_stops_reading(at: Context) -> None:
    session, raw = await at.user(timeouts=Timeouts(write_stall=SHORT))
    told = re.compile(r"write stall: the peer accepted none of the \d+ queued bytes within 0\.1 s")
    with pytest.raises(flows.AssociationAborted, match=told):
        await session.store(CT, "1.2", EXPLICIT, [bytes(MIB)] * 50)
    assert not session.established
    async with session:
        pass
    assert session.driver.closed
    raw.vanish()


@everywhere
async def test_a_peer_that_reads_and_then_stops(at: Context) -> None:
    session, raw = await at.user(timeouts=Timeouts(write_stall=SHORT))
    gone = at.event()

    async def act() -> None:
        async with session:
            with pytest.raises(flows.AssociationAborted, match="write stall"):
                async for _ in session.store_many(instances(100, MIB)):
                    pass
        gone.set()

    async def peer() -> None:
        await raw.read(3 * MIB)
        await gone.wait()
        raw.vanish()

    await at.both(act, peer)


# -- deadlines -------------------------------------------------------------------------------------------------------


@everywhere
async def test_artim(at: Context) -> None:
    ours, theirs = at.ends()
    raw = at.raw(ours, server=False)

    async def peer() -> None:
        await raw.send(encode(ASKED)[:-1])
        await raw.rest()
        await raw.leave()

    timeouts = Timeouts(artim=SHORT)
    told = "ARTIM: waiting for the whole A-ASSOCIATE-RQ: nothing within 0.1 s"
    await at.both(lambda: ended(at.accept(theirs, timeouts=timeouts), told), peer)


@everywhere
async def test_the_answer_to_a_request_for_an_association(at: Context) -> None:
    ours, theirs = at.ends()
    raw = at.raw(theirs, server=True)

    async def peer() -> None:
        assert (await raw.pdu())[0] == 1
        assert isinstance(decode(await raw.pdu()), Abort)
        await raw.leave()

    told = "association: waiting for the answer: nothing within 0.1 s"
    await at.both(lambda: ended(at.connect(ours, timeouts=Timeouts(association=SHORT)), told), peer)


@within(security=("tls",))
async def test_a_handshake(at: Context) -> None:
    """The peer takes the first flight and says nothing."""
    for server in (False, True):
        ends = at.ends()
        mine, its = ends if not server else ends[::-1]
        work = at.adapter.accept(mine, POLICY, tls=HASTY_SERVER) if server else at.adapter.connect(
            mine, ASKED.contexts, tls=HASTY_CLIENT
        )  # fmt: skip
        await ended(work, "TLS handshake: not done within 0.1 s, in which the peer sent 0 bytes")
        at.raw(its, server=not server).vanish()


async def _user_waits(at: Context, timeouts: Timeouts, said: bytes, told: str, act: Callable[[Any], Any]) -> None:
    session, raw = await at.user(timeouts=timeouts)

    async def peer() -> None:
        await raw.pdu()
        await raw.send(said)
        assert isinstance(decode(await raw.pdu()), Abort)
        await raw.leave()

    async def wait() -> None:
        await ended(act(session), told)
        await session.abort()

    await at.both(wait, peer)


@everywhere
async def test_a_response(at: Context) -> None:
    told = "response: waiting for the one to message 1: nothing within 0.1 s"
    await _user_waits(at, Timeouts(response=SHORT), b"", told, _echo)


@everywhere
async def test_the_answer_to_a_release(at: Context) -> None:
    told = "release: waiting for the A-RELEASE-RP: nothing within 0.1 s"
    await _user_waits(at, Timeouts(release=SHORT), b"", told, _release)


@everywhere
async def test_the_rest_of_a_pdu(at: Context) -> None:
    told = "PDU: waiting for the rest of one: nothing within 0.1 s"
    await _user_waits(at, Timeouts(pdu=SHORT), ECHOED[:-1], told, _echo)


@everywhere
async def test_the_rest_of_a_message(at: Context) -> None:
    session, raw = await at.provider(timeouts=Timeouts(message=SHORT))

    async def peer() -> None:
        await raw.send(STORE)
        assert isinstance(decode(await raw.pdu()), Abort)
        await raw.leave()

    async def wait() -> None:
        await ended(drain(session), "message: waiting for the rest of one: nothing within 0.1 s")
        await session.abort()

    await at.both(wait, peer)


@everywhere
async def test_an_idle_user_is_released(at: Context) -> None:
    session, raw = await at.provider(timeouts=Timeouts(idle=SHORT))

    async def peer() -> None:
        assert await raw.pdu() == RELEASE
        await raw.send(RELEASED)
        assert await raw.rest() == b""
        await raw.leave()

    async def wait() -> None:
        async with session:
            with pytest.raises(flows.AssociationIdle, match=r"idle: waiting for a request: nothing within 0.1 s"):
                await drain(session)

    await at.both(wait, peer)


@everywhere
async def test_a_peer_that_does_not_close_after_an_abort(at: Context) -> None:
    session, raw = await at.user(timeouts=Timeouts(artim=SHORT))
    await session.abort()
    assert session.driver.closed
    assert whole_then_abort(await raw.rest())
    raw.vanish()


@within(security=("plain",), media=("unix",))
async def test_a_connection(at: Context) -> None:
    """To a listener whose backlog is full."""
    listener, where = at.listen()
    with listener:
        listener.listen(0)
        waiting = []
        try:
            while True:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                waiting.append(sock)
                sock.setblocking(False)
                sock.connect(where)
        except BlockingIOError:
            pass
        with pytest.raises(ConnectionFailed, match=re.escape(f"no connection to {where}: timed out")):
            await at.connect(where, timeouts=Timeouts(connect=SHORT))
        for sock in waiting:
            sock.close()


@within(security=("plain",), media=("tcp",))
async def test_nobody_listens(at: Context) -> None:
    listener, where = at.listen()
    listener.close()
    with pytest.raises(ConnectionFailed, match="connection refused"):
        await at.connect(where)


@within(security=("plain",), media=("tcp",))
async def test_a_connection_over_tcp(at: Context) -> None:
    """To a listener whose backlog is full: what asks for more is not answered."""
    listener, where = at.listen()
    with listener:
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(where)
        with pytest.raises(ConnectionFailed, match=r"no connection to 127\.0\.0\.1:\d+: timed out"):
            await at.connect(where, timeouts=Timeouts(connect=SHORT))
        for sock in waiting:
            sock.close()


@within(adapters=("trio", "asyncio"), security=("plain",), media=("tcp",))
async def test_a_name_that_nobody_resolves(at: Context) -> None:
    async def never(*where: object, **options: object) -> list[Any]:
        await at.event().wait()
        return []

    if at.adapter.name == "trio":

        class Resolver(trio.abc.HostnameResolver):
            getaddrinfo = staticmethod(never)  # type: ignore[assignment]
            getnameinfo = staticmethod(never)  # type: ignore[assignment]

        trio.socket.set_custom_hostname_resolver(Resolver())
    else:
        asyncio.get_running_loop().getaddrinfo = never  # type: ignore[method-assign]
    with pytest.raises(ConnectionFailed, match=r"no connection to pacs\.example:104: timed out"):
        await at.connect(("pacs.example", 104), timeouts=Timeouts(connect=SHORT))

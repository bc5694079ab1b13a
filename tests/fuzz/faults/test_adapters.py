"""The same faults under every adapter, over TCP, a Unix socket and in memory, outside TLS and inside it."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable
from typing import Any

import pytest

from dicos_fuzz.faults import Faults, parse_plan
from dicos_proto.conversation import flows
from dicos_proto.timers import Timeouts
from tests.transports.connections import PATIENCE
from tests.transports.suite.contexts import ADAPTERS, CT, EXPLICIT, MAKE, Context, everywhere, within

SIZE = 20_000


def plans(at: Context, text: str, *, plain: bool) -> tuple[dict[str, Any], Faults]:
    """The options of a session with these faults, outside TLS or inside it."""
    faults = Faults(parse_plan(text))
    return {"wrap_plain" if plain else "wrap": faults}, faults


async def converse(at: Context, *, user: dict[str, Any] | None = None, provider: dict[str, Any] | None = None) -> None:
    """An association, a C-ECHO, a C-STORE, the release; each side does its part at once.

    Bytes that a wire keeps back are sent only while its side waits for something.
    """
    ours, theirs = at.ends()

    async def act() -> None:
        async with await at.connect(ours, **(user or {})) as session:
            assert (await session.echo()).status == 0
            assert (await session.store(CT, "1.2", EXPLICIT, bytes(SIZE))).status == 0

    async def peer() -> None:
        async with await at.accept(theirs, **(provider or {})) as session:
            async for request in session:
                if request.name == "C-STORE-RQ":
                    assert sum([len(piece) async for piece in request.data()]) == SIZE
                await request.respond()

    await at.both(act, peer)


async def answer(session: Any) -> None:
    """Answers each request with success."""
    async for request in session:
        await request.respond()


async def ended(work: Awaitable[Any], told: str = ".") -> None:
    """The association ends meanwhile."""
    with pytest.raises(flows.AssociationAborted, match=told):
        await work


async def both_end(at: Context, user: Any, provider: Any, *, user_told: str = ".", provider_told: str = ".") -> None:
    """The user sends a C-ECHO and a C-STORE; the association ends for both."""

    async def ask() -> None:
        await user.echo()
        await user.store(CT, "1.2", EXPLICIT, bytes(SIZE))

    async def act() -> None:
        await ended(ask(), user_told)
        user.close()

    async def peer() -> None:
        await ended(answer(provider), provider_told)
        provider.close()

    await at.both(act, peer)


async def _through(at: Context, text: str, *, plain: bool) -> None:
    for side in ("user", "provider"):
        options, faults = plans(at, text, plain=plain)
        await converse(at, **{side: options})
        (wire,) = faults.wires
        assert wire.log.counts.keys() == {1, 2}, side


@everywhere
async def test_pieces_change_nothing(at: Context) -> None:
    await _through(at, "in about 60: split\nout about 60: split", plain=False)
    await _through(at, "in about 60: split\nout about 60: split", plain=True)


@within(media=("tcp",))
async def test_single_bytes_change_nothing(at: Context) -> None:
    """The first bytes of each direction come one by one."""
    text = "\n".join(f"{direction} at {at}: split" for direction in ("in", "out") for at in range(1, 30))
    options, faults = plans(at, text, plain=True)
    await converse(at, user=options)
    assert len(faults.wires[0].log.counts) == 58


@within(media=("tcp",))
async def test_waits_change_nothing(at: Context) -> None:
    await _through(at, "in at 0: delay 0.002 0.003\nout at 300: stall 0.01", plain=False)
    await _through(at, "in at 100: stall 0.01\nout at 0: merge 2000 0.003", plain=True)


@within(media=("tcp",))
async def test_a_dribble_changes_nothing(at: Context) -> None:
    await _through(at, "in at 50: dribble 2000000\nout at 300: dribble 2000000", plain=True)


@within(media=("tcp",))
async def test_a_changed_byte_is_a_fault_of_the_peer(at: Context) -> None:
    """Inside TLS the association finds it, outside TLS the record does."""
    options = plans(at, "out pdu P-DATA-TF 1 +14: set ff", plain=True)[0]
    await both_end(at, *await at.sessions(user=options), provider_told=r"PS3\.[78] ")
    if at.over_tls:
        user, provider = await at.sessions(user=plans(at, "out at 9000: flip 3", plain=False)[0])
        await both_end(at, user, provider, provider_told="TLS: ")


@everywhere
async def test_a_stall_of_what_is_sent_is_a_stalled_write(at: Context) -> None:
    options = plans(at, "out pdu P-DATA-TF 2 +100: stall", plain=True)[0]
    user, provider = await at.sessions(user={**options, "timeouts": Timeouts(write_stall=0.1)})
    told = "write stall: the peer accepted none of the bytes that the network keeps back within 0.1 s"
    with pytest.raises(flows.AssociationAborted, match=re.escape(told)):
        await user.store(CT, "1.2", EXPLICIT, [bytes(1 << 20)] * 4)
    user.close()
    provider.close()


@within(media=("tcp",))
async def test_a_stall_of_what_is_received_is_the_deadline_of_the_response(at: Context) -> None:
    options = plans(at, "in pdu P-DATA-TF 1 +3: stall", plain=True)[0]
    user, provider = await at.sessions(user={**options, "timeouts": Timeouts(response=0.1)})

    await both_end(at, user, provider, user_told="response: waiting for the one to message 1")


@within(media=("tcp",))
async def test_a_clock_that_jumps(at: Context) -> None:
    """The user's clock is an hour ahead just before the response comes, so its deadline has passed."""
    options = plans(at, "in pdu P-DATA-TF 1: clock +3600\nin pdu P-DATA-TF 1: stall 0.05", plain=True)[0]
    user, provider = await at.sessions(user=options)

    await both_end(at, user, provider, user_told="response: waiting for the one to message 1")


@everywhere
async def test_a_half_close_of_what_is_sent(at: Context) -> None:
    """The peer receives the end of file, and answers; what it says is received."""
    user, provider = await at.sessions(user=plans(at, "out pdu P-DATA-TF 1 +20: half-close", plain=True)[0])

    await both_end(at, user, provider, provider_told="connection closed by the peer in Sta6, in a P-DATA-TF")


@within(media=("tcp",))
async def test_a_reset_is_seen_as_a_reset(at: Context) -> None:
    for plain in (False, True):
        ours, theirs = at.ends()
        twin = theirs.dup()
        options = plans(at, "out at 9000: reset", plain=plain)[0]
        user, provider = await at.sessions((ours, theirs), user=options)
        told = r"connection reset, by a fault plan|TLS: truncated"
        await ended(user.store(CT, "1.2", EXPLICIT, bytes(SIZE)), told)
        user.close()
        twin.settimeout(PATIENCE)
        with twin, pytest.raises(ConnectionResetError):
            _read_all(twin)
        provider.close()


def _read_all(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


@within(media=("tcp",), security=("plain",))
async def test_a_server_has_faults_of_its_own_for_each_association(at: Context) -> None:
    faults = Faults(parse_plan("seed 1\nin about 150: split\nin pdu P-DATA-TF 2: reset"))

    async with at.serve(("127.0.0.1", 0), answer, wrap=faults) as server:
        for _ in range(3):
            session = await at.connect(("127.0.0.1", server.port))
            assert (await session.echo()).status == 0
            await ended(session.echo())
            await session.abort()
    assert faults.connections == 3
    assert [wire.plan.seed for wire in faults.wires] == [1, 2, 3]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_nothing_is_left_by_faults_that_end_connections(adapter: str, tmp_path: Any) -> None:
    """`Context.run` looks for descriptors, tasks and warnings."""

    timeouts = Timeouts(association=0.2, artim=0.2, write_stall=0.2)

    async def one(text: str) -> None:
        ours, theirs = at.ends()

        async def peer() -> None:
            async with await at.accept(theirs, timeouts=timeouts) as session:
                await answer(session)

        await at.both(
            lambda: ended(at.connect(ours, timeouts=timeouts, wrap=Faults(parse_plan(text)))), lambda: ended(peer())
        )

    async def main() -> None:
        for text in ("out at 50: reset", "in at 50: half-close", "out at 50: half-close", "out at 50: error EPIPE",
                     "in pdu A-ASSOCIATE-AC: reset", "out at 50: stall\nin after 0.02: reset"):  # fmt: skip
            await one(text)

    at = Context(MAKE[adapter](), "plain", "tcp", tmp_path)
    at.run(main)

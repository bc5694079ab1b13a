"""Wires that the options `wrap` and `wrap_plain` put around an association: where they are, and what they may do.

`NetworkWire`: bytes kept back are not sent, so a flow waits for them; a wire may end the sending side, or reset.
"""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.errors import ConnectionLost
from dicos_proto.timers import Deadline, Timeouts
from dicos_proto.wire import Buffer, Ending, Wire, is_network
from tests.transports.connections import PATIENCE
from tests.transports.suite.contexts import CT, EXPLICIT, Context, everywhere, within

SHORT = 0.1
"""Seconds of a deadline that a test waits for."""


class Around:
    """A wire around another one that records the bytes and changes nothing."""

    def __init__(self, inner: Wire) -> None:
        self.inner = inner
        self.sent = bytearray()
        self.received = bytearray()

    @property
    def wants_read(self) -> bool:
        return self.inner.wants_read

    @property
    def wants_close(self) -> bool:
        return self.inner.wants_close

    def receive_data(self, data: Buffer) -> None:
        self.received += data
        self.inner.receive_data(data)

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        self.inner.receive_eof(why)

    def data_to_send(self) -> list[bytes | memoryview]:
        found = self.inner.data_to_send()
        self.sent += b"".join(found)
        return found

    def deadline(self, now: float) -> Deadline | None:
        return self.inner.deadline(now)

    def handle_timeout(self, now: float) -> None:
        self.inner.handle_timeout(now)


class Network(Around):
    """Keeps back all that is sent once `closed` is set, and ends as it is asked to."""

    def __init__(self, inner: Wire) -> None:
        super().__init__(inner)
        self.closed = False
        self.ending = Ending.OPEN
        self.opens_in: float | None = None
        self._opens_at: float | None = None
        self.kept: list[bytes | memoryview] = []

    @property
    def holds(self) -> bool:
        return self.closed and bool(self.kept)

    def data_to_send(self) -> list[bytes | memoryview]:
        if self.ending is not Ending.OPEN:
            while super().data_to_send():
                pass
            return []
        if self.closed:
            if not self.kept:
                self.kept = super().data_to_send()
            return []
        kept, self.kept = self.kept, []
        return kept or super().data_to_send()

    def deadline(self, now: float) -> Deadline | None:
        found = self.inner.deadline(now)
        if self.closed and self.opens_in is not None:
            self._opens_at = now + self.opens_in if self._opens_at is None else self._opens_at
            if found is None or self._opens_at < found.at:
                return Deadline(self._opens_at, "the network opens")
        return found

    def handle_timeout(self, now: float) -> None:
        if self._opens_at is not None and now >= self._opens_at:
            self.closed = False
        self.inner.handle_timeout(now)


def test_a_network_is_known_by_its_members() -> None:
    assert is_network(Network(Association.acceptor()))
    assert not is_network(Around(Association.acceptor()))
    assert not is_network(Association.acceptor())


@everywhere
async def test_where_they_are(at: Context) -> None:
    """`wrap` is next to the connection, outside TLS; `wrap_plain` is next to the association."""
    made: dict[str, Around] = {}

    def put(name: str) -> Any:
        def wrap(wire: Wire) -> Wire:
            made[name] = Around(wire)
            return made[name]

        return wrap

    user, provider = await at.sessions(
        user={"wrap": put("user"), "wrap_plain": put("user, plain")},
        provider={"wrap": put("provider"), "wrap_plain": put("provider, plain")},
    )

    async def act() -> None:
        async with user:
            assert (await user.echo()).status == 0

    async def peer() -> None:
        async with provider:
            async for request in provider:
                await request.respond()

    await at.both(act, peer)
    assert made["user, plain"].sent == made["provider, plain"].received
    assert made["user, plain"].received == made["provider, plain"].sent
    assert made["user, plain"].sent[0] == 1
    assert made["user"].sent[0] == (0x16 if at.over_tls else 1)
    assert bytes(made["user"].sent).startswith(bytes(made["provider"].received))  # close_notify may be unread
    if not at.over_tls:
        assert made["user"].sent == made["user, plain"].sent


@within(media=("tcp",))
async def test_a_server_wraps_each_connection(at: Context) -> None:
    made: list[Around] = []

    def wrap(wire: Wire) -> Wire:
        made.append(Around(wire))
        return made[-1]

    async def handle(session: Any) -> None:
        async for request in session:
            await request.respond()

    async with at.serve(("127.0.0.1", 0), handle, wrap=wrap) as server:
        for _ in range(2):
            async with await at.connect(("127.0.0.1", server.port)) as session:
                assert (await session.echo()).status == 0
    assert len(made) == 2
    assert all(one.received[0] == (0x16 if at.over_tls else 1) for one in made)


@everywhere
async def test_a_wrap_that_returns_something_else_is_refused(at: Context) -> None:
    ours, theirs = at.ends()
    for name in ("wrap", "wrap_plain"):
        with pytest.raises(TypeError, match=rf"^{name} returned None in place of a wire$"):
            await at.connect(ours, **{name: lambda wire: None})
    at.adapter.reset(ours)
    at.adapter.reset(theirs)


@everywhere
async def test_bytes_that_are_kept_back_for_some_time_arrive(at: Context) -> None:
    """A flow with more to send than its queue holds waits, and neither spins nor gives up."""
    wires: list[Network] = []

    def wrap(wire: Wire) -> Wire:
        wires.append(Network(wire))
        return wires[-1]

    user, provider = await at.sessions(user={"wrap": wrap})
    size = 3 << 20

    async def act() -> None:
        wires[0].closed, wires[0].opens_in = True, 0.02
        async with user:
            assert (await user.store(CT, "1.2", EXPLICIT, [bytes(size // 3)] * 3)).status == 0

    async def peer() -> None:
        async with provider:
            async for request in provider:
                assert sum([len(piece) async for piece in request.data()]) == size
                await request.respond()

    await at.both(act, peer)


@everywhere
async def test_bytes_that_are_kept_back_without_end_are_a_stalled_write(at: Context) -> None:
    wires: list[Network] = []

    def wrap(wire: Wire) -> Wire:
        wires.append(Network(wire))
        return wires[-1]

    user, provider = await at.sessions(user={"wrap": wrap, "timeouts": Timeouts(write_stall=SHORT)})
    wires[0].closed = True
    told = "write stall: the peer accepted none of the bytes that the network keeps back within 0.1 s"
    with pytest.raises(flows.AssociationAborted, match=re.escape(told)):
        await user.store(CT, "1.2", EXPLICIT, [bytes(1 << 20)] * 3)
    user.close()
    provider.close()


@everywhere
async def test_a_wire_that_shuts_down_sending_still_receives(at: Context) -> None:
    wires: list[Network] = []

    def wrap(wire: Wire) -> Wire:
        wires.append(Network(wire))
        return wires[-1]

    name = "wrap_plain" if at.over_tls else "wrap"
    session, raw = await at.user(**{name: wrap})

    async def act() -> None:
        wires[0].ending = Ending.SHUT
        with pytest.raises(flows.AssociationAborted, match="the peer says: association aborted"):
            await session.echo()
        session.close()

    async def peer() -> None:
        assert await raw.rest() == b""
        await raw.send(bytes.fromhex("07000000000400000000"))
        await raw.leave()

    await at.both(act, peer)


@within(media=("tcp",))
async def test_a_wire_that_resets_is_seen_as_a_reset(at: Context) -> None:
    """Over TCP the peer gets an RST, and no end of file."""
    wires: list[Network] = []

    def wrap(wire: Wire) -> Wire:
        wires.append(Network(wire))
        return wires[-1]

    ours, theirs = at.ends()
    twin = theirs.dup()
    user, provider = await at.sessions((ours, theirs), user={"wrap": wrap})
    wires[0].ending = Ending.RESET
    wires[0].receive_eof(ConnectionLost("reset by the network"))
    with pytest.raises(flows.AssociationAborted, match=r"reset by the network|TLS: truncated"):
        await user.echo()
    user.close()
    twin.settimeout(PATIENCE)
    with twin, pytest.raises(ConnectionResetError):
        _read_all(twin)
    provider.close()


def _read_all(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass

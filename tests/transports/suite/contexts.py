"""Where scenarios run: an adapter, with TLS or without, over TCP, a Unix socket, or in memory.

    @everywhere
    async def test_an_echo(at: Context) -> None:
        user, provider = await at.sessions()

A scenario leaves nothing behind: no task, no descriptor, no warning of something that was not closed.
"""

from __future__ import annotations

import functools
import gc
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.errors import ConnectionLost
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance
from dicos_proto.timers import Deadline
from dicos_proto.upper_layer.negotiation import negotiate, propose, propose_roles
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateRequest, OperationsWindow, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_proto.wire import Buffer
from dicos_transports.tls import ClientTLS, ServerTLS, TLSLayer
from tests.transports.certificates import HOST, hospital
from tests.transports.connections import PATIENCE
from tests.transports.suite.adapters import Adapter, Asyncio, Blocking, Trio

ADAPTERS = ("blocking", "trio", "asyncio")
LOOPS = ("trio", "asyncio")
SECURITY = ("plain", "tls")
MEDIA = ("tcp", "unix", "memory")

CT, EXPLICIT, VERIFICATION = uids.CT_IMAGE_STORAGE, uids.EXPLICIT_VR_LE, uids.VERIFICATION
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
WINDOW = OperationsWindow(invoked=8, performed=8)
COMMIT, PRINTER = uids.STORAGE_COMMITMENT_PUSH_MODEL, "1.2.840.10008.5.1.1.16"
CONTEXTS = propose((VERIFICATION, CT, FIND, MOVE, GET, COMMIT, PRINTER), (EXPLICIT,))
INFORMATION = UserInformation(window=WINDOW, roles=propose_roles((CT,), scu=True))
POLICY = AcceptPolicy(other_contexts=(EXPLICIT,), window=WINDOW, roles={CT: Roles(scu=True, scp=True)})
ASKED = AssociateRequest(called_aet="A", calling_aet="B", contexts=CONTEXTS, user_information=INFORMATION)
CLIENT = ClientTLS(trust=(hospital().root.certificate,), identity=hospital().client, server_hostname=HOST)
SERVER = ServerTLS(identity=hospital().server, trust=(hospital().root.certificate,))
BY_ID = {context.abstract_syntax: context.id for context in CONTEXTS}


def instances(count: int, size: int) -> list[Instance]:
    return [
        Instance(
            sop_class_uid=CT,
            sop_instance_uid=f"1.2.{number}",
            transfer_syntax=EXPLICIT,
            data=[bytes((number % 256,)) * size] * 2,
        )
        for number in range(count)
    ]


class Context:
    """One place."""

    def __init__(self, adapter: Adapter, security: str, medium: str, folder: Path) -> None:
        self.adapter = adapter
        self.over_tls = security == "tls"
        self.medium = medium
        self.folder = folder
        self.both = adapter.both
        self.event = adapter.event
        self.scope = adapter.scope
        self.pause = adapter.pause

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        gc.collect()  # what ran before
        gc.freeze()  # and is kept is not looked at again
        before = descriptors()
        self.adapter.run(main)
        gc.collect()  # what was not closed warns now
        left = descriptors() - before
        assert not left, f"descriptors are left: {left}"

    def listen(self) -> tuple[socket.socket, Any]:
        """A listening socket, and its address."""
        if self.medium == "tcp":
            listener = socket.create_server(("127.0.0.1", 0))
            return listener, listener.getsockname()
        path = str(self.folder / "s")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()
        return listener, path

    def ends(self) -> tuple[Any, Any]:
        """Both ends of a connection, the user's first."""
        if self.medium == "memory":
            return self.adapter.pair()
        listener, address = self.listen()
        with listener:
            user = socket.socket(listener.family, socket.SOCK_STREAM)
            user.connect(address)
            provider, _ = listener.accept()
        if self.medium == "unix":
            os.unlink(address)
        return user, provider

    async def connect(self, where: Any, **options: Any) -> Any:
        options.setdefault("user_information", INFORMATION)
        return await self.adapter.connect(where, CONTEXTS, tls=CLIENT if self.over_tls else None, **options)

    async def accept(self, connection: Any, policy: AcceptPolicy = POLICY, **options: Any) -> Any:
        return await self.adapter.accept(connection, policy, tls=SERVER if self.over_tls else None, **options)

    def serve(self, where: Any, handler: Any, **options: Any) -> Any:
        options.setdefault("policy", POLICY)
        return self.adapter.serve(where, handler, tls=SERVER if self.over_tls else None, **options)

    async def sessions(
        self, ends: tuple[Any, Any] | None = None, user: Any = None, provider: Any = None
    ) -> tuple[Any, Any]:
        """An established association: the session of its user, and that of its provider, each with its options."""
        ours, theirs = ends or self.ends()
        both = await self.both(
            lambda: self.connect(ours, **(user or {})), lambda: self.accept(theirs, **(provider or {}))
        )
        return both[0], both[1]

    def store_over(self, connect_one: Any, source: Any, **options: Any) -> Any:
        return self.adapter.store_over(connect_one, source, **options)

    def raw(self, connection: Any, *, server: bool) -> Raw:
        return Raw(self, connection, server=server)

    async def user(self, ends: tuple[Any, Any] | None = None, **options: Any) -> tuple[Any, Raw]:
        """A session whose provider is written by hand."""
        ours, theirs = ends or self.ends()
        raw = self.raw(theirs, server=True)
        session, _ = await self.both(lambda: self.connect(ours, **options), raw.accept)
        return session, raw

    async def provider(self, ends: tuple[Any, Any] | None = None, **options: Any) -> tuple[Any, Raw]:
        """A session whose user is written by hand."""
        ours, theirs = ends or self.ends()
        raw = self.raw(ours, server=False)
        session, _ = await self.both(lambda: self.accept(theirs, **options), raw.ask)
        return session, raw


class _RawWire:
    """Bytes as they are: what a peer is that no engine stands behind."""

    def __init__(self) -> None:
        self.inbox = bytearray()
        self.outbox: list[bytes | memoryview] = []
        self.ended = False
        self.deaf = False
        self.late = False
        self.wants_close = False
        self.at: float | None = None

    @property
    def wants_read(self) -> bool:
        return not (self.ended or self.deaf or self.wants_close)

    def receive_data(self, data: Buffer) -> None:
        self.inbox += data

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        self.ended = True

    def data_to_send(self) -> list[bytes | memoryview]:
        taken, self.outbox = self.outbox, []
        return taken

    def deadline(self, now: float) -> Deadline | None:
        if self.at is None:
            self.at = now + PATIENCE
        return Deadline(self.at, "patience of a test")

    def handle_timeout(self, now: float) -> None:
        self.late = self.at is not None and now >= self.at


class Raw:
    """A peer written by hand. It is carried by a driver of the adapter, TLS included: drivers drive any wire."""

    def __init__(self, at: Context, connection: Any, *, server: bool) -> None:
        self._at = at
        self._connection = connection
        self._wire = _RawWire()
        self._layer = TLSLayer(self._wire, SERVER if server else CLIENT) if at.over_tls else None
        self._driver = at.adapter.driver(connection, self._layer or self._wire)

    # -- flows ---------------------------------------------------------------------------------------------------

    def _until(self, enough: Callable[[], bool]) -> Flow[None]:
        wire = self._wire
        wire.at = None
        while not enough() and not wire.ended:
            yield Need.INPUT
            assert not wire.late, f"{len(wire.inbox)} bytes came, and then nothing"

    def _away(self, data: bytes) -> Flow[None]:
        wire, layer = self._wire, self._layer
        if layer is not None:
            yield from self._until(lambda: layer.info is not None)
        wire.outbox.append(data)
        wire.deaf, wire.at = True, None
        yield Need.DRAIN
        wire.deaf = False
        assert not wire.late, "what is sent is not taken"

    # -- what a script says --------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """All of it."""
        await self._driver.run(self._away(data))

    async def read(self, size: int) -> bytes:
        """As many bytes; fewer at end of file."""
        wire = self._wire
        await self._driver.run(self._until(lambda: len(wire.inbox) >= size))
        taken = bytes(wire.inbox[:size])
        del wire.inbox[:size]
        return taken

    async def pdu(self) -> bytes:
        """One whole PDU; what there is of it at end of file."""
        head = await self.read(6)
        return head + await self.read(int.from_bytes(head[2:6], "big")) if len(head) == 6 else head

    async def rest(self) -> bytes:
        """All up to the end of file."""
        wire = self._wire
        await self._driver.run(self._until(lambda: False))
        taken, wire.inbox = bytes(wire.inbox), bytearray()
        return taken

    async def accept(self) -> None:
        """Answer the A-ASSOCIATE-RQ."""
        asked = decode(await self.pdu())
        assert isinstance(asked, AssociateRequest)
        await self.send(encode(negotiate(asked, POLICY)))

    async def ask(self) -> None:
        """Ask for an association and get it."""
        await self.send(encode(ASKED))
        assert (await self.pdu())[0] == 2

    async def leave(self) -> None:
        """Close cleanly. The other side may end the scenario, and so this, before it is done."""
        self._wire.wants_close = True
        try:
            await self._driver.run(_drained())
        finally:
            self._driver.close()

    def vanish(self) -> None:
        """Close at once."""
        self._driver.close()

    def reset(self) -> None:
        """Be gone."""
        self._at.adapter.reset(self._connection)
        self._driver.close()


def _drained() -> Flow[None]:
    yield Need.DRAIN


def whole_then_abort(stream: bytes) -> Abort:
    """Returns the A-ABORT at the end of a stream of complete PDUs."""
    last = b""
    while stream:
        size = 6 + int.from_bytes(stream[2:6], "big")
        assert len(stream) >= size, f"{len(stream)} bytes of a PDU of {size}, and then nothing"
        last, stream = stream[:size], stream[size:]
    abort = decode(last)
    assert isinstance(abort, Abort)
    return abort


def descriptors() -> set[tuple[str, str]]:
    """Returns the descriptors that this process has open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except OSError:  # that of the listing itself
            continue
    return found


# -- where ---------------------------------------------------------------------------------------------------------

MAKE: dict[str, Callable[[], Adapter]] = {"blocking": Blocking, "trio": Trio, "asyncio": Asyncio}
Scenario = Callable[..., Coroutine[Any, Any, None]]


def within(
    *, adapters: tuple[str, ...] = ADAPTERS, security: tuple[str, ...] = SECURITY, media: tuple[str, ...] = MEDIA
) -> Callable[[Scenario], Callable[..., None]]:
    """Makes a test of a scenario, for each of these places."""
    places = [(adapter, layer, medium) for adapter in adapters for layer in security for medium in media]

    def made(scenario: Scenario) -> Callable[..., None]:
        @functools.wraps(scenario)
        def test(at: Context, **arguments: Any) -> None:
            at.run(lambda: scenario(at, **arguments))

        return pytest.mark.parametrize("at", places, ids="-".join, indirect=True)(test)

    return made


everywhere = within()
in_loops = within(adapters=LOOPS)

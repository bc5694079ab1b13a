"""The memory of an association is free when it ends, however it ends, without the garbage collector.

A server that is attacked by cut-off uploads would otherwise hold them all until the collector runs, and that runs when
there are many objects, not when there are many bytes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import struct
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

import pytest

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.dimse.types import CEchoRequest, CStoreRequest
from dicos_proto.services.serving import Refused
from dicos_proto.services.storage import Instance
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateRequest
from dicos_transports.blocking import connect, store_over
from tests.pair import command, p_data
from tests.transports.application.applications import WAYS, Way, application, of_kind
from tests.transports.application.applications import running as running_application
from tests.transports.connections import ASKED, CONTEXTS, CT, EXPLICIT, PATIENCE, POLICY, VERIFICATION, read_pdu
from tests.transports.loops import LOOPS, run
from tests.transports.servers import ADAPTERS, Talk, serving

BLOCK, BLOCKS = bytes(100_000), 120
SENT = len(BLOCK) * BLOCKS
LEFT = SENT // 2
"""Bytes that may be held afterwards: the buffers of the thread that receives, which are used again."""
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
QUICK = Timeouts(message=0.3, pdu=0.3, artim=0.3)
REQUESTED = decode(ASKED)
assert isinstance(REQUESTED, AssociateRequest)
ACCEPTED = negotiate(REQUESTED, POLICY)


def nothing(record: logging.LogRecord) -> bool:
    """A filter of what is logged."""
    return False


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    heard = [logging.getLogger(name) for name in ("dicos.server", "dicos.application")]
    for log in heard:  # pytest keeps all records, and they have what was raised
        log.addFilter(nothing)
    try:
        yield
    finally:
        for log in heard:
            log.removeFilter(nothing)
        tracemalloc.stop()
        gc.enable()
        gc.collect()


class Watched:
    """Weak references to what is to be gone, and what is held besides."""

    def __init__(self) -> None:
        self.refs: dict[str, weakref.ref[Any]] = {}
        self._before = tracemalloc.get_traced_memory()[0]

    def watch(self, session: Any) -> None:
        session = getattr(session, "thing", session)
        for one in (session, session.association, session.driver):
            self.refs[type(one).__name__] = weakref.ref(one)

    def watch_one(self, thing: object) -> None:
        self.refs[type(thing).__name__] = weakref.ref(thing)

    def left(self) -> list[str]:
        found = [name for name, ref in self.refs.items() if ref() is not None]
        held = tracemalloc.get_traced_memory()[0] - self._before
        return [*found, f"{held} bytes"] if found or held > LEFT else []

    def assert_gone(self) -> None:
        assert self.refs, "the handler was never called"
        until = monotonic() + 3
        while (left := self.left()) and monotonic() < until:
            sleep(0.01)
        assert not left, f"held after the end: {left}"


# -- how an upload ends ----------------------------------------------------------------------------------------------


def reset(sock: socket.socket, server: Any) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def end_of_file(sock: socket.socket, server: Any) -> None:
    sock.close()


def half_closed(sock: socket.socket, server: Any) -> None:
    sock.shutdown(socket.SHUT_WR)


def deadline(sock: socket.socket, server: Any) -> None:
    """The peer says nothing more."""


def peer_aborts(sock: socket.socket, server: Any) -> None:
    sock.sendall(encode(Abort()))


def protocol_broken(sock: socket.socket, server: Any) -> None:
    sock.sendall(command(3, STORE, has_data=True))


def unknown_pdu(sock: socket.socket, server: Any) -> None:
    sock.sendall(b"\x63\0\0\0\0\x04abcd")


def server_stops(sock: socket.socket, server: Any) -> None:
    server.close(0)


ENDINGS = [reset, end_of_file, half_closed, deadline, peer_aborts, protocol_broken, unknown_pdu, server_stops]
each_ending = pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)


def upload(port: int, *, echo: bool = False, last: bool = False) -> socket.socket:
    """An association with a C-STORE whose data set is not complete, or is; a C-ECHO before it."""
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sock.sendall(ASKED)
    assert read_pdu(sock)[0] == 2
    if echo:
        sock.sendall(command(1, CEchoRequest(message_id=7, affected_sop_class_uid=VERIFICATION)))
        assert read_pdu(sock)[0] == 4
    sock.sendall(command(3, STORE, has_data=True))
    block = p_data((3, False, False, BLOCK))
    for _ in range(BLOCKS):
        sock.sendall(block)
    if last:
        sock.sendall(p_data((3, False, True, b"")))
    return sock


def until(ready: Callable[[], bool]) -> None:
    end = monotonic() + PATIENCE
    while not ready():
        assert monotonic() < end, "what was waited for did not happen"
        sleep(0.01)


def received(server: Any) -> bool:
    return bool(server.metrics.bytes_received >= SENT)


@pytest.mark.parametrize("reading", ["whole", "kept"])
@pytest.mark.parametrize("adapter", ADAPTERS)
@each_ending
def test_an_upload_that_is_cut_off_is_freed(adapter: str, ending: Any, reading: str) -> None:
    watched = Watched()

    async def handler(talk: Talk) -> None:
        watched.watch(talk.session)
        kept = []
        async for request in talk.requests():
            if reading == "whole":
                found = request.read()
                data = found if isinstance(found, bytearray) else await found
                assert data is not None
                continue
            async for piece in talk.data(request):
                kept.append(bytes(piece))

    with serving(adapter, handler, timeouts=QUICK) as server, upload(server.port) as sock:
        until(lambda: received(server))
        ending(sock, server)
        watched.assert_gone()


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("ending", [reset, end_of_file, deadline, peer_aborts], ids=lambda ending: ending.__name__)
def test_an_upload_to_a_function_that_is_cut_off_is_freed(way: Way, ending: Any) -> None:
    watched = Watched()
    app = application(way)

    @app.on_store(CT, check=False)
    @of_kind(way)
    def store(asked: Any) -> None:
        raise AssertionError("the object never arrives completely")

    @app.on_echo()
    @of_kind(way)
    def echo(asked: Any) -> None:
        watched.watch(asked.session)

    with running_application(way, app, timeouts=QUICK) as server, upload(server.port, echo=True) as sock:
        until(lambda: received(server))
        ending(sock, server)
        watched.assert_gone()


@pytest.fixture(autouse=True)
def _no_record_holds_an_error() -> Iterator[None]:
    """At DEBUG a fault is logged with its traceback, and what captures logs in tests keeps the records."""
    logging.disable(logging.DEBUG)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("raising", ["its own", "Refused", "WrongAnswer", "once the peer is gone"])
def test_what_a_function_was_given_is_freed_when_it_raises(way: Way, raising: str) -> None:
    watched = Watched()
    app = application(way)
    gone = threading.Event()

    @app.on_store(CT, check=False)
    @of_kind(way)
    def store(asked: Any) -> Any:
        watched.watch(asked.session)
        copy = bytes(asked.data)
        if raising == "Refused":
            raise Refused(0xA700, str(len(copy)))
        if raising == "its own":
            raise ValueError(copy)
        if raising == "once the peer is gone":
            assert gone.wait(PATIENCE)
            raise ValueError(copy)
        return copy

    with running_application(way, app, timeouts=QUICK) as server:
        sock = upload(server.port, last=True)
        if raising != "once the peer is gone":
            assert read_pdu(sock)[0] == 4
        until(lambda: bool(watched.refs))
        sock.close()
        gone.set()
        watched.assert_gone()


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("error", [ValueError, ExceptionGroup], ids=lambda error: error.__name__)
def test_what_a_handler_has_is_freed_when_it_raises(adapter: str, error: Any) -> None:
    watched = Watched()

    async def handler(talk: Talk) -> None:
        watched.watch(talk.session)
        kept = []
        async for request in talk.requests():
            async for piece in talk.data(request):
                kept.append(bytes(piece))
                if len(kept) > 50:
                    raise ExceptionGroup("two", [ValueError(), ValueError()]) if error is ExceptionGroup else error

    with serving(adapter, handler, timeouts=QUICK) as server:
        with suppress(OSError), upload(server.port):
            until(lambda: server.metrics.failures == 1)
        watched.assert_gone()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_looks_at_an_identity_and_raises_is_freed(adapter: str) -> None:
    watched = Watched()

    def identify(request: Any) -> Any:
        block = bytes(2 * LEFT)
        raise ValueError(block)

    async def handler(talk: Talk) -> None:
        raise AssertionError

    with serving(adapter, handler, timeouts=QUICK, identify=identify) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(ASKED)
            assert read_pdu(sock)[0] == 3
        until(lambda: server.metrics.rejected == 1 and not watched.left())


# -- the side that asks ----------------------------------------------------------------------------------------------


class Peer:
    """Accepts an association, reads, and calls `end` after some bytes of data."""

    def __init__(self, end: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._end = end
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        with sock, suppress(OSError):
            read_pdu(sock)
            sock.sendall(encode(ACCEPTED))
            for _ in range(20):
                sock.recv(1 << 16)
            self._end(sock)
            while sock.recv(1 << 20):
                pass

    def close(self) -> None:
        self._thread.join(PATIENCE)
        self._listener.close()


def resets(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def closes(sock: socket.socket) -> None:
    sock.close()


def aborts(sock: socket.socket) -> None:
    sock.sendall(encode(Abort()))


def answers_nonsense(sock: socket.socket) -> None:
    sock.sendall(b"\x63\0\0\0\0\x04abcd")


def says_nothing(sock: socket.socket) -> None:
    """It takes all and does not answer."""


class Source:
    """The caller's data: to be gone with what was sent of it."""

    def __init__(self) -> None:
        self.blocks = [bytes(BLOCK) for _ in range(BLOCKS)]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.blocks)


def instances(source: Source) -> list[Instance]:
    return [Instance(sop_class_uid=CT, sop_instance_uid="1.2.3", transfer_syntax=EXPLICIT, data=source)]


@pytest.mark.parametrize("how", ["store", "store_many", "store_over"])
@pytest.mark.parametrize("end", [resets, closes, aborts, answers_nonsense, says_nothing], ids=lambda end: end.__name__)
@pytest.mark.parametrize("adapter", ["blocking", *LOOPS])
def test_a_session_that_failed_is_freed(adapter: str, end: Any, how: str) -> None:
    watched = Watched()
    peer = Peer(end)
    where, timeouts = ("127.0.0.1", peer.port), Timeouts(response=0.3, artim=0.3, write_stall=5)

    def ask() -> None:
        source = Source()
        watched.watch_one(source)
        if how == "store_over":
            with store_over(lambda: connect(where, CONTEXTS, timeouts=timeouts), instances(source)) as outcomes:
                assert [outcome.problem is not None for outcome in outcomes] == [True]
            return
        with suppress(AssociationError), connect(where, CONTEXTS, timeouts=timeouts) as session:
            watched.watch(session)
            if how == "store":
                session.store(CT, "1.2.3", EXPLICIT, source)
            else:
                list(session.store_many(instances(source)))

    async def ask_in(module: Any) -> None:
        source = Source()
        watched.watch_one(source)

        async def connect_one() -> Any:
            return await module.connect(where, CONTEXTS, timeouts=timeouts)

        if how == "store_over":
            async with module.store_over(connect_one, instances(source)) as outcomes:
                assert [outcome.problem is not None async for outcome in outcomes] == [True]
            return
        with suppress(AssociationError):
            async with await connect_one() as session:
                watched.watch(session)
                if how == "store":
                    await session.store(CT, "1.2.3", EXPLICIT, source)
                else:
                    async for _ in session.store_many(instances(source)):
                        pass

    async def main(module: Any) -> None:
        await ask_in(module)
        watched.assert_gone()  # while the loop goes on

    if adapter == "blocking":
        ask()
        watched.assert_gone()
    else:
        run(adapter, main)
    peer.close()


@pytest.mark.timer  # LAST_WORDS for its peer
@pytest.mark.parametrize("kind", ["socket", "streams"])
def test_a_session_whose_operation_is_cancelled_is_freed_in_asyncio(kind: str) -> None:
    watched = Watched()
    peer = Peer(says_nothing)

    async def ask(module: Any) -> None:
        where: Any = ("127.0.0.1", peer.port)
        if kind == "streams":
            where = await asyncio.open_connection(*where)
        session = await module.connect(where, CONTEXTS)
        watched.watch_one(session.association)
        with suppress(TimeoutError):
            async with session, asyncio.timeout(0.1):
                await session.store(CT, "1.2.3", EXPLICIT, b"12")

    async def main(module: Any) -> None:
        await ask(module)
        await asyncio.sleep(0.05)  # the cancelled task of the link ends
        watched.assert_gone()

    run("asyncio", main)
    peer.close()

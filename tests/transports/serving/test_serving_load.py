"""Many clients, and peers that try to fill a server's memory: its limits hold, and there is backpressure."""

from __future__ import annotations

import select
import socket
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from time import process_time
from typing import Any

import pytest

from dicos_proto.dimse.types import CEchoRequest, CFindRequest, CStoreRequest
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import AssociateRequest, OperationsWindow, ProposedContext, UserInformation
from dicos_transports.blocking import connect
from dicos_transports.serving import ServerLimits, most_bytes
from tests.pair import command, p_data
from tests.transports.connections import ASKED, CONTEXTS, CT, EXPLICIT, PATIENCE, POLICY, VERIFICATION, read_pdu
from tests.transports.servers import ADAPTERS, Handler, Talk, answer_all, serving

QUIET = 0.6
"""Seconds without progress after which a peer counts as stalled."""
FIND = uids.STUDY_ROOT_FIND


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def push(sock: socket.socket, data: bytes, most: int) -> int:
    """Send the data repeatedly until the peer accepts no more, or `most` bytes are sent. Returns the number of bytes.

    The peer is a thread of this process: while it works, slowly on a busy machine, it has not stopped.
    """
    view, sent, worked = memoryview(data), 0, 0.0
    sock.setblocking(False)
    while sent < most:
        if select.select([], [sock], [], QUIET)[1]:
            sent += sock.send(view[sent % len(view) :])
        elif process_time() - worked < 0.005:
            break
        worked = process_time()
    sock.setblocking(True)
    return sent


# -- many at once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["trio", "asyncio"])
def test_two_hundred_associations_in_one_thread(adapter: str) -> None:
    total = 200
    limits = ServerLimits(associations=total, per_address=total)
    threads = set(threading.enumerate())  # one of the test before may still be ending
    with serving(adapter, server_limits=limits) as running, ExitStack() as open_ones:
        sessions = [open_ones.enter_context(connect(("127.0.0.1", running.port), CONTEXTS)) for _ in range(total)]
        assert running.metrics.active == total
        assert len(set(threading.enumerate()) - threads) == 1
        with ThreadPoolExecutor(8) as pool:
            stored = pool.map(lambda one: one.store(CT, "1.2.3", EXPLICIT, bytes(10_000)).status, sessions)
            assert list(stored) == [0] * total
    metrics = running.metrics
    assert (metrics.accepted, metrics.released, metrics.active) == (total, total, 0)
    assert metrics.requests == {"C-STORE-RQ": total}


# -- backpressure ------------------------------------------------------------------------------------------------------


@pytest.mark.timer  # a second in which nothing is taken
def test_a_handler_that_does_not_read_is_felt_by_its_peer(adapter: str) -> None:
    """A handler that does not read, as with a slow disk: data stays in kernel buffers, then with the peer."""
    free, taken = threading.Event(), 0

    async def slow(talk: Talk) -> None:
        nonlocal taken
        async for request in talk.requests():
            async for piece in talk.data(request):
                taken += len(piece)
                await talk.pause(free)
            await talk.respond(request)

    total = 64 << 20
    with serving(adapter, slow) as running, socket.create_connection(("127.0.0.1", running.port), PATIENCE) as sock:
        sock.sendall(ASKED)
        assert read_pdu(sock)[0] == 2
        sock.sendall(command(3, _store(), has_data=True))
        fragment = p_data((3, False, False, bytes(1 << 16)))
        sent = push(sock, fragment, total)
        assert sent < total // 2  # it stalls
        assert running.metrics.bytes_received <= len(ASKED) + 1000 + 2 * (256 << 10)
        free.set()
        while sent % len(fragment):  # the rest of the current fragment
            sent += sock.send(fragment[sent % len(fragment) :])
        sock.sendall(p_data((3, False, True, bytes(2))))
        assert read_pdu(sock)[0] == 4  # answered
        assert taken == sent // len(fragment) * (1 << 16) + 2


def _store() -> CStoreRequest:
    return CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


# -- what one association can be made to hold --------------------------------------------------------------------------


def _held(adapter: str, handler: Handler, attack: Callable[[socket.socket], None], **options: Any) -> int:
    """Return the most memory that a server with one association has allocated during an attack."""
    listener = _small(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    with serving(adapter, handler, listener, **options) as running:
        with connect(("127.0.0.1", running.port), CONTEXTS) as session:
            session.echo()  # everything that is created once exists
        sock = _small(socket.socket())
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", running.port))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            attack(sock)
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
            sock.close()


def _small(sock: socket.socket) -> socket.socket:
    """Use kernel buffers so small that they do not hide the server's share."""
    for name in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, name, 1 << 16)
    return sock


def _asked(sock: socket.socket, request: bytes) -> None:
    sock.sendall(request)
    assert read_pdu(sock)[0] == 2


LONG = tuple(
    ProposedContext(
        id=2 * number + 1,
        abstract_syntax=f"1.2.{number}",
        transfer_syntaxes=tuple(f"1.2.840.10008.{10**40 + 1000 * number + n}" for n in range(64)),
    )
    for number in range(128)
)
SHORT = tuple(replace(one, transfer_syntaxes=tuple(f"1.2.{n}" for n in range(64))) for one in LONG)


@pytest.mark.parametrize("contexts", [LONG, SHORT], ids=["long", "short"])
def test_the_largest_request_costs_what_is_said(adapter: str, contexts: tuple[ProposedContext, ...]) -> None:
    largest = encode(AssociateRequest(called_aet="A", calling_aet="B", contexts=contexts))

    def attack(sock: socket.socket) -> None:
        _asked(sock, largest)

    assert _held(adapter, answer_all, attack) < 2 * Limits().associate_pdu + most_bytes(Limits()) // 4


def test_who_asks_and_never_takes_the_answers_is_not_heard_for_ever(adapter: str) -> None:
    burst = command(1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)) * 1000
    limits = Limits(queued=1 << 16)
    sent = 0

    def attack(sock: socket.socket) -> None:
        nonlocal sent
        _asked(sock, ASKED)
        sent = push(sock, burst, 64 << 20)

    held = _held(adapter, answer_all, attack, limits=limits)
    assert sent < 64 << 20  # it stalls
    assert (1 << 16) < held < most_bytes(limits)


def test_who_floods_one_that_answers_is_held_within_the_bound(adapter: str) -> None:
    """Endless matches are sent and accepted, while a data set arrives unread, in receives of any size."""
    asked = encode(
        AssociateRequest(
            called_aet="A",
            calling_aet="B",
            contexts=propose([FIND, CT], (EXPLICIT,)),
            user_information=UserInformation(window=OperationsWindow(invoked=8, performed=1)),
        )
    )
    question = command(1, CFindRequest(message_id=1, affected_sop_class_uid=FIND), has_data=True)
    question += p_data((1, False, True, b"\x10\x00\x20\x00LO\x00\x00"))
    flood = command(3, replace(_store(), message_id=2), has_data=True)
    piece = p_data((3, False, False, bytes(33_000)))
    stop = threading.Event()

    async def find(talk: Talk) -> None:
        import pydicom

        match = pydicom.Dataset()
        match.PatientID = "x" * 60
        async for request in talk.requests():
            while request.name == "C-FIND-RQ" and not stop.is_set():
                more = request.match(match, all_keys=False)
                if not isinstance(more, bool):
                    await more
            await talk.respond(request)

    def attack(sock: socket.socket) -> None:
        _asked(sock, asked)
        sock.sendall(question + flood)
        for _ in range(400):
            if select.select([], [sock], [], 0)[1]:
                sock.setblocking(False)
                sock.send(piece)  # the accepted part, which may end within a fragment
                sock.setblocking(True)
            if select.select([sock], [], [], 0.01)[0]:
                sock.recv(1 << 16)
        stop.set()

    policy = replace(POLICY, window=OperationsWindow(invoked=8, performed=1))
    held = _held(adapter, find, attack, policy=policy)
    assert Limits().received_ahead // 2 < held < 3 * Limits().received_ahead < most_bytes(Limits())

"""A server's slots and its end: limits one below, at and one above; stopping lets operations finish."""

import contextlib
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicos_proto.conversation import flows
from dicos_proto.dimse.types import CEchoRequest
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateReject
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.blocking.server import ListenFailed, ServerLimits, serve
from dicos_transports.sessions.channel import ServerStopping
from tests.pair import VERIFICATION, command
from tests.transports.connections import (
    ASKED,
    CONTEXTS,
    CT,
    EXPLICIT,
    PATIENCE,
    POLICY,
    Lines,
    answer_all,
    raw,
    raw_association,
    read_pdu,
    server,
    user,
)


def test_associations_are_served_at_the_same_time() -> None:
    barrier = threading.Barrier(8)

    def together(session: Session) -> None:
        for request in session:
            barrier.wait(PATIENCE)  # nobody is answered before all have asked
            request.respond()

    with server(together) as running, ThreadPoolExecutor(8) as pool:

        def ask(_: int) -> int:
            with user(running) as session:
                return session.echo().status

        assert list(pool.map(ask, range(8))) == [0] * 8
        assert running.served == 8


@pytest.mark.parametrize("limit", ["associations", "per_address"])
def test_one_association_too_many_is_rejected_for_now(limit: str, lines: Lines) -> None:
    with server(server_limits=ServerLimits(**{limit: 2})) as running:
        with user(running) as first, user(running) as second:
            with pytest.raises(flows.AssociationRejected, match="local limit exceeded") as caught:
                user(running)
            reject = caught.value.reject
            assert (reject.result, reject.source, reject.reason) == (2, 3, 2)
            assert first.echo().status == second.echo().status == 0
            lines.wait_for(f"rejected: limit {limit} reached")
        lines.wait_for("closed", count=2)
        with user(running) as third:
            assert third.echo().status == 0


def test_silent_strangers_never_keep_a_good_peer_out(lines: Lines) -> None:
    with (
        server(server_limits=ServerLimits(pending=2, associations=1)) as running,
        raw(running) as oldest,
        raw(running) as younger,
        user(running) as good,
    ):
        assert good.echo().status == 0
        assert read_pdu(oldest) == b""  # made room
        lines.wait_for("without an association, to make room")
        younger.sendall(ASKED)  # still has its slot, but there is no room for an association
        assert isinstance(decode(read_pdu(younger)), AssociateReject)
    assert len([text for text in lines.texts() if "to make room" in text]) == 1


def test_as_many_may_wait_as_there_are_slots_for() -> None:
    with server(server_limits=ServerLimits(pending=2)) as running, raw(running) as first, raw(running) as second:
        first.sendall(ASKED)
        second.sendall(ASKED)
        assert read_pdu(first)[0] == read_pdu(second)[0] == 2


@pytest.mark.parametrize("field", ["associations", "per_address", "pending"])
def test_a_server_without_room_for_one_is_a_mistake(field: str) -> None:
    with pytest.raises(ValueError, match=f"limit {field} of 0; at least 1"):
        ServerLimits(**{field: 0})


# -- where -------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_told() -> None:
    with server() as running:
        where = f"127.0.0.1:{running.port}"
        assert running.address == where
        with pytest.raises(ListenFailed, match=f"cannot listen on {where}: address already in use"):
            serve(("127.0.0.1", running.port), answer_all, policy=POLICY)


@pytest.mark.parametrize("where", [("nonexistent.invalid", 0), ("127.0.0.1", 70_000), ("a" * 300, 0)])
def test_an_address_that_is_none_is_told(where: tuple[str, int]) -> None:
    with pytest.raises(ListenFailed, match="cannot listen on "):
        serve(where, answer_all, policy=POLICY)


def test_a_socket_that_listens_already_is_taken() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with serve(listener, answer_all, policy=POLICY) as running:
        assert running.port == port
        with user(running) as session:
            session.echo()
    assert listener.fileno() == -1


def test_a_connection_that_is_open_already_is_the_only_one() -> None:
    ours, theirs = socket.socketpair()
    with serve(theirs, answer_all, policy=POLICY) as running:
        assert running.address == "one connection"
        with pytest.raises(ValueError, match="without a port"):
            _ = running.port
        with connect(ours, CONTEXTS) as session:
            assert session.echo().status == 0
        assert running.wait(PATIENCE)
    assert running.served == 1


# -- handlers that fail ----------------------------------------------------------------------------------------------


def test_a_handler_that_fails_ends_only_its_association(lines: Lines) -> None:
    def fail_first(session: Session) -> None:
        for request in session:
            if session.request.calling_aet == "BAD":
                raise KeyError("a mistake")
            request.respond()

    with server(fail_first) as running, user(running) as good:
        with user(running, calling_aet="BAD") as bad, pytest.raises(flows.AssociationAborted, match="service user"):
            bad.echo()
        assert good.echo().status == 0
    assert len(lines.texts(logging.ERROR)) == 1


def test_a_handler_that_returns_releases() -> None:
    with server(lambda session: None) as running, user(running) as session, pytest.raises(flows.AssociationReleased):
        session.echo()


# -- stopping ----------------------------------------------------------------------------------------------------


def test_an_operation_in_hand_is_finished_and_an_idle_association_aborted(lines: Lines) -> None:
    begun, received = threading.Event(), []

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            for piece in request.data():
                received.append(len(piece))
                begun.set()
            request.respond()

    with server(handle) as running, raw_association(running) as idle, ThreadPoolExecutor(2) as pool:
        session = user(running)
        go_on = threading.Event()

        def slow() -> Iterator[bytes]:
            yield bytes(1 << 20)
            yield bytes(1 << 20)
            go_on.wait(PATIENCE)
            yield bytes(1 << 20)

        storing = pool.submit(session.store, CT, "1.2", EXPLICIT, slow())
        assert begun.wait(PATIENCE)
        closing = pool.submit(running.close)
        assert decode(read_pdu(idle)) == Abort()
        idle.close()
        go_on.set()
        assert storing.result(PATIENCE).status == 0
        with session, pytest.raises(flows.AssociationAborted, match="service user"):
            session.echo()
        closing.result(PATIENCE)
        with pytest.raises(flows.AssociationError, match="connection refused"):
            user(running)
    assert sum(received) == 3 << 20
    lines.wait_for("aborted: the server is stopping", count=2)


def test_what_does_not_finish_in_time_is_aborted(lines: Lines) -> None:
    ended: list[BaseException] = []

    def handle(session: Session) -> None:
        try:
            answer_all(session)
        except ServerStopping as error:
            ended.append(error)
            raise

    with server(handle) as running, ThreadPoolExecutor(1) as pool:
        session = user(running)
        go_on, begun = threading.Event(), threading.Event()

        def stuck() -> Iterator[bytes]:
            yield bytes(1 << 20)
            yield bytes(1 << 20)
            begun.set()
            go_on.wait(PATIENCE)
            yield bytes(1 << 20)

        storing = pool.submit(session.store, CT, "1.2", EXPLICIT, stuck())
        assert begun.wait(PATIENCE)
        running.close(grace=0.2)
        go_on.set()
        with pytest.raises(flows.AssociationAborted, match="service user"):
            storing.result(PATIENCE)
        session.abort()
    assert [str(error) for error in ended] == ["the server is stopping"]
    lines.wait_for("1 association did not finish within 0.2 s and is aborted")


@pytest.mark.timer  # AFTER_KILL itself
def test_a_handler_that_never_returns_is_left_behind(lines: Lines) -> None:
    free = threading.Event()

    def deaf(session: Session) -> None:
        for _ in session:
            free.wait(PATIENCE)

    with server(deaf) as running, raw_association(running) as sock:
        sock.sendall(command(1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)))
        assert running.wait(0.1) is False
        running.close(grace=0.1)
        lines.wait_for("1 handler does not return; not waited for any longer")
        free.set()
        assert running.wait(PATIENCE)


def test_stopping_twice_and_after_the_end_does_nothing() -> None:
    with server() as running:
        for _ in range(100_000 if os.name == "posix" else 2):  # more than a pipe holds
            running.stop()
        running.close()
        running.close()
        running.stop()


def test_strangers_do_not_hold_up_the_end() -> None:
    with server() as running, raw(running):
        with user(running):
            pass
        assert running.pending == 1
        running.close(grace=PATIENCE)
        assert running.pending == 0


def test_a_signal_stops_it() -> None:
    with server() as running:
        previous = signal.signal(signal.SIGUSR1, lambda *_: running.stop())
        try:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            assert running.wait(PATIENCE)
        finally:
            signal.signal(signal.SIGUSR1, previous)


def _all_descriptors() -> list[int]:
    taken: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))
    return taken


def test_running_out_of_descriptors_is_survived(lines: Lines) -> None:
    with server() as running:
        with user(running) as session:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            with socket.socket() as one_more:
                resource.setrlimit(resource.RLIMIT_NOFILE, (one_more.fileno() + 20, hard))
                taken = _all_descriptors()
                try:
                    one_more.connect(("127.0.0.1", running.port))
                    lines.wait_for("cannot accept connections for now: too many open files")
                    assert session.echo().status == 0
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                    for fd in taken:
                        os.close(fd)
        with user(running) as session:
            assert session.echo().status == 0

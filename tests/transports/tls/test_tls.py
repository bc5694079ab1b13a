"""TLS over real sockets: both sides of the blocking adapter, a server with other clients, and memory."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from OpenSSL import SSL

from dicos_proto.conversation import flows
from dicos_proto.timers import Timeouts
from dicos_transports.blocking import EchoRequest, Session, StoreRequest, accept, connect
from dicos_transports.blocking.server import Server
from dicos_transports.tls import ClientCertificate, ClientTLS, ServerTLS, TLSError, titles_by_name
from tests.transports.certificates import hospital
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, PATIENCE, POLICY, Lines, answer_all, raw, server

ROOT = (hospital().root.certificate,)
CLIENT = ClientTLS(trust=ROOT, identity=hospital().client)
SERVER = ServerTLS(identity=hospital().server, trust=ROOT)
QUICK = ServerTLS(identity=hospital().server, trust=ROOT, handshake_timeout=1.5)


def user(running: Server, tls: ClientTLS | None = CLIENT, **options: Any) -> Session:
    return connect(("127.0.0.1", running.port), CONTEXTS, tls=tls, **options)


def test_an_echo_with_certificates_on_both_sides(lines: Lines) -> None:
    seen: list[str] = []

    def handle(session: Session) -> None:
        assert session.tls is not None
        seen.append(session.tls.subject)
        answer_all(session)

    with server(handle, tls=SERVER) as running, user(running) as session:
        assert session.echo().status == 0
        assert session.tls is not None
        assert session.tls.names[:2] == ("dns:pacs.example", "dns:localhost")
    assert seen == ["CN=scanner-1"]
    assert any("TLSv1.3, TLS_AES_128_GCM_SHA256; peer: 'CN=scanner-1'" in text for text in lines.texts(20))
    assert lines.texts() == []


def test_a_session_without_tls_has_none() -> None:
    with server() as running, user(running, None) as session:
        assert session.tls is None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_both_sides_over_a_socket_that_was_open_already(pair: tuple[socket.socket, socket.socket]) -> None:
    def provide() -> bytes:
        with accept(pair[1], POLICY, tls=SERVER) as session:
            for request in session:
                assert isinstance(request, StoreRequest)
                content = bytes(request.read())
                request.respond()
            return content

    content = os.urandom(1_000_000)
    client = ClientTLS(trust=ROOT, identity=hospital().client, server_hostname="pacs.example")
    with ThreadPoolExecutor(1) as pool:
        provided = pool.submit(provide)
        with connect(pair[0], CONTEXTS, tls=client) as session:
            assert session.store(CT, "1.2.3", EXPLICIT, content).status == 0
        assert provided.result(PATIENCE) == content


def test_sessions_are_resumed_over_sockets() -> None:
    client = ClientTLS(trust=ROOT, identity=hospital().client)
    with server(tls=SERVER) as running:
        resumed = []
        for _ in range(3):
            with user(running, client) as session:
                session.echo()
                assert session.tls is not None
                resumed.append(session.tls.resumed)
    assert resumed == [False, True, True]


@pytest.mark.parametrize(
    ("server_identity", "client", "seen"),
    [
        ("expired", {}, "TLS handshake: the peer's certificate ('CN=pacs') expired on "),
        ("wrong_name", {}, "TLS handshake: the peer's certificate ('CN=elsewhere') is not for '127.0.0.1'"),
        ("stranger", {}, "TLS handshake: the peer's certificate ('CN=pacs') is not trusted"),
        ("server", {"identity": None}, "TLS: the peer refuses (certificate required)"),
        ("server", {"identity": hospital().stranger}, "TLS: the peer refuses (unknown ca)"),
    ],
)
def test_each_failure_is_one_line_and_the_server_goes_on(
    server_identity: str, client: dict[str, Any], seen: str, lines: Lines
) -> None:
    config = ServerTLS(identity=getattr(hospital(), server_identity), trust=ROOT)
    with server(tls=config) as running:
        for _ in range(2):
            with pytest.raises(flows.AssociationAborted) as caught:
                user(running, ClientTLS(**{"trust": ROOT, "identity": hospital().client, **client}))
            assert str(caught.value).startswith(seen)
            assert "\n" not in str(caught.value)
            assert isinstance(caught.value.event, flows.ProviderAbort)
            assert isinstance(caught.value.event.error, TLSError)
        lines.wait_for("TLS handshake: ", count=2)
        with user(running, ClientTLS(verify=False, identity=hospital().client)) as session:
            session.echo()


def test_tls_to_a_plain_port(lines: Lines) -> None:
    with server() as running:
        with pytest.raises(flows.AssociationAborted) as caught:
            user(running)
        assert str(caught.value).startswith("TLS handshake: plain DICOM (A-ABORT), not TLS")
        lines.wait_for("a TLS handshake, not DICOM")
        with user(running, None) as session:
            session.echo()


def test_plain_to_a_tls_port(lines: Lines) -> None:
    with server(tls=SERVER) as running:
        with pytest.raises(flows.AssociationAborted) as caught:
            user(running, None)
        assert "a TLS alert, not DICOM" in str(caught.value)
        assert "the peer wants TLS: tls=..., or --tls of the command" in str(caught.value)
        lines.wait_for("TLS handshake: plain DICOM (A-ASSOCIATE-RQ), not TLS")
        with user(running) as session:
            session.echo()


def test_titles_that_do_not_go_with_the_certificate(lines: Lines) -> None:
    config = ServerTLS(
        identity=hospital().server, trust=ROOT, titles=titles_by_name({"dns:scanner-1.example": ["SCANNER1"]})
    )
    with server(tls=config) as running:
        with user(running, calling_aet="SCANNER1") as session:
            session.echo()
        with pytest.raises(flows.AssociationRejected) as caught:
            user(running, calling_aet="SCANNER2")
        assert (caught.value.reject.source, caught.value.reject.reason) == (1, 3)
        lines.wait_for("'SCANNER2' calls 'ANY-SCP': rejected: not a title of the certificate of 'CN=scanner-1'")
        assert running.served == 1


def test_titles_are_asked_for_by_accept_too(pair: tuple[socket.socket, socket.socket]) -> None:
    config = ServerTLS(identity=hospital().server, trust=ROOT, titles=lambda info, request: False)
    client = ClientTLS(trust=ROOT, identity=hospital().client, server_hostname="localhost")
    with ThreadPoolExecutor(1) as pool:
        provided = pool.submit(accept, pair[1], POLICY, tls=config)
        with pytest.raises(flows.AssociationRejected):
            connect(pair[0], CONTEXTS, tls=client)
        assert isinstance(provided.exception(PATIENCE), flows.AssociationRejected)


@pytest.mark.timer  # the time limit of a handshake
def test_handshakes_that_stall_keep_nobody_waiting(lines: Lines) -> None:
    with server(tls=QUICK) as running, raw(running), raw(running) as second:
        second.sendall(b"\x16\x03\x01\x01\x00\x01")
        with user(running) as session:
            session.echo()
        lines.wait_for("TLS handshake: not done within 1.5 s, in which the peer sent 0 bytes")
        lines.wait_for("TLS handshake: not done within 1.5 s, in which the peer sent 6 bytes")


def test_a_server_that_never_answers_the_handshake() -> None:
    client = ClientTLS(trust=ROOT, handshake_timeout=0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(flows.AssociationAborted) as caught:
        connect(silent.getsockname(), CONTEXTS, tls=client)
    assert str(caught.value) == "TLS handshake: not done within 0.1 s, in which the peer sent 0 bytes"


def test_who_only_looks_at_a_tls_port_is_no_warning(lines: Lines) -> None:
    with server(tls=SERVER) as running:
        with raw(running):
            pass
        lines.wait_for("closed by the peer without an A-ASSOCIATE-RQ")
    assert lines.texts() == []


@contextmanager
def bare(running: Server) -> Iterator[SSL.Connection]:
    """A client that uses OpenSSL directly."""
    with raw(running) as sock:
        sock.settimeout(None)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.use_certificate(hospital().client.certificate)
        context.use_privatekey(hospital().client.key)
        connection = SSL.Connection(context, sock)
        connection.set_connect_state()
        connection.do_handshake()
        yield connection


def test_a_peer_that_vanishes_in_a_record(lines: Lines) -> None:
    from tests.transports.connections import ASKED

    with server(tls=SERVER) as running:
        with bare(running) as connection:
            connection.sendall(ASKED)
            assert connection.recv(6)[0] == 2
            os.write(connection.fileno(), b"\x17\x03\x03\x40\x00half a record")
        lines.wait_for("TLS: truncated: the connection ended without close_notify")


def test_a_reset_in_the_middle_of_the_handshake(lines: Lines) -> None:
    with server(tls=SERVER) as running:
        with raw(running) as sock:
            sock.sendall(b"\x16\x03\x01\x01\x00\x01")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        lines.wait_for("TLS handshake: the peer closed the connection after ")


def test_many_associations_at_once() -> None:
    def one(running: Server) -> int:
        with user(running) as session:
            return sum(session.echo().status for _ in range(10))

    with server(tls=SERVER) as running, ThreadPoolExecutor(8) as pool:
        assert sum(future.result(PATIENCE) for future in [pool.submit(one, running) for _ in range(24)]) == 0


def test_a_server_stops_while_a_handshake_is_waited_for() -> None:
    begun = time.monotonic()
    with server(tls=SERVER) as running, raw(running):
        while not running.pending:
            pass
    assert time.monotonic() - begun < PATIENCE


@pytest.mark.parametrize("certificates", [ClientCertificate.REQUIRED, ClientCertificate.NONE])
def test_a_hundred_mebibytes_in_little_memory(certificates: ClientCertificate) -> None:
    size, piece = 100 << 20, bytes(1 << 20)
    received = []

    def sink(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            received.append(sum(len(one) for one in request.data()))
            request.respond()

    config = ServerTLS(identity=hospital().server, trust=ROOT, client_certificates=certificates)
    with server(sink, tls=config) as running, user(running) as session:
        session.store(CT, "1.2.3", EXPLICIT, [piece])
        tracemalloc.start()
        try:
            session.store(CT, "1.2.3", EXPLICIT, (piece for _ in range(size >> 20)))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert received == [1 << 20, size]
    assert peak < 12 << 20


def test_a_reader_that_does_not_read_stops_the_sender() -> None:
    """Unread data fills the buffers of the kernel and of both sides, and no more; then the sender gives up."""
    go, sent = threading.Event(), 0

    def hold(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            next(request.data())
            go.wait(PATIENCE)
            for _ in request.data():
                pass

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(200):
            sent += 1
            yield bytes(1 << 20)

    with server(hold, tls=SERVER) as running:
        session = user(running, timeouts=Timeouts(write_stall=0.3))
        with pytest.raises(flows.AssociationAborted, match="write stall"):
            session.store(CT, "1.2.3", EXPLICIT, pieces())
        session.close()
        go.set()
    assert 0 < sent < 100


def test_plaintext_is_what_a_trace_sees() -> None:
    seen: dict[str, bytes] = {"sent": b"", "received": b""}

    def trace(direction: str, buffers: Any) -> None:
        seen[direction] += b"".join(buffers)

    with server(tls=SERVER) as running, user(running, trace=trace) as session:
        session.echo()
    assert (seen["sent"][0], seen["received"][0]) == (1, 2)
    assert (seen["sent"][-10], seen["received"][-10]) == (5, 6)


def test_requests_know_the_certificate_of_who_asks() -> None:
    seen = []

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, EchoRequest)
            assert request.session.tls is not None
            seen.append(request.session.tls.certificate)
            request.respond()

    with server(handle, tls=SERVER) as running, user(running) as session:
        session.echo()
    assert seen == [hospital().client.certificate]

"""The knowledge about a peer, and the line for one that makes no association."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import dicos_fuzz.campaign.probe as probing
from dicos_fuzz.campaign.echoing import GoodCall
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.player import Peer, Player
from dicos_fuzz.campaign.probe import NoAssociation, probe
from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy, OperationsWindow, Roles
from dicos_transports.tls import ClientTLS
from tests.fuzz.campaign.peers import raw_peer, receive_all, receive_pdu
from tests.transports.certificates import hospital, write_all
from tests.transports.servers import ADAPTERS, serving

CT = uids.CT_IMAGE_STORAGE


def learned(port: int, called: str | None = None, calling: str = "ME") -> Learned:
    with Player(Peer(port=port), Learned()) as player:
        return probe(player, called=called, calling=calling)


def refusal(port: int, called: str | None = None) -> str:
    with pytest.raises(NoAssociation) as caught:
        learned(port, called)
    return str(caught.value)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_contexts_services_and_limits_are_learned(adapter: str) -> None:
    policy = AcceptPolicy(
        contexts={
            uids.VERIFICATION: (uids.EXPLICIT_VR_LE,),
            CT: (uids.EXPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE),
            uids.STUDY_ROOT_FIND: (uids.IMPLICIT_VR_LE,),
        },
        roles={CT: Roles(scu=True, scp=True)},
        window=OperationsWindow(invoked=4, performed=1),
        max_length=20_000,
        implementation_version_name="TEST_1",
    )
    with serving(adapter, policy=policy) as server:
        found = learned(server.port)
    assert [(one.abstract_syntax, one.transfer_syntax) for one in found.accepted] == [
        (uids.VERIFICATION, uids.EXPLICIT_VR_LE),
        (CT, uids.EXPLICIT_VR_LE),
        (uids.STUDY_ROOT_FIND, uids.IMPLICIT_VR_LE),
        (CT, uids.DEFLATED_EXPLICIT_VR_LE),
    ]
    assert found.context(CT) is not None
    assert found.context(CT).roles  # type: ignore[union-attr]
    assert found.services == {"C-ECHO", "C-STORE", "C-FIND"}
    assert (found.max_length, found.window, found.implementation) == (20_000, (4, 1), "TEST_1")
    assert (found.called, found.calling, found.alone) == ("ANY-SCP", "ME", False)
    assert 0 < found.echo_seconds < 5
    assert 0.1 <= found.answer_seconds <= 5


def test_another_called_title_is_found() -> None:
    with serving(
        "blocking", policy=AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,), called_aets=frozenset({"QRSCP"}))
    ) as server:
        assert learned(server.port).called == "QRSCP"
        assert "rejects the called AE titles OTHER" in refusal(server.port, "OTHER")


def test_a_rejection_is_said_with_its_reason() -> None:
    policy = AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,), calling_aets=frozenset({"FRIEND"}))
    with serving("blocking", policy=policy) as server:
        assert "calling AE title not recognized (1/1/3); -aet sets" in refusal(server.port)


def test_a_peer_that_serves_one_association_at_a_time_is_recognised() -> None:
    def one_at_a_time(sock: socket.socket) -> None:
        exchange = GoodCall()
        while pdu := receive_pdu(sock):
            sock.sendall(exchange.next(pdu) or b"")

    with raw_peer(one_at_a_time) as port:
        assert learned(port).alone


def answers_slowly(seconds: float) -> Callable[[socket.socket], None]:
    """A right peer that takes its time for each PDU."""

    def handle(sock: socket.socket) -> None:
        exchange = GoodCall()
        while pdu := receive_pdu(sock):
            time.sleep(seconds)
            sock.sendall(exchange.next(pdu) or b"")

    return handle


def test_a_slow_peer_has_the_time_that_it_was_seen_to_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PATIENCE", 0.2)  # the echo takes three times a quarter of a second
    with raw_peer(answers_slowly(0.25)) as port, Player(Peer(port=port), Learned()) as player:
        known = probe(player, seconds=4.0)
    assert known.services >= {"C-ECHO"}
    assert known.echo_seconds >= 0.75
    assert known.echo_patience > 5
    assert known.answer_seconds >= 0.5


def test_a_peer_that_answers_no_echo_is_no_association() -> None:
    """It answers an A-ASSOCIATE-RQ, and says nothing more."""

    def handle(sock: socket.socket) -> None:
        sock.sendall(GoodCall().next(receive_pdu(sock)) or b"")
        receive_pdu(sock)

    with raw_peer(handle) as port:
        assert "accepts an association, and serves no good echo: the connection was ended" in refusal(port)


def test_the_questions_end_after_their_time() -> None:
    with raw_peer(answers_slowly(0.3)) as port, Player(Peer(port=port), Learned()) as player:
        before = player.bounds
        begun = time.monotonic()
        with pytest.raises(NoAssociation, match=r"0\.5 s for all questions; --time sets it"):
            probe(player, seconds=0.5)
        assert time.monotonic() - begun < 5
        assert player.bounds == before
        known = probe(player, seconds=2.5)
        assert known.services >= {"C-ECHO"}
        assert time.monotonic() - begun < 15


def closes(sock: socket.socket) -> None:
    receive_pdu(sock)


def resets(sock: socket.socket) -> None:
    receive_pdu(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says(data: bytes) -> Callable[[socket.socket], None]:
    def handle(sock: socket.socket) -> None:
        receive_pdu(sock)
        sock.sendall(data)
        receive_all(sock)

    return handle


@pytest.mark.parametrize(
    ("handle", "line"),
    [
        (closes, "closes the connection instead of answering"),
        (resets, "resets the connection instead of answering"),
        (lambda sock: None, "the connection instead of answering"),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "answers with an HTTP answer, not DICOM"),
        (says(b"SSH-2.0-OpenSSH_9\r\n"), "answers with SSH, not DICOM"),
        (says(bytes.fromhex("15030300020216")), "answers with a TLS alert, not DICOM; --tls turns TLS on"),
        (says(bytes.fromhex("07000000000400000201")), "aborts an A-ASSOCIATE-RQ"),
        (says(b"\xff\x00\x00 what?"), "which is not DICOM"),
        (says(b"\2\0\0\0\0"), "by the beginning of an A-ASSOCIATE-AC, 5 of the 6 bytes of its header"),
        (says(b"\2\0\xff\xff\xff\xff12"), "an A-ASSOCIATE-AC that says it has 4,294,967,295 bytes, of which 2 came"),
        (says(b"\2\0\0\0\0\1x"), "an A-ASSOCIATE-AC that cannot be decoded: 02 00 00 00 00 01 78"),
    ],
)  # fmt: skip
def test_a_peer_that_does_something_else_is_named(handle: Callable[[socket.socket], None], line: str) -> None:
    with raw_peer(handle) as port:
        assert line in refusal(port)


def test_nobody_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert refusal(port) == f"127.0.0.1:{port} cannot be reached: connection refused"


def test_a_silent_port_is_asked_what_it_speaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dicos_fuzz.campaign.probe.FIRST", 0.2)
    monkeypatch.setattr("dicos_fuzz.campaign.foreign.PATIENCE", 0.3)

    def http(sock: socket.socket) -> None:
        if sock.recv(100).startswith(b"GET"):
            sock.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")
        else:
            receive_all(sock)

    def silent(sock: socket.socket) -> None:
        receive_all(sock)

    files = write_all(tmp_path, hospital().server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    def tls(sock: socket.socket) -> None:
        first = sock.recv(1, socket.MSG_PEEK)
        if first == b"\x16":
            with context.wrap_socket(sock, server_side=True) as secured:
                secured.recv(10)
        else:
            receive_all(sock)

    with raw_peer(http) as port:
        assert "speaks HTTP, not DICOM" in refusal(port)
    with raw_peer(silent) as port:
        assert "accepts connections, and does not answer" in refusal(port)

    def impatient(how: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
        """Speaks TLS, and ends anything else at once, as DCMTK and OpenSSL do."""
        return lambda sock: tls(sock) if sock.recv(1, socket.MSG_PEEK) == b"\x16" else how(sock)

    for handle in (tls, impatient(closes), impatient(resets)):
        with raw_peer(handle) as port:
            assert "speaks TLS, not DICOM; --tls turns TLS on" in refusal(port)


def test_a_peer_that_is_silent_over_tls_is_not_told_to_speak_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicos_fuzz.campaign.probe.FIRST", 0.2)
    files = write_all(tmp_path, hospital().server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    def silent(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as secured:
            while secured.recv(1000):
                pass

    told = "accepts connections over TLS, and does not answer an A-ASSOCIATE-RQ"
    with (
        raw_peer(silent) as port,
        Player(Peer(port=port, tls=ClientTLS(verify=False)), Learned()) as player,
        pytest.raises(NoAssociation, match=told),
    ):
        probe(player)

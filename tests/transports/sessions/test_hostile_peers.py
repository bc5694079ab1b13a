"""Strangers at a server's port: garbage, stalls, floods and vanishing peers harm nobody but themselves."""

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation.flows import AssociationAborted, Flow, Need
from dicos_proto.dimse.types import CFindRequest, CStoreRequest
from dicos_proto.limits import Limits
from dicos_proto.services.query import Finding
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateRequest, ReleaseRequest, ReleaseResponse
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import ServerStopping, Session, StoreRequest, accept, connect
from dicos_transports.blocking.driver import Driver
from dicos_transports.blocking.server import Handler
from dicos_transports.files import receiving
from dicos_transports.sessions.finished import finished
from tests.pair import command, p_data
from tests.transports.connections import (
    ASKED,
    CONTEXTS,
    CT,
    EXPLICIT,
    PATIENCE,
    POLICY,
    Lines,
    abort_of,
    raw,
    raw_association,
    read_pdu,
    server,
    user,
)

QUICK = Timeouts(artim=0.3, pdu=0.3, message=0.3, idle=0.3)
ASSOCIATED = replace(QUICK, artim=PATIENCE)
"""For associations that are to come about, however busy the machine."""
BUSY = replace(ASSOCIATED, idle=PATIENCE)
"""For those that are to begin a message, too."""


# In Sta2 the table's answer is AA-1: an A-ABORT with the service user as its source, whose reason means nothing.
@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP, not DICOM: b'GET / '"),
        (bytes.fromhex("16030100c8010000c40303") + bytes(194), "a TLS handshake, not DICOM"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH, not DICOM"),
        (b"\x00" * 64, "PDU type 0x00"),
        (b"\xff" * 64, "PDU type 0xFF"),
        (b"\x08\x00\x00\x00\x00\x04abcd", "PDU type 0x08"),
        (b"\x01\x00\x00\x00\x00\x00", "A-ASSOCIATE-RQ of 0 bytes; at least 68"),
        (
            b"\x01\x00\xff\xff\xff\xff",
            "A-ASSOCIATE-RQ too long (limit associate_pdu: 4294967295 seen, 1048576 allowed)",
        ),
        (b"\x04\x00\xff\xff\xff\xff", "P-DATA-TF in Sta2"),
        (b"\x04\x00\x00\x00\x00\x00", "P-DATA-TF of 0 bytes"),
        (b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00", "A-RELEASE-RQ in Sta2"),
        (ASKED[:74] + b"\x10\x00\xff\xff" + ASKED[78:], "65535 bytes wanted"),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else "",
)
def test_what_is_no_request_is_aborted_in_one_line(said: bytes, told: str, lines: Lines) -> None:
    with server() as running, user(running) as other:
        with raw(running) as sock:
            sock.sendall(said)
            assert abort_of(sock) == Abort(source=0, reason=0)
        lines.wait_for(told)
        assert other.echo().status == 0
    assert len(lines.texts()) == 1


@pytest.mark.parametrize(
    ("said", "reason", "told"),
    [
        (b"\x09\x00\x00\x00\x00\x04abcd", 1, "PDU type 0x09"),
        (b"\x16\x03\x01\x02\x00\x01", 1, "a TLS handshake, not DICOM"),
        (ASKED, 2, "A-ASSOCIATE-RQ in Sta6"),
        (b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00", 2, "A-RELEASE-RP in Sta6"),
        (b"\x04\x00\xff\xff\xff\xff", 6, "longer than the Maximum Length (limit max_length: 4294967295 seen"),
        (b"\x04\x00\x00\x00\x00\x05abcde", 6, "P-DATA-TF of 5 bytes"),
        (b"\x04\x00\x00\x00\x00\x06\xff\xff\xff\xff\x01\x03", 6, "PDV"),
        (b"\x05\x00\x00\x00\x00\x00", 6, "A-RELEASE-RQ of 0 bytes"),
        (p_data((1, True, True, b"garbage!")), 6, "command set of 8 bytes"),
        (p_data((99, True, True, b"")), 6, "context 99"),
        (p_data((3, False, True, b"ab")), 5, "data PDV on context 3 where a command set is to begin"),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else "",
)
def test_what_breaks_an_association_is_aborted_with_its_reason(
    said: bytes, reason: int, told: str, lines: Lines
) -> None:
    with server() as running, user(running) as other:
        with raw_association(running) as sock:
            sock.sendall(said)
            assert abort_of(sock) == Abort(source=2, reason=reason)
        lines.wait_for(told)
        assert other.echo().status == 0
    assert len(lines.texts()) == 1


# -- stalls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"\x01\x00\x00", ASKED[:-1]], ids=["silence", "3 bytes", "all but one"])
def test_artim_covers_the_whole_request(said: bytes, lines: Lines) -> None:
    with server(timeouts=QUICK) as running, raw(running) as sock:
        sock.sendall(said)
        assert read_pdu(sock) == b""
    lines.wait_for("ARTIM: waiting for the whole A-ASSOCIATE-RQ: nothing within 0.3 s")


def _dribble(sock: socket.socket, data: bytes) -> int:
    """Send a byte every 20 ms until the peer says or closes something; how many were sent."""
    for count, value in enumerate(data):
        if select.select([sock], [], [], 0.02)[0]:
            return count
        sock.sendall(bytes((value,)))
    return len(data)


def test_a_request_one_byte_at_a_time_is_not_waited_for_longer(lines: Lines) -> None:
    with server(timeouts=QUICK) as running, raw(running) as sock:
        assert _dribble(sock, ASKED) < len(ASKED)
        assert read_pdu(sock) == b""
    lines.wait_for("ARTIM: waiting for the whole A-ASSOCIATE-RQ")


def test_a_pdu_one_byte_at_a_time_is_given_up(lines: Lines) -> None:
    store = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    stream = command(3, store, has_data=True) + p_data((3, False, True, bytes(1000)))
    with server(timeouts=BUSY) as running, raw_association(running) as sock:
        assert _dribble(sock, stream) < len(stream)
        assert abort_of(sock) == Abort()
    lines.wait_for("PDU: waiting for the rest of one: nothing within 0.3 s")


def test_the_rest_of_a_message_is_not_waited_for_for_ever(lines: Lines) -> None:
    store = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    with server(timeouts=BUSY) as running, raw_association(running) as sock:
        sock.sendall(command(3, store, has_data=True) + p_data((3, False, False, bytes(1000))))
        assert abort_of(sock) == Abort()
    lines.wait_for("message: waiting for the rest of one: nothing within 0.3 s")


def test_an_idle_association_is_released(lines: Lines) -> None:
    with server(timeouts=ASSOCIATED) as running, raw_association(running) as sock:
        assert decode(read_pdu(sock)) == ReleaseRequest()
        sock.sendall(encode(ReleaseResponse()))
        lines.wait_for("idle: waiting for a request: nothing within 0.3 s")


def test_an_idle_association_that_is_not_released_is_aborted(lines: Lines) -> None:
    short = replace(ASSOCIATED, release=0.3)
    with server(timeouts=short) as running, raw_association(running) as sock:
        assert decode(read_pdu(sock)) == ReleaseRequest()
        assert abort_of(sock) == Abort()
    lines.wait_for("release: waiting for the A-RELEASE-RP: nothing within 0.3 s")


def test_a_slow_handler_is_not_an_idle_peer() -> None:
    answered = threading.Event()

    def slow(session: Session) -> None:
        for request in session:
            answered.wait(0.5)  # longer than the peer may be idle
            request.respond()

    with server(slow, timeouts=ASSOCIATED) as running, user(running) as session:
        assert session.echo().status == 0


# -- those who vanish ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("sent", [0, 1, 2], ids=["after the command", "in the data", "before the last PDV"])
def test_a_peer_that_vanishes_leaves_no_file(tmp_path: Path, lines: Lines, sent: int, reset: bool) -> None:
    def store(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            receiving.store_into(tmp_path, request)

    begun = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    pieces = [b"", p_data((3, False, False, bytes(70_000)))[:-100], p_data((3, False, False, bytes(100_000)))]
    with server(store) as running:
        with raw_association(running) as sock:
            sock.sendall(command(3, begun, has_data=True) + pieces[sent])
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        lines.wait_for("connection closed by the peer in Sta6")
    assert list(tmp_path.iterdir()) == []
    assert len(lines.texts()) == 1


def test_four_hundred_connections_that_reset_at_once_are_forgotten() -> None:
    with server() as running:
        for _ in range(400):
            with socket.create_connection(("127.0.0.1", running.port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with user(running) as session:
            assert session.echo().status == 0
            assert running.associations == 1
    assert running.pending == 0


def test_descriptors_come_back() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc/self/fd on this system")
    before = count()
    with server() as running:
        for _ in range(20):
            with user(running) as session:
                session.echo()
            with raw(running) as sock:
                sock.sendall(b"rubbish rubbish")
                read_pdu(sock)
    assert count() == before


# -- more than there is room for ---------------------------------------------------------------------------------


def test_an_association_set_of_pieces_is_bounded() -> None:
    with server(limits=Limits(associate_pdu=len(ASKED) - 6)) as running:
        with raw(running) as sock:
            sock.sendall(ASKED)
            assert read_pdu(sock)[0] == 2
        with raw(running) as sock:
            sock.sendall(ASKED[:2] + struct.pack(">L", len(ASKED) - 5))
            assert abort_of(sock) == Abort()


def test_a_4_gib_data_set_needs_no_memory_before_it_comes(lines: Lines) -> None:
    """Maximum Length 0, and one PDV that says it has nearly 4 GiB: it streams."""
    seen: list[int] = []

    def watch(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            for piece in request.data():
                seen.append(len(piece))

    begun = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    unlimited = AcceptPolicy(other_contexts=(EXPLICIT,), max_length=0)
    with server(watch, policy=unlimited) as running:
        with raw_association(running) as sock:
            sock.sendall(command(3, begun, has_data=True))
            sock.sendall(struct.pack(">BxLLBB", 4, 0xFFFFFFFF, 0xFFFFFFFB, 3, 2) + bytes(3_000_000))
        lines.wait_for("in a P-DATA-TF, 4291967289 bytes before its end")
    assert sum(seen) == 3_000_000
    assert max(seen) <= 1 << 20


# -- peers that take nothing ---------------------------------------------------------------------------------------

MATCHES = 20_000
FIND_RQ = command(3, CFindRequest(message_id=1, affected_sop_class_uid=CT), has_data=True) + p_data(
    (3, False, True, b"")
)


def _finder(made: list[int], ended: list[BaseException]) -> Handler:
    """A handler that answers a C-FIND by `MATCHES` matches of 4 kB, and tells how many it made."""

    def matches() -> Iterator[bytes]:
        for number in range(MATCHES):
            made.append(number)
            yield bytes(4096)

    def handle(session: Session) -> None:
        try:
            for request in session:
                finding = Finding(session.exchange, request.start)
                session.run(finding.send_all(matches()))
                request.answered = True
        except ServerStopping as error:
            ended.append(error)
            raise

    return handle


def test_answers_are_made_no_faster_than_a_peer_takes_them(lines: Lines) -> None:
    made: list[int] = []
    timeouts = Timeouts(write_stall=0.3)
    with server(_finder(made, []), timeouts=timeouts) as running, raw_association(running) as sock:
        sock.sendall(FIND_RQ)
        lines.wait_for("write stall")
    assert len(made) < MATCHES // 4


def test_a_peer_that_speaks_but_takes_nothing_makes_nobody_read_ahead() -> None:
    """Each byte that comes wakes the sender: that is no reason to take more out of the source."""
    taken = 0
    ours, theirs = socket.socketpair()

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(4096):
            taken += 1
            yield bytes(64 << 10)

    def dribble() -> None:
        peer = accept(theirs, POLICY)
        said = command(3, CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2"))
        for byte in said[:-1]:
            if gone.wait(0.001):
                break
            with suppress(OSError):
                theirs.send(bytes((byte,)))
        gone.wait(PATIENCE)
        peer.close()

    gone = threading.Event()
    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        session = connect(ours, CONTEXTS, timeouts=Timeouts(write_stall=0.3))
        with session, pytest.raises(AssociationAborted, match="write stall"):
            session.store(CT, "1.2", EXPLICIT, pieces())
    finally:
        gone.set()
        thread.join()
    assert taken < 100


def test_a_peer_that_is_gone_is_noticed_before_the_source_is_at_its_end() -> None:
    taken = 0
    ours, theirs = socket.socketpair()

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield bytes(64 << 10)

    answering = threading.Thread(target=lambda: accept(theirs, POLICY).close())
    answering.start()
    session = connect(ours, CONTEXTS)
    answering.join()
    with session, pytest.raises(AssociationAborted, match="closed by the peer"):
        session.store(CT, "1.2", EXPLICIT, pieces())
    assert taken < 100


def test_a_handler_that_never_waits_ends_with_its_server() -> None:
    made: list[int] = []
    ended: list[BaseException] = []
    read = threading.Event()
    with server(_finder(made, ended)) as running, raw_association(running) as sock:

        def drain() -> None:
            while sock.recv(1 << 20):
                read.set()

        sock.sendall(FIND_RQ)
        reader = threading.Thread(target=drain)
        reader.start()
        assert read.wait(PATIENCE)
        running.close(grace=0)
        assert ended
        assert len(made) < MATCHES
        reader.join(PATIENCE)


def test_a_deadline_that_passes_while_nobody_parses_costs_no_processor_time() -> None:
    """A provider whose peer has sent too much parses no more until its answers are taken: nothing can expire then."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            ours.send(bytes(4096))
    asked = AssociateRequest(called_aet="A", calling_aet="B", contexts=CONTEXTS)
    association = Association.requestor(asked, timeouts=Timeouts(association=0.05))
    driver = Driver(ours, association, Timeouts(write_stall=0.4))
    turns = 0

    def flow() -> Flow[None]:
        nonlocal turns
        while True:
            yield Need.DRAIN
            turns += 1

    with pytest.raises(AssociationAborted, match="write stall"):
        finished(driver.run(flow()))
    assert turns <= 2
    assert isinstance(association.next_event(), ProviderAbort)  # it did pass
    driver.close()
    theirs.close()

"""Sessions over real sockets: both sides, TCP and socket pairs, and every way an association ends."""

import gc
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dicos_proto import dimse
from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.invoking import ask
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.services.storage import Instance
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.negotiation import negotiate, propose
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateRequest, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.addresses import show_address
from dicos_transports.blocking import ConnectionFailed, EchoRequest, FindRequest, Session, StoreRequest, accept, connect
from dicos_transports.blocking.driver import Driver
from dicos_transports.buffers import RECEIVE_SIZE
from dicos_transports.sessions import session as awaiting
from dicos_transports.sessions.iterating import AwaitedInstance
from tests.pair import command
from tests.transports.connections import (
    ASKED,
    CONTEXTS,
    CT,
    EXPLICIT,
    PATIENCE,
    POLICY,
    answer_all,
    read_pdu,
    server,
    user,
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE)
    theirs.settimeout(PATIENCE)
    with ours, theirs:
        yield ours, theirs


def test_an_echo_over_tcp() -> None:
    with server() as running, user(running) as session:
        response = session.echo()
        assert (response.status, response.message_id_being_responded_to) == (0, 1)
        assert session.peer == f"127.0.0.1:{running.port}"
        assert [one.abstract_syntax for one in session.contexts.values()] == [c.abstract_syntax for c in CONTEXTS]
        assert session.refused == ()
    assert session.driver.sock.fileno() == -1


def test_both_sides_over_a_socket_that_was_open_already(pair: tuple[socket.socket, socket.socket]) -> None:
    def provide() -> list[str]:
        with accept(pair[1], POLICY) as session:
            seen = []
            for request in session:
                seen.append(type(request).__name__)
                match request:
                    case EchoRequest():
                        request.respond()
                    case StoreRequest():
                        assert request.read() == b"abcd"
                        request.respond(0xB000, "coerced")
            return seen

    with ThreadPoolExecutor(1) as pool:
        provided = pool.submit(provide)
        with connect(pair[0], CONTEXTS, calling_aet="SCANNER") as session:
            session.echo()
            response = session.store(CT, "1.2.3", EXPLICIT, b"abcd")
        assert provided.result(PATIENCE) == ["EchoRequest", "StoreRequest"]
    assert (response.status, response.error_comment) == (0xB000, "coerced")


@pytest.mark.parametrize("max_length", [0, 8, 1000, 16384, 131072])
@pytest.mark.parametrize("size", [0, 1, 4096, 1_000_001])
def test_data_sets_of_any_size_arrive_whole(max_length: int, size: int) -> None:
    if max_length == 8:
        size //= 100
    content = bytes(index * 7 & 0xFF for index in range(size))
    received: list[bytearray] = []

    def keep(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            received.append(request.read())
            request.respond()

    policy = AcceptPolicy(other_contexts=(EXPLICIT,), max_length=max_length)
    any_length = Limits(peer_max_length=8)
    with server(keep, policy=policy) as running, user(running, limits=any_length) as session:
        assert session.store(CT, "1.2.3", EXPLICIT, content).status == 0
        assert session.store(CT, "1.2.3", EXPLICIT, iter((content[: size // 3], content[size // 3 :]))).status == 0
    assert received == [content, content]


def test_kept_pieces_stay_what_they_were() -> None:
    content = b"".join(bytes((index,)) * RECEIVE_SIZE for index in range(40))
    kept: list[object] = []

    def keep(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            kept.extend(request.data())
            request.respond()

    with server(keep) as running, user(running) as session:
        session.store(CT, "1.2.3", EXPLICIT, content)
    assert b"".join(kept) == content  # type: ignore[arg-type]


def test_the_bytes_of_a_connection_can_be_watched() -> None:
    seen = {"sent": b"", "received": b""}

    ended: list[str] = []

    def trace(direction: str, buffers: object) -> None:
        seen[direction] += b"".join(buffers)  # type: ignore[call-overload]
        assert not ended or not buffers
        if not buffers:
            ended.append(direction)

    with server() as running, user(running, trace=trace) as session:
        session.echo()
        assert ended == []
        assert (session.driver.bytes_sent, session.driver.bytes_received) == (
            len(seen["sent"]),
            len(seen["received"]),
        )
    assert seen["sent"][:1] == b"\x01"
    assert seen["received"][:1] == b"\x02"
    assert seen["sent"].endswith(bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0)))
    assert ended == ["sent", "received"]


def test_command_and_first_data_leave_in_one_write(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps writes apart
    theirs.settimeout(PATIENCE)
    with ours, theirs, ThreadPoolExecutor(1) as pool:
        storing = pool.submit(lambda: connect(ours, CONTEXTS).store(CT, "1.2.3", EXPLICIT, b"abcd"))
        assert theirs.recv(1 << 16)[:1] == b"\x01"
        asked = decode(ASKED)
        assert isinstance(asked, AssociateRequest)
        theirs.send(encode(negotiate(asked, POLICY)))
        written = theirs.recv(1 << 16)
        assert written.endswith(b"abcd")
        assert written.count(b"\x04\x00") >= 2
        done = dimse.CStoreResponse(message_id_being_responded_to=1, status=0)
        theirs.send(command(3, done))
        assert storing.result(PATIENCE) == done


# -- how associations end ------------------------------------------------------------------------------------------


def test_a_session_left_by_an_exception_is_aborted() -> None:
    ended: list[BaseException] = []

    def watch(session: Session) -> None:
        try:
            answer_all(session)
        except flows.AssociationAborted as error:
            ended.append(error)
            raise

    with server(watch) as running:
        with pytest.raises(KeyError), user(running):
            raise KeyError
        running.close()
    assert [str(error) for error in ended] == ["the peer says: association aborted by the service user"]


def test_data_that_cannot_be_read_aborts_the_association() -> None:
    def broken() -> Iterator[bytes]:
        yield b"ab"
        raise OSError("disk on fire")

    with server() as running, user(running) as session:
        with pytest.raises(OSError, match="disk on fire"):
            session.store(CT, "1.2.3", EXPLICIT, broken())
        assert not session.established


def test_a_request_that_cannot_be_sent_leaves_the_session_usable() -> None:
    with server() as running, user(running) as session:
        with pytest.raises(LocalProtocolError, match="at most 64 printable"):
            session.store(CT, "1" * 65, EXPLICIT, b"")
        with pytest.raises(flows.ContextNotAccepted, match="accepted with Explicit VR Little Endian"):
            session.store(CT, "1.2.3", "1.2.840.10008.1.2.4.50", b"")
        assert session.echo().status == 0


def test_a_rejection_says_why() -> None:
    policy = AcceptPolicy(other_contexts=(EXPLICIT,), called_aets=frozenset({"STORE"}))
    with server(policy=policy) as running:
        with pytest.raises(flows.AssociationRejected, match="called AE title not recognized") as caught:
            user(running, called_aet="SHOP")
        assert (caught.value.reject.source, caught.value.reject.reason) == (1, 7)
        with user(running, called_aet="STORE") as session:
            session.echo()


def test_accept_raises_what_it_rejected(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].sendall(ASKED)
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises(flows.AssociationRejected, match="called AE title"):
        accept(pair[1], AcceptPolicy(called_aets=frozenset({"X"})))
    assert read_pdu(pair[0])[0] == 3
    assert pair[1].fileno() == -1


def test_a_refused_connection_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=f"no connection to 127.0.0.1:{port}: connection refused"):
        connect(("127.0.0.1", port), CONTEXTS)


def test_an_unresolvable_host_is_told() -> None:
    with pytest.raises(ConnectionFailed, match=r"no connection to nonexistent\.invalid:104: "):
        connect(("nonexistent.invalid", 104), CONTEXTS)
    with pytest.raises(ConnectionFailed):
        connect(("a" * 300, 104), CONTEXTS)


def test_a_resolver_that_never_answers_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, over = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    def never(host: str, *args: Any, **options: Any) -> Any:
        if host != "pacs.example" or options.get("flags"):
            return resolve(host, *args, **options)
        asked.set()
        over.wait(PATIENCE)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    with pytest.raises(ConnectionFailed, match=r"no connection to pacs\.example:104: timed out"):
        connect(("pacs.example", 104), CONTEXTS, timeouts=Timeouts(connect=0.05))
    assert asked.wait(PATIENCE)
    over.set()


def test_all_addresses_of_a_host_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    with server() as running:

        def two(host: str, *args: Any, **options: Any) -> Any:
            if host != "pacs.example" or options.get("flags"):
                return resolve(host, *args, **options)
            return [*resolve("127.0.0.1", nobody, type=socket.SOCK_STREAM), *resolve("127.0.0.1", running.port)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        with connect(("pacs.example", 104), CONTEXTS) as session:
            assert session.echo().status == 0


@pytest.mark.parametrize(
    ("address", "shown"), [(("::1", 104, 0, 0), "[::1]:104"), (("host", 1), "host:1"), ("", "an unnamed socket")]
)
def test_addresses_are_shown_as_they_are_written(address: object, shown: str) -> None:
    assert show_address(address) == shown


def test_a_session_has_no_request_before_one_was_received() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        association = Association.acceptor()
        session = awaiting.Session(association, Driver(mine, association, Timeouts()), "a peer")
        for given in (session, session.exchange):
            with pytest.raises(LocalProtocolError, match="no association was asked for yet"):
                given.request  # noqa: B018
        session.close()


def test_nothing_can_be_sent_twice_or_after_the_end() -> None:
    problems: list[str] = []

    def twice(session: Session) -> None:
        for request in session:
            request.respond()
            with pytest.raises(LocalProtocolError) as caught:
                request.respond()
            problems.append(str(caught.value))

    with server(twice) as running:
        with user(running) as session:
            session.echo()
        with pytest.raises(
            LocalProtocolError, match=r"^the association is over: MessageStart cannot be sent in Sta1 \[PS3"
        ):
            session.echo()
        session.abort()
    assert problems == ["C-ECHO-RQ 1 is answered already"]


def test_what_a_handler_leaves_unanswered_is_refused() -> None:
    names: list[str] = []

    def idle(session: Session) -> None:
        for request in session:
            names.append(request.name if isinstance(request, FindRequest) else type(request).__name__)

    with server(idle) as running, user(running) as session:
        assert session.echo().status == status.UNRECOGNIZED_OPERATION
        assert session.store(CT, "1.2", EXPLICIT, b"ab" * 100_000).status == status.UNRECOGNIZED_OPERATION
        find = dimse.CFindRequest(message_id=5, affected_sop_class_uid=CT)
        response = session.run(ask(session.exchange, 3, find, [b"identifier"]))
        assert response.status == status.UNRECOGNIZED_OPERATION
    assert names == ["EchoRequest", "StoreRequest", "C-FIND-RQ"]


def test_a_data_set_larger_than_what_may_be_held_is_refused() -> None:
    refused: list[str] = []

    def bounded(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            try:
                request.read()
                request.respond()
            except ValueError as error:
                refused.append(str(error))
                request.respond(status.OUT_OF_RESOURCES)

    with server(bounded, limits=Limits(collected=1000)) as running, user(running) as session:
        codes = [session.store(CT, "1.2", EXPLICIT, bytes(size)).status for size in (998, 1000, 1002)]
    assert codes == [0, 0, 0xA700]
    assert refused == ["data set of more than 1000 bytes (limit: collected)"]


def test_a_provider_whose_peer_is_reset_learns_it(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].sendall(ASKED)
    session = accept(pair[1], POLICY)
    read_pdu(pair[0])
    pair[0].close()
    with pytest.raises(flows.AssociationAborted, match="connection closed by the peer in Sta6"), session:
        next(iter(session))


# -- waiting -----------------------------------------------------------------------------------------------------

SHORT = Timeouts(artim=0.2, association=0.2, release=0.2, pdu=0.2, message=0.2, response=0.2, idle=0.2, write_stall=0.2)


def test_a_provider_that_never_answers_is_given_up(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(flows.AssociationAborted, match=r"association: waiting for the answer: nothing within 0\.2 s"):
        connect(pair[0], CONTEXTS, timeouts=SHORT)


@pytest.mark.parametrize("said", [b"", b"\x04\x00\x00"], ids=["silence", "3 bytes"])
def test_a_response_that_never_comes_is_given_up(pair: tuple[socket.socket, socket.socket], said: bytes) -> None:
    def provide() -> None:
        session = accept(pair[1], POLICY)
        next(iter(session))
        pair[1].send(said)
        assert read_pdu(_blocking(pair[1]))[0] == 7  # the A-ABORT

    with ThreadPoolExecutor(1) as pool:
        provided = pool.submit(provide)
        with connect(
            pair[0], CONTEXTS, timeouts=Timeouts(artim=0.2, pdu=0.2, response=PATIENCE if said else 0.4)
        ) as session:
            why = "PDU: waiting for the rest of one" if said else "response: waiting for the one to message 1"
            with pytest.raises(flows.AssociationAborted, match=why):
                session.echo()
        provided.result(PATIENCE)


def _blocking(sock: socket.socket) -> socket.socket:
    sock.settimeout(PATIENCE)
    return sock


def test_waiting_costs_no_processor_time(pair: tuple[socket.socket, socket.socket]) -> None:
    with ThreadPoolExecutor(1) as pool:
        provided = pool.submit(accept, pair[1], POLICY)
        with connect(pair[0], CONTEXTS, timeouts=Timeouts(artim=0.1, response=0.6)) as session:
            provided.result(PATIENCE)
            begun = time.thread_time()
            with pytest.raises(flows.AssociationAborted, match=r"nothing within 0\.6 s"):
                session.echo()
            assert time.thread_time() - begun < 0.3  # of 0.7 s; a millisecond in truth


def test_a_peer_that_takes_nothing_stalls_the_write(pair: tuple[socket.socket, socket.socket]) -> None:
    with ThreadPoolExecutor(1) as pool:
        provided = pool.submit(accept, pair[1], POLICY)
        session = connect(pair[0], CONTEXTS, timeouts=SHORT)
        provided.result(PATIENCE)
        with (
            session,
            pytest.raises(
                flows.AssociationAborted, match=r"write stall: the peer accepted none of the \d+ queued byte"
            ),
        ):
            session.store(CT, "1.2", EXPLICIT, (bytes(1 << 20) for _ in range(64)))
        assert not session.established


def test_a_peer_that_stops_reading_in_the_middle_and_goes_is_no_exception(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    with ThreadPoolExecutor(1) as pool:
        provided = pool.submit(accept, pair[1], POLICY)
        session = connect(pair[0], CONTEXTS)
        gone = provided.result(PATIENCE)

        def pieces() -> Iterator[bytes]:
            yield bytes(1 << 20)
            gone.close()
            for _ in range(64):
                yield bytes(1 << 20)

        with session, pytest.raises(flows.AssociationAborted, match="connection closed by the peer"):
            session.store(CT, "1.2", EXPLICIT, pieces())


def test_an_abort_of_the_peer_in_the_middle_of_a_data_set_is_seen(pair: tuple[socket.socket, socket.socket]) -> None:
    with ThreadPoolExecutor(1) as pool:

        def provide() -> None:
            session = accept(pair[1], POLICY)
            next(iter(session))
            session.abort()

        provided = pool.submit(provide)
        with (
            connect(pair[0], CONTEXTS) as session,
            pytest.raises(flows.AssociationAborted, match="aborted by the service user") as caught,
        ):
            session.store(CT, "1.2", EXPLICIT, (bytes(1 << 20) for _ in range(64)))
        provided.result(PATIENCE)
    assert caught.value.event == Abort()


def test_the_user_information_can_be_given_whole() -> None:
    own = UserInformation(max_length=4096, implementation_version_name="MINE")
    with server() as running, user(running, user_information=own) as session:
        assert session.request.user_information == own


def test_no_socket_is_left_to_the_garbage_collector() -> None:
    with server() as running:
        with user(running) as session:
            session.echo()
        with pytest.raises(flows.AssociationRejected):
            connect(("127.0.0.1", running.port), propose(["1.2"]), application_context="1.2.3.4")
    gc.collect()  # a ResourceWarning would be an error


# -- sources that are awaited, or that raise what ends a loop ----------------------------------------------------------


def ends_early(count: int) -> Iterator[Instance]:
    """A source that bridges an asynchronous one by hand, and asks it for one more than it has."""
    for number in range(count):
        yield Instance(sop_class_uid=CT, sop_instance_uid=f"1.2.{number}", transfer_syntax=EXPLICIT, data=b"12")
    raise StopAsyncIteration


def test_a_source_that_raises_the_end_of_an_asynchronous_loop_does_not_end_the_caller_s() -> None:
    with (
        server() as running,
        user(running) as session,
        pytest.raises(RuntimeError, match="a source raised StopAsyncIteration"),
    ):
        list(session.store_many(ends_early(2)))


async def awaited_pieces() -> AsyncIterator[bytes]:
    yield b"12"


def test_what_is_awaited_is_refused_before_anything_is_sent() -> None:
    awaited = AwaitedInstance(
        sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=EXPLICIT, pieces=awaited_pieces()
    )
    with server() as running, user(running) as session:
        with pytest.raises(TypeError, match="an AwaitedInstance in a blocking session"):
            list(session.store_many([awaited]))
        assert session.echo().status == 0
        for data in (awaited_pieces(), awaited.data):
            with pytest.raises(TypeError, match="whose pieces are awaited, in a blocking session"):
                session.store(CT, "1.2", EXPLICIT, data)  # type: ignore[arg-type]
        assert session.echo().status == 0

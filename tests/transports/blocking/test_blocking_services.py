"""Query, retrieve, many stores and the DIMSE-N operations over real sockets, user and provider side of the adapter."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.dimse.types import CEchoRequest, CFindResponse, NActionRequest
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import status
from dicos_proto.services.retrieve import Counters
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.negotiation import propose, propose_roles
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import AssociateRequest, OperationsWindow, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_transports.blocking import (
    FindRequest,
    GetRequest,
    MoveRequest,
    NormalizedRequest,
    PeerRequest,
    Session,
    StoreRequest,
    connect,
)
from dicos_transports.blocking.server import Server
from tests.pair import command
from tests.transports.connections import CT, EXPLICIT, PATIENCE, VERIFICATION, read_pdu, server

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
MPPS = "1.2.840.10008.3.1.2.3.3"
CLASSES = (VERIFICATION, CT, FIND, MOVE, GET, MPPS)
WINDOW = OperationsWindow(invoked=8, performed=8)
POLICY = AcceptPolicy(
    other_contexts=(EXPLICIT,), window=WINDOW, roles={CT: Roles(scu=True, scp=True), MPPS: Roles(scu=True, scp=True)}
)


def associate(running: Server, *, window: OperationsWindow | None = None) -> Session:
    """An association whose user is also SCP of CT, which is what a C-GET needs."""
    return connect(
        ("127.0.0.1", running.port),
        propose(CLASSES, (EXPLICIT,)),
        user_information=UserInformation(window=window, roles=propose_roles((CT,), scu=True)),
    )


def identifier(name: str) -> Dataset:
    one = Dataset()
    one.PatientID = name
    return one


def instances(count: int, size: int = 1000) -> Iterator[Instance]:
    for number in range(count):
        yield Instance(
            sop_class_uid=CT,
            sop_instance_uid=f"1.2.{number}",
            transfer_syntax=EXPLICIT,
            data=[bytes((number % 256,)) * size] * 2,
        )


def each(perform: Any) -> Any:
    """A handler that performs every request in the same way."""

    def handle(session: Session) -> None:
        for request in session:
            perform(request)

    return handle


def test_all_matches_come() -> None:
    def find(request: PeerRequest) -> None:
        assert isinstance(request, FindRequest)
        wanted = request.attributes()
        assert wanted is not None
        assert wanted.dataset.PatientID == "*"
        for number in range(5):
            assert request.match(identifier(str(number)), all_keys=number != 2)
        assert request.end() == 0
        assert request.answered

    with server(each(find), policy=POLICY) as running, associate(running) as session:
        answers = session.find(FIND, identifier("*"))
        seen = []
        for match in answers:
            seen.append((match.attributes.dataset.PatientID, match.all_keys))
        assert seen == [(str(n), n != 2) for n in range(5)]
        assert answers.response == CFindResponse(message_id_being_responded_to=1, affected_sop_class_uid=FIND, status=0)
        assert session.find(FIND, identifier("*")).response is None
        session.abort()


def test_a_query_is_cancelled() -> None:
    def find(request: PeerRequest) -> None:
        assert isinstance(request, FindRequest)
        number = 0
        while request.match(identifier(str(number))):
            number += 1
        assert request.cancelled
        assert request.end() == status.CANCEL

    with server(each(find), policy=POLICY) as running, associate(running) as session:
        answers = session.find(FIND, identifier("*"))
        for count, _ in enumerate(answers, 1):
            if count == 3:
                answers.cancel()
        assert answers.response is not None
        assert answers.response.status == status.CANCEL


def test_nothing_else_is_asked_before_an_iteration_has_ended() -> None:
    def find(request: PeerRequest) -> None:
        assert isinstance(request, FindRequest)
        while request.match(identifier("1")):
            pass
        request.end()

    with server(each(find), policy=POLICY) as running, associate(running) as session:
        answers = session.find(FIND, identifier("*"))
        next(iter(answers))
        with pytest.raises(LocalProtocolError, match=r"C-ECHO-RQ while C-FIND-RQ 1 is outstanding, .* cancel\(\) asks"):
            session.echo()
        answers.cancel()
        assert [match for match in answers if not match.all_keys] == []
        assert answers.response is not None


def test_instances_come_on_the_same_association() -> None:
    def get(request: PeerRequest) -> None:
        assert isinstance(request, GetRequest)
        request.attributes()
        assert request.send(instances(4, 100_000), 4) == status.SUBOPERATIONS_WARNING

    with server(each(get), policy=POLICY) as running, associate(running) as session:
        answers = session.get(GET, identifier("1"))
        for number, received in enumerate(answers):
            assert isinstance(received, StoreRequest)
            assert (received.sop_class_uid, received.sop_instance_uid) == (CT, f"1.2.{number}")
            assert received.read() == bytes((number,)) * 200_000
            received.respond(0xA700 if number == 2 else 0, "full" if number == 2 else None)
            assert received.answered
        result = answers.operation.result
        assert result is not None
        assert result.counters == Counters(completed=3, failed=1)
        assert result.failed_instances == ("1.2.2",)
        assert [(one.status, one.comment) for one in result.instances] == [
            (0, None),
            (0, None),
            (0xA700, "full"),
            (0, None),
        ]


def test_a_store_of_a_get_is_not_answered_with_a_data_set() -> None:
    def get(request: PeerRequest) -> None:
        assert isinstance(request, GetRequest)
        request.send(instances(1), 1)

    with server(each(get), policy=POLICY) as running, associate(running) as session:
        for received in session.get(GET, identifier("1")):
            with pytest.raises(LocalProtocolError, match="C-STORE-RSP with a data set"):
                received.respond(0, given=identifier("x"))
            received.respond()


def test_instances_go_to_a_third() -> None:
    kept: list[tuple[str | None, str | None, int]] = []

    def archive(request: PeerRequest) -> None:
        assert isinstance(request, StoreRequest)
        command: Any = request.command
        kept.append((request.sop_instance_uid, command.move_originator_aet, len(request.read())))
        request.respond(0xA700 if request.sop_instance_uid == "1.2.1" else 0)

    with server(each(archive), policy=POLICY) as third:

        def move(request: PeerRequest) -> None:
            assert isinstance(request, MoveRequest)
            request.attributes()
            if request.performing.destination != "THIRD":
                request.respond(status.MOVE_DESTINATION_UNKNOWN)
                return
            task = request.performing.task(propose([CT], (EXPLICIT,)))
            with connect(
                ("127.0.0.1", third.port), task.request.contexts, called_aet=task.request.called_aet
            ) as outgoing:
                request.send(outgoing, instances(3), 3)

        with server(each(move), policy=POLICY) as running, associate(running) as session:
            unknown = session.move(MOVE, "NOBODY", identifier("1"))
            assert list(unknown) == []
            assert unknown.operation.result is not None
            assert unknown.response.status == status.MOVE_DESTINATION_UNKNOWN
            answers = session.move(MOVE, "THIRD", identifier("1"))
            assert [one.remaining for one in answers] == [2, 1, 0]
            result = answers.operation.result
            assert result is not None
            assert (result.response.status, result.counters) == (0xB000, Counters(completed=2, failed=1))
            assert result.failed_instances == ("1.2.1",)
    assert kept == [(f"1.2.{n}", "DICOS_PROTO", 2000) for n in range(3)]


@pytest.mark.parametrize("ahead", [False, True], ids=["as there is room", "ahead"])
@pytest.mark.parametrize("window", [None, WINDOW], ids=["one at a time", "eight at a time"])
def test_many_are_stored(window: OperationsWindow | None, ahead: bool) -> None:
    sizes: list[int] = []

    def store(request: PeerRequest) -> None:
        assert isinstance(request, StoreRequest)
        sizes.append(sum(map(len, request.data())))
        request.respond()

    with server(each(store), policy=POLICY) as running, associate(running, window=window) as session:
        outcomes = list(session.store_many(instances(100), ahead=ahead))
        assert [one.instance.sop_instance_uid for one in outcomes] == [f"1.2.{n}" for n in range(100)]
        assert all(one.stored for one in outcomes)
        assert session.association.operations.outstanding == 0
    assert sizes == [2000] * 100


def echo_request(number: int) -> bytes:
    """A C-ECHO-RQ as bytes, on the first context."""
    return command(1, CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION))


def raw_window(running: Server) -> socket.socket:
    """An association with a window, that no engine handles."""
    sock = socket.create_connection(("127.0.0.1", running.port), PATIENCE)
    sock.sendall(
        encode(
            AssociateRequest(
                called_aet="A",
                calling_aet="B",
                contexts=propose(CLASSES, (EXPLICIT,)),
                user_information=UserInformation(window=WINDOW),
            )
        )
    )
    assert read_pdu(sock)[0] == 2
    return sock


def test_a_slow_answer_does_not_hold_back_those_before_it() -> None:
    """Answers to requests that came at once leave in batches; the kernel holds none of them for long."""
    seen = threading.Event()
    answered = 0

    def slow(request: PeerRequest) -> None:
        nonlocal answered
        if answered == 1:
            assert seen.wait(PATIENCE)
        request.respond()
        answered += 1

    with server(each(slow), policy=POLICY) as running, raw_window(running) as sock:
        sock.sendall(echo_request(1) + echo_request(2) + echo_request(3))
        assert read_pdu(sock)[0] == 4
        seen.set()
        assert [read_pdu(sock)[0] for _ in range(2)] == [4, 4]


def test_answers_leave_before_the_rest_of_a_request_is_waited_for() -> None:
    with server(each(lambda request: request.respond()), policy=POLICY) as running, raw_window(running) as sock:
        whole = b"".join(echo_request(number) for number in range(1, 5))
        for cut in (1, 20, len(echo_request(1)) - 1):
            sock.sendall(whole[:-cut])
            assert [read_pdu(sock)[0] for _ in range(3)] == [4] * 3
            sock.sendall(whole[-cut:])
            assert read_pdu(sock)[0] == 4


def test_in_an_event_loop_answers_leave_before_the_rest_of_a_request_is_waited_for() -> None:
    trio = pytest.importorskip("trio")
    from dicos_transports import trio as adapter
    from dicos_transports.sessions import session as awaiting

    async def answer(session: awaiting.Session) -> None:
        async for request in session:
            await request.respond()

    def ask(running: Any) -> list[int]:
        with raw_window(running) as sock:
            whole = b"".join(echo_request(number) for number in range(1, 5))
            sock.sendall(whole[:-20])
            kinds = [read_pdu(sock)[0] for _ in range(3)]
            sock.sendall(whole[-20:])
            return [*kinds, read_pdu(sock)[0]]

    async def run() -> list[int]:
        async with adapter.serve(("127.0.0.1", 0), answer, policy=POLICY) as running:
            kinds: list[int] = await trio.to_thread.run_sync(ask, running)
            return kinds

    assert trio.run(run) == [4] * 4


def test_a_source_that_fails_within_an_instance_aborts() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"ab"
        yield b"cd"
        raise OSError("the disk is gone")

    def store(request: PeerRequest) -> None:
        with pytest.raises(flows.AssociationAborted):
            request.read()
        raise flows.AssociationReleased

    broken = Instance(sop_class_uid=CT, sop_instance_uid="1.2.3", transfer_syntax=EXPLICIT, data=pieces())
    with server(each(store), policy=POLICY) as running:
        session = associate(running)
        with pytest.raises(OSError, match="the disk is gone"), session:
            list(session.store_many([broken]))
        assert session.driver.closed


def perform(request: PeerRequest) -> None:
    assert isinstance(request, NormalizedRequest)
    given = request.attributes()
    said = request.name if given is None else f"{request.name} {given.dataset.PatientID}"
    request.respond(0, given=None if request.name == "N-DELETE-RQ" else identifier(said))


def test_the_normalized_operations() -> None:
    with server(each(perform), policy=POLICY) as running, associate(running) as session:
        results = [
            session.n_create(MPPS, "1.2", identifier("new")),
            session.n_set(MPPS, "1.2", identifier("change")),
            session.n_get(MPPS, "1.2", (0x00100020,)),
            session.n_action(MPPS, "1.2", 3, identifier("act")),
            session.n_delete(MPPS, "1.2"),
        ]
        said = [None if one.attributes is None else one.attributes.dataset.PatientID for one in results]
        assert said == ["N-CREATE-RQ new", "N-SET-RQ change", "N-GET-RQ", "N-ACTION-RQ act", None]
        assert [one.response.affected_sop_class_uid for one in results] == [MPPS] * 5


def test_a_provider_reports_to_its_user() -> None:
    def report(session: Session) -> None:
        for request in session:
            assert isinstance(request.command, NActionRequest)
            request.respond()
            result = session.n_event_report(MPPS, "1.2", 2, identifier("event"))
            assert result.attributes is not None
            told.append(result.attributes.dataset.PatientID)

    told: list[str] = []
    with server(report, policy=POLICY) as running:
        session = associate(running)
        session.n_action(MPPS, "1.2", 1)
        with session:
            for request in session:
                perform(request)
                break
    assert told == ["N-EVENT-REPORT-RQ event"]


def test_what_nobody_answers_is_refused() -> None:
    with server(each(lambda request: None), policy=POLICY) as running, associate(running) as session:
        assert session.n_delete(MPPS, "1.2").response.status == status.UNRECOGNIZED_OPERATION
        answers = session.find(FIND, identifier("*"))
        assert list(answers) == []
        assert answers.response is not None
        assert answers.response.status == status.UNRECOGNIZED_OPERATION

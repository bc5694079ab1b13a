"""The adapters that the documentation shows carry associations: with each other, with ours, with DCMTK."""

import asyncio
import importlib.util
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from types import ModuleType
from typing import Any

import pydicom
import pytest

from dicos_proto import Association, Exchange, Timeouts
from dicos_proto.conversation import exchange, flows
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import read_data
from dicos_proto.data import datasets
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.errors import ConnectionLost, DeadlineExceeded
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance, StoreMany
from dicos_proto.services.verification import echo
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import connect
from dicos_transports.sessions.base import ConnectionFailed
from tests.interop.peers import contents, dcmtk, dcmtk_storescp, files_in, needs_dcmtk, shipped_files
from tests.project.test_docs import blocks
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, PATIENCE, server

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "docs" / "examples"
POLICY = AcceptPolicy(other_contexts=(EXPLICIT, uids.IMPLICIT_VR_LE))
CONTENT = bytes(range(256)) * 2000


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


adapter = example("selectors_adapter")
sessions = example("sessions_adapter")


def asked(*, contexts: Any = CONTEXTS) -> AssociateRequest:
    return AssociateRequest(called_aet="A", calling_aet="B", contexts=contexts)


def use(association: Association, count: int = 3) -> flows.Flow[list[int]]:
    """Ask for the association, C-ECHO, `count` C-STOREs, release; the statuses."""
    yield from flows.establish(association)
    messages = Exchange(association)
    statuses = [(yield from echo(messages)).status]
    stores = StoreMany(messages, (instance(number) for number in range(count)))
    while (outcome := (yield from stores.next())) is not None:
        assert outcome.response is not None
        statuses.append(outcome.response.status)
    yield from flows.release(association)
    return statuses


def instance(number: int) -> Instance:
    pieces = [CONTENT[at : at + 70_000] for at in range(0, len(CONTENT), 70_000)]
    return Instance(sop_class_uid=CT, sop_instance_uid=f"1.2.{number}", transfer_syntax=EXPLICIT, data=pieces)


def provide(association: Association) -> flows.Flow[list[bytes]]:
    """Accept, answer all that is asked; the data sets."""
    request = yield from flows.await_request(association)
    yield from flows.answer_request(association, request, POLICY)
    messages = Exchange(association)
    received = []
    while (start := (yield from next_request(messages))) is not None:
        received.append((yield from read_data(messages)))
        messages.reply(exchange.response_to(start, 0))
    return received


def user(sock: socket.socket, count: int = 3, **options: Any) -> Any:
    association = Association.requestor(asked(), **options)
    return adapter.Connection(sock, association, use(association, count))


def provider(sock: socket.socket, **options: Any) -> Any:
    association = Association.acceptor(**options)
    return adapter.Connection(sock, association, provide(association))


@contextmanager
def listening() -> Iterator[tuple[int, list[Any]]]:
    """A provider on the documented adapter, for one connection; its port, and how it ended."""
    ended: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve_one() -> None:
            one = provider(listener.accept()[0])
            adapter.run([one])
            ended.append(one)

        thread = threading.Thread(target=serve_one, daemon=True)
        thread.start()
        yield listener.getsockname()[1], ended
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_one_thread_carries_many_associations_of_both_sides() -> None:
    pairs = [socket.socketpair() for _ in range(5)]
    users = [user(one, count) for count, (one, _) in enumerate(pairs)]
    providers = [provider(other) for _, other in pairs]
    adapter.run(users + providers)
    assert [one.result for one in users] == [[0] * (1 + count) for count in range(5)]
    assert [one.result for one in providers] == [[b""] + [CONTENT] * count for count in range(5)]
    assert all(one.error is None and one.sock.fileno() < 0 for one in users + providers)


def test_it_uses_our_server() -> None:
    with server() as running:
        one = user(socket.create_connection(("127.0.0.1", running.port), PATIENCE))
        adapter.run([one])
    assert (one.result, one.error) == ([0, 0, 0, 0], None)


def test_our_user_is_served() -> None:
    with listening() as (port, ended), connect(("127.0.0.1", port), CONTEXTS) as session:
        assert session.echo().status == 0
        assert session.store(CT, "1.2.3", EXPLICIT, CONTENT).status == 0
    assert ended[0].result == [b"", CONTENT]


def test_a_flow_that_gives_up_aborts_and_the_others_go_on() -> None:
    (one, other), (third, fourth) = socket.socketpair(), socket.socketpair()
    association = Association.requestor(asked(contexts=CONTEXTS[:1]))  # no context for what is to be stored
    lost = adapter.Connection(one, association, failing(association))
    connections = [lost, provider(other), user(third), provider(fourth)]
    adapter.run(connections)
    assert isinstance(lost.error, flows.ContextNotAccepted)
    assert isinstance(connections[1].error, flows.AssociationAborted)
    assert str(connections[1].error) == "the peer says: association aborted by the service user"
    assert connections[2].result == [0, 0, 0, 0]


def failing(association: Association) -> flows.Flow[None]:
    yield from flows.establish(association)
    flows.find_context(association, CT)


def test_a_peer_that_never_answers_is_given_up() -> None:
    one, other = socket.socketpair()
    with other:
        lost = user(one, timeouts=Timeouts(association=0.02, artim=0.02))
        adapter.run([lost])
    assert isinstance(lost.error.event, ProviderAbort)
    assert isinstance(lost.error.event.error, DeadlineExceeded)


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    """Its A-ASSOCIATE-AC is there, and then it reads no more: only the adapter can see that."""
    one, other = socket.socketpair()
    request = asked()
    accept = Association.acceptor()
    accept.receive_data(b"".join(Association.requestor(request).data_to_send()))
    accept.next_event()
    list(flows.answer_request(accept, request, POLICY))
    with other:
        other.sendall(b"".join(accept.data_to_send()))
        association = Association.requestor(request)
        pieces = (bytes(100_000) for _ in range(1000))
        large = Instance(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=EXPLICIT, data=pieces)
        lost = adapter.Connection(one, association, send(association, large), write_stall=0.05)
        adapter.run([lost])
    assert isinstance(lost.error.event, ProviderAbort)
    assert isinstance(lost.error.event.error, ConnectionLost)
    assert next(pieces, None) is not None, "backpressure: the source was not emptied"


def send(association: Association, large: Instance) -> flows.Flow[None]:
    yield from flows.establish(association)
    yield from StoreMany(Exchange(association), [large]).next()


def test_a_reset_is_the_end() -> None:
    one, other = socket.socketpair()
    other.close()
    lost = user(one)
    adapter.run([lost])
    assert isinstance(lost.error, flows.AssociationAborted)


async def session_work(where: Any, **options: Any) -> list[int]:
    async with await sessions.connect(where, CONTEXTS, **options) as session:
        echoed = await session.echo()
        stored = await session.store(CT, "1.2.3", EXPLICIT, CONTENT * 20)
        return [echoed.status, stored.status]


async def failure(work: Coroutine[Any, Any, Any]) -> Exception:
    try:
        await work
    except flows.AssociationError as error:
        return error
    raise AssertionError("no error")


def test_sessions_on_a_loop_of_ones_own_use_our_server() -> None:
    with server() as running:
        where = ("127.0.0.1", running.port)
        assert sessions.run(*(session_work(where) for _ in range(3))) == [[0, 0]] * 3


def test_such_a_session_gives_up_a_peer_that_never_answers() -> None:
    one, other = socket.socketpair()
    with other:
        (error,) = sessions.run(failure(session_work(one, timeouts=Timeouts(association=0.02, artim=0.02))))
    assert isinstance(error, flows.AssociationAborted)
    assert isinstance(error.event, ProviderAbort)
    assert isinstance(error.event.error, DeadlineExceeded)
    assert one.fileno() < 0


def test_such_a_session_gives_up_a_peer_that_takes_nothing() -> None:
    one, other = socket.socketpair()
    request = asked()
    accept = Association.acceptor()
    accept.receive_data(b"".join(Association.requestor(request).data_to_send()))
    accept.next_event()
    list(flows.answer_request(accept, request, POLICY))
    with other:
        other.sendall(b"".join(accept.data_to_send()))
        (error,) = sessions.run(failure(stored_into(one)))
    assert "write stall" in str(error)
    assert one.fileno() < 0


async def stored_into(sock: socket.socket) -> None:
    async with await sessions.connect(sock, CONTEXTS, timeouts=Timeouts(write_stall=0.05)) as session:
        await session.store(CT, "1.2.3", EXPLICIT, (bytes(100_000) for _ in range(1000)))


def test_such_a_session_says_why_there_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = listener.getsockname()
    (error,) = sessions.run(failure(session_work(where)))
    assert isinstance(error, ConnectionFailed)
    assert str(error).startswith(f"no connection to 127.0.0.1:{where[1]}: ")
    (error,) = sessions.run(failure(session_work("/run/a/socket")))
    assert str(error) == ("no connection to /run/a/socket: only (host, port) is implemented, without a source address")


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The names of the page about asyncio."""
    names: dict[str, Any] = {"__name__": "docs_asyncio"}
    for _, code, _ in blocks("embedding/asyncio.md"):
        if "asyncio.run(" not in code or "def use" in code:
            exec(code.replace("asyncio.run(main())", ""), names)
    return names


@contextmanager
def events_provider() -> Iterator[tuple[int, list[str]]]:
    """The first provider of the page about adapters, for one connection; its port and log."""
    names: dict[str, Any] = {"__name__": "docs_adapter"}
    (code,) = [code for _, code, _ in blocks("embedding/adapter.md") if "def serve" in code]
    exec((EXAMPLES / "events_adapter.py").read_text(), names)
    exec(code.partition("\nlog: list")[0], names)
    log: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=lambda: names["serve"](listener.accept()[0], log), daemon=True)
        thread.start()
        yield listener.getsockname()[1], log
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_the_events_adapter_serves_our_user() -> None:
    with events_provider() as (port, log), connect(("127.0.0.1", port), CONTEXTS) as session:
        assert [session.echo().status for _ in range(50)] == [0] * 50
        assert session.store(CT, "1.2.3", EXPLICIT, CONTENT * 20).status == 0
    assert log == ["C-ECHO"] * 50 + [f"C-STORE, {len(CONTENT) * 20} bytes"]


@pytest.mark.interop
@needs_dcmtk
def test_the_events_adapter_serves_dcmtk() -> None:
    sent = next(file for file in shipped_files() if file.path.name == "CT_small.dcm")
    for words in (("echoscu",), ("storescu", sent.path)):
        with events_provider() as (port, log):
            done = dcmtk(words[0], "127.0.0.1", port, *words[1:])
            assert done.returncode == 0, done.stderr
        assert len(log) == 1


@pytest.mark.parametrize("parting", [b"", b"\x01\0\0\0", b"\x07\0\0\0\0\4\0\0\0\0", b"GET / HTTP/1.1\r\n"])
def test_the_events_adapter_comes_to_its_end(parting: bytes) -> None:
    with events_provider() as (port, _), socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(parting)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(100):
            pass


@contextmanager
def asyncio_provider(page: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """The page's provider on a loop of its own; its port and log."""
    log: list[str] = []
    ready: Queue[tuple[int, Callable[[], object]]] = Queue()

    async def main() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        listener = await loop.create_server(lambda: page["Provider"](log), "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            ready.put((port, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    port, stop = ready.get(timeout=PATIENCE)
    try:
        yield port, log
    finally:
        stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_the_flows_on_streams_use_our_server(page: dict[str, Any]) -> None:
    async def main(port: int) -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        association = Association.requestor(asked())
        try:
            statuses: list[int] = await page["carry"](association, use(association, 20), reader, writer)
            return statuses
        finally:
            writer.close()
            await writer.wait_closed()

    with server() as running:
        assert asyncio.run(main(running.port)) == [0] * 21


def test_the_protocol_serves_our_user(page: dict[str, Any]) -> None:
    with asyncio_provider(page) as (port, log):
        for _ in range(3):
            with connect(("127.0.0.1", port), CONTEXTS) as session:
                assert session.echo().status == 0
                assert session.store(CT, "1.2.3", EXPLICIT, CONTENT).status == 0
    assert log == ["C-ECHO", f"C-STORE, {len(CONTENT)} bytes", "released"] * 3


def test_the_protocol_tells_of_a_connection_that_is_cut(page: dict[str, Any]) -> None:
    with asyncio_provider(page) as (port, log), socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"\x01\0\0\0\1\0")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""
    assert log == ["connection closed by the peer in Sta2, in an A-ASSOCIATE-RQ, 256 bytes before its end"]


@pytest.mark.interop
@needs_dcmtk
def test_the_protocol_serves_dcmtk(page: dict[str, Any]) -> None:
    sent = next(file for file in shipped_files() if file.path.name == "CT_small.dcm")
    with asyncio_provider(page) as (port, log):
        assert dcmtk("echoscu", "127.0.0.1", port).returncode == 0
        assert dcmtk("storescu", "127.0.0.1", port, sent.path).returncode == 0
    assert [line.partition(",")[0] for line in log] == ["C-ECHO", "released", "C-STORE", "released"]


@pytest.mark.interop
@needs_dcmtk
def test_dcmtk_is_served() -> None:
    sent = next(file for file in shipped_files() if file.path.name == "CT_small.dcm")
    with listening() as (port, ended):
        done = dcmtk("echoscu", "127.0.0.1", port)
        assert done.returncode == 0, done.stderr
    assert ended[0].result == [b""]
    with listening() as (port, ended):
        done = dcmtk("storescu", "127.0.0.1", port, sent.path)
        assert done.returncode == 0, done.stderr
    (data,) = ended[0].result
    assert datasets.decode(data, EXPLICIT).PixelData == pydicom.dcmread(sent.path).PixelData


@pytest.mark.interop
@needs_dcmtk
def test_it_stores_into_dcmtk(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    sent = next(file for file in shipped_files() if file.path.name == "CT_small.dcm")
    with dcmtk_storescp(folder) as port:
        association = Association.requestor(asked())
        data = sent.path.read_bytes()[sent.data_offset :]
        small = Instance(sop_class_uid=CT, sop_instance_uid=sent.sop_instance_uid, transfer_syntax=EXPLICIT, data=data)
        one = adapter.Connection(
            socket.create_connection(("127.0.0.1", port)), association, store_and_release(association, small)
        )
        adapter.run([one])
    assert (one.result, one.error) == (0, None)
    (stored,) = files_in(folder).values()
    assert contents(stored.path) == contents(sent.path)


def store_and_release(association: Association, small: Instance) -> flows.Flow[int]:
    yield from flows.establish(association)
    outcome = yield from StoreMany(Exchange(association), [small]).next()
    yield from flows.release(association)
    assert outcome is not None
    assert outcome.response is not None
    return outcome.response.status


# -- a peer that sends a byte now and then -----------------------------------------------------------------------------

HURRY = Timeouts(message=0.1, minimum_rate=1000.0, pdu=100.0)


def dribble(sock: socket.socket) -> bytes:
    """Asks for an association, begins a C-STORE, then sends 10 bytes every 20 ms. Returns what the server sends when it
    gives up."""
    association = Association.requestor(asked())
    sock.settimeout(PATIENCE)
    sock.sendall(b"".join(association.data_to_send()))
    while association.next_event() is None:
        association.receive_data(sock.recv(1 << 16))
    context = next(one.id for one in association.contexts.values() if one.abstract_syntax == CT)
    command = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", priority=0)
    association.send(MessageStart(context=context, command=command, has_data=True))
    sock.sendall(b"".join(association.data_to_send()))
    sock.sendall(b"\x04\0\0\1\0\0" + b"\0\0\xff\xfc" + bytes([context, 0]))  # a P-DATA-TF of 64 KiB
    sock.settimeout(0.02)
    with sock:
        for _ in range(200):
            try:
                sock.sendall(bytes(10))
                return sock.recv(100)
            except TimeoutError:
                continue
    return b"never"


def test_the_selectors_adapter_aborts_a_peer_that_dribbles() -> None:
    one, other = socket.socketpair()
    answered: list[bytes] = []
    slow = threading.Thread(target=lambda: answered.append(dribble(other)), daemon=True)
    slow.start()
    lost = provider(one, timeouts=HURRY)
    adapter.run([lost])
    slow.join(PATIENCE)
    assert "rate: " in str(lost.error)
    assert answered[0][:1] == b"\x07"


def test_the_asyncio_provider_aborts_a_peer_that_dribbles(page: dict[str, Any]) -> None:
    log: list[str] = []

    async def main() -> bytes:
        protocol = page["Provider"](log)
        protocol.association = Association.acceptor(timeouts=HURRY)
        one, other = socket.socketpair()
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=one)
        return await asyncio.to_thread(dribble, other)

    assert asyncio.run(main())[:1] == b"\x07"
    assert log[0].startswith("rate: ")

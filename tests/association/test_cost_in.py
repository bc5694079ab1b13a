"""Memory that a peer can make an association hold: unknown items, long PDUs, waiting pieces, slow bytes."""

import struct
import tracemalloc

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation.invoking import ask
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import read_data
from dicos_proto.dimse.events import Event, MessageData
from dicos_proto.dimse.types import (
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CStoreRequest,
    CStoreResponse,
    NActionRequest,
    NActionResponse,
    NEventReportRequest,
)
from dicos_proto.errors import DeadlineExceeded, LocalProtocolError, RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import FIELD, STRATOVAN, STRICT, Tolerance
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateAccept, AssociateRequest
from tests.pair import CT, POLICY, REQUEST, VERIFICATION, Lone, command, data, p_data, policy, request, start

STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
FIND = CFindRequest(message_id=1, affected_sop_class_uid=CT)
PENDING = CFindResponse(message_id_being_responded_to=1, status=0xFF00)


def fault(found: list[Event]) -> str:
    event = next(one for one in found if isinstance(one, ProviderAbort))
    return str(event.error)


# -- what is counted -----------------------------------------------------------------------------------------------


def with_items(pdu: bytes, count: int, at: int | None = None) -> bytes:
    """The PDU with items of an unknown type: at its end, or within the presentation context item at `at`."""
    more = struct.pack(">BxH", 0x7F, 0) * count
    body = bytearray(pdu[6:])
    if at is None:
        body += more
    else:
        (length,) = struct.unpack_from(">H", body, at + 2)
        body[at + 4 + length : at + 4 + length] = more
        struct.pack_into(">H", body, at + 2, length + len(more))
    return pdu[:2] + struct.pack(">L", len(body)) + bytes(body)


FIRST_CONTEXT = 68 + 4 + len("1.2.840.10008.3.1.1.1")


@pytest.mark.parametrize("at", [None, FIRST_CONTEXT], ids=["at the top", "in a context"])
@pytest.mark.parametrize("most", [0, 1, 64])
def test_items_of_unknown_types_are_counted(most: int, at: int | None) -> None:
    accept = negotiate(REQUEST, POLICY)
    assert isinstance(accept, AssociateAccept)
    for pdu, kind in ((encode(REQUEST), AssociateRequest), (encode(accept), AssociateAccept)):
        for count in (0, most, most + 1):
            limits = Limits(unknown_items=most)
            asked = kind is AssociateRequest
            engine = Association.acceptor(limits=limits) if asked else Association.requestor(REQUEST, limits=limits)
            engine.receive_data(with_items(pdu, count, at))
            event = engine.next_event()
            if count <= most:
                assert isinstance(event, kind)
            else:
                assert isinstance(event, ProviderAbort)
                assert isinstance(event.error, RemoteProtocolError)
                assert (event.error.limit, event.error.seen) == ("unknown_items", most + 1)


@pytest.mark.parametrize(("max_length", "most"), [(16_384, 1 << 20), (1 << 20, 1 << 21), (1 << 24, 1 << 25)])
@pytest.mark.parametrize("tolerance", [FIELD, STRATOVAN])
def test_a_longer_pdu_is_let_through_up_to_a_bound(tolerance: Tolerance, max_length: int, most: int) -> None:
    for length in (max_length, max_length + 1, most, most + 1, 0xFFFFFFFF):
        provider = Lone.provider(answer=policy(max_length=max_length), tolerance=tolerance)
        provider.feed(command(3, STORE, has_data=True))
        found = provider.feed(struct.pack(">BxLLBB", 4, length, length - 4, 3, 0))
        if length <= most:
            assert not any(isinstance(one, ProviderAbort) for one in found)
        else:
            assert f"(limit max_length: {length} seen, {most} allowed)" in fault(found)


def test_without_a_maximum_length_any_pdu_is_taken() -> None:
    for tolerance in (STRICT, STRATOVAN):
        provider = Lone.provider(answer=policy(max_length=0), tolerance=tolerance)
        provider.feed(command(3, STORE, has_data=True))
        assert provider.feed(struct.pack(">BxLLBB", 4, 0xFFFFFFFF, 0xFFFFFFFB, 3, 0) + b"ab") == [
            data(3, b"ab", last=False)
        ]


@pytest.mark.slow  # a hundred thousand pieces
@pytest.mark.no_cover  # the measured memory would include that of the measurement of coverage
@pytest.mark.parametrize("size", [1, 2, 100, 5000])
def test_pieces_that_wait_are_joined_and_counted_with_what_they_cost(size: int) -> None:
    """A user that waits for its answer is sent a report with a data set in little pieces."""
    user = Lone.user(request(both_roles=True), policy(both_roles=True))
    report = NEventReportRequest(
        message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2", event_type_id=1
    )
    content = bytes(range(256)) * 230
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    parts = [p_data((3, False, at == len(pieces) - 1, piece)) for at, piece in enumerate(pieces)]
    flow = ask(user.exchange, 1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION))
    next(flow)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    user.engine.receive_data(command(3, report, has_data=True))
    for at in range(0, len(parts), 50):
        user.engine.receive_data(b"".join(parts[at : at + 50]))
        next(flow)
    spent = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert spent < 2 * user.engine.terms.limits.parked
    user.engine.receive_data(command(1, CEchoResponse(message_id_being_responded_to=1, status=0)))
    with pytest.raises(StopIteration):
        next(flow)
    waiting = next_request(user.exchange)
    with pytest.raises(StopIteration) as given:
        next(waiting)
    assert given.value.value == start(3, report, has_data=True)
    reading = read_data(user.exchange)
    with pytest.raises(StopIteration) as read:
        next(reading)
    assert read.value.value == content


# -- Pending -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0xFF00, 0xFF01])
@pytest.mark.parametrize("what", ["C-ECHO", "C-STORE", "N-ACTION"])
def test_only_a_query_or_retrieval_has_pending_responses(what: str, code: int) -> None:
    asked, answer = {
        "C-ECHO": (
            CEchoRequest(message_id=1, affected_sop_class_uid=CT),
            CEchoResponse(message_id_being_responded_to=1, status=code),
        ),
        "C-STORE": (STORE, CStoreResponse(message_id_being_responded_to=1, status=code)),
        "N-ACTION": (
            NActionRequest(
                message_id=1, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2", action_type_id=1
            ),
            NActionResponse(message_id_being_responded_to=1, status=code),
        ),
    }[what]
    has_data = what == "C-STORE"
    user = Lone.user()
    user.engine.send(start(3, asked, has_data=has_data))
    if has_data:
        user.engine.send(data(3, b"ab"))
    user.sent()
    why = f"pending, which a {what} response cannot have"
    words = f"{what}-RSP to message 1 with status 0x{code:04X}, {why} [PS3.7 9.1, 10.1]"
    assert fault(user.feed(command(3, answer))) == words
    assert user.sent() == encode(Abort(source=2, reason=5))
    provider = Lone.provider()
    provider.feed(command(3, asked, has_data=has_data))
    with pytest.raises(LocalProtocolError) as refused:
        provider.engine.send(start(3, answer))
    assert (str(refused.value), provider.sent(), provider.engine.operations.owed) == (words, b"", 1)


# -- an end to every wait ------------------------------------------------------------------------------------------


def waits(engine: Association, now: float, seconds: float) -> float:
    """A wait that ends early: something is there."""
    assert engine.next_event() is None
    engine.deadline(now)
    engine.handle_timeout(now + seconds)
    return now + seconds


def overdue(lone: Lone, now: float) -> list[Event]:
    """Returns the events at the next deadline, if nothing more is received."""
    deadline = lone.engine.deadline(now)
    assert deadline is not None
    lone.engine.handle_timeout(deadline.at)
    return lone.events()


def test_pending_responses_for_ever_come_to_an_end() -> None:
    user = Lone.user(timeouts=Timeouts(operation=1000.0))
    user.engine.send(start(3, FIND, has_data=True))
    user.engine.send(data(3, b"ab"))
    now = 0.0
    while now < 5000.0:
        now = waits(user.engine, now, 30.0)
        found = user.feed(command(3, PENDING, has_data=True), p_data((3, False, True, b"ab")))
        if any(isinstance(one, ProviderAbort) for one in found):
            break
    assert fault(found) == "operation: waiting for the final response to message 1: nothing within 1000 s"
    assert now <= 1090.0


def test_a_data_set_of_a_response_that_never_ends_comes_to_an_end() -> None:
    user = Lone.user(timeouts=Timeouts(operation=1000.0))
    user.engine.send(start(3, FIND, has_data=True))
    user.engine.send(data(3, b"ab"))
    now = waits(user.engine, 0.0, 1.0)
    found = user.feed(command(3, PENDING, has_data=True))
    while now < 5000.0 and not any(isinstance(one, ProviderAbort) for one in found):
        now = waits(user.engine, now, 10.0)
        found = user.feed(p_data((3, False, False, bytes(10_000))))
    assert fault(found) == "operation: waiting for the final response to message 1: nothing within 1000 s"


def test_the_next_operation_has_a_time_of_its_own() -> None:
    user = Lone.user(timeouts=Timeouts(operation=100.0))
    now = 0.0
    for _ in range(5):
        user.engine.send(start(3, FIND, has_data=True))
        user.engine.send(data(3, b"ab"))
        for _ in range(3):
            now = waits(user.engine, now, 25.0)
            user.feed(command(3, PENDING, has_data=True), p_data((3, False, True, b"ab")))
        final = CFindResponse(message_id_being_responded_to=1, status=0)
        assert user.feed(command(3, final)) == [start(3, final)]
        assert user.engine.next_event() is None
        assert user.engine.deadline(now) is None


# -- a message that drips ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["data set", "command set", "inside a PDV"])
def test_a_message_that_drips_ends(part: str) -> None:
    provider = Lone.provider()
    now = 0.0
    drop: bytes
    if part == "command set":
        drop = p_data((3, True, False, b"a"))
    else:
        provider.feed(command(3, STORE, has_data=True))
        drop = p_data((3, False, False, b"a"))
    if part == "inside a PDV":
        provider.feed(struct.pack(">BxLLBB", 4, 16_000, 15_996, 3, 0))
        drop = b"a"
    found: list[Event] = []
    while now < 300.0 and not any(isinstance(one, ProviderAbort) for one in found):
        found = provider.feed(drop)
        if not any(isinstance(one, ProviderAbort) for one in found):
            now = waits(provider.engine, now, 5.0)
            found = provider.events()
    assert 60.0 <= now <= 75.0
    if part == "inside a PDV":  # whose PDU has a time of its own
        assert fault(found) == "PDU: waiting for the rest of one: nothing within 60 s"
    else:
        assert "of waiting for it; at least 256 a second after the first 60 s" in fault(found)
    event = next(one for one in found if isinstance(one, ProviderAbort))
    assert isinstance(event.error, DeadlineExceeded)
    assert provider.sent() == encode(Abort())


def test_a_slow_line_is_no_drip() -> None:
    """4 GiB at 1 Mbit/s take nine and a half hours; here in pieces of 125,000 bytes, a second each."""
    provider = Lone.provider()
    provider.feed(command(3, STORE, has_data=True))
    piece = p_data(*[(3, False, False, bytes(12_500))])
    now = 0.0
    for _ in range(2000):
        now = waits(provider.engine, now, 1.0)
        for _ in range(10):
            provider.engine.receive_data(piece)
        while (event := provider.engine.next_event()) is not None:
            assert isinstance(event, MessageData)


def test_a_long_pdu_may_take_its_time() -> None:
    """A whole object in one PDV, which a Maximum Length of 0 allows."""
    provider = Lone.provider(answer=policy(max_length=0))
    provider.feed(command(3, STORE, has_data=True), struct.pack(">BxLLBB", 4, 1 << 30, (1 << 30) - 4, 3, 0))
    now = 0.0
    for _ in range(600):
        now = waits(provider.engine, now, 1.0)
        provider.engine.receive_data(bytes(125_000))
        while (event := provider.engine.next_event()) is not None:
            assert isinstance(event, MessageData)


@pytest.mark.parametrize("how", ["unread", "between two waits", "reading is not wanted"])
def test_the_local_side_may_take_its_time(how: str) -> None:
    limits = Limits(received_pieces=2) if how == "reading is not wanted" else Limits()
    provider = Lone.provider(limits=limits)
    provider.feed(command(3, STORE, has_data=True))
    engine = provider.engine
    piece = p_data((3, False, False, b"ab"))
    now = waits(engine, 0.0, 1.0)
    for _ in range(100):
        for _ in range(5):
            engine.receive_data(piece)
        if how == "between two waits":
            while isinstance(engine.next_event(), MessageData):
                pass
            now = waits(engine, now, 0.1) + 600.0  # a handler that takes ten minutes
        else:
            for _ in range(5):
                now += 50.0
                engine.handle_timeout(now)
                assert isinstance(engine.next_event(), MessageData)
                engine.deadline(now)


@pytest.mark.parametrize("fast", [1, 100, 6000])
def test_what_came_fast_is_no_credit_for_a_drip(fast: int) -> None:
    """A peer that sent 60 MB in a minute could then send two bytes a minute for three days."""
    provider = Lone.provider()
    provider.feed(command(3, STORE, has_data=True))
    now = 0.0
    for _ in range(fast):
        now = waits(provider.engine, now, 0.01)
        assert provider.feed(p_data((3, False, False, bytes(10_000))))
    ended = now
    found: list[Event] = []
    while ended < now + 1000.0 and not any(isinstance(one, ProviderAbort) for one in found):
        ended = waits(provider.engine, ended, 5.0)
        found = provider.events() or provider.feed(p_data((3, False, False, b"ab")))
    assert now + 60.0 <= ended <= now + 75.0
    assert "at least 256 a second after the first 60 s" in fault(found)


def test_what_comes_in_bursts_is_no_drip() -> None:
    provider = Lone.provider()
    provider.feed(command(3, STORE, has_data=True))
    now = 0.0
    for _ in range(200):
        for _ in range(20):
            now = waits(provider.engine, now, 0.01)
            assert provider.feed(p_data((3, False, False, bytes(1000))))
        now = waits(provider.engine, now, 55.0)
        assert provider.feed(p_data((3, False, False, bytes(1000))))


@pytest.mark.parametrize("timeouts", [Timeouts(minimum_rate=None), Timeouts(message=None)])
def test_without_a_rate_a_message_may_drip(timeouts: Timeouts) -> None:
    provider = Lone.provider(timeouts=timeouts)
    provider.feed(command(3, STORE, has_data=True))
    now = 0.0
    for _ in range(100):
        now = waits(provider.engine, now, 5.0)
        assert provider.feed(p_data((3, False, False, b"a"))) == [data(3, b"a", last=False)]


def test_what_comes_in_time_counts_although_time_is_up() -> None:
    provider = Lone.provider()
    provider.feed(command(3, STORE, has_data=True))
    now = 0.0
    for _ in range(12):
        now = waits(provider.engine, now, 5.0)
        provider.feed(p_data((3, False, False, b"a")))
    deadline = provider.engine.deadline(now)
    assert deadline is not None
    assert deadline.measured
    provider.engine.handle_timeout(deadline.at + 1.0)
    assert provider.feed(p_data((3, False, False, bytes(4000)))) == [data(3, bytes(4000), last=False)]
    assert fault(overdue(provider, now + 5.0)).startswith("rate: ")


def test_to_ask_for_the_deadline_twice_is_one_wait_and_an_abort_ends_it() -> None:
    provider = Lone.provider(timeouts=Timeouts(artim=None))
    provider.feed(command(3, STORE, has_data=True))
    now = waits(provider.engine, 0.0, 5.0)
    provider.feed(p_data((3, False, False, b"a")))
    assert provider.engine.deadline(now) == provider.engine.deadline(now + 1.0)
    provider.engine.send(Abort())
    assert provider.engine.deadline(now) is None

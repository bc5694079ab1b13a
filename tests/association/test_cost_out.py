"""The cost of sending, for any Maximum Length of the peer: memory in proportion to the data, and the same bytes.

The reference here cuts eagerly: one header and one payload for each PDU.
"""

import struct
import tracemalloc
from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_proto.association import Association
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.events import MessageData
from dicos_proto.dimse.types import CFindRequest, CFindResponse, CStoreRequest
from dicos_proto.errors import RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.outbox import CROWD, Outbox
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateReject
from dicos_proto.wire import Buffer
from tests.pair import CT, REQUEST, Lone, command, data, p_data, pdus, policy, request, start, taken

measured_itself = pytest.mark.no_cover
"""Its memory and time would include those of the measurement of coverage."""
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
PENDING = CFindResponse(message_id_being_responded_to=1, status=0xFF00)
ABORT = encode(Abort(source=0, reason=0))
LENGTHS = (8, 9, 16, 128, 512, 16_384, 131_072, 0)
MIB = 1 << 20


def user(max_length: int, limits: Limits = Limits()) -> Lone:  # noqa: B008  frozen values
    """A user whose provider wants PDUs of this length, and which has sent the command of a C-STORE."""
    lone = Lone.user(answer=policy(max_length=max_length), limits=limits)
    lone.engine.send(start(3, STORE, has_data=True))
    return lone


def eager(pieces: list[Buffer], max_length: int, *, last: bool = True, kind: int = 0, context: int = 3) -> bytes:
    """The PDUs of a data set in these pieces, as they were cut before: of a piece that ends at an odd offset, the last
    byte goes out with the first of the next one."""
    fragment = ((max_length or MIB) - 6) & ~1
    out = bytearray()

    def cut(part: bytes, *, end: bool) -> None:
        while len(part) > fragment:
            out.extend(struct.pack(">BxLLBB", 4, fragment + 6, fragment + 2, context, kind) + part[:fragment])
            part = part[fragment:]
        if part or end:
            out.extend(struct.pack(">BxLLBB", 4, len(part) + 6, len(part) + 2, context, kind | 2 * end) + part)

    odd = b""
    for index, piece in enumerate(pieces):
        part, end = bytes(piece), last and index == len(pieces) - 1
        if odd and (part or end):
            pair, part, odd = odd + part[:1], part[1:], b""
            cut(pair, end=end and not part)
            if end and not part:
                break
        if len(part) % 2 and not end:
            part, odd = part[:-1], part[-1:]
        cut(part, end=end)
    return bytes(out)


# -- the bytes -----------------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 5000), st.sampled_from([0, 1, 255, 1023, 1024, 1025]))),
    max_length=st.one_of(st.integers(8, 600), st.sampled_from([0, 268, 269, 270, 1000, 4096])),
    queued=st.sampled_from([1, 2, 100, 3000, MIB]),
    takes=st.lists(st.integers(0, 3)),
    kind=st.sampled_from([bytes, bytearray, lambda data: memoryview(bytes(data))]),
)
def test_whatever_is_taken_when_the_bytes_are_those_of_cutting_at_once(
    sizes: list[int], max_length: int, queued: int, takes: list[int], kind: Callable[[bytes], Buffer]
) -> None:
    lone = user(max_length, Limits(queued=queued))
    sent = bytearray(lone.sent())
    pieces: list[Buffer] = [
        kind(bytes((7 * number + at) % 251 for at in range(size))) for number, size in enumerate(sizes)
    ]
    pieces.append(b"")
    due = len(sent)
    for number, piece in enumerate(pieces):
        lone.engine.send(data(3, piece, last=number == len(pieces) - 1))
        expected = len(command(3, STORE, has_data=True)) + len(
            eager(pieces[: number + 1], max_length, last=number == len(pieces) - 1)
        )
        if max_length >= 200:
            due = expected
            assert len(sent) + lone.engine.bytes_queued == due
        for _ in range(takes[number] if number < len(takes) else 0):
            before, part = lone.engine.bytes_queued, b"".join(lone.engine.data_to_send())
            assert lone.engine.bytes_queued == before - len(part)
            assert bool(part) == (before > 0)
            sent += part
    sent += lone.sent()
    assert lone.engine.bytes_queued == 0
    head = eager([encode_command(STORE, has_data=True)], max_length, kind=1)
    assert bytes(sent) == head + eager(pieces, max_length)


def answering_find(max_length: int) -> tuple[Lone, bytes, bytes]:
    """A provider that owes matches, with one that is of several takes, and its bytes: its content and on the wire."""
    content = bytes(range(256)) * 40
    provider = Lone.provider(request(max_length=max_length), limits=Limits(queued=3000))
    provider.feed(
        command(3, CFindRequest(message_id=1, affected_sop_class_uid=CT), has_data=True),
        p_data((3, False, True, b"ab")),
    )
    one = eager([encode_command(PENDING, has_data=True)], max_length, kind=1) + eager([content], max_length)
    return provider, content, one


@pytest.mark.parametrize("max_length", LENGTHS)
def test_what_follows_a_data_set_that_is_partly_cut_follows_it(max_length: int) -> None:
    """A command set: it comes after all that was sent before."""
    provider, content, one = answering_find(max_length)
    for _ in range(2):
        provider.engine.send(start(3, PENDING, has_data=True))
        provider.engine.send(data(3, content))
    assert b"".join(provider.engine.data_to_send()) + provider.sent() == 2 * one


@pytest.mark.parametrize("takes", [0, 1, 2])
@pytest.mark.parametrize("max_length", [8, 9, 16, 128, 512])
def test_an_abort_waits_for_nothing_that_is_not_cut(max_length: int, takes: int) -> None:
    """Whole PDUs come before it, and no message that looks complete and is not: the end of a data set whose middle is
    forgotten is forgotten, too."""
    provider, content, one = answering_find(max_length)
    engine = provider.engine
    engine.send(start(3, PENDING, has_data=True))
    engine.send(data(3, content, last=False))
    engine.send(data(3, b"the end."))
    begun = b"".join(b"".join(engine.data_to_send()) for _ in range(takes))
    engine.send(Abort())
    rest = provider.sent()
    assert len(rest) <= len(command(3, PENDING, has_data=True)) * 12 + len(ABORT)
    assert (begun + rest).endswith(ABORT)
    before = (begun + rest)[: -len(ABORT)]
    assert len(before) < len(one)
    assert one.startswith(before)
    assert [pdu[0] for pdu in pdus(begun + rest)][-1] == 7
    assert engine.state is State.Sta13


@pytest.mark.parametrize("max_length", [8, 9, 16, 128, 512])
def test_an_abort_for_a_fault_of_the_peer_waits_for_nothing_either(max_length: int) -> None:
    provider, content, _ = answering_find(max_length)
    provider.engine.send(start(3, PENDING, has_data=True))
    provider.engine.send(data(3, content))
    provider.engine.receive_data(p_data((9, True, True, b"ab")))
    provider.events()
    assert [pdu[0] for pdu in pdus(provider.sent())][-1] == 7
    assert provider.engine.state is State.Sta13
    assert provider.engine.bytes_queued == 0


@pytest.mark.parametrize("max_length", LENGTHS)
def test_what_is_not_cut_when_the_peer_has_gone_is_forgotten(max_length: int) -> None:
    lone = user(max_length, Limits(queued=1000))
    lone.sent()
    lone.engine.send(data(3, bytes(100_000)))
    begun = b"".join(lone.engine.data_to_send())
    lone.engine.receive_data(ABORT)
    assert lone.events() == [Abort(source=0, reason=0), Closed()]
    assert (lone.engine.wants_close, lone.engine.bytes_queued, lone.sent()) == (True, 0, b"")
    whole = eager([bytes(100_000)], max_length)
    assert whole.startswith(begun)


def test_one_take_is_as_much_as_may_be_queued_and_a_pdu_at_least() -> None:
    for max_length in (8, 128, 512, 4096):
        for queued in (1000, 100_000):
            lone = user(max_length, Limits(queued=queued))
            lone.sent()
            lone.engine.send(data(3, bytes(30_000)))
            while buffers := lone.engine.data_to_send():
                size = sum(map(len, buffers))
                assert 0 < size <= queued + 2 * (max_length + 6)
                assert 256 * len(buffers) <= 2 * queued + 256 * 6


# -- memory and time -----------------------------------------------------------------------------------------------


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@measured_itself
@pytest.mark.parametrize("max_length", LENGTHS)
def test_a_large_buffer_costs_a_few_takes_whatever_the_length(max_length: int) -> None:
    """104 bytes of memory for each byte, with a Maximum Length of 8, when all of it was cut at once."""
    lone = user(max_length)
    lone.sent()
    content = bytes(3 * MIB)

    def send() -> None:
        lone.engine.send(data(3, content))
        while lone.engine.data_to_send():
            pass

    assert peak(lambda: lone.engine.send(data(3, content, last=False))) < 10_000
    assert peak(send) < 3 * MIB


@measured_itself
@pytest.mark.parametrize("size", [1, 2, 3, 20, 100, 600, 1023, 1500])
@pytest.mark.parametrize("max_length", [8, 16, 128, 16_384])
def test_many_small_pieces_cost_what_they_are_on_the_wire(max_length: int, size: int) -> None:
    lone = user(max_length)
    lone.sent()
    count = min(5_000, 300_000 // size)
    content = bytes(size)

    def send() -> None:
        for _ in range(count):
            lone.engine.send(data(3, content, last=False))

    spent = peak(send)
    assert spent < 2 * lone.engine.bytes_queued + 512 * 256 * 2


@measured_itself
@pytest.mark.parametrize("max_length", [8, 16, 128, 16_384])
def test_processor_time_is_in_proportion_to_the_bytes_on_the_wire(max_length: int) -> None:
    """Some 30 ns a byte are ten times what it takes; a PDU of its own for each two bytes takes more."""
    lone = user(max_length)
    lone.sent()
    content = bytes(MIB)
    spent = []
    for _ in range(3):
        began = process_time()
        lone.engine.send(data(3, content, last=False))
        size = sum(len(buffer) for buffer in taken(lone.engine))
        spent.append((process_time() - began) / size)
    assert min(spent) < 30e-9


# -- the floor -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [8, 100, 511])
def test_a_length_below_the_floor_is_refused_by_either_side(length: int) -> None:
    asked, default = request(max_length=length), policy()
    answer = negotiate(asked, type(default)(other_contexts=default.other_contexts))
    assert answer == AssociateReject(source=answer.source, reason=1)
    assert isinstance(answer, AssociateReject)
    engine = Association.requestor(REQUEST)
    engine.data_to_send()
    accept = negotiate(REQUEST, policy(max_length=length))
    engine.receive_data(encode(accept))
    event = engine.next_event()
    assert isinstance(event, ProviderAbort)
    assert isinstance(event.error, RemoteProtocolError)
    assert (event.error.limit, event.error.seen, event.error.allowed) == ("peer_max_length", length, 512)
    assert b"".join(engine.data_to_send()) == encode(Abort(source=2, reason=6))


@pytest.mark.parametrize("length", [8, 100, 511])
def test_the_floor_can_be_lowered_on_either_side(length: int) -> None:
    for lone in (Lone.provider(request(max_length=length)), Lone.user(answer=policy(max_length=length))):
        assert lone.engine.terms.agreement is not None
        assert lone.engine.terms.agreement.peer_max_length == length
    with pytest.raises(ValueError, match="limit peer_max_length of 7 bytes; at least 8"):
        Limits(peer_max_length=7)


def test_a_flow_sends_a_whole_buffer_by_turns() -> None:
    lone = Lone.user(answer=policy(max_length=16))
    exchange = Exchange(lone.engine)
    exchange.send(3, STORE, bytes(MIB))
    assert not exchange.sending
    assert exchange.over_high_water
    first = sum(map(len, lone.engine.data_to_send()))
    assert first <= MIB + 1000
    lone.sent()
    assert not exchange.over_high_water


def test_the_response_is_waited_for_once_the_request_is_cut_to_its_end() -> None:
    """Bytes that are not taken yet may take long, and the peer cannot answer before it has them."""
    lone = Lone.user(answer=policy(max_length=1000))
    lone.engine.send(start(3, STORE, has_data=True))
    lone.engine.send(MessageData(context=3, data=bytes(5 * MIB), last=True))
    assert lone.engine.next_event() is None
    for now in (0.0, 1000.0, 2000.0, 3000.0):
        assert lone.engine.deadline(now) is None
        lone.engine.data_to_send()
    lone.sent()
    deadline = lone.engine.deadline(5000.0)
    assert deadline is not None
    assert (deadline.at, deadline.why) == (5060.0, "response: waiting for the one to message 1")


def test_small_buffers_before_a_large_one_are_joined_and_the_order_stays() -> None:
    outbox = Outbox(1 << 20)
    for number in range(CROWD - 1):
        outbox.add([bytes((number & 0xFF,))], 1)
    outbox.add([b"head", bytes(4096)], 4100)
    taken = outbox.take()
    assert len(taken) == 2
    assert b"".join(taken) == bytes(number & 0xFF for number in range(CROWD - 1)) + b"head" + bytes(4096)
    assert outbox.queued == 0

"""Messages over an association: cut and put together again, matched, bounded; what may not come, what may not go."""

from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_proto.association import Association, prepare
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.events import Event, MessageData, MessageStart
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    NEventReportRequest,
)
from dicos_proto.errors import AbortReason, LocalProtocolError, RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import Abort, OperationsWindow
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Buffer
from tests.pair import (
    CT,
    MR,
    VERIFICATION,
    Lone,
    Pair,
    Splitter,
    bytewise,
    command,
    data,
    data_pdus,
    joined,
    p_data,
    policy,
    request,
    scattered,
    splitters,
    start,
)

ECHO = CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)
ECHOED = CEchoResponse(message_id_being_responded_to=1, status=0)
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
STORED = CStoreResponse(message_id_being_responded_to=1, status=0)
FIND = CFindRequest(message_id=9, affected_sop_class_uid=CT)
WINDOW = OperationsWindow(invoked=3, performed=2)
ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())


def violated(found: list[Event]) -> RemoteProtocolError:
    last = found[-1]
    assert isinstance(last, ProviderAbort)
    assert isinstance(last.error, RemoteProtocolError)
    return last.error


# -- encoded ahead of time -------------------------------------------------------------------------------------------


def sent_by(pair: Pair) -> bytes:
    return b"".join(pair.user.data_to_send())


@pytest.mark.parametrize("max_length", [0, 8, 100, 16_384])
def test_what_was_prepared_is_sent_as_it_ever_is(max_length: int) -> None:
    plain, pair = (
        Pair.established(request(window=WINDOW), policy(max_length=max_length, window=WINDOW)) for _ in range(2)
    )
    for number in 1, 2:
        event = start(3, STORE if number == 1 else replace(STORE, message_id=2), has_data=True)
        plain.user.send(event)
        prepare(pair.user, event)
        assert pair.user.bytes_queued == 0
        assert pair.user.operations.outstanding == number - 1
        pair.user.send(event)
        for each in plain, pair:
            each.user.send(data(3, b"abcd"))
        assert sent_by(pair) == sent_by(plain)


def test_what_was_prepared_goes_with_its_very_event_only() -> None:
    plain, pair = (Pair.established(request(window=WINDOW), policy(window=WINDOW)) for _ in range(2))
    first, second = start(1, ECHO), start(1, replace(ECHO, message_id=2))
    prepare(pair.user, first)
    prepare(pair.user, second)  # only the last one counts
    for each in plain, pair:
        each.user.send(first)
        each.user.send(second)
    assert sent_by(pair) == sent_by(plain)
    prepare(pair.user, second)
    with pytest.raises(LocalProtocolError, match="message id 2 is still in use"):
        pair.user.send(second)
    assert pair.user.bytes_queued == 0


def test_it_can_be_prepared_within_a_message_and_sent_after_that() -> None:
    pair = Pair.established(request(window=WINDOW), policy(window=WINDOW))
    pair.user.send(start(3, STORE, has_data=True))
    event = start(1, replace(ECHO, message_id=2))
    prepare(pair.user, event)
    with pytest.raises(LocalProtocolError, match="before the data set on context 3 is complete"):
        pair.user.send(event)
    pair.user.send(data(3, b"abcd"))
    pair.user.send(event)
    assert pair.events(pair.provider) == [start(3, STORE, has_data=True), data(3, b"abcd"), event]


@pytest.mark.parametrize(
    "event",
    [
        start(7, ECHO),
        start(1, ECHO, has_data=True),
        start(3, STORE),
        start(1, replace(ECHO, message_id=65_536)),
        start(3, replace(STORE, affected_sop_instance_uid=""), has_data=True),
    ],
)
def test_what_cannot_be_encoded_cannot_be_prepared_and_is_refused_as_it_ever_is(event: MessageStart) -> None:
    pair = Pair.established()
    texts = []
    for method in (partial(prepare, pair.user), pair.user.send, partial(prepare, pair.user)):
        with pytest.raises(LocalProtocolError) as refused:
            method(event)
        texts.append(str(refused.value))
    assert len(set(texts)) == 1
    pair.user.send(start(1, ECHO))
    assert pair.events(pair.provider) == [start(1, ECHO)]


def test_nothing_can_be_prepared_before_anything_is_agreed() -> None:
    with pytest.raises(LocalProtocolError, match="none are"):
        prepare(Association.acceptor(), start(1, ECHO))


def test_what_was_prepared_cannot_be_sent_after_the_end() -> None:
    pair = Pair.established()
    event = start(1, ECHO)
    prepare(pair.user, event)
    pair.user.send(Abort())
    queued = pair.user.bytes_queued
    with pytest.raises(LocalProtocolError, match="Sta13"):
        pair.user.send(event)
    assert pair.user.bytes_queued == queued


# -- cut and put together --------------------------------------------------------------------------------------------


@ANY
@pytest.mark.parametrize("max_length", [0, 8, 9, 100, 16384])
@pytest.mark.parametrize("sizes", [(0,), (1,), (1, 1), (1, 2), (3, 0, 4), (2, 2), (7, 1, 2), (999,), (500, 499, 1)])
def test_a_data_set_in_pieces_of_any_size(split: Splitter, max_length: int, sizes: tuple[int, ...]) -> None:
    pair = Pair.established(answer=policy(max_length=max_length), split=split)
    content = bytes(index & 0xFF for index in range(sum(sizes)))
    pair.user.send(start(3, STORE, has_data=True))
    at = 0
    for index, size in enumerate(sizes):
        pair.user.send(data(3, content[at : at + size], last=index == len(sizes) - 1))
        at += size
    assert joined(pair.events(pair.provider)) == [start(3, STORE, has_data=True), data(3, content)]
    for pdu in data_pdus(pair.from_user.carried):
        assert sum(6 + len(pdv.data) for pdv in pdu.pdvs) <= (max_length or 1 << 20)
    fragments = [len(pdv.data) for pdu in data_pdus(pair.from_user.carried) for pdv in pdu.pdvs if not pdv.command]
    assert all(size % 2 == 0 for size in fragments[:-1])  # PS3.8 E.1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_payloads_are_the_buffers_of_the_caller(kind: Callable[[bytes], bytes]) -> None:
    pair = Pair.established()
    pair.user.send(start(3, STORE, has_data=True))
    pair.user.data_to_send()
    content = kind(bytes(100_000))
    pair.user.send(data(3, content))
    buffers = pair.user.data_to_send()
    payloads = [buffer for buffer in buffers if isinstance(buffer, memoryview)]
    assert sum(map(len, payloads)) == 100_000
    whole = content.obj if isinstance(content, memoryview) else content
    assert all(buffer.obj is whole for buffer in payloads)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(data).cast("c")])
@pytest.mark.parametrize("sizes", [(0,), (2,), (1, 1), (1, 2), (1, 99, 0), (16_378,), (40_000,)])
def test_what_is_queued_is_bytes_and_views_of_bytes_none_of_them_empty(
    kind: Callable[[bytes], Buffer], sizes: tuple[int, ...]
) -> None:
    pair = Pair.established()
    pair.user.send(start(3, STORE, has_data=True))
    pair.user.data_to_send()
    sent = b""
    for index, size in enumerate(sizes):
        pair.user.send(data(3, kind(bytes(size)), last=index == len(sizes) - 1))
        queued = pair.user.bytes_queued
        buffers = pair.user.data_to_send()
        assert queued == sum(map(len, buffers))
        assert all(type(buffer) in (bytes, memoryview) and len(buffer) > 0 for buffer in buffers)
        sent += b"".join(buffers)
    assert b"".join(pdv.data for pdu in data_pdus(sent) for pdv in pdu.pdvs) == bytes(sum(sizes))


def test_received_data_are_views_of_the_chunk() -> None:
    provider = Lone.provider()
    provider.feed(command(3, STORE, has_data=True))
    chunk = bytearray(p_data((3, False, True, bytes(1000))))
    provider.engine.receive_data(chunk)
    (piece,) = provider.events()
    assert isinstance(piece, MessageData)
    assert isinstance(piece.data, memoryview)
    assert piece.data.obj is chunk


@ANY
@pytest.mark.parametrize("cuts", [(5,), (1, 2, 3), (50, 51)])
def test_a_command_set_in_any_number_of_pieces(split: Splitter, cuts: tuple[int, ...]) -> None:
    raw = encode_command(STORE, has_data=True)
    ends = [*cuts, len(raw)]
    parts = [(3, True, end == len(raw), raw[begin:end]) for begin, end in zip([0, *cuts], ends, strict=True)]
    together, apart = p_data(*parts, (3, False, True, b"abcd")), b"".join(p_data(part) for part in parts)
    wanted = [start(3, STORE, has_data=True), data(3, b"abcd")]
    assert joined(Lone.provider(split=split).feed(together)) == wanted
    assert joined(Lone.provider(split=split).feed(apart + p_data((3, False, True, b"abcd")))) == wanted


@ANY
def test_two_messages_in_one_pdu(split: Splitter) -> None:
    provider = Lone.provider(request(window=WINDOW), policy(window=WINDOW), split=split)
    other = CEchoRequest(message_id=2, affected_sop_class_uid=VERIFICATION)
    found = provider.feed(
        p_data(
            (1, True, True, encode_command(ECHO, has_data=False)),
            (1, True, True, encode_command(other, has_data=False)),
        )
    )
    assert found == [start(1, ECHO), start(1, other)]


# -- operations ----------------------------------------------------------------------------------------------------


def test_a_window_of_operations_is_answered_in_any_order() -> None:
    pair = Pair.established(request(window=WINDOW), policy(window=WINDOW))
    echoes = [CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION) for number in (1, 2, 3)]
    for echo in echoes:
        pair.user.send(start(1, echo))
    assert pair.user.operations.outstanding == 3
    with pytest.raises(LocalProtocolError, match=r"3 operations outstanding; the window is 3 \[PS3.7 D.3.3.3\]"):
        pair.user.send(start(1, CEchoRequest(message_id=4, affected_sop_class_uid=VERIFICATION)))
    assert pair.events(pair.provider) == [start(1, echo) for echo in echoes]
    assert pair.provider.operations.owed == 3
    for number in (2, 3, 1):
        answer = start(1, CEchoResponse(message_id_being_responded_to=number, status=0))
        pair.provider.send(answer)
        assert pair.events(pair.user) == [answer]
    assert pair.user.operations.outstanding == pair.provider.operations.owed == 0


@pytest.mark.parametrize(
    "granted", [None, OperationsWindow(invoked=2, performed=1), OperationsWindow(invoked=0, performed=1)]
)
def test_a_peer_that_overruns_the_window_is_at_fault(granted: OperationsWindow | None) -> None:
    allowed = granted.invoked or 4 if granted else 1
    wish = OperationsWindow(invoked=0, performed=1)
    provider = Lone.provider(request(window=wish), policy(window=granted), limits=Limits(outstanding=4))
    for number in range(1, allowed + 1):
        echo = CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION)
        assert provider.feed(command(1, echo)) == [start(1, echo)]
    error = violated(provider.feed(command(1, CEchoRequest(message_id=99, affected_sop_class_uid=VERIFICATION))))
    assert (error.seen, error.allowed) == (allowed + 1, allowed)
    assert error.limit == ("outstanding" if granted and not granted.invoked else "window")
    assert decode(provider.sent()) == Abort(source=2, reason=5)


def test_a_message_id_in_use_is_not_used_again() -> None:
    pair = Pair.established(request(window=WINDOW), policy(window=WINDOW))
    pair.user.send(start(1, ECHO))
    with pytest.raises(LocalProtocolError, match=r"message id 1 is still in use \[PS3.7 9.1.1\]"):
        pair.user.send(start(3, STORE, has_data=True))
    provider = Lone.provider(request(window=WINDOW), policy(window=WINDOW))
    error = violated(provider.feed(command(1, ECHO), command(3, STORE, has_data=True)))
    assert str(error) == "C-STORE-RQ with message id 1, which is still in use [PS3.7 9.1.1]"


def test_roles_are_kept_to() -> None:
    pair = Pair.established()
    with pytest.raises(LocalProtocolError, match="C-ECHO-RQ: no such role on context 1"):
        pair.provider.send(start(1, ECHO))
    user = Lone.user()
    assert "from a peer without that role [PS3.7 D.3.3.4]" in str(violated(user.feed(command(1, ECHO))))
    report = NEventReportRequest(
        message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", event_type_id=1
    )
    with pytest.raises(LocalProtocolError, match="N-EVENT-REPORT-RQ: no such role"):
        pair.user.send(start(3, report))
    pair.provider.send(start(3, report))
    assert pair.events(pair.user) == [start(3, report)]


# -- what may not come ------------------------------------------------------------------------------------------------

RAW = encode_command(STORE, has_data=True)


@ANY
@pytest.mark.parametrize(
    ("stream", "reason", "text"),
    [
        ([p_data((3, False, True, b"ab"))], 5, "data PDV on context 3 where a command set is to begin or to go on"),
        ([p_data((3, True, False, RAW[:9])), p_data((3, False, True, b"ab"))], 5, "where a command set is to begin"),
        ([p_data((3, True, False, RAW[:9]), (5, True, True, RAW[9:]))], 5, "context 5 inside the command set on 3"),
        ([command(3, STORE, has_data=True), p_data((5, False, True, b"ab"))], 5, "context 5 inside the data set on 3"),
        ([command(3, STORE, has_data=True), command(3, STORE)], 5, "command PDV inside the data set on context 3"),
        ([p_data((7, True, True, RAW))], 6, "PDV on presentation context 7, which is not accepted"),
        ([command(3, STORED)], 5, "C-STORE-RSP to message 1, which is not outstanding"),
        ([p_data((1, True, True, b""))], 6, "command set of 0 bytes"),
        ([p_data((3, True, True, RAW[:-2]))], 6, "command group length"),
    ],
    ids=lambda value: "" if isinstance(value, list) else str(value)[:40],
)  # fmt: skip
def test_what_may_not_come_is_aborted_after_all_that_was_good(
    split: Splitter, stream: list[bytes], reason: int, text: str
) -> None:
    provider = Lone.provider(request(window=WINDOW), policy(window=WINDOW), split=split)
    echo = CEchoRequest(message_id=77, affected_sop_class_uid=VERIFICATION)
    found = joined(provider.feed(command(1, echo), *stream))
    assert found[0] == start(1, echo)
    error = violated(found)
    assert text in str(error)
    assert error.reason is AbortReason(reason)
    assert decode(provider.sent()) == Abort(source=2, reason=reason)
    assert not any(isinstance(event, MessageData) and event.last for event in found)
    provider.engine.receive_eof()
    assert provider.events() == [Closed()]


@pytest.mark.parametrize(
    ("answer", "context", "text"),
    [
        (CEchoResponse(message_id_being_responded_to=2, status=0), 1, "2, which is not outstanding [PS3.7 9.1]"),
        (STORED, 1, "C-STORE-RSP to message 1, whose command field was 0x0030 [PS3.7 9.1]"),
        (ECHOED, 3, "C-ECHO-RSP to message 1 on context 3; it was sent on 1 [PS3.7 9.1]"),
        (CFindResponse(message_id_being_responded_to=1, status=0), 1, "C-FIND-RSP to message 1"),
    ],
)
def test_a_response_belongs_to_its_request(answer: Command, context: int, text: str) -> None:
    user = Lone.user()
    user.engine.send(start(1, ECHO))
    user.sent()
    assert text in str(violated(user.feed(command(context, answer))))
    assert decode(user.sent()) == Abort(source=2, reason=5)


def test_a_second_response_is_a_violation() -> None:
    user = Lone.user()
    user.engine.send(start(1, ECHO))
    user.sent()
    found = user.feed(command(1, ECHOED), command(1, ECHOED))
    assert found[0] == start(1, ECHOED)
    assert "which is not outstanding" in str(violated(found))


# -- what a message may cost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize("pieces", [1, 2])
def test_the_length_of_a_command_set_is_bounded(over: int, pieces: int) -> None:
    provider = Lone.provider(limits=Limits(command_set=len(RAW) + over))
    cut = len(RAW) if pieces == 1 else 20
    parts = [(3, True, pieces == 1, RAW[:cut])] + [(3, True, True, RAW[cut:])] * (pieces - 1)
    found = provider.feed(p_data(*parts))
    if over >= 0:
        assert found == [start(3, STORE, has_data=True)]
    else:
        error = violated(found)
        assert (error.limit, error.seen, error.allowed) == ("command_set", len(RAW), len(RAW) - 1)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_fragments_of_a_command_set_are_bounded(over: int) -> None:
    provider = Lone.provider(limits=Limits(command_fragments=5))
    parts = [(3, True, False, RAW[index : index + 1]) for index in range(4 + over)]
    found = provider.feed(p_data(*parts, (3, True, True, RAW[4 + over :])))
    if over <= 0:
        assert found == [start(3, STORE, has_data=True)]
    else:
        assert violated(found).limit == "command_fragments"


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_empty_fragments_in_a_row_are_bounded(over: int) -> None:
    provider = Lone.provider(limits=Limits(empty_pdvs=4))
    provider.feed(command(3, STORE, has_data=True), p_data((3, False, False, b"ab")))
    found = provider.feed(*[p_data((3, False, False, b""))] * (4 + over), p_data((3, False, True, b"cd")))
    if over <= 0:
        assert joined(found) == [data(3, b"cd")]
    else:
        assert violated(found).limit == "empty_pdvs"


# -- what may not go --------------------------------------------------------------------------------------------------


def refused(pair: Pair, event: MessageStart | MessageData, text: str) -> None:
    before = (pair.user.state, pair.user.bytes_queued, pair.user.operations.outstanding, pair.user.deadline(pair.now))
    with pytest.raises(LocalProtocolError, match=text):
        pair.user.send(event)
    assert (
        pair.user.state,
        pair.user.bytes_queued,
        pair.user.operations.outstanding,
        pair.user.deadline(pair.now),
    ) == before


def test_what_may_not_go_changes_nothing() -> None:
    pair = Pair.established(request(window=WINDOW), policy(window=WINDOW))
    refused(pair, data(3, b"ab"), r"data on context 3; no data set is being sent")
    refused(pair, start(99, ECHO), r"presentation context 99 is not accepted; 1, 3, 5 are")
    refused(pair, start(1, ECHOED), "C-ECHO-RSP to message 1: no such request is owed")
    pair.user.send(start(3, STORE, has_data=True))
    refused(pair, start(1, CEchoRequest(message_id=2, affected_sop_class_uid=VERIFICATION)), "before the data set on")
    refused(pair, data(5, b"ab"), "data on context 5; the data set on context 3 is being sent")
    refused(pair, data(3, memoryview(array("H", [1, 2]))), "not a run of bytes; a memoryview of it, cast to 'B', is")
    refused(pair, data(3, memoryview(b"abcd")[::2]), "not a run of bytes")
    refused(pair, data(3, memoryview(b"abcd").cast("B", (2, 2))), "not a run of bytes")
    pair.user.send(data(3, b"ab"))
    assert joined(pair.events(pair.provider)) == [start(3, STORE, has_data=True), data(3, b"ab")]


def test_where_no_context_is_accepted_none_can_be_used() -> None:
    pair = Pair.established(answer=AcceptPolicy())
    refused(pair, start(1, ECHO), r"presentation context 1 is not accepted; none are \[PS3.8 9.3.5\]")


def test_nothing_is_accepted_before_anything_is_agreed() -> None:
    fresh = Pair()
    with pytest.raises(LocalProtocolError, match="MessageStart cannot be sent in Sta5"):
        fresh.user.send(start(1, ECHO))
    with pytest.raises(LocalProtocolError, match="MessageData cannot be sent in Sta5"):
        fresh.user.send(data(1, b"ab"))


def test_a_response_is_owed_once() -> None:
    pair = Pair.established()
    pair.user.send(start(3, FIND, has_data=True))
    pair.user.send(data(3, b"ab"))
    pair.events(pair.provider)
    pending = CFindResponse(message_id_being_responded_to=9, status=0xFF00)
    final = CFindResponse(message_id_being_responded_to=9, status=0)
    for _ in range(2):
        pair.provider.send(start(3, pending, has_data=True))
        pair.provider.send(data(3, b"cd"))
    pair.provider.send(start(3, final))
    with pytest.raises(LocalProtocolError, match="no such request is owed"):
        pair.provider.send(start(3, final))
    one = [start(3, pending, has_data=True), data(3, b"cd")]
    assert pair.events(pair.user) == [*one, *one, start(3, final)]


MISPLACED = {
    "a store without its object": (STORE, False, "C-STORE-RQ with no data set; it has a data set"),
    "a find without its identifier": (FIND, False, "C-FIND-RQ with no data set; it has a data set"),
    "an echo with a data set": (ECHO, True, "C-ECHO-RQ with a data set; it has no data set"),
    "a cancel with a data set": (
        CCancelRequest(message_id_being_responded_to=1), True, "C-CANCEL-RQ with a data set; it has no data set",
    ),
}  # fmt: skip


@ANY
@pytest.mark.parametrize(("message", "has_data", "text"), MISPLACED.values(), ids=MISPLACED)
def test_a_message_has_its_data_set_and_no_other(split: Splitter, message: Command, has_data: bool, text: str) -> None:
    provider = Lone.provider(split=split)
    error = violated(provider.feed(command(3, message, has_data=has_data)))
    assert str(error) == f"{text} [PS3.7 E.1]"
    assert error.reason is AbortReason.INVALID_PARAMETER
    pair = Pair.established(split=split)
    with pytest.raises(LocalProtocolError) as caught:
        pair.user.send(start(3, message, has_data=has_data))
    assert str(caught.value) == f"{text} [PS3.7 E.1]"
    assert (pair.user.operations.outstanding, pair.user.operations.sending) == (0, False)


@ANY
@pytest.mark.parametrize(("code", "has_data"), [(0xFF00, False), (0xFF01, False), (0x0000, True), (0xFE00, True)])
def test_a_find_response_has_a_match_where_it_is_pending(split: Splitter, code: int, has_data: bool) -> None:
    user = Lone.user(split=split)
    user.engine.send(start(3, FIND, has_data=True))
    user.engine.send(data(3, b"ab"))
    answer = CFindResponse(message_id_being_responded_to=9, status=code)
    error = violated(user.feed(command(3, answer, has_data=has_data)))
    assert "it has a data set where its status is pending, none where it is not" in str(error)


# -- at random ------------------------------------------------------------------------------------------------------


@given(
    pieces=st.lists(st.binary(max_size=60), max_size=8),
    max_length=st.sampled_from([0, 8, 9, 20, 50, 1000]),
    seed=st.integers(0, 50),
)
def test_what_is_sent_is_what_comes(pieces: list[bytes], max_length: int, seed: int) -> None:
    pair = Pair.established(answer=policy(max_length=max_length), split=scattered(seed))
    pair.user.send(
        start(5, CStoreRequest(message_id=1, affected_sop_class_uid=MR, affected_sop_instance_uid="1"), has_data=True)
    )
    for piece in pieces:
        pair.user.send(data(5, piece, last=False))
    pair.user.send(data(5, b""))
    found = joined(pair.events(pair.provider))
    assert found[1:] == [data(5, b"".join(pieces))]


@pytest.mark.parametrize("split", [bytewise])
def test_end_of_file_at_every_byte_never_completes_a_data_set(split: Splitter) -> None:
    stream = command(3, STORE, has_data=True) + p_data((3, False, False, b"abcd")) + p_data((3, False, True, b"ef"))
    for end in range(len(stream)):
        provider = Lone.provider(split=split)
        found = provider.feed(stream[:end])
        provider.engine.receive_eof()
        found += provider.events()
        assert not any(isinstance(event, MessageData) and event.last for event in found)
        assert isinstance(found[-2], ProviderAbort)
        assert found[-1] == Closed()

"""Data sets of every size around the peer's Maximum Length, large ones, and many messages under way at once."""

import tracemalloc
from itertools import permutations
from random import Random

import pytest

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CStoreRequest,
    CStoreResponse,
)
from dicos_proto.errors import LocalProtocolError, RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import Abort, OperationsWindow
from tests.pair import (
    CT,
    VERIFICATION,
    Lone,
    Pair,
    as_sent,
    command,
    data,
    data_pdus,
    joined,
    p_data,
    policy,
    request,
    scattered,
    start,
)

MANY = OperationsWindow(invoked=0, performed=0)


def store(number: int) -> CStoreRequest:
    return CStoreRequest(message_id=number, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def stored(number: int, code: int = 0) -> CStoreResponse:
    return CStoreResponse(message_id_being_responded_to=number, status=code)


def echo(number: int) -> CEchoRequest:
    return CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION)


# -- around the Maximum Length ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_length", [8, 9, 10, 11, 64, 16_384])
@pytest.mark.parametrize("off", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("times", [1, 3])
def test_sizes_around_the_largest_fragment(max_length: int, off: int, times: int) -> None:
    fragment = (max_length - 6) // 2 * 2
    size = times * fragment + off
    pair = Pair.established(answer=policy(max_length=max_length))
    pair.user.send(start(3, store(1), has_data=True))
    pair.events(pair.provider)
    pair.from_user.carried.clear()
    content = bytes(index % 251 for index in range(size))
    pair.user.send(data(3, content))
    assert pair.user.bytes_queued == sum(len(buffer) for buffer in pair.user.data_to_send())
    pair = Pair.established(answer=policy(max_length=max_length))
    pair.user.send(start(3, store(1), has_data=True))
    pair.user.send(data(3, content))
    assert joined(pair.events(pair.provider))[1:] == [data(3, content)]
    sizes = [len(pdv.data) for pdu in data_pdus(pair.from_user.carried) for pdv in pdu.pdvs if not pdv.command]
    full, rest = divmod(size, fragment)
    assert sizes == [fragment] * full + [rest] * (rest > 0) or (size == 0 and sizes == [0])
    lasts = [pdv.last for pdu in data_pdus(pair.from_user.carried) for pdv in pdu.pdvs if not pdv.command]
    assert lasts == [False] * (len(sizes) - 1) + [True]


@pytest.mark.parametrize("max_length", [8, 200], ids=["command sets are cut too", "only data sets are cut"])
@pytest.mark.parametrize("contexts", [*permutations((1, 3, 5)), (3, 3, 1)])
def test_every_fragment_says_which_context_and_kind_it_is_of(contexts: tuple[int, ...], max_length: int) -> None:
    """Earlier messages do not matter: command sets and data sets in many full fragments, on alternating contexts."""
    pair = Pair.established(request(window=MANY), policy(window=MANY, max_length=max_length))
    content = bytes(999)
    expected: list[tuple[int, bool, int]] = []
    for number, context in enumerate(contexts):
        for message, has_data in ((store(number), True), (echo(100 + number), False)):
            pair.user.send(start(context, message, has_data=has_data))
            expected.append((context, True, len(encode_command(message, has_data=has_data))))
            if has_data:
                pair.user.send(data(context, content))
                expected.append((context, False, len(content)))
    pair.pump()
    pdvs = [pdv for pdu in data_pdus(pair.from_user.carried) for pdv in pdu.pdvs]
    found: list[tuple[int, bool, int]] = []
    size = 0
    for pdv, following in zip(pdvs, [*pdvs[1:], None], strict=True):
        size += len(pdv.data)
        if pdv.last or following is None or (following.context, following.command) != (pdv.context, pdv.command):
            found.append((pdv.context, pdv.command, size))
            size = 0
    assert found == expected


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_pdu_longer_than_was_advertised_is_refused_at_its_header(off: int) -> None:
    provider = Lone.provider(answer=policy(max_length=200))
    provider.feed(command(3, store(1), has_data=True))
    pdu = p_data((3, False, True, bytes(194 + off)))
    if off <= 0:
        assert joined(provider.feed(pdu)) == [data(3, bytes(194 + off))]
    else:
        (abort,) = provider.feed(pdu[:6])
        assert isinstance(abort, ProviderAbort)
        assert isinstance(abort.error, RemoteProtocolError)
        assert (abort.error.limit, abort.error.seen, abort.error.allowed) == ("max_length", 201, 200)
        assert decode(provider.sent()) == Abort(source=2, reason=6)


@pytest.mark.parametrize("outgoing", [8, 9, 10, 1000])
@pytest.mark.parametrize("max_length", [0, 8, 12, 0xFFFFFFFF])
def test_pdus_are_no_longer_than_the_own_limit_either(outgoing: int, max_length: int) -> None:
    pair = Pair.established(answer=policy(max_length=max_length), user_limits=Limits(outgoing_pdu=outgoing))
    pair.user.send(start(3, store(1), has_data=True))
    pair.user.send(data(3, bytes(3001)))
    assert joined(pair.events(pair.provider))[1:] == [data(3, bytes(3001))]
    bodies = [sum(6 + len(pdv.data) for pdv in pdu.pdvs) for pdu in data_pdus(pair.from_user.carried)]
    most = min(outgoing, max_length or outgoing) // 2 * 2
    assert max(bodies) == most


def test_an_own_limit_no_message_fits_in_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="outgoing_pdu of 7 bytes; at least 8"):
        Limits(outgoing_pdu=7)


@pytest.mark.parametrize("seed", range(6))
def test_any_pieces_make_the_same_data_set(seed: int) -> None:
    random = Random(seed)
    content = random.randbytes(5000)
    pair = Pair.established(answer=policy(max_length=random.choice([0, 8, 9, 100])), split=scattered(seed))
    pair.user.send(start(3, store(1), has_data=True))
    at = 0
    while at < len(content):
        size = random.choice([0, 1, 1, 2, 3, 93, 94, 95, 1000])
        kind = random.choice([bytes, bytearray, memoryview])
        pair.user.send(data(3, kind(content[at : at + size]), last=False))
        at += size
    pair.user.send(data(3, b""))
    assert joined(pair.events(pair.provider))[1:] == [data(3, content)]


@pytest.mark.parametrize("piece", [1 << 20, (1 << 20) - 1, 12 << 20])
def test_many_megabytes_cost_no_memory(piece: int) -> None:
    """12 MiB or more through both engines: neither holds, joins or copies them."""
    pair = Pair.established(split=as_sent, record=False)
    pair.user.send(start(3, store(1), has_data=True))
    pair.events(pair.provider)
    content = bytes(piece)
    rounds = max(1, (12 << 20) // piece)
    total = 0
    tracemalloc.start()
    try:
        for number in range(rounds):
            pair.user.send(data(3, content, last=number == rounds - 1))
            for event in pair.events(pair.provider):
                assert isinstance(event, MessageData)
                total += len(event.data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == piece * rounds
    assert peak < 400_000 + piece // 16


# -- many at once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outstanding", [1, 5, 40])
def test_an_unlimited_window_is_bounded_by_the_own_limit(outstanding: int) -> None:
    limits = Limits(outstanding=outstanding)
    pair = Pair.established(request(window=MANY), policy(window=MANY), user_limits=limits, provider_limits=limits)
    for number in range(outstanding):
        pair.user.send(start(1, echo(number)))
    with pytest.raises(LocalProtocolError, match=f"the window is {outstanding} "):
        pair.user.send(start(1, echo(outstanding)))
    came = pair.events(pair.provider)
    assert came == [start(1, echo(number)) for number in range(outstanding)]
    for number in reversed(range(outstanding)):
        pair.provider.send(start(1, CEchoResponse(message_id_being_responded_to=number, status=0)))
    assert len(pair.events(pair.user)) == outstanding
    pair.user.send(start(1, echo(0)))


def test_stores_are_pipelined_and_answered_in_any_order() -> None:
    pair = Pair.established(request(window=MANY), policy(window=MANY), split=scattered(5))
    contents = {number: bytes((number,)) * (number * 37) for number in range(1, 30)}
    for number, content in contents.items():
        pair.user.send(start(3, store(number), has_data=True))
        pair.user.send(data(3, content))
    came = joined(pair.events(pair.provider))
    assert came == [
        one
        for number, content in contents.items()
        for one in (start(3, store(number), has_data=True), data(3, content))
    ]
    order = list(contents)
    Random(3).shuffle(order)
    for number in order:
        pair.provider.send(start(3, stored(number)))
    assert pair.events(pair.user) == [start(3, stored(number)) for number in order]


def test_messages_cross_in_both_directions() -> None:
    """A message of the peer in the middle of an own data set, and the other way round."""
    pair = Pair.established(request(both_roles=True), policy(both_roles=True))
    for side in (pair.user, pair.provider):
        side.send(start(3, store(1), has_data=True))
        side.send(data(3, b"abcd", last=False))
    assert pair.events(pair.user) == pair.events(pair.provider)
    for side in (pair.provider, pair.user):
        side.send(data(3, b"ef"))
        side.send(start(3, stored(1)))
    expected = [data(3, b"ef"), start(3, stored(1))]
    assert joined(pair.events(pair.user)) == joined(pair.events(pair.provider)) == expected


def test_a_response_may_come_before_the_data_set_is_complete() -> None:
    pair = Pair.established()
    pair.user.send(start(3, store(1), has_data=True))
    pair.user.send(data(3, b"ab", last=False))
    pair.events(pair.provider)
    pair.provider.send(start(3, stored(1, 0xA700)))
    assert pair.events(pair.user) == [start(3, stored(1, 0xA700))]
    with pytest.raises(LocalProtocolError, match="before the data set on context 3 is complete"):
        pair.user.send(start(1, echo(1)))
    pair.user.send(data(3, b"cd"))
    pair.user.send(start(1, echo(1)))  # the id is free again
    assert joined(pair.events(pair.provider)) == [data(3, b"cd"), start(1, echo(1))]


def test_a_cancel_passes_the_window_and_is_not_answered() -> None:
    pair = Pair.established()
    find = CFindRequest(message_id=5, affected_sop_class_uid=CT)
    cancel = CCancelRequest(message_id_being_responded_to=5)
    pair.user.send(start(3, find, has_data=True))
    pair.user.send(data(3, b"ab"))
    pair.user.send(start(3, cancel))
    assert pair.events(pair.provider) == [start(3, find, has_data=True), data(3, b"ab"), start(3, cancel)]
    assert (pair.user.operations.outstanding, pair.provider.operations.owed) == (1, 1)


# -- fragments of a command set --------------------------------------------------------------------------------------


def test_empty_fragments_of_a_command_set_count_too() -> None:
    limits = Limits(empty_pdvs=2, command_fragments=100)
    provider = Lone.provider(limits=limits)
    assert provider.feed(p_data((1, True, False, b""), (1, True, False, b""))) == []
    (abort,) = provider.feed(p_data((1, True, False, b"")))
    assert isinstance(abort, ProviderAbort)
    assert isinstance(abort.error, RemoteProtocolError)
    assert (abort.error.limit, abort.error.seen, abort.error.allowed) == ("empty_pdvs", 3, 2)


def test_counts_begin_anew_with_each_message() -> None:
    limits = Limits(command_fragments=3, command_set=200)
    provider = Lone.provider(request(window=MANY), policy(window=MANY), limits=limits)
    for number in range(20):
        whole = command(1, echo(number))[12:]
        parts = [(1, True, end is None, whole[begin:end]) for begin, end in ((0, 5), (5, 6), (6, None))]
        assert provider.feed(p_data(*parts)) == [start(1, echo(number))]


def test_commands_of_one_fragment_are_not_added_up() -> None:
    provider = Lone.provider(request(window=MANY), policy(window=MANY), limits=Limits(command_fragments=2))
    for number in range(5):
        assert provider.feed(command(1, echo(number))) == [start(1, echo(number))]


def test_empty_fragments_are_counted_in_a_row_only() -> None:
    provider = Lone.provider(limits=Limits(empty_pdvs=2))
    provider.feed(command(3, store(1), has_data=True))
    empty, full = (3, False, False, b""), (3, False, False, b"ab")
    assert joined(provider.feed(p_data(empty, empty, full, empty, empty, full, empty, empty))) == [
        data(3, b"abab", last=False)
    ]
    assert isinstance(provider.feed(p_data(empty))[-1], ProviderAbort)


def test_the_empty_fragment_that_ends_a_data_set_is_not_one_too_many() -> None:
    provider = Lone.provider(limits=Limits(empty_pdvs=2))
    provider.feed(command(3, store(1), has_data=True))
    assert provider.feed(p_data(*[(3, False, False, b"")] * 2, (3, False, True, b""))) == [data(3, b"")]


def test_a_command_set_that_never_ends_is_refused_while_it_comes() -> None:
    """Not only once its last fragment is there, and not only at a PDV: within one as well."""
    provider = Lone.provider(limits=Limits(command_set=100))
    pdu = p_data((1, True, False, bytes(150)))
    assert provider.feed(pdu[:112]) == []
    (abort,) = provider.feed(pdu[112:113])
    assert isinstance(abort, ProviderAbort)
    assert isinstance(abort.error, RemoteProtocolError)
    assert (abort.error.limit, abort.error.seen, abort.error.allowed) == ("command_set", 101, 100)
    provider.engine.receive_eof()
    assert provider.events() == [Closed()]


def test_a_data_set_is_followed_by_nothing_of_its_own() -> None:
    provider = Lone.provider()
    found = provider.feed(command(3, store(1), has_data=True), p_data((3, False, True, b"ab"), (3, False, True, b"cd")))
    assert joined(found[:-1]) == [start(3, store(1), has_data=True), data(3, b"ab")]
    assert isinstance(found[-1], ProviderAbort)
    assert not any(isinstance(event, MessageStart) for event in found[1:])

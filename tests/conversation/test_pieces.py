"""`pieces` and `together`: a data set as it has come, however it was cut into PDVs and segments."""

from random import Random

import pytest

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange, response_to
from dicos_proto.conversation.feed import STARVED
from dicos_proto.conversation.flows import AssociationAborted, Flow, Need, Stream
from dicos_proto.conversation.invoking import ask
from dicos_proto.conversation.performing import next_request, requests
from dicos_proto.conversation.reading import SMALL, TOGETHER, pieces, skip_data, together
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import CStoreRequest, NEventReportRequest
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort
from tests.pair import CT, Lone, Pair, Splitter, command, p_data, policy, splitters

SPLITS = pytest.mark.parametrize("split", splitters().values(), ids=splitters())
LENGTH = SMALL + 6
"""A Maximum Length whose fragments are just not small."""
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def receive(exchange: Exchange, taken: list[list[bytes]]) -> Flow[bool]:
    """Takes one object and answers it. Returns True if it was complete."""
    start = yield from next_request(exchange)
    assert isinstance(start, MessageStart)
    for step in together(pieces(exchange, start)):
        if isinstance(step, Need):
            yield step
        else:
            taken.append([bytes(piece) for piece in step])
    assert not exchange.unread
    exchange.reply(response_to(start, 0))
    assert list(pieces(exchange, start)) == []
    return True


@SPLITS
@pytest.mark.parametrize("size", [2, 500, 3000, 10000])
def test_all_that_has_come_is_taken_together(split: Splitter, size: int) -> None:
    data = Random(size).randbytes(size)
    pair = Pair.established(answer=policy(max_length=LENGTH), split=split)
    taken: list[list[bytes]] = []
    response, complete = pair.run(ask(pair.uses, 3, STORE, data), receive(pair.provides, taken))
    assert complete
    assert response.status == 0
    assert b"".join(piece for one in taken for piece in one) == data
    assert all(map(all, taken))  # no piece is empty
    if split is splitters()["whole"]:
        assert len(taken[0]) == -(-size // SMALL)  # the fragments of PDUs of this length


def test_a_data_set_in_many_pieces_is_taken_so_many_at_a_time() -> None:
    data = Random(1).randbytes(2 * SMALL * TOGETHER + 2)
    pair = Pair.established(answer=policy(max_length=LENGTH))
    taken: list[list[bytes]] = []
    pair.run(ask(pair.uses, 3, STORE, data), receive(pair.provides, taken))
    assert all(len(one) <= TOGETHER for one in taken)
    assert sum(map(len, taken)) == 2 * TOGETHER + 1
    assert b"".join(map(b"".join, taken)) == data


@pytest.mark.parametrize("max_length", [8, 64, 500])
def test_small_pieces_are_joined_so_many_at_a_time(max_length: int) -> None:
    fragment = max_length - 6
    data = Random(1).randbytes(2 * fragment * TOGETHER + 2)
    pair = Pair.established(answer=policy(max_length=max_length))
    taken: list[list[bytes]] = []
    pair.run(ask(pair.uses, 3, STORE, data), receive(pair.provides, taken))
    assert sum(map(len, taken)) <= 4
    assert all(len(piece) <= (TOGETHER + 1) * fragment for one in taken for piece in one)
    assert b"".join(map(b"".join, taken)) == data


def test_an_object_without_a_byte_has_no_pieces() -> None:
    pair = Pair.established()
    taken: list[list[bytes]] = []
    pair.run(ask(pair.uses, 3, STORE, b""), receive(pair.provides, taken))
    assert taken == []


def test_an_abort_comes_after_what_came_before_it() -> None:
    def cut_off() -> Flow[None]:
        pair.uses.send(3, STORE, (piece for piece in (bytes(100), bytes(100), STARVED)))
        yield flows.Need.DRAIN
        yield from flows.abort(pair.user, Abort())

    pair = Pair.established()
    taken: list[list[bytes]] = []
    _, ended = pair.run(cut_off(), receive(pair.provides, taken))
    assert taken == [[bytes(100)]]
    assert isinstance(ended, AssociationAborted)


@SPLITS
def test_one_by_one_no_piece_is_lost_or_mixed_with_another_object(split: Splitter) -> None:
    """However often the stream is left and another one is made."""
    data = Random(7).randbytes(5000)
    pair = Pair.established(answer=policy(max_length=200), split=split)

    def take() -> Flow[list[bytes]]:
        got = []
        for _ in range(2):
            start = yield from next_request(pair.provides)
            assert isinstance(start, MessageStart)
            first = pieces(pair.provides, start)
            found = bytearray()
            while pair.provides.unread:
                stream: Stream[object] = pieces(pair.provides, start)
                while isinstance(step := next(stream, None), Need):
                    yield step
                assert isinstance(step, bytes | bytearray | memoryview)
                found += step
            got.append(bytes(found))
            pair.provides.reply(response_to(start, 0))
            assert list(first) == []
        return got

    def give() -> Flow[None]:
        yield from ask(pair.uses, 3, STORE, data)
        yield from ask(pair.uses, 3, STORE, data[::-1])

    _, got = pair.run(give(), take())
    assert got == [data, data[::-1]]


def test_the_pieces_of_one_message_are_not_those_of_another() -> None:
    pair = Pair.established()

    def take() -> Flow[None]:
        start = yield from next_request(pair.provides)
        assert isinstance(start, MessageStart)
        stale = pieces(pair.provides, start)
        yield from skip_data(pair.provides)
        pair.provides.reply(response_to(start, 0))
        second = yield from next_request(pair.provides)
        assert isinstance(second, MessageStart)
        assert list(stale) == []  # it was begun before: nothing of the other message
        with pytest.raises(LocalProtocolError, match="read or skipped before"):
            next(pieces(pair.provides, start))
        assert pair.provides.unread
        yield from skip_data(pair.provides)
        pair.provides.reply(response_to(second, 0))

    def give() -> Flow[None]:
        yield from ask(pair.uses, 3, STORE, b"abcd")
        yield from ask(pair.uses, 3, STORE, b"efgh")

    pair.run(give(), take())


def test_others_get_their_turn_among_tiny_pieces() -> None:
    """However the joining of pieces falls: a peer may send one byte in each PDV."""
    for first in range(1, 6):  # other messages may have taken steps before
        provider = Lone.provider(limits=Limits(received_pieces=10_000))
        provider.engine.receive_data(command(3, STORE, has_data=True) + p_data(*[(3, False, False, b"x")] * first))
        start = next(requests(provider.exchange))
        assert isinstance(start, MessageStart)
        for stream in (pieces(provider.exchange, start), together(pieces(provider.exchange, start))):
            turns = 0
            for _ in range(5):
                provider.engine.receive_data(p_data((3, False, False, b"x")) * 2000)
                while (step := next(stream)) is not Need.INPUT:
                    turns += step is Need.TURN
            assert turns >= 5 * (2000 // 512)


def test_no_receive_buffer_is_kept_while_pieces_are_waited_for() -> None:
    provider = Lone.provider()
    provider.engine.receive_data(command(3, STORE, has_data=True))
    start = next(requests(provider.exchange))
    assert isinstance(start, MessageStart)
    stream = pieces(provider.exchange, start)
    assert next(stream) is Need.INPUT
    kept = bytearray(p_data((3, False, False, bytes(100))))
    provider.engine.receive_data(memoryview(kept))
    assert next(stream) == bytes(100)
    assert next(stream) is Need.INPUT
    kept.extend(b"it can be resized only while there is no view of it")


def test_small_pieces_come_before_the_end_that_came_with_them() -> None:
    provider = Lone.provider()
    tiny = p_data((3, False, False, b"ab"), (3, False, False, b"cd"))
    provider.engine.receive_data(command(3, STORE, has_data=True) + tiny + encode(Abort()))
    start = next(requests(provider.exchange))
    assert isinstance(start, MessageStart)
    stream = pieces(provider.exchange, start)
    assert next(stream) == b"abcd"
    with pytest.raises(AssociationAborted):
        next(stream)


def test_an_operation_gives_the_pieces_of_its_request() -> None:
    provider = Lone.provider()
    provider.engine.receive_data(command(3, STORE, has_data=True) + p_data((3, False, True, b"abcd")))
    start = next(requests(provider.exchange))
    assert isinstance(start, MessageStart)
    assert list(ProviderOperation(provider.exchange, start).pieces()) == [b"abcd"]


def test_pieces_are_read_while_a_data_set_is_being_sent() -> None:
    provider = Lone.provider()
    provider.engine.receive_data(command(3, STORE, has_data=True))
    start = next(requests(provider.exchange))
    assert isinstance(start, MessageStart)
    stream = pieces(provider.exchange, start)
    source = iter([b"ab", STARVED, b"cd"])
    report = NEventReportRequest(
        message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2", event_type_id=1
    )
    provider.exchange.send(3, report, source)
    assert next(stream) is Need.INPUT  # once the data set is handed on
    assert not provider.exchange.sending
    provider.engine.receive_data(p_data((3, False, True, b"efgh")))
    assert list(stream) == [b"efgh"]


def test_results_that_are_there_together_come_in_lists() -> None:
    def stream() -> Stream[int]:
        yield 1
        yield Need.TURN
        yield Need.INPUT
        yield from (2, 3, 4, 5, 6)
        yield Need.DRAIN
        raise AssociationAborted(Abort())

    found = together(stream(), 3)
    assert [next(found) for _ in range(5)] == [[1], Need.TURN, Need.INPUT, [2, 3, 4], [5, 6]]
    with pytest.raises(AssociationAborted):
        next(found)
    assert list(together(iter_of(7))) == [[7]]


def iter_of(value: int) -> Stream[int]:
    yield value


def test_what_came_before_an_end_comes_before_it() -> None:
    def stream() -> Stream[int]:
        yield 1
        raise AssociationAborted(Abort())

    found = together(stream())
    assert next(found) == [1]
    with pytest.raises(AssociationAborted):
        next(found)

"""`Received.pieces`: a data set as it has come, however it was cut into PDVs and segments."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from dicos_proto.conversation import flows
from dicos_proto.conversation.feed import STARVED
from dicos_proto.conversation.flows import AssociationAborted, Flow
from dicos_proto.conversation.invoking import ask
from dicos_proto.conversation.performing import next_request
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_transports.buffers import Gathered
from dicos_transports.sessions.base import BaseSession
from dicos_transports.sessions.channel import Channel
from dicos_transports.sessions.received import SMALL, TOGETHER, Received
from tests.pair import CT, Pair, Splitter, policy, splitters

SPLITS = pytest.mark.parametrize("split", splitters().values(), ids=splitters())
LENGTH = SMALL + 6
"""A Maximum Length whose fragments are just not small."""
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


@contextmanager
def provider(pair: Pair) -> Iterator[BaseSession]:
    one, other = socket.socketpair()
    with one, other:
        yield BaseSession(pair.provider, Channel(one, pair.provider, Timeouts()), "somewhere")


def receive(session: BaseSession, taken: list[list[bytes]], status: int = 0) -> Flow[bool]:
    """Takes one object and answers it. Returns True if it was complete."""
    start = yield from next_request(session.exchange)
    assert isinstance(start, MessageStart)
    received = Received(session=session, performing=ProviderOperation(session.exchange, start))
    while received.performing.unread:
        taken.append([bytes(piece) for piece in (yield from received.pieces())])
    yield from received.answer(status, None, None)
    assert (yield from received.pieces()) == []
    return True


@SPLITS
@pytest.mark.parametrize("size", [2, 500, 3000, 10000])
def test_all_that_has_come_is_taken_together(split: Splitter, size: int) -> None:
    data = Random(size).randbytes(size)
    pair = Pair.established(answer=policy(max_length=LENGTH), split=split)
    taken: list[list[bytes]] = []
    with provider(pair) as session:
        response, complete = pair.run(ask(pair.uses, 3, STORE, data), receive(session, taken))
    assert complete
    assert response.status == 0
    assert b"".join(piece for pieces in taken for piece in pieces) == data
    assert all(map(all, taken))  # no piece is empty
    if split is splitters()["whole"]:
        assert len(taken[0]) == -(-size // SMALL)  # the fragments of PDUs of this length


def test_a_data_set_in_many_pieces_is_taken_so_many_at_a_time() -> None:
    data = Random(1).randbytes(2 * SMALL * TOGETHER + 2)
    pair = Pair.established(answer=policy(max_length=LENGTH))
    taken: list[list[bytes]] = []
    with provider(pair) as session:
        pair.run(ask(pair.uses, 3, STORE, data), receive(session, taken))
    assert all(len(pieces) <= TOGETHER for pieces in taken)
    assert sum(map(len, taken)) == 2 * TOGETHER + 1
    assert b"".join(map(b"".join, taken)) == data


@pytest.mark.parametrize("max_length", [8, 64, 500])
def test_small_pieces_are_joined_so_many_at_a_time(max_length: int) -> None:
    fragment = max_length - 6
    data = Random(1).randbytes(2 * fragment * TOGETHER + 2)
    pair = Pair.established(answer=policy(max_length=max_length))
    taken: list[list[bytes]] = []
    with provider(pair) as session:
        pair.run(ask(pair.uses, 3, STORE, data), receive(session, taken))
    assert sum(map(len, taken)) <= 4
    assert all(len(piece) <= (TOGETHER + 1) * fragment for pieces in taken for piece in pieces)
    assert b"".join(map(b"".join, taken)) == data


def test_what_is_gathered_is_kept_in_few_pieces() -> None:
    """However it comes: what is kept takes little more memory than its bytes."""
    random = Random(3)
    gathered, given = Gathered(), list[bytes]()
    for _ in range(2000):
        pieces = [memoryview(random.randbytes(random.choice((1, 2, 1023, 1024, 60_000)))) for _ in range(3)]
        gathered.add(pieces)
        given.extend(map(bytes, pieces))
    all_of_it = b"".join(given)
    assert b"".join(gathered.pieces) == all_of_it
    assert gathered.size == len(all_of_it)
    for one, other in itertools.pairwise(gathered.pieces):  # of two neighbours, one has been worth its buffer
        assert isinstance(one, memoryview) or isinstance(other, memoryview)
    small = Gathered()
    for _ in range(100_000):
        small.add([b"x"])
    assert len(small.pieces) == 1


def test_an_object_without_a_byte_has_no_pieces() -> None:
    pair = Pair.established()
    taken: list[list[bytes]] = []
    with provider(pair) as session:
        pair.run(ask(pair.uses, 3, STORE, b""), receive(session, taken))
    assert taken == [[]]


def test_an_abort_comes_after_what_came_before_it() -> None:
    def cut_off() -> Flow[None]:
        pair.uses.send(3, STORE, (piece for piece in (bytes(100), bytes(100), STARVED)))
        yield flows.Need.DRAIN
        yield from flows.abort(pair.user, Abort())

    pair = Pair.established()
    taken: list[list[bytes]] = []
    with provider(pair) as session:
        _, ended = pair.run(cut_off(), receive(session, taken))
    assert taken == [[bytes(100)]]
    assert isinstance(ended, AssociationAborted)

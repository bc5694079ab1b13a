"""`PushSource`: a data set whose pieces are waited for elsewhere, between two turns of the flow that sends it."""

from collections.abc import Generator, Iterable

import pytest

from dicos_proto import dimse
from dicos_proto.conversation import exchange, flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.feed import PushSource
from dicos_proto.conversation.flows import AssociationAborted, Need
from dicos_proto.conversation.reading import read_data
from dicos_proto.dimse.events import MessageData
from dicos_proto.dimse.types import CStoreResponse
from dicos_proto.errors import DeadlineExceeded
from dicos_proto.limits import Limits
from dicos_proto.registry.uids import EXPLICIT_VR_LE
from dicos_proto.services import storage
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_proto.wire import Buffer
from tests.pair import CT, Splitter, splitters
from tests.services.parties import parties, serve, then_release

ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())


def store(at: Exchange, feed: PushSource) -> flows.Flow[dimse.DimseResponse]:
    return storage.store(at, CT, "1.2.3", EXPLICIT_VR_LE, feed)


def fed(at: Exchange, pieces: Iterable[Buffer]) -> Generator[Need, None, tuple[dimse.DimseResponse | None, int]]:
    """A store whose pieces come one by one, when it is starved; its response, and how often it was."""
    feed = PushSource()
    flow = store(at, feed)
    source, turns = iter(pieces), 0
    while True:
        response = yield from feed.step(flow)
        if not feed.starved:
            return response, turns
        turns += 1
        piece = next(source, None)
        if piece is None:
            feed.end()
        else:
            feed.push(piece)


def keep(into: list[bytes]) -> object:
    def perform(at: Exchange, start: exchange.MessageStart) -> flows.Flow[None]:
        data = yield from read_data(at)
        into.append(bytes(data))
        at.send(start.context, exchange.response_to(start, 0).command)

    return perform


@ANY
@pytest.mark.parametrize("pieces", [[], [b"ab"], [b"ab", b"", b"cd"], [bytes(700)] * 30], ids=["none", "1", "3", "30"])
def test_what_is_fed_arrives_whole(split: Splitter, pieces: list[bytes]) -> None:
    tight = Limits(queued=500, received_ahead=500)
    pair = parties(CT, split=split, user_limits=tight, provider_limits=tight)
    kept: list[bytes] = []
    (response, turns), _ = pair.run(
        then_release(pair.uses, fed(pair.uses, pieces)),
        serve(pair.provides, keep(kept)),  # type: ignore[arg-type]
    )
    assert isinstance(response, CStoreResponse)
    assert response.status == 0
    assert kept == [b"".join(pieces)]
    assert turns == len(pieces) + 1


def test_it_stands_still_while_it_is_starved_and_what_it_has_is_sent() -> None:
    pair = parties(CT)
    feed = PushSource()
    flow = store(pair.uses, feed)
    arrived = b""
    for number in range(4):
        assert list(feed.step(flow)) == []
        assert feed.starved
        arrived += b"".join(bytes(one.data) for one in pair.settle()[1] if isinstance(one, MessageData))
        feed.push(bytes([number]) * 2)
        assert not feed.starved
    assert arrived == b"\0\0\1\1"  # whether the newest is the last is not known yet
    assert pair.uses.sending


def test_several_pieces_may_be_given_at_once() -> None:
    pair = parties(CT)
    feed = PushSource()
    feed.push(b"ab")
    feed.push(b"cd")
    feed.end()
    kept: list[bytes] = []
    response, _ = pair.run(
        then_release(pair.uses, feed.step(store(pair.uses, feed))),
        serve(pair.provides, keep(kept)),  # type: ignore[arg-type]
    )
    assert response is not None
    assert response.status == 0
    assert kept == [b"abcd"]


def test_the_end_of_the_association_is_raised_at_the_next_turn() -> None:
    pair = parties(CT)
    feed = PushSource()
    flow = store(pair.uses, feed)
    assert list(feed.step(flow)) == []
    pair.provider.send(Abort())
    pair.pump()
    feed.push(b"ab")
    with pytest.raises(AssociationAborted):
        list(feed.step(flow))


def test_what_its_interpreter_throws_reaches_the_flow() -> None:
    pair = parties(CT)
    feed = PushSource()
    feed.end()
    turn = feed.step(store(pair.uses, feed))
    assert next(turn) in Need
    fault = AssociationAborted(ProviderAbort(error=DeadlineExceeded("write stall")))
    with pytest.raises(AssociationAborted, match="write stall"):
        turn.throw(fault)


def test_a_fault_that_the_flow_outlives_is_no_end() -> None:
    """A flow that the application wrote itself may go on."""

    def stubborn() -> flows.Flow[str]:
        try:
            yield Need.INPUT
        except flows.AssociationError:
            yield Need.DRAIN
        return "done"

    turn = PushSource().step(stubborn())
    assert next(turn) is Need.INPUT
    assert turn.throw(flows.AssociationReleased()) is Need.DRAIN
    with pytest.raises(StopIteration) as done:
        next(turn)
    assert done.value.value == "done"

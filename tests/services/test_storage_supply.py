"""Instances, and pieces of them, that the caller awaits while the stream of outcomes starves."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.exchange import response_to as reply_to
from dicos_proto.conversation.feed import STARVED, PushSource
from dicos_proto.conversation.flows import AssociationAborted, Need
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import read_data
from dicos_proto.errors import DeadlineExceeded
from dicos_proto.limits import Limits
from dicos_proto.registry.uids import EXPLICIT_VR_LE
from dicos_proto.services.storage import AwaitedInstances, Instance, Outcome, StoreMany
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.upper_layer.pdu_types import Abort
from tests.pair import CT, Splitter, splitters
from tests.services.parties import parties, serve, then_release
from tests.services.test_storage import archive, instance

ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())


def fed(number: int) -> Instance:
    """An instance whose pieces are awaited."""
    return Instance(
        sop_class_uid=CT, sop_instance_uid=f"1.2.{number}", transfer_syntax=EXPLICIT_VR_LE, data=PushSource()
    )  # fmt: skip


def supplied(
    exchange: Exchange, instances: Iterable[Instance], pieces: int, *, at_hand: bool, ahead: bool = False
) -> flows.Flow[tuple[list[Outcome], list[str]]]:
    """Stores instances, each supplied when it is needed, or all at once; a feed gets this many pieces of 300 bytes.

    Returns the outcomes and the needs, in the order in which they occurred."""
    supply = AwaitedInstances(instances if at_hand else None)
    source = iter(instances)
    stores = StoreMany(exchange, supply, ahead=ahead)
    told: list[Outcome] = []
    wanted: list[str] = []
    given = 0
    for step in supply.outcomes(stores):
        if isinstance(step, Need):
            yield step
        elif isinstance(step, Outcome):
            told.append(step)
        elif supply.starved:
            assert supply.waits
            wanted.append("instance")
            following = next(source, None)
            if following is None:
                supply.end()
            else:
                supply.push(following)
        else:
            assert supply.waits
            assert supply.feed is not None
            assert supply.taken is not None
            wanted.append(supply.taken.sop_instance_uid)
            given += 1
            if given <= pieces:
                supply.feed.push(bytes((given,)) * 300)
            else:
                given = 0
                supply.feed.end()
    return told, wanted


@ANY
@pytest.mark.parametrize("ahead", [False, True], ids=["as-there-is-room", "ahead"])
@pytest.mark.parametrize("at_hand", [False, True], ids=["awaited", "at-hand"])
@pytest.mark.parametrize("window", [1, 4])
def test_all_are_stored_whole_and_in_their_order(split: Splitter, window: int, at_hand: bool, ahead: bool) -> None:
    tight = Limits(queued=500, received_ahead=500)
    pair = parties(CT, window=window, split=split, user_limits=tight, provider_limits=tight)
    given = [fed(n) if n % 2 else instance(n) for n in range(8)]
    (told, wanted), kept = pair.run(
        then_release(pair.uses, supplied(pair.uses, given, 3, at_hand=at_hand, ahead=ahead)),
        serve(pair.provides, archive),
    )
    assert [one.instance for one in told] == given
    assert all(one.stored for one in told)
    pieces = b"".join(bytes((n,)) * 300 for n in (1, 2, 3))
    assert kept == [(f"1.2.{n}", pieces if n % 2 else bytes((n,)) * 500) for n in range(8)]
    assert wanted.count("instance") == (0 if at_hand else 9)
    assert [wanted.count(f"1.2.{n}") for n in range(8)] == [0, 4] * 4


def test_received_outcomes_are_given_before_the_next_instance_is_awaited() -> None:
    pair = parties(CT, window=4)
    supply = AwaitedInstances()
    stream = supply.outcomes(StoreMany(pair.uses, supply))
    supply.push(instance(0))
    assert next(stream) is Need.DRAIN  # the next instance is needed; pending bytes are sent first
    pair.pump()
    served = serve(pair.provides, archive)
    assert next(served) is Need.INPUT  # the provider has answered
    pair.pump()
    outcome = next(stream)
    assert isinstance(outcome, Outcome)
    assert outcome.stored
    assert supply.starved  # still
    assert next(stream) is Need.DRAIN
    assert next(stream) is STARVED
    supply.end()
    assert list(stream) == []
    assert not supply.waits


def test_a_response_in_two_halves_is_given_in_the_next_turn() -> None:
    pair = parties(CT, window=4)
    supply = AwaitedInstances()
    stream = supply.outcomes(StoreMany(pair.uses, supply))
    supply.push(instance(0))
    assert next(stream) is Need.DRAIN
    pair.pump()
    asked = next_request(pair.provides)
    with pytest.raises(StopIteration) as done:
        next(asked)
    reading = read_data(pair.provides)
    with pytest.raises(StopIteration):
        next(reading)
    pair.provides.reply(reply_to(done.value.value, 0))
    answer = b"".join(map(bytes, pair.provider.data_to_send()))
    pair.user.receive_data(answer[:20])
    assert next(stream) is STARVED
    assert next(stream) is Need.DRAIN  # bytes were received: it is unknown if everything was sent
    pair.user.receive_data(answer[20:])
    outcome = next(stream)
    assert isinstance(outcome, Outcome)
    assert outcome.stored


def test_a_source_gives_later_until_it_has_one() -> None:
    supply = AwaitedInstances()
    assert next(supply) is STARVED
    one = instance(1)
    supply.push(one)
    assert not supply.starved
    assert next(supply) is one
    assert supply.taken is one
    assert supply.feed is None
    supply.end()
    assert list(supply) == []


def test_the_end_of_the_association_is_raised() -> None:
    pair = parties(CT)
    supply = AwaitedInstances()
    stream = supply.outcomes(StoreMany(pair.uses, supply))
    assert next(stream) is Need.DRAIN
    pair.provider.send(Abort())
    pair.pump()
    with pytest.raises(AssociationAborted):
        list(stream)


def test_errors_of_the_driver_reach_the_stream() -> None:
    pair = parties(CT)
    supply = AwaitedInstances()
    stream = supply.outcomes(StoreMany(pair.uses, supply))
    assert next(stream) is Need.DRAIN
    fault = AssociationAborted(ProviderAbort(error=DeadlineExceeded("write stall")))
    with pytest.raises(AssociationAborted, match="write stall"):
        stream.throw(fault)


def test_nothing_follows_a_stop() -> None:
    pair = parties(CT)
    supply = AwaitedInstances()
    stores = StoreMany(pair.uses, supply)
    stores.stop()
    assert list(supply.outcomes(stores)) == []
    assert not supply.waits

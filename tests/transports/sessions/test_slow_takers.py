"""A peer that takes a byte now and then cannot hold outgoing data forever; a slow line is tolerated."""

import math

import pytest

from dicos_proto.conversation.flows import AssociationAborted
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_transports.sessions.channel import Link
from tests.pair import CT, Lone, data, start

STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
NO_END = Timeouts(message=None, response=None, operation=None, idle=None)


class Taking(Link):
    """A link whose peer takes what a test says, in virtual time."""

    def __init__(self, timeouts: Timeouts, size: int) -> None:
        self.lone = Lone.user(timeouts=NO_END)
        super().__init__(self.lone.engine, timeouts)
        self.lone.engine.send(start(3, STORE, has_data=True))
        self.lone.engine.send(data(3, bytes(size)))
        self._collect()

    def take(self, size: int, now: float) -> None:
        self._sent(min(size, self._pending_size), now)


def ends(link: Taking, size: int, every: float, most: float) -> tuple[float, str] | None:
    """When it is given up, and why; None: not within `most` seconds."""
    now = 0.0
    while now < most and link.writing:
        at = link.due(now)
        if at < now + every:
            error = link.on_time(at)
            assert isinstance(error, AssociationAborted)
            assert isinstance(error.event, ProviderAbort)
            return at, str(error)
        now += every
        link.take(size, now)
    return None


@pytest.mark.parametrize("every", [1.0, 10.0, 29.0])
def test_a_peer_that_takes_a_byte_now_and_then_is_given_up(every: float) -> None:
    found = ends(Taking(Timeouts(), 100_000), 1, every, 10_000.0)
    assert found is not None
    assert 30.0 <= found[0] < 31.0
    assert found[1].endswith("queued; at least 256 bytes/s are required after the first 30 s")


def test_what_it_took_fast_is_no_credit() -> None:
    link = Taking(Timeouts(), 900_000)
    now = 0.0
    for _ in range(8):
        assert link.due(now) > now
        now += 1.0
        link.take(100_000, now)
    ended = now
    while ended < now + 1000.0:
        at = link.due(ended)
        if at < ended + 10.0:
            assert "at least 256 bytes/s are required after the first 30 s" in str(link.on_time(at))
            break
        ended += 10.0
        link.take(1, ended)
    assert now + 20.0 <= ended <= now + 40.0


def test_one_that_takes_nothing_is_told_so() -> None:
    found = ends(Taking(Timeouts(), 100_000), 0, 31.0, 10_000.0)
    assert found is not None
    assert found[0] == 30.0
    assert "the peer accepted none of the" in found[1]


@pytest.mark.parametrize("size", [300, 125_000])
def test_a_slow_line_is_let_be(size: int) -> None:
    assert ends(Taking(Timeouts(), 1000 * size), size, 1.0, 900.0) is None


def test_a_pause_of_the_local_side_is_not_the_peers() -> None:
    """It begins with nothing that waits for the peer; what waits after it has its whole time."""
    link = Taking(Timeouts(), 5000)
    link.due(0.0)
    while link.writing:
        link.take(1, 1.0)
    assert link.due(10_000.0) == math.inf
    link.lone.engine.send(Abort())
    link._collect()
    assert link.due(20_000.0) == 20_030.0


def test_without_a_rate_or_a_deadline_it_may_take_its_time() -> None:
    assert ends(Taking(Timeouts(minimum_rate=None), 100_000), 1, 29.0, 5000.0) is None
    assert ends(Taking(Timeouts(write_stall=None), 100_000), 1, 29.0, 5000.0) is None

"""Bounds that players share: bytes, turns, and a lock whose holder was killed. `test_fuzz_bounds` has the shares."""

from __future__ import annotations

from itertools import pairwise
from threading import Thread
from time import monotonic

import pytest

from dicos_fuzz.campaign import spending as module
from dicos_fuzz.campaign.links import LocalTrouble
from dicos_fuzz.campaign.spending import BURST, LANE, Shares, Spending, share_out


@pytest.mark.parametrize("shared", [False, True])
def test_no_more_bytes_are_granted_than_there_are(shared: bool) -> None:
    spending = Spending(bytes_most=10, shared=shared)
    assert [spending.take(count) for count in (4, 4, 4, 4)] == [4, 4, 2, 0]
    assert spending.sent == 10


def test_players_in_threads_are_granted_no_more_together() -> None:
    spending = Spending(bytes_most=1000)
    granted: list[int] = []
    threads = [Thread(target=lambda: granted.extend(spending.take(3) for _ in range(200))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(granted) == spending.sent == 1000


@pytest.mark.parametrize("shared", [False, True])
def test_turns_come_no_faster_than_the_rate(shared: bool) -> None:
    spending = Spending(rate=0.5, shared=shared)
    turns = [spending.turn() for _ in range(5)]
    assert turns[0] == pytest.approx(monotonic() - BURST, abs=1.0)
    assert [later - earlier for earlier, later in pairwise(turns)] == [pytest.approx(2.0)] * 4


def test_a_player_that_is_late_catches_up_by_a_burst_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    spending = Spending(rate=100)
    spending.turn()
    now = 200.0
    early = [at for at in (spending.turn() for _ in range(20)) if at <= now]
    assert len(early) in (5, 6)  # BURST at 100 a second, and the present one


def test_without_a_rate_it_is_always_ones_turn() -> None:
    assert {Spending().turn() for _ in range(100)} == {0.0}


@pytest.mark.parametrize("shared", [False, True])
def test_a_lock_whose_holder_was_killed_is_trouble(monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    spending = Spending(rate=1, shared=shared)
    spending._acquire()
    with pytest.raises(LocalTrouble, match="ended in the middle"):
        spending.take(1)
    with pytest.raises(LocalTrouble, match="ended in the middle"):
        spending.turn()


def test_few_connections_have_no_lane_and_many_jobs_need_two_each() -> None:
    assert share_out(2 * LANE - 1, 1) == Shares(jobs=1, main=2 * LANE - 1, worker=2 * LANE - 1, lane=0)
    assert share_out(2 * LANE, 1) == Shares(jobs=1, main=LANE, worker=LANE, lane=LANE)
    assert share_out(2 * LANE, 1, lane=False).lane == 0
    assert share_out(5, 4) == Shares(jobs=2, main=5, worker=2, lane=0)
    assert share_out(1, 4).jobs == 1

"""The decisions of a pool, on a clock that is a number."""

from __future__ import annotations

import random

import pytest

from dicos_transports.sessions.pooling import Place, PoolClosed, PoolState, PoolStats, check_place, exhausted


def made(state: PoolState[str], name: str) -> Place[str]:
    """A place with a new association."""
    place = state.ask()
    assert place.granted
    assert place.session is None
    state.connected(place, name)
    return place


def test_an_association_is_used_again() -> None:
    state = PoolState[str](size=2, idle=10)
    first = made(state, "one")
    assert state.give_back(first, 0.0)
    second = state.ask()
    assert (second.granted, second.reused, second.session) == (True, True, "one")
    assert state.stats == PoolStats(in_use=1, made=1, reused=1)


def test_who_asks_first_is_served_first_and_nobody_overtakes() -> None:
    state = PoolState[str](size=1)
    used = made(state, "one")
    queue = [state.ask() for _ in range(3)]
    state.take_granted()
    for waiting in queue:
        assert not waiting.granted
        state.give_back(used, 0.0)
        late = state.ask()  # while it is free, and others wait
        assert not late.granted
        state.withdraw(late)
        assert state.take_granted() == [waiting]
        assert waiting.session == "one"
        used = waiting


def test_there_are_never_more_than_its_size() -> None:
    state = PoolState[str](size=2)
    one, two = made(state, "one"), made(state, "two")
    third = state.ask()
    assert not third.granted
    state.lose(one)
    assert third.granted
    assert third.session is None  # it is to be made
    state.failed(third)
    fourth = state.ask()
    assert fourth.granted
    assert state.stats == PoolStats(in_use=2, made=2, lost=1, failed=1)
    assert two.session == "two"


def test_the_one_used_last_is_used_next_and_the_others_get_old() -> None:
    state = PoolState[str](size=3, idle=10)
    places = [made(state, name) for name in ("one", "two", "three")]
    for now, place in enumerate(places):
        state.give_back(place, float(now))
    assert state.deadline() == 10.0
    assert state.ask().session == "three"
    assert state.expire(9.9) == []
    assert state.expire(10.0) == ["one"]
    assert state.deadline() == 11.0
    assert state.stats == PoolStats(idle=1, in_use=1, made=3, reused=1, released=1)


def test_what_is_being_released_counts_until_it_is_gone() -> None:
    state = PoolState[str](size=1, idle=10)
    state.give_back(made(state, "one"), 0.0)
    assert state.expire(10.0) == ["one"]
    waiting = state.ask()
    assert not waiting.granted
    state.gone()
    assert waiting.granted


def test_without_an_idle_time_nothing_expires() -> None:
    state = PoolState[str](size=1, idle=None)
    state.give_back(made(state, "one"), 0.0)
    assert state.deadline() is None
    assert state.expire(1e9) == []


@pytest.mark.parametrize("late", [False, True])
def test_who_goes_while_waiting_is_passed_over(late: bool) -> None:
    state = PoolState[str](size=1)
    used = made(state, "one")
    gone, next_one = state.ask(), state.ask()
    state.withdraw(gone, late=late)
    state.give_back(used, 0.0)
    assert not gone.granted
    assert next_one.granted
    assert state.stats.timed_out == late


def test_who_goes_with_what_was_just_granted_passes_it_on() -> None:
    state = PoolState[str](size=1, idle=10)
    used = made(state, "one")
    gone, next_one = state.ask(), state.ask()
    state.give_back(used, 5.0)
    state.withdraw(gone)
    assert next_one.session == "one"
    state.withdraw(next_one)
    assert state.deadline() == 15.0  # it has been idle since then
    assert state.stats == PoolStats(idle=1, made=1)
    fresh = PoolState[str](size=1)
    first, second = fresh.ask(), fresh.ask()
    fresh.withdraw(first)
    assert second.granted


def test_an_idle_one_that_is_no_good_is_replaced_in_its_place() -> None:
    state = PoolState[str](size=1)
    state.give_back(made(state, "one"), 0.0)
    place = state.ask()
    waiting = state.ask()
    state.replace(place)
    assert (place.session, place.reused, waiting.granted) == (None, False, False)
    state.connected(place, "two")
    assert state.stats == PoolStats(in_use=1, waiting=1, made=2, discarded=1)


def test_closed_it_refuses_who_waits_and_gives_what_is_idle() -> None:
    state = PoolState[str](size=2)
    state.give_back(made(state, "one"), 0.0)
    used, other = state.ask(), made(state, "two")
    waiting = state.ask()
    state.take_granted()
    state.give_back(other, 0.0)
    assert waiting.session == "two"
    late = state.ask()
    state.take_granted()
    assert state.close() == []
    assert state.take_granted() == [late]
    assert (late.refused, late.granted) == (True, False)
    with pytest.raises(PoolClosed):
        state.ask()
    assert not state.give_back(used, 0.0)  # to be released
    state.gone()
    state.lose(waiting)
    assert state.stats == PoolStats(made=2, reused=2, lost=1)
    again = PoolState[str](size=1)
    again.give_back(made(again, "one"), 0.0)
    assert again.close() == ["one"]
    assert again.close() == []


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_it_holds_to_its_size_and_forgets_nobody(seed: int) -> None:
    rng = random.Random(seed)
    size = rng.randint(1, 4)
    state = PoolState[int](size=size, idle=5.0)
    now, number, leaving = 0.0, 0, 0
    asked: list[Place[int]] = []  # in order
    using: list[Place[int]] = []
    for _ in range(400):
        now += rng.random()
        match rng.randint(0, 8):
            case 0 | 1 | 2:
                asked.append(state.ask())
            case 3 if asked:
                state.withdraw(asked.pop(rng.randrange(len(asked))), late=rng.random() < 0.5)
            case 4 | 5 if using:
                assert state.give_back(using.pop(rng.randrange(len(using))), now)
            case 6 if using:
                state.lose(using.pop(rng.randrange(len(using))))
            case 7:
                leaving += len(state.expire(now))
            case 8 if leaving:
                leaving -= 1
                state.gone()
        granted = [place for place in asked if place.granted]
        assert granted == asked[: len(granted)], "a waiting caller was overtaken"
        for place in granted:
            if rng.random() < 0.5:
                break
            asked.remove(place)
            if place.session is not None and rng.random() < 0.2:
                state.replace(place)
            if place.session is None and rng.random() < 0.2:
                state.failed(place)
                continue
            if place.session is None:
                number += 1
                state.connected(place, number)
            using.append(place)
        stats = state.stats
        held = [place.session for place in (*using, *asked) if place.granted and place.session is not None]
        assert len(held) == len(set(held)), "one association, two users"
        assert stats.idle + stats.in_use + leaving <= size
        assert stats.in_use == len(using) + sum(place.granted for place in asked)
        assert stats.waiting == sum(not place.granted for place in asked)
        if stats.waiting:
            assert not stats.idle
            assert stats.in_use + leaving == size, "a caller waits although there is room"


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_that_is_none(size: int) -> None:
    with pytest.raises(ValueError, match=f"a pool of {size} associations; at least 1"):
        PoolState(size=size)


@pytest.mark.parametrize("idle", [0, -1, float("nan")])
def test_an_idle_time_that_is_none(idle: float) -> None:
    with pytest.raises(ValueError, match="more than 0, or None for never"):
        PoolState(idle=idle)


def test_what_a_pool_cannot_be_made_of() -> None:
    for where in (("h", 1), "A@h:1", "/run/s"):
        check_place(where, None)
    with pytest.raises(TypeError, match="to an address; a list is none"):
        check_place([], 1.0)
    with pytest.raises(ValueError, match="patience of -1 s"):
        check_place("h:1", -1)


def test_the_text_of_who_waited_for_too_long() -> None:
    assert str(exhausted(1, 0.5)) == "no association within 0.5 s: the only association of the pool is in use"

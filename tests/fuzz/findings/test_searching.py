"""Delta debugging in general: results are 1-minimal, in order, deterministic, and cost what is known for ddmin."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.findings.searching import OutOfBudget, Trials, ddmin, lowest

Words = tuple[int, ...]


def counted(shows: Callable[[Words], bool]) -> Trials[Words]:
    return Trials(shows, lambda words: words, budget=10_000)


@given(st.lists(st.integers(0, 5), max_size=30), st.lists(st.integers(0, 5), max_size=4))
def test_the_result_shows_it_and_no_item_can_be_left_out(items: list[int], wanted: list[int]) -> None:
    def shows(some: Words) -> bool:
        left = list(some)
        for one in wanted:
            if one not in left:
                return False
            left.remove(one)
        return True

    if not shows(tuple(items)):
        items = items + wanted
    found = ddmin(items, shows)
    assert sorted(found) == sorted(wanted)


@given(st.integers(0, 2**40 - 1), st.integers(1, 40))
def test_the_result_is_1_minimal_for_any_predicate(seed: int, size: int) -> None:
    def shows(some: Words) -> bool:
        return len(some) == size or hash((seed, some)) % 3 == 0  # integers and their tuples have stable hashes

    found = ddmin(range(size), shows)
    assert shows(found)
    assert list(found) == sorted(found)
    assert not any(shows(found[:i] + found[i + 1 :]) for i in range(len(found))) or found == ()


@pytest.mark.parametrize(
    ("wanted", "most"),
    [((), 1), ((0,), 10), ((999,), 30), ((0, 999), 40), ((17, 500, 501, 900), 70), (tuple(range(0, 1000, 100)), 160)],
)
def test_a_few_of_a_thousand_are_found_in_few_questions(wanted: Words, most: int) -> None:
    trials = counted(lambda some: set(wanted) <= set(some))
    assert ddmin(range(1000), trials.show) == wanted
    assert trials.calls <= most


@pytest.mark.parametrize(("step", "most"), [(1, 410), (2, 450)])
def test_when_much_is_needed_it_takes_two_questions_an_item(step: int, most: int) -> None:
    wanted = set(range(0, 200, step))
    trials = counted(lambda some: wanted <= set(some))
    assert set(ddmin(range(200), trials.show)) == wanted
    assert trials.calls <= most


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_the_lowest_number_is_found_in_a_few_questions(now: int, bound: int) -> None:
    bound = min(now, bound)
    trials: Trials[int] = Trials(lambda number: number >= bound, lambda number: number, budget=100)
    assert lowest(now, trials.show) == bound
    assert trials.calls <= 66


@given(st.integers(1, 1000), st.integers(0, 2**30))
def test_the_number_below_the_lowest_does_not_show_it(now: int, seed: int) -> None:
    def shows(number: int) -> bool:
        return number == now or hash((seed, number)) % 4 == 0

    found = lowest(now, shows)
    assert shows(found)
    assert found == 0 or not shows(found - 1)


def test_a_candidate_is_asked_about_once() -> None:
    asked: list[int] = []

    def shows(number: int) -> bool:
        asked.append(number)
        return number % 2 == 0

    trials = Trials(shows, lambda number: number // 10, budget=3)
    assert [trials.show(number) for number in (2, 2, 3, 11, 10)] == [True, True, True, False, False]
    assert asked == [2, 11]
    assert trials.calls == 2


def test_beyond_the_budget_nothing_is_asked_and_the_best_is_kept() -> None:
    trials: Trials[int] = Trials(lambda number: number < 2, lambda number: number, budget=2)
    assert [trials.show(number) for number in (1, 2, 1)] == [True, False, True]
    with pytest.raises(OutOfBudget):
        trials.show(0)
    assert trials.show(1)
    assert (trials.calls, trials.best) == (2, 1)


@pytest.mark.parametrize(
    ("answers", "shown", "calls"),
    [("11", True, 2), ("011", True, 3), ("0101", True, 4), ("000", False, 3), ("1000", False, 4), ("0010", False, 4)],
)
def test_flaky_candidates_are_asked_about_until_it_is_decided(answers: str, shown: bool, calls: int) -> None:
    left = iter(answers)
    trials: Trials[int] = Trials(lambda number: next(left) == "1", lambda number: number, budget=10, tries=4, needed=2)
    assert trials.show(1) is shown
    assert trials.calls == calls


@pytest.mark.parametrize(("needed", "tries"), [(0, 1), (2, 1), (-1, 3)])
def test_impossible_numbers_of_tries_are_refused(needed: int, tries: int) -> None:
    with pytest.raises(ValueError, match="expected 1 of 1 up to all"):
        Trials(bool, lambda number: number, budget=1, tries=tries, needed=needed)

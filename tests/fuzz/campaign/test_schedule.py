"""The order of conversations: every family early, the same order for the same seed, goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from dicos_fuzz.campaign.corpus import Corpus
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.scenarios.family import Family
from dicos_fuzz.campaign.schedule import MUTED_AFTER, Schedule
from dicos_fuzz.conversation import Conversation, Open, Send


def conversation(name: str) -> Conversation:
    return Conversation(name=name, steps=(Open(), Send(message=name.encode())))


def family(name: str, count: int, *, resource: bool = False) -> Family:
    def systematic(learned: Learned) -> Iterator[Conversation]:
        return (conversation(f"{name}/{number}") for number in range(count))

    def random(learned: Learned, random: Random) -> Conversation:
        return conversation(f"{name}/random {random.randrange(1000)}")

    return Family(name=name, about=name, systematic=systematic, random=random, resource=resource)


def schedule(
    *families: Family, corpus: Corpus | None = None, taken: tuple[int, int] = (0, 0), seed: int = 1
) -> Schedule:
    return Schedule(families, Learned(), corpus or Corpus(), seed, taken)


def names(one: Schedule, count: int, *, costly: bool = False) -> list[str]:
    cases = [one.next(costly=costly) for _ in range(count)]
    return [case.conversation.name for case in cases if case is not None]


def test_families_take_turns() -> None:
    assert names(schedule(family("a", 3), family("b", 1), family("c", 2)), 6) == [
        "a/0",
        "b/0",
        "c/0",
        "a/1",
        "c/1",
        "a/2",
    ]


def test_costly_families_have_an_order_of_their_own() -> None:
    one = schedule(family("a", 2), family("big", 2, resource=True))
    assert names(one, 2) == ["a/0", "a/1"]
    assert names(one, 2, costly=True) == ["big/0", "big/1"]
    assert one.next(costly=True) is not None
    assert schedule(family("a", 1)).next(costly=True) is None
    assert one.systematic == 4


def test_random_cases_follow_the_systematic_ones() -> None:
    one = schedule(family("a", 2), family("b", 2))
    found = names(one, 50)
    assert found[:4] == ["a/0", "b/0", "a/1", "b/1"]
    assert one.all_systematic
    assert all("random" in name for name in found[4:])
    assert {name[0] for name in found[4:]} == {"a", "b"}


def test_the_corpus_is_changed_once_it_has_entries() -> None:
    corpus = Corpus()
    corpus.add(conversation("kept/1"))
    corpus.add(conversation("kept/2"))
    found = names(schedule(family("a", 1), corpus=corpus), 100)
    assert sum(name.startswith("kept/") for name in found) > 40
    assert sum("random" in name for name in found) > 10


def test_the_same_seed_makes_the_same_order() -> None:
    def order(seed: int) -> list[str]:
        return names(schedule(family("a", 3), family("b", 3), seed=seed), 60)

    assert order(5) == order(5)
    assert order(5) != order(6)


def test_a_campaign_goes_on_where_it_stopped() -> None:
    def make(taken: tuple[int, int] = (0, 0)) -> Schedule:
        return schedule(family("a", 5), family("big", 3, resource=True), taken=taken)

    for stop in (0, 3, 5, 20):
        first = make()
        names(first, stop)
        names(first, 2, costly=True)
        assert first.taken == (stop, 2)
        second = make(taken=first.taken)
        assert second.taken == first.taken
        assert names(second, 20) == names(first, 20)
        assert names(second, 5, costly=True) == names(first, 5, costly=True)


def test_a_scenario_that_brings_the_peer_down_is_left_out_after_a_while() -> None:
    def systematic(learned: Learned) -> Iterator[Conversation]:
        yield from (conversation(f"a/crash: {number}") for number in range(10))
        yield conversation("a/other: 1")

    one = schedule(
        Family(name="a", about="", systematic=systematic, random=lambda learned, random: conversation("a/r"))
    )
    for _ in range(MUTED_AFTER):
        case = one.next()
        assert case is not None
        one.mute(case.conversation)
    assert names(one, 1) == ["a/other: 1"]


def test_a_schedule_of_muted_scenarios_does_not_hang() -> None:
    one = schedule(family("a", 1))
    for _ in range(MUTED_AFTER):
        one.mute(conversation("a/0"))
        for number in range(1000):
            one.mute(conversation(f"a/random {number}"))
    assert one.next() is not None

"""Growth that stays differs from growth that is given back, and the conversation behind it is named."""

from __future__ import annotations

from dicos_fuzz.campaign.resources import ENTRIES, SLACK, Numbers, Track
from dicos_fuzz.conversation import Conversation

BASE = Numbers(descriptors=10, threads=3, memory=50 << 20)


def conversation(name: str) -> Conversation:
    return Conversation(name=name, steps=())


def noted(values: list[tuple[str, int]]) -> Track:
    track = Track(BASE)
    for name, descriptors in values:
        track.note(conversation(name), Numbers(descriptors, 3, 50 << 20))
    return track


def test_numbers_at_the_baseline_are_no_growth() -> None:
    track = noted([("a", 12), ("b", 11), ("c", 13)])
    assert track.settled(BASE) == []
    assert track.settled(Numbers(10 + SLACK["descriptors"], 3, 50 << 20)) == []


def test_the_conversation_behind_growth_is_named() -> None:
    values = []
    held = 10
    for number in range(60):
        if number % 6 == 0:
            held += 1
            values.append(("leaks", held))
        else:
            values.append((f"clean {number}", held + number % 3))  # open for a moment
    (growth,) = noted(values).settled(Numbers(held, 3, 50 << 20))
    assert (growth.counted, growth.before, growth.now) == ("descriptors", 10, 20)
    assert "leaks" in [one.name for one in growth.suspects[:3]]


def test_the_worst_suspects_come_first() -> None:
    values, held = [], 10
    for number in range(20):
        held += 3 if number % 5 == 0 else 1 if number % 2 else 0
        values.append(("three" if number % 5 == 0 else "one" if number % 2 else "none", held))
    (growth,) = noted(values).settled(Numbers(held, 3, 50 << 20))
    assert [one.name for one in growth.suspects][:2] == ["three", "one"]


def test_growth_becomes_the_baseline() -> None:
    track = noted([("a", 30)])
    high = Numbers(30, 3, 50 << 20)
    assert len(track.settled(high)) == 1
    assert track.settled(high) == []
    assert len(track) == 0


def test_threads_and_memory_are_counted_too() -> None:
    track = Track(BASE)
    found = track.settled(Numbers(10, 20, 500 << 20))
    assert [one.counted for one in found] == ["threads", "memory"]
    assert found[0].suspects == ()


def test_the_number_of_notes_is_bounded() -> None:
    assert len(noted([("a", 10)] * (ENTRIES + 100))) == ENTRIES

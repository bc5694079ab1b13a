"""Changes on purpose: every one applies, nearly all are seen on the wire, the wrong lengths of F5 are there."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.conversation import Conversation, Send, conversation_of_json, json_of_conversation
from dicos_fuzz.grammar import change, changes, read_pdu, read_stream
from dicos_fuzz.tree import Action, Edit, Leaf, Length, Part, apply, encode, find, lengths, walk
from tests.fuzz import values


@pytest.mark.parametrize("name", values.PDUS)
def test_every_change_of_every_pdu_applies_and_nearly_all_are_seen_on_the_wire(name: str) -> None:
    raw = values.PDUS[name]
    tree = read_stream(raw)
    found = list(changes(tree))
    assert len(found) > 20
    for edit in found:
        assert find(tree, edit.path) is not None
    unseen = {str(edit) for edit in found if encode(apply(tree, [edit])) == raw}
    swaps = {str(edit) for edit in found if edit.action is Action.SWAP}
    assert unseen <= swaps  # the last node of a part has none behind it; two equal ones may be exchanged


def test_every_node_but_the_stream_is_changed() -> None:
    tree = read_stream(values.REQUEST)
    assert {edit.path for edit in changes(tree)} == {path for path, _ in walk(tree)} - {""}


def test_wrong_lengths_are_those_beside_the_right_one_and_those_that_reach_behind_the_part_around() -> None:
    tree = Part(
        "pdu",
        (Length("length", 4), Part("item", (Length("length", 2), Leaf("value", bytes(100)))), Leaf("tail", bytes(9))),
    )
    numbers = {edit.value for edit in changes(tree) if edit.path == "item/length"}
    assert {0, 1, 99, 101, 102, 110, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF} <= numbers
    assert 0x6400 in numbers  # in the other byte order
    assert 0x6F000000 in {edit.value for edit in changes(tree) if edit.path == "length"}
    assert 100 not in numbers
    assert all(isinstance(number, int) and 0 <= number <= 0xFFFF for number in numbers)


def test_a_wrong_length_may_become_the_right_one() -> None:
    tree = Part("item", (Length("length", 2, 70), Leaf("value", b"abc")))
    numbers = {edit.value for edit in changes(tree) if edit.path == "length"}
    assert 3 in numbers
    assert 70 not in numbers


@given(values.streams)
def test_changes_of_any_bytes_apply_and_can_be_saved(stream: bytes) -> None:
    for tree in (read_stream(stream), read_pdu(stream)):
        edits = tuple(changes(tree))
        for edit in edits[:: max(1, len(edits) // 50)]:
            encode(apply(tree, [edit]))
        made = Conversation(name="x", steps=tuple(Send(message=stream, edits=(edit,)) for edit in edits[:500]))
        assert conversation_of_json(json_of_conversation(made)) == made


@given(values.streams, st.integers(0, 1000))
def test_random_changes_of_any_bytes_apply_and_can_be_saved(stream: bytes, seed: int) -> None:
    random = Random(seed)
    edits: list[Edit] = []
    for _ in range(20):
        edit = change(apply(read_stream(stream), edits), random)
        if edit is not None:
            edits.append(edit)
    made = Conversation(name="x", steps=(Send(message=stream, edits=tuple(edits)),))
    assert conversation_of_json(json_of_conversation(made)) == made
    send = made.steps[0]
    assert isinstance(send, Send)
    send.wire()


def test_random_changes_depend_on_the_seed_alone() -> None:
    def made(seed: int) -> list[Edit | None]:
        random = Random(seed)
        return [change(read_stream(values.REQUEST), random) for _ in range(50)]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_random_lengths_are_often_beside_the_right_one() -> None:
    tree = read_stream(values.REQUEST)
    right = lengths(tree)
    found = [edit for edit in (change(tree, Random(seed)) for seed in range(2000)) if edit is not None]
    off = [
        edit.value - right[edit.path][0]
        for edit in found
        if edit.action is Action.LENGTH and isinstance(edit.value, int)
    ]
    assert {-2, -1, 1, 2, 4} <= set(off)


def test_nothing_can_be_changed_in_nothing() -> None:
    assert change(read_stream(b""), Random(1)) is None
    assert list(changes(read_stream(b""))) == []

"""Changed conversations: bounded, a function of their seed, and different."""

from __future__ import annotations

from random import Random

import pytest

from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.mutating import EDITS, MESSAGES, STEPS, changed, spliced
from dicos_fuzz.conversation import (
    Answer,
    Await,
    Check,
    Conversation,
    Open,
    Send,
    Side,
    conversation_of_json,
    json_of_conversation,
)
from dicos_fuzz.grammar import Offer, echo, request

GOOD = Conversation(
    name="good/echo",
    steps=(Open(), Send(message=request(Offer())), Await(kinds=(2,)), Send(message=echo()), Await(kinds=(4,))),
    about="a good echo",
    clause="PS3.8 9.2",
    expect="served",
)
CALLED = Conversation(name="answers/good", steps=(Open(), Answer(), Answer(), Answer()), side=Side.PROVIDER)


def test_a_change_depends_on_the_seed_alone() -> None:
    made = [changed(GOOD, Learned(), Random(seed)) for seed in range(200)]
    assert made == [changed(GOOD, Learned(), Random(seed)) for seed in range(200)]
    assert len({one.steps for one in made}) > 150


def test_changes_of_changes_stay_bounded_and_can_be_saved() -> None:
    random = Random(7)
    found = GOOD
    for _ in range(500):
        found = changed(found, Learned(), random)
        assert len(found.steps) <= STEPS
        assert all(len(step.edits) <= EDITS for step in found.steps if isinstance(step, Send | Answer))
        assert sum(len(step.message) for step in found.steps if isinstance(step, Send)) <= MESSAGES
        for step in found.steps:
            if isinstance(step, Send):
                step.wire()
    assert conversation_of_json(json_of_conversation(found)) == found
    assert found.name == "good/echo~"
    assert found.clause == GOOD.clause


def test_nothing_is_expected_of_a_changed_conversation() -> None:
    assert {changed(GOOD, Learned(), Random(seed)).expect for seed in range(20)} == {"any"}


@pytest.mark.parametrize("origin", [GOOD, CALLED, Conversation(name="empty/one", steps=())])
def test_every_kind_of_conversation_can_be_changed(origin: Conversation) -> None:
    for seed in range(300):
        assert changed(origin, Learned(), Random(seed)).side is origin.side


def test_a_peer_that_serves_one_at_a_time_gets_no_second_connection() -> None:
    for seed in range(500):
        made = changed(GOOD, Learned(alone=True), Random(seed))
        assert not any(isinstance(step, Check) or getattr(step, "connection", 0) for step in made.steps)


def test_answers_are_changed_too() -> None:
    edits = [step.edits for seed in range(100) for step in changed(CALLED, Learned(), Random(seed)).steps
             if isinstance(step, Answer) and step.edits]  # fmt: skip
    assert len(edits) > 10


def test_two_conversations_are_spliced() -> None:
    made = {spliced(GOOD, CALLED, Random(seed)).steps for seed in range(50)}
    assert len(made) > 5
    assert all(steps[0] == Open() and len(steps) <= STEPS for steps in made)
    assert any(Answer() in steps and Send(message=request(Offer())) in steps for steps in made)

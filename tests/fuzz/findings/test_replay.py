"""A reproducer played again: what has to run before it runs first, and a finding is known again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicos_fuzz.conversation import Conversation, Transcript
from dicos_fuzz.finding import Violation
from dicos_fuzz.findings.replay import replay, same
from dicos_fuzz.findings.reproducer import of_finding
from tests.fuzz.findings.examples import FINDING, TRANSCRIPT, VIOLATION

CRASH = replace(VIOLATION, oracle="crash", reaction="refuses connections")
WRONG = replace(VIOLATION, oracle="wrong-state", reaction="A-ASSOCIATE-AC", state="Sta6")


@pytest.mark.parametrize(
    ("wanted", "seen", "found"),
    [
        (WRONG, replace(WRONG, detail="other words", family="x"), True),
        (WRONG, replace(WRONG, state=""), True),
        (WRONG, replace(WRONG, state="Sta7"), False),
        (WRONG, replace(WRONG, reaction="silence"), False),
        (WRONG, VIOLATION, False),
        # A watched process ends by a signal, one that is not watched refuses connections.
        (replace(CRASH, reaction="signal 11"), CRASH, True),
        (VIOLATION, CRASH, False),
    ],
)  # fmt: skip
def test_a_finding_is_known_again(wanted: Violation, seen: Violation, found: bool) -> None:
    assert same(wanted, seen) is found


def test_each_run_begins_with_the_conversations_before_it() -> None:
    played: list[str] = []
    answers = iter([[VIOLATION, WRONG], [WRONG], []])

    def play(conversation: Conversation) -> Transcript:
        played.append(conversation.name)
        return TRANSCRIPT

    made = of_finding(FINDING)
    runs = list(replay(made, play, lambda conversation, transcript: next(answers), times=3))
    assert played == ["lengths/title", "lengths/presentation context"] * 3
    assert [run.shown for run in runs] == [True, False, False]
    assert [run.others(VIOLATION) for run in runs] == [(WRONG,), (WRONG,), ()]
    assert runs[0].transcript is TRANSCRIPT

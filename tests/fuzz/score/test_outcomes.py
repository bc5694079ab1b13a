"""A defect is found by the first finding whose oracle and words fit the defect, by the events of a campaign."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dicos_fuzz.broken import DEFECTS
from dicos_fuzz.score.outcomes import Found, findings_of, fits, outcome_of

LATE = DEFECTS["over-max-length"]


def event(number: int, oracle: str, seconds: float, **others: object) -> dict[str, object]:
    """The event of a finding."""
    return {
        "event": "finding", "id": f"{oracle}-{number}", "oracle": oracle, "severity": "low", "clause": "PS3.8 D.1",
        "reaction": "A-ASSOCIATE-AC", "detail": "of 131078 bytes; Maximum Length 16384", "conversation": "a/b",
        "about": "", "seconds": seconds, "conversations": 7, "replayed": [3, 3],
    } | others  # fmt: skip


def lines(*events: dict[str, object]) -> list[str]:
    return [json.dumps(one) for one in events]


def test_the_first_fitting_finding_counts() -> None:
    told = lines(event(1, "silence", 1), event(2, "accepted", 9), event(3, "accepted", 4))
    outcome = outcome_of(LATE, told)
    assert outcome.found is not None
    assert (outcome.found.id, outcome.found.seconds, outcome.found.replayed) == ("accepted-3", 4.0, (3, 3))
    assert [one.id for one in outcome.others] == ["silence-1"]


def test_a_finding_without_the_words_of_the_defect_is_another() -> None:
    outcome = outcome_of(LATE, lines(event(1, "accepted", 1, detail="something else")))
    assert outcome.found is None
    assert len(outcome.others) == 1


def test_every_finding_on_the_provider_without_a_defect_is_another() -> None:
    outcome = outcome_of(None, lines(event(1, "crash", 1)))
    assert (outcome.found, len(outcome.others), outcome.name) == (None, 1, "none")


def test_the_last_event_of_a_finding_has_the_size_of_its_reproducer() -> None:
    small = event(1, "accepted", 2, minimised=True, bytes=230, steps=4)
    summary = {"event": "summary", "conversations": 812, "found": [small]}
    outcome = outcome_of(LATE, lines(event(1, "accepted", 2), {"event": "progress"}, summary))
    assert outcome.found is not None
    assert (outcome.found.size, outcome.found.steps, outcome.conversations) == (230, 4, 812)


def test_the_size_of_a_conversation_that_was_not_made_small_does_not_count() -> None:
    (found,) = findings_of([event(1, "accepted", 2, minimised=False, bytes=9000, steps=30, shown=1, tried=2)])
    assert (found.size, found.steps) == (None, None)


def test_the_other_names_of_the_fields_are_understood() -> None:
    told = event(1, "accepted", 2, scenario="resources/over", shown=2, tried=3)
    del told["replayed"], told["conversation"]
    (found,) = findings_of([told])
    assert (found.replayed, found.conversation.strip()) == ((2, 3), "resources/over")


@pytest.mark.parametrize("line", ["", "{", "[1]", '"text"', '{"event": "finding"', '{"event": "summary", "found": 3}'])
def test_lines_that_are_no_events_are_passed_over(line: str) -> None:
    outcome = outcome_of(LATE, [line, *lines(event(2, "accepted", 9))])
    assert outcome.found is not None


def test_a_campaign_without_a_summary_has_failed() -> None:
    assert outcome_of(None, []).trouble == "it ended without a summary"
    assert outcome_of(None, lines({"event": "summary"})).trouble == ""


@pytest.mark.parametrize("name", DEFECTS)
def test_no_defect_is_found_by_a_finding_of_another_kind(name: str) -> None:
    (found,) = findings_of([event(1, "no-such-oracle", 1)])
    assert not fits(found, DEFECTS[name])


def test_words_are_looked_for_in_all_texts() -> None:
    (found,) = findings_of([event(1, "accepted", 1, detail="", about="eight times the MAXIMUM length")])
    assert isinstance(found, Found)
    assert fits(found, LATE)
    assert not fits(replace(found, conversation=""), LATE)

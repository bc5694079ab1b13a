"""Findings: a signature is what the peer did, not what was sent to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicos_fuzz.conversation import Conversation, Transcript
from dicos_fuzz.finding import Finding, Severity, Violation, signature

HANG = Violation(
    oracle="hang",
    severity=Severity.CRITICAL,
    detail="no answer in 5 s",
    clause="PS3.8 9.1.5",
    state="Sta2",
    reaction="silence",
)


@pytest.mark.parametrize("change", [{"detail": "x"}, {"clause": "x"}, {"severity": Severity.LOW}, {"family": "x"}])
def test_what_differs_from_run_to_run_is_no_part_of_the_signature(change: dict[str, object]) -> None:
    assert signature(replace(HANG, **change)) == signature(HANG)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"oracle": "x"}, {"state": "x"}, {"reaction": "x"}, {"family": "x", "by_family": True}]
)
def test_what_the_peer_did_is_the_signature(change: dict[str, object]) -> None:
    assert signature(replace(HANG, **change)) != signature(HANG)  # type: ignore[arg-type]


def test_the_state_is_no_part_of_it_where_the_reaction_is_the_same_in_all() -> None:
    log = replace(HANG, by_state=False)
    assert signature(log) == signature(replace(log, state="Sta6")) != signature(replace(log, reaction="x"))


def test_parts_of_a_signature_do_not_run_into_each_other() -> None:
    assert signature(replace(HANG, state="ab", reaction="c")) != signature(replace(HANG, state="a", reaction="bc"))


def test_a_signature_is_stable_and_any_text_has_one() -> None:
    assert signature(HANG) == "ae083b03aed1"
    assert len(signature(replace(HANG, reaction="\ud800"))) == 12


def test_the_id_names_the_oracle() -> None:
    finding = Finding(violation=HANG, conversation=Conversation(name="x", steps=()), transcript=Transcript())
    assert finding.id == "hang-ae083b03aed1"

"""The ledger: one finding for each signature, the first one, however it is suspected."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicos_fuzz.campaign.care import believed
from dicos_fuzz.campaign.ledger import CHANCES, Ledger
from dicos_fuzz.campaign.settings import Totals
from dicos_fuzz.conversation import Conversation, Transcript
from dicos_fuzz.finding import Finding, Severity, Violation, id_of, signature
from tests.fuzz.campaign.tiny import GOOD, SHORT

CRASH = Violation(oracle="crash", severity=Severity.CRITICAL, detail="", clause="", state="Sta2", reaction="SIGSEGV")


def finding(conversation: Conversation, replayed: tuple[int, int]) -> Finding:
    return Finding(violation=CRASH, conversation=conversation, transcript=Transcript(), replayed=replayed)


def ledger(known: frozenset[str] = frozenset()) -> tuple[Ledger, Totals, list[Finding]]:
    told: list[Finding] = []
    totals = Totals()
    return Ledger(totals, known, told.append), totals, told


def test_a_finding_stays_when_another_suspicion_comes_down_to_it() -> None:
    """A crash that is noticed one conversation later looks different until it is searched."""
    kept, totals, told = ledger()
    assert kept.add(finding(GOOD, (3, 3)), at=1.0, cases=2)
    assert kept.add(finding(SHORT, (1, 3)), at=9.0, cases=20)
    (found,) = totals.findings.values()
    assert (found.conversation, found.replayed, found.seen_after, found.count) == (GOOD, (3, 3), (1.0, 2), 2)
    assert len(told) == 1


def test_what_comes_back_later_is_a_finding_with_what_was_counted_before() -> None:
    kept, totals, told = ledger()
    assert not kept.add(finding(GOOD, (0, 3)), at=1.0, cases=2)
    assert kept.is_new(CRASH)
    assert kept.add(finding(GOOD, (2, 3)), at=2.0, cases=4)
    assert totals.unconfirmed == {}
    assert [one.count for one in totals.findings.values()] == [one.count for one in told] == [2]


def test_a_doubtful_one_has_a_few_chances() -> None:
    kept, totals, _ = ledger()
    for _ in range(CHANCES):
        assert kept.is_new(CRASH)
        kept.add(finding(GOOD, (0, 3)), at=1.0, cases=2)
    assert not kept.is_new(CRASH)
    assert totals.unconfirmed[signature(CRASH)].count == CHANCES + 1


def test_what_there_was_no_time_to_play_again_is_not_confirmed() -> None:
    kept, totals, told = ledger()
    kept.suspect(CRASH)
    kept.leave(finding(GOOD, (0, 0)), at=5.0, cases=7)
    (left,) = totals.unconfirmed.values()
    assert (left.replayed, left.seen_after) == ((0, 0), (0.0, 0))  # when it was first seen
    assert totals.findings == {}
    assert told == []
    assert kept.is_new(CRASH)
    kept.add(finding(GOOD, (3, 3)), at=6.0, cases=8)
    kept.leave(finding(SHORT, (0, 0)), at=7.0, cases=9)
    assert totals.unconfirmed == {}


@pytest.mark.parametrize("known", [signature(CRASH), id_of(CRASH)])
def test_a_known_one_is_masked_and_counted_by_its_id(known: str) -> None:
    kept, totals, _ = ledger(frozenset({known}))
    assert not kept.is_new(CRASH)
    assert kept.is_known(CRASH)
    assert totals.masked == {id_of(CRASH): 1}
    assert kept.add(finding(GOOD, (3, 3)), at=1.0, cases=2)  # it looked different until it was searched
    assert totals.findings == {}
    assert totals.masked == {id_of(CRASH): 2}


def test_what_is_looked_into_is_not_looked_into_again() -> None:
    kept, _, _ = ledger()
    kept.suspect(CRASH)
    assert not kept.is_new(CRASH)
    kept.add(finding(GOOD, (3, 3)), at=1.0, cases=2)
    assert not kept.is_new(CRASH)  # found


def test_an_end_without_a_known_cause_is_one_with_the_same_end_whose_cause_is_known() -> None:
    """The last conversation before it need not be the cause: it is not blamed, and not counted twice."""
    unexplained = believed(finding(SHORT, (0, 3)))
    assert unexplained.replayed == (0, 0)
    assert unexplained.violation.detail.endswith(
        "no conversation is known to be the cause, the last one was good/nothing"
    )
    for first, second in ((finding(GOOD, (3, 3)), unexplained), (unexplained, finding(GOOD, (3, 3)))):
        kept, totals, _ = ledger()
        assert kept.add(first, at=1.0, cases=2)
        assert kept.add(second, at=2.0, cases=3)
        (found,) = totals.findings.values()
        assert (found.conversation, found.replayed, found.count) == (GOOD, (3, 3), 2)


def test_ends_without_a_known_cause_are_one_in_all_states() -> None:
    kept, totals, _ = ledger()
    for state in ("Sta2", "Sta6"):
        one = finding(SHORT, (0, 3))
        assert kept.add(believed(replace(one, violation=replace(CRASH, state=state))), at=1.0, cases=2)
    (found,) = totals.findings.values()
    assert found.count == 2
    assert believed(finding(GOOD, (1, 3))) == finding(GOOD, (1, 3))


def test_what_is_looked_into_for_long_was_found_when_it_was_seen() -> None:
    told: list[Finding] = []
    totals = Totals()
    kept = Ledger(totals, frozenset(), told.append, lambda: (3.0, 10))
    kept.suspect(CRASH)
    assert not kept.is_new(CRASH)
    kept.add(finding(GOOD, (3, 3)), at=90.0, cases=400)
    assert [one.seen_after for one in totals.findings.values()] == [(3.0, 10)]


def test_a_suspicion_that_came_down_to_something_else_was_seen_then_and_may_come_again() -> None:
    """An end of the peer whose cause is not found loses its state, and with it its signature."""
    totals = Totals()
    kept = Ledger(totals, frozenset(), lambda one: None, lambda: (3.0, 10))
    kept.suspect(CRASH)
    unexplained = believed(finding(GOOD, (0, 3)))
    kept.came_down_to(CRASH, unexplained.violation)
    kept.add(unexplained, at=90.0, cases=400)
    assert [one.seen_after for one in totals.findings.values()] == [(3.0, 10)]
    assert kept.is_new(CRASH)
    for _ in range(CHANCES):
        kept.came_down_to(CRASH, unexplained.violation)
    assert not kept.is_new(CRASH)  # to look for its cause takes a minute each time

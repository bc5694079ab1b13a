"""The conversations before a finding: the latest ones for which there is room in a file, and how many were left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dicos_fuzz.campaign import ledger
from dicos_fuzz.campaign.ledger import Ledger
from dicos_fuzz.campaign.settings import Totals
from dicos_fuzz.conversation import Conversation, Open, Send, json_of_conversation
from dicos_fuzz.findings.fitting import bounded, extent
from dicos_fuzz.findings.reproducer import file_name, of_finding, read, write
from dicos_fuzz.json_text import MOST_BYTES, MOST_VALUES, DamagedFile, parse, written
from dicos_fuzz.reports.wording import how_small
from dicos_fuzz.tree import Action, Edit
from tests.fuzz import values
from tests.fuzz.findings.examples import CONVERSATION, FINDING


def bulk(number: int, size: int) -> Conversation:
    return Conversation(name=f"bulk/{number}", steps=(Open(), Send(message=bytes(size))))


def test_the_extent_is_that_in_a_file() -> None:
    for one in (CONVERSATION, bulk(0, 10), bulk(1, 0)):
        size, count = extent(one)
        alone = len(written({"a": []}))
        assert alone < len(written({"a": [json_of_conversation(one)]})) <= alone + size + 4
        assert parse(written([json_of_conversation(one)]), most_values=count + 2)
        with pytest.raises(DamagedFile):
            parse(written([json_of_conversation(one)]), most_values=count - 2)


@pytest.mark.parametrize("size", [100, 9_000])
def test_a_finding_after_many_conversations_has_a_file(size: int, tmp_path: Path) -> None:
    """A thousand conversations of 9 kB are 18 MB in hexadecimal."""
    before = tuple(bulk(number, size) for number in range(1000))
    made = of_finding(replace(FINDING, before=before))
    path = tmp_path / file_name(made)
    write(path, made)
    found = read(path)
    assert found.before == before[1000 - len(found.before) :]
    assert found.left_out == 1000 - len(found.before)
    assert (found.left_out > 0) is (size > 100)
    assert path.stat().st_size > (MOST_BYTES * 0.9 if found.left_out else 0)


def test_many_values_are_too_many_as_well(tmp_path: Path) -> None:
    one = Conversation(name="values", steps=(Open(),) * 1000)
    found, _ = bounded(replace(FINDING, before=(one,) * 100), MOST_BYTES)
    assert 0 < len(found.before) * 3000 < MOST_VALUES
    assert found.left_out == 100 - len(found.before)
    write(tmp_path / "x", of_finding(found))
    assert f"{found.left_out} earlier conversations left out" in how_small(found)


def test_much_work_of_edits_is_too_much_as_well(tmp_path: Path) -> None:
    edits = (Edit("", Action.REPEAT),) * 12
    one = Conversation(name="work", steps=(Send(message=values.REQUEST, edits=edits),))
    found, _ = bounded(replace(FINDING, before=(one,) * 50), MOST_BYTES)
    assert 0 < len(found.before) < 50
    write(tmp_path / "x", of_finding(found))


def test_a_conversation_that_is_too_large_itself_has_no_file(tmp_path: Path) -> None:
    huge = replace(FINDING, conversation=bulk(0, MOST_BYTES // 2), minimised=None)
    found, _ = bounded(huge, MOST_BYTES)
    assert found.before == ()
    with pytest.raises(ValueError, match="at most 16,777,216"):
        write(tmp_path / "x", of_finding(found))
    assert [*tmp_path.iterdir()] == []


def test_all_findings_together_keep_a_bounded_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "BEFORE", 100_000)
    totals = Totals()
    kept = Ledger(totals, frozenset(), lambda finding: None)
    before = tuple(bulk(number, 1000) for number in range(20))
    for number in range(10):
        violation = replace(FINDING.violation, reaction=f"{number}")
        kept.add(replace(FINDING, violation=violation, before=before), at=1.0, cases=1)
        kept.leave(replace(FINDING, violation=replace(violation, state="x"), before=before), at=1.0, cases=1)
    found = [*totals.findings.values(), *totals.unconfirmed.values()]
    assert len(found) == 20
    assert all(len(one.before) + one.left_out == 20 for one in found)
    assert sum(len(one.before) for one in found) * 2000 < 100_000

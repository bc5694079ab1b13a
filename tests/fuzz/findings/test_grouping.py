"""Findings in groups: one for a signature, the smallest reproducer kept, the worst first; known ones masked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.conversation import Answer, Check, DamagedFile, Entry, Open, Send, Transcript, What
from dicos_fuzz.finding import Finding, Severity, signature
from dicos_fuzz.findings.grouping import alike, grouped, masked, merged, read_known, size_of
from dicos_fuzz.reports.wording import how_small
from tests.fuzz.findings.examples import CONVERSATION, FINDING, SEND

LATE = replace(FINDING, seen_after=(90.0, 900), count=3, minimised=None, replayed=(1, 9), evidence=("more",))
SMALL = replace(FINDING, seen_after=(95.0, 950), before=(), minimised=replace(CONVERSATION, steps=(Check(),)))
OTHER = replace(
    FINDING, violation=replace(FINDING.violation, reaction="other", severity=Severity.LOW), seen_after=(0.1, 1)
)


def test_two_of_one_signature_become_one() -> None:
    for found in (merged(FINDING, LATE), merged(LATE, FINDING)):
        assert found.seen_after == (12.5, 340)
        assert found.count == 10
        assert found.minimised == FINDING.minimised
        assert found.replayed == (1, 9)
        assert found.evidence == ("the process has ended with signal 11", "more")


def test_the_smallest_reproducer_is_kept_with_what_has_to_run_before_it() -> None:
    found = merged(FINDING, SMALL)
    assert (found.minimised, found.before) == (SMALL.minimised, ())
    assert found.conversation == FINDING.conversation


def test_the_worst_comes_first_then_the_earliest() -> None:
    second = replace(OTHER, violation=replace(OTHER.violation, reaction="second"), seen_after=(0.05, 1))
    assert [one.violation.reaction for one in grouped([OTHER, LATE, second, FINDING])] == ["silence", "second", "other"]
    assert grouped([]) == ()


def test_known_ones_are_masked_and_counted() -> None:
    name = signature(FINDING.violation)
    for known in (name, FINDING.id):
        assert masked([FINDING, OTHER, LATE], frozenset({known, "0" * 12})) == ([OTHER], {FINDING.id: 10})


def test_the_size_of_a_conversation_is_what_it_sends() -> None:
    assert size_of(CONVERSATION) == (len(SEND.wire()), 5)
    assert size_of(replace(CONVERSATION, steps=(Send(message=b"ab"), Send(message=b"c")))) == (3, 2)


def test_answers_count_as_in_the_run_that_shows_them() -> None:
    answering = replace(CONVERSATION, steps=(Open(), Answer(), Send(message=b"ab")))
    run = Transcript([Entry(0.0, 0, What.SENT, bytes(100)), Entry(0.0, 0, What.RECEIVED, bytes(9))])
    assert size_of(answering, run) == (100, 3)
    assert size_of(answering) == (2, 3)
    finding = replace(FINDING, conversation=answering, transcript=run, minimised=None, before=())
    assert how_small(finding) == "3 steps, 100 B"
    assert how_small(replace(finding, minimised=answering, minimised_transcript=None)) == (
        "3 steps, 2 B and answers (first: 3 steps, 100 B)"
    )


def test_a_file_of_known_findings(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    path.write_text(
        f"# reported\n\n{FINDING.id}   # in May\r\n"
        f"  {signature(OTHER.violation)} to be mended in 2.1\nslot-leak-0123456789ab\n"
    )
    assert read_known(path) == {FINDING.id, signature(OTHER.violation), "slot-leak-0123456789ab"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hang", "line 1: 'hang'; expected the id of a finding, or its 12 digits"),
        ("# x\nhang-0123456789AB", "line 2: 'hang-0123456789AB'; expected"),
        ("0123456789abc", "line 1: '0123456789abc'"),
        ("\x1b[31m" + "x" * 500, r"line 1: '\x1b[31mxxx"),
    ],
)
def test_a_damaged_file_is_refused_by_name_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "known.txt"
    path.write_text(text)
    with pytest.raises(DamagedFile) as caught:
        read_known(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert len(str(caught.value)) < 300


def test_a_file_of_a_gigabyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(DamagedFile, match="more than 4,194,304 bytes"):
        read_known(path)


@given(st.binary(max_size=60))
def test_any_bytes_are_signatures_or_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-known.txt"
    path.write_bytes(raw)
    try:
        found = read_known(path)
    except DamagedFile as fault:
        found = frozenset()
        assert str(path) in str(fault)  # noqa: PT017
    assert all(len(one) == 12 for one in found)


def test_findings_are_alike_if_only_the_place_of_the_fault_differs() -> None:
    def after(place: str, **changed: str) -> Finding:
        reaction = f"C-STORE-RSP (success) after {place}"
        return replace(FINDING, violation=replace(FINDING.violation, **{"reaction": reaction, **changed}))  # type: ignore[arg-type]

    first, second = after("contents/path"), after("contents/length")
    state, clause, reaction = after("a", state="Sta7"), after("a", clause="PS3.5 7"), after("a", reaction="A-ABORT")
    found = alike([first, state, second, clause, reaction])
    assert found == [(first, second), (state,), (clause,), (reaction,)]

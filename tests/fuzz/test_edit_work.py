"""The edits of a file are bounded in their work; a single one does not look at all nodes beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicos_fuzz.campaign.corpus import read_conversation
from dicos_fuzz.conversation import Conversation, Open, Send, Step, json_of_conversation
from dicos_fuzz.edit_work import MOST_WORK, check_work, work_of
from dicos_fuzz.finding import Finding
from dicos_fuzz.findings.reproducer import json_of_reproducer, of_finding, read, write
from dicos_fuzz.grammar import read_stream
from dicos_fuzz.json_text import DamagedFile
from dicos_fuzz.tree import Action, Edit, Effort, apply
from tests.fuzz.findings.examples import CONVERSATION, TRANSCRIPT, VIOLATION

RELEASE = bytes.fromhex("05000000000400000000")
REPEATED = Send(message=RELEASE * 1000, edits=(Edit("", Action.REPEAT),) * 40)
SWAPPED = Send(
    message=RELEASE * 20_000,
    edits=tuple(Edit(f"A-RELEASE-RQ#{19_990 - number}", Action.SWAP) for number in range(1000)),
)


@pytest.mark.parametrize("step", [REPEATED, SWAPPED], ids=["repeat", "swap"])
def test_a_file_with_too_much_work_is_refused_by_name_in_one_line(step: Step, tmp_path: Path) -> None:
    hostile = Conversation(name="x", steps=(Open(), *(step,) * (5 if step is SWAPPED else 3)))
    path = tmp_path / "x.json"
    path.write_text(json.dumps(json_of_conversation(hostile)))
    with pytest.raises(DamagedFile, match=r"x\.json: its edits together look at more than") as caught:
        read_conversation(path)
    assert "\n" not in str(caught.value)
    made = of_finding(Finding(violation=VIOLATION, conversation=hostile, transcript=TRANSCRIPT))
    path.write_text(json.dumps(json_of_reproducer(made)))
    with pytest.raises(DamagedFile, match=r"x\.json: its edits together look at more than"):
        read(path)
    with pytest.raises(ValueError, match="its edits together"):
        write(path, made)


def test_the_work_of_all_conversations_counts() -> None:
    one = Conversation(name="x", steps=(Send(message=RELEASE * 1000, edits=(Edit("", Action.REPEAT),) * 5),))
    work = work_of(one, MOST_WORK)
    check_work([one] * (MOST_WORK // work))
    with pytest.raises(DamagedFile):
        check_work([one] * (MOST_WORK // work + 1))


def test_what_the_fuzzer_makes_is_a_small_part_of_it() -> None:
    assert work_of(CONVERSATION, MOST_WORK) < MOST_WORK // 1000


def test_an_edit_does_not_look_at_all_nodes() -> None:
    tree = read_stream(SWAPPED.message)
    effort = Effort()
    apply(tree, SWAPPED.edits, effort)
    assert effort.spent < len(SWAPPED.edits) * 20_000 // 10


def test_edits_are_not_made_after_the_end() -> None:
    tree = read_stream(RELEASE * 3)
    asked: list[None] = []
    effort = Effort(stop=lambda: len(asked) == 2 or asked.append(None) is not None)
    apply(tree, [Edit("A-RELEASE-RQ", Action.DELETE)] * 3, effort)
    assert effort.over
    assert not Effort().over

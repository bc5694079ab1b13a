"""The score as text and as JSON."""

from __future__ import annotations

import json

from dicos_fuzz.broken import DEFECTS
from dicos_fuzz.score.outcomes import Found, Outcome
from dicos_fuzz.score.table import as_json, line_of, table, total

FOUND = Found(
    id="crash-1", oracle="crash", severity="critical", clause="it goes on serving", reaction="signal SIGSEGV",
    detail="the process ended", conversation="lengths/x", seconds=3.25, conversations=40, size=231, steps=3,
    replayed=(3, 3),
)  # fmt: skip
CRASH = Outcome(defect=DEFECTS["item-length-crash"], found=FOUND, seconds=12.0, conversations=99)
MISSED = Outcome(defect=DEFECTS["deflate-bomb"], others=(FOUND, FOUND), seconds=12.0)
TROUBLED = Outcome(defect=DEFECTS["accept-loop"], trouble="exit status 3: no association")
GOOD = Outcome(defect=None, seconds=12.0, conversations=1000)


def test_a_table_has_a_line_for_each_defect() -> None:
    lines = table([CRASH, MISSED, TROUBLED, GOOD]).splitlines()
    assert len(lines) == 6
    assert " ".join(lines[2].split()) == "item-length-crash crash crash 3.2 s 40 231 bytes, 3 steps 3 of 3"
    assert " ".join(lines[3].split()) == "deflate-bomb leak - crash 2x"
    assert "exit status 3: no association" in lines[4]
    assert "nothing planted" in lines[5]


def test_the_total_names_what_was_missed_and_what_is_false() -> None:
    text = total([CRASH, MISSED, GOOD], 61.0)
    assert "1 of 2 planted defects found in 61 s" in text
    assert "not found: deflate-bomb" in text
    assert "0 false findings in 1000 conversations" in text
    false = Outcome(defect=None, others=(FOUND,), conversations=5)
    assert "1 false findings in 5 conversations\n  crash-1: the process ended" in total([CRASH, false], 1.0)


def test_text_of_a_peer_is_escaped() -> None:
    hostile = Outcome(defect=None, trouble="\x1b[31mred\n")
    assert "\x1b" not in table([hostile]) + total([hostile], 1.0) + line_of(hostile)


def test_one_line_tells_one_outcome() -> None:
    assert line_of(CRASH) == "item-length-crash: crash after 3.2 s"
    assert line_of(MISSED) == "deflate-bomb: not found in 12 s"
    assert line_of(TROUBLED) == "accept-loop: exit status 3: no association"
    assert line_of(GOOD) == "none: 0 findings in 12 s"


def test_json_says_the_same() -> None:
    found = json.loads(json.dumps(as_json(CRASH)))
    assert found["event"] == "defect"
    assert (found["defect"], found["oracle"], found["after"], found["reproducer_bytes"]) == (
        "item-length-crash", "crash", 3.25, 231,
    )  # fmt: skip
    assert as_json(GOOD)["found"] is None
    assert as_json(MISSED)["others"] == ["crash-1", "crash-1"]

"""Names for what is wrong: before and after, as the kind of the field is read, and nothing of a data set."""

from __future__ import annotations

import pytest
from hypothesis import given

from dicos_fuzz.findings.naming import named_answer_edits, named_edits, wrong_lengths
from dicos_fuzz.grammar import changes, read_stream
from dicos_fuzz.tree import Action, Edit
from tests.fuzz import values

RQ = "A-ASSOCIATE-RQ"
DATA = "P-DATA-TF#2/PDV/data set"


@pytest.mark.parametrize(
    ("path", "action", "value", "line"),
    [
        (f"{RQ}/length", Action.LENGTH, 65535, "442 -> 65535"),
        (f"{RQ}/called title", Action.SET, b"a'\x1b\xe4", r"'ANY-SCP         ' -> 'a\x27\x1b\xe4'"),
        (f"{RQ}/presentation context#2/id", Action.SET, b"\xff", "3 -> 255"),
        (f"{RQ}/presentation context#2/id", Action.SET, b"", "3 -> nothing"),
        (f"{RQ}/application context/UID", Action.SET, b"9" * 65,
         f"'1.2.840.10008.3.1.1.1' -> {'39 ' * 16}... (65 bytes)"),
        (f"{RQ}/reserved", Action.SET, b"\xff", "00 -> ff"),
        (f"{RQ}/user information/operations window", Action.DELETE, None, "left out (8 bytes)"),
        (f"{RQ}/user information/operations window", Action.REPEAT, None, "sent twice"),
        (f"{RQ}/user information/operations window", Action.SWAP, None, "exchanged with the field behind it"),
        (f"{RQ}/user information/operations window", Action.INSERT, b"\x99\0\0\0", "99 00 00 00 inserted before it"),
        (f"{RQ}/user information/operations window", Action.CUT, 3, "cut to 3 of 8 bytes"),
        (f"{RQ}/nowhere", Action.DELETE, None, "left out (without effect: there is no such field)"),
        ("P-DATA-TF/PDV/C-STORE-RQ/(0000,0110)/value", Action.SET, b"\x09\x00", "7 -> 9"),
        (f"{DATA}/(0010,0010)/value", Action.SET, b"Doe^", "4 bytes -> 4 bytes"),
        (f"{DATA}/(0010,0010)/value", Action.INSERT, b"Doe^", "4 bytes inserted before it"),
        (f"{DATA}/(0010,0010)/length", Action.LENGTH, 9, "4 -> 9"),
    ],
)  # fmt: skip
def test_an_edit_has_a_line(path: str, action: Action, value: bytes | int | None, line: str) -> None:
    stream = values.REQUEST + values.PDUS["C-STORE-RQ"]
    assert named_edits(stream, (Edit(path, action, value),)) == [f"{path}: {line}"]


def test_each_edit_is_named_after_those_before_it() -> None:
    edits = (Edit(f"{RQ}/length", Action.LENGTH, 1), Edit(f"{RQ}/length", Action.LENGTH, 2), Edit("", Action.CUT, 9))
    assert named_edits(values.REQUEST, edits) == [
        f"{RQ}/length: 442 -> 1",
        f"{RQ}/length: 1 -> 2",
        "all of it: cut to 9 of 448 bytes",
    ]


@given(values.streams)
def test_any_edit_of_any_bytes_has_a_line_of_printable_ascii(stream: bytes) -> None:
    edits = tuple(changes(read_stream(stream)))
    for edit in edits[:: max(1, len(edits) // 40)]:
        for line in (*named_edits(stream, (edit,)), *named_answer_edits((edit,))):
            assert line.isascii()
            assert line.isprintable()
            assert len(line) < 500


def test_edits_of_an_answer_are_named_without_what_was_there() -> None:
    edits = (
        Edit("A-RELEASE-RP", Action.REPEAT),
        Edit("a", Action.SET, b"\x01"),
        Edit("b", Action.LENGTH, 7),
        Edit("c", Action.CUT, 7),
    )
    assert named_answer_edits(edits) == ["A-RELEASE-RP: sent twice", "a: set to 01", "b: set to 7", "c: cut to 7 bytes"]


def test_many_edits_are_counted() -> None:
    found = named_edits(values.REQUEST, (Edit(RQ, Action.REPEAT),) * 60)
    assert len(found) == 51
    assert found[-1] == "... and 10 more"


def test_lengths_that_do_not_match_have_a_line() -> None:
    assert wrong_lengths(values.REQUEST) == []
    assert wrong_lengths(bytes.fromhex("0700000000ff00000206")) == ["A-ABORT/length: 255, 4 bytes follow"]

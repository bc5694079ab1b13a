"""The text form of fault plans: what is written is read, and errors name the line and what is allowed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dicos_fuzz.faults import Direction, Fault, FaultPlan, PlanError, parse_fault, parse_plan
from dicos_fuzz.faults.effects import (
    About,
    After,
    At,
    Change,
    Clock,
    Delay,
    Dribble,
    Drop,
    Duplicate,
    EditPdu,
    Error,
    Every,
    Flip,
    HalfClose,
    Insert,
    Merge,
    Overwrite,
    Pdu,
    Reorder,
    Reset,
    Short,
    Split,
    Stall,
    Timers,
    Truncate,
)
from dicos_fuzz.faults.strategies import plans
from dicos_fuzz.tree import Action, Edit

IN, OUT = Direction.IN, Direction.OUT
LINES = {
    "in at 100: split": Fault(IN, At(100), Split()),
    "out every 16: split": Fault(OUT, Every(16), Split()),
    "out about 40: split": Fault(OUT, About(40), Split()),
    "in at 0: merge 500": Fault(IN, At(0), Merge(500)),
    "in at 0: merge 500 0.2": Fault(IN, At(0), Merge(500, 0.2)),
    "in at 0: delay 0.1": Fault(IN, At(0), Delay(0.1)),
    "in at 0: delay 0.1 0.05": Fault(IN, At(0), Delay(0.1, 0.05)),
    "out pdu any 2: reorder 100": Fault(OUT, Pdu("any", 2), Reorder(100)),
    "out pdu any 2: reorder 100 3": Fault(OUT, Pdu("any", 2), Reorder(100, 3)),
    "out pdu P-DATA-TF each: duplicate": Fault(OUT, Pdu("P-DATA-TF", 0), Duplicate()),
    "out pdu P-DATA-TF 3 +12: duplicate 5": Fault(OUT, Pdu("P-DATA-TF", 3, 12), Duplicate(5)),
    "in pdu A-ABORT: drop": Fault(IN, Pdu("A-ABORT"), Drop()),
    "in at 7: drop 3": Fault(IN, At(7), Drop(3)),
    "in pdu any 2: truncate": Fault(IN, Pdu("any", 2), Truncate()),
    "in pdu any 2: truncate 40": Fault(IN, Pdu("any", 2), Truncate(40)),
    "in at 9: flip 7": Fault(IN, At(9), Flip(7)),
    "in at 9: set ff00": Fault(IN, At(9), Overwrite(b"\xff\0")),
    'out pdu A-ASSOCIATE-RQ: edit "presentation context#2/length" length 3': Fault(
        OUT, Pdu("A-ASSOCIATE-RQ"), EditPdu(Edit("presentation context#2/length", Action.LENGTH, 3))
    ),
    'out pdu any: edit "type" set 08': Fault(OUT, Pdu("any"), EditPdu(Edit("type", Action.SET, b"\x08"))),
    'out pdu any: edit "type" set': Fault(OUT, Pdu("any"), EditPdu(Edit("type", Action.SET, b""))),
    'out pdu any: edit "" delete': Fault(OUT, Pdu("any"), EditPdu(Edit("", Action.DELETE))),
    "in pdu any 3: change": Fault(IN, Pdu("any", 3), Change()),
    "in pdu any 3: change 4": Fault(IN, Pdu("any", 3), Change(4)),
    "out at 0: insert 474554": Fault(OUT, At(0), Insert(b"GET")),
    "out after 2.5: stall": Fault(OUT, After(2.5), Stall()),
    "out after 0: stall 10": Fault(OUT, After(0), Stall(10)),
    "out at 10: dribble 3": Fault(OUT, At(10), Dribble(3)),
    "in pdu A-RELEASE-RP 1 +10: half-close": Fault(IN, Pdu("A-RELEASE-RP", 1, 10), HalfClose()),
    "out at 500: reset": Fault(OUT, At(500), Reset()),
    "in at 0: timer late 5 ARTIM": Fault(IN, At(0), Timers("late", 5, "ARTIM")),
    "in at 0: timer twice": Fault(IN, At(0), Timers("twice")),
    "in after 1: clock +3600": Fault(IN, After(1), Clock(3600)),
    "in after 1: clock -0.5": Fault(IN, After(1), Clock(-0.5)),
    "out at 0: short 7": Fault(OUT, At(0), Short(7)),
    "out at 90: error EPIPE": Fault(OUT, At(90), Error("EPIPE")),
    "out at 90: error EAGAIN 3": Fault(OUT, At(90), Error("EAGAIN", 3)),
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_a_fault_and_the_fault_that_line(line: str) -> None:
    assert parse_fault(line) == LINES[line]
    assert str(LINES[line]) == line


def test_every_effect_and_place_has_a_line_here() -> None:
    from dicos_fuzz.faults.effects import FORMS, PLACES

    assert {type(fault.effect) for fault in LINES.values()} == {form.of for form in FORMS}
    assert {type(fault.place) for fault in LINES.values()} == {form.of for form in PLACES}


@given(plans(most=8))
@example(FaultPlan((Fault(IN, Pdu("any"), EditPdu(Edit('a: "b" # c\\\n\u2028', Action.CUT, 0))),)))
def test_a_plan_that_is_written_is_read(plan: FaultPlan) -> None:
    assert parse_plan(str(plan)) == plan


def test_comments_empty_lines_and_spaces_are_allowed() -> None:
    text = (
        '\n# a plan: "quoted\n   \nseed 3  # the seed\n\tout   at 5 :split # here\nout pdu any: edit "a#2" delete #x\n'
    )
    assert str(parse_plan(text)) == 'seed 3\nout at 5: split\nout pdu any: edit "a#2" delete\n'
    assert parse_plan("") == FaultPlan()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("both at 5: split", "'both' is not a direction: in, out"),
        ("in", "a place (at, every, about, pdu, after) is missing"),
        ("in aftr 5: split", "'aftr' is not a place: at, every, about, pdu, after; did you mean after?"),
        ("in at: split", "at: offset: ':'; allowed: 0 to 1099511627776"),
        ("in at 5", '":" and an effect is missing'),
        ("in at 5 6: split", "'6' in place of \":\" and an effect"),
        ("in at 5:", "an effect (split, merge, delay, reorder,"),
        ("in at 5: splt", "'splt' is not an effect: split, merge, "),
        ("in at 5: split 6", "'6' is too much; the line ends before it"),
        ("in at 5: flip", "flip: bit: a number from 0 to 7 is missing"),
        ("in at 5: flip nine", "flip: bit: 'nine'; allowed: 0 to 7"),
        ("in at 5: flip 9", "flip: bit: 9; allowed: 0 to 7"),
        ("in at 5: set 0g", "set: data: '0g'; allowed: 1 to 1024 bytes in hexadecimal"),
        ("in at 5: stall 1_0", "stall: seconds: '1_0'; allowed: 0 to 100000 seconds"),
        ("in at 5: stall \u0661", "stall: seconds: '\\u0661'; allowed: 0 to 100000 seconds"),
        ("in after 1_0: reset", "after: seconds: '1_0'; allowed: "),
        ("in at 1_0: split", "at: offset: '1_0'; allowed: "),
        ("in at 5: stall soon", "stall: seconds: 'soon'; allowed: 0 to 100000 seconds"),
        ("in at 5: clock inf", "clock: seconds: 'inf'; allowed: -100000 to 100000 seconds"),
        ("in pdu P-DATA 1: split", "pdu: kind: 'P-DATA'; allowed: any, A-ASSOCIATE-RQ, "),
        ("in pdu any 0x1: split", "pdu: number: '0x1'; allowed: each or 1 to"),
        ("in pdu any 0: split", "pdu: number: '0'; allowed: each or 1 to"),
        ("in pdu any 1 +x: split", "pdu: offset: 'x'; allowed: 0 to"),
        ("in pdu any: edit length delete", "edit: edit: 'length'; allowed: a path in quotation marks, as "),
        ('in pdu any: edit "length', "edit: edit: '\"'; allowed: a path in quotation marks"),
        ('in pdu any: edit "a" remove', "edit: edit: 'remove'; allowed: set, length, delete"),
        ("seed", "a number from 0 to 4294967295 is missing"),
        ("seed -1", "'-1'; allowed: 0 to 4294967295"),
        ("seed 1 2", "'2' is too much"),
        ("in at 5: error ENOENT", "error: error: 'ENOENT'; allowed: EPIPE, "),
        ("in at 99999999999999999999999: split", "at: offset: '99999999999999999999999'; allowed: 0 to"),
        ("\x1b[31m: x", r"'\x1b[31m' is not a direction"),
    ],
)
def test_an_error_names_the_line_and_what_is_allowed(line: str, told: str) -> None:
    with pytest.raises(PlanError) as error:
        parse_plan(f"# first\n\n{line}\nin at 1: split\n")
    assert error.value.line == 3
    assert str(error.value).startswith(f"line 3: {told}"), str(error.value)


def test_too_much_is_refused() -> None:
    with pytest.raises(PlanError, match=r"^line 65: one fault more than 64, the most of one plan$"):
        parse_plan("in at 1: split\n" * 65)
    with pytest.raises(PlanError, match=r"^1048577 characters; at most 1048576$"):
        parse_plan("#" * (1 << 20) + "\n")
    with pytest.raises(PlanError, match=r"^line 2: a second seed; one is allowed$"):
        parse_plan("seed 1\nseed 2\n")


@given(st.text() | st.text(alphabet='inout at:pdu+#"\\ 0159.-e\n'))
def test_any_text_is_a_plan_or_an_error_with_a_line(text: str) -> None:
    try:
        plan = parse_plan(text)
    except PlanError as found:
        error = found
    else:
        assert parse_plan(str(plan)) == plan
        return
    assert str(error).isascii()
    assert 1 <= error.line <= text.count("\n") + 1

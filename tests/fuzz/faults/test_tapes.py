"""Any bytes make a plan, and every plan has its bytes; plans at random."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.faults import FaultPlan, parse_plan, plan_of_tape, random_plan, tape_of_plan
from dicos_fuzz.faults.effects import FORMS, PLACES
from dicos_fuzz.faults.plan import MOST_FAULTS
from dicos_fuzz.faults.strategies import plans
from dicos_fuzz.faults.tapes import HARMLESS


@given(st.binary(max_size=2000))
def test_any_bytes_make_a_plan(tape: bytes) -> None:
    plan = plan_of_tape(tape)
    assert len(plan.faults) <= MOST_FAULTS
    assert plan_of_tape(tape) == plan
    assert parse_plan(str(plan)) == plan
    assert plan_of_tape(tape_of_plan(plan)) == plan


@given(plans(most=8))
def test_every_plan_has_a_tape(plan: FaultPlan) -> None:
    assert plan_of_tape(tape_of_plan(plan)) == plan


def test_short_tapes_make_simple_plans() -> None:
    assert plan_of_tape(b"") == FaultPlan()
    assert str(plan_of_tape(b"\0")) == ""
    assert str(plan_of_tape(b"\0\0")) == "in at 0: split\n"
    assert str(plan_of_tape(bytes((0, 1, 0, 100, 7, 3)))) == "out at 100: flip 3\n"


def test_tapes_reach_every_place_and_effect() -> None:
    random = Random(1)
    faults = [fault for _ in range(300) for fault in plan_of_tape(random.randbytes(64)).faults]
    assert {type(fault.place) for fault in faults} == {form.of for form in PLACES}
    assert {type(fault.effect) for fault in faults} == {form.of for form in FORMS}


def test_random_plans_reach_every_place_and_effect_and_repeat() -> None:
    found = [random_plan(Random(seed)) for seed in range(500)]
    faults = [fault for plan in found for fault in plan.faults]
    assert {type(fault.place) for fault in faults} == {form.of for form in PLACES}
    assert {type(fault.effect) for fault in faults} == {form.of for form in FORMS}
    assert all(1 <= len(plan.faults) <= 4 for plan in found)
    assert found == [random_plan(Random(seed)) for seed in range(500)]
    assert len(set(found)) > 490


def test_harmless_random_plans_change_no_byte() -> None:
    faults = [fault for seed in range(200) for fault in random_plan(Random(seed), harmless=True).faults]
    assert {type(fault.effect) for fault in faults} == set(HARMLESS)

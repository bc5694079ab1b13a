"""Fault plans as values: valid or refused, put together, made simpler."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_fuzz.faults import (
    Direction,
    Fault,
    FaultPlan,
    Faults,
    FaultyWire,
    parse_fault,
    parse_plan,
    plan_of_tape,
    random_plan,
    shrunk,
    tape_of_plan,
)
from dicos_fuzz.faults.effects import (
    FORMS,
    PLACES,
    At,
    Change,
    Clock,
    Dribble,
    EditPdu,
    Error,
    Flip,
    Insert,
    Overwrite,
    Pdu,
    Split,
    Stall,
    Timers,
)
from dicos_fuzz.faults.plan import LARGEST_SEED, MOST_FAULTS
from dicos_fuzz.faults.strategies import plans
from dicos_fuzz.tree import Action, Edit
from dicos_proto.upper_layer.layer import UpperLayer
from dicos_proto.upper_layer.machine import Role

RESET = parse_plan("out at 100: reset")
ANY: Any = None
WRONG: tuple[tuple[Callable[[], object], str], ...] = (
    (lambda: parse_plan(b"in at 3: split"), "parse_plan(...): bytes in place of str"),  # type: ignore[arg-type]
    (lambda: parse_plan(ANY), "parse_plan(...): None in place of str"),
    (lambda: parse_fault(ANY), "parse_fault(...): None in place of str"),
    (lambda: plan_of_tape("abc"), "plan_of_tape('abc'): str in place of bytes or bytearray"),  # type: ignore[arg-type]
    (lambda: tape_of_plan(ANY), "tape_of_plan(...): None in place of FaultPlan"),
    (lambda: random_plan(5), "random_plan(5): int in place of Random; write random.Random(5)"),  # type: ignore[arg-type]
    (lambda: FaultyWire(ANY, ANY), "FaultyWire(wire, plan): None in place of a Wire"),
    (lambda: FaultyWire(UpperLayer(Role.ACCEPTOR), ANY), "FaultyWire(wire, ...): None in place of FaultPlan"),
    (lambda: Faults("in at 3: split"), "in place of FaultPlan; parse_plan makes one of a text"),  # type: ignore[arg-type]
    (lambda: FaultPlan(faults=[1, 2]), "FaultPlan(faults=...): list in place of tuple"),  # type: ignore[arg-type]
    (lambda: FaultPlan((1, 2)), "FaultPlan(faults=(1,)): int in place of Fault"),  # type: ignore[arg-type]
    (lambda: FaultPlan(seed=ANY), "FaultPlan(seed=...): None in place of int"),
    (lambda: FaultPlan(seed=True), "FaultPlan(seed=True): bool in place of int"),
)
SPLIT = Fault(Direction.IN, At(3), Split())


def test_arguments_of_another_type_are_refused_by_name() -> None:
    for call, told in WRONG:
        with pytest.raises(TypeError, match=re.escape(told)):
            call()


def test_plans_are_put_together_with_plus() -> None:
    both = parse_plan("seed 5\nin at 3: split") + RESET
    assert both == parse_plan("seed 5\nin at 3: split\nout at 100: reset")
    assert (both + FaultPlan()) == both


def test_each_connection_has_a_seed_of_its_own() -> None:
    plan = FaultPlan((SPLIT,), 7)
    assert plan.for_connection(0) == plan
    assert plan.for_connection(3) == FaultPlan((SPLIT,), 10)
    assert FaultPlan((), LARGEST_SEED).for_connection(1).seed == 0


def test_the_faults_of_a_direction_keep_their_numbers() -> None:
    plan = parse_plan("in at 1: split\nout at 2: split\nin at 3: split")
    assert [number for number, _ in plan.of(Direction.IN)] == [1, 3]
    assert [number for number, _ in plan.of(Direction.OUT)] == [2]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: At(-1), "at: offset: -1; allowed: 0 to 1099511627776"),
        (lambda: At(True), "at: offset: True; allowed: 0 to"),
        (lambda: Pdu("P-DATA", 1), "pdu: kind: 'P-DATA'; allowed: any, A-ASSOCIATE-RQ,"),
        (lambda: Flip(8), "flip: bit: 8; allowed: 0 to 7"),
        (lambda: Insert(b""), "insert: data: b''; allowed: 1 to 65536 bytes in hexadecimal"),
        (lambda: Overwrite(bytes(1025)), "set: data: b'.*; allowed: 1 to 1024 bytes in hexadecimal"),
        (lambda: Stall(-0.1), "stall: seconds: -0.1; allowed: 0 to 100000 seconds"),
        (lambda: Stall(float("nan")), "stall: seconds: nan; allowed: "),
        (lambda: Stall(1e9), "stall: seconds: 1000000000.0; allowed: "),
        (lambda: Dribble(0), "dribble: rate: 0; allowed: 1 to"),
        (lambda: Clock(1e6), "clock: seconds: 1000000.0; allowed: -100000 to 100000 seconds"),
        (lambda: Timers("often"), "timer: how: 'often'; allowed: twice, early, late"),
        (lambda: Error("EHOSTILE"), "error: error: 'EHOSTILE'; allowed: EPIPE, ECONNRESET, ETIMEDOUT, EIO, ENOSPC, "),
        (lambda: EditPdu(Edit("a" * 201, Action.DELETE)), "edit: edit: Edit.*; allowed: a path in quotation marks"),
        (lambda: EditPdu(Edit("\ud800", Action.DELETE)), "edit: edit: "),
        (lambda: EditPdu(Edit("length", Action.LENGTH, b"x")), "edit: edit: b'x'; allowed: 0 to 4294967295"),
        (lambda: EditPdu(Edit("length", Action.DELETE, 3)), "edit: edit: Edit"),
        (lambda: Change(17), "change: count: 17; allowed: 1 to 16"),
        (lambda: FaultPlan((SPLIT,) * 65), "65 faults in a plan; at most 64"),
        (lambda: FaultPlan((), -1), "seed -1; 0 to 4294967295"),
    ],
)
def test_impossible_values_are_refused(make: object, told: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=f"^{told}"):
        make()


def test_seconds_have_steps_of_a_microsecond() -> None:
    assert Stall(1) == Stall(1.0)
    assert Stall(0.1234567) == Stall(0.123457)
    assert str(Clock(-0.0).seconds) == "0.0"


def test_every_kind_of_fault_of_the_tables_prints() -> None:
    """The names of the tables are those of the text form, and none is there twice."""
    names = [form.name for form in (*PLACES, *FORMS)]
    assert len(set(names)) == len(names) == 25
    assert all(len(form.names) == len(form.shapes) for form in (*PLACES, *FORMS))


def test_simpler_plans_have_fewer_faults_first() -> None:
    plan = parse_plan("seed 9\nin at 8: split\nout pdu P-DATA-TF 3 +2: insert ff00")
    simpler = list(plan.smaller())
    assert simpler[0] == FaultPlan((), 9)
    assert simpler[1:3] == [FaultPlan(plan.faults[1:], 9), FaultPlan(plan.faults[:1], 9)]
    assert FaultPlan(plan.faults, 0) in simpler
    assert parse_plan("seed 9\nin at 4: split\nout pdu P-DATA-TF 3 +2: insert ff00") in simpler
    assert parse_plan("seed 9\nin at 8: split\nout pdu any 3 +2: insert ff00") in simpler
    assert parse_plan("seed 9\nin at 8: split\nout pdu P-DATA-TF 3 +2: insert ff") in simpler


@given(plans())
def test_simpler_plans_are_valid_other_plans(plan: FaultPlan) -> None:
    for simpler in plan.smaller():
        assert simpler != plan
        assert len(simpler.faults) <= len(plan.faults) <= MOST_FAULTS


@given(plans(most=3), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_every_chain_of_simpler_plans_ends(plan: FaultPlan, random: Random) -> None:
    for _ in range(3000):
        simpler = list(plan.smaller())
        if not simpler:
            assert plan == FaultPlan()
            return
        plan = random.choice(simpler)
    raise AssertionError(f"still simpler plans after 3000 steps: {plan}")


def test_a_plan_shrinks_to_the_fault_that_matters() -> None:
    plan = parse_plan(
        "seed 77\nin every 3: split\nin after 3.5: stall 2\nout pdu P-DATA-TF 4 +9: flip 6\nout at 1000: reset"
    )

    def still(one: FaultPlan) -> bool:
        return any(isinstance(fault.effect, Flip) and fault.direction is Direction.OUT for fault in one.faults)

    assert str(shrunk(plan, still)) == "out pdu any each: flip 0\n"
    calls: list[FaultPlan] = []
    assert shrunk(plan, lambda one: calls.append(one) is not None, budget=7) == plan
    assert len(calls) == 7

"""Fault plans out of bytes, for coverage-guided fuzzers, and at random.

Any bytes make a plan: a fuzzer that changes bytes changes numbers, places and effects. `tape_of_plan` is the way back,
so that a plan that was written, or found, can be given to a fuzzer.

Knows: tables of places and effects. Must not know: what they do. Invariants: `plan_of_tape` raises nothing for any
bytes, and
`plan_of_tape(tape_of_plan(plan)) == plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from dicos_proto.arguments import check_kind

from .effects import (
    FORM_OF,
    FORMS,
    PLACES,
    Change,
    Delay,
    Direction,
    Effect,
    Form,
    Merge,
    Pdu,
    Place,
    Reorder,
    Short,
    Split,
)
from .notation import Tape, put_number
from .plan import LARGEST_SEED, MOST_FAULTS, Fault, FaultPlan

__all__ = ["HARMLESS", "plan_of_tape", "random_plan", "tape_of_plan"]

HARMLESS: Final = (Split, Short, Merge, Delay, Reorder)
"""Effects that change when bytes arrive and in which pieces, but no byte."""
_DIRECTIONS: Final = tuple(Direction)


def plan_of_tape(tape: bytes) -> FaultPlan:
    """Returns the plan of a tape: its seed, and faults up to the end of the tape, at most `MOST_FAULTS`. Raises
    TypeError for anything but bytes."""
    check_kind(tape, "plan_of_tape({})", bytes, bytearray)
    reading = Tape(tape)
    seed = reading.number(LARGEST_SEED)
    faults: list[Fault] = []
    while reading.left and len(faults) < MOST_FAULTS:
        direction = _DIRECTIONS[reading.number(1)]
        faults.append(_fault(direction, _read(reading, PLACES), _read(reading, FORMS)))
    return FaultPlan(tuple(faults), seed)


def _read(tape: Tape, forms: Sequence[Form]) -> object:
    form = forms[tape.number(len(forms) - 1)]
    return form.of(*(shape.read(tape) for shape in form.shapes))


def _fault(direction: Direction, place: object, effect: object) -> Fault:
    return Fault(direction, place, effect)  # type: ignore[arg-type]  # the tables have no other classes


def tape_of_plan(plan: FaultPlan) -> bytes:
    """Returns the tape of a plan. Raises TypeError for anything else."""
    check_kind(plan, "tape_of_plan({})", FaultPlan)
    out = bytearray()
    put_number(plan.seed, LARGEST_SEED, out)
    for fault in plan.faults:
        put_number(_DIRECTIONS.index(fault.direction), 1, out)
        _write(fault.place, PLACES, out)
        _write(fault.effect, FORMS, out)
    return bytes(out)


def _write(one: Place | Effect, forms: Sequence[Form], out: bytearray) -> None:
    form = FORM_OF[type(one)]
    put_number(forms.index(form), len(forms) - 1, out)
    for shape, value in zip(form.shapes, form.values(one), strict=True):
        shape.write(value, out)


def random_plan(
    random: Random, *, most: int = 4, harmless: bool = False, without: tuple[type[Effect], ...] = ()
) -> FaultPlan:
    """Draws a plan with 1 to `most` faults. `harmless`: only effects that change no byte (`HARMLESS`). `without`: none
    of these effects.

    Places are near the beginning of a conversation, and times around the usual timeouts. Raises TypeError for anything
    but a `random.Random`, such as its seed.
    """
    check_kind(random, "random_plan({})", Random, hint="; write random.Random(5)")
    effects = [form for form in FORMS if form.of not in without and (form.of in HARMLESS or not harmless)]
    faults = []
    for _ in range(random.randint(1, most)):
        effect = _drawn(random, effects)
        # A change of a whole PDU at each few bytes is only one of the next PDU.
        places = [form for form in PLACES if form.of is Pdu or not isinstance(effect, Change)]
        faults.append(_fault(random.choice(_DIRECTIONS), _drawn(random, places), effect))
    return FaultPlan(tuple(faults), random.randint(0, LARGEST_SEED))


def _drawn(random: Random, forms: Sequence[Form]) -> object:
    form = random.choice(forms)
    return form.of(*(shape.draw(random) for shape in form.shapes))

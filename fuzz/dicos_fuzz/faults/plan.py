"""Fault plans: values that say which faults strike where, that print, shrink and replay.

A plan is a tuple of faults and a seed. A fault has a direction, a place and an effect (`effects`).

Knows: values. Must not know: how a fault is carried out (`line`, `wire`, `edges`, `proxy`), how one is read (`text`).

Invariants: a plan that exists is valid. Places count the bytes and PDUs as they arrive in their direction, before any
fault but the change of a whole PDU; so a fault that is taken out of a plan leaves the others where they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from dicos_proto.arguments import check_kind, check_not

from .effects import FORM_OF, Direction, Effect, Place, described

__all__ = ["LARGEST_SEED", "MOST_FAULTS", "Fault", "FaultPlan", "shrunk"]

MOST_FAULTS: Final = 64
"""Most faults of one plan."""
LARGEST_SEED: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: in one direction, at a place, an effect. Effects on the engine's time have a direction for their
    place's sake."""

    direction: Direction
    place: Place
    effect: Effect

    def __str__(self) -> str:
        """The line of a plan file."""
        return f"{self.direction.value} {described(self.place)}: {described(self.effect)}"


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """A tuple of faults, and the seed of everything that is drawn while they strike.

    Two plans are put together with `+`: the faults of both, with the seed of the first. `str` gives the text form,
    which `parse_plan` reads. Raises ValueError for more than `MOST_FAULTS` faults, TypeError for anything but a tuple
    of faults and a whole number.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        check_kind(self.faults, "FaultPlan(faults={})", tuple)
        for one in self.faults:
            check_kind(one, "FaultPlan(faults=({},))", Fault)
        check_not(self.seed, "FaultPlan(seed={})", "int", bool)
        check_kind(self.seed, "FaultPlan(seed={})", int)
        if len(self.faults) > MOST_FAULTS:
            raise ValueError(f"{len(self.faults)} faults in a plan; at most {MOST_FAULTS}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ValueError(f"seed {self.seed}; 0 to {LARGEST_SEED}")

    def __add__(self, other: FaultPlan) -> FaultPlan:
        return replace(self, faults=self.faults + other.faults)

    def __str__(self) -> str:
        seed = (f"seed {self.seed}",) if self.seed else ()
        return "".join(f"{line}\n" for line in (*seed, *self.faults))

    def for_connection(self, number: int) -> FaultPlan:
        """Returns the plan of connection `number`, whose seed is that of this one plus the number."""
        return replace(self, seed=(self.seed + number) & LARGEST_SEED)

    def of(self, direction: Direction) -> tuple[tuple[int, Fault], ...]:
        """Returns the faults of one direction, each with its number in the plan, from 1."""
        return tuple((n, fault) for n, fault in enumerate(self.faults, 1) if fault.direction is direction)

    def smaller(self) -> Iterator[FaultPlan]:
        """Yields simpler plans: with fewer faults first, then with simpler places and effects."""
        count = len(self.faults)
        size = count
        while size:
            for start in range(0, count, size):
                yield replace(self, faults=self.faults[:start] + self.faults[start + size :])
            size //= 2
        if self.seed:
            yield replace(self, seed=0)
        for index, fault in enumerate(self.faults):
            for simpler in _simpler(fault):
                yield replace(self, faults=(*self.faults[:index], simpler, *self.faults[index + 1 :]))


def _simpler(fault: Fault) -> Iterator[Fault]:
    for part in ("place", "effect"):
        one = getattr(fault, part)
        form = FORM_OF[type(one)]
        for name, shape, value in zip(form.names, form.shapes, form.values(one), strict=True):
            for simpler in shape.smaller(value):
                yield replace(fault, **{part: replace(one, **{name: simpler})})


def shrunk(plan: FaultPlan, still: Callable[[FaultPlan], bool], *, budget: int = 1000) -> FaultPlan:
    """Returns the simplest plan found for which `still` is true, after at most `budget` calls of it."""
    while True:
        for simpler in plan.smaller():
            if budget <= 0:
                return plan
            budget -= 1
            if still(simpler):
                plan = simpler
                break
        else:
            return plan

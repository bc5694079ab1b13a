"""Hypothesis strategies for fault plans. They shrink to fewer faults, to places at the beginning, and to `split`.

Knows: shapes. Must not know: what a fault does. Only this module imports Hypothesis, in the extra `fuzz`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from ..tree import Action, Edit
from .effects import FORMS, PLACES, Direction, Effect, Form, Place
from .plan import LARGEST_SEED, Fault, FaultPlan
from .shapes import BYTES, NUMBER, VALUES, Choice, Edits, Hex, Maybe, Prefix, Seconds, Shape, Whole
from .tapes import HARMLESS, plan_of_tape

__all__ = ["effects", "faults", "harmless_plans", "places", "plans", "tapes"]

_PATHS = ("", "type", "length", "PDV", "PDV/length", "PDV/context id", "presentation context",
          "presentation context/length", "user information", "user information/maximum length/number")  # fmt: skip


def places() -> st.SearchStrategy[Place]:
    """Any place."""
    return _one_of(PLACES)


def effects() -> st.SearchStrategy[Effect]:
    """Any effect."""
    return _one_of(FORMS)


def faults(effects: st.SearchStrategy[Effect] | None = None) -> st.SearchStrategy[Fault]:
    """Any fault, or any place with one of these effects."""
    return st.builds(Fault, st.sampled_from(Direction), places(), _one_of(FORMS) if effects is None else effects)


def plans(*, most: int = 5) -> st.SearchStrategy[FaultPlan]:
    """Any plan of at most `most` faults."""
    return _plans(faults(), most)


def harmless_plans(*, most: int = 5) -> st.SearchStrategy[FaultPlan]:
    """Plans that change when bytes arrive and in which pieces, but no byte."""
    return _plans(faults(_one_of([form for form in FORMS if form.of in HARMLESS])), most)


def tapes() -> st.SearchStrategy[FaultPlan]:
    """Plans out of bytes, as a coverage-guided fuzzer makes them."""
    return st.binary(max_size=64).map(plan_of_tape)


def _plans(one: st.SearchStrategy[Fault], most: int) -> st.SearchStrategy[FaultPlan]:
    return st.builds(FaultPlan, st.lists(one, max_size=most).map(tuple), st.integers(0, LARGEST_SEED))


def _one_of(forms: Sequence[Form]) -> st.SearchStrategy[Any]:
    return st.one_of([st.builds(form.of, *map(_values, form.shapes)) for form in forms])


def _values(shape: Shape) -> st.SearchStrategy[object]:
    match shape:
        case Whole(least=least, most=most, usual=usual):
            return st.one_of(st.integers(least, min(usual, most)), st.integers(least, most))
        case Prefix(number=number):
            return _values(number)
        case Seconds(most=seconds, signed=signed):
            usual_times = st.sampled_from([0.0, 0.04, 1.0, 31.0, 61.0, 3600.0])
            return usual_times | st.floats(-seconds if signed else 0.0, seconds, allow_nan=False)
        case Hex(most=size):
            return st.binary(min_size=1, max_size=min(size, 40))
        case Choice(words=words):
            return st.sampled_from(words)
        case Maybe(shape=inner):
            return st.none() | _values(inner)
        case Edits():
            return st.sampled_from(Action).flatmap(_edits)
        case _:
            raise TypeError(f"no strategy for {shape}")


def _edits(action: Action) -> st.SearchStrategy[Edit]:
    values: dict[str, st.SearchStrategy[object]] = {
        "bytes": st.binary(max_size=min(BYTES.most, 40)), "number": _values(NUMBER), "": st.none()
    }  # fmt: skip
    paths = st.sampled_from(_PATHS) | st.text(max_size=20).filter(lambda text: len(text.encode("utf-8", "ignore")) < 99)
    return st.builds(Edit, paths, st.just(action), values[VALUES[action]])

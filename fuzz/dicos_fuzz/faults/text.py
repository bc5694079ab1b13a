"""The text form of a fault plan: one fault a line.

    # comments and empty lines are allowed
    seed 7
    out at 100: split
    in pdu P-DATA-TF 2 +12: flip 5
    in after 2.5: reset

Knows: words, lines. Must not know: what a fault does. Invariant: `parse_plan(str(plan)) == plan`.
"""

from __future__ import annotations

import re
from dataclasses import MISSING
from difflib import get_close_matches
from typing import Final, TypeVar

from dicos_proto.arguments import check_kind

from .effects import FORMS, PLACES, Direction, Form
from .notation import Words
from .plan import LARGEST_SEED, MOST_FAULTS, Fault, FaultPlan
from .shapes import Whole

__all__ = ["LARGEST_TEXT", "PlanError", "parse_fault", "parse_plan"]

LARGEST_TEXT: Final = 1 << 20
"""Most characters of a plan."""
_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"|:|[^\s:"]+|"')
_DIRECTIONS: Final = {one.value: one for one in Direction}
_PLACES: Final = {form.name: form for form in PLACES}
_EFFECTS: Final = {form.name: form for form in FORMS}
T = TypeVar("T")
_SEED: Final = Whole(0, LARGEST_SEED, 0)


class PlanError(ValueError):
    """A plan that cannot be read. `line`: the number of the line, from 1; 0 for the whole text. `why`: without it."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}" if line else why)
        self.line = line
        self.why = why


def parse_plan(text: str) -> FaultPlan:
    """Returns the plan of a text. Raises `PlanError`, which names the line, what it says, and what is allowed;
    TypeError for anything but a text."""
    check_kind(text, "parse_plan({})", str)
    if len(text) > LARGEST_TEXT:
        raise PlanError(0, f"{len(text)} characters; at most {LARGEST_TEXT}")
    faults: list[Fault] = []
    seed: int | None = None
    for number, line in enumerate(text.split("\n"), 1):
        words = _words(line)
        try:
            if words[:1] == ["seed"]:
                if seed is not None:
                    raise ValueError("a second seed; one is allowed")
                rest = Words(words[1:])
                seed = _SEED.parse(rest)
                _end(rest)
            elif words:
                if len(faults) == MOST_FAULTS:
                    raise ValueError(f"one fault more than {MOST_FAULTS}, the most of one plan")
                faults.append(_fault(Words(words)))
        except ValueError as error:
            raise PlanError(number, str(error)) from None
    return FaultPlan(tuple(faults), seed or 0)


def parse_fault(line: str) -> Fault:
    """Returns the fault of one line. Raises `PlanError`; TypeError for anything but a text."""
    check_kind(line, "parse_fault({})", str)
    try:
        return _fault(Words(_words(line)))
    except ValueError as error:
        raise PlanError(1, str(error)) from None


def _words(line: str) -> list[str]:
    """The words of a line without its comment, which begins with a word that begins with #."""
    words: list[str] = _WORD.findall(line)
    for index, word in enumerate(words):
        if word.startswith("#"):
            return words[:index]
    return words


def _fault(words: Words) -> Fault:
    direction = _one_of(_DIRECTIONS, words, "a direction")
    place = _value(_one_of(_PLACES, words, "a place"), words)
    if (colon := words.next('":" and an effect')) != ":":
        raise ValueError(f'{_shown(colon)} in place of ":" and an effect')
    effect = _value(_one_of(_EFFECTS, words, "an effect"), words)
    _end(words)
    fault: Fault = Fault(direction, place, effect)  # type: ignore[arg-type]  # the tables have no other classes
    return fault


def _one_of(names: dict[str, T], words: Words, what: str) -> T:
    word = words.next(f"{what} ({', '.join(names)})")
    if word not in names:
        close = get_close_matches(word, names, 1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"{_shown(word)} is not {what}: {', '.join(names)}{meant}")
    return names[word]


def _value(form: Form, words: Words) -> object:
    values = []
    for name, shape, default in zip(form.names, form.shapes, form.defaults, strict=True):
        if default is not MISSING and (not words.left or words.peek() == ":"):
            break
        try:
            values.append(shape.parse(words))
        except ValueError as error:
            raise ValueError(f"{form.name}: {name}: {error}") from None
    value: object = form.of(*values)
    return value


def _end(words: Words) -> None:
    if words.left:
        raise ValueError(f"{_shown(words.peek())} is too much; the line ends before it")


def _shown(word: str) -> str:
    return ascii(word if len(word) <= 40 else word[:40] + "...")

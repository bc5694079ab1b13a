"""Repeated: the same unusual end of an association many times in a row, after which others must be served.

Knows: points at which an association can end, operations before it. Must not know: how many associations a peer serves
at once; more than most peers allow are used up in one conversation if each end costs one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from random import Random
from typing import Final

from ...conversation import Check, Conversation, Send, Step
from ..knowledge import Learned
from .connections import points
from .family import Family
from .orders import on, operations
from .scripts import (
    ABORT,
    CLOSE,
    ENDED,
    RESET,
    Talk,
    script,
)

__all__ = ["FAMILIES"]

TIMES: Final = 12
"""Associations of one conversation: pynetdicom serves 10 at once by default."""
_BEFORE: Final = ("echo", "store", "find")
_ID: Final = 1000
"""The message id of the first operation before; those of the points begin with 1."""
_BETWEEN_PDUS: Final = ("established", "behind a response", "before a data set")


def _ends(talk: Talk) -> Iterator[tuple[str, tuple[Step, ...], tuple[Step, ...]]]:
    """Yields each end: its name, the steps to it on an association, and the end; those within a message first."""
    begun = len(talk.begin())
    found: list[tuple[str, tuple[Step, ...], tuple[Step, ...]]] = []
    for name, steps in points(talk):
        if steps[:begun] != talk.begin():
            continue  # it ends before it is established
        rest = steps[begun:]
        if name in _BETWEEN_PDUS:
            found.append((f"aborted {name}", rest, (Send(message=ABORT), ENDED, CLOSE)))
        found.append((f"reset {name}", rest, (RESET,)))
        found.append((f"closed {name}", rest, (CLOSE,)))
    found.sort(key=lambda one: ("data set" not in one[0], " in a" not in one[0]))
    yield from found


def _case(talk: Talk, before: str, name: str, steps: tuple[Step, ...]) -> Conversation:
    each = (*talk.begin(), *steps)
    many = tuple(chain.from_iterable(on(number, each) for number in range(TIMES)))
    after = f" after {before}" if before else ""
    about = f"{TIMES} associations one after the other, each {name}{after}; others are served"
    return script(f"repeated/{name}: {before or 'nothing'} before", about, "limit: associations", "any", many, Check())


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    known = operations(talk)
    for name, rest, end in _ends(talk):
        for before in ("", *(one for one in _BEFORE if one in known)):
            steps = known[before](_ID) if before else ()
            yield _case(talk, before, name, (*steps, *rest, *end))


def _random(learned: Learned, random: Random) -> Conversation:
    """Several operations before."""
    talk = Talk.of(learned)
    known = operations(talk)
    name, rest, end = random.choice([*_ends(talk)])
    before = [random.choice([*known]) for _ in range(random.randrange(1, 3))] if known else []
    steps = tuple(chain.from_iterable(known[one](_ID + number) for number, one in enumerate(before)))
    return _case(talk, " and ".join(before), name, (*steps, *rest, *end))


FAMILIES: Final = (
    Family(
        name="repeated",
        about="the same unusual end of an association many times, after every operation",
        systematic=_systematic,
        random=_random,
    ),
)

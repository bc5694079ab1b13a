"""The search for what costs most: long tapes, from the dearest ones so far, measured each by itself.

Knows: targets, mutations, costs. Must not know: processes.

The loop (`loop`) bounds the cost of what it tries, and tries short tapes most of the time; a cost that grows faster
than its input shows only in long ones. Here every tape is long: a block of a kept one many times over. The measure is
the cost for each byte, in parts of the bound. Two sizes of the same tape tell if the cost grows faster than the size.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from .measuring import memory_of, scale, time_of
from .mutating import bloated, mutated
from .target import Target, Watch

__all__ = ["Costs", "Dear", "costs_of", "shown"]

_POOL: Final = 40
_LONG: Final = 2048
"""Bytes below which a tape says little about its cost for each byte."""


@dataclass(frozen=True, slots=True)
class Dear:
    """A tape and its cost: seconds of processor time, and bytes of memory, each also as a part of its bound."""

    tape: bytes
    seconds: float
    memory: int
    of_time: float
    of_memory: float

    @property
    def of_bound(self) -> float:
        """The greater of both parts."""
        return max(self.of_time, self.of_memory)


@dataclass(frozen=True, slots=True)
class Costs:
    """The dearest tapes of one target, by time and by memory, and how the time of the first one grows: its time for
    each byte, divided by that of a quarter of the tape."""

    tried: int
    by_time: Dear
    by_memory: Dear
    growth: float


def costs_of(target: Target, seed: str, seconds: float, tapes: Iterable[bytes] = ()) -> Costs:
    """Searches for `seconds`. `tapes`: to begin with, besides the target's seeds."""
    random = Random(f"{seed}/{target.name}")
    begin = [one for one in (*target.seeds(), *tapes) if one]
    pool: list[Dear] = []
    tried = 0
    unit = scale()
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(pool) < 2:
        if target.grown is not None and random.random() < 0.5:
            tape = target.grown(random)
        else:
            tape = random.choice(pool).tape if pool and random.random() < 0.6 else random.choice(begin)
            tape = _long(tape, target, begin, random)
        pool.append(_measured(target, tape, unit))
        tried += 1
        if len(pool) > _POOL:
            pool.sort(key=lambda one: one.of_time, reverse=True)
            dearest = max(pool, key=lambda one: one.of_memory)
            pool = [dearest, *pool[: _POOL // 2]]
    by_time = max(pool, key=lambda one: one.of_time)
    return Costs(tried, by_time, max(pool, key=lambda one: one.of_memory), _growth(target, by_time.tape))


def _long(tape: bytes, target: Target, others: list[bytes], random: Random) -> bytes:
    if random.random() < 0.7:
        tape = mutated(tape, random, others=others, words=target.words, longest=target.longest)
    for _ in range(4):
        if len(tape) < _LONG or random.random() < 0.3:
            tape = bloated(tape, random, target.longest)
    return tape[: target.longest]


def _measured(target: Target, tape: bytes, unit: float) -> Dear:
    def work() -> None:
        with suppress(Exception):
            target.body(tape, Watch())

    size = len(tape)
    seconds = time_of(work, 1)
    memory = memory_of(work)
    of_time = seconds * 1e6 / (target.bounds.microseconds_allowed(size) * unit)
    return Dear(tape, seconds, memory, of_time, memory / target.bounds.bytes_allowed(size))


def _growth(target: Target, tape: bytes) -> float:
    def work(given: bytes) -> float:
        def run() -> None:
            with suppress(Exception):
                target.body(given, Watch())

        return time_of(run, 3) / max(len(given), 1)

    return work(tape) / max(work(tape[: len(tape) // 4]), 1e-9)


def shown(name: str, found: Costs) -> str:
    """Returns one line of the table."""
    time_, memory = found.by_time, found.by_memory
    return (
        f"{name:22} {found.tried:>6}  {1e6 * time_.seconds / max(len(time_.tape), 1):>8.2f} {time_.of_time:>6.1%}"
        f"  {memory.memory / max(len(memory.tape), 1):>9.1f} {memory.of_memory:>6.1%}  {found.growth:>6.1f}"
    )

"""What an input takes; and what can be attacked, as an object whose `measure(input, size)` says what that took."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.cost.inputs import Input


@dataclass(frozen=True)
class Cost:
    """What an input took. `size`: bytes on the wire, both ways. `memory`: bytes above idle at most; `cpu`: seconds;
    `calls`: functions called."""

    size: int
    memory: int
    cpu: float
    calls: int = 0

    @property
    def memory_a_byte(self) -> float:
        return self.memory / max(self.size, 1)

    @property
    def microseconds_a_byte(self) -> float:
        return 1e6 * self.cpu / max(self.size, 1)


def traced(work: Callable[[], int]) -> tuple[int, int]:
    """What it returns, and bytes of Python's memory above idle at most."""
    gc.collect()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        found = work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return found, peak - before


def timed(work: Callable[[], int]) -> float:
    gc.collect()
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def counted(work: Callable[[], int]) -> int:
    """How many functions are called: work that is the same on every machine, however busy it is."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


class Entry:
    """`name`: for the table. `side`: whom it is attacked by, "user" or "provider"; or "content" of a data set."""

    name: str
    side: str

    def takes(self, given: Input) -> bool:
        """Whether the input reaches it."""
        raise NotImplementedError

    def measure(self, given: Any, size: int) -> Cost:
        raise NotImplementedError

    def close(self) -> None:
        """End what runs for it."""


class InProcess(Entry):
    """One that is attacked in this process."""

    def run(self, given: Any, size: int) -> Callable[[], int]:
        """What is measured: it takes the input anew whenever it is called, and returns the bytes on the wire."""
        raise NotImplementedError

    def measure(self, given: Any, size: int) -> Cost:
        run = self.run(given, size)
        moved, memory = traced(run)
        return Cost(moved, memory, timed(run))

    def count(self, given: Any, size: int) -> Cost:
        """Without a clock: the functions called instead of the time."""
        run = self.run(given, size)
        moved, memory = traced(run)
        return Cost(moved, memory, 0.0, counted(run))

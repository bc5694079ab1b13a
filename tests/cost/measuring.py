"""The cost of an input, and the base of entries: objects whose `measure(input, size)` returns the cost."""

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
    """The cost of an input. `size`: bytes on the wire, both ways. `memory`: bytes above idle at most; `cpu`: seconds;
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
    """Return the result, and the peak of Python's memory above idle in bytes."""
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
    """Return the number of function calls, a measure of work that does not depend on the machine."""
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
    """`name`: for the table. `side`: the attacker, "user" or "provider", or "content" for a data set."""

    name: str
    side: str

    def takes(self, given: Input) -> bool:
        """Return True if the input reaches this entry."""
        raise NotImplementedError

    def measure(self, given: Any, size: int) -> Cost:
        raise NotImplementedError

    def close(self) -> None:
        """End its processes."""


class InProcess(Entry):
    """An entry that is attacked in this process."""

    def run(self, given: Any, size: int) -> Callable[[], int]:
        """Return the function to measure: each call uses the input again and returns the bytes on the wire."""
        raise NotImplementedError

    def measure(self, given: Any, size: int) -> Cost:
        run = self.run(given, size)
        moved, memory = traced(run)
        return Cost(moved, memory, timed(run))

    def count(self, given: Any, size: int, *, memory: bool = True) -> Cost:
        """Measure without a clock: count function calls instead of time. Without `memory`, that is not measured."""
        run = self.run(given, size)
        moved, peak = traced(run) if memory else (0, 0)

        def work() -> int:
            nonlocal moved
            moved = run()
            return moved

        calls = counted(work)
        return Cost(moved, peak, 0.0, calls)

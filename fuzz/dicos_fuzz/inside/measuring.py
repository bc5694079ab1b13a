"""The cost of one run: memory as tracemalloc counts it, processor time in proportion to a step on this machine.

Knows: clocks and tracemalloc. Must not know: targets other than by their bounds.

Invariants: a bound of time is compared only after the run was repeated, by processor time, with the least of several
runs, so a busy machine makes no finding. Memory does not depend on the machine.
"""

from __future__ import annotations

import gc
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Final

from .target import Bounds, OracleFailure

__all__ = ["check_memory", "check_time", "memory_of", "scale", "time_of"]

_STEP: Final = 0.1e-6
"""Seconds of a step for which the bounds of targets are meant."""
_TRIES: Final = 4


def scale() -> float:
    """Returns how many times slower this machine is now than the one for which bounds are meant; at least 1."""
    unpack, buffer, found = struct.Struct("<HH").unpack_from, bytes(4), {}
    best = 1.0
    for _ in range(5):
        begun = time.thread_time()
        for number in range(20_000):
            found[number & 63] = unpack(buffer, 0)
        best = min(best, (time.thread_time() - begun) / 20_000)
    return max(1.0, best / _STEP)


def time_of(work: Callable[[], object], tries: int = _TRIES) -> float:
    """Returns the processor time of `work` in seconds, the least of several runs."""
    best = float("inf")
    for _ in range(tries):
        gc.collect()
        gc.disable()
        begun = time.thread_time()
        try:
            work()
        finally:
            taken = time.thread_time() - begun
            gc.enable()
        best = min(best, taken)
    return best


def memory_of(work: Callable[[], object]) -> int:
    """Returns the bytes that `work` held at one time at most, above those before it."""
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not running:
            tracemalloc.stop()
    return peak - before


def check_memory(work: Callable[[], object], size: int, bounds: Bounds) -> None:
    """Runs `work` on a tape of `size` bytes. Raises `OracleFailure` if it takes more memory than it may, twice: the
    first run may fill caches."""
    allowed = bounds.bytes_allowed(size)
    if memory_of(work) > allowed:
        held = memory_of(work)
        if held > allowed:
            raise OracleFailure(f"memory: {held} bytes for a tape of {size}; {allowed} allowed")


def check_time(work: Callable[[], object], size: int, bounds: Bounds) -> None:
    """Raises `OracleFailure` if `work` on a tape of `size` bytes takes more processor time than it may."""
    allowed = bounds.microseconds_allowed(size) * scale()
    taken = 1e6 * time_of(work)
    if taken > allowed:
        raise OracleFailure(f"time: {taken:.0f} microseconds for a tape of {size}; {allowed:.0f} allowed")

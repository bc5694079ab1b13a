"""The loop of one process: tapes are made, targets are run on them, tapes that show something new are kept.

Knows: targets, mutations, costs, findings. Must not know: other processes, the screen (`runs`).

Invariants: the tapes of a target follow from the seed, the number of the process and the tapes given at the start,
so that a run with the same seed tries the same tapes again, further if it has more time. Memory is bounded: the
tapes, observations and findings that are kept for each target are counted.
"""

from __future__ import annotations

import gc
import signal
import time
import warnings
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from dataclasses import replace
from random import Random
from types import FrameType
from typing import TYPE_CHECKING, ClassVar, Final

from .coverage import Coverage, recording
from .measuring import check_memory, check_time, scale
from .minimising import minimised
from .mutating import mutated
from .tapes import Crash, crash_of
from .target import OracleFailure, Target, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

__all__ = ["Loop", "Overtime", "replay", "stalls_found", "warnings_found"]

_KEPT: Final = 3000
"""Tapes that are kept for a target; after that, a new one replaces a random one."""
_KEPT_BYTES: Final = 8 << 20
_SHRINKING: Final = 60.0
"""Seconds after which a finding is small enough: a run that says nothing for long is taken for one that hangs."""
_CRASHES: Final = 50
"""Different findings of one target that are kept."""
_MEASURED: Final = 512
"""Every run of this number is measured for memory, and each that showed something new."""
_STALL: Final = 10.0
"""Seconds of processor time after which a run does not terminate."""


class Overtime(OracleFailure):
    """A run that does not end by itself."""


class Loop:
    """The runs of one target."""

    def __init__(
        self,
        target: Target,
        seed: str,
        tapes: Iterable[bytes] = (),
        current: mmap | None = None,
        coverage: Coverage | None = None,
    ) -> None:
        """`seed`: for the random numbers. `tapes`: to begin with, besides the seeds of the target. `current`: the tape
        of the present run is written there first, for the process that started this one. `coverage`: what runs that
        showed something new exercise is noted there."""
        self.target = target
        self.watch = Watch()
        self.executions = 0
        self.crashes: dict[str, Crash] = {}
        """Findings by their signature."""
        self.untold: list[Crash] = []
        """Those that the caller has not taken out yet."""
        self.kept: list[bytes] = []
        """Tapes that showed something new."""
        self.new: list[bytes] = []
        """Those that are not among `tapes`; the caller takes them out."""
        self.dearest = (0.0, b"")
        """The most processor time for each byte that a run took, in parts of what it may take, and its tape."""
        self._size = 0
        self._random = Random(f"{seed}/{target.name}")
        self._current = current
        self._clock = time.process_time if target.isolated else time.thread_time
        self._coverage = None if target.isolated else coverage
        self._scale = scale()
        self._given = [*target.seeds(), *tapes]
        self._started = False

    def run(self, seconds: float) -> None:
        """Runs for about this many seconds."""
        until = time.perf_counter() + seconds
        if not self._started:
            self._started = True
            for tape in self._given:
                self._try(tape[: self.target.longest], given=True)
                if time.perf_counter() >= until + 5:
                    break
        while time.perf_counter() < until:
            for _ in range(8):
                self._try(self._next(), given=False)

    def _next(self) -> bytes:
        target, random = self.target, self._random
        if target.made is not None and random.random() < 0.1:
            if target.grown is not None and random.random() < 0.03:
                return target.grown(random)[: target.longest]
            return target.made(random)[: target.longest]
        kept = self.kept
        if not kept:
            return random.randbytes(int(random.random() * 64))
        # The newest half of the time: what was just found is where more is to be found.
        back = random.random()
        tape = kept[-1 - int(len(kept) * back * back)]
        return mutated(tape, random, others=kept, words=target.words, longest=target.longest)

    def _try(self, tape: bytes, *, given: bool) -> None:
        target, watch = self.target, self.watch
        if self._current is not None:
            self._current[:4] = len(tape).to_bytes(4, "big")
            self._current[4 : 4 + len(tape)] = tape
        watch.begin()
        self.executions += 1
        Running.number += 1
        begun = self._clock()
        try:
            target.body(tape, watch)
            if Warned.texts:
                Warned.raise_first()
        except Exception as error:
            self._crashed(tape, error)
            return
        taken = self._clock() - begun
        fresh = watch.fresh
        allowed = target.bounds.microseconds_allowed(len(tape)) * 1e-6 * self._scale
        if taken > allowed or (fresh and not given) or self.executions % _MEASURED == 0:
            self._measure(tape, taken > allowed)
        if fresh:
            if self._coverage is not None:
                self._cover(self._coverage, tape)
            self._keep(tape, given=given)
            if taken > self.dearest[0] * allowed:
                self.dearest = taken / allowed, tape

    def _measure(self, tape: bytes, slow: bool) -> None:
        target = self.target

        def work() -> None:
            target.body(tape, Watch())

        try:
            if slow:
                check_time(work, len(tape), target.bounds)
            check_memory(work, len(tape), target.bounds)
        except Exception as error:
            self._crashed(tape, error)

    def _cover(self, coverage: Coverage, tape: bytes) -> None:
        """Runs the tape once more, observed: to observe each run would make all of them slow."""
        with recording(coverage), suppress(Exception):
            self.target.body(tape, Watch())

    def _keep(self, tape: bytes, *, given: bool) -> None:
        kept = self.kept
        if len(kept) < _KEPT and self._size + len(tape) <= _KEPT_BYTES:
            kept.append(tape)
            self._size += len(tape)
        elif kept:
            at = int(self._random.random() * len(kept))
            self._size += len(tape) - len(kept[at])
            kept[at] = tape
        if not given and len(self.new) < _KEPT:
            self.new.append(tape)

    def _crashed(self, tape: bytes, error: Exception) -> None:
        crash = crash_of(self.target.name, tape, error)
        if crash.signature in self.crashes or len(self.crashes) >= _CRASHES:
            return
        self.crashes[crash.signature] = crash
        until = time.monotonic() + _SHRINKING

        def shows(one: bytes) -> bool:
            return time.monotonic() < until and self._shows(one, crash.signature)

        smaller = minimised(tape, shows, budget=self._budget(tape))
        found = self._error(smaller)
        if found is not None:
            crash = replace(crash, tape=smaller, error=crash_of(crash.target, smaller, found).error)
        self.crashes[crash.signature] = crash
        self.untold.append(crash)

    def _budget(self, tape: bytes) -> int:
        """Runs for making a finding small: no more than take some ten seconds."""
        begun = time.perf_counter()
        self._error(tape)
        return int(min(3000, 10 / max(time.perf_counter() - begun, 1e-5)))

    def _shows(self, tape: bytes, signature: str) -> bool:
        error = self._error(tape)
        return error is not None and crash_of(self.target.name, tape, error).signature == signature

    def _error(self, tape: bytes) -> Exception | None:
        """The finding that a tape shows, the bounds included; None if there is none."""
        target = self.target
        Running.number += 1

        def work() -> None:
            target.body(tape, Watch())
            if Warned.texts:
                Warned.raise_first()

        try:
            work()
            begun = time.perf_counter()
            check_memory(work, len(tape), target.bounds)
            if time.perf_counter() - begun > target.bounds.microseconds_allowed(len(tape)) * 1e-6:
                check_time(work, len(tape), target.bounds)
        except Exception as error:
            return error
        return None


class Warned:
    """The warnings that runs of this process have caused. Python keeps every different text of them forever, and
    prints it: none may come of what a peer sent."""

    texts: ClassVar[list[str]] = []

    @classmethod
    def raise_first(cls) -> None:
        """Raises `OracleFailure` for them."""
        text = cls.texts[0]
        cls.texts.clear()
        raise OracleFailure(f"warning: {text}")


@contextmanager
def warnings_found() -> Iterator[None]:
    """While it runs, warnings are collected for `Warned`."""

    def collect(message: Warning | str, *rest: object) -> None:
        if len(Warned.texts) < 10:
            Warned.texts.append(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = collect  # type: ignore[assignment]
        try:
            yield
        finally:
            Warned.texts.clear()


class Running:
    """The number of the present run of this process, and of the one at the last tick of its watch."""

    number = 0
    seen = -1


@contextmanager
def stalls_found() -> Iterator[None]:
    """While it runs, a run that takes more than about ten seconds of processor time raises `Overtime`. Only in the main
    thread."""

    def tick(number: int, frame: FrameType | None) -> None:
        if Running.number == Running.seen:
            Running.seen = -1
            raise Overtime(f"does not end within {_STALL:g} s of processor time")
        Running.seen = Running.number

    before = signal.signal(signal.SIGVTALRM, tick)
    signal.setitimer(signal.ITIMER_VIRTUAL, _STALL, _STALL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def replay(target: Target, tape: bytes) -> Crash | None:
    """Runs a tape once, with its costs. Returns the finding that it shows, if any."""
    gc.collect()

    def work() -> None:
        target.body(tape, Watch())
        if Warned.texts:
            Warned.raise_first()

    try:
        work()
        check_memory(work, len(tape), target.bounds)
        check_time(work, len(tape), target.bounds)
    except Exception as error:
        return crash_of(target.name, tape, error)
    return None

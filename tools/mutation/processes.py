"""A process for each mutant, with its limits of memory and of processor time."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence

from .finder import Mutant

SPARE_SECONDS = 2.0
"""Processor time a test may take beyond ten times what it takes unmutated."""
MEMORY = 4 << 30

KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"


def run_each(mutants: Sequence[Mutant], jobs: int, child: Callable[[Mutant], bool]) -> dict[str, str]:
    """Name -> result. `child`, in a process of its own: whether all tests passed."""
    results: dict[str, str] = {}
    running: dict[int, Mutant] = {}
    waiting = list(reversed(mutants))
    began = time.monotonic()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    quiet = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(quiet, 1)
                    os.dup2(quiet, 2)
                    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                    code = 0 if child(mutant) else 1
                finally:
                    os._exit(code)
            running[pid] = mutant
        pid, status = os.wait()
        mutant = running.pop(pid)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
            result = TIMED_OUT
        else:
            result = SURVIVED if status == 0 else KILLED
        results[mutant.name] = result
        if result == SURVIVED:
            print(f"survived: {mutant.name}", flush=True)
        if len(results) % 100 == 0:
            print(f"-- {len(results)} of {len(mutants)}, {time.monotonic() - began:.0f} s", flush=True)
    return results


def limit_time(seconds: float) -> None:
    """Limit the processor time, so that a busy machine causes no time-out: SIGPROF ends the process."""
    signal.setitimer(signal.ITIMER_PROF, seconds)

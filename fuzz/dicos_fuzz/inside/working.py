"""One process of a run: its targets take turns, and what they find goes to the process that started it.

Knows: loops, the corpus folder, the pipe. Must not know: the screen.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from .coverage import Coverage
from .loop import Loop, stalls_found, warnings_found
from .tapes import Crash
from .targets import TARGETS

__all__ = ["CURRENT", "Corpus", "Orders", "Report", "current_tape", "work"]

_SLICE: Final = 0.25
"""Seconds that a target of share 1 runs before the next one has its turn."""
_EVERY: Final = 1.0
"""Seconds between two reports."""
_FILES: Final = 4000
"""Files of one target in a corpus folder; beyond them no tape is written, so that a run of a day fills no disk."""
CURRENT: Final = 4 + (8 << 20)
"""Bytes of the file that holds the present tape of a process, with its length before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The task of a process. `number`: which one it is. `current`: the file for its present tape."""

    number: int
    seed: int
    seconds: float
    names: tuple[str, ...]
    corpus: Path | None
    current: Path


@dataclass(slots=True)
class Report:
    """The work of a process since its last report. `executions`: by target. `coverage`: of the process so far. `final`:
    no other report follows."""

    target: str = ""
    executions: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    crashes: list[Crash] = field(default_factory=list)
    dearest: dict[str, float] = field(default_factory=dict)
    memory: int = 0
    coverage: Coverage | None = None
    final: bool = False


class Corpus:
    """A folder of tapes, one folder for each target, a file for each tape, named by its content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}

    def read(self, target: str) -> list[bytes]:
        """Returns the tapes of a target, the short ones first. Raises OSError."""
        folder = self._folder / target
        if not folder.is_dir():
            return []
        paths = sorted(folder.glob("*.bin"))
        self._files[target] = len(paths)
        return sorted((path.read_bytes() for path in paths), key=lambda tape: (len(tape), tape))

    def write(self, target: str, tapes: Sequence[bytes]) -> None:
        """Adds tapes. Raises OSError."""
        folder = self._folder / target
        folder.mkdir(parents=True, exist_ok=True)
        for tape in tapes:
            if self._files.get(target, 0) >= _FILES:
                return
            path = folder / f"{hashlib.sha256(tape).hexdigest()[:20]}.bin"
            if not path.exists():
                path.write_bytes(tape)
                self._files[target] = self._files.get(target, 0) + 1


def work(orders: Orders, pipe: Connection) -> None:
    """Runs the targets until the time is over or the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one says when to end
    coverage = Coverage()
    corpus = None if orders.corpus is None else Corpus(orders.corpus)
    until = time.monotonic() + orders.seconds
    with (
        orders.current.open("r+b") as file,
        mmap.mmap(file.fileno(), CURRENT) as current,
        stalls_found(),
        warnings_found(),
    ):
        loops = [
            Loop(
                TARGETS[name], f"{orders.seed}/{orders.number}", corpus.read(name) if corpus else (), current, coverage
            )
            for name in orders.names
        ]
        last = time.monotonic()
        report = Report()
        before = dict.fromkeys(orders.names, 0)
        while time.monotonic() < until:
            for loop in loops:
                name = loop.target.name
                pipe.send(Report(target=name))
                loop.run(min(_SLICE * loop.target.share, until - time.monotonic()))
                _note(report, loop, before)
                if corpus is not None and loop.new:
                    corpus.write(name, loop.new)
                loop.new.clear()
                if time.monotonic() - last >= _EVERY:
                    last = time.monotonic()
                    report.memory = _resident()
                    pipe.send(report)
                    report = Report()
                if time.monotonic() >= until or pipe.poll():
                    break
            if pipe.poll():
                break
        report.memory = _resident()
        report.coverage = coverage
        report.final = True
        pipe.send(report)
    pipe.close()


def _note(report: Report, loop: Loop, before: dict[str, int]) -> None:
    name = loop.target.name
    report.executions[name] = report.executions.get(name, 0) + loop.executions - before[name]
    before[name] = loop.executions
    report.kept[name] = len(loop.kept)
    report.dearest[name] = loop.dearest[0]
    report.crashes += loop.untold
    loop.untold.clear()


def _resident() -> int:
    """Returns the resident bytes of this process, 0 if the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def current_tape(path: Path) -> bytes:
    """Returns the tape that a process was at when it ended."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(4), "big")
        return file.read(min(size, CURRENT - 4))

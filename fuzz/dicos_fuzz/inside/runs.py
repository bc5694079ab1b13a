"""A run: processes on all cores, a live line, findings as files, and a table at the end.

Knows: processes, the screen, files. Must not know: how targets are run (`loop`).

Invariants: a process that dies is a finding, shown with the tape that it died of, and another one takes its place. All
that was found is on disk as soon as it is known. Memory is bounded: counts, and findings by their signature.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, TextIO

from .coverage import Coverage
from .coverage.catalogue import CATALOGUE
from .tapes import Crash, write_tape
from .working import CURRENT, Orders, Report, current_tape, work

__all__ = ["Settings", "Totals", "coverage", "run", "table"]

_DEATHS: Final = 20
"""Processes that may die before a run ends."""
_SILENT: Final = 300.0
"""Seconds without a report after which a process hangs: what it runs is not Python, else it had been interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a run: `names` of targets, `seconds`, `jobs` processes, `crashes`, the folder for findings."""

    names: tuple[str, ...]
    seconds: float = 300.0
    jobs: int = 1
    seed: int = 0
    corpus: Path | None = None
    crashes: Path = Path("crashes")


@dataclass(slots=True)
class Totals:
    """The results of a run. `executions`, `kept` tapes and `dearest` run by target; `crashes` by signature."""

    executions: Counter[str] = field(default_factory=Counter)
    kept: dict[str, int] = field(default_factory=dict)
    dearest: dict[str, float] = field(default_factory=dict)
    crashes: dict[str, Crash] = field(default_factory=dict)
    seconds: float = 0.0
    coverage: Coverage = field(default_factory=Coverage)
    failed: bool = False
    """A process could not begin."""
    memory: int = 0
    """The most resident bytes of one process."""


class _Worker:
    """A process, its pipe and what it is doing."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.target = ""
        self.heard = time.monotonic()
        self.done = False
        with orders.current.open("wb") as file:
            file.truncate(CURRENT)
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(orders, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def stop(self) -> None:
        """Asks it to end."""
        with suppress(OSError):
            self.pipe.send(None)

    def close(self) -> None:
        """Waits for its end, and ends it if it does not."""
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def run(settings: Settings, out: TextIO = sys.stderr) -> Totals:
    """Runs the targets and returns the results. Ctrl-C ends it early, and keeps everything."""
    totals = Totals()
    begun = time.monotonic()
    settings.crashes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dicos-fuzz-") as folder:
        workers = [
            _Worker(
                Orders(
                    number=number,
                    seed=settings.seed,
                    seconds=settings.seconds,
                    names=settings.names,
                    corpus=settings.corpus,
                    current=Path(folder) / f"current-{number}",
                )
            )
            for number in range(settings.jobs)
        ]
        line = _Line(out, settings.seconds)
        try:
            _follow(workers, settings, totals, line, begun)
        except KeyboardInterrupt:
            line.say("interrupted: ending the processes")
            for worker in workers:
                worker.stop()
            with suppress(KeyboardInterrupt):
                _follow(workers, replace(settings, seconds=0), totals, line, begun)
        finally:
            line.end()
            for worker in workers:
                worker.close()
    totals.seconds = time.monotonic() - begun
    if settings.corpus is not None:
        _count(settings.corpus, totals)
    return totals


def _follow(workers: list[_Worker], settings: Settings, totals: Totals, line: _Line, begun: float) -> None:
    """Takes the reports of all processes until the last one has ended."""
    deaths = 0
    while active := [one for one in workers if not one.done]:
        ready = wait([one.pipe for one in active], timeout=1.0)
        for worker in active:
            if worker.pipe in ready and not _take(worker, settings, totals, line):
                deaths += _died(worker, settings, totals, line)
                left = settings.seconds - (time.monotonic() - begun)
                worker.done = True
                if left > 1 and deaths < _DEATHS:
                    orders = replace(worker.orders, number=worker.orders.number + settings.jobs, seconds=left)
                    worker.close()
                    workers[workers.index(worker)] = _Worker(orders)
            elif time.monotonic() - worker.heard > _SILENT:
                worker.process.kill()  # its pipe ends, and it is reported as dead
        line.show(time.monotonic() - begun, totals)


def _take(worker: _Worker, settings: Settings, totals: Totals, line: _Line) -> bool:
    """Takes one report. Returns False if there is none because the process has died."""
    try:
        report: Report = worker.pipe.recv()
    except (EOFError, OSError):
        return worker.done
    worker.heard = time.monotonic()
    if report.target:
        worker.target = report.target
        return True
    totals.executions.update(report.executions)
    totals.memory = max(totals.memory, report.memory)
    for name, kept in report.kept.items():
        totals.kept[name] = max(kept, totals.kept.get(name, 0))
        totals.dearest[name] = max(report.dearest[name], totals.dearest.get(name, 0.0))
    if report.coverage is not None:
        totals.coverage |= report.coverage
    for crash in report.crashes:
        _found(crash, settings, totals, line)
    worker.done = worker.done or report.final
    return True


def _died(worker: _Worker, settings: Settings, totals: Totals, line: _Line) -> int:
    worker.process.join(5)
    how = worker.process.exitcode
    if not worker.target:
        line.say(f"a process ended before it ran a target, exit status {how}")
        totals.failed = True
        return _DEATHS
    tape = current_tape(worker.orders.current)
    error = f"the process died, exit status {how}"
    _found(Crash(worker.target, tape, error, "", f"died{abs(how or 0)}"), settings, totals, line)
    return 1


def _found(crash: Crash, settings: Settings, totals: Totals, line: _Line) -> None:
    """Writes a finding to its file and says so, once for each."""
    if crash.file_name in totals.crashes:
        return
    totals.crashes[crash.file_name] = crash
    path = settings.crashes / crash.file_name
    write_tape(path, crash.tape, f"target: {crash.target}", f"found: {crash.error}")
    line.say(f"{crash.target}: {crash.error}")
    line.say(f"  again: python -m dicos_fuzz.inside --target {crash.target} --replay {path}")


def _count(folder: Path, totals: Totals) -> None:
    """Adds the executions to those of earlier runs with the same corpus."""
    path = folder / "executions.json"
    counts: Counter[str] = Counter(totals.executions)
    with suppress(OSError, ValueError):
        counts.update({str(k): int(v) for k, v in json.loads(path.read_text("ascii")).items()})
    path.write_text(json.dumps(dict(sorted(counts.items())), indent=1), "ascii")


class _Line:
    """The live line, on a terminal; otherwise a line now and then."""

    def __init__(self, out: TextIO, seconds: float) -> None:
        self._out = out
        self._live = out.isatty()
        self._seconds = seconds
        self._next = 0.0 if self._live else 30.0
        self._shown = 0

    def show(self, now: float, totals: Totals) -> None:
        if now < self._next:
            return
        self._next = now + (0.5 if self._live else 60.0)
        number = totals.executions.total()
        text = (
            f"{now:.0f} of {self._seconds:.0f} s: {number:,} executions, {number / max(now, 1):,.0f}/s, "
            f"{sum(totals.kept.values()):,} tapes kept, {len(totals.crashes)} findings"
        )
        if self._live:
            self._out.write("\r" + text.ljust(self._shown))
            self._shown = len(text)
        else:
            self._out.write(text + "\n")
        self._out.flush()

    def say(self, text: str) -> None:
        """Writes a line that stays."""
        if self._live and self._shown:
            self._out.write("\r" + " " * self._shown + "\r")
            self._shown = 0
        self._out.write(text + "\n")
        self._out.flush()

    def end(self) -> None:
        if self._live and self._shown:
            self._out.write("\n")
            self._shown = 0


def coverage(totals: Totals) -> list[str]:
    """Returns the lines that say what was exercised, and what never was: by the tapes alone, then with the directed
    drivers, which run now."""
    from .coverage.driving import Unreached, drive

    alone = totals.coverage.seen()
    shares = [f"{kind} {len(keys)}/{len(CATALOGUE[kind])}" for kind, keys in alone.items()]
    lines = ["exercised by tapes alone: " + ", ".join(shares), "with the directed drivers:"]
    try:
        drive(totals.coverage)
    except Unreached as fault:
        lines.append(f"a driver did not reach its end: {fault}")
        totals.failed = True
    return [*lines, totals.coverage.report()]


def table(totals: Totals, names: Sequence[str]) -> list[str]:
    """Returns the lines of the table at the end."""
    wide = max(len(name) for name in (*names, "target"))
    lines = [f"{'target':{wide}}  {'executions':>13}  {'tapes kept':>10}  {'of its time':>11}  findings"]
    for name in names:
        findings = sum(crash.target == name for crash in totals.crashes.values())
        lines.append(
            f"{name:{wide}}  {totals.executions[name]:>13,}  {totals.kept.get(name, 0):>10,}  "
            f"{totals.dearest.get(name, 0.0):>11.1%}  {findings}"
        )
    idle = [name for name in names if not totals.executions[name]]
    if idle:
        lines.append(f"not run, for want of time: {', '.join(idle)}")
    number = totals.executions.total()
    lines.append(f"{'all':{wide}}  {number:>13,}  {sum(totals.kept.values()):>10,}  {'':>11}  {len(totals.crashes)}")
    lines.append(
        f"{number / max(totals.seconds, 1):,.0f} executions a second in {totals.seconds:.0f} s; "
        f"at most {totals.memory >> 20} MiB in one process"
    )
    return lines

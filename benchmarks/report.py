"""What was measured, as Markdown."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from .contenders import PDU, PYNETDICOM_MOST, Contender, Run
from .workloads import Workload

REFERENCE: Final = "dcmtk"
LARGE_TIMES, SMALL_TIMES, PYNETDICOM_TIMES, MOST_MEMORY = 1.5, 1.0, 10.0, 80_000_000
CLOCKS: Final = ("whole", "net", "association")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All runs of one contender on one workload. `units`: of the workload's unit, in each run.

    `start`: the same process with one object or echo, a run each round; `start_units`: how much that was.
    """

    contender: Contender
    workload: Workload
    units: float
    runs: list[Run]
    start: list[Run]
    start_units: float

    def rate(self, clock: str) -> float | None:
        """Units a second, the median: by the whole process, net of its start-up, or within the association."""
        return _median(self.rates(clock))

    def rates(self, clock: str) -> list[float]:
        match clock:
            case "whole":
                return [self.units / run.whole for run in self.runs]
            case "net":
                if not self.start or self.units <= self.start_units:
                    return []
                base = statistics.median(run.whole for run in self.start)
                more = self.units - self.start_units
                return [more / (run.whole - base) for run in self.runs if run.whole > base]
            case _:
                return [self.units / run.association for run in self.runs if run.association]


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


Key = tuple[str, str]
Results = dict[Key, Result]


def machine() -> list[str]:
    """What the numbers depend on, a line each."""
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    return [
        f"- {_cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}; load before the run {load}",
        f"- Python {platform.python_version()}, {_dcmtk()}, pynetdicom {_package('pynetdicom')}",
    ]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _dcmtk() -> str:
    if shutil.which("storescu") is None:
        return "no DCMTK"
    said = subprocess.run(["storescu", "--version"], capture_output=True, text=True, timeout=10).stdout.split()
    return next((f"DCMTK {word[1:]}" for word in said if word[:1] == "v" and word[1:2].isdigit()), "DCMTK")


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


EXPLAINED: Final = f"""\
Each round runs every contender once, each time a little later in the order; figures are medians over the rounds, with
the lowest and the highest. A run is a new server and one client, which does it all over one association.

- *whole*: the client's process from before it is made until it is reaped: interpreter and imports (of modules that
  are compiled already), files looked at, connection, association, transfer, release. The server is up before.
- *start*: the same with a single small object, or a single echo.
- *net*: (workload - that one) / (whole - start): what remains without starting up, by the same clock for everybody.
- *in association*: by the client's own clock, from before the connection until after the release. DCMTK tells none.
- *raw* sends from memory, 512 KiB a call, and gets 128 bytes back for each object: a ceiling, not a competitor.
- DCMTK runs with TCP_NODELAY=1 in the environment of both sides, `storescp --ignore`, `storescu -R`. PDUs are of
  {PDU >> 10} KiB where no other size is given. pynetdicom sends files in chunks without decoding them; it gets
  only {PYNETDICOM_MOST["small"]} small objects, {PYNETDICOM_MOST["medium"]} of 0.5 MB and {PYNETDICOM_MOST["echo"]} echoes, since with
  Nagle's algorithm it takes some 40 ms for each: compare its rates, not its times.
- Files come from the page cache."""  # noqa: E501  two numbers make the line long


def table(workload: Workload, results: Results) -> Iterator[str]:
    """The table of one workload."""
    rows = [one for one in results.values() if one.workload.name == workload.name]
    reference = results.get((REFERENCE, workload.name))
    raw = results.get(("raw", workload.name))
    u = workload.unit
    yield f"### {workload.title}"
    yield ""
    measured = f"whole, ms | start, ms | whole, {u} | net, {u} | in association, {u}"
    yield f"| | {measured} | x DCMTK whole | x DCMTK net | of raw |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for row in rows:
        cells = [
            _spread([1000 * run.whole for run in row.runs]),
            _number(_median([1000 * run.whole for run in row.start])),
            _number(row.rate("whole")),
            _spread(row.rates("net")),
            _spread(row.rates("association")),
            _ratio(row, reference, "whole"),
            _ratio(row, reference, "net"),
            _ratio(row, raw, "association"),
        ]
        yield f"| {row.contender.title} | {' | '.join(cells)} |"
    yield ""


def memory(workload: Workload, results: Results) -> Iterator[str]:
    """Peaks of both processes with this workload."""
    yield f"### Peak memory, MB (ru_maxrss), {workload.title}"
    yield ""
    yield "The kernel counts what the runner had when it made a process: the lowest figure here is its own, a floor."
    yield ""
    yield "| | client | server |"
    yield "|---|--:|--:|"
    for row in results.values():
        if row.workload.name == workload.name:
            client = _number(max(run.client_peak for run in row.runs) / 1e6)
            server = _number(max(run.server_peak for run in row.runs) / 1e6)
            yield f"| {row.contender.title} | {client} | {server} |"
    yield ""


def targets(results: Results) -> Iterator[str]:
    """What was to be reached, and whether it was."""
    yield "### Targets"
    yield ""
    yield "| target | measured | |"
    yield "|---|--:|---|"
    for size, other, least, what in (
        ("large", REFERENCE, LARGE_TIMES, "large object, dicos-proto / DCMTK"),
        ("small", REFERENCE, SMALL_TIMES, "small objects, dicos-proto / DCMTK"),
        ("small", "pynetdicom", PYNETDICOM_TIMES, "small objects, dicos-proto / pynetdicom"),
    ):
        for clock in ("whole", "net", "association"):
            if clock == "association" and other == REFERENCE:
                continue
            ratio = _times(results.get(("ours", size)), results.get((other, size)), clock)
            if ratio is not None:
                clock = "in association" if clock == "association" else clock
                yield f"| {what}, {clock}: at least {least:g} x | {ratio:.2f} x | {_verdict(ratio >= least)} |"
    large = results.get(("ours", "large"))
    if large is not None:
        peaks: tuple[tuple[str, Callable[[Run], int]], ...] = (
            ("client", lambda run: run.client_peak),
            ("server", lambda run: run.server_peak),
        )
        for side, peak in peaks:
            most = max(map(peak, large.runs))
            what = f"peak memory of our {side}, large object: below {MOST_MEMORY / 1e6:g} MB"
            yield f"| {what} | {most / 1e6:.1f} MB | {_verdict(most < MOST_MEMORY)} |"
    yield ""


def _verdict(good: bool) -> str:
    return "PASS" if good else "MISS"


def _times(one: Result | None, other: Result | None, clock: str) -> float | None:
    if one is None or other is None:
        return None
    mine, theirs = one.rate(clock), other.rate(clock)
    return mine / theirs if mine and theirs else None


def _ratio(one: Result, other: Result | None, clock: str) -> str:
    ratio = _times(one, other, clock)
    return "" if ratio is None else f"{ratio:.2f}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    middle = _number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({_number(min(values))} to {_number(max(values))})"

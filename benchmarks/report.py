"""The measurements as Markdown."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from .matrix import GROUPS
from .results import Measured, Result
from .targets import targets


def machine() -> list[str]:
    """The conditions of the run, one a line."""
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    return [
        f"{_cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}; load before the run {load}",
        f"Python {platform.python_version()}, {_dcmtk()}, pynetdicom {_package('pynetdicom')}, "
        f"pyOpenSSL {_package('pyOpenSSL')}",
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


def without_pydcm() -> str | None:
    """The reason why pydcm is not measured."""
    if sys.version_info[:2] < PYDCM_NEEDS:
        return f"pydcm: skipped: it needs CPython 3.12 or later, this is {platform.python_version()}"
    return "pydcm: skipped: not installed" if _package("pydcm") == "not installed" else None


PYDCM_NEEDS: Final = (3, 12)

EXPLAINED: Final = """\
Each round runs every row once, each time a little later in the order. Figures are medians over the rounds, with the
lowest and the highest. A run is a new server and one client (of DCMTK one for each association), which sends it all.

- *net*: by the client's process from before it is made until it is reaped, less the same with one small object or one
  echo: what remains without interpreter, imports and association. One clock for everybody.
- *in association*: by the client's own clock, from before the connection until after the release. DCMTK tells none.
- *x DCMTK* compares net rates, *of bare sockets* rates in the association, each with the row of that kind with the same
  size in this table."""


def report(measured: Measured) -> Iterator[str]:
    """The whole report."""
    for line in measured.machine:
        yield f"- {line}"
    yield f"- {measured.rounds} round{'s' if measured.rounds != 1 else ''}"
    for why in measured.skipped:
        yield f"- {why}"
    yield ""
    if measured.results:
        yield from (EXPLAINED, "")
    for group in GROUPS:
        yield from _group(group, measured)
    yield from _memory(measured)
    yield from _targets(measured)


def _group(group: str, measured: Measured) -> Iterator[str]:
    found = [one for one in measured.results.values() if one.group == group and one.runs]
    if not found:
        return
    yield f"### {GROUPS[group]}"
    yield ""
    yield "| | | net | in association | x DCMTK | of bare sockets |"
    yield "|---|---|--:|--:|--:|--:|"
    for one in found:
        dcmtk = _beside(one, found, "DCMTK")
        raw = _beside(one, found, "bare sockets")
        cells = (
            size_of(one), one.title, _spread(one, "net"), _spread(one, "association"),
            _times(one, dcmtk, "net"), _times(one, raw, "association"),
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    yield ""


def _beside(one: Result, found: list[Result], what: str) -> Result | None:
    """The row to compare `one` with: the most similar one."""
    same = [other for other in found if other.what == one.what and other.title.partition(",")[0] == what]
    alike = [other for other in same if other.title.partition(",")[2] == one.title.partition(",")[2]]
    return next(iter(alike + same), None) if len(same) == 1 or alike else None


def size_of(one: Result) -> str:
    """`4 kB`, `300 MB`, for people; `C-ECHO`."""
    if not one.size:
        return "C-ECHO"
    size, unit = one.size, "B"
    for larger in ("kB", "MB", "GB"):
        if size >= 1000:
            size, unit = size // 1000 if size % 1000 == 0 else round(size / 1000), larger
    return f"{size} {unit}" if one.size != 500_000 else "0.5 MB"


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _spread(one: Result, clock: str) -> str:
    values = one.rates(clock)
    if not values:
        return ""
    middle = f"{number(statistics.median(values))} {one.unit}"
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"


def _times(one: Result, other: Result | None, clock: str) -> str:
    mine, theirs = one.rate(clock), other.rate(clock) if other else None
    return f"{mine / theirs:.2f}" if mine and theirs else ""


def _memory(measured: Measured) -> Iterator[str]:
    large = [one for one in measured.results.values() if one.what in ("300m", "2g") and one.group in ("sink", "disk")]
    if not any(one.runs for one in large):
        return
    yield "### Most memory of both processes, MB"
    yield ""
    yield "| | | client | server |"
    yield "|---|---|--:|--:|"
    for one in large:
        peaks = [statistics.median(getattr(run, f"{side}_peak") for run in one.runs) for side in ("client", "server")]
        where = " (disk)" if one.group == "disk" else ""
        yield f"| {size_of(one)}{where} | {one.title} | {' | '.join(number(peak / 1e6) for peak in peaks)} |"
    yield ""


def _targets(measured: Measured) -> Iterator[str]:
    found = list(targets(measured))
    if not found:
        return
    yield "### Targets"
    yield ""
    yield "| | wanted | measured | |"
    yield "|---|--:|--:|---|"
    for one in found:
        yield f"| {one.what} | {one.wanted} | {one.seen} | {'reached' if one.reached else 'missed'} |"
    yield ""

"""Measure this implementation beside bare sockets, DCMTK and pynetdicom, and its engine alone; print Markdown."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from . import campaign, dicos, engine, faults, idle, page, report, screening, trace
from .matrix import GROUPS, KINDS, Row, rows
from .processes import Failed, end_on_signals
from .results import Measured, Result
from .running import Run, Runner, missing
from .workloads import NoSpace

BUDGET, BUDGET_FULL = 270.0, 780.0
"""Seconds after which no further round begins, without and with --full."""
IDLE: Final = "idle"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer objects, one round: does it work at all")
    parser.add_argument("--full", action="store_true", help="all sizes and kinds: a quarter of an hour")
    names = (*GROUPS, IDLE, engine.NAME, faults.NAME, campaign.NAME, trace.NAME, dicos.NAME, screening.NAME)
    parser.add_argument("--only", action="append", metavar="NAME", default=[],
                        help=f"only this group of rows ({', '.join(names)}) or these ends ({', '.join(KINDS)}), or "
                             "rows whose name has a `/` and begins so; may be repeated")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 3; 1 with --quick")
    parser.add_argument("--megabytes", type=int, metavar="N", default=trace.MEGABYTES,
                        help=f"of the capture file of {trace.NAME}; default: {trace.MEGABYTES}")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single run to FILE")
    parser.add_argument("--write-docs", action="store_true",
                        help=f"also write {page.RESULTS}, and the table and the plot of {page.PAGE}")  # fmt: skip
    options = parser.parse_args()
    unknown = [one for one in options.only if one not in (*names, *KINDS) and "/" not in one]
    if unknown:
        parser.error(f"--only {', '.join(unknown)}: no such group, ends or rows")
    rounds: int = options.rounds or (1 if options.quick else 3)
    if rounds < 1:
        parser.error("--rounds: at least 1")
    if options.megabytes < 1:
        parser.error("--megabytes: at least 1")
    chosen = choose(rows(full=options.full), options.only)
    if options.list:
        print("\n".join(row.name for row in chosen))
        return 0
    end_on_signals()
    measured = Measured(machine=report.machine())
    without = report.without_pydcm()
    measured.skipped += [without] if without else []
    try:
        if not options.only or trace.NAME in options.only:
            _measure_trace(measured, rounds, options.megabytes, quick=options.quick)
        if not options.only or campaign.NAME in options.only:
            _measure_campaign(measured, rounds, quick=options.quick)
        if not options.only or dicos.NAME in options.only:
            _measure_dicos(measured, rounds, quick=options.quick)
        if not options.only or screening.NAME in options.only:
            _measure_screening(measured, rounds, quick=options.quick)
        _measure(measured, chosen, options.only, rounds, quick=options.quick, full=options.full)
    except NoSpace as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    print("\n".join(["## Benchmark", "", *report.report(measured)]))
    if options.json is not None:
        measured.write(options.json)
    if options.write_docs:
        page.write(measured)
    return 1 if any("failed" in why for why in measured.skipped) else 0


def choose(found: list[Row], only: list[str]) -> list[Row]:
    """The rows that `only` names; all if it is empty."""
    groups, kinds = [one for one in only if one in GROUPS], [one for one in only if one in KINDS]
    prefixes = [one for one in only if "/" in one]
    if only and not (groups or kinds or prefixes):
        return []
    return [
        row
        for row in found
        if (not (groups or prefixes) or row.group in groups or any(row.name.startswith(one) for one in prefixes))
        and (not kinds or (row.client in kinds and row.server in kinds))
    ]


def _measure(measured: Measured, chosen: list[Row], only: list[str], rounds: int, *, quick: bool, full: bool) -> None:
    """Raises `NoSpace`."""
    if not only or engine.NAME in only:
        try:
            found, idles = engine.measure(rounds, quick=quick)
        except Failed as error:
            measured.skipped.append(f"{engine.NAME}: failed: {error}")
        else:
            print("\n".join(["", *engine.report(found, idles)]), flush=True)
            measured.engine = engine.plain(found, idles)
    if not only or faults.NAME in only:
        talks = faults.measure(rounds, quick=quick)
        print("\n".join(["", *faults.report(talks)]), flush=True)
        measured.faults = faults.plain(talks)
    with tempfile.TemporaryDirectory(prefix="dicos-bench-") as name:
        if not only or IDLE in only:
            try:
                measured.idle = idle.measure(Path(name), quick=quick)
            except Failed as error:
                measured.skipped.append(f"idle: failed: {error}")
        if chosen:
            _run_all(measured, chosen, Runner(Path(name), quick=quick), rounds, BUDGET_FULL if full else BUDGET)


def _measure_dicos(measured: Measured, rounds: int, *, quick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="dicos-bench-") as name:
        found, skipped = dicos.measure(Path(name), rounds, quick=quick)
    measured.skipped += skipped
    print("\n".join(["", *dicos.report(found)]), flush=True)
    measured.dicos = dicos.plain(found)


def _measure_screening(measured: Measured, rounds: int, *, quick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="dicos-bench-") as name:
        try:
            found = screening.measure(Path(name), rounds, quick=quick)
        except Failed as error:
            measured.skipped.append(f"{screening.NAME}: failed: {error}")
            return
    print("\n".join(["", *screening.report(found)]), flush=True)
    measured.screening = screening.plain(found)


def _measure_trace(measured: Measured, rounds: int, megabytes: int, *, quick: bool) -> None:
    """Raises `NoSpace`."""
    with tempfile.TemporaryDirectory(prefix="dicos-bench-") as name:
        try:
            found = trace.measure(Path(name), rounds, quick=quick, megabytes=megabytes)
        except Failed as error:
            measured.skipped.append(f"{trace.NAME}: failed: {error}")
            return
    print("\n".join(["", *trace.report(found)]), flush=True)
    measured.trace = trace.plain(found)


def _measure_campaign(measured: Measured, rounds: int, *, quick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="dicos-bench-") as name:
        try:
            found = campaign.measure(Path(name), rounds, quick=quick)
        except Failed as error:
            measured.skipped.append(f"{campaign.NAME}: failed: {error}")
            return
    print("\n".join(["", *campaign.report(found)]), flush=True)
    measured.campaign = campaign.plain(found)


def _run_all(measured: Measured, chosen: list[Row], runner: Runner, rounds: int, budget: float) -> None:
    begun = time.monotonic()
    for row in chosen:
        why = missing(row)
        if why:
            measured.skipped.append(f"{row.name}: skipped: {why}")
        else:
            measured.results[row.name] = Result.of(row, runner.amount(row))
    taking_part = [row for row in chosen if row.name in measured.results]
    runner.prepare(taking_part)
    for number in range(rounds):
        if number and time.monotonic() - begun > budget * number / (number + 1):
            measured.skipped.append(f"only {number} of {rounds} rounds: the time is up")
            return
        turn = number * len(taking_part) // rounds
        starts: dict[tuple[object, ...], Run] = {}
        for row in taking_part[turn:] + taking_part[:turn]:
            if row.name not in measured.results:
                continue  # it has failed
            if sys.stderr.isatty():
                print(f"\r\033[Kround {number + 1}: {row.name}", end="", file=sys.stderr, flush=True)
            try:
                if row.start not in starts:
                    starts[row.start] = runner.start(row)
                run = runner.run(row)
            except Failed as error:
                measured.skipped.append(f"{row.name}: failed in round {number + 1}: {error}")
                del measured.results[row.name]
                continue
            measured.results[row.name].runs.append(run)
            measured.results[row.name].start.append(starts[row.start])
        measured.rounds = number + 1
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Measure this implementation beside raw sockets, DCMTK and pynetdicom, and its engine alone; print Markdown."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from . import engine, report
from .contenders import CONTENDERS, Contender, Run, run, warm_up
from .processes import Failed, end_on_signals
from .report import Result, Results
from .workloads import NAMES, NoSpace, Workload, make

BUDGET: Final = 270.0
"""Seconds after which no further round is begun."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="fewer and smaller objects, one round: does it work at all"
    )
    parser.add_argument("--only", action="append", metavar="NAME",
                        help=f"only this workload ({', '.join(NAMES)}) or this contender "
                             f"({', '.join(one.name for one in CONTENDERS)}), or `{engine.NAME}`: the engine "
                             "without sockets; may be repeated")  # fmt: skip
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 3; 1 with --quick")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single run to FILE")
    options = parser.parse_args()
    only = set(options.only or ())
    unknown = only - set(NAMES) - {one.name for one in CONTENDERS} - {engine.NAME}
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: no such workload or contender")
    rounds = options.rounds or (1 if options.quick else 3)
    if rounds < 1:
        parser.error("--rounds: at least 1")
    names = tuple(name for name in NAMES if name in only) or NAMES
    wanted = [one for one in CONTENDERS if one.name in only] or list(CONTENDERS)
    end_on_signals()
    print("\n".join(["## Benchmark", "", *report.machine()]), flush=True)
    figures: list[dict[str, object]] = []
    skipped: list[str] = []
    if not only or engine.NAME in only:
        figures, skipped = _engine(rounds, quick=options.quick)
    if not only or only - {engine.NAME}:
        try:
            more, failed = _against_others(names, wanted, rounds, quick=options.quick)
        except NoSpace as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 2
        figures += more
        skipped += failed
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if any("failed" in why for why in skipped) else 0


def _engine(rounds: int, *, quick: bool) -> tuple[list[dict[str, object]], list[str]]:
    """Every figure of the engine alone, printed, and what failed."""
    try:
        found, idles = engine.measure(rounds, quick=quick)
    except Failed as error:
        print(f"- {engine.NAME}: failed: {error}")
        return [], [f"{engine.NAME}: failed"]
    print("\n".join(["", *engine.report(found, idles)]), flush=True)
    return engine.plain(found, idles), []


def _against_others(
    names: tuple[str, ...], wanted: list[Contender], rounds: int, *, quick: bool
) -> tuple[list[dict[str, object]], list[str]]:
    """Every single run, printed as tables, and who is missing from them and why. Raises `NoSpace`."""
    with tempfile.TemporaryDirectory(prefix="dicos-bench-") as name:
        workloads = make(Path(name), names, quick=quick)
        single = _single(Path(name), workloads)
        results, done, skipped = _measure(wanted, workloads, single, rounds, Path(name))
        _print(results, workloads, done, skipped)
        return [_plain(one) for one in results.values()], skipped


def _single(folder: Path, workloads: list[Workload]) -> dict[str, Workload]:
    """For each workload the smallest one of its kind: what starting up costs."""
    small = next((one for one in workloads if one.name == "small"), None)
    if small is None and any(one.files for one in workloads):
        (folder / "start").mkdir()
        (small,) = make(folder / "start", ("small",), quick=True)
    return {one.name: small.first(1) if one.files and small else one.first(1) for one in workloads}


def _measure(
    wanted: list[Contender], workloads: list[Workload], single: dict[str, Workload], rounds: int, folder: Path
) -> tuple[Results, int, list[str]]:
    """The results, how many rounds there were, and why contenders are missing from them."""
    begun = time.monotonic()
    skipped = [f"{one.title}: skipped: {why}" for one in wanted if (why := one.missing())]
    taking_part = [one for one in wanted if not one.missing()]
    results: Results = {}
    warm_up(taking_part, folder)
    for number in range(rounds):
        if number and time.monotonic() - begun > BUDGET * number / (number + 1):
            skipped.append(f"only {number} of {rounds} rounds: the time is up")
            return results, number, skipped
        turn = number % max(len(taking_part), 1)
        for contender in taking_part[turn:] + taking_part[:turn]:
            starts: dict[bool, Run] = {}
            for workload in workloads:
                if not contender.takes(workload) or (number and (contender.name, workload.name) not in results):
                    continue
                where = f"round {number + 1}: {contender.title}: {workload.title}"
                if sys.stderr.isatty():
                    print(f"\r\033[K{where}", end="", file=sys.stderr, flush=True)
                try:
                    kind = bool(workload.files)
                    if kind not in starts:
                        starts[kind] = run(contender, single[workload.name], folder)
                    one = run(contender, contender.scaled(workload), folder)
                except Failed as error:
                    skipped.append(f"{where}: failed: {error}")
                    results.pop((contender.name, workload.name), None)
                    continue
                _keep(results, contender, workload, single[workload.name], one, starts[kind])
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return _in_order(results, wanted), rounds, skipped


def _keep(results: Results, contender: Contender, workload: Workload, single: Workload, one: Run, start: Run) -> None:
    key = contender.name, workload.name
    if key not in results:
        amount = (
            single.units if single.unit == workload.unit else sum(each.stat().st_size for each in single.files) / 1e6
        )
        results[key] = Result(contender=contender, workload=workload, units=contender.scaled(workload).units,
                              runs=[], start=[], start_units=amount)  # fmt: skip
    results[key].runs.append(one)
    results[key].start.append(start)


def _in_order(results: Results, wanted: list[Contender]) -> Results:
    """As contenders are listed, not as the first round took them."""
    names = [one.name for one in wanted]
    return dict(sorted(results.items(), key=lambda item: names.index(item[0][0])))


def _print(results: Results, workloads: list[Workload], rounds: int, skipped: list[str]) -> None:
    lines = [f"- {rounds} round{'s' if rounds > 1 else ''}", *(f"- {why}" for why in skipped), "", report.EXPLAINED, ""]
    for workload in workloads:
        lines += report.table(workload, results)
    for workload in workloads:
        if workload.name == "large":
            lines += report.memory(workload, results)
    lines += report.targets(results)
    print("\n".join(lines), end="")


def _plain(one: Result) -> dict[str, object]:
    return {
        "contender": one.contender.name,
        "workload": one.workload.name,
        "unit": one.workload.unit,
        "units": one.units,
        "runs": [asdict(each) for each in one.runs],
        "start": [asdict(each) for each in one.start],
        "start_units": one.start_units,
    }


if __name__ == "__main__":
    sys.exit(main())

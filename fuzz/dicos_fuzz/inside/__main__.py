"""`python -m dicos_fuzz.inside`: runs the targets, replays a tape, or hands a target to atheris.

Knows: arguments. Must not know: how targets are run.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dicos_transports.cli.options import Parser
from dicos_transports.cli.text import shown

from ..conversation import DamagedFile
from .costing import costs_of
from .costing import shown as line_of_costs
from .loop import replay, warnings_found
from .runs import Settings, coverage, run, table
from .tapes import read_tape, write_tape
from .targets import TARGETS

__all__ = ["main"]


def _parser() -> Parser:
    parser = Parser(
        prog="python -m dicos_fuzz.inside",
        description="Fuzzes the engine and its adapters in this machine's processes. Exit status 0: nothing found, "
        "1: findings, which are saved and printed with the command that shows them again.",
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="time to run (300)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed tries the same tapes again (0)")
    parser.add_argument("--target", action="append", metavar="NAME", help="only this target; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the targets and end")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="tapes to begin with; new ones are added")
    parser.add_argument("--crashes", type=Path, default=Path("crashes"), metavar="DIR", help="findings (crashes)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one tape and end")
    parser.add_argument("--costs", action="store_true", help="search for the dearest tapes, and print their costs")
    parser.add_argument("--atheris", metavar="TARGET", help="run this target with atheris, which must be installed")
    return parser


def main(words: Sequence[str]) -> int:
    """Runs the command. Returns its exit status: 0 nothing found, 1 findings, 2 bad usage or a damaged file."""
    parser = _parser()
    given = parser.parse_args(words)
    if given.list:
        wide = max(map(len, TARGETS))
        for one in TARGETS.values():
            print(f"{one.name:{wide}}  {one.about}")
        return 0
    names = given.target or list(TARGETS)
    for name in [*names, *([given.atheris] if given.atheris else [])]:
        if name not in TARGETS:
            parser.error(f"no target {shown(name)}; --list prints all")
    if given.seconds <= 0 or given.jobs < 1:
        parser.error("--seconds above 0 and --jobs of at least 1")
    if given.replay is not None:
        return _replay(parser, given.replay, given.target)
    if given.costs:
        return _costs(names, given.seconds, given.seed, given.crashes)
    if given.atheris:
        from .guided import guided

        return guided(given.atheris, given.seconds, given.corpus, given.crashes)
    settings = Settings(
        names=tuple(names),
        seconds=given.seconds,
        jobs=given.jobs,
        seed=given.seed,
        corpus=given.corpus,
        crashes=given.crashes,
    )
    # A shell starts what runs in the background without the first.
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        totals = run(settings)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    print("\n".join(table(totals, names)))
    print("\n".join(["", *coverage(totals)]))
    return 1 if totals.crashes or totals.failed else 0


def _costs(names: Sequence[str], seconds: float, seed: int, folder: Path) -> int:
    """Searches each target in turn for its share of the time. Returns 1 if a bound was exceeded."""
    print(f"{'target':22} {'tried':>6}  {'us/byte':>8} {'bound':>6}  {'bytes/byte':>9} {'bound':>6}  growth")
    exceeded = 0
    for name in names:
        found = costs_of(TARGETS[name], str(seed), seconds / len(names))
        print(line_of_costs(name, found), flush=True)
        for what, dear in (("time", found.by_time), ("memory", found.by_memory)):
            write_tape(folder / f"dear-{name}-{what}.tape", dear.tape, f"target: {name}", f"dearest by {what}")
            exceeded += dear.of_bound > 1
    return 1 if exceeded else 0


def _replay(parser: Parser, path: Path, targets: list[str] | None) -> int:
    try:
        named, tape = read_tape(path)
    except (DamagedFile, OSError) as fault:
        parser.error(shown(str(fault)))
    name = targets[0] if targets else named
    if name is None or name not in TARGETS:
        parser.error("the file names no target: --target NAME")
    with warnings_found():
        crash = replay(TARGETS[name], tape)
    if crash is None:
        print(f"{name}: no finding in a tape of {len(tape)} bytes")
        return 0
    print(crash.trace, end="")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

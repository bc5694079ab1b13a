"""The command line of `tools.mutation`."""

from __future__ import annotations

import argparse
import os
import sys

from .at_import import run_at_import
from .finder import Finder
from .functions import run_functions
from .results import RESULTS, faults, listed, outdated, table
from .subjects import MODULES, ROOT


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tools.mutation", description="Mutation testing of the engine's core.")
    parser.add_argument(
        "modules", nargs="*", metavar="module", help=f"of {', '.join(MODULES)}; all where none is named"
    )
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at a time")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants with this in their name")
    parser.add_argument("--listed", action="store_true", help="only mutants that are listed as survivors")
    chosen = parser.parse_args()
    unknown = set(chosen.modules) - set(MODULES)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    return chosen


def main() -> int:
    chosen = options()
    os.chdir(ROOT)
    finders = [Finder(name) for name in MODULES if name in (chosen.modules or MODULES)]
    trees = {finder.module: finder.tree for finder in finders}
    found = [mutant for finder in finders for mutant in finder.mutants]
    known = {name for name in listed() if name.partition(" ")[0] in trees}
    mutants = [mutant for mutant in found if chosen.only in mutant.name and (mutant.name in known or not chosen.listed)]
    results: dict[str, str] = {}
    functions = [mutant for mutant in mutants if mutant.function]
    if functions:
        results |= run_functions(functions, trees, chosen.jobs)
    at_import = [mutant for mutant in mutants if mutant.name not in results]
    if at_import:
        results |= run_at_import(at_import, trees, chosen.jobs)

    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("".join(f"{results[mutant.name]}\t{mutant.name}\n" for mutant in mutants))
    print(*table(mutants, results), sep="\n")
    wrong = list(faults({mutant.name for mutant in found}, known, results))
    if not chosen.modules and not chosen.only and not chosen.listed:
        wrong += outdated(mutants, results)
    for line in wrong:
        print(f"mutation: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

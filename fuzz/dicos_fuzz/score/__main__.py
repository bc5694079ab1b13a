"""`python -m dicos_fuzz.score`, as `make fuzz-score` runs it: measures the fuzzer by planted defects.

Knows: the command line. Must not know: how a campaign is run, what counts as found.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from dicos_transports.cli import FAILED, INTERRUPTED, OK, USAGE
from dicos_transports.cli.options import Parser, count, seconds
from dicos_transports.cli.text import shown

from ..broken.defects import DEFECTS, NONE, Defect
from .campaigns import BESIDE, all_campaigns
from .outcomes import Outcome
from .table import as_json, line_of, table, total

SECONDS: Final = 300.0
SHARE: Final = 0.9
"""The share of the planted defects that must be found: 18 of 20."""
LEAST: Final = 5.0
"""Seconds of a campaign at least."""
AT_ONCE: Final = 4
"""Campaigns at the same time for each processor: they mostly wait."""


def main(words: Sequence[str] | None = None) -> int:
    """Measures. Returns 0 if enough defects were found and nothing false."""
    options = _parser().parse_args(words)
    chosen: list[Defect | None] = [
        None if name == NONE else DEFECTS[name] for name in options.defect or (*DEFECTS, NONE)
    ]  # fmt: skip
    chosen = [*dict.fromkeys(chosen)]
    planted = sum(one is not None for one in chosen)
    wanted = math.ceil(SHARE * planted) if options.require is None else options.require
    begun = monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="dicos-score-") as temporary:
            folder = Path(options.output or temporary)
            folder.mkdir(parents=True, exist_ok=True)
            share = _share(options.seconds, options.each, options.jobs)
            tell = _teller(json_lines=options.json)
            outcomes = all_campaigns(chosen, share, jobs=options.jobs, folder=folder, tell=tell)
    except OSError as error:
        print(f"error: {shown(str(options.output))}: {error.strerror}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return _end(outcomes, monotonic() - begun, wanted, json_lines=options.json)


def _parser() -> Parser:
    made = Parser(prog="python -m dicos_fuzz.score", allow_abbrev=False,
                  description="Runs dicos fuzz against a provider with one planted defect after the other, and counts "
                  "those that it finds.")  # fmt: skip
    add = made.add_argument
    add("--seconds", type=seconds, default=SECONDS, metavar="SECONDS",
        help="time for all of them together (default: %(default)g)")  # fmt: skip
    add("--each", type=seconds, metavar="SECONDS", help="time for each of them, instead of --seconds")
    add("--jobs", type=count, default=AT_ONCE * (os.cpu_count() or 1), metavar="N",
        help="campaigns at the same time (default: %(default)s)")  # fmt: skip
    add("--defect", action="append", choices=(NONE, *DEFECTS), default=[], metavar="NAME",
        help=f"only this defect, {NONE} for the provider without one; may be repeated")  # fmt: skip
    add("--require", type=int, metavar="N", help="defects that must be found (default: nine of ten)")
    add("--output", type=Path, metavar="DIR", help="folder that keeps the output of every campaign")
    add("--json", action="store_true", help="print one JSON object per line on standard output")
    return made


def _share(whole: float, each: float | None, jobs: int) -> Callable[[int], float]:
    """Returns the function that says how long the next campaign may take: its share of the time that is left, or what
    was asked for."""
    begun = monotonic()

    def share(left: int) -> float:
        if each is not None:
            return each
        rounds = math.ceil(left / jobs)
        return max(LEAST, (whole - (monotonic() - begun)) / rounds - BESIDE)

    return share


def _teller(*, json_lines: bool) -> Callable[[Outcome], None]:
    def tell(outcome: Outcome) -> None:
        print(line_of(outcome), file=sys.stderr, flush=True)
        if json_lines:
            print(json.dumps(as_json(outcome)), flush=True)

    return tell


def _end(outcomes: Sequence[Outcome], took: float, wanted: int, *, json_lines: bool) -> int:
    found = sum(one.found is not None for one in outcomes)
    false = [other.id for one in outcomes if one.defect is None for other in one.others]
    if json_lines:
        planted = sum(one.defect is not None for one in outcomes)
        summary = {"event": "score", "found": found, "planted": planted, "false": false, "seconds": round(took, 1)}
        print(json.dumps(summary))
    else:
        print(table(outcomes))
        print(total(outcomes, took))
    troubled = any(one.trouble for one in outcomes)
    return OK if found >= wanted and not false and not troubled else FAILED


if __name__ == "__main__":
    sys.exit(main())

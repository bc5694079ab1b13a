"""Measures the cost of every input for every entry, into results.json: `python -m tests.cost [--quick] [PART...]`.

With parts, only entries whose names contain one of them are measured; the other results stay as they are.
`make cost` measures all, each in a fresh process, in about an hour. Exit status 1 if something took more
than `bounds` allows; it is named at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from tests.cost import bounds, engine, entries
from tests.cost.contents import CONTENTS
from tests.cost.inputs import SAID_BY_CLIENTS, SAID_BY_PROVIDERS, SAID_BY_USERS
from tests.cost.measuring import Entry, InProcess

RESULTS = Path(__file__).parent / "results.json"
SIZE = 1 << 20
QUICK = 1 << 18
INPUTS: dict[str, tuple[Any, ...]] = {
    "content": CONTENTS, "user": SAID_BY_USERS, "provider": SAID_BY_PROVIDERS, "http": SAID_BY_CLIENTS,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cost", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the size, in processes that are used again")
    parser.add_argument("--short", action="store_true", help="of the inputs only those that the tests use")
    parser.add_argument("--dry", action="store_true", help="print, and do not write")
    parser.add_argument("parts", nargs="*", metavar="PART")
    options = parser.parse_args()
    size = QUICK if options.quick else SIZE
    fresh = not options.quick
    everything: list[Entry] = [*engine.entries(), *entries.providers(fresh=fresh), *entries.users(fresh=fresh)]
    found: dict[str, Any] = json.loads(RESULTS.read_text())["costs"] if RESULTS.exists() else {}
    sides = {entry.name: entry.side for entry in everything}
    dear: list[str] = []
    for entry in everything:
        if options.parts and not any(part in entry.name for part in options.parts):
            continue
        found[entry.name] = measured(entry, size, dear, short=options.short)
        if not options.dry:
            write(found, sides, size)
    for line in dear:
        print(line, file=sys.stderr)
    return 1 if dear else 0


def measured(entry: Entry, size: int, dear: list[str], *, short: bool) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    try:
        for one in INPUTS[entry.side]:
            if entry.side != "content" and not (entry.takes(one) and one.sampled):
                continue
            if short and entry.side != "content" and one.name not in bounds.TRIED[entry.side]:
                continue
            asked = size if entry.side == "content" else int(size * one.share)
            cost = entry.measure(one, asked)
            found[one.name] = {"size": cost.size, "memory": cost.memory, "cpu": round(cost.cpu, 4)}
            print(
                f"{entry.name:24} {one.name:34} {cost.size:10,} bytes {cost.memory_a_byte:10.2f} bytes a byte"
                f" {cost.microseconds_a_byte:8.3f} us a byte",
                flush=True,
            )
            if not isinstance(entry, InProcess):
                dear += bounds.exceeded(entry, one, cost, asked)
    finally:
        entry.close()
    return found


def write(found: dict[str, Any], sides: dict[str, str], size: int) -> None:
    inputs = {side: {one.name: one.text for one in INPUTS[side] if getattr(one, "sampled", True)} for side in INPUTS}
    ordered = {name: found[name] for name in sides if name in found}
    told = {
        "python": platform.python_version(), "size": size, "cores": os.cpu_count(),
        "load": round(os.getloadavg()[1], 1), "inputs": inputs, "sides": sides, "costs": ordered,
    }  # fmt: skip
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""Measure what every input costs every entry, and write it to results.json: `python -m tests.cost [--quick] [PART...]`.

Only entries whose names have one of the parts in them, where parts are given; what is not measured stays as it was.
`make cost` measures all, each in a fresh process; that takes about an hour.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

from tests.cost import entries
from tests.cost.contents import CONTENTS
from tests.cost.inputs import SAID_BY_PROVIDERS, SAID_BY_USERS

RESULTS = Path(__file__).parent / "results.json"
SIZE = 1 << 20
QUICK = 1 << 18
INPUTS: dict[str, tuple[Any, ...]] = {"content": CONTENTS, "user": SAID_BY_USERS, "provider": SAID_BY_PROVIDERS}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cost", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the size, in processes that are used again")
    parser.add_argument("--dry", action="store_true", help="print, and do not write")
    parser.add_argument("parts", nargs="*", metavar="PART")
    options = parser.parse_args()
    size = QUICK if options.quick else SIZE
    fresh = not options.quick
    everything = [*entries.engine(), *entries.providers(fresh=fresh), *entries.users(fresh=fresh)]
    found: dict[str, Any] = json.loads(RESULTS.read_text())["costs"] if RESULTS.exists() else {}
    sides = {entry.name: entry.side for entry in everything}
    for entry in everything:
        if options.parts and not any(part in entry.name for part in options.parts):
            continue
        found[entry.name] = measured(entry, size)
        if not options.dry:
            write(found, sides, size)


def measured(entry: entries.Entry, size: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    try:
        for one in INPUTS[entry.side]:
            if entry.side != "content" and not (entry.takes(one) and one.sampled):
                continue
            cost = entry.measure(one, int(size * one.share) if entry.side != "content" else size)
            found[one.name] = {"size": cost.size, "memory": cost.memory, "cpu": round(cost.cpu, 4)}
            print(
                f"{entry.name:24} {one.name:34} {cost.size:10,} bytes {cost.memory_a_byte:10.2f} bytes a byte"
                f" {cost.microseconds_a_byte:8.3f} us a byte",
                flush=True,
            )
    finally:
        entry.close()
    return found


def write(found: dict[str, Any], sides: dict[str, str], size: int) -> None:
    inputs = {side: {one.name: one.text for one in INPUTS[side] if getattr(one, "sampled", True)} for side in INPUTS}
    ordered = {name: found[name] for name in sides if name in found}
    told = {"python": platform.python_version(), "size": size, "inputs": inputs, "sides": sides, "costs": ordered}
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()

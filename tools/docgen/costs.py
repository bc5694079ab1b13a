"""The table of docs/limits.md that says what each input of a hostile peer takes: made of what `make cost` measured."""

from __future__ import annotations

import json
from typing import Any

from .source import CHECKOUT

RESULTS = CHECKOUT / "tests/cost/results.json"
_TOO_SMALL = 16 << 10
"""Bytes on the wire below which a ratio says nothing: the memory is given instead."""
_TABLES = (
    ("The library's providers, attacked by a user", "user", ("engine", "serve", "Application")),
    ("The command's providers, attacked by a user", "user", ("storescp", "echoscp")),
    ("Users, attacked by a provider", "provider", ("engine", "connect", "echoscu", "storescu", "findscu", "getscu",
                                                   "movescu")),
    ("Decoding a data set", "content", ("datasets",)),
)  # fmt: skip


def section() -> str:
    """The section, as Markdown."""
    if not RESULTS.exists():
        return _HEAD
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    tables = [_table(title, found, side, starts) for title, side, starts in _TABLES]
    about = f"CPython {found['python']}, inputs of {found['size'] >> 10:,} KiB or the share of it that the kind allows"
    return _HEAD + _MEASURED + f"\nMeasured with {about}.\n" + "".join(tables)


def _table(title: str, found: dict[str, Any], side: str, starts: tuple[str, ...]) -> str:
    entries = [name for name in found["costs"] if found["sides"].get(name) == side and name.startswith(starts)]
    rows = [
        f"| {text} | " + " | ".join(_cell(found["costs"][entry].get(name)) for entry in entries) + " |"
        for name, text in found["inputs"][side].items()
        if any(name in found["costs"][entry] for entry in entries)
    ]
    if not rows:
        return ""
    head = f"| input | {' | '.join(entries)} |\n|---|{'--:|' * len(entries)}\n"
    return f"\n### {title}\n\n{head}" + "\n".join(rows) + "\n"


def _cell(cost: dict[str, float] | None) -> str:
    """`bytes a byte, microseconds a byte`."""
    if cost is None:
        return ""
    size, memory = max(int(cost["size"]), 1), int(cost["memory"])
    if size < _TOO_SMALL:
        return f"{memory / 1000:,.0f} kB, {1e3 * cost['cpu']:.0f} ms"
    return f"{_short(memory / size)}, {_short(1e6 * cost['cpu'] / size)}"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


_HEAD = """
## What a hostile peer can take

Peak memory above idle is at most [`most_bytes`](reference/transports.admission.md) for an association, whatever its
peer does, plus what a handler keeps: a function that is given a data set whole, or decoded, holds what `Limits` lets it
be. Processor time grows linearly with the bytes. `tests/cost` sends inputs of each kind to each entry point and checks
both.
"""
_MEASURED = """
The tables show what they took: bytes of memory and microseconds of processor time for each byte on the wire. The engine
is measured by itself, in Python's own count of memory; everything else as processes, in resident memory, of which some
megabytes are kept whatever comes. For inputs below 16 kB the table has totals. `make cost` measures again.
"""

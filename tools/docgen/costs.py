"""The section of docs/limits.md about the cost of hostile input, from the measurements of `make cost`."""

from __future__ import annotations

import json
from typing import Any

from tests.cost import bounds

from .source import CHECKOUT

RESULTS = CHECKOUT / "tests/cost/results.json"
_CALM = 0.75
"""The load for each processor up to which a machine counts as idle except for the measurement."""
_TOO_SMALL = 16 << 10
"""Bytes on the wire below which a ratio is meaningless; the table shows the total memory instead."""
_TABLES = (
    ("Providers of the library, attacked by a user", "user", ("engine", "serve", "Application")),
    ("Providers of the command, attacked by a user", "user", ("storescp", "echoscp", "movescu --store-port")),
    ("The endpoint of the counters, attacked by a client", "http", ("metrics",)),
    ("Users, attacked by a provider", "provider", ("engine", "connect", "echoscu", "storescu", "findscu", "getscu",
                                                   "movescu")),
    ("Decoding a data set, and checking one", "content", ("datasets", "Checker")),
)  # fmt: skip


def section() -> str:
    """The section, as Markdown."""
    said = _HEAD + _decoded()
    if not RESULTS.exists():
        return said
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    tables = [_table(title, found, side, starts) for title, side, starts in _TABLES]
    about = f"CPython {found['python']}, inputs of {found['size'] >> 10:,} KiB or the share of it that the kind allows"
    machine = f"a machine of {found['cores']} processors"
    if found["load"] > found["cores"] * _CALM:
        machine += (
            f" with other work on it (a load of {found['load']}):\n"
            "processor time is up to twice that of an idle machine; memory is the same"
        )
    return said + _MEASURED + f"\nMeasured with {about},\non {machine}.\n" + "".join(tables)


def _decoded() -> str:
    """The memory that a decoded data set may take within the default `Limits`."""
    whose = (("composite object", True, "collected"), ("identifier or attribute list", False, "attributes"))
    rows = []
    for what, of_object, longest in whose:
        made, whole = bounds.most_decoded(bounds.LIMITS, of_object=of_object)
        prefix = "object_" if of_object else ""
        terms = " + ".join(
            f"`{prefix}{name}` x {size:,}"
            for name, size in (("elements", bounds.ELEMENT), ("items", bounds.ITEM), ("values", bounds.VALUE))
        )
        rows.append(f"| {what} | {terms} + `{longest}` x {bounds.WHOLE} | {(made + whole) / 1e6:,.0f} MB |")
    return _DECODED.format(
        rows="\n".join(rows), ratio=bounds.LIMITS.inflate_elements, first=bounds.LIMITS.inflate_unjudged_elements
    )


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

Whatever its peer does, an association takes at most [`most_bytes`](reference/transports.serving.md#most_bytes) of
memory above idle, plus what your handler keeps. Processor time grows linearly with the bytes.
"""
_DECODED = """
A function that takes a whole or decoded data set holds it in addition, up to the bounds of `Limits`. In bytes, at most:

| one decoded | bytes | by default |
|---|---|--:|
{rows}

A peer reaches a limit only by sending bytes: at least 8 for an element or an item, one for a value. From deflated
data, {first:,} elements and items are read, and {ratio} more for each byte. If your server decodes large objects of
strangers, lower `object_elements`, `object_items` and `object_values`, or read the objects in pieces.
"""
_MEASURED = """
`tests/cost` sends inputs of each kind to each entry point. The tables show the cost: bytes of memory and microseconds
of processor time for each byte on the wire. The engine is measured by itself, in Python's own count of memory;
everything else as processes, in resident memory, some megabytes of which are never given back. For inputs below 16 kB
the table has totals. The engine is measured with a `Limits.peer_max_length` of 8. `make cost` measures again. An
empty cell was not measured: `make cost` sends every input to an entry, the tests send a selection, and an entry may
have been measured with either.
"""

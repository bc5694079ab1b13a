"""The score as text and as JSON.

Knows: outcomes. Must not know: how they were reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dicos_transports.cli.text import shown

from .outcomes import Found, Outcome

__all__ = ["as_json", "line_of", "table", "total"]

_HEAD = ("defect", "kind", "found as", "after", "conversations", "reproducer", "again", "others")


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns a table of all outcomes, a line for each defect."""
    rows = [_HEAD, *(_row(one) for one in outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join((lines[0], "  ".join("-" * width for width in widths), *lines[1:]))


def _row(one: Outcome) -> tuple[str, ...]:
    found, kind = one.found, "" if one.defect is None else one.defect.kind.value
    others = ", ".join(f"{oracle} {count}x" if count > 1 else oracle for oracle, count in _oracles(one.others))
    if found is None:
        what = ("nothing planted" if one.defect is None else "-") if not one.trouble else shown(one.trouble, 60)
        return one.name, kind, what, "", "", "", "", others
    size = "" if found.size is None else f"{found.size} bytes, {found.steps} steps"
    again = f"{found.replayed[0]} of {found.replayed[1]}" if found.replayed[1] else ""
    return one.name, kind, found.oracle, f"{found.seconds:.1f} s", str(found.conversations), size, again, others


def _oracles(found: Sequence[Found]) -> list[tuple[str, int]]:
    return Counter(one.oracle for one in found).most_common()


def total(outcomes: Sequence[Outcome], seconds: float) -> str:
    """Returns the last lines: found of planted, false findings, time."""
    planted = [one for one in outcomes if one.defect is not None]
    found = [one for one in planted if one.found is not None]
    missed = [one.name for one in planted if one.found is None]
    lines = [f"{len(found)} of {len(planted)} planted defects found in {seconds:.0f} s"]
    if missed:
        lines.append(f"not found: {', '.join(missed)}")
    for one in outcomes:
        if one.defect is None:
            false = one.trouble or f"{len(one.others)} false findings in {one.conversations} conversations"
            lines.append(f"provider without a defect: {shown(false, 200)}")
            lines += [f"  {shown(found.id)}: {shown(found.detail, 200)}" for found in one.others]
    return "\n".join(lines)


def line_of(one: Outcome) -> str:
    """Returns one line about one outcome, for the time while others still run."""
    if one.trouble:
        return f"{one.name}: {shown(one.trouble, 200)}"
    if one.defect is None:
        return f"{one.name}: {len(one.others)} findings in {one.seconds:.0f} s"
    if one.found is None:
        return f"{one.name}: not found in {one.seconds:.0f} s"
    return f"{one.name}: {one.found.oracle} after {one.found.seconds:.1f} s"


def as_json(one: Outcome) -> dict[str, object]:
    """Returns one outcome as a JSON object."""
    found = one.found
    return {
        "event": "defect",
        "defect": one.name,
        "kind": None if one.defect is None else one.defect.kind.value,
        "found": None if found is None else found.id,
        "oracle": None if found is None else found.oracle,
        "after": None if found is None else found.seconds,
        "after_conversations": None if found is None else found.conversations,
        "reproducer_bytes": None if found is None else found.size,
        "reproducer_steps": None if found is None else found.steps,
        "conversations": one.conversations,
        "seconds": round(one.seconds, 1),
        "others": [other.id for other in one.others],
        "trouble": one.trouble,
    }

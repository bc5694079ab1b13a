"""The page of measurements in docs/: its tables and its plot, made from the JSON of one run, which is kept here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .report import number, report, size_of
from .results import Measured, Result
from .workloads import ROOT

RESULTS: Final = "benchmarks/results.json"
PAGE: Final = "docs/performance.md"
PLOT: Final = "docs/performance.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

_COLOURS: Final = {"bare sockets": "#9aa0a6", "dicos-proto": "#1a73e8", "DCMTK": "#e8710a", "pynetdicom": "#9334e6"}
_PANELS: Final = (("sink", "1k"), ("sink", "300m"), ("disk", "300m"), ("tls", "300m"), ("echo", "echo"))
_PANEL_TITLES: Final = {
    "sink": "to a sink",
    "disk": "disk to disk",
    "tls": "to a sink, TLS",
    "echo": "one after another",
}
_WIDTH, _LEFT, _BAR, _GAP, _HEAD, _PAD = 760, 210, 18, 6, 34, 14


def write(measured: Measured, root: Path = ROOT) -> None:
    """Write the JSON, the page and the plot."""
    measured.write(root / RESULTS)
    (root / PAGE).write_text(filled((root / PAGE).read_text(), measured))
    (root / PLOT).write_text(plot(measured))


def filled(text: str, measured: Measured) -> str:
    """The page `text` with these measurements between its two marks. Raises ValueError if they are missing."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"no {BEGIN} and {END} in the page")
    return "\n".join([before + BEGIN, "", *report(measured)]).rstrip() + f"\n\n{END}{after}"


def plot(measured: Measured) -> str:
    """An SVG with bars of rates: a panel for each of some groups, each with its own scale."""
    panels = []
    for group, size in _PANELS:
        found = [one for one in measured.results.values() if (one.group, one.what) == (group, size) and one.runs]
        if found:
            panels.append((f"{size_of(found[0])}, {_PANEL_TITLES[group]}", found))
    lines: list[str] = []
    at = _PAD
    for title, found in panels:
        lines += _panel(title, found, at)
        at += _HEAD + len(found) * (_BAR + _GAP)
    size = f'width="{_WIDTH}" height="{at + _PAD}" viewBox="0 0 {_WIDTH} {at + _PAD}"'
    style = 'font-family="sans-serif" font-size="12"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', *lines, "</svg>", ""])


def _panel(title: str, found: list[Result], at: int) -> Iterator[str]:
    unit = "objects/s" if found[0].unit == "/s" and found[0].size else found[0].unit
    yield f'<text x="{_PAD}" y="{at + 18}" font-weight="bold" fill="#5f6368">{title} ({unit})</text>'
    most = max(one.best_known or 0 for one in found) or 1
    room = _WIDTH - _LEFT - 90
    for index, one in enumerate(found):
        y = at + _HEAD - 6 + index * (_BAR + _GAP)
        rate = one.best_known or 0
        width = max(1, round(room * rate / most))
        colour = next((each for name, each in _COLOURS.items() if one.title.startswith(name)), "#000000")
        yield f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end" fill="#5f6368">{one.title}</text>'
        yield f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" fill="{colour}"/>'
        yield f'<text x="{_LEFT + width + 6}" y="{y + 13}" fill="#5f6368">{number(rate)}</text>'

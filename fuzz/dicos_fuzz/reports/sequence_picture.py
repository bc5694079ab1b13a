"""The timeline of a finding as a picture: two lines, the fuzzer and the peer, and what went from one to the other.

Knows: SVG, transcripts as `findings.transcripts` gives them. Must not know: the page around it.

Invariant: every text is escaped, and cut to what fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from dicos_transports.cli.text import shown

from ..conversation import What
from ..findings.transcripts import Told

__all__ = ["sequence_picture"]

_WIDTH, _US, _PEER = 840, 150, 770
_MIDDLE: Final = (_US + _PEER) // 2
_MOST: Final = 60
"""Rows; the rest is counted."""
_MOST_FAULTS: Final = 4
_TITLE, _FAULT = 72, 98
"""Characters that fit between the two lines."""
_BAD: Final = (What.UNANSWERED, What.RESET, What.REFUSED)


def sequence_picture(found: Sequence[Told], name: str) -> Iterator[str]:
    """Yields the picture of what `transcripts.told` returned, as SVG. `name`: an identifier that no other picture of
    the page has."""
    several = len({one.connection for one in found} - {-1}) > 1
    rows = found[:_MOST]
    height = 56 + sum(_height(one) for one in rows) + (24 if len(found) > _MOST else 0) + 12
    about = f"{len(found)} events between the fuzzer and the peer"
    yield f'<svg class="sequence" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Timeline: {about}">'
    yield "<defs>"
    for tip in ("tip", "bad"):
        yield f'<marker id="{name}-{tip}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
        yield f' orient="auto" markerUnits="userSpaceOnUse"><path class="{tip}" d="M0 0 8 4 0 8z"/></marker>'
    yield "</defs>"
    for x, title in ((_US, "dicos fuzz"), (_PEER, "peer")):
        yield f'<rect class="head" x="{x - 60}" y="6" width="120" height="28" rx="8"/>'
        yield f'<text class="who" x="{x}" y="25">{title}</text>'
        yield f'<line class="life" x1="{x}" y1="34" x2="{x}" y2="{height - 6}"/>'
    y = 56
    for one in rows:
        yield from _row(one, y, several, name)
        y += _height(one)
    if len(found) > _MOST:
        yield f'<text class="event" x="{_MIDDLE}" y="{y + 14}">... and {len(found) - _MOST} more events</text>'
    yield "</svg>"


def _height(one: Told) -> int:
    if not one.size:
        return 30
    faults = min(len(one.faults), _MOST_FAULTS)
    return 36 + 15 * faults


def _row(one: Told, y: int, several: bool, name: str) -> Iterator[str]:
    yield f'<text class="time" x="{_US - 72}" y="{y + 18}">{one.at:.3f} s</text>'
    number = f"#{one.connection} " if several and one.connection >= 0 else ""
    if not one.size:
        bad = " bad" if one.what in _BAD else ""
        text = number + one.title + (f": {one.note}" if one.note else "")
        yield f'<line class="pause{bad}" x1="{_US}" y1="{y + 14}" x2="{_PEER}" y2="{y + 14}"/>'
        yield f'<text class="event{bad}" x="{_MIDDLE}" y="{y + 18}">{_fits(text, _TITLE)}</text>'
        return
    start, end = (_US, _PEER) if one.what is What.SENT else (_PEER, _US)
    wrong, tip = (" wrong", "bad") if one.faults else ("", "tip")
    pieces = f" in {one.pieces} pieces" if one.pieces > 1 else ""
    yield f'<text class="label" x="{_MIDDLE}" y="{y + 12}">{_fits(number + one.title, _TITLE - 22)}'
    yield f'<tspan class="bytes"> {one.size:,} B{pieces}</tspan></text>'
    yield (
        f'<line class="arrow{wrong}" x1="{start}" y1="{y + 18}" x2="{end}" y2="{y + 18}" '
        f'marker-end="url(#{name}-{tip})"/>'
    )
    for line, fault in enumerate(_faults(one)):
        yield f'<text class="fault" x="{_MIDDLE}" y="{y + 33 + 15 * line}">{_fits(fault, _FAULT)}</text>'


def _faults(one: Told) -> list[str]:
    if len(one.faults) <= _MOST_FAULTS:
        return list(one.faults)
    return [*one.faults[: _MOST_FAULTS - 1], f"... and {len(one.faults) - _MOST_FAULTS + 1} more changes"]


def _fits(text: str, most: int) -> str:
    found = shown(text, 4 * most)
    return escape(found if len(found) <= most else f"{found[: most - 3]}...")

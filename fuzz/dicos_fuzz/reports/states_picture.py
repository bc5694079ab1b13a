"""The states of table 9-10 as a picture: which a peer was in, and the transitions that were seen.

Knows: SVG, the layout, the meaning of each state. Must not know: the page around it (its style sheet has the colours).

Sta13, in which every fault ends, is a bar at the top, Sta1, the idle state, one at the bottom; the others stand between
them in the order in which they follow each other. So no line crosses a state. Transitions that were never seen are
dashed; those that table 9-10 does not have are not drawn, the table below the picture has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from math import log10
from typing import Final

from .visiting import POSSIBLE

__all__ = ["MEANINGS", "states_picture"]

MEANINGS: Final = {
    "Sta1": "idle",
    "Sta2": "awaiting the A-ASSOCIATE-RQ",
    "Sta3": "awaiting the user's answer to it",
    "Sta4": "awaiting the connection",
    "Sta5": "awaiting the A-ASSOCIATE-AC or -RJ",
    "Sta6": "association established",
    "Sta7": "awaiting the A-RELEASE-RP",
    "Sta8": "awaiting the user's release response",
    "Sta9": "release collision, requestor: awaiting the user",
    "Sta10": "release collision, acceptor: awaiting the A-RELEASE-RP",
    "Sta11": "release collision, requestor: awaiting the A-RELEASE-RP",
    "Sta12": "release collision, acceptor: awaiting the user",
    "Sta13": "awaiting the end of the connection",
}
"""The states [PS3.8 tables 9-1 to 9-5]."""
_SHORT: Final = {
    "Sta2": ("awaits", "A-ASSOC.-RQ"),
    "Sta3": ("awaits", "user's answer"),
    "Sta4": ("awaits", "connection"),
    "Sta5": ("awaits", "A-ASSOC.-AC"),
    "Sta6": ("association", "established"),
    "Sta7": ("awaits", "A-RELEASE-RP"),
    "Sta8": ("awaits", "user's release"),
    "Sta9": ("collision:", "awaits user"),
    "Sta10": ("collision:", "awaits RP"),
    "Sta11": ("collision:", "awaits RP"),
    "Sta12": ("collision:", "awaits user"),
}
_ROW: Final = ("Sta4", "Sta5", "Sta2", "Sta3", "Sta6", "Sta8", "Sta7", "Sta9", "Sta11", "Sta10", "Sta12")
_STEP, _WIDE, _HIGH = 98, 72, 66
_LEFT, _TOP, _MIDDLE, _BOTTOM, _BAR = 16, 24, 166, 338, 40
_WIDTH: Final = 2 * _LEFT + _STEP * len(_ROW) + 34
_HEIGHT: Final = _BOTTOM + _BAR + 16
_X: Final = {name: _LEFT + _STEP * at + _STEP // 2 for at, name in enumerate(_ROW)}
_SIDE: Final = _WIDTH - _LEFT - 14
"""The column of the transition from Sta13 to Sta1."""


def states_picture(states: Mapping[str, int], transitions: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Yields the picture as SVG."""
    visited = sum(1 for name in MEANINGS if states.get(name))
    seen = sum(1 for one in POSSIBLE if transitions.get(one))
    yield f'<svg class="states" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="st sd">'
    yield '<title id="st">States of the peer</title>'
    yield f'<desc id="sd">{visited} of 13 states visited, {seen} of {len(POSSIBLE)} transitions seen.</desc>'
    yield _MARKERS
    for before, after in sorted(POSSIBLE, key=lambda one: (transitions.get(one, 0) > 0, one)):
        yield from _edge(before, after, transitions.get((before, after), 0))
    yield from _bar("Sta13", _TOP, states.get("Sta13", 0))
    yield from _bar("Sta1", _BOTTOM, states.get("Sta1", 0))
    for name in _ROW:
        yield from _node(name, states.get(name, 0))
    for before, after in sorted(POSSIBLE):
        if transitions.get((before, after)):
            yield from _count(before, after, transitions[before, after])
    yield "</svg>"


_MARKERS: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" '
    'markerUnits="userSpaceOnUse"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>'
)


def _node(name: str, visits: int) -> Iterator[str]:
    x, y = _X[name] - _WIDE // 2, _MIDDLE
    yield f'<g class="{"state on" if visits else "state"}"><title>{name}: {escape(MEANINGS[name])}</title>'
    yield f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" rx="10"/>'
    yield f'<text class="name" x="{_X[name]}" y="{y + 19}">{name}</text>'
    for line, text in enumerate(_SHORT[name]):
        yield f'<text class="short" x="{_X[name]}" y="{y + 32 + 11 * line}">{escape(text)}</text>'
    yield f'<text class="visits" x="{_X[name]}" y="{y + 59}">{_number(visits) if visits else "never"}</text></g>'


def _bar(name: str, y: int, visits: int) -> Iterator[str]:
    yield f'<g class="{"state on" if visits else "state"}"><title>{name}: {escape(MEANINGS[name])}</title>'
    yield f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH - 2 * _LEFT}" height="{_BAR}" rx="10"/>'
    yield f'<text class="name" x="{_LEFT + 44}" y="{y + 25}">{name}</text>'
    yield f'<text class="short left" x="{_LEFT + 74}" y="{y + 24}">{escape(MEANINGS[name])}</text>'
    x = _WIDTH - _LEFT - 74
    yield f'<text class="visits right" x="{x}" y="{y + 25}">{_number(visits) if visits else "never"}</text></g>'


def _number(count: int) -> str:
    return f"{count:,}" if count < 1_000_000 else f"{count / 1e6:.1f} M"


def _edge(before: str, after: str, times: int) -> Iterator[str]:
    width = f' style="stroke-width:{1.3 + 0.55 * log10(times):.2f}"' if times else ""
    tip = ' marker-end="url(#tip)"' if times else ""
    yield f'<path class="{"edge on" if times else "edge"}" d="{_path(before, after)}"{width}{tip}/>'


def _path(before: str, after: str) -> str:
    if before == after:
        return f"M{_SIDE - 40} {_TOP} v-12 h24 v11" if before == "Sta13" else _loop(before)
    if (before, after) == ("Sta13", "Sta1"):
        return f"M{_SIDE} {_TOP + _BAR} V{_BOTTOM - 2}"
    if after == "Sta13":
        return f"M{_X[before] - 10} {_MIDDLE} V{_TOP + _BAR + 2}"
    if after == "Sta1":
        return f"M{_X[before] - 10} {_MIDDLE + _HIGH} V{_BOTTOM - 2}"
    if before == "Sta1":
        return f"M{_X[after] + 16} {_BOTTOM} V{_MIDDLE + _HIGH + 2}"
    return _between(before, after)


def _loop(name: str) -> str:
    return f"M{_X[name] + 9} {_MIDDLE + _HIGH} v15 h18 v-14"


def _between(before: str, after: str) -> str:
    """Neighbours by a line, others by an arc over those between them."""
    left, right = _X[before], _X[after]
    if right - left == _STEP:
        return f"M{left + _WIDE // 2} {_MIDDLE + 40} H{right - _WIDE // 2 - 1}"
    high = _MIDDLE - 26 - (right - left) // 12
    return f"M{left + 4} {_MIDDLE} C{left + 14} {high} {right - 30} {high} {right - 20} {_MIDDLE - 1}"


def _count(before: str, after: str, times: int) -> Iterator[str]:
    if before == after:
        x, y = (_SIDE - 28, _TOP - 15) if before == "Sta13" else (_X[before] + 18, _MIDDLE + _HIGH + 27)
    elif (before, after) == ("Sta13", "Sta1"):
        x, y = _SIDE, (_MIDDLE + _BOTTOM) // 2
    elif after == "Sta13":
        x, y = _X[before] - 10, _TOP + _BAR + 26
    elif after == "Sta1":
        x, y = _X[before] - 10, _MIDDLE + _HIGH + 34
    elif before == "Sta1":
        x, y = _X[after] + 16, _MIDDLE + _HIGH + 60
    elif _X[after] - _X[before] == _STEP:
        x, y = (_X[before] + _X[after]) // 2, _MIDDLE + 34
    else:
        left, right = _X[before], _X[after]
        x, y = (left + right) // 2 - 8, _MIDDLE - 17 - (right - left) // 16
    yield f'<text class="count" x="{x}" y="{y}">{_short(times)}<title>{times:,}</title></text>'


def _short(count: int) -> str:
    """A number in at most four characters, as `9.9k`."""
    for most, divisor, unit in ((10**3, 1, ""), (10**6, 10**3, "k"), (10**9, 10**6, "M")):
        if count < most:
            return (
                f"{count / divisor:.1f}{unit}" if divisor > 1 and count < 10 * divisor else f"{count // divisor}{unit}"
            )
    return f"{count // 10**9}G"

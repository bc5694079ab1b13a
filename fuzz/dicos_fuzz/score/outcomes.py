"""The outcome of a campaign against one broken provider: what was found, and whether it is the planted defect.

Knows: defects, the JSON events of `dicos fuzz`. Must not know: processes, how a score is shown.

A finding counts only if its oracle and its words fit the defect. The provider has no other defect, so any other finding
is an effect of the same one, or false: it is listed, and does not count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..broken.defects import Defect

__all__ = ["Found", "Outcome", "findings_of", "fits", "outcome_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One finding as `dicos fuzz --json` tells it. `seconds`, `conversations`: until its first run. `size`: bytes that
    its minimised conversation sends, and `steps` of it; None if it was not made small. `replayed`: (times shown, times
    tried)."""

    id: str
    oracle: str
    severity: str
    clause: str
    reaction: str
    detail: str
    conversation: str
    seconds: float
    conversations: int
    size: int | None
    steps: int | None
    replayed: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one campaign. `defect`: None for the provider without one. `found`: the first finding that is the
    defect. `others`: all that are not. `seconds`: how long it ran. `trouble`: why the campaign failed, empty if it did
    not."""

    defect: Defect | None
    found: Found | None = None
    others: tuple[Found, ...] = ()
    seconds: float = 0.0
    conversations: int = 0
    trouble: str = ""

    @property
    def name(self) -> str:
        """The name of the defect."""
        return "none" if self.defect is None else self.defect.name


def fits(found: Found, defect: Defect) -> bool:
    """Returns True if a finding is the discovery of a defect."""
    said = " | ".join((found.clause, found.reaction, found.detail, found.conversation))
    return found.oracle in defect.oracles and re.search(defect.words, said, re.IGNORECASE) is not None


def outcome_of(defect: Defect | None, lines: Iterable[str], *, seconds: float = 0.0, trouble: str = "") -> Outcome:
    """Returns the outcome that the JSON lines of a campaign tell. A campaign without a summary has failed."""
    events = [*_events(lines)]
    all_of_them = findings_of(events)
    first = None
    if defect is not None:
        first = min((one for one in all_of_them if fits(one, defect)), key=lambda one: one.seconds, default=None)
    summary = next((one for one in reversed(events) if one.get("event") == "summary"), None)
    if summary is None:
        trouble = trouble or "it ended without a summary"
        summary = {}
    return Outcome(
        defect=defect,
        found=first,
        others=tuple(one for one in all_of_them if defect is None or not fits(one, defect)),
        seconds=seconds,
        conversations=_whole(summary.get("conversations")) or 0,
        trouble=trouble,
    )


def _events(lines: Iterable[str]) -> Iterable[dict[str, object]]:
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:  # a campaign that was ended in the middle of a line
            continue
        if isinstance(found, dict):
            yield found


def findings_of(events: Iterable[dict[str, object]]) -> tuple[Found, ...]:
    """Returns the findings of a campaign, each once, by its last event, in the order of their discovery."""
    told: dict[str, dict[str, object]] = {}
    for event in events:
        several = event.get("found") if event.get("event") == "summary" else [event]
        for one in several if isinstance(several, list) else []:
            if isinstance(one, dict) and (one is not event or event.get("event") == "finding"):
                told[str(one.get("id"))] = told.get(str(one.get("id")), {}) | one
    return tuple(sorted(map(_found, told.values()), key=lambda one: one.seconds))


def _found(told: dict[str, object]) -> Found:
    replayed = told.get("replayed")
    shown, tried = (
        replayed if isinstance(replayed, list) and len(replayed) == 2 else (told.get("shown"), told.get("tried"))
    )
    small = bool(told.get("minimised"))
    seconds = told.get("seconds")
    return Found(
        id=str(told.get("id")),
        oracle=str(told.get("oracle")),
        severity=str(told.get("severity")),
        clause=str(told.get("clause")),
        reaction=str(told.get("reaction")),
        detail=str(told.get("detail")),
        conversation=f"{told.get('scenario', told.get('conversation', ''))} {told.get('about', '')}",
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        conversations=_whole(told.get("conversations")) or 0,
        size=_whole(told.get("bytes")) if small else None,
        steps=_whole(told.get("steps")) if small else None,
        replayed=(_whole(shown) or 0, _whole(tried) or 0),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None

"""The faults of one direction that have not struck yet: at which byte, in which PDU, at what time.

Knows: positions, PDUs by their numbers, times. Must not know: bytes, what a fault does.

Invariant: faults at one position are due in the order of their plan.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

from ..grammar.reading import PDU_NAMES
from .effects import (
    FORM_OF,
    About,
    After,
    At,
    Change,
    Drop,
    Duplicate,
    EditPdu,
    Every,
    Pdu,
    Truncate,
)
from .plan import Fault

__all__ = ["Triggers"]

Numbered = tuple[int, Fault]
NEVER: Final = 1 << 62
"""A position that is never reached."""
NOTHING: Final[list[Numbered]] = []


class Triggers:
    """The faults of one direction, by the place at which they are due."""

    def __init__(self, faults: Sequence[Numbered], random: Random) -> None:
        self._random = random
        self._heap: list[tuple[int, int, Fault]] = []  # position, number
        self._in_pdus: list[Numbered] = []
        self._timed: list[tuple[float, int, Fault]] = []  # a heap too
        self._here: list[tuple[int, int, Fault]] = []  # a heap, of places in the present PDU
        self._seen: Counter[str] = Counter()
        self._began: float | None = None
        for number, fault in faults:
            match fault.place:
                case At(offset=offset):
                    self._heap.append((offset, number, fault))
                case Every(size=gap):
                    self._heap.append((gap, number, fault))
                case About(size=gap):
                    self._heap.append((self._gap(gap), number, fault))
                case Pdu():
                    self._in_pdus.append((number, fault))
                case After(seconds=seconds):
                    self._timed.append((seconds, number, fault))
        heapq.heapify(self._heap)
        heapq.heapify(self._timed)
        self.nearest = NEVER
        """The position of the next place."""
        self._look_up()
        self.needs_pdus = bool(self._in_pdus) or any(_is_of_pdu(fault) for _, fault in faults)
        """True if the bytes must be read as PDUs."""

    @property
    def timed(self) -> bool:
        """True if anything may still strike at a time."""
        return bool(self._timed)

    @property
    def left(self) -> bool:
        """True if anything may still strike."""
        return bool(self._heap or self._in_pdus or self._timed or self._here)

    def _gap(self, size: int) -> int:
        return self._random.randint(1, 2 * size - 1)

    # -- positions -----------------------------------------------------------------------------------------------

    def due(self, at: int, *, more: bool) -> list[Numbered]:
        """Takes the faults whose place is reached. `more`: the byte behind it is there, for those that need it."""
        if at < self.nearest:
            return NOTHING
        found = self._due(self._heap, at, more=more)
        if self._here:
            found += self._due(self._here, at, more=more)
        for number, fault in found:
            match fault.place:
                case Every(size=gap):
                    heapq.heappush(self._heap, (at + gap, number, fault))
                case About(size=gap):
                    heapq.heappush(self._heap, (at + self._gap(gap), number, fault))
        if len(found) > 1:
            found.sort(key=lambda one: one[0])
        self._look_up()
        return found

    def _look_up(self) -> None:
        self.nearest = self._heap[0][0] if self._heap else NEVER
        if self._here and self._here[0][0] < self.nearest:
            self.nearest = self._here[0][0]

    def _due(self, heap: list[tuple[int, int, Fault]], at: int, *, more: bool) -> list[Numbered]:
        found: list[Numbered] = []
        waiting: list[tuple[int, int, Fault]] = []
        while heap and heap[0][0] <= at:
            one = heapq.heappop(heap)
            if more or FORM_OF[type(one[2].effect)].at_once:
                found.append((one[1], one[2]))
            else:
                waiting.append(one)
        for one in waiting:
            heapq.heappush(heap, one)
        return found

    # -- PDUs ----------------------------------------------------------------------------------------------------

    def begin_pdu(self, kind: int, at: int) -> None:
        """A PDU begins at this position. Places of the one before that were not reached are forgotten."""
        self._here.clear()
        name = PDU_NAMES.get(kind, "")
        self._seen["any"] += 1
        self._seen[name] += 1
        kept: list[Numbered] = []
        for number, fault in self._in_pdus:
            place = fault.place
            assert isinstance(place, Pdu)
            if place.kind in ("any", name) and place.number in (0, self._seen[place.kind]):
                heapq.heappush(self._here, (at + place.offset, number, fault))
            if not place.number or self._seen[place.kind] < place.number:
                kept.append((number, fault))
        self._in_pdus = kept
        self._look_up()

    # -- time ----------------------------------------------------------------------------------------------------

    def deadline(self, now: float) -> float | None:
        """Returns the time of the next fault that strikes at a time. The first call is the beginning."""
        if not self._timed:
            return None
        if self._began is None:
            self._began = now
        return self._began + self._timed[0][0]

    def handle_timeout(self, now: float, at: int) -> list[Numbered]:
        """Takes the faults whose time has come and that need no byte; the others are due with the next one."""
        found: list[Numbered] = []
        while self._timed and self._began is not None and self._began + self._timed[0][0] <= now:
            _, number, fault = heapq.heappop(self._timed)
            if FORM_OF[type(fault.effect)].at_once:
                found.append((number, fault))
            else:
                heapq.heappush(self._heap, (at, number, fault))
                self._look_up()
        return found


def _is_of_pdu(fault: Fault) -> bool:
    effect = fault.effect
    if isinstance(effect, Drop | Duplicate):
        return effect.size is None
    return isinstance(effect, EditPdu | Change | Truncate)

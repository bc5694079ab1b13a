"""Damage to bytes in flight, as a tape says: changed bits, lost, repeated and moved pieces, cuts.

Knows: bytes. Must not know: what they are. Invariants: bytes that a tape does not name are passed on; the same tape
does the same to the same bytes in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .tape import Tape

__all__ = ["Damage", "Harm"]

_KINDS: Final = ("none", "split", "flip", "drop", "repeat", "insert", "cut", "swap")
_MOST: Final = 4


@dataclass(frozen=True, slots=True)
class Harm:
    """One deed: its kind, the number of the byte where it strikes, and a value."""

    kind: str
    at: int
    value: int


class Damage:
    """The damage in one direction: up to four deeds at numbered bytes."""

    def __init__(self, tape: Tape, longest: int) -> None:
        """`longest`: the number of bytes among which it strikes, about."""
        harms = []
        for _ in range(tape.below(_MOST + 1)):
            kind = tape.pick(_KINDS)
            harms.append(Harm(kind, tape.below(longest), tape.byte()))
        self._harms = sorted((one for one in harms if one.kind != "none"), key=lambda one: one.at)
        self._passed = 0
        self._ended = False
        self.harmful = any(one.kind not in ("none", "split") for one in self._harms)
        """True if it may change the bytes."""
        self.struck = False
        """True once it has changed some."""

    def alter(self, data: bytes) -> list[bytes]:
        """Returns the chunks that arrive in place of `data`."""
        if self._ended:
            return []
        found: list[bytes] = []
        begin = 0
        start = self._passed
        self._passed += len(data)
        while self._harms and self._harms[0].at < self._passed:
            harm = self._harms.pop(0)
            at = max(harm.at - start, begin)
            if at >= len(data):
                break  # the one before took all that is left
            if harm.kind == "split":
                found.append(data[begin:at])
                begin = at
                continue
            self.struck = True
            found.append(data[begin:at])
            piece = 1 + harm.value
            if harm.kind == "cut":
                self._ended = True
                return [one for one in found if one]
            if harm.kind == "flip":
                found.append(bytes((data[at] ^ (harm.value or 1),)))
                begin = at + 1
            elif harm.kind == "drop":
                begin = at + piece
            elif harm.kind == "repeat":
                found.append(data[at : at + piece])
                begin = at
            elif harm.kind == "insert":
                found.append(bytes((harm.value,)) * (1 + harm.value % 7))
                begin = at
            else:
                found += [data[at + piece : at + 2 * piece], data[at : at + piece]]
                begin = at + 2 * piece
            begin = min(begin, len(data))
        found.append(data[begin:])
        return [one for one in found if one]

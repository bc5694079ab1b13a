"""Marks: what is wrong with a part of a conversation, and the clause that says so.

Knows: errors and deviations of the engine. Must not know: who shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import CLAUSES, EVERYTHING, Judge

__all__ = ["LIMITS", "Kind", "Mark", "deviations", "fresh_judge", "note", "violation"]

LIMITS = Limits(peer_max_length=8)
"""The limits of a trace: what is above them is marked, and skipped. Every Maximum Length is legal."""


_OURS = frozenset(("associate_pdu", "transfer_syntaxes", "unknown_items", "user_items", "command_set"))
"""The limits that are not rules of the standard."""


class Kind(Enum):
    """The weight of a mark."""

    VIOLATION = "violation"  # the standard forbids it, and no flag of `Tolerance` accepts it
    DEVIATION = "deviation"  # the standard forbids it; a flag of `Tolerance` accepts it
    NOTE = "note"  # about the recording, not about a peer


@dataclass(frozen=True, slots=True)
class Mark:
    """A fault, in one line without patient data. `clause`: the rule; empty for a note. `name`: of the flag."""

    kind: Kind
    text: str
    clause: str = ""
    name: str = ""

    def __str__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"{self.kind.value}{name}: {self.text}" + (f" [{self.clause}]" if self.clause else "")


def note(text: str) -> Mark:
    """Returns a mark about the recording."""
    return Mark(Kind.NOTE, text)


def violation(fault: Malformed | str, clause: str = "") -> Mark:
    """Returns the mark of a fault, or of a text with its clause. Beyond a limit that is not a rule of the standard,
    it is only a note."""
    if isinstance(fault, str):
        return Mark(Kind.VIOLATION, fault, clause)
    text, _, _ = str(fault).rpartition(" [")
    return note(f"not decoded: {text}") if fault.limit in _OURS else Mark(Kind.VIOLATION, text, fault.clause)


def fresh_judge() -> Judge:
    """Returns a judge that accepts every deviation, and remembers each of those it meets, once."""
    return Judge(LIMITS, EVERYTHING)


def deviations(judge: Judge) -> tuple[Mark, ...]:
    """Takes the deviations that a judge has met, as marks."""
    found = tuple(Mark(Kind.DEVIATION, detail, CLAUSES[name], name) for name, detail in judge.untold)
    judge.untold.clear()
    return found

"""The C-STORE sub-operations of a C-GET or C-MOVE as values: counters, and the outcome of each [PS3.4 C.4.2, C.4.3].

Knows: numbers and statuses. Must not know: messages, flows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..registry import status
from ..registry.status_tables import Category

MOST_COUNTED: Final = 0xFFFF
"""The largest value of a counter [PS3.7 E.1 (0000,1020) to (0000,1023), VR US]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Numbers of C-STORE sub-operations: remaining, completed, failed, completed with a warning [PS3.4 C.4.2.1.6]."""

    remaining: int = 0
    completed: int = 0
    failed: int = 0
    warning: int = 0

    @property
    def total(self) -> int:
        """The sum of the four numbers."""
        return self.remaining + self.completed + self.failed + self.warning


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOperation:
    """One C-STORE sub-operation: the instance, the status of the response, and its comment.

    `status` None: it was never sent, and `comment` explains which contexts were proposed and accepted, and what to try.
    """

    sop_class_uid: str
    sop_instance_uid: str
    status: int | None
    comment: str | None = None

    @property
    def category(self) -> Category:
        """The category: success, warning or failure."""
        return Category.FAILURE if self.status is None else status.category(self.status)

"""The interface of a campaign to those who follow it: findings, progress, notes.

Knows: findings, totals. Must not know: the loop of a campaign, how results are shown.
"""

from __future__ import annotations

from typing import Protocol

from ..conversation import Conversation, Transcript
from ..finding import Finding
from .settings import Totals

__all__ = ["Observer"]


class Observer(Protocol):
    """Follows a campaign."""

    def found(self, finding: Finding) -> None:
        """A new finding."""

    def progress(self, totals: Totals) -> None:
        """Called after each result, at most every tenth of a second."""

    def note(self, text: str) -> None:
        """Something that a person may want to know."""

    def played(self, conversation: Conversation, transcript: Transcript, *, new: bool) -> None:
        """A conversation was played. `new`: it showed a new reaction; the transcript may be empty if it did not."""

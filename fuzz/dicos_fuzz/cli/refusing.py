"""The error by which `dicos fuzz` and `dicos replay` end before they have done anything.

Knows: exit statuses. Must not know: what is refused.
"""

from __future__ import annotations

from dicos_transports.cli import USAGE

__all__ = ["Refused"]


class Refused(Exception):
    """The command cannot begin or go on; one line, and the exit status."""

    def __init__(self, text: str, status: int = USAGE) -> None:
        super().__init__(text)
        self.status = status

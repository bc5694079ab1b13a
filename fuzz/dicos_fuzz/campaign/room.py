"""Files on a disk that is full: findings and the state of a campaign come before its corpus.

Knows: errors of a full disk, the corpus. Must not know: what is written.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

__all__ = ["FULL", "GivesRoom", "with_room"]

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
"""The errors of a disk, or of a share of it, that is full."""


class GivesRoom(Protocol):
    """Something that can make room on a disk."""

    def give_room(self, folder: Path) -> bool:
        """Removes something from the disk of a folder. Returns False if there is nothing to remove."""


def with_room(write: Callable[[], object], folder: Path, corpus: GivesRoom | None) -> None:
    """Calls `write`, which writes into a folder; again, as long as the disk is full and the corpus gives room. Raises
    the OSError of the last time."""
    while True:
        try:
            write()
            return
        except OSError as error:
            if error.errno not in FULL or corpus is None or not corpus.give_room(folder):
                raise

"""The log file of a peer, as it grows: lines that were written since the last look.

Knows: files. Must not know: what a line means (`logs`).

A file that is not there yet is waited for, and one that is rotated or cut is read from its beginning again. Invariant:
a look reads at most `MOST` bytes, the last ones, however fast the file grows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["MOST", "LogFile"]

MOST: Final = 4 << 20


class LogFile:
    """A file that is followed from its end. Raises OSError if it is there and cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0  # of the file, which a rotation changes
        self._at = 0
        self._rest = b""
        try:
            with path.open("rb") as file:
                self._number, self._at = os.fstat(file.fileno()).st_ino, file.seek(0, os.SEEK_END)
        except FileNotFoundError:
            pass

    def lines(self) -> Iterator[str]:
        """Yields the complete lines since the last call. A file that cannot be read now has none."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._number or found.st_size < self._at:
                    self._number, self._at, self._rest = found.st_ino, 0, b""
                if found.st_size - self._at > MOST:
                    self._at, self._rest = found.st_size - MOST, b""
                file.seek(self._at)
                data = file.read(found.st_size - self._at)
                self._at += len(data)
        except OSError:
            return
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-MOST:]
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")

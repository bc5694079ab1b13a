"""The claim of a folder: one campaign at a time keeps its state there.

Knows: files, locks. Must not know: what is in the folder.

The claim is a lock on the file `lock`, which the system drops when the process ends, however it ends. A lock belongs to
the process, so the workers of a campaign do not prolong it. Without `fcntl` the file itself is the claim; one that a
killed campaign has left has to be removed by hand, as the error says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

__all__ = ["LOCK", "Claimed", "claim"]

LOCK: Final = "lock"
HAS_LOCKS = find_spec("fcntl") is not None
"""False where the system is not a Unix."""


class Claimed(Exception):
    """Another campaign has the folder; one line."""


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Claims a folder, which must be there. Raises `Claimed`, and OSError."""
    path = folder / LOCK
    file = _locked(path) if HAS_LOCKS else _exclusive(path)
    try:
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        yield
    finally:
        if not HAS_LOCKS:  # an open file may not be removed there
            os.close(file)
        with suppress(OSError):
            path.unlink()  # while it is locked: see `_locked`
        if HAS_LOCKS:
            os.close(file)


def _locked(path: Path) -> int:
    import fcntl

    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise Claimed(f"another campaign{_who(file)} is using it") from None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), path.stat()):
                    return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the campaign that had it has ended, and removed it, in between


def _exclusive(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        raise Claimed(f"another campaign is using it; if none is running, remove {path}") from None


def _who(file: int) -> str:
    number = os.pread(file, 20, 0)
    return f" (process {int(number)})" if number.isdigit() else ""

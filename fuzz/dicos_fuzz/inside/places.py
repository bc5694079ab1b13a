"""A folder of this process for files of targets, and counts of what a process holds.

Knows: the file system, /proc. Must not know: targets. Invariants: the folder goes with the process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from functools import cache
from pathlib import Path

__all__ = ["descriptors", "empty", "folder", "threads"]


@cache
def folder(name: str) -> Path:
    """Returns an empty folder of this name, in memory where the system offers that."""
    memory = Path("/dev/shm")
    within = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="dicos-fuzz-", dir=within)) / name
    made.mkdir()
    atexit.register(shutil.rmtree, made.parent, ignore_errors=True)
    return made


def empty(within: Path) -> list[Path]:
    """Removes all files of a folder. Returns their paths."""
    found = [Path(entry.path) for entry in os.scandir(within)]
    for path in found:
        path.unlink()
    return found


def descriptors() -> int:
    """Returns the number of open descriptors of this process; 0 if the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def threads(begin: str) -> list[str]:
    """Returns the names of this process's threads that begin with these letters."""
    return [one.name for one in threading.enumerate() if one.name.startswith(begin)]

"""The hidden names and locks of files that are being written, and the removal of those that killed processes left.

A writer holds a lock (flock) on its file, which ends with its process: `remove_stale_parts` removes the files whose
lock is free. On a file system where a free lock proves nothing, it also requires that they have not changed for a day.

Knows: names, locks, file systems. Must not know: what is in a file. Invariant: a file whose writer lives is never
removed.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import zlib
from contextlib import suppress
from functools import lru_cache
from time import time
from types import ModuleType
from typing import Final

__all__ = ["PREFIX", "STALE_AFTER", "STALE_AT_ONCE", "SUFFIX", "hidden_name", "keep", "lock_new", "remove_stale_parts"]

PREFIX: Final = ".dicos-"
"""The beginning of a hidden name."""
SUFFIX: Final = ".part"
"""The end of a hidden name."""
STALE_AFTER: Final = 24 * 3600.0
"""Seconds without a change after which a hidden file is stale, where a free lock proves nothing."""
STALE_AT_ONCE: Final = 10_000
"""The number of hidden files that one call of `remove_stale_parts` checks."""

# File systems on which another host's lock cannot be missed: a free lock proves that nobody writes.
_LOCAL = frozenset((
    "apfs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "jfs", "msdos", "ntfs3", "overlay",
    "ramfs", "reiserfs", "tmpfs", "ufs", "vfat", "xfs", "zfs",
))  # fmt: skip
_PART = re.compile(r"\.dicos-(?:(?P<kernel>[0-9a-f]{8})-)?[0-9a-f]{16}\.part")
"""A hidden name. Earlier releases, which took no locks, did not put the kernel into it."""
_TO_LOCK = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_TO_KEEP = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def remove_stale_parts(folder: str | os.PathLike[str], *, older_than: float = STALE_AFTER) -> int:
    """Removes the hidden files that killed processes have left in `folder`; returns the number of removed files.

    Call it before you start to write to the folder; `storescp`, `getscu` and `movescu` do so themselves. Other
    processes may be writing there at the same time: a file whose writer lives is never removed.

    A writer holds a lock on its file, so a free lock means that its process has ended. On network file systems, where
    the locks of other hosts may be invisible or locks may not exist, and for files of releases that took no locks, a
    file must also be unchanged for `older_than` seconds. Files with other names, files that are not regular and files
    to which this process may not write are kept. One call checks at most `STALE_AT_ONCE` files.
    Raises OSError if the folder cannot be read.
    """
    directory = os.path.abspath(folder)
    with os.scandir(directory) as entries:
        found = [match for entry in entries if (match := _PART.fullmatch(entry.name)) is not None]
    if not found:
        return 0
    local = _is_local(directory)
    before = time() - older_than
    return sum(
        _remove_stale(os.path.join(directory, part[0]), before, tells=local or part["kernel"] == _kernel())
        for part in found[:STALE_AT_ONCE]
    )


def _remove_stale(path: str, before: float, *, tells: bool) -> bool:
    """Returns True if the file was stale and is removed. `tells`: a free lock is enough, if its writer took a lock."""
    if (fcntl := _locks()) is None:
        return False
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return False
        old = status.st_mtime <= before
        fd = os.open(path, _TO_LOCK)
    except OSError:  # gone, or not ours
        return False
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # this file system has no locks
            tells = False
        takes_locks = _PART.fullmatch(os.path.basename(path))
        if not (old or (tells and takes_locks is not None and takes_locks["kernel"])):
            return False
        os.unlink(path)  # while it is locked: a writer that has just created it notices
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def keep(path: str, hidden: str) -> int:
    """Gives the file at `path` a second, hidden name, and locks it like a writer; returns the descriptor to close."""
    fd = os.open(path, _TO_KEEP)
    try:
        if (fcntl := _locks()) is not None:
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.link(path, hidden)
    except OSError:
        os.close(fd)
        raise
    return fd


@lru_cache(maxsize=1)
def _locks() -> ModuleType | None:
    """The module fcntl, imported only where files are written; None on Windows."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


def hidden_name() -> str:
    """A new hidden name."""
    return f"{PREFIX}{_kernel()}-{os.urandom(8).hex()}{SUFFIX}"


@lru_cache(maxsize=1)
def _kernel() -> str:
    """Identifies the running kernel: its processes see each other's locks on every file system."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            known = file.read(64)
    except OSError:
        known = repr(getattr(os, "uname", lambda: sys.platform)()).encode()
    return f"{zlib.crc32(known):08x}"


def lock_new(fd: int) -> bool:
    """Locks a new file; returns False if it has been removed as stale, or is about to be."""
    if (fcntl := _locks()) is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: the age decides
        return True
    return os.fstat(fd).st_nlink > 0


def _is_local(directory: str) -> bool:
    """Returns True if `directory` is known to be on a file system to which no other host writes."""
    real, kind, longest = os.path.realpath(directory), "", -1
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:  # proc(5): 36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw
                place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4])
                if len(place) >= longest and (real + "/").startswith(place.rstrip("/") + "/"):
                    kind, longest = line.partition(" - ")[2].partition(" ")[0], len(place)
    except (OSError, IndexError):
        return False
    return kind in _LOCAL

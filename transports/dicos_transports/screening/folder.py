"""The station's folder: where each file is, and how a file gets its name so that a power failure cannot lose it.

    FOLDER/index.sqlite     the index (`index`)
    FOLDER/station.lock     locked while a station uses the folder
    FOLDER/scans/           one file for each scan, as received
    FOLDER/reports/         threat detection reports
    FOLDER/pictures/        one picture for each scan
    FOLDER/aside/           objects that were refused, up to `ASIDE` bytes

Knows: names, files, fsync. Must not know: the index, what is in a file. Invariants: a file with a visible name is
complete and on disk; hidden files are removed at the next start; one station at a time uses a folder.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from dicos_proto.wire import Buffer

from ..files.temporary import hidden_name, lock_new, remove_stale_parts

__all__ = ["ASIDE", "OUT_OF_SPACE", "Folder", "FolderInUse", "Part", "is_full", "safe_name", "sync_folder"]

ASIDE: Final = 2 << 30
"""Most bytes of refused objects that are kept. Stops: a peer that fills the disk with objects nobody accepts."""
OUT_OF_SPACE: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""The errors of a disk that is full."""
_ATTEMPTS: Final = 8
_LONGEST: Final = 160
"""Bytes of a given name that are kept; a file system takes 255 in all."""
_SUFFIX: Final = 16


class FolderInUse(Exception):
    """Another station uses the folder."""


def is_full(error: BaseException | None) -> bool:
    """Returns True if an error, or the one that caused it, says that the disk is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in OUT_OF_SPACE:
            return True
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_FULL"):
            return True
        error = error.__cause__
    return False


def safe_name(name: str) -> str:
    """A file name as text that can be encoded, printed and added to. The bytes of a name need not be UTF-8."""
    text = os.fsencode(name).decode("utf-8", "replace")
    text = "".join(one if one.isprintable() else "_" for one in text)
    return text.encode()[:_LONGEST].decode("utf-8", "ignore")


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on disk. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Part:
    """A file that is being written under a hidden name in `folder`, until `commit` gives it its name.

    A context manager, which removes a file that was not committed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.size = 0
        """Bytes written so far."""
        for _ in range(_ATTEMPTS):
            self.path = folder / hidden_name()
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            if lock_new(self._fd):
                return
            os.close(self._fd)
        raise OSError(errno.EAGAIN, "new files in this folder are removed at once")

    def fileno(self) -> int:
        """The descriptor; -1 once the file is committed or discarded."""
        return self._fd

    def write(self, pieces: Iterable[Buffer]) -> None:
        """Appends pieces. Raises OSError."""
        for piece in pieces:
            view = memoryview(piece).cast("B")
            self.size += len(view)
            while view:
                view = view[os.write(self._fd, view) :]

    def commit(self, name: str) -> Path:
        """Waits until the content is on disk, names the file and waits until the name is. Raises OSError."""
        os.fsync(self._fd)
        path = self._folder / name
        os.rename(self.path, path)
        try:
            sync_folder(self._folder)
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise
        self._close()
        return path

    def discard(self) -> None:
        """Removes the file, unless it is committed."""
        if self._fd >= 0:
            self._close()
            with suppress(OSError):
                self.path.unlink()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        with suppress(OSError):
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Folder:
    """The folder of a station, locked until `close`. Raises `FolderInUse`, OSError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(root / "station.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._claim()
            self.scans, self.reports, self.pictures, self.aside = (
                self._made(name) for name in ("scans", "reports", "pictures", "aside")
            )
            for folder in (self.scans, self.reports, self.pictures):
                remove_stale_parts(folder)
        except BaseException:
            self.close()
            raise
        self.index = root / "index.sqlite"

    def close(self) -> None:
        """Unlocks the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _claim(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: no lock
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"{self.root}: another station uses this folder") from None

    def _made(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return folder

    def names(self) -> Iterator[str]:
        """The names of the complete scans."""
        with os.scandir(self.scans) as entries:
            yield from sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))

    @staticmethod
    def new_name(kind: str, suffix: str = ".dcs") -> str:
        """A name that no other file has."""
        return f"{kind}-{uuid.uuid4().hex}{suffix}"

    def take(self, path: Path) -> Path:
        """Moves a file from elsewhere into `scans`, on disk when this returns. The original is left on another file
        system: remove it once the index has the scan. Raises OSError; then the original is where it was."""
        suffix = path.suffix[1:]
        usual = suffix.isascii() and suffix.isalnum() and len(suffix) <= _SUFFIX
        name = self.new_name("watched", path.suffix if usual else ".dcs")
        try:
            # The content first: a name in `scans` is always a complete file on disk.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(path, self.scans / name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with Part(self.scans) as part, path.open("rb") as source:
                while piece := source.read(1 << 20):
                    part.write((piece,))
                return part.commit(name)
        sync_folder(self.scans)
        sync_folder(path.parent)
        return self.scans / name

    def set_aside(self, path: Path, name: str | None = None) -> str | None:
        """Moves a refused object to `aside`, and returns its name there; removes it and returns None if the objects
        there take `ASIDE` bytes already. Raises OSError."""
        kept = sum(entry.stat().st_size for entry in os.scandir(self.aside) if entry.is_file(follow_symlinks=False))
        if kept + path.stat().st_size > ASIDE:
            path.unlink()
            return None
        name = f"{uuid.uuid4().hex[:8]}-{safe_name(name or path.name)}"
        try:
            os.rename(path, self.aside / name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copyfile(path, self.aside / name)
            path.unlink()
        return name

    def remove_scan(self, path: Path) -> None:
        """Removes a scan that was not acknowledged."""
        with suppress(OSError):
            path.unlink()

    def forget_reports(self, known: frozenset[str]) -> None:
        """Removes reports that the index does not know: the process ended before they became valid."""
        for entry in list(os.scandir(self.reports)):
            if entry.name not in known:
                with suppress(OSError):
                    os.unlink(entry.path)

"""Scans that arrive, by C-STORE, from a watched folder or by HTTP: one gate for all of them.

Each way first makes a complete file in `scans`, on disk; `Intake.admit` then judges it and records it. Only then is it
acknowledged: success for a C-STORE, 201 for HTTP, and a watched file is gone from its folder. A process that is killed
in between leaves a complete file that the index does not know; `adopt` records it at the next start.

Knows: the folder, the index, statuses. Must not know: what happens to a scan afterwards. Invariants: memory is a few
chunks; an object that is refused has its reason in the index, and is kept aside if it came whole; a full disk is the
status 0xA700 and leaves nothing behind.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Final

from dicos_proto.registry import status
from dicos_proto.registry.status import SUCCESS
from dicos_proto.wire import Buffer

from ..files.receiving import IncomingFile, Stored
from .folder import Folder, Part, is_full, safe_name
from .header import Header, NotAScan, read_header
from .index import Index, NewScan

if TYPE_CHECKING:
    from ..sessions.session import StoreRequest

__all__ = ["LOG", "Admitted", "Intake", "StoreSink", "Upload", "Watch"]

LOG: Final = logging.getLogger("dicos.screening")
SYNC_EVERY: Final = 8 << 20
"""Bytes after which the disk is asked to take what has arrived, so that little is left to wait for at the end."""
STABLE: Final = 1.0
"""Seconds that a watched file has to be unchanged before it is taken."""
PATIENCE: Final = 10.0
"""Seconds that a watched file has to be unchanged before it is refused because it is not a complete scan."""
POLL: Final = 0.25
AGAIN: Final = 60.0
"""Seconds before a watched file is tried again that could neither be taken nor put aside."""
PAUSE: Final = 5.0
"""Seconds before a watched folder is tried again after a fault, such as a full disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The outcome for an object: the status of a C-STORE, and the number of the scan or the reason of the refusal."""

    status: int
    scan: int | None = None
    why: str | None = None

    @property
    def full(self) -> bool:
        """True if the disk was full."""
        return self.status == status.OUT_OF_RESOURCES


class Intake:
    """The gate of a station. Threads may share it. `most`: the largest size of an object in bytes, None for any."""

    def __init__(self, folder: Folder, index: Index, *, most: int | None = None) -> None:
        self.folder = folder
        self.index = index
        self.most = most
        self.syncing = ThreadPoolExecutor(4, "sync")

    def close(self) -> None:
        """Ends the threads that sync, without waiting for the disk."""
        self.syncing.shutdown(wait=False)

    def admit(
        self,
        path: Path,
        *,
        via: str,
        source: str,
        received: float,
        named: tuple[str, str] | None = None,
        origin: str | None = None,
    ) -> Admitted:
        """Records the complete file `path` in `scans`, or refuses it. It never raises for an object or a full disk.

        `named`: the SOP class and instance in the command that the object came with.
        """
        try:
            header = read_header(path)
            _check_named(header, named)
        except NotAScan as error:
            return self.refuse(path, via=via, source=source, status=error.status, why=str(error))
        file = header.file
        try:
            number = self.index.add_scan(NewScan(
                file=path.name, via=via, source=source, size=header.size, sop_class=file.sop_class_uid,
                sop_instance=file.sop_instance_uid, transfer_syntax=file.transfer_syntax, ooi_id=header.ooi_id,
                received=received, origin=origin,
            ))  # fmt: skip
        except sqlite3.Error as error:
            LOG.error("a scan from %s cannot be recorded: %s", source, error)
            if origin is None:  # a watched file has no other copy: it stays, and the next start adopts it
                self.folder.remove_scan(path)
            return _failed(error)
        LOG.info("scan %d from %s (%s), %d bytes", number, source, via, header.size)
        return Admitted(status=SUCCESS, scan=number)

    def refuse(self, path: Path, *, via: str, source: str, status: int, why: str) -> Admitted:
        """Keeps an object aside, and records why."""
        size, kept = 0, None
        try:
            size = path.stat().st_size
            kept = self.folder.set_aside(path)
        except OSError as error:
            LOG.error("a refused object cannot be kept aside: %s", error.strerror)
            self.folder.remove_scan(path)
        self.note_refusal(via=via, source=source, size=size, status=status, why=why, file=kept)
        return Admitted(status=status, why=why)

    def set_aside(self, path: Path, *, via: str, source: str, status: int, why: str) -> None:
        """Keeps an object aside that is not the station's own, and records why. Raises OSError; it stays then."""
        size = path.lstat().st_size
        kept = self.folder.set_aside(path)
        self.note_refusal(via=via, source=source, size=size, status=status, why=why, file=kept)

    def note_refusal(self, *, via: str, source: str, size: int, status: int, why: str, file: str | None = None) -> None:
        """Records why an object was refused."""
        LOG.warning("object from %s (%s) refused with 0x%04X: %s", source, via, status, why)
        with suppress(sqlite3.Error):
            self.index.add_refusal(via=via, source=source, size=size, status=status, why=why, file=file)

    def adopt(self) -> int:
        """Records complete files that the index does not know: a process was killed before it recorded them. Returns
        their number."""
        known, count = self.index.files("scan"), 0
        for name in self.folder.names():
            if name not in known:
                path = self.folder.scans / name
                admitted = self.admit(path, via="restart", source="-", received=path.stat().st_mtime)
                count += admitted.scan is not None
        return count


def _check_named(header: Header, named: tuple[str, str] | None) -> None:
    if named is None:
        return
    for found, wanted, what in zip(
        (header.file.sop_class_uid, header.file.sop_instance_uid), named, ("class", "instance"), strict=True
    ):
        if _components(found) != _components(wanted):
            raise NotAScan(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, f"SOP {what} UID is not the command's")


def _components(uid: str) -> list[str]:
    """The components of a UID, without the zeros that some writers put before them."""
    return [part.lstrip("0") for part in uid.strip("\0 ").split(".")]


def _failed(error: BaseException) -> Admitted:
    if is_full(error):
        return Admitted(status=status.OUT_OF_RESOURCES, why="no space left on the disk of the station")
    return Admitted(status=status.PROCESSING_FAILURE, why="the station cannot store objects now")


class _Syncing:
    """Has the disk take a file while it is being written, one request at a time."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._asked = 0
        self._running: Future[None] | None = None

    def written(self, fd: int, size: int) -> None:
        """`size` bytes have been written so far."""
        if fd < 0 or size - self._asked < SYNC_EVERY:
            return
        self._asked = size
        self.wait()
        self._running = self._pool.submit(_sync, os.dup(fd))

    def wait(self) -> None:
        """Waits for the last request. Its fault is seen again by the fsync at the end."""
        if self._running is not None:
            self._running.exception()
            self._running = None


def _sync(fd: int) -> None:
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


class StoreSink:
    """Takes the data set of a C-STORE, and admits it at its end."""

    def __init__(self, intake: Intake, request: StoreRequest) -> None:
        self._intake = intake
        self._request = request
        self._syncing = _Syncing(intake.syncing)
        self._size = 0
        self.admitted: Admitted | None = None
        self._incoming = IncomingFile(intake.folder.scans, request, fsync=True, most=intake.most, check=False)

    def write(self, pieces: Iterable[Buffer]) -> bool:
        """Takes pieces; returns False if no more are wanted."""
        given = list(pieces)
        self._size += sum(map(len, given))
        more = self._incoming.write(given)
        self._syncing.written(self._incoming.fileno(), self._size)
        return more

    def end(self, pieces: Iterable[Buffer] = ()) -> Stored:
        """Takes the last pieces, and returns the outcome: the scan is on disk and recorded, or refused."""
        received = time()
        self._syncing.wait()
        stored = self._incoming.end(list(pieces))
        request, session = self._request, self._request.session
        source = f"{session.calling_aet} at {session.peer.rpartition(':')[0] or session.peer}"  # without its port
        if stored.path is None:
            self._intake.note_refusal(
                via="C-STORE", source=source, size=stored.size, status=stored.status, why=stored.error or "refused"
            )
            self.admitted = Admitted(status=stored.status, why=stored.error)
            return stored
        self.admitted = self._intake.admit(
            stored.path, via="C-STORE", source=source, received=received,
            named=(request.sop_class_uid, request.sop_instance_uid or ""),
        )  # fmt: skip
        return Stored(status=self.admitted.status, size=stored.size, path=stored.path, error=self.admitted.why)

    def discard(self) -> None:
        """Removes an object that did not come to its end."""
        self._syncing.wait()
        self._incoming.discard()


class Upload:
    """A file that arrives by HTTP. A context manager, which removes one that did not come to its end."""

    def __init__(self, intake: Intake, source: str) -> None:
        """Raises OSError."""
        self._intake = intake
        self._source = source
        self._syncing = _Syncing(intake.syncing)
        self._part = Part(intake.folder.scans)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._part.size

    def write(self, pieces: Iterable[Buffer]) -> None:
        """Takes pieces. Raises OSError."""
        self._part.write(pieces)
        self._syncing.written(self._part.fileno(), self._part.size)

    def end(self) -> Admitted:
        """Completes the file, and admits it. Raises OSError."""
        received = time()
        self._syncing.wait()
        path = self._part.commit(Folder.new_name("http"))
        return self._intake.admit(path, via="HTTP", source=self._source, received=received)

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self._syncing.wait()
        self._part.discard()


class Watch:
    """Takes files from a folder, in a thread, until `close`. Hidden files, `.part` and `.tmp` files are left alone.

    A file is taken once it has been unchanged for `STABLE` seconds; one that is not a complete scan, for `PATIENCE`.
    """

    def __init__(self, intake: Intake, watched: Path, wait: Callable[[float], bool] | None = None) -> None:
        self._intake = intake
        self._watched = watched
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._told = ""
        self._faulty: dict[str, tuple[str, float]] = {}
        """The files that cannot be taken: which file it was, and when it is tried again."""
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self, seconds: float | None = None) -> bool:
        """Ends the thread. Returns False if it has not ended within `seconds`; it ends after the file that it takes."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """False if the thread has ended, although nobody has ended it."""
        return self._stopping.is_set() or self._thread.ident is None or self._thread.is_alive()

    def _run(self) -> None:
        while not self._wait(POLL):
            try:
                self.look()
                self._told = ""
            except Exception as error:  # any fault: the next files are taken
                if self._told != (text := f"watched folder: {_reason(error)}"):
                    LOG.error("%s", text)
                self._told = text
                self._wait(PAUSE)

    def look(self) -> int:
        """Takes the files that are complete, and returns their number. A fault of one file costs no other file
        anything. Raises OSError, `sqlite3.Error`: no file can be taken now."""
        count = 0
        with os.scandir(self._watched) as entries:
            found = sorted(entry.name for entry in entries if _is_wanted(entry.name))
        self._faulty = {name: fault for name, fault in self._faulty.items() if name in found}
        for name in found:
            if self._stopping.is_set():
                break
            path = self._watched / name
            try:
                if name not in self._faulty or self._is_due(path):
                    count += self._take(path)
            except FileNotFoundError:
                continue
            except sqlite3.Error:
                raise
            except Exception as error:
                if is_full(error):
                    raise
                self._blame(path, error)
        return count

    def _is_due(self, path: Path) -> bool:
        """Returns True if a file that could not be taken is to be tried again: it is another one now, or time has
        passed."""
        which, until = self._faulty[path.name]
        return time() >= until or which != _identity(path, path.lstat())

    def _blame(self, path: Path, error: Exception) -> None:
        """Puts a file aside that cannot be taken; if that fails too, it is left alone for `AGAIN` seconds."""
        source, why = safe_name(path.name), _reason(error)
        if not isinstance(error, OSError):  # a fault of the system may pass; any other one comes again
            try:
                self._intake.set_aside(path, via="folder", source=source, status=status.PROCESSING_FAILURE, why=why)
                return
            except Exception as further:
                why = f"{why}; it cannot be put aside: {_reason(further)}"
        with suppress(OSError):
            which = _identity(path, path.lstat())
            if self._faulty.get(path.name, ("",))[0] != which:
                LOG.error("watched file %s cannot be taken: %s; it is left where it is", source, why)
            self._faulty[path.name] = which, time() + AGAIN

    def _take(self, path: Path) -> bool:
        found = path.lstat()
        age = time() - max(found.st_mtime, found.st_ctime)
        if not stat.S_ISREG(found.st_mode) or age < STABLE:
            return False
        intake, source, origin = self._intake, safe_name(path.name), _identity(path, found)
        if intake.index.knows_origin(origin):  # recorded by a process that was killed before it removed the file
            path.unlink()
            return False
        try:
            read_header(path)
        except NotAScan as error:
            if age < PATIENCE:
                return False
            intake.set_aside(path, via="folder", source=source, status=error.status, why=str(error))
            return False
        taken = intake.folder.take(path)
        admitted = intake.admit(taken, via="folder", source=source, received=found.st_mtime, origin=origin)
        if admitted.status in (status.OUT_OF_RESOURCES, status.PROCESSING_FAILURE):  # it waits where it was
            if taken.exists() and not path.exists():
                os.rename(taken, path)
            raise OSError(errno.ENOSPC, admitted.why)
        path.unlink(missing_ok=True)
        return admitted.status == SUCCESS


def _identity(path: Path, found: os.stat_result) -> str:
    """Identifies a watched file, as text that the index takes: a name is bytes, which need not be UTF-8."""
    name = os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")
    return f"{name} {found.st_dev} {found.st_ino} {found.st_mtime_ns} {found.st_size}"


def _reason(error: Exception) -> str:
    """The reason of a fault in one line, without the text of exceptions that may quote a data set."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"{type(error).__name__}: {error}" if isinstance(error, sqlite3.Error) else type(error).__name__


def _is_wanted(name: str) -> bool:
    return not name.startswith((".", "~")) and not name.endswith((".part", ".tmp", ".filepart", ".crdownload"))

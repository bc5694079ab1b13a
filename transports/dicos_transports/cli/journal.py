"""The journal of a transfer: which files the peer has, so that an interrupted transfer continues where it stopped.

It is a text file that is only appended to, with a line for each stored instance. Each line begins with the CRC-32 of
itself and all lines before it:

    5c0f4d7e {"journal": "dicos storescu", "version": 1, "host": "127.0.0.1", "port": 11112, "called_aet": "ANY-SCP"}
    91d6a7f2 {"path": "/scans/a.dcm", "uid": "1.2.3", "size": 526320, "mtime_ns": 17632..., "status": 0}

Invariants: a line is written after the peer has answered, so it is true. A file whose size, time of change or SOP
Instance UID has changed since then does not count as stored. Only one process at a time can use a journal.

Damage that a crash explains is repaired: an incomplete last line is removed. Any other damage is an error that names
the line, because the contents of a changed journal cannot be trusted.

The checksums detect accidents. They are not a signature: anybody who can write the file can compute them too. So a new
journal can be read and written by its owner only, and its content is untrusted input: it is read line by line, within
limits, and printed escaped.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ..addresses import said
from ..files.part10 import Part10File
from .text import shown

NAME: Final = "dicos storescu"
VERSION: Final = 1
LIMIT: Final = 1 << 30
"""Most bytes of a journal."""
LINES: Final = 2_000_000
"""Most lines of a journal; each takes about 350 bytes of memory."""
LONGEST: Final = 64 * 1024
"""Most bytes of a line: a path has at most 4096 characters, for each of which JSON needs at most six."""
_PREFIX: Final = 9  # eight hexadecimal digits and a space
_ENTRY: Final = {"path": str, "uid": str, "size": int, "mtime_ns": int, "status": int}


class JournalError(Exception):
    """A journal that cannot be used; one line with its name, the place and the cause."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was when it was sent."""

    uid: str
    size: int
    mtime_ns: int


class Journal:
    """The journal at `path`, for transfers to one peer. A context manager that closes it."""

    def __init__(self, path: Path, *, host: str, port: int, called_aet: str) -> None:
        """Open the journal, or create it, readable by its owner only. Raises `JournalError`."""
        self.path = path
        self.mended = False
        """True if the last line was incomplete and was removed."""
        self._head = {"journal": NAME, "version": VERSION, "host": host, "port": port, "called_aet": called_aet}
        self._stored: dict[str, Entry] = {}
        self._crc = 0
        self._lines = 0
        # Opening does not wait for the other end of a FIFO, and does not follow a symbolic link.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY
        try:
            self._fd = os.open(path, flags, 0o600)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.ELOOP and path.is_symlink():
                raise JournalError(self._fault("is a symbolic link; give the path of its target")) from error
            raise JournalError(self._fault(said(error))) from error
        try:
            self._open()
        except OSError as error:
            self.close()
            raise JournalError(self._fault(said(error))) from error
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._stored)

    def has(self, file: Part10File, status: os.stat_result) -> bool:
        """Return True if the peer has this file as it is now."""
        found = self._stored.get(_key(file))
        return found is not None and found == Entry(file.sop_instance_uid, status.st_size, status.st_mtime_ns)

    def add(self, file: Part10File, status: os.stat_result, answer: int) -> None:
        """Record the status `answer` of the peer for this file, whose state was `status`. Raises `JournalError`."""
        entry = Entry(file.sop_instance_uid, status.st_size, status.st_mtime_ns)
        self._append(
            {
                "path": _key(file),
                "uid": entry.uid,
                "size": entry.size,
                "mtime_ns": entry.mtime_ns,
                "status": answer,
            }
        )
        self._stored[_key(file)] = entry

    def close(self) -> None:
        """Close the journal, so that others can use it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- internal ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            raise JournalError(self._fault("is not a regular file"))
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(self._fault("is in use by another process")) from None
        if status.st_size > LIMIT:
            raise JournalError(self._fault(f"has {status.st_size} bytes; {LIMIT} are allowed"))
        whole = 0
        for number, line in enumerate(self._read(), 1):
            if len(line) > LONGEST:
                raise JournalError(self._fault(f"line {number} has more than the {LONGEST} bytes that are allowed"))
            if number > LINES:
                raise JournalError(self._fault(f"has more than the {LINES} lines that are allowed"))
            if not line.endswith(b"\n") and (whole or self._line(self._head, 0).startswith(line)):
                os.ftruncate(self._fd, whole)  # a crash interrupted its writing
                self.mended = True
                break
            self._take(number, line.removesuffix(b"\n"))
            whole += len(line)
        if not whole:
            self._append(self._head)
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            with suppress(PermissionError):  # another user's file
                os.fchmod(self._fd, 0o600)

    def _take(self, number: int, line: bytes) -> None:
        """Check one complete line, and store its entry."""
        crc = zlib.crc32(line[_PREFIX:], self._crc)
        if line[:_PREFIX] != b"%08x " % crc:
            if number == 1:
                raise JournalError(self._fault(f"is not a journal of {NAME}, or its line 1 is damaged"))
            raise JournalError(self._fault(f"line {number} is damaged, or a line before it is missing"))
        self._crc = crc
        self._lines = number
        try:
            found: Any = json.loads(line[_PREFIX:])
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise JournalError(self._fault(f"line {number} is not a JSON object"))
        if number == 1:
            self._check_head(found)
            return
        if {name: type(found.get(name)) for name in _ENTRY} != _ENTRY:
            raise JournalError(self._fault(f"line {number} is not an entry of a journal"))
        self._stored[found["path"]] = Entry(found["uid"], found["size"], found["mtime_ns"])

    def _check_head(self, found: dict[str, Any]) -> None:
        if found == self._head:
            return
        kinds = {name: type(value) for name, value in self._head.items()}
        if (
            {name: type(value) for name, value in found.items()} != kinds
            or found["journal"] != NAME
            or found["version"] != VERSION
        ):
            raise JournalError(self._fault(f"is not a journal of {NAME}, version {VERSION}"))
        other, own = (
            f"{shown(one['host'], 255)}:{one['port']} ('{shown(one['called_aet'], 16)}')" for one in (found, self._head)
        )
        raise JournalError(self._fault(f"belongs to a transfer to {other}, not to {own}"))

    def _append(self, content: dict[str, object]) -> None:
        """Append one line, in one write. If there is no room on the disk, no part of it is left in the file."""
        line = self._line(content, self._crc)
        size = os.fstat(self._fd).st_size
        if self._lines >= LINES or size + len(line) > LIMIT or len(line) > LONGEST:  # beyond what can be read again
            raise JournalError(self._fault("is full; start a new one"))
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError as error:
            os.ftruncate(self._fd, size)
            raise JournalError(self._fault(said(error))) from error
        self._crc = zlib.crc32(line[_PREFIX:-1], self._crc)
        self._lines += 1

    @staticmethod
    def _line(content: dict[str, object], crc: int) -> bytes:
        text = json.dumps(content).encode("ascii")
        return b"%08x %b\n" % (zlib.crc32(text, crc), text)

    def _read(self) -> Iterator[bytes]:
        """Read the lines with their ends; of a line that is too long, one byte more than allowed."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        with open(self._fd, "rb", closefd=False) as file:
            while line := file.readline(LONGEST + 1):
                yield line

    def _fault(self, what: str) -> str:
        return f"journal {shown(self.path)}: {what}"


def _key(file: Part10File) -> str:
    """Return the key of a file: its absolute path, which does not depend on where the command was started."""
    return os.path.abspath(file.path)

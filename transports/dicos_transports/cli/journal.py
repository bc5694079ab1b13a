"""The journal of a transfer: which files a peer has, so that a transfer that was broken off goes on where it stopped.

A text file that is only ever appended to, a line for each instance that was stored, in front of each the CRC-32 of the
line and of all lines before it:

    5c0f4d7e {"journal": "dicos storescu", "version": 1, "host": "127.0.0.1", "port": 11112, "called_aet": "ANY-SCP"}
    91d6a7f2 {"path": "/scans/a.dcm", "uid": "1.2.3", "size": 526320, "mtime_ns": 17632..., "status": 0}

Invariants: a line is written once the peer has answered, so what it says is true; a file that is not as it was then
(size, time, SOP Instance UID) is not the one in the journal. One process at a time has a journal.

What a crash explains is mended: a last line without its end was being written. Anything else is refused, with the
line: what is true of a journal that was changed is not guessed.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ..addresses import said
from ..part10 import Part10File

NAME: Final = "dicos storescu"
VERSION: Final = 1
LIMIT: Final = 1 << 30
"""Bytes of a journal that are read: some millions of files."""
_PREFIX: Final = 9  # eight hexadecimal digits and a space
_ENTRY: Final = {"path": str, "uid": str, "size": int, "mtime_ns": int, "status": int}


class JournalError(Exception):
    """A journal that cannot be used: one line that says which, where and why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was when it was sent."""

    uid: str
    size: int
    mtime_ns: int


class Journal:
    """The journal at `path`, for transfers to one peer. A context manager that closes it."""

    def __init__(self, path: Path, *, host: str, port: int, called_aet: str) -> None:
        """Made where it does not exist. Raises `JournalError`."""
        self.path = path
        self.mended = False
        """Whether its last line was cut off, and is gone now."""
        self._head = {"journal": NAME, "version": VERSION, "host": host, "port": port, "called_aet": called_aet}
        self._stored: dict[str, Entry] = {}
        self._crc = 0
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except (OSError, ValueError) as error:
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
        """Whether the peer has this file, as it is now."""
        found = self._stored.get(_key(file))
        return found is not None and found == Entry(file.sop_instance_uid, status.st_size, status.st_mtime_ns)

    def add(self, file: Part10File, status: os.stat_result, answer: int) -> None:
        """The peer has answered `answer` to this file, which was as `status` says. Raises `JournalError`."""
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
        """Close it, and let others have it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(self._fault("is in use by another process")) from None
        if os.fstat(self._fd).st_size > LIMIT:
            raise JournalError(self._fault(f"has more than the {LIMIT} bytes that are allowed"))
        content = self._read()
        whole, _, tail = content.rpartition(b"\n")
        head = self._line(self._head, 0)
        if not whole and head.startswith(tail):  # new, or made and broken off at once
            self._cut(0, bool(tail))
            self._append(self._head)
            return
        for number, line in enumerate(whole.split(b"\n"), 1):
            self._take(number, line)
        self._cut(len(content) - len(tail), bool(tail))

    def _take(self, number: int, line: bytes) -> None:
        """Check one whole line, and remember what it says."""
        crc = zlib.crc32(line[_PREFIX:], self._crc)
        if line[:_PREFIX] != b"%08x " % crc:
            if number == 1:
                raise JournalError(self._fault(f"is no journal of {NAME}, or its line 1 is damaged"))
            raise JournalError(self._fault(f"line {number} is damaged, or a line before it is missing"))
        self._crc = crc
        try:
            found: Any = json.loads(line[_PREFIX:])
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise JournalError(self._fault(f"line {number} is no JSON object"))
        if number == 1:
            self._check_head(found)
            return
        if {name: type(found.get(name)) for name in _ENTRY} != _ENTRY:
            raise JournalError(self._fault(f"line {number} is no entry of a journal"))
        self._stored[found["path"]] = Entry(found["uid"], found["size"], found["mtime_ns"])

    def _check_head(self, found: dict[str, Any]) -> None:
        if found == self._head:
            return
        if found.keys() != self._head.keys() or found["journal"] != NAME or found["version"] != VERSION:
            raise JournalError(self._fault(f"is no journal of {NAME}, version {VERSION}"))
        other, own = (f"{one['host']}:{one['port']} ({one['called_aet']!a})" for one in (found, self._head))
        raise JournalError(self._fault(f"is of a transfer to {other}, not to {own}"))

    def _cut(self, size: int, torn: bool) -> None:
        if torn:
            os.ftruncate(self._fd, size)
            self.mended = True

    def _append(self, content: dict[str, object]) -> None:
        """One line, in one write. A line that has no room leaves nothing of itself."""
        line = self._line(content, self._crc)
        size = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError as error:
            os.ftruncate(self._fd, size)
            raise JournalError(self._fault(said(error))) from error
        self._crc = zlib.crc32(line[_PREFIX:-1], self._crc)

    @staticmethod
    def _line(content: dict[str, object], crc: int) -> bytes:
        text = json.dumps(content).encode("ascii")
        return b"%08x %b\n" % (zlib.crc32(text, crc), text)

    def _read(self) -> bytes:
        os.lseek(self._fd, 0, os.SEEK_SET)
        pieces = []
        while piece := os.read(self._fd, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def _fault(self, what: str) -> str:
        name = str(self.path)
        return f"journal {name if name.isprintable() else ascii(name)}: {what}"


def _key(file: Part10File) -> str:
    """How a file is known: the way to it, wherever the command was started."""
    return os.path.abspath(file.path)

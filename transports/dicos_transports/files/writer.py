"""One received object written to a file: complete under its final name, or not at all [PS3.10 7].

Knows: the preamble, the meta information of group 0002 as this implementation writes it, and final names. The hidden
names are those of `temporary`. Invariants: the bytes are written under a hidden name in the same folder; a file under
its final name is complete; an object that is not committed leaves nothing behind; text from a peer is never a path.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Final, Self

from dicos_proto.data.transcode import DICOS_PREFIX
from dicos_proto.registry.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_safe
from dicos_proto.wire import Buffer

from .temporary import hidden_name, keep, lock_new

__all__ = ["Part10Writer", "file_header", "file_name"]

LOG: Final = logging.getLogger("dicos.files")

FIRST_WRITE: Final = 64 * 1024
"""Bytes gathered before the first write: a small object takes one write."""
TEXT_LIMIT: Final = 1024
"""Bytes of a peer's UID or title that go into the meta information; a valid one has at most 64 or 16."""
IOV_MAX: Final = 1024
"""Buffers in one gathering write: the limit of Linux."""
SET_ASIDE_FROM: Final = 2 * 2**20
"""Size in bytes from which on disk space is allocated ahead of the writes: most objects are smaller."""
AHEAD: Final = 64 * 2**20
"""Bytes that are allocated ahead of the writes, at most."""
DICOS_VERSION: Final = "V03"
"""The version of DICOS in the meta information of DICOS objects."""

# O_BINARY is for Windows.
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# The errors of a file system that has no hard links, or allows no more of them.
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
_ATTEMPTS = 8

_TAG_VR_LENGTH = Struct("<HH2sH")
_TAG_VR_LONG = Struct("<HH2s2xI")


class Part10Writer:
    """One received object that is written into a folder, under a hidden name until `commit`.

    A context manager that discards an object that was not committed. Every OSError (no space, no permission) reaches
    the caller after the object has been discarded.
    """

    __slots__ = (
        "_fd", "_folder", "_gathered", "_gathered_size", "_longer", "_name", "_room", "_size", "_temporary",
        "bytes_written",
    )  # fmt: skip

    def __init__(self, folder: str, name: tuple[str, str], header: bytes) -> None:
        # for `create`, which builds the name and the header
        self._folder = folder
        self._name = name
        # Everything before the first write, which writes it all at once; None afterwards.
        self._gathered: list[bytes] | None = [header]
        self._gathered_size = len(header)
        self._size = 0  # bytes of the file
        # The size up to which no space is allocated.
        self._room = SET_ASIDE_FROM if hasattr(os, "posix_fallocate") else sys.maxsize
        self._longer = False  # True: space was allocated, so the file may be longer than its content
        self.bytes_written = 0
        """Bytes of the data set written so far."""
        for _ in range(_ATTEMPTS):
            self._temporary = os.path.join(folder, hidden_name())
            self._fd = os.open(self._temporary, _CREATE, 0o666)
            if lock_new(self._fd):
                return
            os.close(self._fd)  # removed as stale before it was locked
        raise OSError(errno.EAGAIN, "new files in this folder are removed at once")

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax: str,
        source_aet: str | None = None,
    ) -> Self:
        """Starts a file in `folder`, which must exist. The UIDs may be any text from a peer. Raises OSError."""
        header = file_header(sop_class_uid, sop_instance_uid, transfer_syntax, source_aet)
        return cls(os.path.abspath(folder), file_name(sop_class_uid, sop_instance_uid), header)

    def fileno(self) -> int:
        """The descriptor of the file that is being written; -1 once it is committed or discarded."""
        return self._fd

    def write(self, *data: Buffer) -> None:
        """Appends the pieces to the data set in one write; their memory may be reused afterwards. Raises OSError."""
        if self._fd < 0:
            raise ValueError("the file is committed or discarded")
        size = sum(map(_size_of, data))
        self.bytes_written += size
        if self._gathered is None:
            self._put(data)
        elif self._gathered_size + size <= FIRST_WRITE:
            self._gathered += map(bytes, data)
            self._gathered_size += size
        else:
            gathered, self._gathered = self._gathered, None
            self._put([b"".join(gathered), *data])

    def commit(self, *, overwrite: bool = False, fsync: bool = False) -> Path:
        """Completes the file, names it by its SOP Instance UID, and returns its path.

        If the name is taken, `_2`, `_3` ... is added: peers send different objects under one UID, such as the sections
        of a DICOS CT, and none is lost. The content is not compared: an object that is sent twice is kept twice. With
        `overwrite` the new file replaces the old one. Both are logged as a warning. `fsync` waits until the disk has
        the file and its name: use it for every object that is the only copy.
        Raises OSError; then nothing is left of the object, and an earlier one that it should replace is unchanged. One
        exception: on a file system without hard links, a new file that has replaced an old one stays if the folder
        cannot be synced.
        """
        if self._fd < 0:
            raise ValueError("the file is committed or discarded")
        if self._gathered is not None:
            gathered, self._gathered = self._gathered, None
            self._put([b"".join(gathered)])
        try:
            if self._longer:
                os.ftruncate(self._fd, self._size)
            if fsync:
                os.fsync(self._fd)
            os.close(os.dup(self._fd))  # some file systems report a lack of space only at a close; the lock stays
            path, taken = self._replace(synced=fsync) if overwrite else self._add(synced=fsync)
        except OSError:
            self.discard()
            raise
        fd, self._fd = self._fd, -1
        with suppress(OSError):  # every error has been reported above
            os.close(fd)
        if taken:
            done = "it was replaced" if overwrite else f"both are kept, this one as {os.path.basename(path)!a}"
            LOG.warning("%a: another object has the same SOP Instance UID: %s", "".join(self._name), done)
        return Path(path)

    def discard(self) -> None:
        """Removes the file if it is not committed. May be called at any time, and repeatedly."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)
        with suppress(OSError):
            os.unlink(self._temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            self.discard()

    def _put(self, buffers: Sequence[Buffer]) -> None:
        """Writes all of `buffers`, of which at least one is not empty; continues after a short write."""
        try:
            for at in range(0, len(buffers), IOV_MAX):
                self._put_together(buffers[at : at + IOV_MAX])
        except OSError:
            self.discard()
            raise

    def _put_together(self, buffers: Sequence[Buffer]) -> None:
        sizes = [_size_of(buffer) for buffer in buffers]
        size = sum(sizes)
        if self._size and self._size + size > self._room:
            self._set_aside(size)
        written = os.writev(self._fd, buffers) if hasattr(os, "writev") else 0
        self._size += size
        if written == size:
            return
        for buffer, length in zip(buffers, sizes, strict=True):
            skip = min(written, length)
            written -= skip
            while skip < length:
                skip += os.write(self._fd, memoryview(buffer).cast("B")[skip:])

    def _set_aside(self, size: int) -> None:
        """Allocates space for `size` bytes and as many more as the file has, up to `AHEAD`. An error does no harm.

        Writes into allocated space are faster, because its blocks have been found already. Space that is not used is
        given back at the end. The first allocation begins at the start of the file, for two reasons. Ext4 flushes data
        without blocks to the disk before it lets a file replace another one. And if a file system cannot allocate, the
        C library writes a zero into each block instead, which would take longer than it saves; but it first reads what
        the file already has there, and a descriptor opened only for writing makes that fail. So the file must not be
        empty.
        """
        start = self._size if self._longer else 0
        room = self._size + size + min(self._size, AHEAD)
        self._longer = True
        try:
            os.posix_fallocate(self._fd, start, room - start)
            self._room = room
        except OSError:
            self._room = sys.maxsize  # do not try again
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)

    def _add(self, *, synced: bool) -> tuple[str, bool]:
        """Gives the file the first free name. Returns its path, and True if that is not the name of its UID."""
        path, taken = self._claim_name()
        if synced:
            try:
                _fsync_folder(self._folder)
            except OSError:
                if self._has(path):
                    os.unlink(path)
                raise
        return path, taken

    def _replace(self, *, synced: bool) -> tuple[str, bool]:
        """Gives the file its name, even if an earlier one has it; that one is kept until the new name is on disk.
        Returns its path, and True if there was an earlier one."""
        path = os.path.join(self._folder, "".join(self._name))
        taken = os.path.lexists(path)
        if not synced:
            os.replace(self._temporary, path)
            return path, taken
        earlier = os.path.join(self._folder, hidden_name())
        found, kept = True, -1
        try:
            kept = keep(path, earlier)
        except FileNotFoundError:
            found = False
        except OSError:
            pass
        try:
            os.replace(self._temporary, path)
            try:
                _fsync_folder(self._folder)
            except OSError:
                if kept >= 0 and self._has(path):
                    os.replace(earlier, path)
                elif not found and self._has(path):
                    os.unlink(path)
                raise
        finally:
            if kept >= 0:
                with suppress(OSError):
                    os.unlink(earlier)
                os.close(kept)
        return path, taken

    def _has(self, path: str) -> bool:
        """Returns True if the file at `path` is this one; another writer may have replaced it meanwhile."""
        return os.path.samestat(os.fstat(self._fd), os.lstat(path))

    def _claim_name(self) -> tuple[str, bool]:
        """Moves the file to the first free name, never over another file. Returns the path, and True if another file
        had the first name.

        The system call that claims the name is the one that makes the file appear under it.
        """
        stem, suffix = os.path.join(self._folder, self._name[0]), self._name[1]
        path, number = stem + suffix, 1
        while not self._appear(path):
            number = _first_free(stem, suffix, number)
            path = f"{stem}_{number}{suffix}"
        return path, number > 1

    def _appear(self, path: str) -> bool:
        """Returns True if `path` was free; the file is there now."""
        try:
            os.link(self._temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return self._reserve(path)
        with suppress(OSError):  # a hidden name that stays is stale, and does not spoil the final one
            os.unlink(self._temporary)
        return True

    def _reserve(self, path: str) -> bool:
        """`_appear` for file systems without hard links: an empty file reserves the name for the complete one."""
        try:
            reserved = os.open(path, _CREATE, 0o666)
        except FileExistsError:
            return False
        try:
            os.close(reserved)
            os.replace(self._temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(path)
            raise
        return True


def _size_of(data: Buffer) -> int:
    return data.nbytes if isinstance(data, memoryview) else len(data)


def file_name(sop_class_uid: str, sop_instance_uid: str) -> tuple[str, str]:
    """Stem and suffix of the name for an object. The stem is its UID if that is safe, otherwise a hash of it."""
    if is_safe(sop_instance_uid):
        stem = sop_instance_uid
    else:
        encoded = sop_instance_uid.encode("utf-8", "surrogatepass")
        stem = "sha256-" + hashlib.sha256(encoded).hexdigest()[:32]
    return stem, ".dcs" if sop_class_uid.startswith(DICOS_PREFIX) else ".dcm"


def file_header(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str, source_aet: str | None = None
) -> bytes:
    """Everything in a file before the data set [PS3.10 7.1].

    The preamble is zeros, never the peer's: a program can hide in it. The meta information of a DICOS object also has
    (0002,0004), without which DICOS readers refuse the file.
    """
    before, after = _around_instance(sop_class_uid, transfer_syntax, source_aet)
    instance = _element(0x0003, b"UI", sop_instance_uid)
    length = (len(before) + len(instance) + len(after)).to_bytes(4, "little")
    return b"".join((_BEGINNING, length, before, instance, after))


_BEGINNING: Final = bytes(128) + b"DICM" + _TAG_VR_LENGTH.pack(2, 0x0000, b"UL", 4)


@lru_cache(maxsize=64)
def _around_instance(sop_class_uid: str, transfer_syntax: str, source_aet: str | None) -> tuple[bytes, bytes]:
    """The elements before and after the instance UID; most objects of an association share them."""
    before = (
        _TAG_VR_LONG.pack(2, 0x0001, b"OB", 2) + b"\0\1",
        _element(0x0002, b"UI", sop_class_uid),
    )
    after = (
        _element(0x0004, b"CS", DICOS_VERSION) if sop_class_uid.startswith(DICOS_PREFIX) else b"",
        _element(0x0010, b"UI", transfer_syntax),
        _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
        _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        b"" if source_aet is None else _element(0x0016, b"AE", source_aet),
    )
    return b"".join(before), b"".join(after)


def _element(element: int, vr: bytes, text: str) -> bytes:
    """An element of group 0002, padded as its VR requires [PS3.5 6.2]."""
    value = text.encode("ascii", "backslashreplace")[:TEXT_LIMIT]
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _TAG_VR_LENGTH.pack(2, element, vr, len(value)) + value


def _first_free(stem: str, suffix: str, taken: int) -> int:
    """A number above `taken` whose name is free; the lowest such number if the names in use have no gaps.

    The steps double, then halve: finding number 1000 takes 20 lookups, not 1000.
    """
    step = 1
    while os.path.lexists(f"{stem}_{taken + step}{suffix}"):
        taken += step
        step *= 2
    free = taken + step
    while free - taken > 1:
        middle = (free + taken) // 2
        if os.path.lexists(f"{stem}_{middle}{suffix}"):
            taken = middle
        else:
            free = middle
    return free


def _fsync_folder(folder: str) -> None:
    """Makes the new name as durable as the content. Windows has no such call for folders."""
    if os.name == "posix":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

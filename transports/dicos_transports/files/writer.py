"""One received object written to a file: whole under its final name, or not at all.  PS3.10 section 7

Knows: the preamble, the meta information of group 0002 as this implementation writes it, and names.
Invariants: what is written waits under a hidden name in the same folder; a file under its final name is
complete; an object that is not committed leaves nothing behind; no text from a peer is ever a path.

A process that is killed leaves its hidden files. While a writer is at work it holds a lock on its file (flock), which
ends with its process: `remove_stale_parts` removes the files whose lock is free, and where a lock does not say enough,
those that have not changed for a day as well.
"""

import errno
import hashlib
import os
import re
import stat
import sys
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from struct import Struct
from time import time
from types import ModuleType, TracebackType
from typing import Final, Self

from dicos_proto.data.transcode import DICOS_PREFIX
from dicos_proto.registry.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_safe
from dicos_proto.wire import Buffer

TEMPORARY: Final = (".dicos-", ".part")
"""How the hidden names begin and end."""
FIRST_WRITE: Final = 64 * 1024
"""Bytes gathered before the first write: a small object takes one."""
TEXT_LIMIT: Final = 1024
"""Bytes of a peer's UID or title that the meta information takes; a real one has 64 or 16."""
IOV_MAX: Final = 1024
"""Buffers in one gathering write; what Linux takes at most."""
SET_ASIDE_FROM: Final = 2 * 2**20
"""Bytes of a file before room is set aside for more of it: most objects have fewer."""
AHEAD: Final = 64 * 2**20
"""Bytes of room that are set aside at most before there is need of them."""
DICOS_VERSION: Final = "V03"
"""The version of DICOS that files of its SOP classes are marked with."""
STALE_AFTER: Final = 24 * 3600.0
"""Seconds without a change after which a hidden file is stale, where a free lock does not say enough."""
STALE_AT_ONCE: Final = 10_000
"""Hidden files that one call of `remove_stale_parts` looks at."""

# Binary mode is a matter of Windows.
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# What file systems without hard links, or out of them, say to one.
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)

# Where another host's lock cannot be seen, so that a free lock says: nobody on any host writes.
_LOCAL = frozenset((
    "apfs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "jfs", "msdos", "ntfs3", "overlay",
    "ramfs", "reiserfs", "tmpfs", "ufs", "vfat", "xfs", "zfs",
))  # fmt: skip
_PART = re.compile(r"\.dicos-(?:(?P<kernel>[0-9a-f]{8})-)?[0-9a-f]{16}\.part")
"""A hidden name. Those of earlier releases, which took no locks, do not name the kernel."""
_TO_LOCK = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_TO_KEEP = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_ATTEMPTS = 8

_TAG_VR_LENGTH = Struct("<HH2sH")
_TAG_VR_LONG = Struct("<HH2s2xI")


class Part10Writer:
    """One received object on its way into a folder, under a hidden name until `commit`.

    A context manager that discards what was not committed. Every OSError (no space, no permission) reaches
    the caller after the object has discarded itself.
    """

    __slots__ = (
        "_fd", "_folder", "_gathered", "_gathered_size", "_longer", "_name", "_room", "_size", "_temporary",
        "bytes_written",
    )  # fmt: skip

    def __init__(self, folder: str, name: tuple[str, str], header: bytes) -> None:
        """For `create`, which builds the name and the header."""
        self._folder = folder
        self._name = name
        # Everything before the first write, which takes it all at once; None from then on.
        self._gathered: list[bytes] | None = [header]
        self._gathered_size = len(header)
        self._size = 0  # bytes of the file
        self._room = SET_ASIDE_FROM if hasattr(os, "posix_fallocate") else sys.maxsize  # up to where none is set aside
        self._longer = False  # whether the file may be longer than what was written
        self.bytes_written = 0
        """Bytes of the data set so far."""
        for _ in range(_ATTEMPTS):
            self._temporary = os.path.join(folder, _hidden_name())
            self._fd = os.open(self._temporary, _CREATE, 0o666)
            if _is_locked(self._fd):
                return
            os.close(self._fd)  # it was taken for stale before it had its lock
        raise OSError(errno.EAGAIN, "the files made here are removed at once")

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
        """Starts a file in `folder`, which exists. The UIDs may be anything a peer has sent.

        Raises OSError.
        """
        header = file_header(sop_class_uid, sop_instance_uid, transfer_syntax, source_aet)
        return cls(os.path.abspath(folder), file_name(sop_class_uid, sop_instance_uid), header)

    def fileno(self) -> int:
        """The descriptor of the file that is being written; -1 once it is committed or discarded."""
        return self._fd

    def write(self, *data: Buffer) -> None:
        """Appends to the data set, all pieces by one write; they may be reused afterwards. Raises OSError."""
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
        """Completes the file and gives it its name: the SOP Instance UID, and the path of the result back.

        If the name is taken, `_2`, `_3` ... is added: peers send different objects under one UID, and none is
        lost; with `overwrite` the new file takes the old one's place. `fsync` waits until the disk has it, file and
        name: wanted for everything that is the only copy.
        Raises OSError; nothing is left of the object then, and an earlier one that it was to replace is as it was. One
        exception: on a file system without hard links, a new file that has taken the place of an old one stays if the
        folder cannot be synced.
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
            os.close(os.dup(self._fd))  # some file systems say only at a close that they had no room; the lock stays
            path = self._replace(synced=fsync) if overwrite else self._add(synced=fsync)
        except OSError:
            self.discard()
            raise
        fd, self._fd = self._fd, -1
        with suppress(OSError):  # everything there was to report is reported above
            os.close(fd)
        return Path(path)

    def discard(self) -> None:
        """Removes what was written, if it is not committed. May be called at any time, and again."""
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
        """Writes all of `buffers`, which are not empty together; a short write is gone on with."""
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
        """Room for `size` bytes and for as many more as the file has, up to `AHEAD`; without it all goes on as well.

        What lies in such room is written faster: its blocks were found at once. What is not used is given back at the
        end. The first time it begins where the file does, for two reasons. Ext4 writes to the disk what has no blocks
        yet before it lets a file take the place of another one. And where a file system sets nothing aside, the C
        library writes a zero into each block instead, which would take longer than is spared; but what the file has
        already it reads before that, and a descriptor that is for writing alone does not let it. So the file has some.
        """
        start = self._size if self._longer else 0
        room = self._size + size + min(self._size, AHEAD)
        self._longer = True
        try:
            os.posix_fallocate(self._fd, start, room - start)
            self._room = room
        except OSError:
            self._room = sys.maxsize  # not asked for again
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)

    def _add(self, *, synced: bool) -> str:
        """Gives the file the first name that is free."""
        path = self._claim_name()
        if synced:
            try:
                _fsync_folder(self._folder)
            except OSError:
                if self._has(path):
                    os.unlink(path)
                raise
        return path

    def _replace(self, *, synced: bool) -> str:
        """Gives the file the name that an earlier one may have. That one is kept until the new name is on the disk."""
        path = os.path.join(self._folder, "".join(self._name))
        if not synced:
            os.replace(self._temporary, path)
            return path
        earlier = os.path.join(self._folder, _hidden_name())
        found, kept = True, -1
        try:
            kept = _keep(path, earlier)
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
        return path

    def _has(self, path: str) -> bool:
        """Returns True if the file at `path` is this one: another writer may have replaced it meanwhile."""
        return os.path.samestat(os.fstat(self._fd), os.lstat(path))

    def _claim_name(self) -> str:
        """Moves the file to the first free name, never onto another file.

        The system call that claims the name is the one that makes the file appear under it.
        """
        stem, suffix = os.path.join(self._folder, self._name[0]), self._name[1]
        path, number = stem + suffix, 1
        while not self._appear(path):
            number = _first_free(stem, suffix, number)
            path = f"{stem}_{number}{suffix}"
        return path

    def _appear(self, path: str) -> bool:
        """Whether `path` was free; the file is there now."""
        try:
            os.link(self._temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return self._reserve(path)
        with suppress(OSError):  # a second name, which is stale from now on, is no fault of the first
            os.unlink(self._temporary)
        return True

    def _reserve(self, path: str) -> bool:
        """`_appear` for file systems without hard links: an empty file holds the name until the whole one."""
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


def remove_stale_parts(folder: str | os.PathLike[str], *, older_than: float = STALE_AFTER) -> int:
    """Removes the hidden files that killed processes have left in `folder`; returns how many there were.

    For the start of whatever writes there; `storescp`, `getscu` and `movescu` call it themselves. Other processes may
    be writing to the folder at the same time: a file whose writer lives is never removed.

    A writer holds a lock on its file, so a lock that is free means that its process has ended. On file systems of
    networks, where locks may not be seen by other hosts or may not exist, and for files of releases that took none,
    a file has to be unchanged for `older_than` seconds as well. What does not have such a name, is no regular file, or
    may not be written to by this process stays. At most `STALE_AT_ONCE` files are looked at in one call.
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
    """Returns True if the file was stale and is removed. `tells`: a free lock is enough, if its writer takes locks."""
    if (fcntl := _locks()) is None:
        return False
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return False
        old = status.st_mtime <= before
        fd = os.open(path, _TO_LOCK)
    except OSError:  # gone, or of somebody else
        return False
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks here
            tells = False
        takes_locks = _PART.fullmatch(os.path.basename(path))
        if not (old or (tells and takes_locks is not None and takes_locks["kernel"])):
            return False
        os.unlink(path)  # while it is locked: a writer that has only just made it sees that it is gone
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _keep(path: str, hidden: str) -> int:
    """Gives the file at `path` a hidden name besides, locked as that of a writer; returns the descriptor to close."""
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
    """What has the locks, imported by who writes only; None on Windows."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


def _hidden_name() -> str:
    return f"{TEMPORARY[0]}{_kernel()}-{os.urandom(8).hex()}{TEMPORARY[1]}"


@lru_cache(maxsize=1)
def _kernel() -> str:
    """What the running kernel is known by: its processes see each other's locks, on whichever file system."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            known = file.read(64)
    except OSError:
        known = repr(getattr(os, "uname", lambda: sys.platform)()).encode()
    return f"{zlib.crc32(known):08x}"


def _is_locked(fd: int) -> bool:
    """Locks a new file; returns False if it is being removed, or is already."""
    if (fcntl := _locks()) is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, where age decides
        return True
    return os.fstat(fd).st_nlink > 0


def _is_local(directory: str) -> bool:
    """Returns True if `directory` is known to be on a file system that no other host writes to."""
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


def _size_of(data: Buffer) -> int:
    return data.nbytes if isinstance(data, memoryview) else len(data)


def file_name(sop_class_uid: str, sop_instance_uid: str) -> tuple[str, str]:
    """Stem and suffix of the name for an object: its UID if a name can be made of that, else a hash of it."""
    if is_safe(sop_instance_uid):
        stem = sop_instance_uid
    else:
        encoded = sop_instance_uid.encode("utf-8", "surrogatepass")
        stem = "sha256-" + hashlib.sha256(encoded).hexdigest()[:32]
    return stem, ".dcs" if sop_class_uid.startswith(DICOS_PREFIX) else ".dcm"


def file_header(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str, source_aet: str | None = None
) -> bytes:
    """All of a file that stands before the data set.  PS3.10 7.1

    The preamble is zeros, never a peer's: a program can hide in it. In a DICOS object the meta information also
    has (0002,0004), without which DICOS readers refuse the file.
    """
    before, after = _around_instance(sop_class_uid, transfer_syntax, source_aet)
    instance = _element(0x0003, b"UI", sop_instance_uid)
    length = (len(before) + len(instance) + len(after)).to_bytes(4, "little")
    return b"".join((_BEGINNING, length, before, instance, after))


_BEGINNING: Final = bytes(128) + b"DICM" + _TAG_VR_LENGTH.pack(2, 0x0000, b"UL", 4)


@lru_cache(maxsize=64)
def _around_instance(sop_class_uid: str, transfer_syntax: str, source_aet: str | None) -> tuple[bytes, bytes]:
    """The elements before and after the instance's UID, which most objects of an association have in common."""
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
    """An element of group 0002, padded as its VR asks for.  PS3.5 6.2"""
    value = text.encode("ascii", "backslashreplace")[:TEXT_LIMIT]
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _TAG_VR_LENGTH.pack(2, element, vr, len(value)) + value


def _first_free(stem: str, suffix: str, taken: int) -> int:
    """A number above `taken` whose name is free; the lowest one, if the names in use have no gaps.

    Steps double, then halve: to find number 1000 takes 20 looks, not 1000.
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
    """Makes the new name last as the content does; Windows has no such call for folders."""
    if os.name == "posix":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

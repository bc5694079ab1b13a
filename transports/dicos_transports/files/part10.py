"""DICOM files: inspected, and their data sets read as they are on disk [PS3.10 7].

Knows: the preamble, the prefix, the meta information of group 0002, and the file system. Must not know: what is in a
data set (`data_sets` and the engine), how files are found (`finding`) or written (`writer`). Invariants: memory is one
chunk, whatever the size; every fault of a file is a Part10Error, and nothing else is raised.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

from dicos_proto.arguments import check_kind
from dicos_proto.data import DataSetError, Walker, encoding, transcode
from dicos_proto.data.elements import LONG_VRS, SHORT_VRS, SOP_CLASS_UID, SOP_INSTANCE_UID
from dicos_proto.data.transcode import TranscodeError
from dicos_proto.limits import Limits
from dicos_proto.registry.uids import (
    DEFLATED_EXPLICIT_VR_LE,
    EXPLICIT_VR_BE,
    EXPLICIT_VR_LE,
    IMPLICIT_VR_LE,
    is_safe,
)
from dicos_proto.wire import Buffer

from ..buffers import Buffers

__all__ = ["CHUNK", "META_LIMIT", "Part10Error", "Part10File", "inspect", "read_chunks", "read_whole", "where"]

CHUNK: Final = 512 * 1024
"""Default size of the pieces in which a data set is read, in bytes."""
POOLED: Final = CHUNK // 8
"""Pieces of at most this many bytes get memory of their own; larger ones share `_BUFFERS`."""
KEPT: Final = 3
"""Buffers in use that are remembered, in addition to the newest."""
META_LIMIT: Final = 64 * 1024
"""Limit on the size of the meta information (group 0002), in bytes. Stops: gigabytes read to find where it ends."""

PREFIX_END: Final = 132  # 128 bytes of preamble, then "DICM"  # PS3.10 7.1
FIRST_READ: Final = 2048  # holds all of the meta information of an ordinary file

META_LENGTH: Final = 0x0000
MEDIA_STORAGE_SOP_CLASS_UID: Final = 0x0002
MEDIA_STORAGE_SOP_INSTANCE_UID: Final = 0x0003
TRANSFER_SYNTAX_UID: Final = 0x0010
_WANTED = (META_LENGTH, MEDIA_STORAGE_SOP_CLASS_UID, MEDIA_STORAGE_SOP_INSTANCE_UID, TRANSFER_SYNTAX_UID)

# Not every system has each flag. O_BINARY is for Windows; O_NONBLOCK keeps a FIFO from blocking the open.
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)

_LIMITS: Final = Limits()

_TAG_VR_LENGTH = Struct("<HH2sH")
_LONG = Struct("<I")

_BUFFERS: Final = tuple((size, Buffers(size, KEPT)) for size in (2 * POOLED, 4 * POOLED, CHUNK))
"""Buffers by size. A piece gets the smallest that holds it, so a kept piece wastes less than its own size."""


class Part10Error(Exception):
    """A file that cannot be used: one line with its path, what was seen and what was allowed.

    The text never contains a value from the data set.
    """

    def __init__(self, path: Path, reason: str) -> None:
        shown = str(path)
        reason = reason if reason.isprintable() else ascii(reason)[1:-1]  # it may quote the meta information
        super().__init__(f"{shown if shown.isprintable() else ascii(shown)}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Part10File:
    """The facts that a C-STORE needs about a file: its object, and the position and size of the data set in bytes."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data_offset: int
    data_length: int


def check_file(given: object, function: str) -> None:
    """Raises TypeError for anything but a `Part10File`: for a path, which `inspect` makes one of."""
    hint = "; inspect(path) makes one" if isinstance(given, str | os.PathLike) else ""
    check_kind(given, f"{function}(...)", Part10File, hint=hint)


def inspect(path: Path) -> Part10File:
    """Reads the meta information of the file at `path`, and at most the first elements of its data set [PS3.10 7.1].

    The SOP class and instance are taken from the data set if it begins with them, because receivers compare the data
    set with the command; otherwise from the meta information.

    A bare data set, without preamble and meta information, is accepted too if it begins like one in implicit or
    explicit VR and names its SOP class and instance. Raises Part10Error if the file is not a DICOM file, is cut short
    or cannot be read, TypeError for anything but a Path.
    """
    check_kind(path, "inspect({})", Path, for_str=f"; write inspect(Path({path!a}))")
    with opened(path) as (fd, size):
        data = os.read(fd, FIRST_READ)
        if data[128:PREFIX_END] != b"DICM" and (bare := _bare(path, data, size)) is not None:
            return bare
        found, offset, data = _read_meta(path, fd, data)
        sop_class, sop_instance, syntax = (_text(found.get(element, b"")) for element in _WANTED[1:])
        if size - offset < 8:  # less than the header of one element
            raise Part10Error(path, f"is cut short: no data set follows the meta information, at byte {offset}")
        if not syntax:
            raise Part10Error(path, "has no Transfer Syntax UID (0002,0010)")
        named = _named(data[offset:], syntax)
        sop_class, sop_instance = named[0] or sop_class, named[1] or sop_instance
    file = Part10File(
        path=path,
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        transfer_syntax=syntax,
        data_offset=offset,
        data_length=size - offset,
    )
    return file if sop_class and sop_instance else _with_uids_of_data_set(file)


def read_chunks(file: Part10File, *, chunk: int = CHUNK) -> Generator[Buffer, None, None]:
    """Yields the data set as it is on disk, in pieces of up to `chunk` bytes.

    A large piece is a view of memory that is reused once no view of it is left. A piece may be kept; it then keeps
    less than twice its own size in memory.
    The file is open from the first piece to the last, or until the generator is closed. Raises Part10Error if the file
    cannot be read or has become shorter.
    """
    check_file(file, "read_chunks")
    if chunk < 1:
        raise ValueError(f"pieces of {chunk} bytes; at least 1")
    with opened(file.path) as (fd, _):
        at, end = file.data_offset, file.data_offset + file.data_length
        while at < end:
            data = _read(fd, min(chunk, end - at), at)
            if not data:
                raise shrunk(file.path, end - at)
            at += len(data)
            yield data
            del data  # the caller may have dropped it before it asks for the next piece


def read_whole(file: Part10File) -> Buffer:
    """Returns the whole data set as it is on disk, as one piece of `read_chunks`; for files that are known to be small.
    Raises Part10Error."""
    check_file(file, "read_whole")
    data: Buffer = b""
    try:
        fd = os.open(str(file.path), _READ)
        try:
            if file.data_length <= POOLED:  # one byte more than expected shows that the file has changed
                data = os.pread(fd, file.data_length + 1, file.data_offset)
            if len(data) != file.data_length:
                _check_regular(file.path, os.fstat(fd))
                data = _read(fd, file.data_length, file.data_offset)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:
        with reported(file.path):
            _check_regular(file.path, os.stat(file.path))  # says more than the system does
        raise _unreadable(file.path, error) from error
    if len(data) < file.data_length:
        raise shrunk(file.path, file.data_length - len(data))
    return data


def _read(fd: int, most: int, offset: int) -> Buffer:
    """Reads up to `most` bytes, into memory of their own if they are few."""
    if not POOLED < most <= CHUNK or not hasattr(os, "preadv"):
        return os.pread(fd, most, offset)
    buffers = next(buffers for size, buffers in _BUFFERS if most <= size)
    view = buffers.free()[:most]
    return view[: os.preadv(fd, (view,), offset)]


def where(path: Path) -> tuple[int, str]:
    """Returns the position of the data set in bytes, and its transfer syntax, "" if the file does not name one.

    For any file with meta information, even if it is not a composite instance. Raises Part10Error.
    """
    with opened(path) as (fd, _):
        found, offset, _ = _read_meta(path, fd, os.read(fd, FIRST_READ))
    return offset, _text(found.get(TRANSFER_SYNTAX_UID, b""))


def _named(data: bytes, transfer_syntax: str) -> tuple[str, str]:
    """SOP class and instance as the beginning of the data set names them; "" for each that is missing or no UID."""
    found = encoding(transfer_syntax)
    if found is None or found[2] or (b"\x08\0\x18\0" not in data and found[1]):
        return "", ""
    walker = Walker(implicit=found[0], little=found[1], limits=_LIMITS, extended=found.extended)
    with suppress(DataSetError):  # not a data set: reported when it is sent
        at, size = 0, 512  # both are usually among the first elements
        while at < len(data) and len(walker.seen) < 2:
            walker.feed(data[at : at + size])
            at, size = at + size, 4 * size
    sop_class, sop_instance = (_text(walker.seen.get(tag, b"")).strip() for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID))
    return sop_class if is_safe(sop_class) else "", sop_instance if is_safe(sop_instance) else ""


def _bare(path: Path, data: bytes, size: int) -> Part10File | None:
    """A bare data set, in the transfer syntax that its first elements show; None if it is not one."""
    for syntax in (EXPLICIT_VR_LE, IMPLICIT_VR_LE, EXPLICIT_VR_BE):
        sop_class, sop_instance = _named(data, syntax)
        if sop_class and sop_instance:
            return Part10File(
                path=path,
                sop_class_uid=sop_class,
                sop_instance_uid=sop_instance,
                transfer_syntax=syntax,
                data_offset=0,
                data_length=size,
            )
    return None


def _read_meta(path: Path, fd: int, data: bytes) -> tuple[dict[int, bytes], int, bytes]:
    """Returns the wanted values of group 0002 by element, the position of the data set, and the bytes read so far.

    `data`: the beginning of the file. The end of the group is found by its elements, because the group length is
    missing or wrong in many files. The length is trusted only before deflated data, whose first bytes may look like
    another element.
    """
    if data[128:PREFIX_END] != b"DICM":
        reason = "it is empty" if not data else "no DICM at byte 128"
        raise Part10Error(path, f"not a DICOM file: {reason}")
    found: dict[int, bytes] = {}
    at = PREFIX_END
    declared_end = -1
    while True:
        if at + 12 > len(data):
            data = _read_on(fd, data)
        if at + 8 > len(data) or (at == declared_end and _is_deflated(found)):
            return found, at, data
        group, element, vr, length = _TAG_VR_LENGTH.unpack_from(data, at)
        if group != 2:
            return found, at, data
        start = at + 8
        if vr in LONG_VRS:
            start += 4
            length = _LONG.unpack_from(data.ljust(start, b"\0"), at + 8)[0]
        elif vr not in SHORT_VRS:
            raise Part10Error(path, f"meta element (0002,{element:04X}) at byte {at} has the VR {vr!r}")
        at = start + length
        if at > PREFIX_END + META_LIMIT:
            raise Part10Error(
                path,
                f"meta element (0002,{element:04X}) has {length} bytes; {META_LIMIT} are allowed for all of "
                "the meta information",
            )
        if at > len(data):
            data = _read_on(fd, data)
            if at > len(data):
                raise Part10Error(path, f"is cut short in meta element (0002,{element:04X}), at {len(data)}")
        if element in _WANTED:
            found[element] = data[start:at]
            if element == META_LENGTH and length == 4:
                declared_end = at + _LONG.unpack_from(data, start)[0]


def _read_on(fd: int, data: bytes) -> bytes:
    """Returns `data` and what follows it, up to the limit of the meta information and one more element header."""
    pieces = [data]
    left = PREFIX_END + META_LIMIT + 12 - len(data)
    while left > 0 and (piece := os.read(fd, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _is_deflated(found: dict[int, bytes]) -> bool:
    return _text(found.get(TRANSFER_SYNTAX_UID, b"")) == DEFLATED_EXPLICIT_VR_LE


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").rstrip("\0 ")


def _with_uids_of_data_set(file: Part10File) -> Part10File:
    try:
        with closing(read_chunks(file, chunk=transcode.SMALL)) as chunks:
            sop_class, sop_instance = transcode.sop_uids(chunks, file.transfer_syntax)
    except TranscodeError as error:
        raise Part10Error(file.path, f"neither meta information nor data set name it: {error}") from error
    sop_class, sop_instance = file.sop_class_uid or sop_class, file.sop_instance_uid or sop_instance
    if not sop_class or not sop_instance:
        tag = "(0008,0018)" if sop_class else "(0008,0016)"
        raise Part10Error(file.path, f"neither meta information nor data set name it: no {tag}")
    return Part10File(
        path=file.path,
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        transfer_syntax=file.transfer_syntax,
        data_offset=file.data_offset,
        data_length=file.data_length,
    )


def _unreadable(path: Path, error: OSError | ValueError) -> Part10Error:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Part10Error(path, f"cannot be read: {said[:1].lower()}{said[1:]}")


def shrunk(path: Path, missing: int) -> Part10Error:
    """The error for a file that has become shorter since it was inspected."""
    return Part10Error(path, f"has become shorter while it was read: {missing} bytes are missing")


def _check_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Part10Error(path, "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turns what the system says about `path` into a Part10Error of one line."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(path, error) from error


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, int]]:
    """Opens the regular file at `path` for reading; gives the descriptor and the size in bytes. Raises Part10Error."""
    with reported(path):
        fd = os.open(path, _READ)
        try:
            status = os.fstat(fd)
            _check_regular(path, status)
            yield fd, status.st_size
        finally:
            os.close(fd)

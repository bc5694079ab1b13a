"""DICOM files: found, inspected, and their data sets streamed out.  PS3.10 section 7

Knows: the preamble, the prefix, the meta information of group 0002, and the file system. What is in a data
set is `transcode`'s business; files are written by `part10_writer`, whose class is here too. Invariants:
memory is one chunk, whatever the size; whatever is wrong with a file is a Part10Error, and nothing else.
"""

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct
from typing import Final

from dicos_proto.data import DataSetError, Walker, encoding, transcode
from dicos_proto.data.elements import LONG_VRS, SHORT_VRS, SOP_CLASS_UID, SOP_INSTANCE_UID, shown
from dicos_proto.data.transcode import CONVERTIBLE, TranscodeError, can_convert
from dicos_proto.limits import Limits
from dicos_proto.registry.uids import (
    DEFLATED_EXPLICIT_VR_LE,
    EXPLICIT_VR_BE,
    EXPLICIT_VR_LE,
    IMPLICIT_VR_LE,
    is_safe,
    name_of,
)
from dicos_proto.wire import Buffer

from ..buffers import Buffers
from .writer import TEMPORARY, Part10Writer, remove_stale_parts

__all__ = [
    "inspect",
    "read_chunks",
    "read_whole",
    "convert_chunks",
    "padded_chunks",
    "prepare",
    "Prepared",
    "can_convert",
    "find_files",
    "remove_stale_parts",
    "Part10File",
    "Part10Writer",
    "Part10Error",
    "CONVERTIBLE",
    "CHUNK",
    "META_LIMIT",
]

CHUNK: Final = 512 * 1024
"""Default size of the pieces a data set is read in, in bytes."""
POOLED: Final = CHUNK // 8
"""Pieces of so many bytes or fewer have memory of their own."""
KEPT: Final = 3
"""Buffers with pieces in use that a thread remembers, besides its newest."""
META_LIMIT: Final = 64 * 1024
"""Limit on the meta information (group 0002) of a file that is read, in bytes."""

PREFIX_END: Final = 132  # 128 bytes of preamble, then "DICM".  PS3.10 7.1
FIRST_READ: Final = 2048  # holds all of the meta information of an ordinary file

META_LENGTH: Final = 0x0000
MEDIA_STORAGE_SOP_CLASS_UID: Final = 0x0002
MEDIA_STORAGE_SOP_INSTANCE_UID: Final = 0x0003
TRANSFER_SYNTAX_UID: Final = 0x0010
_WANTED = (META_LENGTH, MEDIA_STORAGE_SOP_CLASS_UID, MEDIA_STORAGE_SOP_INSTANCE_UID, TRANSFER_SYNTAX_UID)

# Flags that only some systems have: binary mode is a matter of Windows; a FIFO is not waited for.
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)

_LIMITS: Final = Limits()

_TAG_VR_LENGTH = Struct("<HH2sH")
_LONG = Struct("<I")


_BUFFERS: Final = tuple((size, Buffers(size, KEPT)) for size in (2 * POOLED, 4 * POOLED, CHUNK))
"""By their size: a piece comes in the smallest that holds it, so that to keep it keeps little besides."""


class Part10Error(Exception):
    """A file that cannot be used: one line with its path, what was seen and what was allowed.

    It never holds a value from the data set.
    """

    def __init__(self, path: Path, reason: str) -> None:
        shown = str(path)
        super().__init__(f"{shown if shown.isprintable() else ascii(shown)}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Part10File:
    """What a C-STORE needs to know of a file: what it holds, and where the data set lies, in bytes."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data_offset: int
    data_length: int


def inspect(path: Path) -> Part10File:
    """Reads the meta information of the file at `path`, and of its data set the first elements at most.

    The SOP class and instance are those that the data set names, where that begins with them: receivers compare it
    with the command. The meta information says what they are otherwise.

    A bare data set is one too, without preamble and meta information, where it begins as one in implicit or explicit
    VR and names its SOP class and instance. Raises Part10Error: no DICOM file, cut short, unreadable.  PS3.10 7.1
    """
    with _opened(path) as (fd, size):
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
    """The data set as it lies on disk, in pieces of up to `chunk` bytes.

    A large piece is a view of memory that is used again once nobody holds a view of it: it may be kept, and keeps then
    less than twice its size.
    The file is open from the first piece to the last, or until the generator is closed. Raises Part10Error if
    it cannot be read or has become shorter than it was.
    """
    if chunk < 1:
        raise ValueError(f"pieces of {chunk} bytes")
    with _opened(file.path) as (fd, _):
        at, end = file.data_offset, file.data_offset + file.data_length
        while at < end:
            data = _read(fd, min(chunk, end - at), at)
            if not data:
                raise _shorter(file.path, end - at)
            at += len(data)
            yield data
            del data  # whoever asks for the next piece may be done with this one


def read_whole(file: Part10File) -> Buffer:
    """The data set as it lies on disk, of a file that is known to be small, as a piece of `read_chunks`. Raises
    Part10Error."""
    data: Buffer = b""
    try:
        fd = os.open(str(file.path), _READ)
        try:
            if file.data_length <= POOLED:  # to its end, and one byte more, which only something else would have there
                data = os.pread(fd, file.data_length + 1, file.data_offset)
            if len(data) != file.data_length:
                _check_regular(file.path, os.fstat(fd))
                data = _read(fd, file.data_length, file.data_offset)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:
        with _reported(file.path):
            _check_regular(file.path, os.stat(file.path))  # of what is no file any more, the system says less
        raise _unreadable(file.path, error) from error
    if len(data) < file.data_length:
        raise _shorter(file.path, file.data_length - len(data))
    return data


def _read(fd: int, most: int, offset: int) -> Buffer:
    """Up to `most` bytes, in memory of their own where they are few."""
    if not POOLED < most <= CHUNK or not hasattr(os, "preadv"):
        return os.pread(fd, most, offset)
    buffers = next(buffers for size, buffers in _BUFFERS if most <= size)
    view = buffers.free()[:most]
    return view[: os.preadv(fd, (view,), offset)]


def convert_chunks(
    file: Part10File,
    transfer_syntax: str,
    *,
    chunk: int = CHUNK,
    limits: Limits = _LIMITS,
) -> Generator[Buffer, None, None]:
    """The data set in `transfer_syntax`, in pieces of about `chunk` bytes.

    Implicit VR little endian, explicit VR little endian and deflated are converted into each other, in one
    pass and in the memory of a few chunks; what already is in `transfer_syntax` passes as it is. `limits` bound the
    bytes that come out of deflated ones (`inflate_ratio`, `inflate_bytes`) and the nesting (`sequence_depth`).
    Raises Part10Error: not a pair that is converted, not a data set, or a limit.
    """
    if not can_convert(file.transfer_syntax, transfer_syntax):
        raise Part10Error(
            file.path,
            f"is in {name_of(file.transfer_syntax)}, which cannot be converted to {name_of(transfer_syntax)}",
        )
    try:
        yield from transcode.convert(
            lambda: read_chunks(file, chunk=chunk),
            file.transfer_syntax,
            transfer_syntax,
            sop_class_uid=file.sop_class_uid,
            chunk=chunk,
            limits=limits,
        )
    except TranscodeError as error:
        raise Part10Error(file.path, str(error)) from error


def find_files(
    paths: Iterable[Path], *, recurse: bool, unreadable: Callable[[Part10Error], object] | None = None
) -> Iterator[Path]:
    """The files that `paths` name, in their order; with `recurse` those in folders too, sorted by name.

    A folder is entered once, however many links lead to it. Temporary files of writers are passed over.
    `unreadable` is called with a Part10Error for a path that does not exist, a folder that cannot be read, a folder
    without `recurse` or without files, and the search goes on; without it the error is raised.
    """

    def report(error: Part10Error) -> None:
        if unreadable is None:
            raise error
        unreadable(error)

    for path in paths:
        try:
            with _reported(path):
                is_folder = stat.S_ISDIR(os.stat(path).st_mode)
        except Part10Error as error:
            report(error)
            continue
        if not is_folder:
            yield path
            continue
        if not recurse:
            report(Part10Error(path, "is a folder (use -r)"))
            continue
        empty = True
        for found in _walk(path, report):
            if isinstance(found, Path):
                yield found
            empty = False
        if empty:
            report(Part10Error(path, "is a folder without files"))


def _named(data: bytes, transfer_syntax: str) -> tuple[str, str]:
    """SOP class and instance, as the beginning of the data set names them; "" for what is no UID, or not there."""
    found = encoding(transfer_syntax)
    if found is None or found[2] or (b"\x08\0\x18\0" not in data and found[1]):
        return "", ""
    walker = Walker(implicit=found[0], little=found[1], limits=_LIMITS)
    with suppress(DataSetError):  # it is no data set; what is made of it shows when it is sent
        at, size = 0, 512  # both are among the first elements
        while at < len(data) and len(walker.seen) < 2:
            walker.feed(data[at : at + size])
            at, size = at + size, 4 * size
    sop_class, sop_instance = (_text(walker.seen.get(tag, b"")).strip() for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID))
    return sop_class if is_safe(sop_class) else "", sop_instance if is_safe(sop_instance) else ""


def _bare(path: Path, data: bytes, size: int) -> Part10File | None:
    """A data set without preamble and meta information, in the transfer syntax that its first elements are in."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file about to be sent, after a look at the headers of its data set."""

    file: Part10File
    odd: tuple[int, ...] = ()
    """Tags of the first elements, up to 8, whose values have an odd number of bytes: they are padded."""
    odd_fragment: str | None = None
    """The first fragment with an odd number of bytes, in words, where there are several: they are sent as they are."""
    whole: Buffer | None = None
    """All of the data set, where it is small."""

    @property
    def told(self) -> str:
        """What is told of a file whose elements or fragments have odd lengths; "" of all others."""
        found = []
        if self.odd:
            found.append(f"odd length of {', '.join(map(shown, self.odd))}: padded [PS3.5 7.1.1]")
        if self.odd_fragment is not None:
            found.append(f"odd length of {self.odd_fragment}: sent as it is [PS3.5 A.4]")
        return "; ".join(found)

    def chunks(self, transfer_syntax: str) -> Generator[Buffer, None, None]:
        """The data set as it is sent: as it lies on disk, padded where that has to be, or converted. Raises
        Part10Error."""
        file = self.file
        if transfer_syntax != file.transfer_syntax:
            yield from convert_chunks(file, transfer_syntax)
        elif self.odd:
            yield from padded_chunks(file)
        else:
            if self.whole is not None:
                yield self.whole
            else:
                yield from read_chunks(file)
            if file.data_length % 2:
                yield b"\0"  # the padding that its writer forgot  PS3.5 A.5


def where(path: Path) -> tuple[int, str]:
    """Where the data set of a file begins, in bytes, and its transfer syntax, "" where it is not named: of any file
    with meta information, an instance or not. Raises Part10Error."""
    with _opened(path) as (fd, _):
        found, offset, _ = _read_meta(path, fd, os.read(fd, FIRST_READ))
    return offset, _text(found.get(TRANSFER_SYNTAX_UID, b""))


def prepare(file: Part10File) -> Prepared:
    """Looks which values have to be padded to be sent. Of a large data set nothing but the headers is read.

    Raises Part10Error for a data set that no padding of elements makes even: one of an odd number of bytes that is cut
    short, or one with a fragment of an odd length, whose padding would move what its table of offsets points at.
    """
    whole = read_whole(file) if file.data_length <= POOLED else None
    found, odd = encoding(file.transfer_syntax), file.data_length % 2 == 1
    size = f"a data set of {file.data_length} bytes" + ", an odd number" * odd
    if found is None or found[2]:
        if odd and found is None:
            raise Part10Error(file.path, f"has {size}, in a transfer syntax that is not known here")
        return Prepared(file=file, whole=whole)
    walker = Walker(implicit=found[0], little=found[1], limits=_LIMITS)
    try:
        if whole is not None:
            walker.feed(whole)
        else:
            _look(file, walker)
        walker.finish()
    except DataSetError as error:
        if odd:
            raise Part10Error(file.path, f"has {size}: {error}") from error
        return Prepared(file=file, whole=whole)  # what is none is for the receiver to say
    fragment = walker.odd_fragment
    if (file.data_length + walker.odd_values) % 2:  # it would be odd when all is padded that can be
        if fragment is not None:
            raise Part10Error(file.path, f"has {size}: {fragment} has an odd length [PS3.5 A.4]")
        file, whole = replace(file, data_length=walker.ended), None  # zeros follow its end
    if walker.odd:
        whole = None
    return Prepared(file=file, odd=tuple(walker.odd), odd_fragment=fragment, whole=whole)


def _look(file: Part10File, walker: Walker) -> None:
    at, end = file.data_offset, file.data_offset + file.data_length
    with _opened(file.path) as (fd, _):
        while at < end:
            if walker.wanted:
                size = min(walker.wanted, end - at)
                walker.skip(size)
            else:
                data = os.pread(fd, min(FIRST_READ, end - at), at)
                if not data:
                    raise _shorter(file.path, end - at)
                walker.feed(data)
                size = len(data)
            at += size


def padded_chunks(file: Part10File, *, chunk: int = CHUNK) -> Generator[Buffer, None, None]:
    """The data set in its own transfer syntax, each value of an odd number of bytes made even by a byte of padding.
    Raises Part10Error.  PS3.5 7.1.1"""
    try:
        with closing(read_chunks(file, chunk=chunk)) as chunks:
            yield from transcode.padded(chunks, file.transfer_syntax, chunk=chunk)
    except TranscodeError as error:
        raise Part10Error(file.path, str(error)) from error


def _read_meta(path: Path, fd: int, data: bytes) -> tuple[dict[int, bytes], int, bytes]:
    """The wanted values of group 0002 by element, where the data set begins, and what was read. `data`: the beginning.

    The elements themselves tell: the group length is missing or wrong in many files. It is believed only
    before deflated data, whose first bytes may look like anything.
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
    """`data` and what follows it, as far as meta information and one more element header may reach."""
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


def _shorter(path: Path, missing: int) -> Part10Error:
    return Part10Error(path, f"has become shorter while it was read: {missing} bytes are missing")


def _check_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Part10Error(path, "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """What the system says about `path`, as one line."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(path, error) from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    """The regular file at `path`, open for reading, and its size in bytes."""
    with _reported(path):
        fd = os.open(path, _READ)
        try:
            status = os.fstat(fd)
            _check_regular(path, status)
            yield fd, status.st_size
        finally:
            os.close(fd)


def _walk(folder: Path, report: Callable[[Part10Error], None]) -> Iterator[Path | None]:
    """Every file below `folder`, sorted by name, a folder's own files first; None for a folder that was reported."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with _reported(here):
                status = os.stat(here)
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(here) as entries:
                    listed = sorted((entry.name, _is_folder(entry)) for entry in entries)
        except Part10Error as error:
            report(error)
            yield None
            continue
        for name, is_folder in listed:
            is_temporary = name.startswith(TEMPORARY[0]) and name.endswith(TEMPORARY[1])
            if not is_folder and not is_temporary:
                yield here / name
        waiting.extend(here / name for name, is_folder in reversed(listed) if is_folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say: inspect tells
        return False

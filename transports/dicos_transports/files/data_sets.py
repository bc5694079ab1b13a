"""The data set of a file in the form in which it is sent: as it is on disk, padded to even lengths, or converted.

Knows: which values have odd lengths, and what can be converted to what. Must not know: associations. Invariants: memory
is a few chunks, whatever the size; every fault of a file is a Part10Error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from dicos_proto.data import DataSetError, Walker, encoding, transcode
from dicos_proto.data.elements import LONGEST, PIXEL_DATA, shown
from dicos_proto.data.transcode import CONVERTIBLE, DICOS_PREFIX, TranscodeError
from dicos_proto.dicos import codecs
from dicos_proto.dicos.codecs import CodecError
from dicos_proto.dicos.compressing import Item, PixelTranscoder, can_transcode
from dicos_proto.dicos.profile import COMPRESSED, transfer_syntaxes
from dicos_proto.limits import Limits
from dicos_proto.registry.uids import DICOS_EXPLICIT_VR_LE_EXTENDED, IMPLICIT_VR_LE, name_of
from dicos_proto.wire import Buffer

from .coding import coded
from .part10 import (
    CHUNK,
    FIRST_READ,
    POOLED,
    Part10Error,
    Part10File,
    check_file,
    opened,
    read_chunks,
    read_whole,
    shrunk,
)

__all__ = [
    "CONVERTIBLE",
    "Prepared",
    "can_convert",
    "can_transcode",
    "compressible",
    "convert_chunks",
    "padded_chunks",
    "prepare",
]

_LIMITS: Final = Limits()


def convert_chunks(
    file: Part10File,
    transfer_syntax: str,
    *,
    chunk: int = CHUNK,
    limits: Limits = _LIMITS,
    threads: int | None = None,
    taken: Callable[[int], None] | None = None,
) -> Generator[Buffer, None, None]:
    """Yields the data set in `transfer_syntax`, in pieces of about `chunk` bytes.

    Implicit VR little endian, explicit VR little endian, DICOS's extended one and deflated are converted into each
    other, in one pass and in the memory of a few chunks; a data set that already is in `transfer_syntax` is not
    changed. `limits` bounds the bytes inflated from a deflated data set (`inflate_ratio`, `inflate_bytes`) and its
    nesting (`sequence_depth`). Raises Part10Error for two transfer syntaxes that are not converted, for bytes that are
    not a data set, for a value that is too long for `transfer_syntax`, and if a limit is exceeded.

    Pixel data is compressed to JPEG lossless SV1 and RLE, and decompressed from them, frame by frame in `threads`, in
    the memory of a few frames for each; the extra `compression` has to be installed. `taken` is called with the size of
    each piece of the file whose pixel data is compressed or decompressed.
    """
    check_file(file, "convert_chunks")
    if not can_convert(file.transfer_syntax, transfer_syntax):
        raise Part10Error(
            file.path,
            f"is in {name_of(file.transfer_syntax)}, which cannot be converted to {name_of(transfer_syntax)}",
        )
    try:
        if can_transcode(file.transfer_syntax, transfer_syntax):
            yield from coded(_items(file, transfer_syntax, chunk, limits, taken), threads=threads)
            return
        yield from transcode.convert(
            lambda: read_chunks(file, chunk=chunk),
            file.transfer_syntax,
            transfer_syntax,
            sop_class_uid=file.sop_class_uid,
            chunk=chunk,
            limits=limits,
        )
    except (TranscodeError, DataSetError) as error:
        raise Part10Error(file.path, str(error)) from error


def can_convert(from_ts: str, to_ts: str) -> bool:
    """Returns True if a data set in `from_ts` can be converted to `to_ts`, pixel data compressed or decompressed."""
    return transcode.can_convert(from_ts, to_ts) or can_transcode(from_ts, to_ts)


def compressible(sop_class_uid: str) -> bool:
    """Returns False for the classes of DICOS that have no pixel data of up to 16 bits, which no codec here is for."""
    return not sop_class_uid.startswith(DICOS_PREFIX) or COMPRESSED[0] in transfer_syntaxes(sop_class_uid)


def _items(
    file: Part10File, transfer_syntax: str, chunk: int, limits: Limits, taken: Callable[[int], None] | None
) -> Iterator[Item]:
    with closing(read_chunks(file, chunk=chunk)) as chunks:
        signed = file.transfer_syntax == IMPLICIT_VR_LE and transcode.is_signed(chunks, limits=limits)
    transcoder = PixelTranscoder(
        file.transfer_syntax, transfer_syntax, sop_class_uid=file.sop_class_uid, signed=signed, limits=limits
    )
    with closing(read_chunks(file, chunk=chunk)) as chunks:
        for data in chunks:
            yield from transcoder.feed(data)
            if taken is not None:
                taken(len(data))
        yield from transcoder.finish()


def padded_chunks(file: Part10File, *, chunk: int = CHUNK) -> Generator[Buffer, None, None]:
    """Yields the data set in its own transfer syntax, with each value of odd length padded by one byte [PS3.5 7.1.1].

    Raises Part10Error.
    """
    check_file(file, "padded_chunks")
    try:
        with closing(read_chunks(file, chunk=chunk)) as chunks:
            yield from transcode.padded(chunks, file.transfer_syntax, chunk=chunk)
    except TranscodeError as error:
        raise Part10Error(file.path, str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file that is about to be sent, after the element headers of its data set have been checked."""

    file: Part10File
    odd: tuple[int, ...] = ()
    """Tags of the first elements, at most 8, whose values have an odd length: they are padded."""
    odd_fragment: str | None = None
    """The first of several fragments with an odd length, in words: fragments are sent unchanged."""
    whole: Buffer | None = None
    """The whole data set, if it is small."""
    large: int | None = None
    """Tag of the first element whose value has more than 4,294,967,294 bytes, which only DICOS's extended explicit VR
    has room for."""

    @property
    def told(self) -> str:
        """The warning about elements or fragments of odd length; "" if there are none."""
        found = []
        if self.odd:
            found.append(f"odd length of {', '.join(map(shown, self.odd))}: padded [PS3.5 7.1.1]")
        if self.odd_fragment is not None:
            found.append(f"odd length of {self.odd_fragment}: sent as it is [PS3.5 A.4]")
        return "; ".join(found)

    def check(self, transfer_syntax: str) -> None:
        """Raises Part10Error if a value is too long for this transfer syntax, or if it needs codecs that are not
        installed."""
        file = self.file
        if can_transcode(file.transfer_syntax, transfer_syntax):
            try:
                codecs.require()
            except CodecError as error:
                raise Part10Error(file.path, str(error)) from error
        if self.large is None or transfer_syntax == DICOS_EXPLICIT_VR_LE_EXTENDED:
            return
        if self.large != PIXEL_DATA or not can_transcode(file.transfer_syntax, transfer_syntax):
            raise Part10Error(
                file.path,
                f"has more than {LONGEST} bytes in {shown(self.large)}, too many for {name_of(transfer_syntax)}",
            )

    def chunks(
        self, transfer_syntax: str, *, threads: int | None = None, taken: Callable[[int], None] | None = None
    ) -> Generator[Buffer, None, None]:
        """Yields the data set as it is sent: as it is on disk, padded if necessary, or converted (`convert_chunks`).
        Raises Part10Error."""
        file = self.file
        self.check(transfer_syntax)
        if transfer_syntax != file.transfer_syntax:
            yield from convert_chunks(file, transfer_syntax, threads=threads, taken=taken)
        elif self.odd:
            yield from padded_chunks(file)
        else:
            if self.whole is not None:
                yield self.whole
            else:
                yield from read_chunks(file)
            if file.data_length % 2:
                yield b"\0"  # the padding of deflated data that its writer left out  # PS3.5 A.5


def prepare(file: Part10File) -> Prepared:
    """Finds the values that have to be padded before the file is sent. If the data set is large, only its headers are
    read.

    Raises Part10Error for a data set of odd length that padding elements cannot make even: one that is cut short, or
    one with a fragment of odd length, because padding a fragment would move what the offset table points at.
    """
    whole = read_whole(file) if file.data_length <= POOLED else None
    found, odd = encoding(file.transfer_syntax), file.data_length % 2 == 1
    size = f"a data set of {file.data_length} bytes" + ", an odd number" * odd
    if found is None or found[2]:
        if odd and found is None:
            raise Part10Error(file.path, f"has {size}, in a transfer syntax that is not known here")
        return Prepared(file=file, whole=whole)
    walker = Walker(implicit=found[0], little=found[1], limits=_LIMITS, extended=found.extended)
    try:
        if whole is not None:
            walker.feed(whole)
        else:
            _read_headers(file, walker)
        walker.finish()
    except DataSetError as error:
        if odd:
            raise Part10Error(file.path, f"has {size}: {error}") from error
        return Prepared(file=file, whole=whole, large=walker.large)  # not a data set: the receiver decides
    fragment = walker.odd_fragment
    if (file.data_length + walker.odd_values) % 2:  # still odd with every odd element padded
        if fragment is not None:
            raise Part10Error(file.path, f"has {size}: {fragment} has an odd length [PS3.5 A.4]")
        file, whole = replace(file, data_length=walker.ended), None  # zeros after the end are left out
    if walker.odd:
        whole = None
    return Prepared(file=file, odd=tuple(walker.odd), odd_fragment=fragment, whole=whole, large=walker.large)


def _read_headers(file: Part10File, walker: Walker) -> None:
    at, end = file.data_offset, file.data_offset + file.data_length
    with opened(file.path) as (fd, _):
        while at < end:
            if walker.wanted:
                size = min(walker.wanted, end - at)
                walker.skip(size)
            else:
                data = os.pread(fd, min(FIRST_READ, end - at), at)
                if not data:
                    raise shrunk(file.path, end - at)
                walker.feed(data)
                size = len(data)
            at += size

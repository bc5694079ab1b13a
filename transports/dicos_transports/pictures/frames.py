"""The frames of a file, one after the other: where its pixel data lies, and how each frame is read.

Knows: Part 10 files, native and encapsulated pixel data. Must not know: what the pixels mean. Invariants: the memory is
what stands before the pixel data, up to `MOST_BEFORE`, and one frame, up to `LARGEST_FRAME`; every size that the file
claims is compared with the bytes that are there, or with such a limit, before anything is allocated; every fault is a
Part10Error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from struct import Struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID

from dicos_proto.data import DataSetError, Walker, decode_object, encoding
from dicos_proto.dicos.codecs import DECODED, CodecError, decode
from dicos_proto.dicos.errors import DicosError
from dicos_proto.dicos.pixels import ELEMENTS, Layout, frame_of, layout_of
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.wire import Buffer

from ..files.part10 import Part10Error, Part10File, inspect, opened, read_chunks

__all__ = ["FramesOfFile", "LARGEST_FRAME", "open_dataset", "open_frames"]

MOST_BEFORE: Final = 64 * 1024 * 1024
"""Bytes before the pixel data, or of a data set without any, that are read into memory."""
LARGEST_FRAME: Final = 512 * 1024 * 1024
"""Bytes of one frame."""
MOST_FRAGMENTS: Final = 1_000_000
_LIMITS: Final = Limits()
_PIXELS: Final = frozenset(one.tag for one in ELEMENTS)
_HEADERS: Final = 16
"""The longest header of an element, with eight bytes of length."""
_ITEM: Final = Struct("<HHL")
_ROOT: Final = 1


@dataclass(frozen=True, slots=True)
class FramesOfFile:
    """The frames of a file, and the attributes before them."""

    path: Path
    dataset: Dataset
    """Everything before the pixel data."""
    layout: Layout
    transfer_syntax: str
    places: tuple[tuple[tuple[int, int], ...], ...]
    """Position and size of the parts of each frame in the file."""
    is_native: bool

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yields each frame, shape (rows, columns). Raises Part10Error."""
        with opened(self.path) as (fd, _):
            for number, parts in enumerate(self.places, 1):
                data = b"".join(os.pread(fd, size, at) for at, size in parts)
                missing = sum(size for _, size in parts) - len(data)
                if missing:
                    raise Part10Error(self.path, f"is cut short in frame {number}: {missing} bytes are missing")
                yield self._frame(data, number)

    def _frame(self, data: bytes, number: int) -> NDArray[Any]:
        rows, columns, dtype = self.layout.rows, self.layout.columns, self.layout.dtype
        if self.is_native:
            return np.frombuffer(data, dtype).reshape(rows, columns)
        try:
            native = decode(data, frame_of(self.dataset, self.layout), self.transfer_syntax)
        except (CodecError, DicosError) as error:
            raise Part10Error(self.path, f"frame {number} cannot be decompressed: {error}") from None
        return np.frombuffer(native, dtype).reshape(rows, columns)


class _FoundPixels(Exception):
    """Pixel data begins here: its tag, its position, its size, None if it is in fragments, and its VR."""

    def __init__(self, tag: int, at: int, size: int | None, vr: bytes | None) -> None:
        self.tag = tag
        self.at = at
        self.size = size
        self.vr = (vr or b"OW").decode("ascii", "replace")


class _Finder(Walker):
    """Walks to the pixel data of the data set itself; that of an icon is deeper."""

    __slots__ = ()

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        if tag in _PIXELS and len(self._levels) == _ROOT:
            raise _FoundPixels(tag, self._position + at, length, vr)

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        if tag in _PIXELS and len(self._levels) == _ROOT + 1:
            raise _FoundPixels(tag, self._position + at, None, vr)


@dataclass(frozen=True, slots=True)
class _Located:
    """A file whose data set is read up to its pixel data, and where that is; None if it has none."""

    file: Part10File
    dataset: Dataset
    tag: int | None = None
    vr: str = ""
    at: int = 0
    size: int | None = None
    """None if it is in fragments."""


def open_frames(path: Path) -> FramesOfFile | None:
    """Returns the frames of a file, None if it has no pixel data. Raises Part10Error."""
    found = _located(path)
    return None if found.tag is None else _frames(found, found.tag)


def open_dataset(path: Path) -> Dataset:
    """Returns the data set of a file. Its pixel data is mapped into memory, not read; fragments are left out, as is
    what stands after pixel data. Raises Part10Error."""
    found = _located(path)
    if found.tag is None:
        return found.dataset
    dataset, tag = found.dataset, Tag(found.tag)
    if found.size is None:
        element = DataElement(tag, "OB", b"", is_undefined_length=True, already_converted=True)
    else:
        mapped = memoryview(b"")
        if found.size:
            with opened(path) as (fd, _):
                mapped = memoryview(mmap(fd, 0, access=ACCESS_READ))[found.at : found.at + found.size]
        element = DataElement(tag, found.vr, mapped, already_converted=True, validation_mode=IGNORE)
    dataset.add(element)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(found.file.transfer_syntax)
    return dataset


def _located(path: Path) -> _Located:
    file = inspect(path)
    found = encoding(file.transfer_syntax)
    if found is None or found.deflated:
        raise Part10Error(path, f"{uids.name_of(file.transfer_syntax)} is not read here")
    before = bytearray()
    walker = _Finder(
        implicit=found.implicit, little=found.little, extended=found.extended, limits=_LIMITS, size=file.data_length,
        tokens=True,
    )  # fmt: skip
    try:
        with closing(read_chunks(file)) as chunks:
            for chunk in chunks:
                before += chunk
                walker.feed(chunk)
                if len(before) > MOST_BEFORE:
                    raise Part10Error(path, f"more than {MOST_BEFORE} bytes without pixel data")
            walker.finish()
    except _FoundPixels as pixels:
        head = bytes(before[: _header_before(before, pixels.at)])
        at = file.data_offset + pixels.at
        return _Located(file, _decoded(file, head), pixels.tag, pixels.vr, at, pixels.size)
    except DataSetError as error:
        raise Part10Error(path, str(error)) from None
    return _Located(file, _decoded(file, bytes(before)))


def _header_before(before: bytearray, content: int) -> int:
    """The position of the header of the pixel data, whose content begins at `content`."""
    candidates = (before.rfind(one, max(0, content - _HEADERS), content) for one in _TAGS)
    return max(candidates)


_TAGS: Final = tuple(Struct(order).pack(tag >> 16, tag & 0xFFFF) for tag in _PIXELS for order in ("<HH", ">HH"))


def _decoded(file: Part10File, data: bytes) -> Dataset:
    syntax = file.transfer_syntax
    try:
        return decode_object(data, syntax, replace(_LIMITS, collected=MOST_BEFORE + 1024 * 1024))
    except DataSetError as error:
        raise Part10Error(file.path, str(error)) from None


def _frames(found: _Located, tag: int) -> FramesOfFile:
    file, dataset = found.file, found.dataset
    dataset.add(DataElement(Tag(tag), "OW", b"", already_converted=True, validation_mode=IGNORE))
    try:
        layout = layout_of(dataset)
    except DicosError as error:
        raise Part10Error(file.path, str(error)) from None
    del dataset[Tag(tag)]
    if file.transfer_syntax == uids.EXPLICIT_VR_BE:
        layout = replace(layout, dtype=layout.dtype.newbyteorder(">"))
    frame = layout.size // layout.frames
    if frame > LARGEST_FRAME:
        raise Part10Error(file.path, f"a frame of {frame} bytes; {LARGEST_FRAME} are allowed")
    places: tuple[tuple[tuple[int, int], ...], ...]
    if found.size is not None:
        if found.size < layout.size:
            raise Part10Error(file.path, f"{found.size} bytes of pixel data; {layout.size} are needed")
        places = tuple(((found.at + number * frame, frame),) for number in range(layout.frames))
    elif file.transfer_syntax in DECODED:
        places = _fragments(file, found.at, layout.frames)
    else:
        raise Part10Error(
            file.path, f"compressed pixel data in {uids.name_of(file.transfer_syntax)}, which is not read"
        )
    return FramesOfFile(file.path, dataset, layout, file.transfer_syntax, places, found.size is not None)


def _fragments(file: Part10File, at: int, frames: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Returns the place of each frame: of one fragment each, or of all fragments if there is one frame [PS3.5 A.4]."""
    found: list[tuple[int, int]] = []
    end = file.data_offset + file.data_length
    with opened(file.path) as (fd, _):
        while len(found) <= MOST_FRAGMENTS:
            header = os.pread(fd, _ITEM.size, at)
            if len(header) < _ITEM.size:
                raise Part10Error(file.path, f"is cut short after {max(0, len(found) - 1)} fragments of pixel data")
            group, element, size = _ITEM.unpack(header)
            if (group, element) == (0xFFFE, 0xE0DD):
                break
            if (group, element) != (0xFFFE, 0xE000) or size > end - at - _ITEM.size:
                raise Part10Error(
                    file.path, f"fragment {len(found)} of the pixel data is not a fragment or is cut short"
                )
            found.append((at + _ITEM.size, size))
            at += _ITEM.size + size
    own = found[1:]  # the first one is the table of offsets
    if frames != len(own) and (frames != 1 or not own):
        raise Part10Error(file.path, f"{len(own)} fragments of pixel data for {frames} frames; one for each is needed")
    if max(size for _, size in own) > LARGEST_FRAME or (frames == 1 and sum(size for _, size in own) > LARGEST_FRAME):
        raise Part10Error(file.path, f"a compressed frame of more than {LARGEST_FRAME} bytes")
    return (tuple(own),) if frames == 1 else tuple((one,) for one in own)

"""The facts about a scan that the index and reports need, read without its pixels; and the refusal of other objects.

The walk reads the elements and skips the pixels, whatever the size: it takes milliseconds for a 300 MB CT.

Knows: the elements that tell the size of a scan. Must not know: pixels, the index. Invariants: memory is that
of a walk; no value of a data set is in an error; nothing is mapped into memory, because the writer of a watched file
may cut it short meanwhile, which would end the station by SIGBUS.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from dicos_proto.data import decode_object
from dicos_proto.data.elements import DataSetError, encoding, shown
from dicos_proto.data.tokens import WHOLE
from dicos_proto.data.walker import Walker
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from dicos_proto.wire import Buffer

from ..files.part10 import Part10Error, Part10File, inspect, read_chunks

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["SCAN_CLASSES", "Header", "NotAScan", "read_header", "read_heading"]

SCAN_CLASSES: Final = tuple(
    uid
    for name, uid in sorted(vars(uids).items())
    if name.startswith(("DICOS_CT", "DICOS_DX", "DICOS_AIT")) and isinstance(uid, str)
)
"""The SOP classes that a station takes: CT, DX and AIT of every kind."""

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_OOI_ID, _FRAMES, _ROWS, _COLUMNS, _BITS = 0x00100020, 0x00280008, 0x00280010, 0x00280011, 0x00280100
_SAMPLES: Final = 0x00280002
_WANTED: Final = frozenset((_SOP_CLASS, _SOP_INSTANCE, _OOI_ID, _FRAMES, _ROWS, _COLUMNS, _BITS, _SAMPLES))
_PIXELS: Final = frozenset((0x7FE00010, 0x7FE00008, 0x7FE00009, 0x7FE00011, 0x7FE00012, 0x7FE00013))
"""The elements that may hold pixel data, in DICOM and in DICOS (`dicos_proto.dicos.pixels`, which needs numpy)."""
_PIECE: Final = 1 << 16
_GROUPS: Final = 0x52000000
"""The functional groups, the pixel data and what lies between them follow here."""
MOST_BEFORE: Final = 1 << 26
"""Bytes of a heading that are read into memory."""
_HEADER: Final = 16
"""Bytes of the longest header of an element."""


class NotAScan(Exception):
    """An object that the station refuses. `status`: the status of a C-STORE response. The text has no values."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The facts about a scan. `ooi_id`: the identifier of the object of inspection, "" if there is none."""

    file: Part10File
    size: int
    ooi_id: str
    decompressed: int
    """Bytes of the pixels once they are decompressed, as the attributes claim; 0 if they are not compressed."""


class _Look(Walker):
    """Keeps the values of some elements of the data set itself."""

    __slots__ = ("_big", "_frames_vr", "encapsulated", "found", "pixels")

    def __init__(self, transfer_syntax: str, size: int) -> None:
        known = encoding(transfer_syntax)
        assert known is not None
        super().__init__(
            implicit=known.implicit, little=known.little, extended=known.extended, limits=Limits(), size=size,
            tokens=True,
        )  # fmt: skip
        self._big = not known.little
        self._frames_vr: bytes | None = None
        self.found: dict[int, bytes] = {}
        self.pixels: int | None = None
        self.encapsulated = False

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        if self._nested:
            return
        if tag in _WANTED and length <= WHOLE:
            self.found[tag] = bytes(data[at : at + length])
            if tag == _FRAMES:
                self._frames_vr = vr
        elif tag in _PIXELS:
            self.pixels = length

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        if len(self._levels) == 2 and tag in _PIXELS:  # the fragments are the second level
            self.pixels, self.encapsulated = 0, True

    def number(self, tag: int) -> int | None:
        """An unsigned number in 16 bits."""
        value = self.found.get(tag, b"")
        return int.from_bytes(value, "big" if self._big else "little") if len(value) == 2 else None

    def frames(self) -> list[int]:
        """The possible values of Number of Frames, which is US in DICOS and IS in DICOM: one if the value
        representation is written, up to two in implicit VR, 1 if there is none."""
        if _FRAMES not in self.found:
            return [1]
        text, number = self.found[_FRAMES].strip(b" \0"), self.number(_FRAMES)
        found = [] if number is None or self._frames_vr == b"IS" else [number]
        if self._frames_vr != b"US" and text.isdigit():
            found.append(int(text))
        return found


def read_header(path: Path) -> Header:
    """Reads the facts of the scan in a file [PS3.10 7], and checks that its pixels are all there.

    Raises `NotAScan` for anything that is not a scan, is cut short or contradicts itself.
    """
    try:
        file = inspect(path)
    except Part10Error as error:
        raise NotAScan(status.CANNOT_UNDERSTAND, error.reason) from error
    if file.sop_class_uid not in SCAN_CLASSES:
        raise NotAScan(status.SOP_CLASS_NOT_SUPPORTED, f"not a scan: {uids.name_of(file.sop_class_uid)[:64]!a}")
    known = encoding(file.transfer_syntax)
    if known is None or known.deflated:
        raise NotAScan(status.CANNOT_UNDERSTAND, "a transfer syntax that is not read here")
    try:
        look = _walk(file)
    except DataSetError as error:
        raise NotAScan(status.CANNOT_UNDERSTAND, str(error)) from error
    except (OSError, ValueError) as error:
        raise NotAScan(status.CANNOT_UNDERSTAND, "cannot be read") from error
    claimed = _check_pixels(look)
    ooi_id = look.found.get(_OOI_ID, b"").decode("utf-8", "replace").strip(" \0")
    return Header(file=file, size=file.data_length, ooi_id=ooi_id, decompressed=claimed if look.encapsulated else 0)


def _walk(file: Part10File) -> _Look:
    look = _Look(file.transfer_syntax, file.data_length)
    with file.path.open("rb", buffering=0) as opened:
        at, end = file.data_offset, file.data_offset + file.data_length
        while at < end:
            if passed := min(look.wanted, end - at):
                look.skip(passed)
            else:
                piece = os.pread(opened.fileno(), min(_PIECE, end - at), at)
                if not piece:
                    raise OSError("the file has become shorter meanwhile")
                look.feed(piece)
                passed = len(piece)
            at += passed
    look.finish()
    return look


def _check_pixels(look: _Look) -> int:
    """Returns the bytes of the pixels, as the attributes claim. Raises `NotAScan`."""
    rows, columns, bits = (look.number(tag) for tag in (_ROWS, _COLUMNS, _BITS))
    for tag, value in ((_ROWS, rows), (_COLUMNS, columns), (_BITS, bits)):
        if not value:
            raise NotAScan(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, f"{shown(tag)} is missing or 0")
    frames = [count for count in look.frames() if count]
    if not frames:
        raise NotAScan(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, f"{shown(_FRAMES)} is 0 or not a number")
    if look.pixels is None:
        raise NotAScan(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "no pixel data")
    needed = (rows or 0) * (columns or 0) * min(frames) * ((bits or 0) // 8)
    if not look.encapsulated and look.pixels < needed:
        raise NotAScan(
            status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, f"{look.pixels} bytes of pixel data where {needed} are needed"
        )
    samples = look.number(_SAMPLES) or 1
    return (rows or 0) * (columns or 0) * max(frames) * -(-(bits or 0) * samples // 8)


class _Far(Exception):
    """The heading ends: the content of the element after it begins at `at`."""

    def __init__(self, tag: int, at: int) -> None:
        self.tag = tag
        self.at = at


class _Heading(_Look):
    """Walks to the first element that is no longer part of the heading."""

    __slots__ = ()

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        if not self._nested and tag >= _GROUPS:
            raise _Far(tag, self._position + at)

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        if len(self._levels) == 2 and tag >= _GROUPS:
            raise _Far(tag, self._position + at)


def read_heading(path: Path) -> Dataset:
    """Reads the attributes before the functional groups and the pixel data, as pydicom has them. Raises
    `Part10Error`."""
    file = inspect(path)
    known = encoding(file.transfer_syntax)
    if known is None or known.deflated:
        raise Part10Error(path, "is in a transfer syntax that is not read here")
    look, before = _Heading(file.transfer_syntax, file.data_length), bytearray()
    try:
        with closing(read_chunks(file)) as chunks:
            for chunk in chunks:
                before += chunk
                look.feed(chunk)
                if len(before) > MOST_BEFORE:
                    raise Part10Error(path, f"more than {MOST_BEFORE} bytes before its pixels and functional groups")
    except _Far as far:
        order: Literal["little", "big"] = "little" if known.little else "big"
        name = (far.tag >> 16).to_bytes(2, order) + (far.tag & 0xFFFF).to_bytes(2, order)
        del before[before.rfind(name, max(0, far.at - _HEADER), far.at) :]
    except DataSetError as error:
        raise Part10Error(path, str(error)) from None
    try:
        return decode_object(bytes(before), file.transfer_syntax)
    except DataSetError as error:
        raise Part10Error(path, str(error)) from None

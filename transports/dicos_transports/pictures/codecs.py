"""Decompresses one frame: JPEG lossless and RLE.

Knows: the two formats. Must not know: files. Invariants: the size that the compressed bytes claim is compared with the
expected one before anything is decompressed, and what comes out is not longer.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812  it has no better name
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dicos_proto.registry import uids

__all__ = ["COMPRESSED", "decode"]

COMPRESSED: Final = frozenset((uids.JPEG_LOSSLESS, uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS))
_SOF3: Final = 0xC3
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEGMENT: Final = Struct(">BBH")
_FRAME: Final = Struct(">BHHB")
_RLE: Final = Struct("<16L")


def decode(data: bytes, transfer_syntax: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns a frame of `shape` (rows, columns). Raises ValueError for what is no such frame."""
    try:
        if transfer_syntax == uids.RLE_LOSSLESS:
            return _rle(data, shape, dtype)
        return _jpeg(data, shape, dtype)
    except StructError:
        raise ValueError("it is cut short") from None


def _jpeg(data: bytes, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """JPEG lossless, process 14 [PS3.5 A.4.1]."""
    from imagecodecs import Jpeg8Error, jpeg8_decode

    bits, rows, columns, components = _frame_header(data)
    if (rows, columns) != shape or components != 1 or dtype.kind == "f" or bits > 8 * dtype.itemsize:
        raise ValueError(
            f"it has {rows} rows, {columns} columns, {components} components and {bits} bits; {shape[0]} rows, "
            f"{shape[1]} columns, 1 component and up to {8 * dtype.itemsize} bits are needed"
        )
    if not data[-3:].rstrip(b"\0").endswith(b"\xff\xd9"):  # the decoder makes grey of what is missing
        raise ValueError("it is cut short")
    try:
        found = jpeg8_decode(data)
    except Jpeg8Error:
        raise ValueError("it is corrupt") from None
    unsigned = found.astype(f"<u{dtype.itemsize}", copy=False)
    return unsigned.view(dtype).reshape(shape)


def _frame_header(data: bytes) -> tuple[int, int, int, int]:
    """Bits, rows, columns and components of a lossless JPEG image."""
    at = 2
    if data[:2] != b"\xff\xd8":
        raise ValueError("it is no JPEG image")
    while True:
        mark, kind, length = _SEGMENT.unpack_from(data, at)
        if mark != 0xFF or length < 2:
            raise ValueError("it has no frame header")
        if kind in _FRAME_HEADERS:
            if kind != _SOF3:
                raise ValueError("it is no lossless JPEG image")
            bits, rows, columns, components = _FRAME.unpack_from(data, at + _SEGMENT.size)
            return bits, rows, columns, components
        at += 2 + length


def _rle(data: bytes, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A segment for each byte of a sample, the highest first [PS3.5 G]."""
    from imagecodecs import PackbitsError, packbits_decode

    count, *starts = _RLE.unpack_from(data)
    if count != dtype.itemsize or count > len(starts):
        raise ValueError(f"it has {count} segments; {dtype.itemsize} are needed")
    size = shape[0] * shape[1]
    planes = np.empty((count, size), np.uint8)
    for index, (start, end) in enumerate(zip(starts[:count], [*starts[1:count], len(data)], strict=True)):
        segment = data[start:end]
        try:
            plane = packbits_decode(segment, out=size) if _unpacked(segment, size) else b""
        except PackbitsError:
            plane = b""
        if len(plane) < size:
            raise ValueError(f"segment {index + 1} is corrupt or has less than {size} bytes")
        planes[index] = np.frombuffer(plane, np.uint8, count=size)
    return np.ascontiguousarray(planes[::-1].T).view(dtype.newbyteorder("<")).reshape(shape)


def _unpacked(segment: bytes, size: int) -> bool:
    """True if the segment can hold so many bytes: two bytes are at most 128."""
    return 64 * len(segment) >= size

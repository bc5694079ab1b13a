"""Codecs of one frame: JPEG lossless [PS3.5 A.4.1, 8.2.1] and RLE [PS3.5 A.4.2, annex G], as pure functions.

A frame is native pixel data in little endian: rows x columns x samples, of 8 or 16 bits each. An encoded frame is what
the fragments of one frame hold together.

| transfer syntax | encoded as | decoded |
|---|---|---|
| 1.2.840.10008.1.2.4.70 JPEG lossless SV1 | selection value 1, precision 8 or 16 | any precision |
| 1.2.840.10008.1.2.4.57 JPEG lossless | not encoded | any selection value |
| 1.2.840.10008.1.2.5 RLE | each row by itself | |

The precision is that of the allocated bits, so that bits beyond Bits Stored stay as they are; signed samples are coded
as unsigned ones of the same bits, as pyDICOS does.

Knows: the headers of JPEG [ISO/IEC 10918-1 B.2] and RLE. Must not know: data sets, fragments. imagecodecs does the
work, which releases the interpreter while it does; it is imported on first use (the extra `compression`). Invariants:
a header is compared with the attributes before any memory is allocated, and so is the smallest number of bytes that a
frame of the claimed size can have. JPEG has no checksum: damage between its markers goes unnoticed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..data.elements import DataSetError
from ..registry import uids
from ..wire import Buffer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[Any]

__all__ = [
    "DECODED", "ENCODED", "CodecError", "FrameLayout", "available", "decode", "encode", "least_encoded",
    "most_encoded", "require",
]  # fmt: skip

JPEG: Final = (uids.JPEG_LOSSLESS_SV1, uids.JPEG_LOSSLESS)
ENCODED: Final = (uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS)
"""The transfer syntaxes in which frames are encoded, the one that compresses more first."""
DECODED: Final = (*JPEG, uids.RLE_LOSSLESS)
"""The transfer syntaxes whose frames are decoded."""

_SOI, _EOI, _SOS, _SOF3, _TEM = 0xD8, 0xD9, 0xDA, 0xC3, 0x01
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin the description of a frame, one for each process; the others are tables."""
_HEADERS: Final = 1 << 16
"""Bytes that an encoded frame may have beside its pixels: tables, application data, comments."""
_RLE_HEADER: Final = struct.Struct("<16L")
_LONGEST_RUN: Final = 128
"""Bytes that two bytes of RLE stand for, at most [PS3.5 G.3.1]."""


class CodecError(DataSetError):
    """A frame that cannot be encoded or decoded, or a codec that is not installed. The text holds no values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLayout:
    """The attributes of a frame of native pixel data [PS3.3 C.7.6.3].

    >>> FrameLayout(rows=512, columns=512, bits_allocated=16, bits_stored=16).size
    524288
    """

    rows: int
    columns: int
    samples: int = 1
    """Samples per Pixel: 1, or 3 for colours."""
    bits_allocated: int
    bits_stored: int
    signed: bool = False
    planar: bool = False
    """Planar Configuration 1: all first samples, then all second ones, then all third ones."""

    def __post_init__(self) -> None:
        if self.bits_allocated not in (8, 16):
            raise CodecError(f"{self.bits_allocated} bits allocated; 8 and 16 can be compressed [PS3.5 8.2]")
        if not 1 <= self.bits_stored <= self.bits_allocated:
            raise CodecError(f"{self.bits_stored} bits stored in {self.bits_allocated} allocated [PS3.5 8.1.1]")
        if self.samples not in (1, 3):
            raise CodecError(f"{self.samples} samples per pixel; 1 and 3 can be compressed [PS3.3 C.7.6.3.1.1]")
        if not (1 <= self.rows <= 0xFFFF and 1 <= self.columns <= 0xFFFF):
            raise CodecError(f"{self.rows} rows and {self.columns} columns; 1 to 65535 of each [PS3.3 C.7.6.3.1.7]")

    @property
    def size(self) -> int:
        """The bytes of a native frame."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8


def available() -> bool:
    """Returns True if the codecs can be used: the extra `compression` is installed."""
    try:
        require()
    except CodecError:
        return False
    return True


def require() -> None:
    """Raises `CodecError` if the codecs cannot be used."""
    _imagecodecs()


def most_encoded(layout: FrameLayout) -> int:
    """Returns the largest number of bytes of an encoded frame that is decoded: a sample of JPEG lossless has up to 32
    bits, of which 16 are twice as many as it has decoded [ISO/IEC 10918-1 H.1.2]."""
    return 4 * layout.size + _HEADERS


def least_encoded(layout: FrameLayout, transfer_syntax: str) -> int:
    """Returns a number of bytes that every encoded frame has at least: one bit for each sample of JPEG lossless
    [ISO/IEC 10918-1 H.1.2], two bytes for each run of RLE [PS3.5 G.3.1]. Memory for a frame is taken only then."""
    if transfer_syntax == uids.RLE_LOSSLESS:
        return 2 * layout.size // _LONGEST_RUN
    return layout.rows * layout.columns * layout.samples // 8


def encode(frame: Buffer, layout: FrameLayout, transfer_syntax: str) -> bytes:
    """Returns a native frame encoded, of an even length. Raises `CodecError`."""
    if transfer_syntax not in ENCODED:
        raise CodecError(f"no encoder for {uids.name_of(transfer_syntax)}")
    if len(frame) != layout.size:
        raise CodecError(f"a frame of {len(frame)} bytes; its attributes say {layout.size}")
    made = _encode_rle(frame, layout) if transfer_syntax == uids.RLE_LOSSLESS else _encode_jpeg(frame, layout)
    return made + b"\0" if len(made) % 2 else made


def decode(data: Buffer, layout: FrameLayout, transfer_syntax: str) -> Buffer:
    """Returns the native frame of an encoded one. Raises `CodecError` if it is not one of these attributes."""
    if transfer_syntax not in DECODED:
        raise CodecError(f"no decoder for {uids.name_of(transfer_syntax)}")
    if len(data) > most_encoded(layout):
        raise CodecError(f"{len(data)} bytes for a frame of {layout.size}; {most_encoded(layout)} are allowed")
    return _decode_rle(data, layout) if transfer_syntax == uids.RLE_LOSSLESS else _decode_jpeg(data, layout)


def _imagecodecs() -> Any:
    try:
        import imagecodecs
    except ImportError:
        raise CodecError(
            "compressed pixel data needs imagecodecs: pip install '.[compression]' in a checkout"
        ) from None
    return imagecodecs


def _dtype(layout: FrameLayout) -> str:
    return "u1" if layout.bits_allocated == 8 else "<u2"


# -- JPEG lossless -----------------------------------------------------------------------------------------------------


def _encode_jpeg(frame: Buffer, layout: FrameLayout) -> bytes:
    import numpy as np

    library = _imagecodecs()
    image: Samples = np.frombuffer(frame, _dtype(layout))
    if layout.samples == 1:
        image = image.reshape(layout.rows, layout.columns)
    elif layout.planar:
        image = np.array(image.reshape(3, layout.rows, layout.columns).transpose(1, 2, 0), order="C")
    else:
        image = image.reshape(layout.rows, layout.columns, 3)
    colours = {} if layout.samples == 1 else {"colorspace": "rgb", "outcolorspace": "rgb"}
    made: bytes = library.jpeg8_encode(
        image, lossless=True, predictor=1, bitspersample=layout.bits_allocated, **colours
    )
    return made


def _decode_jpeg(data: Buffer, layout: FrameLayout) -> Buffer:
    import numpy as np

    data = bytes(data)
    precision, end = _check_jpeg(data, layout)
    library = _imagecodecs()
    shape = (layout.rows, layout.columns, 3)[: 2 if layout.samples == 1 else 3]
    image: Samples = np.empty(shape, "u1" if precision <= 8 else "u2")
    colours = {} if layout.samples == 1 else {"colorspace": "rgb", "outcolorspace": "rgb"}
    try:
        library.jpeg8_decode(data[:end], out=image, **colours)
    except (library.Jpeg8Error, ValueError) as fault:
        raise CodecError(f"JPEG data that cannot be decoded: {type(fault).__name__}") from None
    if precision < layout.bits_allocated:
        image = _widened(image, layout)
    if layout.planar and layout.samples == 3:
        image = np.array(image.transpose(2, 0, 1), order="C")
    return image.astype(_dtype(layout), copy=False).data.cast("B")


def _widened(image: Samples, layout: FrameLayout) -> Samples:
    """Extends samples of fewer bits to the allocated ones: signed ones by their sign."""
    import numpy as np

    wide = image.astype("u1" if layout.bits_allocated == 8 else "u2", copy=False)
    if not layout.signed:
        return wide
    left = layout.bits_allocated - layout.bits_stored
    shifted: Samples = (wide << left).view("i1" if layout.bits_allocated == 8 else "i2")
    return np.right_shift(shifted, left).view(wide.dtype)


def _check_jpeg(data: bytes, layout: FrameLayout) -> tuple[int, int]:
    """Compares the headers with the attributes. Returns the precision in bits, and where the image ends: pyDICOS makes
    all fragments of an object as long as the longest, and leaves what was in its buffer behind the image."""
    if data[:2] != b"\xff\xd8":
        raise CodecError("a frame that does not begin like JPEG")
    at, precision = 2, 0
    while True:
        marker, at, length = _segment(data, at)
        if marker in _FRAMES:
            if precision:
                raise CodecError("JPEG data with two frames in one")
            precision = _check_frame(marker, data[at : at + length], layout)
        at += length
        if marker == _SOS:
            break
    if not precision:
        raise CodecError("JPEG data without a frame header")
    end = data.find(b"\xff\xd9", at)  # in coded data, another byte follows FF.  # ISO/IEC 10918-1 F.1.2.3
    if end < 0:
        raise CodecError("JPEG data that is cut short: no end of the image")
    if data.count(b"\xff\xda", at, end) >= layout.samples:
        raise CodecError("JPEG data with more scans than components")
    count = layout.rows * layout.columns * layout.samples  # each has at least one bit.  # ISO/IEC 10918-1 H.1.2
    if 8 * (end - at) < count:
        raise CodecError(f"JPEG data that is cut short: {end - at} bytes for {count} samples")
    return precision, end + 2


def _segment(data: bytes, at: int) -> tuple[int, int, int]:
    """Reads the marker at `at`. Returns it, and where its parameters begin, and their length."""
    while data[at : at + 2] == b"\xff\xff":  # fill bytes  # ISO/IEC 10918-1 B.1.1.2
        at += 1
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] in (0, _TEM, _SOI, _EOI):
        raise CodecError(f"no JPEG marker with parameters at byte {at}")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    if length < 2 or at + 2 + length > len(data):
        raise CodecError(f"a JPEG segment of {length} bytes with {len(data) - at - 2} left, at byte {at}")
    return data[at + 1], at + 4, length - 2


def _check_frame(marker: int, header: bytes, layout: FrameLayout) -> int:
    if marker != _SOF3:
        raise CodecError(f"JPEG process with marker FF{marker:02X}; lossless is FFC3 [PS3.5 A.4.1]")
    if len(header) < 6:
        raise CodecError(f"a JPEG frame header of {len(header)} bytes")
    precision, rows, columns, components = struct.unpack_from(">BHHB", header)
    if (rows, columns) != (layout.rows, layout.columns):
        raise CodecError(f"JPEG data of {rows} x {columns} pixels; the attributes say {layout.rows} x {layout.columns}")
    if components != layout.samples:
        raise CodecError(f"JPEG data of {components} components; the attributes say {layout.samples}")
    if not layout.bits_stored <= precision <= layout.bits_allocated:
        raise CodecError(
            f"JPEG data of {precision} bits; the attributes say {layout.bits_stored} stored in "
            f"{layout.bits_allocated} allocated"
        )
    return int(precision)


# -- RLE -----------------------------------------------------------------------------------------------------------


def _encode_rle(frame: Buffer, layout: FrameLayout) -> bytes:
    import numpy as np

    library = _imagecodecs()
    planes = _planes(np.frombuffer(frame, "u1"), layout)
    segments = [library.packbits_encode(np.array(plane, order="C")) for plane in planes]
    segments = [one + b"\0" if len(one) % 2 else one for one in segments]
    offsets, at = [0] * 15, 64
    for number, one in enumerate(segments):
        offsets[number] = at
        at += len(one)
    return b"".join((_RLE_HEADER.pack(len(segments), *offsets), *segments))


def _decode_rle(data: Buffer, layout: FrameLayout) -> Buffer:
    import numpy as np

    whole = bytes(data)
    if len(whole) < 64:
        raise CodecError(f"an RLE header of {len(whole)} bytes; it has 64 [PS3.5 G.5]")
    count, *offsets = _RLE_HEADER.unpack_from(whole)
    wanted = layout.samples * layout.bits_allocated // 8
    if count != wanted:
        raise CodecError(f"{count} RLE segments; the attributes say {wanted} [PS3.5 G.2]")
    bounds = [*offsets[:count], len(whole)]
    if bounds[0] != 64 or any(one > two for one, two in pairwise(bounds)):
        raise CodecError("RLE segments that do not follow each other [PS3.5 G.5]")
    size = layout.rows * layout.columns
    if any(_LONGEST_RUN * (two - one) < 2 * size for one, two in pairwise(bounds)):
        raise CodecError(f"an RLE segment that is too short for {size} bytes [PS3.5 G.3.1]")
    library = _imagecodecs()
    native = bytearray(layout.size)
    planes = _planes(np.frombuffer(native, "u1"), layout)
    for number, plane in enumerate(planes):
        segment = whole[bounds[number] : bounds[number + 1]]
        plane[...] = np.frombuffer(_unpacked(library, segment, size), "u1").reshape(layout.rows, layout.columns)
    return memoryview(native)


def _planes(bytes_: NDArray[np.uint8], layout: FrameLayout) -> list[NDArray[np.uint8]]:
    """Views of the bytes of a native frame, one for each segment: the most significant byte first [PS3.5 G.2]."""
    width, rows, columns, samples = layout.bits_allocated // 8, layout.rows, layout.columns, layout.samples
    if layout.planar:
        shaped = bytes_.reshape(samples, rows, columns, width)
        return [shaped[sample, :, :, byte] for sample in range(samples) for byte in reversed(range(width))]
    shaped = bytes_.reshape(rows, columns, samples, width)
    return [shaped[:, :, sample, byte] for sample in range(samples) for byte in reversed(range(width))]


def _unpacked(library: Any, segment: bytes, size: int) -> Buffer:
    """Decodes a segment up to the last byte of the frame [PS3.5 G.3.2]. A byte that makes it even may follow, or older
    content of its writer's buffer: pyDICOS writes such."""
    try:
        made: Buffer = library.packbits_decode(segment, out=bytearray(size))
    except library.PackbitsError:
        made = _unpacked_as_far_as(segment, size)
    if len(made) != size:
        raise CodecError(f"an RLE segment that is not one of {size} bytes [PS3.5 G.3.1]")
    return made


def _unpacked_as_far_as(segment: bytes, size: int) -> bytes:
    """Decodes a segment up to `size` bytes, slowly."""
    made, at = bytearray(), 0
    while len(made) < size and at < len(segment):
        count = segment[at]
        if count < 0x80:
            made += segment[at + 1 : at + 2 + count]
            at += 2 + count
        elif count > 0x80:
            made += segment[at + 1 : at + 2] * (0x101 - count)
            at += 2
        else:
            at += 1  # no operation
    return bytes(made)

"""Pixel data as numpy arrays, without a copy where it is native, and the attributes that describe it.

| dtype | element | VR | bits | SOP class |
|---|---|---|---|---|
| uint8, int8 | (7FE0,0010) | OB | 8 | 16-bit |
| uint16, int16 | (7FE0,0010) | OW | 16 | 16-bit |
| uint32, int32 | (7FE0,0011) | OL | 32 | 32-bit integer |
| uint64, int64 | (7FE0,0012) | OD | 64 | 64-bit integer |
| float32 | (7FE0,0013) | OF | 32 | floating point |
| float64 | (7FE0,0009) | OD | 64 | floating point |

The first five are what pyDICOS 1.3.0 writes and reads [obs]; it has no float64, for which DICOM's Double Float Pixel
Data is taken [PS3.3 C.7.6.25]. Read are also DICOM's Float Pixel Data (7FE0,0008) [PS3.3 C.7.6.24], and (7FE0,0010)
with 32 or 64 bits allocated.

Knows: elements, sizes, dtypes. Must not know: geometry, compression. Invariants: no size of the data set is used before
it is compared with the bytes that are there; reading native pixel data copies nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from ..data.elements import DataSetError
from ..registry import uids
from ..wire import Buffer
from .codecs import CodecError, FrameLayout, decode, least_encoded, most_encoded
from .content import is_encapsulated as is_in_fragments
from .errors import BadValue, PixelError
from .fragments import Frames
from .values import element_of, integer, put, texts

__all__ = [
    "ELEMENTS",
    "Array",
    "Layout",
    "Pixels",
    "array_of",
    "class_of",
    "frame_count",
    "frame_of",
    "layout_of",
    "native",
    "store",
]

Array: TypeAlias = NDArray[Any]

PIXEL_DATA: Final = 0x7FE00010
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
NUMBER_OF_FRAMES: Final = 0x00280008
BITS_ALLOCATED: Final = 0x00280100
PER_FRAME: Final = 0x52009230
MOST_FRAMES: Final = 0xFFFF
"""Number of Frames is a US in DICOS."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """An element that holds pixel data."""

    tag: int
    vr: str
    bits: frozenset[int]
    floating: bool
    source: str


ELEMENTS: Final[tuple[Pixels, ...]] = (
    Pixels(PIXEL_DATA, "OW", frozenset((8, 16, 32, 64)), False, "PS3.3 C.7.6.3"),
    Pixels(0x7FE00011, "OL", frozenset((32,)), False, "obs"),
    Pixels(0x7FE00012, "OD", frozenset((64,)), False, "obs"),
    Pixels(0x7FE00013, "OF", frozenset((32,)), True, "obs"),
    Pixels(0x7FE00008, "OF", frozenset((32,)), True, "PS3.3 C.7.6.24"),
    Pixels(0x7FE00009, "OD", frozenset((64,)), True, "PS3.3 C.7.6.25"),
)
_WRITTEN: Final = {  # kind and size of a dtype -> element, VR
    ("i", 1): (PIXEL_DATA, "OB"),
    ("i", 2): (PIXEL_DATA, "OW"),
    ("i", 4): (0x7FE00011, "OL"),
    ("i", 8): (0x7FE00012, "OD"),
    ("f", 4): (0x7FE00013, "OF"),
    ("f", 8): (0x7FE00009, "OD"),
}
CLASSES: Final = {("i", 1): "16-bit", ("i", 2): "16-bit", ("i", 4): "32-bit", ("i", 8): "64-bit", ("f", 4): "float",
                  ("f", 8): "float"}  # fmt: skip
"""Which of the SOP classes of a kind has which dtypes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape, dtype and element that the attributes say of the pixel data."""

    frames: int
    rows: int
    columns: int
    dtype: np.dtype[Any]
    element: int
    """The tag of the element that holds the pixel data."""

    @property
    def size(self) -> int:
        """Bytes of all frames, without padding."""
        return self.frames * self.rows * self.columns * self.dtype.itemsize


def kind_and_size(dtype: np.dtype[Any]) -> tuple[str, int]:
    """Returns "i" or "f" and the bytes of a dtype. Raises TypeError for one that no SOP class of DICOS has."""
    found = ("i" if dtype.kind in "iu" else dtype.kind, dtype.itemsize)
    if found not in _WRITTEN:
        raise TypeError(
            f"an array of {dtype}; allowed are 8, 16, 32 and 64 bits, signed and unsigned, float32 and float64"
        )
    return found


def class_of(array: Array, classes: Mapping[str, str]) -> str:
    """Returns the SOP class for the dtype of an array. `classes`: 16-bit, 32-bit, 64-bit, float -> SOP class.

    Raises TypeError for a dtype that none of them has.
    """
    found = CLASSES[kind_and_size(np.asarray(array).dtype)]
    if found not in classes:
        raise TypeError(f"an array of {array.dtype}; these SOP classes are for {', '.join(classes)} pixel data")
    return classes[found]


def frame_count(dataset: Dataset) -> int:
    """Returns Number of Frames (0028,0008), 1 if it is absent. Raises `BadValue`."""
    count = integer(dataset, NUMBER_OF_FRAMES)
    if count is None:
        return 1
    if count < 1:
        raise BadValue(f"{count} frames; at least 1", NUMBER_OF_FRAMES)
    return count


def layout_of(dataset: Dataset) -> Layout:
    """Returns what a data set says about its pixel data. Raises `BadValue`, and `PixelError` if it has none or
    several."""
    present = [one for one in ELEMENTS if Tag(one.tag) in dataset]
    if len(present) != 1:
        seen = "no pixel data" if not present else f"{len(present)} elements with pixel data"
        raise PixelError(f"{seen}; one of them is needed", present[0].tag if present else PIXEL_DATA)
    element = present[0]
    rows, columns, bits, samples = (_positive(dataset, tag) for tag in (ROWS, COLUMNS, BITS_ALLOCATED, 0x00280002))
    if bits not in element.bits:
        allowed = ", ".join(map(str, sorted(element.bits)))
        raise BadValue(f"{bits} bits allocated; {allowed} with this pixel data", BITS_ALLOCATED)
    if samples != 1:
        raise BadValue(f"{samples} samples per pixel; 1 is allowed", 0x00280002)
    signed = integer(dataset, 0x00280103) or 0
    kind = "f" if element.floating else "i" if signed else "u"
    return Layout(frame_count(dataset), rows, columns, np.dtype(f"<{kind}{bits // 8}"), element.tag)


def array_of(dataset: Dataset) -> Array:
    """Returns the pixel data as a read-only array of shape (frames, rows, columns): the stored values, little endian,
    without the rescale. It is a view of the bytes that the data set holds; compressed ones are decoded at each call.

    Raises `PixelError` if the bytes are too few or too many or cannot be decoded, and `BadValue` if an attribute that
    describes them cannot be used.
    """
    layout = layout_of(dataset)
    syntax = compression_of(dataset, layout)
    if syntax is not None:
        found = _decoded(dataset, layout, syntax)
    else:
        data = native(dataset, layout)
        found = np.frombuffer(data, layout.dtype, count=layout.size // layout.dtype.itemsize)
    found = found.reshape(layout.frames, layout.rows, layout.columns)
    found.flags.writeable = False
    return found


def compression_of(dataset: Dataset, layout: Layout) -> str | None:
    """Returns the transfer syntax of pixel data in fragments, as `file_meta` names it; None for native pixel data.
    Raises `PixelError` if nothing names it."""
    element = element_of(dataset, layout.element)
    if element is None or not is_in_fragments(element, dataset):
        return None
    meta = getattr(dataset, "file_meta", None)
    syntax = texts(meta, 0x00020010) if isinstance(meta, Dataset) else ()
    if not syntax or syntax[0] in _NATIVE:
        raise PixelError("is in fragments, and file_meta does not say how they are compressed", layout.element)
    return syntax[0]


def _decoded(dataset: Dataset, layout: Layout, syntax: str) -> Array:
    """Decodes one frame after the other into one array. Raises `PixelError`."""
    try:
        frame = frame_of(dataset, layout)
        encoded = list(_frames(dataset[layout.element].value, layout, frame, syntax))
        least = least_encoded(frame, syntax)
        if any(len(data) < least for data in encoded):
            raise CodecError(f"a compressed frame that is cut short: at least {least} bytes are needed")
        found = np.empty((layout.frames, layout.rows * layout.columns), layout.dtype)
        for index, data in enumerate(encoded):
            found[index] = np.frombuffer(decode(data, frame, syntax), layout.dtype)
    except DataSetError as error:
        raise PixelError(str(error), layout.element) from None
    return found


def frame_of(dataset: Dataset, layout: Layout) -> FrameLayout:
    """Returns the layout of one frame for the codecs. Raises `CodecError` if none has such frames, and `BadValue`."""
    bits = layout.dtype.itemsize * 8
    return FrameLayout(
        rows=layout.rows, columns=layout.columns, bits_allocated=bits,
        bits_stored=integer(dataset, 0x00280101) or bits, signed=layout.dtype.kind == "i",
    )  # fmt: skip


def _frames(value: Buffer, layout: Layout, frame: FrameLayout, syntax: str) -> Iterator[bytes]:
    """Yields the encoded frames of fragments, as many as the layout says. Raises `CodecError`."""
    frames = Frames(layout.frames, most=most_encoded(frame), single=syntax == uids.RLE_LOSSLESS)
    data, at, table = memoryview(value or b"").cast("B"), 0, True
    while at + 8 <= len(data):
        tag, length = _ITEM.unpack_from(data, at)
        if tag != 0xE000FFFE or length > len(data) - at - 8:
            break
        piece, at = data[at + 8 : at + 8 + length], at + 8 + length
        if table:
            frames.table(piece)
            table = False
            continue
        if (whole := frames.begin(length)) is not None:
            yield bytes(whole)
        frames.take(piece)
        if (whole := frames.end()) is not None:
            yield bytes(whole)
    yield bytes(frames.finish())


def native(dataset: Dataset, layout: Layout) -> memoryview:
    """Returns the bytes of native pixel data, as many as the layout says. Raises `PixelError`."""
    element = element_of(dataset, layout.element)
    value = None if element is None else element.value
    if element is None or value is None or isinstance(value, str):
        raise PixelError(f"no bytes; {layout.size} are needed", layout.element)
    try:
        data = memoryview(value).cast("B")
    except (TypeError, ValueError):
        raise PixelError(f"no bytes; {layout.size} are needed", layout.element) from None
    if data.nbytes not in (layout.size, layout.size + layout.size % 2):
        shape = (
            f"{layout.frames} frames of {layout.rows} rows and {layout.columns} columns, {layout.dtype.itemsize * 8}"
        )
        raise PixelError(f"{data.nbytes} bytes; {layout.size} are needed for {shape} bits each", layout.element)
    return data[: layout.size]


_ITEM: Final = struct.Struct("<LL")
_NATIVE: Final = frozenset(
    f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.64", ".1.99", ".2", ".1.98")
)  # fmt: skip


def store(dataset: Dataset, array: Array, *, frames: bool, photometric: str = "MONOCHROME2") -> None:
    """Sets the pixel data and the attributes that describe it.

    `array` has the shape (frames, rows, columns), or (rows, columns) if `frames` is false. The element holds a view of
    it, if it is contiguous and little endian; otherwise of a copy. So a change of the array changes the object, and the
    data set cannot be copied with `copy.deepcopy` or pickled. Raises TypeError for another dtype or number of axes,
    ValueError for an axis without elements or one that is longer than 65535.
    """
    kind_size = kind_and_size(array.dtype)
    axes = ("frames", "rows", "columns") if frames else ("rows", "columns")
    if array.ndim != len(axes):
        raise TypeError(f"an array with {array.ndim} axes; {len(axes)} are needed: {', '.join(axes)}")
    for name, length in zip(axes, array.shape, strict=True):
        if not 1 <= length <= MOST_FRAMES:
            raise ValueError(f"{length} {name}; 1 to {MOST_FRAMES} are allowed")
    bits = array.dtype.itemsize * 8
    for tag, value in (
        (0x00280002, 1),
        (0x00280004, photometric),
        (ROWS, array.shape[-2]),
        (COLUMNS, array.shape[-1]),
        (BITS_ALLOCATED, bits),
        (0x00280101, bits),
        (0x00280102, bits - 1),
        (0x00280103, int(array.dtype.kind != "u")),
    ):
        put(dataset, tag, value)
    if frames:
        put(dataset, NUMBER_OF_FRAMES, array.shape[0])
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    tag, vr = _WRITTEN[kind_size]
    view = data.reshape(-1).view(np.uint8).data
    dataset.add(DataElement(Tag(tag), vr, view, already_converted=True, validation_mode=IGNORE))


def _positive(dataset: Dataset, tag: int) -> int:
    found = integer(dataset, tag)
    if found is None:
        raise BadValue("is missing", tag)
    if found < 1:
        raise BadValue(f"is {found}; at least 1", tag)
    return found

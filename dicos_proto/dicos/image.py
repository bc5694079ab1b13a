"""The attributes of an image that a codec needs, read from the elements of a data set while it streams.

Knows: their tags and how their values are encoded. Must not know: pixel data, pydicom. Invariants: a value is kept only
if it is a number of its attribute.
"""

from __future__ import annotations

from typing import Final

from ..data.elements import PIXEL_REPRESENTATION, shown
from .codecs import CodecError, FrameLayout

__all__ = ["MOST_FRAMES", "WANTED", "Image"]

_SAMPLES, _FRAMES, _ROWS, _COLUMNS = 0x00280002, 0x00280008, 0x00280010, 0x00280011
_PLANAR, _ALLOCATED, _STORED = 0x00280006, 0x00280100, 0x00280101
WANTED: Final = frozenset((_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _PLANAR, _ALLOCATED, _STORED, PIXEL_REPRESENTATION))
"""The tags of the attributes [PS3.3 C.7.6.3, C.7.6.6]."""
MOST_FRAMES: Final = 1 << 18
"""Limit on Number of Frames. Stops: a small data set of very many frames of one pixel, each of which is work."""
_DIGITS: Final = 12
"""Characters of an IS [PS3.5 6.2]."""


class Image:
    """The attributes so far, in little endian.

    >>> image = Image()
    >>> for tag, value in ((0x00280010, b"\\2\\0"), (0x00280011, b"\\3\\0"), (0x00280100, b"\\x08\\0")):
    ...     image.note(tag, b"US", value)
    >>> image.layout().size, image.frames
    (6, 1)
    """

    __slots__ = ("_numbers", "single")

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self.single = False
        """There is an extended offset table, so that each fragment is a frame [PS3.5 A.4]."""

    def note(self, tag: int, vr: bytes, value: bytes) -> None:
        """Keeps the value of one of `WANTED`; an empty one is ignored. Raises `CodecError` for what is not a number.

        Number of Frames is an IS in DICOM and a US in DICOS.
        """
        if not value:
            return
        if tag == _FRAMES and vr != b"US":
            text = value.strip(b" \0")
            if not text.isdigit() or len(text) > _DIGITS:
                raise CodecError(f"a Number of Frames {shown(tag)} that is not a number")
            self._numbers[tag] = int(text)
        elif len(value) != 2:
            raise CodecError(f"{shown(tag)} of {len(value)} bytes; it has 2")
        else:
            self._numbers[tag] = int.from_bytes(value, "little")

    @property
    def frames(self) -> int:
        """Number of Frames, 1 if it is absent."""
        return self._numbers.get(_FRAMES, 1)

    def layout(self) -> FrameLayout:
        """Returns the layout of a frame. Raises `CodecError` if an attribute is missing or excludes compression."""
        numbers = self._numbers
        missing = [shown(tag) for tag in (_ROWS, _COLUMNS, _ALLOCATED) if tag not in numbers]
        if missing:
            raise CodecError(f"pixel data without {', '.join(missing)}")
        if not 1 <= self.frames <= MOST_FRAMES:
            raise CodecError(f"pixel data of {self.frames} frames {shown(_FRAMES)}; 1 to {MOST_FRAMES} are allowed")
        return FrameLayout(
            rows=numbers[_ROWS],
            columns=numbers[_COLUMNS],
            samples=numbers.get(_SAMPLES, 1),
            bits_allocated=numbers[_ALLOCATED],
            bits_stored=numbers.get(_STORED, numbers[_ALLOCATED]),
            signed=numbers.get(PIXEL_REPRESENTATION, 0) == 1,
            planar=numbers.get(_PLANAR, 0) == 1,
        )

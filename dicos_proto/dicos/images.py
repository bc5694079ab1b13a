"""The parts that X-ray and two-dimensional AIT images share: one image, its window, its place.

Knows: General Image, VOI LUT, pixel intensity. Must not know: which kind it is. Invariants: an image is a view of the
bytes that the object holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from . import values
from .errors import PixelError
from .objects import DicosObject
from .pixels import Array, kind_and_size, store
from .values import put, put_items

__all__ = ["INTENTS", "ImageObject", "fill_image", "window_of"]

INTENTS: Final = {"presentation": "FOR PRESENTATION", "processing": "FOR PROCESSING"}
IMAGE_TYPE: Final = 0x00080008


class ImageObject(DicosObject):
    """An object with one image."""

    __slots__ = ()

    @property
    def image(self) -> Array:
        """The image, shape (y, x): rows from top to bottom, columns from left to right. The stored values,
        read-only; native ones are not copied. Raises `PixelError`, also for several frames, and `BadValue`."""
        frames = self._pixels()
        if len(frames) > 1:
            raise PixelError(f"{len(frames)} frames; 1 is allowed", 0x00280008)
        found: Array = frames[0]
        return found

    @property
    def intent(self) -> str | None:
        """Presentation Intent Type (0008,0068): FOR PRESENTATION or FOR PROCESSING."""
        return self._text(0x00080068)

    @property
    def image_type(self) -> tuple[str, ...]:
        """Image Type (0008,0008), 2 values or more."""
        return values.texts(self._dataset, IMAGE_TYPE)

    @property
    def energy(self) -> str | None:
        """The second value of the image type: HIGH ENERGY, LOW ENERGY, INTENSITY ..."""
        return (*self.image_type, "", "")[1] or None

    @property
    def window(self) -> tuple[float, float] | None:
        """The first Window Center (0028,1050) and Window Width (0028,1051), in stored values; None if there is none."""
        centers, widths = (values.numbers(self._dataset, tag) for tag in (0x00281050, 0x00281051))
        return (centers[0], widths[0]) if centers and widths else None

    @property
    def coordinate_system(self) -> str | None:
        """LHS or RHS (0008,2108): whether x, y and z are a left-handed or a right-handed system."""
        return self._text(0x00082108)


def window_of(image: Array) -> tuple[float, float]:
    """Returns the window from the least to the largest value of an image, at least 1 wide.

    >>> window_of(np.array([[100, 300]]))
    (200.5, 201.0)
    """
    least, most = float(image.min()), float(image.max())
    if not np.isfinite((least, most)).all():
        return 0.0, 1.0
    return (least + most + 1) / 2, most - least + 1


def fill_image(
    dataset: Dataset,
    image: Array,
    *,
    intent: str,
    image_type: Sequence[str],
    window: tuple[float, float] | None,
    photometric: str,
    coordinate_system: str,
    relationship: str,
    sign: int,
) -> None:
    """Sets the attributes of an image. Raises TypeError for one that is not unsigned or a float, ValueError."""
    if intent not in INTENTS:
        raise ValueError(f"intent {intent!a}; {', '.join(INTENTS)} are allowed")
    if not 2 <= len(image_type) <= 16:
        raise ValueError(f"an image type of {len(image_type)} values; 2 or more are needed")
    if kind_and_size(image.dtype)[0] == "i" and image.dtype.kind != "u":
        raise TypeError(f"an image of {image.dtype}; signed integers are not allowed here")
    store(dataset, image, frames=False, photometric=photometric)
    for tag, value in (
        (IMAGE_TYPE, tuple(image_type)),
        (0x00080068, INTENTS[intent]),
        (0x00080118, "MACHINE"),
        (0x00082108, coordinate_system),
        (0x00280301, "NO"),
        (0x00281040, relationship),
        (0x00281041, sign),
        (0x00282110, "00"),
        (0x20500020, "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"),
    ):
        put(dataset, tag, value)
    put_items(dataset, 0x00400555, [])
    if window is None and intent == "presentation":
        window = window_of(image)
    if window is not None:
        put(dataset, 0x00281050, window[0])
        put(dataset, 0x00281051, window[1])

"""Regions of interest: a box of voxels and, in it, a mask of one bit a voxel.

A threat detection report says where a threat is with three attributes: the base and the extents of a box, as floats,
and a bitmap, which may be empty: then every voxel of the box belongs to the region. [obs, hdr]

Masks are numpy arrays of shape (z, y, x), of booleans. Coordinates are (x, y, z), as in the standard: x is the column,
y the row, z the frame. Both count voxels from 0. In a bitmap x runs fastest, then y, then z, and the first voxel is the
least significant bit of the first byte. pyDICOS' own loaders disagree with that and with each other: see `Axes`.

Knows: numbers. Must not know: data sets, millimetres. Invariants: the numbers come from a peer, so they may be NaN,
infinite, negative, huge or fractional. Nothing is allocated from extents alone: a mask is at most eight times the bytes
of its bitmap, a view without memory of its own if there is no bitmap, or as large as the volume that the caller names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import ceil, isfinite, prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .errors import DicosError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Axes", "Box", "Mask", "Region", "RegionError", "Triple", "pack", "unpack"]

Triple = tuple[float, float, float]
"""Three numbers of a point, in the order x, y, z."""
if TYPE_CHECKING:
    Mask = NDArray[np.bool_]
else:
    Mask = np.ndarray

FURTHEST: Final = 2**24
"""The largest coordinate and extent, in voxels: from here on a 32-bit float cannot tell two neighbours apart."""
MOST_VOXELS: Final = 2**40
"""The most voxels of a region: more than any scanner makes, and few enough for numpy."""
MOST_NUMBERS: Final = 300_000
"""Numbers of one attribute with points. Stops: nine megabytes of a polygon that take 600 in memory."""
NAMES: Final = ("x", "y", "z")


class RegionError(DicosError, ValueError):
    """A region, a bitmap or a polygon that cannot be what it claims to be. The text says what was seen and allowed."""


class Axes(Enum):
    """The order of the three numbers of a point, and of the bits, in a report. Nothing in a report tells which one
    its author used.

    XYZ: the names of the SDK's own fields, and what pyDICOS' `TDRLoader.get_data` reads. Bits: x fastest. [hdr, obs]
    ZYX: what pyDICOS' `TDRLoader.set_data` writes. Bits: x fastest. [obs]
    XYZ_Z_FASTEST: what pyDICOS' `CTLoader.generate_tdr` writes from a mask of shape (x, y, z). Bits: z fastest. [obs]
    """

    XYZ = "xyz"
    ZYX = "zyx"
    XYZ_Z_FASTEST = "xyz, z fastest"

    def ordered(self, point: Sequence[float]) -> Triple:
        """Converts (x, y, z) to the order of the report, or back: both are the same exchange."""
        first, second, third = point
        return (third, second, first) if self is Axes.ZYX else (first, second, third)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Whole voxels: the first one and how many, along x, y and z.

    >>> Box(start=(1, 2, 3), size=(10, 20, 30)).slices
    (slice(3, 33, None), slice(2, 22, None), slice(1, 11, None))
    """

    start: tuple[int, int, int]
    size: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index of a volume of shape (z, y, x)."""
        x, y, z = (slice(first, first + count) for first, count in zip(self.start, self.size, strict=True))
        return z, y, x

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)"""
        return self.size[2], self.size[1], self.size[0]

    @property
    def centre(self) -> Triple:
        """The middle, in voxels: the middle of voxel 0 is 0.0."""
        x, y, z = (first + (count - 1) / 2 for first, count in zip(self.start, self.size, strict=True))
        return x, y, z

    def inside(self, shape: Sequence[int]) -> bool:
        """Returns True if the box lies in a volume of `shape` (z, y, x)."""
        ends = zip(self.start, self.size, reversed(shape), strict=True)
        return all(0 <= first and first + count <= there for first, count, there in ends)


def pack(mask: Mask, axes: Axes = Axes.XYZ) -> bytes:
    """Returns a mask of shape (z, y, x) as the bytes of a bitmap. Any value but 0 is set. Raises `RegionError` if the
    mask does not have three axes.

    >>> mask = np.zeros((2, 3, 5), bool)
    >>> mask[0, 0, 1] = mask[1, 2, 4] = True
    >>> pack(mask).hex(" ")
    '02 00 00 20'
    """
    if mask.ndim != 3:
        raise RegionError(f"a mask has three axes (z, y, x): this one has {mask.ndim}")
    if mask.dtype != np.bool_:
        mask = mask != 0
    return np.packbits(mask.ravel("F" if axes is Axes.XYZ_Z_FASTEST else "C"), bitorder="little").tobytes()


def unpack(bitmap: bytes, extents: Sequence[int], axes: Axes = Axes.XYZ) -> Mask:
    """Returns a bitmap as a mask of shape (z, y, x). `extents` are numbers of voxels (x, y, z), integers of at least 1.

    Raises `RegionError` if the bitmap does not have the size that they need: one bit a voxel, in whole bytes, and one
    byte more if that makes their number even, as every value in a data set is [DICOM PS3.5 7.1.1].

    >>> np.argwhere(unpack(bytes.fromhex("02 00 00 20"), (5, 3, 2))).tolist()
    [[0, 0, 1], [1, 2, 4]]
    """
    x, y, z = extents
    voxels = x * y * z
    needed = (voxels + 7) // 8
    if len(bitmap) != needed and len(bitmap) != needed + needed % 2:
        raise RegionError(f"a bitmap of {len(bitmap)} bytes: {x} x {y} x {z} voxels take {needed}")
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=voxels, bitorder="little").view(np.bool_)
    return bits.reshape((z, y, x), order="F" if axes is Axes.XYZ_Z_FASTEST else "C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where something is, in voxels of the scanned volume.

    `base` is the first voxel and `extents` their number, both (x, y, z). They are kept unchanged, even if they make
    no sense: `box` and `mask` raise `RegionError` then. `bitmap` has the bits in the order of `axes`; without one, the
    region is the whole box.

    >>> region = Region(base=(4, 5, 6), extents=(3, 2, 1))
    >>> region.mask((10, 20, 30)).sum()
    np.int64(6)
    >>> region.box((6, 20, 30))
    Traceback (most recent call last):
    dicos_proto.dicos.regions.RegionError: region along z: voxels 6 to 6 of 6
    """

    base: Triple
    extents: Triple
    bitmap: bytes = field(default=b"", repr=False)
    axes: Axes = Axes.XYZ

    @classmethod
    def from_mask(cls, mask: Mask, *, axes: Axes = Axes.XYZ) -> Region:
        """Returns the region of a mask of the whole volume, of shape (z, y, x): the smallest box around what is set,
        with its bits. Raises `RegionError` if nothing is set."""
        if mask.ndim != 3:
            raise RegionError(f"a mask has three axes (z, y, x): this one has {mask.ndim}")
        slices: list[slice] = []
        for axis in range(3):  # each step looks only at what the steps before left
            part = mask[tuple(slices)]
            others = tuple(other for other in range(3) if other != axis)
            there = np.flatnonzero(part.any(axis=others))
            if there.size == 0:
                raise RegionError("a mask in which nothing is set has no region")
            slices.append(slice(int(there[0]), int(there[-1]) + 1))
        z, y, x = slices
        part = mask[z, y, x]
        return cls(
            base=(x.start, y.start, z.start),
            extents=(x.stop - x.start, y.stop - y.start, z.stop - z.start),
            bitmap=pack(part, axes),
            axes=axes,
        )

    @classmethod
    def read(cls, base: Sequence[float], extents: Sequence[float], bitmap: bytes, axes: Axes = Axes.XYZ) -> Region:
        """Returns the region of three values of a report. Raises `RegionError` if base or extents are not three
        numbers."""
        for name, numbers in (("base", base), ("extents", extents)):
            if len(numbers) != 3:
                raise RegionError(f"region: {name} of {len(numbers)} numbers, 3 allowed")
        return cls(base=axes.ordered(base), extents=axes.ordered(extents), bitmap=bitmap, axes=axes)

    def values(self, axes: Axes = Axes.XYZ) -> tuple[Triple, Triple, bytes]:
        """Returns base, extents and bitmap in the order of `axes`, for a report. Raises `RegionError` if the bits have
        to be put into another order and do not fit the extents."""
        bitmap = self.bitmap
        if bitmap and (self.axes is Axes.XYZ_Z_FASTEST) is not (axes is Axes.XYZ_Z_FASTEST):
            bitmap = pack(self.mask(), axes)
        return axes.ordered(self.base), axes.ordered(self.extents), bitmap

    def box(self, shape: Sequence[int] | None = None) -> Box:
        """Returns the whole voxels of the region. Fractions are rounded to the next voxel if there is a bitmap, and
        outwards if there is none.

        Raises `RegionError` if a number is NaN, infinite, negative or above 2**24; if the region is empty along
        an axis; if the region is not inside a volume of `shape` (z, y, x); if there is a bitmap and an extent is not
        an integer.
        """
        start, size = [], []
        for name, first, count in zip(NAMES, self.base, self.extents, strict=True):
            for what, number in (("base", first), ("extent", count)):
                if not isfinite(number) or not 0 <= number <= FURTHEST:
                    raise RegionError(f"region along {name}: {what} {number:g}, 0 to {FURTHEST} allowed")
            if count == 0:
                raise RegionError(f"region along {name}: extent 0, at least one voxel is needed")
            if self.bitmap and count != int(count):
                raise RegionError(f"region along {name}: extent {count:g} with a bitmap, a whole number is needed")
            start.append(round(first) if self.bitmap else int(first))
            size.append(int(count) if self.bitmap else ceil(first + count) - int(first))
        if prod(size) > MOST_VOXELS:
            raise RegionError(f"region of {prod(size)} voxels, {MOST_VOXELS} allowed")
        box = Box(start=(start[0], start[1], start[2]), size=(size[0], size[1], size[2]))
        if shape is not None:
            for name, first, number, there in zip(NAMES, box.start, box.size, reversed(shape), strict=True):
                if first + number > there:
                    raise RegionError(f"region along {name}: voxels {first} to {first + number - 1} of {there}")
        return box

    def mask(self, shape: Sequence[int] | None = None) -> Mask:
        """Returns the region as booleans: of a whole volume of `shape` (z, y, x), or of its own box by default.

        Without a bitmap, the mask of the box is read-only and takes no memory. Raises `RegionError` as `box` does, and
        if the bitmap does not have the size of the box.
        """
        box = self.box(shape)
        own: Mask = unpack(self.bitmap, box.size, self.axes) if self.bitmap else np.broadcast_to(np.True_, box.shape)
        if shape is None:
            return own
        whole: Mask = np.zeros(tuple(shape), np.bool_)
        whole[box.slices] = own
        return whole


def floats(values: Any) -> tuple[float, ...]:
    """Returns the numbers of an element: none, one or several. Raises `RegionError` for anything else, and for more
    than `MOST_NUMBERS`."""
    if values is None:
        return ()
    if hasattr(values, "__len__") and len(values) > MOST_NUMBERS:
        raise RegionError(f"{len(values)} numbers; at most {MOST_NUMBERS} are allowed")
    try:
        if isinstance(values, int | float):
            return (float(values),)
        return tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise RegionError("numbers expected") from None

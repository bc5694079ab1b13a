"""Millimetres and voxels: where the voxels of a scanned object lie.

A point in millimetres is (x, y, z) in the frame of reference of the object. A voxel coordinate is (x, y, z) too:
column, row and frame, counted from 0, where whole numbers are the middles of voxels. So voxel 0 reaches from -0.5 to
0.5.

Position and orientation stand where enhanced multi-frame objects have them, in the functional groups [DICOM PS3.3
C.7.6.16.2], or at the top of the data set, as in a DX and in a plain DICOM image [DICOM PS3.3 C.7.6.2].

Knows: data sets, the attributes for the place of pixels. Must not know: threats. Invariants: numbers of a peer are
checked before use; a geometry that cannot be inverted does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from . import values
from .errors import BadValue, DicosError, named
from .regions import Box, Region, RegionError, Triple

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    Points = Sequence[float] | Sequence[Sequence[float]] | NDArray[np.float64]
    """One point, or several, as `numpy.asarray` takes them."""

__all__ = ["Geometry", "GeometryError"]

SMALLEST, LARGEST = 1e-6, 1e6
"""The spacings that are believed, in mm."""
FURTHEST: Final = 1e9
"""The coordinates that are believed, in mm: a thousand kilometres."""
SKEW: Final = 1e-3
"""How far from 1 the length of a direction may be, and from 0 the product of those of rows and columns."""
FLAT: Final = 0.1
"""How far the direction of the frames must stand out of the plane of rows and columns: 1 is at right angles."""
IMAGE_POSITION, IMAGE_ORIENTATION = 0x00200032, 0x00200037
PIXEL_SPACING, IMAGER_SPACING, SLICE_THICKNESS, SLICE_SPACING = 0x00280030, 0x00181164, 0x00180050, 0x00180088
PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES = 0x00209113, 0x00209116, 0x00289110
SHARED, PER_FRAME = 0x52009229, 0x52009230


class GeometryError(DicosError, ValueError):
    """An object does not say where its voxels are, or what it says is impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where voxels lie. `position`: the middle of the first voxel, in mm. `spacing`: from voxel to voxel, in mm along
    x, y and z. `right`, `down`, `deep`: the directions in which columns, rows and frames count, of length 1.

    Raises `GeometryError` for numbers that are not finite, a spacing that is not positive, directions that are not of
    length 1, rows and columns that are not at right angles. Frames may be shifted, as by a tilted gantry.

    >>> where = Geometry(position=(0, 0, 2000), spacing=(0.5, 0.5, 1))
    >>> where.to_mm((2, 4, 10)).tolist()
    [1.0, 2.0, 2010.0]
    >>> where.to_voxels((1, 2, 2010)).tolist()
    [2.0, 4.0, 10.0]
    """

    position: Triple = (0.0, 0.0, 0.0)
    spacing: Triple = (1.0, 1.0, 1.0)
    right: Triple = (1.0, 0.0, 0.0)
    down: Triple = (0.0, 1.0, 0.0)
    deep: Triple = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("position", "spacing", "right", "down", "deep"):
            numbers = getattr(self, name)
            if len(numbers) != 3 or not all(abs(number) <= FURTHEST for number in numbers):
                raise GeometryError(f"{name}: three numbers of at most {FURTHEST:g} are needed")
        for number in self.spacing:
            if not SMALLEST <= number <= LARGEST:
                raise GeometryError(f"spacing {number:g} mm, {SMALLEST:g} to {LARGEST:g} allowed")
        directions = np.array((self.right, self.down, self.deep), np.float64)
        lengths = np.linalg.norm(directions, axis=1)
        if abs(lengths - 1).max() > SKEW or abs(directions[0] @ directions[1]) > SKEW:
            raise GeometryError("the directions of rows and columns are not of length 1 and at right angles")
        if abs(np.linalg.det(directions)) < FLAT:
            raise GeometryError("the direction of the frames is not out of the plane of rows and columns")

    @classmethod
    def of(cls, dataset: Dataset) -> Geometry:
        """Returns the geometry of a CT, DX or AIT data set, or of a plain DICOM image. Attributes that are missing or
        empty have the defaults of this class. Raises `GeometryError`, TypeError for a view in place of its data set.

        The direction of the frames is that from the position of the first one to that of the second one, if both are
        given, and at right angles to rows and columns otherwise. An object may have several sections; the geometry is
        that of the first one.
        """
        if hasattr(dataset, "dataset"):
            kind = type(dataset).__name__
            raise TypeError(f"Geometry.of: a {kind} in place of its data set; write Geometry.of(scan.dataset)")
        found = _Found(dataset)
        right, down = found.orientation()
        deep = _cross(right, down)
        position, depth = found.position(), found.thickness()
        second = found.second_position()
        if second is not None:
            step = np.subtract(second, position)
            length = float(np.linalg.norm(step))
            if length > SMALLEST:
                depth, deep = length, _triple(step / length)
        rows, columns = found.pixel_spacing()
        return cls(position=position, spacing=(columns, rows, depth), right=right, down=down, deep=deep)

    @property
    def voxel_volume(self) -> float:
        """The volume of one voxel, in mm3."""
        x, y, z = self.spacing
        return x * y * z

    def _matrix(self) -> NDArray[np.float64]:
        """From voxels to mm, less the position. Its rows are what one step along x, y and z adds."""
        directions = np.array((self.right, self.down, self.deep), np.float64)
        found: NDArray[np.float64] = directions * np.array(self.spacing)[:, None]
        return found

    def to_mm(self, voxels: Points) -> NDArray[np.float64]:
        """Converts voxel coordinates to mm. Takes and returns one point (x, y, z), or an array of shape (n, 3)."""
        moved: NDArray[np.float64] = np.asarray(voxels, np.float64) @ self._matrix() + self.position
        return moved

    def to_voxels(self, points: Points) -> NDArray[np.float64]:
        """Converts mm to voxel coordinates, with fractions. Takes and returns one point (x, y, z), or an array of shape
        (n, 3)."""
        moved = np.asarray(points, np.float64) - np.array(self.position)
        found: NDArray[np.float64] = moved @ np.linalg.inv(self._matrix())
        return found

    def corners(self, box: Box) -> NDArray[np.float64]:
        """Returns the corners of a box in mm, at the outer edges of its voxels: shape (8, 3). The first four go round
        the first frame, the other four round the last one."""
        low = np.array(box.start) - 0.5
        high = low + np.array(box.size)
        ends = np.array((low, high))
        ring = ((0, 0), (1, 0), (1, 1), (0, 1))
        points = [(ends[x, 0], ends[y, 1], ends[z, 2]) for z, (x, y) in product((0, 1), ring)]
        return self.to_mm(np.array(points))

    def polygon(self, box: Box) -> tuple[Triple, ...]:
        """Returns the bounding polygon of a box: its eight corners in mm."""
        return tuple(_triple(point) for point in self.corners(box))

    def region(self, points: Iterable[Sequence[float]], shape: Sequence[int]) -> Region:
        """Returns the region of the voxels of a volume of `shape` (z, y, x) which the box around some points in mm
        touches, without a bitmap. Raises `RegionError` if there are no points, if one is not finite, or if the box
        lies outside the volume."""
        given = np.array([_finite(point) for point in points], np.float64)
        if given.size == 0:
            raise RegionError("no points, so no region")
        voxels = self.to_voxels(given)
        limits = np.array(shape[::-1])
        # A thousandth of a voxel is the error of a float, not another voxel.
        low = np.maximum(np.floor(voxels.min(axis=0) + 0.501), 0)
        high = np.minimum(np.ceil(voxels.max(axis=0) + 0.499), limits)
        high = np.maximum(high, np.minimum(low + 1, limits))  # one point is one voxel
        if (low >= high).any() or (voxels.max(axis=0) < -0.501).any():
            raise RegionError("the points lie outside the volume")
        return Region(base=_triple(low), extents=_triple(high - low))


class _Found:
    """The attributes of a data set for the place of its pixels."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._shared = _items(dataset, SHARED)[:1]
        self._frames = _items(dataset, PER_FRAME)

    def _numbers(self, group: int, tag: int, count: int, frame: int = 0) -> tuple[float, ...] | None:
        """The numbers of an attribute: of a frame, of all frames, or of the object; None if there are none."""
        for holder in (*self._frames[frame : frame + 1], *self._shared):
            for item in _items(holder, group)[:1]:
                found = _numbers(item, tag, count)
                if found is not None:
                    return found
        return _numbers(self._dataset, tag, count)

    def orientation(self) -> tuple[Triple, Triple]:
        found = self._numbers(PLANE_ORIENTATION, IMAGE_ORIENTATION, 6)
        return ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)) if found is None else (_triple(found[:3]), _triple(found[3:]))

    def position(self) -> Triple:
        found = self._numbers(PLANE_POSITION, IMAGE_POSITION, 3)
        return (0.0, 0.0, 0.0) if found is None else _triple(found)

    def second_position(self) -> Triple | None:
        """The position of the second frame, None if there is none."""
        found = None
        for frame in self._frames[1:2]:
            for item in _items(frame, PLANE_POSITION)[:1]:
                found = _numbers(item, IMAGE_POSITION, 3)
        return None if found is None else _triple(found)

    def pixel_spacing(self) -> tuple[float, float]:
        """Between rows and between columns, in mm; 1 where it is not given."""
        found = self._numbers(PIXEL_MEASURES, PIXEL_SPACING, 2) or _numbers(self._dataset, IMAGER_SPACING, 2)
        return (1.0, 1.0) if found is None else (found[0], found[1])

    def thickness(self) -> float:
        for tag in (SLICE_SPACING, SLICE_THICKNESS):
            found = self._numbers(PIXEL_MEASURES, tag, 1)
            if found is not None:
                return abs(found[0])
        return 1.0


def _items(holder: Dataset, tag: int) -> Sequence[Dataset]:
    try:
        return values.items(holder, tag)
    except BadValue as error:
        raise GeometryError(str(error)) from None


def _numbers(holder: Dataset, tag: int, count: int) -> tuple[float, ...] | None:
    """The numbers of an attribute; None if it is missing or empty. Raises `GeometryError` for others than `count`."""
    try:
        found = values.numbers(holder, tag, count if values.has(holder, tag) else None)
    except BadValue as error:
        raise GeometryError(str(error)) from None
    if not all(abs(number) <= FURTHEST for number in found):
        raise GeometryError(f"{named(tag)}: numbers of at most {FURTHEST:g} are needed")
    return found or None


def _finite(point: Sequence[float]) -> Sequence[float]:
    if len(point) != 3 or not all(abs(number) <= FURTHEST for number in point):
        raise RegionError(f"a point has three numbers of at most {FURTHEST:g}: x, y, z")
    return point


def _cross(one: Triple, other: Triple) -> Triple:
    return _triple(np.cross(one, other))


def _triple(numbers: Iterable[float]) -> Triple:
    x, y, z = (float(number) for number in numbers)
    return x, y, z

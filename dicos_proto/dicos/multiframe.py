"""Volumes as frames: the functional groups that say where each frame is, and the sections they fall into.

A section is a block of frames of one size, one spacing and one orientation, at equal steps. pyDICOS writes all sections
of a size as the frames of one object, last section first, and marks no boundary: a reader finds it where the step from
one frame to the next, or a functional group, changes [obs]. So two sections that continue each other cannot be kept
apart by that, nor can sections of one frame. New objects here also name each frame's section as its Stack ID
(0020,9056), counted from 1 [PS3.3 C.7.6.16.2.2]; readers that do not know it go by the steps as before.

Knows: shared and per-frame functional groups. Must not know: CT, AIT. Invariants: no loop is longer than the items of
the data set; what is stored is what is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

import numpy as np
from pydicom.dataset import Dataset

from . import values
from .errors import BadValue
from .pixels import PER_FRAME, Array
from .values import items, put, put_items

__all__ = [
    "Place",
    "Section",
    "Vector",
    "check_geometry",
    "is_orthonormal",
    "normal_of",
    "places_of",
    "store_groups",
    "uneven_frames",
]

Vector: TypeAlias = tuple[float, float, float]

SHARED: Final = 0x52009229
PLANE_POSITION: Final = 0x00209113
PLANE_ORIENTATION: Final = 0x00209116
PIXEL_MEASURES: Final = 0x00289110
TRANSFORMATION: Final = 0x00289145
FRAME_CONTENT: Final = 0x00209111
LONGEST_ID: Final = 16
"""Characters of a Stack ID that is taken for a number: as many as an SH has [PS3.5 6.2]."""
STEP_TOLERANCE: Final = 0.01
"""Part of a step by which the next one may differ, and still be in the same section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a block of frames is, and what its stored values mean. Millimetres, in the order (x, y, z)."""

    spacing: Vector = (1.0, 1.0, 1.0)
    """Distance of the centres of neighbouring voxels: along a row, along a column, from frame to frame."""
    position: Vector = (0.0, 0.0, 0.0)
    """The centre of the first voxel of the first frame: Image Position (0020,0032)."""
    orientation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    """Unit vectors along a row and along a column: Image Orientation (0020,0037)."""
    thickness: float | None = None
    """Slice Thickness (0018,0050); None: the distance of the frames."""
    slope: float = 1.0
    """Rescale Slope (0028,1053)."""
    intercept: float = 0.0
    """Rescale Intercept (0028,1052)."""
    rescale_type: str = "MHU"
    """Rescale Type (0028,1054): the unit of a rescaled value, up to 64 characters."""

    def __post_init__(self) -> None:
        for name in ("spacing", "position", "orientation"):  # of numpy too
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))

    @property
    def normal(self) -> Vector:
        """The unit vector from one frame to the next if the spacing is positive: row x column."""
        return normal_of(self.orientation)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """A block of frames. `volume` has the shape (z, y, x): frames, rows, columns."""

    volume: Array = field(repr=False)
    place: Place = Place()
    first: int = 0
    """Index of its first frame in the object."""

    @property
    def spacing(self) -> Vector:
        """Distance of neighbouring voxels in mm, (x, y, z). The last one is negative if the frames run against the
        normal of the planes."""
        return self.place.spacing

    @property
    def position(self) -> Vector:
        """The centre of the first voxel in mm, (x, y, z)."""
        return self.place.position

    @property
    def densities(self) -> Array:
        """The rescaled values, float32, shape (z, y, x): stored value x slope + intercept, in units of
        `place.rescale_type`. A new array at each call, also if the slope is 1."""
        return rescaled(self.volume, self.place.slope, self.place.intercept)


def rescaled(array: Array, slope: float, intercept: float) -> Array:
    """Returns stored values as what they mean, float32; float64 for stored float64."""
    kind = np.float64 if array.dtype.itemsize == 8 and array.dtype.kind == "f" else np.float32
    found: Array = array.astype(kind)
    if (slope, intercept) != (1.0, 0.0):
        np.multiply(found, kind(slope), out=found)
        np.add(found, kind(intercept), out=found)
    return found


def normal_of(orientation: Sequence[float]) -> Vector:
    """Returns the cross product of the row and the column vector."""
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    return (b * f - c * e, c * d - a * f, a * e - b * d)


def check_geometry(place: Place) -> None:
    """Raises ValueError for a place that no volume can have."""
    if len(place.orientation) != 6 or not is_orthonormal(place.orientation):
        raise ValueError("an orientation that is not two unit vectors at a right angle, 6 numbers in all")
    if any(len(vector) != 3 for vector in (place.position, place.spacing)):
        raise ValueError("a position or a spacing that is not 3 numbers (x, y, z)")
    if not (place.spacing[0] > 0 and place.spacing[1] > 0 and place.spacing[2] != 0):
        raise ValueError("a spacing that is not positive; only the last one, from frame to frame, may be negative")


def is_orthonormal(orientation: Sequence[float], tolerance: float = 1e-3) -> bool:
    """Returns True if 6 numbers are two unit vectors at a right angle."""
    row, column = orientation[:3], orientation[3:]
    products = (_dot(row, row) - 1, _dot(column, column) - 1, _dot(row, column))
    return all(abs(one) <= tolerance for one in products)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


# -- writing ---------------------------------------------------------------------------------------------------------


def macros_of(place: Place, *, transformation: bool = True) -> dict[int, Dataset]:
    """Returns the macros that say where a section is, apart from its positions: sequence -> item.

    `transformation`: also the rescale, which AIT does not have.
    """
    x, y, z = place.spacing
    thickness = abs(z) if place.thickness is None else place.thickness
    made = {
        PLANE_ORIENTATION: _item((0x00200037, place.orientation)),
        PIXEL_MEASURES: _item((0x00180050, thickness), (0x00280030, (y, x))),
    }
    if transformation:
        made[TRANSFORMATION] = _item(
            (0x00281052, place.intercept), (0x00281053, place.slope), (0x00281054, place.rescale_type)
        )
    return made


def store_groups(dataset: Dataset, sections: Sequence[Section], shared: Dataset, *, transformation: bool) -> None:
    """Sets the functional groups of the frames of all sections, the last section first.

    `shared`: what else is the same in all frames. A macro goes into the shared group if it is the same in all sections,
    otherwise into each frame's: pyDICOS refuses an object that has more in the frames' groups than differs [obs].
    """
    macros = [macros_of(one.place, transformation=transformation) for one in sections]
    differing = {tag for tag in macros[0] if any(one[tag] != macros[0][tag] for one in macros)}
    for tag in macros[0].keys() - differing:
        put_items(shared, tag, [macros[0][tag]])
    put_items(dataset, SHARED, [shared])
    frames = []
    for number in range(len(sections), 0, -1):
        section = sections[number - 1]
        for group in _per_frame(section.place, len(section.volume), number if len(sections) > 1 else None):
            for tag in differing:
                put_items(group, tag, [macros[number - 1][tag]])
            frames.append(group)
    put_items(dataset, PER_FRAME, frames)


def _per_frame(place: Place, count: int, stack: int | None) -> Iterator[Dataset]:
    """Yields the per-frame group of each frame of a section: its position, and its stack if there are several."""
    normal, step = place.normal, place.spacing[2]
    for index in range(count):
        group = Dataset()
        position = tuple(start + index * step * part for start, part in zip(place.position, normal, strict=True))
        put_items(group, PLANE_POSITION, [_item((0x00200032, position))])
        if stack is not None:
            put_items(group, FRAME_CONTENT, [_item((0x00209056, str(stack)), (0x00209057, index + 1))])
        yield group


def _item(*attributes: tuple[int, object]) -> Dataset:
    made = Dataset()
    for tag, value in attributes:
        put(made, tag, value)
    return made


# -- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Frame:
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    measures: tuple[float, float, float | None]
    """From row to row, from column to column, slice thickness."""
    rescale: tuple[float, float, str]
    """Slope, intercept, type."""
    stack: str | None

    def place(self) -> tuple[object, ...]:
        """Returns the values that are the same in all frames of a section."""
        return self.orientation, self.measures, self.rescale


def places_of(dataset: Dataset, count: int) -> list[tuple[int, int, Place]]:
    """Returns the first frame, the frame after the last one, and the place of each section of `count` frames.

    They are in the order of their numbers if each frame names one, otherwise in the order of their frames. Raises
    `BadValue` if the functional groups do not describe each frame.
    """
    frames = list(_frames(dataset))
    if len(frames) != count:
        raise BadValue(f"{len(frames)} items for {count} frames; one for each is needed", PER_FRAME)
    starts = [0]
    for index in range(1, count):
        if _breaks(frames, starts[-1], index):
            starts.append(index)
    found = [
        (start, end, _place(frames[start], frames[start + 1] if end - start > 1 else None))
        for start, end in zip(starts, [*starts[1:], count], strict=True)
    ]
    stacks = [frames[start].stack or "" for start in starts]
    if all(stack.isdecimal() and len(stack) <= LONGEST_ID for stack in stacks):
        found = [one for _, one in sorted(zip(map(int, stacks), found, strict=True), key=lambda pair: pair[0])]
    return found


def uneven_frames(dataset: Dataset) -> list[int]:
    """Returns the frames, counted from 0, that name the same section as the one before, at another step or another
    place than that section. Raises `BadValue` if the functional groups do not describe each frame."""
    frames = list(_frames(dataset))
    found, start = [], 0
    for index in range(1, len(frames)):
        before = frames[index - 1]
        if frames[index].stack is None or frames[index].stack != before.stack:
            start = index
        elif _differs(frames, start, index):
            found.append(index)
    return found


def _frames(dataset: Dataset) -> Iterator[_Frame]:
    """Yields what the functional groups say about each frame: its own group, or the shared one, which is read once."""
    shared = next(iter(items(dataset, SHARED)), Dataset())
    position, orientation = _vector(shared, PLANE_POSITION), _vector(shared, PLANE_ORIENTATION)
    measures, rescale = _measures(shared), _rescale(shared)
    for group in items(dataset, PER_FRAME):
        yield _Frame(
            _needed(_vector(group, PLANE_POSITION) or position, PLANE_POSITION),
            _needed(_vector(group, PLANE_ORIENTATION) or orientation, PLANE_ORIENTATION),
            _needed(_measures(group) or measures, PIXEL_MEASURES),
            _rescale(group) or rescale or (1.0, 0.0, ""),
            _stack(group),
        )


_VECTORS: Final = {PLANE_POSITION: (0x00200032, 3), PLANE_ORIENTATION: (0x00200037, 6)}
"""The attribute of a macro, and the number of its values."""
_Needed = TypeVar("_Needed")


def _needed(found: _Needed | None, tag: int) -> _Needed:
    if found is None:
        raise BadValue("is missing in the functional groups", tag)
    return found


def _macro(group: Dataset, tag: int) -> Dataset | None:
    return next(iter(items(group, tag)), None)


def _vector(group: Dataset, tag: int) -> tuple[float, ...] | None:
    macro = _macro(group, tag)
    return None if macro is None else values.numbers(macro, *_VECTORS[tag])


def _measures(group: Dataset) -> tuple[float, float, float | None] | None:
    macro = _macro(group, PIXEL_MEASURES)
    if macro is None:
        return None
    row, column = values.numbers(macro, 0x00280030, 2)
    return row, column, values.number(macro, 0x00180050)


def _rescale(group: Dataset) -> tuple[float, float, str] | None:
    macro = _macro(group, TRANSFORMATION)
    if macro is None:
        return None
    slope, intercept = values.number(macro, 0x00281053), values.number(macro, 0x00281052)
    return 1.0 if slope is None else slope, intercept or 0.0, values.text(macro, 0x00281054) or ""


def _stack(group: Dataset) -> str | None:
    macro = _macro(group, FRAME_CONTENT)
    return None if macro is None else values.text(macro, 0x00209056)


def _breaks(frames: Sequence[_Frame], start: int, index: int) -> bool:
    """Returns True if the section that began with frame `start` ends before frame `index`. As in pyDICOS, its first
    two frames set its step [obs]."""
    frame, before = frames[index], frames[index - 1]
    if frame.stack is not None or before.stack is not None:
        return frame.stack != before.stack
    return _differs(frames, start, index)


def _differs(frames: Sequence[_Frame], start: int, index: int) -> bool:
    """Returns True if a frame has another place or step than the section that began with frame `start`."""
    frame, before = frames[index], frames[index - 1]
    if frame.place() != before.place():
        return True
    if index == start + 1:
        return False
    step, now = _apart(frames[start], frames[start + 1]), _apart(before, frame)
    allowed = STEP_TOLERANCE * max(map(abs, step)) + 1e-6
    return not all(abs(a - b) <= allowed for a, b in zip(step, now, strict=True))


def _apart(one: _Frame, other: _Frame) -> list[float]:
    return [b - a for a, b in zip(one.position, other.position, strict=True)]


def _place(first: _Frame, second: _Frame | None) -> Place:
    row, column, thickness = first.measures
    step = thickness or 1.0
    if second is not None:
        step = _dot(_apart(first, second), normal_of(first.orientation))
    x, y, z = first.position
    slope, intercept, rescale_type = first.rescale
    return Place(
        spacing=(column, row, step),
        position=(x, y, z),
        orientation=first.orientation,
        thickness=thickness,
        slope=slope,
        intercept=intercept,
        rescale_type=rescale_type,
    )

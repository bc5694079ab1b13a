"""The parts that CT and three-dimensional AIT share: volumes in frames.

Knows: volumes and their sections. Must not know: which kind it is. Invariants: a volume is a view of the bytes that the
object holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from . import values
from .common import Common
from .errors import BadValue
from .multiframe import Place, Section, Vector, check_geometry, places_of, rescaled, store_groups
from .objects import DicosObject
from .pixels import Array, frame_count, store
from .values import put, put_items

__all__ = ["AXES", "FRAME_TYPE", "VolumeObject", "fill_volume", "groups_of"]

IMAGE_TYPE: Final = 0x00080008
FRAME_TYPE: Final = 0x00189329
_DESCRIPTION: Final = ((0x00089205, "MONOCHROME"), (0x00089206, "VOLUME"), (0x00089207, "NONE"))
"""Common Image Description."""
AXES: Final = ("zyx", "zxy", "yzx", "yxz", "xzy", "xyz")
"""Orders of axes that `VolumeObject.array` knows: z counts frames, y rows, x columns."""


class VolumeObject(DicosObject):
    """An object whose frames are a volume, or several."""

    __slots__ = ()

    @property
    def volume(self) -> Array:
        """All frames, shape (z, y, x): the stored values, read-only. Native pixel data is not copied; compressed one is
        decoded once. Raises `PixelError`, `BadValue`."""
        return self._pixels()

    @property
    def sections(self) -> list[Section]:
        """The sections, each with its volume, spacing and position. Raises `PixelError`, `BadValue`."""
        volume = self.volume
        return [
            Section(volume=volume[start:end], place=place, first=start)
            for start, end, place in places_of(self._dataset, len(volume))
        ]

    @property
    def places(self) -> list[Place]:
        """Where the sections are, without their volumes. Raises `BadValue`."""
        return [place for _, _, place in places_of(self._dataset, frame_count(self._dataset))]

    @property
    def densities(self) -> Array:
        """All frames, rescaled: float32, shape (z, y, x). Raises `PixelError`, `BadValue`; also if the sections have
        different rescales, which `Section.densities` has one by one."""
        rescales = {(one.slope, one.intercept) for one in self.places}
        if len(rescales) > 1:
            raise BadValue(f"{len(rescales)} different rescales; read sections one by one", 0x00281053)
        return rescaled(self.volume, *rescales.pop())

    @property
    def spacing(self) -> Vector:
        """Distance of neighbouring voxels in mm, (x, y, z), of the first section."""
        return self.places[0].spacing

    @property
    def position(self) -> Vector:
        """The centre of the first voxel in mm, (x, y, z), of the first section."""
        return self.places[0].position

    @property
    def image_type(self) -> tuple[str, ...]:
        """Image Type (0008,0008), 4 values, as in ORIGINAL, HIGH ENERGY, VOLUME, NONE."""
        return values.texts(self._dataset, IMAGE_TYPE)

    @property
    def energy(self) -> str | None:
        """The second value of the image type: HIGH ENERGY, LOW ENERGY, MULTI ENERGY, DENSITY, Z_EFFECTIVE ..."""
        return (*self.image_type, "", "")[1] or None

    @property
    def coordinate_system(self) -> str | None:
        """LHS or RHS (0008,2108): whether x, y and z are a left-handed or a right-handed system."""
        return self._text(0x00082108)

    @property
    def frame_of_reference_uid(self) -> str | None:
        """Frame of Reference UID (0020,0052): objects with the same one share their coordinates."""
        return self._text(0x00200052)

    def array(self, axes: str = "zyx") -> Array:
        """Returns `volume` with its axes in another order, as a view: "xyz" for `array[x, y, z]`, as the toolkit in
        pyDICOS counts. Raises ValueError for an order that is not one of `AXES`, `PixelError`, `BadValue`."""
        if axes not in AXES:
            raise ValueError(f"axes in another order than {', '.join(AXES)}")
        return np.transpose(self.volume, ["zyx".index(axis) for axis in axes])


def groups_of(volume: Array | None, sections: Sequence[Section] | None, place: Place) -> list[list[Section]]:
    """Returns the sections that go into one object each: those of one number of rows and columns, in their order.

    Raises TypeError unless exactly one of `volume` and `sections` is given, and for sections of several dtypes;
    ValueError for no sections, or one whose place no volume can have.
    """
    if (volume is None) == (sections is None):
        raise TypeError("either a volume or sections=[...] is needed")
    given = [Section(volume=np.asarray(volume), place=place)] if sections is None else list(sections)
    if not given:
        raise ValueError("no sections; at least 1")
    dtypes = {one.volume.dtype for one in given}
    if len(dtypes) > 1:
        raise TypeError(f"sections of {len(dtypes)} dtypes; 1 is allowed")
    found: dict[tuple[int, ...], list[Section]] = {}
    for one in given:
        check_geometry(one.place)
        found.setdefault(one.volume.shape[1:], []).append(one)
    return list(found.values())


def fill_volume(
    dataset: Dataset,
    sections: Sequence[Section],
    common: Common,
    *,
    image_type: Sequence[str],
    duration: float,
    coordinate_system: str,
    shared: Dataset,
    transformation: bool,
) -> None:
    """Sets the attributes of a volume: image type, pixel data, frame of reference, functional groups.

    `shared`: the macros that only this kind has. The last section comes first, as pyDICOS writes them: sections that
    continue each other stay apart for a reader that goes by the steps. Several sections are copied into one array.
    Raises TypeError, ValueError.
    """
    if len(image_type) != 4:
        raise ValueError(
            f"an image type of {len(image_type)} values; 4 are needed, such as "
            "('ORIGINAL', 'HIGH ENERGY', 'VOLUME', 'NONE')"
        )
    stored = [one.volume for one in reversed(sections)]
    store(dataset, np.concatenate(stored) if len(stored) > 1 else stored[0], frames=True)
    frame_type = Dataset()
    for tag, value in (
        (IMAGE_TYPE, tuple(image_type)),
        (0x0008002A, common.stamp.date_time),
        (0x00080118, "MACHINE"),
        (0x00082108, coordinate_system),
        *_DESCRIPTION,
        (0x00189073, duration),
        (0x00200052, common.frame_of_reference_uid),
        (0x00201040, None),
        (0x20500020, "IDENTITY"),
    ):
        put(dataset, tag, value)
    for tag, value in ((0x00089007, tuple(image_type)), *_DESCRIPTION):
        put(frame_type, tag, value)
    put_items(dataset, 0x00400555, [])
    put_items(shared, FRAME_TYPE, [frame_type])
    store_groups(dataset, sections, shared, transformation=transformation)

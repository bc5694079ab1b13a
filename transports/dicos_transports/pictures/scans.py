"""The source of a picture: a scanned object as frames that come one by one, from a file or from memory.

Knows: which objects have pictures. Must not know: how they are drawn. Invariants: no more than one frame is in memory
at a time if the scan is a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicos_proto.dicos import values
from dicos_proto.dicos.errors import BadValue, DicosError
from dicos_proto.dicos.geometry import Geometry, GeometryError
from dicos_proto.dicos.multiframe import places_of
from dicos_proto.dicos.objects import DicosObject
from dicos_proto.dicos.pixels import Layout, array_of, layout_of
from dicos_proto.dicos.threats import Reference

from .frames import open_frames

__all__ = ["NoPicture", "Scan"]

LARGEST_VIEWS: Final = 2**27
"""Pixels of the three views of a volume together."""
_MEASURES, _PIXEL_SPACING, _IMAGER_SPACING = 0x00289110, 0x00280030, 0x00181164
_SHARED, _PER_FRAME, _TRANSFORMATION = 0x52009229, 0x52009230, 0x00289145


class NoPicture(Exception):
    """An object of which no picture can be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A scanned object: its attributes, how large its frames are, and the frames themselves, which can be read again
    and again. Values are stored ones; `slope` and `intercept` make densities of them, in `unit`."""

    dataset: Dataset
    layout: Layout
    frames: Iterable[NDArray[Any]]
    geometry: Geometry
    slope: float
    intercept: float
    unit: str
    notes: tuple[str, ...] = ()
    """Attributes of the object that the picture does not follow."""

    @classmethod
    def read(cls, path: Path) -> Scan:
        """Opens a file. Raises `NoPicture` for one without pixel data, Part10Error for one that cannot be read."""
        found = open_frames(path)
        if found is None:
            raise NoPicture("it has no pixel data")
        return cls._made(found.dataset, found.layout, found)

    @classmethod
    def of(cls, scanned: DicosObject) -> Scan:
        """Takes an object in memory. Raises `NoPicture` for one without native pixel data."""
        try:
            layout, volume = layout_of(scanned.dataset), array_of(scanned.dataset)
        except DicosError as error:
            raise NoPicture(str(error)) from None
        return cls._made(scanned.dataset, layout, volume)

    @classmethod
    def _made(cls, dataset: Dataset, layout: Layout, frames: Iterable[NDArray[Any]]) -> Scan:
        if layout.rows * layout.columns + layout.frames * (layout.rows + layout.columns) > LARGEST_VIEWS:
            raise NoPicture(
                f"the views of {layout.columns} x {layout.rows} x {layout.frames} voxels have more than "
                f"{LARGEST_VIEWS} pixels"
            )
        notes: tuple[str, ...] = ()
        try:
            geometry = Geometry.of(dataset)
        except GeometryError as error:
            geometry, notes = Geometry(), (f"voxels are drawn as if they were 1 mm wide: {error}",)
        try:
            slope, intercept, unit = _rescale(dataset)
        except BadValue as error:
            (slope, intercept, unit), notes = (1.0, 0.0, ""), (*notes, f"stored values are drawn: {error}")
        sections = _sections(dataset, layout.frames)
        if sections > 1:
            notes = (*notes, f"{sections} sections are drawn one behind the other")
        return cls(dataset, layout, frames, geometry, slope, intercept, unit, notes)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter(self.frames)

    @property
    def has_spacing(self) -> bool:
        """True if the object says how large its pixels are; otherwise they are drawn as if they were 1 mm wide."""
        groups = [
            *(one for tag in (_SHARED, _PER_FRAME) for one in self._items(self.dataset, tag)), self.dataset,
        ]  # fmt: skip
        holders = [*groups, *(one for group in groups for one in self._items(group, _MEASURES))]
        return any(values.has(one, tag) for one in holders for tag in (_PIXEL_SPACING, _IMAGER_SPACING))

    @staticmethod
    def _items(holder: Dataset, tag: int) -> Sequence[Dataset]:
        """The first item of a sequence, none if it cannot be read."""
        try:
            return values.items(holder, tag)[:1]
        except DicosError:
            return ()

    @property
    def is_volume(self) -> bool:
        """True if there are several frames, to be seen from three sides."""
        return self.layout.frames > 1

    @property
    def is_transmission(self) -> bool:
        """True for an X-ray image that has one value for each ray, as a DX."""
        return not self.is_volume and not self.reference.is_ct and self.modality not in ("CT", "AIT", "AIT2D", "AIT3D")

    @property
    def is_body(self) -> bool:
        """True for an image of a person, which has no densities."""
        return self.modality.startswith("AIT")

    @property
    def modality(self) -> str:
        """Modality (0008,0060), "" if it is not readable."""
        return self.text(0x00080060)

    @property
    def reference(self) -> Reference:
        """The class and the instance of the object, as reports refer to it."""
        return Reference(sop_class_uid=self.text(0x00080016), sop_instance_uid=self.text(0x00080018))

    def text(self, tag: int) -> str:
        """Returns an attribute as text, "" if it is missing or cannot be read."""
        try:
            return "\\".join(values.texts(self.dataset, tag))
        except DicosError:
            return ""

    @property
    def is_dark_for_dense(self) -> bool:
        """True if a low stored value means that little radiation came through [DICOM PS3.3 C.8.11.3.1.2]."""
        sign = self.text(0x00281041)
        if sign:
            return sign != "-1"
        return self.text(0x00280004) != "MONOCHROME1" and self.text(0x00281040) not in ("LOG", "DISP")


def _sections(dataset: Dataset, frames: int) -> int:
    """The number of blocks of frames at equal steps; 1 if the frames have no positions."""
    try:
        return len(places_of(dataset, frames))
    except DicosError:
        return 1


def _rescale(dataset: Dataset) -> tuple[float, float, str]:
    """Slope, intercept and unit of the first frame: from the functional groups, or from the top."""
    for group in (*values.items(dataset, _SHARED)[:1], *values.items(dataset, _PER_FRAME)[:1]):
        for one in values.items(group, _TRANSFORMATION)[:1]:
            return _transformation(one)
    return _transformation(dataset)


def _transformation(holder: Dataset) -> tuple[float, float, str]:
    slope, intercept = values.number(holder, 0x00281053), values.number(holder, 0x00281052)
    if slope == 0 or not np.isfinite(np.float32(slope or 1)):
        raise BadValue("is 0 or too large", 0x00281053)
    return slope or 1.0, intercept or 0.0, values.text(holder, 0x00281054) or ""

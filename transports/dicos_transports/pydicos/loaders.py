"""The loaders: objects with `read`, `write`, `get_data` and `set_data`, as programs for pyDICOS have them.

A loader holds the objects of `dicos_proto.dicos`, in `objects`: what it does not offer, they do.

Knows: the original's names. Must not know: the network, how objects are made of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dicos_proto.dicos import CT, DicosError, DicosObject, NotDicos, Section, view
from dicos_proto.registry import uids

from ..dicos import read_file, stamp, write_file
from .flags import SOPCLASSUID, family_of

__all__ = [
    "AIT2DLoader", "AIT3DLoader", "CTLoader", "DXLoader", "Loader", "QRLoader", "Sendable", "dcsread", "dcswrite",
    "loader_of", "objects_of",
]  # fmt: skip

O = TypeVar("O", bound=DicosObject)
Array = NDArray[Any]


class Loader(Generic[O]):
    """What all loaders have in common. Raises RuntimeError for a file that it cannot read, as the original does."""

    kind: ClassVar[str]
    """The kind of its objects, as in the names of callbacks: CT for `OnReceivingCT`."""
    type: ClassVar[type[DicosObject]]
    """The view of its objects."""

    def __init__(self, filename: str | Path | None = None) -> None:
        """`filename`: a file to read; without one, the loader is empty."""
        self.objects: list[O] = []
        """The objects: one, or several if the sections of a scan have different sizes."""
        self.ooi_id = "unknown"
        """The ID of the object of inspection that `set_data` gives a new object."""
        if filename is not None:
            self.read(filename)

    @classmethod
    def over(cls, *objects: O) -> Self:
        """Returns a loader that holds these objects."""
        made = cls()
        made._take(*objects)
        return made

    def _take(self, *objects: O) -> None:
        self.objects = list(objects)
        try:
            self.ooi_id = self.objects[0].ooi_id or self.ooi_id
        except DicosError:
            pass  # an ID that cannot be used

    @property
    def dicos(self) -> O:
        """The first object. Raises RuntimeError if the loader is empty."""
        if not self.objects:
            raise RuntimeError(f"the {self.kind} is empty: read a file or set_data first")
        return self.objects[0]

    def read(self, filename: str | Path) -> None:
        """Reads a file. Raises RuntimeError, with the reason, and leaves the loader as it was."""
        try:
            found = read_file(Path(filename))
        except (DicosError, OSError, ValueError) as error:
            raise RuntimeError(f"Failed to read DICOS file: {error}") from error
        if not isinstance(found, self.type):
            what = uids.name_of(found.sop_class_uid)
            raise RuntimeError(f"Failed to read DICOS file: {filename}: {what} is no {self.kind}")
        self._take(found)  # type: ignore[arg-type]  # the view of this loader

    def write(self, filename: str | Path) -> None:
        """Writes a file, or one for each object: the second one of `bag.dcs` is `bag_1.dcs`. Raises RuntimeError."""
        path = Path(filename)
        try:
            for number, one in enumerate(self.sendable()):
                write_file(path.with_stem(f"{path.stem}_{number}") if number else path, one)
        except (DicosError, OSError, ValueError) as error:
            raise RuntimeError(f"Failed to write DICOS file: {error}") from error

    def sendable(self) -> list[O]:
        """Returns the objects to write or to send. Raises RuntimeError if the loader is empty."""
        return self.objects or [self.dicos]


class _Volumes(Loader[O]):
    """Loaders of objects with frames along z."""

    def get_data(self) -> list[Array]:
        """Returns the volume of each section, shape (z, y, x): read-only views of the stored values."""
        return [one.volume for each in self.objects for one in each.sections]  # type: ignore[attr-defined]

    def get_volume_data(self) -> Array:
        """Returns all frames of the first object, shape (z, y, x); an empty array if there are none."""
        if not self.objects or not has_pixels(self.objects[0]):
            return np.zeros((0, 0, 0), np.uint16)
        volume: Array = self.objects[0].volume  # type: ignore[attr-defined]
        return volume


class CTLoader(_Volumes[CT]):
    """A CT."""

    kind = "CT"
    type = CT

    def get_data(self) -> list[Array]:
        """Returns the volume of each section, shape (z, y, x): read-only views of the stored values."""
        return [one.volume for each in self.objects if has_pixels(each) for one in each.sections]

    def set_data(self, data: Array | Sequence[Array]) -> None:
        """Takes volumes of the shape (z, y, x), one for each section, or one volume: a new CT of `ooi_id`, which keeps
        what the old one says of the machine and of the places of its sections.

        Raises TypeError, ValueError.
        """
        volumes = [data] if isinstance(data, np.ndarray) else list(data)
        old = [one for each in self.objects if has_pixels(each) for one in each.sections]
        sections = [
            Section(volume=volume, place=old[number].place) if number < len(old) else Section(volume=volume)
            for number, volume in enumerate(volumes)
        ]
        more = {"machine": self.objects[0].machine} if self.objects else {}
        self.objects = CT.new(sections=sections, ooi_id=self.ooi_id, stamp=stamp(), **more)

    def sendable(self) -> list[CT]:
        """Returns the objects to write or to send: a CT without volumes if the loader is empty."""
        return self.objects or [_without_pixels(CT.new(np.zeros((1, 1, 1), np.uint16), ooi_id=self.ooi_id, stamp=stamp()))]


def has_pixels(one: DicosObject) -> bool:
    """Returns True if an object has pixel data."""
    return any(tag in one.dataset for tag in (0x7FE00008, 0x7FE00009, 0x7FE00010))


def _without_pixels(ct: CT) -> CT:
    """A CT of no frames: programs that have nothing to send yet may still send it."""
    dataset = ct.dataset
    del dataset[0x7FE00010], dataset[0x52009230]
    for tag in (0x00280008, 0x00280010, 0x00280011):
        dataset[tag].value = 0
    return ct

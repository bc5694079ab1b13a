"""The loaders: objects with `read`, `write`, `get_data` and `set_data`, as programs for pyDICOS have them.

Knows: the original's names. Must not know: the network, how objects are made of bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicos_proto.dicos import AIT2D, AIT3D, CT, DX, QR, TDR, DicosObject, Section, view
from dicos_proto.registry import uids

from ..dicos import stamp
from .flags import family_of
from .loading import Loader
from .reports import TDRLoader, report_on

__all__ = [
    "AIT2DLoader", "AIT3DLoader", "CTLoader", "DXLoader", "Loader", "QRLoader", "Sendable", "dcsread", "dcswrite",
    "loader_of", "objects_of",
]  # fmt: skip

O = TypeVar("O", bound=DicosObject)
Array = NDArray[Any]


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

"""The loaders: objects with `read`, `write`, `get_data` and `set_data`, as programs for pyDICOS have them.

Knows: the original's names. Must not know: the network, how objects are made of bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicos_proto.dicos import (
    AIT2D,
    AIT3D,
    CT,
    DX,
    QR,
    DicosError,
    DicosObject,
    Machine,
    Measurement,
    Place,
    Section,
    view,
)  # fmt: skip
from dicos_proto.dicos.content import PIXELS
from dicos_proto.dicos.profile import SOP_CLASSES, Family

from ..dicos import read_file, stamp
from ..files import Part10Error
from .loading import Loader
from .reports import TDRLoader, report_on

__all__ = [
    "AIT2DLoader", "AIT3DLoader", "CTLoader", "DXLoader", "QRLoader", "Sendable", "dcsread", "dcswrite", "loader_of",
    "objects_of",
]  # fmt: skip

Kind = TypeVar("Kind", bound=DicosObject)
Array = NDArray[Any]


class _Images(Loader[Kind]):
    """Loaders of objects with one image."""

    def get_data(self) -> Array:
        """Returns the image, shape (y, x): a read-only view of the stored values; an empty array if there is none."""
        if not self.objects or not has_pixels(self.objects[0]):
            return np.zeros((0, 0), np.uint16)
        image: Array = self.objects[0].image  # type: ignore[attr-defined]
        return image

    get_volume_data = get_data


class DXLoader(_Images[DX]):
    """A DX, for presentation or for processing."""

    kind = "DX"
    type = DX

    def set_data(self, data: Array) -> None:
        """Takes an image of the shape (y, x): a new DX of `ooi_id`, for what the old one is for. Raises TypeError,
        ValueError."""
        old = self.objects[0] if self.objects else None
        processing = old is not None and old.sop_class_uid in SOP_CLASSES[Family.DX_PROCESSING]
        machine = Machine() if old is None else old.machine
        intent = "processing" if processing else "presentation"
        self.objects = [DX.new(data, ooi_id=self.ooi_id, stamp=stamp(), intent=intent, machine=machine)]

    def generate_tdr(self, data: Mapping[str, Any], output_file: str | Path | None = None) -> TDRLoader:
        """Returns a machine's report on this DX, and writes it to `output_file`, too, if that is given (see
        `reports`)."""
        return _written(report_on(self.dicos, data), output_file)


class AIT2DLoader(_Images[AIT2D]):
    """An AIT 2D."""

    kind = "AIT2D"
    type = AIT2D

    def set_data(self, data: Array) -> None:
        """Takes an image of the shape (y, x): a new AIT 2D of `ooi_id`. Raises TypeError, ValueError."""
        self.objects = [AIT2D.new(data, ooi_id=self.ooi_id, stamp=stamp())]


class _Volumes(Loader[Kind]):
    """Loaders of objects with frames along z."""

    def get_data(self) -> list[Array]:
        """Returns the volume of each section, shape (z, y, x): read-only views of the stored values."""
        return [one.volume for one in self._sections()]

    def get_volume_data(self) -> Array:
        """Returns all frames of the first object, shape (z, y, x); an empty array if there are none."""
        if not self.objects or not has_pixels(self.objects[0]):
            return np.zeros((0, 0, 0), np.uint16)
        volume: Array = self.objects[0].volume  # type: ignore[attr-defined]
        return volume

    def _sections(self) -> list[Section]:
        return [one for each in self.objects if has_pixels(each) for one in each.sections]  # type: ignore[attr-defined]

    def _placed(self, data: Array | Sequence[Array]) -> list[Section]:
        """New volumes in the places of the old ones."""
        old = self._sections()
        volumes = [data] if isinstance(data, np.ndarray) else list(data)
        places = [one.place for one in old] + [Place()] * (len(volumes) - len(old))
        return [Section(volume=volume, place=place) for volume, place in zip(volumes, places, strict=False)]


class CTLoader(_Volumes[CT]):
    """A CT."""

    kind = "CT"
    type = CT

    def set_data(self, data: Array | Sequence[Array]) -> None:
        """Takes volumes of the shape (z, y, x), one for each section, or one volume: a new CT of `ooi_id`, which keeps
        what the old one says of the machine and of the places of its sections. Raises TypeError, ValueError."""
        machine = self.objects[0].machine if self.objects else Machine()
        self.objects = CT.new(sections=self._placed(data), ooi_id=self.ooi_id, stamp=stamp(), machine=machine)

    def generate_tdr(self, data: Mapping[str, Any], output_file: str | Path | None = None) -> TDRLoader:
        """Returns a machine's report on this CT, and writes it to `output_file`, too, if that is given (see
        `reports`)."""
        return _written(report_on(self.dicos, data), output_file)

    def sendable(self) -> list[CT]:
        """Returns the objects to write or to send: a CT without volumes if the loader is empty."""
        if self.objects:
            return self.objects
        one = CT.new(np.zeros((1, 1, 1), np.uint16), ooi_id=self.ooi_id, stamp=stamp())
        return [_without_pixels(one)]


class AIT3DLoader(_Volumes[AIT3D]):
    """An AIT 3D."""

    kind = "AIT3D"
    type = AIT3D

    def set_data(self, data: Array | Sequence[Array]) -> None:
        """Takes volumes as `CTLoader.set_data` does. Raises TypeError, ValueError."""
        self.objects = AIT3D.new(sections=self._placed(data), ooi_id=self.ooi_id, stamp=stamp())


class QRLoader(Loader[QR]):
    """A QR: measurements of quadrupole resonance."""

    kind = "QR"
    type = QR

    def get_data(self) -> list[Measurement]:
        """Returns the measurements."""
        return list(self.objects[0].measurements) if self.objects else []

    def set_data(self, data: Sequence[Measurement]) -> None:
        """Takes measurements: a new QR of `ooi_id`. Raises ValueError."""
        self.objects = [QR.new(data, ooi_id=self.ooi_id, stamp=stamp())]


_LOADERS: Final[tuple[type[Loader[Any]], ...]] = (
    CTLoader, DXLoader, AIT2DLoader, AIT3DLoader, TDRLoader, QRLoader,
)  # fmt: skip
Sendable = Loader[Any] | DicosObject | Dataset
"""The objects that `SendCT` and the others take."""


def loader_of(thing: DicosObject | Dataset) -> Loader[Any]:
    """Returns the loader for an object. Raises `NotDicos`."""
    found = thing if isinstance(thing, DicosObject) else view(thing)
    kind = next(one for one in _LOADERS if isinstance(found, one.type))
    return kind.over(found)


def objects_of(given: object, kind: str) -> list[DicosObject]:
    """Returns the objects to send for what a program passes to `SendCT` and the like. `kind`: CT and the like. Raises
    TypeError for anything else, and RuntimeError for an empty loader."""
    if not isinstance(given, Loader | DicosObject | Dataset):
        raise TypeError(f"Send{kind}: {type(given).__name__} in place of a {kind}Loader")
    loader = given if isinstance(given, Loader) else loader_of(given)
    if loader.kind != kind:
        raise TypeError(f"Send{kind}: a {loader.kind}; Send{loader.kind} sends it")
    return list(loader.sendable())


def dcsread(filename: str | Path, dcs: Loader[Any] | None = None) -> Loader[Any]:
    """Reads a file. Returns the loader for what is in it, or `dcs`, if that is given. Raises ValueError."""
    try:
        if dcs is not None:
            dcs.read(filename)
            return dcs
        return loader_of(read_file(Path(filename)))
    except (DicosError, Part10Error, RuntimeError) as error:
        raise ValueError(f"Invalid DICOS file: {error}") from error


def dcswrite(dcs: Loader[Any], filename: str | Path) -> None:
    """Writes a loader to a file. Raises RuntimeError."""
    dcs.write(filename)


def _written(report: TDRLoader, path: str | Path | None) -> TDRLoader:
    if path is not None:
        report.write(path)
    return report


def has_pixels(one: DicosObject) -> bool:
    """Returns True if an object has pixel data."""
    return any(tag in one.dataset for tag in PIXELS)


def _without_pixels(ct: CT) -> CT:
    """A CT of no frames: programs that have nothing to send yet may still send it."""
    dataset = ct.dataset
    del dataset[0x7FE00010], dataset[0x52009230]
    for tag in (0x00280008, 0x00280010, 0x00280011):
        dataset[tag].value = 0
    return ct

"""A scan as a recogniser gets it: volume, geometry and attributes, mapped into memory and read when they are asked for.

    def recognise(scan: Scan) -> list[Threat]:
        dense = scan.volume > 3000
        return [Threat.from_mask(dense, geometry=scan.geometry, category="ANOMALY")] if dense.any() else []

Knows: one file. Must not know: what is done with it. Invariants: native pixel data is never copied, it is a view of the
mapped file; compressed pixel data is decompressed once, frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicos_proto.dicos import DicosObject, view
from dicos_proto.dicos.geometry import Geometry
from dicos_proto.dicos.threats import Threat

from ..pictures.frames import FramesOfFile, open_frames
from ..pictures.scans import Scan as Pictured
from .header import NotAScan, read_header, read_heading

__all__ = ["CannotRecognise", "Recogniser", "Scan", "Threat"]


class CannotRecognise(Exception):
    """A recogniser raises this for a scan that it is not made for, such as an X-ray image where it needs a volume. The
    text is shown to the operator, and must not quote the scan."""


class Scan:
    """A scan in a file, which is opened when it is first asked for something. Properties raise `Part10Error` if it
    cannot be read, and `CannotRecognise` if there is no pixel data."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _frames(self) -> FramesOfFile:
        found = open_frames(self.path)
        if found is None:
            raise CannotRecognise("the scan has no pixel data")
        return found

    def check_size(self, most: int) -> None:
        """Raises `CannotRecognise` if the attributes claim more than `most` bytes of pixels to be decompressed."""
        with suppress(NotAScan):  # a scan that cannot be read is a fault where it is read
            claimed = read_header(self.path).decompressed
            if claimed > most:
                raise CannotRecognise(
                    f"its attributes claim {claimed} bytes of decompressed pixels; {most} are allowed (--max-pixels)"
                )

    @cached_property
    def heading(self) -> Dataset:
        """The attributes that say what was scanned: those before the functional groups, of which there may be
        thousands, and before the pixel data."""
        return read_heading(self.path)

    @property
    def attributes(self) -> Dataset:
        """All attributes before the pixel data, as pydicom has them."""
        return self._frames.dataset

    @cached_property
    def dataset(self) -> Dataset:
        """The whole data set, as pydicom has it; native pixel data is a view of the mapped file. Compressed pixel data
        is in it decompressed. Raises `Part10Error`."""
        frames, layout = self._frames, self._frames.layout
        if frames.is_native and layout.dtype.byteorder != ">":
            value = _mapped(self.path, frames.places[0][0][0], layout.size)
        else:
            volume = np.empty((layout.frames, layout.rows, layout.columns), layout.dtype.newbyteorder("<"))
            for number, frame in enumerate(frames):
                volume[number] = frame
            value = volume.reshape(-1).view(np.uint8).data
        dataset = Dataset(frames.dataset)
        dataset.add(DataElement(Tag(layout.element), "OW", value, already_converted=True, validation_mode=IGNORE))
        return dataset

    @cached_property
    def object(self) -> DicosObject:
        """The scan as a `CT`, `DX`, `AIT2D` or `AIT3D`, which has the names of DICOS for all the rest."""
        return view(self.dataset)

    @cached_property
    def volume(self) -> NDArray[Any]:
        """The stored values of all frames, shape (z, y, x), read-only. A view of the file if it is not compressed."""
        from dicos_proto.dicos.pixels import array_of

        return array_of(self.dataset)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of `volume`, (z, y, x), for which no pixel is read."""
        layout = self._frames.layout
        return layout.frames, layout.rows, layout.columns

    @property
    def image(self) -> NDArray[Any]:
        """The stored values of the first frame, shape (y, x): all of an X-ray image."""
        found: NDArray[Any] = self.volume[0]
        return found

    @cached_property
    def geometry(self) -> Geometry:
        """Where the voxels lie: positions, directions, spacing. Raises `GeometryError`."""
        return Geometry.of(self.attributes)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels in mm, (x, y, z)."""
        return self.geometry.spacing

    @property
    def position(self) -> tuple[float, float, float]:
        """The centre of the first voxel in mm, (x, y, z)."""
        return self.geometry.position

    @cached_property
    def pictured(self) -> Pictured:
        """The scan as pictures are made of it, with `slope`, `intercept` and `unit` of its densities."""
        return Pictured.read(self.path)

    @property
    def is_volume(self) -> bool:
        """True for a CT and an AIT 3D of several frames."""
        return self._frames.layout.frames > 1


def _mapped(path: Path, at: int, size: int) -> memoryview:
    """A part of a file, mapped into memory."""
    with path.open("rb") as file:
        return memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))[at : at + size]


Recogniser = Callable[[Scan], Iterable[Threat]]
"""A recogniser: returns the threats in a scan, an empty list if it is clear. It runs in a process of its own."""

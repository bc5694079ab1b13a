"""Quadrupole resonance: what was looked for in a scanned object, and how clearly it was found.

A QR object has no pixels; it lists measurements, each of one material in one region. pyDICOS has no QR, so none of this
could be tried against it; what is made follows the headers of the toolkit (Tables 59 to 61 of IIC 1 v03).

Knows: the modules of QR. Must not know: files, the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from pydicom.dataset import Dataset

from ..registry import uids
from . import values
from .common import OOI, Common, Machine, Scan
from .errors import BadValue
from .image_modules import QR_MODULES
from .multiframe import Vector
from .objects import DicosObject
from .stamp import Stamp
from .values import put, put_items

__all__ = ["QR", "Code", "Measurement"]

MEASUREMENTS: Final = 0x40101071
MATERIAL: Final = 0x40101072
POLYGON: Final = 0x4010101D


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A coded term [PS3.3 8.8]."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The search for one material in one region."""

    material: Code
    """The material that was looked for."""
    signal_to_noise: float
    """Signal-to-Noise Ratio (0022,0155)."""
    threshold: float
    """SNR Threshold (4010,1073), above which the material counts as found."""
    polygon: tuple[Vector, ...]
    """Bounding Polygon (4010,101D): points (x, y, z) in mm; two points are opposite corners of a box."""

    @property
    def exceeds(self) -> bool:
        """The signal is above the threshold."""
        return self.signal_to_noise > self.threshold


class QR(DicosObject):
    """A quadrupole resonance object.

    >>> from datetime import datetime
    >>> from dicos_proto.dicos import QR, Code, Measurement, Stamp
    >>> numbers = iter(range(1, 9))
    >>> stamp = Stamp(datetime(2026, 3, 1, 12, 30), lambda: f"2.25.{next(numbers)}")
    >>> code = Code(value="RDX", scheme="99EXAMPLE", meaning="RDX")
    >>> box = ((0.0, 0.0, 0.0), (300.0, 200.0, 500.0))
    >>> found = Measurement(material=code, signal_to_noise=7.5, threshold=5.0, polygon=box)
    >>> qr = QR.new([found], ooi_id="BAG-1", stamp=stamp)
    >>> qr.measurements == [found], qr.measurements[0].exceeds, qr.validate()
    (True, True, [])
    """

    __slots__ = ()

    kind: ClassVar[str] = "QR"
    modules = QR_MODULES
    sop_classes: ClassVar[Mapping[str, str]] = {uids.DICOS_QR: "quadrupole resonance"}

    @classmethod
    def new(
        cls,
        measurements: Sequence[Measurement],
        /,
        *,
        ooi_id: str,
        stamp: Stamp,
        inspection: str = "ALL",
        ooi: OOI = OOI(),  # noqa: B008 - a value that cannot change
        scan: Scan = Scan(),  # noqa: B008
        machine: Machine = Machine(),  # noqa: B008
        instance_number: int = 1,
        sop_instance_uid: str | None = None,
    ) -> QR:
        """Makes a QR object with every mandatory attribute.

        `inspection`: RANDOM, BEHAVIORAL or ALL. Raises ValueError for no measurements, a polygon of fewer than two
        points, or a value that does not fit.
        """
        if not measurements:
            raise ValueError("no measurements; at least 1")
        dataset = Dataset()
        common = Common(
            ooi_id=ooi_id, stamp=stamp, ooi=ooi, scan=scan, machine=machine, instance_number=instance_number,
            sop_instance_uid=sop_instance_uid,
        )  # fmt: skip
        common.fill(dataset, uids.DICOS_QR, "QR")
        put(dataset, 0x4010107C, inspection)
        put_items(dataset, 0x00400555, [])
        put_items(dataset, MEASUREMENTS, [_item(one) for one in measurements])
        return cls(dataset)

    @property
    def measurements(self) -> list[Measurement]:
        """The measurements. Raises `BadValue`."""
        return [_measurement(item) for item in values.items(self._dataset, MEASUREMENTS)]


def _item(measurement: Measurement) -> Dataset:
    if len(measurement.polygon) < 2 or any(len(point) != 3 for point in measurement.polygon):
        raise ValueError("a bounding polygon (4010,101D) that is not two or more points (x, y, z)")
    item, code = Dataset(), Dataset()
    put(code, 0x00080100, measurement.material.value)
    put(code, 0x00080102, measurement.material.scheme)
    put(code, 0x00080104, measurement.material.meaning)
    put_items(item, MATERIAL, [code])
    put(item, 0x00220155, measurement.signal_to_noise)
    put(item, 0x40101073, measurement.threshold)
    put(item, POLYGON, [part for point in measurement.polygon for part in point])
    return item


def _measurement(item: Dataset) -> Measurement:
    codes = values.items(item, MATERIAL)
    if len(codes) != 1:
        raise BadValue(f"{len(codes)} items; 1 is allowed", MATERIAL)
    parts = values.numbers(item, POLYGON)
    if len(parts) < 6 or len(parts) % 3:
        raise BadValue(f"{len(parts)} values; 3 for each of two or more points are needed", POLYGON)
    code = Code(
        value=values.text(codes[0], 0x00080100) or "",
        scheme=values.text(codes[0], 0x00080102) or "",
        meaning=values.text(codes[0], 0x00080104) or "",
    )
    return Measurement(
        material=code,
        signal_to_noise=_needed(item, 0x00220155),
        threshold=_needed(item, 0x40101073),
        polygon=tuple((parts[at], parts[at + 1], parts[at + 2]) for at in range(0, len(parts), 3)),
    )


def _needed(item: Dataset, tag: int) -> float:
    found = values.number(item, tag)
    if found is None:
        raise BadValue("is missing", tag)
    return found

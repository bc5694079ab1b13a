"""CT objects: one or several volumes of a scanned object, as numpy arrays.

A volume has the shape (z, y, x): frames, rows, columns. Spacing and positions are in mm, in the order (x, y, z).

Knows: the modules of CT. Must not know: files, compression, the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, overload

from pydicom.dataset import Dataset

from ..registry import uids
from . import values
from .checks import (
    check_all,
    class_check,
    groups_check,
    image_type_check,
    orientation_check,
    pixel_check,
    sections_check,
)  # fmt: skip
from .common import OOI, Common, Machine, Scan
from .ct_modules import CT_MODULES
from .findings import Finding
from .multiframe import SHARED, Place, Section, Vector
from .pixels import Array, class_of
from .stamp import Stamp
from .values import put, put_items
from .volumes import FRAME_TYPE, VolumeObject, fill_volume, groups_of

__all__ = ["CT", "XRay"]

_STANDARD: Final = {"16-bit": uids.DICOS_CT, "32-bit": uids.DICOS_CT_INT32, "64-bit": uids.DICOS_CT_INT64,
                    "float": uids.DICOS_CT_FLOAT}  # fmt: skip
_RAW: Final = {"16-bit": uids.DICOS_CT_RAW, "32-bit": uids.DICOS_CT_RAW_INT32, "64-bit": uids.DICOS_CT_RAW_INT64,
               "float": uids.DICOS_CT_RAW_FLOAT}  # fmt: skip
_CORRECTED: Final = {"16-bit": uids.DICOS_CT_CORRECTED, "32-bit": uids.DICOS_CT_CORRECTED_INT32,
                     "64-bit": uids.DICOS_CT_CORRECTED_INT64, "float": uids.DICOS_CT_CORRECTED_FLOAT}  # fmt: skip
CLASSES_OF: Final[Mapping[str, Mapping[str, str]]] = {"standard": _STANDARD, "raw": _RAW, "corrected": _CORRECTED}
"""Kind of CT -> kind of pixels -> SOP class."""

DETAILS: Final = 0x00189325


@dataclass(frozen=True, slots=True, kw_only=True)
class XRay:
    """The generation of the X-rays: CT X-Ray Details. 0: not known."""

    kvp: float = 0.0
    """KVP (0018,0060), in kV."""
    focal_spots: tuple[float, ...] = (0.0,)
    """Focal Spot(s) (0018,1190), in mm, 1 or 2."""
    filter_type: str = "NONE"
    """Filter Type (0018,1160)."""
    filter_material: str | None = None
    """Filter Material (0018,7050), if the type is not NONE."""
    effective_energy: float = 0.0
    """Effective Energy (4300,0902), in keV."""


class CT(VolumeObject):
    """A CT object: standard, raw or corrected, of any pixel type.

    >>> import numpy as np
    >>> from datetime import datetime
    >>> from dicos_proto.dicos import CT, Stamp
    >>> numbers = iter(range(1, 9))
    >>> stamp = Stamp(datetime(2026, 3, 1, 12, 30), lambda: f"2.25.{next(numbers)}")
    >>> ct = CT.new(np.zeros((20, 64, 48), np.uint16), ooi_id="BAG-1", stamp=stamp, spacing=(1.5, 1.5, 3))
    >>> ct.volume.shape, ct.spacing, ct.energy, ct.validate()
    ((20, 64, 48), (1.5, 1.5, 3.0), 'HIGH ENERGY', [])
    """

    __slots__ = ()

    kind: ClassVar[str] = "CT"
    modules = CT_MODULES
    sop_classes: ClassVar[Mapping[str, str]] = {
        uid: f"{kind}, {pixels}" for kind, classes in CLASSES_OF.items() for pixels, uid in classes.items()
    }

    @overload
    @classmethod
    def new(
        cls, volume: Array, /, *, ooi_id: str, stamp: Stamp, kind: str = ..., spacing: Vector = ...,
        position: Vector = ..., orientation: Sequence[float] = ..., rescale: tuple[float, float, str] = ...,
        image_type: Sequence[str] = ..., xray: XRay = ..., ooi: OOI = ..., scan: Scan = ..., machine: Machine = ...,
        frame_of_reference_uid: str | None = ..., instance_number: int = ..., duration: float = ...,
        coordinate_system: str = ..., sop_instance_uid: str | None = ...,
    ) -> CT: ...  # fmt: skip

    @overload
    @classmethod
    def new(
        cls, /, *, sections: Sequence[Section], ooi_id: str, stamp: Stamp, kind: str = ...,
        image_type: Sequence[str] = ..., xray: XRay = ..., ooi: OOI = ..., scan: Scan = ..., machine: Machine = ...,
        frame_of_reference_uid: str | None = ..., instance_number: int = ..., duration: float = ...,
        coordinate_system: str = ..., sop_instance_uid: str | None = ...,
    ) -> list[CT]: ...  # fmt: skip

    @classmethod
    def new(
        cls,
        volume: Array | None = None,
        /,
        *,
        ooi_id: str,
        stamp: Stamp,
        sections: Sequence[Section] | None = None,
        kind: str = "standard",
        spacing: Vector = (1.0, 1.0, 1.0),
        position: Vector = (0.0, 0.0, 0.0),
        orientation: Sequence[float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        rescale: tuple[float, float, str] = (1.0, 0.0, "MHU"),
        image_type: Sequence[str] = ("ORIGINAL", "HIGH ENERGY", "VOLUME", "NONE"),
        xray: XRay = XRay(),
        ooi: OOI = OOI(),  # noqa: B008
        scan: Scan = Scan(),  # noqa: B008
        machine: Machine = Machine(),  # noqa: B008
        frame_of_reference_uid: str | None = None,
        instance_number: int = 1,
        duration: float = 1.0,
        coordinate_system: str = "LHS",
        sop_instance_uid: str | None = None,
    ) -> CT | list[CT]:
        """Makes a CT with every mandatory attribute. The dtype of the volume chooses the SOP class.

        `volume`: shape (z, y, x); one object is made. It is not copied if it is contiguous and little endian.
        `sections`: instead of it, volumes with a place each. Those of the same number of rows and columns become one
        object, the others one each, with the same SOP Instance UID, as pyDICOS does: a list is returned.
        `kind`: "standard", "raw" (before any correction) or "corrected".
        `spacing`, `position`: mm, (x, y, z). `orientation`: the unit vectors along a row and along a column.
        `rescale`: slope, intercept and unit of `densities`.
        `image_type`: 4 values; the second is the energy or what was made of it.
        `duration`: Acquisition Duration (0018,9073), in seconds. `coordinate_system`: LHS or RHS (0008,2108).

        Raises TypeError for a dtype or number of axes that no CT has, ValueError for a value that does not fit.
        """
        if kind not in CLASSES_OF:
            raise ValueError(f"a CT of another kind than {', '.join(CLASSES_OF)}")
        if len(rescale) != 3:
            raise ValueError(f"a rescale of {len(rescale)} values; 3 are needed: slope, intercept, unit")
        slope, intercept, unit = rescale
        place = Place(
            spacing=spacing, position=position, orientation=tuple(orientation), slope=slope, intercept=intercept,
            rescale_type=unit,
        )  # fmt: skip
        details = _details(xray)
        made: list[CT] = []
        common = Common(
            ooi_id=ooi_id, stamp=stamp, ooi=ooi, scan=scan, machine=machine, instance_number=instance_number,
            sop_instance_uid=sop_instance_uid, frame_of_reference_uid=frame_of_reference_uid,
        ).complete()  # fmt: skip
        for group in groups_of(volume, sections, place):
            dataset = Dataset()
            common.fill(dataset, class_of(group[0].volume, CLASSES_OF[kind]), "CT", len(made))
            shared = Dataset()
            put_items(shared, DETAILS, [details])
            fill_volume(
                dataset, group, common, image_type=image_type, duration=duration, coordinate_system=coordinate_system,
                shared=shared, transformation=True,
            )  # fmt: skip
            put(dataset, 0x00280301, "NO")
            put(dataset, 0x43000902, xray.effective_energy)
            made.append(cls(dataset))
        return made[0] if sections is None else made

    def _cross_checks(self) -> Iterable[Finding]:
        return check_all(self._dataset, _CHECKS)

    @property
    def xray(self) -> XRay:
        """The X-ray generation in the shared functional group; 0 and "" for attributes that it does not have."""
        shared = next(iter(values.items(self._dataset, SHARED)), Dataset())
        details = next(iter(values.items(shared, DETAILS)), Dataset())
        return XRay(
            kvp=values.number(details, 0x00180060) or 0.0,
            focal_spots=values.numbers(details, 0x00181190),
            filter_type=values.text(details, 0x00181160) or "",
            filter_material=values.text(details, 0x00187050),
            effective_energy=values.number(self._dataset, 0x43000902) or 0.0,
        )


_CHECKS: Final = (
    class_check({uid: pixels for classes in CLASSES_OF.values() for pixels, uid in classes.items()}),
    pixel_check,
    groups_check(
        (0x00209113, ("obs", "hdr T17", "PS3.3 C.8.15.3")),
        (0x00209116, ("obs", "hdr T17", "PS3.3 C.8.15.3")),
        (0x00289110, ("hdr T17", "PS3.3 C.8.15.3")),
        (0x00289145, ("hdr T17", "PS3.3 C.8.15.3")),
        (DETAILS, ("hdr T23", "PS3.3 C.8.15.3")),
        (FRAME_TYPE, ("hdr T17", "PS3.3 C.8.15.3")),
    ),
    orientation_check,
    sections_check,
    image_type_check,
)


def _details(xray: XRay) -> Dataset:
    """An item of CT X-Ray Details."""
    details = Dataset()
    put(details, 0x00180060, xray.kvp)
    put(details, 0x00181160, xray.filter_type)
    put(details, 0x00181190, xray.focal_spots)
    if xray.filter_material is not None:
        put(details, 0x00187050, xray.filter_material)
    return details

"""Advanced imaging technology (body scanners): images and volumes of a person.

An image has the shape (y, x), a volume (z, y, x). pyDICOS has no AIT, so none of this could be tried against it; what
is made follows the headers of the toolkit (Tables 39 to 50 of IIC 1 v03). These name "AIT" as the modality of both
kinds, and list "AIT2D" and "AIT3D" too: `modality` switches.

Knows: the modules of AIT. Must not know: files, compression, the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final, overload

import numpy as np
from pydicom.dataset import Dataset

from ..registry import uids
from .checks import (
    check_all,
    class_check,
    groups_check,
    image_type_check,
    orientation_check,
    pixel_check,
    sections_check,
    unsigned_check,
)
from .common import OOI, Common, Machine, Scan
from .findings import Finding
from .image_modules import AIT2D_MODULES, AIT3D_MODULES
from .images import ImageObject, fill_image
from .multiframe import Place, Section, Vector
from .pixels import Array, class_of
from .stamp import Stamp
from .values import put
from .volumes import FRAME_TYPE, VolumeObject, fill_volume, groups_of

__all__ = ["AIT2D", "AIT3D"]

CLASSES_2D: Final[Mapping[str, Mapping[str, str]]] = {
    "standard": {"16-bit": uids.DICOS_AIT2D, "32-bit": uids.DICOS_AIT2D_INT32, "64-bit": uids.DICOS_AIT2D_INT64,
                 "float": uids.DICOS_AIT2D_FLOAT},
    "raw": {"16-bit": uids.DICOS_AIT2D_RAW, "32-bit": uids.DICOS_AIT2D_RAW_INT32,
            "float": uids.DICOS_AIT2D_RAW_FLOAT},
}  # fmt: skip
CLASSES_3D: Final[Mapping[str, Mapping[str, str]]] = {
    "standard": {"16-bit": uids.DICOS_AIT3D, "32-bit": uids.DICOS_AIT3D_INT32, "64-bit": uids.DICOS_AIT3D_INT64,
                 "float": uids.DICOS_AIT3D_FLOAT},
    "raw": {"16-bit": uids.DICOS_AIT3D_RAW, "32-bit": uids.DICOS_AIT3D_RAW_INT32,
            "float": uids.DICOS_AIT3D_RAW_FLOAT},
}  # fmt: skip
"""Kind of AIT -> kind of pixels -> SOP class; raw data has no 64-bit class."""
PERSON: Final = OOI(type="PERSON")
DEVICE: Final = 0x40101070
CRITERIA: Final = 0x4010107C


def _named(classes: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {uid: f"{kind}, {pixels}" for kind, group in classes.items() for pixels, uid in group.items()}


def _pixels(classes: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {uid: pixels for group in classes.values() for pixels, uid in group.items()}


def _check_kind(kind: str) -> None:
    if kind not in CLASSES_2D:
        raise ValueError(f"an AIT of another kind than {', '.join(CLASSES_2D)}")


class AIT2D(ImageObject):
    """An image of a person by a body scanner.

    >>> from datetime import datetime
    >>> from dicos_proto.dicos import AIT2D, Stamp
    >>> numbers = iter(range(1, 9))
    >>> stamp = Stamp(datetime(2026, 3, 1, 12, 30), lambda: f"2.25.{next(numbers)}")
    >>> ait = AIT2D.new(np.zeros((512, 256), np.uint16), ooi_id="LANE-4-0017", stamp=stamp)
    >>> ait.image.shape, ait.device_type, ait.validate()
    ((512, 256), 'ACTIVE_MMW', [])
    """

    __slots__ = ()

    kind: ClassVar[str] = "AIT 2D"
    modules = AIT2D_MODULES
    sop_classes: ClassVar[Mapping[str, str]] = _named(CLASSES_2D)

    @classmethod
    def new(
        cls,
        image: Array,
        /,
        *,
        ooi_id: str,
        stamp: Stamp,
        kind: str = "standard",
        intent: str = "presentation",
        device_type: str = "ACTIVE_MMW",
        inspection: str = "ALL",
        window: tuple[float, float] | None = None,
        image_type: Sequence[str] = ("ORIGINAL", "CNT_AMP"),
        relationship: str = "LIN",
        sign: int = 1,
        photometric: str = "MONOCHROME2",
        ooi: OOI = PERSON,
        scan: Scan = Scan(),  # noqa: B008 - a value that cannot change
        machine: Machine = Machine(),  # noqa: B008
        instance_number: int = 1,
        coordinate_system: str = "LHS",
        modality: str = "AIT",
        sop_instance_uid: str | None = None,
    ) -> AIT2D:
        """Makes an AIT image with every mandatory attribute. The dtype of the image and the kind choose the SOP class.

        `image`: shape (y, x), unsigned or float. `kind`: "standard" or "raw"; raw has no 64-bit class.
        `device_type`: PASSIVE_MMW, ACTIVE_MMW, THZ, XBS, TX, ACTIVE_IR, PASSIVE_IR, HD_ACTIVE_MMW or WT_ACTIVE_MMW.
        `inspection`: RANDOM, BEHAVIORAL or ALL. The others as in `DX.new`. Raises TypeError, ValueError.
        """
        _check_kind(kind)
        image = np.asarray(image)
        common = Common(
            ooi_id=ooi_id, stamp=stamp, ooi=ooi, scan=scan, machine=machine, instance_number=instance_number,
            sop_instance_uid=sop_instance_uid,
        )  # fmt: skip
        dataset = Dataset()
        fill_image(
            dataset, image, intent=intent, image_type=image_type, window=window, photometric=photometric,
            coordinate_system=coordinate_system, relationship=relationship, sign=sign,
        )  # fmt: skip
        common.fill(dataset, class_of(image, CLASSES_2D[kind]), modality)
        put(dataset, DEVICE, device_type)
        put(dataset, CRITERIA, inspection)
        return cls(dataset)

    def _cross_checks(self) -> Iterable[Finding]:
        return check_all(self._dataset, _CHECKS_2D)

    @property
    def device_type(self) -> str | None:
        """AIT Device Type (4010,1070)."""
        return self._text(DEVICE)


class AIT3D(VolumeObject):
    """A volume around a person by a body scanner.

    >>> from datetime import datetime
    >>> from dicos_proto.dicos import AIT3D, Stamp
    >>> numbers = iter(range(1, 9))
    >>> stamp = Stamp(datetime(2026, 3, 1, 12, 30), lambda: f"2.25.{next(numbers)}")
    >>> ait = AIT3D.new(np.zeros((40, 100, 50), np.float32), ooi_id="LANE-4-0017", stamp=stamp, spacing=(5, 5, 10))
    >>> ait.volume.shape, ait.spacing, ait.validate()
    ((40, 100, 50), (5.0, 5.0, 10.0), [])
    """

    __slots__ = ()

    kind: ClassVar[str] = "AIT 3D"
    modules = AIT3D_MODULES
    sop_classes: ClassVar[Mapping[str, str]] = _named(CLASSES_3D)

    @overload
    @classmethod
    def new(
        cls, volume: Array, /, *, ooi_id: str, stamp: Stamp, kind: str = ..., spacing: Vector = ...,
        position: Vector = ..., orientation: Sequence[float] = ..., device_type: str = ..., inspection: str = ...,
        image_type: Sequence[str] = ..., ooi: OOI = ..., scan: Scan = ..., machine: Machine = ...,
        frame_of_reference_uid: str | None = ..., instance_number: int = ..., duration: float = ...,
        coordinate_system: str = ..., modality: str = ..., sop_instance_uid: str | None = ...,
    ) -> AIT3D: ...  # fmt: skip

    @overload
    @classmethod
    def new(
        cls, /, *, sections: Sequence[Section], ooi_id: str, stamp: Stamp, kind: str = ..., device_type: str = ...,
        inspection: str = ..., image_type: Sequence[str] = ..., ooi: OOI = ..., scan: Scan = ...,
        machine: Machine = ..., frame_of_reference_uid: str | None = ..., instance_number: int = ...,
        duration: float = ..., coordinate_system: str = ..., modality: str = ..., sop_instance_uid: str | None = ...,
    ) -> list[AIT3D]: ...  # fmt: skip

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
        device_type: str = "ACTIVE_MMW",
        inspection: str = "ALL",
        image_type: Sequence[str] = ("ORIGINAL", "CNT_AMP", "VOLUME", "NONE"),
        ooi: OOI = PERSON,
        scan: Scan = Scan(),  # noqa: B008 - a value that cannot change
        machine: Machine = Machine(),  # noqa: B008
        frame_of_reference_uid: str | None = None,
        instance_number: int = 1,
        duration: float = 1.0,
        coordinate_system: str = "LHS",
        modality: str = "AIT",
        sop_instance_uid: str | None = None,
    ) -> AIT3D | list[AIT3D]:
        """Makes an AIT volume with every mandatory attribute. The dtype and the kind choose the SOP class.

        `device_type`: PASSIVE_MMW, ACTIVE_MMW or THZ. `inspection`: RANDOM, BEHAVIORAL or ALL. The others as in
        `CT.new`; an AIT volume has no rescale. Raises TypeError, ValueError.
        """
        _check_kind(kind)
        place = Place(spacing=spacing, position=position, orientation=tuple(orientation))
        common = Common(
            ooi_id=ooi_id, stamp=stamp, ooi=ooi, scan=scan, machine=machine, instance_number=instance_number,
            sop_instance_uid=sop_instance_uid, frame_of_reference_uid=frame_of_reference_uid,
        ).complete()  # fmt: skip
        made: list[AIT3D] = []
        for group in groups_of(volume, sections, place):
            dataset = Dataset()
            common.fill(dataset, class_of(group[0].volume, CLASSES_3D[kind]), modality, len(made))
            fill_volume(
                dataset, group, common, image_type=image_type, duration=duration, coordinate_system=coordinate_system,
                shared=Dataset(), transformation=False,
            )  # fmt: skip
            put(dataset, DEVICE, device_type)
            put(dataset, CRITERIA, inspection)
            made.append(cls(dataset))
        return made[0] if sections is None else made

    def _cross_checks(self) -> Iterable[Finding]:
        return check_all(self._dataset, _CHECKS_3D)

    @property
    def device_type(self) -> str | None:
        """AIT Device Type (4010,1070)."""
        return self._text(DEVICE)


_CHECKS_2D: Final = (class_check(_pixels(CLASSES_2D)), pixel_check, unsigned_check)
_CHECKS_3D: Final = (
    class_check(_pixels(CLASSES_3D)),
    pixel_check,
    groups_check(
        (0x00209113, ("hdr T46", "PS3.3 C.7.6.16.2.3")),
        (0x00209116, ("hdr T46", "PS3.3 C.7.6.16.2.4")),
        (0x00289110, ("hdr T46", "PS3.3 C.7.6.16.2.1")),
        (FRAME_TYPE, ("hdr T50", "str")),
    ),
    orientation_check,
    sections_check,
    image_type_check,
)

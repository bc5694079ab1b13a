"""Digital X-ray objects: projections of a scanned object, for presentation or for processing.

An image has the shape (y, x): rows, columns. Positions are in mm, in the order (x, y, z).

Knows: the modules of DX. Must not know: files, compression, the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

import numpy as np
from pydicom.dataset import Dataset

from ..registry import uids
from . import values
from .checks import check_all, class_check, intent_check, orientation_check, pixel_check, rescale_check, unsigned_check
from .common import OOI, Common, Machine, Scan
from .findings import Finding
from .image_modules import DX_MODULES
from .images import INTENTS, ImageObject, fill_image
from .multiframe import Place, Vector, check_geometry
from .pixels import Array, class_of
from .stamp import Stamp
from .values import put

__all__ = ["DX"]

CLASSES_OF: Final[Mapping[str, Mapping[str, str]]] = {
    "presentation": {
        "16-bit": uids.DICOS_DX_FOR_PRESENTATION, "32-bit": uids.DICOS_DX_FOR_PRESENTATION_INT32,
        "64-bit": uids.DICOS_DX_FOR_PRESENTATION_INT64, "float": uids.DICOS_DX_FOR_PRESENTATION_FLOAT,
    },
    "processing": {
        "16-bit": uids.DICOS_DX_FOR_PROCESSING, "32-bit": uids.DICOS_DX_FOR_PROCESSING_INT32,
        "64-bit": uids.DICOS_DX_FOR_PROCESSING_INT64, "float": uids.DICOS_DX_FOR_PROCESSING_FLOAT,
    },
}  # fmt: skip
"""Intent -> kind of pixels -> SOP class."""


class DX(ImageObject):
    """A digital X-ray image.

    >>> import numpy as np
    >>> from datetime import datetime
    >>> from dicos_proto.dicos import DX, Stamp
    >>> numbers = iter(range(1, 9))
    >>> stamp = Stamp(datetime(2026, 3, 1, 12, 30), lambda: f"2.25.{next(numbers)}")
    >>> dx = DX.new(np.zeros((480, 640), np.uint16), ooi_id="BAG-1", stamp=stamp, intent="processing")
    >>> dx.image.shape, dx.intent, dx.validate()
    ((480, 640), 'FOR PROCESSING', [])
    """

    __slots__ = ()

    kind: ClassVar[str] = "DX"
    modules = DX_MODULES
    sop_classes: ClassVar[Mapping[str, str]] = {
        uid: f"for {intent}, {pixels}" for intent, classes in CLASSES_OF.items() for pixels, uid in classes.items()
    }

    @classmethod
    def new(
        cls,
        image: Array,
        /,
        *,
        ooi_id: str,
        stamp: Stamp,
        intent: str = "presentation",
        window: tuple[float, float] | None = None,
        position: Vector = (0.0, 0.0, 0.0),
        orientation: Sequence[float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        image_type: Sequence[str] = ("ORIGINAL", "INTENSITY"),
        kvp: float = 0.0,
        tube_current: float = 0.0,
        belt_speed: float = 0.0,
        belt_height: float = 0.0,
        detector_type: str | None = None,
        relationship: str = "LIN",
        sign: int = 1,
        rescale_type: str = "HU",
        effective_energy: float = 0.0,
        photometric: str = "MONOCHROME2",
        ooi: OOI = OOI(),  # noqa: B008 - a value that cannot change
        scan: Scan = Scan(),  # noqa: B008
        machine: Machine = Machine(),  # noqa: B008
        instance_number: int = 1,
        coordinate_system: str = "LHS",
        sop_instance_uid: str | None = None,
    ) -> DX:
        """Makes a DX with every mandatory attribute. The dtype of the image and the intent choose the SOP class.

        `image`: shape (y, x), unsigned or float; not copied if it is contiguous and little endian.
        `window`: centre and width, in stored values; for presentation one is needed, and made from the least and the
        largest value if it is not given.
        `position`: of the centre of the first pixel, in mm, (x, y, z).
        `kvp` in kV, `tube_current` in uA, `belt_speed` in mm/s, `belt_height` in mm; 0: not known.
        `detector_type`: DIRECT, SCINTILLATOR or OTHER. `relationship`: LIN or LOG, of values to intensity; `sign`: 1 if
        larger values mean more intensity, otherwise -1.
        The rescale of a DX is always 1 and 0; `rescale_type` names the unit.

        Raises TypeError for a dtype or number of axes that no DX has, ValueError for a value that does not fit.
        """
        image = np.asarray(image)
        check_geometry(Place(position=position, orientation=tuple(orientation)))
        common = Common(
            ooi_id=ooi_id, stamp=stamp, ooi=ooi, scan=scan, machine=machine, instance_number=instance_number,
            sop_instance_uid=sop_instance_uid,
        )  # fmt: skip
        dataset = Dataset()
        fill_image(
            dataset, image, intent=intent, image_type=image_type, window=window, photometric=photometric,
            coordinate_system=coordinate_system, relationship=relationship, sign=sign,
        )  # fmt: skip
        common.fill(dataset, class_of(image, CLASSES_OF[intent]), "XRAY")
        for tag, value in (
            (0x00180060, kvp),
            (0x00187004, detector_type),
            (0x00188151, tube_current),
            (0x00189309, belt_speed),
            (0x00200032, tuple(position)),
            (0x00200037, tuple(orientation)),
            (0x00281052, 0),
            (0x00281053, 1),
            (0x00281054, rescale_type),
            (0x40101062, belt_height),
            (0x43000902, effective_energy),
        ):
            put(dataset, tag, value)
        return cls(dataset)

    def _cross_checks(self) -> Iterable[Finding]:
        return check_all(self._dataset, _CHECKS)

    @property
    def position(self) -> Vector | None:
        """The centre of the first pixel in mm, (x, y, z): Image Position (0020,0032); None if it is absent."""
        found = values.numbers(self._dataset, 0x00200032)
        if not found:
            return None
        x, y, z = values.numbers(self._dataset, 0x00200032, 3)
        return x, y, z

    @property
    def kvp(self) -> float | None:
        """KVP (0018,0060), in kV."""
        return values.number(self._dataset, 0x00180060)


_CHECKS: Final = (
    class_check({uid: pixels for classes in CLASSES_OF.values() for pixels, uid in classes.items()}),
    intent_check({uid: INTENTS[intent] for intent, classes in CLASSES_OF.items() for uid in classes.values()}),
    pixel_check,
    orientation_check,
    rescale_check,
    unsigned_check,
)

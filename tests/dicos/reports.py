"""Scans and reports for the tests of threat detection reports."""

from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from itertools import count
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from dicos_proto.data import decode_object, encode
from dicos_proto.dicos import CT, OOI, TDR, Geometry, Stamp, Threat
from dicos_proto.registry import uids

AT = datetime(2026, 3, 1, 12, 30, 5)
SHAPE = (12, 20, 30)
SPACING = (2.0, 2.0, 5.0)


def new_stamp() -> Stamp:
    numbers = count(1)
    return Stamp(AT, lambda: f"2.25.{next(numbers)}")


def new_ct(**options: Any) -> CT:
    stamp = options.pop("stamp", None) or new_stamp()
    volume = np.zeros(options.pop("shape", SHAPE), np.uint16)
    made = CT.new(volume, ooi_id="BAG-1", stamp=stamp, spacing=SPACING, **options)
    assert isinstance(made, CT)
    return made


def person() -> CT:
    return new_ct(ooi=OOI(type="PERSON", gender="F"))


def ball(shape: tuple[int, int, int] = SHAPE) -> Any:
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return (x - 20) ** 2 + (y - 8) ** 2 + 4 * (z - 6) ** 2 < 20


def new_threat(ct: CT, **details: Any) -> Threat:
    return Threat.from_mask(
        ball(), geometry=Geometry.of(ct.dataset), **{"category": "EXPLOSIVE", "density": 1.5, **details}
    )


def report(change: Callable[[Dataset], object] | None = None, **options: Any) -> TDR:
    """A report on a CT with a threat, with something changed in its data set."""
    ct = options.pop("ct", None) or new_ct()
    made = TDR.new(ct, options.pop("threats", [new_threat(ct)]), stamp=new_stamp(), **options)
    if change is not None:
        change(made.dataset)
    return made


def again(dataset: Dataset, transfer_syntax: str = uids.EXPLICIT_VR_LE) -> Dataset:
    """The data set after it was encoded and decoded."""
    return decode_object(BytesIO(encode(dataset, transfer_syntax)).getvalue(), transfer_syntax)

"""The view for any DICOS data set, and all public names of the package in one place.

Knows: every kind of object. Must not know: how any of them works.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from .ait import AIT2D, AIT3D
from .attributes import register
from .common import OOI, Machine, Scan
from .ct import CT, XRay
from .dx import DX
from .errors import BadValue, DicosError, NotDicos, PixelError
from .findings import Finding, Severity
from .multiframe import Place, Section
from .objects import DicosObject, group_by_scan, kind_of
from .qr import QR, Code, Measurement
from .stamp import Stamp

__all__ = [
    "AIT2D", "AIT3D", "CT", "DX", "OOI", "QR", "BadValue", "Code", "DicosError", "DicosObject", "Finding", "Machine",
    "Measurement", "NotDicos", "PixelError", "Place", "Scan", "Section", "Severity", "Stamp", "XRay", "group_by_scan",
    "register", "view",
]  # fmt: skip


def view(dataset: Dataset) -> DicosObject:
    """Returns the typed view over a data set that its SOP class calls for.

    Raises `NotDicos` if the SOP class is missing or not one of DICOS.

    >>> from pydicom.dataset import Dataset
    >>> from dicos_proto.dicos import view
    >>> view(Dataset())  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    NotDicos: SOP Class UID (0008,0016): no UID is not a SOP class of DICOS; allowed are those of ...
    """
    return kind_of(dataset)(dataset)

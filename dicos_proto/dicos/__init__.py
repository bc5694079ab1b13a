"""DICOS objects in memory: typed views over pydicom data sets, made from numpy arrays and read as such.

Needs pydicom and numpy (`pip install "dicos-proto[dicos]"`); importing the package loads neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ait import AIT2D, AIT3D
    from .attributes import register
    from .common import OOI, Machine, Scan
    from .ct import CT, XRay
    from .dx import DX
    from .errors import BadValue, DicosError, NotDicos, PixelError
    from .findings import Finding, Severity
    from .multiframe import Place, Section
    from .objects import DicosObject, group_by_scan
    from .qr import QR, Code, Measurement
    from .stamp import Stamp
    from .views import view

__all__ = [
    "AIT2D",
    "AIT3D",
    "BadValue",
    "CT",
    "Code",
    "DX",
    "DicosError",
    "DicosObject",
    "Finding",
    "Machine",
    "Measurement",
    "NotDicos",
    "OOI",
    "PixelError",
    "Place",
    "QR",
    "Scan",
    "Section",
    "Severity",
    "Stamp",
    "XRay",
    "group_by_scan",
    "register",
    "view",
]


def __getattr__(name: str) -> object:
    """Finds the public names, so that what needs no numpy, the profiles, does not load it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import views

    return getattr(views, name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""A provider that is broken on purpose: one of some twenty defects is switched in, to measure what finds it.

    python -m dicos_fuzz.broken --port 0 --defect slot-at-reset

It is our own engine and our own blocking server; a defect is a small class that hooks in at one place.
"""

from .defects import DEFECTS, NONE, Defect, Kind
from .hooks import Hooks
from .provider import Provider

__all__ = ["DEFECTS", "NONE", "Defect", "Hooks", "Kind", "Provider"]

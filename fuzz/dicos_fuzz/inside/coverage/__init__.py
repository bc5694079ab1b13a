"""Coverage: what was exercised of table 9-10, of items, limits, flags, timers and messages, and what never was.

`driving` has the drivers that reach all of it; it is imported where it is used, because it needs pydicom.
"""

from .record import Coverage
from .recording import recording

__all__ = ["Coverage", "recording"]

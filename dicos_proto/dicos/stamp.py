"""The time and the UIDs of a new object, as values: this package reads no clock and makes no random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Stamp"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """When an object is made, and a source of new UIDs. `dicos_transports.dicos.stamp()` makes one.

    >>> numbers = iter(range(1, 9))
    >>> stamp = Stamp(datetime(2026, 3, 1, 12, 30, 5), lambda: f"2.25.{next(numbers)}")
    >>> stamp.date, stamp.time, stamp.uid()
    ('20260301', '123005.000000', '2.25.1')
    """

    at: datetime
    """Local time, as DICOM writes it without a time zone [PS3.5 6.2]; a time zone is not written."""
    uid: Callable[[], str]
    """Returns a UID that it has not returned before."""

    @property
    def date(self) -> str:
        """The day as a DA."""
        return self.at.strftime("%Y%m%d")

    @property
    def time(self) -> str:
        """The time of day as a TM."""
        return self.at.strftime("%H%M%S.%f")

    @property
    def date_time(self) -> str:
        """Both as a DT."""
        return self.at.strftime("%Y%m%d%H%M%S.%f")

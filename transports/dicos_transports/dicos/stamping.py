"""The time and new UIDs for objects that are made now."""

from __future__ import annotations

import uuid
from datetime import datetime

from dicos_proto.dicos.stamp import Stamp

__all__ = ["stamp"]


def stamp() -> Stamp:
    """Returns a stamp with the local time, and UIDs made of random UUIDs: 2.25.… [PS3.5 B.2].

    >>> stamp().uid().startswith("2.25.")
    True
    """
    return Stamp(datetime.now(), lambda: f"2.25.{uuid.uuid4().int}")

"""The targets, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..target import Target
from . import commands, datasets, engines, files, pdus, services, serving, tls

__all__ = ["TARGETS"]

TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        one.name: one
        for group in (pdus, commands, datasets, engines, services, tls, files, serving)
        for one in group.TARGETS
    }
)
"""Every target by its name, the fastest first."""

"""The targets, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..model import targets as model
from ..target import Target
from . import commands, datasets, encodings, engines, files, pairs, pdus, services, serving, tls, tools

__all__ = ["TARGETS"]

TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        one.name: one
        for group in (pdus, commands, datasets, encodings, engines, model, tools, services, pairs, tls, files, serving)
        for one in group.TARGETS
    }
)
"""Every target by its name, the fastest first."""

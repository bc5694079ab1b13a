"""Scenarios: families of conversations with one thing wrong on purpose, or nothing, for a peer that is known a little.

Knows: which families there are. Must not know: how conversations are played and judged.

Each family yields its conversations in order of promise (`Family.systematic`) and makes more at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from . import (
    altered,
    answers,
    beside,
    commands,
    connections,
    contents,
    foreign,
    fragments,
    good,
    orders,
    repeated,
    resources,
    responses,
    returned,
    segments,
    sequences,
    slow,
    states,
)
from .family import Family

__all__ = ["FAMILIES", "Family"]

_MODULES = (
    good, orders, beside, returned, states, sequences, commands, fragments, contents, altered, connections, repeated,
    foreign, segments, answers, responses, resources, slow,
)  # fmt: skip

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {family.name: family for module in _MODULES for family in module.FAMILIES}
)
"""Every family by name: the quick ones first, those that take much time or memory (`resource`) last."""

"""Scenarios: families of conversations with one thing wrong on purpose, or nothing, for a peer that is known a little.

Knows: which families there are. Must not know: how conversations are played and judged.

Each family yields its conversations in order of promise (`Family.systematic`) and makes more at random. The fault kinds
are those of catalogues of hostile input:

| fault kind | families |
|---|---|
| none: valid, common and unusual | good, segments (F1) |
| F2 timing | slow, slow-calls; stalls beside others in connections |
| F3 connection | connections; answers, for a peer that calls |
| F4 bytes, F5 lengths, F6 structure | bytes, lengths, structure, associations, foreign |
| F7 sequence, table 9-10 | states, calling-states, release, abort, replay |
| F8 DIMSE | commands, fragments; responses, for a peer that calls |
| F9 data sets | contents, bulk-contents |
| F12 other protocols on the port, TLS | foreign, tls, tls-calls; stalls in handshakes in slow |
| F14 load and resources | resources, endless-responses |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from . import (
    altered,
    answers,
    associations,
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
    secured,
    segments,
    sequences,
    slow,
    states,
)
from .family import Family

__all__ = ["FAMILIES", "Family"]

_MODULES = (
    good, orders, beside, returned, states, sequences, associations, commands, fragments, contents, altered,
    connections, repeated, foreign, secured, segments, answers, responses, resources, slow,
)  # fmt: skip

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {family.name: family for module in _MODULES for family in module.FAMILIES}
)
"""Every family by name: the quick ones first, those that take much time or memory (`resource`) last."""

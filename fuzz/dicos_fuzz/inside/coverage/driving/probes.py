"""Probes: an input just below a limit, at it, and above it; the outcome has to be the limit's.

Knows: what a probe is, how it is run and noted. Must not know: which limits exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..catalogue import ABOVE, AT, BELOW
from ..record import Coverage

__all__ = ["Probe", "Unreached", "run_probe"]


class Unreached(AssertionError):
    """A driver did not reach what it is for: the engine or the driver has changed."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One limit. `attempt`: takes -1, 0 or 1, the distance of the input from the limit, and returns the name of the
    limit that refused it or made itself felt, None if none did. `holds_at`: False for a mark that counts when it is
    reached, not when it is exceeded."""

    name: str
    attempt: Callable[[int], str | None]
    holds_at: bool = True


def run_probe(probe: Probe, coverage: Coverage) -> None:
    """Runs a probe and notes its three points. Raises `Unreached` if the outcome is another one."""
    for distance, point in ((-1, BELOW), (0, AT), (1, ABOVE)):
        outcome = probe.attempt(distance)
        expected = probe.name if distance > 0 or (distance == 0 and not probe.holds_at) else None
        if outcome != expected:
            raise Unreached(f"limit {probe.name}, {point}: {outcome} refused, {expected} expected")
        coverage.note("limit", f"{probe.name} {point}")

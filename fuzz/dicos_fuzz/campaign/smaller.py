"""The time for making the findings of a campaign small, and their order.

Knows: oracles whose questions take long. Must not know: how a conversation is made small (`suspects`, `minimise`).
"""

from __future__ import annotations

from typing import Final

from ..finding import Finding, Severity
from .suspects import LASTING, LEAKS

__all__ = ["EACH_LASTING", "EACH_SMALLER", "time_for", "turn"]

EACH_SMALLER: Final = 15.0
"""The most seconds for one finding."""
EACH_LASTING: Final = 60.0
"""Like `EACH_SMALLER`, if each question takes a fresh peer or many repetitions."""
_ORDER: Final = {severity: number for number, severity in enumerate(Severity)}


def time_for(finding: Finding) -> float:
    """Returns the most seconds for making a finding small."""
    lasting = (*LASTING, *LEAKS.values())
    return EACH_LASTING if finding.violation.oracle in lasting else EACH_SMALLER


def turn(item: tuple[str, Finding]) -> tuple[float, int]:
    """The key by which findings are sorted: those that take long last, else the worst first."""
    return time_for(item[1]), _ORDER[item[1].violation.severity]

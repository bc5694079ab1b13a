"""Two implementations on the same bytes: the differences, those that are known and explained, and those that are not.

Knows: differences as texts, the table of the explained ones, counts. Must not know: which implementation is the other
(`of_pynetdicom`, `of_tshark`, `of_dcmdump`).

A difference that no row explains is for a person to look at: a fault of the engine is mended, with its test; a fault of
the other implementation, or latitude that the standard gives, gets a row with its reason. Each row keeps a witness, so
that a row that explains nothing any more is found.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Final, Protocol

__all__ = ["Cause", "Explained", "Input", "Other", "Tally", "compare", "explained", "table"]

_KEPT: Final = 20
"""Unexplained differences that are kept; more are counted."""


class Cause(Enum):
    """The reason for a known difference."""

    THEIRS = "their fault"
    LATITUDE = "the standard allows both"
    STRICTER = "we are stricter by intent"
    LATER = "they check it later, or elsewhere"


@dataclass(frozen=True, slots=True)
class Explained:
    """A known difference: what `pattern` matches at its beginning; the cause; why; the clause; bytes that show it."""

    pattern: str
    cause: Cause
    why: str
    clause: str
    witness: bytes
    kind: str
    """The kind of the witness."""
    any_kind: bool = False
    """It explains the same difference in inputs of other kinds, too."""


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes for both. `kind`: what they are: "pdu", "command", a transfer syntax. `damaged`: changed on purpose."""

    kind: str
    data: bytes
    damaged: bool = False


class Other(Protocol):
    """Another implementation."""

    name: str
    batch: int
    """Inputs that are compared in one go: 1 for a library, hundreds for a program that starts slowly."""

    @property
    def known(self) -> Sequence[Explained]:
        """The table of the known differences."""

    def missing(self) -> str | None:
        """Returns the reason why it cannot be compared with here; None if it can."""

    def inputs(self, random: Random) -> Iterator[Input]:
        """Yields inputs without end."""

    def differences(self, inputs: Sequence[Input]) -> list[str | None]:
        """Returns the difference for each input: None where both read the same; "" where both refuse it."""


@dataclass(slots=True)
class Tally:
    """The counts of a comparison."""

    compared: int = 0
    damaged: int = 0
    alike: int = 0
    both_refuse: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    examples: dict[str, Input] = field(default_factory=dict)
    """Unexplained differences, the first of each, with their inputs."""
    seconds: float = 0.0


def explained(difference: str, kind: str, known: Sequence[Explained]) -> Explained | None:
    """Returns the row that explains a difference in an input of this kind."""
    fitting = (one for one in known if one.any_kind or one.kind == kind)
    return next((one for one in fitting if re.match(one.pattern, difference)), None)


def compare(other: Other, seconds: float, seed: int, *, most: int | None = None) -> Tally:
    """Compares for about this long, and with at most `most` inputs. The same seed makes the same inputs."""
    tally = Tally()
    begun = time.monotonic()
    source = other.inputs(Random(f"{seed}/{other.name}"))
    while time.monotonic() - begun < seconds and (most is None or tally.compared < most):
        count = other.batch if most is None else min(other.batch, most - tally.compared)
        batch = [next(source) for _ in range(count)]
        for given, difference in zip(batch, other.differences(batch), strict=True):
            _count(tally, given, difference, other.known)
    tally.seconds = time.monotonic() - begun
    return tally


def _count(tally: Tally, given: Input, difference: str | None, known: Sequence[Explained]) -> None:
    tally.compared += 1
    tally.damaged += given.damaged
    if difference is None:
        tally.alike += 1
        return
    if not difference:
        tally.both_refuse += 1
        return
    row = explained(difference, given.kind, known)
    if row is not None:
        tally.explained[row.pattern] += 1
        return
    tally.unexplained += 1
    signature = re.sub(r"\d+|0x[0-9A-Fa-f]+", "#", difference)[:60]
    if len(tally.examples) < _KEPT and not any(
        re.sub(r"\d+|0x[0-9A-Fa-f]+", "#", one)[:60] == signature for one in tally.examples
    ):
        tally.examples[difference] = given


def table(other: Other, tally: Tally) -> str:
    """Returns the counts as lines: what was compared, the explained differences by cause, the others with their
    inputs."""
    rate = tally.compared / tally.seconds if tally.seconds else 0.0
    lines = [
        f"{other.name}: {tally.compared:,} inputs in {tally.seconds:.0f} s ({rate:,.0f}/s), {tally.damaged:,} of them "
        "damaged",
        f"  {tally.alike:>9,}  read alike",
        f"  {tally.both_refuse:>9,}  refused by both",
        f"  {tally.explained.total():>9,}  different, and explained:",
    ]
    rows = {one.pattern: one for one in other.known}
    for pattern, count in tally.explained.most_common():
        row = rows[pattern]
        lines.append(f"  {count:>11,}  {row.cause.value}: {row.why} [{row.clause}]")
    lines.append(f"  {tally.unexplained:>9,}  different, and not explained")
    for difference, given in tally.examples.items():
        lines.append(f"             {given.kind}: {difference[:300]}")
        lines.append(f"               {given.data[:400].hex()}")
    return "\n".join(lines)

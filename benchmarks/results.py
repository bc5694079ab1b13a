"""The measurements, as stored in a JSON file, and the figures computed from them."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .matrix import Row
from .running import Run
from .workloads import SIZES


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All runs of one row. `size`: bytes of an object, 0 for a C-ECHO; `start`: runs with one of them, or one small
    object, for each association."""

    name: str
    group: str
    title: str
    what: str
    unit: str
    count: int
    size: int
    start_count: int
    start_size: int
    runs: list[Run] = field(default_factory=list)
    start: list[Run] = field(default_factory=list)

    @classmethod
    def of(cls, row: Row, count: int) -> Result:
        return cls(
            name=row.name, group=row.group, title=row.title, what=row.size, unit=row.unit, count=count,
            size=SIZES.get(row.size, 0), start_count=row.associations, start_size=0 if row.size == "echo" else 1000,
        )  # fmt: skip

    @property
    def units(self) -> float:
        return self.count if self.unit == "/s" else self.count * self.size / 1e6

    def rates(self, clock: str) -> list[float]:
        """Units a second in each run: `net` of start-up by the process's clock, or in the `association`."""
        if clock == "association":
            return [self.units / run.association for run in self.runs if run.association]
        if not self.start:
            return []
        base = statistics.median(run.whole for run in self.start)
        less = self.start_count if self.unit == "/s" else self.start_count * self.start_size / 1e6
        return [(self.units - less) / (run.whole - base) for run in self.runs if run.whole > base]

    def rate(self, clock: str) -> float | None:
        """The median."""
        rates = self.rates(clock)
        return statistics.median(rates) if rates else None

    @property
    def best_known(self) -> float | None:
        """The rate in the association if the client reports it, otherwise the net rate."""
        return self.rate("association") or self.rate("net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """`count` idle associations in one process: its memory in bytes (PSS), and its processor time during `seconds`."""

    count: int
    memory: int
    processor: float
    seconds: float


@dataclass(slots=True, kw_only=True)
class Measured:
    """One run of the benchmark. `machine`: lines that say where; `skipped`: what is missing, and why."""

    machine: list[str]
    rounds: int = 0
    skipped: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    idle: Idle | None = None
    engine: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    campaign: list[dict[str, Any]] = field(default_factory=list)
    dicos: list[dict[str, Any]] = field(default_factory=list)
    screening: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        plain = asdict(self)
        plain["results"] = list(plain["results"].values())
        path.write_text(json.dumps(plain, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Measured:
        plain = json.loads(path.read_text())
        found = {}
        for one in plain.pop("results"):
            runs, start = ([Run(**run) for run in one.pop(key)] for key in ("runs", "start"))
            found[one["name"]] = Result(**one, runs=runs, start=start)
        idle = plain.pop("idle")
        return cls(**plain, results=found, idle=Idle(**idle) if idle else None)

    def ratio(self, one: str, other: str, clock: str) -> float | None:
        """The rate of the row `one` divided by that of the row `other`."""
        mine, theirs = self.results.get(one), self.results.get(other)
        if mine is None or theirs is None:
            return None
        fast, slow = mine.rate(clock), theirs.rate(clock)
        return fast / slow if fast and slow else None

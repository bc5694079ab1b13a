"""The recogniser that comes with the station: compact things of a suspicious density and a certain volume.

It shows how a recogniser is made, and that a station works. It is not made for the protection of anybody: no threshold
on density finds what a certified recogniser finds.

Theory of operation: in each frame, the runs of voxels along x whose density lies between `LOWEST` and `HIGHEST` are
found. Runs that touch, in the next row or in the next frame, belong together. A group of runs that has at least
`SMALLEST` is reported, with its mask.

Knows: numpy. Must not know: files. Invariant: memory is one frame and the runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dicos_proto.dicos.regions import Region, pack
from dicos_proto.dicos.threats import Threat

from .scan import CannotRecognise, Scan

__all__ = ["nothing", "recognise"]

LOWEST, HIGHEST = 1.6, 2.1
"""g/cm3. A rescaled value of 0 is water, -1000 air, as in Hounsfield units and those of DICOS."""
SMALLEST: Final = 20.0
"""cm3"""
MOST: Final = 50
"""Threats in a report, the largest first."""
MOST_RUNS: Final = 50_000_000
"""Stops: a volume of noise, whose runs would take all memory."""

Numbers = NDArray[np.int64]


def nothing(scan: Scan) -> list[Threat]:
    """Finds nothing and reads nothing: for measurements, and for stations that only collect."""
    return []


def recognise(scan: Scan) -> list[Threat]:
    """Returns the things in a volume whose density is between `LOWEST` and `HIGHEST` and that are `SMALLEST` or larger.

    Raises `CannotRecognise` for an image, which has no densities.
    """
    if not scan.is_volume:
        raise CannotRecognise("the threshold recogniser needs a volume; this is an image")
    told = scan.pictured
    ends = [((density - 1) * 1000 - told.intercept) / told.slope for density in (LOWEST, HIGHEST)]
    runs = _runs(scan.volume, min(ends), max(ends))
    labels = _joined(runs)
    voxel = scan.geometry.voxel_volume / 1000
    counts = np.bincount(labels, runs.ends - runs.starts, minlength=1)
    large = np.flatnonzero(counts * voxel >= SMALLEST)
    largest = large[np.argsort(counts[large])[::-1][:MOST]]
    threats = []
    for label in largest:
        chosen = runs.chosen(labels == label)
        density = 1 + (chosen.sums.sum() / counts[label] * told.slope + told.intercept) / 1000
        threats.append(
            Threat.from_region(
                chosen.region(), geometry=scan.geometry, density=float(density), category="ANOMALY", flag="THREAT",
                description="compact and dense",
            )
        )  # fmt: skip
    return threats


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of voxels along x, in the order of the volume: frame, row, first column, column after the last, sum."""

    frames: Numbers
    rows: Numbers
    starts: Numbers
    ends: Numbers
    sums: NDArray[np.float64]

    def chosen(self, which: NDArray[np.bool_]) -> _Runs:
        """The runs where `which` is set."""
        return _Runs(self.frames[which], self.rows[which], self.starts[which], self.ends[which], self.sums[which])

    def region(self) -> Region:
        """The region of all runs, with its mask."""
        base = int(self.starts.min()), int(self.rows.min()), int(self.frames.min())
        shape = int(self.frames.max()) + 1 - base[2], int(self.rows.max()) + 1 - base[1], int(self.ends.max()) - base[0]
        edges = np.zeros((*shape[:2], shape[2] + 1), np.int8)
        z, y = self.frames - base[2], self.rows - base[1]
        np.add.at(edges, (z, y, self.starts - base[0]), 1)
        np.add.at(edges, (z, y, self.ends - base[0]), -1)
        mask = np.cumsum(edges, axis=2, dtype=np.int8)[:, :, :-1].astype(bool)
        return Region(base=base, extents=(shape[2], shape[1], shape[0]), bitmap=pack(mask))


def _runs(volume: NDArray[Any], low: float, high: float) -> _Runs:
    """The runs of voxels from `low` to `high`, frame by frame."""
    parts: list[tuple[Numbers, Numbers, Numbers, Numbers, NDArray[np.float64]]] = []
    count = 0
    for number, frame in enumerate(volume):
        inside = np.zeros((frame.shape[0], frame.shape[1] + 1), np.int8)
        inside[:, :-1] = (frame >= low) & (frame <= high)
        steps = np.diff(inside.ravel(), prepend=0)
        first, after = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
        if not first.size:
            continue
        count += first.size
        if count > MOST_RUNS:
            raise CannotRecognise("the volume is noise: too many separate voxels have the density of a threat")
        rows, starts = np.divmod(first, inside.shape[1])
        ends = starts + after - first
        totals = np.concatenate(([0.0], np.cumsum(frame, dtype=np.float64)))
        at = rows * frame.shape[1]
        parts.append((np.full(first.size, number), rows, starts, ends, totals[at + ends] - totals[at + starts]))
    if not parts:
        empty = np.zeros(0, np.int64)
        return _Runs(empty, empty, empty, empty, np.zeros(0))
    return _Runs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _joined(runs: _Runs) -> Numbers:
    """A label for each run, from 0 on: the same for runs that belong together."""
    count = runs.starts.size
    if not count:
        return np.zeros(0, np.int64)
    width, height = int(runs.ends.max()) + 1, int(runs.rows.max()) + 2
    line = runs.frames * height + runs.rows
    edges = [_touching(runs, line, width, step) for step in (1, height)]
    one, other = (np.concatenate(side) for side in zip(*edges, strict=True))
    labels = np.arange(count)
    while True:  # each turn takes the smaller label of two neighbours, then follows labels to their ends
        before = labels.copy()
        smaller = np.minimum(labels[one], labels[other])
        np.minimum.at(labels, labels[one], smaller)
        np.minimum.at(labels, labels[other], smaller)
        while not np.array_equal(further := labels[labels], labels):
            labels = further
        if (labels == before).all():
            break
    found: Numbers = np.unique(labels, return_inverse=True)[1]
    return found


def _touching(runs: _Runs, line: Numbers, width: int, step: int) -> tuple[Numbers, Numbers]:
    """The pairs of runs that touch, where the second one is `step` lines after the first."""
    starts, ends = line * width + runs.starts, line * width + runs.ends
    low = np.searchsorted(ends, starts + step * width, "right")
    high = np.searchsorted(starts, ends + step * width, "left")
    many = np.maximum(high - low, 0)
    first = np.repeat(np.arange(starts.size), many)
    offsets = np.arange(first.size) - np.repeat(np.cumsum(many) - many, many)
    return first, np.repeat(low, many) + offsets

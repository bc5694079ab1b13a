"""Maximum-intensity views of a volume from three sides, made frame by frame.

| view | seen along | picture: right, down | shape |
|---|---|---|---|
| axial | z | x, y | (rows, columns) |
| coronal | y | x, z | (frames, columns) |
| sagittal | x | z, y | (rows, frames) |

So the coronal view fits below the axial one, and the sagittal one to the right of it.

Knows: numbers. Must not know: files, colours. Invariants: the memory is the three views and one frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["VIEWS", "View", "Views", "project"]

Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class View:
    """A side from which a volume is seen: the axes (0: x, 1: y, 2: z) along, to the right and down."""

    name: str
    along: int
    right: int
    down: int


VIEWS: Final = (View("axial", 2, 0, 1), View("sagittal", 0, 2, 1), View("coronal", 1, 0, 2))


@dataclass(frozen=True, slots=True)
class Views:
    """The pictures of a volume. `highest`: the maximum of the values along each ray. `mean`: their mean."""

    highest: dict[str, Picture]
    mean: dict[str, Picture]


def project(
    frames: Iterable[NDArray[Any]], count: int, rows: int, columns: int, slope: float, intercept: float
) -> Views:
    """Returns the views of `count` frames of shape (rows, columns), with values made of stored ones by slope and
    intercept. Values that are not finite count as 0."""
    highest = _blank(count, rows, columns, np.float32(-np.inf))
    total = _blank(count, rows, columns, np.float32(0))
    for number, frame in zip(range(count), frames, strict=False):
        values = frame.astype(np.float32)
        if frame.dtype.kind == "f":
            values[~np.isfinite(values)] = 0
        values *= np.float32(slope)
        values += np.float32(intercept)
        np.maximum(highest["axial"], values, out=highest["axial"])
        highest["coronal"][number] = values.max(axis=0)
        highest["sagittal"][:, number] = values.max(axis=1)
        total["axial"] += values
        total["coronal"][number] = values.mean(axis=0)
        total["sagittal"][:, number] = values.mean(axis=1)
    total["axial"] /= max(1, count)
    return Views(highest, total)


def _blank(count: int, rows: int, columns: int, value: np.float32) -> dict[str, Picture]:
    shapes = {"axial": (rows, columns), "coronal": (count, columns), "sagittal": (rows, count)}
    return {name: np.full(shape, value, np.float32) for name, shape in shapes.items()}

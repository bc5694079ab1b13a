"""interim"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom


@dataclass(frozen=True, kw_only=True)
class Threat:
    mask: Any
    base: tuple[int, int, int]
    category: str = "ANOMALY"
    probability: float = 0.5


class Scan:
    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def dataset(self):
        return pydicom.dcmread(self.path)

    @cached_property
    def volume(self):
        ds = self.dataset
        n = int.from_bytes(ds.NumberOfFrames, "little") if isinstance(ds.get("NumberOfFrames"), bytes) else int(ds.NumberOfFrames)
        return np.frombuffer(ds.PixelData, "<u2")[: n * ds.Rows * ds.Columns].reshape(n, ds.Rows, ds.Columns)

    spacing = (0.9, 0.9, 0.9)


Recogniser = Callable[[Scan], Sequence[Threat]]

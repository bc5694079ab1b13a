"""The bag of the documentation: the phantom of the demo, and a report on it.

python -m tests.dicos.bags FOLDER [--size N]
"""

import argparse
from datetime import datetime
from itertools import count
from pathlib import Path

from demo import phantom
from dicos_proto.dicos import CT, TDR, Algorithm, Geometry, Stamp, Threat
from dicos_transports.dicos import read_file, write_file

NOISE = 50
"""How far a voxel may be from the value of what it shows."""


def make(folder: Path, size: int = 128) -> tuple[Path, Path]:
    """Writes bag.dcs, with `size` rows and columns, report.dcs, and wrong.dcs, a report with two faults."""
    bag, report = folder / "bag.dcs", folder / "report.dcs"
    phantom.make_ct(bag, rows=size, columns=size, frames=size * 5 // 4)
    ct = read_file(bag)
    assert isinstance(ct, CT)
    found = found_in(ct)
    write_file(found, report)
    del found.dataset.ThreatSequence[0].ATDAssessmentSequence[0].ThreatCategory
    found.dataset.NumberOfTotalObjects = 5
    write_file(found, folder / "wrong.dcs")
    return bag, report


def found_in(ct: CT) -> TDR:
    """A report that has found the block and taken the bottle for harmless."""
    numbers = count(1)
    stamp = Stamp(datetime(2026, 3, 1, 12, 30, 5), lambda: f"2.25.{next(numbers)}")
    geometry, volume = Geometry.of(ct.dataset), ct.volume.astype(int)
    block = Threat.from_mask(
        abs(volume - phantom.BLOCK) < NOISE,
        geometry=geometry, category="EXPLOSIVE", flag="HIGH_THREAT", probability=0.94,
        density=1.65,
    )  # fmt: skip
    bottle = Threat.from_mask(
        abs(volume - phantom.BOTTLE) < NOISE,
        geometry=geometry, category="OTHER", flag="NO_THREAT", probability=0.2, density=1.35,
        description="bottle",
    )  # fmt: skip
    algorithm = Algorithm(manufacturer="Example", version="1.0")
    return TDR.new(ct, [block, bottle], stamp=stamp, algorithm=algorithm, processing_ms=310)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    make(options.folder, options.size)

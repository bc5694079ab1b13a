"""A CT as a numpy array in the scanner's process, to a numpy array in the receiver's: time and memory, side by side.

The volume has 16 bits a voxel, 512 x 512 x 600. The clock runs from the array of the scanner to that of the receiver:
making the object, association, transfer, decoding. The receiver of pyDICOS cannot hand what it receives to Python, so
its clock stops when its scanner has the answer, which it gets before the receiver decodes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from .processes import STARTING, Child, Failed, free_port

NAME: Final = "dicos"
FRAMES: Final = 600
QUICK: Final = 20
FRAME: Final = 512 * 512 * 2
LIMIT: Final = 300.0
"""The seconds that one transfer may take."""
TITLES: Final = {"ours": "dicos-proto", "pydicos": "pyDICOS", "pynetdicom": "pynetdicom"}
_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicos-proto" / "pydicos"
PYTHON: Final = Path(os.environ.get("PYDICOS_VENV") or _CACHE) / "bin" / "python"


@dataclass(slots=True, kw_only=True)
class Moved:
    """The transfers between the two ends of one library. `seconds`: of each round. `scanner`, `receiver`: the peak of
    each process in bytes; `bases`: what they had before, the scanner with its array."""

    name: str
    size: int
    seconds: list[float] = field(default_factory=list)
    scanner: list[int] = field(default_factory=list)
    receiver: list[int] = field(default_factory=list)
    bases: list[tuple[int, int]] = field(default_factory=list)
    processor: list[tuple[float, float]] = field(default_factory=list)
    """The seconds of processor time of the scanner and of the receiver, in each round."""

    @property
    def copies(self) -> tuple[float, float]:
        """Volumes that each process had in memory beyond what it had before, at its peak."""
        return tuple(
            min((peak - base[at]) / self.size for peak, base in zip(peaks, self.bases, strict=True))
            for at, peaks in enumerate((self.scanner, self.receiver))
        )  # type: ignore[return-value]


def command(name: str, role: str, port: int, frames: int) -> list[str]:
    words = [role, str(port), str(frames)]
    if name == "pydicos":
        return [str(PYTHON), str(Path(__file__).with_name("side_pydicos.py")), *words]
    return [sys.executable, "-m", "benchmarks.side_dicos", name, *words]


def measure(folder: Path, rounds: int, *, quick: bool) -> tuple[list[Moved], list[str]]:
    """Runs each library `rounds` times, in turns. Returns what was measured, and what is missing, and why."""
    frames = QUICK if quick else FRAMES
    skipped = [] if PYTHON.exists() else [f"pyDICOS: skipped: no {PYTHON}"]
    found = [Moved(name=name, size=frames * FRAME) for name in TITLES if name != "pydicos" or PYTHON.exists()]
    for _ in range(rounds):
        for one in found:
            try:
                _move(one, folder, frames)
            except Failed as error:
                skipped.append(f"{NAME}: {TITLES[one.name]} failed: {error}")
    return [one for one in found if one.seconds], skipped


def _move(one: Moved, folder: Path, frames: int) -> None:
    """One transfer. Raises `Failed`."""
    port = free_port()
    with Child(command(one.name, "receiver", port, frames), {}, str(folder)) as receiver:
        _wait(receiver, "ready", STARTING)
        with Child(command(one.name, "scanner", port, frames), {}, str(folder)) as scanner:
            sent = json.loads(scanner.ended(LIMIT).output.splitlines()[-1])
        if one.name == "pydicos":
            time.sleep(1.0)  # it decodes after its answer
            receiver.stop()
        arrived = json.loads(_wait(receiver, "{", LIMIT))
    one.seconds.append(sent["seconds"] if one.name == "pydicos" else arrived["at"] - sent["at"])
    one.scanner.append(sent["peak"])
    one.receiver.append(arrived["peak"])
    one.bases.append((sent["base"], arrived["base"]))
    one.processor.append((sent["cpu"], arrived["cpu"]))


def _wait(child: Child, begins: str, seconds: float) -> str:
    """Returns the line of its output that begins so. Raises `Failed`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for line in child.output().splitlines():
            if line.startswith(begins):
                return line
        time.sleep(0.01)
    raise Failed(f"no line that begins with {begins}")


def report(found: Sequence[Moved]) -> Iterator[str]:
    """Markdown."""
    yield "### A CT from numpy to numpy"
    yield ""
    if not found:
        yield "Nothing was measured."
        return
    size = found[0].size
    theirs = next((min(one.seconds) for one in found if one.name == "pydicos"), None)
    yield f"{size / 1e6:,.0f} MB of 16-bit voxels, uncompressed, from the array of one process to that of another."
    yield "The time is that of the best round. The copies are the memory of each process at its peak beyond what it had"
    yield "before, in volumes; the scanner had the array before, so 0 and 1 are the least."
    yield ""
    heads = "best | slowest | MB/s | x pyDICOS | processor time, both | copies, scanner | copies, receiver"
    yield f"| both ends | {heads} | peak, scanner | peak, receiver |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for one in found:
        best = min(one.seconds)
        times = "" if theirs is None else f"{theirs / best:.1f}"
        copies = " | ".join(f"{each:.2f}" for each in one.copies)
        peaks = " | ".join(f"{max(each) / 1e6:,.0f} MB" for each in (one.scanner, one.receiver))
        used = min(map(sum, one.processor))
        timing = f"{best:.2f} s | {max(one.seconds):.2f} s | {size / 1e6 / best:,.0f}"
        yield f"| {TITLES[one.name]} | {timing} | {times} | {used:.2f} s | {copies} | {peaks} |"
    yield ""


def plain(found: Sequence[Moved]) -> list[dict[str, object]]:
    """For --json."""
    return [asdict(one) for one in found]

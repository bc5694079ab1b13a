"""What is carried: files of three sizes, made in a folder, and a number of C-ECHOs."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from typing import Final

from dicos_proto.uids import CT_IMAGE_STORAGE, EXPLICIT_VR_LE
from dicos_transports.part10_writer import file_header

ROOT: Final = Path(__file__).resolve().parent.parent
SEED: Final = 7


class NoSpace(Exception):
    """The temporary folder cannot hold the files; one line says how much is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """`files` to store in this order, or `echoes` to ask for. `unit`: "MB/s" or "/s"."""

    name: str
    title: str
    unit: str
    files: tuple[Path, ...] = ()
    echoes: int = 0

    @property
    def units(self) -> float:
        """How much of `unit`, without "/s", the whole workload is."""
        if self.unit == "MB/s":
            return sum(path.stat().st_size for path in self.files) / 1e6
        return self.echoes or len(self.files)

    def first(self, count: int) -> Workload:
        """The same with only the first `count` files or echoes."""
        return Workload(name=self.name, title=self.title, unit=self.unit,
                        files=self.files[:count], echoes=min(self.echoes, count))  # fmt: skip


NAMES: Final = ("small", "medium", "large", "echo")


def make(folder: Path, names: tuple[str, ...], *, quick: bool) -> list[Workload]:
    """Makes the files of the workloads `names` in `folder`, which exists. Raises `NoSpace`."""
    small, medium, frames, echoes = (100, 20, 60, 500) if quick else (500, 200, 600, 5000)
    wanted = {"small": small * 8_000, "medium": medium * 600_000, "large": frames * 530_000}
    # The largest twice: one contender also writes what it receives.
    needed = sum(wanted.get(name, 0) for name in names) + max(wanted.get(name, 0) for name in names) + 50_000_000
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoSpace(f"{folder}: {free >> 20} MiB free, {needed >> 20} MiB needed; TMPDIR=... names another place")
    rng = random.Random(SEED)
    made: list[Workload] = []
    for name in names:
        match name:
            case "small":
                sizes = [rng.randrange(1_000, 4_001, 2) for _ in range(small)]
                files = _objects(folder / name, sizes)
                made.append(Workload(name=name, title=f"{small} objects of 1 to 4 kB", unit="/s", files=files))
            case "medium":
                files = _objects(folder / name, [500_000] * medium)
                made.append(Workload(name=name, title=f"{medium} objects of 0.5 MB", unit="MB/s", files=files))
            case "large":
                path = folder / "large.dcs"
                # In a process of its own, so that the runner itself stays small (see processes.Ended.peak).
                command = [sys.executable, str(ROOT / "demo" / "phantom.py"), str(path), "--frames", str(frames)]
                subprocess.run(command, check=True, timeout=60)
                title = f"one DICOS CT of {path.stat().st_size / 1e6:.0f} MB (512 x 512 x {frames})"
                made.append(Workload(name=name, title=title, unit="MB/s", files=(path,)))
            case _:
                made.append(Workload(name=name, title=f"{echoes} C-ECHO one after another", unit="/s", echoes=echoes))
    return made


def _objects(folder: Path, sizes: list[int]) -> tuple[Path, ...]:
    """CT objects with nothing but identifiers and `sizes` bytes, headers included, of private data."""
    folder.mkdir()
    paths = []
    for number, size in enumerate(sizes, 1):
        instance = f"2.25.{SEED}.{number}"
        identifiers = b"".join(
            pack("<HH2sH", group, element, vr, len(value)) + value
            for group, element, vr, value in (
                (0x0008, 0x0016, b"UI", _even(CT_IMAGE_STORAGE, b"\0")),
                (0x0008, 0x0018, b"UI", _even(instance, b"\0")),
                (0x0008, 0x0060, b"CS", b"CT"),
                (0x0010, 0x0020, b"LO", b"NOBODY"),
                (0x0020, 0x000D, b"UI", _even(f"2.25.{SEED}", b"\0")),
            )
        )
        # Pixel Data would have to fit rows and columns; private data has to fit nothing.
        creator = pack("<HH2sH", 0x7001, 0x0010, b"LO", 18) + b"DICOS-PROTO BENCH "
        rest = size - len(identifiers) - len(creator) - 12
        data = pack("<HH2s2xI", 0x7001, 0x1000, b"OB", rest) + random.Random(number).randbytes(rest)
        path = folder / f"{number:04d}.dcm"
        path.write_bytes(file_header(CT_IMAGE_STORAGE, instance, EXPLICIT_VR_LE) + identifiers + creator + data)
        paths.append(path)
    return tuple(paths)


def _even(text: str, pad: bytes) -> bytes:
    return text.encode() + pad * (len(text) % 2)

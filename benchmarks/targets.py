"""The targets, and the results beside them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .results import Measured

OURS, DCMTK = "ours", "dcmtk"
MOST_MEMORY: Final = 60e6
MOST_IDLE_MEMORY, MOST_IDLE_LOAD = 100e6, 0.005
STALL: Final = 0.010
"""Seconds for an object of 1 kB: well below the 40 ms of a delayed acknowledgement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One line of the table."""

    what: str
    wanted: str
    seen: str
    reached: bool


_RATIOS: Final = (
    ("300 MB to a sink, of bare sockets", "sink/300m/ours", "sink/300m/raw", "association", 0.7),
    ("300 MB to a sink, times DCMTK", "sink/300m/ours", "sink/300m/dcmtk", "net", 3.0),
    ("300 MB from disk to disk, times DCMTK bit-preserving", "disk/300m/ours/disk", "disk/300m/dcmtk/disk", "net", 2.0),
    ("1 kB objects, window 1, times DCMTK", "sink/1k/ours", "sink/1k/dcmtk", "net", 3.0),
    ("1 kB objects, window 32, times DCMTK", "sink/1k/ours/w32", "sink/1k/dcmtk", "net", 8.0),
    ("1 kB objects, window 1, times pynetdicom", "sink/1k/ours", "sink/1k/pynetdicom", "association", 100.0),
    ("4 kB objects, window 1, times DCMTK", "sink/4k/ours", "sink/4k/dcmtk", "net", 3.0),
    ("4 kB objects, window 32, times DCMTK", "sink/4k/ours/w32", "sink/4k/dcmtk", "net", 8.0),
    ("to a DCMTK peer with Nagle, times pynetdicom", "nagle/1k/ours-dcmtk/nagle", "nagle/1k/pynetdicom-dcmtk/nagle",
     "association", 8.0),
    ("TLS 1.3, 300 MB, of a bare pyOpenSSL loop", "tls/300m/ours/tls", "tls/300m/raw/tls", "association", 0.7),
)  # fmt: skip


def targets(measured: Measured) -> Iterator[Target]:
    """The targets with measurements."""
    for what, one, other, clock, least in _RATIOS:
        ratio = measured.ratio(one, other, clock)
        if ratio is not None:
            yield Target(what=what, wanted=f"at least {least:g} x", seen=f"{ratio:.2f} x", reached=ratio >= least)
    slower = measured.ratio("echo/echo/raw", "echo/echo/ours", "association")
    if slower is not None:
        yield Target(
            what="C-ECHO, one round trip, of bare sockets", wanted="below 2 x", seen=f"{slower:.2f} x",
            reached=slower < 2,
        )  # fmt: skip
    for name, how in (("ours-dcmtk", "to"), ("dcmtk-ours", "from")):
        stalled = measured.results.get(f"nagle/1k/{name}/nagle")
        rate = stalled.rate("net") if stalled else None
        if rate is not None:
            yield Target(
                what=f"1 kB {how} a DCMTK peer with Nagle: no stall", wanted=f"below {STALL * 1e3:g} ms an object",
                seen=f"{1e3 / rate:.2f} ms", reached=1 / rate < STALL,
            )  # fmt: skip
    for name in ("sink/2g/ours", "sink/300m/ours"):
        large = measured.results.get(name)
        if large is not None:
            for side in ("client", "server"):
                peak = statistics.median(getattr(run, f"{side}_peak") for run in large.runs)
                yield Target(
                    what=f"memory of our {side}, an object of {large.size / 1e9:g} GB",
                    wanted=f"below {MOST_MEMORY / 1e6:g} MB", seen=f"{peak / 1e6:.0f} MB", reached=peak < MOST_MEMORY,
                )  # fmt: skip
            break
    idle = measured.idle
    if idle is not None:
        what = f"{idle.count:,} idle associations in one trio process"
        load = idle.processor / idle.seconds
        yield Target(
            what=f"{what}: memory", wanted=f"below {MOST_IDLE_MEMORY / 1e6:g} MB", seen=f"{idle.memory / 1e6:.0f} MB",
            reached=idle.memory < MOST_IDLE_MEMORY,
        )  # fmt: skip
        yield Target(
            what=f"{what}: processor", wanted=f"below {MOST_IDLE_LOAD:.1%} of one", seen=f"{load:.2%}",
            reached=load < MOST_IDLE_LOAD,
        )  # fmt: skip

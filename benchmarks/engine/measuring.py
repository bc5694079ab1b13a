"""The measures, and their rounds."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import process_time
from typing import Final

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import CEchoRequest, CEchoResponse, CStoreRequest, CStoreResponse
from dicos_proto.registry import uids

from ..processes import Failed
from ..workloads import ROOT
from .conversations import OBJECT, associations, data_set, echoes, full_piece, stores
from .floor import data_floor, halves, message_floor

LENGTHS: Final = (16 << 10, 128 << 10, 1 << 20)
CHUNK: Final = 256 << 10
"""The most bytes that an adapter reads in one call."""
WINDOW: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure. `amount`: the units in one run; `steps`: the PDUs, messages or associations in it.

    `runs` and `floors`: seconds of processor time, one a round."""

    name: str
    title: str
    unit: str
    amount: float
    steps: int
    run: Callable[[], object]
    floor: Callable[[], object] | None = None
    runs: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Units a second, the median."""
        return self.amount / statistics.median(self.runs)

    @property
    def floor_rate(self) -> float | None:
        return self.amount / statistics.median(self.floors) if self.floors else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Bytes and objects of one idle acceptor, the mean of `count` acceptors with `contexts` proposed contexts."""

    contexts: int
    count: int
    traced: float
    resident: float
    blocks: float


def measures(*, quick: bool) -> list[Measure]:
    total, trips, ends = (8 << 20, 640, 50) if quick else (256 << 20, 6400, 500)
    found = [_data_measure(total, length, chunk) for length in LENGTHS for chunk in (0, CHUNK)]
    echo = halves(CEchoRequest(message_id=1, affected_sop_class_uid=uids.VERIFICATION), has_data=False)
    echoed = encode_command(CEchoResponse(message_id_being_responded_to=1, status=0), has_data=False)
    store = halves(
        CStoreRequest(message_id=1, affected_sop_class_uid=uids.CT_IMAGE_STORAGE, affected_sop_instance_uid="2.25.1"),
        has_data=True,
    )
    stored = encode_command(CStoreResponse(message_id_being_responded_to=1, status=0), has_data=False)
    for window in (1, WINDOW):
        found += [
            Measure(name=f"echo-{window}", title=f"C-ECHO, window {window}", unit="messages/s", amount=2 * trips,
                    steps=2 * trips, run=partial(echoes, trips, window),
                    floor=partial(message_floor, trips, echo, echoed)),
            Measure(name=f"store-{window}", title=f"C-STORE of 1 kB, window {window}", unit="messages/s",
                    amount=2 * trips, steps=2 * trips, run=partial(stores, trips, window),
                    floor=partial(message_floor, trips, store, stored, OBJECT)),
        ]  # fmt: skip
    opened = "associations, opened and released"
    return [
        *found,
        Measure(name="associations", title=opened, unit="/s", amount=ends, steps=ends, run=partial(associations, ends)),
    ]


def _data_measure(total: int, length: int, chunk: int) -> Measure:
    size = total // len(full_piece(length)) * len(full_piece(length))
    how = f"copied, chunks of {chunk >> 10} KiB" if chunk else "by reference"
    return Measure(name=f"data-{length >> 10}-{'chunks' if chunk else 'reference'}",
                   title=f"{total >> 20} MiB, PDUs of {length >> 10} KiB, {how}", unit="MB/s",
                   amount=size / 1e6, steps=size // (length - 6), run=partial(data_set, total, length, chunk),
                   floor=partial(data_floor, total, length, chunk))  # fmt: skip


def measure(rounds: int, *, quick: bool) -> tuple[list[Measure], list[Idle]]:
    """Run everything `rounds` times, after one run that does not count."""
    found = measures(quick=quick)
    for number in range(rounds + 1):
        for one in found:
            for work, times in ((one.floor, one.floors), (one.run, one.runs)):
                if work is None:
                    continue
                begun = process_time()
                work()
                if number:
                    times.append(process_time() - begun)
    count = 500 if quick else 10_000
    return found, [idle(2, count), idle(128, count // 10)]


def idle(contexts: int, count: int) -> Idle:
    """Measured in separate processes, because tracing takes memory that the kernel would count."""
    told: dict[str, float] = {}
    for how in ("traced", "resident"):
        command = [sys.executable, "-m", "benchmarks.side_idle", how, str(contexts), str(count)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Failed(f"side_idle: {done.stderr.strip()}")
        told |= json.loads(done.stdout)
    return Idle(contexts=contexts, count=count, traced=told["traced"], resident=told["resident"], blocks=told["blocks"])

"""`dicos screen` with a recogniser that does nothing: from the last byte of a CT to its report at the destination.

The clock begins when the station has the last byte, and ends when it has the destination's answer to the report; both
times come from its index. Between them the scan and its row are written to disk, the recogniser's process maps the
volume, and the report is written, sent and answered. The destination is in the benchmark's own process.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import numpy as np

from dicos_proto.dicos import CT
from dicos_proto.dicos.profile import Compression, Family, accept_policy, contexts_for
from dicos_proto.registry import uids
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.blocking.server import serve
from dicos_transports.dicos import send, stamp

from .dicos import FRAME, FRAMES, QUICK
from .processes import STARTING, Child, Failed

NAME: Final = "screening"
LIMIT: Final = 60.0
"""Seconds for one scan and its report."""
SCANS: Final = 5
"""Scans in each round; the first one is not counted: the station's processes start with it."""


@dataclass(slots=True, kw_only=True)
class Screened:
    """`size`: bytes of a volume. `seconds`: from the last byte to the answer to the report, of each scan."""

    size: int
    seconds: list[float] = field(default_factory=list)
    sending: list[float] = field(default_factory=list)
    """Seconds that each C-STORE took, with the station's answer, which it gives once the scan is on disk."""


def measure(folder: Path, rounds: int, *, quick: bool) -> Screened:
    """Screens `SCANS` scans in each round. Raises `Failed`."""
    frames = QUICK if quick else FRAMES
    found = Screened(size=frames * FRAME)
    volume = np.zeros((frames, 512, 512), np.uint16)
    volume[:] = np.arange(frames, dtype=np.uint16)[:, None, None]
    with serve(("127.0.0.1", 0), _accept, policy=accept_policy(Family.TDR)) as destination:
        for number in range(rounds):
            words = ["0", "-od", str(folder / str(number)), "--http", "0", "--json", "--recogniser", "nothing"]
            words += ["--report-to", f"WORKSTATION@127.0.0.1:{destination.port}"]
            with Child([sys.executable, "-m", "dicos_transports.cli", "screen", *words], {}, str(folder)) as station:
                _round(found, station, volume)
    return found


def _accept(session: Session) -> None:
    for request in session:
        if isinstance(request, StoreRequest):
            request.read()
        request.respond()


def _round(found: Screened, station: Child, volume: Any) -> None:
    port, http = (_event(station, name)["port"] for name in ("listening", "http"))
    with (
        connect(
            ("127.0.0.1", port),
            contexts_for(Family.CT, Compression.FORBIDDEN),
            application_context=uids.DICOS_APPLICATION_CONTEXT_V03,
        ) as session,
        httpx2.Client(verify=False) as client,
    ):
        for number in range(SCANS):
            ct = CT.new(volume, ooi_id=f"BAG-{number}", stamp=stamp())
            begun = time.perf_counter()
            if status := send(session, ct).status:
                raise Failed(f"the station answered {status:#06x}")
            took = time.perf_counter() - begun
            seconds = _reported(client, f"http://127.0.0.1:{http}/scans", number + 1)
            if number:
                found.sending.append(took)
                found.seconds.append(seconds)


def _event(station: Child, name: str) -> dict[str, Any]:
    """The event of this name among those that the station has printed. Raises `Failed`."""
    until = time.monotonic() + STARTING
    while time.monotonic() < until:
        for line in station.output().splitlines():
            event: dict[str, Any] = json.loads(line) if line.endswith("}") else {}
            if event.get("event") == name:
                return event
        time.sleep(0.01)
    raise Failed(f"the station printed no event {name}")


def _reported(client: httpx2.Client, url: str, count: int) -> float:
    """Waits until the newest of `count` scans is reported and drawn. Returns the seconds that the report took."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        scans = sorted(client.get(url).json()["scans"], key=lambda scan: scan["id"])
        if len(scans) == count and scans[-1]["picture"]:
            sent = [one["sent"] for report in scans[-1]["reports"] for one in report["deliveries"]]
            if sent and all(sent):
                return float(max(sent) - scans[-1]["received"])
        time.sleep(0.05)
    raise Failed(f"no report on scan {count} within {LIMIT:g} s")


def report(found: Screened) -> Iterator[str]:
    """Markdown."""
    times = sorted(one * 1e3 for one in found.seconds)
    sending: Sequence[float] = sorted(found.sending)
    yield "### A screening station"
    yield ""
    size = f"{found.size / 1e6:,.0f} MB"
    yield f"From the last byte of a CT of {size} to the destination's answer to its report, with a recogniser that does"
    yield f"nothing, {len(times)} scans: median {statistics.median(times):.0f} ms, fastest"
    yield f"{times[0]:.0f} ms, slowest {times[-1]:.0f} ms. The C-STORE itself, until the scan is on disk and answered,"
    yield f"took {statistics.median(sending):.2f} s."
    yield ""


def plain(found: Screened) -> dict[str, object]:
    """For --json."""
    return asdict(found)

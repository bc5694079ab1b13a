"""`dicos fuzz` against a local peer: conversations a second, with one job and with one for each processor.

The peer is `dicos storescp` in a process of its own on the same processors, so both sides are paid for. All families
have their turn, as in a campaign of a user; the time for learning the peer does not count.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from .processes import Child, free_port

NAME: Final = "campaign"
LEAST: Final = 200
"""Conversations a second that are to be reached where the peer keeps up."""
SECONDS: Final = 20
QUICK: Final = 8
DICOS: Final = (sys.executable, "-m", "dicos_transports.cli")


@dataclass(slots=True, kw_only=True)
class Fuzzed:
    """Campaigns with one number of jobs. `conversations`, `seconds`: of each round."""

    jobs: int
    conversations: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Conversations a second of each round."""
        return [count / seconds for count, seconds in zip(self.conversations, self.seconds, strict=True)]


def measure(folder: Path, rounds: int, *, quick: bool) -> list[Fuzzed]:
    """Runs every campaign `rounds` times. Raises `Failed`."""
    found = [Fuzzed(jobs=jobs) for jobs in sorted({1, os.cpu_count() or 1})]
    seconds = QUICK if quick else SECONDS
    for number in range(rounds):
        for one in found:
            _campaign(folder / f"{number}-{one.jobs}", one, seconds)
    return found


def _campaign(folder: Path, one: Fuzzed, seconds: int) -> None:
    stored, port = folder / "stored", free_port()
    stored.mkdir(parents=True)
    server = [*DICOS, "storescp", str(port), "-od", str(stored), "-q"]
    fuzzer = [*DICOS, "fuzz", "127.0.0.1", str(port), "--time", str(seconds), "--jobs", str(one.jobs), "--seed", "1",
              "--output", str(folder / "found"), "--json"]  # fmt: skip
    with Child(server, {}, str(folder)) as peer:
        peer.listening(port)
        with Child(fuzzer, {}, str(folder)) as child:
            summary = json.loads(child.ended(seconds + 120.0).output.splitlines()[-1])
    one.conversations.append(summary["conversations"])
    one.seconds.append(summary["spent"]["of conversations"])


def report(found: Sequence[Fuzzed]) -> Iterator[str]:
    """Markdown."""
    yield "### `dicos fuzz` against a local peer"
    yield ""
    yield "Campaigns with all families against `dicos storescp` on the same processors; the time for learning the peer"
    yield "does not count."
    yield ""
    yield "| jobs | conversations/s | slowest round |"
    yield "|--:|--:|--:|"
    for one in found:
        yield f"| {one.jobs} | {max(one.rates):,.0f} | {min(one.rates):,.0f} |"
    yield ""
    rate = max(found[-1].rates)
    yield "| target | measured | |"
    yield "|---|--:|---|"
    verdict = "PASS" if rate >= LEAST else "MISS"
    yield f"| at least {LEAST} conversations/s with all processors | {rate:,.0f} | {verdict} |"
    yield ""


def plain(found: Sequence[Fuzzed]) -> list[dict[str, object]]:
    """For --json."""
    return [asdict(one) for one in found]

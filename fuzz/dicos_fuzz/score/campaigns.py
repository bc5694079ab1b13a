"""Runs `dicos fuzz` against broken providers, as a user would: the command, a time, and the peer's own command.

Knows: processes. Must not know: what a finding means (`outcomes`).

Invariants: no seed and no scenario is chosen. A campaign that does not end is ended; its processes are of its own
session, and the provider ends with it.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final

from ..broken.defects import NONE, Defect
from .outcomes import Outcome, outcome_of

__all__ = ["BESIDE", "all_campaigns", "command_of"]

BESIDE: Final = 20.0
"""Seconds that a campaign takes beside its time: its processes start, what was seen last is played again."""
ENDING: Final = 5.0
"""Seconds that it gets to end after a signal."""
OVERTIME: Final = 60.0
"""Seconds over its time after which a campaign is ended: a last look at a peer that hangs takes some."""
HOST: Final = "127.0.0.1"
_PYTHON: Final = (sys.executable, "-m")
_USED: set[int] = set()
_PORTS: Final = Lock()


def command_of(name: str, port: int, seconds: float) -> list[str]:
    """Returns the command of one campaign, as words."""
    peer = [*_PYTHON, "dicos_fuzz.broken", "--port", str(port), "--defect", name]
    return [
        *_PYTHON, "dicos_transports.cli", "fuzz", HOST, str(port), "--time", f"{seconds:.0f}", "--jobs", "1", "--json",
        "--command", shlex.join(peer),
    ]  # fmt: skip


def all_campaigns(
    defects: Iterable[Defect | None],
    seconds: Callable[[int], float],
    *,
    jobs: int,
    folder: Path,
    tell: Callable[[Outcome], None],
) -> list[Outcome]:
    """Runs a campaign for each of the defects, `jobs` at the same time. Returns the outcomes in the order of defects.

    `seconds`: returns the time of the next campaign, from the number of those that have not begun. `folder`: gets the
    output of each campaign. `tell`: called with each outcome.
    """
    waiting = [*defects]
    found: dict[str, Outcome] = {}
    lock = Lock()
    left = len(waiting)

    def one(defect: Defect | None) -> Outcome:
        nonlocal left
        with lock:
            time = seconds(left)
            left -= 1
        return campaign(defect, time, folder)

    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(one, defect) for defect in waiting]):
            outcome = done.result()
            found[outcome.name] = outcome
            tell(outcome)
    return [found[NONE if defect is None else defect.name] for defect in waiting]


def campaign(defect: Defect | None, seconds: float, folder: Path) -> Outcome:
    """Runs one campaign to its end."""
    name = NONE if defect is None else defect.name
    words = command_of(name, _free_port(), seconds)
    begun = monotonic()
    output, log = folder / f"{name}.jsonl", folder / f"{name}.log"
    with output.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, cwd=folder
        )  # its findings go into a new folder there
        trouble = _wait(process, seconds + OVERTIME)
    lines = output.read_text("utf-8", "replace").splitlines()
    outcome = outcome_of(defect, lines, seconds=monotonic() - begun, trouble=trouble)
    if trouble or (process.returncode in (0, 1) and not outcome.trouble):
        return outcome
    last = log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
    return replace(outcome, trouble=f"exit status {process.returncode}: {last[:200]}")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Waits for the end of a campaign. Returns why it had to be ended; empty if it ended by itself."""
    try:
        for number in (None, signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            try:
                process.wait(seconds if number is None else ENDING)
                return "" if number is None else f"it did not end by itself within {seconds:.0f} s"
            except subprocess.TimeoutExpired:
                pass
        return f"it did not end within {seconds:.0f} s, and not by SIGKILL"
    except BaseException:  # Ctrl-C: it ends too
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise


def _free_port() -> int:
    """Returns a port that is free now, another one each time."""
    with _PORTS:
        while True:
            with socket.create_server((HOST, 0)) as free:
                port: int = free.getsockname()[1]
            if port not in _USED:
                _USED.add(port)
                return port

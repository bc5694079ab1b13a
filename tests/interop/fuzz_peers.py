"""`dicos fuzz` against real peers, from a clean start, unaided.

    .venv/bin/python -m tests.interop.fuzz_peers [--seconds 600] [--peer NAME]... [--output DIR]

Each peer is started by `dicos fuzz --command`, so that its process is watched too. Prints a row for each peer: what was
found, how soon, how small the reproducer became. docs/fuzzed-peers.md shows them as classes of findings.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import Any, Final

from tests.interop import peers

GRACE: Final = 240
"""Seconds that a campaign may take beyond `--time`: the last findings are played again and made small."""


@dataclass(frozen=True)
class FuzzedPeer:
    """A peer: its command line for a port and an empty folder, and the reason why it cannot be had, or none."""

    command: Callable[[int, Path], Sequence[str]]
    missing: Callable[[], str]
    ours: bool = False


def _dcmtk(tool: str) -> str | None:
    """The path of one of DCMTK's tools: an environment with pynetdicom has commands of the same names."""
    folders = [one for one in os.get_exec_path() if Path(one) != Path(sys.executable).parent]
    return shutil.which(tool, path=os.pathsep.join(folders))


def _dcmqrscp(port: int, folder: Path) -> list[str]:
    config = folder / "dcmqrscp.cfg"
    (folder / "QR").mkdir(exist_ok=True)
    tables = "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
    area = f"AETable BEGIN\nANY-SCP {folder / 'QR'} RW (500, 1024mb) ANY\nAETable END\n"
    config.write_text(f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n{tables}{area}")
    return [_dcmtk("dcmqrscp") or "", "-c", str(config)]


def _ours(transport: str) -> FuzzedPeer:
    def command(port: int, folder: Path) -> list[str]:
        return [*peers.DICOS, "storescp", str(port), "-od", str(folder), "--transport", transport, "-q"]

    return FuzzedPeer(command, lambda: "", ours=True)


def _without(what: str, found: bool) -> Callable[[], str]:
    return lambda: "" if found else f"{what} is not installed"


_DCMTK = _without("DCMTK", _dcmtk("storescp") is not None and _dcmtk("dcmqrscp") is not None)
_PYNETDICOM = _without("pynetdicom", find_spec("pynetdicom") is not None)
_DCMJS = _without("dcmjs-dimse", shutil.which("node") is not None and (peers.dcmjs_modules() / "dcmjs-dimse").is_dir())

PEERS: Final[Mapping[str, FuzzedPeer]] = {
    "pynetdicom storescp": FuzzedPeer(lambda port, at: peers.pynetdicom_command("storescp", port, at), _PYNETDICOM),
    "pynetdicom qrscp": FuzzedPeer(lambda port, at: peers.pynetdicom_command("qrscp", port, at), _PYNETDICOM),
    "DCMTK storescp": FuzzedPeer(lambda port, at: [_dcmtk("storescp") or "", "-od", str(at), str(port)], _DCMTK),
    "DCMTK dcmqrscp": FuzzedPeer(_dcmqrscp, _DCMTK),
    "dcmjs-dimse": FuzzedPeer(lambda port, at: peers.dcmjs_command(port), _DCMJS),
    "ours, blocking": _ours("blocking"),
    "ours, trio": _ours("trio"),
    "ours, asyncio": _ours("asyncio"),
}


@dataclass(frozen=True)
class Outcome:
    """The events of one campaign (`dicos fuzz --json`) and its exit status."""

    status: int
    events: tuple[Mapping[str, Any], ...]
    errors: str

    @property
    def findings(self) -> list[Mapping[str, Any]]:
        """The findings, in the order of the report: the worst first."""
        return [one for one in self.events if one["event"] == "finding"]

    @property
    def summary(self) -> Mapping[str, Any]:
        """The last event."""
        return next((one for one in reversed(self.events) if one["event"] == "summary"), {})

    @property
    def oracles(self) -> Counter[str]:
        """The number of findings of each oracle."""
        return Counter(str(one["oracle"]) for one in self.findings)


def fuzz(name: str, seconds: float, folder: Path, *more: str, until: Collection[str] = ()) -> Outcome:
    """Runs a campaign of `seconds` against a peer; its files are in `folder`. No seed and no family is chosen.

    `until`: oracles; once each of them has found something, the campaign is interrupted, as by Ctrl-C.
    """
    port, at = peers.free_port(), folder / "peer"
    at.mkdir(parents=True, exist_ok=True)
    command = shlex.join(str(word) for word in PEERS[name].command(port, at))
    words = ["fuzz", "127.0.0.1", str(port), "--time", f"{seconds:g}", "--command", command, "--keep-going", "--json"]
    errors = folder / "errors.txt"
    with errors.open("wb") as told:
        process = subprocess.Popen(
            [*peers.DICOS, *words, "--output", str(folder / "output"), *more],
            stdout=subprocess.PIPE, stderr=told, text=True, errors="replace", cwd=folder, env=peers.OUR_ENVIRONMENT,
        )  # fmt: skip
    limit = Timer(seconds + GRACE, process.kill)
    limit.start()
    try:
        events = tuple(_events(process, until))
        return Outcome(process.wait(), events, errors.read_text(errors="replace"))
    finally:
        limit.cancel()
        process.kill()
        process.wait()


def _events(process: subprocess.Popen[str], until: Collection[str]) -> Iterator[Mapping[str, Any]]:
    missing, interrupted = set(until), False
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            event = json.loads(line)
            yield event
            if event["event"] == "found":
                missing.discard(event["oracle"])
            if until and not missing and not interrupted:
                interrupted = True
                process.send_signal(signal.SIGINT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--peer", action="append", choices=PEERS)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument(
        "--table", type=Path, metavar="DIR", help="print the table of docs/fuzzed-peers.md from this DIR"
    )
    options = parser.parse_args()
    if options.table is not None:
        print(table(options.table))
        return 0
    root = options.output or Path(tempfile.mkdtemp())
    for name in options.peer or PEERS:
        if missing := PEERS[name].missing():
            print(f"{name}: skipped: {missing}")
            continue
        folder = root / _folder(name)
        outcome = fuzz(name, options.seconds, folder)
        (folder / "events.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in outcome.events))
        _print(name, outcome)
    return 0


def table(root: Path) -> str:
    """Returns the results of earlier campaigns as a table in Markdown: classes of findings, with their counts, the
    seconds until the first of them, and the smallest reproducer. Their texts are left out: they may not be public."""
    lines = [
        "| peer | class | findings | first after | smallest reproducer |",
        "|---|---|---|---|---|",
    ]
    for name in PEERS:
        events = root / _folder(name) / "events.jsonl"
        if not events.exists():
            continue
        outcome = Outcome(0, tuple(map(json.loads, events.read_text().splitlines())), "")
        conversations, seconds = outcome.summary["conversations"], outcome.summary["seconds"]
        lines.append(
            f"| **{name}** | all | {len(outcome.findings)} | {conversations} conversations in {seconds:.0f} s | |"
        )
        for oracle, count in outcome.oracles.most_common():
            those = [one for one in outcome.findings if one["oracle"] == oracle]
            first = min(float(one["seconds"]) for one in those)
            smallest = min(those, key=lambda one: (one["steps"], one["bytes"]))
            size = f"{smallest['steps']} steps, {smallest['bytes']} bytes"
            lines.append(f"| | `{oracle}` | {count} | {first:.1f} s | {size} |")
    return "\n".join(lines)


def _folder(name: str) -> str:
    return name.replace(" ", "-").replace(",", "")


def _print(name: str, outcome: Outcome) -> None:
    summary = outcome.summary
    print(
        f"{name}: exit status {outcome.status}, {len(outcome.findings)} findings, "
        f"{summary.get('conversations')} conversations in {summary.get('seconds')} s, "
        f"{summary.get('restarts')} restarts"
    )
    if not summary:
        print(outcome.errors)
    for one in outcome.findings:
        again = f"{one['shown']} of {one['tried']}"
        print(
            f"  {one['severity']:<8} {one['id']:<36} {one['seconds']:6.1f} s  again {again:<8} "
            f"{one['steps']} steps, {one['bytes']} bytes  [{one['clause']}] {one['detail'][:110]}"
        )


if __name__ == "__main__":
    sys.exit(main())

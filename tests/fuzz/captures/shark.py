"""tshark as the judge of capture files: its fields of each packet, and what it complains about."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

TSHARK = shutil.which("tshark")
needs_tshark = [
    pytest.mark.interop,
    pytest.mark.skipif(TSHARK is None, reason="tshark is not installed"),
]
SUSPICIOUS = (
    "(tcp.analysis.flags && !tcp.analysis.reused_ports) || _ws.malformed || tcp.checksum.status == 0"
    " || ip.checksum.status == 0"
)
"""Packets that tshark finds fault with."""


def fields(file: Path, *names: str, ports: Sequence[int] = (), options: Sequence[str] = ()) -> list[list[str]]:
    """The values of these fields of each packet, several of one field joined by commas."""
    asked = [word for name in names for word in ("-e", name)]
    return [line.split("\t") for line in run(file, "-T", "fields", *asked, *options, ports=ports).splitlines()]


def complaints(file: Path, ports: Sequence[int] = ()) -> str:
    """The summary lines of the packets that tshark finds fault with: none, if the file is right."""
    return run(file, "-Y", SUSPICIOUS, ports=ports)


def run(file: Path, *options: str, ports: Sequence[int] = ()) -> str:
    """The output of tshark about a file. `ports`: TCP ports whose connections are DICOM."""
    assert TSHARK is not None
    checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    dicom = [word for port in ports for word in ("-d", f"tcp.port=={port},dicom")]
    done = subprocess.run(
        [TSHARK, "-n", "-r", str(file), *checks, *dicom, *options], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()

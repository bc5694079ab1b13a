"""The demo comes to its end: the threat is found, and the stored scans are those that were sent."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

for name in ("numpy", "pydicom", "cryptography", "hypercorn", "PIL"):
    pytest.importorskip(name)

CHECKOUT = Path(__file__).resolve().parent.parent.parent
README = CHECKOUT / "README.md"
NUMBERS = re.compile(r"\b\d+(\.\d+)? (ms|s|MB/s|GB/s|files/s)\b|(?<=127\.0\.0\.1:)\d+")
"""Times, rates and the port, which differ from one run to the next."""


@pytest.mark.slow  # sends and compares 210 MB
def test_the_demo_ends_well(tmp_path: Path) -> None:
    found = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'transports'}"}
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "demo" / "demo.py"), str(tmp_path / "demo")],
        capture_output=True, text=True, env=found, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 of 2 data sets are the same, byte for byte" in done.stdout
    assert "BAG-0008 from LANE-2 at 127.0.0.1: CLEAR" in done.stdout
    said = {NUMBERS.sub("#", line) for line in (done.stdout + done.stderr).splitlines()}
    (shown,) = re.findall(r"^```console\n\$ make demo\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert [line for line in shown.splitlines() if line != "..." and NUMBERS.sub("#", line) not in said] == []

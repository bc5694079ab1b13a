"""The demo comes to its end, and what was stored is what was sent."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("pydicom")

CHECKOUT = Path(__file__).resolve().parent.parent.parent
README = CHECKOUT / "README.md"
NUMBERS = re.compile(r"\b\d+(\.\d+)? (ms|s|MB/s|GB/s|files/s)\b|(?<=127\.0\.0\.1:)\d+")
"""Times, rates and the port, which differ from one run to the next."""


@pytest.mark.slow  # sends and compares 105 MB
def test_the_demo_ends_well() -> None:
    found = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'transports'}"}
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "demo" / "demo.py")],
        capture_output=True, text=True, env=found, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "7 of 7 data sets are the same, byte for byte" in done.stdout
    assert "100%  104.9 MB of 104.9 MB" in done.stderr
    said = {NUMBERS.sub("#", line) for line in (done.stdout + done.stderr).splitlines()}
    (shown,) = re.findall(r"^```console\n\$ make demo\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert [line for line in shown.splitlines() if line != "..." and NUMBERS.sub("#", line) not in said] == []

"""The demo comes to its end, and what was stored is what was sent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("pydicom")

CHECKOUT = Path(__file__).resolve().parent.parent.parent


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

"""A data set of 1 GiB goes in and out in the memory of a small one, whatever the Maximum Length, even as one PDV."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.association.memory_child import CEILING, TOTAL

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of a process is read in /proc, which is not here"
)
ROOT = Path(__file__).resolve().parent.parent.parent


def child(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.association.memory_child", *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def run(*words: object) -> dict[str, int]:
    done = child(*words)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    print(f"peak grew by {found['grown'] >> 10:,} KiB")
    return found


@pytest.mark.slow  # carries a gigabyte
@pytest.mark.parametrize("max_length", [16 << 10, 128 << 10, 0])
def test_a_gigabyte_from_one_association_to_another(max_length: int) -> None:
    found = run("pair", max_length)
    assert (found["size"], found["complete"]) == (TOTAL, 1)
    assert found["checksum"] == found["expected"]
    assert found["longest"] <= (max_length or 1 << 20)
    assert found["grown"] < CEILING


@pytest.mark.slow  # carries a gigabyte
def test_a_gigabyte_that_is_one_pdv() -> None:
    found = run("pdv")
    assert (found["size"], found["complete"]) == (TOTAL, 1)
    assert found["checksum"] == found["expected"]
    assert found["pieces"] >= TOTAL >> 20, "it is handed on as it arrives"
    assert found["grown"] < CEILING


def test_the_ceiling_is_one() -> None:
    done = child("hold")
    assert done.returncode == 1
    assert "MemoryError" in done.stderr

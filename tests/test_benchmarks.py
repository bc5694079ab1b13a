"""The benchmark runs and prints a table. How fast anything is, is no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the benchmark measures on Linux only")


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_it_prints_a_table_and_writes_every_run(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    done = bench("--quick", "--only", "echo", "--only", "ours", "--json", str(out))
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| dicos-proto -> dicos-proto |")]
    assert len(rows) == 1
    (result,) = json.loads(out.read_text())
    assert (result["contender"], result["workload"], len(result["runs"])) == ("ours", "echo", 1)


def test_a_name_that_is_none_is_refused() -> None:
    done = bench("--only", "nothing")
    assert done.returncode == 2
    assert "no such workload or contender" in done.stderr

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


def test_it_measures_the_engine_without_sockets(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    done = bench("--quick", "--only", "engine", "--rounds", "2", "--json", str(out))
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    for what in ("C-ECHO, window 1", "C-STORE of 1 kB, window 32", "8 MiB, PDUs of 16 KiB, by reference"):
        assert rows.count(what) == 1
    figures = json.loads(out.read_text())
    assert {one["contender"] for one in figures} == {"engine"}
    timed = [one for one in figures if one["workload"] != "idle"]
    assert all(len(one["runs"]) == 2 and min(one["runs"]) > 0 for one in timed)
    assert [one["contexts"] for one in figures if one["workload"] == "idle"] == [2, 128]
    assert all(0 < one["traced"] < 1e6 for one in figures if one["workload"] == "idle")


def test_a_name_that_is_none_is_refused() -> None:
    done = bench("--only", "nothing")
    assert done.returncode == 2
    assert "no such workload or contender" in done.stderr

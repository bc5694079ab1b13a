"""The benchmark runs and prints tables; its page agrees with its JSON. No test depends on speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from benchmarks import faults, page, trace
from benchmarks.matrix import Row, rows
from benchmarks.report import report
from benchmarks.results import Idle, Measured, Result
from benchmarks.running import Run, missing
from benchmarks.targets import targets
from dicos_fuzz.captures import conversations
from dicos_fuzz.faults import FaultyWire, parse_plan
from dicos_fuzz.faults.effects import FORMS
from dicos_transports.cli import main as dicos
from tests.upper_layer.layouts import split

ROOT = Path(__file__).resolve().parent.parent.parent

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the benchmark measures on Linux only")


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.slow  # runs the benchmark, some twenty processes
@linux
def test_it_prints_a_table_and_writes_every_run(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    done = bench("--quick", "--only", "echo", "--only", "ours", "--json", str(out))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| C-ECHO | dicos-proto")]
    assert len(lines) == 1
    measured = Measured.read(out)
    assert [(one.name, len(one.runs), len(one.start)) for one in measured.results.values()] == [
        ("echo/echo/ours", 1, 1)
    ]
    assert "pydcm: skipped" in done.stdout


@pytest.mark.slow  # runs the benchmark, some twenty processes
@linux
@pytest.mark.parametrize(
    "prefix",
    ["sink/1k/ours/w32", "disk/4k/ours", "tls/4k/ours", "associations/1k/ours/a8", "late/1k/ours", "sink/1k/raw"],
)
def test_each_kind_of_run_does_what_it_says(prefix: str, tmp_path: Path) -> None:
    for row in rows(full=True):
        if row.name.startswith(prefix) and (why := missing(row)):
            pytest.skip(f"{row.name}: {why}")
    out = tmp_path / "runs.json"
    done = bench("--quick", "--full", "--only", prefix, "--json", str(out))
    assert done.returncode == 0, done.stdout
    results = Measured.read(out).results.values()
    assert results
    assert all(one.name.startswith(prefix) and one.runs[0].association for one in results)


@pytest.mark.slow  # runs the benchmark, some twenty processes
@linux
def test_idle_associations_are_looked_at(tmp_path: Path) -> None:
    pytest.importorskip("trio")
    out = tmp_path / "runs.json"
    done = bench("--quick", "--only", "idle", "--json", str(out))
    assert done.returncode == 0, done.stdout
    idle = Measured.read(out).idle
    assert idle is not None
    assert idle.count == 50
    assert idle.memory > 1e6


@pytest.mark.slow  # runs the benchmark, some twenty processes
@linux
def test_it_measures_the_engine_without_sockets(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    done = bench("--quick", "--only", "engine", "--rounds", "2", "--json", str(out))
    assert done.returncode == 0, done.stderr
    lines = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    for what in ("C-ECHO, window 1", "C-STORE of 1 kB, window 32", "8 MiB, PDUs of 16 KiB, by reference"):
        assert lines.count(what) == 1
    figures = json.loads(out.read_text())["engine"]
    assert {one["contender"] for one in figures} == {"engine"}
    timed = [one for one in figures if one["workload"] != "idle"]
    assert all(len(one["runs"]) == 2 and min(one["runs"]) > 0 for one in timed)
    assert [one["contexts"] for one in figures if one["workload"] == "idle"] == [2, 128]
    assert all(0 < one["traced"] < 1e6 for one in figures if one["workload"] == "idle")


def test_it_measures_conversations_with_faults(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    done = bench("--quick", "--only", "faults", "--rounds", "2", "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "| one fault, of each of the 20 kinds in turn |" in done.stdout
    figures = json.loads(out.read_text())["faults"]
    assert [one["workload"] for one in figures] == ["faults-none", "faults-kinds", "faults-pieces", "faults-random"]
    assert all(len(one["runs"]) == len(one["floors"]) == 2 for one in figures)


@linux
def test_it_measures_campaigns(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    done = bench("--quick", "--only", "campaign", "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "at least 200 conversations/s with all processors" in done.stdout
    figures = json.loads(out.read_text())["campaign"]
    assert [one["jobs"] for one in figures] == sorted({1, os.cpu_count() or 1})
    assert all(one["conversations"][0] > 20 and one["seconds"][0] > 0.5 for one in figures)


@linux
def test_it_measures_the_trace_of_a_large_file(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    done = bench("--quick", "--only", "trace", "--rounds", "2", "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "A capture file of 4 MB with 8 objects of 0.5 MB" in done.stdout
    figures = json.loads(out.read_text())["trace"]
    assert [one["output"] for one in figures] == [output for output, _ in trace.OUTPUTS]
    assert all(len(one["seconds"]) == 2 and min(one["seconds"]) > 0 for one in figures)
    assert all(4e6 < peak < 500e6 for one in figures for peak in one["peaks"])


def test_the_large_file_is_an_association_without_marks(tmp_path: Path) -> None:
    assert trace.make(tmp_path / "large.pcapng", 2) == 4
    (seen,) = conversations(tmp_path / "large.pcapng")
    assert [pdu[0] for pdu in split(seen.stream(by_client=True))][::133][:2] == [1, 4]
    assert seen.complete
    done = StringIO()
    with redirect_stdout(done):
        assert dicos(["trace", "-q", "--check", str(tmp_path / "large.pcapng")]) == 0
    assert done.getvalue().rstrip().endswith("'USER' -> 'PROVIDER': released; 8 messages, 2,097,152 bytes of data sets")


def test_each_measured_fault_strikes() -> None:
    for text in faults.KINDS:
        user, _ = faults.talk(parse_plan(text))
        assert isinstance(user.end.wire, FaultyWire)
        assert user.end.wire.log.counts.keys() == {1}, text
    assert {type(parse_plan(text).faults[0].effect) for text in faults.KINDS} == {form.of for form in FORMS}
    user, _ = faults.talk(parse_plan(faults.PIECES))
    assert isinstance(user.end.wire, FaultyWire)
    assert 40 < sum(user.end.wire.log.counts.values()) < 70


def test_a_name_that_is_none_is_refused() -> None:
    done = bench("--only", "nothing")
    assert done.returncode == 2
    assert "no such group, ends or rows" in done.stderr


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in rows(full=True)]
    assert len(set(names)) == len(names)
    assert {row.name for row in rows(full=False)} < set(names)


def result(size: str, kind: str, seconds: float, start: float = 0.1) -> Result:
    """One row's result with one run."""
    row = Row(group="sink", client=kind, server=kind, size=size, count=10)  # type: ignore[arg-type]
    one = Result.of(row, 10)
    one.runs.append(Run(whole=start + seconds, association=seconds, client_peak=50_000_000, server_peak=70_000_000))
    one.start.append(Run(whole=start, association=0.01, client_peak=1, server_peak=1))
    return one


def test_rates_are_net_of_start_up_and_targets_are_told_reached_or_missed() -> None:
    measured = Measured(machine=["a machine"], rounds=1)
    for one in (result("300m", "ours", 1.0), result("300m", "raw", 0.8), result("300m", "dcmtk", 2.0)):
        measured.results[one.name] = one
    ours = measured.results["sink/300m/ours"]
    assert ours.rate("net") == pytest.approx((10 * 300_000_000 - 1000) / 1e6)
    assert ours.rate("association") == pytest.approx(3000)
    measured.idle = Idle(count=1000, memory=50_000_000, processor=0.001, seconds=1.0)
    told = {one.what: (one.seen, one.reached) for one in targets(measured)}
    assert told["300 MB to a sink, of bare sockets"] == ("0.80 x", True)
    assert told["300 MB to a sink, times DCMTK"] == ("2.00 x", False)
    assert told["memory of our client, an object of 0.3 GB"] == ("50 MB", True)
    assert told["memory of our server, an object of 0.3 GB"] == ("70 MB", False)
    assert told["1,000 idle associations in one trio process: memory"] == ("50 MB", True)
    assert told["1,000 idle associations in one trio process: processor"] == ("0.10%", True)
    text = "\n".join(report(measured))
    assert "| 300 MB | dicos-proto | 3,000 MB/s | 3,000 MB/s | 2.00 | 0.80 |" in text


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    measured = Measured(machine=["a machine"], rounds=1, skipped=["pydcm: skipped"])
    one = result("1k", "ours", 1.0)
    measured.results[one.name] = one
    measured.write(tmp_path / "one.json")
    assert Measured.read(tmp_path / "one.json") == measured


def test_the_page_says_what_its_measurements_say() -> None:
    measured = Measured.read(ROOT / page.RESULTS)
    text = (ROOT / page.PAGE).read_text()
    assert page.filled(text, measured) == text
    assert page.plot(measured) == (ROOT / page.PLOT).read_text()


def test_the_plot_is_a_drawing_and_depends_on_nothing_else() -> None:
    measured = Measured.read(ROOT / page.RESULTS)
    assert page.plot(measured) == page.plot(measured)
    drawn = ET.fromstring(page.plot(measured))
    bars = drawn.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) > 1
    assert all(int(bar.attrib["width"]) > 0 for bar in bars)


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="measured: begin"):
        page.filled("no marks", Measured(machine=[]))

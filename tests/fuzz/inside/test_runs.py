"""`python -m dicos_fuzz.inside`: processes, findings as files, a table, exit statuses, a corpus that grows."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicos_fuzz.inside import runs, working
from dicos_fuzz.inside.__main__ import main
from dicos_fuzz.inside.runs import Settings, Totals, coverage, run, table
from dicos_fuzz.inside.tapes import Crash, write_tape
from dicos_fuzz.inside.working import Corpus, current_tape

CHECKOUT = Path(__file__).resolve().parents[3]
REGRESSION = next((CHECKOUT / "tests" / "fuzz" / "corpus" / "command").glob("*.tape"))


def test_a_run_without_findings(tmp_path: Path) -> None:
    out = io.StringIO()
    settings = Settings(
        names=("names", "pdu"), seconds=1.5, jobs=1, corpus=tmp_path / "corpus", crashes=tmp_path / "crashes"
    )
    totals = run(settings, out)
    assert totals.crashes == {}
    assert not totals.failed
    assert all(totals.executions[name] > 10 for name in settings.names)
    assert totals.memory > 1 << 20
    assert totals.coverage.has("PDU", "01 A-ASSOCIATE-RQ valid")
    lines = table(totals, settings.names)
    assert lines[1].startswith("names ")
    assert lines[-2].split()[:2] == ["all", f"{totals.executions.total():,}"]
    counted = json.loads((tmp_path / "corpus" / "executions.json").read_text())
    assert counted == dict(totals.executions)
    kept = Corpus(tmp_path / "corpus").read("pdu")
    assert len(kept) > 3
    assert kept == sorted(kept, key=lambda tape: (len(tape), tape))
    assert list((tmp_path / "crashes").iterdir()) == []


def test_what_was_exercised_is_printed_with_what_was_not() -> None:
    text = "\n".join(coverage(Totals()))
    assert text.startswith("exercised by tapes alone: cell of table 9-10 0/123")
    assert re.search("^cell of table 9-10 +123/123$", text, re.MULTILINE)
    assert "never exercised: nothing" in text


def test_targets_that_had_no_time_are_named() -> None:
    totals = Totals()
    totals.executions["names"] = 7
    lines = table(totals, ("names", "pdu", "command"))
    assert "not run, for want of time: pdu, command" in lines
    assert not any("want of time" in line for line in table(totals, ("names",)))


def test_findings_are_files_and_are_told_once(tmp_path: Path) -> None:
    out = io.StringIO()
    totals, settings = Totals(), Settings(names=("names",), crashes=tmp_path)
    line = runs._Line(out, 10)
    crash = Crash("names", b"\1\2", "OracleFailure: what", "", "0123456789")
    for _ in range(2):
        runs._found(crash, settings, totals, line)
    path = tmp_path / "names-0123456789.tape"
    assert out.getvalue().splitlines() == [
        "names: OracleFailure: what",
        f"  again: python -m dicos_fuzz.inside --target names --replay {path}",
    ]
    assert main(["--replay", str(path)]) == 0
    assert "1 " not in table(totals, ["names"])[1].rstrip()[:-1]
    assert table(totals, ["names"])[1].endswith("1")


def _status(words: list[str]) -> object:
    try:
        return main(words)
    except SystemExit as left:
        return left.code


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--list"], 0, "association-acceptor"),
        (["--target", "nothing"], 2, "no target nothing; --list prints all"),
        (["--seconds", "0"], 2, "above 0"),
        (["--jobs", "0"], 2, "at least 1"),
        (["--replay", str(REGRESSION)], 0, "command: no finding in a tape of"),
        (["--replay", "nowhere.tape"], 2, "No such file"),
    ],
)
def test_arguments(words: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(words) == status
    captured = capsys.readouterr()
    assert said in captured.out + captured.err


def test_a_damaged_file_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.tape"
    path.write_text("# target: pdu\nxyz\n")
    with pytest.raises(SystemExit) as left:
        main(["--replay", str(path)])
    assert left.value.code == 2
    assert "bad.tape, line 2: not hexadecimal" in capsys.readouterr().err
    write_tape(path, b"\0")
    with pytest.raises(SystemExit):
        main(["--replay", str(path)])
    assert "names no target" in capsys.readouterr().err


PLANTED = """
import os, sys
from dicos_fuzz.inside import working
from dicos_fuzz.inside.target import Target, check
def body(data, watch):
    watch(len(data) % 50)
    if {kill} and len(data) > 30:
        os._exit(7)
    check(b"BUG" not in data, f"a bug at {{data.find(b'BUG')}}")
working.TARGETS = {{"planted": Target(name="planted", about="", body=body, seeds=lambda: [b"x"], words=(b"BUG",))}}
"""


def planted(tmp_path: Path, *, kill: bool) -> tuple[int, str]:
    """Runs processes in which a target is planted; the module that plants it is imported where they begin."""
    (tmp_path / "planting.py").write_text(PLANTED.format(kill=kill))
    code = (
        "import sys, planting\n"
        "from pathlib import Path\n"
        "from dicos_fuzz.inside.runs import Settings, run, table\n"
        "if __name__ == '__main__':\n"
        "    settings = Settings(names=('planted',), seconds=3, jobs=1, crashes=Path('crashes'))\n"
        "    totals = run(settings)\n"
        "    print(chr(10).join(table(totals, settings.names)))\n"
        "    sys.exit(1 if totals.crashes else 0)\n"
    )
    (tmp_path / "begin.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "begin.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env={"PYTHONPATH": f"{tmp_path}:{CHECKOUT}:{CHECKOUT / 'transports'}:{CHECKOUT / 'fuzz'}"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_planted_fault_is_reported_by_its_process(tmp_path: Path) -> None:
    status, text = planted(tmp_path, kill=False)
    assert status == 1, text
    (path,) = (tmp_path / "crashes").iterdir()
    assert "planted: OracleFailure: a bug at 0" in text
    assert path.read_text().endswith("425547\n")


def test_a_process_that_dies_is_a_finding_with_its_tape(tmp_path: Path) -> None:
    status, text = planted(tmp_path, kill=True)
    assert status == 1, text
    assert "planted: the process died, exit status 7" in text
    path = tmp_path / "crashes" / "planted-died7.tape"
    assert len(bytes.fromhex("".join(path.read_text().splitlines()[2:]))) > 30


def test_the_present_tape_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "current"
    path.write_bytes((3).to_bytes(4, "big") + b"abcdef")
    assert current_tape(path) == b"abc"
    assert working.CURRENT > 1 << 20

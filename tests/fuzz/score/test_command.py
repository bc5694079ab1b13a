"""`python -m dicos_fuzz.score`: real campaigns against real broken providers, and campaigns that fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dicos_fuzz.broken import DEFECTS
from dicos_fuzz.score import campaigns
from dicos_fuzz.score.__main__ import main
from dicos_fuzz.score.campaigns import all_campaigns, command_of
from dicos_fuzz.score.outcomes import Outcome

EARLY = DEFECTS["early-success"]
SUMMARY = {"event": "summary", "conversations": 9}
EVENT = {
    "event": "finding", "id": "success-before-data-1", "oracle": "success-before-data", "seconds": 2.5,
    "conversations": 9, "replayed": [3, 3],
}  # fmt: skip


FINDS = f"""
import sys
if sys.argv[1] != 'none':
    print({json.dumps(EVENT)!r})
print({json.dumps(SUMMARY)!r})
sys.exit(sys.argv[1] != 'none')
"""
NOTHING = f"print({json.dumps(SUMMARY)!r})"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program that runs in place of the campaigns; the test writes it. It gets the name and the time."""
    path = tmp_path / "campaign.py"

    def words(name: str, port: int, seconds: float) -> list[str]:
        return [sys.executable, str(path), name, f"{seconds:g}"]

    monkeypatch.setattr(campaigns, "command_of", words)
    return path


def score(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(words)
    return status, capsys.readouterr().out


def test_the_command_is_that_of_a_user() -> None:
    words = command_of("deflate-bomb", 4711, 61.5)
    assert words[1:7] == ["-m", "dicos_transports.cli", "fuzz", "127.0.0.1", "4711", "--time"]
    assert words[-1].endswith("-m dicos_fuzz.broken --port 4711 --defect deflate-bomb")
    assert "--seed" not in words
    assert "--family" not in words


def test_found_and_clean_is_success(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text(FINDS)
    status, out = score(capsys, "--defect", EARLY.name, "--defect", "none", "--each", "5")
    assert status == 0
    assert "1 of 1 planted defects found" in out
    assert "0 false findings" in out


def test_a_false_finding_is_a_failure(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text(FINDS.replace("!= 'none'", "!= ''"))
    status, out = score(capsys, "--defect", EARLY.name, "--defect", "none", "--each", "5", "--json")
    assert status == 1
    last = json.loads(out.splitlines()[-1])
    assert (last["found"], last["planted"], last["false"]) == (1, 1, ["success-before-data-1"])


def test_too_few_found_is_a_failure_unless_fewer_are_required(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text(NOTHING)
    assert score(capsys, "--defect", EARLY.name, "--each", "5")[0] == 1
    status, out = score(capsys, "--defect", EARLY.name, "--each", "5", "--require", "0")
    assert status == 0
    assert "not found: early-success" in out


def test_a_campaign_that_fails_is_named(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text("import sys\nprint('no association', file=sys.stderr)\nsys.exit(3)\n")
    status, out = score(capsys, "--defect", EARLY.name, "--each", "5", "--require", "0")
    assert status == 1
    assert "exit status 3: no association" in out


def test_a_campaign_that_dies_is_named(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its exit status is 1, as that of a campaign with findings."""
    script.write_text("raise SystemError('broken')")
    status, out = score(capsys, "--defect", "none", "--each", "5")
    assert status == 1
    assert "exit status 1: SystemError: broken" in out


def test_a_campaign_that_does_not_end_is_ended(script: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script.write_text("import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)\n")
    monkeypatch.setattr(campaigns, "OVERTIME", 0.5)
    monkeypatch.setattr(campaigns, "ENDING", 0.5)
    told: list[Outcome] = []
    (found,) = all_campaigns([EARLY], lambda left: 0.1, jobs=1, folder=tmp_path, tell=told.append)
    assert told == [found]
    assert "did not end by itself" in found.trouble


def test_the_time_is_shared_by_those_that_have_not_begun(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text("import sys\nprint(sys.argv[2], file=sys.stderr)\nsys.exit(2)\n")
    names = [word for name in list(DEFECTS)[:4] for word in ("--defect", name)]
    _, out = score(capsys, *names, "--jobs", "2", "--seconds", "200", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    times = [float(event["trouble"].rpartition(" ")[2]) for event in events if event["event"] == "defect"]
    assert len(times) == 4
    assert all(time < 180 for time in times)
    assert max(times) > 150  # the first ones needed almost nothing of their half


def test_the_output_of_each_campaign_is_kept(script: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script.write_text("print('{}')\n")
    score(capsys, "--defect", "none", "--each", "5", "--output", str(tmp_path / "kept"))
    assert (tmp_path / "kept" / "none.jsonl").read_text() == "{}\n"


def test_a_folder_that_cannot_be_made_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert main(["--defect", "none", "--output", str(tmp_path / "file" / "kept")]) == 2
    assert "kept" in capsys.readouterr().err


@pytest.mark.slow  # a campaign of ten seconds against each of two real providers
def test_a_real_campaign_finds_a_real_defect(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("--defect", "early-success", "--defect", "none")
    status, out = score(capsys, *names, "--each", "10", "--jobs", "2", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["defect"]: event["oracle"] for event in events[:2]} == {
        "early-success": "success-before-data", "none": None,
    }  # fmt: skip
    assert events[-1]["false"] == []
    assert status == 0

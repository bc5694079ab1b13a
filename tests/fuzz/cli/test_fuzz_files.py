"""`dicos fuzz`: the files that it leaves, where it says that they are, and what it prints of them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dicos_fuzz.findings import reproducer
from tests.fuzz.campaign.tiny import broken, free_port
from tests.fuzz.cli.test_fuzz import BOUNDED, _little_time, events, peer, run
from tests.fuzz.terminator import tls_before
from tests.transports.certificates import hospital
from tests.transports.cli.commands import ENVIRONMENT, dicos

__all__ = ["_little_time"]

FINDS = (*BOUNDED, "--family", "replay")
RUN = re.compile(r"^ +run +dicos replay (.*)$", re.MULTILINE)


def printed(text: str) -> list[list[str]]:
    """The words of each command that is printed to play a finding again."""
    return [shlex.split(one) for one in RUN.findall(text)]


@pytest.fixture(scope="module")
def port() -> object:
    with broken("second-rq-answered") as (_, number):
        yield number


def test_without_a_folder_findings_are_saved_in_a_new_one_below_the_current_one(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("127.0.0.1", port, *FINDS, "--quiet") == 1
    (folder,) = Path().iterdir()
    assert re.fullmatch(rf"fuzz-127\.0\.0\.1-{port}-\d{{8}}-\d{{6}}", folder.name)
    assert capsys.readouterr().err.count(f"findings are saved in {folder}\n") == 1
    assert run("127.0.0.1", port, *FINDS) == 1
    said = capsys.readouterr().err
    assert printed(said)
    for path, *more in printed(said):
        assert more == ["HOST", "PORT"]
        assert reproducer.read(Path(path)).port == port
    path = printed(said)[0][0]
    assert dicos("replay", path, "127.0.0.1", port, "--repeat", 1).status == 1  # as it is printed
    assert {one.name for one in Path(path).parent.iterdir()} >= {"report.html", "report.txt", "report.jsonl"}
    assert len([*Path().iterdir()]) == 2  # a folder for each campaign


def test_without_findings_no_folder_is_left() -> None:
    with peer() as port:
        assert run("127.0.0.1", port, *BOUNDED, "--family", "good") == 0
    assert [*Path().iterdir()] == []


def test_findings_are_there_when_they_are_found_and_after_an_interrupt(port: int) -> None:
    words = ["fuzz", "127.0.0.1", str(port), "--family", "replay", "--jobs", "1", "--time", "30", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dicos_transports.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    out = ""
    try:
        for line in process.stdout:
            out += line
            if json.loads(line)["event"] == "saved":
                break
        os.kill(process.pid, signal.SIGINT)
        rest, err = process.communicate(timeout=60)
        out += rest
    finally:
        process.kill()
    assert process.returncode == 130, err
    found = events(out, "finding")
    assert found
    for one in found:
        assert reproducer.read(Path(str(one["reproducer"]))).id == one["id"]
    assert [path for path, *_ in printed(err)] == [str(one["reproducer"]) for one in found]


@pytest.mark.slow  # a campaign
def test_a_current_folder_that_cannot_be_written_is_said_at_the_start(
    port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run("127.0.0.1", port, *FINDS) == 1
    said = capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert (
        "the current folder cannot be written (no such file or directory): findings will be saved in a temporary"
        in (said.splitlines()[1])
    )
    assert f"findings are saved in {tmp_path}/fuzz-127.0.0.1-{port}-" in said
    assert all(reproducer.read(Path(path)) for path, *_ in printed(said))


def test_with_a_state_the_paths_are_those_in_it(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("127.0.0.1", port, *FINDS, "--state", tmp_path / "state") == 1
    said = capsys.readouterr().err
    for path, *_ in printed(said):
        assert Path(path).parent == tmp_path / "state" / "findings"
        made = reproducer.read(Path(path))
        assert made.port == port
        assert made.program.startswith("dicos fuzz ")
        assert made.at > 1_600_000_000
    assert [*Path().iterdir()] == []


def test_a_folder_with_another_campaign_is_refused(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, state = tmp_path / "out", tmp_path / "state"
    assert run("127.0.0.1", port, *FINDS, "--output", out, "--state", state) == 1
    capsys.readouterr()
    before = {one.name: one.read_bytes() for one in out.iterdir()}
    assert run("127.0.0.1", port, *FINDS, "--output", out) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {out}: there is ")
    assert said.endswith(", of another campaign: choose a new folder\n")
    assert {one.name: one.read_bytes() for one in out.iterdir()} == before
    assert run("127.0.0.1", port, "--jobs", "1", "--conversations", "45", "--resume", state, "--output", out) == 1
    (out / "accepted-0123456789ab.json").write_text("{}")
    assert run("127.0.0.1", port, "--jobs", "1", "--conversations", "50", "--resume", state, "--output", out) == 2
    assert "accepted-0123456789ab.json, of another campaign" in capsys.readouterr().err


def test_other_files_in_the_folder_are_no_campaign(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "settings.json").write_text("{}")
    with peer() as port:
        assert run("127.0.0.1", port, *BOUNDED, "--family", "good", "--output", tmp_path) == 0


def test_findings_of_before_that_are_known_now_are_masked(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, known = tmp_path / "state", tmp_path / "known"
    assert run("127.0.0.1", port, *FINDS, "--state", state, "--json") == 1
    found = [str(one["id"]) for one in events(capsys.readouterr().out, "finding")]
    known.write_text("\n".join(found))
    more = ("--jobs", "1", "--resume", state, "--family", "replay", "--conversations", "42", "--time", "60")
    assert run("127.0.0.1", port, *more, "--known", known, "--json") == 0
    said = capsys.readouterr()
    assert {one["id"] for one in events(said.out, "masked_before")} == {*found}
    assert not events(said.out, "finding")
    assert not events(said.out, "unmet")
    assert "no findings" in said.err
    assert "not met" not in said.err
    for name in found:
        assert f"found before, now masked: {name}, " in said.err
    more = ("--jobs", "1", "--resume", state, "--family", "replay", "--conversations", "43", "--time", "60", "--json")
    assert run("127.0.0.1", port, *more) == 1  # without the file they are findings again
    assert {*found} <= {str(one["id"]) for one in events(capsys.readouterr().out, "finding")}


@pytest.mark.slow  # a campaign, and two replays
def test_a_finding_over_tls_is_printed_with_the_options_for_tls(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tls_before(port, tmp_path, hospital().server) as (secured, files):
        assert run("127.0.0.1", secured, *FINDS, "--tls-ca", files.ca, "--output", tmp_path / "out") == 1
        said = capsys.readouterr().err
        assert printed(said)
        for path, *more in printed(said):
            assert more == ["HOST", "PORT", "--tls-ca", str(files.ca)]
            assert reproducer.read(Path(path)).tls
        words = [{"HOST": "127.0.0.1", "PORT": secured}.get(one, one) for one in printed(said)[0]]
        assert dicos("replay", *words, "--repeat", 1).status == 1
        bare = dicos("replay", *words[:3], "--repeat", 1)
        assert bare.status == 3
        assert "speaks TLS, not DICOM; --tls turns TLS on" in bare.err


@pytest.mark.slow  # three campaigns
def test_the_second_peer_is_compared_over_the_same_tls(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--conversations", "14", "--jobs", "1", "--seed", "1", "--family", "replay")
    with (
        broken("none") as (_, good),
        tls_before(port, tmp_path, hospital().server) as (first, files),
        tls_before(good, tmp_path, hospital().server) as (second, _),
    ):
        tls = ("--tls-ca", files.ca)
        assert run("127.0.0.1", first, *words, "--compare", "127.0.0.1", second, *tls) == 1
        assert f"different from 127.0.0.1:{second}: " in capsys.readouterr().err
        assert run("127.0.0.1", first, *words, "--compare", "127.0.0.1", good, *tls) == 3
        assert "--compare uses the TLS options of the first peer" in capsys.readouterr().err
        run("127.0.0.1", first, *words, "--compare", "engine", *tls)  # without TLS: it is in the same process
        assert "different from engine: " in capsys.readouterr().err


def test_a_command_that_does_not_listen_is_ended_after_the_time_and_its_output_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "print('reading the configuration', flush=True); print('on port 9', flush=True); sleep(60)"
    script = shlex.join([sys.executable, "-c", f"from time import sleep\n{text}"])
    port = free_port()
    assert run("127.0.0.1", port, "--command", script, "--time", "1.5") == 3
    said = capsys.readouterr().err
    assert f"does not listen on port {port} after 1.5 s: reading the configuration | on port 9" in said


def test_the_summary_says_what_the_time_went_into(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("127.0.0.1", port, "--jobs", "1", "--seed", "1", "--time", "6", "--family", "replay") == 1
    said = capsys.readouterr().err
    (line,) = [one for one in said.splitlines() if one.startswith("time ")]
    numbers = [float(one) for one in re.findall(r"([\d.]+) s", line)]
    assert re.fullmatch(
        r"time .* s: .* s to start and learn the peer, .* s of conversations, .* s to play findings again, make them "
        r"small, and end",
        line,
    )
    assert numbers[0] == pytest.approx(sum(numbers[1:]), abs=0.2)
    assert "ended: 6 seconds, the bound of --time" in said

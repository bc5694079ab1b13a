"""The Pythons that pyproject.toml claims are those that `.ci/run` finds and runs the tests under."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PREFIX = "Programming Language :: Python :: 3."
CLAIMED = [int(text.removeprefix(PREFIX)) for text in PROJECT["classifiers"] if text.startswith(PREFIX)]


def test_what_is_claimed_begins_with_what_is_required_and_has_no_gap() -> None:
    assert PROJECT["requires-python"] == f">=3.{CLAIMED[0]}"
    assert CLAIMED == list(range(CLAIMED[0], CLAIMED[-1] + 1))


def _list(path: str, home: Path) -> list[str]:
    done = subprocess.run(
        [ROOT / "tools" / "pythons.sh", "--list"],
        env={"PATH": path, "HOME": str(home)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


def _fake(folder: Path, name: str, answer: str) -> None:
    """An interpreter that, asked what it is, says `answer`; without one it fails, as a shim of pyenv does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{f'echo {answer}' if answer else 'exit 127'}\n")
    path.chmod(0o755)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    versions = tmp_path / "home" / ".pyenv" / "versions"
    _fake(versions / "3.12.1" / "bin", "python", f"3.12.1 {versions}/3.12.1/bin/python")
    _fake(versions / "3.12.10" / "bin", "python", f"3.12.10 {versions}/3.12.10/bin/python")
    _fake(versions / "3.9.1" / "bin", "python", "")
    return tmp_path / "home"


def test_the_newest_of_each_version_is_found_on_path_and_among_those_of_pyenv(tmp_path: Path, home: Path) -> None:
    _fake(tmp_path / "bin", "python3.14", "3.14.0 /opt/python3.14")
    _fake(tmp_path / "bin", "python3.13", "")
    found = _list(f"{tmp_path / 'bin'}:/usr/bin:/bin", home)
    assert f"3.12.10 {home}/.pyenv/versions/3.12.10/bin/python" in found
    assert "3.14.0 /opt/python3.14" in found
    minors = [re.match(r"3\.(\d+)\.", line) for line in found]
    numbers = [int(match[1]) for match in minors if match]
    assert len(numbers) == len(found)
    assert numbers == sorted(set(numbers)), "each once, the oldest first"
    assert min(numbers) >= 11


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="only CPython is looked for")
def test_this_python_is_found_by_its_name(tmp_path: Path) -> None:
    if sys.version_info.releaselevel != "final":
        pytest.skip("not released yet")
    name = "python{}.{}".format(*sys.version_info[:2])
    (tmp_path / name).symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    found = _list(f"{tmp_path}:/usr/bin:/bin", tmp_path)
    version = "{}.{}.".format(*sys.version_info[:2])
    assert any(line.startswith(version) for line in found), found


def test_continuous_integration_runs_them() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make lint", "make test", "make pythons"]
    assert os.access(ROOT / "tools" / "pythons.sh", os.X_OK)

"""A target under atheris, where that is installed."""

import importlib.util
from pathlib import Path

import pytest

from dicos_fuzz.inside.guided import guided


def test_without_atheris_a_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert guided("names", 1, tmp_path, tmp_path) == 2
    assert "pip install '.[atheris]' in a checkout" in capsys.readouterr().err


@pytest.mark.slow  # atheris instruments the engine, and runs for two seconds
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_a_target_runs_and_its_corpus_grows(tmp_path: Path) -> None:
    assert guided("command", 2, tmp_path / "corpus", tmp_path) == 0
    kept = [*(tmp_path / "corpus" / "command").iterdir()]
    assert any(not one.name.startswith("seed-") for one in kept)
    assert [*tmp_path.glob("*.tape")] == []

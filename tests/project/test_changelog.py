"""Fragments of the changelog have a type that pyproject.toml knows, and the tool that collects them takes them all."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURED = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"]
TYPES = [one["directory"] for one in CONFIGURED["type"]]
FOLDER = ROOT / CONFIGURED["directory"]
TEMPLATE = ROOT / CONFIGURED["template"]
NAME = re.compile(rf"[a-z0-9]+(-[a-z0-9]+)*\.({'|'.join(TYPES)})\.md")


def fragments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != "README.md" and path != TEMPLATE)


def fault(path: Path) -> str | None:
    """Says what is wrong with a fragment, or returns None."""
    if not NAME.fullmatch(path.name):
        return f"{path.name}: not words-with-hyphens.TYPE.md, with a TYPE of {', '.join(TYPES)}"
    text = path.read_text("utf-8")
    if not text.strip() or text.startswith(("#", "-", "*", " ")):
        return f"{path.name}: one item, without a heading or bullet"
    return None


def test_every_fragment_is_one_item_of_a_type() -> None:
    assert [found for path in fragments(FOLDER) if (found := fault(path))] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("echo.new.md", "A word."),
        ("echo.md", "A word."),
        ("Echo.added.md", "A word."),
        ("echo.added.rst", "A word."),
        ("echo.added.md", "\n"),
        ("echo.added.md", "# Echo\n"),
        ("echo.added.md", "- Echo\n"),
    ],
)
def test_what_is_no_fragment_is_named(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert (fault(tmp_path / name) or "").startswith(f"{name}: ")


def test_the_page_explains_every_type() -> None:
    assert re.findall(r"^\| `(\w+)` \|", (FOLDER / "README.md").read_text("utf-8"), re.M) == TYPES


def test_fragments_become_a_section_above_those_before(tmp_path: Path) -> None:
    pytest.importorskip("towncrier")
    (tmp_path / "changelog.d").mkdir()
    for path in (ROOT / "pyproject.toml", ROOT / "CHANGELOG.md", TEMPLATE, FOLDER / "README.md"):
        (tmp_path / path.relative_to(ROOT)).write_bytes(path.read_bytes())
    (tmp_path / "changelog.d/of-echo.fixed.md").write_text("An echo\nof two lines.\n")
    (tmp_path / "changelog.d/of-find.added.md").write_text("A limit.\n")
    done = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "9.8.7", "--date", "2030-01-02"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before = (ROOT / "CHANGELOG.md").read_text("utf-8")
    mark = CONFIGURED["start_string"]
    head, rest = before.split(mark)
    section = "## [9.8.7] - 2030-01-02\n\n### Added\n\n- A limit.\n\n### Fixed\n\n- An echo\n  of two lines.\n"
    assert re.sub(r"\n{3,}", "\n\n", (tmp_path / "CHANGELOG.md").read_text("utf-8")) == re.sub(
        r"\n{3,}", "\n\n", f"{head}{mark}\n{section}\n{rest}"
    )
    assert not [*(tmp_path / "changelog.d").glob("*.fixed.md"), *(tmp_path / "changelog.d").glob("*.added.md")]

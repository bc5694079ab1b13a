"""Fixtures of the tests with other implementations; some are those of the tests of adapters."""

from pathlib import Path

import pytest

from tests.transports.conftest import lines

__all__ = ["folder", "lines"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for received files."""
    made = tmp_path / "in"
    made.mkdir()
    return made

"""One campaign at a time has a folder; a claim ends with its process, and without locks by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicos_fuzz.campaign import claim as module
from dicos_fuzz.campaign.claim import LOCK, Claimed, claim


def test_a_claim_leaves_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        with claim(tmp_path):
            assert [one.name for one in tmp_path.iterdir()] == [LOCK]
        assert [*tmp_path.iterdir()] == []


def test_what_a_killed_campaign_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("12345")
    with claim(tmp_path):
        pass


def test_without_locks_the_file_is_the_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAS_LOCKS", False)
    with claim(tmp_path), pytest.raises(Claimed, match=f"remove {tmp_path / LOCK}"), claim(tmp_path):
        pass
    with claim(tmp_path):
        pass

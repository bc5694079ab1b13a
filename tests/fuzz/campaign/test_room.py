"""A full disk: findings and the state come before the corpus, of this run and on the same disk."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import pytest

from dicos_fuzz import json_text
from dicos_fuzz.campaign import corpus as corpus_module
from dicos_fuzz.campaign import state as state_module
from dicos_fuzz.campaign.bitmap import Bitmap
from dicos_fuzz.campaign.corpus import Corpus
from dicos_fuzz.campaign.room import with_room
from dicos_fuzz.campaign.settings import Totals
from dicos_fuzz.campaign.state import CORPUS, Saved, load, save
from dicos_fuzz.conversation import Conversation, Open, Send
from dicos_fuzz.finding import signature
from dicos_fuzz.findings import reproducer
from tests.fuzz.findings.examples import FINDING

LARGE = 2000


def conversation(number: int) -> Conversation:
    return Conversation(name=f"a/{number}", steps=(Open(), Send(message=bytes(LARGE))))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which files have 60 kB together."""

    def write(path: Path, raw: bytes) -> None:
        used = sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file() and one != path)
        if used + len(raw) > 60_000:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        json_text.write_file(path, raw)

    for module in (corpus_module, state_module, reproducer):
        monkeypatch.setattr(module, "write_file", write)
    monkeypatch.setattr(corpus_module, "ROOM", 1)
    return tmp_path


def saved() -> Saved:
    totals = Totals(findings={signature(FINDING.violation): FINDING})
    return Saved(peer="x:1", seed=1, taken=(0, 0), totals=totals, bitmap=Bitmap())


def filled(folder: Path) -> Corpus:
    corpus = Corpus(folder / CORPUS)
    for number in range(100):
        with suppress(OSError):
            corpus.add(conversation(number))
    assert corpus.full
    return corpus


def test_findings_and_the_state_take_the_place_of_the_newest_entries(disk: Path) -> None:
    corpus = filled(disk)
    before = {one.name for one in (disk / CORPUS).iterdir()}
    assert save(disk, saved(), corpus) == {}
    assert len(load(disk).totals.findings) == 1
    left = {one.name for one in (disk / CORPUS).iterdir()}
    assert left < before
    assert corpus.full
    assert corpus.add(conversation(1000))  # in memory
    assert {one.name for one in (disk / CORPUS).iterdir()} == left


def test_entries_of_others_stay_and_what_cannot_be_written_is_returned_by_path(disk: Path) -> None:
    filled(disk)
    before = sorted((disk / CORPUS).iterdir())
    failed = save(disk, saved(), Corpus(disk / CORPUS))
    assert {Path(path).name for path in failed} >= {"state.json"}
    assert set(failed.values()) == {"no space left on device"}
    assert sorted((disk / CORPUS).iterdir()) == before


def test_other_errors_make_no_room(disk: Path) -> None:
    corpus = Corpus(disk / CORPUS)
    corpus.add(conversation(1))

    def write() -> None:
        raise OSError(errno.EACCES, "Permission denied")

    with pytest.raises(OSError, match="Permission"):
        with_room(write, disk, corpus)
    assert len([*(disk / CORPUS).iterdir()]) == 1
    assert not corpus.full

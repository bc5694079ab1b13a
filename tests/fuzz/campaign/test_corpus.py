"""The corpus: kept, bounded, the same again after it was saved; damaged files are refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from dicos_fuzz.campaign import corpus
from dicos_fuzz.campaign.corpus import Corpus
from dicos_fuzz.conversation import Await, Conversation, Open, Send
from dicos_fuzz.json_text import DamagedFile


def conversation(number: int, size: int = 10) -> Conversation:
    return Conversation(name=f"test/{number}", steps=(Open(), Send(message=bytes([number]) * size), Await()))


def test_entries_are_kept_once_and_read_again(tmp_path: Path) -> None:
    first = Corpus(tmp_path / "new" / "folder")
    assert first.add(conversation(1))
    assert first.add(conversation(2))
    assert not first.add(conversation(1))
    again = Corpus(tmp_path / "new" / "folder")
    assert sorted(one.name for one in again.all()) == ["test/1", "test/2"]
    assert not again.add(conversation(2))
    assert len(again) == 2


def test_the_number_of_entries_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "ENTRIES", 5)
    kept = Corpus(tmp_path)
    for number in range(20):
        kept.add(conversation(number))
    assert [one.name for one in kept.all()] == [f"test/{number}" for number in range(15, 20)]
    assert len(list(tmp_path.iterdir())) == 5


def test_the_bytes_of_all_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "ALL", 20_000)
    kept = Corpus()
    for number in range(20):
        kept.add(conversation(number, 1000))
    assert 1 < len(kept) < 10


@pytest.mark.parametrize(("bound", "most"), [("ALL", 3_000), ("ENTRIES", 3)])
def test_files_of_others_are_never_removed(
    bound: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Corpus(tmp_path)
    for number in range(10):
        first.add(conversation(number, 100))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(corpus, bound, most)
    again = Corpus(tmp_path)
    assert len(again) < 10
    for number in range(20):
        again.add(conversation(number, 100))
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(tmp_path.iterdir())) < 20


def test_a_campaign_that_is_taken_up_again_removes_its_oldest_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "ENTRIES", 5)
    for _ in range(2):
        kept = Corpus(tmp_path, own=True)
        for number in range(20):
            kept.add(conversation(number))
        assert len(list(tmp_path.iterdir())) == 5


def test_a_conversation_that_is_too_large_is_not_kept() -> None:
    assert not Corpus().add(conversation(1, corpus.LARGEST))


def test_the_choice_depends_on_the_seed_alone() -> None:
    kept = Corpus()
    assert kept.choose(Random(1)) is None
    for number in range(20):
        kept.add(conversation(number))
    chosen = [kept.choose(Random(seed)) for seed in range(30)]
    assert chosen == [kept.choose(Random(seed)) for seed in range(30)]
    assert len({one.name for one in chosen if one is not None}) > 5


@pytest.mark.parametrize("text", ["", "{", "[]", '{"steps": [{"step": "fly"}]}', "\x00\xff", '{"steps": 1}'])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "0123.json"
    path.write_text(text, "latin-1")
    with pytest.raises(DamagedFile, match=r"0123\.json"):
        Corpus(tmp_path)


def test_a_file_that_is_too_large_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Corpus(tmp_path)
    kept.add(conversation(1, 100))
    monkeypatch.setattr(corpus, "LARGEST", 100)
    with pytest.raises(DamagedFile, match=r"\.json"):
        Corpus(tmp_path)


def test_an_entry_that_cannot_be_written_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, raw: bytes) -> None:
        raise OSError(28, "No space left on device")

    made = Corpus(tmp_path)
    monkeypatch.setattr(corpus, "write_file", full)
    with pytest.raises(OSError, match="No space"):
        made.add(conversation(1))
    assert [one.name for one in made.all()] == ["test/1"]


def test_a_pipe_in_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(DamagedFile, match=r"pipe\.json: a device or a pipe"):
        Corpus(tmp_path)

"""A campaign on disk is the same again; a damaged file of it is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicos_fuzz.campaign.bitmap import Bitmap
from dicos_fuzz.campaign.settings import Totals
from dicos_fuzz.campaign.state import Saved, load, save
from dicos_fuzz.conversation import Entry, Transcript, What
from dicos_fuzz.finding import Finding, Severity, Violation, signature
from dicos_fuzz.json_text import DamagedFile
from tests.fuzz.campaign.tiny import CRASHING, GOOD, SHORT


def finding(oracle: str, replayed: tuple[int, int] = (3, 3)) -> Finding:
    return Finding(
        violation=Violation(
            oracle=oracle, severity=Severity.HIGH, detail="what was seen", clause="PS3.8 9.2", state="Sta2"
        ),
        conversation=CRASHING,
        transcript=Transcript([Entry(0.0, 0, What.OPENED), Entry(0.1, 0, What.SENT, b"\1\2")]),
        before=(GOOD, SHORT),
        replayed=replayed,
        seen_after=(1.5, 12),
        count=4,
        evidence=("signal SIGSEGV",),
    )


def saved(folder: Path) -> Saved:
    bitmap = Bitmap()
    bitmap.add(frozenset({"a", "b"}))
    totals = Totals(
        seconds=12.5, cases=100, echoes=20, associations=130, sent=5000, restarts=2, families={"good": 60, "abort": 40},
        masked={"0123456789ab": 7},
    )  # fmt: skip
    for one in (finding("crash"), finding("hang")):
        totals.findings[signature(one.violation)] = one
    doubtful = finding("silence", (0, 3))
    totals.unconfirmed[signature(doubtful.violation)] = doubtful
    made = Saved(peer="127.0.0.1:104", seed=42, taken=(90, 10), totals=totals, bitmap=bitmap)
    save(folder, made)
    return made


def test_a_campaign_is_the_same_again(tmp_path: Path) -> None:
    first, again = saved(tmp_path / "new"), load(tmp_path / "new")
    assert (again.peer, again.seed, again.taken) == (first.peer, first.seed, first.taken)
    assert again.bitmap.dump() == first.bitmap.dump()
    for name in ("seconds", "cases", "echoes", "associations", "sent", "restarts", "families", "masked"):
        assert getattr(again.totals, name) == getattr(first.totals, name)
    assert again.totals.findings.keys() == first.totals.findings.keys()
    found = again.totals.findings[signature(finding("crash").violation)]
    assert (found.conversation, found.before, found.replayed, found.count) == (CRASHING, (GOOD, SHORT), (3, 3), 4)
    assert found.seen_after == (1.5, 12)
    assert len(again.totals.unconfirmed) == 1


def test_saving_again_replaces_the_state(tmp_path: Path) -> None:
    saved(tmp_path)
    saved(tmp_path)
    assert load(tmp_path).totals.cases == 100
    assert sorted(one.name for one in tmp_path.iterdir()) == ["findings", "state.json", "unconfirmed"]


@pytest.mark.parametrize(
    "change",
    [
        {"dicos fuzz": 2}, {"seed": -1}, {"seed": "x"}, {"taken": [1]}, {"taken": [1, "2"]}, {"bitmap": "00"},
        {"bitmap": "zz"}, {"families": {"a": -1}}, {"masked": []}, {"seconds": "1"}, {"unknown": 1}, {"peer": 5},
    ],
)  # fmt: skip
def test_a_damaged_state_is_refused_by_name(tmp_path: Path, change: dict[str, object]) -> None:
    saved(tmp_path)
    path = tmp_path / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DamagedFile, match=r"state\.json"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", "\x00"])
def test_a_state_that_is_not_json_is_refused_by_name(tmp_path: Path, text: str) -> None:
    saved(tmp_path)
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(DamagedFile, match=r"state\.json"):
        load(tmp_path)


def test_a_damaged_finding_is_refused_by_name(tmp_path: Path) -> None:
    saved(tmp_path)
    path = next((tmp_path / "findings").glob("hang*.json"))
    path.write_text(path.read_text()[:-50])
    with pytest.raises(DamagedFile, match=path.name):
        load(tmp_path)


def test_no_campaign_is_not_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")

"""The care for a peer: what is suspicious waits for its turn, and is kept if it has none."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from dicos_fuzz.campaign import care as care_module
from dicos_fuzz.campaign.care import OPEN, Care, History
from dicos_fuzz.campaign.ledger import Ledger
from dicos_fuzz.campaign.liveness import Trouble
from dicos_fuzz.campaign.player import LocalTrouble
from dicos_fuzz.campaign.pool import Played
from dicos_fuzz.campaign.resources import Numbers
from dicos_fuzz.campaign.schedule import Case
from dicos_fuzz.campaign.settings import Settings, Totals
from dicos_fuzz.conversation import Conversation, Transcript
from dicos_fuzz.finding import Finding, Severity, Violation

ONE = Conversation(name="good/one", steps=())
PLAYED = Played(
    case=Case(1, ONE, False),
    violations=(),
    observed=frozenset(),
    transcript=Transcript(),
    sent=0,
    connections=1,
    seconds=0.0,
    suspicious=False,
)


def trouble(
    reaction: str, severity: Severity = Severity.LOW, *, oracle: str = "log-traceback", fatal: bool = False
) -> Trouble:
    return Trouble(
        Violation(
            oracle=oracle,
            severity=severity,
            detail=reaction,
            clause="limit: none",
            reaction=reaction,
            by_state=False,
        ),
        fatal=fatal,
    )


class Peer:
    """Everything around `Care`. `says`: what its output reports at the next look; `looked`: what was looked into."""

    def __init__(self, *, keep_going: bool = True) -> None:
        self.says: list[Trouble] = []
        self.looked: list[str] = []
        self.added: list[str] = []
        self.left: list[str] = []
        self.notes: list[str] = []
        self.fails: BaseException | None = None
        self.ended: list[Trouble] = []
        """The ends of its process that are seen next."""
        self.recovered = 0
        self.muted: list[str] = []
        self.stopped = ""
        self.numbers = Numbers(3, 1, 0)
        self.history = History()
        self.jobs = 1
        self.last = SimpleNamespace(seconds=0.0)
        self.deadline = 1.0
        self.served = 0
        ledger = Ledger(Totals(), frozenset(), lambda finding: None)
        around: Any = self
        liveness: Any = SimpleNamespace(
            gone=lambda: self.ended.pop() if self.ended else None,
            served=0,
            deadline=1.0,
            left=1.0,
            over=False,
            complaints=self.complaints,
            numbers=lambda: self.numbers,
            gulps=lambda sent: None,
            spins=lambda: None,
            settled=lambda *baseline, **seconds: self.numbers,
            measure_idle=lambda: None,
        )
        suspects: Any = SimpleNamespace(
            trouble=self.investigated, growth=lambda growth: None, recover=lambda: setattr(self, "recovered", 1)
        )
        settings = Settings(survey_seconds=0.0, keep_going=keep_going)
        self.care = Care(around, around, liveness, suspects, ledger, settings, self.notes.append)

    def complaints(self) -> list[Trouble]:
        found, self.says = self.says, []
        return found

    def investigated(self, one: Trouble, history: Sequence[Conversation], transcript: Transcript) -> Finding:
        assert history[-1] == ONE
        self.looked.append(one.violation.reaction)
        if self.fails is not None:
            raise self.fails
        return Finding(violation=one.violation, conversation=history[-1], transcript=transcript, replayed=(3, 3))

    def echo(self, seconds: float) -> float:
        return 0.0

    def quiet(self) -> None: ...

    def lane_busy(self) -> bool:
        return False

    def add(self, finding: Finding) -> bool:
        self.added.append(finding.violation.reaction)
        return True

    def mute(self, conversation: Conversation) -> None:
        self.muted.append(conversation.name)

    def stop(self, why: str) -> None:
        self.stopped = why

    def leave(self, finding: Finding) -> None:
        self.left.append(finding.violation.reaction)


@pytest.fixture
def none_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Investigations have had their share of the time."""
    monkeypatch.setattr(care_module, "SHARE", -1.0)


def test_a_suspicion_is_looked_into_at_once_while_there_is_time() -> None:
    peer = Peer()
    peer.says = [trouble("a")]
    peer.care.after(PLAYED, at_once=True)
    assert (peer.looked, peer.added, peer.left) == (["a"], ["a"], [])


@pytest.mark.usefixtures("none_left")
def test_suspicions_wait_and_the_worst_is_the_first() -> None:
    peer = Peer()
    peer.says = [trouble("low"), trouble("high", Severity.HIGH), trouble("medium", Severity.MEDIUM), trouble("low")]
    peer.care.after(PLAYED, at_once=True)
    assert peer.looked == []
    peer.care.settle(monotonic() + 60)
    assert peer.looked == peer.added == ["high", "medium", "low"]
    peer.care.leave_open()
    assert peer.left == []


@pytest.mark.usefixtures("none_left")
def test_what_has_no_place_or_no_time_is_kept_unconfirmed() -> None:
    peer = Peer()
    peer.says = [trouble(f"{number}") for number in range(OPEN + 2)]
    peer.care.after(PLAYED, at_once=True)
    assert peer.left == [f"{OPEN}", f"{OPEN + 1}"]
    peer.care.settle(monotonic() - 1)
    peer.care.leave_open()
    assert peer.looked == []
    assert sorted(peer.left, key=int) == [f"{number}" for number in range(OPEN + 2)]


def test_a_peer_that_is_down_is_looked_into_at_once_while_there_is_time() -> None:
    peer = Peer()
    peer.ended = [trouble("ended", oracle="crash", fatal=True)]
    peer.care.after(PLAYED, at_once=True)
    assert (peer.looked, peer.added, peer.muted) == (["ended"], ["ended"], ["good/one"])
    assert peer.recovered == 0  # the search has done it
    assert not peer.stopped


@pytest.mark.usefixtures("none_left")
def test_else_it_is_started_again_and_looked_into_later() -> None:
    peer = Peer()
    for _ in range(2):  # the second is the same, and waits already
        peer.ended, peer.recovered = [trouble("ended", oracle="crash", fatal=True)], 0
        peer.care.after(PLAYED, at_once=True)
        assert (peer.looked, peer.recovered) == ([], 1)
    assert peer.muted == ["good/one"] * 2
    peer.care.settle(monotonic() + 60)
    assert peer.looked == peer.added == ["ended"]


@pytest.mark.usefixtures("none_left")
def test_a_peer_that_was_down_is_a_finding_without_a_search_too() -> None:
    peer = Peer()
    peer.ended = [trouble("ended", oracle="crash", fatal=True)]
    peer.care.after(PLAYED, at_once=True)
    peer.care.leave_open()
    assert (peer.added, peer.left) == (["ended"], [])


@pytest.mark.usefixtures("none_left")
def test_the_crash_that_ends_a_campaign_is_always_looked_into() -> None:
    peer = Peer(keep_going=False)
    peer.ended = [trouble("ended", oracle="crash", fatal=True)]
    peer.care.after(PLAYED, at_once=True)
    assert peer.looked == peer.added == ["ended"]
    assert "--keep-going" in peer.stopped


@pytest.mark.parametrize("end", [KeyboardInterrupt(), LocalTrouble("no descriptors")])
def test_what_is_interrupted_is_kept_unconfirmed(end: BaseException) -> None:
    peer = Peer()
    peer.says, peer.fails = [trouble("a")], end
    with pytest.raises(type(end)):
        peer.care.after(PLAYED, at_once=True)
    assert (peer.added, peer.left) == ([], ["a"])


def test_growth_without_time_for_its_cause_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer()
    peer.care.rest()
    peer.numbers = Numbers(30, 1, 0)
    monkeypatch.setattr(Care, "settle", lambda care: None)
    peer.care.after(PLAYED, at_once=True)
    peer.care.leave_open()
    assert peer.notes == ["descriptors rose from 3 to 30; there was no time to look for the cause"]


def test_the_latest_history_is_bounded_in_bytes() -> None:
    history = History()
    for number in range(5):
        history.add(Conversation(name=f"good/{number}", steps=()))
    assert [one.name for one in history.latest(1200)] == ["good/3", "good/4"]
    assert [one.name for one in history.latest(0)] == ["good/4"]


@pytest.mark.usefixtures("none_left")
def test_what_the_log_says_is_looked_into_before_what_takes_a_minute() -> None:
    peer = Peer()
    peer.says = [
        trouble("gone", Severity.CRITICAL, oracle="crash", fatal=True),
        trouble("spins", Severity.HIGH, oracle="spin"),
        trouble("dead", Severity.MEDIUM, oracle="log-dead-thread"),
    ]
    peer.care.after(PLAYED, at_once=True)
    peer.care.settle(monotonic() + 60)
    assert peer.looked == ["dead", "gone", "spins"]

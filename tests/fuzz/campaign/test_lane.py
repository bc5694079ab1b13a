"""A lane for conversations that mostly wait: their length, doubts that are settled, and troubles of this program.

`test_campaign` has the lane beside a campaign, and one that is cancelled.
"""

from __future__ import annotations

import socket
import threading
import time

import pytest

from dicos_fuzz.campaign.doors import Peer
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.lane import DOUBTS, Lane, length_of
from dicos_fuzz.campaign.links import LocalTrouble
from dicos_fuzz.campaign.player import Player
from dicos_fuzz.campaign.pool import Played
from dicos_fuzz.campaign.schedule import Case
from dicos_fuzz.campaign.spending import Spending
from dicos_fuzz.conversation import Await, Conversation, Pause, Send, Transcript
from dicos_fuzz.finding import Severity, Violation
from tests.fuzz.campaign.peers import PATIENCE, raw_peer
from tests.fuzz.campaign.tiny import RQ, conversation

HANG = Violation(oracle="hang", severity=Severity.HIGH, detail="it hangs", clause="none")
CRASH = Violation(oracle="crash", severity=Severity.HIGH, detail="it ends", clause="none")


def case(number: int = 1) -> Case:
    return Case(number, conversation(f"slow/{number}", Send(message=RQ)), True)


def played(one: Case, *violations: Violation) -> Played:
    return Played(
        case=one, violations=violations, observed=frozenset(), transcript=Transcript([]), sent=0, connections=1,
        seconds=1.0, suspicious=False,
    )  # fmt: skip


def judged(one: Conversation, transcript: Transcript, learned: Learned) -> list[Violation]:
    return [HANG]


def lane(port: int = 0, spending: Spending | None = None) -> Lane:
    return Lane(Player(Peer(port=port), Learned(answer_seconds=0.1), spending=spending), judged)


def result_of(waiting: Lane) -> Played:
    until = time.monotonic() + PATIENCE
    while (found := waiting.result()) is None:
        assert time.monotonic() < until
        time.sleep(0.001)
    return found


@pytest.mark.parametrize(
    ("step", "seconds"),
    [
        (Pause(seconds=2.5), 2.5),
        (Await(kinds=(99,), seconds=4.0), 4.0),
        (Await(kinds=(99,)), 0.0),
        (Await(kinds=(2, 99), seconds=4.0), 0.0),  # an answer ends it
        (Await(seconds=4.0), 0.0),
        (Send(message=bytes(100), piece=10, gap=0.5), 5.0),
        (Send(message=bytes(100), piece=10), 0.0),
    ],
)
def test_the_length_of_a_conversation_is_the_time_that_it_waits_by_itself(
    step: Pause | Await | Send, seconds: float
) -> None:
    assert length_of(conversation("any", step)) == pytest.approx(seconds)
    assert length_of(conversation("any", step, Pause(seconds=1.0))) == pytest.approx(seconds + 1)


def test_a_case_is_played_beside_and_its_result_is_taken_once() -> None:
    go_on = threading.Event()

    def handle(sock: socket.socket) -> None:
        go_on.wait(PATIENCE)

    with raw_peer(handle) as port:
        beside = lane(port)
        beside.put(case())
        assert beside.busy
        go_on.set()
        found = result_of(beside)
        assert (found.case, found.violations) == (case(), (HANG,))
        assert not beside.busy
        assert beside.result() is None
        beside.close()


def test_trouble_of_this_program_is_raised_by_the_one_who_asks() -> None:
    with raw_peer(lambda sock: None) as port:
        beside = lane(port, Spending(bytes_most=5))
        beside.put(case())
        with pytest.raises(LocalTrouble):
            result_of(beside)
        assert not beside.busy
        beside.close()


def test_a_doubt_is_settled_by_two_more_runs() -> None:
    beside, first, second = lane(), case(1), case(2)
    assert beside.next() is None
    beside.doubt(HANG, played(first, HANG))
    beside.doubt(CRASH, played(second, CRASH))
    assert beside.next() == first
    assert beside.settle(played(first, HANG)) == []
    assert beside.next() == first
    (found,) = beside.settle(played(first))
    assert (found.violation, found.conversation, found.replayed) == (HANG, first.conversation, (1, 2))
    assert beside.next() == second
    assert beside.settle(played(first, HANG)) == []  # no doubt of its own any more
    (open_,) = beside.open()
    assert (open_.violation, open_.replayed) == (CRASH, (0, 0))
    beside.settle(played(second, HANG))
    (found,) = beside.settle(played(second, CRASH, HANG))
    assert found.replayed == (1, 2)
    assert beside.open() == []


def test_two_doubts_of_one_case_are_settled_together() -> None:
    beside = lane()
    for one in (HANG, CRASH):
        beside.doubt(one, played(case(), one))
    beside.settle(played(case(), HANG))
    found = beside.settle(played(case(), HANG))
    assert [(one.violation, one.replayed) for one in found] == [(HANG, (2, 2)), (CRASH, (0, 2))]


def test_doubts_are_bounded() -> None:
    beside = lane()
    for number in range(DOUBTS + 5):
        beside.doubt(HANG, played(case(number), HANG))
    assert len(beside.open()) == DOUBTS


def test_nothing_to_cancel_is_no_case() -> None:
    beside = lane()
    assert beside.cancel() is None
    assert beside.result() is None
    beside.close()

"""Conversations in memory: transcripts like those of the player over sockets, virtual time, and many in a second."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

import pytest

from dicos_fuzz.campaign.engines import LEARNED, Provider, User
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.campaign.lines import lines_of
from dicos_fuzz.campaign.memory import MemoryPlayer
from dicos_fuzz.campaign.scenarios.scripts import ACCEPTANCE, RELEASED, Talk, script
from dicos_fuzz.conversation import (
    Answer,
    Await,
    Check,
    Conversation,
    End,
    Open,
    Pause,
    Reading,
    Send,
    Side,
    Step,
    Transcript,
    What,
)
from dicos_fuzz.tree import Action, Edit
from dicos_proto.tolerance import FIELD

TALK = Talk.of(LEARNED)
ANSWER = Await(kinds=(4, 7))


def play(*steps: Step | tuple[Step, ...], side: Side = Side.USER) -> Transcript:
    return MemoryPlayer().play(script("a/b", "a test", "PS3.8 0", "any", *steps, side=side))


def kinds(transcript: Transcript) -> list[What]:
    return [one.what for one in transcript.entries]


def names(transcript: Transcript, connection: int = 0) -> list[str]:
    return [f"{'>' if one.ours else '<'} {one.name}" for one in lines_of(transcript)[connection].said]


def test_an_association_is_a_transcript() -> None:
    found = play(TALK.begin(), Send(message=TALK.ask()), ANSWER, RELEASED)
    assert names(found) == [
        "> A-ASSOCIATE-RQ", "< A-ASSOCIATE-AC", "> P-DATA-TF", "< P-DATA-TF", "> A-RELEASE-RQ", "< A-RELEASE-RP",
    ]  # fmt: skip
    assert kinds(found)[0] is What.OPENED
    assert kinds(found)[-1] is What.CLOSED  # the acceptor waits for that [PS3.8 AR-4]


def test_a_user_calls_and_is_answered() -> None:
    answers = (Await(kinds=(4, 5)), Answer()) * 4
    found = play(Open(), Await(kinds=(1,)), Answer(), answers, side=Side.PROVIDER)
    assert names(found)[0] == "< A-ASSOCIATE-RQ"
    assert names(found)[-2:] == ["< A-RELEASE-RQ", "> A-RELEASE-RP"]
    assert lines_of(found)[0].ended is What.ENDED


def test_edits_of_answers_apply() -> None:
    wrong = Answer(edits=(Edit("A-ASSOCIATE-AC/presentation context/id", Action.SET, b"\x4d"),))
    found = play(Open(), Await(kinds=(1,)), wrong, Await(kinds=(7,)), side=Side.PROVIDER)
    assert names(found)[-1] == "< A-ABORT"


def test_time_is_virtual() -> None:
    begun = time.process_time()
    found = play(Open(), Send(message=TALK.rq[:3]), Await(kinds=(99,), seconds=3600.0))
    assert time.process_time() - begun < 5
    assert kinds(found)[-1] is What.ENDED
    assert found.entries[-1].at == 30.0  # ARTIM
    quiet = play(Open(), Await(seconds=2.0))
    assert (kinds(quiet)[-2], quiet.entries[-2].at) == (What.QUIET, 2.0)
    paused = play(TALK.begin(), Pause(seconds=61.0))
    assert names(paused)[-1] == "< A-RELEASE-RQ"  # it was idle


@pytest.mark.parametrize(("how", "what"), [("half", What.HALF), ("close", What.CLOSED), ("reset", What.CLOSED)])
def test_ends(how: str, what: What) -> None:
    found = play(Open(), Send(message=TALK.rq[:50]), End(how=how), Await(kinds=(99,)))  # type: ignore[arg-type]
    assert what in kinds(found)
    assert (What.ENDED in kinds(found)) is (how == "half")


def test_others_are_checked_and_connections_are_apart() -> None:
    found = play(TALK.begin(0), TALK.begin(1), Check(), Send(message=TALK.ask(), connection=1))
    assert What.CHECKED in kinds(found)
    assert names(found, 0) == ["> A-ASSOCIATE-RQ", "< A-ASSOCIATE-AC"]
    assert names(found, 1)[-1] == "< P-DATA-TF"


def test_answers_wait_while_nothing_is_read() -> None:
    found = play(TALK.begin(), Reading(on=False), Send(message=TALK.ask()), Await(seconds=1.0))
    assert names(found)[-1] == "> P-DATA-TF"
    read = play(TALK.begin(), Reading(on=False), Send(message=TALK.ask()), Reading(on=True), ANSWER)
    assert names(read)[-1] == "< P-DATA-TF"


def test_pieces_and_gaps_take_their_time() -> None:
    found = play(Open(), Send(message=TALK.rq[:10], piece=2, gap=1.0), Send(message=TALK.rq[10:]), ACCEPTANCE)
    assert [one.at for one in found.entries if one.what is What.SENT][:5] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert names(found) == ["> A-ASSOCIATE-RQ", "< A-ASSOCIATE-AC"]


def test_steps_for_connections_that_do_not_exist_do_nothing() -> None:
    steps: Iterable[Step] = (Send(message=b"x"), Await(), Answer(), End(), Reading(on=True), Pause(seconds=1.0))
    assert play(*steps).entries == []


def test_objects_are_checked() -> None:
    good = play(TALK.begin(), Send(message=TALK.store(1, "good")), ANSWER)
    bad = play(TALK.begin(), Send(message=TALK.store(1, "bad").replace(b"\x08\0\x18\0UI", b"\x08\0\x18\0UN")), ANSWER)
    assert good.received().endswith(b"\0\0\0\x09\x02\0\0\0\0\0") or b"\0\0\0\x09\x02\0\0\0\0\0" in good.received()
    assert b"\0\0\0\x09\x02\0\0\0\0\xc0" in bad.received()


def conversation() -> Conversation:
    steps = (TALK.begin(), Send(message=TALK.ask()), ANSWER, Send(message=TALK.store(2, "speed", pixels=4_000)), ANSWER)
    return script("good/speed", "associate, echo, store 4 kB, release", "PS3.8 9.2", "served", *steps, RELEASED)


def test_it_is_deterministic() -> None:
    players = (MemoryPlayer(), MemoryPlayer(provider=partial(Provider, FIELD)), MemoryPlayer(user=User))
    runs = [player.play(conversation()).entries for player in players]
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.slow  # it measures speed
def test_a_thousand_conversations_take_about_a_second() -> None:
    """Of processor time, on one core: 0.6 s to play them and as much to judge them; the bound allows for a slow one."""
    player, one = MemoryPlayer(), conversation()
    begun = time.process_time()
    for _ in range(1_000):
        transcript = player.play(one)
    played = time.process_time() - begun
    for _ in range(1_000):
        assert judge(one, transcript, LEARNED) == []
    assert played < 3
    assert time.process_time() - begun < 6

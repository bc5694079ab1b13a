"""From a suspicion to a finding: the conversation behind it, how often it comes back, how small it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from time import monotonic

import pytest

from dicos_fuzz.campaign import knowledge
from dicos_fuzz.campaign import liveness as liveness_module
from dicos_fuzz.campaign import suspects as suspects_module
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.liveness import Liveness
from dicos_fuzz.campaign.player import Peer, Player
from dicos_fuzz.campaign.probe import probe
from dicos_fuzz.campaign.resources import Growth, Track
from dicos_fuzz.campaign.scenarios.orders import on
from dicos_fuzz.campaign.suspects import Suspects, Unrecoverable
from dicos_fuzz.campaign.watching import Watched
from dicos_fuzz.conversation import Await, Conversation, End, Send, Transcript
from dicos_fuzz.finding import Finding, Severity, Violation
from dicos_fuzz.grammar import echo, message
from dicos_proto.dimse import CEchoResponse
from dicos_proto.registry.uids import VERIFICATION
from tests.fuzz.campaign.tiny import ABORTED, BEGIN, CRASHING, GOOD, SHORT, broken, conversation


@contextmanager
def investigating(defect: str, *, answer: float = 0.1) -> Iterator[tuple[Suspects, Liveness, Player]]:
    """The investigation of a peer with this defect. `answer`: seconds that it gets for an answer at first."""
    with broken(defect) as (watched, port), Player(Peer(port=port), Learned(answer_seconds=answer)) as player:
        liveness = Liveness(player, watched)
        liveness.measure_idle()
        yield Suspects(player, liveness, judge, watched=watched, seconds=60.0), liveness, player


@pytest.mark.slow  # the peer is started ten times
def test_the_conversation_that_crashes_a_peer_is_found_among_others() -> None:
    with investigating("item-length-crash") as (suspects, liveness, player):
        for one in (GOOD, CRASHING):
            player.play(one)
        trouble = liveness.serves()
        assert trouble is not None
        found = suspects.trouble(trouble, [GOOD, SHORT, CRASHING, GOOD, ABORTED], Transcript())
        assert found.conversation == CRASHING
        assert found.before == ()
        assert found.replayed == (3, 3)
        assert liveness.serves() is None
        smaller = suspects.smaller(found, 60.0, questions=6)
        assert smaller.minimised is not None
        assert len(smaller.minimised.steps) < len(CRASHING.steps)
        assert smaller.minimised_transcript is not None
        assert suspects.restarts >= 4


def test_a_suspicion_that_does_not_come_back_stays_one() -> None:
    with investigating("item-length-crash") as (suspects, liveness, player):
        player.play(CRASHING)
        trouble = liveness.serves()
        assert trouble is not None
        found = suspects.trouble(trouble, [GOOD, SHORT], Transcript())
        assert found.replayed == (0, 3)
        assert found.conversation == SHORT
        assert found.before == (GOOD,)


def test_a_peer_that_cannot_be_started_again_ends_the_search() -> None:
    with broken("item-length-crash") as (started, port):
        pid = started.pid
        assert pid is not None
        with Player(Peer(port=port), Learned()) as player:
            watched = Watched(pid=pid)
            liveness = Liveness(player, watched)
            suspects = Suspects(player, liveness, judge, watched=watched)
            player.play(CRASHING)
            trouble = liveness.serves()
            assert trouble is not None
            with pytest.raises(Unrecoverable) as caught:
                suspects.trouble(trouble, [GOOD, CRASHING], Transcript())
    assert caught.value.finding is not None
    assert caught.value.finding.conversation == CRASHING
    assert caught.value.finding.replayed == (0, 0)


def growth(liveness: Liveness, player: Player, *conversations: Conversation) -> list[Growth]:
    before = liveness.settled()
    assert before is not None
    track = Track(before)
    for one in conversations:
        player.play(one)
        numbers = liveness.numbers()
        assert numbers is not None
        track.note(one, numbers)
    after = liveness.settled(before, seconds=1.0)
    assert after is not None
    return track.settled(after)


def test_a_leak_is_confirmed_by_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects_module, "SETTLE", 0.5)
    with investigating("descriptor-at-abort") as (suspects, liveness, player):
        (found,) = growth(liveness, player, *[GOOD, ABORTED, SHORT] * 6)
        finding = suspects.growth(found)
        assert finding is not None
        assert finding.violation.oracle == "descriptor-leak"
        assert finding.conversation == ABORTED
        assert finding.replayed == (4, 4)


def test_growth_that_is_not_repeated_is_no_finding() -> None:
    with investigating("descriptor-at-abort") as (suspects, _, _):
        assert suspects.growth(Growth("descriptors", 5, 20, (GOOD, SHORT))) is None


def test_a_peer_without_a_leak_shows_no_growth() -> None:
    with investigating("none") as (_, liveness, player):
        assert growth(liveness, player, *[GOOD, ABORTED, SHORT] * 6) == []


def test_a_violation_is_played_again_with_more_patience() -> None:
    asked = conversation(
        "good/unanswered", *BEGIN, Send(message=echo()), Await(kinds=(4,), seconds=None), expect="served"
    )
    with investigating("none") as (suspects, _, player):
        player.learned = Learned(answer_seconds=0.0)
        late = Violation(oracle="unanswered", severity=Severity.MEDIUM, detail="", clause="")
        found = suspects.violation(late, asked, Transcript())
        assert found.replayed == (0, 3)
        assert player.learned.answer_seconds == 0.0


def test_a_violation_that_comes_back_is_made_small() -> None:
    from dicos_fuzz.campaign.scenarios import FAMILIES

    with investigating("unknown-item-aborts") as (suspects, _, player):
        for one in FAMILIES["good"].systematic(player.learned):
            transcript = player.play(one)
            violations = [each for each in judge(one, transcript, player.learned) if each.oracle == "refused-valid"]
            if violations:
                break
        else:
            pytest.fail("no good conversation with an unknown item")
        found = suspects.violation(violations[0], one, transcript)
        assert found.replayed == (3, 3)
        smaller = suspects.smaller(found, 60.0, questions=12)
        assert smaller.minimised is not None


def test_what_hangs_the_peer_is_searched_with_less_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "ECHO", 0.3)
    with investigating("none") as (suspects, liveness, _):
        with suspects._quicker():
            assert liveness.hanging < liveness_module.HANGING
            assert liveness.congested < liveness_module.CONGESTED
        assert liveness.hanging == liveness_module.HANGING


def test_a_search_ends_with_its_time_and_not_with_its_questions() -> None:
    """To make what is left to ask about a long message takes a minute, even if nothing is played any more."""
    long = conversation("long", *BEGIN, Send(message=b"".join(echo(1, number) for number in range(1, 500))))
    size = sum(len(step.message) for step in long.steps if isinstance(step, Send))
    violation = Violation(oracle="accepted", severity=Severity.LOW, detail="", clause="")

    def needs_all(conversation: Conversation, transcript: Transcript, learned: Learned) -> list[Violation]:
        return [violation] if len(transcript.sent()) >= size else []

    found = Finding(violation=violation, conversation=long, transcript=Transcript(), replayed=(3, 3))
    with investigating("none") as (_, liveness, player):
        searching = Suspects(player, liveness, needs_all, watched=None, seconds=1.0)
        begun = monotonic()
        searching.smaller(found, 0.5, questions=100_000)
        assert monotonic() - begun < 10


HALF = conversation("half a PDU", *BEGIN, Send(message=echo()[:20]), End())
"""It loses a slot for certain: a reset may come before the peer has read what it resets."""


@pytest.mark.slow  # the peer is started ten times
def test_a_conversation_that_uses_up_all_slots_is_found_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The associations after the last slot are rejected, and take their time: they are not waited for."""
    leaking = conversation("leaking", *chain.from_iterable(on(number, HALF.steps) for number in range(12)))
    with investigating("slot-at-reset") as (suspects, liveness, player):
        player.play(leaking)
        liveness.congested = 0.5
        monkeypatch.setattr(suspects_module, "AGAIN_CONGESTED", 0.3)
        trouble = liveness.serves()
        assert trouble is not None
        assert trouble.oracle == "slot-leak"
        found = suspects.trouble(trouble, [GOOD, ABORTED, leaking], Transcript())
    assert (found.conversation, found.before, found.replayed) == (leaking, (), (3, 3))


@pytest.mark.slow  # the peer is started ten times, and plays more than a hundred conversations
def test_repetitions_become_smaller_together(monkeypatch: pytest.MonkeyPatch) -> None:
    violation = Violation(oracle="slot-leak", severity=Severity.HIGH, detail="", clause="", reaction="rejects 2/3/2")
    found = Finding(
        violation=violation, conversation=HALF, transcript=Transcript(), before=(HALF,) * 11, replayed=(3, 3)
    )  # fmt: skip
    monkeypatch.setattr(suspects_module, "AGAIN_CONGESTED", 0.3)
    monkeypatch.setattr(suspects_module, "LEAST_PATIENT", 0.2)
    with investigating("slot-at-reset", answer=0.05) as (suspects, _, _):
        smaller = suspects.smaller(found, 120.0, questions=7)
    assert smaller.minimised is not None
    assert len(smaller.minimised.steps) < len(HALF.steps)
    assert {*smaller.before} == {smaller.minimised}


def test_nothing_is_searched_for_long_after_the_end_of_the_campaign() -> None:
    with investigating("item-length-crash") as (suspects, liveness, player):
        player.play(CRASHING)
        trouble = liveness.serves()
        assert trouble is not None
        suspects.ends, suspects.grace = monotonic() - 1, 0.0
        found = suspects.trouble(trouble, [GOOD, CRASHING], Transcript())
        assert (found.conversation, found.replayed) == (CRASHING, (0, 3))
        assert liveness.serves() is None
        assert suspects.restarts == 1


def dimse_answer() -> bytes:
    """The P-DATA-TF of a C-ECHO-RSP."""
    return b"".join(
        message(1, CEchoResponse(message_id_being_responded_to=9, affected_sop_class_uid=VERIFICATION, status=0))
    )


def test_a_violation_is_left_open_when_the_time_is_over() -> None:
    violation = Violation(oracle="odd", severity=Severity.LOW, detail="", clause="")
    with investigating("none") as (_, liveness, player):
        searching = Suspects(player, liveness, lambda *_: [violation], watched=None)
        assert searching.violation(violation, GOOD, Transcript()).replayed == (3, 3)
        searching.ends = monotonic() - searching.grace
        assert searching.violation(violation, GOOD, Transcript()).replayed == (0, 0)


def test_a_peak_of_memory_comes_back_without_anything_before_it() -> None:
    """The first question is not compared with the peak that raised the suspicion."""
    from dicos_fuzz.campaign.scenarios import FAMILIES

    with investigating("deflate-bomb") as (suspects, liveness, player):
        player.learned = probe(player)
        bomb = next(one for one in FAMILIES["contents"].systematic(player.learned) if "bomb of 64 MB" in one.name)
        sent = player.bytes_sent
        player.play(bomb)
        trouble = liveness.gulps(player.bytes_sent - sent)
        assert trouble is not None
        found = suspects.trouble(trouble, [bomb], Transcript())
    assert found.replayed == (3, 3)


@pytest.mark.slow  # the peer is started again whenever its slots are used up
def test_a_violation_that_costs_a_slot_becomes_small_all_the_same() -> None:
    nobody = dimse_answer()
    silent = conversation("commands/response to nobody", *BEGIN, *[Send(message=nobody)] * 3, Await(), expect="refused")
    with investigating("dead-thread") as (suspects, _, player):
        (violation,) = judge(silent, transcript := player.play(silent), player.learned)
        assert violation.oracle == "silence"
        found = suspects.violation(violation, silent, transcript)
        while player.echo(5.0) is not None:
            player.play(silent)
        smaller = suspects.smaller(found, 60.0, questions=8)
    assert smaller.minimised is not None
    assert suspects.restarts > 0

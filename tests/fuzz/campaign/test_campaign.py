"""The loop of a campaign: finds what is wrong, nothing where nothing is, keeps its bounds, and ends well."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from dicos_fuzz.campaign import lane as lane_module
from dicos_fuzz.campaign import liveness, suspects
from dicos_fuzz.campaign.campaign import Campaign
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.lane import Lane, length_of
from dicos_fuzz.campaign.player import LocalTrouble, Peer, Player
from dicos_fuzz.campaign.pool import Here, Played, Workers, trimmed
from dicos_fuzz.campaign.probe import probe
from dicos_fuzz.campaign.scenarios import FAMILIES
from dicos_fuzz.campaign.scenarios.family import Family
from dicos_fuzz.campaign.schedule import Case
from dicos_fuzz.campaign.settings import Settings, Totals
from dicos_fuzz.campaign.spending import Spending
from dicos_fuzz.conversation import Await, Conversation, Entry, Open, Pause, Send, Side, Transcript, What
from dicos_fuzz.finding import Finding, Severity, Violation, signature
from dicos_proto.registry import uids
from dicos_proto.registry.status import CANNOT_UNDERSTAND
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.fuzz.campaign.tiny import (
    ABORTED,
    BEGIN,
    CRASHING,
    GOOD,
    LOST,
    SHORT,
    Seen,
    broken,
    conversation,
    family,
)
from tests.transports.servers import ADAPTERS, Talk, serving

POLICY = AcceptPolicy(
    contexts={uids.VERIFICATION: (uids.IMPLICIT_VR_LE,), uids.CT_IMAGE_STORAGE: (uids.EXPLICIT_VR_LE,)}
)
QUICK = Settings(seconds=60.0, conversations=60, smaller=0.0, seed=1)
HASTY = Learned(answer_seconds=0.05)
"""For tests that do not depend on the answers of the peer."""
PATIENT = 1.0
"""Seconds for an answer, for tests of which a single answer decides: a busy host may take some."""
PLAIN = family("plain", GOOD, SHORT, ABORTED)
USERS = [one for one in FAMILIES.values() if one.side is Side.USER and not one.resource and not one.tls]


def campaign(
    player: Player,
    *families: Family,
    settings: Settings = QUICK,
    judging: object = judge,
    seen: Seen | None = None,
    **options: object,
) -> tuple[Campaign, Seen]:
    seen = Seen() if seen is None else seen
    made = Campaign(player, families, judging, Here(player, judging), settings, seen, **options)  # type: ignore[arg-type]
    return made, seen


async def storing(talk: Talk) -> None:
    """Answers everything, and fails an object without a byte: `answer_all` stores what is none."""
    async for request in talk.requests():
        size = sum([len(part) async for part in talk.data(request)]) if request.name == "C-STORE-RQ" else 1
        await talk.respond(request, 0 if size else CANNOT_UNDERSTAND)


class Restless(Seen):
    """Looks into something all the time, so that nothing else may go on. It ends a campaign once `name` was played."""

    run: Campaign
    name = "slow/stalled"

    def played(self, conversation: Conversation, transcript: Transcript, *, new: bool) -> None:
        super().played(conversation, transcript, new=new)
        self.run.quiet()
        if conversation.name == self.name:
            self.run.stop("played")


class Ending(Seen):
    """Ends a campaign at its first finding."""

    stop: Callable[[str], None]

    def found(self, finding: Finding) -> None:
        super().found(finding)
        self.stop("found")


@contextmanager
def player_of(port: int, learned: Learned = Learned()) -> Iterator[Player]:  # noqa: B008  a frozen value
    with Player(Peer(port=port), learned) as player:
        yield player


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_nothing_is_found_in_our_own_adapters(adapter: str) -> None:
    with serving(adapter, storing, policy=POLICY) as server, player_of(server.port) as player:
        player.learned = probe(player)
        run, _ = campaign(player, *USERS, settings=replace(QUICK, conversations=150))
        totals = run.run()
    assert totals.findings == {}, [one.violation.detail for one in totals.findings.values()]
    assert totals.unconfirmed == {}
    assert totals.cases == 150
    assert totals.echoes > 10
    assert totals.bits > 20
    assert totals.corpus > 10
    assert len(totals.families) >= len(USERS) - 2  # some have nothing for a peer of few services
    assert totals.ended == "150 conversations"


def test_the_same_seed_repeats_a_campaign() -> None:
    def names(seed: int) -> list[str]:
        with (
            serving("blocking", policy=POLICY) as server,
            player_of(server.port, Learned(answer_seconds=0.5)) as player,
        ):
            run, seen = campaign(player, PLAIN, settings=replace(QUICK, conversations=9, seed=seed))
            run.run()
        return seen.names

    assert names(3) == names(3)
    assert names(3) != names(4)


def test_a_defect_is_found_confirmed_and_reported_once() -> None:
    with broken("wrong-message-id") as (_, port), player_of(port) as player:
        player.learned = replace(probe(player), answer_seconds=PATIENT)
        run, seen = campaign(player, FAMILIES["good"], FAMILIES["commands"])
        totals = run.run()
    oracles = {one.violation.oracle for one in totals.findings.values()}
    assert "response-to-nobody" in oracles, oracles
    assert len(seen.findings) == len(totals.findings)
    found = next(one for one in seen.findings if one.violation.oracle == "response-to-nobody")
    assert found.replayed == (3, 3)
    assert found.seen_after[1] > 0


@pytest.mark.slow  # the peer is started several times
@pytest.mark.parametrize("keep_going", [False, True])
def test_a_crash_ends_a_campaign_unless_it_is_to_go_on(keep_going: bool) -> None:
    crashing = family("lengths", GOOD, CRASHING, SHORT)
    with broken("item-length-crash") as (watched, port), player_of(port) as player:
        settings = replace(QUICK, conversations=6, keep_going=keep_going)
        run, _ = campaign(player, crashing, settings=settings, watched=watched)
        totals = run.run()
    (found,) = totals.findings.values()
    assert (found.violation.oracle, found.violation.reaction, found.replayed) == ("crash", "signal SIGSEGV", (3, 3))
    assert found.conversation == CRASHING
    assert totals.ended == ("6 conversations" if keep_going else "stopped at the first crash; --keep-going goes on")


@pytest.mark.slow  # the peer is started a dozen times
def test_a_campaign_goes_on_behind_a_known_crash() -> None:
    crashing = family("lengths", GOOD, CRASHING, SHORT)
    with broken("item-length-crash") as (watched, port), player_of(port) as player:
        run, _ = campaign(player, crashing, watched=watched)
        (name,) = run.run().findings
    with broken("item-length-crash") as (watched, port), player_of(port) as player:
        settings = replace(QUICK, conversations=5, known=frozenset({name}))
        run, _ = campaign(player, crashing, settings=settings, watched=watched)
        totals = run.run()
    assert totals.findings == {}
    assert list(totals.masked) == [f"crash-{name}"]
    assert totals.ended == "5 conversations"


def test_a_peer_that_is_gone_ends_a_campaign_with_the_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "REFUSING", 0.5)
    with broken("item-length-crash") as (_, port), player_of(port) as player:
        run, _ = campaign(player, family("lengths", GOOD, CRASHING, SHORT))
        totals = run.run()
    (found,) = totals.findings.values()
    assert (found.violation.oracle, found.violation.reaction) == ("crash", "refuses connections")
    assert CRASHING in (found.conversation, *found.before)
    assert "does not serve any more" in totals.ended


@pytest.mark.slow  # the peer is started a dozen times
def test_a_leak_of_slots_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "AGAIN_CONGESTED", 0.3)
    leaking = family("connections", *[LOST, GOOD, SHORT] * 12)
    with broken("slot-at-reset") as (watched, port), player_of(port, Learned(answer_seconds=0.05)) as player:
        settings = replace(QUICK, conversations=400)
        run, _ = campaign(player, leaking, settings=settings, watched=watched, seen=(seen := Ending()))
        run.liveness.congested = 1.0
        seen.stop = run.stop
        totals = run.run()
    (found,) = totals.findings.values()
    assert found.violation.oracle == "slot-leak"
    assert {found.conversation, *found.before} == {LOST}
    assert found.replayed == (3, 3)


def test_an_interrupt_keeps_what_was_found() -> None:
    class Impatient(Seen):
        def played(self, conversation: Conversation, transcript: Transcript, *, new: bool) -> None:
            super().played(conversation, transcript, new=new)
            if len(self.names) == 30:
                raise KeyboardInterrupt

    with broken("wrong-message-id") as (_, port), player_of(port) as player:
        player.learned = probe(player)
        families = [FAMILIES["good"], FAMILIES["commands"]]
        run = Campaign(player, families, judge, Here(player, judge), replace(QUICK, conversations=500), Impatient())
        totals = run.run()
    assert totals.ended == "interrupted"
    assert totals.cases == 30
    assert totals.bits > 0


@pytest.mark.parametrize(
    ("bounds", "ended"),
    [
        ({"conversations": 7}, "7 conversations"),
        ({"seconds": 0.3}, "0.3 seconds"),
        ({"most_bytes": 5000}, "5000 bytes"),
    ],
)
def test_a_campaign_keeps_its_bounds(bounds: dict[str, float], ended: str) -> None:
    spending = Spending(bytes_most=int(bounds.get("most_bytes", 1 << 30)))
    with (
        serving("blocking", policy=POLICY) as server,
        Player(Peer(port=server.port), HASTY, spending=spending) as player,
    ):
        settings = replace(QUICK, **{"conversations": 0, **bounds})  # type: ignore[arg-type]
        run, _ = campaign(player, PLAIN, settings=settings)
        begun = time.monotonic()
        totals = run.run()
    assert totals.ended == ended
    assert time.monotonic() - begun < 30
    assert totals.sent <= 5000 or "most_bytes" not in bounds


def test_what_is_open_at_the_end_is_not_confirmed() -> None:
    """A doubt that there is no time for is reported all the same."""
    wrong = Violation(oracle="odd", severity=Severity.LOW, detail="always", clause="none")
    with serving("blocking", policy=POLICY) as server, player_of(server.port, HASTY) as player:
        settings = replace(QUICK, conversations=1)
        run, seen = campaign(player, PLAIN, judging=lambda *_: [wrong], settings=settings)
        run._settle_doubts = lambda until=None: None  # type: ignore[method-assign]
        totals = run.run()
    assert (totals.findings, seen.findings) == ({}, [])
    assert [one.replayed for one in totals.unconfirmed.values()] == [(0, 0)]


def test_the_rate_is_bounded() -> None:
    with serving("blocking", policy=POLICY) as server, player_of(server.port) as player:
        run, _ = campaign(player, PLAIN, settings=replace(QUICK, conversations=10, rate=20.0))
        begun = time.monotonic()
        run.run()
    assert time.monotonic() - begun >= 0.4


def test_a_doubtful_violation_is_not_counted() -> None:
    shown = iter([True])

    def once(one: Conversation, transcript: Transcript, learned: Learned) -> list[Violation]:
        if one.name == SHORT.name and next(shown, False):
            return [Violation(oracle="odd", severity=Severity.MEDIUM, detail="seen once", clause="none")]
        return []

    with serving("blocking", policy=POLICY) as server, player_of(server.port, HASTY) as player:
        run, seen = campaign(player, PLAIN, judging=once)
        totals = run.run()
    assert totals.findings == {}
    (doubtful,) = totals.unconfirmed.values()
    assert doubtful.replayed == (0, 3)
    assert seen.findings == []


def test_a_violation_of_each_run_is_counted() -> None:
    wrong = Violation(oracle="odd", severity=Severity.LOW, detail="always", clause="none")
    with serving("blocking", policy=POLICY) as server, player_of(server.port, HASTY) as player:
        run, _ = campaign(player, PLAIN, judging=lambda *_: [wrong])
        totals = run.run()
    assert totals.findings[signature(wrong)].count == totals.cases


def test_what_mostly_waits_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "LONG", 0.25)
    monkeypatch.setattr("dicos_fuzz.campaign.campaign.LONG", 0.25)
    monkeypatch.setattr("dicos_fuzz.campaign.campaign.FIRST_COSTLY", 0.0)
    stalled = conversation(
        "slow/stalled", Send(message=BEGIN[0].message[:9]), Pause(seconds=0.3), Await(kinds=(99,), seconds=0.1)
    )
    wrong = Violation(oracle="no-deadline", severity=Severity.HIGH, detail="waits", clause="none")

    def waits(one: Conversation, transcript: Transcript, learned: Learned) -> list[Violation]:
        return [wrong] if one.name == stalled.name else []

    assert length_of(stalled) == pytest.approx(0.4)
    with serving("blocking", policy=POLICY) as server, player_of(server.port, HASTY) as player:
        lane = Lane(Player(Peer(port=server.port), HASTY), waits)
        slow = family("slow", stalled, resource=True)
        settings = replace(QUICK, conversations=0)
        run = Campaign(player, [PLAIN, slow], waits, Here(player, waits), settings, seen := Ending(), lane=lane)
        seen.stop = run.stop
        totals = run.run()
        lane.close()
    assert totals.findings[signature(wrong)].replayed == (2, 2)
    assert totals.cases > 20


def test_what_mostly_waits_has_its_turn_while_much_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicos_fuzz.campaign.campaign.LONG", 0.25)
    monkeypatch.setattr("dicos_fuzz.campaign.campaign.FIRST_COSTLY", 0.0)
    stalled = conversation(Restless.name, Pause(seconds=1.0))
    with serving("blocking", policy=POLICY) as server, player_of(server.port, HASTY) as player:
        lane = Lane(Player(Peer(port=server.port), HASTY), judge)
        families = [PLAIN, family("slow", stalled, resource=True)]
        run = Campaign(
            player, families, judge, Here(player, judge), replace(QUICK, conversations=0), seen := Restless(), lane=lane
        )
        seen.run = run
        totals = run.run()
        lane.close()
    assert totals.ended == "played"


@pytest.mark.parametrize("name", ["long", "short"])
def test_costly_families_alone_have_all_of_the_time(name: str) -> None:
    """Too little time for a share of it, which they have beside others."""
    costly = [family("costly", GOOD, SHORT, ABORTED, resource=True)]
    seconds = {"long": 60.0, "short": 8.0}[name]
    with serving("blocking", policy=POLICY) as server, player_of(server.port, HASTY) as player:
        run, _ = campaign(player, *costly, settings=replace(QUICK, seconds=seconds, conversations=12))
        totals = run.run()
    assert totals.cases == 12
    assert totals.ended == "12 conversations"


def test_what_only_waits_is_played_beside_a_watched_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its resources are measured between other conversations, and there are none."""
    monkeypatch.setattr(lane_module, "LONG", 0.25)
    monkeypatch.setattr("dicos_fuzz.campaign.campaign.LONG", 0.25)
    slow = family(
        "slow", conversation("slow/waits", Send(message=BEGIN[0].message[:9]), Pause(seconds=0.3)), resource=True
    )
    with broken("wrong-message-id") as (watched, port), player_of(port, HASTY) as player:
        lane = Lane(Player(Peer(port=port), HASTY), judge)
        settings = replace(QUICK, conversations=3, seconds=60.0)
        run = Campaign(player, [slow], judge, Here(player, judge), settings, Seen(), watched=watched, lane=lane)
        totals = run.run()
        lane.close()
    assert totals.cases == 3


def test_a_wait_without_an_end_is_played_again_on_its_connection_alone() -> None:
    """Three connections that wait, and one of them shows it: the finding is that one."""

    def waits(one: Conversation, transcript: Transcript, learned: Learned) -> list[Violation]:
        return [wrong] if any(entry.connection == 1 for entry in transcript.entries) else []

    wrong = Violation(oracle="no-deadline", severity=Severity.HIGH, detail="waits", clause="none")
    begun = [step for number in range(3) for step in (Open(connection=number), Send(message=b"x", connection=number))]
    pauses = Pause(seconds=30), Send(message=b"y", connection=2), Pause(seconds=40)
    whole = Conversation(name="slow/three", about="three", steps=(*begun, *pauses, Await(kinds=(99,), connection=1)))
    transcript = Transcript([Entry(0.1, number, What.OPENED) for number in range(3)])
    played = Played(case=Case(7, whole, True), violations=(wrong,), observed=frozenset(), transcript=transcript, sent=3,
                    connections=3, seconds=70.0, suspicious=False)  # fmt: skip
    lane = Lane(Player(Peer(port=1), Learned()), waits)
    lane.doubt(wrong, played)
    case = lane.next()
    assert case is not None
    assert case.number == 7
    assert case.conversation.steps == (
        Open(connection=1), Send(message=b"x", connection=1), Pause(seconds=70), Await(kinds=(99,), connection=1)
    )  # fmt: skip
    assert case.conversation.about == "three: connection 1 of them"
    again = replace(played, case=case)
    assert lane.settle(again) == []
    assert [one.replayed for one in lane.settle(again)] == [(2, 2)]
    lane.close()


def test_a_cancelled_lane_gives_its_case_back() -> None:
    waiting = conversation("slow/waits", Pause(seconds=100))
    with serving("blocking", policy=POLICY) as server:
        lane = Lane(Player(Peer(port=server.port), Learned()), judge)
        case = Case(1, waiting, True)
        lane.put(case)
        assert lane.busy
        begun = time.monotonic()
        assert lane.cancel() == case
        assert time.monotonic() - begun < 5
        assert not lane.busy
        lane.close()


# -- several jobs ------------------------------------------------------------------------------------------------


def make_player(port: int, learned: Learned) -> Player:
    return Player(Peer(port=port), learned)


def test_jobs_share_the_work() -> None:
    with broken("wrong-message-id") as (_, port), player_of(port) as player:
        player.learned = replace(probe(player), answer_seconds=PATIENT)
        families = [FAMILIES["good"], FAMILIES["commands"]]
        with Workers(partial(make_player, port), player.learned, judge, 2) as pool:
            run = Campaign(player, families, judge, pool, QUICK, seen := Seen())
            totals = run.run()
    assert totals.cases >= 60
    assert len(seen.names) == totals.cases
    assert totals.sent > 10_000
    assert "response-to-nobody" in {one.violation.oracle for one in totals.findings.values()}


@pytest.mark.timeout(60)
def test_large_cases_and_large_results_do_not_wait_for_each_other() -> None:
    """Each is more than a pipe holds; the results are read only when all cases have been sent."""
    large = conversation("large/object", Send(message=bytes(1 << 20)))
    with serving("blocking", policy=POLICY) as server, Workers(
        partial(make_player, server.port), HASTY, judge, 1, whole=True
    ) as pool:  # fmt: skip
        for number in range(3):
            pool.put(Case(number, large), HASTY)
        played = pool.results(all_of_them=True)
    assert [one.case.number for one in played] == [0, 1, 2]


def no_player(learned: Learned) -> Player:
    raise LocalTrouble("no ports left")


def test_trouble_of_a_worker_ends_a_campaign_with_its_cause() -> None:
    resource_tracker.ensure_running()  # it keeps a pipe
    with (
        serving("blocking", policy=POLICY) as server,
        player_of(server.port) as player,
        Workers(no_player, player.learned, judge, 1) as pool,
    ):
        totals = Campaign(player, [PLAIN], judge, pool, QUICK, Seen()).run()
    assert totals.ended == "this host: no ports left"


def test_a_transcript_that_is_kept_is_bounded() -> None:
    entries = [
        Entry(0.0, 0, What.SENT, bytes(60)),
        Entry(0.1, 0, What.RECEIVED, bytes(60), "x"),
        Entry(0.2, 0, What.ENDED),
    ]
    kept = trimmed(Transcript(entries), 100)
    assert [len(one.data) for one in kept.entries] == [60, 40, 0]
    assert [one.note for one in kept.entries] == ["", "x, 20 bytes not kept", ""]
    assert trimmed(Transcript(entries)) == Transcript(entries)


def test_a_peer_that_does_not_serve_before_anything_faulty_was_sent_is_no_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness, "REFUSING", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with player_of(port) as player:
        run, seen = campaign(player, PLAIN)
        totals = run.run()
    assert seen.findings == []
    assert "refuses connections" in run.not_ready
    assert totals.ended == run.not_ready


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_worker_that_still_starts_is_not_interrupted() -> None:
    resource_tracker.ensure_running()
    before = {one.pid for one in multiprocessing.active_children()}
    with serving("blocking", policy=POLICY) as server, Workers(partial(make_player, server.port), HASTY, judge, 1):
        (pid,) = {one.pid for one in multiprocessing.active_children()} - before
        status = Path(f"/proc/{pid}/status").read_text()
    blocked = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigBlk"))
    assert blocked >> signal.SIGINT - 1 & 1
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def killed(learned: Learned) -> Player:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_worker_that_is_killed_ends_a_campaign_with_its_cause() -> None:
    resource_tracker.ensure_running()
    with (
        serving("blocking", policy=POLICY) as server,
        player_of(server.port) as player,
        Workers(killed, player.learned, judge, 1) as pool,
    ):
        totals = Campaign(player, [PLAIN], judge, pool, QUICK, Seen()).run()
    assert totals.ended == "this host: a process of this program has ended, exit status -9"


def test_a_peer_that_stops_serving_near_the_end_is_a_finding() -> None:
    """Also if nothing can start it again, and the time is over before a hang is certain."""
    with broken("wrong-message-id") as (watched, port), player_of(port, HASTY) as player:
        assert watched.pid is not None
        stopped: list[int] = []

        class Stopping(Seen):
            def played(self, conversation: Conversation, transcript: Transcript, *, new: bool) -> None:
                if not stopped and time.monotonic() - begun > 4:
                    assert watched.pid is not None
                    os.kill(watched.pid, signal.SIGSTOP)
                    stopped.append(watched.pid)

        settings = replace(QUICK, conversations=0, seconds=5.0)
        run = Campaign(player, [PLAIN], judge, Here(player, judge), settings, Stopping())
        begun = time.monotonic()
        try:
            totals = run.run()
        finally:
            for one in stopped:
                os.kill(one, signal.SIGCONT)
    assert stopped
    assert [one.violation.oracle for one in totals.findings.values()] == ["hang"], (totals, run.not_ready)
    assert time.monotonic() - begun < settings.seconds + settings.overtime


def test_nothing_is_kept_waiting_beside_a_peer_that_serves_nobody_else_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would keep the whole campaign waiting."""
    monkeypatch.setattr("dicos_fuzz.campaign.campaign.LONG", 0.25)
    monkeypatch.setattr("dicos_fuzz.campaign.campaign.FIRST_COSTLY", 0.0)
    stalled = conversation("slow/stalled", Send(message=BEGIN[0].message[:9]), Pause(seconds=0.3))
    starved = Violation(oracle="starved", severity=Severity.HIGH, detail="one at a time", clause="none")
    found = Finding(violation=starved, conversation=GOOD, transcript=Transcript(), replayed=(3, 3))
    with serving("blocking", policy=POLICY) as server, player_of(server.port, HASTY) as player:
        lane = Lane(Player(Peer(port=server.port), HASTY), judge)
        monkeypatch.setattr(lane, "put", lambda case: pytest.fail("the lane is used"))
        families = [PLAIN, family("slow", stalled, resource=True)]
        totals = Totals(findings={signature(starved): found})
        settings = replace(QUICK, conversations=40)
        run = Campaign(player, families, judge, Here(player, judge), settings, Seen(), lane=lane, totals=totals)
        totals = run.run()
        lane.close()
    assert totals.families["slow"] >= 1

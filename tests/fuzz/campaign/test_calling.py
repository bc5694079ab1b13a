"""A user that is started for each call: how it ended is known, and none is left."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from dicos_fuzz.campaign import calling
from dicos_fuzz.campaign.calling import Caller
from dicos_fuzz.campaign.campaign import Campaign
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.player import Peer, Player
from dicos_fuzz.campaign.pool import Here
from dicos_fuzz.campaign.probe import NoAssociation
from dicos_fuzz.campaign.probe_caller import probe_caller
from dicos_fuzz.campaign.settings import Settings
from dicos_fuzz.campaign.watching import CannotStart
from dicos_fuzz.conversation import Answer, Await, Conversation, Open, Side
from dicos_fuzz.tree import Action, Edit
from dicos_proto.registry import uids
from tests.fuzz.campaign.tiny import Seen, family

ECHOSCU = [sys.executable, "-m", "dicos_transports.cli", "echoscu", "127.0.0.1", "{port}", "-aet", "CALLER"]
CRASHES = """
import os, socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    sock.sendall(bytes.fromhex(sys.argv[2]))
    if sock.recv(100)[:1] == b"\\x03":
        os.kill(os.getpid(), 11)
    sock.sendall(bytes.fromhex("05000000000400000000"))
    sock.recv(100)
"""


def python(text: str, *words: str) -> list[str]:
    return [sys.executable, "-c", text, *words]


def called(*command: str) -> Caller:
    caller = Caller(command)
    caller.call()
    return caller


def test_an_end_with_any_status_is_no_crash() -> None:
    with called(*python("raise SystemExit(3)")) as caller:
        assert caller.crashed() is None
        assert not caller.hung()


def test_a_signal_is_a_crash_that_is_told_once() -> None:
    with called(*python("import os; os.kill(os.getpid(), 11)")) as caller:
        assert caller.crashed() == "signal SIGSEGV"
        assert caller.crashed() is None


def test_a_user_that_does_not_end_hangs_and_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(calling, "HANGING", 0.3)
    sign = tmp_path / "ended"
    text = (
        f"import signal, time, sys\nsignal.signal(signal.SIGTERM, lambda *_: (open({str(sign)!r}, 'w'), sys.exit()))\n"
    )
    with called(*python(text + "print('up', flush=True)\ntime.sleep(60)")) as caller:
        begun = time.monotonic()
        assert caller.crashed() is None
        assert caller.hung()
        assert time.monotonic() - begun < 20
        assert not caller.hung()


def test_its_output_is_read() -> None:
    with called(*python("print('hello'); 1 / 0")) as caller:
        caller.end()
        assert "hello" in caller.tail()
        assert [one.kind for one in caller.complaints()] == ["traceback"]


def test_a_command_that_cannot_run_is_refused() -> None:
    with pytest.raises(CannotStart):
        Caller(["/no-such-program"]).call()


def test_a_user_is_learned_and_fuzzed() -> None:
    with Caller(ECHOSCU) as caller, Player(Peer(listen=("127.0.0.1", 0)), Learned()) as player:
        caller.port, player.trigger = player.port, caller.call
        learned = player.learned = probe_caller(player)
        assert (learned.calling, learned.called) == ("CALLER", "ANY-SCP")
        assert learned.services == {"C-ECHO"}
        assert [one.abstract_syntax for one in learned.accepted] == [uids.VERIFICATION]
        steps = Open(), Answer(), Answer(), Answer(), Await()
        good = Conversation(name="answers/good", steps=steps, side=Side.PROVIDER)
        settings = Settings(seconds=60, conversations=3, smaller=0.0, echo_every=2, echo_seconds=60.0)
        run = Campaign(player, [family("answers", good)], judge, Here(player, judge), settings, Seen(), caller=caller)
        run.liveness.served = 0
        totals = run.run()
    assert totals.findings == {}
    assert totals.cases == 3
    assert caller.calls >= 4


def test_a_user_that_crashes_is_found() -> None:
    from dicos_fuzz.campaign import campaign as module
    from tests.fuzz.campaign.tiny import RQ

    command = python(CRASHES, "{port}", RQ.hex())
    wrong = Edit("A-ASSOCIATE-AC/type", Action.SET, b"\x03")
    good = Conversation(name="answers/good", steps=(Open(), Answer(), Answer(), Await()), side=Side.PROVIDER)
    bad = Conversation(name="answers/bad", steps=(Open(), Answer(edits=(wrong,)), Await()), side=Side.PROVIDER)
    assert module.WARMING > 0
    with Caller(command) as caller, Player(Peer(listen=("127.0.0.1", 0)), Learned(answer_seconds=0.2)) as player:
        caller.port, player.trigger = player.port, caller.call
        settings = Settings(seconds=60, conversations=4, smaller=0.0, echo_every=50, echo_seconds=60.0)
        run = Campaign(
            player, [family("answers", good, bad)], judge, Here(player, judge), settings, Seen(), caller=caller
        )
        totals = run.run()
    crash = next(one for one in totals.findings.values() if one.violation.oracle == "crash")
    assert crash.violation.reaction == "signal SIGSEGV"
    assert crash.conversation == bad
    assert crash.replayed[0] > 0


def test_a_peer_that_does_not_call_is_a_line() -> None:
    from dicos_fuzz.campaign.player import Bounds

    bounds = Bounds(called=0.05)
    with (
        Player(Peer(listen=("127.0.0.1", 0)), Learned(), bounds=bounds) as player,
        pytest.raises(NoAssociation, match="did not call"),
    ):
        probe_caller(player)


def test_a_caller_that_speaks_something_else_is_a_line() -> None:
    text = "import socket, sys\nsock = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
    text += "sock.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); sock.recv(10)"
    with Caller(python(text, "{port}")) as caller, Player(Peer(listen=("127.0.0.1", 0)), Learned()) as player:
        caller.port, player.trigger = player.port, caller.call
        with pytest.raises(NoAssociation, match="HTTP"):
            probe_caller(player)

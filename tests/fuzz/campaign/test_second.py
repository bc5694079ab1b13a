"""The reactions of two peers are compared without what only timers decide, and a difference has to come back."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.player import Peer, Player
from dicos_fuzz.campaign.second import TRIES, Second, _words
from dicos_fuzz.campaign.settings import Totals
from dicos_fuzz.conversation import Await, Conversation, Open, Send
from tests.fuzz.campaign.peers import raw_peer, receive_pdu

PDU = bytes.fromhex("05000000000400000000")
ABORT = bytes.fromhex("07000000000400000205")
ASKING = Conversation(name="states/asked", about="asked", steps=(Open(), Send(message=PDU), Await()))
Handle = Callable[[socket.socket], None]


def answering(seconds: float = 0.0) -> Handle:
    def handle(sock: socket.socket) -> None:
        receive_pdu(sock)
        time.sleep(seconds)  # a slow peer
        sock.sendall(ABORT)

    return handle


def closing(sock: socket.socket) -> None:
    receive_pdu(sock)


def compared(first: list[Handle], second: list[Handle], *, times: int = 1) -> Totals:
    """The totals after one conversation was compared so often."""
    totals = Totals()
    learned = Learned(answer_seconds=0.5)
    with (
        raw_peer(*first) as one,
        raw_peer(*second) as other,
        Player(Peer(port=one), learned) as player,
        Player(Peer(port=other), learned) as against,
    ):
        compare = Second(player, against, totals)
        for _ in range(times):
            compare(ASKING, player.play(ASKING))
    return totals


def test_a_difference_that_comes_back_is_kept_and_counted() -> None:
    (found,) = compared([answering()], [closing], times=3).differences.values()
    assert (found.family, found.about, found.first, found.second) == ("states", "asked", "A-ABORT 2/5", "ended")
    assert found.count == 3


def test_a_difference_that_does_not_come_back_is_none() -> None:
    assert compared([closing, answering()], [answering()]).differences == {}


def test_a_peer_that_is_only_slower_is_not_different() -> None:
    assert compared([answering()], [answering(0.7)]).differences == {}


def test_a_difference_that_never_comes_back_is_not_played_again_for_ever() -> None:
    first = [*([closing, answering()] * TRIES), closing]
    assert compared(first, [answering()], times=TRIES + 1).differences == {}


@pytest.mark.parametrize(
    ("reaction", "compared"),
    [
        ("", "nothing"),
        ("quiet", "quiet"),
        ("A-ABORT 2/6, ended", "A-ABORT 2/6"),
        ("A-ASSOCIATE-RJ 1/2/1, reset", "A-ASSOCIATE-RJ 1/2/1"),
        ("A-ASSOCIATE-AC [0], A-RELEASE-RP, quiet", "A-ASSOCIATE-AC [0], A-RELEASE-RP"),
        ("A-ASSOCIATE-AC [0, 0], A-ABORT 0/0, quiet, reset", "A-ASSOCIATE-AC [0, 0], A-ABORT 0/0"),
    ],
)
def test_the_end_behind_a_last_pdu_does_not_count(reaction: str, compared: str) -> None:
    assert _words(reaction) == compared


@pytest.mark.parametrize("end", ["ended", "reset", "quiet"])
@pytest.mark.parametrize("results", ["[0]", "[0, 0]"])
def test_the_end_of_an_open_association_counts(results: str, end: str) -> None:
    assert _words(f"A-ASSOCIATE-AC {results}, {end}") == f"A-ASSOCIATE-AC {results}, {end}"

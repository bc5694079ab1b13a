"""The states of a peer, concluded from what it received and sent by table 9-10."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given

from dicos_fuzz.conversation import Entry, Side, Transcript, What
from dicos_fuzz.reports.visiting import MOST_MOVES, POSSIBLE, moves
from dicos_proto.upper_layer.machine import State
from tests.fuzz import values
from tests.fuzz.reports.examples import ABORT, AC, ANSWERS, ASKS, ECHO, RJ, RQ, R, S, run


def states(transcript: Transcript, side: Side = Side.USER) -> str:
    found = moves(transcript, side)
    for (_, after), (before, _) in pairwise(found):
        assert after == before
    return " ".join([found[0][0], *(after for _, after in found)]).replace("Sta", "") if found else ""


@pytest.mark.parametrize(
    ("transcript", "side", "path"),
    [
        (run(), Side.USER, "1 2 1"),
        (run((S, RQ), (R, AC), (S, ECHO), (R, ECHO), (S, ASKS), (R, ANSWERS)), Side.USER, "1 2 3 6 6 6 8 13 1"),
        (run((S, RQ), (R, RJ)), Side.USER, "1 2 3 13 1"),
        (run((S, RQ), (R, ABORT)), Side.USER, "1 2 3 13 1"),
        (run((S, ECHO), (R, ABORT)), Side.USER, "1 2 13 13 1"),
        (run((S, b"GET / HTTP/1.0\r\n\r\n")), Side.USER, "1 2 13 1"),
        (run((S, RQ), (R, AC), (S, ABORT)), Side.USER, "1 2 3 6 1"),
        (run((S, RQ), (R, AC), (R, ASKS), (S, ASKS), (S, ANSWERS), (R, ANSWERS)), Side.USER, "1 2 3 6 7 10 12 13 1"),
        (run((S, RQ), (R, AC), (S, RQ), (R, AC)), Side.USER, "1 2 3 6 13 6 1"),  # a peer with a fault
        (run((R, RQ), (S, AC), (R, ECHO), (R, ASKS), (S, ANSWERS)), Side.PROVIDER, "1 4 5 6 6 7 1"),
        (run((R, RQ), (S, RJ)), Side.PROVIDER, "1 4 5 1"),
        (run((R, RQ), (S, AC), (R, ASKS), (S, ASKS), (R, ANSWERS), (S, ANSWERS)), Side.PROVIDER, "1 4 5 6 7 9 11 1"),
    ],
)
def test_the_way_of_a_peer_through_the_table(transcript: Transcript, side: Side, path: str) -> None:
    assert states(transcript, side) == path


def test_a_pdu_counts_at_its_header_however_it_is_cut() -> None:
    pieces = [(S, RQ[at : at + 1]) for at in range(len(RQ))]
    assert states(run(*pieces, (R, AC))) == "1 2 3 6 1"
    assert states(run((S, RQ[:5]))) == "1 2 1"
    assert states(run((S, RQ[:6]))) == "1 2 3 1"


def test_connections_are_followed_each_by_itself_and_a_number_may_come_again() -> None:
    entries = [Entry(0, 0, What.OPENED), Entry(0, 1, What.OPENED), Entry(0, 0, S, RQ), Entry(0, 1, S, ECHO)]
    entries += [Entry(0, 0, What.CLOSED), Entry(0, -1, What.CHECKED), Entry(0, 0, What.OPENED)]
    assert moves(Transcript(entries)) == [
        ("Sta1", "Sta2"), ("Sta1", "Sta2"), ("Sta2", "Sta3"), ("Sta2", "Sta13"), ("Sta3", "Sta1"), ("Sta1", "Sta2"),
    ]  # fmt: skip


def test_the_table_has_38_transitions() -> None:
    assert len(POSSIBLE) == 38
    assert {name for pair in POSSIBLE for name in pair} == {state.name for state in State}


@given(values.transcripts)
def test_any_transcript_has_moves_between_the_thirteen_states(transcript: Transcript) -> None:
    for side in Side:
        for pair in moves(transcript, side):
            assert set(pair) <= {state.name for state in State}


def test_an_endless_run_has_a_bounded_number_of_moves() -> None:
    assert len(moves(run((S, RQ), (R, AC), (S, ECHO * 20_000)))) == MOST_MOVES

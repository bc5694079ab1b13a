"""The peer's conduct: everything that the table of PS3.8 9.2 allows at any pace, and nothing else."""

from __future__ import annotations

import pytest

from dicos_fuzz.campaign.scenarios.scripts import pdu
from dicos_fuzz.conversation import Side
from dicos_fuzz.finding import Severity
from tests.fuzz.campaign.transcripts import (
    ABORT,
    ASSOCIATED,
    REJECT,
    RELEASE,
    RELEASE_RP,
    RQ,
    TALK,
    USER_ABORT,
    Line,
    ac,
    echoed,
    got,
    judged,
    oracles,
    sent,
)

UNKNOWN = pdu(8, bytes(4))
ASK = TALK.ask()

# fmt: off
RIGHT: list[tuple[str, tuple[Line, ...]]] = [
    ("nothing", ()),
    ("rejected", (sent(RQ), got(REJECT), "ended")),
    ("aborted in place of an answer", (sent(RQ), got(ABORT))),
    ("released", (*ASSOCIATED, sent(RELEASE), got(RELEASE_RP))),
    ("data before the release is confirmed", (*ASSOCIATED, sent(ASK + RELEASE), got(echoed()), got(RELEASE_RP))),
    ("released by the peer", (*ASSOCIATED, got(RELEASE), sent(RELEASE_RP), "ended")),
    ("collision", (*ASSOCIATED, got(RELEASE), sent(RELEASE), sent(RELEASE_RP), got(RELEASE_RP), "ended")),
    ("aborted by its user at any time", (*ASSOCIATED, got(USER_ABORT))),
    ("invalid PDU before the request", (sent(UNKNOWN), got(ABORT))),
    ("one A-ABORT for each invalid PDU", (sent(UNKNOWN), got(ABORT), sent(UNKNOWN), got(ABORT))),
    ("one A-ABORT for each request after the end", (sent(RQ), got(REJECT), sent(RQ), got(ABORT))),
    ("request read late", (sent(RQ + ASK), got(ac()), got(echoed()))),
    ("request read too early", (sent(RQ + ASK), got(ABORT))),
    ("answer on its way while this side aborts", (*ASSOCIATED, sent(ASK), sent(USER_ABORT), got(echoed()), "ended")),
    ("a damaged release taken for a good one", (*ASSOCIATED, sent(pdu(5, bytes(9))), got(RELEASE_RP))),
    ("a damaged release taken for an invalid PDU", (*ASSOCIATED, sent(pdu(5, bytes(9))), got(ABORT))),
    ("an abort at a cut PDU", (sent(RQ[:40]), "half-closed", got(ABORT), "ended")),
]
WRONG: list[tuple[str, str, str, tuple[Line, ...]]] = [
    ("unexpected-pdu", "Sta2", "A-ASSOCIATE-AC", (got(ac()),)),
    ("unexpected-pdu", "Sta2", "A-ABORT", (got(ABORT),)),
    ("unexpected-pdu", "Sta13", "A-ASSOCIATE-RJ", (sent(UNKNOWN), got(REJECT))),
    ("unexpected-pdu", "Sta10", "A-RELEASE-RP", (*ASSOCIATED, got(RELEASE), sent(RELEASE), got(RELEASE_RP))),
    ("unexpected-pdu", "Sta6", "A-ASSOCIATE-AC", (sent(RQ), got(ac()), got(ac()))),
    ("unexpected-pdu", "Sta6", "A-ASSOCIATE-RJ", (sent(RQ), got(ac()), got(REJECT))),
    ("unexpected-pdu", "Sta6", "A-RELEASE-RP", (*ASSOCIATED, got(RELEASE_RP))),
    ("unexpected-pdu", "Sta13", "A-RELEASE-RP", (*ASSOCIATED, sent(RELEASE), got(RELEASE_RP), got(RELEASE_RP))),
    ("unexpected-pdu", "Sta13", "P-DATA-TF", (*ASSOCIATED, sent(ASK + RELEASE), got(RELEASE_RP), got(echoed()))),
    ("unexpected-pdu", "Sta13", "P-DATA-TF", (*ASSOCIATED, sent(ASK), got(ABORT), got(echoed()))),
    ("unexpected-pdu", "Sta13", "A-ASSOCIATE-AC", (sent(RQ), got(REJECT), sent(RQ), got(ac()))),
    ("unexpected-pdu", "Sta6", "A-ASSOCIATE-RQ", (*ASSOCIATED, got(RQ))),
    ("extra-aborts", "Sta13", "another A-ABORT", (sent(UNKNOWN), got(ABORT), got(ABORT))),
    ("extra-aborts", "Sta13", "several A-ABORTs", (sent(UNKNOWN), got(ABORT), got(ABORT * 3))),
    ("unknown-pdu", "Sta6", "unknown PDU", (*ASSOCIATED, got(b"HTTP/1.1 400 Bad Request\r\n\r\n"))),
]
CALLS_RIGHT: list[tuple[str, tuple[Line, ...]]] = [
    ("served", (got(RQ), sent(ac()), got(ASK), sent(echoed()), got(RELEASE), sent(RELEASE_RP), "ended")),
    ("rejected", (got(RQ), sent(REJECT), "ended")),
    ("aborts while it waits", (got(RQ), got(USER_ABORT))),
    ("collision", (got(RQ), sent(ac()), got(RELEASE), sent(RELEASE), got(RELEASE_RP), sent(RELEASE_RP), "ended")),
]
CALLS_WRONG: list[tuple[str, str, str, tuple[Line, ...]]] = [
    ("unexpected-pdu", "Sta4", "P-DATA-TF", (got(ASK),)),
    ("unexpected-pdu", "Sta5", "P-DATA-TF", (got(RQ), got(ASK))),
    ("unexpected-pdu", "Sta5", "A-ASSOCIATE-RQ", (got(RQ), got(RQ))),
    ("unexpected-pdu", "Sta5", "A-RELEASE-RQ", (got(RQ), got(RELEASE))),
    ("unexpected-pdu", "Sta7", "P-DATA-TF", (got(RQ), sent(ac()), got(RELEASE), got(ASK))),
]
# fmt: on


@pytest.mark.parametrize("lines", [one for _, one in RIGHT], ids=[name for name, _ in RIGHT])
def test_what_the_table_allows_is_no_violation(lines: tuple[Line, ...]) -> None:
    assert judged(*lines) == []


@pytest.mark.parametrize(("oracle", "state", "reaction", "lines"), WRONG)
def test_a_pdu_that_may_not_come_is_named_with_its_state(
    oracle: str, state: str, reaction: str, lines: tuple[Line, ...]
) -> None:
    (found,) = [one for one in judged(*lines) if one.oracle not in ("response-to-nobody", "misplaced-data")]
    assert (found.oracle, found.state, found.reaction) == (oracle, state, reaction)
    assert found.clause.startswith("PS3.8")


@pytest.mark.parametrize("lines", [one for _, one in CALLS_RIGHT], ids=[name for name, _ in CALLS_RIGHT])
def test_the_same_holds_for_a_peer_that_calls(lines: tuple[Line, ...]) -> None:
    assert judged(*lines, side=Side.PROVIDER) == []


@pytest.mark.parametrize(("oracle", "state", "reaction", "lines"), CALLS_WRONG)
def test_a_peer_that_calls_may_not_send_everything(
    oracle: str, state: str, reaction: str, lines: tuple[Line, ...]
) -> None:
    (found,) = judged(*lines, side=Side.PROVIDER)
    assert (found.oracle, found.state, found.reaction) == (oracle, state, reaction)


def test_many_a_aborts_are_worse_than_one() -> None:
    (one,) = judged(sent(UNKNOWN), got(ABORT * 2))
    (many,) = judged(sent(UNKNOWN), got(ABORT * 12))
    assert (one.severity, many.severity) == (Severity.LOW, Severity.MEDIUM)
    assert many.detail.startswith("the peer sent 11 A-ABORTs beyond")


def test_the_same_wrong_pdu_twice_is_one_violation() -> None:
    assert oracles(judged(*ASSOCIATED, got(RELEASE_RP * 2))) == ["unexpected-pdu", "unexpected-pdu"]  # Sta6, then Sta13
    assert oracles(judged(*ASSOCIATED, got(RELEASE_RP * 5))) == ["unexpected-pdu", "unexpected-pdu"]


def test_thousands_of_pdus_are_judged_in_a_moment() -> None:
    """One guess for each of our PDUs would make this take minutes."""
    assert judged(*ASSOCIATED, sent(ASK * 2_000), got(USER_ABORT), sent(RQ * 2_000), got(ABORT * 2_000)) == []

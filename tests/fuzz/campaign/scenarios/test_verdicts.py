"""Verdicts on changed bytes: refused what no tolerance accepts, answered what one does, ended what is not complete."""

from __future__ import annotations

import pytest

from dicos_fuzz.campaign.engines import LEARNED
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.scenarios.scripts import ABORT, RELEASE, RELEASE_RP, Talk, pdu
from dicos_fuzz.campaign.scenarios.verdicts import of_associate, of_messages
from dicos_fuzz.grammar.building import p_data
from dicos_fuzz.grammar.reading import read_stream
from dicos_fuzz.tree import Action, Edit, apply, encode

TALK = Talk.of(LEARNED)
RQ, ASK = TALK.rq, TALK.ask()
COMMAND, OBJECT = TALK.parts(1, "verdict")[1:]
STORE = p_data((3, True, True, COMMAND))
USER = "A-ASSOCIATE-RQ/user information"


def edited(path: str, action: Action, value: bytes | int | None = None, wire: bytes = RQ) -> bytes:
    return encode(apply(read_stream(wire), (Edit(path, action, value),)))


@pytest.mark.parametrize(
    ("wire", "expect"),
    [
        (RQ, "answered"),
        (RQ[:-1], "closes"),
        (RQ[:4], "closes"),
        (RQ + b"\x99", "answered"),
        (ASK, "refused"),
        (pdu(0x47, b"ET / HTTP"), "refused"),
        (pdu(1, RQ[6:], length=0xFFFFFFFF), "refused-at-header"),
        (pdu(1, RQ[6:], length=len(RQ)), "closes"),
        (pdu(1, RQ[6:40]), "refused"),
        (edited("A-ASSOCIATE-RQ/presentation context/id", Action.SET, b"\2"), "refused"),
        (edited("A-ASSOCIATE-RQ/presentation context", Action.REPEAT), "refused"),
        (edited("A-ASSOCIATE-RQ/application context", Action.DELETE), "refused"),
        (edited("A-ASSOCIATE-RQ/application context/UID", Action.SET, b"1.2.3"), "refused"),
        (edited("A-ASSOCIATE-RQ/application context", Action.REPEAT), "should-refuse"),
        (edited("A-ASSOCIATE-RQ/protocol version", Action.SET, b"\0\2"), "refused"),
        (edited("A-ASSOCIATE-RQ/protocol version", Action.SET, b"\0\3"), "answered"),
        (edited("A-ASSOCIATE-RQ/called title", Action.SET, b" " * 16), "answered"),
        (edited(f"{USER}/maximum length/length", Action.LENGTH, 3), "should-refuse"),
        (edited(f"{USER}/length", Action.LENGTH, 3), "refused"),
        (edited(f"{USER}/maximum length/number", Action.SET, b"\0\0"), "should-refuse"),
        (edited(f"{USER}/implementation class", Action.DELETE), "answered"),
        (edited(f"{USER}/implementation class", Action.INSERT, b"\x53\0\0\1\1"), "answered"),
    ],
)
def test_requests_for_an_association(wire: bytes, expect: str) -> None:
    assert of_associate(wire).expect == expect


ECHO_WITH_DATA = edited("P-DATA-TF/PDV/C-ECHO-RQ/(0000,0800)/value", Action.SET, b"\0\0", ASK)


@pytest.mark.parametrize(
    ("wire", "expect"),
    [
        (ASK, "answered"),
        (STORE, "closes"),
        (STORE + p_data((3, False, True, OBJECT)), "answered"),
        (STORE + p_data((3, False, False, OBJECT)), "closes"),
        (STORE + STORE, "refused"),
        (STORE + ASK, "refused"),
        (p_data((3, False, True, OBJECT)), "refused"),
        (p_data((77, True, True, COMMAND)), "refused"),
        (p_data((1, True, False, COMMAND)), "closes"),
        (p_data((1, True, False, COMMAND)) + STORE, "refused"),
        (ECHO_WITH_DATA, "closes"),
        (TALK.cancel(1), "closes"),
        (ASK[:-3], "closes"),
        (pdu(4), "refused"),
        (pdu(4, ASK[6:], length=1 << 30), "refused-at-header"),
        (pdu(9, b"abcd"), "refused"),
        (pdu(9, b"ab", length=9), "closes"),
        (RQ, "refused"),
        (RELEASE, "answered"),
        (ABORT, "answered"),
        (pdu(7), "answered"),
        (pdu(5, b"x"), "refused"),
        (RELEASE_RP, "refused"),
        (edited("P-DATA-TF/PDV/C-ECHO-RQ/(0000,0000)", Action.DELETE, wire=ASK), "answered"),
        (edited("P-DATA-TF/PDV/C-ECHO-RQ/(0000,0110)", Action.REPEAT, wire=ASK), "refused"),
        (edited("P-DATA-TF/PDV/C-ECHO-RQ/(0000,0110)", Action.DELETE, wire=ASK), "refused"),
        (edited("P-DATA-TF/PDV/C-ECHO-RQ/(0000,0002)/value", Action.SET, b"..", ASK), "should-refuse"),
        (edited("P-DATA-TF/PDV/C-ECHO-RQ/(0000,0100)/value", Action.SET, b"\x30\x80", ASK), "refused"),
    ],
)
def test_messages(wire: bytes, expect: str) -> None:
    assert of_messages(wire, RQ, LEARNED).expect == expect


def test_after_a_valid_request_the_refusal_is_awaited_behind_its_answer() -> None:
    both = of_messages(ASK + pdu(4), RQ, LEARNED)
    assert both.expect == "refused"
    assert both.tail[0].kinds == (3, 7)  # type: ignore[union-attr]


def test_a_peer_without_a_maximum_length_may_wait_for_any() -> None:
    unlimited = Learned(max_length=0)
    assert of_messages(pdu(4, ASK[6:], length=1 << 30), RQ, unlimited).expect == "closes"

"""Both sides' states from outside: what the table allows in some order of events is not marked, the rest is."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.trace.states import MOST_WAITING, States
from dicos_proto import Abort, AssociateReject, LocalProtocolError, ReleaseRequest, ReleaseResponse, UpperLayer, encode
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu_types import PData, PduType, Pdv
from tests.pair import POLICY, REQUEST
from tests.upper_layer.layouts import split

P = PduType
KINDS = {
    "rq": P.ASSOCIATE_RQ, "ac": P.ASSOCIATE_AC, "rj": P.ASSOCIATE_RJ, "d": P.P_DATA_TF, "lq": P.RELEASE_RQ,
    "lp": P.RELEASE_RP, "ab": P.ABORT,
}  # fmt: skip


def run(words: str, *, begun: bool = True) -> tuple[list[str], str, str]:
    """`>rq` is an A-ASSOCIATE-RQ of the requestor, `<ac` an answer, `!>` nonsense. Returns what is wrong, and both
    states."""
    states, wrong = States(begun=begun), []
    for word in words.split():
        if word[0] == "!":
            states.say_nonsense(by_requestor=word[1] == ">")
        else:
            wrong.append(states.say(KINDS[word[1:]], by_requestor=word[0] == ">"))
    return (
        [one for one in wrong if one],
        states.state(by_requestor=True).name,
        states.state(by_requestor=False).name,
    )


@pytest.mark.parametrize(
    ("words", "requestor", "acceptor"),
    [
        (">rq <ac >d <d >d >d <d >lq <lp", "Sta1", "Sta13"),
        (">rq <rj", "Sta1", "Sta13"),
        (">rq <ac >ab", "Sta13", "Sta1"),
        (">rq <ac <lq >lp", "Sta13", "Sta1"),
        (">rq <ab", "Sta1", "Sta13"),
        (">rq >ab", "Sta13", "Sta1"),
        (">rq <ac >lq <d <d <lp", "Sta1", "Sta13"),  # the acceptor may finish what it was doing
    ],
)
def test_a_conversation_in_order(words: str, requestor: str, acceptor: str) -> None:
    assert run(words) == ([], requestor, acceptor)


@pytest.mark.parametrize(
    "words",
    [
        ">rq <ac >ab <d <d <lq",  # what was on its way when the requestor aborted
        ">rq >ab <ac <d",
        ">rq <ac >lq <lq >lp <lp",  # release collision
        ">rq <ac <lq >lq >lp <lp",
        ">rq <ac >lq <ab",
        ">rq <ac >ab <ab",  # both abort at once
        ">rq <ac >d <lq >d >lp",
    ],
)
def test_pdus_that_cross_are_not_marked(words: str) -> None:
    assert run(words)[0] == []


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (">d", "P-DATA-TF sent in Sta1"),
        ("<ac", "A-ASSOCIATE-AC sent in Sta2"),
        ("<ab", "A-ABORT sent in Sta2"),
        (">rq >d", "P-DATA-TF sent in Sta5"),
        (">rq >rq", "A-ASSOCIATE-RQ sent in Sta5"),
        (">rq <d", "P-DATA-TF sent in Sta3"),
        (">rq <ac >rq", "A-ASSOCIATE-RQ sent in Sta6"),
        (">rq <ac <ac", "A-ASSOCIATE-AC sent in Sta6"),
        (">rq <ac <rj", "A-ASSOCIATE-RJ sent in Sta6"),
        (">rq <ac <lp", "A-RELEASE-RP sent in Sta6"),
        (">rq <ac >lq >d", "P-DATA-TF sent in Sta7"),
        (">rq <ac >lq >lq", "A-RELEASE-RQ sent in Sta7"),
        (">rq <ac >lq <lp <d", "P-DATA-TF sent in Sta13"),
        (">rq <ac >lq <lp >d", "P-DATA-TF sent in Sta1"),
        (">rq <ac >ab >d", "P-DATA-TF sent in Sta13"),
        (">rq <ac >ab >ab", "A-ABORT sent in Sta13"),
        (">rq <rj <ac", "A-ASSOCIATE-AC sent in Sta13"),
        (">rq <ac >lq <lq <lp", "A-RELEASE-RP sent in Sta10"),
    ],
)
def test_what_the_table_forbids_in_any_order_is_marked(words: str, wrong: str) -> None:
    assert run(words)[0] == [wrong]


@pytest.mark.parametrize(
    "words", [">d <ab", ">rq <ac >rq <ab", ">rq <d >ab", "!> <ab", ">rq !< >ab", ">rq <ac >lq !< >ab"]
)
def test_who_receives_what_is_forbidden_may_abort(words: str) -> None:
    assert [one for one in run(words)[0] if "A-ABORT" in one] == []


def test_who_receives_it_may_ignore_it_too() -> None:
    assert run(">rq <ac >rq >d <d >lq <lp")[0] == ["A-ASSOCIATE-RQ sent in Sta6"]


@pytest.mark.parametrize("words", [">d <d >lq <lp", "<lp", "<ac >d <d", "<d >ab", "<lq >lp"])
def test_a_recording_that_begins_in_the_middle_marks_nothing_that_may_be(words: str) -> None:
    assert run(words, begun=False)[0] == []
    assert run(">lq >d", begun=False)[0] == ["P-DATA-TF sent in Sta7"]


def test_what_waits_for_a_silent_side_is_bounded() -> None:
    states = States(begun=True)
    for kind in (P.ASSOCIATE_RQ, *(P.RELEASE_RQ, P.P_DATA_TF) * 500):
        states.say(kind, by_requestor=True)
    assert len(states._acceptor._queue) == MOST_WAITING
    assert len(states._acceptor._guesses) <= 4 * MOST_WAITING
    assert states.say(P.ABORT, by_requestor=False) == ""


DATA = PData(pdvs=(Pdv(context=1, command=True, last=True, data=b"ab"),))
ACCEPT = negotiate(REQUEST, POLICY)
SENDABLE = [REQUEST, ACCEPT, AssociateReject(), DATA, ReleaseRequest(), ReleaseResponse(), Abort()]


@given(st.lists(st.one_of(st.tuples(st.booleans(), st.sampled_from(SENDABLE)), st.booleans()), max_size=40))
def test_two_engines_are_never_marked_in_any_interleaving(steps) -> None:
    """Each step is a PDU that one side wants to send, or the delivery of bytes that wait for one side. The engines
    refuse what the table does not allow; what they do send, in the order in which they send it, is never marked."""
    sides = {True: UpperLayer(Role.REQUESTOR), False: UpperLayer(Role.ACCEPTOR)}
    waiting: dict[bool, deque[bytes]] = {True: deque(), False: deque()}
    states = States(begun=True)

    def flush(side: bool) -> None:
        while buffers := sides[side].data_to_send():
            for pdu in split(b"".join(bytes(one) for one in buffers)):
                waiting[not side].append(pdu)
                assert states.say(PduType(pdu[0]), by_requestor=side) == ""

    for step in steps:
        if isinstance(step, tuple):
            side, pdu = step
            if sides[side].wants_close:
                continue
            try:
                sides[side].send(pdu)
            except LocalProtocolError:
                continue
            flush(side)
        elif waiting[step]:
            sides[step].receive_data(waiting[step].popleft())
            while (event := sides[step].next_event()) is not None and not isinstance(event, Closed):
                pass
            flush(step)


WRONG = [f"{kind.label} sent in {state.name}" for kind in PduType for state in State]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([*KINDS.values(), None])), max_size=30), st.booleans())
def test_any_pdus_in_any_order(said, begun: bool) -> None:
    states = States(begun=begun)
    for by_requestor, kind in said:
        if kind is None:
            states.say_nonsense(by_requestor=by_requestor)
        else:
            assert states.say(kind, by_requestor=by_requestor) in ("", *WRONG)
        assert states.state(by_requestor=True)
        assert states.state(by_requestor=False)


def test_the_engine_sends_nothing_that_this_reading_of_the_table_lacks() -> None:
    assert {PduType(encode(one)[0]) for one in SENDABLE} == set(PduType)

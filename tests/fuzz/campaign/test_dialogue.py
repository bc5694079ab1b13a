"""Messages of the peer: an answer to what was asked, once, in its context, with its type; and nobody else's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicos_fuzz.campaign.scenarios.commands import command_set, number, text
from dicos_fuzz.conversation import Side
from dicos_fuzz.finding import Severity
from dicos_fuzz.grammar.building import p_data, request
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CFindResponse,
    CGetResponse,
    CStoreRequest,
    NEventReportRequest,
)
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import OperationsWindow, RoleSelection, UserInformation
from tests.fuzz.campaign.transcripts import (
    ASSOCIATED,
    CT,
    RELEASE,
    RQ,
    STORAGE,
    TALK,
    USER_ABORT,
    Line,
    ac,
    echoed,
    got,
    judged,
    oracles,
    said,
    sent,
    stored,
)

ASK, STORE, FIND, GET = TALK.ask(), TALK.store(1, "told"), TALK.find(1), TALK.get(1)
FINDING, GETTING = 5, 7


def found(status: int, *, message_id: int = 1, data: bytes | None = None) -> bytes:
    """A C-FIND-RSP."""
    response = CFindResponse(
        message_id_being_responded_to=message_id, affected_sop_class_uid=uids.STUDY_ROOT_FIND, status=status
    )
    return said(FINDING, response, data)


def retrieved(status: int, **counts: int) -> bytes:
    """A C-GET-RSP."""
    response = CGetResponse(
        message_id_being_responded_to=1, affected_sop_class_uid=uids.STUDY_ROOT_GET, status=status, **counts
    )
    return said(GETTING, response)


def returned(instance: str, data: bytes, *, context: int = STORAGE, sop_class: str = CT) -> bytes:
    """A C-STORE-RQ of the peer."""
    command = CStoreRequest(message_id=9, affected_sop_class_uid=sop_class, affected_sop_instance_uid=instance)
    return said(context, command, data)


def bare(*elements: bytes, context: int = 1) -> bytes:
    """A command set of any elements as a P-DATA-TF."""
    return p_data((context, True, True, command_set(*elements)))


COMMAND, OBJECT = TALK.parts(1, "told")[1:]
HALF = p_data((STORAGE, True, True, COMMAND)) + p_data((STORAGE, False, False, OBJECT[:100]))
EVENT = said(
    1,
    NEventReportRequest(
        message_id=1, affected_sop_class_uid=uids.VERIFICATION, affected_sop_instance_uid="1.2", event_type_id=1
    ),
)

# fmt: off
RIGHT: list[tuple[str, tuple[Line, ...]]] = [
    ("one answer", (sent(ASK), got(echoed()))),
    ("a failure", (sent(ASK), got(echoed(status=0x0110)))),
    ("an object", (sent(STORE), got(stored()))),
    ("a warning", (sent(STORE), got(stored(status=0xB000)))),
    ("an early failure", (sent(HALF), got(stored(status=0xA700)))),
    ("answers in another order", (sent(TALK.ask(1) + TALK.ask(2)), got(echoed(2) + echoed(1)))),
    ("an id again", (sent(ASK), got(echoed()), sent(ASK), got(echoed()))),
    ("matches", (sent(FIND), got(found(0xFF00, data=b"\x08\0\x52\0\0\0\0\0") + found(0)))),
    ("a cancelled query", (sent(FIND + TALK.cancel(1)), got(found(0xFE00)))),
    ("a cancel of nothing, ignored", (sent(TALK.cancel(7)), sent(ASK), got(echoed()))),
    ("falling counters", (sent(GET), got(retrieved(0xFF00, remaining=2) + retrieved(0xFF00, remaining=1)))),
    ("an event report", (got(EVENT),)),
    ("an object that was asked for", (sent(GET), got(returned("1.2.3", OBJECT)))),
    ("an answer to one reading of a damaged request",
     (sent(p_data((1, True, True, TALK.command() + number(0x0110, 5)))), got(echoed(5)))),
    ("an answer to the other reading",
     (sent(p_data((1, True, True, TALK.command() + number(0x0110, 5)))), got(echoed(1)))),
    ("an unknown command, repeated in its response",
     (sent(bare(text(2, uids.VERIFICATION), number(0x0100, 0x7777), number(0x0110, 1), number(0x0800, 0x0101))),
      got(bare(number(0x0100, 0xF777), number(0x0120, 1), number(0x0800, 0x0101), number(0x0900, 0x0211))))),
]
WRONG: list[tuple[str, Severity, tuple[Line, ...]]] = [
    ("response-to-nobody", Severity.MEDIUM, (got(echoed()),)),
    ("response-to-nobody", Severity.MEDIUM, (sent(ASK), got(echoed(2)))),
    ("response-to-nobody", Severity.MEDIUM, (sent(TALK.cancel(7)), got(echoed(7)))),
    ("response-to-nobody", Severity.MEDIUM, (sent(p_data((1, True, True, TALK.command()[:-2]))), got(echoed(9)))),
    ("answered-early", Severity.MEDIUM, (sent(p_data((1, True, False, TALK.command()[:60]))), got(echoed(1)))),
    ("answered-twice", Severity.MEDIUM, (sent(ASK), got(echoed() * 2))),
    ("answered-twice", Severity.MEDIUM, (sent(FIND), got(found(0) + found(0xFF00, data=b"\x08\0\x52\0\0\0\0\0")))),
    ("answered-after-end", Severity.MEDIUM, (sent(RELEASE + ASK), got(echoed()))),
    ("answered-after-end", Severity.MEDIUM, (sent(USER_ABORT + ASK), got(echoed()))),
    ("wrong-response-type", Severity.MEDIUM, (sent(STORE), got(echoed(context=STORAGE)))),
    ("wrong-response-type", Severity.MEDIUM,
     (sent(p_data((1, True, True, TALK.command() + number(0x0110, 5)))), got(stored(5, context=1)))),
    ("wrong-context", Severity.MEDIUM, (sent(ASK), got(echoed(context=3)))),
    ("wrong-context", Severity.MEDIUM, (sent(ASK), got(echoed(context=77)))),
    ("pending", Severity.MEDIUM, (sent(ASK), got(echoed(status=0xFF00)))),
    ("success-before-data", Severity.HIGH, (sent(HALF), got(stored()))),
    ("counters", Severity.LOW, (sent(GET), got(retrieved(0xFF00, remaining=1) + retrieved(0xFF00, remaining=2)))),
    ("malformed-command", Severity.MEDIUM, (sent(ASK), got(p_data((1, True, True, b"\1\2\3\4"))))),
    ("malformed-command", Severity.MEDIUM,
     (sent(ASK), got(bare(number(0x0100, 0x8030), number(0x0800, 0x0101), number(0x0900, 0))))),
    ("deviation", Severity.LOW,
     (sent(ASK), got(p_data((1, True, True, command_set(
         number(0x0100, 0x8030), number(0x0120, 1), number(0x0800, 0x0101), number(0x0900, 0), length=7)))))),
    ("misplaced-data", Severity.MEDIUM, (sent(ASK), got(echoed()), got(p_data((1, False, True, b"\0\0"))))),
    ("misplaced-data", Severity.LOW, (sent(FIND), got(found(0xFF00)))),
    ("interleaved", Severity.MEDIUM,
     (sent(ASK + FIND), got(p_data((5, True, False, b"\0\0")) + echoed()))),
    ("reserved-bits", Severity.LOW, (sent(ASK), got(echoed()[:11] + b"\x83" + echoed()[12:]))),
    ("empty-pdvs", Severity.MEDIUM, (sent(ASK), got(p_data((1, True, False, b"")) * 17))),
    ("over-max-length", Severity.MEDIUM, (sent(ASK), got(p_data((1, True, False, bytes(131_068)))))),
    ("malformed-pdu", Severity.MEDIUM, (sent(ASK), got(b"\4\0\0\0\0\4\0\0\0\0"))),
    ("request-without-role", Severity.MEDIUM, (got(ASK),)),
    ("request-without-role", Severity.MEDIUM, (got(returned("1.2.3", OBJECT)),)),
    ("id-in-use", Severity.MEDIUM, (got(EVENT * 2),)),
]
# fmt: on


@pytest.mark.parametrize("lines", [one for _, one in RIGHT], ids=[name for name, _ in RIGHT])
def test_what_answers_a_request_is_no_violation(lines: tuple[Line, ...]) -> None:
    assert judged(*ASSOCIATED, *lines) == []


@pytest.mark.parametrize(("oracle", "severity", "lines"), WRONG)
def test_what_does_not_is_named(oracle: str, severity: Severity, lines: tuple[Line, ...]) -> None:
    found = judged(*ASSOCIATED, *lines)
    assert oracle in oracles(found), found
    assert {one.severity for one in found if one.oracle == oracle} == {severity}
    assert all(one.state and one.clause and one.detail for one in found if one.oracle == oracle)


def test_the_maximum_length_is_that_of_the_request() -> None:
    small = request(replace(TALK.offer, user_information=UserInformation(max_length=1024)))
    for size, wrong in ((1018, False), (1020, True)):
        pdu = p_data((1, True, False, bytes(size)))
        assert oracles(judged(sent(small), got(ac(small)), got(pdu))) == (["over-max-length"] if wrong else [])
    unlimited = request(replace(TALK.offer, user_information=UserInformation(max_length=0)))
    assert judged(sent(unlimited), got(ac(unlimited)), got(p_data((1, True, False, bytes(500_000))))) == []


def test_a_peer_with_the_role_may_ask() -> None:
    role = RoleSelection(sop_class_uid=CT, scu=True, scp=True)
    asked = request(replace(TALK.offer, user_information=UserInformation(roles=(role,))))
    assert judged(sent(asked), got(ac(asked)), got(returned("1.2.3", OBJECT))) == []


def test_an_object_must_come_back_unchanged() -> None:
    instance = "2.25." + COMMAND.partition(b"2.25.")[2].partition(b"\0")[0].decode()
    lines = (*ASSOCIATED, sent(STORE), got(stored()), sent(TALK.get(2)))
    assert judged(*lines, got(returned(instance, OBJECT))) == []
    changed = OBJECT.replace(b"ISO_IR 192", b"ISO_IR 100")
    (found,) = judged(*lines, got(returned(instance, changed)))
    assert (found.oracle, found.severity) == ("object-changed", Severity.HIGH)
    assert "(0008,0005) has another value" in found.detail
    assert "ISO_IR" not in found.detail  # no values
    assert judged(*lines, got(returned("1.2.3", changed))) == []  # another object
    (found,) = judged(*lines, got(returned(instance, OBJECT, sop_class=uids.MR_IMAGE_STORAGE)))
    assert (found.oracle, found.severity) == ("object-changed", Severity.HIGH)
    assert found.detail.endswith("its SOP class changed")


def test_a_peer_that_calls_keeps_to_the_window() -> None:
    asks = [got(said(1, CEchoRequest(message_id=one, affected_sop_class_uid=uids.VERIFICATION))) for one in range(1, 4)]
    one_at_a_time = (got(RQ), sent(ac()), asks[0], sent(echoed(1)), asks[1], sent(echoed(2)))
    assert judged(*one_at_a_time, side=Side.PROVIDER) == []
    assert oracles(judged(got(RQ), sent(ac()), *asks[:2], side=Side.PROVIDER)) == ["beyond-window"]
    window = request(
        replace(TALK.offer, user_information=UserInformation(window=OperationsWindow(invoked=2, performed=1)))
    )
    granted = ac(window, user_information=UserInformation(window=OperationsWindow(invoked=2, performed=1)))
    assert judged(got(window), sent(granted), *asks[:2], side=Side.PROVIDER) == []
    assert oracles(judged(got(window), sent(granted), *asks, side=Side.PROVIDER)) == ["beyond-window"]


def test_a_peer_that_calls_uses_contexts_that_were_accepted() -> None:
    lines = (got(RQ), sent(ac()), got(said(77, CCancelRequest(message_id_being_responded_to=1))))
    assert oracles(judged(*lines, side=Side.PROVIDER)) == ["wrong-context"]


def test_a_refused_context_is_not_accepted() -> None:
    from dicos_proto.upper_layer.pdu_types import ContextAnswer, ContextResult
    from tests.fuzz.campaign.transcripts import accepted

    first, *rest = accepted().contexts
    answer = ac(contexts=(ContextAnswer(id=first.id, result=ContextResult.NO_REASON), *rest))
    assert oracles(judged(sent(RQ), got(answer), got(EVENT))) == ["wrong-context"]


def test_a_response_that_repeats_is_named_once() -> None:
    assert oracles(judged(*ASSOCIATED, got(echoed(5) * 40))) == ["response-to-nobody"]

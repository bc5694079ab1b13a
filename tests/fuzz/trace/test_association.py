"""One association from outside: its messages, pairs and times; each rule that a side breaks is marked with its clause,
and what follows is decoded all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicos_fuzz.captures.events import How
from dicos_fuzz.trace.association import MOST_PDVS
from dicos_fuzz.trace.entries import Answered, CommandSaid, DataPdu, DataSetSaid, Over, PduSaid, Pdv, Piece
from dicos_fuzz.trace.messages import MOST_OUTSTANDING
from dicos_proto import (
    Abort,
    AssociateReject,
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CStoreRequest,
    CStoreResponse,
    NEventReportRequest,
    OperationsWindow,
    ReleaseRequest,
    encode,
)
from dicos_proto.dimse.codec import encode_command
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.negotiation import negotiate
from tests.fuzz.trace.saying import MILLISECOND, RELEASE, Said, message, opened, trace
from tests.pair import CT, MR, POLICY, REQUEST, VERIFICATION, p_data, policy, request

ECHO = CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)
ECHOED = CEchoResponse(message_id_being_responded_to=1, affected_sop_class_uid=VERIFICATION, status=0)
STORE = CStoreRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
STORED = CStoreResponse(
    message_id_being_responded_to=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", status=0
)
FIND = CFindRequest(message_id=9, affected_sop_class_uid=CT)
FOUND = CFindResponse(message_id_being_responded_to=9, affected_sop_class_uid=CT, status=0xFF00)
GET = CGetRequest(message_id=11, affected_sop_class_uid=CT)
REPORT = NEventReportRequest(
    message_id=3, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", event_type_id=1
)
PIXELS = bytes(range(200))
RAW = encode_command(STORE, has_data=True)


def echo(context: int = 1) -> list[Said]:
    return [(True, message(ECHO, context=context)), (False, message(ECHOED, context=context))]


def store(data: bytes = PIXELS) -> list[Said]:
    return [(True, message(STORE, data=data)), (False, message(STORED))]


def test_a_good_association_has_no_marks() -> None:
    kept = trace([*opened(), *echo(), *store(), *RELEASE])
    assert kept.marks() == []
    assert [(one.label, one.by_requestor) for one in kept.of(PduSaid)] == [
        ("A-ASSOCIATE-RQ", True), ("A-ASSOCIATE-AC", False), ("A-RELEASE-RQ", True), ("A-RELEASE-RP", False)
    ]  # fmt: skip
    assert [one.command.NAME for one in kept.of(CommandSaid)] == [
        "C-ECHO-RQ",
        "C-ECHO-RSP",
        "C-STORE-RQ",
        "C-STORE-RSP",
    ]
    (said,) = kept.of(DataSetSaid)
    assert (said.name, said.message_id, said.size, said.complete, said.pdvs) == ("C-STORE-RQ", 7, 200, True, 1)
    (over,) = kept.of(Over)
    assert (over.outcome, over.unanswered) == ("released", 0)
    one = kept.traces[0]
    assert (one.titles(), one.messages, one.data_bytes) == (("USER", "PROVIDER"), [2, 2], [0, 200])
    assert one.names() == ("10.0.0.1:40001", "10.0.0.2:104")
    assert one.pdus == [4, 5]
    assert kept.of(Piece) == []


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_pieces_of_any_size_give_the_same_entries(piece: int) -> None:
    said = [*opened(), *echo(), *store(), *RELEASE]
    assert trace(said, piece=piece).entries == trace(said).entries


def test_requests_are_paired_with_their_responses_and_timed() -> None:
    kept = trace([*opened(), *echo(), (True, message(STORE)[:20]), (True, message(STORE)[20:])])
    asked, answered = kept.of(CommandSaid)[:2]
    assert answered.answered == Answered("C-ECHO-RQ", 1, asked.at, MILLISECOND, 0)
    kept = trace([*opened(), (True, p_data((3, True, True, RAW))), (True, p_data((3, False, True, PIXELS))),
                  (False, message(STORED)[:5]), (False, message(STORED)[5:])])  # fmt: skip
    asked, answered = kept.of(CommandSaid)
    (data,) = kept.of(DataSetSaid)
    assert answered.answered == Answered("C-STORE-RQ", 7, asked.at, answered.at - data.done, 0)
    assert answered.at - data.done == 2 * MILLISECOND  # the PDV begins with the second piece


def test_pending_responses_are_counted() -> None:
    final = replace(FOUND, status=0)
    answers: list[Said] = [
        (False, message(FOUND, data=b"ab")),
        (False, message(FOUND, data=b"cd")),
        (False, message(final)),
    ]
    kept = trace([*opened(), (True, message(FIND, data=b"ab")), *answers, *RELEASE])
    assert [one.answered.earlier for one in kept.of(CommandSaid) if one.answered] == [0, 1, 2]
    assert (kept.marks(), kept.of(Over)[0].unanswered) == ([], 0)


def test_p_data_tfs_are_listed_with_their_pdvs() -> None:
    packed = p_data((3, True, True, RAW), (3, False, False, PIXELS[:10]), (3, False, True, PIXELS[10:]))
    kept = trace([*opened(), (True, packed), (False, message(STORED)), *RELEASE])
    assert kept.of(DataPdu)[0].pdvs == (Pdv(3, 3, len(RAW)), Pdv(3, 0, 10), Pdv(3, 2, 190))
    assert (kept.marks(), kept.of(DataSetSaid)[0].pdvs) == ([], 2)
    many = p_data((3, True, True, RAW), *((3, False, False, b"ab") for _ in range(40)), (3, False, True, b""))
    pdu = trace([*opened(), (True, many)]).of(DataPdu)[0]
    assert (len(pdu.pdvs), pdu.more) == (MOST_PDVS, 42 - MOST_PDVS)


def test_objects_to_be_saved_come_in_pieces() -> None:
    said = [*opened(), *store(), (True, message(FIND, data=b"patient")), *RELEASE]
    kept = trace(said, pieces=True, piece=50)
    assert b"".join(one.data for one in kept.of(Piece)) == PIXELS


ROLES = opened(request(both_roles=True), policy(both_roles=True))
WINDOW = OperationsWindow(invoked=2, performed=2)
REJECTED = "PS3.8 9.3.4"
SHORT_ECHO = p_data((1, True, True, encode_command(ECHO, has_data=False)[:-2]))
UNKNOWN = encode_command(ECHO, has_data=False).replace(b"\0\0\0\1\2\0\0\0\x30\0", b"\0\0\0\1\2\0\0\0\x33\3")


def with_max_length(length: int) -> list[Said]:
    return opened(request(max_length=length), POLICY)


VIOLATIONS: dict[str, tuple[list[Said], list[str]]] = {
    "P-DATA before the association": (
        [(True, message(ECHO, context=1))],
        ["> violation: P-DATA-TF sent in Sta1 [PS3.8 table 9-10]"],
    ),
    "P-DATA after the release request": (
        [*opened(), RELEASE[0], (True, message(ECHO, context=1)), RELEASE[1]],
        ["> violation: P-DATA-TF sent in Sta7 [PS3.8 table 9-10]"],
    ),
    "a second request": (
        [*opened(), (True, encode(REQUEST)), *RELEASE],
        ["> violation: A-ASSOCIATE-RQ sent in Sta6 [PS3.8 table 9-10]"],
    ),
    "an answer that nobody asked for": (
        [(False, encode(negotiate(REQUEST, POLICY)))],
        ["< violation: A-ASSOCIATE-AC sent in Sta2 [PS3.8 table 9-10]"],
    ),
    "a context that is not accepted": (
        [*opened(policy=replace(POLICY, refused=frozenset({MR}))), (True, message(ECHO, context=5)), *RELEASE],
        ["> violation: PDV on presentation context 5, which is not accepted [PS3.8 9.3.5.1]"],
    ),
    "a context that was never proposed": (
        [*opened(), (True, message(ECHO, context=99)), *RELEASE],
        ["> violation: PDV on presentation context 99, which is not accepted [PS3.8 9.3.5.1]"],
    ),
    "a response on another context": (
        [*opened(), (True, message(ECHO, context=1)), (False, message(ECHOED, context=3)), *RELEASE],
        ["< deviation (response_on_other_context): C-ECHO-RSP to message 1 on context 3; it was sent on 1 [PS3.7 9.1]"],
    ),
    "a response to a message that was not sent": (
        [*opened(), *echo()[:1], (False, message(replace(ECHOED, message_id_being_responded_to=2)))],
        ["< violation: C-ECHO-RSP to message 2, which is not outstanding [PS3.7 9.1]"],
    ),
    "a response of another type": (
        [*opened(), *echo()[:1], (False, message(replace(STORED, message_id_being_responded_to=1))), *RELEASE],
        ["< violation: C-STORE-RSP to message 1, which is a C-ECHO-RQ [PS3.7 9.1]"],
    ),
    "a second final response": (
        [*opened(), *echo(), (False, message(ECHOED, context=1)), *RELEASE],
        ["< violation: C-ECHO-RSP to message 1, which is not outstanding [PS3.7 9.1]"],
    ),
    "a pending response of a service without": (
        [*opened(), (True, message(ECHO, context=1)), (False, message(replace(ECHOED, status=0xFF00), context=1)),
         *echo()[1:], *RELEASE],
        ["< violation: C-ECHO-RSP with status 0xFF00, pending, which it cannot have [PS3.7 9.1, 10.1]"],
    ),
    "a message id in use": (
        [*opened(request(window=WINDOW), policy(window=WINDOW)), (True, message(ECHO, context=1) * 2), *RELEASE],
        ["> violation: C-ECHO-RQ with message id 1, which is still in use [PS3.7 9.1.1]"],
    ),
    "more operations than the window": (
        [*opened(), *echo()[:1], (True, message(replace(ECHO, message_id=2), context=1)), *RELEASE],
        ["> violation: C-ECHO-RQ is operation 2 at once; the window is 1 [PS3.7 D.3.3.3]"],
    ),
    "a request of the acceptor": (
        [*opened(), (False, message(ECHO, context=1)), *RELEASE],
        ["< violation: C-ECHO-RQ on context 1 from a peer without that role [PS3.7 D.3.3.4]"],
    ),
    "a store of another SOP class than its context's": (
        [*opened(), (True, message(STORE, context=5, data=PIXELS)), *RELEASE],
        ["> violation: C-STORE-RQ of 1.2.840.10008.5.1.4.1.1.2 on context 5, which is for 1.2.840.10008.5.1.4.1.1.4 "
         "[PS3.7 9.1]"],
    ),
    "a report of the acceptor": (
        [*opened(), (False, message(REPORT)), *RELEASE],
        [],
    ),
    "a report of the requestor": (
        [*opened(), (True, message(REPORT)), *RELEASE],
        ["> deviation (report_without_role): N-EVENT-REPORT-RQ on context 3 from a peer without that role [PS3.7 "
         "D.3.3.4]"],
    ),
    "a store of the acceptor while a C-GET is outstanding": (
        [*opened(), (True, message(GET, data=b"ab")), (False, message(STORE, data=PIXELS)), *RELEASE],
        ["< deviation (store_without_role): C-STORE-RQ on context 3 from a peer without that role [PS3.7 D.3.3.4]"],
    ),
    "a store of the acceptor with its role": (
        [*ROLES, (True, message(GET, data=b"ab")), (False, message(STORE, data=PIXELS)), *RELEASE],
        [],
    ),
    "a command set inside a data set": (
        [*opened(), (True, p_data((3, True, True, RAW)) + p_data((3, False, False, b"ab")) + message(ECHO, context=1))],
        ["> violation: command PDV on context 1 inside the data set on 3, which is not complete [PS3.8 annex E]",
         "> violation: C-ECHO-RQ is operation 2 at once; the window is 1 [PS3.7 D.3.3.3]"],
    ),
    "another message where a data set must begin": (
        [*opened(), (True, p_data((3, True, True, RAW)) + message(replace(STORE, message_id=8), data=b"ab"))],
        ["> violation: command PDV on context 3 where the data set of a C-STORE-RQ is to begin [PS3.8 annex E]",
         "> violation: C-STORE-RQ is operation 2 at once; the window is 1 [PS3.7 D.3.3.3]"],
    ),
    "a data set without a command set": (
        [*opened(), (True, p_data((3, False, True, b"ab"))), *RELEASE],
        ["> violation: data PDV on context 3 where a command set is to begin [PS3.8 annex E]"],
    ),
    "a data set on another context": (
        [*opened(), (True, p_data((3, True, True, RAW), (1, False, True, b"ab"))), (False, message(STORED)), *RELEASE],
        ["> violation: data PDV on context 1 where the data set on 3 is to begin [PS3.8 annex E]"],
    ),
    "a data set that changes its context": (
        [*opened(), (True, p_data((3, True, True, RAW), (3, False, False, b"ab"), (1, False, True, b"ab"))), *RELEASE],
        ["> violation: data PDV on context 1 inside the data set on 3, which is not complete [PS3.8 annex E]"],
    ),
    "a PDV of odd length, told once": (
        [*opened(), (True, p_data((3, True, True, RAW), (3, False, False, b"abc"), (3, False, True, b"abc"))),
         (False, message(STORED)), *RELEASE],
        ["> violation: a PDV with 3 bytes of data, an odd number [PS3.8 annex E]"],
    ),
    "a C-ECHO with a data set": (
        [*opened(), (True, message(ECHO, context=1, data=b"ab")), (False, message(ECHOED, context=1)), *RELEASE],
        ["> deviation (unwanted_data_set): C-ECHO-RQ with a data set; it has no data set [PS3.7 E.1]"],
    ),
    "a C-STORE without a data set": (
        [*opened(), (True, message(STORE)), (False, message(STORED)), *RELEASE],
        ["> violation: C-STORE-RQ with no data set; it has a data set [PS3.7 E.1]"],
    ),
    "a joined data set": (
        [*opened(), (True, p_data((3, True, True, RAW + PIXELS))), (False, message(STORED)), *RELEASE],
        ["> deviation (joined_data_set): command PDV that goes on after the end of the command set with its data set "
         "[PS3.8 annex E]"],
    ),
    "a joined data set that is long": (
        [*opened(), (True, p_data((3, True, True, RAW + PIXELS * 1000))), (False, message(STORED)), *RELEASE],
        ["> deviation (joined_data_set): command PDV that goes on after the end of the command set with its data set "
         "[PS3.8 annex E]",
         "> deviation (over_max_length): P-DATA-TF of 200106 bytes; Maximum Length 16384 [PS3.8 D.1]"],
    ),
    "a command set that is too long": (
        [*opened(), (True, p_data(*((3, True, False, bytes(9000)) for _ in range(7)), (3, True, True, bytes(9000))))],
        ["> note: not decoded: command set of more than 65,536 bytes",
         "> deviation (over_max_length): P-DATA-TF of 72048 bytes; Maximum Length 16384 [PS3.8 D.1]"],
    ),
    "a command set that is not valid": (
        [*opened(), (True, SHORT_ECHO), (True, p_data((1, False, True, b"ab"))), (False, message(ECHOED)), *RELEASE],
        ["> violation: command group length 56 before 54 bytes [PS3.7 6.3.1]",
         "< note: C-ECHO-RSP to message 1, which is not outstanding, in what was recorded"],
    ),
    "an unknown message": (
        [*opened(), (True, p_data((1, True, True, UNKNOWN))), *RELEASE],
        ["> violation: command field 0x0333 is not a message [PS3.7 E.1]"],
    ),
    "longer than the Maximum Length of the acceptor": (
        [*opened(policy=policy(max_length=50)), *store()[:1], (False, message(STORED)), *RELEASE],
        ["> deviation (over_max_length): P-DATA-TF of 106 bytes; Maximum Length 50 [PS3.8 D.1]",
         "> deviation (over_max_length): P-DATA-TF of 206 bytes; Maximum Length 50 [PS3.8 D.1]"],
    ),
    "longer than the Maximum Length of the requestor": (
        [*with_max_length(50), *echo(), *RELEASE],
        ["< deviation (over_max_length): P-DATA-TF of 84 bytes; Maximum Length 50 [PS3.8 D.1]"],
    ),
    "a rejection with reserved values": (
        [(True, encode(REQUEST)), (False, encode(AssociateReject(result=1, source=1, reason=4)))],
        ["< violation: A-ASSOCIATE-RJ with reserved values: 1/1/4 [PS3.8 9.3.4]"],
    ),
    "an abort with a reserved reason": (
        [*opened(), (False, encode(Abort(source=2, reason=3)))],
        ["< violation: A-ABORT with reason 3, which is reserved [PS3.8 9.3.8]"],
    ),
    "an abort of a reserved source": (
        [*opened(), (False, encode(Abort(source=1)))],
        ["< violation: A-ABORT from source 1, which is reserved [PS3.8 9.3.8]"],
    ),
    "a title with a control character": (
        [(True, encode(REQUEST).replace(b"USER  ", b"US\x07ER ")), (False, encode(AssociateReject()))],
        ["> violation: calling AE title with characters that it cannot have [PS3.8 9.3.2]"],
    ),
    "a blank title": (
        [(True, encode(REQUEST).replace(b"USER  ", b"      ")), (False, encode(AssociateReject()))],
        ["> deviation (blank_title): calling AE title of spaces only [PS3.8 9.3.2]"],
    ),
    "another version of the protocol": (
        [(True, encode(REQUEST)[:6] + b"\0\2" + encode(REQUEST)[8:]),
         (False, encode(AssociateReject(source=2, reason=2)))],
        ["> violation: protocol version 0x0002; bit 0 set [PS3.8 9.3.2]"],
    ),
    "another version in the answer": (
        [opened()[0], (False, opened()[1][1][:6] + b"\0\2" + opened()[1][1][8:]), *echo(), *RELEASE],
        ["< violation: protocol version 0x0002; bit 0 set [PS3.8 9.3.3]"],
    ),
    "an answer that does not fit its request": (
        [(True, encode(replace(REQUEST, contexts=REQUEST.contexts[:1]))), opened()[1], *echo(), *RELEASE],
        ["< violation: presentation context 3 answered, which was not proposed [PS3.8 9.3.3.2]"],
    ),
    "an item that is too long": (
        [(True, encode(REQUEST)[:77] + b"\xff" + encode(REQUEST)[78:]), (False, encode(Abort(source=2, reason=6)))],
        ["> violation: application context item of 255 bytes in an A-ASSOCIATE with 0 left [PS3.8 9.3.2]"],
    ),
    "bytes of another protocol, and the abort that answers them": (
        [(True, b"GET / HTTP/1.1\r\n\r\n"), (False, encode(Abort(source=2, reason=1)))],
        ["> violation: HTTP, not DICOM: 47 45 54 20 2f 20 (PDU type 0x47; 0x01 to 0x07) [PS3.8 9.3.1]"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("said", "marks"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_each_rule_that_is_broken_is_marked_with_its_clause(said: list[Said], marks: list[str]) -> None:
    kept = trace(said, how=How.CUT)
    found = [mark for mark in kept.marks() if "note: the bytes end" not in mark and "are not decoded" not in mark]
    if marks and marks[0].endswith("with 0 left [PS3.8 9.3.2]"):
        assert len(found) == 1
        assert found[0].startswith("> violation: ")
    else:
        assert found == marks
    assert trace(said, how=How.CUT, piece=1).marks() == kept.marks()


def test_a_joined_data_set_is_saved_too() -> None:
    for data in (PIXELS, PIXELS * 1000):
        said: list[Said] = [*opened(), (True, p_data((3, True, True, RAW + data))), (False, message(STORED)), *RELEASE]
        for piece in (1 << 20, 1000):
            kept = trace(said, pieces=True, piece=piece)
            assert b"".join(bytes(one.data) for one in kept.of(Piece)) == data
            (said_data,) = kept.of(DataSetSaid)
            assert (said_data.size, said_data.complete, said_data.name) == (len(data), True, "C-STORE-RQ")


def test_after_a_violation_the_rest_is_decoded() -> None:
    said = [*opened(), (True, b"\x09\0\0\0\0\2ab"), *echo(), *RELEASE]
    kept = trace(said)
    assert [one.command.NAME for one in kept.of(CommandSaid)] == ["C-ECHO-RQ", "C-ECHO-RSP"]
    assert kept.marks() == ["> violation: PDU type 0x09; 0x01 to 0x07 [PS3.8 9.3.1]"]
    assert kept.of(Over)[0].outcome == "released"


# -- the end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "how", "outcome", "marked"),
    [
        ([*opened(), *RELEASE], How.CLOSED, "released", False),
        ([*opened(), *RELEASE], How.CUT, "released", False),
        ([*opened(), (True, encode(Abort()))], How.RESET, "association aborted by the service user", False),
        ([opened()[0], (False, encode(AssociateReject()))], How.CLOSED,
         "association rejected permanently by the service user: no reason given (1/1/1)", False),
        (opened(), How.CLOSED, "closed by both sides, in Sta6", True),
        (opened(), How.RESET, "reset by the acceptor, in Sta6", True),
        (opened()[:1], How.CLOSED, "closed by both sides, in Sta5", True),
        ([*opened(), RELEASE[0]], How.CLOSED, "closed by both sides, in Sta7", True),
        (opened(), How.CUT, "the recording ends, in Sta6", False),
        ([(True, b"\1\0\0")], How.CLOSED, "closed by both sides, in Sta1", False),
    ],
)  # fmt: skip
def test_the_outcome(said: list[Said], how: How, outcome: str, marked: bool) -> None:
    (over,) = trace(said, how=how).of(Over)
    assert over.outcome == outcome
    assert bool(over.marks) is marked
    if marked:
        assert str(over.marks[0]).endswith("without release or abort [PS3.8 table 9-10]")


def test_requests_without_an_answer_are_counted() -> None:
    (over,) = trace(
        [*opened(), (True, message(ECHO)), (True, message(CCancelRequest(message_id_being_responded_to=1)))]
    ).of(Over)
    assert over.unanswered == 1


def test_requests_without_end_are_forgotten_the_oldest_first() -> None:
    asked = [(True, message(replace(ECHO, message_id=number))) for number in range(MOST_OUTSTANDING + 50)]
    kept = trace(
        [*opened(request(window=OperationsWindow(invoked=0)), policy(window=OperationsWindow(invoked=0))), *asked]
    )
    assert kept.of(Over)[0].unanswered == MOST_OUTSTANDING


# -- recordings with holes -----------------------------------------------------------------------------------------


def test_a_gap_in_a_data_set_is_counted_and_the_rest_decoded() -> None:
    raw = message(STORE, data=PIXELS)
    kept = trace([*opened(), (True, raw[:-150]), (True, 100), (True, raw[-50:]), (False, message(STORED)), *RELEASE])
    (said,) = kept.of(DataSetSaid)
    assert (said.size, said.missing, said.complete) == (200, 100, True)
    assert kept.marks() == []


def test_a_gap_over_whole_messages_marks_no_peer() -> None:
    kept = trace([*opened(), (True, len(message(ECHO, context=1))), echo()[1], *store(), *RELEASE])
    assert kept.marks() == [
        "> note: 74 bytes are missing in the recording",
        "< note: C-ECHO-RSP to message 1, which is not outstanding, in what was recorded",
        "> note: after the gap: 0 bytes until the next PDU are not decoded",
    ][: len(kept.marks())] or all(" note: " in mark for mark in kept.marks())
    assert all(" note: " in mark for mark in kept.marks())
    assert [one.command.NAME for one in kept.of(CommandSaid)] == ["C-ECHO-RSP", "C-STORE-RQ", "C-STORE-RSP"]


def test_a_gap_in_the_responses_marks_no_peer() -> None:
    again = [(True, message(ECHO, context=1)), (False, message(ECHOED, context=1))]
    kept = trace([*opened(), echo()[0], (False, 78 + 12), *again, *again, *RELEASE])
    assert [mark for mark in kept.marks() if " note: " not in mark] == []


def test_a_gap_in_the_negotiation_still_shows_the_messages() -> None:
    asked, answer = opened()
    kept = trace([(True, asked[1][:50]), (True, 30), (True, asked[1][80:]), answer, *echo(), *RELEASE])
    assert [mark for mark in kept.marks() if " note: " not in mark] == []
    assert len(kept.of(CommandSaid)) == 2
    assert kept.of(PduSaid)[0].pdu is None


@pytest.mark.parametrize("guessed", [True, False])
def test_a_recording_that_begins_in_the_middle_marks_no_peer(guessed: bool) -> None:
    said = [(True, b"\0" * 40), *echo()[1:], *store(), *RELEASE]
    kept = trace(said, begun=False, guessed=guessed)
    assert [mark for mark in kept.marks() if " note: " not in mark] == []
    assert [one.command.NAME for one in kept.of(CommandSaid)] == ["C-ECHO-RSP", "C-STORE-RQ", "C-STORE-RSP"]
    assert kept.of(Over)[0].outcome == "released"


def test_who_asks_for_the_association_is_the_requestor() -> None:
    turned = [(not by, raw) for by, raw in [*opened(), *echo(), *RELEASE]]
    kept = trace(turned, begun=False, guessed=True)
    assert kept.traces[0].requestor_is_client is False
    assert kept.of(PduSaid)[0].by_requestor is True
    answered = trace(turned[1:], begun=False, guessed=True)
    assert answered.traces[0].requestor_is_client is False


def test_memory_of_one_association_is_small_whatever_it_says() -> None:
    from dicos_fuzz.trace.association import Follower
    from dicos_fuzz.trace.entries import AssociationTrace
    from tests.fuzz.trace.saying import connection, events

    follower = Follower(AssociationTrace(1, connection()))
    flood: list[Said] = [*opened(), (True, p_data(*((3, True, False, bytes(1000)) for _ in range(100))))]
    flood += [(True, b"\2\0\0\x0f\xff\xff" + bytes(1 << 19)), (False, b"\1\0\0\x0f\xff\xff" + bytes(1 << 19))]
    most = 0
    for event in list(events(flood, follower.trace.connection))[:-3]:
        for _ in follower.feed(event):
            most = max(most, follower.held)
        most = max(most, follower.held)
    assert (1 << 20) <= most < 2 * Limits().associate_pdu + Limits().command_set


def test_a_release_inside_a_data_set_ends_it() -> None:
    half = p_data((3, True, True, RAW), (3, False, False, b"ab"))
    kept = trace([*opened(), (True, half + encode(ReleaseRequest())), RELEASE[1]])
    assert kept.of(DataSetSaid)[0].complete is False
    assert kept.of(Over)[0].unanswered == 1


def test_an_association_with_very_many_violations_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicos_fuzz.trace.association.MOST_VIOLATIONS", 50)
    nonsense: list[Said] = [(True, b"\x09\0\0\0\0\2ab")] * 80
    kept = trace([*opened(), *nonsense, *echo(), *RELEASE], how=How.CUT)
    assert len(kept.of(CommandSaid)) == 0
    assert kept.marks()[-1] == "> note: more than 50 violations: the rest of this association is not decoded"
    assert len(kept.marks()) == 52
    assert kept.of(Over)[0].outcome == "the recording ends, in Sta6"

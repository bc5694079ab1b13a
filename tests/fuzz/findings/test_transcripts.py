"""Transcripts for people: every PDU dissected, what is wrong on purpose named at its place, contents never shown."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.conversation import Answer, Conversation, Entry, Open, Send, Transcript, What
from dicos_fuzz.findings.naming import wrong_lengths
from dicos_fuzz.findings.transcripts import lines, told
from dicos_fuzz.grammar import message
from dicos_fuzz.grammar.building import p_data
from dicos_fuzz.tree import Action, Edit
from tests.fuzz import values
from tests.fuzz.findings.examples import CONVERSATION, PATIENT, TRANSCRIPT


def test_a_transcript_reads_like_this() -> None:
    assert lines(TRANSCRIPT, CONVERSATION) == [
        "    0.000 s  connection opened",
        "    0.001 s  sent A-ASSOCIATE-RQ, 448 bytes in 2 pieces until 0.002 s",
        "               on purpose: A-ASSOCIATE-RQ/presentation context#2/length: 79 -> 65535",
        "               on purpose: A-ASSOCIATE-RQ/called title: 'ANY-SCP         ' -> '../../../../tmp '",
        "               A-ASSOCIATE-RQ, 442 bytes: malformed: "
        "A-ASSOCIATE items: 65535 bytes wanted, 295 left [PS3.8 9.3.2]",
        "                 bytes: 01 00 00 00 01 ba 00 01 00 00 2e 2e 2f 2e 2e 2f 2e 2e 2f 2e 2e 2f 74 6d 70 20 "
        "44 49 43 4f 53 2d 46 55 5a 5a 20 20 20 20 20 20 00 00 00 00 00 00 ... (448 bytes)",
        "    0.250 s  received data set, A-ABORT, 38 bytes in 2 pieces until 0.260 s",
        "               P-DATA-TF, context 3: data set, 16 bytes",
        "               A-ABORT, 4 bytes: association aborted by the service provider: invalid parameter (6)",
        "    5.300 s  a good echo on another association was not answered: no answer in 5.0 s",
        "    5.400 s  this side closed the connection",
    ]  # fmt: skip


def entries(*said: tuple[What, bytes]) -> Transcript:
    return Transcript([Entry(float(at), 0, what, data) for at, (what, data) in enumerate(said)])


S, R = What.SENT, What.RECEIVED
RELEASE_RQ = bytes.fromhex("05000000000400000000")
ABORT, RELEASE, STORE = values.PDUS["A-ABORT"], values.PDUS["A-RELEASE-RQ"], values.PDUS["C-STORE-RQ"]


def test_messages_are_told_apart_although_no_answer_came_in_between() -> None:
    found = Conversation(name="x", steps=(Open(), Send(message=RELEASE), Send(message=ABORT)))
    assert len(told(entries((S, RELEASE), (S, ABORT)), found)) == 2
    assert len(told(entries((S, RELEASE + ABORT)), found)) == 1
    assert len(told(entries((S, RELEASE), (S, ABORT)))) == 1


def test_what_is_wrong_is_named_at_the_message_in_which_it_is() -> None:
    wrong = Edit("A-ABORT/reason", Action.SET, b"\x09")
    twice = Edit("A-RELEASE-RP", Action.REPEAT)
    conversation = Conversation(
        name="x",
        steps=(Open(), Send(message=RELEASE), Answer(edits=(twice,)), Answer(), Send(message=ABORT, edits=(wrong,))),
    )
    response = values.PDUS["A-RELEASE-RP"]
    changed = ABORT[:-1] + b"\x09"
    found = told(
        entries((S, RELEASE), (R, RELEASE), (S, response * 2), (R, b"\x00"), (S, response), (S, changed)), conversation
    )
    assert [(one.title, one.faults) for one in found if one.what is S] == [
        ("A-RELEASE-RQ", ()),
        ("A-RELEASE-RP (2 times)", ("A-RELEASE-RP: sent twice",)),
        ("A-RELEASE-RP", ()),
        ("A-ABORT", ("A-ABORT/reason: 6 -> 9",)),
    ]


def test_bytes_beneath_tls_are_shown_as_bytes_with_what_is_wrong() -> None:
    wrong = Edit("PDU 00/bytes", Action.SET, b"\x15\x03\x03")
    steps = (Open(bare=True), Send(message=ABORT), Send(message=bytes(4), edits=(wrong,)), Send(message=bytes(60)))
    found = lines(
        entries(
            (What.BENEATH, ABORT), (What.BENEATH, b"\x15\x03\x03"), (What.HEARD, bytes(40)), (What.BENEATH, bytes(60))
        ),
        Conversation(name="x", steps=steps),
    )
    assert found == [
        "    0.000 s  sent beneath TLS: 10 bytes: 07 00 00 00 00 04 00 00 02 06",
        "    1.000 s  sent beneath TLS: 3 bytes: 15 03 03",
        "               on purpose: PDU 00/bytes: 00 00 00 00 -> 15 03 03",
        f"    2.000 s  received beneath TLS: 40 bytes: {' '.join(['00'] * 12)} ...",
        f"    3.000 s  sent beneath TLS: 60 bytes: {' '.join(['00'] * 48)} ...",
    ]  # fmt: skip


def test_the_last_message_may_have_been_cut_by_the_end_of_the_connection() -> None:
    wrong = Edit("A-ASSOCIATE-RQ/length", Action.LENGTH, 9)
    send = Send(message=values.REQUEST, edits=(wrong,))
    found = told(entries((S, send.wire()[:50])), Conversation(name="x", steps=(Open(), send)))
    assert found[0].faults == ("A-ASSOCIATE-RQ/length: 442 -> 9",)


def test_wrong_lengths_of_a_message_without_edits_are_named() -> None:
    raw = bytes.fromhex("0400ffffffff")
    found = told(entries((S, raw)), Conversation(name="x", steps=(Open(), Send(message=raw))))
    assert found[0].faults == ("P-DATA-TF/length: 4294967295, 0 bytes follow",)


@pytest.mark.parametrize(
    ("said", "title"),
    [
        (ABORT, "A-ABORT"),
        (values.PDUS["C-ECHO-RQ"], "C-ECHO-RQ"),
        (STORE, "C-STORE-RQ, data set"),
        (STORE * 3, "C-STORE-RQ (3 times), data set (3 times)"),
        (ABORT[:7], "part of a PDU"),
        (b"GET / HTTP/1.0\r\n", "no PDU"),
        (values.PDUS["unknown"], "no PDU"),
        (bytes.fromhex("010000000000"), "malformed A-ASSOCIATE-RQ"),
    ],
)
def test_what_was_said_has_a_short_name(said: bytes, title: str) -> None:
    assert told(entries((S, said)))[0].title == title


def test_after_bytes_that_are_no_pdu_the_next_message_is_dissected_again() -> None:
    found = told(entries((S, b"GET / HTTP/1.0\r\n"), (R, ABORT), (S, RELEASE)))
    assert [one.title for one in found] == ["no PDU", "A-ABORT", "A-RELEASE-RQ"]
    assert "bytes: 47 45 54" in found[0].details[1]


def test_connections_are_numbered_where_there_are_several() -> None:
    transcript = Transcript([Entry(0, 0, What.OPENED), Entry(1, 7, What.REFUSED, note="ECONNREFUSED")])
    assert lines(transcript) == [
        "    0.000 s  #0 connection opened",
        "    1.000 s  #7 connection refused: ECONNREFUSED",
    ]


def test_no_contents_are_shown_of_what_is_malformed() -> None:
    for raw in (
        b"\x04\x00" + (22).to_bytes(4, "big") + (9999).to_bytes(4, "big") + b"\x01\x02" + PATIENT * 2,
        ABORT + b"\x04\x00" + (22).to_bytes(4, "big") + (9999).to_bytes(4, "big") + b"\x01\x02" + PATIENT * 2,
        b"HTTP/1.0 200 OK\r\n\r\n" + PATIENT,
    ):
        text = "\n".join(lines(entries((R, raw))))
        assert "malformed" in text or "not a PDU" in text
        assert PATIENT.hex(" ") not in text
        assert PATIENT.decode() not in text


@given(values.transcripts, values.conversations)
def test_any_transcript_with_any_conversation_has_lines_of_printable_ascii_but_for_notes(
    transcript: Transcript, conversation: Conversation
) -> None:
    plain = Transcript([replace(one, note="") for one in transcript.entries])
    for line in lines(plain, conversation):
        assert line.isascii()
        assert line.isprintable()


@given(values.streams, st.lists(st.integers(1, 50), max_size=6))
def test_however_a_stream_is_cut_the_same_pdus_are_told(stream: bytes, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in [*sizes, len(stream)]:
        pieces.append((S, stream[at : at + size]))
        at += size
    whole, cut = told(entries((S, stream))), told(entries(*pieces))
    assert [(one.title, one.details) for one in cut] == [(one.title, one.details) for one in whole]


def test_a_long_transcript_is_cut_and_takes_linear_time() -> None:
    begun = time.process_time()
    dribble = Transcript([Entry(0.0, 0, S, STORE[at : at + 1]) for _ in range(200) for at in range(len(STORE))])
    found = lines(dribble, Conversation(name="x", steps=(Open(), *[Send(message=STORE, piece=1)] * 200)))
    assert found[-1].startswith("... and ")
    assert len(found) == 1001
    many = Transcript([Entry(0.0, 0, S, b"".join(message(1, values.STORE, bytes(1 << 20)))) for _ in range(4)])
    assert len(lines(many)) < 50
    assert time.process_time() - begun < 10  # below a second on an idle machine


def test_a_message_that_is_wrong_as_a_whole_is_marked_with_what_is_wrong() -> None:
    """A second A-ASSOCIATE-RQ has no wrong field: the message itself is what should not have been sent."""
    rq = values.PDUS["A-ASSOCIATE-RQ"]
    steps = (Open(), Send(message=rq), Send(message=rq), Send(message=RELEASE_RQ))
    played = entries((S, rq), (R, values.PDUS["A-ASSOCIATE-AC"]), (S, rq), (S, RELEASE_RQ))
    for expect, marked in (("refused", [(), ("a second A-ASSOCIATE-RQ",), ()]), ("served", [(), (), ()])):
        conversation = Conversation(name="x", about="a second A-ASSOCIATE-RQ", expect=expect, steps=steps)
        assert [one.faults for one in told(played, conversation) if one.what is S] == marked


def test_an_element_that_goes_on_in_the_next_fragment_is_right() -> None:
    """Its length is longer than what is left of the first fragment, and the bytes of the next one begin no element."""
    data = bytes.fromhex("e07f10004f42000064000000") + bytes(100)
    pieces = [p_data((3, False, at + 40 >= len(data), data[at : at + 40])) for at in range(0, len(data), 40)]
    assert wrong_lengths(b"".join(pieces)) == []
    assert wrong_lengths(p_data((3, False, True, data[:40]))) == [
        "P-DATA-TF/PDV/data set/(7FE0,0010)/length: 100, 28 bytes follow"
    ]
    two = pieces[0] + pieces[2] + p_data((1, True, True, b"")) + p_data((3, False, True, data[:40]))
    assert len(wrong_lengths(two)) == 1  # a data set of its own again

"""Contents are taken out of what a peer said: not one byte of a data set is left, and every byte keeps its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.conversation import Entry, Transcript, What
from dicos_fuzz.findings.contents import without_contents, without_contents_of_transcript
from dicos_fuzz.grammar import message, read_stream
from dicos_fuzz.grammar.building import p_data
from dicos_fuzz.tree import Leaf, walk
from dicos_proto.dimse.types import CFindResponse
from dicos_proto.dissect import dissect
from tests.fuzz import values
from tests.fuzz.findings.examples import ANSWER, PATIENT, TRANSCRIPT

FOUND = CFindResponse(
    message_id_being_responded_to=1, affected_sop_class_uid="1.2.3", status=0xC000, error_comment="Doe^Jane not found"
)


@given(values.streams)
def test_every_byte_keeps_its_place_and_is_unchanged_or_zero(stream: bytes) -> None:
    found = without_contents(stream)
    assert len(found) == len(stream)
    assert all(one in (was, 0) for one, was in zip(found, stream, strict=True))
    assert without_contents(found) == found


@given(st.lists(st.sampled_from(sorted(values.PDUS.values())), max_size=4).map(b"".join))
def test_what_is_no_content_stays(stream: bytes) -> None:
    assert dissect(without_contents(stream)) == dissect(stream)


@given(st.binary(max_size=100), st.lists(st.integers(1, 40), max_size=5))
def test_not_one_byte_of_a_data_set_is_left(data: bytes, sizes: list[int]) -> None:
    data = bytes(one | 1 for one in data)
    pdus = b"".join(message(3, FOUND, data, max_length=64))
    found = without_contents(pdus)
    leaves = [node.value for path, node in walk(read_stream(found)) if isinstance(node, Leaf) and "data set" in path]
    assert not any(b"".join(leaves).strip(b"\0"))


@pytest.mark.parametrize(
    "stream",
    [
        p_data((1, False, True, PATIENT)),
        p_data((1, False, True, PATIENT))[:-3],
        p_data((1, True, False, PATIENT)),  # a command set in pieces
        p_data((1, True, True, PATIENT)),  # not a command set
        b"".join(message(3, FOUND, PATIENT)),
        b"\x04\x00" + (len(PATIENT) + 4).to_bytes(4, "big") + b"\x00\x00\x00\x01" + PATIENT,  # a PDV too short
        b"\x04\x00" + (len(PATIENT) + 6).to_bytes(4, "big") + b"\xff\xff\xff\xff\x01\x02" + PATIENT,  # ... too long
        b"\x05\x00\x00\x00\x00\x0c" + bytes(4) + PATIENT,
        b"\x4a\x00\x00\x00\x00\x08" + PATIENT,
        b"HTTP/1.1 200 OK\r\n\r\n" + PATIENT,
        values.REQUEST.replace(b"user", PATIENT[:4]).replace(b"pass", PATIENT[-4:]),
    ],
)
def test_no_name_is_left_wherever_it_is(stream: bytes) -> None:
    assert PATIENT[-4:] in stream or stream[-5:] == PATIENT[:5]
    assert PATIENT[:4] not in without_contents(stream)
    assert PATIENT[-4:] not in without_contents(stream)


def test_the_reason_of_an_error_goes_and_its_status_stays() -> None:
    found = dissect(without_contents(b"".join(message(3, FOUND))))
    assert any("0xC000" in line for line in found)
    assert any("error comment: 18 bytes" in line for line in found)


def test_in_a_transcript_only_what_the_peer_sent_changes() -> None:
    found = without_contents_of_transcript(TRANSCRIPT)
    assert [(one.at, one.what, len(one.data)) for one in found.entries] == [
        (one.at, one.what, len(one.data)) for one in TRANSCRIPT.entries
    ]
    assert PATIENT in TRANSCRIPT.received()
    assert PATIENT not in found.received()
    assert found.sent() == TRANSCRIPT.sent()
    assert found.received()[-10:] == values.PDUS["A-ABORT"]


def test_connections_are_read_each_by_itself() -> None:
    entries = [Entry(0.0, number % 2, What.RECEIVED, bytes([one])) for number, one in enumerate(b"".join(
        bytes(pair) for pair in zip(ANSWER, ANSWER, strict=True)))]  # fmt: skip
    found = without_contents_of_transcript(Transcript(entries))
    assert found.received(0) == found.received(1) == without_contents(ANSWER)


def test_beneath_tls_records_stay_and_what_came_in_the_clear_does_not() -> None:
    """A peer that answers DICOM without TLS may send the records of a patient too."""
    alert = b"\x15\x03\x03\x00\x02\x02\x28"
    clear = p_data((1, False, True, PATIENT))
    transcript = Transcript([
        Entry(0.0, 0, What.BENEATH, PATIENT), Entry(0.0, 0, What.HEARD, alert),
        Entry(0.0, 1, What.HEARD, clear[:20]), Entry(0.0, 1, What.HEARD, clear[20:]),
    ])  # fmt: skip
    found = without_contents_of_transcript(transcript).entries
    assert [one.data for one in found[:2]] == [PATIENT, alert]
    assert b"".join(one.data for one in found[2:]) == without_contents(clear) != clear

"""The tap: whole PDUs for the defects, the same bytes for the association, and no deadline lost."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dicos_fuzz.broken.tap import MAX_LENGTH, STALLED, Listener, Tap, p_data_of, said
from dicos_fuzz.grammar import building
from dicos_proto import dimse
from dicos_proto.association import Association
from dicos_proto.registry import uids
from dicos_proto.upper_layer.layer import ready_events
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from tests.fuzz.broken.client import REQUEST, image, store

ECHO_RSP = dimse.CEchoResponse(message_id_being_responded_to=1, affected_sop_class_uid=uids.VERIFICATION, status=0)


class Counting(Tap):
    """A tap that counts what it sees."""

    def __init__(self, wire: Association) -> None:
        super().__init__(wire)
        self.seen: list[int] = []

    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        self.seen.append(pdu[0])
        return super().incoming(pdu)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_pdus_are_seen_whole_however_they_arrive(size: int) -> None:
    association = Association.acceptor()
    tap = Counting(association)
    for at in range(0, len(REQUEST), size):
        tap.receive_data(REQUEST[at : at + size])
    assert tap.seen == [1]
    assert [type(event) for event in ready_events(association)] == [AssociateRequest]


def test_a_pdu_that_is_too_long_goes_to_the_association_at_once() -> None:
    association = Association.acceptor()
    tap = Counting(association)
    tap.receive_data(b"\x01\0\x7f\xff\xff\xff")
    assert tap.seen == []
    list(ready_events(association))
    assert b"".join(tap.data_to_send())[:1] == b"\x07"


def test_a_pdu_that_stalls_goes_on_to_the_association() -> None:
    association = Association.acceptor()
    tap = Counting(association)
    tap.receive_data(REQUEST[:50])
    deadline = tap.deadline(1000)
    assert deadline is not None
    assert deadline.at == 1000 + STALLED
    tap.handle_timeout(deadline.at)
    assert tap.deadline(deadline.at) != deadline
    tap.receive_data(REQUEST[50:])
    assert [type(event) for event in ready_events(association)] == [AssociateRequest]
    assert tap.seen == []


def test_an_earlier_deadline_of_the_association_counts() -> None:
    association = Association.acceptor()
    tap = Tap(association)
    first = tap.deadline(0)
    assert first is not None
    tap.receive_data(REQUEST[:50])
    assert tap.deadline(first.at - STALLED / 2) == first


def test_the_end_comes_after_what_was_collected() -> None:
    association = Association.acceptor()
    tap = Tap(association)
    tap.receive_data(REQUEST[:50])
    tap.receive_eof()
    list(ready_events(association))
    assert association.state is State.Sta1
    assert tap.wants_close
    assert not tap.wants_read


def test_words_of_the_tap_go_out_first() -> None:
    tap = Tap(Association.acceptor())
    tap.say(b"\x06\0\0\0\0\4\0\0\0\0")
    assert tap.data_to_send() == [b"\x06\0\0\0\0\4\0\0\0\0"]
    assert tap.data_to_send() == []


@pytest.mark.parametrize("most", [64, MAX_LENGTH])
def test_a_listener_follows_fragments(most: int) -> None:
    listener = Listener()
    heard = []
    pdus = store(image(500), number=7, max_length=most)
    for pdu in pdus:
        for pdv in p_data_of(pdu):
            found = listener.hear(pdv)
            if found is not None:
                heard.append((found, listener.in_data))
    assert [(command.NAME, in_data) for command, in_data in heard] == [("C-STORE-RQ", True)]
    assert not listener.in_data


def test_a_command_set_that_cannot_be_read_is_none() -> None:
    listener = Listener()
    (pdv,) = p_data_of(building.p_data((1, True, True, b"garbage!")))
    assert listener.hear(pdv) is None
    assert listener.command is None


@pytest.mark.parametrize("pdu", [REQUEST, b"\x04\0\0\0\0\2\0\0", b"\x99\0\0\0\0\0"])
def test_other_pdus_and_broken_ones_have_no_pdvs(pdu: bytes) -> None:
    assert p_data_of(pdu) == ()


def test_a_message_is_read_as_it_was_said() -> None:
    (pdv,) = p_data_of(said(3, ECHO_RSP))
    assert Listener().hear(pdv) == ECHO_RSP
    assert pdv.context == 3


def test_a_header_that_begins_no_pdu_goes_to_the_association_at_once() -> None:
    association = Association.acceptor()
    tap = Counting(association)
    tap.receive_data(b"\x99\0\0\0\0\x09")
    list(ready_events(association))
    assert b"".join(tap.data_to_send())[:1] == b"\x07"

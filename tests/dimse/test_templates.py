"""A command set that looks like one before is decoded by where its values lay there: nobody may see a difference."""

import pytest

from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.types import (
    CEchoRequest,
    CEchoResponse,
    CFindResponse,
    CMoveRequest,
    Command,
    CStoreRequest,
    CStoreResponse,
    NGetRequest,
)
from dicos_proto.errors import AbortReason, Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import EVERYTHING, Judge
from tests.upper_layer.layouts import command_set, element, us

CT, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"

MESSAGES: dict[str, tuple[Command, bool]] = {
    "C-ECHO-RQ": (CEchoRequest(message_id=7, affected_sop_class_uid=VERIFICATION), False),
    "C-ECHO-RSP": (CEchoResponse(message_id_being_responded_to=7, status=0), False),
    "C-STORE-RQ": (
        CStoreRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="2.25.11", priority=1), True,
    ),
    "C-STORE-RSP": (
        CStoreResponse(
            message_id_being_responded_to=7, status=0xA900, affected_sop_class_uid=CT,
            affected_sop_instance_uid="2.25.11", offending_element=(0x00080018,), error_comment="odd", error_id=3,
        ), False,
    ),
    "C-MOVE-RQ": (CMoveRequest(message_id=7, affected_sop_class_uid=CT, move_destination="ARCHIVE"), True),
    "C-FIND-RSP": (CFindResponse(message_id_being_responded_to=7, status=0xFF00), True),
    "N-GET-RQ": (
        NGetRequest(message_id=7, requested_sop_class_uid=CT, requested_sop_instance_uid="2.25.11",
                    attribute_identifier_list=(0x00080018, 0x7FE00010)), False,
    ),
}  # fmt: skip


def forget() -> None:
    """Command sets of more lengths than are remembered: none of those before is remembered after that."""
    for length in range(2, 129):
        first = min(length - 1, 64)
        request = CStoreRequest(
            message_id=1,
            affected_sop_class_uid="1" * first,
            affected_sop_instance_uid="1" * (length - first),
            move_originator_message_id=1,
        )
        lenient = Judge(Limits(), EVERYTHING)  # of such UIDs there is one of each length
        assert decode_command(encode_command(request, has_data=True), lenient) == (request, True)


def outcome(raw: bytes) -> tuple[Command, bool] | Malformed:
    try:
        return decode_command(raw)
    except Malformed as fault:
        return fault


@pytest.mark.parametrize(("command", "has_data"), MESSAGES.values(), ids=MESSAGES)
def test_every_byte_changed_means_the_same_as_if_nothing_had_been_seen_before(command: Command, has_data: bool) -> None:
    good = encode_command(command, has_data=has_data)
    damaged = [
        good[:at] + bytes((value,)) + good[at + 1 :]
        for at in range(len(good))
        for value in {0, 1, 0x20, 0x5C, 0xFF, good[at] ^ 2} - {good[at]}
    ]
    forget()
    unseen = []
    for raw in damaged:
        unseen.append(outcome(raw))
        if not isinstance(unseen[-1], Malformed):
            forget()  # what was not refused is remembered
    for raw, expected in zip(damaged, unseen, strict=True):
        assert decode_command(good) == (command, has_data)
        assert outcome(raw) == expected


def test_a_number_may_be_an_enumerated_one() -> None:
    response = CEchoResponse(message_id_being_responded_to=7, status=AbortReason.INVALID_PARAMETER)
    assert decode_command(encode_command(response, has_data=False)) == (response, False)


def test_values_are_those_of_each_message() -> None:
    for number in (0, 1, 0x00FF, 0xFF00, 0xFFFF):
        for instance in ("2.25.11", "1.2.3.4", "1.2.345"):
            request = CStoreRequest(message_id=number, affected_sop_class_uid=CT, affected_sop_instance_uid=instance)
            assert decode_command(encode_command(request, has_data=True)) == (request, True)
            assert decode_command(encode_command(request, has_data=False)) == (request, False)


def test_messages_of_one_length_are_told_apart() -> None:
    responses: list[Command] = [
        kind(message_id_being_responded_to=7, status=0xFF00, affected_sop_class_uid=CT)
        for kind in (CEchoResponse, CStoreResponse, CFindResponse)
    ]
    encoded = [(encode_command(each, has_data=data), each, data) for each in responses for data in (False, True)]
    assert len({len(raw) for raw, _, _ in encoded}) == 1
    for _ in range(3):
        for raw, command, has_data in encoded:
            assert decode_command(raw) == (command, has_data)


def test_a_blank_where_a_name_is_needed_is_refused_as_ever() -> None:
    request = CMoveRequest(message_id=7, affected_sop_class_uid=CT, move_destination="ARCHIVES")
    raw = encode_command(request, has_data=True)
    for _ in range(2):
        assert decode_command(raw) == (request, True)
        with pytest.raises(Malformed, match="no \\(0000,0600\\) move destination in C-MOVE-RQ"):
            decode_command(raw.replace(b"ARCHIVES", b" " * 8))


def test_a_blank_where_a_text_may_be_is_a_blank() -> None:
    response = CEchoResponse(message_id_being_responded_to=7, status=0x0110, error_comment="no room!")
    raw = encode_command(response, has_data=False)
    blank = CEchoResponse(message_id_being_responded_to=7, status=0x0110, error_comment="")
    for _ in range(2):
        assert decode_command(raw) == (response, False)
        assert decode_command(raw.replace(b"no room!", b" " * 8)) == (blank, False)


def test_elements_a_message_does_not_define_stay_with_their_message() -> None:
    for value in (b"ab", b"cd"):
        raw = command_set(us(0x0100, 0x8030), us(0x0120, 7), us(0x0800, 0x0101), us(0x0900, 0), element(0x5000, value))
        expected = CEchoResponse(message_id_being_responded_to=7, status=0, other=((0x5000, value),))
        assert decode_command(raw) == (expected, False)


def test_long_command_sets_are_decoded_like_any() -> None:
    tags = tuple(range(0x00080000, 0x00080100))
    for first in (1, 2):
        request = NGetRequest(message_id=7, requested_sop_class_uid=CT, requested_sop_instance_uid="2.25.1",
                              attribute_identifier_list=(first, *tags))  # fmt: skip
        assert decode_command(encode_command(request, has_data=False)) == (request, False)


def test_what_was_seen_cannot_be_changed() -> None:
    raw = encode_command(CEchoRequest(message_id=7, affected_sop_class_uid=VERIFICATION), has_data=False)
    for _ in range(2):
        command, _ = decode_command(raw)
        with pytest.raises(AttributeError):
            command.message_id = 8  # type: ignore[misc, union-attr]
        assert hash(command) == hash(CEchoRequest(message_id=7, affected_sop_class_uid=VERIFICATION))

"""Messages <-> command sets: bytes typed from PS3.7 9.3 and E.1, every fault named, what is not defined passed on."""

from dataclasses import fields, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.types import (
    MESSAGES,
    PRIORITY_HIGH,
    PRIORITY_LOW,
    PRIORITY_MEDIUM,
    AnyRequest,
    AnyResponse,
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CMoveRequest,
    Command,
    CStoreRequest,
    CStoreResponse,
    DataSet,
    NActionRequest,
    misplaced_data,
    response_to,
    sop_class_of,
    sop_instance_of,
)
from dicos_proto.errors import AbortReason, LocalProtocolError, Malformed
from tests import strategies
from tests.upper_layer.layouts import command_set, element, us

VERIFICATION, CT = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"

TYPED: dict[str, tuple[str, Command, bool]] = {
    "C-ECHO-RQ": (
        "00000000 04000000 38000000"
        "00000200 12000000 312e322e3834302e31303030382e312e3100"
        "00000001 02000000 3000"
        "00001001 02000000 0700"
        "00000008 02000000 0101",
        CEchoRequest(message_id=7, affected_sop_class_uid=VERIFICATION),
        False,
    ),
    "C-ECHO-RSP": (
        "00000000 04000000 42000000"
        "00000200 12000000 312e322e3834302e31303030382e312e3100"
        "00000001 02000000 3080"
        "00002001 02000000 0700"
        "00000008 02000000 0101"
        "00000009 02000000 0000",
        CEchoResponse(message_id_being_responded_to=7, status=0, affected_sop_class_uid=VERIFICATION),
        False,
    ),
    "C-STORE-RQ": (
        "00000000 04000000 72000000"
        "00000200 1a000000 312e322e3834302e31303030382e352e312e342e312e312e3200"
        "00000001 02000000 0100"
        "00001001 02000000 feff"
        "00000007 02000000 0200"
        "00000008 02000000 0100"
        "00000010 06000000 312e322e3300"
        "00003010 08000000 4d4f564553435520"
        "00003110 02000000 0900",
        CStoreRequest(
            message_id=0xFFFE,
            affected_sop_class_uid=CT,
            affected_sop_instance_uid="1.2.3",
            priority=2,
            move_originator_aet="MOVESCU",
            move_originator_message_id=9,
        ),
        True,
    ),
    "C-STORE-RSP": (
        "00000000 04000000 7e000000"
        "00000200 1a000000 312e322e3834302e31303030382e352e312e342e312e312e3200"
        "00000001 02000000 0180"
        "00002001 02000000 0700"
        "00000008 02000000 0101"
        "00000009 02000000 00a9"
        "00000109 08000000 0800180010001000"
        "00000209 04000000 6f646420"
        "00000309 02000000 0201"
        "00000010 06000000 312e322e3300",
        CStoreResponse(
            message_id_being_responded_to=7,
            status=0xA900,
            affected_sop_class_uid=CT,
            affected_sop_instance_uid="1.2.3",
            offending_element=(0x00080018, 0x00100010),
            error_comment="odd",
            error_id=0x0102,
        ),
        False,
    ),
    "C-CANCEL-RQ": (
        "00000000 04000000 1e000000 00000001 02000000 ff0f 00002001 02000000 0700 00000008 02000000 0101",
        CCancelRequest(message_id_being_responded_to=7),
        False,
    ),
    "N-ACTION-RQ": (
        "00000000 04000000 58000000"
        "00000300 1a000000 312e322e3834302e31303030382e352e312e342e312e312e3200"
        "00000001 02000000 3001"
        "00001001 02000000 0700"
        "00000008 02000000 0100"
        "00000110 06000000 312e322e3300"
        "00000810 02000000 0100",
        NActionRequest(message_id=7, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2.3", action_type_id=1),
        True,
    ),
    "C-FIND-RSP": (
        "00000000 04000000 28000000"
        "00000001 02000000 2080"
        "00002001 02000000 0700"
        "00000008 02000000 0100"
        "00000009 02000000 00ff",
        CFindResponse(message_id_being_responded_to=7, status=0xFF00),
        True,
    ),
}


@pytest.mark.parametrize(("typed", "command", "has_data"), TYPED.values(), ids=TYPED)
def test_command_set_of_its_layout(typed: str, command: Command, has_data: bool) -> None:
    whole = bytes.fromhex(typed)
    assert encode_command(command, has_data=has_data) == whole
    assert decode_command(whole) == (command, has_data)


@pytest.mark.parametrize(("name", "command"), [(name, case[1]) for name, case in TYPED.items()], ids=TYPED)
def test_messages_have_the_names_of_the_standard(name: str, command: Command) -> None:
    assert command.NAME == name
    assert us(0x0100, command.COMMAND_FIELD) in encode_command(command, has_data=False)


# PS3.7 E.1, (0000,0100), and for each message whether 9.3 and 10.3 give it a data set.
NEVER, ALWAYS, MAY, PENDING = DataSet.NEVER, DataSet.ALWAYS, DataSet.OPTIONAL, DataSet.PENDING
PRINTED = {
    0x0001: ("C-STORE-RQ", ALWAYS), 0x8001: ("C-STORE-RSP", NEVER),
    0x0010: ("C-GET-RQ", ALWAYS), 0x8010: ("C-GET-RSP", MAY),
    0x0020: ("C-FIND-RQ", ALWAYS), 0x8020: ("C-FIND-RSP", PENDING),
    0x0021: ("C-MOVE-RQ", ALWAYS), 0x8021: ("C-MOVE-RSP", MAY),
    0x0030: ("C-ECHO-RQ", NEVER), 0x8030: ("C-ECHO-RSP", NEVER),
    0x0FFF: ("C-CANCEL-RQ", NEVER),
    0x0100: ("N-EVENT-REPORT-RQ", MAY), 0x8100: ("N-EVENT-REPORT-RSP", MAY),
    0x0110: ("N-GET-RQ", NEVER), 0x8110: ("N-GET-RSP", MAY),
    0x0120: ("N-SET-RQ", ALWAYS), 0x8120: ("N-SET-RSP", MAY),
    0x0130: ("N-ACTION-RQ", MAY), 0x8130: ("N-ACTION-RSP", MAY),
    0x0140: ("N-CREATE-RQ", MAY), 0x8140: ("N-CREATE-RSP", MAY),
    0x0150: ("N-DELETE-RQ", NEVER), 0x8150: ("N-DELETE-RSP", NEVER),
}  # fmt: skip


def test_the_messages_are_those_of_the_standard() -> None:
    assert {cls.COMMAND_FIELD: (cls.NAME, cls.DATA_SET) for cls in get_args(Command)} == PRINTED
    assert {number: name for number, (name, _) in PRINTED.items()} == MESSAGES


# PS3.7 9.3 and 10.3: the elements of each message beside (0000,0100) and (0000,0800); in brackets where optional.
ELEMENTS = {
    "C-STORE-RQ": "0002 0110 0700 1000 [1030] [1031]",
    "C-STORE-RSP": "[0002] 0120 0900 [1000]",
    "C-FIND-RQ": "0002 0110 0700",
    "C-FIND-RSP": "[0002] 0120 0900",
    "C-GET-RQ": "0002 0110 0700",
    "C-GET-RSP": "[0002] 0120 0900 [1020] [1021] [1022] [1023]",
    "C-MOVE-RQ": "0002 0110 0600 0700",
    "C-MOVE-RSP": "[0002] 0120 0900 [1020] [1021] [1022] [1023]",
    "C-ECHO-RQ": "0002 0110",
    "C-ECHO-RSP": "[0002] 0120 0900",
    "C-CANCEL-RQ": "0120",
    "N-EVENT-REPORT-RQ": "0002 0110 1000 1002",
    "N-EVENT-REPORT-RSP": "[0002] 0120 0900 [1000] [1002]",
    "N-GET-RQ": "0003 0110 1001 [1005]",
    "N-GET-RSP": "[0002] 0120 0900 [1000] [1005]",
    "N-SET-RQ": "0003 0110 1001",
    "N-SET-RSP": "[0002] 0120 0900 [1000] [1005]",
    "N-ACTION-RQ": "0003 0110 1001 1008",
    "N-ACTION-RSP": "[0002] 0120 0900 [1000] [1008]",
    "N-CREATE-RQ": "0002 0110 [1000]",
    "N-CREATE-RSP": "[0002] 0120 0900 [1000] [1005]",
    "N-DELETE-RQ": "0003 0110 1001",
    "N-DELETE-RSP": "[0002] 0120 0900 [1000]",
}
EXPLAINING = "[0901] [0902] [0903]"
VALUES = {
    "0002": b"1.2\0", "0003": b"1.2\0", "0110": b"\7\0", "0120": b"\7\0", "0600": b"DEST", "0700": b"\2\0",
    "0900": b"\0\1", "0901": bytes(4), "0902": b"why ", "0903": b"\1\0", "1000": b"1.3\0", "1001": b"1.3\0",
    "1002": b"\1\0", "1005": b"\x10\0\x20\0", "1008": b"\1\0", "1020": b"\1\0", "1021": b"\1\0",
    "1022": b"\1\0", "1023": b"\1\0", "1030": b"MOVE", "1031": b"\1\0",
}  # fmt: skip


def elements_of(cls: type[Command]) -> list[str]:
    listed = ELEMENTS[cls.NAME].split()
    return sorted(listed + EXPLAINING.split(), key=lambda one: one.strip("[]")) if "RSP" in cls.NAME else listed


def written(cls: type[Command], numbers: list[str]) -> bytes:
    parts = {number: element(int(number, 16), VALUES[number]) for number in numbers}
    parts |= {"0100": us(0x0100, cls.COMMAND_FIELD), "0800": us(0x0800, 0)}
    return command_set(*(part for _, part in sorted(parts.items())))


@pytest.mark.parametrize("cls", get_args(Command), ids=lambda cls: cls.NAME)
def test_a_message_has_all_its_elements_each_as_a_field(cls: type[Command]) -> None:
    numbers = [one.strip("[]") for one in elements_of(cls)]
    whole = written(cls, numbers)
    command, has_data = decode_command(whole)
    assert (type(command), command.other, has_data) == (cls, (), True)
    assert encode_command(command, has_data=False) == whole.replace(us(0x0800, 0), us(0x0800, 0x0101))
    assert None not in [getattr(command, each.name) for each in fields(command)]


@pytest.mark.parametrize("cls", get_args(Command), ids=lambda cls: cls.NAME)
def test_only_the_mandatory_elements_have_to_be_there(cls: type[Command]) -> None:
    mandatory = [one for one in elements_of(cls) if not one.startswith("[")]
    whole = written(cls, mandatory)
    command, _ = decode_command(whole)
    assert encode_command(command, has_data=False) == whole.replace(us(0x0800, 0), us(0x0800, 0x0101))
    for missing in mandatory:
        with pytest.raises(Malformed, match=rf"no \(0000,{missing}\) .* in {cls.NAME} \[PS3\.7 9\.3\]"):
            decode_command(written(cls, [one for one in mandatory if one != missing]))


@pytest.mark.parametrize("cls", get_args(AnyRequest), ids=lambda cls: cls.NAME)
def test_a_response_repeats_what_its_request_was_about(cls: type[AnyRequest]) -> None:
    request, _ = decode_command(written(cls, [one.strip("[]") for one in elements_of(cls)]))
    assert isinstance(request, AnyRequest)
    response = response_to(request, 0x0110, "why")
    assert response.COMMAND_FIELD == request.COMMAND_FIELD | 0x8000
    assert (response.message_id_being_responded_to, response.status, response.error_comment) == (7, 0x0110, "why")
    assert response.affected_sop_class_uid == sop_class_of(request) == "1.2"
    has_instance = not isinstance(request, CEchoRequest | CFindRequest | CGetRequest | CMoveRequest)
    assert sop_instance_of(request) == ("1.3" if has_instance else None)
    assert getattr(response, "affected_sop_instance_uid", None) == sop_instance_of(request)
    assert getattr(response, "event_type_id", None) == getattr(request, "event_type_id", None)
    assert getattr(response, "action_type_id", None) == getattr(request, "action_type_id", None)


@pytest.mark.parametrize("cls", get_args(Command), ids=lambda cls: cls.NAME)
@pytest.mark.parametrize("status", [0x0000, 0xFF00, 0xFF01, 0xB000, 0xFE00])
def test_which_messages_have_a_data_set(cls: type[Command], status: int) -> None:
    command, _ = decode_command(written(cls, [one.strip("[]") for one in elements_of(cls)]))
    if isinstance(command, AnyResponse):
        command = replace(command, status=status)
    rule = PRINTED[cls.COMMAND_FIELD][1]
    pending = status in (0xFF00, 0xFF01)
    may = {NEVER: {False}, ALWAYS: {True}, MAY: {False, True}, PENDING: {pending}}[rule]
    assert {has_data for has_data in (False, True) if misplaced_data(command, has_data) is None} == may
    if rule is NEVER:
        assert misplaced_data(command, True) == f"{cls.NAME} with a data set; it has no data set"


@pytest.mark.parametrize("value", [0x0000, 0x0001, 0x0100, 0x0102, 0xFFFF])
def test_any_data_set_type_but_0101_says_that_one_follows(value: int) -> None:
    whole = command_set(us(0x0100, 0x0FFF), us(0x0120, 1), us(0x0800, value))
    assert decode_command(whole) == (CCancelRequest(message_id_being_responded_to=1), True)


def test_priorities_are_those_of_the_standard() -> None:
    """PS3.7 E.1, (0000,0700)."""
    assert (PRIORITY_LOW, PRIORITY_MEDIUM, PRIORITY_HIGH) == (2, 0, 1)


def test_elements_a_message_does_not_define_are_kept_and_passed_on() -> None:
    strange = (
        element(0x0001, b""),
        element(0x0002, b"1.2\0"),
        element(0x0010, b"NEMA"),
        us(0x0100, 0x0030),
        us(0x0110, 1),
        us(0x0120, 2),
        us(0x0800, 0x0101),
        element(0xFFFE, b"ab"),
    )
    command, has_data = decode_command(command_set(*strange))
    assert command == CEchoRequest(
        message_id=1,
        affected_sop_class_uid="1.2",
        other=((0x0001, b""), (0x0010, b"NEMA"), (0x0120, b"\x02\0"), (0xFFFE, b"ab")),
    )
    assert encode_command(command, has_data=has_data) == command_set(*strange)


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"1.2\0", "1.2"), (b"2.99", "2.99"), (b"2." + b"7" * 62, "2." + "7" * 62)],
    ids=["padded", "even", "longest"],
)
def test_a_uid_is_read_without_its_padding(raw: bytes, text: str) -> None:
    """An unknown SOP class is answered with a status, not with an abort [PS3.7 annex C]."""
    whole = command_set(element(0x0002, raw), us(0x0100, 0x0030), us(0x0110, 1), us(0x0800, 0x0101))
    assert decode_command(whole)[0] == CEchoRequest(message_id=1, affected_sop_class_uid=text)


def test_optional_values_may_be_empty() -> None:
    fields = (us(0x0100, 0x8030), us(0x0120, 1), us(0x0800, 0x0101), us(0x0900, 0))
    whole = command_set(element(0x0002, b""), *fields, element(0x0901, b""), element(0x0902, b"  "))
    command, _ = decode_command(whole)
    assert command == CEchoResponse(
        message_id_being_responded_to=1, status=0, affected_sop_class_uid="", offending_element=(), error_comment=""
    )


@settings(max_examples=200)
@given(strategies.commands, st.booleans())
def test_what_is_encoded_is_decoded_equal(command: Command, has_data: bool) -> None:
    whole = encode_command(command, has_data=has_data)
    assert decode_command(whole) == (command, has_data)


def decode_or_fault(whole: bytes) -> tuple[Command, bool] | Malformed:
    try:
        return decode_command(whole)
    except Malformed as fault:
        return fault


@settings(max_examples=500)
@given(strategies.damaged(strategies.commands.map(lambda command: encode_command(command, has_data=True))))
def test_damaged_bytes_are_a_message_that_can_be_sent_on_or_malformed(damaged: bytes) -> None:
    """A provider that answers with what it was sent must not be made to fail by it."""
    rest = damaged[12:]
    for whole in (damaged, command_set(rest)):
        result = decode_or_fault(whole)
        if isinstance(result, Malformed):
            assert result.clause.startswith("PS3.")
        else:
            command, has_data = result
            assert decode_command(encode_command(command, has_data=has_data)) == result


def test_faults_are_the_decoders_own_not_the_callers() -> None:
    with pytest.raises(Malformed) as caught:
        decode_command(command_set(us(0x0100, 0x0031), us(0x0800, 0x0101)))
    assert not isinstance(caught.value, LocalProtocolError)
    assert caught.value.reason is AbortReason.UNRECOGNIZED_PARAMETER


def test_what_was_encoded_before_makes_no_difference() -> None:
    """Most of a command set is cached: every difference still shows, and faults are found again."""
    one = CStoreResponse(message_id_being_responded_to=1, status=0, affected_sop_instance_uid="1.2")
    whole = encode_command(one, has_data=False)
    assert encode_command(replace(one, message_id_being_responded_to=1), has_data=False) == whole
    assert decode_command(encode_command(replace(one, affected_sop_instance_uid="1.2.345"), has_data=False)) == (
        replace(one, affected_sop_instance_uid="1.2.345"), False,
    )  # fmt: skip
    for broken in (
        replace(one, message_id_being_responded_to=65536),
        replace(one, affected_sop_instance_uid="1" * 65),
        replace(one, offending_element=[0x00100010]),  # type: ignore[arg-type]
    ):
        for _ in range(2):
            with pytest.raises(LocalProtocolError):
                encode_command(broken, has_data=False)
    blank = replace(one, affected_sop_instance_uid="")
    assert decode_command(encode_command(blank, has_data=False)) == (blank, False)
    assert encode_command(one, has_data=False) == whole


def test_more_kinds_of_messages_than_are_remembered() -> None:
    for status in range(0xC000, 0xC200):
        one = CStoreResponse(message_id_being_responded_to=1, status=status)
        assert decode_command(encode_command(one, has_data=False)) == (one, False)

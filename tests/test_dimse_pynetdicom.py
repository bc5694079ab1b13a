"""pynetdicom's command sets and ours are the same bytes, and each reads the other's."""

from importlib import import_module
from io import BytesIO
from unittest.mock import patch

import pytest
from pydicom.uid import UID_dictionary

from dicos_proto.dimse import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    OtherRequest,
    OtherResponse,
    command_field,
    command_name,
    decode_command,
    encode_command,
)

with patch.dict(UID_dictionary):
    # Importing pynetdicom adds to pydicom's dictionary, which other tests compare with: it is put back as it was.
    dimse_messages, dimse_primitives = (
        import_module(f"pynetdicom.dimse_{name}") for name in ("messages", "primitives")
    )
    dsutils = import_module("pynetdicom.dsutils")

VERIFICATION, CT, FIND = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.2.1"
FIND_VALUE = FIND.encode() + b"\0"

Fields = dict[str, object]

MESSAGES: dict[str, tuple[str, str, Fields, Command]] = {
    "C-ECHO-RQ": (
        "C_ECHO_RQ",
        "C_ECHO",
        {"MessageID": 7, "AffectedSOPClassUID": VERIFICATION},
        CEchoRequest(message_id=7, affected_sop_class_uid=VERIFICATION),
    ),
    "C-ECHO-RSP": (
        "C_ECHO_RSP",
        "C_ECHO",
        {"MessageIDBeingRespondedTo": 7, "AffectedSOPClassUID": VERIFICATION, "Status": 0x0000},
        CEchoResponse(message_id_being_responded_to=7, status=0, affected_sop_class_uid=VERIFICATION),
    ),
    "C-STORE-RQ": (
        "C_STORE_RQ",
        "C_STORE",
        {"MessageID": 65535, "AffectedSOPClassUID": CT, "AffectedSOPInstanceUID": "1.2.3", "Priority": 1},
        CStoreRequest(message_id=65535, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", priority=1),
    ),
    "C-STORE-RQ of a C-MOVE": (
        "C_STORE_RQ",
        "C_STORE",
        {
            "MessageID": 1,
            "AffectedSOPClassUID": CT,
            "AffectedSOPInstanceUID": "1.2.34",
            "Priority": 2,
            "MoveOriginatorApplicationEntityTitle": "MOVER",
            "MoveOriginatorMessageID": 9,
        },
        CStoreRequest(
            message_id=1,
            affected_sop_class_uid=CT,
            affected_sop_instance_uid="1.2.34",
            priority=2,
            move_originator_aet="MOVER",
            move_originator_message_id=9,
        ),
    ),
    "C-STORE-RSP": (
        "C_STORE_RSP",
        "C_STORE",
        {
            "MessageIDBeingRespondedTo": 7,
            "AffectedSOPClassUID": CT,
            "AffectedSOPInstanceUID": "1.2.3",
            "Status": 0x0000,
        },
        CStoreResponse(
            message_id_being_responded_to=7, status=0, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3"
        ),
    ),
    "C-STORE-RSP of a failure": (
        "C_STORE_RSP",
        "C_STORE",
        {
            "MessageIDBeingRespondedTo": 7,
            "Status": 0xA900,
            "ErrorComment": "odd",
            "OffendingElement": [0x00100010],
        },
        CStoreResponse(
            message_id_being_responded_to=7, status=0xA900, error_comment="odd", offending_element=(0x00100010,)
        ),
    ),
    "C-CANCEL-RQ": (
        "C_CANCEL_RQ",
        "C_CANCEL",
        {"MessageIDBeingRespondedTo": 7},
        CCancelRequest(message_id_being_responded_to=7),
    ),
    "C-FIND-RQ": (
        "C_FIND_RQ",
        "C_FIND",
        {"MessageID": 7, "AffectedSOPClassUID": FIND, "Priority": 2},
        OtherRequest(message_id=7, command_field=0x0020, other=((0x0002, FIND_VALUE), (0x0700, b"\2\0"))),
    ),
    "C-FIND-RSP": (
        "C_FIND_RSP",
        "C_FIND",
        {"MessageIDBeingRespondedTo": 7, "AffectedSOPClassUID": FIND, "Status": 0xFF00},
        OtherResponse(
            message_id_being_responded_to=7, status=0xFF00, command_field=0x8020, other=((0x0002, FIND_VALUE),)
        ),
    ),
}
DATA_OF = {"C_STORE_RQ": "DataSet", "C_FIND_RQ": "Identifier", "C_FIND_RSP": "Identifier"}
CASES = [
    pytest.param(*case, has_data, id=f"{name}, {'with' if has_data else 'no'} data")
    for name, case in MESSAGES.items()
    for has_data in (False, True)
    if not has_data or case[0] in DATA_OF
]


@pytest.mark.parametrize(("message", "primitive", "fields", "command", "has_data"), CASES)
def test_same_bytes(message: str, primitive: str, fields: Fields, command: Command, has_data: bool) -> None:
    asked = getattr(dimse_primitives, primitive)()
    for name, value in fields.items():
        setattr(asked, name, value)
    if has_data:
        setattr(asked, DATA_OF[message], BytesIO(b"\x08\0\x16\0\0\0\0\0"))
    theirs = getattr(dimse_messages, message)()
    theirs.primitive_to_message(asked)
    whole = dsutils.encode(theirs.command_set, True, True)
    assert whole is not None
    assert encode_command(command, has_data=has_data) == whole
    assert decode_command(whole) == (command, has_data)


@pytest.mark.parametrize(("message", "primitive", "fields", "command", "has_data"), CASES)
def test_theirs_reads_ours(message: str, primitive: str, fields: Fields, command: Command, has_data: bool) -> None:
    whole = BytesIO(encode_command(command, has_data=has_data))
    read = getattr(dimse_messages, message)()
    read.command_set = dsutils.decode(whole, True, True)
    primitive_read = read.message_to_primitive()
    assert type(primitive_read).__name__ == primitive
    assert read.command_set.CommandField == command_field(command)
    assert (read.command_set.CommandDataSetType != 0x0101) == has_data
    assert message.replace("_", "-") == command_name(command)
    for name, value in fields.items():
        seen = getattr(primitive_read, name)
        assert seen == (value[0] if isinstance(value, list) else value)

"""pynetdicom's command sets and ours are the same bytes, and each reads the other's."""

from importlib import import_module
from io import BytesIO
from typing import Any
from unittest.mock import patch

import pytest
from pydicom.uid import UID_dictionary

from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    NActionRequest,
    NActionResponse,
    NCreateRequest,
    NCreateResponse,
    NDeleteRequest,
    NDeleteResponse,
    NEventReportRequest,
    NEventReportResponse,
    NGetRequest,
    NGetResponse,
    NSetRequest,
    NSetResponse,
)

with patch.dict(UID_dictionary):
    # Importing pynetdicom adds to pydicom's dictionary, which other tests compare with: it is put back as it was.
    dimse_messages, dimse_primitives = (
        import_module(f"pynetdicom.dimse_{name}") for name in ("messages", "primitives")
    )
    dsutils = import_module("pynetdicom.dsutils")

VERIFICATION, CT, FIND = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.2.1"

Fields = dict[str, object]

COUNTERS: Fields = {
    f"NumberOf{name}Suboperations": n for n, name in enumerate(("Remaining", "Completed", "Failed", "Warning"), 1)
}
COUNTED: Any = {"remaining": 1, "completed": 2, "failed": 3, "warning": 4}
AFFECTED: Fields = {"AffectedSOPClassUID": CT, "AffectedSOPInstanceUID": "1.2.3"}
REQUESTED: Fields = {"RequestedSOPClassUID": CT, "RequestedSOPInstanceUID": "1.2.3"}
WANTED: Any = {"requested_sop_class_uid": CT, "requested_sop_instance_uid": "1.2.3"}
ANSWERED: Fields = {"MessageIDBeingRespondedTo": 7, **AFFECTED, "Status": 0x0107}
RESPONSE: Any = {
    "message_id_being_responded_to": 7, "status": 0x0107, "affected_sop_class_uid": CT,
    "affected_sop_instance_uid": "1.2.3",
}  # fmt: skip

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
        CFindRequest(message_id=7, affected_sop_class_uid=FIND, priority=2),
    ),
    "C-FIND-RSP": (
        "C_FIND_RSP",
        "C_FIND",
        {"MessageIDBeingRespondedTo": 7, "AffectedSOPClassUID": FIND, "Status": 0xFF00},
        CFindResponse(message_id_being_responded_to=7, status=0xFF00, affected_sop_class_uid=FIND),
    ),
    "C-GET-RQ": (
        "C_GET_RQ",
        "C_GET",
        {"MessageID": 7, "AffectedSOPClassUID": FIND, "Priority": 1},
        CGetRequest(message_id=7, affected_sop_class_uid=FIND, priority=1),
    ),
    "C-GET-RSP": (
        "C_GET_RSP",
        "C_GET",
        {"MessageIDBeingRespondedTo": 7, "AffectedSOPClassUID": FIND, "Status": 0xFF00, **COUNTERS},
        CGetResponse(message_id_being_responded_to=7, affected_sop_class_uid=FIND, status=0xFF00, **COUNTED),
    ),
    "C-MOVE-RQ": (
        "C_MOVE_RQ",
        "C_MOVE",
        {"MessageID": 7, "AffectedSOPClassUID": FIND, "Priority": 0, "MoveDestination": "DEST"},
        CMoveRequest(message_id=7, affected_sop_class_uid=FIND, move_destination="DEST"),
    ),
    "C-MOVE-RSP": (
        "C_MOVE_RSP",
        "C_MOVE",
        {"MessageIDBeingRespondedTo": 7, "AffectedSOPClassUID": FIND, "Status": 0xB000, **COUNTERS},
        CMoveResponse(message_id_being_responded_to=7, affected_sop_class_uid=FIND, status=0xB000, **COUNTED),
    ),
    "N-EVENT-REPORT-RQ": (
        "N_EVENT_REPORT_RQ",
        "N_EVENT_REPORT",
        {"MessageID": 7, **AFFECTED, "EventTypeID": 2},
        NEventReportRequest(
            message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", event_type_id=2
        ),
    ),
    "N-EVENT-REPORT-RSP": (
        "N_EVENT_REPORT_RSP",
        "N_EVENT_REPORT",
        {**ANSWERED, "EventTypeID": 2},
        NEventReportResponse(**RESPONSE, event_type_id=2),
    ),
    "N-GET-RQ": (
        "N_GET_RQ",
        "N_GET",
        {"MessageID": 7, **REQUESTED, "AttributeIdentifierList": [0x00100010, 0x00100020]},
        NGetRequest(message_id=7, **WANTED, attribute_identifier_list=(0x00100010, 0x00100020)),
    ),
    "N-GET-RQ of all": ("N_GET_RQ", "N_GET", {"MessageID": 7, **REQUESTED}, NGetRequest(message_id=7, **WANTED)),
    "N-GET-RSP": ("N_GET_RSP", "N_GET", ANSWERED, NGetResponse(**RESPONSE)),
    "N-SET-RQ": ("N_SET_RQ", "N_SET", {"MessageID": 7, **REQUESTED}, NSetRequest(message_id=7, **WANTED)),
    "N-SET-RSP": ("N_SET_RSP", "N_SET", ANSWERED, NSetResponse(**RESPONSE)),
    "N-ACTION-RQ": (
        "N_ACTION_RQ",
        "N_ACTION",
        {"MessageID": 7, **REQUESTED, "ActionTypeID": 1},
        NActionRequest(message_id=7, **WANTED, action_type_id=1),
    ),
    "N-ACTION-RSP": (
        "N_ACTION_RSP",
        "N_ACTION",
        {**ANSWERED, "ActionTypeID": 1},
        NActionResponse(**RESPONSE, action_type_id=1),
    ),
    "N-CREATE-RQ": (
        "N_CREATE_RQ",
        "N_CREATE",
        {"MessageID": 7, **AFFECTED},
        NCreateRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3"),
    ),
    "N-CREATE-RQ without instance": (
        "N_CREATE_RQ",
        "N_CREATE",
        {"MessageID": 7, "AffectedSOPClassUID": CT},
        NCreateRequest(message_id=7, affected_sop_class_uid=CT),
    ),
    "N-CREATE-RSP": ("N_CREATE_RSP", "N_CREATE", ANSWERED, NCreateResponse(**RESPONSE)),
    "N-DELETE-RQ": ("N_DELETE_RQ", "N_DELETE", {"MessageID": 7, **REQUESTED}, NDeleteRequest(message_id=7, **WANTED)),
    "N-DELETE-RSP": ("N_DELETE_RSP", "N_DELETE", ANSWERED, NDeleteResponse(**RESPONSE)),
}
DATA_OF = {
    "C_STORE_RQ": "DataSet", "C_FIND_RQ": "Identifier", "C_FIND_RSP": "Identifier", "C_GET_RQ": "Identifier",
    "C_GET_RSP": "Identifier", "C_MOVE_RQ": "Identifier", "C_MOVE_RSP": "Identifier",
    "N_EVENT_REPORT_RQ": "EventInformation", "N_EVENT_REPORT_RSP": "EventReply", "N_GET_RSP": "AttributeList",
    "N_SET_RQ": "ModificationList", "N_SET_RSP": "AttributeList", "N_ACTION_RQ": "ActionInformation",
    "N_ACTION_RSP": "ActionReply", "N_CREATE_RQ": "AttributeList", "N_CREATE_RSP": "AttributeList",
}  # fmt: skip
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
    assert read.command_set.CommandField == command.COMMAND_FIELD
    assert (read.command_set.CommandDataSetType != 0x0101) == has_data
    assert message.replace("_", "-") == command.NAME
    for name, value in fields.items():
        seen = getattr(primitive_read, name)
        assert seen in (value, value[0] if isinstance(value, list) else value)

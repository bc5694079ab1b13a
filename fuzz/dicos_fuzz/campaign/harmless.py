"""Harmless requests: one of each service, for objects that nobody has, with made-up UIDs and no patient data.

Knows: services, SOP classes, data sets of a few elements. Must not know: connections, answers.
"""

from __future__ import annotations

from typing import Final

from dicos_proto.dimse.types import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    NGetRequest,
)
from dicos_proto.registry import uids
from dicos_proto.registry.service_classes import Service, service_of

from ..grammar.building import message

__all__ = ["NOBODY", "data_set", "request_of", "tiny_object"]

NOBODY: Final = "2.25.314159265358979323846264338327950288"
"""The UID of an object that does not exist."""


def data_set(*elements: tuple[int, bytes, bytes], syntax: str) -> bytes:
    """Returns a data set of short elements, in ascending order: (tag, VR, value). `syntax`: implicit VR, or any other
    for explicit VR; both little endian."""
    pieces = []
    for tag, vr, value in elements:
        padded = value + (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
        head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
        if syntax == uids.IMPLICIT_VR_LE:
            pieces.append(head + len(padded).to_bytes(4, "little") + padded)
        else:
            pieces.append(head + vr + len(padded).to_bytes(2, "little") + padded)
    return b"".join(pieces)


def request_of(
    sop_class: str, syntax: str, *, context: int = 1, message_id: int = 1, instance: str = NOBODY, max_length: int = 0
) -> tuple[str, bytes] | None:
    """Returns the name of a service, as "C-FIND", and the PDUs of a request for this SOP class, which changes nothing,
    or stores a tiny object; None if there is no such request."""
    command: CEchoRequest | CStoreRequest | CFindRequest | CGetRequest | CMoveRequest | NGetRequest
    uid = instance.encode()
    data: bytes | None = data_set((0x00080052, b"CS", b"STUDY"), (0x0020000D, b"UI", uid), syntax=syntax)
    match service_of(sop_class):
        case Service.VERIFICATION:
            command, data = CEchoRequest(message_id=message_id, affected_sop_class_uid=sop_class), None
        case Service.STORAGE:
            command = CStoreRequest(
                message_id=message_id, affected_sop_class_uid=sop_class, affected_sop_instance_uid=instance
            )
            data = tiny_object(sop_class, instance, syntax)
        case Service.FIND:
            command = CFindRequest(message_id=message_id, affected_sop_class_uid=sop_class)
        case Service.WORKLIST | Service.RELEVANT_PATIENT:
            command = CFindRequest(message_id=message_id, affected_sop_class_uid=sop_class)
            data = data_set((0x00100020, b"LO", b"DICOS-FUZZ"), syntax=syntax)
        case Service.GET:
            command = CGetRequest(message_id=message_id, affected_sop_class_uid=sop_class)
        case Service.MOVE:
            command = CMoveRequest(
                message_id=message_id, affected_sop_class_uid=sop_class, move_destination="DICOS-FUZZ"
            )
        case Service.PROCEDURE_STEP | Service.UPS | Service.PRINT | Service.MEDIA_CREATION:
            command, data = (
                NGetRequest(
                    message_id=message_id, requested_sop_class_uid=sop_class, requested_sop_instance_uid=instance
                ),
                None,
            )
        case _:
            return None
    return command.NAME.removesuffix("-RQ"), b"".join(message(context, command, data, max_length=max_length))


def tiny_object(sop_class: str, instance: str, syntax: str) -> bytes:
    """Returns the data set of an object that is nobody's."""
    uid = instance.encode()
    return data_set(
        (0x00080016, b"UI", sop_class.encode()),
        (0x00080018, b"UI", uid),
        (0x00080060, b"CS", b"OT"),
        (0x00100010, b"PN", b"FUZZ^TEST"),
        (0x00100020, b"LO", b"DICOS-FUZZ"),
        (0x0020000D, b"UI", uid[:60] + b".1"),
        (0x0020000E, b"UI", uid[:60] + b".2"),
        syntax=syntax,
    )

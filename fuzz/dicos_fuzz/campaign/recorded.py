"""Recorded associations as conversations, without what was recorded of people.

Knows: PDUs, messages. Must not know: capture files (`captures`).

The bytes of a client become the steps of this side: its A-ASSOCIATE-RQ with the titles of the campaign and without a
user identity, its requests with made-up UIDs and tiny data sets, its other PDUs unchanged. The order, the contexts and
the kinds of messages are those of the recording. Nothing of a data set that was recorded is ever sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from dicos_proto.dimse.types import CMoveRequest, CResponse, DimseRequest, NResponse, sop_class_of
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import AssociateRequest

from ..conversation import Await, Conversation, Open, Send, Step
from ..grammar.building import message
from ..grammar.reading import pdus_of
from .harmless import NOBODY, tiny_object
from .heard import Heard, messages
from .knowledge import Learned
from .responding import decoded

__all__ = ["conversation_of"]

STEPS: Final = 40
_INSTANCES: Final = ("affected_sop_instance_uid", "requested_sop_instance_uid")


def conversation_of(client: bytes, name: str, learned: Learned) -> Conversation | None:
    """Returns the conversation of what a client said on one connection; None if it began no association."""
    pdus = [*pdus_of(client)]
    asked = decoded(pdus[0]) if pdus else None
    if not isinstance(asked, AssociateRequest):
        return None
    steps: list[Step] = [Open(), Send(message=_request(asked, learned)), Await(kinds=(2, 3))]
    run: list[bytes] = []
    for pdu in pdus[1:]:
        if pdu[0] == 4:
            run.append(pdu)
            continue
        steps += _spoken(run, asked)
        run = []
        if pdu[0] in (5, 6, 7) and len(pdu) == 10:
            steps += [Send(message=pdu), *([Await()] if pdu[0] == 5 else [])]
    steps += _spoken(run, asked)
    return Conversation(name=f"recorded/{name}", steps=tuple(steps[:STEPS]), about=f"as recorded: {name}")


def _request(asked: AssociateRequest, learned: Learned) -> bytes:
    information = replace(asked.user_information, user_identity=None, user_identity_response=None)
    return encode(replace(asked, called_aet=learned.called, calling_aet=learned.calling, user_information=information))


def _spoken(pdus: list[bytes], asked: AssociateRequest) -> Iterator[Step]:
    for heard in messages(b"".join(pdus)):
        made = _message(heard, asked)
        if made:
            yield Send(message=made)
            yield Await(kinds=(4, 7))


def _message(heard: Heard, asked: AssociateRequest) -> bytes:
    """The same message about nobody; empty if it cannot be made."""
    command = heard.command
    if command is None:
        return b""
    changes: dict[str, object] = {"other": ()}
    for field in _INSTANCES:
        if getattr(command, field, None) is not None:
            changes[field] = NOBODY
    if isinstance(command, CMoveRequest):
        changes["move_destination"] = "DICOS-FUZZ"
    if isinstance(command, CResponse | NResponse):
        changes["error_comment"] = None
    for field in ("move_originator_aet", "move_originator_message_id"):
        if hasattr(command, field):
            changes[field] = None
    context = next((one for one in asked.contexts if one.id == heard.context), None)
    syntaxes = (uids.IMPLICIT_VR_LE,) if context is None else context.transfer_syntaxes
    syntax = syntaxes[0] if syntaxes else uids.IMPLICIT_VR_LE
    sop_class = sop_class_of(command) if isinstance(command, DimseRequest) else uids.VERIFICATION
    data = tiny_object(sop_class, NOBODY, syntax) if heard.has_data else None
    try:
        made = message(heard.context, replace(command, **changes), data)  # type: ignore[arg-type]
    except LocalProtocolError:
        return b""
    return b"".join(made)

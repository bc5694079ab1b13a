"""pynetdicom's objects and ours as the same fields: PDUs and command sets.

Knows: pynetdicom's objects. Must not know: how inputs are made, which differences are known. pynetdicom is imported
when it is used: importing it changes pydicom's dictionary of UIDs, which is put back.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from io import BytesIO
from types import ModuleType
from typing import Any, get_type_hints

from dicos_proto.dimse.types import Command
from dicos_proto.errors import Malformed
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    PData,
    Pdu,
    ProposedContext,
    UserInformation,
)

__all__ = [
    "Fields",
    "difference",
    "fields_of_our_command",
    "fields_of_ours",
    "fields_of_their_command",
    "fields_of_theirs",
    "modules",
    "plain",
    "read_their_command",
    "read_theirs",
]

Fields = dict[str, Any]


@cache
def modules() -> dict[str, ModuleType]:
    """Returns the modules of pynetdicom by name, without its package."""
    from pydicom._uid_dict import UID_dictionary

    before = dict(UID_dictionary)
    try:
        names = ("pdu", "pdu_items", "dsutils", "dimse_messages")
        return {name: import_module(f"pynetdicom.{name}") for name in names}
    finally:
        UID_dictionary.clear()
        UID_dictionary.update(before)


def difference(mine: Fields | Malformed, found: Fields | Exception) -> str | None:
    """Returns the difference of two readings: none if both read the same, an empty one if both refuse."""
    if isinstance(mine, Malformed):
        return "" if isinstance(found, Exception) else f"we refuse: {mine}"
    if isinstance(found, Exception):
        return f"they refuse: {type(found).__name__}: {found}"
    names = [name for name, value in mine.items() if found.get(name) != value]
    return f"read differently: {', '.join(names)}" if names else None


# -- PDUs ----------------------------------------------------------------------------------------------------------


def fields_of_ours(pdu: Pdu) -> Fields:
    """Returns the fields of one of our PDUs."""
    match pdu:
        case AssociateRequest() | AssociateAccept():
            return {
                "version": pdu.protocol_version,
                "called": pdu.called_aet,
                "calling": pdu.calling_aet,
                "application context": pdu.application_context,
                "contexts": [_our_context(context) for context in pdu.contexts],
                **_our_user(pdu.user_information),
            }
        case AssociateReject():
            return {"result": pdu.result, "source": pdu.source, "reason": pdu.reason}
        case Abort():
            return {"source": pdu.source, "reason": pdu.reason}
        case PData():
            return {"pdvs": [(pdv.context, pdv.command + 2 * pdv.last, bytes(pdv.data)) for pdv in pdu.pdvs]}
        case _:
            return {}


def _our_context(context: ProposedContext | ContextAnswer) -> tuple[object, ...]:
    if isinstance(context, ProposedContext):
        return context.id, context.abstract_syntax, list(context.transfer_syntaxes)
    return context.id, int(context.result), context.transfer_syntax


def _our_user(user: UserInformation) -> Fields:
    identity, response = user.user_identity, user.user_identity_response
    return {
        "maximum length": user.max_length,
        "implementation class": user.implementation_class_uid,
        "implementation version": user.implementation_version_name,
        "window": user.window and (user.window.invoked, user.window.performed),
        "roles": [(role.sop_class_uid, int(role.scu), int(role.scp)) for role in user.roles],
        "extended": [(each.sop_class_uid, each.information) for each in user.extended],
        "common extended": [
            (each.sop_class_uid, each.service_class_uid, list(each.related_general)) for each in user.common_extended
        ],
        "identity": identity
        and (identity.type, identity.primary, identity.secondary, int(identity.response_requested)),
        "response": response and response.response,
    }


def read_theirs(data: bytes) -> Any:
    """Returns their object for these bytes. Raises any error of theirs; EOFError for bytes that are not one PDU."""
    if len(data) < 6 or int.from_bytes(data[2:6], "big") != len(data) - 6:
        raise EOFError("their reader waits for the rest, or takes the rest for another PDU")
    classes = {number: cls for cls, number in modules()["pdu"].PDU_TYPES.items()}
    pdu = classes[data[0]]()
    pdu.decode(data)
    return pdu


def fields_of_theirs(pdu: Any) -> Fields:
    """Returns the fields of one of their PDUs."""
    match type(pdu).__name__:
        case "A_ASSOCIATE_RQ" | "A_ASSOCIATE_AC":
            return _their_associate(pdu)
        case "A_ASSOCIATE_RJ":
            return {"result": pdu.result, "source": pdu.source, "reason": pdu.reason_diagnostic}
        case "A_ABORT_RQ":
            return {"source": pdu.source, "reason": pdu.reason_diagnostic}
        case "P_DATA_TF":
            found = [(each.context_id, each.presentation_data_value) for each in pdu.presentation_data_value_items]
            return {"pdvs": [(context, value[0] & 3, value[1:]) for context, value in found]}
        case _:
            return {}


def _their_associate(pdu: Any) -> Fields:
    items = modules()["pdu_items"]
    user = pdu.user_information
    of: dict[type, list[Any]] = {}
    for each in user.user_data:
        of.setdefault(type(each), []).append(each)

    def only(cls: type) -> Any:
        found = of.get(cls, [])
        return found[0] if found else None

    def every(cls: type) -> list[Any]:
        return of.get(cls, [])

    window = only(items.AsynchronousOperationsWindowSubItem)
    identity, response = only(items.UserIdentitySubItemRQ), only(items.UserIdentitySubItemAC)
    accept = type(pdu).__name__ == "A_ASSOCIATE_AC"
    called, calling = (pdu.reserved_aet, pdu.reserved_aec) if accept else (pdu.called_ae_title, pdu.calling_ae_title)
    return {
        "version": pdu.protocol_version,
        "called": _title(called),
        "calling": _title(calling),
        "application context": pdu.application_context_name,
        "contexts": [_their_context(context) for context in pdu.presentation_context],
        "maximum length": user.maximum_length,
        "implementation class": user.implementation_class_uid,
        "implementation version": user.implementation_version_name,
        "window": window
        and (window.maximum_number_operations_invoked, window.maximum_number_operations_performed),
        "roles": [
            (each.sop_class_uid, each.scu_role, each.scp_role) for each in every(items.SCP_SCU_RoleSelectionSubItem)
        ],
        "extended": [
            (each.sop_class_uid, each.service_class_application_information)
            for each in every(items.SOPClassExtendedNegotiationSubItem)
        ],
        "common extended": [
            (each.sop_class_uid, each.service_class_uid, list(each.related_general_sop_class_identification))
            for each in every(items.SOPClassCommonExtendedNegotiationSubItem)
        ],
        "identity": identity
        and (
            identity.user_identity_type, identity.primary_field, identity.secondary_field,
            identity.positive_response_requested,
        ),
        "response": response and response.server_response,
    }  # fmt: skip


def _title(title: object) -> str:
    return (title.decode("latin-1") if isinstance(title, bytes) else str(title)).strip(" ")


def _their_context(context: Any) -> tuple[object, ...]:
    if isinstance(context, modules()["pdu_items"].PresentationContextItemRQ):
        return context.context_id, context.abstract_syntax, list(context.transfer_syntax)
    refused = context.result != 0  # then the transfer syntax is not significant  # PS3.8 9.3.3.2
    return context.context_id, context.result, None if refused else context.transfer_syntax


# -- command sets --------------------------------------------------------------------------------------------------


def fields_of_our_command(command: Command) -> Fields:
    """Returns the fields of one of our messages by keyword of the dictionary: those that the message defines."""
    from pydicom.datadict import keyword_for_tag

    found: Fields = {"CommandField": command.COMMAND_FIELD}
    for name, hint in get_type_hints(type(command), include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            value = getattr(command, name)
            if value is not None:
                found[keyword_for_tag(mark.number)] = list(value) if isinstance(value, tuple) else value
    return found


def read_their_command(data: bytes) -> tuple[Any, Any]:
    """Returns their data set for these bytes, and the primitive that they make from it. Raises any error of theirs."""
    elements = modules()["dsutils"].decode(BytesIO(data), True, True)
    message = modules()["dimse_messages"]._MESSAGE_TYPES[elements.CommandField][1]()
    message.command_set = elements
    return elements, message.message_to_primitive()


def fields_of_their_command(elements: Any, names: Fields) -> Fields:
    """Returns those of the fields `names` that their data set has."""
    found = {name: elements[name].value for name in names if name in elements}
    return {name: plain(name, value) for name, value in found.items()}


def plain(name: str, value: Any) -> object:
    """Returns a value of theirs as ours is: no value as an empty text, tags as numbers."""
    from pydicom.multival import MultiValue

    if name in ("OffendingElement", "AttributeIdentifierList"):
        many = [] if value is None else value if isinstance(value, MultiValue | list) else [value]
        return [int(tag) for tag in many]
    return "" if value is None else str(value) if isinstance(value, str) else value

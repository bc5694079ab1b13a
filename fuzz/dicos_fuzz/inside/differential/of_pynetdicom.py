"""pynetdicom's PDU classes and its decoder of command sets, on the same bytes as ours.

Knows: pynetdicom's objects. Must not know: how inputs are made. pynetdicom is imported when it is used: importing it
changes pydicom's dictionary of UIDs, which is put back.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from random import Random
from types import ModuleType
from typing import Any, Final, get_type_hints

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.types import Command
from dicos_proto.errors import Malformed
from dicos_proto.upper_layer.pdu import decode
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

from .comparing import Input
from .known_pynetdicom import COMMANDS, PDUS
from .making import commands, pdus

__all__ = ["Pynetdicom"]

Fields = dict[str, Any]
_EXPECTED: Final = (Exception,)
"""Any error of theirs is a refusal: which one is part of the difference."""


class Pynetdicom:
    """The comparison with pynetdicom."""

    name = "pynetdicom"
    batch = 50
    known = (*PDUS, *COMMANDS)

    def missing(self) -> str | None:
        """pynetdicom is not among the dependencies of the fuzzer."""
        return None if find_spec("pynetdicom") else "pynetdicom is not installed: pip install pynetdicom"

    def inputs(self, random: Random) -> Iterator[Input]:
        """Yields PDUs and command sets in turn."""
        whole, sets = pdus(random), commands(random)
        while True:
            yield next(whole)
            yield next(sets)

    def differences(self, inputs: Sequence[Input]) -> list[str | None]:
        """Returns the difference for each input."""
        _modules()
        logging.disable(logging.CRITICAL)  # it logs each error that it raises as well
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom warns of values; what it reads is compared
                return [_pdu(one.data) if one.kind == "pdu" else _command(one.data) for one in inputs]
        finally:
            logging.disable(logging.NOTSET)


@cache
def _modules() -> dict[str, ModuleType]:
    from pydicom._uid_dict import UID_dictionary

    before = dict(UID_dictionary)
    try:
        names = ("pdu", "pdu_items", "dsutils", "dimse_messages")
        return {name: import_module(f"pynetdicom.{name}") for name in names}
    finally:
        UID_dictionary.clear()
        UID_dictionary.update(before)


def _difference(mine: Fields | Malformed, found: Fields | Exception) -> str | None:
    if isinstance(mine, Malformed):
        return "" if isinstance(found, Exception) else f"we refuse: {mine}"
    if isinstance(found, Exception):
        return f"they refuse: {type(found).__name__}: {found}"
    names = [name for name, value in mine.items() if found.get(name) != value]
    return f"read differently: {', '.join(names)}" if names else None


# -- PDUs ----------------------------------------------------------------------------------------------------------


def _pdu(data: bytes) -> str | None:
    try:
        mine: Fields | Malformed = _ours(decode(data))
    except Malformed as fault:
        mine = fault
    try:
        found: Fields | Exception = _theirs(data)
    except _EXPECTED as error:
        found = error
    return _difference(mine, found)


def _ours(pdu: Pdu) -> Fields:
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


def _theirs(data: bytes) -> Fields:
    classes = {number: cls for cls, number in _modules()["pdu"].PDU_TYPES.items()}
    if len(data) < 6 or int.from_bytes(data[2:6], "big") != len(data) - 6:
        raise EOFError("their reader waits for the rest, or takes the rest for another PDU")
    pdu = classes[data[0]]()
    pdu.decode(data)
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
    items = _modules()["pdu_items"]
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
    if isinstance(context, _modules()["pdu_items"].PresentationContextItemRQ):
        return context.context_id, context.abstract_syntax, list(context.transfer_syntax)
    refused = context.result != 0  # then the transfer syntax is not significant  # PS3.8 9.3.3.2
    return context.context_id, context.result, None if refused else context.transfer_syntax


# -- command sets --------------------------------------------------------------------------------------------------


def _command(data: bytes) -> str | None:
    try:
        mine: Fields | Malformed = _our_command(decode_command(data)[0])
    except Malformed as fault:
        mine = fault
    try:
        found: Fields | Exception = _their_command(data, mine if isinstance(mine, dict) else {})
    except _EXPECTED as error:
        found = error
    return _difference(mine, found)


def _our_command(command: Command) -> Fields:
    """By keyword of pydicom's dictionary, without the elements that the message does not define."""
    from pydicom.datadict import keyword_for_tag

    found: Fields = {"CommandField": command.COMMAND_FIELD}
    for name, hint in get_type_hints(type(command), include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            value = getattr(command, name)
            if value is not None:
                found[keyword_for_tag(mark.number)] = list(value) if isinstance(value, tuple) else value
    return found


def _their_command(data: bytes, names: Fields) -> Fields:
    modules = _modules()
    elements = modules["dsutils"].decode(BytesIO(data), True, True)
    message = modules["dimse_messages"]._MESSAGE_TYPES[elements.CommandField][1]()
    message.command_set = elements
    message.message_to_primitive()
    found = {name: elements[name].value for name in names if name in elements}
    return {name: _plain(name, value) for name, value in found.items()}


def _plain(name: str, value: Any) -> object:
    from pydicom.multival import MultiValue

    if name in ("OffendingElement", "AttributeIdentifierList"):
        many = [] if value is None else value if isinstance(value, MultiValue | list) else [value]
        return [int(tag) for tag in many]
    return "" if value is None else str(value) if isinstance(value, str) else value

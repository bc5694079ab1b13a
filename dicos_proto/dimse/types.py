"""The DIMSE messages: one frozen dataclass for each message of PS3.7 9.3 and 10.3.

Knows: the elements of each message, their types, which are mandatory, how a request is answered. Must not know: how
command sets are encoded (`dimse.codec`), PDVs, contexts, operations.

Each field names its element of group 0000 and its value representation. The class stands for the command field
(0000,0100); the data set type (0000,0800) belongs to the message, not to its command. Elements that a message does not
define are kept in `other` and passed on. Each field states whether it decides or only informs: the values that a
response repeats from its request only inform, except the instance that an N-CREATE has made.

The module is long because it is a table: one class for each message, in the order of the standard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, ClassVar, NamedTuple, get_args, get_type_hints

from ..fast_init import fast_init
from ..registry import uids
from ..registry.status import category
from ..registry.status_tables import Category
from ..tolerance import Judge
from .values import AE, AT, LO, TITLE, UI, US, Element, Value

NO_DATA_SET = 0x0101  # PS3.7 E.1: any other value announces a data set
WITH_DATA_SET = 0x0001
RESPONSE_BIT = 0x8000

PRIORITY_MEDIUM, PRIORITY_HIGH, PRIORITY_LOW = 0, 1, 2  # PS3.7 E.1 (0000,0700)

Other = tuple[tuple[int, bytes], ...]


class DataSet(Enum):
    """The rule by which a message carries a data set."""

    NEVER = "no data set"
    ALWAYS = "a data set"
    OPTIONAL = "a data set or none"
    PENDING = "a data set where its status is pending, none where it is not"


@dataclass(frozen=True, slots=True, kw_only=True)
class DimseRequest:
    """The fields of all requests except C-CANCEL. `other`: elements that the message does not define."""

    COMMAND_FIELD: ClassVar[int]
    NAME: ClassVar[str]
    DATA_SET: ClassVar[DataSet]
    message_id: Annotated[int, Element(0x0110, US)]
    other: Other = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DimseResponse:
    """The fields of all responses. `offending_element` and `error_comment` explain a status [PS3.7 annex C]."""

    COMMAND_FIELD: ClassVar[int]
    NAME: ClassVar[str]
    DATA_SET: ClassVar[DataSet]
    message_id_being_responded_to: Annotated[int, Element(0x0120, US)]
    status: Annotated[int, Element(0x0900, US)]
    affected_sop_class_uid: Annotated[str | None, Element(0x0002, UI, informs=True)] = None
    offending_element: Annotated[tuple[int, ...] | None, Element(0x0901, AT, informs=True)] = None
    error_comment: Annotated[str | None, Element(0x0902, LO, informs=True)] = None
    error_id: Annotated[int | None, Element(0x0903, US, informs=True)] = None
    other: Other = ()


# -- DIMSE-C  PS3.7 9.3 ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoRequest(DimseRequest):
    """C-ECHO-RQ [PS3.7 9.3.5.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0030
    NAME: ClassVar[str] = "C-ECHO-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoResponse(DimseResponse):
    """C-ECHO-RSP [PS3.7 9.3.5.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8030
    NAME: ClassVar[str] = "C-ECHO-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreRequest(DimseRequest):
    """C-STORE-RQ; the data set is the composite object [PS3.7 9.3.1.1].

    `move_originator_*`: set if a C-MOVE caused this C-STORE."""

    COMMAND_FIELD: ClassVar[int] = 0x0001
    NAME: ClassVar[str] = "C-STORE-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    affected_sop_instance_uid: Annotated[str, Element(0x1000, UI)]
    priority: Annotated[int, Element(0x0700, US, informs=True)] = PRIORITY_MEDIUM
    move_originator_aet: Annotated[str | None, Element(0x1030, AE, informs=True)] = None
    move_originator_message_id: Annotated[int | None, Element(0x1031, US, informs=True)] = None


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreResponse(DimseResponse):
    """C-STORE-RSP [PS3.7 9.3.1.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8001
    NAME: ClassVar[str] = "C-STORE-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI, informs=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CFindRequest(DimseRequest):
    """C-FIND-RQ; the data set is the identifier to match [PS3.7 9.3.2.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0020
    NAME: ClassVar[str] = "C-FIND-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    priority: Annotated[int, Element(0x0700, US, informs=True)] = PRIORITY_MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class CFindResponse(DimseResponse):
    """C-FIND-RSP; each pending one carries a match [PS3.7 9.3.2.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8020
    NAME: ClassVar[str] = "C-FIND-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class CGetRequest(DimseRequest):
    """C-GET-RQ; the data set is the identifier of the instances to send on this association [PS3.7 9.3.3.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0010
    NAME: ClassVar[str] = "C-GET-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    priority: Annotated[int, Element(0x0700, US, informs=True)] = PRIORITY_MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class CGetResponse(DimseResponse):
    """C-GET-RSP; the counters count C-STORE sub-operations, a data set lists those that failed [PS3.7 9.3.3.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8010
    NAME: ClassVar[str] = "C-GET-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    remaining: Annotated[int | None, Element(0x1020, US, informs=True)] = None
    completed: Annotated[int | None, Element(0x1021, US, informs=True)] = None
    failed: Annotated[int | None, Element(0x1022, US, informs=True)] = None
    warning: Annotated[int | None, Element(0x1023, US, informs=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveRequest(DimseRequest):
    """C-MOVE-RQ; the data set is the identifier of the instances to send to `move_destination` [PS3.7 9.3.4.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0021
    NAME: ClassVar[str] = "C-MOVE-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    move_destination: Annotated[str, Element(0x0600, TITLE)]
    priority: Annotated[int, Element(0x0700, US, informs=True)] = PRIORITY_MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveResponse(DimseResponse):
    """C-MOVE-RSP; the counters count C-STORE sub-operations, a data set lists those that failed [PS3.7 9.3.4.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8021
    NAME: ClassVar[str] = "C-MOVE-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    remaining: Annotated[int | None, Element(0x1020, US, informs=True)] = None
    completed: Annotated[int | None, Element(0x1021, US, informs=True)] = None
    failed: Annotated[int | None, Element(0x1022, US, informs=True)] = None
    warning: Annotated[int | None, Element(0x1023, US, informs=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CCancelRequest:
    """C-CANCEL-RQ; it names an operation and is never answered itself [PS3.7 9.3.2.3, 9.3.3.3, 9.3.4.3]."""

    COMMAND_FIELD: ClassVar[int] = 0x0FFF
    NAME: ClassVar[str] = "C-CANCEL-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    message_id_being_responded_to: Annotated[int, Element(0x0120, US)]
    other: Other = ()


# -- DIMSE-N  PS3.7 10.3 -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NEventReportRequest(DimseRequest):
    """N-EVENT-REPORT-RQ, the only request that goes from SCP to SCU [PS3.7 10.3.1.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0100
    NAME: ClassVar[str] = "N-EVENT-REPORT-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    affected_sop_instance_uid: Annotated[str, Element(0x1000, UI)]
    event_type_id: Annotated[int, Element(0x1002, US)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NEventReportResponse(DimseResponse):
    """N-EVENT-REPORT-RSP [PS3.7 10.3.1.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8100
    NAME: ClassVar[str] = "N-EVENT-REPORT-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI, informs=True)] = None
    event_type_id: Annotated[int | None, Element(0x1002, US, informs=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NGetRequest(DimseRequest):
    """N-GET-RQ. `attribute_identifier_list`: the tags of the wanted attributes, None for all [PS3.7 10.3.2.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0110
    NAME: ClassVar[str] = "N-GET-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    requested_sop_class_uid: Annotated[str, Element(0x0003, UI)]
    requested_sop_instance_uid: Annotated[str, Element(0x1001, UI)]
    attribute_identifier_list: Annotated[tuple[int, ...] | None, Element(0x1005, AT)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NGetResponse(DimseResponse):
    """N-GET-RSP; the data set is the attribute list. `attribute_identifier_list` explains a status [PS3.7 10.3.2.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8110
    NAME: ClassVar[str] = "N-GET-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI, informs=True)] = None
    attribute_identifier_list: Annotated[tuple[int, ...] | None, Element(0x1005, AT, informs=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NSetRequest(DimseRequest):
    """N-SET-RQ; the data set is the modification list [PS3.7 10.3.3.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0120
    NAME: ClassVar[str] = "N-SET-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.ALWAYS
    requested_sop_class_uid: Annotated[str, Element(0x0003, UI)]
    requested_sop_instance_uid: Annotated[str, Element(0x1001, UI)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NSetResponse(DimseResponse):
    """N-SET-RSP. `attribute_identifier_list` explains a status [PS3.7 10.3.3.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8120
    NAME: ClassVar[str] = "N-SET-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI, informs=True)] = None
    attribute_identifier_list: Annotated[tuple[int, ...] | None, Element(0x1005, AT, informs=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NActionRequest(DimseRequest):
    """N-ACTION-RQ; the data set is the action information [PS3.7 10.3.4.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0130
    NAME: ClassVar[str] = "N-ACTION-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    requested_sop_class_uid: Annotated[str, Element(0x0003, UI)]
    requested_sop_instance_uid: Annotated[str, Element(0x1001, UI)]
    action_type_id: Annotated[int, Element(0x1008, US)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NActionResponse(DimseResponse):
    """N-ACTION-RSP [PS3.7 10.3.4.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8130
    NAME: ClassVar[str] = "N-ACTION-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI, informs=True)] = None
    action_type_id: Annotated[int | None, Element(0x1008, US, informs=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NCreateRequest(DimseRequest):
    """N-CREATE-RQ; if it names no instance, the provider makes the UID [PS3.7 10.3.5.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0140
    NAME: ClassVar[str] = "N-CREATE-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_class_uid: Annotated[str, Element(0x0002, UI)]
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NCreateResponse(DimseResponse):
    """N-CREATE-RSP. `attribute_identifier_list` explains a status [PS3.7 10.3.5.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8140
    NAME: ClassVar[str] = "N-CREATE-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.OPTIONAL
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI)] = None
    attribute_identifier_list: Annotated[tuple[int, ...] | None, Element(0x1005, AT, informs=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NDeleteRequest(DimseRequest):
    """N-DELETE-RQ [PS3.7 10.3.6.1]."""

    COMMAND_FIELD: ClassVar[int] = 0x0150
    NAME: ClassVar[str] = "N-DELETE-RQ"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    requested_sop_class_uid: Annotated[str, Element(0x0003, UI)]
    requested_sop_instance_uid: Annotated[str, Element(0x1001, UI)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NDeleteResponse(DimseResponse):
    """N-DELETE-RSP [PS3.7 10.3.6.2]."""

    COMMAND_FIELD: ClassVar[int] = 0x8150
    NAME: ClassVar[str] = "N-DELETE-RSP"
    DATA_SET: ClassVar[DataSet] = DataSet.NEVER
    affected_sop_instance_uid: Annotated[str | None, Element(0x1000, UI, informs=True)] = None


CRequest = CEchoRequest | CStoreRequest | CFindRequest | CGetRequest | CMoveRequest
CResponse = CEchoResponse | CStoreResponse | CFindResponse | CGetResponse | CMoveResponse
NRequest = NEventReportRequest | NGetRequest | NSetRequest | NActionRequest | NCreateRequest | NDeleteRequest
NResponse = NEventReportResponse | NGetResponse | NSetResponse | NActionResponse | NCreateResponse | NDeleteResponse

AnyRequest = CRequest | NRequest
AnyResponse = CResponse | NResponse
Command = AnyRequest | AnyResponse | CCancelRequest

N_EVENT_REPORT = NEventReportRequest.COMMAND_FIELD
"""The command field of the only request that goes from SCP to SCU [PS3.7 10.1.1]."""


class Field(NamedTuple):
    """A field of a command set: `encode` returns the whole element, `decode` takes its value."""

    name: str
    element: int
    encode: Callable[[int, Value], bytes]
    decode: Callable[[int, bytes, Judge], Value]
    mandatory: bool
    flag: str
    """The flag of `Tolerance` that accepts an invalid value, if the field only informs; empty if it decides."""
    salvage: Callable[[bytes], Value | None]


MessageClass = type[AnyRequest] | type[AnyResponse] | type[CCancelRequest]

CLASSES: dict[int, MessageClass] = {cls.COMMAND_FIELD: cls for cls in get_args(Command)}
"""Command field (0000,0100) -> the class of the message."""


INSTANCES = (0x1000, 0x1001)
"""Affected and Requested SOP Instance UID."""


def _fields_of(cls: MessageClass) -> tuple[Field, ...]:
    """Returns the fields of a message that are in its command set, in the order of their elements."""
    found = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            mandatory = type(None) not in get_args(get_args(hint)[0])
            kind = mark.kind
            # A value that differs in each message is not worth caching.
            encode, decode = (kind.encoded, kind.decode_new) if mark.number in INSTANCES else (kind.encode, kind.decode)
            flag = kind.flag if mark.informs else ""
            found.append(Field(name, mark.number, encode, decode, mandatory, flag, kind.salvage))
    return tuple(sorted(found, key=lambda one: one.element))


_RESPONSES: dict[int, type[AnyResponse]] = {cls.COMMAND_FIELD: cls for cls in get_args(AnyResponse)}

MESSAGES: dict[int, str] = {number: cls.NAME for number, cls in CLASSES.items()}
"""Command field (0000,0100) -> the name of the message [PS3.7 E.1]."""

FIELDS: dict[MessageClass, tuple[Field, ...]] = {cls: _fields_of(cls) for cls in CLASSES.values()}
"""Message -> its fields, in the order of their elements."""


_ALWAYS, _OPTIONAL, _PENDING = DataSet.ALWAYS, DataSet.OPTIONAL, DataSet.PENDING


def misplaced_data(command: Command, has_data: bool) -> str | None:
    """Returns the fault if the message may not have a data set, or must have one; None if there is no fault.

    PS3.7 9.3, 10.3, E.1 (0000,0800) have the rules.
    """
    rule = command.DATA_SET
    if rule is _OPTIONAL:
        return None
    if rule is _PENDING:
        pending = isinstance(command, DimseResponse) and category(command.status) is Category.PENDING
        return None if has_data is pending else _misplaced(command, has_data)
    return None if has_data is (rule is _ALWAYS) else _misplaced(command, has_data)


def _misplaced(command: Command, has_data: bool) -> str:
    return f"{command.NAME} with {'a' if has_data else 'no'} data set; it has {command.DATA_SET.value}"


class _Reply(NamedTuple):
    """The way to answer a request: the class of the response, and the fields of the request that it repeats."""

    make: Callable[..., AnyResponse]
    sop_class: str
    instance: str | None
    type_id: str | None


def _reply(cls: type[AnyRequest]) -> _Reply:
    names = {each.element: each.name for each in FIELDS[cls]}
    return _Reply(
        make=_RESPONSES[cls.COMMAND_FIELD | RESPONSE_BIT],
        sop_class=names.get(0x0002) or names[0x0003],
        instance=names.get(0x1000) or names.get(0x1001),
        type_id=names.get(0x1002) or names.get(0x1008),
    )


_REPLIES: dict[type[AnyRequest], _Reply] = {cls: _reply(cls) for cls in get_args(AnyRequest)}


def sop_class_of(request: AnyRequest) -> str:
    """Returns the Affected or Requested SOP Class UID of a request [PS3.7 E.1 (0000,0002), (0000,0003)]."""
    found: str = getattr(request, _REPLIES[type(request)].sop_class)
    return found


def sop_instance_of(request: AnyRequest) -> str | None:
    """Returns the Affected or Requested SOP Instance UID of a request, None if it has none.

    [PS3.7 E.1 (0000,1000), (0000,1001)]
    """
    name = _REPLIES[type(request)].instance
    found: str | None = None if name is None else getattr(request, name)
    return found


def response_to(request: AnyRequest, status: int, comment: str | None = None) -> AnyResponse:
    """Returns the response to this request, with all that it must repeat: message id, SOP class, instance, type.

    `comment`: an explanation for people; it is cut, and characters are replaced, to fit an Error Comment
    (`comment_of`).
    """
    make, sop_class, instance, type_id = _REPLIES[type(request)]
    values: dict[str, Value] = {}
    if comment is not None:
        values["error_comment"] = comment_of(comment)
    if instance is not None and (named := _echoed(getattr(request, instance))) is not None:
        values["affected_sop_instance_uid"] = named
    if type_id is not None:
        values[type_id] = getattr(request, type_id)
    return make(
        message_id_being_responded_to=request.message_id,
        affected_sop_class_uid=_echoed(getattr(request, sop_class)),
        status=status,
        **values,
    )


def comment_of(text: str) -> str:
    """Returns the text as it fits an Error Comment: at most 64 characters of printable ASCII.

    Other characters become ?, and so does a backslash, which would separate two values
    [PS3.7 E.1 (0000,0902), PS3.5 6.2 (LO)]. The comment explains a status, so a fault in it must never prevent the
    status from being sent.

    >>> comment_of("Größe 512")
    'Gr??e 512'
    """
    # Only the first 64 characters matter; the text of an error may be very long.
    return "".join(one if one.isascii() and one.isprintable() and one != "\\" else "?" for one in text[: LO.most])


def _echoed(uid: str | None) -> str | None:
    """Returns the UID of a request for its response. None if it is too long: an accepted one may be, and the response
    may leave it out."""
    return uid if uid is None or len(uid) <= uids.MAX_LENGTH else None

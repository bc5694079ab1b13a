"""The DICOM and DICOS network protocol as an engine without I/O: bytes in, events out, bytes out, deadlines out.

    association = Association.acceptor()
    association.receive_data(data)
    for event in ready_events(association): ...
    while buffers := association.data_to_send():
        connection.writelines(buffers)

After the end `Association.next_event` returns `Closed` again and again: your own loop has to check for it;
`ready_events` does so. `Dissector` shows PDUs as lines for people.
"""

from typing import TYPE_CHECKING

from .association import Association, Operations, Terms
from .conversation.exchange import Exchange
from .conversation.flows import Flow, Need
from .dimse.events import Event, MessageData, MessageStart, Sendable
from .dimse.types import (
    AnyRequest,
    AnyResponse,
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
    DataSet,
    DimseRequest,
    DimseResponse,
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
from .errors import (
    AbortReason,
    AbortSource,
    ConnectionLost,
    DeadlineExceeded,
    LocalProtocolError,
    Malformed,
    ProtocolError,
    RemoteProtocolError,
)
from .limits import Limits
from .timers import Deadline, Timeouts
from .tolerance import FIELD, STRATOVAN, STRICT, Tolerance, Toolkit
from .upper_layer.agreement import (
    Agreement,
    PresentationContext,
    RefusedContext,
)
from .upper_layer.events import Closed, Deviation, Fragment, Idle, ProviderAbort, UpperEvent
from .upper_layer.extended import (
    Coercion,
    Extension,
    QueryExtension,
    RetrieveExtension,
    SignatureLevel,
    StorageExtension,
    StorageLevel,
    propose_extended,
)
from .upper_layer.layer import EventSource, UpperLayer, ready_events
from .upper_layer.machine import Role, State
from .upper_layer.negotiation import negotiate, propose, propose_roles
from .upper_layer.pdu import decode, encode
from .upper_layer.pdu_types import (
    REJECT_REASONS,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextAnswer,
    ContextResult,
    ExtendedNegotiation,
    Managed,
    OperationsWindow,
    PData,
    Pdu,
    Pdv,
    ProposedContext,
    RejectResult,
    RejectSource,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserIdentityType,
    UserInformation,
)
from .upper_layer.policy import (
    AcceptPolicy,
    IdentityPolicy,
    IdentityVerdict,
    Preference,
    Roles,
)
from .upper_layer.recognition import AUTOMATIC
from .wire import Buffer, Wire

if TYPE_CHECKING:
    from .dissect import Dissector
else:
    from .conversation import exchange, flows, planning  # noqa: F401  attributes of the package before there were rooms
    from .registry import status, uids  # noqa: F401
    from .upper_layer import extended, framing, machine, negotiation, pdu, pdu_types  # noqa: F401

    def __getattr__(name: str) -> object:
        """`Dissector`, which those who only talk need not load."""
        if name != "Dissector":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .dissect import Dissector

        return Dissector


__path__.append(f"{__path__[0]}/_moved")  # the names that modules had before they were sorted into packages

__all__ = [
    "AUTOMATIC",
    "Abort",
    "AbortReason",
    "AbortSource",
    "AcceptPolicy",
    "Agreement",
    "AnyRequest",
    "AnyResponse",
    "AssociateAccept",
    "AssociateReject",
    "AssociateRequest",
    "Association",
    "Buffer",
    "CCancelRequest",
    "CEchoRequest",
    "CEchoResponse",
    "CFindRequest",
    "CFindResponse",
    "CGetRequest",
    "CGetResponse",
    "CMoveRequest",
    "CMoveResponse",
    "CStoreRequest",
    "CStoreResponse",
    "Closed",
    "Coercion",
    "Command",
    "CommonExtendedNegotiation",
    "ConnectionLost",
    "ContextAnswer",
    "ContextResult",
    "DataSet",
    "Deadline",
    "DeadlineExceeded",
    "Deviation",
    "Dissector",
    "Event",
    "EventSource",
    "Exchange",
    "ExtendedNegotiation",
    "Extension",
    "FIELD",
    "Flow",
    "Fragment",
    "IdentityPolicy",
    "IdentityVerdict",
    "Idle",
    "Limits",
    "LocalProtocolError",
    "Malformed",
    "Managed",
    "MessageData",
    "MessageStart",
    "NActionRequest",
    "NActionResponse",
    "NCreateRequest",
    "NCreateResponse",
    "NDeleteRequest",
    "NDeleteResponse",
    "NEventReportRequest",
    "NEventReportResponse",
    "NGetRequest",
    "NGetResponse",
    "NSetRequest",
    "NSetResponse",
    "Need",
    "Operations",
    "OperationsWindow",
    "PData",
    "Pdu",
    "Pdv",
    "Preference",
    "PresentationContext",
    "ProposedContext",
    "ProtocolError",
    "ProviderAbort",
    "QueryExtension",
    "REJECT_REASONS",
    "RefusedContext",
    "RejectResult",
    "RejectSource",
    "ReleaseRequest",
    "ReleaseResponse",
    "RemoteProtocolError",
    "DimseRequest",
    "DimseResponse",
    "RetrieveExtension",
    "Role",
    "RoleSelection",
    "Roles",
    "STRATOVAN",
    "STRICT",
    "Sendable",
    "SignatureLevel",
    "State",
    "StorageExtension",
    "StorageLevel",
    "Terms",
    "Timeouts",
    "Tolerance",
    "Toolkit",
    "UpperEvent",
    "UpperLayer",
    "UserIdentity",
    "UserIdentityResponse",
    "UserIdentityType",
    "UserInformation",
    "Wire",
    "decode",
    "encode",
    "negotiate",
    "propose",
    "propose_extended",
    "propose_roles",
    "ready_events",
]

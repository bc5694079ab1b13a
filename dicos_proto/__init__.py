"""The DICOM and DICOS network protocol as an engine without I/O: bytes in, events out, bytes out, deadlines out.

    association = Association.acceptor()
    association.receive_data(data)
    while (event := association.next_event()) is not None: ...
    while buffers := association.data_to_send():
        connection.writelines(buffers)

`dissect` and `Dissector` show PDUs as lines for people.
"""

from .association import Association
from .conversation.exchange import Exchange
from .dimse.events import Event, MessageData, MessageStart, Sendable
from .dimse.types import (
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
from .tolerance import FIELD, STRATOVAN, STRICT, Tolerance
from .upper_layer.events import Closed, Deviation, ProviderAbort
from .upper_layer.extended import QueryExtension, RetrieveExtension, StorageExtension, propose_extended
from .upper_layer.layer import UpperLayer
from .upper_layer.machine import Role, State
from .upper_layer.negotiation import (
    AcceptPolicy,
    IdentityVerdict,
    PresentationContext,
    RefusedContext,
    negotiate,
    propose,
    propose_roles,
)
from .upper_layer.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    ContextResult,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
    decode,
    encode,
)
from .wire import Buffer, Wire

__path__.append(f"{__path__[0]}/_moved")  # the names that modules had before they were sorted into packages

__all__ = [
    "Abort",
    "AbortReason",
    "AbortSource",
    "AcceptPolicy",
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
    "Command",
    "ConnectionLost",
    "ContextAnswer",
    "ContextResult",
    "Deadline",
    "DeadlineExceeded",
    "Deviation",
    "Event",
    "Exchange",
    "FIELD",
    "IdentityVerdict",
    "Limits",
    "LocalProtocolError",
    "Malformed",
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
    "PresentationContext",
    "ProposedContext",
    "ProtocolError",
    "ProviderAbort",
    "QueryExtension",
    "RefusedContext",
    "ReleaseRequest",
    "ReleaseResponse",
    "RemoteProtocolError",
    "RetrieveExtension",
    "Role",
    "STRATOVAN",
    "STRICT",
    "Sendable",
    "State",
    "StorageExtension",
    "Timeouts",
    "Tolerance",
    "UpperLayer",
    "UserInformation",
    "Wire",
    "decode",
    "encode",
    "negotiate",
    "propose",
    "propose_extended",
    "propose_roles",
]

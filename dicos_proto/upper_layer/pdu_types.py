"""The seven PDUs of PS3.8 section 9.3 and what they are made of, as values.

Knows: the fields and their meaning. Must not know: their encoding (`pdu`), when a PDU is allowed (`machine`), or how to
answer one (`negotiation`).

A PDU that was built is legal to send: `encode` checks the rules that types cannot express. AE titles are held without
the spaces that pad them to 16 characters, which are not significant [PS3.8 9.3.2].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from ..arguments import check_kind, check_several, one_for_many
from ..errors import AbortReason, AbortSource
from ..limits import DEFAULT_MAX_LENGTH
from ..registry import uids
from ..wire import Buffer

PROTOCOL_VERSION = 1
"""Bit 0 set: version 1. Other bits are not tested by a receiver [PS3.8 9.3.2]."""


class PduType(IntEnum):
    """The first byte of a PDU [PS3.8 9.3.1]."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA_TF = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7

    @property
    def label(self) -> str:
        """The name as the standard prints it: `A-ASSOCIATE-RQ`."""
        name = self.name.replace("_", "-")
        return name if self is PduType.P_DATA_TF else f"A-{name}"


class ContextResult(IntEnum):
    """The answer to one proposed presentation context [PS3.8 9.3.3.2]."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


class RejectResult(IntEnum):
    """Result field of an A-ASSOCIATE-RJ [PS3.8 9.3.4]."""

    PERMANENT = 1
    TRANSIENT = 2


class RejectSource(IntEnum):
    """Source field of an A-ASSOCIATE-RJ [PS3.8 9.3.4]."""

    SERVICE_USER = 1
    ACSE = 2
    PRESENTATION = 3


class UserIdentityType(IntEnum):
    """The form of a user identity [PS3.7 D.3.3.7.1]."""

    USERNAME = 1
    USERNAME_AND_PASSCODE = 2
    KERBEROS = 3
    SAML = 4
    JWT = 5


REJECT_REASONS: dict[tuple[int, int], str] = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""(source, reason) -> words [PS3.8 table 9-21]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedContext:
    """A presentation context of an A-ASSOCIATE-RQ: odd id 1..255, one abstract syntax, its transfer syntaxes.

    Raises TypeError for one UID in place of the transfer syntaxes [PS3.8 9.3.2.2].
    """

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]

    def __post_init__(self) -> None:
        check_several(self.transfer_syntaxes, "ProposedContext(transfer_syntaxes={})", "UIDs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextAnswer:
    """A presentation context of an A-ASSOCIATE-AC. `transfer_syntax` is None where the context is refused: the
    field is not significant then [PS3.8 9.3.3.2]."""

    id: int
    result: ContextResult
    transfer_syntax: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsWindow:
    """The numbers of operations that may be outstanding; 0 is unlimited [PS3.7 D.3.3.3]."""

    invoked: int = 1
    performed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSelection:
    """The roles the association requestor has for one SOP class [PS3.7 D.3.3.4]."""

    sop_class_uid: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedNegotiation:
    """Service class application information for one SOP class, as raw bytes [PS3.7 D.3.3.5]."""

    sop_class_uid: str
    information: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonExtendedNegotiation:
    """The service class of a SOP class and the SOP classes it is related to. RQ only [PS3.7 D.3.3.6]."""

    sop_class_uid: str
    service_class_uid: str
    related_general: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_several(self.related_general, "CommonExtendedNegotiation(related_general={})", "UIDs")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIdentity:
    """The user of the requestor. `secondary` is the passcode of type 2. Only in an A-ASSOCIATE-RQ; `repr` does not
    show the values [PS3.7 D.3.3.7.1]."""

    type: int
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)
    response_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIdentityResponse:
    """The server's response, empty for types 1 and 2. AC only [PS3.7 D.3.3.7.2]."""

    response: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInformation:
    """The user information item [PS3.8 9.3.2.3, annex D; PS3.7 D.3.3].

    `max_length`: the largest P-DATA-TF body, in bytes, that its sender will receive; 0 is unlimited.
    `window` None: absent, which means one operation at a time.
    """

    max_length: int = DEFAULT_MAX_LENGTH
    implementation_class_uid: str = uids.IMPLEMENTATION_CLASS_UID
    implementation_version_name: str | None = uids.IMPLEMENTATION_VERSION_NAME
    window: OperationsWindow | None = None
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()
    common_extended: tuple[CommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None
    user_identity_response: UserIdentityResponse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ [PS3.8 9.3.2].

    Raises TypeError for UIDs in place of the contexts, which `propose` makes.
    """

    called_aet: str
    calling_aet: str
    contexts: tuple[ProposedContext, ...]
    application_context: str = uids.DICOM_APPLICATION_CONTEXT
    user_information: UserInformation = UserInformation()
    protocol_version: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        one_for_many(self.contexts, "contexts={}", "ProposedContext", hint="; propose makes them")
        check_several(self.contexts, "contexts={}", "ProposedContext")
        for context in self.contexts:
            check_kind(context, "contexts=[{}, ...]", ProposedContext, for_str="; propose makes them")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateAccept:
    """A-ASSOCIATE-AC. The titles are those of the request, sent back; a receiver does not test them [PS3.8 9.3.3]."""

    called_aet: str
    calling_aet: str
    contexts: tuple[ContextAnswer, ...]
    application_context: str = uids.DICOM_APPLICATION_CONTEXT
    user_information: UserInformation = UserInformation()
    protocol_version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateReject:
    """A-ASSOCIATE-RJ [PS3.8 9.3.4]."""

    result: int = RejectResult.PERMANENT
    source: int = RejectSource.SERVICE_USER
    reason: int = 1

    def __str__(self) -> str:
        lasting = {1: "permanently", 2: "for now"}.get(self.result, f"(result {self.result})")
        by = {1: "service user", 2: "service provider (ACSE)", 3: "service provider (presentation)"}
        why = REJECT_REASONS.get((self.source, self.reason), "a reserved reason")
        return (
            f"association rejected {lasting} by the {by.get(self.source, 'unknown source')}: {why} "
            f"({self.result}/{self.source}/{self.reason})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pdv:
    """A presentation data value item: a fragment of a command set or of a data set [PS3.8 9.3.5.1, annex E]."""

    context: int
    command: bool
    last: bool
    data: Buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class PData:
    """P-DATA-TF, whole. On a stream it is never held whole: see `framing` [PS3.8 9.3.5]."""

    pdvs: tuple[Pdv, ...]


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A-RELEASE-RQ [PS3.8 9.3.6]."""


@dataclass(frozen=True, slots=True)
class ReleaseResponse:
    """A-RELEASE-RP [PS3.8 9.3.7]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """A-ABORT. The reason is significant only when the source is the service provider [PS3.8 9.3.8]."""

    source: int = AbortSource.SERVICE_USER
    reason: int = AbortReason.NOT_SPECIFIED

    def __str__(self) -> str:
        if self.source == AbortSource.SERVICE_USER:
            return "association aborted by the service user"
        by = (
            "the service provider" if self.source == AbortSource.SERVICE_PROVIDER else f"source {self.source}, reserved"
        )
        known = {reason.value: reason.name.lower().replace("_", " ") for reason in AbortReason}
        return f"association aborted by {by}: {known.get(self.reason, 'unknown')} ({self.reason})"


Managed = AssociateRequest | AssociateAccept | AssociateReject | ReleaseRequest | ReleaseResponse | Abort
"""The PDUs that are one event each; P-DATA-TF is not: it streams."""
Pdu = Managed | PData


def not_a_pdu(other: object) -> TypeError:
    """Returns the error for an object of another type, which a caller without a type checker may give."""
    hint = "; a Fragment is received: send a PData with its Pdv" if type(other).__name__ == "Fragment" else ""
    return TypeError(f"{type(other).__name__} is not a PDU that can be sent{hint}")

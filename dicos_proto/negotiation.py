"""Negotiation as pure functions: (request, policy) -> accept or reject; (request, accept) -> what was agreed.

Knows: PS3.8 7.1.1 and annex D, PS3.7 annex D.3. Must not know: bytes, states, time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from . import uids
from .errors import AbortReason, LocalProtocolError, Malformed
from .limits import DEFAULT_MAX_LENGTH, SMALLEST_MAX_LENGTH, Limits
from .pdu import is_title
from .pdu_types import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    ProposedContext,
    RejectResult,
    RejectSource,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)

UNCOMPRESSED = (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE)
"""Transfer syntaxes every peer can be expected to have one of; the second is DICOM's default.  # PS3.5 10.1"""


class Preference(Enum):
    """Whose order of transfer syntaxes decides."""

    OWN = "own"
    REQUESTOR = "requestor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Roles, of the association requestor, that an acceptor grants for a SOP class.  # PS3.7 D.3.3.4"""

    scu: bool = True
    scp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPolicy:
    """What an acceptor wants of a user identity.  # PS3.7 D.3.3.7

    `required`: refuse a requestor that sends none. `known`: primary field -> secondary field, as bytes; None accepts
    any. A user without passcode has an empty secondary field: a name alone never stands for a name and its passcode.
    `types`: the identity types understood; where an identity is checked another is refused, and one that is not
    understood gets no positive response. `response`: what a positive response carries.
    """

    required: bool = False
    known: Mapping[bytes, bytes] | None = field(default=None, repr=False)
    types: tuple[int, ...] = (1, 2)
    response: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptPolicy:
    """What an acceptor says to a request. Values only.

    `contexts`: abstract syntax -> transfer syntaxes, best first. `other_contexts`: the transfer syntaxes for every
    abstract syntax that is not in `contexts`; None refuses those. `refused`: abstract syntaxes refused by the user
    (result 1) although supported. `called_aets` and `calling_aets`: the titles let in; None lets all in.
    `window`: the most that is granted; None answers no window, so one operation at a time.
    `extended`: SOP class -> the application information that is answered to an extended negotiation of it.
    """

    contexts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other_contexts: tuple[str, ...] | None = None
    refused: frozenset[str] = frozenset()
    preference: Preference = Preference.REQUESTOR
    application_contexts: tuple[str, ...] = uids.APPLICATION_CONTEXTS
    called_aets: frozenset[str] | None = None
    calling_aets: frozenset[str] | None = None
    roles: Mapping[str, Roles] = field(default_factory=dict)
    window: OperationsWindow | None = None
    extended: Mapping[str, bytes] = field(default_factory=dict)
    identity: IdentityPolicy = IdentityPolicy()
    max_length: int = DEFAULT_MAX_LENGTH
    implementation_class_uid: str = uids.IMPLEMENTATION_CLASS_UID
    implementation_version_name: str | None = uids.IMPLEMENTATION_VERSION_NAME
    max_contexts: int = Limits().contexts


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentationContext:
    """An accepted context. `scu`, `scp`: whether the local side may invoke its operations, and perform them."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedContext:
    """A context that was proposed and not accepted. `result` None: the answer does not mention it."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    result: ContextResult | None

    def __str__(self) -> str:
        words = {
            None: "not answered",
            ContextResult.USER_REJECTION: "refused by the user",
            ContextResult.NO_REASON: "refused by the provider, no reason given",
            ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED: "abstract syntax not supported",
            ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED: "none of the transfer syntaxes supported",
        }
        syntaxes = ", ".join(uids.name_of(uid) for uid in self.transfer_syntaxes)
        return f"{uids.name_of(self.abstract_syntax)} with {syntaxes}: {words.get(self.result, 'refused')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What both sides now hold to. `peer_max_length`: of P-DATA-TF bodies the peer receives, 0 unlimited.

    `invoke`, `perform`: operations the local side may have outstanding in each direction, 0 unlimited.
    """

    contexts: Mapping[int, PresentationContext]
    refused: tuple[RefusedContext, ...]
    peer_max_length: int
    invoke: int
    perform: int


def propose(
    abstract_syntaxes: Iterable[str], transfer_syntaxes: tuple[str, ...] = UNCOMPRESSED
) -> tuple[ProposedContext, ...]:
    """One context for each abstract syntax, each with the same transfer syntaxes; ids 1, 3, 5 and so on.

    Raises `LocalProtocolError` for more than 128.
    """
    return number_contexts((syntax, transfer_syntaxes) for syntax in dict.fromkeys(abstract_syntaxes))


def number_contexts(pairs: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[ProposedContext, ...]:
    """(abstract syntax, transfer syntaxes) -> contexts with ids 1, 3, 5... Raises `LocalProtocolError` beyond 128."""
    contexts = tuple(
        ProposedContext(id=2 * index + 1, abstract_syntax=abstract, transfer_syntaxes=transfer)
        for index, (abstract, transfer) in enumerate(pairs)
    )
    if len(contexts) > 128:
        raise LocalProtocolError(f"{len(contexts)} presentation contexts; at most 128 [PS3.8 9.3.2.2]")
    return contexts


def negotiate(request: AssociateRequest, policy: AcceptPolicy) -> AssociateAccept | AssociateReject:
    """The answer of an acceptor with this policy. An accept may have no accepted context at all; that is legal."""
    refusal = _refusal(request, policy)
    if refusal is not None:
        return refusal
    theirs = request.user_information
    identity = theirs.user_identity
    response = None
    if identity is not None and identity.response_requested and identity.type in policy.identity.types:
        response = UserIdentityResponse(response=policy.identity.response)
    window = None
    if policy.window is not None and theirs.window is not None:
        window = OperationsWindow(
            invoked=_smaller(theirs.window.invoked, policy.window.invoked),
            performed=_smaller(theirs.window.performed, policy.window.performed),
        )
    return AssociateAccept(
        called_aet=request.called_aet,
        calling_aet=request.calling_aet,
        application_context=request.application_context,
        contexts=tuple(
            _answer(context, policy, room=index < policy.max_contexts) for index, context in enumerate(request.contexts)
        ),
        user_information=UserInformation(
            max_length=policy.max_length,
            implementation_class_uid=policy.implementation_class_uid,
            implementation_version_name=policy.implementation_version_name,
            window=window,
            roles=_grant_roles(theirs.roles, policy),
            extended=tuple(
                ExtendedNegotiation(sop_class_uid=each.sop_class_uid, information=policy.extended[each.sop_class_uid])
                for each in theirs.extended
                if each.sop_class_uid in policy.extended
            ),
            user_identity_response=response,
        ),
    )


def _refusal(request: AssociateRequest, policy: AcceptPolicy) -> AssociateReject | None:
    """The first of the reasons to reject an association as a whole.  # PS3.8 table 9-21"""
    user, acse = RejectSource.SERVICE_USER, RejectSource.ACSE
    if request.application_context not in policy.application_contexts:
        return AssociateReject(source=user, reason=2)
    if not _welcome(request.calling_aet, policy.calling_aets):
        return AssociateReject(source=user, reason=3)
    if not _welcome(request.called_aet, policy.called_aets):
        return AssociateReject(source=user, reason=7)
    if not request.contexts or 0 < request.user_information.max_length < SMALLEST_MAX_LENGTH:
        return AssociateReject(source=acse, reason=1)
    if not _identified(request.user_information.user_identity, policy.identity):
        return AssociateReject(result=RejectResult.PERMANENT, source=acse, reason=1)  # PS3.7 D.3.3.7.1
    return None


def _welcome(title: str, titles: frozenset[str] | None) -> bool:
    return is_title(title) and (titles is None or title in titles)


def _identified(identity: UserIdentity | None, policy: IdentityPolicy) -> bool:
    if identity is None:
        return not policy.required
    if policy.known is None:
        return not policy.required or identity.type in policy.types
    if identity.type not in policy.types or identity.primary not in policy.known:
        return False
    return policy.known[identity.primary] == identity.secondary


def _answer(context: ProposedContext, policy: AcceptPolicy, *, room: bool) -> ContextAnswer:
    """The result for one context.  # PS3.8 9.3.3.2"""
    supported = policy.contexts.get(context.abstract_syntax, policy.other_contexts)
    if not room:
        return ContextAnswer(id=context.id, result=ContextResult.NO_REASON)
    if supported is None:
        return ContextAnswer(id=context.id, result=ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED)
    if context.abstract_syntax in policy.refused:
        return ContextAnswer(id=context.id, result=ContextResult.USER_REJECTION)
    own = policy.preference is Preference.OWN
    first, second = (supported, context.transfer_syntaxes) if own else (context.transfer_syntaxes, supported)
    for syntax in first:
        if syntax in second:
            return ContextAnswer(id=context.id, result=ContextResult.ACCEPTANCE, transfer_syntax=syntax)
    return ContextAnswer(id=context.id, result=ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)


def _smaller(one: int, other: int) -> int:
    """The smaller of two windows, in which 0 is unlimited."""
    return min(one, other) if one and other else one or other


def _grant_roles(proposed: tuple[RoleSelection, ...], policy: AcceptPolicy) -> tuple[RoleSelection, ...]:
    """Only what was proposed can be granted.  # PS3.7 D.3.3.4"""
    default = Roles()
    granted = []
    for role in _first_roles(proposed).values():
        allowed = policy.roles.get(role.sop_class_uid, default)
        granted.append(
            RoleSelection(sop_class_uid=role.sop_class_uid, scu=role.scu and allowed.scu, scp=role.scp and allowed.scp)
        )
    return tuple(granted)


def _first_roles(roles: tuple[RoleSelection, ...]) -> dict[str, RoleSelection]:
    """By SOP class, in their order. There is to be one a SOP class; of several the first counts.  # PS3.7 D.3.3.4"""
    found: dict[str, RoleSelection] = {}
    for role in roles:
        found.setdefault(role.sop_class_uid, role)
    return found


def agree(request: AssociateRequest, accept: AssociateAccept, *, requestor: bool) -> Agreement:
    """What `accept`, sent or received, makes of `request`, seen from one side.

    Raises `Malformed` for an answer that does not fit its request: a context that was not proposed, a transfer syntax
    that was not offered, a role or window larger than proposed, a Maximum Length no message fits in.
    """
    proposed = {context.id: context for context in request.contexts}
    answers = {answer.id: answer for answer in accept.contexts}
    for number in answers:
        if number not in proposed:
            raise _misfit(f"presentation context {number} answered, which was not proposed", "PS3.8 9.3.3.2")
    granted = _granted_roles(request, accept)
    contexts: dict[int, PresentationContext] = {}
    refused: list[RefusedContext] = []
    for number, context in proposed.items():
        answer = answers.get(number)
        if answer is not None and answer.transfer_syntax is not None and answer.result == ContextResult.ACCEPTANCE:
            if answer.transfer_syntax not in context.transfer_syntaxes:
                syntax = answer.transfer_syntax
                raise _misfit(f"context {number} accepted with {syntax}, which was not offered", "PS3.8 9.3.3.2")
            scu, scp = granted.get(context.abstract_syntax, (True, False))
            contexts[number] = PresentationContext(
                id=number,
                abstract_syntax=context.abstract_syntax,
                transfer_syntax=answer.transfer_syntax,
                scu=scu if requestor else scp,
                scp=scp if requestor else scu,
            )
        else:
            refused.append(
                RefusedContext(
                    id=number,
                    abstract_syntax=context.abstract_syntax,
                    transfer_syntaxes=context.transfer_syntaxes,
                    result=None if answer is None else answer.result,
                )
            )
    peer = accept if requestor else request
    max_length = peer.user_information.max_length
    if 0 < max_length < SMALLEST_MAX_LENGTH:
        raise _misfit(f"Maximum Length {max_length}; 0 or at least {SMALLEST_MAX_LENGTH}", "PS3.8 D.1")
    invoked, performed = _window(request, accept)
    return Agreement(
        contexts=contexts,
        refused=tuple(refused),
        peer_max_length=max_length,
        invoke=invoked if requestor else performed,
        perform=performed if requestor else invoked,
    )


def _granted_roles(request: AssociateRequest, accept: AssociateAccept) -> dict[str, tuple[bool, bool]]:
    """SOP class -> the requestor's (scu, scp) roles, where they were negotiated."""
    asked = _first_roles(request.user_information.roles)
    granted: dict[str, tuple[bool, bool]] = {}
    for role in accept.user_information.roles:
        wish = asked.get(role.sop_class_uid)
        if wish is None or (role.scu and not wish.scu) or (role.scp and not wish.scp):
            raise _misfit(f"roles granted for {role.sop_class_uid} that were not proposed", "PS3.7 D.3.3.4")
        granted.setdefault(role.sop_class_uid, (role.scu, role.scp))  # of several the first counts, as in a request
    return granted


def _window(request: AssociateRequest, accept: AssociateAccept) -> tuple[int, int]:
    """Operations the requestor may invoke, and performs.  # PS3.7 D.3.3.3"""
    asked, given = request.user_information.window, accept.user_information.window
    if given is None:
        return 1, 1
    if asked is None:
        raise _misfit("an asynchronous operations window answered that was not proposed", "PS3.7 D.3.3.3")
    for wish, grant in ((asked.invoked, given.invoked), (asked.performed, given.performed)):
        if wish and not 0 < grant <= wish:
            raise _misfit(f"operations window {grant} answered to {wish}", "PS3.7 D.3.3.3")
    return given.invoked, given.performed


def _misfit(detail: str, clause: str) -> Malformed:
    return Malformed(detail, clause, AbortReason.INVALID_PARAMETER)

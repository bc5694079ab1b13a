"""Negotiation as pure functions: what a requestor proposes, and (request, policy) -> accept or reject.

Knows: PS3.8 7.1.1 and annex D, PS3.7 annex D.3. Must not know: bytes, states, time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..arguments import check_kind, check_several, one_for_many
from ..errors import LocalProtocolError
from ..limits import SMALLEST_MAX_LENGTH
from ..registry import uids
from ..tolerance import STRICT, Tolerance
from .agreement import first_extended, first_roles, smaller_window
from .extended import grant
from .pdu_types import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtendedNegotiation,
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
    UserIdentityType,
    UserInformation,
)
from .policy import AcceptPolicy, IdentityPolicy, IdentityVerdict, Preference, Roles
from .titles import fault_of_title, is_title

UNCOMPRESSED = (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE)
"""Transfer syntaxes every peer can be expected to have one of; the second is DICOM's default [PS3.5 10.1]."""


def propose(
    abstract_syntaxes: Iterable[str], transfer_syntaxes: tuple[str, ...] = UNCOMPRESSED
) -> tuple[ProposedContext, ...]:
    """One context for each abstract syntax, each with the same transfer syntaxes; ids 1, 3, 5 and so on.

    Raises `LocalProtocolError` for more than 128, TypeError for one UID in place of several.
    """
    one_for_many(abstract_syntaxes, "propose({})", "UIDs", "list")
    check_several(transfer_syntaxes, "propose(..., {})", "transfer syntaxes")
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


def propose_roles(sop_classes: Iterable[str], *, scu: bool = False, scp: bool = True) -> tuple[RoleSelection, ...]:
    """The roles to propose for these SOP classes, one item each [PS3.7 D.3.3.4].

    The defaults are those of a requestor that retrieves by C-GET: it is the SCP of what it gets [PS3.4 C.5.3].
    Without an item the requestor is the SCU. Raises `LocalProtocolError` for no role at all, TypeError for one UID in
    place of several.
    """
    one_for_many(sop_classes, "propose_roles({})", "UIDs", "list")
    if not (scu or scp):
        raise LocalProtocolError("role selection without a role; SCU, SCP or both [PS3.7 D.3.3.4]")
    return tuple(RoleSelection(sop_class_uid=uid, scu=scu, scp=scp) for uid in dict.fromkeys(sop_classes))


def negotiate(
    request: AssociateRequest,
    policy: AcceptPolicy,
    tolerance: Tolerance = STRICT,
    *,
    identity: IdentityVerdict | None = None,
) -> AssociateAccept | AssociateReject:
    """The answer of an acceptor with this policy. An accept may have no accepted context at all; that is legal.

    `tolerance`: its flags for AE titles accept an invalid title that the lists of the policy have; with
    `role_of_neither`, a proposal of neither role means the default roles.
    `identity`: what the caller found out about the user identity of the request; it replaces `policy.identity`.
    Raises `LocalProtocolError` for a policy whose Maximum Length has no room for a message, TypeError for anything
    but a policy.
    """
    check_kind(policy, "negotiate(request, {})", AcceptPolicy)
    if policy.peer_max_length < SMALLEST_MAX_LENGTH:
        raise LocalProtocolError(
            f"a policy that accepts a Maximum Length of {policy.peer_max_length}; at least {SMALLEST_MAX_LENGTH}"
        )
    if 0 < policy.max_length < SMALLEST_MAX_LENGTH:
        raise LocalProtocolError(f"Maximum Length {policy.max_length}; 0 or at least {SMALLEST_MAX_LENGTH} [PS3.8 D.1]")
    refusal = _refusal(request, policy, tolerance, identity)
    if refusal is not None:
        return refusal
    theirs = request.user_information
    general = _general(theirs.common_extended, policy.general)
    window = None
    if policy.window is not None and theirs.window is not None:
        window = OperationsWindow(
            invoked=smaller_window(theirs.window.invoked, policy.window.invoked),
            performed=smaller_window(theirs.window.performed, policy.window.performed),
        )
    return AssociateAccept(
        called_aet=request.called_aet,
        calling_aet=request.calling_aet,
        application_context=request.application_context,
        contexts=tuple(
            _answer(context, policy, general, room=index < policy.max_contexts)
            for index, context in enumerate(request.contexts)
        ),
        user_information=UserInformation(
            max_length=policy.max_length,
            implementation_class_uid=policy.implementation_class_uid,
            implementation_version_name=policy.implementation_version_name,
            window=window,
            roles=_grant_roles(theirs.roles, policy, tolerance),
            extended=_grant_extended(theirs.extended, policy),
            user_identity_response=_identity_response(theirs.user_identity, policy.identity, identity),
        ),
    )


def _refusal(
    request: AssociateRequest, policy: AcceptPolicy, tolerance: Tolerance, identity: IdentityVerdict | None
) -> AssociateReject | None:
    """The first of the reasons to reject an association as a whole [PS3.8 table 9-21]."""
    user, acse = RejectSource.SERVICE_USER, RejectSource.ACSE
    if request.application_context not in policy.application_contexts:
        return AssociateReject(source=user, reason=2)
    if not _welcome(request.calling_aet, policy.calling_aets, tolerance):
        return AssociateReject(source=user, reason=3)
    if not _welcome(request.called_aet, policy.called_aets, tolerance):
        return AssociateReject(source=user, reason=7)
    if not request.contexts or 0 < request.user_information.max_length < policy.peer_max_length:
        return AssociateReject(source=acse, reason=1)
    claimed = request.user_information.user_identity
    if not (_identified(claimed, policy.identity) if identity is None else identity.accepted):
        return AssociateReject(result=RejectResult.PERMANENT, source=acse, reason=1)  # PS3.7 D.3.3.7.1
    return None


def _welcome(title: str, titles: frozenset[str] | None, tolerance: Tolerance) -> bool:
    well_formed = is_title(title) or fault_of_title(title) in tolerance.names()
    return well_formed and (titles is None or title in titles)


def _identified(identity: UserIdentity | None, policy: IdentityPolicy) -> bool:
    if identity is None:
        return not policy.required
    if policy.known is None:
        return not policy.required or identity.type in policy.types
    from hmac import compare_digest  # it loads OpenSSL, and few acceptors check identities

    expected = policy.known.get(identity.primary)
    # As much work for a user that nobody knows; its time depends on the length of the second argument alone.
    matches = compare_digest(expected or b"", identity.secondary)
    return matches and expected is not None and identity.type in policy.types


def _identity_response(
    identity: UserIdentity | None, policy: IdentityPolicy, verdict: IdentityVerdict | None
) -> UserIdentityResponse | None:
    """A positive response, if one was requested and the identity was checked [PS3.7 D.3.3.7.2]."""
    if identity is None or not identity.response_requested:
        return None
    if verdict is None and policy.known is None:
        return None
    if identity.type in (UserIdentityType.USERNAME, UserIdentityType.USERNAME_AND_PASSCODE):
        return UserIdentityResponse()
    return UserIdentityResponse(response=policy.response if verdict is None else verdict.response)


def _general(
    common: tuple[CommonExtendedNegotiation, ...], supported: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """SOP class -> the transfer syntaxes that it is supported with because of its common extended negotiation.

    A related general SOP class is more specific than the service class, so it counts first [PS3.7 D.3.3.6].
    """
    found: dict[str, tuple[str, ...]] = {}
    for each in common:
        for uid in (*each.related_general, each.service_class_uid):
            if uid in supported:
                found.setdefault(each.sop_class_uid, supported[uid])
    return found


def _answer(
    context: ProposedContext, policy: AcceptPolicy, general: Mapping[str, tuple[str, ...]], *, room: bool
) -> ContextAnswer:
    """The result for one context [PS3.8 9.3.3.2]."""
    if not context.abstract_syntax:  # it was not a UID, and was accepted  # `item_no_uid`
        return ContextAnswer(id=context.id, result=ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED)
    supported = policy.contexts.get(context.abstract_syntax, policy.other_contexts)
    if supported is None:
        supported = general.get(context.abstract_syntax)
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


def _grant_roles(
    proposed: tuple[RoleSelection, ...], policy: AcceptPolicy, tolerance: Tolerance
) -> tuple[RoleSelection, ...]:
    """Only what was proposed can be granted, and only to a SOP class that can be answered: not to one whose UID has a
    fault that was accepted. An accepted proposal of neither role is not answered: the default roles hold
    [PS3.7 D.3.3.4]."""
    default = Roles()
    granted = []
    for role in first_roles(proposed).values():
        if not uids.is_valid(role.sop_class_uid) or not uids.has_valid_root(role.sop_class_uid):
            continue
        if tolerance.role_of_neither and not (role.scu or role.scp):
            continue
        allowed = policy.roles.get(role.sop_class_uid, default)
        granted.append(
            RoleSelection(sop_class_uid=role.sop_class_uid, scu=role.scu and allowed.scu, scp=role.scp and allowed.scp)
        )
    return tuple(granted)


def _grant_extended(asked: tuple[ExtendedNegotiation, ...], policy: AcceptPolicy) -> tuple[ExtendedNegotiation, ...]:
    """Only what was asked is answered, once for each SOP class [PS3.7 D.3.3.5]."""
    granted: list[ExtendedNegotiation] = []
    for uid, information in first_extended(asked).items():
        answer = grant(information, policy.extended[uid]) if uid in policy.extended else None
        if answer is not None:
            granted.append(ExtendedNegotiation(sop_class_uid=uid, information=answer))
    return tuple(granted)

"""Negotiation as pure functions: (request, policy) -> accept or reject; (request, accept) -> what was agreed.

Knows: PS3.8 7.1.1 and annex D, PS3.7 annex D.3. Must not know: bytes, states, time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import TypeVar

from ..errors import AbortReason, LocalProtocolError, Malformed
from ..limits import DEFAULT_MAX_LENGTH, SMALLEST_MAX_LENGTH, Limits
from ..registry import uids
from ..tolerance import CLAUSES, STRICT, Judge, Tolerance
from .extended import Extension, QueryExtension, RetrieveExtension, StorageExtension, grant
from .pdu import fault_of_title, is_title
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

    `required`: refuse a requestor that sends none. `known`: primary field -> secondary field, as bytes; None checks
    nothing: any identity is accepted, and none gets a positive response, which would say that it was checked. A user
    without passcode has an empty secondary field: a name alone never stands for a name and its passcode.
    `types`: the identity types understood; with `known` or `required`, others are refused. `response`: what a positive
    response to types 3, 4 and 5 carries.

    Tickets, assertions and tokens (types 3 to 5) are for the caller to check: see `IdentityVerdict`.

    Raises TypeError where `known` has anything but bytes: it would match nobody.
    """

    required: bool = False
    known: Mapping[bytes, bytes] | None = field(default=None, repr=False)
    types: tuple[int, ...] = (1, 2)
    response: bytes = b""

    def __post_init__(self) -> None:
        for one in chain.from_iterable((self.known or {}).items()):
            if not isinstance(one, bytes):
                raise TypeError(f"IdentityPolicy(known=...) has a {type(one).__name__}; names and passcodes are bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityVerdict:
    """What the caller decided about a user identity, or about a request without one, in place of an `IdentityPolicy`;
    what a server's `identify` returns.  # PS3.7 D.3.3.7

    `response`: the server's ticket, assertion or token. It is sent only to a requestor that asked for a positive
    response, and empty for types 1 and 2, which have none.
    """

    accepted: bool
    response: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptPolicy:
    """What an acceptor says to a request. Values only.

    `contexts`: abstract syntax -> transfer syntaxes, best first. `other_contexts`: the transfer syntaxes for every
    abstract syntax that is not in `contexts`; None refuses those. `general`: transfer syntaxes for what is in neither,
    by the related general SOP class or the service class that the request says it has. `refused`: abstract syntaxes
    refused by the user (result 1) although supported. `called_aets` and `calling_aets`: the titles let in; None lets
    all in.
    `window`: the most that is granted; None answers no window, so one operation at a time.
    `extended`: SOP class -> what is supported of its options (`extended.grant`), or raw bytes, answered as they are.
    `peer_max_length`: the smallest Maximum Length of a requestor that is accepted (`Limits.peer_max_length` says why);
    a smaller one is rejected.
    """

    contexts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other_contexts: tuple[str, ...] | None = None
    general: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    preference: Preference = Preference.REQUESTOR
    application_contexts: tuple[str, ...] = uids.APPLICATION_CONTEXTS
    called_aets: frozenset[str] | None = None
    calling_aets: frozenset[str] | None = None
    roles: Mapping[str, Roles] = field(default_factory=dict)
    window: OperationsWindow | None = None
    extended: Mapping[str, bytes | Extension] = field(default_factory=dict)
    identity: IdentityPolicy = IdentityPolicy()
    max_length: int = DEFAULT_MAX_LENGTH
    implementation_class_uid: str = uids.IMPLEMENTATION_CLASS_UID
    implementation_version_name: str | None = uids.IMPLEMENTATION_VERSION_NAME
    max_contexts: int = Limits().contexts
    peer_max_length: int = Limits().peer_max_length


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


X = TypeVar("X", StorageExtension, QueryExtension, RetrieveExtension)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What both sides now hold to. `peer_max_length`: of P-DATA-TF bodies the peer receives, 0 unlimited.

    `invoke`, `perform`: operations the local side may have outstanding in each direction, 0 unlimited. `extended`: SOP
    class -> the application information that the acceptor answered, of what the requestor asked for.
    """

    contexts: Mapping[int, PresentationContext]
    refused: tuple[RefusedContext, ...]
    peer_max_length: int
    invoke: int
    perform: int
    extended: Mapping[str, bytes] = field(default_factory=dict)

    def extension(self, sop_class_uid: str, kind: type[X]) -> X | None:
        """What was answered for this SOP class, read as `kind`; None: nothing, so the default conditions hold.

        Raises `Malformed` for an answer that is no such thing.
        """
        information = self.extended.get(sop_class_uid)
        return None if information is None else kind.decode(information)


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


def propose_roles(sop_classes: Iterable[str], *, scu: bool = False, scp: bool = True) -> tuple[RoleSelection, ...]:
    """The roles to propose for these SOP classes, one item each.  # PS3.7 D.3.3.4

    As they stand, they are those of a requestor that retrieves by C-GET: it is the SCP of what it gets.  # PS3.4 C.5.3
    Without an item the requestor is the SCU. Raises `LocalProtocolError` for no role at all.
    """
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

    `tolerance`: whether a title that is none is let in, where the policy's lists let it in, and whether a proposal of
    neither role means the default roles.
    `identity`: what the caller found out about the user identity of the request; it then stands for `policy.identity`.
    Raises `LocalProtocolError` for a policy whose Maximum Length no message fits in.
    """
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
            invoked=_smaller(theirs.window.invoked, policy.window.invoked),
            performed=_smaller(theirs.window.performed, policy.window.performed),
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
    """The first of the reasons to reject an association as a whole.  # PS3.8 table 9-21"""
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
    """A positive response, where one was requested and somebody has checked the identity.  # PS3.7 D.3.3.7.2"""
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
    """SOP class -> the transfer syntaxes it is supported with for the sake of what it is said to be.

    A related general SOP class says more than the service class, so it counts first.  # PS3.7 D.3.3.6
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
    """The result for one context.  # PS3.8 9.3.3.2"""
    if not context.abstract_syntax:  # it was no UID, and was let through  # `item_no_uid`
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


def _smaller(one: int, other: int) -> int:
    """The smaller of two windows, in which 0 is unlimited."""
    return min(one, other) if one and other else one or other


def _grant_roles(
    proposed: tuple[RoleSelection, ...], policy: AcceptPolicy, tolerance: Tolerance
) -> tuple[RoleSelection, ...]:
    """Only what was proposed can be granted, and only to what can be answered: no SOP class has a UID that was merely
    let through. A proposal of neither role may be let through: it is not answered, and the default roles hold.
    # PS3.7 D.3.3.4"""
    default = Roles()
    granted = []
    for role in _first_roles(proposed).values():
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
    """Only what was asked is answered, once for each SOP class.  # PS3.7 D.3.3.5"""
    granted: list[ExtendedNegotiation] = []
    for uid, information in _first_extended(asked).items():
        answer = grant(information, policy.extended[uid]) if uid in policy.extended else None
        if answer is not None:
            granted.append(ExtendedNegotiation(sop_class_uid=uid, information=answer))
    return tuple(granted)


def _first_extended(items: tuple[ExtendedNegotiation, ...]) -> dict[str, bytes]:
    """By SOP class, in their order. There is to be one a SOP class; of several the first counts.  # PS3.7 D.3.3.5"""
    found: dict[str, bytes] = {}
    for each in items:
        found.setdefault(each.sop_class_uid, each.information)
    return found


def _first_roles(roles: tuple[RoleSelection, ...]) -> dict[str, RoleSelection]:
    """By SOP class, in their order. There is to be one a SOP class; of several the first counts.  # PS3.7 D.3.3.4"""
    found: dict[str, RoleSelection] = {}
    for role in roles:
        found.setdefault(role.sop_class_uid, role)
    return found


def agree(
    request: AssociateRequest, accept: AssociateAccept, *, requestor: bool, judge: Judge | None = None
) -> Agreement:
    """What `accept`, sent or received, makes of `request`, seen from one side.

    `judge`: what whoever answered is held to; None: all of it. Raises `Malformed` for an answer that does not fit its
    request: a context that was not proposed, or not answered, a transfer syntax that was not offered, a window larger
    than proposed, an identity response that was not asked for, a Maximum Length no message fits in. Roles and extended
    negotiation that were not proposed must not be answered, and are ignored by a requestor that gets them all the same.
    # PS3.7 D.3.3.4, D.3.3.5
    """
    proposed = {context.id: context for context in request.contexts}
    answers = {answer.id: answer for answer in accept.contexts}
    for number in answers:
        if number not in proposed:
            raise _misfit(f"presentation context {number} answered, which was not proposed", "PS3.8 9.3.3.2")
    granted = _granted_roles(request, accept, ignore=requestor)
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
    judge = judge or Judge(Limits())
    least = judge.limits.peer_max_length
    if requestor and 0 < max_length < least:  # what an acceptor accepts is for its policy to say
        raise Malformed(
            "Maximum Length of the peer too small", "PS3.8 D.1", AbortReason.INVALID_PARAMETER,
            limit="peer_max_length", seen=max_length, allowed=least,
        )  # fmt: skip
    invoked, performed = _window(request, accept, judge)
    _check_answer(request, accept, judge)
    return Agreement(
        contexts=contexts,
        refused=tuple(refused),
        peer_max_length=max_length,
        invoke=invoked if requestor else performed,
        perform=performed if requestor else invoked,
        extended=_granted_extended(request, accept, ignore=requestor),
    )


def _check_answer(request: AssociateRequest, accept: AssociateAccept, judge: Judge) -> None:
    """What an answer says too much or too little."""
    identity = request.user_information.user_identity
    if accept.user_information.user_identity_response is not None and not (identity and identity.response_requested):
        _deviation(judge, "unasked_identity_response", "user identity response where none was asked for")
    missing = len({one.id for one in request.contexts} - {one.id for one in accept.contexts})
    if missing:
        detail = f"{missing} of {len(request.contexts)} proposed presentation contexts not answered"
        _deviation(judge, "contexts_unanswered", detail)


def _deviation(judge: Judge, name: str, detail: str) -> None:
    if not judge.let(name, detail):
        raise _misfit(detail, CLAUSES[name])


def _granted_roles(request: AssociateRequest, accept: AssociateAccept, *, ignore: bool) -> dict[str, tuple[bool, bool]]:
    """SOP class -> the requestor's (scu, scp) roles, where they were negotiated. `ignore` what was not proposed."""
    asked = _first_roles(request.user_information.roles)
    granted: dict[str, tuple[bool, bool]] = {}
    for uid, role in _first_roles(accept.user_information.roles).items():
        wish = asked.get(uid)
        if not ignore and (wish is None or (role.scu and not wish.scu) or (role.scp and not wish.scp)):
            raise _misfit(f"roles granted for {uid} that were not proposed", "PS3.7 D.3.3.4")
        if wish is not None:
            granted[uid] = (role.scu and wish.scu, role.scp and wish.scp)
    return granted


def _granted_extended(request: AssociateRequest, accept: AssociateAccept, *, ignore: bool) -> dict[str, bytes]:
    """SOP class -> the answer to its extended negotiation. `ignore` what was not proposed."""
    asked = _first_extended(request.user_information.extended)
    granted = _first_extended(accept.user_information.extended)
    for uid in granted:
        if not ignore and uid not in asked:
            raise _misfit(f"extended negotiation answered for {uid} that was not proposed", "PS3.7 D.3.3.5")
    return {uid: information for uid, information in granted.items() if uid in asked}


def _window(request: AssociateRequest, accept: AssociateAccept, judge: Judge) -> tuple[int, int]:
    """Operations the requestor may invoke, and performs: never more than it proposed.  # PS3.7 D.3.3.3"""
    asked, given = request.user_information.window, accept.user_information.window
    if given is None:
        return 1, 1
    if asked is None:
        detail = "an asynchronous operations window answered that was not proposed"
        _deviation(judge, "unasked_window", detail)
        return 1, 1
    for wish, granted in ((asked.invoked, given.invoked), (asked.performed, given.performed)):
        if wish and not 0 < granted <= wish:
            _deviation(judge, "unasked_window", f"operations window {granted} answered to {wish}")
    return _smaller(asked.invoked, given.invoked), _smaller(asked.performed, given.performed)


def _misfit(detail: str, clause: str) -> Malformed:
    return Malformed(detail, clause, AbortReason.INVALID_PARAMETER)

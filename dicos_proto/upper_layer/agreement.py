"""The agreement of two sides: (request, accept) -> contexts, windows, roles, extended negotiation.

Knows: which answers fit a request [PS3.8 9.3.3, PS3.7 annex D.3]. Must not know: policies, bytes, states, time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ..errors import AbortReason, Malformed
from ..limits import SMALLEST_MAX_LENGTH, Limits
from ..registry import uids
from ..tolerance import CLAUSES, Judge
from .extended import QueryExtension, RetrieveExtension, StorageExtension
from .pdu_types import (
    AssociateAccept,
    AssociateRequest,
    ContextResult,
    ExtendedNegotiation,
    RoleSelection,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentationContext:
    """An accepted context. `scu`, `scp`: the local side may invoke its operations, and perform them."""

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

    @property
    def reason(self) -> str:
        """The result in words."""
        words = {
            None: "not answered",
            ContextResult.USER_REJECTION: "refused by the user",
            ContextResult.NO_REASON: "refused by the provider, no reason given",
            ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED: "abstract syntax not supported",
            ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED: "none of the transfer syntaxes supported",
        }
        return words.get(self.result, "refused")

    def __str__(self) -> str:
        syntaxes = ", ".join(uids.name_of(uid) for uid in self.transfer_syntaxes)
        return f"{uids.name_of(self.abstract_syntax)} with {syntaxes}: {self.reason}"


X = TypeVar("X", StorageExtension, QueryExtension, RetrieveExtension)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The result of a negotiation. `peer_max_length`: the longest P-DATA-TF body that the peer receives, 0 unlimited.

    `invoke`, `perform`: operations the local side may have outstanding in each direction, 0 unlimited. `extended`: SOP
    class -> the application information in the acceptor's answer to the request.
    """

    contexts: Mapping[int, PresentationContext]
    refused: tuple[RefusedContext, ...]
    peer_max_length: int
    invoke: int
    perform: int
    extended: Mapping[str, bytes] = field(default_factory=dict)

    def extension(self, sop_class_uid: str, kind: type[X]) -> X | None:
        """Returns the answer for this SOP class, read as `kind`; None without an answer: the default conditions hold.

        Raises `Malformed` if the answer cannot be read as `kind`.
        """
        information = self.extended.get(sop_class_uid)
        return None if information is None else kind.decode(information)


def agree(
    request: AssociateRequest, accept: AssociateAccept, *, requestor: bool, judge: Judge | None = None
) -> Agreement:
    """The agreement that `accept`, sent or received, makes of `request`, seen from one side.

    `judge`: the limits and the tolerance for the side that answered; None: the default limits, and `STRICT`.

    Raises `Malformed` for an answer that does not fit its request: a context that was not proposed, or not answered, a
    transfer syntax that was not offered, a window larger than proposed, an identity response that was not asked for, a
    Maximum Length without room for a message. Roles and extended negotiation that were not proposed must not be
    answered; a requestor that gets them all the same ignores them [PS3.7 D.3.3.4, D.3.3.5].
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
    """Raises `Malformed` for an identity response that was not asked for, and for contexts without an answer."""
    identity = request.user_information.user_identity
    if accept.user_information.user_identity_response is not None and not (identity and identity.response_requested):
        _deviation(judge, "unasked_identity_response", "user identity response where none was asked for")
    missing = len({one.id for one in request.contexts} - {one.id for one in accept.contexts})
    if missing:
        detail = f"{missing} of {len(request.contexts)} proposed presentation contexts not answered"
        _deviation(judge, "contexts_unanswered", detail)


def _deviation(judge: Judge, name: str, detail: str) -> None:
    if not judge.tolerates(name, detail):
        raise _misfit(detail, CLAUSES[name])


def _granted_roles(request: AssociateRequest, accept: AssociateAccept, *, ignore: bool) -> dict[str, tuple[bool, bool]]:
    """SOP class -> the requestor's (scu, scp) roles, where they were negotiated. `ignore` what was not proposed."""
    asked = first_roles(request.user_information.roles)
    granted: dict[str, tuple[bool, bool]] = {}
    for uid, role in first_roles(accept.user_information.roles).items():
        wish = asked.get(uid)
        if not ignore and (wish is None or (role.scu and not wish.scu) or (role.scp and not wish.scp)):
            raise _misfit(f"roles granted for {uid} that were not proposed", "PS3.7 D.3.3.4")
        if wish is not None:
            granted[uid] = (role.scu and wish.scu, role.scp and wish.scp)
    return granted


def _granted_extended(request: AssociateRequest, accept: AssociateAccept, *, ignore: bool) -> dict[str, bytes]:
    """SOP class -> the answer to its extended negotiation. `ignore` what was not proposed."""
    asked = first_extended(request.user_information.extended)
    granted = first_extended(accept.user_information.extended)
    for uid in granted:
        if not ignore and uid not in asked:
            raise _misfit(f"extended negotiation answered for {uid} that was not proposed", "PS3.7 D.3.3.5")
    return {uid: information for uid, information in granted.items() if uid in asked}


def _window(request: AssociateRequest, accept: AssociateAccept, judge: Judge) -> tuple[int, int]:
    """The numbers of operations that the requestor may invoke, and that it performs: never more than it proposed
    [PS3.7 D.3.3.3]."""
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
    return smaller_window(asked.invoked, given.invoked), smaller_window(asked.performed, given.performed)


def _misfit(detail: str, clause: str) -> Malformed:
    return Malformed(detail, clause, AbortReason.INVALID_PARAMETER)


def smaller_window(one: int, other: int) -> int:
    """The smaller of two windows, in which 0 is unlimited."""
    return min(one, other) if one and other else one or other


def first_extended(items: tuple[ExtendedNegotiation, ...]) -> dict[str, bytes]:
    """By SOP class, in their order. There should be one for each SOP class; the first one counts [PS3.7 D.3.3.5]."""
    found: dict[str, bytes] = {}
    for each in items:
        found.setdefault(each.sop_class_uid, each.information)
    return found


def first_roles(roles: tuple[RoleSelection, ...]) -> dict[str, RoleSelection]:
    """By SOP class, in their order. There should be one for each SOP class; the first one counts [PS3.7 D.3.3.4]."""
    found: dict[str, RoleSelection] = {}
    for role in roles:
        found.setdefault(role.sop_class_uid, role)
    return found

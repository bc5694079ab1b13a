"""Plans the presentation contexts to propose for a task, and explains why a task is impossible over the agreed ones.

Knows: how many contexts an association has room for, which contexts an object needs, which roles a service needs.
Must not know: files, how data sets are converted, connections.

Invariants: one context for each SOP class and transfer syntax, so that an acceptor gets the object unchanged;
everything that is left out is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..arguments import check_several, one_for_many
from ..registry import uids
from ..upper_layer.agreement import Agreement, PresentationContext, RefusedContext, first_roles
from ..upper_layer.negotiation import UNCOMPRESSED, number_contexts
from ..upper_layer.pdu_types import AssociateRequest, ContextResult, ProposedContext, RoleSelection

CONTEXTS = 128
"""Presentation contexts that one association has room for: the odd ids from 1 to 255 [PS3.8 9.3.2.2]."""

_NO_ROOM = f"no room: an association has at most {CONTEXTS} presentation contexts [PS3.8 9.3.2.2]"

_Pair = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A SOP class without a proposed context, and why. `transfer_syntaxes`: those it would have had."""

    sop_class_uid: str
    transfer_syntaxes: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"{_named(self.sop_class_uid, self.transfer_syntaxes)}: {self.reason}"


# -- objects to send ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The associations that are needed to send objects in order, and the contexts to propose in each.

    `placed`: for each object the index of its association; None: it is among `left_out`, which has each kind once.
    """

    associations: tuple[tuple[ProposedContext, ...], ...]
    placed: tuple[int | None, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def contexts(self) -> tuple[ProposedContext, ...]:
        """The contexts of the first association, usually the only one."""
        return self.associations[0] if self.associations else ()


_NOTHING: Mapping[str, tuple[str, ...]] = {}


def plan(
    objects: Iterable[tuple[str, str]],
    *,
    fallbacks: Mapping[str, tuple[str, ...]] = _NOTHING,
    shared: bool = False,
    associations: int | None = None,
) -> Plan:
    """Returns what to propose for `objects`, each a SOP class and the transfer syntax of its data set.

    `fallbacks`: transfer syntax -> the other ones that the sender can convert such a data set to, best first. They are
    offered in a context of their own, or if `shared` in the same one: fewer contexts, but then the peer chooses, and it
    may choose a conversion that was not necessary. `associations`: the largest number to plan;
    what has no room in them is left out.
    """
    planned: list[dict[_Pair, None]] = []
    placed: list[int | None] = []
    left_out: dict[tuple[str, str], LeftOut] = {}
    alike: dict[tuple[str, frozenset[str]], _Pair] = {}
    for sop_class, syntax in objects:
        others = tuple(other for other in fallbacks.get(syntax, ()) if other != syntax)
        if shared:
            pair = (sop_class, (syntax, *others))
            pairs = [alike.setdefault((sop_class, frozenset(pair[1])), pair)]
        else:
            pairs = [(sop_class, one) for one in ((syntax,), others) if one]
        reason = _unfit(sop_class, syntax)
        place = _place(pairs, planned, associations) if reason is None else None
        if place is None:
            left_out[sop_class, syntax] = LeftOut(
                sop_class_uid=sop_class, transfer_syntaxes=(syntax,), reason=reason or _NO_ROOM
            )
        placed.append(place)
    return Plan(
        associations=tuple(map(number_contexts, planned)), placed=tuple(placed), left_out=tuple(left_out.values())
    )


def _unfit(sop_class: str, syntax: str) -> str | None:
    """The reason why no context can be proposed for this object; None if one can."""
    if sop_class == uids.MEDIA_STORAGE_DIRECTORY:
        return "a DICOMDIR describes files and is not stored itself [PS3.4 B.5]"
    for name, uid in (("SOP class", sop_class), ("transfer syntax", syntax)):
        if not uids.is_valid(uid):
            return f"its {name} is not a UID [PS3.5 9.1]"
    return None


def _place(pairs: list[_Pair], planned: list[dict[_Pair, None]], most: int | None) -> int | None:
    """Adds the new pairs in `pairs` to the last association, or to a new one. Returns its index, None without room."""
    if planned:
        more = [pair for pair in pairs if pair not in planned[-1]]
        if len(planned[-1]) + len(more) <= CONTEXTS:
            planned[-1].update(dict.fromkeys(more))
            return len(planned) - 1
    if len(planned) == most:
        return next((index for index, earlier in enumerate(planned) if all(pair in earlier for pair in pairs)), None)
    planned.append(dict.fromkeys(pairs))
    return len(planned) - 1


# -- services to use ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedService:
    """SOP classes to propose with the same transfer syntaxes, and the roles of the requestor in them."""

    sop_classes: tuple[str, ...]
    transfer_syntaxes: tuple[str, ...] = UNCOMPRESSED
    scu: bool = True
    scp: bool = False

    def __post_init__(self) -> None:
        """Raises TypeError for one UID in place of several."""
        check_several(self.sop_classes, "ProposedService(sop_classes={})", "UIDs")
        check_several(self.transfer_syntaxes, "ProposedService(transfer_syntaxes={})", "UIDs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The contexts and the role selection items of one request, and the SOP classes for which it had no room."""

    contexts: tuple[ProposedContext, ...]
    roles: tuple[RoleSelection, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def get_services(
    sop_classes: Iterable[str],
    transfer_syntaxes: tuple[str, ...] = UNCOMPRESSED,
    *,
    model: str = uids.STUDY_ROOT_GET,
) -> tuple[ProposedService, ...]:
    """The services to propose for a C-GET: its information model, and in the role of an SCP the classes of the objects
    that the provider may send [PS3.4 C.5.3]. Raises TypeError for one UID in place of several."""
    one_for_many(sop_classes, "get_services({})", "UIDs")
    return (
        ProposedService(sop_classes=(model,)),
        ProposedService(sop_classes=tuple(sop_classes), transfer_syntaxes=transfer_syntaxes, scu=False, scp=True),
    )


def contexts_for(services: Iterable[ProposedService]) -> Proposal:
    """Contexts and roles for `services`, the most important first: services beyond 128 contexts are left out.

    A SOP class in several services has the roles of all of them: roles belong to a SOP class, not to a context
    [PS3.7 D.3.3.4].
    """
    pairs: dict[_Pair, None] = {}
    roles: dict[str, tuple[bool, bool]] = {}
    left_out: list[LeftOut] = []
    for service in services:
        for sop_class in dict.fromkeys(service.sop_classes):
            pair = (sop_class, service.transfer_syntaxes)
            if pair not in pairs and len(pairs) == CONTEXTS:
                left_out.append(
                    LeftOut(sop_class_uid=sop_class, transfer_syntaxes=service.transfer_syntaxes, reason=_NO_ROOM)
                )
                continue
            pairs[pair] = None
            scu, scp = roles.get(sop_class, (False, False))
            roles[sop_class] = (scu or service.scu, scp or service.scp)
    return Proposal(
        contexts=number_contexts(pairs),
        roles=tuple(
            RoleSelection(sop_class_uid=uid, scu=scu, scp=scp)
            for uid, (scu, scp) in roles.items()
            if (scu, scp) != (True, False)  # the roles without an item
        ),
        left_out=tuple(left_out),
    )


# -- why not -----------------------------------------------------------------------------------------------------------

_ASK_WHY = "ask the peer's operator why"
_ADVICE: Mapping[ContextResult | None, str] = {
    ContextResult.USER_REJECTION: "ask the peer's operator to allow it",
    ContextResult.NO_REASON: f"propose fewer contexts, or {_ASK_WHY}",
    ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED: "ask another peer",
    ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED: "propose other syntaxes, or ask another peer",
}


def explain(
    found: Agreement | Plan | Proposal | None,
    abstract_syntax: str,
    transfer_syntaxes: tuple[str, ...] = (),
    *,
    as_scp: bool = False,
    answered: AssociateRequest | None = None,
) -> str:
    """Explains why there is no context for operations of this SOP class: what was proposed, how it was answered, and
    what to try.

    `transfer_syntaxes`: the wanted ones; empty: any. `as_scp`: the local side was to perform operations, not to invoke
    them. `answered`: the request that the local side has answered, if it is the acceptor, who does not propose but
    accepts. `found`: None if nothing was agreed; for a plan or a proposal, the text says why nothing is proposed.
    """
    wanted = f"no presentation context for {_named(abstract_syntax, transfer_syntaxes, ' in ', ' or ')}"
    if isinstance(found, Plan | Proposal):
        return f"{wanted}: {_planned(found, abstract_syntax)}"
    contexts = found.contexts.values() if found else ()
    accepted = [one for one in contexts if one.abstract_syntax == abstract_syntax]
    refused = [one for one in (found.refused if found else ()) if one.abstract_syntax == abstract_syntax]
    if not (accepted or refused):
        return f"{wanted}: none was proposed; {'' if answered is None else 'the requestor has to '}propose one for it"
    became = [_refused(one) for one in refused] + [_accepted(one, as_scp) for one in accepted]
    if answered is None:
        advice = _advice(accepted, refused, as_scp)
    else:
        advice = _advice_to_acceptor(abstract_syntax, accepted, refused, as_scp, answered)
    return f"{wanted}: {'; '.join([*became, *dict.fromkeys(advice)])}"


def _planned(found: Plan | Proposal, abstract_syntax: str) -> str:
    """The proposals for this SOP class, and the reasons for what is left out."""
    several = found.associations if isinstance(found, Plan) else (found.contexts,)
    ways = dict.fromkeys(
        ", ".join(map(uids.name_of, one.transfer_syntaxes))
        for contexts in several
        for one in contexts
        if one.abstract_syntax == abstract_syntax
    )
    parts = [f"planned with {way}" for way in ways]
    parts += dict.fromkeys(one.reason for one in found.left_out if one.sop_class_uid == abstract_syntax)
    return "; ".join(parts) or "none is planned; plan one for it"


def _refused(context: RefusedContext) -> str:
    return f"proposed with {', '.join(map(uids.name_of, context.transfer_syntaxes))}: {context.reason}"


def _accepted(context: PresentationContext, as_scp: bool) -> str:
    words = f"accepted with {uids.name_of(context.transfer_syntax)}"
    return words if _serves(context, as_scp) else f"{words}, but not in the role of an {_role(as_scp)}"


def _advice(accepted: list[PresentationContext], refused: list[RefusedContext], as_scp: bool) -> list[str]:
    """Returns what a requestor can try next."""
    advice = [_ADVICE.get(one.result, _ASK_WHY) for one in refused]
    if not all(_serves(one, as_scp) for one in accepted):
        advice.append(f"propose the role of an {_role(as_scp)} for it")
    elif accepted and not refused:
        advice.append("propose other syntaxes, or ask another peer")
    return advice


def _advice_to_acceptor(
    uid: str,
    accepted: list[PresentationContext],
    refused: list[RefusedContext],
    as_scp: bool,
    answered: AssociateRequest,
) -> list[str]:
    """Returns what an acceptor can change, or who else has to change something."""
    advice = ["accept it: AcceptPolicy(contexts=...)"] if refused else []
    if not all(_serves(one, as_scp) for one in accepted):
        role = first_roles(answered.user_information.roles).get(
            uid, RoleSelection(sop_class_uid=uid, scu=True, scp=False)
        )
        if role.scu if as_scp else role.scp:
            grant = "Roles()" if as_scp else "Roles(scp=True)"
            advice.append(
                f"grant the requestor the role of an {_role(not as_scp)}: AcceptPolicy(roles={{{uid!r}: {grant}}})"
            )
        else:
            advice.append(f"the requestor has to propose the role of an {_role(not as_scp)} for it")
    elif accepted and not refused:
        advice.append("the requestor has to propose other syntaxes")
    return advice


def _serves(context: PresentationContext, as_scp: bool) -> bool:
    return context.scp if as_scp else context.scu


def _role(as_scp: bool) -> str:
    return "SCP" if as_scp else "SCU"


def _named(sop_class: str, transfer_syntaxes: tuple[str, ...], before: str = " with ", between: str = ", ") -> str:
    names = [_shown(uid) for uid in transfer_syntaxes]
    return _shown(sop_class) + (before + between.join(names) if names else "")


def _shown(uid: str) -> str:
    """The name of a UID. An invalid one may come from a damaged object, and is not repeated."""
    return uids.name_of(uid) if uids.is_safe(uid) else "an invalid UID"

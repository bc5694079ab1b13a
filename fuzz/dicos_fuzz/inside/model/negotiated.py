"""(request, answer) -> what both agreed on, or a verdict on the answer [PS3.8 9.3.3, PS3.7 D.3.3].

Knows: which answers fit. Must not know: the engine, bytes, states. It accepts no deviation.
"""

from __future__ import annotations

from dicos_proto.limits import SMALLEST_MAX_LENGTH, Limits

from .bodies import Refused
from .table import USER
from .values import Accept, Agreed, Request

__all__ = ["agreed"]


def agreed(request: Request, accept: Accept, side: str, limits: Limits) -> Agreed:
    """Returns the agreement as `side` sees it. Raises `Refused` for an answer that does not fit its request.

    An answerer must not answer roles or extended negotiation that were not proposed; an asker ignores them.
    """
    asks = side == USER
    offers = {one.id: one for one in request.contexts}
    answers = {number: (result, syntax) for number, result, syntax in accept.contexts}
    if set(answers) != set(offers):
        raise Refused("contexts answered that were not proposed, or the reverse")
    if not asks:
        _nothing_more(request, accept)
    contexts = []
    for number, offer in offers.items():
        result, syntax = answers[number]
        if result:
            continue
        if syntax not in offer.transfer:
            raise Refused(f"context {number}: a transfer syntax that was not proposed")
        scu, scp = _roles(request, accept, offer.abstract)
        contexts.append((number, offer.abstract, scu if asks else scp, scp if asks else scu))
    peer = (accept if asks else request).terms.max_length
    least = max(SMALLEST_MAX_LENGTH, limits.peer_max_length if asks else 0)
    if 0 < peer < least:
        raise Refused(f"Maximum Length {peer}")
    invoked, performed = _window(request, accept)
    identity = request.terms.identity
    if accept.terms.response is not None and not (identity and identity[3]):
        raise Refused("identity response that was not requested")
    return Agreed(tuple(contexts), peer, invoked if asks else performed, performed if asks else invoked)


def _first(roles: tuple[tuple[str, bool, bool], ...], uid: str) -> tuple[bool, bool] | None:
    return next(((scu, scp) for name, scu, scp in roles if name == uid), None)


def _roles(request: Request, accept: Accept, uid: str) -> tuple[bool, bool]:
    """The requestor's roles for a SOP class: granted where both name it, otherwise SCU alone."""
    asked, given = _first(request.terms.roles, uid), _first(accept.terms.roles, uid)
    if asked is None or given is None:
        return True, False
    return asked[0] and given[0], asked[1] and given[1]


def _nothing_more(request: Request, accept: Accept) -> None:
    for uid, _, _ in accept.terms.roles:
        asked, given = _first(request.terms.roles, uid), _first(accept.terms.roles, uid)
        if asked is None or given is None or given[0] > asked[0] or given[1] > asked[1]:
            raise Refused(f"roles for {uid} that were not proposed")
    asked_for = {uid for uid, _ in request.terms.extended}
    if any(uid not in asked_for for uid, _ in accept.terms.extended):
        raise Refused("extended negotiation that was not proposed")


def _window(request: Request, accept: Accept) -> tuple[int, int]:
    """Operations that the requestor may invoke and performs, 0 unlimited; 1 without an answer [PS3.7 D.3.3.3]."""
    asked, given = request.terms.window, accept.terms.window
    if given is None:
        return 1, 1
    if asked is None or any(wish and not 0 < got <= wish for wish, got in zip(asked, given, strict=True)):
        raise Refused("a larger operations window than proposed")
    return given

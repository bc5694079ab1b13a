"""Pairs of engines that have agreed on the SOP classes of a service, and flows for their tests."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.performing import next_request
from dicos_proto.dimse.events import MessageStart
from dicos_proto.limits import Limits
from dicos_proto.registry.uids import EXPLICIT_VR_LE
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.pdu_types import (
    AssociateRequest,
    OperationsWindow,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from tests.pair import Pair, Splitter, whole


def parties(
    *classes: str,
    both_roles: tuple[str, ...] = (),
    window: int = 1,
    split: Splitter = whole,
    transfer_syntax: str = EXPLICIT_VR_LE,
    max_length: int = 16_384,
    user_limits: Limits = Limits(),  # noqa: B008  frozen values
    provider_limits: Limits = Limits(),  # noqa: B008
    timeouts: Timeouts = Timeouts(),  # noqa: B008
) -> Pair:
    """A pair in Sta6 with contexts 1, 3, 5... for `classes`; the user is also SCP of those in `both_roles`."""
    window_item = None if window == 1 else OperationsWindow(invoked=window, performed=window)
    asked = AssociateRequest(
        called_aet="PROVIDER",
        calling_aet="USER",
        contexts=tuple(
            ProposedContext(id=2 * index + 1, abstract_syntax=uid, transfer_syntaxes=(transfer_syntax,))
            for index, uid in enumerate(classes)
        ),
        user_information=UserInformation(
            max_length=max_length,
            window=window_item,
            roles=tuple(RoleSelection(sop_class_uid=uid, scu=True, scp=True) for uid in both_roles),
        ),
    )
    answer = AcceptPolicy(
        other_contexts=(transfer_syntax,),
        max_length=max_length,
        window=window_item,
        roles={uid: Roles(scu=True, scp=True) for uid in both_roles},
        peer_max_length=8,
    )
    return Pair.established(
        asked,
        answer,
        split=split,
        user_limits=user_limits,
        provider_limits=provider_limits,
        user_timeouts=timeouts,
        provider_timeouts=timeouts,
    )


def serve(
    exchange: Exchange, perform: Callable[[Exchange, MessageStart], flows.Flow[Any]]
) -> Generator[flows.Need, None, list[Any]]:
    """A provider that performs each request until the peer releases. Returns the result of each."""
    found: list[Any] = []
    while (start := (yield from next_request(exchange))) is not None:
        found.append((yield from perform(exchange, start)))
    return found


def then_release(exchange: Exchange, flow: flows.Flow[flows.T]) -> flows.Flow[flows.T]:
    """A flow of the user, followed by a release."""
    result = yield from flow
    yield from flows.release(exchange.association)
    return result

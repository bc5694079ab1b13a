"""Pairs and providers for the tests of services."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.performing import next_request
from dicos_proto.dimse.events import MessageStart
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import AssociateRequest, RoleSelection, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from tests.pair import Pair, Splitter, whole

EXPLICIT, IMPLICIT = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE


def pair_for(
    sop_classes: Iterable[str],
    *,
    syntax: str = IMPLICIT,
    split: Splitter = whole,
    roles: dict[str, tuple[bool, bool]] | None = None,
    **options: Any,
) -> Pair:
    """An established pair. `roles`: the roles that the user asks for and the provider grants."""
    asked = AssociateRequest(
        called_aet="PROVIDER",
        calling_aet="USER",
        contexts=propose(sop_classes, (syntax,)),
        user_information=UserInformation(
            roles=tuple(RoleSelection(sop_class_uid=uid, scu=scu, scp=scp) for uid, (scu, scp) in (roles or {}).items())
        ),
    )
    granted = {uid: Roles(scu=scu, scp=scp) for uid, (scu, scp) in (roles or {}).items()}
    return Pair.established(asked, AcceptPolicy(other_contexts=(syntax,), roles=granted), split=split, **options)


def serve(exchange: Exchange, handle: Callable[[MessageStart], flows.Flow[Any]]) -> flows.Flow[list[Any]]:
    """Calls `handle` with each request until the peer releases. Returns the result of each."""
    found: list[Any] = []
    while (start := (yield from next_request(exchange))) is not None:
        found.append((yield from handle(start)))
    return found


def use(exchange: Exchange, *conversations: flows.Flow[Any]) -> flows.Flow[list[Any]]:
    """Runs the flows one after another, then releases. Returns the result of each."""
    found: list[Any] = []
    for conversation in conversations:
        found.append((yield from conversation))
    yield from flows.release(exchange.association)
    return found


def dataset(**values: Any) -> Dataset:
    """A data set with these keywords; a list of data sets is a sequence."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made

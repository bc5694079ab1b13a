"""The tester calls: an association with a provider, and objects for it.

Knows: what a good A-ASSOCIATE-RQ looks like. Must not know: what is right.
"""

from __future__ import annotations

from typing import Any, Final

from dicos_fuzz.campaign.objects import composite, uid
from dicos_proto.dimse.types import CEchoRequest, CStoreRequest
from dicos_proto.registry import uids
from dicos_proto.registry.service_classes import Service, service_of
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateRequest, ProposedContext, UserInformation

from ..case import Inconclusive, Unimplemented
from ..profile import Offered, Profile
from ..reactions import Reaction
from ..steps import Open, Receive, ReceivedPdu, Scene, Send
from .association import Associated, contexts_of, reaction_to, said, tell
from .messages import Message

__all__ = ["associate", "echoed", "opened", "request", "storage_of", "stored"]

VERSION: Final = "DICOS_CONFORM"

Wanted = str | tuple[str, tuple[str, ...]] | Offered


def request(
    profile: Profile, *contexts: Wanted, info: UserInformation | None = None, **fields: Any
) -> AssociateRequest:
    """Returns a good A-ASSOCIATE-RQ for this peer. `contexts`: abstract syntaxes, alone or with transfer syntaxes;
    Verification without any. `info`: the user information. `fields`: other fields of the request."""
    wanted = [_wanted(profile, one) for one in contexts or (uids.VERIFICATION,)]
    values: dict[str, Any] = {
        "called_aet": profile.called,
        "calling_aet": profile.calling,
        "contexts": tuple(
            ProposedContext(id=2 * index + 1, abstract_syntax=abstract, transfer_syntaxes=syntaxes)
            for index, (abstract, syntaxes) in enumerate(wanted)
        ),
        "user_information": info or UserInformation(),
    }
    return AssociateRequest(**(values | fields))


def _wanted(profile: Profile, one: Wanted) -> tuple[str, tuple[str, ...]]:
    if isinstance(one, Offered):
        return one.abstract_syntax, one.transfer_syntaxes
    if isinstance(one, tuple):
        return one
    offered = profile.offers(one)
    return one, offered.transfer_syntaxes if offered else (uids.IMPLICIT_VR_LE,)


def opened(connection: int = 0, **fields: Any) -> Scene[None]:
    """Opens a connection. Raises `Inconclusive` if there is none."""
    found = yield Open(connection=connection, **fields)
    if not found.ok:
        raise Inconclusive(f"no connection: {found.why}")


def associate(
    profile: Profile,
    *contexts: Wanted,
    info: UserInformation | None = None,
    connection: int = 0,
    **fields: Any,
) -> Scene[Associated]:
    """Opens a connection and an association, with `request`. Raises `Inconclusive` if the peer does not accept it."""
    asked = request(profile, *contexts, info=info, **fields)
    yield from opened(connection)
    yield Send(encode(asked), connection)
    received = yield Receive(connection=connection)
    value = received.value if isinstance(received, ReceivedPdu) else None
    if not isinstance(value, AssociateAccept):
        raise Inconclusive(f"no association: {reaction_to(received)}")
    return Associated(
        profile=profile,
        connection=connection,
        request=asked,
        accept=value,
        contexts=contexts_of(asked, value),
        maximum=value.user_information.max_length,
    )


def echoed(link: Associated) -> Scene[Reaction]:
    """Sends a C-ECHO-RQ. Returns the reaction."""
    number = link.new_id()
    heard = yield from tell(link, CEchoRequest(message_id=number, affected_sop_class_uid=uids.VERIFICATION))
    return said(heard)


def storage_of(profile: Profile) -> Offered:
    """Returns a context for storage that the peer offers, preferably one with an uncompressed transfer syntax. Raises
    `Unimplemented`."""
    found = [one for one in profile.offered if service_of(one.abstract_syntax) is Service.STORAGE]
    plain = (uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE)
    for one in found:
        for syntax in one.transfer_syntaxes:
            if syntax in plain:
                return Offered(abstract_syntax=one.abstract_syntax, transfer_syntaxes=(syntax,), scp_role=one.scp_role)
    raise Unimplemented("the peer accepts no storage SOP class in an uncompressed transfer syntax")


def stored(link: Associated, abstract_syntax: str, name: str, *, pixels: int = 0) -> Scene[Message | Any]:
    """Stores a made-up object, whose UIDs depend on `name`. Returns what comes back, as `hear` does."""
    context = link.context(abstract_syntax)
    instance = uid("conformance", name)
    data = composite(abstract_syntax, instance, context.transfer_syntax, pixels=pixels)
    command = CStoreRequest(
        message_id=link.new_id(), affected_sop_class_uid=abstract_syntax, affected_sop_instance_uid=instance
    )
    return (yield from tell(link, command, data, context=context.id))

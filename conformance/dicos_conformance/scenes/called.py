"""The tester is called: it accepts the association of a user, and answers its requests.

Knows: what a good answer looks like. Must not know: what is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dicos_proto.dimse.types import CCancelRequest, Command, DimseRequest, response_to
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    AssociateAccept,
    AssociateRequest,
    OperationsWindow,
    ReleaseRequest,
    ReleaseResponse,
)
from dicos_proto.upper_layer.policy import AcceptPolicy

from ..case import Inconclusive
from ..profile import Profile
from ..reactions import Did, Reaction
from ..steps import Accept, Receive, ReceivedPdu, Scene, Send
from .association import Associated, contexts_of, expect_request, hear, reaction_to, said
from .messages import Message

__all__ = ["POLICY", "asked", "called", "request_of", "serve", "success"]

POLICY: Final = AcceptPolicy(
    other_contexts=(uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, *uids.TRANSFER_SYNTAXES),
    window=OperationsWindow(invoked=1, performed=1),
    peer_max_length=8,
)
"""Accepts everything that a user proposes."""

Answers = Callable[[AssociateRequest], AssociateAccept]


def request_of(profile: Profile, connection: int = 0) -> Scene[tuple[AssociateRequest, bytes]]:
    """Waits for the user to call. Returns its A-ASSOCIATE-RQ, and the bytes of it. Raises `Inconclusive`."""
    found = yield Accept(connection=connection)
    if not found.ok:
        raise Inconclusive(f"the user did not call: {found.why}")
    received = yield Receive(connection=connection)
    value = received.value if isinstance(received, ReceivedPdu) else None
    if not isinstance(value, AssociateRequest):
        raise Inconclusive(f"no A-ASSOCIATE-RQ: {reaction_to(received)}")
    return value, received.data


def called(profile: Profile, *, answers: Answers | None = None, connection: int = 0) -> Scene[Associated]:
    """Waits for the user to call, and accepts. `answers`: makes another A-ASSOCIATE-AC. Raises `Inconclusive`."""
    request, _ = yield from request_of(profile, connection)
    answer = negotiate(request, POLICY) if answers is None else answers(request)
    yield Send(encode(answer), connection)
    if not isinstance(answer, AssociateAccept):
        raise Inconclusive(f"the tester itself had to reject the user: {answer}")
    return Associated(
        profile=profile,
        connection=connection,
        request=request,
        accept=answer,
        contexts=contexts_of(request, answer),
        maximum=request.user_information.max_length,
    )


def asked(link: Associated, *kinds: type[DimseRequest]) -> Scene[Message]:
    """Receives the next request of the user, of one of these kinds. Raises `Inconclusive` if something else comes."""
    return expect_request((yield from hear(link)), *kinds)


def success(message: Message) -> Command:
    """Returns the response of success to a request. Raises `Inconclusive` for a message that is none."""
    command = message.command
    if not isinstance(command, DimseRequest):
        raise Inconclusive(f"the peer did not send a request: {said(message)}")
    return response_to(command, status=0)


def serve(link: Associated, *, seconds: float | None = None) -> Scene[Reaction]:
    """Answers everything that the user asks by success, until it releases, which is answered too. Returns
    `Did.RELEASE` then, else what it did instead."""
    while True:
        heard = yield from hear(link, seconds)
        if isinstance(heard, Message):
            command = heard.command
            if isinstance(command, CCancelRequest):
                continue
            if not isinstance(command, DimseRequest):
                return said(heard)
            yield Send(link.pdus(heard.context, success(heard)), link.connection)
            continue
        if isinstance(heard, ReceivedPdu) and isinstance(heard.value, ReleaseRequest):
            yield Send(encode(ReleaseResponse()), link.connection)
            return Reaction(did=Did.RELEASE, detail="the user releases the association")
        return reaction_to(heard)

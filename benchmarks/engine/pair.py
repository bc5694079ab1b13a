"""Two associations, requestor and acceptor, and the ways their bytes are carried."""

from __future__ import annotations

from time import monotonic

from dicos_proto.association import Association
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import negotiate, propose
from dicos_proto.upper_layer.pdu_types import AssociateRequest, OperationsWindow, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy

from ..processes import Failed


def established(max_length: int = 128 << 10, window: int = 1) -> tuple[Association, Association]:
    """Requestor and acceptor in Sta6; contexts 1 Verification and 3 CT Image Storage."""
    operations = OperationsWindow(invoked=window, performed=window)
    user = Association.requestor(
        AssociateRequest(
            called_aet="PROVIDER",
            calling_aet="USER",
            contexts=propose([uids.VERIFICATION, uids.CT_IMAGE_STORAGE]),
            user_information=UserInformation(max_length=max_length, window=operations),
        )
    )
    provider = Association.acceptor()
    carry(user, provider)
    request = provider.next_event()
    if not isinstance(request, AssociateRequest):
        raise Failed(f"no A-ASSOCIATE-RQ: {request}")
    provider.send(negotiate(request, policy(max_length, operations)))
    carry(provider, user)
    user.next_event()
    return user, provider


def policy(max_length: int = 128 << 10, window: OperationsWindow | None = None) -> AcceptPolicy:
    return AcceptPolicy(other_contexts=(uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE), max_length=max_length, window=window)


def carry(source: Association, target: Association) -> None:
    """Small messages as an adapter receives them: joined in one buffer."""
    target.receive_data(b"".join(source.data_to_send()))


def wait(association: Association) -> None:
    """The work of a driver before it waits: parse everything, and look up the next deadline."""
    if association.next_event() is not None:
        raise Failed("an event where none was expected")
    association.deadline(monotonic())

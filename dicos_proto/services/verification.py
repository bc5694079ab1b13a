"""Verification: is there a DICOM application at the other end?  # PS3.4 annex A

The provider's side is `flows.next_request`, then `flows.response_to` with status 0.
"""

from __future__ import annotations

from .. import uids
from ..association import Association
from ..dimse import CEchoRequest, Response
from ..flows import Flow, ask, find_context


def echo(association: Association) -> Flow[Response]:
    """User side: a C-ECHO, and its response. Raises `ContextNotAccepted`, and what `ask` raises."""
    context = find_context(association, uids.VERIFICATION)
    request = CEchoRequest(message_id=association.new_message_id(), affected_sop_class_uid=uids.VERIFICATION)
    return (yield from ask(association, context.id, request))

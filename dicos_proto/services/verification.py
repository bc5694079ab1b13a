"""Verification: is there a DICOM application at the other end?  # PS3.4 annex A

The provider's side is `exchange.next_request`, then `exchange.response_to` with status 0.
"""

from __future__ import annotations

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, find_context
from ..conversation.invoking import ask
from ..dimse.types import CEchoRequest, Response
from ..registry import uids


def echo(exchange: Exchange) -> Flow[Response]:
    """User side: a C-ECHO, and its response. Raises `ContextNotAccepted`, and what `ask` raises."""
    context = find_context(exchange.association, uids.VERIFICATION)
    request = CEchoRequest(
        message_id=exchange.association.operations.new_message_id(), affected_sop_class_uid=uids.VERIFICATION
    )
    return (yield from ask(exchange, context.id, request))

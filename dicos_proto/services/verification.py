"""Verification: is there a DICOM application at the other end? [PS3.4 annex A]

For the provider side, use `conversation.next_request`, then `conversation.response_to` with status 0.
"""

from __future__ import annotations

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, find_context
from ..conversation.invoking import ask
from ..dimse.types import CEchoRequest, DimseResponse
from ..registry import uids


def echo(exchange: Exchange) -> Flow[DimseResponse]:
    """User side: sends a C-ECHO and returns the response. Raises `ContextNotAccepted`, and as `ask` does."""
    context = find_context(exchange.association, uids.VERIFICATION)
    request = CEchoRequest(
        message_id=exchange.association.operations.new_message_id(), affected_sop_class_uid=uids.VERIFICATION
    )
    return (yield from ask(exchange, context.id, request))

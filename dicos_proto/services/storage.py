"""Storage: composite objects brought to a provider.  # PS3.4 annex B

The provider's side is `flows.next_request`, `flows.next_piece` until `last`, then `flows.response_to`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..association import Association
from ..dimse import PRIORITY_MEDIUM, CStoreRequest, Response
from ..flows import Flow, ask, find_context
from ..wire import Buffer


def store(
    association: Association,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax: str,
    data: Iterable[Buffer],
    *,
    priority: int = PRIORITY_MEDIUM,
) -> Flow[Response]:
    """User side: a C-STORE of the data set `data`, which is encoded in `transfer_syntax`, and its response.

    `data`: pieces of any size, taken as the connection takes them, so no data set is ever held whole. Raises
    `ContextNotAccepted`, and what `ask` raises.
    """
    context = find_context(association, sop_class_uid, (transfer_syntax,))
    request = CStoreRequest(
        message_id=association.new_message_id(),
        affected_sop_class_uid=sop_class_uid,
        affected_sop_instance_uid=sop_instance_uid,
        priority=priority,
    )
    return (yield from ask(association, context.id, request, data))

"""Decides what `movescu --store-port` accepts: the instances of its own C-MOVE, and nothing that others send meanwhile.

Anybody who can reach the port can connect to it. So an association must call the title that the objects are moved to,
and come while a C-MOVE is outstanding. An instance that names the C-MOVE it belongs to must name that one; the standard
makes this optional, so an instance without it is accepted [PS3.7 9.1.1.1].

Knows: titles and message IDs. Must not know: files, sockets. Used by several threads: each change is one assignment.
"""

from __future__ import annotations

from dicos_proto.dimse.types import AnyRequest, CStoreRequest
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import IdentityVerdict

from .output import Output


class Expected:
    """The C-MOVE operations whose instances are expected now. `aet`: the calling AE title of the C-MOVE requests."""

    def __init__(self, aet: str, out: Output) -> None:
        self._aet = aet
        self._out = out
        self._moves: frozenset[int] = frozenset()  # message IDs of all C-MOVE requests of this command
        self._outstanding = False

    def begin(self, message_id: int) -> None:
        """Record that a C-MOVE with this message ID is about to be sent."""
        self._moves |= {message_id}
        self._outstanding = True

    def end(self) -> None:
        """Record that the C-MOVE has ended."""
        self._outstanding = False

    def identify(self, request: AssociateRequest) -> IdentityVerdict | None:
        """Reject an association while no C-MOVE is outstanding; the policy decides on all others."""
        if self._outstanding:
            return None
        self._out.info(f"association from {request.calling_aet!a} rejected: no C-MOVE is outstanding")
        return IdentityVerdict(accepted=False)

    def fault(self, command: AnyRequest, calling_aet: str) -> str | None:
        """Return why an instance does not belong to a C-MOVE of this command; None if it does, or names none.

        pynetdicom names itself as the originator, so the title of the sender is accepted as well.
        """
        if not self._outstanding:
            return "no C-MOVE is outstanding"
        if not isinstance(command, CStoreRequest):
            return None
        aet, number = command.move_originator_aet, command.move_originator_message_id
        if aet is not None and aet.strip(" \0") not in ("", self._aet, calling_aet):
            return "it belongs to a C-MOVE of another originator"
        if number is not None and number not in self._moves:
            return "it belongs to another C-MOVE"
        return None

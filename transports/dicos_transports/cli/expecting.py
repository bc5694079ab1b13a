"""What `movescu --store-port` takes: the instances of its own C-MOVE, and nothing that others send there meanwhile.

Its port is open to whoever can reach it. So an association must ask for the title that the objects are moved to, while
a C-MOVE is outstanding, and an instance that names the C-MOVE it is sent for must name that one. The last is optional
in the standard: without it, the others have to do.  # PS3.7 9.1.1.1

Knows: titles and message IDs. Must not know: files, sockets. Used by several threads: each change is one assignment.
"""

from __future__ import annotations

from dicos_proto.dimse.types import AnyRequest, CStoreRequest
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import IdentityVerdict

from .output import Output


class Expected:
    """What is expected at the moment. `aet`: the title that the C-MOVE is asked for by."""

    def __init__(self, aet: str, out: Output) -> None:
        self._aet = aet
        self._out = out
        self._moves: frozenset[int] = frozenset()  # message IDs of what was asked for on this association
        self._outstanding = False

    def begin(self, message_id: int) -> None:
        """A C-MOVE is about to be sent."""
        self._moves |= {message_id}
        self._outstanding = True

    def end(self) -> None:
        """It is over, one way or another."""
        self._outstanding = False

    def identify(self, request: AssociateRequest) -> IdentityVerdict | None:
        """Reject an association that nobody asked for; whatever else it is, the policy decides."""
        if self._outstanding:
            return None
        self._out.info(f"an association of {request.calling_aet!a} is refused: no C-MOVE is outstanding")
        return IdentityVerdict(accepted=False)

    def fault(self, command: AnyRequest, calling_aet: str) -> str | None:
        """Why an instance is not of a C-MOVE of this command; None: it is, or does not say otherwise.

        pynetdicom names itself as the originator, so the title of who sends will do as well.
        """
        if not self._outstanding:
            return "no C-MOVE is outstanding"
        if not isinstance(command, CStoreRequest):
            return None
        aet, number = command.move_originator_aet, command.move_originator_message_id
        if aet is not None and aet.strip(" \0") not in ("", self._aet, calling_aet):
            return "sent for a C-MOVE of another originator"
        if number is not None and number not in self._moves:
            return "sent for another C-MOVE"
        return None

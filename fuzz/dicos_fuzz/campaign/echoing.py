"""Good exchanges: an association with a C-ECHO and a release, as the side that calls and as the side that is called.

Knows: the engine's PDUs and messages. Must not know: sockets, time.

An exchange takes whole PDUs of the peer and returns bytes to send, until it has succeeded or failed. It shows that a
peer still serves others; everything in it is valid, so a peer that does not complete it does not serve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.types import CEchoResponse
from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import EVERYTHING, Judge
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    ContextResult,
    PData,
    ReleaseRequest,
    ReleaseResponse,
)

from ..grammar.building import echo, request
from .knowledge import Learned
from .responding import Responding, decoded

__all__ = ["Exchange", "GoodCall", "GoodEcho", "Outcome"]

_RELEASE: Final = encode(ReleaseRequest())
_LENIENT: Final = Judge(Limits(), EVERYTHING)
_MESSAGE_ID: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a good exchange. `seconds` None: it failed, and `why` has the reason in a few words.

    `refused`: there was no connection. `rejected`: the association was rejected, as (result, source, reason).
    `beside`: connections that were open at the same time: a peer may reject one more for their number.
    """

    seconds: float | None
    why: str = ""
    refused: bool = False
    rejected: tuple[int, int, int] | None = None
    beside: int = 0


class Exchange(Protocol):
    """A good exchange."""

    why: str
    """The reason why it failed; empty if it did not."""
    rejected: tuple[int, int, int] | None

    def next(self, pdu: bytes | None) -> bytes | None:
        """Takes the next PDU of the peer, None at the beginning and if there is none yet. Returns the bytes to send,
        empty if there are none; None at the end: it has succeeded, or `why` says why not."""


class GoodEcho:
    """The side that calls: association, C-ECHO where the peer has that, release."""

    def __init__(self, learned: Learned) -> None:
        self.why = ""
        self.rejected: tuple[int, int, int] | None = None
        self._echoes = learned.context(uids.VERIFICATION) is not None and "C-ECHO" in learned.services
        self._request = request(learned.offer(uids.VERIFICATION) if self._echoes else learned.offer())
        self._state = "idle"

    def next(self, pdu: bytes | None) -> bytes | None:
        """See `Exchange`."""
        if self._state == "idle":
            self._state = "associating"
            return self._request
        if pdu is None:
            return b""
        found = decoded(pdu)
        match self._state, found:
            case "associating", AssociateAccept(contexts=contexts):
                accepted = [one.id for one in contexts if one.result is ContextResult.ACCEPTANCE]
                if not accepted:
                    return self._fail("accepted no presentation context")
                self._state = "echoing" if self._echoes else "releasing"
                return echo(accepted[0], _MESSAGE_ID) if self._echoes else _RELEASE
            case "associating", AssociateReject(result=result, source=source, reason=reason):
                self.rejected = (result, source, reason)
                return self._fail(f"rejected ({result}/{source}/{reason})")
            case "echoing", PData(pdvs=pdvs) if _is_success(b"".join(bytes(one.data) for one in pdvs)):
                self._state = "releasing"
                return _RELEASE
            case "releasing", ReleaseResponse():
                return None
            case _, Abort(source=source, reason=reason):
                return self._fail(f"aborted ({source}/{reason}) while {self._state}")
            case _:
                kind = pdu[0] if pdu else 0
                return self._fail(f"a wrong answer, PDU type {kind}, while {self._state}")

    def _fail(self, why: str) -> bytes | None:
        self.why = why
        return None


def _is_success(command: bytes) -> bool:
    try:
        found, _ = decode_command(command, _LENIENT)
    except Malformed:
        return False
    return isinstance(found, CEchoResponse) and found.message_id_being_responded_to == _MESSAGE_ID and found.status == 0


class GoodCall:
    """The side that is called: accepts everything, answers every request, until the peer has released."""

    def __init__(self) -> None:
        self.why = ""
        self.rejected: tuple[int, int, int] | None = None
        self._responding = Responding()
        self._released = False

    def next(self, pdu: bytes | None) -> bytes | None:
        """See `Exchange`."""
        if self._released:
            return None
        if pdu is None:
            return b""
        found = decoded(pdu)
        if isinstance(found, Abort):
            self.why = f"aborted ({found.source}/{found.reason})"
            return None
        self._responding.feed(pdu)
        self._released = isinstance(found, ReleaseRequest)
        return self._responding.answer()

"""What is known of a session in every adapter.

Knows: associations, exchanges. Must not know: sockets, threads, tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from dicos_proto.association import Association
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.flows import AssociationError
from dicos_proto.errors import ProtocolError
from dicos_proto.upper_layer.agreement import PresentationContext, RefusedContext
from dicos_proto.upper_layer.events import Deviation
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.pdu_types import AssociateRequest, UserIdentity, UserInformation

from .budget import Holding

if TYPE_CHECKING:  # whoever has a configuration of TLS has imported it, and nobody else needs its libraries
    from ..tls.layer import TLSInfo, TLSLayer

DEFAULT_AET = "DICOS_PROTO"
LAST_WORDS: Final = 2.0
"""Seconds that an abort may take: enough to say it, not to wait for a peer that does not close."""


class ConnectionFailed(AssociationError):
    """No connection could be made; one line says to where and why."""


class Carrier(Protocol):
    """What carries a session's bytes: a `Channel`, or what an adapter has instead."""

    @property
    def broken(self) -> bool:
        """Whether the peer takes nothing any more."""

    @property
    def bytes_sent(self) -> int: ...

    @property
    def bytes_received(self) -> int: ...

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def flush(self) -> None:
        """Send what is queued as far as that needs no waiting."""


class BaseSession:
    """One established association. `peer`: the address of the other end, for people."""

    def __init__(self, association: Association, carrier: Carrier, peer: str, layer: TLSLayer | None = None) -> None:
        self.association = association
        self.layer = layer
        self.exchange = Exchange(association)
        self.carrier = carrier
        self.peer = peer
        self.count_by(Holding())
        self.requests: Counter[str] = Counter()
        """How often the peer has asked for what, by name: `C-STORE-RQ`."""

    @property
    def request(self) -> AssociateRequest:
        """The A-ASSOCIATE-RQ that was sent or received. Raises AttributeError before."""
        request = self.association.terms.request
        if request is None:
            raise AttributeError("no A-ASSOCIATE-RQ yet")
        return request

    @property
    def calling_aet(self) -> str:
        """The AE title of the side that asked for the association, as that side says."""
        return self.request.calling_aet

    @property
    def called_aet(self) -> str:
        """The AE title that was asked for."""
        return self.request.called_aet

    @property
    def peer_information(self) -> UserInformation | None:
        """What the peer says of itself: its implementation and version, its window. None before it has spoken."""
        association = self.association
        spoken = association.terms.answer if association.terms.role is Role.REQUESTOR else association.terms.request
        return None if spoken is None else spoken.user_information

    @property
    def identity(self) -> UserIdentity | None:
        """The user identity that came with the request; its secrets are in it.  # PS3.7 D.3.3.7"""
        return self.request.user_information.user_identity

    @property
    def contexts(self) -> Mapping[int, PresentationContext]:
        """The accepted presentation contexts by id."""
        return self.association.contexts

    @property
    def refused(self) -> tuple[RefusedContext, ...]:
        """The proposed contexts that were not accepted, each with its result."""
        agreement = self.association.terms.agreement
        return agreement.refused if agreement else ()

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """What of the peer's deviations was let through so far, at most one for each flag of the tolerance."""
        return self.association.terms.deviations

    @property
    def tls(self) -> TLSInfo | None:
        """What TLS has negotiated: protocol, cipher suite, the peer's certificate; None without TLS."""
        return self.layer.info if self.layer is not None else None

    @property
    def established(self) -> bool:
        """Whether messages can be sent."""
        return self.association.state is State.Sta6 and not self.carrier.broken

    def count_by(self, holding: Holding) -> None:
        """What counts the data sets that are read whole."""
        self.holding = holding
        self.exchange.holder = holding

    def is_spoilt(self, error: BaseException, *, owed: bool) -> bool:
        """Whether nothing but an abort can follow, now that a flow was left by this exception.

        A message of our own that is not whole, whatever has come between; answers that would come when nobody listens;
        or, if what was interrupted has not ended by itself, what was read of a request of the peer (`owed`).
        """
        association = self.association
        if isinstance(error, ProtocolError):  # of the flow, which leaves nothing behind, or out of a caller's source
            return self.established and association.operations.sending and not self.exchange.sending
        interrupted = owed and not isinstance(error, Exception)
        return interrupted or association.operations.sending or association.operations.outstanding > 0

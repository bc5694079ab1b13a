"""The properties of a session in every adapter.

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

if TYPE_CHECKING:  # code with a TLS configuration has imported it, and other code does not need its libraries
    from ..tls.layer import TLSInfo, TLSLayer

DEFAULT_AET = "DICOS_PROTO"
LAST_WORDS: Final = 2.0
"""Seconds that an abort may take: enough to say it, not to wait for a peer that does not close."""


class ConnectionFailed(AssociationError):
    """No connection could be made; one line says to where and why."""


class Carrier(Protocol):
    """The carrier of a session's bytes: a `Channel`, or an adapter's own replacement."""

    @property
    def broken(self) -> bool:
        """True if the peer no longer accepts any bytes."""

    @property
    def bytes_sent(self) -> int: ...

    @property
    def bytes_received(self) -> int: ...

    @property
    def closed(self) -> bool:
        """True if it was closed."""

    def flush(self) -> None:
        """Send what is queued as far as that needs no waiting."""


class BaseSession:
    """One established association. `peer`: the address of the other end, as text."""

    def __init__(self, association: Association, carrier: Carrier, peer: str, layer: TLSLayer | None = None) -> None:
        self.association: Association = association
        """The engine's side: `terms`, `operations`, `state`. Leave its bytes and events to the session."""
        self.layer = layer
        self.exchange: Exchange = Exchange(association)
        """The conversation, for flows and streams of your own (`run`)."""
        self.carrier = carrier
        self.peer = peer
        self.holding = self.exchange.holder = Holding()
        self.requests: Counter[str] = Counter()
        """The number of the peer's requests by name, for example `C-STORE-RQ`."""

    @property
    def request(self) -> AssociateRequest:
        """The A-ASSOCIATE-RQ that was sent or received. Raises `LocalProtocolError` before."""
        return self.exchange.request

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
        """The peer's user information: its implementation and version, its window. None before the peer has sent it."""
        association = self.association
        spoken = association.terms.answer if association.terms.role is Role.REQUESTOR else association.terms.request
        return None if spoken is None else spoken.user_information

    @property
    def identity(self) -> UserIdentity | None:
        """The user identity in the request, with its secrets [PS3.7 D.3.3.7]."""
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
        """The peer's deviations that were accepted so far, at most one for each flag of the tolerance."""
        return self.association.terms.deviations

    @property
    def tls(self) -> TLSInfo | None:
        """The result of the TLS handshake: protocol, cipher suite, the peer's certificate; None without TLS."""
        return self.layer.info if self.layer is not None else None

    @property
    def established(self) -> bool:
        """True if messages can be sent."""
        return self.association.state is State.Sta6 and not self.carrier.broken


# -- for the rest of this package and its friends ------------------------------------------------------------------


def count_by(session: BaseSession, holding: Holding) -> None:
    """Sets the object that counts the data sets that are read into memory."""
    session.holding = session.exchange.holder = holding


def is_spoilt(session: BaseSession, error: BaseException, *, owed: bool) -> bool:
    """Returns True if the association can only be aborted, now that a flow was left by this exception.

    That is so if a message of the local side was sent in part, or if answers are outstanding that nobody would
    read; and if the flow was interrupted while a request of the peer was read or not yet answered (`owed`).
    """
    association = session.association
    if isinstance(error, ProtocolError):  # of the flow, which leaves nothing behind, or out of a caller's source
        return session.established and association.operations.sending and not session.exchange.sending
    interrupted = owed and not isinstance(error, Exception)
    return interrupted or association.operations.sending or association.operations.outstanding > 0

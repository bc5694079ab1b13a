"""The errors of this package, one class for each kind of fault, and the reason codes that go on the wire.

Knows: the fault, the clause it breaks and, where a limit stopped it, that limit's name and both numbers.
Must not know: bytes, states, roles.

`Malformed` blames nobody: a decoder raises it, and the layer that knows who sent the bytes turns it into
`LocalProtocolError` (raised to the caller, nothing changed) or `RemoteProtocolError` (carried by a
`ProviderAbort` event, never raised by the engine).
"""

from __future__ import annotations

from enum import IntEnum


class AbortSource(IntEnum):
    """The side that aborts: the Source field of an A-ABORT PDU [PS3.8 9.3.8]."""

    SERVICE_USER = 0
    RESERVED = 1
    SERVICE_PROVIDER = 2


class AbortReason(IntEnum):
    """Why the provider aborts: the Reason field, significant only if the source is the service provider [PS3.8
    9.3.8]."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    RESERVED = 3
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class ProtocolError(Exception):
    """Base class of every error of this package. Errors of the same class with the same arguments are equal."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProtocolError) and type(self) is type(other) and self.args == other.args

    def __hash__(self) -> int:
        return hash((type(self), self.args))


class _Violation(ProtocolError):
    """A broken rule: what was seen, the clause, the abort reason, and the limit if one was exceeded.

    Parameters may be positional because `copy` and `pickle` rebuild an exception from its `args`.
    """

    def __init__(
        self,
        detail: str,
        clause: str,
        reason: AbortReason = AbortReason.INVALID_PARAMETER,
        limit: str | None = None,
        seen: int | None = None,
        allowed: int | None = None,
    ) -> None:
        super().__init__(detail, clause, reason, limit, seen, allowed)
        self.detail = detail
        self.clause = clause
        self.reason = reason
        self.limit = limit
        self.seen = seen
        self.allowed = allowed

    def __str__(self) -> str:
        limit = f" (limit {self.limit}: {self.seen} seen, {self.allowed} allowed)" if self.limit else ""
        return f"{self.detail}{limit} [{self.clause}]"


class Malformed(_Violation):
    """Bytes that are not a legal encoding. Raised by decoders, which do not know who sent the bytes."""


class RemoteProtocolError(_Violation):
    """The peer broke the protocol. Carried by `ProviderAbort`; never raised by the engine itself."""

    @classmethod
    def blame(cls, fault: Malformed) -> RemoteProtocolError:
        """Returns the same fault as an error of the peer."""
        return cls(
            fault.detail,
            fault.clause,
            fault.reason,
            limit=fault.limit,
            seen=fault.seen,
            allowed=fault.allowed,
        )


class LocalProtocolError(ProtocolError):
    """The local user asked for something that the protocol forbids now. Raised; nothing has changed."""


class ConnectionLost(ProtocolError):
    """The transport connection ended while the association still needed it. `mid_pdu`: it ended inside a PDU."""

    def __init__(self, detail: str, mid_pdu: bool = False) -> None:
        super().__init__(detail, mid_pdu)
        self.detail = detail
        self.mid_pdu = mid_pdu

    def __str__(self) -> str:
        return self.detail


class DeadlineExceeded(ProtocolError):
    """A deadline has passed; the text names the phase and its length in seconds."""

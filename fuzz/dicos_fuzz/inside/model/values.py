"""The values in which the model speaks: PDUs, messages, verdicts. The engine's values are translated into these.

Knows: names. Must not know: bytes, states, the engine. They are named tuples, compared by content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "ANY_REASON", "INVALID", "NOT_SPECIFIED", "PARAMETER", "UNEXPECTED", "UNEXPECTED_PARAMETER",
    "UNRECOGNIZED", "UNRECOGNIZED_PARAMETER", "AbortPdu", "Accept", "Agreed", "Invalid", "Message", "Offer", "Part",
    "Pdv", "Reject", "Release", "Request", "Terms",
]  # fmt: skip

NOT_SPECIFIED, UNRECOGNIZED, UNEXPECTED = 0, 1, 2
UNRECOGNIZED_PARAMETER, UNEXPECTED_PARAMETER, INVALID = 4, 5, 6
"""Reasons of an A-ABORT of the service provider [PS3.8 9.3.8]."""
PARAMETER: Final = frozenset((UNRECOGNIZED_PARAMETER, UNEXPECTED_PARAMETER, INVALID))
"""The reasons for a PDU of a known type, in its time, with something wrong in it."""
ANY_REASON: Final = frozenset((NOT_SPECIFIED, UNRECOGNIZED, UNEXPECTED, *PARAMETER))


@dataclass(frozen=True, slots=True)
class Invalid:
    """A verdict: not a legal encoding, or not allowed here. `reasons`: those that an A-ABORT may give for it."""

    why: str
    reasons: frozenset[int] = frozenset((INVALID,))


class Terms(NamedTuple):
    """The user information of an A-ASSOCIATE: numbers and texts by sub-item; None where a sub-item is absent."""

    max_length: int
    class_uid: str
    version: str | None
    window: tuple[int, int] | None
    roles: tuple[tuple[str, bool, bool], ...]
    extended: tuple[tuple[str, bytes], ...]
    common: tuple[tuple[str, str, tuple[str, ...]], ...]
    identity: tuple[int, bytes, bytes, bool] | None
    response: bytes | None


class Offer(NamedTuple):
    """A proposed presentation context: its id, the abstract syntax, the transfer syntaxes."""

    id: int
    abstract: str
    transfer: tuple[str, ...]


class Request(NamedTuple):
    """A-ASSOCIATE-RQ."""

    version: int
    called: str
    calling: str
    application: str
    contexts: tuple[Offer, ...]
    terms: Terms


class Accept(NamedTuple):
    """A-ASSOCIATE-AC; `contexts`: id, result, the transfer syntax where the result is 0."""

    version: int
    called: str
    calling: str
    application: str
    contexts: tuple[tuple[int, int, str | None], ...]
    terms: Terms


class Reject(NamedTuple):
    """A-ASSOCIATE-RJ."""

    result: int
    source: int
    reason: int


class Release(NamedTuple):
    """A-RELEASE-RQ, or -RP if `response`."""

    response: bool


class AbortPdu(NamedTuple):
    """A-ABORT."""

    source: int
    reason: int


class Pdv(NamedTuple):
    """A piece of a PDV. `start`: its first one. `last`: its control header has the last bit, and this piece ends it."""

    start: bool
    context: int
    command: bool
    last: bool
    data: bytes


class Message(NamedTuple):
    """A whole command set: (element, value) pairs in order, elements that the message does not define among them."""

    context: int
    field: int
    values: tuple[tuple[int, object], ...]
    has_data: bool


class Part(NamedTuple):
    """The bytes of a data set that came since the last event, joined."""

    context: int
    data: bytes
    last: bool


class Agreed(NamedTuple):
    """The outcome of a negotiation, from one side: id -> (abstract syntax, may invoke, may perform), the peer's Maximum
    Length, and the operations that each side may have outstanding, 0 unlimited."""

    contexts: tuple[tuple[int, str, bool, bool], ...]
    max_length: int
    invoke: int
    perform: int

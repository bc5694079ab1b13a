"""The table of planted defects: what each does wrong, which rule it breaks, and which findings count as its discovery.

Knows: all defects. Must not know: how a provider is served, how a campaign judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from . import deaths, leaks, messages, negotiating, orders
from .hooks import Hooks

__all__ = ["DEFECTS", "NONE", "Defect", "Kind"]


class Kind(Enum):
    """The kinds of defects, as the score lists them."""

    CRASH = "crash"
    HANG = "hang"
    LEAK = "leak"
    NEGOTIATION = "negotiation"
    MESSAGES = "messages"
    DATA = "data"
    ORDER = "order of messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One planted defect.

    `about`: what it does, one line. `clause`: the clause or limit that it breaks. `oracles`: the oracles whose findings
    count as its discovery (`finding.Violation.oracle`). `hooks`: what makes it.
    """

    name: str
    about: str
    clause: str
    kind: Kind
    oracles: frozenset[str]
    hooks: type[Hooks]


def _defect(name: str, kind: Kind, hooks: type[Hooks], clause: str, oracles: str, about: str) -> Defect:
    return Defect(name=name, about=about, clause=clause, kind=kind, oracles=frozenset(oracles.split()), hooks=hooks)


_ALL: Final = (
    _defect("item-length-crash", Kind.CRASH, deaths.ItemLength, "PS3.8 9.3.1", "crash",
            "SIGSEGV at a sub-item of the user information whose length runs past the item"),
    _defect("deep-sequence-crash", Kind.CRASH, deaths.DeepSequence, "limit sequence_depth", "crash",
            f"SIGSEGV at more than {deaths.DEEPEST} nested sequences"),
    _defect("accept-loop", Kind.HANG, deaths.AcceptLoop, "PS3.8 9.1.5", "starved hang stall",
            "a slow first PDU on one connection keeps all others waiting"),
    _defect("endless-pdu", Kind.HANG, deaths.EndlessPdu, "PS3.8 9.3.1", "waits-for-giant no-deadline",
            "the length of a PDU is never limited: it waits for 4 GiB without a deadline"),
    _defect("dead-thread", Kind.HANG, deaths.DeadThread, "PS3.7 9.1", "silence kept-open thread-leak",
            "a response to no request ends the thread: no A-ABORT, and the connection stays open"),
    _defect("slot-at-reset", Kind.LEAK, leaks.SlotAtReset, "limit associations", "slot-leak",
            "a connection lost within a PDU keeps its slot forever"),
    _defect("descriptor-at-abort", Kind.LEAK, leaks.DescriptorAtAbort, "limit descriptors", "descriptor-leak",
            "a descriptor stays open for each A-ABORT"),
    _defect("memory-kept", Kind.LEAK, leaks.MemoryKept, "limit memory", "memory-growth",
            f"each association leaves {leaks.KEPT >> 10} KiB behind"),
    _defect("deflate-bomb", Kind.LEAK, leaks.DeflateBomb, "limit inflate_ratio", "memory-peak",
            "a deflated object is inflated whole, to any size"),
    _defect("neighbour-hurt", Kind.LEAK, leaks.HurtNeighbour, "PS3.8 9.1", "neighbour-hurt",
            "a fault on one association closes another one"),
    _defect("unknown-item-aborts", Kind.NEGOTIATION, negotiating.UnknownItem, "PS3.8 9.3.1", "refused-valid",
            "an item of unknown type aborts the association"),
    _defect("syntax-not-offered", Kind.NEGOTIATION, negotiating.SyntaxNotOffered, "PS3.8 9.3.3.2", "syntax-not-offered",
            "a context is accepted with a transfer syntax that was not offered"),
    _defect("second-rq-answered", Kind.NEGOTIATION, negotiating.SecondRequest, "PS3.8 table 9-10", "unexpected-pdu",
            "a second A-ASSOCIATE-RQ on the same connection is answered by an A-ASSOCIATE-AC"),
    _defect("over-max-length", Kind.MESSAGES, messages.OverMaxLength, "PS3.8 D.1", "accepted",
            "a P-DATA-TF longer than the Maximum Length is accepted"),
    _defect("wrong-message-id", Kind.MESSAGES, messages.WrongMessageId, "PS3.7 9.1", "response-to-nobody",
            "message ids above 255 are answered with their low byte"),
    _defect("wrong-context", Kind.MESSAGES, messages.WrongContext, "PS3.7 9.1", "wrong-context",
            "responses go out on the first accepted context, whatever the request's was"),
    _defect("second-message-lost", Kind.MESSAGES, messages.SecondMessage, "PS3.8 annex E", "unanswered",
            "of two messages in one P-DATA-TF the second one is lost"),
    _defect("early-success", Kind.DATA, messages.EarlySuccess, "PS3.4 B.2.3", "success-before-data",
            "a C-STORE is answered by success before its data set is complete"),
    _defect("byte-changed", Kind.DATA, messages.ByteChanged, "PS3.8 annex E", "object-changed",
            "a byte at each fragment boundary is changed, from the fourth fragment on"),
    _defect("cancel-then-store", Kind.ORDER, orders.CancelThenStore, "PS3.7 9.3.2.3", "unanswered",
            "a C-CANCEL for a finished C-FIND, then a C-STORE on another context: no response any more"),
    _defect("after-reject", Kind.ORDER, orders.AfterReject, "PS3.7 9.1.5", "refused-valid",
            "the first C-ECHO after a rejected association fails"),
    _defect("echo-store-abort", Kind.ORDER, orders.EchoStoreAbort, "limit associations", "slot-leak",
            "an A-ABORT within a C-STORE loses the slot, if a C-ECHO came before the C-STORE"),
)  # fmt: skip

DEFECTS: Final[Mapping[str, Defect]] = {defect.name: defect for defect in _ALL}
"""All planted defects by name."""
NONE: Final = "none"
"""The name of the provider without a defect."""

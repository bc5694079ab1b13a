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
    count as its discovery (`finding.Violation.oracle`), if `words`, a regular expression, is found in the finding's
    clause, detail, reaction or conversation. `hooks`: what makes it.
    """

    name: str
    about: str
    clause: str
    kind: Kind
    oracles: frozenset[str]
    words: str = ""
    hooks: type[Hooks]


def _defect(
    name: str, kind: Kind, hooks: type[Hooks], clause: str, about: str, oracles: str, words: str = ""
) -> Defect:
    return Defect(
        name=name, about=about, clause=clause, kind=kind, oracles=frozenset(oracles.split()), words=words, hooks=hooks
    )


_ALL: Final = (
    _defect("item-length-crash", Kind.CRASH, deaths.ItemLength, "PS3.8 9.3.1",
            "SIGSEGV at a sub-item of the user information whose length runs past the item",
            "crash"),
    _defect("deep-sequence-crash", Kind.CRASH, deaths.DeepSequence, "limit sequence_depth",
            f"SIGSEGV at more than {deaths.DEEPEST} nested sequences",
            "crash"),
    _defect("accept-loop", Kind.HANG, deaths.AcceptLoop, "PS3.8 9.1.5",
            "a slow first PDU on one connection keeps all others waiting",
            "starved hang stall"),
    _defect("endless-pdu", Kind.HANG, deaths.EndlessPdu, "PS3.8 9.3.1",
            "the length of a PDU is never limited: it waits for 4 GiB without a deadline",
            "waits-for-giant no-deadline"),
    _defect("dead-thread", Kind.HANG, deaths.DeadThread, "PS3.7 9.1",
            "a response to no request ends the thread: no A-ABORT, and the connection stays open",
            "silence kept-open thread-leak slot-leak", "RSP|response"),
    _defect("slot-at-reset", Kind.LEAK, leaks.SlotAtReset, "limit associations",
            "a connection lost within a PDU keeps its slot forever",
            "slot-leak starved"),
    _defect("descriptor-at-abort", Kind.LEAK, leaks.DescriptorAtAbort, "limit descriptors",
            "a descriptor stays open for each A-ABORT",
            "descriptor-leak"),
    _defect("memory-kept", Kind.LEAK, leaks.MemoryKept, "limit memory",
            f"each association leaves {leaks.KEPT >> 10} KiB behind",
            "memory-growth"),
    _defect("deflate-bomb", Kind.LEAK, leaks.DeflateBomb, "limit inflate_ratio",
            "a deflated object is inflated whole, to any size",
            "memory-peak memory-growth", "deflat|bomb"),
    _defect("neighbour-hurt", Kind.LEAK, leaks.HurtNeighbour, "PS3.8 9.1",
            "a fault on one association closes another one",
            "refused-valid release-refused release-unanswered unanswered", "another|other connection|beside"),
    _defect("unknown-item-aborts", Kind.NEGOTIATION, negotiating.UnknownItem, "PS3.8 9.3.1",
            "an item of unknown type aborts the association",
            "refused-valid", "unknown"),
    _defect("syntax-not-offered", Kind.NEGOTIATION, negotiating.SyntaxNotOffered, "PS3.8 9.3.3.2",
            "a context is accepted with a transfer syntax that was not offered",
            "syntax-not-offered"),
    _defect("second-rq-answered", Kind.NEGOTIATION, negotiating.SecondRequest, "PS3.8 table 9-10",
            "a second A-ASSOCIATE-RQ on the same connection is answered by an A-ASSOCIATE-AC",
            "unexpected-pdu", "A-ASSOCIATE-AC"),
    _defect("over-max-length", Kind.MESSAGES, messages.OverMaxLength, "PS3.8 D.1",
            "a P-DATA-TF longer than the Maximum Length is accepted, however long",
            "accepted", "Maximum Length|over the maximum"),
    _defect("wrong-message-id", Kind.MESSAGES, messages.WrongMessageId, "PS3.7 9.1",
            "message ids above 255 are answered with their low byte",
            "response-to-nobody"),
    _defect("wrong-context", Kind.MESSAGES, messages.WrongContext, "PS3.7 9.1",
            "responses go out on the first accepted context, whatever the request's was",
            "wrong-context"),
    _defect("second-message-lost", Kind.MESSAGES, messages.SecondMessage, "PS3.8 annex E",
            "of two messages in one P-DATA-TF the second one is lost",
            "unanswered silence", "one P-DATA|one PDU|at once|packing"),
    _defect("early-success", Kind.DATA, messages.EarlySuccess, "PS3.4 B.2.3",
            "a C-STORE is answered by success before its data set is complete",
            "success-before-data"),
    _defect("byte-changed", Kind.DATA, messages.ByteChanged, "PS3.8 annex E",
            "a byte at each fragment boundary is changed, from the fourth fragment on",
            "object-changed"),
    _defect("cancel-then-store", Kind.ORDER, orders.CancelThenStore, "PS3.7 9.3.2.3",
            "a C-CANCEL for a finished C-FIND, then a C-STORE on another context: no response any more",
            "unanswered silence", "C-STORE"),
    _defect("after-reject", Kind.ORDER, orders.AfterReject, "PS3.7 9.1.5",
            "the first C-ECHO after a rejected association fails",
            "refused-valid", "0x0110"),
    _defect("echo-store-abort", Kind.ORDER, orders.EchoStoreAbort, "limit associations",
            "an A-ABORT within a C-STORE loses the slot, if a C-ECHO came before the C-STORE",
            "slot-leak starved"),
)  # fmt: skip

DEFECTS: Final[Mapping[str, Defect]] = {defect.name: defect for defect in _ALL}
"""All planted defects by name."""
NONE: Final = "none"
"""The name of the provider without a defect."""

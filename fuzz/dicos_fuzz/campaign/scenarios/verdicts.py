"""The reaction to be expected to bytes that a change has made of a good message: decided by decoders, not by a peer.

Knows: the engine's decoders, strict and with every tolerance; table 9-10 for an acceptor. Must not know: scenarios.

Bytes that the decoders accept only with tolerance, a peer may accept or refuse. Bytes that they refuse in any case are
to be refused. Where bytes end in the middle of something, a peer may wait for the rest: then this side ends its
direction, and the peer has to close.

Invariants: nothing is expected that depends on what a peer makes of damaged bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.types import CCancelRequest, Command, DimseRequest, misplaced_data
from dicos_proto.errors import Malformed
from dicos_proto.registry import uids
from dicos_proto.tolerance import EVERYTHING, STRICT, Judge
from dicos_proto.upper_layer.pdu_types import AssociateRequest

from ...conversation import Await, Step
from ...grammar.reading import pdus_of
from ..associating import wish_of
from ..knowledge import Learned
from ..lines import GENEROUS, Said, Validity
from .scripts import ANY, CLOSE, FIN

__all__ = ["Verdict", "of_associate", "of_messages"]

GIANT: Final = 1 << 24
"""Bytes of a PDU that no honest peer announces at once: 16 MiB of an A-ASSOCIATE-RQ."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The name of an expectation, its clause, and the steps that show the reaction."""

    expect: str
    clause: str
    tail: tuple[Step, ...]


WAITED: Final = (ANY, CLOSE)
LATER: Final = (Await(kinds=(3, 7)), CLOSE)
"""The valid requests before it are answered first."""
CUT: Final = Verdict("closes", "PS3.8 table 9-10, Evt17", (FIN, Await(kinds=(3, 7)), Await(kinds=(7,))))
"""This side ends its direction in the middle of something: the peer may abort first."""


def of_associate(wire: bytes) -> Verdict:
    """Returns what to expect of these bytes, the first on a connection, made from a good A-ASSOCIATE-RQ."""
    first = next(iter(pdus_of(wire)), b"")
    one = Said(True, first, _is_whole(first), 0, 0)
    if not one.whole:
        return _cut(first, GIANT, "limit: length of a PDU")
    if one.kind != 1:
        return Verdict("refused", "PS3.8 table 9-10, AA-1", WAITED)
    if one.validity is Validity.INVALID:
        fault = one.decoded
        return _of_fault(fault) if isinstance(fault, Malformed) else Verdict("refused", "PS3.8 9.3.2", WAITED)
    found = one.decoded
    if isinstance(found, AssociateRequest):
        if not found.contexts:
            return Verdict("refused", "PS3.8 9.3.2", WAITED)
        if not found.protocol_version & 1:
            return Verdict("refused", "PS3.8 9.3.2", WAITED)
        if found.application_context not in uids.APPLICATION_CONTEXTS:
            return Verdict("refused", "PS3.8 7.1.1.2", WAITED)
    return Verdict("answered", "PS3.8 9.3.2", WAITED)


def _of_fault(fault: Malformed) -> Verdict:
    """The verdict on an A-ASSOCIATE-RQ that cannot be decoded."""
    if fault.clause.startswith("PS3.7"):  # a sub-item that a peer may not know, and skip
        return Verdict("answered", fault.clause, WAITED)
    harmless = fault.clause == "PS3.8 D.1" or fault.detail.endswith("twice")
    return Verdict("should-refuse" if harmless else "refused", fault.clause, WAITED)


def _cut(pdu: bytes, giant: int, clause: str) -> Verdict:
    """The verdict on a PDU that is not all there: a peer may wait for the rest, but not for any length."""
    if len(pdu) >= 6 and int.from_bytes(pdu[2:6], "big") >= giant:
        return Verdict("refused-at-header", clause, WAITED)
    return CUT


def _is_whole(pdu: bytes) -> bool:
    return len(pdu) >= 6 and len(pdu) == 6 + int.from_bytes(pdu[2:6], "big")


def of_messages(wire: bytes, rq: bytes, learned: Learned) -> Verdict:
    """Returns what to expect of these bytes on an association that `rq` has opened, made from good P-DATA-TFs.

    All its contexts are taken to be accepted.
    """
    reader = _Reader(frozenset(wish_of(rq).contexts))
    for raw in pdus_of(wire):
        one = Said(True, raw, _is_whole(raw), 0, 0)
        answers = reader.asked
        found = reader.take(one, learned)
        if found is not None:
            return replace(found, tail=LATER) if answers and found.expect.startswith("refused") else found
    if reader.waits:
        return CUT
    return Verdict("answered", "PS3.7 9.1", WAITED)


class _Reader:
    """Reads messages as leniently as may be."""

    def __init__(self, contexts: frozenset[int]) -> None:
        self._contexts = contexts
        self._command: tuple[int, bytearray] | None = None
        self._owed: int | None = None
        self.asked = False  # something that is answered

    @property
    def waits(self) -> bool:
        """True if a peer may wait for more, or has nothing to answer."""
        return self._command is not None or self._owed is not None or not self.asked

    def take(self, one: Said, learned: Learned) -> Verdict | None:
        """Returns the verdict if this PDU decides it."""
        if not one.whole:
            most = learned.max_length
            if one.kind == 4:  # a peer without a Maximum Length takes any length
                return _cut(one.data, max(4 * most, 1 << 20), "PS3.8 D.1") if most else CUT
            return _cut(one.data, GIANT, "limit: length of a PDU")
        if one.kind != 4:
            return self._other(one)
        if one.validity is not Validity.VALID:
            return Verdict("refused", "PS3.8 9.3.5", WAITED)
        for context, control, data in one.pdvs:
            found = self._pdv(context, bool(control & 1), bool(control & 2), data)
            if found is not None:
                return found
        return None

    def _other(self, one: Said) -> Verdict:
        """A change has made another PDU of it, or put one between."""
        if one.kind == 7 or (one.kind == 5 and one.validity is Validity.VALID):  # an A-ABORT in any form is the end
            return Verdict("answered", "PS3.8 table 9-10", WAITED)
        return Verdict("refused", "PS3.8 table 9-10, AA-8", WAITED)

    def _pdv(self, context: int, command: bool, last: bool, data: bytes) -> Verdict | None:
        wrong = Verdict("refused", "PS3.8 annex E", WAITED)
        if context not in self._contexts:
            return Verdict("refused", "PS3.8 9.3.5.1", WAITED)
        if not command:
            if self._owed != context:
                return wrong
            if last:
                self._owed = None
            return None
        if self._owed is not None or (self._command is not None and self._command[0] != context):
            return wrong
        kept = self._command = self._command or (context, bytearray())
        kept[1].extend(data)
        if not last:
            return None
        self._command = None
        return self._message(context, bytes(kept[1]))

    def _message(self, context: int, raw: bytes) -> Verdict | None:
        found = _decoded(raw)
        if isinstance(found, Malformed):
            harmless = found.clause.startswith("PS3.5")  # a value of the wrong form, where the message is clear
            return Verdict("should-refuse" if harmless else "refused", found.clause, WAITED)
        command, has_data, strict = found
        if isinstance(command, CCancelRequest):
            return None if strict else Verdict("any", "PS3.7 9.3.2.3", WAITED)
        if not isinstance(command, DimseRequest):
            return Verdict("refused", "PS3.7 9.1", WAITED)
        if misplaced_data(command, has_data) is not None:
            # A data set where none is allowed: a peer may wait for it, or refuse at once.
            return CUT if has_data else Verdict("refused", "PS3.7 E.1", WAITED)
        if has_data:
            self._owed = context
        self.asked = True
        return None


def _decoded(raw: bytes) -> tuple[Command, bool, bool] | Malformed:
    """The command, if it has a data set, and if it is right without tolerance."""
    fault = Malformed("", "")
    for tolerance in (STRICT, EVERYTHING):
        try:
            return (*decode_command(raw, Judge(GENEROUS, tolerance)), tolerance is STRICT)
        except Malformed as found:
            fault = found
    return fault

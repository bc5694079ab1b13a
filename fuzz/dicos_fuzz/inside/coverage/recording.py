"""Observes the engine from outside while it runs: `recording` puts wrappers around some of its functions, for a while.

Knows: which function of the engine shows what: `Core._apply` the cells, `decode_body` the items, `Judge.tolerates` the
flags, the constructors of errors the limits. Must not know: who runs the engine.

The engine has no hooks, and costs nothing more when nobody records. The wrappers change no argument and no result, and
are taken away at the end, after an exception, too. They are for one thread of one process at a time: each process
records for itself, and their `Coverage`s are united.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dicos_proto import association, errors
from dicos_proto.association import Association
from dicos_proto.conversation import reading
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.data.elements import DataSetError
from dicos_proto.dimse.assembly import Messages
from dicos_proto.dimse.events import MessageData, MessageStart, Sendable
from dicos_proto.errors import AbortReason, LocalProtocolError, Malformed
from dicos_proto.timers import Timer, TimerTable
from dicos_proto.tolerance import Judge
from dicos_proto.upper_layer import core, framing, pdu
from dicos_proto.upper_layer.agreement import Agreement, agree
from dicos_proto.upper_layer.core import Core
from dicos_proto.upper_layer.events import Deviation, Fragment, UpperEvent
from dicos_proto.upper_layer.framing import PduHeader
from dicos_proto.upper_layer.layer import UpperLayer
from dicos_proto.upper_layer.machine import Evt, State
from dicos_proto.upper_layer.pdu import check_header, check_pdv_length, decode_body
from dicos_proto.upper_layer.pdu_types import Abort, AssociateAccept, AssociateRequest, Managed, PData, Pdu, PduType
from dicos_proto.wire import Buffer

from ..model.table import CELLS
from .catalogue import ABOVE, cell, cell_of_role, refused
from .items import ways_of_associate
from .record import Coverage

__all__ = ["abort_key", "recording"]

_EVENTS: Final = {
    PduType.ASSOCIATE_AC: 3, PduType.ASSOCIATE_RJ: 4, PduType.P_DATA_TF: 10, PduType.RELEASE_RQ: 12,
    PduType.RELEASE_RP: 13,
}  # fmt: skip
"""The PDUs that Sta13 ignores (AA-6), by their events: `Core` skips them without looking further."""
_CELL, _ROLE, _REFUSED = "cell of table 9-10", "cell of table 9-10, by role", "primitive refused"
_LIMIT: Final = re.compile(r"\(limit (\w+)")
_MISSING: Final = object()


def abort_key(source: int, reason: int) -> str:
    """Returns the key of an A-ABORT."""
    return {0: "user", 2: f"provider, reason {reason}"}.get(source, "reserved source")


@contextmanager
def recording(coverage: Coverage) -> Iterator[Coverage]:
    """Notes in `coverage` all that the engine does in this process until the end of the block."""
    wrappers = _Wrappers(coverage)
    try:
        wrappers.put_all()
        yield coverage
    finally:
        wrappers.take_away()


class _Wrappers:
    """The wrappers of one recording."""

    def __init__(self, coverage: Coverage) -> None:
        self.coverage = coverage
        self._put: list[tuple[object, str, object]] = []

    def put_all(self) -> None:
        for step in (
            self._cells, self._sendables, self._polling, self._headers, self._bodies, self._agreements,
            self._deviations, self._limits, self._timers, self._messages, self._aborts,
        ):  # fmt: skip
            step()

    def take_away(self) -> None:
        """Puts everything back, the last wrapper first."""
        while self._put:
            owner, name, before = self._put.pop()
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    def _wrap(self, owner: object, name: str, made: object) -> None:
        self._put.append((owner, name, vars(owner).get(name, _MISSING)))
        setattr(owner, name, made)

    def _note_cell(self, state: int, event: int, role: str, *, acceptable: bool = True) -> None:
        if (state, event) in CELLS:
            self.coverage.note(_CELL, cell(state, event))
            self.coverage.note(_ROLE, cell_of_role(state, event, role, acceptable=acceptable))

    # -- table 9-10 ------------------------------------------------------------------------------------------------

    def _cells(self) -> None:
        apply, on_header, check = Core._apply, Core._on_header, Core.check

        def applied(
            self: Core,
            event: Evt,
            *,
            indications: tuple[UpperEvent, ...] = (),
            primitive: bytes = b"",
            acceptable: bool = True,
        ) -> None:
            state = int(self.state)
            apply(self, event, indications=indications, primitive=primitive, acceptable=acceptable)
            note(state, int(event), self.role.value, acceptable=acceptable)

        def header(self: Core, header: PduHeader) -> None:
            if self.state is State.Sta13 and header.kind in _EVENTS:
                note(13, _EVENTS[header.kind], self.role.value)
            on_header(self, header)

        def checked(self: Core, event: Evt, what: str) -> None:
            try:
                check(self, event, what)
            except LocalProtocolError:
                state = int(self.state)
                if (state, int(event)) not in CELLS:
                    coverage.note(_REFUSED, refused(state, int(event)))
                raise

        note, coverage = self._note_cell, self.coverage
        self._wrap(Core, "_apply", applied)
        self._wrap(Core, "_on_header", header)
        self._wrap(Core, "check", checked)

    def _sendables(self) -> None:
        """P-DATA that is sent takes no part in the table's actions; its cell is noted here."""
        of_association, of_layer = Association.send, UpperLayer.send

        def send(self: Association, event: Sendable) -> None:
            state = int(self.state)
            of_association(self, event)
            if isinstance(event, MessageStart):
                coverage.note("message", f"{event.command.NAME} sent")
            if isinstance(event, MessageStart | MessageData):
                note(state, 9, self.terms.role.value)

        def send_pdu(self: UpperLayer, pdu: Pdu) -> None:
            state = int(self.state)
            of_layer(self, pdu)
            if isinstance(pdu, PData):
                note(state, 9, self.role.value)

        note, coverage = self._note_cell, self.coverage
        self._wrap(Association, "send", send)
        self._wrap(UpperLayer, "send", send_pdu)

    def _polling(self) -> None:
        """P-DATA that is received streams past the table."""
        poll = Core.poll

        def polled(self: Core) -> UpperEvent | None:
            event = poll(self)
            if type(event) is Fragment and event.start:
                note(int(self.state), 10, self.role.value)
                coverage.note("PDU", "04 P-DATA-TF valid")
                coverage.note("item", "PDV valid")
            return event

        note, coverage = self._note_cell, self.coverage
        self._wrap(Core, "poll", polled)

    # -- PDUs and items --------------------------------------------------------------------------------------------

    def _headers(self) -> None:
        def header(number: int, length: int, judge: Judge, max_length: int = 0) -> PduType:
            try:
                return check_header(number, length, judge, max_length)
            except Malformed as fault:
                if fault.reason is AbortReason.UNRECOGNIZED_PDU:
                    coverage.note("PDU", "unknown type")
                elif fault.limit is None:
                    coverage.note("PDU", f"{_name(number)} wrong length")
                    if number == 4:
                        coverage.note("item", "PDV missing")
                raise

        def pdv(length: int, left: int) -> None:
            if length < left:
                coverage.note("item", "PDV twice")
            try:
                check_pdv_length(length, left)
            except Malformed:
                coverage.note("item", "PDV wrong length")
                raise

        coverage = self.coverage
        for module in (framing, pdu):
            self._wrap(module, "check_header", header)
            self._wrap(module, "check_pdv_length", pdv)

    def _bodies(self) -> None:
        def body_of(kind: PduType, body: memoryview, judge: Judge) -> Managed:
            accepted = False
            try:
                value = decode_body(kind, body, judge)
                accepted = True
            finally:
                if kind <= 2 and not coverage.complete("item"):
                    for key in ways_of_associate(int(kind), bytes(body), accepted=accepted):
                        coverage.note("item", key)
            coverage.note("PDU", f"{_name(int(kind))} valid")
            if isinstance(value, Abort):
                key = abort_key(value.source, value.reason)
                if value.source != 2 or value.reason <= 6:
                    coverage.note("A-ABORT received", key)
            return value

        coverage = self.coverage
        for module in (core, pdu):
            self._wrap(module, "decode_body", body_of)

    def _agreements(self) -> None:
        def agreed(
            request: AssociateRequest, accept: AssociateAccept, *, requestor: bool, judge: Judge | None = None
        ) -> Agreement:
            try:
                return agree(request, accept, requestor=requestor, judge=judge)
            except Malformed:
                if requestor:
                    coverage.note("PDU", "02 A-ASSOCIATE-AC that does not fit its request")
                raise

        coverage = self.coverage
        self._wrap(association, "agree", agreed)

    # -- flags, limits, timers -------------------------------------------------------------------------------------

    def _deviations(self) -> None:
        tolerates, tell = Judge.tolerates, Core._tell

        def tolerated(self: Judge, name: str, detail: str) -> bool:
            accepted = tolerates(self, name, detail)
            if not accepted:
                coverage.note("tolerance", f"{name} refused")
            return accepted

        def told(self: Core) -> Deviation:
            deviation = tell(self)
            coverage.note("tolerance", f"{deviation.name} accepted")
            return deviation

        coverage = self.coverage
        self._wrap(Judge, "tolerates", tolerated)
        self._wrap(Core, "_tell", told)

    def _limits(self) -> None:
        """An error that names a limit says that it was exceeded."""
        violation, too_long, refuse = errors._Violation.__init__, reading.DataSetTooLong.__init__, Exchange._refuse

        def violated(
            self: errors._Violation,
            detail: str,
            clause: str,
            reason: AbortReason = AbortReason.INVALID_PARAMETER,
            limit: str | None = None,
            seen: int | None = None,
            allowed: int | None = None,
        ) -> None:
            violation(self, detail, clause, reason, limit, seen, allowed)
            if limit is not None:
                coverage.note("limit", f"{limit} {ABOVE}")

        def fault(self: DataSetError, *args: object) -> None:
            Exception.__init__(self, *args)
            found = _LIMIT.search(str(args[0])) if args else None
            if found is not None:
                coverage.note("limit", f"{found[1]} {ABOVE}")

        def whole(self: reading.DataSetTooLong, limit: str, allowed: int, seen: int) -> None:
            too_long(self, limit, allowed, seen)
            coverage.note("limit", f"{limit} {ABOVE}")

        def refuse_parked(self: Exchange, dropped: MessageStart) -> None:
            coverage.note("limit", f"parked {ABOVE}")
            refuse(self, dropped)

        coverage = self.coverage
        self._wrap(errors._Violation, "__init__", violated)
        self._wrap(DataSetError, "__init__", fault)
        self._wrap(reading.DataSetTooLong, "__init__", whole)
        self._wrap(Exchange, "_refuse", refuse_parked)

    def _timers(self) -> None:
        take = TimerTable.take_expired

        def take_expired(self: TimerTable) -> tuple[Timer, str] | None:
            expired = take(self)
            if expired is not None:
                coverage.note("timer", expired[0].value)
            return expired

        coverage = self.coverage
        self._wrap(TimerTable, "take_expired", take_expired)

    # -- messages and aborts ---------------------------------------------------------------------------------------

    def _messages(self) -> None:
        decode = Messages._decode

        def decoded(self: Messages, number: int, raw: Buffer) -> MessageStart:
            start = decode(self, number, raw)
            coverage.note("message", f"{start.command.NAME} received")
            return start

        coverage = self.coverage
        self._wrap(Messages, "_decode", decoded)

    def _aborts(self) -> None:
        put = Core._put_abort

        def put_abort(self: Core, encoded: bytes) -> None:
            source, reason = encoded[8], encoded[9]
            if source == 0 or (source == 2 and reason in (0, 1, 2, 4, 5, 6)):
                coverage.note("A-ABORT sent", abort_key(source, reason))
            put(self, encoded)

        coverage = self.coverage
        self._wrap(Core, "_put_abort", put_abort)


def _name(number: int) -> str:
    return f"0{number} {PduType(number).label}"

"""The messages of one association, followed from outside: PDVs in, command sets and data sets with their marks out.

The rules are those of the engine's `dimse.assembly`, which ends at the first fault; this goes on, with the most likely
meaning of what it sees.

Knows: DIMSE [PS3.7], fragments [PS3.8 annex E], the operations outstanding in each direction. Must not know: states,
other PDUs, bytes of PDUs.

Invariants: a command set is held up to `Limits.command_set` bytes, a data set never; at most `MOST_OUTSTANDING`
operations of a direction are remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.command import end_of_set
from dicos_proto.dimse.types import (
    N_EVENT_REPORT,
    RESPONSE_BIT,
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    Command,
    CStoreRequest,
    DimseRequest,
    DimseResponse,
    misplaced_data,
)
from dicos_proto.errors import Malformed
from dicos_proto.limits import OBJECT_COST
from dicos_proto.registry.status import category
from dicos_proto.registry.status_tables import Category
from dicos_proto.tolerance import CLAUSES, Judge
from dicos_proto.upper_layer.agreement import Agreement, PresentationContext
from dicos_proto.upper_layer.pdu import COMMAND_BIT, LAST_BIT

from .entries import Answered, CommandSaid, DataSetSaid, Entry, Piece
from .marks import LIMITS, Kind, Mark, deviations, fresh_judge, note, violation

__all__ = ["MOST_OUTSTANDING", "Messages"]

MOST_OUTSTANDING: Final = 256
"""Operations of one direction that are remembered; the oldest is forgotten. Stops: requests without end."""
_HAVE_PENDING: Final = frozenset(cls.COMMAND_FIELD for cls in (CFindRequest, CGetRequest, CMoveRequest))
_C_STORE, _C_GET = CStoreRequest.COMMAND_FIELD, CGetRequest.COMMAND_FIELD
_PENDING: Final = Category.PENDING
_COMPOSITE: Final = (CEchoRequest, CStoreRequest, CFindRequest, CGetRequest, CMoveRequest)


@dataclass(slots=True)
class _Operation:
    """A request without a final response. `done`: the time of its last byte, 0 while its data set is sent."""

    name: str
    field: int
    context: int
    at: int
    done: int = 0
    responses: int = 0


@dataclass(slots=True)
class _Set:
    """A command set or data set under way."""

    context: int
    is_command: bool
    at: int
    pdvs: int = 1
    size: int = 0
    missing: int = 0
    kept: bytearray = field(default_factory=bytearray)  # of a command set
    marks: list[Mark] = field(default_factory=list)


class _Side:
    """The message that one side is sending, and its requests."""

    def __init__(self) -> None:
        self.set: _Set | None = None
        self.last = False  # the PDV under way is the last fragment of its set
        self.expects: Command | None = None  # the message whose data set is next, or under way
        self.expects_on = 0
        self.must_follow = False  # that data set must come
        self.unsure = False  # it is not known whether a data set is next
        self.operations: dict[int, _Operation] = {}  # by message id
        self.incomplete = False  # some of what this side said is not in the recording, or not understood
        self.odd_told = False

    def expect(self, command: Command | None, context: int, *, must_follow: bool) -> None:
        self.expects, self.expects_on, self.must_follow, self.unsure = command, context, must_follow, False


class Messages:
    """Both directions. `pieces`: True if data sets of C-STORE requests are passed on, to be saved.

    `begun`: False if the recording begins in the middle.
    """

    def __init__(self, *, begun: bool, pieces: bool = False) -> None:
        self.agreement: Agreement | None = None
        """As the requestor sees it; None while it is not known."""
        self._pieces = pieces
        self._sides = (_Side(), _Side())  # index 1 is the requestor
        if not begun:
            for side in self._sides:
                side.unsure = side.incomplete = True

    @property
    def held(self) -> int:
        """Bytes that are held, with the operations that are remembered."""
        kept = sum(len(side.set.kept) for side in self._sides if side.set is not None)
        return kept + OBJECT_COST * self.unanswered

    @property
    def unanswered(self) -> int:
        """The number of requests without a final response."""
        return len(self._sides[0].operations) + len(self._sides[1].operations)

    # -- PDVs ----------------------------------------------------------------------------------------------------

    def begin(self, by_requestor: bool, at: int, context: int, control: int, length: int) -> Iterator[Entry]:
        """Begins a PDV. Yields the set that it cuts off, if it does."""
        side = self._sides[by_requestor]
        is_command = control & COMMAND_BIT != 0
        side.last = control & LAST_BIT != 0
        marks = list(self._misplaced(side, context, is_command=is_command))
        if length % 2 and not side.odd_told:
            side.odd_told = True
            marks.append(violation(f"a PDV with {length:,} bytes of data, an odd number", "PS3.8 annex E"))
        found = side.set
        if found is not None and found.context == context and found.is_command == is_command:
            found.pdvs += 1
            found.marks += marks
            return
        if found is not None:
            yield from self._finish(by_requestor, at, complete=False)
        side.set = _Set(context, is_command, at, marks=marks)

    def _misplaced(self, side: _Side, context: int, *, is_command: bool) -> Iterator[Mark]:
        """Yields what is wrong with a PDV on this context and of this kind now [PS3.8 annex E]."""
        found = side.set
        what = f"{'command' if is_command else 'data'} PDV on context {context}"
        if found is not None:
            if (found.is_command, found.context) != (is_command, context):
                inside = f"the {'command' if found.is_command else 'data'} set on {found.context}"
                yield violation(f"{what} inside {inside}, which is not complete", "PS3.8 annex E")
        elif is_command:
            if side.expects is not None and side.must_follow:
                yield violation(f"{what} where the data set of a {side.expects.NAME} is to begin", "PS3.8 annex E")
        elif side.expects is None:
            if not side.unsure:
                yield violation(f"{what} where a command set is to begin", "PS3.8 annex E")
        elif context != side.expects_on:
            text = f"{what} where the data set on {side.expects_on} is to begin"
            yield violation(text, "PS3.8 annex E")
        if self.agreement is not None and context not in self.agreement.contexts:
            if found is None or found.context != context:
                yield violation(f"PDV on presentation context {context}, which is not accepted", "PS3.8 9.3.5.1")

    def data(self, by_requestor: bool, at: int, data: memoryview, *, complete: bool) -> Iterator[Entry]:
        """Takes data of the PDV that has begun. `complete`: it is the last data of that PDV."""
        side = self._sides[by_requestor]
        found = side.set
        if found is None:
            return
        found.size += len(data)
        if not found.is_command:
            yield from self._piece(by_requestor, at, data)
        elif found.size <= LIMITS.command_set + len(data):
            found.kept += data[: LIMITS.command_set + 1]
            if len(found.kept) > LIMITS.command_set:
                yield from self._too_long(by_requestor, at, found, data)
        if complete and side.last:
            yield from self._finish(by_requestor, at, complete=True)

    def hole(self, by_requestor: bool, at: int, size: int, *, complete: bool) -> Iterator[Entry]:
        """Takes note that the recording lacks `size` bytes of the PDV. `complete`: they are the last of it."""
        side = self._sides[by_requestor]
        if side.set is None:
            return
        side.set.missing += size
        side.set.size += size
        if complete and side.last:
            yield from self._finish(by_requestor, at, complete=True)

    def interrupt(self, by_requestor: bool, at: int, *, gap: bool = False) -> Iterator[Entry]:
        """Ends the set under way where it is: another PDU follows, the direction is over, or (`gap`) the recording
        lacks what follows."""
        side = self._sides[by_requestor]
        if side.set is not None:
            yield from self._finish(by_requestor, at, complete=False)
        side.expect(None, 0, must_follow=False)
        if gap:
            side.unsure = side.incomplete = True

    def _piece(self, by_requestor: bool, at: int, data: memoryview) -> Iterator[Entry]:
        if self._pieces and data and isinstance(self._sides[by_requestor].expects, CStoreRequest):
            yield Piece(at=at, by_requestor=by_requestor, data=data)

    def _finish(self, by_requestor: bool, at: int, *, complete: bool) -> Iterator[Entry]:
        side = self._sides[by_requestor]
        found, side.set = side.set, None
        if found is None:
            return
        if found.is_command:
            yield from self._command_set(by_requestor, at, found, complete=complete)
        else:
            yield self._data_set(by_requestor, at, found, complete=complete)

    # -- data sets -----------------------------------------------------------------------------------------------

    def _data_set(self, by_requestor: bool, at: int, found: _Set, *, complete: bool) -> DataSetSaid:
        side = self._sides[by_requestor]
        command = side.expects
        number = 0
        if isinstance(command, DimseRequest):
            number = command.message_id
            operation = side.operations.get(number)
            if operation is not None and not operation.done:
                operation.done = at
        elif isinstance(command, DimseResponse):
            number = command.message_id_being_responded_to
        side.expect(None, 0, must_follow=False)
        return DataSetSaid(
            at=found.at, done=at, by_requestor=by_requestor, context=found.context,
            name="" if command is None else command.NAME, message_id=number, size=found.size, missing=found.missing,
            pdvs=found.pdvs, complete=complete, marks=tuple(found.marks),
        )  # fmt: skip

    # -- command sets --------------------------------------------------------------------------------------------

    def _too_long(self, by_requestor: bool, at: int, found: _Set, data: memoryview) -> Iterator[Entry]:
        """A command set above the limit: another object may follow it in the same PDV; else nothing of it is kept."""
        end = self._end_of_joined(found)
        if not end:
            found.kept = bytearray()
            found.marks.append(note(f"not decoded: command set of more than {LIMITS.command_set:,} bytes"))
            return
        rest = memoryview(bytes(found.kept[end:]) + bytes(data[LIMITS.command_set + 1 :]))
        yield from self._split(by_requestor, at, found, end)
        side = self._sides[by_requestor]
        side.set = _Set(found.context, False, at, size=found.size - end)
        yield from self._piece(by_requestor, at, rest)

    @staticmethod
    def _end_of_joined(found: _Set) -> int:
        """Returns where the command set ends if a data set follows it in the same PDV, else 0."""
        end = end_of_set(found.kept) or 0
        if not 0 < end < len(found.kept):
            return 0
        try:
            _, has_data = decode_command(bytes(found.kept[:end]), fresh_judge())
        except Malformed:
            return 0
        return end if has_data else 0

    def _split(self, by_requestor: bool, at: int, found: _Set, end: int) -> Iterator[Entry]:
        text = "command PDV that goes on after the end of the command set with its data set"
        found.marks.append(Mark(Kind.DEVIATION, text, CLAUSES["joined_data_set"], "joined_data_set"))
        command = _Set(found.context, True, found.at, found.pdvs, end, 0, found.kept[:end], found.marks)
        yield from self._decoded(by_requestor, at, command)

    def _command_set(self, by_requestor: bool, at: int, found: _Set, *, complete: bool) -> Iterator[Entry]:
        end = self._end_of_joined(found) if complete and not found.missing else 0
        if end:
            rest = bytes(found.kept[end:])
            yield from self._split(by_requestor, at, found, end)
            yield from self._piece(by_requestor, at, memoryview(rest))
            yield self._data_set(by_requestor, at, _Set(found.context, False, at, size=len(rest)), complete=True)
        elif complete and not found.missing and found.size == len(found.kept):
            yield from self._decoded(by_requestor, at, found)
        else:
            side = self._sides[by_requestor]
            side.unsure = side.incomplete = True
            side.expects = None
            if found.missing:
                found.marks.append(note(f"{found.missing:,} bytes of it are missing in the recording"))
            yield CommandSaid(
                at=found.at, done=at, by_requestor=by_requestor, context=found.context, raw=bytes(found.kept),
                size=found.size, pdvs=found.pdvs, complete=complete, marks=tuple(found.marks),
            )  # fmt: skip

    def _decoded(self, by_requestor: bool, at: int, found: _Set) -> Iterator[Entry]:
        side = self._sides[by_requestor]
        raw, judge = bytes(found.kept), fresh_judge()
        marks, answered = found.marks, None
        command: Command | None = None
        has_data = False
        try:
            command, has_data = decode_command(raw, judge)
        except Malformed as fault:
            marks.append(violation(fault))
            side.expects = None
            side.unsure = side.incomplete = True
        if command is not None:
            must_follow = has_data
            misplaced = misplaced_data(command, has_data)
            if misplaced is not None and not (has_data and judge.tolerates("unwanted_data_set", misplaced)):
                marks.append(violation(misplaced, "PS3.7 E.1"))
            elif misplaced is not None:
                must_follow = False
            side.expect(command if has_data else None, found.context, must_follow=must_follow)
            if isinstance(command, DimseResponse):
                answered = self._take_response(by_requestor, found, command, judge, marks)
            elif isinstance(command, DimseRequest):
                self._take_request(by_requestor, at, found, command, judge, marks, has_data=has_data)
        yield CommandSaid(
            at=found.at, done=at, by_requestor=by_requestor, context=found.context, raw=raw, size=found.size,
            pdvs=found.pdvs, command=command, has_data=has_data, answered=answered,
            marks=(*marks, *deviations(judge)),
        )  # fmt: skip

    # -- operations ----------------------------------------------------------------------------------------------

    def _take_request(
        self,
        by_requestor: bool,
        at: int,
        found: _Set,
        command: DimseRequest,
        judge: Judge,
        marks: list[Mark],
        *,
        has_data: bool,
    ) -> None:
        operations, other = self._sides[by_requestor].operations, self._sides[not by_requestor]
        number, name = command.message_id, command.NAME
        if number in operations and not other.incomplete:
            marks.append(violation(f"{name} with message id {number}, which is still in use", "PS3.7 9.1.1"))
        operations.pop(number, None)
        agreement = self.agreement
        if agreement is not None:
            window = agreement.invoke if by_requestor else agreement.perform
            if window and len(operations) >= window and not other.incomplete:
                text = f"{name} is operation {len(operations) + 1} at once; the window is {window}"
                marks.append(violation(text, "PS3.7 D.3.3.3"))
            context = agreement.contexts.get(found.context)
            if context is not None:
                marks += self._without_role(by_requestor, context, command, judge)
                marks += _of_another_class(context, command)
        operations[number] = _Operation(name, command.COMMAND_FIELD, found.context, found.at, 0 if has_data else at)
        if len(operations) > MOST_OUTSTANDING:
            del operations[next(iter(operations))]

    def _without_role(
        self, by_requestor: bool, context: PresentationContext, command: DimseRequest, judge: Judge
    ) -> Iterator[Mark]:
        is_report = command.COMMAND_FIELD == N_EVENT_REPORT
        if context.scu if by_requestor is not is_report else context.scp:
            return
        text = f"{command.NAME} on context {context.id} from a peer without that role"
        getting = any(one.field == _C_GET for one in self._sides[not by_requestor].operations.values())
        if is_report:
            judge.tolerates("report_without_role", text)
        elif command.COMMAND_FIELD == _C_STORE and getting:
            judge.tolerates("store_without_role", text)
        else:
            yield violation(text, "PS3.7 D.3.3.4")

    def _take_response(
        self, by_requestor: bool, found: _Set, command: DimseResponse, judge: Judge, marks: list[Mark]
    ) -> Answered | None:
        asker = self._sides[not by_requestor]
        number, name = command.message_id_being_responded_to, command.NAME
        asked = asker.operations.get(number)
        if asked is None:
            text = f"{name} to message {number}, which is not outstanding"
            marks.append(note(f"{text}, in what was recorded") if asker.incomplete else violation(text, "PS3.7 9.1"))
            return None
        if asked.field != command.COMMAND_FIELD & ~RESPONSE_BIT:
            marks.append(violation(f"{name} to message {number}, which is a {asked.name}", "PS3.7 9.1"))
            return None
        if asked.context != found.context:
            text = f"{name} to message {number} on context {found.context}; it was sent on {asked.context}"
            judge.tolerates("response_on_other_context", text)
        pending = category(command.status) is _PENDING
        if pending and asked.field not in _HAVE_PENDING:
            text = f"{name} with status 0x{command.status:04X}, pending, which it cannot have"
            marks.append(violation(text, "PS3.7 9.1, 10.1"))
        answered = Answered(asked.name, number, asked.at, max(0, found.at - (asked.done or asked.at)), asked.responses)
        asked.responses += 1
        if not pending:
            del asker.operations[number]
        return answered


def _of_another_class(context: PresentationContext, command: DimseRequest) -> Iterator[Mark]:
    """Composite services act on the SOP class of their context; others may use the context of a meta SOP class."""
    if isinstance(command, _COMPOSITE) and context.abstract_syntax:
        uid = command.affected_sop_class_uid
        if uid != context.abstract_syntax:
            text = f"{command.NAME} of {uid} on context {context.id}, which is for {context.abstract_syntax}"
            yield violation(text, "PS3.7 9.1")

"""The peer's messages: does each answer what was asked, once, in its context, with its type?

Knows: P-DATA of both sides, PS3.8 annex E, PS3.7 9 and 10. Must not know: scenarios, expectations, when P-DATA may come
at all (`conduct`).

Where this side was wrong on purpose (`Asking.loose`), the peer is only held to what no reading of it allows.

Invariants: no violation for a peer that answers any reading of what it was sent. Linear in the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.types import (
    MESSAGES,
    N_EVENT_REPORT,
    RESPONSE_BIT,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    Command,
    CStoreRequest,
    CStoreResponse,
    DimseRequest,
    DimseResponse,
    misplaced_data,
)
from dicos_proto.errors import Malformed
from dicos_proto.registry.status import category
from dicos_proto.registry.status_tables import Category
from dicos_proto.tolerance import CLAUSES, EVERYTHING, Judge

from ..finding import Severity, Violation
from .asking import Asked, Asking
from .associating import Wish
from .comparing import difference
from .lines import GENEROUS, Line, Said

__all__ = ["Dialogue", "Spoken", "dialogue"]

_MANY_PENDING: Final = (CFindRequest, CGetRequest, CMoveRequest)
_MOST_EMPTY: Final = 16
_PENDING = Category.PENDING


@dataclass(slots=True)
class Spoken:
    """One message of the peer. `at`: the entry where its command set ended. `data`: as much of its data set as came."""

    context: int
    command: Command
    has_data: bool
    at: int
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False


@dataclass(slots=True)
class Dialogue:
    """The messages of both sides on one connection, and what was wrong with those of the peer."""

    asking: Asking
    spoken: list[Spoken]
    violations: list[Violation]


def dialogue(line: Line, ours: Wish, contexts: dict[int, bytes] | None, *, user: bool) -> Dialogue:
    """Returns the messages on one connection.

    `ours`: the wishes of this side, in its A-ASSOCIATE-RQ or -AC. `contexts`: the accepted contexts with their transfer
    syntaxes, None if there is no association. `user`: this side called the peer.
    """
    listener = _Listener(ours, contexts, user=user)
    for one in line.said:
        if one.kind == 4:
            if one.ours:
                listener.say(one)
            elif one.whole:
                listener.hear(one)
        elif one.ours and one.kind in (5, 7):
            listener.asking.over = True
    return Dialogue(listener.asking, listener.spoken, listener.violations)


class _Listener:
    """Follows both sides of one connection."""

    def __init__(self, ours: Wish, contexts: dict[int, bytes] | None, *, user: bool) -> None:
        self.asking = Asking()
        self.asking.accepted = None if contexts is None else frozenset(contexts)
        self.spoken: list[Spoken] = []
        self.violations: list[Violation] = []
        self._contexts = contexts
        self._ours = ours
        self._user = user
        self._command: tuple[int, bytearray] | None = None
        self._owed: Spoken | None = None  # the message whose data set the peer sends
        self._remaining: dict[int, int] = {}
        self._requested: set[int] = set()  # the peer's requests without a final response of this side
        self._empties = 0
        self._seen: set[tuple[str, str]] = set()

    def _blame(self, oracle: str, detail: str, clause: str, reaction: str, severity: Severity) -> None:
        if (oracle, reaction) not in self._seen:  # the first of many
            self._seen.add((oracle, reaction))
            self.violations.append(
                Violation(
                    oracle=oracle, severity=severity, detail=detail, clause=clause, state="Sta6", reaction=reaction
                )
            )

    def _medium(self, oracle: str, detail: str, clause: str, reaction: str) -> None:
        self._blame(oracle, detail, clause, reaction, Severity.MEDIUM)

    def _low(self, oracle: str, detail: str, clause: str, reaction: str) -> None:
        self._blame(oracle, detail, clause, reaction, Severity.LOW)

    def say(self, pdu: Said) -> None:
        """Takes a P-DATA-TF of this side."""
        before = len(self.asking.all)
        self.asking.sent(pdu)
        for one in self.asking.all[before:]:
            answer = one.command
            if isinstance(answer, DimseResponse) and category(answer.status) is not _PENDING:
                self._requested.discard(answer.message_id_being_responded_to)

    # -- PDVs ----------------------------------------------------------------------------------------------------

    def hear(self, pdu: Said) -> None:
        """Takes a P-DATA-TF of the peer."""
        most = self._ours.max_length
        size = len(pdu.data) - 6
        if 0 < most < size:
            said = f"P-DATA-TF of {size} bytes; this side's Maximum Length is {most}"
            self._medium("over-max-length", said, "PS3.8 D.1", "P-DATA-TF")
        for context, control, data in pdu.pdvs:
            self._hear_pdv(pdu, context, control, data)

    def _hear_pdv(self, pdu: Said, context: int, control: int, data: bytes) -> None:
        if self._contexts is not None and context not in self._contexts:
            known = ", ".join(map(str, self._contexts)) or "none"
            said = f"PDV on presentation context {context}; accepted: {known}"
            self._medium("wrong-context", said, "PS3.8 9.3.5.1", "PDV")
        if control & ~3:
            said = f"message control header 0x{control:02X}; bits 2 to 7 are 0"
            self._low("reserved-bits", said, "PS3.8 E.2", "PDV")
        self._empties = 0 if data or control & 2 else self._empties + 1
        if self._empties > _MOST_EMPTY:
            said = f"more than {_MOST_EMPTY} PDVs without data in a row"
            self._medium("empty-pdvs", said, "PS3.8 annex E", "PDV")
        if control & 1:
            self._hear_command(pdu, context, data, last=bool(control & 2))
        else:
            self._hear_data(context, data, last=bool(control & 2))

    def _hear_command(self, pdu: Said, context: int, data: bytes, *, last: bool) -> None:
        if self._owed is not None:
            said = f"a command PDV inside the data set of a {self._owed.command.NAME}"
            self._medium("interleaved", said, "PS3.8 annex E", "command PDV")
            self._owed = None
        begun = self._command
        if begun is not None and begun[0] != context:
            said = f"command PDV on context {context} inside the command set on {begun[0]}"
            self._medium("interleaved", said, "PS3.8 annex E", "command PDV")
            begun = None
        kept = self._command = begun or (context, bytearray())
        kept[1].extend(data)
        if last:
            self._command = None
            self._whole(pdu, context, bytes(kept[1]))

    def _hear_data(self, context: int, data: bytes, *, last: bool) -> None:
        owed = self._owed
        if owed is None or owed.context != context:
            where = "no message has one" if owed is None else f"context {owed.context} has one"
            said = f"a data set PDV on context {context} where {where}"
            self._medium("misplaced-data", said, "PS3.8 annex E", "data PDV")
            return
        owed.data += data
        if last:
            owed.complete = True
            self._owed = None
            self._compare(owed)

    # -- messages ------------------------------------------------------------------------------------------------

    def _whole(self, pdu: Said, context: int, raw: bytes) -> None:
        judge = Judge(GENEROUS, EVERYTHING) if _fault(raw) else _STRICT
        try:
            command, has_data = decode_command(raw, judge)
        except Malformed as fault:
            if not (self.asking.loose and _unknown(raw, self.asking)):
                self._medium(
                    "malformed-command", f"the peer sent a command set: {fault.detail}", fault.clause, "command set"
                )
            return
        for name, detail in judge.untold:
            if not self.asking.loose:
                self._low("deviation", f"{command.NAME}: {detail}", CLAUSES[name], f"{command.NAME} {name}")
        spoken = Spoken(context, command, has_data, pdu.done, complete=not has_data)
        self.spoken.append(spoken)
        fault_of_data = misplaced_data(command, has_data)
        if fault_of_data is not None:
            self._low("misplaced-data", fault_of_data, "PS3.7 E.1", command.NAME)
        if has_data:
            self._owed = spoken
        if isinstance(command, DimseResponse):
            self._response(spoken, command)
        elif isinstance(command, DimseRequest):
            self._request(command)

    def _response(self, spoken: Spoken, command: DimseResponse) -> None:
        number, name = command.message_id_being_responded_to, command.NAME
        asked = self.asking.next_open(number)
        if asked is None:
            self._to_nobody(number, name)
            return
        if self.asking.loose:
            if command.COMMAND_FIELD & ~RESPONSE_BIT not in self.asking.fields:
                said = f"{name} to message {number}; no request of that type was sent"
                self._medium("wrong-response-type", said, "PS3.7 9.1", name)
            asked.answered += category(command.status) is not _PENDING
            return
        self._fits(spoken, command, asked)

    def _to_nobody(self, number: int, name: str) -> None:
        if self.asking.begun_with(number):
            said = f"{name} to message {number} before its command set was complete"
            self._medium("answered-early", said, "PS3.8 annex E", name)
        elif not (self.asking.loose and any(not one.ids for one in self.asking.all)):
            said = f"{name} to message {number}, which was not sent"
            self._medium("response-to-nobody", said, "PS3.7 9.1", name)

    def _fits(self, spoken: Spoken, command: DimseResponse, one: Asked) -> None:
        """A response to a request that was right."""
        number, name = command.message_id_being_responded_to, command.NAME
        request = one.request
        if request is None:
            return
        if one.late:
            said = f"{name} to message {number}, which was sent behind an A-ABORT or A-RELEASE-RQ"
            self._medium("answered-after-end", said, "PS3.8 table 9-10", name)
        pending = category(command.status) is _PENDING
        if one.answered:
            what = "a pending response" if pending else f"{name} with 0x{command.status:04X}"
            said = f"{what} to message {number} after its final response"
            self._medium("answered-twice", said, "PS3.7 9.1", name)
            return
        if request.COMMAND_FIELD != command.COMMAND_FIELD & ~RESPONSE_BIT:
            said = f"{name} to message {number}, a {request.NAME}"
            self._medium("wrong-response-type", said, "PS3.7 9.1", name)
        if one.context != spoken.context:
            said = f"{name} on context {spoken.context} to message {number}, which was sent on {one.context}"
            self._medium("wrong-context", said, "PS3.7 9.1", name)
        if pending and not isinstance(request, _MANY_PENDING):
            said = f"{name} with status 0x{command.status:04X}, pending; it has one response"
            self._medium("pending", said, "PS3.7 9.1, 10.1", name)
        good = category(command.status) in (Category.SUCCESS, Category.WARNING)
        if good and isinstance(command, CStoreResponse) and (one.data_done is None or one.data_done > spoken.at):
            said = f"C-STORE of message {number} reported as 0x{command.status:04X} before its data set was complete"
            self._blame("success-before-data", said, "PS3.4 B.2.3", name, Severity.HIGH)
        self._counters(command, number)
        if not pending:
            one.answered += 1

    def _counters(self, command: DimseResponse, number: int) -> None:
        remaining = getattr(command, "remaining", None)
        if isinstance(remaining, int):
            before = self._remaining.get(number)
            if before is not None and remaining > before:
                said = f"{remaining} sub-operations remain after {before} remained"
                self._low("counters", said, "PS3.7 9.1.3, 9.1.4", command.NAME)
            self._remaining[number] = remaining

    def _request(self, command: DimseRequest) -> None:
        """A request of the peer."""
        asking, name, number = self.asking, command.NAME, command.message_id
        if asking.loose:
            return
        if number in self._requested:
            said = f"{name} with message id {number}, which is still in use"
            self._medium("id-in-use", said, "PS3.7 9.1.1", name)
        self._requested.add(number)
        if not self._user:
            window = max((invoked or 1 << 16 for invoked, _ in self._ours.windows), default=1)
            if len(self._requested) > window:
                said = f"{len(self._requested)} operations outstanding; the window is {window}"
                self._medium("beyond-window", said, "PS3.7 D.3.3.3", name)
        elif command.COMMAND_FIELD != N_EVENT_REPORT:
            getting = isinstance(command, CStoreRequest) and any(not one.answered for one in asking.retrievals)
            if not getting and not any(scp for _, scp in self._ours.roles.values()):
                said = f"the peer sent a {name}; it was not given the role to ask"
                self._medium("request-without-role", said, "PS3.7 D.3.3.4", name)

    def _compare(self, spoken: Spoken) -> None:
        """An object that comes back must be the one that was sent."""
        command = spoken.command
        if not isinstance(command, CStoreRequest) or self._contexts is None:
            return
        sent = self.asking.stored.get(command.affected_sop_instance_uid)
        if sent is None:
            return
        one, request = sent
        syntaxes = [self._contexts.get(context, b"").decode("latin-1") for context in (one.context, spoken.context)]
        found = difference(bytes(one.data), syntaxes[0], bytes(spoken.data), syntaxes[1])
        if request.affected_sop_class_uid != command.affected_sop_class_uid:
            found = "its SOP class changed"
        if found is not None:
            said = f"an object came back other than it was sent: {found}"
            self._blame("object-changed", said, "PS3.4 B.4.1", command.NAME, Severity.HIGH)


_STRICT: Final = Judge(GENEROUS)


def _fault(raw: bytes) -> bool:
    """True if a command set needs tolerance, or more than that."""
    try:
        decode_command(raw, _STRICT)
    except Malformed:
        return True
    return False


def _unknown(raw: bytes, asking: Asking) -> bool:
    """True if this side asked with a command that no message has, which the response to it may repeat."""
    at = raw.find(b"\x00\x00\x00\x01\x02\x00\x00\x00")
    number = int.from_bytes(raw[at + 8 : at + 10], "little") if at >= 0 else -1
    return number not in MESSAGES and number & ~RESPONSE_BIT in asking.fields

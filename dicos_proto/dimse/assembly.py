"""PDVs <-> DIMSE messages: reassembly, fragmentation, and the operations outstanding in each direction.

Knows: which PDV may follow which (PS3.8 annex E), how one fills a P-DATA-TF, message ids, the operations window. Must
not know: states, other PDUs, when bytes are sent.

Invariants: command sets are held (bounded), data sets never; one message is on the wire at a time in each direction;
a response belongs to exactly one outstanding request, by message id, type and context.

A peer may be allowed to join a data set to its command set (`joined_data_set`): the command set then ends where its
group length says, and what follows, in the same PDV and in data PDVs, is its data set.
"""

from __future__ import annotations

from ..errors import AbortReason, LocalProtocolError, Malformed
from ..registry.status import category
from ..registry.status_tables import Category
from ..tolerance import Judge
from ..upper_layer.agreement import Agreement, PresentationContext
from ..upper_layer.events import Fragment
from ..upper_layer.outbox import HEAD_SIZE, P_DATA_HEAD, SMALL, Outgoing, Run
from ..upper_layer.pdu import COMMAND_BIT, LAST_BIT
from ..upper_layer.pdu_types import PduType
from ..wire import Buffer
from .codec import decode_command, encode_command
from .command import GROUP_LENGTH_SIZE, end_of_set
from .events import MessageData, MessageStart
from .types import (
    N_EVENT_REPORT,
    RESPONSE_BIT,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    DimseRequest,
    DimseResponse,
    misplaced_data,
)

PDV_OVERHEAD = 6
_P_DATA_TF, _PENDING = PduType.P_DATA_TF.value, Category.PENDING
_LAST_COMMAND = COMMAND_BIT | LAST_BIT
_RETRIEVES = (CGetRequest, CMoveRequest)
_HAVE_PENDING = frozenset(cls.COMMAND_FIELD for cls in (CFindRequest, *_RETRIEVES))
_NO_PENDING = "PS3.7 9.1, 10.1"
C_STORE, C_GET = CStoreRequest.COMMAND_FIELD, CGetRequest.COMMAND_FIELD

BufferList = list[Outgoing]


class Messages:
    """Both directions of one established association."""

    __slots__ = (
        "_command", "_command_pdvs", "_empties", "_fragment", "_joined", "_judge", "_limits", "_odd", "_out",
        "_prepared", "_receiving", "_requests", "_splits", "_unwanted", "_unwanted_begun", "agreement", "asked", "owed",
        "received", "rest", "retrieving", "sent",
    )  # fmt: skip

    def __init__(self, agreement: Agreement, judge: Judge) -> None:
        limits = judge.limits
        self.agreement = agreement
        self.sent: dict[int, tuple[int, int, int]] = {}
        """Requests that the local side sent and that have no final response, oldest first: message id -> (context,
        command field, its ordinal, to distinguish reuses of the id)."""
        self.owed: dict[int, tuple[int, int]] = {}
        """Requests that the peer sent and that have no final response: message id -> (context, command field)."""
        self.received = 0
        """The number of messages received completely."""
        self.asked = 0
        """Requests received."""
        self.retrieving: dict[int, int] = {}
        """C-GET and C-MOVE among those sent: message id -> its ordinal."""
        self._requests = 0
        self.rest: MessageData | None = None
        """The rest of a fragment that made a `MessageStart`, if it belongs to the data set; the caller takes it."""
        self._judge = judge
        self._limits = limits
        self._splits = judge.may("joined_data_set")
        self._joined = False  # what is left of the command PDV under way is data
        peer = agreement.peer_max_length
        largest = min(peer, limits.outgoing_pdu) if peer else limits.outgoing_pdu
        self._fragment = (largest - PDV_OVERHEAD) & ~1  # of even length, so that no element value is cut at odd offset
        self._odd = b""  # the last byte of that data set, while it has no pair
        self._out: int | None = None  # the context whose data set is being sent
        self._prepared: tuple[MessageStart, BufferList, int] | None = None
        self._receiving: int | None = None  # the context whose data set is being received
        self._command: tuple[int, bytearray] | None = None  # context and the received part of its command set
        self._command_pdvs = 0
        self._empties = 0
        self._unwanted: int | None = None  # the context whose last message announced a data set that it cannot have
        self._unwanted_begun = False  # whether that data set has begun after all

    @property
    def sending(self) -> bool:
        """True while a message has begun and its data set is not complete."""
        return self._out is not None

    @property
    def mid_message(self) -> bool:
        """True while a message of the peer has begun and is not complete."""
        return self._receiving is not None or self._command is not None

    @property
    def _getting(self) -> bool:
        """True while a C-GET of the local side is outstanding."""
        return any(self.sent[number][1] == C_GET for number in self.retrieving)

    # -- out -----------------------------------------------------------------------------------------------------

    def start(self, event: MessageStart) -> tuple[BufferList, int]:
        """The PDUs of a command set, and their size. Raises `LocalProtocolError`, and nothing has changed."""
        if self._out is not None:
            raise LocalProtocolError(f"a message before the data set on context {self._out} is complete [PS3.7 6.3]")
        known = self._prepared
        if known is None or known[0] is not event:
            known = self._encode(event)
        command = event.command
        if isinstance(command, DimseRequest):
            self._check_request(self.agreement.contexts[event.context], command)
            self._requests += 1
            self.sent[command.message_id] = (event.context, command.COMMAND_FIELD, self._requests)
            if isinstance(command, _RETRIEVES):
                self.retrieving[command.message_id] = self._requests
        elif isinstance(command, DimseResponse):
            number = command.message_id_being_responded_to
            if self.owed.get(number) != (event.context, command.COMMAND_FIELD & ~RESPONSE_BIT):
                raise LocalProtocolError(f"{command.NAME} to message {number}: no such request is owed [PS3.7 9.1]")
            if category(command.status) is not _PENDING:
                del self.owed[number]
            elif command.COMMAND_FIELD & ~RESPONSE_BIT not in _HAVE_PENDING:
                raise LocalProtocolError(f"{_no_pending(command)} [{_NO_PENDING}]")
        self._prepared = None
        if event.has_data:
            self._out = event.context
        return known[1], known[2]

    def prepare(self, event: MessageStart) -> None:
        """Encode a command set ahead of time, of which `start` then makes use if it is given this very event next.

        Raises `LocalProtocolError` for one that cannot be encoded."""
        self._prepared = self._encode(event)

    def _encode(self, event: MessageStart) -> tuple[MessageStart, BufferList, int]:
        context, command, has_data = event.context, event.command, event.has_data
        if context not in self.agreement.contexts:
            known = ", ".join(map(str, self.agreement.contexts)) or "none"
            raise LocalProtocolError(f"presentation context {context} is not accepted; {known} are [PS3.8 9.3.5]")
        fault = misplaced_data(command, has_data)
        if fault is not None:
            raise LocalProtocolError(f"{fault} [PS3.7 E.1]")
        encoded = encode_command(command, has_data=has_data)
        size = len(encoded)
        if size > self._fragment:
            return event, *self._cut(context, COMMAND_BIT, encoded, last=True)
        # In one piece: it is small, and nobody else's.
        head = P_DATA_HEAD.pack(_P_DATA_TF, size + 6, size + 2, context, _LAST_COMMAND)
        return event, [head + encoded], size + HEAD_SIZE

    def data(self, event: MessageData) -> tuple[BufferList, int]:
        """The PDUs of a piece of a data set, and their size. Raises `LocalProtocolError`."""
        if self._out != event.context:
            wanted = "no data set" if self._out is None else f"the data set on context {self._out}"
            raise LocalProtocolError(f"data on context {event.context}; {wanted} is being sent [PS3.7 6.3]")
        data, last = event.data, event.last
        if not isinstance(data, bytes | bytearray):
            data = _bytes_of(data)
        if last:
            self._out = None
        if self._odd or (len(data) & 1 and not last):
            return self._cut_odd(event.context, memoryview(data), last=last)
        return self._cut(event.context, 0, data, last=last)

    def _check_request(self, context: PresentationContext, command: DimseRequest) -> None:
        if command.message_id in self.sent:
            raise LocalProtocolError(f"message id {command.message_id} is still in use [PS3.7 9.1.1]")
        window = self.agreement.invoke or self._limits.outstanding
        if len(self.sent) >= window:
            raise LocalProtocolError(f"{len(self.sent)} operations outstanding; the window is {window} [PS3.7 D.3.3.3]")
        may = context.scp if command.COMMAND_FIELD == N_EVENT_REPORT else context.scu
        if not may:
            raise LocalProtocolError(f"{command.NAME}: no such role on context {context.id} [PS3.7 D.3.3.4]")

    def _cut_odd(self, context: int, data: memoryview, *, last: bool) -> tuple[BufferList, int]:
        """Like `_cut`, for a piece that begins or ends at an odd offset: every fragment has an even number of bytes
        [PS3.8 E.1], so its last byte waits for another."""
        buffers: BufferList = []
        size = 0
        if self._odd and (len(data) or last):
            pair, data = self._odd + data[:1], data[1:]
            self._odd = b""
            buffers, size = self._cut(context, 0, pair, last=last and not len(data))
            last = last and len(data) > 0
        if len(data) & 1 and not last:
            self._odd, data = bytes(data[-1:]), data[:-1]
        more, more_size = self._cut(context, 0, data, last=last)
        return buffers + more, size + more_size

    def _cut(self, context: int, kind: int, data: Buffer, *, last: bool) -> tuple[BufferList, int]:
        """One PDV a PDU, none longer than the peer's Maximum Length. Longer data is cut when it is taken."""
        total = len(data)
        if total > self._fragment:
            run = Run(context, kind, data, self._fragment, last=last)
            size = run.size
            if total >= SMALL:
                return [run], size
            cut: list[bytes | memoryview] = []
            run.cut(cut, size * SMALL)
            return [*cut], size
        if not (total or last):
            return [], 0
        head = P_DATA_HEAD.pack(_P_DATA_TF, total + 6, total + 2, context, kind | LAST_BIT if last else kind)
        if not total:
            return [head], HEAD_SIZE
        return [head, data if isinstance(data, bytes) else memoryview(data)], total + HEAD_SIZE

    # -- in ------------------------------------------------------------------------------------------------------

    def receive(self, fragment: Fragment) -> MessageStart | MessageData | None:
        """Returns the event that a fragment completes, if any; a second one may be in `rest`. Raises `Malformed` for a
        fragment that is not allowed now."""
        context, data, last = fragment.context, fragment.data, fragment.last
        if fragment.start:
            self._joined = False
            if data and not fragment.command and context == self._receiving:  # most PDVs of data sets
                self._empties = 0
            else:
                self._admit(fragment)
                if last and fragment.command and self._command is None and not self._splits:  # a whole command set
                    return self._decode(context, data)
        if not fragment.command or self._joined:
            if self._receiving is None and not self._joined:
                if last:
                    self._unwanted = None
                return None
            if not data and not last:
                return None
            if last:
                self._receiving = None
                self.received += 1
            return MessageData(context=context, data=data, last=last)
        if self._splits:
            return self._receive_joined(fragment)
        kept = self._command
        if kept is None:
            kept = self._command = (context, bytearray())
        length = len(kept[1]) + len(data)
        if length > self._limits.command_set:
            joined = self._joined_fault(data)
            if joined is not None:
                raise Malformed(joined.detail, joined.clause)
            raise _over("command set too long", "command_set", self._limits.command_set, length)
        kept[1].extend(data)
        if not last:
            return None
        self._command = None
        return self._decode(context, kept[1])

    def _receive_joined(self, fragment: Fragment) -> MessageStart | None:
        """Like `receive`, for a piece of a command PDV in which a data set may follow the command set."""
        kept = self._command
        if kept is None:
            kept = self._command = (fragment.context, bytearray())
        raw, data = kept[1], fragment.data
        while data:
            end = end_of_set(raw)
            if end is None:
                end = GROUP_LENGTH_SIZE if len(raw) < GROUP_LENGTH_SIZE else len(raw) + len(data)
            if end > self._limits.command_set:
                raise _over("command set too long", "command_set", self._limits.command_set, end)
            missing = end - len(raw)
            if missing <= 0:
                break
            raw += data[:missing]
            data = data[missing:]
        if not (fragment.last or data):
            return None
        self._command = None
        start = self._decode(fragment.context, raw)
        if data:
            self._join(fragment, data, start)
        return start

    def _join(self, fragment: Fragment, data: memoryview, start: MessageStart) -> None:
        """Treats `data`, which follows the command set in the same command PDV, as part of the data set."""
        detail = "command PDV that goes on after the end of the command set"
        if not start.has_data:
            raise _unexpected(f"{detail}, which says that no data set follows", "PS3.7 E.1")
        self._judge.tolerates("joined_data_set", f"{detail} with its data set")
        self._joined = True
        if fragment.last:
            self._receiving = None
            self.received += 1
        self.rest = MessageData(context=fragment.context, data=data, last=fragment.last)

    def _admit(self, fragment: Fragment) -> None:
        """Raises `Malformed` if a PDV on this context and of this kind may not begin now [PS3.8 annex E]."""
        context = fragment.context
        if fragment.command:
            inside = self._unwanted if self._unwanted_begun else self._receiving
            if inside is not None:
                raise _unexpected(f"command PDV inside the data set on context {inside}")
            if self._command is not None and self._command[0] != context:
                raise _unexpected(f"command PDV on context {context} inside the command set on {self._command[0]}")
            self._command_pdvs += 1
            if self._command_pdvs > self._limits.command_fragments:
                raise _over(
                    "command set in too many PDVs",
                    "command_fragments",
                    self._limits.command_fragments,
                    self._command_pdvs,
                )
        elif self._receiving is None and self._command is None and context == self._unwanted:
            self._unwanted_begun = True
        elif self._receiving is None:
            detail = f"data PDV on context {context} where a command set is to begin or to go on"
            raise self._joined_fault() or _unexpected(detail)
        elif context != self._receiving:
            raise _unexpected(f"data PDV on context {context} inside the data set on {self._receiving}")
        if context not in self.agreement.contexts:
            raise Malformed(f"PDV on presentation context {context}, which is not accepted", "PS3.8 9.3.5.1")
        if fragment.data or fragment.last:
            self._empties = 0
        else:
            self._empties += 1
            if self._empties > self._limits.empty_pdvs:
                raise _over("too many PDVs without data in a row", "empty_pdvs", self._limits.empty_pdvs, self._empties)

    def _joined_fault(self, more: Buffer = b"") -> Malformed | None:
        """Returns the fault of a command PDV under way that goes on, with `more`, after the end that its group length
        gives; None if it does not."""
        if self._command is None:
            return None
        raw = self._command[1]
        end = end_of_set(raw[:GROUP_LENGTH_SIZE] + bytes(more[:GROUP_LENGTH_SIZE]))
        if end is None or end >= len(raw) + len(more) or end > self._limits.command_set:
            return None
        return _unexpected("command PDV that goes on after the end of the command set")

    def _decode(self, number: int, raw: Buffer) -> MessageStart:
        self._command_pdvs = 0
        if len(raw) > self._limits.command_set:
            raise _over("command set too long", "command_set", self._limits.command_set, len(raw))
        command, has_data = decode_command(raw, self._judge)
        fault = misplaced_data(command, has_data)
        if self._unwanted is not None or self._unwanted_begun:  # none has followed, or it is over
            self._unwanted, self._unwanted_begun = None, False
        if fault is not None:
            if not (has_data and self._judge.tolerates("unwanted_data_set", fault)):
                raise Malformed(fault, "PS3.7 E.1")
            has_data, self._unwanted = False, number
        if isinstance(command, DimseResponse):
            self._take_response(number, command)
        elif isinstance(command, DimseRequest):
            self._take_request(self.agreement.contexts[number], command)
        if has_data:
            self._receiving = number
        else:
            self.received += 1
        return MessageStart(context=number, command=command, has_data=has_data)

    def _take_request(self, context: PresentationContext, command: DimseRequest) -> None:
        number, name = command.message_id, command.NAME
        if number in self.owed:
            raise _unexpected(f"{name} with message id {number}, which is still in use", "PS3.7 9.1.1")
        window = self.agreement.perform or self._limits.outstanding
        if len(self.owed) >= window:
            raise Malformed(
                f"{name} beyond the operations window", "PS3.7 D.3.3.3", AbortReason.UNEXPECTED_PARAMETER,
                limit="window" if self.agreement.perform else "outstanding", seen=len(self.owed) + 1, allowed=window,
            )  # fmt: skip
        field = command.COMMAND_FIELD
        if not (context.scu if field == N_EVENT_REPORT else context.scp):
            detail = f"{name} on context {context.id} from a peer without that role"
            if not (
                (field == N_EVENT_REPORT and self._judge.tolerates("report_without_role", detail))
                or (field == C_STORE and self._getting and self._judge.tolerates("store_without_role", detail))
            ):
                raise _unexpected(detail, "PS3.7 D.3.3.4")
        self.owed[number] = (context.id, field)
        self.asked += 1

    def _take_response(self, context: int, command: DimseResponse) -> None:
        number = command.message_id_being_responded_to
        asked = self.sent.get(number)
        name = command.NAME
        if asked is None:
            raise _unexpected(f"{name} to message {number}, which is not outstanding", "PS3.7 9.1")
        if asked[1] != command.COMMAND_FIELD & ~RESPONSE_BIT:
            raise _unexpected(f"{name} to message {number}, whose command field was 0x{asked[1]:04X}", "PS3.7 9.1")
        if asked[0] != context:
            detail = f"{name} to message {number} on context {context}; it was sent on {asked[0]}"
            if not self._judge.tolerates("response_on_other_context", detail):
                raise _unexpected(detail, "PS3.7 9.1")
        if category(command.status) is not _PENDING:
            del self.sent[number]
            self.retrieving.pop(number, None)
        elif asked[1] not in _HAVE_PENDING:
            raise _unexpected(_no_pending(command), _NO_PENDING)


def _bytes_of(data: object) -> memoryview:
    """A view of the caller's data as bytes. The length of a memoryview counts items, so each must be one byte."""
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        raise LocalProtocolError(f"data in {type(data).__name__}; in bytes, or another buffer of bytes") from None
    if view.ndim != 1 or view.itemsize != 1 or not view.c_contiguous:
        raise LocalProtocolError("data in a buffer that is not a run of bytes; a memoryview of it, cast to 'B', is")
    return view


def _no_pending(command: DimseResponse) -> str:
    """The other services have one response each. A peer that answers pending could do so without end."""
    number = command.message_id_being_responded_to
    why = f"pending, which a {command.NAME.removesuffix('-RSP')} response cannot have"
    return f"{command.NAME} to message {number} with status 0x{command.status:04X}, {why}"


def _unexpected(detail: str, clause: str = "PS3.8 annex E") -> Malformed:
    return Malformed(detail, clause, AbortReason.UNEXPECTED_PARAMETER)


def _over(detail: str, limit: str, allowed: int, seen: int) -> Malformed:
    return Malformed(detail, "PS3.8 annex E", limit=limit, seen=seen, allowed=allowed)

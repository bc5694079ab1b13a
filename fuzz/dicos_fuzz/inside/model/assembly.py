"""Message assembly as PS3.8 annex E and PS3.7 6.3 describe it, in both directions of one established association.

Knows: which PDV may follow which, which request and response may come, what was agreed. Must not know: the engine,
PDUs, states, time. It accepts no deviation.
"""

from __future__ import annotations

from typing import Final

from dicos_proto.limits import Limits

from .bodies import Refused
from .commands import PENDING, data_fits, read_command
from .values import INVALID, UNEXPECTED_PARAMETER, Agreed, Message, Part, Pdv

__all__ = ["Assembly"]

_RESPONSE: Final = 0x8000
_CANCEL: Final = 0x0FFF
_REPORT: Final = 0x0100
_WITH_PENDING: Final = frozenset((0x0020, 0x0010, 0x0021))  # C-FIND, C-GET, C-MOVE
_RETRIEVES: Final = frozenset((0x0010, 0x0021))


class Assembly:
    """One side of an established association: what it may send, and what pieces of PDVs make."""

    def __init__(self, agreed: Agreed, limits: Limits) -> None:
        self.contexts = {number: (invoke, perform) for number, _, invoke, perform in agreed.contexts}
        self.agreed = agreed
        self.limits = limits
        self.sent: dict[int, tuple[int, int]] = {}
        """Requests sent without a final response: message id -> context, command field."""
        self.owed: dict[int, tuple[int, int]] = {}
        """Requests received without a final response."""
        self.sending: int | None = None
        """The context whose data set is being sent."""
        self.receiving: int | None = None
        """The context whose data set is being received."""
        self.command: tuple[int, bytes] | None = None
        """Context and bytes of a command set that is not complete."""
        self._pdvs = 0
        self._empty = 0

    @property
    def mid_message(self) -> bool:
        """True if a message of the peer has begun and is not complete."""
        return self.receiving is not None or self.command is not None

    @property
    def retrieving(self) -> bool:
        """True if a C-GET or C-MOVE was sent and has no final response."""
        return any(field in _RETRIEVES for _, field in self.sent.values())

    # -- in ------------------------------------------------------------------------------------------------------

    def receive(self, piece: Pdv) -> Message | Part | None:
        """Takes a piece. Returns the event that it makes, if any. Raises `Refused`."""
        if piece.start:
            self._begin(piece)
        if not piece.command:
            if not piece.data and not piece.last:
                return None
            if piece.last:
                self.receiving = None
            return Part(piece.context, piece.data, piece.last)
        raw = (self.command[1] if self.command else b"") + piece.data
        self.command = piece.context, raw
        if len(raw) > self.limits.command_set:
            raise Refused("command set too long", INVALID)
        if not piece.last:
            return None
        self.command, self._pdvs = None, 0
        message = read_command(piece.context, raw)
        self._take(message)
        if message.has_data:
            self.receiving = piece.context
        return message

    def _begin(self, piece: Pdv) -> None:
        """A PDV begins: the right kind, on the right context, with some progress."""
        if piece.command:
            if self.receiving is not None or (self.command is not None and self.command[0] != piece.context):
                raise Refused("command PDV inside another message", UNEXPECTED_PARAMETER)
            self._pdvs += 1
            if self._pdvs > self.limits.command_fragments:
                raise Refused("command set in too many PDVs", INVALID)
        elif self.receiving != piece.context:
            raise Refused("data PDV without a message on its context", UNEXPECTED_PARAMETER)
        if piece.context not in self.contexts:
            raise Refused(f"presentation context {piece.context}", INVALID)
        self._empty = 0 if piece.data or piece.last else self._empty + 1
        if self._empty > self.limits.empty_pdvs:
            raise Refused("too many PDVs without data", INVALID)

    def _take(self, message: Message) -> None:
        values = dict(message.values)
        if message.field & _RESPONSE:
            number = _int(values[0x0120])
            if self.sent.get(number) != (message.context, message.field & ~_RESPONSE):
                raise Refused("a response to nothing that is outstanding", UNEXPECTED_PARAMETER)
            if values[0x0900] not in PENDING:
                del self.sent[number]
            elif message.field & ~_RESPONSE not in _WITH_PENDING:
                raise Refused("pending", UNEXPECTED_PARAMETER)
        elif message.field != _CANCEL:
            number = _int(values[0x0110])
            window = self.agreed.perform or self.limits.outstanding
            invoke, perform = self.contexts[message.context]
            if number in self.owed or len(self.owed) >= window:
                raise Refused("message id in use, or too many operations", UNEXPECTED_PARAMETER)
            if not (invoke if message.field == _REPORT else perform):
                raise Refused("a request from a side without the role", UNEXPECTED_PARAMETER)
            self.owed[number] = message.context, message.field

    # -- out -----------------------------------------------------------------------------------------------------

    def may_send(self, message: Message) -> bool:
        """Returns True if the local user may send this now."""
        if self.sending is not None or message.context not in self.contexts:
            return False
        values = dict(message.values)
        if not data_fits(message.field, values.get(0x0900), message.has_data):
            return False
        if message.field & _RESPONSE:
            asked = message.context, message.field & ~_RESPONSE
            allowed = values[0x0900] not in PENDING or asked[1] in _WITH_PENDING
            return self.owed.get(_int(values[0x0120])) == asked and allowed
        if message.field == _CANCEL:
            return True
        invoke, perform = self.contexts[message.context]
        room = len(self.sent) < (self.agreed.invoke or self.limits.outstanding)
        role = perform if message.field == _REPORT else invoke
        return room and role and _int(values[0x0110]) not in self.sent

    def send(self, message: Message) -> None:
        """Takes note of a message that `may_send` allows."""
        values = dict(message.values)
        if message.field & _RESPONSE:
            if values[0x0900] not in PENDING:
                del self.owed[_int(values[0x0120])]
        elif message.field != _CANCEL:
            self.sent[_int(values[0x0110])] = message.context, message.field
        if message.has_data:
            self.sending = message.context

    def may_send_part(self, part: Part) -> bool:
        """Returns True if this is a piece of the data set that is being sent."""
        return self.sending == part.context

    def send_part(self, part: Part) -> None:
        """Takes note of a piece."""
        if part.last:
            self.sending = None


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value

"""Messages of the peer that have to wait while the local side waits for something else.

Knows: the cost of holding a message. Must not know: associations, the reason for the wait.

Invariants: the pieces of the message that is being read come before every message that waits; a message that waits is
dropped completely, from its start to its last piece; held data is copied, so that no receive buffer is kept, and
joined, so that no object is kept for each received byte.
"""

from __future__ import annotations

from collections import deque

from ..dimse.events import MessageData, MessageStart
from ..limits import OBJECT_COST

MessageEvent = MessageStart | MessageData
_JOINED = 4096
"""Small pieces that wait are joined up to this many bytes."""
_TAG_COST = 40
"""The cost of each tag in a list of a command set, which is four bytes on the wire."""
_ELEMENT_COST = 128
"""The cost of each unknown element of a command set beside its value, which is eight bytes on the wire."""


class Parking:
    """Pieces of the message that is being read, and messages that wait for their turn."""

    __slots__ = ("_most", "_open", "_size", "dropping", "messages", "pieces")

    def __init__(self, most: int) -> None:
        """`most`: the number of bytes that may be held."""
        self.pieces: deque[MessageData] = deque()
        """Pieces of the message that is being read, received meanwhile."""
        self.messages: deque[MessageEvent] = deque()
        """Messages that wait, each with its pieces after it."""
        self.dropping: MessageStart | None = None
        """The message that was too large to hold, while the rest of it arrives."""
        self._most = most
        self._open = False  # the last of `messages` is not complete yet
        self._size = 0  # the cost of everything that is held

    @property
    def full(self) -> bool:
        """True if more is held than may be."""
        return self._size > self._most

    def park(self, event: MessageEvent) -> MessageStart | None:
        """Holds an event, or drops the message that it belongs to if that is too large.

        Returns the start of a dropped message once its end has arrived."""
        if self.dropping is None and self.keep(event) and self.full:
            self._drop()
        ended = event.last if isinstance(event, MessageData) else not event.has_data
        if not ended or self.dropping is None:
            return None
        dropped, self.dropping = self.dropping, None
        return dropped

    def keep(self, event: MessageEvent) -> bool:
        """Hold an event. Returns True if it belongs to a message that waits, False for the one that is being read."""
        if isinstance(event, MessageStart):
            self.messages.append(event)
            self._size += _cost(event)
            self._open = event.has_data
            return True
        waits = self._open
        held: deque[MessageData] | deque[MessageEvent] = self.messages if waits else self.pieces
        before = held[-1] if held else None
        data = event.data
        if isinstance(before, MessageData) and not before.last and len(before.data) + len(data) <= _JOINED:
            self._size -= _cost(before)
            held.pop()
            joined = before.data if isinstance(before.data, bytearray) else bytearray(before.data)
            joined += data
            data = joined
        else:
            data = bytes(data)
        piece = MessageData(context=event.context, data=data, last=event.last)
        self._size += _cost(piece)
        if waits:
            self.messages.append(piece)
            self._open = not event.last
        else:
            self.pieces.append(piece)
        return waits

    def take_piece(self) -> MessageData:
        """The next one of `pieces`."""
        piece = self.pieces.popleft()
        self._size -= _cost(piece)
        return piece

    def take_message(self) -> MessageEvent:
        """The message that waits longest; its pieces become those of the message that is being read."""
        event = self.messages.popleft()
        self._size -= _cost(event)
        while self.messages and isinstance(piece := self.messages[0], MessageData):
            self.pieces.append(piece)
            self.messages.popleft()
        if not self.messages:
            self._open = False
        return event

    def _drop(self) -> None:
        """Give up the message that came last."""
        self._open = False
        while self.dropping is None:
            event = self.messages.pop()
            self._size -= _cost(event)
            if isinstance(event, MessageStart):
                self.dropping = event


def _cost(event: MessageEvent) -> int:
    if isinstance(event, MessageData):
        return OBJECT_COST + len(event.data)
    command = event.command
    tags = getattr(command, "attribute_identifier_list", None) or ()
    offending = getattr(command, "offending_element", None) or ()
    return (
        OBJECT_COST
        + _TAG_COST * (len(tags) + len(offending))
        + sum(_ELEMENT_COST + len(value) for _, value in command.other)
    )

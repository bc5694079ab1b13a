"""The sources of the data sets that are sent: whole, in pieces, or in pieces that the caller waits for.

Knows: pieces, and flows that run in turns. Must not know: which message they belong to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Final, Literal, TypeVar

from ..errors import ProtocolError
from ..wire import Buffer
from .flows import Flow

T = TypeVar("T")


class Lack(Enum):
    """The reason why there is no piece. A source must not yield None."""

    STARVED = auto()
    """The source has no piece now and is not at its end."""
    ENDED = auto()
    """The source is at its end."""


Starved = Literal[Lack.STARVED]
STARVED: Final = Lack.STARVED
Data = Buffer | Iterable[Buffer | Starved]
"""A data set to send: whole, or in pieces of any size, which are taken as the connection takes them. A source that has
no piece now and is not at its end yields `STARVED`; `PushSource` does."""


class PushSource:
    """A data set whose pieces the caller waits for: the source of a message, and a way to run its flow in turns.

    `PushSource.step` runs the flow until it needs the next piece, which `push` supplies; `end` ends the data set. In
    between, queued data is sent, but nothing is received: while a piece is awaited, a lost peer is not noticed.
    """

    __slots__ = ("_ended", "_pieces", "starved")

    def __init__(self) -> None:
        self._pieces: deque[Buffer] = deque()
        self._ended = False
        self.starved = False
        """True while a piece is wanted."""

    def __iter__(self) -> Iterator[Buffer | Starved]:
        return self

    def __next__(self) -> Buffer | Starved:
        if self._pieces:
            return self._pieces.popleft()
        if self._ended:
            raise StopIteration
        self.starved = True
        return STARVED

    def push(self, piece: Buffer) -> None:
        """The next piece. It is kept until it is sent."""
        self._pieces.append(piece)
        self.starved = False

    def end(self) -> None:
        """No piece follows."""
        self._ended = True
        self.starved = False

    def step(self, flow: Flow[T]) -> Flow[T | None]:
        """Run a flow that sends this data set until it is over, and return its result; None if it starves before.

        Call it again after each `push` or `end`, until `starved` is False. Raises what the flow raises.
        """
        try:
            need = next(flow)
            while not self.starved:
                try:
                    yield need
                except ProtocolError as fault:  # raised by the interpreter
                    need = flow.throw(fault)
                else:
                    need = next(flow)
        except StopIteration as done:
            result: T = done.value
            return result
        return None

"""Data sets that are received: piece by piece, held whole, or skipped.

Knows: pieces, limits. Must not know: the content of data sets, which services exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar, assert_never

from ..dimse.events import MessageData, MessageStart
from ..dimse.types import DimseResponse
from ..errors import LocalProtocolError, ProtocolError
from ..wire import Buffer
from .exchange import Exchange, Holder
from .flows import AssociationError, Flow, Need, Stream

_T = TypeVar("_T")

TOGETHER: Final = 128
"""Fragments of a data set that are taken together: those of one receive, unless they are tiny."""
SMALL: Final = 1024
"""Bytes of a fragment below which it is joined with its neighbours: a view and its place in a list take some 250 bytes,
and a peer may send one byte in each."""

WholeLimit = Literal["attributes", "collected"]
"""The fields of `Limits` that bound a data set that is held whole."""


class DataSetTooLong(ProtocolError):
    """A data set that was to be held whole is longer than allowed. It was skipped; the association is unchanged."""

    def __init__(self, limit: str, allowed: int, seen: int) -> None:
        super().__init__(limit, allowed, seen)
        self.limit, self.allowed, self.seen = limit, allowed, seen

    def __str__(self) -> str:
        return f"data set of {self.seen} bytes (limit {self.limit}: {self.allowed} allowed)"


class NoRoom(DataSetTooLong):
    """All associations together hold as much as they may: there is no room for this data set now."""

    def __str__(self) -> str:
        return "no room now for whole data sets (server limit: collected)"


def next_piece(exchange: Exchange) -> Flow[MessageData]:
    """The next piece of the data set that is being received; the end is the one with `last`.

    Raises as `Exchange.step` does; `LocalProtocolError` if no data set is being received.
    """
    if not exchange.unread:
        raise LocalProtocolError("a data set is read where none is being received [PS3.7 6.3]")
    while not isinstance(event := (yield from exchange.step()), MessageData):
        pass
    return event


def pieces(exchange: Exchange, start: MessageStart) -> Stream[Buffer]:
    """The rest of the data set of the message `start`, piece by piece as it arrives; small ones are joined.

    The data set is complete when the stream ends. A stream may be left while it waits: the next one continues where it
    was. Raises as `Exchange.step` does, after the pieces that came before; `LocalProtocolError` if `start` is not the
    message that was received last, because its data set has been skipped then, unless it was read.
    """
    joined: bytearray | None = None
    taken = 0  # fragments that are joined
    if start.has_data and exchange.reading is not start:
        raise LocalProtocolError(
            f"the data set of {start.command.NAME} is read when another message has been received: it was read or "
            "skipped before [PS3.7 6.3]"
        )
    while exchange.unread and exchange.reading is start:
        try:
            step = exchange.poll()
        except AssociationError:
            if joined:
                yield joined
                del joined
            raise
        if isinstance(step, MessageData):
            data = step.data
            if len(data) < SMALL and (joined is not None or not step.last):
                if joined is None:
                    joined, taken = bytearray(), 0
                joined += data
                data = b""
                taken += 1
                if taken < TOGETHER and not step.last:
                    continue
            del step  # a view of a receive buffer must not be kept during a wait
            if joined:
                yield joined
            joined = None
            if data:
                yield data
            del data
        elif isinstance(step, Need):
            if joined:
                yield joined
                joined = None
                if step is not Need.TURN:
                    continue
            yield step


def together(stream: Stream[_T], most: int = TOGETHER) -> Stream[list[_T]]:
    """The results of a stream in lists: of those that are there at the same time, up to `most`.

    It is not for `requests`, since the data set of a request is skipped when the next one is taken. Raises what the
    stream raises, after the results that came before."""
    found: list[_T] = []
    while True:
        try:
            step = next(stream, None)
        except AssociationError:
            if found:
                yield found
                del found
            raise
        if isinstance(step, Need):
            if not found:
                yield step
                continue
        elif step is not None:
            found.append(step)
            if len(found) < most:
                del step
                continue
        if found:
            yield found
            found = []
        if step is None:
            return
        if step is Need.TURN:
            yield step
        del step


def read_data(exchange: Exchange, limit: WholeLimit = "attributes", holder: Holder | None = None) -> Flow[bytes]:
    """The whole data set that is being received, if the field `limit` of `Limits` allows its length.

    `holder`: asked for room before each piece is held. Raises `DataSetTooLong` at the end of the data set, `NoRoom` if
    the holder has none, and what `next_piece` raises.
    """
    allowed = _allowed(exchange, limit)
    whole = bytearray()
    seen = 0
    room = True
    while exchange.unread:
        piece = yield from next_piece(exchange)
        size = len(piece.data)
        seen += size
        room = room and seen <= allowed and (holder is None or holder.hold(size))
        if room:
            whole += piece.data
        elif whole:
            whole.clear()
            if holder is not None:
                holder.let_go()
    if seen > allowed:
        raise DataSetTooLong(limit, allowed, seen)
    if not room:
        raise NoRoom(limit, allowed, seen)
    return bytes(whole)


def _allowed(exchange: Exchange, limit: WholeLimit) -> int:
    limits = exchange.association.terms.limits
    match limit:
        case "attributes":
            return limits.attributes
        case "collected":
            return limits.collected
        case _ as unreachable:
            assert_never(unreachable)


def skip_data(exchange: Exchange) -> Flow[None]:
    """Skips the rest of the data set that is being received, if there is one."""
    while exchange.unread:
        yield from next_piece(exchange)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response and its data set, if it has one: bytes in `transfer_syntax`, that of its context."""

    response: DimseResponse
    data: bytes | None
    transfer_syntax: str


def read_answer(exchange: Exchange, start: MessageStart) -> Flow[Answer]:
    """Returns the response `start` with its data set. Raises `DataSetTooLong`; TypeError if it is not a response."""
    if not isinstance(start.command, DimseResponse):
        raise TypeError(f"{start.command.NAME} is not a response")
    data = (yield from read_data(exchange)) if start.has_data else None
    syntax = exchange.association.contexts[start.context].transfer_syntax
    return Answer(response=start.command, data=data, transfer_syntax=syntax)

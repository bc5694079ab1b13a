"""Data sets that are received: piece by piece, held whole, or skipped.

Knows: pieces, limits. Must not know: the content of data sets, which services exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from ..dimse.events import MessageData, MessageStart
from ..dimse.types import DimseResponse
from ..errors import LocalProtocolError, ProtocolError
from .exchange import Exchange, Holder
from .flows import Flow

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

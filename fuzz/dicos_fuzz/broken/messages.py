"""Defects in messages: ids, contexts, answers that come too early, data that is not what was sent.

Knows: PDVs and command sets. Must not know: how they are listed (`defects`).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from dicos_proto.conversation.exchange import response_to
from dicos_proto.dimse.types import DimseResponse
from dicos_proto.errors import Malformed
from dicos_proto.registry import status
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, ContextResult, Pdv
from dicos_proto.wire import Wire
from dicos_transports.blocking import StoreRequest

from .hooks import Hooks
from .tap import MAX_LENGTH, Listener, Tap, joined, p_data_of, said

__all__ = ["ByteChanged", "EarlySuccess", "OverMaxLength", "SecondMessage", "WrongContext", "WrongMessageId"]

LONGEST: Final = 16 << 20
"""The longest P-DATA-TF that is taken, in bytes, where its length is not limited."""
UNHARMED: Final = 3
"""Fragments of a data set that arrive as they were sent."""


class OverMaxLength(Hooks):
    """The Maximum Length is announced and never compared: a P-DATA-TF of up to `LONGEST` bytes is taken."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that cuts long PDUs into shorter ones."""
        return _Shorter(wire)


class _Shorter(Tap):
    longest = {**Tap.longest, 4: LONGEST}  # noqa: RUF012  a constant

    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        if len(pdu) <= MAX_LENGTH:
            yield pdu
            return
        for pdv in p_data_of(pdu):
            yield from map(joined, _pieces(pdv))


def _pieces(pdv: Pdv) -> Iterable[tuple[Pdv]]:
    piece = MAX_LENGTH - 6
    data = bytes(pdv.data)
    for at in range(0, len(data), piece):
        yield (replace(pdv, data=data[at : at + piece], last=pdv.last and at + piece >= len(data)),)


class WrongMessageId(Hooks):
    """Message ids are kept in one byte."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that changes responses."""
        return _OneByte(wire)


class _OneByte(Tap):
    def outgoing(self, pdu: bytes) -> Iterable[bytes]:
        for pdv in p_data_of(pdu):
            listener = Listener()
            command = listener.hear(pdv)
            if isinstance(command, DimseResponse):
                number = command.message_id_being_responded_to & 0xFF
                changed = replace(command, message_id_being_responded_to=number)
                return (said(pdv.context, changed, has_data=listener.in_data),)
        return (pdu,)


class WrongContext(Hooks):
    """Every message goes out on the first context that was accepted."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that changes the context of PDVs."""
        return _FirstContext(wire)


class _FirstContext(Tap):
    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._first: int | None = None

    def outgoing(self, pdu: bytes) -> Iterable[bytes]:
        if pdu[0] == 2:
            self._first = _first_accepted(pdu)
        pdvs = p_data_of(pdu)
        first = self._first
        if not pdvs or first is None:
            return (pdu,)
        return (joined(replace(pdv, context=first) for pdv in pdvs),)


def _first_accepted(pdu: bytes) -> int | None:
    try:
        accept = decode(pdu)
    except Malformed:
        return None
    if not isinstance(accept, AssociateAccept):
        return None
    return next((one.id for one in accept.contexts if one.result == ContextResult.ACCEPTANCE), None)


class EarlySuccess(Hooks):
    """A C-STORE is answered by success before its data set has come."""

    def storing(self, request: StoreRequest) -> None:
        """Answers at once."""
        session = request.session
        session.exchange.reply(response_to(request.start, status.SUCCESS))
        session.driver.flush()


class ByteChanged(Hooks):
    """The first byte of a fragment of a data set is inverted, from the fourth fragment on."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that changes data."""
        return _Inverted(wire)


class _Inverted(Tap):
    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._fragments = 0

    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        pdvs = p_data_of(pdu)
        return (joined(map(self._changed, pdvs)),) if pdvs else (pdu,)

    def _changed(self, pdv: Pdv) -> Pdv:
        if pdv.command:
            self._fragments = 0
            return pdv
        self._fragments += 1
        data = bytes(pdv.data)
        if self._fragments <= UNHARMED or not data:
            return pdv
        return replace(pdv, data=bytes((data[0] ^ 0xFF,)) + data[1:])


class SecondMessage(Hooks):
    """PDVs behind the end of a message in the same P-DATA-TF are lost."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that drops them."""
        return _OneMessage(wire)


class _OneMessage(Tap):
    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._hears = Listener()

    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        kept: list[Pdv] = []
        for pdv in p_data_of(pdu):
            kept.append(pdv)
            self._hears.hear(pdv)
            if pdv.last and not self._hears.in_data:
                break
        return (joined(kept),) if kept else (pdu,)

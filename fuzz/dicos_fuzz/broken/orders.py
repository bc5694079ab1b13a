"""Defects that only a certain order of messages shows. Each of the messages alone is answered as it should be.

Knows: the messages of one association, and what one association leaves for the next. Must not know: how they are listed
(`defects`).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from dataclasses import replace

from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindResponse,
    Command,
    CStoreRequest,
)
from dicos_proto.registry import status
from dicos_proto.registry.status_tables import Category
from dicos_proto.wire import Wire

from .hooks import Hooks
from .tap import Listener, Tap, p_data_of, said

__all__ = ["AfterReject", "CancelThenStore", "EchoStoreAbort"]


class _Heard(Tap):
    """A tap that follows the messages of both directions."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self.hears, self.says = Listener(), Listener()

    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        for pdv in p_data_of(pdu):
            command = self.hears.hear(pdv)
            if command is not None:
                self.heard(command, pdv.context)
        return (pdu,)

    def outgoing(self, pdu: bytes) -> Iterable[bytes]:
        for pdv in p_data_of(pdu):
            command = self.says.hear(pdv)
            if command is not None:
                self.answered(command, pdv.context)
        return (pdu,)

    def heard(self, command: Command, context: int) -> None:
        """A whole command set was received."""

    def answered(self, command: Command, context: int) -> None:
        """A whole command set goes out."""


class CancelThenStore(Hooks):
    """A C-CANCEL for a C-FIND that is answered already, then a C-STORE on another context: the association hangs."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that waits for this order."""
        return _Cancelled(wire, self)


class _Cancelled(_Heard):
    def __init__(self, wire: Wire, hooks: Hooks) -> None:
        super().__init__(wire)
        self._hooks = hooks
        self._finished: dict[int, int] = {}  # message id of a finished C-FIND -> context
        self._cancelled: int | None = None  # the context of the one that was cancelled too late

    def heard(self, command: Command, context: int) -> None:
        match command:
            case CCancelRequest(message_id_being_responded_to=number):
                self._cancelled = self._finished.get(number)
            case CStoreRequest() if self._cancelled not in (None, context):
                self._hooks.over.wait()

    def answered(self, command: Command, context: int) -> None:
        match command:
            case CFindResponse(message_id_being_responded_to=number, status=code):
                if status.category(code) is not Category.PENDING and len(self._finished) < 256:
                    self._finished[number] = context


class AfterReject(Hooks):
    """The first C-ECHO of the association after a rejected one gets the status 0x0110, processing failure."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._rejected = False

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that looks for rejections."""
        return _Rejected(wire, self)

    def note(self, *, rejected: bool) -> bool:
        """Notes the answer to an A-ASSOCIATE-RQ. Returns True if the one before it was a rejection."""
        with self._lock:
            before, self._rejected = self._rejected, rejected
        return before


class _Rejected(Tap):
    def __init__(self, wire: Wire, hooks: AfterReject) -> None:
        super().__init__(wire)
        self._hooks = hooks
        self._spoilt = False

    def outgoing(self, pdu: bytes) -> Iterable[bytes]:
        if pdu[0] in (2, 3):
            self._spoilt = self._hooks.note(rejected=pdu[0] == 3)
        for pdv in p_data_of(pdu):
            command = Listener().hear(pdv)
            if self._spoilt and isinstance(command, CEchoResponse):
                self._spoilt = False
                return (said(pdv.context, replace(command, status=status.PROCESSING_FAILURE)),)
        return (pdu,)


class EchoStoreAbort(Hooks):
    """An A-ABORT within the data set of a C-STORE loses the slot, but only if a C-ECHO came before the C-STORE."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that waits for this order."""
        return _Aborted(wire)

    def ended(self, wire: Wire | None, fault: BaseException | None) -> bool:
        """Keeps the slot."""
        return not (isinstance(wire, _Aborted) and wire.lost)


class _Aborted(_Heard):
    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._echoed = False
        self.lost = False

    def heard(self, command: Command, context: int) -> None:
        self._echoed = self._echoed or isinstance(command, CEchoRequest)

    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        storing = self.hears.in_data and isinstance(self.hears.command, CStoreRequest)
        self.lost = self.lost or (pdu[0] == 7 and storing and self._echoed)
        return super().incoming(pdu)

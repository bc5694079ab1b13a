"""The places of the provider at which a defect hooks in. The base class does nothing there: the provider without one.

Knows: the names and the order of the places. Must not know: which defects exist, how the provider serves.

One `Hooks` object belongs to one provider, whose connections run in threads of their own: what they share is changed
by simple assignments, or under a lock of the defect's own.
"""

from __future__ import annotations

import signal
import socket
import threading
from typing import NoReturn

from dicos_proto.wire import Wire
from dicos_transports.blocking import StoreRequest

__all__ = ["Hooks", "crash"]


class Hooks:
    """A provider without a defect. A subclass overrides the places where its defect shows."""

    def __init__(self) -> None:
        self.over = threading.Event()
        """Set when the provider closes: a thread that hangs on purpose waits for this."""

    def arriving(self, sock: socket.socket) -> None:
        """A connection was accepted. This runs in the accepting thread, before the connection has a thread."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """Returns the wire that is carried over the connection: `wire`, or one around it."""
        return wire

    def storing(self, request: StoreRequest) -> None:
        """A C-STORE-RQ was received. Its data set was not read yet."""

    def stored(self, data: bytes, transfer_syntax: str) -> bool:
        """The whole data set of a C-STORE was received. Returns True if it is to be checked before it is kept."""
        return True

    def ended(self, wire: Wire | None, fault: BaseException | None) -> bool:
        """A connection is over: `wire` is what `wire` returned, `fault` the exception that ended it. Returns True if
        its slot is free again."""
        return True


def crash() -> NoReturn:
    """Ends the process as a fault of memory would: by SIGSEGV."""
    signal.raise_signal(signal.SIGSEGV)  # of this thread: it does not run on until another one is ended
    raise AssertionError("the process outlives a SIGSEGV")

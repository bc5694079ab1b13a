"""One connection of a client: TCP and TLS first, the association later, as the original divides them.

Theory of operation: `open` connects and, for TLS, makes the handshake around a wire that has nothing to say yet.
`begin` puts the association into its place and asks for it on the same connection. One thread at a time may use it.

Knows: the blocking adapter. Must not know: objects, the original's names.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Unpack

from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.errors import ConnectionLost, ProtocolError
from dicos_proto.timers import Deadline, Timeouts
from dicos_proto.upper_layer.pdu_types import ProposedContext
from dicos_proto.wire import Buffer, Wire

from ..blocking import Session, connect
from ..blocking.driver import Driver, dial
from ..options import ConnectOptions
from ..sessions.base import ConnectionFailed
from ..sessions.finished import finished

if TYPE_CHECKING:
    from ..tls.layer import ClientTLS, TLSLayer

__all__ = ["Line"]


class _Later:
    """The wire inside TLS: it has nothing to say until the association is there."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self._ended: tuple[ConnectionLost | None] | None = None

    def begin(self, wire: Wire) -> None:
        """From now on everything goes to and comes from `wire`."""
        self.wire = wire
        if self._ended is not None:
            wire.receive_eof(*self._ended)

    @property
    def wants_read(self) -> bool:
        return self._ended is None if self.wire is None else self.wire.wants_read

    @property
    def wants_close(self) -> bool:
        return self._ended is not None if self.wire is None else self.wire.wants_close

    def receive_data(self, data: Buffer) -> None:
        if self.wire is not None:  # what a server says before it is asked does not belong to an association
            self.wire.receive_data(data)

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        if self.wire is None:
            self._ended = (why,)
        else:
            self.wire.receive_eof(why)

    def data_to_send(self) -> list[bytes | memoryview]:
        return [] if self.wire is None else self.wire.data_to_send()

    def deadline(self, now: float) -> Deadline | None:
        return None if self.wire is None else self.wire.deadline(now)

    def handle_timeout(self, now: float) -> None:
        if self.wire is not None:
            self.wire.handle_timeout(now)


class Line:
    """A connection to a server, on which one association is asked for. Made by `Line.open`."""

    def __init__(self, sock: socket.socket, later: _Later | None, layer: TLSLayer | None) -> None:
        self._sock: socket.socket | None = sock
        self._later = later
        self.layer = layer

    @classmethod
    def open(cls, host: str, port: int, *, source: str | None, tls: ClientTLS | None, timeouts: Timeouts) -> Line:
        """Connects, from the address `source` if there is one, and makes the TLS handshake. Raises
        `ConnectionFailed`."""
        sock = dial((host, port), timeouts, source)
        try:
            if tls is None:
                return cls(sock, None, None)
            from ..tls.layer import TLSLayer

            later = _Later()
            layer = TLSLayer(later, tls, server_hostname=host)
            finished(Driver(sock, layer, timeouts).run(_shaken(layer)))
        except ProtocolError as error:
            sock.close()
            raise ConnectionFailed(str(error)) from error
        except BaseException:
            sock.close()
            raise
        return cls(sock, later, layer)

    @property
    def waiting(self) -> bool:
        """True until the association is asked for."""
        return self._sock is not None

    def begin(self, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]) -> Session:
        """Asks for the association, which owns the connection from now on. Raises as `connect` does."""
        sock, self._sock = self._sock, None
        if sock is None:
            raise ConnectionFailed("the connection was used for another session; connect again")
        if self._later is not None:
            options["wrap"] = self._adopt
        return connect(sock, contexts, **options)

    def _adopt(self, association: Wire) -> Wire:
        assert self._later is not None
        assert self.layer is not None
        self._later.begin(association)
        return self.layer

    def close(self) -> None:
        """Closes a connection on which no association was asked for."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _shaken(layer: TLSLayer) -> Flow[None]:
    """Waits for the end of the handshake. Raises `TLSError`."""
    while layer.info is None:
        if layer.error is not None and not layer.wants_read:
            raise layer.error
        yield Need.INPUT

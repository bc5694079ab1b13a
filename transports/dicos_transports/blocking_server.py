"""`serve`: many associations at once over blocking sockets, a thread for each, within limits, until it is stopped.

A connection waits in a slot of its own kind until its A-ASSOCIATE-RQ is accepted, so that silent strangers take none of
the slots for associations; when these waiting slots are full, the connection that has waited longest makes room. The
accepting thread never reads from a connection: nobody's handshake keeps another one waiting.

Stopping: no new connections; an association that waits for a request is aborted at once, one in the middle of an
operation when that is answered, all others when the grace period ends.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from dicos_proto import flows
from dicos_proto.association import Association
from dicos_proto.errors import ProtocolError
from dicos_proto.events import Closed
from dicos_proto.limits import Limits
from dicos_proto.negotiation import AcceptPolicy
from dicos_proto.pdu_types import AssociateReject, RejectResult, RejectSource
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance

from .blocking import Session, session_over
from .channel import ServerStopping, Trace
from .session import Address, check_port, said, show_address, tls_around

if TYPE_CHECKING:
    from .tls import ServerTLS

LOG: Final = logging.getLogger("dicos.server")
GRACE: Final = 10.0
"""Seconds that operations get to finish when a server is stopped."""
AFTER_KILL: Final = 5.0
"""Seconds that handlers get to return once all their waits have ended."""
BACKLOG: Final = 128
_OUT_OF_SOMETHING = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_BREATHER_MS = 50  # before accepting goes on when the system is out of something
_FULL = AssociateReject(result=RejectResult.TRANSIENT, source=RejectSource.PRESENTATION, reason=2)

Handler = Callable[[Session], None]


class ListenFailed(ProtocolError):
    """The address cannot be listened on; one line says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """How many a server serves at once."""

    associations: int = 100
    """Established associations. One more is rejected for now (2/3/2). Stops: threads without end."""
    per_address: int = 10
    """Of these, from one network address. Stops: one peer that takes all of them."""
    pending: int = 100
    """Connections without an association yet. Beyond it the oldest is closed. Stops: silent connections."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"limit {name} of {getattr(self, name)}; at least 1")


def serve(
    where: Address | socket.socket,
    handler: Handler,
    *,
    policy: AcceptPolicy,
    limits: Limits = Limits(),  # noqa: B008  frozen values
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    tolerance: Tolerance = STRICT,
    server_limits: ServerLimits = ServerLimits(),
    tls: ServerTLS | None = None,
    trace: Callable[[str], Trace] | None = None,
) -> Server:
    """Serve associations in threads of their own; each calls `handler` with its `Session`.

    `where`: (host, port), port 0 takes a free one; or a listening socket; or a connected one, whose association is then
    the only one. Sockets are then owned. `tolerance`: what of the peers' deviations is let through; each that comes is
    logged as a warning, once for an association. `tls`: over TLS, and how; handshakes happen in the associations' own
    threads. `trace`: makes of a peer's address what watches its bytes, with TLS as they are inside it. What happens is
    logged to "dicos.server", a line each: never content, never text of a peer unescaped.

    Raises `ListenFailed`.
    """
    server = Server(handler, policy, limits, timeouts, tolerance, server_limits, tls, trace)
    if isinstance(where, socket.socket):
        if where.type & socket.SOCK_STREAM and where.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            server.listen(where)
        else:
            server.take(where)
    else:
        server.listen(_listener(where))
    return server


def _listener(where: Address) -> socket.socket:
    host, port = where
    try:
        check_port(port)
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
        except BaseException:
            sock.close()
            raise
    except (OSError, UnicodeError, OverflowError) as error:
        raise ListenFailed(f"cannot listen on {show_address(where)}: {said(error)}") from error
    return sock


class _Connection:
    """One connection and its thread."""

    __slots__ = ("evicted", "host", "peer", "since", "sock", "thread")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.since = monotonic()
        self.evicted = False
        self.thread: threading.Thread | None = None
        try:
            address = sock.getpeername()
        except OSError:
            address = ""
        self.peer = show_address(address)
        self.host = str(address[0]) if isinstance(address, tuple) else ""


class Server:
    """Made by `serve`. A context manager: left, it stops and waits for what is still going on."""

    def __init__(
        self,
        handler: Handler,
        policy: AcceptPolicy,
        limits: Limits,
        timeouts: Timeouts,
        tolerance: Tolerance,
        server_limits: ServerLimits,
        tls: ServerTLS | None,
        trace: Callable[[str], Trace] | None,
    ) -> None:
        self._handler = handler
        self._policy = policy
        self._limits = limits
        self._timeouts = timeouts
        self._tolerance = tolerance
        self._server_limits = server_limits
        self._tls = tls
        self._trace = trace
        self._lock = threading.Lock()
        self._pending: dict[_Connection, None] = {}  # in the order in which they came
        self._active: dict[_Connection, None] = {}
        self._leaving: dict[_Connection, None] = {}  # evicted, their threads not yet done
        self._hosts: Counter[str] = Counter()
        self._quiet = threading.Condition(self._lock)
        self._accepting: threading.Thread | None = None
        self._listening_on: object = None  # an address as sockets have it; None: it never listens
        self._stop, self._stop_bell = os.pipe()
        self._kill, self._kill_bell = os.pipe()
        os.set_blocking(self._stop_bell, False)
        self._closed = False
        self.served = 0
        """Associations accepted so far."""

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """What it listens on: `127.0.0.1:11112`."""
        return "one connection" if self._listening_on is None else show_address(self._listening_on)

    @property
    def port(self) -> int:
        """The port it listens on. Raises ValueError where it has none."""
        if not isinstance(self._listening_on, tuple):
            raise ValueError("a server without a port")
        return int(self._listening_on[1])

    @property
    def over_tls(self) -> bool:
        """Whether its associations are over TLS."""
        return self._tls is not None

    @property
    def associations(self) -> int:
        """Associations established now."""
        return len(self._active)

    @property
    def pending(self) -> int:
        """Connections that have no association yet."""
        return len(self._pending)

    # -- the end -------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask it to stop. Returns at once; may be called from a signal handler, and again."""
        if not self._closed:
            with suppress(BlockingIOError):  # it has been rung often enough
                os.write(self._stop_bell, b"x")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it was stopped, or its one connection is over, and no thread is left; whether that is so."""
        until = None if timeout is None else monotonic() + timeout
        if self._accepting is not None:
            self._accepting.join(timeout)
            if self._accepting.is_alive():
                return False
        with self._quiet:
            return self._quiet.wait_for(
                lambda: not (self._pending or self._active or self._leaving),
                None if until is None else max(0.0, until - monotonic()),
            )

    def close(self, grace: float = GRACE) -> None:
        """Stop; let operations finish for `grace` seconds, then abort what is left, and wait for it."""
        if self._closed:
            return
        self.stop()
        if not self.wait(grace):
            os.write(self._kill_bell, b"x")
            with self._lock:
                left = [*self._pending, *self._active, *self._leaving]
            LOG.warning("%d associations did not finish within %g s and are aborted", len(left), grace)
            if not self.wait(AFTER_KILL):
                LOG.error("%d handlers do not return; their threads are left behind", len(self._active))
                return  # their descriptors are still in use
        self._closed = True
        for fd in (self._stop, self._stop_bell, self._kill, self._kill_bell):
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- accepting -----------------------------------------------------------------------------------------------

    def listen(self, listener: socket.socket) -> None:
        """Accept from `listener` in a thread of its own."""
        listener.setblocking(False)
        self._listening_on = listener.getsockname()
        name = f"accept {self.address}"
        self._accepting = threading.Thread(target=self._accept_all, args=(listener,), name=name, daemon=True)
        self._accepting.start()

    def take(self, sock: socket.socket) -> None:
        """Serve this connection, which is then owned, in a thread of its own."""
        connection = _Connection(sock)
        with self._lock:
            if len(self._pending) >= self._server_limits.pending:
                self._evict()
            self._pending[connection] = None
        thread = threading.Thread(target=self._serve, args=(connection,), name=connection.peer, daemon=True)
        connection.thread = thread
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads
            LOG.error("%s: closed: %s", connection.peer, error)
            self._forget(connection)
            sock.close()

    def _accept_all(self, listener: socket.socket) -> None:
        waiting = select.poll()
        waiting.register(listener, select.POLLIN)
        waiting.register(self._stop, select.POLLIN)
        short = False
        with listener:
            while True:
                if any(fd == self._stop for fd, _ in waiting.poll()):
                    return
                try:
                    sock, _ = listener.accept()
                except OSError as error:
                    if error.errno in _OUT_OF_SOMETHING:
                        if not short:
                            LOG.error("cannot accept connections for now: %s", said(error))
                        short = True
                        with self._lock:
                            self._evict()
                        stop = select.poll()
                        stop.register(self._stop, select.POLLIN)
                        stop.poll(_BREATHER_MS)
                    continue  # else it is gone again already
                short = False
                self.take(sock)

    def _evict(self) -> None:
        """Make room: the connection that has waited longest for its association is closed."""
        for connection in self._pending:
            connection.evicted = True
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)  # its thread sees the end and cleans up
            del self._pending[connection]
            self._leaving[connection] = None
            return

    # -- one connection, in its thread ---------------------------------------------------------------------------

    def _serve(self, connection: _Connection) -> None:
        association = Association.acceptor(limits=self._limits, timeouts=self._timeouts, tolerance=self._tolerance)
        peer = connection.peer
        told = 0
        clean = False
        try:
            trace = self._trace(peer) if self._trace is not None else None
            layer = tls_around(association, self._tls, None, trace)
            with session_over(
                connection.sock, association, layer, self._timeouts, trace=trace, stop=self._stop, kill=self._kill
            ) as session:
                if self._establish(connection, session):
                    told = self._tell(peer, association)
                    self._handler(session)
        except ServerStopping:
            LOG.info("%s: aborted: the server is stopping", peer)
        except flows.AssociationError as error:
            if connection.evicted:
                waited = monotonic() - connection.since
                LOG.warning("%s: closed after %.1f s without an association, to make room", peer, waited)
            elif isinstance(error, flows.AssociationAborted) and error.event == Closed():
                LOG.info("%s: closed by the peer without an A-ASSOCIATE-RQ", peer)
            else:
                LOG.warning("%s: %s", peer, error)
        except Exception:  # a handler's own fault ends its association and no other one
            LOG.exception("%s: the handler failed; the association is aborted", peer)
        else:
            clean = True
        finally:
            connection.sock.close()
            self._tell(peer, association, told)
            self._forget(connection)
        if clean:
            LOG.debug("%s: closed", peer)  # and its slot is free

    def _tell(self, peer: str, association: Association, told: int = 0) -> int:
        """Log the deviations let through after the first `told`; how many there are."""
        for deviation in association.deviations[told:]:
            LOG.warning("%s: %s", peer, deviation)
        return len(association.deviations)

    def _establish(self, connection: _Connection, session: Session) -> bool:
        """Answer the A-ASSOCIATE-RQ; whether it was accepted."""
        association = session.association
        request = session.driver.run(flows.await_request(association), interruptible=True)
        titles = f"{connection.peer}: {request.calling_aet!a} calls {request.called_aet!a}"
        full = self._admit(connection)
        if full is not None:
            LOG.warning("%s: rejected: limit %s reached", titles, full)
            session.run(flows.reject(association, _FULL))
            return False
        refused = session.layer.refusal(request) if session.layer is not None else None
        if refused is not None:
            owner = session.tls.subject if session.tls is not None else ""
            LOG.warning("%s: rejected: not a title of the certificate of %a", titles, owner)
            session.run(flows.reject(association, refused))
            return False
        answer = session.run(flows.answer_request(association, request, self._policy))
        if isinstance(answer, AssociateReject):
            LOG.warning("%s: %s", titles, answer)
            return False
        proposed = len(request.contexts)
        over = f", {session.tls}" if session.tls is not None else ""
        LOG.info("%s: association accepted, %d of %d contexts%s", titles, len(session.contexts), proposed, over)
        self.served += 1
        return True

    def _admit(self, connection: _Connection) -> str | None:
        """Move a connection from waiting to active; the limit that is in the way, if one is."""
        limits = self._server_limits
        with self._lock:
            if connection.evicted:
                return "pending"
            if len(self._active) >= limits.associations:
                return "associations"
            if connection.host and self._hosts[connection.host] >= limits.per_address:
                return "per_address"
            del self._pending[connection]
            self._active[connection] = None
            self._hosts[connection.host] += 1
            return None

    def _forget(self, connection: _Connection) -> None:
        with self._quiet:
            self._pending.pop(connection, None)
            self._leaving.pop(connection, None)
            if connection in self._active:
                del self._active[connection]
                self._hosts[connection.host] -= 1
                if not self._hosts[connection.host]:
                    del self._hosts[connection.host]
            self._quiet.notify_all()

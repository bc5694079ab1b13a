"""`serve`: many associations at once over blocking sockets, a thread for each, within limits, until it is stopped.

The accepting thread never reads from a connection: nobody's handshake keeps another one waiting. Who is let in, and
what is logged and counted: `serving`.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dicos_proto.conversation import flows
from dicos_proto.limits import Limits
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityVerdict

from ..addresses import KEEPALIVE, Listeners, ListenFailed, Listening, is_listening, keep_alive
from ..serving.admission import CURRENT
from ..serving.reception import (
    AFTER_KILL,
    BREATHER,
    GRACE,
    LOG,
    OUT_OF_SOMETHING,
    BaseServer,
    Connection,
    Identify,
    ServerLimits,
    Serving,
    verdict_of,
)
from ..sessions.base import tls_around
from ..sessions.channel import ServerStopping, Trace
from .adapter import Session, session_over

if TYPE_CHECKING:
    from ..tls.layer import ServerTLS

__all__ = ["LOG", "Handler", "ListenFailed", "Server", "ServerLimits", "serve"]

Handler = Callable[[Session], None]


def serve(
    where: Listening,
    handler: Handler,
    *,
    policy: AcceptPolicy,
    limits: Limits = Limits(),  # noqa: B008  frozen values
    timeouts: Timeouts = Timeouts(),  # noqa: B008
    tolerance: Tolerance = STRICT,
    server_limits: ServerLimits = ServerLimits(),  # noqa: B008
    tls: ServerTLS | None = None,
    identify: Identify | None = None,
    reuse_port: bool = False,
    keepalive: float | None = KEEPALIVE,
    trace: Callable[[str], Trace] | None = None,
) -> Server:
    """Serve associations in threads of their own; each calls `handler` with its `Session`.

    `where`: (host, port) or "host:port", port 0 takes a free one; the path of a Unix socket; a listening socket; a list
    of such; or a connected socket, whose association is then the only one. Sockets are then owned. `tolerance`: what of
    the peers' deviations is let through; each that comes is logged as a warning, once for an association. `tls`: over
    TLS, and how; handshakes happen in the associations' own threads. `identify`: what the user identity of a request is
    worth, instead of what the policy says. `reuse_port`: other processes may listen on the same port. `keepalive`: as
    in `connect`. `trace`: makes of a peer's address what watches its bytes, with TLS as they are inside it. What
    happens is logged to "dicos.server", a line each: never content, never text of a peer unescaped.

    Raises `ListenFailed`.
    """
    told = Serving(
        policy=policy,
        limits=limits,
        timeouts=timeouts,
        tolerance=tolerance,
        server_limits=server_limits,
        tls=tls,
        trace=trace,
        keepalive=keepalive,
    )
    if isinstance(where, socket.socket) and not is_listening(where):
        server = Server(handler, told, identify)
        server.take(where)
        return server
    listeners = Listeners(where, reuse_port=reuse_port)  # before the server has descriptors of its own
    server = Server(handler, told, identify)
    server.listen(listeners)
    return server


class Server(BaseServer):
    """Made by `serve`. A context manager: left, it stops and waits for what is still going on."""

    def __init__(self, handler: Handler, serving: Serving, identify: Identify | None) -> None:
        super().__init__(serving)
        self._handler = handler
        self._identify = identify
        self._accepting: threading.Thread | None = None
        self._stop, self._stop_bell = os.pipe()
        self._kill, self._kill_bell = os.pipe()
        os.set_blocking(self._stop_bell, False)
        self._closed = False

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
        reception = self._reception
        with reception.quiet:
            return reception.quiet.wait_for(
                lambda: not reception.slots, None if until is None else max(0.0, until - monotonic())
            )

    def close(self, grace: float = GRACE) -> None:
        """Stop; let operations finish for `grace` seconds, then abort what is left, and wait for it."""
        if self._closed:
            return
        self.stop()
        if not self.wait(grace):
            self._reception.tell_killed(grace)
            os.write(self._kill_bell, b"x")
            if not self.wait(AFTER_KILL):
                LOG.error("%d handlers do not return; their threads are left behind", self.associations)
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

    def listen(self, listeners: Listeners) -> None:
        """Accept from them in a thread of its own."""
        self._listening_on = listeners.names
        name = f"accept {self.address}"
        self._accepting = threading.Thread(target=self._accept_all, args=(listeners,), name=name, daemon=True)
        self._accepting.start()

    def take(self, sock: socket.socket) -> None:
        """Serve this connection, which is then owned, in a thread of its own."""
        keep_alive(sock, self._serving.keepalive)
        connection = Connection.over(sock)

        def stop() -> None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # its thread sees the end and cleans up

        connection.stop = stop
        self._reception.arrive(connection)
        thread = threading.Thread(target=self._serve, args=(connection, sock), name=connection.peer, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads
            sock.close()
            self._reception.tell_unserved(connection, error)

    def _accept_all(self, listeners: Listeners) -> None:
        waiting = select.poll()
        by_fd = {sock.fileno(): sock for sock in listeners.sockets}
        for fd in (*by_fd, self._stop):
            waiting.register(fd, select.POLLIN)
        short = False
        try:
            while True:
                ready = [fd for fd, _ in waiting.poll()]
                if self._stop in ready:
                    return
                for fd in ready:
                    try:
                        sock, _ = by_fd[fd].accept()
                    except OSError as error:
                        if error.errno in OUT_OF_SOMETHING:
                            self._breathe(error, told=short)
                            short = True
                        continue  # else it is gone again already
                    short = False
                    self.take(sock)
        finally:
            listeners.close()

    def _breathe(self, error: OSError, *, told: bool) -> None:
        """The system is out of something: make room, and do not try again at once."""
        if not told:
            self._reception.tell_out_of(error)
        self._reception.make_room()
        stop = select.poll()
        stop.register(self._stop, select.POLLIN)
        stop.poll(BREATHER * 1000)

    # -- one connection, in its thread ---------------------------------------------------------------------------

    def _serve(self, connection: Connection, sock: socket.socket) -> None:
        reception, serving = self._reception, self._serving
        association = serving.association()
        fault: BaseException | None = None
        CURRENT.set(connection)
        try:
            trace = serving.tracing(connection.peer)
            layer = tls_around(association, serving.tls, None, trace)
            with session_over(
                sock, association, layer, serving.timeouts, trace=trace, stop=self._stop, kill=self._kill
            ) as session:
                connection.session = session
                session.count_by(reception.holding(connection))
                try:
                    if self._establish(connection, session):
                        self._handler(session)
                    else:
                        try:
                            session.driver.run(flows.finish(association), interruptible=True)
                        finally:
                            session.close()  # whatever ends the wait: the rejection is all there is to say
                except ServerStopping:
                    if association.state is not State.Sta13:
                        raise
                    session.close()  # it is released, and was only waited for the peer to close
        except Exception as error:  # a handler's own fault ends its association and no other one
            fault = error
        finally:
            sock.close()
            try:
                reception.end(connection, fault, association)
            finally:
                del fault  # its traceback has this frame, and those that hold what was received

    def _establish(self, connection: Connection, session: Session) -> bool:
        """Answer the A-ASSOCIATE-RQ; whether it was accepted."""
        reception = self._reception
        request = session.driver.run(flows.await_request(session.association), interruptible=True)
        if not reception.admit(connection, session, request):
            return False
        identity: IdentityVerdict | None = None
        if self._identify is not None:
            driver = session.driver
            driver.due(monotonic())  # from now on the peer waits for the answer
            fault: Exception | None = None
            try:
                identity = verdict_of(self._identify(request))
            except Exception as error:  # out of the caller's function: it rejects this one for now, and ends no server
                fault = error
            driver.check_time()  # nobody has looked at the connection meanwhile
            if (event := driver.run(flows.look(session.association))) is not None:
                driver.run(flows.end_by(session.association, event), interruptible=True)
            if fault is not None:
                try:
                    reception.undecided(connection, session, fault)
                finally:
                    del fault  # its traceback has this frame
                return False
        accepted = reception.answer(connection, session, request, identity)
        session.driver.flush()
        return accepted

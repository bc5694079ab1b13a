"""`serve`: many associations at once over blocking sockets, a thread for each, within limits, until it is stopped.

The accepting thread never reads from a connection, so that no handshake keeps another connection waiting. `serving`
decides who is admitted, and what is logged and counted.
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
from typing import Self, Unpack

from dicos_proto.conversation import flows
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityVerdict

from ..addresses import Listeners, ListenFailed, Listening, is_listening, keep_alive
from ..serving.conversing import ConversingServer, Looked
from ..serving.options import Identify, Serve, ServeOptions, ServerConfig, check_functions, check_returned, verdict_of
from ..serving.reception import AFTER_KILL, GRACE, LOG, Connection, ServerLimits
from ..sessions import session as awaiting
from ..sessions.finished import documented, finished
from .adapter import Sockets
from .driver import Driver
from .session import Session

__all__ = ["LOG", "Handler", "ListenFailed", "Server", "ServerLimits", "serve"]

Handler = Callable[[Session], None]


@documented(Serve.__call__)
def serve(
    where: Listening,
    handler: Handler,
    *,
    policy: AcceptPolicy,
    identify: Identify | None = None,
    **options: Unpack[ServeOptions],
) -> Server:
    check_functions(handler, identify, awaited=False)
    serving = ServerConfig.of(policy, options)
    if isinstance(where, socket.socket) and not is_listening(where):
        server = Server(handler, serving, identify)
        server._take(where)
        return server
    listeners = Listeners(where, reuse_port=serving.reuse_port)  # before the server has descriptors of its own
    server = Server(handler, serving, identify)
    server._listen(listeners)
    return server


class Server(ConversingServer):
    """Made by `serve`. A context manager, which at the end stops the server and waits for its associations."""

    def __init__(self, handler: Handler, serving: ServerConfig, identify: Identify | None) -> None:
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
        """Waits until the server is stopped, or its one connection is over, and no thread is left. Returns False if
        `timeout` seconds pass first."""
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
        """Stops; lets operations finish for `grace` seconds, then aborts the other associations and waits for them."""
        if self._closed:
            return
        self.stop()
        if not self.wait(grace):
            self._reception.tell_killed(grace)
            os.write(self._kill_bell, b"x")
            if not self.wait(AFTER_KILL):
                self._reception.tell_stuck("not waited for any longer")
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

    def _listen(self, listeners: Listeners) -> None:
        """Accept from them in a thread of its own."""
        self._listening_on = listeners.names
        name = f"accept {self.address}"
        self._accepting = threading.Thread(target=self._accept_all, args=(listeners,), name=name, daemon=True)
        self._accepting.start()

    def _take(self, sock: socket.socket) -> None:
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
        stopping = select.poll()
        stopping.register(self._stop, select.POLLIN)
        try:
            while True:
                ready = [fd for fd, _ in waiting.poll()]
                if self._stop in ready:
                    return
                for fd in ready:
                    sock, pause = self._reception.accept(by_fd[fd])
                    if sock is not None:
                        self._take(sock)
                    elif pause:
                        stopping.poll(pause * 1000)
        finally:
            listeners.close()

    # -- one connection, in its thread ---------------------------------------------------------------------------

    def _serve(self, connection: Connection, sock: socket.socket) -> None:
        fault: BaseException | None = None
        try:
            transport = Sockets(stop=self._stop, kill=self._kill)
            finished(self._converse(connection, self._serving.session(transport, sock, connection)))
        except Exception as error:  # a handler's own fault ends its association and no other one
            fault = error
        except BaseException as error:
            fault = error
            raise
        finally:
            sock.close()
            try:
                self._reception.end(connection, fault)
            finally:
                del fault  # its traceback has this frame, and those that hold what was received

    async def _handle(self, session: awaiting.Session) -> None:
        returned: object = self._handler(Session(session))
        check_returned(returned, awaited=False)

    async def _look_at_user(self, session: awaiting.Session, request: AssociateRequest) -> Looked:
        driver = session.driver
        if self._identify is None or not isinstance(driver, Driver):
            return Looked()
        driver.due(monotonic())  # from now on the peer waits for the answer
        verdict: IdentityVerdict | None = None
        fault: Exception | None = None
        try:
            verdict = verdict_of(self._identify(request))
        except Exception as error:  # from the caller's function: rejects for now; the server goes on
            fault = error
        driver.check_time()  # the connection was not watched meanwhile
        try:
            return Looked(await driver.run(flows.look(session.association)), verdict, fault)
        finally:
            del fault  # its traceback has this frame

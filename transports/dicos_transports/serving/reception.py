"""The part that servers have in common in every adapter: how requests are answered, what is counted, what is logged.

Stopping: no new connections; an association that waits for a request is aborted at once, one in the middle of an
operation when that is answered, all others when the grace period ends.

Log records go to the logger "dicos.server", one line each: never content, never unescaped text of a peer. Each record
has, for structured logs, the attributes `event`, `association` (a number, one for each connection of this process) and
`peer`; the text begins with the peer, which is different for every connection.

Knows: flows, and what may be logged of a peer. Must not know: threads, event loops; but `AssociationRegistry` may be
used from several threads at once.

Invariants of the counters, at every moment: connections = accepted + rejected + evicted + unasked + pending, and
accepted = released + aborted + active.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.pdu_types import AssociateReject, AssociateRequest, RejectResult, RejectSource
from dicos_proto.upper_layer.policy import IdentityVerdict

from ..addresses import port_of, said, show_address
from ..sessions import opening
from ..sessions.base import BaseSession
from ..sessions.budget import Budget, Holding
from ..sessions.channel import ServerStopping
from ..sessions.windows import WINDOWS
from .admission import Connection, ServerLimits, Slots, most_bytes
from .logs import PlainTracebacks
from .options import AsyncIdentify, Identify, ServeOptions, ServerConfig, verdict_of

LOG: Final = logging.getLogger("dicos.server")
LOG.addFilter(PlainTracebacks())
GRACE: Final = 10.0
"""Seconds that operations get to finish when a server is stopped."""
AFTER_KILL: Final = 5.0
"""Seconds that handlers get to return once all their waits have ended."""
BREATHER: Final = 0.05
"""Seconds before the server accepts connections again when the system is out of a resource."""
OUT_OF_SOMETHING: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
FULL: Final = AssociateReject(result=RejectResult.TRANSIENT, source=RejectSource.PRESENTATION, reason=2)
"""Local limit exceeded [PS3.8 9.3.4]."""

UNDECIDED: Final = AssociateReject(result=RejectResult.TRANSIENT, source=RejectSource.SERVICE_USER, reason=1)
"""No reason given, for now: the function that checks the user's identity has failed [PS3.8 9.3.4]."""

__all__ = [
    "AFTER_KILL",
    "BREATHER",
    "FULL",
    "GRACE",
    "LOG",
    "OUT_OF_SOMETHING",
    "UNDECIDED",
    "AsyncIdentify",
    "BaseServer",
    "Connection",
    "Identify",
    "Metrics",
    "AssociationRegistry",
    "ServeOptions",
    "ServerLimits",
    "ServerConfig",
    "most_bytes",
    "say",
    "verdict_of",
]


@dataclass(slots=True)
class Metrics:
    """Counters of what has happened since a server was made; `Server.metrics` returns them."""

    connections: int = 0
    """Accepted by the system."""
    accepted: int = 0
    """Associations."""
    rejected: int = 0
    """Associations that were refused, by a limit, a policy or the user's identity."""
    released: int = 0
    """Associations that ended by a release, whichever side asked for it."""
    aborted: int = 0
    """Associations that ended in another way: by either side's A-ABORT, a lost connection, a deadline."""
    evicted: int = 0
    """Connections closed without an association, to make room."""
    unasked: int = 0
    """Connections that ended otherwise before an A-ASSOCIATE-RQ was answered: the peer only checked that the port is
    open, sent nothing for too long, does not speak DICOM or fails in TLS, or the server was stopped."""
    deviations: int = 0
    """Deviations that the tolerance accepted."""
    failures: int = 0
    """Handlers, and functions that check identities, that raised an exception."""
    bytes_received: int = 0
    bytes_sent: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    """The number of requests by name, for example `C-STORE-RQ`."""
    pending: int = 0
    """Connections now whose A-ASSOCIATE-RQ was not received or not answered yet."""
    active: int = 0
    """Associations now."""


class AssociationRegistry:
    """Admits associations, and logs and counts their outcomes. One for each server."""

    def __init__(self, serving: ServerConfig) -> None:
        self.serving = serving
        self.lock = threading.Lock()
        self.quiet = threading.Condition(self.lock)
        """Notified when a slot is free again."""
        self.slots = Slots(serving.server_limits, serving.server_limits.room_for(serving.limits))
        self.budget = Budget(serving.server_limits.collected, serving.server_limits.collected_per_address)
        self._metrics = Metrics()
        self._short = False  # the last attempt to accept a connection found the system out of a resource

    # -- arriving ------------------------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> tuple[socket.socket | None, float]:
        """Takes the next connection of a listening socket, if it is not gone already. Returns it, and the seconds to
        wait before the next call: more than 0 if the system is out of a resource, which is logged when it begins."""
        try:
            sock, _ = listener.accept()
        except OSError as error:
            if error.errno not in OUT_OF_SOMETHING:
                return None, 0.0
            if not self._short:
                self.tell_out_of(error)
            self._short = True
            self.make_room()
            return None, BREATHER
        self._short = False
        return sock, 0.0

    def arrive(self, connection: Connection) -> None:
        """Adds a connection without an association. The one that has waited longest may be closed to make room."""
        with self.lock:
            self._metrics.connections += 1
            evicted = self.slots.arrive(connection)
        _end(evicted)

    def make_room(self) -> None:
        """Ends the connection that has waited longest for its association."""
        with self.lock:
            evicted = self.slots.evict()
        _end(evicted)

    def metrics(self) -> Metrics:
        """The counters as they are now: a copy."""
        with self.lock:
            metrics = replace(self._metrics, requests=self._metrics.requests.copy())
            for connection in self.slots:
                if connection.counted:
                    continue
                metrics.active += connection.accepted
                metrics.pending += not (connection.accepted or connection.rejected)
                if connection.session is not None:
                    _add(metrics, connection.session)
        return metrics

    def _count(self, *names: str) -> None:
        """Adds 1 to these counters. The caller holds the lock."""
        for name in names:
            setattr(self._metrics, name, getattr(self._metrics, name) + 1)

    def holding(self, connection: Connection) -> Holding:
        """Returns the object that counts the data sets that the connection's session reads into memory."""
        return Holding(self.budget, connection.host)

    # -- letting in ----------------------------------------------------------------------------------------------

    def admit(self, connection: Connection, session: BaseSession, request: AssociateRequest) -> bool:
        """Reserve a slot. Returns False, and rejects, if the server is full or the certificate does not allow the
        title."""
        with self.lock:
            full = self.slots.admit(connection)
        refused = opening.refusal(session.layer, request)
        if full is not None:
            self._reject(connection, session, FULL, f"rejected: limit {full} reached")
        elif refused is not None:
            owner = session.tls.subject if session.tls is not None else ""
            self._reject(connection, session, refused, f"rejected: not a title of the certificate of {owner!a}")
        return full is None and refused is None

    def answer(
        self, connection: Connection, session: BaseSession, request: AssociateRequest, identity: IdentityVerdict | None
    ) -> bool:
        """Answer the request. Returns True if it was accepted."""
        association = session.association
        answer = flows.answer(association, request, self.serving.policy, identity=identity)
        if isinstance(answer, AssociateReject):
            self._rejected(connection, session, str(answer))
            return False
        # It may be asked for an association in its turn: a destination of a C-MOVE, or of a report.
        WINDOWS.learn_from(session)
        with self.lock:
            connection.accepted = True
            self._count("accepted")
        accepted, proposed = len(session.contexts), len(request.contexts)
        over = f", {session.tls}" if session.tls is not None else ""
        user = ", user identity not checked" if self._unchecked(request, identity) else ""
        text = f"{_titles(request)}: association accepted, {accepted} of {proposed} contexts{over}{user}"
        say(logging.INFO, "accepted", connection, text)
        self.tell_deviations(connection, association)
        return True

    def _unchecked(self, request: AssociateRequest, identity: IdentityVerdict | None) -> bool:
        """Returns True if the request has a user identity that nothing has checked."""
        claimed = request.user_information.user_identity
        return claimed is not None and identity is None and self.serving.policy.identity.known is None

    def undecided(self, connection: Connection, session: BaseSession, error: Exception) -> None:
        """The function that checks the user's identity has failed: rejects the request, for now."""
        with self.lock:
            self._count("failures")
        self._reject(connection, session, UNDECIDED, "rejected: the identity could not be checked", error)

    def _reject(
        self,
        connection: Connection,
        session: BaseSession,
        answer: AssociateReject,
        why: str,
        error: Exception | None = None,
    ) -> None:
        """Queue the rejection."""
        session.association.send(answer)
        self._rejected(connection, session, why, error)

    def _rejected(self, connection: Connection, session: BaseSession, why: str, error: Exception | None = None) -> None:
        """Counts and logs a queued rejection. Until the peer closes, its slot counts as one without an association."""
        with self.lock:
            connection.rejected = True
            self._count("rejected")
            evicted = self.slots.give_back(connection)
        _end(evicted)
        level = logging.WARNING if error is None else logging.ERROR
        say(level, "rejected", connection, f"{_titles(session.request)}: {why}", error)

    # -- reporting -----------------------------------------------------------------------------------------------

    def tell_deviations(self, connection: Connection, association: Association) -> None:
        """Logs the deviations accepted since the last call."""
        for deviation in association.terms.deviations[connection.told :]:
            connection.told += 1
            with self.lock:
                self._count("deviations")
            say(logging.WARNING, "deviation", connection, str(deviation))

    def end(self, connection: Connection, error: BaseException | None) -> None:
        """A connection is over, by this exception or cleanly: logs it, and frees its slot."""
        error = _one(connection.fault or error)
        try:
            self._tell_end(connection, error)  # before the slot is free: the line is written when the server's end is
        finally:
            if connection.session is not None:
                connection.session.holding.let_go()
            # Its task has what it raised, whose traceback has the connection.
            connection.session = connection.stop = connection.fault = None
            with self.quiet:
                self.slots.leave(connection)
                self.quiet.notify_all()
        if error is None:
            say(logging.DEBUG, "closed", connection, "closed")  # and its slot is free

    def _tell_end(self, connection: Connection, error: BaseException | None) -> None:
        """Counts a connection that is over, and logs the exception that ended it."""
        failed = isinstance(error, Exception) and not isinstance(error, flows.AssociationError)
        with self.lock:
            self._count(*_outcomes(connection, error), *(("failures",) if failed else ()))
            if connection.session is not None:
                _add(self._metrics, connection.session)
            connection.counted = True
        if connection.session is not None:
            self.tell_deviations(connection, connection.session.association)
        if error is not None:
            self._tell_fault(connection, error)

    def _tell_fault(self, connection: Connection, error: BaseException) -> None:
        match error:
            case flows.AssociationError() if connection.evicted:
                waited = monotonic() - connection.since
                text = f"closed after {waited:.1f} s without an association, to make room"
                say(logging.WARNING, "evicted", connection, text)
            case ServerStopping():
                say(logging.INFO, "stopped", connection, "aborted: the server is stopping")
            case flows.AssociationAborted(event=Closed()) if not connection.accepted:
                say(logging.INFO, "unasked", connection, "closed by the peer without an A-ASSOCIATE-RQ")
            case flows.AssociationReleased():
                say(logging.WARNING, "released", connection, str(error))
            case flows.AssociationError():
                say(logging.WARNING, "aborted", connection, str(error))
            case Exception():  # a handler's own fault ends its association and no other one
                say(logging.ERROR, "failed", connection, "the handler failed; the association is aborted", error)
            case _:  # the runtime ends its task
                say(logging.INFO, "stopped", connection, "aborted: cancelled")

    def tell_unserved(self, connection: Connection, error: Exception) -> None:
        """The system has no thread for the connection: logs that it is closed."""
        with self.quiet:
            self._count("unasked")
            self.slots.leave(connection)
            self.quiet.notify_all()
        say(logging.ERROR, "unserved", connection, f"closed: {error}")

    def tell_killed(self, grace: float) -> None:
        """Logs the number of associations that are left when the grace period ends, if any. The accepting thread is
        not counted."""
        with self.lock:
            left = len([*self.slots])
        if left:
            what, are = ("association", "is") if left == 1 else ("associations", "are")
            text = f"%d {what} did not finish within %g s and {are} aborted"
            LOG.warning(text, left, grace, extra={"event": "grace"})

    def tell_stuck(self, what_now: str) -> None:
        """Logs the number of handlers that do not return although all their waits have ended, if any."""
        with self.lock:
            left = len([*self.slots])
        if left:
            handlers = "handler does" if left == 1 else "handlers do"
            LOG.error(f"%d {handlers} not return; %s", left, what_now, extra={"event": "stuck"})

    def tell_out_of(self, error: OSError) -> None:
        """Logs that the system is out of a resource that a connection needs."""
        LOG.error("cannot accept connections for now: %s", said(error), extra={"event": "out_of_resources"})


class BaseServer:
    """The properties of a server in every adapter."""

    def __init__(self, serving: ServerConfig) -> None:
        self._serving = serving
        self._reception = AssociationRegistry(serving)
        self._listening_on: list[object] = []  # addresses as sockets have them

    @property
    def address(self) -> str:
        """The address that the server listens on: `127.0.0.1:11112`; several are separated by commas."""
        return ", ".join(map(show_address, self._listening_on)) or "one connection"

    @property
    def port(self) -> int:
        """The port that the server listens on, the first of several. Raises ValueError if it has none."""
        return port_of(self._listening_on)

    @property
    def over_tls(self) -> bool:
        """True if the server's associations are over TLS."""
        return self._serving.tls is not None

    @property
    def associations(self) -> int:
        """Associations established now."""
        return self._reception.metrics().active

    @property
    def pending(self) -> int:
        """Connections whose A-ASSOCIATE-RQ was not received or not answered yet."""
        return self._reception.metrics().pending

    @property
    def served(self) -> int:
        """Associations accepted so far."""
        return self._reception.metrics().accepted

    @property
    def metrics(self) -> Metrics:
        """The counters so far, and the present numbers: a copy."""
        return self._reception.metrics()


def _add(metrics: Metrics, session: BaseSession) -> None:
    metrics.bytes_received += session.carrier.bytes_received
    metrics.bytes_sent += session.carrier.bytes_sent
    metrics.requests.update(dict(session.requests))  # a copy: its thread may count on meanwhile


def _titles(request: AssociateRequest) -> str:
    return f"{request.calling_aet!a} calls {request.called_aet!a}"


def _end(evicted: Connection | None) -> None:
    if evicted is not None and evicted.stop is not None:
        evicted.stop()


def _one(error: BaseException | None) -> BaseException | None:
    """The exception to report. A handler with its own tasks raises a group: if all in it are ends of the association,
    it is the first of them, otherwise the group. A coroutine cannot raise StopIteration: Python makes a RuntimeError of
    it, whose traceback says nothing more."""
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration):
        return error.__cause__ if str(error) == "coroutine raised StopIteration" else error
    if isinstance(error, ExceptionGroup) and error.split(flows.AssociationError)[1] is None:
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
    return error


def _outcomes(connection: Connection, error: BaseException | None) -> tuple[str, ...]:
    """The counters for a connection that ends; none if it was counted when its request was rejected."""
    if connection.accepted:
        return ("released" if error is None or isinstance(error, flows.AssociationReleased) else "aborted",)
    if connection.rejected:
        return ()
    return ("evicted" if connection.evicted else "unasked",)


def say(level: int, event: str, connection: Connection, text: str, error: BaseException | None = None) -> None:
    """Writes one line to the log."""
    if LOG.isEnabledFor(level):
        extra = {"event": event, "association": connection.number, "peer": connection.peer}
        LOG.log(level, "%s: %s", connection.peer, text, extra=extra, exc_info=error)

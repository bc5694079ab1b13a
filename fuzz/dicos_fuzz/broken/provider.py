"""The provider that defects are planted in: C-ECHO, C-STORE, C-FIND and C-GET over a few objects in memory.

Knows: the blocking server, whose connections it carries over the wires that `Hooks` makes; services. Must not know:
which defects exist.

Without a defect it serves as our adapters do, with small bounds: `ASSOCIATIONS` associations, `MOST_BYTES` of `keeping`
bytes of objects.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.checker import Checker
from dicos_proto.data.elements import DataSetError
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from dicos_proto.services.storage import Instance
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED
from dicos_proto.upper_layer.pdu_types import OperationsWindow
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_proto.wire import Wire
from dicos_transports.addresses import Listeners
from dicos_transports.blocking import EchoRequest, FindRequest, GetRequest, Session, StoreRequest
from dicos_transports.blocking.adapter import Sockets
from dicos_transports.blocking.driver import Driver
from dicos_transports.blocking.server import Server
from dicos_transports.serving.admission import Connection, ServerLimits
from dicos_transports.serving.options import ServerConfig
from dicos_transports.sessions.finished import finished
from dicos_transports.tracing import Trace

from .hooks import Hooks
from .keeping import LONGEST, Keys, Shelf, identifier_of, kept_of
from .tap import MAX_LENGTH

__all__ = ["ASSOCIATIONS", "Provider"]

ASSOCIATIONS: Final = 10
"""Associations at once, as few as providers in the field allow by default."""
MOST_SENT: Final = 16
"""Objects that answer one C-GET at most."""
STORED: Final = (uids.CT_IMAGE_STORAGE, uids.SECONDARY_CAPTURE_IMAGE_STORAGE, uids.DICOS_CT)
_STORAGE: Final = (*UNCOMPRESSED, uids.DEFLATED_EXPLICIT_VR_LE)
_QUERY: Final = dict.fromkeys((uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_GET, uids.VERIFICATION), UNCOMPRESSED)
POLICY: Final = AcceptPolicy(
    contexts=_QUERY | dict.fromkeys(STORED, _STORAGE),
    roles=dict.fromkeys(STORED, Roles(scu=True, scp=True)),
    max_length=MAX_LENGTH,
    window=OperationsWindow(invoked=8, performed=1),
)
TIMEOUTS: Final = Timeouts(artim=5.0, pdu=5.0, message=10.0, response=10.0, idle=30.0, write_stall=10.0)
LIMITS: Final = Limits(collected=LONGEST)
_LEVEL: Final = 0x00080052


class Provider(Server):
    """A server on 127.0.0.1 or ::1 with one defect, or none. A context manager, as every server."""

    def __init__(self, hooks: Hooks, *, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listens at once. Raises `ListenFailed`."""
        listeners = Listeners((host, port))
        config = ServerConfig(
            policy=POLICY,
            limits=LIMITS,
            timeouts=TIMEOUTS,
            server_limits=ServerLimits(associations=ASSOCIATIONS, per_address=ASSOCIATIONS),
        )
        super().__init__(self._answer, config, None)
        self._hooks = hooks
        self._shelf = Shelf()
        self._lost: list[tuple[Connection, BaseException | None]] = []
        self._listen(listeners)

    def close(self, grace: float = 1.0) -> None:
        """As that of the server. Ends the threads that hang on purpose, and frees the slots that were lost."""
        self._hooks.over.set()
        while self._lost:
            self._reception.end(*self._lost.pop())
        super().close(grace)

    # -- connections ---------------------------------------------------------------------------------------------

    def _take(self, sock: socket.socket) -> None:
        self._hooks.arriving(sock)
        super()._take(sock)

    def _serve(self, connection: Connection, sock: socket.socket) -> None:
        """As that of the server, with the wires of the hooks, which also say whether the slot is free again."""
        wires: list[Wire] = []
        fault: Exception | None = None
        try:
            transport = Sockets(stop=self._stop, kill=self._kill, driver=self._driver(wires))
            finished(self._converse(connection, self._serving.session(transport, sock, connection)))
        except Exception as error:  # a handler's own fault ends its association and no other one
            fault = error
        finally:
            sock.close()
            try:
                if self._hooks.ended(wires[0] if wires else None, fault):
                    self._reception.end(connection, fault)
                else:
                    self._lost.append((connection, fault))
            finally:
                del fault  # its traceback has this frame

    def _driver(self, wires: list[Wire]) -> Callable[..., Driver]:
        """Returns the function that makes the driver of one connection; `wires` gets the wire that it drives."""

        def made(
            sock: socket.socket,
            wire: Wire,
            timeouts: Timeouts,
            *,
            trace: Trace | None = None,
            stop: int | None = None,
            kill: int | None = None,
        ) -> Driver:
            wires.append(self._hooks.wire(wire, sock))
            return Driver(sock, wires[0], timeouts, trace=trace, stop=stop, kill=kill)

        return made

    # -- requests ------------------------------------------------------------------------------------------------

    def _answer(self, session: Session) -> None:
        for request in session:
            abstract = request.context.abstract_syntax
            match request:
                case EchoRequest():
                    request.respond()
                case _ if request.sop_class_uid != abstract:
                    request.respond(status.SOP_CLASS_NOT_SUPPORTED)
                case StoreRequest() if abstract in STORED:
                    self._store(request)
                case FindRequest() if abstract == uids.STUDY_ROOT_FIND:
                    self._find(request)
                case GetRequest() if abstract == uids.STUDY_ROOT_GET:
                    self._get(request)
                case _:  # answered by the session: unrecognized operation
                    pass

    def _store(self, request: StoreRequest) -> None:
        syntax = request.transfer_syntax
        self._hooks.storing(request)
        try:
            data = bytes(request.read())
            if self._hooks.stored(data, syntax):
                checker = Checker(syntax, request.sop_class_uid, request.sop_instance_uid, LIMITS)
                checker.feed(data)
                checker.finish()
        except DataSetError as error:
            code = error.store_status
        except ValueError:  # longer than the limits allow
            code = status.OUT_OF_RESOURCES
        else:
            code = status.SUCCESS
            self._shelf.keep(kept_of(request.sop_class_uid, request.sop_instance_uid, syntax, data, LIMITS))
        if not request.answered:
            request.respond(code)

    def _keys(self, request: FindRequest | GetRequest) -> dict[int, str] | None:
        """Returns the keys of a query; None if it was refused."""
        try:
            found = request.attributes()
            if found is not None:
                return Keys.of(found.data, request.transfer_syntax, LIMITS)
        except (DataSetError, DataSetTooLong):
            request.respond(status.CANNOT_UNDERSTAND)
            return None
        request.respond(status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS)
        return None

    def _find(self, request: FindRequest) -> None:
        keys = self._keys(request)
        if keys is None:
            return
        for kept in self._shelf.matching(keys):
            if not request.match(identifier_of(kept, keys.get(_LEVEL, "IMAGE"), request.transfer_syntax)):
                break
        request.end()

    def _get(self, request: GetRequest) -> None:
        keys = self._keys(request)
        if keys is None:
            return
        usable = {
            (one.abstract_syntax, one.transfer_syntax) for one in request.session.contexts.values() if one.scu
        }  # fmt: skip
        found = [one for one in self._shelf.matching(keys) if (one.sop_class_uid, one.transfer_syntax) in usable]
        sent = [
            Instance(
                sop_class_uid=one.sop_class_uid,
                sop_instance_uid=one.sop_instance_uid,
                transfer_syntax=one.transfer_syntax,
                data=one.data,
            )
            for one in found[:MOST_SENT]
        ]
        request.send(sent, len(sent))

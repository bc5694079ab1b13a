"""`DcsServer`: receives objects and gives them to a plain Python object, as programs for pyDICOS want it.

    class Receiver:
        def OnReceivingCT(self, ct, client_ip):
            print(client_ip, ct.get_volume_data().shape)
            return True  # stored; False answers a failure

    server = DcsServer()
    server.SetPort(9999)
    server.IncludeSopClassUID(server.SOPCLASSUID.enumSopCT)
    if not server.StartListening(Receiver()):
        print(server.GetErrorLog())

Each client has a thread that receives, and one for its callbacks: several scanners send at the same time, and a slow
callback keeps only its own client waiting. The client gets its answer when the callback has returned: success for True
and None, a failure for False.

Knows: the original's names. Must not know: the protocol.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from dicos_proto.data import DataSetError
from dicos_proto.dicos import DicosError
from dicos_proto.errors import ProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.tolerance import STRATOVAN
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import IdentityVerdict

from ..addresses import ListenFailed
from ..blocking import EchoRequest, Session, StoreRequest, serve
from ..blocking.server import Server
from ..dicos import receive
from ..tls import TLSConfigError
from .calls import CallFailed, Calls, Device, is_in_call
from .flags import RETRIEVE_METHOD, SOPCLASSUID
from .loaders import loader_of
from .loading import Loader
from .server_settings import ServerSettings

__all__ = ["DcsServer"]

READ_TIMEOUT: Final = 60_000
WRITE_TIMEOUT: Final = 30_000
"""Milliseconds."""
LIMITS: Final = Limits()
"""Limits of one object in memory."""


@dataclass(slots=True)
class _Link:
    """An open session."""

    device: Device
    end: int
    """The descriptor that ends every wait of its thread once something is written to it."""
    ended: bool = False
    """True once it is written to."""


class DcsServer(ServerSettings):
    """A server for one port. It keeps its settings when it stops."""

    SOPCLASSUID = SOPCLASSUID
    RETRIEVE_METHOD = RETRIEVE_METHOD

    def __init__(self) -> None:
        super().__init__()
        self._at_end = False
        self._server: Server | None = None
        self._links: dict[Session, _Link] = {}
        self._lock = threading.Lock()

    def GetPort(self) -> int:
        """Returns the port."""
        server = self._server
        return self._port if server is None or server.port is None else server.port

    # -- listening -----------------------------------------------------------------------------------------------

    def StartListening(
        self,
        icallback: object,
        pIClientVerificationCallback: object = None,
        nPreferAPI: object = None,
        bProcessDataOnSessionEnd: bool = False,
    ) -> bool:
        """Listens in the background, and calls the methods of `icallback`. Returns False if it cannot listen.

        Methods, each called if it is there, with as many of these arguments as it takes: `OnServerReady()`;
        `OnConnected(client_ip)`, `OnDisconnected(client_ip)` when a session begins and ends;
        `OnReceiveDicosEcho(client_ip)`; `OnReceivingCT(ct, client_ip)` and the same for DX, AIT2D, AIT3D, TDR and QR,
        `OnReceiveDicosFile(object, client_ip)` for kinds without such a method;
        `OnReceiveDicosFileError(log, client_ip)` for data that is not an object. `client_ip` is a text with further
        attributes (`Device`).

        `pIClientVerificationCallback`: another object, whose methods decide about names and users (see `Require...`).
        `nPreferAPI`: ignored. `bProcessDataOnSessionEnd`: answer success at once, and call the methods when the session
        has ended.
        """
        if self._server is not None:
            return self._failed("it listens already: StopListening first")
        self._callback, self._authority = icallback, pIClientVerificationCallback
        self._at_end = bProcessDataOnSessionEnd
        try:
            tls = self._certificates.for_server(self._ciphers, certificates=self._certificates_required)
            self._server = serve(
                (self._ip, self._port),
                self._handle,
                policy=self._policy(),
                identify=self._identify,
                tolerance=STRATOVAN,
                timeouts=self._timeouts,
                tls=tls,
            )
        except (ListenFailed, TLSConfigError, ProtocolError, ValueError) as error:
            return self._failed(str(error))
        self._once("OnServerReady")
        return True

    def StopListening(self) -> bool:
        """Stops: sessions may finish what is under way, for up to ten seconds. Waits for them and for the callbacks; in
        a callback it does not wait, because its own session cannot end before it returns."""
        server, self._server = self._server, None
        if server is not None and is_in_call():
            threading.Thread(target=server.close, name="DcsServer stop").start()
        elif server is not None:
            server.close()
        return server is not None

    def WaitForThreadToComplete(self) -> None:
        """Waits until `StopListening` is called, in another thread or a signal handler."""
        server = self._server
        if server is not None:
            server.wait()

    def UpdateCallback(self, icallback: object) -> bool:
        """Calls the methods of this object from now on."""
        self._callback = icallback
        return True

    def IsActivelyAcceptingConnections(self) -> bool:
        """Returns True while it listens."""
        return self._server is not None

    def IsBusy(self) -> bool:
        """Returns True while a session is open."""
        return bool(self._links)

    def IsIdle(self) -> bool:
        """Returns True while no session is open."""
        return not self._links

    def GetConnectedDevices(self, into: list[str] | None = None) -> list[str]:
        """Returns the addresses of the clients with a session. `into`: a list to which they are added, too."""
        with self._lock:
            found = list(dict.fromkeys(str(one.device) for one in self._links.values()))
        if into is not None:
            into.extend(found)
        return found

    GetConnectedDevicesWithActiveDicosSessions = GetConnectedDevices

    def TerminateConnectionWithDevice(self, dsIP: str) -> bool:
        """Aborts the sessions with this address (A-ABORT). Returns False if there are none."""
        with self._lock:
            ends = [one for one in self._links.values() if one.device == str(dsIP)]
            for one in ends:
                if not one.ended:
                    os.write(one.end, b"x")
                    one.ended = True
        return bool(ends) or self._failed("no session with that address is open")

    # -- inside --------------------------------------------------------------------------------------------------

    def _identify(self, request: AssociateRequest) -> IdentityVerdict:
        return self._access.verdict(request)

    def _once(self, name: str) -> None:
        with Calls(lambda: self._callback) as calls:
            self._tell(calls, name)

    def _tell(self, calls: Calls, name: str, *arguments: object) -> None:
        """Calls a method whose result does not matter."""
        try:
            calls.call(name, *arguments)
        except CallFailed as error:
            self._log.add(str(error))

    # -- one session, in its thread --------------------------------------------------------------------------------

    def _handle(self, session: Session) -> None:
        device = self._device_of(session)
        waiting: list[tuple[str, Loader[Any]]] = []
        with Calls(lambda: self._callback) as calls, self._linked(session, device):
            self._tell(calls, "OnConnected", device)
            try:
                for request in session:
                    match request:
                        case EchoRequest():
                            self._tell(calls, "OnReceiveDicosEcho", device, self._log)
                            request.respond()
                        case StoreRequest():
                            self._store(calls, request, device, waiting)
                        case _:
                            request.respond(status.UNRECOGNIZED_OPERATION)
            finally:
                for name, loaded in waiting:
                    self._deliver(calls, name, loaded, device)
                self._tell(calls, "OnDisconnected", device)

    def _store(
        self, calls: Calls, request: StoreRequest, device: Device, waiting: list[tuple[str, Loader[Any]]]
    ) -> None:
        try:
            dataset = receive(request, decompress=True, limits=LIMITS)  # answers what it refuses
        except DataSetError as error:
            self._log.add(f"an object of {device}: {error}")
            self._tell(calls, "OnReceiveDicosFileError", self._log, device)
            return
        try:
            loaded = loader_of(dataset)
        except DicosError as error:
            self._log.add(f"an object of {device}: {error}")
            self._tell(calls, "OnReceiveDicosFileError", self._log, device)
            request.respond(status.CANNOT_UNDERSTAND)
            return
        name = next((one for one in (f"OnReceiving{loaded.kind}", "OnReceiveDicosFile") if calls.has(one)), "")
        if not name:
            self._log.add(f"an object of {device}: the callback has no method OnReceiving{loaded.kind}")
            request.respond(status.SOP_CLASS_NOT_SUPPORTED)
        elif self._at_end:
            waiting.append((name, loaded))
            request.respond()
        else:
            request.respond(self._deliver(calls, name, loaded, device))

    def _deliver(self, calls: Calls, name: str, loaded: Loader[Any], device: Device) -> int:
        """Calls the method that takes the object. Returns the status that its result means."""
        try:
            result = calls.call(name, loaded, device)
        except CallFailed as error:
            self._log.add(str(error))
            return status.PROCESSING_FAILURE
        try:
            good = result is None or bool(result)
        except Exception:  # of an array of several elements, for example
            good = False
        if good:
            return status.SUCCESS
        shown = ascii(result) if isinstance(result, int | float | str) else f"a {type(result).__name__}"
        self._log.add(f"{name} returned {shown:.100} for an object of {device}")
        return status.PROCESSING_FAILURE

    @contextmanager
    def _linked(self, session: Session, device: Device) -> Iterator[None]:
        """Lists a session while it is open, so that `TerminateConnectionWithDevice` finds it."""
        watched, end = os.pipe()
        session.driver.interrupt_by(watched)
        with self._lock:
            self._links[session] = _Link(device, end)
        try:
            yield
        finally:
            with self._lock:
                del self._links[session]
            os.close(end)
            os.close(watched)

    def _device_of(self, session: Session) -> Device:
        request = session.association.terms.request
        assert request is not None  # the association is established
        identity = request.user_information.user_identity
        return Device.of(
            ip_of(session.peer),
            application=request.calling_aet.strip(),
            user="" if identity is None else identity.primary.decode("utf-8", "replace"),
            server_ip=self._ip,
            server_port=self.GetPort(),
        )


def ip_of(peer: str) -> str:
    """Returns the address in the name of a peer, without its port.

    >>> ip_of("127.0.0.1:40000"), ip_of("[::1]:40000")
    ('127.0.0.1', '::1')
    """
    return peer.rpartition(":")[0].strip("[]")

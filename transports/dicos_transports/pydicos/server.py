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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from dicos_proto.data import DataSetError
from dicos_proto.dicos import DicosError
from dicos_proto.dicos.profile import Family, accept_policy, sop_classes
from dicos_proto.errors import ProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRATOVAN
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityVerdict

from ..addresses import ListenFailed
from ..blocking import EchoRequest, Session, StoreRequest, serve
from ..blocking.server import Server
from ..dicos import receive
from ..tls import TLSConfigError
from .access import Access, Demand
from .calls import CallFailed, Calls, Device
from .certificates import Certificates
from .flags import RETRIEVE_METHOD, SOPCLASSUID, family_of
from .loaders import loader_of
from .loading import Loader
from .negotiating import compression_of, is_port, is_positive, title_fault
from .texts import ErrorLog, Text, note

__all__ = ["DcsServer"]

READ_TIMEOUT: Final = 60_000
WRITE_TIMEOUT: Final = 30_000
"""Milliseconds."""
LIMITS: Final = Limits()
"""Of one object in memory."""


@dataclass(slots=True)
class _Link:
    """An open session."""

    device: Device
    end: int
    """The descriptor that ends every wait of its thread once something is written to it."""


class DcsServer:
    """A server for one port. It keeps its settings when it stops."""

    SOPCLASSUID = SOPCLASSUID
    RETRIEVE_METHOD = RETRIEVE_METHOD

    def __init__(self) -> None:
        self._log = ErrorLog()
        self._ip, self._port, self._name = "0.0.0.0", 0, ""
        self._read, self._write = READ_TIMEOUT, WRITE_TIMEOUT
        self._compressed_first, self._uncompressed = True, False
        self._classes: tuple[str, ...] = ()
        self._certificates = Certificates()
        self._certificates_required = True
        self._ciphers = "best-practices"
        self._callback: object = None
        self._authority: object = None
        self._access = Access(self._ask)
        self._at_end = False
        self._server: Server | None = None
        self._links: dict[Session, _Link] = {}
        self._lock = threading.Lock()

    # -- settings ------------------------------------------------------------------------------------------------

    def SetIP(self, dsIP: str) -> bool:
        """Sets the address to listen on, before `StartListening`; 0.0.0.0 for all."""
        return self._set("_ip", str(dsIP))

    def GetIP(self) -> Text:
        """Returns the address to listen on."""
        return Text(self._ip)

    def SetPort(self, nPort: int) -> bool:
        """Sets the port to listen on, before `StartListening`; 0 takes a free one, which `GetPort` then returns."""
        if not is_port(nPort, least=0):
            return self._failed(f"port {nPort!a}; a number from 0 to 65535")
        return self._set("_port", nPort)

    def GetPort(self) -> int:
        """Returns the port."""
        server = self._server
        return self._port if server is None or server.port is None else server.port

    def SetApplicationName(self, aeName: str) -> bool:
        """Sets the name of this application: the AE title that clients call, at most 16 characters."""
        fault = title_fault(str(aeName))
        return self._failed(f"application name: {fault}") if fault else self._set("_name", str(aeName))

    def GetApplicationName(self) -> Text:
        """Returns the name of this application."""
        return Text(self._name)

    def SetReadTimeoutInMilliseconds(self, nTimeout: int) -> bool:
        """Sets how long a client may send nothing: inside a message, and before its association."""
        return self._set_timeout("_read", nTimeout)

    def GetReadTimeoutInMilliseconds(self) -> int:
        """Returns how long a client may send nothing, in milliseconds."""
        return self._read

    def SetWriteTimeoutInMilliseconds(self, nTimeout: int) -> bool:
        """Sets how long a client may take none of the bytes that are sent."""
        return self._set_timeout("_write", nTimeout)

    def GetWriteTimeoutInMilliseconds(self) -> int:
        """Returns how long a client may take no bytes, in milliseconds."""
        return self._write

    def PrioritizeDataCompression(self, bPrioritize: bool = True) -> None:
        """True, the default, accepts compressed pixels (JPEG lossless) where a client offers them; False where it
        offers nothing else."""
        self._compressed_first = bool(bPrioritize)

    def IsPrioritizingDataCompression(self) -> bool:
        """Returns True if compressed pixels come first."""
        return self._compressed_first and not self._uncompressed

    def DisableDataCompression(self, bDisable: bool = True) -> None:
        """Accepts uncompressed pixels only."""
        self._uncompressed = bool(bDisable)

    def IsDataCompressionDisabled(self) -> bool:
        """Returns True if only uncompressed pixels are accepted."""
        return self._uncompressed

    def IncludeSopClassUID(self, uid: int | str) -> bool:
        """Accepts a kind of objects (`SOPCLASSUID`), or one SOP class by its UID. Before the first call every kind is
        accepted; C-ECHO always is."""
        if isinstance(uid, str):
            classes: tuple[str, ...] = (str(uid),)
            if not uids.is_safe(classes[0]):
                return self._failed(f"{uid!a} is not a UID")
        else:
            try:
                classes = sop_classes(family_of(uid))
            except (TypeError, ValueError):
                return self._failed(f"{uid!a}: a kind of SOPCLASSUID or a UID")
        return self._set("_classes", tuple(dict.fromkeys((*self._classes, *classes))))

    def ResetIncludedSopClassUIDs(self) -> bool:
        """Accepts every kind of objects again."""
        return self._set("_classes", ())

    def GetListOfSupportedSopClassUIDs(self) -> list[str]:
        """Returns the UIDs of the accepted SOP classes."""
        return list(self._policy().contexts)

    # -- who may connect -------------------------------------------------------------------------------------------

    def RequireApplicationNames(self, *clients: str) -> bool:
        """Rejects clients that call another name than this application's, and those that do not name themselves as one
        of `clients`. Without any, `OnAuthenticateClientApplicationName(name)` decides; if the objects given to
        `StartListening` have no such method, every client's name is accepted."""
        self._access.applications = frozenset(map(str, clients))
        self._access.application_names = True
        return self._set("_name", self._name)

    def IgnoreApplicationNames(self) -> bool:
        """Accepts all application names, the default."""
        self._access.application_names = False
        return True

    def IsConnectionFromApplicationEnabled(self, aeName: str) -> bool:
        """Returns True if a client with this application name may connect."""
        return self._access.knows_application(str(aeName))

    def AllowAllClients(self) -> bool:
        """Accepts clients with any user and without one, the default."""
        self._access.require(Demand.NOTHING, {})
        return True

    AllowAllCients = AllowAllClients
    """The original's spelling. It refuses clients that present a user; here they are accepted, too."""

    def RequireUserNameFromClient(self, *users: str) -> bool:
        """Rejects clients that present no user name, or none of `users`. Without any,
        `OnAuthenticateUserName(name)` or `OnIsUserNameValid(name)` decides; without these methods any name is
        accepted."""
        self._access.require(Demand.NAME, dict.fromkeys(map(str, users)))
        return True

    def RequireUserNameAndPasscodeFromClient(self, users: Mapping[str, str] | None = None) -> bool:
        """Rejects clients that present no user name with its passcode. `users`: passcodes by name. Without it,
        `OnAuthenticateUserNameAndPasscode(name, passcode)` decides, and every client is rejected if there is no such
        method."""
        self._access.require(Demand.NAME_AND_PASSCODE, dict(users or {}))
        return True

    def IsValidUserName(self, dsUserName: str) -> bool:
        """Returns True if a client with this user name may connect without a passcode."""
        return self._access.knows_user(str(dsUserName))

    def IsValidUserNameAndPasscode(self, dsUserName: str, dsPasscode: str) -> bool:
        """Returns True if a client with this user name and passcode may connect."""
        return self._access.knows_passcode(str(dsUserName), str(dsPasscode))

    # -- TLS -----------------------------------------------------------------------------------------------------

    def SetSslCertificate(self, file: str | Path, *rest: Any) -> bool:
        """`(pfx, password, log)` or `(pfx, password, name, log)`: uses TLS with the certificate of a PFX file, which
        has to be for `name`; its CAs are trusted for the certificates of clients. `(file, log)`: trusts the
        certificates of a file (.pem, .crt, .cer, .p7b), too.

        Returns False if the file cannot be used; `log`, an `ErrorLog` or a list, gets the reason, too.
        """
        fault = self._certificates.take(file, rest)
        return self._failed(fault) if fault else True

    def IsUsingSsl(self) -> bool:
        """Returns True if there is a certificate, so clients have to use TLS."""
        return self._certificates.identity is not None

    def SetTLSClientCertificateRequired(self, bRequired: bool) -> bool:
        """True, the default, rejects clients without a certificate of a trusted CA."""
        return self._set("_certificates_required", bool(bRequired))

    def IsTLSClientCertificateRequired(self) -> bool:
        """Returns True if clients need a certificate."""
        return self._certificates_required

    def SetSslAllowedCiphers(self, dsCiphers: str) -> bool:
        """Sets the allowed cipher suites: a comma list of their names; `best-practices` for those of PS3.15 B.12."""
        return self._set("_ciphers", str(dsCiphers))

    def GetSslAllowedCiphers(self) -> Text:
        """Returns the allowed cipher suites."""
        return Text(self._ciphers)

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
        `OnReceiveDicosFileError(log, client_ip)` for data that is no object. `client_ip` is a text with further
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
        """Stops: sessions may finish what is under way, for up to ten seconds. Waits for them and for the callbacks."""
        server, self._server = self._server, None
        if server is not None:
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
            ends = [one.end for one in self._links.values() if one.device == str(dsIP)]
            for end in ends:
                os.write(end, b"x")
        return bool(ends) or self._failed("no session with that address is open")

    def GetErrorLog(self, into: object = None) -> Text:
        """Returns everything that failed since the server was made, one line each. `into`: an `ErrorLog` or a list that
        gets it, too."""
        text = self._log.GetErrorLog()
        if text:
            note(into, text)
        return text

    # -- inside --------------------------------------------------------------------------------------------------

    def _set(self, name: str, value: object) -> bool:
        if self._server is not None:
            return self._failed("settings cannot be changed while it listens: StopListening first")
        setattr(self, name, value)
        return True

    def _set_timeout(self, name: str, milliseconds: int) -> bool:
        if not is_positive(milliseconds):
            return self._failed(f"timeout of {milliseconds!a} ms; more than 0")
        return self._set(name, int(milliseconds))

    def _failed(self, why: str) -> bool:
        self._log.add(why)
        return False

    @property
    def _timeouts(self) -> Timeouts:
        read, write = self._read / 1000, self._write / 1000
        return Timeouts(artim=read, pdu=read, message=read, write_stall=write)

    def _policy(self) -> AcceptPolicy:
        access = self._access
        names = access.application_names
        policy = accept_policy(
            Family.ECHO if self._classes else Family.ALL,
            compression_of(first=self._compressed_first, never=self._uncompressed),
            also=self._classes,
            rle=False,
            called_aets=(self._name,) if names else None,
            calling_aets=access.applications if names and access.applications else None,
        )
        return replace(policy, max_length=0)

    def _ask(self, name: str) -> Any:
        """The method of this name, of one of the two objects of `StartListening`."""
        for one in (self._authority, self._callback):
            method = getattr(one, name, None)
            if callable(method):
                return method
        return None

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
            dataset = receive(request, limits=LIMITS)  # answers what it refuses
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
        if result is None or result:
            return status.SUCCESS
        self._log.add(f"{name} returned {result!a} for an object of {device}")
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

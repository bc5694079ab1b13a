"""`DcsClient`: sends objects to a server, as programs for pyDICOS do, over the blocking adapter.

    client = DcsClient()
    client.SetServerPortandIP(9999, "192.168.1.100")
    if client.ConnectToServer():
        if client.StartDicosSession(client.SOPCLASSUID.enumSopCT):
            if not client.SendCT(dcsread("bag.dcs")):
                print(client.GetErrorLog())
            client.StopDicosSession()
        client.DisconnectFromServer()

Methods return True or False, and write the reason of a False to the log that `GetErrorLog` returns. They wait without
holding the interpreter, so that other threads go on. One thread at a time may use a client.

Knows: the original's names. Must not know: the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.data import DataSetError
from dicos_proto.dicos import DicosError
from dicos_proto.dicos.profile import Compression, contexts_for, user_identity
from dicos_proto.errors import LocalProtocolError, ProtocolError
from dicos_proto.registry import status, uids
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRATOVAN
from dicos_proto.upper_layer.pdu_types import UserInformation

from ..blocking import Session
from ..dicos import send
from ..options import ConnectOptions
from ..sessions.base import ConnectionFailed
from ..tls import TLSConfigError
from .certificates import Certificates
from .flags import RESULT_DCSCLIENT, SOPCLASSUID, Result, family_of
from .line import Line
from .loaders import Sendable, objects_of
from .negotiating import compression_of, families_without, is_port, is_positive, title_fault
from .texts import ErrorLog, Text

__all__ = ["DcsClient"]

READ_TIMEOUT: Final = 30_000
WRITE_TIMEOUT: Final = 30_000
"""Milliseconds. The original has 1000 for both, and does not apply the first while it waits for an answer; here it is
applied, and the answer to an object comes when the server has looked at it."""


@dataclass(slots=True)
class _Settings:
    """What a client keeps from one connection to the next. Times in milliseconds."""

    host: str = ""
    port: int = 0
    source: str = ""
    calling: str = "DICOS_PROTO"
    called: str = "ANY-SCP"
    read: int = READ_TIMEOUT
    write: int = WRITE_TIMEOUT
    user: str | None = None
    passcode: str | None = field(default=None, repr=False)
    compressed_first: bool = True
    uncompressed: bool = False
    tls: bool = False
    ciphers: str = "best-practices"

    @property
    def timeouts(self) -> Timeouts:
        read, write = self.read / 1000, self.write / 1000
        return Timeouts(
            association=read, response=read, release=read, pdu=read, message=read, connect=write, write_stall=write
        )

    @property
    def compression(self) -> Compression:
        return compression_of(first=self.compressed_first, never=self.uncompressed)

    def request(self) -> ConnectOptions:
        """The options of `connect`."""
        identity = None if self.user is None else user_identity(self.user, self.passcode)
        return {
            "calling_aet": self.calling,
            "called_aet": self.called,
            "application_context": uids.DICOS_APPLICATION_CONTEXT_V03,
            "user_information": UserInformation(max_length=0, user_identity=identity),
            "timeouts": self.timeouts,
            "tolerance": STRATOVAN,
        }


class DcsClient:
    """A client of one server. It keeps its settings from one connection to the next."""

    SOPCLASSUID = SOPCLASSUID
    RESULT_DCSCLIENT = RESULT_DCSCLIENT

    def __init__(self, other: DcsClient | None = None) -> None:
        """`other`: a client whose settings are copied."""
        self._log = ErrorLog()
        self._result = RESULT_DCSCLIENT.enumResultNone
        self._line: Line | None = None
        self._session: Session | None = None
        self._settings: _Settings = _Settings() if other is None else replace(other._settings)
        self._certificates: Certificates = Certificates() if other is None else other._certificates.copy()

    # -- settings ------------------------------------------------------------------------------------------------

    def SetServerPortandIP(self, nPort: int, dsIP: str) -> bool:
        """Sets the server: the port first. Returns False while connected, and for a port that is none."""
        if self.IsConnectedToServer():
            return self._failed("the server cannot be changed while connected to one: DisconnectFromServer first")
        if not is_port(nPort):
            return self._failed(f"port {nPort!a}; a number from 1 to 65535 comes first, then the address")
        self._settings.port, self._settings.host = nPort, str(dsIP)
        return self._done()

    def GetPort(self) -> int:
        """Returns the port of the server, 0 if there is none yet."""
        return self._settings.port

    def GetServerIP(self) -> Text:
        """Returns the address of the server."""
        return Text(self._settings.host)

    def SetClientIP(self, dsIP: str) -> bool:
        """Sets the local address to connect from, on a computer with several; "" for any."""
        self._settings.source = str(dsIP)
        return self._done()

    def GetClientIP(self) -> Text:
        """Returns the local address to connect from; "" for any."""
        return Text(self._settings.source)

    def SetSourceApplication(self, aeSource: str) -> bool:
        """Sets the name of this application: the calling AE title, at most 16 characters."""
        return self._set_title("source", str(aeSource))

    def GetSourceApplication(self) -> Text:
        """Returns the name of this application."""
        return Text(self._settings.calling)

    def SetDestinationApplication(self, aeDestination: str) -> bool:
        """Sets the name of the server's application: the called AE title, at most 16 characters."""
        return self._set_title("destination", str(aeDestination))

    def GetDestinationApplication(self) -> Text:
        """Returns the name of the server's application."""
        return Text(self._settings.called)

    def _set_title(self, which: str, title: str) -> bool:
        fault = title_fault(title)
        if fault:
            return self._failed(f"{which} application: {fault}")
        if which == "source":
            self._settings.calling = title
        else:
            self._settings.called = title
        return self._done()

    def SetReadTimeoutInMilliseconds(self, nTimeout: int) -> bool:
        """Sets how long to wait for an answer of the server. With a server that looks at an object before it answers,
        that is the time of the look."""
        return self._set_timeout("read", nTimeout)

    def GetReadTimeoutInMilliseconds(self) -> int:
        """Returns how long to wait for an answer of the server, in milliseconds."""
        return self._settings.read

    def SetWriteTimeoutInMilliseconds(self, nTimeout: int) -> bool:
        """Sets how long the server may take none of the bytes that are sent; to connect takes at most as long."""
        return self._set_timeout("write", nTimeout)

    def GetWriteTimeoutInMilliseconds(self) -> int:
        """Returns how long the server may take no bytes, in milliseconds."""
        return self._settings.write

    def _set_timeout(self, which: str, milliseconds: int) -> bool:
        if not is_positive(milliseconds):
            return self._failed(f"{which} timeout of {milliseconds!a} ms; more than 0")
        if which == "read":
            self._settings.read = int(milliseconds)
        else:
            self._settings.write = int(milliseconds)
        return self._done()

    def SetUserName(self, dsUserName: str) -> bool:
        """Presents this user to the server, without a passcode [PS3.7 D.3.3.7]."""
        self._settings.user, self._settings.passcode = str(dsUserName), None
        return self._done()

    def SetPasscodeAndUserName(self, dsPasscode: str, dsUserName: str) -> bool:
        """Presents this user with a passcode to the server: the passcode comes first. Without TLS, both go over the
        network as plain text."""
        self._settings.user, self._settings.passcode = str(dsUserName), str(dsPasscode)
        return self._done()

    def DeletePasscodeAndUserName(self) -> bool:
        """Presents no user."""
        self._settings.user, self._settings.passcode = None, None
        return self._done()

    def PrioritizeDataCompression(self, bPrioritize: bool = True) -> None:
        """True, the default, asks for compressed pixels (JPEG lossless) before uncompressed ones; False after them."""
        self._settings.compressed_first = bool(bPrioritize)

    def IsPrioritizingDataCompression(self) -> bool:
        """Returns True if compressed pixels come first."""
        return self._settings.compressed_first and not self._settings.uncompressed

    def DisableDataCompression(self, bDisable: bool = True) -> None:
        """Asks for uncompressed pixels only."""
        self._settings.uncompressed = bool(bDisable)

    def IsDataCompressionDisabled(self) -> bool:
        """Returns True if only uncompressed pixels are sent."""
        return self._settings.uncompressed

    # -- TLS -----------------------------------------------------------------------------------------------------

    def SetSslCertificate(self, file: str | Path, *rest: Any) -> bool:
        """`(pfx, password, name, log)`: presents the certificate of a PFX file; its CAs are trusted. `name` is that of
        the certificate; any other one is the name that the server's certificate has to have. `(file, log)`: trusts the
        certificates of a file (.pem, .crt, .cer, .p7b).

        Both may be called. Without a CA from either, those of the system are trusted. Returns False if the file cannot
        be used; `log`, an `ErrorLog` or a list, gets the reason, too.
        """
        fault = self._certificates.take(file, rest, client=True)
        return self._failed(fault) if fault else self._done()

    def EnableSsl(self, bEnable: bool = True) -> None:
        """Uses TLS for the next connection."""
        self._settings.tls = bool(bEnable)

    def IsUsingSsl(self) -> bool:
        """Returns True while connected by TLS."""
        return self.IsConnectedToServer() and self._line is not None and self._line.layer is not None

    def SetSslAllowedCiphers(self, dsCiphers: str) -> bool:
        """Sets the allowed cipher suites: a comma list of their names; `best-practices` for those of PS3.15 B.12."""
        self._settings.ciphers = str(dsCiphers)
        return self._done()

    def GetSslAllowedCiphers(self) -> Text:
        """Returns the allowed cipher suites."""
        return Text(self._settings.ciphers)

    def GetTlsCipherSuite(self) -> Text:
        """Returns the cipher suite of the connection; "" without TLS."""
        info = None if self._line is None or self._line.layer is None else self._line.layer.info
        return Text("" if info is None else info.cipher)

    # -- the connection --------------------------------------------------------------------------------------------

    def ConnectToServer(self) -> bool:
        """Connects, with TLS if it is enabled. True if connected already."""
        if self.IsConnectedToServer():
            return self._done()
        settings = self._settings
        if not settings.host or not settings.port:
            return self._failed("no server: SetServerPortandIP first")
        try:
            tls = self._certificates.for_client(settings.ciphers) if settings.tls else None
            source = settings.source or None
            self._line = Line.open(settings.host, settings.port, source=source, tls=tls, timeouts=settings.timeouts)
        except (ConnectionFailed, TLSConfigError, LocalProtocolError) as error:
            return self._failed(str(error))
        return self._done()

    def IsConnectedToServer(self) -> bool:
        """Returns True while connected, as far as is known: a peer that is gone shows at the next call."""
        if self._session is not None:
            return not self._session.association.wants_close
        return self._line is not None and self._line.waiting

    def DisconnectFromServer(self) -> bool:
        """Ends the session, if there is one, and the connection."""
        ended = self._session is None or self.StopDicosSession()
        if self._line is not None:
            self._line.close()
            self._line = None
        return ended

    def StartDicosSession(self, nSopClassUIDs: int) -> bool:
        """Asks for a session for these kinds of objects (`SOPCLASSUID`, joined by `|`). Returns False if the server
        refuses it, or accepts nothing of a kind; the log names what it refuses.

        After `StopDicosSession` it connects anew: a connection carries one session [PS3.8 7.2].
        """
        if self._session is not None:
            return self._failed("a session is open already: StopDicosSession first")
        if self._line is None:
            return self._failed("not connected: ConnectToServer first")
        if not self._line.waiting and not self.ConnectToServer():
            return False
        try:
            families = family_of(nSopClassUIDs)
            contexts = contexts_for(families, self._settings.compression)
            session = self._line.begin(contexts, **self._settings.request())
        except (AssociationError, ProtocolError, ValueError) as error:
            self._line.close()
            return self._failed(str(error))
        self._session = session
        refused = families_without(families, session)
        for one in session.refused:
            self._log.add(f"{uids.name_of(one.abstract_syntax)} is refused: {one.reason}")
        if refused:
            self.StopDicosSession()
            return self._failed(f"the server accepts nothing of {refused.name}")
        return self._done()

    def IsSessionInProgress(self) -> bool:
        """Returns True while a session is open."""
        return self._session is not None

    def StopDicosSession(self) -> bool:
        """Ends the session. Returns False if there is none, or the server did not agree in time."""
        session, self._session = self._session, None
        if session is None:
            return self._failed("no session is open")
        try:
            session.release()
        except (AssociationError, ProtocolError) as error:
            return self._failed(str(error))
        finally:
            session.close()
        return self._done()

    def Echo(self) -> bool:
        """Asks the server if it answers (C-ECHO): in the session, or in one of its own."""
        if self._session is not None:
            return self._echoed(self._session)
        connected = self.IsConnectedToServer()
        if not self.ConnectToServer() or not self.StartDicosSession(SOPCLASSUID.enumSopEcho):
            return False
        answered = self._echoed(self._session)
        self.StopDicosSession()
        if not connected:
            self.DisconnectFromServer()
        return self._done() if answered else False

    def _echoed(self, session: Session | None) -> bool:
        if session is None:
            return False
        try:
            answer = session.echo()
        except (AssociationError, ProtocolError) as error:
            return self._lost(error)
        return self._answered(answer.status)

    # -- objects -------------------------------------------------------------------------------------------------

    def CanSendCT(self) -> bool:
        """Returns True if the session is for CT."""
        return self._can(SOPCLASSUID.enumSopCT)

    def CanSendDXProcessing(self) -> bool:
        """Returns True if the session is for DX for processing."""
        return self._can(SOPCLASSUID.enumSopDXProcessing)

    def CanSendDXPresentation(self) -> bool:
        """Returns True if the session is for DX for presentation."""
        return self._can(SOPCLASSUID.enumSopDXPresentation)

    def CanSendAIT2D(self) -> bool:
        """Returns True if the session is for AIT 2D."""
        return self._can(SOPCLASSUID.enumSopAIT2D)

    def CanSendAIT3D(self) -> bool:
        """Returns True if the session is for AIT 3D."""
        return self._can(SOPCLASSUID.enumSopAIT3D)

    def CanSendTDR(self) -> bool:
        """Returns True if the session is for threat detection reports."""
        return self._can(SOPCLASSUID.enumSopTDR)

    def CanSendQR(self) -> bool:
        """Returns True if the session is for QR."""
        return self._can(SOPCLASSUID.enumSopQR)

    def CanSendEcho(self) -> bool:
        """Returns True if the session is for C-ECHO."""
        return self._can(SOPCLASSUID.enumSopEcho)

    def _can(self, kind: int) -> bool:
        return self._session is not None and not families_without(family_of(kind), self._session)

    def SendCT(self, ct: Sendable) -> bool:
        """Sends a CT: a `CTLoader` or a `dicos_proto.dicos.CT`. A CT with sections of different sizes is one object for
        each of them. Returns True if the server has stored all of it."""
        return self._send("CT", ct)

    def SendDX(self, dx: Sendable) -> bool:
        """Sends a DX, as `SendCT` does a CT."""
        return self._send("DX", dx)

    def SendAIT2D(self, ait: Sendable) -> bool:
        """Sends an AIT 2D, as `SendCT` does a CT."""
        return self._send("AIT2D", ait)

    def SendAIT3D(self, ait: Sendable) -> bool:
        """Sends an AIT 3D, as `SendCT` does a CT."""
        return self._send("AIT3D", ait)

    def SendTDR(self, tdr: Sendable) -> bool:
        """Sends a threat detection report, as `SendCT` does a CT."""
        return self._send("TDR", tdr)

    def SendQR(self, qr: Sendable) -> bool:
        """Sends a QR, as `SendCT` does a CT."""
        return self._send("QR", qr)

    def _send(self, kind: str, given: Sendable) -> bool:
        session = self._session
        if session is None:
            return self._failed("no session is open: ConnectToServer and StartDicosSession first")
        try:
            for one in objects_of(given, kind):
                answer = send(session, one)
                if not self._answered(answer.status):
                    return False
        except ContextNotAccepted as error:
            return self._failed(f"{error}; StartDicosSession names the kinds to send")
        except (TypeError, ValueError, RuntimeError, DicosError, DataSetError, LocalProtocolError) as error:
            return self._failed(str(error))
        except (AssociationError, ProtocolError) as error:
            return self._lost(error)
        return self._done()

    # -- results -------------------------------------------------------------------------------------------------

    def GetErrorLog(self) -> Text:
        """Returns the reasons of all calls that failed since the client was made, one line each; "" if there are
        none."""
        return self._log.GetErrorLog()

    def GetResult(self) -> Result:
        """Returns what became of the last call."""
        return self._result

    def IsValid(self) -> bool:
        """Returns True if the client knows its server."""
        return bool(self._settings.host and self._settings.port)

    def _done(self) -> bool:
        self._result = RESULT_DCSCLIENT.enumResultSuccess
        return True

    def _failed(self, why: str) -> bool:
        self._result = RESULT_DCSCLIENT.enumResultFailed
        self._log.add(why)
        return False

    def _lost(self, error: Exception) -> bool:
        session, self._session = self._session, None
        if session is not None:
            session.close()
        return self._failed(str(error))

    def _answered(self, code: int) -> bool:
        """Any status but success is a failure, a warning as well, as in the original."""
        if code == status.SUCCESS:
            return self._done()
        return self._failed(f"the server answered {status.describe(code)}")

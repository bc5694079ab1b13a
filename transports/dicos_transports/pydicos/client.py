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

from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.data import DataSetError
from dicos_proto.dicos import DicosError
from dicos_proto.dicos.profile import contexts_for
from dicos_proto.errors import LocalProtocolError, ProtocolError
from dicos_proto.registry import status, uids

from ..blocking import Session
from ..dicos import send
from ..sessions.base import ConnectionFailed
from ..tls import TLSConfigError
from .client_settings import ClientSettings
from .flags import SOPCLASSUID, family_of
from .line import Line
from .loaders import Sendable, objects_of
from .negotiating import families_without
from .texts import Text

__all__ = ["DcsClient"]


class DcsClient(ClientSettings):
    """A client of one server. It keeps its settings from one connection to the next."""

    SOPCLASSUID = SOPCLASSUID

    def __init__(self, other: DcsClient | None = None) -> None:
        """`other`: a client whose settings are copied."""
        super().__init__(other)
        self._line: Line | None = None
        self._session: Session | None = None

    # -- the connection --------------------------------------------------------------------------------------------

    def IsUsingSsl(self) -> bool:
        """Returns True while connected by TLS."""
        return self.IsConnectedToServer() and self._line is not None and self._line.layer is not None

    def GetTlsCipherSuite(self) -> Text:
        """Returns the cipher suite of the connection; "" without TLS."""
        info = None if self._line is None or self._line.layer is None else self._line.layer.info
        return Text("" if info is None else info.cipher)

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

        After `StopDicosSession` it connects again: a connection carries one session [PS3.8 7.2].
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
                answer = send(session, one, compression=self._settings.compression)
                if not self._answered(answer.status):
                    return False
        except ContextNotAccepted as error:
            return self._failed(f"{error}; StartDicosSession names the kinds to send")
        except (TypeError, ValueError, RuntimeError, DicosError, DataSetError, LocalProtocolError) as error:
            return self._failed(str(error))
        except (AssociationError, ProtocolError) as error:
            return self._lost(error)
        return self._done()

    # -- inside --------------------------------------------------------------------------------------------------

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

"""The settings of a `DcsClient`, its log and its results.

Knows: the original's names for them. Must not know: connections.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from dicos_proto.dicos.profile import Compression, user_identity
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRATOVAN
from dicos_proto.upper_layer.pdu_types import UserInformation

from ..options import ConnectOptions
from .certificates import Certificates
from .flags import RESULT_DCSCLIENT, Result
from .negotiating import LONGEST_TIME, compression_of, is_port, is_time, title_fault
from .texts import ErrorLog, Text

__all__ = ["ClientSettings"]

READ_TIMEOUT: Final = 30_000
WRITE_TIMEOUT: Final = 30_000
"""Milliseconds. The original has 1000 for both, and does not apply the first while it waits for an answer; here it is
applied, and the answer to an object comes when the server has looked at it."""


@dataclass(slots=True)
class Settings:
    """The settings that a client keeps from one connection to the next. Times in milliseconds."""

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
            association=read, response=read, release=read, pdu=read, message=read, connect=write, write_stall=write,
            artim=min(read, 30),  # after an abort, a peer that does not close is waited for as long
        )  # fmt: skip

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


class ClientSettings(ABC):
    """The part of a client that stays from one connection to the next."""

    RESULT_DCSCLIENT = RESULT_DCSCLIENT

    def __init__(self, other: ClientSettings | None = None) -> None:
        """`other`: a client whose settings are copied."""
        self._log = ErrorLog()
        self._result = RESULT_DCSCLIENT.enumResultNone
        self._settings: Settings = Settings() if other is None else replace(other._settings)
        self._certificates: Certificates = Certificates() if other is None else other._certificates.copy()

    # -- settings ------------------------------------------------------------------------------------------------

    def SetServerPortandIP(self, nPort: int, dsIP: str) -> bool:
        """Sets the server: the port first. Returns False while connected, and for an invalid port."""
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
        if not is_time(milliseconds):
            return self._failed(f"{which} timeout of {milliseconds!a} ms; 1 to {LONGEST_TIME}")
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

    def SetSslAllowedCiphers(self, dsCiphers: str) -> bool:
        """Sets the allowed cipher suites: a comma list of their names; `best-practices` for those of PS3.15 B.12."""
        self._settings.ciphers = str(dsCiphers)
        return self._done()

    def GetSslAllowedCiphers(self) -> Text:
        """Returns the allowed cipher suites."""
        return Text(self._settings.ciphers)

    # -- results -------------------------------------------------------------------------------------------------

    def GetErrorLog(self) -> Text:
        """Returns the reasons of all calls that failed since the client was made, one line each; "" if there are
        none."""
        return self._log.GetErrorLog()

    def GetResult(self) -> Result:
        """Returns the outcome of the last call."""
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

    @abstractmethod
    def IsConnectedToServer(self) -> bool:
        """Returns True while connected, as far as is known: a peer that is gone shows at the next call."""

"""The settings of a `DcsServer`, who may connect, and its log.

Knows: the original's names for them. Must not know: connections, callbacks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from dicos_proto.dicos.profile import Family, accept_policy, sop_classes
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.policy import AcceptPolicy

from .access import Access, Demand
from .certificates import Certificates
from .flags import family_of
from .negotiating import LONGEST_TIME, compression_of, is_port, is_time, title_fault
from .texts import ErrorLog, Text, note

__all__ = ["ServerSettings"]

READ_TIMEOUT: Final = 60_000
WRITE_TIMEOUT: Final = 30_000
"""Milliseconds."""


class ServerSettings(ABC):
    """The settings that a server keeps when it stops. They do not change while it listens."""

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
        self._access = Access(self._ask, self._log.add)

    @abstractmethod
    def IsActivelyAcceptingConnections(self) -> bool:
        """Returns True while it listens."""

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
            except ValueError:
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

    def GetErrorLog(self, into: object = None) -> Text:
        """Returns everything that failed since the server was made, one line each. `into`: an `ErrorLog` or a list that
        gets it, too."""
        text = self._log.GetErrorLog()
        if text:
            note(into, text)
        return text

    # -- inside --------------------------------------------------------------------------------------------------

    def _set(self, name: str, value: object) -> bool:
        if self.IsActivelyAcceptingConnections():
            return self._failed("settings cannot be changed while it listens: StopListening first")
        setattr(self, name, value)
        return True

    def _set_timeout(self, name: str, milliseconds: int) -> bool:
        if not is_time(milliseconds):
            return self._failed(f"timeout of {milliseconds!a} ms; 1 to {LONGEST_TIME}")
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

"""Certificates for `SetSslCertificate`, and what is trusted.

A PFX file has the certificate of this side with its key, and usually the certificates of the CAs above it. These CAs
are trusted for the peer, besides the files that `trust` is given. Without any, the system's CAs are.

Knows: PKCS#12, PEM and DER files. Must not know: connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from ..tls import ClientCertificate, ClientTLS, Identity, ServerTLS, TLSConfigError, load_certificates
from ..tls.identity import common_names, names
from .ciphers import ciphers_of
from .texts import note

__all__ = ["Certificates"]

_PKCS7: Final = (".p7b", ".p7c")
_PKCS12: Final = (".pfx", ".p12")


class Certificates:
    """The certificate of this side and those that it trusts."""

    def __init__(self) -> None:
        self.identity: Identity | None = None
        self.server_name: str | None = None
        """The name that the certificate of a server has to have; None: that of the address."""
        self._trusted: tuple[x509.Certificate, ...] = ()

    def use(self, pfx: str | Path, password: str, name: str = "", *, client: bool = False) -> None:
        """Takes the certificate of this side from a PFX file. `name`: the common name, or an alternative name, that it
        must have; "" for any. The original's documentation also gives a client the name of the server there: a client
        takes a name that is not its own as that. Raises `TLSConfigError`."""
        identity = Identity.from_pkcs12(pfx, password or None)
        known = _names_of(identity.certificate)
        if name and name not in known:
            if not client:
                shown = ", ".join(known) or "nobody"
                raise TLSConfigError(f"{str(pfx)!a}: the certificate is not for {name!a}, but for {shown!a}")
            self.server_name = name
        self.identity = identity
        self.trust(*(one for one in (*identity.chain, identity.certificate) if _is_ca(one)))

    def copy(self) -> Certificates:
        """Returns the same certificates, to be changed by themselves."""
        made = Certificates()
        made.identity, made._trusted, made.server_name = self.identity, self._trusted, self.server_name
        return made

    def take(self, file: str | Path, rest: Sequence[object], *, client: bool = False) -> str:
        """Takes the arguments of `SetSslCertificate` after the first: for a PFX file a password, perhaps a name and
        perhaps a log, for a file to trust no password. Returns what is wrong, which the log gets, too; "" if it can be
        used."""
        words = [str(one) for one in rest if isinstance(one, str)]
        log = next((one for one in rest if not isinstance(one, str)), None)
        if log is None and len(words) > 2:
            del words[2:]  # the tutorial's log is a text
        try:
            if words and Path(file).suffix.lower() in _PKCS12:
                self.use(file, *words[:2], client=client)
            else:
                self.trust_file(file)
        except (TLSConfigError, TypeError, ValueError) as error:  # also for what cannot be a path
            note(log, str(error))
            return str(error)
        return ""

    def trust_file(self, path: str | Path) -> None:
        """Trusts the certificates of a file: PEM or DER (.pem, .crt, .cer), or PKCS#7 (.p7b). Raises
        `TLSConfigError`."""
        path = Path(path)
        if path.suffix.lower() not in _PKCS7:
            self.trust(*load_certificates(path))
            return
        try:
            data = path.read_bytes()
            load = pkcs7.load_pem_pkcs7_certificates if b"-----BEGIN" in data else pkcs7.load_der_pkcs7_certificates
            self.trust(*load(data))
        except OSError as error:
            raise TLSConfigError(f"{str(path)!a}: {(error.strerror or str(error)).lower()}") from error
        except ValueError as error:
            raise TLSConfigError(f"{str(path)!a}: not a PKCS#7 file with certificates, or a damaged one") from error

    def trust(self, *certificates: x509.Certificate) -> None:
        """Trusts these certificates, besides those that are trusted already."""
        self._trusted += tuple(one for one in certificates if one not in self._trusted)

    def for_client(self, ciphers: str) -> ClientTLS:
        """Returns the TLS configuration of a client. Raises `TLSConfigError`."""
        tls12, tls13 = ciphers_of(ciphers)
        return ClientTLS(
            trust=self._trusted or None,
            identity=self.identity,
            server_hostname=self.server_name,
            ciphers=tls12,
            ciphersuites=tls13,
        )

    def for_server(self, ciphers: str, *, certificates: bool) -> ServerTLS | None:
        """Returns the TLS configuration of a server, None without a certificate of its own. `certificates`: clients
        have to present one of a trusted CA. Raises `TLSConfigError`."""
        tls12, tls13 = ciphers_of(ciphers)
        if self.identity is None:
            return None
        wanted = ClientCertificate.REQUIRED if certificates else ClientCertificate.NONE
        return ServerTLS(
            identity=self.identity,
            trust=self._trusted,
            client_certificates=wanted,
            ciphers=tls12,
            ciphersuites=tls13,
        )


def _names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    return (*common_names(certificate), *(one.partition(":")[2] for one in names(certificate)))


def _is_ca(certificate: x509.Certificate) -> bool:
    """Returns True for a CA's certificate, and for one that signed itself: nobody else vouches for it."""
    if certificate.issuer == certificate.subject:
        return True
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False

"""Who this side is and whom it trusts, read from files: PEM and PKCS#12.

Knows: how certificates, keys and revocation lists lie in files, and what can be wrong with them. Must not know:
connections. A fault is told as one line that names the file and the cause, and never what a password was. A key that
others on the same host can read is logged to "dicos.tls", as a warning: it is used all the same.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from dicos_proto.errors import ProtocolError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
_USABLE: Final = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
LOG: Final = logging.getLogger("dicos.tls")
LONGEST_SUBJECT: Final = 1024
"""Characters of a subject that are told."""
LARGEST: Final = 16 << 20
"""Bytes of a file of certificates. Stops: a disk image, read whole because its name was given by mistake."""
DAMAGED: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What comes out of a certificate that is looked into; OpenSSL looks less closely."""

T = TypeVar("T")


class TLSConfigError(ProtocolError):
    """What was given as certificate, key, password, suite or group cannot be used; one line says which and why."""


class PasswordNeeded(TLSConfigError):
    """The private key is encrypted and no password was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate with its private key, and the certificates between it and one that peers trust."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        if self.key.public_key() != self.certificate.public_key():
            raise TLSConfigError(
                f"the private key does not belong to the certificate of {_named(subject(self.certificate))}"
            )

    @classmethod
    def from_pem(
        cls, certificate: str | Path, key: str | Path | None = None, password: bytes | str | None = None
    ) -> Identity:
        """A PEM file of the certificate and then those of its chain, and one of the key; None: in the same file.

        Raises `TLSConfigError`."""
        first, *chain = load_certificates(certificate)
        found = cls(certificate=first, key=_load_key(Path(key or certificate), password), chain=tuple(chain))
        warn_of_readers(key or certificate)
        return found

    @classmethod
    def from_pkcs12(cls, path: str | Path, password: bytes | str | None = None) -> Identity:
        """A PKCS#12 file (.p12, .pfx) with certificate, key and chain. Raises `TLSConfigError`."""
        secret = _secret(password)
        data = _read(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # BER in place of DER, as Windows writes it, is no news
                found = pkcs12.load_pkcs12(data, secret)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _pkcs12_fault(path, data, secret, error) from error
        if found.cert is None or found.key is None:
            missing = "certificate" if found.cert is None else "private key"
            raise TLSConfigError(f"{_named(path)}: a PKCS#12 file without a {missing}")
        warn_of_readers(path)
        chain = tuple(one.certificate for one in found.additional_certs)
        return cls(certificate=found.cert.certificate, key=_usable(path, found.key), chain=chain)


def load_certificates(*paths: str | Path) -> tuple[x509.Certificate, ...]:
    """All certificates of PEM files, or of DER files of one each. Raises `TLSConfigError`."""
    found: list[x509.Certificate] = []
    for path in paths:
        data = _read(path)
        try:
            if b"-----BEGIN" in data:
                found += x509.load_pem_x509_certificates(data)
            else:
                found.append(x509.load_der_x509_certificate(data))
        except ValueError as error:
            what = "no certificate in it" if b"-----BEGIN CERT" not in data else "a damaged certificate"
            raise TLSConfigError(f"{_named(path)}: {what}") from error
    return tuple(found)


def load_crls(*paths: str | Path) -> tuple[x509.CertificateRevocationList, ...]:
    """All certificate revocation lists of PEM files, or of DER files of one each. Raises `TLSConfigError`."""
    found: list[x509.CertificateRevocationList] = []
    for path in paths:
        data = _read(path)
        lists = _PEM_CRL.findall(data)
        try:
            if lists:
                found += [x509.load_pem_x509_crl(one) for one in lists]
            elif b"-----BEGIN" in data:
                raise TLSConfigError(f"{_named(path)}: no revocation list (X509 CRL) in it")
            else:
                found.append(x509.load_der_x509_crl(data))
        except DAMAGED as error:
            what = "a damaged revocation list" if lists else "no revocation list (X509 CRL), or a damaged one"
            raise TLSConfigError(f"{_named(path)}: {what}") from error
    return tuple(found)


_PEM_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def warn_of_readers(path: str | Path, what: str = "private key") -> None:
    """Log it if a file with a secret can be read, or written, by others than its owner."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:  # whoever reads it tells
        return
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        LOG.warning(
            "%s: the %s in it can be used by others on this host (mode %04o); chmod 600 keeps it to its owner",
            _named(path),
            what,
            mode,
        )


def subject(certificate: x509.Certificate) -> str:
    """The subject, whatever it holds, at most `LONGEST_SUBJECT` characters of it. Text of a peer: escape it."""
    return _or_nothing(lambda: certificate.subject.rfc4514_string(), "")[:LONGEST_SUBJECT] or "(no subject)"


def issuer(certificate: x509.Certificate) -> str:
    """Likewise the name of who has signed it."""
    return _or_nothing(lambda: certificate.issuer.rfc4514_string(), "")[:LONGEST_SUBJECT] or "(no name)"


def names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Subject alternative names: `dns:host`, `ip:10.0.0.1`, `uri:...`, `email:...`."""
    found = _or_nothing(
        lambda: certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value,
        x509.SubjectAlternativeName([]),
    )
    return tuple(f"{kind}:{one.value}" for one in found if (kind := _name_kind(one)))


def _name_kind(name: x509.GeneralName) -> str | None:
    match name:
        case x509.DNSName():
            return "dns"
        case x509.IPAddress():
            return "ip"
        case x509.UniformResourceIdentifier():
            return "uri"
        case x509.RFC822Name():
            return "email"
        case _:
            return None


def common_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The common names of the subject."""
    wanted = x509.NameOID.COMMON_NAME
    return _or_nothing(lambda: tuple(str(one.value) for one in certificate.subject.get_attributes_for_oid(wanted)), ())


def _or_nothing(look: Callable[[], T], otherwise: T) -> T:
    """What a certificate of the peer holds; parts of it are parsed only now and may be damaged or absent."""
    try:
        return look()
    except (x509.ExtensionNotFound, *DAMAGED):
        return otherwise


def _load_key(path: Path, password: bytes | str | None) -> PrivateKey:
    data = _read(path)
    secret = _secret(password)
    if b"PRIVATE KEY-----" not in data:
        raise TLSConfigError(f"{_named(path)}: no private key in it")
    try:
        found = serialization.load_pem_private_key(data, secret)
    except TypeError as error:  # a password is missing, or given and not needed
        if secret is not None:
            return _load_key(path, None)
        raise PasswordNeeded(f"{_named(path)}: the private key is encrypted and no password was given") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        encrypted = b"ENCRYPTED" in data
        why = "wrong password, or a damaged private key" if encrypted else "a damaged private key"
        raise TLSConfigError(f"{_named(path)}: {why}") from error
    return _usable(path, found)


def _usable(path: str | Path, key: object) -> PrivateKey:
    if not isinstance(key, _USABLE):
        raise TLSConfigError(f"{_named(path)}: a private key of a kind that TLS does not use; RSA, EC, Ed25519, Ed448")
    return key


def _pkcs12_fault(path: str | Path, data: bytes, secret: bytes | None, error: Exception) -> TLSConfigError:
    """Why a PKCS#12 file cannot be read."""
    if b"-----BEGIN" in data:
        return TLSConfigError(f"{_named(path)}: PEM, not PKCS#12")
    if "password" not in str(error).lower():
        return TLSConfigError(f"{_named(path)}: no PKCS#12 file, or a damaged one")
    if secret is None:
        return PasswordNeeded(f"{_named(path)}: it is encrypted and no password was given")
    return TLSConfigError(f"{_named(path)}: wrong password")


def _secret(password: bytes | str | None) -> bytes | None:
    # What is no UTF-8 in an environment variable comes as surrogates.
    return password.encode("utf-8", "surrogateescape") if isinstance(password, str) else password


def _read(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise TLSConfigError(f"{_named(path)}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > LARGEST:
        raise TLSConfigError(f"{_named(path)}: more than {LARGEST} bytes; certificates are small")
    return data


def _named(path: str | Path) -> str:
    text = str(path)
    return text if text.isprintable() else ascii(text)

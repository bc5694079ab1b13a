"""Reads identities, trusted certificates and revocation lists from PEM, DER and PKCS#12 files.

Knows: the formats of these files, and their faults. Must not know: connections. A fault is one line that names the file
and the cause, and never contains a password. If other users of the host can read a key, it is used all the same, and a
warning is logged to "dicos.tls".
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

from dicos_proto.arguments import check_kind, check_several
from dicos_proto.errors import ProtocolError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
_USABLE: Final = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
LOG: Final = logging.getLogger("dicos.tls")
LONGEST_SUBJECT: Final = 1024
"""Most characters of a subject that are reported."""
LARGEST: Final = 16 << 20
"""Most bytes of a certificate file. Stops: a disk image named by mistake, read into memory."""
DAMAGED: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""The errors that reading parts of a certificate may raise; OpenSSL accepts some of these certificates."""

T = TypeVar("T")


class TLSConfigError(ProtocolError):
    """A certificate, key, password, suite or group that cannot be used; one line that names it and the cause."""


class PasswordNeeded(TLSConfigError):
    """The private key is encrypted and no password was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate with its private key, and the intermediate certificates up to one that peers trust."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        check_kind(self.certificate, "Identity(certificate={})", x509.Certificate, hint="; Identity.from_pem reads it")
        check_kind(self.key, "Identity(key=...)", *_USABLE, hint="; Identity.from_pem reads it")
        check_several(self.chain, "Identity(chain={})", "Certificate")
        if self.key.public_key() != self.certificate.public_key():
            raise TLSConfigError(
                f"the private key does not belong to the certificate of {_named(subject(self.certificate))}"
            )

    @classmethod
    def from_pem(
        cls, certificate: str | Path, key: str | Path | None = None, password: bytes | str | None = None
    ) -> Identity:
        """Read a PEM file with the certificate followed by its chain, and the key from `key` or else the same file.

        Raises `TLSConfigError`."""
        first, *chain = load_certificates(certificate)
        found = cls(certificate=first, key=_load_key(Path(key or certificate), password), chain=tuple(chain))
        warn_of_readers(key or certificate)
        return found

    @classmethod
    def from_pkcs12(cls, path: str | Path, password: bytes | str | None = None) -> Identity:
        """Read a PKCS#12 file (.p12, .pfx) with certificate, key and chain. Raises `TLSConfigError`."""
        secret = _secret(password)
        data = _read(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Windows writes BER instead of DER
                found = pkcs12.load_pkcs12(data, secret)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _pkcs12_fault(path, data, secret, error) from error
        if found.cert is None or found.key is None:
            missing = "certificate" if found.cert is None else "private key"
            raise TLSConfigError(f"{_named(path)}: PKCS#12 file without a {missing}")
        warn_of_readers(path)
        chain = tuple(one.certificate for one in found.additional_certs)
        return cls(certificate=found.cert.certificate, key=_usable(path, found.key), chain=chain)


def load_certificates(*paths: str | Path) -> tuple[x509.Certificate, ...]:
    """Read all certificates of PEM files, or the one of each DER file. Raises `TLSConfigError`."""
    found: list[x509.Certificate] = []
    for path in paths:
        data = _read(path)
        try:
            if b"-----BEGIN" in data:
                found += x509.load_pem_x509_certificates(data)
            else:
                found.append(x509.load_der_x509_certificate(data))
        except ValueError as error:
            what = "no certificate in it" if b"-----BEGIN CERT" not in data else "damaged certificate"
            raise TLSConfigError(f"{_named(path)}: {what}") from error
    return tuple(found)


def load_crls(*paths: str | Path) -> tuple[x509.CertificateRevocationList, ...]:
    """Read all revocation lists of PEM files, or the one of each DER file. Raises `TLSConfigError`."""
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
            what = "damaged revocation list" if lists else "not a revocation list (X509 CRL), or a damaged one"
            raise TLSConfigError(f"{_named(path)}: {what}") from error
    return tuple(found)


_PEM_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def warn_of_readers(path: str | Path, what: str = "private key") -> None:
    """Log a warning if other users than the owner can read or write a file with a secret."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:  # reading the file raises it again
        return
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        LOG.warning(
            "%s: other users of this host can access the %s in it (mode %04o); chmod 600 restricts it to its owner",
            _named(path),
            what,
            mode,
        )


def subject(certificate: x509.Certificate) -> str:
    """Return the subject, cut to `LONGEST_SUBJECT` characters. It is untrusted text of the peer: escape it."""
    return _or_nothing(lambda: certificate.subject.rfc4514_string(), "")[:LONGEST_SUBJECT] or "(no subject)"


def issuer(certificate: x509.Certificate) -> str:
    """Return the name of the issuer, likewise cut and untrusted."""
    return _or_nothing(lambda: certificate.issuer.rfc4514_string(), "")[:LONGEST_SUBJECT] or "(no name)"


def names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the subject alternative names: `dns:host`, `ip:10.0.0.1`, `uri:...`, `email:...`."""
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
    """Return the common names of the subject."""
    wanted = x509.NameOID.COMMON_NAME
    return _or_nothing(lambda: tuple(str(one.value) for one in certificate.subject.get_attributes_for_oid(wanted)), ())


def _or_nothing(look: Callable[[], T], otherwise: T) -> T:
    """Return a part of a certificate, or `otherwise` if it is absent or damaged; parts are parsed on access."""
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
    except TypeError as error:  # the password is missing, or there is one but no encryption
        if secret is not None:
            return _load_key(path, None)
        raise PasswordNeeded(f"{_named(path)}: the private key is encrypted and no password was given") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        encrypted = b"ENCRYPTED" in data
        why = "wrong password, or damaged private key" if encrypted else "damaged private key"
        raise TLSConfigError(f"{_named(path)}: {why}") from error
    return _usable(path, found)


def _usable(path: str | Path, key: object) -> PrivateKey:
    if not isinstance(key, _USABLE):
        raise TLSConfigError(f"{_named(path)}: private key of a type that TLS cannot use; RSA, EC, Ed25519, Ed448")
    return key


def _pkcs12_fault(path: str | Path, data: bytes, secret: bytes | None, error: Exception) -> TLSConfigError:
    """Return the error that says why a PKCS#12 file cannot be read."""
    if b"-----BEGIN" in data:
        return TLSConfigError(f"{_named(path)}: PEM, not PKCS#12")
    if "password" not in str(error).lower():
        return TLSConfigError(f"{_named(path)}: not a PKCS#12 file, or a damaged one")
    if secret is None:
        return PasswordNeeded(f"{_named(path)}: the file is encrypted and no password was given")
    return TLSConfigError(f"{_named(path)}: wrong password")


def _secret(password: bytes | str | None) -> bytes | None:
    # Bytes of an environment variable that are not UTF-8 appear as surrogates.
    return password.encode("utf-8", "surrogateescape") if isinstance(password, str) else password


def _read(path: str | Path) -> bytes:
    check_kind(path, "path {}", str, os.PathLike, hint="; several paths are arguments of their own")
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise TLSConfigError(f"{_named(path)}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > LARGEST:
        raise TLSConfigError(f"{_named(path)}: larger than {LARGEST} bytes, too large for certificates")
    return data


def _named(path: str | Path) -> str:
    text = str(path)
    return text if text.isprintable() else ascii(text)

"""A certification authority for tests: everything a hospital has, and everything that goes wrong there.

Keys are EC, so that all of it is made in some milliseconds; files are written where a test gives a folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from dicos_transports.tls import Identity
from dicos_transports.tls.identity import PrivateKey

HOST = "pacs.example"
PASSWORD = b"open sesame"
_DAY = timedelta(days=1)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(
    common_name: str,
    key: PrivateKey,
    issuer: CA | None,
    *,
    ca: bool = False,
    names: Iterable[str] = (),
    valid: tuple[int, int] = (-1, 30),
    key_usage: bool = True,
    extension: x509.ExtensionType | None = None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    signer = key if issuer is None else issuer.key
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(_name(common_name) if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid[0] * _DAY)
        .not_valid_after(now + valid[1] * _DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if key_usage:
        made = made.add_extension(_usage(ca), critical=True)
    if names:
        made = made.add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), critical=False)
    if extension is not None:
        made = made.add_extension(extension, critical=False)
    return made.sign(signer, hashes.SHA256())


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=not ca, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip


class CA:
    """One authority. `issue` makes identities."""

    def __init__(self, common_name: str, issuer: CA | None = None, *, key_usage: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _certificate(common_name, self.key, issuer, ca=True, key_usage=key_usage)
        self.chain = () if issuer is None else (self.certificate, *issuer.chain)

    def issue(
        self,
        common_name: str,
        *names: str,
        valid: tuple[int, int] = (-1, 30),
        rsa_bits: int = 0,
        extension: x509.ExtensionType | None = None,
    ) -> Identity:
        key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(common_name, key, self, names=names, valid=valid, extension=extension)
        return Identity(certificate=certificate, key=key, chain=self.chain)

    def crl(
        self, *revoked: x509.Certificate, valid: tuple[int, int] = (-1, 30), key: PrivateKey | None = None
    ) -> x509.CertificateRevocationList:
        """Its list of these, signed by `key` in place of its own."""
        now = datetime.now(UTC)
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now + valid[0] * _DAY)
            .next_update(now + valid[1] * _DAY)
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(now - _DAY)
            made = made.add_revoked_certificate(entry.build())
        return made.sign(key or self.key, hashes.SHA256())


@dataclass(frozen=True)
class Hospital:
    """One of each."""

    root: CA
    server: Identity
    """For HOST, localhost, 127.0.0.1 and ::1."""
    client: Identity
    """For a device named scanner-1."""
    rsa_server: Identity
    expired: Identity
    future: Identity
    wrong_name: Identity
    stranger: Identity
    """From another authority, with the right name."""
    below: Identity
    """From an intermediate authority, with the chain."""
    old_root: CA
    """Without keyUsage."""
    old_server: Identity


@cache
def hospital() -> Hospital:
    """The same one for all tests of a run."""
    names = (HOST, "localhost", "127.0.0.1", "::1")
    root, other, old = CA("Test Root"), CA("Another Root"), CA("Old Hospital CA", key_usage=False)
    return Hospital(
        root=root,
        server=root.issue("pacs", *names),
        client=root.issue("scanner-1", "scanner-1.example"),
        rsa_server=root.issue("pacs", *names, rsa_bits=2048),
        expired=root.issue("pacs", *names, valid=(-30, -1)),
        future=root.issue("pacs", *names, valid=(1, 30)),
        wrong_name=root.issue("elsewhere", "elsewhere.example", "10.1.2.3"),
        stranger=other.issue("pacs", *names),
        below=CA("Test Intermediate", root).issue("pacs", *names),
        old_root=old,
        old_server=old.issue("pacs", *names),
    )


# -- as files ----------------------------------------------------------------------------------------------------


def write_certificates(path: Path, *certificates: x509.Certificate) -> Path:
    path.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates))
    return path


def write_crls(path: Path, *crls: x509.CertificateRevocationList) -> Path:
    path.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in crls))
    return path


def write_key(path: Path, identity: Identity, password: bytes | None = None) -> Path:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(
        identity.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    path.chmod(0o600)
    return path


def write_pkcs12(path: Path, identity: Identity, password: bytes | None = PASSWORD) -> Path:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"dicos", identity.key, identity.certificate, identity.chain or None, encryption
        )
    )
    path.chmod(0o600)
    return path


@dataclass(frozen=True)
class Files:
    """The files of an identity, and of the authority that others are to trust."""

    certificate: Path
    key: Path
    pfx: Path
    ca: Path


def write_all(folder: Path, identity: Identity, ca: CA | None = None, stem: str = "server") -> Files:
    return Files(
        certificate=write_certificates(folder / f"{stem}.pem", identity.certificate, *identity.chain),
        key=write_key(folder / f"{stem}.key", identity),
        pfx=write_pkcs12(folder / f"{stem}.pfx", identity),
        ca=write_certificates(folder / f"{stem}-ca.pem", (ca or hospital().root).certificate),
    )

"""Certificates for the TLS targets, made when they are first needed, and the configurations of both sides.

Knows: cryptography, an extra. Must not know: targets. Invariants: nothing is written to a file, no key outlives the
process.
"""

from __future__ import annotations

import datetime
import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography import x509

    from dicos_transports.tls.config import ClientTLS, ServerTLS

__all__ = ["HOST", "available", "configurations"]

HOST: Final = "provider.example"


def available() -> bool:
    """Returns True if the packages for TLS are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("OpenSSL", "cryptography", "service_identity"))


def _usage(ca: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


@cache
def configurations() -> tuple[ClientTLS, ServerTLS]:
    """Returns the configurations of a client and a server with certificates of one CA. They do not resume sessions."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from dicos_transports.tls.config import ClientTLS, ServerTLS
    from dicos_transports.tls.identity import Identity

    now = datetime.datetime.now(datetime.UTC)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "DICOS fuzz")])

    def made(name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(root_name if ca else x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(root_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
            .add_extension(_usage(ca), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        )
        return builder.sign(root_key, hashes.SHA256())

    root = made("ca.example", root_key, ca=True)
    user_key, provider_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    user = Identity(certificate=made("user.example", user_key, ca=False), key=user_key)
    provider = Identity(certificate=made(HOST, provider_key, ca=False), key=provider_key)
    return (
        ClientTLS(trust=(root,), identity=user, resume=False),
        ServerTLS(trust=(root,), identity=provider, resume=False),
    )

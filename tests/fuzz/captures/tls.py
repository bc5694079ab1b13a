"""Two ends of TLS in memory, made by OpenSSL: their records in order, and the key log that OpenSSL writes."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

Said = tuple[bool, bytes]
"""True if the client sends the bytes, and the bytes."""
ALLOW_RENEGOTIATION, NO_ENCRYPT_THEN_MAC = 1 << 8, 1 << 19
"""Options of OpenSSL for which pyOpenSSL has no names."""


@lru_cache
def identity(kind: str) -> tuple[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A key and a certificate that nobody checks."""
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pacs.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    return key, builder.sign(key, hashes.SHA256())


class Ends:
    """A TLS connection in memory. `said`: the bytes of both ends, in order. `log`: the lines of the key log."""

    def __init__(
        self,
        version: int = SSL.TLS1_3_VERSION,
        *,
        ciphers: str = "DEFAULT",
        suites: str = "",
        options: int = 0,
        resumes: Ends | None = None,
        curve: ec.EllipticCurve | None = None,
        client_certificate: bool = False,
    ) -> None:
        self.said: list[Said] = []
        self.log = bytearray()
        key, certificate = identity("ec" if "ECDSA" in ciphers else "rsa")
        self.contexts = resumes.contexts if resumes else (SSL.Context(SSL.TLS_METHOD), SSL.Context(SSL.TLS_METHOD))
        for context in () if resumes else self.contexts:
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
            context.set_cipher_list(f"{ciphers}:@SECLEVEL=0".encode())
            if suites:
                context.set_tls13_ciphersuites(suites.encode())
            context.set_options(options)
        if resumes is None:
            self.contexts[1].use_privatekey(key)  # type: ignore[arg-type]
            self.contexts[1].use_certificate(certificate)
            if curve:  # the only one of the server, for which the client has no key share in its first ClientHello
                self.contexts[1].set_tmp_ecdh(curve)
            if client_certificate:
                self.contexts[0].use_privatekey(key)  # type: ignore[arg-type]
                self.contexts[0].use_certificate(certificate)
                self.contexts[1].set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
            self.contexts[0].set_keylog_callback(lambda _, line: self.log.extend(line + b"\n"))
        else:
            self.log = resumes.log
        self.client, self.server = (SSL.Connection(context, None) for context in self.contexts)
        self.client.set_connect_state()
        self.server.set_accept_state()
        if resumes is not None:
            session = resumes.client.get_session()
            assert session is not None
            self.client.set_session(session)
        self._shake()

    def _shake(self) -> None:
        for _ in range(6):
            for end in (self.client, self.server):
                with suppress(SSL.WantReadError):
                    end.do_handshake()
                with suppress(SSL.WantReadError):
                    end.recv(1)
                self._carry(end)

    def _carry(self, end: SSL.Connection) -> None:
        other = self.server if end is self.client else self.client
        with suppress(SSL.WantReadError):
            while True:
                data = end.bio_read(1 << 16)
                self.said.append((end is self.client, data))
                other.bio_write(data)

    def send(self, by_client: bool, data: bytes) -> None:
        """Sends application data; the other end reads it."""
        end, other = (self.client, self.server) if by_client else (self.server, self.client)
        end.sendall(data)
        self._carry(end)
        got = b""
        while len(got) < len(data):
            got += other.recv(1 << 16)
        assert got == data

    def renegotiate(self) -> None:
        """Makes a second handshake in the protection of the first one (TLS 1.2)."""
        self.client.renegotiate()
        self._shake()

    def end(self) -> None:
        """Both ends say close_notify."""
        for end in (self.client, self.server):
            end.shutdown()
            self._carry(end)

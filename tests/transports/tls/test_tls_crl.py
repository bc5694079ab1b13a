"""Revocation lists, compared with OpenSSL's own verdict, and keys that other users can read."""

from __future__ import annotations

import logging
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dicos_proto.conversation.flows import AssociationAborted
from dicos_transports.blocking import connect
from dicos_transports.tls import ClientCertificate, ClientTLS, Identity, ServerTLS, TLSConfigError, load_crls
from tests.transports.certificates import CA, HOST, hospital, write_certificates, write_crls, write_key, write_pkcs12
from tests.transports.connections import CONTEXTS, Lines
from tests.transports.servers import ADAPTERS, serving

LISTS = tuple[x509.CertificateRevocationList, ...]


@dataclass(frozen=True)
class Authorities:
    """Create a root, a CA below it, and an identity of each."""

    root: CA
    below: CA
    other: CA
    direct: Identity
    leaf: Identity


@cache
def authorities() -> Authorities:
    root = CA("Root of Lists")
    below = CA("Authority below", root)
    names = (HOST, "localhost", "127.0.0.1")
    return Authorities(
        root=root, below=below, other=CA("Some Other"), direct=root.issue("direct", *names),
        leaf=below.issue("leaf", *names),
    )  # fmt: skip


def lists(case: str) -> LISTS:
    """Return the revocation lists of a case."""
    at = authorities()
    root, below, leaf = at.root, at.below, at.leaf.certificate
    wrong = ec.generate_private_key(ec.SECP256R1())
    return {
        "nothing revoked": (root.crl(), below.crl()),
        "others revoked": (root.crl(at.other.certificate), below.crl(at.direct.certificate)),
        "leaf revoked": (root.crl(), below.crl(leaf)),
        "authority revoked": (root.crl(below.certificate), below.crl()),
        "leaf's list missing": (root.crl(),),
        "authority's list missing": (below.crl(),),
        "of another issuer": (root.crl(), at.other.crl()),
        "leaf's list expired": (root.crl(), below.crl(valid=(-30, -1))),
        "authority's list expired": (root.crl(valid=(-30, -1)), below.crl()),
        "list not valid yet": (root.crl(), below.crl(valid=(1, 30))),
        "list of a wrong key": (root.crl(), below.crl(key=wrong)),
        "expired, and a new one": (root.crl(), below.crl(valid=(-30, -1)), below.crl()),
        "revoked in the new one": (root.crl(), below.crl(valid=(-30, -1)), below.crl(leaf)),
    }[case]


CASES = {
    "nothing revoked": None,
    "others revoked": None,
    "leaf revoked": "the peer's certificate ('CN=leaf') is revoked: its serial number",
    "authority revoked": "a certificate of the peer's chain ('CN=Authority below') is revoked",
    "leaf's list missing": "no revocation list (CRL) of its issuer 'CN=Authority below' was given",
    "authority's list missing": "no revocation list (CRL) of its issuer 'CN=Root of Lists' was given",
    "of another issuer": "no revocation list (CRL) of its issuer 'CN=Authority below' was given",
    "leaf's list expired": "the revocation list (CRL) of its issuer 'CN=Authority below' has expired: get the next one",
    "authority's list expired": "the revocation list (CRL) of its issuer 'CN=Root of Lists' has expired",
    "list not valid yet": "the revocation list (CRL) of its issuer 'CN=Authority below' is not valid yet",
    "list of a wrong key": "the revocation list (CRL) of its issuer 'CN=Authority below' cannot be used: ",
    "expired, and a new one": None,
    "revoked in the new one": "('CN=leaf') is revoked",
}
each = pytest.mark.parametrize("case", CASES)


@each
def test_openssl_says_the_same(case: str, tmp_path: Path) -> None:
    """`openssl verify -crl_check_all` accepts exactly the certificates that are accepted here."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    at = authorities()
    command = [
        "openssl", "verify", "-crl_check_all", "-x509_strict",
        "-CAfile", write_certificates(tmp_path / "ca.pem", at.root.certificate),
        "-untrusted", write_certificates(tmp_path / "below.pem", at.below.certificate),
        "-CRLfile", write_crls(tmp_path / "crls.pem", *lists(case)),
        write_certificates(tmp_path / "leaf.pem", at.leaf.certificate),
    ]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode == 0) is (CASES[case] is None), found.stderr


@each
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_client_looks_up_the_certificates_of_a_server(case: str, adapter: str) -> None:
    at, said = authorities(), CASES[case]
    server = ServerTLS(identity=at.leaf, client_certificates=ClientCertificate.NONE, handshake_timeout=None)
    client = ClientTLS(
        trust=(at.root.certificate,), crls=lists(case), server_hostname=HOST, handshake_timeout=None
    )  # fmt: skip
    with serving(adapter, tls=server) as running:
        if said is None:
            with connect(("127.0.0.1", running.port), CONTEXTS, tls=client) as session:
                assert session.echo().status == 0
            return
        with pytest.raises(AssociationAborted) as caught:
            connect(("127.0.0.1", running.port), CONTEXTS, tls=client)
    assert said in str(caught.value)


@each
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_server_looks_up_the_certificates_of_clients(case: str, adapter: str) -> None:
    at, said, lines = authorities(), CASES[case], Lines()
    logging.getLogger("dicos.server").addHandler(lines)
    server = ServerTLS(
        identity=at.direct, trust=(at.root.certificate,), crls=lists(case), handshake_timeout=None
    )  # fmt: skip
    client = ClientTLS(
        trust=(at.root.certificate,), identity=at.leaf, server_hostname=HOST, handshake_timeout=None
    )  # fmt: skip
    try:
        with serving(adapter, tls=server) as running:
            if said is None:
                with connect(("127.0.0.1", running.port), CONTEXTS, tls=client) as session:
                    assert session.echo().status == 0
                return
            with pytest.raises(AssociationAborted):
                connect(("127.0.0.1", running.port), CONTEXTS, tls=client)
            lines.wait_for(said)
            assert running.metrics.accepted == 0
    finally:
        logging.getLogger("dicos.server").removeHandler(lines)


def test_without_lists_nothing_is_looked_up() -> None:
    at = authorities()
    server = ServerTLS(identity=at.leaf, client_certificates=ClientCertificate.NONE)
    client = ClientTLS(trust=(at.root.certificate,), server_hostname=HOST)
    with (
        serving("blocking", tls=server) as running,
        connect(("127.0.0.1", running.port), CONTEXTS, tls=client) as session,
    ):
        assert session.echo().status == 0


def test_lists_that_nothing_is_looked_up_in_are_a_mistake() -> None:
    at = authorities()
    crls = lists("nothing revoked")
    with pytest.raises(TLSConfigError, match="the server's certificate is not verified"):
        ClientTLS(trust=(at.root.certificate,), crls=crls, verify=False)
    with pytest.raises(TLSConfigError, match="clients are not asked for certificates"):
        ServerTLS(identity=at.leaf, client_certificates=ClientCertificate.NONE, crls=crls)


# -- files ---------------------------------------------------------------------------------------------------------


def test_lists_are_read_from_pem_and_der(tmp_path: Path) -> None:
    first, second = lists("leaf revoked")
    pem = write_crls(tmp_path / "two.pem", first, second)
    der = tmp_path / "one.crl"
    der.write_bytes(second.public_bytes(serialization.Encoding.DER))
    certificate = authorities().root.certificate.public_bytes(serialization.Encoding.PEM)
    mixed = tmp_path / "mixed.pem"
    mixed.write_bytes(certificate + pem.read_bytes() + certificate)
    assert load_crls(pem) == load_crls(mixed) == (first, second)
    assert load_crls(der, pem) == (second, first, second)
    assert load_crls() == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file or directory"),
        (b"", "not a revocation list (X509 CRL), or a damaged one"),
        (b"\x30\x03\x02\x01\x00", "not a revocation list (X509 CRL), or a damaged one"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "no revocation list (X509 CRL) in it"),
        (b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", "damaged revocation list"),
        (bytes((16 << 20) + 1), "larger than 16777216 bytes"),
    ],
)
def test_what_is_no_list(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "a.crl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TLSConfigError) as caught:
        load_crls(path)
    assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("mode", "told"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o620, True)]
)
@pytest.mark.parametrize("kind", ["key", "one file", "pkcs12"])
def test_a_key_that_others_can_read_is_told_and_used(
    tmp_path: Path, kind: str, mode: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    one = hospital().server
    certificate, key = write_certificates(tmp_path / "a.pem", one.certificate), write_key(tmp_path / "a.key", one)
    certificate.chmod(0o644)  # a file that others may read
    if kind == "one file":
        key.write_bytes(certificate.read_bytes() + key.read_bytes())
    elif kind == "pkcs12":
        key = write_pkcs12(tmp_path / "a.pfx", one, None)
    key.chmod(mode)
    found = {
        "key": lambda: Identity.from_pem(certificate, key),
        "one file": lambda: Identity.from_pem(key),
        "pkcs12": lambda: Identity.from_pkcs12(key),
    }[kind]()
    assert found.certificate == one.certificate
    lines = [record.getMessage() for record in caplog.records if record.name == "dicos.tls"]
    text = f"{key}: other users of this host can access the private key in it (mode {mode:04o}); chmod 600 restricts it"
    assert [line.startswith(text) for line in lines] == [True] * told

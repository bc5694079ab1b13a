"""Certificates, keys and PKCS#12 files: reading them, and one line for each kind of fault."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import pkcs12

from dicos_transports.tls import ClientTLS, Identity, ServerTLS, TLSConfigError, load_certificates
from dicos_transports.tls.identity import common_names, names, subject
from tests.transports.certificates import PASSWORD, hospital, write_certificates, write_key, write_pkcs12

BELOW = hospital().below


def test_an_identity_of_two_pem_files(tmp_path: Path) -> None:
    certificate = write_certificates(tmp_path / "c.pem", BELOW.certificate, *BELOW.chain)
    key = write_key(tmp_path / "k.pem", BELOW)
    found = Identity.from_pem(certificate, str(key))
    assert (found.certificate, found.chain) == (BELOW.certificate, BELOW.chain)
    assert "key=" not in repr(found)


def test_an_identity_of_one_pem_file(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(
        write_key(tmp_path / "k", BELOW).read_bytes()
        + write_certificates(tmp_path / "c", BELOW.certificate).read_bytes()
    )
    assert Identity.from_pem(both).certificate == BELOW.certificate


@pytest.mark.parametrize("password", [PASSWORD, PASSWORD.decode()])
def test_an_encrypted_key(tmp_path: Path, password: bytes | str) -> None:
    certificate = write_certificates(tmp_path / "c.pem", BELOW.certificate)
    key = write_key(tmp_path / "k.pem", BELOW, PASSWORD)
    assert Identity.from_pem(certificate, key, password).certificate == BELOW.certificate


def test_a_password_that_is_not_needed_does_no_harm(tmp_path: Path) -> None:
    certificate = write_certificates(tmp_path / "c.pem", BELOW.certificate)
    assert Identity.from_pem(certificate, write_key(tmp_path / "k.pem", BELOW), "no use")


@pytest.mark.parametrize("password", [PASSWORD, None])
def test_a_pkcs12_file(tmp_path: Path, password: bytes | None) -> None:
    found = Identity.from_pkcs12(write_pkcs12(tmp_path / "i.pfx", BELOW, password), password)
    assert (found.certificate, found.chain) == (BELOW.certificate, BELOW.chain)


def test_certificates_as_pem_and_as_der(tmp_path: Path) -> None:
    root = hospital().root.certificate
    der = tmp_path / "ca.der"
    der.write_bytes(root.public_bytes(serialization.Encoding.DER))
    pem = write_certificates(tmp_path / "ca.pem", root, hospital().old_root.certificate)
    assert load_certificates(der, pem) == (root, root, hospital().old_root.certificate)
    assert load_certificates() == ()


def test_what_a_certificate_says() -> None:
    certificate = hospital().server.certificate
    assert subject(certificate) == "CN=pacs"
    assert common_names(certificate) == ("pacs",)
    assert names(hospital().root.certificate) == ()


def _text(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _certificate(folder: Path) -> Path:
    return write_certificates(folder / "c.pem", BELOW.certificate)


def _damaged(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"A" * 40
    path.write_bytes(data)
    return path


def _x25519(path: Path) -> Path:
    key = x25519.X25519PrivateKey.generate()
    return _text(
        path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _no_key(path: Path) -> Path:
    data = pkcs12.serialize_key_and_certificates(b"", None, None, BELOW.chain, serialization.NoEncryption())
    return _text(path, data)


def _too_large(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate((16 << 20) + 1)
    return path


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda f: Identity.from_pem(f / "none.pem"), "none.pem: no such file or directory"),
        (lambda f: Identity.from_pem(f), ": is a directory"),
        (lambda f: Identity.from_pem(_text(f / "x.pem", b"hello")), "x.pem: no certificate in it"),
        (lambda f: Identity.from_pem(_text(f / "x.pem", b"")), "x.pem: no certificate in it"),
        (lambda f: Identity.from_pem(write_key(f / "x.pem", BELOW)), "x.pem: no certificate in it"),
        (lambda f: Identity.from_pem(_damaged(_certificate(f))), "c.pem: damaged certificate"),
        (lambda f: load_certificates(_too_large(f / "disk")), "disk: larger than 16777216 bytes"),
        (lambda f: Identity.from_pem(_certificate(f)), "c.pem: no private key in it"),
        (lambda f: Identity.from_pem(_certificate(f), f / "none.key"), "none.key: no such file or directory"),
        (lambda f: Identity.from_pem(_certificate(f), _damaged(write_key(f / "k", BELOW))), "k: damaged private key"),
        (
            lambda f: Identity.from_pem(_certificate(f), write_key(f / "k", BELOW, PASSWORD), "wrong"),
            "k: wrong password, or damaged private key",
        ),
        (
            lambda f: Identity.from_pem(_certificate(f), write_key(f / "k", BELOW, PASSWORD)),
            "k: the private key is encrypted and no password was given",
        ),
        (
            lambda f: Identity.from_pem(_certificate(f), _x25519(f / "k")),
            "k: private key of a type that TLS cannot use",
        ),
        (
            lambda f: Identity.from_pem(_certificate(f), write_key(f / "k", hospital().client)),
            "the private key does not belong to the certificate of CN=pacs",
        ),
        (lambda f: Identity.from_pkcs12(write_pkcs12(f / "i.pfx", BELOW), "wrong"), "i.pfx: wrong password"),
        (
            lambda f: Identity.from_pkcs12(write_pkcs12(f / "i.pfx", BELOW)),
            "i.pfx: the file is encrypted and no password was given",
        ),
        (
            lambda f: Identity.from_pkcs12(_text(f / "i.pfx", b"hello"), "x"),
            "i.pfx: not a PKCS#12 file, or a damaged one",
        ),
        (lambda f: Identity.from_pkcs12(_text(f / "i.pfx", b"")), "i.pfx: not a PKCS#12 file, or a damaged one"),
        (lambda f: Identity.from_pkcs12(_certificate(f), "x"), "c.pem: PEM, not PKCS#12"),
        (lambda f: Identity.from_pkcs12(_no_key(f / "i.pfx")), "i.pfx: PKCS#12 file without a certificate"),
        (lambda f: Identity.from_pkcs12(f / "none.pfx", "x"), "none.pfx: no such file or directory"),
        (lambda f: Identity.from_pkcs12(f / "a\nb", "x"), "a\\nb': no such file or directory"),
        (lambda f: ClientTLS(ciphers="NO-SUCH-SUITE"), "cipher suites 'NO-SUCH-SUITE': OpenSSL knows none of them"),
        (lambda f: ClientTLS(ciphers="ä"), r"cipher suites '\xe4': OpenSSL knows none of them"),
        (lambda f: ClientTLS(ciphersuites="TLS_NONE"), "cipher suites 'TLS_NONE': OpenSSL does not know all of them"),
        (lambda f: ClientTLS(groups=("P-256", "P-1")), "key exchange groups 'P-256:P-1': OpenSSL does not know all"),
        (lambda f: ClientTLS(keylog=f / "none" / "keys"), "': no such file or directory"),
        (lambda f: ServerTLS(identity=hospital().server), "client certificates are required, but no CA is trusted"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    with pytest.raises(TLSConfigError) as caught:
        make(tmp_path)
    text = str(caught.value)
    assert why in text
    assert "\n" not in text
    assert "wrong" not in text or "wrong password" in text
    assert PASSWORD.decode() not in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_may_not_be_read(tmp_path: Path) -> None:
    key = write_key(tmp_path / "k", BELOW)
    key.chmod(0)
    with pytest.raises(TLSConfigError, match="permission denied"):
        Identity.from_pem(_certificate(tmp_path), key)


def test_every_byte_of_a_pkcs12_file_damaged_in_turn_is_a_config_error_or_no_harm(tmp_path: Path) -> None:
    texts: list[str] = []
    whole = write_pkcs12(tmp_path / "i.pfx", hospital().client, None).read_bytes()
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        try:
            Identity.from_pkcs12(_text(tmp_path / "d.pfx", bytes(damaged)))
        except TLSConfigError as error:
            texts.append(str(error))
    assert texts
    assert not any("\n" in one for one in texts)

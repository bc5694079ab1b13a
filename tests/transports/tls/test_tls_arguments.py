"""A path or a text in place of what it stands for is refused when the configuration is created."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dicos_transports.tls import (
    ClientCertificate,
    ClientTLS,
    Identity,
    ServerTLS,
    load_certificates,
    load_crls,
    titles_by_name,
)
from tests.transports.certificates import hospital

# The types of these arguments are wrong, which a type checker reports.
# mypy: disable-error-code="arg-type, dict-item"
BELOW = hospital().below
ROOT = hospital().root.certificate
SELF = Identity(certificate=BELOW.certificate, key=BELOW.key, chain=tuple(BELOW.chain))

MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "trust, a path": (
        lambda: ClientTLS(trust=Path("ca.pem")),
        "ClientTLS(trust=...): PosixPath in place of tuple; write load_certificates(path)",
    ),
    "trust, a text": (
        lambda: ServerTLS(identity=SELF, trust="ca.pem"),
        "ServerTLS(trust='ca.pem'): str in place of tuple; write load_certificates(path)",
    ),
    "trust, paths": (
        lambda: ClientTLS(trust=("ca.pem",)),
        "ClientTLS(trust=['ca.pem', ...]): str in place of Certificate; write load_certificates(path)",
    ),
    "trust, one certificate": (
        lambda: ClientTLS(trust=ROOT),
        "ClientTLS(trust=...): Certificate in place of tuple; write load_certificates(path)",
    ),
    "trust, a number": (lambda: ClientTLS(trust=5), "ClientTLS(trust=5): int in place of a tuple of Certificate"),
    "lists": (
        lambda: ClientTLS(crls="ca.crl"),
        "ClientTLS(crls='ca.crl'): str in place of tuple; write load_crls(path)",
    ),
    "client certificates": (
        lambda: ServerTLS(identity=SELF, client_certificates="none"),
        "ServerTLS(client_certificates='none'): str in place of ClientCertificate; write ClientCertificate.REQUIRED or "
        "ClientCertificate.REQUESTED or ClientCertificate.NONE",
    ),
    "a client's identity": (
        lambda: ClientTLS(identity="me.pem"),
        "ClientTLS(identity='me.pem'): str in place of Identity or None; Identity.from_pem reads one",
    ),
    "a server's identity": (
        lambda: ServerTLS(identity=("me.pem", "me.key"), trust=(ROOT,)),
        "ServerTLS(identity=...): tuple in place of Identity; Identity.from_pem reads one",
    ),
    "an identity by name": (
        lambda: ServerTLS(identity=SELF, trust=(ROOT,), by_name={"a.example": "a.pem"}),
        "ServerTLS(by_name={'a.example': 'a.pem'}): str in place of Identity; Identity.from_pem reads one",
    ),
    "identities by name": (
        lambda: ServerTLS(identity=SELF, trust=(ROOT,), by_name=[SELF]),
        "ServerTLS(by_name=...): list in place of a mapping of host names to Identity",
    ),
    "titles": (
        lambda: ServerTLS(identity=SELF, trust=(ROOT,), titles={"scanner": ["CT1"]}),
        "ServerTLS(titles=...): dict in place of a function or None; titles_by_name makes one",
    ),
    "a title by name": (
        lambda: titles_by_name({"dns:scanner": "CT1"}),
        "titles_by_name({'dns:scanner': 'CT1'}): str in place of a list of AE titles; write ['CT1']",
    ),
    "a profile": (
        lambda: ClientTLS(profile="extended"),
        "ClientTLS(profile='extended'): str in place of Profile; PROFILES has them by name",
    ),
    "groups": (
        lambda: ClientTLS(groups="X25519"),
        "ClientTLS(groups='X25519'): str in place of a tuple of groups; write ('X25519',)",
    ),
    "suites": (
        lambda: ClientTLS(ciphersuites=("A", "B")),
        "ClientTLS(ciphersuites=...): tuple in place of str or None",
    ),
    "a timeout": (lambda: ClientTLS(handshake_timeout="5"), "ClientTLS(handshake_timeout='5'): str in place of int or"),
    "a host name": (lambda: ClientTLS(server_hostname=b"a"), "ClientTLS(server_hostname=...): bytes in place of str"),
    "a certificate": (
        lambda: Identity(certificate="me.pem", key="me.key"),
        "Identity(certificate='me.pem'): str in place of Certificate; Identity.from_pem reads it",
    ),
    "a key": (lambda: Identity(certificate=ROOT, key="secret"), "Identity(key=...): str in place of RSAPrivateKey or"),
    "a chain": (
        lambda: Identity(certificate=BELOW.certificate, key=BELOW.key, chain=ROOT),
        "Identity(chain=...): Certificate in place of a tuple of Certificate",
    ),
    "paths in a list": (
        lambda: load_certificates(["a.pem", "b.pem"]),
        "path ...: list in place of str or PathLike; several paths are arguments of their own",
    ),
    "lists in a list": (lambda: load_crls(None), "path ...: None in place of str or PathLike"),
    "an identity without a path": (lambda: Identity.from_pem(None), "path ...: None in place of str or PathLike"),
}


@pytest.mark.parametrize(("make", "text"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_argument_is_refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(TypeError) as error:
        make()
    assert str(error.value).startswith(text)


def test_lists_in_place_of_tuples_are_accepted() -> None:
    assert ClientTLS(trust=[ROOT], groups=["X25519"], keylog=None)
    assert ServerTLS(identity=SELF, client_certificates=ClientCertificate.NONE)

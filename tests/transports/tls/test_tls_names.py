"""A server with several certificates: the one for the requested name is used, and sessions of that name only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dicos_proto.association import Association
from dicos_proto.upper_layer.pdu_types import Abort
from dicos_transports.blocking import connect
from dicos_transports.tls import (
    BCP195_RFC9325,
    EXTENDED,
    MODIFIED,
    ClientCertificate,
    ClientTLS,
    ServerTLS,
    TLSConfigError,
    TLSInfo,
    TLSLayer,
)
from tests.pair import Splitter, splitters
from tests.transports.certificates import hospital
from tests.transports.connections import CONTEXTS, Lines, server
from tests.transports.tls.test_tls_layer import FOREIGN, ROOT, Tunnel, client_tls, errors, server_tls

RSA = {"rsa_bits": 2048}  # the older profiles have only suites for such keys
ARCHIVE = hospital().root.issue("archive", "archive.example", **RSA)
VIEWER = hospital().root.issue("viewer", "viewer.example", **RSA)
CLINICS = hospital().root.issue("clinics", "*.clinics.example", **RSA)
SPECIAL = hospital().root.issue("special", "eye.clinics.example", **RSA)
BY_NAME = {
    "Archive.example": ARCHIVE,
    "viewer.example": VIEWER,
    "*.clinics.EXAMPLE": CLINICS,
    "eye.clinics.example": SPECIAL,
}
VERSIONS = pytest.mark.parametrize("profile", [EXTENDED, MODIFIED], ids=["TLSv1.2", "TLSv1.3"])


def named(**changes: Any) -> ServerTLS:
    return server_tls(**{"identity": hospital().rsa_server, "by_name": BY_NAME, **changes})


NAMED = named()


def met(client: ClientTLS, server: ServerTLS, host: str, split: Splitter | None = None) -> tuple[TLSInfo, str]:
    """Return the server's `TLSInfo` and the subject that the client saw, after the association."""
    tunnel = Tunnel.established(client, server, host=host, **({"split": split} if split else {}))
    info, seen = tunnel.info(), tunnel.user.layer.info
    assert seen is not None
    tunnel.user.engine.send(Abort())
    tunnel.settle()
    tunnel.pump()  # the session is kept
    return info, seen.subject


@pytest.mark.parametrize(
    ("host", "subject"),
    [
        ("archive.example", "CN=archive"),
        ("ARCHIVE.Example", "CN=archive"),
        ("viewer.example", "CN=viewer"),
        ("ear.clinics.example", "CN=clinics"),
        ("eye.clinics.example", "CN=special"),
        ("pacs.example", "CN=pacs"),
        ("127.0.0.1", "CN=pacs"),
    ],
)
@VERSIONS
def test_the_certificate_is_that_of_the_name_that_is_asked_for(profile: Any, host: str, subject: str) -> None:
    info, seen = met(client_tls(profile=profile), named(profile=profile), host)
    assert seen == subject
    assert info.server_name == (None if host == "127.0.0.1" else host)
    assert (info.subject, info.verified) == ("CN=scanner-1", True)


@pytest.mark.parametrize("host", ["deep.ear.clinics.example", "clinics.example", "other.example", "x.archive.example"])
def test_the_name_of_nobody_gets_the_certificate_for_all_others(host: str) -> None:
    _, seen = met(client_tls(check_hostname=False), NAMED, host)
    assert seen == "CN=pacs"


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_a_name_however_its_bytes_are_cut(split: Splitter) -> None:
    for host, subject in (("viewer.example", "CN=viewer"), ("pacs.example", "CN=pacs")):
        info, seen = met(client_tls(), NAMED, host, split)
        assert (info.server_name, seen) == (host, subject)


def test_a_name_when_the_key_exchange_takes_two_attempts() -> None:
    info, seen = met(client_tls(groups=("P-521", "X25519")), named(groups=("X25519",)), "viewer.example")
    assert (info.protocol, info.server_name, seen) == ("TLSv1.3", "viewer.example", "CN=viewer")


def test_names_in_other_letters_are_asked_for_as_idna_has_them() -> None:
    clinic = hospital().root.issue("munich", "xn--mnchen-3ya.example")
    _, seen = met(client_tls(), named(by_name={"München.example": clinic}), "münchen.example")
    assert seen == "CN=munich"


@VERSIONS
def test_a_session_is_resumed_under_its_name(profile: Any) -> None:
    client, config = client_tls(profile=profile), named(profile=profile)
    for host in ("archive.example", "ear.clinics.example", "pacs.example"):
        for resumed in (False, True, True):
            info, _ = met(client, config, host)
            assert (info.resumed, info.server_name, info.verified) == (resumed, host, True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("archive.example", "viewer.example"),
        ("archive.example", "pacs.example"),
        ("pacs.example", "archive.example"),
        ("pacs.example", "localhost"),
        ("ear.clinics.example", "nose.clinics.example"),
        ("ear.clinics.example", "eye.clinics.example"),
        ("127.0.0.1", "archive.example"),
    ],
)
@VERSIONS
def test_a_session_is_not_resumed_under_another_name(profile: Any, first: str, second: str) -> None:
    client, config = client_tls(profile=profile), named(profile=profile)
    met(client, config, first)
    client.sessions[second] = client.sessions.pop(first)  # a client that does not distinguish them
    info, _ = met(client, config, second)
    assert (info.resumed, info.server_name) == (False, second)
    info, _ = met(client, config, second)
    assert info.resumed


def test_nothing_is_resumed_where_that_is_not_wanted() -> None:
    client, config = client_tls(), named(resume=False)
    for _ in range(2):
        info, _ = met(client, config, "viewer.example")
        assert not info.resumed


def test_clients_of_a_named_server_need_certificates_as_well() -> None:
    user, provider = errors(Tunnel(client_tls(identity=None), NAMED, host="viewer.example"))
    assert user.startswith("TLS: the peer refuses (certificate required)")
    assert provider == "TLS handshake: the peer sent no certificate, and one is required"


def test_nothing_in_common_is_named_as_without_names() -> None:
    _, provider = errors(Tunnel(client_tls(groups=("P-384",)), named(groups=("X25519",)), host="viewer.example"))
    assert provider == "TLS handshake: no key exchange group in common with the peer"
    _, provider = errors(Tunnel(client_tls(profile=EXTENDED), named(ciphers="AES128-SHA"), host="viewer.example"))
    assert provider == "TLS handshake: no cipher suite in common with the peer"


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
@pytest.mark.parametrize("name", FOREIGN)
def test_something_else_than_tls_is_named(name: str, split: Splitter) -> None:
    content, seen = FOREIGN[name]
    layer = TLSLayer(Association.acceptor(), NAMED)
    for piece in split([content]):
        layer.receive_data(piece)
    assert str(layer.error).startswith(f"TLS handshake: {seen}")


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_what_only_begins_like_a_handshake_fails_as_without_names(split: Splitter) -> None:
    noise = b"\x16\x03\x01\x00\x20" + b"\x01\x00\x00\x1c" + b"\xff" * 28
    told = []
    for config in (NAMED, server_tls()):
        layer = TLSLayer(Association.acceptor(), config)
        for piece in split([noise]):
            layer.receive_data(piece)
        assert layer.error is not None
        told.append((str(layer.error), b"".join(layer.data_to_send())))
    assert told[0] == told[1]


def test_a_hello_that_does_not_end_is_refused() -> None:
    """OpenSSL's own limit ends it: the announced length has three bytes."""
    layer = TLSLayer(Association.acceptor(), NAMED)
    layer.receive_data(b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(16380))
    assert str(layer.error).startswith("TLS handshake: ")


def test_a_client_that_is_gone_before_its_hello_is_whole() -> None:
    tunnel = Tunnel(client_tls(), NAMED, host="viewer.example")
    hello = b"".join(tunnel.user.layer.data_to_send())
    layer = tunnel.provider.layer
    layer.receive_data(hello[:-1])
    layer.receive_eof()
    assert f"the peer closed the connection after {len(hello) - 1} bytes" in str(layer.error)
    assert layer.data_to_send() == []


@pytest.mark.parametrize(
    "name", ["", "*", "*.", "a.*.example", "*a.example", "10.1.2.3", "::1", "a..example", "a." * 3]
)
def test_what_is_no_host_name_is_refused_when_the_configuration_is_made(name: str) -> None:
    with pytest.raises(TLSConfigError) as caught:
        named(by_name={name: ARCHIVE})
    assert str(caught.value).startswith(f"by_name has {name!a}; a host name, or *. and a host name")


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(TLSConfigError, match=r"the host name 'a\.example' twice; case is ignored"):
        named(by_name={"a.example": ARCHIVE, "A.example": VIEWER})


def test_many_names_at_once_over_sockets(lines: Lines) -> None:
    hosts = {"archive.example": "CN=archive", "viewer.example": "CN=viewer", "pacs.example": "CN=pacs"}
    config = named(profile=BCP195_RFC9325)

    def ask(host: str) -> str:
        with connect(("127.0.0.1", running.port), CONTEXTS, tls=clients[host]) as session:
            assert session.echo().status == 0
            assert session.tls is not None
            return session.tls.subject

    clients = {host: ClientTLS(trust=ROOT, identity=hospital().client, server_hostname=host) for host in hosts}
    with server(tls=config) as running, ThreadPoolExecutor(6) as pool:
        assert [*pool.map(ask, [*hosts] * 10)] == [*hosts.values()] * 10
    assert lines.texts() == []


def test_suites_without_certificates_make_no_difference_to_names() -> None:
    """The connection that reads the name does not fail here without a certificate; its answer is discarded."""
    suites = "AECDH-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"
    client = client_tls(profile=EXTENDED, ciphers=suites, verify=False)
    config = named(profile=EXTENDED, ciphers=suites, client_certificates=ClientCertificate.NONE)
    info, _ = met(client, config, "viewer.example")
    assert (info.cipher, info.server_name) == ("AECDH-AES128-SHA", "viewer.example")

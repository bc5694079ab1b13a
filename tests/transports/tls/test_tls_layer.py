"""Two TLS layers back to back, each around an engine: a virtual clock, no sockets, every split of the bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL

from dicos_proto import dimse
from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange, response_to
from dicos_proto.conversation.performing import next_request
from dicos_proto.dimse.events import MessageData
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.services import verification
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateAccept, AssociateRequest, ReleaseRequest, ReleaseResponse
from dicos_proto.wire import Buffer
from dicos_transports.tls import (
    EXTENDED,
    MODIFIED,
    NON_DOWNGRADING,
    PROFILES,
    ClientCertificate,
    ClientTLS,
    ServerTLS,
    TLSConfigError,
    TLSError,
    TLSInfo,
    TLSLayer,
    refusal,
    titles_by_name,
)
from tests.pair import CT, POLICY, REQUEST, Splitter, bytewise, data, joined, negotiate, scattered, splitters, start
from tests.transports.certificates import CA, HOST, hospital

ROOT = (hospital().root.certificate,)


def client_tls(**changes: Any) -> ClientTLS:
    return ClientTLS(**{"trust": ROOT, "identity": hospital().client, **changes})


def server_tls(**changes: Any) -> ServerTLS:
    return ServerTLS(**{"trust": ROOT, "identity": hospital().server, **changes})


CLIENT, SERVER = client_tls(), server_tls()


@dataclass
class End:
    """A layer, its engine, and the data in transit to it."""

    layer: TLSLayer
    engine: Association
    flight: list[Buffer] = field(default_factory=list)
    carried: bytearray = field(default_factory=bytearray)
    over: bool = False


def as_pieces(buffers: list[bytes | memoryview]) -> list[Buffer]:
    return [bytes(one) for one in buffers]


class Tunnel:
    """Both ends. `pump` moves ciphertext like an adapter; time stands still until `jump`."""

    def __init__(
        self,
        client: ClientTLS = CLIENT,
        server: ServerTLS = SERVER,
        *,
        host: str | None = HOST,
        split: Splitter = as_pieces,
    ) -> None:
        user, provider = Association.requestor(REQUEST), Association.acceptor()
        self.user = End(TLSLayer(user, client, server_hostname=host), user)
        self.provider = End(TLSLayer(provider, server), provider)
        self.split = split
        self.now = 0.0

    def carry(self, source: End, target: End) -> bool:
        buffers = source.layer.data_to_send()
        source.carried += b"".join(buffers)
        target.flight += self.split(buffers)
        moved = bool(buffers)
        while target.flight and target.layer.wants_read:
            target.layer.receive_data(target.flight.pop(0))
            moved = True
        if source.layer.wants_close and not target.flight and not source.over:
            source.over = True
            target.layer.receive_eof()
            moved = True
        return moved

    def pump(self) -> None:
        while self.carry(self.user, self.provider) | self.carry(self.provider, self.user):
            pass

    def events(self, end: End) -> list[Any]:
        """Return all events of one engine, while the bytes of both are moved."""
        found: list[Any] = []
        while True:
            self.pump()
            event = end.engine.next_event()
            if event is None:
                return joined(found)
            found.append(event)
            if isinstance(event, Closed):
                return joined(found)

    def jump(self) -> str:
        """Go to the next deadline of either side, and return its reason."""
        found = [one for end in (self.user, self.provider) if (one := end.layer.deadline(self.now)) is not None]
        first = min(found, key=lambda one: one.at)
        self.now = first.at
        for end in (self.user, self.provider):
            end.layer.handle_timeout(self.now)
        return first.why

    def settle(self) -> tuple[list[Any], list[Any]]:
        """Return the last events of both sides, after any wait for an alert."""
        user: list[Any] = []
        provider: list[Any] = []
        for _ in range(4):
            user += self.events(self.user)
            provider += self.events(self.provider)
            if user and provider and user[-1] == provider[-1] == Closed():
                break
            self.jump()
        return user, provider

    @classmethod
    def established(cls, *args: Any, **options: Any) -> Tunnel:
        tunnel = cls(*args, **options)
        assert tunnel.events(tunnel.provider) == [REQUEST]
        tunnel.provider.engine.send(negotiate(REQUEST, POLICY))
        (accept,) = tunnel.events(tunnel.user)
        assert isinstance(accept, AssociateAccept)
        return tunnel

    def info(self) -> TLSInfo:
        """Return the negotiated parameters, as seen by the server."""
        seen, mine = self.provider.layer.info, self.user.layer.info
        assert seen is not None
        assert mine is not None
        assert (seen.protocol, seen.cipher, seen.resumed) == (mine.protocol, mine.cipher, mine.resumed)
        return seen


def read_all(end: End) -> bytes:
    """Return the bytes that OpenSSL has written on this side."""
    found = bytearray()
    with suppress(SSL.WantReadError):
        while True:
            found += end.layer._connection.bio_read(4096)
    return bytes(found)


def errors(tunnel: Tunnel) -> tuple[str, str]:
    """Return the first errors of both layers, which are those that the associations report."""
    user, provider = tunnel.settle()
    for end, events in ((tunnel.user, user), (tunnel.provider, provider)):
        if end.layer.error is not None:
            assert ProviderAbort(error=end.layer.error) in events
            assert "\n" not in str(end.layer.error)
        assert end.layer.wants_close
        assert not end.layer.wants_read
    return str(tunnel.user.layer.error), str(tunnel.provider.layer.error)


# -- conversations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_whole_conversation_however_its_bytes_are_cut(split: Splitter, profile: Any) -> None:
    tunnel = Tunnel.established(client_tls(profile=profile), server_tls(profile=profile), split=split)
    user, provider = tunnel.user, tunnel.provider
    uses, provides = Exchange(user.engine), Exchange(provider.engine)
    echo, serve = verification.echo(uses), next_request(provides)
    next(echo)
    next(serve)
    tunnel.pump()
    with pytest.raises(StopIteration) as asked:
        next(serve)
    request = asked.value.value
    provider.engine.send(response_to(request, 0))
    tunnel.pump()
    with pytest.raises(StopIteration) as answered:
        next(echo)
    assert answered.value.value.status == 0
    user.engine.send(ReleaseRequest())
    assert tunnel.events(provider) == [ReleaseRequest()]
    provider.engine.send(ReleaseResponse())
    assert tunnel.events(user) == [ReleaseResponse(), Closed()]
    assert tunnel.events(provider) == [Closed()]
    assert tunnel.info().protocol == ("TLSv1.2" if profile is EXTENDED else "TLSv1.3")
    assert user.layer.error is provider.layer.error is None
    assert b"PROVIDER" not in user.carried, "a title went out in the clear"


def test_nothing_is_encrypted_before_the_handshake_is_done() -> None:
    tunnel = Tunnel()
    hello = b"".join(tunnel.user.layer.data_to_send())
    assert hello[0] == 0x16
    assert encode(REQUEST)[6:20] not in hello
    assert tunnel.user.engine.bytes_queued == len(encode(REQUEST))
    assert tunnel.user.layer.data_to_send() == []
    assert tunnel.user.layer.info is tunnel.provider.layer.info is None


@pytest.mark.parametrize("size", [1, 2, 100, 16_384, 131_072, 1_000_000])
def test_data_of_every_size_arrives_as_it_was_sent(size: int) -> None:
    tunnel = Tunnel.established(split=scattered(size) if size < 20_000 else as_pieces)
    content = Random(size).randbytes(size + size % 2)
    request = dimse.CStoreRequest(
        message_id=1, affected_sop_class_uid=CT, priority=0, affected_sop_instance_uid="1.2.3"
    )
    tunnel.user.engine.send(start(3, request, has_data=True))
    tunnel.user.engine.send(data(3, content))
    received = tunnel.events(tunnel.provider)
    assert [type(one).__name__ for one in received] == ["MessageStart", "MessageData"]
    assert isinstance(received[1], MessageData)
    assert received[1].data == content


def test_headers_and_payload_are_joined_into_full_records() -> None:
    tunnel = Tunnel.established()
    tunnel.user.carried.clear()
    request = dimse.CStoreRequest(
        message_id=1, affected_sop_class_uid=CT, priority=0, affected_sop_instance_uid="1.2.3"
    )
    tunnel.user.engine.send(start(3, request, has_data=True))
    tunnel.user.engine.send(data(3, bytes(500_000)))
    tunnel.events(tunnel.provider)
    plain = 500_000 + 31 * 12
    assert len(tunnel.user.carried) < plain + (plain // 16_384 + 6) * 22 + 300


def test_records_of_one_byte_are_given_on_in_one_piece() -> None:
    tunnel = Tunnel.established()
    connection = tunnel.user.layer._connection
    for value in encode(ReleaseRequest()):
        connection.send(bytes((value,)))
    ciphertext = read_all(tunnel.user)
    assert len(ciphertext) >= 10 * 23
    tunnel.provider.layer.receive_data(ciphertext)
    assert tunnel.provider.engine.next_event() == ReleaseRequest()


def test_backpressure_of_the_association_is_that_of_the_layer() -> None:
    engine = Association.acceptor(limits=Limits(received_ahead=1000))
    tunnel = Tunnel()
    tunnel.provider = End(TLSLayer(engine, SERVER), engine)
    assert tunnel.events(tunnel.provider) == [REQUEST]
    engine.send(negotiate(REQUEST, POLICY))
    tunnel.pump()
    tunnel.user.layer._connection.send(bytes(2000))
    tunnel.provider.layer.receive_data(read_all(tunnel.user))
    assert not tunnel.provider.layer.wants_read


# -- what is negotiated --------------------------------------------------------------------------------------------


def test_what_the_server_knows_of_its_client() -> None:
    info = Tunnel.established().info()
    assert (info.protocol, info.cipher) == ("TLSv1.3", "TLS_AES_128_GCM_SHA256")
    assert info.certificate == hospital().client.certificate
    assert (info.subject, info.names) == ("CN=scanner-1", ("dns:scanner-1.example",))
    assert (info.server_name, info.resumed, info.verified) == (HOST, False, True)
    assert str(info) == "TLSv1.3, TLS_AES_128_GCM_SHA256; peer: 'CN=scanner-1'"


def test_what_the_client_knows_of_its_server() -> None:
    tunnel = Tunnel.established()
    info = tunnel.user.layer.info
    assert info is not None
    assert info.certificate == hospital().server.certificate
    assert info.names == (f"dns:{HOST}", "dns:localhost", "ip:127.0.0.1", "ip:::1")


@pytest.mark.parametrize(
    ("profile", "ciphers", "wanted"),
    [
        (EXTENDED, None, "ECDHE-RSA-AES256-GCM-SHA384"),
        (EXTENDED, "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"),
        (NON_DOWNGRADING, None, "TLS_AES_128_GCM_SHA256"),
        (MODIFIED, None, "TLS_AES_256_GCM_SHA384"),
    ],
)
def test_profiles_and_overrides_choose_the_suite(profile: Any, ciphers: str | None, wanted: str) -> None:
    client = client_tls(profile=profile, ciphers=ciphers)
    server = server_tls(profile=profile, identity=hospital().rsa_server)
    assert Tunnel.established(client, server).info().cipher == wanted


def test_suites_and_groups_of_tls_1_3_can_be_given() -> None:
    only = {"ciphersuites": "TLS_CHACHA20_POLY1305_SHA256", "groups": ("P-384",)}
    tunnel = Tunnel.established(client_tls(**only), SERVER)
    assert tunnel.info().cipher == "TLS_CHACHA20_POLY1305_SHA256"
    assert tunnel.user.layer._connection.get_group_name() == "secp384r1"


def test_nothing_in_common_is_named_on_both_sides() -> None:
    tunnel = Tunnel(client_tls(groups=("P-384",)), server_tls(groups=("X25519",)))
    assert errors(tunnel) == (
        "TLS handshake: the peer refuses (handshake failure): no versions or cipher suites in common, or "
        "it requires a certificate",
        "TLS handshake: no key exchange group in common with the peer",
    )


@pytest.mark.parametrize("profile", [EXTENDED, MODIFIED], ids=["TLSv1.2", "TLSv1.3"])
def test_a_session_is_resumed(profile: Any) -> None:
    client, server = client_tls(profile=profile), server_tls(profile=profile)
    for resumed in (False, True, True):
        tunnel = Tunnel.established(client, server)
        info = tunnel.info()
        assert (info.resumed, info.subject, info.verified) == (resumed, "CN=scanner-1", True)
        tunnel.user.engine.send(Abort())
        tunnel.settle()
        tunnel.pump()


@pytest.mark.parametrize("off", ["client", "server"])
def test_sessions_are_not_resumed_where_that_is_not_wanted(off: str) -> None:
    client, server = client_tls(resume=off != "client"), server_tls(resume=off != "server")
    for _ in range(2):
        tunnel = Tunnel.established(client, server)
        assert not tunnel.info().resumed
        tunnel.user.engine.send(Abort())
        tunnel.settle()


def test_a_session_is_resumed_only_with_the_same_name() -> None:
    client = client_tls()
    for host in (HOST, "localhost"):
        tunnel = Tunnel.established(client, host=host)
        assert not tunnel.info().resumed
        tunnel.user.engine.send(Abort())
        tunnel.settle()
    assert sorted(client.sessions) == ["localhost", HOST]


def test_secrets_are_logged_where_that_is_asked_for(tmp_path: Any) -> None:
    Tunnel.established(client_tls(keylog=tmp_path / "keys"), SERVER)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600
    words = {line.split()[0] for line in (tmp_path / "keys").read_text().splitlines()}
    assert {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} <= words


# -- certificates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "seen"),
    [
        ("expired", "the peer's certificate ('CN=pacs') expired on "),
        ("future", "the peer's certificate ('CN=pacs') is not valid before "),
        ("wrong_name", "the peer's certificate ('CN=elsewhere') is not for 'pacs.example': it is for "
                       "'dns:elsewhere.example, ip:10.1.2.3'"),
        ("stranger", "the peer's certificate ('CN=pacs') is not trusted: unable to get local issuer certificate"),
        ("old_server", "the peer's certificate ('CN=pacs') is not trusted: unable to get local issuer certificate"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("split", [as_pieces, bytewise], ids=["as sent", "bytes"])
def test_a_server_that_is_not_who_it_is_to_be(server: str, seen: str, split: Splitter) -> None:
    tunnel = Tunnel(server=server_tls(identity=getattr(hospital(), server)), split=split)
    user, provider = errors(tunnel)
    assert user.startswith(f"TLS handshake: {seen}")
    assert provider.startswith("TLS handshake: the peer refuses (")
    assert b"PROVIDER" not in tunnel.user.carried
    assert tunnel.user.layer.info is None


@pytest.mark.parametrize("host", [HOST, "localhost", "127.0.0.1", "::1", "PACS.example"])
def test_names_and_addresses_that_are_in_the_certificate(host: str) -> None:
    Tunnel.established(host=host)


@pytest.mark.parametrize("host", ["10.1.2.4", "::2", "example", "sub.pacs.example", "pacs.example.evil"])
def test_names_and_addresses_that_are_not(host: str) -> None:
    user, _ = errors(Tunnel(host=host))
    assert f"is not for {host!r}" in user


def test_the_configured_name_comes_before_what_is_connected_to() -> None:
    Tunnel.established(client_tls(server_hostname=HOST), host="10.9.9.9")


def test_a_name_that_is_not_checked() -> None:
    tunnel = Tunnel.established(client_tls(check_hostname=False), server_tls(identity=hospital().wrong_name))
    assert tunnel.user.layer.info is not None
    assert tunnel.user.layer.info.verified


def test_without_verification_any_certificate_will_do_and_it_shows() -> None:
    tunnel = Tunnel.established(client_tls(verify=False), server_tls(identity=hospital().stranger), host=None)
    info = tunnel.user.layer.info
    assert info is not None
    assert not info.verified
    assert str(info).endswith("peer: 'CN=pacs', not verified")


def test_a_client_must_know_whom_it_asks() -> None:
    with pytest.raises(LocalProtocolError, match="no host name to check"):
        Tunnel(host=None)
    with pytest.raises(LocalProtocolError, match="is not a host name"):
        Tunnel(host="a" * 300)


def test_a_chain_over_an_intermediate_authority() -> None:
    Tunnel.established(server=server_tls(identity=hospital().below))


def test_an_intermediate_authority_can_be_trusted_by_itself() -> None:
    below = hospital().below
    Tunnel.established(client_tls(trust=below.chain), server_tls(identity=below))


def test_an_old_authority_without_key_usage() -> None:
    old = {"trust": (hospital().old_root.certificate,)}
    server = server_tls(identity=hospital().old_server)
    user, _ = errors(Tunnel(client_tls(**old), server))
    assert user == (
        "TLS handshake: a certificate of the peer's chain ('CN=Old Hospital CA') breaks RFC 5280: CA cert does not "
        "include key usage extension; legacy_ca accepts it"
    )
    Tunnel.established(client_tls(**old, legacy_ca=True), server)


@pytest.mark.parametrize(
    ("client", "seen", "told"),
    [
        (None, "the peer sent no certificate, and one is required", "certificate required"),
        ("stranger", "the peer's certificate ('CN=pacs') is not trusted: unable to get local", "unknown ca"),
        ("expired", "the peer's certificate ('CN=pacs') expired on ", "certificate expired"),
    ],
)
def test_a_client_that_is_not_to_be_let_in(client: str | None, seen: str, told: str) -> None:
    identity = getattr(hospital(), client) if client else None
    tunnel = Tunnel(client_tls(identity=identity))
    user, provider = errors(tunnel)
    assert provider.startswith(f"TLS handshake: {seen}")
    assert f"the peer refuses ({told})" in user


def test_a_certificate_that_is_requested_and_not_sent() -> None:
    server = server_tls(client_certificates=ClientCertificate.REQUESTED)
    info = Tunnel.established(client_tls(identity=None), server).info()
    assert (info.certificate, info.subject, info.names, info.verified) == (None, "", (), False)
    assert str(info).endswith("peer: no certificate")
    assert "expired on" in errors(Tunnel(client_tls(identity=hospital().expired), server))[1]


def test_a_server_that_lets_anybody_in() -> None:
    server = server_tls(client_certificates=ClientCertificate.NONE, trust=())
    assert Tunnel.established(client_tls(), server).info().certificate is None


def test_a_server_that_trusts_nobody_and_wants_certificates_is_a_mistake() -> None:
    with pytest.raises(TLSConfigError, match="client certificates are required, but no CA is trusted"):
        server_tls(trust=())


# -- titles --------------------------------------------------------------------------------------------------------


def _asked(title: str) -> AssociateRequest:
    return AssociateRequest(called_aet="A", calling_aet=title, contexts=REQUEST.contexts)


@pytest.mark.parametrize("name", ["scanner-1", "dns:scanner-1.example", "DNS:Scanner-1.Example"])
def test_titles_go_with_the_names_of_a_certificate(name: str) -> None:
    info = Tunnel.established().info()
    server = server_tls(titles=titles_by_name({name: ["CT1", "CT2"], "dns:other": ["MR"]}))
    assert refusal(server, info, _asked("CT2")) is None
    for title in ("MR", "CT3"):
        reject = refusal(server, info, _asked(title))
        assert reject is not None
        assert (reject.result, reject.source, reject.reason) == (1, 1, 3)


def test_titles_of_nobody_and_of_who_was_not_verified() -> None:
    server = server_tls(titles=titles_by_name({"pacs": ["CT1"]}))
    unverified = Tunnel.established(client_tls(verify=False)).user.layer.info
    nobody = Tunnel.established(
        client_tls(identity=None), server_tls(client_certificates=ClientCertificate.REQUESTED)
    ).info()
    for info in (None, unverified, nobody):
        assert refusal(server, info, _asked("CT1")) is not None
        assert refusal(SERVER, info, _asked("CT1")) is refusal(CLIENT, info, _asked("CT1")) is None


# -- how it ends ---------------------------------------------------------------------------------------------------


def test_the_end_of_an_association_is_the_end_of_tls() -> None:
    tunnel = Tunnel.established()
    tunnel.user.engine.send(Abort())
    user, provider = tunnel.settle()
    assert (user[-1], provider[:2]) == (Closed(), [Abort(), Closed()])
    tunnel.pump()
    for end in (tunnel.user, tunnel.provider):
        assert end.layer._connection.get_shutdown() & SSL.SENT_SHUTDOWN
        assert end.layer.data_to_send() == []


def test_close_notify_in_the_middle_is_the_end_of_file() -> None:
    tunnel = Tunnel.established()
    tunnel.user.layer._connection.shutdown()
    tunnel.provider.layer.receive_data(read_all(tunnel.user))
    (lost, closed) = tunnel.events(tunnel.provider)
    assert str(lost.error) == "connection closed by the peer in Sta6, between PDUs"
    assert closed == Closed()
    assert tunnel.provider.layer.error is None


def test_the_end_of_the_connection_without_close_notify_is_truncation() -> None:
    tunnel = Tunnel.established()
    tunnel.provider.layer.receive_eof()
    assert tunnel.events(tunnel.provider) == [
        ProviderAbort(error=TLSError("TLS: truncated: the connection ended without close_notify")),
        Closed(),
    ]
    assert isinstance(tunnel.provider.layer.error, TLSError)
    tunnel.provider.layer.receive_eof()


@pytest.mark.parametrize("last", [Abort(), ReleaseRequest()])
def test_truncation_is_of_no_interest_once_the_association_is_over(last: Any) -> None:
    tunnel = Tunnel.established()
    tunnel.user.engine.send(last)
    ciphertext = b"".join(tunnel.user.layer.data_to_send())
    tunnel.provider.layer.receive_data(ciphertext)
    events = [tunnel.provider.engine.next_event()]
    if isinstance(last, ReleaseRequest):
        tunnel.provider.engine.send(ReleaseResponse())
    tunnel.provider.layer.receive_eof()
    while not isinstance(events[-1], Closed):
        events.append(tunnel.provider.engine.next_event())
    assert events == [last, Closed()]


def test_an_abort_that_is_not_parsed_yet_comes_before_the_truncation() -> None:
    tunnel = Tunnel.established()
    tunnel.user.engine.send(Abort())
    tunnel.provider.layer.receive_data(tunnel.user.layer.data_to_send()[0])
    tunnel.provider.layer.receive_eof()
    assert [tunnel.provider.engine.next_event() for _ in range(2)] == [Abort(), Closed()]


@pytest.mark.parametrize("split", [as_pieces, bytewise], ids=["as sent", "bytes"])
def test_a_record_that_was_changed(split: Splitter) -> None:
    tunnel = Tunnel.established(split=split)
    tunnel.user.engine.send(ReleaseRequest())
    damaged = bytearray(tunnel.user.layer.data_to_send()[0])
    damaged[-1] ^= 1
    tunnel.provider.flight += split([bytes(damaged)])
    events = tunnel.settle()[1]
    assert str(tunnel.provider.layer.error) == ("TLS: a record was changed in transit, or the peer encrypts wrongly")
    assert events == [ProviderAbort(error=tunnel.provider.layer.error), Closed()]
    assert "the peer refuses (bad record mac)" in str(tunnel.user.layer.error)


def test_garbage_after_the_handshake() -> None:
    tunnel = Tunnel.established()
    tunnel.provider.flight.append(bytes(range(200)))
    tunnel.settle()
    assert str(tunnel.provider.layer.error).startswith("TLS: ")


def test_the_first_error_stays() -> None:
    tunnel = Tunnel.established()
    tunnel.provider.layer.receive_data(bytes(range(200)))
    first = tunnel.provider.layer.error
    assert first is not None
    tunnel.provider.layer.receive_data(b"more")
    tunnel.provider.layer.receive_eof()
    tunnel.provider.layer.receive_data(b"and more")
    assert tunnel.provider.layer.error is first


def test_a_peer_gets_time_to_read_an_alert() -> None:
    tunnel = Tunnel.established()
    layer = tunnel.provider.layer
    layer.receive_data(bytes(range(200)))
    assert layer.wants_read
    assert not layer.wants_close
    assert tunnel.provider.engine.next_event() is None
    assert layer.data_to_send() != []
    deadline = layer.deadline(10.0)
    assert deadline is not None
    assert (deadline.at, deadline.why) == (12.0, "TLS: waiting for the peer to read an alert and close")
    layer.handle_timeout(11.9)
    assert not layer.wants_close
    layer.handle_timeout(12.0)
    assert isinstance(tunnel.provider.engine.next_event(), ProviderAbort)
    assert layer.wants_close
    assert layer.deadline(13.0) is None


# -- stalls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flights", range(4))
@pytest.mark.parametrize("profile", [EXTENDED, MODIFIED], ids=["TLSv1.2", "TLSv1.3"])
def test_a_handshake_that_stalls_has_a_deadline(flights: int, profile: Any) -> None:
    """Move `flights` flights and no more."""
    tunnel = Tunnel(client_tls(profile=profile, handshake_timeout=7.0), server_tls(profile=profile))
    ends = [tunnel.user, tunnel.provider]
    for flight in range(flights):
        source, target = ends[flight % 2], ends[(flight + 1) % 2]
        for buffer in source.layer.data_to_send():
            target.layer.receive_data(buffer)
    user = tunnel.user.layer
    deadline = user.deadline(100.0)
    assert deadline is not None
    if user.info is not None:
        assert deadline.why == "association: waiting for the answer"
        return
    assert (deadline.at, deadline.why) == (107.0, "TLS handshake")
    assert user.deadline(101.0) == deadline
    user.handle_timeout(106.9)
    assert user.error is None
    user.handle_timeout(107.0)
    assert str(user.error).startswith("TLS handshake: not done within 7 s, in which the peer sent ")
    assert [tunnel.user.engine.next_event() for _ in range(2)] == [ProviderAbort(error=user.error), Closed()]


def test_a_handshake_without_a_deadline() -> None:
    tunnel = Tunnel(client_tls(handshake_timeout=None), server_tls(handshake_timeout=None))
    assert tunnel.user.layer.deadline(1.0) is tunnel.provider.layer.deadline(1.0) is None
    tunnel.user.layer.handle_timeout(1e9)
    assert tunnel.user.layer.error is None
    with pytest.raises(ValueError, match="handshake_timeout of 0 s"):
        client_tls(handshake_timeout=0)


def test_timers_of_the_association_start_after_the_handshake() -> None:
    tunnel = Tunnel()
    assert tunnel.provider.layer.deadline(0.0) == tunnel.user.layer.deadline(0.0)
    tunnel.pump()
    found = tunnel.provider.layer.deadline(10.0)
    assert found is not None
    assert (found.at, found.why) == (40.0, "ARTIM: waiting for the whole A-ASSOCIATE-RQ")
    assert tunnel.jump() == "association: waiting for the answer"


# -- those who do not speak TLS ------------------------------------------------------------------------------------

FOREIGN: dict[str, tuple[bytes, str]] = {
    "request": (encode(REQUEST), r"plain DICOM (A-ASSOCIATE-RQ), not TLS: b'\x01\x00\x00\x00"),
    "abort": (encode(Abort()), r"plain DICOM (A-ABORT), not TLS: b'\x07\x00\x00\x00"),
    "http": (b"GET / HTTP/1.1\r\n\r\n", "HTTP, not TLS: b'GET / '"),
    "http answer": (b"HTTP/1.1 400 Bad Request\r\n", "an HTTP answer, not TLS: b'HTTP/1'"),
    "ssh": (b"SSH-2.0-OpenSSH_9\r\n", "SSH, not TLS: b'SSH-2.'"),
    "noise": (b"\x99\x98\x97\x96\x95\x94\x93", "something else, not TLS: b'\\x99"),
}


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
@pytest.mark.parametrize("name", FOREIGN)
def test_something_else_on_a_tls_port_is_named(name: str, split: Splitter) -> None:
    content, seen = FOREIGN[name]
    engine = Association.acceptor()
    layer = TLSLayer(engine, SERVER)
    for piece in split([content]):
        layer.receive_data(piece)
    assert str(layer.error).startswith(f"TLS handshake: {seen}")
    assert b"".join(layer.data_to_send()) == bytes.fromhex("15030300 02020a")
    assert [engine.next_event() for _ in range(2)] == [ProviderAbort(error=layer.error), Closed()]


def test_the_alert_is_named_by_a_plain_dicom_engine() -> None:
    engine = Association.acceptor()
    layer = TLSLayer(engine, SERVER)
    user = Association.requestor(REQUEST)
    layer.receive_data(b"".join(user.data_to_send()))
    user.receive_data(b"".join(layer.data_to_send()))
    event = user.next_event()
    assert isinstance(event, ProviderAbort)
    assert "a TLS alert, not DICOM" in str(event.error)


def test_plain_dicom_answers_a_client() -> None:
    engine = Association.requestor(REQUEST)
    layer = TLSLayer(engine, CLIENT, server_hostname=HOST)
    provider = Association.acceptor()
    provider.receive_data(b"".join(layer.data_to_send()))
    event = provider.next_event()
    assert isinstance(event, ProviderAbort)
    assert "a TLS handshake, not DICOM" in str(event.error)
    layer.receive_data(b"".join(provider.data_to_send()))
    assert str(layer.error).startswith("TLS handshake: plain DICOM (A-ABORT), not TLS")
    assert layer.data_to_send() == []


@pytest.mark.parametrize("end", [lambda layer: layer.receive_eof(), lambda layer: _late(layer)], ids=["EOF", "stall"])
def test_a_few_bytes_of_something_else(end: Callable[[TLSLayer], None]) -> None:
    layer = TLSLayer(Association.acceptor(), SERVER)
    layer.receive_data(b"\x01\x00")
    assert layer.error is None
    end(layer)
    assert str(layer.error) == r"TLS handshake: plain DICOM (A-ASSOCIATE-RQ), not TLS: b'\x01\x00'"


def _late(layer: TLSLayer) -> None:
    layer.deadline(0.0)
    layer.handle_timeout(1000.0)


def test_a_server_that_closes_at_once() -> None:
    layer = TLSLayer(Association.requestor(REQUEST), CLIENT, server_hostname=HOST)
    layer.receive_eof()
    assert str(layer.error) == "TLS handshake: the peer closed the connection after 0 bytes; does it speak TLS?"


def test_who_only_looks_whether_anybody_is_there_is_no_error() -> None:
    engine = Association.acceptor()
    layer = TLSLayer(engine, SERVER)
    layer.receive_eof()
    assert layer.error is None
    assert engine.next_event() == Closed()


def test_a_peer_that_closes_in_the_middle_of_the_handshake() -> None:
    tunnel = Tunnel()
    hello = b"".join(tunnel.user.layer.data_to_send())
    tunnel.provider.layer.receive_data(hello[:100])
    tunnel.provider.layer.receive_eof()
    assert str(tunnel.provider.layer.error) == (
        "TLS handshake: the peer closed the connection after 100 bytes; does it speak TLS?"
    )


def test_noise_that_begins_like_a_handshake() -> None:
    engine = Association.acceptor()
    layer = TLSLayer(engine, SERVER)
    layer.receive_data(b"\x16\x03\x01\x00\x05hello")
    assert str(layer.error).startswith("TLS handshake: ")
    layer.receive_eof()
    assert engine.next_event() == ProviderAbort(error=layer.error)


def test_renegotiation_is_refused() -> None:
    tunnel = Tunnel.established(client_tls(profile=EXTENDED, ciphers="ALL"), server_tls(profile=EXTENDED))
    assert tunnel.info().protocol == "TLSv1.2"
    connection = tunnel.user.layer._connection
    with pytest.raises(SSL.Error):
        connection.renegotiate()
    tunnel.user.engine.send(ReleaseRequest())
    assert tunnel.events(tunnel.provider) == [ReleaseRequest()]


def test_a_certificate_whose_names_are_damaged() -> None:
    damaged = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x82junk")
    identity = hospital().root.issue("pacs", extension=damaged)
    user, _ = errors(Tunnel(server=server_tls(identity=identity)))
    assert user.startswith("TLS handshake: the peer's certificate ('CN=pacs') is not ")
    tunnel = Tunnel.established(client_tls(verify=False), server_tls(identity=identity))
    assert tunnel.user.layer.info is not None
    assert tunnel.user.layer.info.names == ()


def test_a_certificate_without_names() -> None:
    user, _ = errors(Tunnel(server=server_tls(identity=hospital().root.issue("pacs.example"))))
    assert user.endswith("is not for 'pacs.example': it is for 'no name at all'")


def test_another_authority_of_the_same_name_is_another_authority() -> None:
    impostor = CA("Test Root").issue("pacs", HOST)
    user, _ = errors(Tunnel(server=server_tls(identity=impostor)))
    assert "is not trusted" in user or "is refused" in user


def test_an_abort_of_the_user_in_the_middle_of_the_handshake() -> None:
    tunnel = Tunnel()
    flow = flows.abort(tunnel.user.engine)
    next(flow)
    tunnel.pump()
    assert tunnel.events(tunnel.provider) == [REQUEST, Abort(), Closed()]

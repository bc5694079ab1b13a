"""Faults of TLS itself, against our adapters and DCMTK with TLS, which must not be blamed, and peers that are wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from dicos_fuzz.campaign.judging import TIMED, judge
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.player import Bounds, Peer, Player
from dicos_fuzz.campaign.probe import probe
from dicos_fuzz.campaign.scenarios import FAMILIES
from dicos_fuzz.campaign.scenarios.secured import HELLO, handshakes
from dicos_fuzz.conversation import Conversation, Side
from dicos_proto import propose
from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import connect
from dicos_transports.tls import ClientCertificate, ClientTLS, ServerTLS
from tests.fuzz.campaign.peers import raw_peer
from tests.interop.peers import dcmtk_storescp, needs_dcmtk
from tests.transports.certificates import hospital, write_all
from tests.transports.servers import ADAPTERS, serving

POLICY = AcceptPolicy(other_contexts=(uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE))
PATIENCE = 10.0
LEARNED = Learned(tls=True)


def configurations() -> tuple[ServerTLS, ClientTLS]:
    site = hospital()
    server = ServerTLS(identity=site.server, client_certificates=ClientCertificate.NONE)
    return server, ClientTLS(trust=(site.root.certificate,))


def blamed(quick: Player, conversations: Iterator[Conversation]) -> list[str]:
    """Plays them all; what depends on time again, with patience, as a campaign does."""
    learned, found = quick.learned, []
    for one in conversations:
        violations = judge(one, quick.play(one), learned)
        if any(each.oracle in TIMED for each in violations):
            quick.learned = replace(learned, answer_seconds=PATIENCE)
            violations = judge(one, quick.play(one), learned)
            quick.learned = learned
        found += [f"{one.name}: {each.oracle}: {each.detail}" for each in violations]
    return found


def all_of(learned: Learned, name: str = "tls", made: int = 20) -> Iterator[Conversation]:
    random = Random(12)
    yield from FAMILIES[name].systematic(learned)
    yield from (FAMILIES[name].random(learned, random) for _ in range(made))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_our_providers_are_not_blamed(adapter: str) -> None:
    server, client = configurations()
    with (
        serving(adapter, policy=POLICY, tls=server) as handle,
        Player(Peer(port=handle.port, tls=client), LEARNED) as player,
    ):
        learned = player.learned = replace(probe(player), tls=True)
        assert sum(1 for _ in all_of(learned)) > 100
        assert blamed(player, all_of(learned)) == []
        assert player.echo(PATIENCE) is not None


@pytest.mark.interop
@needs_dcmtk
def test_dcmtk_is_not_blamed(tmp_path: Path) -> None:
    files = write_all(tmp_path, hospital().server)
    (tmp_path / "received").mkdir()
    with (
        dcmtk_storescp(tmp_path / "received", "+tls", files.key, files.certificate, "-ic") as port,
        Player(Peer(port=port, tls=ClientTLS(verify=False)), LEARNED) as player,
    ):
        learned = player.learned = replace(probe(player), tls=True)
        assert blamed(player, all_of(learned, made=5)) == []
        assert player.echo(PATIENCE) is not None


@contextmanager
def our_caller(client: ClientTLS) -> Iterator[Player]:
    """A player that makes our user call it, which asks for an echo, as often as it is waited for."""
    server, _ = configurations()
    threads: list[threading.Thread] = []
    player = Player(
        Peer(listen=("127.0.0.1", 0), server_tls=server), LEARNED, bounds=Bounds(called=PATIENCE, connect=1.0)
    )

    def run() -> None:
        contexts = propose({uids.VERIFICATION: (uids.IMPLICIT_VR_LE,)})
        with suppress(Exception), connect(("127.0.0.1", player.port), contexts, tls=client) as session:
            session.echo()

    def call() -> None:
        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()

    player.trigger = call
    with player:
        yield player
    for one in threads:
        one.join(PATIENCE)
        assert not one.is_alive()


def test_our_user_is_not_blamed() -> None:
    _, client = configurations()
    with our_caller(client) as player:
        assert blamed(player, all_of(LEARNED, "tls-calls", made=3)) == []


# -- peers that are wrong ------------------------------------------------------------------------------------------


def one_of(name: str, family: str = "tls") -> Conversation:
    return next(one for one in FAMILIES[family].systematic(LEARNED) if one.name == f"{family}/{name}")


def found_in(port: int, conversation: Conversation) -> list[str]:
    _, client = configurations()
    with Player(Peer(port=port, tls=client), replace(LEARNED, answer_seconds=0.2)) as player:
        return [one.oracle for one in judge(conversation, player.play(conversation), LEARNED)]


def test_a_peer_that_serves_without_tls_too_is_found() -> None:
    with serving("blocking", policy=POLICY) as handle:  # as one that looks at the first byte would
        assert found_in(handle.port, one_of("no TLS")) == ["unsecured"]


def silent(sock: socket.socket) -> None:
    with suppress(OSError):
        while sock.recv(4096):
            pass
        threading.Event().wait(2.0)  # half-closed is not the end, to this one


@pytest.mark.parametrize("name", [name for name, _, _ in islice(handshakes(), 0, None, 7)])
def test_a_peer_that_keeps_a_failed_handshake_open_is_found(name: str) -> None:
    with raw_peer(silent) as port:
        assert found_in(port, one_of(f"handshake: {name}")) == ["kept-open"]


def test_a_peer_that_is_deaf_to_forged_records_is_found() -> None:
    """A proxy in front of our provider that drops what it does not believe in."""
    server, client = configurations()
    with serving("blocking", policy=POLICY, tls=server) as handle:
        forged = one_of("beneath: forged record")
        wire = next(step.message for step in forged.steps if getattr(step, "beneath", False))  # type: ignore[union-attr]

        def forward(sock: socket.socket) -> None:
            with socket.create_connection(("127.0.0.1", handle.port)) as other:
                threading.Thread(target=_copy, args=(other, sock, b""), daemon=True).start()
                _copy(sock, other, wire)

        with raw_peer(forward) as port, Player(Peer(port=port, tls=client), LEARNED) as player:
            assert [one.oracle for one in judge(forged, player.play(forged), LEARNED)] == ["kept-open"]


def _copy(source: socket.socket, target: socket.socket, without: bytes) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data.replace(without, b"") if without else data)
        target.shutdown(socket.SHUT_WR)


def test_a_server_that_stalls_in_a_handshake_is_a_case_of_the_slow_ones() -> None:
    names = [one.name for one in FAMILIES["slow"].systematic(LEARNED)]
    assert "slow/stalled handshakes" in names
    assert "slow/stalled handshakes" not in [one.name for one in FAMILIES["slow"].systematic(Learned())]


def test_the_hello_is_one_that_servers_answer() -> None:
    """Else nothing behind it would be reached: our server sends its own flight."""
    server, _ = configurations()
    with (
        serving("blocking", policy=POLICY, tls=server) as handle,
        socket.create_connection(("127.0.0.1", handle.port), PATIENCE) as sock,
    ):
        sock.sendall(HELLO)
        answer = sock.recv(6)
    assert answer[0] == 0x16
    assert answer[5] == 2  # a ServerHello


def test_sides() -> None:
    assert {FAMILIES[name].side for name in ("tls", "tls-calls")} == {Side.USER, Side.PROVIDER}
    assert [name for name, family in FAMILIES.items() if family.tls] == ["tls", "tls-calls"]

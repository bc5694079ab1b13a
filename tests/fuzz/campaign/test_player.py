"""The player: steps become traffic, the peer's traffic becomes lines, and no peer keeps it waiting or fills memory."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

import pytest

from dicos_fuzz.campaign.knowledge import Accepted, Learned
from dicos_fuzz.campaign.pdus import KEPT, Pdus
from dicos_fuzz.campaign.player import Bounds, Exhausted, Peer, Player
from dicos_fuzz.campaign.spending import Spending
from dicos_fuzz.conversation import (
    Answer,
    Await,
    Check,
    Conversation,
    End,
    Open,
    Pause,
    Reading,
    Send,
    Side,
    Step,
    Transcript,
    What,
)
from dicos_fuzz.grammar import Offer, echo, pdus_of, request
from dicos_fuzz.tree import Action, Edit
from dicos_proto import propose
from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports import blocking
from dicos_transports.blocking import connect
from dicos_transports.tls import ClientCertificate, ClientTLS, ServerTLS
from tests.fuzz.campaign.peers import PATIENCE, raw_peer, receive, receive_all, receive_pdu
from tests.transports.certificates import hospital
from tests.transports.servers import ADAPTERS, serving

POLICY = AcceptPolicy(other_contexts=(uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE))
RQ = request(Offer())
RELEASE = bytes.fromhex("05000000000400000000")
RELEASED = bytes.fromhex("06000000000400000000")
ABORT = bytes.fromhex("07000000000400000000")
REJECTION = bytes.fromhex("03000000000400020302")
DEFAULT = Bounds()
QUICK = Learned(answer_seconds=0.1)


def script(*steps: Step, side: Side = Side.USER) -> Conversation:
    return Conversation(name="test/one", steps=steps, side=side)


def play(port: int, *steps: Step, learned: Learned = QUICK, bounds: Bounds = DEFAULT) -> Transcript:
    with Player(Peer(port=port), learned, bounds=bounds) as player:
        return player.play(script(*steps))


def player_of(port: int, tls: ClientTLS | None = None) -> Player:
    return Player(Peer(port=port, tls=tls), Learned())


def silent(sock: socket.socket) -> None:
    receive_all(sock)


def kinds(transcript: Transcript, connection: int = 0) -> list[What]:
    return [entry.what for entry in transcript.entries if entry.connection == connection]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_good_conversation_is_played_to_its_end(adapter: str) -> None:
    with serving(adapter, policy=POLICY) as server:
        found = play(server.port, Open(), Send(message=RQ), Await(kinds=(2,)), Send(message=echo()), Await(kinds=(4,)),
                     Send(message=RELEASE), Await(kinds=(6,)), learned=Learned())  # fmt: skip
        assert found.sent() == RQ + echo() + RELEASE
        assert [pdu[0] for pdu in pdus_of(found.received())] == [2, 4, 6]
        sent, received = What.SENT, What.RECEIVED
        assert kinds(found) == [What.OPENED, sent, received, sent, received, sent, received, What.CLOSED]
        assert [entry.at for entry in found.entries] == sorted(entry.at for entry in found.entries)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_good_echo_takes_some_milliseconds(adapter: str) -> None:
    with serving(adapter, policy=POLICY) as server, Player(Peer(port=server.port), Learned()) as player:
        assert 0 < (player.echo(PATIENCE) or 0) < PATIENCE
        assert player.last.why == ""


def test_a_peer_without_verification_is_asked_for_an_association_only() -> None:
    contexts = {uids.CT_IMAGE_STORAGE: (uids.IMPLICIT_VR_LE,)}
    policy = AcceptPolicy(contexts=contexts)
    with serving("blocking", policy=policy) as server, player_of(server.port) as player:
        assert player.echo(PATIENCE) is None
        assert player.last.why == "accepted no presentation context"
        accepted = Accepted(abstract_syntax=uids.CT_IMAGE_STORAGE, transfer_syntax=uids.IMPLICIT_VR_LE)
        player.learned = Learned(accepted=(accepted,), services=frozenset())
        assert player.echo(PATIENCE) is not None


def test_each_wait_takes_the_next_pdu_even_where_all_came_together() -> None:
    def handle(sock: socket.socket) -> None:
        sock.sendall(RELEASED + echo() + RELEASED)
        receive_all(sock)

    with raw_peer(handle) as port:
        steps = [Open(), Await(kinds=(6,)), Await(kinds=(4,)), Await(kinds=(6,)), Await(kinds=(6,), seconds=0.01)]
        found = play(port, *steps)
    assert found.received() == RELEASED + echo() + RELEASED
    assert kinds(found).count(What.QUIET) == 1


@pytest.mark.parametrize("last", [ABORT, REJECTION, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_nothing_is_awaited_after_the_association_is_over(last: bytes) -> None:
    def handle(sock: socket.socket) -> None:
        sock.sendall(last)
        receive_all(sock)

    with raw_peer(handle) as port:
        begun = time.monotonic()
        found = play(port, Open(), Send(message=RQ), Await(kinds=(2,), seconds=PATIENCE))
    assert time.monotonic() - begun < PATIENCE / 2
    assert found.received() == last
    assert found.how() is What.CLOSED


def test_the_end_of_a_connection_ends_every_wait() -> None:
    with raw_peer(lambda sock: None) as port:
        begun = time.monotonic()
        found = play(
            port, Open(), Await(seconds=PATIENCE), Await(seconds=PATIENCE), Send(message=RQ), learned=Learned()
        )
    assert time.monotonic() - begun < PATIENCE / 2
    assert kinds(found) == [What.OPENED, What.ENDED]


def test_a_reset_is_not_taken_for_an_end() -> None:
    import struct

    def handle(sock: socket.socket) -> None:
        receive(sock, 10)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with raw_peer(handle) as port:
        found = play(port, Open(), Send(message=RELEASE), Await(seconds=PATIENCE))
    assert found.how() is What.RESET


def test_a_refused_connection_is_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    found = play(port, Open(), Send(message=RQ), Await())
    assert kinds(found) == [What.REFUSED]
    with Player(Peer(port=port), Learned()) as player:
        assert player.echo(1) is None
        assert player.last.refused


def test_a_host_without_address_is_a_line() -> None:
    with Player(Peer(host="no-such-host.invalid", port=104), Learned()) as player:
        assert kinds(player.play(script(Open(), Send(message=RQ), Await()))) == [What.REFUSED]


def test_a_silent_peer_gets_its_time_and_no_more() -> None:
    with raw_peer(silent) as port, Player(Peer(port=port), QUICK) as player:
        found = player.play(script(Open(), Send(message=RQ), Await(kinds=(2,))))
        assert kinds(found) == [What.OPENED, What.SENT, What.QUIET, What.CLOSED]
        assert 0.1 <= found.entries[2].at < 5
        assert player.echo(0.1) is None
        assert player.last.why == "no answer in time"


def test_the_reaction_to_the_last_message_is_waited_for() -> None:
    def handle(sock: socket.socket) -> None:
        receive_pdu(sock)
        threading.Event().wait(0.05)  # a slow peer
        sock.sendall(ABORT)
        receive_all(sock)

    with raw_peer(handle) as port:
        assert play(port, Open(), Send(message=RQ), learned=Learned(answer_seconds=PATIENCE)).received() == ABORT


def test_a_peer_that_keeps_aborted_connections_open_costs_no_wait() -> None:
    with raw_peer(silent) as port:
        learned = Learned(answer_seconds=PATIENCE, closes_after_abort=False)
        begun = time.monotonic()
        play(port, Open(), Send(message=ABORT), learned=learned)
        assert time.monotonic() - begun < PATIENCE / 2


def test_a_peer_that_sends_all_the_time_fills_no_memory() -> None:
    def handle(sock: socket.socket) -> None:
        for _ in range(4 * KEPT // 65536):
            sock.sendall(bytes(65536))
        receive_all(sock)

    with raw_peer(handle) as port:
        found = play(port, Open(), Pause(seconds=0.3))
    assert len(found.received()) <= KEPT
    assert "bytes not shown" in found.entries[-1].note


def test_a_flood_of_tiny_segments_makes_no_flood_of_lines() -> None:
    from dicos_fuzz.campaign.links import LINES, Link

    mine, theirs = socket.socketpair()
    with mine, theirs:
        transcript = Transcript()
        mine.setblocking(False)
        link = Link(0, mine, transcript, time.monotonic())
        for _ in range(LINES + 1000):
            theirs.send(b"x")
            link.fill()
        link.close()
    assert LINES <= len(transcript.entries) <= LINES + 1
    assert transcript.entries[-1].note.startswith("1000 bytes not shown")


def test_a_pdu_longer_than_what_is_kept_is_one_pdu() -> None:
    pdus = Pdus()
    head = b"\x04\x00" + (3 * KEPT).to_bytes(4, "big")
    stream = head + bytes(3 * KEPT) + RELEASED
    for at in range(0, len(stream), 65536):
        pdus.feed(stream[at : at + 65536])
    first, second = pdus.next(), pdus.next()
    assert first is not None
    assert first.startswith(head)
    assert len(first) <= KEPT
    assert second == RELEASED
    assert pdus.next() is None


def test_a_peer_that_reads_nothing_is_not_waited_for() -> None:
    done = threading.Event()
    with raw_peer(lambda sock: done.wait(PATIENCE) and None) as port:
        begun = time.monotonic()
        found = play(port, Open(), Send(message=bytes(64 << 20)))
        done.set()
    assert time.monotonic() - begun < PATIENCE / 2
    assert 0 < len(found.sent()) < 64 << 20
    sent = next(entry for entry in found.entries if entry.what is What.SENT)
    assert "not taken by the peer" in sent.note


def test_bytes_are_read_only_while_reading_is_on() -> None:
    sent = threading.Event()

    def handle(sock: socket.socket) -> None:
        receive(sock, 10)
        sock.sendall(ABORT)
        sent.set()
        receive_all(sock)

    with raw_peer(handle) as port:
        off = play(port, Open(), Reading(on=False), Send(message=RELEASE), Pause(seconds=0.05))
        assert off.received() == b""
        on = play(port, Open(), Reading(on=False), Send(message=RELEASE), Reading(on=True), Await())
        assert on.received() == ABORT


def test_a_message_is_sent_in_pieces_and_with_edits() -> None:
    seen: list[bytes] = []

    def handle(sock: socket.socket) -> None:
        seen.append(receive_all(sock))

    with raw_peer(handle) as port:
        edit = Edit("A-RELEASE-RQ/type", Action.SET, b"\x05\x05")
        found = play(port, Open(), Send(message=RELEASE, edits=(edit,), piece=3, gap=0.001), End())
    assert seen == [b"\x05" + RELEASE]
    assert found.sent() == seen[0]
    assert [entry.note for entry in found.entries if entry.what is What.SENT] == ["in 4 pieces"]


def test_sent_bytes_are_kept_and_made_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds are those of a conversation, over all of its connections."""
    monkeypatch.setattr("dicos_fuzz.campaign.links.SENT_KEPT", 15)
    monkeypatch.setattr("dicos_fuzz.campaign.run.MOST_MADE", 35)
    twice = (Edit("A-RELEASE-RQ", Action.REPEAT, 1),)
    steps: list[Step] = []
    for number in range(3):
        steps += [Open(connection=number), Send(message=RELEASE, edits=twice, connection=number)]
    got: list[bytes] = []
    with raw_peer(lambda sock: got.append(receive_all(sock))) as port:
        found = play(port, *steps)
        while len(got) < 3:
            time.sleep(0.01)  # until the peer has read to the end
    assert got == [2 * RELEASE, 2 * RELEASE, b""]
    sent = [entry for entry in found.entries if entry.what is What.SENT]
    assert [(len(entry.data), entry.note) for entry in sent] == [
        (15, "5 bytes not kept"), (0, "20 bytes not kept"), (0, "nothing: the edits before have made 40 bytes"),
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["half", "close", "reset"])
def test_a_connection_ends_as_the_step_says(how: str) -> None:
    seen: list[object] = []

    def handle(sock: socket.socket) -> None:
        receive(sock, 10)
        try:
            seen.append(sock.recv(10))
            sock.sendall(RELEASED)
        except OSError as error:
            seen.append(type(error))

    with raw_peer(handle) as port:
        found = play(port, Open(), Send(message=RELEASE), End(how=how), learned=Learned(answer_seconds=5))  # type: ignore[arg-type]
    assert seen == [ConnectionResetError if how == "reset" else b""]
    assert found.received() == (RELEASED if how == "half" else b"")
    assert (What.HALF in kinds(found)) is (how == "half")


def test_several_connections_are_kept_apart() -> None:
    with serving("asyncio", policy=POLICY) as server:
        steps = (Open(), Open(connection=1), Send(message=RQ, connection=1), Send(message=RQ), Await(kinds=(2,)),
                 Send(message=ABORT), Await(kinds=(2,), connection=1), Send(message=echo(), connection=1),
                 Await(kinds=(4,), connection=1))  # fmt: skip
        found = play(server.port, *steps, learned=Learned())
    assert [pdu[0] for pdu in pdus_of(found.received(1))] == [2, 4]
    assert [pdu[0] for pdu in pdus_of(found.received(0))] == [2]


def test_the_number_of_connections_is_bounded() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=20) as peer:
        held = [Open(connection=number) for number in range(5)]
        found = play(peer.getsockname()[1], *held, bounds=Bounds(connections=3))
    assert [entry.what for entry in found.entries].count(What.OPENED) == 3
    assert [entry.what for entry in found.entries].count(What.REFUSED) == 2


def test_the_time_of_a_conversation_is_bounded() -> None:
    with raw_peer(silent) as port:
        begun = time.monotonic()
        play(port, Open(), Pause(seconds=1000), Await(seconds=1000), bounds=Bounds(seconds=0.2))
        assert time.monotonic() - begun < PATIENCE / 2


def test_the_bytes_of_a_campaign_are_bounded() -> None:
    steps = Open(), Send(message=RELEASE), Send(message=RELEASE), Send(message=RELEASE)
    got: list[bytes] = []
    with raw_peer(lambda sock: got.append(receive_all(sock))) as port:
        spending = Spending(bytes_most=15)
        with Player(Peer(port=port), QUICK, spending=spending) as player, pytest.raises(Exhausted):
            player.play(script(*steps))
        with Player(Peer(port=port), QUICK, spending=spending) as other, pytest.raises(Exhausted):
            other.echo(1.0)
        assert spending.sent == player.bytes_sent == 15
        while len(got) < 2:
            time.sleep(0.01)  # until the peer has read to the end
    assert b"".join(got) == RELEASE + RELEASE[:5]


def test_a_check_is_a_good_echo_beside_the_open_connections() -> None:
    with serving("blocking", policy=POLICY) as server:
        found = play(server.port, Open(), Send(message=RQ[:20]), Check(), learned=Learned())
    assert What.CHECKED in [entry.what for entry in found.entries]


def test_a_check_that_fails_says_why() -> None:
    def reject(sock: socket.socket) -> None:
        receive_pdu(sock)
        sock.sendall(REJECTION)

    with raw_peer(lambda sock: None, reject) as port:
        found = play(port, Open(), Await(), Check())
        assert [(entry.what, entry.note) for entry in found.entries][-1] == (What.UNANSWERED, "rejected (2/3/2)")
        with Player(Peer(port=port), Learned()) as player:
            assert player.echo(PATIENCE) is None
            assert player.last.rejected == (2, 3, 2)


@pytest.mark.parametrize("answer", [ABORT, RELEASED, b"\x02\x00\x00\x00\x00\x00", b"SSH-2.0-x\r\n", b""])
def test_a_wrong_answer_is_no_good_echo(answer: bytes) -> None:
    def handle(sock: socket.socket) -> None:
        receive_pdu(sock)
        sock.sendall(answer)

    with raw_peer(handle) as port, Player(Peer(port=port), Learned()) as player:
        assert player.echo(PATIENCE) is None
        assert player.last.why


# -- the side that is called -------------------------------------------------------------------------------------


def calling(do: Callable[[blocking.Session], None], **options: object) -> tuple[Callable[[int], None], list[object]]:
    """A user of ours that calls a port in a thread; its outcome comes into the list."""
    outcome: list[object] = []

    def call(port: int) -> None:
        def run() -> None:
            try:
                contexts = propose([uids.VERIFICATION, uids.CT_IMAGE_STORAGE])
                with connect(("127.0.0.1", port), contexts, **options) as session:  # type: ignore[arg-type]
                    do(session)
                outcome.append("released")
            except Exception as error:
                outcome.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threads.append(thread)

    threads: list[threading.Thread] = []
    return call, outcome


def listening(call: Callable[[int], None], **options: object) -> Player:
    player = Player(Peer(listen=("127.0.0.1", 0)), Learned(answer_seconds=5), **options)  # type: ignore[arg-type]
    player.trigger = lambda: call(player.port)
    return player


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_caller_is_answered_step_by_step() -> None:
    call, outcome = calling(lambda session: session.echo() and None)
    with listening(call) as player:
        steps = Open(), Await(kinds=(1,)), Answer(), Await(kinds=(4,)), Answer(), Await(kinds=(5,)), Answer(), Await()
        found = player.play(script(*steps, side=Side.PROVIDER))
        wait_for(lambda: outcome)
    assert outcome == ["released"]
    assert [pdu[0] for pdu in pdus_of(found.sent())] == [2, 4, 6]


def test_an_answer_waits_for_the_whole_message() -> None:
    def store(session: blocking.Session) -> None:
        data = b"\x08\x00\x16\x00\x02\x00\x00\x001\x00" * 50_000
        assert session.store(uids.CT_IMAGE_STORAGE, "1.2.3", uids.EXPLICIT_VR_LE, data).status == 0

    call, outcome = calling(store)
    with listening(call) as player:
        found = player.play(script(Open(), Answer(), Answer(), Answer(), Await(), side=Side.PROVIDER))
        wait_for(lambda: outcome)
    assert outcome == ["released"]
    assert len(found.received()) > 500_000


def test_an_answer_is_changed_by_its_edits() -> None:
    call, outcome = calling(lambda session: None)
    with listening(call) as player:
        edits = (Edit("A-ASSOCIATE-AC/type", Action.SET, b"\x03"),)
        found = player.play(script(Open(), Answer(edits=edits), Await(), side=Side.PROVIDER))
        wait_for(lambda: outcome)
    assert found.sent()[:1] == b"\x03"
    assert outcome != ["released"]


def test_a_caller_is_served_as_a_good_provider_would() -> None:
    call, outcome = calling(lambda session: session.echo() and None)
    with listening(call) as player:
        assert player.echo(PATIENCE) is not None
        wait_for(lambda: outcome)
    assert outcome == ["released"]


def test_a_caller_that_does_not_come_is_a_line() -> None:
    with Player(Peer(listen=("127.0.0.1", 0)), QUICK, bounds=Bounds(called=0.05)) as player:
        found = player.play(script(Open(), Answer(), side=Side.PROVIDER))
        assert [entry.what for entry in found.entries] == [What.REFUSED]
        assert "did not call" in found.entries[0].note
        assert player.echo(0.1) is None


# -- TLS ---------------------------------------------------------------------------------------------------------


def tls() -> tuple[ServerTLS, ClientTLS]:
    site = hospital()
    server = ServerTLS(identity=site.server, client_certificates=ClientCertificate.NONE)
    return server, ClientTLS(trust=(site.root.certificate,))


def test_a_conversation_runs_over_tls() -> None:
    server, client = tls()
    with serving("trio", policy=POLICY, tls=server) as handle, player_of(handle.port, client) as player:
        assert player.echo(PATIENCE) is not None
        found = player.play(script(Open(), Send(message=RQ), Await(kinds=(2,)), Send(message=ABORT)))
    assert found.entries[0].note.startswith("TLSv1.3")
    assert [pdu[0] for pdu in pdus_of(found.received())] == [2]
    assert found.sent() == RQ + ABORT


def test_bytes_beneath_tls_are_lines_of_their_own() -> None:
    server, client = tls()
    forged = b"\x17\x03\x03\x00\x40" + bytes(64)
    with serving("trio", policy=POLICY, tls=server) as handle, player_of(handle.port, client) as player:
        begin = Open(), Send(message=RQ), Await(kinds=(2,))
        found = player.play(script(*begin, Send(message=forged, beneath=True), Await(kinds=(99,))))
        assert kinds(found) == [What.OPENED, What.SENT, What.RECEIVED, What.BENEATH, What.ENDED]
        assert found.entries[3].data == forged
        assert found.sent() == RQ
        bare = player.play(script(Open(bare=True), Send(message=RQ), Await(kinds=(99,))))
    assert kinds(bare)[:3] == [What.OPENED, What.BENEATH, What.HEARD]
    assert bare.entries[0].note == "without TLS"
    assert bare.entries[2].data[:1] == b"\x15"  # an alert
    assert bare.received() == b""


def test_a_close_notify_ends_tls_in_one_direction() -> None:
    server, client = tls()
    with serving("trio", policy=POLICY, tls=server) as handle, player_of(handle.port, client) as player:
        begin = Open(), Send(message=RQ), Await(kinds=(2,))
        late = Send(message=RELEASE), Await(kinds=(99,), seconds=PATIENCE)
        found = player.play(script(*begin, End(how="notify"), End(how="notify"), *late))
    assert kinds(found) == [What.OPENED, What.SENT, What.RECEIVED, What.HALF, What.ENDED]
    assert found.entries[3].note == "close_notify"
    assert found.sent() == RQ


def test_without_tls_nothing_is_beneath_it() -> None:
    """A file with a finding of a peer with TLS is played with another one all the same."""
    with serving("trio", policy=POLICY) as handle:
        steps = Open(bare=True), Send(message=RQ, beneath=True), Await(kinds=(2,)), End(how="notify")
        found = play(handle.port, *steps, Send(message=ABORT), learned=Learned())
    assert found.sent() == RQ + ABORT
    assert found.received()[:1] == b"\x02"


def test_a_peer_with_tls_that_resets_while_much_is_sent() -> None:
    """Its alert is still read, once, however TLS and the socket call each other."""
    server, client = tls()
    with serving("blocking", policy=POLICY, tls=server) as handle, player_of(handle.port, client) as player:
        forged = Send(message=b"\x17\x03\x03\x00\x40" + bytes(64), beneath=True)
        for _ in range(10):
            more = [Send(message=RQ * 2000) for _ in range(20)]
            found = player.play(script(Open(), Send(message=RQ), Await(kinds=(2,)), forged, *more))
            assert found.how() in (What.ENDED, What.RESET)


def test_a_caller_over_tls_is_answered() -> None:
    server, client = tls()
    call, outcome = calling(lambda session: session.echo() and None, tls=client)
    player = Player(Peer(listen=("127.0.0.1", 0), server_tls=server), Learned(answer_seconds=5))
    player.trigger = lambda: call(player.port)
    with player:
        assert player.echo(PATIENCE) is not None
        wait_for(lambda: outcome)
    assert outcome == ["released"]


def test_a_peer_without_tls_is_a_line() -> None:
    _, client = tls()
    with serving("blocking", policy=POLICY) as handle, player_of(handle.port, client) as player:
        found = player.play(script(Open(), Send(message=RQ), Await()))
        assert player.echo(PATIENCE) is None
    assert What.OPENED not in kinds(found)
    assert "TLS" in found.entries[-1].note


def test_no_descriptor_is_left() -> None:
    with serving("blocking", policy=POLICY) as server:
        before = len(os.listdir("/proc/self/fd"))
        with Player(Peer(port=server.port, listen=("127.0.0.1", 0)), QUICK) as player:
            for _ in range(3):
                player.play(script(Open(), Open(connection=1), Send(message=RQ), Check()))
                player.echo(1)
        wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before)

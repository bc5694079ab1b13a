"""The fault proxy: the same faults as on a wire, between two sockets, and the ends of connections that faults bring."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from threading import Semaphore
from time import monotonic

import pytest

from dicos_fuzz import relay
from dicos_fuzz.faults import FaultPlan, parse_plan, random_plan
from dicos_fuzz.faults.edges import no_descriptors
from dicos_fuzz.faults.effects import (
    After,
    Clock,
    Delay,
    Direction,
    Dribble,
    Merge,
    Reorder,
    Reset,
    Stall,
    Timers,
)
from dicos_fuzz.faults.line import HELD
from dicos_fuzz.faults.log import Log
from dicos_fuzz.faults.proxy import (
    Began,
    FaultProxy,
    Gone,
    Happened,
    Plans,
    Refused,
    Struck,
    random_plans,
    same_plan,
    without_engines,
)
from dicos_fuzz.faults.wire import lines
from dicos_fuzz.relay import CHUNK, Relay
from dicos_proto.conversation import flows
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import Session, connect, serve
from tests.fuzz.faults.streams import DATA, RQ, STREAM
from tests.fuzz.relayed import TIMEOUT, Bed, connecting_is_reset, is_reset, read, reset
from tests.transports.cli.commands import deaf_port


class Faulty(Bed):
    """A fault proxy in a thread, between clients of the test and a listening socket of it."""

    def __init__(
        self,
        plan: str | FaultPlan | Plans,
        *,
        most: int = 100,
        total: int | None = None,
        target: tuple[str, int] | None = None,
    ) -> None:
        self.happened: list[Happened] = []
        self._began = Semaphore(0)
        if isinstance(plan, str):
            plan = parse_plan(plan)
        self._plans = same_plan(plan) if isinstance(plan, FaultPlan) else plan
        self._total = total
        super().__init__(most=most, target=target)

    def make(self, target: tuple[str, int], most: int) -> Relay:
        self.proxy = FaultProxy(self.listener, target, self._plans, self._note, most=most, total=self._total)
        return self.proxy.relay

    def _note(self, event: Happened) -> None:
        self.happened.append(event)
        if isinstance(event, Began):
            self._began.release()
        if isinstance(event, Gone):
            self.over.set()

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """A client, and the server's end of its connection; the proxy knows that it is established."""
        found = super().connect()
        assert self._began.acquire(timeout=TIMEOUT)
        return found

    def gone(self) -> Gone:
        """The end of the last connection, which is waited for."""
        assert self.over.wait(TIMEOUT)
        self.over.clear()
        return [event for event in self.happened if isinstance(event, Gone)][-1]

    @property
    def strikes(self) -> list[str]:
        return [
            f"{one.strike.direction.value} {one.strike.offset} {one.strike.effect}"
            for one in self.happened
            if isinstance(one, Struck)
        ]


@contextmanager
def faulty(plan: str | FaultPlan | Plans, *, most: int = 100, total: int | None = None) -> Iterator[Faulty]:
    bed = Faulty(plan, most=most, total=total)
    try:
        yield bed
    finally:
        bed.close()


def receive(one: socket.socket, size: int) -> bytes:
    """Returns exactly this many bytes."""
    data = b""
    while len(data) < size:
        piece = one.recv(size - len(data))
        assert piece, data
        data += piece
    return data


def is_silent(one: socket.socket) -> bool:
    """Returns True if nothing comes within a moment."""
    return not select.select([one], [], [], 0.2)[0]


def expected(plan: FaultPlan, direction: Direction) -> bytes:
    """The bytes that a line makes of the stream."""
    line = lines(plan, Log())[direction is Direction.OUT]
    line.feed(STREAM)
    line.end()
    return b"".join(b"".join(piece) for piece in iter(line.take, []))


# -- bytes -----------------------------------------------------------------------------------------------------------

CHANGES = (
    "",
    "every 3: split",
    "at 0: merge 30 0.01",
    "at 12: flip 0",
    "at 3: set aabb",
    "at 20: insert 0102030405",
    "pdu P-DATA-TF 2: drop",
    "pdu P-DATA-TF 3: duplicate",
    "pdu P-DATA-TF each: truncate 2",
    'pdu P-DATA-TF 1: edit "PDV/length" length 65535',
    "seed 3\npdu P-DATA-TF 2: change 2",
    "at 40: half-close",
    "at 33: error EPIPE",
    "at 5: error EAGAIN 2",
    "at 5: short 4",
)


@pytest.mark.parametrize("text", CHANGES)
@pytest.mark.parametrize("direction", Direction)
def test_what_arrives_is_what_comes_out_of_a_line(text: str, direction: Direction) -> None:
    seed, _, fault = text.rpartition("\n")
    plan = parse_plan(f"{seed}\n{direction.value} {fault}" if fault else "")
    with faulty(plan) as bed:
        client, server = bed.connect()
        first, second = (client, server) if direction is Direction.OUT else (server, client)
        second.sendall(STREAM)  # the other direction has no faults
        first.sendall(STREAM)
        first.shutdown(socket.SHUT_WR)
        assert read(second) == expected(plan, direction)
        second.shutdown(socket.SHUT_WR)
        assert read(first) == STREAM
        gone = bed.gone()
        assert (gone.how.name, gone.by, set(gone.counts)) == ("CLOSED", "", {1} if fault else set())
        assert gone.received == dict.fromkeys(Direction, len(STREAM))


TIMED = (Delay, Dribble, Merge, Reorder, Reset, Stall, Timers, Clock)


def test_any_plan_changes_what_arrives_as_a_line_does() -> None:
    for seed in range(60):
        plan = random_plan(Random(seed), without=TIMED)
        plan = replace(plan, faults=tuple(one for one in plan.faults if not isinstance(one.place, After)))
        with faulty(plan) as bed:
            client, server = bed.connect()
            for one in (client, server):
                one.sendall(STREAM)
                one.shutdown(socket.SHUT_WR)
            assert read(server) == expected(plan, Direction.OUT), str(plan)
            assert read(client) == expected(plan, Direction.IN), str(plan)
            assert bed.gone().how.name == "CLOSED"


# -- time ------------------------------------------------------------------------------------------------------------


def test_bytes_are_delayed_and_those_before_are_not() -> None:
    with faulty("out at 10: stall 0.3\nin at 0: delay 0.2") as bed:
        client, server = bed.connect()
        begun = monotonic()
        client.sendall(STREAM)
        client.shutdown(socket.SHUT_WR)
        assert receive(server, 10) == STREAM[:10]
        assert is_silent(server)
        assert read(server) == STREAM[10:]
        assert monotonic() - begun >= 0.3
        begun = monotonic()
        server.sendall(b"answer")
        server.close()
        assert receive(client, 6) == b"answer"
        assert monotonic() - begun >= 0.2
        assert client.recv(1) == b""
        client.close()
        assert sorted(bed.strikes) == ["in 0 delay 0.2", "out 10 stall 0.3"]


def test_a_direction_waits_for_the_other_one() -> None:
    with faulty("out at 10: reorder 6 30") as bed:
        client, server = bed.connect()
        client.sendall(STREAM)
        assert receive(server, 10) == STREAM[:10]
        assert is_silent(server)
        server.sendall(b"answer")
        assert receive(client, 6) == b"answer"
        assert receive(server, len(STREAM) - 10) == STREAM[10:]


def test_a_dribble_has_its_rate() -> None:
    with faulty("out at 0: dribble 500") as bed:
        client, server = bed.connect()
        begun = monotonic()
        client.sendall(bytes(100))
        assert receive(server, 100) == bytes(100)
        assert monotonic() - begun >= 0.18  # the last piece is not waited for


def test_a_stall_for_ever_stops_the_sender_and_not_the_other_direction() -> None:
    with faulty("out at 1000: stall") as bed:
        client, server = bed.connect()
        client.setblocking(False)
        sent, idle = 0, 0
        while idle < 2:  # until the buffers of the system are full
            try:
                sent += client.send(bytes(1 << 16))
                idle = 0
            except BlockingIOError:
                idle += not select.select([], [client], [], 0.2)[1]
        assert receive(server, 1000) == bytes(1000)
        assert is_silent(server)
        line = bed.proxy._lines[1][1]
        assert line.size <= HELD + CHUNK
        server.sendall(b"answer")
        client.settimeout(TIMEOUT)
        assert receive(client, 6) == b"answer"


def test_a_stalled_connection_is_over_once_both_sides_have_gone() -> None:
    with faulty("out at 3: stall", most=1) as bed:
        for _ in range(2):  # the only place is free again
            client, server = bed.connect()
            client.sendall(b"a request")
            assert receive(server, 3) == b"a r"
            server.close()
            assert client.recv(1) == b""
            client.close()
            assert bed.gone().how.name == "CLOSED"


@pytest.mark.parametrize("fault", ["stall 3600", "delay 3600"])
def test_a_connection_that_nobody_has_any_more_is_over_before_its_time(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "GONE", 0.1)
    with faulty(f"out at 3: {fault}", most=1) as bed:
        client, server = bed.connect()
        client.sendall(b"a request")
        client.shutdown(socket.SHUT_WR)
        assert receive(server, 3) == b"a r"
        server.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        client.close()
        assert bed.gone().how.name == "CLOSED"
        assert server.recv(1) == b""


def test_a_slow_target_stops_the_sender_whatever_the_fault() -> None:
    with faulty("out every 5000: duplicate 100\nout at 0: delay 0.01") as bed:
        client, server = bed.connect()
        client.setblocking(False)
        chunk = bytes(range(256)) * 256
        sent, idle = 0, 0
        while idle < 2:
            try:
                sent += client.send(chunk[sent % len(chunk) :])
                idle = 0
            except BlockingIOError:
                idle += not select.select([], [client], [], 0.2)[1]
        assert bed.proxy._lines[1][1].size <= HELD + 2 * CHUNK
        client.shutdown(socket.SHUT_WR)
        whole = (chunk * (sent // len(chunk) + 1))[:sent]
        arrived = read(server)
        assert arrived.startswith(whole[:5000] + whole[5000:5100] + whole[5000:5100])
        assert len(arrived) > sent
        server.close()
        client.close()


# -- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_client", [True, False])
def test_a_half_close_leaves_the_other_direction(by_client: bool) -> None:
    with faulty(f"{'out' if by_client else 'in'} at 4: half-close") as bed:
        client, server = bed.connect()
        first, second = (client, server) if by_client else (server, client)
        first.sendall(b"request and more")
        assert read(second) == b"requ"
        first.sendall(b"never seen")
        second.sendall(b"answer")
        assert receive(first, 6) == b"answer"
        second.close()
        assert first.recv(1) == b""
        first.close()
        assert bed.gone().how.name == "CLOSED"


@pytest.mark.parametrize("place", ["out at 4", "out pdu any 1 +4"])
def test_a_reset_is_seen_by_both_sides_behind_the_bytes_before_it(place: str) -> None:
    with faulty(f"{place}: reset") as bed:
        client, server = bed.connect()
        client.sendall(STREAM)
        assert receive(server, 4) == STREAM[:4]
        assert is_reset(server)
        assert is_reset(client)
        gone = bed.gone()
        assert (gone.how.name, gone.by) == ("RESET", "fault")


def test_a_reset_at_a_time_needs_no_byte() -> None:
    with faulty("in after 0.1: reset") as bed:
        client, server = bed.connect()
        begun = monotonic()
        assert is_reset(client)
        assert is_reset(server)
        assert monotonic() - begun >= 0.05
        assert bed.strikes == ["in 0 reset"]


@pytest.mark.parametrize("by_client", [True, False])
def test_a_reset_of_one_side_passes_at_once(by_client: bool) -> None:
    with faulty("out at 0: delay 100\nin at 0: delay 100") as bed:
        client, server = bed.connect()
        first, second = (client, server) if by_client else (server, client)
        first.sendall(b"delayed")
        reset(first)
        assert is_reset(second)
        gone = bed.gone()
        assert (gone.how.name, gone.by) == ("RESET", "client" if by_client else "target")


def test_the_end_comes_behind_delayed_bytes() -> None:
    with faulty("out at 0: delay 0.1") as bed:
        client, server = bed.connect()
        client.sendall(STREAM)
        client.close()
        assert read(server) == STREAM
        server.close()
        assert bed.gone().how.name in ("CLOSED", "RESET")


# -- connections -----------------------------------------------------------------------------------------------------


def test_each_connection_has_a_plan_of_its_own() -> None:
    with faulty("seed 7\nout at 2: set 78") as bed:
        pairs = [bed.connect() for _ in range(3)]
        for client, server in pairs:
            client.sendall(b"aaaa")
            assert receive(server, 4) == b"aaxa"
        seeds = [event.plan.seed for event in bed.happened if isinstance(event, Began)]
        assert seeds == [7, 8, 9]
        bed.stop()
        assert bed.proxy.counts == {1: 3}
        assert [(one.how.name, one.by) for one in bed.happened if isinstance(one, Gone)] == [("CUT", "proxy")] * 3


def test_no_more_connections_than_allowed_are_open() -> None:
    with faulty("", most=1) as bed:
        client, server = bed.connect()
        second = socket.create_connection(bed.address, TIMEOUT)
        assert is_silent(bed.server)
        client.close()
        server.close()
        other, _ = bed.server.accept()
        other.close()
        second.close()


def test_it_ends_after_a_number_of_connections() -> None:
    with faulty("", total=2) as bed:
        for _ in range(2):
            assert not bed.proxy.relay.over
            client, server = bed.connect()
            client.close()
            server.close()
            bed.gone()
        third = socket.create_connection(bed.address, TIMEOUT)
        assert is_silent(bed.server)
        third.close()
        bed.stop()
        assert bed.proxy.relay.over


def test_a_target_that_is_not_there_is_told() -> None:
    with deaf_port() as port:
        bed = Faulty("out at 0: flip 0", target=("127.0.0.1", port))
        try:
            assert connecting_is_reset(bed.address)
            (refused,) = bed.happened
            assert isinstance(refused, Refused)
            assert (refused.number, refused.cause) == (1, "Connection refused")
            assert (bed.proxy.refused, bed.proxy.connections) == (1, 0)
        finally:
            bed.close()


def test_random_plans_repeat_and_have_no_effect_on_engines() -> None:
    plans, same, harmless = random_plans(5), random_plans(5), random_plans(5, harmless=True)
    drawn = [plans(number) for number in range(1, 300)]
    assert drawn == [same(number) for number in range(1, 300)]
    assert drawn[1:] == [random_plans(6)(number) for number in range(1, 299)]
    effects = {type(fault.effect) for plan in drawn for fault in plan.faults}
    assert len(effects) == 18
    assert not effects & {Timers, Clock}
    assert {type(fault.effect).__name__ for number in range(1, 99) for fault in harmless(number).faults} == {
        "Split", "Short", "Merge", "Delay", "Reorder"
    }  # fmt: skip


def test_effects_on_engines_are_refused() -> None:
    plan = parse_plan("out at 0: split\nin at 7: clock 5")
    with pytest.raises(ValueError, match=r"^fault 2, in at 7: clock \+5: it is about the clock of an engine"):
        same_plan(plan)
    assert str(without_engines(plan)) == "out at 0: split\n"


# -- associations ----------------------------------------------------------------------------------------------------

CONTEXTS = propose([uids.VERIFICATION, uids.CT_IMAGE_STORAGE], (uids.IMPLICIT_VR_LE,))
OBJECT = bytes(range(256)) * 200


@contextmanager
def provider(received: list[bytes]) -> Iterator[tuple[str, int]]:
    """Our own provider, which keeps the data sets."""

    def handle(session: Session) -> None:
        for request in session:
            if request.name == "C-STORE-RQ":
                received.append(b"".join(bytes(piece) for piece in request.data()))
            request.respond()

    with serve(("127.0.0.1", 0), handle, policy=AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,))) as server:
        yield "127.0.0.1", server.port


def test_our_own_peers_do_not_see_faults_that_change_no_byte() -> None:
    received: list[bytes] = []
    text = (
        "out about 900: split\nin about 5: split\nout at 300: stall 0.05\nin at 0: delay 0.001 0.002\nout at 9: short 7"
    )
    with provider(received) as target:
        bed = Faulty(text, target=target)
        try:
            with connect(bed.address, CONTEXTS) as session:
                assert session.echo().status == 0
                assert session.store(uids.CT_IMAGE_STORAGE, "1.2", uids.IMPLICIT_VR_LE, OBJECT).status == 0
            assert received == [OBJECT]
            assert bed.gone().counts.keys() == {1, 2, 3, 4, 5}
        finally:
            bed.close()


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ("in pdu A-ASSOCIATE-AC: reset", "connection closed by the peer in Sta5, between PDUs"),
        ("in pdu P-DATA-TF 1: drop", "response: waiting for the one to message 1"),
        ("in pdu P-DATA-TF 1 +4: stall", "PDU|response: waiting for the one to message 1"),
        ("out pdu P-DATA-TF 1 +14: set ff", "aborted by the service provider"),
        ("in pdu P-DATA-TF 1 +3: half-close", "connection closed by the peer in Sta6, 3 bytes into a PDU header"),
    ],
)
def test_our_own_peers_report_what_a_fault_did_to_them(plan: str, told: str) -> None:
    received: list[bytes] = []
    with provider(received) as target:
        bed = Faulty(plan, target=target)
        try:
            with (
                pytest.raises((flows.AssociationAborted, OSError), match=told),
                connect(bed.address, CONTEXTS, timeouts=Timeouts(response=0.3, pdu=0.3, artim=0.2)) as session,
            ):
                session.echo()
            assert len(bed.strikes) == 1
        finally:
            bed.close()


def test_what_changes_of_a_data_set_is_not_shown() -> None:
    """A log of strikes may be printed; the bytes that a random change puts in may be those of a patient."""
    secret = b"DOE^JOHN" * 3
    pdu = (
        DATA[0][:2] + (6 + len(secret)).to_bytes(4, "big") + (2 + len(secret)).to_bytes(4, "big") + b"\x01\x02" + secret
    )
    with faulty("out pdu P-DATA-TF each: change 16") as bed:
        client, server = bed.connect()
        client.sendall(RQ + pdu * 20)
        client.shutdown(socket.SHUT_WR)
        read(server)
        text = "\n".join(bed.strikes)
        assert text.count("edited: ") == 20
        assert secret[:4].hex() not in text
        assert secret[:4].hex(" ") not in text
        assert "PDV" in text


def test_a_system_without_descriptors_delays_a_connection() -> None:
    with faulty("") as bed:
        client = socket.socket()
        bed.sockets.append(client)
        with no_descriptors():
            client.connect(bed.address)
            assert is_silent(bed.server)
        server, _ = bed.server.accept()
        bed.sockets.append(server)
        server.settimeout(TIMEOUT)
        client.sendall(b"x")
        assert receive(server, 1) == b"x"

"""TCP reassembly: the bytes of each direction come once and in order, for segments in any order."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from io import BytesIO
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.captures.events import Connection, Data, Ended, Event, Gap, How, Opened, Over
from dicos_fuzz.captures.files import read_packets
from dicos_fuzz.captures.internet import Segment, Segments
from dicos_fuzz.captures.packets import Endpoint
from dicos_fuzz.captures.recording import Recorder
from dicos_fuzz.captures.streams import (
    MOST_AHEAD,
    MOST_CONNECTIONS,
    MOST_WAITING,
    MOST_WAITING_IN_ALL,
    PATIENCE,
    Reassembly,
)

FIN, SYN, RST, ACK = 1, 2, 4, 16
CLIENT, SERVER = b"\x0a\0\0\1", b"\x0a\0\0\2"
SECOND = 10**9


def key(*, by_client: bool = True, port: int = 40_000, server: int = 11_112) -> bytes:
    a, b = CLIENT + SERVER, port.to_bytes(2, "big") + server.to_bytes(2, "big")
    return a + b if by_client else a[4:] + a[:4] + b[2:] + b[:2]


def segment(
    sequence: int,
    payload: bytes = b"",
    flags: int = ACK,
    *,
    by_client: bool = True,
    ack: int = 0,
    at: int = 0,
    missing: int = 0,
    port: int = 40_000,
    server: int = 11_112,
) -> Segment:
    place = key(by_client=by_client, port=port, server=server)
    return Segment(0, at, place, sequence & 0xFFFFFFFF, ack & 0xFFFFFFFF, flags, memoryview(payload), missing)


def handshake(client: int = 100, server: int = 900, port: int = 40_000) -> list[Segment]:
    return [
        segment(client, flags=SYN, port=port),
        segment(server, flags=SYN | ACK, by_client=False, ack=client + 1, port=port),
        segment(client + 1, ack=server + 1, port=port),
    ]


class Seen:
    """The bytes of each side, a gap of n bytes as `<n>`, and the ends, for one connection or several."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.streams: dict[int, list[bytearray]] = {}
        self.lines: list[str] = []
        self.connections: dict[int, Connection] = {}
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        number = event.connection.number
        if isinstance(event, Opened):
            self.connections[number] = event.connection
            self.streams[number] = [bytearray(), bytearray()]
        elif isinstance(event, Data):
            self.streams[number][event.by_client] += event.data
        elif isinstance(event, Gap):
            self.streams[number][event.by_client] += b"<%d>" % event.size
        elif isinstance(event, Ended):
            self.lines.append(f"{number} {'client' if event.by_client else 'server'} ended")
        elif isinstance(event, Over):
            by = f" by {'client' if event.by_client else 'server'}" if event.how is How.RESET else ""
            self.lines.append(f"{number} {event.how.name}{by}")

    def stream(self, number: int = 1, *, by_client: bool = True) -> bytes:
        return bytes(self.streams[number][by_client])


def run(segments: Iterable[Segment], *, end: bool = True) -> tuple[Seen, Reassembly]:
    reassembly, seen = Reassembly(), Seen()
    for one in segments:
        for event in reassembly.feed(one):
            seen.add(event)
    if end:
        for event in reassembly.end():
            seen.add(event)
    return seen, reassembly


def test_a_connection_from_its_handshake_to_its_end() -> None:
    seen, reassembly = run(
        [
            *handshake(),
            segment(101, b"hello", at=5, ack=901),
            segment(901, b"answer", by_client=False, ack=106),
            segment(106, b"bye", FIN | ACK, ack=907),
            segment(907, b"", FIN | ACK, by_client=False, ack=110),
            segment(110, ack=908),
        ]
    )
    assert seen.stream() == b"hellobye"
    assert seen.stream(by_client=False) == b"answer"
    assert seen.lines == ["1 client ended", "1 server ended", "1 CLOSED"]
    connection = seen.connections[1]
    assert (str(connection.client), str(connection.server)) == ("10.0.0.1:40000", "10.0.0.2:11112")
    assert (connection.begun, connection.guessed, connection.at) == (True, False, 0)
    assert connection.sent == [6, 8]
    assert (reassembly.totals.connections, reassembly.totals.silent) == (1, 0)


def test_a_reset_ends_both_directions() -> None:
    seen, _ = run(
        [*handshake(), segment(101, b"hello"), segment(901, b"", RST, by_client=False), segment(106, b"late")]
    )
    assert seen.stream() == b"hello"
    assert seen.lines == ["1 RESET by server"]


def test_connections_without_bytes_are_counted_only() -> None:
    seen, reassembly = run([*handshake(), segment(101, flags=FIN | ACK), *handshake(port=2), segment(1, port=3)])
    assert seen.lines == []
    assert reassembly.totals.silent == 2


def test_retransmissions_and_overlaps_are_left_out_and_counted() -> None:
    seen, _ = run(
        [
            *handshake(),
            segment(101, b"abcd"),
            segment(101, b"abcd"),
            segment(103, b"cdef"),
            segment(101, b"abcdefgh"),
            segment(100, b"?"),  # a keep-alive
            segment(109, b"ij", FIN | ACK),
        ]
    )
    assert seen.stream() == b"abcdefghij"
    assert seen.connections[1].repeated == [0, 13]
    assert seen.lines == ["1 client ended", "1 CUT"]


def test_segments_out_of_order_wait_for_the_hole() -> None:
    late = [segment(105, b"ef"), segment(103, b"cd"), segment(101, b"ab"), segment(107, b"g")]
    seen, _ = run([*handshake(), segment(100, flags=SYN), *late])
    assert seen.stream() == b"abcdefg"
    assert seen.connections[1].reordered == [0, 2]


def test_a_later_segment_may_cover_those_that_wait() -> None:
    waiting = [segment(111, b"kl"), segment(107, b"gh"), segment(106, b"FGHIJKLMN"), segment(112, b"lmnop")]
    seen, _ = run([*handshake(), *waiting, segment(101, b"abcde")])
    assert seen.stream() == b"abcdeFGHIJKLMNop"


def test_the_end_may_come_before_the_bytes() -> None:
    seen, _ = run([*handshake(), segment(104, b"", FIN | ACK), segment(101, b"abc"), segment(104, b"x")])
    assert seen.stream() == b"abc"
    assert seen.lines == ["1 client ended", "1 CUT"]


def test_sequence_numbers_wrap() -> None:
    first = (1 << 32) - 4
    parts = [segment(first + 1 + 5 * at, bytes([65 + at]) * 5) for at in range(6)]
    parts[1], parts[2] = parts[2], parts[1]
    seen, _ = run([*handshake(client=first), *parts])
    assert seen.stream() == b"".join(bytes([65 + at]) * 5 for at in range(6))


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_hole_that_the_other_side_has_is_a_gap_of_the_recording(acknowledged: bool) -> None:
    ack = 110 if acknowledged else 103
    parts = [segment(101, b"ab"), segment(107, b"gh"), segment(901, b"", by_client=False, ack=ack)]
    more = [segment(109 + at, b"i") for at in range(PATIENCE + 1)]
    seen, _ = run([*handshake(), *parts, *more], end=False)
    assert seen.stream() == (b"ab<4>gh" + b"i" * (PATIENCE + 1) if acknowledged else b"ab")


def test_a_hole_is_given_up_after_a_second() -> None:
    parts = [segment(101, b"ab"), segment(107, b"gh", at=1), segment(901, b"", by_client=False, ack=109, at=2)]
    seen, _ = run([*handshake(), *parts, segment(109, b"i", at=SECOND // 2)], end=False)
    assert seen.stream() == b"ab"
    seen, _ = run([*handshake(), *parts, segment(109, b"i", at=SECOND + 4)], end=False)
    assert seen.stream() == b"ab<4>ghi"
    seen, _ = run([*handshake(), *parts, segment(103, b"cdef", at=SECOND // 2)], end=False)
    assert seen.stream() == b"abcdefgh"


def test_what_waits_at_the_end_comes_with_its_gaps() -> None:
    seen, _ = run([*handshake(), segment(103, b"cd"), segment(107, b"gh"), segment(901, b"", RST, by_client=False)])
    assert seen.stream() == b"<2>cd<2>gh"
    assert seen.connections[1].missing == [0, 4]


def test_bytes_that_the_capture_cut_off_are_a_gap() -> None:
    parts = [segment(101, b"ab", missing=3), segment(106, b"fg"), segment(110, b"jk", missing=2), segment(108, b"hi")]
    seen, _ = run([*handshake(), *parts, segment(114, b"n"), segment(102, b"bcd", missing=1)])
    assert seen.stream() == b"ab<3>fghijk<2>n"


def test_a_recording_that_begins_in_the_middle() -> None:
    parts = [
        segment(5000, b"ab", ack=700),
        segment(700, b"xy", by_client=False, ack=5002),
        segment(5002, b"cd", ack=702),
    ]
    seen, _ = run(parts)
    assert seen.stream() == b"abcd"
    assert seen.stream(by_client=False) == b"xy"
    connection = seen.connections[1]
    assert (connection.begun, connection.guessed) == (False, True)


def test_an_acknowledgement_tells_where_a_direction_is() -> None:
    parts = [segment(5000, b"a", ack=700), segment(702, b"c", by_client=False), segment(700, b"ab", by_client=False)]
    seen, _ = run(parts)
    assert seen.stream(by_client=False) == b"abc"


@pytest.mark.parametrize(
    ("client", "server", "turned"), [(40_000, 104, False), (104, 40_000, True), (5000, 80, False), (80, 5000, True)]
)
def test_without_a_handshake_the_client_is_a_guess(client: int, server: int, turned: bool) -> None:
    seen, _ = run([segment(5000, b"a", port=client, server=server)])
    assert seen.connections[1].server.port == (client if turned else server)
    assert seen.stream(by_client=not turned) == b"a"
    answered = [
        segment(9, flags=SYN | ACK, by_client=False, port=80, server=5000),
        segment(1, b"a", port=80, server=5000),
    ]
    seen, _ = run(answered)
    assert (seen.connections[1].server.port, seen.connections[1].guessed) == (5000, False)


def test_ports_that_are_used_again() -> None:
    seen, _ = run(
        [
            *handshake(),
            segment(101, b"one"),
            segment(104, b"", FIN | ACK),
            segment(901, b"", FIN | ACK, by_client=False),
            segment(902, b"late", by_client=False),
            *handshake(client=50, server=60),
            segment(51, b"two"),
            *handshake(client=7000, server=8000),  # the second one never ended
            segment(7001, b"three"),
            segment(7000, flags=SYN),
            segment(7004, b"more"),
        ]
    )
    assert [seen.stream(number) for number in (1, 2, 3)] == [b"one", b"two", b"threere"]
    assert seen.lines == ["1 client ended", "1 server ended", "1 CLOSED", "2 REUSED", "3 CUT"]


def test_a_port_that_refused_may_be_asked_again_with_the_same_number() -> None:
    refused = [segment(100, flags=SYN), segment(0, b"", RST | ACK, by_client=False, ack=101)]
    seen, _ = run([*refused, *handshake(), segment(101, b"now")])
    assert seen.stream() == b"now"
    assert seen.connections[1].begun


def test_bytes_in_the_syn() -> None:
    seen, _ = run([segment(100, b"fast", SYN), segment(105, b"er")])
    assert seen.stream() == b"faster"


def test_a_segment_too_far_ahead_is_ignored() -> None:
    seen, reassembly = run([*handshake(), segment(101 + MOST_AHEAD + 1, b"x"), segment(101, b"ab")])
    assert seen.stream() == b"ab"
    assert reassembly.totals.bogus == 1


def test_a_connection_to_oneself() -> None:
    place = CLIENT + CLIENT + b"\x30\x00\x30\x00"
    one = Segment(0, 0, place, 1, 0, ACK, memoryview(b"ab"), 0)
    seen, _ = run([one])
    assert b"ab" in (seen.stream(), seen.stream(by_client=False))


# -- any order -----------------------------------------------------------------------------------------------------


@given(st.data())
def test_shuffled_and_repeated_segments_give_the_same_streams(data: st.DataObject) -> None:
    """Each byte says where it belongs. Segments begin and end anywhere, overlap, come again and in any order, but each
    byte comes before the connection ends."""
    begin = data.draw(st.sampled_from([100, (1 << 32) - 20]))
    sizes = {True: data.draw(st.integers(0, 120)), False: data.draw(st.integers(0, 120))}
    pieces: list[Segment] = []
    for by_client, size in sizes.items():
        cuts = sorted({0, size, *data.draw(st.lists(st.integers(0, size), max_size=6))})
        ranges = list(pairwise(cuts))
        extra = st.tuples(st.integers(0, size), st.integers(0, size)).map(lambda two: (min(two), max(two)))
        ranges += data.draw(st.lists(extra, max_size=6))
        pieces += [segment(begin + 1 + a, bytes(range(a, b)), by_client=by_client) for a, b in ranges if a < b]
    order = data.draw(st.permutations(pieces))
    seen, reassembly = run([*handshake(client=begin, server=begin), *order])
    for by_client, size in sizes.items():
        assert (seen.stream(by_client=by_client) if seen.streams else b"") == bytes(range(size))
    assert reassembly._cost == 0


@given(st.data())
def test_lost_segments_are_gaps_of_the_right_size(data: st.DataObject) -> None:
    cuts = [0, *sorted(data.draw(st.sets(st.integers(1, 99), min_size=1, max_size=8))), 100]
    ranges = list(pairwise(cuts))
    lost = data.draw(st.sets(st.sampled_from(ranges)))
    kept = data.draw(st.permutations([one for one in ranges if one not in lost]))
    seen, _ = run([*handshake(), *(segment(101 + a, bytes(range(100, 200))[a:b]) for a, b in kept)])
    expected, hole = b"", 0
    for a, b in ranges:
        if (a, b) in lost:
            hole += b - a
            continue
        expected += (b"<%d>" % hole if hole else b"") + bytes(range(100, 200))[a:b]
        hole = 0
    assert (seen.stream() if seen.streams else b"") == expected


flags = st.sampled_from([ACK, SYN, SYN | ACK, FIN | ACK, RST, 0, 63])
numbers = st.one_of(st.integers(95, 130), st.integers(0, (1 << 32) - 1))


@given(
    st.lists(
        st.builds(
            segment,
            numbers,
            st.binary(max_size=12),
            flags,
            by_client=st.booleans(),
            ack=numbers,
            at=st.integers(0, 5 * SECOND),
            missing=st.sampled_from([0, 0, 3]),
            port=st.sampled_from([1, 2]),
        ),
        max_size=40,
    )
)
def test_any_segments_keep_the_order_of_events(segments: list[Segment]) -> None:
    reassembly = Reassembly()
    states: dict[int, str] = {}
    events = [event for one in segments for event in reassembly.feed(one)] + list(reassembly.end())
    for event in events:
        number = event.connection.number
        if isinstance(event, Opened):
            assert states.setdefault(number, "open") == "open"
        else:
            assert states[number] == "open"
            if isinstance(event, Over):
                states[number] = "over"
            elif isinstance(event, Data):
                assert event.data
            elif isinstance(event, Gap):
                assert event.size > 0
    assert set(states.values()) <= {"over"}
    assert reassembly._cost == 0
    assert not reassembly._table


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.binary(min_size=1, max_size=4000)), max_size=12))
def test_what_the_recorder_writes_is_read(said: list[tuple[int, bool, bytes]]) -> None:
    file = BytesIO()
    recorder = Recorder(file, segment=700)
    expected: dict[tuple[int, bool], bytes] = {}
    for number, by_client, data in said:
        recorder.send(number, 10**18, data, by_client=by_client)
        expected[number, by_client] = expected.get((number, by_client), b"") + data
    file.seek(0)
    segments = Segments()
    found = (segments.read(packet) for packet in read_packets(file, "x"))
    seen, _ = run(one for one in found if one is not None)
    streams = {
        (connection.client.port - 40_000, by_client): seen.stream(number, by_client=by_client)
        for number, connection in seen.connections.items()
        for by_client in (True, False)
        if seen.stream(number, by_client=by_client)
    }
    assert streams == expected
    assert all(connection.server == Endpoint("127.0.0.2", 11_112) for connection in seen.connections.values())


# -- hostile recordings --------------------------------------------------------------------------------------------


def test_a_flood_of_syns_forgets_the_silent_ones_and_keeps_the_others() -> None:
    reassembly, seen = Reassembly(), Seen()

    def feed(one: Segment) -> None:
        for event in reassembly.feed(one):
            seen.add(event)

    for one in [*handshake(), segment(101, b"before")]:
        feed(one)
    for number in range(MOST_CONNECTIONS + 2000):
        feed(Segment(0, 0, number.to_bytes(4, "big") + SERVER + b"\1\1\1\2", 5, 0, SYN, memoryview(b""), 0))
    feed(segment(107, b"after"))
    assert seen.stream() == b"beforeafter"
    assert reassembly.totals.evicted == 2001
    assert len(reassembly._table) <= 2 * MOST_CONNECTIONS


def test_of_too_many_connections_the_one_silent_for_longest_is_given_up() -> None:
    reassembly, seen = Reassembly(), Seen()
    for number in range(MOST_CONNECTIONS + 1):
        place = number.to_bytes(4, "big") + SERVER + b"\1\1\1\2"
        for event in reassembly.feed(Segment(0, 0, place, 5, 0, ACK, memoryview(b"x"), 0)):
            seen.add(event)
        if number == 1:
            for event in reassembly.feed(
                Segment(0, 0, bytes(4) + SERVER + b"\1\1\1\2", 6, 0, ACK, memoryview(b"y"), 0)
            ):
                seen.add(event)
    assert seen.lines == ["2 EVICTED"]


def test_a_flood_out_of_order_is_bounded_for_one_direction_and_for_all() -> None:
    reassembly = Reassembly()
    piece = bytes(1460)
    tracemalloc.start()
    try:
        for port in range(MOST_WAITING_IN_ALL // MOST_WAITING + 8):
            for one in handshake(port=port):
                list(reassembly.feed(one))
            for at in range(1, MOST_WAITING // (1460 + 256) + 100, 4):
                list(reassembly.feed(segment(101 + at * 1461, piece * 4, port=port)))
                assert reassembly._cost <= MOST_WAITING_IN_ALL
        assert max(half.cost for flow in reassembly._live.values() for half in flow.halves) <= MOST_WAITING
        assert tracemalloc.get_traced_memory()[1] < MOST_WAITING_IN_ALL + (16 << 20)
    finally:
        tracemalloc.stop()


def test_overlapping_bombs_take_linear_time() -> None:
    """Segments of 60 kB over thousands of single bytes that wait, again and again."""
    reassembly = Reassembly()
    for one in handshake():
        list(reassembly.feed(one))
    random = Random(5)
    for _ in range(20):
        for at in random.sample(range(1, 60_000), 300):
            list(reassembly.feed(segment(110 + at, b"x")))
        list(reassembly.feed(segment(111, bytes(60_000))))
    assert reassembly._cost < 70_000 + 256

"""Every link type, VLAN tags, extension headers and fragments lead to the same TCP segment; no bytes raise an error."""

from __future__ import annotations

import struct
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.captures.files import Packet
from dicos_fuzz.captures.internet import MOST_DATAGRAMS, MOST_FRAGMENTS, Segment, Segments, endpoints
from dicos_fuzz.captures.links import NAMES, internet_packet
from dicos_fuzz.captures.packets import RAW_IP, Endpoint, Flags
from dicos_fuzz.captures.packets import Path as Way

PAYLOAD = b"\5\0\0\0\0\4\0\0\0\0"
MAC = bytes(12)


def datagram(version: int = 4, payload: bytes = PAYLOAD) -> bytes:
    hosts = ("10.0.0.1", "10.0.0.2") if version == 4 else ("2001:db8::1", "2001:db8::2")
    way = Way(Endpoint(hosts[0], 40_000), Endpoint(hosts[1], 104), link=RAW_IP)
    return way.packet(by_client=True, flags=Flags.ACK, sequence=7, acknowledgement=9, payload=payload)


def packet(data: bytes, link: int = RAW_IP, original: int | None = None) -> Packet:
    return Packet(1, 5, link, memoryview(data), len(data) if original is None else original)


def read(data: bytes, link: int = RAW_IP, original: int | None = None) -> Segment | None:
    return Segments().read(packet(data, link, original))


def check(segment: Segment | None, version: int = 4, payload: bytes = PAYLOAD, missing: int = 0) -> None:
    assert segment is not None
    assert bytes(segment.payload) == payload
    assert (segment.sequence, segment.acknowledgement, segment.flags) == (7, 9, Flags.ACK)
    assert (segment.number, segment.at, segment.missing) == (1, 5, missing)
    host = "10.0.0." if version == 4 else "2001:db8::"
    assert endpoints(segment.key) == (Endpoint(f"{host}1", 40_000), Endpoint(f"{host}2", 104))


FOUR, SIX = b"\x08\x00", b"\x86\xdd"
FRAMES = {
    "Ethernet": (1, lambda kind: MAC + kind),
    "one VLAN tag": (1, lambda kind: MAC + b"\x81\x00\0\5" + kind),
    "two VLAN tags": (1, lambda kind: MAC + b"\x88\xa8\0\5\x81\x00\0\6" + kind),
    "SNAP": (1, lambda kind: MAC + b"\0\x60\xaa\xaa\3\0\0\0" + kind),
    "PPPoE": (1, lambda kind: MAC + b"\x88\x64\x11\0\0\1\0\x20" + (b"\0\x21" if kind == FOUR else b"\0\x57")),
    "Linux cooked": (113, lambda kind: bytes(14) + kind),
    "Linux cooked, VLAN": (113, lambda kind: bytes(14) + b"\x81\x00\0\5" + kind),
    "Linux cooked v2": (276, lambda kind: kind + bytes(18)),
    "NULL, little endian": (0, lambda kind: b"\2\0\0\0" if kind == FOUR else b"\x1e\0\0\0"),
    "NULL, big endian": (0, lambda kind: b"\0\0\0\2" if kind == FOUR else b"\0\0\0\x18"),
    "LOOP": (108, lambda kind: b"\0\0\0\2" if kind == FOUR else b"\0\0\0\x1c"),
    "PPP": (9, lambda kind: b"\0\x21" if kind == FOUR else b"\0\x57"),
    "PPP with address": (9, lambda kind: b"\xff\3" + (b"\0\x21" if kind == FOUR else b"\0\x57")),
    **{f"raw {link}": (link, lambda kind: b"") for link in (12, 14, 101, 228, 229)},
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("link", "head"), FRAMES.values(), ids=FRAMES)
def test_every_link_type(link: int, head, version: int) -> None:
    raw = head(FOUR if version == 4 else SIX) + datagram(version)
    check(read(raw, link), version)


def test_other_protocols_are_counted() -> None:
    segments = Segments()
    for link, data in (
        (1, MAC + b"\x08\x06" + bytes(28)),
        (1, MAC + b"\x81\x00\0\5" * 20),
        (1, MAC + b"\x88\x64\x11\0\0\1\0\x20\xc0\x21"),
        (1, b"short"),
        (113, bytes(16)),
        (276, bytes(20)),
        (0, b"\7\0\0\0" + datagram()),
        (0, b"\2"),
        (9, b"\xc0\x21" + datagram()),
        (101, b""),
        (101, b"\x50" + bytes(30)),
        (101, datagram()[:9] + b"\x11" + datagram()[10:]),
        (101, datagram(6)[:6] + b"\x11" + datagram(6)[7:]),
    ):
        assert segments.read(packet(data, link)) is None
    assert segments.counts.others == segments.counts.packets == 13


def test_link_types_that_are_not_known_are_counted_by_number() -> None:
    segments = Segments()
    for link in (127, 127, 0x1234):
        assert segments.read(packet(datagram(), link)) is None
    assert segments.counts.unknown_links == {127: 2, 0x1234: 1}
    for link in range(1000, 9000):
        segments.read(packet(b"", link))
    assert len(segments.counts.unknown_links) == 1000


def test_lengths_that_do_not_fit_are_counted_as_damage() -> None:
    whole, six = datagram(), datagram(6)
    segments = Segments()
    damaged = (
        whole[:19],
        b"\x44" + whole[1:],
        whole[:2] + b"\0\x05" + whole[4:],
        whole[:30],
        whole[:32] + b"\x40" + whole[33:],
        whole[:32] + b"\xf0" + whole[33:],
        six[:39],
        six[:50],
        six[:6] + b"\0" + six[7:40] + b"\6\xff" + six[42:],
    )
    for data in damaged:
        assert segments.read(packet(data)) is None
    assert segments.counts.damaged == len(damaged)


def test_padding_of_the_frame_is_no_payload() -> None:
    check(read(MAC + FOUR + datagram(4, b"") + bytes(6), 1), payload=b"")
    check(read(MAC + SIX + datagram(6) + bytes(6), 1), 6)


def test_a_packet_of_length_0_is_as_long_as_its_frame() -> None:
    """Where the network card cuts packets (TSO), a capture has them before they got their length."""
    four, six = datagram(), datagram(6)
    check(read(four[:2] + b"\0\0" + four[4:]))
    check(read(six[:4] + b"\0\0" + six[6:]), 6)
    cut = four[:2] + b"\0\0" + four[4:-3]
    check(read(cut, original=len(four)), payload=PAYLOAD[:-3], missing=3)


@pytest.mark.parametrize("version", [4, 6])
def test_payload_that_the_capture_cut_off_is_missing(version: int) -> None:
    whole = datagram(version)
    check(read(whole[:-4], original=len(whole)), version, PAYLOAD[:-4], 4)
    check(read(whole[: -len(PAYLOAD)], original=len(whole)), version, b"", len(PAYLOAD))
    check(read(whole[: -len(PAYLOAD) - 4], original=len(whole)), version, b"", len(PAYLOAD))


def test_extension_headers_are_skipped() -> None:
    raw = datagram(6)
    headers = b"\x3c\0" + bytes(6)  # hop by hop, then destination options
    headers += b"\x2b\1" + bytes(14)  # then routing
    headers += b"\x2c\0" + bytes(6)  # then a fragment header of the only fragment
    headers += b"\x33\0" + b"\0\0\0\0\0\7"
    headers += b"\6\4" + bytes(22)  # authentication
    length = len(raw) - 40 + len(headers)
    raw = raw[:4] + struct.pack(">H", length) + b"\0" + raw[7:40] + headers + raw[40:]
    check(read(raw), 6)


def test_a_packet_of_extension_headers_only_is_damaged() -> None:
    raw = datagram(6)
    segments = Segments()
    headers = (b"\0\0" + bytes(6)) * 1000
    raw = raw[:4] + struct.pack(">H", len(headers)) + b"\0" + raw[7:40] + headers
    assert segments.read(packet(raw)) is None
    assert segments.counts.damaged == 1


# -- fragments -----------------------------------------------------------------------------------------------------


def fragments(
    version: int, sizes: tuple[int, ...] = (16, 24), payload: bytes = PAYLOAD, number: int = 77
) -> list[bytes]:
    """The datagram in fragments of these sizes, and the rest."""
    whole = datagram(version, payload)
    head, body = (whole[:20], whole[20:]) if version == 4 else (whole[:40], whole[40:])
    made, at = [], 0
    for size in (*sizes, len(body)):
        piece = body[at : at + size]
        more = at + size < len(body)
        if version == 4:
            place = struct.pack(">HHH", 20 + len(piece), number, at // 8 | (0x2000 if more else 0))
            made.append(head[:2] + place + head[8:] + piece)
        else:
            extra = struct.pack(">BBHL", 6, 0, at | more, number)
            made.append(head[:4] + struct.pack(">H", len(piece) + 8) + b"\x2c" + head[7:] + extra + piece)
        at += size
    return [one for one in made if len(one) > (20 if version == 4 else 48)]


LONG = bytes(range(60))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_fragments_in_any_order(version: int, order: tuple[int, ...]) -> None:
    pieces = fragments(version, payload=LONG)
    segments = Segments()
    found = [segments.read(packet(pieces[index])) for index in order]
    assert found[:2] == [None, None]
    check(found[2], version, LONG)


@pytest.mark.parametrize("version", [4, 6])
def test_a_fragment_that_comes_twice(version: int) -> None:
    pieces = fragments(version, payload=LONG)
    segments = Segments()
    found = [segments.read(packet(one)) for one in (pieces[0], pieces[0], pieces[1], pieces[2])]
    check(found[-1], version, LONG)
    assert segments.counts.fragments_dropped == 0


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_that_overlap_or_do_not_fit_are_dropped(version: int) -> None:
    pieces = fragments(version, payload=LONG)
    others = fragments(version, sizes=(24, 24), payload=LONG)
    longer = fragments(version, payload=LONG + b"12345678")
    for bad in ([pieces[0], others[0]], [pieces[2], longer[2]], [pieces[0], pieces[1][:-3]]):
        segments = Segments()
        for one in bad:
            assert segments.read(packet(one, original=len(one))) is None
        assert segments.counts.fragments_dropped == len(bad) or bad[-1] == pieces[1][:-3]


@pytest.mark.parametrize("version", [4, 6])
def test_a_fragment_that_the_capture_cut_is_dropped(version: int) -> None:
    segments = Segments()
    one = fragments(version, payload=LONG)[0]
    assert segments.read(packet(one[:-3], original=len(one))) is None
    assert segments.counts.fragments_dropped == 1


def test_a_datagram_of_very_many_fragments_is_dropped() -> None:
    segments = Segments()
    pieces = fragments(4, sizes=(8,) * (MOST_FRAGMENTS + 1), payload=bytes(9 * MOST_FRAGMENTS))
    for one in pieces[: MOST_FRAGMENTS + 1]:
        assert segments.read(packet(one)) is None
    assert segments.counts.fragments_dropped == MOST_FRAGMENTS + 1


def test_first_fragments_without_end_are_forgotten_the_oldest_first() -> None:
    segments = Segments()
    for number in range(MOST_DATAGRAMS + 5):
        segments.read(packet(fragments(4, payload=LONG, number=number)[0]))
    assert segments.counts.fragments_dropped == 5
    pieces = fragments(4, payload=LONG, number=MOST_DATAGRAMS)
    assert segments.read(packet(pieces[1])) is None
    check(segments.read(packet(pieces[2])), 4, LONG)


# -- any bytes -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from([*NAMES, 5]), st.binary(max_size=120), st.integers(0, 40)), max_size=5))
def test_any_bytes_raise_nothing(frames: list[tuple[int, bytes, int]]) -> None:
    segments = Segments()
    for link, data, cut in frames:
        found = segments.read(packet(data, link, len(data) + cut))
        assert found is None or len(found.payload) <= len(data)
    assert segments.counts.packets == len(frames)


@given(st.sampled_from([4, 6]), st.data())
def test_any_changed_byte_raises_nothing(version: int, data: st.DataObject) -> None:
    pieces = [*fragments(version, payload=LONG), datagram(version)]
    segments = Segments()
    for piece in pieces:
        raw = bytearray(piece)
        for _ in range(data.draw(st.integers(0, 3))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        segments.read(packet(bytes(raw)))


@given(st.sampled_from([*NAMES]), st.binary(max_size=60))
def test_a_frame_holds_its_packet_or_nothing(link: int, frame: bytes) -> None:
    found = internet_packet(link, memoryview(frame))
    assert found is not None
    assert frame.endswith(bytes(found))

"""Capture files in every variant are read to the same packets; damage is named, and costs nothing before it."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.captures.files import MOST_INTERFACES, MOST_SECRETS, CaptureError, Packet, read_packets
from dicos_fuzz.captures.pcapng import Writer
from dicos_fuzz.captures.source import MOST_BLOCK
from tests.fuzz.captures.files import (
    Stamped,
    block,
    enhanced,
    interface,
    obsolete,
    option,
    pcap,
    secrets,
    section,
    simple,
)

AT = 1_700_000_000_123_456_000
PACKETS = [(AT, b"first"), (AT + 1_000_000, b""), (AT + 2_000_000_000, bytes(range(250)) * 40)]
packets = st.lists(st.tuples(st.integers(0, (1 << 32) * 10**9 - 1), st.binary(max_size=300)), max_size=8)


class Dribble:
    """A pipe that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read1(self, size: int, /) -> bytes:
        found, self._data = self._data[: min(size, 1)], self._data[1:]
        return bytes(found)


def read(raw: bytes, kept: list[bytes] | None = None) -> list[Packet]:
    return list(read_packets(BytesIO(raw), "clinic.pcapng", None if kept is None else kept.append))


def seen(raw: bytes) -> list[Stamped]:
    return [(packet.at, bytes(packet.data)) for packet in read(raw)]


def outcome(raw: bytes) -> tuple[list[bytes], CaptureError | None]:
    """The packets, and the damage after them."""
    found: list[bytes] = []
    try:
        for packet in read_packets(BytesIO(raw), "clinic.pcapng", lambda lines: None):
            found.append(bytes(packet.data))
    except CaptureError as error:
        return found, error
    return found, None


def until_damage(raw: bytes) -> tuple[list[bytes], CaptureError]:
    found, error = outcome(raw)
    assert error is not None
    return found, error


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_in_both_byte_orders_and_resolutions(order: str, nanoseconds: bool) -> None:
    raw = pcap(PACKETS, order=order, nanoseconds=nanoseconds, link=101)
    assert seen(raw) == PACKETS
    assert [(packet.number, packet.link) for packet in read(raw)] == [(1, 101), (2, 101), (3, 101)]


def test_a_link_type_is_read_without_the_length_of_its_checksum() -> None:
    raw = pcap(PACKETS[:1], link=0x5000_0001)
    assert read(raw)[0].link == 1


@given(packets, st.booleans())
def test_what_the_writer_writes_is_read(stamped: list[Stamped], dribble: bool) -> None:
    file = BytesIO()
    writer = Writer(file, comment="a comment", link=101)
    for at, data in stamped:
        writer.packet(at, data, comment="one" if data else "", original=len(data) + 3)
    raw = file.getvalue()
    source = Dribble(raw) if dribble else BytesIO(raw)
    found = [(one.at, bytes(one.data)) for one in read_packets(source, "x") if one.original == len(one.data) + 3]
    assert found == stamped


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_every_kind_of_block(order: str) -> None:
    raw = b"".join(
        [
            section(order),
            interface(1, order=order),
            block(4, b"names", order),
            enhanced(AT // 1000, b"one", order=order, options=option(1, b"a comment", order) + bytes(4)),
            interface(113, resolution=9, order=order),
            obsolete(AT, b"two", which=1, order=order),
            block(0xBAD, b"", order),
            block(5, bytes(40), order),
            simple(b"three", order),
            secrets(b"CLIENT_RANDOM", order),
            secrets(b"ssh", order, kind=0x5353484B),
        ]
    )
    kept: list[bytes] = []
    found = [(one.at, one.link, bytes(one.data)) for one in read(raw, kept)]
    assert found == [(AT, 1, b"one"), (AT, 113, b"two"), (AT, 1, b"three")]
    assert kept == [b"CLIENT_RANDOM"]
    assert len(read(raw)) == 3  # without a wish for secrets


def test_each_section_has_its_own_byte_order_and_interfaces() -> None:
    raw = section("<") + interface(1) + enhanced(1, b"a") + section(">") + interface(101, order=">")
    raw += enhanced(2, b"b", order=">")
    assert [(one.number, one.at, one.link, bytes(one.data)) for one in read(raw)] == [
        (1, 1000, 1, b"a"),
        (2, 2000, 101, b"b"),
    ]


@pytest.mark.parametrize(
    ("resolution", "ticks", "nanoseconds"),
    [(0, 5, 5 * 10**9), (3, 5, 5 * 10**6), (9, 5, 5), (12, 5000, 5), (0x80 | 10, 512, 5 * 10**8), (127, 1 << 63, 0)],
)
def test_times_have_the_resolution_of_their_interface(resolution: int, ticks: int, nanoseconds: int) -> None:
    raw = section() + interface(resolution=resolution) + enhanced(ticks, b"")
    assert read(raw)[0].at == nanoseconds


def test_times_have_the_offset_of_their_interface() -> None:
    raw = section() + interface(offset=-3, resolution=9) + enhanced(5 * 10**9, b"")
    assert read(raw)[0].at == 2 * 10**9


def test_a_simple_packet_is_as_long_as_the_snapshot() -> None:
    raw = section() + interface(snap=4) + simple(b"abcdefgh", original=100)
    assert (bytes(read(raw)[0].data), read(raw)[0].original) == (b"abcd", 100)


def test_a_block_of_an_unknown_type_may_be_long() -> None:
    raw = section() + block(0xBAD, bytes(3 << 20)) + interface() + enhanced(0, b"after")
    assert bytes(read(raw)[0].data) == b"after"


def test_a_capture_without_packets() -> None:
    assert read(section()) == []
    assert read(pcap([])) == []


def test_secrets_that_are_too_long_are_left_out() -> None:
    kept: list[bytes] = []
    assert read(section() + secrets(bytes(MOST_SECRETS + 1)), kept) == []
    assert kept == []


# -- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [pcap(PACKETS[:2]), section() + interface() + enhanced(1, b"first") + enhanced(2, b"")],
    ids=["pcap", "pcapng"],
)
def test_a_file_cut_at_any_byte_names_the_place_and_keeps_what_is_before(raw: bytes) -> None:
    whole = [bytes(packet.data) for packet in read(raw)]
    sound = 0
    for cut in range(len(raw)):
        found, error = outcome(raw[:cut])
        assert found == whole[: len(found)]
        if error is None:
            sound += 1
            continue
        assert str(error).startswith("clinic.pcapng: ")
        assert cut < 12 or "the file ends" in str(error)
        assert error.offset <= cut
    assert sound == (2 if raw[0] == 0xD4 else 3)  # the ends of the headers, and of the first packet


SHORT = struct.pack("<LLL", 6, 12, 12)
DAMAGE = {
    "": "clinic.pcapng: empty; a capture file (pcap or pcapng) is expected",
    b"GET / HTTP/1.1\r\n".hex(): "not a capture file (pcap or pcapng): begins with 47 45 54 20 (GET )",
    b"\x1f\x8b\x08\0\0\0".hex(): "not a capture file (pcap or pcapng): gzip: unpack it first",
    (pcap([])[:20]).hex(): "header at byte 0: the file ends after 20 of its 24 bytes",
    (pcap([]) + bytes(10)).hex(): "packet 1 at byte 24: the file ends after 10 of the 16 bytes of its header",
    (pcap([]) + struct.pack("<LLLL", 0, 0, 60, 60) + bytes(9)).hex(): "packet 1 at byte 24: the file ends after 9 of "
    "its 60 bytes",
    (pcap([]) + struct.pack("<LLLL", 0, 0, 1 << 31, 60)).hex(): "packet 1 at byte 24: captured length 2,147,483,648; "
    "at most 16,777,216",
    (section()[:8] + b"abcd" + section()[12:]).hex(): "Section Header block at byte 0: byte order magic 61626364",
    (block(0x0A0D0D0A, struct.pack("<LHHq", 0x1A2B3C4D, 2, 0, -1))).hex(): "version 2 of the format; 1 is known",
    (block(0x0A0D0D0A, struct.pack("<LHH", 0x1A2B3C4D, 1, 0))).hex(): "a body of 8 bytes; at least 16",
    (section() + b"abc").hex(): "block at byte 28: the file ends after 3 bytes of it; a block has at least 12",
    (section() + struct.pack("<LLL", 6, 13, 13)).hex(): "Enhanced Packet block at byte 28: length 13; a multiple of 4",
    (section() + struct.pack("<LLL", 6, 8, 8)).hex(): "length 8; a multiple of 4, at least 12",
    (section() + SHORT).hex(): "Enhanced Packet block at byte 28: a body of 0 bytes; at least 20",
    (section() + enhanced(0, b"x")).hex(): "interface 0; this section has described 0",
    (section() + simple(b"x")).hex(): "Simple Packet block at byte 28: interface 0; this section has described 0",
    (section() + interface() + block(6, struct.pack("<LLLLL", 0, 0, 0, 9, 9) + b"1234")).hex(): "captured length 9 in "
    "a block with 4 left",
    (section() + struct.pack("<LL", 6, 1 << 28)).hex() + "00000000": "268,435,456 bytes; at most 16,777,216",
    (section() + struct.pack("<LLL", 0xBAD, 1 << 28, 0)).hex(): "block of type 0x00000BAD at byte 28: the file ends "
    "within its 268,435,456 bytes",
    (section() + interface()[:-4] + b"\0\0\0\0").hex(): "Interface Description block at byte 28: length 20 at its "
    "beginning, 0 at its end",
    (section() + block(0xBAD, b"abcd")[:-4] + b"\x01\0\0\0").hex(): "length 16 at its beginning, 1 at its end",
    (section() + block(1, b"abcd")).hex(): "a body of 4 bytes; at least 8",
    (section() + block(1, bytes(8) + struct.pack("<HH", 2, 9) + b"abcd")).hex(): "option 2 of 9 bytes with 4 left",
    (section() + block(10, b"abcd")).hex(): "Decryption Secrets block at byte 28: a body of 4 bytes; at least 8",
    (section() + block(10, struct.pack("<LL", 1, 99))).hex(): "secrets of 99 bytes in a block with 0 left",
}


@pytest.mark.parametrize(("raw", "text"), DAMAGE.items(), ids=range(len(DAMAGE)))
def test_damage_is_named_with_file_place_and_cause(raw: str, text: str) -> None:
    _, error = until_damage(bytes.fromhex(raw))
    assert str(error).startswith("clinic.pcapng: ")
    assert text in str(error)


def test_a_section_without_end_of_interfaces_is_refused() -> None:
    _, error = until_damage(section() + interface() * (MOST_INTERFACES + 1))
    assert f"more than {MOST_INTERFACES} interfaces in a section" in str(error)
    assert len(read(section() + interface() * MOST_INTERFACES + enhanced(0, b"", which=MOST_INTERFACES - 1))) == 1


def test_a_folder_or_a_disk_that_fails_is_named(tmp_path: Path) -> None:
    class Failing:
        def read1(self, size: int, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(CaptureError, match=r"clinic\.pcap: Input/output error"):
        list(read_packets(Failing(), "clinic.pcap"))


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=120).map(lambda tail: section() + interface() + tail)))
def test_any_bytes_raise_nothing_else(raw: bytes) -> None:
    _, error = outcome(raw)
    assert error is None or 0 <= error.offset <= len(raw)


@given(st.data())
def test_any_changed_byte_raises_nothing_else(data: st.DataObject) -> None:
    raw = bytearray(section() + interface(resolution=9) + enhanced(1, b"abc") + obsolete(2, b"d") + simple(b"e"))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    found, _ = outcome(bytes(raw))
    assert len(found) <= 3


def test_a_length_field_allocates_nothing() -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        until_damage(pcap([]) + struct.pack("<LLLL", 0, 0, MOST_BLOCK, 60) + bytes(9))
        until_damage(section() + struct.pack("<LLL", 6, MOST_BLOCK, 0))
        until_damage(section() + struct.pack("<LLL", 0xBAD, 0xFFFFFFFC, 0))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()

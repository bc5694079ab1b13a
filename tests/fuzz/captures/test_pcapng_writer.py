"""The pcapng writer and the packets that it invents: the bytes of each block as the format has them; tshark agrees."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.captures.packets import ETHERNET, MOST_PAYLOAD, RAW_IP, Endpoint, Flags, internet_checksum
from dicos_fuzz.captures.packets import Path as Way
from dicos_fuzz.captures.pcapng import MOST_COMMENT, Writer
from dicos_fuzz.captures.recording import START, Recorder, write_transcript
from dicos_fuzz.conversation import Entry, Side, Transcript, What
from dicos_proto import AssociateReject, ReleaseRequest, encode
from tests.fuzz.captures.shark import complaints, fields, needs_tshark, run
from tests.pair import REQUEST

RELEASE = encode(ReleaseRequest())
ASKED = encode(REQUEST)
AT = 1_700_000_000_123_456_789


def test_the_blocks_are_laid_out_as_the_format_has_them() -> None:
    file = BytesIO()
    writer = Writer(file)
    writer.packet(AT, b"abcde", comment="five")
    writer.secrets(b"CLIENT_RANDOM")
    raw = file.getvalue()
    assert raw[:24] == struct.pack("<LLLHHq", 0x0A0D0D0A, 48, 0x1A2B3C4D, 1, 0, -1)
    assert raw[24:48] == b"\4\0\x0b\0dicos-proto\0" + bytes(4) + struct.pack("<L", 48)
    interface = struct.pack("<LLHHL", 1, 32, 1, 0, 0) + b"\x09\0\x01\0\x09\0\0\0" + bytes(4) + struct.pack("<L", 32)
    assert raw[48:80] == interface
    packet = struct.pack("<LLLLLLL", 6, 52, 0, AT >> 32, AT & 0xFFFFFFFF, 5, 5) + b"abcde\0\0\0"
    assert raw[80:132] == packet + b"\1\0\4\0five" + bytes(4) + struct.pack("<L", 52)
    secrets = struct.pack("<LLLL", 10, 36, 0x544C534B, 13) + b"CLIENT_RANDOM\0\0\0" + struct.pack("<L", 36)
    assert raw[132:] == secrets


def test_a_packet_may_be_only_the_beginning_of_what_was_sent() -> None:
    file = BytesIO()
    Writer(file, link=RAW_IP).packet(0, b"abcd", original=1500)
    assert file.getvalue()[-16:] == struct.pack("<LL", 4, 1500) + b"abcd" + struct.pack("<L", 36)


def test_a_comment_that_is_too_long_is_cut_between_two_characters() -> None:
    file = BytesIO()
    Writer(file, comment="ä" * MOST_COMMENT)
    assert file.getvalue().count("ä".encode()) == MOST_COMMENT // 2


@given(st.binary(max_size=200))
def test_the_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert internet_checksum(data) == ~total & 0xFFFF


@pytest.mark.parametrize("link", [ETHERNET, RAW_IP])
def test_one_ipv6_address_maps_the_other(link: int) -> None:
    packet = Way(Endpoint("10.0.0.1", 4000), Endpoint("::1", 104), link=link).packet(
        by_client=True, flags=Flags.ACK, sequence=1
    )
    assert packet[-20 - 40 :][:8] == bytes.fromhex("6000000000140640")
    assert packet[-52:-20] == bytes(10) + b"\xff\xff\x0a\0\0\1" + bytes(15) + b"\1"


def test_what_cannot_be_a_packet_is_refused() -> None:
    with pytest.raises(ValueError, match="link type 7"):
        Way(Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2), link=7)
    with pytest.raises(ValueError, match="storage"):
        Way(Endpoint("storage", 1), Endpoint("10.0.0.2", 2))
    with pytest.raises(ValueError, match="segments of 70000 bytes"):
        Recorder(BytesIO(), segment=70_000)


def test_bytes_after_the_end_of_a_direction_are_refused() -> None:
    recorder = Recorder(BytesIO())
    recorder.open(0, START)
    recorder.end(0, START, by_client=True)
    assert recorder.is_open(0)
    assert not recorder.may_send(0, by_client=True)
    with pytest.raises(ValueError, match="after the end"):
        recorder.send(0, START, b"late", by_client=True)
    with pytest.raises(ValueError, match="ended already"):
        recorder.end(0, START, by_client=True)
    recorder.end(0, START, by_client=False)
    assert not recorder.is_open(0)


def conversation(recorder: Recorder, number: int, big: int) -> None:
    recorder.note(number, "nobody hears this: it is not open yet")
    recorder.open(number, START)
    recorder.send(number, START + 1000, ASKED, by_client=True, comment="asked")
    recorder.send(number, START + 2000, encode(AssociateReject()), by_client=False)
    recorder.note(number, "quiet")
    recorder.send(number, START + 2500, RELEASE * big, by_client=True)
    recorder.send(number, START + 2700, b"", by_client=True)


class TestTshark:
    pytestmark = needs_tshark

    @pytest.mark.parametrize(("link", "segment"), [(ETHERNET, None), (RAW_IP, 50), (ETHERNET, MOST_PAYLOAD)])
    def test_connections_of_both_families_and_ends(self, tmp_path: Path, link: int, segment: int | None) -> None:
        path = tmp_path / "made.pcapng"
        with path.open("wb") as file:
            recorder = Recorder(file, segment=segment, link=link, comment="made up")
            conversation(recorder, 0, big=1)
            conversation(recorder, 1, big=400)
            recorder.end(0, START + 3000, by_client=True)
            recorder.end(0, START + 3001, by_client=False)
            recorder.end(1, START + 3000, by_client=False, reset=True, comment="gone")
            server = Endpoint("2001:db8::2", 11_112)
            recorder.open(0, START + 4000, client=Endpoint("2001:db8::1%eth0", 40_000), server=server)
            recorder.send(0, START + 4001, ASKED, by_client=True)
            recorder.open(2, START + 5000, refused=True)
        assert complaints(path) == ""
        kinds = [kind for (kinds,) in fields(path, "dicom.pdu.type") for kind in kinds.split(",") if kind]
        assert kinds[:4] == ["0x01", "0x03", "0x05", "0x01"]
        assert kinds.count("0x05") == 401
        comments = [line for (line,) in fields(path, "frame.comment") if line]
        assert comments == ["asked", "quiet", "asked", "quiet", "gone"]

    def test_the_times_are_kept_to_the_nanosecond(self, tmp_path: Path) -> None:
        path = tmp_path / "made.pcapng"
        with path.open("wb") as file:
            Writer(file).packet(AT, bytes(60))
        assert fields(path, "frame.time_epoch") == [["1700000000.123456789"]]

    def test_a_transcript_of_a_user(self, tmp_path: Path) -> None:
        entries = [
            Entry(0.0, 0, What.CHECKED, note="before"),
            Entry(0.0, 0, What.OPENED),
            Entry(0.1, 0, What.SENT, ASKED, "a request"),
            Entry(0.2, 0, What.QUIET),
            Entry(0.3, 0, What.RECEIVED, encode(AssociateReject())),
            Entry(0.4, 0, What.ENDED),
            Entry(0.5, 0, What.RECEIVED, b"more than there can be"),
            Entry(0.5, 0, What.CLOSED),
            Entry(0.6, 0, What.SENT, b"nobody reads this"),
            Entry(0.7, 1, What.REFUSED),
            Entry(0.7, 1, What.SENT, b"nor this"),
            Entry(0.8, 2, What.SENT, ASKED),
            Entry(0.9, 2, What.RESET),
            Entry(1.0, 3, What.OPENED),
            Entry(1.1, 3, What.CLOSED, note="reset"),
            Entry(1.2, 0, What.OPENED, note="again"),
            Entry(1.3, 0, What.SENT, ASKED),
        ]
        path = tmp_path / "made.pcapng"
        with path.open("wb") as file:
            write_transcript(file, Transcript(entries), client=Endpoint("127.0.0.1", 65_534))
        assert complaints(path) == ""
        rows = fields(path, "tcp.stream", "tcp.srcport", "dicom.pdu.type", "tcp.flags.str", "frame.comment")
        assert [row[:3] for row in rows if row[2]] == [
            ["0", "65534", "0x01"],
            ["0", "11112", "0x03"],
            ["2", "45536", "0x01"],
            ["4", "65534", "0x01"],
        ]
        ends = [(stream, port, flags) for stream, port, _, flags, _ in rows if "F" in flags or "R" in flags]
        assert [(stream, port) for stream, port, _ in ends] == [
            ("0", "11112"), ("0", "65534"), ("1", "11112"), ("2", "11112"), ("3", "45537")
        ]  # fmt: skip
        assert [row[4] for row in rows if row[4]] == ["a request", "quiet", "received", "reset", "again"]

    def test_a_transcript_of_a_provider(self, tmp_path: Path) -> None:
        entries = [
            Entry(0.0, 0, What.OPENED),
            Entry(0.1, 0, What.RECEIVED, ASKED),
            Entry(0.3, 0, What.SENT, encode(AssociateReject())),
            Entry(0.4, 0, What.CLOSED),
        ]
        path = tmp_path / "made.pcapng"
        with path.open("wb") as file:
            write_transcript(file, Transcript(entries), side=Side.PROVIDER)
        assert complaints(path) == ""
        rows = fields(path, "tcp.srcport", "dicom.pdu.type", "frame.time_relative")
        assert [row[:2] for row in rows if row[1]] == [["40000", "0x01"], ["11112", "0x03"]]
        assert rows[-1][2] == "0.400000000"

    def test_a_port_that_is_used_again_is_another_connection(self, tmp_path: Path) -> None:
        path = tmp_path / "made.pcapng"
        with path.open("wb") as file:
            recorder = Recorder(file)
            for number in range(3):
                recorder.open(0, START + number)
                recorder.send(0, START + number, ASKED, by_client=True)
                recorder.end(0, START + number, by_client=True)
                recorder.end(0, START + number, by_client=False)
        assert run(path, "-Y", "tcp.analysis.flags && !tcp.analysis.reused_ports") == ""
        assert {row[0] for row in fields(path, "tcp.stream")} == {"0", "1", "2"}

"""PDUs that the reader refuses at the six bytes of the header, before any byte of the body; PDUs that it skips."""

import pytest

from dicos_proto.errors import AbortReason, Malformed
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.events import Fragment
from dicos_proto.upper_layer.framing import PduBody, PduHeader, PduReader
from dicos_proto.upper_layer.pdu_types import PduType
from tests.stream import read_all, reader, whole_tokens
from tests.upper_layer.layouts import p_data, pdu, pdv, request

RELEASE = pdu(5, bytes(4))
RELEASE_TOKENS = [PduHeader(PduType.RELEASE_RQ, 4), PduBody(PduType.RELEASE_RQ, bytes(4))]


def refused(under_test: PduReader) -> Malformed:
    with pytest.raises(Malformed) as caught:
        under_test.next()
    return caught.value


def header_refused(kind: int, length: int, under_test: PduReader) -> Malformed:
    """The fault of this header, which comes at its sixth byte and not before."""
    header = bytes((kind, 0)) + length.to_bytes(4, "big")
    under_test.feed(header[:5])
    assert under_test.next() is None
    under_test.feed(header[5:])
    return refused(under_test)


@pytest.mark.parametrize("kind", [1, 2], ids=["A-ASSOCIATE-RQ", "A-ASSOCIATE-AC"])
@pytest.mark.parametrize("limit", [68, 1000, 1 << 20])
def test_associate_length_against_its_limit(kind: int, limit: int) -> None:
    limits = Limits(associate_pdu=limit)
    for length in {68, max(limit - 1, 68), limit}:
        under_test = reader(limits)
        under_test.feed(bytes((kind, 0)) + length.to_bytes(4, "big"))
        assert under_test.next() == PduHeader(PduType(kind), length)
    for length in (limit + 1, 0xFFFFFFFF):
        fault = header_refused(kind, length, reader(limits))
        assert (fault.limit, fault.seen, fault.allowed) == ("associate_pdu", length, limit)
    for length in (0, 67):
        assert header_refused(kind, length, reader(limits)).clause == "PS3.8 9.3.2"


@pytest.mark.parametrize("stream_data", [True, False], ids=["streaming", "not streaming"])
@pytest.mark.parametrize("limit", [6, 8, 16384, 0xFFFFFFFE])
def test_p_data_length_against_the_maximum_length(limit: int, stream_data: bool) -> None:
    for length in {6, max(limit - 1, 6), limit}:
        under_test = reader(max_length=limit, stream_data=stream_data)
        under_test.feed(b"\x04\0" + length.to_bytes(4, "big"))
        assert under_test.next() == (None if stream_data else PduHeader(PduType.P_DATA_TF, length))
        assert under_test.mid_pdu
    for length in (limit + 1, 0xFFFFFFFF):
        fault = header_refused(4, length, reader(max_length=limit, stream_data=stream_data))
        assert (fault.limit, fault.seen, fault.allowed) == ("max_length", length, limit)
        assert fault.clause == "PS3.8 D.1"
    for length in (0, 5):
        fault = header_refused(4, length, reader(max_length=limit, stream_data=stream_data))
        assert fault.clause == "PS3.8 9.3.5"


@pytest.mark.parametrize("limit", [1, 6, 8, 100])
@pytest.mark.parametrize("over", [0, 1, 2, 8])
def test_a_whole_p_data_against_the_maximum_length(limit: int, over: int) -> None:
    """As of a header that comes by itself: what else has come makes no difference."""
    length = max(limit + over, 6)
    result = read_all([p_data(pdv(1, 2, bytes(length - 6))) + RELEASE], max_length=limit)
    if length <= limit:
        assert (result.tokens, result.fault) == ([(1, False, True, bytes(length - 6)), *RELEASE_TOKENS], None)
    else:
        assert result.fault is not None
        assert (result.tokens, result.fault.limit, result.fault.seen) == ([], "max_length", length)


@pytest.mark.parametrize("length", range(6))
def test_a_p_data_too_short_for_a_pdv_is_refused_with_all_that_follows_it(length: int) -> None:
    for pdv_length in {0, 1, 2, max(length - 4, 0)}:
        stream = b"\x04\0" + length.to_bytes(4, "big") + pdv_length.to_bytes(4, "big") + b"\1\2" + RELEASE
        result = read_all([stream])
        assert result.tokens == []
        assert result.fault is not None
        assert result.fault.clause == "PS3.8 9.3.5"


@pytest.mark.parametrize("kind", [number for number in range(256) if number != 4])
def test_no_other_pdu_is_data_whatever_it_contains(kind: int) -> None:
    """The body, of any length, is read like the body of a P-DATA-TF with one PDV."""
    for size in (0, 2, 62, 100):
        stream = bytes((kind,)) + p_data(pdv(1, 2, bytes(size)))[1:]
        result = read_all([stream])
        assert not any(isinstance(token, tuple) for token in result.tokens)
        if kind in (1, 2) and size >= 62:
            assert result.tokens == [PduHeader(PduType(kind), size + 6), PduBody(PduType(kind), stream[6:])]
        else:
            assert (result.tokens, result.fault is None) == ([], False)


def test_a_header_in_two_chunks_is_read_as_one_whatever_the_second_begins_with() -> None:
    """Here with what a P-DATA-TF of one PDV begins with."""
    body = bytes.fromhex("0000000a 00000006 0102") + bytes(0x400)
    stream = bytes.fromhex("01000000 0410") + (body + bytes(0x410))[:0x410]
    expected = [PduHeader(PduType.ASSOCIATE_RQ, 0x410), PduBody(PduType.ASSOCIATE_RQ, stream[6:])]
    assert stream[4:6] + body[:10] == bytes.fromhex("0410 0000000a 00000006 0102")
    for at in range(len(stream)):
        assert read_all([stream[:at], stream[at:]]).tokens == expected


@pytest.mark.parametrize("kind", [3, 5, 6, 7], ids=lambda kind: PduType(kind).label)
@pytest.mark.parametrize("length", [0, 3, 5, 0xFFFFFFFF])
def test_length_of_the_short_pdus(kind: int, length: int) -> None:
    fault = header_refused(kind, length, reader())
    assert str(fault) == f"{PduType(kind).label} of {length} bytes; 4 [PS3.8 9.3.4 to 9.3.8]"
    assert fault.reason is AbortReason.INVALID_PARAMETER


@pytest.mark.parametrize("kind", [0, 8, 0x7F, 0xFF])
def test_unrecognized_pdu(kind: int) -> None:
    fault = header_refused(kind, 4, reader())
    assert fault.reason is AbortReason.UNRECOGNIZED_PDU
    assert str(fault) == f"PDU type 0x{kind:02X}; 0x01 to 0x07 [PS3.8 9.3.1]"


FOREIGN = {
    "TLS handshake": (b"\x16\x03\x01\x02\x00\x01", "a TLS handshake"),
    "TLS alert": (b"\x15\x03\x03\x00\x02\x02", "a TLS alert"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
    "GET": (b"GET / HTTP/1.1\r\n", "HTTP"),
    "POST": (b"POST /x HTTP/1.1\r\n", "HTTP"),
    "HEAD": (b"HEAD / HTTP/1.0\r\n", "HTTP"),
    "PUT": (b"PUT /x HTTP/1.1\r\n", "HTTP"),
    "OPTIONS": (b"OPTIONS * HTTP/1.1\r\n", "HTTP"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n", "HTTP"),
    "HTTP answer": (b"HTTP/1.1 400 Bad Request\r\n", "an HTTP answer"),
}


@pytest.mark.parametrize(("first", "name"), FOREIGN.values(), ids=FOREIGN)
def test_other_protocols_are_named_at_their_sixth_byte(first: bytes, name: str) -> None:
    for pieces in ([first], [first[:6]], [first[at : at + 1] for at in range(6)]):
        fault = read_all(pieces).fault
        hint = "; the peer wants TLS: tls=..., or --tls of the command" if name == "a TLS alert" else ""
        assert fault == Malformed(
            f"{name}, not DICOM: {first[:6]!r}{hint}", "PS3.8 9.3.1", AbortReason.UNRECOGNIZED_PDU
        )
    assert read_all([first[:5]]).fault is None


PDV_FAULTS = {
    "PDV of 0": (p_data(pdv(1, 2, b"abcd", length=0)), 0, "PDV of 0 bytes; at least 2"),
    "PDV of 1": (p_data(pdv(1, 2, b"abcd", length=1)), 0, "PDV of 1 bytes; at least 2"),
    "one longer than its PDU": (p_data(pdv(1, 2, b"ab", length=5)), 0, "PDV of 5 bytes in a PDU with 4 left"),
    "longer by both headers": (p_data(pdv(1, 2, b"abcd", length=14)), 0, "PDV of 14 bytes in a PDU with 6 left"),
    "of all ones": (p_data(pdv(1, 2, b"ab", length=0xFFFFFFFF)), 0, "PDV of 4294967295 bytes in a PDU with 4 left"),
    "second too long": (p_data(pdv(1, 0, b"ab"), pdv(1, 2, b"", length=3)), 1, "PDV of 3 bytes in a PDU with 2 left"),
    "one byte behind the last": (p_data(pdv(1, 2, b"ab"), b"\0"), 1, "1 bytes at the end of a P-DATA-TF"),
    "five bytes behind the last": (p_data(pdv(1, 2, b"ab"), bytes(5)), 1, "5 bytes at the end of a P-DATA-TF"),
}


@pytest.mark.parametrize(("stream", "good", "text"), PDV_FAULTS.values(), ids=PDV_FAULTS)
def test_pdv_lengths(stream: bytes, good: int, text: str) -> None:
    for pieces in ([stream + RELEASE], [stream[at : at + 1] for at in range(len(stream))]):
        result = read_all(pieces)
        assert len(result.tokens) == good
        assert result.fault is not None
        assert str(result.fault).startswith(text)
        assert (result.fault.clause, result.fault.reason) == ("PS3.8 9.3.5.1", AbortReason.INVALID_PARAMETER)


def test_a_pdv_ends_with_its_pdu_at_the_latest() -> None:
    exact = p_data(pdv(1, 2, b"ab"))
    assert read_all([exact + RELEASE]).tokens == [(1, False, True, b"ab"), *RELEASE_TOKENS]


def test_p_data_that_may_not_come_now_is_a_header_and_can_be_skipped() -> None:
    data = p_data(pdv(1, 2, b"ab"), pdv(1, 2, b"", length=99))
    for pieces in ([data + RELEASE], [(data + RELEASE)[at : at + 1] for at in range(len(data + RELEASE))]):
        under_test = reader(stream_data=False)
        tokens: list[object] = []
        for piece in pieces:
            under_test.feed(piece)
            while (token := under_test.next()) is not None:
                tokens.append(token)
                if token == PduHeader(PduType.P_DATA_TF, len(data) - 6):
                    under_test.skip_pdu()
        assert tokens == [PduHeader(PduType.P_DATA_TF, len(data) - 6), *RELEASE_TOKENS]
        assert under_test.completed == 2


def test_p_data_whose_header_came_out_is_read_when_it_may_come_after_all() -> None:
    under_test = reader(stream_data=False)
    under_test.feed(p_data(pdv(1, 2, b"ab")))
    assert under_test.next() == PduHeader(PduType.P_DATA_TF, 8)
    assert whole_tokens(under_test) == [(1, False, True, b"ab")]


@pytest.mark.parametrize("read", range(1, 24))
def test_skip_from_any_byte_of_a_p_data_on(read: int) -> None:
    """In a PDU header, in a PDV header, in a PDV, between two: the reader skips the rest of the PDU."""
    data = p_data(pdv(1, 0, b"abc"), pdv(1, 2, b"defg"))
    assert len(data) == 25
    under_test = reader()
    under_test.feed(data[:read])
    list(iter(under_test.next, None))
    under_test.skip_pdu()
    under_test.feed(data[read:] + RELEASE)
    tokens = whole_tokens(under_test)
    assert tokens[-2:] == RELEASE_TOKENS
    assert len(tokens) == (4 if read < 6 else 2)  # before the header is complete there is nothing to skip
    assert under_test.completed == 2
    found = []
    for value in p_data(pdv(3, 3, b"hi")):
        under_test.feed(bytes((value,)))
        found += list(iter(under_test.next, None))
    assert found == [Fragment(3, True, True, False, b"h"), Fragment(3, True, False, True, b"i")]


@pytest.mark.parametrize("read", range(6, 80))
def test_skip_from_any_byte_of_a_body_on(read: int) -> None:
    whole = request()
    under_test = reader()
    under_test.feed(whole[:read])
    assert isinstance(under_test.next(), PduHeader)
    assert under_test.next() is None
    under_test.skip_pdu()
    assert under_test.describe() == f"in an A-ASSOCIATE-RQ, {len(whole) - read} bytes before its end"
    for at in range(read, len(whole)):
        under_test.feed(whole[at : at + 1])
        assert under_test.next() is None
    under_test.feed(RELEASE)
    assert whole_tokens(under_test) == RELEASE_TOKENS


def test_skip_between_pdus_skips_nothing() -> None:
    under_test = reader()
    under_test.skip_pdu()
    under_test.feed(RELEASE)
    assert whole_tokens(under_test) == RELEASE_TOKENS
    under_test.skip_pdu()
    under_test.feed(RELEASE)
    assert whole_tokens(under_test) == RELEASE_TOKENS


def test_chunks_that_are_lost_are_let_go() -> None:
    chunks = [bytearray(RELEASE), bytearray(request()), bytearray(RELEASE)]
    under_test = reader()
    for chunk in chunks:
        under_test.feed(chunk)
    assert under_test.next() is not None
    under_test.lose()
    for chunk in chunks:
        chunk.clear()  # BufferError while there is a view of it


@pytest.mark.parametrize("before", [b"", RELEASE[:3], request()[:80], p_data(pdv(1, 0, b"ab"))[:13]], ids=len)
def test_once_lost_everything_is_of_no_use(before: bytes) -> None:
    under_test = reader()
    under_test.feed(before)
    list(iter(under_test.next, None))
    under_test.feed(RELEASE)
    under_test.feed(RELEASE)
    under_test.lose()
    assert (under_test.unread, under_test.pieces, under_test.mid_pdu) == (0, 1, False)
    under_test.feed(RELEASE)
    assert under_test.unread == 0
    assert under_test.next() is None
    assert under_test.describe() == "between PDUs"


def test_unread_and_pieces_count_what_was_fed_and_not_read() -> None:
    under_test = reader()
    assert (under_test.unread, under_test.pieces) == (0, 1)
    under_test.feed(b"")
    assert (under_test.unread, under_test.pieces) == (0, 1)
    under_test.feed(RELEASE)
    under_test.feed(b"")
    under_test.feed(RELEASE[:7])
    under_test.feed(RELEASE[7:])
    under_test.feed(b"")
    assert (under_test.unread, under_test.pieces) == (20, 3)
    assert isinstance(under_test.next(), PduHeader)
    assert (under_test.unread, under_test.pieces) == (14, 3)
    assert isinstance(under_test.next(), PduBody)
    assert under_test.unread == 10
    assert whole_tokens(under_test) == RELEASE_TOKENS
    assert (under_test.unread, under_test.pieces) == (0, 1)


def test_where_a_stream_ends_is_described() -> None:
    under_test = reader()
    assert (under_test.describe(), under_test.mid_pdu) == ("between PDUs", False)
    under_test.feed(b"\x04\0\0")
    assert under_test.next() is None
    assert (under_test.describe(), under_test.mid_pdu) == ("3 bytes into a PDU header", True)
    under_test.feed(p_data(pdv(1, 2, b"ab"))[3:9])
    assert under_test.next() is None
    assert under_test.describe() == "in a P-DATA-TF, 5 bytes before its end"
    under_test.feed(p_data(pdv(1, 2, b"ab"))[9:13])
    assert isinstance(under_test.next(), Fragment)
    assert (under_test.describe(), under_test.mid_pdu) == ("in a P-DATA-TF, 1 bytes before its end", True)
    under_test.feed(b"b")
    assert isinstance(under_test.next(), Fragment)
    assert (under_test.describe(), under_test.mid_pdu) == ("between PDUs", False)

"""The reader gives the same tokens however a stream is cut, hands data on as views, and holds next to nothing."""

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import Judge
from dicos_proto.upper_layer.events import Fragment
from dicos_proto.upper_layer.framing import PduBody, PduHeader, PduReader
from dicos_proto.upper_layer.pdu import decode, decode_body, encode
from dicos_proto.upper_layer.pdu_types import PData, Pdu, PduType
from tests import strategies
from tests.stream import Read, Whole, read_all, reader, whole_tokens
from tests.upper_layer.layouts import accept, p_data, pdu, pdv, request, split, vector, vector_names

RELEASE = pdu(5, bytes(4))
STREAMS = [vector(name) for name in vector_names()]


def by_byte(stream: bytes) -> Iterable[bytes]:
    return (stream[at : at + 1] for at in range(len(stream)))


def expected(pdus: Iterable[Pdu]) -> list[Whole]:
    """Returns the tokens of a stream of these PDUs, from the PDUs alone."""
    tokens: list[Whole] = []
    for value in pdus:
        if isinstance(value, PData):
            tokens += [(each.context, each.command, each.last, bytes(each.data)) for each in value.pdvs]
        else:
            whole = encode(value)
            kind = PduType(whole[0])
            tokens += [PduHeader(kind, len(whole) - 6), PduBody(kind, whole[6:])]
    return tokens


@pytest.mark.parametrize("name", vector_names())
def test_vectors_whole_and_byte_by_byte(name: str) -> None:
    stream = vector(name)
    whole = read_all([stream])
    assert read_all(by_byte(stream)) == whole
    bodies = [token for token in whole.tokens if isinstance(token, PduBody)]
    managed = [one for one in split(stream) if one[0] != 4]
    assert [decode_body(each.kind, memoryview(each.body), Judge(Limits())) for each in bodies] == list(
        map(decode, managed)
    )
    assert whole.completed == len(split(stream))


@settings(max_examples=200)
@given(st.lists(strategies.pdus, max_size=5), st.data())
def test_any_stream_in_any_pieces(pdus: list[Pdu], data: st.DataObject) -> None:
    stream = b"".join(map(encode, pdus))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    for cut in ([stream], by_byte(stream), pieces):
        result = read_all(cut)
        assert result.tokens == expected(pdus)
        assert (result.fault, result.completed, result.mid_pdu) == (None, len(pdus), False)


@settings(max_examples=200)
@given(st.lists(strategies.pdus, max_size=3), strategies.damaged(strategies.pdus.map(encode)), st.data())
def test_good_tokens_come_before_the_fault_however_the_stream_is_cut(
    pdus: list[Pdu], damaged: bytes, data: st.DataObject
) -> None:
    stream = b"".join(map(encode, pdus)) + damaged
    whole = read_all([stream])
    assert whole.tokens[: len(expected(pdus))] == expected(pdus)
    assert read_all(by_byte(stream)) == whole
    cut = data.draw(st.integers(0, len(stream)))
    assert read_all([stream[:cut], stream[cut:]]) == whole


@pytest.mark.parametrize("junk", [b"\xff", b"\x05\0\0\0\0", b"\x00" * 6, b"\x08\0\0\0\0\x04????"], ids=bytes.hex)
def test_trailing_junk_leaves_what_came_before_it_whole(junk: bytes) -> None:
    stream = accept() + p_data(pdv(1, 3, b"ab")) + RELEASE
    for cut in ([stream + junk], by_byte(stream + junk), [stream, junk]):
        result = read_all(cut)
        assert result.tokens == read_all([stream]).tokens
        assert result.completed == 3
        assert (result.fault is not None) == (len(junk) >= 6)
        assert result.mid_pdu == (len(junk) < 6)


def test_all_pieces_first_then_all_tokens() -> None:
    stream = request() + p_data(pdv(1, 3, b"abc"), pdv(1, 2, b"")) + RELEASE
    under_test = reader()
    for piece in by_byte(stream):
        under_test.feed(piece)
    assert (under_test.unread, under_test.pieces) == (len(stream), len(stream))
    assert whole_tokens(under_test) == read_all([stream]).tokens
    assert (under_test.unread, under_test.pieces) == (0, 1)
    assert under_test.next() is None


PACKINGS = {
    "one": [pdv(1, 1, b"command")],
    "command and data": [pdv(1, 3, b"command"), pdv(1, 2, b"data")],
    "empty ones among them": [pdv(1, 0, b""), pdv(1, 0, b"x"), pdv(1, 0, b""), pdv(1, 2, b"")],
    "many contexts": [pdv(number, 2, bytes([number])) for number in range(1, 256, 2)],
    "a thousand of one byte": [pdv(3, 0, b"z")] * 1000,
}


@pytest.mark.parametrize("pdvs", PACKINGS.values(), ids=PACKINGS)
def test_any_packing_of_pdvs_gives_the_same_fragments(pdvs: list[bytes]) -> None:
    together = read_all([p_data(*pdvs)])
    apart = read_all([b"".join(p_data(each) for each in pdvs)])
    assert together.tokens == apart.tokens
    assert len(together.tokens) == len(pdvs)
    assert (together.completed, apart.completed) == (1, len(pdvs))


def test_fragments_say_where_a_pdv_starts_and_ends() -> None:
    under_test = reader()
    found: list[tuple[bool, bool, bytes]] = []
    stream = p_data(pdv(1, 2, b"abcd"), pdv(1, 0, b"ef"), pdv(1, 3, b""))
    for at in range(0, len(stream), 3):
        under_test.feed(stream[at : at + 3])
        while isinstance(token := under_test.next(), Fragment):
            found.append((token.start, token.last, bytes(token.data)))
    # Pieces of three bytes end inside the first PDV, never in the second.
    assert found == [(True, False, b"abc"), (False, True, b"d"), (True, False, b"ef"), (True, True, b"")]


def test_a_pdv_whose_data_has_not_come_gives_nothing() -> None:
    under_test = reader()
    under_test.feed(p_data(pdv(1, 2, b"ab"))[:12])
    assert under_test.next() is None
    assert (under_test.mid_pdu, under_test.unread) == (True, 0)
    under_test.feed(b"ab")
    assert under_test.next() == Fragment(1, False, True, True, memoryview(b"ab"))
    assert not under_test.mid_pdu


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_data_is_a_view_of_the_chunk_it_came_in(buffer: type) -> None:
    chunk = buffer(p_data(pdv(1, 0, b"a" * 100), pdv(1, 2, b"b" * 50)))
    under_test = reader()
    under_test.feed(chunk)
    first, second = under_test.next(), under_test.next()
    assert isinstance(first, Fragment)
    assert isinstance(second, Fragment)
    owner = chunk.obj if isinstance(chunk, memoryview) else chunk
    assert first.data.obj is owner
    assert second.data.obj is owner
    assert bytes(first.data) + bytes(second.data) == b"a" * 100 + b"b" * 50


def test_data_in_two_chunks_is_two_views() -> None:
    whole = p_data(pdv(1, 2, bytes(range(100))))
    chunks = [whole[:40], whole[40:]]
    under_test = reader()
    for chunk in chunks:
        under_test.feed(chunk)
    for chunk in chunks:
        token = under_test.next()
        assert isinstance(token, Fragment)
        assert token.data.obj is chunk
    assert under_test.next() is None


@pytest.mark.parametrize("stream", [RELEASE, p_data(pdv(1, 2, b"ab")), RELEASE[:5], request()[:70]], ids=len)
def test_a_chunk_that_was_read_is_let_go(stream: bytes) -> None:
    """Its owner may read the next bytes into it, or make it longer."""
    for pieces in ([stream], [stream[:4], stream[4:]]):
        under_test = reader()
        chunks = [bytearray(piece) for piece in pieces]
        for chunk in chunks:
            under_test.feed(chunk)
        while under_test.next() is not None:
            pass
        for chunk in chunks:
            chunk.extend(b"more")  # BufferError while there is a view of it


def test_an_empty_chunk_among_others_makes_no_fragment() -> None:
    stream = p_data(pdv(1, 2, b"abcd"))
    under_test = reader()
    for piece in (stream[:13], b"", stream[13:14], b"", b"", stream[14:]):
        under_test.feed(piece)
    assert [bytes(token.data) for token in iter(under_test.next, None) if isinstance(token, Fragment)] == [
        b"a",
        b"b",
        b"cd",
    ]


def test_a_reader_as_it_is_made_takes_p_data_for_a_pdu_like_others() -> None:
    under_test = PduReader(Judge(Limits()))
    stream = p_data(pdv(1, 2, b"ab"))
    under_test.feed(stream)
    assert under_test.next() == PduHeader(PduType.P_DATA_TF, 8)
    assert (under_test.completed, under_test.mid_pdu) == (0, True)


def test_memory_is_flat_in_a_long_p_data() -> None:
    """A P-DATA-TF of 4 GiB less one: 64 MiB of it read, in one chunk used again and again."""
    under_test = reader()
    chunk = bytes(1 << 16)
    under_test.feed(b"\x04\0\xff\xff\xff\xff\xff\xff\xff\xfb\x01\x00")
    under_test.feed(chunk)
    assert isinstance(under_test.next(), Fragment)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1024):
            under_test.feed(chunk)
            token = under_test.next()
            assert isinstance(token, Fragment)
            assert (len(token.data), token.start, token.last) == (1 << 16, False, False)
            assert under_test.next() is None
        assert tracemalloc.get_traced_memory()[1] - before < 4096
    finally:
        tracemalloc.stop()
    assert under_test.describe() == f"in a P-DATA-TF, {0xFFFFFFFF - 6 - 1025 * 65536} bytes before its end"


def test_memory_is_flat_over_many_p_data() -> None:
    under_test = reader()
    chunk = p_data(*[pdv(1, 0, bytes(50))] * 20)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            for half in (memoryview(chunk)[:501], memoryview(chunk)[501:]):
                under_test.feed(half)
                while under_test.next() is not None:
                    pass
        assert tracemalloc.get_traced_memory()[1] - before < 8192
    finally:
        tracemalloc.stop()
    assert under_test.completed == 300


def test_a_body_is_kept_in_one_buffer_whatever_pieces_it_comes_in() -> None:
    """A stranger may send a long A-ASSOCIATE-RQ one byte a segment: it costs its length, not an object a byte."""
    size = 1 << 16
    under_test = reader()
    under_test.feed(b"\x01\0" + size.to_bytes(4, "big"))
    assert under_test.next() == PduHeader(PduType.ASSOCIATE_RQ, size)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(size - 1):
            under_test.feed(bytes((number & 0xFF,)))
            assert under_test.next() is None
        assert tracemalloc.get_traced_memory()[1] - before < 3 * size
    finally:
        tracemalloc.stop()
    under_test.feed(b"!")
    token = under_test.next()
    assert isinstance(token, PduBody)
    assert len(token.body) == size


def test_a_body_does_not_change_with_the_buffer_it_came_in() -> None:
    chunk = bytearray(b"\x07\0\0\0\0\x04\0\0\x02\x06")
    under_test = reader()
    under_test.feed(chunk)
    under_test.next()
    token = under_test.next()
    chunk[:] = bytes(len(chunk))
    assert token == PduBody(PduType.ABORT, b"\0\0\x02\x06")


def test_result_of_reading_is_compared_whole() -> None:
    """The comparisons above would be idle if two different readings could be equal."""
    assert read_all([RELEASE]) != read_all([RELEASE * 2])
    assert read_all([p_data(pdv(1, 3, b"a"))]) != read_all([p_data(pdv(1, 1, b"a"))])
    assert isinstance(read_all([b"\x99" * 6]).fault, Malformed)
    assert isinstance(read_all([]), Read)

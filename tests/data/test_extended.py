"""The extended explicit VR of DICOS, whose bulk data has 64 bits of length: read, written, converted, and hostile."""

import struct
import time
import tracemalloc
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto.data import Checker, DataSetError, TranscodeError, Walker, decode_object, encode, encoding, transcode
from dicos_proto.data.elements import EXTENDED_HEADERS, LONGEST
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.wire import Buffer

EXPLICIT, IMPLICIT, DEFLATED = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE
EXTENDED = uids.DICOS_EXPLICIT_VR_LE_EXTENDED
OTHERS = (EXPLICIT, IMPLICIT, DEFLATED)
CT = uids.DICOS_CT
OPEN_ITEM = bytes.fromhex("feff00e0ffffffff")
ITEM_END, SEQUENCE_END = bytes.fromhex("feff0de000000000"), bytes.fromhex("feffdde000000000")
ALL_VRS = (b"OB", b"OW", b"OF", b"OL", b"OD", b"OV", b"UN", b"UT", b"UC", b"UR", b"SV", b"UV")


def head(tag: int, vr: bytes, length: int, *, extended: bool = True) -> bytes:
    start = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in EXTENDED_HEADERS and extended:
        return start + (b"" if vr == b"OD" else b"\0\0") + struct.pack("<Q", length)
    if vr in ALL_VRS or vr == b"SQ":
        return start + struct.pack("<2xL", length)
    return start + struct.pack("<H", length)


def element(tag: int, vr: bytes, value: bytes, *, extended: bool = True) -> bytes:
    return head(tag, vr, len(value), extended=extended) + value


def uid(tag: int, value: str) -> bytes:
    return element(tag, b"UI", value.encode() + b"\0" * (len(value) % 2))


def sample(*, extended: bool = True) -> bytes:
    """Every representation with a long length, at the root and in a sequence."""

    def one(tag: int, vr: bytes, value: bytes) -> bytes:
        return element(tag, vr, value, extended=extended)

    inner = one(0x00282000, b"OB", b"icc!") + one(0x00283006, b"OW", b"") + one(0x00400310, b"ST", b"text")
    return b"".join((
        uid(0x00080016, CT), uid(0x00080018, "1.2.3"),
        one(0x00081140, b"SQ", b"")[:8] + b"\xff" * 4 + OPEN_ITEM + inner + ITEM_END + SEQUENCE_END,
        *(one(0x00091010 + at, vr, bytes(8 * (at % 3))) for at, vr in enumerate(ALL_VRS)),
        one(0x7FE00010, b"OW", bytes(range(200))),
    ))  # fmt: skip


def converted(data: bytes, from_ts: str, to_ts: str, *, size: int = 0, sop_class: str = CT) -> bytes:
    def read() -> Generator[Buffer, None, None]:
        yield from (data[at : at + size] for at in range(0, len(data), size)) if size else (data,)

    return b"".join(transcode.convert(read, from_ts, to_ts, sop_class_uid=sop_class))


def verdict(pieces: Iterator[Buffer]) -> str:
    checker = Checker(EXTENDED, CT, "1.2.3", Limits())
    try:
        for piece in pieces:
            checker.feed(piece)
        checker.finish()
    except DataSetError as error:
        return str(error)
    return ""


def pieces_of(data: bytes, at: list[int]) -> Iterator[bytes]:
    ends = sorted(one % (len(data) + 1) for one in at)
    return (data[one:two] for one, two in zip([0, *ends], [*ends, len(data)], strict=True))


def test_it_is_known_and_can_be_converted() -> None:
    assert encoding(EXTENDED) == (False, True, False, True)
    assert encoding(EXPLICIT) == (False, True, False, False)
    assert all(transcode.can_convert(EXTENDED, one) and transcode.can_convert(one, EXTENDED) for one in OTHERS)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 64])
def test_only_the_lengths_differ_from_explicit_vr(size: int) -> None:
    assert converted(sample(extended=False), EXPLICIT, EXTENDED, size=size) == sample()
    assert converted(sample(), EXTENDED, EXPLICIT, size=size) == sample(extended=False)
    assert b"".join(transcode.padded(pieces_of(sample(), [size, 90]), EXTENDED)) == sample()


@pytest.mark.parametrize("middle", OTHERS)
@pytest.mark.parametrize("size", [0, 1, 5])
def test_there_and_back_is_the_same(middle: str, size: int) -> None:
    known = b"".join((
        uid(0x00080016, CT), uid(0x00080018, "1.2.3"), element(0x00283006, b"OW", b"abcd"),
        element(0x40101006, b"OB", b"bits"), element(0x7FE00011, b"OL", bytes(8)),
        element(0x7FE00012, b"OD", bytes(16)), element(0x7FE00013, b"OF", b""),
    ))  # fmt: skip
    there = converted(known, EXTENDED, middle, size=size)
    assert converted(there, middle, EXTENDED, size=size) == known


def test_odd_values_are_padded_and_names_are_found() -> None:
    data = uid(0x00080016, CT) + uid(0x00080018, "1.2.3") + element(0x7FE00010, b"OB", b"abc")
    assert converted(data, EXTENDED, EXPLICIT)[-4:] == b"abc\0"
    assert transcode.sop_uids(pieces_of(data, [3]), EXTENDED) == (CT, "1.2.3")


def test_a_data_set_of_pydicoms_is_written_and_read() -> None:
    made = decode_object(sample(), EXTENDED)
    assert made.PixelData == bytes(range(200))
    assert made[0x00081140][0][0x00282000].value == b"icc!"
    assert encode(made, EXTENDED) == sample()
    assert encode(made, EXPLICIT) == sample(extended=False)


def test_a_data_set_that_does_not_fit_cannot_be_encoded() -> None:
    deep = decode_object(sample(), EXTENDED)
    for _ in range(Limits().sequence_depth):
        outer = decode_object(sample(), EXTENDED)
        outer[0x00081140].value = [deep]
        deep = outer
    with pytest.raises(DataSetError, match=r"cannot be encoded in .*Extended.*limit sequence_depth"):
        encode(deep, EXTENDED)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60), at=st.lists(st.integers(0, 4000), max_size=6), where=st.integers(0, 4000))
def test_any_split_of_any_damage_has_one_verdict(data: bytes, at: list[int], where: int) -> None:
    whole = sample()
    where %= len(whole)
    damaged = whole[:where] + data + whole[where + len(data) :]
    said = verdict(iter([damaged]))
    assert verdict(pieces_of(damaged, at)) == said
    assert verdict(damaged[one : one + 1] for one in range(len(damaged))) == said


def test_each_truncation_is_refused_unless_an_element_ends_there() -> None:
    data = (
        element(0x00080005, b"CS", b"ab") + element(0x00282000, b"OB", b"abcd") + element(0x7FE00012, b"OD", bytes(8))
    )
    whole = {10, 30, len(data)}
    for end in range(1, len(data) + 1):
        walker = Walker(implicit=False, little=True, limits=Limits(), extended=True)
        walker.feed(data[:end])
        if end in whole:
            walker.finish()
        else:
            with pytest.raises(DataSetError):
                walker.finish()


HOSTILE = (LONGEST + 1, LONGEST + 2, 1 << 62, (1 << 62) + 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 16)


@pytest.mark.parametrize("length", HOSTILE)
@pytest.mark.parametrize("vr", sorted(EXTENDED_HEADERS))
def test_a_hostile_length_costs_nothing(vr: bytes, length: int) -> None:
    start = uid(0x00080016, CT) + uid(0x00080018, "1.2.3")
    data = start + head(0x7FE00010, vr, length) + bytes(1000)
    said = verdict(iter([data]))
    assert said
    assert verdict(data[at : at + 1] for at in range(len(data))) == said

    def refused() -> None:
        with pytest.raises(DataSetError, match="bytes"):
            decode_object(data, EXTENDED)
        for to_ts in OTHERS:
            with pytest.raises(TranscodeError, match=r"bytes, which none|room for 4294967294"):
                converted(data, EXTENDED, to_ts)

    refused()  # now everything is imported
    before = time.process_time()
    with traced(1 << 20):
        refused()
    assert time.process_time() - before < 2


@contextmanager
def traced(most: int) -> Iterator[None]:
    """Fails if more than `most` bytes are in use at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def test_a_length_beyond_the_end_of_its_parent_is_named() -> None:
    inner = head(0x00282000, b"OB", LONGEST + 1) + b"abcd"
    data = element(0x00081140, b"SQ", element(0xFFFEE000, b"", inner)[:4] + struct.pack("<L", len(inner)) + inner)
    with pytest.raises(DataSetError, match=r"a value of 4294967295 bytes with 4 left"):
        decode_object(data, EXTENDED)
    with pytest.raises(DataSetError, match="an element header that is cut short"):
        decode_object(data[:8] + struct.pack("<L", 20) + data[12:16] + struct.pack("<L", 12) + inner[:12], EXTENDED)


def test_all_ones_are_a_length_like_others_and_begin_no_fragments() -> None:
    walker = Walker(implicit=False, little=True, limits=Limits(), extended=True)
    walker.feed(head(0x7FE00010, b"OW", 0xFFFFFFFF))
    assert walker.wanted == 0xFFFFFFFF
    assert walker.large == 0x7FE00010
    walker.skip(0xFFFFFFFF)
    walker.feed(head(0x7FE10010, b"OW", 1 << 40))
    walker.skip(1 << 40)
    walker.finish()
    assert walker.large == 0x7FE00010
    assert walker.ended == 0xFFFFFFFF + (1 << 40) + 32


def test_more_than_4_gib_pass_in_the_memory_of_a_piece() -> None:
    size = (1 << 32) + (1 << 22)
    piece = memoryview(bytes(1 << 22))
    given = 0

    def read() -> Generator[Buffer, None, None]:
        yield uid(0x00080018, "1.2.3") + head(0x7FE00010, b"OW", size)
        for _ in range(size >> 22):
            yield piece

    with traced(32 << 20):
        for out in transcode.convert(read, EXTENDED, EXTENDED):
            given += len(out)
        assert given == 16 + size + len(uid(0x00080018, "1.2.3"))
        for data in transcode.padded(read(), EXTENDED, chunk=1 << 22):
            given -= len(data)
        assert given == 0
    for to_ts in OTHERS:
        with pytest.raises(TranscodeError, match=r"\(7FE0,0010\) has 4299161600 bytes; .* room for 4294967294"):
            list(transcode.convert(read, EXTENDED, to_ts))

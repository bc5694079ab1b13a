"""Frames encoded and decoded: JPEG lossless and RLE, exactly, within the attributes, and hostile ones refused."""

import struct
import sys
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto.dicos import codecs
from dicos_proto.dicos.codecs import CodecError, FrameLayout
from dicos_proto.registry import uids

JPEG, JPEG_ANY, RLE = uids.JPEG_LOSSLESS_SV1, uids.JPEG_LOSSLESS, uids.RLE_LOSSLESS
imagecodecs = pytest.importorskip("imagecodecs")


def layout(rows: int = 5, columns: int = 7, **named: Any) -> FrameLayout:
    bits = named.pop("bits_allocated", 16)
    return FrameLayout(rows=rows, columns=columns, bits_allocated=bits, **{"bits_stored": bits, **named})


def noise(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size).astype("u1").tobytes()


LAYOUTS = st.builds(
    layout,
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    bits_allocated=st.sampled_from([8, 16]),
    samples=st.sampled_from([1, 3]),
    signed=st.booleans(),
    planar=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(one=LAYOUTS, syntax=st.sampled_from(codecs.ENCODED), draw=st.data())
def test_a_frame_comes_back_exactly(one: FrameLayout, syntax: str, draw: st.DataObject) -> None:
    frame = draw.draw(st.one_of(st.binary(min_size=one.size, max_size=one.size), st.just(noise(one.size))))
    made = codecs.encode(frame, one, syntax)
    assert len(made) % 2 == 0
    assert len(made) <= codecs.most_encoded(one)
    assert bytes(codecs.decode(made, one, syntax)) == frame
    assert codecs.encode(bytearray(frame), one, syntax) == codecs.encode(memoryview(frame), one, syntax) == made


@settings(max_examples=300, deadline=None)
@given(one=LAYOUTS, syntax=st.sampled_from(codecs.DECODED), draw=st.data())
def test_damage_is_refused_or_gives_a_frame_of_the_size(one: FrameLayout, syntax: str, draw: st.DataObject) -> None:
    made = bytearray(codecs.encode(noise(one.size), one, RLE if syntax == RLE else JPEG))
    at = draw.draw(st.integers(0, len(made)))
    made[at : at + draw.draw(st.integers(0, 9))] = draw.draw(st.binary(max_size=9))
    with suppress(CodecError):
        assert len(codecs.decode(bytes(made), one, syntax)) == one.size


@pytest.mark.parametrize("syntax", codecs.ENCODED)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("samples", "planar"), [(1, False), (1, True), (3, False), (3, True)])
def test_each_layout_of_samples_comes_back_exactly(syntax: str, bits: int, samples: int, planar: bool) -> None:
    one = layout(4, 9, bits_allocated=bits, samples=samples, planar=planar)
    frame = noise(one.size)
    assert bytes(codecs.decode(codecs.encode(frame, one, syntax), one, syntax)) == frame


def test_the_selection_value_is_1_and_the_precision_that_of_the_allocated_bits() -> None:
    for bits in (8, 16):
        one = layout(9, 13, bits_allocated=bits, bits_stored=bits - 2)
        made = codecs.encode(noise(one.size), one, JPEG)
        sof, sos = made.index(b"\xff\xc3"), made.index(b"\xff\xda")
        assert struct.unpack_from(">BHHB", made, sof + 4) == (bits, 9, 13, 1)
        count = made[sos + 4]
        selection, last, successive = made[sos + 5 + 2 * count : sos + 8 + 2 * count]
        assert (count, selection, last, successive) == (1, 1, 0, 0)


def test_each_row_of_rle_is_encoded_by_itself() -> None:
    one = layout(3, 300, bits_allocated=8)
    made = codecs.encode(bytes(900), one, RLE)
    assert struct.unpack_from("<3L", made) == (1, 64, 0)
    assert made[64:] == 3 * bytes.fromhex("81008100d500")
    wide = codecs.encode(b"\1\2" * 15, layout(3, 5), RLE)
    assert struct.unpack_from("<3L", wide) == (2, 64, 70)
    assert wide[64:66] == b"\xfc\2", "the most significant bytes come first"


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("precision", [2, 8, 10, 12, 15, 16])
def test_any_selection_value_and_precision_is_decoded(predictor: int, precision: int) -> None:
    pixels = (np.arange(20 * 30) * 37 % (1 << precision)).astype("u2").reshape(20, 30)
    given = pixels if precision > 8 else pixels.astype("u1")
    made = imagecodecs.jpeg8_encode(given, lossless=True, predictor=predictor, bitspersample=precision)
    one = layout(20, 30, bits_stored=precision)
    for syntax in (JPEG, JPEG_ANY):
        assert bytes(codecs.decode(made, one, syntax)) == pixels.astype("<u2").tobytes()


@pytest.mark.parametrize(("bits", "stored"), [(16, 12), (16, 8), (8, 6)])
def test_signed_samples_of_fewer_bits_are_extended_by_their_sign(bits: int, stored: int) -> None:
    values = np.arange(-(1 << stored - 1), 1 << stored - 1, dtype="i2")[:30].reshape(5, 6)
    unsigned = (values & ((1 << stored) - 1)).astype("u2" if stored > 8 else "u1")
    made = imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=1, bitspersample=stored)
    found = codecs.decode(made, layout(5, 6, bits_allocated=bits, bits_stored=stored, signed=True), JPEG)
    assert bytes(found) == values.astype("<i2" if bits == 16 else "i1").tobytes()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"bits_allocated": 32}, "32 bits allocated; 8 and 16 can be"),
        ({"bits_allocated": 1}, "1 bits allocated"),
        ({"bits_stored": 17}, "17 bits stored in 16"),
        ({"bits_stored": 0}, "0 bits stored in 16"),
        ({"samples": 2}, "2 samples per pixel"),
        ({"rows": 0}, "0 rows and 7 columns"),
        ({"columns": 65536}, "5 rows and 65536 columns"),
    ],
)
def test_what_cannot_be_compressed_is_named(named: dict[str, int], said: str) -> None:
    with pytest.raises(CodecError, match=said):
        layout(**named)


def test_frames_of_other_sizes_and_other_codecs_are_refused() -> None:
    with pytest.raises(CodecError, match="a frame of 3 bytes; its attributes say 70"):
        codecs.encode(b"abc", layout(), JPEG)
    with pytest.raises(CodecError, match=r"no encoder for JPEG Lossless, Non-Hierarchical \(Process 14\)"):
        codecs.encode(bytes(70), layout(), JPEG_ANY)
    with pytest.raises(CodecError, match="no decoder for JPEG Baseline"):
        codecs.decode(b"", layout(), uids.JPEG_BASELINE)
    with pytest.raises(CodecError, match="bytes for a frame of 70; 65816 are allowed"):
        codecs.decode(bytes(70_000), layout(), JPEG)


def jpeg(rows: int = 5, columns: int = 7, components: int = 1, precision: int = 16, process: int = 0xC3) -> bytes:
    """The beginning of a JPEG frame, up to its scan."""
    header = struct.pack(">BHHB", precision, rows, columns, components) + b"\1\x11\0" * components
    return b"\xff\xd8" + segment(process, header)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


SCAN = segment(0xDA, b"\1\1\0\1\0\0")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "does not begin like JPEG"),
        (b"\xff\xd8\xff\xd9", "no JPEG marker with parameters at byte 2"),
        (b"\xff\xd8" + b"\xff" * 50 + b"\xff\xd9", "no JPEG marker with parameters"),
        (b"\xff\xd8\0\0\0\0\xff\xd9", "no JPEG marker with parameters at byte 2"),
        (jpeg() + SCAN + bytes(100), "no end of the image"),
        (jpeg() + b"\xff\xda\0\1\xff\xd9", "a JPEG segment of 1 bytes"),
        (jpeg() + b"\xff\xda\xff\xff\xff\xd9", "a JPEG segment of 65535 bytes with 4 left"),
        (b"\xff\xd8" + SCAN + b"\xff\xd9", "without a frame header"),
        (jpeg() + jpeg()[2:] + SCAN + b"\xff\xd9", "two frames in one"),
        (jpeg(process=0xC0) + SCAN + b"\xff\xd9", "marker FFC0; lossless is FFC3"),
        (b"\xff\xd8" + segment(0xC3, b"\x10\0\5\0\7") + SCAN + b"\xff\xd9", "a JPEG frame header of 5 bytes"),
        (jpeg(rows=6) + SCAN + b"\xff\xd9", "6 x 7 pixels; the attributes say 5 x 7"),
        (jpeg(columns=6) + SCAN + b"\xff\xd9", "5 x 6 pixels; the attributes say 5 x 7"),
        (jpeg(components=3) + SCAN + b"\xff\xd9", "3 components; the attributes say 1"),
        (jpeg(precision=8) + SCAN + b"\xff\xd9", "8 bits; the attributes say 16 stored in 16"),
        (jpeg(precision=17) + SCAN + b"\xff\xd9", "17 bits; the attributes say 16 stored in 16"),
        (jpeg() + SCAN + bytes(2) + b"\xff\xd9", "cut short: 2 bytes for 35 samples"),
        (jpeg() + SCAN + bytes(9) + SCAN + b"\xff\xd9", "more scans than components"),
        (jpeg() + SCAN + bytes(9) + b"\xff\xd9", "cannot be decoded: Jpeg8Error"),
    ],
)
def test_jpeg_of_other_attributes_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        codecs.decode(data, layout(), JPEG)


@pytest.mark.parametrize("rest", [b"\0", b"\xd9", b"\x9d\xb9\xff\xd9", bytes(100), b"\xff\xda" * 9])
def test_bytes_behind_a_jpeg_image_are_not_part_of_it(rest: bytes) -> None:
    """pyDICOS makes all fragments as long as the longest, and its buffer is not cleared."""
    frame = np.arange(35, dtype="<u2").tobytes()
    found = codecs.decode(codecs.encode(frame, layout(), JPEG) + rest, layout(), JPEG)
    assert bytes(found) == frame


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes(63), "an RLE header of 63 bytes"),
        (struct.pack("<16L", 1, 64, *[0] * 14) + bytes(70), "1 RLE segments; the attributes say 2"),
        (struct.pack("<16L", 2, 64, 63, *[0] * 13) + bytes(70), "do not follow each other"),
        (struct.pack("<16L", 2, 65, 80, *[0] * 13) + bytes(70), "do not follow each other"),
        (struct.pack("<16L", 2, 64, 1 << 31, *[0] * 13) + bytes(70), "do not follow each other"),
        (struct.pack("<16L", 2, 64, 64, *[0] * 13) + bytes(70), "too short for 35 bytes"),
        (struct.pack("<16L", 2, 64, 66, *[0] * 13) + b"\xff\0\xff\0", "not one of 35 bytes"),
        (struct.pack("<16L", 2, 64, 66, *[0] * 13) + b"\x80\x80\x80\x80", "not one of 35 bytes"),
    ],
)
def test_rle_of_other_attributes_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        codecs.decode(data, layout(), RLE)


def test_rle_ends_where_the_segment_is_full() -> None:
    """pyDICOS leaves in a segment what was in its buffer before."""
    header = struct.pack("<16L", 1, 64, *[0] * 14)
    one = layout(1, 8, bits_allocated=8)
    for tail in (b"", b"\0", b"\x80\x80", b"\x05abc", b"\x7fgarbage" * 9):
        assert bytes(codecs.decode(header + b"\xfd\7\x80\3wxyz" + tail, one, RLE)) == b"\7\7\7\7wxyz"
    with pytest.raises(CodecError, match="not one of 8 bytes"):
        codecs.decode(header + b"\xfd\7\5wxy", one, RLE)
    with pytest.raises(CodecError, match="not one of 8 bytes"):
        codecs.decode(header + b"\xfd\7\xf0\7", one, RLE)


@pytest.mark.parametrize("syntax", codecs.DECODED)
def test_a_bomb_by_its_dimensions_allocates_nothing(syntax: str) -> None:
    one = layout(65535, 65535)
    data = struct.pack("<16L", 2, 64, 500_000, *[0] * 13) + bytes(1_000_000) if syntax == RLE else (
        jpeg(65535, 65535) + SCAN + bytes(1_000_000) + b"\xff\xd9"
    )  # fmt: skip
    tracemalloc.start()
    with pytest.raises(CodecError, match="short"):
        codecs.decode(data, one, syntax)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_missing_codec_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert codecs.available()
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert not codecs.available()
    for syntax in codecs.ENCODED:
        with pytest.raises(CodecError, match=r"pip install '\.\[compression\]'"):
            codecs.encode(bytes(70), layout(), syntax)

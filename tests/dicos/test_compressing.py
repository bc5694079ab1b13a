"""Data sets whose pixel data is compressed and decompressed while they stream, in pieces of any size."""

import struct
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto.data import DataSetError, decode_object, transcode
from dicos_proto.data.elements import EXTENDED_HEADERS, LONGEST, SHORT_VRS
from dicos_proto.dicos import codecs
from dicos_proto.dicos.codecs import CodecError, FrameLayout
from dicos_proto.dicos.compressing import FrameWork, Item, PixelTranscoder, can_transcode, one_by_one
from dicos_proto.dicos.fragments import Frames
from dicos_proto.dicos.image import MOST_FRAMES
from dicos_proto.registry import uids

pytest.importorskip("imagecodecs")

EXPLICIT, IMPLICIT, EXTENDED = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED
DEFLATED, JPEG, RLE = uids.DEFLATED_EXPLICIT_VR_LE, uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS
NATIVE, ENCODED = (EXPLICIT, IMPLICIT, EXTENDED), (JPEG, RLE)
CT = uids.DICOS_CT
PIXELS = 0x7FE00010
UNDEFINED = 0xFFFFFFFF


def element(tag: int, vr: bytes, value: bytes, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    start = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return start + struct.pack("<L", size) + value
    if vr in SHORT_VRS:
        return start + vr + struct.pack("<H", size) + value
    if syntax == EXTENDED and vr in EXTENDED_HEADERS:
        return start + vr + bytes(EXTENDED_HEADERS[vr] - 14) + struct.pack("<Q", size) + value
    return start + vr + struct.pack("<2xL", size) + value


def item(value: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value


END = bytes.fromhex("feffdde000000000")


def head(syntax: str = EXPLICIT, frames: int | bytes | None = 3, kind: bytes = b"US", **changes: Any) -> bytes:
    """The attributes of frames of 8 x 5 pixels; a change to None leaves one out."""
    number = struct.pack("<H", frames) if isinstance(frames, int) else frames
    values: dict[int, tuple[bytes, bytes | None]] = {
        0x00080016: (b"UI", CT.encode() + b"\0"),
        0x00080018: (b"UI", b"1.2.3\0"),
        0x00280002: (b"US", b"\1\0"),
        0x00280004: (b"CS", b"MONOCHROME2 "),
        0x00280006: (b"US", None),
        0x00280008: (kind, number),
        0x00280010: (b"US", b"\x08\0"),
        0x00280011: (b"US", b"\5\0"),
        0x00280100: (b"US", b"\x10\0"),
        0x00280101: (b"US", b"\x10\0"),
        0x00280103: (b"US", b"\0\0"),
    }
    for name, value in changes.items():
        tag = int(name[1:], 16)
        values[tag] = (values[tag][0], value)
    return b"".join(element(tag, vr, value, syntax) for tag, (vr, value) in values.items() if value is not None)


LAYOUT = FrameLayout(rows=8, columns=5, bits_allocated=16, bits_stored=16)
RAW = np.random.default_rng(1).integers(0, 256, 240).astype("u1").tobytes()
FRAMES = [RAW[at : at + 80] for at in range(0, 240, 80)]
TAIL = element(0xFFFCFFFC, b"OB", b"pad!")


def native(syntax: str = EXPLICIT, pixels: bytes = RAW, vr: bytes = b"OW", **changes: Any) -> bytes:
    return head(syntax, **changes) + element(PIXELS, vr, pixels, syntax) + element(0xFFFCFFFC, b"OB", b"pad!", syntax)


def fragments(*values: bytes, table: bytes = b"", vr: bytes = b"OB", end: bytes = END) -> bytes:
    return element(PIXELS, vr, b"", length=UNDEFINED) + item(table) + b"".join(map(item, values)) + end


def encoded(syntax: str) -> list[bytes]:
    return [codecs.encode(one, LAYOUT, syntax) for one in FRAMES]


def items(pieces: Iterable[bytes], from_ts: str, to_ts: str, **named: Any) -> Iterator[Item]:
    transcoder = PixelTranscoder(from_ts, to_ts, sop_class_uid=CT, **named)
    for piece in pieces:
        yield from transcoder.feed(piece)
    yield from transcoder.finish()


def converted(data: bytes, from_ts: str, to_ts: str, *, size: int = 0, **named: Any) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    return b"".join(one_by_one(items(pieces, from_ts, to_ts, **named)))


def refused(data: bytes, from_ts: str, to_ts: str, said: str, **named: Any) -> None:
    """Whole, and byte by byte, with the same words."""
    texts = []
    for size in (0, 1):
        with pytest.raises(DataSetError, match=said) as caught:
            converted(data, from_ts, to_ts, size=size, **named)
        texts.append(str(caught.value))
    assert texts[0].split(", before byte")[0] == texts[1].split(", before byte")[0]


# -- results -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7, 1000])
@pytest.mark.parametrize("from_ts", NATIVE)
@pytest.mark.parametrize("to_ts", ENCODED)
def test_native_frames_become_a_fragment_each(from_ts: str, to_ts: str, size: int) -> None:
    assert converted(native(from_ts), from_ts, to_ts, size=size) == head() + fragments(*encoded(to_ts)) + TAIL


@pytest.mark.parametrize("size", [0, 1, 7, 1000])
@pytest.mark.parametrize("from_ts", ENCODED)
@pytest.mark.parametrize("to_ts", NATIVE)
def test_fragments_become_native_frames(from_ts: str, to_ts: str, size: int) -> None:
    given = head() + fragments(*encoded(from_ts)) + TAIL
    assert converted(given, from_ts, to_ts, size=size) == native(to_ts)


def test_one_encoding_becomes_the_other_and_deflated_ones_are_inflated() -> None:
    jpeg, rle = (head() + fragments(*encoded(syntax)) + TAIL for syntax in ENCODED)
    assert converted(jpeg, JPEG, RLE, size=9) == rle
    assert converted(rle, RLE, JPEG, size=9) == jpeg
    assert converted(b"".join(transcode.deflate([native()])), DEFLATED, JPEG, size=9) == jpeg
    assert converted(jpeg, uids.JPEG_LOSSLESS, RLE) == rle


def test_the_pairs_are_named() -> None:
    for pair in ((JPEG, EXPLICIT), (DEFLATED, RLE), (uids.JPEG_LOSSLESS, JPEG)):
        assert can_transcode(*pair)
    assert not can_transcode(EXPLICIT, IMPLICIT)
    assert not can_transcode(JPEG, JPEG)
    assert not can_transcode(JPEG, DEFLATED)
    assert not can_transcode(EXPLICIT, uids.JPEG_LOSSLESS)
    assert not can_transcode(uids.JPEG_BASELINE, EXPLICIT)
    with pytest.raises(ValueError, match=r"pixel data in JPEG Baseline .* cannot be converted to Explicit"):
        PixelTranscoder(uids.JPEG_BASELINE, EXPLICIT)


def test_a_data_set_without_pixel_data_only_changes_its_headers() -> None:
    assert converted(head(IMPLICIT), IMPLICIT, JPEG) == head()
    assert converted(head(), RLE, EXTENDED) == head()


@pytest.mark.parametrize("frames", [b"3 ", b" 3", b"3\0"])
def test_number_of_frames_is_a_text_in_dicom(frames: bytes) -> None:
    made = converted(native(frames=frames, kind=b"IS"), EXPLICIT, JPEG)
    assert made == head(frames=frames, kind=b"IS") + fragments(*encoded(JPEG)) + TAIL


def test_one_frame_needs_no_number_and_an_odd_one_is_padded() -> None:
    one = FrameLayout(rows=3, columns=5, bits_allocated=8, bits_stored=8)
    attributes = head(
        frames=None, t00280010=b"\3\0", t00280100=b"\x08\0", t00280101=b"", t00280103=None, t00280002=None
    )
    for pixels in (bytes(range(15)), bytes(range(15)) + b"\0"):
        made = converted(attributes + element(PIXELS, b"OB", pixels), EXPLICIT, JPEG)
        assert made == attributes + fragments(codecs.encode(bytes(range(15)), one, JPEG))
        for to_ts in NATIVE:
            for size in (0, 1):
                back = converted(made, JPEG, to_ts, size=size)
                assert decode_object(back, to_ts).PixelData == bytes(range(15)) + b"\0"
    assert decode_object(converted(made, JPEG, EXPLICIT), EXPLICIT)[PIXELS].VR == "OB"


def test_colours_stay_as_they_lie() -> None:
    for planar in (b"\0\0", b"\1\0"):
        changes = {"t00280002": b"\3\0", "t00280006": planar, "t00280100": b"\x08\0", "t00280101": b"\x08\0"}
        given = native(pixels=RAW, vr=b"OB", frames=2, **changes)
        for syntax in ENCODED:
            assert converted(converted(given, EXPLICIT, syntax), syntax, EXPLICIT) == given


def test_a_nested_image_is_left_alone() -> None:
    icon = element(0x00280010, b"US", b"\1\0") + element(PIXELS, b"OB", b"ab")
    nested = element(0x00880200, b"SQ", b"", length=UNDEFINED) + item(b"")[:4] + b"\xff" * 4 + icon + bytes.fromhex(
        "feff0de000000000"
    ) + END  # fmt: skip
    made = converted(head() + nested + element(PIXELS, b"OW", RAW), EXPLICIT, JPEG)
    assert made == head() + nested + fragments(*encoded(JPEG))
    assert converted(made, JPEG, EXPLICIT) == head() + nested + element(PIXELS, b"OW", RAW)
    inside = nested.replace(element(PIXELS, b"OB", b"ab"), fragments(b"ab"))
    refused(head() + inside, JPEG, EXPLICIT, r"\(7FE0,0010\) is encapsulated, which the transfer syntax does not allow")


# -- frames in fragments -----------------------------------------------------------------------------------------------


def cut(frame: bytes, *at: int) -> list[bytes]:
    return [frame[one:two] for one, two in zip([0, *at], [*at, len(frame)], strict=True)]


def table_of(*frames: list[bytes]) -> bytes:
    offsets, at = [], 0
    for parts in frames:
        offsets.append(at)
        at += sum(8 + len(one) for one in parts)
    return struct.pack(f"<{len(offsets)}L", *offsets)


PARTS = [cut(encoded(JPEG)[0], 2, 30), cut(encoded(JPEG)[1]), cut(encoded(JPEG)[2], 10, 10, 50)]
ALL = [one for parts in PARTS for one in parts]


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize("table", [b"", table_of(*PARTS)])
def test_frames_of_several_fragments_are_joined(table: bytes, size: int) -> None:
    assert converted(head() + fragments(*ALL, table=table) + TAIL, JPEG, EXPLICIT, size=size) == native()


def test_one_frame_may_have_any_fragments() -> None:
    given = head(frames=1) + fragments(*PARTS[2])
    assert converted(given, JPEG, EXPLICIT) == head(frames=1) + element(PIXELS, b"OW", FRAMES[2])


@pytest.mark.parametrize("syntax", ENCODED)
@pytest.mark.parametrize("size", [0, 1])
def test_an_extended_offset_table_makes_each_fragment_a_frame_and_is_left_out(syntax: str, size: int) -> None:
    offsets = b"".join(element(tag, b"OV", bytes(24)) for tag in (0x7FE00001, 0x7FE00002))
    total = element(0x7FE00003, b"UV", bytes(200))
    given = head() + offsets + total + fragments(*encoded(syntax)) + TAIL
    assert converted(given, syntax, EXPLICIT, size=size) == native()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (fragments(*ALL[:3]), r"1 frames in the fragments; \(0028,0008\) says 3"),
        (fragments(), r"0 frames in the fragments; \(0028,0008\) says 3"),
        (fragments(*ALL, *ALL), r"more frames in the fragments than 3|6 frames in the fragments"),
        (fragments(*ALL, ALL[0]), r"more frames in the fragments than 3|4 frames in the fragments"),
        (fragments(*ALL, table=b"\0" * 8), "an offset table of 8 bytes for 3 frames"),
        (fragments(*ALL, table=b"\0" * 12), "an offset table whose frames do not follow each other"),
        (fragments(*ALL, table=b"\1\0\0\0" * 3), "an offset table whose frames do not follow each other"),
        (fragments(*ALL, table=struct.pack("<3L", 0, 9, 5000)), "1 frames in the fragments"),
        (fragments(bytes(70_000)), "a fragment of 70000 bytes; 65856 are allowed"),
        (fragments(bytes(60_000), bytes(60_000)), "a compressed frame of 120000 bytes; 65856 are allowed"),
        (fragments(*encoded(JPEG)[:2], b"\xff\xd8\xff\xd9"), "frame 3: no JPEG marker"),
        (fragments(*encoded(JPEG)[:2], b""), "2 frames in the fragments"),
        (fragments(*encoded(JPEG), end=b"")[:-5], "cut short"),
        (fragments(*encoded(JPEG), end=b""), "not ended"),
    ],
)
def test_fragments_that_disagree_with_the_attributes_are_refused(given: bytes, said: str) -> None:
    refused(head() + given, JPEG, EXPLICIT, said)
    refused(head() + given, JPEG, RLE, said)


def test_rle_has_one_fragment_a_frame() -> None:
    refused(head() + fragments(*encoded(RLE)[:2]), RLE, EXPLICIT, "2 frames in the fragments")
    refused(head() + fragments(*encoded(RLE), b"ab"), RLE, EXPLICIT, "4 frames|more frames")
    with pytest.raises(DataSetError, match=r"2 frames in the fragments; \(0028,0008\) says 1"):
        converted(head(frames=1) + fragments(*cut(encoded(RLE)[0], 70)), RLE, EXPLICIT)


# -- what cannot be done ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"t00280010": None}, r"pixel data without \(0028,0010\)"),
        ({"t00280010": b"", "t00280011": None}, r"pixel data without \(0028,0010\), \(0028,0011\)"),
        ({"t00280100": None}, r"without \(0028,0100\)"),
        ({"t00280100": b"\x20\0"}, "32 bits allocated; 8 and 16 can be compressed"),
        ({"t00280101": b"\x11\0"}, "17 bits stored in 16"),
        ({"t00280002": b"\4\0"}, "4 samples per pixel"),
        ({"t00280010": b"\x08\0\0\0"}, r"\(0028,0010\) of 4 bytes; it has 2"),
        ({"frames": 0}, "pixel data of 0 frames"),
        ({"frames": b"3.5 ", "kind": b"IS"}, r"a Number of Frames \(0028,0008\) that is not a number"),
        ({"frames": b"1" * 20, "kind": b"IS"}, "that is not a number"),
        ({"frames": str(MOST_FRAMES + 1).encode(), "kind": b"IS"}, "262145 frames .*; 1 to 262144 are allowed"),
        ({"frames": 2}, "240 bytes of pixel data; 2 frames have 160"),
        ({"frames": 4}, "240 bytes of pixel data; 4 frames have 320"),
    ],
)
def test_attributes_that_exclude_compression_are_named(changes: dict[str, Any], said: str) -> None:
    refused(native(**changes), EXPLICIT, JPEG, said)
    if "bytes of pixel data" not in said:
        refused(head(**changes) + fragments(*ALL), JPEG, EXPLICIT, said)


@pytest.mark.parametrize("tag", [0x7FE00008, 0x7FE00009, 0x7FE00011, 0x7FE00012, 0x7FE00013])
def test_wide_pixels_are_not_compressed(tag: int) -> None:
    data = head() + element(tag, b"OF", bytes(480))
    refused(data, EXPLICIT, JPEG, r"\(7FE0,00..\) cannot be compressed")
    assert converted(data, JPEG, EXPLICIT) == data


def test_the_size_of_a_frame_is_limited() -> None:
    refused(native(), EXPLICIT, JPEG, r"frames of 80 bytes; 79 are allowed \(limit most\)", most=79)
    assert converted(native(), EXPLICIT, JPEG, most=80)
    large = head(t00280010=b"\xff\xff", t00280011=b"\xff\xff")
    refused(large + fragments(*ALL), JPEG, EXPLICIT, "frames of 8589672450 bytes; 268435456 are allowed")


def test_more_than_32_bits_of_length_need_the_extended_syntax() -> None:
    changes = {"t00280010": b"\0\x20", "t00280011": b"\0\x20", "frames": 64}  # 8192 x 8192 x 2 bytes x 64
    given = head(**changes) + fragments(*ALL)[:40]
    for to_ts in (EXPLICIT, IMPLICIT):
        with pytest.raises(DataSetError, match=f"8589934592 bytes of pixel data; .* room for {LONGEST}"):
            list(PixelTranscoder(JPEG, to_ts).feed(given))
    made, *works = PixelTranscoder(JPEG, EXTENDED).feed(head(**changes) + fragments(*ALL, end=b""))
    assert len(works) == 2
    assert isinstance(made, bytes | bytearray)
    assert made.endswith(struct.pack("<2s2xQ", b"OW", 1 << 33))


def test_work_is_a_value_that_may_be_done_anywhere_and_names_its_frame() -> None:
    made = list(items([native()], EXPLICIT, JPEG))
    works = [one for one in made if isinstance(one, FrameWork)]
    assert [one.number for one in works] == [1, 2, 3]
    assert [b"".join(one.run()) for one in reversed(works)] == [item(one) for one in reversed(encoded(JPEG))]
    assert "frame=" not in repr(works[0])
    work = FrameWork(number=7, frame=b"", layout=LAYOUT, from_ts=JPEG, to_ts="")
    with pytest.raises(CodecError, match="frame 7: a frame that does not begin like JPEG"):
        work.run()


def test_the_memory_of_a_volume_is_that_of_a_frame() -> None:
    rows, frames = 256, 400
    attributes = head(frames=frames, t00280010=struct.pack("<H", rows), t00280011=struct.pack("<H", rows))
    frame = bytes(rows * rows * 2)

    def pieces() -> Iterator[bytes]:
        yield attributes + element(PIXELS, b"OW", b"", length=len(frame) * frames)
        for _ in range(frames):
            yield frame

    tracemalloc.start()
    size = sum(map(len, one_by_one(items(pieces(), EXPLICIT, RLE))))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert size < len(frame) * frames // 20


@settings(max_examples=200, deadline=None)
@given(at=st.lists(st.integers(0, 3000), max_size=8), where=st.integers(0, 3000), new=st.binary(max_size=12),
       way=st.sampled_from([(JPEG, EXPLICIT), (RLE, IMPLICIT), (EXPLICIT, JPEG), (IMPLICIT, RLE)]))  # fmt: skip
def test_any_split_of_any_damage_has_one_result(at: list[int], where: int, new: bytes, way: tuple[str, str]) -> None:
    from_ts, to_ts = way
    whole = native(from_ts) if from_ts in NATIVE else head() + fragments(*encoded(from_ts)) + TAIL
    where %= len(whole)
    data = whole[:where] + new + whole[where + len(new) :]

    def result(pieces: Iterable[bytes]) -> bytes | str:
        try:
            return b"".join(one_by_one(items(pieces, from_ts, to_ts)))
        except DataSetError as error:
            return str(error).split(", before byte")[0]

    ends = sorted(one % (len(data) + 1) for one in at)
    cuts = [data[one:two] for one, two in zip([0, *ends], [*ends, len(data)], strict=True)]
    assert result(cuts) == result([data])


def test_frames_by_themselves() -> None:
    frames = Frames(1, most=10, single=False)
    frames.check_table(0)
    frames.table(b"")
    assert frames.begin(3) is None
    frames.take(b"abc")
    assert frames.end() is None
    assert frames.finish() == b"abc"
    with pytest.raises(CodecError, match="2 frames"):
        frames.finish()

"""Data sets as pieces and back: no copies on the way out, one buffer on the way in, any split, hostile lengths."""

import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag

from dicos_proto.data import DataSetError, Mismatch, decode_object, encode
from dicos_proto.dicos.content import PIXELS, Decoder, pieces, size_of
from dicos_proto.limits import Limits
from dicos_proto.registry import uids

EXPLICIT, IMPLICIT, EXTENDED = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED
NATIVE = (EXPLICIT, IMPLICIT, EXTENDED)
JPEG, BIG, DEFLATED = uids.JPEG_LOSSLESS_SV1, uids.EXPLICIT_VR_BE, uids.DEFLATED_EXPLICIT_VR_LE
FRAGMENTS = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(one)) + one for one in (b"", b"\xff\xd8abcd", b"ef"))
TAGS = {
    0x7FE00008: "OF",
    0x7FE00009: "OD",
    0x7FE00010: "OW",
    0x7FE00011: "OL",
    0x7FE00012: "OD",
    0x7FE00013: "OF",
}


def scan(pixels: Any = None, *, tag: int = 0x7FE00010, vr: str = "OW", after: bool = True) -> Dataset:
    """A small CT with a sequence that has pixel data of its own, text beyond ASCII, and an element after the pixels."""
    made, icon = Dataset(), Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = uids.DICOS_CT, "1.2.3"
    made.PatientID, made.InstitutionName = "BAG-1", "Zürich"
    icon.Rows, icon.Columns = 1, 2
    icon.add_new(0x7FE00010, "OB", b"ic")
    made.IconImageSequence = [icon]
    made.Rows, made.Columns, made.BitsAllocated, made.PixelRepresentation = 2, 3, 16, 0
    if pixels is not None:
        made.add(DataElement(Tag(tag), vr, pixels, already_converted=True))
    if after:
        private = made.private_block(0x7FE1, "Zürich", create=True)
        private.add_new(1, "LO", "Zürich")
        made.add_new(0xFFFCFFFC, "OB", b"\0" * 4)
    return made


def compressed(value: bytes = FRAGMENTS) -> Dataset:
    made = scan(value)
    made["PixelData"].is_undefined_length = True
    return made


def joined(parts: Iterable[Any]) -> bytes:
    return b"".join(bytes(memoryview(one).cast("B")) for one in parts)


def fed(syntax: str, parts: Iterable[bytes], **limits: int) -> Dataset:
    decoder = Decoder(syntax, Limits(**limits))
    for part in parts:
        decoder.feed(part)
    return decoder.finish()


def split(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


# -- out ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", NATIVE)
def test_pieces_are_the_encoding(syntax: str) -> None:
    made = scan(b"0123456789AB")
    assert joined(pieces(made, syntax)) == encode(made, syntax)
    assert size_of(pieces(made, syntax)) == len(encode(made, syntax))


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(("tag", "vr"), TAGS.items())
def test_pixel_data_of_every_kind_is_a_view(tag: int, vr: str, syntax: str) -> None:
    volume = np.arange(48, dtype="<u2").reshape(2, 4, 6)
    found = pieces(scan(volume.reshape(-1).view(np.uint8).data, tag=tag, vr=vr), syntax)
    (view,) = (one for one in found if isinstance(one, memoryview))
    assert np.shares_memory(np.frombuffer(view, np.uint8), volume)
    assert joined(found) == encode(scan(volume.tobytes(), tag=tag, vr=vr), syntax)


@pytest.mark.parametrize("syntax", NATIVE)
def test_an_array_of_several_axes_is_one_piece(syntax: str) -> None:
    volume = np.arange(12, dtype="<u2").reshape(3, 4)
    assert joined(pieces(scan(memoryview(volume)), syntax)) == encode(scan(volume.tobytes()), syntax)


@pytest.mark.parametrize("syntax", NATIVE)
def test_an_odd_length_is_padded(syntax: str) -> None:
    found = pieces(scan(b"abc", vr="OB", after=False), syntax)
    assert [bytes(one) for one in found[-2:]] == [b"abc", b"\0"]


@pytest.mark.parametrize("syntax", NATIVE)
def test_without_pixel_data_there_is_one_piece(syntax: str) -> None:
    assert pieces(scan(), syntax) == (encode(scan(), syntax),)


@pytest.mark.parametrize("syntax", NATIVE)
def test_an_element_without_value_or_of_a_strange_representation(syntax: str) -> None:
    assert joined(pieces(scan(b""), syntax)) == encode(scan(b""), syntax)
    assert joined(pieces(scan(None), syntax)) == encode(scan(), syntax)
    empty = scan(b"")
    empty["PixelData"]._value = None
    assert joined(pieces(empty, syntax)) == encode(scan(b""), syntax)
    assert joined(pieces(scan(b"abcd", vr="OB or OW"), EXPLICIT)) == encode(scan(b"abcd"), EXPLICIT)


def test_a_data_set_of_pixel_data_alone() -> None:
    made = Dataset()
    made.add_new(0x7FE00010, "OW", b"abcd")
    assert joined(pieces(made, EXPLICIT)) == encode(made, EXPLICIT)


def test_fragments_stay_fragments() -> None:
    found = pieces(compressed(), JPEG)
    assert joined(found) == encode(compressed(), JPEG)
    assert sum(isinstance(one, memoryview) for one in found) == 1


def test_deflated_is_encoded_whole() -> None:
    (whole,) = pieces(scan(b"abcd"), DEFLATED)
    assert decode_object(whole, DEFLATED) == scan(b"abcd")


@pytest.mark.parametrize(
    ("made", "syntax", "text"),
    [
        (scan(b"abcd"), JPEG, r"\(7FE0,0010\) is native; JPEG Lossless.* is for compressed pixel data"),
        (compressed(), EXPLICIT, r"\(7FE0,0010\) is in fragments; .* is for native pixel data"),
        (scan(b"abcd"), BIG, "pixel data is not converted to Explicit VR Big Endian"),
        (scan(b"abcd"), "1.2.3", "no codec for data sets in 1.2.3"),
        (scan("text"), EXPLICIT, r"\(7FE0,0010\) has no bytes"),
        (scan(np.zeros((4, 4), "<u2")[:, ::2].data), EXPLICIT, r"\(7FE0,0010\) has no bytes"),
    ],
)
def test_what_does_not_fit_is_refused_by_tag(made: Dataset, syntax: str, text: str) -> None:
    with pytest.raises(DataSetError, match=text):
        pieces(made, syntax)


def test_the_file_meta_information_says_that_pixel_data_is_in_fragments() -> None:
    made = scan(FRAGMENTS)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = JPEG
    assert joined(pieces(made, JPEG)) == encode(compressed(), JPEG)
    del made.file_meta.TransferSyntaxUID
    with pytest.raises(DataSetError, match="is native"):
        pieces(made, JPEG)


def test_more_than_32_bits_of_length_need_the_extended_syntax() -> None:
    """The array is never touched, so it takes no memory."""
    volume = np.empty((1 << 32) + 2, np.uint8)
    made = scan(volume.data, vr="OB")
    for syntax in (EXPLICIT, IMPLICIT):
        with pytest.raises(DataSetError, match=r"\(7FE0,0010\) of 4294967298 bytes; at most 4294967294"):
            pieces(made, syntax)
    found = pieces(made, EXTENDED)
    (at,) = (at for at, one in enumerate(found) if isinstance(one, memoryview))
    assert bytes(found[at - 1]) == b"\xe0\x7f\x10\x00OB\0\0" + struct.pack("<Q", (1 << 32) + 2)


# -- in ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 64, 10_000])
@pytest.mark.parametrize("syntax", NATIVE)
def test_what_arrives_in_any_pieces_is_what_was_sent(syntax: str, size: int) -> None:
    value = bytes(range(256)) * 3
    content = encode(scan(value), syntax)
    found = fed(syntax, split(content, size))
    assert found == decode_object(content, syntax)
    assert type(found.PixelData) is bytearray
    assert found.PixelData == value
    assert found.file_meta.TransferSyntaxUID == syntax
    assert encode(found, syntax) == content


@pytest.mark.parametrize("size", [1, 5, 8, 64, 10_000])
@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(("tag", "vr"), TAGS.items())
@pytest.mark.parametrize("length", [0, 8, 128, 136])
def test_every_kind_and_length_of_pixel_data(tag: int, vr: str, syntax: str, length: int, size: int) -> None:
    value = bytes(range(length))
    found = fed(syntax, split(encode(scan(value, tag=tag, vr=vr), syntax), size))
    assert found[tag].VR == vr
    assert found[tag].value == value
    assert found.IconImageSequence[0].PixelData == b"ic"
    assert found[0x7FE11001].value == ("Zürich" if syntax != IMPLICIT else "Zürich ".encode())
    assert PIXELS.keys() == TAGS.keys()


@pytest.mark.parametrize("size", [1, 3, 8, 10_000])
@pytest.mark.parametrize("after", [False, True])
def test_fragments_are_kept_as_they_came(size: int, after: bool) -> None:
    made = compressed()
    if not after:
        del made[0xFFFCFFFC], made[0x7FE10010], made[0x7FE11001]
    found = fed(JPEG, split(encode(made, JPEG), size))
    assert found.PixelData == FRAGMENTS
    assert found["PixelData"].is_undefined_length
    assert joined(pieces(found, JPEG)) == encode(made, JPEG)
    empty = fed(JPEG, split(encode(compressed(FRAGMENTS[:8]), JPEG), size))
    assert empty.PixelData == FRAGMENTS[:8]


@pytest.mark.parametrize("size", [1, 10_000])
def test_several_elements_of_pixel_data(size: int) -> None:
    made = scan(b"abcd")
    made.add_new(0x7FE00008, "OF", b"efgh")
    made.add_new(0x7FE00011, "OL", b"")
    found = fed(EXPLICIT, split(encode(made, EXPLICIT), size))
    assert (found.PixelData, found[0x7FE00008].value, found[0x7FE00011].value) == (b"abcd", b"efgh", b"")
    assert joined(pieces(found, EXPLICIT)) == encode(made, EXPLICIT)


def test_without_pixel_data() -> None:
    assert fed(EXPLICIT, [encode(scan(), EXPLICIT)]) == scan()


def test_deflated_is_decoded_whole() -> None:
    assert fed(DEFLATED, split(encode(scan(b"abcd"), DEFLATED), 5)) == scan(b"abcd")


def test_big_endian_is_decoded_as_it_is() -> None:
    found = fed(BIG, split(encode(scan(b"abcd"), BIG), 5))
    assert found.PixelData == b"abcd"


def test_the_memory_of_a_piece_may_be_reused() -> None:
    content, buffer, decoder = encode(scan(bytes(range(200))), EXPLICIT), bytearray(10), Decoder(EXPLICIT)
    for part in split(content, 10):
        buffer[: len(part)] = part
        decoder.feed(memoryview(buffer)[: len(part)])
        buffer[:] = bytes(10)
    assert decoder.size == len(content)
    assert decoder.finish().PixelData == bytes(range(200))


def raw(dataset: Dataset) -> dict[int, tuple[str | None, bytes | None]]:
    """The elements, unconverted."""
    found = {}
    for tag, element in dataset._dict.items():
        value = element.value
        if not isinstance(value, bytes | bytearray | None):
            value = repr(value).encode()
        found[int(tag)] = (element.VR or ("OW" if int(tag) == 0x7FE00010 else None), bytes(value or b""))
    return found


def outcome(decode: Callable[[], Dataset]) -> object:
    """The decoded elements; None for pixel data that comes twice, which only `Decoder` refuses."""
    try:
        return raw(decode())
    except DataSetError as error:
        return None if "twice" in str(error) else "refused"


def test_the_object_is_compared_with_the_command() -> None:
    decoder = Decoder(EXPLICIT)
    decoder.feed(encode(scan(b"abcd"), EXPLICIT))
    decoder.check(uids.DICOS_CT, "1.2.3")
    for sop_class, instance in ((uids.DICOS_TDR, "1.2.3"), (uids.DICOS_CT, "1.2.4")):
        with pytest.raises(Mismatch, match="is not the command's"):
            decoder.check(sop_class, instance)


# -- hostile -----------------------------------------------------------------------------------------------------------


def header(syntax: str, length: int, tag: int = 0x7FE00010) -> bytes:
    start = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return start + struct.pack("<L", length)
    return start + b"OW\0\0" + struct.pack("<Q" if syntax == EXTENDED else "<L", length)


@pytest.mark.parametrize("syntax", NATIVE)
def test_a_claimed_length_allocates_nothing(syntax: str) -> None:
    decoder = Decoder(syntax)
    decoder.feed(header(syntax, (1 << 32) - 2) + bytes(100))
    (region,) = decoder._finder.regions
    assert region.buffer.__sizeof__() < 1000
    with pytest.raises(DataSetError, match=r"cut short .*4294967194 bytes of a value are missing"):
        decoder.finish()


@pytest.mark.parametrize("length", [1001, (1 << 32) - 2, (1 << 63), (1 << 64) - 1])
def test_a_length_beyond_the_limit_is_refused_at_the_header(length: int) -> None:
    for syntax in NATIVE if length < 1 << 32 else (EXTENDED,):
        with pytest.raises(DataSetError) as caught:
            fed(syntax, [header(syntax, length)], pixels=1000)
        assert "(limit pixels)" in str(caught.value) or "which none can have" in str(caught.value)


def test_the_sum_of_all_pixel_data_is_limited() -> None:
    both = header(EXPLICIT, 600, 0x7FE00008) + bytes(600) + header(EXPLICIT, 600) + bytes(600)
    with pytest.raises(DataSetError, match=r"\(7FE0,0010\) of 1200 bytes; at most 1000 \(limit pixels\)"):
        fed(EXPLICIT, [both], pixels=1000)


def test_fragments_without_end_are_limited() -> None:
    begin, one = header(EXPLICIT, 0xFFFFFFFF), struct.pack("<HHL", 0xFFFE, 0xE000, 200) + bytes(200)
    with pytest.raises(DataSetError, match=r"\(7FE0,0010\) of \d+ bytes; at most 1000 \(limit pixels\)"):
        fed(JPEG, [begin] + [one] * 6, pixels=1000)


def test_the_rest_is_limited() -> None:
    private = struct.pack("<HH2s2xL", 9, 0x1001, b"OB", 1 << 30)
    with pytest.raises(DataSetError, match=r"bytes beside the pixel data; at most 1000 \(limit collected\)"):
        fed(EXPLICIT, [private, *([bytes(100)] * 20)], collected=1000)
    with pytest.raises(DataSetError, match="limit collected"):
        fed(DEFLATED, [bytes(2000)], collected=1000)


def test_pixel_data_twice_is_refused() -> None:
    with pytest.raises(DataSetError, match=r"\(7FE0,0010\) twice"):
        fed(EXPLICIT, [(header(EXPLICIT, 2) + b"ab") * 2])


def test_an_unknown_syntax_is_refused() -> None:
    with pytest.raises(DataSetError, match=r"no codec for data sets in 1\.2\.3"):
        Decoder("1.2.3")


@pytest.mark.parametrize("syntax", [*NATIVE, JPEG])
def test_cut_anywhere_is_an_error_or_a_shorter_data_set(syntax: str) -> None:
    content = encode(compressed() if syntax == JPEG else scan(bytes(150)), syntax)
    for end in range(len(content)):
        try:
            found = fed(syntax, [content[:end]])
        except DataSetError:
            continue
        assert found == decode_object(content[:end], syntax)


@settings(deadline=None)
@given(st.data())
def test_any_bytes_in_any_split_are_decoded_like_the_whole_or_refused_like_it(data: st.DataObject) -> None:
    syntax = data.draw(st.sampled_from([*NATIVE, JPEG, BIG]))
    made = compressed() if syntax == JPEG else scan(data.draw(st.binary(max_size=300)))
    content = bytearray(encode(made, syntax))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    parts = [bytes(content[a:b]) for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert outcome(lambda: fed(syntax, parts)) in (outcome(lambda: decode_object(bytes(content), syntax)), None)

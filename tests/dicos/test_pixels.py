"""Pixel data against the attributes that describe it: every size is compared before it is used."""

import tracemalloc

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from dicos_proto.data import decode_object, encode
from dicos_proto.dicos import CT, BadValue, DicosError, PixelError, codecs
from dicos_proto.dicos.fragments import Frames
from dicos_proto.dicos.pixels import array_of, class_of, frame_count
from dicos_proto.registry import uids

from .making import element, rules, stamp, volume


def ct(dtype: str = "uint16") -> CT:
    return CT.new(volume(dtype), ooi_id="BAG-1", stamp=stamp())


@pytest.mark.parametrize(
    ("tag", "value", "text"),
    [
        (0x00280010, 0, r"Rows \(0028,0010\): is 0; at least 1"),
        (0x00280011, 0, r"Columns \(0028,0011\): is 0; at least 1"),
        (0x00280008, 0, r"Number of Frames \(0028,0008\): 0 frames; at least 1"),
        (0x00280010, None, r"Rows \(0028,0010\): is missing"),
        (
            0x00280011,
            65535,
            r"Pixel Data \(7FE0,0010\): 120 bytes; 1572840 are needed for 3 frames of 4 rows and 65535 ",
        ),
        (0x00280008, 2, r"Pixel Data \(7FE0,0010\): 120 bytes; 80 are needed"),
        (0x00280100, 12, r"Bits Allocated \(0028,0100\): 12 bits allocated; 8, 16, 32, 64 with this pixel data"),
        (0x00280002, 3, r"Samples per Pixel \(0028,0002\): 3 samples per pixel; 1 is allowed"),
        (0x00280103, [0, 1], r"Pixel Representation \(0028,0103\): 2 values; 1 is allowed"),
        (0x00280010, 1.5, r"Rows \(0028,0010\): a value that is not a whole number"),
        (0x00280010, float("inf"), r"Rows \(0028,0010\): a value that is not a finite number"),
        (0x00280010, "many", r"Rows \(0028,0010\): a value that does not fit"),
        (0x00280010, [1] * 5000, r"Rows \(0028,0010\): 5000 values; at most 4096 are allowed"),
    ],
)
def test_a_size_that_cannot_be(tag: int, value: object, text: str) -> None:
    one = ct()
    element(one.dataset, tag, "US", value)
    with pytest.raises(DicosError, match=text) as caught:
        _ = one.volume
    assert caught.value.tag in (tag, 0x7FE00010)
    assert one.validate()


@pytest.mark.parametrize("value", [None, b"", b"\0" * 119, b"\0" * 122, "text", 5, [1, 2]])
def test_bytes_that_do_not_fit(value: object) -> None:
    one = ct()
    element(one.dataset, 0x7FE00010, "OW", value)
    with pytest.raises(PixelError, match=r"Pixel Data \(7FE0,0010\): .* 120 are needed"):
        _ = one.volume
    assert ("7FE00010", "pixel data length") in rules(one.validate())


def test_one_byte_of_padding_is_none_of_the_pixels() -> None:
    one = CT.new(volume("uint8", (3, 3, 3)), ooi_id="BAG-1", stamp=stamp())
    read = CT(decode_object(encode(one.dataset, uids.EXPLICIT_VR_LE), uids.EXPLICIT_VR_LE))
    assert len(read.dataset.PixelData) == 28
    assert np.array_equal(read.volume, volume("uint8", (3, 3, 3)))
    assert read.validate() == []


def test_pixel_data_is_in_one_element() -> None:
    one = ct()
    element(one.dataset, 0x7FE00011, "OL", b"\0" * 240)
    with pytest.raises(PixelError, match="2 elements with pixel data; one of them is needed"):
        _ = one.volume
    assert ("7FE00010", "pixel data") in rules(one.validate())
    del one.dataset[0x7FE00010], one.dataset[0x7FE00011]
    with pytest.raises(PixelError, match=r"Pixel Data \(7FE0,0010\): no pixel data; one of them is needed"):
        _ = one.volume
    one.dataset.PixelDataProviderURL = "https://example.org/pixels"
    assert one.validate() == []


@pytest.mark.parametrize(
    ("tag", "vr", "bits", "dtype"),
    [(0x7FE00008, "OF", 32, "<f4"), (0x7FE00010, "OW", 32, "<u4"), (0x7FE00010, "OW", 64, "<u8")],
)
def test_dicoms_own_elements_are_read_too(tag: int, vr: str, bits: int, dtype: str) -> None:
    one = ct("float32" if vr == "OF" else f"uint{bits}")
    (written,) = (each.tag for each in one.dataset.group_dataset(0x7FE0))
    value = bytes(one.dataset[written].value)
    del one.dataset[written]
    element(one.dataset, tag, vr, value)
    assert one.volume.dtype == np.dtype(dtype)
    assert np.array_equal(one.volume, volume(dtype))
    assert one.validate() == []


def test_the_sop_class_is_that_of_the_pixels() -> None:
    one = ct("uint32")
    one.dataset.SOPClassUID = uids.DICOS_CT_FLOAT
    (found,) = one.validate()
    assert str(found) == (
        "error: SOP Class UID (0008,0016) is DICOS CT Image Storage (Floating Point), with 32-bit pixel data"
        " [SOP Common, cross-check; obs, hdr]"
    )
    with pytest.raises(TypeError, match="an array of uint32; these SOP classes are for 16-bit pixel data"):
        class_of(volume("uint32"), {"16-bit": uids.DICOS_CT})


@pytest.mark.parametrize(
    ("stored", "high", "expected"),
    [(12, 11, []), (17, 16, [("00280101", "bits")]), (0, 0, [("00280101", "range"), ("00280101", "bits")]),
     (12, 15, [("00280102", "bits")])],
)  # fmt: skip
def test_bits_fit_into_each_other(stored: int, high: int, expected: list[tuple[str, str]]) -> None:
    one = ct()
    one.dataset.BitsStored, one.dataset.HighBit = stored, high
    assert rules(one.validate()) == expected


# -- number of frames: IS in DICOM, US in DICOS ----------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 3, 0x0033, 0x2033])
@pytest.mark.parametrize("vr", ["US", "IS"])
def test_the_number_of_frames_in_implicit_vr_is_either(frames: int, vr: str) -> None:
    dataset = Dataset()
    element(dataset, 0x00280008, vr, frames)
    dataset.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(frames)]
    read = decode_object(encode(dataset, uids.IMPLICIT_VR_LE), uids.IMPLICIT_VR_LE)
    assert frame_count(read) == frames
    read = decode_object(encode(dataset, uids.EXPLICIT_VR_LE), uids.EXPLICIT_VR_LE)
    assert frame_count(read) == frames


def test_two_digits_without_groups_are_a_text() -> None:
    dataset = Dataset()
    dataset.NumberOfFrames = 12
    assert frame_count(decode_object(encode(dataset, uids.IMPLICIT_VR_LE), uids.IMPLICIT_VR_LE)) == 12
    assert frame_count(Dataset()) == 1
    dataset.NumberOfFrames = -1
    with pytest.raises(BadValue, match="-1 frames; at least 1"):
        frame_count(dataset)


# -- compressed ------------------------------------------------------------------------------------------------------


def compressed(syntax: str, dtype: str = "uint16") -> CT:
    one = ct(dtype)
    frame = codecs.FrameLayout(rows=4, columns=5, bits_allocated=one.volume.dtype.itemsize * 8, bits_stored=8)
    frames = [codecs.encode(each.tobytes(), frame, syntax) for each in one.volume]
    element(one.dataset, 0x7FE00010, "OB", encapsulate(frames))
    one.dataset[0x7FE00010].is_undefined_length = True
    one.dataset.BitsStored, one.dataset.HighBit = 8, 7
    one.dataset.file_meta = FileMetaDataset()
    one.dataset.file_meta.TransferSyntaxUID = syntax
    return one


@pytest.mark.parametrize("syntax", [uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_compressed_frames_are_decoded_once(dtype: str, syntax: str) -> None:
    pytest.importorskip("imagecodecs")
    one = compressed(syntax, dtype)
    assert np.array_equal(one.volume, volume(dtype))
    assert one.volume.dtype == np.dtype(dtype)
    assert one.volume is one.volume
    assert one.validate() == []
    first = one.volume
    one.dataset[0x7FE00010].value = bytes(one.dataset[0x7FE00010].value)[:]
    assert np.array_equal(one.volume, first)
    assert np.array_equal(array_of(one.dataset), first)


def test_fragments_without_a_basic_offset_table() -> None:
    pytest.importorskip("imagecodecs")
    one = compressed(uids.JPEG_LOSSLESS_SV1)
    value = one.dataset[0x7FE00010].value
    length = int.from_bytes(value[4:8], "little")
    one.dataset[0x7FE00010].value = value[:4] + bytes(4) + value[8 + length :]
    assert np.array_equal(one.volume, volume())


def test_compressed_frames_that_cannot_be_decoded() -> None:
    pytest.importorskip("imagecodecs")
    one = compressed(uids.RLE_LOSSLESS)
    one.dataset.Rows = 400
    with pytest.raises(PixelError, match=r"Pixel Data \(7FE0,0010\): "):
        _ = one.volume
    one.dataset.Rows = 4
    element(one.dataset, 0x00280008, "US", 4)
    with pytest.raises(PixelError, match="4"):
        _ = one.volume
    one.dataset.file_meta.TransferSyntaxUID = uids.JPEG_2000_LOSSLESS
    element(one.dataset, 0x00280008, "US", 3)
    with pytest.raises(PixelError, match="no decoder for JPEG 2000"):
        _ = one.volume
    one.dataset.BitsAllocated = 32
    with pytest.raises(PixelError, match="32 bits allocated; 8 and 16 can be compressed"):
        _ = one.volume
    del one.dataset.file_meta
    with pytest.raises(PixelError, match="is in fragments, and file_meta does not say how they are compressed"):
        _ = one.volume
    assert ("7FE00010", "pixel data length") in rules(one.validate())


@pytest.mark.parametrize("syntax", [uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS])
def test_frames_that_cannot_be_that_large_take_no_memory(syntax: str) -> None:
    one = compressed(syntax)
    one.dataset.Rows = one.dataset.Columns = 65535
    element(one.dataset, 0x00280008, "US", 60000)
    element(one.dataset, 0x7FE00010, "OB", encapsulate([b"\xff\xd8"] * 60000))
    one.dataset[0x7FE00010].is_undefined_length = True
    with pytest.raises(PixelError, match=r"cut short: at least \d+ bytes are needed"):  # not a MemoryError
        _ = one.volume


def test_an_offset_table_takes_no_more_memory_than_its_bytes() -> None:
    frames = Frames(500_000, most=100, single=True)
    table = np.arange(0, 5_000_000, 10, dtype="<u4").tobytes()
    tracemalloc.start()
    frames.table(table)
    frames.begin(2)
    frames.take(b"ab")
    assert frames.begin(13) == b"ab"
    assert frames.begin(2) is None  # it begins at 31, where no frame does
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("value", [b"", b"\0" * 7, b"\0" * 8, b"\xfe\xff\x00\xe0\xff\xff\xff\xff", None])
def test_fragments_that_are_none(value: object) -> None:
    pytest.importorskip("imagecodecs")
    one = compressed(uids.RLE_LOSSLESS)
    element(one.dataset, 0x7FE00010, "OB", value)
    one.dataset[0x7FE00010].is_undefined_length = True
    with pytest.raises(PixelError, match=r"Pixel Data \(7FE0,0010\): "):
        _ = one.volume

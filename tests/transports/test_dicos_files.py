"""DICOS objects in files: written whole or not at all, read as they were."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicos_proto.data import DataSetError, encode
from dicos_proto.dicos import CT, NotDicos
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_transports.dicos import read_file, stamp, write_file
from dicos_transports.dicos.mending import mended
from dicos_transports.dicos.part10 import read_dataset
from dicos_transports.files import Part10Error, inspect

VOLUME = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)


def new_ct() -> CT:
    return CT.new(VOLUME, ooi_id="BAG-1", stamp=stamp())


def test_a_stamp_is_of_now_and_new_each_time() -> None:
    one, other = stamp(), stamp()
    assert abs(one.at - datetime.now()) < timedelta(seconds=60)
    assert len({one.uid(), one.uid(), other.uid()}) == 3
    assert uids.is_valid(one.uid())


@pytest.mark.parametrize("syntax", [uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED])
def test_an_object_is_written_and_read(tmp_path: Path, syntax: str) -> None:
    made = new_ct()
    write_file(made, tmp_path / "bag.dcs", transfer_syntax=syntax)
    read = read_file(str(tmp_path / "bag.dcs"))
    assert isinstance(read, CT)
    assert np.array_equal(read.volume, VOLUME)
    assert read.validate() == []
    assert inspect(tmp_path / "bag.dcs").transfer_syntax == syntax
    assert os.listdir(tmp_path) == ["bag.dcs"]


def test_another_library_reads_it_with_its_dicos_version(tmp_path: Path) -> None:
    write_file(new_ct(), tmp_path / "bag.dcs")
    read = dcmread(tmp_path / "bag.dcs")
    assert read.file_meta[0x00020004].value == "V03"
    assert read.PixelData == VOLUME.tobytes()


def test_compressed_pixel_data_stays_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    from pydicom.encaps import encapsulate

    from dicos_proto.dicos import codecs

    made = new_ct()
    frame = codecs.FrameLayout(rows=4, columns=5, bits_allocated=16, bits_stored=16)
    frames = [codecs.encode(each.tobytes(), frame, uids.RLE_LOSSLESS) for each in VOLUME]
    dataset = made.dataset
    dataset.PixelData = encapsulate(frames)
    dataset[0x7FE00010].is_undefined_length = True
    dataset[0x7FE00010].VR = "OB"
    write_file(dataset, tmp_path / "bag.dcs", transfer_syntax=uids.RLE_LOSSLESS)
    read = read_file(tmp_path / "bag.dcs")
    assert isinstance(read, CT)
    assert np.array_equal(read.volume, VOLUME)
    write_file(read, tmp_path / "again.dcs")
    assert (tmp_path / "again.dcs").read_bytes() == (tmp_path / "bag.dcs").read_bytes()
    with pytest.raises(DataSetError, match="in fragments"):
        write_file(dataset, tmp_path / "odd.dcs", transfer_syntax=uids.EXPLICIT_VR_LE)
    assert sorted(os.listdir(tmp_path)) == ["again.dcs", "bag.dcs"]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bag.dcs"
    write_file(new_ct(), path)
    before = path.read_bytes()

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_file(new_ct(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["bag.dcs"]


@pytest.mark.parametrize("size", [0, 100, 200, 400, 1500, -1])
def test_a_file_that_is_cut_short(tmp_path: Path, size: int) -> None:
    path = tmp_path / "bag.dcs"
    write_file(new_ct(), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(Part10Error, match=r"bag\.dcs"):
        read_file(path)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    write_file(dataset, tmp_path / "ct.dcm")
    with pytest.raises(NotDicos, match="CT Image Storage is not a SOP class of DICOS"):
        read_file(tmp_path / "ct.dcm")
    assert read_dataset(tmp_path / "ct.dcm").SOPInstanceUID == "1.2.3"
    write_file(new_ct(), tmp_path / "bag.dcs")
    with pytest.raises(Part10Error, match="limit pixels"):
        read_file(tmp_path / "bag.dcs", limits=Limits(pixels=100))


# -- 64 bits of length where there are to be 32 ----------------------------------------------------------------------


def wrong(content: bytes, syntax: str) -> bytes:
    """The data set as pyDICOS writes it."""
    if syntax == uids.EXPLICIT_VR_LE:
        return content.replace(b"\xe0\x7f\x12\0OD\0\0" + LENGTH[:4], b"\xe0\x7f\x12\0OD" + LENGTH)
    return content.replace(b"\xe0\x7f\x12\0" + LENGTH[:4], b"\xe0\x7f\x12\0" + LENGTH)


LENGTH = (480).to_bytes(8, "little")


@pytest.mark.parametrize("syntax", [uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE])
@pytest.mark.parametrize("values", [VOLUME, VOLUME * 0, VOLUME.astype(np.uint64) + 2**63])
def test_a_64_bit_volume_of_pydicos_is_read(tmp_path: Path, syntax: str, values: np.ndarray) -> None:
    path = tmp_path / "bag.dcs"
    write_file(CT.new(values.astype(np.uint64), ooi_id="BAG-1", stamp=stamp()), path, transfer_syntax=syntax)
    right = path.read_bytes()
    path.write_bytes(wrong(right, syntax))
    assert len(path.read_bytes()) in (len(right) + 2, len(right) + 4)
    read = read_file(path)
    assert isinstance(read, CT)
    assert np.array_equal(read.volume, values)
    assert read.validate() == []


@pytest.mark.parametrize("size", [1, 2, 3, 5, 13, 14, 100, 1000])
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED])
def test_a_header_is_mended_however_it_is_cut(syntax: str, size: int) -> None:
    right = encode(CT.new(VOLUME.astype(np.int64), ooi_id="BAG-1", stamp=stamp()).dataset, syntax)
    odd = b"\xe0\x7f\x12\0OD" + bytes(8) + right  # something that looks like the header
    for given, expected in (
        (right, right),
        (wrong(right, syntax), right),
        (odd, odd),
        (right[:-1], right[:-1]),
        (b"", b""),
    ):
        pieces = [given[at : at + size] for at in range(0, len(given), size)]
        assert b"".join(map(bytes, mended(pieces, syntax, len(given)))) == expected


@pytest.mark.parametrize("syntax", [uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS])
def test_pixel_data_is_compressed_and_decompressed_while_it_is_written(syntax: str, tmp_path: Path) -> None:
    volume = np.random.default_rng(3).integers(0, 4000, (5, 16, 12), np.uint16)
    ct = CT.new(volume, ooi_id="BAG-1", stamp=stamp())
    write_file(ct, tmp_path / "small.dcs", transfer_syntax=syntax)
    small = read_file(tmp_path / "small.dcs")
    assert inspect(tmp_path / "small.dcs").transfer_syntax == syntax
    assert isinstance(small, CT)
    assert np.array_equal(small.volume, volume)
    write_file(small, tmp_path / "again.dcs")
    assert inspect(tmp_path / "again.dcs").transfer_syntax == syntax, "as it is"
    write_file(small, tmp_path / "large.dcs", transfer_syntax=uids.EXPLICIT_VR_LE)
    large = read_file(tmp_path / "large.dcs")
    assert isinstance(large, CT)
    assert large.dataset.PixelData == ct.dataset.PixelData
    wide = CT.new(volume.astype(np.uint32), ooi_id="BAG-1", stamp=stamp())
    with pytest.raises(DataSetError):
        write_file(wide, tmp_path / "wide.dcs", transfer_syntax=syntax)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["again.dcs", "large.dcs", "small.dcs"]

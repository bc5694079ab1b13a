"""Frames that DCMTK and pydicom encode are decoded exactly, and they decode exactly what is encoded here."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, RLELossless

from dicos_proto.data.datasets import encode
from dicos_proto.registry import uids
from dicos_transports.files import convert_chunks, inspect
from dicos_transports.files.writer import file_header

pytest.importorskip("imagecodecs")
pytestmark = pytest.mark.interop

EXPLICIT, IMPLICIT, JPEG, RLE = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS
CLASS = "1.2.840.10008.5.1.4.1.1.7.3"  # multi-frame grayscale word secondary capture
KINDS = {
    "u8": ("u1", 8, 1), "u16": ("<u2", 16, 1), "u12": ("<u2", 12, 1), "i16": ("<i2", 16, 1), "i12": ("<i2", 12, 1),
    "rgb": ("u1", 8, 3),
}  # fmt: skip


def image(kind: str, frames: int = 3, rows: int = 37, columns: int = 51) -> tuple[Dataset, Any]:
    """A ramp with noise, of odd dimensions."""
    dtype, bits, samples = KINDS[kind]
    signed = dtype.endswith(("i1", "i2"))
    shape = (frames, rows, columns) if samples == 1 else (frames, rows, columns, 3)
    low = -(1 << bits - 1) if signed else 0
    noise = np.random.default_rng(3).integers(0, 1 << min(bits, 6), shape)
    pixels = ((np.arange(np.prod(shape)).reshape(shape) * 5 + noise) % (1 << bits) + low).astype(dtype)
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CLASS, "1.2.3.4"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.Modality = "1.2.3", "1.2.3.5", "OT"
    made.PatientID = made.PatientName = "X"
    made.SamplesPerPixel = samples
    made.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples == 3:
        made.PlanarConfiguration = 0
    made.NumberOfFrames, made.Rows, made.Columns = frames, rows, columns
    made.BitsAllocated = 8 if dtype == "u1" else 16
    made.BitsStored, made.HighBit, made.PixelRepresentation = bits, bits - 1, int(signed)
    raw = pixels.tobytes()
    made.PixelData = raw + bytes(len(raw) % 2)
    made["PixelData"].VR = "OB" if dtype == "u1" else "OW"
    return made, pixels


def put(path: Path, data: bytes, syntax: str) -> Path:
    path.write_bytes(file_header(CLASS, "1.2.3.4", syntax) + data)
    return path


@pytest.fixture(params=KINDS)
def native(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    made, pixels = image(request.param)
    return put(tmp_path / "native.dcm", encode(made, EXPLICIT), EXPLICIT), pixels


def tool(name: str, *words: str | Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} of DCMTK is not installed")
    subprocess.run([name, *map(str, words)], check=True, capture_output=True, timeout=60)


def converted(path: Path, syntax: str) -> Path:
    return put(path.with_name(f"{path.stem}-{syntax}.dcm"), b"".join(convert_chunks(inspect(path), syntax)), syntax)


def pixels_of(path: Path) -> Any:
    return dcmread(path).pixel_array


@pytest.mark.parametrize(("syntax", "decoder"), [(JPEG, "dcmdjpeg"), (RLE, "dcmdrle")])
def test_dcmtk_decodes_what_is_encoded(native: tuple[Path, Any], syntax: str, decoder: str) -> None:
    path, pixels = native
    made = converted(path, syntax)
    again = made.with_suffix(".again")
    tool(decoder, made, again)
    assert np.array_equal(pixels_of(again), pixels)


@pytest.mark.parametrize("syntax", [JPEG, RLE])
def test_pydicom_decodes_what_is_encoded(native: tuple[Path, Any], syntax: str) -> None:
    path, pixels = native
    made = dcmread(converted(path, syntax))
    if syntax == JPEG:  # pydicom has no decoder for it of its own: what it takes the frames for is compared
        import imagecodecs
        from pydicom.encaps import generate_frames

        frames = list(generate_frames(made.PixelData, number_of_frames=3))
        found = np.stack([imagecodecs.ljpeg_decode(one) if pixels.ndim == 3 else imagecodecs.jpeg8_decode(one)
                          for one in frames])  # fmt: skip
        assert np.array_equal(found.view(pixels.dtype), pixels)
    else:
        assert np.array_equal(made.pixel_array, pixels)


def test_dcmtk_encodes_what_is_decoded(native: tuple[Path, Any], tmp_path: Path) -> None:
    path, pixels = native
    for words in (("dcmcjpeg", "+e1"), ("dcmcjpeg", "+e1", "+ot"), ("dcmcjpeg", "+el"), ("dcmcrle",)):
        made = tmp_path / "theirs.dcm"
        tool(*words[:1], *words[1:], *(["+cn"] if pixels.ndim == 4 and words[0] == "dcmcjpeg" else []), path, made)
        for syntax in (EXPLICIT, IMPLICIT):
            assert np.array_equal(pixels_of(converted(made, syntax)), pixels), words


def test_pydicom_encodes_what_is_decoded(native: tuple[Path, Any], tmp_path: Path) -> None:
    path, pixels = native
    made = dcmread(path)
    made.compress(RLELossless, generate_instance_uid=False)
    made.save_as(tmp_path / "theirs.dcm")
    assert np.array_equal(pixels_of(converted(tmp_path / "theirs.dcm", EXPLICIT)).reshape(pixels.shape), pixels)


def test_fragments_of_dcmtk_are_joined(tmp_path: Path) -> None:
    made, pixels = image("u16", rows=200, columns=300)
    path = put(tmp_path / "native.dcm", encode(made, EXPLICIT), EXPLICIT)
    theirs = tmp_path / "theirs.dcm"
    for table in ("+ot", "-ot"):
        tool("dcmcjpeg", "+e1", "+fs", "4", table, path, theirs)
        assert dcmread(theirs).file_meta.TransferSyntaxUID == UID(JPEG)
        assert np.array_equal(pixels_of(converted(theirs, EXPLICIT)), pixels)

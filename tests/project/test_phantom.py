"""The phantom of the demo: a DICOS CT that pydicom reads without a warning and that is the same every time."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("numpy")
pydicom = pytest.importorskip("pydicom")

PHANTOM = Path(__file__).resolve().parent.parent.parent / "demo" / "phantom.py"


@pytest.fixture(scope="module")
def phantom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("phantom", PHANTOM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["phantom"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def path(phantom: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantom") / "ct.dcs"
    phantom.make_ct(path, rows=64, columns=64, frames=4)
    return path


@pytest.mark.filterwarnings("error")
def test_a_dicos_ct_of_the_size_asked_for(path: Path) -> None:
    ds = pydicom.dcmread(path)
    str(ds)  # decodes every element
    assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.501.1"
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (ds.NumberOfFrames, ds.Rows, ds.Columns, ds.BitsStored) == (4, 64, 64, 16)
    assert len(ds.PerFrameFunctionalGroupsSequence) == 4
    pixels = ds.pixel_array
    assert pixels.shape == (4, 64, 64)
    assert pixels.dtype == "uint16"


def test_the_uids_are_deterministic_and_under_2_25(path: Path) -> None:
    ds = pydicom.dcmread(path)
    for uid in (ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID):
        assert uid.startswith("2.25.")
        assert uid.is_valid


@pytest.mark.parametrize(
    "keyword",
    [
        *("PatientID", "IssuerOfPatientID", "TypeOfPatientID", "OOIType", "StudyInstanceUID", "StudyID"),
        *("StudyDate", "StudyTime", "ScanType", "AlgorithmRoutingCodeSequence", "SeriesInstanceUID"),
        *("SeriesDate", "SeriesTime", "Modality", "AcquisitionStatus", "DICOSVersion", "ImageType"),
        *("AcquisitionDateTime", "AcquisitionDuration", "PixelPresentation", "VolumetricProperties"),
        *("VolumeBasedCalculationTechnique", "BurnedInAnnotation", "SharedFunctionalGroupsSequence"),
    ],
)
def test_what_dicos_readers_insist_on_is_there(path: Path, keyword: str) -> None:
    assert keyword in pydicom.dcmread(path)


def test_the_bag_is_packed(phantom: ModuleType, path: Path) -> None:
    pixels = pydicom.dcmread(path).pixel_array
    assert pixels[0, 0, 0] < 32  # air and noise
    for density in (phantom.SHELL, phantom.LAPTOP, phantom.WATER, phantom.BLOCK):
        assert ((pixels >= density) & (pixels < density + 32)).any()


def test_the_same_arguments_give_the_same_bytes(phantom: ModuleType, path: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again.dcs", tmp_path / "other.dcs"
    phantom.make_ct(again, rows=64, columns=64, frames=4)
    phantom.make_ct(other, rows=64, columns=64, frames=4, seed=8)
    assert again.read_bytes() == path.read_bytes()
    assert pydicom.dcmread(other).SOPInstanceUID != pydicom.dcmread(path).SOPInstanceUID


@pytest.mark.parametrize("frames", [0, -1, 65536])
def test_sizes_that_do_not_fit_are_refused(phantom: ModuleType, tmp_path: Path, frames: int) -> None:
    with pytest.raises(ValueError, match="65535"):
        phantom.make_ct(tmp_path / "ct.dcs", rows=64, columns=64, frames=frames)
    assert not (tmp_path / "ct.dcs").exists()


def test_pixels_that_need_more_than_32_bits_of_length_are_refused(phantom: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4294967294"):
        phantom.make_ct(tmp_path / "ct.dcs", rows=2048, columns=2048, frames=512)

"""A phantom suitcase: a DICOS CT volume of simple shapes, as a real file.

    python demo/phantom.py OUT.dcs [--rows N] [--columns N] [--frames N] [--seed N] [--no-threat]

The volume is computed and written frame by frame, so 600 frames of 512 x 512 (300 MB) take no more memory than 4.
The same arguments give the same bytes.
"""

import argparse
import struct
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import UID

DICOS_CT = "1.2.840.10008.5.1.4.1.1.501.1"
EXPLICIT_VR_LE = "1.2.840.10008.1.2.1"
IMPLEMENTATION_CLASS_UID = "2.25.49718628598822305046742830552675960300"
WHEN = ("20250102", "030405")
LARGEST = 2**32 - 2  # bytes of Pixel Data: its length has 32 bits.  PS3.5 7.1.1
SPACING = 0.9  # mm between pixels and between frames

# Densities as stored: water is 1000, air 0.
SHELL, CLOTHES, BOTTLE, WATER, LAPTOP, BATTERY, WHEEL, ROD, BLOCK = (
    1150, 280, 1350, 1000, 1500, 2300, 1200, 7800, 1650,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """The positions of a frame's pixels: x and y from -1 to 1 over the frame, and z of the frame itself."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: float


def make_ct(
    path: str | Path, *, rows: int = 512, columns: int = 512, frames: int = 200, seed: int = 7, threat: bool = True
) -> None:
    """Writes a DICOS CT object (multi-frame, 16-bit unsigned, explicit VR little endian) to `path`.

    `threat`: among the contents is a block that an operator should find.
    512 x 512 x 200, the default, is 105 MB and takes a second; 600 frames are 315 MB. Raises ValueError
    if the pixels do not fit one element, OSError if the file cannot be written.
    """
    size = 2 * rows * columns * frames
    if not 0 < size <= LARGEST or min(rows, columns, frames) < 1 or max(rows, columns, frames) > 65535:
        raise ValueError(f"{columns} x {rows} x {frames} pixels; 1 to 65535 each and {LARGEST} bytes in all fit")
    with open(path, "wb") as file:
        file.write(_header(rows, columns, frames, seed))
        file.write(struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", size))
        rng = np.random.default_rng(seed)
        clothes = _texture(rng, rows, columns)
        for frame in range(frames):
            file.write(_slice(rng, clothes, frame, frames, threat=threat).tobytes())


def _uid(*parts: object) -> str:
    """The same UID for the same parts, under the root for UUIDs [PS3.5 B.2]."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(map(str, parts))).int}"


def _header(rows: int, columns: int, frames: int, seed: int) -> bytes:
    """All bytes before the header of the pixels."""
    name = (rows, columns, frames, seed)
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(DICOS_CT)
    meta.MediaStorageSOPInstanceUID = UID(_uid("instance", *name))
    meta.add_new(0x00020004, "CS", "V03")  # DICOS Version of the file
    meta.TransferSyntaxUID = UID(EXPLICIT_VR_LE)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds = Dataset()
    _add_common(ds, name)
    _add_image(ds, rows, columns, frames)
    ds.SharedFunctionalGroupsSequence = Sequence([_shared_groups()])
    ds.PerFrameFunctionalGroupsSequence = Sequence([_frame_groups(frame) for frame in range(frames)])

    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    out.write(bytes(128) + b"DICM")
    write_file_meta_info(out, meta)
    write_dataset(out, ds)
    return out.getvalue()


def _add_common(ds: Dataset, name: tuple[int, ...]) -> None:
    """The modules every DICOS object has: object of inspection, scan, series, device, SOP common."""
    date, time = WHEN
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = DICOS_CT
    ds.SOPInstanceUID = _uid("instance", *name)
    ds.InstanceCreationDate = ds.StudyDate = ds.SeriesDate = ds.ContentDate = date
    ds.InstanceCreationTime = ds.StudyTime = ds.SeriesTime = ds.ContentTime = time
    ds.AcquisitionDateTime = date + time
    ds.Modality = "CT"
    ds.InstanceNumber = 1
    # The object of inspection (OOI) takes the place of DICOM's patient.
    ds.PatientID = f"BAG-{name[-1]:04d}"
    ds.IssuerOfPatientID = "PHANTOM"
    ds.TypeOfPatientID = "BARCODE"
    ds.OOIType = "BAGGAGE"
    ds.OOISize = [55.0, 40.0, 23.0]
    # The scan takes the place of DICOM's study.
    ds.StudyInstanceUID = _uid("scan", *name)
    ds.StudyID = "SCAN-1"
    ds.ScanType = "OPERATIONAL"
    ds.AlgorithmRoutingCodeSequence = Sequence([])
    ds.SeriesInstanceUID = _uid("series", *name)
    ds.AcquisitionStatus = "SUCCESSFUL"
    ds.FrameOfReferenceUID = _uid("frame of reference", *name)
    ds.PositionReferenceIndicator = ""
    ds.Manufacturer = "dicos-proto"
    ds.InstitutionName = "Phantom Airport"
    ds.InstitutionAddress = "Nowhere"
    ds.StationName = "LANE-1"
    ds.ManufacturerModelName = "Phantom"
    ds.DeviceSerialNumber = "0"
    ds.SoftwareVersions = "1"
    ds.DateOfLastCalibration = date
    ds.TimeOfLastCalibration = time
    ds.DICOSVersion = "V03"


def _add_image(ds: Dataset, rows: int, columns: int, frames: int) -> None:
    """The modules of a CT: image, pixels, multi-frame."""
    ds.ImageType = ["ORIGINAL", "HIGH ENERGY", "VOLUME", "NONE"]
    ds.AcquisitionDuration = 6.0  # s
    ds.add_new(0x00080118, "CS", "MACHINE")  # Image Origin: a UI of another meaning in DICOM
    ds.add_new(0x00082108, "CS", "LHS")  # Coordinate System
    ds.add_new(0x43000902, "FL", 80.0)  # Effective Energy, keV
    ds.PixelPresentation = "MONOCHROME"
    ds.VolumetricProperties = "VOLUME"
    ds.VolumeBasedCalculationTechnique = "NONE"
    ds.PresentationLUTShape = "IDENTITY"
    ds.BurnedInAnnotation = "NO"
    ds.AcquisitionContextSequence = Sequence([])
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.add_new(0x00280008, "US", frames)  # Number of Frames: IS in DICOM, US in DICOS
    ds.Rows = rows
    ds.Columns = columns
    ds.BitsAllocated = 16
    ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.LossyImageCompression = "00"


def _shared_groups() -> Dataset:
    """The parts that are the same in all frames."""
    details = Dataset()
    details.KVP = 160
    details.FilterType = "NONE"
    details.FocalSpots = 1.2
    frame_type = Dataset()
    frame_type.FrameType = ["ORIGINAL", "HIGH ENERGY", "VOLUME", "NONE"]
    frame_type.PixelPresentation = "MONOCHROME"
    frame_type.VolumetricProperties = "VOLUME"
    frame_type.VolumeBasedCalculationTechnique = "NONE"
    orientation = Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures = Dataset()
    measures.PixelSpacing = [SPACING, SPACING]
    measures.SliceThickness = SPACING
    transformation = Dataset()
    transformation.RescaleIntercept = -1000
    transformation.RescaleSlope = 1
    transformation.RescaleType = "HU"
    shared = Dataset()
    shared.CTXRayDetailsSequence = Sequence([details])
    shared.CTImageFrameTypeSequence = Sequence([frame_type])
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([transformation])
    return shared


def _frame_groups(frame: int) -> Dataset:
    position = Dataset()
    position.ImagePositionPatient = [0, 0, round(frame * SPACING, 3)]
    groups = Dataset()
    groups.PlanePositionSequence = Sequence([position])
    return groups


def _texture(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint16]:
    """Folded cloth: waves across waves, the same along the whole bag except for the shift in `_slice`."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    phase = rng.uniform(0, 6.28, 4).astype(np.float32)
    waves = np.sin(x / 9 + 3 * np.sin(y / 23 + phase[0]) + phase[1])
    waves += np.sin(y / 7 + 2 * np.sin(x / 31 + phase[2]) + phase[3])
    texture: NDArray[np.uint16] = (CLOTHES + 80 * waves).astype(np.uint16)
    return texture


def _slice(
    rng: np.random.Generator, clothes: NDArray[np.uint16], frame: int, frames: int, *, threat: bool
) -> NDArray[np.uint16]:
    """One frame, little endian: air, the bag if it reaches this frame, its contents, and noise over everything."""
    rows, columns = clothes.shape
    plane = Plane(
        x=np.linspace(-1, 1, columns, dtype=np.float32)[None, :],
        y=np.linspace(-1, 1, rows, dtype=np.float32)[:, None],
        z=2 * (frame + 0.5) / frames - 1,
    )
    image = np.zeros((rows, columns), np.uint16)
    if abs(plane.z) < 0.94:
        _draw_bag(image, plane, np.roll(clothes, frame // 2, axis=1), threat=threat)
    image += rng.integers(0, 32, image.shape, dtype=np.uint16)
    return image.astype("<u2", copy=False)


def _draw_bag(image: NDArray[np.uint16], plane: Plane, clothes: NDArray[np.uint16], *, threat: bool) -> None:
    x, y, z = plane.x, plane.y, plane.z
    image[_box(plane, (0, 0.04), (0.86, 0.58))] = SHELL
    inside = _box(plane, (0, 0.04), (0.83, 0.55))
    if abs(z) < 0.9:
        image[inside] = clothes[inside]
    for side in (-0.7, 0.7):
        if abs(abs(z) - 0.8) < 0.06:
            image[(x - side) ** 2 + (y - 0.71) ** 2 < 0.09**2] = WHEEL
        image[(x - side / 2) ** 2 + (y + 0.5) ** 2 < 0.015**2] = ROD  # telescopic handle
    if abs(z) < 0.62:
        image[_box(plane, (0.1, 0.46), (0.55, 0.045))] = LAPTOP
    if -0.2 < z < 0.5:
        image[_box(plane, (0.1, 0.46), (0.4, 0.02))] = BATTERY
    if -0.75 < z < 0.15:
        radius = 0.14 if z < -0.1 else 0.14 - 0.4 * (z + 0.1)  # a shoulder, then the neck
        from_axis = (x + 0.55) ** 2 + (y + 0.2) ** 2
        image[from_axis < radius**2] = BOTTLE
        image[from_axis < (0.85 * radius) ** 2] = WATER
    if threat and 0.2 < z < 0.6:
        image[_box(plane, (0.5, -0.18), (0.17, 0.12))] = BLOCK  # the object that the operator should find


def _box(plane: Plane, centre: tuple[float, float], half: tuple[float, float]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (abs(plane.x - centre[0]) < half[0]) & (abs(plane.y - centre[1]) < half[1])
    return inside


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a DICOS CT volume of a phantom suitcase.")
    parser.add_argument("path", type=Path, metavar="OUT.dcs")
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-threat", dest="threat", action="store_false", help="without the block")
    options = parser.parse_args()
    make_ct(
        options.path, rows=options.rows, columns=options.columns, frames=options.frames, seed=options.seed,
        threat=options.threat,
    )  # fmt: skip


if __name__ == "__main__":
    main()

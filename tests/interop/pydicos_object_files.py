"""Writes and reads DICOS files with pyDICOS. Run by its own interpreter, never imported by the tests.

    pydicos_object_files.py write FOLDER        writes CT and DX files, prints one JSON object a file
    pydicos_object_files.py read KIND:PATH ...  reads files, prints one JSON object a file

Each file has a process of its own, because some of them bring the toolkit down.
"""

import json
import os
import sys
import warnings

import numpy as np
import pyDICOS as P

warnings.simplefilter("ignore")
PLANES = {
    "enumUnsigned8Bit": "GetUnsigned8", "enumSigned8Bit": "GetSigned8", "enumUnsigned16Bit": "GetUnsigned16",
    "enumSigned16Bit": "GetSigned16", "enumFloat": "GetFloat",
}  # fmt: skip
"""Data types whose values can be reached from Python."""
SYNTAXES = ("LittleEndianExplicit", "LittleEndianExplicitExtended", "LittleEndianImplicit", "LosslessJPEG")
KEPT: list[object] = []  # what is freed by the binding a second time


def new_ct(sections, data_type, kind):
    ct, day, clock = P.CT(), P.DcsDate(2025, 1, 2), P.DcsTime(3, 4, 5, 0)
    ct.SetFrameOfReferenceUID(P.DcsUniqueIdentifier("1.2.826.0.1.3680043.10.9999.1"))
    ct.SetImageAcquisitionDateAndTime(day, clock)
    ct.SetBurnedInAnnotation(False)
    ct.SetPhotometricInterpretation(P.CT.PHOTOMETRIC_INTERPRETATION.enumMonochrome2)
    ct.SetImageType(P.CT.OOI_IMAGE_CHARACTERISTICS.enumLowEnergy)
    ct.SetImageAcquisitionDuration(5)
    ct.SetContentDateAndTime(day, clock)
    ct.SetOOIID(P.DcsLongString("BAG0001"))
    ct.SetOOIIDAssigningAuthority(P.DcsLongString("AUTH"))
    ct.SetOOIIDType(P.TDR.OBJECT_OF_INSPECTION_ID_TYPE.enumRFID)
    ct.SetOOIType(P.CT.OBJECT_OF_INSPECTION_TYPE.enumTypeBaggage)
    ct.SetScanID(P.DcsShortString("SCAN1"))
    ct.SetScanStartDateAndTime(day, clock)
    ct.SetScanType(P.CT.SCAN_TYPE.enumOperational)
    ct.SetSeriesDateAndTime(day, clock)
    ct.SetSeriesAcquisitionStatus(P.GeneralSeriesModule.ACQUISITION_STATUS.enumSuccessful)
    ct.SetDeviceCalibrationDateAndTime(day, clock)
    ct.SetDeviceSerialNumber(P.DcsLongString("SN1"))
    ct.SetMachineAddress(P.DcsShortText("Address"))
    ct.SetMachineLocation(P.DcsLongString("Location"))
    ct.SetMachineID(P.DcsShortString("M1"))
    ct.SetDeviceManufacturer(P.DcsLongString("Manufacturer"))
    ct.SetDeviceManufacturerModelName(P.DcsLongString("Model"))
    ct.SetDeviceSoftwareVersion(P.DcsLongString("1.0"))
    ct.SetSopInstanceCreationDateAndTime(day, clock)
    ct.GenerateScanInstanceUID()
    ct.GenerateSeriesInstanceUID()
    ct.GenerateSopInstanceUID()
    ct.SetNumberOfSections(len(sections))
    {"standard": ct.SetStandard, "raw": ct.SetSDI, "corrected": ct.SetCDI}[kind]()
    values = []
    for index, (width, height, depth, z) in enumerate(sections):
        section, row, column = ct.GetSectionByIndex(index), P.Vector3Dfloat(), P.Vector3Dfloat()
        section.SetFilterMaterial(P.Section.FILTER_MATERIAL.enumAluminum)
        section.SetFocalSpotSizeInMM(1)
        section.SetKVP(160)
        row.Set(1, 0, 0)
        column.Set(0, 1, 0)
        section.SetPlaneOrientation(row, column)
        section.SetPositionInMM(10, 20, z)
        section.SetSpacingInMM(1, 2, 3)
        section.GetPixelData().Allocate(getattr(P.Volume.IMAGE_DATA_TYPE, data_type), width, height, depth)
        values.append(fill(section.GetPixelData(), data_type, (depth, height, width), index))
    return ct, values


def fill(volume, data_type, shape, index):
    """Fill a volume of 16 bits; returns its values as text. Others keep what was in their memory: Python gets copies of
    their planes."""
    if data_type != "enumUnsigned16Bit":
        return None
    values = (np.arange(np.prod(shape)).reshape(shape) * 3 + index).astype(np.uint16)
    volume.set_data(volume, values)
    return values.tobytes().hex()


def write_cts(folder):
    for data_type in P.Volume.IMAGE_DATA_TYPE.__members__:
        if data_type == "enumUndefinedDataType":
            continue
        kinds = ("standard", "raw", "corrected") if "16" in data_type else ("standard",)
        for kind in kinds:
            for syntax in SYNTAXES:
                yield f"ct_{data_type}_{kind}_{syntax}", [(5, 4, 3, 0)], data_type, kind, syntax
    for name, sections in {
        "equal": [(5, 4, 3, 0), (5, 4, 3, 100)], "contiguous": [(5, 4, 3, 0), (5, 4, 3, 9)],
        "longer": [(5, 4, 3, 0), (5, 4, 2, 100)], "unequal": [(5, 4, 3, 0), (6, 4, 2, 100)],
    }.items():  # fmt: skip
        yield f"ct_sections_{name}", sections, "enumUnsigned16Bit", "standard", "LittleEndianExplicit"


def write_ct(folder, name, sections, data_type, kind, syntax):
    ct, values = new_ct(sections, data_type, kind)
    log = P.ErrorLog()
    ok = ct.Write(P.Filename(f"{folder}/{name}.dcs"), log, getattr(P.CT.TRANSFER_SYNTAX, f"enum{syntax}"))
    shapes = [[depth, height, width] for width, height, depth, _ in sections]
    files = ct.GetNumberOfFilesToCreate()
    names = [f"{name}.dcs"] if files == 1 else [f"{name}{number:04}.dcs" for number in range(files)]
    return {"ok": ok, "log": log.GetErrorLog().Get(), "type": data_type, "kind": kind, "syntax": syntax,
            "values": values, "shapes": shapes, "positions": [z for *_, z in sections], "files": names}  # fmt: skip


def write_dx(folder, data_type):
    dx = P.DX()
    dx.Initialize(P.OBJECT_OF_INSPECTION_TYPE.enumTypeBaggage, P.PRESENTATION_INTENT_TYPE.enumProcessing)
    dx.SetKVP(160)
    dx.SetXRayTubeCurrent(2.5)
    image, log = dx.GetXRayData(), P.ErrorLog()
    image.Allocate(getattr(P.IMAGE_DATA_TYPE, data_type), 8, 6)
    values = None
    if data_type == "enumUnsigned16Bit":
        plane = image.GetUnsigned16()
        for y in range(6):
            for x in range(8):
                plane.Set(x, y, 8 * y + x)
        values = np.arange(48, dtype=np.uint16).tobytes().hex()
    name = f"dx_{data_type}.dcs"
    ok = dx.Write(P.Filename(f"{folder}/{name}"), log, P.TRANSFER_SYNTAX.enumLittleEndianExplicit)
    return {"ok": ok, "log": log.GetErrorLog().Get(), "type": data_type, "values": [values], "files": [name]}


def read(kind, path):
    thing, log = P.CT() if kind == "ct" else P.DX(), P.ErrorLog()
    ok = thing.Read(P.Filename(path), log, None)
    found = {"ok": ok, "log": log.GetErrorLog().Get(), "sections": []}
    if kind == "dx" and ok:
        image = thing.GetXRayData()
        name = image.GetImageDataType().name
        getter = getattr(image, PLANES[name])() if name in PLANES else None
        values = None if getter is None else np.array(getter).tobytes().hex()
        found["sections"].append({"type": name, "shape": [image.GetHeight(), image.GetWidth()], "values": values})
    if kind == "ct":
        for index in range(thing.GetNumberOfSections()):
            found["sections"].append(section_of(thing.GetSectionByIndex(index)))
    return found


def section_of(section):
    volume, name = section.GetPixelData(), section.GetPixelDataType().name
    planes = getattr(volume, PLANES[name])() if name in PLANES else None
    depth = volume.GetDepth()
    held = [] if planes is None else [planes[z] for z in range(depth)]
    KEPT.extend([planes, held])
    values = np.array([np.array(plane) for plane in held]).tobytes().hex() if held else None
    position = [section.GetXPosition(), section.GetYPosition(), section.GetZPosition()]
    spacing = [section.GetColumnSpacing(), section.GetRowSpacing(), section.GetSliceSpacing()]
    shape = [depth, section.GetHeight(), section.GetWidth()]
    return {"type": name, "shape": shape, "position": position, "spacing": spacing, "values": values}


def apart(function, *given):
    """Call a function in a process of its own; print what it returns."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, json.dumps(function(*given)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    status = os.wait()[1]
    print(said.decode() if said else json.dumps({"ok": False, "log": f"it ended with {status}", "sections": []}))


if sys.argv[1] == "write":
    for each in write_cts(sys.argv[2]):
        apart(write_ct, sys.argv[2], *each)
    for each in ("enumUnsigned16Bit", "enumUnsigned32Bit", "enumFloat"):
        apart(write_dx, sys.argv[2], each)
else:
    for argument in sys.argv[2:]:
        apart(read, *argument.split(":", 1))

"""Run by the interpreter that has pyDICOS: writes its objects, or reads files and writes them in another syntax.

pydicos_objects.py make FOLDER        every kind of CT in every transfer syntax, as FOLDER/KIND_SYNTAX.dcs
pydicos_objects.py again SYNTAX FROM TO [FROM TO ...]    reads each file and writes it in SYNTAX; prints its log
"""

import sys
from pathlib import Path

import numpy as np
import pyDICOS as P  # type: ignore[import-not-found]

KINDS = ("Unsigned8Bit", "Signed8Bit", "Unsigned16Bit", "Signed16Bit", "Unsigned32Bit", "Unsigned64Bit", "Float")
SYNTAXES = ("LittleEndianExplicit", "LittleEndianExplicitExtended", "LittleEndianImplicit", "LosslessJPEG",
            "LosslessRLE")  # fmt: skip
SHAPE = (16, 12, 5)


def ct(kind):  # type: ignore[no-untyped-def]
    made, date, time = P.CT(), P.DcsDate(2025, 1, 2), P.DcsTime(3, 4, 5, 0)
    made.SetFrameOfReferenceUID(P.DcsUniqueIdentifier("1.2.826.0.1.3680043.10.9999.1"))
    made.SetImageAcquisitionDateAndTime(date, time)
    made.SetBurnedInAnnotation(False)
    made.SetPhotometricInterpretation(P.CT.PHOTOMETRIC_INTERPRETATION.enumMonochrome2)
    made.SetImageType(P.CT.OOI_IMAGE_CHARACTERISTICS.enumHighEnergy)
    made.SetImageAcquisitionDuration(5000)
    made.SetContentDateAndTime(date, time)
    made.SetOOIID(P.DcsLongString("BAG0001"))
    made.SetOOIIDAssigningAuthority(P.DcsLongString("AUTH"))
    made.SetOOIIDType(P.TDR.OBJECT_OF_INSPECTION_ID_TYPE.enumRFID)
    made.SetOOIType(P.CT.OBJECT_OF_INSPECTION_TYPE.enumTypeBaggage)
    made.SetScanID(P.DcsShortString("SCAN1"))
    made.GenerateScanInstanceUID()
    made.SetScanStartDateAndTime(date, time)
    made.SetScanType(P.CT.SCAN_TYPE.enumOperational)
    made.GenerateSeriesInstanceUID()
    made.SetSeriesDateAndTime(date, time)
    made.SetSeriesAcquisitionStatus(P.GeneralSeriesModule.ACQUISITION_STATUS.enumSuccessful)
    made.SetDeviceCalibrationDateAndTime(date, time)
    for name, value in (("DeviceSerialNumber", "SN1"), ("MachineLocation", "Loc"), ("DeviceManufacturer", "Manu"),
                        ("DeviceManufacturerModelName", "Model"), ("DeviceSoftwareVersion", "1.0")):  # fmt: skip
        getattr(made, "Set" + name)(P.DcsLongString(value))
    made.SetMachineAddress(P.DcsShortText("Addr"))
    made.SetMachineID(P.DcsShortString("M1"))
    made.SetSopInstanceCreationDateAndTime(date, time)
    made.GenerateSopInstanceUID()
    made.SetNumberOfSections(1)
    section = made.GetSectionByIndex(0)
    section.SetFilterMaterial(P.Section.FILTER_MATERIAL.enumAluminum)
    section.SetFocalSpotSizeInMM(10)
    section.SetKVP(7000)
    row, column = P.Vector3Dfloat(), P.Vector3Dfloat()
    row.Set(1, 0, 0)
    column.Set(0, 1, 0)
    section.SetPlaneOrientation(row, column)
    section.SetPositionInMM(0, 0, 2000)
    section.SetSpacingInMM(1, 1, 1)
    volume = section.GetPixelData()
    volume.Allocate(getattr(P.Volume.IMAGE_DATA_TYPE, "enum" + kind), *SHAPE)  # the others keep what their memory has
    if kind == "Unsigned16Bit":
        volume.set_data(
            volume, (np.arange(960, dtype=np.uint32) ** 2 * 7 % 65536).astype(np.uint16).reshape(SHAPE[::-1])
        )
    return made


def write(made, path, syntax):  # type: ignore[no-untyped-def]
    log = P.ErrorLog()
    done = made.Write(P.Filename(path), log, getattr(P.CT.TRANSFER_SYNTAX, "enum" + syntax))
    print(done, log.GetErrorLog().Get())


if sys.argv[1] == "make":
    for kind in KINDS:
        made = ct(kind)
        for syntax in SYNTAXES:
            write(made, str(Path(sys.argv[2]) / f"{kind}_{syntax}.dcs"), syntax)
else:
    for source, target in zip(sys.argv[3::2], sys.argv[4::2]):  # noqa: B905
        made, log = P.CT(), P.ErrorLog()
        print(made.Read(P.Filename(source), log, None), log.GetErrorLog().Get())
        write(made, target, sys.argv[2])

"""Run by the interpreter that has pyDICOS: its client as a scanner. Prints one JSON object a line.

pydicos_scanner.py PORT FOLDER PLAN

PLAN is JSON. `scans`: each {"type", "kind", "sections": [[width, height, depth], ...], "seed"}. Every one is written to
FOLDER/NUMBER-.dcs in `syntax`, or if it becomes several files to NUMBER-0000.dcs and so on; its volumes, if they have 16
bits without sign, to FOLDER/NUMBER_SECTION.npy. Then it is sent. `sop`: the flags to associate with; `echo`: ask for an
echo, too. `compress`: True, False, or nothing for its default. `user`, `passcode`, `source`, `destination`, `ssl`,
`apart` (each scan by a call that makes its own connection), `alone` (an echo by such a call). `tdr`: write a report to
FOLDER/tdr.dcs, and end.
"""

import json
import sys
import time

import numpy as np
import pyDICOS as P  # type: ignore[import-not-found]

PORT, FOLDER, PLAN = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
DATE, TIME = P.DcsDate(2025, 1, 2), P.DcsTime(3, 4, 5, 0)


def tell(what, **values):  # type: ignore[no-untyped-def]
    print(json.dumps({"what": what, **values}), flush=True)


def ct(scan):  # type: ignore[no-untyped-def]
    made = P.CT()
    getattr(made, "Set" + scan.get("kind", "Standard"))()
    made.SetFrameOfReferenceUID(P.DcsUniqueIdentifier("1.2.826.0.1.3680043.10.9999.1"))
    made.SetImageAcquisitionDateAndTime(DATE, TIME)
    made.SetBurnedInAnnotation(False)
    made.SetPhotometricInterpretation(P.CT.PHOTOMETRIC_INTERPRETATION.enumMonochrome2)
    made.SetImageType(P.CT.OOI_IMAGE_CHARACTERISTICS.enumHighEnergy)
    made.SetImageAcquisitionDuration(5000)
    made.SetContentDateAndTime(DATE, TIME)
    made.SetOOIID(P.DcsLongString("BAG0001"))
    made.SetOOIIDAssigningAuthority(P.DcsLongString("AUTH"))
    made.SetOOIIDType(P.TDR.OBJECT_OF_INSPECTION_ID_TYPE.enumRFID)
    made.SetOOIType(P.CT.OBJECT_OF_INSPECTION_TYPE.enumTypeBaggage)
    made.SetScanID(P.DcsShortString("SCAN1"))
    made.GenerateScanInstanceUID()
    made.SetScanStartDateAndTime(DATE, TIME)
    made.SetScanType(P.CT.SCAN_TYPE.enumOperational)
    made.GenerateSeriesInstanceUID()
    made.SetSeriesDateAndTime(DATE, TIME)
    made.SetSeriesAcquisitionStatus(P.GeneralSeriesModule.ACQUISITION_STATUS.enumSuccessful)
    made.SetDeviceCalibrationDateAndTime(DATE, TIME)
    for name, value in (("DeviceSerialNumber", "SN1"), ("MachineLocation", "Loc"), ("DeviceManufacturer", "Manu"),
                        ("DeviceManufacturerModelName", "Model"), ("DeviceSoftwareVersion", "1.0")):  # fmt: skip
        getattr(made, "Set" + name)(P.DcsLongString(value))
    made.SetMachineAddress(P.DcsShortText("Addr"))
    made.SetMachineID(P.DcsShortString("M1"))
    made.SetSopInstanceCreationDateAndTime(DATE, TIME)
    made.GenerateSopInstanceUID()
    made.SetNumberOfSections(len(scan["sections"]))
    return made


def fill(made, scan, number):  # type: ignore[no-untyped-def]
    """Volumes of 16 bits have random voxels. Others cannot be set from Python: they have what is in the memory."""
    random, kind = np.random.default_rng(scan.get("seed", 1)), scan.get("type", "Unsigned16Bit")
    for index, (width, height, depth) in enumerate(scan["sections"]):
        section = made.GetSectionByIndex(index)
        section.SetFilterMaterial(P.Section.FILTER_MATERIAL.enumAluminum)
        section.SetFocalSpotSizeInMM(10)
        section.SetKVP(7000)
        row, column = P.Vector3Dfloat(), P.Vector3Dfloat()
        row.Set(1, 0, 0)
        column.Set(0, 1, 0)
        section.SetPlaneOrientation(row, column)
        section.SetPositionInMM(0, 0, 2000 + index)
        section.SetSpacingInMM(1, 1, 1)
        volume = section.GetPixelData()
        volume.Allocate(getattr(P.Volume.IMAGE_DATA_TYPE, "enum" + kind), width, height, depth)
        if kind == "Unsigned16Bit":
            array = random.integers(0, 65536, (depth, height, width), np.uint16)
            volume.set_data(volume, array)
            np.save(f"{FOLDER}/{number}_{index}.npy", array)


def tdr():  # type: ignore[no-untyped-def]
    """Its loader cannot set bounding polygons, and its `set_data` cannot set what is set here by hand."""
    import copy

    from pydicos import TDR_DATA_TEMPLATE, TDRLoader  # type: ignore[import-not-found]

    made, data = TDRLoader(), copy.deepcopy(TDR_DATA_TEMPLATE)
    now = {"date": (2025, 1, 2), "time": (3, 4, 5, 0)}
    for name, text in (("OOIIDAssigningAuthority", "AUTH"), ("DeviceManufacturer", "Manu"), ("MachineLocation", "Loc"),
                       ("DeviceManufacturerModelName", "Model"), ("DeviceSerialNumber", "SN1"),
                       ("DeviceSoftwareVersion", "1.0")):  # fmt: skip
        getattr(made, "Set" + name)(P.DcsLongString(text))
    made.SetMachineAddress(P.DcsShortText("Addr"))
    for name in ("MachineID", "ScanID"):
        getattr(made, "Set" + name)(P.DcsShortString("M1"))
    for name in ("ScanStart", "Series", "DeviceCalibration", "SopInstanceCreation"):
        getattr(made, f"Set{name}DateAndTime")(DATE, TIME)
    made.SetOOIIDType(P.TDR.OBJECT_OF_INSPECTION_ID_TYPE.enumRFID)
    made.SetSeriesInstanceUID(P.DcsUniqueIdentifier("1.2.826.0.1.3680043.10.9999.2"))
    made.SetSeriesAcquisitionStatus(P.GeneralSeriesModule.ACQUISITION_STATUS.enumSuccessful)
    made.SetAbortFlag(P.TDR.ABORT_FLAG.enumSuccess)
    made.GenerateSopInstanceUID()
    data.update(
        InstanceNumber=1, InstanceUID="1.2.826.0.1.3680043.10.9999.7", OOIID="BAG0001", ContentDateAndTime=now,
        ProcessingTime=100, ScanType=P.CT.SCAN_TYPE.enumOperational, AlarmDecision=P.TDR.ALARM_DECISION.enumAlarm,
        AlarmDecisionDateTime=now, ImageScaleRepresentation=1.0,
        ATR={"manufacturer": "Manu", "version": "1", "parameters": {"a": "b"}},
    )  # fmt: skip
    (threat,) = data["PTOs"]
    del threat["Polygon"]
    threat.update(
        Base={"z": 1, "y": 1, "x": 1}, Extent={"z": 2, "y": 3, "x": 4}, Bitmap=np.ones((2, 3, 4), np.uint16), ID=1,
        ReferencedInstance={"SopClassUID": "1.2.840.10008.5.1.4.1.1.501.1",
                            "SopInstanceUID": "1.2.826.0.1.3680043.10.9999.8"},
        PTOProcessingTime={"ProcessingStartTime": now, "ProcessingEndTime": now, "fTotalTimeMS": 5},
    )  # fmt: skip
    threat["Assessment"].update(flag=P.TDR.ASSESSMENT_FLAG.enumThreat, probability=0.5, description="x")
    made.set_data(data)
    made.SetBaggagePTODetails(1, 1.0, 1.0, 0)
    made.write(f"{FOLDER}/tdr.dcs")


def client():  # type: ignore[no-untyped-def]
    made = P.DcsClient()
    made.SetServerPortandIP(PORT, P.DcsString("127.0.0.1"))
    made.SetSourceApplication(P.DcsApplicationEntity(PLAN.get("source", "CT_SCANNER_1")))
    made.SetDestinationApplication(P.DcsApplicationEntity(PLAN.get("destination", "CENTRAL_SERVER")))
    if PLAN.get("compress") is True:
        made.PrioritizeDataCompression(True)
    if PLAN.get("compress") is False:
        made.DisableDataCompression()
    if "passcode" in PLAN:
        made.SetPasscodeAndUserName(P.DcsString(PLAN["passcode"]), P.DcsString(PLAN["user"]))
    elif "user" in PLAN:
        made.SetUserName(P.DcsString(PLAN["user"]))
    if PLAN.get("ssl"):
        made.EnableSsl(True)
    return made


def text(log):  # type: ignore[no-untyped-def]
    return log.GetErrorLog().Get()


if PLAN.get("tdr"):
    tdr()
    tell("written", done=True, log="", files=1, sop="")
    sys.exit()
scans = []
for number, scan in enumerate(PLAN.get("scans", [])):
    made = ct(scan)
    fill(made, scan, number)
    log = P.ErrorLog()
    done = made.Write(P.Filename(f"{FOLDER}/{number}-.dcs"), log, getattr(P.CT.TRANSFER_SYNTAX, "enum" + PLAN["syntax"]))
    tell("written", done=done, log=text(log), files=made.GetNumberOfFilesToCreate(), sop=made.GetSopClassUID().Get())
    scans.append(made)

if PLAN.get("apart"):
    for made in scans:
        log, began = P.ErrorLog(), time.perf_counter()
        done = made.SendOverNetwork(
            PORT, P.DcsString("127.0.0.1"), P.DcsApplicationEntity("CT_SCANNER_1"),
            P.DcsApplicationEntity("CENTRAL_SERVER"), log, P.DcsString(PLAN.get("user", "")),
            P.DcsString(PLAN.get("passcode", "")),
        )  # fmt: skip
        tell("sent", done=done, log=text(log), seconds=time.perf_counter() - began)
    sys.exit()

user = client()
if PLAN.get("alone"):  # an echo that makes its own connection
    done = user.Echo()
    tell("echo", done=done, log=text(user.GetErrorLog()))
    sys.exit()
done = user.ConnectToServer()
tell("connected", done=done, log="" if done else text(user.GetErrorLog()), ssl=user.IsUsingSsl())
if done:
    flags = 0
    for name in PLAN.get("sop", "CT").split("|"):
        flags |= int(getattr(P.DcsClient.SOPCLASSUID, "enumSop" + name))
    done = user.StartDicosSession(flags)
    tell("session", done=done, log=text(user.GetErrorLog()), ct=user.CanSendCT())
if done:
    if PLAN.get("echo"):
        tell("echo", done=user.Echo(), log=text(user.GetErrorLog()))
    for made in scans:
        log, began = P.ErrorLog(), time.perf_counter()
        done = made.SendOverNetwork(user, log)
        tell("sent", done=done, log=text(log), seconds=time.perf_counter() - began)
    tell("stopped", done=user.StopDicosSession())
user.DisconnectFromServer()

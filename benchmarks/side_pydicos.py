"""One end of the benchmark of DICOS volumes with pyDICOS. Run by the interpreter that has it, without this package.

side_pydicos.py scanner|receiver PORT FRAMES

It prints what `side_dicos` does. Its receiver cannot hand what it receives to Python: it prints its peak on SIGTERM.
"""

import json
import signal
import sys
import time

import numpy as np
import pyDICOS as P  # type: ignore[import-not-found]

PORT, FRAMES = int(sys.argv[2]), int(sys.argv[3])


def high_water():  # type: ignore[no-untyped-def]
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


STARTED = [0.0]


def start():  # type: ignore[no-untyped-def]
    STARTED[0] = time.process_time()
    return high_water()


def tell(**values):  # type: ignore[no-untyped-def]
    print(json.dumps({**values, "cpu": time.process_time() - STARTED[0], "peak": high_water()}), flush=True)


def receiver():  # type: ignore[no-untyped-def]
    base = start()
    server = P.DcsServer()
    server.SetIP(P.DcsString("127.0.0.1"))
    server.SetPort(PORT)
    server.SetApplicationName(P.DcsApplicationEntity("RECEIVER"))
    server.DisableDataCompression()
    callback = P.DataProcessingMultipleConnections()
    signal.signal(signal.SIGTERM, lambda *_: (tell(at=time.monotonic(), base=base), sys.exit()))
    if not server.StartListening(callback, None, P.RETRIEVE_METHOD.enumMethodUserAPI, False):
        sys.exit("does not listen")
    while not server.IsActivelyAcceptingConnections():
        time.sleep(0.02)
    print("ready", flush=True)
    base = start()
    while True:
        time.sleep(0.1)


def scanner():  # type: ignore[no-untyped-def]
    array = np.empty((FRAMES, 512, 512), np.uint16)
    array[:] = np.arange(FRAMES, dtype=np.uint16)[:, None, None]
    array += np.arange(512, dtype=np.uint16)
    base, began = start(), time.monotonic()
    made, date, moment = P.CT(), P.DcsDate(2025, 1, 2), P.DcsTime(3, 4, 5, 0)
    made.SetFrameOfReferenceUID(P.DcsUniqueIdentifier("1.2.826.0.1.3680043.10.9999.1"))
    for name in ("ImageAcquisition", "Content", "ScanStart", "Series", "DeviceCalibration", "SopInstanceCreation"):
        getattr(made, f"Set{name}DateAndTime")(date, moment)
    made.SetBurnedInAnnotation(False)
    made.SetPhotometricInterpretation(P.CT.PHOTOMETRIC_INTERPRETATION.enumMonochrome2)
    made.SetImageType(P.CT.OOI_IMAGE_CHARACTERISTICS.enumHighEnergy)
    made.SetImageAcquisitionDuration(5000)
    for name in ("OOIID", "OOIIDAssigningAuthority", "DeviceSerialNumber", "MachineLocation", "DeviceManufacturer",
                 "DeviceManufacturerModelName", "DeviceSoftwareVersion"):  # fmt: skip
        getattr(made, "Set" + name)(P.DcsLongString("X1"))
    made.SetOOIIDType(P.TDR.OBJECT_OF_INSPECTION_ID_TYPE.enumRFID)
    made.SetOOIType(P.CT.OBJECT_OF_INSPECTION_TYPE.enumTypeBaggage)
    made.SetScanID(P.DcsShortString("SCAN1"))
    made.SetMachineID(P.DcsShortString("M1"))
    made.SetMachineAddress(P.DcsShortText("Addr"))
    made.SetScanType(P.CT.SCAN_TYPE.enumOperational)
    made.SetSeriesAcquisitionStatus(P.GeneralSeriesModule.ACQUISITION_STATUS.enumSuccessful)
    for name in ("Scan", "Series", "Sop"):
        getattr(made, f"Generate{name}InstanceUID")()
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
    volume.Allocate(P.Volume.IMAGE_DATA_TYPE.enumUnsigned16Bit, 512, 512, FRAMES)
    volume.set_data(volume, array)
    client = P.DcsClient()
    client.SetServerPortandIP(PORT, P.DcsString("127.0.0.1"))
    client.SetSourceApplication(P.DcsApplicationEntity("SCANNER"))
    client.SetDestinationApplication(P.DcsApplicationEntity("RECEIVER"))
    client.DisableDataCompression()
    log = P.ErrorLog()
    done = client.ConnectToServer() and client.StartDicosSession(int(P.DcsClient.SOPCLASSUID.enumSopCT))
    if not (done and made.SendOverNetwork(client, log)):
        sys.exit(f"not sent: {log.GetErrorLog().Get()}")
    client.StopDicosSession()
    client.DisconnectFromServer()
    tell(at=began, seconds=time.monotonic() - began, base=base)


receiver() if sys.argv[1] == "receiver" else scanner()

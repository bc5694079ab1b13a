"""Runs under pyDICOS' own interpreter: reads reports, and writes some of its own.

    python pydicos_reports.py read FILE...      one line of JSON for each: what it read, and its error log
    python pydicos_reports.py write FOLDER      loader.dcs by TDRLoader.set_data, generated.dcs by CTLoader.generate_tdr

Both reports that it writes have a threat of 5 x 3 x 2 voxels (x, y, z), the first of which is (10, 20, 30), in which
(1, 0, 0), (0, 1, 0) and (4, 2, 1) are set.
"""

import json
import sys

import numpy as np
import pyDICOS as P
from pydicos import CTLoader, TDRLoader

WHEN = {"date": (2026, 1, 2), "time": (3, 4, 5, 6)}
REPORT = {
    "InstanceNumber": 1, "ContentDateAndTime": WHEN, "ProcessingTime": 5.0,
    "ScanType": P.SCAN_TYPE.enumOperational, "AlarmDecision": P.ALARM_DECISION.enumAlarm,
    "AlarmDecisionDateTime": WHEN, "ImageScaleRepresentation": 1.0,
    "ATR": {"manufacturer": "M", "version": "1", "parameters": {"a": "b"}},
}  # fmt: skip
VOXELS = ((1, 0, 0), (0, 1, 0), (4, 2, 1))


def threat(bitmap, **more):
    return {
        "Base": {"x": 10, "y": 20, "z": 30}, "Extent": {"x": 5, "y": 3, "z": 2}, "Bitmap": bitmap, "ID": 7,
        "Assessment": {
            "flag": P.ASSESSMENT_FLAG.enumThreat, "category": P.THREAT_CATEGORY.enumExplosive,
            "ability": P.ABILITY_ASSESSMENT.enumNoInterference, "description": "d", "probability": 0.75,
        },
        "ReferencedInstance": {"SopClassUID": "1.2.840.10008.5.1.4.1.1.501.1", "SopInstanceUID": "1.2.3.4"},
        "PTOProcessingTime": {"ProcessingStartTime": WHEN, "ProcessingEndTime": WHEN, "fTotalTimeMS": 1000},
        **more,
    }  # fmt: skip


def write(folder):
    by_loader, by_ct = np.zeros((2, 3, 5), np.uint8), np.zeros((5, 3, 2), np.uint8)
    for x, y, z in VOXELS:
        by_loader[z, y, x] = by_ct[x, y, z] = 1
    report = TDRLoader()
    report.SetOOIIDType(P.OBJECT_OF_INSPECTION_ID_TYPE.enumRFID)
    report.set_data({
        **REPORT, "InstanceUID": "1.2.3", "OOIID": "BAG", "TDRType": P.TDR_TYPE.enumMachine,
        "OOIType": P.OBJECT_OF_INSPECTION_TYPE.enumTypeBaggage, "PTOs": [threat(by_loader)],
    })  # fmt: skip
    assert report.SetBaggagePTODetails(7, 50.0, 1.25, 0)
    report.write(f"{folder}/loader.dcs")
    ct = CTLoader()
    ct.set_data([np.zeros((40, 30, 20), np.uint16)])
    ct.SetOOIType(P.OBJECT_OF_INSPECTION_TYPE.enumTypeBaggage)
    ct.SetOOIID(P.DcsLongString("BAG"))
    ct.SetOOIIDType(P.OBJECT_OF_INSPECTION_ID_TYPE.enumRFID)
    ct.SetScanInstanceUID(P.DcsUniqueIdentifier("1.2.3"))
    ct.SetSeriesInstanceUID(P.DcsUniqueIdentifier("1.2.9"))
    ct.SetFrameOfReferenceUID(P.DcsUniqueIdentifier("1.2.10"))
    polygon = [{"x": 1.0, "y": 2.0, "z": 3.0}, {"x": 4.0, "y": 5.0, "z": 6.0}]
    report = ct.generate_tdr({**REPORT, "PTOs": [threat(by_ct, Polygon=polygon)]})
    assert report.SetBaggagePTODetails(7, 50.0, 1.25, 0)
    report.write(f"{folder}/generated.dcs")


def plain(value):
    if isinstance(value, np.ndarray):
        return np.argwhere(value).tolist()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value if isinstance(value, (int, float, str)) else str(value)


def read(path):
    log, report = P.ErrorLog(), P.TDR()
    ok = report.Read(P.Filename(path), log, None)
    data = TDRLoader(path).get_data() if ok else {}
    return {"ok": ok, "log": log.GetErrorLog().Get(), "alarms": report.GetNumAlarmObjects(), "data": plain(data)}


if sys.argv[1] == "write":
    write(sys.argv[2])
else:
    for name in sys.argv[2:]:
        print(json.dumps(read(name)))

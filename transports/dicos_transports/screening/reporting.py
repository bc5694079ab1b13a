"""interim"""
from __future__ import annotations
import os, uuid
from pathlib import Path
from pydicom.dataset import Dataset, FileMetaDataset
import pydicom

def _uid(): return f"2.25.{uuid.uuid4().int}"

def _tdr(scan, decision, kind, **more):
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.501.3"; ds.SOPInstanceUID = _uid()
    ds.PatientID = scan.get("PatientID", ""); ds.AlarmDecision = decision; ds.TDRType = kind
    for k, v in more.items(): setattr(ds, k, v)
    return ds

def _write(ds, path):
    meta = FileMetaDataset(); meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID; meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta = meta
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)

def machine(scan, threats, out, algorithm, begun, ended):
    ds = _tdr(scan.dataset, "ALARM" if threats else "CLEAR", "MACHINE")
    _write(ds, out)
    return {"sop_instance": ds.SOPInstanceUID, "decision": ds.AlarmDecision, "threats": [{"category": t.category, "probability": t.probability} for t in threats]}

def abort(scan, header, out, algorithm):
    ds = _tdr({}, "UNKNOWN", "MACHINE", AbortFlag="ABORT")
    _write(ds, out)
    return {"sop_instance": ds.SOPInstanceUID, "decision": "UNKNOWN", "threats": []}

def operate(scan, out, machine, decision, operator):
    ds = _tdr(scan.dataset, decision, "OPERATOR")
    _write(ds, out)
    return {"sop_instance": ds.SOPInstanceUID, "decision": decision, "threats": []}

def draw(scan, report, out):
    from PIL import Image
    import numpy as np
    v = scan.volume
    Image.fromarray((v.max(0) / max(1, v.max()) * 255).astype(np.uint8)).save(out, "PNG")
    return {}

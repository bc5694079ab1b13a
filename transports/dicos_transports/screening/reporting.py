"""Reports and pictures of scans, in files: the work of the helper processes.

Knows: objects of DICOS, how they are drawn. Must not know: the index, recognisers. Invariants: a file is on disk before
its maker answers; a scan that cannot be read still gets a report.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset

from dicos_proto.data import encode
from dicos_proto.dicos import TDR, DicosError, DicosObject, view
from dicos_proto.dicos.regions import Region
from dicos_proto.dicos.tdr import Algorithm, Operator
from dicos_proto.dicos.threats import Assessment, Representation, Threat
from dicos_proto.registry import uids

from ..dicos import read_file, stamp
from ..files.part10 import Part10Error
from ..files.writer import file_header
from ..pictures import Scan as Pictured
from ..pictures import picture
from ..pictures.words import CATEGORY_NAMES
from .scan import CannotRecognise, Scan

__all__ = ["abort", "draw", "machine", "operate"]

LISTED: Final = 20
"""Threats whose words go into the index."""
LONGEST: Final = 64
"""Characters of a text in a LO."""


def machine(scan: Scan, threats: Sequence[Threat], out: Path, name: str, begun: float, ended: float) -> dict[str, Any]:
    """Writes the report of a recogniser. `name`: of the recogniser; `begun`, `ended`: when it worked, in seconds."""
    for one in threats:
        if not isinstance(one, Threat):
            raise TypeError(f"a recogniser returns threats, not {type(one).__name__}")
    made = TDR.new(
        view(scan.heading),
        threats,
        stamp=stamp(),
        algorithm=Algorithm(manufacturer="dicos-proto", version=_short(name)),
        processing_ms=1000 * (ended - begun),
    )
    return _written(made, out)


def abort(scan: Path, header: dict[str, str], out: Path, name: str, reason: str) -> dict[str, Any]:
    """Writes the report of a scan that was not recognised. `header`: what is known if its file cannot be read."""
    try:
        scanned = view(Scan(scan).heading)
    except Part10Error:
        scanned = _bare(header)
    made = TDR.new(
        scanned, stamp=stamp(), abort=reason, algorithm=Algorithm(manufacturer="dicos-proto", version=_short(name))
    )
    return _written(made, out)


def operate(
    scan: Path, header: dict[str, str], out: Path, machine: Path, decision: str, operator: str
) -> dict[str, Any]:
    """Writes the report of an operator on what the report `machine` says."""
    try:
        scanned = view(Scan(scan).heading)
    except Part10Error:
        scanned = _bare(header)
    said = read_file(machine)
    threats = said.threats if isinstance(said, TDR) else []
    flag = "THREAT" if decision == "ALARM" else "NO_THREAT"
    judged = [
        replace(one, assessments=tuple(replace(other, flag=flag) for other in one.assessments or (Assessment(),)))
        for one in threats
    ]
    if decision == "ALARM" and not judged:
        judged = [_somewhere(Scan(scan))]
    made = TDR.new(scanned, judged, stamp=stamp(), kind="operator", decision=decision, operator=Operator(id=operator))
    return _written(made, out)


def draw(scan: Path, report: Path | None, out: Path) -> dict[str, Any]:
    """Draws a scan with the threats of a report."""
    reports = [] if report is None else [read_file(report)]
    image = picture(Pictured.read(scan), [one for one in reports if isinstance(one, TDR)])
    image.save(out, "PNG")
    _sync(out)
    return {"width": image.width, "height": image.height}


def _somewhere(scan: Scan) -> Threat:
    """A threat anywhere in a scan: an operator sees what no recogniser has marked."""
    region = None
    with suppress(Part10Error, CannotRecognise, DicosError):
        z, y, x = scan.shape
        region = Region(base=(0.0, 0.0, 0.0), extents=(float(x), float(y), float(z)))
    return Threat(
        assessments=(Assessment(category="ANOMALY", flag="THREAT", description="marked by the operator"),),
        representations=(Representation(region=region),),
    )


def _bare(header: dict[str, str]) -> DicosObject:
    """A scanned object that has only its identity."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = header["sop_class"], header["sop_instance"]
    dataset.PatientID = header["ooi_id"]
    return view(dataset)


def _written(report: TDR, out: Path) -> dict[str, Any]:
    dataset = report.dataset
    header = file_header(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), uids.EXPLICIT_VR_LE)
    with out.open("xb") as file:
        file.write(header)
        file.write(encode(dataset, uids.EXPLICIT_VR_LE))
        file.flush()
        os.fsync(file.fileno())
    return {
        "sop_instance": str(dataset.SOPInstanceUID),
        "decision": report.decision or "UNKNOWN",
        "threats": [_summary(one) for one in report.threats[:LISTED]],
    }


def _summary(threat: Threat) -> dict[str, Any]:
    """A threat as the page names it."""
    told = threat.assessments[0] if threat.assessments else Assessment()
    measured = [
        f"{value:.{digits}f} {unit}"
        for shown in threat.representations[:1]
        for value, digits, unit in ((shown.density, 2, "g/cm3"), (shown.volume, 0, "cm3"))
        if value is not None
    ]
    words = ", ".join(filter(None, (told.description, *measured)))
    category = CATEGORY_NAMES.get(told.category, told.category)
    label = f"{category}: {words}" if words else category
    return {"category": told.category, "label": label, "flag": told.flag, "probability": told.probability}


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _short(name: str) -> str:
    return "".join(one if one.isprintable() and one != "\\" else "_" for one in name)[:LONGEST]

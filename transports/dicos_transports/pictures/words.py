"""Scans and reports in words. The OOI ID is the only thing in them about a passenger.

Knows: scans and reports. Must not know: Pillow.
"""

from __future__ import annotations

from collections.abc import Iterator

from dicos_proto.dicos.common import UNKNOWN
from dicos_proto.dicos.errors import DicosError
from dicos_proto.dicos.regions import Axes
from dicos_proto.dicos.tdr import TDR
from dicos_proto.dicos.threats import Representation, Threat
from dicos_proto.registry import uids

from .scans import Scan

__all__ = ["described", "details", "named", "of_report", "of_scan", "reported"]

CATEGORY_NAMES = {"PI": "PROHIBITED ITEM"}
MOST_THREATS = 1000
"""Threats of a report that are listed."""


def of_scan(scan: Scan) -> list[tuple[str, str]]:
    """Returns lines on a scan, each with its heading."""
    layout = scan.layout
    _, size, when, machine = described(scan)
    lines = [
        ("object", uids.name_of(scan.reference.sop_class_uid)),
        ("OOI ID", scan.text(0x00100020)),
        ("scan", ", ".join(one for one in (when, scan.text(0x40101048), scan.text(0x40101044)) if one)),
        ("machine", machine),
        ("pixels", f"{size}, {layout.dtype.newbyteorder('=').name}"),
        ("values", scan.unit),
        *(("note", one) for one in scan.notes),
    ]
    return [line for line in lines if line[1]]


def described(scan: Scan) -> tuple[str, str, str, str]:
    """Returns what a scan is, in words: kind, size, time, machine. Each may be empty, except the first two."""
    layout, (x, y, z) = scan.layout, scan.geometry.spacing
    size, each = f"{layout.columns} x {layout.rows} pixels", f" of {x:.4g} x {y:.4g} mm"
    if scan.is_volume:
        size, each = f"{layout.columns} x {layout.rows} x {layout.frames} voxels", f"{each[:-3]} x {z:.4g} mm"
    size += each if scan.has_spacing else ", of unknown size"
    day, clock = scan.text(0x00080020), scan.text(0x00080030).ljust(6, "0")
    when = ""
    if len(day) == 8 and day.isdecimal():
        when = f"{day[:4]}-{day[4:6]}-{day[6:]} {clock[:2]}:{clock[2:4]}:{clock[4:6]}"
    machine = " ".join(one for one in (scan.text(0x00080070), scan.text(0x00081090)) if one and one != UNKNOWN)
    return scan.modality or "image", size, when, machine


def of_report(report: TDR, axes: Axes = Axes.XYZ) -> list[tuple[str, str]]:
    """Returns lines on a report, each with its heading. Raises `DicosError` for values that cannot be read."""
    threats = report.read_threats(axes)
    decision = report.decision or "none"
    if report.aborted:
        decision += ", aborted"
    lines = [
        ("object", uids.name_of(report.sop_class_uid)),
        ("OOI ID", report.ooi_id or ""),
        ("report", ", ".join(reported(report))),
        ("decision", f"{decision}; {report.alarm_objects or 0} of {report.total_objects or 0} objects alarm"),
        *((f"threat {one.id}", f"{named(one, number=False)}: {whole(one)}") for one in threats[:MOST_THREATS]),
    ]
    if len(threats) > MOST_THREATS:
        lines.append(("threats", f"{len(threats) - MOST_THREATS} more"))
    return [line for line in lines if line[1]]


def reported(report: TDR) -> list[str]:
    """Returns what a report says of itself, in words: kind, time, algorithm, duration, reasons of an abort."""
    try:
        algorithm, decided, took = report.algorithm, report.decided, report.processing_ms
        said = [f"{(report.tdr_type or 'TDR').lower()} report"]
        if decided is not None:
            said.append(f"{decided:%Y-%m-%d %H:%M:%S}")
        if algorithm is not None and algorithm.manufacturer != UNKNOWN:
            said.append(f"{algorithm.manufacturer} {algorithm.version}".strip())
        if took:
            said.append(f"{took:.0f} ms")
        return said + [reason.replace("_", " ").lower() for reason in report.abort_reasons]
    except DicosError:
        return ["report"]


def named(threat: Threat, *, number: bool = True) -> str:
    """Returns what a threat is, in words: number, category, probability."""
    category = CATEGORY_NAMES.get(threat.category, threat.category or "?")
    sure = f" {threat.probability:.0%}" if threat.probability is not None else ""
    return (f"{threat.id if threat.id is not None else '?'} " if number else "") + category + sure


def details(threat: Threat) -> str:
    """Returns what is known of a threat besides, in words."""
    shown = threat.representations[0] if threat.representations else Representation()
    return ", ".join(one for one in _details(threat, shown) if one)


def _details(threat: Threat, shown: Representation) -> Iterator[str]:
    yield threat.flag.replace("_", " ").lower()
    for number, unit in ((shown.mass, "g"), (shown.volume, "cm3"), (shown.density, "g/cm3")):
        if number:
            yield f"{number:.3g} {unit}" if abs(number) < 1000 else f"{number:.0f} {unit}"
    if shown.z_effective:
        yield f"Zeff {shown.z_effective:.3g}"
    if threat.assessments:
        yield threat.assessments[0].description
    yield shown.location


def whole(threat: Threat) -> str:
    """Returns the details of a threat, and the voxels of its region."""
    said = [details(threat)]
    if threat.region is not None:
        try:
            box = threat.region.box()
            x, y, z = (f"{start} to {start + count - 1}" for start, count in zip(box.start, box.size, strict=True))
            said.append(f"voxels x {x}, y {y}, z {z}")
        except DicosError as error:
            said.append(str(error))
    return ", ".join(one for one in said if one)

"""The attributes of the thing that was scanned, the scan and the machine, which every DICOS object has.

DICOS keeps DICOM's patient, study, series and equipment attributes under names of its own: the patient is the object of
inspection (OOI), the study is the scan.

Knows: the common modules. Must not know: pixels, what kind of object it is. Invariants: everything a caller does not
give has a value that says so ("unknown", 0), and every mandatory attribute is filled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset

from . import values
from .stamp import Stamp
from .values import put, put_items

__all__ = ["DICOS_VERSION", "OOI", "UNKNOWN", "Common", "Machine", "Scan", "fill"]

UNKNOWN: Final = "unknown"
"""Stands in a mandatory text that the caller did not give, as in pyDICOS' own objects [obs]."""
DICOS_VERSION: Final = "V03"
"""The edition that new objects name in (4010,103A)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OOI:
    """The object of inspection, without its ID."""

    authority: str = UNKNOWN
    """OOI ID Assigning Authority (0010,0021): the one that gave the ID, up to 64 characters."""
    id_type: str = "TEXT"
    """RFID, BARCODE, TEXT or MRP (0010,0022)."""
    type: str = "BAGGAGE"
    """BAGGAGE, CARGO, PERSON, ANIMAL, BIO_SAMPLE or OTHER (4010,1042)."""
    gender: str = "U"
    """M, F, O or U (0010,0040)."""
    size: tuple[float, float, float] | None = None
    """OOI Size (4010,1043), in mm."""
    mass: float | None = None
    """Mass (4010,1017), in g."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan of an object of inspection; all objects of a scan share it."""

    id: str | None = None
    """Scan ID (0020,0010), up to 16 characters; None: made of the time."""
    instance_uid: str | None = None
    """Scan Instance UID (0020,000D); None: a new one."""
    started: datetime | None = None
    """Scan Date (0008,0020) and Scan Time (0008,0030); None: the stamp's time."""
    type: str = "OPERATIONAL"
    """OPERATIONAL or NON_OPERATIONAL (4010,1048)."""
    series_instance_uid: str | None = None
    """Series Instance UID (0020,000E); None: a new one."""
    energy: int | None = None
    """Which of several energies the series is of (6100,0030)."""
    energies: int | None = None
    """Number of energies of the scan (6100,0032)."""
    acquisition_status: str = "SUCCESSFUL"
    """SUCCESSFUL, JAM, OVERSIZE, SLIP, INCOMPLETE, CUT, MERGED or STITCHED (4010,1044)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine that made an object."""

    manufacturer: str = UNKNOWN
    """(0008,0070)"""
    model: str = UNKNOWN
    """(0008,1090)"""
    serial_number: str = UNKNOWN
    """(0018,1000)"""
    software_versions: str = UNKNOWN
    r"""(0018,1020); several versions are joined by a backslash."""
    location: str = UNKNOWN
    """Machine Location (0008,0080)"""
    address: str = UNKNOWN
    """Machine Address (0008,0081)"""
    id: str = UNKNOWN
    """Machine ID (0008,1010), up to 16 characters."""
    calibrated: datetime | None = None
    """Date and time of the last calibration (0018,1200), (0018,1201); None: not known."""

    @classmethod
    def of(cls, dataset: Dataset) -> Machine:
        """Returns the machine of a data set; "" for attributes that it does not have. Raises `BadValue`."""

        def said(tag: int) -> str:
            return "\\".join(values.texts(dataset, tag))

        return cls(
            manufacturer=said(0x00080070),
            model=said(0x00081090),
            serial_number=said(0x00181000),
            software_versions=said(0x00181020),
            location=said(0x00080080),
            address=said(0x00080081),
            id=said(0x00081010),
            calibrated=values.instant(dataset, 0x00181200, 0x00181201),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The values that `new` of any kind is given for the modules that all objects have."""

    ooi_id: str
    stamp: Stamp
    ooi: OOI
    scan: Scan
    machine: Machine
    instance_number: int = 1
    sop_instance_uid: str | None = None
    frame_of_reference_uid: str | None = None

    def complete(self) -> Common:
        """Returns the same with all UIDs, so that several objects share them."""
        new = self.stamp.uid
        scan = replace(
            self.scan,
            instance_uid=self.scan.instance_uid or new(),
            series_instance_uid=self.scan.series_instance_uid or new(),
        )
        return replace(
            self,
            scan=scan,
            sop_instance_uid=self.sop_instance_uid or new(),
            frame_of_reference_uid=self.frame_of_reference_uid or new(),
        )

    def fill(self, dataset: Dataset, sop_class_uid: str, modality: str, number: int = 0) -> None:
        """Fills SOP Common, Object of Inspection, General Scan, General Series and General Equipment.

        `number`: how many objects of the same scan came before. Raises ValueError for a text that is too long, or
        empty where one is needed.
        """
        if not self.ooi_id:
            raise ValueError("an empty OOI ID (0010,0020); 1 to 64 characters are needed")
        ooi, scan, machine, stamp = self.ooi, self.scan, self.machine, self.stamp
        started, calibrated = Stamp(scan.started or stamp.at, stamp.uid), machine.calibrated
        checked = Stamp(calibrated, stamp.uid) if calibrated else None
        given = (self.ooi_id, ooi.authority, machine.manufacturer, machine.model, machine.location, machine.address)
        if not all(map(str.isascii, given)):
            put(dataset, 0x00080005, "ISO_IR 192")
        for tag, value in (
            (0x00080012, stamp.date),
            (0x00080013, stamp.time),
            (0x00080016, sop_class_uid),
            (0x00080018, self.sop_instance_uid or stamp.uid()),
            (0x00080020, started.date),
            (0x00080021, started.date),
            (0x00080023, stamp.date),
            (0x00080030, started.time),
            (0x00080031, started.time),
            (0x00080033, stamp.time),
            (0x00080060, modality),
            (0x00080070, machine.manufacturer),
            (0x00080080, machine.location),
            (0x00080081, machine.address),
            (0x00081010, machine.id),
            (0x00081090, machine.model),
            (0x00100020, self.ooi_id),
            (0x00100021, ooi.authority),
            (0x00100022, ooi.id_type),
            (0x00100040, ooi.gender),
            (0x00181000, machine.serial_number),
            (0x00181020, machine.software_versions.split("\\")),
            (0x00181200, checked.date if checked else None),
            (0x00181201, checked.time if checked else None),
            (0x0020000D, scan.instance_uid or stamp.uid()),
            (0x0020000E, scan.series_instance_uid or stamp.uid()),
            (0x00200010, scan.id or started.at.strftime("%Y%m%d%H%M%S")),
            (0x00200013, self.instance_number + number),
            (0x4010103A, DICOS_VERSION),
            (0x40101042, ooi.type),
            (0x40101044, scan.acquisition_status),
            (0x40101048, scan.type),
        ):
            put(dataset, tag, value)
        for tag, optional in (
            (0x40101017, ooi.mass),
            (0x40101043, ooi.size),
            (0x61000030, scan.energy),
            (0x61000032, scan.energies),
        ):
            if optional is not None:
                put(dataset, tag, optional)
        put_items(dataset, 0x40101064, [])


def fill(
    dataset: Dataset,
    *,
    sop_class_uid: str,
    modality: str,
    ooi_id: str,
    stamp: Stamp,
    ooi: OOI,
    scan: Scan,
    machine: Machine,
    instance_number: int,
    sop_instance_uid: str | None = None,
) -> None:
    """`Common.fill` for one object. Raises ValueError."""
    Common(
        ooi_id=ooi_id,
        stamp=stamp,
        ooi=ooi,
        scan=scan,
        machine=machine,
        instance_number=instance_number,
        sop_instance_uid=sop_instance_uid,
    ).fill(dataset, sop_class_uid, modality)

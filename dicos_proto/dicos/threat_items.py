"""Threats as items of the Threat Sequence (4010,1011), both ways.

Knows: the attributes of an item. Must not know: the report around it (`tdr`), rules (`tdr_rules`). Invariants: an item
of a peer becomes a whole `Threat` or a `BadValue` that names the attribute; text is kept unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from math import isfinite
from typing import Final

from pydicom.dataset import Dataset

from .errors import BadValue
from .regions import Axes, Region, RegionError, Triple, floats
from .threats import Assessment, Reference, ReferencedThreat, Representation, Threat
from .values import element_of, integer, items, number, put, put_items, text

__all__ = ["date_time", "instance", "points", "read", "read_date_time", "read_region", "references", "single", "write"]

LARGEST_SINGLE: Final = 3.4028234e38

REFERENCED_INSTANCE, REFERENCED_CLASS, REFERENCED_UID = 0x0008114A, 0x00081150, 0x00081155
THREATS, PTO_ID, REPRESENTATION, ASSESSMENT = 0x40101011, 0x40101010, 0x40101037, 0x40101038
TDR_TYPE, REFERENCED_PTO, REFERENCED_TDR = 0x40101027, 0x40101076, 0x40101077
PROCESSING_START, PROCESSING_END, PROCESSING_TIME = 0x40101080, 0x40101081, 0x40101082
CATEGORY, CATEGORY_TEXT, ABILITY, FLAG, PROBABILITY = 0x40101012, 0x40101013, 0x40101014, 0x40101015, 0x40101016
ROI_VOXELS, ROI_BASE, ROI_EXTENTS, ROI_BITMAP = 0x40101001, 0x40101004, 0x40101005, 0x40101006
MASS, DENSITY, Z_EFFECTIVE, VOLUME = 0x40101017, 0x40101018, 0x40101019, 0x40101023
CENTRE_OF_MASS, CENTRE, POLYGON, LOCATION = 0x4010101B, 0x4010101C, 0x4010101D, 0x40101078
ANOMALIES, ANOMALY = 0x40101079, 0x4010107A


# -- to items --------------------------------------------------------------------------------------------------------


def write(threat: Threat, *, axes: Axes = Axes.XYZ, person: bool = False) -> Dataset:
    """Returns the item of the Threat Sequence for a threat. `person`: the object of inspection is a person, so that its
    item has anomaly locators and neither mass nor density. Raises `RegionError` for bits that do not fit the extents;
    ValueError for a value that its attribute cannot hold."""
    item = Dataset()
    if threat.origin:
        put(item, TDR_TYPE, threat.origin)
    put(item, PTO_ID, threat.id)
    if threat.referenced:
        put_items(item, REFERENCED_PTO, [_referenced(one) for one in threat.referenced])
    put_items(item, REPRESENTATION, [_representation(one, axes, person) for one in threat.representations])
    put_items(item, ASSESSMENT, [_assessment(one) for one in threat.assessments])
    put(item, PROCESSING_START, date_time(threat.started))
    put(item, PROCESSING_END, date_time(threat.ended))
    put(item, PROCESSING_TIME, None if threat.processing_ms is None else single(threat.processing_ms))
    return item


def _assessment(given: Assessment) -> Dataset:
    item = Dataset()
    put(item, CATEGORY, given.category)
    if given.description:
        put(item, CATEGORY_TEXT, given.description)
    put(item, ABILITY, given.ability)
    put(item, FLAG, given.flag)
    if given.probability is not None:
        put(item, PROBABILITY, single(given.probability))
    return item


def _representation(given: Representation, axes: Axes, person: bool) -> Dataset:
    item = Dataset()
    put_items(item, REFERENCED_INSTANCE, [instance(one) for one in given.references])
    if given.region is not None:
        put_items(item, ROI_VOXELS, [_voxels(given.region, axes)])
    if not person:
        # The toolkit wants both in a machine's report on a CT, and writes 0 for what is unknown. [obs, hdr]
        put(item, MASS, single(given.mass or 0.0))
        put(item, DENSITY, single(given.density or 0.0))
    for tag, amount in ((Z_EFFECTIVE, given.z_effective), (VOLUME, given.volume)):
        if amount is not None:
            put(item, tag, single(amount))
    for tag, point in ((CENTRE_OF_MASS, given.centre_of_mass), (CENTRE, given.centre)):
        if point is not None:
            _put_points(item, tag, [point], axes)
    if given.polygon:
        _put_points(item, POLYGON, given.polygon, axes)
    if given.location:
        put(item, LOCATION, given.location)
    if person:
        centres = given.anomalies or ((given.centre,) if given.centre is not None else ())
        put_items(item, ANOMALIES, [_anomaly(point, axes) for point in centres])
    return item


def _voxels(region: Region, axes: Axes) -> Dataset:
    item = Dataset()
    base, extents, bitmap = region.values(axes)
    _put_points(item, ROI_BASE, [base], Axes.XYZ)
    _put_points(item, ROI_EXTENTS, [extents], Axes.XYZ)
    put(item, ROI_BITMAP, bitmap + bytes(len(bitmap) % 2))
    return item


def _anomaly(point: Triple, axes: Axes) -> Dataset:
    item = Dataset()
    _put_points(item, ANOMALY, [point], axes)
    return item


def _referenced(given: ReferencedThreat) -> Dataset:
    item = Dataset()
    put(item, PTO_ID, given.id)
    put_items(item, REFERENCED_TDR, [instance(given.tdr)])
    return item


def instance(given: Reference) -> Dataset:
    """Returns the item that refers to an object [DICOM PS3.3 10.8]."""
    item = Dataset()
    put(item, REFERENCED_CLASS, given.sop_class_uid)
    put(item, REFERENCED_UID, given.sop_instance_uid)
    return item


def _put_points(item: Dataset, tag: int, given: Iterable[Triple], axes: Axes) -> None:
    put(item, tag, [single(number) for point in given for number in axes.ordered(point)])


def single(number: float) -> float:
    """Returns a number for an FL. Raises ValueError for NaN, and for a number that is too large for 32 bits."""
    if not abs(number) <= LARGEST_SINGLE:
        raise ValueError("a number that does not fit into 32 bits [DICOM PS3.5 6.2]")
    return float(number)


# -- from items ------------------------------------------------------------------------------------------------------


def read(item: Dataset, axes: Axes = Axes.XYZ) -> Threat:
    """Returns the threat of an item of the Threat Sequence. Raises `BadValue`."""
    return Threat(
        id=integer(item, PTO_ID),
        assessments=tuple(_read_assessment(one) for one in items(item, ASSESSMENT)),
        representations=tuple(_read_representation(one, axes) for one in items(item, REPRESENTATION)),
        started=read_date_time(text(item, PROCESSING_START) or ""),
        ended=read_date_time(text(item, PROCESSING_END) or ""),
        processing_ms=number(item, PROCESSING_TIME),
        referenced=tuple(_read_referenced(item)),
        origin=text(item, TDR_TYPE) or "",
    )


def _read_assessment(item: Dataset) -> Assessment:
    return Assessment(
        category=text(item, CATEGORY) or "",
        flag=text(item, FLAG) or "",
        ability=text(item, ABILITY) or "",
        description=text(item, CATEGORY_TEXT) or "",
        probability=number(item, PROBABILITY),
    )


def _read_representation(item: Dataset, axes: Axes) -> Representation:
    return Representation(
        references=tuple(references(item, REFERENCED_INSTANCE)),
        region=read_region(item, axes),
        polygon=tuple(points(item, POLYGON, axes)),
        centre=_point(item, CENTRE, axes),
        centre_of_mass=_point(item, CENTRE_OF_MASS, axes),
        mass=number(item, MASS),
        density=number(item, DENSITY),
        z_effective=number(item, Z_EFFECTIVE),
        volume=number(item, VOLUME),
        location=text(item, LOCATION) or "",
        anomalies=tuple(found for one in items(item, ANOMALIES) for found in points(one, ANOMALY, axes)),
    )


def read_region(item: Dataset, axes: Axes = Axes.XYZ) -> Region | None:
    """Returns the region of an item of the PTO Representation Sequence, None if it has none. Raises `BadValue`."""
    for one in items(item, ROI_VOXELS)[:1]:
        bitmap = element_of(one, ROI_BITMAP)
        bits = b"" if bitmap is None or bitmap.value is None else bitmap.value
        if not isinstance(bits, bytes):
            raise BadValue("bytes expected", ROI_BITMAP)
        try:
            return Region.read(_any_numbers(one, ROI_BASE), _any_numbers(one, ROI_EXTENTS), bits, axes)
        except RegionError as error:
            raise BadValue(str(error), ROI_VOXELS) from None
    return None


def _read_referenced(item: Dataset) -> Iterable[ReferencedThreat]:
    for one in items(item, REFERENCED_PTO):
        for tdr in references(one, REFERENCED_TDR):
            yield ReferencedThreat(id=integer(one, PTO_ID) or 0, tdr=tdr)


def references(item: Dataset, tag: int) -> Iterable[Reference]:
    """Returns the objects that a sequence refers to. Raises `BadValue`."""
    for one in items(item, tag):
        yield Reference(
            sop_class_uid=text(one, REFERENCED_CLASS) or "", sop_instance_uid=text(one, REFERENCED_UID) or ""
        )


def points(item: Dataset, tag: int, axes: Axes = Axes.XYZ) -> Iterable[Triple]:
    """Returns the points of an attribute with three numbers for each. Raises `BadValue`."""
    found = _any_numbers(item, tag)
    if len(found) % 3 or not all(map(isfinite, found)):
        raise BadValue(f"{len(found)} numbers, three finite ones for each point are needed", tag)
    for at in range(0, len(found), 3):
        yield axes.ordered(found[at : at + 3])


def _point(item: Dataset, tag: int, axes: Axes) -> Triple | None:
    found = tuple(points(item, tag, axes))
    if len(found) > 1:
        raise BadValue(f"{3 * len(found)} numbers, 3 allowed", tag)
    return found[0] if found else None


def _any_numbers(item: Dataset, tag: int) -> tuple[float, ...]:
    """Returns all numbers, also those that are not finite, so that a region can say itself what is wrong."""
    found = element_of(item, tag)
    try:
        return () if found is None else floats(found.value)
    except RegionError as error:
        raise BadValue(str(error), tag) from None


# -- times -----------------------------------------------------------------------------------------------------------

_DATE_TIME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?(?:\.(\d{1,6}))?([+-]\d{4})?\s*")


def date_time(at: datetime | None) -> str | None:
    """Returns a time as a DT [DICOM PS3.5 6.2], with its offset from UTC if it has one."""
    if at is None:
        return None
    return at.strftime("%Y%m%d%H%M%S.%f") + (at.strftime("%z")[:5] if at.tzinfo is not None else "")


def read_date_time(given: str) -> datetime | None:
    """Returns a DT as a time, None if it is empty or no time."""
    found = _DATE_TIME.fullmatch(given)
    if found is None:
        return None
    *parts, fraction, offset = found.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    try:
        zone = None
        if offset is not None:
            zone = timezone(timedelta(minutes=int(offset[0] + "1") * (60 * int(offset[1:3]) + int(offset[3:]))))
        return datetime(year, month, day, hour, minute, second, int((fraction or "").ljust(6, "0")), zone)
    except ValueError:
        return None

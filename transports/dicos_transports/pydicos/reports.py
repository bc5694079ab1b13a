"""`TDRLoader`: threat detection reports as the nested dicts that programs for pyDICOS use.

| key | value |
|---|---|
| `TDRType`, `OOIType`, `ScanType`, `AlarmDecision` | members of the enumerations |
| `InstanceNumber`, `ProcessingTime` (ms), `ImageScaleRepresentation` | numbers |
| `InstanceUID`, `OOIID` | Scan Instance UID and OOI ID: the links to the scan |
| `ContentDateAndTime`, `AlarmDecisionDateTime` | `{"date": (year, month, day), "time": (hour, minute, second, ms)}` |
| `ATR` | `{"manufacturer": ..., "version": ..., "parameters": {name: value}}` |
| `PTOs` | a list of threats, as dicts |

A threat has an `ID`, `Base` and `Extent` (dicts of x, y and z, in voxels), perhaps a `Bitmap` (a mask of the shape
(z, y, x)), a `Polygon` (a list of points), an `Assessment`, a `ReferencedInstance` and a `PTOProcessingTime`.

Knows: the original's dicts. Must not know: how reports are encoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Final

import numpy as np
from pydicom.dataset import Dataset

from dicos_proto.arguments import check_mapping
from dicos_proto.dicos import DicosError, DicosObject, view
from dicos_proto.dicos.regions import Axes, Region, pack
from dicos_proto.dicos.tdr import TDR
from dicos_proto.dicos.threat_items import write
from dicos_proto.dicos.threats import Assessment, Reference, Representation, Threat, numbered
from dicos_proto.dicos.values import put, put_items
from dicos_proto.registry import uids

from ..dicos import stamp
from .enums import (
    ABILITY_ASSESSMENT,
    ALARM_DECISION,
    ASSESSMENT_FLAG,
    OBJECT_OF_INSPECTION_TYPE,
    SCAN_TYPE,
    TDR_TYPE,
    THREAT_CATEGORY,
    member_of,
    term_of,
)
from .loading import Loader

__all__ = ["TDR_DATA_TEMPLATE", "ATRSettings", "TDRLoader", "report_on"]

_ENUMS: Final = {
    "TDRType": (0x40101027, TDR_TYPE),
    "OOIType": (0x40101042, OBJECT_OF_INSPECTION_TYPE),
    "ScanType": (0x40101048, SCAN_TYPE),
    "AlarmDecision": (0x40101031, ALARM_DECISION),
}
_PLAIN: Final[dict[str, tuple[int, type]]] = {
    "InstanceNumber": (0x00200013, int),
    "InstanceUID": (0x0020000D, str),
    "OOIID": (0x00100020, str),
    "ProcessingTime": (0x40101069, float),
    "ImageScaleRepresentation": (0x40101075, float),
}
_THREATS, _TOTAL, _ALARMS, _ALGORITHM = 0x40101011, 0x40101033, 0x40101034, 0x40101029
_UNKNOWN_DAY: Final = {"date": (0, 0, 0), "time": (0, 0, 0, 0)}

TDR_DATA_TEMPLATE: Final[dict[str, Any]] = {
    "InstanceNumber": 0,
    "InstanceUID": "",
    "OOIID": "",
    "ContentDateAndTime": _UNKNOWN_DAY,
    "ProcessingTime": 0,
    "ScanType": SCAN_TYPE.enumUnknownScanType,
    "AlarmDecision": ALARM_DECISION.enumUnknownAlarmDecision,
    "AlarmDecisionDateTime": _UNKNOWN_DAY,
    "ImageScaleRepresentation": 0,
    "ATR": {"manufacturer": "", "version": "", "parameters": {"param1": "value1"}},
    "TDRType": TDR_TYPE.enumMachine,
    "OOIType": OBJECT_OF_INSPECTION_TYPE.enumTypeBaggage,
    "PTOs": [
        {
            "Base": {"z": 0, "y": 0, "x": 0},
            "Extent": {"z": 0, "y": 0, "x": 0},
            "Bitmap": np.zeros((0, 0, 0), np.uint16),
            "Polygon": [],
            "ID": 0,
            "Assessment": {
                "flag": ASSESSMENT_FLAG.enumUnknown,
                "category": THREAT_CATEGORY.enumAnomaly,
                "ability": ABILITY_ASSESSMENT.enumNoInterference,
                "description": "",
                "probability": -1.0,
            },
            "ReferencedInstance": {"SopClassUID": "0", "SopInstanceUID": "0"},
            "PTOProcessingTime": {
                "ProcessingStartTime": _UNKNOWN_DAY,
                "ProcessingEndTime": _UNKNOWN_DAY,
                "fTotalTimeMS": 0,
            },
        }
    ],
}
"""The keys of `set_data`, each with a value of its type."""


class ATRSettings:
    """The recogniser behind a report."""

    def __init__(self, manufacturer: str = "", version: str = "", parameters: Mapping[str, str] | None = None) -> None:
        """`parameters`: what it was set to, by name."""
        self.manufacturer = manufacturer
        self.version = version
        self.parameters = dict(parameters or {})

    def as_dict(self) -> dict[str, Any]:
        """Returns the settings as a dict with these three keys."""
        return {"manufacturer": self.manufacturer, "version": self.version, "parameters": dict(self.parameters)}

    def __repr__(self) -> str:
        return f"ATRSettings({self.as_dict()})"


class TDRLoader(Loader[TDR]):
    """A threat detection report. `len()` is the number of its threats."""

    kind: ClassVar[str] = "TDR"
    type: ClassVar[type[DicosObject]] = TDR

    def __len__(self) -> int:
        return len(self.objects[0].threats) if self.objects else 0

    def sendable(self) -> list[TDR]:
        """Returns the report to write or to send: an empty one that found nothing, if the loader is empty."""
        return self.objects or [TDR.new(_stand_in(self.ooi_id, None), stamp=stamp())]

    def get_data(self) -> dict[str, Any]:
        """Returns the report as a dict (see the top of this module). Raises RuntimeError for an empty loader,
        `DicosError` for a report with values that cannot be used."""
        report = self.dicos
        found: dict[str, Any] = {
            "TDRType": member_of(TDR_TYPE, report.tdr_type or ""),
            "InstanceNumber": report.instance_number,
            "InstanceUID": report.scan_instance_uid or "",
            "OOIID": report.ooi_id or "",
            "OOIType": member_of(OBJECT_OF_INSPECTION_TYPE, report.ooi_type or ""),
            "ContentDateAndTime": _moment(report.content_made),
            "ProcessingTime": report.processing_ms,
            "ScanType": member_of(SCAN_TYPE, report.scan_type or ""),
            "AlarmDecision": member_of(ALARM_DECISION, report.decision or ""),
            "AlarmDecisionDateTime": _moment(report.decided),
            "ImageScaleRepresentation": report.image_scale,
            "ATR": self.get_ATR_metadata().as_dict(),
            "PTOs": [_threat_as_dict(one) for one in report.threats],
        }
        return found

    def set_data(self, data: Mapping[str, Any]) -> None:
        """Sets the values of the keys, and adds the threats of `PTOs`; `TDR_DATA_TEMPLATE` has the keys.

        Raises ValueError for an unknown key and for a value that does not fit, TypeError for one of another type, and
        changes nothing then."""
        check_mapping(data, "set_data({})", "the keys of TDR_DATA_TEMPLATE")
        first: Mapping[str, Any] = next(iter(data.get("PTOs") or ()), {})
        report = self.objects[0] if self.objects else TDR.new(_stand_in(self.ooi_id, _reference(first)), stamp=stamp())
        made = TDR(_copy(report.dataset))
        _set(made, data, _threats(data, Axes.ZYX))
        self._take(made)

    def get_ATR_metadata(self) -> ATRSettings:
        """Returns the recogniser behind the report; empty if it names none."""
        found = self.dicos.algorithm
        return ATRSettings() if found is None else ATRSettings(found.manufacturer, found.version, found.parameters)

    def set_ATR_metadata(self, atr: ATRSettings) -> None:
        """Sets the recogniser behind the report."""
        self.set_data({"ATR": atr.as_dict()})


def report_on(scanned: DicosObject, data: Mapping[str, Any]) -> TDRLoader:
    """Returns a machine's report on an object, with what the dict says. Masks have the shape (x, y, z) there, as the
    original's `CTLoader.generate_tdr` wants it; one that only fits (z, y, x) is taken as such.

    Raises as `TDRLoader.set_data`.
    """
    check_mapping(data, "generate_tdr({})", "the keys of TDR_DATA_TEMPLATE")
    report = TDR.new(scanned, stamp=stamp())
    _set(report, data, _threats(data, Axes.XYZ))
    return TDRLoader.over(report)


# -- inside --------------------------------------------------------------------------------------------------------


def _threats(data: Mapping[str, Any], axes: Axes) -> list[Threat]:
    """The threats of a dict."""
    return [_threat_from_dict(one, axes) for one in data.get("PTOs") or ()]


def _set(report: TDR, data: Mapping[str, Any], added: Iterable[Threat]) -> None:
    unknown = set(data) - set(TDR_DATA_TEMPLATE)
    if unknown:
        raise ValueError(f"key {min(unknown)!a}; {', '.join(TDR_DATA_TEMPLATE)} are allowed")
    dataset = report.dataset
    for key, (tag, kind) in _PLAIN.items():
        if key in data:
            put(dataset, tag, _checked(key, data[key], kind))
    for key, (tag, members) in _ENUMS.items():
        if key in data:
            term = term_of(members(data[key]))
            if term:
                put(dataset, tag, term)
    if "ContentDateAndTime" in data:
        at = _read_moment("ContentDateAndTime", data["ContentDateAndTime"])
        put(dataset, 0x00080023, None if at is None else at.strftime("%Y%m%d"))
        put(dataset, 0x00080033, None if at is None else at.strftime("%H%M%S.%f"))
    if "AlarmDecisionDateTime" in data:
        at = _read_moment("AlarmDecisionDateTime", data["AlarmDecisionDateTime"])
        put(dataset, 0x4010102B, None if at is None else at.strftime("%Y%m%d%H%M%S.%f"))
    if "ATR" in data:
        given = ATRSettings(**data["ATR"])
        pairs = [f"-{name}={value}" for name, value in given.parameters.items()]
        put(dataset, _ALGORITHM, [given.manufacturer, given.version, *pairs])
    if "PTOs" in data:
        seen = next(iter(report.scanned), Reference(sop_class_uid="", sop_instance_uid=""))
        threats = numbered([*report.threats, *(_referring(one, seen) for one in added)])
        _set_threats(report, threats)
        if "AlarmDecision" not in data and any(one.alarms for one in threats):
            put(dataset, 0x40101031, "ALARM")


def _set_threats(report: TDR, threats: Iterable[Threat]) -> None:
    """Writes the threats, and their numbers."""
    listed = list(threats)
    ids = [one.id for one in listed]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise ValueError(f"two threats with the ID {twice}; each has its own")
    person = report.ooi_type == "PERSON"
    put_items(report.dataset, _THREATS, [write(one, person=person) for one in listed])
    put(report.dataset, _TOTAL, len(listed))
    put(report.dataset, _ALARMS, sum(one.alarms for one in listed))


def _referring(threat: Threat, seen: Reference) -> Threat:
    """The threat with `seen` as the object that shows it, where it names none."""
    shown = tuple(one if one.references else replace(one, references=(seen,)) for one in threat.representations)
    return replace(threat, representations=shown)


def _stand_in(ooi_id: str, seen: Reference | None) -> DicosObject:
    """The scanned object of a report that is made without it: what is known of it."""
    dataset = Dataset()
    put(dataset, 0x00080016, uids.DICOS_CT if seen is None else seen.sop_class_uid)
    put(dataset, 0x00080018, stamp().uid() if seen is None else seen.sop_instance_uid)
    put(dataset, 0x00100020, ooi_id)
    put(dataset, 0x0020000D, stamp().uid())
    try:
        return view(dataset)
    except DicosError:
        put(dataset, 0x00080016, uids.DICOS_CT)
        return view(dataset)


def _copy(dataset: Dataset) -> Dataset:
    """A copy at the top: elements are replaced, never changed."""
    made = Dataset()
    made.update({element.tag: element for element in dataset})
    return made


def _checked(key: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{key}: {type(value).__name__} in place of {kind.__name__}")
    return value


def _moment(at: datetime | None) -> dict[str, tuple[int, ...]]:
    if at is None:
        return dict(_UNKNOWN_DAY)
    return {
        "date": (at.year, at.month, at.day),
        "time": (at.hour, at.minute, at.second, at.microsecond // 1000),
    }


def _read_moment(key: str, given: Any) -> datetime | None:
    """A time from a dict; None for the day 0. Raises ValueError."""
    try:
        date, clock = tuple(given["date"]), tuple(given["time"])
        if not any(date):
            return None
        year, month, day = date
        hour, minute, second, thousandths = clock
        return datetime(year, month, day, hour, minute, second, thousandths * 1000)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{key}: {{'date': (year, month, day), 'time': (hour, minute, second, ms)}} is wanted"
        ) from error


def _triple(key: str, given: Any) -> tuple[float, float, float]:
    """x, y and z of a dict. Raises ValueError."""
    try:
        return float(given["x"]), float(given["y"]), float(given["z"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{key}: {{'x': ..., 'y': ..., 'z': ...}} is wanted") from error


def _xyz(point: Iterable[float]) -> dict[str, float]:
    x, y, z = point
    return {"z": z, "y": y, "x": x}


def _reference(pto: Mapping[str, Any]) -> Reference | None:
    given = pto.get("ReferencedInstance")
    if not given or given.get("SopInstanceUID") in (None, "", "0"):
        return None
    return Reference(sop_class_uid=str(given["SopClassUID"]), sop_instance_uid=str(given["SopInstanceUID"]))


def _mask(given: Any, extents: tuple[float, float, float], order: Axes) -> np.ndarray[Any, Any] | None:
    """The mask of a threat with the shape (z, y, x); None for none, or an empty one. Raises ValueError."""
    if given is None:
        return None
    mask = np.asarray(given)
    if not mask.any():
        return None
    x, y, z = (int(one) for one in extents)
    if order is Axes.XYZ and mask.shape == (x, y, z):
        return mask.transpose()
    if mask.shape == (z, y, x):
        return mask
    if mask.shape == (x, y, z):
        return mask.transpose()
    raise ValueError(f"Bitmap of the shape {mask.shape}; {(z, y, x)} for (z, y, x) is wanted")


def _threat_from_dict(pto: Mapping[str, Any], order: Axes) -> Threat:
    """A threat from a dict. `order`: XYZ if a mask that fits both orders has the shape (x, y, z). Raises ValueError."""
    missing = [one for one in ("ID", "Base", "Extent") if one not in pto]
    unknown = set(pto) - set(TDR_DATA_TEMPLATE["PTOs"][0]) - {"Description", "Probability"}
    if missing or unknown:
        raise ValueError(f"PTO without {missing[0]}" if missing else f"PTO with the unknown key {min(unknown)!a}")
    extents = _triple("Extent", pto["Extent"])
    mask = _mask(pto.get("Bitmap"), extents, order)
    region = Region(base=_triple("Base", pto["Base"]), extents=extents, bitmap=b"" if mask is None else pack(mask))
    region.box()  # raises if it makes no sense
    seen = _reference(pto)
    shown = Representation(
        references=() if seen is None else (seen,),
        region=region,
        polygon=tuple(_triple("Polygon", one) for one in pto.get("Polygon") or ()),
        mass=0.0,
        density=0.0,
    )
    times = pto.get("PTOProcessingTime") or {}
    now = stamp().at
    return Threat(
        id=int(pto["ID"]),
        assessments=(_assessment(pto),),
        representations=(shown,),
        started=_read_moment("ProcessingStartTime", times.get("ProcessingStartTime", _UNKNOWN_DAY)) or now,
        ended=_read_moment("ProcessingEndTime", times.get("ProcessingEndTime", _UNKNOWN_DAY)) or now,
        processing_ms=float(times.get("fTotalTimeMS", 0.0)),
    )


def _assessment(pto: Mapping[str, Any]) -> Assessment:
    given = pto.get("Assessment") or {}
    probability = float(given.get("probability", pto.get("Probability", -1)))
    return Assessment(
        category=term_of(THREAT_CATEGORY(given.get("category", THREAT_CATEGORY.enumAnomaly))) or "OTHER",
        flag=term_of(ASSESSMENT_FLAG(given.get("flag", ASSESSMENT_FLAG.enumUnknown))) or "UNKNOWN",
        ability=term_of(ABILITY_ASSESSMENT(given.get("ability", 1))) or "NO_INTERFERENCE",
        description=str(given.get("description", pto.get("Description", ""))),
        probability=None if probability < 0 else probability,
    )


def _threat_as_dict(threat: Threat) -> dict[str, Any]:
    region = threat.region
    said = threat.assessments[0] if threat.assessments else Assessment(category="", flag="", ability="")
    shown = threat.representations[0] if threat.representations else Representation()
    seen = next(iter(shown.references), Reference(sop_class_uid="", sop_instance_uid=""))
    return {
        "ID": threat.id,
        "Base": _xyz((0.0, 0.0, 0.0) if region is None else region.base),
        "Extent": _xyz((0.0, 0.0, 0.0) if region is None else region.extents),
        "Bitmap": np.zeros((0, 0, 0), bool) if region is None else region.mask(),
        "Polygon": [_xyz(one) for one in shown.polygon],
        "Assessment": {
            "flag": member_of(ASSESSMENT_FLAG, said.flag),
            "category": member_of(THREAT_CATEGORY, said.category),
            "ability": member_of(ABILITY_ASSESSMENT, said.ability),
            "description": said.description,
            "probability": -1.0 if said.probability is None else said.probability,
        },
        "PTOProcessingTime": {
            "ProcessingStartTime": _moment(threat.started),
            "ProcessingEndTime": _moment(threat.ended),
            "fTotalTimeMS": threat.processing_ms or 0.0,
        },
        "ReferencedInstance": {"SopClassUID": seen.sop_class_uid, "SopInstanceUID": seen.sop_instance_uid},
    }

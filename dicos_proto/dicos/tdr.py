"""Threat detection reports (TDR): what a machine or an operator found in a scanned object.

A report belongs to its scan in three ways: the OOI ID and the Scan Instance UID are those of the scan, and references
name the class and the instance of the scanned object, for the whole report and for each threat. [obs, hdr]

The standard leaves the order of axes open as far as is known; `Axes` says what the field does.

Knows: reports as a whole. Must not know: pixels. Invariants: the data set is the only state; what `TDR.new` writes has
no findings and pyDICOS reads it without an error in its log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Final

from pydicom.dataset import Dataset

from ..registry import uids
from . import tdr_rules as rules
from . import threat_items as tags
from .common import OOI, UNKNOWN, Common, Machine, Scan
from .errors import BadValue
from .findings import MOST, Finding, Module
from .objects import DicosObject
from .regions import Axes
from .stamp import Stamp
from .threat_items import instance, read, read_date_time, references, single, write
from .threats import Reference, Threat, numbered
from .values import element_of, has, integer, items, number, put, put_items, text, texts

__all__ = ["TDR", "Algorithm", "Operator"]

ID_TYPES: Final = {
    "TEXT": ("100001", "Text Encoding"),
    "RFID": ("100002", "RFID"),
    "BARCODE": ("100003", "Barcode"),
    "MRP": ("100004", "MRP"),
    "PIV": ("100005", "PIV"),
}
"""How an operator's ID is encoded, as codes of the context group DCS4. [hdr]"""
_COPIED: Final = (
    0x00080020, 0x00080030, 0x00100020, 0x00100021, 0x00100022, 0x00100040, 0x0020000D, 0x00200010, 0x00200052,
    0x40101042, 0x40101044, 0x40101048,
)  # fmt: skip
"""The attributes that a report takes over from the scanned object: the object of inspection, the scan, the frame of
reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """The recogniser behind a machine's report: manufacturer, version, and what it was set to."""

    manufacturer: str = UNKNOWN
    version: str = UNKNOWN
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The operator behind an operator's report. `id`: at most 16 characters. `id_type`: a key of `ID_TYPES`."""

    id: str
    name: str = ""
    organisation: str = UNKNOWN
    id_type: str = "TEXT"


class TDR(DicosObject):
    """A threat detection report. See `TDR.new`, `threats` and `validate`."""

    __slots__ = ()
    kind: ClassVar[str] = "TDR"
    sop_classes: ClassVar[Mapping[str, str]] = {uids.DICOS_TDR: ""}
    modules: ClassVar[tuple[Module, ...]] = rules.MODULES

    @classmethod
    def new(
        cls,
        scanned: DicosObject | Sequence[DicosObject],
        threats: Iterable[Threat] = (),
        *,
        stamp: Stamp,
        kind: str = "machine",
        decision: str | None = None,
        abort: str | Sequence[str] = (),
        algorithm: Algorithm | None = None,
        operator: Operator | None = None,
        processing_ms: float = 0.0,
        machine: Machine | None = None,
        image_scale: float = 1.0,
        instance_number: int = 1,
        reports: Iterable[Reference] = (),
        axes: Axes = Axes.XYZ,
    ) -> TDR:
        """Returns a report on one scanned object, or on several of one scan.

        `kind`: a key of `tdr_rules.KINDS`. `decision`: ALARM, CLEAR or UNKNOWN; by default ALARM if an assessment says
        THREAT or HIGH_THREAT, otherwise CLEAR. `abort`: one or more of `tdr_rules.ABORT_REASONS`, for a recogniser that
        did not come to an end; the decision is then UNKNOWN by default. A threat that names no scanned object is one of
        the first. `processing_ms`: how long the analysis took, in ms. `image_scale`: of a person's figure on the
        screen. `reports`: those that an aggregate sums up. `axes`: the order in which regions are written.

        Raises ValueError for values that no report can hold: an unknown kind, decision or reason, an unknown flag
        without a `decision`, ALARM without a threat, an operator's report without an operator, texts that are too long.
        """
        objects = (scanned,) if isinstance(scanned, DicosObject) else tuple(scanned)
        if not objects:
            raise ValueError("no scanned object; a report needs at least one")
        reasons = (abort,) if isinstance(abort, str) else tuple(abort)
        reported = numbered(threats)
        _check_arguments(kind, decision, reasons, operator, reported)
        default = "UNKNOWN" if reasons else "ALARM" if any(one.alarms for one in reported) else "CLEAR"
        dataset = _filled(objects[0].dataset, stamp, machine or Machine(), instance_number)
        scans = [_reference(one) for one in objects]
        _put_head(dataset, kind, decision or default, reasons, stamp)
        put(dataset, rules.TOTAL_TIME, single(processing_ms))
        put(dataset, rules.SCALE, float(image_scale))
        put(dataset, rules.TOTAL_OBJECTS, len(reported))
        put(dataset, rules.ALARM_OBJECTS, sum(one.alarms for one in reported))
        if algorithm is not None or kind == "machine":
            put(dataset, rules.ALGORITHM, _algorithm(algorithm or Algorithm()))
        if operator is not None:
            put_items(dataset, rules.OPERATOR, [_operator(operator)])
        person = text(dataset, rules.OOI_TYPE) == "PERSON"
        complete = [_complete(one, scans[:1], stamp) for one in reported]
        if complete:
            put_items(dataset, tags.THREATS, [write(one, axes=axes, person=person) for one in complete])
        named = [one for threat in complete for shown in threat.representations for one in shown.references]
        listed = dict.fromkeys([*scans, *named, *reports])
        put_items(dataset, rules.REFERENCED_SCANS, [instance(one) for one in listed])
        return cls(dataset)

    # -- what it says ------------------------------------------------------------------------------------------------

    @property
    def tdr_type(self) -> str | None:
        """TDR Type (4010,1027): MACHINE, OPERATOR, GROUND TRUTH, AGGREGATE or MOD_AGGREGATE."""
        return self._text(tags.TDR_TYPE)

    @property
    def decision(self) -> str | None:
        """Alarm Decision (4010,1031): ALARM, CLEAR or UNKNOWN."""
        return self._text(rules.DECISION)

    @property
    def decided(self) -> datetime | None:
        """Alarm Decision Time (4010,102B)."""
        return read_date_time(self._text(rules.DECISION_TIME) or "")

    @property
    def aborted(self) -> bool:
        """True if the analysis did not come to an end: Abort Flag (4010,1024)."""
        return self._text(rules.ABORT_FLAG) == "ABORT"

    @property
    def abort_reasons(self) -> tuple[str, ...]:
        """Abort Reason (4010,1021)."""
        return texts(self.dataset, rules.ABORT_REASON)

    @property
    def threats(self) -> list[Threat]:
        """The potential threat objects, with regions in the order x, y, z. Raises `BadValue`."""
        return self.read_threats()

    def read_threats(self, axes: Axes = Axes.XYZ) -> list[Threat]:
        """Returns the potential threat objects of a report whose author wrote points in another order. Raises
        `BadValue`."""
        return [read(one, axes) for one in items(self.dataset, tags.THREATS)]

    @property
    def total_objects(self) -> int | None:
        """Number of Total Objects (4010,1033)."""
        return integer(self.dataset, rules.TOTAL_OBJECTS)

    @property
    def alarm_objects(self) -> int | None:
        """Number of Alarm Objects (4010,1034)."""
        return integer(self.dataset, rules.ALARM_OBJECTS)

    @property
    def processing_ms(self) -> float | None:
        """Total Processing Time (4010,1069), in ms."""
        return number(self.dataset, rules.TOTAL_TIME)

    @property
    def image_scale(self) -> float | None:
        """Image Scale Representation (4010,1075): of a person's figure on the screen."""
        return number(self.dataset, rules.SCALE)

    @property
    def algorithm(self) -> Algorithm | None:
        """Threat Detection Algorithm and Version (4010,1029)."""
        found = texts(self.dataset, rules.ALGORITHM)
        if not found:
            return None
        pairs = (one.removeprefix("-").partition("=") for one in found[2:])
        return Algorithm(
            manufacturer=found[0],
            version=found[1] if len(found) > 1 else "",
            parameters={name: value for name, _, value in pairs},
        )

    @property
    def operator(self) -> Operator | None:
        """Operator Identification Sequence (0008,1072)."""
        for one in items(self.dataset, rules.OPERATOR)[:1]:
            codes = items(one, rules.PERSON_CODES)
            who, how = (codes[at] if at < len(codes) else Dataset() for at in (0, 1))
            encoded = text(how, rules.CODE_VALUE)
            return Operator(
                id=text(who, rules.CODE_VALUE) or "",
                name=text(who, rules.CODE_MEANING) or "",
                organisation=text(one, rules.ORGANISATION) or "",
                id_type=next((name for name, (code, _) in ID_TYPES.items() if code == encoded), ""),
            )
        return None

    @property
    def scanned(self) -> tuple[Reference, ...]:
        """The objects that the whole report refers to (0008,1110)."""
        return tuple(references(self.dataset, rules.REFERENCED_SCANS))

    def references(self) -> frozenset[Reference]:
        """Returns the objects that the report, or one of its threats, refers to. Raises `BadValue`."""
        return frozenset(rules.all_references(self.dataset))

    def refers_to(self, scanned: DicosObject) -> bool:
        """Returns True if the report or one of its threats refers to the object, and their scans are the same. Raises
        `BadValue`."""
        return _reference(scanned) in self.references() and self.scan_instance_uid == scanned.scan_instance_uid

    def validate(
        self, scanned: DicosObject | Sequence[DicosObject] | None = None, *, axes: Axes = Axes.XYZ
    ) -> list[Finding]:
        """Returns what is missing or wrong, at most 1000 findings. Raises nothing.

        With the scanned object, it also checks that the report belongs to it and that the regions lie inside; with
        several, that the report belongs to all of them.
        """
        objects = () if scanned is None else (scanned,) if isinstance(scanned, DicosObject) else tuple(scanned)
        found = super().validate()
        shape = rules.shape_of(objects[0].dataset) if len(objects) == 1 else None
        found += rules.cross_checks(self.dataset, shape, axes)
        if objects:
            found += rules.link_checks(self.dataset, [one.dataset for one in objects])
        return found[:MOST]


# -- filling ---------------------------------------------------------------------------------------------------------


def _check_arguments(
    kind: str, decision: str | None, reasons: Sequence[str], operator: Operator | None, threats: Sequence[Threat]
) -> None:
    if kind not in rules.KINDS:
        raise ValueError(f"kind {kind!a}; {', '.join(rules.KINDS)} are allowed")
    if decision is not None and decision not in rules.DECISIONS:
        raise ValueError(f"decision {decision!a}; {', '.join(rules.DECISIONS)} are allowed")
    for one in reasons:
        if one not in rules.ABORT_REASONS:
            raise ValueError(f"reason {one!a}; {', '.join(rules.ABORT_REASONS)} are allowed")
    if decision is None and not reasons:  # it comes from the flags: a misspelt one would make it CLEAR
        for flag in (said.flag for threat in threats for said in threat.assessments):
            if flag not in rules.FLAGS:
                raise ValueError(f"flag {flag!a}; {', '.join(rules.FLAGS)} are allowed")
    if kind == "operator" and operator is None:
        raise ValueError("an operator's report without an operator")
    if decision == "ALARM" and not threats:
        raise ValueError("ALARM without a threat; at least one is needed")


def _filled(scanned: Dataset, stamp: Stamp, machine: Machine, instance_number: int) -> Dataset:
    """A data set with the common modules, which says the same as the scanned object of what was scanned."""
    dataset = Dataset()
    common = Common(
        ooi_id=UNKNOWN, stamp=stamp, ooi=OOI(), scan=Scan(), machine=machine, instance_number=instance_number
    )
    common.fill(dataset, uids.DICOS_TDR, "TDR")
    for tag in _COPIED:
        try:
            found = element_of(scanned, tag) if texts(scanned, tag) else None
        except BadValue:  # the report is not lost for it
            found = None
        if found is not None:
            dataset.add(copy(found))  # a change of the report is none of the scan
    if has(scanned, 0x00080005):
        put(dataset, 0x00080005, "ISO_IR 192")  # texts are decoded, and UTF-8 holds all of them
    if rules.FRAME_OF_REFERENCE not in dataset:
        put(dataset, rules.FRAME_OF_REFERENCE, stamp.uid())
    put(dataset, rules.POSITION_REFERENCE, None)
    return dataset


def _put_head(dataset: Dataset, kind: str, decision: str, reasons: Sequence[str], stamp: Stamp) -> None:
    put(dataset, tags.TDR_TYPE, rules.KINDS[kind])
    put(dataset, rules.DECISION, decision)
    put(dataset, rules.DECISION_TIME, stamp.date_time)
    put(dataset, rules.ABORT_FLAG, "ABORT" if reasons else "SUCCESS")
    if reasons:
        put(dataset, rules.ABORT_REASON, list(reasons))
    put(dataset, rules.SCREENED, "NO")


def _complete(threat: Threat, scans: Sequence[Reference], stamp: Stamp) -> Threat:
    return replace(
        threat,
        representations=tuple(
            one if one.references else replace(one, references=tuple(scans)) for one in threat.representations
        ),
        started=threat.started or stamp.at,
        ended=threat.ended or stamp.at,
        processing_ms=threat.processing_ms or 0.0,
    )


def _reference(scanned: DicosObject) -> Reference:
    return Reference(sop_class_uid=scanned.sop_class_uid, sop_instance_uid=scanned.sop_instance_uid or "")


def _algorithm(given: Algorithm) -> list[str]:
    return [given.manufacturer, given.version, *(f"-{name}={value}" for name, value in given.parameters.items())]


def _operator(given: Operator) -> Dataset:
    """The Person Identification Macro, whose second code says how the ID is encoded. [obs, hdr, DICOM PS3.3 10.1]"""
    if given.id_type not in ID_TYPES:
        raise ValueError(f"ID type {given.id_type!a}; {', '.join(ID_TYPES)} are allowed")
    value, meaning = ID_TYPES[given.id_type]
    item = Dataset()
    put(item, rules.ORGANISATION, given.organisation)
    who = _code(given.id, "99LOCAL", given.name or given.id)
    how = _code(value, "DCS", meaning)
    for tag, named in ((0x00080105, "DCS"), (0x00080106, "20220101"), (0x0008010F, "DCS4")):  # [obs, DICOM PS3.3 8.6]
        put(how, tag, named)
    put_items(item, rules.PERSON_CODES, [who, how])
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    put(item, rules.CODE_VALUE, value)
    put(item, rules.CODE_SCHEME, scheme)
    put(item, rules.CODE_MEANING, meaning)
    return item

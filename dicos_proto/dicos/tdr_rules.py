"""The rules of a threat detection report: the tables of its modules, and what must hold between its attributes.

Each rule was tried on pyDICOS 1.3.0 by changing one attribute of a report that it had written and letting it read that
again (`obs`), and compared with the comments in the toolkit's headers (`hdr`), which say what is required, conditional
and allowed.

Knows: rules. Must not know: views. Invariants: those of `findings`: nothing is raised, no finding has a passenger's
value in it, and what is counted is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pydicom.dataset import Dataset

from . import threat_items as tags
from .errors import DicosError
from .findings import Finding, Module, Rule
from .modules import COMMON, one_of
from .regions import MOST_NUMBERS, Axes, Box, RegionError
from .threat_items import points, read_region, references
from .threats import Reference
from .values import element_of, has, integer, items, number, text

__all__ = [
    "ABILITIES", "ABORT_REASONS", "CATEGORIES", "DECISIONS", "FLAGS", "KINDS", "MODULES",
    "all_references", "cross_checks", "link_checks", "shape_of",
]  # fmt: skip

BOTH: Final = ("obs", "hdr")
ENUMERATED: Final = ("hdr", "str")

KINDS: Final = {
    "machine": "MACHINE",
    "operator": "OPERATOR",
    "ground truth": "GROUND TRUTH",
    "aggregate": "AGGREGATE",
    "mod aggregate": "MOD_AGGREGATE",
}
"""The kinds of reports, and how (4010,1027) names them. An aggregate sums up reports on scans of one modality, a mod
aggregate those on several. `UNDEFINED` is allowed too."""
DECISIONS: Final = ("ALARM", "CLEAR", "UNKNOWN")
CATEGORIES: Final = ("EXPLOSIVE", "PI", "CONTRABAND", "ANOMALY", "LAPTOP", "PHARMACEUTICAL", "OTHER")
"""PI is a prohibited item."""
ABILITIES: Final = ("NO_INTERFERENCE", "SHIELD")
FLAGS: Final = ("HIGH_THREAT", "THREAT", "NO_THREAT", "UNKNOWN")
ABORT_REASONS: Final = (
    "OVERSIZE_BAG", "CLIPPED_BAG", "INCOMPLETE_SCAN", "FAILED_RECON", "TIMEOUT", "NOT_REVIEWED", "UNKNOWN_DATATYPE",
    "USER_INTERRUPT", "OUT_OF_BOUNDS",
)  # fmt: skip

ABORT_FLAG, ABORT_REASON, DECISION, DECISION_TIME = 0x40101024, 0x40101021, 0x40101031, 0x4010102B
TOTAL_OBJECTS, ALARM_OBJECTS, ALGORITHM, TOTAL_TIME = 0x40101033, 0x40101034, 0x40101029, 0x40101069
SCALE, SCREENED, CRITERIA, OOI_TYPE = 0x40101075, 0x4010106D, 0x4010106E, 0x40101042
OPERATOR, PERSON_CODES, ORGANISATION, ORGANISATION_CODES = 0x00081072, 0x00401101, 0x00080080, 0x00080082
REFERENCED_SCANS, FRAME_OF_REFERENCE, POSITION_REFERENCE = 0x00081110, 0x00200052, 0x00201040
OOI_ID, SCAN_UID, SOP_CLASS, SOP_INSTANCE = 0x00100020, 0x0020000D, 0x00080016, 0x00080018
CODE_VALUE, CODE_SCHEME, CODE_MEANING = 0x00080100, 0x00080102, 0x00080104
FRAMES, ROWS, COLUMNS = 0x00280008, 0x00280010, 0x00280011


def _said(tag: int, *allowed: str) -> Callable[[Dataset, Dataset], bool]:
    """A condition: the report says one of these."""
    return lambda _item, whole: text(whole, tag) in allowed


def _weighed(item: Dataset, whole: Dataset) -> bool:
    """A report by a machine on something in a CT of an object, not of a person [hdr]."""
    if text(whole, tags.TDR_TYPE) != "MACHINE" or text(whole, OOI_TYPE) == "PERSON":
        return False
    return any(one.is_ct for one in references(item, tags.REFERENCED_INSTANCE))


def _no_person(_item: Dataset, whole: Dataset) -> bool:
    return text(whole, OOI_TYPE) != "PERSON"


_PERSON = _said(OOI_TYPE, "PERSON")
_REFERENCE = (
    Rule(tags.REFERENCED_CLASS, "1", ("obs", "PS3.3 10.8")),
    Rule(tags.REFERENCED_UID, "1", ("obs", "PS3.3 10.8")),
)
_VOXELS = (
    Rule(tags.ROI_BASE, "1", BOTH),
    Rule(tags.ROI_EXTENTS, "1", BOTH),
    Rule(tags.ROI_BITMAP, "2", ("obs",)),
)
_REPRESENTATION = (
    Rule(tags.REFERENCED_INSTANCE, "1", BOTH, items=_REFERENCE),
    Rule(tags.ROI_VOXELS, "1C", BOTH, when=_no_person, condition="if the object is not a person", count=(1, 1),
         items=_VOXELS),
    Rule(tags.MASS, "1C", BOTH, when=_weighed, condition="if a machine reports on a CT"),
    Rule(tags.DENSITY, "1C", BOTH, when=_weighed, condition="if a machine reports on a CT"),
    Rule(tags.Z_EFFECTIVE, "3", ("hdr", "pyd")),
    Rule(tags.VOLUME, "3", ("hdr", "pyd")),
    Rule(tags.CENTRE_OF_MASS, "3", BOTH, count=(3, 3)),
    Rule(tags.CENTRE, "3", BOTH, count=(3, 3)),
    Rule(tags.ANOMALIES, "1C", BOTH, when=_PERSON, condition="if the object is a person",
         items=(Rule(tags.ANOMALY, "1", BOTH, count=(3, 3)),)),
)  # fmt: skip
_ASSESSMENT = (
    Rule(tags.CATEGORY, "1", BOTH, values=frozenset(CATEGORIES), values_sources=ENUMERATED),
    Rule(tags.ABILITY, "1", BOTH, values=frozenset(ABILITIES), values_sources=ENUMERATED),
    Rule(tags.FLAG, "1", BOTH, values=frozenset(FLAGS), values_sources=ENUMERATED),
    Rule(tags.PROBABILITY, "3", ("hdr", "pyd")),
)
_THREAT = (
    Rule(tags.PTO_ID, "1", BOTH),
    Rule(tags.REPRESENTATION, "1", BOTH, items=_REPRESENTATION),
    Rule(tags.ASSESSMENT, "1", BOTH, items=_ASSESSMENT),
    Rule(tags.PROCESSING_START, "1", BOTH),
    Rule(tags.PROCESSING_END, "1", BOTH),
    Rule(tags.PROCESSING_TIME, "1", BOTH),
    Rule(tags.TDR_TYPE, "1C", ("hdr",), when=_said(tags.TDR_TYPE, "MOD_AGGREGATE"),
         condition="if the report is a mod aggregate",
         values=frozenset(("MACHINE", "OPERATOR", "GROUND TRUTH", "UNDEFINED"))),
    Rule(tags.REFERENCED_PTO, "3", ("hdr", "pyd"), items=(
        Rule(tags.PTO_ID, "1", ("hdr",)),
        Rule(tags.REFERENCED_TDR, "1", ("hdr",), items=_REFERENCE),
    )),
)  # fmt: skip
_OPERATOR = (
    Rule(PERSON_CODES, "1", BOTH, count=(2, None), items=(
        Rule(CODE_VALUE, "1", ("str", "PS3.3 8.1")),
        Rule(CODE_SCHEME, "1", ("str", "PS3.3 8.2")),
        Rule(CODE_MEANING, "1", ("str", "PS3.3 8.3")),
    )),
    Rule(ORGANISATION, "1C", ("obs", "PS3.3 10.1"), when=lambda item, _: not has(item, ORGANISATION_CODES),
         condition="if there are no Institution Codes"),
)  # fmt: skip

MODULES: Final = (
    *COMMON,
    Module("General Series", (one_of(0x00080060, "1", ("obs", "hdr T16"), "TDR"),)),
    Module("Frame of Reference", (
        Rule(FRAME_OF_REFERENCE, "1", ("obs", "PS3.3 C.7.4.1")),
        Rule(POSITION_REFERENCE, "2", ("obs", "PS3.3 C.7.4.1")),
    )),
    Module("General Scan", (
        Rule(REFERENCED_SCANS, "1", BOTH, items=_REFERENCE),
    )),
    Module("Threat Detection Report", (
        Rule(tags.TDR_TYPE, "1", BOTH, values=frozenset((*KINDS.values(), "UNDEFINED"))),
        Rule(0x00200013, "1", BOTH),
        Rule(0x00080023, "1", BOTH),
        Rule(0x00080033, "1", BOTH),
        Rule(ALGORITHM, "1C", BOTH, when=_said(tags.TDR_TYPE, "MACHINE"), condition="if the report is a machine's",
             count=(2, None)),
        Rule(OPERATOR, "1C", BOTH, when=_said(tags.TDR_TYPE, "OPERATOR"), condition="if the report is an operator's",
             items=_OPERATOR),
        Rule(DECISION, "1", BOTH, values=frozenset(DECISIONS), values_sources=ENUMERATED),
        Rule(DECISION_TIME, "1", BOTH),
        Rule(ABORT_FLAG, "1", BOTH, values=frozenset(("ABORT", "SUCCESS")), values_sources=ENUMERATED),
        Rule(ABORT_REASON, "1C", BOTH, when=_said(ABORT_FLAG, "ABORT"), condition="if it says ABORT",
             values=frozenset(ABORT_REASONS)),
        Rule(TOTAL_OBJECTS, "1", BOTH),
        Rule(ALARM_OBJECTS, "1", BOTH),
        Rule(TOTAL_TIME, "1", BOTH, least=0.0),
        Rule(SCALE, "1", ("obs",)),
        Rule(SCREENED, "1", ("obs", "str"), values=frozenset(("YES", "NO"))),
        Rule(CRITERIA, "1C", BOTH, when=_said(SCREENED, "YES"), condition="if additional screening was performed",
             values=frozenset(("RANDOM", "BEHAVIORAL", "ALL"))),
    )),
    Module("Threat Sequence", (
        Rule(tags.THREATS, "1C", BOTH, when=_said(DECISION, "ALARM"), condition="if the decision is ALARM",
             count=(0, None), items=_THREAT),
    )),
)  # fmt: skip
"""The modules of a report."""

_TDR, _SEQUENCE, _LINK = "Threat Detection Report", "Threat Sequence", "link to the scanned object"


# -- what must hold between attributes -------------------------------------------------------------------------------


def cross_checks(report: Dataset, shape: Sequence[int] | None, axes: Axes) -> Iterator[Finding]:
    """Yields what does not fit together in a report. `shape` (z, y, x): that of the scanned object, if it is known."""
    yield from _guarded(_counts, report)
    try:
        threats = items(report, tags.THREATS)
        listed = set(references(report, REFERENCED_SCANS))
        seen: set[int | None] = set()
        if number(report, SCALE) is not None and not (number(report, SCALE) or 0) > 0:
            yield Finding(SCALE, "", _TDR, "range", "is not above 0", ("obs",))
    except DicosError:  # a finding of the tables
        return
    for index, threat in enumerate(threats, 1):
        path = f"(4010,1011)[{index}]"
        try:
            identity = integer(threat, tags.PTO_ID)
        except DicosError:
            identity = None
        if identity is not None and identity in seen:
            yield Finding(tags.PTO_ID, path, _SEQUENCE, "unique", "is that of another threat", ("hdr",))
        seen.add(identity)
        yield from _representations(threat, path, listed, shape, axes)
        yield from _probabilities(threat, path)


def _guarded(check: Callable[[Dataset], Iterator[Finding]], report: Dataset) -> Iterator[Finding]:
    """The findings of a check, up to the first attribute that cannot be read: the tables have a finding for it."""
    try:
        yield from check(report)
    except DicosError:
        return


def _counts(report: Dataset) -> Iterator[Finding]:
    threats = items(report, tags.THREATS)
    total, alarms = integer(report, TOTAL_OBJECTS), integer(report, ALARM_OBJECTS)
    decision = text(report, DECISION)

    def found(tag: int, words: str, *sources: str) -> Finding:
        return Finding(tag, "", _TDR, "counts", words, sources)

    if total is not None and total != len(threats):
        yield found(TOTAL_OBJECTS, f"is not the number of threats, {len(threats)}", "obs")
    if alarms is not None and total is not None and alarms > total:
        yield found(ALARM_OBJECTS, "is above the number of all objects", *BOTH)
    if alarms == 0 and decision == "ALARM":
        yield found(ALARM_OBJECTS, "is 0 though the decision is ALARM", "hdr")
    if alarms is not None and alarms > 0 and decision == "CLEAR":
        yield found(ALARM_OBJECTS, "is not 0 though the decision is CLEAR", "hdr")
    if alarms is not None and alarms > sum(map(_alarms, threats)):
        yield found(ALARM_OBJECTS, "is above the number of threats with an assessment that says so", "hdr")


def _alarms(threat: Dataset) -> bool:
    return any(text(one, tags.FLAG) in ("HIGH_THREAT", "THREAT") for one in items(threat, tags.ASSESSMENT))


def _probabilities(threat: Dataset, path: str) -> Iterator[Finding]:
    try:
        for index, one in enumerate(items(threat, tags.ASSESSMENT), 1):
            place = f"{path} (4010,1038)[{index}]"
            if not 0 <= (number(one, tags.PROBABILITY) or 0) <= 1:
                yield Finding(tags.PROBABILITY, place, _SEQUENCE, "range", "is not between 0 and 1", ("hdr",))
    except DicosError:
        return


def _representations(
    threat: Dataset, path: str, listed: set[Reference], shape: Sequence[int] | None, axes: Axes
) -> Iterator[Finding]:
    try:
        shown = items(threat, tags.REPRESENTATION)
    except DicosError:
        return
    for index, one in enumerate(shown, 1):
        place = f"{path} (4010,1037)[{index}]"
        try:
            if not listed.issuperset(references(one, tags.REFERENCED_INSTANCE)):
                yield Finding(
                    tags.REFERENCED_INSTANCE, place, _SEQUENCE, "references",
                    "refers to an object that the Referenced Scans (0008,1110) do not list", ("hdr",),
                )  # fmt: skip
        except DicosError:
            pass
        yield from _polygon(one, place)
        yield from _region(one, place, shape, axes)


def _polygon(shown: Dataset, place: str) -> Iterator[Finding]:
    try:
        count = len(tuple(points(shown, tags.POLYGON)))
        words = f"has {count} point; at least 2 are needed" if count == 1 else ""
    except DicosError:
        words = f"is not made of points with three finite numbers each, at most {MOST_NUMBERS} in all"
    if words or (not has(shown, tags.POLYGON) and element_of(shown, tags.POLYGON) is not None):
        yield Finding(tags.POLYGON, place, _SEQUENCE, "polygon", words or "is empty", BOTH)


def _region(shown: Dataset, place: str, shape: Sequence[int] | None, axes: Axes) -> Iterator[Finding]:
    place = f"{place} (4010,1001)[1]"
    try:
        region = read_region(shown, axes)
    except DicosError:
        region = None  # the tables say what is missing
    if region is None:
        return
    try:
        box = region.box()
    except RegionError as error:
        yield Finding(tags.ROI_EXTENTS, place, _SEQUENCE, "region", str(error), ("hdr", "PS3.3 C.7.6.3"))
        return
    if region.bitmap:
        try:
            region.mask()
        except RegionError as error:
            yield Finding(tags.ROI_BITMAP, place, _SEQUENCE, "bitmap", f"has the wrong size: {error}", BOTH)
    if any(part != int(part) for part in (*region.base, *region.extents)):
        yield Finding(tags.ROI_BASE, place, _SEQUENCE, "region", "has fractions of voxels", ("hdr",))
    if shape is not None:
        yield from _inside(box, place, shape)


def _inside(box: Box, place: str, shape: Sequence[int]) -> Iterator[Finding]:
    if not box.inside(shape):
        z, y, x = shape
        words = f"with the extents goes beyond the scanned object of {x} x {y} x {z} voxels"
        yield Finding(tags.ROI_BASE, place, _SEQUENCE, "region", words, ("hdr", "PS3.3 C.7.6.3"))


def link_checks(report: Dataset, scanned: Sequence[Dataset]) -> Iterator[Finding]:
    """Yields where a report does not belong to the scanned objects."""
    for tag, sources in ((OOI_ID, BOTH), (SCAN_UID, BOTH), (OOI_TYPE, BOTH), (FRAME_OF_REFERENCE, ("obs",))):
        try:
            own, theirs = text(report, tag), {text(one, tag) for one in scanned}
        except DicosError:
            continue
        if own is not None and theirs != {own} and theirs != {None}:
            yield Finding(tag, "", _LINK, "link", "is not that of the scanned object", sources)
    try:
        listed = set(all_references(report))
        found = {
            Reference(sop_class_uid=text(one, SOP_CLASS) or "", sop_instance_uid=text(one, SOP_INSTANCE) or "")
            for one in scanned
        }
    except DicosError:
        return
    if not found <= listed:
        yield Finding(REFERENCED_SCANS, "", _LINK, "link", "does not refer to the scanned object", BOTH)


def all_references(report: Dataset) -> Iterator[Reference]:
    """Yields the objects that a report and its threats refer to. Raises `BadValue`."""
    yield from references(report, REFERENCED_SCANS)
    for threat in items(report, tags.THREATS):
        for one in items(threat, tags.REPRESENTATION):
            yield from references(one, tags.REFERENCED_INSTANCE)


def shape_of(scanned: Dataset) -> tuple[int, int, int] | None:
    """Returns the frames, rows and columns of an object, None if it does not say them."""
    try:
        rows, columns, frames = (integer(scanned, tag) for tag in (ROWS, COLUMNS, FRAMES))
    except DicosError:
        return None
    return None if rows is None or columns is None else (1 if frames is None else frames, rows, columns)

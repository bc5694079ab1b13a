"""Threat detection reports: made, read, and checked."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicos_proto.dicos import (
    TDR,
    Algorithm,
    Assessment,
    Axes,
    BadValue,
    Finding,
    NotDicos,
    Operator,
    Reference,
    ReferencedThreat,
    Region,
    Representation,
    Severity,
    Threat,
    view,
)
from dicos_proto.dicos import tdr_rules as rules
from dicos_proto.dicos import threat_items as tags
from dicos_proto.dicos.findings import MOST
from dicos_proto.registry import uids
from tests.dicos.reports import AT, SHAPE, again, ball, new_ct, new_stamp, new_threat, person, report

OTHER = Reference(sop_class_uid=uids.DICOS_TDR, sop_instance_uid="1.2.3")
OPERATOR = Operator(id="OP-7", name="DOE^JANE", organisation="Airport", id_type="PIV")
SYNTAXES = (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED)


def test_a_machine_reports_a_threat() -> None:
    ct = new_ct()
    tdr = TDR.new(
        ct, [new_threat(ct, probability=0.75)], stamp=new_stamp(), processing_ms=12.5, image_scale=2,
        algorithm=Algorithm(manufacturer="M", version="2", parameters={"threshold": "0.5"}),
    )  # fmt: skip
    for syntax in SYNTAXES:
        found = view(again(tdr.dataset, syntax))
        assert isinstance(found, TDR)
        assert found.validate(ct) == []
        assert (found.tdr_type, found.decision, found.decided, found.aborted) == ("MACHINE", "ALARM", AT, False)
        assert (found.total_objects, found.alarm_objects, found.processing_ms, found.image_scale) == (1, 1, 12.5, 2)
        assert found.algorithm == Algorithm(manufacturer="M", version="2", parameters={"threshold": "0.5"})
        assert (found.abort_reasons, found.operator) == ((), None)
        assert (found.ooi_id, found.scan_instance_uid) == (ct.ooi_id, ct.scan_instance_uid)
        assert found.refers_to(ct)
        (threat,) = found.threats
        assert (threat.mask(SHAPE) == ball()).all()
        assert (threat.id, threat.category, threat.probability, threat.started) == (1, "EXPLOSIVE", 0.75, AT)
        assert threat.representations[0].references == found.scanned
        assert found.references() == {*found.scanned}


@pytest.mark.parametrize(
    ("options", "decision"),
    [({}, "CLEAR"), ({"abort": "TIMEOUT"}, "UNKNOWN"),
     ({"abort": ["TIMEOUT", "FAILED_RECON"], "decision": "CLEAR"}, "CLEAR"),
     ({"decision": "UNKNOWN"}, "UNKNOWN"), ({"kind": "ground truth"}, "CLEAR"),
     ({"kind": "operator", "operator": OPERATOR}, "CLEAR")],
)  # fmt: skip
def test_reports_without_a_threat(options: dict[str, Any], decision: str) -> None:
    ct = new_ct()
    tdr = TDR.new(ct, stamp=new_stamp(), **options)
    assert tdr.validate(ct) == []
    assert (tdr.decision, tdr.threats, tdr.total_objects) == (decision, [], 0)
    assert tdr.aborted is ("abort" in options)
    reasons = options.get("abort", ())
    assert tdr.abort_reasons == ((reasons,) if isinstance(reasons, str) else tuple(reasons))


def test_a_threat_that_is_none_does_not_alarm() -> None:
    ct = new_ct()
    tdr = report(ct=ct, threats=[new_threat(ct, flag="NO_THREAT")])
    assert (tdr.decision, tdr.total_objects, tdr.alarm_objects, tdr.validate(ct)) == ("CLEAR", 1, 0, [])


def test_an_operator_reports() -> None:
    tdr = report(kind="operator", operator=OPERATOR)
    assert (tdr.tdr_type, tdr.operator, tdr.algorithm, tdr.validate()) == ("OPERATOR", OPERATOR, None, [])
    tdr = report(kind="operator", operator=Operator(id="7"), algorithm=Algorithm())
    assert tdr.operator == Operator(id="7", name="7")
    assert tdr.algorithm == Algorithm()
    tdr.dataset.OperatorIdentificationSequence[0].PersonIdentificationCodeSequence = []
    assert tdr.operator == Operator(id="", id_type="")
    del tdr.dataset.OperatorIdentificationSequence[0].InstitutionName
    assert tdr.operator == Operator(id="", id_type="", organisation="")


def test_aggregates_refer_to_other_reports() -> None:
    ct = new_ct()
    threat = replace(new_threat(ct), referenced=(ReferencedThreat(id=3, tdr=OTHER),))
    tdr = report(ct=ct, threats=[threat], kind="aggregate", reports=[OTHER])
    assert (tdr.tdr_type, tdr.validate(ct)) == ("AGGREGATE", [])
    assert tdr.threats[0].referenced == threat.referenced
    assert OTHER in tdr.scanned
    mod = report(ct=ct, threats=[replace(threat, origin="MACHINE")], kind="mod aggregate", reports=[OTHER])
    assert (mod.tdr_type, mod.threats[0].origin, mod.validate(ct)) == ("MOD_AGGREGATE", "MACHINE", [])
    (finding,) = report(ct=ct, threats=[threat], kind="mod aggregate").validate(ct)
    assert (finding.tag, finding.rule) == (tags.TDR_TYPE, "type 1C")


def test_a_report_on_a_person() -> None:
    scanned = person()
    tdr = report(ct=scanned, threats=[new_threat(scanned)])
    assert tdr.validate(scanned) == []
    assert tdr.threats[0].representations[0].anomalies == ((20.0, 8.0, 7.0),)
    image = Representation(region=Region(base=(3, 4, 0), extents=(5, 6, 1)), anomalies=((5, 6, 0),))
    tdr = report(ct=scanned, threats=[Threat(representations=(image,))])
    assert tdr.validate(scanned) == []
    (finding,) = report(ct=scanned, threats=[Threat()]).validate(scanned)
    assert finding.tag == tags.ANOMALIES


def test_a_report_on_several_objects_of_a_scan() -> None:
    first = new_ct()
    second = new_ct()
    second.dataset.SOPInstanceUID = "1.2.3.4"
    named = Reference(sop_class_uid=uids.DICOS_CT, sop_instance_uid="1.2.3.4")
    shown = new_threat(first).representations[0]
    threat = replace(new_threat(first), representations=(shown, replace(shown, references=(named,))))
    tdr = TDR.new([first, second], [threat], stamp=new_stamp())
    assert len(tdr.scanned) == 2
    assert tdr.validate([first, second]) == tdr.validate() == []
    assert tdr.threats[0].representation("1.2.3.4") is not None
    assert tdr.refers_to(second)
    second.dataset.SOPInstanceUID = "1.2.3.5"
    assert not tdr.refers_to(second)


def test_points_in_another_order() -> None:
    ct = new_ct()
    for axes in Axes:
        tdr = report(ct=ct, axes=axes)
        assert (tdr.read_threats(axes)[0].mask(SHAPE) == ball()).all()
        assert tdr.validate(ct, axes=axes) == []
    assert {one.rule for one in report(ct=ct, axes=Axes.ZYX).validate(ct)} == {"region"}


def test_odd_values_of_the_scan_do_not_cost_the_report() -> None:
    ct = new_ct()
    dataset = ct.dataset
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientID = "Zoë"
    dataset.add(DataElement(0x00200010, "SH", Dataset(), already_converted=True))
    dataset[0x00080020] = RawDataElement(BaseTag(0x00080020), "FL", 3, b"abc", 0, False, True)
    del dataset.FrameOfReferenceUID
    dataset.PatientSex = None
    tdr = TDR.new(ct, stamp=new_stamp())
    found = view(again(tdr.dataset))
    assert found.ooi_id == "Zoë"
    assert found.validate() == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "human"}, "kind 'human'"), ({"decision": "MAYBE"}, "decision 'MAYBE'"),
        ({"abort": "BORED"}, "reason 'BORED'"), ({"kind": "operator"}, "without an operator"),
        ({"threats": [Threat(assessments=(Assessment(flag="threat"),))]}, "flag 'threat'; HIGH_THREAT, THREAT"),
        ({"decision": "ALARM", "threats": []}, "ALARM without a threat"),
        ({"threats": [Threat()] * 70_000}, "70000 threats; 65535 are allowed"),
        ({"operator": Operator(id="x", id_type="FACE")}, "ID type 'FACE'"),
        ({"processing_ms": float("nan")}, "32 bits"), ({"algorithm": Algorithm(version="x" * 65)}, "65 characters"),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_is_not_made(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        report(**options)


def test_a_change_of_the_report_does_not_change_the_scan() -> None:
    ct = new_ct()
    report(ct=ct).dataset.PatientID = "BAG-2"
    assert ct.ooi_id == "BAG-1"


def test_a_report_needs_a_scanned_object() -> None:
    with pytest.raises(ValueError, match="no scanned object"):
        TDR.new([], stamp=new_stamp())
    with pytest.raises(NotDicos):
        TDR(new_ct().dataset)


# -- what is found ---------------------------------------------------------------------------------------------------


def found(change: Callable[[Dataset], object], **options: Any) -> list[Finding]:
    ct = new_ct()
    return report(change, ct=ct, threats=[new_threat(ct)], **options).validate(ct)


def threat_of(dataset: Dataset, *path: int) -> Dataset:
    at = dataset[tags.THREATS].value[0]
    for step in path:
        at = at[step].value[0]
    assert isinstance(at, Dataset)
    return at


def put_in(tag: int, vr: str, value: Any, *path: int) -> Callable[[Dataset], object]:
    def change(dataset: Dataset) -> None:
        threat_of(dataset, *path).add(DataElement(tag, vr, value, already_converted=True))

    return change


def put(tag: int, vr: str, value: Any) -> Callable[[Dataset], object]:
    return lambda dataset: dataset.add(DataElement(tag, vr, value, already_converted=True))


def drop(tag: int, *path: int) -> Callable[[Dataset], object]:
    def change(dataset: Dataset) -> None:
        del (threat_of(dataset, *path) if path or tag in threat_of(dataset) else dataset)[tag]

    return change


SHOWN, VOXELS = (tags.REPRESENTATION,), (tags.REPRESENTATION, tags.ROI_VOXELS)
OBSERVED = [
    (drop(tags.PTO_ID), tags.PTO_ID), (drop(tags.REPRESENTATION), tags.REPRESENTATION),
    (drop(tags.ASSESSMENT), tags.ASSESSMENT), (drop(tags.PROCESSING_START), tags.PROCESSING_START),
    (drop(tags.ROI_VOXELS, *SHOWN), tags.ROI_VOXELS), (drop(tags.MASS, *SHOWN), tags.MASS),
    (drop(tags.DENSITY, *SHOWN), tags.DENSITY), (drop(tags.ROI_BASE, *VOXELS), tags.ROI_BASE),
    (drop(tags.CATEGORY, tags.ASSESSMENT), tags.CATEGORY), (drop(rules.ALGORITHM), rules.ALGORITHM),
    (drop(rules.DECISION), rules.DECISION), (drop(rules.DECISION_TIME), rules.DECISION_TIME),
    (drop(rules.ABORT_FLAG), rules.ABORT_FLAG), (drop(rules.TOTAL_OBJECTS), rules.TOTAL_OBJECTS),
    (drop(rules.TOTAL_TIME), rules.TOTAL_TIME), (drop(rules.REFERENCED_SCANS), rules.REFERENCED_SCANS),
    (drop(rules.FRAME_OF_REFERENCE), rules.FRAME_OF_REFERENCE),
    (put(rules.ABORT_FLAG, "CS", "ABORT"), rules.ABORT_REASON), (put(rules.SCREENED, "CS", "YES"), rules.CRITERIA),
    (put(tags.TDR_TYPE, "CS", "OPERATOR"), rules.OPERATOR), (put(tags.TDR_TYPE, "CS", "GROUND_TRUTH"), tags.TDR_TYPE),
    (put(rules.TOTAL_TIME, "FL", -1.0), rules.TOTAL_TIME), (put(rules.ALARM_OBJECTS, "US", 2), rules.ALARM_OBJECTS),
    (put(0x00080060, "CS", "CT"), 0x00080060), (put_in(tags.POLYGON, "FL", [1.0, 2.0, 3.0], *SHOWN), tags.POLYGON),
    (put_in(tags.POLYGON, "FL", [1.0, 2.0, 3.0, 4.0], *SHOWN), tags.POLYGON),
    (put_in(tags.POLYGON, "FL", None, *SHOWN), tags.POLYGON),
    (put_in(tags.CENTRE_OF_MASS, "FL", [1.0, 2.0], *SHOWN), tags.CENTRE_OF_MASS),
    (put_in(tags.ROI_BITMAP, "OB", b"\1\0", *VOXELS), tags.ROI_BITMAP),
    (put_in(tags.CATEGORY, "CS", "COFFEE", tags.ASSESSMENT), tags.CATEGORY),
    (put(0x0020000D, "UI", "1.2.3"), 0x0020000D), (put(0x00100020, "LO", "BAG-2"), 0x00100020),
]  # fmt: skip


@pytest.mark.parametrize(("change", "tag"), OBSERVED)
def test_what_pydicos_refuses_is_an_error(change: Callable[[Dataset], object], tag: int) -> None:
    errors = [one for one in found(change) if one.severity is Severity.ERROR]
    assert tag in {one.tag for one in errors}
    assert all("BAG" not in str(one) for one in errors)


WARNED = [
    (put(rules.TOTAL_OBJECTS, "US", 2), rules.TOTAL_OBJECTS), (put(rules.ALARM_OBJECTS, "US", 0), rules.ALARM_OBJECTS),
    (put(rules.DECISION, "CS", "CLEAR"), rules.ALARM_OBJECTS),
    (put_in(tags.FLAG, "CS", "UNKNOWN", tags.ASSESSMENT), rules.ALARM_OBJECTS),
    (put_in(tags.PROBABILITY, "FL", 1.5, tags.ASSESSMENT), tags.PROBABILITY),
    (put_in(tags.ROI_BASE, "FL", [1.25, 2.0, 3.0], *VOXELS), tags.ROI_BASE),
    (lambda one: one[tags.THREATS].value.append(one[tags.THREATS].value[0]), tags.PTO_ID),
    (lambda one: setattr(one.ReferencedStudySequence[0], "ReferencedSOPInstanceUID", "1.2"), tags.REFERENCED_INSTANCE),
    (put(rules.SCALE, "FD", 0.0), rules.SCALE), (drop(tags.ROI_BITMAP, *VOXELS), tags.ROI_BITMAP),
    (put(rules.FRAME_OF_REFERENCE, "UI", "1.2"), rules.FRAME_OF_REFERENCE), (drop(rules.SCREENED), rules.SCREENED),
]  # fmt: skip


@pytest.mark.parametrize(("change", "tag"), WARNED)
def test_what_one_source_says_is_a_warning(change: Callable[[Dataset], object], tag: int) -> None:
    findings = found(change)
    assert tag in {one.tag for one in findings}
    assert {one.severity for one in findings if one.tag == tag} == {Severity.WARNING}


@pytest.mark.parametrize("numbers", [[0.0, 2.0, 2.0], [float("nan"), 1.0, 1.0], [1e38, 1.0, 1.0], [-1.0, 1.0, 1.0]])
def test_a_region_that_makes_no_sense_is_found(numbers: list[float]) -> None:
    findings = found(put_in(tags.ROI_EXTENTS, "FL", numbers, *VOXELS))
    (finding,) = (one for one in findings if one.rule == "region")
    assert finding.severity is Severity.ERROR
    assert finding.path == "(4010,1011)[1] (4010,1037)[1] (4010,1001)[1]"


def test_a_region_outside_the_scanned_object_is_found() -> None:
    ct = new_ct()
    tdr = report(put_in(tags.ROI_BASE, "FL", [28.0, 1.0, 1.0], *VOXELS), ct=ct)
    (finding,) = tdr.validate(ct)
    assert (finding.rule, finding.severity) == ("region", Severity.ERROR)
    assert "beyond the scanned object of 30 x 20 x 12 voxels" in finding.text
    assert tdr.validate() == tdr.validate([ct, ct]) == []
    ct.dataset.add(DataElement(0x00280010, "FL", float("nan")))
    assert tdr.validate(ct) == []  # nobody knows how large it is
    del ct.dataset[0x00280010]
    assert tdr.validate(ct) == []
    ct.dataset.Rows = 20
    del ct.dataset.NumberOfFrames
    assert "30 x 20 x 1 voxels" in tdr.validate(ct)[0].text


def test_a_report_on_something_else_is_found() -> None:
    ct = new_ct()
    other = new_ct()
    other.dataset.SOPInstanceUID = "1.2.3.4"
    (finding,) = report(ct=ct).validate(other)
    assert (finding.tag, finding.rule) == (rules.REFERENCED_SCANS, "link")
    del other.dataset.PatientID
    assert report(ct=ct).validate(other) == [finding]
    other.dataset.add(DataElement(0x00100020, "LO", Dataset(), already_converted=True))
    other.dataset.add(DataElement(0x00080018, "LO", Dataset(), already_converted=True))
    assert report(ct=ct).validate(other) == []


EVERY = [
    tags.THREATS, tags.PTO_ID, tags.REPRESENTATION, tags.ASSESSMENT, tags.REFERENCED_INSTANCE, tags.ROI_VOXELS,
    tags.ROI_BASE, tags.ROI_EXTENTS, tags.ROI_BITMAP, tags.POLYGON, tags.PROBABILITY, tags.FLAG, tags.CENTRE,
    tags.ANOMALIES, tags.TDR_TYPE, rules.TOTAL_OBJECTS, rules.ALARM_OBJECTS, rules.DECISION, rules.SCALE,
    rules.ABORT_FLAG, rules.REFERENCED_SCANS, rules.OPERATOR, rules.PERSON_CODES, rules.OOI_TYPE, rules.SCREENED,
]  # fmt: skip
ODD: list[tuple[str, Any]] = [
    ("LO", "text"), ("OB", b"\0\1"), ("US", 65535), ("US", [1, 2]), ("FL", float("nan")), ("FL", [1.0] * 7), ("SQ", []),
    ("SQ", [Dataset()]), ("CS", None), ("CS", ["A", "B"]), ("FD", 1e300), ("DS", "x"), ("UI", "1.2"),
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(EVERY), st.sampled_from(ODD), st.integers(0, 3)), min_size=1, max_size=4))
def test_odd_data_sets_have_findings_and_raise_nothing_else(changes: list[tuple[int, tuple[str, Any], int]]) -> None:
    ct = new_ct()
    tdr = report(ct=ct)
    for tag, (vr, value), depth in changes:
        at = tdr.dataset
        for step in (tags.THREATS, *VOXELS)[:depth]:
            inner = at.get(step)
            if inner is None or inner.VR != "SQ" or not inner.value:
                break
            at = inner.value[0]
        made = Dataset()
        made.add(DataElement(tag, vr, value, already_converted=vr != "SQ"))
        at.add(made[tag])
    findings = tdr.validate(ct)
    assert all(isinstance(str(one), str) for one in findings)
    for read in (
        lambda: tdr.threats, lambda: tdr.operator, lambda: tdr.references(), lambda: tdr.refers_to(ct),
        lambda: tdr.algorithm, lambda: tdr.decided, lambda: tdr.aborted,
    ):  # fmt: skip
        try:
            read()
        except BadValue:
            assert findings


def test_findings_are_bounded() -> None:
    def change(dataset: Dataset) -> None:
        item = dataset[tags.THREATS].value[0]
        dataset[tags.THREATS].value.extend([item] * 3000)

    assert len(found(change)) == MOST


def test_an_assessment_that_cannot_be_read_ends_its_checks() -> None:
    for tag, path in ((tags.ASSESSMENT, ()), (tags.REPRESENTATION, ()), (tags.PTO_ID, ()), (tags.ROI_BASE, VOXELS)):
        findings = found(put_in(tag, "LO", "text", *path))
        assert tag in {one.tag for one in findings}
    assert found(put(tags.THREATS, "LO", "text"))
    assert found(put_in(tags.REFERENCED_INSTANCE, "LO", "text", *SHOWN))
    assert found(put_in(tags.PROBABILITY, "LO", "text", tags.ASSESSMENT))
    assert found(put(rules.OOI_TYPE, "OB", b"x"))


def test_an_algorithm_without_a_version() -> None:
    tdr = report(put(rules.ALGORITHM, "LO", "M"))
    assert tdr.algorithm == Algorithm(manufacturer="M", version="")
    assert {one.rule for one in tdr.validate()} == {"value multiplicity"}


def test_assessments_say_what_alarms() -> None:
    ct = new_ct()
    threat = replace(new_threat(ct), assessments=(Assessment(flag="NO_THREAT"), Assessment(flag="HIGH_THREAT")))
    assert report(ct=ct, threats=[threat, replace(threat, id=4)]).alarm_objects == 2
    assert np.array_equal(report(ct=ct, threats=[threat]).threats[0].mask(SHAPE), ball())

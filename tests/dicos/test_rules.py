"""The rules of the modules: each attribute that is mandatory is missed when it is gone, and said where it is."""

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicos_proto.data import decode_object, encode
from dicos_proto.dicos import (
    AIT2D,
    AIT3D,
    CT,
    DX,
    OOI,
    QR,
    Code,
    DicosObject,
    Finding,
    Measurement,
    Place,
    Section,
    Severity,
    view,
)  # fmt: skip
from dicos_proto.dicos.checks import check_all
from dicos_proto.dicos.findings import MOST, Module, Rule, check, severity_of
from dicos_proto.registry import uids

from .making import element, every_element, rules, sequence, stamp, volume

CODE = Code(value="RDX", scheme="99TEST", meaning="RDX")
POLYGON = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
MADE: dict[str, Callable[[], DicosObject]] = {
    "ct": lambda: CT.new(volume(), ooi_id="BAG-1", stamp=stamp()),
    "dx": lambda: DX.new(volume(shape=(6, 8)), ooi_id="BAG-1", stamp=stamp()),
    "ait2d": lambda: AIT2D.new(volume(shape=(6, 8)), ooi_id="LANE-1", stamp=stamp()),
    "ait3d": lambda: AIT3D.new(volume(), ooi_id="LANE-1", stamp=stamp()),
    "qr": lambda: QR.new(
        [Measurement(material=CODE, signal_to_noise=1, threshold=2, polygon=POLYGON)], ooi_id="B", stamp=stamp()
    ),
}
OPTIONAL = {
    "ct": set(), "dx": set(), "ait3d": set(), "qr": set(),
    "ait2d": {0x00080023, 0x00080033, 0x00200013, 0x00282110},
}  # fmt: skip
"""Attributes that are made though no source asks for them. An empty Algorithm Routing Code Sequence is read [obs], and
a gender is asked of a person."""

MAY_BE_EMPTY = {
    0x00080070, 0x00080080, 0x00080081, 0x00081010, 0x00081090, 0x00181000, 0x00181020, 0x00181200, 0x00181201,
    0x00400555, 0x40101064,
}  # fmt: skip
"""Type 2: the equipment, the acquisition context and the algorithm routing."""
MORE_MAY_BE_EMPTY = {
    "ct": {0x00189073, 0x00201040}, "dx": {0x00187004}, "ait2d": set(), "ait3d": {0x00201040}, "qr": {0x00400555},
}  # fmt: skip
"""Acquisition duration, position reference, detector type."""


@cache
def encoded(kind: str) -> bytes:
    return encode(MADE[kind]().dataset, uids.EXPLICIT_VR_LE)


def fresh(kind: str) -> DicosObject:
    """An object whose data set can be changed and copied: its pixel data is bytes."""
    return view(decode_object(encoded(kind), uids.EXPLICIT_VR_LE))


def mandatory(kind: str) -> Iterator[int]:
    """Positions of the elements of an object, in the order of `every_element`."""
    return iter(range(sum(1 for _ in every_element(fresh(kind).dataset))))


@pytest.mark.parametrize("kind", MADE)
def test_what_is_made_breaks_no_rule(kind: str) -> None:
    assert fresh(kind).validate() == []


@pytest.mark.parametrize("kind", MADE)
def test_an_attribute_that_is_gone_is_missed(kind: str) -> None:
    silent = set()
    for position in mandatory(kind):
        one = fresh(kind)
        holder, tag = list(every_element(one.dataset))[position]
        if tag == 0x00080016:
            continue
        del holder[tag]
        found = one.validate()
        if not any(finding.tag == tag for finding in found):
            silent.add(tag)
    assert silent - {0x40101064, 0x00100040} == OPTIONAL[kind]


@pytest.mark.parametrize("kind", MADE)
def test_an_attribute_that_is_empty_is_missed_if_it_needs_a_value(kind: str) -> None:
    silent = set()
    for position in mandatory(kind):
        one = fresh(kind)
        holder, tag = list(every_element(one.dataset))[position]
        if tag == 0x00080016:
            continue
        element(holder, tag, holder[tag].VR, sequence() if holder[tag].VR == "SQ" else None)
        found = [each for each in one.validate() if each.tag == tag]
        if not found:
            silent.add(tag)
        assert all(
            one in ("type 1", "type 1C", "number of items", "pixel data length")
            for one in {each.rule for each in found}
        )
        assert all("empty" in each.text or "item" in each.text or "bytes" in each.text for each in found), hex(tag)
    assert silent == MAY_BE_EMPTY | OPTIONAL[kind] | MORE_MAY_BE_EMPTY[kind]


@pytest.mark.parametrize("kind", MADE)
def test_each_rule_says_its_sources(kind: str) -> None:
    def walk(given: tuple[Rule, ...]) -> Iterator[Rule]:
        for rule in given:
            yield rule
            yield from walk(rule.items)

    for module in MADE[kind]().modules:
        for rule in walk(module.rules):
            assert rule.sources, (module.name, hex(rule.tag))
            assert all(source.split()[0] in ("obs", "hdr", "str", "pyd", "PS3.3") for source in rule.sources)
            assert (rule.when is None) == (rule.condition == "")


def test_one_source_is_a_warning_and_two_are_an_error() -> None:
    assert severity_of(("obs", "str")) is Severity.WARNING
    assert severity_of(("hdr T15", "hdr T16")) is Severity.WARNING
    assert severity_of(("obs", "hdr T16")) is Severity.ERROR
    ct = fresh("ct")
    del ct.dataset[0x43000902]
    (found,) = ct.validate()
    assert str(found) == "warning: Effective Energy (4300,0902) is missing [CT Image, type 1; obs]"


def test_a_finding_says_where_it_is() -> None:
    ct = fresh("ct")
    del ct.dataset.SharedFunctionalGroupsSequence[0][0x00189325].value[0].KVP
    element(ct.dataset.PerFrameFunctionalGroupsSequence[1][0x00209113].value[0], 0x00200032, "DS", [1, 2])
    assert [str(one) for one in ct.validate()] == [
        "error: KVP (0018,0060) is missing, required if the image is original in (5200,9229)[1] (0018,9325)[1]"
        " [Multi-frame Functional Groups, type 1C; obs, hdr T23]",
        "error: Image Position (0020,0032) has 2 values; 3 are allowed in (5200,9230)[2] (0020,9113)[1]"
        " [Multi-frame Functional Groups, value multiplicity; obs, PS3.3 C.7.6.16.2.3]",
    ]


def test_a_condition_that_does_not_hold_asks_nothing() -> None:
    ct = fresh("ct")
    ct.dataset.ImageType = ["DERIVED", "HIGH ENERGY", "VOLUME", "NONE"]
    del ct.dataset.AcquisitionDateTime, ct.dataset.AcquisitionDuration
    ct.dataset.SharedFunctionalGroupsSequence[0][0x00189329].value[0].FrameType = ct.dataset.ImageType
    assert ct.validate() == []
    ct.dataset.AcquisitionDateTime = ""
    assert rules(ct.validate()) == [("0008002A", "type 1C")]
    ct.dataset.ImageType[1] = "BASIS_MATERIAL_1"
    assert ("40101045", "type 1C") in rules(ct.validate())


def test_a_person_has_a_gender() -> None:
    ct = CT.new(volume(), ooi_id="P", stamp=stamp(), ooi=OOI(type="PERSON"))
    assert ct.validate() == []
    del ct.dataset.PatientSex
    assert [str(one) for one in ct.validate()] == [
        "error: OOI Gender (0010,0040) is missing, required if the OOI type is PERSON"
        " [Object of Inspection, type 1C; obs, hdr]"
    ]


# -- checks between attributes ---------------------------------------------------------------------------------------


def test_there_is_a_group_for_each_frame() -> None:
    ct = fresh("ct")
    del ct.dataset.PerFrameFunctionalGroupsSequence[2]
    (found,) = ct.validate()
    assert (found.text, found.rule) == ("has 2 items for 3 frames", "number of items")


def test_a_macro_is_in_the_shared_group_or_in_each_frame() -> None:
    ct = fresh("ct")
    shared, frames = ct.dataset.SharedFunctionalGroupsSequence[0], ct.dataset.PerFrameFunctionalGroupsSequence
    frames[0].add(copy.deepcopy(shared[0x00289110]))
    assert [(one.tag, one.text) for one in ct.validate()] == [
        (0x00289110, "is in the shared and in the per-frame groups")
    ]
    del shared[0x00289110]
    assert [one.text for one in ct.validate()] == [
        "is missing or empty in the shared group, and in 2 of 3 per-frame ones"
    ]
    del ct.dataset.SharedFunctionalGroupsSequence
    assert ("00209116", "type 1") in rules(ct.validate())


def test_orientations_are_two_unit_vectors_and_spacings_are_not_zero() -> None:
    ct = fresh("ct")
    shared = ct.dataset.SharedFunctionalGroupsSequence[0]
    shared[0x00209116].value[0].ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
    shared[0x00289110].value[0].PixelSpacing = [0, 1]
    assert rules(ct.validate()) == [("00200037", "orientation"), ("00280030", "spacing")]
    assert ct.validate()[0].path == "(5200,9229)[1] (0020,9116)[1]"


def test_frames_of_one_section_are_at_equal_steps() -> None:
    given = [Section(volume=volume()), Section(volume=volume(), place=Place(position=(0, 0, 9)))]
    (ct,) = CT.new(sections=given, ooi_id="BAG-1", stamp=stamp())
    ct.dataset.PerFrameFunctionalGroupsSequence[5][0x00209113].value[0].ImagePositionPatient = [0, 0, 7]
    (found,) = ct.validate()
    assert str(found) == (
        "warning: Stack ID (0020,9056) names a section in which 1 frames are at another step or place"
        " in (5200,9230)[6] (0020,9111)[1] [Frame Content, sections; PS3.3 C.7.6.16.2.2]"
    )


def test_an_original_image_is_not_calculated() -> None:
    ct = fresh("ct")
    ct.dataset.VolumeBasedCalculationTechnique = "MAX_IP"
    ct.dataset.ImageType = ["ORIGINAL", "HIGH ENERGY", "VOLUME", "MAXIMUM"]
    assert rules(ct.validate()) == [
        ("00089207", "image type"), ("00080008", "image type"), ("00089007", "image type")
    ]  # fmt: skip
    ct.dataset.ImageType = ["MIXED", "HIGH ENERGY", "VOLUME", "MIXED"]
    assert ct.validate() == []


def test_energies_of_frames_are_those_of_the_image() -> None:
    ct = fresh("ct")
    ct.dataset.ImageType = ["ORIGINAL", "LOW ENERGY", "VOLUME", "NONE"]
    (found,) = ct.validate()
    assert (found.rule, found.path, found.severity) == ("image type", "(5200,9229)[1] (0018,9329)[1]", "warning")


def test_a_check_that_meets_an_odd_attribute_says_so() -> None:
    ct = fresh("ct")
    element(ct.dataset, 0x52009230, "LO", "no sequence")
    assert ("52009230", "value representation") in rules(ct.validate())
    assert ("52009230", "cross-check") in rules(ct.validate())

    def odd(dataset: Dataset) -> Iterator[Finding]:
        yield from ()
        from dicos_proto.dicos import DicosError

        raise DicosError("of no attribute")

    (found,) = check_all(ct.dataset, (odd,))
    assert (found.tag, found.rule) == (0x00080016, "cross-check")


# -- the engine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [999, 1000, 1500])
def test_the_number_of_findings_is_limited(odd: int) -> None:
    ct = CT.new(np.zeros((1500, 1, 1), np.uint8), ooi_id="BAG-1", stamp=stamp())
    for group in ct.dataset.PerFrameFunctionalGroupsSequence[:odd]:
        del group[0x00209113].value[0].ImagePositionPatient
    del ct.dataset.SharedFunctionalGroupsSequence[0][0x00189329]
    assert len(ct.validate()) == MOST


def test_a_sequence_that_is_none_is_a_finding() -> None:
    ct = fresh("ct")
    with suppress(TypeError):  # pydicom keeps it, as a sequence, and then refuses it
        element(ct.dataset, 0x52009229, "UN", "odd")
    assert ct.dataset[0x52009229].VR == "SQ"
    assert ("52009229", "value representation") in rules(ct.validate())


def test_the_number_of_items_that_are_checked_is_limited() -> None:
    dataset = Dataset()
    element(dataset, 0x40101071, "SQ", sequence(*(Dataset() for _ in range(100_001))))
    rule = Rule(0x40101071, "1", ("obs",), items=(Rule(0x00220155, "3", ("obs",)),))
    assert check(dataset, [Module("Many", (rule,))]) == []


def test_there_is_one_shared_group() -> None:
    ct = fresh("ct")
    ct.dataset.SharedFunctionalGroupsSequence.append(Dataset())
    (found,) = ct.validate()
    assert (found.tag, found.rule, found.text) == (0x52009229, "number of items", "has 2 items; 1 is allowed")


def test_the_engine_knows_every_type() -> None:
    dataset = Dataset()
    dataset.PatientID = ""
    dataset.ContentDate = "20260101"
    dataset.Rows = 5

    def found(*given: Rule) -> list[tuple[str, str]]:
        return [(one.rule, one.text) for one in check(dataset, [Module("M", given)])]

    assert found(Rule(0x00100020, "1", ("obs",)), Rule(0x00100020, "2", ("obs",)), Rule(0x00100020, "3", ("obs",))) == [
        ("type 1", "is empty")
    ]
    assert found(Rule(0x00100021, "2", ("obs",)), Rule(0x00100021, "2C", ("obs",))) == [("type 2", "is missing")]
    assert found(Rule(0x00280010, "1", ("obs",), count=(2, None))) == [
        ("value multiplicity", "has 1 values; 2 or more are allowed")
    ]
    assert found(Rule(0x00280010, "1", ("obs",), count=(2, 3))) == [
        ("value multiplicity", "has 1 values; 2 to 3 are allowed")
    ]
    assert found(Rule(0x00280010, "1", ("obs",), least=6)) == [("range", "is less than 6")]
    element(dataset, 0x00280010, "LO", "5")
    assert found(Rule(0x00280010, "1", ("obs",))) == [("value representation", "is LO; US is allowed")]
    element(dataset, 0x00280010, "US", 0.5)
    assert found(Rule(0x00280010, "1", ("obs",))) == [("value representation", "is not a whole number")]
    element(dataset, 0x00280010, "US", "odd")
    assert found(Rule(0x00280010, "1", ("obs",))) == [("value representation", "has a value that cannot be used")]
    element(dataset, 0x00990010, "LO", "private")
    assert found(Rule(0x00990010, "3", ("obs",))) == []
    element(dataset, 0x7FE00010, "OW", b"\0\1")
    assert found(Rule(0x7FE00010, "1", ("obs",))) == []


def test_a_condition_on_an_odd_attribute_does_not_hold() -> None:
    ct = fresh("ct")
    element(ct.dataset, 0x00080008, "CS", [b"\1", b"\2"])
    assert ("00080008", "value representation") in rules(ct.validate())


def test_sections_of_different_places_break_no_rule() -> None:
    given = [
        Section(volume=volume()),
        Section(volume=volume(), place=Place(spacing=(2, 2, 2), slope=2, position=(0, 0, 9))),
    ]
    (ct,) = CT.new(sections=given, ooi_id="BAG-1", stamp=stamp())
    assert ct.validate() == []

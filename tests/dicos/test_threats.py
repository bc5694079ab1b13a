"""Threats as values, and as items of the Threat Sequence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicos_proto.dicos import (
    Assessment,
    Axes,
    BadValue,
    Geometry,
    Reference,
    ReferencedThreat,
    Region,
    RegionError,
    Representation,
    Threat,
)
from dicos_proto.dicos import threat_items as tags
from dicos_proto.dicos.threat_items import date_time, read, read_date_time, single, write
from dicos_proto.dicos.threats import numbered
from tests.dicos.reports import again, ball

CT = "1.2.840.10008.5.1.4.1.1.501.1"
SCAN = Reference(sop_class_uid=CT, sop_instance_uid="1.2.3")
AT = datetime(2026, 3, 1, 12, 30, 5, 250)
FULL = Threat(
    id=7,
    assessments=(
        Assessment(category="PI", flag="HIGH_THREAT", ability="SHIELD", description="a knife", probability=0.5),
        Assessment(),
    ),
    representations=(
        Representation(
            references=(SCAN,), region=Region(base=(1, 2, 3), extents=(5, 3, 2), bitmap=b"\x22\0\0\x20"),
            polygon=((0.5, 1, 2), (3, 4, 5), (6, 7, 8)), centre=(3, 3, 4.5), centre_of_mass=(3, 3.5, 4.5), mass=20,
            density=2.5, z_effective=7.5, volume=8, location="in the lid", anomalies=(),
        ),
        Representation(references=(replace(SCAN, sop_instance_uid="1.2.4"),), mass=0, density=0),
    ),
    started=AT, ended=AT + timedelta(seconds=2), processing_ms=2000, origin="MACHINE",
    referenced=(ReferencedThreat(id=3, tdr=Reference(sop_class_uid="1.2.5", sop_instance_uid="1.2.6")),),
)  # fmt: skip


@pytest.mark.parametrize("axes", Axes)
def test_a_threat_comes_back_from_its_item(axes: Axes) -> None:
    found = read(again(write(FULL, axes=axes)), axes)
    region = found.representations[0].region
    assert region is not None
    assert (region.mask() == FULL.representations[0].region.mask()).all()  # type: ignore[union-attr]
    assert region.base == (1, 2, 3)
    shown = replace(found.representations[0], region=FULL.representations[0].region)
    assert replace(found, representations=(shown, *found.representations[1:])) == FULL


def test_a_person_has_anomalies_and_no_mass() -> None:
    given_ones = replace(FULL.representations[0], anomalies=((1, 2, 3), (4, 5, 6)))
    item = write(
        replace(FULL, representations=(given_ones, replace(given_ones, anomalies=()), Representation())), person=True
    )
    shown = read(again(item)).representations
    assert [one.anomalies for one in shown] == [((1, 2, 3), (4, 5, 6)), ((3, 3, 4.5),), ()]
    assert [one.mass for one in shown] == [None] * 3


def test_an_empty_item_is_an_empty_threat() -> None:
    found = read(Dataset())
    assert found == Threat(assessments=(), representations=())
    assert (found.category, found.flag, found.probability, found.region, found.alarms) == ("", "", None, None, False)
    with pytest.raises(RegionError, match="no region"):
        found.mask((1, 1, 1))
    item = Dataset()
    item.PTORepresentationSequence = [Dataset()]
    item.ATDAssessmentSequence = [Dataset()]
    item.ReferencedPTOSequence = [Dataset()]
    assert read(item).assessments == (Assessment(category="", flag="", ability=""),)
    assert read(item).representations == (Representation(),)
    item.PTORepresentationSequence[0].ThreatROIVoxelSequence = [Dataset()]
    with pytest.raises(BadValue, match="base of 0 numbers"):
        read(item)


def test_what_a_threat_says_in_short() -> None:
    assert (FULL.category, FULL.flag, FULL.probability, FULL.alarms) == ("PI", "HIGH_THREAT", 0.5, True)
    assert FULL.region == FULL.representations[0].region
    assert FULL.representation("1.2.4") == FULL.representations[1]
    assert FULL.representation("1.2.5") is None
    assert not replace(FULL, assessments=(Assessment(flag="NO_THREAT"), Assessment(flag="UNKNOWN"))).alarms


def test_a_threat_of_a_mask_has_its_place_and_weight() -> None:
    geometry = Geometry(spacing=(2, 2, 5), position=(-10, 0, 100))
    threat = Threat.from_mask(ball(), geometry=geometry, density=1.5, category="EXPLOSIVE", probability=0.75)
    shown = threat.representations[0]
    voxels = int(ball().sum())
    assert shown.volume == pytest.approx(voxels * 20 / 1000)
    assert shown.mass == pytest.approx(voxels * 20 / 1000 * 1.5)
    assert shown.centre == (20, 8, 7)  # the first frame is 1
    assert replace(shown, references=(SCAN,)).in_voxels((20, 8, 7)) == (20, 8, 6)
    assert shown.in_voxels((20, 8, 0)) == (20, 8, 0)
    assert len(shown.polygon) == 8
    assert shown.outline(geometry) == shown.polygon
    assert replace(shown, polygon=()).outline(geometry) == shown.polygon
    assert Representation().outline(geometry) == ()
    assert (threat.mask((12, 20, 30)) == ball()).all()


def test_a_threat_in_an_image_has_no_volume() -> None:
    region = Region(base=(1, 2, 0), extents=(4, 2, 1))
    shown = Threat.from_region(region, geometry=Geometry(), volume=False, density=2, mass=3).representations[0]
    assert (shown.volume, shown.mass, shown.centre) == (None, 3, (2.5, 2.5, 0))
    assert Threat.from_region(region).representations[0].polygon == ()
    boxed = Threat.from_region(region, geometry=Geometry(spacing=(10, 10, 10)), mass=1, density=2).representations[0]
    assert (boxed.volume, boxed.mass) == (8, 1)
    assert Threat.from_region(region, geometry=Geometry()).representations[0].mass is None
    with pytest.raises(RegionError):
        Threat.from_region(Region(base=(0, 0, 0), extents=(0, 1, 1)))
    with pytest.raises(TypeError):
        Threat.from_region(region, colour="red")


@pytest.mark.parametrize(
    ("end", "volume", "ct"),
    [("501.1", True, True), ("501.1.3", True, True), ("501.7.2", True, True), ("501.8.1", True, True),
     ("501.5", True, False), ("501.10.1", True, False), ("501.2.1", False, False), ("501.4", False, False),
     ("501.11.1", False, False)],
)  # fmt: skip
def test_objects_with_frames_along_z(end: str, volume: bool, ct: bool) -> None:
    found = Reference(sop_class_uid=f"1.2.840.10008.5.1.4.1.1.{end}", sop_instance_uid="1")
    assert (found.is_volume, found.is_ct) == (volume, ct)


def test_threats_get_the_numbers_that_are_free() -> None:
    assert [one.id for one in numbered([Threat(), Threat(id=2), Threat(), Threat(id=9)])] == [1, 2, 3, 9]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e39])
def test_numbers_that_do_not_fit_are_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        single(number)
    with pytest.raises(ValueError, match="32 bits"):
        write(replace(FULL, processing_ms=number))


def wrong(tag: int, vr: str, value: Any, *path: int) -> Dataset:
    item = write(FULL)
    at = item
    for step in path:
        at = at[step].value[0]
    at.add(DataElement(tag, vr, value, already_converted=True))
    return item


@pytest.mark.parametrize(
    "item",
    [
        wrong(tags.ROI_BITMAP, "LO", "text", tags.REPRESENTATION, tags.ROI_VOXELS),
        wrong(tags.ROI_BASE, "LO", "text", tags.REPRESENTATION, tags.ROI_VOXELS),
        wrong(tags.ROI_EXTENTS, "FL", [1.0], tags.REPRESENTATION, tags.ROI_VOXELS),
        wrong(tags.POLYGON, "FL", [1.0, 2.0, 3.0, 4.0], tags.REPRESENTATION),
        wrong(tags.POLYGON, "FL", [1.0, 2.0, float("nan")], tags.REPRESENTATION),
        wrong(tags.CENTRE, "FL", [1.0] * 6, tags.REPRESENTATION),
        wrong(tags.MASS, "FL", [1.0, 2.0], tags.REPRESENTATION),
        wrong(tags.REPRESENTATION, "LO", "text"),
        wrong(tags.PTO_ID, "FL", float("nan")),
        wrong(tags.CATEGORY, "OB", b"x", tags.ASSESSMENT),
    ],
)
def test_an_item_that_cannot_be_read_is_an_error_that_names_the_attribute(item: Dataset) -> None:
    with pytest.raises(BadValue, match=r"\([0-9A-F]{4},[0-9A-F]{4}\)"):
        read(item)


def test_regions_are_read_even_if_they_make_no_sense() -> None:
    item = wrong(tags.ROI_BASE, "FL", [float("nan"), 1.0, 2.0], tags.REPRESENTATION, tags.ROI_VOXELS)
    region = read(item).region
    assert region is not None
    with pytest.raises(RegionError, match="along x"):
        region.box()
    item = wrong(tags.ROI_BITMAP, "OB", None, tags.REPRESENTATION, tags.ROI_VOXELS)
    assert read(item).mask((20, 20, 20)).sum() == 30
    del item.PTORepresentationSequence[0].ThreatROIVoxelSequence[0].ThreatROIBitmap
    assert read(item).mask((20, 20, 20)).sum() == 30


def test_times_with_and_without_an_offset() -> None:
    zone = timezone(timedelta(hours=-5, minutes=-30))
    for at in (AT, AT.replace(tzinfo=UTC), AT.replace(tzinfo=zone)):
        assert read_date_time(date_time(at) or "") == at
    assert date_time(None) is None
    assert read_date_time("20260301") == datetime(2026, 3, 1)
    for odd in ("", "x", "20261301", "20260301123005+9999", "2026030112300512"):
        assert read_date_time(odd) is None


FLOATS = st.floats(-1e6, 1e6, width=32)
POINTS = st.tuples(FLOATS, FLOATS, FLOATS)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), max_size=16)


@given(
    polygon=st.lists(POINTS, max_size=6), centre=st.none() | POINTS, mass=FLOATS, location=TEXT,
    mask=st.lists(st.booleans(), min_size=24, max_size=24), axes=st.sampled_from(Axes),
)  # fmt: skip
def test_any_threat_comes_back(
    polygon: list[Any], centre: Any, mass: float, location: str, mask: list[bool], axes: Axes
) -> None:
    bits = np.array(mask).reshape(2, 3, 4)
    region = Region.from_mask(bits) if bits.any() else None
    shown = Representation(
        references=(SCAN,), region=region, polygon=tuple(polygon), centre=centre, mass=mass, density=1.0,
        location=location,
    )  # fmt: skip
    threat = Threat(id=1, representations=(shown,), started=AT, ended=AT, processing_ms=0)
    found = read(again(write(threat, axes=axes)), axes).representations[0]
    assert (found.polygon, found.centre, found.mass, found.location) == (tuple(polygon), centre, mass, location)
    if region is not None:
        assert found.region is not None
        assert (found.region.mask(bits.shape) == bits).all()
